"""What a short sentence says: the value of "The mode is 1/3.", and whether it says something else than a value."""

import re
from functools import lru_cache

from evalkit.grading.latex.vocabulary import unwrapped

# what takes a number back, bounds it, or names it for another reason
_HEDGES = re.compile(
    r"""(?<![a-z])(?:
    less|more|fewer|greater|larger|smaller|bigger|at\ (?:least|most)|between|up\ to|over|under|below|above|within
    |either|neither|nor|not|no|never|except|excluding|excluded|other\ than|but|without|unless|if|only\ if
    |fails?|false|wrong|incorrect|impossible|cannot|can['’]?t|does(?:n['’]?t|\ not)|is(?:n['’]?t|\ not)|rejected
    |extraneous|unknown|too\ (?:small|large|big)|varies|depends
    |(?:multiple|divisor|factor|power|root)s?\ of|divides|divisible|remainder|modulo|mod
    |(?:minimum|maximum|half)\ of|twice|times\ as|any|every|each|some
    |case|step|equation|attempts?|tries
    )(?![a-z])""",
    re.IGNORECASE | re.VERBOSE,
)
_IS = re.compile(
    r"""(?<![A-Za-z])(?:is|are|was|were|equals|is\ equal\ to|be)\s+
    (?:exactly\s+|equal\ to\s+|:\s*)?  # what may stand before the value""",
    re.VERBOSE,
)
_VALUE = re.compile(
    r"""(?P<value>-?\s*(?:\\[a-z]+|[\d.(\[{$√π]).*?  # a formula
        |\\?\$?-?\d[\d.,/]*)
    (?P<unit>\s+[A-Za-z][A-Za-z\ ]{0,30})?\s*""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"(?<![\w.,/^_])-?\d+(?:,\d{3})*(?:\.\d+)?(?:\s?/\s?\d+)?(?![\w^_/])")
_WORD = re.compile(r"[A-Za-z]{3,}")
# words after which a number counts nothing
_LINKS = re.compile(
    r"""(?<![a-z])(?:
    of|by|to|from|in|at|on|for|per|with|after|before|than|and|or|as
    |number|no|page|part|question|problem|option|choice|base|figure|table|line|row  # they number things
    )\s*\Z""",
    re.IGNORECASE | re.VERBOSE,
)


_SEVERAL = re.compile(
    r"""(?<![A-Za-z])(?:
    or|where|with|for\ (?:all|any|every|some)|and\ (?:the|all|odd|even|every|prime)|respectively
    |January|February|March|April|May|June|July|August|September|October|November|December
    )(?![A-Za-z])""",
    re.VERBOSE,
)


@lru_cache(maxsize=64)
def flat(text: str) -> str:
    """The words of a text on one line: wrappers, dollar signs, markdown and spacing commands taken off."""
    text = re.sub(
        r"""
        \\(?:[,;:! ]|q?quad(?![a-z])|left(?![a-z])|right(?![a-z]))|~|(?<!\\)\$|\\[()\[\]]|\*\*
        """,
        " ",
        unwrapped(text),
        flags=re.VERBOSE,
    )
    return re.sub(r"\s+", " ", text).strip()


def is_hedged(text: str) -> bool:
    """Whether a text bounds, rejects or only mentions its numbers: "less than 10", "10 does not work"."""
    sentence = flat(text)
    hedges = {match[0].casefold() for match in _HEDGES.finditer(sentence)}
    if hedges == {"not"} and len(_NUMBER.findall(sentence)) > 1:
        return False  # not 5 but 6
    return bool(hedges)


def has_words(text: str) -> bool:
    """Whether a text holds words of three letters, or of another script, that no command spells."""
    return re.search(r"[^\W\d_]{3}|[^\W\d_a-zA-Zα-ωΑ-Ω]", re.sub(r"\\[A-Za-z]+", " ", flat(text))) is not None


def is_of_several(text: str) -> bool:
    """Whether the last number of a sentence is one of several things that it tells: a date, an alternative, a second
    value or condition.
    """
    return _SEVERAL.search(flat(text)) is not None


def said_value(text: str, *, counted: bool = True) -> str | None:
    """The value (with its unit) that a sentence of a few words states; None where it states none or several. Without
    `counted` only one that "is" something, not the one number of "7 diners came".
    """
    sentence = flat(text).rstrip(". ")
    if len(sentence) > 200 or not _WORD.search(sentence) or is_hedged(sentence) or re.search(r"\?|=.*=", sentence):
        return None
    anchors = list(_IS.finditer(sentence))
    if anchors and _NUMBER.search(sentence[: anchors[-1].start()]):
        return None  # of two values
    if anchors and _WORD.search(sentence[: anchors[-1].start()]):
        said = sentence[anchors[-1].end() :]
        said = re.sub(r"^(?:an?|the|about|approximately)\s+|^[A-Za-z](?:_\w|_\{\w+\})?\s*=\s*", "", said)
        if re.fullmatch(r"[A-Za-z]+(?:[- ][A-Za-z]+)?", said):
            return said
        several = re.search(r"[,;]|(?<![a-z])(?:and|or)(?![a-z])", said) and len(_NUMBER.findall(said)) > 1
        return said if _VALUE.fullmatch(said) and not several else None
    numbers = list(_NUMBER.finditer(sentence)) if counted else []
    if len(numbers) != 1 or re.search(r"[\\^_={}<>()]", sentence) or _LINKS.search(sentence[: numbers[0].start()]):
        return None
    noun = re.match(r"\s+(?!and |or |of |in )([a-z]{3,})(?=\s+[a-z]{2,}|\Z)", sentence[numbers[0].end() :])
    return f"{numbers[0][0]} {noun[1]}" if noun else None
