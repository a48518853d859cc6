"""Each statistic against an independent computation."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evalkit.errors import EvalkitError
from evalkit.results.metrics import error_bars
from evalkit.stats import (
    avg_at_n,
    compare_paired,
    cons_at_k,
    equivalence_classes,
    holm,
    leaders,
    least_p_value,
    pass_at_k,
    problems_needed,
    samples_needed,
    sign_flip_test,
    token_summary,
    wilson,
)
from evalkit.stats.intervals import score_interval
from evalkit.stats.paired import paired_difference
from evalkit.stats.percent import mean_metric, share_metric
from evalkit.stats.solve_rates import pass_table, pass_variance
from evalkit.stats.voting import resampling_factor

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
    exact, wilsons = (scipy_stats.binomtest(6, 10).proportion_ci(method=m) for m in ("exact", "wilson"))
    assert exact.low < found.interval_run[0] < wilsons.low
    assert wilsons.high < found.interval_run[1] < exact.high


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
    for found in (avg_at_n(values), pass_at_k(values, n), cons_at_k(values.astype(int).tolist(), values, n)):
        for low, high in (found.interval_run, found.interval_problems):
            assert 0 <= low <= found.value + 1e-12
            assert found.value - 1e-12 <= high <= 1


@given(st.floats(1e-12, 1), st.floats(0.5, 1e5), st.floats(0.2, 40))
def test_interval_of_a_fraction_of_a_success_is_a_number(value: float, count: float, z: float) -> None:
    low, high = score_interval(value, count, z)
    assert 0 <= low <= value + 1e-8
    assert value - 1e-8 <= high <= 1
    mirrored = score_interval(1 - value, count, z)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


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
    wrong: list[list[list[float]]] = [[], [[]], [[1.0], [1.0, 0.0]], [[1.5]], [[math.nan]]]
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


def test_mean_metric() -> None:
    found = mean_metric("of three", [[1.0, 0.0], [1.0], []], "a note")
    alike = mean_metric("of four", [[1.0, 0.0], [1.0, 1.0]])
    assert (found.name, found.value, found.n, found.unit, found.note) == ("of three", 75, 3, "%", "a note")
    assert (alike.value, alike.n) == (75, 4)
    for metric in (found, alike):
        assert metric.interval_problems is not None
        assert metric.interval_run is not None
        assert 0 <= metric.interval_problems[0] < metric.interval_run[0] < 75 < metric.interval_run[1] <= 100
    with pytest.raises(EvalkitError, match="no problem to take a mean over"):
        mean_metric("of none", [[], []])


def test_share_metric() -> None:
    found = share_metric("instructions", [1, 2, 3, 2] * 5, [2, 2, 3, 3] * 5, "a note")
    assert (found.name, found.value, found.n, found.unit, found.note) == ("instructions", 80, 50, "%", "a note")
    low, high = found.interval_problems or (0, 0)
    # delta method: 20 problems whose residuals h - 0.8 of are -0.6, 0.4, 0.6, -0.4, over the mean of 2.5
    error = 100 * math.sqrt((0.36 + 0.16 + 0.36 + 0.16) / 4 / 19) / 2.5
    assert 80 - 2.1 * error - 5 < low < 80 - 2.1 * error  # towards the middle, and what nobody saw widens it
    assert 80 + 2.1 * error - 1 < high < 80 + 2.1 * error + 2
    every = share_metric("all", [2, 2, 2], [2, 2, 2])
    assert every.interval_problems is not None
    assert every.interval_problems[0] < every.interval_problems[1] == every.value == 100
    assert share_metric("of one problem", [1], [2]).interval_problems is None
    for hits, of, message in (
        ([0, 0], [0, 0], "There is nothing to take a share of"),
        ([2], [1], "not 2 of 1"),
        ([-1], [2], "not -1 of 2"),
        ([math.nan], [2], "not nan of 2"),
        ([1, 1], [2], "2 hits and 1 counts do not belong together"),
    ):
        with pytest.raises(EvalkitError, match=message):
            share_metric("no share", hits, of)


@pytest.mark.parametrize(
    ("hits", "of"),
    [(0, 1), (1, 1), (0, 4), (4, 4), (1, 4)],
)
@pytest.mark.parametrize("problems", [2, 5, 20, 100])
def test_a_share_of_problems_with_the_same_weight_has_the_interval_of_their_mean(
    hits: int, of: int, problems: int
) -> None:
    for first in (hits, of):  # all alike, and one problem that is solved
        each = [first] + [hits] * (problems - 1)
        share = share_metric("share", each, [of] * problems).interval_problems
        mean = mean_metric("mean", [[1.0] * h + [0.0] * (of - h) for h in each]).interval_problems
        assert share == pytest.approx(mean, abs=1e-6)
    half = share_metric("half", [0.5] * problems, [1] * problems).interval_problems
    assert half == pytest.approx(mean_metric("mean", [[0.5]] * problems).interval_problems, abs=1e-6)


def test_a_share_of_nothing_reaches_as_far_as_that_of_as_many_problems() -> None:
    some, cut = share_metric("of 14", [0] * 20, [1] * 14 + [0] * 6), share_metric("of 20", [0] * 20, [1] * 20)
    assert some.interval_problems == pytest.approx((0, 23.87), abs=0.01)  # Clopper and Pearson: 23.2
    assert cut.interval_problems == pytest.approx((0, 16.69), abs=0.01)
    heavy = share_metric("of one and a little", [0, 0, 0], [1000, 1, 1]).interval_problems
    assert heavy is not None
    assert heavy[1] > 99.9, "one problem is nearly all of it"
    assert share_metric("of a single problem", [0, 0, 0], [4, 0, 0]).interval_problems is None


def _covered(rng: np.random.Generator, problems: int, n: int, kinds: Sequence[tuple[float, float, float]]) -> float:
    """How often the interval of a share holds the truth; `kinds`: how many problems, finished and right shares."""
    share, finish, right = np.array(kinds).T
    truth = 100 * (share * finish * right).sum() / (share * finish).sum()
    held: list[bool] = []
    while len(held) < 150:
        kind = rng.choice(len(share), size=problems, p=share)
        of = rng.binomial(n, finish[kind])
        hits = rng.binomial(of, right[kind])
        if of.any():
            low, high = share_metric("share", hits.tolist(), of.tolist()).interval_problems or (0, 100)
            held.append(low - 1e-9 <= truth <= high + 1e-9)
    return float(np.mean(held))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.97])
def test_intervals_of_shares_cover(rate: float) -> None:
    rng = np.random.default_rng(7)
    cells = []
    for problems, n, finish in itertools.product((10, 30, 100), (1, 4), (0.6, 1.0)):
        cells.append(_covered(rng, problems, n, [(1, finish, rate)]))
        cells.append(_covered(rng, problems, n, [(rate, finish, 1), (1 - rate, finish, 0)]))
        cells.append(_covered(rng, problems, n, [(rate, finish, 1), (1 - rate, finish / 2, 0)]))  # what is right ends
    assert min(cells) > 0.88, "150 runs: 93.3% less 2.6 standard errors"
    assert np.mean(cells) > 0.945


def test_an_interval_over_problems_alone_is_called_so() -> None:
    share = share_metric("all", [2, 2, 2], [2, 2, 2])
    mean = mean_metric("mean", [[1.0, 0.0], [1.0, 1.0]])
    assert [bar.endswith(" (over problems)") for bar in error_bars(share)] == [True]
    assert [bar.endswith(" (over problems)") for bar in error_bars(mean)] == [False, False]


def test_paired_difference_is_that_of_a_comparison() -> None:
    a, b = [[0, 1, 0], [0, 0, 0], [1, 1, 0]], [[1, 1, 1], [0, 1, 0], [1, 1, 1]]
    found, whole = paired_difference(a, b), compare_paired(a, b)
    assert (found.value, found.stderr) == pytest.approx((whole.difference, whole.stderr_problems))
    assert found.interval == whole.interval_problems
    assert found.clusters == 3
    low, high = paired_difference([[0, 0]] * 5, [[0, 0]] * 5).interval
    assert low < 0 < high, "five problems that neither solves do not show that nobody else would solve another one"


def test_token_summary() -> None:
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


def _simulated(rng: np.random.Generator, gain: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    rates = rng.beta(1, 1, size=(60, 1)) * (1 - abs(gain))
    return (rng.random((60, n)) < rates).astype(float), (rng.random((60, n)) < rates + gain).astype(float)


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


@pytest.mark.parametrize(("problems", "n", "k"), [(100, 4, 4), (198, 8, 8), (200, 2, 2), (100, 8, 3)])
def test_run_to_run_coverage_of_pass_at_k_of_two_kinds_of_problems(problems: int, n: int, k: int) -> None:
    """Half of the problems are always solved, half seldom: no beta distribution is like that."""
    rng, held = np.random.default_rng(problems), 0
    for _ in range(150):
        rates = rng.choice([1.0, 0.05], size=(problems, 1))
        low, high = pass_at_k((rng.random((problems, n)) < rates).astype(float), k).interval_run
        held += low <= float((1 - (1 - rates) ** k).mean()) <= high
    assert held >= 0.9 * 150


def test_variance_of_pass_at_k_has_no_bias_up_to_half_of_the_samples() -> None:
    rate, n, k = 0.3, 6, 3
    counts = np.eye(n + 1)
    chances = scipy_stats.binom.pmf(np.arange(n + 1), n, rate)
    told = np.array([(pass_table(n, k) ** 2 - (1 - 2 * (1 - pass_table(n, k)) + 1 - pass_table(n, 2 * k)))])[0]
    true = chances @ pass_table(n, k) ** 2 - (chances @ pass_table(n, k)) ** 2
    assert chances @ told == pytest.approx(true)
    many = 1e6 * chances @ counts
    assert float(pass_variance(many, n, k)) == pytest.approx(1e6 * true)


@pytest.mark.parametrize(("n", "k"), [(3, 3), (4, 4), (16, 16), (64, 64), (64, 48), (64, 8)])
def test_variance_of_consensus_is_at_least_the_true_one_for_two_answers(n: int, k: int) -> None:
    right = np.arange(n + 1)
    elected = np.array([cons_at_k([["r"] * c + ["w"] * (n - c)], [[True] * c + [False] * (n - c)], k).value
                        for c in right])  # fmt: skip
    shares = right / n
    wins, ties = scipy_stats.binom.sf(k // 2, k, shares), scipy_stats.binom.pmf(k // 2, k, shares) * (k % 2 == 0)
    told = resampling_factor(n, k) * (wins + ties / 4 - (wins + ties / 2) ** 2)
    for rate in (0.1, 0.3, 0.45, 0.5, 0.62, 0.9):
        chances = scipy_stats.binom.pmf(right, n, rate)
        assert chances @ told >= chances @ elected**2 - (chances @ elected) ** 2 - 1e-9


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


def test_tasks_on_which_nothing_can_differ_take_nothing_from_the_others() -> None:
    """Tarone 1990: of three tasks, two on which the least p is 1 and 0.5."""
    assert holm([0.03, 1.0, 0.5], [0.001, 1.0, 0.5]) == pytest.approx([0.03, 1.0, 0.5])
    assert holm([0.03, 0.03], [0.001, 0.03]) == pytest.approx([0.03, 0.06])  # 0.03 is not below 0.05 / 2
    assert holm([0.03, 0.03], [0.001, 0.001]) == holm([0.03, 0.03])
    assert holm([1.0, 1.0], [1.0, 1.0]) == [1.0, 1.0]
    a, b = [[1.0], [0.0], [0.0]], [[1.0], [1.0], [1.0]]
    assert least_p_value(a, b) == sign_flip_test(a, b) == 0.5
    assert least_p_value(a, a) == 1.0
    assert least_p_value([[0.0]] * 3, [[0.0, 0.0]] * 3) == 1.0


def test_ties_at_the_top_share_the_lead() -> None:
    assert leaders([0.5, 0.7, 0.1 + 0.6, 0.2]) == [1, 2]
    assert leaders([0.5]) == [0]
    assert leaders([]) == []


def test_a_run_of_many_samples_is_not_better_than_one_sample_that_solved_nothing() -> None:
    many = [[1.0] * 3 + [0.0] * 61] * 30
    assert sign_flip_test(many, [[0.0]] * 30) > 0.2
    assert sign_flip_test([[0.0]] * 30, many) > 0.2
    one = [[1.0, *[0.0] * 63]] + [[0.0] * 64] * 29
    assert sign_flip_test(one, [[0.0]] * 30) > 0.9
    assert sign_flip_test([[0.9] * 64] * 30, [[0.0]] * 30) < 0.001  # it still sees what is there


@pytest.mark.parametrize(("rate", "n_a", "n_b"), [(0.02, 1, 64), (0.03, 1, 8), (0.97, 64, 1), (0.5, 4, 16)])
def test_size_of_the_paired_test_where_n_differs(rate: float, n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(n_a)
    found = [
        sign_flip_test(*((rng.random((30, n)) < rate).astype(float).tolist() for n in (n_a, n_b))) for _ in range(100)
    ]
    assert sum(p < 0.05 for p in found) <= 7


def test_four_equal_models_get_no_star_for_their_n() -> None:
    """The best of n = 64, 64, 64 and 1 against the next best."""
    rng, stars = np.random.default_rng(0), 0
    for _ in range(60):
        runs = [(rng.random((30, n)) < 0.05).astype(float).tolist() for n in (64, 64, 64, 1)]
        second, best = sorted(runs, key=np.mean)[-2:]
        stars += sign_flip_test(second, best) < 0.05
    assert stars <= 5


def test_what_cannot_be_told_is_not_a_number() -> None:
    nothing = [[0.0]] * 30
    found = compare_paired(nothing, nothing)
    assert found.samples_needed is None
    assert found.problems_needed is None
    assert found.needed_is_bound
    assert found.seen_run > 0.1  # that nothing was seen is no proof that nothing is there
    assert found.interval_run[0] < -0.09 < 0.09 < found.interval_run[1]


def test_one_sample_each_bounds_the_run_to_run_error_by_what_differs() -> None:
    """100 problems that are all or nothing, alike for A and B, but for two of them."""
    a = [[1.0]] * 50 + [[0.0]] * 50
    b = [[0.0], *[[1.0]] * 50, *[[0.0]] * 49]
    found = compare_paired(a, b)
    assert found.stderr_run == pytest.approx(math.sqrt(2) / 100)
    assert found.samples_needed is not None
    z = scipy_stats.norm.isf(0.025) + scipy_stats.norm.isf(0.2)
    assert found.samples_needed == math.ceil(z**2 * 2 / 100**2 / 0.02**2)
    assert found.interval_run[1] < 0.07  # +-0.14 without the pairing
    assert not compare_paired([[1.0, 0.0]] * 3, [[1.0, 0.0]] * 3).needed_is_bound


def test_runs_that_agree_on_every_problem_may_still_differ() -> None:
    """Half of the problems are solved always, half of them by B in 5% of its single samples, by A never."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(100):
        rates = np.repeat([1.0, 0.05], 15)
        found = compare_paired([[float(r == 1.0)] for r in rates], [[float(rng.random() < r)] for r in rates])
        held += found.interval_problems[0] <= 0.025 <= found.interval_problems[1]
    assert held >= 90
    same = compare_paired([[1.0]] * 15 + [[0.0]] * 15, [[1.0]] * 15 + [[0.0]] * 15)
    assert same.interval_problems[1] == pytest.approx(2.045 * 2**0.5 / 30, rel=0.01)


def test_comparison_refuses_unequal_sets() -> None:
    with pytest.raises(EvalkitError, match="problems"):
        compare_paired([[1.0]], [[1.0], [0.0]])
    with pytest.raises(EvalkitError, match="points"):
        compare_paired([[1.0]], [[1.0]], target=0.0)
