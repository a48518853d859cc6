"""Two runs on the same problems: the difference with both error bars, an exact test, and what it takes to see more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.stats.intervals import Estimate, Floats
from evalkit.stats.metrics import avg_at_n

_POWER_Z = 1.959963984540054 + 0.8416212335729143  # two-sided 5%, power 80%
_EXACT_CELLS = 20_000_000
_FLIPS = 20_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """B minus A on the same problems; differences and errors as fractions, not percent.

    `interval_run` is for the same problems sampled again, `interval_problems` for new problems. `p_value` is that of
    the two-sided sign-flip permutation test. `by_problem` holds B minus A for each problem. `samples_needed` a
    problem (in both runs) and `problems_needed` would show a difference of `target` with 80% power at the 5% level;
    `samples_needed` is None where no number of samples shows it: the samples of each problem do not vary.

    Examples:
        >>> found = compare_paired([[0, 1], [0, 0]], [[1, 1], [0, 1]])
        >>> found.a.value, found.b.value, found.difference
        (0.25, 0.75, 0.5)
    """

    a: Estimate
    b: Estimate
    difference: float
    stderr_run: float
    stderr_problems: float
    interval_run: tuple[float, float]
    interval_problems: tuple[float, float]
    p_value: float
    by_problem: tuple[float, ...]
    target: float
    samples_needed: int | None
    problems_needed: int


def compare_paired(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], target: float = 0.02) -> Comparison:
    """Compare two runs: samples' values in [0, 1] by problem, the same problems in the same order.

    The intervals combine those of the two runs as Newcombe 1998 does (Statistics in Medicine 17, 873 and 2635), over
    problems with the correlation of the two. Raises EvalkitError on sets of different size, or as `avg_at_n` does.

    Examples:
        >>> found = compare_paired([[0, 1], [0, 0]], [[1, 1], [0, 1]])
        >>> found.difference, found.by_problem
        (0.5, (0.5, 0.5))
    """
    if len(a) != len(b):
        raise EvalkitError(f"One run has {len(a)} problems, the other {len(b)}.", "compare runs of the same problems.")
    if not 0 < target < 1:
        raise EvalkitError(f"A difference of {target * 100:g} points cannot be seen.", "ask for one in (0, 100).")
    first, second = avg_at_n(a), avg_at_n(b)
    means_a = np.array([np.mean(row) for row in a])
    means_b = np.array([np.mean(row) for row in b])
    differences = means_b - means_a
    problems = len(differences)
    spread = float(differences.std(ddof=1)) if problems > 1 else math.nan
    return Comparison(
        a=first,
        b=second,
        difference=second.value - first.value,
        stderr_run=math.hypot(first.stderr_run, second.stderr_run),
        stderr_problems=spread / math.sqrt(problems),
        interval_run=_difference_interval(first, second, "run", 0.0),
        interval_problems=_difference_interval(first, second, "problems", _correlation(means_a, means_b)),
        p_value=sign_flip_test(a, b),
        by_problem=tuple(float(d) for d in differences),
        target=target,
        samples_needed=samples_needed(first, second, target),
        problems_needed=problems_needed(spread, target) if problems > 1 else 0,
    )


def _correlation(a: Floats, b: Floats) -> float:
    if len(a) < 3 or float(np.ptp(a)) == 0 or float(np.ptp(b)) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _difference_interval(a: Estimate, b: Estimate, which: str, correlation: float) -> tuple[float, float]:
    """Newcombe's hybrid score interval of b - a: it stays inside [-1, 1]."""
    a_low, a_high = a.interval_run if which == "run" else a.interval_problems
    b_low, b_high = b.interval_run if which == "run" else b.interval_problems
    difference = b.value - a.value

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(x * x + y * y - 2 * correlation * x * y, 0.0))

    low = difference - reach(b.value - b_low, a_high - a.value)
    high = difference + reach(b_high - b.value, a.value - a_low)
    return max(low, -1.0), min(high, 1.0)


def sign_flip_test(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    """The two-sided p-value of the paired permutation test: under the null, each problem's A and B may change places.

    Exact where the values are 0 and 1, by the distribution of the sum over all 2^problems sign flips (Pagano and
    Tritchler 1983's recursion); otherwise by 20,000 random flips with a fixed seed, plus one (Phipson and Smyth 2010).

    Examples:
        >>> sign_flip_test([[0.0], [0.0], [0.0]], [[1.0], [1.0], [1.0]])
        0.25
    """
    units = _integer_differences(a, b)
    if units is not None:
        steps = [abs(u) for u in units if u]
        total, observed = sum(steps), abs(sum(units))
        if (total + 1) * max(len(steps), 1) <= _EXACT_CELLS * 25 and total < _EXACT_CELLS:
            weights = np.zeros(total + 1)
            weights[0] = 1.0
            reached = 0
            for step in steps:
                weights[step : reached + step + 1] += weights[: reached + 1].copy()
                reached += step
                weights[: reached + 1] *= 0.5
            sums = np.abs(2 * np.arange(total + 1) - total)
            return min(float(weights[sums >= observed].sum()), 1.0)
    means = np.array([np.mean(y) - np.mean(x) for x, y in zip(a, b, strict=True)])
    rng = np.random.default_rng(0)
    limit = abs(means.sum()) - 1e-12
    beyond = 0
    for _ in range(_FLIPS // 1000):
        signs = rng.integers(0, 2, size=(1000, len(means))) * 2 - 1
        beyond += int((np.abs(signs @ means) >= limit).sum())
    return (beyond + 1) / (_FLIPS + 1)


def _integer_differences(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> list[int] | None:
    """Each problem's B minus A in units of 1 / lcm(n of A, n of B); None where a value is neither 0 nor 1."""
    if any(v not in (0, 1) for rows in (a, b) for row in rows for v in row):
        return None
    n_a, n_b = len(a[0]), len(b[0])
    unit = math.lcm(n_a, n_b)
    return [int(sum(y)) * (unit // n_b) - int(sum(x)) * (unit // n_a) for x, y in zip(a, b, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given: each below 5% is a finding of its own.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min((len(p_values) - rank) * p_values[i], 1.0))
        adjusted[i] = running
    return adjusted


def samples_needed(a: Estimate, b: Estimate, target: float) -> int | None:
    """Samples a problem, in each run, for a run-to-run difference of `target` (power 80%, two-sided 5%).

    None where the samples did not vary at all, so that there is nothing to go by.

    Examples:
        >>> from evalkit.stats import avg_at_n
        >>> found = avg_at_n([[1, 0, 1, 1], [0, 0, 0, 1]])
        >>> samples_needed(found, found, 0.1) > samples_needed(found, found, 0.2)
        True
    """
    within = a.samples * a.stderr_run**2 + b.samples * b.stderr_run**2
    return max(1, math.ceil(_POWER_Z**2 * within / target**2)) if within > 0 else None


def problems_needed(spread: float, target: float) -> int:
    """Problems for a difference of `target` over problems, where the differences have the standard deviation `spread`.

    The number of samples a problem stays as it is; power 80%, two-sided 5%; at least 2.

    Examples:
        >>> problems_needed(spread=0.4, target=0.02)
        3140
    """
    return max(2, math.ceil((_POWER_Z * spread / target) ** 2))
