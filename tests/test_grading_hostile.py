"""The graders never hang and never die: hostile input, threads, processes, dying workers."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grading_hostile import HOSTILE

from evalkit.grading import grade_choice, grade_math, math_equal
from evalkit.grading.math import MEMORY_MB, compare_answers
from evalkit.types import STATUSES, Score
from evalkit.workers import WorkerPool

LIMIT = 15  # seconds a call: ten times what it may take on an idle machine


@pytest.fixture(scope="module", autouse=True)
def _started() -> None:
    assert math_equal("\\sqrt{2}", "2^{1/2}")
    assert math_equal("1", "\\int_0^1 2x\\,dx")


def test_the_corpus_is_large() -> None:
    assert len(set(HOSTILE)) >= 60
    assert MEMORY_MB < 1024


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_hostile_input_is_answered_in_time(text: str) -> None:
    calls: tuple[Callable[[], Score], ...] = (
        lambda: grade_math(text, "7"),
        lambda: grade_math("\\boxed{" + text + "}", "7"),
        lambda: grade_choice(text, "A", ["one", "two", "three", "four"]),
    )
    for call in calls:
        start = time.monotonic()
        score = call()
        assert time.monotonic() - start < LIMIT
        assert score.status in STATUSES
        assert score.status != "correct"
    start = time.monotonic()
    assert not math_equal(text, "x + 7")
    assert time.monotonic() - start < LIMIT


def test_no_code_ran() -> None:
    assert not Path("/tmp/evalkit-was-here").exists()


def test_threads_get_their_own_answers() -> None:
    wrong: list[int] = []

    def work(offset: int) -> None:
        for n in range(offset, offset + 25):
            if not math_equal(f"\\sqrt{{{n * n}}}", f"\\frac{{{2 * n}}}{{2}}") or math_equal(f"\\sqrt{{{n}}}", str(n)):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(100 * t + 10,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_grades_with_workers_of_its_own() -> None:
    code = (
        "import os\nfrom evalkit.grading import math_equal\nassert math_equal(r'\\sqrt{4}\\pi', r'2\\pi')\n"
        "pid = os.fork()\n"
        "ok = math_equal(r'\\sqrt{9}\\pi', r'3\\pi')\nif pid == 0: os._exit(0 if ok else 1)\n"
        "assert ok and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def allocate(megabytes: int) -> int:
    """Runs in a worker: more memory than it may have."""
    return len(bytearray(megabytes << 20))


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits hold on Linux only")
def test_memory_of_a_worker_is_limited() -> None:
    pool = WorkerPool("test_grading_hostile:allocate", workers=1, memory_mb=MEMORY_MB)
    assert pool.call(10, 10) == 10 << 20
    with pytest.raises(Exception, match="MemoryError"):
        pool.call(1024, 10)
    pool.close()


def own_process(_: None) -> int:
    return os.getpid()


def test_calls_are_answered_by_the_workers_that_were_started_before() -> None:
    pool = WorkerPool("test_grading_hostile:own_process", workers=2)
    pool.start(5)
    started = {worker.process.pid for worker in pool._idle}
    assert len(started) == 2  # no more than it may have
    pool.start(2)
    assert {pool.call(None, 10) for _ in range(4)} <= started
    pool.close()


def test_an_answer_that_takes_too_long_is_told_from_a_wrong_one() -> None:
    slow = "\\sum_{i=1}^{2000}\\sum_{j=1}^{2000}\\sum_{k=1}^{2000} ijk"
    start = time.monotonic()
    verdict = compare_answers("7", slow, timeout=0.2)
    assert verdict.equal is None
    assert time.monotonic() - start < LIMIT
    assert compare_answers("7", "\\sqrt{49}").equal is True
