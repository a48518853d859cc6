"""What is decided before anything is generated: tasks, plans, checks, what is told, and what is done already."""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import write_recorded
from told_engine import PROTOCOL, Sums, ToldEngine, planned, sums

import evalkit
from evalkit import DataSource, EvalkitError, Metric, Problem, Run, Score, Task, evaluate
from evalkit.benchmark.data import LoadedData
from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import fingerprint_targets
from evalkit.engines.endings import Endings
from evalkit.engines.prompts import Opening, Prompt
from evalkit.run import contract
from evalkit.run import evaluate as module
from evalkit.run import finished as finished_module
from evalkit.run.contract import HOSTILE_RESPONSES, Check, require_passed
from evalkit.run.evaluate import RunPlan, execute_plan, plan_run
from evalkit.run.finished import command_digest, find_finished, record_finished_command
from evalkit.run.planning import ChosenTask, choose_tasks, digest_of, messages_of, plan_task
from evalkit.run.preflight import (
    TaskCheck,
    describe_plan,
    doubts,
    least_room,
    require_room,
    tell_least_room,
    tell_unanswerable,
)
from evalkit.run.queue import TaskPlan
from evalkit.run.scoring import Scorer
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory
from evalkit.types import SampleKey, SamplingParams
from evalkit.workers import WorkerCallError

# Which tasks


@dataclass
class Window(Task):
    name = "window"
    version = 1
    title = "Window"
    aliases = ("the_window",)
    size: int = 3
    shape: str = "round"

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [Problem(str(i), f"{i}?", str(i)) for i in range(self.size)]

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")


def test_options_go_to_the_tasks_that_have_them() -> None:
    def chosen(tasks: Any, *options: str, **protocol: Mapping[str, str]) -> list[tuple[str, Mapping[str, str]]]:
        return [(one.task.name, one.spec.options) for one in choose_tasks(tasks, None, options, protocol)]

    assert chosen(Window, "size=4", "shape=a=b") == [("window", {"size": "4", "shape": "a=b"})]
    assert chosen([Window, Sums], "window.size=4") == [("window", {"size": "4"}), ("sums", {})]
    assert chosen([Window], "the-window.size=4") == [("window", {"size": "4"})]
    assert chosen(Window, "size=5", window={"size": "9", "shape": "x"}) == [("window", {"size": "5", "shape": "x"})]
    assert chosen([Window, Window(7), "arithmetic"]) == [("window", {}), ("arithmetic", {})], "the first of a name"
    (own,) = choose_tasks(Window(7, "round"))
    assert own.spec == TaskSpec("window", f"{__name__}:Window", {"size": "7"})
    assert isinstance(own.task, Window)
    assert (own.task.size, own.local) == (7, False)
    (installed,) = choose_tasks(" arithmetic ,")
    assert (installed.spec.file, installed.local) == (None, False)
    (local,) = choose_tasks(sums(n=1))
    assert local.local
    for options, told in (
        (["size"], "The task option 'size' has no value."),
        (["depth=1"], "No task of this run has the option 'depth=1'."),
        (["other.size=1"], "No task of this run has the option 'other.size=1'."),
        (["sums.size=1", "size=2"], "No task of this run has the option 'sums.size=1'."),
    ):
        with pytest.raises(EvalkitError) as caught:
            choose_tasks(Window, None, options)
        assert caught.value.message == told
    empty: list[Any] = [[], "", " , "]
    for nothing in empty:
        with pytest.raises(EvalkitError, match="No task was named"):
            choose_tasks(nothing)


def test_a_task_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    file.write_text(
        "from evalkit import Problem, Score, Task\n"
        "class Mine(Task):\n"
        "    name, version, title = 'mine', 1, 'Mine'\n"
        "    def load(self, source): return [Problem('1', '1?', '1')]\n"
        "    def score(self, problem, response): return Score(0.0, 'wrong')\n"
    )
    first, second = choose_tasks("mine,arithmetic", str(file))
    assert (first.spec, second.spec.file) == (TaskSpec("mine", str(file), {}), None)


# Plans


def chosen(task: Task, **fields: Any) -> ChosenTask:
    return ChosenTask(task, TaskSpec(task.name), **{"local": True, **fields})


def test_a_plan_whole() -> None:
    source = DataSource(loaded=[LoadedData("before", "", None, 1, "x")])

    def load(self: Sums, given: DataSource) -> Sequence[Problem]:
        given.loaded.append(LoadedData("org/sums", "", None, 3, "y"))
        return [Problem(f"p{i}", f"{i}?", "") for i in range(3)]

    task = sums(load=load, n=5)
    plan = plan_task(chosen(task), replace(PROTOCOL, prompts={"other": "Say {problem}"}), source, 7, None, 2)
    assert [p.id for p in plan.problems] == ["p0", "p1"]
    assert [p.id for p in plan.dataset] == ["p0", "p1", "p2"]
    assert (plan.available, plan.local, plan.source, plan.task) == (3, True, source, task)
    assert plan.params == SamplingParams(0.5, 0.95, None, 100, 5, 7)
    assert [data.hub_id for data in plan.data] == ["org/sums"]
    said = {f"p{i}": [{"role": "user", "content": f"Say {i}?"}] for i in range(2)}
    assert plan.prompts == {key: digest_of(messages) for key, messages in said.items()}  # type: ignore[arg-type]
    assert len(plan.prompts["p0"]) == 12
    assert task.prompt == "Say {problem}"
    whole = plan_task(chosen(sums()), replace(PROTOCOL, n={"sums": 9}), DataSource(), 0, None, None)
    assert (len(whole.problems), whole.params.n) == (3, 9)
    assert plan_task(chosen(sums()), PROTOCOL, DataSource(), 0, 1, 99).samples == 3


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"rows": 4}, "sums has 3 problems here, but the benchmark has 4."),
        ({"targets_sha256": "0"}, "The right answers of sums are not those of the benchmark."),
        ({"load": lambda self, source: [Problem("a", "x", "")] * 2}, "The task sums has equal ids: "),
        ({"count": 0}, "The task sums has no problems."),
        ({"version": "1"}, "version is '1'"),
        ({"messages": lambda self, problem: []}, "messages() of the task sums for problem 'p0' gives [], not a list"),
        ({"messages": lambda self, problem: "x"}, "messages() of the task sums for problem 'p0' gives 'x', not a list"),
        ({"messages": lambda self, problem: 1 / 0}, "messages() of the task sums for problem 'p0' fails: ZeroDivision"),
    ],
)
def test_a_task_that_cannot_be_planned(attributes: dict[str, Any], told: str) -> None:
    with pytest.raises(EvalkitError) as caught:
        plan_task(chosen(sums(**attributes)), PROTOCOL, DataSource(), 0, None, None)
    assert told in caught.value.message


def test_changed_data_are_accepted_where_they_are_allowed() -> None:
    task = sums(rows=4, targets_sha256="0")
    assert plan_task(chosen(task), PROTOCOL, DataSource(allow_changed=True), 0, None, None).available == 3
    fits = sums(rows=3, targets_sha256=fingerprint_targets(Sums().load(DataSource())))
    assert plan_task(chosen(fits), PROTOCOL, DataSource(), 0, None, None).available == 3


@pytest.mark.parametrize(
    ("message", "fits"),
    [
        ({"role": "user", "content": "x"}, True),
        ({"role": "system", "content": ""}, True),
        ({"role": "assistant", "content": "x"}, True),
        ({"role": "tool", "content": "x"}, False),
        ({"role": "user", "content": 3}, False),
        ({"role": "user"}, False),
        ({"role": "user", "content": "x", "name": "y"}, False),
        ("x", False),
    ],
)
def test_what_is_a_message(message: Any, fits: bool) -> None:
    task = sums(messages=lambda self, problem: ({"role": "user", "content": "x"}, message))
    if fits:
        assert messages_of(task, Problem("p", "", ""))[1] is message
        return
    with pytest.raises(EvalkitError, match="which is no message"):
        messages_of(task, Problem("p", "", ""))


def test_metadata_has_to_reach_other_processes() -> None:
    task = sums(load=lambda self, source: [Problem("a", "x", ""), Problem("b", "y", "", {"set": {1}})])
    assert plan_task(chosen(task), PROTOCOL, DataSource(), 0, None, None).available == 2
    with pytest.raises(EvalkitError) as caught:
        plan_task(chosen(task, local=False), PROTOCOL, DataSource(), 0, None, None)
    told = "The task sums cannot be used: the metadata of problem 'b' (number 2) cannot be written as JSON: "
    assert caught.value.message.startswith(told)


def test_a_prompt_with_unknown_fields_is_told(caplog: pytest.LogCaptureFixture) -> None:
    task = sums(prompt="{problem} {hint} {letters}")
    plan_task(chosen(task), PROTOCOL, DataSource(), 0, None, None)
    assert caplog.records[0].getMessage().startswith("The prompt of sums holds {hint}, which a model reads as it is")
    caplog.clear()
    plan_task(chosen(task), replace(PROTOCOL, prompts={"other": "{problem}"}), DataSource(), 0, None, None)
    assert caplog.records == []


# What is told before a run


def check(longest: int | None = None, **fields: Any) -> TaskCheck:
    problems = [Problem(f"p{i}", f"{i} + {i}?", "AB"[i % 2]) for i in range(3)]
    plan = TaskPlan(sums(), problems, SamplingParams(max_tokens=100, n=2, seed=4), TaskSpec("sums"), available=9)
    return TaskCheck(replace(plan, **fields), None, longest, longest)


@pytest.mark.parametrize(
    ("longest", "context", "caps", "hint"),
    [
        (20, None, False, ""),
        (20, 120, False, ""),
        (20, 119, False, "pass --max-tokens 99, or leave the problem out."),
        (20, 119, True, ""),
        (20, 21, True, ""),
        (20, 21, False, "pass --max-tokens 1, or leave the problem out."),
        (20, 20, True, "use a checkpoint with a longer context, or leave the problem out."),
        (None, 101, False, ""),
        (None, 100, False, "pass --max-tokens 99, or leave the problem out."),
    ],
)
def test_prompt_and_completion_have_to_fit(longest: int | None, context: int | None, caps: bool, hint: str) -> None:
    if not hint:
        require_room([check(longest)], context, caps)
        return
    with pytest.raises(EvalkitError) as caught:
        require_room([check(longest)], context, caps)
    known = longest or 1
    assert caught.value.message == (
        f"sums needs {known + 100} tokens (longest prompt {known} + max_tokens 100), but the checkpoint's context is "
        f"{context}."
    )
    assert caught.value.hint == hint


def test_the_room_that_is_left() -> None:
    assert least_room(check(20), None) is None
    assert least_room(check(None), 50) is None
    assert least_room(check(20), 120) is None
    assert least_room(check(20), 119) == 99
    end = "; what ends there counts as truncated"
    leaves = "sums: the context of 119 tokens leaves a completion 99 at the longest prompt, 1 fewer than max_tokens"
    assert tell_least_room(check(20), 119) == leaves + end
    assert tell_least_room(check(20), 120) is None
    assert tell_least_room(check(None), None) is None
    assert tell_least_room(check(None), 101) is None
    ends = "sums: the context of 100 tokens ends completions before max_tokens (100)"
    assert tell_least_room(check(None), 100) == ends + end


def test_requests_that_a_recording_does_not_answer() -> None:
    asked: list[SampleKey] = []

    def missing(*lost: tuple[str, int]) -> str | None:
        def unanswerable(requests: Any) -> list[SampleKey]:
            asked[:] = [request.key for request in requests]
            return [key for key in asked if key[1:] in lost]

        engine = ToldEngine(unanswerable=unanswerable)
        plan = planned(engine, sums(count=5), n=2)
        return tell_unanswerable(plan.plans[0], PROTOCOL, engine)

    assert missing() is None
    assert asked == [("sums", f"p{i}", k) for i in range(5) for k in range(2)]
    assert missing(("p1", 0)) == "sums: 1 of 10 completions are not recorded, of 1 problem (p1); each will be an error"
    told = "sums: 5 of 10 completions are not recorded, of 4 problems (p0, p1, p2, …); each will be an error"
    assert missing(("p0", 0), ("p0", 1), ("p1", 0), ("p2", 0), ("p3", 0)) == told
    told = "sums: 3 of 10 completions are not recorded, of 3 problems (p0, p1, p2); each will be an error"
    assert missing(("p0", 0), ("p1", 0), ("p2", 0)) == told
    with pytest.raises(EvalkitError, match="sums: none of its 10 completions is recorded"):
        missing(*((f"p{i}", k) for i in range(5) for k in range(2)))


class Letters:
    """A tokenizer of single letters."""

    bos_token_id = 0

    def decode(self, ids: list[int]) -> str:
        return chr(97 + ids[0])


def test_a_dry_run_of_an_engine_that_renders_out_of_sight() -> None:
    engine = ToldEngine(endings=None)
    plan = planned(engine, sums(count=3), n=2, limit=2, seed=4)
    assert list(plan.describe()) == [
        "context length: not known",
        "end tokens: the engine decides",
        "",
        "sums: 2 of 3 problems x n = 2 -> 4 completions",
        "  sampling: temperature 0.5, top-p 0.95, max_tokens 100, seed 4",
        "  the engine renders the prompts; the first messages:",
        "    user: '0 + 0?'",
    ]


def test_a_dry_run_with_a_prompt() -> None:
    opening = Opening("<think>\n", "open", True, "R1")
    engine: Any = SimpleNamespace(
        context_length=lambda: 110,
        tokenizer=Letters(),
        endings=Endings({1: "</s>"}, None, doubt="It may never end."),
        name="e",
    )
    task = sums(kind="choice")
    shown = replace(
        check(task=task, params=SamplingParams(temperature=0, max_tokens=100, n=2)),
        first_prompt=Prompt("abc", (0, 1, 2), "", opening),
        shortest=3,
        longest=30,
        opening=opening,
    )
    assert list(describe_plan([shown, replace(shown, plan=replace(shown.plan, available=3))], engine))[:15] == [
        "context length: 110 tokens",
        "end tokens: 1 '</s>'",
        "warning: It may never end.",
        "warning: temperature is 0 and n is 2: the completions of a problem are equal",
        "",
        "sums: 3 of 9 problems x n = 2 -> 6 completions",
        "  sampling: temperature 0, top-p 0.95, max_tokens 100, seed 0",
        "  sums: the context of 110 tokens leaves a completion 80 at the longest prompt, 20 fewer than max_tokens; "
        "what ends there counts as truncated",
        "  right answers: A 2, B 1",
        "  thinking: open",
        "  response prefix: '<think>\\n', added (R1)",
        "  prompt tokens: 3 to 30",
        "  first prompt: 'abc'",
        "  tokens: 0 'a' | 1 'b' | 2 'c'",
        "  beginning-of-sequence tokens: 1",
    ]
    lines = list(describe_plan([replace(shown, plan=replace(shown.plan, available=None))], engine))
    assert "sums: 3 problems x n = 2 -> 6 completions" in lines
    long = replace(shown, first_prompt=Prompt("x", (0, 0, *range(1, 24)), "", opening))
    lines = list(describe_plan([long], engine))
    warning = "warning: a prompt begins with 2 beginning-of-sequence tokens, which lowers scores: correct the template"
    assert warning in lines
    assert lines[-2].count(" | ") == 24
    assert " | … 1 more … | " in lines[-2]
    assert lines[-2].startswith("  tokens: 0 'a' | 0 'a' | 1 'b' | ")
    assert lines[-2].endswith(" | 22 'w' | 23 'x'")
    ends = "  <- more than one lowers scores: repair the chat template"
    assert lines[-1] == f"  beginning-of-sequence tokens: 2{ends}"
    exact = replace(shown, first_prompt=Prompt("x", tuple(range(24)), "", opening))
    assert "more" not in list(describe_plan([exact], engine))[-2]


def test_a_template_that_closes_thinking_is_doubted() -> None:
    closed = replace(check(), opening=Opening("", "closed", False, ""))
    engine: Any = SimpleNamespace(prompts=SimpleNamespace(renderer=SimpleNamespace(thinking_switch="enable_thinking")))
    told = "the chat template closes thinking: the model answers without"
    assert list(doubts([closed], engine)) == [f"{told}; --chat-template-arg enable_thinking=true opens it"]
    assert list(doubts([closed], SimpleNamespace())) == [told]  # type: ignore[arg-type]
    assert list(doubts([replace(check(), opening=Opening("", "open", False, ""))], engine)) == []
    params = SamplingParams(temperature=0, n=1)
    assert list(doubts([check(params=params)], engine)) == []
    assert list(doubts([check(params=replace(params, n=2, temperature=0.1))], engine)) == []


# Runs that are planned and executed


def test_the_names_of_models(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert module._model_name(f"{tmp_path}/m/../m/") == str(tmp_path / "m")
    assert module._model_name("org//m") == "org//m"

    class Model:
        config = SimpleNamespace(_name_or_path="org/m")

    assert module._model_name((Model(), None)) == "org/m"
    Model.config._name_or_path = ""
    assert module._model_name((Model(), None)) == "Model"
    assert module._model_name((object(), None)) == "object"


def test_what_is_checked_before_anything_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = ToldEngine(context=50)
    plan = planned(engine)
    with pytest.raises(EvalkitError, match="workers is 0, it has to be 1 or more"):
        execute_plan(plan, tmp_path, workers=0)
    with pytest.raises(EvalkitError, match="the checkpoint's context is 50"):
        execute_plan(plan, tmp_path)
    endless = ToldEngine(endings=Endings({}, "x", fault="Nothing ends a response."))
    with pytest.raises(EvalkitError, match="Nothing ends a response"):
        execute_plan(planned(endless), tmp_path)

    def refuse(self: Task) -> None:
        raise EvalkitError("No namespaces.", "x")

    strict = planned(ToldEngine(), sums(require_machine=refuse))
    for start in (strict.require_machine, lambda: execute_plan(strict, tmp_path)):
        with pytest.raises(EvalkitError, match="No namespaces"):
            start()
    assert list(tmp_path.iterdir()) == []
    lost = ToldEngine(unanswerable=lambda requests: [next(iter(requests)).key], endings=Endings({}, None, doubt="Hm."))
    execute_plan(planned(lost), tmp_path / "m/x", progress=False)
    told = ["Hm.", "sums: 1 of 6 completions are not recorded, of 1 problem (p0); each will be an error"]
    assert [r.getMessage() for r in caplog.records] == told
    caplog.clear()
    moved = ToldEngine(called={"backend": "told", "model": "m", "fingerprint": "g"})
    execute_plan(planned(moved), tmp_path / "m/y", progress=False)
    assert caplog.records[0].getMessage().startswith(f"the checkpoint has changed since {tmp_path}/m/x")


def replayed(tmp_path: Path, **options: Any) -> dict[str, Any]:
    texts = {str(i): [f"\\boxed{{{2 * i}}}"] * 2 for i in range(3)}
    recorded = write_recorded(tmp_path / "r.jsonl", {**texts, **{f"p{i}": texts[str(i)] for i in range(3)}})
    return {"engine": "replay", "engine_options": {"recorded": (str(recorded),)}, "n": 1, **options}


def test_a_plan_of_a_recording_claims_no_protocol(tmp_path: Path) -> None:
    plan = plan_run("m", Sums, **replayed(tmp_path))
    assert (plan.protocol.name, plan.model, plan.seed, plan.shard, plan.precision) == ("replayed", "m", 0, None, None)
    assert plan.command is None
    assert [c.plan for c in plan.checks] == list(plan.plans)
    said = plan_run("m", Sums, **replayed(tmp_path, protocol="deepseek-r1", max_tokens=7, seed=3, shard="1/2", limit=2))
    assert said.protocol.name == "deepseek-r1+max_tokens=7 (asserted)"
    assert (said.seed, str(said.shard), said.plans[0].params.max_tokens, len(said.plans[0].problems)) == (
        3,
        "1/2",
        7,
        2,
    )
    assert said.identity["shard"] == "1/2"
    precise = plan_run("m", Sums, **{**replayed(tmp_path), "n": None, "precision": 2.0, "max_n": 16})
    assert precise.precision is not None
    assert (precise.precision.half_width, precise.precision.max_n, precise.plans[0].pilot) == (0.02, 16, 4)
    for name in ("n", "limit"):
        with pytest.raises(EvalkitError, match=f"{name} is 0, it has to be 1 or more"):
            plan_run("m", Sums, **{**replayed(tmp_path), name: 0})


def test_a_finished_run_is_found_by_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    ids = [p.id for p in choose_tasks("arithmetic")[0].task.load(DataSource())[:2]]
    recorded = write_recorded(tmp_path / "r.jsonl", {key: ["x"] for key in ids})
    common: dict[str, Any] = {"engine": "replay", "engine_options": {"recorded": (str(recorded),)}, "limit": 2, "n": 1}
    plan = plan_run("m", "arithmetic", **common)
    assert plan.command == command_digest("m", "arithmetic", common)
    run = RunDirectory(tmp_path / "results/m/x")
    (only,) = plan.plans
    made = planned_run(run, only)
    record_finished_command(run, plan.command, module._files(plan), {"arithmetic": only.sample_plan})
    held = json.loads((run.path / "finished.json").read_text())
    size, time = recorded.stat().st_size, recorded.stat().st_mtime_ns
    own = {f"arithmetic/{name}.jsonl": made[name] for name in ("completions", "scores")}
    plans = {"arithmetic": dict.fromkeys(ids, 1)}
    assert held == {plan.command: {"files": {os.path.realpath(recorded): [size, time]}, "own": own, "plans": plans}}
    found = evaluate("m", "arithmetic", results=tmp_path / "results", **common)
    assert (found.path, found.asked) == (run.path, ["arithmetic"])
    assert evaluate("m", ["arithmetic"], output=run.path, **common).path == run.path


def planned_run(run: RunDirectory, plan: TaskPlan) -> dict[str, list[int]]:
    """A complete run of the plan, written by hand; the stamps of its files."""
    from made_runs import completion, description, entry, score, write_lines

    name, ids = plan.task.name, [p.id for p in plan.problems]
    written = entry(ids, 1, spec={"name": name, "file": None, "options": {}})
    files = run.files(name)
    write_lines(files.completions_path, [completion((key, 0), task=name) for key in ids])
    write_lines(files.scores_path, [score((key, 0), "wrong", task=name) for key in ids])
    run.rewrite(description({name: written}))
    stamps = {}
    for kind in ("completions", "scores"):
        found = (files.folder / f"{kind}.jsonl").stat()
        stamps[kind] = [found.st_size, found.st_mtime_ns]
    return stamps


def noted(tmp_path: Path) -> tuple[RunDirectory, Path, SamplePlan]:
    """A complete run with a note that the command `digest` is answered."""
    run = RunDirectory(tmp_path / "results/m/x")
    plan = planned(ToldEngine(), Sums(), n=1).plans[0]
    planned_run(run, replace(plan, spec=TaskSpec("sums")))
    weights = tmp_path / "weights"
    weights.write_text("w")
    content = json.loads(run.description_path.read_text())
    content["tasks"]["sums"]["spec"]["file"] = "told_engine:Sums"
    run.rewrite(content)
    record_finished_command(run, "digest", [weights], {"sums": plan.sample_plan})
    return run, weights, plan.sample_plan


def test_what_has_changed_is_not_finished(tmp_path: Path) -> None:
    run, weights, plan = noted(tmp_path)

    def found(digest: str | None = "digest", output: Path | None = None) -> Run | None:
        return find_finished(digest, output, tmp_path / "results")

    first = found()
    assert first is not None
    assert (first.path, first._plans) == (run.path, {"sums": plan})
    assert found(output=run.path) is not None
    assert found(output=tmp_path) is None
    assert found(None) is None
    assert found("other") is None
    path = run.path / "finished.json"
    note = json.loads(path.read_text())

    def changed(**fields: Any) -> Run | None:
        path.write_text(json.dumps({"digest": {**note["digest"], **fields}}))
        return found()

    assert changed() is not None
    assert changed(files={}) is not None
    for fields in (
        {"files": None},
        {"files": {str(weights): [1, 2]}},
        {"own": {"sums/scores.jsonl": [0, 0]}},
        {"own": None},
        {"plans": None},
        {"plans": {"sums": {"p0": 2}}},
        {"plans": {"sums": {"p0": "x"}}},
        {"plans": {"other": {"p0": 1}}},
    ):
        assert changed(**fields) is None, fields
    assert changed(plans={"sums": {"p0": 1}}) is not None, "a part of what is there"
    path.write_text("[]")
    assert found() is None
    path.write_text("{")
    assert found() is None
    path.write_text(json.dumps(note))
    assert found() is not None
    weights.unlink()
    assert found() is None


def test_a_run_with_errors_is_not_finished(tmp_path: Path) -> None:
    run, weights, plan = noted(tmp_path)
    from made_runs import score, write_lines

    write_lines(run.files("sums").scores_path, [score((f"p{i}", 0), "error") for i in range(3)])
    record_finished_command(run, "digest", [weights], {"sums": plan})
    assert find_finished("digest", run.path, "") is None


def test_notes_of_the_last_commands_are_kept(tmp_path: Path) -> None:
    run, weights, plan = noted(tmp_path)
    path = run.path / "finished.json"
    path.write_text("{}")
    for number in [*range(25), 7]:
        record_finished_command(run, str(number), [weights], {"sums": plan})
    assert list(json.loads(path.read_text())) == [*map(str, (i for i in range(5, 25) if i != 7)), "7"]
    before = path.read_bytes()
    record_finished_command(run, None, [weights], {"sums": plan})
    record_finished_command(run, "x", None, {"sums": plan})
    assert path.read_bytes() == before
    assert path.read_text().startswith('{\n "5": {\n')
    record_finished_command(run, "x", [tmp_path / "gone"], {"sums": plan})
    assert json.loads(path.read_text())["x"]["files"] == {str(tmp_path / "gone"): []}


def test_the_digest_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    monkeypatch.setattr(finished_module, "visible_gpus", list)
    given: dict[str, Any] = {"engine": "replay", "n": 2}

    def digest(model: Any = "org/m", tasks: Any = "arithmetic", **settings: Any) -> str | None:
        return command_digest(model, tasks, {**given, **settings})

    plain = digest()
    assert plain is not None
    assert len(plain) == 64
    for same in (
        digest(tasks=["arithmetic"]),
        digest(tasks="arithmetic,"),
        digest(limit=None, task_options=()),
        digest(protocol=None),
        digest(data=None),
    ):
        assert same == plain
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EVALKIT_DATA", str(tmp_path / "data"))
    others = [digest()]
    monkeypatch.delenv("EVALKIT_DATA")
    monkeypatch.setattr(finished_module, "visible_gpus", lambda: [1])
    others.append(digest())
    monkeypatch.setattr(finished_module, "visible_gpus", list)
    others += [digest(model="org/other"), digest(n=3), digest(limit=1), digest(engine="vllm"), digest(tasks="math500")]
    others += [digest(protocol="deepseek-r1"), digest(protocol="qwq"), digest(protocol=PROTOCOL), digest(seed=4)]
    others += [
        digest(data=str(tmp_path)),
        digest(data={"arithmetic": tmp_path / "x"}),
        digest(tasks="arithmetic,math500"),
    ]
    monkeypatch.setattr(evalkit, "__version__", "other")
    others.append(digest())
    assert None not in others
    assert len({plain, *others}) == len(others) + 1
    assert digest(tasks="nothing") is None
    assert digest(protocol="nothing") is None
    assert digest(model=(1, 2)) is None
    assert digest(tasks=[Sums]) is None
    assert digest(tasks=Sums) is None
    monkeypatch.undo()
    (tmp_path / "m").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "m")
    assert digest(model=tmp_path / "link") == digest(model=str(tmp_path / "m"))


def test_the_files_that_a_plan_depends_on(tmp_path: Path) -> None:
    for name in ("my.py", "beside.txt", "data.jsonl"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder").mkdir()
    weights = tmp_path / "folder/weights"
    plan = planned(ToldEngine(needed=[weights]))
    (only,) = plan.plans

    def files(plan: RunPlan = plan, **fields: Any) -> list[Path] | None:
        return module._files(replace(plan, plans=[replace(only, **fields)]))

    def loaded(hub_id: str, source: str) -> list[LoadedData]:
        return [LoadedData(hub_id, source, None, 1, "x")]

    assert files() is None, "a class may come from anywhere"
    installed = TaskSpec("sums")
    assert files(spec=installed) == [weights]
    own = [weights, tmp_path, tmp_path / "beside.txt", tmp_path / "data.jsonl", tmp_path / "my.py"]
    assert files(spec=TaskSpec("sums", str(tmp_path / "my.py"))) == own
    assert files(spec=installed, data=loaded("org/x", "hub:org/x")) == [weights]
    module_of_the_task = Path(str(sys.modules[type(only.task).__module__].__file__))
    own_rows = loaded("rows in Python", "rows in Python")
    assert files(spec=installed, data=own_rows) == [weights, module_of_the_task], "an answer may be corrected there"
    two = f"{tmp_path}/my.py, {tmp_path}/data.jsonl"
    assert files(spec=installed, data=loaded("org/x", two)) == [weights, tmp_path / "my.py", tmp_path / "data.jsonl"]
    assert files(spec=installed, data=loaded("org/x", f"{tmp_path}/gone")) is None
    assert files(planned(ToldEngine(needed=None)), spec=installed) is None


# The contract of tasks


def scored(task: Task, *problems: Problem) -> tuple[Scorer, list[Problem]]:
    return Scorer([(TaskSpec(task.name), task)], 1, local=[task.name]), list(problems)


def graded(task: Task, *problems: Problem) -> list[Check]:
    scorer, given = scored(task, *problems)
    with closing(scorer):
        golds = contract._score_golds(task, given, scorer)
        return list(contract._check_grading(task, given, golds, scorer))


ONE = Problem("p", "1 + 1?", "2")


def test_right_answers_have_to_be_right_and_hostile_ones_not() -> None:
    sound = sums(gold_response=lambda self, problem: problem.target)
    tried = len(HOSTILE_RESPONSES)
    assert graded(sound, ONE) == [
        Check("the right answer is graded correct (1 problem)", True, ""),
        Check(f"empty and hostile answers are not graded correct ({tried} tried)", True, ""),
        Check("no answer causes a grader error", True, ""),
    ]
    first, hostile, errors = graded(sums(), *(Problem(f"p{i}", "", "2") for i in range(5)))
    assert (first.rule, first.passed) == ("the right answer is graded correct (5 problems)", False)
    assert first.detail == "p0, p1, p2 and 2 more: wrong with the value 0 (compared)"
    generous = sums(score=lambda self, problem, response: Score(0.5, "wrong"))
    first, hostile, errors = graded(generous, ONE)
    assert not first.passed
    assert hostile.detail.startswith("p: the response '' is wrong with the value 0.5; p: the response ")

    assert hostile.detail.endswith(f" and {tried - 3} more")
    assert errors.passed

    def crash(self: object, problem: Problem, response: str) -> Score:
        if not response:
            raise ValueError("empty")
        return Score(float(response == problem.target), "correct" if response == problem.target else "wrong")

    crashing = graded(sums(score=crash, gold_response=lambda self, problem: problem.target), ONE)
    assert [one.passed for one in crashing] == [True, True, False]
    assert crashing[2].detail.startswith("p: the grader failed: ValueError: empty (")


def test_tasks_without_right_answers_are_held_to_less() -> None:
    """`I do not know.` may well follow an instruction, an empty response may not."""
    kind = sums(
        kind="instructions",
        score=lambda self, problem, response: Score(
            float(bool(response.strip())), "correct" if response.strip() else "wrong"
        ),
    )
    assert graded(kind, ONE) == [
        Check("the right answer is graded correct", None, "the task has no right answers"),
        Check("an empty response is not graded correct", True, ""),
        Check("no answer causes a grader error", True, ""),
    ]
    always = sums(score=lambda self, problem, response: Score(1.0, "correct"))
    found = graded(always, Problem("p", "", ""))
    assert [(one.rule, one.passed) for one in found][1] == ("an empty response is not graded correct", False)
    assert found[1].detail.count(" is correct with the value 1") == 2
    own = sums(gold_response=lambda self, problem: "2" if problem.id == "p" else None)
    assert graded(own, replace(ONE, target=""), Problem("q", "", ""))[0].rule.endswith("(1 problem)")


def test_few_problems_are_tried_of_many() -> None:
    asked: list[str] = []

    def score(self: object, problem: Problem, response: str) -> Score:
        asked.append(problem.id)
        return Score(0.0, "wrong")

    graded(sums(score=score, gold_response=lambda self, problem: None), *(Problem(str(i), "", "x") for i in range(24)))
    assert list(dict.fromkeys(asked)) == [str(i) for i in range(0, 24, 3)]
    assert len(asked) == 8 * len(HOSTILE_RESPONSES)


def rules(checks: Any) -> dict[str, tuple[bool | None, str]]:
    return {one.rule: (one.passed, one.detail) for one in checks}


def test_what_a_task_declares() -> None:
    names = [one.rule for one in contract._check_declaration(sums())]
    assert names == [
        "name, title and version are declared",
        "the kind is one of math, choice, code, instructions, other",
        "the prompt contains {problem}",
        "the default n is 1 or more",
        "the other attributes are what they have to be",
    ]
    assert all(one.passed and not one.detail for one in contract._check_declaration(sums()))
    wrong = sums(title="", version=-1, kind="odd", n=0, prompt="x", rows="3", score_timeout=0)
    found = list(contract._check_declaration(wrong))
    assert [one.passed for one in found] == [False] * 5
    assert found[0].detail.startswith("title is '', not a text that is not empty; version is -1, not a whole number")
    assert found[4].detail.count(";") == 1
    told = list(contract._check_declaration(sums(prompt="{problem} {a} {b}")))[2]
    end = " stays as it is: only {problem} and {letters} are filled in"
    assert (told.passed, told.detail) == (True, f"{{a}}{end}; {{b}}{end}")


def test_what_the_problems_of_a_task_have_to_be() -> None:
    good = [Problem("a", "x", "1"), Problem("b", "y", "2")]
    fingerprint = fingerprint_targets(good)

    def found(problems: list[Problem], source: DataSource | None = None, **attributes: Any) -> list[tuple[Any, str]]:
        return [
            (one.passed, one.detail)
            for one in contract._check_problems(sums(**attributes), problems, source or DataSource())
        ]

    fine = [(True, "")] * 6
    assert found(good, n=1) == [(None, "2 problems, none declared"), (None, f"sha256 {fingerprint}"), *fine]
    declared: dict[str, Any] = {"rows": 2, "targets_sha256": fingerprint}
    assert found(good, **declared) == [(True, "2 problems, 2 declared"), (True, fingerprint), *fine]
    changed = found(good, DataSource(allow_changed=True), **declared)
    assert [passed for passed, _ in changed[:2]] == [None, None]
    assert found(good, rows=3, targets_sha256="0")[:2] == [(False, "2 problems, 3 declared"), (False, fingerprint)]
    assert found([], n=1)[2] == (False, "")
    unnamed = found([Problem("", "x", ""), Problem("b", " ", ""), Problem("", "", "")], n=1)
    assert unnamed[3] == (False, "problem 1 has no id; problem 3 has no id")
    assert unnamed[4] == (False, "b; ")
    twice = found([good[0], good[0]], n=1)[3]
    assert twice[0] is False
    assert "a" in twice[1]
    held, why = found([replace(good[0], metadata={"x": {1}})], n=1)[5]
    assert not held
    assert why.startswith(
        "The task sums cannot be used: the metadata of problem 'a' (number 1) cannot be written as JSON"
    )
    assert len(found(good, n=1, kind="other")) == 8
    for kind in ("math", "choice"):
        answers = [*good, *(Problem(f"n{i}", "x", " ") for i in range(4))]
        told = (False, "4 of 6 have none: n0; n1; n2 and 1 more")
        assert found(answers, n=1, kind=kind)[8] == told
        assert found(good, n=1, kind=kind)[8] == (True, "")


def test_the_metrics_of_a_task() -> None:
    def found(source: DataSource | None = None, **attributes: Any) -> list[tuple[bool | None, str]]:
        golds = [Score(1.0, "correct", key=SampleKey("sums", "p", 0))]
        checks = contract._check_metrics(sums(**attributes), [ONE], golds, source or DataSource())
        return [(one.passed, one.detail) for one in checks]

    seen: list[Any] = []

    def metrics(self: object, problems: Any, scores: Any) -> list[Metric]:
        seen.append([(key, [s.status for s in each]) for key, each in scores.items()])
        return [Metric(name, 1.0, 1, "%") for name in ("m1", "m2")]

    def none(self: object, problems: Any, scores: Any) -> list[Metric]:
        return []

    def broken(self: object, problems: Any, scores: Any) -> list[Metric]:
        raise ValueError("no")

    assert found(n=1) == [(True, "")]
    assert found(headlines=("glory",)) == [(False, "there is no metric 'glory'")]
    assert found(extra_metrics=metrics, headlines=("m2",)) == [(True, "m1; m2"), (True, "")]
    assert seen == [[("p", ["correct", "no_answer"])]]
    assert found(extra_metrics=metrics, headlines=("m3",)) == [(True, "m1; m2"), (False, "there is no metric 'm3'")]
    lenient = found(DataSource(allow_changed=True), extra_metrics=metrics, headlines=("m3",))
    assert lenient[1] == (None, "there is no metric 'm3'")
    assert found(extra_metrics=none, headlines=("m3",))[1][0] is None
    (only,) = found(extra_metrics=broken)
    assert only[0] is False
    assert "ValueError: no" in only[1]


def test_the_rules_of_a_task_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need what an earlier one holds are not tried where that is broken."""
    spec = TaskSpec("sums", "told_engine:Sums")

    def checked(**attributes: Any) -> list[Check]:
        for name, value in attributes.items():
            monkeypatch.setattr(Sums, name, value)
        found = contract.check_task(spec, DataSource())
        monkeypatch.undo()
        return found

    assert len(checked(n=0)) == 5
    assert len(checked(load=lambda self, source: [])) == 13
    asked: list[str] = []

    def refuse(self: Task) -> None:
        asked.append(self.name)
        raise EvalkitError("No namespaces.", "x")

    with pytest.raises(EvalkitError, match="No namespaces"):
        checked(require_machine=refuse)
    monkeypatch.undo()
    assert asked == ["sums"]


def test_another_process_renders_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task, problems = Sums(), list(Sums().load(DataSource()))
    spec = TaskSpec("sums", "told_engine:Sums")
    digest = contract.digest_of_messages(task, problems)
    content = [[p.id, p.target, [{"role": "user", "content": p.prompt}]] for p in problems]
    import hashlib

    assert digest == hashlib.sha256(json.dumps(content).encode()).hexdigest()
    assert contract.digest_in_another_process({"spec": asdict(spec), "root": None}) == digest
    calls: list[tuple[Any, float]] = []
    reply: list[Any] = [digest]

    class Pool:
        def __init__(self, function: str, workers: int) -> None:
            assert (function, workers) == ("evalkit.run.contract:digest_in_another_process", 1)

        def call(self, payload: Any, timeout: float) -> str:
            calls.append((payload, timeout))
            if isinstance(reply[0], Exception):
                raise reply[0]
            return str(reply[0])

        def close(self) -> None:
            calls.append(("closed", 0))

    monkeypatch.setattr(contract, "WorkerPool", Pool)
    other = "another process with other hash seeds gives the same messages"

    def found(root: Path | None = None) -> list[Check]:
        return list(contract._check_rendering(spec, task, problems, DataSource(root=root)))

    assert found() == [Check("rendering twice gives the same messages", True), Check(other, True)]
    assert calls[0][0] == {"spec": asdict(spec), "root": None}
    assert calls[1][0] == "closed"
    reply[0] = "x"
    assert found(Path("data"))[1] == Check(other, False)
    assert calls[2][0]["root"] == "data"
    reply[0] = WorkerCallError("E: no")
    assert found()[1] == Check(other, False, "E: no")


def test_broken_rules_are_named() -> None:
    require_passed("sums", [Check("one", True), Check("two", None)])
    with pytest.raises(EvalkitError) as caught:
        require_passed("sums", [Check("one", True), Check("two", False), Check("three", None), Check("four", False)])
    assert caught.value.message == "The task sums breaks 2 of 4 rules: two; four."


def test_precision_grows_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second problem's outcome is certain: the other gets more."""
    caplog.set_level(logging.INFO)

    def told(request: Any) -> str:
        return (
            "0"
            if request.problem_id == "p0" and request.sample_index % 2
            else "2"
            if request.problem_id == "p1"
            else "x"
        )

    engine = ToldEngine(told)
    task = sums(count=2)
    plan = planned(engine, task, protocol=Protocol("p", "", max_tokens=9, response_prefix=""))
    from evalkit.run.precision import Precision

    aim = Precision(0.08, 64)
    plan = replace(plan, plans=[aim.pilot_of(each) for each in plan.plans], precision=aim)
    run, _ = execute_plan(plan, tmp_path, progress=False)
    counts = run.record.tasks["sums"].plan.counts
    assert 4 < counts["p1"] <= counts["p0"] <= 64
    sampling = json.loads((tmp_path / "run.json").read_text())["tasks"]["sums"]["sampling"]
    pilot = sampling["pilot"]
    assert {key: pilot + sum(map(sum, each)) for key, each in sampling["phases"].items()} == counts
    assert len(engine.asked) == sum(counts.values())
    messages = [r.getMessage() for r in caplog.records if "precision" in r.name]
    assert messages[0] == f"sums: a pilot of {pilot} completions of each problem"
    assert messages[-1] == f"sums: {counts['p1']} to {counts['p0']} completions of a problem"


def test_options_that_leave_out_every_problem_are_named() -> None:
    empty = chosen(sums(count=0))
    with pytest.raises(EvalkitError) as caught:
        plan_task(empty, PROTOCOL, DataSource(), 0, None, None)
    assert caught.value.hint == "let its load() return them, or download the whole data set."
    with pytest.raises(EvalkitError) as caught:
        plan_task(replace(empty, spec=TaskSpec("sums", None, {"level": "nope"})), PROTOCOL, DataSource(), 0, None, None)
    assert caught.value.hint == "its options may leave all of them out: level=nope."
