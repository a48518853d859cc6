"""Names that may differ between two answers: of constants, parameters, arguments, bound variables; marks above them."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from evalkit.grading.latex.nodes import Call, Node, Sym, leaves, substituted, symbols

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
    marks = [any(True for _ in _marked(node)) for node in (gold, answer)]
    if marks[0] == marks[1]:
        return gold, answer
    return _stripped(gold), _stripped(answer)


def _marked(node: Any) -> Iterator[Call]:
    if isinstance(node, tuple):
        for item in node:
            yield from _marked(item)
    elif is_dataclass(node):
        if isinstance(node, Call) and node.name in MARKS and len(node.args) == 1:
            yield node
        for field in fields(node):
            yield from _marked(getattr(node, field.name))


def _stripped(node: Any) -> Any:
    if isinstance(node, tuple):
        return tuple(_stripped(item) for item in node)
    if not is_dataclass(node):
        return node
    if isinstance(node, Call) and node.name in MARKS and len(node.args) == 1:
        return _stripped(node.args[0])
    return replace(node, **{field.name: _stripped(getattr(node, field.name)) for field in fields(node)})  # type: ignore[type-var]
