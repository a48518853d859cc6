"""A mean against a published one, sampled from the same problems: the difference in standard errors."""

import math
from dataclasses import dataclass

from evalkit.stats.intervals import run_ratio, score_interval, student_quantile

_Z = 1.959963984540054
_POWER_Z = _Z + 0.8416212335729143  # two-sided 5%, power 80%


@dataclass(frozen=True, slots=True)
class Distance:
    """A difference: `z` in standard errors, and `error`, the standard error in the unit of the values.

    Examples:
        >>> Distance(z=2.1, error=0.5).seen  # doctest: +ELLIPSIS
        1.40...
    """

    z: float
    error: float

    @property
    def seen(self) -> float:
        """The difference that is detected with 80% power at the 5% level, in the unit of the values."""
        return _POWER_Z * self.error


def distance(value: float, own_error: float, published: float, their_error: float, rounding: float = 0.0) -> Distance:
    """The difference between `value` and `published`, given the standard errors of both.

    `rounding` is the step to which `published` was rounded, such as 0.1.

    Examples:
        >>> distance(83.9, 3.0, 79.9, 4.0)
        Distance(z=0.8, error=5.0)
    """
    error = math.sqrt(own_error**2 + their_error**2 + rounding**2 / 12)
    return Distance((value - published) / error if error > 0 else math.copysign(math.inf, value - published), error)


def error_towards(value: float, interval: tuple[float, float], other: float) -> float:
    """The standard error of `value` on the side of `other`: the width of its 95% interval on that side, over 1.96.

    If both are equal, the wider side is used. Unlike a plain standard error, this is not 0 if all or no problems were
    solved.

    Examples:
        >>> round(error_towards(50.0, (46.1, 60.0), 40.0), 2)  # (50 - 46.1) / 1.96
        1.99
    """
    down, up = value - interval[0], interval[1] - value
    reach = max(down, up) if other == value else down if other < value else up
    return max(reach, 0.0) / _Z


def published_error(value: float, stderr_run: float, count: float, published: float, their_count: float) -> float:
    """The run-to-run standard error of a published mean in [0, 1], on the side of our value.

    Our mean is `value`, with the standard error `stderr_run` over `count` observations (problems times n / k). The
    published mean has `their_count` observations. Under the null hypothesis the solve rates are equal, so the published
    mean's effective number of observations is ours, scaled.

    Examples:
        >>> few = published_error(0.5, 0.05, count=100, published=0.6, their_count=100)
        >>> many = published_error(0.5, 0.05, count=100, published=0.6, their_count=400)
        >>> many < few
        True
    """
    ratio = run_ratio(value, stderr_run**2, count)
    return error_towards(published, score_interval(published, their_count / ratio), value)


def error_of_runs(sd: float, runs: int | None) -> float:
    """The standard error of a mean over `runs` runs with the standard deviation `sd`, widened by Student's t.

    For one run, or an unknown number of runs, it is `sd`.

    Examples:
        >>> error_of_runs(4.0, None)
        4.0
        >>> error_of_runs(4.0, 16) > 4.0 / 16**0.5
        True
    """
    if runs is None or runs < 2:
        return sd
    return sd / math.sqrt(runs) * student_quantile(runs) / _Z
