"""Leaves out the questions of sets whose authors ask that they are not published, and their echoes in responses."""

import re
from collections.abc import Iterable

_WORDS = 8  # so many words of a question in a row are a quotation of it
_WORD = re.compile(r"\w+")


class Redaction:
    """Masks what a text quotes of a problem: stretches of 8 words or more that stand in it in the same order.

    Examples:
        >>> secret = Redaction(["Which of these nine moons has the thickest atmosphere of all?"])
        >>> secret.masked("They ask which of these nine moons has the thickest atmosphere. Titan.")
        'They ask [9 words of the question left out]. Titan.'
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._known: set[tuple[str, ...]] = set()
        for text in texts:
            words = [word.lower() for word in _WORD.findall(text)]
            self._known.update(tuple(words[i : i + _WORDS]) for i in range(max(len(words) - _WORDS + 1, 1)) if words)

    def masked(self, text: str) -> str:
        """`text` with each quotation replaced by a note of how many words it had."""
        found = list(_WORD.finditer(text))
        words = [match[0].lower() for match in found]
        quoted = bytearray(len(words))
        lengths = sorted({len(known) for known in self._known})
        for length in lengths:
            for i in range(len(words) - length + 1):
                if tuple(words[i : i + length]) in self._known:
                    quoted[i : i + length] = b"\1" * length
        if not any(quoted):
            return text
        parts, at, i = [], 0, 0
        while i < len(words):
            if not quoted[i]:
                i += 1
                continue
            last = i
            while last + 1 < len(words) and quoted[last + 1]:
                last += 1
            parts += [text[at : found[i].start()], f"[{last - i + 1} words of the question left out]"]
            at, i = found[last].end(), last + 1
        return "".join([*parts, text[at:]])
