"""Suites, checkpoints that appear, the trainer's callback, and runs of another version: commands, tables, states."""

import csv
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from told_engine import ToldEngine, planned

from evalkit import EvalkitError
from evalkit.engines.gpus import GPU
from evalkit.run import suites, trainer, watching
from evalkit.run.evaluate import execute_plan
from evalkit.run.other_versions import tell_other_version
from evalkit.run.suites import Job, JobState, SuiteRun, plan_suite, read_suite
from evalkit.run.watching import Watch, checkpoints_in, step_of, why_incomplete
from evalkit.store.run import RunDirectory

TASK = """
from evalkit import Task

class Doubles(Task):
    name = "doubles"
    title = "Doubles"

    def load(self, source):
        return []
"""
SUITE = """
name = "s"
side_by_side = 2
task_file = "my.py"
protocols = ["deepseek-r1", "own.json"]
[[tasks]]
task = "livecodebench"
n = 3
[tasks.options]
window = "2024-08-01:2024-12-31"
[[tasks]]
task = "math500"
[defaults]
limit = 5
seed = 0
engine = "transformers"
options = {dtype = "bfloat16", end_token = ["a", "b"]}
[[models]]
model = "here"
group = "g"
gpus = 2
[[models]]
model = "org/b"
temperature = 0.0
seed = 7
options = {dtype = "float32"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "s.toml").write_text(SUITE)
    (tmp_path / "my.py").write_text(TASK)
    (tmp_path / "own.json").write_text(json.dumps({"temperature": 0.9, "n": {"math500": 2, "livecodebench": 9}}))
    return tmp_path


def test_the_jobs_of_a_suite(folder: Path) -> None:
    jobs = plan_suite(*read_suite(str(folder / "s.toml")))
    here = str(folder / "here")
    first = (
        "-t",
        "livecodebench,math500",
        "-T",
        "livecodebench.window=2024-08-01:2024-12-31",
        "--task-file",
        str(folder / "my.py"),
    )
    many = ("-E", "end_token=a", "-E", "end_token=b")
    common = (*first, "--limit", "5", "--seed", "0", "--engine", "transformers", "-E", "dtype=bfloat16", *many)
    other = (*first, "--limit", "5", "--seed", "7", "--engine", "transformers", "-E", "dtype=float32")
    assert [(job.model, job.group, job.gpus) for job in jobs] == [(here, "g", 2), ("org/b", "", 0)] * 2
    assert [job.arguments for job in jobs] == [common, other] * 2
    assert [job.name for job in jobs] == [
        f"{here}, deepseek-r1",
        "org/b, deepseek-r1+temperature=0",
        f"{here}, own",
        "org/b, own+temperature=0",
    ]
    assert [job.protocol.temperature for job in jobs] == [0.6, 0.0, 0.9, 0.0]
    assert jobs[0].protocol.n["livecodebench"] == 3
    assert jobs[2].protocol.n == {"math500": 2, "livecodebench": 3}


def test_a_suite_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(EvalkitError, match=r"x\.toml cannot be read"):
        read_suite(str(tmp_path / "x.toml"))
    with pytest.raises(EvalkitError, match="There is no suite"):
        read_suite(str(tmp_path / "none.toml"))
    suite, folder = read_suite("r1-distill")
    assert (suite.name, folder) == ("r1-distill", Path.cwd())


class Process:
    """A process of a job: it writes its log and ends when `code` is set."""

    def __init__(self, command: list[str], stdout: Any, stderr: int, env: dict[str, str]) -> None:
        self.command, self.env = command, env
        self.log = Path(stdout.name)
        self.code: int | None = None
        self.signals: list[str] = []
        assert stderr == subprocess.STDOUT

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.signals.append("terminate")

    def kill(self) -> None:
        self.signals.append("kill")

    def wait(self, seconds: float) -> int:
        raise subprocess.TimeoutExpired("x", seconds)


class Machine:
    """Runs a suite's processes: `moves` are made one after another, whenever the suite waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gpus: int = 0) -> None:
        self.processes: list[Process] = []
        self.moves: list[Callable[[], None]] = []
        monkeypatch.setattr(suites, "visible_gpus", lambda: [GPU(str(i), memory=80 << 30) for i in range(gpus)])
        monkeypatch.setattr(subprocess, "Popen", self.start)
        monkeypatch.setattr(suites, "time", SimpleNamespace(sleep=self.wait))

    def start(self, command: list[str], **options: Any) -> Process:
        self.processes.append(Process(command, **options))
        return self.processes[-1]

    def wait(self, seconds: float) -> None:
        self.moves.pop(0)()

    def ends(self, number: int, code: int, log: str) -> Callable[[], None]:
        def move() -> None:
            self.processes[number].log.write_text(log)
            self.processes[number].code = code

        return move

    def says(self, number: int, log: str) -> Callable[[], None]:
        def move() -> None:
            self.processes[number].log.write_text(log)

        return move


def job(model: str, gpus: int = 0, *arguments: str) -> Job:
    from evalkit.benchmark.protocols import find_protocol

    return Job(model, "", find_protocol("deepseek-r1"), arguments, gpus)


def suite_of(side_by_side: int | None = None) -> Any:
    return SimpleNamespace(name="s", side_by_side=side_by_side)


def test_a_suite_runs_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine = Machine(monkeypatch)
    run = SuiteRun(suite_of(), [job("a", 0, "-t", "x"), job("b")], tmp_path, ["--workers", "1"])
    assert [(s.log, s.said, s.code) for s in run.states] == [
        (tmp_path / "suites/s/01.log", "waiting", None),
        (tmp_path / "suites/s/02.log", "waiting", None),
    ]
    shown: list[list[tuple[str, int | None]]] = []
    machine.moves = [
        machine.says(0, "loading\nhalf a li"),
        lambda: None,
        machine.ends(0, 0, "run directory: first\nrun directory: results/a/x\n"),
        machine.ends(1, 2, "run directory: b\nerror: bad\n \n"),
        lambda: None,
    ]
    run.execute(lambda states: shown.append([(s.said, s.code) for s in states]))
    assert shown == [
        [("started", None), ("waiting", None)],
        [("loading", None), ("waiting", None)],
        [("finished", 0), ("started", None)],
        [("finished", 0), ("error: bad", 2)],
        [("finished", 0), ("error: bad", 2)],
    ]
    assert [s.run for s in run.states] == [Path("results/a/x"), Path("b")]
    first = machine.processes[0]
    protocol = first.command[6]
    assert first.command == [
        *(sys.executable, "-m", "evalkit", "run", "a", "--protocol", protocol, "-t", "x"),
        *("--results", str(tmp_path), "--workers", "1"),
    ]
    assert Path(protocol) == tmp_path / "suites" / "s" / "01.json", "beside its log"
    assert first.env["EVALKIT_PARENT"] == str(os.getpid())
    assert "CUDA_VISIBLE_DEVICES" not in first.env
    assert first.signals == []


def test_a_suite_that_is_stopped_ends_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)

    def interrupt() -> None:
        raise KeyboardInterrupt

    machine.moves = [machine.ends(0, 0, "x\n"), interrupt]
    run = SuiteRun(suite_of(2), [job("a"), job("b"), job("c")], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    assert [process.signals for process in machine.processes] == [[], ["terminate", "kill"], ["terminate", "kill"]]


def started(run: SuiteRun, machine: Machine, tmp_path: Path) -> list[tuple[str, str]]:
    before = len(machine.processes)
    list(run._started())
    new = machine.processes[before:]
    return [(process.command[4], process.env.get("CUDA_VISIBLE_DEVICES", "")) for process in new]


def test_gpus_are_divided_among_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "_gpus_for", lambda model, memory: {"large": 2}.get(model, 1))
    machine = Machine(monkeypatch, gpus=4)
    run = SuiteRun(suite_of(), [job("a"), job("large"), job("b"), job("huge", 9)], tmp_path)
    assert [run._needed(state.job) for state in run.states] == [1, 2, 1, 4]
    assert started(run, machine, tmp_path) == [("huge", "0,1,2,3")], "it needs all that there are"
    assert started(run, machine, tmp_path) == []
    machine.processes[0].code = 0
    list(run._ended())
    assert started(run, machine, tmp_path) == [("large", "0,1"), ("a", "2"), ("b", "3")]
    machine = Machine(monkeypatch, gpus=4)
    two = SuiteRun(suite_of(2), [job("a"), job("b"), job("c")], tmp_path)
    assert started(two, machine, tmp_path) == [("a", "0,1"), ("b", "2,3")]
    machine.processes[1].code = 1
    list(two._ended())
    assert started(two, machine, tmp_path) == [("c", "2,3")]
    assert SuiteRun(suite_of(3), [job("a")], tmp_path, most=1)._most == 1
    assert SuiteRun(suite_of(3), [job("a")], tmp_path)._most == 3
    assert SuiteRun(suite_of(), [job("a")], tmp_path)._most == 4
    machine = Machine(monkeypatch)
    none = SuiteRun(suite_of(), [job("a", 3), job("b")], tmp_path)
    assert (none._most, none._needed(none.states[0].job)) == (1, 0)


def test_how_many_gpus_weights_need(monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit.engines import checkpoint, weights

    size: list[int | None] = [0]
    monkeypatch.setattr(checkpoint, "Checkpoint", lambda model: model)
    monkeypatch.setattr(weights, "weight_bytes", lambda found: size[0])

    def needed(of: int | None, memory: int | None = 100) -> int:
        size[0] = of
        return suites._gpus_for("m", memory)

    assert [needed(of) for of in (None, 1, 75, 76, 150, 151, 301)] == [1, 1, 1, 2, 2, 4, 8]
    assert needed(10**9, None) == 1

    def broken(model: str) -> object:
        raise EvalkitError("no", "such")

    monkeypatch.setattr(checkpoint, "Checkpoint", broken)
    assert suites._gpus_for("m", 100) == 1


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert suites._last_line(log) == suites._read(log) == ""
    for text, line in (
        ("", ""),
        ("half", ""),
        ("a\n", "a"),
        ("a\n b \n\n", "b"),
        ("a\nhalf", "a"),
        ("x" * 5000 + "\nend\n", "end"),
    ):
        log.write_text(text)
        assert suites._last_line(log) == line
    log.write_bytes(b"\xff\n")
    assert suites._last_line(log) == suites._read(log).strip() == "\ufffd"
    assert JobState(job("a"), log).devices == []
    assert suites._error(log) == suites._error(tmp_path / "none") == ""
    log.write_text("error: an earlier one.\nhint: no.\nerror: There is no model x.\nhint: give a folder.\n")
    assert suites._error(log) == "error: There is no model x."


# Checkpoints


def safetensors(path: Path, data: int = 8, told: int = 8, length: int | None = None) -> Path:
    header = json.dumps(
        {"__metadata__": {"a": "b"}, "w": {"data_offsets": [0, told]}, "v": {"data_offsets": [0, 2]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + b"x" * data)
    return path


def checkpoint(folder: Path, age: float = 1000.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    safetensors(folder / "model.safetensors")
    return aged(folder, age)


def aged(folder: Path, age: float = 1000.0) -> Path:
    for path in (*folder.iterdir(), folder):
        os.utime(path, (10_000 - age, 10_000 - age))
    return folder


def test_a_checkpoint_is_complete(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "c", age=100)

    def why(settle: float = 100.0) -> str | None:
        return why_incomplete(folder, settle, now=10_000)

    assert why() is None
    assert why(100.5) == "it has just changed"
    (folder / "x.tmp").write_text("")
    (folder / "a.lock").write_text("")
    assert why() == "a.lock is a temporary file"
    for name in ("x.tmp", "a.lock"):
        (folder / name).unlink()
    weights = folder / "model.safetensors"
    safetensors(weights, data=7)
    assert why(0) == "model.safetensors is cut"
    safetensors(weights, data=9)
    assert why(0) == "model.safetensors is cut"
    safetensors(weights, length=10**6)
    assert why(0) == "model.safetensors has no header"
    weights.write_bytes(b"1234567")
    assert why(0) == "model.safetensors has no header"
    weights.write_bytes(struct.pack("<Q", 2) + b"{}")
    assert why(-1e12) is None, "a file without a tensor is whole"
    weights.unlink()
    (folder / "training_args.bin").write_text("")
    assert why(-1e12) == "it has no weights"
    (folder / "pytorch_model.bin").write_text("")
    assert why(-1e12) is None
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a": "two.safetensors", "b": "one.safetensors", "c": "pytorch_model.bin"}})
    )
    assert why(-1e12) == "one.safetensors is missing"
    index.write_text("[]")
    assert str(why(-1e12)).startswith("TypeError: ")
    (folder / "config.json").write_text("{")
    assert str(why(-1e12)).startswith("JSONDecodeError: ")
    (folder / "config.json").unlink()
    assert str(why(-1e12)).startswith("FileNotFoundError: ")


def test_checkpoints_and_their_steps(tmp_path: Path) -> None:
    for name in ("checkpoint-10", "checkpoint-9", "deep/er", "too/deep/down"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    names = [str(path.relative_to(tmp_path)) for path in checkpoints_in(tmp_path)]
    assert names == ["checkpoint-9", "checkpoint-10", "deep/er"]
    assert checkpoints_in(tmp_path / "deep/er") == [tmp_path / "deep/er"]
    assert [step_of(path) for path in checkpoints_in(tmp_path)] == [9, 10, None]
    (tmp_path / "deep/er/trainer_state.json").write_text('{"global_step": 70}')
    assert step_of(tmp_path / "deep/er") == 70
    (tmp_path / "checkpoint-9/trainer_state.json").write_text("{}")
    assert step_of(tmp_path / "checkpoint-9") == 9
    assert step_of(Path("v2-step-300")) == 300


def watch_of(tmp_path: Path, **options: Any) -> Watch:
    (tmp_path / "out").mkdir(exist_ok=True)
    return Watch(tmp_path / "out", tmp_path / "results", ["-t", "sums"], **options)


def test_what_is_evaluated_next(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"out/c-{i}") for i in (1, 2, 3)]
    (tmp_path / "out/c-2/x.tmp").write_text("")
    watch = watch_of(tmp_path)
    assert (watch.every_new, watch.settle) == (True, 10.0)
    assert watch.waiting() == [paths[0], paths[2]]
    watch.failed[paths[0]] = 2
    assert watch.waiting() == [paths[0], paths[2]]
    watch.failed[paths[0]] = 3
    watch.done.add(paths[2])
    assert watch.waiting() == []
    newest = watch_of(tmp_path, every_new=False)
    assert newest.waiting() == [paths[2]]
    assert newest.done == {paths[0]}
    assert newest.waiting() == [paths[2]]
    patient = watch_of(tmp_path, settle=1e12)
    assert (patient.waiting(), patient.waiting(settle=0.0)) == ([], [paths[0], paths[2]])
    assert patient._can_come()
    assert list(patient._incomplete()) == [
        f"{paths[0]}: not complete: it has just changed",
        f"{paths[1]}: not complete: x.tmp is a temporary file",
        f"{paths[2]}: not complete: it has just changed",
    ]
    with pytest.raises(EvalkitError, match="does not exist"):
        Watch(tmp_path / "none", tmp_path, [])


def test_a_checkpoint_is_evaluated_by_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[tuple[list[str], dict[str, Any]]] = []
    said = ["run directory: first\nrun directory: results/m/x\n", 0]

    def run(command: list[str], **options: Any) -> Any:
        asked.append((command, options))
        return SimpleNamespace(returncode=said[1], stderr=said[0])

    monkeypatch.setattr(subprocess, "run", run)
    extended: list[tuple[Path, Path]] = []
    monkeypatch.setattr(Watch, "extend_curve", lambda self, point, found: extended.append((point, found.path)))
    watch, path = watch_of(tmp_path), tmp_path / "out/c-1"
    assert watch.evaluate(path)
    command = [sys.executable, "-m", "evalkit", "run", str(path), "--results", str(tmp_path / "results"), "-t", "sums"]
    assert asked[0][0] == command
    options = asked[0][1]
    assert options["env"]["EVALKIT_PARENT"] == str(os.getpid())
    assert (options["stderr"], options["stdout"]) == (subprocess.PIPE, subprocess.DEVNULL)
    assert (options["encoding"], options["errors"]) == ("utf-8", "replace")
    assert extended == [(path, Path("results/m/x"))]
    assert (watch.done, watch.failed) == ({path}, {})
    other = tmp_path / "out/c-2"
    for text, code, told in (("error: first\nerror: bad\nhint: x\n", 2, "error: bad"), ("nothing\n", 0, "no error")):
        said[:] = [text, code]
        caplog.clear()
        assert not watch.evaluate(other)
        again = "it is tried again when a file in it has changed, or in ten minutes" if code else "try 1 of 3"
        assert [r.getMessage() for r in caplog.records] == [f"{other}: exit code {code}, {told}; {again}"]
    said[:] = ["run directory: x\n", 1]
    assert not watch.evaluate(other)
    assert (watch.done, watch.failed, set(watch.refused)) == ({path}, {other: 2}, {other})
    said[:] = ["run directory: x\n", 0]
    assert watch.evaluate(other)
    assert (watch.done, watch.failed, watch.refused) == ({path, other}, {}, {}), "it could be evaluated in the end"


def test_a_refused_checkpoint_is_tried_again_once_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path / "out/c-1")
    watch = watch_of(tmp_path)
    codes = [2, 2, 2, 2, 1]
    now = [10_000.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=codes.pop(0), stderr="error: no such task\n")
    )
    assert watch.waiting() == [path]
    assert not watch.evaluate(path)
    assert watch.waiting() == [], "the same command would be refused again"
    for number in range(3):
        (path / f"tokenizer{number}.json").write_text("{}")
        aged(path, age=500 - number)
        assert watch.waiting() == [path], "a file has come"
        assert not watch.evaluate(path)
        assert watch.waiting() == []
    now[0] += 600
    assert watch.waiting() == [path], "what was in the way may be gone"
    assert not watch.evaluate(path)
    assert watch.waiting() == [path], "what could not finish is resumed"
    assert (watch.failed, set(watch.refused), codes) == ({path: 1}, {path}, [])


def always(text: str, request: object) -> str:
    return text


def test_a_curve_has_a_line_for_each_figure(tmp_path: Path) -> None:
    watch = watch_of(tmp_path)
    rows = []
    for step, told in ((20, "0"), (3, "4"), (20, "2")):
        path = tmp_path / f"results/run-{step}-{told}/x"
        execute_plan(planned(ToldEngine(partial(always, told)), n=1), path, progress=False)
        curve = watch.extend_curve(tmp_path / f"out/checkpoint-{step}", RunDirectory(path))
        assert curve == tmp_path / "results/curves/out.csv"
        rows.append(list(csv.DictReader(curve.read_text().splitlines())))
    text = curve.read_text().splitlines()
    assert text[0] == (
        "step,checkpoint,task,metric,value,unit,run_low,run_high,problems_low,problems_high,n,problems,"
        "truncated,errors,run"
    )
    assert [(r["step"], r["checkpoint"], r["run"]) for r in rows[1]] == [
        ("3", "checkpoint-3", "run-3-4/x"),
        ("20", "checkpoint-20", "run-20-0/x"),
    ]
    last = rows[2]
    assert [(r["step"], r["run"]) for r in last] == [("3", "run-3-4/x"), ("20", "run-20-2/x")]
    assert (last[0]["task"], last[0]["metric"], last[0]["unit"], last[0]["n"], last[0]["problems"]) == (
        *("sums", "pass@1", "%", "1", "3"),
    )
    assert float(last[0]["value"]) == pytest.approx(100 / 3)
    assert float(last[0]["run_low"]) < 100 / 3 < float(last[0]["run_high"])
    assert float(last[0]["problems_low"]) < 100 / 3 < float(last[0]["problems_high"])
    assert (last[0]["truncated"], last[0]["errors"]) == ("0.0", "0")
    older = "step,checkpoint,task,metric,value,unit,run_low,run_high,n,problems,run"
    curve.write_text(f"{older}\n3,checkpoint-3,sums,pass@1,50.0,%,40.0,60.0,1,3,run-3-4/x\n")
    watch.extend_curve(tmp_path / "out/checkpoint-20", RunDirectory(path))
    before, after = csv.DictReader(curve.read_text().splitlines())
    assert [before[name] for name in older.split(",")][4:] == ["50.0", "%", "40.0", "60.0", "1", "3", "run-3-4/x"]
    assert (before["truncated"], before["problems_low"], after["step"]) == ("", "", "20"), "a curve of before"
    unnumbered = tmp_path / "out/final"
    watch.extend_curve(unnumbered, RunDirectory(path))
    first = next(csv.DictReader(curve.read_text().splitlines()))
    assert (first["step"], first["checkpoint"]) == ("", "final")
    curve.write_text("other,columns\n1,2\n")
    assert watching._read_curve(curve) == []
    assert watching._read_curve(tmp_path / "none.csv") == []


def test_checkpoints_are_followed_until_the_training_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path / "out/c-1")
    (checkpoint(tmp_path / "out/c-2") / "x.tmp").write_text("")
    watch = watch_of(tmp_path)
    evaluated: list[str] = []

    def evaluate(self: Watch, path: Path) -> bool:
        evaluated.append(path.name)
        self.done.add(path)
        return path.name != "c-3"

    monkeypatch.setattr(Watch, "evaluate", evaluate)
    moves: list[Callable[[], object]] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        moves.pop(0)()

    monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=sleep, time=lambda: 10_000.0))
    told: list[str] = []
    until = tmp_path / "finished"
    moves += [lambda: checkpoint(tmp_path / "out/c-3"), lambda: None, until.touch]
    watch.follow(until, once=False, poll=0.5, tell=told.append)
    out = tmp_path / "out"
    assert evaluated == ["c-1", "c-3"]
    assert slept == [0.5] * 3
    assert told == [
        f"{out}/c-1: evaluating",
        f"{out}/c-1: finished",
        f"{out}/c-2: not complete: x.tmp is a temporary file",
        f"{out}/c-3: evaluating",
    ]
    new = checkpoint(out / "c-4", age=0)
    moves += [lambda: aged(new)]
    watch.follow(None, once=True, poll=0.1, tell=told.append)
    assert evaluated[-1] == "c-4", "what is only too new is waited for"
    assert (slept[3:], moves) == ([0.1], [])


# The trainer's callback


def test_the_command_of_a_callback(tmp_path: Path) -> None:
    found = trainer._watch(tmp_path, "sums", ("-n", "4"), Path("results"), True, 9.0)
    assert found == [
        *(sys.executable, "-m", "evalkit", "watch", str(tmp_path), "-t", "sums", "-n", "4", "--results", "results"),
        *("--settle", "9.0", "--poll", "5.0", "--until", str(tmp_path / ".evalkit_training_finished"), "--every-new"),
    ]
    found = trainer._watch(tmp_path, "sums", (), Path("r"), False, 0.5)
    assert found[7:] == [
        *("--results", "r", "--settle", "0.5", "--poll", "0.5"),
        *("--until", str(tmp_path / ".evalkit_training_finished")),
    ]


@pytest.mark.parametrize(("wait", "gpus"), [(True, "7"), (False, None)])
def test_a_callback_evaluates_while_training(
    wait: bool, gpus: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers: Any = ModuleType("transformers")
    transformers.TrainerCallback = object
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    begun: list[tuple[list[str], dict[str, str]]] = []
    waited: list[bool] = []
    finished = tmp_path / "out/.evalkit_training_finished"

    def start(command: list[str], env: dict[str, str]) -> Any:
        begun.append((command, env))
        return SimpleNamespace(wait=lambda: waited.append(finished.exists()))

    monkeypatch.setattr(subprocess, "Popen", start)
    callback: Any = trainer.trainer_callback("sums", "-n", "4", results=tmp_path, gpus=gpus, wait=wait)
    arguments = SimpleNamespace(output_dir=str(tmp_path / "out"))
    callback.on_train_begin(arguments, SimpleNamespace(is_world_process_zero=False), None)
    callback.on_train_end(arguments, None, None)
    assert (begun, finished.exists()) == ([], False)
    finished.parent.mkdir()
    finished.touch()
    callback.on_train_begin(arguments, SimpleNamespace(is_world_process_zero=True), None, model=None)
    assert not finished.exists(), "that of an earlier training"
    ((command, env),) = begun
    assert command == trainer._watch(tmp_path / "out", "sums", ("-n", "4"), tmp_path, True, 10.0)
    assert env["EVALKIT_PARENT"] == str(os.getpid())
    assert env.get("CUDA_VISIBLE_DEVICES") == gpus
    callback.on_train_end(arguments, None, None)
    assert waited == ([True] if wait else [])
    assert finished.exists() == (not wait)


# Other versions of a checkpoint


def test_a_run_of_another_version_of_the_checkpoint_is_told(tmp_path: Path) -> None:
    def identity(fingerprint: str, prefix: str = "a", seed: int = 0) -> dict[str, Any]:
        engine = {"backend": "vllm", "fingerprint": fingerprint, "response_prefix": prefix, "shape": (1, 2)}
        return {"engine": engine, "protocol": {"name": "p"}, "seed": seed}

    def run(name: str, found: dict[str, Any]) -> None:
        RunDirectory(tmp_path / name).begin({"model": "m", "identity": found, "environment": {}, "tasks": {}})

    new = tmp_path / "new"
    assert tell_other_version(tmp_path / "none/new", identity("2")) is None
    (tmp_path / "empty").mkdir()
    run("other", identity("1", seed=1))
    run("same", identity("2"))
    assert tell_other_version(new, identity("2")) is None
    run("x", identity("1", prefix="b"))
    assert tell_other_version(new, identity("2")) == (
        f"the checkpoint has changed since {tmp_path / 'x'}: its version was 1 and is 2. This is another run; "
        "on the hub, --revision 1 goes on with that one"
    )
    assert tell_other_version(tmp_path / "same", identity("2")) is None, "that run is there"
