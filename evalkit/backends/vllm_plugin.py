"""A plug-in of vLLM (entry-point group `vllm.general_plugins`), which calls it in each process that it starts."""

import os
import threading
import time

STARTED_BY = "EVALKIT_STARTED_VLLM"
"""Environment variable: the process id of the evalkit that has started vLLM. Unset where it was started otherwise."""


def end_with_parent() -> None:
    """End vLLM's processes with the one that started them: orphans would keep the GPU's memory after a `kill -9`."""
    if STARTED_BY not in os.environ:
        return
    os.register_at_fork(after_in_child=_watch_parent)  # a forked process does not load plug-ins again
    if os.environ[STARTED_BY] != str(os.getpid()):
        _watch_parent()


def _watch_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
