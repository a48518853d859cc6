"""Lists with dots: `1, 2, …, 10` written out, `1, 3, 5, …` cut to the terms that say how it goes on."""

from fractions import Fraction
from itertools import pairwise

from evalkit.grading.equality.numeric import NotEvaluableError, exact
from evalkit.grading.latex.nodes import Call, Node, Num, Seq, Sym

DOTS = Sym("...")
MOST = 300  # terms that are written out


def enumerated(node: Seq) -> Seq:
    """The list with its dots resolved where its terms are an arithmetic or geometric progression; else as it is."""
    if node.items.count(DOTS) != 1:
        return node
    at = node.items.index(DOTS)
    try:
        first = [exact(item) for item in node.items[:at]]
    except NotEvaluableError:
        return node
    if not first:
        return node
    try:
        last = [exact(item) for item in node.items[at + 1 :]]
    except NotEvaluableError:  # 1, 2, …, n
        short = _shortest(first)
        return Seq(node.open, node.close, (*map(_number, short), *node.items[at:])) if short else node
    if not last:
        short = _shortest(first)
        return Seq(node.open, node.close, (*map(_number, short), DOTS)) if short else node
    full = _written_out(first, last)
    return Seq(node.open, node.close, tuple(map(_number, full))) if full else node


def _shortest(terms: list[Fraction]) -> list[Fraction]:
    """The first two or three terms of a progression; empty where the terms are none."""
    if len(terms) == 1:
        return [terms[0], terms[0] + 1] if terms[0] in (0, 1) else []
    steps = {b - a for a, b in pairwise(terms)}
    if len(steps) == 1 and (len(terms) > 2 or steps == {1}):
        return terms[:2]
    if len(terms) > 2 and all(terms) and len({b / a for a, b in pairwise(terms)}) == 1:
        return terms[:3]
    return []


def _written_out(first: list[Fraction], last: list[Fraction]) -> list[Fraction]:
    step = first[1] - first[0] if len(first) > 1 else Fraction(1)
    if step and all(b - a == step for a, b in pairwise(first)):
        count = (last[-1] - first[0]) / step
        if count.denominator == 1 and len(first) + len(last) <= count + 1 <= MOST:
            terms = [first[0] + step * index for index in range(int(count) + 1)]
            if terms[-len(last) :] == last:
                return terms
    if len(first) > 2 and all(first) and len({b / a for a, b in pairwise(first)}) == 1:
        factor, terms = first[1] / first[0], list(first)
        while len(terms) < 60 and abs(terms[-1]) < abs(last[-1]) and abs(factor) > 1:
            terms.append(terms[-1] * factor)
        if terms[-len(last) :] == last:
            return terms
    return []


def _number(value: Fraction) -> Node:
    node: Node = Num(Fraction(abs(value.numerator)))
    if value.denominator != 1:
        node = Call("/", (node, Num(Fraction(value.denominator))))
    return Call("neg", (node,)) if value < 0 else node
