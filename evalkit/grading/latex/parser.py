"""A Pratt-style parser: tokens -> syntax tree. Depth and length are limited, nothing is evaluated."""

from evalkit.grading.latex.atoms import AtomParser
from evalkit.grading.latex.nodes import Call, Node, ParseError, PlusMinus, Quantity, Ratio, Rel, Seq, SetOp
from evalkit.grading.latex.tokens import Token, clean, join_thousands, tokenize
from evalkit.grading.latex.vocabulary import (
    CONNECTING_WORDS,
    CONNECTORS,
    DIVIDE,
    MULTIPLES,
    NUMBER_WORDS,
    PARTS,
    RELATIONS,
    SET_OPERATORS,
    TIMES,
)


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


class Parser(AtomParser):
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
                break
            self.advance()
        return found

    def is_connector(self, token: Token) -> bool:
        return (
            (token.kind == "word" and token.value.lower() in CONNECTING_WORDS)
            or (token.kind == "text" and token.value.strip(" ,.:").lower() in CONNECTORS)
            or token.value in ("\\land", "\\wedge", "\\lor", "\\vee", "和", "或", "و")
        )

    def relation(self) -> Node:
        self.enter()
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
            args.append(self.set_expression())
        self.leave()
        return Rel(tuple(ops), tuple(args)) if ops else first

    def relation_op(self, token: Token) -> str:
        if token.value == "\\not" and (after := self.peek()) is not None:
            return {"=": "!=", "in": "notin"}.get(RELATIONS.get(after.value, ""), "")
        return RELATIONS.get(token.value, "")

    def set_expression(self) -> Node:
        node = self.ratio()
        while (token := self.token) is not None and (
            token.value in SET_OPERATORS or (token.value in ("U", "u") and token.kind == "word" and _is_set(node))
        ):
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
        while (token := self.token) is not None:
            if token.value in TIMES:
                self.advance()
                node = Call("*", (node, self.signed()))
            elif token.value in DIVIDE:
                self.advance()
                node = Call("/", (node, self.signed()))
            elif token.value in ("\\bmod", "\\mod") or (token.kind == "word" and token.value == "mod"):
                self.advance()
                node = Call("mod", (node, self.signed()))
            elif (
                token.kind in ("word", "text") and (multiple := MULTIPLES.get(token.value.strip().lower())) is not None
            ):
                self.advance()
                node = Call("*", (node, self.number(str(multiple))))
            elif self.part(token):
                self.advance()
                node = Call("/", (node, self.number(str(PARTS.get(token.value.lower().removesuffix("s"), 2)))))
            elif (unit := self.unit(node)) is not None:
                node = self.compound(Quantity(node, unit))
            elif self.implicit_factor(token):
                node = Call("*", (node, self.mixed()))
            else:
                break
        return node

    def part(self, token: Token) -> bool:
        """Whether a fraction's name follows a number in words: two thirds."""
        word, before = token.value.lower(), self.previous
        named = word in PARTS or word.removesuffix("s") in PARTS
        return named and token.kind == "word" and before is not None and before.value.lower() in NUMBER_WORDS

    def implicit_factor(self, token: Token) -> bool:
        """Whether a factor follows without a sign. Two plain numbers in a row are no product."""
        if token.kind == "num" and self.previous is not None and self.previous.kind == "num":
            return self.fraction_after() is not None
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
                value = Call("/", (self.number(str(numerator)), self.number(str(denominator))))
                return self.postfix(Call("+", (self.number(whole.value), value)))
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
