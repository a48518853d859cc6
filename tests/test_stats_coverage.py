"""How often the 95% intervals hold the truth, in simulated runs (all: interval_coverage.py) and exactly."""

import numpy as np
import pytest
from scipy.stats import binom
from simulated_models import HELD_OUT, MEANS, PROBLEMS, SAMPLES, coverage

from evalkit.stats import pass_at_k
from evalkit.stats.intervals import problems_interval, score_interval

RUNS = 2000


@pytest.mark.slow
@pytest.mark.parametrize("n", SAMPLES)
@pytest.mark.parametrize("problems", PROBLEMS)
@pytest.mark.parametrize("mean", MEANS)
def test_coverage(mean: float, problems: int, n: int) -> None:
    found = coverage("beta 5", mean, problems, n, RUNS)
    assert found.run >= 0.93
    assert found.problems >= 0.93
    # So few successes, or problems that could hold them, that no interval can come near 95%.
    few = problems * n * min(mean, 1 - mean) < 5 or problems * min(mean, 1 - mean) < 1
    assert found.problems <= (1.0 if few else 0.975)
    # One sample a problem does not tell how a second would differ: the bound covers more, the more rates vary.
    assert found.run <= (1.0 if few or n == 1 else 0.975)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "k"), [(0.5, 8), (0.5, 16), (0.02, 4)])
def test_coverage_of_pass_at_k(mean: float, k: int) -> None:
    found = coverage("beta 2", mean, 100, 16, 500, lambda v: pass_at_k(v, k), lambda rates: 1 - (1 - rates) ** k)
    assert found.run >= 0.92
    assert found.problems >= 0.92


@pytest.mark.parametrize("problems", [9, 12, 13, 15, 30, 38, 100, 198, 500])
def test_exact_coverage_of_all_or_nothing_problems_at_every_rate(problems: int) -> None:
    hits = np.arange(problems + 1)
    over_problems = [problems_interval(np.repeat([1.0, 0.0], [h, problems - h]), 1.0) for h in hits]
    run_to_run = [score_interval(h / problems, problems) for h in hits]
    for intervals in (over_problems, run_to_run):
        low, high = np.array(intervals).T
        for rate in np.linspace(0.001, 0.999, 400):
            held = (low <= rate) & (rate <= high)
            assert binom.pmf(hits, problems, rate)[held].sum() >= 0.93, rate


@pytest.mark.slow
@pytest.mark.parametrize("family", HELD_OUT)
@pytest.mark.parametrize("mean", MEANS)
def test_kinds_of_problems_that_a_small_set_may_not_hold(family: str, mean: float) -> None:
    assert coverage(family, mean, 30, 64, 400).problems >= 0.91  # 93% and more in 2,000 runs
