"""Find the values of a text: formulas, numbers, lists of them; and what a chain of equations comes to."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from evalkit.grading.answers.expressions import CONNECTOR, GROUPED, LETTER, expression_spans
from evalkit.grading.latex.units import measure
from evalkit.grading.latex.vocabulary import MULTIPLES, NUMBER_WORDS, PARTS

FIRST, LAST = 0xE000, 0xEFFF  # characters that stand for values in masked text
V = "[\ue000-\uefff]"
_MOST = LAST - FIRST

_SPAN = re.compile(
    r"""\$\$(?P<a>.{1,2000}?)\$\$
    |\\\[(?P<b>.{1,2000}?)\\\]
    |\\\((?P<c>.{1,1000}?)\\\)
    |\\begin\{(?P<name>(?:align|gather|equation|eqnarray|multline)(?:ed)?\*?)\}(?P<d>.{1,3000}?)\\end\{(?P=name)\}
    |(?<!\\)\$(?P<e>(?:\\\$|[^$]){1,1000}?)(?<!\\)\$""",
    re.VERBOSE | re.DOTALL,
)
# a dollar sign that is money: "$3 + $4", "$2 each, so she pays $"
_MONEY = re.compile(
    r"""
    \s?[\d.,]+(?:[^\\]*?[-+*/=×]\s*\Z|[^\\]*(?<![\\A-Za-z{])[A-Za-z]{3,}|[^\\\n]*\n)
    """,
    re.DOTALL | re.VERBOSE,
)
_NUM = (
    rf"(?:\\?\$\s?|[€£¥₹]\s?)?(?:{GROUPED}|\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+)(?!\d|st\b|nd\b|rd\b|th\b)(?:_\d+)?"
    r"(?:\s?\\?%|\s?[€£¥₹]|°)?"
)
_POWER = r"(?:(?:\^|\*\*)\{?\(?[-\w+/]{1,12}\)?\}?|[²³])?"
_ATOM = (
    rf"(?:\d+\s\d+/\d+|(?:{_NUM})?\\(?:[dt]?frac\s?\{{[^{{}}\n]{{1,60}}\}}\s?\{{[^{{}}\n]{{1,60}}\}}|sqrt(?:\[\d\])?\s?\{{[^{{}}\n]{{1,60}}\}}|(?:pi|infty)(?![A-Za-z])){_POWER}|"
    rf"{_NUM}(?:[a-zπθφ](?!{LETTER}))?!?{_POWER}(?:√\(?\w{{1,9}}\)?)?|[√∞π]\(?\w{{0,9}}\)?"
    rf"|[A-Za-z]{{1,3}}\([^()\n]{{1,40}}\)|[A-Za-zθφα](?:_\w|[₀-₉])?(?!{LETTER}|['’]){_POWER}"
    rf"|\((?=[^()\n]{{0,60}}[\d+*/^])(?![^()\n]{{0,60}}[A-Za-z]{{3}})[^()\n]{{1,60}}\){_POWER})"
)
_RUN = re.compile(
    rf"""(?P<time>\b\d+\s(?:hours?|hrs?|minutes?|days?|weeks?|years?|feet|foot)(?:,?\sand\s|,?\s)\d+\s
            (?:minutes?|mins?|seconds?|hours?|days?|months?|inch(?:es)?)\b
        |(?<![\d:])\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\s?[ap]\.?m\b\.?)?(?![\d:]))     # 2 hours 30 minutes; 3:45 PM
    |(?P<tuple>[(\[{{](?:\s*[-−+]?[\w./√π∞\\$^]+\s*,){{1,6}}\s*[-−+]?[\w./√π∞\\$^]+\s*[)\]}}])   # (0, 1]
    |(?<![A-Za-z0-9_.\\])[-−+]?\s?{_ATOM}(?:[^\S\n]*(?:<<[^<>]{{0,80}}>>|<=|>=|[-−–+*/×·÷=≈:<>]|\\(?:cdot|times|pm)(?![A-Za-z])|\sx(?=\s?[\d$(]))
        [^\S\n]*[-−+]?\s?{_ATOM}){{0,40}}""",
    re.VERBOSE | re.IGNORECASE,
)
_CALL = re.compile(
    r"(?<![A-Za-z\\])(?!(?:answer|boxed|result|total|value)\b)[A-Za-z_]{4,30}\($", re.IGNORECASE
)  # alert(1)
_VALUED = re.compile(r"[\d√π∞]|\\(?:pi|infty)")
_AND = re.compile(
    r"""
    \s*(?:[,;、，]\s*(?:and|or)?|\s(?:and|or|et|und|y|e|o|ou|oder)\s|和|或|以及)\s*(?:\\quad\s*)?
    """,
    re.VERBOSE,
)
_UNIT = re.compile(
    rf"""
    \s?(?:square\s|cubic\s)?
    (?:[A-Za-zµΩ]{{1,12}}(?:\^?\d|[²³])?(?:/[a-z]{{1,6}})?|degrees(?:\s(?:Celsius|Fahrenheit))?)(?!{LETTER})
    """,
    re.VERBOSE,
)
_GLUED = re.compile(r"(?:(?<=\d)[A-Za-z]\d+(?!\w|\.\d)|(?<=\d[A-Za-z])\d+(?!\w|\.\d))?")
# "the midpoint is at x = 2, y = 5": its coordinates
_POINT_AT = re.compile(
    r"""
    \b(?:\w*point|vertex|cent(?:er|re|roid)|intersect\w*|focus|origin)\b[^.\n\ue000-\uefff]*\sat\s+\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LARGE = re.compile(r"\s(?:hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_NAME = re.compile(
    r"""
    \s*(?:\\(?:angle|text|mathrm|vec|overline|boldsymbol|mathbf|operatorname|mathcal|triangle)\s*)*\{?
    (?:\\?[A-Za-z]+)\}?'*[₀-₉]*(?:_\{?[\w\\ {}]{1,12}\}?)?(?:\^\{?-1\}?)?(?:\s*\(\s*[a-z](?:,\s*[a-z])*\s*\))?
    \s*
    |\s*\([a-z](?:,\s*[a-z])+\)\s*
    """,
    re.VERBOSE,
)
_TOP = re.compile(r"\\[A-Za-z]+|\\.|[{}()\[\]=≡≈]")
_CHAIN_LINE = re.compile(r"\\\\(?:\[[^\]]*\])?")
_MODULUS = re.compile(
    r"""
    \s*(?:\\pmod\s*(?:\{[^{}]*\}|\w+)|\(\s*(?:\\)?(?:mod|text\{mod\s*\}|bmod)[^()]*\))\s*\.?\s*\Z
    """,
    re.VERBOSE,
)
_IMPLIES = re.compile(
    r"""
    \\(?:implies|Rightarrow|Longrightarrow|iff|Leftrightarrow|Longleftrightarrow|therefore|to)
    (?![A-Za-z])
    |⇒|⟹|∴|=>
    """,
    re.VERBOSE,
)
_JOINT = re.compile(rf"{CONNECTOR}|(?<!\\);|\\[{{}}]|[{{}}()\[\]]", re.IGNORECASE)
_TAG = re.compile(
    rf"\\(?:label|tag)\s*\{{[^{{}}]*\}}|\\(?:qquad|quad)\s*(?!{CONNECTOR})\\(?:text|blacksquare).*\Z",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)


# an equation that is still to be solved for its one unknown: 2x = 12, x^2 = 12, 1/x = 3
_SCALED = re.compile(
    r"""
    \s?[-+−]?\s?
    (?:
        (?:\d[\d.]*|\\[dt]?frac\s?\{?\d+\}?\s?\{?\d+\}?)\s?(?:\\cdot|\\times|[*×·])?\s?[a-z](?:\^\{?\d+\}?|[²³])?
        |[a-z](?:\^\{?\d+\}?|[²³])|[a-z]\s?/\s?\d+|\d+\s?/\s?[a-z]
        |\\[dt]?frac\s?\{\d*[a-z]\}\s?\{?\d+\}?|\\[dt]?frac\s?\{?\d+\}?\s?\{\d*[a-z]\}
    )
    (?:\s?[-+−]\s?\d+(?:\.\d+)?)?\s?=[^=]*\Z
    """,
    re.VERBOSE,
)
_SIGN = re.compile(r"\\(?:blacksquare|square|Box|qed|checkmark|quad|qquad|dots|ldots|cdots)[\s.]*")
_CONSTANT = re.compile(
    r"""
    \\?(?:pi|infty|phi|tau|emptyset|varnothing)(?![A-Za-z])|(?<![A-Za-z])[ei](?![A-Za-z])
    """,
    re.VERBOSE,
)
_WORD_VALUE = re.compile(r"\\(?:text|mathrm|textbf)\s*\{[A-Za-z ]{2,}\}")
_OUT_OF = re.compile(r"(?<![\d.])(\d{1,9})\s+out\s+of\s+(\d{1,9})(?!\.?\d)")
_RATIO = re.compile(r"(\bratio\b[^.\n]{0,100}?)(?<![\d.])(\d{1,9})\s+to\s+(\d{1,9})(?!\.?\d)", re.IGNORECASE)
_ONE_WORD = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_PART_WORD = "|".join(sorted(PARTS, key=len, reverse=True))
_WORD_NUMBER = re.compile(
    rf"""
    (?<=\s)
    (?:
        (?:negative\s|positive\s|minus\s)?infinity
        |(?:(?:negative|minus)\s)?(?:{_ONE_WORD})
            (?:[\s-](?:and\s)?(?:{_ONE_WORD}|(?:{_PART_WORD})s?|{"|".join(MULTIPLES)})(?![^\W\d_])){{0,6}}
        |an?\s(?=half|third|quarter)(?:{_PART_WORD})
    )(?![\w-])(?!\s(?:of|or\ more|way|another|more|{"|".join(MULTIPLES)})\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# an operation in words behind a number: the number alone is not what is said
_NUMERAL = r"(?<![\w.,/^])[-−]?\d+(?:\.\d+)?"
_STATED = r"(?:\b(?:is|are|equals)|[:=])\s+(?:\d+(?:\.\d+)?\s[-+×]\s)?"  # no step: "computing 7 times 2"
# the word without which a pattern finds nothing, the pattern, and what is written for it
_IN_WORDS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (word, re.compile(pattern, re.IGNORECASE), written)
    for word, pattern, written in (
        ("power", rf"({_NUMERAL})\s+to\s+the\s+power\s+(?:of\s+)?(-?\d+)(?![\d.]*\d)", r"\1^{\2}"),
        ("to", rf"({_NUMERAL})\s+(?:raised\s+)?to\s+the\s+(\d+)(?:st|nd|rd|th)(?:\s+power)?\b", r"\1^{\2}"),
        ("squared", rf"({_NUMERAL})\s+squared\b", r"\1^2"),
        ("cubed", rf"({_NUMERAL})\s+cubed\b", r"\1^3"),
        ("half", rf"({_NUMERAL})\s+and\s+(?:a|one)[\s-]half\b", r"\1 1/2"),
        ("divided", rf"({_STATED}{_NUMERAL}(?:\^\{{?\d+\}}?)?)\s+divided\s+by\s+(\d+)(?![\d.,/]*\d)", r"\1/\2"),
        ("minus", rf"({_STATED}{_NUMERAL}(?:\^\{{?\d+\}}?)?)\s+minus\s+(?=\$?\d)", r"\1 - "),
        ("plus", rf"({_STATED}{_NUMERAL}(?:\^\{{?\d+\}}?)?)\s+plus\s+(?=\$?\d)", r"\1 + "),
        ("times", rf"({_STATED}{_NUMERAL}(?:\^\{{?\d+\}}?)?)\s+times\s+(?=\d)", r"\1 × "),
        ("negative", r"((?:is|are|:|=)\s+)negative\s+(?=\$?\d)", r"\1-"),
        ("minus", r"((?:is|are|:|=)\s+)minus\s+(?=\$?\d)", r"\1-"),
        ("in", r"(?<![\w.,/])(\d{1,9})\s+in\s+(\d{1,9})(?=\s*[*_]*[.!]?[*_]*(?:\s*\n|\s*\Z))", r"\1/\2"),
    )
)
_BEFORE_WORD_NUMBER = re.compile(r"(?:\b(?:is|are|be|equals)(?:\s(?:only|exactly|just|therefore|thus))?|=|:)\s\Z")
Put = Callable[["Value"], str]


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it was written. `side` is what its last equation's right side says, where that may be meant."""

    text: str
    side: str | None = None
    named: bool = False  # `x = 2`

    @property
    def meant(self) -> str | None:
        """The side that may be the answer: none where the other side is no name, as in `2x = 12`."""
        return None if _SCALED.match(self.text) else self.side


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with a character in place of each value."""

    text: str
    values: tuple[Value, ...]

    def value(self, character: str) -> Value:
        return self.values[ord(character) - FIRST]

    def unmasked(self, piece: str) -> str:
        """A piece of the text with its values written out."""
        return re.sub(V, lambda match: self.value(match[0]).text, piece)


def mask(text: str) -> Masked:
    """The text with its formulas and numbers masked; values that commas or "and" join are one."""
    values: list[Value] = []

    def put(value: Value) -> str:
        if len(values) >= _MOST:
            return " "
        values.append(value)
        return chr(FIRST + len(values) - 1)

    text = re.sub(V, " ", text)
    lower = text.lower()
    for word, pattern, written in _IN_WORDS:
        if word in lower:
            text = pattern.sub(written, text)
    text = _RATIO.sub(r"\1\2:\3", _OUT_OF.sub(r"\1/\2", text))
    masked = _expressions_masked(_formulas_masked(text, put), put)
    masked = _words_masked(_numbers_masked(masked, put), put)
    return _joined(masked, values)


def _formulas_masked(text: str, put: Put) -> str:
    pieces, at = [], 0
    while found := _SPAN.search(text, at):
        content = next(group for name in "abcde" if (group := found[name]) is not None)
        if found["e"] is not None and _MONEY.match(content):
            end = found.start() + 1  # this one is a currency
            pieces.append(text[at:end])
            at = end
            continue
        # a word in a formula is a word: $\text{Total}$
        pieces.append(text[at : found.start()])
        pieces.append(_formula_masked(content, put, display=found["e"] is None and found["c"] is None))
        at = found.end()
    return "".join([*pieces, text[at:]])


def _formula_masked(content: str, put: Put, *, display: bool) -> str:
    """A formula's character and the punctuation that ends it; names such as $x$ stay as they are."""
    bare = content.strip()
    if not re.search(r"[^\W_]|\\", bare) or _SIGN.fullmatch(bare):
        return " "
    if not display and _NAME.fullmatch(bare) and not _CONSTANT.search(bare) and not _WORD_VALUE.fullmatch(bare):
        return content if "\\" in bare else bare
    end = re.search(r"[,.;:]\s*(?:\\(?:\s|quad|blacksquare|end\{[a-z]+\}))*\Z", content)
    # a formula on lines of its own joins no list
    return (
        ("\n" if display else "")
        + put(chain_value(content))
        + (end[0].strip()[0] if end else "")
        + ("\n" if display else " " if end else "")
    )


def _expressions_masked(text: str, put: Put) -> str:
    """Expressions that no pattern for numbers reads whole: `2 \\sqrt{3}`, `x ≥ 3`, `pi/3`."""
    pieces, at = [], 0
    for first, last in expression_spans(text):
        start, end = first, _measured(text, last)
        if re.match(r"[-+–>]\s", text[start:end]) and text[max(0, start - 40) : start].rstrip(" ")[-1:] in ("", "\n"):
            start += 2  # a bullet
        pieces += [text[at:start], put(chain_value(text[start:end]))]
        at = end
    return "".join([*pieces, text[at:]])


def _measured(text: str, end: int) -> int:
    """Where a value that ends at `end` has its end with what measures it: "5 million", "5 cm"."""
    if large := _LARGE.match(text, end):
        end = large.end()
    unit = _UNIT.match(text, end)
    known = unit and measure(unit[0].strip().removesuffix("s")) is not None
    return unit.end() if unit and known and unit[0].strip() not in ("in", "a", "per", "each") else end


def _numbers_masked(text: str, put: Put) -> str:
    pieces, at = [], 0
    for found in _RUN.finditer(text):
        if found.start() < at or not _VALUED.search(found[0]) or re.fullmatch(r"\s*[A-Za-z]\w{0,2}\(\w\)\s*", found[0]):
            continue
        if _CALL.search(text, max(0, found.start() - 40), found.start()):
            continue
        end = found.end()
        start = found.start()
        if re.match(r"[-+*]\s", found[0]) and text[max(0, start - 40) : start].rstrip(" ")[-1:] in ("", "\n"):
            start += 2  # a bullet
        if found["time"] is None and found["tuple"] is None:
            end = _measured(text, end)
        if glued := _GLUED.match(text, end):
            end = glued.end()  # 10C3, 2x2
        if re.search(r"(?:\A|[:=]|\b(?:is|are|equals))[^\S\n]*–[^\S\n]?\Z", text[max(0, start - 12) : start]):
            start = text.rindex("–", 0, start)  # a dash for a minus sign
        written = re.sub(r"<<[^<>]*>>", "", text[start:end])
        pieces += [text[at:start], " " if found[0][:1].isspace() else "", put(chain_value(written))]
        at = end
    return "".join([*pieces, text[at:]])


def _words_masked(text: str, put: Put) -> str:
    """ "is seven", not "seven is": only where a number in words is what is stated."""
    return _WORD_NUMBER.sub(
        lambda match: (
            put(Value(re.sub(r"\Aan?\s", "one ", match[0])))
            if _BEFORE_WORD_NUMBER.search(text[max(0, match.start() - 25) : match.start()])
            else match[0]
        ),
        text,
    )


def _joined(text: str, values: list[Value]) -> Masked:
    """Values that are joined by commas or "and" as one: `$5$ and $6$`."""
    pieces: list[str] = []
    joined: list[Value] = []
    at = 0
    found = list(re.finditer(V, text))
    number = 0
    while number < len(found):
        last = number
        while last + 1 < len(found) and _AND.fullmatch(text[found[last].end() : found[last + 1].start()]):
            last += 1
        group = [values[ord(match[0]) - FIRST] for match in found[number : last + 1]]
        if len(group) > 1 and not _is_list(group, text[max(0, found[number].start() - 60) : found[number].start()]):
            group, last = group[:1], number
        pieces += [text[at : found[number].start()], chr(FIRST + len(joined))]
        if len(group) == 1:
            joined.append(group[0])
        else:
            written = [value.text if value.named and group[-1].named else value.side or value.text for value in group]
            joined.append(Value(", ".join(text.strip(" .,") for text in written)))
        at = found[last].end()
        number = last + 1
    return Masked("".join([*pieces, text[at:]]), tuple(joined))


def _is_list(group: list[Value], before: str) -> bool:
    """Whether joined values are one list: `x = 1 and y = 2`, `x = 1 or 2`, no steps of a calculation."""
    if _POINT_AT.search(before) and len({value.text.split("=")[0] for value in group if value.named}) == len(group):
        return True
    if (
        re.search(
            r"""
            (?:\A|\s)(?:at|if|when|for|with|let|since|where|as|because|given|that|by)\s+\Z
            """,
            before,
            re.IGNORECASE | re.VERBOSE,
        )
        and group[0].side
    ):
        return False
    equations = [value.side is not None for value in group]
    if all(equations):
        return all(value.named for value in group)
    return not any(equations[1:]) and (group[0].named or not equations[0])


def chain_value(formula: str) -> Value:
    r"""What a formula comes to: of `a = b = c` c, of several lines the last, of `x = 2` the whole equation."""
    formula = _TAG.sub("", formula.strip()).strip()
    if re.search(r"\\begin\{(?:align|gather|split|aligned|gathered|array)", formula):
        formula = re.sub(r"\\(?:begin|end)\{(?:align|gather|split)(?:ed)?\*?\}(?:\[\w\])?", "", formula)
    if "\\begin" not in formula:
        lines = [line for line in _CHAIN_LINE.split(formula) if line.strip(" &\n.,\\")]
        formula = lines[-1].replace("&", " ") if lines else formula
    pieces = [piece for piece in _IMPLIES.split(formula) if piece.strip(" .,;")]
    formula = (pieces[-1] if pieces else formula).strip().strip(",;").strip()
    formula = re.sub(r"(?<!\\)[.。]\s*\Z", "", formula).strip()
    return _joined_statements(formula) or _equation_value(formula)


def _joined_statements(formula: str) -> Value | None:
    r"""`x = 2 \text{ or } x = 3` as a whole: no side of one of its equations is what it says."""
    pieces, joints, at, depth = [], [], 0, 0
    for match in _JOINT.finditer(formula):
        sign = match[0]
        if sign.lstrip("\\") in ("{", "(", "["):
            depth += 1
        elif sign.lstrip("\\") in ("}", ")", "]"):
            depth -= 1
        elif depth <= 0:
            pieces.append(formula[at : match.start()])
            joints.append(sign)
            at = match.end()
    if not joints or not formula[at:].strip(" \\.,"):
        return None
    pieces.append(formula[at:])
    values = [_equation_value(piece.strip()) for piece in pieces]
    one_chain = sum("=" in piece for piece in pieces) == 1  # x = a = 3 or 1
    written = [
        f"{piece.split('=')[0].strip()} = {value.text}"
        if _is_named_chain(piece)
        else (value.side if one_chain and value.side and not value.named else value.text)
        for value, piece in zip(values, pieces, strict=True)
    ]
    return Value(" ".join(part for pair in zip(written, [*joints, ""], strict=True) for part in pair).strip())


def _is_named_chain(formula: str) -> bool:
    """Whether `x = a = b` stands there: what it comes to is x's value."""
    return formula.count("=") > 1 and _NAME.fullmatch(formula.split("=")[0]) is not None


def _equation_value(formula: str) -> Value:
    """What one equation, or a chain of them, comes to."""
    sides = [side.strip() for side in _sides(formula)]
    while len(sides) > 2 and _NAME.fullmatch(sides[-1]) and not _CONSTANT.search(sides[-1]):
        sides = sides[:-1]  # 36 - 19 = 17 = x
        formula = " = ".join(sides)
    if len(sides) < 2 or not sides[-1]:
        return Value(formula)
    if len(sides) == 2 and _NAME.fullmatch(sides[1]) and not _CONSTANT.search(sides[1]) and re.search(r"\d", sides[0]):
        return Value(formula, sides[0], named=True)
    last = _MODULUS.sub("", sides[-1]).strip().rstrip(".,; ")
    if not last:
        return Value(formula)
    if len(sides) == 2 and (not sides[0] or _NAME.fullmatch(sides[0])):
        return Value(formula, last, named=True) if sides[0] else Value(last)
    return Value(last, last) if len(sides) > 2 else Value(formula, last)


def _sides(formula: str) -> list[str]:
    """The sides of a chain of equations, where it is not one of inequalities; a rounded last side is left out."""
    depth, at = 0, 0
    if re.search(r"=[^=]*,[^=]*=", formula) and re.search(r"=[^={}()]*,[^={}()]*=", formula):
        return [formula]  # x = 1, y = 2
    sides: list[str] = []
    rounded: list[int] = []
    for match in _TOP.finditer(formula):
        sign = match[0]
        if sign in "{([" or sign in ("\\{", "\\begin"):
            depth += 1
        elif sign in "})]" or sign in ("\\}", "\\end"):
            depth -= 1
        elif depth <= 0 and sign in ("=", "≡", "\\equiv", "≈", "\\approx"):
            if sign == "=" and formula[match.start() - 1 : match.start()] in ("<", ">"):
                return [formula]
            if sign in ("≈", "\\approx"):
                rounded.append(len(sides) + 1)
            sides.append(formula[at : match.start()])
            at = match.end()
    sides.append(formula[at:])
    if rounded and rounded[-1] == len(sides) - 1 and len(sides) > 2 - bool(re.search(r"\d", sides[0])):
        sides = sides[:-1]
    return sides
