"""One execution of a run, whole: what is asked of the engine, what is written, and what a second one does."""

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from told_engine import PROTOCOL, ToldEngine, ToldOptions, answer, failed, plain_records, planned, right, sums

import evalkit
from evalkit import DataSource, EvalkitError, Metric, Problem, Run, RunIncompleteError, Score
from evalkit.benchmark.data import LoadedData
from evalkit.benchmark.registry import TaskSpec
from evalkit.engines.base import REFUSED
from evalkit.engines.prompts import Opening
from evalkit.results.own_metrics import NoReportError
from evalkit.run import session as module
from evalkit.run.evaluate import RunPlan, execute_plan
from evalkit.run.planning import digest_of
from evalkit.run.queue import TaskPlan
from evalkit.run.session import (
    RunSession,
    default_run_path,
    engine_line,
    environment,
    require_no_errors,
    run_identity,
    task_description,
)
from evalkit.run.settle import settle
from evalkit.run.shards import Shard
from evalkit.store.grader import GRADER_VERSION
from evalkit.store.identity import content_of
from evalkit.store.run import RunDirectory
from evalkit.types import Completion, Request, SamplingParams

GRADER = f"sums@2+grader{GRADER_VERSION}"


def executed(path: Path, plan: RunPlan, **options: Any) -> tuple[Run, Any]:
    return execute_plan(plan, path, progress=False, **options)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("evalkit.run")]


def test_a_run_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    given = {("p0", 1): "none", ("p1", 0): "3"}
    engine = ToldEngine(lambda request: given.get(request.key[1:], right(request)), context=1000)
    plan = planned(engine, sums(), protocol=replace(PROTOCOL, system_prompt="Be brief."), seed=5, options=ToldOptions())
    run, throughput = executed(tmp_path / "run", plan, prices=(1.0, 10.0))
    assert sorted(request.key for request in engine.asked) == [("sums", f"p{i}", k) for i in range(3) for k in range(2)]
    first = next(request for request in engine.asked if request.key == ("sums", "p1", 0))
    assert first.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"})
    assert first.params == SamplingParams(0.5, 0.95, None, 100, 2, 5)
    assert first.response_prefix == ""
    assert all(request.expected_tokens for request in engine.asked)
    assert (engine.closed, engine.reserved) == (1, [100])

    held = json.loads((tmp_path / "run/run.json").read_text())
    assert held.pop("environment")["engine"] == {"device": "none"}
    entry = held["tasks"].pop("sums")
    fixed = {"temperature": 0.5, "top_p": 0.95, "top_k": None, "max_tokens": 100, "system_prompt": "Be brief."}
    settings = {"name": "mine", **fixed, "response_prefix": ""}
    assert held == {
        "schema": 1,
        "evalkit": evalkit.__version__,
        "model": "lab/model",
        "identity": {
            "engine": {"backend": "told", "model": "m", "fingerprint": "f"},
            "protocol": settings,
            "seed": 5,
            "options": {},
        },
        "protocol": {**settings, "source": "a test", "prompts": {}, "n": {}, "options": {}},
        "opening": None,
        "tasks": {},
    }
    sampling: dict[str, Any] = {"temperature": 0.5, "top_p": 0.95, "top_k": None, "max_tokens": 100, "stop": []}
    assert entry.pop("problem_prompts") == [digest_of([{"role": "user", "content": f"{i} + {i}?"}]) for i in range(3)]
    assert entry.pop("spec")["name"] == "sums"
    assert entry == {
        "title": "Sums",
        "identity": {
            "version": 2,
            "options": {},
            "task_file_sha256": None,
            "prompt": "{problem}",
            "sampling": sampling,
            "data": [],
            "data_unchecked": False,
        },
        "sampling": {"n": 2},
        "data": [],
        "data_folder": None,
        "problem_ids": ["p0", "p1", "p2"],
        "problems_available": 3,
    }

    rows = sorted(
        plain_records(tmp_path / "run/sums/completions.jsonl"), key=lambda r: (r["problem_id"], r["sample_index"])
    )
    assert [row["text"] for row in rows] == ["0", "none", "3", "2", "4", "4"]
    assert rows[1] == asdict(Completion("sums", "p0", 1, "none", "stop", 7, 3, 0.5))
    graded = sorted(
        plain_records(tmp_path / "run/sums/scores.jsonl"), key=lambda r: (r["problem_id"], r["sample_index"])
    )
    assert [row["status"] for row in graded] == ["correct", "no_answer", "wrong", "correct", "correct", "correct"]
    assert graded[2] == {
        "task": "sums",
        "problem_id": "p1",
        "sample_index": 0,
        "value": 0.0,
        "status": "wrong",
        "answer": "3",
        "explanation": "compared",
        "extracted_by": "whole",
        "grader": graded[0]["grader"],
    }
    assert graded[0]["grader"].partition("+file")[0] == GRADER
    report = json.loads((tmp_path / "run/sums/report.json").read_text())
    assert (report["samples"], report["n"], report["statuses"]["wrong"]) == (6, 2, 1)
    assert run.report().metrics[0].value == pytest.approx(100 * 4 / 6)

    (line,) = plain_records(tmp_path / "run/throughput.jsonl")
    assert line == {**asdict(throughput), "prices": [1.0, 10.0]}
    assert (throughput.completions, throughput.prompt_tokens, throughput.generated_tokens) == (6, 42, 18)
    assert throughput.cost == pytest.approx((42 + 180) / 1e6)
    assert said(caplog) == ["engine: told, none", "sums 3 x 2: 6 completions to generate, 0 already on disk"]


def test_a_second_execution_asks_for_what_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    executed(tmp_path, planned(ToldEngine(), limit=2, n=1))
    before = (tmp_path / "sums/completions.jsonl").read_bytes()
    engine = ToldEngine()
    run, throughput = executed(tmp_path, planned(engine, n=2))
    assert sorted(request.key[1:] for request in engine.asked) == [("p0", 1), ("p1", 1), ("p2", 0), ("p2", 1)]
    assert (tmp_path / "sums/completions.jsonl").read_bytes().startswith(before)
    assert len(plain_records(tmp_path / "sums/scores.jsonl")) == 6
    assert "sums 3 x 2: 4 completions to generate, 2 already on disk" in said(caplog)
    assert run.report().samples == 6
    assert throughput.completions == 4
    assert len(plain_records(tmp_path / "throughput.jsonl")) == 2
    third = ToldEngine()
    same, nothing = executed(tmp_path, planned(third, n=1))
    assert (third.asked, third.closed, nothing) == ([], 0, None)
    assert len(plain_records(tmp_path / "throughput.jsonl")) == 2
    assert same.report().samples == 3, "a look at less"
    assert json.loads((tmp_path / "sums/report.json").read_text())["samples"] == 6, "the report stays whole"
    assert json.loads((tmp_path / "run.json").read_text())["tasks"]["sums"]["sampling"] == {"n": 2}


def test_a_failed_request_is_asked_again_and_what_was_graded_is_not(tmp_path: Path) -> None:
    engine = ToldEngine(lambda r: failed(r, "boom") if r.key[1:] == ("p1", 0) else right(r))
    run, _ = executed(tmp_path, planned(engine))
    assert run.errors == {"sums": 1}
    assert not (tmp_path / "finished.json").exists()
    scores = {(r["problem_id"], r["sample_index"]): r for r in plain_records(tmp_path / "sums/scores.jsonl")}
    assert scores["p1", 0]["status"] == "error"
    assert scores["p1", 0]["explanation"] == "engine: boom"
    again = ToldEngine()
    run, _ = executed(tmp_path, planned(again))
    assert [request.key[1:] for request in again.asked] == [("p1", 0)]
    assert run.errors == {}
    assert len(plain_records(tmp_path / "sums/scores.jsonl")) == 7
    assert len(plain_records(tmp_path / "sums/completions.jsonl")) == 7


def test_a_fault_of_the_grader_is_graded_again(tmp_path: Path) -> None:
    executed(tmp_path, planned(ToldEngine(lambda r: "crash" if r.key[1] == "p2" else right(r)), n=1))
    rows = plain_records(tmp_path / "sums/scores.jsonl")
    assert next(r["explanation"] for r in rows if r["status"] == "error").startswith(
        "the grader failed: ValueError: fell over (told_engine.py, line "
    )

    def score(self: object, problem: Problem, response: str) -> Score:
        return Score(1.0, "correct", response)

    engine = ToldEngine()
    executed(tmp_path, planned(engine, sums(score=score), n=1))
    assert engine.asked == []
    rows = plain_records(tmp_path / "sums/scores.jsonl")
    assert [(r["problem_id"], r["status"]) for r in rows[3:]] == [("p2", "correct")]


def test_what_another_grader_gave_is_graded_again_and_a_human_s_word_is_kept(tmp_path: Path) -> None:
    executed(tmp_path, planned(ToldEngine(), n=1))
    path = tmp_path / "sums/scores.jsonl"
    first, second, third = plain_records(path)
    others = [{**first, "grader": "sums@1+grader1"}, {**second, "grader": "human:me", "status": "wrong", "value": 0.0}]
    path.write_text("".join(json.dumps(row) + "\n" for row in (*others, third)))
    executed(tmp_path, planned(ToldEngine(), n=1))
    rows = plain_records(path)
    assert rows[:3] == [*others, third]
    assert rows[3:] == [first]


def test_scores_are_made_of_completions_that_have_none(tmp_path: Path) -> None:
    """Also of those that a smaller limit does not ask for but an earlier plan did."""
    executed(tmp_path, planned(ToldEngine(), n=2))
    whole = sorted(map(str, plain_records(tmp_path / "sums/scores.jsonl")))
    (tmp_path / "sums/scores.jsonl").unlink()
    engine = ToldEngine()
    run, _ = executed(tmp_path, planned(engine, n=1, limit=1))
    assert engine.asked == []
    assert sorted(map(str, plain_records(tmp_path / "sums/scores.jsonl"))) == whole
    assert run.report().samples == 1
    assert json.loads((tmp_path / "sums/report.json").read_text())["samples"] == 6


@pytest.mark.parametrize("most", [1, 2, 5])
def test_what_waits_for_the_graders_is_graded_once(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNSCORED", most)
    executed(tmp_path, planned(ToldEngine(), n=3))
    rows = plain_records(tmp_path / "sums/scores.jsonl")
    assert len(rows) == 9
    assert len({(r["problem_id"], r["sample_index"]) for r in rows}) == 9


def test_a_settled_sample_is_not_asked_for_again(tmp_path: Path) -> None:
    executed(tmp_path, planned(ToldEngine(lambda r: failed(r, "no") if r.key[1:] == ("p0", 0) else right(r))))
    assert settle(RunDirectory(tmp_path), ["sums"]) == {"sums": 1}
    assert json.loads((tmp_path / "sums/report.json").read_text())["settled"] == 1, (
        "the run is complete, and has its figures"
    )
    engine = ToldEngine()
    run, _ = executed(tmp_path, planned(engine))
    assert engine.asked == []
    assert len(plain_records(tmp_path / "sums/scores.jsonl")) == 6
    assert (run.report().settled, run.errors) == (1, {"sums": 1})


def test_a_torn_line_is_removed_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    executed(tmp_path, planned(ToldEngine(), n=1))
    for name in ("completions", "scores"):
        path = tmp_path / f"sums/{name}.jsonl"
        path.write_bytes(path.read_bytes()[:-10])
    last = [tmp_path / f"sums/{name}.jsonl" for name in ("completions", "scores")]
    sizes = [len(path.read_bytes().rpartition(b"\n")[2]) for path in last]
    engine = ToldEngine()
    executed(tmp_path, planned(engine, n=1))
    assert len(engine.asked) == 1
    assert said(caplog) == [
        f"the last line of {path} was incomplete; removed its {size} bytes"
        for path, size in zip(last, sizes, strict=True)
    ]


def test_an_interrupted_run_keeps_what_is_finished(tmp_path: Path) -> None:
    count = 0

    def told(request: Request) -> str:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return right(request)

    engine = ToldEngine(told)
    with pytest.raises(RunIncompleteError) as caught:
        executed(tmp_path, planned(engine))
    assert caught.value.message == f"Stopped. Finished work is in {tmp_path}."
    assert caught.value.hint == "run the same command again to resume."
    assert len(plain_records(tmp_path / "sums/completions.jsonl")) == 2
    assert engine.closed == 1
    assert not (tmp_path / "sums/report.json").exists()
    again = ToldEngine()
    executed(tmp_path, planned(again))
    assert len(again.asked) == 4


def test_what_the_engine_says_at_its_end_is_recorded(tmp_path: Path) -> None:
    engine = ToldEngine()

    def told(request: Request) -> str:
        engine.own = {"device": "a GPU", "gpus": 2}
        return right(request)

    engine.told = told
    executed(tmp_path, planned(engine))
    assert json.loads((tmp_path / "run.json").read_text())["environment"]["engine"] == {"device": "a GPU", "gpus": 2}

    def broken() -> None:
        raise OSError("stuck")

    failing = ToldEngine(close=broken)
    with pytest.raises(RunIncompleteError, match="The engine told failed at its end: OSError: stuck"):
        executed(tmp_path, planned(failing, n=3))


def test_an_engine_looks_at_the_run_that_it_resumes(tmp_path: Path) -> None:
    seen: list[Any] = []
    first = ToldEngine(verify_resumed=seen.append)
    executed(tmp_path, planned(first, n=1))
    assert seen == [], "there was no run"
    second = ToldEngine(own={"device": "other"})

    def verify(recorded: Any) -> None:
        seen.append(dict(recorded))
        second.own = {"device": "other", "checked": True}

    second.verify_resumed = verify  # type: ignore[method-assign]
    executed(tmp_path, planned(second, n=1))
    assert seen == [{"device": "none"}]
    assert json.loads((tmp_path / "run.json").read_text())["environment"]["engine"] == {
        "device": "other",
        "checked": True,
    }

    def refuse(recorded: Any) -> None:
        raise EvalkitError("It is another model.", "look.")

    with pytest.raises(EvalkitError) as caught:
        executed(tmp_path, planned(ToldEngine(verify_resumed=refuse), n=1))
    assert caught.value.message == "It is another model."
    assert caught.value.hint == f"the run is {tmp_path}, of the model lab/model: look."


def test_the_room_that_the_context_leaves_is_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from evalkit.engines.prompts import Prompt

    opening = Opening("", "unopened", False, "no template")
    engine = ToldEngine(
        context=60,
        caps_at_context=True,
        render=lambda request: Prompt("x", tuple(range(10)), "", opening),
        opening=lambda request: opening,
    )
    executed(tmp_path, planned(engine, n=1))
    held = json.loads((tmp_path / "run.json").read_text())
    assert held["tasks"]["sums"]["least_room"] == 50
    assert held["opening"] == asdict(opening)
    assert engine.reserved == [110]
    assert said(caplog) == [
        "sums: the context of 60 tokens leaves a completion 50 at the longest prompt, 50 fewer than max_tokens; "
        "what ends there counts as truncated"
    ]


def test_a_shard_has_no_reports(tmp_path: Path) -> None:
    engine = ToldEngine()
    plan = planned(engine, shard=Shard(2, 3))
    executed(tmp_path, plan)
    held = json.loads((tmp_path / "run.json").read_text())
    assert held["identity"]["shard"] == "2/3"
    assert held["tasks"]["sums"]["sampling"] == {"n": 2}
    assert len(engine.asked) == 2
    assert sorted(path.name for path in tmp_path.glob("sums/*")) == ["completions.jsonl", "scores.jsonl"]
    assert not (tmp_path / "finished.json").exists()


def test_a_run_grows_by_phases(tmp_path: Path) -> None:
    engine = ToldEngine()
    plan = planned(engine, n=4)
    seen: list[tuple[Path, int, int]] = []

    def grow(run: RunDirectory, plans: Sequence[TaskPlan]) -> Sequence[TaskPlan] | None:
        (now,) = plans
        graded = len(list(run.files("sums").scores()))
        seen.append((run.path, now.params.n, graded))
        if now.params.n == 6:
            return None
        grown = replace(now, params=replace(now.params, n=now.params.n + 1), pilot=4, phases={"p0": ((1, 0),)})
        return [grown]

    session = RunSession(
        RunDirectory(tmp_path), "m", plan.plans, engine, PROTOCOL, grow=grow, prices=None, rooms={"sums": None}
    )
    (report,) = session.execute(DataSource(), 0, None, quiet=True)
    assert seen == [(tmp_path, n, 3 * n) for n in (4, 5, 6)]
    assert report.samples == 18
    assert len(engine.asked) == len({request.key for request in engine.asked}) == 18
    assert engine.closed == 1
    sampling = json.loads((tmp_path / "run.json").read_text())["tasks"]["sums"]["sampling"]
    assert sampling == {"n": 6, "pilot": 4, "phases": {"p0": [[1, 0]]}}
    assert session.throughput is not None
    assert session.throughput.completions == 18


def test_the_other_reports_are_written_before_one_fails(tmp_path: Path) -> None:
    def broken(self: object, problems: object, scores: object) -> list[Metric]:
        raise ValueError("no")

    bad, good = sums(name="bad", extra_metrics=broken), sums(name="good")
    with pytest.raises(NoReportError, match="bad"):
        executed(tmp_path, planned(ToldEngine(), bad, good))
    assert not (tmp_path / "bad/report.json").exists()
    assert (tmp_path / "good/report.json").exists()


def test_a_headline_that_is_no_metric_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    executed(tmp_path, planned(ToldEngine(), sums(headlines=("pass@1", "glory"))))
    assert len(said(caplog)) == 1
    assert "glory" in said(caplog)[0]


# Errors that are left


def with_errors(folder: Path, told: Any, **attributes: Any) -> tuple[RunDirectory, list[Any]]:
    run, _ = executed(folder, planned(ToldEngine(told), sums(**attributes), n=1))
    return RunDirectory(folder), [run.report()]


def error_of(run: RunDirectory, reports: list[Any]) -> tuple[str, str]:
    with pytest.raises(RunIncompleteError) as caught:
        require_no_errors(run, reports)
    return caught.value.message, caught.value.hint


def test_a_run_without_errors_is_complete(tmp_path: Path) -> None:
    require_no_errors(*with_errors(tmp_path, right))


def test_errors_are_counted_with_their_most_frequent_reason(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    words = {"p0": "rare.", "p1": "often.", "p2": "often."}
    run, reports = with_errors(folder, lambda r: failed(r, words[r.problem_id]))
    whole = f"The engine or the grader failed on some samples in {folder}: 3 of sums (engine: often)."
    end = "; scores.jsonl has the reason for each."
    assert error_of(run, reports) == (whole, "run the same command again to redo only those" + end)
    files = run.files("sums")
    kept = [row for row in plain_records(files.scores_path) if row["problem_id"] != "p0"]
    assert len(kept) == 2
    settle(run, ["sums"])
    require_no_errors(run, [run_report(folder)])


def run_report(folder: Path) -> Any:
    return Run(folder).report()


def test_what_is_refused_is_not_asked_again(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    run, reports = with_errors(folder, lambda r: failed(r, f"{REFUSED}too long") if r.problem_id != "p1" else right(r))
    message, hint = error_of(run, reports)
    assert message.endswith(f": 2 of sums (engine: {REFUSED}too long).")
    assert hint == (
        f"asking again brings nothing: `evalkit settle '{folder}' --status error` closes them; "
        "scores.jsonl has the reason for each."
    )
    mixed, reports = with_errors(
        tmp_path / "mixed", lambda r: failed(r, f"{REFUSED}long" if r.problem_id == "p1" else "died")
    )
    assert error_of(mixed, reports)[1].startswith("run the same command again to redo only those")


def test_a_task_of_the_user_that_raises_is_named(tmp_path: Path) -> None:
    told = {"p0": "crash", "p1": "crash"}
    run, reports = with_errors(tmp_path / "own", lambda r: told.get(r.problem_id, "4"))
    message, hint = error_of(run, reports)
    assert ": 2 of sums (the grader failed: ValueError: fell over (told_engine.py, line" in message
    assert hint.startswith("repair score() of sums and run the same command again: the completions are kept; ")
    told_mixed = {"p0": "crash"}
    run, reports = with_errors(
        tmp_path / "mixed", lambda r: failed(r, "died") if r.problem_id == "p1" else told_mixed.get(r.problem_id, "4")
    )
    assert error_of(run, reports)[1].startswith("run the same command again to redo only those")


def test_an_imported_run_is_graded_again_or_settled(tmp_path: Path) -> None:
    run, reports = with_errors(tmp_path, lambda r: failed(r, "died") if r.problem_id == "p1" else "4")
    content = json.loads((tmp_path / "run.json").read_text())
    content["identity"]["engine"]["backend"] = "imported"
    run.rewrite(content)
    assert error_of(run, reports)[1].startswith("asking again brings nothing: `evalkit settle ")
    scores = run.files("sums").scores_path
    scores.write_text(scores.read_text().replace("engine: died", "timeout: slow"))
    lines = [{k: v for k, v in row.items() if k != "crc"} for row in plain_records(scores)]
    scores.write_text("".join(json.dumps(line) + "\n" for line in lines))
    hint = error_of(run, reports)[1]
    assert hint.startswith(f"`evalkit score {tmp_path}` grades them again; `evalkit settle {tmp_path} --status error`")


# What is recorded


@pytest.mark.parametrize(
    ("name", "identity", "recorded", "line"),
    [
        ("vllm", {"dtype": "float16"}, {"vllm": "0.9", "gpus": 4, "device": "H100"}, "vllm 0.9, 4 x H100, float16"),
        ("vllm", {"dtype": "a"}, {"gpus": 1, "device": "H100", "dtype": "b"}, "vllm, H100, b"),
        ("x", {}, {"gpus": "4", "device": "H100"}, "x, H100"),
        ("x", {}, {"gpus": 2}, "x"),
        ("x", {}, {"gpus": 2, "device": "cpu"}, "x, 2 x cpu"),
        ("x", {}, {}, "x"),
    ],
)
def test_the_line_of_an_engine(name: str, identity: dict[str, Any], recorded: dict[str, Any], line: str) -> None:
    assert engine_line(name, identity, recorded) == line


def test_the_identity_of_a_run() -> None:
    engine = ToldEngine()
    fixed = PROTOCOL.fixed_settings()
    plain = {"engine": engine.called, "protocol": fixed, "seed": 3}
    assert run_identity(engine, PROTOCOL, 3) == plain
    assert run_identity(engine, PROTOCOL, 3, Shard(1, 4)) == {**plain, "shard": "1/4"}
    assert run_identity(engine, PROTOCOL, 3, options=ToldOptions(3)) == {**plain, "options": {}}
    assert run_identity(engine, PROTOCOL, 3, options=ToldOptions(3, "odd")) == {**plain, "options": {"style": "odd"}}
    auto = replace(PROTOCOL, response_prefix="auto")
    for prefix, thinking, protocol, marked in (
        ("", "unopened", auto, True),
        ("", "unknown", auto, True),
        ("", "open", auto, False),
        ("", "closed", auto, False),
        ("<think>\n", "unopened", auto, False),
        ("", "unopened", PROTOCOL, False),
    ):
        opening = Opening(prefix, thinking, False, "")  # type: ignore[arg-type]
        found = run_identity(engine, protocol, 3, opening=opening)["engine"]
        assert found == ({**engine.called, "response_prefix": "none"} if marked else engine.called)
    assert "response_prefix" not in engine.called
    replay = ToldEngine(called={"backend": "replay"})
    assert run_identity(replay, PROTOCOL, 3)["protocol"] == {**fixed, "asserted": False}
    asserted = run_identity(replay, PROTOCOL.of_recorded(True), 3)["protocol"]
    assert (asserted["asserted"], asserted["name"]) == (True, "mine (asserted)")
    with pytest.raises(EvalkitError, match=r"The identity\(\) of the engine told is a list, not a dict"):
        run_identity(ToldEngine(called=[1]), PROTOCOL, 3)
    with pytest.raises(EvalkitError, match=r"The identity\(\) of the engine told cannot be written as JSON"):
        run_identity(ToldEngine(called={"a": {1}}), PROTOCOL, 3)

    def broken() -> None:
        raise LookupError("lost")

    with pytest.raises(EvalkitError, match=r"The engine told failed in identity\(\): LookupError: lost"):
        run_identity(ToldEngine(identity=broken), PROTOCOL, 3)


def test_the_environment_of_a_run() -> None:
    found = environment(ToldEngine(own={"a": 1}))
    assert list(found) == ["packages", "python", "platform", "engine"]
    assert found["python"] == platform.python_version()
    assert found["platform"] == platform.platform()
    assert found["engine"] == {"a": 1}
    import numpy

    assert found["packages"]["numpy"] == numpy.__version__
    assert "evalkit" in found["packages"]


def test_the_entry_of_a_task_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sums.py"
    file.write_text("a = 1\n")
    data = LoadedData("org/sums", "data/sums.jsonl", "rev", 3, "abc")
    task = sums()
    task.prompt = "{letters}: {problem}"
    problems = [Problem("a", "x", "A", {"choices": ["1", "2", "3"]}), Problem("b", "y", "B")]
    plan = TaskPlan(
        task,
        problems,
        SamplingParams(n=2, max_tokens=9, seed=4, stop=("x",)),
        TaskSpec("sums", str(file), {"window": "3"}),
        data=[data],
        available=7,
        indices={"b": range(5)},
    )
    source = DataSource(root=tmp_path, allow_changed=True)
    assert task_description(plan, source) == {
        "title": "Sums",
        "spec": {"name": "sums", "file": str(file), "options": {"window": "3"}},
        "identity": {
            "version": 2,
            "options": {"window": "3"},
            "task_file_sha256": hashlib.sha256(b"a = 1\n").hexdigest(),
            "prompt": "ABC: {problem}",
            "sampling": {"temperature": 0.6, "top_p": 0.95, "top_k": None, "max_tokens": 9, "stop": ("x",)},
            "data": [{"hub_id": "org/sums", "fingerprint": "abc"}],
            "data_unchecked": True,
        },
        "sampling": {"n": 2, "by_problem": {"b": 5}},
        "data": [asdict(data)],
        "data_folder": str(tmp_path.resolve()),
        "problem_ids": ["a", "b"],
        "problems_available": 7,
    }
    own = replace(plan, source=DataSource(), prompts={"a": "1", "b": "2"}, spec=TaskSpec("sums", "mod:Sums"))
    entry = task_description(own, source)
    assert entry["data_folder"] is None, "the task's own source counts"
    assert entry["identity"]["data_unchecked"] is False
    assert entry["identity"]["task_file_sha256"] is None
    assert entry["spec"]["file"] == "mod:Sums"
    assert entry["problem_prompts"] == ["1", "2"]


def test_where_a_run_lies(tmp_path: Path) -> None:
    identity = run_identity(ToldEngine(), PROTOCOL, 0)
    digest = hashlib.sha256(content_of(identity).encode()).hexdigest()[:8]
    assert default_run_path(tmp_path, "org/m", identity) == tmp_path / "org__m" / f"mine-{digest}"
    sharded = {**identity, "shard": "2/3"}
    digest = hashlib.sha256(content_of(sharded).encode()).hexdigest()[:8]
    assert default_run_path(tmp_path, "m", sharded) == tmp_path / "m" / f"mine-{digest}-shard-2-of-3"
    (tmp_path / "checkpoint").mkdir()
    assert default_run_path(tmp_path, str(tmp_path / "checkpoint"), identity).parent == tmp_path / "checkpoint"

    def run(name: str, content: object, completions: int) -> Path:
        folder = tmp_path / name
        (folder / "sums").mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(content))
        (folder / "sums/completions.jsonl").write_text("x" * completions)
        return folder

    run("m/other", {"identity": {**identity, "seed": 1}}, 99)
    run("m/damaged", [], 99)
    run("m/empty", {}, 99)
    run("m/none", {"identity": None}, 99)
    small = run("z/small", {"identity": identity}, 10)
    assert default_run_path(tmp_path, "m", identity) == small
    large = run("a/large", {"identity": identity}, 11)
    assert default_run_path(tmp_path, "m", identity) == large
    last = run("b/last", {"identity": identity}, 11)
    assert default_run_path(tmp_path, "m", identity) == last, "of equal ones always the same"


def test_an_identity_that_json_changes_is_found_again(tmp_path: Path) -> None:
    engine = ToldEngine(called={"backend": "told", "pair": (1, 2)})
    plan = planned(engine, n=1)
    path = plan.default_path(tmp_path)
    executed(path, plan)
    assert planned(engine, n=1).default_path(tmp_path) == path
    moved = path.rename(path.with_name("renamed"))
    assert planned(engine, n=1).default_path(tmp_path) == moved


def test_an_engine_that_gives_a_completion_twice_is_stopped(tmp_path: Path) -> None:
    """An engine that gives a completion twice does not make two of it."""

    class Twice(ToldEngine):
        def generate(self, requests: Any) -> Any:
            for request in requests:
                yield answer(request, right(request))
                yield answer(request, right(request))

    with pytest.raises(RunIncompleteError):
        executed(tmp_path, planned(Twice(), n=1))
    assert len(plain_records(tmp_path / "sums/completions.jsonl")) == 1
