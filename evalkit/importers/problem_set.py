"""The problems of an imported log as a task of their own, where evalkit has none for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.task import DatasetSpec, Task
from evalkit.errors import EvalkitError
from evalkit.files import is_single_name
from evalkit.types import Problem, Score

PROBLEM_SET = f"{__name__}:ProblemSet"
PROBLEMS_FILE = "problems.jsonl"
Kind = Literal["math", "choice", "none"]
_GRADED = {"math": "math", "choice": "choice", "none": "other"}


@dataclass
class ProblemSet(Task):
    """Problems that came with a log: <run>/<label>/problems.jsonl.

    `of_kind` says how they are graded: by value ("math"), by letter ("choice"), or not at all ("none"), where the log
    has no right answers.
    """

    name = "imported"
    version = 1
    title = "imported"
    n = 1
    label: str = "imported"
    of_kind: Kind = "math"

    def __post_init__(self) -> None:
        if not is_single_name(self.label):
            raise EvalkitError(f"{self.label!r} is not the name of a problem set.", "it is the name of a folder.")
        own: Any = self  # the names of a class, here of one set
        own.name, own.title, own.kind = (
            self.label,
            f"{self.label.removesuffix('_imported')} (imported)",
            _GRADED[self.of_kind],
        )
        own.dataset = DatasetSpec(
            hub_id=f"imported/{self.label}",
            revision="",
            split="problems",
            columns=("id", "prompt", "target"),
            files=(PROBLEMS_FILE,),
            ordered=False,  # it lies in the order of the log
        )

    def load(self, source: DataSource) -> Sequence[Problem]:
        assert self.dataset is not None
        return [
            Problem(row["id"], row["prompt"], row["target"], row.get("metadata") or {})
            for row in source.rows(self.dataset)
        ]

    def score(self, problem: Problem, response: str) -> Score:
        if self.of_kind == "none":
            return Score(0.0, "error", explanation="the log has no right answer to this problem")
        scores = [self._grade(problem, response, gold) for gold in _golds(problem)]
        return next((score for score in scores if score.status == "correct"), scores[0])

    def _grade(self, problem: Problem, response: str, gold: str) -> Score:
        from evalkit.grading import grade_choice, grade_math  # here, since tables read results without graders

        if self.of_kind == "choice":
            return grade_choice(response, gold, problem.metadata.get("choices") or list("ABCDEFGHIJ"))
        return grade_math(response, gold)

    def same_answer(self, first: str, second: str) -> bool:
        from evalkit.grading import math_equal

        return math_equal(first, second) if self.of_kind == "math" else first.strip() == second.strip()


def _golds(problem: Problem) -> Sequence[str]:
    """All answers that are right."""
    return problem.metadata.get("golds") or [problem.target]
