"""AIME 2024: 30 problems, each answer an integer from 0 to 999."""

from collections.abc import Sequence

from evalkit import DatasetSpec, EvalkitError, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.grading import grade_math, math_equal


class AIME24(Task):
    name = "aime24"
    version = 1
    title = "AIME 2024"
    kind = "math"
    aliases = ("aime", "aime_2024", "aime2024")
    rows = 30
    targets_sha256 = "f3710204bba401bc62b5bfe10dddfdb76057b640373e4196e6fb720f5eec0641"
    n = 64
    dataset = DatasetSpec(
        hub_id="HuggingFaceH4/aime_2024",
        revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        split="train",
        columns=("id", "problem", "answer"),
        files=("train.jsonl", "data/train-00000-of-00001.parquet"),
        rows=30,
    )

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [
            Problem(str(row["id"]), row["problem"], _integer(str(row["answer"]), str(row["id"])))
            for row in source.rows(self.dataset)
        ]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)

    def same_answer(self, first: str, second: str) -> bool:
        return math_equal(first, second)


def _integer(answer: str, problem_id: str) -> str:
    # some copies of the data set have leading zeros
    try:
        return str(int(answer))
    except ValueError:
        raise EvalkitError(
            f"The answer {answer!r} of AIME problem {problem_id} is not an integer.", "download the data set again."
        ) from None
