"""Sets of real numbers: intervals, inequalities, unions; compared as sets, open ends apart from closed ones."""

from typing import Any, NamedTuple

import mpmath

from evalkit.grading.equality.numeric import DIGITS, NotEvaluableError, close, evaluate
from evalkit.grading.equality.plusminus import expand
from evalkit.grading.latex.nodes import Builder, Call, Node, Rel, Seq, SetOp, Sym, symbols

_FLIP = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}


class Interval(NamedTuple):
    """From `low` to `high`, each end with or without it."""

    low: Any
    low_in: bool
    high: Any
    high_in: bool


def sets_equal(gold: Node, answer: Node) -> bool:
    """Whether both are sets of reals, and the same. False where either is not such a set."""
    with mpmath.workdps(DIGITS):
        try:
            return _same(real_set(gold), real_set(answer))
        except NotEvaluableError:
            return False


_INTEGERS = frozenset("nmkijNMK")
_ORDERS = frozenset({"<", ">", "<=", ">="})


def joined_intervals(node: Node, other: Node) -> Node:
    """A list of intervals, "(-oo, 2) or (3, oo)", as their union where the other is a union or an inequality."""
    if not (isinstance(node, Seq) and not node.open and len(node.items) > 1 and all(map(_is_interval, node.items))):
        return node
    several = other.items if isinstance(other, Seq) and not other.open else (other,)
    ordered = all(isinstance(item, Rel) and _ORDERS.issuperset(item.ops) for item in several)
    if not ordered and not (isinstance(other, SetOp) and other.op == "union"):
        return node
    union: Node = node.items[0]
    for item in node.items[1:]:
        union = SetOp("union", (union, item))
    return union


def _is_interval(node: Node) -> bool:
    return isinstance(node, Seq) and node.open in ("(", "[") and len(node.items) == 2 and not symbols(node)


def condition_of(node: Node, other: Node) -> Node:
    """n >= 3 for {n in Z : n >= 3} where the other is an inequality, and the letter one that counts."""
    if not (isinstance(node, Builder) and isinstance(other, Rel) and _ORDERS.issuperset(other.ops)):
        return node
    element = node.element
    if not (isinstance(element, Rel) and element.ops == ("in",) and element.args[1] == Sym("ZZ")):
        return node
    return node.condition if isinstance(element.args[0], Sym) and element.args[0].name in _INTEGERS else node


def real_set(node: Node) -> list[Interval]:
    """Disjoint intervals in order. Raises NotEvaluableError where the node is no set of reals with known ends."""
    if isinstance(node, Seq):
        return _sequence(node)
    if isinstance(node, Sym):
        if node.name == "RR":
            return [Interval(-mpmath.inf, False, mpmath.inf, False)]
        if node.name == "emptyset":
            return []
    if isinstance(node, SetOp):
        left, right = real_set(node.args[0]), real_set(_as_set(node.args[1]))
        if node.op == "union":
            return _union(left + right)
        return _intersection(left, right if node.op == "intersection" else _complement(right))
    if isinstance(node, Rel):
        return _relation(node)
    if isinstance(node, Builder):
        belongs = node.element if isinstance(node.element, Rel) and node.element.ops == ("in",) else None
        element = belongs.args[0] if belongs is not None else node.element
        if not isinstance(element, Sym) or element.name not in symbols(node.condition):
            raise NotEvaluableError("a set of something else")
        members = real_set(node.condition)
        return members if belongs is None else _intersection(members, real_set(belongs.args[1]))
    if isinstance(node, Call) and node.name == "^" and node.args[0] == Sym("RR") and isinstance(node.args[1], Sym):
        below, above = (
            Interval(-mpmath.inf, False, mpmath.mpf(0), False),
            Interval(mpmath.mpf(0), False, mpmath.inf, False),
        )
        parts = {"+": [above], "-": [below], "*": [below, above]}
        if node.args[1].name in parts:
            return parts[node.args[1].name]
    raise NotEvaluableError("no set")


def _as_set(node: Node) -> Node:
    """The `{0}` of `\\mathbb{R} \\setminus {0}`, which LaTeX takes for a group."""
    return node if isinstance(node, Seq | SetOp | Rel | Builder | Sym) else Seq("{", "}", (node,))


def _sequence(node: Seq) -> list[Interval]:
    if node.open in ("(", "[") and len(node.items) == 2:
        low, high = (_end(item) for item in node.items)
        return (
            [Interval(low, node.open == "[", high, node.close == "]")]
            if low < high or (low == high and node.open == "[")
            else []
        )
    if node.open == "{":
        return _union([Interval(value, True, value, True) for value in map(_end, node.items)])
    if not node.open and any(isinstance(item, Rel) and item.ops != ("=",) for item in node.items):
        parts = [real_set(item) for item in node.items]
        if len(frozenset().union(*(symbols(item) for item in node.items)) - {"RR"}) != 1:
            raise NotEvaluableError("several variables")
        joined = _union([interval for part in parts for interval in part])
        if len(joined) == 1 and mpmath.isinf(joined[0].low) and mpmath.isinf(joined[0].high):
            for part in parts:
                joined = _intersection(joined, part)
        return joined
    raise NotEvaluableError("no set")


def _end(node: Node) -> Any:
    value = evaluate(node, {})
    if isinstance(value, mpmath.mpc):
        raise NotEvaluableError("no real number")
    return value


def _relation(node: Rel) -> list[Interval]:
    """`-2 <= x <= 7`, `5 >= x`, `x != 3`, `-x > -1`: linear in one variable, which may be negated or scaled."""
    if node.ops == ("in",):
        if not isinstance(node.args[0], Sym):
            raise NotEvaluableError("no condition on a variable itself")
        return real_set(node.args[1])
    variants = list(expand(node)) if node.ops == ("!=",) else [node]
    if len(variants) > 1:  # x ≠ ±1
        return _intersection(*(real_set(variant) for variant in variants))
    if node.ops == ("=",) and isinstance(node.args[0], Sym):
        value = _end(node.args[1])
        return [Interval(value, True, value, True)]
    if not all(op in _FLIP for op in node.ops) or "=" in node.ops:
        raise NotEvaluableError("no inequality")
    result = [Interval(-mpmath.inf, False, mpmath.inf, False)]
    names = symbols(node)
    if len(names) != 1:
        raise NotEvaluableError("not one variable")
    for op, left, right in zip(node.ops, node.args, node.args[1:], strict=False):
        result = _intersection(result, _half_line(op, left, right, next(iter(names))))
    return result


def _half_line(op: str, left: Node, right: Node, name: str) -> list[Interval]:
    if not symbols(left) and not symbols(right):
        raise NotEvaluableError("an inequality of constants")
    if isinstance(right, Call) and right.name == "abs" and not symbols(left):
        return _half_line(_FLIP[op], right, left, name)
    if isinstance(left, Call) and left.name == "abs" and not symbols(right):
        within = _relation(Rel((op, op), (Call("neg", (right,)), left.args[0], right))) if op[0] == "<" else []
        beyond = [Rel((op,), (left.args[0], right)), Rel((_FLIP[op],), (left.args[0], Call("neg", (right,))))]
        return within or _union([interval for side in beyond for interval in _relation(side)])
    ends = [_infinite(side) for side in (left, right)]
    if any(ends):
        below = ends[0] < 0 or ends[1] > 0  # -oo < x, x < oo
        return [Interval(-mpmath.inf, False, mpmath.inf, False)] if below == (op[0] == "<") and op[0] != "!" else []
    at = [evaluate(left, {name: mpmath.mpf(x)}) - evaluate(right, {name: mpmath.mpf(x)}) for x in (1, 2, 4, -50)]
    slope = at[1] - at[0]
    steps = ((at[2] - at[1], 2 * slope), (at[0] - at[3], 51 * slope))
    if any(isinstance(value, mpmath.mpc) for value in at) or abs(slope) < 1e-30 or not all(close(*s) for s in steps):
        raise NotEvaluableError("not linear")
    zero = 1 - at[0] / slope
    op = op if slope > 0 else _FLIP[op]
    if op == "!=":
        return [Interval(-mpmath.inf, False, zero, False), Interval(zero, False, mpmath.inf, False)]
    closed = "=" in op
    return [Interval(-mpmath.inf, False, zero, closed)] if op[0] == "<" else [Interval(zero, closed, mpmath.inf, False)]


def _infinite(node: Node) -> int:
    """1 for infinity, -1 for minus infinity, 0 for anything else."""
    negative = isinstance(node, Call) and node.name == "neg" and node.args == (Sym("oo"),)
    return 1 if node == Sym("oo") else -1 if negative else 0


def _union(intervals: list[Interval]) -> list[Interval]:
    result: list[Interval] = []
    for interval in sorted(intervals, key=lambda item: (item.low, not item.low_in)):
        if result:
            last = result[-1]
            touching = close(interval.low, last.high) and (interval.low_in or last.high_in)
            if interval.low < last.high or touching:
                if interval.high > last.high and not close(interval.high, last.high):
                    result[-1] = last._replace(high=interval.high, high_in=interval.high_in)
                elif close(interval.high, last.high):
                    result[-1] = last._replace(high_in=last.high_in or interval.high_in)
                continue
        result.append(interval)
    return result


def _intersection(left: list[Interval], right: list[Interval]) -> list[Interval]:
    result = []
    for a in left:
        for b in right:
            low, low_in = (
                (a.low, a.low_in and b.low_in) if close(a.low, b.low) else max((a.low, a.low_in), (b.low, b.low_in))
            )
            high, high_in = (
                (a.high, a.high_in and b.high_in)
                if close(a.high, b.high)
                else min((a.high, a.high_in), (b.high, b.high_in))
            )
            if low < high or (close(low, high) and low_in and high_in):
                result.append(Interval(low, low_in, high, high_in))
    return result


def _complement(intervals: list[Interval]) -> list[Interval]:
    result, low, low_in = [], -mpmath.inf, False
    for interval in intervals:
        if low < interval.low:
            result.append(Interval(low, low_in, interval.low, not interval.low_in))
        low, low_in = interval.high, not interval.high_in
    if low < mpmath.inf:
        result.append(Interval(low, low_in, mpmath.inf, False))
    return result


def _same(left: list[Interval], right: list[Interval]) -> bool:
    return len(left) == len(right) and all(
        close(a.low, b.low) and close(a.high, b.high)
        and (mpmath.isinf(a.low) or a.low_in == b.low_in) and (mpmath.isinf(a.high) or a.high_in == b.high_in)
        for a, b in zip(left, right, strict=True)
    )  # fmt: skip
