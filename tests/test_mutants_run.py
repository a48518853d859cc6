"""Runs and what is stored of them, whole: a replayed run, imported logs, the order of requests, plans, identities."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peer_logs
import pytest
from helpers import write_recorded
from snapshots import check_json
from synthetic import write_all

import evalkit
from evalkit import Run, evaluate
from evalkit.errors import EvalkitError
from evalkit.run.importing import import_run
from evalkit.run.progress import Progress, TaskProgress
from evalkit.run.rescore import rescore
from evalkit.run.schedule import Schedule
from evalkit.run.scoring import _GradingTimes, score_completion
from evalkit.store.halves import halves_of
from evalkit.store.identity import content_of, prompt_digests, refuse_differences, run_differences, task_differences
from evalkit.store.lines import LineWriter, checksum_fits, encode_line, read_checked
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory
from evalkit.types import Completion, SampleKey, Score


def cleaned(value: Any, *folders: Path) -> Any:
    """Without what differs from machine to machine and from hour to hour."""
    text = json.dumps(value)
    for folder in folders:
        text = text.replace(str(folder), "FOLDER")
    text = text.replace(evalkit.__version__, "VERSION")
    text = re.sub(r"\b20\d\d-\d\d-\d\dT[\d:.]+(Z|\+00:00)?", "DATE", text)
    made = json.loads(text)
    return _without(made)


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in ("environment", "seconds", "crc", "started")}
    return [_without(v) for v in value] if isinstance(value, list) else value


def held_of(run: Path, *folders: Path, lines: int = 6) -> dict[str, Any]:
    """run.json, the reports, and the first lines of completions and scores."""
    found = {"run": cleaned(json.loads((run / "run.json").read_text()), *folders)}
    for path in sorted(run.glob("*/report.json")):
        found[f"report {path.parent.name}"] = cleaned(json.loads(path.read_text()), *folders)
    for name in ("completions", "scores"):
        for path in sorted(run.glob(f"*/{name}.jsonl")):
            rows = sorted(
                map(json.loads, path.read_text().splitlines()), key=lambda r: (r["problem_id"], r["sample_index"])
            )
            found[f"{name} {path.parent.name}"] = [len(rows), *cleaned(rows[:lines], *folders)]
    return found


def replayed(tmp_path: Path, recorded: object, **arguments: Any) -> Run:
    """A run of AIME 2024's problems, which are made here, over recorded completions."""
    arguments = {"engine": "replay", "engine_options": {"recorded": (str(recorded),)}, **arguments}
    data = str(write_all(tmp_path / "data"))
    common: dict[str, Any] = {"data": data, "allow_changed_data": True, "output": tmp_path / "run", "progress": False}
    return evaluate(arguments.pop("model"), "aime24", **arguments, **common)


@pytest.mark.slow
def test_a_replayed_run_whole(tmp_path: Path) -> None:
    """Correct, wrong, none, cut with and without an answer, an engine's error, unclosed thinking; then scored again."""
    texts = [r"a</think>\boxed{0}", r"a</think>\boxed{1}", "a</think>no idea", "a"]
    rows = [
        {
            "problem_id": str(i),
            "text": [texts[(i + j) % 4] for j in range(4)],
            "completion_tokens": 10 * i + 5,
            "prompt_tokens": 20 + i,
            "finish_reason": "length" if i % 3 == 1 else "stop",
            "prefix": "<think>\n",
        }
        for i in range(4)
    ]
    rows.append({"problem_id": "4", "text": ["x"] * 4, "error": "it died", "finish_reason": "error"})
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = replayed(tmp_path, recorded, n=4, limit=5, model="lab/model", max_tokens=100)
    held = held_of(run.path, tmp_path)
    check_json("run/replayed.json", held)
    before = {p.name: p.read_bytes() for p in (run.path / "aime24").iterdir() if p.suffix == ".json"}
    rescore(run.path, data=str(tmp_path / "data"))
    assert {p.name: p.read_bytes() for p in (run.path / "aime24").iterdir() if p.suffix == ".json"} == before


@pytest.mark.slow
@pytest.mark.parametrize("layout", sorted(peer_logs.WRITERS))
def test_imported_logs_whole(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_DATA", raising=False)  # a log is matched with the problems of real data where it is set
    log = peer_logs.WRITERS[layout][1](tmp_path / "log")
    run = import_run(log, tmp_path / "run", model="lab/student", workers=1)
    check_json(f"run/imported {layout}.json", held_of(run.path, tmp_path, lines=3))


# The order of requests


class Clock:
    """A clock that does not start at 0."""

    now = 5000.0

    def __call__(self) -> float:
        return self.now


def ordered(limits: list[int], problems: list[tuple[int, range]], slots: int, lengths: Any) -> list[Any]:
    """The draws of a simulated engine that runs `slots` samples, with what is expected and the time left."""
    clock = Clock()
    schedule = Schedule(limits, problems, clock)
    running: list[tuple[float, int, int, int]] = []
    told: list[Any] = []
    while len(schedule) or running:
        while len(schedule) and len(running) < slots:
            number, sample = schedule.draw()
            tokens = lengths(number, sample)
            told.append([number, sample, round(schedule.expected(number), 3)])
            running.append((clock.now + tokens / 50, number, sample, tokens))
        running.sort()
        end, number, sample, tokens = running.pop(0)
        clock.now = max(clock.now, end)
        left = schedule.seconds_left()
        told.append(None if left is None else round(left, 3))
        schedule.finish(number, sample, tokens if tokens != 13 else None)
    return told


def test_the_order_of_requests() -> None:
    held = {
        "two tasks": ordered(
            [1000, 4000], [(0, range(4)), (0, range(2)), (1, range(3))], 2, lambda p, s: 100 * (p + 1) + 10 * s
        ),
        "resumed": ordered(
            [500], [(0, range(2, 4)), (0, range(0)), (0, range(3))], 4, lambda p, s: 13 if s == 1 else 300 + p
        ),
        "one": ordered([64], [(0, range(9))], 1, lambda p, s: 64 - s),
        "wide": ordered([2000], [(0, range(12)) for _ in range(5)], 9, lambda p, s: 20 + 300 * p + 7 * s),
    }
    check_json("run/order.json", held)
    schedule = Schedule([10], [(0, range(1))], Clock())
    assert schedule.draw() == (0, 0)
    with pytest.raises(IndexError):
        schedule.draw()


# Progress, grading


def test_the_running_score_is_the_mean_over_problems() -> None:
    progress = TaskProgress(9)
    assert progress.score() is None
    for problem, value, status in (
        ("a", 1.0, "correct"),
        ("a", 0.0, "error"),
        ("b", 0.0, "wrong"),
        ("b", 0.0, "wrong"),
        ("c", 1.0, "correct"),
    ):
        progress.add_score(Score(value, status, key=SampleKey("t", problem, 0)))  # type: ignore[arg-type]
    assert (progress.graded, progress.errors) == (5, 1)
    assert progress.score() == pytest.approx(50)


def test_the_speed_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    progress = Progress({"t": 99}, quiet=True)

    def completed(tokens: int | None) -> None:
        progress.add_completion(Completion("t", "p", 0, "", "stop", 1, tokens, 1.0))

    assert progress.speed() is None
    progress.follow(lambda: 5000.0, lambda: 5.0)
    clock.now = 5010
    completed(1000)
    assert progress.speed() == 100
    clock.now = 5060
    completed(None)
    assert progress.speed() == pytest.approx(1000 / 60)
    clock.now = 5060.5
    completed(5000)
    assert progress.speed() == pytest.approx(5000 / 50.5), "since the oldest of the last minute"
    clock.now = 5200
    completed(100)
    assert progress.speed() == 0, "nothing else came in the last minute"
    assert progress._cells("t") == ("4/99", "–", "0.0%", "0")


def test_another_worker_has_to_pay() -> None:
    times = _GradingTimes()
    assert not times.is_worth_another(1000, 1)
    times.add(2.0)
    assert not times.is_worth_another(1000, 1), "only the start is known"
    times.add(0.1)
    times.add(0.3)
    assert not times.is_worth_another(40, 1)  # 8 s of work, 4 s saved, a start of 2 s
    assert times.is_worth_another(41, 1)
    assert not times.is_worth_another(120, 2)
    assert times.is_worth_another(121, 2)


def test_the_statuses_of_a_completion() -> None:
    def graded(text: str, finish: Any = "stop", error: str | None = None, prefix: str = "") -> tuple[str, str]:
        made = Completion("t", "p", 3, text, finish, 1, 1, 1.0, prefix, error)
        score = score_completion(
            made, lambda r: Score(0.0, "no_answer", explanation="none") if r == "none" else Score(1.0, "correct", r)
        )
        assert score.key == SampleKey("t", "p", 3)
        return score.status, score.answer or score.explanation

    assert graded("a</think>b") == ("correct", "b")
    assert graded("b", "length") == ("correct", "b")
    assert graded("none", "length") == ("truncated", "cut at the limit; none")
    assert graded("none") == ("no_answer", "none")
    assert graded("a", "length", prefix="<think>") == ("truncated", "cut at the limit; the thinking was not closed")
    assert graded("a", prefix="<think>") == ("no_answer", "the thinking was not closed")
    assert graded("b", "error", "died") == ("error", "engine: died")


# What is stored


def test_lines_have_checksums(tmp_path: Path) -> None:
    line = encode_line({"a": "é", "b": [1, None]})
    assert line.endswith(b'"}\n')
    assert json.loads(line)["a"] == "é"
    assert checksum_fits(line[:-1])
    assert not checksum_fits(line[:-1].replace(b"null", b"nul1"))
    assert checksum_fits(b'{"a": 1}'), "a line without one is accepted"
    assert not checksum_fits(line[:-4] + b'z"}')
    assert b"\\ud800" in encode_line({"a": "\ud800"})
    path = tmp_path / "x.jsonl"
    assert list(read_checked(path)) == []
    path.write_bytes(line + b"{}\n" + b'{"torn')
    assert [(n, json.loads(x)) for n, x in read_checked(path)] == [(1, json.loads(line)), (2, {})]
    with LineWriter(path) as writer:
        assert writer.repaired_bytes == 6
        writer.append({"c": 1})
    with LineWriter(path) as writer:
        assert writer.repaired_bytes == 0
    assert [n for n, _ in read_checked(path)] == [1, 2, 3]
    path.write_bytes(b"x" * 70_000 + b"\n" + b"y" * 70_000)
    with LineWriter(path) as writer:
        assert writer.repaired_bytes == 70_000
    path.write_bytes(b"y" * 70_000)
    with LineWriter(path) as writer:
        assert writer.repaired_bytes == 70_000
    assert path.read_bytes() == b""
    path.write_bytes(line + line.replace(b"null", b"nul1"))
    with pytest.raises(EvalkitError, match="Line 2 of"):
        list(read_checked(path))


def test_plans() -> None:
    plan = SamplePlan({"a": 2, "b": 4})
    assert (plan.n, plan.most, plan.samples, SamplePlan().n, SamplePlan().most) == (2, 4, 6, 0, 0)
    assert [("a", i) in plan for i in (-1, 0, 1, 2)] == [False, True, True, False]
    assert ("c", 0) not in plan
    assert plan.sampling() == {"n": 2, "by_problem": {"b": 4}}
    assert SamplePlan.uniform("ab", 3).sampling() == {"n": 3}
    assert SamplePlan.of_entry({"problem_ids": ["a", "b"], "sampling": plan.sampling()}) == plan
    assert SamplePlan.of_entry({"problem_ids": ["a"], "sampling": {"n": 5, "by_problem": None}}).counts == {"a": 5}
    assert plan.covers(SamplePlan({"a": 2}))
    assert not plan.covers(SamplePlan({"a": 3}))
    assert not plan.covers(SamplePlan({"c": 1}))
    assert list(plan.united(SamplePlan({"c": 1, "a": 3, "d": 0}), ["c"]).counts.items()) == [
        ("c", 1),
        ("a", 3),
        ("b", 4),
    ]
    assert plan.missing([("a", 0), ("a", 0), ("a", 2), ("b", 3), ("z", 0)]) == 4
    values = {("p", i): i for i in range(9)}
    assert halves_of(values, "p", 3, [(1, 2), (2, 1)]) == ([0, 2, 3, 6, 7], [1, 4, 5, 8])
    with pytest.raises(KeyError):
        halves_of(values, "q", 1, [])


SHA, OTHER = "a" * 40, "b" * 64
ENGINE = {"backend": "vllm", "model": "m", "fingerprint": SHA, "dtype": "bf16"}
RUN = {"engine": ENGINE, "protocol": {"temperature": 0.6, "top_p": 0.95}, "seed": 0}


def with_engine(**changed: Any) -> dict[str, Any]:
    return {**RUN, "engine": {**ENGINE, **changed}}


@pytest.mark.parametrize(
    ("present", "wanted", "names"),
    [
        (RUN, RUN, []),
        (RUN, with_engine(model="other"), []),
        (RUN, with_engine(model="other", fingerprint=OTHER), ["engine.fingerprint"]),
        (with_engine(fingerprint="x"), with_engine(fingerprint="x", model="n"), ["engine.model"]),
        (with_engine(fingerprint="x"), with_engine(model="n"), ["engine.fingerprint", "engine.model"]),
        (RUN, with_engine(code="c", tokenizer="t"), []),
        (with_engine(code="c"), with_engine(code="d"), ["engine.code"]),
        (with_engine(code="c"), RUN, ["engine.code"]),
        (RUN, with_engine(more=1), ["engine.more"]),
        (RUN, {**RUN, "seed": 1, "protocol": {"temperature": 0.7, "top_p": 0.95}}, ["protocol.temperature", "seed"]),
        (RUN, {**RUN, "protocol": {"temperature": 0.6}}, ["protocol.top_p"]),
        (with_engine(backend="replay"), {**with_engine(backend="replay"), "protocol": 3}, []),
        (
            with_engine(backend="replay"),
            {**RUN, "protocol": {}},
            ["engine.backend", "protocol.temperature", "protocol.top_p"],
        ),
        ({}, RUN, ["engine.backend", "engine.dtype", "engine.fingerprint", "engine.model", "protocol", "seed"]),
    ],
)
def test_differences_of_runs(present: Any, wanted: Any, names: list[str]) -> None:
    found = run_differences(present, wanted)
    assert [name for name, _, _ in found] == names
    assert (
        [name for name, _, _ in run_differences(wanted, present)] == names
        or present == {}
        or "code" in str((present, wanted))
    )


def test_the_content_of_an_identity_has_no_labels() -> None:
    assert content_of(RUN) == content_of(with_engine(model="other"))
    assert content_of(RUN) != content_of(with_engine(fingerprint=OTHER))
    assert content_of(with_engine(fingerprint="x")) != content_of(with_engine(fingerprint="x", model="n"))


def entry(digests: Any = None, **identity: Any) -> dict[str, Any]:
    made = {
        "identity": {"version": 1, "prompt": "{problem}", "task_file_sha256": "x", **identity},
        "problem_ids": ["a", "b"],
    }
    return {**made, "problem_prompts": digests} if digests is not None else made


@pytest.mark.parametrize(
    ("present", "wanted", "names"),
    [
        (entry(["1", "2"]), entry(["1", "2"]), []),
        (entry(["1", "2"]), entry(["1", "3"]), ["the prompt of problem b"]),
        (entry(["1", "2"]), {**entry(["1"]), "problem_ids": ["a"]}, []),
        (entry(["1", "2"]), {**entry(["9"]), "problem_ids": ["c"]}, []),
        (entry(["1", "2"]), entry(["1", "2"], version=2, task_file_sha256="y"), []),
        (entry(["1", "2"]), entry(["1", "2"], prompt="x"), ["prompt"]),
        (entry(), entry(["1", "2"], task_file_sha256="y"), ["task_file_sha256"]),
        (entry(), entry(["1", "2"], version=2), []),
        (entry(task_file_sha256=None), entry(["1", "2"], task_file_sha256="y"), []),
        (entry(["1"]), entry(["7", "2"]), []),
    ],
)
def test_differences_of_tasks(present: Any, wanted: Any, names: list[str]) -> None:
    assert [name for name, _, _ in task_differences(present, wanted)] == names
    assert present["identity"]["version"] == 1, "what is compared is not changed"


def test_digests_and_refusals() -> None:
    assert prompt_digests(entry([1, "2"])) == {"a": "1", "b": "2"}
    assert prompt_digests(entry(["1"])) is None
    assert prompt_digests(entry()) is None
    refuse_differences(Path("x"), "", [])
    several = [(f"s{i}", i, i + 1) for i in range(6)]
    with pytest.raises(EvalkitError) as caught:
        refuse_differences(Path("x"), "task ", several)
    assert "task s3 was 3 and is now 4" in caught.value.message
    assert "s4" not in caught.value.message
    for names, revision in (
        (["engine.fingerprint"], True),
        (["engine.fingerprint", "engine.response_prefix"], True),
        (["engine.response_prefix"], False),
        (["engine.fingerprint", "seed"], False),
    ):
        with pytest.raises(EvalkitError) as caught:
            refuse_differences(Path("x"), "", [(name, SHA, OTHER) for name in names])
        assert (f"--revision {SHA}" in caught.value.hint) == revision


def test_what_a_run_directory_tells(tmp_path: Path) -> None:
    recorded = write_recorded(tmp_path / "r.jsonl", {"0": ["\\boxed{0}", "x"], "1": ["\\boxed{2}", "y"]})
    replayed(tmp_path, recorded, n=2, limit=2, model="m")
    (task,) = RunDirectory(tmp_path / "run").tasks().values()
    scores = {f"{k.problem_id}/{k.sample_index}": v.status for k, v in task.files.latest_scores().items()}
    assert scores == {"0/0": "correct", "0/1": "wrong", "1/0": "correct", "1/1": "wrong"}
    check_json("run/record.json", cleaned(asdict(task.record), tmp_path))


def test_a_new_grader_is_recorded(tmp_path: Path) -> None:
    recorded = write_recorded(tmp_path / "r.jsonl", {"0": ["\\boxed{0}"]})
    replayed(tmp_path, recorded, n=1, limit=1, model="m")
    run = RunDirectory(tmp_path / "run")
    run.adopt_grader("aime24", 99, "sha", "file.py")
    held = json.loads((tmp_path / "run" / "run.json").read_text())["tasks"]["aime24"]
    assert (held["identity"]["version"], held["spec"]["file"]) == (99, "file.py")
    assert held["identity"].get("task_file_sha256", "sha") == "sha"
    run.record_engine({"device": "cpu"})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["environment"]["engine"] == {"device": "cpu"}
