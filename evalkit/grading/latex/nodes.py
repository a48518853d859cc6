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
    """A value with the conditions it is stated under: `2^n, n > 1`. `strict`: said with "if", so it holds only then."""

    value: "Node"
    conditions: tuple["Node", ...]
    strict: bool = False


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


def leaves(node: Any) -> Iterator[Any]:
    """The symbols and numbers of a tree."""
    if isinstance(node, tuple):
        for item in node:
            yield from leaves(item)
    elif isinstance(node, Sym | Num):
        yield node
    elif is_dataclass(node):
        for field in fields(node):
            yield from leaves(getattr(node, field.name))


def nodes_of(node: Any) -> Iterator[Call]:
    """The functions and operators of a tree, itself included."""
    if isinstance(node, tuple):
        for item in node:
            yield from nodes_of(item)
    elif is_dataclass(node):
        if isinstance(node, Call):
            yield node
        for field in fields(node):
            yield from nodes_of(getattr(node, field.name))


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
    if isinstance(node, Call):
        bound = frozenset[str]()
        if node.name in ("Sum", "Product", "Limit") and len(node.args) == 3:
            lower = node.args[1]
            first = getattr(lower, "args", (None,))[0]
            bound = frozenset((first.name,)) if isinstance(first, Sym) else bound
        return frozenset().union(*(symbols(argument) for argument in node.args)) - bound
    parts: tuple[Any, ...] = ()
    if isinstance(node, PlusMinus):
        parts = (node.right, *((node.left,) if node.left is not None else ()))
    elif isinstance(node, Quantity):
        parts = (node.value,)
    elif isinstance(node, Seq):
        parts = node.items
    elif isinstance(node, Ratio):
        parts = node.parts
    elif isinstance(node, Given):
        parts = (node.value, *node.conditions)
    elif isinstance(node, Matrix):
        parts = tuple(entry for row in node.rows for entry in row)
    elif hasattr(node, "args"):
        parts = node.args
    return frozenset().union(*(symbols(part) for part in parts)) if parts else frozenset()
