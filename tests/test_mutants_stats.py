"""Statistics of small seeded samples, whole: every field of every result, for sizes at and beside the special ones."""

import math
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from snapshots import check_json

from evalkit import stats
from evalkit.errors import EvalkitError
from evalkit.stats import (
    agreement,
    clean,
    clustered,
    drafting,
    passes,
    precision,
    ranking,
    ratio,
    solve_rates,
    solved,
    voting,
)
from evalkit.stats.intervals import problems_interval, run_interval, run_ratio, score_interval, student_quantile, wilson
from evalkit.stats.percent import mean_metric, share_metric

Matrix = npt.NDArray[np.float64]
SIZES = [(1, 1), (1, 4), (2, 1), (2, 3), (3, 2), (5, 4), (7, 1), (12, 8)]  # problems, samples


def plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.6g}") if math.isfinite(value) else str(float(value))
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    return value


def made(problems: int, n: int, mean: float, seed: int = 0) -> Matrix:
    """Samples whose solve rates differ by problem."""
    rng = np.random.default_rng([problems, n, seed])
    return (rng.random((problems, n)) < np.clip(mean + rng.normal(0, 0.25, (problems, 1)), 0, 1)).astype(np.float64)


def tried(call: Callable[[], Any]) -> Any:
    try:
        return plain(call())
    except EvalkitError as error:
        return f"error: {error.message}"


@pytest.mark.parametrize("mean", [0.0, 0.1, 0.5, 1.0])
def test_means_and_curves(mean: float) -> None:
    held = {}
    for problems, n in SIZES:
        values = made(problems, n, mean)
        ks = sorted({1, 2, n // 2, n - 1, n} & set(range(1, n + 1)))
        found = {
            "avg": tried(lambda v=values: stats.avg_at_n(v)),  # type: ignore[misc]
            "halves": tried(lambda v=values: stats.avg_at_n(v / 2)),  # type: ignore[misc]
            "pass": tried(lambda v=values, k=ks: stats.pass_curve(v, k)),  # type: ignore[misc]
            "too many": tried(lambda v=values, m=n: stats.pass_at_k(v, m + 1)),  # type: ignore[misc]
            "none": tried(lambda v=values: stats.pass_at_k(v, 0)),  # type: ignore[misc]
        }
        held[f"{problems} x {n}"] = found
    check_json(f"stats/means {mean}.json", held)


def test_means_of_unequal_numbers() -> None:
    rows = [np.array(r, dtype=float) for r in ([1], [0, 1], [1, 1, 0, 0, 0], [0.5, 1.0])]
    held = [tried(lambda r=rows[:i]: stats.avg_of_unequal(r)) for i in range(5)]  # type: ignore[misc]
    held += [plain(stats.avg_of_unequal([rows[0], rows[0]])), plain(stats.avg_of_unequal(rows[1:3]))]
    several: list[list[list[float]]] = [[[1.0], [1.0, 0.0]], [[]], [[1.5]], [[-0.1]], [[float("nan")]]]
    for wrong in several:
        held.append(tried(lambda w=wrong: stats.avg_at_n(w)))  # type: ignore[misc]
    check_json("stats/unequal.json", held)


def answers(problems: int, n: int, kinds: int, seed: int = 0) -> list[list[int | None]]:
    rng = np.random.default_rng([problems, n, kinds, seed])
    return [[None if a == kinds else int(a) for a in row] for row in rng.integers(0, kinds + 1, (problems, n))]


def test_votes() -> None:
    held = {}
    for problems, n in [*SIZES, (3, 16), (2, 40)]:
        for kinds in (1, 3):
            given = answers(problems, n, kinds)
            right = np.array([[float(a == 0) for a in row] for row in given])
            ks = sorted({1, 2, 3, n // 2, n - 1, n} & set(range(1, n + 1)))
            held[f"{problems} x {n}, {kinds}"] = plain(stats.cons_curve(given, right, ks))
    mixed = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    held["one answer of two worths"] = plain(stats.cons_curve([["a", "a", "b", None], [None] * 4], mixed, [1, 2, 4]))
    held["many elections"] = plain(stats.cons_at_k(answers(250, 4, 3), [[True, False, False, True]] * 250, 3))
    for wrong in ([["a"]], [["a", "b"], ["a", "b"]]):
        held[str(wrong)] = tried(lambda w=wrong: stats.cons_at_k(w, [[True, False]], 1))  # type: ignore[misc]
    check_json("stats/votes.json", held)


def exact_share(size: int, others: tuple[int, ...], n: int, k: int) -> float:
    """By all subsets: the share of wins of an answer that `size` of n samples give."""
    from itertools import combinations

    votes = [0] * size + [i + 1 for i, other in enumerate(others) for _ in range(other)]
    votes += [-1] * (n - len(votes))
    total, count = 0.0, 0
    for subset in combinations(votes, k):
        count += 1
        tallies = [subset.count(i) for i in range(len(others) + 1)]
        if tallies[0] and tallies[0] == max(tallies):
            total += 1 / tallies.count(max(tallies))
    return total / count


@pytest.mark.parametrize(
    ("size", "others", "n"),
    [
        (3, (3, 2), 9),
        (1, (1, 1, 1, 1), 6),
        (2, (), 4),
        (4, (4,), 8),
        (2, (5, 2, 1), 10),
        (5, (2, 2, 1), 10),
        (0, (3,), 5),
    ],
)
def test_shares_of_wins_are_those_of_all_subsets(size: int, others: tuple[int, ...], n: int) -> None:
    for k in range(1, n + 1):
        assert voting.win_probability(size, others, n, k) == pytest.approx(exact_share(size, others, n, k), abs=1e-9)


def test_comparisons() -> None:
    held = {}
    for problems, n in SIZES:
        for name, (first, second) in {
            "apart": (made(problems, n, 0.3), made(problems, n, 0.7, 1)),
            "alike": (made(problems, n, 0.5), made(problems, n, 0.5)),
            "more samples": (made(problems, n, 0.4), made(problems, 2 * n, 0.5, 2)),
            "shares": (made(problems, n, 0.4) / 2, made(problems, n, 0.5, 3)),
            "all and none": (np.zeros((problems, n)), np.ones((problems, n))),
        }.items():
            one, other = first.tolist(), second.tolist()
            found = tried(lambda a=one, b=other: stats.compare_paired(a, b, 0.05))  # type: ignore[misc]
            if isinstance(found, dict):
                compared = stats.compare_paired(one, other, 0.05)
                found["to find"] = [stats.samples_to_find(compared, t, k) for t, k in ((0.05, 1), (0.3, 1), (0.3, 4))]
            held[f"{problems} x {n} {name}"] = found
    check_json("stats/paired.json", held)


def test_comparisons_of_other_problems() -> None:
    held = {}
    for problems, n in SIZES:
        one, other = made(problems, n, 0.3).tolist(), made(problems + 2, n, 0.7, 1).tolist()
        found = tried(lambda a=one, b=other: stats.compare_unpaired(a, b, 0.1))  # type: ignore[misc]
        if isinstance(found, dict):
            found["to find"] = stats.samples_to_find(stats.compare_unpaired(one, other, 0.1), 0.4)
        held[f"{problems} x {n}"] = found
    held["alike"] = plain(stats.compare_unpaired([[1, 1]] * 4, [[1, 1]] * 3))
    for target in (0.0, 1.0, -0.1):
        held[f"target {target}"] = tried(lambda t=target: stats.compare_unpaired([[1, 0]] * 3, [[1, 1]] * 3, t))  # type: ignore[misc]
    check_json("stats/unpaired.json", held)


def test_p_values() -> None:
    held = {
        "flips": [
            stats.sign_flip_test([[0.0]] * i, [[1.0]] * j + [[0.0]] * (i - j)) for i in (1, 4, 9) for j in (0, 1, i)
        ],
        "thinned": stats.sign_flip_test(made(9, 2, 0.3).tolist(), made(9, 6, 0.8, 1).tolist()),
        "shares": stats.sign_flip_test((made(9, 3, 0.3) / 2).tolist(), made(9, 3, 0.8, 1).tolist()),
        "least": [
            stats.least_p_value([[1], [0], [0]], [[0], [1], [1]]),
            stats.least_p_value([[1], [0]], [[1], [0]]),
            stats.least_p_value([[1, 1]], [[1, 1, 1]]),
            stats.least_p_value([[1, 0]], [[1, 1, 1]]),
        ],
        "holm": [
            stats.holm([0.01, 0.04, 0.03]),
            stats.holm([0.01, 0.04, 0.03], [0.001, 0.5, 0.001]),
            stats.holm([0.02, 0.6], [0.04, 0.04]),
            stats.holm([]),
            stats.holm([0.9, 0.8]),
            stats.holm([0.02, 0.02, 1.0], [0.025, 0.025, 1.0], 0.05),
        ],
        "leaders": [stats.leaders(v) for v in ([], [0.0], [1.0, 2.0, 2.0 + 1e-13], [1.0, 1.1], [-1.0, -1.0])],
        "needed": [stats.problems_needed(s, t) for s, t in ((0.4, 0.02), (0.001, 0.5), (0.0, 0.1))],
    }
    check_json("stats/p_values.json", plain(held))


def test_intervals() -> None:
    values = [(v, c) for v in (0.0, 0.001, 0.2, 0.5, 1.0) for c in (1, 2, 3, 30)]
    held: dict[str, Any] = {
        "wilson": [wilson(v, c) for v, c in values],
        "score": [score_interval(v, c) for v, c in [*values, (0.3, 2.5), (0.0, 0.5)]],
        "student": [student_quantile(p) for p in (1, 2, 3, 30, 1000)],
        "run": [run_interval(v, s, c) for v, c in values for s in (0.0, 0.01)],
        "ratio": [run_ratio(v, s, c) for v, c in values for s in (0.0, 0.01)],
        "problems": [
            problems_interval(np.array(p), f) for p in ([0.5], [0, 1], [0, 0, 0], [0.2, 0.4, 0.9]) for f in (0, 0.1)
        ],
        "distance": [
            stats.distance(50.0, e, p, o, r) for e in (0.0, 2.0) for p, o, r in ((50, 1, 0), (53, 0, 0.05), (40, 3, 0))
        ],
        "towards": [stats.error_towards(50.0, (40.0, 70.0), o) for o in (30.0, 50.0, 60.0, 90.0)],
        "published": [
            stats.published_error(v, 2.0, 30, p, n) for v in (0, 50, 100) for p in (0, 50, 98) for n in (1, 30, 64)
        ],
        "of runs": [stats.error_of_runs(2.0, runs) for runs in (None, 1, 2, 3, 30)],
    }
    check_json("stats/intervals.json", plain(held))


def test_ratios_and_overlaps() -> None:
    sampled = [made(12, 8, m, i) for i, m in enumerate((0.2, 0.5, 0.8))]
    b, s, t = sampled
    base, student, teacher = (samples.mean(axis=1) for samples in sampled)
    held: dict[str, Any] = {
        "gap": [ratio.gap_recovered(*p) for p in ((s, t, b), (s, b, t), (b, b, b), (b, t, s), (t, s[:, :3], b))],
        "gap of runs": [
            ratio.gap_recovered_run((0.5, 0.8, 0.2), (0.02, 0.01, 0.03)),
            ratio.gap_recovered_run((0.5, 0.5, 0.5), (0.02, 0.01, 0.03)),
            ratio.gap_recovered_run((0.5, 0.55, 0.5), (0.05, 0.05, 0.05)),
        ],
        "kept": [ratio.score_kept(*p) for p in ((s, t), (t, s), (b, t), (b * 0, t), (t, t), (s[:1], t[:1]))],
        "pooled": [ratio.pooled_ratio(p) for p in ([(s, t, b)], [(s, t, b), (s[:5], t[:5], b[:5])])],
        "clustered": [clustered.ratio_of_sums(student, teacher), clustered.ratio_of_sums(student[:1], teacher[:1])],
        "overlap": [solved.overlap(student, teacher), solved.overlap(base, student, teacher), solved.overlap(base)],
        "consistency": [agreement.error_consistency(student, teacher), agreement.error_consistency(base, base)],
        "drafting": [drafting.expected_calls(np.array([1.0, 1.0, 0.5, 0.0, 0.9]), g) for g in (1, 2, 4)],
        "calls": drafting.tokens_per_call(0.7, [1, 2, 5]),
        "ranking": [
            ranking.ranking_accuracy(
                [np.array([0.1, 0.9, 0.4]), np.array([0.5, 0.5])], [np.array([0, 1, 1.0]), np.array([1.0, 0])]
            ),
            ranking.rank_correlation(
                [np.array([0.1, 0.9, 0.4]), np.array([0.5, 0.6, 0.1])], [np.array([0, 1, 0.5]), np.array([1.0, 0, 0])]
            ),
            ranking.ranking_accuracy([np.array([1.0])], [np.array([1.0])]),
        ],
    }
    check_json("stats/ratios.json", plain(held))


def test_solve_rates_and_passes() -> None:
    held: dict[str, Any] = {
        "table": [solve_rates.pass_table(n, k) for n, k in ((1, 1), (4, 2), (8, 8))],
        "variance": [
            solve_rates.pass_variance(np.array(c, dtype=float), 4, k)
            for c in ([3, 1, 1, 2, 5], [9, 0, 0, 0, 0], [0, 0, 4, 0, 0])
            for k in (2, 3, 4)
        ],
        "more often": [
            solved.more_often(np.array([4, 0, 3]), 4, np.array([0, 8, 4]), 8),
            solved.more_often_table(3, 2),
        ],
        "found": [
            solved.discoveries(np.array(p), 0.1) for p in ([0.01, 0.06, 0.9], [0.1], [0.05, 0.05], [], [0.11, 0.2])
        ],
        "both": solved.both_discoveries(np.array([0.01, 0.3]), np.array([0.02, 0.001]), 0.1),
        "curves": passes.pass_curves(np.array([0, 1, 4]), 4),
        "g": [passes.g_pass_at_k(np.array([0, 2, 5, 8]), 8, k, t) for k in (1, 4, 8) for t in (0.01, 0.5, 0.75, 1.0)],
        "crossing": [
            passes.crossing_point(np.array(a), np.array(b))
            for a, b in (
                ([[0.1, 0.2, 0.9]], [[0.3, 0.35, 0.4]]),
                ([[0.5, 0.6]], [[0.1, 0.2]]),
                ([[0.1, 0.2]], [[0.5, 0.6]]),
                ([[0.3, 0.3]], [[0.3, 0.3]]),
                ([[0.1, 0.6, 0.7], [0.2, 0.2, 0.9]], [[0.2, 0.5, 0.6], [0.3, 0.4, 0.5]]),
            )
        ],
    }
    check_json("stats/passes.json", plain(held))


def test_precision() -> None:
    halves = [[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    pilots = [precision.Halves(*pair) for pair in zip(halves, halves[::-1], strict=True)]
    held: dict[str, Any] = {
        "deviations": precision.expected_deviations(pilots),
        "clean": [
            clean.clean_score(made(8, 4, 0.5), np.array(mask, dtype=bool))
            for mask in ([1, 0] * 4, [1] * 8, [0] * 8, [1] + [0] * 7)
        ],
        "tokens": [
            stats.token_summary(np.array([10, 20, 30, 500]), np.array([1.0, 0.0, 1.0, 0.0])),
            stats.token_summary(np.array([10]), np.array([0.0])),
        ],
    }
    check_json("stats/precision.json", plain(held))


def test_a_metric_of_ones_own_has_no_note_unless_it_is_given() -> None:
    mean, share = mean_metric("m", [[1.0], [0.0]]), share_metric("s", [1, 0], [1, 1])
    assert (mean.note, mean.text, mean.unit, share.note, share.text, share.unit) == ("", "", "%", "", "", "%")
    assert (
        mean_metric("m", [[1.0], [0.0]], "of two").note == share_metric("s", [1, 0], [1, 1], "of two").note == "of two"
    )
