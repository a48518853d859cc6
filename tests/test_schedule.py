"""The order of requests: nothing lost or doubled, the long ones first, flat memory, and the makespan that follows."""

import importlib.util
import threading
import tracemalloc
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from evalkit_tasks.arithmetic import Arithmetic
from helpers import assert_growth
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.run.queue import RequestQueue, TaskPlan
from evalkit.run.schedule import Schedule
from evalkit.types import Completion, Problem, SampleKey, SamplingParams

PROTOCOL = Protocol("test", "here")


def load_benchmark(name: str) -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plan(problems: int, n: int, max_tokens: int = 1000) -> TaskPlan:
    rows = [Problem(f"p{i}", "1 + 1", "2") for i in range(problems)]
    return TaskPlan(Arithmetic(), rows, SamplingParams(max_tokens=max_tokens, n=n), TaskSpec("arithmetic"))


def completion(key: SampleKey, tokens: int | None, text: str = "", error: str | None = None) -> Completion:
    return Completion(*key, text, "error" if error else "stop", 1, tokens, 1.0, error=error)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 6), st.integers(1, 9))
def test_every_sample_comes_once_whatever_finishes_when(data: st.DataObject, problems: int, n: int, slots: int) -> None:
    every = {SampleKey("arithmetic", f"p{i}", s) for i in range(problems) for s in range(n)}
    done = data.draw(st.sets(st.sampled_from(sorted(every))))
    queue = RequestQueue([plan(problems, n)], PROTOCOL, done)
    running: list[SampleKey] = []
    drawn: list[SampleKey] = []
    assert len(queue) == len(every) - len(done)
    while len(queue) or running:
        if len(queue) and len(running) < slots:
            key = next(queue).key
            running.append(key)
            drawn.append(key)
        else:
            key = running.pop(data.draw(st.integers(0, len(running) - 1)))
            tokens = data.draw(st.one_of(st.none(), st.integers(0, 1000)))
            queue.observe(completion(key, tokens, error=data.draw(st.sampled_from([None, "refused"]))))
    assert sorted(drawn) == sorted(every - done)
    with pytest.raises(StopIteration):
        next(queue)


def test_one_sample_of_every_problem_first_then_the_problem_that_took_longest() -> None:
    queue = RequestQueue([plan(problems=4, n=3)], PROTOCOL, clock=lambda: 0.0)
    first = [next(queue) for _ in range(4)]
    assert {r.problem_id for r in first} == {"p0", "p1", "p2", "p3"}
    for request in first:
        queue.observe(completion(request.key, {"p0": 100, "p1": 900, "p2": 30, "p3": 300}[request.problem_id]))
    assert [r.problem_id for r in queue] == ["p1"] * 2 + ["p3"] * 2 + ["p0"] * 2 + ["p2"] * 2


def test_room_for_more_than_a_sample_of_every_problem_is_shared_evenly() -> None:
    """Before any has ended nothing tells the problems apart: all samples of a few would leave the others to the end."""
    queue = RequestQueue([plan(problems=30, n=64)], PROTOCOL)
    first = Counter(next(queue).problem_id for _ in range(1024))
    assert set(first.values()) == {34, 35}
    assert first.total() == 1024


def test_a_sample_that_still_runs_tells_that_its_problem_is_long() -> None:
    now = 0.0
    schedule = Schedule([1000], [(0, range(2)), (0, range(2)), (0, range(2))], clock=lambda: now)
    first = [schedule.draw() for _ in range(3)]
    now = 10.0
    for number, sample in first[:2]:
        schedule.finish(number, sample, 10)  # a token a second
    now = 400.0
    assert schedule.draw()[0] == first[2][0]


def test_a_sample_that_failed_says_nothing_of_lengths() -> None:
    schedule = Schedule([1000], [(0, range(5)), (0, range(5))], clock=lambda: 0.0)
    (short, sample), (failed, other) = schedule.draw(), schedule.draw()
    schedule.finish(short, sample, 1)
    schedule.finish(failed, other, None)
    assert schedule.draw()[0] == failed


def test_what_an_earlier_run_took_is_learnt_from() -> None:
    plans = [plan(problems=2, n=2)]
    done = {SampleKey("arithmetic", "p0", 0), SampleKey("arithmetic", "p1", 0)}
    queue = RequestQueue(plans, PROTOCOL, done)
    queue.observe(completion(SampleKey("arithmetic", "p0", 0), None, text="x" * 40))
    queue.observe(completion(SampleKey("arithmetic", "p1", 0), None, text="x" * 4000))
    queue.observe(completion(SampleKey("arithmetic", "gone", 0), 1))
    assert [r.problem_id for r in queue] == ["p1", "p0"]


def test_threads_may_draw_and_observe() -> None:
    queue = RequestQueue([plan(problems=50, n=40)], PROTOCOL)
    taken: list[list[SampleKey]] = [[] for _ in range(4)]

    def work(mine: list[SampleKey]) -> None:
        for request in queue:
            mine.append(request.key)
            queue.observe(completion(request.key, 10))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [key for mine in taken for key in mine]
    assert len(every) == len(set(every)) == 2000


def test_a_million_samples_take_no_memory() -> None:
    tracemalloc.start()
    queue = RequestQueue([plan(problems=100, n=10_000)], PROTOCOL)
    before = tracemalloc.get_traced_memory()[0]
    waiting = [next(queue) for _ in range(256)]
    for request in waiting:
        queue.observe(completion(request.key, 10))
    tracemalloc.stop()
    assert len(queue) == 1_000_000 - 256
    assert before < 200_000


def test_the_next_request_of_a_million_takes_as_long_as_that_of_ten_thousand() -> None:
    def observe(n: int) -> None:
        queue = RequestQueue([plan(problems=100, n=n)], PROTOCOL)
        for _ in range(10_000):
            queue.observe(completion(next(queue).key, 10))

    assert_growth(lambda: observe(100), lambda: observe(10_000), below=10)  # 100 where it goes through all of them


def test_the_simulated_makespan_meets_what_the_performance_page_says() -> None:
    """One draw of the benchmark's world at its hardest width, against what peers do and what its page promises."""
    scheduling = load_benchmark("scheduling")
    lengths = scheduling.world(3, 0.8, 0.45)
    bound = scheduling.lower_bound(lengths, 1024)
    ours = scheduling.evalkit_queue(lengths, 1024) / bound
    assert ours < 1.22
    assert ours < scheduling.one_queue_by_task(lengths, 1024) / bound - 0.05
    assert ours < scheduling.task_after_task(lengths, 1024) / bound / 1.7
    assert scheduling.evalkit_queue(lengths, 256) / scheduling.lower_bound(lengths, 256) < 1.05


def drawn(begin: float) -> list[object]:
    """What is drawn, and the seconds left, of a schedule with samples that end and samples that still run."""
    now = begin
    schedule = Schedule([1000], [(0, range(4)) for _ in range(6)], clock=lambda: now)
    found: list[object] = []
    running = []
    for step in range(24):
        now += 7.0
        number, sample = schedule.draw()
        running.append((number, sample))
        found.append((number, sample, round(schedule.expected(number), 6)))
        if step % 3 != 1:
            done, of = running.pop(0)
            schedule.finish(done, of, 20 + 90 * done)
        left = schedule.seconds_left()
        found.append(left and round(left, 3))
    return found


@pytest.mark.parametrize("begin", [-1000.0, 1.0, 86_400.0])
def test_the_order_does_not_depend_on_where_the_clock_starts(begin: float) -> None:
    assert drawn(begin) == drawn(0.0)


@pytest.mark.parametrize("begin", [-5.0, 0.0, 5.0])
def test_the_first_draw_is_the_first_wherever_the_clock_starts(begin: float) -> None:
    now = begin
    queue = RequestQueue([plan(problems=2, n=1)], PROTOCOL, clock=lambda: now)
    assert queue.first_draw is None
    next(queue)
    now += 3.0
    next(queue)
    assert queue.first_draw == begin
