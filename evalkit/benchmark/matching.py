"""Finds the problem that a prompt asks: copies of a benchmark differ in LaTeX and line breaks, hardly in words."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

LIKE, CLEARLY = 0.6, 0.15  # Dice's coefficient that is taken for the same, and by how much it has to lead

Words = tuple[str, ...]


def words(text: str) -> Words:
    """The words and numbers of a text, in lower case, without its punctuation."""
    return tuple(re.findall(r"[a-z]+|[0-9]+", text.lower()))


def likeness(one: Words, other: Words) -> float:
    """Dice's coefficient of the words, counted with repetition: 1 for the same words, 0 for none in common."""
    return 2 * (Counter(one) & Counter(other)).total() / max(len(one) + len(other), 1)


def stands_in(part: str, text: str) -> bool:
    """Whether the words of a part stand one after the other in a text.

    Examples:
        >>> stands_in("Who wrote *Faust*?", "Please answer: who wrote Faust? Think.")
        True
    """
    return f" {' '.join(words(part))} " in f" {' '.join(words(text))} " or not words(part)


class Found(NamedTuple):
    """Which of the texts a prompt asks: `key` names it, `share` is the share of its words that are the same."""

    key: str
    share: float


class TextIndex:
    """Texts by key, to be found in longer ones."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        self._keys: dict[Words, str] = {}
        for key, text in texts:
            self._keys.setdefault(words(text), key)
        self._whole = {f" {' '.join(text)} ": key for text, key in self._keys.items() if text}
        self._known: dict[Words, Found | None] = {}

    def find(self, prompt: str) -> Found | None:
        """The text that stands in the prompt, the longest where there are several; else the one clearly nearest."""
        asked = words(prompt)
        if asked not in self._known:
            self._known[asked] = self._search(asked)
        return self._known[asked]

    def _search(self, asked: Words) -> Found | None:
        if key := self._keys.get(asked):
            return Found(key, 1.0)
        whole = f" {' '.join(asked)} "
        inside = [text for text in self._whole if text in whole]
        if inside:
            return Found(self._whole[max(inside, key=len)], 1.0)
        near = sorted(((likeness(text, asked), key) for text, key in self._keys.items()), reverse=True)[:2]
        if near and near[0][0] >= LIKE and (len(near) == 1 or near[0][0] - near[1][0] >= CLEARLY):
            return Found(near[0][1], near[0][0])
        return None
