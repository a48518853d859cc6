"""The parser's atoms: brackets, functions, names, numbers."""

from fractions import Fraction

from evalkit.grading.latex.nodes import Builder, Call, Node, Num, ParseError, Seq, Sym, Text, symbols
from evalkit.grading.latex.postfix import PostfixParser, is_value
from evalkit.grading.latex.tokens import Token, tokenize
from evalkit.grading.latex.vocabulary import (
    CONSTANTS,
    FUNCTIONS,
    GLUED,
    IGNORED,
    NUMBER_WORDS,
    PREFIX_FUNCTIONS,
)

_MATCHING = {"(": ")", "[": "]", "\\{": "}", "\\langle": ")", "\\lbrace": "}", "\\lbrack": "]", "\\lparen": ")"}


class AtomParser(PostfixParser):
    """Everything that binds tighter than a product."""

    # atoms

    def atom(self) -> Node:
        self.enter()
        token = self.advance()
        if token.kind == "num":
            node: Node = self.number(token.value)
        elif token.kind == "word":
            node = self.word(token)
        elif token.kind == "text":
            node = self.text(token.value)
        elif token.kind == "begin":
            node = self.environment(token.value)
        elif token.kind == "cmd":
            node = self.command(token.value)
        else:
            node = self.bracket(token.value)
        self.leave()
        return node

    def text(self, words: str) -> Node:
        stripped = words.strip(" .,:")
        if is_value(words):
            inner = type(self)(tokenize(stripped))
            inner.depth = self.depth
            node = inner.sequence()
            if inner.token is None:
                return node
        if stripped.lower() in IGNORED or stripped.lower() in NUMBER_WORDS or not stripped:
            return self.passed_over(stripped)
        if all(word.lower() in IGNORED for word in stripped.split()) and self.can_start(self.token):
            return self.signed()
        return Sym(stripped) if len(stripped) == 1 else Text(stripped)

    def passed_over(self, word: str) -> Node:
        if word.lower() in NUMBER_WORDS:
            value = NUMBER_WORDS[word.lower()]
            after = self.peek() if self.token is not None and self.token.value == "-" else self.token
            if 20 <= value < 100 and after is not None and 0 < NUMBER_WORDS.get(after.value.lower(), 0) < 10:
                self.at += 1 + (after is not self.token)
                value += NUMBER_WORDS[after.value.lower()]
            return Num(Fraction(value))
        if self.token is not None and (self.can_start(self.token) or self.token.value in ("+", "-", ":", "\\pm")):
            self.accept(":")
            return self.signed()
        if self.token is not None and self.token.value == "," and self.can_start(self.peek()):
            self.advance()
            return self.signed()
        return Sym(word) if len(word) == 1 else Text(word)

    def word(self, token: Token) -> Node:
        name = token.value
        if name in CONSTANTS:
            return Sym(CONSTANTS[name])
        if name in FUNCTIONS:
            return self.function(name)
        if len(name) == 1:
            return self.letter(name)
        if name.lower() in IGNORED or name.lower() in NUMBER_WORDS:
            return self.passed_over(name)
        greek = {
            "theta",
            "alpha",
            "beta",
            "gamma",
            "delta",
            "lambda",
            "mu",
            "phi",
            "omega",
            "sigma",
            "rho",
            "epsilon",
            "tau",
        }
        if name in greek:
            return Sym(name)
        for prefix in GLUED:
            if name.startswith(prefix) and len(name) <= len(prefix) + 2:
                self.push_back(name[len(prefix) :])
                return Sym("pi") if prefix == "pi" else self.function(prefix)
        if len(name) <= 3 or (name.isupper() and len(name) <= 6):
            self.push_back(name[1:])
            return self.letter(name[0])
        if name.isalpha() and self.token is not None and self.token.value == "(" and not self.token.spaced:
            return Call(name.lower(), (self.power(),))
        raise ParseError(f"the word {name!r}")

    def push_back(self, rest: str) -> None:
        if rest:
            self.tokens.insert(self.at, Token("word", rest, False))

    def letter(self, name: str) -> Node:
        """A variable; `f(x)` is a call where f is a usual function's name or the whole left side of an equation."""
        token = self.token
        if token is not None and token.value == "(" and not token.spaced:
            if name == "C" and (chosen := self.chosen()) is not None:
                return chosen
            usual = name in ("f", "g", "h", "F", "G")
            after = self.peek(3)
            if usual or (
                after is not None
                and after.value in ("=", "<", ">", "\\le", "\\ge")
                and (end := self.peek(2))
                and end.value == ")"
            ):
                argument = self.power_argument()
                return Call(name, argument)
        return Sym(name)

    def chosen(self) -> Node | None:
        """C(5, 2) or C(2n, n) with two numbers, or the usual letters, in the brackets."""
        start = self.at
        arguments = self.power_argument()
        if len(arguments) == 2 and all(symbols(argument) <= {"n", "k", "m", "r"} for argument in arguments):
            return Call("binom", arguments)
        self.at = start
        return None

    def power_argument(self) -> tuple[Node, ...]:
        """What stands in the brackets of a call."""
        self.expect("(", "[", "{", "\\{")
        inner = self.sequence()
        if not (self.accept(")", "]", "}", "\\}")):
            raise ParseError("a bracket is missing")
        return inner.items if isinstance(inner, Seq) and not inner.open else (inner,)

    def command(self, name: str) -> Node:
        from evalkit.grading.latex.commands import parse_command

        return parse_command(self, name)

    def function(self, name: str) -> Node:
        from evalkit.grading.latex.commands import parse_function

        return parse_function(self, name, prefix=name in PREFIX_FUNCTIONS)

    def environment(self, name: str) -> Node:
        from evalkit.grading.latex.commands import parse_environment

        return parse_environment(self, name)

    def bracket(self, opening: str) -> Node:
        if opening == "...":
            return Sym("...")
        if opening == "|":
            return self.bars_to("|", "abs")
        if opening == "{":
            return self.group()
        if opening == "]":  # the open interval ]0, 1[
            inner = self.sequence()
            closing = self.advance().value
            if closing not in ("[", "]") or not isinstance(inner, Seq) or len(inner.items) != 2:
                raise ParseError("a bracket without its partner")
            return Seq("(", ")" if closing == "[" else "]", inner.items)
        if opening in _MATCHING:
            return self.enclosed(opening)
        raise ParseError(f"{opening!r} where a value is due")

    def bars_to(self, closing: str, name: str) -> Node:
        self.bars += 1
        inner = self.sum()
        self.bars -= 1
        self.expect(closing, "\\vert", "\\Vert", "\\rvert", "\\rVert", "\\|", "|")
        if (
            name == "abs"
            and self.token is not None
            and self.token.value == "|"
            and self.bars == 0
            and not self.can_start(self.peek())
        ):
            raise ParseError("bars that do not pair")
        return Call(name, (inner,))

    def group(self) -> Node:
        """{…}: a group of LaTeX, or the set that a plain text means by it."""
        if self.accept("}"):
            return Sym("emptyset") if self.token is None else self.atom()
        bars, self.bars = self.bars, 0
        inner = self.choose() or self.sequence()
        self.bars = bars
        self.expect("}")
        if isinstance(inner, Seq) and not inner.open and not (self.token and self.token.value in ("^", "_")):
            return Seq("{", "}", inner.items)
        return inner

    def choose(self) -> Node | None:
        """{n \\choose k} and {a \\over b}."""
        depth = 0
        for ahead in range(self.at, len(self.tokens)):
            value = self.tokens[ahead].value
            depth += (value == "{") - (value == "}")
            if depth < 0:
                break
            if depth == 0 and value in ("\\choose", "\\over"):
                above = self.sum()
                self.expect(value)
                return Call("binom" if value == "\\choose" else "/", (above, self.sum()))
        return None

    def enclosed(self, opening: str) -> Node:
        is_set = _MATCHING[opening] == "}"
        if self.accept("\\}", "\\rbrace", "}") if is_set else self.accept(_MATCHING[opening]):
            return Sym("emptyset") if is_set else Seq(opening, _MATCHING[opening], ())
        builder, self.in_set_builder = self.in_set_builder, is_set
        bars, self.bars = self.bars, 0
        inner = self.sequence()
        if is_set and self.accept("|", "\\mid", ":", "\\vert"):
            self.in_set_builder = False
            inner = Builder(inner, self.sequence())
        self.in_set_builder, self.bars = builder, bars
        if not self.at_closer():
            raise ParseError(f"{opening!r} is not closed")
        closing = {"\\}": "}", "\\rbrace": "}", "\\rangle": ")", "\\rbrack": "]"}.get(
            value := self.advance().value, value
        )
        if isinstance(inner, Builder):
            return inner
        items = inner.items if isinstance(inner, Seq) and not inner.open else (inner,)
        if len(items) == 1 and closing == ")" and opening in ("(", "\\lparen"):
            return (
                inner
                if not isinstance(inner, Num) or not (self.token and self.token.value == "_")
                else Seq("(", ")", items)
            )
        shape = "{" if is_set else "[" if opening in ("[", "\\lbrack") else "("
        return Seq(shape, closing, items)
