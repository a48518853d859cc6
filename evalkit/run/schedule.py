"""The order of a run's requests: longest expected first, learnt while the run goes on.

A run ends when its longest straggler does, so what is expected to take longest starts first and the short ones fill
the tail (Graham 1969, "Bounds on multiprocessing timing anomalies": longest processing time first). How long a
completion gets is not known, but the samples of one problem resemble each other: one sample of every problem starts
early, and the rest are ordered by what the finished and the still running samples of their problem say. Between equals
the one fewest samples of which were drawn comes first: an engine with room for more than one sample of every problem
before any has ended takes some of each, and what the long problems have left goes next.

Lengths are modelled as log-normal with a mean for each task and for each problem of it. A sample still running counts
as the length to be expected of one that has not ended by now: the first to finish are the short ones, and to take
them for the whole would put the long problems last.
"""

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

BETWEEN_PROBLEMS = 0.7
WITHIN_PROBLEM = 0.5
"""Standard deviations of the logarithm of a length, assumed of every task."""

_FIRST_GUESS = 0.25  # of the limit: a completion's length before anything was seen of its task
_MARGIN = 2.0  # standard errors above the mean at which a problem is placed: one that may be long is tried early
_MOST_RUNNING = 8  # of a problem's running samples, the oldest, are looked at
_MEMORY = 0.98  # of the speed: what a completion that has ended weighs after each later one
_LONG = 1.5  # standard deviations above the mean: about as long as a problem's samples get
_REFRESHES = 8  # of all priorities, while as many requests are drawn as there are problems


@dataclass(slots=True)
class _Problem:
    """What is left of one problem, and what is known of its lengths."""

    task: int
    left: "range | list[int]"
    drawn: int = 0
    finished: int = 0
    log_sum: float = 0.0
    running: "dict[int, float] | None" = None
    version: int = 0


class Schedule:
    """Which sample of which problem starts next.

    `limits` are the most tokens a completion of each task may have; `problems` are (task, sample indices wanted)
    pairs: a range takes no memory for its samples. A draw costs O(log problems), memory depends on problems and
    running samples alone. `clock` gives seconds. Not thread-safe.
    """

    def __init__(
        self,
        limits: Sequence[int],
        problems: Sequence[tuple[int, "range | list[int]"]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._log_means = [math.log(max(1.0, _FIRST_GUESS * limit)) for limit in limits]
        self._problems = [_Problem(task, left) for task, left in problems]
        self._clock = clock
        self._pace = 0.0
        self._recent = (0.0, 0.0)  # tokens and seconds of what has ended, the latest weighing most
        self._left = sum(len(problem.left) for problem in self._problems)
        self._running = 0
        self._draws_left = 0
        self._heap: list[tuple[bool, float, int, int, int]] = []

    def __len__(self) -> int:
        """How many samples were not drawn yet."""
        return self._left

    def draw(self) -> tuple[int, int]:
        """(problem, sample index) of the one to start now. Raises IndexError if none is left."""
        now = self._clock()
        if self._draws_left <= 0:
            self._refresh(now)
        while True:
            *_, number, version = heapq.heappop(self._heap)
            problem = self._problems[number]
            if version == problem.version:
                break
        sample = problem.left[problem.drawn]
        problem.drawn += 1
        if problem.running is None:
            problem.running = {}
        problem.running[sample] = now
        self._left -= 1
        self._running += 1
        self._draws_left -= 1
        self._push(number, now)
        return number, sample

    def expected(self, number: int) -> float:
        """The mean length in tokens of a completion of that problem, by what is known now."""
        problem = self._problems[number]
        mean, variance = self._belief(problem, self._clock())
        return _expected_length(mean, math.sqrt(variance + WITHIN_PROBLEM**2), 0.0, self._limits[problem.task])

    def finish(self, number: int, sample: int, tokens: int | None) -> None:
        """A sample has ended with `tokens` tokens, None where it failed or nobody counted."""
        problem = self._problems[number]
        now = self._clock()
        start = problem.running.pop(sample, None) if problem.running else None
        if tokens:
            problem.finished += 1
            problem.log_sum += math.log(tokens)
        if start is not None:
            self._running -= 1
            if tokens and now > start:
                pace = tokens / (now - start)
                self._pace += (pace - self._pace) * (0.05 if self._pace else 1.0)
                self._recent = (_MEMORY * self._recent[0] + tokens, _MEMORY * self._recent[1] + now - start)
        self._push(number, now)

    def seconds_left(self) -> float | None:
        """Until the last sample will have ended, at the pace of now; None before one has.

        By Little's law the engine makes (samples running) x (tokens of one a second) tokens a second. What is to come
        is expected from the beliefs that give the order. Near the end it is the longest sample that counts: the most
        that any one may still take, with all but a small chance.
        """
        if not self._recent[1]:
            return None
        now, pace = self._clock(), self._recent[0] / self._recent[1]
        total = longest = 0.0
        for problem in self._problems:
            left = len(problem.left) - problem.drawn
            if not left and not problem.running:
                continue
            mean, variance = self._belief(problem, now)
            spread, limit = math.sqrt(variance + WITHIN_PROBLEM**2), self._limits[problem.task]
            total += left * _expected_length(mean, spread, 0.0, limit)
            most = min(limit, math.exp(min(mean + _LONG * spread, 700.0)))
            if left:
                longest = max(longest, most)
            for start in (problem.running or {}).values():
                made = (now - start) * pace
                rest = max(_expected_length(mean, spread, made, limit) - made, 0.0)
                total, longest = total + rest, max(longest, most - made, rest)
        return max(total / max(self._running, 1), longest) / pace

    def _push(self, number: int, now: float) -> None:
        problem = self._problems[number]
        problem.version += 1
        if problem.drawn < len(problem.left):
            heapq.heappush(self._heap, self._entry(number, problem, now))

    def _refresh(self, now: float) -> None:
        """Learn the tasks' means and compute every priority anew: the running samples have aged meanwhile."""
        seen = [(0.0, 0)] * len(self._log_means)
        for problem in self._problems:
            if problem.finished or problem.running:
                total, count = seen[problem.task]
                mean, _ = self._belief(problem, now)
                seen[problem.task] = total + mean, count + 1
        for task, (total, count) in enumerate(seen):
            if count:
                self._log_means[task] = total / count
        self._heap = []
        for number, problem in enumerate(self._problems):
            if problem.drawn < len(problem.left):
                problem.version += 1
                self._heap.append(self._entry(number, problem, now))
        heapq.heapify(self._heap)
        self._draws_left = max(len(self._problems), self._running) // _REFRESHES

    def _entry(self, number: int, problem: _Problem, now: float) -> tuple[bool, float, int, int, int]:
        """What the heap sorts by: problems that nothing is known of, then the longest, then the fewest draws."""
        mean, variance = self._belief(problem, now)
        known = problem.drawn > 0 or problem.finished > 0
        return known, -mean - _MARGIN * math.sqrt(variance), problem.drawn, number, problem.version

    def _belief(self, problem: _Problem, now: float) -> tuple[float, float]:
        """Mean and variance of what the mean log-length of a problem may be, given its task's mean.

        The conjugate normal model; a running sample stands in with the mean of what is above its length by now.
        """
        precision = BETWEEN_PROBLEMS**-2 + problem.finished * WITHIN_PROBLEM**-2
        weighted = self._log_means[problem.task] * BETWEEN_PROBLEMS**-2 + problem.log_sum * WITHIN_PROBLEM**-2
        if problem.running and self._pace:
            mean, spread = weighted / precision, math.sqrt(1 / precision + WITHIN_PROBLEM**2)
            for start in islice(problem.running.values(), _MOST_RUNNING):
                elapsed = (now - start) * self._pace
                if elapsed > 1:
                    above = _mean_above((math.log(elapsed) - mean) / spread)
                    weighted += (mean + spread * above) * WITHIN_PROBLEM**-2
                    precision += WITHIN_PROBLEM**-2
        return weighted / precision, 1 / precision


def _mean_above(threshold: float) -> float:
    """The mean of a standard normal variable that lies above `threshold` (the inverse Mills ratio)."""
    if threshold > 5:
        return threshold + 1 / threshold
    density = math.exp(-threshold * threshold / 2) / math.sqrt(2 * math.pi)
    return density / (0.5 * math.erfc(threshold / math.sqrt(2)))


def _expected_length(mean: float, spread: float, above: float, limit: float) -> float:
    """The mean of a log-normal length that is known to lie above `above`, at most `limit`."""
    whole = mean + spread * spread / 2
    if above >= 1:
        z = (math.log(above) - mean) / spread
        if z > 5:
            return min(limit, above * (1 + spread / z))
        whole += math.log(math.erfc((z - spread) / math.sqrt(2)) / math.erfc(z / math.sqrt(2)))
    return min(limit, math.exp(min(whole, 700.0)))
