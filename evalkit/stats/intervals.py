"""An estimate with two error bars: run to run (the same problems, new samples), and over problems.

Both intervals come from binomial tails (`score_interval`) with an effective number of observations in place of a
count, so that they stay inside [0, 1] and are right near its ends. How they cover is measured by
benchmarks/interval_coverage.py and stated in docs/coverage.md.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
_WEIGHT = 0.7  # how much of the probability of what was seen belongs to the tail beyond it
_NOTHING = 1e-9  # observations, below which there is none, whatever was rounded
_Z = 1.959963984540054
_PRIOR_COUNT = 2.0  # weight, in successes or failures, of "as variable as independent draws" in the run-to-run share
_UNSEEN = 0.25  # weight, in problems, of an unseen one that is never solved, and of one that is always solved


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric in [0, 1] with its 95% intervals.

    `stderr_run` and `interval_run` say how the value moves when the same problems are sampled again;
    `stderr_problems` (clustered by problem, Miller 2024, arXiv:2411.00640, section 2.2) and `interval_problems`
    how it moves when problems of the same kind are drawn anew. `problems` problems of `samples` samples each.
    `stderr_problems` is NaN for a single problem, whose interval is then [0, 1].
    `run_is_bound` is true where the run-to-run error cannot be estimated (one sample per problem) and the largest one
    possible stands in its place.

    Examples:
        >>> from evalkit.stats import avg_at_n
        >>> found = avg_at_n([[1, 0, 1, 1], [0, 0, 0, 1]])
        >>> found.interval_run[0] < found.value < found.interval_run[1]
        True
    """

    value: float
    stderr_run: float
    stderr_problems: float
    interval_run: tuple[float, float]
    interval_problems: tuple[float, float]
    problems: int
    samples: int
    run_is_bound: bool = False


def wilson(value: float, count: float, z: float = _Z) -> tuple[float, float]:
    """Wilson's interval in [0, 1] for a proportion `value` seen in `count` (effective) observations.

    Examples:
        >>> low, high = wilson(0.5, 100)
        >>> round(low, 3), round(high, 3)
        (0.404, 0.596)
    """
    if not math.isfinite(z):
        return 0.0, 1.0
    denominator = 1 + z * z / count
    centre = (value + z * z / (2 * count)) / denominator
    half = z / denominator * math.sqrt(max(value * (1 - value), 0.0) / count + z * z / (4 * count * count))
    low = 0.0 if value <= 0 else max(0.0, centre - half)
    high = 1.0 if value >= 1 else min(1.0, centre + half)
    return low, high


def score_interval(value: float, count: float, z: float = _Z) -> tuple[float, float]:
    """The 95% interval of a proportion `value` seen in `count` (effective, not necessarily whole) observations.

    Each end is the rate at which what was seen or more (less) has the probability Phi(-z), what was seen counted by
    `_WEIGHT`: Clopper and Pearson 1934 count it whole and cover 95% at least, the mid-P interval (Lancaster 1961) by
    one half, and covers down to 91.3%. This one covers 93.3% at least, at any rate and 9 to 500 observations, and is
    right at the ends, where Wilson's (90.9%) is not. Binomial tails are incomplete beta functions, so that `count`
    may be fractional (Korn and Graubard 1998, Survey Methodology 24, 193).
    """
    hits = min(max(value, 0.0), 1.0) * count
    return _lower(hits, count, z), 1 - _lower(count - hits, count, z)


@lru_cache(maxsize=16384)
def _lower(hits: float, count: float, z: float) -> float:
    from scipy.special import betainc, betaincinv, ndtr

    tail, rest = float(ndtr(-z)), count - hits
    if hits <= _NOTHING or tail <= 0:
        return 0.0
    if rest <= _NOTHING:
        return float(betaincinv(hits, 1.0, tail / _WEIGHT))

    def excess(rate: float) -> float:
        more = float(betainc(hits + 1, rest, rate))
        return more + _WEIGHT * (float(betainc(hits, rest + 1, rate)) - more) - tail

    if excess(_NOTHING) >= 0:
        return 0.0  # far less than one success
    low, high = float(betaincinv(hits, rest + 1, tail)), float(betaincinv(hits + 1, rest, tail))
    low = max(low, _NOTHING)
    below, above = excess(low), excess(high)
    moved = 0
    for _ in range(50):  # false position, the Illinois variant
        middle = (low * above - high * below) / (above - below)
        at = excess(middle)
        if abs(at) < 1e-9 * tail or high - low < 1e-12:
            break
        if at < 0:
            low, below, above, moved = middle, at, above / (2 if moved < 0 else 1), -1
        else:
            high, above, below, moved = middle, at, below / (2 if moved > 0 else 1), 1
    return middle


def student_quantile(problems: float) -> float:
    """The 97.5% point of Student's t with `problems` - 1 degrees of freedom; infinite for one problem.

    `problems` need not be whole, as where they have different weights.
    """
    if problems <= 1:
        return math.inf
    from scipy.special import stdtrit

    return float(stdtrit(problems - 1, (1 + LEVEL) / 2))


def run_interval(value: float, variance: float, count: float) -> tuple[float, float]:
    """The run-to-run interval of a mean whose sampling variance, the problems held fixed, is `variance`.

    `count` is the number of independent observations (problems times n / k), which `run_ratio` raises.
    """
    return score_interval(value, count / run_ratio(value, variance, count))


def run_ratio(value: float, variance: float, count: float) -> float:
    """`variance` over that of `count` draws at one rate, in (0, 1].

    Draws from problems of unequal difficulty vary less than draws at one rate (Hoeffding 1956). The ratio is shrunk
    towards 1 where there are few successes (or failures) to tell it from.
    """
    binomial = value * (1 - value) / count
    ratio = min(variance / binomial, 1.0) if binomial > 0 else 1.0
    rarer = count * min(value, 1 - value)
    return (ratio * rarer + _PRIOR_COUNT) / (rarer + _PRIOR_COUNT)


def problems_interval(by_problem: Floats, floor: float) -> tuple[float, float]:
    """The interval over problems of the mean of `by_problem` (values in [0, 1], one a problem).

    The effective number of problems is their number divided by the share of the largest possible variance that they
    show, value * (1 - value): `floor` (1 / n for independent draws) for equally hard problems, 1 for problems that
    are always or never solved. What the sample does not hold may exist all the same, so the share is that of the
    problems and a quarter of one more at either end: the expected variance under a Dirichlet process prior
    (Ferguson 1973) of that weight. Where the problems lie at the ends themselves it changes nothing.
    """
    problems = len(by_problem)
    total = problems + 2 * _UNSEEN
    mean = (float(by_problem.sum()) + _UNSEEN) / total
    square = (float((by_problem**2).sum()) + _UNSEEN) / total
    share = min(max((square - mean**2) / (mean * (1 - mean)), floor), 1.0)
    return score_interval(float(by_problem.mean()), problems / share, student_quantile(problems))


def share_interval(hits: Floats, of: Floats) -> tuple[float, float] | None:
    """The interval over problems of sum(hits) / sum(of), one of each per problem, 0 <= hits <= of.

    `problems_interval` with problems that weigh what they have in `of`, and equal to it where all have the same. The
    number of problems is that of the heaviest weight, sum(of) / max(of), and an unseen one has that weight, since rare
    problems may be heavy; the variance is that of the linearised ratio (Cochran 1977, "Sampling Techniques", section
    6.4). None where a single problem has any weight.

    >>> share_interval(np.array([0.0, 0.0]), np.array([4.0, 0.0])) is None
    True
    """
    if np.count_nonzero(of) < 2:
        return None
    value, most = float(hits.sum() / of.sum()), float(of.max())
    problems = float(of.sum()) / most
    total = problems + 2 * _UNSEEN
    mean = (problems * value + _UNSEEN) / total
    apart = float((((hits - mean * of) / most) ** 2).sum()) + _UNSEEN * (mean**2 + (1 - mean) ** 2)
    floor = 1 / most if bool((hits == np.round(hits)).all()) else 0.0
    share = min(max(apart / (total * mean * (1 - mean)), floor), 1.0)
    return score_interval(value, problems / share, student_quantile(problems))


def estimate(by_problem: Floats, variance: float | None, samples: int, k: int = 1, binary: bool = True) -> Estimate:
    """The estimate from a value for each problem and the sum of their sampling variances.

    `variance` None means that it cannot be estimated: the run-to-run error is then its upper bound, that of
    independent draws at one rate. `k` is the number of samples that one observation takes.
    """
    problems = len(by_problem)
    value = float(by_problem.mean())
    count = problems * samples / k
    bound = max(value * (1 - value), 0.0) / count
    of_mean = bound if variance is None else min(variance / problems**2, bound)
    spread = float(by_problem.std(ddof=1)) / math.sqrt(problems) if problems > 1 else math.nan
    return Estimate(
        value=value,
        stderr_run=math.sqrt(of_mean),
        stderr_problems=spread,
        interval_run=run_interval(value, of_mean, count),
        interval_problems=problems_interval(by_problem, k / samples if binary else 0.0),
        problems=problems,
        samples=samples,
        run_is_bound=variance is None,
    )
