"""Ratios of two means with Fieller's interval: how much of a gap was closed, what share was kept."""

import math
from dataclasses import dataclass

import numpy as np

from evalkit.stats.intervals import Floats, student_quantile

Z = 1.959963984540054
_UNSEEN = 0.5  # problems of which nothing is known, half of them solved: the weight that score intervals give them
_CORNERS = np.array([(s, t, b) for s in (0.0, 1.0) for t in (0.0, 1.0) for b in (0.0, 1.0)]).T
_UNSEEN_GAP = np.array([_CORNERS[0] - _CORNERS[2], _CORNERS[1] - _CORNERS[2]])
_UNSEEN_KEPT = _CORNERS[:2]


@dataclass(frozen=True, slots=True)
class Ratio:
    """numerator / denominator with its 95% interval.

    `value` and `interval` are None where the denominator cannot be told from 0: every ratio is then possible.
    """

    numerator: float
    denominator: float
    value: float | None
    interval: tuple[float, float] | None

    @property
    def defined(self) -> bool:
        return self.value is not None


def fieller(
    numerator: float, denominator: float, variances: tuple[float, float], covariance: float, quantile: float = Z
) -> Ratio:
    """The ratio of two normal estimates with the interval of all values that a test at 5% does not reject.

    Fieller 1954, "Some Problems in Interval Estimation", J. R. Stat. Soc. B 16. `variances` are those of numerator and
    denominator. Unlike the delta method it holds where the denominator is small: there the interval grows, until it is
    the whole line and nothing is told.
    """
    top, bottom = variances
    square = quantile * quantile
    a = denominator**2 - square * bottom
    if not (math.isfinite(quantile) and a > 0):
        return Ratio(numerator, denominator, None, None)
    b = numerator * denominator - square * covariance
    c = numerator**2 - square * top
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Ratio(numerator, denominator, numerator / denominator, ((b - root) / a, (b + root) / a))


def _covariance(numerators: Floats, denominators: Floats, unseen: Floats | None) -> Floats:
    """The covariance matrix of the two means over problems. `unseen` (2, kinds) adds half a problem of all kinds.

    Without it problems that look alike, such as those that nobody solves, would leave an error of 0.
    """
    cov = np.cov(numerators, denominators)
    if unseen is not None:
        apart = unseen - np.array([[numerators.mean()], [denominators.mean()]])
        cov = cov + _UNSEEN * (apart @ apart.T) / unseen.shape[1] / (len(numerators) - 1)
    return np.asarray(cov / len(numerators))


def paired_ratio(numerators: Floats, denominators: Floats, unseen: Floats | None = None) -> Ratio:
    """The ratio of two means over the same problems, one value of each per problem; Student's t.

    `unseen`: see `_covariance`.

    >>> paired_ratio(np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])).value
    0.5
    """
    problems = len(numerators)
    top, bottom = float(numerators.mean()), float(denominators.mean())
    if problems < 2:
        return Ratio(top, bottom, None, None)
    cov = _covariance(numerators, denominators, unseen)
    return fieller(top, bottom, (float(cov[0, 0]), float(cov[1, 1])), float(cov[0, 1]), student_quantile(problems))


def gap_recovered(student: Floats, teacher: Floats, base: Floats) -> Ratio:
    """(S - B) / (T - B) over problems, from each model's solve rate on each problem, in [0, 1]."""
    return paired_ratio(student - base, teacher - base, _UNSEEN_GAP)


def score_kept(student: Floats, teacher: Floats) -> Ratio:
    """S / T over problems, from each model's solve rate on each problem, in [0, 1]."""
    return paired_ratio(student, teacher, _UNSEEN_KEPT)


def gap_recovered_run(means: tuple[float, float, float], errors: tuple[float, float, float]) -> Ratio:
    """The same for the problems at hand, sampled again: `means` of student, teacher, base and their standard errors.

    The three are sampled independently, so that numerator and denominator share the base's error alone.
    """
    (s, t, b), (es, et, eb) = means, errors
    return fieller(s - b, t - b, (es**2 + eb**2, et**2 + eb**2), eb**2)


def pooled_ratio(parts: list[tuple[Floats, Floats]]) -> Ratio:
    """One gap recovered over several benchmarks, each counting the same: the mean gain over the mean gap.

    Student's t with the smallest benchmark's degrees of freedom, which is on the safe side.
    """
    count = len(parts)
    covs = [_covariance(n, d, _UNSEEN_GAP) if len(n) > 1 else np.full((2, 2), math.nan) for n, d in parts]
    cov = sum(covs, np.zeros((2, 2))) / count**2
    top = sum(float(n.mean()) for n, _ in parts) / count
    bottom = sum(float(d.mean()) for _, d in parts) / count
    if not np.isfinite(cov).all():
        return Ratio(top, bottom, None, None)
    quantile = student_quantile(min(len(n) for n, _ in parts))
    return fieller(top, bottom, (float(cov[0, 0]), float(cov[1, 1])), float(cov[0, 1]), quantile)
