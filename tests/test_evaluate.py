"""The whole main job from Python: `evaluate`, and the run that it returns."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import Arithmetic
from helpers import REPOSITORY, write_recorded

import evalkit
from evalkit import DataSource, EvalkitError, Problem, Run, Score, Task, evaluate, load_runs, rescore
from evalkit.benchmark.registry import trusted_list
from evalkit.engines.replay import ReplayEngine
from evalkit.grading import grade_math
from evalkit.run.evaluate import plan_run
from evalkit.run.planning import choose_tasks

TEN_LINES = REPOSITORY / "examples" / "ten_lines.py"


@pytest.fixture(scope="module")
def run(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("evaluate") / "run"
    return evaluate(tiny_checkpoint, "arithmetic", n=2, limit=4, max_tokens=64, output=output, progress=False)


def test_evaluate_returns_a_run(run: Run, tiny_checkpoint: Path) -> None:
    assert run.tasks == ["arithmetic"]
    assert (run.model, run.protocol) == (str(tiny_checkpoint), "deepseek-r1+max_tokens=64")
    report = run.report()
    assert (report.n, report.problems, report.samples) == (2, 4, 8)
    assert run.errors == {}
    metrics = {str(row["metric"]): row for row in run.metrics.to_dict("records")}
    pass_at_1 = metrics["pass@1"]
    assert pass_at_1["value"] == pytest.approx(100 * sum(sum(v) for v in report.values.values()) / 8)
    assert pass_at_1["run_low"] <= pass_at_1["value"] <= pass_at_1["run_high"]
    assert {row["unit"] for row in metrics.values()} == {"%"}


def test_the_samples_of_a_run(run: Run) -> None:
    problems = {p.id: p for p in Arithmetic().load(DataSource())}
    frame = run.samples("arithmetic")
    assert len(frame) == 8
    for row in frame.to_dict("records"):
        problem = problems[row["problem_id"]]
        assert (row["prompt"], row["gold"]) == (problem.prompt, problem.target)
        assert (row["status"] == "correct") == (row["answer"] == row["gold"])
        assert row["completion_tokens"] > 0
    (again,) = load_runs(run.path)
    assert again.samples()["prompt"].tolist() == frame["prompt"].tolist()
    assert "prompt" not in again.samples(prompts=False)
    with pytest.raises(EvalkitError, match="has no task 'aime24'"):
        run.samples("aime24")


def test_a_run_shows_itself_in_a_notebook(run: Run) -> None:
    page = run._repr_html_()
    assert "<table>" in page
    assert "Two-digit arithmetic" in page
    assert "<script" not in page


def test_the_same_call_resumes(run: Run, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run.path / "arithmetic" / "completions.jsonl"
    before = path.read_bytes()
    evaluate(tiny_checkpoint, ["arithmetic"], n=3, limit=4, max_tokens=64, output=run.path, progress=False)
    after = path.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 12
    assert rescore(run.path) == []
    assert capsys.readouterr().out == ""


def test_a_loaded_model_gives_the_completions_of_its_folder(run: Run, tiny_checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pair = (AutoModelForCausalLM.from_pretrained(tiny_checkpoint), AutoTokenizer.from_pretrained(tiny_checkpoint))
    before = pair[0].generation_config
    again = evaluate(pair, "arithmetic", n=2, limit=4, max_tokens=64, output=tmp_path / "run", progress=False)
    key = ["problem_id", "sample_index"]
    ours, theirs = (r.samples(prompts=False).query("sample_index < 2").sort_values(key) for r in (again, run))
    assert ours["response"].tolist() == theirs["response"].tolist()
    assert pair[0].generation_config is before
    assert pair[0].config._attn_implementation == "sdpa"
    with pytest.raises(EvalkitError, match="The vllm engine does not take a model that is loaded"):
        evaluate(pair, "arithmetic", engine="vllm", output=tmp_path / "other", progress=False)


@dataclass
class Doubles(Task):
    """A task that no other process can import by name, with an option."""

    name = "doubles"
    version = 1
    title = "Doubles"
    first: int = 1

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [Problem(str(i), f"Twice {i}?", str(2 * i)) for i in range(self.first, self.first + 3)]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)


def test_a_task_is_a_name_a_class_or_an_instance(tmp_path: Path) -> None:
    assert [one.spec.options for one in choose_tasks([Doubles, "arithmetic"])] == [{}, {}]
    (one,) = choose_tasks(Doubles(first=5))
    assert one.spec.options == {"first": "5"}
    assert one.spec.create().load(DataSource())[0].target == "10"
    (named,) = choose_tasks("arithmetic, arithmetic")
    assert named.spec.file is None
    recorded = write_recorded(tmp_path / "r.jsonl", {str(i): [f"\\boxed{{{2 * i}}}"] for i in (5, 6, 7)})
    options = {"recorded": str(recorded)}
    run = evaluate(
        "m", Doubles(first=5), n=1, engine="replay", engine_options=options, output=tmp_path / "run", progress=False
    )
    assert run.report().metrics[0].value == 100.0
    assert run.samples()["prompt"].tolist() == ["Twice 5?", "Twice 6?", "Twice 7?"]


def test_a_task_of_a_notebook_is_graded_in_its_process(tmp_path: Path) -> None:
    class Local(Doubles):
        name = "local"

    recorded = write_recorded(tmp_path / "r.jsonl", {str(i): [f"\\boxed{{{2 * i}}}"] for i in (1, 2, 3)})
    run = evaluate(
        "m",
        Local(),
        n=1,
        engine="replay",
        engine_options={"recorded": str(recorded)},
        output=tmp_path / "run",
        progress=False,
    )
    assert run.report().statuses["correct"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ""}, "No task was named"),
        ({"tasks": "arithmetic", "n": 0}, "n is 0"),
        ({"tasks": "arithmetic", "workers": 0}, "workers is 0"),
        ({"tasks": "arithmetic", "engine": "vlm"}, "There is no engine 'vlm'"),
        ({"tasks": "arithmetic", "task_options": ["x=1"]}, "No task of this run has the option 'x=1'"),
        ({"tasks": "arithmetic", "temperature": -1.0}, "temperature is -1.0"),
    ],
)
def test_mistakes_are_one_sentence(
    tiny_checkpoint: Path, tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(EvalkitError, match=message):
        evaluate(tiny_checkpoint, output=tmp_path, progress=False, **arguments)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": "2"}, "n is '2', it has to be a whole number."),
        ({"limit": True}, "limit is True, it has to be a whole number."),
        ({"temperature": "hot"}, "temperature is 'hot', it has to be a number."),
        ({"engine": ReplayEngine}, "engine is <class 'evalkit.engines.replay.ReplayEngine'>, it has to be a text."),
        ({"tasks": 5}, "tasks is 5."),
        ({"model": None}, "The model is None."),
    ],
)
def test_an_argument_of_another_type_is_refused(arguments: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError) as raised:
        evaluate(**{"model": "m", "tasks": "arithmetic", "engine": "replay", "results": tmp_path / "r", **arguments})
    assert raised.value.message == sentence
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("argument", "sentence", "hint"),
    [
        ("limt", "There is no argument 'limt'. Did you mean limit?", "see help(evalkit.evaluate)."),
        ("max_token", "There is no argument 'max_token'. Did you mean max_tokens?", "see help(evalkit.evaluate)."),
        ("base_url", "There is no argument 'base_url'.", "engine_options={'base_url': …}"),
    ],
)
def test_an_argument_that_there_is_not_is_refused(argument: str, sentence: str, hint: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {argument: 3}
    for call in (evalkit.evaluate, plan_run):
        with pytest.raises(EvalkitError) as caught:
            call("m", "arithmetic", **given)
        assert caught.value.message == sentence
        assert hint in caught.value.hint


def test_every_public_name_is_listed() -> None:
    assert {"evaluate", "import_run", "Run", "__version__"} <= set(dir(evalkit))
    assert all(hasattr(evalkit, name) for name in dir(evalkit))


@pytest.mark.slow
def test_ten_lines_from_a_checkpoint_to_a_plot(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TEN_LINES, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pass_at_k.png").stat().st_size > 5000
    assert len([line for line in TEN_LINES.read_text().splitlines() if line.strip()]) <= 10


@pytest.mark.slow
def test_mypy_infers_the_types_of_the_ten_lines(tmp_path: Path) -> None:
    script = tmp_path / "typed.py"
    script.write_text(
        TEN_LINES.read_text() + "\nreveal_type(run)\nreveal_type(run.metrics)\nreveal_type(run.report())\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=600)
    assert done.returncode == 0, done.stdout
    revealed = [line.split("Revealed type is ")[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert ["Run" in revealed[0], "DataFrame" in revealed[1], "Report" in revealed[2]] == [True] * 3


@pytest.mark.slow
def test_reading_a_run_does_not_run_its_task_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    source = Path(__file__).read_text()
    doubles = source[source.index("@dataclass\nclass Doubles") : source.index("def test_a_task_is_a_name")]
    file.write_text("from dataclasses import dataclass\nfrom collections.abc import Sequence\n"
                    "from evalkit import *\nfrom evalkit.grading import grade_math\n" + doubles)  # fmt: skip
    recorded = write_recorded(tmp_path / "r.jsonl", {str(i): [f"\\boxed{{{2 * i}}}"] for i in (1, 2, 3)})
    options = {"recorded": str(recorded)}
    run = evaluate(
        "m", "doubles", task_file=file, engine="replay", engine_options=options, output=tmp_path / "run", progress=False
    )
    (run.path / "doubles" / "report.json").unlink()
    assert run.report().problems == 3  # what this user has run is trusted
    (run.path / "doubles" / "report.json").unlink()
    ran = tmp_path / "ran"
    file.write_text(f"open({str(ran)!r}, 'w')\n" + file.read_text())
    with pytest.raises(EvalkitError, match="has changed since you ran it"):
        run.report()
    assert not ran.exists()
    assert trusted_list().is_file()
