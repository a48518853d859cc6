"""What the notation of an answer is read as: tests/golden/grading/trees.jsonl, each row a text and its syntax tree."""

import json
from pathlib import Path
from typing import Any

import pytest
from grading_trees import shown

from evalkit.grading.latex.nodes import ParseError
from evalkit.grading.latex.parser import parse

TREES = Path(__file__).parent / "golden" / "grading" / "trees.jsonl"
ROWS = [json.loads(line) for line in TREES.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", [pytest.param(row, id=str(number)) for number, row in enumerate(ROWS, 1)])
def test_a_text_is_read_as_this_tree(row: dict[str, Any]) -> None:
    if row["tree"] is None:
        with pytest.raises(ParseError):
            parse(row["text"])
    else:
        assert shown(parse(row["text"])) == row["tree"]
