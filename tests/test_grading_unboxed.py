"""Answers without a box, boxes that are cut off or parts of one answer, and where a response ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import assert_growth

from evalkit.grading import grade_choice, grade_math
from evalkit.grading.answers.conclusions import masked_end, read_statement
from evalkit.grading.answers.extract import extract_answer
from evalkit.grading.answers.values import chain_value

ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "grading_unboxed.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_the_set_is_large() -> None:
    assert len(ROWS) >= 250
    assert sum("misread" in row for row in ROWS) <= 0.01 * len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}: {row['response'][-40:]}" for number, row in enumerate(ROWS)])
def test_labelled_responses(row: dict[str, Any]) -> None:
    score = grade_math(row["response"], row["gold"])
    assert (score.status in row["status"]) != bool(row.get("misread")), score.explanation


@pytest.mark.parametrize(
    ("formula", "value", "side"),
    [
        ("x = 2", "x = 2", "2"),
        ("3 + 4 = 7", "3 + 4 = 7", "7"),
        ("x = 3 + 4 = 7", "7", "7"),
        ("f(x) = 2x + 1", "f(x) = 2x + 1", "2x + 1"),
        ("x &= 1 + 1 \\\\ &= 2", "2", None),
        ("2x = 4 \\implies x = 2", "x = 2", "2"),
        ("P = \\frac26 = \\frac13 \\approx 0.333", "\\frac13", "\\frac13"),
        ("1 + 3 \\equiv 4 \\pmod 7", "1 + 3 \\equiv 4 \\pmod 7", "4"),
        ("36 - 19 = 17 = x", "36 - 19 = 17", "17"),
        ("x = 1, y = 2", "x = 1, y = 2", None),
        ("2x + 3y", "2x + 3y", None),
        ("x \\le 3", "x \\le 3", None),
    ],
)
def test_what_a_chain_of_equations_comes_to(formula: str, value: str, side: str | None) -> None:
    found = chain_value(formula)
    assert (found.text, found.side) == (value, side)


@pytest.mark.parametrize(
    ("response", "gold", "status"),
    [
        # a last box that is empty or cut off revives no earlier one
        ("It may be \\boxed{42}. No. Therefore the final answer is \\boxed{4", "42", "no_answer"),
        ("First \\boxed{42}, then \\boxed{}", "42", "no_answer"),
        ("\\boxed{42} would be too large, so $\\boxed{\\frac{1}{", "42", "no_answer"),
        ("\\boxed{42}. Corrected: \\fbox{ }", "42", "no_answer"),
        # labelled parts are one answer where the gold has as many
        ("(a) \\boxed{2}\n\n(b) \\boxed{3}", "2, 3", "correct"),
        ("Part 1: $\\boxed{2}$. Part 2: $\\boxed{3}$.", "2, 3", "correct"),
        ("- Width: \\boxed{2}\n- Height: \\boxed{3}", "2, 3", "correct"),
        ("1. \\boxed{2}\n2. \\boxed{3}\n3. \\boxed{5}", "2, 3, 5", "correct"),
        ("(a) \\boxed{2}\n\n(b) \\boxed{4}", "2, 3", "wrong"),
        ("(a) \\boxed{2}\n\n(b) \\boxed{3}", "3", "correct"),
        ("We try \\boxed{2}. Then we get \\boxed{3}.", "2, 3", "wrong"),
        # what is taken back is taken back
        ("\\boxed{5}. Wait, I made a mistake: the answer is 7.", "7", "correct"),
        ("\\boxed{5}. That is wrong. It is 7.", "5", "wrong"),
        ("\\boxed{5}. Scratch that, I cannot find it.", "5", "no_answer"),
        ("\\boxed{5}. Wait, let me check: 2 + 3 = 5. Yes.", "5", "correct"),
        # an invented next turn
        ("The answer is \\boxed{42}.\n\nUser: What is 3+4?\nAssistant: \\boxed{7}", "42", "correct"),
        ("\\boxed{42}\n\nHuman: And 3+4?\n\nAssistant: \\boxed{7}", "7", "wrong"),
        ("The answer is 42.\n\n**Question:** What is 3+4?\n**Answer:** 7", "42", "correct"),
        ("Question 1: \\boxed{2}\n\nQuestion 2: \\boxed{3}", "2, 3", "correct"),
        # GLM's box, gpt-oss's JSON
        ("<think>5?</think>The answer is <|begin_of_box|>\\frac{1}{2}<|end_of_box|>.", "0.5", "correct"),
        ("<|begin_of_box|>7<|end_of_box|>", "7", "correct"),
        ("So <|begin_of_box|>\\boxed{7}<|end_of_box|>", "7", "correct"),
        ('<|channel|>final <|constrain|>json<|message|>{"answer": 7}<|return|>', "7", "correct"),
    ],
)
def test_boxes(response: str, gold: str, status: str) -> None:
    assert grade_math(response, gold).status == status


@pytest.mark.parametrize(
    "response",
    [
        "So C is the speed of light.",
        "Therefore B is oxidized to C.",
        "Thus A is positive definite. Now compute its determinant:",
        "Hence D has a lower boiling point than water and",
        "Answer: A is a subset of B",
        "So the product is A. Product A then reacts with water.",
        "Thus the compound is B, and compound B has two rings.",
    ],
)
def test_a_thing_with_a_letter_for_a_name_is_no_choice(response: str) -> None:
    assert grade_choice(response, "A", [""] * 4).answer is None


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("So C is correct.", "C"),
        ("Thus A is the right answer.", "A"),
        ("Only option B is consistent with the data.", "B"),
        ("Answer: A is correct because it is a metal.", "A"),
        ("The value is \\boxed{T = 600\\,\\mathrm{K}}.", "C"),
        ("\\boxed{V = 450 \\text{ K}}", "B"),
        ("So \\boxed{T_2 = 300~K}", "A"),
        ("**B**<|im_end|>", "B"),
        ("C[e~[", "C"),
        # what a line rejects says nothing of the next one
        ("(A) is wrong\n**Answer: (D)**", "D"),
        ("A is incorrect\nFinal answer: D", "D"),
        ("(A) eliminated\n(B) eliminated\n(C) eliminated\nAnswer: D", "D"),
        ("B: not\nAnswer: (D)", "D"),
        ("The wrong answer is B. Answer: D", "D"),
        ("C, not\nB", "C"),
        ("(C), not\n(B)", "C"),
        ("The answer is C. Another\nanswer: B", "C"),
        ("My first choice is C. My second\nchoice: B", "C"),
        ("The answer is C.\n\nMost common wrong\nchoice: B", "C"),
        ("Answer: D<seed:eos>", "D"),
        ("The answer is <|begin_of_box|>C<|end_of_box|>", "C"),
    ],
)
def test_letters(response: str, letter: str) -> None:
    assert grade_choice(response, "A", ["300 K", "450 K", "600 K", "750 K"]).answer == letter


@pytest.mark.parametrize(
    "piece",
    [
        "The answer is ",
        "5 = ",
        "$x$ ",
        "\\[x\\] ",
        "(a) \\boxed{1} ",
        "Wait, ",
        "1, ",
        "\ue000",
        "User: a\n",
        "so 5 and ",
        "- 1\n",
    ],
)
def test_long_texts_take_linear_time(piece: str) -> None:
    def read(length: int) -> None:
        text = piece * (length // len(piece))
        extract_answer(text)
        read_statement(masked_end(text))
        grade_choice(text, "A", ["one", "two"])

    assert_growth(lambda: read(50_000), lambda: read(200_000), below=11)  # 4 where linear, 16 where quadratic
