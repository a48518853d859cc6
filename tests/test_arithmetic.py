"""The embedded task: its splits, its fingerprint, its grading."""

import subprocess
import sys
from collections.abc import Iterable

import pytest
from evalkit_tasks.arithmetic import Arithmetic, test_problems, training_problems

from evalkit import Problem
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.task import fingerprint_targets


def facts(problems: Iterable[Problem]) -> set[tuple[object, ...]]:
    """What has to be known, the order of a sum's terms left out, recomputed from the prompt's text."""
    found: set[tuple[object, ...]] = set()
    for problem in problems:
        a, symbol, b = problem.prompt.removeprefix("What is ").removesuffix("?").split()
        found.add((symbol, *(sorted((int(a), int(b))) if symbol != "-" else (int(a), int(b)))))
    return found


def test_the_test_split_is_what_the_task_declares() -> None:
    task = Arithmetic()
    problems = task.load(DataSource())
    assert len(problems) == task.rows == 200
    assert len({p.id for p in problems}) == 200
    assert len(facts(problems)) == 200
    assert fingerprint_targets(problems) == task.targets_sha256
    counts = [sum(symbol in p.prompt for p in problems) for symbol in ("+", "-", "*")]
    assert counts == [67, 67, 66]


def test_every_target_is_the_value_of_the_prompt() -> None:
    for problem in (*test_problems(), *training_problems()):
        assert eval(problem.prompt.removeprefix("What is ").removesuffix("?")) == int(problem.target) >= 0


def test_training_and_test_split_share_no_fact() -> None:
    assert not facts(test_problems()) & facts(training_problems())


def test_training_problems_are_a_prefix_distinct_and_drawn_by_the_seed() -> None:
    everything = training_problems()
    assert len({p.id for p in everything}) == len(everything) == 12648
    assert training_problems(30) == everything[:30]
    assert [p.metadata["operation"] for p in training_problems(6)] == ["add", "sub", "mul"] * 2
    assert training_problems(30, seed=1) != training_problems(30)
    assert {p.id for p in training_problems(seed=1)} == {p.id for p in everything}
    assert training_problems(0) == ()
    for count in (-1, len(everything) + 1):
        with pytest.raises(ValueError, match="12648"):
            training_problems(count)


def test_another_process_generates_the_same_problems() -> None:
    code = (
        "import hashlib\nfrom evalkit_tasks.arithmetic import *\n"
        "print(hashlib.sha256(repr((test_problems(), training_problems(500, 3))).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_the_prompt_is_the_bare_question() -> None:
    task = Arithmetic()
    problem = test_problems()[0]
    assert task.kind == "other"  # so that no protocol puts its instruction in place of the prompt
    assert task.messages(problem) == [{"role": "user", "content": problem.prompt}]


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("\n\n\\boxed{74}", "correct"),
        ("So \\boxed{ 74 }.", "correct"),
        ("\\boxed{174}", "wrong"),
        ("\\boxed{4}", "wrong"),
        ("", "no_answer"),
    ],
)
def test_grading(response: str, status: str) -> None:
    problem = next(p for p in test_problems() if p.id == "add-12-62")
    assert Arithmetic().score(problem, response).status == status


def test_gold_responses_are_correct() -> None:
    task = Arithmetic()
    for problem in task.load(DataSource())[::20]:
        gold = task.gold_response(problem)
        assert gold is not None
        assert task.score(problem, gold).value == 1
