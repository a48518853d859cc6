"""Loops are found exactly; tokens, idle time and cost are counted."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from helpers import evalkit, told
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.repetition import LEAST_TOKENS, LONGEST_PERIOD, loop_period
from evalkit.errors import EvalkitError
from evalkit.run.evaluate import evaluate
from evalkit.run.throughput import Meter, Throughput, checked_prices
from evalkit.types import Completion


@given(st.integers(1, LONGEST_PERIOD), st.integers(0, 200), st.randoms(use_true_random=False))
def test_a_loop_is_found_with_a_period_that_fits(period: int, before: int, source: random.Random) -> None:
    cycle = [source.randrange(50_000) for _ in range(period)]
    tokens = [source.randrange(50_000) for _ in range(before)] + cycle * (max(LEAST_TOKENS, 8 * period) // period + 1)
    found = loop_period(tokens)
    assert found is not None
    assert period % found == 0


@pytest.mark.parametrize("change", [-1, -300, -LEAST_TOKENS])
def test_one_other_token_within_the_span_is_no_loop(change: int) -> None:
    tokens = [1, 2, 3] * 400
    assert loop_period(tokens) == 3
    tokens[change] = 9
    assert loop_period(tokens) is None


def test_too_few_repeats_or_tokens_are_no_loop() -> None:
    assert loop_period([7] * (LEAST_TOKENS - 1)) is None
    assert loop_period([7] * LEAST_TOKENS) == 1
    assert loop_period(list(range(300)) * 7) is None
    assert loop_period(list(range(300)) * 8) == 300
    assert loop_period(list(range(5000))) is None


def test_tokens_idle_seconds_and_cost() -> None:
    now = 100.0
    meter = Meter(gpus=2, prices=(1.0, 10.0), clock=lambda: now)
    for at, seconds, tokens, reason in (
        (110.0, 10.0, 500, "stop"),
        (130.0, 5.0, 100, "repetition"),
        (140.0, 20.0, None, "stop"),
    ):
        now = at
        meter.add(Completion("t", "p", 0, "", reason, 20, tokens, seconds))  # type: ignore[arg-type]
    result = meter.result()
    assert (result.completions, result.uncounted, result.repetitions) == (3, 1, 1)
    assert (result.prompt_tokens, result.generated_tokens, result.seconds) == (60, 600, 40.0)
    assert result.generated_tokens_per_second == 15.0
    assert result.idle_seconds == 10.0
    assert result.mean_running == pytest.approx(35 / 40)
    assert result.gpu_hours == pytest.approx(80 / 3600)
    assert (result.load_seconds, result.prices) == (0.0, (1.0, 10.0))
    loaded = meter.result(first_draw=120.0)
    assert (loaded.load_seconds, loaded.seconds, loaded.generated_tokens_per_second) == (20.0, 20.0, 30.0)
    assert loaded.gpu_hours == result.gpu_hours  # they are paid for while it loads
    assert result.cost == pytest.approx((60 + 6000) / 1e6)


def test_a_million_completions_take_no_memory() -> None:
    now = 0.0
    meter = Meter(clock=lambda: now)
    for _ in range(20_000):
        now += 1.0
        meter.add(Completion("t", "p", 0, "", "stop", 1, 1, 1.0))
    assert len(meter._spans) < 5000
    assert meter.result().idle_seconds == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 400)), min_size=1, max_size=60))
def test_idle_seconds_are_those_that_no_request_covers(ends: list[tuple[int, int]]) -> None:
    now = 0
    meter = Meter(clock=lambda: float(now))
    busy: set[int] = set()
    for pause, seconds in ends:
        now += pause
        meter.add(Completion("t", "p", 0, "", "stop", 1, 1, float(seconds)))
        busy.update(range(max(0, now - seconds), now))
    assert meter.result().idle_seconds == now - len(busy)


@pytest.mark.parametrize("begin", [-100.0, 0.0, 1e6])
def test_figures_do_not_depend_on_where_the_clock_starts(begin: float) -> None:
    def measured(start: float) -> Throughput:
        now = start
        meter = Meter(gpus=1, prices=(1.0, 2.0), clock=lambda: now)
        for pause, seconds in ((10.0, 4.0), (5.0, 5.0), (20.0, 3.0)):
            now += pause
            meter.add(Completion("t", "p", 0, "", "stop", 5, 50, seconds))
        return meter.result(first_draw=start + 4.0)

    found = measured(begin)
    assert found == measured(2.0)
    assert (found.load_seconds, found.seconds, found.idle_seconds) == (4.0, 31.0, 19.0)
    assert found.gpu_hours == pytest.approx(35 / 3600)


@pytest.mark.parametrize(
    "prices", [(math.nan, 1), (math.inf, 1), (1, -5), (1e300, 1), (10**400, 1), 1, (1, 2, 3), "12", ("1", 2), (True, 1)]
)
def test_prices_of_no_use_are_refused_before_anything_starts(prices: Any, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"^(prices is|A price is) "):
        evaluate("nowhere", "arithmetic", output=tmp_path / "run", prices=prices)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prices", [("nan", "1"), ("inf", "1"), ("-5", "1")])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_the_command_refuses_prices_of_no_use(prices: tuple[str, str], more: tuple[str, ...]) -> None:
    done = evalkit("run", "nowhere", "-t", "arithmetic", "--price", *prices, *more, code=2)
    assert told(done) == f"A price is {float(prices[0])}, it has to be a number from 0 to 1,000,000,000."


def test_prices_may_be_whole_numbers_or_none() -> None:
    assert checked_prices((0, 2)) == (0.0, 2.0)
    assert checked_prices(None) is None
