"""How many requests run at once without outgrowing the cache of keys and values.

vLLM starts a request as soon as its prompt fits. All of them grow, and when the cache is full it throws out the latest
ones and computes them anew. So the requests under way are projected to their ends, as in Gong et al. 2025, "Past-Future
Scheduler for LLM Serving under SLA Guarantees" (ASPLOS): the cache is fullest just before one of them ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_USED_SHARE = 1.1  # of the cache, at the expected peak: not all that outgrow their expectation do so at once
_LONGER = 1.3  # times what it has made: how long one gets that has outgrown its expectation
_UNKNOWN = 0.25  # of the limit: the length of one that nothing is known of
_ALIKE = 32  # the next requests are taken to be like the latest ones


class Flight(NamedTuple):
    """A request under way, in tokens. `expected` is the length of its completion, None where nobody can tell."""

    prompt: int
    made: int
    expected: int | None
    limit: int

    @property
    def final(self) -> float:
        """How long its completion is expected to get."""
        expected = self.expected if self.expected is not None else _UNKNOWN * self.limit
        return min(self.limit, max(expected, _LONGER * self.made))


class KVBudget:
    """`capacity` is the cache's size in tokens, None where it is not known; `most_rows` run at most."""

    def __init__(self, capacity: int | None, most_rows: int) -> None:
        self.capacity = capacity
        self.most_rows = most_rows

    def rows(self, flights: Sequence[Flight]) -> int:
        """How many requests may be under way, those in `flights` included: at least 1, and at most `most_rows`."""
        if self.capacity is None:
            return self.most_rows
        if not flights:
            return 1  # what the first one is like tells how many of its kind fit
        limit = _USED_SHARE * self.capacity
        now = np.array([each.prompt + each.made for each in flights], dtype=float)
        left = np.array([each.final - each.made for each in flights], dtype=float)
        latest = flights[-_ALIKE:]
        prompt = sum(each.prompt for each in latest) / len(latest)
        final = sum(each.final for each in latest) / len(latest)
        few, many = 0, max(0, self.most_rows - len(flights))
        while few < many:
            middle = (few + many + 1) // 2
            if peak(np.append(now, np.full(middle, prompt)), np.append(left, np.full(middle, final))) <= limit:
                few = middle
            else:
                many = middle - 1
        return min(len(flights) + few, self.most_rows)


def peak(now: np.ndarray, left: np.ndarray) -> float:
    """The most tokens that are in the cache at once, of requests that hold `now` and end after `left` more each."""
    order = np.argsort(left, kind="stable")
    held = np.cumsum(now[order][::-1])[::-1]
    return float((held + np.arange(len(now), 0, -1) * left[order]).max())
