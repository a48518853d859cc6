"""How alike two models err: error consistency, and how often one gives the other's answer."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.clustered import ClusteredMean, ratio_of_sums
from evalkit.stats.intervals import Floats, problems_interval, student_quantile, wilson


@dataclass(frozen=True, slots=True)
class ErrorConsistency:
    """Cohen's kappa of right and wrong: 0 is what accuracies alone give, 1 that the same samples are right.

    `observed` and `expected` are shares of agreement in [0, 1]; `observed_interval` is over problems. `kappa` is None
    where chance leaves no room. Intervals are 95%.
    """

    observed: float
    observed_interval: tuple[float, float]
    expected: float
    kappa: float | None
    interval: tuple[float, float] | None


def error_consistency(first: Floats, second: Floats) -> ErrorConsistency:
    """From the solve rates of two models on the same problems (Geirhos, Meding and Wichmann 2020, arXiv:2006.16736).

    Both are right or both are wrong with probability p q + (1 - p)(1 - q) on a problem, estimated without bias by the
    observed rates of independent samples; by chance it would be the same of the mean rates. The interval is by
    linearisation over problems. A model that is right always, or never, has no pattern of errors: no kappa.
    """
    agreed = first * second + (1 - first) * (1 - second)
    p, q = float(first.mean()), float(second.mean())
    observed, expected = float(agreed.mean()), p * q + (1 - p) * (1 - q)
    ends = problems_interval(agreed, 0.0)
    room = 1 - expected
    if p in (0.0, 1.0) or q in (0.0, 1.0) or room <= 1e-12 or len(first) < 2:
        return ErrorConsistency(observed, ends, expected, None, None)
    kappa = (observed - expected) / room
    # kappa = (o - e) / (1 - e): its derivatives by o and by e, and those of e by p and by q
    by_expected = (observed - 1) / room**2
    influence = (agreed - observed) / room + by_expected * ((2 * q - 1) * (first - p) + (2 * p - 1) * (second - q))
    half = student_quantile(len(first)) * float(influence.std(ddof=1)) / len(first) ** 0.5
    return ErrorConsistency(observed, ends, expected, kappa, (max(kappa - half, -1.0), min(kappa + half, 1.0)))


def same_answer_shares(
    first: Sequence[Sequence[Hashable | None]],
    second: Sequence[Sequence[Hashable | None]],
    second_right: Sequence[Sequence[bool]],
) -> tuple[ClusteredMean | None, ClusteredMean | None]:
    """How often a sample of the first gives the second's answer: where that is right, and where it is wrong.

    Answers by problem and sample as equivalence classes shared by both models; None is no answer and agrees with
    nothing. Every sample of the first meets every one of the second that gives an answer; a problem weighs as its
    second's right (wrong) answers do. None where the second has no such answer.
    """
    shares: list[ClusteredMean | None] = []
    for wanted in (True, False):
        hits, tries = [], []
        for mine, theirs, right in zip(first, second, second_right, strict=True):
            marked = zip(theirs, right, strict=True)
            chosen = [answer for answer, mark in marked if mark is wanted and answer is not None]
            counts = Counter(mine)
            hits.append(sum(counts[answer] for answer in chosen) / len(mine))
            tries.append(float(len(chosen)))
        total = np.array(tries)
        shares.append(_share(np.array(hits)[total > 0], total[total > 0]) if total.sum() else None)
    return shares[0], shares[1]


def _share(hits: Floats, tries: Floats) -> ClusteredMean:
    """A share with Wilson's interval at the effective number of problems that its clustered error amounts to."""
    found = ratio_of_sums(hits, tries)
    spread = found.value * (1 - found.value)
    count = spread / found.stderr**2 if found.stderr > 0 and spread > 0 else float(len(tries))
    interval = wilson(found.value, min(count, float(tries.sum())), student_quantile(len(tries)))
    return ClusteredMean(found.value, found.stderr, interval, found.clusters)
