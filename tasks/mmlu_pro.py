"""MMLU-Pro: 12,032 questions of 14 subjects with up to ten choices (Wang et al. 2024, arXiv:2406.01574).

Models are asked without examples, where the paper gives five. The letters in the prompt are those of the question.
"""

from collections.abc import Mapping, Sequence

import evalkit
from evalkit import DatasetSpec, EvalkitError, Metric, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.grading import grade_choice

_LETTERS = "ABCDEFGHIJ"


class MMLUPro(Task):
    name = "mmlu_pro"
    version = 1
    title = "MMLU-Pro"
    kind = "choice"
    aliases = ("mmlupro", "mmlu-pro")
    rows = 12032
    dataset = DatasetSpec(
        hub_id="TIGER-Lab/MMLU-Pro",
        revision="b189ec765aa7ed75c8acfea42df31fdae71f97be",
        split="test",
        columns=("question_id", "question", "options", "answer", "category"),
        files=("test.jsonl", "data/test-00000-of-00001.parquet"),
        rows=12032,
    )

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [_problem(row) for row in source.rows(self.dataset)]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_choice(response, problem.target, problem.metadata["choices"])

    def gold_response(self, problem: Problem) -> str:
        return f"Only one of them fits.\n\nAnswer: {problem.target}"

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        """The mean score of each subject."""
        by_subject: dict[str, list[list[float]]] = {}
        for problem in problems:
            by_subject.setdefault(problem.metadata["category"], []).append([s.value for s in scores[problem.id]])
        return [evalkit.mean_metric(name, values) for name, values in sorted(by_subject.items()) if any(values)]


def _problem(row: Mapping[str, object]) -> Problem:
    options = row["options"]
    choices = [str(option).strip() for option in options] if isinstance(options, Sequence) else []
    answer = str(row["answer"]).strip()
    if not 2 <= len(choices) <= len(_LETTERS) or answer not in _LETTERS[: len(choices)]:
        raise EvalkitError(
            f"Question {row['question_id']} of MMLU-Pro has {len(choices)} choices and the answer {answer!r}.",
            "download the data set again.",
        )
    lines = "\n".join(f"{letter}) {choice}" for letter, choice in zip(_LETTERS, choices, strict=False))
    about = {"choices": choices, "category": str(row["category"])}
    return Problem(str(row["question_id"]), f"{str(row['question']).strip()}\n\n{lines}", answer, about)
