"""Whether a published figure was reproduced: at the ends, at few samples, where n is not told, for ratings."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.results.published import PublishedScore
from evalkit.results.reproduction import SAMPLES_ASSUMED, reproduced
from evalkit.stats import avg_at_n, distance, error_of_runs, error_towards
from evalkit.stats.percent import percent_metric
from evalkit.types import Interval, Metric

SEEN = ("above", "below")


def figure(value: float, n: int | None = None, sd: float | None = None, metric: str = "pass@1") -> PublishedScore:
    return PublishedScore("model", "benchmark", "task", metric, value, sd, n, "", {}, "source", "")


def metric(values: list[list[float]], name: str = "pass@1") -> Metric:
    return percent_metric(name, avg_at_n(values))


def solved(count: int, problems: int, n: int = 1) -> list[list[float]]:
    return [[1.0] * n] * count + [[0.0] * n] * (problems - count)


def test_nothing_solved_is_not_below_a_single_problem() -> None:
    for ours, theirs in ((0, 3.3), (30, 96.7), (15, 53.3)):
        found = reproduced(metric(solved(ours, 30)), 1, figure(theirs, 1))
        assert found.word not in SEEN
        assert found.z is not None
        assert abs(found.z) < 1.5


@settings(max_examples=200)
@given(st.integers(0, 40), st.sampled_from([1, 2, 8]), st.sampled_from([1, 4, 64, None]), st.integers(0, 1000))
def test_a_figure_inside_the_interval_is_never_above_or_below(hits: int, n: int, their_n: int | None, at: int) -> None:
    rng = np.random.default_rng(hits)
    ours = metric((rng.random((40, n)) < hits / 40).astype(float).tolist())
    found = reproduced(ours, n, figure(at / 10, their_n))
    assert ours.interval_run is not None
    low, high = ours.interval_run
    if low <= at / 10 <= high:
        assert found.word not in SEEN
    assert found.word != "above" or ours.value > at / 10
    assert found.word != "below" or ours.value < at / 10


@pytest.mark.parametrize("their_n", [1, 4, 64])
@pytest.mark.parametrize("n", [1, 4, 64])
@pytest.mark.parametrize("kind", ["all 0.03", "all or nothing"])
def test_false_verdicts_on_equal_models(kind: str, n: int, their_n: int) -> None:
    rng, wrong, runs = np.random.default_rng([n, their_n]), 0, 150
    for _ in range(runs):
        rates = np.full(30, 0.03) if kind == "all 0.03" else rng.choice([0, 1, 0.5], p=[0.45, 0.45, 0.1], size=30)
        theirs = round(100 * float(rng.binomial(their_n, rates).mean()) / their_n, 1)
        ours = metric((rng.random((30, n)) < rates[:, None]).astype(float).tolist())
        wrong += reproduced(ours, n, figure(theirs, their_n)).word in SEEN
    assert wrong <= 0.1 * runs  # 7% and three standard errors less than that


def test_where_n_is_not_told_both_ends_are_and_the_word_holds_for_both() -> None:
    values = solved(12, 30, 64)  # all or nothing, so that ours is known well
    values[0] = [1.0] * 32 + [0.0] * 32
    ours = metric(values)
    far, near, between = (reproduced(ours, 64, figure(v)) for v in (90.0, 38.3, 33.0))
    assert (far.word, near.z_most is not None) == ("below", True)
    assert far.z is not None
    assert far.z_most is not None
    assert far.z_most < far.z < -1.96
    at_ends = [reproduced(ours, 64, figure(33.0, n)).word for n in SAMPLES_ASSUMED]
    if at_ends[0] != at_ends[1]:
        assert between.word == "n unknown"
    told = reproduced(ours, 64, figure(33.0, 64))
    assert told.z_most is None
    assert between.z_most == pytest.approx(told.z)


def test_a_word_that_depends_on_n_is_not_given() -> None:
    rng = np.random.default_rng(1)
    ours = metric((rng.random((100, 64)) < 0.5).astype(float).tolist())
    found = reproduced(ours, 64, figure(round(ours.value + 5, 1)))
    assert found.word == "n unknown"
    assert found.z is not None
    assert found.z_most is not None
    assert found.z_most < -1.96 < found.z < 0


def test_within_tells_what_would_have_been_seen() -> None:
    rng = np.random.default_rng(2)
    ours = metric((rng.random((500, 1)) < 0.9).astype(float).tolist())
    found = reproduced(ours, 1, figure(round(ours.value, 1), 1))
    assert found.word == "within"
    assert found.seen == pytest.approx(2.80 * 100 * (2 * 0.9 * 0.1 / 500) ** 0.5, rel=0.1)


def test_a_rating_gets_a_z_from_its_run_to_run_error() -> None:
    ours = Metric("rating", 1500.0, 568, "rating", 30.0, Interval(1440.0, 1560.0), 60.0, Interval(1380, 1620))
    found = reproduced(ours, 8, figure(1400, 8, metric="rating"))
    assert found.z == pytest.approx(100 / (2 * 30.6**2) ** 0.5, rel=0.01)
    assert found.word == "above"
    unknown = reproduced(ours, 8, figure(1400, metric="rating"))
    assert unknown.word == "n unknown"
    assert reproduced(replace(ours, stderr_run=None, interval_run=None), 8, figure(1400)).z is None


def test_an_sd_of_few_runs_is_taken_with_students_t() -> None:
    assert error_of_runs(3.0, 3) == pytest.approx(3 / 3**0.5 * 4.3027 / 1.96, rel=1e-3)
    assert error_of_runs(3.0, None) == error_of_runs(3.0, 1) == 3.0
    assert error_of_runs(3.0, 1000) == pytest.approx(3 / 1000**0.5, rel=0.01)


def test_errors_by_hand() -> None:
    assert error_towards(0.0, (0.0, 0.098), 0.5) == pytest.approx(0.05, rel=1e-3)
    assert error_towards(0.5, (0.4, 0.7), 0.3) == pytest.approx(0.1 / 1.96, rel=1e-3)
    assert error_towards(0.5, (0.4, 0.7), 0.5) == pytest.approx(0.2 / 1.96, rel=1e-3)
    found = distance(10.0, 3.0, 5.0, 4.0)
    assert (found.z, found.error) == (1.0, 5.0)
    assert distance(1.0, 0.0, 0.0, 0.0).z == float("inf")


@pytest.mark.parametrize(("n", "their_n"), [(8, 32), (32, 8), (8, 8), (1, 64)])
def test_fewer_published_samples_have_the_larger_error(n: int, their_n: int) -> None:
    """The error of a mean over k times the samples is smaller by the root of k; the two numbers are not alike."""
    rating = Metric("rating", 1500.0, 71 * n, "rating", 30.0, Interval(1441.2, 1558.8), 60.0, Interval(1380, 1620))
    theirs = 30.0 * (n / their_n) ** 0.5
    found = reproduced(rating, n, figure(1400, their_n, metric="rating"))
    assert found.z == pytest.approx(100 / (30.0**2 + theirs**2 + 1 / 12) ** 0.5, rel=1e-3)
    own, theirs = (0.8 * 50 / (500 * count) ** 0.5 for count in (n, their_n))
    percent = Metric("pass@1", 50.0, 500 * n, "%", stderr_run=own)
    found = reproduced(percent, n, figure(49.0, their_n))
    assert found.z == pytest.approx(1 / (own**2 + theirs**2 + 0.01 / 12) ** 0.5, rel=0.03)


def test_a_figure_of_k_samples_is_not_assumed_of_fewer() -> None:
    """pass@4 has four samples in one observation: without n, one observation each is what is assumed."""
    ours = Metric("pass@4", 60.0, 200 * 16, "%", stderr_run=1.5)
    silent, four, most = (reproduced(ours, 16, figure(50.0, n, metric="pass@4")) for n in (None, 4, 64))
    assert silent.z == pytest.approx(four.z)
    assert silent.z_most == pytest.approx(most.z)
    assert four.z == pytest.approx(10 / (1.5**2 + 3.0**2) ** 0.5, rel=0.03)
