"""LaTeX, plain text and Unicode mathematics -> one stream of tokens."""

import re
import unicodedata
from typing import NamedTuple

from evalkit.grading.latex.nodes import ParseError
from evalkit.grading.latex.vocabulary import TEXT_COMMANDS

MAX_CHARS = 4000
MAX_TOKENS = 3000

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n", strict=True))
_UNICODE = {
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "•": r"\cdot ",
    "∗": "*",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "−": "-",
    "–": "-",
    "—": "-",
    "‐": "-",
    "‑": "-",
    "≤": r"\le ",
    "⩽": r"\le ",
    "≦": r"\le ",
    "≥": r"\ge ",
    "⩾": r"\ge ",
    "≧": r"\ge ",
    "≠": r"\ne ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "√": r"\sqrt ",
    "∛": r"\cbrt ",
    "∞": r"\infty ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∉": r"\notin ",
    "°": r"\degree ",
    "º": r"\degree ",
    "′": "'",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "″": '"',
    "µ": r"\mu ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "〈": r"\langle ",
    "〉": r"\rangle ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}",
    "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}",
    "∑": r"\sum ",
    "∏": r"\prod ",
    "∫": r"\int ",
    "…": r"\ldots ",
    "⋯": r"\ldots ",
    "≈": r"\approx ",
    "≡": r"\equiv ",
    "→": r"\to ",
    "⇒": r"\Rightarrow ",
    "∠": r"\angle ",
    "△": r"\triangle ",
    "∖": r"\setminus ",
    "∣": "|",
    "‖": r"\Vert ",
    "：": ":",
    "，": ",",
    "、": ",",
    "；": ";",
    "（": "(",
    "）": ")",
    "。": ".",
    "％": "%",
    "٫": ".",
    "٬": ",",
    "٪": "%",
    "℃": r"\degree ",
    "\u00a0": " ",
    "\u2009": r"\,",
    "\u202f": r"\,",
    "\u200b": "",
    "\ufeff": "",
    "\u2061": "",
    "\u2062": "",
    "\u2063": ",",
    "ϵ": r"\epsilon ",
    "€": r"\euro ",
    "£": r"\pounds ",
    "¢": r"\cent ",
    "¥": r"\yen ",
    "₹": r"\rupee ",
    "￥": r"\yen ",
}
_GREEK_NAMES = "alpha beta gamma delta epsilon zeta eta theta iota kappa mu nu xi pi rho sigma tau phi chi psi omega"
_GREEK = {unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}"): rf"\{name} " for name in _GREEK_NAMES.split(" ")}
_GREEK |= {
    "λ": r"\lambda ",
    "Δ": r"\Delta ",
    "Ω": r"\Omega ",
    "Γ": r"\Gamma ",
    "Σ": r"\Sigma ",
    "Φ": r"\Phi ",
    "Θ": r"\Theta ",
}
_EATEN = re.compile(
    r"""
    \\?\x0c(?=rac|loor)|\\?\x08(?=oxed|inom|eta|egin|ar\{)|\\?\t(?=ext|imes|heta|an\b|frac)
    |\\?\r(?=ight|angle)|\\?\x07(?=lpha|pprox)
    """,
    re.VERBOSE,
)
_EATEN_LETTER = {"\x0c": r"\f", "\x08": r"\b", "\t": r"\t", "\r": r"\r", "\x07": r"\a"}

_TOKEN = re.compile(
    rf"""
    (?P<space>
        (?:
            \s|~|\\[ ,;:!>/]
            |\\
            (?:
                q?quad|enspace|thinspace|space|displaystyle|textstyle|limits|nolimits|left|right|middle
                |mleft|mright|[bB]igg?[lrm]?|hfill|boxed|fbox|framebox|phantom\{{[^{{}}]*\}}
                |hspace\*?\{{[^{{}}]*\}}|tag\{{[^{{}}]*\}}|label\{{[^{{}}]*\}}
            )(?![A-Za-z])
        )+
    )
    |(?P<num>\d+(?:\.\d+|\.(?=\s*[*/]))?(?:[eE][+-]?\d+(?![A-Za-z.]))?|\.\d+)
    |
    (?P<text>
        \\(?:{'|'.join(sorted(TEXT_COMMANDS, reverse=True))})\*?\s*\{{
        (?P<inner>[^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)*)\}}
    )
    |(?P<env>\\(?:begin|end)\s*\{{(?P<name>[a-zA-Z]+\*?)\}})|(?P<cmd>\\[A-Za-z]+|\\.)
    |(?P<word>[A-Za-z]+)|(?P<op>\.\.\.|<=|>=|!=|==|=<|=>|->|<>|\*\*|.)
    """,
    re.DOTALL | re.VERBOSE,
)  # fmt: skip


# ", k \\in \\mathbb{Z}" behind a family of solutions
_ANY_INTEGER = re.compile(
    r"""
    \s*[,(]\s*(?:\\text\{\s*(?:where|for|with)\s*\})?\s*[a-zA-Z]\s*\\in\s*(?:\\mathbb\s*\{?[ZR]\}?|Z)\s*
    \)?\s*$
    """,
    re.VERBOSE,
)
# the full stop of a sentence that ends with \\end{cases}
_CASES_END = re.compile(
    r"""
        (?<=[\w)}\]])(?<!\\left)(?<!\\right)\s*+[.,;]\s*+(?=\\end\s*\{[bdr]?cases\})
        """,
    re.VERBOSE,
)
# the vector <3, 0>
_ANGLES = re.compile(r"\A((?:[^<>=]*=)?)\s*+<([^<>=]*,[^<>=]*)>\s*+\Z")
_REPEATING = re.compile(
    r"""
    (?<![\d.])(\d*)\.(\d*?)(?:\\(?:overline|bar|dot)\s*\{(\d+)\}|(\d)\4{2,}(?:\.\.\.|\\[lc]?dots\b))
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """`kind`: num, text, begin, end, cmd, word, op. `spaced`: whether white space stands before it; `gap`: whether
    that is a wide space or a new line outside all brackets, which keeps two answers apart.
    """

    kind: str
    value: str
    spaced: bool
    gap: bool = False


def clean(text: str) -> str:
    """Repair and simplify notation without changing what it means. Raises ParseError on what is no answer."""
    if len(text) > MAX_CHARS:
        raise ParseError(f"an answer of {len(text)} characters")
    for _ in range(10):
        cleaned = _cleaned(text)
        if cleaned == text:
            return text
        text = cleaned
    raise ParseError("notation that does not settle")


def _cleaned(text: str) -> str:
    text = _EATEN.sub(lambda match: _EATEN_LETTER[match[0][-1]], text)
    if re.search(r"\\\\(?:[A-Za-z]{2}|[{}%$])", text) and ("\\begin" not in text or "\\\\begin" in text):
        text = text.replace("\\\\", "\\")
    text = re.sub("([⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+)", lambda m: "^{" + "".join(_SUPERSCRIPTS[c] for c in m[1]) + "}", text)
    text = re.sub("([₀₁₂₃₄₅₆₇₈₉₊₋ₙ]+)", lambda m: "_{" + "".join(_SUBSCRIPTS[c] for c in m[1]) + "}", text)
    text = re.sub(r"(\d)\s*([¼½¾⅐-⅞])", r"\1 \2", text)
    text = "".join(_one(char) for char in text)
    text = re.sub(r"\\(?:d|t|c)frac(?![a-z])", r"\\frac", text)
    text = _REPEATING.sub(_repeating, text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)(?![A-Za-z])", "", text)
    if re.fullmatch(r"\s*[-+]?\d{1,3}(?:\.\d{3})+,\d{1,2}\s*", text):  # 1.234,56
        text = text.replace(".", "").replace(",", ".")
    text = re.sub(r"^\s*(?:=|\\approx(?![a-z]))\s*", "", text)
    text = re.sub(r"(?<=\d)\s*(?:\\text\s*\{\s*to\s*\}|to)\s*(?=\d)", ":", text)
    text = _ANY_INTEGER.sub("", text)
    text = _CASES_END.sub("", text)
    if "<" in text:
        text = re.sub(r"\\left\s*<", r"\\langle ", re.sub(r"\\right\s*>", r"\\rangle ", text))
        text = _ANGLES.sub(r"\1 \\langle \2\\rangle ", text)
    text = re.sub(r"(?<![\w})])(?:\{\})?[_^]\{?(\w+)\}?\s*\{?C\}?_\{?(\w+)\}?", r"\\binom{\1}{\2}", text)
    text = re.sub(r"(?<!\\)\\[()\[\]]|(?<!\\)\$+", " ", text)
    text = re.sub(r"(?<!\*)\*\*([^*]+)\*\*(?!\*)", r"\1", text) if text.strip().startswith("**") else text
    text = re.sub(r"(?<=\d)\s*(?:\{\s*,\s*\}|,\s*\\!\s*)\s*(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d)(?:\\[!,;: ]|\s|~){1,2}(?=\d{3}(?!\d|\s*/))(?<![.]\d)", _thin, text)
    return text.strip().rstrip("\\;:, \n").removesuffix(".").strip()


def _repeating(match: re.Match[str]) -> str:
    """0.1\\overline{6} = 1/6, and 0.333… for 1/3: the fraction that it is."""
    whole, fixed, period = match[1] or "0", match[2] or "", match[3] or match[4]
    if len(whole + fixed + period) > 60:
        raise ParseError("a long period")
    nines = (10 ** len(period) - 1) * 10 ** len(fixed)
    return rf"\frac{{{int(whole + fixed) * (10 ** len(period) - 1) + int(period)}}}{{{nines}}}"


def _thin(match: re.Match[str]) -> str:
    """`1 000` is one number where what stands before is one to three digits, or a group of three after a space."""
    before = match.string[max(0, match.start() - 40) : match.start()]
    return "" if re.search(r"(?<![\d.])\d{1,3}(?:(?:\\[!,;: ]|\s|~){1,2}\d{3})*$", before) else match[0]


def _one(char: str) -> str:
    if char < "\x7f":
        return char
    if char in _UNICODE:
        return _UNICODE[char]
    if char in _GREEK:
        return _GREEK[char]
    if "\ud800" <= char <= "\udfff":
        raise ParseError("a lone surrogate")
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if "⁄" in plain:
        above, below = plain.split("⁄")
        return rf"\frac{{{above}}}{{{below}}}"
    return plain if plain.isascii() else char


def join_thousands(text: str, *, in_brackets: bool) -> str:
    """`1,000` -> `1000`; within brackets a comma separates items unless `in_brackets` says otherwise."""

    def join(match: re.Match[str]) -> str:
        depth = sum(text.count(mark, 0, match.start()) for mark in ("(", "[", r"\{", r"\langle"))
        depth -= sum(text.count(mark, 0, match.start()) for mark in (")", "]", r"\}", r"\rangle"))
        if depth > 0 and not in_brackets:
            return match[0]
        return match[0].replace(",", "")

    text = re.sub(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])", lambda match: match[0].replace(".", ""), text)
    return re.sub(
        r"""
        (?<![\d.,])(?!0)\d{1,3}(?:,\d{3})+(?!\d|,\d)|(?<![\d.,])[1-9]\d?(?:,\d\d)+,\d{3}(?![\d,])
        """,
        join,
        text,
        flags=re.VERBOSE,
    )


_GAP = re.compile(r"\\q?quad|\n|\\hfill|(?:\\[;: ]\s*){2}")
_DEEPER = frozenset({"{", "(", "[", "\\{", "\\langle", "\\lbrace"})
_HIGHER = frozenset({"}", ")", "]", "\\}", "\\rangle", "\\rbrace"})


def tokenize(text: str) -> list[Token]:
    """The tokens of a cleaned text. Raises ParseError where there are too many."""
    tokens: list[Token] = []
    spaced = gap = False
    depth = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "op"
        if kind == "space":
            spaced = True
            gap = gap or _GAP.search(match[0]) is not None
            continue
        if match["text"] is not None:
            kind, value = "text", match["inner"]
        elif match["env"] is not None:
            kind, value = "begin" if match[0].startswith("\\b") else "end", match["name"]
        else:
            value = "\\\\" if match[0] == "\\cr" else match[0]
        tokens.append(Token(kind, value, spaced, gap and not depth))
        depth += (value in _DEEPER or kind == "begin") - (value in _HIGHER or kind == "end")
        spaced = gap = False
        if len(tokens) > MAX_TOKENS:
            raise ParseError("too many symbols")
    return tokens
