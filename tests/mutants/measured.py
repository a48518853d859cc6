"""Coverage of this process, under the name of the test that it works for. The copy's Python imports it at its start.

A process that a test starts belongs to that test. A worker process lives longer: the test that runs now is in a file,
which is read at the start of each of the worker's calls.
"""

import os
import signal
from typing import Any

_FILE = "MUTANTS_RUNNING"


def start() -> None:
    if _FILE not in os.environ or "COVERAGE_PROCESS_START" not in os.environ:
        return
    import coverage

    measured = coverage.process_startup()
    if measured is None:
        return
    path = os.environ[_FILE]

    def switch() -> None:
        if os.environ[_FILE] != path or not os.path.exists(path):
            return  # pytest itself, which switches by test
        with open(path) as file:
            measured.switch_context(file.read())

    switch()
    timed = signal.setitimer

    def begin_call(which: int, seconds: float, interval: float = 0.0) -> Any:
        if seconds > 0:  # a worker's call begins with its time limit
            switch()
        return timed(which, seconds, interval)

    signal.setitimer = begin_call


start()
