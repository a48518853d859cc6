"""Conditions that stand behind a value: "2^n for n > 1", "0 if x < 2, x otherwise", "f(x) = cx, where c is real"."""

import re

from evalkit.grading.equality.quantities import is_property
from evalkit.grading.equality.sentences import flat
from evalkit.grading.latex.nodes import (
    Call,
    Given,
    Node,
    ParseError,
    Quantity,
    Rel,
    Seq,
    Sym,
    Text,
    substituted,
    symbols,
)
from evalkit.grading.latex.parser import parse
from evalkit.grading.latex.vocabulary import WRAPPER_COMMAND

_WORDS = (
    r"if(?: and only if)?|where|whenever|when|such that|with|provided(?: that)?|given(?: that)?|for which"
    r"|for(?: (?:all|any|every|each|some))?|otherwise|(?:any|all)(?= (?:real|integer|positive|natural|nonnegative))"
    r"|\\forall"
)
_WRAPPED = re.compile(rf"{WRAPPER_COMMAND}\{{[\s,;(]*({_WORDS})(?![A-Za-z])([^{{}}]*)\}}", re.IGNORECASE)
_BARE = re.compile(rf"(?<![A-Za-z\\{{])({_WORDS})(?![A-Za-z])", re.IGNORECASE)
_BRACKETED = re.compile(
    r"""(?<=[\s$])\(\s*\$?
    ([^()]*?(?:[<>=]|\\(?:geq?|leq?|neq?|in|not)(?![a-z]))[^()]*)  # a relation: (a > 2)
    \)(?=[\s$.,;]*(?:$|\n))""",
    re.VERBOSE,
)
_STRICT = ("if", "when", "otherwise", "provided", "given")
_ALL = re.compile(
    rf"""
    ^[\s$]*(?:{WRAPPER_COMMAND}\{{)?\s*(?:the\ set\ of\ )?all
    (?:\s+(?:pairs|triples|tuples|functions|numbers|points))?\s*\}}?(?![A-Za-z])
    """,
    re.VERBOSE,
)
_EMPTY = re.compile(
    r"""(?<![A-Za-z\\])(?:
    all|any|every|each|some|the|an?(?=\ [a-z]{3})|is|are|of|that|we\ have|it  # words that say nothing
    |constants?|arbitrary|fixed|real|numbers?|variables?|values?|parameters?
    )(?![A-Za-z])""",
    re.VERBOSE,
)
_EVERYWHERE = frozenset({"RR", "ZZ", "NN", "CC", "QQ"})
LONGEST = 1000  # characters of an answer with conditions
MARK, SHUT = "\ue000", "\ue001"


def conditioned(text: str, *, thousands_in_brackets: bool = False) -> Node | None:
    """The tree of a text with conditions in words or brackets: `Given`, or cases; None where it has none such, or where
    its values cannot be read.
    """
    marked = _marked(text) if len(text) <= LONGEST else ""
    if MARK not in marked:
        return None
    cases: list[tuple[str, list[str], str]] = []  # values, conditions, the word
    before = ""
    for piece in _pieces(marked):
        if MARK not in piece:
            if cases:
                cases[-1][1].append(piece)
            else:
                before = f"{before}, {piece}" if before else piece
            continue
        value, *conditions = re.sub(r"^\s*and\s+", "", piece).split(MARK)
        word = conditions[0].partition(SHUT)[0]
        told = [condition.partition(SHUT)[2] for condition in conditions]
        if not value.strip(" $,;") and cases:
            cases[-1][1].extend(told)
        elif value.strip(" $,;") or before:
            cases.append((", ".join(filter(None, (before, value.strip(" $,;")))), told, word))
            before = ""
        else:
            return None
    try:
        if len(cases) > 1 and all(word.startswith("for") and not _conditions(told) for _, told, word in cases):
            return _parsed(", ".join(value for value, _, _ in cases), thousands_in_brackets)
        if len(cases) > 1:
            return _cases(cases, thousands_in_brackets)
        value, told, word = cases[0]
        restrictions, quantified = _told(told)
        return _defined(
            _parsed(value, thousands_in_brackets), restrictions, quantified, strict=word.startswith(_STRICT)
        )
    except (ParseError, IndexError):
        return None


def _defined(value: Node, conditions: tuple[Node, ...], quantified: frozenset[str], *, strict: bool) -> Node:
    """The value with what its conditions define put in: "\\lfloor cn \\rfloor, where c = \\sqrt 5"."""
    rest: list[Node] = []
    for condition in conditions:
        name = condition.args[0] if isinstance(condition, Rel) and condition.ops == ("=",) else None
        if isinstance(condition, Rel) and isinstance(name, Sym) and name.name in symbols(value) and not strict:
            value = substituted(value, {name: condition.args[1]})
        else:
            rest.append(condition)
    return Given(value, tuple(rest), strict, quantified)


def _cases(cases: list[tuple[str, list[str], str]], thousands_in_brackets: bool) -> Node:
    parts: list[Node] = []
    for value, told, word in cases:
        condition = Text("otherwise") if word == "otherwise" else _joined(_conditions(told))
        node = _parsed(value, thousands_in_brackets)
        if isinstance(node, Rel) and node.ops == ("=",) and isinstance(node.args[0], Call):
            node = node.args[1]  # f(x) = 0 for x < 2, f(x) = x for x >= 2
        parts += [node, condition]
    return Call("cases", tuple(parts))


def _joined(conditions: tuple[Node, ...]) -> Node:
    return conditions[0] if len(conditions) == 1 else Seq("", "", conditions)


def _parsed(text: str, thousands_in_brackets: bool) -> Node:
    text = _ALL.sub(" ", text)
    return parse(re.sub(r"(?<![\\])\$", " ", text).strip(" ,;:"), thousands_in_brackets=thousands_in_brackets)


def _marked(text: str) -> str:
    """The text with each word that begins a condition between two marks, brackets and braces left alone."""
    text = _WRAPPED.sub(lambda match: f" {MARK}{match[1].lower()}{SHUT} \\text{{{match[2]}}} ", text)
    text = _BRACKETED.sub(lambda match: f" {MARK}where{SHUT} {match[1]} ", text)
    found: list[str] = []
    start = 0
    for match in _BARE.finditer(text):
        if MARK in text[max(0, match.start() - 1) : match.end()] or _depth(text, match.start(1)):
            continue
        found.append(text[start : match.start()])
        found.append(f" {MARK}{match[1].lower()}{SHUT} ")
        start = match.end()
    return "".join([*found, text[start:]])


def _depth(text: str, at: int) -> int:
    before = text[:at]
    return sum(map(before.count, "([{")) - sum(map(before.count, ")]}"))


def _pieces(text: str) -> list[str]:
    """The parts between commas, semicolons and line ends outside all brackets."""
    pieces, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and char in ",;\n":
            if text[at - 1 : at + 1] != "\\" + char:
                pieces.append(text[start:at])
            else:
                pieces.append(text[start : at - 1])
            start = at + 1
    return [piece for piece in [*pieces, text[start:]] if piece.strip(" $\\.")]


def _conditions(told: list[str]) -> tuple[Node, ...]:
    return _told(told)[0]


def _told(told: list[str]) -> tuple[tuple[Node, ...], frozenset[str]]:
    """The conditions as trees (what cannot be read as its words), and the variables that they let take every value."""
    found: list[Node] = []
    for condition in told:
        text = flat(condition).strip(" .,;:")
        if not text:
            continue
        bare = re.sub(r"\s+", " ", _EMPTY.sub(" ", text)).strip(" .,;:")
        bare = re.sub(r"(?<=\d) integers?$", "", bare)  # c >= 0 is an integer
        try:
            node: Node = parse(bare) if bare else Text("")
        except ParseError:
            node = Text(re.sub(r"[\s$]+", " ", bare).casefold())
        found.extend(node.items if isinstance(node, Seq) and not node.open else (node,))
    quantified = frozenset[str]().union(*(_variables(node) for node in found))
    return tuple(node for node in found if not is_harmless(node)), quantified


def is_harmless(node: Node) -> bool:
    """Whether a condition says no more than what kind of number a variable is: x \\in \\mathbb{R}, "all real x"."""
    if isinstance(node, Sym | Seq) or (isinstance(node, Text) and not node.words):
        return True
    return (
        isinstance(node, Rel)
        and node.ops == ("in",)
        and isinstance(node.args[1], Sym)
        and node.args[1].name in _EVERYWHERE
    )


_KINDS = re.compile(
    r"""positive|nonnegative|non-negative|negative|natural|integers?|rational|complex|nonzero|whole
    |[a-z]  # the variable""",
    re.VERBOSE,
)


def is_domain(node: Node) -> bool:
    """Whether a condition only says which values a variable may have: x > 0, c \\ne -1, "a is a positive integer"."""
    if isinstance(node, Text):
        return all(_KINDS.fullmatch(word) for word in re.findall(r"[^\s,]+", node.words))
    if isinstance(node, Quantity):  # k integer
        return isinstance(node.value, Sym) and all(_KINDS.fullmatch(word) for word in node.unit.split())
    return isinstance(node, Rel) and set(node.ops) <= {"<", ">", "<=", ">=", "!=", "in"}


_ORDERS = frozenset({"<", ">", "<=", ">=", "!=", "in", "notin"})
_WHOLE = frozenset("nmkijNMK")


def with_conditions(node: Node) -> Node:
    """A list whose last items restrict variables of the ones before as `Given`: `f(x) = 1/x, x > 0`."""
    if not (isinstance(node, Seq) and not node.open and len(node.items) > 1):
        return node
    at = next((at for at, item in enumerate(node.items) if _restricts(item)), 0)
    values, rest = node.items[:at], node.items[at:]
    if not at:
        others = [
            item for item in node.items if not (isinstance(item, Rel) and item.ops == ("in",) and is_harmless(item))
        ]
        same = len({_variables(item) for item in node.items}) == 1 and _variables(node.items[0]) <= _WHOLE
        return others[0] if len(others) == 1 and same else node  # n >= 2, n in Z
    named = {item.args[0] for item in values if isinstance(item, Rel)}
    free = frozenset().union(*(symbols(value) for value in values))
    restricted = [_variables(item) for item in rest]
    if not all(_restricts(item) for item in rest) or any(not names <= free for names in restricted):
        return node
    if any(Sym(name) in named for names in restricted for name in names):
        return node  # n = 1, n >= 3
    value = values[0] if len(values) == 1 else Seq("", "", values)
    quantified = frozenset[str]().union(*restricted)
    return Given(value, tuple(item for item in rest if not is_harmless(item)), quantified=quantified)


def _variables(node: Node) -> frozenset[str]:
    return frozenset(name for name in symbols(node) if name[:2] not in _EVERYWHERE)


def _restricts(node: Node) -> bool:
    if isinstance(node, Quantity):
        return isinstance(node.value, Sym) and is_property(node.unit)  # p prime
    return isinstance(node, Rel) and all(op in _ORDERS for op in node.ops)
