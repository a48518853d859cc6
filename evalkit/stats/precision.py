"""Sampling where it matters: how many completions each problem gets, and the mean of what was drawn so.

Each problem's completions are two halves, and both begin with the same number of pilot completions. How many more the
first half gets depends on the pilot of the second half, and the other way round, and on the distribution of solve rates
that all pilots show, in which one problem counts little. So the number of draws in a half hardly depends on their
outcome, the mean of each half is nearly unbiased, and no draw is wasted on a pilot that does not count. Within that the
allocation is Neyman's (1934, Journal of the Royal Statistical Society 97, 558): as many draws as the expected standard
deviation of the outcome over the square root of the expected cost.

With a count that depends on its own outcomes the plain mean is biased: a problem at 90% that fails in its pilot is
drawn often, one that does not is left with its lucky 100%.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.stats.intervals import Estimate, Floats, problems_interval, run_interval

Z = 1.959963984540054
_RATES = np.sin(np.linspace(0.03, np.pi / 2 - 0.03, 41)) ** 2  # denser towards 0 and 1
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Halves:
    """The outcomes in [0, 1] of one problem, by half, in the order in which they were drawn."""

    first: Sequence[float]
    second: Sequence[float]


def mean_of_halves(problems: Sequence[Halves]) -> Estimate:
    """The mean over problems of the mean of their two halves' means, with its intervals.

    The variance of a half's mean is estimated within that half, whose size does not depend on it. Raises EvalkitError
    if a half has fewer than two outcomes.

    Examples:
        >>> found = mean_of_halves([Halves([1, 1], [1, 0]), Halves([0, 0, 1, 0], [0, 0])])
        >>> found.value
        0.4375
    """
    if not problems or any(min(len(p.first), len(p.second)) < 2 for p in problems):
        raise EvalkitError(
            "A problem has fewer than two completions in one half of its sample.", "resume the run to finish its pilot."
        )
    halves = [half for p in problems for half in (p.first, p.second)]
    sizes = np.array([len(half) for half in halves])
    values = np.fromiter((v for half in halves for v in half), dtype=np.float64, count=int(sizes.sum()))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(values, starts) / sizes
    squares = np.add.reduceat((values - np.repeat(means, sizes)) ** 2, starts)
    by_problem = means.reshape(-1, 2).mean(axis=1)
    of_mean = math.fsum(squares / (sizes - 1) / sizes / 4) / len(problems) ** 2
    value, fewest = float(by_problem.mean()), int(sizes.reshape(-1, 2).sum(axis=1).min())
    spread = float(by_problem.std(ddof=1)) / math.sqrt(len(problems)) if len(problems) > 1 else math.nan
    count = float(len(values))
    if of_mean > 0:  # draws that went where they tell little count for less
        count = min(count, max(value * (1 - value), 0.0) / of_mean)
    return Estimate(
        value=value,
        stderr_run=math.sqrt(of_mean),
        stderr_problems=spread,
        interval_run=run_interval(value, of_mean, count),
        interval_problems=problems_interval(by_problem, 1 / fewest),
        problems=len(problems),
        samples=fewest,
    )


def expected_deviations(pilots: Sequence[Halves]) -> Floats:
    """The square root of the expected variance of an outcome of each problem: (problems, 2), by the half it is seen in.

    The distribution of solve rates is estimated from the pilots of all problems, both halves together: its likelihood
    is maximised over weights on `_RATES` (Laird 1978, Journal of the American Statistical Association 73, 805), with
    one problem spread over all of them so that none is excluded.
    """
    hits = np.array([(math.fsum(p.first), math.fsum(p.second)) for p in pilots])
    misses = np.array([(len(p.first), len(p.second)) for p in pilots]) - hits
    seen, counts = np.unique(np.stack([hits.sum(axis=1), misses.sum(axis=1)], axis=1), axis=0, return_counts=True)
    likelihood, prior = _likelihood(seen[:, 0], seen[:, 1]), np.full(len(_RATES), 1 / len(_RATES))
    for _ in range(_STEPS):
        posterior = likelihood * prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        prior = (counts @ posterior + 1 / len(_RATES)) / (len(pilots) + 1)
    posterior = _likelihood(hits.ravel(), misses.ravel()) * prior
    posterior /= posterior.sum(axis=1, keepdims=True)
    deviations: Floats = np.sqrt(posterior @ (_RATES * (1 - _RATES))).reshape(-1, 2)
    return deviations


def _likelihood(hits: Floats, misses: Floats) -> Floats:
    """The likelihood of each rate in `_RATES`: (observations, rates)."""
    found: Floats = np.exp(np.outer(hits, np.log(_RATES)) + np.outer(misses, np.log(1 - _RATES)))
    return found


class Allocation:
    """How draws are divided among the halves of problems, from their pilots alone.

    `costs` are the mean costs (tokens) of the first and second halves' pilots. A problem gets `most` draws at most, and
    never fewer than its pilot.
    """

    def __init__(self, pilots: Sequence[Halves], costs: Sequence[tuple[float, float]], most: int) -> None:
        self._deviations = expected_deviations(pilots)[:, ::-1]  # a half is divided by what the other one has shown
        self._wish = self._deviations / np.sqrt(np.maximum(np.array(costs, dtype=np.float64), 1.0)[:, ::-1])
        self._least = np.array([(len(p.first), len(p.second)) for p in pilots])
        self._most = max(most // 2, 1)

    def sizes(self, variance: float) -> list[tuple[int, int]]:
        """The sizes of both halves of each problem, so that the mean's variance is expected to be `variance`."""
        low, high = 0.0, self._most / max(float(self._wish.min()), 1e-12)
        for _ in range(60):
            scale = (low + high) / 2
            expected = float((self._deviations**2 / self._scaled(scale)).sum()) / 4 / len(self._least) ** 2
            low, high = (scale, high) if expected > variance else (low, scale)
        return [(int(a), int(b)) for a, b in self._scaled(high)]

    def _scaled(self, scale: float) -> "np.ndarray[Any, np.dtype[np.int64]]":
        wanted = np.minimum(np.ceil(scale * self._wish), self._most)
        found: np.ndarray[Any, np.dtype[np.int64]] = np.maximum(wanted, self._least).astype(np.int64)
        return found
