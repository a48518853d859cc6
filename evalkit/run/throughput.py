"""The throughput and cost of a run: tokens, seconds, GPU hours."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from evalkit.errors import EvalkitError
from evalkit.types import Completion

_MOST_PRICE = 1e9  # so that no cost is beyond what a float can hold


@dataclass(frozen=True, slots=True)
class Throughput:
    """The throughput of one execution of a run, without earlier executions that it resumed.

    Tokens are as counted by the engine; `uncounted` completions lack a count, `prompts_uncounted` that of the prompt
    and `generated_uncounted` their own (None in what earlier versions recorded). `seconds` is the wall-clock time from
    the first request to the last completion, and tokens per second refer to it. `load_seconds` is the time before the
    first request. `mean_running` is the average number of running requests (Little's law: the sum of their seconds
    divided by the wall-clock time). `idle_seconds` is the time without a running request. `gpu_hours` counts loading
    too, on every GPU. `cost` is in the currency of `prices`, which are per million prompt tokens and generated tokens.
    """

    completions: int
    uncounted: int
    prompt_tokens: int
    generated_tokens: int
    load_seconds: float
    seconds: float
    prompt_tokens_per_second: float
    generated_tokens_per_second: float
    mean_running: float
    idle_seconds: float
    repetitions: int
    gpu_hours: float | None
    prices: tuple[float, float] | None
    cost: float | None
    prompts_uncounted: int | None = None
    generated_uncounted: int | None = None


def checked_prices(prices: object) -> tuple[float, float] | None:
    """Two prices as numbers, None where none are given. Raises EvalkitError for anything else.

    Examples:
        >>> checked_prices([1, 2.5])
        (1.0, 2.5)
    """
    if prices is None:
        return None
    if not isinstance(prices, tuple | list) or len(prices) != 2:
        raise EvalkitError(
            f"prices is {prices!r}, it has to be two numbers.",
            "give the price per million prompt tokens and that per million generated tokens.",
        )
    for one in prices:
        # a comparison with nan is false
        if isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one <= _MOST_PRICE:
            raise EvalkitError(
                f"A price is {one!r}, it has to be a number from 0 to {_MOST_PRICE:,.0f}.",
                "give the price per million prompt tokens and that per million generated tokens.",
            )
    return float(prices[0]), float(prices[1])


class Meter:
    """Counts completions as they finish. `prices` are per million prompt tokens and generated tokens."""

    def __init__(
        self,
        gpus: int = 0,
        prices: tuple[float, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gpus = gpus
        self._prices = prices
        self._clock = clock
        self._begun = self._last = clock()
        self._completions = self._uncounted = self._prompt = self._generated = self._repetitions = 0
        self._prompts_uncounted = self._generated_uncounted = 0
        self._request_seconds = 0.0
        self._spans: list[tuple[float, float]] = []  # disjoint times with a running request, in order

    def add(self, completion: Completion) -> None:
        """Count a completion that has just finished."""
        self._last = now = self._clock()
        self._completions += 1
        self._repetitions += completion.finish_reason == "repetition"
        if completion.prompt_tokens is None or completion.completion_tokens is None:
            self._uncounted += 1
        self._prompts_uncounted += completion.prompt_tokens is None
        self._generated_uncounted += completion.completion_tokens is None
        self._prompt += completion.prompt_tokens or 0
        self._generated += completion.completion_tokens or 0
        seconds = completion.seconds or 0.0
        self._request_seconds += seconds
        start = max(self._begun, now - seconds)
        while self._spans and self._spans[-1][1] >= start:
            start = min(start, self._spans.pop()[0])
        self._spans.append((start, now))

    def result(self, first_draw: float | None = None) -> Throughput:
        """The figures so far. `first_draw` is the time, by the clock, at which the engine took its first request."""
        began = self._begun if first_draw is None else first_draw
        load = max(began - self._begun, 0.0)
        seconds = max(self._last - began, 0.0)
        busy = sum(end - start for start, end in self._spans)
        per = 1 / seconds if seconds else 0.0
        cost = None
        if self._prices is not None:
            cost = (self._prompt * self._prices[0] + self._generated * self._prices[1]) / 1e6
        return Throughput(
            completions=self._completions,
            uncounted=self._uncounted,
            prompt_tokens=self._prompt,
            generated_tokens=self._generated,
            load_seconds=load,
            seconds=seconds,
            prompt_tokens_per_second=self._prompt * per,
            generated_tokens_per_second=self._generated * per,
            mean_running=self._request_seconds * per,
            idle_seconds=max(seconds - busy, 0.0),
            repetitions=self._repetitions,
            gpu_hours=self.gpus * (load + seconds) / 3600 if self.gpus else None,
            prices=self._prices,
            cost=cost,
            prompts_uncounted=self._prompts_uncounted,
            generated_uncounted=self._generated_uncounted,
        )
