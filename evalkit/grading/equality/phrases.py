"""Phrases that stand for mathematics: sets of numbers, parts of a whole, times of day; notation of other countries."""

import re
from collections.abc import Callable

from evalkit.grading.equality.spelt import spelt_number
from evalkit.grading.latex.vocabulary import PARTS, WRAPPER_COMMAND

_WRAP = rf"(?:{WRAPPER_COMMAND}\{{)?\s*"
_FAMILIES = {
    "real numbers": r"\mathbb{R}",
    "reals": r"\mathbb{R}",
    "real values": r"\mathbb{R}",
    "positive real numbers": r"(0, \infty)",
    "negative real numbers": r"(-\infty, 0)",
    "nonnegative real numbers": r"[0, \infty)",
    "integers": r"\mathbb{Z}",
    "rational numbers": r"\mathbb{Q}",
    "complex numbers": r"\mathbb{C}",
    "natural numbers": r"\mathbb{N}",
    "positive integers": r"\mathbb{Z}^+",
}
_ALL = re.compile(
    rf"""
    \s*(?:[a-z]\s*(?:\\in|is|can\ be|=)\s*)?{_WRAP}(?:[a-z]\ (?:is|can\ be)\ )?
    (?:any|all|the\ set\ of(?:\ all)?)(?:\ the)?\s+
    (?P<family>{"|".join(re.escape(family.removesuffix("s")) for family in _FAMILIES)})s?
    (?:\ [a-z](?![a-z]))?\s*
    (?:,?\s*(?P<but>except|other\ than|but|excluding|not\ equal\ to)(?:\ for)?\s*)?(?:[a-z]\s*=\s*)?\}}?
    \s*(?:[a-z](?![a-z])(?:\s*=)?)?\s*(?P<rest>[^a-z]*|.*\d.*)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SOME_ALL = re.compile(r"any|all|the\s", re.IGNORECASE)  # what `_ALL` needs
_OUT_OF = re.compile(rf"(?<=\d)\s*\$?\s*{_WRAP}out\s+of\s*\}}?\s*\$?\s*(?=\d)", re.IGNORECASE)
_HOURS = re.compile(r"^\s*(\d+)\s*h(?:rs?)?\s*(\d+)\s*m(?:ins?)?\s*$")
_LEFT = r"(?:\\left\s*|\\[bB]ig+l?\s*)?"
_RIGHT = r"(?:\\right\s*|\\[bB]ig+r?\s*)?"
_INTERVAL = re.compile(
    rf"""
    (?P<before>^|\\cup|\\in|=|∪|∈|U)\s*{_LEFT}
    (?P<open>[\[\]])(?P<inner>[^\[\]]+?[,;][^\[\]]+?){_RIGHT}(?P<close>[\[\]])
    (?=\s*(?:$|\\cup|∪|U|\\setminus|[.$]))
    """,
    re.VERBOSE,
)
_BRACE = re.compile(
    r"""
    \\left\s*\\(?:\{|lbrace)\s*\\begin\{(?:array|aligned|matrix|gathered)\}(?:\{[^{}]*\})?(.*?)\\end\{
    (?:array|aligned|matrix|gathered)\}\s*\\right\s*\.
    """,
    re.DOTALL | re.VERBOSE,
)
_TIME = re.compile(
    r"""
        (\d{1,2})(?::(\d{2})(?::(\d{2}))?)?\s*(?:([ap])\.?\s?m\.?|(o['’]clock))?\.?
        """,
    re.IGNORECASE | re.VERBOSE,
)
_ORDER = r"(?:[<>]|\\(?:leq?|geq?|neq?|lt|gt|in)(?:slant)?(?![a-z]))"
# all real numbers x such that x > 2; all x > 2
_ALL_SUCH = re.compile(
    rf"""[\s$]*+(?:{WRAPPER_COMMAND}\{{)?\s*+(?:the\ set\ of\ )?all\s+(?:real\s+)?(?:(?:numbers?|values)(?:\s+of)?)?
    \s*+\}}?[\s$]*+(?P<name>[a-z])(?![a-z])[\s$]*+
    (?:,?\s*+(?:{WRAPPER_COMMAND}\{{)?\s*+,?\s*+(?:such\ that|for\ which|with|where|satisfying)\s*+\}}?
        [\s$]*+(?P<told>[^{{}}]+)
    |(?P<order>{_ORDER}.+))""",
    re.VERBOSE,
)
# all real numbers greater than 2
_ALL_BEYOND = re.compile(
    rf"""[\s$]*+(?:{WRAPPER_COMMAND}\{{)?\s*+(?:the\ set\ of\ )?all\s+real\s+(?:numbers|values)\s+
    (?:that\ are\s+)?(?:strictly\s+)?
    (?:(?P<side>greater|larger|less|smaller)\s+than(?P<equal>\s+or\s+equal\s+to)?|at\s+(?P<least>least|most))
    \s*+\}}?[\s$]*+(?P<value>[^{{}},;]+?)\}}?[\s.$]*+""",
    re.VERBOSE,
)
_RELATIONS = (
    (r"parallel to", r"\\parallel"),
    (r"(?:perpendicular|orthogonal) to", r"\\perp"),
    (r"(?:a )?subset of", r"\\subseteq"),
    (r"congruent to(?! -?\d)", r"\\cong"),
    (r"similar to", r"\\sim"),
    (r"divides", r"\\mid"),
)
_PARTS = "halves|thirds|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|hundredths"


def _parts(match: re.Match[str]) -> str:
    """The fraction that a number of thirds is, in front of the wrapper that the word stands in."""
    name = match[3].removesuffix("s")
    return rf"\frac{{{match[1]}}}{{{PARTS.get(name, 2)}}} {match[2]}"


_REWRITES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<![\w.])(?:np|numpy|math|cmath|sympy|sp|torch)\.(?=[a-z])"), ""),  # Python's np.arcsin
    *(
        (
            re.compile(
                rf"""
        (?:\\text\s*\{{\s*+)?(?<![A-Za-z])(?:is\ |are\ )?{words.replace(" ", "[ ]")}(?![A-Za-z])\s*+\}}?
        """,
                re.VERBOSE,
            ),
            rf" {sign} ",
        )
        for words, sign in _RELATIONS
    ),
    # x = 3 (double root), \frac12 (or 0.5)
    (
        re.compile(
            r"""
            \((?:an?\ |with\ )?
            (?:(?:double|triple|repeated|simple)\ root|(?:of\ )?multiplicity\ \$?\d+\$?)\)\s*\$?\s*$
            """,
            re.VERBOSE,
        ),
        "",
    ),
    (
        re.compile(
            r"""
            (?<=[\w})])(?:\s|\\[ ,;:])*+\$?\s*+\((?:or|i\.e\.,?|that\ is,?|equivalently,?)\s*\$?([^()$]{1,60})\$?\)
            \s*\$?\s*$
            """,
            re.VERBOSE,
        ),
        r" = \1",
    ),
    # \sqrt{17} (approximately 4.123)
    (
        re.compile(
            rf"""
            (?<=[\w}})])(?:\s|\\[ ,;:])*+{_WRAP}\(?\s*(?:approximately|approx\.?|about|roughly)\s*\}}?\s*\$?
            (-?[\d.,]*\d)\$?\s*\)?\s*\}}?\s*$
            """,
            re.VERBOSE,
        ),
        r"\\approx \1",
    ),
    (re.compile(r"\(\s*\\approx\s*(-?[\d.]+)\s*\)\s*\$?\s*$"), r"\\approx \1"),
    (re.compile(r"(?<==)\s*+(-?\d+\.\d{2,})\s*(?:\\[lc]?dots|\.\.\.)\s*\$?\s*$"), r"\1"),
    (_OUT_OF, "/"),
    # 33 (mod 37)
    (
        re.compile(
            rf"""
            (?<=[\w}})])\s*+(?:\\[ ,;:]\s*+)?
            \(\s*+(?:{WRAPPER_COMMAND}\{{)?\s*+\\?b?mod(?![a-z])\s*+\}}?\s*+(\d{{1,9}}|[a-z])\s*+\)
            """,
            re.VERBOSE,
        ),
        r" \\pmod{\1}",
    ),
    (re.compile(r"∨|\\lor(?![A-Za-z])"), r"\\text{ or }"),
    (_HOURS, r"\1 hours \2 minutes"),
    (_BRACE, r"\\begin{cases}\1\\end{cases}"),
    (re.compile(r"&\s*(?=[=<>]|\\[lg]eq?(?![a-z])|\\approx)"), ""),  # align, aligned
    (re.compile(r"(\\mathbb\s*\{?R\}?|ℝ)\s*(?:\\(?=\s*\\?\{)|\\backslash)\s*"), r"\1 \\setminus "),
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*(?:\^|\*\*))"), r"\\times "),
    (re.compile(rf"^\s*{_WRAP}(?:negative|minus) infinity\s*\}}?\s*$", re.IGNORECASE), r"-\\infty"),
    (re.compile(r"^\s*(?:negative|minus)\s+(?=[\d\\a-z])", re.IGNORECASE), "-"),
    (re.compile(rf"^\s*{WRAPPER_COMMAND}\{{\s*(?:negative|minus)\s*\}}\s*(?=[\d\\a-z])", re.IGNORECASE), "-"),
    # 5 \text{ thirds of a cup}
    (
        re.compile(
            rf"""
        (?<![\d.,/}}])(\d+)\s*+({WRAPPER_COMMAND}\{{)\s*+({_PARTS})(?![a-z])(?:\s*+of(?![a-z]))?
        """,
            re.VERBOSE,
        ),
        _parts,
    ),
    (re.compile(rf"(?<![\d.,/}}])(\d+)\s++()({_PARTS})(?![a-z])(?:\s*+of(?![a-z]))?"), _parts),
    (re.compile(rf"^\s*{_WRAP}(?:positive|plus) infinity\s*\}}?\s*$", re.IGNORECASE), r"\\infty"),
    (re.compile(rf"(?<![A-Za-z]){_WRAP}Rs\.?\s*\}}?\s*(?=\d)"), r"\\rupee "),
    (
        re.compile(
            r"""
            (?<=[a-z])-
            (?=(?:half|halves|third|fourth|quarter|fifth|sixth|seventh|eighth|ninth|tenth)s?\b)
            """,
            re.VERBOSE,
        ),
        " ",
    ),
    (re.compile(rf"\\mu\s*({WRAPPER_COMMAND}\{{)\s*"), r"\1\\mu "),
    (re.compile(r"(\\text\s*\{[^{}]*?[^{}\s])\s+and\s*\}"), r"\1} \\text{ and }"),
)
# what has neither a word nor one of these needs no rewriting
_WORD = re.compile(
    r"""
    (?<![A-Za-z\\])[A-Za-z]{3}|[a-z]{2}\.[a-z]|\((?:or|i\.)|text|mathrm|Rs|(?<=\d)\s*[hxX]
    """,
    re.VERBOSE,
)
_MARKS = ("approx", "dots", "...", "∨", "lor", "&", "R", "ℝ", "array", "aligned", "gathered", "matrix", "\\mu")
_HALF_DAY = 12 * 3600


def as_mathematics(text: str) -> str:
    """The text with such phrases in LaTeX."""
    if (number := spelt_number(text)) is not None:
        return number
    if "all" in text and len(text) <= 400:
        text = _restricted(text)
    if _WORD.search(text) or any(mark in text for mark in _MARKS):
        for pattern, replacement in _REWRITES:
            text = pattern.sub(replacement, text)
    if len(re.findall(r"(?<!\\)\$", text)) == 1:  # a currency, as mathematics has two of them
        text = re.sub(r"\$(?=\s*[\d.])|(?<=\d)\s*\$\s*$", r"\\$", text)
    text = _INTERVAL.sub(_interval, text)
    if not _SOME_ALL.search(text):
        return text
    match = _ALL.fullmatch(re.sub(r"(?<!\\)\$", "", text))
    if match is None:
        return text
    family = _FAMILIES[match["family"].lower() + "s"]
    rest = match["rest"].strip(" .}")
    if bool(match["but"]) != bool(rest):
        return text
    return rf"{family} \setminus \{{{rest}\}}" if rest else family


def _restricted(text: str) -> str:
    """The condition in "all real numbers x such that x > 2", "all x > 2", "all real numbers greater than 2"."""
    if such := _ALL_SUCH.fullmatch(text):
        if such["order"]:
            return f"{such['name']} {such['order']}"
        named = re.search(rf"(?<![A-Za-z\\]){such['name']}(?![A-Za-z])", such["told"])
        return such["told"] if named and re.search(_ORDER, such["told"]) else text
    if beyond := _ALL_BEYOND.fullmatch(text):
        above = beyond["side"] in ("greater", "larger") or beyond["least"] == "least"
        sign = (r"\ge" if above else r"\le") if beyond["equal"] or beyond["least"] else (">" if above else "<")
        return f"x {sign} {beyond['value']}"
    return text


def _interval(match: re.Match[str]) -> str:
    """]0, 1[ as (0, 1); [0, 1] stays."""
    opening = "(" if match["open"] == "]" else "["
    closing = ")" if match["close"] == "[" else "]"
    return f"{match['before']} {opening}{match['inner']}{closing}"


def time_of_day(text: str) -> tuple[int, bool] | None:
    """Seconds after midnight of `5:30 p.m.`, `17:30`, `5 o'clock`, and whether that is certain."""
    match = _TIME.fullmatch(text.replace("{:}", ":").strip())
    if match is None or not (match[2] or match[4] or match[5]):
        return None
    hours, minutes, seconds = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if hours > 24 or minutes > 59 or seconds > 59 or (match[4] and not 1 <= hours <= 12):
        return None
    if match[4]:
        hours = hours % 12 + (12 if match[4].lower() == "p" else 0)
    return 3600 * hours + 60 * minutes + seconds, bool(match[4]) or hours > 12


def same_time(first: tuple[int, bool], second: tuple[int, bool]) -> bool:
    """Whether two times agree, up to half a day where one does not say which half."""
    if first[1] and second[1]:
        return first[0] == second[0]
    return first[0] % _HALF_DAY == second[0] % _HALF_DAY
