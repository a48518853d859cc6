"""The contract suite on every installed task and on a fresh one; broken tasks are caught, rule by rule."""

from pathlib import Path

import pytest
from helpers import evalkit, told
from synthetic import write_all

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.registry import TaskSpec, installed_tasks
from evalkit.run.contract import check_task

SMALL = ("aime24", "math500", "gpqa_diamond", "arithmetic")


def broken_rules(spec: TaskSpec, source: DataSource) -> list[str]:
    return [f"{c.rule}: {c.detail}" for c in check_task(spec, source) if c.passed is False]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_our_tasks_on_data_of_our_own(name: str, tmp_path: Path) -> None:
    assert broken_rules(TaskSpec(name), DataSource(write_all(tmp_path), allow_changed=True)) == []


# not among the real data at hand: tests/test_more_tasks.py checks them on rows in the hub's schema
NOT_AT_HAND = {"aime25", "aime26", "hmmt_feb25", "ifeval", "mmlu_pro"}


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(installed_tasks().keys() - NOT_AT_HAND))
def test_our_tasks_on_the_real_data(name: str, data_dir: Path) -> None:
    partial = name == "livecodebench"  # the data at hand are a part of a release
    checks = check_task(TaskSpec(name), DataSource(data_dir, allow_changed=partial))
    assert [c for c in checks if c.passed is False] == []
    if name in SMALL:
        unchecked = [c.rule for c in checks if c.passed is None]
        assert unchecked == [], "our own exact-answer tasks leave nothing unchecked"


@pytest.mark.slow
def test_a_new_task_passes_as_it_is_and_runs(tmp_path: Path) -> None:
    path = tmp_path / "my_task.py"
    evalkit("tasks", "new", "my_task", "-o", path)
    assert len(path.read_text().splitlines()) <= 40
    assert "BROKEN" not in evalkit("tasks", "check", "my_task", "--task-file", path).stdout
    assert "already exists" in told(evalkit("tasks", "new", "my_task", "-o", path, code=2))


GOOD = """
import random
from evalkit import Problem, Score, Task
from evalkit.grading import grade_math

class Checked(Task):
    name = "checked"
    version = 1
    title = "Checked"
    rows = 3
    n = 1
    def load(self, source):
        return [Problem(str(i), f"What is {i}?", str(i)) for i in range(1, 4)]
    def score(self, problem, response):
        return grade_math(response, problem.target)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("rows = 3", "rows = 4", "the number of problems is the declared one"),
        ("rows = 3", "rows = 3; targets_sha256 = 'x'", "the right answers are the declared ones"),
        ("Problem(str(i)", "Problem('same'", "ids are unique and not empty"),
        ('f"What is {i}?"', '" "', "no problem is empty"),
        ("str(i)) for", "str(i), {'x': {1}}) for", "problems can be written as JSON"),
        ('f"What is {i}?"', "str(random.random())", "another process with other hash seeds"),
        ('f"What is {i}?"', "str(hash(str(i)))", "another process with other hash seeds"),
        ("problem.target)", "'7')", "the right answer is graded correct"),
        ("return grade_math(response, problem.target)", "return Score(1.0, 'correct')", "empty and hostile answers"),
        (
            "return grade_math(response, problem.target)",
            "return Score(float(response), 'wrong')",
            "causes a grader error",
        ),
    ],
)
def test_a_broken_task_is_caught(tmp_path: Path, old: str, new: str, rule: str) -> None:
    path = tmp_path / "checked.py"
    assert old in GOOD
    path.write_text(GOOD)
    assert broken_rules(TaskSpec("checked", str(path)), DataSource()) == []
    path.write_text(GOOD.replace(old, new))
    assert any(rule in broken for broken in broken_rules(TaskSpec("checked", str(path)), DataSource()))
