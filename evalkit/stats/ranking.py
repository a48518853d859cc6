"""Whether a score ranks right completions above wrong ones of the same problem, and how it goes with a reward."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evalkit.stats.clustered import ClusteredMean, ratio_of_sums
from evalkit.stats.intervals import Floats, problems_interval


def ranking_accuracy(scores: Sequence[Floats], right: Sequence[Floats]) -> ClusteredMean | None:
    """The AUC within problems: how often a right completion scores above a wrong one of the same problem, ties half.

    Both by problem and completion; problems with no right or no wrong completion tell nothing and are left out. Each
    problem counts once (the mean of its pairs). None where no problem has both.
    """
    found = []
    for values, marks in zip(scores, right, strict=True):
        high, low = values[marks > 0], values[marks == 0]
        if len(high) and len(low):
            difference = high[:, None] - low[None, :]
            found.append(float((difference > 0).mean() + (difference == 0).mean() / 2))
    return _bounded_mean(np.array(found), 0.0) if found else None


def _bounded_mean(values: Floats, least: float) -> ClusteredMean:
    """The mean of one value in [least, 1] per problem, with an interval over problems (`problems_interval`) in it."""
    found = ratio_of_sums(values, np.ones(len(values)))
    if found.clusters < 2:
        return found
    width = 1 - least
    low, high = problems_interval(np.clip((values - least) / width, 0.0, 1.0), 0.0)
    return replace(found, interval=(least + width * low, least + width * high))


def rank_correlation(scores: Sequence[Floats], rewards: Sequence[Floats]) -> ClusteredMean | None:
    """Spearman's correlation within problems, the mean over problems in which both vary; None where there is none.

    Within problems, because across them both follow how hard the problem is.
    """
    from scipy.stats import rankdata

    found = []
    for values, reward in zip(scores, rewards, strict=True):
        if len(values) > 1 and np.ptp(values) > 0 and np.ptp(reward) > 0:
            found.append(float(np.corrcoef(rankdata(values), rankdata(reward))[0, 1]))
    return _bounded_mean(np.array(found), -1.0) if found else None
