"""The parts of the graders: statements (tests/golden/grading/statements.jsonl), explanations, rewards, units, sets."""

import json
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpmath
import pytest

import evalkit.grading.math as graders
from evalkit.errors import EvalkitError
from evalkit.grading import compute_score, compute_scores, grade_choice, grade_many, grade_math, math_equal, math_reward
from evalkit.grading.answers.extract import extract_answer
from evalkit.grading.answers.statement import led_value, statement_value, worded_conclusion
from evalkit.grading.answers.values import chain_value, mask
from evalkit.grading.equality.equivalence import judge
from evalkit.grading.equality.number_sets import number_set, same_numbers
from evalkit.grading.equality.numeric import NotEvaluableError, evaluate, exact
from evalkit.grading.equality.realsets import real_set
from evalkit.grading.equality.sentences import is_hedged, said_value
from evalkit.grading.external import GRADERS, grader
from evalkit.grading.latex.nodes import Call, Node, ParseError
from evalkit.grading.latex.parser import parse
from evalkit.grading.latex.units import measure, ratio, temperature
from evalkit.grading.math import compare_answers
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerTimeoutError

pytestmark = pytest.mark.usefixtures("patient_graders")
STATEMENTS = Path(__file__).parent / "golden" / "grading" / "statements.jsonl"
ROWS = [json.loads(line) for line in STATEMENTS.read_text("utf-8").splitlines()]


def chain(text: str) -> list[Any]:
    value = chain_value(text)
    return [value.text, value.side, value.named]


def masked(text: str) -> list[Any]:
    found = mask(text)
    return [found.text, [[value.text, value.side, value.named] for value in found.values]]


CALLS: dict[str, Any] = {
    "statement_value": statement_value, "worded_conclusion": worded_conclusion, "led_value": led_value,
    "chain_value": chain, "mask": masked,
}  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=str(number)) for number, row in enumerate(ROWS, 1)])
def test_what_a_statement_says(row: dict[str, Any]) -> None:
    assert CALLS[row["call"]](row["text"]) == row["told"]


# scores whole


@pytest.mark.parametrize(
    ("response", "gold", "score"),
    [
        (r"\boxed{5}", "5", (1.0, "correct", "5", "'5' from the box equals the gold '5': the same text", "box")),
        (r"\boxed{6}", "5", (0.0, "wrong", "6", "'6' from the box does not equal the gold '5': the values differ",
         "box")),
        ("<think>5", "5", (0.0, "no_answer", None, "the thinking block was never closed, so nothing was answered", "")),
        ("I do not know.", "5", (0.0, "no_answer", None, "no answer is stated", "")),
        ("The answer is 0.5.", "1/2", (1.0, "correct", "0.5",
         "'0.5' from the answer equals the gold '1/2': exact value", "answer")),
        (r"(a) \boxed{1} (b) \boxed{2}", "1, 2",
         (1.0, "correct", "1, 2", "'1, 2' from the boxes equals the gold '1, 2': the same text", "boxes")),
        (r"(a) \boxed{1} (b) \boxed{2}", "2", (1.0, "correct", "2",
         "'2' from the box equals the gold '2': the same text", "box")),
        (r"(a) \boxed{1} (b) \boxed{2}", "1", (0.0, "wrong", "2",
         "'2' from the box does not equal the gold '1': the values differ", "box")),
        ("The day is Monday.", "Monday",
         (1.0, "correct", "Monday", "'Monday' from the conclusion equals the gold 'Monday': the same text",
          "conclusion")),
        ("Yes, 3 is odd.", "Yes", (1.0, "correct", "Yes",
         "'Yes' from the conclusion equals the gold 'Yes': the same text", "conclusion")),
        ("The end.", "5", (0.0, "no_answer", None, "'The end.' is a remark, not an answer", "")),
    ],
)  # fmt: skip
def test_scores_of_responses(response: str, gold: str, score: tuple[Any, ...]) -> None:
    found = grade_math(response, gold)
    assert (found.value, found.status, found.answer, found.explanation, found.extracted_by) == score


def test_long_answers_and_golds_are_cut_in_the_explanation() -> None:
    answer, gold = "1" * 201, "2" * 201
    said = grade_math(rf"\boxed{{{answer}}}", gold).explanation
    assert said == f"{'1' * 200 + '…'!r} from the box does not equal the gold {'2' * 200!r}: the values differ"
    assert grade_math(rf"\boxed{{{answer[1:]}}}", gold).explanation.startswith(repr(answer[1:]))


@pytest.mark.parametrize(
    ("gold", "answer", "equal", "why"),
    [
        ("5", " $5$ ", True, "the same text"), ("5", "+5", True, "exact value"),
        ("1/2", r"\frac{1}{2}", True, "exact value"),
        (r"-\frac{1}{2}", "-0.5", True, "exact value"), (r"\dfrac{-3}{6}", "-.5", True, "exact value"),
        ("12", "21", False, "the values differ"), ("2.", "2", True, "exact value"),
        ("1 000", "1000", True, "the same form"),
        ("", "", False, "the gold is no mathematics that is read here, and the texts differ"),
        ("1/0", "1/0", True, "the same text"),
        (r"\left( 1,\, 2 \right)", "(1,2)", True, "the same text"),
        (r"\sum_{n=1}^{\infty} \frac{1}{2^n}", "1", True, "equal to 30 digits, worked out by sympy"),
    ],
)  # fmt: skip
def test_verdicts_and_their_reasons(gold: str, answer: str, equal: bool, why: str) -> None:
    verdict = compare_answers(gold, answer)
    if why.endswith("sympy"):
        assert (verdict.equal, verdict.why.endswith("worked out by sympy")) == (equal, True)
    else:
        assert verdict == (equal, why)
    assert math_equal(gold, answer) is equal


def test_scores_of_letters() -> None:
    options = ["Mars", "Venus", "Earth", "Jupiter"]
    right = grade_choice("Answer: B", " (b). ", options)
    assert (right.value, right.status, right.answer, right.extracted_by) == (1.0, "correct", "B", "answer")
    assert right.explanation == "answer: read B from 'Answer: B'; the right letter is  (b). "
    wrong = grade_choice(r"\boxed{C}", "B", options)
    assert (wrong.value, wrong.status, wrong.answer) == (0.0, "wrong", "C")
    assert wrong.explanation == "box: read C from 'C'; the right letter is B"
    none = grade_choice("I do not know.", "B", options)
    assert (none.value, none.status, none.answer, none.explanation, none.extracted_by) == (
        0.0, "no_answer", None, "no letter is stated as the answer", "",
    )  # fmt: skip
    both = grade_choice("Answer: A or B", "B", options)
    assert (both.status, both.explanation) == ("no_answer", "more than one letter is stated")
    cut = grade_choice("<think>Answer: B", "B", options)
    assert cut.explanation == "the thinking block was never closed, so nothing was answered"
    letters = grade_choice("Answer: Venus", "B", ["A", "B"])
    assert letters.status == "no_answer"


# rewards and other graders


def test_rewards() -> None:
    texts = [r"\boxed{4}", "It is 5.", ""]
    assert math_reward(None, texts, answer=["4", "4", "4"]) == [1.0, 0.0, 0.0]
    assert math_reward(None, texts, target=["4", "5", "6"], other=[1, 2, 3]) == [1.0, 1.0, 0.0]
    assert math_reward(None, texts[:1], ground_truth=["5"], answer=None, solution=["4"]) == [0.0]
    assert math_reward(None, texts[:2], solution=[r"so \boxed{3} and \boxed{ 4 }", "2 + 3\n#### 5 "]) == [1.0, 1.0]
    assert math_reward(None, texts[:2], gold=[["4"], ("5",)]) == [1.0, 1.0]
    assert math_reward(["x", "<think>\n"], ["It is 5.", "It is 5."], answer=["5", "5"]) == [1.0, 0.0]
    assert math_reward(["<think>\n"], ["a</think>It is 5."], answer=[5]) == [1.0]
    chat = [{"role": "user", "content": "It is 7."}, {"role": "assistant", "content": "It is 5."}]
    empty = [{"role": "assistant", "content": None}]
    assert math_reward([chat, chat], [chat, empty], answer=["5", "5"]) == [1.0, 0.0]
    with pytest.raises(EvalkitError) as caught:
        math_reward(None, texts, right=["4"] * 3)
    assert caught.value.message == "The reward needs a column that says what is right; there are right."
    assert caught.value.hint == "name it answer, ground_truth, solution, gold or target."
    with pytest.raises(EvalkitError, match="there are none"):
        math_reward(None, texts)
    with pytest.raises(ValueError, match="zip"):
        math_reward(None, texts, answer=["4"])
    assert [s.answer for s in grade_many([("It is 2.", "2"), ("It is 3.", "2")])] == ["2", "3"]
    assert compute_score("math", "It is 1/2.", ["0.5"]) == 1.0
    assert compute_score("math", "It is 1/3.", "0.5", {"x": 1}, other=2) == 0.0
    assert compute_scores(["a", "b"], ["It is 2.", "It is 3."], [2, "4"]) == [1.0, 0.0]


def test_graders_by_name() -> None:
    assert GRADERS == ("evalkit", "math-verify", "prm800k")
    assert grader("evalkit") is grade_math
    with pytest.raises(EvalkitError) as caught:
        grader("other")
    assert caught.value.message == "There is no grader 'other'."
    assert caught.value.hint == "available: evalkit, math-verify, prm800k."
    with pytest.raises(EvalkitError) as caught:
        grader("prm800k")
    assert caught.value.message == "The grader prm800k needs the package prm800k, which is not installed."
    assert caught.value.hint.startswith("git clone https://github.com/openai/prm800k, ")


# units

SIZES = {
    "m": ("length", "1"), "metre": ("length", "1"), "meters": ("length", "1"), "cm": ("length", "1/100"),
    "mm": ("length", "1/1000"), "km": ("length", "1000"), "in": ("length", "127/5000"), "inches": ("length",
     "127/5000"),
    "ft": ("length", "381/1250"), "feet": ("length", "381/1250"), "foot": ("length", "381/1250"),
    "yd": ("length", "1143/1250"), "yard": ("length", "1143/1250"), "mi": ("length", "201168/125"),
    "mile": ("length", "201168/125"), "nm": ("length", "1/1000000000"), "g": ("mass", "1"), "grams": ("mass", "1"),
    "kg": ("mass", "1000"), "kilogram": ("mass", "1000"), "mg": ("mass", "1/1000"), "milligram": ("mass", "1/1000"),
    "lb": ("mass", "45359237/100000"), "lbs": ("mass", "45359237/100000"), "pound": ("mass", "45359237/100000"),
    "oz": ("mass", "45359237/1600000"), "ounce": ("mass", "45359237/1600000"), "ton": ("mass", "1000000"),
    "tonne": ("mass", "1000000"), "s": ("time", "1"), "sec": ("time", "1"), "seconds": ("time", "1"),
    "min": ("time", "60"), "minutes": ("time", "60"), "h": ("time", "3600"), "hr": ("time", "3600"),
    "hours": ("time", "3600"), "day": ("time", "86400"), "weeks": ("time", "604800"), "ms": ("time", "1/1000"),
    "year": ("time", "31557600"), "yr": ("time", "31557600"), "months": ("time", "2629800"),
    "dollars": ("dollar", "1"), "USD": ("dollar", "1"), "buck": ("dollar", "1"), "cents": ("dollar", "1/100"),
    "penny": ("dollar", "1/100"), "euros": ("euro", "1"), "EUR": ("euro", "1"), "yen": ("yen", "1"),
    "rupees": ("rupee", "1"), "sterling": ("sterling", "1"), "degrees": ("angle", "1"), "deg": ("angle", "1"),
    "rad": ("angle", "57"), "radians": ("angle", "57"), "celsius": ("celsius", "1"),
    "fahrenheit": ("fahrenheit", "1"), "percent": ("percent", "1"), "pct": ("percent", "1"),
    "percentage": ("percent", "1"), "A": ("current", "1"), "amperes": ("current", "1"), "amp": ("current", "1"),
    "kelvin": ("kelvin", "1"), "mol": ("amount", "1"), "moles": ("amount", "1"),
}  # fmt: skip


def test_sizes_of_units_of_one_dimension() -> None:
    assert {name: measure(name) for name in SIZES} == {
        name: (((dimension, 1),), Fraction(size)) for name, (dimension, size) in SIZES.items()
    }


@pytest.mark.parametrize(
    ("unit", "dimensions", "size"),
    [
        ("L", {"length": 3}, "1/1000"), ("litres", {"length": 3}, "1/1000"), ("mL", {"length": 3}, "1/1000000"),
        ("gallon", {"length": 3}, "0.003785411784"), ("quart", {"length": 3}, "0.000946352946"),
        ("mph", {"length": 1, "time": -1}, "0.44704"), ("kmh", {"length": 1, "time": -1}, "5/18"),
        ("km/h", {"length": 1, "time": -1}, "5/18"), ("km per hour", {"length": 1, "time": -1}, "5/18"),
        ("m s^-1", {"length": 1, "time": -1}, "1"), ("m/s^2", {"length": 1, "time": -2}, "1"),
        ("cm^2", {"length": 2}, "1/10000"), ("square cm", {"length": 2}, "1/10000"),
        ("sq ft", {"length": 2}, "0.09290304"),
        ("cubic feet", {"length": 3}, "0.028316846592"), ("cm3", {"length": 3}, "1/1000000"),
        ("Hz", {"time": -1}, "1"), ("kHz", {"time": -1}, "1000"), ("MHz", {"time": -1}, "1000000"),
        ("N", {"mass": 1, "length": 1, "time": -2}, "1000"), ("newtons", {"mass": 1, "length": 1, "time": -2}, "1000"),
        ("kg m/s^2", {"mass": 1, "length": 1, "time": -2}, "1000"), ("J", {"mass": 1, "length": 2, "time": -2}, "1000"),
        ("kJ", {"mass": 1, "length": 2, "time": -2}, "1000000"), ("N m", {"mass": 1, "length": 2, "time": -2}, "1000"),
        ("eV", {"mass": 1, "length": 2, "time": -2}, "1.602176634e-16"),
        ("W", {"mass": 1, "length": 2, "time": -3}, "1000"),
        ("mW", {"mass": 1, "length": 2, "time": -3}, "1"),
        ("GW", {"mass": 1, "length": 2, "time": -3}, "1000000000000"),
        ("Pa", {"mass": 1, "length": -1, "time": -2}, "1000"), ("C", {"current": 1, "time": 1}, "1"),
        ("V", {"mass": 1, "length": 2, "time": -3, "current": -1}, "1000"),
        ("\\Omega", {"mass": 1, "length": 2, "time": -3, "current": -2}, "1000"),
        ("kΩ", {"mass": 1, "length": 2, "time": -3, "current": -2}, "1000000"),
        ("T", {"mass": 1, "time": -2, "current": -1}, "1000"),
        ("F", {"current": 2, "time": 4, "mass": -1, "length": -2}, "1/1000"),
        ("nF", {"current": 2, "time": 4, "mass": -1, "length": -2}, "1/1000000000000"),
        ("pF", {"current": 2, "time": 4, "mass": -1, "length": -2}, "1/1000000000000000"),
        ("μm", {"length": 1}, "1/1000000"), ("\\mu m", {"length": 1}, "1/1000000"), ("um", {"length": 1}, "1/1000000"),
        ("dm", {"length": 1}, "1/10"), ("decimeters", {"length": 1}, "1/10"), ("t", {"mass": 1}, "1000000"),
        ("Meters", {"length": 1}, "1"), ("CM", {"length": 1}, "1/100"), ("m/m", {}, "1"),
    ],
)  # fmt: skip
def test_units_and_their_products(unit: str, dimensions: dict[str, int], size: str) -> None:
    assert measure(unit) == (tuple(sorted(dimensions.items())), Fraction(size))


def test_words_that_are_no_units() -> None:
    assert [measure(word) for word in ("apples", "m apples", "Mmm", "hR")] == [None] * 4
    assert ratio("hours", "minutes") == Fraction(1, 60)
    assert ratio("hours", "hours") is ratio("minutes", "hours") is ratio("hours", "cm") is ratio("hours", "x") is None
    assert [temperature(word) for word in ("C", " degrees Celsius ", "f", "Fahrenheit", "degree F", "K", "")] == [
        "celsius", "celsius", "fahrenheit", "fahrenheit", "fahrenheit", "", "",
    ]  # fmt: skip


# numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\sin 1", math.sin(1)), (r"\cos 1", math.cos(1)), (r"\tan 1", math.tan(1)), (r"\cot 1", 1 / math.tan(1)),
        (r"\sec 1", 1 / math.cos(1)), (r"\csc 1", 1 / math.sin(1)), (r"\arcsin 0.3", math.asin(0.3)),
        (r"\arccos 0.3", math.acos(0.3)), (r"\arctan 0.3", math.atan(0.3)), (r"\sec^{-1} 2", math.acos(0.5)),
        (r"\csc^{-1} 2", math.asin(0.5)), (r"\cot^{-1} 2", math.atan(0.5)), (r"\sinh 1", math.sinh(1)),
        (r"\cosh 1", math.cosh(1)), (r"\tanh 1", math.tanh(1)), (r"\coth 1", 1 / math.tanh(1)),
        (r"\sech(1)", 1 / math.cosh(1)), (r"\csch(1)", 1 / math.sinh(1)), (r"\sinh^{-1} 2", math.asinh(2)),
        (r"\cosh^{-1} 2", math.acosh(2)), (r"\tanh^{-1} 0.5", math.atanh(0.5)), (r"\coth^{-1} 2", math.atanh(0.5)),
        (r"\operatorname{arcsech} 0.5", math.acosh(2)), (r"\operatorname{arccsch} 2", math.asinh(0.5)),
        (r"\ln 3", math.log(3)), (r"\log 3", math.log(3)), (r"\log_2 3", math.log2(3)), (r"\lg 3", math.log10(3)),
        (r"\exp 2", math.exp(2)), (r"\sqrt 3", math.sqrt(3)), (r"\sqrt[5]{3}", 3**0.2), (r"2^{0.3}", 2**0.3),
        (r"(-8)^{1/3} + \pi", math.pi - 2), (r"|-\pi|", math.pi), (r"\lfloor -\pi \rfloor", -4),
        (r"\lceil -\pi \rceil", -3),
        (r"\pi \bmod 2", math.pi - 2), (r"-\pi \bmod 2", 4 - math.pi), (r"\max(\pi, 2)", math.pi), (r"\min(\pi, 2)", 2),
        (r"\gcd(12, 18) \pi", 6 * math.pi), (r"\Gamma(0.5)", math.sqrt(math.pi)),
        (r"\operatorname{erf}(1)", math.erf(1)),
        (r"\sgn(-\pi)", -1), (r"\operatorname{Re}(2 + 3i)", 2), (r"\operatorname{Im}(2 + 3i)", 3),
        (r"\arg(i)", math.pi / 2), (r"|3 + 4i|", 5), (r"\overline{3 + 4i} + 4i", 3), (r"\sin 30^\circ", 0.5),
        (r"\cos(180^\circ / 3)", 0.5), (r"\sin(-(90^\circ))", -1), (r"\sin(30^\circ + 60^\circ)", 1),
        (r"\pi^\circ", math.pi),
        (r"50\% \pi", math.pi / 2), (r"\pi!", math.gamma(math.pi + 1)),
        (r"\binom{\pi}{2}", math.pi * (math.pi - 1) / 2),
        (r"\sum_{k=2}^{4} \frac{\pi}{k}", math.pi * (1 / 2 + 1 / 3 + 1 / 4)),
        (r"\prod_{k=2}^{4} k\pi", 24 * math.pi**3),
        (r"\sum_{k=3}^{2} \pi", 0), (r"\begin{vmatrix} \pi & 2 \\ 3 & 4 \end{vmatrix}", 4 * math.pi - 6),
        (r"\operatorname{cis}(\pi)", -1), (r"\pi : 2", math.pi / 2), (r"10_3 \pi", 3 * math.pi),
    ],
)  # fmt: skip
def test_values_of_functions(text: str, value: float) -> None:
    with mpmath.workdps(30):
        found = evaluate(parse(text), {})
        assert abs(found - value) < 1e-12


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2^{-3}", "1/8"), ("(-1)^{1001}", "-1"), ("(-1)^{1000}", "1"), ("0^5", "0"), ("0^0", "1"), ("8^{2/3}", "4"),
        (r"\sqrt{4/9}", "2/3"), (r"\sqrt[3]{-8/27}", "-2/3"), (r"\sqrt[4]{16}", "2"), ("|-3|", "3"), ("5!", "120"),
        ("0!", "1"), ("7!!", "105"), (r"\binom{5}{2}", "10"), (r"\binom{5}{6}", "0"), (r"\gcd(12, 18, 4)", "2"),
        ("lcm(4, 6, 10)", "60"), (r"\max(1, 3, 2)", "3"), (r"\min(1, 3, 2)", "1"), (r"17 \bmod 5", "2"),
        (r"-17 \bmod 5", "3"), ("25\\%", "1/4"), ("3 cm", "3"), ("3 : 4", "3/4"), ("101_2", "5"),
        (r"\lfloor -1/2 \rfloor", "-1"),
        (r"\lceil -1/2 \rceil", "0"), ("2 - 3 \\cdot 4", "-10"), ("7/2/7", "1/2"), (r"\sqrt[1]{7}", "7"),
        (r"\operatorname{Re}(3)", "3"), (r"\overline{3}", "3"),
    ],
)  # fmt: skip
def test_exact_values(text: str, value: str) -> None:
    assert exact(parse(text)) == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        "1/0", "0^{-1}", "x", r"\pi", r"\sqrt{2}", r"\sqrt{-4}", "(1/2)!", "(-1)!", "5001!", r"\gcd(1/2, 3)",
         r"5 \bmod 0",
        r"\sum_{k=1}^{2} k", "2^{1000000}", r"\sqrt[65]{1}", r"\sqrt[0]{1}", "1 : 2 : 3", "12_2",
    ],
)  # fmt: skip
def test_what_has_no_exact_value(text: str) -> None:
    with pytest.raises(NotEvaluableError):
        exact(parse(text))


# sets


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("all primes", {2, 3, 5, 7, 11, 13, 17, 19}), ("n = 4k + 3", {3, 7, 11, 15, 19}),
        ("n = 4k - 3", {1, 5, 9, 13, 17}),
        ("n = 3^k", {1, 3, 9}), ("perfect squares", {1, 4, 9, 16}), ("perfect cubes", {1, 8}),
        ("composite numbers", {4, 6, 8, 9, 10, 12, 14, 15, 16, 18, 20}), ("odd primes", {3, 5, 7, 11, 13, 17, 19}),
        ("primes and 1", {1, 2, 3, 5, 7, 11, 13, 17, 19}), ("n \\equiv 2 \\pmod{7}", {2, 9, 16}),
        ("5 \\mid n", {5, 10, 15, 20}),
        ("5 \\nmid n", set(range(1, 21)) - {5, 10, 15, 20}), ("3 < n \\le 6", {4, 5, 6}), ("3 \\le n < 6", {3, 4, 5}),
        ("n \\ge 18", {18, 19, 20}), ("n > 18", {19, 20}), ("n < 3", {1, 2}), ("n \\le 3", {1, 2, 3}), ("n = 7", {7}),
        ("n \\ne 7", set(range(1, 21)) - {7}), ("{5, 8, 11, \\ldots}", {5, 8, 11, 14, 17, 20}),
        ("n \\in {2, 4}", {2, 4}),
        ("even n > 15", {16, 18, 20}), ("odd integers at most 5", {1, 3, 5}), ("multiples of 6", {6, 12, 18}),
        ("powers of 4", {1, 4, 16}), ("even integers except 2, 4", {6, 8, 10, 12, 14, 16, 18, 20}),
        ("odd or n = 2", {1, 2, 3, 5, 7, 9, 11, 13, 15, 17, 19}),
        ("positive integers less than 3", {1, 2}), ("natural numbers up to 2", {1, 2}), ("even n \\le 4", {2, 4}),
    ],
)  # fmt: skip
def test_the_first_numbers_of_a_set(text: str, members: set[int]) -> None:
    found = number_set(text)
    assert found is not None
    assert {n for n in range(1, 21) if found.holds(n)} == members


def test_texts_that_tell_no_set() -> None:
    texts = (
        "n not prime",
        "x > y",
        "red numbers",
        "n = 4k + 1 or red",
        "n > 2, n < 10",
        "",
        "multiples of 0",
        "1" * 301,
    )
    assert [number_set(text) for text in texts] == [None] * len(texts)
    one, other = number_set("n = 2"), number_set("m = 2")
    assert one is not None
    assert other is not None
    assert not same_numbers(one, other)
    assert same_numbers(one, one)


OO = math.inf


@pytest.mark.parametrize(
    ("text", "intervals"),
    [
        ("(1, 2]", [(1, False, 2, True)]), ("[1, 1]", [(1, True, 1, True)]), ("(1, 1]", []), ("(2, 1)", []),
        ("x > 1", [(1, False, OO, False)]), ("1 \\le x", [(1, True, OO, False)]),
        ("2x + 1 < 5", [(-OO, False, 2, False)]),
        ("1 - x \\ge 3", [(-OO, False, -2, True)]), ("x \\ne 3", [(-OO, False, 3, False), (3, False, OO, False)]),
        ("-2 < x \\le 7", [(-2, False, 7, True)]), ("|x - 1| \\le 2", [(-1, True, 3, True)]),
        ("|x| > 2", [(-OO, False, -2, False), (2, False, OO, False)]), ("3 > |x|", [(-3, False, 3, False)]),
        ("x < 1 or x \\ge 2", [(-OO, False, 1, False), (2, True, OO, False)]), ("x > 1, x < 2", [(1, False, 2, False)]),
        ("[0, 1] \\cup [1, 2]", [(0, True, 2, True)]), ("[0, 1) \\cup (1, 2]", [(0, True, 1, False),
        (1, False, 2, True)]),
        ("[0, 3] \\cup (1, 2)", [(0, True, 3, True)]), ("(0, 2) \\cup (1, 2]", [(0, False, 2, True)]),
        ("[0, 2] \\cap (1, 3)", [(1, False, 2, True)]), ("[0, 2] \\cap (2, 3)", []),
        ("[0, 2] \\cap [2, 3)", [(2, True, 2, True)]),
        ("[0, 3] \\setminus [1, 2)", [(0, True, 1, False), (2, True, 3, True)]),
        ("\\mathbb{R} \\setminus \\{0, 1\\}", [(-OO, False, 0, False), (0, False, 1, False), (1, False, OO, False)]),
        ("\\mathbb{R}^+", [(0, False, OO, False)]), ("\\mathbb{R}^-", [(-OO, False, 0, False)]),
        ("\\mathbb{R}^*", [(-OO, False, 0, False), (0, False, OO, False)]), ("\\mathbb{R}", [(-OO, False, OO, False)]),
        ("\\{2, 1\\}", [(1, True, 1, True), (2, True, 2, True)]), ("\\emptyset", []), ("x = 4", [(4, True, 4, True)]),
        ("\\{x \\mid 0 < x < 1\\}", [(0, False, 1, False)]), ("\\{x \\in [0, 5] : x > 4\\}", [(4, False, 5, True)]),
        ("x \\in [0, 1)", [(0, True, 1, False)]), ("x < \\infty", [(-OO, False, OO, False)]), ("x > \\infty", []),
        ("-\\infty < x < 2", [(-OO, False, 2, False)]), ("x \\ne \\pm 1", [(-OO, False, -1, False),
        (-1, False, 1, False), (1, False, OO, False)]),
    ],
)  # fmt: skip
def test_the_intervals_of_a_set(text: str, intervals: list[tuple[Any, ...]]) -> None:
    assert [tuple(interval) for interval in real_set(parse(text))] == intervals


@pytest.mark.parametrize(
    "text", ["x^2 > 1", "x > y", "x > i", "1 < 2", "x + y > 1", "a", "5", "(1, 2, 3)", "x > 1, y > 1", "1 < 2 < x"]
)
def test_what_is_no_set_of_reals(text: str) -> None:
    with pytest.raises(NotEvaluableError):
        real_set(parse(text))


# derivatives, numbers, sentences


def called(node: Node) -> list[str]:
    """The names of the calls of a tree, from the outside in."""
    return [node.name, *(name for part in node.args for name in called(part))] if isinstance(node, Call) else []


@pytest.mark.parametrize(
    ("text", "what", "order"),
    [
        (r"\frac{d}{dx} x^3", "x^3", "1"), (r"\frac{d^2}{dx^2} x^3", "x^3", "2"), (r"\frac{d^9}{dx^9} x^3", "x^3", "9"),
        (r"\frac{dy}{dx}", "y", "1"), (r"\frac{d^2 y}{dx^2}", "y", "2"),
        (r"\frac{\partial}{\partial x} xy", "xy", "1"), (r"\frac{\partial y}{\partial x}", "y", "1"),
    ],
)  # fmt: skip
def test_what_is_a_derivative(text: str, what: str, order: str) -> None:
    assert parse(text) == Call("Derivative", (parse(what), parse("x"), parse(order)))


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{dxy}{dx} x^2", r"\frac{d}{dxy} x^2", r"\frac{d^{10}}{dx^{10}} x^3", r"\frac{d^0}{dx^0} x^3",
        r"\frac{d^{1/2}}{dx^{1/2}} x", r"\frac{d^2 y}{dx^3}", r"\frac{d}{dx}", r"\frac{d}{d2} x",
        r"\frac{\partial}{dx} xy", r"\frac{d}{\partial x} xy", r"\frac{c}{dx} x", r"\frac{d^2}{dx} x",
    ],
)  # fmt: skip
def test_what_is_a_fraction_and_no_derivative(text: str) -> None:
    found = called(parse(text))
    assert "/" in found
    assert "Derivative" not in found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (r"\infty - \infty", "no number"), (r"0 \cdot \infty", "no number"), (r"\max(1)", "the largest of what?"),
        (r"\min(1)", "the largest of what?"), ("1000001!", "too large"), (r"\binom{1000001}{2}", "too large"),
        ("10001!!", "too large"), ("0^{-1}", "division by zero"), ("2^{\\infty}", "infinite"),
        ("1:2:3", "a ratio of several"),
    ],
)  # fmt: skip
def test_what_has_no_number(text: str, why: str) -> None:
    with pytest.raises(NotEvaluableError) as caught:
        evaluate(parse(text), {})
    assert str(caught.value) == why


@pytest.mark.parametrize(("length", "equal"), [(199, False), (200, False), (201, True)])
def test_a_hedge_is_one_of_a_short_sentence(length: int, equal: bool) -> None:
    """In a longer text "not" says nothing of the value that it ends with."""
    start, end = "Values", " below 9 do not work.\n\nThe answer is 7."
    answer = f"{start}{(' b' * length)[: length - len(start) - len(end)]}{end}"
    assert len(answer) == length
    assert judge({"gold": "7", "answer": answer})["equal"] is equal


# how long a comparison may take, and of how much text


@pytest.mark.parametrize(
    ("timeout", "taken", "left"),
    [(1.0, 0.0, 0.6), (1.0, 0.7, 0.5), (1.0, 0.95, 0.3), (0.5, 0.1, 0.5), (0.5, 0.0, 0.6), (0.1, 0.2, 0.03)],
)
def test_calculus_has_what_the_comparison_left(
    timeout: float, taken: float, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the patience of the other tests
    clock = iter((5.0, 5.0 + taken))
    asked: list[Any] = []

    def pool(module: str) -> Any:
        def call(pair: Any, seconds: float) -> dict[str, Any]:
            asked.append((module, pair, seconds))
            return {"calculus": True} if module == "equivalence" else {"equal": True, "rule": "so"}

        return SimpleNamespace(call=call)

    monkeypatch.setattr(graders, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(graders, "_pool", pool)
    assert compare_answers("x", "y", timeout=timeout) == (True, "so")
    pair = {"gold": "x", "answer": "y"}
    assert asked == [("equivalence", pair, timeout), ("calculus", pair, pytest.approx(left))]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (WorkerTimeoutError(), "timeout: the comparison took more than 1 s"),
        (WorkerDiedError("code 9"),
         "the grader's worker process died, most likely at its memory limit (code 9)"),
        (WorkerCallError("odd"), "the grader failed (odd)"),
    ],
)  # fmt: skip
def test_a_comparison_that_did_not_end_is_no_verdict(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    asked: list[Any] = []

    def call(pair: Any, seconds: float) -> Any:
        asked.append((len(pair["gold"]), pair["gold"][0], len(pair["answer"]), pair["answer"][0], seconds))
        raise error

    monkeypatch.setattr(graders, "_pool", lambda module: SimpleNamespace(call=call))
    assert compare_answers("ab" + "c" * 19_999, "de" + "f" * 19_998) == (None, why)
    assert asked == [(20_000, "b", 20_000, "d", 1.0)]
    assert not math_equal("x", "y")
    score = grade_math(r"\boxed{y}", "x")
    assert (score.value, score.status, score.answer) == (0.0, "error", "y")
    assert why in score.explanation


def test_up_to_a_thousand_characters_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        graders, "_pool", lambda module: SimpleNamespace(call=lambda pair, seconds: {"equal": False, "rule": module})
    )
    for length, why in ((1000, "the same text"), (1001, "equivalence")):
        text = "x" * length
        assert compare_answers(text, text).why == why
        spaced = "x" + " " * (length - 1)
        assert compare_answers(spaced, "x").why == compare_answers("x", spaced).why == why


# limits on the way to a value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\sqrt[64]{2^{64}}", 2), (r"\sqrt[1]{5}", 5), ("2^{133333}", 2**133333), ("5000!", math.factorial(5000)),
        ("7!!", 105), (r"\binom{5000}{2}", 12497500), (r"\sqrt[3]{-\frac{27}{8}}", Fraction(-3, 2)), ("0^0", 1),
        ("1^{-1}", 1), ("(-1)^{-3}", -1), (r"-7 \bmod 4", 1), ("1011_2", 11), ("11_{36}", 37), ("1e5000", 10**5000),
        ("9" * 2000, 10**2000 - 1), (r"0.\overline{" + "1" * 59 + "}", Fraction(1, 9)),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)  # fmt: skip
def test_values_at_the_limits(text: str, value: Fraction | int) -> None:
    assert exact(parse(text)) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (r"\sqrt[65]{2^{65}}", "no small whole number"), (r"\sqrt[0]{5}", "no rational root"),
        (r"\sqrt{-4}", "no rational root"), (r"\sqrt{2}", "no rational root"), ("2^{133334}", "too many digits"),
        ("5001!", "no small whole number"), (r"\binom{5001}{2}", "no small whole number"), ("1e5001", "an exponent"),
        ("0^{-1}", "division by zero"), (r"3 \bmod 0", "division by zero"), (r"\frac{1}{0}", "division by zero"),
        (r"\gcd(12, 1.5)", "no whole number"), ("18_8", "invalid literal"), ("9" * 2001, "a number of more than 2,000"),
        (r"0.\overline{" + "1" * 60 + "}", "a long period"), ("x_{" + "+1" * 31 + "}", "a long index"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_values_beyond_the_limits(text: str, why: str) -> None:
    with pytest.raises((NotEvaluableError, ParseError)) as caught:
        exact(parse(text))
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("text", "value", "alone"),
    [
        ("The value is 7", "7", "7"), ("7 diners came", "7 diners", None), ("So it is 7 or 8", None, None),
        ("Is it 7?", None, None), ("The value is less than 7", None, None), ("7 and 8 came", None, None),
        (f"The {'x' * 190} is 7", "7", "7"), (f"The {'x' * 191} is 7", "7", "7"), (f"The {'x' * 192} is 7", None, None),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_what_a_short_sentence_says(text: str, value: str | None, alone: str | None) -> None:
    assert (said_value(text), said_value(text, counted=False)) == (value, alone)


@pytest.mark.parametrize(
    ("text", "hedged"),
    [
        ("not 5 but 6", True), ("not 5", True), ("not 5, 6", False), ("less than 5", True), ("it is 5", False),
        ("a lesson of 5", False), ("LESS than 5", True), ("5 doesn’t work", True), ("every 5", True), ("0", False),
    ],
)  # fmt: skip
def test_what_hedges_a_number(text: str, hedged: bool) -> None:
    assert is_hedged(text) is hedged


@pytest.mark.parametrize(("boxes", "parts"), [(1, 0), (2, 2), (12, 12), (13, 0)])
def test_up_to_twelve_parts_have_boxes_of_their_own(boxes: int, parts: int) -> None:
    text = "\n\n".join(rf"- Value {i}: it is \boxed{{{i}}}." for i in range(boxes))
    found = extract_answer(text)
    assert found is not None
    assert found.answer == str(boxes - 1)
    assert len(found.parts) == parts
