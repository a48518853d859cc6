"""The cursor over an answer's tokens, and the grammar that the modules around the parser call back into."""

from abc import ABC, abstractmethod

from evalkit.grading.latex.nodes import Node, ParseError
from evalkit.grading.latex.tokens import Token
from evalkit.grading.latex.vocabulary import (
    CONNECTING_WORDS,
    DIVIDE,
    RELATIONS,
    SET_OPERATORS,
    TIMES,
)

MAX_DEPTH = 300
_CLOSERS = frozenset(
    {")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\rbrace", "\\rvert", "\\rVert", "\\rbrack"}
)
_INFIX = {
    ",",
    ";",
    ":",
    "/",
    "^",
    "_",
    "!",
    "%",
    "&",
    "\\\\",
    "\\mid",
    "\\colon",
    "\\choose",
    "\\over",
    "\\pm",
    "\\mp",
    "\\bmod",
    "\\mod",
    "'",
    "?",
    ".",
    '"',
    "`",
    "@",
    "~",
}


class Cursor(ABC):
    """Where the parser stands, and what can come next."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.bars = 0
        self.integrals = 0
        self.right_side = False
        self.scripts = 0
        self.in_matrix = False
        self.in_set_builder = False

    # the cursor

    @property
    def token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    @property
    def previous(self) -> Token | None:
        return self.tokens[self.at - 1] if self.at else None

    def peek(self, ahead: int = 1) -> Token | None:
        return self.tokens[self.at + ahead] if 0 <= self.at + ahead < len(self.tokens) else None

    def advance(self) -> Token:
        token = self.token
        if token is None:
            raise ParseError("the answer breaks off")
        self.at += 1
        return token

    def accept(self, *values: str) -> bool:
        if self.token is not None and self.token.value in values and self.token.kind in ("op", "cmd"):
            self.at += 1
            return True
        return False

    def expect(self, *values: str) -> None:
        if not self.accept(*values):
            raise ParseError(f"{values[0]!r} is missing")

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ParseError("nested too deeply")

    def leave(self) -> None:
        self.depth -= 1

    @abstractmethod
    def sequence(self) -> Node: ...
    @abstractmethod
    def relation(self) -> Node: ...
    @abstractmethod
    def sum(self) -> Node: ...
    @abstractmethod
    def product(self) -> Node: ...
    @abstractmethod
    def signed(self) -> Node: ...
    @abstractmethod
    def mixed(self) -> Node: ...
    @abstractmethod
    def atom(self) -> Node: ...
    @abstractmethod
    def power(self) -> Node: ...
    @abstractmethod
    def letter(self, name: str) -> Node: ...
    @abstractmethod
    def primed(self, node: Node, order: int) -> Node: ...
    @abstractmethod
    def group(self) -> Node: ...
    @abstractmethod
    def choose(self) -> Node | None: ...
    @abstractmethod
    def enclosed(self, opening: str) -> Node: ...
    @abstractmethod
    def bars_to(self, closing: str, name: str) -> Node: ...
    @abstractmethod
    def power_argument(self) -> tuple[Node, ...]: ...
    @abstractmethod
    def push_back(self, rest: str) -> None: ...
    @abstractmethod
    def is_connector(self, token: Token) -> bool: ...

    def at_closer(self) -> bool:
        token = self.token
        return token is not None and (
            (token.kind in ("op", "cmd") and token.value in _CLOSERS)
            or token.kind == "end"
            or (token.value == "|" and self.bars > 0)
        )

    def can_start(self, token: Token | None) -> bool:
        """Whether a factor can begin with this token."""
        if token is None or token.kind == "end":
            return False
        if token.kind in ("num", "word", "text", "begin"):
            return not (token.kind == "word" and token.value.lower() in CONNECTING_WORDS)
        value = token.value
        if value in ("|", "\\vert", "\\Vert", "\\|"):
            return self.bars == 0 and not self.in_set_builder
        return not (
            value in _CLOSERS
            or value in _INFIX
            or value in TIMES
            or value in DIVIDE
            or value in RELATIONS
            or value in SET_OPERATORS
            or value == "\\not"
        )
