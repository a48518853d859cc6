"""From tasks to the queue of requests that the engine draws from: what is on disk already is skipped."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from evalkit.benchmark.data import LoadedData
from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task
from evalkit.run.schedule import Schedule
from evalkit.types import Completion, Problem, Request, SampleKey, SamplingParams

_CHARACTERS_PER_TOKEN = 4  # roughly, where a server does not count


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of a run: its problems, in the set's order, how each is sampled, and what data it came from.

    `available` is the number of problems that the set has, more than `problems` with a --limit. A `local` task is
    graded in this process: no other one can import it.
    """

    task: Task
    problems: Sequence[Problem]
    params: SamplingParams
    spec: TaskSpec
    data: Sequence[LoadedData] = ()
    available: int | None = None
    local: bool = False

    @property
    def samples(self) -> int:
        return len(self.problems) * self.params.n


def make_request(plan: TaskPlan, protocol: Protocol, problem: Problem, sample_index: int) -> Request:
    """The request of one sample: the protocol's system message before the task's own messages."""
    return Request(
        task=plan.task.name,
        problem_id=problem.id,
        sample_index=sample_index,
        messages=(*protocol.system_messages(), *plan.task.messages(problem)),
        params=plan.params,
        response_prefix=protocol.response_prefix,
    )


class RequestQueue:
    """All requests of a run in one queue, so that the engine never drains between tasks.

    Requests are made as they are drawn: the queue's size is that of the problems, not of the samples. Longest
    expected first (`Schedule`). Threads may draw from it and tell it what has finished.
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
        wanted: list[tuple[int, range | list[int]]] = []
        for i, plan in enumerate(plans):
            every = range(plan.params.n)
            for number in range(len(wanted), len(wanted) + len(plan.problems)):
                there = present.get(number)
                wanted.append((i, [s for s in every if s not in there] if there else every))
        self._schedule = Schedule([plan.params.max_tokens for plan in plans], wanted, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self.first_draw: float | None = None
        """When the engine took its first request, by `clock`: it was loaded by then. None before that."""

    def __len__(self) -> int:
        """How many requests have not been drawn yet."""
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
        plan, problem = self._problems[number]
        return make_request(plan, self._protocol, problem, sample)

    def seconds_left(self) -> float | None:
        """Until the last completion, at the engine's pace of now; None before one has ended."""
        with self._lock:
            return self._schedule.seconds_left()

    def observe(self, completion: Completion) -> None:
        """Learn from a finished completion, of this run or an earlier one, how long the ones still to come may be."""
        number = self._numbers.get((completion.task, completion.problem_id))
        if number is None:
            return
        tokens = completion.completion_tokens
        if tokens is None:
            tokens = len(completion.text) // _CHARACTERS_PER_TOKEN
        with self._lock:
            self._schedule.finish(number, completion.sample_index, None if completion.error else tokens)
