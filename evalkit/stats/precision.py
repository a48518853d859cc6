"""Sampling where it matters: how many completions each problem gets, and the mean of what was drawn so.

Each problem's completions are two halves, and both begin with the same number of pilot completions. How many more the
first half gets depends on the pilot of the second half only, and the other way round. So the number of draws in a half
does not depend on their outcome, the mean of each half is unbiased, and no draw is wasted on a pilot that does not
count. Within that the allocation is Neyman's (1934, Journal of the Royal Statistical Society 97, 558): as many draws as
the expected standard deviation of the outcome over the square root of the expected cost.

With a count that depends on its own outcomes the plain mean is biased: a problem at 90% that fails in its pilot is
drawn often, one that does not is left with its lucky 100%.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    sides = [[np.asarray(half, dtype=np.float64) for half in (p.first, p.second)] for p in problems]
    by_problem = np.array([(a.mean() + b.mean()) / 2 for a, b in sides])
    variance = math.fsum(float(half.var(ddof=1)) / len(half) / 4 for pair in sides for half in pair)
    count = sum(len(half) for pair in sides for half in pair)
    value, of_mean = float(by_problem.mean()), variance / len(problems) ** 2
    fewest = min(len(a) + len(b) for a, b in sides)
    spread = float(by_problem.std(ddof=1)) / math.sqrt(len(problems)) if len(problems) > 1 else math.nan
    return Estimate(
        value=value,
        stderr_run=math.sqrt(of_mean),
        stderr_problems=spread,
        interval_run=run_interval(value, of_mean, count),
        interval_problems=problems_interval(by_problem, 1 / fewest),
        problems=len(problems),
        samples=fewest,
    )


def expected_deviations(pilots: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> Floats:
    """The square root of the expected variance of an outcome of each problem, given the outcomes in `pilots`.

    The distribution of solve rates is estimated from the pilots of all problems, `others` (their other halves)
    included: its likelihood is maximised over weights on `_RATES` (Laird 1978, Journal of the American Statistical
    Association 73, 805), with one problem spread over all of them so that none is excluded.
    """
    logs = np.log(np.stack([_RATES, 1 - _RATES]))
    hits, sizes = (np.array([f(values) for values in pilots]) for f in (math.fsum, len))
    all_hits = hits + np.array([math.fsum(values) for values in others])
    all_sizes = sizes + np.array([len(values) for values in others])
    likelihood = np.exp(np.outer(all_hits, logs[0]) + np.outer(all_sizes - all_hits, logs[1]))
    prior = np.full(len(_RATES), 1 / len(_RATES))
    for _ in range(_STEPS):
        posterior = likelihood * prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        prior = (posterior.sum(axis=0) + 1 / len(_RATES)) / (len(posterior) + 1)
    posterior = np.exp(np.outer(hits, logs[0]) + np.outer(sizes - hits, logs[1])) * prior
    posterior /= posterior.sum(axis=1, keepdims=True)
    deviations: Floats = np.sqrt(posterior @ (_RATES * (1 - _RATES)))
    return deviations


def allocate(
    pilots: Sequence[Halves], costs: Sequence[tuple[float, float]], variance: float, most: int
) -> list[tuple[int, int]]:
    """The sizes of both halves of each problem, so that the mean's variance is expected to be `variance`.

    `costs` are the mean costs (tokens) of the first and second halves' pilots. A problem gets `most` draws at most, and
    never fewer than its pilot.
    """
    first, second = [p.first for p in pilots], [p.second for p in pilots]
    by_first, by_second = expected_deviations(first, second), expected_deviations(second, first)
    costs_first = np.array([max(a, 1.0) for a, _ in costs])
    costs_second = np.array([max(b, 1.0) for _, b in costs])
    wish = np.stack([by_second / np.sqrt(costs_second), by_first / np.sqrt(costs_first)], axis=1)
    least = np.array([[len(p.first), len(p.second)] for p in pilots])
    deviation = np.stack([by_second, by_first], axis=1)
    high = most / 2 / max(float(wish.min()), 1e-12)
    low = 0.0
    sizes = least
    for _ in range(60):
        scale = (low + high) / 2
        sizes = np.clip(np.ceil(scale * wish), least, max(most // 2, 1)).astype(int)
        sizes = np.maximum(sizes, least)
        expected = float((deviation**2 / sizes).sum()) / 4 / len(pilots) ** 2
        low, high = (scale, high) if expected > variance else (low, scale)
    sizes = np.maximum(np.clip(np.ceil(high * wish), least, max(most // 2, 1)).astype(int), least)
    return [(int(a), int(b)) for a, b in sizes]
