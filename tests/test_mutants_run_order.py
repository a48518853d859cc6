"""Requests, their order, what is shown and what is warned of while a run goes on."""

import io
import logging
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from told_engine import PROTOCOL, sums

from evalkit import EvalkitError, Problem
from evalkit.benchmark.registry import TaskSpec
from evalkit.run import precision as precision_module
from evalkit.run import progress as progress_module
from evalkit.run.precision import Precision, next_sizes, pilot_size, precision_of
from evalkit.run.progress import Progress
from evalkit.run.queue import RequestQueue, TaskPlan, make_request
from evalkit.run.schedule import Schedule, _expected_length, _mean_above
from evalkit.run.shards import Shard, part_of, read_shard
from evalkit.run.throughput import Meter, Throughput
from evalkit.run.watch import EarlyWatch
from evalkit.stats.precision import Halves
from evalkit.store.plan import SamplePlan
from evalkit.types import Completion, SampleKey, SamplingParams, Score


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def plan(ids: str = "ab", n: int = 2, **fields: Any) -> TaskPlan:
    problems = [Problem(each, f"{each}?", "x") for each in ids]
    return TaskPlan(sums(), problems, SamplingParams(n=n, max_tokens=100), TaskSpec("sums"), **fields)


def completed(problem: str, index: int = 0, **fields: Any) -> Completion:
    made: dict[str, Any] = {"text": "x" * 40, "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 20}
    return Completion("sums", problem, index, seconds=1.0, **{**made, **fields})


# Plans and the queue


def test_the_samples_of_a_plan() -> None:
    some = plan("abc", indices={"b": range(5), "c": [3]})
    assert (some.samples, list(some.wanted("a")), list(some.wanted("b")), some.wanted("c")) == (
        8,
        [0, 1],
        [*range(5)],
        [3],
    )
    assert some.sample_plan == SamplePlan({"a": 2, "b": 5, "c": 4})
    assert some.counts_text() == "3 x 1 to 5"
    assert plan().counts_text() == "2 x 2"
    empty = plan("ab", n=1, indices={"a": [], "b": [0]})
    assert empty.sample_plan == SamplePlan({"a": 1, "b": 1})
    assert (empty.samples, empty.counts_text()) == (1, "2 x 0 to 1")


def test_a_request_of_a_plan() -> None:
    request = make_request(plan(), PROTOCOL, Problem("a", "a?", "x"), 3)
    assert (request.key, request.messages) == (("sums", "a", 3), ({"role": "user", "content": "a?"},))
    assert (request.params, request.response_prefix, request.expected_tokens) == (plan().params, "", None)


def test_the_queue_knows_what_was_drawn_and_answered() -> None:
    clock = Clock()
    queue = RequestQueue([plan("ab"), plan("a")], PROTOCOL, [SampleKey("sums", "b", 0), SampleKey("x", "b", 0)], clock)
    assert len(queue) == 5
    assert iter(queue) is queue
    assert (queue.first_draw, queue.unanswered(), queue.seconds_left()) == (None, [], None)
    first = next(queue)
    assert first.expected_tokens == round(_expected_length(math.log(25), math.hypot(0.7, 0.5), 0.0, 100))
    clock.now = 1010
    second = next(queue)
    assert queue.first_draw == 1000
    assert len(queue) == 3
    assert queue.unanswered() == sorted([first.key, second.key])
    assert queue.close(first.key)
    assert not queue.close(first.key)
    assert not queue.close(SampleKey("sums", "z", 0))
    assert queue.unanswered() == [second.key]
    rest = list(queue)
    assert len(rest) == 3
    assert (len(queue), next(queue, None)) == (0, None)
    drawn = {request.key for request in (first, second, *rest)}
    assert ("sums", "b", 0) not in drawn
    assert ("sums", "b", 1) in drawn


def test_lengths_are_learned_from_what_is_finished() -> None:
    """By tokens, or by four characters for each where nobody counts them; a failed one tells nothing."""

    def expected(*seen: Completion) -> int | None:
        queue = RequestQueue([plan("a", n=9)], PROTOCOL, clock=Clock())
        for one in seen:
            queue.observe(one)
        return next(queue).expected_tokens

    plain = expected()
    assert expected(completed("a", 8, completion_tokens=10)) == expected(completed("a", 8, completion_tokens=None))
    assert expected(completed("a", 8, completion_tokens=10)) != plain
    assert expected(completed("a", 8, completion_tokens=90, error="x", finish_reason="error")) == plain
    assert expected(completed("z", 8)) == plain
    assert expected(completed("a", 8, completion_tokens=0)) == plain


# The order


def test_expected_lengths() -> None:
    """The mean of a log-normal variable, given that it exceeds a length: exp(m + s²/2) without a condition."""
    assert _expected_length(3.0, 0.5, 0.0, 1e9) == pytest.approx(math.exp(3.125))
    assert _expected_length(3.0, 0.5, 0.99, 1e9) == pytest.approx(math.exp(3.125))
    assert _expected_length(3.0, 0.5, 0.0, 12.0) == 12.0
    assert _expected_length(900.0, 0.5, 0.0, 1e308) == pytest.approx(math.exp(700))
    for above in (1.0, 5.0, 30.0, 200.0):
        z = (math.log(above) - 3.0) / 0.5
        above_z, shifted = (0.5 * math.erfc(each / math.sqrt(2)) for each in (z, z - 0.5))
        exact = math.exp(3.125) * shifted / above_z
        assert _expected_length(3.0, 0.5, above, 1e9) == pytest.approx(exact)
    far = math.exp(3.0 + 0.5 * 6)
    assert _expected_length(3.0, 0.5, far, 1e9) == pytest.approx(far * (1 + 0.5 / 6))
    assert _expected_length(3.0, 0.5, far, far) == far
    edge = math.exp(3.0 + 0.5 * 5)
    assert _expected_length(3.0, 0.5, edge * 1.0001, 1e9) == pytest.approx(edge * 1.1, rel=0.02)


def test_the_mean_of_a_normal_variable_above_a_threshold() -> None:
    assert _mean_above(0.0) == pytest.approx(math.sqrt(2 / math.pi))
    assert _mean_above(-8.0) == pytest.approx(0.0, abs=1e-12)
    assert _mean_above(1.0) == pytest.approx(1.52513528)
    assert _mean_above(5.0) == pytest.approx(5.18650396)
    assert _mean_above(6.0) == pytest.approx(6 + 1 / 6)


def test_every_problem_starts_before_a_second_sample_and_the_long_ones_first() -> None:
    clock = Clock()
    schedule = Schedule([100, 1000], [(0, range(1)), (1, range(3)), (1, range(3))], clock)
    assert [schedule.draw() for _ in range(3)] == [(1, 0), (2, 0), (0, 0)], "the longer task first"
    clock.now += 10
    for number, tokens in ((0, 10), (1, 20), (2, 900)):
        schedule.finish(number, 0, tokens)
    assert len(schedule) == 4
    assert [schedule.draw() for _ in range(4)] == [(2, 1), (2, 2), (1, 1), (1, 2)], "the one that was long"


def test_the_time_left_is_of_what_is_left() -> None:
    clock = Clock()
    schedule = Schedule([10_000], [(0, range(1)), (0, range(2))], clock)
    assert schedule.seconds_left() is None
    schedule.draw()
    schedule.draw()
    clock.now += 10
    schedule.finish(0, 0, 100)  # at 10 tokens a second
    left = schedule.seconds_left()
    assert left is not None
    assert left > 10, "what runs is longer than that already"
    schedule.draw()
    clock.now += 10
    schedule.finish(1, 0, 200)
    schedule.finish(1, 1, 100)
    assert schedule.seconds_left() == 0.0


def test_a_failed_sample_leaves_its_place_and_no_length() -> None:
    clock = Clock()
    schedule = Schedule([1000], [(0, range(4))], clock)
    before = schedule.expected(0)
    schedule.draw()
    clock.now += 10
    schedule.finish(0, 0, None)
    assert schedule.expected(0) == pytest.approx(before)
    assert schedule.seconds_left() is None
    schedule.finish(0, 3, 40)  # of an earlier execution: it was not drawn, so it tells no speed
    assert schedule.seconds_left() is None
    assert schedule.expected(0) < before


# Progress


def shown(progress: Progress, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    progress._print_line()
    return capsys.readouterr().err


def test_the_line_of_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    progress = Progress({"sums": 3, "b\x1b": 2}, quiet=True)
    trouble = [""]
    progress.follow(lambda: 1000.0, lambda: 59.6, lambda: trouble[0])
    with progress:
        assert capsys.readouterr().err == ""
    clock.now = 1010.0
    progress.add_completion(completed("p", completion_tokens=12_345, finish_reason="length"))
    progress.add_score(Score(0.0, "error", key=SampleKey("sums", "p", 0)))
    progress.add_finished("sums", completed("q"))
    trouble[0] = "2 replicas have died"
    line = "sums 2/3, score 0.0, cut 50.0%, 1 error | b\\x1b 0/2, score –, cut – | 1,234 tokens/s, ETA 0:01:00"
    assert shown(progress, capsys) == line + " | 2 replicas have died\n"
    progress.extend({"sums": 2, "b\x1b": 0})
    trouble[0] = ""
    assert shown(progress, capsys).endswith(" | 1 left to grade\n")
    progress.add_score(Score(1.0, "correct", key=SampleKey("sums", "q", 0)))
    assert shown(progress, capsys) == "sums 2/2, score 50.0, cut 50.0%, 1 error | b\\x1b 0/0, score –, cut – | done\n"


def test_progress_that_is_not_quiet_ends_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress({"sums": 0}, interval=3600):
        pass
    assert capsys.readouterr().err == "sums 0/0, score –, cut – | done\n"
    with Progress({"sums": 0}, quiet=True):
        pass
    assert capsys.readouterr().err == ""


def test_the_table_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    progress = Progress({"sums": 3, "x[red]": 1}, quiet=True)
    progress.follow(lambda: None, lambda: None, lambda: "[bold] trouble")
    progress.add_finished("sums", completed("p", finish_reason="length"))
    table = progress._table()
    assert [column.header for column in table.columns] == ["task", "done", "score", "cut", "errors"]
    assert [column.justify for column in table.columns] == ["left", "right", "right", "right", "right"]
    console = Console(file=io.StringIO(), width=60)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "│ sums   │  1/3 │     – │ 100.0% │      0 │" in text
    assert "│ x[red] │  0/1 │     – │      – │      0 │" in text
    assert "the engine is loading" in text
    assert "[bold] trouble" in text


def test_a_notebook_needs_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, object] = {"ipywidgets": object()}
    monkeypatch.setattr(progress_module, "find_spec", found.get)
    monkeypatch.delitem(__import__("sys").modules, "IPython", raising=False)
    assert not progress_module._in_notebook_with_widgets()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(__import__("sys").modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert progress_module._in_notebook_with_widgets()
    found.clear()
    assert not progress_module._in_notebook_with_widgets()
    found["ipywidgets"] = object()
    del shell.kernel
    assert not progress_module._in_notebook_with_widgets(), "a terminal"


# Early warnings


def watched(prefix: str = "auto", clock: Clock | None = None) -> EarlyWatch:
    return EarlyWatch(prefix, clock or Clock())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def fed(watch: EarlyWatch, count: int, text: str = "2", **fields: Any) -> EarlyWatch:
    for i in range(count):
        watch.add_completion(completed(str(i), text=text, **fields))
    return watch


def test_sixteen_responses_are_enough_or_four_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    watch = fed(watched(), 15)
    assert told(caplog) == []
    fed(watch, 1)
    (line,) = told(caplog)
    assert line.startswith("none of the first 16 responses thinks, and the response prefix ('")
    fed(watch, 40)
    watch.finish()
    assert told(caplog) == [], "once"
    fed(watched(), 3).finish()
    assert told(caplog) == []
    fed(watched(), 4).finish()
    assert told(caplog)[0].startswith("none of the first 4 responses thinks")


def test_after_45_seconds_four_are_enough(caplog: pytest.LogCaptureFixture) -> None:
    for seconds, count in ((45.0, 0), (45.1, 1)):
        clock = Clock()
        watch = fed(watched(clock=clock), 3)
        clock.now += seconds
        fed(watch, 1)
        assert len(told(caplog)) == count


def test_what_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    fed(watched(""), 16)
    assert told(caplog) == [], "thinking is not expected"
    fed(watched("<think>\n"), 16)
    assert len(told(caplog)) == 1
    fed(watched(), 16, "<think>a</think>b")
    fed(watched(), 16, "a</think>b", prefix="<think>\n")
    assert told(caplog) == []
    watch = fed(watched(), 15, finish_reason="length")
    fed(watch, 1, "<think>a</think>b", finish_reason="repetition")
    assert told(caplog) == ["all of the first 16 responses were cut at max_tokens or the end of the context"]
    fed(fed(watched(""), 15, finish_reason="length"), 1)
    assert told(caplog) == []
    fed(fed(watched(), 30, error="x", finish_reason="error"), 15)
    assert told(caplog) == [], "errors are no responses"
    fed(watched(), 16, "<deliberate>\nx\n</deliberate>\n2")
    (line,) = told(caplog)
    assert line.startswith("most responses open with '<deliberate>', which evalkit does not know as a thinking tag")
    late = "x" * 2001 + "<think>a</think>b"
    fed(watched(), 16, late)
    assert len(told(caplog)) == 1, "only the beginning is looked at"


def test_no_answer_among_the_first(caplog: pytest.LogCaptureFixture) -> None:
    def scored(count: int, status: Any = "no_answer", watch: EarlyWatch | None = None) -> EarlyWatch:
        watch = watch or watched()
        for i in range(count):
            watch.add_score(Score(0.0, status, key=SampleKey("sums", str(i), 0)))
        return watch

    line = "none of the first {} responses has an answer: look at them with `evalkit samples`"
    watch = scored(15, watch=scored(20, "error"))
    assert told(caplog) == []
    scored(1, watch=watch)
    assert told(caplog) == [line.format(16)]
    scored(99, watch=watch).finish()
    assert told(caplog) == []
    scored(16, watch=scored(1, "wrong"))
    assert told(caplog) == []
    scored(4).finish()
    assert told(caplog) == [line.format(4)]
    scored(3).finish()
    assert told(caplog) == []


# Throughput


def test_the_throughput_whole() -> None:
    clock = Clock()
    meter = Meter(3, (2.0, 30.0), clock)
    nothing = meter.result()
    assert (nothing.seconds, nothing.generated_tokens_per_second, nothing.cost, nothing.idle_seconds) == (
        0.0,
        0.0,
        0.0,
        0.0,
    )
    for at, seconds, prompt, generated, reason in (
        (1030.0, 10.0, 100, 50, "stop"),
        (1040.0, 5.0, None, 70, "repetition"),
        (1040.0, None, 10, None, "length"),
        (1060.0, 15.0, 5, 30, "repetition"),
    ):
        clock.now = at
        meter.add(Completion("sums", "p", 0, "", reason, prompt, generated, seconds))  # type: ignore[arg-type]
    assert meter.result(1020.0) == Throughput(
        completions=4,
        uncounted=2,
        prompt_tokens=115,
        generated_tokens=150,
        load_seconds=20.0,
        seconds=40.0,
        prompt_tokens_per_second=115 / 40,
        generated_tokens_per_second=150 / 40,
        mean_running=0.75,
        idle_seconds=10.0,
        repetitions=2,
        gpu_hours=3 * 60 / 3600,
        prices=(2.0, 30.0),
        cost=(115 * 2 + 150 * 30) / 1e6,
        prompts_uncounted=1,
        generated_uncounted=1,
    )
    free = Meter(clock=clock)
    clock.now += 1
    free.add(completed("p"))
    assert (free.result().gpu_hours, free.result().cost, free.result().prices) == (None, None, None)


# Shards


def test_shards_are_dealt_like_cards() -> None:
    """The longest text first, in rows of one for each shard, every other row backwards."""
    problems = [Problem("long", "x" * 9, ""), Problem("mid", "x" * 5, ""), Problem("short", "x", "")]
    whole = TaskPlan(sums(), problems, SamplingParams(n=2), TaskSpec("sums"))
    parts = [part_of([whole], Shard(i, 2))[0].indices for i in (1, 2)]
    assert parts == [{"long": [0], "mid": [1], "short": [0]}, {"long": [1], "mid": [0], "short": [1]}]
    three = [part_of([whole], Shard(i, 3))[0].indices for i in (1, 2, 3)]
    assert three == [
        {"long": [0], "mid": [], "short": [1]},
        {"long": [1], "mid": [], "short": [0]},
        {"long": [], "mid": [0, 1], "short": []},
    ]
    (alone,) = part_of([whole], Shard(1, 1))
    assert alone.indices == {key: [0, 1] for key in ("long", "mid", "short")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "'x' is not a shard."),
        ("1/2/3", "'1/2/3' is not a shard."),
        ("0/2", "There is no shard 0 of 2."),
        ("3/2", "There is no shard 3 of 2."),
        ("²/2", "'²/2' is not a shard."),
        ("/4", "The shard has no index, and SLURM_ARRAY_TASK_ID is not set."),
    ],
)
def test_what_is_no_shard(text: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    with pytest.raises(EvalkitError) as caught:
        read_shard(text)
    assert caught.value.message == told


def test_the_ends_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [read_shard(text) for text in (" 2/2 ", "1/2")] == [Shard(2, 2), Shard(1, 2)]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    monkeypatch.delenv("SLURM_ARRAY_TASK_MIN", raising=False)
    assert read_shard("/4") == Shard(4, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "odd")
    assert read_shard("/4") == Shard(4, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "3")
    assert read_shard("/4") == Shard(2, 4)


# Precision


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((None, 4, None, None), "--max-n is only for --precision."),
        ((1.0, None, 4, None), "--precision decides n, so -n cannot be set."),
        ((1.0, None, None, Shard(1, 2)), "A shard does not know what the others scored"),
        ((0.0, None, None, None), "--precision is 0 points, it has to be above 0 and below 50."),
        ((50.0, None, None, None), "--precision is 50 points"),
        ((1.0, 3, None, None), "--max-n is 3, but the pilot takes 4 completions."),
    ],
)
def test_what_does_not_go_with_precision(given: Any, told: str) -> None:
    with pytest.raises(EvalkitError) as caught:
        precision_of(*given)
    assert caught.value.message.startswith(told)


def test_the_precision_that_is_asked_for() -> None:
    assert precision_of(None, None, 8, Shard(1, 2)) is None
    assert precision_of(0.5, None, None, None) == Precision(0.005, 256)
    assert precision_of(49.9, 4, None, None) == Precision(0.499, 4)
    first = Precision(0.005, 256).pilot_of(plan(n=9, pilot=2, phases={"a": ((1, 1),)}))
    assert (first.params.n, first.pilot, first.phases) == (4, 4, {})


def halves(*outcomes: Sequence[int]) -> list[Halves]:
    return [Halves([float(v) for v in each[0::2]], [float(v) for v in each[1::2]]) for each in outcomes]


def test_the_length_of_the_pilot() -> None:
    even = halves([1, 0, 0, 1], [1, 1, 0, 0])
    reached = precision_module._reached(even)
    assert reached > 0
    for share, length in ((1.0, 4), (0.001, 24)):
        assert pilot_size(even, reached * share, 256) == length
    # 4 completions of each reach `reached`: a third of it needs 36, of which 3/8 are 13.5
    assert pilot_size(even, reached / 3, 256) == 14
    assert pilot_size(even, reached / 3, 7) == 6
    assert pilot_size(even, reached / 1000, 13) == 12


def test_the_sizes_of_the_next_phase() -> None:
    drawn = halves([1, 0, 0, 1], [1, 1, 1, 1], [1, 0, 1, 1])
    costs: list[tuple[Sequence[float], Sequence[float]]] = [([10.0, 10.0], [10.0, 10.0])] * 3
    reached = precision_module._reached(drawn)
    assert next_sizes(drawn, costs, 4, reached, 64) is None, "as precise as asked for"
    sizes = next_sizes(drawn, costs, 4, reached / 2, 64)
    assert sizes is not None
    assert all(first >= 2 and second >= 2 for first, second in sizes)
    assert sum(map(sum, sizes)) > 12
    assert max(map(max, sizes)) <= 32
    assert sizes[0][0] >= sizes[1][0], "more where the outcome is uncertain"
    assert next_sizes(drawn, costs, 4, reached / 2, 4) is None, "nothing can grow"
    assert next_sizes(drawn, costs, 4, reached / 1000, 8) == [(4, 4)] * 3
    assert precision_module._is_full([(4, 4), (5, 4)], 9)
    assert not precision_module._is_full([(4, 4), (5, 3)], 9)


def test_a_run_that_stays_imprecise_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    drawn = halves([1, 0, 0, 1], [1, 1, 1, 0])
    reached = precision_module._reached(drawn)
    same = plan()
    assert Precision(reached * 0.8, 8)._tell(same, drawn) is same
    assert [r.getMessage() for r in caplog.records] == [
        f"sums: the run-to-run interval is ±{100 * reached:.2f} points, wider than ±{80 * reached:.2f}: --max-n is 8"
    ]
    caplog.clear()
    Precision(reached * 1.001, 8)._tell(same, drawn)
    assert caplog.records == []
