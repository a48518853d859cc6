"""What a reader of a long completion looks for: where thinking ends, where the right answer stands, what repeats."""

import re
from collections import Counter
from dataclasses import dataclass

from evalkit.results.distill_costs import first_stated
from evalkit.thinking import split_thinking

_PROBE = 64  # characters: what the text ends with is looked for before its end
_LEAST_TAIL = 600  # characters that a loop at the end covers at least
_LEAST_LINE = 24  # characters of a line that counts as repeated
_LEAST_REPEATS = 4


@dataclass(frozen=True, slots=True)
class Marks:
    """Places in a completion, in UTF-16 units as browsers count them; None and empty where there is nothing.

    `thinking_end` is where thinking ends (the closing tag follows), the length of the text if it was never closed.
    `stated` is where the right answer was first stated in full. `answer_stated` tells whether it is stated outside the
    thinking. `loops` holds (start, end, period) of stretches that repeat themselves.
    """

    thinking_end: int
    closed: bool
    stated: int | None
    answer_stated: bool
    loops: tuple[tuple[int, int, int], ...]


def mark(text: str, target: str | None) -> Marks:
    """The marks of a whole response, prefix included. `target` is the right answer, None where it is no short text."""
    parts = split_thinking(text)
    closed = parts.response is not None
    end = len(parts.thinking) if closed else len(text)
    stated = first_stated(text, target) if target and _may_state(text, target) else None
    answer_stated = stated is not None and bool(target) and first_stated(text[end:], target or "") is not None
    loops = find_loops(text)
    if text.isascii() or _units(text, len(text)) == len(text):
        return Marks(end, closed, stated, answer_stated, loops)
    return Marks(
        _units(text, end),
        closed,
        None if stated is None else _units(text, stated),
        answer_stated,
        tuple((_units(text, start), _units(text, stop), max(period, 1)) for start, stop, period in loops),
    )


def _may_state(text: str, target: str) -> bool:
    """Whether the first word of `target` is in the text at all, which costs far less to see than where."""
    first = target.split(maxsplit=1)[0] if target.strip() else ""
    return first in text or first.lower() in text.lower()


def _units(text: str, at: int) -> int:
    return len(text[:at].encode("utf-16-le", "surrogatepass")) // 2


def find_loops(text: str) -> tuple[tuple[int, int, int], ...]:
    """(start, end, period) in characters of what repeats itself: the text's exact end, or runs of the same lines.

    Examples:
        >>> find_loops("One." + "Wait, no. " * 100)
        ((4, 1004, 10),)
        >>> find_loops("Each line differs.\\nAs it should.\\n")
        ()
    """
    tail = _tail_loop(text)
    return tail or _line_loops(text)


def _tail_loop(text: str) -> tuple[tuple[int, int, int], ...]:
    if len(text) < _LEAST_TAIL:
        return ()
    for cut in (0, 1, 2):  # the last characters may already be another token
        body = text[: len(text) - cut]
        before = body.rfind(body[-_PROBE:], 0, len(body) - 1)
        if before < 0:
            continue
        period = len(body) - _PROBE - before
        start = len(body) - period
        while start >= period and body[start - period : start] == body[start : start + period]:
            start -= period
        while start > 0 and body[start - 1] == body[start - 1 + period]:
            start -= 1
        if len(body) - start >= max(_LEAST_TAIL, _LEAST_REPEATS * period):
            return ((start, len(body), period),)
    return ()


def _line_loops(text: str) -> tuple[tuple[int, int, int], ...]:
    """Stretches in which one line of some length comes again and again, other lines between them allowed."""
    lines = [line for line in text.split("\n") if len(line) >= _LEAST_LINE]
    if len(lines) - len(set(lines)) < _LEAST_REPEATS - 1:
        return ()
    counts = Counter(lines)
    found: list[tuple[int, int, int]] = []
    for line, count in counts.most_common(3):
        if count < _LEAST_REPEATS or count * len(line) < _LEAST_TAIL:
            break
        places = [match.start() for match in re.finditer(re.escape(line), text)]
        start, stop = places[0], places[-1] + len(line)
        if all(stop <= s or start >= e for s, e, _ in found):
            found.append((start, stop, (stop - start) // max(len(places), 1)))
    return tuple(sorted(found))
