"""Curves over k tries by problem (pass@k, pass^k, G-Pass@k) and where two models' pass@k cross."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evalkit.stats.intervals import Floats, student_quantile
from evalkit.stats.solve_rates import pass_table
from evalkit.stats.solved import Counts

_STEPS = 16  # between one k and the next at which the difference of two curves is tested


def pass_curves(counts: Counts, samples: int) -> Floats:
    """pass@1 .. pass@n of each problem (problems, samples), without bias, from its count of right samples."""
    return np.stack([pass_table(samples, k)[counts] for k in range(1, samples + 1)], axis=1)


@lru_cache(maxsize=64)
def _at_least_table(samples: int, k: int, wanted: int) -> Floats:
    from scipy.stats import hypergeom

    return np.asarray(hypergeom.sf(wanted - 1, samples, np.arange(samples + 1), k))


def g_pass_at_k(counts: Counts, samples: int, k: int, tau: float) -> Floats:
    """The chance by problem that at least tau * k of k samples are right: G-Pass@k (Liu et al. 2024, arXiv:2412.13147,
    equation 2). tau -> 0 is pass@k and tau = 1 is pass^k, that all are right."""
    return _at_least_table(samples, k, max(1, math.ceil(tau * k - 1e-9)))[counts]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the second model's curve meets the first's: in tries k, between 1 and the number of samples.

    `value` None: they do not cross in that range. `interval` holds every k at which the two may be equal (95%); an end
    is None where it lies outside the range, and the whole is None where no k is possible.
    """

    value: float | None
    interval: tuple[float | None, float | None] | None
    samples: int


def crossing_point(first: Floats, second: Floats) -> Crossing:
    """Where `second`'s mean curve comes up to `first`'s, from curves by problem (problems, samples) as `pass_curves`.

    Between two numbers of tries the curves are joined by straight lines. The interval inverts the paired t-test of
    the two curves at each k: at the true crossing they are equal, and the test rejects that in 5% of cases.
    """
    problems, samples = first.shape
    difference = second - first
    grid = np.unique(np.concatenate([np.linspace(1, samples, (samples - 1) * _STEPS + 1), [1.0, float(samples)]]))
    low = np.minimum(grid.astype(int), samples) - 1
    high = np.minimum(low + 1, samples - 1)
    share = grid - (low + 1)
    by_problem = difference[:, low] * (1 - share) + difference[:, high] * share
    mean = by_problem.mean(axis=0)
    up = np.nonzero((mean[:-1] < 0) & (mean[1:] >= 0))[0]
    value = None
    if len(up):
        i = int(up[0])
        value = float(grid[i] + (grid[i + 1] - grid[i]) * (-mean[i]) / (mean[i + 1] - mean[i]))
    if problems < 2:
        return Crossing(value, (None, None), samples)
    half = student_quantile(problems) * by_problem.std(axis=0, ddof=1) / math.sqrt(problems)
    possible = np.nonzero(np.abs(mean) <= half)[0]
    if not len(possible):
        interval: tuple[float | None, float | None] | None = None if value is None else (value, value)
        return Crossing(value, interval, samples)
    ends = possible[0], possible[-1]
    # out to the next k that is rejected: the end lies somewhere between the two
    low_end = None if ends[0] == 0 else float(grid[ends[0] - 1])
    high_end = None if ends[1] == len(grid) - 1 else float(grid[ends[1] + 1])
    return Crossing(value, (low_end, high_end), samples)
