"""Runs that are united: which line of two is kept, in which order, what is missing, and what cannot be united."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import completion, description, entry, failure, made, score, write_lines
from told_engine import ToldEngine, plain_records, planned

from evalkit import EvalkitError, RunIncompleteError
from evalkit.errors import DamagedError
from evalkit.run import merging
from evalkit.run.evaluate import execute_plan
from evalkit.run.merging import MergedTask, merge_runs
from evalkit.run.shards import Shard
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory

FOUR = [(problem, i) for problem in "ab" for i in range(2)]


def test_the_shards_of_a_run_are_the_run(tmp_path: Path) -> None:
    for name, shard in (("whole", None), ("parts/2", Shard(2, 2)), ("parts/1", Shard(1, 2))):
        execute_plan(planned(ToldEngine(), shard=shard), tmp_path / name, progress=False)
    assert merge_runs([tmp_path / "parts"], tmp_path / "merged") == [MergedTask("sums", 6, 6, 0, 0)]
    rows = plain_records(tmp_path / "merged/sums/completions.jsonl")
    assert [(r["problem_id"], r["sample_index"]) for r in rows] == [(f"p{i}", k) for i in range(3) for k in range(2)]
    for name in ("completions", "scores"):
        lines = [(tmp_path / run / f"sums/{name}.jsonl").read_bytes().splitlines() for run in ("merged", "whole")]
        assert sorted(lines[0]) == sorted(lines[1])
    held = [json.loads((tmp_path / run / "run.json").read_text()) for run in ("merged", "whole")]
    assert held[0] == held[1]
    reports = [json.loads((tmp_path / run / "sums/report.json").read_text()) for run in ("merged", "whole")]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert sorted(path.name for path in (tmp_path / "merged/sums").iterdir()) == [
        "completions.jsonl",
        "report.json",
        "scores.jsonl",
    ]


def merged(tmp_path: Path, *runs: RunDirectory) -> list[MergedTask]:
    return merge_runs([run.path for run in runs], tmp_path / "merged")


def kept(tmp_path: Path, name: str, field: str) -> dict[tuple[str, int], Any]:
    rows = plain_records(tmp_path / f"merged/sums/{name}.jsonl")
    return {(r["problem_id"], r["sample_index"]): r[field] for r in rows}


def shard_run(path: Path, shard: str | None, samples: list[tuple[str, int]]) -> RunDirectory:
    identity: dict[str, Any] = {"shard": shard} if shard is not None else {}
    return made(path, map(completion, samples), map(score, samples), description(**identity))


@pytest.mark.parametrize(
    ("shards", "told"),
    [
        (["1/3", "3/3"], "; no run of shard 2/3 was given"),
        (["2/4"], "; no run of shard 1/4, 3/4, 4/4 was given"),
        (["1/2", "1/3"], ""),
        ([None], ""),
        (["1/2", "2/2"], ""),
        (["odd"], ""),
    ],
)
def test_what_is_missing_is_told_with_its_shards(shards: list[str | None], told: str, tmp_path: Path) -> None:
    runs = [shard_run(tmp_path / str(i), shard, [FOUR[i]]) for i, shard in enumerate(shards)]
    missing = 4 - len(shards)
    with pytest.raises(RunIncompleteError) as caught:
        merged(tmp_path, *runs)
    assert caught.value.message == f"{tmp_path}/merged lacks completions: {missing} of 4 of sums{told}."
    assert len(kept(tmp_path, "completions", "text")) == len(shards), "what there is is written"
    assert "shard" not in json.loads((tmp_path / "merged/run.json").read_text())["identity"]
    rest = shard_run(tmp_path / "rest", None, FOUR[len(shards) :])
    assert merged(tmp_path, rest) == [MergedTask("sums", 4, 4, 0, 0)], "the union is a part of the next one"
    assert list(kept(tmp_path, "completions", "text")) == FOUR


def test_a_failed_completion_gives_way_wherever_it_stands(tmp_path: Path) -> None:
    first = made(
        tmp_path / "1", [failure(("a", 0)), failure(("a", 1), "first"), completion(("b", 0)), failure(("b", 1))]
    )
    again = [completion(("a", 0), "good"), failure(("a", 1), "second"), failure(("b", 0)), failure(("b", 1), "third")]
    second = made(tmp_path / "2", [*again, completion(("b", 1), "made again")])
    assert merged(tmp_path, first, second) == [MergedTask("sums", 4, 4, 0, 4)]
    texts = {("a", 0): "good", ("a", 1): "", ("b", 0): "x", ("b", 1): "made again"}
    assert kept(tmp_path, "completions", "text") == texts
    assert kept(tmp_path, "completions", "error") == {**dict.fromkeys(texts), ("a", 1): "second"}


def test_a_sample_that_stands_twice_in_one_run_is_no_overlap(tmp_path: Path) -> None:
    one = made(tmp_path / "1", [failure(("a", 0)), *map(completion, FOUR)])
    assert merged(tmp_path, one) == [MergedTask("sums", 4, 4, 0, 0)]
    other = made(tmp_path / "2", map(completion, FOUR[:3]))
    assert merged(tmp_path, one, other)[0].overlaps == 4, "the union, the first and the other have all of the first"


@pytest.mark.parametrize(
    ("field", "value"),
    [("text", "y"), ("finish_reason", "length"), ("prefix", "p"), ("prompt_tokens", 7), ("completion_tokens", 7)],
)
def test_other_completions_of_a_sample_are_refused(field: str, value: Any, tmp_path: Path) -> None:
    runs = [
        made(tmp_path / "1", [completion(("b", 1))]),
        made(tmp_path / "2", [completion(("b", 1), **{field: value})]),
    ]
    with pytest.raises(EvalkitError) as caught:
        merged(tmp_path, *runs)
    paths = [run.files("sums").completions_path for run in runs]
    told = f"{paths[0]} and {paths[1]} have different completions of sample 1 of problem b: the {field} differs."
    assert caught.value.message == told
    slower = made(tmp_path / "3", (completion(s, seconds=9.0) for s in FOUR))
    assert merged(tmp_path, made(tmp_path / "4", map(completion, FOUR)), slower)[0].overlaps == 4


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [
        ([score(("a", 0))], [score(("a", 0))], "correct"),
        ([score(("a", 0), "error")], [score(("a", 0), "wrong")], "wrong"),
        ([score(("a", 0), "wrong")], [score(("a", 0), "error")], "wrong"),
        ([score(("a", 0), "wrong"), score(("a", 0), "correct")], [], "correct"),
        ([score(("a", 0), "wrong"), score(("a", 0), "error")], [], "error"),
        ([], [score(("a", 0), "wrong"), score(("a", 0), "correct")], "correct"),
        ([score(("a", 0), "wrong", grader="g2")], [score(("a", 0))], "wrong"),
        ([score(("a", 0), "wrong", explanation="x")], [score(("a", 0), "wrong", explanation="y")], "wrong"),
    ],
)
def test_which_score_is_kept(known: list[Any], new: list[Any], expected: str, tmp_path: Path) -> None:
    first = made(tmp_path / "1", map(completion, FOUR), known)
    second = made(tmp_path / "2", map(completion, FOUR), new)
    merged(tmp_path, first, second)
    assert kept(tmp_path, "scores", "status") == {("a", 0): expected}


def test_of_two_errors_the_later_one_is_kept(tmp_path: Path) -> None:
    runs = [
        made(tmp_path / str(i), map(completion, FOUR), [score(("a", 0), "error", explanation=str(i))]) for i in (1, 2)
    ]
    merged(tmp_path, *runs)
    assert kept(tmp_path, "scores", "explanation") == {("a", 0): "2"}


@pytest.mark.parametrize("changed", [{"answer": "y"}, {"value": 0.5}, {"status": "no_answer"}])
def test_other_scores_of_one_grader_are_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    runs = [made(tmp_path / "1", map(completion, FOUR), [score(("a", 1), "wrong")])]
    runs.append(made(tmp_path / "2", map(completion, FOUR), [score(("a", 1), **{"status": "wrong", **changed})]))
    with pytest.raises(EvalkitError) as caught:
        merged(tmp_path, *runs)
    (field,) = changed
    assert "have different scores of sample 1 of problem a" in caught.value.message
    assert caught.value.message.endswith(f": the {field} differs.")


def test_scores_of_completions_that_are_in_no_run_are_left_out(tmp_path: Path) -> None:
    merged(tmp_path, made(tmp_path / "1", map(completion, FOUR), [score(("z", 0)), score(("b", 1)), score(("a", 1))]))
    assert list(kept(tmp_path, "scores", "status")) == [("a", 1), ("b", 1)]


def test_samples_beyond_the_plan_are_kept_at_the_end_and_do_not_count(tmp_path: Path) -> None:
    more = [completion(("z", 0)), completion(("a", 5)), *map(completion, reversed(FOUR))]
    assert merged(tmp_path, made(tmp_path / "1", more)) == [MergedTask("sums", 6, 4, 0, 0)]
    assert list(kept(tmp_path, "completions", "text")) == [("a", 0), ("a", 1), ("a", 5), ("b", 0), ("b", 1), ("z", 0)]


def test_plans_of_more_problems_and_samples_are_united(tmp_path: Path) -> None:
    """The order is that of the entry with more problems."""
    small = description({"sums": entry(("b", "a"), 3)})
    large = description({"sums": entry(("c", "a", "b"), 1)})
    first = made(tmp_path / "1", [completion((p, i)) for p in "ab" for i in range(3)], content=small)
    second = made(tmp_path / "2", [completion(("c", 0))], content=large)
    assert merged(tmp_path, first, second) == [MergedTask("sums", 7, 7, 0, 0)]
    held = json.loads((tmp_path / "merged/run.json").read_text())["tasks"]["sums"]
    assert held["problem_ids"] == ["c", "a", "b"]
    assert held["sampling"] == {"n": 1, "by_problem": {"a": 3, "b": 3}}
    assert held["problem_prompts"] == ["digest of c", "digest of a", "digest of b"]
    assert list(kept(tmp_path, "completions", "text"))[:2] == [("c", 0), ("a", 0)]
    unknown = entry(("c", "d"), 1)
    unknown.pop("problem_prompts")
    third = made(tmp_path / "3", [completion(("d", 0))], content=description({"sums": unknown}))
    merged(tmp_path, third)
    held = json.loads((tmp_path / "merged/run.json").read_text())["tasks"]["sums"]
    assert "problem_prompts" not in held, "that of d is not known"


def test_tasks_that_only_one_run_has_are_taken_over(tmp_path: Path) -> None:
    first = made(tmp_path / "1", map(completion, FOUR))
    second = made(tmp_path / "2", content=description({"more": entry(("q",), 1)}))
    write_lines(second.files("more").completions_path, [completion(("q", 0), task="more")])
    assert merged(tmp_path, first, second) == [MergedTask("sums", 4, 4, 0, 0), MergedTask("more", 1, 1, 0, 0)]


def test_runs_that_differ_are_refused(tmp_path: Path) -> None:
    first = made(tmp_path / "1", map(completion, FOUR))
    seed = made(tmp_path / "2", content=description(seed=1))
    with pytest.raises(EvalkitError, match=r"The run in .*/2 has other settings: seed was 1 and is now 0"):
        merged(tmp_path, first, seed)
    other = entry()
    other["identity"]["prompt"] = "other {problem}"
    prompt = made(tmp_path / "3", content=description({"sums": other}))
    with pytest.raises(EvalkitError, match=r"/3 has other settings: sums: prompt was"):
        merged(tmp_path, first, prompt)
    assert not (tmp_path / "merged").exists()


def test_the_same_run_given_twice_is_one(tmp_path: Path) -> None:
    made(tmp_path / "runs/1", map(completion, FOUR))
    assert merge_runs([tmp_path / "runs", tmp_path / "runs/1"], tmp_path / "merged")[0].overlaps == 0


def test_what_others_said_is_united_each_line_once(tmp_path: Path) -> None:
    lines = [encode_line({"n": i}) for i in range(3)]
    for name, first, second in (("second_opinions", [0, 1], [1, 2]), ("adjudications", [2], [])):
        for folder, numbers in (("1", first), ("2", second)):
            path = tmp_path / folder / f"sums/{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(lines[i] for i in numbers))
    merged(tmp_path, made(tmp_path / "1", map(completion, FOUR)), made(tmp_path / "2"))
    assert (tmp_path / "merged/sums/second_opinions.jsonl").read_bytes() == b"".join(lines)
    assert (tmp_path / "merged/sums/adjudications.jsonl").read_bytes() == lines[2]
    bare = made(tmp_path / "3", map(completion, FOUR))
    merge_runs([bare.path], tmp_path / "plain")
    assert not list((tmp_path / "plain/sums").glob("*s.jsonl.*"))
    assert not (tmp_path / "plain/sums/adjudications.jsonl").exists()


def test_a_full_disk_leaves_the_union_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path / "1", map(completion, FOUR))
    merged(tmp_path, run)
    path = tmp_path / "merged/sums/completions.jsonl"
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EvalkitError) as caught:
        merged(tmp_path, run)
    assert caught.value.message == f"{path} cannot be written: No space left on device."
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["completions.jsonl", "scores.jsonl"]


def test_a_merged_task_has_a_report_though_another_has_none(tmp_path: Path) -> None:
    """Scores may be missing: `evalkit score` makes them."""
    execute_plan(planned(ToldEngine()), tmp_path / "1", progress=False)
    content = json.loads((tmp_path / "1/run.json").read_text())
    content["tasks"] = {"bare": {**content["tasks"]["sums"], "problem_ids": ["p0"]}, **content["tasks"]}
    content["tasks"]["bare"]["problem_prompts"] = content["tasks"]["bare"]["problem_prompts"][:1]
    (tmp_path / "1/run.json").write_text(json.dumps(content))
    write_lines(tmp_path / "1/bare/completions.jsonl", [completion(("p0", i), task="bare") for i in range(2)])
    tasks = merge_runs([tmp_path / "1"], tmp_path / "merged")
    assert tasks == [MergedTask("bare", 2, 2, 0, 0), replace(tasks[1], name="sums", missing=0)]
    assert (tmp_path / "merged/sums/report.json").exists()
    assert not (tmp_path / "merged/bare/report.json").exists()


def test_the_names_of_missing_shards() -> None:
    def missing(*shards: str) -> str:
        return merging._missing_shards([{"identity": {"shard": s} if s else {}} for s in shards])

    assert missing("2/3", "") == "1/3, 3/3"
    assert missing("1/1") == ""
    assert missing("") == ""
    assert missing("1/x") == ""
    assert missing("1/2", "1/3") == ""


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("completions", b"\xff\xfe garbage", "is damaged"),
        ("completions", b"[1]", "is damaged"),
        ("completions", b'{"problem_id": "a"}', "is damaged: task: "),
        ("scores", b"\xff\xfe garbage", "is damaged"),
        ("scores", b"{}", "is damaged: task: "),
        ("scores", json.dumps({**score(("a", 0)), "value": 7.0}).encode(), "is damaged: "),
        ("second_opinions", b"no JSON", "is damaged: "),
        ("adjudications", b"\xff", "is damaged: "),
    ],
)
def test_a_damaged_line_is_told_of_the_run_that_has_it(tmp_path: Path, file: str, line: bytes, told: str) -> None:
    first, second = shard_run(tmp_path / "a", "1/2", FOUR[:2]), shard_run(tmp_path / "b", "2/2", FOUR[2:])
    path = second.path / f"sums/{file}.jsonl"
    before = path.read_bytes() if path.exists() else b""
    path.write_bytes(before + line + b"\n")
    with pytest.raises(DamagedError) as caught:
        merged(tmp_path, first, second)
    assert caught.value.message.startswith(f"Line {len(before.splitlines()) + 1} of {path} {told}"), caught.value
    assert caught.value.hint
    assert not (tmp_path / "merged/sums").exists()
