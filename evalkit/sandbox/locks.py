"""Locks between the judges of one user on one machine: many programs at once, or one alone.

Two locked files: `gate` lets a program that has to be alone stop newcomers, `room` is shared by those that run.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows has no sandbox, so nothing is ever locked there
    fcntl = None  # type: ignore[assignment]


def _open(name: str) -> int:
    folder = os.path.join(tempfile.gettempdir(), f"evalkit-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.lstat(folder).st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


@contextlib.contextmanager
def _held(name: str, exclusive: bool) -> Iterator[None]:
    descriptor = _open(name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def beside_others() -> Iterator[None]:
    """Run while others of this kind run, and nothing that has to be alone."""
    with contextlib.ExitStack() as stack:
        with _held("gate", exclusive=True):
            stack.enter_context(_held("room", exclusive=False))
        yield


@contextlib.contextmanager
def by_itself() -> Iterator[None]:
    """Run when no other program of this user's judges runs."""
    with _held("gate", exclusive=True), _held("room", exclusive=True):
        yield
