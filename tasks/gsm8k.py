"""GSM8K: the 1,319 test problems of grade school mathematics of Cobbe et al. (2021, arXiv:2110.14168).

An answer is worked out in words and ends in `#### N`; N is the right answer. Models are asked without examples.
"""

from collections.abc import Sequence

from evalkit import DatasetSpec, EvalkitError, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.grading import grade_math, math_equal


class GSM8K(Task):
    name = "gsm8k"
    version = 1
    title = "GSM8K"
    kind = "math"
    aliases = ("gsm_8k", "grade_school_math")
    rows = 1319
    targets_sha256 = "e4fe57a23c508a487ebdfbcd565c5f844d167f9dc309efa6331e146d16b4ae5e"
    dataset = DatasetSpec(
        hub_id="openai/gsm8k",
        revision="740312add88f781978c0658806c59bc2815b9866",
        config="main",
        split="test",
        columns=("question", "answer"),
        files=("test.jsonl", "main/test-00000-of-00001.parquet"),
        rows=1319,
    )

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [
            Problem(str(number), row["question"], _final(row["answer"], number))
            for number, row in enumerate(source.rows(self.dataset), start=1)
        ]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)

    def same_answer(self, first: str, second: str) -> bool:
        return math_equal(first, second)


def _final(answer: str, number: int) -> str:
    """The number after the last `####`."""
    _, mark, final = answer.rpartition("####")
    if not mark or not final.strip():
        raise EvalkitError(f"Answer {number} of GSM8K has no `####`.", "download the data set again.")
    return final.strip().replace(",", "")
