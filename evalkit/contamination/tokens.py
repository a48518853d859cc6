"""Text as arrays of hashed words: what differs between two copies of a problem (case, LaTeX, spacing) is not in them.

A token is a run of letters or a run of digits; everything else separates. Hashing is polynomial in the bytes, by one
cumulative sum over the whole buffer, so that a megabyte takes some milliseconds.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]

GRAM = 3
_BOUNDARY = b" \x01 "
_SEPARATOR, _LETTER, _DIGIT, _MARK = 0, 1, 2, 3
# LaTeX that stands in one copy and not in another
IGNORED = (
    *("left", "right", "big", "bigg", "bigl", "bigr", "biggl", "biggr", "frac", "dfrac", "tfrac", "cfrac", "text"),
    *("textbf", "textit", "mathrm", "mathbf", "mathit", "displaystyle", "quad", "qquad", "cdot", "cdots", "dots"),
    *("ldots", "dotsc", "dotsb", "dotsm", "times", "ne", "neq", "le", "leq", "ge", "geq", "operatorname", "limits"),
    *("align", "begin", "end", "array", "overline", "mathbb", "mathcal", "rm", "bf", "cal"),
)
_PUNCTUATION = re.compile(
    r"""
    [\u00a0-\u00bf\u00d7\u00f7\u2000-\u2bff\u3000-\u303f\ufe00-\ufe0f\uff00-\uff0f]
    """,
    re.VERBOSE,
)
_CJK = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
_DRAWING_EDGE = re.compile(rb"[\[<](/?)asy[\]>]")
_BREAK = re.compile(rb"\n|[.:?!]\S*\s")
_BREAK_BYTES = 64  # of what separates two tokens, that are looked at
_KINDS = bytes(
    _MARK if b == 1
    else _DIGIT if 48 <= b <= 57
    else _LETTER if 65 <= b <= 90 or 97 <= b <= 122 or b >= 128
    else _SEPARATOR
    for b in range(256)
)  # fmt: skip
_LOWER = bytes(b + 32 if 65 <= b <= 90 else b for b in range(256))
_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xD6E8FEB86659FD93)
_STEPS = tuple(np.uint64(c) for c in (0x8CB92BA72F3D8DD7, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_NUMBER = np.uint64(0x27D4EB2F165667C5)


def squeezed(text: str) -> str:
    """The text without white space, dollar signs and case."""
    return re.sub(r"[\s$]", "", text).casefold()


def visible(text: str) -> str:
    """The text whose bytes the tokens point into: characters that only look different are made the same."""
    text = text.replace("\x01", " ")
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    return _CJK.sub(r"\1 ", _PUNCTUATION.sub(" ", text))


@cache
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """The powers of the base and of its inverse modulo 2^64."""
    inverse = pow(_BASE, -1, 1 << 64)
    with np.errstate(over="ignore"):
        one, other = (
            np.cumprod(np.concatenate([[np.uint64(1)], np.full(length, b, dtype=np.uint64)]), dtype=np.uint64)
            for b in (_BASE, inverse)
        )
    return one, other


def _mixed(values: Hashes) -> Hashes:
    values = values ^ (values >> np.uint64(32))
    values = values * _MIX
    return np.asarray(values ^ (values >> np.uint64(29)))


@cache
def _ignored() -> tuple[npt.NDArray[np.bool_], Hashes]:
    """Which values the highest 16 bits of an ignored word take, and the words."""
    words = tokenize([" ".join(IGNORED)], ignore=False).words[:-1]
    table = np.zeros(1 << 16, dtype=bool)
    table[words >> np.uint64(48)] = True
    return table, words


def _is_ignored(words: Hashes) -> npt.NDArray[np.bool_]:
    table, ignored = _ignored()
    found = table[words >> np.uint64(48)]
    at = np.flatnonzero(found)
    found[at] = np.isin(words[at], ignored)
    return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of several texts in a row.

    `words` are hashes; in `masked` every number has the same one. Token i stands at bytes `starts[i]` to `ends[i]` of
    `buffer`; text k has the tokens from `firsts[k]` to `firsts[k + 1]`, the last of which is a mark that no other
    text has.
    """

    buffer: bytes
    words: Hashes
    masked: Hashes
    starts: Positions
    ends: Positions
    firsts: Positions

    def text_of(self, index: Positions) -> Positions:
        """Which text the tokens at these indices are of."""
        return np.searchsorted(self.firsts, index, side="right") - 1

    def stands_alone(self, start: int, end: int) -> bool:
        """Whether tokens `start` to `end` have the end of a sentence, a colon, a line or the text on either side."""
        before = self.buffer[int(self.ends[start - 1]) if start else 0 : int(self.starts[start])]
        after = self.buffer[int(self.ends[end - 1]) : int(self.starts[end])]
        first, last = start == 0 or self._is_mark(start - 1), self._is_mark(end)
        return bool((first or _BREAK.search(before[-_BREAK_BYTES:])) and (last or _BREAK.search(after[:_BREAK_BYTES])))

    def _is_mark(self, index: int) -> bool:
        return self.buffer[int(self.starts[index])] == _BOUNDARY[1]


def _in_drawings(buffer: bytes, starts: Positions) -> npt.NDArray[np.bool_]:
    """Which tokens are of Asymptote code, from [asy] to [/asy], which copies often leave out."""
    edges: list[int] = []
    opened = -1
    for found in _DRAWING_EDGE.finditer(buffer) if b"asy]" in buffer or b"asy>" in buffer else ():
        if not found[1]:
            opened = found.start()
        elif opened >= 0:
            edges += [opened, found.end()] if _BOUNDARY not in buffer[opened : found.start()] else []
            opened = -1
    if not edges:
        return np.zeros(len(starts), dtype=bool)
    return np.asarray(np.searchsorted(edges, starts, side="right") % 2 == 1)


def tokenize(texts: Sequence[str], ignore: bool = True) -> Tokens:
    """The tokens of the texts. Drawings and what `IGNORED` names are left out."""
    buffer = _BOUNDARY.join([*(visible(text).encode("utf-8", "surrogatepass") for text in texts), b""])
    kinds = np.frombuffer(buffer.translate(_KINDS), dtype=np.uint8)
    edges = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
    edges = np.concatenate([[0], edges, [len(kinds)]]).astype(np.int64)
    kind = kinds[edges[:-1]] if len(kinds) else np.zeros(0, dtype=np.uint8)
    kept = kind != _SEPARATOR
    starts, ends, kind = edges[:-1][kept], edges[1:][kept], kind[kept]
    length = 1 << max(len(buffer), 1 << 21).bit_length()
    powers, inverses = _powers(length)
    sums = np.zeros(len(buffer) + 1, dtype=np.uint64)
    lower = np.frombuffer(buffer.translate(_LOWER), dtype=np.uint8)
    np.cumsum(lower * powers[: len(buffer)], out=sums[1:])
    words = _mixed((sums[ends] - sums[starts]) * inverses[starts])
    if ignore:
        stays = ~(_is_ignored(words) | _in_drawings(buffer, starts))
        starts, ends, kind, words = starts[stays], ends[stays], kind[stays], words[stays]
    marks = np.flatnonzero(kind == _MARK)
    masked = np.where(kind == _DIGIT, _NUMBER, words)
    firsts = np.concatenate([[0], marks + 1]).astype(np.int64)
    return Tokens(buffer, words, masked, starts, ends, firsts)


def grams(words: Hashes) -> Hashes:
    """The hashes of every `GRAM` tokens in a row; one less than `GRAM` of them fewer than there are tokens."""
    count = max(len(words) - GRAM + 1, 0)
    total = np.zeros(count, dtype=np.uint64)
    for i, step in enumerate(_STEPS):
        total += words[i : i + count] * step
    return total ^ (total >> np.uint64(31))


def numeric(masked: Hashes) -> npt.NDArray[np.bool_]:
    """For each of the `grams` of masked words, whether most of its tokens are numbers."""
    numbers = (masked == _NUMBER).astype(np.int64)
    count = max(len(masked) - GRAM + 1, 0)
    return np.asarray(sum((numbers[i : i + count] for i in range(GRAM)), np.zeros(count, dtype=np.int64)) >= 2)
