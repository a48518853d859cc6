"""The host's side of one jail: starts the process in it, sends it programs one after another, and ends it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from evalkit.sandbox.child import wire
from evalkit.sandbox.child.python_programs import STAR_MODULES, write_all
from evalkit.sandbox.machine import SandboxUnavailableError
from evalkit.sandbox.records import Limits
from evalkit.sandbox.replies import BadReplyError, Reply, parse_first, parse_tests, printable

Flavour = Literal["python", "numpy", "toolchain"]
_START_SECONDS = 60.0
_GRACE_SECONDS = 20.0
_MOST_TESTS = 1 << 20
_MOST_BYTES = 64 << 20  # of a message from a jail
_MFD_NOEXEC_SEAL = 8
_TOOLCHAIN = ("/bin", "/lib", "/lib64", "/usr", "/etc/ld.so.cache", "/etc/alternatives")
_PRELOAD = (
    *STAR_MODULES,
    *("ast", "array", "atexit", "cmath", "decimal", "enum", "fractions", "numbers", "queue", "threading"),
    *("time", "types"),
)
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TMPDIR": "/tmp",
}


class JailBrokenError(Exception):
    """The jail died or stopped answering: its fault, not the program's. The caller may try another."""


class ProgramCrashedError(Exception):
    """The supervisor ended before the program was ready: compiling it killed the interpreter or took too long."""


@dataclass(slots=True)
class Job:
    """One program for a jail. `kind` is python, binary (an executable in `executable`) or command (a compiler).

    `share` lets tests share a process where the program is shown to leave nothing behind; `named_streams` lays the
    standard streams where /dev/stdin and the like point, and allows one test.
    """

    kind: Literal["python", "binary", "command"]
    limits: Limits
    code: str = ""
    fn_name: str | None = None
    mode: str = "script"
    prelude: bool = True
    tests: int = 1
    argv: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    executable: int | None = None
    share: bool = False
    named_streams: bool = False
    input_mb: int = 0

    def message(self, folder: str) -> dict[str, Any]:
        limits = asdict(self.limits) | {"wall_seconds": self.limits.wall}
        names = (
            *("kind", "code", "fn_name", "mode", "prelude", "tests", "argv", "files"),
            *("share", "named_streams", "input_mb"),
        )
        return {name: getattr(self, name) for name in names} | {"limits": limits, "folder": folder}


class Session:
    """A program that is ready in a jail. `run` is one test, `run_many` several."""

    def __init__(self, jail: "Jail", limits: Limits, files: Sequence[int]) -> None:
        self._jail, self._limits = jail, limits
        self._inputs, self._outputs = files
        self._running = False

    def run(self, text: bytes) -> tuple[Reply, bytes]:
        """What is told of one test, and its output. Raises JailBrokenError."""
        (reply,) = self.run_many([text])
        return reply

    def run_many(self, texts: Sequence[bytes]) -> Iterator[tuple[Reply, bytes]]:
        """What is told of these tests and their outputs, one after another, up to one that did not end well or after
        which no other may run. Raises JailBrokenError.
        """
        os.ftruncate(self._inputs, 0)
        write_all(self._inputs, b"".join(texts))
        os.ftruncate(self._outputs, 0)
        message: dict[str, Any] | None = {"sizes": [len(text) for text in texts]}
        self._running = True
        told = 0
        while self._running:
            replies = self._receive(message, len(texts) - told)
            message = None
            if not replies and not self._running and not told:
                raise JailBrokenError("no test was told of")
            told += len(replies)
            yield from [(reply, _read(self._outputs, *reply.output)) for reply in replies]

    def stop(self) -> None:
        """End the tests that were asked for and still run. Raises JailBrokenError."""
        message: dict[str, Any] | None = {"stop": True}
        while self._running:
            self._receive(message, _MOST_TESTS)
            message = None

    def _receive(self, message: dict[str, Any] | None, most: int) -> list[Reply]:
        answer = self._jail.ask(message, 4 * self._limits.wall + _GRACE_SECONDS)
        if "ended" in answer:
            raise JailBrokenError("the supervisor ended in a test")
        try:
            replies, self._running = parse_tests(answer, self._limits, most)
        except BadReplyError as error:
            raise JailBrokenError(f"the supervisor told {error}") from error
        return replies


class Jail:
    """One process tree behind its own namespaces. Not thread-safe: a pool lends it to one caller at a time."""

    def __init__(self, flavour: Flavour, unsafe: bool) -> None:
        self._channel, theirs = socket.socketpair()
        config = {
            "channel": theirs.fileno(),
            "unsafe": unsafe,
            "binds": [] if unsafe else _binds(flavour),
            "hide": _hidden(),
            "preload": [] if flavour == "toolchain" else [*_PRELOAD, *(["numpy"] if flavour == "numpy" else [])],
            "paths": [str(_numpy_folder())] if flavour == "numpy" else [],
        }
        start = "import sys; sys.path.insert(0, sys.argv[1]); from child.zygote import main; main(sys.argv[2])"
        self._folder = tempfile.mkdtemp(prefix="evalkit-unsafe-") if unsafe else "/tmp"
        try:
            self._process = subprocess.Popen(
                [_interpreter(), "-S", "-s", "-P", "-B", "-c", start, str(Path(__file__).parent), json.dumps(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("EVALKIT_SANDBOX_DEBUG") else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_ENVIRONMENT | ({"TMPDIR": self._folder} if unsafe else {}),
                cwd="/",
            )
        finally:
            theirs.close()
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _end, self._process, self._channel, self._folder, self._owner)
        self.unsafe = unsafe
        try:
            answer = self.ask(None, _START_SECONDS)
        except JailBrokenError:
            answer = {"error": "its first process died"}
        if "error" in answer:
            self.close()
            raise SandboxUnavailableError(
                f"The sandbox cannot be built on this machine: {answer['error']}.",
                "`evalkit doctor` says what is missing; --unsafe-no-sandbox runs the programs without any protection.",
            )
        self.layers: dict[str, str] = answer["layers"]

    @property
    def alive(self) -> bool:
        return self._finalizer.alive and self._process.poll() is None

    def ask(self, message: Any, timeout: float, descriptors: tuple[int, ...] = ()) -> dict[str, Any]:
        """Send (None: only wait) and receive. Raises JailBrokenError."""
        try:
            self._channel.settimeout(timeout)
            if message is not None:
                wire.send(self._channel, message, descriptors)
            answer, _ = wire.receive(self._channel, _MOST_BYTES)
        except (wire.Closed, TimeoutError) as error:
            raise JailBrokenError("it died" if isinstance(error, wire.Closed) else "it stopped answering") from error
        if not isinstance(answer, dict):
            raise JailBrokenError("it told what is not a message")
        if "error" in answer and message is not None:
            raise JailBrokenError(printable(answer["error"]))
        return answer

    @contextlib.contextmanager
    def session(self, job: Job) -> Iterator[tuple[Session, str, str]]:
        """Prepare a program. Yields the session, its status (ready or syntax error) and a detail.

        Raises JailBrokenError, after which the jail is closed, and ProgramCrashedError.
        """
        ended = False
        with contextlib.ExitStack() as stack:
            files = [_anonymous_file() for _ in range(2)]
            for descriptor in files:
                stack.callback(os.close, descriptor)
            try:
                handed = tuple(files) if job.executable is None else (*files, job.executable)
                answer = self.ask(job.message(self._folder), _START_SECONDS + job.limits.wall, handed)
                if "ended" in answer:
                    ended = True
                    raise ProgramCrashedError
                try:
                    status, detail = parse_first(answer)
                except BadReplyError as error:
                    raise JailBrokenError(f"the supervisor told {error}") from error
                if status == "sandbox error":
                    raise JailBrokenError(detail)
                session = Session(self, job.limits, files)
                yield session, status, detail
                session.stop()
                self._leave(status == "ready")
                ended = True
            except BaseException:
                if not ended:
                    self.close()
                raise

    def _leave(self, ready: bool) -> None:
        answer = self.ask({"end": True} if ready else None, _GRACE_SECONDS)
        while "ended" not in answer:  # what was still on its way when the last test was found wrong
            answer = self.ask(None, _GRACE_SECONDS)

    def close(self) -> None:
        """End everything in it."""
        self._finalizer()


def _end(process: "subprocess.Popen[bytes]", channel: socket.socket, folder: str, owner: int) -> None:
    channel.close()
    if os.getpid() != owner:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)  # the closed channel ends it
    if process.poll() is None or folder != "/tmp":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(
                process.pid, signal.SIGKILL
            )  # with it goes the namespace's first process, and so everything inside
        process.wait()
    if folder != "/tmp":
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _interpreter() -> str:
    return os.path.realpath(sys.executable)


def _numpy_folder() -> Path | None:
    from importlib.util import find_spec

    spec = find_spec("numpy")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent.parent


def has_numpy() -> bool:
    """Whether programs can import numpy."""
    return _numpy_folder() is not None


def _binds(flavour: Flavour) -> list[tuple[str, str]]:
    """What of this machine is seen inside: (source, target), read-only."""
    wanted = [*(_TOOLCHAIN if flavour == "toolchain" else _libraries()), *_python_files()]
    binds = [(path, path) for path in wanted if os.path.lexists(path) and not _inside(path, wanted)]
    folder = _numpy_folder() if flavour == "numpy" else None
    if folder is not None:
        for name in ("numpy", "numpy.libs"):
            if (folder / name).is_dir():
                binds.append((str(folder / name), str(folder / name)))
    return binds


def _libraries() -> list[str]:
    """The system's shared libraries: where it keeps them in a folder of their own, nothing else below /usr/lib."""
    import platform
    import sysconfig

    names = (sysconfig.get_config_var("MULTIARCH"), f"{platform.machine()}-linux-gnu")
    for name in names:
        if name and os.path.isdir(f"/usr/lib/{name}"):
            links = [path for path in ("/lib", "/lib64", "/usr/lib64") if os.path.islink(path)]
            folders = [path for path in (f"/lib/{name}", "/lib64", "/usr/lib64") if not os.path.islink(path)]
            folders = [path for path in folders if not path.startswith("/lib/") or "/lib" not in links]
            return [*links, *folders, f"/usr/lib/{name}", "/usr/lib/locale", "/etc/ld.so.cache"]
    return ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"]


def _python_files() -> list[str]:
    import sysconfig

    executable = _interpreter()
    prefix = os.path.realpath(sys.base_prefix)
    library = os.path.realpath(sysconfig.get_path("stdlib"))
    shared = [str(p) for p in Path(prefix, "lib").glob("libpython*.so*")]
    return list(dict.fromkeys([executable, library, *shared]))


def _hidden() -> list[str]:
    import sysconfig

    library = os.path.realpath(sysconfig.get_path("stdlib"))
    return [f"{library}/site-packages", f"{library}/dist-packages", "/usr/lib/python3/dist-packages"]


def _inside(path: str, others: list[str]) -> bool:
    return any(
        path != other and path.startswith(other.rstrip("/") + "/") for other in others if not os.path.islink(other)
    )


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("evalkit", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
        except OSError:  # older kernels do not know the flag
            return os.memfd_create("evalkit", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())


def _read(descriptor: int, begin: int, size: int) -> bytes:
    chunks = []
    while size and (chunk := os.pread(descriptor, size, begin)):
        chunks.append(chunk)
        begin, size = begin + len(chunk), size - len(chunk)
    return b"".join(chunks)
