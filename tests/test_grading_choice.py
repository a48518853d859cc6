"""The letter that a response settles on: golden table."""

import pytest
from grading_table import LETTERS, OPTIONS

from evalkit.grading import grade_choice


@pytest.mark.parametrize(("response", "letter"), LETTERS)
def test_letter(response: str, letter: str | None) -> None:
    score = grade_choice(response, "B", OPTIONS)
    assert score.answer == letter, score.explanation
    assert score.status == ("no_answer" if letter is None else "correct" if letter == "B" else "wrong")


def test_letters_beyond_the_options_are_none() -> None:
    assert grade_choice("Answer: G", "A", OPTIONS).status == "no_answer"
    assert grade_choice("Answer: G", "G", [""] * 10).status == "correct"


def test_option_texts_that_contain_each_other() -> None:
    options = ["sugar", "sugar and salt", "salt", "water"]
    assert grade_choice("Answer: sugar and salt", "B", options).answer == "B"
    assert grade_choice("\\boxed{salt}", "C", options).answer == "C"


def test_unclosed_thinking_is_no_answer() -> None:
    score = grade_choice("<think>Answer: B", "B", OPTIONS)
    assert (score.status, score.answer) == ("no_answer", None)


def test_explanation_quotes_what_was_read() -> None:
    assert "Answer: (B)" in grade_choice("Well. Answer: (B)", "A", OPTIONS).explanation


def test_a_negation_in_the_options_own_text_rejects_nothing() -> None:
    options = ["They are guilty of both.", "They are not guilty of larceny, and are not to be tried for it again."]
    for text in options[1], options[1][:45]:
        assert grade_choice(f"The correct answer is **B) {text}**", "B", options).status == "correct"
    assert grade_choice("Answer: B) They are not guilty of larceny, and so on?", "B", ["x", "y"]).status == "no_answer"
    assert grade_choice("Answer: A) Guilty is wrong", "A", ["Guilty", "Not guilty"]).status == "no_answer"
