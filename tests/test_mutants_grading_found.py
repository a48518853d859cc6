"""Where an answer is found: tests/golden/grading/found.jsonl (answers) and choices.jsonl (letters), each row whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.grading.answers.extract import extract_answer
from evalkit.grading.choice import read_letter

GOLDEN = Path(__file__).parent / "golden" / "grading"
OPTIONS = ["Mars", "Venus", "Earth", "Jupiter"]


def rows(name: str) -> list[Any]:
    lines = (GOLDEN / name).read_text("utf-8").splitlines()
    return [pytest.param(json.loads(line), id=str(number)) for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize("row", rows("found.jsonl"))
def test_the_answer_its_rule_and_its_parts(row: dict[str, Any]) -> None:
    found = extract_answer(row["response"])
    told = found and [found.answer, found.rule, found.side, found.worded, list(found.parts)]
    assert told == row["found"]


@pytest.mark.parametrize("row", rows("choices.jsonl"))
def test_the_letter_its_rule_and_its_words(row: dict[str, Any]) -> None:
    assert list(read_letter(row["text"], OPTIONS)) == row["read"]
