"""GPQA Diamond: 198 graduate-level questions with four choices (Rein et al. 2023, arXiv:2311.12022).

Its authors ask not to publish the questions in plain text, so the archive is read in memory and never unpacked.
"""

import hashlib
from collections.abc import Sequence

from evalkit import DatasetSpec, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.grading import grade_choice

_COLUMNS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_LETTERS = "ABCD"


class GPQADiamond(Task):
    name = "gpqa_diamond"
    version = 1
    title = "GPQA Diamond"
    kind = "choice"
    aliases = ("gpqa", "gpqa_main_diamond")
    rows = 198
    targets_sha256 = "4704acf0f422e9fbafe8932390fa55f1a7cb8511bad0f845ddfab2bc5c701583"
    n = 8
    dataset = DatasetSpec(
        hub_id="Idavidrein/gpqa",
        revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
        config="gpqa_diamond",
        split="train",
        columns=("Record ID", "Question", *_COLUMNS),
        files=("gpqa_diamond.csv", "dataset.zip::gpqa_diamond.csv"),
        rows=198,
        gated=True,
        zip_password="deserted-untie-orchid",
    )

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [
            _problem(row["Record ID"], row["Question"], [row[c] for c in _COLUMNS]) for row in source.rows(self.dataset)
        ]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_choice(response, problem.target, problem.metadata["choices"])

    def gold_response(self, problem: Problem) -> str:
        return f"Only one of them fits.\n\nAnswer: {problem.target}"


def _problem(record_id: str, question: str, answers: Sequence[str]) -> Problem:
    """`answers` starts with the right one. The order of the choices depends only on the question and the answers."""
    order = sorted(range(len(answers)), key=lambda i: hashlib.sha256(f"{question}\x1f{answers[i]}".encode()).digest())
    choices = [answers[i].strip() for i in order]
    lines = "\n".join(f"{letter}) {choice}" for letter, choice in zip(_LETTERS, choices, strict=True))
    return Problem(record_id, f"{question.strip()}\n\n{lines}", _LETTERS[order.index(0)], {"choices": choices})
