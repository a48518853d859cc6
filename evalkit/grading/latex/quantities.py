"""Units and remarks behind a value."""

from fractions import Fraction

from evalkit.grading.latex.cursor import Cursor
from evalkit.grading.latex.nodes import Call, Node, Num, Quantity, symbols
from evalkit.grading.latex.suffixes import script
from evalkit.grading.latex.tokens import Token
from evalkit.grading.latex.units import LETTERS, is_unit, measure, ratio, unit_letters
from evalkit.grading.latex.vocabulary import CONNECTING_WORDS, CONNECTORS, CONSTANTS, CURRENCIES, FUNCTIONS, is_wrapper


def unit(cursor: Cursor, node: Node) -> str | None:
    """Words and units behind a value: pass over them and say which they were; None where there are none."""
    token = cursor.token
    if token is None or token.kind not in ("text", "word", "cmd"):
        return None
    if token.kind == "cmd":
        if token.value in ("\\pmod", "\\pod"):
            cursor.advance()
            start = cursor.at
            script(cursor)
            return "pmod " + "".join(part.value for part in cursor.tokens[start : cursor.at]).strip("{}()")
        if token.value == "\\Omega" and not symbols(node):
            cursor.advance()
            return "Ω"
        if token.value in CURRENCIES:
            cursor.advance()
            return CURRENCIES[token.value]
        if not is_wrapper(token.value) and token.value != "\\frac":
            return None
    words = unit_fraction(cursor) if token.value == "\\frac" else unit_words(cursor, node)
    return " ".join(words) if words else None


def unit_fraction(cursor: Cursor) -> list[str]:
    """\\frac{\\text{m}}{\\text{s}} behind a value."""
    start, one = cursor.at, Num(Fraction(1))
    above = cursor.accept("\\frac") and cursor.accept("{") and unit_words(cursor, one)
    below = above and cursor.accept("}") and cursor.accept("{") and unit_words(cursor, one)
    if above and below and cursor.accept("}"):
        return [*above, "/", *below]
    cursor.at = start
    return []


def compound(cursor: Cursor, quantity: Quantity) -> Quantity:
    """`5 hours 30 minutes`, `5 dollars and 25 cents`: one quantity in the first unit."""
    while True:
        start = cursor.at
        if cursor.token is not None and (cursor.token.value == "," or cursor.is_connector(cursor.token)):
            cursor.advance()
        if cursor.token is not None and cursor.token.kind == "num":
            value = cursor.mixed()
            letter = cursor.token is not None and cursor.token.kind == "word" and cursor.token.value in LETTERS
            name = cursor.advance().value if letter else unit(cursor, value)
            size = ratio(quantity.unit, name) if name else None
            if size is not None:
                both = Call("+", (quantity.value, Call("*", (value, Num(size)))))
                quantity = Quantity(both, quantity.unit)
                continue
        cursor.at = start
        return quantity


def unit_words(cursor: Cursor, node: Node) -> list[str]:
    words: list[str] = []
    start = cursor.at
    while (token := cursor.token) is not None:
        if token.kind == "text":
            if _connects(cursor, token) or (not words and is_value(token.value)):
                break
            words.append(token.value.strip())
            cursor.advance()
        elif token.kind == "word" and (
            is_unit(token.value, spaced=token.spaced)
            or (words and words[-1] == "/" and token.value in LETTERS)
            or (words and len(token.value) > 1)
            or _is_remark(token)
            or _is_last_letter(cursor, token, node)
        ):
            if token.value.lower() in CONNECTING_WORDS:
                break
            words.append(token.value)
            cursor.advance()
        elif token.kind == "cmd" and is_wrapper(token.value):
            letters = unit_letters(cursor.tokens, cursor.at + 1)
            if letters is None or letters[0] in FUNCTIONS:
                break
            known = is_unit(letters[0], spaced=True) or len(letters[0]) > 2 or measure(letters[0]) is not None
            if not known or (len(letters[0]) == 1 and symbols(node)):
                break
            words.append(letters[0])
            cursor.at = letters[1]
        elif words and token.value == "^":
            cursor.advance()
            power = script(cursor)
            words.append("^" + _exponent(power))
        elif words and token.value in ("/", "\\cdot", ".", "-") and (after := cursor.peek()) is not None:
            if after.kind not in ("text", "word") and not is_wrapper(after.value):
                break
            words.append(token.value if token.value == "/" else "")
            cursor.advance()
        elif words and token.kind == "num" and token.value in ("2", "3") and not _is_apart(cursor, token):
            words.append("^" + cursor.advance().value)
        else:
            break
    if not words:
        cursor.at = start
    return words


def _is_apart(cursor: Cursor, token: Token) -> bool:
    """Whether white space stands between a unit and a number, inside \\text{…} or behind it: 5 \\text{ R } 2."""
    return token.spaced or (cursor.previous is not None and cursor.previous.value.endswith(" "))


def _connects(cursor: Cursor, token: Token) -> bool:
    """Whether a text joins the value to another one: " and "; " und " where a value follows."""
    word = token.value.strip(" ,.:").lower()
    return word in CONNECTING_WORDS or (word in CONNECTORS and cursor.can_start(cursor.peek()))


def _exponent(power: Node | None) -> str:
    """The power of a unit: 2, -1; "?" for what is no number."""
    negative = isinstance(power, Call) and power.name == "neg"
    size = power.args[0] if isinstance(power, Call) and negative else power
    return ("-" if negative else "") + str(size.value) if isinstance(size, Num) else "?"


def is_value(words: str) -> bool:
    """Whether the content of \\text{…} is a number or a bracketed letter rather than words."""
    bare = words.strip(" .,:()%-/")
    return bool(bare) and (bare.replace(",", "").replace(".", "").replace("/", "").isdigit())


def _is_last_letter(cursor: Cursor, token: Token, node: Node) -> bool:
    """Whether a capital ends the answer behind a number and a space: `300 K`."""
    return (
        token.spaced
        and token.value in LETTERS
        and token.value.isupper()
        and cursor.peek() is None
        and not symbols(node)
    )


def _is_remark(token: Token) -> bool:
    """Whether a bare word behind a value reads as its unit or a remark: `5 apples`."""
    return (
        token.spaced
        and len(token.value) >= 3
        and token.value not in FUNCTIONS
        and token.value not in CONSTANTS
        and not token.value.isupper()
        and token.value not in ("mod",)
    )
