"""Verdicts on pairs with the rule that gave them: tests/golden/grading/verdicts.jsonl, judged in this process."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.grading.equality.equivalence import judge

VERDICTS = Path(__file__).parent / "golden" / "grading" / "verdicts.jsonl"
ROWS = [json.loads(line) for line in VERDICTS.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", [pytest.param(row, id=str(number)) for number, row in enumerate(ROWS, 1)])
def test_a_pair_is_judged_by_this_rule(row: dict[str, Any]) -> None:
    verdict = judge({"gold": row.pop("gold"), "answer": row.pop("answer")})
    assert verdict == row
