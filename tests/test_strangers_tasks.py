"""What a stranger's task may get wrong: each fault is told in one sentence that names the task, and nothing is lost."""

import json
import re
import shutil
import textwrap
from pathlib import Path

import pytest
from helpers import REPOSITORY, evalkit, records, told, write_recorded

from evalkit import DatasetSpec, DataSource, Metric, Problem, SampleKey, Score, Task
from evalkit.benchmark.loading import load_problems
from evalkit.benchmark.registry import TaskSpec
from evalkit.errors import EvalkitError
from evalkit.grading import grade_choice, grade_math
from evalkit.results.own_metrics import NoReportError, own_metrics
from evalkit.run.contract import check_task

TASK = """
from evalkit import DatasetSpec, Metric, Problem, Score, Task
from evalkit.grading import grade_math

class Own(Task):
    name = "{name}"
    version = 1
    title = "Own"
    kind = "math"
    n = 1
    def load(self, source):
        return [Problem("1", "1 + 1?", "2"), Problem("2", "2 + 2?", "4")]
    def score(self, problem, response):
        return grade_math(response, problem.target)
"""
METRICS = "    def extra_metrics(self, problems, scores):\n        return "


def task_file(folder: Path, name: str = "own", old: str = "", new: str = "", more: str = "") -> Path:
    text = TASK.format(name=name)
    assert old in text
    path = folder / f"{name}.py"
    path.write_text(text.replace(old, new) + more if old else text + more)
    return path


def run(folder: Path, name: str, code: int = 0) -> tuple[str, str]:
    """Run the task file NAME.py on recorded answers. (stdout, stderr)"""
    recorded = write_recorded(folder / "recorded.jsonl", {"1": ["</think>\\boxed{2}"], "2": ["</think>\\boxed{5}"]})
    done = evalkit(
        *("run", "org/model", "-t", name, "--task-file", folder / f"{name}.py", "--engine", "replay"),
        *("--recorded", recorded, "-n", 1, "-o", folder / "results" / name, "--quiet"),
        code=code,
    )
    if code:
        told(done)
    return done.stdout, done.stderr


def broken(path: Path, name: str = "own") -> str:
    return "\n".join(
        f"{c.rule}: {c.detail}" for c in check_task(TaskSpec(name, str(path)), DataSource()) if c.passed is False
    )


class Metered(Task):
    name, version, title = "metered", 1, "Metered"

    def __init__(self, returned: object) -> None:
        self.returned = returned

    def load(self, source: DataSource) -> list[Problem]:
        return []

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")

    def extra_metrics(self, problems: object, scores: object) -> list[Metric]:
        return self.returned  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "returned None, not a list of Metric"),
        (3, "returned an int, not a list of Metric"),
        ("mine", "returned a str, not a list of Metric"),
        ({"mine": 3.0}, "returned a dict, not a list of Metric"),
        ([("mine", 3.0)], "returned a list with a tuple, not a Metric"),
        ([Metric("mine", None, 1, "%")], "whose value is None"),  # type: ignore[arg-type]
        ([Metric("mine", 3.0, 1, "points")], "whose unit is 'points'"),  # type: ignore[arg-type]
        ([Metric("mine", float("nan"), 1, "%")], "'mine', of which a number is not finite"),
        ([Metric("mine", 3.0, 1, "%", stderr_run=float("inf"))], "'mine', of which a number is not finite"),
        ((1 / 0 for _ in "a"), "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_metrics_that_are_none_are_told(returned: object, sentence: str) -> None:
    with pytest.raises(NoReportError, match=r"extra_metrics\(\) of the task metered") as caught:
        own_metrics(Metered(returned), [], {})
    assert sentence in caught.value.message
    assert "completions and scores are kept" in caught.value.hint


def test_metrics_with_the_numbers_of_numpy_are_stored_as_plain_ones() -> None:
    import numpy as np

    (found,) = own_metrics(Metered(Metric("mine", np.float32(0.5), np.int64(3), "%") for _ in "a"), [], {})  # type: ignore[arg-type]
    assert (type(found.value), type(found.n)) == (float, int)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ('[("mine", 3.0)]', "extra_metrics() of the task own returned a list with a tuple, not a Metric."),
        (
            '[Metric("mine", scores["x"], 1, "%")]',
            "extra_metrics() of the task own failed: KeyError: 'x' (own.py, line 16).",
        ),
        (
            '[Metric("mine", 50.0, 8, "%", interval_run=(60.0, 70.0))]',
            "extra_metrics() of the task own returned the metric 'mine', whose interval_run is from 60 to 70: "
            "the value, 50, is not in it.",
        ),
    ],
)
def test_a_run_whose_metrics_fail_is_left_out_and_kept(tmp_path: Path, returned: str, sentence: str) -> None:
    path = task_file(tmp_path, more=METRICS + returned + "\n")
    assert f"extra_metrics returns metrics: {sentence}" in broken(path)
    assert sentence in run(tmp_path, "own", code=2)[1]
    assert len(records(tmp_path / "results/own/own/completions.jsonl")) == 2
    assert len(records(tmp_path / "results/own/own/scores.jsonl")) == 2
    assert sentence in told(evalkit("score", tmp_path / "results/own", code=2))
    shutil.copytree(tmp_path / "results/own", tmp_path / "second")
    both = evalkit("score", tmp_path / "results/own", tmp_path / "second", code=2).stderr
    assert "2 of 2 runs are not graded" in both
    assert "hint: what each needs is told above" in both
    assert sentence in told(evalkit("leaderboard", tmp_path / "results", code=2)), "nothing is left to show"
    task_file(tmp_path, "good")
    run(tmp_path, "good")
    table = evalkit("leaderboard", tmp_path / "results")
    assert sentence in table.stderr
    assert f"not shown: {tmp_path}/results/own" in table.stderr
    assert "50.0" in table.stdout
    graded = evalkit("score", tmp_path / "results", code=2)
    assert told(graded) == f"1 of 2 runs are not graded as a whole: {tmp_path}/results/own."
    assert f"{tmp_path}/results/own: {sentence}" in graded.stderr
    assert "graded Own in " in graded.stderr, "the other run"
    task_file(tmp_path, more=METRICS + '[Metric("mine", 3.0, 1, "%")]\n')
    run(tmp_path, "own")  # the same command goes on when the task is repaired
    report = tmp_path / "results/own/own/report.json"
    written = json.loads(report.read_text())
    assert written["metrics"][-1]["name"] == "mine"
    written["metrics"][-1] |= {"value": 50.0, "interval_run": [60.0, 70.0]}  # as an earlier version has left it
    report.write_text(json.dumps(written))
    assert "+" not in evalkit("leaderboard", tmp_path / "results", "-m", "mine").stdout.partition("mine")[2]
    assert json.loads(report.read_text())["metrics"][-1]["value"] == 3.0
    assert len(records(tmp_path / "results/own/own/completions.jsonl")) == 2


@pytest.mark.slow
def test_a_run_whose_task_file_is_gone_does_not_hide_the_others(tmp_path: Path) -> None:
    for name in ("gone", "good"):
        task_file(tmp_path, name)
        run(tmp_path, name)
    (tmp_path / "gone.py").unlink()
    (tmp_path / "results/gone/gone/report.json").unlink()
    table = evalkit("leaderboard", tmp_path / "results")
    assert f"not shown: {tmp_path}/results/gone" in table.stderr
    assert "50.0" in table.stdout


@pytest.mark.slow
def test_a_score_that_is_none_is_told_with_what_to_return(tmp_path: Path) -> None:
    task_file(tmp_path, old="return grade_math(response, problem.target)", new="return problem.target in response")
    stderr = run(tmp_path, "own", code=1)[1]
    assert 'score() of own returned a bool, it has to return Score(1.0, "correct") or Score(0.0, "wrong")' in stderr
    assert "hint: repair score() of own and run the same command again" in stderr


@pytest.mark.slow
def test_a_headline_that_no_metric_has_is_told(tmp_path: Path) -> None:
    path = task_file(tmp_path, more='    headlines = ("pass@1", "cons@64", "no such metric")\n')
    assert broken(path) == "the headlines are metrics of the task: there is no metric 'no such metric'"
    sentence = "own has no metric 'no such metric', which its headlines name"
    assert sentence in run(tmp_path, "own")[1]
    assert sentence in evalkit("leaderboard", tmp_path / "results").stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ('kind = "math"', 'kind = "mathematics"', "the kind is one of math, choice, code, instructions, other"),
        ('title = "Own"', 'title = " "', "name, title and version are declared"),
        ('Problem("2"', 'Problem("1"', "problems 1 and 2 have the id '1'"),
        ('Problem("2"', 'Problem(""', "problem 2 has no id"),
        (
            "return grade_math(response, problem.target)",
            "return Score(0.5, 'wrong')",
            "1: the response '' is wrong with the value 0.5; 1: the response ' \\n\\t ' is wrong",
        ),
        (
            "return grade_math(response, problem.target)",
            "return Score(0.0, 'correct' if response.startswith('So') else 'wrong')",
            'score() of own returned Score(0, "correct"), which contradicts itself',
        ),
        (
            "return grade_math(response, problem.target)",
            "raise SystemExit(3)",
            "no answer causes a grader error: 1, 2: the grader failed: SystemExit: 3 (own.py, line 14)",
        ),
        (
            "return grade_math(response, problem.target)",
            "return Score(7.0, 'correct')",
            "1, 2: the grader failed: ValueError: a score's value has to lie in [0, 1], not 7.0 (own.py, line 14)",
        ),
        (
            "return grade_math(response, problem.target)",
            "return Score(0.0, 'wrong', 5)",
            "1, 2: the grader failed: answer of its score is 5: input should be a valid string",
        ),
        (
            "    n = 1\n",
            "    n = 1\n    def messages(self, problem): return 'hello'\n",
            "gives 'hello', not a list of messages",
        ),
        (
            "    n = 1\n",
            "    n = 1\n    def messages(self, problem): return [{'role': 'user'}]\n",
            "for problem '1' gives {'role': 'user'}, which is no message.",
        ),
        (
            "    n = 1\n",
            "    n = 1\n    def gold_response(self, problem): return {}['gold']\n",
            "gold_response() of the task own for problem '1' fails: KeyError: 'gold' (own.py, line 11)",
        ),
        (
            "    n = 1\n",
            "    n = 1\n    def gold_response(self, problem): return 4\n",
            "gold_response() gives a text or None: gold_response() of the task own for problem '1' gives 4, which",
        ),
        ('"4")]', '" ")]', "every problem has a right answer: 1 of 2 have none: 2"),
        (
            '"4")]',
            '"4", {"x": float("nan")})]',
            "the metadata of problem '2' (number 2) cannot be written as JSON: Out of",
        ),
    ],
)
def test_check_says_what_is_broken(tmp_path: Path, old: str, new: str, detail: str) -> None:
    assert detail in broken(task_file(tmp_path, old=old, new=new))


@pytest.mark.slow
def test_an_option_is_checked_too(tmp_path: Path) -> None:
    wrong = "from dataclasses import dataclass\n" + TASK.format(name="own").replace(
        "class Own", "@dataclass\nclass Own"
    ).replace("    version = 1\n", "    version = 1\n    odd: bool = False\n").replace(
        "problem.target)", "problem.target + '1' * self.odd)"
    )
    path = tmp_path / "own.py"
    path.write_text(wrong)
    assert "BROKEN" not in evalkit("tasks", "check", "own", "--task-file", path).stdout
    assert "BROKEN" in evalkit("tasks", "check", "own", "--task-file", path, "-T", "odd=true", code=2).stdout
    assert "has the option 'even=true'" in told(
        evalkit("tasks", "check", "own", "--task-file", path, "-T", "even=true", code=2)
    )


@pytest.mark.parametrize("command", [("run", "m", "-t", "own"), ("tasks", "check", "own"), ("tasks", "show", "own")])
def test_a_second_task_file_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    paths = [task_file(tmp_path, name) for name in ("own", "other")]
    done = evalkit(*command, "--task-file", paths[0], "--task-file", paths[1], code=2)
    assert told(done) == "--task-file was given 2 times, but takes one file."


def test_a_task_without_a_name_is_named(tmp_path: Path) -> None:
    path = task_file(tmp_path, old='name = "own"', new='name = ""')
    with pytest.raises(EvalkitError, match="The task class Own has the name ''"):
        TaskSpec("own", str(path)).create()


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "load() returned None, not a list of Problem"),
        (3, "load() returned an object of the type int, not a list of Problem"),
        ([("1", "2", "3")], "entry 1 of load() is of the type tuple, not a Problem"),
        ([Problem("r0", "1 + 1?", 2)], "the target of problem 'r0' (number 1) is of the type int, not text (str)"),  # type: ignore[arg-type]
    ],
)
def test_problems_that_are_none_are_told(returned: object, sentence: str) -> None:
    class Loading(Metered):
        def load(self, source: DataSource) -> list[Problem]:
            return self.returned  # type: ignore[return-value]

    with pytest.raises(EvalkitError) as caught:
        load_problems(Loading(returned), DataSource())
    assert sentence in caught.value.message
    assert caught.value.hint == "repair the task's load(), or its data."


def test_the_problems_with_equal_ids_are_named(tmp_path: Path) -> None:
    task_file(tmp_path, old='Problem("2"', new='Problem("1"')
    assert "The task own has equal ids: problems 1 and 2 have the id '1'." in run(tmp_path, "own", code=2)[1]


@pytest.mark.slow
def test_a_file_of_problems_is_found_beside_the_task_file(tmp_path: Path) -> None:
    load = 'return [Problem("1", "1 + 1?", "2"), Problem("2", "2 + 2?", "4")]'
    rows = 'return [Problem(**row) for row in source.rows(DatasetSpec.from_file("own.jsonl"))]'
    task_file(tmp_path, old=load, new=rows)
    assert f"There is no file {tmp_path}/own.jsonl or " in run(tmp_path, "own", code=2)[1]
    lines = [{"id": str(i), "prompt": f"{i} + {i}?", "target": str(2 * i)} for i in (1, 2)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert broken(tmp_path / "own.py") == ""
    run(tmp_path, "own")
    (data,) = json.loads((tmp_path / "results/own/run.json").read_text())["tasks"]["own"]["data"]
    assert data["source"] == str(tmp_path / "own.jsonl")
    evalkit("score", tmp_path / "results/own", cwd="/")


def test_a_relative_path_is_that_of_the_current_folder_where_the_task_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.jsonl").write_text('{"id": "1"}\n')
    monkeypatch.chdir(tmp_path)
    assert DataSource(beside=tmp_path / "task").rows(DatasetSpec.from_file("here.jsonl")) == [{"id": "1"}]


@pytest.mark.slow
def test_a_task_file_that_was_changed_is_told_from_one_that_was_never_run(tmp_path: Path) -> None:
    path = task_file(tmp_path)
    run(tmp_path, "own")
    path.write_text(path.read_text() + "# changed\n")
    assert "has changed since you ran it" in told(evalkit("score", tmp_path / "results/own", code=2))
    elsewhere = str(tmp_path / "another home")
    never = evalkit("score", tmp_path / "results/own", code=2, XDG_STATE_HOME=elsewhere)
    assert "which you have never run" in told(never)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["capitals", "keywords", "increments", "conversions"])
def test_the_tasks_of_the_page_pass_and_their_metrics_have_error_bars(tmp_path: Path, name: str) -> None:
    page = (REPOSITORY / "docs/adding-a-task.md").read_text()
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n)+", page, re.MULTILINE)]
    (code,) = [block for block in blocks if f"class {name.title()}(Task)" in block]
    if name == "conversions":
        code = code[: code.index("    def extra_metrics")]
        (metric,) = [block for block in blocks if "percent_metric" in block]
        imports, method = metric.split("    def extra_metrics")
        code = imports + code + "    def extra_metrics" + method
        (row,) = [block for block in blocks if block.strip().startswith('{"id": "1"')]
        (tmp_path / "conversions.jsonl").write_text(row.strip().splitlines()[0] + "\n")
    path = tmp_path / f"{name}.py"
    path.write_text(code)
    assert broken(path, name) == ""
    if name == "conversions":
        task = TaskSpec(name, str(path)).create()
        problems = load_problems(task, DataSource())
        (found,) = own_metrics(task, problems, {"1": [Score(1.0, "correct", metadata={"unit": True})] * 2})
        assert (found.value, found.interval_run is not None) == (100.0, True)


def test_metadata_is_the_sixth_of_a_score_and_a_key_is_named() -> None:
    score = Score(1.0, "correct", "4", "why", "rule", {"seen": True})
    assert (score.metadata, score.key) == ({"seen": True}, None)
    with pytest.raises(TypeError):
        Score(1.0, "correct", "4", "why", "rule", {}, SampleKey("t", "1", 0))  # type: ignore[call-arg]


def test_a_problem_without_a_right_answer_is_an_error_and_not_a_wrong_answer(tmp_path: Path) -> None:
    for gold in ("", " "):
        graded = [grade_math("The answer is \\boxed{4}.", gold), grade_choice("Answer: B", gold, ["x", "y"])]
        assert [(each.status, each.value) for each in graded] == [("error", 0.0)] * 2
        assert {each.explanation for each in graded} == {"the problem has no right answer to compare with"}
    task_file(tmp_path, "gap", '"4")]', '"")]')
    _, said = run(tmp_path, "gap", code=1)
    assert "the problem has no right answer to compare with" in said
    assert "hint: give each problem a right answer and run the same command again" in said


def test_a_suite_is_no_task_to_check() -> None:
    done = evalkit("tasks", "check", "r1", code=2)
    assert told(done) == "r1 is a suite."
    assert "name one of its tasks: aime24, math500, gpqa_diamond, livecodebench, codeforces" in done.stderr


def test_a_grader_that_raises_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    path = task_file(tmp_path, "raising", "return grade_math(response, problem.target)", 'return {}["käse"]')
    line = next(i for i, text in enumerate(path.read_text().splitlines(), start=1) if "käse" in text)
    _, said = run(tmp_path, "raising", code=1)
    assert f"KeyError: 'käse' (raising.py, line {line})" in said
    score = records(tmp_path / "results" / "raising" / "raising" / "scores.jsonl")[0]
    assert score["explanation"] == f"the grader failed: KeyError: 'käse' (raising.py, line {line})"
