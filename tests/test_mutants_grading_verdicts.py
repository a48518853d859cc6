"""Verdicts on pairs with the rule that gave them: tests/golden/grading/verdicts.jsonl, judged in this process."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.grading.equality.equivalence import judge
from evalkit.grading.equality.renaming import same_arguments
from evalkit.grading.latex.nodes import Rel
from evalkit.grading.latex.parser import parse

VERDICTS = Path(__file__).parent / "golden" / "grading" / "verdicts.jsonl"
ROWS = [json.loads(line) for line in VERDICTS.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", [pytest.param(row, id=str(number)) for number, row in enumerate(ROWS, 1)])
def test_a_pair_is_judged_by_this_rule(row: dict[str, Any]) -> None:
    verdict = judge({"gold": row.pop("gold"), "answer": row.pop("answer")})
    assert verdict == row


def test_arguments_of_a_function_are_renamed_where_that_is_all_that_differs() -> None:
    def renamed(gold: str, answer: str) -> tuple[Rel, Rel]:
        first, second = parse(gold), parse(answer)
        assert isinstance(first, Rel)
        assert isinstance(second, Rel)
        return second, same_arguments(first, second)

    before, after = renamed("f(x)=x^2", "f(t)=t^2")
    assert (before != after, after) == (True, parse("f(x)=x^2"))
    for gold, answer in (
        ("f(x)=x^2", "g(t)=t^2"),  # another function
        ("f(x)=x^2", "y=t^2"),
        ("f(x,y)=xy", "f(t)=t^2"),  # other arguments
        ("f(x)=x^2", "f(2)=4"),
        ("f(x)=x+c", "f(t)=t+x"),  # x means something else there
    ):
        before, after = renamed(gold, answer)
        assert after is before, (gold, answer)
