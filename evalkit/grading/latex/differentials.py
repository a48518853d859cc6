"""The variable of an integral or a derivative: which `dx` belongs to it, and what it applies to."""

from fractions import Fraction
from typing import TYPE_CHECKING

from evalkit.grading.latex.nodes import Call, Node, Num, Sym
from evalkit.grading.latex.vocabulary import is_wrapper

if TYPE_CHECKING:
    from evalkit.grading.latex.atoms import AtomParser

_D = Sym("d")
_ONE = Num(Fraction(1))


def derivative(parser: "AtomParser", fraction: Call) -> Node:
    """`\\frac{d}{dx}` with the product that follows as Derivative(product, x, order); another fraction as it is."""
    above, below = fraction.args
    order: Node = _ONE
    if isinstance(above, Call) and above.name == "^" and above.args[0] == _D:
        above, order = above.args
    if above != _D or not (isinstance(below, Call) and below.name == "*" and below.args[0] == _D):
        return fraction
    variable = below.args[1]
    if order != _ONE and isinstance(variable, Call) and variable.name == "^" and variable.args[1] == order:
        variable = variable.args[0]
    whole = isinstance(order, Num) and order.value.denominator == 1 and 0 < order.value < 10
    if not isinstance(variable, Sym) or not whole or not parser.can_start(parser.token):
        return fraction
    return Call("Derivative", (parser.product(), variable, order))


def differential_starts(parser: "AtomParser") -> bool:
    """Whether `dx` or `\\mathrm{d}x` stands here, which ends a function's argument in an integral."""
    token, after = parser.token, parser.peek()
    if token is None or (after is None and token.kind != "word"):
        return False
    if is_wrapper(token.value):
        inside = [ahead.value if (ahead := parser.peek(n)) is not None else "" for n in (1, 2, 3)]
        return inside[0] == "d" or inside == ["{", "d", "}"]
    return token.kind == "word" and token.value[0] == "d" and (len(token.value) == 2 or token.value == "d")


def integral(parser: "AtomParser", lower: Node, upper: Node) -> Node:
    """Integral(body, lower, upper, variable) and the factors behind its `dx`; without a `dx` it has no variable."""
    parser.integrals += 1
    first = parser.product()
    start = parser.at
    total: Node | None = None
    term, minus = first, False
    result: Node | None = None
    while result is None:
        split = _split(term)
        piece = term if split is None else split[0]
        piece = Call("neg", (piece,)) if minus else piece
        total = piece if total is None else Call("+", (total, piece))
        if split is not None:
            result = Call("Integral", (total, lower, upper, split[1]))
            for factor in split[2]:
                result = Call("*", (result, factor))
        elif parser.token is not None and parser.token.value in ("+", "-") and parser.can_start(parser.peek()):
            minus = parser.advance().value == "-"
            term = parser.product()
        else:
            break
    parser.integrals -= 1
    if result is None:
        parser.at = start
        return Call("Integral", (first, lower, upper))
    return result


def _split(term: Node) -> tuple[Node, Sym, list[Node]] | None:
    """(integrand, variable, what follows) of `f(x) dx …` or `\\frac{f(x) dx}{g(x)} …`; None without a differential."""
    factors = _factors(term)
    for at, factor in enumerate(factors):
        after = factors[at + 1] if at + 1 < len(factors) else None
        if factor == _D and isinstance(after, Sym):
            return _product(factors[:at]), after, factors[at + 2 :]
        if isinstance(factor, Call) and factor.name == "/" and (above := _split(factor.args[0])) is not None:
            numerator = _product([above[0], *above[2]])
            return _product([*factors[:at], Call("/", (numerator, factor.args[1]))]), above[1], factors[at + 1 :]
    return None


def _factors(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.name == "*":
        return _factors(node.args[0]) + _factors(node.args[1])
    if isinstance(node, Call) and node.name == "neg":
        return [Num(Fraction(-1)), *_factors(node.args[0])]
    return [node]


def _product(factors: list[Node]) -> Node:
    result: Node = factors[0] if factors else _ONE
    for factor in factors[1:]:
        result = Call("*", (result, factor))
    return result
