"""Answers that mean the same, answers that do not, and where an answer is found: golden tables and the public calls."""

import subprocess
import sys

import pytest
from grading_table import EQUAL, RESPONSES, UNEQUAL

from evalkit.errors import EvalkitError
from evalkit.grading import grade_math, math_equal, split_thinking
from evalkit.grading.answers.statement import statement_value
from evalkit.grading.external import grader
from evalkit.grading.math import compare_answers

pytestmark = pytest.mark.usefixtures("patient_graders")


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_same_meaning(gold: str, answer: str) -> None:
    verdict = compare_answers(gold, answer)
    assert verdict.equal is True, verdict.why


@pytest.mark.parametrize(("gold", "answer"), UNEQUAL)
def test_other_meaning(gold: str, answer: str) -> None:
    verdict = compare_answers(gold, answer)
    assert verdict.equal is False, verdict.why


@pytest.mark.parametrize(("response", "gold", "status"), RESPONSES)
def test_response(response: str, gold: str, status: str) -> None:
    score = grade_math(response, gold)
    assert score.status == status, score.explanation
    assert score.value == (status == "correct")
    assert (score.answer is None) == (status == "no_answer")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no tags", "no tags"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>a</think>b</think>c", "c"),
        ("<think>a</think>b</think>", "b"),
        ("<think>a", None),
        ("<think>a</think>b<think>c", None),
        ("<think>\n<think>a</think>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b<|end_of_solution|>", "b"),
        ("<seed:think>a</seed:think>b", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
        ("the `<think>` tag opens it", "the `<think>` tag opens it"),
        ("", ""),
    ],
)
def test_thinking(text: str, answer: str | None) -> None:
    assert split_thinking(text).response == answer


def test_extraction_says_where() -> None:
    assert grade_math("\\boxed{4}", "4").extracted_by == "box"
    assert grade_math("The answer is 4.", "4").extracted_by == "answer"
    assert grade_math("Final answer: 4", "4").extracted_by == "final answer"
    assert grade_math("So there are 4 apples.", "4").extracted_by == "conclusion"
    assert grade_math("\\boxed{1} and \\boxed{2}", "1,2").extracted_by == "boxes"


def test_box_outranks_words_but_not_a_later_final_answer() -> None:
    assert grade_math("The answer is 5. \\boxed{6}", "6").status == "correct"
    assert grade_math("So we add \\boxed{255}. Final answer: the final answer is $10455$.", "10455").status == "correct"


def test_an_answer_inside_thinking_is_none() -> None:
    score = grade_math("<think>it must be \\boxed{42}", "42")
    assert (score.status, score.answer) == ("no_answer", None)
    assert grade_math("<think>\\boxed{42}</think> I do not know.", "42").status == "no_answer"


def test_timeout_is_an_error_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "\\sum_{i=1}^{2000}\\sum_{j=1}^{2000}\\sum_{k=1}^{2000} ijk"
    with monkeypatch.context() as impatient:
        impatient.setattr(compare_answers, "__kwdefaults__", {"timeout": 1.0})
        score = grade_math(f"\\boxed{{{slow}}}", "5")
    assert (score.status, score.value) == ("error", 0)
    assert "timeout" in score.explanation
    assert grade_math("\\boxed{\\sqrt{25}}", "5").status == "correct"


def test_explanation_tells_what_and_why() -> None:
    score = grade_math("so \\boxed{0.5}", "\\frac{1}{2}")
    assert "'0.5' from the box equals the gold" in score.explanation
    assert "exact value" in score.explanation


def test_decimals_follow_the_golds_digits() -> None:
    assert math_equal("0.333", "1/3")
    assert not math_equal("1/3", "0.333")
    assert math_equal("2.23", "2.2342")
    assert not math_equal("0.25", "0.2549")
    assert not math_equal("2.232", "2.23")


def test_import_is_light() -> None:
    code = "import sys, evalkit.grading; assert not {'sympy', 'mpmath', 'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_and_missing_graders_say_what_to_do() -> None:
    with pytest.raises(EvalkitError, match="no grader 'mathverify'"):
        grader("mathverify")
    with pytest.raises(EvalkitError, match="needs the package prm800k"):
        grader("prm800k")
    assert grader("evalkit")("\\boxed{2}", "2").status == "correct"


def test_math_verify_adapter() -> None:
    pytest.importorskip("math_verify")
    theirs = grader("math-verify")
    assert theirs("so \\boxed{\\frac{1}{2}}", "0.5").status == "correct"
    assert theirs("so \\boxed{3}", "4").status == "wrong"
    assert theirs("<think>so \\boxed{4}", "4").status == "no_answer"


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("The answer is $5! + 3$.", "123"),
        ("So the answer is \\(3! \\cdot 7\\).", "42"),
        ("The answer is \\[\n4! - 20\n\\]", "4"),
        ("The answer is $$\n\nx = 7\n\n$$", "7"),
        ("The total is $2 + 3! + 1$ apples.", "9"),
        ("Thus $k = 4! / 8$. Done.", "3"),
    ],
)
def test_what_looks_like_the_end_of_a_sentence_inside_mathematics_is_none(response: str, gold: str) -> None:
    score = grade_math(response, gold)
    assert score.status == "correct", score.explanation
    broken = grade_math(response, "3" if gold != "3" else "8")
    assert broken.status == "wrong", "no part of the formula is taken for the answer"


@pytest.mark.parametrize(
    ("value", "root"),
    [
        ("10^{40}", "\\sqrt{10^{80}}"),
        ("10^{40}+1", "\\sqrt{(10^{40}+1)^2}"),
        ("10^{30}", "\\sqrt[3]{10^{90}}"),
        ("\\frac{10^{40}}{3^{50}}", "\\sqrt{\\frac{10^{80}}{9^{50}}}"),
        ("-2", "\\sqrt[3]{-8}"),
        ("2", "\\sqrt[64]{2^{64}}"),
    ],
)
def test_roots_of_large_numbers_are_exact(value: str, root: str) -> None:
    assert compare_answers(value, root).equal is True
    for other in (f"{value}+1", f"{value}-1"):
        assert compare_answers(other, root).equal is False, other


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("There are $5! + 3$ ways to do it.", "5! + 3"),
        ("We get \\(3! \\cdot 7\\) of them in all", "3! \\cdot 7"),
        ("its length in all is $1. 5$ metres", "1. 5"),
        ("so the number of them is \\[\n4! \n- 20\n\\]", "4! \n- 20"),
        ("The number of ways is $4! / 8$. That is all of it.", "4! / 8"),
        ("We add $2$ and $3$. There are $5$ of them.", "5"),
    ],
)
def test_a_sentence_ends_behind_its_mathematics(sentence: str, value: str) -> None:
    assert statement_value(sentence) == value
