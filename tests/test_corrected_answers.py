"""A right answer that was corrected in a task's own data: the completions are kept, and graded with the new one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import evalkit, records, told, write_recorded

from evalkit.benchmark.registry import trust_task_file
from evalkit.errors import EvalkitError
from evalkit.results.report import load_report
from evalkit.results.runs import Run
from evalkit.run.evaluate import evaluate
from evalkit.run.rescore import rescore
from evalkit.store.answers import is_corrected, told_correction, with_corrections
from evalkit.store.run import RunDirectory

TASK = """
from evalkit import DatasetSpec, Problem, Task
from evalkit.grading import grade_math

DATA = SPEC

class Sums(Task):
    name, version, title, kind = "sums", 1, "Sums", "math"
    def load(self, source):
        return [Problem(str(r["id"]), r["question"], str(r["answer"])) for r in source.rows(DATA)]
    def score(self, problem, response):
        return grade_math(response, problem.target)
"""
OWN = "    def extra_metrics(self, problems, scores):\n        return []\n"
FROM = ["rows", "file"]
ANSWERS = {"a": "2", "b": "5", "c": "6"}  # that of b is wrong
QUESTIONS = {"a": "1 + 1?", "b": "2 + 2?", "c": "3 + 3?"}


def write_task(folder: Path, of: str, answers: dict[str, str], more: str = "", **questions: str) -> Path:
    rows = [{"id": key, "question": {**QUESTIONS, **questions}[key], "answer": a} for key, a in answers.items()]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "sums.py"
    path.write_text(
        TASK.replace(
            "SPEC", f"DatasetSpec.from_rows({rows!r})" if of == "rows" else "DatasetSpec.from_file('sums.jsonl')"
        )
        + more
    )
    trust_task_file(str(path))
    return path


def go(folder: Path, **options: Any) -> Run:
    recorded = write_recorded(
        folder / "recorded.jsonl", {k: [f"</think>\\boxed{{{a}}}"] for k, a in zip("abc", "246", strict=True)}
    )
    engine: Any = {"engine": "replay", "engine_options": {"recorded": str(recorded)}}
    where: Any = {"task_file": folder / "sums.py", "output": folder / "run", "workers": 1, "progress": False}
    return evaluate("org/model", "sums", n=1, **engine, **where, **options)


def pass_at_1(folder: Path) -> float:
    metric = load_report(RunDirectory(folder / "run").task("sums")).metric("pass@1")
    assert metric is not None
    return round(metric.value, 1)


def entry(folder: Path) -> Any:
    return json.loads((folder / "run/run.json").read_text())["tasks"]["sums"]


@pytest.mark.parametrize("of", FROM)
@pytest.mark.parametrize("by", ["run", pytest.param("score", marks=pytest.mark.slow)])
def test_a_corrected_answer_keeps_the_completions(
    tmp_path: Path, of: str, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_task(tmp_path, of, ANSWERS)
    go(tmp_path)
    assert pass_at_1(tmp_path) == 66.7
    completions, before = (tmp_path / "run/sums/completions.jsonl").read_bytes(), entry(tmp_path)
    assert "generated_with" not in before
    write_task(tmp_path, of, {**ANSWERS, "b": "4"})
    caplog.clear()
    if by == "run":
        go(tmp_path)
    else:
        (changed,) = rescore(tmp_path / "run", workers=1)
        assert (changed.key.problem_id, changed.before, changed.after) == ("b", "wrong", "correct")
    assert "sums: the right answer of problem 'b' is another one; its completions are graded again" in caplog.messages
    assert pass_at_1(tmp_path) == 100
    assert (tmp_path / "run/sums/completions.jsonl").read_bytes() == completions
    after = entry(tmp_path)
    assert after["identity"]["data"] != before["identity"]["data"] == after["generated_with"]
    assert [d["fingerprint"] for d in after["data"]] == [d["fingerprint"] for d in after["identity"]["data"]]
    assert "+data" in records(tmp_path / "run/sums/scores.jsonl")[-1]["grader"]
    lines = len(records(tmp_path / "run/sums/scores.jsonl"))
    go(tmp_path)
    assert len(records(tmp_path / "run/sums/scores.jsonl")) == lines, "what was graded again is not graded once more"
    write_task(tmp_path, of, ANSWERS)
    go(tmp_path)
    assert pass_at_1(tmp_path) == 66.7, "the first answers again: their scores are made again, too"
    assert "generated_with" not in entry(tmp_path)
    rescore(tmp_path / "run", workers=1)


def test_until_it_is_graded_again_it_is_told_what_changed(tmp_path: Path) -> None:
    write_task(tmp_path, "file", ANSWERS, OWN)
    go(tmp_path)
    (tmp_path / "run/sums/report.json").unlink()
    write_task(tmp_path, "file", {**ANSWERS, "b": "4", "c": "7"}, OWN)
    with pytest.raises(EvalkitError) as caught:
        load_report(RunDirectory(tmp_path / "run").task("sums"))
    assert "the right answers of 2 of 3 problems are others: 'b', 'c'." in caught.value.message
    assert caught.value.hint.startswith(f"`evalkit score {tmp_path}/run` grades it again")


@pytest.mark.parametrize("of", FROM)
def test_another_question_is_another_run(tmp_path: Path, of: str) -> None:
    write_task(tmp_path, of, ANSWERS)
    go(tmp_path)
    scores = (tmp_path / "run/sums/scores.jsonl").read_bytes()
    write_task(tmp_path, of, {**ANSWERS, "b": "9"}, b="4 + 5?")
    with pytest.raises(EvalkitError, match="the prompt of problem b was"):
        go(tmp_path)
    with pytest.raises(EvalkitError, match="problem 'b' has another text, so its completions are not those"):
        rescore(tmp_path / "run", workers=1)
    write_task(tmp_path, of, {"a": "2", "c": "7"})
    with pytest.raises(EvalkitError, match="problem 'b' is not there"):
        rescore(tmp_path / "run", workers=1)
    with pytest.raises(EvalkitError, match=r"data was .* \(sha256 .{8}…\) and is now") as caught:
        go(tmp_path)
    assert "{" not in caught.value.message
    assert "`evalkit score" in caught.value.hint
    assert (tmp_path / "run/sums/scores.jsonl").read_bytes() == scores


def test_declared_answers_are_never_taken_to_be_corrected(tmp_path: Path) -> None:
    declared = "    targets_sha256 = None\n    def __init__(self): self.targets_sha256 = SHA\n"
    write_task(tmp_path, "file", ANSWERS)
    go(tmp_path)
    from evalkit.benchmark.task import fingerprint_targets
    from evalkit.types import Problem

    sha = fingerprint_targets([Problem(k, "", a) for k, a in {**ANSWERS, "b": "4"}.items()])
    write_task(tmp_path, "file", {**ANSWERS, "b": "4"}, declared.replace("SHA", repr(sha)))
    with pytest.raises(EvalkitError, match="data was"):
        go(tmp_path)
    with pytest.raises(EvalkitError, match="has changed since") as caught:
        rescore(tmp_path / "run", workers=1)
    assert "evalkit score" not in caught.value.hint


def as_an_earlier_version(run: Path) -> None:
    content = json.loads((run / "run.json").read_text())
    del content["tasks"]["sums"]["right_answers"]
    (run / "run.json").write_text(json.dumps(content))


def interrupted(run: Path) -> None:
    """A pass of scoring with the earlier answers, which did not end."""
    RunDirectory(run).files("sums").rescoring_path.write_bytes((run / "sums/scores.jsonl").read_bytes())


@pytest.mark.parametrize("left", [as_an_earlier_version, interrupted])
def test_any_run_is_graded_with_the_corrected_answers(left: Callable[[Path], None], tmp_path: Path) -> None:
    write_task(tmp_path, "file", ANSWERS)
    go(tmp_path)
    left(tmp_path / "run")
    write_task(tmp_path, "file", {**ANSWERS, "b": "4"})
    rescore(tmp_path / "run", workers=1)
    assert pass_at_1(tmp_path) == 100


def test_second_opinions_on_other_answers_are_set_aside(tmp_path: Path) -> None:
    write_task(tmp_path, "file", ANSWERS)
    go(tmp_path)
    opinions = tmp_path / "run/sums/second_opinions.jsonl"
    line = {"task": "sums", "problem_id": "b", "sample_index": 0, "grader": "llm", "status": "wrong", "answer": None}
    opinions.write_text(json.dumps({**line, "explanation": ""}) + "\n")
    write_task(tmp_path, "file", {**ANSWERS, "b": "4"})
    rescore(tmp_path / "run", workers=1)
    assert not opinions.exists()
    assert len(list(opinions.parent.glob("second_opinions.before-*.jsonl"))) == 1


@pytest.mark.slow
def test_the_commands_tell_it(tmp_path: Path) -> None:
    path = write_task(tmp_path, "file", ANSWERS)
    go(tmp_path)
    write_task(tmp_path, "file", {**ANSWERS, "b": "4"})
    done = evalkit("score", tmp_path / "run", "--trust-task-file")
    assert "the right answer of problem 'b' is another one; its completions are graded again" in done.stderr
    assert "flipped: sums b sample 0: wrong -> correct" in done.stdout
    write_task(tmp_path, "file", {"b": "4"})
    replay = ("--engine", "replay", "--recorded", tmp_path / "recorded.jsonl", "-n", 1, "-o", tmp_path / "run")
    assert "data was" in told(evalkit("run", "org/model", "-t", "sums", "--task-file", path, *replay, code=2))


def entry_of(fingerprint: str, prompts: Any = ("1", "2"), **fields: Any) -> dict[str, Any]:
    data = [{"hub_id": "rows in Python", "fingerprint": fingerprint}]
    return {"identity": {"data": data}, "problem_ids": ["a", "b"], "problem_prompts": list(prompts), **fields}


def test_what_is_a_correction() -> None:
    wanted = entry_of("y", right_answers={"a": "1", "b": "2"})
    assert is_corrected(entry_of("x"), wanted)
    assert not is_corrected(entry_of("y"), wanted)
    assert not is_corrected(entry_of("x"), entry_of("y")), "not allowed"
    assert not is_corrected(entry_of("x", ["1", "9"]), wanted)
    assert not is_corrected(entry_of("x", []), wanted), "its prompts are not known"
    hub = [{"hub_id": "org/set", "fingerprint": "x"}]
    assert not is_corrected({**entry_of("x"), "identity": {"data": hub}}, wanted)
    first = with_corrections(entry_of("x", right_answers={"a": "0", "c": "3"}), wanted)
    assert first["generated_with"] == entry_of("x")["identity"]["data"]
    assert first["right_answers"] == {"a": "1", "b": "2", "c": "3"}
    second = with_corrections(first, entry_of("z", right_answers={}))
    assert second["generated_with"] == first["generated_with"], "what the completions were made with"
    assert "generated_with" not in with_corrections(second, entry_of("x", right_answers={}))
    assert told_correction({}, {"a": "1"}) == "its rows are others"
    many = told_correction({"right_answers": dict.fromkeys("abcde", "0")}, dict.fromkeys("abcdef", "1"))
    assert many == "the right answers of 5 of 6 problems are others: 'a', 'b', 'c' and 2 more"
