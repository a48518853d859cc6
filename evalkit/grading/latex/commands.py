"""LaTeX commands, functions and environments of the answer parser."""

from collections.abc import Callable
from fractions import Fraction

from evalkit.grading.latex.cursor import Cursor
from evalkit.grading.latex.nodes import (
    Call,
    Matrix,
    Node,
    Num,
    ParseError,
    PlusMinus,
    Quantity,
    Rel,
    Seq,
    Sym,
    Text,
    number,
    symbols,
)
from evalkit.grading.latex.suffixes import script
from evalkit.grading.latex.vocabulary import (
    ACCENTS,
    CURRENCIES,
    FONT_COMMANDS,
    FONT_SWITCHES,
    FUNCTIONS,
    GREEK,
    MARKS,
    MATRICES,
    PREFIX_FUNCTIONS,
    is_wrapper,
)

_BIG = {"sum": "Sum", "prod": "Product", "int": "Integral", "lim": "Limit", "iint": "Integral", "oint": "Integral"}
_BLACKBOARD = {"R": "RR", "Z": "ZZ", "N": "NN", "Q": "QQ", "C": "CC"}
_ALIASES = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "arccoth": "acoth",
    "arcsech": "asech",
    "arccsch": "acsch",
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
    "coth": "acoth",
    "sech": "asech",
    "csch": "acsch",
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


def parse_command(cursor: Cursor, command: str) -> Node:
    """The node that a command begins; its token has been read."""
    name = command[1:]
    if handler := _HANDLERS.get(name):
        return handler(cursor, name)
    if not name[:1].isalpha():
        if cursor.token is None:
            raise ParseError(f"\\{name} where a value is due")
        return cursor.power()
    for spacing in ("quad", "qquad"):
        if name.startswith(spacing):
            cursor.push_back(name[len(spacing) :])
            return cursor.power()
    name = name.removeprefix("var")
    return cursor.letter(name) if name in GREEK else Sym(name)


def _fraction(cursor: Cursor, _: str) -> Node:
    return derivative(cursor, Call("/", (argument(cursor), argument(cursor))))


def _binomial(cursor: Cursor, _: str) -> Node:
    return Call("binom", (argument(cursor), argument(cursor)))


def _named_function(cursor: Cursor, name: str) -> Node:
    return parse_function(cursor, name, prefix=name in PREFIX_FUNCTIONS)


def _blackboard(cursor: Cursor, _: str) -> Node:
    return Sym(_BLACKBOARD.get(letters := plain_letters(cursor), letters))


def _marked(cursor: Cursor, name: str) -> Node:
    """\\angle ABC; a mark alone is a symbol."""
    if not cursor.can_start(cursor.token):
        return Sym(name)
    return Call(MARKS[name], (cursor.power() if name == "square" else cursor.product(),))


def _currency(cursor: Cursor, name: str) -> Node:
    return Quantity(cursor.signed(), CURRENCIES["\\" + name])


def _plus_minus(cursor: Cursor, name: str) -> Node:
    return PlusMinus(None, cursor.product(), 1 if name == "pm" else -1)


def _coloured(cursor: Cursor, _: str) -> Node:
    argument(cursor)
    return cursor.power()


def _no_value(_: Cursor, name: str) -> Node:
    raise ParseError(f"\\{name}")


def accented(cursor: Cursor, accent: str) -> Node:
    """A letter with its mark; the unit vectors \\hat{i}, and \\overline{AB} as the segment between two points."""
    above = argument(cursor)
    if accent == "hat" and above in (Sym("i"), Sym("j"), Sym("k")):
        return above
    if accent in ("dot", "ddot") and isinstance(above, Sym | Call):
        return Call("Derivative", (above, Sym("t"), number("1" if accent == "dot" else "2")))
    ends = isinstance(above, Call) and above.name == "*" and all(isinstance(end, Sym) for end in above.args)
    if accent == "bar" and ends and "".join(sorted(symbols(above))).isupper():
        return Call("segment", (above,))
    return Call(accent, (above,))


def argument(cursor: Cursor) -> Node:
    """A LaTeX argument: a group, or one character (`\\frac34`, `\\frac1{72}`)."""
    token = cursor.token
    if token is None:
        raise ParseError("an argument is missing")
    if token.value == "{":
        cursor.advance()
        bars, cursor.bars = cursor.bars, 0
        node = cursor.choose() or cursor.sequence()
        cursor.bars = bars
        cursor.expect("}")
        return node
    if token.kind == "num" and len(token.value) > 1:
        cursor.tokens[cursor.at] = token._replace(value=token.value[1:])
        return number(token.value[0])
    if token.kind == "word" and len(token.value) > 1:
        cursor.tokens[cursor.at] = token._replace(value=token.value[1:])
        return Sym(token.value[0])
    if token.value in ("-", "+"):
        return cursor.signed()
    return cursor.atom()


def plain_letters(cursor: Cursor) -> str:
    """The letters of a group such as {AB} or {R}."""
    if not cursor.accept("{"):
        return cursor.advance().value.lstrip("\\")
    letters = ""
    depth = 1
    while depth:
        token = cursor.advance()
        depth += (token.value == "{") - (token.value == "}")
        letters += token.value if token.value not in "{}" else ""
        if len(letters) > 60:
            raise ParseError("a long name")
    return letters.lstrip("\\")


def font(cursor: Cursor) -> Node:
    """\\mathrm{…}, \\mathbf{…}: a letter is that letter, a function's name the function, a longer run words."""
    token = cursor.token
    if token is None or token.value != "{":
        return cursor.power()
    inside = cursor.peek()
    after = cursor.peek(2)
    if (
        inside is not None
        and inside.kind == "word"
        and after is not None
        and after.value == "}"
        and len(inside.value) > 1
    ):
        cursor.at += 3
        if inside.value in FUNCTIONS:
            return parse_function(cursor, inside.value, prefix=inside.value in PREFIX_FUNCTIONS)
        differential = cursor.integrals and _is_differential(inside.value)
        if differential or (inside.value.isupper() and len(inside.value) <= 4):
            cursor.push_back(inside.value)
            return cursor.power()
        return Text(inside.value)
    start = cursor.at
    try:
        cursor.advance()
        return cursor.group()
    except ParseError:
        cursor.at = start
        words = ""
        cursor.advance()
        while not cursor.accept("}"):
            words += (" " if cursor.token is not None and cursor.token.spaced else "") + cursor.advance().value
        return Text(words.strip())


def root(cursor: Cursor, name: str) -> Node:
    degree: Node = Num(Fraction(3 if name == "cbrt" else 2))
    if name == "sqrt" and cursor.accept("["):
        degree = cursor.sum()
        cursor.expect("]")
    token = cursor.token
    if token is not None and token.value == "(":
        radicand: Node = cursor.atom()
    elif token is not None and token.kind == "num":
        cursor.advance()
        radicand = number(token.value)
    else:
        radicand = argument(cursor)
    return Call("root", (radicand, degree))


_EXTREMES = frozenset({"max", "min"})
# what a value may be called by without an argument
_TITLES = _EXTREMES | {"gcd", "lcm", "deg", "dim", "rank", "det", "tr"}


def parse_function(cursor: Cursor, name: str, *, prefix: bool) -> Node:
    """A named function with its subscript, power and argument."""
    name = _ALIASES.get(name, name)
    if name in ("sqrt", "cbrt"):
        return root(cursor, name)
    base: Node | None = None
    power: Node | None = None
    while True:
        if power is None and cursor.accept("^"):
            power = script(cursor)
        elif base is None and cursor.accept("_"):
            base = script(cursor)
        else:
            break
    if name in _TITLES and cursor.token is not None and cursor.token.value == "=":
        return Text(name)  # \gcd = 5
    if name in _EXTREMES and cursor.token is not None and cursor.token.kind in ("word", "text"):
        inner = function_argument(cursor)  # \max f, \min_{x > 0} f(x)
        return Call(name, (inner,)) if base is None else Call(f"{name} over", (inner, base))
    if name in ("max", "min", "gcd", "lcm", "binom", "mod") or not prefix:
        items = cursor.power_argument()
        node: Node = Call(name, items[0].items if len(items) == 1 and isinstance(items[0], Seq) else items)
        return node
    if power == Call("neg", (_ONE,)) and name in _INVERSE:
        name, power = _INVERSE[name], None
    inner = function_argument(cursor)
    node = Call("log", (inner, base)) if name == "log" and base is not None else Call(name, (inner,))
    return Call("^", (node, power)) if power is not None else node


def function_argument(cursor: Cursor) -> Node:
    """The bracketed argument, or the product that follows up to the next function, sign or relation."""
    token = cursor.token
    if token is None:
        raise ParseError("a function without an argument")
    if token.value in ("(", "[", "{"):
        closing = {"(": ")", "[": "]", "{": "}"}[token.value]
        cursor.advance()
        bars, cursor.bars = cursor.bars, 0
        inner = cursor.sequence()
        cursor.bars = bars
        cursor.expect(closing)
        return inner
    node = cursor.signed() if token.value in ("-", "+") else cursor.power()
    while (token := cursor.token) is not None and not (cursor.integrals and differential_starts(cursor)):
        is_name = (
            token.kind == "num"
            or (token.kind == "word" and len(token.value) <= 2)
            or (
                token.kind == "cmd"
                and token.value[1:] not in FUNCTIONS
                and cursor.can_start(token)
                and token.value not in ("\\{", "\\langle")
            )
        )
        if token.value == "/":
            cursor.advance()
            node = Call("/", (node, cursor.power()))
        elif is_name and cursor.can_start(token) and token.value not in FUNCTIONS and not cursor.is_connector(token):
            node = Call("*", (node, cursor.power()))
        else:
            return node
    return node


def big_operator(cursor: Cursor, kind: str, name: str) -> Node:
    """Sum, product, integral or limit with its bounds and body: kept as it is, evaluated later where it can be."""
    lower: Node = Text("")
    upper: Node = Text("")
    while cursor.token is not None and cursor.token.value in ("_", "^"):
        if cursor.advance().value == "_":
            lower = bound(cursor)
        else:
            upper = bound(cursor)
    return integral(cursor, lower, upper) if name == "int" else Call(kind, (cursor.product(), lower, upper))


def bound(cursor: Cursor) -> Node:
    if cursor.accept("{"):
        node = cursor.relation()
        cursor.expect("}")
        return node
    return script(cursor) or Text("")


def _pieces(rows: list[tuple[Node, ...]]) -> tuple[Node, ...]:
    """value, condition, value, condition, … of a function defined by cases; empty where the rows are something else."""
    pairs = [row[0].items if len(row) == 1 and isinstance(row[0], Seq) and not row[0].open else row for row in rows]
    if not all(len(pair) == 2 and not isinstance(pair[0], Rel) and isinstance(pair[1], Rel | Text) for pair in pairs):
        return ()
    return tuple(part for pair in pairs for part in pair)


def parse_environment(cursor: Cursor, name: str) -> Node:
    """A matrix; `cases`, `align` and their like as the list of their lines."""
    name = name.rstrip("*")
    if name == "array":
        plain_letters(cursor) if cursor.token is not None and cursor.token.value == "{" else None
    in_matrix, cursor.in_matrix = cursor.in_matrix, True
    builder, cursor.in_set_builder = cursor.in_set_builder, False
    bars, cursor.bars = cursor.bars, 0
    rows: list[list[Node]] = [[]]
    while cursor.token is not None and cursor.token.kind != "end":
        if cursor.accept("\\\\"):
            if cursor.accept("["):
                while not cursor.accept("]"):
                    cursor.advance()
            rows.append([])
        elif cursor.accept("&", "\\hline"):
            continue
        else:
            rows[-1].append(cursor.sequence())
    cursor.in_matrix, cursor.in_set_builder, cursor.bars = in_matrix, builder, bars
    if cursor.token is None:
        raise ParseError(f"\\begin{{{name}}} has no end")
    cursor.advance()
    filled = [tuple(row) for row in rows if row]
    if not filled:
        raise ParseError("an empty environment")
    if name not in MATRICES:
        if pieces := _pieces(filled):
            return Call("cases", pieces)
        return Seq("", "", tuple(row[0] for row in filled)) if len(filled) > 1 else filled[0][0]
    if len({len(row) for row in filled}) != 1:
        raise ParseError("rows of unequal length")
    if all(len(row) == 1 and isinstance(row[0], Rel) for row in filled):
        return Seq("", "", tuple(row[0] for row in filled))  # equations below each other
    matrix = Matrix(tuple(filled))
    return Call("det", (matrix,)) if name == "vmatrix" else matrix


# integrals and derivatives: which `dx` belongs to them, and what it applies to

_D = Sym("d")
_DIFFERENTIALS = (_D, Sym("partial"))
_ONE = Num(Fraction(1))


def derivative(cursor: Cursor, fraction: Call) -> Node:
    """`\\frac{d}{dx}` with the product that follows, and `\\frac{d^2y}{dx^2}`, as Derivative(what, x, order); another
    fraction as it is.
    """
    above, below = (_factors(part) for part in fraction.args)
    order: Node = _ONE
    first = above[0]
    if isinstance(first, Call) and first.name == "^":
        first, order = first.args
    whole = isinstance(order, Num) and order.value.denominator == 1 and 0 < order.value < 10
    if first not in _DIFFERENTIALS or len(above) > 2 or len(below) != 2 or below[0] != first or not whole:
        return fraction
    variable = below[1]
    if order != _ONE:
        matches = isinstance(variable, Call) and variable.name == "^" and variable.args[1] == order
        variable = variable.args[0] if matches and isinstance(variable, Call) else order
    if not isinstance(variable, Sym):
        return fraction
    if len(above) == 2:
        return Call("Derivative", (above[1], variable, order))
    return Call("Derivative", (cursor.product(), variable, order)) if cursor.can_start(cursor.token) else fraction


def differential_starts(cursor: Cursor) -> bool:
    """Whether `dx` or `\\mathrm{d}x` stands here, which ends a function's argument in an integral."""
    token, after = cursor.token, cursor.peek()
    if token is None or (after is None and token.kind != "word"):
        return False
    if is_wrapper(token.value):
        inside = [ahead.value if (ahead := cursor.peek(n)) is not None else "" for n in (1, 2, 3)]
        return _is_differential(inside[0]) or (inside[0::2] == ["{", "}"] and _is_differential(inside[1]))
    return token.kind == "word" and _is_differential(token.value)


def _is_differential(word: str) -> bool:
    """Whether a word is `d` or `d` with one letter."""
    return word[:1] == "d" and (len(word) == 1 or (len(word) == 2 and word[1].isalpha()))


def integral(cursor: Cursor, lower: Node, upper: Node) -> Node:
    """Integral(body, lower, upper, variable) and the factors behind its `dx`; without a `dx` it has no variable."""
    cursor.integrals += 1
    first = cursor.product()
    start = cursor.at
    total: Node | None = None
    term, minus = first, False
    result: Node | None = None
    while result is None:
        split = _split(term)
        piece = term if split is None else split[0]
        piece = Call("neg", (piece,)) if minus else piece
        total = piece if total is None else Call("+", (total, piece))
        if split is not None:
            result = Call("Integral", (total, lower, upper, split[1]))
            for factor in split[2]:
                result = Call("*", (result, factor))
        elif cursor.token is not None and cursor.token.value in ("+", "-") and cursor.can_start(cursor.peek()):
            minus = cursor.advance().value == "-"
            term = cursor.product()
        else:
            break
    cursor.integrals -= 1
    if result is None:
        cursor.at = start
        return Call("Integral", (first, lower, upper))
    return result


def _split(term: Node) -> tuple[Node, Sym, list[Node]] | None:
    """(integrand, variable, what follows) of `f(x) dx …` or `\\frac{f(x) dx}{g(x)} …`; None without a differential."""
    factors = _factors(term)
    for at, factor in enumerate(factors):
        after = factors[at + 1] if at + 1 < len(factors) else None
        if factor == _D and isinstance(after, Sym):
            return _product(factors[:at]), after, factors[at + 2 :]
        if isinstance(factor, Call) and factor.name == "/" and (above := _split(factor.args[0])) is not None:
            numerator = _product([above[0], *above[2]])
            return _product([*factors[:at], Call("/", (numerator, factor.args[1]))]), above[1], factors[at + 1 :]
    return None


def _factors(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.name == "*":
        return _factors(node.args[0]) + _factors(node.args[1])
    if isinstance(node, Call) and node.name == "neg":
        return [Num(Fraction(-1)), *_factors(node.args[0])]
    return [node]


def _product(factors: list[Node]) -> Node:
    result: Node = factors[0] if factors else _ONE
    for factor in factors[1:]:
        result = Call("*", (result, factor))
    return result


_CONSTANTS = {
    "infty": "oo", "emptyset": "emptyset", "varnothing": "emptyset", "O": "emptyset", "exponentialE": "e",
    "imaginaryI": "i", "imath": "i", "jmath": "i", "ldots": "...", "cdots": "...", "dots": "...", "dotsc": "...",
    "dotsb": "...", "vdots": "...", "ddots": "...", "cdot": "...",
}  # fmt: skip
# what a command begins; the names that need no handler are symbols
_HANDLERS: dict[str, Callable[[Cursor, str], Node]] = {
    **dict.fromkeys((*FUNCTIONS, "max", "min"), _named_function),
    **{name: lambda cursor, name: accented(cursor, ACCENTS[name]) for name in ACCENTS},
    **{name: lambda cursor, _: font(cursor) for name in FONT_COMMANDS},
    **{name: lambda cursor, _: cursor.power() for name in FONT_SWITCHES},
    **dict.fromkeys(MARKS, _marked),
    **{name: lambda cursor, name: cursor.bars_to(*_DELIMITED[name]) for name in _DELIMITED},
    **{name: lambda cursor, name: big_operator(cursor, _BIG[name], name) for name in _BIG},
    **{
        name: lambda cursor, name: cursor.enclosed("\\" + name)
        for name in ("{", "langle", "lbrace", "lbrack", "lparen")
    },
    **{name.removeprefix("\\"): _currency for name in CURRENCIES},
    **{name: lambda _, name: Sym(_CONSTANTS[name]) for name in _CONSTANTS},
    **{
        name: lambda _, name: Sym(name)
        for name in ("partial", "nabla", "ell", "hbar", "aleph", "wp", "prime", "star", "top")
    },
    **dict.fromkeys(("forall", "exists", "neg", "lnot", "underbrace", "not", "bigl", "hline"), _no_value),
    **dict.fromkeys(("color", "textcolor", "colorbox"), _coloured),
    **{name: lambda cursor, _: cursor.relation() for name in ("therefore", "because")},
    **{name: lambda cursor, _: accented(cursor, "bar") for name in ("overline", "bar")},
    **dict.fromkeys(("binom", "dbinom", "tbinom"), _binomial),
    **dict.fromkeys(("mathbb", "Bbb"), _blackboard),
    **dict.fromkeys(("pm", "mp"), _plus_minus),
    **{name: lambda cursor, name: root(cursor, name) for name in ("sqrt", "cbrt")},
    "frac": _fraction,
}
