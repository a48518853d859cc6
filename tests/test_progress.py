"""What a long run shows: where it stands, how fast it goes, when it will end."""

import io
import re
import time
from pathlib import Path

import nbclient
import nbformat
import pytest
from evalkit_tasks.arithmetic import Arithmetic
from helpers import evalkit
from test_schedule import load_benchmark

from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.results.compare_words import points
from evalkit.results.metrics import with_error_bars
from evalkit.run.progress import Progress
from evalkit.run.queue import RequestQueue, TaskPlan
from evalkit.stats.percent import mean_metric
from evalkit.types import Completion, Problem, SampleKey, SamplingParams, Score


def completion(problem: str, tokens: int, reason: str = "stop") -> Completion:
    return Completion("a", problem, 0, "", reason, 1, tokens, 1.0)  # type: ignore[arg-type]


def score(problem: str, value: float) -> Score:
    return Score(value, "correct" if value else "wrong", key=SampleKey("a", problem, 0))


def test_the_line_of_a_pipe_says_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.StringIO()
    monkeypatch.setattr("sys.stderr", lines)
    first: list[float | None] = [None]
    left = [3725.4]
    progress = Progress({"a": 4}, interval=3600)

    def shown() -> str:
        progress._print_line()
        return lines.getvalue().splitlines()[-1]

    with progress:
        assert shown() == "a 0/4, score –, cut – | the engine is loading"
        progress.follow(lambda: first[0], lambda: left[0])
        assert shown().endswith("the engine is loading")
        first[0] = time.monotonic() - 50
        assert shown().endswith("no completion has finished yet")
        progress.add_completion(completion("p0", 4500))
        progress.add_completion(completion("p1", 500, "length"))
        progress.add_score(score("p0", 1.0))
        progress.add_score(score("p1", 0.0))
        found = re.fullmatch(r"a 2/4, score 50.0, cut 50.0% \| (\d+) tokens/s, ETA 1:02:05", shown())
        assert found
        assert 80 <= int(found[1]) <= 100
        left[0] = 1.0
        assert shown().endswith("tokens/s, ETA 0:00:01")
        left[0] = 0.9  # the rest takes longer than what has ended did
        assert shown().endswith("tokens/s, longer than expected")
        begun, first[0] = first[0], time.monotonic() - 2
        assert shown().endswith(" tokens/s"), "too early to say"
        first[0] = begun
        progress.add_completion(completion("p2", 1))
        progress.add_completion(completion("p3", 1))
        assert shown().endswith("2 left to grade")
        progress.add_score(score("p2", 1.0))
        progress.add_score(score("p3", 1.0))
    assert lines.getvalue().splitlines()[-1] == "a 4/4, score 75.0, cut 25.0% | done"


def test_an_error_is_counted_once_and_before_it_is_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.StringIO()
    monkeypatch.setattr("sys.stderr", lines)
    progress = Progress({"a": 4}, interval=3600)
    failed = Completion("a", "p0", 0, "", "error", 1, 0, 1.0, error="the server fell over")
    with progress:
        progress.add_completion(failed)
        progress._print_line()
        assert "a 1/4, score –, cut 0.0%, 1 error |" in lines.getvalue()
        progress.add_score(Score(0.0, "error", key=failed.key))
        progress.add_completion(completion("p1", 5))
        progress.add_score(Score(0.0, "error", key=SampleKey("a", "p1", 0)))
    assert "a 2/4, score 0.0, cut 0.0%, 2 errors |" in lines.getvalue().splitlines()[-1]


def test_the_progress_and_the_table_print_one_figure() -> None:
    """51 of 80 is 63.75, and 100 * (51 / 80) is 63.74999999999999."""
    progress = Progress({"a": 80}, quiet=True)
    for i in range(80):
        progress.add_score(score(f"p{i}", float(i < 51)))
    found = mean_metric("pass@1", [[float(i < 51)] for i in range(80)])
    assert (progress.tasks["a"].score(), found.value) == (63.75, 63.75)
    assert progress._cells("a")[1] == with_error_bars(found).split()[0] == points(51 / 80, signed=False) == "63.8"
    assert mean_metric("pass@1", [[1.0, 0.0, 1.0]]).value == 100 * (2 / 3)


def test_a_line_comes_though_nothing_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.StringIO()
    monkeypatch.setattr("sys.stderr", lines)
    with Progress({"a": 1}, interval=0.01):
        deadline = time.monotonic() + 100
        while lines.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert lines.getvalue().count("the engine is loading") >= 3


@pytest.mark.slow
def test_the_command_tells_plan_progress_and_what_it_cost(tmp_path: Path) -> None:
    checkpoint = "examples/tiny_distill/student-distilled"
    done = evalkit(
        *("run", checkpoint, "-t", "arithmetic", "--limit", 8, "-n", 2, "--max-tokens", 32, "-o", tmp_path / "run"),
        *("--device", "cpu", "--price", 0.5, 2),
    )
    assert "arithmetic 8 x 2: 16 completions to generate, 0 already on disk" in done.stderr
    assert re.search(r"arithmetic 16/16, score [\d.]+, cut [\d.]+% \| done", done.stderr)
    assert re.search(
        r"16 completions in \d+ s after \d+ s of loading, [\d,]+ generated and [\d,]+ prompt tokens/s, \d+ requests "
        r"running on average, idle \d+ s, cost [\d.e-]+ at 0.5 and 2 per million prompt and generated tokens",
        done.stderr,
    )


@pytest.mark.parametrize("slots", [32, 96])
def test_the_time_left_is_right_within_a_quarter_from_the_first_hundredth_on(slots: int) -> None:
    """In the simulated engine of benchmarks/scheduling.py; a pace by completions is wrong by a factor of 2 to 4."""
    scheduling = load_benchmark("scheduling")
    lengths = {name: rows[:60] for name, rows in scheduling.world(1, 0.8, 0.45).items()}
    times: list[tuple[float, float | None]] = []

    def watch(now: float, queue: RequestQueue) -> None:
        if len(queue) % 50 == 0:
            times.append((now, queue.seconds_left()))

    end = scheduling.evalkit_queue(lengths, slots, watch)
    shares = [left / (end - now) for now, left in times if left is not None and 0.01 < now / end < 0.9]
    assert len(shares) > 20
    assert all(0.75 < share < 1.25 for share in shares), (min(shares), max(shares))


def test_no_time_is_told_before_anything_has_ended() -> None:
    plan = TaskPlan(Arithmetic(), [Problem("p", "", "")], SamplingParams(n=2, max_tokens=100), TaskSpec("arithmetic"))
    now = 0.0
    queue = RequestQueue([plan], Protocol("", ""), clock=lambda: now)
    assert (queue.first_draw, queue.seconds_left()) == (None, None)
    now = 5.0
    request = next(queue)
    assert (queue.first_draw, queue.seconds_left()) == (5.0, None)
    now = 15.0
    queue.observe(Completion(*request.key, "", "stop", 1, 50, 10.0))
    left = queue.seconds_left()
    assert left is not None
    assert 5 < left <= 20  # about 50 tokens, at most 100, at 5 a second


NOTEBOOK = """
import importlib.util, sys, warnings
warnings.simplefilter("error")
find = importlib.util.find_spec
import evalkit.run.progress as module
module.find_spec = lambda name: None if name == "ipywidgets" else find(name)
with module.Progress({"a": 1}):
    pass
"""


@pytest.mark.slow
def test_a_notebook_without_ipywidgets_gets_lines_and_no_warning() -> None:
    cell = nbformat.v4.new_code_cell(NOTEBOOK)  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(notebook, timeout=300).execute()
    outputs = notebook.cells[0].outputs
    assert [output.name for output in outputs] == ["stderr"]
    assert outputs[0].text == "a 0/1, score –, cut – | the engine is loading\n"
