"""Labelled answers, responses and letters that were written before the graders saw them; tests/golden holds them."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.grading import grade_choice, grade_math, math_equal

GOLDEN = Path(__file__).parent / "golden"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def test_pairs() -> None:
    assert math_equal("\\int_0^1 2x\\,dx", "1")  # starts sympy's worker
    wrong = [row for row in rows("pairs.jsonl") if math_equal(row["gold"], row["answer"]) != row["equal"]]
    assert not wrong


KINDS = rows("kinds.jsonl")


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in KINDS}))
def test_kinds_of_answers(kind: str) -> None:
    """Answers that differ in one thing, and answers that do not: both directions of each kind."""
    wrong = [row for row in KINDS if row["kind"] == kind and math_equal(row["gold"], row["answer"]) != row["equal"]]
    assert not wrong


def test_responses() -> None:
    wrong = [row for row in rows("responses.jsonl") if grade_math(row["response"], row["gold"]).status != row["status"]]
    assert not wrong


def test_letters() -> None:
    wrong = [
        row
        for row in rows("letters.jsonl")
        if grade_choice(row["response"], "A", row["choices"]).answer != row["letter"]
    ]
    assert not wrong
