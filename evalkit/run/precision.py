"""`--precision`: completions are drawn in phases until the run-to-run interval of pass@1 is as narrow as was asked for.

A pilot of a few completions of every problem, a longer pilot where the precision needs many, then more of the problems
whose outcome is uncertain (see `evalkit.stats.precision`). The sizes depend on nothing but what is on disk, so a run
that was interrupted goes on as it would have.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.errors import EvalkitError
from evalkit.run.queue import TaskPlan
from evalkit.run.shards import Shard
from evalkit.stats.precision import Allocation, Halves, Z, mean_of_halves
from evalkit.store.halves import Phases, halves_of
from evalkit.store.run import RunDirectory

logger = logging.getLogger(__name__)

PILOT = 4
_LONGEST_PILOT = 24
_PILOT_SHARE = 3 / 8  # of the uniform n that the precision would need
DEFAULT_MAX_N = 256
_MOST_PHASES = 8
_FIRST_STEP = 1.15  # the variance that the first allocation aims at, over the one asked for: later ones need less


@dataclass(frozen=True, slots=True)
class Precision:
    """The half-width in [0, 1] that is asked for, and the largest number of completions of a problem."""

    half_width: float
    max_n: int

    def pilot_of(self, plan: TaskPlan) -> TaskPlan:
        """The plan of the first phase."""
        return replace(plan, params=replace(plan.params, n=PILOT), pilot=PILOT, phases={})

    def next_phase(self, run: RunDirectory, plans: Sequence[TaskPlan]) -> Sequence[TaskPlan] | None:
        """The plans with the completions of the next phase, None if every task is as precise as asked for."""
        grown = [self._grow(run, plan) for plan in plans]
        return None if all(new is old for new, old in zip(grown, plans, strict=True)) else grown

    def _grow(self, run: RunDirectory, plan: TaskPlan) -> TaskPlan:
        files = run.files(plan.task.name)
        values = {(k.problem_id, k.sample_index): s.value for k, s in files.latest_scores().items()}
        tokens = {(c["problem_id"], c["sample_index"]): c["completion_tokens"] or 1 for c in files.completion_facts()}
        ids = [problem.id for problem in plan.problems]
        outcomes = [halves_of(values, key, plan.pilot, plan.phases.get(key, ())) for key in ids]
        costs = [halves_of(tokens, key, plan.pilot, plan.phases.get(key, ())) for key in ids]
        drawn = [Halves(first, second) for first, second in outcomes]
        if not plan.phases:
            pilot = pilot_size(drawn, self.half_width, self.max_n)
            if pilot > plan.pilot:
                logger.info("%s: a pilot of %d completions of each problem", plan.task.name, pilot)
                return replace(plan, params=replace(plan.params, n=pilot), pilot=pilot)
        past = max((len(phases) for phases in plan.phases.values()), default=0)
        sizes = next_sizes(drawn, costs, plan.pilot, self.half_width, self.max_n) if past < _MOST_PHASES else None
        if sizes is None:
            return self._tell(plan, drawn)
        phases: dict[str, Phases] = {}
        for key, have, (first, second) in zip(ids, drawn, sizes, strict=True):
            more = (max(first - len(have.first), 0), max(second - len(have.second), 0))
            phases[key] = (*plan.phases.get(key, ()), more)
        counts = {key: plan.pilot + sum(a + b for a, b in each) for key, each in phases.items()}
        most, least = max(counts.values()), min(counts.values())
        logger.info("%s: %d to %d completions of a problem", plan.task.name, least, most)
        return replace(plan, phases=phases, indices={key: range(count) for key, count in counts.items()})

    def _tell(self, plan: TaskPlan, drawn: Sequence[Halves]) -> TaskPlan:
        low, high = mean_of_halves(drawn).interval_run
        if (high - low) / 2 > self.half_width:
            logger.warning(
                "%s: the run-to-run interval is ±%.2f points, wider than ±%.2f: --max-n is %d",
                *(plan.task.name, 50 * (high - low), 100 * self.half_width, self.max_n),
            )
        return plan


def precision_of(points: float | None, max_n: int | None, n: int | None, shard: Shard | None) -> Precision | None:
    """The precision that the options ask for, None without `--precision`. Raises EvalkitError if they do not fit."""
    if points is None:
        if max_n is not None:
            raise EvalkitError("--max-n is only for --precision.", "use -n to set the completions per problem.")
        return None
    if n is not None:
        raise EvalkitError("--precision decides n, so -n cannot be set.", "use --max-n to limit it.")
    if shard is not None:
        raise EvalkitError(
            "A shard does not know what the others scored, so --precision cannot divide the samples.",
            "use -n with --shard.",
        )
    if not 0 < points < 50:
        raise EvalkitError(f"--precision is {points:g} points, it has to be above 0 and below 50.", "such as 0.5.")
    most = DEFAULT_MAX_N if max_n is None else max_n
    if most < PILOT:
        raise EvalkitError(f"--max-n is {most}, but the pilot takes {PILOT} completions.", f"pass {PILOT} or more.")
    return Precision(points / 100, most)


def pilot_size(drawn: Sequence[Halves], half_width: float, max_n: int) -> int:
    """The length of the pilot, even: 3/8 of the uniform n that the half-width would need, within 4 and 24."""
    needed = (_reached(drawn) / half_width) ** 2 * (len(drawn[0].first) + len(drawn[0].second))
    return int(min(max(PILOT, 2 * round(needed * _PILOT_SHARE / 2)), _LONGEST_PILOT, max_n // 2 * 2))


def next_sizes(
    drawn: Sequence[Halves],
    costs: Sequence[tuple[Sequence[float], Sequence[float]]],
    pilot: int,
    half_width: float,
    max_n: int,
) -> list[tuple[int, int]] | None:
    """The sizes of both halves of each problem in the next phase, None if that is not needed or nothing can grow.

    `drawn` are the outcomes so far and `costs` the tokens; of both, only the pilots decide how the draws are divided.
    """
    reached = _reached(drawn)
    if reached <= half_width:
        return None
    half = pilot // 2
    pilots = [Halves(p.first[:half], p.second[:half]) for p in drawn]
    means = [(math.fsum(a[:half]) / half, math.fsum(b[:half]) / half) for a, b in costs]
    allocation = Allocation(pilots, means, max_n)
    expected = _FIRST_STEP * (half_width / Z) ** 2
    sizes = allocation.sizes(expected)
    now = sum(len(p.first) + len(p.second) for p in drawn)
    beyond_pilot = any(len(p.first) + len(p.second) > pilot for p in drawn)
    wanted = max(now * (reached / half_width) ** 2, now + 1) if beyond_pilot else now + 1
    while expected > 1e-12 and sum(a + b for a, b in sizes) < wanted and not _is_full(sizes, max_n):
        expected *= 0.98
        sizes = allocation.sizes(expected)
    grows = any(a > len(p.first) or b > len(p.second) for p, (a, b) in zip(drawn, sizes, strict=True))
    return sizes if grows else None


def _is_full(sizes: Sequence[tuple[int, int]], max_n: int) -> bool:
    return all(min(pair) >= max_n // 2 for pair in sizes)


def _reached(drawn: Sequence[Halves]) -> float:
    """The half-width of the run-to-run interval so far, in [0, 1]."""
    low, high = mean_of_halves(drawn).interval_run
    return (high - low) / 2
