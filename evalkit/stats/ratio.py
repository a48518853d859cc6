"""Ratios of two means with their intervals: how much of a gap was closed, what share was kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from evalkit.stats.intervals import Floats, student_quantile
from evalkit.stats.metrics import avg_at_n
from evalkit.stats.paired import Samples, paired_difference, unseen_variance

Z = 1.959963984540054
_LEAST = 0.02  # of the denominator's square: its lower end is a hundredth of its value, and the ratio is anything
_UNSEEN = 0.5  # problems of which nothing is known, half of them solved
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


def gap_recovered_run(means: tuple[float, float, float], errors: tuple[float, float, float]) -> Ratio:
    """(S - B) / (T - B) for the problems at hand, sampled again.

    `means` are those of student, teacher and base, `errors` their standard errors. The three are sampled independently,
    so that numerator and denominator share the base's error alone.
    """
    (s, t, b), (es, et, eb) = means, errors
    return fieller(s - b, t - b, (es**2 + eb**2, et**2 + eb**2), eb**2)


class _Pair(NamedTuple):
    """Numerator and denominator on one benchmark, each (value, lower end, upper end), and how they go together.

    `unseen` is a variance for what the problems do not show: see `_correlated`.
    """

    top: tuple[float, float, float]
    bottom: tuple[float, float, float]
    correlation: float
    unseen: float


def gap_recovered(student: Samples, teacher: Samples, base: Samples) -> Ratio:
    """(S - B) / (T - B) over problems: samples' values in [0, 1] by problem, the same problems in the same order.

    Raises EvalkitError as `avg_at_n` does.

    >>> found = gap_recovered([[1, 0]] * 20 + [[0, 0]] * 20, [[1, 1]] * 40, [[0, 0]] * 40)
    >>> found.value, [round(end, 2) for end in found.interval]
    (0.25, [0.13, 0.36])
    """
    return _ratio([_gap(student, teacher, base)])


def score_kept(student: Samples, teacher: Samples) -> Ratio:
    """S / T over problems: samples' values in [0, 1] by problem, the same problems in the same order.

    Raises EvalkitError as `avg_at_n` does.

    >>> found = score_kept([[0]] * 40, [[1]] * 40)
    >>> found.value, [round(end, 2) for end in found.interval]
    (0.0, [0.0, 0.09])
    """
    s, t = avg_at_n(student), avg_at_n(teacher)
    top, bottom = ((x.value, *x.interval_problems) for x in (s, t))
    samples = min(s.samples, t.samples)
    found = _ratio([_Pair(top, bottom, *_correlated(_means(student), _means(teacher), _UNSEEN_KEPT, samples))])
    if found.interval is None:
        return found
    return replace(found, interval=(max(found.interval[0], 0.0), found.interval[1]))


def pooled_ratio(benchmarks: Sequence[tuple[Samples, Samples, Samples]]) -> Ratio:
    """One gap recovered over several benchmarks (student, teacher, base), each counting the same.

    It is the mean gain over the mean gap. Raises EvalkitError as `avg_at_n` does.
    """
    return _ratio([_gap(*parts) for parts in benchmarks])


def _gap(student: Samples, teacher: Samples, base: Samples) -> _Pair:
    gain, gap = paired_difference(base, student), paired_difference(base, teacher)
    b = _means(base)
    samples = min(np.shape(side)[1] for side in (student, teacher, base))
    return _Pair(
        (gain.value, *gain.interval),
        (gap.value, *gap.interval),
        *_correlated(_means(student) - b, _means(teacher) - b, _UNSEEN_GAP, samples),
    )


def _means(samples: Samples) -> Floats:
    return np.asarray(np.asarray(samples, dtype=np.float64).mean(axis=1))


def _correlated(numerators: Floats, denominators: Floats, unseen: Floats, samples: int) -> tuple[float, float]:
    """The correlation of the two means over problems, and a variance for the part of it that rests on the unseen.

    `unseen` (2, kinds) are the values that a problem can have, of which half a problem is added: without it problems
    that look alike, such as those that nobody solves, would be perfectly correlated. The variance is that of
    `compare_paired`.
    """
    problems = len(numerators)
    if problems < 2:
        return 0.0, 0.0
    apart = unseen - np.array([[numerators.mean()], [denominators.mean()]])
    cov = np.cov(numerators, denominators) + _UNSEEN * (apart @ apart.T) / unseen.shape[1] / (problems - 1)
    correlation = float(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    return correlation, unseen_variance(correlation, student_quantile(problems), samples * problems)


def _ratio(pairs: Sequence[_Pair]) -> Ratio:
    """The ratio of the mean numerator and the mean denominator, with MOVER's interval.

    "Method of variance estimates recovery", Donner and Zou 2012, Statistical Methods in Medical Research 21, 347: as
    Fieller's, with the reach of each mean's own interval on the side in question in place of standard errors, so that
    it is right near 0 and 1 too.
    """
    top = sum(pair.top[0] for pair in pairs) / len(pairs)
    bottom = sum(pair.bottom[0] for pair in pairs) / len(pairs)
    turned = [pair._replace(top=_negated(pair.top), correlation=-pair.correlation) for pair in pairs]
    low, high = _lower_end(pairs), _lower_end(turned)
    if low is None or high is None:
        return Ratio(top, bottom, None, None)
    return Ratio(top, bottom, top / bottom, (low, -high))


def _negated(mean: tuple[float, float, float]) -> tuple[float, float, float]:
    value, low, high = mean
    return -value, -high, -low


def _lower_end(pairs: Sequence[_Pair]) -> float | None:
    """The lower end of sum(numerators) / sum(denominators); None where the denominator cannot be told from 0."""
    top, bottom = sum(pair.top[0] for pair in pairs), sum(pair.bottom[0] for pair in pairs)
    if bottom < 0:
        return _lower_end([pair._replace(top=_negated(pair.top), bottom=_negated(pair.bottom)) for pair in pairs])
    down = [pair.top[0] - pair.top[1] for pair in pairs]
    unseen = sum(pair.unseen for pair in pairs)
    a = bottom**2 - sum((pair.bottom[0] - pair.bottom[1]) ** 2 for pair in pairs)
    c = top**2 - sum(reach**2 for reach in down) - unseen
    if not a > _LEAST * bottom**2:
        return None
    # where 0 is below the interval the denominator may be larger than it was seen, else smaller
    above = top > 0 and c > 0
    reaches = [pair.bottom[2] - pair.bottom[0] if above else pair.bottom[0] - pair.bottom[1] for pair in pairs]
    a = bottom**2 - sum(reach**2 for reach in reaches)
    b = top * bottom - sum(pair.correlation * x * y for pair, x, y in zip(pairs, down, reaches, strict=True))
    root = math.sqrt(max(b * b - a * c, 0.0))
    return c / (b + root) if above else (b - root) / a
