"""A syntax tree as a short text, for tables of what is read."""

from fractions import Fraction
from typing import Any

from evalkit.grading.latex.nodes import (
    Base,
    Builder,
    Call,
    Given,
    Matrix,
    Num,
    PlusMinus,
    Quantity,
    Ratio,
    Rel,
    Seq,
    SetOp,
    Sym,
    Text,
)


def _listed(nodes: Any, between: str = ", ") -> str:
    return between.join(shown(node) for node in nodes)


def shown(node: Any) -> str:
    """`(+ x 1)` for a call, `0.50 {2 places, 2 digits}` for a decimal, `«a, b»` for a bare list."""
    match node:
        case None:
            return "-"
        case Fraction():
            return str(node)
        case Num(value, decimals, digits):
            return (
                str(value)
                if decimals is None
                else f"{float(value):.{decimals}f} {{{decimals} places, {digits} digits}}"
            )
        case Sym(name):
            return name
        case Text(words):
            return f"“{words}”"
        case Call(name, args):
            return f"({name} {_listed(args, ' ')})"
        case PlusMinus(left, right, sign):
            return f"({'±' if sign == 1 else '∓'} {shown(left)} {shown(right)})"
        case Seq(opening, closing, items):
            return f"{opening or '«'}{_listed(items)}{closing or '»'}"
        case Rel(ops, args):
            return (
                "⟨"
                + shown(args[0])
                + "".join(f" {op} {shown(arg)}" for op, arg in zip(ops, args[1:], strict=True))
                + "⟩"
            )
        case SetOp(op, args):
            return f"({op} {_listed(args, ' ')})"
        case Builder(element, condition):
            return f"{{{shown(element)} | {shown(condition)}}}"
        case Matrix(rows):
            return "[" + "; ".join(_listed(row) for row in rows) + "]"
        case Quantity(value, unit):
            return f"{shown(value)}·‹{unit}›"
        case Base(digits, base):
            return f"{digits}₍{base}₎"
        case Ratio(parts):
            return _listed(parts, " : ")
        case Given(value, conditions, strict, quantified):
            said = " strictly" if strict else ""
            free = f" for every {', '.join(sorted(quantified))}" if quantified else ""
            return f"{shown(value)} given{said} [{_listed(conditions)}]{free}"
    raise TypeError(type(node).__name__)
