"""Worker processes with a hard time and memory limit, callable from any thread of any program.

A worker is a new Python process that exchanges JSON with the caller over pipes. It needs no `__main__` guard, no fork
and no signal handler in the caller, so it works in pytest, in notebooks, under Ray, on Linux, macOS and Windows. A call
that exceeds its limit is interrupted within the worker by a timer, except on Windows. A worker that cannot be
interrupted is killed, and the next call gets a new one.
"""

import atexit
import contextlib
import importlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from evalkit.visible import VisibleStream

_HEADER = struct.Struct(">Q")
_GRACE = 0.2  # seconds after the limit in which a worker may report that it stopped


_PARENT = "EVALKIT_PARENT"


def processors() -> int:
    """How many processors this process may use: those of the machine, or fewer under taskset, Slurm or in a cpuset."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ending_with_this_process(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for an evalkit process that ends when this process does, even by kill -9."""
    return {**environment, _PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """End this process when the one that started it has ended, if that one asked for it."""
    parent = os.environ.pop(_PARENT, "")
    if not parent:
        return

    def watch() -> None:
        while str(os.getppid()) == parent:
            time.sleep(0.5)
        os._exit(1)

    if str(os.getppid()) != parent:  # it ended while this process started
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


class WorkerTimeoutError(Exception):
    """The call exceeded its time limit."""


class WorkerDiedError(Exception):
    """The worker died during the call (out of memory, stack overflow, killed)."""


class WorkerCallError(Exception):
    """The function raised; the message is `ExceptionType: text`."""


class _Worker:
    """One child process. Not thread-safe; the pool gives it to one caller at a time."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from evalkit.workers import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
        )
        self.ready = False
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.send(setup)

    def await_ready(self, timeout: float) -> None:
        if not self.ready:
            started = self.receive(timeout)
            if "error" in started:
                raise WorkerCallError(started["error"])
            self.ready = True

    def _read(self) -> None:
        assert self.process.stdout is not None
        while (frame := _read_frame(self.process.stdout)) is not None:
            self._frames.put(frame)
        self._frames.put(None)
        self.process.wait()

    def send(self, value: Any) -> None:
        assert self.process.stdin is not None
        try:
            _write_frame(self.process.stdin, value)
        except OSError as error:
            raise WorkerDiedError("the worker process ended before the call") from error

    def receive(self, timeout: float) -> Any:
        try:
            frame = self._frames.get(timeout=timeout)
        except queue.Empty:
            raise WorkerTimeoutError(f"no answer within {timeout:g} s") from None
        if frame is None:
            raise WorkerDiedError(f"the worker process ended with code {self.process.wait()}")
        return json.loads(frame)

    def kill(self) -> None:
        """Kill the process without waiting for its end. The reading thread waits for it."""
        self.process.kill()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


class WorkerPool:
    """A pool of at most `workers` processes that run `function` ("module:name", JSON in, JSON out).

    `initializer` ("module:name") is called once in each new worker with `setup`. `memory_mb` limits a worker's address
    space, except on macOS and Windows. With `spare`, one worker more than are in use is kept ready, so that no call
    waits for the replacement of a killed worker. Thread-safe; survives a fork of the caller.
    """

    def __init__(
        self,
        function: str,
        *,
        workers: int,
        memory_mb: int | None = None,
        initializer: str | None = None,
        setup: Any = None,
        startup_timeout: float = 120.0,
        spare: bool = False,
    ) -> None:
        self._setup = {
            "function": function,
            "memory_mb": memory_mb,
            "initializer": initializer,
            "setup": setup,
        }
        self._size = workers
        self._startup_timeout = startup_timeout
        self._spare = spare
        self._reset()
        atexit.register(self.close)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._size)

    def start(self, count: int) -> None:
        """Start `count` workers (at most the pool's size) in the background, so that the first calls need not wait."""
        with self._lock:
            while len(self._idle) < min(count, self._size):
                self._idle.append(_Worker(self._setup))

    def call(self, payload: Any, timeout: float) -> Any:
        """Call the function with `payload` and return its result. `timeout` is in seconds, without start-up.

        Raises WorkerTimeoutError, WorkerDiedError, or WorkerCallError if the function raised an exception.
        """
        if self._pid != os.getpid():
            self._reset()
        with self._slots:
            worker = self._take()
            try:
                worker.send({"payload": payload, "timeout": timeout})
                reply = worker.receive(timeout + _GRACE)
            except BaseException:
                worker.kill()
                raise
            with self._lock:
                self._idle.append(worker)
        if "timeout" in reply:
            raise WorkerTimeoutError(f"no answer within {timeout:g} s")
        if "error" in reply:
            raise WorkerCallError(reply["error"])
        return reply["result"]

    def _take(self) -> _Worker:
        with self._lock:
            self._idle = [worker for worker in self._idle if worker.process.poll() is None]
            self._idle.sort(key=lambda worker: worker.ready)
            worker = self._idle.pop() if self._idle else _Worker(self._setup)
        try:
            worker.await_ready(self._startup_timeout)
        except BaseException:
            worker.kill()
            raise
        with self._lock:
            if self._spare and not self._idle:
                self._idle.append(_Worker(self._setup))
        return worker

    def close(self) -> None:
        """Stop the idle workers. Another call starts new ones."""
        if self._pid != os.getpid():
            return
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()
            worker.process.wait()


def _write_frame(stream: IO[bytes], value: Any) -> None:
    # ensure_ascii preserves lone surrogates
    data = json.dumps(value).encode("ascii")
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def _read_frame(stream: IO[bytes]) -> bytes | None:
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    (length,) = _HEADER.unpack(header)
    data = stream.read(length)
    return data if len(data) == length else None


def _resolve(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    return target  # type: ignore[no-any-return]


def _limit_memory(megabytes: int | None) -> None:
    if megabytes is None or sys.platform in ("win32", "darwin"):
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def _limit_cpu(seconds: float) -> None:
    """Let the kernel end a call that outlives a killed caller."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + 2 * seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _attempt(function: Callable[..., Any], *args: Any) -> dict[str, Any]:
    try:
        return {"result": function(*args)}
    except Exception as error:  # a grader may raise anything; the caller counts it as an error
        return {"error": f"{type(error).__name__}: {error}"[:2000]}


class _LimitReached(BaseException):
    """The call's time is up. It is not an Exception, so that libraries do not catch it."""


def _limited(function: Callable[..., Any], payload: Any, seconds: float) -> dict[str, Any]:
    """`_attempt` with a time limit; returns {"timeout": True} if it is exceeded."""
    if sys.platform == "win32":
        return _attempt(function, payload)

    def stop(*_: Any) -> None:
        raise _LimitReached

    signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return _attempt(function, payload)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _LimitReached:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return {"timeout": True}


def _reply(stream: IO[bytes], value: Any) -> None:
    try:
        _write_frame(stream, value)
    except OSError:
        os._exit(0)  # the caller is gone


def serve() -> None:
    """The child's loop: answer calls until the caller closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl-C; its exit closes the pipe
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a print() in a grader must not end up among the replies
    sys.stdout = sys.stderr = VisibleStream(sys.stderr)  # what it prints may be a model's text
    first = _read_frame(requests)
    if first is None:
        return
    setup = json.loads(first)
    _limit_memory(setup["memory_mb"])

    def start() -> Callable[[Any], Any]:
        function = _resolve(setup["function"])
        if setup["initializer"]:
            _resolve(setup["initializer"])(setup["setup"])
        return function

    started = _attempt(start)
    function = started.get("result")
    _reply(replies, {"error": started["error"]} if function is None else {"result": None})

    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        while (frame := _read_frame(requests)) is not None:
            calls.put(frame)
        os._exit(0)  # the caller is gone; stop even during a call

    threading.Thread(target=read, daemon=True).start()
    while function is not None:
        call = json.loads(calls.get())
        _limit_cpu(call["timeout"])
        _reply(replies, _limited(function, call["payload"], call["timeout"]))
