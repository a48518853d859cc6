"""What an answer says beside its value: steps before it, approximations behind it, the name of what it is."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import mpmath

from evalkit.grading.equality.numeric import NotEvaluableError, close, evaluable_calls, evaluate
from evalkit.grading.equality.renaming import MARKS
from evalkit.grading.equality.scalars import canonical, decimal, values_equal
from evalkit.grading.latex.nodes import (
    Base,
    Builder,
    Call,
    Node,
    Num,
    Quantity,
    Ratio,
    Rel,
    Seq,
    SetOp,
    Sym,
    Text,
    calls,
    symbols,
)
from evalkit.grading.latex.vocabulary import FUNCTIONS

_OPERATORS = MARKS | {
    "+", "*", "/", "^", "neg", "root", "factorial", "Sum", "Product", "Integral", "Limit", "Derivative", "norm",
    "prime", "order", "sub", "cases", "hat", "tilde", "dot", "ddot", "check", "breve", "ring", "arc", "overleftarrow",
}  # fmt: skip
_ARITHMETIC = frozenset(
    {"+", "*", "/", "^", "neg", "root", "factorial", "Sum", "Product", "Integral", "Limit", "Derivative"}
)


def settle(node: Node) -> Node:
    """Drop what an answer says beside itself: approximations, steps before it, the set's `x in`, the name of a list."""
    if isinstance(node, Rel):
        node = _settled_relation(node)
    if isinstance(node, Builder) and isinstance(node.condition, Rel) and isinstance(node.element, Sym):
        return node
    if (
        isinstance(node, Call)
        and node.name == "*"
        and _is_point(node.args[1])
        and _POINTS.issuperset(symbols(node.args[0]))
    ):
        return Rel(("=",), node.args) if isinstance(node.args[0], Sym) else node
    if isinstance(node, Seq) and len(node.items) == 1 and node.open in ("[", ""):
        return settle(node.items[0])
    if isinstance(node, Seq) and not node.open:
        node = _residues(node)
        items = [settle(item) for item in node.items]
        first = items[0]
        if isinstance(first, Rel) and nameable(first.args[0]) and not any(isinstance(item, Rel) for item in items[1:]):
            if first.ops == ("=",):
                items[0] = settle(first.args[1])
            elif first.ops == ("!=",):  # x ≠ 1, 2
                items[1:] = [Rel(first.ops, (first.args[0], item)) for item in items[1:]]
        return Seq("", "", tuple(items))
    return node


def _residues(node: Seq) -> Seq:
    """`x \\equiv 2, 5 \\pmod 7` with its modulus behind each residue."""
    first, last = node.items[0], node.items[-1]
    if not (isinstance(first, Rel) and first.ops == ("equiv",) and isinstance(last, Quantity)):
        return node
    if not last.unit.startswith("pmod") or any(isinstance(item, Rel | Quantity) for item in node.items[1:-1]):
        return node
    values = (first.args[1], *node.items[1:-1], last.value)
    return Seq("", "", tuple(Quantity(value, last.unit) for value in values if not isinstance(value, Quantity)))


def list_name(node: Node) -> Node | None:
    """What a list is called: n in `n = 1, 2`; None where it has no name, or one for each item."""
    if not (isinstance(node, Seq) and not node.open and node.items):
        return None
    first, *rest = node.items
    named = isinstance(first, Rel) and first.ops[0] == "=" and nameable(first.args[0])
    return (
        first.args[0] if named and isinstance(first, Rel) and not any(isinstance(item, Rel) for item in rest) else None
    )


_POINTS = frozenset("ABCDMPQRSV")


def _is_point(node: Node) -> bool:
    return isinstance(node, Seq) and node.open == "(" and len(node.items) in (2, 3)


def unchained(node: Node, other: Node) -> Node:
    """`a = b = 1` as a = 1, b = 1 where the other is a list or tuple too, else as a = 1."""
    if not (isinstance(node, Rel) and len(node.ops) > 1 and set(node.ops) == {"="}):
        return node
    *names, value = node.args
    if isinstance(other, Seq) or (isinstance(other, Rel) and len(other.ops) > 1):
        return Seq("", "", tuple(Rel(("=",), (name, value)) for name in names))
    return Rel(("=",), (names[0], value))


def _settled_relation(node: Rel) -> Node:
    ops, args = _after_arrow(list(node.ops), list(node.args))
    ops = ["~" if op in ("sim", "simeq", "cong") and _is_number(args[at + 1]) else op for at, op in enumerate(ops)]
    if "~" in ops:
        at = ops.index("~")
        if not _approximates(args[at], args[at + 1]):
            return Rel(tuple(ops), tuple(args))
        if at == 0 and nameable(args[0]) and symbols(args[0]):
            ops[0] = "="
            at = ops.index("~") if "~" in ops else len(ops)
        ops, args = ops[:at], args[: at + 1]
    if ops and all(op == "=" for op in ops):
        if any(_contradict(left, right) for left, right in pairwise(args)):
            return Rel(("contradicts",), tuple(args))
        while len(args) > 1 and not nameable(args[0]) and symbols(args[0]) and values_equal(args[0], args[1]):
            ops, args = ops[1:], args[1:]  # x + x = 2x
    if len(ops) > 1 and all(op == "=" for op in ops) and not all(_is_name(name) for name in args[:-1]):
        ops, args = ["="], [args[0], args[-1]]
    if len(ops) > 1 and ops[0] == "=" and ops[1] in ("in", "equiv"):
        ops, args = ops[1:], args[1:]
    if ops == ["!="] and args[1] == Num(Fraction(0)) and not symbols(args[0]):
        ops, args = [], args[:1]  # -2 ≠ 0
    if not ops:
        return settle(args[0])
    if ops == ["equiv"]:
        modular = isinstance(args[1], Quantity) and args[1].unit.startswith("pmod")
        if modular and nameable(args[0]):
            return args[1]
        if not modular and is_function(args[0]):
            ops = ["="]  # P(x) ≡ -1
    return Rel(tuple(ops), tuple(args))


def _is_name(node: Node) -> bool:
    return isinstance(node, Sym) or (isinstance(node, Call) and node.name in MARKS)


def _after_arrow(ops: list[str], args: list[Node]) -> tuple[list[str], list[Node]]:
    if "->" not in ops:
        return ops, args
    last = len(ops) - 1 - ops[::-1].index("->")
    return ops[last + 1 :], args[last + 1 :]


def _is_number(node: Node) -> bool:
    return isinstance(node, Num) or (isinstance(node, Call) and node.name == "neg" and _is_number(node.args[0]))


def _value(node: Node) -> Any:
    """The number that an expression of known functions is; None for anything else."""
    if isinstance(node, Text | Seq | Ratio | Base) or not calls(node) <= evaluable_calls() | {"^"} or symbols(node):
        return None
    with mpmath.workdps(30):
        try:
            value = evaluate(node, {})
        except NotEvaluableError:
            return None
    return None if isinstance(value, mpmath.mpc) or mpmath.isinf(value) else value


def _approximates(exact: Node, rounded: Node) -> bool:
    """Whether what stands behind ≈ can be what stands before it, rounded or cut; True where that cannot be told."""
    a, b = _value(exact), _value(rounded)
    if a is None or b is None:
        return bool(symbols(exact)) or not symbols(rounded)
    number = decimal(rounded)
    if number is None:
        return bool(abs(a - b) <= max(1, abs(a) / 50))
    unit = mpmath.mpf(10) ** -(number.decimals or 0)
    return bool(
        2 * abs(a - b) <= unit * (1 + mpmath.mpf(10) ** -9) or (a * b >= 0 and abs(b) <= abs(a) < abs(b) + unit)
    )


def approximation(node: Node) -> Node | None:
    """The decimal that a value is said to be about: -0.425 for `\\cos(-2.01) \\approx -0.425`."""
    if isinstance(node, Rel) and node.ops[-1] == "~" and _is_number(node.args[-1]):
        return node.args[-1] if _approximates(node.args[-2], node.args[-1]) else None
    return None


def _contradict(left: Node, right: Node) -> bool:
    """Whether an equation of two numbers is false: 1 + 2 = 6, 1/2 = 60%."""
    if isinstance(right, Quantity) and right.unit == "percent" and not isinstance(left, Quantity):
        share = Call("*", (left, Num(Fraction(100))))
        return _contradict(left, right.value) and _contradict(share, right.value)
    if isinstance(left, Quantity) or isinstance(right, Quantity):
        return False
    a, b = _value(left), _value(right)
    if a is None or b is None or close(a, b, 20):
        return False
    return decimal(right) is None or not _approximates(left, right)


def members(gold: Node, answer: Node) -> tuple[Node, Node]:
    """`x \\in S` as S where the other is a set as well, or says the same of x: what stands left of the sign counts."""
    belongs = [isinstance(node, Rel) and node.ops == ("in",) for node in (gold, answer)]
    if isinstance(gold, Rel) and isinstance(answer, Rel) and all(belongs):
        return (
            (gold.args[1], answer.args[1]) if canonical(gold.args[0]) == canonical(answer.args[0]) else (gold, answer)
        )
    if isinstance(gold, Rel) and belongs[0] and _is_variable(gold.args[0]) and not isinstance(answer, Rel):
        return gold.args[1], answer
    if isinstance(answer, Rel) and belongs[1] and _is_variable(answer.args[0]) and not isinstance(gold, Rel):
        return gold, answer.args[1]
    return gold, answer


def _is_variable(node: Node) -> bool:
    """Whether a node is a name, or a tuple or product of names: x, (a, b)."""
    return isinstance(node, Sym) or (isinstance(node, Seq) and all(isinstance(item, Sym) for item in node.items))


def nameable(node: Node) -> bool:
    """Whether the left side of an equation only names what the right side says: x, f(x), |AB|, NO/BO, (p, q)."""
    if isinstance(node, Sym):
        return node.name not in ("pi", "e", "oo", "...")
    if isinstance(node, Text):
        return True
    if isinstance(node, Quantity):
        return nameable(node.value)
    if isinstance(node, Ratio):
        return all(nameable(part) for part in node.parts)
    if isinstance(node, Seq):
        return bool(node.items) and all(nameable(item) for item in node.items)
    if isinstance(node, Call):
        if node.name in ("*", "/"):
            return all(nameable(argument) or _called(argument) for argument in node.args)
        if node.name == "^":
            inverse = node.args[1] == Call("neg", (Num(Fraction(1)),))
            return isinstance(node.args[0], Sym) and (inverse or node.args[0].name in ("sigma", "chi"))
        if node.name == "Derivative":
            return nameable(node.args[0]) and not isinstance(node.args[0], Call)
        return node.name not in _ARITHMETIC and bool(symbols(node) or node.args)
    return isinstance(node, SetOp)


def _called(node: Node) -> bool:
    """The argument of P(X > 2) or a(n, 1), which the parser took for a factor, does not count as a number there."""
    return isinstance(node, Rel) or (isinstance(node, Seq) and len(node.items) > 1)


def value_side(relation: Rel, *, lenient: bool) -> Node | None:
    """What an equation says something is; None where it is an equation between quantities."""
    if relation.ops != ("=",):
        return None
    left, right = relation.args
    if nameable(left):
        return right
    if nameable(right) and not symbols(left):
        return left
    if not symbols(left) or (lenient and not symbols(right) and _sum_of_names(left)):
        return right
    return None


def _sum_of_names(node: Node) -> bool:
    if isinstance(node, Call) and node.name in ("+", "neg"):
        return all(_sum_of_names(argument) for argument in node.args)
    return nameable(node)


def is_function(node: Node) -> bool:
    """Whether a node is a named function with its argument, f(x) or u(x, t); |x|, sin x and \\vec a are none."""
    return isinstance(node, Call) and node.name not in _OPERATORS | FUNCTIONS
