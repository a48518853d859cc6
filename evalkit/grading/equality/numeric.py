"""Evaluate syntax trees: exactly over the rationals where possible, else to many digits with mpmath.

Two expressions are taken to be equal when they agree to 30 digits at several points drawn at random (Schwartz 1980,
Zippel 1979, for polynomials; elementary functions that agree to that many digits by chance do not turn up).
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import mpmath

from evalkit.grading.equality.quantities import plain_quantity
from evalkit.grading.latex.nodes import Base, Call, Matrix, Node, Num, Quantity, Ratio, Seq, Sym, leaves

MAX_BITS = 400_000
DIGITS = 60
TRIGONOMETRIC = {"sin", "cos", "tan", "cot", "sec", "csc", "cis"}
_TERMS = {"+", "*", "/", "neg", "abs"}  # through which an angle in degrees stays one
ORDERED = frozenset({"angle", "vec", "triangle"})  # marks above points whose order counts
_BOUND_CALLS = {"Sum", "Product", "Integral", "Limit", "Derivative"}


class NotEvaluableError(Exception):
    """No number comes out: unknown notation, a pole, or more digits than are sensible."""


def exact(node: Node) -> Fraction:
    """The rational value of a constant expression. Raises NotEvaluableError where it has none or too large a one."""
    if isinstance(node, Num):
        return node.value
    if isinstance(node, Base):
        try:
            return Fraction(int(node.digits, node.base))
        except ValueError as error:
            raise NotEvaluableError(str(error)) from error
    if isinstance(node, Quantity):
        if not plain_quantity(node):
            raise NotEvaluableError(node.unit)
        return exact(node.value) / (100 if node.unit == "percent" else 1)
    if isinstance(node, Ratio) and len(node.parts) == 2:
        return _divide(exact(node.parts[0]), exact(node.parts[1]))
    if not isinstance(node, Call):
        raise NotEvaluableError("no rational number")
    if node.name in _BOUND_CALLS or node.name not in _EXACT:
        raise NotEvaluableError(node.name)
    values = [exact(argument) for argument in node.args]
    try:
        return _EXACT[node.name](*values)  # type: ignore[no-any-return]
    except (TypeError, ArithmeticError) as error:
        raise NotEvaluableError(str(error)) from error


def _divide(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise NotEvaluableError("division by zero")
    return a / b


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        root = _exact_root(base, exponent.denominator)
        return _power(root, Fraction(exponent.numerator))
    if base == 0 and exponent < 0:
        raise NotEvaluableError("division by zero")
    if base in (0, 1):
        return Fraction(1) if exponent == 0 else base
    if base == -1:
        return Fraction(-1 if exponent % 2 else 1)
    if abs(exponent) * _bits(base) > MAX_BITS:
        raise NotEvaluableError("too many digits")
    return base ** int(exponent)


def _exact_root(value: Fraction, degree: int) -> Fraction:
    if not 1 <= degree <= 64 or (value < 0 and degree % 2 == 0) or _bits(value) > 4000:
        raise NotEvaluableError("no rational root")
    sign = -1 if value < 0 else 1
    parts = []
    for part in (abs(value.numerator), value.denominator):
        guess = math.isqrt(part) if degree == 2 else _integer_root(part, degree)
        if guess**degree != part:
            raise NotEvaluableError("no rational root")
        parts.append(guess)
    return Fraction(sign * parts[0], parts[1])


def _integer_root(value: int, degree: int) -> int:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


def _small_integer(value: Fraction, limit: int) -> int:
    if value.denominator != 1 or not 0 <= value <= limit:
        raise NotEvaluableError("no small whole number")
    return int(value)


def _root(value: Fraction, degree: Fraction) -> Fraction:
    return _exact_root(value, _small_integer(degree, 64)) if degree != 1 else value


def _lcm(*values: Fraction) -> Fraction:
    return Fraction(math.lcm(*(_integer(value) for value in values)))


def _integer(value: Fraction) -> int:
    if value.denominator != 1:
        raise NotEvaluableError("no whole number")
    return int(value)


def _mod(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise NotEvaluableError("division by zero")
    return a % b


_EXACT: dict[str, Any] = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "neg": lambda a: -a,
    "^": _power,
    "root": _root,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "factorial": lambda a: Fraction(math.factorial(_small_integer(a, 5000))),
    "factorial2": lambda a: Fraction(math.prod(range(_small_integer(a, 5000), 0, -2))),
    "binom": lambda n, k: Fraction(math.comb(_small_integer(n, 5000), _small_integer(k, 5000))),
    "gcd": lambda *values: Fraction(math.gcd(*(_integer(value) for value in values))),
    "lcm": _lcm,
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "mod": _mod,
    "Re": lambda a: a,
    "bar": lambda a: a,
}


def evaluate(node: Node, values: Mapping[str, Any], *, degrees: bool = False) -> Any:
    """The value (mpf or mpc, at mpmath's working precision) with variables set. Raises NotEvaluableError."""
    if isinstance(node, Num):
        return mpmath.mpf(node.value.numerator) / node.value.denominator
    if isinstance(node, Sym):
        if node.name in values:
            return values[node.name]
        constant = {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.mpc(0, 1), "oo": mpmath.inf}.get(node.name)
        if constant is None:
            raise NotEvaluableError(node.name)
        return +constant
    if isinstance(node, Quantity):
        if not plain_quantity(node):
            raise NotEvaluableError(node.unit)
        value = evaluate(node.value, values)
        if node.unit == "percent":
            return value / 100
        return mpmath.radians(value) if degrees and node.unit == "degree" else value
    if isinstance(node, Base | Ratio):
        return evaluate(Num(exact(node)), values) if isinstance(node, Base) else _ratio(node, values)
    if isinstance(node, Seq) and len(node.items) == 1:
        return evaluate(node.items[0], values)
    if not isinstance(node, Call):
        raise NotEvaluableError(type(node).__name__)
    if node.name in _BOUND_CALLS:
        return _bounded(node, values)
    if node.name == "det":
        return _determinant(node, values)
    if node.name in ORDERED:
        return _opaque(" ".join((node.name, *letters_in_order(node))), [])
    degrees = node.name in TRIGONOMETRIC or (degrees and node.name in _TERMS)
    return _call(node.name, [evaluate(argument, values, degrees=degrees) for argument in node.args])


def letters_in_order(node: Call) -> tuple[str, ...]:
    """The points of an angle or a vector as they stand: ABC and CBA are one angle, AB and BA are not one vector."""
    letters: list[str] = []

    def collect(part: Node) -> None:
        if isinstance(part, Call) and part.name == "*":
            for factor in part.args:
                collect(factor)
        else:
            letters.append(part.name if isinstance(part, Sym) else repr(part))

    collect(node.args[0])
    forward, backward = tuple(letters), tuple(reversed(letters))
    return min(forward, backward) if node.name == "angle" else forward


def _ratio(node: Ratio, values: Mapping[str, Any]) -> Any:
    if len(node.parts) != 2:
        raise NotEvaluableError("a ratio of several")
    return _call("/", [evaluate(part, values) for part in node.parts])


def _call(name: str, arguments: list[Any]) -> Any:
    try:
        return _applied(name, arguments)
    except (ValueError, TypeError, OverflowError, ArithmeticError, mpmath.libmp.NoConvergence) as error:
        raise NotEvaluableError(str(error)) from error


_GROWING = {"factorial": 1e6, "binom": 1e6, "factorial2": 1e4}  # how large their arguments may be


def _applied(name: str, a: list[Any]) -> Any:
    if name == "^":
        return _mp_power(a[0], a[1])
    if name in ("max", "min") and len(a) == 1:
        raise NotEvaluableError("the largest of what?")
    if name in _GROWING and any(abs(value) > _GROWING[name] for value in a):
        raise NotEvaluableError("too large")
    if name in _MP:
        value = _MP[name](*a)
    elif (name.isalpha() and len(name) <= 12) or name == "prime":
        value = _opaque(name, a)
    else:
        raise NotEvaluableError(name)
    if mpmath.isnan(value):
        raise NotEvaluableError("no number")
    return value


def _mp_power(base: Any, exponent: Any) -> Any:
    if base == 0:
        if mpmath.re(exponent) <= 0 and exponent != 0:
            raise NotEvaluableError("division by zero")
        return mpmath.mpf(exponent == 0)
    if mpmath.isinf(base) or mpmath.isinf(exponent):
        raise NotEvaluableError("infinite")
    if abs(exponent) * (1 + abs(mpmath.log(abs(base)))) > 1e7:
        raise NotEvaluableError("too large")
    if isinstance(base, mpmath.mpf) and base < 0 and isinstance(exponent, mpmath.mpf):
        # odd roots of negative numbers are real in school mathematics: (-8)^{1/3} = -2
        inverse = 1 / exponent
        if abs(inverse - mpmath.nint(inverse)) < 1e-40 and int(mpmath.nint(inverse)) % 2:
            return -mpmath.power(-base, exponent)
    return mpmath.power(base, exponent)


def _mp_root(value: Any, degree: Any) -> Any:
    return mpmath.sqrt(value) if degree == 2 else _mp_power(value, 1 / degree)


def _opaque(name: str, arguments: list[Any]) -> Any:
    """An unknown function as a fixed generic one, so that f(x) = f(x) and f(x) != f(y)."""
    seed = hashlib.sha256(name.encode()).digest()
    value = mpmath.mpf(seed[0] + 1) / 7
    for index, argument in enumerate(arguments):
        value += (mpmath.mpf(seed[index + 1] + 3) / 11) * argument + argument * argument * (seed[index + 2] + 1) / 13
    return value


def _bounded(node: Call, values: Mapping[str, Any]) -> Any:
    body, lower, upper = node.args[:3]
    if node.name == "Derivative" and isinstance(body, Sym) and isinstance(lower, Sym) and body != lower:
        return _opaque(f"d{body.name}/d{lower.name}", [evaluate(upper, values)])  # dy/dx, a quantity of its own
    ops = getattr(lower, "ops", ())
    if node.name not in ("Sum", "Product") or ops != ("=",) or not isinstance(lower.args[0], Sym):  # type: ignore[union-attr]
        raise NotEvaluableError(node.name)
    index = lower.args[0].name  # type: ignore[union-attr]
    if any(index in indices(name) for name in names_in(body)):
        raise NotEvaluableError("terms that depend on the index")
    start, end = evaluate(lower.args[1], values), evaluate(upper, values)  # type: ignore[union-attr]
    if any(isinstance(bound, mpmath.mpc) or not mpmath.isint(bound) for bound in (start, end)) or end - start > 2000:
        raise NotEvaluableError("bounds that are no small whole numbers")
    total = mpmath.mpf(node.name == "Product")
    for at in range(int(start), int(end) + 1):
        term = evaluate(body, {**values, index: mpmath.mpf(at)})
        total = total + term if node.name == "Sum" else total * term
    return total


def indices(name: str) -> frozenset[str]:
    """The letters in the index of a name: n and k of a_{n-k}."""
    return frozenset(re.findall(r"[A-Za-z]+", name.partition("_")[2]))


def names_in(node: Node) -> Iterator[str]:
    """The names with an index of an expression."""
    return (leaf.name for leaf in leaves(node) if isinstance(leaf, Sym) and "_" in leaf.name)


def _determinant(node: Call, values: Mapping[str, Any]) -> Any:
    matrix = node.args[0]
    if not isinstance(matrix, Matrix) or len(matrix.rows) != len(matrix.rows[0]) or len(matrix.rows) > 8:
        raise NotEvaluableError("no square matrix")
    return mpmath.det(mpmath.matrix([[evaluate(entry, values) for entry in row] for row in matrix.rows]))


_MP: dict[str, Any] = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "neg": lambda a: -a,
    "root": _mp_root,
    "abs": abs,
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "factorial": mpmath.factorial,
    "factorial2": mpmath.fac2,
    "binom": mpmath.binomial,
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "mod": lambda a, b: a - b * mpmath.floor(a / b),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "cot": mpmath.cot,
    "sec": mpmath.sec,
    "csc": mpmath.csc,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "arccot": mpmath.acot,
    "arcsec": mpmath.asec,
    "arccsc": mpmath.acsc,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "coth": mpmath.coth,
    "sech": mpmath.sech,
    "csch": mpmath.csch,
    "asinh": mpmath.asinh,
    "acosh": mpmath.acosh,
    "atanh": mpmath.atanh,
    "acoth": mpmath.acoth,
    "asech": mpmath.asech,
    "acsch": mpmath.acsch,
    "ln": mpmath.log,
    "log": mpmath.log,
    "log10": mpmath.log10,
    "exp": mpmath.exp,
    "cis": mpmath.expj,
    "Re": mpmath.re,
    "Im": mpmath.im,
    "arg": mpmath.arg,
    "bar": mpmath.conj,
    "sign": mpmath.sign,
    "Gamma": mpmath.gamma,
    "erf": mpmath.erf,
    "gcd": lambda *a: mpmath.mpf(math.gcd(*(int(x) for x in a))),
}


def evaluable_calls() -> frozenset[str]:
    """The names of the functions that `evaluate` knows."""
    return frozenset(_MP)


def close(a: Any, b: Any, digits: int = 30) -> bool:
    """Whether two values agree to `digits` significant digits (both as good as zero counts)."""
    if mpmath.isinf(a) or mpmath.isinf(b):
        return bool(a == b)
    size = max(abs(a), abs(b))
    if size < mpmath.mpf(10) ** -(DIGITS - 10):
        return True
    return bool(abs(a - b) <= size * mpmath.mpf(10) ** -digits)


def points(names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Fixed pseudo-random values for the variables: positive, mixed in sign, and whole numbers."""
    for number, kind in enumerate(("positive", "positive", "positive", "negative", "mixed", "whole", "whole")):
        drawn = {}
        for name in names:
            seed = int.from_bytes(hashlib.sha256(f"{number}:{name}".encode()).digest()[:8], "big")
            value = mpmath.mpf(seed % 10**12) / 10**12 * mpmath.mpf("1.9") + mpmath.mpf("0.37")
            if kind == "whole":
                value = mpmath.mpf(seed % 6 + 3)
            elif kind == "negative" or (kind == "mixed" and seed & 1 << 50):
                value = -value
            drawn[name] = value
        yield drawn


def _drawn(number: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{number}:{name}".encode()).digest()[:8], "big")


def spread_points(names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Points of every size up to a million, whole and broken, of both signs: for functions that step."""
    for number, size in enumerate((3, 12, 12, 40, 40, 150, 150, 600, 2500, 2500, 40_000, 10**6) * 2):
        drawn = {}
        for name in names:
            seed = _drawn(100 + number, name)
            value = mpmath.mpf(seed % (1000 * size)) / 1000 if number % 3 else mpmath.mpf(seed % size + 1)
            drawn[name] = -value if number % 4 == 3 and seed & 1 << 40 else value
        yield drawn


def whole_points(names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Whole numbers: 1 to 12 in step, and drawn ones."""
    for number in range(1, 13):
        yield {name: mpmath.mpf(number + index) for index, name in enumerate(sorted(names))}
    for number, size in enumerate((9, 9, 20, 20, 60, 250, 1000, 30_000, 10**6)):
        yield {name: mpmath.mpf(_drawn(200 + number, name) % size + 1) for name in names}


def complex_points(names: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Complex values, for what has a conjugate in it."""
    for number in range(4):
        yield {
            name: mpmath.mpc(_drawn(300 + number, name) % 997 + 3, _drawn(400 + number, name) % 991 + 2) / 211
            for name in names
        }
