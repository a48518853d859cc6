"""A recursive-descent parser: tokens -> syntax tree. Depth and length are limited, nothing is evaluated."""

from fractions import Fraction

from evalkit.grading.latex.commands import parse_command, parse_environment, parse_function
from evalkit.grading.latex.cursor import Cursor
from evalkit.grading.latex.nodes import (
    Builder,
    Call,
    Node,
    Num,
    ParseError,
    PlusMinus,
    Quantity,
    Ratio,
    Rel,
    Seq,
    SetOp,
    Sym,
    Text,
    number,
    symbols,
)
from evalkit.grading.latex.quantities import compound, is_value, unit
from evalkit.grading.latex.suffixes import postfix
from evalkit.grading.latex.tokens import Token, clean, join_thousands, tokenize
from evalkit.grading.latex.vocabulary import (
    CONNECTING_WORDS,
    CONNECTORS,
    CONSTANTS,
    DIVIDE,
    FUNCTIONS,
    GLUED,
    GREEK,
    IGNORED,
    MARKS,
    MULTIPLES,
    NUMBER_WORDS,
    OPERATORS,
    PARTS,
    POINTS,
    PREFIX_FUNCTIONS,
    PROSE,
    RELATIONS,
    SET_OPERATORS,
    TIMES,
)

_MATCHING = {"(": ")", "[": "]", "\\{": "}", "\\langle": ")", "\\lbrace": "}", "\\lbrack": "]", "\\lparen": ")"}


def parse(text: str, *, thousands_in_brackets: bool = False) -> Node:
    """The syntax tree of an answer. Raises ParseError."""
    cleaned = join_thousands(clean(text), in_brackets=thousands_in_brackets)
    parser = Parser(tokenize(cleaned))
    try:
        node = parser.sequence()
    except (RecursionError, OverflowError, ValueError, ZeroDivisionError) as error:
        raise ParseError(str(error)) from error
    if parser.token is not None:
        raise ParseError(f"nothing can follow before {parser.token.value!r}")
    return node


class Parser(Cursor):
    """Precedence, loosest first: lists, relations, set operators, ratios, sums, products, powers, atoms."""

    def sequence(self) -> Node:
        """Comma lists within semicolon, "and" or line lists."""
        self.enter()
        groups: list[list[Node]] = [[self.relation()]]
        strong: list[str] = []
        while (separator := self.separator()) is not None:
            if self.token is None or self.at_closer() or self.token.value in ("&", "\\\\"):
                break  # a trailing comma
            if separator == ",":
                groups[-1].append(self.relation())
            else:
                strong.append(separator)
                groups.append([self.relation()])
        self.leave()
        return _grouped(groups, strong)

    def separator(self) -> str | None:
        """Pass over `,` `;` `and` `or` (and their mixtures) and say which it was."""
        found: str | None = None
        while (token := self.token) is not None:
            if token.kind == "op" and token.value in ",;":
                found = token.value if found in (None, ",") else found
            elif self.is_connector(token):
                found = found if found == "," else "and"
            elif token.value in ("\\\\", "&") and not self.in_matrix:
                found = found or ","
            else:
                if found is None and self.starts_anew(token):
                    found = ","
                break
            self.advance()
        return found

    def starts_anew(self, token: Token) -> bool:
        """Whether another answer begins here without a comma: behind a wide space, or `b = 2` behind `a = 1`."""
        if not self.can_start(token) or self.is_connector(token):
            return False
        return token.gap or (token.spaced and self.right_side and self.is_assignment())

    def is_assignment(self) -> bool:
        """Whether a name with its equals sign comes next: `b = `, `y_2 = `."""
        token, ahead = self.token, 1
        named = token is not None and (
            (token.kind == "word" and len(token.value) == 1) or (token.kind == "cmd" and token.value[1:] in GREEK)
        )
        if not named:
            return False
        while ((after := self.peek(ahead)) is not None and after.value in ("_", "{", "}", "'")) or (
            after is not None and after.kind == "num" and ahead > 1
        ):
            ahead += 1
        return after is not None and after.value == "="

    def is_connector(self, token: Token) -> bool:
        return (
            (token.kind == "word" and token.value.lower() in CONNECTING_WORDS)
            or (token.kind == "text" and token.value.strip(" ,.:").lower() in CONNECTORS)
            or token.value in ("\\land", "\\wedge", "\\lor", "\\vee", "和", "或", "و")
        )

    def relation(self) -> Node:
        self.enter()
        self.right_side = False
        first = self.set_expression()
        args, ops = [first], []
        while (token := self.token) is not None and token.kind in ("op", "cmd") and self.relation_op(token):
            ops.append(self.relation_op(token))
            self.advance()
            if token.value == "\\not":
                self.advance()
            if ops[-1] in ("~", "=") and (self.token is None or self.at_closer()):
                ops.pop()
                break
            if self.token is not None and self.token.value == "=" and ops[-1] in ("<", ">"):
                ops[-1] += "="
                self.advance()
            right_side, self.right_side = self.right_side, ops[-1] == "="
            args.append(self.set_expression())
            if not (self.token is not None and self.starts_anew(self.token)):
                self.right_side = right_side
        self.leave()
        return Rel(tuple(ops), tuple(args)) if ops else first

    def relation_op(self, token: Token) -> str:
        if token.value == "\\mid":
            return "" if self.in_set_builder else "divides"
        if token.value == "\\not" and (after := self.peek()) is not None:
            negated = RELATIONS.get(after.value, "")
            return {"=": "!=", "in": "notin"}.get(negated, negated and f"not {negated}")
        return RELATIONS.get(token.value, "")

    def set_expression(self) -> Node:
        node = self.ratio()
        while (token := self.token) is not None and (token.value in SET_OPERATORS or self.unites(token, node)):
            self.advance()
            right = self.ratio()
            node = SetOp(SET_OPERATORS.get(token.value, "union"), (node, right))
        return node

    def ratio(self) -> Node:
        parts = [self.sum()]
        while (token := self.token) is not None and token.value in (":", "\\colon") and self.can_start(self.peek()):
            if self.in_set_builder:
                break
            self.advance()
            parts.append(self.sum())
        return Ratio(tuple(parts)) if len(parts) > 1 else parts[0]

    def sum(self) -> Node:
        self.enter()
        token = self.token
        if token is not None and token.value in ("\\pm", "\\mp"):
            self.advance()
            node: Node = PlusMinus(None, self.product(), 1 if token.value == "\\pm" else -1)
        else:
            node = self.product()
        while (token := self.token) is not None and token.value in ("+", "-", "\\pm", "\\mp"):
            self.advance()
            if token.value == "+" and self.token is not None and self.token.value == "-":
                self.advance()
                token = Token("op", "\\mp" if token.value == "-" else "-", False)
            right = self.product()
            if token.value == "+":
                node = Call("+", (node, right))
            elif token.value == "-" and isinstance(right, Seq) and right.open == "{":
                node = SetOp("difference", (node, right))
            elif token.value == "-":
                node = Call("+", (node, Call("neg", (right,))))
            else:
                node = PlusMinus(node, right, 1 if token.value == "\\pm" else -1)
        self.leave()
        return node

    def product(self) -> Node:
        node = self.signed()
        while (token := self.token) is not None and not self.unites(token, node):
            if token.value in TIMES:
                self.advance()
                node = Call("*", (node, self.signed()))
            elif token.value in DIVIDE:
                self.advance()
                node = Call("/", (node, self.signed()))
            elif self.operator(token):
                self.advance()
                node = Call(token.value[1:], (node, self.signed()))
            elif token.value in ("\\bmod", "\\mod") or (token.kind == "word" and token.value == "mod"):
                self.advance()
                node = Call("mod", (node, self.signed()))
            elif (
                token.kind in ("word", "text") and (multiple := MULTIPLES.get(token.value.strip().lower())) is not None
            ):
                self.advance()
                node = Call("*", (node, number(str(multiple))))
            elif self.part(token):
                self.advance()
                node = Call("/", (node, number(str(PARTS.get(token.value.lower().removesuffix("s"), 2)))))
            elif (behind := unit(self, node)) is not None:
                node = compound(self, Quantity(node, behind))
            elif self.starts_anew(token):
                break
            elif self.implicit_factor(token):
                node = Call("*", (node, self.mixed()))
            else:
                break
        return node

    def operator(self, token: Token) -> bool:
        """Whether an operator without a value joins two factors: f \\circ g, but not 90^\\circ or a \\triangle ABC."""
        after = self.peek()
        letters = after is not None and after.kind == "word" and len(after.value) > 2
        return token.value in OPERATORS and self.can_start(after) and not (token.value[1:] in MARKS and letters)

    def unites(self, token: Token, left: Node) -> bool:
        """Whether the letter U is written for a union: between two intervals or sets."""
        after = self.peek()
        letter = token.kind in ("word", "text") and token.value.strip() in ("U", "u")
        return letter and _is_set(left) and after is not None and after.value in ("(", "[", "]", "{", "\\{")

    def part(self, token: Token) -> bool:
        """Whether a fraction's name follows a number in words: two thirds."""
        word, before = token.value.lower(), self.previous
        named = word in PARTS or word.removesuffix("s") in PARTS
        return named and token.kind == "word" and before is not None and before.value.lower() in NUMBER_WORDS

    def implicit_factor(self, token: Token) -> bool:
        """Whether a factor follows without a sign. Two plain numbers in a row are no product."""
        if token.kind == "num" and self.previous is not None and self.previous.kind == "num":
            powers = any(at is not None and at.value == "^" for at in (self.peek(-2), self.peek(1)))
            return powers or self.fraction_after() is not None
        return self.can_start(token) and not self.is_connector(token) and token.value not in ("+", "-")

    def signed(self) -> Node:
        self.enter()
        token = self.token
        if token is not None and token.value in ("-", "+"):
            self.advance()
            node = self.signed()
            node = node if token.value == "+" else Call("neg", (node,))
        else:
            node = self.mixed()
        self.leave()
        return node

    def mixed(self) -> Node:
        """`2\\frac{1}{2}` and `2 1/2` are mixed numbers."""
        whole = self.token
        if (
            whole is not None
            and whole.kind == "num"
            and whole.value.isdigit()
            and (end := self.fraction_after()) is not None
        ):
            numerator, denominator, length = end
            if denominator and numerator < denominator:
                for _ in range(length):
                    self.advance()
                value = Call("/", (number(str(numerator)), number(str(denominator))))
                return postfix(self, Call("+", (number(whole.value), value)))
        return self.power()

    def fraction_after(self) -> tuple[int, int, int] | None:
        """(numerator, denominator, tokens in all) of a proper fraction behind the whole number at hand."""
        ahead = self.tokens[self.at + 1 : self.at + 8]
        kinds = [token.value if token.kind != "num" else "n" for token in ahead]
        numbers = [token.value for token in ahead]
        if kinds[:1] == ["\\frac"]:
            if kinds[1:7] == ["{", "n", "}", "{", "n", "}"] and (numbers[2] + numbers[5]).isdigit():
                return int(numbers[2]), int(numbers[5]), 8
            if kinds[1:2] == ["n"] and len(numbers[1]) == 2 and numbers[1].isdigit():
                return int(numbers[1][0]), int(numbers[1][1]), 3
            if kinds[1:5] == ["{", "n", "}", "n"] and len(numbers[4]) == 1 and (numbers[2]).isdigit():
                return int(numbers[2]), int(numbers[4]), 6
            return None
        if kinds[:3] == ["n", "/", "n"] and ahead[0].spaced and (numbers[0] + numbers[2]).isdigit():
            return int(numbers[0]), int(numbers[2]), 4
        return None

    def power(self) -> Node:
        return postfix(self, self.atom())

    # atoms

    def atom(self) -> Node:
        self.enter()
        token = self.advance()
        if token.kind == "num":
            node: Node = number(token.value)
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
        if len(stripped) > 3 and self.token is not None and self.token.value == "=":
            return Text(stripped.lower())  # \\text{Width} = 3
        if self.in_matrix and stripped.lower() in ("if", "for", "when", "where"):
            return self.signed()  # the condition of a case
        if stripped.lower() in IGNORED or stripped.lower() in NUMBER_WORDS or not stripped:
            return self.passed_over(stripped)
        if all(word.lower() in IGNORED for word in stripped.split()) and self.can_start(self.token):
            return self.signed()
        if stripped.lower() == "infinity":
            return Sym("oo")
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
        named = len(name) > 3 and not name.isupper() and name not in GREEK
        if named and self.token is not None and self.token.value == "=":
            return Text(name.lower())  # Width = 3
        if self.scripts or self.is_glued(token):
            self.push_back(name[1:])
            return self.letter(name[0])
        if name.lower() in PROSE and not name.isupper():
            raise ParseError(f"the word {name!r}")
        if name.lower() in IGNORED or name.lower() in NUMBER_WORDS:
            return self.passed_over(name)
        if name in GREEK and len(name) > 1:
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

    def is_glued(self, token: Token) -> bool:
        """Whether a short run of letters stands at once behind a number or a bracket: the `it` of 2it."""
        before = self.tokens[self.at - 2] if self.at > 1 else None
        return len(token.value) == 2 and not token.spaced and before is not None and before.kind == "num"

    def push_back(self, rest: str) -> None:
        if rest:
            self.tokens.insert(self.at, Token("word", rest, False))

    def letter(self, name: str) -> Node:
        """A variable, or a function with its argument where the letter can only be one (`is_called`)."""
        token = self.token
        if token is not None and token.value == "(" and not token.spaced:
            if name == "C" and (chosen := self.chosen()) is not None:
                return chosen
            if self.is_called(name):
                return Call(name, self.power_argument())
        return Sym(name)

    def is_called(self, name: str) -> bool:
        """Whether a name before a bracket is a function: f(…); u(0), u(x), u(x, t); the whole left side u(t) = …."""
        if name in ("f", "g", "h", "F", "G"):
            return True
        if name in CONSTANTS.values():
            return False
        inside = self.tokens[self.at + 1 : self.at + 12]
        end = next((at for at, token in enumerate(inside) if token.value == ")"), 0)
        behind = inside[end + 1] if end and end + 1 < len(inside) else None
        if not end or (behind is not None and behind.value in ("^", "!", "(", "\\frac")):
            return False
        if name in POINTS and end > 1 and all(token.kind == "num" or token.value in ",-" for token in inside[:end]):
            return False  # the point A(1, 2)
        negative = inside[0].value == "-" and end == 2
        named = all(
            token.kind == "num" or (token.kind == "word" and len(token.value) == 1) or token.value[1:] in (*GREEK, "pi")
            for token in inside[negative:end:2]
        )
        return named and all(token.value == "," for token in inside[negative + 1 : end : 2])

    def primed(self, node: Node, order: int) -> Node:
        """f' or f'(0): a derivative, with the argument where there is one."""
        while self.accept("'"):
            order += 1
        bracket = self.token is not None and self.token.value == "(" and not self.token.spaced
        if isinstance(node, Sym) and bracket and self.is_called(node.name):
            return Call(node.name + "'" * order, self.power_argument())
        for _ in range(order):
            node = Call("prime", (node,))
        return node

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
        opening = self.token
        self.expect("(", "[", "{", "\\{")
        inner = self.sequence()
        self.expect({"(": ")", "[": "]", "{": "}"}.get(opening.value if opening else "", "\\}"))
        return inner.items if isinstance(inner, Seq) and not inner.open else (inner,)

    def command(self, name: str) -> Node:
        return parse_command(self, name)

    def function(self, name: str) -> Node:
        return parse_function(self, name, prefix=name in PREFIX_FUNCTIONS)

    def environment(self, name: str) -> Node:
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
        if len(items) == 1 and closing != ("}" if is_set else _MATCHING[opening]):
            raise ParseError("a bracket without its partner")
        if len(items) == 1 and closing == ")" and opening in ("(", "\\lparen"):
            return (
                inner
                if not isinstance(inner, Num) or not (self.token and self.token.value == "_")
                else Seq("(", ")", items)
            )
        shape = "{" if is_set else "[" if opening in ("[", "\\lbrack") else "("
        return Seq(shape, closing, items)


def _is_set(node: Node) -> bool:
    return isinstance(node, SetOp) or (isinstance(node, Seq) and bool(node.open))


def _grouped(groups: list[list[Node]], strong: list[str]) -> Node:
    if not strong:
        items = groups[0]
        return items[0] if len(items) == 1 else Seq("", "", tuple(items))
    width = len(groups[0])
    assignments = all(isinstance(item, Rel) for group in groups for item in group)
    if width > 1 and all(len(group) == width for group in groups) and (";" in strong or assignments):
        return Seq("", "", tuple(Seq("(", ")", tuple(group)) for group in groups))
    return Seq("", "", tuple(item for group in groups for item in group))
