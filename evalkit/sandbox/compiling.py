"""Compiles programs in the sandbox, once: the executables are kept in the user's cache, named by what made them."""

import contextlib
import functools
import hashlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.sandbox.child.python_programs import write_all
from evalkit.sandbox.jail import JailBrokenError, Job, ProgramCrashedError
from evalkit.sandbox.languages import Language, compiler_version, find_language
from evalkit.sandbox.pool import Sandbox
from evalkit.sandbox.records import Limits, Program

_LIMITS = Limits(
    cpu_seconds=20, wall_seconds=90, memory_mb=2048, output_mb=64, folder_mb=256, stack_mb=64, processes=64
)
_MFD_EXEC = 0x10
_MOST_CACHED, _MOST_CACHED_BYTES = 512, 512 << 20
_ERROR_LIMIT = 300


class CompileError(Exception):
    """The compiler rejects the program; the message is what it said."""


@contextlib.contextmanager
def compiled(program: Program, sandbox: Sandbox) -> Iterator[int]:
    """A descriptor of the program's executable. Raises CompileError, JailBrokenError; EvalkitError without compiler."""
    language = find_language(program.language)
    version = require_compiler(language)
    identity = "\x1f".join((language.name, version, repr(language.compile_commands), program.code))
    path = cache_folder() / hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    descriptor = _cached(path)
    if descriptor is None:
        data = _compile(program.code, language, sandbox)
        with contextlib.suppress(OSError):  # a full disk costs the next judge a compilation
            _store(path, data)
        descriptor = _in_memory(data)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@functools.cache
def require_compiler(language: Language) -> str:
    """The compiler's version. Raises EvalkitError where it is missing or where compiled programs cannot be started."""
    version = compiler_version(language.compiler)
    if version is None:
        raise EvalkitError(
            f"{language.name} programs need {language.compiler}, which is not installed.",
            f"install it (Debian: apt-get install {language.compiler}), or leave {language.name} programs out.",
        )
    os.close(_in_memory(b""))
    return version


def _cached(path: Path) -> int | None:
    try:
        data = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    return _in_memory(data)


def _in_memory(data: bytes) -> int:
    """A sealed file: one on disk would lie outside the jail's root, so that nothing in there might execute it."""
    if not hasattr(os, "memfd_create"):
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)
        write_all(descriptor, data)
        return descriptor
    import fcntl

    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create("program", flags | _MFD_EXEC)
    except PermissionError as error:
        raise EvalkitError(
            "Compiled programs are started from memory, which this machine forbids (vm.memfd_noexec is 2).",
            "set it to 0 or 1: sysctl vm.memfd_noexec=1.",
        ) from error
    except OSError:  # older kernels do not know the flag, and need none
        copy = os.memfd_create("program", flags)
    write_all(copy, data)
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    )
    return copy


def cache_folder() -> Path:
    """Where executables are kept: readable and writable by this user only."""
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("evalkit")) / "executables"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _compile(code: str, language: Language, sandbox: Sandbox) -> bytes:
    """The executable. Raises CompileError, also for a program that takes the compiler too much time, memory or room."""
    said = told = ""
    for command in language.compile_commands:
        words = [word.format(source=language.source, output="solution") for word in command]
        script = f"{shlex.join(words)} && cat solution"
        job = Job("command", _LIMITS, argv=["/bin/sh", "-c", script], files={language.source: code})
        with sandbox.lend("toolchain") as jail:
            try:
                with jail.session(job) as (session, status, detail):
                    if status != "ready":
                        raise JailBrokenError(detail)
                    reply, output = session.run(b"")
            except ProgramCrashedError as error:
                raise JailBrokenError("the compiler's supervisor ended") from error
        if reply.full:
            raise CompileError(f"the executable has more than {_LIMITS.output_mb} MB")
        if reply.failure is None and output:
            return output
        if reply.failure == "time limit":
            raise CompileError(f"the compiler ran past {_LIMITS.cpu_seconds:g} s of CPU time")
        said, told = reply.errors.strip(), reply.detail
        # a machine without static libraries is told from a program that is wrong by the linker's words
        if "cannot find -l" not in said:
            break
    raise CompileError(said[:_ERROR_LIMIT] or f"the compiler failed: {told}")


def _store(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), 0o755)
    os.replace(name, path)
    _forget_old(path.parent)


def _forget_old(folder: Path) -> None:
    """Keep the newest executables; what another judge's kill has left half written goes like any old one."""
    entries = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            about = entry.stat(follow_symlinks=False)
            entries.append((about.st_mtime, about.st_size, entry.path))
    kept = 0
    for number, (_, size, path) in enumerate(sorted(entries, reverse=True)):
        kept += size
        if number >= _MOST_CACHED or kept > _MOST_CACHED_BYTES:
            with contextlib.suppress(OSError):
                os.unlink(path)
