"""Grading: forms at the edge of a rule, each beside one that is not of it."""

import pytest

from evalkit.grading.math import compare_answers

pytestmark = pytest.mark.usefixtures("patient_graders")


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        (r"\int_0^1 \sin x \mathrm{d}x", r"1-\cos 1", True),
        (r"\int_0^1 \sin x \mathrm{d} x", r"1-\cos 1", True),
        (r"\int_0^1 \sin x\, dx", r"1-\cos 1", True),
        (r"\int_0^1 \sin x\, dx", r"\cos 1", False),
        (r"\int_0^{\pi} \cos t \mathrm{d}t", "0", True),
        ("n = 2k", "n = 2m", True),
        ("n = 2k", "even n", True),
        ("n = 2k", "n = 2k + 1", False),
        ("all even n", "n = 2k", True),
        (r"n = 1, n \ge 3", r"n \neq 2", True),
        (r"m = 1, m > 2", r"m \neq 2", True),
        (r"x = 1, x > 2", r"x \neq 2", False),
        (r"n \ge 3", "n > 2", True),
        (r"n \ge 3", r"n \ge 4", False),
        ("n = 2k", "n = 3k + 1", False),
        ("1, 2, 3", "3, 2, 1", True),
        ("1, 2, 3", "1, 2", False),
        ("1, 2", "1, 2, 3", False),
        ("(p,q)=(3,2)", "p=3, q=2", True),
        ("(p,q)=(3,2)", "(q,p)=(2,3)", True),
        ("(p,q)=(3,2)", "(p,q)=(2,3)", False),
        ("(p,q)=(3,2)", "(p,q,r)=(3,2,1)", False),
        (r"\alpha+\beta", "beta + alpha", True),
        (r"\alpha+\beta", "alpha + gamma", False),
    ],
)
def test_edges(gold: str, answer: str, equal: bool) -> None:
    verdict = compare_answers(gold, answer)
    assert verdict.equal is equal, verdict.why
