"""What makes a text unfit to train on: it repeats itself, it mixes languages, it is there already."""

import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from evalkit.engines.repetition import loop_period

_LOOP_WORDS, _LOOP_REPEATS = 60, 4
_RUN = 12  # words: a run of so many that comes again and again is a loop that the text came out of
_REPEATED_SHARE = 0.5
_FACTORS = np.random.default_rng(0).integers(1, 1 << 63, _RUN, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_MIXED_LETTERS, _MIXED_SHARE = 5, 0.01
_HALVES = re.compile("[\ud800-\udfff]")
_TAGS = re.compile(r"<[^<>]{1,40}>|\\[a-zA-Z]+")
# scripts that one language writes side by side, and Greek and letters of formulas, which every language uses
_ONE_LANGUAGE = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "BOPOMOFO": "CJK", "FULLWIDTH": "CJK"}
_NO_LANGUAGE = ("GREEK", "MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER", "SUPERSCRIPT", "SUBSCRIPT")
_NO_LANGUAGE_TOO = ("MODIFIER", "MICRO", "FEMININE", "MASCULINE", "ANGSTROM", "KELVIN", "OHM", "PLANCK", "INFORMATION")


def is_looping(text: str) -> bool:
    """Whether a text ends in an exact loop, or is mostly made of the same runs of words.

    Examples:
        >>> is_looping("We try again. " * 40), is_looping("We try x = 3. " + "Then it fits. ")
        (True, False)
    """
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    words = [numbers[word] for word in text.split()]
    if loop_period(words, _LOOP_WORDS, _LOOP_REPEATS) is not None:
        return True
    runs = len(words) - _RUN + 1
    if runs < _LOOP_WORDS:
        return False
    array, hashes = np.array(words, dtype=np.uint64), np.zeros(runs, dtype=np.uint64)
    for place, factor in enumerate(_FACTORS):
        hashes += array[place : place + runs] * factor
    return 1 - len(np.unique(hashes)) / runs > _REPEATED_SHARE


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    if letter < "\u0250":
        return "LATIN" if letter.isascii() or letter not in "ªµº" else ""
    first = unicodedata.name(letter, "").partition(" ")[0]
    if first in _NO_LANGUAGE or first in _NO_LANGUAGE_TOO:
        return ""
    return _ONE_LANGUAGE.get(first, first)


def scripts(text: str) -> Counter[str]:
    """The letters of a text by script; tags, LaTeX commands and letters of formulas are left out."""
    counts: Counter[str] = Counter()
    for letter, number in Counter(_TAGS.sub(" ", text)).items():
        if letter.isalpha() and (script := _script(letter)):
            counts[script] += number
    return counts


def mixes_languages(text: str) -> bool:
    """Whether a text has letters of a second script: more than 1% of all, and at least 5.

    Languages of one script, such as English and German, are not told apart. Latin letters beside another script are
    names and formulas as long as the other script has most of the letters.

    Examples:
        >>> mixes_languages("First we add, 然后我们相减 and get 3."), mixes_languages("我们设 x 为苹果, 得到 x = 3。")
        (True, False)
    """
    if text.isascii():
        return False
    counts = scripts(text)
    total = counts.total()
    if not total:
        return False
    main, most = counts.most_common(1)[0]
    others = total - most - (counts["LATIN"] if main != "LATIN" else 0)
    return others >= _MIXED_LETTERS and others > _MIXED_SHARE * total


def same_text(text: str) -> str:
    """What two copies of a text share: everything but case, white space and dollar signs.

    Examples:
        >>> same_text("So  x = 3.") == same_text("so $x=3$."), same_text("7 + 8") == same_text("7 - 8")
        (True, False)
    """
    return "".join(text.lower().replace("$", " ").split())


def whole_characters(text: str) -> str:
    """`text` with U+FFFD in place of halves of characters, which JSON can hold, and parquet and tokenizers cannot."""
    return _HALVES.sub("\ufffd", text)


def word_runs(text: str, length: int = 3) -> set[int]:
    """Hashes of every `length` words in a row."""
    words = text.lower().split()
    parts: Iterable[str] = (" ".join(words[i : i + length]) for i in range(max(len(words) - length + 1, 1)))
    return {zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts}
