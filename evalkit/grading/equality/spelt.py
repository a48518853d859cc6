"""Numbers and dates in words: "two hundred", "negative one half", "three and a half", "20 June"."""

import re

from evalkit.grading.latex.vocabulary import NUMBER_WORDS, PARTS, WRAPPER_COMMAND

_WORDS = re.compile(
    rf"""
        [\s$]*+(?:{WRAPPER_COMMAND}\{{)?\s*+([A-Za-z][A-Za-z\s-]{{2,80}})\}}?[\s.$]*+
        """,
    re.VERBOSE,
)
_SMALL = {word: number for word, number in NUMBER_WORDS.items() if number < 100}
_POWERS = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {**PARTS, "thousandth": 1000, "millionth": 10**6}
_FULL = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
]  # fmt: skip
_MONTHS = {name: at for at, month in enumerate(_FULL, 1) for name in (month, month[:3])} | {"sept": 9}
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:\s*,?\s*(?P<year>\d{4}))?"
_DATES = (
    re.compile(rf"(?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH}\.?{_YEAR}", re.IGNORECASE),
    re.compile(rf"{_MONTH}\.?\s+(?:the\s+)?{_DAY}{_YEAR}", re.IGNORECASE),
)


def spelt_number(text: str) -> str | None:
    """The number that a text of nothing but number words tells, in LaTeX; None for any other text."""
    match = _WORDS.fullmatch(text) if len(text) <= 200 else None
    if match is None:
        return None
    words = match[1].lower().replace("-", " ").split()
    sign = "-" if words[0] in ("negative", "minus") else ""
    if words[-1] in ("a", "an"):
        return None
    found = _fraction(words[1:] if sign else words)
    if found is None:
        return None
    above, below = found
    return f"{sign}{above}" if below == 1 else rf"{sign}\frac{{{above}}}{{{below}}}"


def _fraction(words: list[str]) -> tuple[int, int] | None:
    """(numerator, denominator) of "two thirds", "three and a half", "two hundred"."""
    if (whole := _whole(words)) is not None:
        return whole, 1
    if not words:
        return None
    named = _PARTS.get(words[-1]) or _PARTS.get(words[-1].removesuffix("s").replace("halve", "half"))
    if named is None:
        return None
    before = words[:-1]
    at = max((at for at, word in enumerate(before) if word == "and"), default=-1)
    for cut in (-1, at):  # "one hundred and five thousandths" has no whole number before it
        whole = 0 if cut < 0 else _whole(before[:cut])
        count = _whole(before[cut + 1 :])
        plural = words[-1].endswith("s")
        if whole is not None and count is not None and count > 0 and plural == (count > 1):
            return whole * named + count, named
    return None


def _whole(words: list[str]) -> int | None:
    total, part, limit = 0, 0, 10**18
    if not words or words[-1] == "and" or words[0] == "and":
        return None
    started = False
    for at, word in enumerate(words):
        if word in ("a", "an") and at == 0 and len(words) <= 2:
            part = 1
        elif word == "and" and words[at - 1] in ("hundred", *_POWERS):
            continue
        elif word in _SMALL:
            value = _SMALL[word]
            room = not started or part % 100 == 0 or (part % 100 >= 20 and part % 10 == 0 and value < 10)
            if not room or (value == 0 and len(words) > 1) or (started and words[at - 1] == "zero"):
                return None
            part += value
        elif word == "hundred" and 0 < part < 100:
            part *= 100
        elif word in _POWERS and part > 0 and _POWERS[word] < limit:
            limit = _POWERS[word]
            total, part = total + part * limit, 0
        else:
            return None
        started = True
    return total + part


def date(text: str) -> tuple[int, int, str] | None:
    """(month, day, year or nothing) of "20 June", "June 20th", "the 4th of July, 1776"; None for anything else."""
    if len(text) > 40:
        return None
    for pattern in _DATES:
        if match := pattern.fullmatch(text.strip(" .")):
            return _MONTHS[match["month"].lower()], int(match["day"]), match["year"] or ""
    return None
