"""How much pass@k varies from run to run: the sampling variance of Chen et al.'s estimate, the problems held fixed."""

from functools import lru_cache

import numpy as np

from evalkit.stats.intervals import Floats

_EDGES = np.sin(np.linspace(0, np.pi / 2, 257)) ** 2
_RATES = (_EDGES[1:] + _EDGES[:-1]) / 2
_STEPS = 100


@lru_cache(maxsize=256)
def pass_table(n: int, k: int) -> Floats:
    """Chen et al.'s estimate for each count of right samples c = 0 .. n, as the product 1 - prod(1 - k / i)."""
    table = np.ones(n + 1)
    for c in range(n - k + 1):
        table[c] = 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
    return table


@lru_cache(maxsize=64)
def _count_weights(n: int) -> Floats:
    """The probability of each count of right samples 0 .. n (columns) at each of the solve rates `_RATES` (rows)."""
    from scipy.special import bdtr

    return np.asarray(np.diff(bdtr(np.arange(n + 1)[None, :], n, _RATES[:, None]), axis=1, prepend=0.0))


def pass_variance(counts: Floats, n: int, k: int) -> Floats:
    """The sum over problems of the sampling variances of pass@k, from n samples of each; n > 1.

    `counts` (..., n + 1): how many problems had 0 .. n right samples. Up to k = n / 2 the estimate has no bias,
    whatever the solve rates are: (1 - pass@k)^2 has an unbiased estimate, from two disjoint sets of k samples
    (Hoeffding 1948's U-statistics). Above, no function of n samples has: see `_mixed_variance`.
    """
    table = pass_table(n, k)
    if 2 * k > n:
        return _mixed_variance(counts, n, k)
    neither = 1 - pass_table(n, 2 * k)
    return np.asarray(np.maximum(counts @ (table**2 - (1 - 2 * (1 - table) + neither)), 0.0))


def _mixed_variance(counts: Floats, n: int, k: int) -> Floats:
    """The variance expected over the problems' solve rates, whose distribution is fitted without assuming a family.

    It is the mixture on a grid of rates that makes the counts most likely (Kiefer and Wolfowitz 1956, by EM), with
    1 + m / (6 n^2) pseudo-problems of which no more is known than that their samples vary. Of two mixtures that the
    counts tell apart hardly, or not at all (few samples, many problems), these take the one of the larger variance.
    """
    chances, table = _count_weights(n), pass_table(n, k)
    at_rate = np.maximum(chances @ table**2 - (chances @ table) ** 2, 0.0)
    problems = counts.sum(axis=-1, keepdims=True)
    pseudo = 1 + problems / (6 * n**2)
    weights = np.full((*counts.shape[:-1], len(_RATES)), 1 / len(_RATES))
    for _ in range(_STEPS):
        observed = weights * ((counts / np.maximum(weights @ chances, 1e-300)) @ chances.T)
        varying = weights * at_rate
        weights = observed + pseudo * varying / np.maximum(varying.sum(axis=-1, keepdims=True), 1e-300)
        weights /= weights.sum(axis=-1, keepdims=True)
    observed = weights * ((counts / np.maximum(weights @ chances, 1e-300)) @ chances.T)
    return np.asarray(observed @ at_rate)
