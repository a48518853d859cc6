"""Makespan of a run's queue over its lower bound, in a simulated continuous-batching engine.

    python benchmarks/scheduling.py --seeds 20

The engine has a number of slots. A request takes a free slot at once, each running request gets one token in a step,
and a step takes one unit of time whatever runs (decoding of a full batch is bound by memory; prompts are not counted).
A completion's length is log-normal, with a mean for its task and a normal effect for its problem on the log scale,
rounded up and capped at 32,768 tokens. The lower bound on the makespan is max(total work / slots, longest request).

`--cache-tokens N` counts keys and values instead of slots: a replica of vLLM whose cache holds N tokens (930,000 are
those of a 7B with 4 key-value heads on a GPU of 80 GB) and that runs up to 1,024 rows. A request starts as soon as its
prompt fits; when the cache is full the latest ones are thrown out and computed anew, first in the line. Two ways to
feed it: all that its rows and waiting line take, and evalkit's `KVBudget`. Printed are the tokens computed per useful
token and the decoding steps over the area bound, the sum over requests of length x (prompt + length / 2) over N. Steps
leave out what computing anew takes.

Four orders: task after task (what peers do: each task waits for its slowest sample); one queue, tasks in the order of
their true mean length; evalkit's `RequestQueue` itself, which starts knowing nothing of lengths; and the problems in
the order of their true mean length, which nobody can know.
"""

import argparse
import heapq
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec, installed_tasks
from evalkit.benchmark.task import Task
from evalkit.engines.vllm.kv_budget import Flight, KVBudget
from evalkit.run.queue import RequestQueue, TaskPlan
from evalkit.types import Completion, Problem, Request, SamplingParams, Score

LIMIT = 32768
LENGTHS = {  # problems, completions of each, median length: about those of a distilled 7B model
    "aime24": (30, 64, 9000),
    "math500": (500, 4, 2500),
    "gpqa_diamond": (198, 8, 6000),
    "livecodebench": (279, 16, 9000),
    "codeforces": (70, 8, 12000),
}


@dataclass
class SimulatedTask(Task):
    """A name and an n; nothing is loaded or graded."""

    name: str  # type: ignore[misc]
    version: ClassVar[int] = 1
    title: ClassVar[str] = ""

    def load(self, source: DataSource) -> list[Problem]:
        return []

    def score(self, problem: Problem, response: str) -> Score:
        raise NotImplementedError


def world(seed: int, between: float, within: float, tasks: Collection[str] = tuple(LENGTHS)) -> dict[str, np.ndarray]:
    """Lengths in tokens by task: one row a problem, one column a sample."""
    generator = np.random.default_rng(seed)
    known = installed_tasks()
    lengths = {}
    for name in tasks:
        problems, n, median = LENGTHS[name]
        n = known[name].n if name in known else n
        effects = generator.normal(0, between, (problems, 1)) + generator.normal(0, within, (problems, n))
        lengths[name] = np.minimum(LIMIT, np.ceil(median * np.exp(effects))).astype(int)
    return lengths


def lower_bound(lengths: dict[str, np.ndarray], slots: int) -> float:
    total = sum(int(rows.sum()) for rows in lengths.values())
    return max(total / slots, *(int(rows.max()) for rows in lengths.values()))


def in_order(lengths: Iterable[int], slots: int) -> float:
    ends = [0] * slots
    for length in lengths:
        heapq.heapreplace(ends, ends[0] + int(length))
    return max(ends)


def task_after_task(lengths: dict[str, np.ndarray], slots: int) -> float:
    return sum(in_order(rows.ravel(), slots) for rows in lengths.values())


def one_queue_by_task(lengths: dict[str, np.ndarray], slots: int) -> float:
    rows = sorted(lengths.values(), key=lambda rows: -rows.mean())
    return in_order(np.concatenate([r.ravel() for r in rows]), slots)


def known_problem_means(lengths: dict[str, np.ndarray], slots: int) -> float:
    problems = sorted((row for rows in lengths.values() for row in rows), key=lambda row: -row.mean())
    return in_order(np.concatenate(problems), slots)


def make_queue(lengths: dict[str, np.ndarray], clock: Callable[[], float]) -> RequestQueue:
    plans = [
        TaskPlan(
            SimulatedTask(name),
            [Problem(str(i), "", "") for i in range(len(rows))],
            SamplingParams(max_tokens=LIMIT, n=rows.shape[1]),
            TaskSpec(name, None, {}),
        )
        for name, rows in lengths.items()
    ]
    return RequestQueue(plans, Protocol("simulated", ""), clock=clock)


def evalkit_queue(
    lengths: dict[str, np.ndarray], slots: int, watch: Callable[[float, RequestQueue], None] | None = None
) -> float:
    """The queue that `evalkit run` draws from, told of each completion when it ends; `watch` is called after each."""
    now = 0.0
    queue = make_queue(lengths, lambda: now)
    running: list[tuple[float, int, Completion]] = []

    def draw(count: int) -> Iterator[None]:
        for _, request in zip(range(count), queue, strict=False):
            length = int(lengths[request.task][int(request.problem_id), request.sample_index])
            completion = Completion(*request.key, "", "stop", 0, length, float(length))
            heapq.heappush(running, (now + length, len(queue), completion))
            yield

    list(draw(slots))
    while running:
        now, _, completion = heapq.heappop(running)
        queue.observe(completion)
        list(draw(1))
        if watch is not None:
            watch(now, queue)
    return now


PROMPT, BLOCK, ROWS = 200, 16, 1024


@dataclass(slots=True)
class SimulatedRow:
    """A request in the engine with a cache; `made` of its `length` tokens exist."""

    request: Request
    length: int
    made: int = 0

    def flight(self) -> Flight:
        return Flight(PROMPT, self.made, self.request.expected_tokens, LIMIT)


@dataclass(slots=True)
class CacheOutcome:
    """`computed` tokens for `useful` ones, prompts included; `steps` until the end; `rows` that ran on average."""

    computed: int
    useful: int
    steps: int
    rows: float

    @property
    def per_useful(self) -> float:
        return self.computed / self.useful


def with_cache(lengths: dict[str, np.ndarray], cache: int, budget: KVBudget | None) -> CacheOutcome:
    """vLLM's scheduler, `BLOCK` tokens at a time, fed by `budget` or with as much as it takes."""
    now = 0
    queue = make_queue(lengths, lambda: float(now))
    running: list[SimulatedRow] = []
    waiting: list[SimulatedRow] = []  # the last one is the next
    computed = useful = busy = looked = room = 0
    old = True
    while len(queue) or running or waiting:
        while len(queue):
            if budget is None:
                room = ROWS + ROWS // 8
            elif old or looked >= 32:
                room, old, looked = budget.rows([row.flight() for row in (*running, *waiting)]), False, 0
            if len(running) + len(waiting) >= room:
                break
            request = next(queue)
            length = int(lengths[request.task][int(request.problem_id), request.sample_index])
            waiting.insert(0, SimulatedRow(request, length))
            useful += length + PROMPT
            looked, old = looked + 1, old or len(running) + len(waiting) == 1
        held = sum(PROMPT + row.made for row in running)
        while waiting and len(running) < ROWS and held + PROMPT + waiting[-1].made + BLOCK <= cache:
            row = waiting.pop()
            held += PROMPT + row.made
            computed += PROMPT + row.made
            running.append(row)
        made = sum(min(BLOCK, row.length - row.made) for row in running)
        while held + made > cache and len(running) > 1:
            row = running.pop()
            held -= PROMPT + row.made
            made -= min(BLOCK, row.length - row.made)
            waiting.append(row)
        now, busy, looked, computed = now + BLOCK, busy + BLOCK * len(running), looked + BLOCK, computed + made
        ended = []
        for row in running:
            row.made = min(row.length, row.made + BLOCK)
            if row.made == row.length:
                ended.append(row)
        if ended:
            old = True
            running = [row for row in running if row.made < row.length]
            for row in ended:
                queue.observe(Completion(*row.request.key, "", "stop", PROMPT, row.length, float(row.length)))
    return CacheOutcome(computed, useful, now, busy / now)


def area_bound(lengths: dict[str, np.ndarray], cache: int) -> float:
    every = np.concatenate([rows.ravel() for rows in lengths.values()]).astype(float)
    return max(float((every * (PROMPT + every / 2)).sum()) / cache, float(every.max()))


def compare_feeding(worlds: Sequence[dict[str, np.ndarray]], cache: int) -> None:
    print(f"a cache of {cache} tokens, {ROWS} rows at most")
    for label, budget in (("as much as it takes", None), ("evalkit's budget", KVBudget(cache, ROWS))):
        outcomes = [(with_cache(lengths, cache, budget), area_bound(lengths, cache)) for lengths in worlds]
        computed = [outcome.per_useful for outcome, _ in outcomes]
        spans = [outcome.steps / bound for outcome, bound in outcomes]
        rows = statistics.mean(outcome.rows for outcome, _ in outcomes)
        print(
            f"{label:22} computed per useful token {statistics.mean(computed):.3f} (worst {max(computed):.2f}), "
            f"decoding steps over the bound {statistics.mean(spans):.3f}, {rows:.0f} rows on average",
            flush=True,
        )


ORDERS = {
    "task after task": task_after_task,
    "one queue, by task mean": one_queue_by_task,
    "evalkit": evalkit_queue,
    "(problem means known)": known_problem_means,
}
TARGETS = {256: 1.05, 512: 1.08, 1024: 1.15}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--between", type=float, default=0.8, help="standard deviation of log length over problems")
    parser.add_argument("--within", type=float, default=0.45, help="and over the samples of a problem")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=LENGTHS, default=list(LENGTHS), help="the targets are for all")
    parser.add_argument("--cache-tokens", type=int, help="count the tokens of a cache in place of slots")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    worlds = [world(seed, arguments.between, arguments.within, arguments.tasks) for seed in seeds]
    sizes = {name: rows.shape for name, rows in worlds[0].items()}
    mean = statistics.mean(sum(int(r.sum()) for r in lengths.values()) for lengths in worlds)
    print(", ".join(f"{name} {p} x {n}" for name, (p, n) in sizes.items()))
    print(f"{sum(math.prod(s) for s in sizes.values())} requests, {mean / 1e6:.0f} million tokens, {len(worlds)} draws")
    if arguments.cache_tokens:
        compare_feeding(worlds, arguments.cache_tokens)
        return
    print(f"{'makespan / lower bound: mean (worst)':38}" + "".join(f"{slots:>8} slots " for slots in TARGETS))
    means = {}
    for label, order in ORDERS.items():
        cells = []
        for slots in TARGETS:
            ratios = [order(lengths, slots) / lower_bound(lengths, slots) for lengths in worlds]
            means[label, slots] = statistics.mean(ratios)
            cells.append(f"{means[label, slots]:7.3f} ({max(ratios):.2f})")
        print(f"{label:38}{''.join(cells)}", flush=True)
    if set(arguments.tasks) != set(LENGTHS):
        return
    missed = [slots for slots, target in TARGETS.items() if means["evalkit", slots] > target]
    print("targets " + ", ".join(f"{target:.2f}" for target in TARGETS.values()) + (" missed" if missed else " met"))
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
