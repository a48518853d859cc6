"""One program's supervisor: enters fresh namespaces, forks the program's process, times it, and kills it.

It is the first process of its pid namespace, so that the kernel ends everything with it, and a program can neither
signal nor trace it. It runs no line of the program and knows no expected output.
"""

import contextlib
import errno
import json
import math
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from . import compat, kernel, python_programs, seccomp, wire

_REPLY_LIMIT = 4096
_TELL_SECONDS = 0.02
_MOST_OUTPUT = 8 << 20
_MB = 1 << 20
# past the limit on wall time a program that has had at least 1/8 of a processor goes on until 4 times that limit
_BUSY_FACTOR, _IDLE_SHARE = 4, 8


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
        for name, content in request["files"].items():
            with open(name, "wb") as stream:
                stream.write(content.encode("utf-8", "surrogatepass"))
        # compiling runs nothing of the program, but it should not take the machine either
        _limit({resource.RLIMIT_CPU: 120, resource.RLIMIT_AS: max(2048, request["limits"]["memory_mb"]) * _MB})
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
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", "/tmp", "tmpfs", flags, f"size={size}m,nr_inodes=16384,mode=1777")
    os.chdir("/tmp")
    if os.getuid() != uid:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    kernel.drop_capabilities()
    if abi := kernel.landlock_abi():
        kernel.landlock(abi, "/tmp", devices)
    kernel.install_filter(seccomp.jail_filter())


def _limit(wanted: dict[int, int]) -> None:
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError):  # some systems refuse a limit that lies below what is in use
            resource.setrlimit(kind, (value, value))


class Interrupted(Exception):  # noqa: N818
    """The host wants no more of the tests that it asked for."""


def _copy(source: int, begin: int, target: int, at: int, size: int) -> None:
    while size and (chunk := os.pread(source, min(size, _MB), begin)):
        python_programs.write_all(target, chunk, at)
        begin, at, size = begin + len(chunk), at + len(chunk), size - len(chunk)


class Supervisor:
    def __init__(self, channel: socket.socket, request: dict[str, Any], descriptors: list[int], jailed: bool) -> None:
        self.channel, self.request, self.jailed = channel, request, jailed
        self.stdin, self.stdout, self.stderr, self.inputs, self.outputs = descriptors[:5]
        self.executable = descriptors[5] if len(descriptors) > 5 else None
        self.limits = request["limits"]
        self.done: list[dict[str, Any]] = []
        self.told = 0.0
        self.prepared: Any = None
        self.process: Process | None = None

    def run(self) -> None:
        """Raises wire.Closed where the host is gone."""
        if self.executable is None and self.request["kind"] == "python":
            self.prepared, problem = python_programs.prepare(self.request)
            if problem is not None:
                wire.send(self.channel, problem)
                return
        wire.send(self.channel, {"status": "ready"})
        while True:
            message, _ = wire.receive(self.channel)
            if message.get("end"):
                self.stop_process()
                return
            if message.get("sizes"):
                self.batch(message["sizes"], message["fresh"])

    def batch(self, sizes: list[int], fresh: bool) -> None:
        """Run tests one after another, until one fails or the host speaks; their inputs lie in `inputs`, one by one.

        A reply is told as soon as the next test takes longer than `_TELL_SECONDS`, so that the host need not wait for
        a test that it may not want.
        """
        position = written = 0
        self.told = time.monotonic()
        try:
            for size in sizes:
                _copy(self.inputs, position, self.stdin, 0, size)
                os.ftruncate(self.stdin, size)
                position += size
                os.ftruncate(self.stdout, 0)
                os.ftruncate(self.stderr, 0)
                reply = self.test(fresh)
                limit = self.limits["output_mb"] * _MB
                output = min(os.fstat(self.stdout).st_size, limit)
                _copy(self.stdout, 0, self.outputs, written, output)
                self.done.append(reply | {"output": [written, output], "full": output >= limit})
                written += output
                if reply["status"] not in ("ok", "exited") or written >= _MOST_OUTPUT:
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

    def test(self, fresh: bool) -> dict[str, Any]:
        """Run one test. The reply: status, detail, cpu and wall in seconds, whether the process was new.

        Raises Interrupted where the host speaks meanwhile or is gone.
        """
        if fresh:
            self.stop_process()
        is_new = self.process is None
        if self.process is None:
            self.process = Process(self)
        process = self.process
        reply = process.test()
        if process.ended or reply["status"] == "died" or not self.keeps_process:
            self.stop_process()
        return {**reply, "new": is_new}

    @property
    def keeps_process(self) -> bool:
        return self.prepared is not None and bool(self.prepared.keeps_process)


class Process:
    """The process that runs a program: for one test, or for one test after another."""

    def __init__(self, owner: Supervisor) -> None:
        self.owner = owner
        self.ended = False
        go_read, self.go = os.pipe()
        self.reply, reply_write = os.pipe()
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._become_program(go_read, reply_write)
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
        owner = self.owner
        try:
            self._limit_program()
            executable = owner.executable is not None or owner.request["kind"] == "command"
            kept = self._arrange(go, reply)
            if owner.jailed and owner.request["kind"] != "command":
                kernel.install_filter(seccomp.program_filter(may_exec=executable))
            if executable:
                argv = owner.request["argv"]
                target = argv[0] if owner.executable is None else kept["executable"]
                os.execve(target, argv, dict(os.environ))
        except OSError as error:
            os.write(2, f"cannot start: {error}".encode())
            os._exit(127)
        serve = compat.serve if owner.request["mode"] == "lcb-compat" else python_programs.serve
        serve(owner.prepared, kept)
        os._exit(0)

    def _limit_program(self) -> None:
        limits, request = self.owner.limits, self.owner.request
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: math.ceil(limits["cpu_seconds"] * request["tests"]) + 2,
            resource.RLIMIT_FSIZE: limits["output_mb"] * _MB,
            resource.RLIMIT_STACK: limits["stack_mb"] * _MB,
            resource.RLIMIT_AS: limits["memory_mb"] * _MB,
        }
        if self.owner.jailed:  # outside a namespace of its own the count would include everything else of this user
            wanted[resource.RLIMIT_NPROC] = limits["processes"]
        _limit(wanted)

    def _arrange(self, go: int, reply: int) -> dict[str, int]:
        """Put the descriptors where they belong, close every other one. Returns the ones above 2 by their use."""
        owner = self.owner
        for descriptor in (owner.stdin, owner.stdout, owner.stderr):
            os.lseek(descriptor, 0, os.SEEK_SET)
        wanted = {"go": go, "reply": reply, "input": owner.stdin, "output": owner.stdout, "stderr": owner.stderr}
        if owner.executable is not None:
            wanted["executable"] = owner.executable
        base = owner.limits["open_files"] - len(wanted)
        for number, source in enumerate(wanted.values(), start=base):
            os.dup2(source, number, inheritable=False)
        kept = {name: number for number, name in enumerate(wanted, start=base)}
        functional = owner.request["kind"] == "python" and (
            owner.request["fn_name"] or owner.request["mode"] != "script"
        )
        if functional:
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1):
                os.dup2(null, number)
        else:
            os.dup2(owner.stdin, 0)
            os.dup2(owner.stdout, 1)
        os.dup2(owner.stderr, 2)
        os.closerange(3, base)
        os.closerange(base + len(wanted), 1 << 16)
        _limit({resource.RLIMIT_NOFILE: owner.limits["open_files"]})
        return kept

    def test(self) -> dict[str, Any]:
        limits = self.owner.limits
        begin = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            os.write(self.go, b"g")
        # in the compatible mode the program's own process raises at its limit, this one is the backstop
        cpu_limit = math.inf if self.owner.request["mode"] == "lcb-compat" else limits["cpu_seconds"]
        verdict = self._wait(begin, cpu_limit, limits["wall_seconds"])
        wall = time.monotonic() - begin
        cpu_now = self._cpu()
        reply: dict[str, Any] = {"status": verdict, "detail": ""}
        if verdict == "replied":
            reply = _read_reply(self.reply)
        if verdict in ("ended", "time limit"):
            self.ended = True
            if verdict == "time limit":
                os.kill(self.pid, signal.SIGKILL)
                reply["detail"] = f"{cpu_now - self.cpu_before:.2f} s CPU, {wall:.2f} s wall"
            _, status, usage = os.wait4(self.pid, 0)
            cpu_now = usage.ru_utime + usage.ru_stime
            reply["memory_mb"] = usage.ru_maxrss / 1024 if sys.platform != "darwin" else usage.ru_maxrss / _MB
            if verdict != "time limit":
                reply |= self._how_it_ended(status, cpu_now)
            self.pid = 0
        reply |= {"cpu": max(0.0, cpu_now - self.cpu_before), "wall": wall}
        self.cpu_before = cpu_now
        return reply

    def _how_it_ended(self, status: int, cpu: float) -> dict[str, str]:
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXFSZ:
                return {"status": "output limit", "detail": "killed at the limit on output"}
            spent = cpu - self.cpu_before >= self.owner.limits["cpu_seconds"]
            if number == signal.SIGXCPU or (number == signal.SIGKILL and spent):
                return {"status": "time limit", "detail": f"{cpu:.2f} s CPU"}
            return {"status": "runtime error", "detail": f"killed by {signal.Signals(number).name}"}
        code = os.WEXITSTATUS(status)
        if code:
            return {"status": "runtime error", "detail": f"exit code {code}"}
        return {"status": "exited", "detail": ""}

    def _wait(self, begin: float, cpu_limit: float, wall_limit: float) -> str:
        """ended, replied, or time limit. Raises Interrupted where the host speaks or is gone."""
        pause = min(cpu_limit, wall_limit)
        while True:
            first = min(pause, _TELL_SECONDS) if self.owner.done else pause
            ready = dict(self.poll.poll(max(1.0, math.ceil(first * 1000))))
            if self.owner.channel.fileno() in ready:
                raise Interrupted
            if ready.get(self.reply, 0) & select.POLLIN:
                return "replied"
            if self.handle in ready or (self.handle is None and ready):
                return "ended"
            if self.reply in ready:  # the program closed its end: only its exit can tell now
                self.poll.unregister(self.reply)
            self.owner.tell(more=True)
            used = self._cpu() - self.cpu_before
            wall = time.monotonic() - begin
            if used >= cpu_limit or wall >= _BUSY_FACTOR * wall_limit:
                return "time limit"
            if wall >= wall_limit:
                if cpu_limit == math.inf or used < wall / _IDLE_SHARE:
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
            if descriptor is not None:
                os.close(descriptor)


_STATUSES = ("ok", "runtime error", "memory limit", "output limit", "time limit", "syntax error", "bad tests", "died")


def _read_reply(descriptor: int) -> dict[str, Any]:
    """What the program's process says of itself: a stranger's word, so nothing but a known status is believed."""
    text = os.read(descriptor, _REPLY_LIMIT)
    if text == python_programs.OK:
        return {"status": "ok", "detail": ""}
    try:
        reply = json.loads(text)
        if reply["status"] in _STATUSES:
            return {"status": reply["status"], "detail": str(reply["detail"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return {"status": "runtime error", "detail": "the program wrote into the judge's pipe"}
