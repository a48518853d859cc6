"""Two runs on the same problems: the difference with both error bars, an exact test, and what it takes to see more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.stats.clustered import ClusteredMean
from evalkit.stats.intervals import Estimate, Floats, student_quantile
from evalkit.stats.metrics import avg_at_n

_Z = 1.959963984540054
_POWER_Z = _Z + 0.8416212335729143  # two-sided 5%, power 80%
_UNSEEN = 2.0  # successes: none of 2.8, which is what 1.96 times their root stands for, is seen in 6% of sets
_EXACT_CELLS = 20_000_000
_FLIPS = 20_000
_THINNINGS, _TOGETHER = 100, 10


Samples = Sequence[Sequence[float]] | Floats


@dataclass(frozen=True, slots=True)
class Comparison:
    """B minus A on the same problems; differences and errors as fractions, not percent.

    `interval_run` is for the same problems sampled again, `interval_problems` for new problems. `p_value` is that of
    `sign_flip_test`, `least_p` the least that these problems allow. `by_problem` holds B minus A for each problem.
    `seen_run` and `seen_problems` are the differences that would have been seen with 80% power at the 5% level.
    `samples_needed` a problem (in both runs) and `problems_needed` would show a difference of `target` with that
    power; each is None where it cannot be told, since nothing varied. `samples_needed` is an upper bound where
    `needed_is_bound` is true: one sample per problem does not tell how a second would differ. Where the problems are
    not the same ones (`compare_unpaired`), `by_problem` is empty.

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
    least_p: float
    by_problem: tuple[float, ...]
    target: float
    seen_run: float
    seen_problems: float
    samples_needed: int | None
    problems_needed: int | None
    needed_is_bound: bool

    @property
    def paired(self) -> bool:
        """Whether both runs have the same problems."""
        return bool(self.by_problem)


def compare_paired(a: Samples, b: Samples, target: float = 0.02) -> Comparison:
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
    _check_target(target)
    first, second = avg_at_n(a), avg_at_n(b)
    means_a, means_b = (np.asarray(rows, dtype=np.float64).mean(axis=1) for rows in (a, b))
    differences = means_b - means_a
    problems = len(differences)
    spread = float(differences.std(ddof=1)) if problems > 1 else math.nan
    correlation = _correlation(means_a, means_b)
    # With one sample per problem on both sides, what a problem's difference varies is a bound on what its samples do.
    single = first.samples == second.samples == 1
    stderr_run = math.hypot(first.stderr_run, second.stderr_run)
    if single:
        stderr_run = min(stderr_run, math.sqrt(float((differences**2).mean()) / problems))
    interval_run = _difference_interval(first, second, "run", correlation if single else 0.0)
    interval_problems = _difference_interval(first, second, "problems", correlation)
    return Comparison(
        a=first,
        b=second,
        difference=second.value - first.value,
        stderr_run=stderr_run,
        stderr_problems=spread / math.sqrt(problems),
        interval_run=interval_run,
        interval_problems=interval_problems,
        p_value=sign_flip_test(a, b),
        least_p=least_p_value(a, b),
        by_problem=tuple(float(d) for d in differences),
        target=target,
        seen_run=_POWER_Z / _Z * (interval_run[1] - interval_run[0]) / 2,
        seen_problems=_POWER_Z / _Z * (interval_problems[1] - interval_problems[0]) / 2,
        samples_needed=_samples(stderr_run**2, target) if single else samples_needed(first, second, target),
        problems_needed=problems_needed(spread, target) if problems > 1 else None,
        needed_is_bound=first.run_is_bound or second.run_is_bound,
    )


def compare_unpaired(a: Samples, b: Samples, target: float = 0.02) -> Comparison:
    """Compare two runs on different problems of one kind: as `compare_paired`, without anything to pair.

    Both intervals are Newcombe's with no correlation. The test exchanges problems between the runs: 20,000 seeded
    permutations of Welch's statistic (Janssen 1997, Statistics and Probability Letters 36, 9). `by_problem` is empty.

    Raises EvalkitError as `compare_paired` does.

    Examples:
        >>> found = compare_unpaired([[0, 1], [0, 0], [0, 0]], [[1, 1], [0, 1]])
        >>> found.difference, found.paired
        (0.5833333333333334, False)
    """
    _check_target(target)
    first, second = avg_at_n(a), avg_at_n(b)
    means_a, means_b = (np.asarray([np.mean(row) for row in rows], dtype=np.float64) for rows in (a, b))
    interval_run = _difference_interval(first, second, "run", 0.0)
    interval_problems = _difference_interval(first, second, "problems", 0.0)
    spread = math.hypot(first.stderr_problems, second.stderr_problems)  # NaN for a single problem
    alike = len({float(v) for means in (means_a, means_b) for v in means}) == 1
    more = _POWER_Z * spread / target
    return Comparison(
        a=first,
        b=second,
        difference=second.value - first.value,
        stderr_run=math.hypot(first.stderr_run, second.stderr_run),
        stderr_problems=spread,
        interval_run=interval_run,
        interval_problems=interval_problems,
        p_value=permutation_test(means_a, means_b),
        least_p=1.0 if alike else min(1.0, 2 / math.comb(len(means_a) + len(means_b), len(means_a))),
        by_problem=(),
        target=target,
        seen_run=_POWER_Z / _Z * (interval_run[1] - interval_run[0]) / 2,
        seen_problems=_POWER_Z / _Z * (interval_problems[1] - interval_problems[0]) / 2,
        samples_needed=samples_needed(first, second, target),
        problems_needed=math.ceil(min(len(a), len(b)) * more**2) if spread > 0 else None,
        needed_is_bound=first.run_is_bound or second.run_is_bound,
    )


def permutation_test(a: Floats, b: Floats) -> float:
    """The two-sided p-value that two sets of problem means have one mean: permutations of Welch's statistic, seeded.

    Examples:
        >>> permutation_test(np.array([0.1, 0.2, 0.1, 0.3] * 3), np.array([0.8, 0.9, 0.7, 0.9] * 3)) < 0.001
        True
    """
    if len(a) < 2 or len(b) < 2:
        return 1.0
    pooled, rng = np.concatenate([a, b]), np.random.default_rng(0)
    orders = rng.permuted(np.tile(pooled, (1000, 1)), axis=1)
    observed, beyond = abs(_welch(a[None], b[None])[0]), 0
    for _ in range(_FLIPS // 1000):
        orders = rng.permuted(orders, axis=1)
        beyond += int((np.abs(_welch(orders[:, : len(a)], orders[:, len(a) :])) >= observed - 1e-9).sum())
    return (beyond + 1) / (_FLIPS + 1)


def _welch(a: Floats, b: Floats) -> Floats:
    """Welch's t of each row; 0 where nothing differs, infinite where only the means do."""
    difference = b.mean(axis=1) - a.mean(axis=1)
    error = np.sqrt(a.var(axis=1, ddof=1) / a.shape[1] + b.var(axis=1, ddof=1) / b.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.abs(difference) < 1e-12, 0.0, difference / error))


def _check_target(target: float) -> None:
    if not 0 < target < 1:
        raise EvalkitError(f"A difference of {target * 100:g} points cannot be seen.", "ask for one in (0, 100).")


def _correlation(a: Floats, b: Floats) -> float:
    if len(a) < 3 or float(np.ptp(a)) == 0 or float(np.ptp(b)) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def paired_difference(a: Samples, b: Samples) -> ClusteredMean:
    """B minus A over the same problems in the same order, with the interval over problems of `compare_paired`.

    Raises EvalkitError as `avg_at_n` does.

    >>> found = paired_difference([[0, 1], [0, 0]], [[1, 1], [0, 1]])
    >>> found.value, found.clusters
    (0.5, 2)
    """
    first, second = avg_at_n(a), avg_at_n(b)
    means_a, means_b = (np.asarray(rows, dtype=np.float64).mean(axis=1) for rows in (a, b))
    differences = means_b - means_a
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else math.nan
    interval = _difference_interval(first, second, "problems", _correlation(means_a, means_b))
    return ClusteredMean(second.value - first.value, spread / math.sqrt(len(differences)), interval, len(differences))


def _difference_interval(a: Estimate, b: Estimate, which: str, correlation: float) -> tuple[float, float]:
    """Newcombe's hybrid score interval of b - a: it stays inside [-1, 1].

    What a correlation takes off is given back as far as `unseen_variance` says.
    """
    a_low, a_high = a.interval_run if which == "run" else a.interval_problems
    b_low, b_high = b.interval_run if which == "run" else b.interval_problems
    difference = b.value - a.value
    quantile = _Z if which == "run" else student_quantile(a.problems)
    unseen = unseen_variance(correlation, quantile, min(a.samples, b.samples) * a.problems)

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(x * x + y * y - 2 * correlation * x * y, 0.0) + unseen)

    low = difference - reach(b.value - b_low, a_high - a.value)
    high = difference + reach(b_high - b.value, a.value - a_low)
    return max(low, -1.0), min(high, 1.0)


def unseen_variance(correlation: float, quantile: float, count: int) -> float:
    """The square of what a correlation takes off an interval and rests on successes that were too rare to be seen.

    Runs that agree on every problem may still differ by the `_UNSEEN` successes that a set of this size (`count`
    samples) lacks now and then. `quantile` is that of the interval.

    >>> unseen_variance(-0.2, 1.96, 100)
    0.0
    """
    return correlation * _UNSEEN * (quantile / count) ** 2 if correlation > 0 else 0.0


def sign_flip_test(a: Samples, b: Samples) -> float:
    """The two-sided p-value of the paired permutation test: under the null, each problem's A and B may change places.

    Exact where the values are 0 and 1, by the distribution of the sum over all 2^problems sign flips (Pagano and
    Tritchler 1983's recursion); otherwise by 20,000 random flips with a fixed seed, plus one (Phipson and Smyth 2010).

    The results of more and of fewer samples do not change places. Where the numbers of samples differ, the larger run
    is thinned to the smaller one's number, which makes the test exact, and p is the mean over 100 thinnings, with 200
    flips of each. A mean of p-values is below 5% in at most 10% of cases, whatever their dependence (Rueschendorf
    1982); these are nearly alike, and it stays below 5%.

    Examples:
        >>> sign_flip_test([[0.0], [0.0], [0.0]], [[1.0], [1.0], [1.0]])
        0.25
    """
    if len(a[0]) != len(b[0]):
        return _thinned_test(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
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
    beyond = sum(_beyond(means[None], 1000, rng) for _ in range(_FLIPS // 1000))
    return (beyond + 1) / (_FLIPS + 1)


def _beyond(differences: Floats, flips: int, rng: np.random.Generator) -> int:
    """How many of `flips` random sign flips of each row (sets, problems) have a sum as far from 0 as the row's own."""
    sets, problems = differences.shape
    bits = np.frombuffer(rng.bytes(sets * flips * (-(-problems // 8))), dtype=np.uint8)
    kept = np.unpackbits(bits.reshape(sets, flips, -1), axis=2, count=problems)
    own = differences.sum(axis=1)[:, None]
    sums = 2 * np.matmul(kept.astype(np.float64), differences[:, :, None])[:, :, 0] - own
    return int((np.abs(sums) >= np.abs(own) - 1e-9).sum())


def _thinned_test(a: Floats, b: Floats) -> float:
    rng, n, beyond = np.random.default_rng(0), min(a.shape[1], b.shape[1]), 0

    def thinned(values: Floats) -> Floats:
        repeated = np.repeat(values[None], _TOGETHER, axis=0)
        some = repeated if values.shape[1] == n else rng.permuted(repeated, axis=2)[:, :, :n]
        return np.asarray(some.mean(axis=2))

    for _ in range(_THINNINGS // _TOGETHER):
        beyond += _beyond(thinned(b) - thinned(a), _FLIPS // _THINNINGS, rng)
    return (beyond + 1) / (_FLIPS + 1)


def least_p_value(a: Samples, b: Samples) -> float:
    """The least p that `sign_flip_test` can give where the problems differ by as much as these do, in any direction.

    It is 2 / 2^d for d problems that differ, and 1 if none does. If `a` and `b` have different numbers of samples it is
    not computed, and the result is 0 (1 if all samples have the same value).

    Examples:
        >>> least_p_value([[1], [0], [0]], [[0], [1], [1]])
        0.25
    """
    if len(a[0]) != len(b[0]):
        return 1.0 if len({v for rows in (a, b) for row in rows for v in row}) == 1 else 0.0
    differing = sum(not math.isclose(math.fsum(x), math.fsum(y), abs_tol=1e-12) for x, y in zip(a, b, strict=True))
    return min(2.0 ** (1 - differing), 1.0)


def _integer_differences(a: Samples, b: Samples) -> list[int] | None:
    """Each problem's B minus A in units of 1 / n, n being the same for both; None where a value is neither 0 nor 1."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not (np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all()):
        return None
    steps: list[int] = (second.sum(axis=1) - first.sum(axis=1)).astype(np.int64).tolist()
    return steps


def holm(p_values: Sequence[float], least: Sequence[float] | None = None, level: float = 0.05) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given: each below 5% is a finding of its own.

    `least` holds the least p that each test can give. Tests that cannot be a finding among those that can, such as
    tasks on which nothing differs, are then not counted (Tarone 1990, Biometrics 46, 515, at `level`).

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    count = len(p_values)
    counted = list(range(count))
    if least is not None:
        tests = next((k for k in range(1, count + 1) if sum(p <= level / k for p in least) <= k), count)
        counted = [i for i, p in enumerate(least) if p <= level / tests]
        adjusted = [min(tests * p, 1.0) for p in p_values]  # of those not counted: above `level`
    else:
        adjusted = [1.0] * count
    running = 0.0
    for rank, i in enumerate(sorted(counted, key=lambda i: p_values[i])):
        running = max(running, min((len(counted) - rank) * p_values[i], 1.0))
        adjusted[i] = running
    return adjusted


def leaders(values: Sequence[float]) -> list[int]:
    """The positions of the largest value. There are several if the best are tied.

    Examples:
        >>> leaders([81.2, 83.9, 83.9])
        [1, 2]
    """
    best = max(values, default=0.0)
    return [i for i, value in enumerate(values) if math.isclose(value, best, rel_tol=1e-12, abs_tol=1e-12)]


def samples_needed(a: Estimate, b: Estimate, target: float) -> int | None:
    """Samples a problem, in each run, for a run-to-run difference of `target` (power 80%, two-sided 5%).

    None where the samples did not vary at all, so that there is nothing to go by. An upper bound where one of the
    runs has one sample per problem.

    Examples:
        >>> from evalkit.stats import avg_at_n
        >>> found = avg_at_n([[1, 0, 1, 1], [0, 0, 0, 1]])
        >>> samples_needed(found, found, 0.1) > samples_needed(found, found, 0.2)
        True
    """
    return _samples(a.samples * a.stderr_run**2 + b.samples * b.stderr_run**2, target)


def samples_to_find(found: Comparison, target: float, tests: int = 1) -> int | None:
    """Samples per problem, in each run, at which the test of `found` finds a difference of `target` in 4 of 5 tries.

    `tests` is the number of tests among which it has to hold (the level is 5% / `tests`). Unlike `samples_needed` this
    counts how the true difference varies from problem to problem, which more samples do not reduce. With s² the
    variance of the true differences of m problems and w that of one sample of each run, the test sees a variance of
    (s² + w / n) / m, while the same problems sampled again vary by w / (n m), so that the difference has to be
    t₀.₉₇₅ √((s² + w / n) / m) + t₀.₈ √(w / (n m)). None where no number of samples of these problems would do. At one
    sample per problem w is taken to be all of the variance, and the number is an upper bound.

    Examples:
        >>> found = compare_paired([[0, 1, 0, 1]] * 50, [[1, 1, 0, 0]] * 50)
        >>> samples_to_find(found, 0.1) < samples_to_find(found, 0.05)
        True
    """
    noise = found.a.samples * found.a.stderr_run**2 + found.b.samples * found.b.stderr_run**2
    fewest = min(found.a.problems, found.b.problems)
    if fewest < 2:
        return None
    if found.paired:
        problems, total = len(found.by_problem), float(np.var(found.by_problem, ddof=1)) / len(found.by_problem)
    else:
        problems, total = found.a.problems + found.b.problems - 1, found.stderr_problems**2
    now = found.a.stderr_run**2 + found.b.stderr_run**2
    if found.a.samples == found.b.samples == 1:
        noise = now = total
    between = max(total - now, 0.0)
    from scipy.special import stdtrit

    level, power = (float(stdtrit(problems - 1, p)) for p in (1 - 0.025 / tests, 0.8))
    left = target**2 - level**2 * between
    if left <= 0 or noise <= 0:
        return None
    # target = level √(between + x²) + power x, solved for the error x of new samples
    curve = level**2 - power**2
    error = (math.sqrt((power * target) ** 2 + curve * left) - power * target) / curve
    return max(1, math.ceil(noise / error**2))


def _samples(variance: float, target: float) -> int | None:
    """`variance`: of the difference of one sample per problem of each run."""
    return max(1, math.ceil(_POWER_Z**2 * variance / target**2)) if variance > 0 else None


def problems_needed(spread: float, target: float) -> int | None:
    """Problems for a difference of `target` over problems, where the differences have the standard deviation `spread`.

    The number of samples per problem stays as it is; power 80%, two-sided 5%; at least 2. None where no problem differs
    from another, so that there is nothing to go by.

    Examples:
        >>> problems_needed(spread=0.4, target=0.02)
        3140
    """
    return max(2, math.ceil((_POWER_Z * spread / target) ** 2)) if spread > 0 else None
