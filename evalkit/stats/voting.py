"""Majority votes among k of n samples: the exact mean over all subsets, and the variance of one election."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np

from evalkit.stats.intervals import Floats

Ballot = tuple[tuple[int, ...], tuple[float, ...]]  # votes for each answer, and what each is worth

_CELLS = 1_000_000  # votes held at a time while elections are simulated


@lru_cache(maxsize=65536)
def win_probability(size: int, others: tuple[int, ...], n: int, k: int) -> float:
    """The mean share that an answer given by `size` of n samples has in winning, over all C(n, k) subsets.

    `others` are the sizes of the other answers, descending; samples in neither have no answer. Ties are shared.
    The votes in a random subset are multivariate hypergeometric, which is the distribution of independent binomials
    (one an answer, all at the rate k / n) given that they add up to k. So the share is a sum over the votes `a` of
    the answer and the number of answers tied with it, of products of binomial probabilities.
    """
    largest = others[0] if others else 0
    if k == n:
        return 0.0 if size < largest or size == 0 else 1.0 / (1 + others.count(size))
    rate = k / n
    own = _binomial(size, rate)
    total = 0.0
    for a in range(1, min(size, k) + 1):
        rivals = [other for other in others if other >= a]
        quiet = n - size - sum(rivals)  # samples that cannot outvote a: smaller answers, and those without an answer
        total += float(own[a]) * _others_below(tuple(rivals), quiet, a, k - a, rate)
    return min(total / float(_binomial(n, rate)[k]), 1.0)


@lru_cache(maxsize=65536)
def _others_below(rivals: tuple[int, ...], quiet: int, a: int, room: int, rate: float) -> float:
    """The mean of 1 / (1 + ties) where no rival has more than `a` votes and all others together cast `room`."""
    state = np.zeros((1, room + 1))  # by number of ties, by votes cast
    start = _binomial(quiet, rate)[: room + 1]
    state[0, : len(start)] = start
    for rival in rivals:
        ties = len(state)
        below = state @ _step(rival, a, room, rate)
        if a <= room and (ties + 1) * a <= room + a:
            grown = np.zeros((ties + 1, room + 1))
            grown[:ties] = below
            below = grown
        if a <= room:
            below[1:, a:] += _binomial(rival, rate)[a] * state[: len(below) - 1, : room + 1 - a]
        state = below
    return float((state[:, room] / np.arange(1, len(state) + 1)).sum())


@lru_cache(maxsize=1024)
def _step(rival: int, a: int, room: int, rate: float) -> Floats:
    """The matrix that adds a rival's votes, fewer than `a`, to the votes cast."""
    votes = np.zeros(2 * room + 1)
    known = _binomial(rival, rate)[: min(a, room + 1)]
    votes[room : room + len(known)] = known
    # rows that share one vector's memory: with a thousand samples a matrix of its own for each rival would be gigabytes
    return np.lib.stride_tricks.sliding_window_view(votes, room + 1)[::-1]


@lru_cache(maxsize=4096)
def _binomial(n: int, rate: float) -> Floats:
    """The probabilities of 0 .. n successes."""
    x = np.arange(n + 1)
    logs = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in x])
    weights: Floats = np.exp(logs + x * math.log(rate) + (n - x) * math.log1p(-rate))
    return weights


def tally(answers: Sequence[Hashable | None], correct: Sequence[float]) -> Ballot:
    """How many samples gave each answer, in the order of first appearance, and what that answer is worth: the mean of
    `correct` over its samples. None is no answer.
    """
    counts = Counter(answers)
    counts.pop(None, None)
    worth: dict[Hashable, float] = {}
    for answer, value in zip(answers, correct, strict=True):
        if value:
            worth[answer] = worth.get(answer, 0.0) + value
    return tuple(counts.values()), tuple(worth.get(answer, 0.0) / count for answer, count in counts.items())


def election_mean(ballot: Ballot, n: int, k: int) -> float:
    """The mean worth of the winner over all C(n, k) subsets of n samples, ties shared."""
    sizes, worth = ballot
    total = 0.0
    for i, value in enumerate(worth):
        if value > 0:
            others = tuple(sorted(sizes[:i] + sizes[i + 1 :], reverse=True))
            total += value * win_probability(sizes[i], others, n, k)
    return min(total, 1.0)


def election_variances(ballots: Sequence[Ballot], n: int, k: int, rng: np.random.Generator, elections: int) -> Floats:
    """For each problem, the variance of the winner's worth among k draws with replacement from the observed answers.

    By simulation unless every sample is worth the same, or k = 1.
    """
    variances = np.zeros(len(ballots))
    varying = [i for i, (sizes, worth) in enumerate(ballots) if any(worth) and (sum(sizes) < n or len(set(worth)) > 1)]
    if not varying:
        return variances
    widest = max(len(ballots[i][0]) for i in varying)
    # Answers stand at the end of a row: a draw of probability 0 in front of them takes nothing from the generator.
    shares, worths = np.zeros((len(varying), widest + 1)), np.zeros((len(varying), widest))
    for row, i in enumerate(varying):
        sizes, worth = ballots[i]
        start = widest - len(sizes)
        shares[row, start:-1], shares[row, -1], worths[row, start:] = sizes, n - sum(sizes), worth
    shares /= n
    if k == 1:
        mean = (shares[:, :-1] * worths).sum(axis=1)
        variances[varying] = (shares[:, :-1] * worths**2).sum(axis=1) - mean**2
        return variances
    step = max(_CELLS // (elections * (widest + 1)), 1)
    for first in range(0, len(varying), step):
        some = slice(first, first + step)
        votes = rng.multinomial(k, shares[some, None, :], size=(len(shares[some]), elections))[:, :, :-1]
        top = votes.max(axis=2, keepdims=True)
        winners = ((votes == top) & (top > 0)).astype(np.float64)
        value = np.matmul(winners, worths[some, :, None])[:, :, 0] / np.maximum(winners.sum(axis=2), 1)
        variances[varying[some]] = value.var(axis=1, ddof=1)
    return variances


@lru_cache(maxsize=256)
def resampling_factor(n: int, k: int) -> float:
    """What the variance of one election among k draws from n observed samples is multiplied by, for that of cons@k.

    k / n is Hoeffding 1948's bound for a U-statistic of degree k, n / (n - 1) the correction for a variance of n
    observations. Samples that are drawn from a tie look less tied than it is: at k near n the product would still be
    too small, by a third at k = n. So it is raised until, for two answers, it expects the true variance at the solve
    rate at which it falls short the most; that is computed exactly. `n` > 1.
    """
    from scipy.stats import binom, hypergeom

    factor = k / (n - 1)
    right = np.arange(n + 1)
    tie = 0.5 if k % 2 == 0 else 0.0  # what a tie of two answers is worth
    value = np.asarray(hypergeom.sf(k // 2, n, right, k) + tie * hypergeom.pmf(k // 2, n, right, k))
    wins, ties = np.asarray(binom.sf(k // 2, k, right / n)), np.asarray(binom.pmf(k // 2, k, right / n))
    of_election = wins + tie**2 * ties - (wins + tie * ties) ** 2
    rates = np.linspace(0.02, 0.5, 49)
    chances: Floats = np.asarray(binom.pmf(right, n, rates[:, None]))
    true = chances @ value**2 - (chances @ value) ** 2
    told = factor * (chances @ of_election)
    return float(factor * max((true / np.maximum(told, 1e-300)).max(), 1.0))
