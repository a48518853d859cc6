"""What stands behind a value: powers, subscripts, factorials, percent, degrees."""

import re

from evalkit.grading.latex.cursor import Cursor
from evalkit.grading.latex.nodes import Base, Call, Node, Num, ParseError, Quantity, Seq, Sym, Text, number, symbols
from evalkit.grading.latex.units import temperature as temperature_named
from evalkit.grading.latex.vocabulary import BASE_WORDS, CONSTANTS, is_wrapper


def postfix(cursor: Cursor, node: Node) -> Node:
    while (token := cursor.token) is not None:
        if token.value in ("^", "**"):
            cursor.advance()
            exponent = script(cursor)
            if exponent is None:
                continue
            node = raised(cursor, node, exponent)
        elif token.value == "_" and token.kind == "op":
            cursor.advance()
            node = subscripted(cursor, node)
        elif token.value == "!":
            cursor.advance()
            double = cursor.token is not None and not cursor.token.spaced and cursor.accept("!")
            node = Call("factorial2" if double else "factorial", (node,))
        elif token.value in ("%", "\\%"):
            cursor.advance()
            node = Quantity(node, "percent")
        elif token.value in ("\\degree", "\\circ") and (
            token.value == "\\degree" or not cursor.can_start(cursor.peek())
        ):
            cursor.advance()
            node = Quantity(node, temperature(cursor))
        elif token.value == "'":
            cursor.advance()
            node = cursor.primed(node, 1)
        else:
            break
    return node


def raised(cursor: Cursor, node: Node, exponent: Node) -> Node:
    """A node with what stands above it: a power, a degree sign, primes, the order of a derivative."""
    if isinstance(exponent, Sym) and exponent.name == "degree":
        return Quantity(node, temperature(cursor))
    if isinstance(exponent, Text) and exponent.words in ("th", "st", "nd", "rd"):
        first, second = (Sym(letter) for letter in exponent.words)
        return node if isinstance(node, Num) else Call("^", (node, Call("*", (first, second))))  # 4th; (2a)^{st}
    if isinstance(exponent, Text):
        return Quantity(node, "^" + exponent.words)
    if isinstance(exponent, Sym) and exponent.name.startswith("prime"):
        return cursor.primed(node, int(exponent.name.removeprefix("prime")))
    if isinstance(exponent, Call) and exponent.name == "order":
        return Call("^" if isinstance(node, Num) else "order", (node, exponent.args[0]))
    if isinstance(node, Sym) and node.name.startswith("C_") and (chosen := _chosen(node.name[2:], exponent)):
        return chosen
    return Call("^", (node, exponent))


def _chosen(below: str, above: Node) -> Node | None:
    """C_n^k and C_{2n}^{n} as binomial coefficients: letters that count, or two numbers of which one can be chosen."""
    match = re.fullmatch(r"(\d*)([nmk]?)", below)
    if match is None or not below:
        return None
    size: Node | None = number(match[1]) if match[1] else None
    if match[2]:
        size = Sym(match[2]) if size is None else Call("*", (size, Sym(match[2])))
    assert size is not None
    fits = isinstance(above, Num) and isinstance(size, Num) and 2 <= above.value <= size.value
    counts = bool(match[2]) and bool(symbols(above)) and symbols(above) <= {"n", "m", "k", "r"}
    return Call("binom", (size, above)) if fits or counts else None


def temperature(cursor: Cursor) -> str:
    """The unit that a degree sign begins: °C, °F, or degrees of an angle."""
    for ahead in (1, 2, 4):  # C, \text{C}, \mathrm{C}
        written = cursor.tokens[cursor.at : cursor.at + ahead]
        name = temperature_named(
            "".join("" if is_wrapper(token.value) else token.value.strip("{}") for token in written)
        )
        if name:
            cursor.at += len(written)
            return name
    return "degree"


def script(cursor: Cursor) -> Node | None:
    """What stands after ^ or _: a group, or one character. None where it is empty."""
    token = cursor.token
    if token is None:
        return None
    if token.value == "{":
        cursor.advance()
        if cursor.accept("}"):
            return None
        if [getattr(cursor.peek(ahead), "value", "") for ahead in (0, 2, 3)] == ["(", ")", "}"] and (
            (inside := cursor.peek(1)) is not None and inside.kind == "num"
        ):
            cursor.at += 4
            return Call("order", (number(inside.value),))  # f^{(3)}, the third derivative
        cursor.scripts += 1
        node = script_mark(cursor) or cursor.sequence()
        cursor.scripts -= 1
        cursor.expect("}")
        return node
    if token.kind == "num":
        return digit(cursor)
    if token.kind == "word" and len(token.value) > 1:
        if token.value in CONSTANTS or token.value in ("th", "st", "nd", "rd"):
            cursor.advance()
            return Sym(CONSTANTS[token.value]) if token.value in CONSTANTS else Text(token.value)
        cursor.tokens[cursor.at] = token._replace(value=token.value[1:], spaced=False)
        return Sym(token.value[0])
    if token.value in ("-", "+") and cursor.can_start(cursor.peek()):
        return cursor.signed()
    return script_mark(cursor) or (cursor.power() if token.value == "(" else cursor.atom())


def script_mark(cursor: Cursor) -> Node | None:
    token = cursor.token
    if token is not None and token.value in ("\\circ", "\\degree", "o"):
        if token.value == "o" and (cursor.can_start(cursor.peek()) or not (cursor.at > 2)):
            return None
        cursor.advance()
        return Sym("degree")
    if token is not None and token.value in ("+", "-", "*") and not cursor.can_start(cursor.peek()):
        return Sym(cursor.advance().value)  # 0^+, \mathbb{R}^*
    if token is not None and token.value in ("\\prime", "'"):
        order = 0
        while cursor.accept("\\prime", "'"):
            order += 1
        return Sym(f"prime{order}")
    if token is not None and token.value == "\\%":
        cursor.advance()
        return Sym("degree")
    if token is not None and token.kind == "word" and token.value in ("th", "st", "nd", "rd"):
        cursor.advance()
        return Text(token.value)
    return None


def digit(cursor: Cursor) -> Node:
    """The number behind ^ or _: `x^23` is x² · 3 in LaTeX, but models write it for x^{23}."""
    return number(cursor.advance().value)


def subscripted(cursor: Cursor, node: Node) -> Node:
    written, index = label(cursor)
    named = written.strip().strip("()").lower().removeprefix("base").strip(" -")  # (8), base 8
    base = BASE_WORDS.get(named) or (int(named) if named.isdigit() and len(named) < 3 else 0)
    if isinstance(node, Num) and node.decimals is None and 2 <= base <= 36:
        return Base(str(node.value), base)
    if isinstance(node, Seq) and len(node.items) == 1 and isinstance(node.items[0], Num):
        return Base(str(node.items[0].value), base)
    if isinstance(node, Sym):
        return Sym(f"{node.name}_{written}")
    return Call("sub", (node, index or Text(written)))


def label(cursor: Cursor) -> tuple[str, Node | None]:
    """What stands after _ as it is written, without wrappers and spaces, and its tree where it has one."""
    token = cursor.token
    if token is None:
        return "", None
    if token.value != "{":
        index = script(cursor)
        before = cursor.previous
        written = index.name if isinstance(index, Sym) else before.value if before is not None else ""
        return written, index
    end, depth = cursor.at, 0
    while end < len(cursor.tokens):
        depth += (cursor.tokens[end].value == "{") - (cursor.tokens[end].value == "}")
        end += 1
        if not depth:
            break
    inside = cursor.tokens[cursor.at + 1 : end - 1]
    if depth or len(inside) > 60:
        raise ParseError("a long index")
    words = [item.value.removeprefix("\\") for item in inside if not is_wrapper(item.value)]
    letters = all(item.kind != "num" for item in inside)
    written = "".join(word for word in words if not (letters and word == ",")).replace(" ", "")
    cursor.at = end
    only = inside[0] if len(inside) == 1 else None
    return written.strip("{}"), number(only.value) if only is not None and only.kind == "num" else None
