"""A run directory: what is read from it, what is refused, and what run.json says after each step."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import completion, description, entry, failure, made, score, write_lines
from told_engine import plain_records

from evalkit import EvalkitError
from evalkit.store.folders import find_runs
from evalkit.store.opinions import Adjudication, Opinion, adjudications, opinions, record
from evalkit.store.plan import SamplePlan
from evalkit.store.run import (
    CompletionFacts,
    DataRecord,
    RunDirectory,
    TaskFiles,
    completion_record,
    score_record,
    validated,
)
from evalkit.store.settled import Settlement, settled, settled_path, settlement_record
from evalkit.types import Completion, SampleKey, Score

FOUR = [(problem, i) for problem in "ab" for i in range(2)]


def held(run: RunDirectory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.description_path.read_text())
    return found


# Reading


def test_the_record_of_a_run(tmp_path: Path) -> None:
    more = entry(("q",), 3, title="More", data_folder="folder", problems_available=None)
    more["sampling"] = {"n": 3, "by_problem": {"q": 5}}
    more["identity"]["data"] = None
    run = made(tmp_path, content=description({"sums": entry(), "more": more}))
    found = run.record()
    assert (found.model, found.protocol_name, found.is_imported) == ("lab/model", "mine", False)
    assert found.engine == {"backend": "told", "model": "m", "fingerprint": "x"}
    assert found.environment == {"engine": {"device": "none"}}
    assert list(run.tasks()) == ["sums", "more"]
    first, second = found.tasks.values()
    assert (first.name, first.title, first.version, first.n, first.max_tokens) == ("sums", "Sums", 1, 2, 100)
    assert (first.problem_ids, first.problems_available, first.data_folder) == (("a", "b"), 9, None)
    assert first.data == (DataRecord("org/sums", "f"),)
    assert first.spec == {"name": "sums", "file": None, "options": {}}
    assert first.identity["prompt"] == "{problem}"
    assert (first.samples, second.samples, second.n, second.plan.counts) == (4, 5, 3, {"q": 5})
    assert (second.data, second.data_folder, second.problems_available) == ((), "folder", None)
    digest = hashlib.sha256(b'["a", "b"]').hexdigest()[:8]
    assert first.problems_digest == f"2 ({digest})"
    assert str(run.task("more")) == f"{tmp_path} more"
    with pytest.raises(EvalkitError) as caught:
        run.task("none")
    assert caught.value.message == f"{tmp_path} has no task 'none'."
    assert caught.value.hint == "its tasks are: sums, more."
    imported = made(tmp_path / "i", content=description({}, engine={"backend": "imported"}))
    assert imported.record().is_imported
    with pytest.raises(EvalkitError) as caught:
        imported.task("sums")
    assert caught.value.hint == "its tasks are: none."


def test_a_task_with_another_plan(tmp_path: Path) -> None:
    more = entry(("a", "b", "c"))
    more["sampling"] = {"n": 2, "by_problem": {"c": 4}, "pilot": 2}
    task = made(tmp_path, content=description({"sums": more})).task("sums")
    assert task.record.plan.counts == {"a": 2, "b": 2, "c": 4}
    less = task.with_plan(SamplePlan({"c": 1, "a": 1}))
    assert (less.record.problem_ids, less.record.n, less.record.samples) == (("c", "a"), 1, 2)
    assert less.record.content["sampling"] == {"n": 1, "pilot": 2}
    assert "problem_prompts" not in less.record.content
    assert (less.directory, less.run, less.name) == (task.directory, task.run, "sums")
    other = task.with_plan(SamplePlan({"a": 1, "b": 3}))
    assert other.record.content["sampling"] == {"n": 1, "by_problem": {"b": 3}, "pilot": 2}
    assert task.record.content["problem_prompts"], "the record itself is as it was"


def changed(**fields: Any) -> dict[str, Any]:
    return {**description(), **fields}


def with_entry(**fields: Any) -> dict[str, Any]:
    return description({"sums": {**entry(), **fields}})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "does not have schema 1"),
        (changed(schema=2), "does not have schema 1"),
        (changed(tasks=[]), "does not have schema 1"),
        (changed(model=3), "is damaged at model"),
        (changed(identity={}), "is damaged at identity.protocol"),
        (changed(environment=3), "is damaged at environment"),
        (
            with_entry(problem_ids=["a", "a"]),
            "is damaged at tasks.sums.problem_ids: Value error, a problem is there twice",
        ),
        (with_entry(sampling={"n": 0}), "is damaged at tasks.sums.sampling.n"),
        (with_entry(sampling={"n": 10**7 + 1}), "is damaged at tasks.sums.sampling.n"),
        (with_entry(sampling={"n": 1, "by_problem": {"a": 0}}), "is damaged at tasks.sums.sampling.by_problem.a"),
        (with_entry(sampling={"n": 1, "pilot": 0}), "is damaged at tasks.sums.sampling.pilot"),
        (with_entry(title=None), "is damaged at tasks.sums.title"),
        (with_entry(problems_available=-1), "is damaged at tasks.sums.problems_available"),
        (with_entry(spec={"name": "x", "file": 3}), "is damaged at tasks.sums.spec.file"),
        (description({"a/b": entry()}), "run.json names 'a/b', which is not a task name."),
        (description({"..": entry()}), "run.json names '..', which is not a task name."),
    ],
)
def test_a_run_json_that_is_not_one(content: Any, told: str, tmp_path: Path) -> None:
    run = made(tmp_path, content=content)
    with pytest.raises(EvalkitError) as caught:
        run.record()
    assert told in caught.value.message


def test_numbers_that_are_the_limits_are_read(tmp_path: Path) -> None:
    counts = {"n": 1, "by_problem": {"a": 10**7}, "pilot": 1, "phases": {}}
    assert made(tmp_path, content=with_entry(sampling=counts)).record().tasks["sums"].plan.most == 10**7


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.description_path.write_text('{"schema": 1, "x": 1e999}')
    with pytest.raises(EvalkitError, match=r"run\.json cannot be read: a number in it is not finite"):
        run.record()
    run.description_path.write_text("{")
    with pytest.raises(EvalkitError, match=r"run\.json cannot be read"):
        run.record()
    run.description_path.unlink()
    with pytest.raises(EvalkitError, match="is not a run directory: it has no run"):
        run.record()
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(description()))
    run.description_path.symlink_to(elsewhere)
    with pytest.raises(EvalkitError, match=r"run\.json cannot be read"):
        run.record()


def test_runs_below_a_folder(tmp_path: Path) -> None:
    for name in ("b", "a/deep"):
        made(tmp_path / name)
    assert [run.path for run in find_runs(tmp_path)] == [tmp_path / "a/deep", tmp_path / "b"]
    assert [run.path for run in find_runs(tmp_path / "b")] == [tmp_path / "b"]
    (tmp_path / "empty").mkdir()
    for path, told in (
        (tmp_path / "none", f"The folder {tmp_path}/none does not exist."),
        (tmp_path / "b/run.json", f"{tmp_path}/b/run.json is not a folder."),
        (tmp_path / "empty", f"There is no run below {tmp_path}/empty."),
    ):
        with pytest.raises(EvalkitError) as caught:
            find_runs(path)
        assert caught.value.message == told


# The files of a task


def test_the_files_of_a_task() -> None:
    files = TaskFiles(Path("run/sums"))
    assert files.run == Path("run")
    names = [files.completions_path, files.scores_path, files.rescoring_path, files.peer_scores_path, files.report_path]
    assert [path.name for path in names] == [
        "completions.jsonl",
        "scores.jsonl",
        "scores.new.jsonl",
        "peer_scores.jsonl",
        "report.json",
    ]
    assert {path.parent for path in names} == {Path("run/sums")}


def test_completions_are_read_whole(tmp_path: Path) -> None:
    lines = [failure(("a", 0)), completion(("a", 1), "y"), failure(("a", 0), "again"), completion(("a", 0), "é")]
    files = made(tmp_path, [*lines, failure(("b", 0))]).files("sums")
    found = list(files.completions())
    assert [completion_record(one) for one in found] == [*lines, failure(("b", 0))]
    assert found[1] == Completion("sums", "a", 1, "y", "stop", 1, 2, 0.5, "", None)
    assert [c.key[1:] for c in files.standing_completions()] == [("a", 1), ("a", 0), ("b", 0)]
    assert files.finished() == {("a", 0), ("a", 1)}
    facts: list[CompletionFacts] = list(files.completion_facts())
    assert [(f["problem_id"], f["sample_index"], f["finish_reason"], f["completion_tokens"]) for f in facts] == [
        ("a", 0, "error", None),
        ("a", 1, "stop", 2),
        ("a", 0, "error", None),
        ("a", 0, "stop", 2),
        ("b", 0, "error", None),
    ]
    assert [f.get("error") for f in facts] == ["boom", None, "again", None, "boom"]


@pytest.mark.parametrize("later", [completion(("a", 1)), failure(("a", 1))])
def test_a_sample_that_stands_twice_is_damage(later: dict[str, Any], tmp_path: Path) -> None:
    files = made(tmp_path, [completion(("a", 1)), later]).files("sums")
    for read in (files.completions, files.completion_facts, files.standing_completions):
        with pytest.raises(EvalkitError) as caught:
            list(read())
        told = f"Line 2 of {files.completions_path} is damaged: sample 1 of problem a is duplicated."
        assert caught.value.message == told


def test_the_last_score_of_a_sample_counts(tmp_path: Path) -> None:
    lines = [
        score(("a", 0), "wrong", grader="g1"),
        score(("b", 1), "error", answer=None),
        score(("a", 0), metadata={"x": 1}),
    ]
    files = made(tmp_path, scores=lines).files("sums")
    found = list(files.scores())
    assert [grader for _, grader in found] == ["g1", "sums@1+grader1", "sums@1+grader1"]
    assert found[2][0] == Score(1.0, "correct", "x", "", "", {"x": 1}, key=SampleKey("sums", "a", 0))
    assert [score_record(one, grader) for one, grader in found] == lines
    assert {key[1:]: one.status for key, one in files.latest_scores().items()} == {
        ("a", 0): "correct",
        ("b", 1): "error",
    }
    statuses = files.statuses()
    assert [statuses.get(p, i) for p, i in FOUR] == ["correct", None, None, "error"]
    assert [(f["value"], f["status"], f["answer"], f["grader"]) for f in files.score_facts()] == [
        (0.0, "wrong", "x", "g1"),
        (0.0, "error", None, "sums@1+grader1"),
        (1.0, "correct", "x", "sums@1+grader1"),
    ]
    other = write_lines(tmp_path / "sums/other.jsonl", lines[:1])
    assert len(list(files.scores(other))) == 1


@pytest.mark.parametrize(
    ("field", "value"), [("value", 1.5), ("value", -0.5), ("status", "odd"), ("sample_index", -1), ("grader", None)]
)
def test_a_damaged_score_is_named(field: str, value: Any, tmp_path: Path) -> None:
    files = made(tmp_path, scores=[score(("a", 0)), score(("a", 1), **{field: value})]).files("sums")
    for read in (files.scores, files.score_facts):
        with pytest.raises(EvalkitError, match=r"Line 2 of .*scores\.jsonl is damaged: "):
            list(read())


def test_a_line_with_a_lone_surrogate_is_read(tmp_path: Path) -> None:
    text = '{"task": "t", "problem_id": "p", "sample_index": 0, "text": "\\ud800", "finish_reason": "stop", '
    text += '"prompt_tokens": null, "completion_tokens": null, "seconds": null}'
    found: Completion = validated(Completion, text.encode(), Path("f"), 3)
    assert (found.text, found.prefix, found.error) == ("\ud800", "", None)
    with pytest.raises(EvalkitError, match=r"Line 3 of f is damaged: sample_index: "):
        validated(Completion, text.replace("0,", '"x",').encode(), Path("f"), 3)
    with pytest.raises(EvalkitError, match="Line 3 of f is damaged"):
        validated(Completion, b"{", Path("f"), 3)


# Writing


def test_begin_writes_and_goes_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    begun = {k: v for k, v in description().items() if k != "schema"}
    run.begin(begun)
    assert held(run) == {"schema": 1, **begun}
    text = run.description_path.read_text()
    assert text.startswith('{\n  "schema": 1,\n  "evalkit": "1.0",\n')
    assert text.endswith("}\n")
    other = description({"more": entry(("q",), 1)})
    run.begin({**other, "model": "elsewhere/model", "evalkit": "2.0"})
    assert list(held(run)["tasks"]) == ["sums", "more"]
    assert (held(run)["model"], held(run)["evalkit"]) == ("lab/model", "2.0")
    run.begin({**other, "model": "elsewhere/another"})
    assert held(run)["model"] == "elsewhere/another"


def test_begin_refuses_another_run(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = run.description_path.read_bytes()
    other = entry()
    other["identity"]["prompt"] = "x {problem}"
    for content, told in (
        (description(seed=1), f"The run in {tmp_path} has other settings: seed was 0 and is now 1."),
        (description({"sums": other}), "has other settings: sums: prompt was '{problem}' and is now 'x {problem}'."),
        (description({"sums": entry(("y", "z"))}), "has another task named sums: it is installed and has none of"),
    ):
        with pytest.raises(EvalkitError) as caught:
            run.begin(content)
        assert told in caught.value.message
    assert run.description_path.read_bytes() == before


def test_a_plan_that_is_complete_is_kept_until_the_new_one_is(tmp_path: Path) -> None:
    run = made(tmp_path, map(completion, FOUR))
    larger = entry(("a", "b", "c"), 3)
    run.begin(description({"sums": larger}))
    found = held(run)["tasks"]["sums"]
    assert (found["problem_ids"], found["sampling"]) == (["a", "b"], {"n": 2})
    assert found["problem_prompts"] == ["digest of a", "digest of b"]
    unfinished = made(tmp_path / "unfinished", map(completion, FOUR[:3]))
    unfinished.begin(description({"sums": larger}))
    found = held(unfinished)["tasks"]["sums"]
    assert (found["problem_ids"], found["sampling"]) == (["a", "b", "c"], {"n": 3})
    unknown = entry()
    unknown.pop("problem_prompts")
    old = made(tmp_path / "old", map(completion, FOUR), content=description({"sums": unknown}))
    old.begin(description({"sums": entry(("a", "c"), 2)}))
    found = held(old)["tasks"]["sums"]
    assert found["problem_ids"] == ["a", "b"]
    assert "problem_prompts" not in found, "that of b is not known"


def test_what_is_finished_is_recorded_beside_what_was(tmp_path: Path) -> None:
    run = made(tmp_path)
    digests = {"sums": {key: f"digest of {key}" for key in "abcd"}}
    run.record_finished({"sums": SamplePlan({"a": 2, "b": 2})}, digests, {})
    assert held(run) == description()
    run.record_finished({"sums": SamplePlan({"b": 4})}, digests, {"sums": {"pilot": 2, "phases": {}}})
    found = held(run)["tasks"]["sums"]
    assert found["sampling"] == {"n": 2, "by_problem": {"b": 4}, "pilot": 2, "phases": {}}
    assert found["problem_ids"] == ["a", "b"]
    run.record_finished({"sums": SamplePlan({"d": 1, "b": 4, "a": 4})}, digests, {})
    found = held(run)["tasks"]["sums"]
    assert found["problem_ids"] == ["d", "b", "a"], "in the order of the plan with more problems"
    assert found["sampling"] == {"pilot": 2, "phases": {}, "n": 1, "by_problem": {"b": 4, "a": 4}}
    assert found["problem_prompts"] == ["digest of d", "digest of b", "digest of a"]
    run.record_finished({"sums": SamplePlan({"c": 1})}, {"sums": {"c": "digest of c"}}, {})
    digests_now = held(run)["tasks"]["sums"]["problem_prompts"]
    assert digests_now == [f"digest of {key}" for key in "dbac"], "those of before are kept"
    run.record_finished({"sums": SamplePlan({"e": 1})}, {}, {})
    found = held(run)["tasks"]["sums"]
    assert found["problem_ids"] == ["d", "b", "a", "c", "e"]
    assert "problem_prompts" not in found


def test_the_engine_s_word_is_recorded_once(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = run.description_path.stat().st_ino
    run.record_engine({"device": "none"})
    assert run.description_path.stat().st_ino == before, "nothing has changed, nothing is written"
    run.record_engine({"device": "none", "sizes": (1, 2)})
    assert held(run)["environment"] == {"engine": {"device": "none", "sizes": [1, 2]}}


def test_a_new_grader_is_recorded_where_its_file_is(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.adopt_grader("sums", 4, "sha", "sums.py")
    found = held(run)["tasks"]["sums"]
    assert found["identity"]["version"] == 4
    assert found["identity"]["task_file_sha256"] == "sha"
    assert found["spec"] == {"name": "sums", "file": "sums.py", "options": {}}
    old = entry()
    old["identity"].pop("task_file_sha256")
    earlier = made(tmp_path / "old", content=description({"sums": old}))
    earlier.adopt_grader("sums", 4, "sha", None)
    assert "task_file_sha256" not in held(earlier)["tasks"]["sums"]["identity"]


def test_a_run_is_locked_for_one_writer(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.locked(), pytest.raises(EvalkitError, match="Another process is writing to"), run.locked():
        pass
    with run.locked():
        pass


# Opinions, decisions, settlements


def test_opinions_and_decisions(tmp_path: Path) -> None:
    files = made(tmp_path).files("sums")
    given = [
        Opinion("sums", "a", 0, "llm m", "wrong", None, "by the judge"),
        Opinion("sums", "a", 1, "llm m", "correct", "4", ""),
        Opinion("sums", "a", 0, "prm800k", "correct", "5", ""),
    ]
    path = write_lines(files.folder / "second_opinions.jsonl", map(record, given))
    assert plain_records(path)[0] == {
        "task": "sums",
        "problem_id": "a",
        "sample_index": 0,
        "grader": "llm m",
        "status": "wrong",
        "answer": None,
        "explanation": "by the judge",
    }
    assert opinions(files) == {SampleKey("sums", "a", 0): given[2], SampleKey("sums", "a", 1): given[1]}
    decisions = [
        Adjudication("sums", "a", 0, "correct", "4", "me", "it is equal"),
        Adjudication("sums", "b", 0, "wrong", None, "you", ""),
    ]
    write_lines(files.folder / "adjudications.jsonl", map(record, decisions))
    assert adjudications(files) == {SampleKey("sums", one.problem_id, 0): one for one in decisions}
    right, wrong = (one.score() for one in decisions)
    assert right == Score(1.0, "correct", "4", "adjudicated by me: it is equal", "human", key=SampleKey("sums", "a", 0))
    assert wrong == Score(0.0, "wrong", None, "adjudicated by you", "human", key=SampleKey("sums", "b", 0))
    assert [one.grader for one in decisions] == ["human:me", "human:you"]
    write_lines(files.folder / "adjudications.jsonl", [{**record(decisions[0]), "verdict": "maybe"}])
    with pytest.raises(EvalkitError, match=r"Line 1 of .*adjudications\.jsonl is damaged: verdict"):
        adjudications(files)


def test_settlements(tmp_path: Path) -> None:
    files = made(tmp_path).files("sums")
    assert settled(files) == {}
    given = [Settlement("sums", "a", 0, "first"), Settlement("sums", "b", 1, "x"), Settlement("sums", "a", 0, "last")]
    assert settled_path(files) == files.folder / "settled.jsonl"
    write_lines(settled_path(files), map(settlement_record, given))
    assert settled(files) == {SampleKey("sums", "a", 0): given[2], SampleKey("sums", "b", 1): given[1]}
    assert plain_records(settled_path(files))[1] == {
        "task": "sums",
        "problem_id": "b",
        "sample_index": 1,
        "why": "x",
    }
    write_lines(settled_path(files), [settlement_record(given[0]), {"task": "sums"}])
    with pytest.raises(EvalkitError, match=r"Line 2 of .*settled\.jsonl is damaged"):
        settled(files)
