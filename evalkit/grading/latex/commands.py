"""LaTeX commands, functions and environments of the answer parser."""

from fractions import Fraction
from typing import TYPE_CHECKING

from evalkit.grading.latex.differentials import derivative, differential_starts, integral
from evalkit.grading.latex.nodes import Call, Matrix, Node, Num, ParseError, PlusMinus, Quantity, Rel, Seq, Sym, Text
from evalkit.grading.latex.vocabulary import (
    ACCENTS,
    CURRENCIES,
    FONT_COMMANDS,
    FONT_SWITCHES,
    FUNCTIONS,
    MATRICES,
    PREFIX_FUNCTIONS,
    SILENT,
)

if TYPE_CHECKING:
    from evalkit.grading.latex.atoms import AtomParser

_BIG = {"sum": "Sum", "prod": "Product", "int": "Integral", "lim": "Limit", "iint": "Integral", "oint": "Integral"}
_BLACKBOARD = {"R": "RR", "Z": "ZZ", "N": "NN", "Q": "QQ", "C": "CC"}
_ALIASES = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "lg": "log10",
    "sgn": "sign",
    "tr": "trace",
}
_INVERSE = {
    "sin": "arcsin",
    "cos": "arccos",
    "tan": "arctan",
    "sec": "arcsec",
    "csc": "arccsc",
    "cot": "arccot",
    "sinh": "asinh",
    "cosh": "acosh",
    "tanh": "atanh",
}
_DELIMITED = {
    "lfloor": ("\\rfloor", "floor"),
    "lceil": ("\\rceil", "ceil"),
    "lvert": ("\\rvert", "abs"),
    "vert": ("\\vert", "abs"),
    "lVert": ("\\rVert", "norm"),
    "Vert": ("\\Vert", "norm"),
    "|": ("\\|", "norm"),
}
_DOTS = {"ldots", "cdots", "dots", "dotsc", "dotsb", "vdots", "ddots"}


def parse_command(parser: "AtomParser", command: str) -> Node:
    """The node that a command begins; its token has been read."""
    name = command[1:]
    if name == "frac":
        return derivative(parser, Call("/", (argument(parser), argument(parser))))
    if name in ("binom", "dbinom", "tbinom"):
        return Call("binom", (argument(parser), argument(parser)))
    if name in ("sqrt", "cbrt"):
        return root(parser, name)
    if name in FUNCTIONS or name in ("max", "min"):
        return parse_function(parser, name, prefix=name in PREFIX_FUNCTIONS)
    if name in _DELIMITED:
        return parser.bars_to(*_DELIMITED[name])
    if name in ("{", "langle", "lbrace", "lbrack", "lparen"):
        return parser.enclosed(command)
    if name in ("infty",):
        return Sym("oo")
    if name in ("emptyset", "varnothing", "O"):
        return Sym("emptyset")
    if name == "mathbb" or name == "Bbb":
        return Sym(_BLACKBOARD.get(letters := plain_letters(parser), letters))
    if name in _BIG:
        return big_operator(parser, _BIG[name], name)
    if name in ("overline", "bar"):
        return Call("bar", (argument(parser),))
    if name in ACCENTS:
        letters = plain_letters(parser)
        return parser.number(letters) if letters.isdigit() else Sym(letters)
    if name in FONT_COMMANDS:
        return font(parser)
    if name in SILENT or name in FONT_SWITCHES:
        return parser.power()
    if name in CURRENCIES or command in CURRENCIES:
        return Quantity(parser.signed(), CURRENCIES.get(command, command))
    if name in _DOTS:
        return Sym("...")
    if name in ("pm", "mp"):
        return PlusMinus(None, parser.product(), 1 if name == "pm" else -1)
    if name in ("exponentialE",):
        return Sym("e")
    if name in ("imaginaryI", "imath", "jmath"):
        return Sym("i")
    if name == "ceil" or name == "floor":
        return parse_function(parser, name, prefix=True)
    if name in ("partial", "nabla", "ell", "hbar", "aleph", "Re", "Im", "wp", "prime", "star", "top"):
        return Sym(name)
    if name in ("therefore", "because", "forall", "exists", "neg", "lnot", "underbrace", "not", "bigl", "hline"):
        if name in ("therefore", "because"):
            return parser.relation()
        raise ParseError(f"\\{name}")
    if name in ("color", "textcolor", "colorbox"):
        argument(parser)
        return parser.power()
    if name in ("dots", "cdot"):
        return Sym("...")
    if not name[:1].isalpha():
        if parser.token is None:
            raise ParseError(f"\\{name} where a value is due")
        return parser.power()
    for spacing in ("quad", "qquad"):
        if name.startswith(spacing) and len(name) > len(spacing):
            parser.push_back(name[len(spacing) :])
            return parser.power()
    return Sym(name.removeprefix("var"))


def argument(parser: "AtomParser") -> Node:
    """A LaTeX argument: a group, or one character (`\\frac34`, `\\frac1{72}`)."""
    token = parser.token
    if token is None:
        raise ParseError("an argument is missing")
    if token.value == "{":
        parser.advance()
        bars, parser.bars = parser.bars, 0
        node = parser.choose() or parser.sequence()
        parser.bars = bars
        parser.expect("}")
        return node
    if token.kind == "num" and len(token.value) > 1:
        parser.tokens[parser.at] = token._replace(value=token.value[1:])
        return parser.number(token.value[0])
    if token.kind == "word" and len(token.value) > 1:
        parser.tokens[parser.at] = token._replace(value=token.value[1:])
        return Sym(token.value[0])
    if token.value in ("-", "+"):
        return parser.signed()
    return parser.atom()


def plain_letters(parser: "AtomParser") -> str:
    """The letters of a group such as {AB} or {R}."""
    if not parser.accept("{"):
        return parser.advance().value.lstrip("\\")
    letters = ""
    depth = 1
    while depth:
        token = parser.advance()
        depth += (token.value == "{") - (token.value == "}")
        letters += token.value if token.value not in "{}" else ""
        if len(letters) > 60:
            raise ParseError("a long name")
    return letters.lstrip("\\")


def font(parser: "AtomParser") -> Node:
    """\\mathrm{…}, \\mathbf{…}: a letter is that letter, a function's name the function, a longer run words."""
    token = parser.token
    if token is None or token.value != "{":
        return parser.power()
    inside = parser.peek()
    after = parser.peek(2)
    if (
        inside is not None
        and inside.kind == "word"
        and after is not None
        and after.value == "}"
        and len(inside.value) > 1
    ):
        parser.at += 3
        if inside.value in FUNCTIONS:
            return parse_function(parser, inside.value, prefix=inside.value in PREFIX_FUNCTIONS)
        if inside.value.isupper() and len(inside.value) <= 4:
            parser.push_back(inside.value)
            return parser.power()
        return Text(inside.value)
    start = parser.at
    try:
        parser.advance()
        return parser.group()
    except ParseError:
        parser.at = start
        words = ""
        parser.advance()
        while not parser.accept("}"):
            words += (" " if parser.token is not None and parser.token.spaced else "") + parser.advance().value
        return Text(words.strip())


def root(parser: "AtomParser", name: str) -> Node:
    degree: Node = Num(Fraction(3 if name == "cbrt" else 2))
    if name == "sqrt" and parser.accept("["):
        degree = parser.sum()
        parser.expect("]")
    token = parser.token
    if token is not None and token.value == "(":
        radicand: Node = parser.atom()
    elif token is not None and token.kind == "num":
        parser.advance()
        radicand = parser.number(token.value)
    else:
        radicand = argument(parser)
    return Call("root", (radicand, degree))


def parse_function(parser: "AtomParser", name: str, *, prefix: bool) -> Node:
    """A named function with its subscript, power and argument."""
    name = _ALIASES.get(name, name)
    if name in ("sqrt", "cbrt"):
        return root(parser, name)
    base: Node | None = None
    power: Node | None = None
    while True:
        if power is None and parser.accept("^"):
            power = parser.script()
        elif base is None and parser.accept("_"):
            base = parser.script()
        else:
            break
    if name in ("max", "min", "gcd", "lcm", "binom", "mod") or not prefix:
        items = parser.power_argument()
        node: Node = Call(name, items[0].items if len(items) == 1 and isinstance(items[0], Seq) else items)
        return node
    if isinstance(power, Call) and power.name == "neg" and power.args == (Num(Fraction(1)),):
        name, power = _INVERSE.get(name, name), None
    inner = function_argument(parser)
    node = Call("log", (inner, base)) if name == "log" and base is not None else Call(name, (inner,))
    return Call("^", (node, power)) if power is not None else node


def function_argument(parser: "AtomParser") -> Node:
    """The bracketed argument, or the product that follows up to the next function, sign or relation."""
    token = parser.token
    if token is None:
        raise ParseError("a function without an argument")
    if token.value in ("(", "[", "{"):
        closing = {"(": ")", "[": "]", "{": "}"}[token.value]
        parser.advance()
        bars, parser.bars = parser.bars, 0
        inner = parser.sequence()
        parser.bars = bars
        parser.expect(closing)
        return inner
    node = parser.signed() if token.value in ("-", "+") else parser.power()
    while (token := parser.token) is not None and not (parser.integrals and differential_starts(parser)):
        is_name = (
            token.kind == "num"
            or (token.kind == "word" and len(token.value) <= 2)
            or (
                token.kind == "cmd"
                and token.value[1:] not in FUNCTIONS
                and parser.can_start(token)
                and token.value not in ("\\{", "\\langle")
            )
        )
        if token.value == "/":
            parser.advance()
            node = Call("/", (node, parser.power()))
        elif is_name and parser.can_start(token) and token.value not in FUNCTIONS and not parser.is_connector(token):
            node = Call("*", (node, parser.power()))
        else:
            return node
    return node


def big_operator(parser: "AtomParser", kind: str, name: str) -> Node:
    """Sum, product, integral or limit with its bounds and body: kept as it is, evaluated later where it can be."""
    lower: Node = Text("")
    upper: Node = Text("")
    while parser.token is not None and parser.token.value in ("_", "^"):
        if parser.advance().value == "_":
            lower = bound(parser)
        else:
            upper = bound(parser)
    return integral(parser, lower, upper) if name == "int" else Call(kind, (parser.product(), lower, upper))


def bound(parser: "AtomParser") -> Node:
    if parser.accept("{"):
        node = parser.relation()
        parser.expect("}")
        return node
    return parser.script() or Text("")


def _pieces(rows: list[tuple[Node, ...]]) -> tuple[Node, ...]:
    """value, condition, value, condition, … of a function defined by cases; empty where the rows are something else."""
    pairs = [row[0].items if len(row) == 1 and isinstance(row[0], Seq) and not row[0].open else row for row in rows]
    if not all(len(pair) == 2 and not isinstance(pair[0], Rel) and isinstance(pair[1], Rel | Text) for pair in pairs):
        return ()
    return tuple(part for pair in pairs for part in pair)


def parse_environment(parser: "AtomParser", name: str) -> Node:
    """A matrix; `cases`, `align` and their like as the list of their lines."""
    name = name.rstrip("*")
    if name == "array":
        plain_letters(parser) if parser.token is not None and parser.token.value == "{" else None
    in_matrix, parser.in_matrix = parser.in_matrix, True
    builder, parser.in_set_builder = parser.in_set_builder, False
    bars, parser.bars = parser.bars, 0
    rows: list[list[Node]] = [[]]
    while parser.token is not None and parser.token.kind != "end":
        if parser.accept("\\\\", "\\cr"):
            if parser.accept("["):
                while not parser.accept("]"):
                    parser.advance()
            rows.append([])
        elif parser.accept("&", "\\hline"):
            continue
        else:
            rows[-1].append(parser.sequence())
    parser.in_matrix, parser.in_set_builder, parser.bars = in_matrix, builder, bars
    if parser.token is None:
        raise ParseError(f"\\begin{{{name}}} has no end")
    parser.advance()
    filled = [tuple(row) for row in rows if row]
    if not filled:
        raise ParseError("an empty environment")
    if name not in MATRICES:
        if pieces := _pieces(filled):
            return Call("cases", pieces)
        return Seq("", "", tuple(row[0] for row in filled)) if len(filled) > 1 else filled[0][0]
    if len({len(row) for row in filled}) != 1:
        raise ParseError("rows of unequal length")
    matrix = Matrix(tuple(filled))
    return Call("det", (matrix,)) if name == "vmatrix" else matrix
