"""Means over tokens or other units that come in clusters (problems), with intervals that hold the clusters together."""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.intervals import Floats, student_quantile


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A ratio of sums over clusters with its standard error and 95% interval; NaN errors for a single cluster."""

    value: float
    stderr: float
    interval: tuple[float, float]
    clusters: int


def ratio_of_sums(numerators: Floats, denominators: Floats) -> ClusteredMean:
    """sum(numerators) / sum(denominators), each array with one entry per cluster.

    The variance is that of the linearised ratio between clusters (Cochran 1977, "Sampling Techniques", section 6.4),
    the interval Student's t with one degree of freedom less than there are clusters.

    >>> ratio_of_sums(np.array([2.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0])).value
    2.5
    """
    total = float(denominators.sum())
    value = float(numerators.sum()) / total
    clusters = len(numerators)
    if clusters < 2:
        return ClusteredMean(value, float("nan"), (float("nan"), float("nan")), clusters)
    residuals = numerators - value * denominators
    stderr = float(np.sqrt(clusters / (clusters - 1) * (residuals**2).sum())) / total
    half = student_quantile(clusters) * stderr
    return ClusteredMean(value, stderr, (value - half, value + half), clusters)
