"""Names that may differ between two answers: of constants, parameters, arguments, bound variables; marks above them."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import permutations
from typing import Any

from evalkit.grading.latex.nodes import Call, Node, Rel, Sym, calls, leaves, substituted, symbols

MARKS = frozenset({"vec", "segment", "angle", "triangle", "square", "circle"})  # they say what kind of thing a name is
_PARAMETERS = frozenset("kmn")


def one_imaginary_unit(gold: Node, answer: Node) -> tuple[Node, Node]:
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


def unmarked(gold: Any, answer: Any) -> tuple[Any, Any]:
    """Both without \\angle, \\vec and their like where only one of them has such marks."""
    marks = [not MARKS.isdisjoint(calls(node)) for node in (gold, answer)]
    if marks[0] == marks[1]:
        return gold, answer
    return _stripped(gold), _stripped(answer)


def _stripped(node: Any) -> Any:
    if isinstance(node, tuple):
        return tuple(_stripped(item) for item in node)
    if not is_dataclass(node):
        return node
    if isinstance(node, Call) and node.name in MARKS and len(node.args) == 1:
        return _stripped(node.args[0])
    return replace(node, **{field.name: _stripped(getattr(node, field.name)) for field in fields(node)})  # type: ignore[type-var]


_CONSTANTS = frozenset("abcdkABCDKmnpqrst") | {"alpha", "beta", "lambda", "mu"}
_INTEGERS = frozenset("kmnltsrq")


def same_arguments(gold: Rel, answer: Rel) -> Rel:
    """The answer's `f(t) = …` with the arguments that the gold's `f(x) = …` has."""
    first, second = gold.args[0], answer.args[0]
    if not (isinstance(first, Call) and isinstance(second, Call) and first.name == second.name):
        return answer
    if len(first.args) != len(second.args) or not all(isinstance(arg, Sym) for arg in first.args + second.args):
        return answer
    names = {b: a for a, b in zip(first.args, second.args, strict=True) if isinstance(b, Sym)}
    taken = symbols(answer.args[1]) - {name.name for name in names}
    if len(names) != len(second.args) or any(isinstance(new, Sym) and new.name in taken for new in names.values()):
        return answer
    renamed: Rel = substituted(answer, names)
    return renamed


def renamed_constants(gold: Node, answer: Node, *, function: bool) -> Iterator[Node]:
    """The answer with its constants called what the gold calls them: c, C, K; of a function any letter that is no
    argument.
    """
    here, there = sorted(symbols(gold) - symbols(answer)), sorted(symbols(answer) - symbols(gold))
    if not (1 <= len(here) == len(there) <= 3):
        return
    bases = [name.partition("_")[0] for name in (*here, *there)]
    common = symbols(gold) & symbols(answer)
    if function:
        if not all(base in _CONSTANTS for base in bases):
            return
    elif not (any(name[0].islower() for name in common) and _are_constants(here, there)):
        return
    for order in permutations(here):
        names = {Sym(old): Sym(new) for old, new in zip(there, order, strict=True)}
        yield substituted(answer, names)


def _are_constants(*sides: list[str]) -> bool:
    """Whether the names are those of constants of integration: C, K, c_1; A and B too, where the others are such."""
    plain = [all(re.fullmatch(r"[CKck](?:_\d)?", name) for name in side) for side in sides]
    told = any(all(re.fullmatch(r"[CK]|[CKck]_\d", name) for name in side) for side in sides)
    return told and (all(plain) or (any(plain) and {*sides[0], *sides[1]} >= {"A", "B"}))


def renamed_parameter(gold: Rel, answer: Rel) -> Rel | None:
    """`n = 4m + 3` as `n = 4k + 3`, where the gold's parameter is k."""
    here, there = symbols(gold.args[1]), symbols(answer.args[1])
    letters = here | there
    if not (len(here) == len(there) == 1 and here != there and letters <= _INTEGERS and isinstance(gold.args[0], Sym)):
        return None
    if gold.args[0].name in letters or gold.args[0].name not in ("n", "m", "N", "a", "p", "x", "k"):
        return None
    renamed: Rel = substituted(answer, {Sym(next(iter(there))): Sym(next(iter(here)))})
    return renamed


def bound_names(node: Any, depth: int = 0) -> Any:
    """The tree with the index of every sum, product, limit and integral renamed by its depth."""
    if isinstance(node, tuple):
        return tuple(bound_names(item, depth) for item in node)
    if not is_dataclass(node):
        return node
    if isinstance(node, Call) and node.name in ("Sum", "Product", "Limit", "Integral"):
        index = getattr(node.args[1], "args", (None,))[0] if len(node.args) == 3 else node.args[-1]
        if isinstance(index, Sym):
            new = f"index{depth}"
            below = re.compile(rf"(?<![A-Za-z]){re.escape(index.name)}(?![A-Za-z])")
            names = {
                leaf: Sym(leaf.name.partition("_")[0] + "_" + below.sub(new, leaf.name.partition("_")[2]))
                for leaf in leaves(node)
                if isinstance(leaf, Sym) and "_" in leaf.name
            }
            node = substituted(node, {**names, index: Sym(new)})
            depth += 1
    return replace(node, **{field.name: bound_names(getattr(node, field.name), depth) for field in fields(node)})
