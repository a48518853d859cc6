"""Faulty tasks, and plug-ins that take the name of another: each is told in one sentence before anything is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems
from helpers import evalkit, told, write_recorded

from evalkit import DataSource, Metric, Problem, Score, Task, evaluate
from evalkit.benchmark.declared import declared_faults, require_declared
from evalkit.benchmark.registry import TaskSpec, load_task_file
from evalkit.engines.registry import load_engine_file
from evalkit.errors import EvalkitError
from evalkit.results.own_metrics import NoReportError, own_metrics
from evalkit.run.scoring import Scorer
from evalkit.types import Completion

TASK = """
from evalkit import Problem, Score, Task

class Faulty(Task):
    name = "faulty"
    version = 1
    title = "Faulty"
    def load(self, source):
        return [Problem("1", "1 + 1?", "2")]
    def score(self, problem, response):
        return Score(0.0, "wrong")
"""


class Sound(Task):
    name, version, title = "faulty", 1, "Faulty"

    def load(self, source: DataSource) -> list[Problem]:
        return [Problem("1", "1 + 1?", "2")]

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("version", "1.0", "version is '1.0', not a whole number"),
        ("version", True, "version is True, not a whole number"),
        ("title", 5, "title is 5, not a text that is not empty"),
        ("kind", "maths", "kind is 'maths', not one of math, choice"),
        ("n", "4", "n is '4', not a whole number of 1 or more"),
        ("n", 0, "n is 0, not a whole number of 1 or more"),
        ("score_timeout", "5", "score_timeout is '5', not a number of seconds above 0"),
        ("aliases", "abc", "aliases is 'abc', not a tuple of texts"),
        ("headlines", "pass@1", "headlines is 'pass@1', not a tuple of names of metrics"),
        ("unsafe_options", "sandbox", "unsafe_options is 'sandbox', not a tuple"),
        ("rows", "3", "rows is '3', not a whole number or None"),
        ("targets_sha256", 3, "targets_sha256 is 3, not a text or None"),
        ("dataset", "org/name", "dataset is 'org/name', not a DatasetSpec or None"),
        ("prompt", "Solve: {question}", "its prompt has no {problem}: 'Solve: {question}'"),
        ("prompt", 3, "prompt is 3, not a text"),
        ("score", None, "score is None, not a method"),
    ],
)
def test_a_faulty_attribute_is_named_and_nothing_is_written(
    tmp_path: Path, name: str, value: object, sentence: str
) -> None:
    made: type[Task] = type("Faulty", (Sound,), {name: value})
    assert sentence in declared_faults(made)[name]
    with pytest.raises(EvalkitError) as caught:
        evaluate("m", made, engine="replay", engine_options={"recorded": "none"}, output=tmp_path / "run")
    assert "The task faulty cannot be used: " in caught.value.message
    assert sentence.removeprefix(name).split(" is ")[-1] in caught.value.message
    assert not (tmp_path / "run").exists()


def test_what_is_missing_or_computed() -> None:
    class Nothing(Task):
        name = "nothing"

    class Computed(Sound):
        @property
        def rows(self) -> int:  # type: ignore[override]
            return 1

        def messages(self, problem: Problem) -> list[Any]:
            return [{"role": "user", "content": problem.prompt}]

        prompt = "written by messages()"

    missing = ["version", "title", "load", "score"]
    assert list(declared_faults(Nothing)) == missing
    assert declared_faults(Computed) == declared_faults(Computed()) == {}
    require_declared(Computed())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('    title = "Faulty"\n', "", "it has no title"),
        ("    version = 1\n", "    version = '1.0'\n", "version is '1.0', not a whole number"),
        ("    def score", "    def grade", "it has no score()"),
        ("    version = 1\n", "    version = 1\n    aliases = 'abc'\n", "its aliases are 'abc', not a tuple of texts"),
        (
            "    version = 1\n",
            "    version = 1\n    def __init__(self, x): ...\n",
            "The task faulty cannot be made",
        ),
        ('"2")]', '"2", {"s": {1}})]', "the metadata of problem '1' (number 1) cannot be written as JSON"),
        (
            "    def load",
            "    def messages(self, p): return 'x'\n    def load",
            "gives 'x', not a list of messages",
        ),
        (
            "    def load",
            "    def messages(self, p): 1 / 0\n    def load",
            "division by zero (faulty.py, line 8)",
        ),
    ],
)
def test_every_command_tells_a_faulty_task_in_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "faulty.py"
    assert old in TASK
    path.write_text(TASK.replace(old, new))
    recorded = write_recorded(tmp_path / "r.jsonl", {"1": ["x"]})
    replay = ("--engine", "replay", "--recorded", recorded, "-o", tmp_path / "run")
    assert sentence in told(evalkit("run", "m", "-t", "faulty", "--task-file", path, *replay, code=2))
    assert not (tmp_path / "run").exists()
    checked = evalkit("tasks", "check", "faulty", "--task-file", path, code=2)
    told(checked)
    assert sentence in checked.stdout + checked.stderr
    if "__init__" not in new and "metadata" not in sentence and "messages" not in new:
        assert sentence in told(evalkit("tasks", "show", "faulty", "--task-file", path, code=2))


@pytest.mark.slow
def test_a_field_that_is_not_filled_in_is_told_by_run_and_check(tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(
        TASK.replace("    version", '    prompt = "{problem} in {unit}, in \\\\boxed{answer}"\n    version')
    )
    recorded = write_recorded(tmp_path / "r.jsonl", {"1": ["x"]})
    done = evalkit(
        *("run", "m", "-t", "faulty", "--task-file", path, "--engine", "replay", "--recorded", recorded, "--dry-run")
    )
    assert "The prompt of faulty holds {unit}, which a model reads as it is" in done.stderr
    assert "{unit} stays as it is" in evalkit("tasks", "check", "faulty", "--task-file", path, code=2).stdout


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ([Metric("pass@1", 99.0, 2, "%")], "'pass@1', which evalkit computes itself"),
        ([Metric("cons@7", 99.0, 2, "%")], "'cons@7', which evalkit computes itself"),
        ([Metric("peer", 99.0, 2, "%")], "'peer', which evalkit computes itself"),
        ([Metric("k", 2, 2, "count"), Metric("k", 3, 2, "%")], "two metrics named 'k'"),
        ([Metric("big", 250.0, 2, "%")], "'big', which is 250 %: a share is from 0 to 100"),
        ([Metric("small", -1.0, 2, "%")], "'small', which is -1 %"),
        ([Metric(" ", 3.0, 2, "%")], "a Metric without a name"),
    ],
)
def test_metrics_that_mislead_are_refused(returned: list[Metric], sentence: str) -> None:
    class Metered(Sound):
        def extra_metrics(self, problems: object, scores: object) -> list[Metric]:
            return returned

    with pytest.raises(NoReportError) as caught:
        own_metrics(Metered(), [], {})
    assert sentence in caught.value.message


def test_a_share_of_all_is_not_refused_for_its_last_bit() -> None:
    class Metered(Sound):
        def extra_metrics(self, problems: object, scores: object) -> list[Metric]:
            return [Metric("all", 100.00000000000001, 2, "%"), Metric("none", -1e-12, 2, "%")]

    assert len(own_metrics(Metered(), [], {})) == 2


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (lambda: Score(1.0, "wrong"), 'score() of faulty returned Score(1, "wrong")'),
        (lambda: Score(0.0, "correct"), 'score() of faulty returned Score(0, "correct")'),
    ],
)
def test_a_grader_that_contradicts_itself_is_told(score: Callable[[], Score], sentence: str) -> None:
    class Graded(Sound):
        def score(self, problem: Problem, response: str) -> Score:
            return score()

    scorer = Scorer([(TaskSpec("faulty"), Graded())], workers=1, local=["faulty"])
    scorer.submit(Problem("1", "?", "2"), Completion("faulty", "1", 0, "x", "stop", 1, 1, 0.0))
    (found,) = scorer.results(wait=True)
    scorer.close()
    assert found.status == "error"
    assert sentence in found.explanation


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (TASK + TASK.replace("class Faulty", "class Other"), "has two tasks named faulty: Faulty and Other"),
        (TASK.replace('"faulty"', '"a,b"'), "The task class Faulty has the name 'a,b'"),
        (TASK.replace('"faulty"', '"a/b"'), "The task class Faulty has the name 'a/b'"),
    ],
)
def test_names_of_a_task_file(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "tasks.py").write_text(content)
    with pytest.raises(EvalkitError) as caught:
        load_task_file(tmp_path / "tasks.py")
    assert sentence in caught.value.message


def test_a_base_class_with_the_name_of_its_subclass_is_no_second_task(tmp_path: Path) -> None:
    base = "from evalkit import Task\nclass Base(Task):\n    name = 'faulty'\n    version = 1\n"
    (tmp_path / "tasks.py").write_text(base + TASK.replace("(Task)", "(Base)").replace('    name = "faulty"\n', ""))
    assert load_task_file(tmp_path / "tasks.py")["faulty"].__qualname__ == "Faulty"


ENGINE = """
from dataclasses import dataclass
from evalkit.engines import Engine
@dataclass(frozen=True)
class Options:
    x: int = 1
class Mine(Engine):
    name = "mine"
    options_class = Options
    def identity(self): return {}
    def generate(self, requests): yield from ()
"""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (ENGINE.replace('"mine"', '"replay"'), "has the name replay, which is that of evalkit's own engine"),
        (ENGINE + ENGINE.replace("class Mine", "class Other"), "has two engines named mine: Mine and Other"),
    ],
)
def test_names_of_an_engine_file(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "engines.py").write_text(content)
    with pytest.raises(EvalkitError) as caught:
        load_engine_file(tmp_path / "engines.py")
    assert sentence in caught.value.message


@pytest.fixture
def greedy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package that registers evalkit's own names, and a task without a title."""
    plugin = TASK.replace('"faulty"', '"arithmetic"') + TASK.replace("class Faulty", "class NoTitle").replace(
        '    name = "faulty"\n', '    name = "no_title"\n'
    ).replace('    title = "Faulty"\n', "")
    plugin += TASK.replace("class Faulty", "class Hidden").replace('"faulty"', '"math500"')
    plugin += "\nfrom evalkit import Protocol\nP = Protocol('deepseek-r1', source='me')\nS = ('arithmetic',)\n"
    plugin += "from evalkit.importers.lm_eval import LmEval\nclass Mine(LmEval): pass\n"
    (tmp_path / "greedy_plugin.py").write_text(plugin)
    info = tmp_path / "greedy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy-plugin\nVersion: 1.0\n")
    names = {
        "tasks": {"Arithmetic": "Faulty", "no_title": "NoTitle", "other": "Hidden"},
        "suites": {"r1": "S"},
        "protocols": {"open-r1": "P", "mine": "P"},
        "importers": {"lm_eval": "Mine"},
    }
    lines = [
        f"[evalkit.{group}]\n" + "".join(f"{name} = greedy_plugin:{of}\n" for name, of in each.items())
        for group, each in names.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-t", "arithmetic"), "Two packages register the task arithmetic: evalkit and greedy-plugin."),
        (("-t", "r1"), "Two packages register the suite r1: evalkit and greedy-plugin."),
        (("-t", "other"), "Two packages register the task math500: evalkit and greedy-plugin."),
        (("-t", "aime24", "--protocol", "open-r1"), "Two packages register the protocol open-r1: evalkit and"),
        (("-t", "aime24", "--protocol", "mine"), "Two packages register the protocol deepseek-r1: evalkit and"),
        (("-t", "no_title"), "The task no_title cannot be used: it has no title."),
    ],
)
def test_no_package_replaces_what_evalkit_has(
    greedy_package: None, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    recorded = write_recorded(tmp_path / "r.jsonl", {"1": ["x"]})
    done = evalkit("run", "m", *arguments, "--engine", "replay", "--recorded", recorded, "-o", tmp_path / "run", code=2)
    assert sentence in told(done)


@pytest.mark.slow
def test_the_lists_go_on_after_a_faulty_plug_in(greedy_package: None) -> None:
    listed = evalkit("tasks")
    assert "The task no_title cannot be used: it has no title. It is skipped." in listed.stderr
    assert "Two packages register the suite r1" in listed.stderr
    assert "math500" in listed.stdout
    assert "suite: gsm8k" in listed.stdout
    assert "deepseek-r1" in evalkit("protocols").stdout
    formats = evalkit("import", "--formats")
    assert "Two packages register the importer lm_eval: evalkit and greedy-plugin. It is skipped." in formats.stderr
    assert "lighteval" in formats.stdout


@pytest.mark.slow
@pytest.mark.parametrize("installed_first", [True, False])
def test_two_tasks_of_one_name_are_two_runs(tmp_path: Path, installed_first: bool) -> None:
    own = TASK.replace('"faulty"', '"arithmetic"')
    own = own.replace('Score(0.0, "wrong")', 'Score(1.0, "correct", answer="2")')
    (tmp_path / "own.py").write_text(own)
    problems = arithmetic_problems()[:3]
    recorded = write_recorded(
        tmp_path / "r.jsonl", {p.id: ["</think>x"] * 2 for p in problems} | {"1": ["</think>x"] * 2}
    )

    def run(results: str, *more: object, code: int = 0) -> Any:
        replay = ("--engine", "replay", "--recorded", recorded, "--results", tmp_path / results, "--quiet")
        return evalkit("run", "m", "-t", "arithmetic", "-n", 2, *more, *replay, code=code)

    both: list[tuple[object, ...]] = [("--limit", 3), ("--task-file", tmp_path / "own.py")]
    first, second = both if installed_first else both[::-1]
    run("same", *first)
    refused = run("same", *second, code=2)
    assert "has another task named arithmetic" in told(refused)
    if installed_first:
        assert "The task arithmetic is that of" in refused.stderr
    (report,) = (tmp_path / "same").glob("*/*/arithmetic/report.json")
    assert json.loads(report.read_text())["problems"] == (3 if installed_first else 1)
    run("other", *second)
    table = evalkit("leaderboard", tmp_path / "same", tmp_path / "other").stdout
    assert "Two-digit arithmetic" in table
    told_of_it = " ".join(table.split())
    assert "another task of that name" in told_of_it
    assert "its title is Faulty" in told_of_it


@pytest.mark.slow
def test_other_problems_in_a_file_of_the_same_name_are_another_task(tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    recorded = write_recorded(tmp_path / "r.jsonl", {"1": ["x"], "2": ["x"]})
    command = ("run", "m", "-t", "faulty", "--task-file", path, "--engine", "replay", "--recorded", recorded)
    path.write_text(TASK)
    evalkit(*command, "-o", tmp_path / "run")
    path.write_text(TASK.replace('Problem("1", "1 + 1?", "2")', 'Problem("2", "2 + 2?", "4")'))
    assert "has none of the problems that are asked for" in told(evalkit(*command, "-o", tmp_path / "run", code=2))
    path.write_text(TASK.replace("[Problem(", '[Problem("2", "2 + 2?", "4"), Problem('))
    evalkit(*command, "-o", tmp_path / "run")  # more problems of the same task


@pytest.mark.slow
def test_the_hint_of_a_task_file_that_is_gone_names_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(TASK)
    recorded = write_recorded(tmp_path / "r.jsonl", {"1": ["x"]})
    replay = ("--engine", "replay", "--recorded", recorded, "-o", tmp_path / "run")
    evalkit("run", "m", "-t", "faulty", "--task-file", path, *replay)
    path.rename(tmp_path / "renamed.py")
    gone = evalkit("score", tmp_path / "run", code=2)
    assert f"evalkit score {tmp_path}/run --task-file FILE.py" in gone.stderr
    evalkit("score", tmp_path / "run", "--task-file", tmp_path / "renamed.py")


def test_an_identity_that_is_no_json_is_told(tmp_path: Path) -> None:
    engine = tmp_path / "mine.py"
    with_model = "    def __init__(self, model, options): self.options = options\n    def identity"
    engine.write_text(ENGINE.replace("    def identity", with_model).replace("return {}", 'return {"x": {1, 2}}'))
    with pytest.raises(EvalkitError, match=r"The identity\(\) of the engine mine cannot be written as JSON: Object"):
        evaluate("m", Sound, engine_file=engine, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()
