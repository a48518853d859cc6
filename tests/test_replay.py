"""Recorded completions through the whole path: matched by key or question, and regraded beside their own verdicts."""

import gzip
import json
from pathlib import Path

import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems
from helpers import evalkit, records, told, write_recorded

from evalkit import Completion, EvalkitError, Message, Request, SamplingParams
from evalkit.engines.options import ReplayOptions
from evalkit.engines.replay import ReplayEngine


def ask(backend: ReplayEngine, text: str, problem_id: str = "x", index: int = 0) -> Completion:
    message: Message = {"role": "user", "content": text}
    request = Request("t", problem_id, index, (message,), SamplingParams())
    return next(iter(backend.generate(iter([request]))))


def recorded(path: Path, *lines: dict[str, object]) -> ReplayEngine:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ReplayEngine("model", ReplayOptions(recorded=(str(path),)))


def test_by_key(tmp_path: Path) -> None:
    backend = recorded(
        tmp_path / "r.jsonl",
        {"problem_id": "x", "text": "first", "completion_tokens": 7, "finish_reason": "length", "prefix": "<think>"},
        {"problem_id": "x", "sample_index": 1, "response": "second"},
        {"problem_id": "y", "task": "other", "text": "of another task"},
    )
    first = ask(backend, "?")
    assert (first.text, first.completion_tokens, first.finish_reason, first.prefix) == ("first", 7, "length", "<think>")
    assert ask(backend, "?", index=1).text == "second"
    assert ask(backend, "?", index=2).error == "there is no recorded completion"
    assert ask(backend, "?", "y").error is not None


def test_by_question_the_longest_one_that_stands_in_the_prompt(tmp_path: Path) -> None:
    backend = recorded(
        tmp_path / "r.jsonl",
        {"question": "What is $1 + 1$?", "code": ["a", "b"]},
        {"question": "What is $1 + 1$? And $2 + 2$?", "code": ["c"]},
        {"question": "Name the seventh prime number that ends in three.", "code": ["d"]},
    )
    assert ask(backend, "What is $1+1$?\n\nReason step by step.").text == "a"
    assert ask(backend, "What is $1+1$?", index=1).text == "b"
    assert ask(backend, "Q: What is 1 + 1? And 2 + 2?").text == "c"
    assert ask(backend, "Name the seventh prime number ending in three.").text == "d"
    assert ask(backend, "Who was Euler?").error is not None


@pytest.mark.real_data
def test_recorded_generations_beside_their_recorded_verdicts(data_dir: Path, tmp_path: Path) -> None:
    files = sorted((data_dir / "math_recorded").glob("Qwen__Qwen2.5-14B-Instruct__*.jsonl.gz"))
    sources = [part for path in files for part in ("--recorded", path)]
    run = tmp_path / "run"
    evalkit(
        *("run", "Qwen/Qwen2.5-14B-Instruct", "-t", "math500,aime24", "-n", 1, "--response-prefix", ""),
        *("--backend", "replay", *sources, "--data", data_dir, "-o", run),
    )
    verdicts = {}
    for path in files:
        with gzip.open(path, "rt") as lines:
            verdicts.update({r["code"][0]: r["score"][0] for r in map(json.loads, lines)})
    disagree = {}
    for task, recorded_correct in (("math500", 402), ("aime24", 6)):
        texts = {r["problem_id"]: r["text"] for r in records(run / task / "completions.jsonl")}
        assert sum(verdicts[text] for text in texts.values()) == recorded_correct
        for score in records(run / task / "scores.jsonl"):
            ours, theirs = score["status"] == "correct", verdicts[texts[score["problem_id"]]]
            if ours != theirs:
                disagree[score["problem_id"]] = ours
    # each looked at, and explained in docs/grading.md: ours is right in all four
    assert disagree == {
        "intermediate_algebra/183": False,
        "counting_and_probability/508": True,
        "number_theory/417": True,
        "precalculus/768": True,
    }


@pytest.mark.slow
def test_a_runs_own_completions_can_be_replayed(tmp_path: Path) -> None:
    first = write_recorded(tmp_path / "r.jsonl", {arithmetic_problems()[0].id: ["no box"]}, task="arithmetic")
    arguments = ("run", "o/m", "-t", "arithmetic", "-n", 1, "--limit", 1, "--backend", "replay")
    evalkit(*arguments, "--recorded", first, "-o", tmp_path / "one")
    again = tmp_path / "one" / "arithmetic" / "completions.jsonl"
    evalkit(*arguments, "--recorded", again, "-o", tmp_path / "two")
    assert records(again) == records(tmp_path / "two" / "arithmetic" / "completions.jsonl")


@pytest.mark.parametrize("field", ["problem", "prompt"])
def test_rows_with_other_field_names_by_a_map(tmp_path: Path, field: str) -> None:
    (tmp_path / "r.csv").write_text('q,out\n"What is $1 + 1$?",first\n"What is $1+1$?",second\n')
    options = ReplayOptions(recorded=(str(tmp_path / "r.csv"),), map=f"text=out,{field}=q")
    engine = ReplayEngine("model", options)
    assert ask(engine, "Think. What is 1 + 1?").text == "first"
    assert ask(engine, "Think. What is 1 + 1?").finish_reason == "unknown"
    assert ask(engine, "What is 1+1?", index=1).text == "second"
    with pytest.raises(EvalkitError, match="rows without a problem"):
        ReplayEngine("model", ReplayOptions(recorded=options.recorded, map="text=out"))


def test_half_a_character_in_a_mapped_row_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps({"id": "\ud800", "out": "x\udcff"}) + "\n")
    engine = ReplayEngine("model", ReplayOptions(recorded=(str(tmp_path / "r.jsonl"),), map="text=out,problem_id=id"))
    assert engine.identity()["recorded_sha256"]


@pytest.mark.slow
def test_what_is_not_recorded_is_told_before_anything_is_written(tmp_path: Path) -> None:
    problems = [p.id for p in arithmetic_problems()[:4]]
    first = write_recorded(tmp_path / "r.jsonl", {problems[0]: ["one"], problems[1]: ["one", "two"]}, task="arithmetic")
    command = ("run", "o/m", "-t", "arithmetic", "-n", 2, "--limit", 4, "--engine", "replay", "--recorded", first)
    partly = evalkit(*command, "-o", tmp_path / "some", code=1)
    said = f"5 of 8 completions are not recorded, of 3 problems ({problems[0]}, {problems[2]}, {problems[3]})"
    assert said in partly.stderr
    other = write_recorded(tmp_path / "other.jsonl", {"elsewhere": ["one"]}, task="arithmetic")
    none = evalkit(*command[:-1], other, "-o", tmp_path / "none", code=2)
    assert told(none) == "arithmetic: none of its 8 completions is recorded."
    assert not (tmp_path / "none").exists()
