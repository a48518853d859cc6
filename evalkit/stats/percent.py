"""Metrics in percent, with their error bars, from what each problem's completions are worth."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, isclose, isfinite

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.stats.intervals import Estimate, share_interval
from evalkit.stats.metrics import avg_at_n, avg_of_unequal
from evalkit.types import Interval, Metric


def in_percent(share: float) -> float:
    """A share in percent. A short decimal number is that number, so that the same result is printed alike everywhere.

    Examples:
        >>> 100 * (51 / 80), in_percent(51 / 80), in_percent(2 / 3)
        (63.74999999999999, 63.75, 66.66666666666666)
    """
    value = 100 * share
    short = round(value, 8)
    return short if isclose(value, short, rel_tol=1e-14) else value


def percent_metric(name: str, estimate: Estimate, note: str = "") -> Metric:
    """An estimate in [0, 1] as a metric in percent. One problem has no standard error over problems."""

    def scaled(pair: tuple[float, float]) -> Interval:
        return Interval(100 * pair[0], 100 * pair[1])

    return Metric(
        name,
        in_percent(estimate.value),
        estimate.problems * estimate.samples,
        "%",
        stderr_run=100 * estimate.stderr_run,
        interval_run=scaled(estimate.interval_run),
        stderr_problems=100 * estimate.stderr_problems if isfinite(estimate.stderr_problems) else None,
        interval_problems=scaled(estimate.interval_problems),
        note=note,
    )


def mean_metric(name: str, values: Sequence[Sequence[float]], note: str = "") -> Metric:
    """The mean over problems of the mean of each one's values, in percent, with both error bars.

    `values`: those of each problem's completions, in [0, 1]; problems may have different numbers of them. A problem
    without any is left out. Raises EvalkitError where no problem has one, and for values outside [0, 1].

    Examples:
        >>> found = mean_metric("names the unit", [[1.0, 0.0], [1.0, 1.0]])
        >>> found.value, found.n, found.unit
        (75.0, 4, '%')
    """
    rows = [np.asarray(of_problem, dtype=float) for of_problem in values if len(of_problem)]
    alike = len({len(row) for row in rows}) == 1
    found = percent_metric(name, avg_at_n(np.array(rows)) if alike else avg_of_unequal(rows), note)
    return replace(found, n=sum(map(len, rows)))


def share_metric(name: str, hits: Sequence[float], of: Sequence[int], note: str = "") -> Metric:
    """The sum of `hits` over the sum of `of`, in percent: one of each per problem, with 0 <= hits <= of.

    n is the sum of `of`. The interval over problems is that of `mean_metric` where all of `of` are equal
    (`evalkit.stats.intervals.share_interval`); None where `of` is above 0 for a single problem. Raises EvalkitError
    where `of` is 0 for every problem, where the two have different lengths, and for hits outside 0 and `of`.

    Examples:
        >>> found = share_metric("instructions", [1, 2, 3, 2], [2, 2, 3, 3])
        >>> found.value, found.n
        (80.0, 10)
    """
    if len(hits) != len(of):
        raise EvalkitError(
            f"{len(hits)} hits and {len(of)} counts do not belong together.", "give one of each per problem."
        )
    if faults := [f"{hit:g} of {count:g}" for hit, count in zip(hits, of, strict=True) if not 0 <= hit <= count < inf]:
        raise EvalkitError(f"A share is of 0 to all, not {faults[0]}.", "let 0 <= hits <= of hold for each problem.")
    if not sum(of):
        raise EvalkitError(
            "There is nothing to take a share of.", "leave the metric out where `of` is 0 for every problem."
        )
    ends = share_interval(np.array(hits, dtype=float), np.array(of, dtype=float))
    interval = None if ends is None else Interval(100 * ends[0], 100 * ends[1])
    return Metric(name, in_percent(sum(hits) / sum(of)), sum(of), "%", interval_problems=interval, note=note)
