"""A mean against a published one, sampled from the same problems: the difference in standard errors."""

import math
from dataclasses import dataclass

from evalkit.stats.intervals import run_ratio, score_interval, student_quantile

_Z = 1.959963984540054
_POWER_Z = _Z + 0.8416212335729143  # two-sided 5%, power 80%


@dataclass(frozen=True, slots=True)
class Distance:
    """`z` standard errors of the difference; `error` is one, in the unit of the values."""

    z: float
    error: float

    @property
    def seen(self) -> float:
        """The difference that would have been seen with 80% power at the 5% level, in the unit of the values."""
        return _POWER_Z * self.error


def distance(value: float, own_error: float, published: float, their_error: float, rounding: float = 0.0) -> Distance:
    """`value` against `published`; errors are standard errors, `rounding` the step to which `published` was rounded."""
    error = math.sqrt(own_error**2 + their_error**2 + rounding**2 / 12)
    return Distance((value - published) / error if error > 0 else math.copysign(math.inf, value - published), error)


def error_towards(value: float, interval: tuple[float, float], other: float) -> float:
    """The standard error of `value` on the side of `other`: what its 95% interval reaches there, over 1.96.

    The larger of both sides where the two are equal. An error so taken is not 0 where nothing or everything was solved.
    """
    down, up = value - interval[0], interval[1] - value
    reach = max(down, up) if other == value else down if other < value else up
    return max(reach, 0.0) / _Z


def published_error(value: float, stderr_run: float, count: float, published: float, their_count: float) -> float:
    """The run-to-run standard error of a published mean in [0, 1], on the side of ours.

    Ours is `value` with the standard error `stderr_run` from `count` observations (problems times n / k), theirs is of
    `their_count`. Under the null the solve rates are the same, so their effective number is ours, scaled.
    """
    ratio = run_ratio(value, stderr_run**2, count)
    return error_towards(published, score_interval(published, their_count / ratio), value)


def error_of_runs(sd: float, runs: int | None) -> float:
    """The standard error of a mean over `runs` runs whose standard deviation is `sd`, by Student's t for few runs.

    For one run, or an unknown number, it is `sd`.
    """
    if runs is None or runs < 2:
        return sd
    return sd / math.sqrt(runs) * student_quantile(runs) / _Z
