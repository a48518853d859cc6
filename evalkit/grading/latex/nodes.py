"""The small syntax tree that answers are compared on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from typing import Any


@dataclass(frozen=True, slots=True)
class Num:
    """A number as written: `decimals` digits after the point (None without one), `digits` significant ones."""

    value: Fraction
    decimals: int | None = None
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Sym:
    """A variable, or a constant: pi, e, i, oo (infinity)."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator: + * / ^ neg, sin, binom, Sum, … `args` in the order written."""

    name: str
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class PlusMinus:
    """`left ± right` (sign 1) or `left ∓ right` (sign -1); `left` is None for a prefix."""

    left: "Node | None"
    right: "Node"
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Seq:
    """Items with their brackets: "(", ")" a tuple or an interval, "{", "}" a set, "", "" a bare list."""

    open: str
    close: str
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Rel:
    """`args[0] ops[0] args[1] ops[1] …` with ops of = < > <= >= != in notin ~ (about) equiv -> (leads to)."""

    ops: tuple[str, ...]
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class SetOp:
    """union, intersection or difference of sets."""

    op: str
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """{element : condition}."""

    element: "Node"
    condition: "Node"


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of a matrix; a column vector has rows of one entry."""

    rows: tuple[tuple["Node", ...], ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with a unit or a remark: `15 \\text{ cm}^2`, `17 \\text{ any text}`, `28\\%`."""

    value: "Node"
    unit: str


@dataclass(frozen=True, slots=True)
class Base:
    """A numeral in a base that was named: 204_5."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """a : b : …"""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Given:
    """A value with the conditions it is stated under: `2^n, n > 1`. `strict`: said with "if", so it holds only then;
    `quantified`: the variables that are said to take every value.
    """

    value: "Node"
    conditions: tuple["Node", ...]
    strict: bool = False
    quantified: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    words: str


Node = Num | Sym | Call | PlusMinus | Seq | Rel | SetOp | Builder | Matrix | Quantity | Base | Ratio | Given | Text


def substituted(node: Any, values: Mapping["Sym", "Node"]) -> Any:
    """The tree with symbols replaced."""
    if isinstance(node, tuple):
        return tuple(substituted(item, values) for item in node)
    if isinstance(node, Sym):
        return values.get(node, node)
    if not is_dataclass(node):
        return node
    changed = {field.name: substituted(getattr(node, field.name), values) for field in fields(node)}
    return replace(node, **changed)  # type: ignore[type-var]


def children(node: Any) -> tuple["Node", ...]:
    """The parts of a node, in the order written."""
    kind = type(node)
    if kind is Call or kind is Rel or kind is SetOp:
        return node.args  # type: ignore[no-any-return]
    if kind is Seq:
        return node.items  # type: ignore[no-any-return]
    if kind is Quantity:
        return (node.value,)
    if kind is PlusMinus:
        return (node.right,) if node.left is None else (node.left, node.right)
    if kind is Matrix:
        return tuple(entry for row in node.rows for entry in row)
    if kind is Ratio:
        return node.parts  # type: ignore[no-any-return]
    if kind is Builder:
        return (node.element, node.condition)
    return (node.value, *node.conditions) if kind is Given else ()


def leaves(node: Any) -> Iterator[Any]:
    """The symbols and numbers of a tree, or of several."""
    stack = list(node) if isinstance(node, tuple) else [node]
    while stack:
        item = stack.pop()
        if type(item) is Sym or type(item) is Num:
            yield item
        else:
            stack.extend(children(item))


def nodes_of(node: Any) -> Iterator[Call]:
    """The functions and operators of a tree, itself included, or of several."""
    stack = list(node) if isinstance(node, tuple) else [node]
    while stack:
        item = stack.pop()
        if type(item) is Call:
            yield item
        stack.extend(children(item))


def calls(node: Any) -> frozenset[str]:
    """The names of the functions and operators of a tree."""
    return frozenset(call.name for call in nodes_of(node))


class ParseError(Exception):
    """The text is no mathematics that this grader reads."""


def number(text: str) -> Num:
    """The number that a text writes. Raises ParseError where it is too long."""
    if len(text) > 2000:
        raise ParseError("a number of more than 2,000 digits")
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > 5000:
        raise ParseError("an exponent beyond 5,000")
    value = Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
    decimals = len(mantissa.partition(".")[2]) if "." in mantissa and not exponent else None
    return Num(value, decimals, len(mantissa.replace(".", "").lstrip("0")) if decimals is not None else 0)


CONSTANTS = ("pi", "e", "i", "oo")


def symbols(node: Node) -> frozenset[str]:
    """The free variables of an expression."""
    if isinstance(node, Sym):
        return frozenset() if node.name in CONSTANTS else frozenset((node.name,))
    parts = children(node)
    if not parts or isinstance(node, Builder):
        return frozenset()
    names = frozenset().union(*map(symbols, parts))
    if isinstance(node, Call) and node.name in ("Sum", "Product", "Limit") and len(node.args) == 3:
        first = getattr(node.args[1], "args", (None,))[0]
        names -= {first.name} if isinstance(first, Sym) else set()
    return names
