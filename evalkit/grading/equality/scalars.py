"""Compare two values: exactly, to the digits that a decimal states, or at random points."""

from collections.abc import Container, Iterable
from fractions import Fraction
from itertools import islice
from typing import Any

import mpmath

from evalkit.grading.equality.numeric import (
    DIGITS,
    ORDERED,
    TRIGONOMETRIC,
    NotEvaluableError,
    close,
    complex_points,
    evaluate,
    exact,
    letters_in_order,
    points,
    spread_points,
    whole_points,
)
from evalkit.grading.equality.quantities import same_unit
from evalkit.grading.equality.renaming import one_imaginary_unit
from evalkit.grading.latex.nodes import (
    Base,
    Call,
    Node,
    Num,
    Quantity,
    Rel,
    Seq,
    Sym,
    calls,
    leaves,
    nodes_of,
    symbols,
)

ROUNDED_DIGITS = 6  # significant digits from which a decimal stands for an exact value that it rounds


def values_equal(gold: Node, answer: Node) -> str | None:
    """The rule by which two expressions have the same value; None where they have not, as far as can be seen."""
    scaled = same_unit(gold, answer)
    if scaled is None:
        return None
    gold, answer, percent = scaled
    gold, answer = one_imaginary_unit(gold, answer)
    rule = _plain_equal(gold, answer)
    if rule is None and percent:
        hundredth = Call("/", (gold if percent == "gold" else answer, Num(Fraction(100))))
        rule = _plain_equal(hundredth, answer) if percent == "gold" else _plain_equal(gold, hundredth)
    return rule


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


def decimal(node: Node) -> Num | None:
    """The decimal that an expression is, sign aside."""
    while isinstance(node, Call) and node.name == "neg":
        node = node.args[0]
    return node if isinstance(node, Num) and node.decimals is not None else None


def _rounded(gold: Node, answer: Node, a: Any, b: Any) -> str | None:
    """Whether one side is the other, rounded to the digits it states (docs/grading.md, "Decimals")."""
    written, given = decimal(gold), decimal(answer)
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


# calls that step or fold: equal at a few points says little of them
_STEPS = frozenset({"floor", "ceil", "mod", "gcd", "lcm", "sign", "max", "min", "abs", "Re", "Im", "arg"})
_WHOLE = frozenset({"floor", "ceil", "mod", "gcd", "lcm", "factorial", "factorial2", "binom", "Sum", "Product"})
_INTEGERS = frozenset("nkmijpqrlNKMst")
LEAST_POINTS = 2


def _identical(gold: Node, answer: Node, names: frozenset[str]) -> bool:
    """Whether two expressions agree wherever both have a value; on whole numbers only where whole numbers are meant."""
    names_of_calls = calls((gold, answer))
    if names_of_calls & {"bar", "Re", "Im", "arg"}:
        return _agree(gold, answer, complex_points(names))
    if _agree(gold, answer, points(names), real=(3, 4)) and (
        not names_of_calls & _STEPS or _agree(gold, answer, spread_points(names), real=range(24))
    ):
        return True
    return _of_whole_numbers(gold, answer, names) and _agree(gold, answer, whole_points(names), least=5)


def _of_whole_numbers(gold: Node, answer: Node, names: frozenset[str]) -> bool:
    """Whether the variables can only be whole numbers: n in n!, \\lfloor n/2 \\rfloor, (-1)^n, \\cos n\\pi."""
    if not {name.partition("_")[0] for name in names} <= _INTEGERS:
        return False
    return any(_is_whole(call) for call in nodes_of((gold, answer)))


def _is_whole(call: Call) -> bool:
    if call.name == "^":
        base = call.args[0]
        return isinstance(base, Call) and base.name == "neg" and bool(symbols(call.args[1])) and not symbols(base)
    return call.name in _WHOLE or (call.name in TRIGONOMETRIC and Sym("pi") in leaves(call.args))


def _agree(
    gold: Node,
    answer: Node,
    at: Iterable[dict[str, Any]],
    *,
    real: Container[int] = (),
    least: int = LEAST_POINTS,
) -> bool:
    """Whether both have the same value at all points where both have one, `least` of them; at those numbered in `real`
    a complex value does not count.
    """
    agreed = 0
    for index, values in enumerate(at):
        try:
            a, b = evaluate(gold, values), evaluate(answer, values)
        except NotEvaluableError:
            continue
        if index in real and (isinstance(a, mpmath.mpc) or isinstance(b, mpmath.mpc)):
            continue  # roots and logarithms of negative numbers: formulas are meant where they are real
        if not close(a, b):
            return False
        agreed += 1
    return agreed >= least


def difference_ratio(gold: Rel, answer: Rel) -> Any:
    """The constant c with left - right of `gold` = c (left - right) of `answer` everywhere; None without one."""
    first, second = _difference(gold), _difference(answer)
    names = symbols(first) | symbols(second)
    if not names:
        return None  # f(2) = 3 and f(3) = 2
    ratio: Any = None
    agreed, varies, before = 0, False, None
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
            varies = varies or (before is not None and not close(a, before))
            before = a
            agreed += 1
    return ratio if agreed >= 2 and varies else None


def same_solution(gold: Rel, answer: Rel) -> bool:
    """Whether two equations that are linear in one variable have it equal to the same function of the others, and
    neither holds anywhere else: xy = 1 and y = 1/x, but not xy = x and y = 1.
    """
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
                    return not _splits(first, name) and not _splits(second, name)
            except NotEvaluableError:
                continue
    return False


def _line(difference: Node, name: str, values: dict[str, Any]) -> tuple[Any, Any]:
    """(slope, value at 0) of an expression that is linear in a variable."""
    at = [evaluate(difference, {**values, name: mpmath.mpf(x)}) for x in (1, 2, 4, -5)]
    slope = at[1] - at[0]
    if not (close(at[2] - at[1], 2 * slope) and close(at[0] - at[3], 6 * slope)):
        raise NotEvaluableError("not linear")
    return slope, at[0] - slope


def _solved(difference: Node, name: str, values: dict[str, Any]) -> Any:
    slope, constant = _line(difference, name, values)
    if abs(slope) < 1e-30:
        raise NotEvaluableError("not linear")
    return -constant / slope


def _splits(difference: Node, name: str) -> bool:
    """Whether slope · variable + constant = 0 also holds where slope and constant vanish together."""
    for values in islice(points(symbols(difference)), 2):
        slope, constant = _line(difference, name, values)
        for other in sorted(symbols(difference) - {name}):
            moved = {**values, other: values[other] + 1}
            if close(_line(difference, name, moved)[0], slope):
                continue

            def slope_at(x: Any, other: str = other, values: dict[str, Any] = values) -> Any:
                return _line(difference, name, {**values, other: x})[0]

            if abs(constant) < 1e-40:
                return True  # ab(c - 1) = 0
            for start in (0.3, -1.7, 3.1):
                try:
                    root = mpmath.findroot(slope_at, mpmath.mpf(start), tol=1e-30)
                    if abs(_line(difference, name, {**values, other: root})[1]) < 1e-12:
                        return True
                except (ValueError, ZeroDivisionError, TypeError, NotEvaluableError):
                    continue
    return False


def _difference(relation: Rel) -> Node:
    return Call("+", (relation.args[0], Call("neg", (relation.args[-1],))))


def canonical(node: Any) -> Any:
    """A form in which the order of terms and factors does not matter, for what cannot be evaluated."""
    if isinstance(node, Call):
        if node.name in ("+", "*"):
            return (node.name, tuple(sorted(repr(canonical(item)) for item in _flat(node, node.name))))
        if node.name in ("gcd", "lcm", "max", "min"):
            return (node.name, tuple(sorted(repr(canonical(argument)) for argument in node.args)))
        if node.name in ORDERED:
            return (node.name, letters_in_order(node))
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
