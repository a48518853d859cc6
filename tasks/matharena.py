"""AIME 2025, AIME 2026 and HMMT February 2025, in MathArena's copies (Balunović et al. 2025, arXiv:2505.23281).

Each has 30 problems. AIME's answers are integers from 0 to 999, HMMT's also expressions and lists. The sets are
licensed CC BY-NC-SA 4.0.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from evalkit import DatasetSpec, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.grading import grade_math, math_equal

_ARENA = DatasetSpec(
    hub_id="",
    revision="",
    split="train",
    columns=("problem_idx", "problem", "answer"),
    files=("train.jsonl", "data/train-00000-of-00001.parquet"),
    rows=30,
)


class _MathArena(Task):
    """A contest of MathArena's: `problem_idx`, `problem`, `answer`."""

    version = 1
    kind = "math"
    rows = 30
    n = 64
    dataset: ClassVar[DatasetSpec]

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [
            Problem(str(row["problem_idx"]), row["problem"], str(row["answer"]).strip())
            for row in source.rows(self.dataset)
        ]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)

    def same_answer(self, first: str, second: str) -> bool:
        return math_equal(first, second)


class AIME25(_MathArena):
    name = "aime25"
    title = "AIME 2025"
    aliases = ("aime_2025", "aime2025")
    targets_sha256 = "05c7e618d992af1320d9a3425bb4597eec166f065d22fcbdbfdc17aebdc0cc24"
    dataset = replace(_ARENA, hub_id="MathArena/aime_2025", revision="c94da77eb22bbd6439e62a323bec18493a421302")


class AIME26(_MathArena):
    name = "aime26"
    title = "AIME 2026"
    aliases = ("aime_2026", "aime2026")
    targets_sha256 = "32a23bf4e9f9226d350852264486dd3501647d76b372e5bb4b8211c20569ad99"
    dataset = replace(_ARENA, hub_id="MathArena/aime_2026", revision="d2de22f3c656b4f56cf8981212186377d1e23bc3")


class HMMTFeb25(_MathArena):
    name = "hmmt_feb25"
    title = "HMMT February 2025"
    aliases = ("hmmt25", "hmmt_feb_2025")
    targets_sha256 = "344fdf7a29793b0912836e321a855ff6760ff96f16e18a4ce9ea49f96f7f6d40"
    dataset = replace(_ARENA, hub_id="MathArena/hmmt_feb_2025", revision="6fdc4277120810ff75aa22d2d5489b91f7a262a1")
