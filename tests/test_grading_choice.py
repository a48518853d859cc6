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


# options whose own texts start like a letter
GROUPS = ["$D_{3h}$", "$C_{2v}$", "$C_3$", "$B_{1u}$"]
SPECIES = ["E. coli", "S. aureus", "B. subtilis", "C. elegans"]
CELLS = ["B cells", "T cells", "NK cells", "mast cells"]
ORDERS = ["A > B > C", "B > A > C", "C > B > A", "A > C > B"]
ONLY = ["A and B", "B and C", "A only", "C only"]
BONDS = ["C-C bond", "C=O bond", "O-H bond", "C-H bond"]
DECAYS = [r"$B \to \mu^+\mu^-$", r"$B\to K\gamma$", r"$D\to K\pi$", r"$\tau\to\mu\gamma$"]
ROMAN = ["I only", "II only", "I and II", "III only", "I, II and III", "none", "x", "y", "z", "w"]


@pytest.mark.parametrize(
    ("response", "letter", "options"),
    [
        (r"\boxed{D_{3h}}", "A", GROUPS),
        ("Answer: $C_{2v}$", "B", GROUPS),
        ("The answer is $B_{1u}$.", "D", GROUPS),
        (r"\boxed{\mathrm{D}_{3h}}", "A", GROUPS),
        (r"Answer: $\mathbf{D}_{3h}$", "A", GROUPS),
        ("<answer>D_{3h}</answer>", "A", GROUPS),
        ("Answer: D₃ₕ", "A", GROUPS),
        ("The answer is $C_{4v}$.", None, GROUPS),
        (r"\boxed{D}", "D", GROUPS),
        ("Answer: $D$", "D", GROUPS),
        ("The answer is B. subtilis.", "C", SPECIES),
        ("The answer is *B. subtilis*, a Gram-positive rod.", "C", SPECIES),
        (r"\boxed{B. subtilis}", "C", SPECIES),
        ("B. subtilis", "C", SPECIES),
        ("So it is B. subtilis.", "C", SPECIES),
        ("Answer: C. B. subtilis", "C", SPECIES),
        ("Answer: B. S. aureus", "B", SPECIES),
        ("Answer: C. elegans", "D", SPECIES),
        ("The answer is B. It is a coccus.", "B", SPECIES),
        ("The answer is B cells.", "A", CELLS),
        ("The answer is B cell.", "A", CELLS),
        ("The answer is B cells because they secrete antibodies.", "A", CELLS),
        ("The answer is B cells, not T cells.", "A", CELLS),
        ("The answer is A, B cells.", "A", CELLS),
        (r"\boxed{\text{B cells}}", "A", CELLS),
        ("The answer is B.", "B", CELLS),
        ("Answer: B T cells", "B", CELLS),
        ("Answer: B (T cells)", "B", CELLS),
        ("Answer: B cells", None, ["B cells", "cells", "x", "y"]),
        ("Answer: A > C > B", "D", ORDERS),
        ("Answer: $A > C > B$", "D", ORDERS),
        ("Answer: D) A > C > B", "D", ORDERS),
        ("Answer: D (A > C > B)", "D", ORDERS),
        ("Answer: B > C > A", None, ORDERS),
        ("Answer: A", "A", ORDERS),
        ("A only", "C", ONLY),
        ("A only", "A", OPTIONS),
        ("Answer: C only", "D", ONLY),
        ("The answer is A and B.", "A", ONLY),
        ("**Answer:** (A and B)", "A", ONLY),
        ("Réponse : A et B", "A", ["A et B", "B et C", "A seulement", "C seulement"]),
        ("答案是B细胞。", "A", ["B细胞", "T细胞", "x", "y"]),
        ("The answer is A and B.", None, OPTIONS),
        ("The answer is A.", "A", ONLY),
        ("The answer is I and II.", "C", ROMAN),
        ("Answer: I, II and III", "E", ROMAN),
        ("Answer: I", "I", ROMAN),
        ("Answer: C=O bond", "B", BONDS),
        ("Answer: C=O", "B", BONDS),
        ("Answer: C–H bond", "D", BONDS),
        ("Answer: C) C=O bond", "C", BONDS),
        (r"The answer is $B \to \mu^+\mu^-$.", "A", DECAYS),
        (r"The answer is $B\rightarrow K\gamma$.", "B", DECAYS),
        (r"Answer: B → Kγ", "B", DECAYS),
        (r"Answer: $D\to K\pi$", "C", DECAYS),
        (r"Answer: B. $B\to K\gamma$", "B", DECAYS),
        ("The answer is B.", "B", ["C", "A", "B", "D"]),
        ("Answer: B) C", "B", ["A", "C", "G", "T"]),
        ("The answer is vitamin D", "C", ["vitamin B", "vitamin A", "vitamin D", "vitamin C"]),
        ("It is vitamin A.", "B", ["vitamin B", "vitamin A", "vitamin D", "vitamin C"]),
        ("A is true but R is false.", "C", ["Both are true", "Both are false", "A is true but R is false", "Neither"]),
        ("The answer is B.", "B", ["B is big", "x", "y", "z"]),
        ("The answer is A. The others fail.", "A", ["x", "y", "z", "A. The first"]),
        ("Answer: A ∪ B", None, ["A ∩ B", "x", "y", "z"]),
    ],
)
def test_an_option_that_starts_with_a_capital_is_no_letter(
    response: str, letter: str | None, options: list[str]
) -> None:
    score = grade_choice(response, "A", options)
    assert score.answer == letter, score.explanation


def test_an_option_that_speaks_of_letters_names_none() -> None:
    options = ["Compound A reacts with B, so it is C.", "Compound B is stable, so it is D.", "x", "y"]
    for letter, text in zip("AB", options[:2], strict=True):
        for response in f"{letter}. {text}", f"**{letter}. {text}**", f"So {letter} is right, because {text}", text:
            assert grade_choice(response, letter, options).status == "correct", response


NUCLEUS = ["It is degraded", "It is secreted", "The mRNA is not exported from the nucleus", "It is silenced"]


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Therefore, the mRNA is not exported from the nucleus.", "C"),
        ("The answer is that the mRNA is not exported from the nucleus.", "C"),
        ("Answer: The mRNA is not exported from the nucleus", "C"),
        ("Therefore, it is degraded, not secreted.", "A"),
        ("Therefore it is not true that the mRNA is not exported from the nucleus.", None),
        ("It is not degraded.", None),
    ],
)
def test_an_option_with_a_negation_of_its_own(response: str, letter: str | None) -> None:
    assert grade_choice(response, "A", NUCLEUS).answer == letter


POWERS = ["6.3 x 10^-7 M", "2.0 x 10^-2 M", "1.0 x 10^-2 M", "5.0 x 10^-3 M"]


@pytest.mark.parametrize(
    "written",
    [
        "6.3 × 10^-7 M",
        "6.3 × 10⁻⁷ M",
        "6.3·10^-7 M",
        "6.3*10^-7 M",
        "6.3e-7 M",
        r"$6.3 \times 10^{-7}$ M",
        r"$6.3\cdot10^{-7}\,\text{M}$",
        "6.3 x 10^−7 M",
    ],
)
def test_signs_of_multiplication_and_powers_are_one(written: str) -> None:
    for response in f"Answer: {written}", f"\\boxed{{{written.replace('$', '')}}}", f"So the result is {written}.":
        assert grade_choice(response, "A", POWERS).status == "correct", response
    other = written.replace("-7", "7").replace("⁻", "").replace("−", "")
    assert grade_choice(f"Answer: {other}", "A", POWERS).status == "no_answer"
    assert grade_choice(f"Answer: {written}", "B", ["6.3 × 10⁷ M", "6.3 × 10⁻⁷ M", "x", "y"]).status == "correct"


def test_a_part_of_a_number_is_no_option() -> None:
    assert grade_choice("Answer: 0.5 m", "A", ["5 m", "2 m", "3 m", "4 m"]).status == "no_answer"
    assert grade_choice(r"\boxed{2^5}", "D", ["25", "10", "7", "32"]).status == "correct"


ROOTS = [r"$\frac{1}{\sqrt{2}}$", r"$\frac12$", r"$\sqrt2$", "$2$"]


@pytest.mark.parametrize(
    ("response", "letter", "options"),
    [
        (r"\boxed{\frac{\sqrt{2}}{2}}", "A", ROOTS),
        (r"The answer is $\frac{\sqrt{2}}{2}$.", "A", ROOTS),
        (r"\boxed{0.5}", "B", ROOTS),
        (r"\boxed{3}", None, ROOTS),
        (r"If it were a square, the answer would be $\frac{\sqrt{2}}{2}$.", None, ROOTS),
        (r"The answer is not $\frac{\sqrt{2}}{2}$.", None, ROOTS),
        (r"\boxed{\frac{\sqrt{2}}{2}}", None, [ROOTS[0], r"$\sqrt{1/2}$", *ROOTS[2:]]),
        (r"\boxed{\frac{\sqrt{2}}{2}}, which is (B)", "B", ROOTS),
    ],
)
def test_an_option_that_equals_the_stated_formula(response: str, letter: str | None, options: list[str]) -> None:
    score = grade_choice(response, "A", options)
    assert score.answer == letter, score.explanation
