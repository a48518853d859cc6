"""Gap recovered, solved sets, crossings, agreement, ranking, drafting: against definitions and in small simulations."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from evalkit.stats.agreement import error_consistency, same_answer_shares
from evalkit.stats.clustered import ratio_of_sums
from evalkit.stats.drafting import expected_calls, tokens_per_call
from evalkit.stats.intervals import Floats
from evalkit.stats.metrics import avg_at_n
from evalkit.stats.passes import crossing_point, g_pass_at_k, pass_curves
from evalkit.stats.ranking import rank_correlation, ranking_accuracy
from evalkit.stats.ratio import fieller, gap_recovered, pooled_ratio, score_kept
from evalkit.stats.solved import both_discoveries, discoveries, more_often, more_often_table, overlap


def worlds(rng: np.random.Generator, problems: int, shift: float) -> tuple[Floats, Floats, Floats]:
    """Solve rates of base, student and teacher on problems of like difficulty; the gap grows with `shift`."""
    difficulty = 2 * rng.normal(size=problems)
    base, student, teacher = (
        1 / (1 + np.exp(difficulty - ability + rng.normal(size=problems))) for ability in (0, shift, 2 * shift)
    )
    return base, student, teacher


def drawn(rng: np.random.Generator, n: int, rates: Floats) -> Floats:
    """n samples of each problem, 0 or 1."""
    return np.asarray(rng.random((len(rates), n)) < rates[:, None], dtype=np.float64)


def test_fieller_is_the_set_of_ratios_that_a_test_does_not_reject() -> None:
    rng = np.random.default_rng(1)
    numerators, denominators = rng.normal(0.3, 1, 40), rng.normal(1, 1, 40)
    cov = np.cov(numerators, denominators) / 40
    variances, means = (cov[0, 0], cov[1, 1]), (numerators.mean(), denominators.mean())
    found = fieller(*means, variances, cov[0, 1], 2.0226909)
    assert found.interval is not None
    for ratio in found.interval:
        rest = numerators - ratio * denominators
        t = rest.mean() / (rest.std(ddof=1) / math.sqrt(40))
        assert abs(t) == pytest.approx(2.0226909, rel=1e-6)


def test_a_gap_that_cannot_be_told_from_none_is_not_defined() -> None:
    assert not fieller(1.0, 0.1, (0.01, 0.01), 0.0).defined
    assert not gap_recovered([[1]], [[1]], [[0]]).defined
    assert not score_kept([[1]], [[1]]).defined
    same = [[0, 1, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]]
    assert not gap_recovered(same, same, same).defined
    assert fieller(1.0, 2.0, (0.0, 0.0), 0.0).interval == (0.5, 0.5)


@pytest.mark.parametrize(("problems", "n", "shift"), [(30, 16, 1.5), (200, 1, 1.0), (60, 4, 0.1)])
def test_gap_recovered_holds_the_truth(problems: int, n: int, shift: float) -> None:
    base, student, teacher = worlds(np.random.default_rng(99), 200_000, shift)
    truth = (student.mean() - base.mean()) / (teacher.mean() - base.mean())
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        b, s, t = (drawn(rng, n, p) for p in worlds(rng, problems, shift))
        found = gap_recovered(s, t, b)
        wrong += found.interval is not None and not found.interval[0] <= truth <= found.interval[1]
    assert wrong <= 0.085 * 400  # 5%, and three standard errors


@pytest.mark.parametrize(
    ("problems", "n", "ability"), [(20, 1, -4.0), (30, 4, -5.0), (100, 1, -4.5), (30, 4, 5.0), (100, 1, 5.0)]
)
def test_what_is_kept_holds_the_truth_near_0_and_1(problems: int, n: int, ability: float) -> None:
    rng, wrong = np.random.default_rng(1), 0

    def rates(many: int) -> tuple[Floats, Floats]:
        difficulty = rng.normal(size=many)
        student = 1 / (1 + np.exp(difficulty - ability + rng.normal(size=many)))
        return student, 1 / (1 + np.exp(2 * difficulty - max(ability, 1.0) - 0.5))

    student, teacher = rates(200_000)
    truth = student.mean() / teacher.mean()
    for _ in range(400):
        s, t = (drawn(rng, n, p) for p in rates(problems))
        found = score_kept(s, t)
        wrong += found.interval is not None and not found.interval[0] <= truth <= found.interval[1]
    assert wrong <= 0.085 * 400


def test_nothing_solved_is_as_uncertain_as_its_score_is() -> None:
    nothing, all_solved = np.zeros((20, 1)), np.ones((20, 1))
    upper = avg_at_n(nothing).interval_problems[1]
    kept = score_kept(nothing, all_solved)
    assert kept.interval is not None
    assert kept.interval[0] == 0.0
    assert upper <= kept.interval[1] < 1.2 * upper, "the teacher's own interval adds little"
    gap = gap_recovered(nothing, all_solved, nothing)
    assert gap.interval is not None
    assert gap.interval[0] == pytest.approx(-gap.interval[1], rel=0.3)
    assert gap.interval[1] > 0.9 * upper


def test_few_problems_define_no_ratio() -> None:
    student, teacher = [[1] + [0] * 7, [0] * 8], [[1] * 7 + [0], [1] * 6 + [0, 0]]
    assert not score_kept(student, teacher).defined
    assert not gap_recovered(student, teacher, [[0] * 8] * 2).defined


def test_a_ratio_turned_around_has_the_interval_turned_around() -> None:
    rng = np.random.default_rng(3)
    low, high = drawn(rng, 4, np.full(40, 0.2)), drawn(rng, 4, np.full(40, 0.8))
    for student in (drawn(rng, 4, np.full(40, rate)) for rate in (0.05, 0.5, 0.95)):
        to_teacher, to_base = gap_recovered(student, high, low), gap_recovered(student, low, high)
        assert to_teacher.interval is not None
        assert to_base.interval is not None
        assert to_teacher.value is not None
        assert to_base.value == pytest.approx(1 - to_teacher.value)
        assert to_base.interval[0] == pytest.approx(1 - to_teacher.interval[1], abs=0.03)
        assert to_base.interval[1] == pytest.approx(1 - to_teacher.interval[0], abs=0.03)
        assert to_teacher.interval[0] < to_teacher.value < to_teacher.interval[1]


def test_benchmarks_count_the_same_in_a_pooled_gap() -> None:
    rng = np.random.default_rng(2)
    few = tuple(drawn(rng, 4, np.full(30, rate)) for rate in (0.4, 0.9, 0.1))
    many = tuple(drawn(rng, 1, np.full(500, rate)) for rate in (0.6, 0.9, 0.2))
    (s1, t1, b1), (s2, t2, b2) = few, many
    found = pooled_ratio([(s1, t1, b1), (s2, t2, b2)])
    gains = [float(s.mean() - b.mean()) for s, b in ((s1, b1), (s2, b2))]
    gaps = [float(t.mean() - b.mean()) for t, b in ((t1, b1), (t2, b2))]
    assert found.value == pytest.approx(sum(gains) / sum(gaps))
    assert found.interval is not None
    alone = [gap_recovered(*parts).interval for parts in ((s1, t1, b1), (s2, t2, b2))]
    wider, narrower = (interval[1] - interval[0] for interval in alone if interval is not None)
    assert narrower / 2 < found.interval[1] - found.interval[0] < wider
    assert pooled_ratio([(s1, t1, b1)]) == gap_recovered(s1, t1, b1)


@pytest.mark.parametrize(("more", "less"), [(1, 1), (4, 4), (8, 5), (3, 16)])
def test_the_test_of_counts_is_exact_and_no_weaker_than_fishers(more: int, less: int) -> None:
    table = more_often_table(more, less)
    for x, y in itertools.product(range(more + 1), range(less + 1)):
        fisher = fisher_exact(np.array([[x, more - x], [y, less - y]]), alternative="greater").pvalue
        assert table[x, y] <= fisher + 1e-9
    cells = [(x, y) for x in range(more + 1) for y in range(less + 1)]
    for rate in (0.03, 0.2, 0.5, 0.77, 0.99):
        chance = np.array([binom.pmf(x, more, rate) * binom.pmf(y, less, rate) for x, y in cells])
        p_values = np.array([table[x, y] for x, y in cells])
        for level in np.unique(p_values[p_values < 0.5]):
            assert chance[p_values <= level].sum() <= level * 1.001 + 1e-12


def test_discoveries_are_benjamini_and_hochbergs() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.5, 0.02])
    assert discoveries(p, 0.05).tolist() == [True, True, True, False, True]
    assert not discoveries(np.full(100, 0.5)).any()
    assert both_discoveries(np.array([1e-6, 1e-6]), np.array([1e-6, 0.9])).tolist() == [True, False]


def test_few_listed_problems_are_false() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(100):
        base, student, _ = worlds(rng, 80, 1.0)
        base = np.where(rng.random(80) < 0.5, student, np.clip(student + 0.4 * rng.normal(size=80), 0, 1))
        found = discoveries(more_often(rng.binomial(32, base), 32, rng.binomial(32, student), 32))
        shares.append((found & (base <= student)).sum() / max(found.sum(), 1))
    assert np.mean(shares) <= 0.12


def test_overlaps_are_without_bias() -> None:
    rng = np.random.default_rng(4)
    base, student, teacher = worlds(rng, 50, 1.0)
    truth = float((student * teacher * (1 - base)).mean())
    found = []
    for _ in range(3000):
        b, s, t = (rng.binomial(2, p) / 2 for p in (base, student, teacher))
        found.append(overlap(s, t, 1 - b)[0])
    assert np.mean(found) == pytest.approx(truth, abs=4 * float(np.std(found)) / math.sqrt(3000))


def test_g_pass_lies_between_pass_and_all() -> None:
    counts, n = np.array([0, 3, 8, 5]), 8
    assert np.allclose(g_pass_at_k(counts, n, 4, 1e-9), pass_curves(counts, n)[:, 3])
    expected = [math.comb(c, 4) / math.comb(n, 4) for c in counts]
    assert np.allclose(g_pass_at_k(counts, n, 4, 1.0), expected)
    half = [sum(math.comb(c, j) * math.comb(n - c, 4 - j) for j in range(2, 5)) / math.comb(n, 4) for c in counts]
    assert np.allclose(g_pass_at_k(counts, n, 4, 0.5), half)


def test_a_sharper_student_is_crossed_where_its_curve_is_met() -> None:
    """Half of the problems always solved against all of them solved in two of eight tries."""
    student = np.array([8, 0] * 40)
    base = np.full(80, 2)
    found = crossing_point(pass_curves(student, 8), pass_curves(base, 8))
    curve = pass_curves(base, 8)[0]
    k = int(np.nonzero(curve < 0.5)[0][-1]) + 1
    assert found.value == pytest.approx(k + (0.5 - curve[k - 1]) / (curve[k] - curve[k - 1]))
    assert found.interval is not None
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert found.value is not None
    assert low < found.value < high


def test_curves_that_never_meet_have_no_crossing() -> None:
    found = crossing_point(pass_curves(np.full(60, 7), 8), pass_curves(np.array([1, 0, 0] * 20), 8))
    assert found.value is None
    assert found.interval is None


def test_error_consistency_is_cohens_kappa_where_each_is_sampled_once() -> None:
    rng = np.random.default_rng(5)
    first, second = (rng.integers(0, 2, 500).astype(float) for _ in range(2))
    second = np.where(rng.random(500) < 0.4, first, second)
    p, q = first.mean(), second.mean()
    expected = p * q + (1 - p) * (1 - q)
    observed = (first == second).mean()
    found = error_consistency(first, second)
    assert found.kappa == pytest.approx((observed - expected) / (1 - expected))
    assert found.interval is not None
    assert found.interval[0] > 0
    assert error_consistency(np.ones(5), np.ones(5)).kappa is None


def test_independent_models_have_a_consistency_of_nought() -> None:
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(300):
        found = error_consistency(rng.binomial(4, 0.6, 150) / 4, rng.binomial(4, 0.7, 150) / 4)
        held += found.interval is not None and found.interval[0] <= 0 <= found.interval[1]
    assert held >= 0.91 * 300


def test_same_answers_are_counted_pair_by_pair() -> None:
    mine: list[list[str | None]] = [["5", "5", None, "7"], ["1", "2", "1", "1"]]
    theirs: list[list[str | None]] = [["5", "7"], ["9", None]]
    right, wrong = same_answer_shares(mine, theirs, [[True, False], [False, False]])
    assert right is not None
    assert wrong is not None
    assert right.value == pytest.approx(2 / 4)
    assert wrong.value == pytest.approx((1 / 4 + 0) / 2), "the sample without an answer gives no wrong one"
    assert same_answer_shares(mine, theirs, [[True, True], [True, True]])[1] is None


def test_ranking_counts_pairs_within_problems() -> None:
    scores = [np.array([0.9, 0.1, 0.5]), np.array([0.2, 0.2]), np.array([5.0, 6.0])]
    right = [np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0]), np.array([1.0, 1.0])]
    found = ranking_accuracy(scores, right)
    assert found is not None
    assert found.value == pytest.approx((1 + 0.5) / 2)
    assert found.clusters == 2
    assert ranking_accuracy(scores[2:], right[2:]) is None
    correlation = rank_correlation([np.array([1.0, 2.0, 3.0])], [np.array([2.0, 5.0, 9.0])])
    assert correlation is not None
    assert correlation.value == pytest.approx(1)


def test_expected_passes_are_those_of_drafting_simulated() -> None:
    rng = np.random.default_rng(7)
    accepted = rng.random(40) ** 0.3
    for gamma in (1, 3, 6):
        passes = []
        for _ in range(4000):
            drafted = rng.random(40) < accepted
            at, count = 0, 0
            while at < 40:
                run = 0
                while run < gamma and at + run < 40 and drafted[at + run]:
                    run += 1
                at += run + 1
                count += 1
            passes.append(count)
        spread = float(np.std(passes)) / math.sqrt(4000)
        assert expected_calls(accepted, gamma) == pytest.approx(np.mean(passes), abs=4 * spread + 1e-9)
    assert tokens_per_call(0.8, [4])[0] == pytest.approx((1 - 0.8**5) / 0.2)
    assert tokens_per_call(1.0, [4]) == [5.0]


def test_clusters_are_held_together() -> None:
    """The same tokens in one cluster each, and in clusters that are copies: the error is that of the clusters."""
    values = np.random.default_rng(8).random(50)
    once = ratio_of_sums(values, np.ones(50))
    copied = ratio_of_sums(10 * values, np.full(50, 10.0))
    assert once.stderr == pytest.approx(copied.stderr)
    assert once.stderr == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert math.isnan(ratio_of_sums(np.ones(1), np.ones(1)).stderr)
