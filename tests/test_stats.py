"""Each statistic against an independent computation."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evalkit.errors import EvalkitError
from evalkit.stats import (
    avg_at_n,
    compare_paired,
    cons_at_k,
    equivalence_classes,
    finished_score,
    holm,
    pass_at_k,
    problems_needed,
    samples_needed,
    sign_flip_test,
    token_summary,
    wilson,
)

samples = st.lists(st.booleans(), min_size=1, max_size=9)
votes = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=8)


@given(samples, st.data())
def test_pass_at_k_is_the_mean_over_all_subsets(row: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(row)))
    subsets = list(itertools.combinations(row, k))
    assert pass_at_k([[float(v) for v in row]], k).value == pytest.approx(sum(map(any, subsets)) / len(subsets))


@settings(max_examples=300)
@given(votes, st.sets(st.sampled_from("abcd")), st.data())
def test_cons_at_k_is_the_mean_over_all_subsets(row: list[str | None], right: set[str], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(row)))
    total, count = Fraction(0), 0
    for subset in itertools.combinations(row, k):
        cast = [v for v in subset if v is not None]
        top = max((cast.count(v) for v in cast), default=0)
        winners = {v for v in cast if cast.count(v) == top}
        total += Fraction(len(winners & right), len(winners)) if winners else 0
        count += 1
    found = cons_at_k([row], [[v in right for v in row]], k).value
    assert found == pytest.approx(float(total / count), abs=1e-12)


def test_cons_at_k_of_many_samples_agrees_with_simulation() -> None:
    rng = np.random.default_rng(3)
    row = ["right"] * 300 + ["wrong"] * 320 + [f"odd {i % 90}" for i in range(280)] + [None] * 100
    value = cons_at_k([row], [[v == "right" for v in row]], 100).value
    coded = np.array([{"right": 0, "wrong": 1}.get(str(v), 2) for v in row])
    wins = 0.0
    for _ in range(20_000):
        drawn = coded[rng.choice(len(row), 100, replace=False)]
        right, wrong = int((drawn == 0).sum()), int((drawn == 1).sum())
        wins += (right > wrong) + 0.5 * (right == wrong)
    assert value == pytest.approx(wins / 20_000, abs=0.015)


def test_cons_weighs_what_an_answer_is_worth_by_its_samples() -> None:
    assert cons_at_k([["x", "x", "y"]], [[True, False, False]], 3).value == 0.5


def test_avg_at_n_and_its_two_errors() -> None:
    values = [[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    found = avg_at_n(values)
    rates = [0.75, 0.0, 0.5]
    assert found.value == pytest.approx(sum(rates) / 3)
    within = sum(p * (1 - p) / 3 for p in rates)  # unbiased variance / n: p (1 - p) n / (n - 1) / n, with n = 4
    assert found.stderr_run == pytest.approx(math.sqrt(within) / 3)
    assert found.stderr_problems == pytest.approx(scipy_stats.sem(rates))
    assert not found.run_is_bound


def test_one_sample_a_problem_gets_the_binomial_bound() -> None:
    found = avg_at_n([[1.0]] * 6 + [[0.0]] * 4)
    assert found.run_is_bound
    assert found.stderr_run == pytest.approx(math.sqrt(0.6 * 0.4 / 10))
    expected = scipy_stats.binomtest(6, 10).proportion_ci(method="wilson")
    assert found.interval_run == pytest.approx((expected.low, expected.high))


def test_run_to_run_error_is_the_spread_of_repeated_runs() -> None:
    rng = np.random.default_rng(5)
    rates = rng.beta(1, 1, size=(40, 1))
    runs = [avg_at_n((rng.random((40, 8)) < rates).astype(float)) for _ in range(400)]
    spread = float(np.std([r.value for r in runs], ddof=1))
    assert float(np.mean([r.stderr_run for r in runs])) == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize("k", [1, 4, 16])
def test_run_to_run_error_of_cons_and_pass_is_not_below_the_spread(k: int) -> None:
    rng = np.random.default_rng(6)
    rates = rng.beta(2, 2, size=(40, 1))
    cons, passed = [], []
    for _ in range(120):
        right = rng.random((40, 16)) < rates
        cons.append(cons_at_k([["r" if v else "w" for v in row] for row in right], right.tolist(), k))
        passed.append(pass_at_k(right.astype(float), k))
    for runs in (cons, passed):
        spread = float(np.std([r.value for r in runs], ddof=1))
        told = math.sqrt(np.mean([r.stderr_run**2 for r in runs]))
        assert 0.8 * spread < told < 2.2 * spread


@given(st.integers(1, 12), st.integers(1, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_intervals_stay_inside_and_hold_the_value(problems: int, n: int, rate: float, seed: int) -> None:
    values = (np.random.default_rng(seed).random((problems, n)) < rate).astype(float)
    for found in (
        avg_at_n(values),
        pass_at_k(values, n),
        cons_at_k(values.astype(int).tolist(), (values > 0).tolist(), n),
    ):
        for low, high in (found.interval_run, found.interval_problems):
            assert 0 <= low <= found.value + 1e-12
            assert found.value - 1e-12 <= high <= 1


def test_all_right_and_all_wrong_have_one_sided_intervals() -> None:
    right = avg_at_n([[1.0] * 4] * 30)
    assert right.interval_problems[1] == 1.0
    assert 0.85 < right.interval_problems[0] < 0.95  # 30 problems, not 120 draws
    assert 0.95 < right.interval_run[0] < 1.0
    wrong = avg_at_n([[0.0] * 4] * 30)
    assert wrong.interval_run == pytest.approx((0.0, 1 - right.interval_run[0]))


def test_one_problem_says_nothing_of_others() -> None:
    found = avg_at_n([[1.0, 0.0]])
    assert math.isnan(found.stderr_problems)
    assert found.interval_problems == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (3, 7), (7, 7), (1, 500)])
def test_wilson_is_scipys(hits: int, count: int) -> None:
    expected = scipy_stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_what_is_not_a_set_of_samples_is_refused() -> None:
    wrong: tuple[list[list[float]], ...] = ([], [[]], [[1.0], [1.0, 0.0]], [[1.5]], [[math.nan]])
    for values in wrong:
        with pytest.raises(EvalkitError):
            avg_at_n(values)
    for k in (0, 3):
        with pytest.raises(EvalkitError, match="@"):
            pass_at_k([[1.0, 0.0]], k)
        with pytest.raises(EvalkitError, match="@"):
            cons_at_k([["a", "b"]], [[True, False]], k)
    with pytest.raises(EvalkitError):
        cons_at_k([["a"]], [[True, False]], 1)


def test_equivalence_classes_ask_the_rule_once_for_a_spelling() -> None:
    asked = []

    def equal(x: str, y: str) -> bool:
        asked.append((x, y))
        return float(Fraction(x)) == float(Fraction(y))

    assert equivalence_classes(["1/2", None, "0.5", "3", "0.5", "1/2"], equal) == [0, None, 0, 1, 0, 0]
    assert asked == [("1/2", "0.5"), ("1/2", "3")]


def test_finished_score_and_tokens() -> None:
    assert finished_score([[1.0, 0.0], [1.0, 0.0]], [[True, False], [True, True]]) == pytest.approx((2 / 3, 3))
    value, count = finished_score([[0.0]], [[False]])
    assert math.isnan(value)
    assert count == 0
    found = token_summary([100, 200, 300, 400], [1.0, 0.0, 1.0, 0.0])
    assert (found.mean, found.p50, found.total, found.longest, found.per_correct) == (250, 250, 1000, 400, 500)
    assert token_summary([5], [0.0]).per_correct is None
    with pytest.raises(EvalkitError):
        token_summary([], [])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=9))
def test_sign_flip_test_is_exact(counts: list[tuple[int, int]]) -> None:
    a = [[1.0] * x + [0.0] * (3 - x) for x, _ in counts]
    b = [[1.0] * y + [0.0] * (3 - y) for _, y in counts]
    differences = [y - x for x, y in counts]
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(differences))]  # fmt: skip
    expected = sum(s >= abs(sum(differences)) for s in sums) / len(sums)
    assert sign_flip_test(a, b) == pytest.approx(expected)


def test_sign_flip_test_of_partial_credit_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((40, 1)), rng.random((40, 1)) * 0.8 + 0.25
    found = sign_flip_test(a.tolist(), b.tolist())
    expected = scipy_stats.permutation_test(
        (b[:, 0], a[:, 0]), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=20_000, rng=np.random.default_rng(2),
    ).pvalue  # fmt: skip
    assert found == pytest.approx(expected, abs=0.01)


def _simulated(rng: np.random.Generator, gain: float, n: int) -> tuple[list[list[float]], list[list[float]]]:
    rates = rng.beta(1, 1, size=(60, 1)) * (1 - abs(gain))
    first, second = rng.random((60, n)) < rates, rng.random((60, n)) < rates + gain
    return first.astype(float).tolist(), second.astype(float).tolist()


@pytest.mark.parametrize("n", [1, 8])
def test_paired_test_keeps_its_size_and_its_intervals_hold_zero(n: int) -> None:
    rng = np.random.default_rng(11)
    found = [compare_paired(*_simulated(rng, 0.0, n)) for _ in range(500)]
    assert sum(c.p_value < 0.05 for c in found) / 500 <= 0.075
    for held in (
        sum(c.interval_run[0] <= 0 <= c.interval_run[1] for c in found) / 500,
        sum(c.interval_problems[0] <= 0 <= c.interval_problems[1] for c in found) / 500,
    ):
        assert held >= 0.93


def test_paired_test_has_power_and_the_n_it_asks_for_suffices() -> None:
    rng = np.random.default_rng(12)
    pilot = [compare_paired(*_simulated(rng, 0.1, 8), target=0.1) for _ in range(40)]
    n = round(float(np.mean([c.samples_needed for c in pilot])))
    seen = [compare_paired(*_simulated(rng, 0.1, n)) for _ in range(200)]
    z = sum(c.interval_run[0] > 0 for c in seen) / 200
    assert 0.7 <= z <= 0.9  # asked for: 80%
    assert sum(compare_paired(*_simulated(rng, 0.1, 32)).p_value < 0.05 for _ in range(100)) > 90


def test_needed_numbers_follow_the_textbook() -> None:
    a, b = avg_at_n([[1.0] * 8 + [0.0] * 8] * 50), avg_at_n([[1.0] * 4 + [0.0] * 12] * 50)
    z = scipy_stats.norm.isf(0.025) + scipy_stats.norm.isf(0.2)
    # Equally hard problems: no problem's variance can be above v (1 - v), where the estimate stops.
    assert samples_needed(a, b, 0.02) == math.ceil(z**2 * (0.5 * 0.5 + 0.25 * 0.75) / 50 / 0.02**2)
    assert problems_needed(0.5, 0.02) == math.ceil((z * 0.5 / 0.02) ** 2)
    same = avg_at_n([[1.0, 1.0]] * 5)
    assert samples_needed(same, same, 0.02) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_comparison_refuses_unequal_sets() -> None:
    with pytest.raises(EvalkitError, match="problems"):
        compare_paired([[1.0]], [[1.0], [0.0]])
    with pytest.raises(EvalkitError, match="points"):
        compare_paired([[1.0]], [[1.0]], target=0.0)
