"""Find expressions that stand in a text without delimiters: `2 \\sqrt{3}`, `(-∞, -2) ∪ (3, ∞)`, `x ≥ 3`.

A text is read as tokens; tokens of mathematics that follow each other on a line are one expression.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.grading.latex.units import measure
from evalkit.grading.latex.vocabulary import (
    CONSTANTS,
    FUNCTIONS,
    GREEK,
    OPERATORS,
    RELATIONS,
    SET_OPERATORS,
    TIMES,
    words,
)

LETTER = r"[A-Za-zÀ-ÖØ-öø-ɏ\u0300-\u036fͰ-ӿ]"  # of a word in an alphabet: an umlaut belongs to its word
GROUPED = r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?![\d,.]*\d)"  # 70 000
# "or" and "and" between two statements in a formula
CONNECTOR = (
    r"(?:\\(?:text|textbf|textrm|mbox)\s*\{[\s~]*,?[\s~]*(?:or|and|ou|et|oder|und|lub|veya|ve|atau|dan|hoặc|và|eller|och|или|або"
    r"|または|あるいは|또는|或者?|和|或是|以及|أو|या|और)[\s~]*\}|\\mathrm\s*\{[\s~]*(?:or|and)[\s~]*\}"
    r"|\\text\s*\{[\s~]+[oyeiиі][\s~]+\}|\\(?:lor|vee|land)(?![A-Za-z])|[∨∧])"
)
_NAMES = sorted(
    {name for name in (*FUNCTIONS, *GREEK, *CONSTANTS) if len(name) > 1}
    | {name[1:] for name in (*RELATIONS, *SET_OPERATORS, *OPERATORS, *TIMES) if re.fullmatch(r"\\[A-Za-z]+", name)}
    | words(
        "frac dfrac tfrac cfrac pm mp div lfloor rfloor lceil rceil circ degree pmod bmod lor land vee wedge mid "
        "emptyset varnothing vert lvert rvert langle rangle ldots cdots dots overline binom dbinom prime"
    )
)
_SPACING = r"\\(?:left|right|quad|qquad|big|Big|bigl|bigr|displaystyle)(?![A-Za-z])|\\[,;:!|]|[^\S\n]+|~"
_TOKEN = re.compile(
    rf"""
    (?P<blank>{_SPACING})
    |(?P<whole>\\begin\{{(?P<name>[pbvBV]?matrix|array|cases)\}}.{{0,600}}?\\end\{{(?P=name)\}})
    |(?P<bars>\|[^|\s][^|\n]{{0,20}}\|(?=\s?[<>=≤≥]))
    |(?P<text>\\(?:text|textbf|textrm|mathrm|mathbf|mathbb|mathcal|operatorname|mbox)\s?\{{[^{{}}\n]{{0,60}}\}})
    |(?P<command>\\(?:{"|".join(_NAMES)})(?![A-Za-z]))
    |(?P<number>(?:\\?\$\s?|[€£¥₹]\s?)?(?:{GROUPED}|\d+(?:,\d{{3}})*(?:\.\d+)?|\.\d+)
        (?:\s?\\?%|[abckmnpqrxyz]{{2,3}}(?!{LETTER}|\d))?)
    |(?P<function>(?<!{LETTER})(?:(?:sqrt|cbrt|exp|sin|sec|gcd|lcm|max|min|floor|ceil|arg|det)(?=\()
        |(?:ln|log|lg|cos|tan|cot|csc|arcsin|arccos|arctan|sinh|cosh|tanh)(?:\^-?\d|_\d+)?(?=\(|\s?[\dπ√]|\s[a-z][\s.)]|[\s.]?\Z)
        |pi(?!{LETTER})|mod(?=\s\d)))
    |(?P<letter>(?<!{LETTER})[A-Za-zα-ωΓ-Ω](?!{LETTER}|['’]\w))
    |(?P<sign>[±∓∪∩≤≥≠∈∉⊂⊆∖√πθ∞∅⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])
    |(?P<operator>(?!\*\*)[-+*/×·⋅∙÷=≈≡<>−–^!°]|(?<=[\w)\}}])_(?=[\w{{])|(?<=\d)[^\S\n]?:[^\S\n]?(?=\d))
    |(?P<open>\\?[(\[{{⌊⌈](?<!\\[(\[]))
    |(?P<close>\\?[)\]}}⌋⌉](?<!\\[)\]]))
    |(?P<comma>[,;])
    |(?P<break>{LETTER}+|\\[A-Za-z]+|.|\n)
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUED = re.compile(
    r"""
    [\d√π∞½⅓⅔¼¾⅕-⅞∅]|\\(?:pi|infty|emptyset|varnothing)|(?<![A-Za-z])pi(?![A-Za-z])|\\begin
    """,
    re.VERBOSE,
)
# handled by the pattern for numbers as well, so they make no expression by themselves
_PLAIN = frozenset(
    {"²", "³", "\\times", "\\cdot", "\\ldots", "\\dots", "\\cdots", "\\circ", "\\degree", "\\prime", "\\to"}
)
_RELATION = re.compile(
    r"""
    [=<>≤≥≠∈∉≈≡]|\\(?:[lg]eq?|neq?|in|approx|equiv|[lg]t|leqslant|geqslant|sim|notin)\Z
    """,
    re.VERBOSE,
)
_WORDS = frozenset("aAIyoeu")  # letters that are words of their own: "2 \\pi a day", "2 y 3"
_CONNECTS = re.compile(CONNECTOR, re.IGNORECASE)
_PRODUCT = re.compile(r"(?<=\d)[a-z]{2,3}\Z")  # 2xy, no 5cm
_LONE = re.compile(r"(?<!\S)[A-Za-z](?!\S)")
_OPENS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def expression_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where expressions stand that are more than numbers with the usual operators between them."""
    run: list[_Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "break"
        if kind != "break":
            token = _Token("whole" if kind == "name" else kind, match[0], match.start(), match.end())
            if kind != "letter" or not _is_word(text, token):
                run.append(token)
                continue
        if run:
            yield from _expressions(run)
            run = []
    yield from _expressions(run)


def _is_word(text: str, token: _Token) -> bool:
    """Whether a letter that stands alone is a word: `a` in "2 \\pi a day", not in "2 a + 1"."""
    if token.text not in _WORDS or not _LONE.match(text, token.start):
        return False
    operators = "=+*/^<>≤≥≠∈-−±×·"
    before, after = text[max(0, token.start - 3) : token.start].rstrip(), text[token.end : token.end + 3].lstrip(" ")
    joined = (before and before[-1] in operators) or (after and after[0] in operators)
    return not joined and bool(after.strip())


def _expressions(run: list[_Token]) -> Iterator[tuple[int, int]]:
    """The expressions of tokens that follow each other: cut at brackets without a partner and commas outside all."""
    if not _has_more(run):
        return
    partners: set[int] = set()
    stack: list[int] = []
    for number, token in enumerate(run):
        if token.kind == "open":
            stack.append(number)
        elif token.kind == "close" and stack:
            partners |= {stack.pop(), number}
    depth, piece = 0, list[_Token]()
    for number, token in enumerate(run):
        if token.kind in ("open", "close"):
            if number not in partners:
                yield from _trimmed(piece)
                piece = []
                continue
            depth += 1 if token.kind == "open" else -1
        elif token.kind == "comma" and depth == 0:
            yield from _trimmed(piece)
            piece = []
            continue
        piece.append(token)
    yield from _trimmed(piece)


def _has_more(run: list[_Token]) -> bool:
    """Whether tokens hold what the pattern for numbers does not read: a command, a sign, `8 i`, `2 n + 1`."""
    for at, token in enumerate(run):
        if token.kind in ("whole", "command", "function", "sign") and token.text not in _PLAIN:
            return True
        if token.text in ("⌊", "⌈") or (token.kind == "text" and _CONNECTS.fullmatch(token.text)):
            return True
        if token.kind == "number" and (names := _PRODUCT.search(token.text)) and measure(names[0]) is None:
            return True
        if token.kind == "letter" and at > 1 and run[at - 1].kind == "blank" and run[at - 2].kind == "number":
            after = [other for other in run[at + 1 : at + 4] if other.kind != "blank"]
            if token.text in "inkpqrxyz" if not after else token.text.islower() and after[0].kind == "operator":
                return True
    return False


def _trimmed(piece: list[_Token]) -> Iterator[tuple[int, int]]:
    """The span of a piece without operators that join nothing."""
    first, last = 0, len(piece)
    while first < last and (
        piece[first].kind == "blank"
        or (piece[first].kind == "operator" and piece[first].text not in ("-", "−", "–", "+", "<", ">"))
    ):
        first += 1
    while last > first and (
        piece[last - 1].kind == "blank"
        or (piece[last - 1].kind == "operator" and piece[last - 1].text not in ("!", "°"))
    ):
        last -= 1
    piece = piece[first:last]
    if not _has_more(piece) or not any(_VALUED.search(token.text) for token in piece):
        return
    if len(piece) > 1 and _RELATION.match(piece[-1].text):
        return
    yield piece[0].start, piece[-1].end
