"""One program's supervisor: forks the processes that run the program, times them, kills them, and tells what it saw.

It is the first process of its pid namespace, so that the kernel ends everything with it, and a program can neither
signal nor trace it. It compiles a Python program and runs no line of it, and knows no expected output. It decides
nothing: what the program's process said is passed on unread, for the host to judge.
"""

import contextlib
import errno
import math
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from typing import Any, NoReturn

from . import compat, kernel, python_programs, seccomp, wire

STREAMS = "/io"  # where a program that opens /dev/stdin and the like finds them
_NAMES = ("stdin", "stdout", "stderr")
_REPLY_LIMIT = 4096
_ERRORS_LIMIT = 4000
_TELL_SECONDS = 0.02
_MOST_OUTPUT = 8 << 20
_MB = 1 << 20
_COMPILE_SECONDS = 10
# past the limit on wall time a program that has had at least 1/8 of a processor goes on until 4 times that limit
_BUSY_FACTOR, _IDLE_SHARE = 4, 8
# in the compatible modes the program's own process raises at its limit; this much later it is ended from outside
_COMPAT_GRACE = 0.25
_MFD_NOEXEC_SEAL = 8


def supervise(
    channel: socket.socket,
    request: dict[str, Any],
    descriptors: list[int],
    *,
    jailed: bool,
    uid: int,
    devices: tuple[str, ...],
) -> NoReturn:
    """Serve the tests of one program until the host says `end` or is gone."""
    status = 0
    try:
        if jailed:
            _lock_in(request, uid, devices)
        else:
            os.chdir(request["folder"])
            _clear(request["folder"])
        for name, content in request["files"].items():
            with open(name, "wb") as stream:
                stream.write(content.encode("utf-8", "surrogatepass"))
        # compiling runs nothing of the program, but it should not take the machine either
        limits = request["limits"]
        seconds = max(_COMPILE_SECONDS, math.ceil(limits["cpu_seconds"]) + 4) + request["tests"] // 50
        compiling = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_AS: max(2048, limits["memory_mb"]) * _MB}
        _limit(compiling, lasting=False)
    except OSError as error:
        with contextlib.suppress(wire.Closed):
            wire.send(channel, {"status": "sandbox error", "detail": str(error)})
        os._exit(1)
    try:
        Supervisor(channel, request, descriptors, jailed).run()
    except wire.Closed:
        status = 1
    os._exit(status)


def _lock_in(request: dict[str, Any], uid: int, devices: tuple[str, ...]) -> None:
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
    size = request["limits"]["folder_mb"]
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOATIME
    kernel.mount("tmpfs", "/tmp", "tmpfs", flags, f"size={size}m,nr_inodes=16384,mode=1777")
    named: tuple[str, ...] = ()
    if request["named_streams"]:
        size = 3 * request["limits"]["output_mb"] + request["input_mb"]
        kernel.mount("tmpfs", STREAMS, "tmpfs", flags, f"size={size}m,nr_inodes=16,mode=0755")
        named = tuple(f"{STREAMS}/{name}" for name in _NAMES)
        for path in named:
            with open(path, "wb"):
                os.chown(path, uid, uid)
    os.chdir("/tmp")
    if os.getuid() != uid:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    kernel.drop_capabilities()
    if abi := kernel.landlock_abi():
        kernel.landlock(abi, "/tmp", (*devices, *named))
    kernel.install_filter(seccomp.jail_filter())


def _limit(wanted: dict[int, int], *, lasting: bool = True) -> None:
    """Limit this process; what does not last can be raised again, by those that it forks too."""
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # a program may ask for more stack than it has, as it may elsewhere: the address space bounds it
        kept = hard if kind == resource.RLIMIT_STACK or not lasting else value
        with contextlib.suppress(ValueError):  # some systems refuse a limit that lies below what is in use
            resource.setrlimit(kind, (value, kept))


def _clear(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def _state_of(folder: str) -> tuple[int, ...]:
    """Whatever a program changes in its folder changes this."""
    about, room = os.stat(folder), os.statvfs(folder)
    return about.st_mode, about.st_nlink, about.st_mtime_ns, about.st_ctime_ns, room.f_bfree, room.f_ffree


class Interrupted(Exception):  # noqa: N818
    """The host wants no more of the tests that it asked for."""


def _copy(source: int, begin: int, target: int, at: int, size: int) -> None:
    while size and (chunk := os.pread(source, min(size, _MB), begin)):
        python_programs.write_all(target, chunk, at)
        begin, at, size = begin + len(chunk), at + len(chunk), size - len(chunk)


def _new_file() -> int:
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as stream:
            return os.dup(stream.fileno())
    try:
        return os.memfd_create("evalkit", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError:  # older kernels do not know the flag
        return os.memfd_create("evalkit", os.MFD_CLOEXEC)


class Supervisor:
    """Serves one program. `keeps` says whether one process runs test after test, else each gets a new one."""

    def __init__(self, channel: socket.socket, request: dict[str, Any], descriptors: list[int], jailed: bool) -> None:
        self.channel, self.request, self.jailed = channel, request, jailed
        self.inputs, self.outputs = descriptors[:2]
        self.executable = descriptors[2] if len(descriptors) > 2 else None
        self.limits = request["limits"]
        self.folder: str = "/tmp" if jailed else request["folder"]
        self.streams: list[int] = []
        self.done: list[dict[str, Any]] = []
        self.told = 0.0
        self.prepared: Any = None
        self.process: Process | None = None
        self.keeps = False
        self.is_script = False

    def run(self) -> None:
        """Raises wire.Closed where the host is gone."""
        if self.executable is None and self.request["kind"] == "python":
            self.prepared, problem = python_programs.prepare(self.request)
            if problem is not None:
                wire.send(self.channel, problem)
                return
            compatible = self.request["mode"] != "script"
            self.keeps = compatible or self.prepared.shares
            self.is_script = not compatible and not self.request["fn_name"]
        wire.send(self.channel, {"status": "ready", "detail": ""})
        while True:
            message, _ = wire.receive(self.channel)
            if message.get("end"):
                self.stop_process()
                return
            if message.get("sizes"):
                self.batch(message["sizes"])

    def batch(self, sizes: list[int]) -> None:
        """Run tests one after another, until one does not end well, the program has left something in its folder, or
        the host speaks; their inputs lie in `inputs`, one by one.

        A reply is told as soon as the next test takes longer than `_TELL_SECONDS`, so that the host need not wait for
        a test that it may not want.
        """
        position = written = 0
        self.told = time.monotonic()
        try:
            for size in sizes:
                reply = self.test(position, size)
                position += size
                limit = self.limits["output_mb"] * _MB
                output = min(os.fstat(self.streams[1]).st_size, limit)
                _copy(self.streams[1], 0, self.outputs, written, output)
                self.done.append(reply | {"output": [written, output], "full": output >= limit})
                written += output
                if reply["said"] is not None or reply["code"] or reply["stale"] or written >= _MOST_OUTPUT:
                    break
                self.tell(more=True)
        except Interrupted:
            self.stop_process()
        self.tell(more=False)

    def tell(self, *, more: bool) -> None:
        """What is done goes to the host: at the end, and before it where that is long ago."""
        if not more or (self.done and time.monotonic() - self.told > _TELL_SECONDS):
            wire.send(self.channel, {"tests": self.done, "more": more})
            self.done = []
            self.told = time.monotonic()

    def stop_process(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None

    def test(self, position: int, size: int) -> dict[str, Any]:
        """Run one test. Raises Interrupted where the host speaks meanwhile or is gone."""
        before = None if self.keeps else _state_of(self.folder)
        is_new = self.process is None
        if self.process is None:
            self._renew_streams()
        stdin, stdout, stderr = self.streams
        _copy(self.inputs, position, stdin, 0, size)
        os.ftruncate(stdin, size)
        os.ftruncate(stdout, 0)
        os.ftruncate(stderr, 0)
        if self.process is None:
            self.process = Process(self)
        reply = self.process.test()
        if reply["end"] != "replied" or not self.keeps or reply["said"] is not None:
            self.stop_process()
        if self.request["kind"] != "python":
            reply["errors"] = os.pread(stderr, _ERRORS_LIMIT, 0).decode("utf-8", "replace")
        stale = before is not None and _state_of(self.folder) != before
        if stale and not self.jailed:
            _clear(self.folder)
            stale = False
        shared = not is_new or (self.prepared is not None and self.prepared.lacks_names)
        return {**reply, "shared": shared, "stale": stale or bool(self.request["named_streams"])}

    def _renew_streams(self) -> None:
        """Files that no process of this program has had in its hands."""
        for descriptor in self.streams:
            os.close(descriptor)
        if self.request["named_streams"] and self.jailed:
            self.streams = [os.open(f"{STREAMS}/{name}", os.O_RDWR | os.O_CLOEXEC) for name in _NAMES]
        else:
            self.streams = [_new_file() for _ in _NAMES]


class Process:
    """The process that runs a program: for one test, or for one test after another."""

    def __init__(self, owner: Supervisor) -> None:
        self.owner = owner
        go_read, self.go = os.pipe() if owner.keeps else (-1, -1)
        self.reply, reply_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_program(go_read, reply_write)
        if owner.keeps:
            os.close(go_read)
        os.close(reply_write)
        self.handle = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        self.cpu_before = 0.0
        self.poll = select.poll()
        self.poll.register(self.reply, select.POLLIN)
        self.poll.register(owner.channel, select.POLLIN | getattr(select, "POLLRDHUP", 0))
        if self.handle is not None:
            self.poll.register(self.handle, select.POLLIN)

    def _become_program(self, go: int, reply: int) -> NoReturn:
        owner, kept = self.owner, {"reply": reply}
        try:
            executable = owner.executable is not None or owner.request["kind"] == "command"
            kept = self._arrange(go, reply)
            self._limit_program()
            if owner.jailed and owner.request["kind"] != "command":
                kernel.install_filter(seccomp.program_filter(may_exec=executable))
            if executable:
                argv = owner.request["argv"]
                target = argv[0] if owner.executable is None else kept["executable"]
                os.execve(target, argv, dict(os.environ))
        except OSError as error:
            python_programs.reply(kept["reply"], "cannot start", str(error))
            os._exit(127)
        if owner.request["mode"] != "script":
            compat.serve(owner.prepared, kept)
        elif owner.keeps:
            python_programs.serve(owner.prepared, kept)
        else:
            python_programs.run_once(owner.prepared, kept)
        os._exit(0)

    def _limit_program(self) -> None:
        limits, request = self.owner.limits, self.owner.request
        tests = request["tests"] if self.owner.keeps else 1
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: math.ceil(limits["cpu_seconds"] * tests) + 2,
            resource.RLIMIT_FSIZE: limits["output_mb"] * _MB,
            resource.RLIMIT_STACK: limits["stack_mb"] * _MB,
            resource.RLIMIT_AS: limits["memory_mb"] * _MB,
            resource.RLIMIT_NOFILE: limits["open_files"],
        }
        if self.owner.jailed:  # outside a namespace of its own the count would include everything else of this user
            wanted[resource.RLIMIT_NPROC] = limits["processes"]
        _limit(wanted)

    def _arrange(self, go: int, reply: int) -> dict[str, int]:
        """Put the descriptors where they belong, close every other one. Returns the ones above 2 by their use."""
        owner = self.owner
        stdin, stdout, stderr = owner.streams
        for descriptor in owner.streams:
            os.lseek(descriptor, 0, os.SEEK_SET)
        wanted = {"reply": reply}
        if owner.keeps:
            wanted |= {"go": go, "stderr": stderr}
        if owner.keeps or (owner.prepared is not None and not owner.is_script):
            wanted |= {"input": stdin, "output": stdout}
        if owner.executable is not None:
            wanted["executable"] = owner.executable
        base = owner.limits["open_files"] - len(wanted)
        for number, source in enumerate(wanted.values(), start=base):
            os.dup2(source, number, inheritable=False)
        if owner.prepared is not None and not owner.is_script:
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1):
                os.dup2(null, number)
        else:
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.closerange(3, base)
        os.closerange(base + len(wanted), 1 << 16)
        return {name: number for number, name in enumerate(wanted, start=base)}

    def test(self) -> dict[str, Any]:
        """One test: `end` is replied, exited, killed or time limit, `code` an exit code or a signal's number, `said`
        what the program's process wrote into its pipe (None: that all is well).
        """
        limits, owner = self.owner.limits, self.owner
        begin = time.monotonic()
        if owner.keeps:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.go, b"g")
        grace = 0.0 if owner.request["mode"] == "script" else _COMPAT_GRACE
        cpu_limit = limits["cpu_seconds"] + grace
        end = self._wait(begin, cpu_limit, limits["wall_seconds"] + grace)
        wall = time.monotonic() - begin
        cpu_now, code, memory = self._cpu(), 0, 0.0
        said = None
        if end == "replied":
            text = os.read(self.reply, _REPLY_LIMIT)
            said = None if text == python_programs.OK else text.decode("latin-1")
        if end != "replied" or not owner.keeps:
            if end != "exited":
                os.kill(self.pid, signal.SIGKILL)
            _, status, usage = os.wait4(self.pid, 0)
            cpu_now = max(cpu_now, usage.ru_utime + usage.ru_stime)
            memory = usage.ru_maxrss / 1024 if sys.platform != "darwin" else usage.ru_maxrss / _MB
            self.pid = 0
            if end == "exited" and os.WIFSIGNALED(status):
                end, code = "killed", os.WTERMSIG(status)
            elif end == "exited":
                code = os.WEXITSTATUS(status)
        cpu = max(0.0, cpu_now - self.cpu_before)
        self.cpu_before = cpu_now
        if cpu > cpu_limit or end == "time limit":
            end, code = "time limit", 1
        return {"end": end, "code": code, "said": said, "cpu": cpu, "wall": wall, "memory_mb": memory, "errors": ""}

    def _wait(self, begin: float, cpu_limit: float, wall_limit: float) -> str:
        """exited, replied, or time limit. Raises Interrupted where the host speaks or is gone."""
        pause = min(cpu_limit, wall_limit)
        while True:
            first = min(pause, _TELL_SECONDS) if self.owner.done else pause
            ready = dict(self.poll.poll(max(1.0, math.ceil(first * 1000))))
            if self.owner.channel.fileno() in ready:
                raise Interrupted
            if ready.get(self.reply, 0) & select.POLLIN:
                return "replied"
            if self.handle in ready or (self.handle is None and ready):
                return "exited"
            if self.reply in ready:  # the program closed its end: only its exit can tell now
                self.poll.unregister(self.reply)
            self.owner.tell(more=True)
            used = self._cpu() - self.cpu_before
            wall = time.monotonic() - begin
            if used >= cpu_limit or wall >= _BUSY_FACTOR * wall_limit:
                return "time limit"
            if wall >= wall_limit:
                if used < wall / _IDLE_SHARE:
                    return "time limit"
                # it computes, on a machine that others keep busy: its CPU seconds decide
                pause = min(1.0, max(0.02, cpu_limit - used))
                continue
            # with several threads CPU time runs faster than the clock
            pause = min(wall_limit - wall, max(0.02, (cpu_limit - used) / 2 if used > wall * 1.1 else cpu_limit - used))

    def _cpu(self) -> float:
        """CPU seconds of the process with all its threads."""
        if not self.pid or sys.platform != "linux":
            return 0.0
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ESRCH):
                return self.cpu_before
            raise

    def kill(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for descriptor in (self.go, self.reply, self.handle):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
