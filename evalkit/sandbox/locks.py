"""Locks between the judges of one user on one machine: many programs at once, or for a short while one alone.

Two locked files: `gate` lets a program that should be alone stop newcomers, `room` is shared by those that run. Nobody
is kept waiting for long: who wants to be alone gives up where the others do not end soon, lets them go on when its time
is over, and leaves them undisturbed afterwards for as long as it kept them waiting.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows has no sandbox, so nothing is ever locked there
    fcntl = None  # type: ignore[assignment]

MOST_WAIT_SECONDS = 2.0
MOST_ALONE_SECONDS = 8.0
_POLL_SECONDS = 0.01


def _open(name: str) -> int:
    folder = os.path.join(tempfile.gettempdir(), f"evalkit-{os.getuid()}")
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    if not _is_ours(folder):  # somebody else was there first
        import platformdirs

        folder = os.path.join(platformdirs.user_cache_dir("evalkit"), "locks")
        os.makedirs(folder, mode=0o700, exist_ok=True)
    return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _is_ours(folder: str) -> bool:
    try:
        return os.lstat(folder).st_uid == os.getuid() and os.path.isdir(folder) and not os.path.islink(folder)
    except OSError:
        return False


@contextlib.contextmanager
def beside_others() -> Iterator[None]:
    """Run while others of this kind run, and nothing that has to be alone."""
    room = _open("room")
    try:
        gate = _open("gate")
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_SH)
        finally:
            os.close(gate)
        yield
    finally:
        os.close(room)


@contextlib.contextmanager
def by_itself(seconds: float) -> Iterator[bool]:
    """Run for `seconds`, at most `MOST_ALONE_SECONDS`, while no other program of this user's judges runs, afterwards
    beside them. Yields whether it is alone: not where the others do not end soon or have just been kept waiting.
    """
    begin = time.time()
    with contextlib.ExitStack() as stack:
        alone = _take(stack, begin)
        if not alone:
            stack.close()
        timer = threading.Timer(min(seconds, MOST_ALONE_SECONDS), stack.close)
        timer.daemon = True
        if alone:
            timer.start()
        try:
            yield alone
        finally:
            timer.cancel()
            if alone:
                timer.join()


def _take(stack: contextlib.ExitStack, begin: float) -> bool:
    """Lock both files, which `stack` unlocks; False where that would take too long or too much."""
    gate = _open("gate")
    stack.callback(os.close, gate)
    deadline = time.monotonic() + MOST_WAIT_SECONDS
    if not _lock(gate, deadline):
        return False
    undisturbed_until = os.pread(gate, 100, 0)
    with contextlib.suppress(ValueError):
        if 0 < float(undisturbed_until or b"0") - time.time() < 2 * (MOST_ALONE_SECONDS + MOST_WAIT_SECONDS):
            return False
    room = _open("room")
    stack.callback(os.close, room)
    locked = _lock(room, deadline)
    stack.callback(_leave_undisturbed, gate, begin)
    return locked


def _lock(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _leave_undisturbed(gate: int, begin: float) -> None:
    now = time.time()
    os.ftruncate(gate, 0)
    os.pwrite(gate, f"{now + (now - begin):.3f}".encode(), 0)
