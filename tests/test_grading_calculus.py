"""Limits, integrals, derivatives and infinite sums are worked out where nothing cheaper decides."""

import subprocess
import sys

import pytest
from grading_table import CALCULUS_EQUAL, CALCULUS_UNEQUAL

from evalkit.grading.math import compare_answers

pytestmark = pytest.mark.usefixtures("patient_graders")


@pytest.mark.parametrize(("gold", "answer"), CALCULUS_EQUAL)
def test_worked_out(gold: str, answer: str) -> None:
    verdict = compare_answers(gold, answer)
    assert verdict.equal is True, verdict.why
    assert "sympy" in verdict.why


@pytest.mark.parametrize(("gold", "answer"), CALCULUS_UNEQUAL)
def test_another_value(gold: str, answer: str) -> None:
    assert compare_answers(gold, answer).equal is False


def test_too_hard_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.grading.math.CALCULUS_TIMEOUT", 0.6)
    assert compare_answers("7", r"\int_0^1 9^{9^{9^{9x}}} dx + \int_0^1 \frac{1}{(10^{10})!} dx").equal is not True


def test_sympy_is_not_loaded_without_need() -> None:
    code = (
        "import sys; from evalkit.grading.equality.equivalence import judge\n"
        r"assert judge({'gold': r'\\sqrt{8}', 'answer': r'2\\sqrt2'})['equal']" + "\n"
        r"assert judge({'gold': '7', 'answer': r'\\int_0^1 x dx'})['calculus']" + "\n"
        "assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
