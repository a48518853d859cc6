"""Finding tasks and protocols by name, by file, by a slip of the keyboard."""

import json
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems
from helpers import evalkit, package, told, write_recorded

from evalkit import DataSource, EvalkitError
from evalkit.benchmark.protocols import available_protocols, find_protocol
from evalkit.benchmark.registry import TaskSpec, find_task_class, installed_tasks, load_task_file

OPTIONS_TASK = """
from dataclasses import dataclass
from evalkit import Problem, Score, Task

@dataclass
class WithOptions(Task):
    name = "with_options"
    version = 1
    title = "With options"
    window: str | None = None
    repeats: int = 1
    strict: bool = False

    def load(self, source):
        return [Problem(str(i), "?", "!") for i in range(self.repeats)]

    def score(self, problem, response):
        return Score(1.0, "correct")
"""


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("aime24", "aime24"),
        ("AIME_2024", "aime24"),
        ("aime", "aime24"),
        ("MATH_500", "math500"),
        ("MATH-500", "math500"),
        ("gpqa", "gpqa_diamond"),
        ("GPQA-Diamond", "gpqa_diamond"),
        ("arithmetic", "arithmetic"),
    ],
)
def test_spellings_land(spelling: str, name: str) -> None:
    assert find_task_class(spelling, installed_tasks()).name == name


@pytest.mark.parametrize(("slip", "meant"), [("amie24", "aime24"), ("gpqq", "gpqa_diamond"), ("mth500", "math500")])
def test_slips_are_answered_with_the_nearest(slip: str, meant: str) -> None:
    with pytest.raises(EvalkitError, match=f"There is no task '{slip}'. Did you mean {meant}"):
        find_task_class(slip, installed_tasks())


def test_a_task_file_with_options(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OPTIONS_TASK)
    task: Any = TaskSpec("with_options", str(path), {"repeats": "3", "window": "none", "strict": "true"}).create()
    assert (task.repeats, task.window, task.strict) == (3, None, True)
    with pytest.raises(EvalkitError, match=r"has no option 'repeat'\. Did you mean repeats"):
        TaskSpec("with_options", str(path), {"repeat": "3"}).create()
    with pytest.raises(EvalkitError, match="The option repeats='x' of with_options is invalid"):
        TaskSpec("with_options", str(path), {"repeats": "x"}).create()
    with pytest.raises(EvalkitError, match="has no option 'window'"):
        TaskSpec("aime24", None, {"window": "x"}).create()


@pytest.mark.parametrize(
    ("content", "message"),
    [("1/0", "cannot be imported: ZeroDivisionError"), ("x = 1", "defines no Task"), ("def", "SyntaxError")],
)
def test_broken_task_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(EvalkitError, match=message):
        load_task_file(tmp_path / "broken.py")


def test_a_missing_task_file() -> None:
    with pytest.raises(EvalkitError, match="There is no task file"):
        load_task_file(Path("nowhere.py"))


def test_the_default_protocol_is_the_papers() -> None:
    r1 = available_protocols()["deepseek-r1"]
    assert (r1.temperature, r1.top_p, r1.top_k, r1.max_tokens) == (0.6, 0.95, None, 32768)
    assert (r1.system_prompt, r1.response_prefix) == (None, "auto")
    assert "\\boxed{}" in r1.prompts["math"]


def test_an_override_marks_the_name() -> None:
    r1 = find_protocol("deepseek-r1")
    assert r1.overridden({"temperature": None, "max_tokens": 32768}) is r1
    assert r1.overridden({"max_tokens": 64, "response_prefix": ""}).name == "deepseek-r1+max_tokens=64+response_prefix"


def test_a_protocol_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"temperature": 0.8, "n": {"aime24": 3}}))
    mine = find_protocol(str(path))
    assert (mine.name, mine.temperature, mine.top_p) == ("mine", 0.8, 0.95)
    assert mine.sampling(TaskSpec("aime24").create(), seed=7).n == 3
    for content, message in [
        ('{"temprature": 1}', "invalid at temprature"),
        ('{"temperature": "hot"}', "invalid at temperature"),
        ("[]", "invalid at"),
        ("{", "cannot be read"),
    ]:
        path.write_text(content)
        with pytest.raises(EvalkitError, match=message):
            find_protocol(str(path))
    with pytest.raises(EvalkitError, match=r"There is no protocol 'deepseek'\. Did you mean deepseek-r1"):
        find_protocol("deepseek")
    with pytest.raises(EvalkitError, match="There is no protocol file"):
        find_protocol(str(tmp_path / "nowhere.json"))


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another package whose task, protocol, engine and command cannot be imported."""
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('it is broken')\n")
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    groups = {"tasks": "Task", "protocols": "PROTOCOL", "engines": "Engine", "commands": "command"}
    lines = [f"[evalkit.{group}]\nbroken = broken_plugin:{name}\n" for group, name in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_suite_with_the_name_of_a_task_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clashing.py").write_text('S = ("gsm8k", "math500")\n')
    plugins = {"arithmetic": "clashing:S", "fine": "clashing:S"}
    monkeypatch.setenv("PYTHONPATH", package(tmp_path, "clashing", "evalkit.suites", **plugins))
    refusal = "The suite arithmetic of clashing has the name of the task arithmetic of evalkit."
    assert told(evalkit("run", "m", "-t", "arithmetic", "--dry-run", code=2)) == refusal
    listed = evalkit("tasks")
    assert listed.stderr.count(f"{refusal} It is skipped.") == 1
    assert "suite: gsm8k, math500" in listed.stdout


@pytest.mark.slow
def test_a_broken_plug_in_harms_only_those_who_name_it(broken_package: Path, tmp_path: Path) -> None:
    recorded = write_recorded(tmp_path / "r.jsonl", {arithmetic_problems()[0].id: ["\\boxed{70}"]})
    options = ("--engine", "replay", "--recorded", recorded, "--limit", 1, "-n", 1, "-o", tmp_path / "run")
    done = evalkit("run", "m", "-t", "arithmetic", *options)
    assert "broken-plugin" not in done.stdout + done.stderr
    assert "cannot be imported" in evalkit("tasks").stderr
    assert "arithmetic" in evalkit("tasks").stdout
    assert "deepseek-r1" in evalkit("protocols").stdout
    assert "leaderboard" in evalkit("--help").stdout
    for arguments in (
        ("run", "m", "-t", "broken", *options),
        ("run", "m", "-t", "arithmetic", "--protocol", "broken", *options),
        ("run", "m", "-t", "arithmetic", "--engine", "broken"),
        ("broken",),
    ):
        assert "of broken-plugin cannot be imported" in told(evalkit(*arguments, code=2))


@pytest.mark.parametrize(("name", "warned"), [("math500", True), ("MATH_500", True), ("none", False), ("class", False)])
def test_a_new_task_file_works_whatever_its_name_means(name: str, warned: bool, tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    made = evalkit("tasks", "new", name, "-o", file)
    assert ("warning: math500 is also the name of an installed task" in made.stderr) == warned
    assert load_task_file(file)[name]().load(DataSource())
