"""vLLM's processes end with the one that has started them: orphans would keep the GPU's memory after a `kill -9`.

`end_with_parent` is a plug-in of vLLM (entry-point group `vllm.general_plugins`): called in each of its processes.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Iterator

from evalkit.files import is_running

_STARTER = "EVALKIT_STARTS_VLLM"  # the process id of the evalkit that is starting vLLM, for what it starts


@contextlib.contextmanager
def ending_with_this_process() -> Iterator[None]:
    """vLLM's processes that are started inside will end when this one does; others are left alone."""
    os.environ[_STARTER] = str(os.getpid())
    _watch_in_forks()
    try:
        yield
    finally:
        del os.environ[_STARTER]


def end_with_parent() -> None:
    """Watch the parent from now on, in this process and in what it starts, if evalkit is what starts vLLM."""
    if os.environ.get(_STARTER, str(os.getpid())) != str(os.getpid()):
        _watch_in_forks()
        _watch_parent()


@functools.cache
def _watch_in_forks() -> None:
    os.register_at_fork(after_in_child=_watch_parent)  # a forked process does not load plug-ins again


def _watch_parent() -> None:
    if _STARTER not in os.environ:
        return
    starter, parent = int(os.environ[_STARTER]), os.getppid()

    def watch() -> None:
        while os.getppid() == parent and is_running(starter):  # the parent may have ended before it was asked for
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
