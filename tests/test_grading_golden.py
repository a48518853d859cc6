"""Labelled answers, responses and letters; a file put into tests/golden is read by the fields of its rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.grading import grade_choice, grade_math, math_equal

GOLDEN = Path(__file__).parent / "golden"
pytestmark = pytest.mark.usefixtures("patient_graders")


def golden_rows(*fields: str) -> list[Any]:
    """The rows of all files that have these fields, each named by its file and line."""
    return [
        pytest.param(row, id=f"{path.stem}:{number}")
        for path in sorted(GOLDEN.glob("*.jsonl"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (row := json.loads(line)).keys() >= set(fields)
    ]


PAIRS = golden_rows("gold", "answer", "equal")
RESPONSES = golden_rows("gold", "response", "status")
LETTERS = golden_rows("choices", "response", "letter")


def test_every_row_is_read_once() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in GOLDEN.glob("*.jsonl"))
    assert len({row.id for row in (*PAIRS, *RESPONSES, *LETTERS)}) == lines == len(PAIRS + RESPONSES + LETTERS)


@pytest.mark.parametrize("row", PAIRS)
def test_pair(row: dict[str, Any]) -> None:
    assert math_equal(row["gold"], row["answer"]) == row["equal"]


@pytest.mark.parametrize("row", RESPONSES)
def test_response(row: dict[str, Any]) -> None:
    score = grade_math(row["response"], row["gold"])
    assert score.status == row["status"], score.explanation


@pytest.mark.parametrize("row", LETTERS)
def test_letter(row: dict[str, Any]) -> None:
    score = grade_choice(row["response"], "A", row["choices"])
    assert score.answer == row["letter"], score.explanation
