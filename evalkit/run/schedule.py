"""The order of a run's requests: longest expected completion first, with lengths learned during the run.

A run ends when its last completion does. Therefore the requests that are expected to take longest start first, and the
short ones fill the end (longest processing time first: Graham 1969, "Bounds on multiprocessing timing anomalies"). The
length of a completion is not known in advance, but samples of one problem have similar lengths. One sample of every
problem starts early, and the others are ordered by the finished and running samples of their problem. Ties go to the
problem with the fewest drawn samples, so that a wide engine starts some samples of every problem.

Lengths are modelled as log-normal, with a mean for each task and for each of its problems. A running sample counts with
its expected length given that it has not finished yet. Without it the estimates would be biased, because short samples
finish first.
"""

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

BETWEEN_PROBLEMS = 0.7
WITHIN_PROBLEM = 0.5
"""Assumed standard deviations of the logarithm of a length, for every task."""

_FIRST_GUESS = 0.25  # expected length before any completion, as a share of the limit
_MARGIN = 2.0  # standard errors added to the mean, so that a problem that may be long starts early
_MOST_RUNNING = 8  # the oldest running samples of a problem that are taken into account
_MEMORY = 0.98  # decay of a completion's weight in the speed, per later completion
_LONG = 1.5  # standard deviations above the mean: about the longest samples of a problem
_REFRESHES = 8  # updates of all priorities, per as many draws as there are problems


@dataclass(slots=True)
class _Problem:
    """The remaining samples of one problem, and what is known about its lengths."""

    task: int
    left: Sequence[int]
    drawn: int = 0
    finished: int = 0
    log_sum: float = 0.0
    running: "dict[int, float] | None" = None
    version: int = 0


class Schedule:
    """Decides which sample of which problem starts next.

    `limits` is the token limit of each task. `problems` is a list of (task, sample indices); a range needs no memory
    per sample. A draw takes O(log problems) time, and memory depends on the problems and the running samples only.
    `clock` returns seconds. Not thread-safe.
    """

    def __init__(
        self,
        limits: Sequence[int],
        problems: Sequence[tuple[int, Sequence[int]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._log_means = [math.log(max(1.0, _FIRST_GUESS * limit)) for limit in limits]
        self._problems = [_Problem(task, left) for task, left in problems]
        self._clock = clock
        self._pace = 0.0
        self._recent = (0.0, 0.0)  # decayed sums of the tokens and seconds of finished samples
        self._left = sum(len(problem.left) for problem in self._problems)
        self._running = 0
        self._draws_left = 0
        self._heap: list[tuple[bool, float, int, int, int]] = []

    def __len__(self) -> int:
        """The number of samples that have not been drawn."""
        return self._left

    def draw(self) -> tuple[int, int]:
        """The (problem, sample index) to start next. Raises IndexError if none is left."""
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
        """Record that a sample finished with `tokens` tokens. None means that it failed or was not counted."""
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
        """The estimated seconds until the last sample finishes, at the present speed. None before the first one.

        By Little's law the engine generates (running samples) x (tokens per second of one sample) tokens per second.
        The remaining tokens are estimated from the same model as the order. Near the end the estimate is the time of
        the longest sample, at the upper end of its likely length.
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
        """Update the tasks' means and recompute every priority, since the running samples have become longer."""
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
        """The sort key of the heap: problems without any sample first, then the longest, then the fewest draws."""
        mean, variance = self._belief(problem, now)
        known = problem.drawn > 0 or problem.finished > 0
        return known, -mean - _MARGIN * math.sqrt(variance), problem.drawn, number, problem.version

    def _belief(self, problem: _Problem, now: float) -> tuple[float, float]:
        """The posterior mean and variance of a problem's mean log-length, given its task's mean.

        This is the conjugate normal model. A running sample counts with its expected log-length above its present one.
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
    """The mean of a standard normal variable given that it exceeds `threshold` (the inverse Mills ratio)."""
    if threshold > 5:
        return threshold + 1 / threshold
    density = math.exp(-threshold * threshold / 2) / math.sqrt(2 * math.pi)
    return density / (0.5 * math.erfc(threshold / math.sqrt(2)))


def _expected_length(mean: float, spread: float, above: float, limit: float) -> float:
    """The mean of a log-normal length given that it exceeds `above`, capped at `limit`."""
    whole = mean + spread * spread / 2
    if above >= 1:
        z = (math.log(above) - mean) / spread
        if z > 5:
            return min(limit, above * (1 + spread / z))
        whole += math.log(math.erfc((z - spread) / math.sqrt(2)) / math.erfc(z / math.sqrt(2)))
    return min(limit, math.exp(min(whole, 700.0)))
