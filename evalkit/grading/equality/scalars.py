"""Compare two values: exactly, to the digits that a decimal states, or at random points."""

from fractions import Fraction
from itertools import islice
from typing import Any

import mpmath

from evalkit.grading.equality.numeric import DIGITS, NotEvaluableError, close, evaluate, exact, points
from evalkit.grading.latex.nodes import (
    Base,
    Call,
    Node,
    Num,
    Quantity,
    Rel,
    Seq,
    Sym,
    Text,
    leaves,
    substituted,
    symbols,
)
from evalkit.grading.latex.units import measure, temperature

_UNIT_LETTERS = frozenset("mgshLNJWV")
_PARAMETERS = frozenset("kmn")
ROUNDED_DIGITS = 6  # significant digits from which a decimal stands for an exact value that it rounds


def values_equal(gold: Node, answer: Node) -> str | None:
    """The rule by which two expressions have the same value; None where they have not, as far as can be seen."""
    scaled = _same_unit(gold, answer)
    if scaled is None:
        return None
    gold, answer, percent = scaled
    gold, answer = _renamed(gold, answer)
    rule = _plain_equal(gold, answer)
    if rule is None and percent:
        hundredth = Call("/", (gold if percent == "gold" else answer, Num(Fraction(100))))
        rule = _plain_equal(hundredth, answer) if percent == "gold" else _plain_equal(gold, hundredth)
    return rule


def _same_unit(gold: Node, answer: Node) -> tuple[Node, Node, str] | None:
    """Both values without their units, the answer in the gold's unit; None where the units cannot agree."""
    gold, gold_unit = _split(gold)
    answer, answer_unit = _split(answer)
    if not gold_unit and (answer_unit or not symbols(answer)):
        gold, gold_unit = _unit_letters(gold, product=bool(answer_unit))
    if not answer_unit and (gold_unit or not symbols(gold)):
        answer, answer_unit = _unit_letters(answer, product=bool(gold_unit))
    percents = (gold_unit == "percent", answer_unit == "percent")
    if percents[0] != percents[1]:
        return gold, answer, "gold" if percents[0] else "answer"
    kinds = _angle(gold_unit, gold), _angle(answer_unit, answer)
    if kinds == ("degree", "radian"):
        return Call("*", (gold, _DEGREE)), answer, ""
    if kinds == ("radian", "degree"):
        return gold, Call("*", (answer, _DEGREE)), ""
    if gold_unit.startswith("pmod") and answer_unit.startswith("pmod"):
        return _same_residue(gold, gold_unit, answer, answer_unit)
    if not gold_unit or not answer_unit or gold_unit == answer_unit or _interchangeable(gold_unit, answer_unit):
        return gold, answer, ""
    of_gold, of_answer = measure(gold_unit), measure(answer_unit)
    if of_gold and of_answer:
        if of_gold[0] != of_answer[0]:
            return None
        if of_gold[1] != of_answer[1]:
            answer = Call("*", (answer, Num(of_answer[1] / of_gold[1])))
    return gold, answer, ""


def _angle(unit: str, value: Node) -> str:
    unit = unit.removesuffix("s")
    radians = unit in ("radian", "rad") or (not unit and Sym("pi") in leaves(value))
    return "radian" if radians else "degree" if unit in ("degree", "deg") else ""


def _interchangeable(first: str, second: str) -> bool:
    """25° and 25 °C; £5 and 5 pounds; `5 mg` and `5mg`, whose letters were read apart."""
    units = {first, second}
    if first.replace(" ", "").replace("^1", "") == second.replace(" ", "").replace("^1", ""):
        return True  # mg and m g
    return ("degree" in units and bool(units & {"celsius", "fahrenheit"})) or (
        "sterling" in units and any(unit.startswith("pound") for unit in units)
    )


def _same_residue(gold: Node, gold_unit: str, answer: Node, answer_unit: str) -> tuple[Node, Node, str] | None:
    if gold_unit != answer_unit:
        return None
    modulus = gold_unit.removeprefix("pmod").strip()
    if not modulus.isdigit() or len(modulus) > 50 or not int(modulus):
        return gold, answer, ""
    by = Num(Fraction(int(modulus)))
    return Call("mod", (gold, by)), Call("mod", (answer, by)), ""


def _split(node: Node) -> tuple[Node, str]:
    units: list[str] = []
    while True:
        if isinstance(node, Quantity):
            unit = node.unit.strip(" .").lower()
            units.insert(0, "percent" if unit in _PERCENT else temperature(unit) or node.unit)
            node = node.value
        elif isinstance(node, Call) and node.name == "neg" and isinstance(node.args[0], Quantity):
            node = Quantity(Call("neg", (node.args[0].value,)), node.args[0].unit)
        else:
            return node, " ".join(units)


def _renamed(gold: Node, answer: Node) -> tuple[Node, Node]:
    """Both with one name for the imaginary unit (i, j, I), and for a whole-number parameter (k, m, n)."""
    here, there = symbols(gold) - symbols(answer), symbols(answer) - symbols(gold)
    names: dict[Sym, Node] = {}
    if (
        len(here | there) == 1
        and here | there <= {"j", "I"}
        and (Sym("i") in leaves((gold, answer)) or here | there == {"I"})
    ):
        names = {Sym(name): Sym("i") for name in here | there}
    elif len(here) == len(there) == 1 and here | there <= _PARAMETERS and Sym("pi") in leaves(gold):
        names = {Sym(next(iter(there))): Sym(next(iter(here)))}
    return (substituted(gold, names), substituted(answer, names)) if names else (gold, answer)


_ONE = Num(Fraction(1))
_NOTHING = Text("")  # what is left of a unit's letters
_DEGREE = Call("/", (Sym("pi"), Num(Fraction(180))))
_PERCENT = {"percent", "percentage", "pct", "percents", "per cent", "percentage points", "%"}


def _unit_letters(node: Node, *, product: bool) -> tuple[Node, str]:
    """`1000.99 m^2`, `5 m/s`: (the number, the unit) where a number times letters of units is all there is. `2mg` only
    where a `product` of units may be meant.
    """
    powers: dict[str, int] = {}

    def number(node: Node, sign: int) -> Node | None:
        if isinstance(node, Call) and node.name in ("*", "/"):
            left = number(node.args[0], sign)
            right = number(node.args[1], -sign if node.name == "/" else sign)
            if left is None or right is None or (left != _NOTHING and right != _NOTHING):
                return None
            if node.name == "/" and right != _NOTHING:
                return None
            return left if right == _NOTHING else right
        base, exponent = node.args if isinstance(node, Call) and node.name == "^" else (node, _ONE)
        if isinstance(base, Sym) and base.name in _UNIT_LETTERS and isinstance(exponent, Num):
            powers[base.name] = powers.get(base.name, 0) + sign * int(exponent.value)
            return _NOTHING
        return None if symbols(node) else node

    value = number(node, 1)
    several = not product and sum(power > 0 for power in powers.values()) != 1
    if value is None or value == _NOTHING or several:
        return node, ""
    return value, " ".join(f"{letter}^{power}" for letter, power in powers.items())


def _plain_equal(gold: Node, answer: Node) -> str | None:
    if isinstance(gold, Base) or isinstance(answer, Base):
        return _bases_equal(gold, answer)
    try:
        a, b = exact(gold), exact(answer)
        return "exact value" if a == b else _rounded(gold, answer, a, b)
    except NotEvaluableError:
        pass
    names = symbols(gold) | symbols(answer)
    with mpmath.workdps(DIGITS):
        if names:
            return "equal at random points" if _identical(gold, answer, names) else None
        try:
            a, b = evaluate(gold, {}), evaluate(answer, {})
        except NotEvaluableError:
            return None
        if close(a, b) and not (abs(a) < 1e-40 and _differ_when_tiny(gold, answer)):
            return "equal to 30 digits"
        if mpmath.isinf(a) or mpmath.isinf(b) or isinstance(a, mpmath.mpc) or isinstance(b, mpmath.mpc):
            return None
        return _rounded(gold, answer, a, b)


def _differ_when_tiny(gold: Node, answer: Node) -> bool:
    """Values below 1e-40 are compared again with 300 digits: rounding noise gets smaller, a true value stays."""
    with mpmath.workdps(300):
        a, b = evaluate(gold, {}), evaluate(answer, {})
        size = max(abs(a), abs(b))
        return bool(size > mpmath.mpf(10) ** -280 and abs(a - b) > size * mpmath.mpf(10) ** -20)


def _bases_equal(gold: Node, answer: Node) -> str | None:
    def digits(node: Node) -> str:
        return node.digits if isinstance(node, Base) else str(node.value) if isinstance(node, Num) else ""

    if not (isinstance(gold, Base) and isinstance(answer, Base)) and digits(gold) == digits(answer):
        return "the same digits, one without its base"
    if isinstance(gold, Base) and not isinstance(answer, Base):
        return None  # the base was asked for
    try:
        return "the same value in its base" if exact(gold) == exact(answer) else None
    except NotEvaluableError:
        return None


def _decimal(node: Node) -> Num | None:
    """The decimal that an expression is, sign aside."""
    while isinstance(node, Call) and node.name == "neg":
        node = node.args[0]
    return node if isinstance(node, Num) and node.decimals is not None else None


def _rounded(gold: Node, answer: Node, a: Any, b: Any) -> str | None:
    """Whether one side is the other, rounded to the digits it states (docs/grading.md, "Decimals")."""
    written, given = _decimal(gold), _decimal(answer)
    places = (written.decimals or 0) if written is not None else 0
    if written is not None and places >= 2:
        needed = 3 if given is not None or isinstance(answer, Num) else 2
        finer = (given.decimals or 0) > places if given is not None else not isinstance(answer, Num)
        if written.digits >= needed and finer and 2 * abs(a - b) <= _unit(written, a):
            return f"equal to the gold's {places} decimals"
    coarser = given is not None and (written is None or written.digits > given.digits)
    if given is not None and coarser and given.digits >= ROUNDED_DIGITS and not _whole(a):
        unit = _unit(given, a)
        if 2 * abs(a - b) <= unit or (written is None and abs(b) <= abs(a) < abs(b) + unit):
            return f"the gold rounded to {given.digits} significant digits"
    return None


def _whole(value: Any) -> bool:
    return value.denominator == 1 if isinstance(value, Fraction) else bool(mpmath.isint(value))


def _unit(decimal: Num, like: Any) -> Any:
    """One unit of a decimal's last place, exact or not as `like` is."""
    unit = Fraction(1, 10 ** (decimal.decimals or 0))
    return unit if isinstance(like, Fraction) else mpmath.mpf(1) / unit.denominator


def _identical(gold: Node, answer: Node, names: frozenset[str]) -> bool:
    agreed = 0
    for index, values in enumerate(points(names)):
        try:
            a, b = evaluate(gold, values), evaluate(answer, values)
        except NotEvaluableError:
            continue
        if index in (3, 4) and (isinstance(a, mpmath.mpc) or isinstance(b, mpmath.mpc)):
            continue  # roots and logarithms of negative numbers: formulas are meant where they are real
        if not close(a, b):
            return False
        agreed += 1
    return agreed >= 2


def difference_ratio(gold: Rel, answer: Rel) -> Any:
    """The constant c with left - right of `gold` = c (left - right) of `answer` everywhere; None without one."""
    first, second = _difference(gold), _difference(answer)
    names = symbols(first) | symbols(second)
    if not names:
        return None  # f(2) = 3 and f(3) = 2
    ratio: Any = None
    agreed = 0
    with mpmath.workdps(DIGITS):
        for index, values in enumerate(points(names)):
            try:
                a, b = evaluate(first, values), evaluate(second, values)
            except NotEvaluableError:
                continue
            if index in (3, 4) and (isinstance(a, mpmath.mpc) or isinstance(b, mpmath.mpc)):
                continue
            if abs(a) < 1e-40 or abs(b) < 1e-40:
                if abs(a) > 1e-40 or abs(b) > 1e-40:
                    return None
                continue
            if ratio is None:
                ratio = a / b
            elif not close(ratio, a / b):
                return None
            agreed += 1
    return ratio if agreed >= 2 else None


def same_solution(gold: Rel, answer: Rel) -> bool:
    """Whether two equations that are linear in one variable have it equal to the same function of the others."""
    first, second = _difference(gold), _difference(answer)
    if symbols(first) != symbols(second):
        return False
    with mpmath.workdps(DIGITS):
        for name in sorted(symbols(first)):
            try:
                if all(
                    close(_solved(first, name, at), _solved(second, name, at))
                    for at in islice(points(symbols(first)), 3)
                ):
                    return True
            except NotEvaluableError:
                continue
    return False


def _solved(difference: Node, name: str, values: dict[str, Any]) -> Any:
    at = [evaluate(difference, {**values, name: mpmath.mpf(x)}) for x in (1, 2, 4)]
    slope = at[1] - at[0]
    if not close(at[2] - at[1], 2 * slope) or abs(slope) < 1e-30:
        raise NotEvaluableError("not linear")
    return 1 - at[0] / slope


def _difference(relation: Rel) -> Node:
    return Call("+", (relation.args[0], Call("neg", (relation.args[-1],))))


def canonical(node: Any) -> Any:
    """A form in which the order of terms and factors does not matter, for what cannot be evaluated."""
    if isinstance(node, Call):
        if node.name in ("+", "*"):
            return (node.name, tuple(sorted(repr(canonical(item)) for item in _flat(node, node.name))))
        return (node.name, tuple(canonical(argument) for argument in node.args))
    if isinstance(node, Num):
        return ("num", node.value)
    if isinstance(node, Quantity):
        return ("quantity", canonical(node.value), node.unit)
    if isinstance(node, Seq):
        return ("seq", node.open, node.close, tuple(canonical(item) for item in node.items))
    if isinstance(node, Rel):
        return ("rel", node.ops, tuple(canonical(item) for item in node.args))
    return node


def _flat(node: Call, name: str) -> list[Node]:
    items: list[Node] = []
    for argument in node.args:
        items.extend(_flat(argument, name) if isinstance(argument, Call) and argument.name == name else [argument])
    return items
