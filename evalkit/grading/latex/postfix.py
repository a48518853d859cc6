"""What stands behind a value: powers, subscripts, factorials, percent, degrees, units and remarks."""

from fractions import Fraction

from evalkit.grading.latex.cursor import Cursor
from evalkit.grading.latex.nodes import Base, Call, Node, Num, ParseError, Quantity, Seq, Sym, Text, symbols
from evalkit.grading.latex.tokens import Token
from evalkit.grading.latex.units import LETTERS, is_unit, measure, ratio, temperature, unit_letters
from evalkit.grading.latex.vocabulary import (
    BASE_WORDS,
    CONNECTING_WORDS,
    CONSTANTS,
    CURRENCIES,
    FUNCTIONS,
    is_wrapper,
)


class PostfixParser(Cursor):
    """Powers and postfixes, and the units that may follow a product."""

    # powers and postfixes

    def power(self) -> Node:
        return self.postfix(self.atom())

    def postfix(self, node: Node) -> Node:
        while (token := self.token) is not None:
            if token.value in ("^", "**"):
                self.advance()
                exponent = self.script()
                if exponent is None:
                    continue
                if isinstance(exponent, Sym) and exponent.name == "degree":
                    node = Quantity(node, self.temperature())
                elif isinstance(exponent, Text):
                    node = node if exponent.words in ("th", "st", "nd", "rd") else Quantity(node, "^" + exponent.words)
                elif isinstance(exponent, Sym) and exponent.name == "prime":
                    node = Call("prime", (node,))
                else:
                    node = Call("^", (node, exponent))
            elif token.value == "_" and token.kind == "op":
                self.advance()
                node = self.subscripted(node)
            elif token.value == "!":
                self.advance()
                double = self.token is not None and not self.token.spaced and self.accept("!")
                node = Call("factorial2" if double else "factorial", (node,))
            elif token.value in ("%", "\\%"):
                self.advance()
                node = Quantity(node, "percent")
            elif token.value in ("\\degree", "\\circ") and (
                token.value == "\\degree" or not self.can_start(self.peek())
            ):
                self.advance()
                node = Quantity(node, self.temperature())
            elif token.value == "'":
                self.advance()
                node = Call("prime", (node,))
            else:
                break
        return node

    def temperature(self) -> str:
        """The unit that a degree sign begins: °C, °F, or degrees of an angle."""
        for ahead in (1, 2, 4):  # C, \text{C}, \mathrm{C}
            written = self.tokens[self.at : self.at + ahead]
            name = temperature("".join("" if is_wrapper(token.value) else token.value.strip("{}") for token in written))
            if name:
                self.at += len(written)
                return name
        return "degree"

    def script(self) -> Node | None:
        """What stands after ^ or _: a group, or one character. None where it is empty."""
        token = self.token
        if token is None:
            return None
        if token.value == "{":
            self.advance()
            if self.accept("}"):
                return None
            node = self.script_mark() or self.sequence()
            self.expect("}")
            return node
        if token.kind == "num":
            return self.digit()
        if token.kind == "word" and len(token.value) > 1:
            if token.value in CONSTANTS or token.value in ("th", "st", "nd", "rd"):
                self.advance()
                return Sym(CONSTANTS[token.value]) if token.value in CONSTANTS else Text(token.value)
            self.tokens[self.at] = token._replace(value=token.value[1:], spaced=False)
            return Sym(token.value[0])
        if token.value in ("-", "+") and self.can_start(self.peek()):
            return self.signed()
        return self.script_mark() or (self.power() if token.value == "(" else self.atom())

    def script_mark(self) -> Node | None:
        token = self.token
        if token is not None and token.value in ("\\circ", "\\degree", "o"):
            if token.value == "o" and (self.can_start(self.peek()) or not (self.at > 2)):
                return None
            self.advance()
            return Sym("degree")
        if token is not None and token.value in ("+", "-", "*") and not self.can_start(self.peek()):
            return Sym(self.advance().value)  # 0^+, \mathbb{R}^*
        if token is not None and token.value in ("\\prime", "'"):
            while self.accept("\\prime", "'"):
                pass
            return Sym("prime")
        if token is not None and token.value == "\\%":
            self.advance()
            return Sym("degree")
        if token is not None and token.kind == "word" and token.value in ("th", "st", "nd", "rd"):
            self.advance()
            return Text(token.value)
        return None

    def digit(self) -> Node:
        """The number behind ^ or _: `x^23` is x² · 3 in LaTeX, but models write it for x^{23}."""
        return self.number(self.advance().value)

    def subscripted(self, node: Node) -> Node:
        start = self.at
        index = self.script()
        written = "".join(token.value for token in self.tokens[start : self.at]).strip("{}")
        base = BASE_WORDS.get(written.strip().lower()) or (
            int(written) if written.isdigit() and len(written) < 3 else 0
        )
        if isinstance(node, Num) and node.decimals is None and 2 <= base <= 36:
            return Base(str(node.value), base)
        if isinstance(node, Seq) and len(node.items) == 1 and isinstance(node.items[0], Num):
            return Base(str(node.items[0].value), base)
        if isinstance(node, Sym):
            name = written if isinstance(index, Num | Sym | Text) else written.replace(" ", "")
            return Sym(f"{node.name}_{name}")
        return Call("sub", (node, index or Text(written)))

    # units

    def unit(self, node: Node) -> str | None:
        """Words and units behind a value: pass over them and say which they were; None where there are none."""
        token = self.token
        if token is None or token.kind not in ("text", "word", "cmd"):
            return None
        if token.kind == "cmd":
            if token.value in ("\\pmod", "\\pod"):
                self.advance()
                start = self.at
                self.script()
                return "pmod " + "".join(part.value for part in self.tokens[start : self.at]).strip("{}()")
            if token.value == "\\Omega" and not symbols(node):
                self.advance()
                return "Ω"
            if token.value in CURRENCIES:
                self.advance()
                return CURRENCIES[token.value]
            if not is_wrapper(token.value) and token.value != "\\frac":
                return None
        words = self.unit_fraction() if token.value == "\\frac" else self.unit_words(node)
        return " ".join(words) if words else None

    def unit_fraction(self) -> list[str]:
        """\\frac{\\text{m}}{\\text{s}} behind a value."""
        start, one = self.at, Num(Fraction(1))
        above = self.accept("\\frac") and self.accept("{") and self.unit_words(one)
        below = above and self.accept("}") and self.accept("{") and self.unit_words(one)
        if above and below and self.accept("}"):
            return [*above, "/", *below]
        self.at = start
        return []

    def compound(self, quantity: Quantity) -> Quantity:
        """`5 hours 30 minutes`, `5 dollars and 25 cents`: one quantity in the first unit."""
        while True:
            start = self.at
            if self.token is not None and (self.token.value == "," or self.is_connector(self.token)):
                self.advance()
            if self.token is not None and self.token.kind == "num":
                value = self.mixed()
                letter = self.token is not None and self.token.kind == "word" and self.token.value in LETTERS
                unit = self.advance().value if letter else self.unit(value)
                size = ratio(quantity.unit, unit) if unit else None
                if size is not None:
                    both = Call("+", (quantity.value, Call("*", (value, Num(size)))))
                    quantity = Quantity(both, quantity.unit)
                    continue
            self.at = start
            return quantity

    def unit_words(self, node: Node) -> list[str]:
        words: list[str] = []
        start = self.at
        while (token := self.token) is not None:
            if token.kind == "text":
                if token.value.strip(" ,.:").lower() in CONNECTING_WORDS or (not words and is_value(token.value)):
                    break
                words.append(token.value.strip())
                self.advance()
            elif token.kind == "word" and (
                is_unit(token.value, spaced=token.spaced)
                or (words and words[-1] == "/" and token.value in LETTERS)
                or (words and len(token.value) > 1)
                or _is_remark(token)
            ):
                if token.value.lower() in CONNECTING_WORDS:
                    break
                words.append(token.value)
                self.advance()
            elif token.kind == "cmd" and is_wrapper(token.value):
                letters = unit_letters(self.tokens, self.at + 1)
                if letters is None or letters[0] in FUNCTIONS:
                    break
                known = is_unit(letters[0], spaced=True) or len(letters[0]) > 2 or measure(letters[0]) is not None
                if not known or (len(letters[0]) == 1 and symbols(node)):
                    break
                words.append(letters[0])
                self.at = letters[1]
            elif words and token.value == "^":
                self.advance()
                power = self.script()
                words.append("^" + (str(power.value) if isinstance(power, Num) else "?"))
            elif words and token.value in ("/", "\\cdot", ".", "-") and (after := self.peek()) is not None:
                if after.kind not in ("text", "word") and not is_wrapper(after.value):
                    break
                words.append(token.value if token.value == "/" else "")
                self.advance()
            elif words and token.kind == "num" and token.value in ("2", "3") and not token.spaced:
                words.append("^" + self.advance().value)
            else:
                break
        if not words:
            self.at = start
        return words

    def number(self, text: str) -> Num:
        if len(text) > 2000:
            raise ParseError("a number of more than 2,000 digits")
        mantissa, _, exponent = text.lower().partition("e")
        if exponent and abs(int(exponent)) > 5000:
            raise ParseError("an exponent beyond 5,000")
        value = Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
        decimals = len(mantissa.partition(".")[2]) if "." in mantissa and not exponent else None
        return Num(value, decimals, len(mantissa.replace(".", "").lstrip("0")) if decimals is not None else 0)


def is_value(words: str) -> bool:
    """Whether the content of \\text{…} is a number or a bracketed letter rather than words."""
    bare = words.strip(" .,:()%-/")
    return bool(bare) and (bare.replace(",", "").replace(".", "").replace("/", "").isdigit())


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
