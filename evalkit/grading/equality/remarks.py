r"""What an answer says beside its value, in words and marks: "5 (since x > 0)", "There are 12 ways", "5 \checkmark"."""

import re

from evalkit.grading.latex.vocabulary import BASE_WORDS, TEXT_COMMANDS

LONGEST = 1000  # characters of an answer with remarks
_TEXT = rf"\\(?:{'|'.join(sorted(TEXT_COMMANDS, reverse=True))})\s*+\{{"
_SPACES = r"(?:\\[,;:! ]|\\q?quad(?![a-z])|[\s~$])*+"
# a mark behind the last line: a tick, the end of a proof
_TICK = r"(?:\\(?:checkmark|blacksquare|square|qed|qedsymbol|Box|bigstar|blacklozenge)(?![A-Za-z])|[✓✔✅■∎□])"
_MARK = re.compile(
    rf"""
    (?<=[\w)}}\]!%])(?:[\s~$]|\\[,;:! ]|\\q?quad(?![a-z])|\\hfill(?![a-z]))*+
    (?:{_TEXT}\s*+{_TICK}\s*+\}}|{_TICK})[\s.$]*+\Z
    """,
    re.VERBOSE,
)
# a bracket whose words stand in \text{…}, which \text may begin or end inside: \text{ (about } 37.7), (\text{or } 5)
_OPENED = re.compile(rf"{_TEXT}\s*+\(([a-z][^(){{}}]*+)\}}([^(){{}}]{{1,80}}+)\)", re.IGNORECASE)
_INSIDE = re.compile(rf"\(\s*+{_TEXT}([a-z][^(){{}}]*+)\}}([^(){{}}]{{0,80}}+)\)", re.IGNORECASE)
_WHOLLY = re.compile(rf"{_TEXT}\s*+\(([a-z][^(){{}}]*+)\)\s*+\}}", re.IGNORECASE)
_BESIDE = re.compile(r"(?:or|i\.e\.|that is|equivalently|approx|about|roughly)", re.IGNORECASE)
# why the value is the answer: only behind a value, to the end
_REASON = re.compile(
    rf"""
        (?<=[\w)}}\]]){_SPACES}[,;]?{_SPACES}(?:\(\s*+)?(?:{_TEXT}\s*+[,;]?\s*+
        \(?)?(?<![A-Za-z])(?:since|because)(?![A-Za-z])
        """,
    re.VERBOSE,
)
_THERE_ARE = re.compile(
    rf"""
    \A\s*+(?:{_TEXT}\s*+)?(?:(?:so|thus|hence|therefore),?\s)?there\s(?:is|are|were)\s*+
    (?:(?:exactly|precisely|only|a\ total\ of|in\ total)\s*+)?\}}{_SPACES}(?=\d|\\[dt]?frac|\\binom)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# the variables of what is counted: 12 \text{ pairs } (x, y), 3 \text{ values of } n
_COUNTED = re.compile(
    rf"""
    (?<=[\w)}}\]])(?P<noun>{_SPACES}{_TEXT}[^{{}}]*?
        (?:pairs?|triples?|triplets?|tuples?|quadruples?|points?|solutions?|values?|integers?|numbers?|primes?)
    (?:\s+(?:of|for))?\s*+\}}){_SPACES}
    (?:[a-zA-Z]|\(\s*[a-zA-Z](?:_\d)?(?:\s*,\s*[a-zA-Z](?:_\d)?){{1,5}}\s*\))[\s.$]*\Z
    """,
    re.VERBOSE,
)
# the result of a division with its remainder: 5 \text{ R } 2
_REMAINDER = re.compile(
    rf"""[\s$]*+(\d+){_SPACES}(?:{_TEXT}\s*+)?(?:with\s+)?(?:an?\s+)?
    (?:R|r|rem\.?|remainder)(?:\s+(?:of|is))?\s*+\}}?{_SPACES}(\d+)\s*+\}}?[\s.$]*+""",
    re.VERBOSE,
)

# a numeral with its base in words: 2516 \text{ base } 8, 1010 (base two)
_BASE = re.compile(
    rf"""(?<![\w.,{{}}_^\\])([0-9A-F]{{1,60}})(?![0-9A-F]){_SPACES}(?:\(\s*+)?(?:{_TEXT}\s*+\(?(?:in\s+)?)?base[\s-]*+
    \}}?{_SPACES}(\d{{1,2}}|{"|".join(BASE_WORDS)})(?![\w])\s*+\)?\s*+\}}?\s*+\)?(?=[\s.$]*+\Z)""",
    re.VERBOSE,
)

# siunitx
_SI = re.compile(
    r"""
        \\(?:SI|qty)\s*(?:\[[^\]]*\])?\s*\{([^{}]*)\}\s*\{((?:[^{}]|\{[^{}]*\})*)\}
        """,
    re.VERBOSE,
)
_NUM = re.compile(r"\\num\s*(?:\[[^\]]*\])?\s*\{([^{}]*)\}")
_ANG = re.compile(r"\\ang\s*\{([-+\d.]+)\}")
_UNIT = re.compile(r"\\(?:si|unit)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_PREFIX = re.compile(r"\b(kilo|mega|giga|milli|micro|nano|pico|centi|deci) (?=[a-z])")


def without_remarks(text: str) -> str:
    r"""The text without what it says beside its value, and with the units of siunitx as words.

    Examples:
        >>> without_remarks(r"5 \text{ (since } x > 0)")
        '5'
        >>> without_remarks(r"\text{There are } 12 \text{ ways}")
        '12 \\text{ ways}'
    """
    if len(text) > LONGEST or "\\begin" in text:
        return text
    if division := _REMAINDER.fullmatch(text):
        return f"{division[1]} R {division[2]}"
    text = _units_in_words(text)
    text = _BASE.sub(r"\1_{\2}", text)
    text = _MARK.sub("", text)
    for bracket in (_OPENED, _INSIDE, _WHOLLY):
        text = bracket.sub(_bracketed, text)
    if reason := _REASON.search(text):
        text = text[: reason.start()]
        text += "}" * (text.count("{") - text.count("}"))  # \\text{5, since x > 0}
    text = _THERE_ARE.sub("", text)
    return _COUNTED.sub(r"\g<noun>", text)


def _bracketed(match: re.Match[str]) -> str:
    """The bracket with its words bare, where a rule of `phrases` reads it so: (or 0.5), (approximately 37.7)."""
    words = "".join(group for group in match.groups() if group)
    return f" ({words.strip()})" if _BESIDE.match(words) and re.search(r"\d", words) else match[0]


def _units_in_words(text: str) -> str:
    if not re.search(r"\\(?:SI|qty|num|ang|si|unit)(?![A-Za-z])", text):
        return text
    text = _SI.sub(lambda match: f"{match[1]} {_written(match[2])}", text)
    text = _UNIT.sub(lambda match: f" {_written(match[1])}", text)
    return _ANG.sub(r"\1^\\circ", _NUM.sub(r"\1", text))


def _written(unit: str) -> str:
    r"""\meter\per\second\squared as \text{meter / second ^2}."""
    if re.fullmatch(r"\s*(?:\\percent|\\?%)\s*", unit):
        return r"\%"
    if degrees := re.fullmatch(r"\s*\\degree(Celsius|Fahrenheit)?\s*", unit):
        return r"^\circ" + (rf"\text{{{degrees[1][0]}}}" if degrees[1] else "")
    words = re.sub(r"\\([A-Za-z]+)", r" \1 ", unit.replace("~", " ").replace(".", " "))
    words = re.sub(r"\s+", " ", words.replace("^{", "^").replace("}", "")).strip()
    words = _PREFIX.sub(r"\1", words)
    words = words.replace(" squared", "^2").replace(" cubed", "^3").replace(" per ", "/")
    return rf"\text{{ {words}}}"
