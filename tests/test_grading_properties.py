"""What has to hold for any answers: symmetry, idempotence, no false equality of numbers."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.grading.answers.extract import extract_answer
from evalkit.grading.equality.equivalence import meaning_equal
from evalkit.grading.equality.texts import plain_words
from evalkit.grading.latex.nodes import ParseError
from evalkit.grading.latex.parser import parse
from evalkit.grading.latex.tokens import clean
from evalkit.thinking import split_thinking

integers = st.integers(-(10**9), 10**9)
terms = st.recursive(
    st.one_of(
        st.integers(0, 99).map(str),
        st.sampled_from(["x", "y", "\\pi", "e", "i"]),
        st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda p: f"\\frac{{{p[0]}}}{{{p[1]}}}"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: f"{p[0]} + {p[1]}"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]}) \\cdot ({p[1]})"),
        inner.map(lambda t: f"\\sqrt{{{t}}}"),
        inner.map(lambda t: f"-({t})"),
        inner.map(lambda t: f"({t})^2"),
    ),
    max_leaves=5,
)
answers = st.one_of(
    terms,
    st.tuples(terms, terms).map(lambda p: f"({p[0]}, {p[1]})"),
    st.lists(terms, min_size=1, max_size=4).map(lambda items: "\\{" + ", ".join(items) + "\\}"),
    st.lists(terms, min_size=1, max_size=4).map(", ".join),
)
texts = st.text(alphabet=st.characters(codec=None), max_size=200) | st.text(
    "\\{}()[]$^_ &,;:=<>+-*/|!%.x19aB\n", max_size=60
)

pytestmark = pytest.mark.usefixtures("patient_graders")


def same(gold: str, answer: str) -> bool:
    return meaning_equal(gold, answer)[0]


@pytest.mark.slow
@given(answers)
@settings(max_examples=150, deadline=None)
def test_every_answer_equals_itself_however_it_is_wrapped(answer: str) -> None:
    for written in (answer, f"${answer}$", f"\\boxed{{{answer}}}", answer.replace("\\frac", "\\dfrac"), f" {answer} ."):
        assert same(answer, written), written


@pytest.mark.slow
@given(answers, answers)
@settings(max_examples=300, deadline=None)
def test_equality_without_decimals_is_symmetric(first: str, second: str) -> None:
    assert same(first, second) == same(second, first)


@given(st.tuples(terms, terms, terms))
@settings(max_examples=100, deadline=None)
def test_sets_and_sums_in_any_order(parts: tuple[str, str, str]) -> None:
    a, b, c = parts
    assert same(f"\\{{{a}, {b}, {c}\\}}", f"\\{{{c}, {a}, {b}\\}}")
    assert same(f"{a} + {b} + {c}", f"{c} + {b} + {a}")


@given(integers, integers)
@settings(max_examples=300, deadline=None)
def test_whole_numbers_are_equal_only_when_they_are(first: int, second: int) -> None:
    assert same(str(first), f"{second:,}") == (first == second)
    assert same(str(first), str(second)) == (first == second)
    assert same(f"{first:,}", str(first))


@given(st.fractions(max_denominator=500), st.fractions(max_denominator=500))
@settings(max_examples=200, deadline=None)
def test_fractions_are_equal_only_when_they_are(first: Fraction, second: Fraction) -> None:
    written = f"\\frac{{{3 * second.numerator}}}{{{3 * second.denominator}}}"
    assert same(f"{first.numerator}/{first.denominator}", written) == (first == second)


@given(texts)
@settings(max_examples=300, deadline=None)
def test_normalisation_changes_nothing_twice(text: str) -> None:
    assert plain_words(plain_words(text)) == plain_words(text)
    response = split_thinking(text).response
    if response is not None:
        assert split_thinking(response).response == response
    try:
        cleaned = clean(text)
    except ParseError:
        return
    assert clean(cleaned) == cleaned


@given(texts, texts)
@settings(max_examples=300, deadline=None)
def test_nothing_is_raised(gold: str, answer: str) -> None:
    extract_answer(answer)
    meaning_equal(gold, answer)
    with suppress(ParseError):
        parse(answer)
