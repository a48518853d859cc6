"""Boxed answers that say more than their value, or say it in other words, beside the near misses that stay wrong."""

import pytest

from evalkit.grading import grade_math

pytestmark = pytest.mark.usefixtures("patient_graders")

# what stands in the box, the gold
SAME: tuple[tuple[str, str], ...] = (
    # things counted, remarks
    (r"12 \text{ integers}", "12"),
    (r"12 \text{ positive integers}", "12"),
    (r"12 \text{ even integers}", "12"),
    (r"12 \text{ pairs } (x,y)", "12"),
    (r"12\pi \text{ (approximately } 37.7)", r"12\pi"),
    (r"\frac12\ (\text{or } 50\%)", r"\frac12"),
    (r"\frac{1}{2} \text{ (or 0.5)}", r"\frac12"),
    (r"5 \text{ (since } x > 0)", "5"),
    (r"x=5\text{ only}", "5"),
    (r"\text{There are } 12 \text{ ways}", "12"),
    (r"\textbf{Answer: 5}", "5"),
    (r"\text{Final Answer: 5}", "5"),
    (r"\max f = 5", "5"),
    (r"\min = 5", "5"),
    (r"\gcd = 5", "5"),
    (r"\deg = 2", "2"),
    (r"1 \text{ positive integer}", "1"),
    (r"12 \text{ odd positive integers}", "12"),
    (r"12 \text{ positive integers } n", "12"),
    (r"12\text{ values of }n", "12"),
    ("12 integers", "12"),
    (r"12 \text{ solutions } (x,y,z)", "12"),
    (r"12 \text{ ordered triples }(a,b,c)", "12"),
    (r"12 \text{ integers}", r"12\text{ integers}"),
    (r"12 \text{ integers}", r"12\text{ positive integers}"),
    (r"\sqrt{17}\ (\approx 4.123)", r"\sqrt{17}"),
    (r"5 \text{ because } x>0", "5"),
    (r"x=5,\text{ since }x>0", "5"),
    ("5 (since x > 0)", "5"),
    (r"\text{There are exactly } 12", "12"),
    (r"\text{There are exactly 12 ways}", "12"),
    (r"\text{Answer: } 5", "5"),
    (r"\textbf{Final Answer: }\frac{1}{2}", "1/2"),
    (r"\textbf{Answer: }5", "5"),
    (r"\max f(x) = 5", "5"),
    (r"\min_{x>0} f(x) = 5", "5"),
    (r"\deg P = 2", "2"),
    (r"\gcd(a,b) = 5", "5"),
    (r"\operatorname{rank}(A) = 2", "2"),
    (r"\dim V = 2", "2"),
    ("x = 5 only", "5"),
    (r"\frac12 \text{ (i.e. } 0.5)", "0.5"),
    (r"\frac12\text{ or }50\%", "0.5"),
    (r"5 \text{ (about }5.0)", "5"),
    (r"\text{Total: 5}", "5"),
    (r"12\pi \text{ (about 37.7)}", r"12\pi"),
    (r"\max\{2,5\}", "5"),
    (r"\text{Answer: }\frac{1}{2}", "1/2"),
    (r"\min = 5", r"\min f = 5"),
)

OTHER: tuple[tuple[str, str], ...] = (
    # things counted, remarks
    (r"12 \text{ even integers}", r"12\text{ odd integers}"),
    (r"12 \text{ odd}", "12"),
    (r"12 \text{ prime}", "12"),
    (r"n \text{ integers}", "n"),
    (r"13 \text{ integers}", "12"),
    (r"12 \text{ integers or more}", "12"),
    (r"12 \text{ pairs } (1,2)", "12"),
    (r"12 \text{ integer}", "12"),
    (r"5 \text{ (or } 7)", "5"),
    (r"5 \text{ (or } 7)", "7"),
    (r"\frac12\ (\text{or } 60\%)", r"\frac12"),
    (r"\frac12\ (\text{or } 60\%)", "0.6"),
    (r"12\pi \text{ (approximately } 57.7)", r"12\pi"),
    (r"-5 \text{ (since } x > 0)", "5"),
    (r"x=5\text{ only if }y=2", "5"),
    (r"\text{There are at least } 12 \text{ ways}", "12"),
    (r"\text{There are } 12 \text{ ways or more}", "12"),
    (r"\text{There are fewer than } 12 \text{ ways}", "12"),
    (r"\textbf{Answer: 5}", "6"),
    (r"\max f = 5", r"\min f = 5"),
    (r"\max = 5", r"\min = 5"),
    (r"\max f = 5", "6"),
    (r"\deg = 2", "3"),
    (r"\max_{0<x<1} f", r"\max_{0<x<2} f"),
    (r"\text{Other: }5", r"\text{Width: }5"),
    (r"12\text{ values of }n", "n"),
    (r"\text{not because }5", "5"),
    (r"5\text{ (since }x=6)", "6"),
    (r"\max f < 5", "5"),
    (r"2\max f = 10", "10"),
    (r"\text{There are no } 12 \text{ ways}", "12"),
    (r"\text{There is } 1/2", "1"),
)


@pytest.mark.parametrize(("content", "gold"), SAME)
def test_says_the_same(content: str, gold: str) -> None:
    score = grade_math(rf"The answer is \boxed{{{content}}}.", gold)
    assert score.status == "correct", score.explanation


@pytest.mark.parametrize(("content", "gold"), OTHER)
def test_says_something_else(content: str, gold: str) -> None:
    score = grade_math(rf"The answer is \boxed{{{content}}}.", gold)
    assert score.status == "wrong", score.explanation
