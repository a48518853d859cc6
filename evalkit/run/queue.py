"""The queue of requests that the engine draws from. Completions that are on disk are skipped."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit.benchmark.data import DataSource, LoadedData
from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task
from evalkit.run.schedule import Schedule
from evalkit.store.halves import Phases
from evalkit.store.plan import SamplePlan
from evalkit.types import Completion, Problem, Request, SampleKey, SamplingParams

_CHARACTERS_PER_TOKEN = 4  # estimate, if the server does not count tokens


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of a run: its problems in order, how they are sampled, and the data they came from.

    `available` is the number of problems before --limit. A `local` task is graded in this process, since other
    processes cannot import it. `indices` has the sample indices of problems that are not to have 0 to n - 1. `source`
    is where the data were loaded from; `prompts` has a digest of each problem's messages by problem id; `dataset` has
    all problems, those before --limit included. With a `pilot`, the number of completions of a problem depends on what
    its first `pilot` completions scored; `phases` has those of each problem after the pilot, by half.
    """

    task: Task
    problems: Sequence[Problem]
    params: SamplingParams
    spec: TaskSpec
    data: Sequence[LoadedData] = ()
    available: int | None = None
    local: bool = False
    indices: Mapping[str, Sequence[int]] = field(default_factory=dict)
    source: DataSource | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    dataset: Sequence[Problem] = ()
    pilot: int = 0
    phases: Mapping[str, Phases] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return sum(len(self.wanted(problem.id)) for problem in self.problems)

    def wanted(self, problem_id: str) -> Sequence[int]:
        """The sample indices of one problem that this execution is to have."""
        return self.indices.get(problem_id, range(self.params.n))

    def counts_text(self) -> str:
        """`30 x 64`, `30 x 4 to 37`, or the number of completions of a shard."""
        counts = [len(self.wanted(problem.id)) for problem in self.problems]
        low, high = min(counts), max(counts)
        return f"{len(counts)} x {low}" if low == high else f"{len(counts)} x {low} to {high}"

    @property
    def sample_plan(self) -> SamplePlan:
        """The completions of the whole run: 0 to n - 1, or to the largest index of `indices`."""
        counts = {p.id: max(self.params.n, *(i + 1 for i in self.wanted(p.id)), 1) for p in self.problems}
        return SamplePlan(counts)


def make_request(plan: TaskPlan, protocol: Protocol, problem: Problem, sample_index: int) -> Request:
    """The request of one sample: the protocol's system message followed by the task's messages."""
    return Request(
        task=plan.task.name,
        problem_id=problem.id,
        sample_index=sample_index,
        messages=(*protocol.system_messages(), *plan.task.messages(problem)),
        params=plan.params,
        response_prefix=protocol.response_prefix,
    )


class RequestQueue:
    """All requests of a run in one queue, so that the engine does not run empty between tasks.

    The request with the longest expected completion comes first (see `Schedule`). Requests are created when they are
    drawn, so memory depends on the number of problems, not of samples. Thread-safe.
    """

    def __init__(
        self,
        plans: Sequence[TaskPlan],
        protocol: Protocol,
        done: Collection[SampleKey] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._protocol = protocol
        self._problems = [(plan, problem) for plan in plans for problem in plan.problems]
        self._numbers = {(plan.task.name, problem.id): i for i, (plan, problem) in enumerate(self._problems)}
        present: dict[int, set[int]] = {}
        for task, problem_id, sample_index in done:
            if (number := self._numbers.get((task, problem_id))) is not None:
                present.setdefault(number, set()).add(sample_index)
        wanted: list[tuple[int, Sequence[int]]] = []
        for i, plan in enumerate(plans):
            for number, problem in enumerate(plan.problems, start=len(wanted)):
                there, every = present.get(number), plan.wanted(problem.id)
                plain = not there and isinstance(every, range)
                wanted.append((i, every if plain else [s for s in every if not there or s not in there]))
        self._schedule = Schedule([plan.params.max_tokens for plan in plans], wanted, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._open: set[SampleKey] = set()
        self.first_draw: float | None = None
        """The time, by `clock`, at which the engine took its first request, or None. The engine is loaded by then."""

    def __len__(self) -> int:
        """The number of requests that have not been drawn."""
        return len(self._schedule)

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        with self._lock:
            if not len(self._schedule):
                raise StopIteration
            if self.first_draw is None:
                self.first_draw = self._clock()
            number, sample = self._schedule.draw()
            expected = max(1, round(self._schedule.expected(number)))
            plan, problem = self._problems[number]
            self._open.add(SampleKey(plan.task.name, problem.id, sample))
        return replace(make_request(plan, self._protocol, problem, sample), expected_tokens=expected)

    def close(self, key: SampleKey) -> bool:
        """Take note that a request was answered. False where it was not drawn, or is answered already."""
        with self._lock:
            drawn = key in self._open
            self._open.discard(key)
        return drawn

    def unanswered(self) -> list[SampleKey]:
        """The requests that were drawn and not answered."""
        with self._lock:
            return sorted(self._open)

    def seconds_left(self) -> float | None:
        """The estimated seconds until the last completion, at the present speed. None before the first completion."""
        with self._lock:
            return self._schedule.seconds_left()

    def observe(self, completion: Completion) -> None:
        """Update the expected lengths with a finished completion, of this execution or an earlier one."""
        number = self._numbers.get((completion.task, completion.problem_id))
        if number is None:
            return
        tokens = completion.completion_tokens
        if tokens is None:
            tokens = len(completion.text) // _CHARACTERS_PER_TOKEN
        with self._lock:
            self._schedule.finish(number, completion.sample_index, None if completion.error else tokens)
