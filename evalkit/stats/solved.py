"""Which single problems one model solves more often than another: exact tests of counts, false discoveries bounded."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evalkit.stats.intervals import Floats, problems_interval

Counts = npt.NDArray[np.intp]

FALSE_DISCOVERIES = 0.1
_RATES = np.sin(np.linspace(0, np.pi / 2, 201)) ** 2  # common solve rates that are tried, denser near the ends


@lru_cache(maxsize=16)
def more_often_table(more: int, less: int) -> Floats:
    """The one-sided p-value that the first rate is the larger one, for every pair of counts (more + 1, less + 1).

    Boschloo's exact test (1970, Statistica Neerlandica 24): Fisher's p-value as the statistic, its probability the
    largest over the common rate. Never above Fisher's, and with few samples well below it.
    """
    from scipy.stats import binom, hypergeom

    x, y = np.meshgrid(np.arange(more + 1), np.arange(less + 1), indexing="ij")
    fisher: Floats = np.asarray(hypergeom.sf(x - 1, more + less, x + y, more))
    order = np.argsort(fisher, axis=None)
    ranked = fisher.ravel()[order]
    # cells that are as extreme as the last one of equal statistic count together
    last = np.searchsorted(ranked, ranked * (1 + 1e-9) + 1e-15, side="right") - 1
    first = np.asarray(binom.pmf(np.arange(more + 1)[None, :], more, _RATES[:, None]))
    second = np.asarray(binom.pmf(np.arange(less + 1)[None, :], less, _RATES[:, None]))
    cells = (first[:, :, None] * second[:, None, :]).reshape(len(_RATES), -1)[:, order]
    largest = np.cumsum(cells, axis=1).max(axis=0)[last]
    table = np.empty(largest.size)
    table[order] = np.minimum(largest, 1.0)
    return table.reshape(fisher.shape)


def more_often(more: Counts, more_samples: int, less: Counts, less_samples: int) -> Floats:
    """The p-value of each problem that the first model's solve rate is the larger one: right samples of each."""
    return more_often_table(more_samples, less_samples)[more, less]


def discoveries(p_values: Floats, rate: float = FALSE_DISCOVERIES) -> npt.NDArray[np.bool_]:
    """Which are found at a false discovery rate of `rate` (Benjamini and Hochberg 1995, step-up).

    >>> discoveries(np.array([0.001, 0.2, 0.04, 0.9])).tolist()
    [True, False, True, False]
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    below = np.nonzero(p_values[order] <= rate * np.arange(1, count + 1) / count)[0]
    found = np.zeros(count, dtype=bool)
    if len(below):
        found[order[: below[-1] + 1]] = True
    return found


def both_discoveries(first: Floats, second: Floats, rate: float = FALSE_DISCOVERIES) -> npt.NDArray[np.bool_]:
    """Where both hypotheses are found: the larger p-value is one of their union (Berger 1982)."""
    return discoveries(np.maximum(first, second), rate)


def overlap(*rates: Floats) -> tuple[float, tuple[float, float]]:
    """The expected share of problems on which all of several things hold at once in one try, with its 95% interval.

    Each of `rates` is one model's solve rate by problem (or 1 less it, for "does not solve"). Models are sampled
    independently, so the product of their observed rates is without bias; the interval is over problems.

    >>> overlap(np.array([1.0, 0.5]), np.array([1.0, 0.0]))[0]
    0.5
    """
    product = np.prod(np.stack(rates), axis=0)
    return float(product.mean()), problems_interval(product, 0.0)
