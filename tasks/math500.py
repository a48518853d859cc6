"""MATH-500: the 500 test problems of Hendrycks' MATH that Lightman et al. (2023) held out."""

from collections.abc import Sequence

from evalkit import DatasetSpec, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.grading import grade_math, math_equal


class MATH500(Task):
    name = "math500"
    version = 1
    title = "MATH-500"
    kind = "math"
    aliases = ("math", "math_500")
    rows = 500
    targets_sha256 = "3383682eacf4bb92f4c3e0259e9d39ba34394f595371986dda316a471036d485"
    n = 4
    dataset = DatasetSpec(
        hub_id="HuggingFaceH4/MATH-500",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        split="test",
        columns=("unique_id", "problem", "answer", "subject", "level"),
        files=("test.jsonl",),
        rows=500,
    )

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [
            Problem(
                id=row["unique_id"].removeprefix("test/").removesuffix(".json"),
                prompt=row["problem"],
                target=row["answer"],
                metadata={"subject": row["subject"], "level": int(row["level"])},
            )
            for row in source.rows(self.dataset)
        ]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)

    def same_answer(self, first: str, second: str) -> bool:
        return math_equal(first, second)
