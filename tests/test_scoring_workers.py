"""As many grading processes as pay for their start."""

import os
import subprocess
import sys
from contextlib import closing

import pytest
from evalkit_tasks.arithmetic import Arithmetic, test_problems

from evalkit.benchmark.registry import TaskSpec
from evalkit.run.scoring import Scorer, _GradingTimes
from evalkit.types import Completion


def times(start: float, each: float) -> _GradingTimes:
    measured = _GradingTimes()
    for seconds in (start, each, each):
        measured.add(seconds)
    return measured


def test_another_worker_has_to_save_more_than_its_start() -> None:
    assert not times(2.0, 0.0055).is_worth_another(1392, 1), "4 s saved, and 2 s taken from a machine that is busy"
    assert times(2.0, 0.0055).is_worth_another(2000, 1)
    assert not times(2.0, 0.0055).is_worth_another(2000, 2)
    assert times(2.0, 3.0).is_worth_another(100, 7), "programs take long"
    assert not _GradingTimes().is_worth_another(10**6, 1), "nothing is known before the first answers"


def test_a_few_answers_are_graded_by_one_process() -> None:
    with closing(Scorer([(TaskSpec("arithmetic"), Arithmetic())])) as scorer:
        problems = test_problems()[:40]
        for problem in problems:
            text = f"</think>\\boxed{{{problem.target}}}"
            scorer.submit(problem, Completion("arithmetic", problem.id, 0, text, "stop", None, None, 0.0))
        scores = list(scorer.results(wait=True))
        assert [score.status for score in scores] == ["correct"] * 40
        assert scorer.workers == 1
        assert scorer.pending == 0


def test_workers_that_were_asked_for_grade_at_once() -> None:
    with closing(Scorer([(TaskSpec("arithmetic"), Arithmetic())], workers=3)) as scorer:
        assert scorer.workers == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to processors")
def test_only_the_processors_that_a_process_may_use_count() -> None:
    """As under taskset, Slurm or in a cpuset: more workers would wait for each other."""
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from evalkit.workers import processors\nprint(processors())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
