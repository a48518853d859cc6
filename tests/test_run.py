"""`evalkit run` from end to end: replayed completions for the paths, a real checkpoint for the whole."""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import Arithmetic
from helpers import evalkit, records, told, write_recorded

from evalkit import DataSource, evaluate, rescore
from evalkit.benchmark.registry import TaskSpec
from evalkit.results.metrics import powers_of_two
from evalkit.results.report import load_report
from evalkit.results.runs import Run
from evalkit.run import rescore as rescoring
from evalkit.run import session
from evalkit.run.scoring import grader_name
from evalkit.store import grader
from evalkit.store.folders import find_runs
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory, completion_record
from evalkit.types import Completion

TASK = """
from evalkit import Problem, Score, Task
from evalkit.grading import grade_math

class Sums(Task):
    name = "sums"
    version = 1
    title = "Sums"
    rows = 5
    n = 2
    def load(self, source):
        return [Problem(str(i), f"What is {i} + {i}?", str(2 * i)) for i in range(5)]
    def score(self, problem, response):
        if "crash" in response:
            raise RuntimeError("the grader fell over")
        return grade_math(response, problem.target)
"""
RIGHT, OPEN = "so</think>\\boxed{{{}}}", "I think it is \\boxed{{{}}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text(TASK)
    return tmp_path


def texts() -> dict[str, list[str]]:
    made = {str(i): [RIGHT.format(2 * i), RIGHT.format(2 * i)] for i in range(5)}
    made["1"] = [RIGHT.format(2), RIGHT.format(3)]
    made["2"] = [OPEN.format(4), "</think>I do not know"]
    return made


def run(folder: Path, *more: object, code: int = 0, **fields: object) -> subprocess.CompletedProcess[str]:
    recorded = folder / "recorded.jsonl"
    if not recorded.exists():
        write_recorded(recorded, texts(), prefix="<think>\n", **fields)
    common = ("run", "org/model", "-t", "sums", "--task-file", folder / "sums.py", "--backend", "replay")
    return evalkit(*common, "--recorded", recorded, "-o", folder / "run", *more, code=code)


def statuses(folder: Path) -> dict[str, int]:
    return load_report(RunDirectory(folder / "run").task("sums")).statuses


def test_statuses_partition_the_samples(folder: Path) -> None:
    done = run(folder)
    assert statuses(folder) == {"correct": 7, "wrong": 1, "no_answer": 2, "truncated": 0, "error": 0}
    report = load_report(RunDirectory(folder / "run").task("sums"))
    assert (report.n, report.problems, report.samples) == (2, 5, 10)
    values = {metric.name: metric.value for metric in report.metrics}
    assert (values["pass@1"], values["pass@2"]) == pytest.approx((70, 80))
    assert "| Sums | 5 | 2 | 70.0 +19.7 −27.5 / " in done.stdout
    assert done.stdout.count("\n") == 3, "what can be piped is the table alone"


@pytest.mark.slow
def test_what_was_cut_is_truncated_and_never_guessed_from_open_thinking(folder: Path) -> None:
    run(folder, finish_reason="length")
    assert statuses(folder) == {"correct": 7, "wrong": 1, "no_answer": 0, "truncated": 2, "error": 0}
    assert load_report(RunDirectory(folder / "run").task("sums")).truncation_rate == 1


@pytest.mark.slow
def test_raw_text_is_kept_whole(folder: Path) -> None:
    run(folder)
    kept = {(r["problem_id"], r["sample_index"]): r["text"] for r in records(folder / "run/sums/completions.jsonl")}
    assert kept == {(key, i): text for key, both in texts().items() for i, text in enumerate(both)}


@pytest.mark.slow
def test_the_same_run_twice_gives_the_same_files(folder: Path) -> None:
    run(folder)
    first = {p.name: p.read_bytes() for p in (folder / "run").rglob("*.json*")}
    for path in sorted((folder / "run").rglob("*.json*")):
        path.unlink()
    run(folder)
    assert {p.name: p.read_bytes() for p in (folder / "run").rglob("*.json*")}.keys() == first.keys()
    for name in ("completions.jsonl", "run.json", "report.json"):
        assert next((folder / "run").rglob(name)).read_bytes() == first[name], name
    assert sorted(next((folder / "run").rglob("scores.jsonl")).read_bytes().splitlines()) == sorted(
        first["scores.jsonl"].splitlines()
    )


@pytest.mark.slow
def test_growing_n_and_the_limit_makes_only_what_is_missing(folder: Path) -> None:
    run(folder, "-n", 1, "--limit", 2)
    assert len(records(folder / "run/sums/completions.jsonl")) == 2
    run(folder)
    kept = [(r["problem_id"], r["sample_index"]) for r in records(folder / "run/sums/completions.jsonl")]
    assert len(kept) == len(set(kept)) == 10
    run(folder, "-n", 1)
    report = load_report(RunDirectory(folder / "run").task("sums"))
    assert (report.n, report.samples) == (2, 10), "what is on disk counts, whatever was asked for last"


@pytest.mark.slow
def test_another_identity_is_refused_and_named(folder: Path) -> None:
    run(folder)
    error = told(run(folder, "--seed", 1, code=2))
    assert "has other settings" in error
    assert "seed was 0 and is now 1" in error
    (folder / "sums.py").write_text(TASK.replace("What is {i}", "Tell me {i}"))
    assert "sums: the prompt of problem 0 was" in told(run(folder, code=2))


@pytest.mark.slow
def test_a_second_process_is_refused(folder: Path) -> None:
    with RunDirectory(folder / "run").locked():
        assert "Another process is writing" in told(run(folder, code=2))
    run(folder)


@pytest.mark.slow
def test_a_fault_of_the_engine_is_an_error_and_is_made_again(folder: Path) -> None:
    partial = {key: both for key, both in texts().items() if key != "3"}
    write_recorded(folder / "recorded.jsonl", partial, prefix="<think>\n")
    assert "failed on some samples" in told(run(folder, code=1))
    assert statuses(folder)["error"] == 2
    assert "2 of sums" in told(run(folder, code=1))
    assert "sums: 10 of 10 completions (2 are errors), 10 scores" in evalkit("verify", folder / "run", code=1).stdout
    path = folder / "run/sums/completions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"problem_id":"4"' not in line))
    counted = "8 of 10 completions (2 are errors)"
    shown = evalkit("verify", folder / "run", code=1)
    assert f"sums: {counted}, 8 scores" in shown.stdout
    assert told(shown) == f"{folder}/run sums is not complete."
    whole = folder / "whole"
    write_recorded(folder / "all.jsonl", texts(), prefix="<think>\n")
    common = ("run", "org/model", "-t", "sums", "--task-file", folder / "sums.py", "--backend", "replay")
    evalkit(*common, "--recorded", folder / "all.jsonl", "-o", whole)
    for command in (("compare", whole, folder / "run"), ("leaderboard", folder / "run")):
        refused = evalkit(*command, code=1)
        assert told(refused) == f"{folder}/run has {counted} of sums.", "and nothing of the other run, which is whole"


@pytest.mark.slow
def test_a_fault_of_the_grader_is_an_error(folder: Path) -> None:
    broken = {**texts(), "0": ["</think>crash", "</think>\\boxed{0}"]}
    write_recorded(folder / "recorded.jsonl", broken, prefix="<think>\n")
    assert "1 of sums" in told(run(folder, code=1))
    bad = [r for r in records(folder / "run/sums/scores.jsonl") if r["status"] == "error"]
    assert "RuntimeError: the grader fell over" in bad[0]["explanation"]


@pytest.mark.slow
def test_score_again_lists_what_flipped(folder: Path) -> None:
    run(folder)
    assert "flipped" not in evalkit("score", folder / "run").stdout
    (folder / "sums.py").write_text(
        TASK.replace("str(2 * i)) for", "str(2 * i + (i == 4))) for").replace("version = 1", "version = 2")
    )
    assert "has changed since you ran it" in told(evalkit("score", folder / "run", code=2))
    done = evalkit("score", folder / "run", "--trust-task-file")
    flips = [line for line in done.stdout.splitlines() if line.startswith("flipped: ")]
    assert len(flips) == 2
    assert all("sums 4 sample" in line and "correct -> wrong" in line for line in flips)
    assert statuses(folder)["correct"] == 5
    assert load_report(RunDirectory(folder / "run").task("sums")).task_version == 2


@pytest.mark.slow
def test_a_lost_report_is_made_again(folder: Path) -> None:
    run(folder)
    path = folder / "run/sums/report.json"
    whole = path.read_text()
    for content in (None, "{", whole.replace('"n": 2', '"n": 1')):
        path.unlink() if content is None else path.write_text(content)
        load_report(RunDirectory(folder / "run").task("sums"))
        assert path.read_text() == whole


@pytest.mark.slow
def test_missing_samples_are_never_a_smaller_denominator(folder: Path) -> None:
    run(folder)
    path = folder / "run/sums/completions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(Exception, match="has 9 of 10 completions of sums"):
        load_report(RunDirectory(folder / "run").task("sums"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flip", "twice", "schema"])
def test_a_corrupted_store_is_named(folder: Path, damage: str) -> None:
    run(folder)
    path = folder / "run/sums/completions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "flip":
        lines[3] = lines[3].replace(b"think", b"thank")
    elif damage == "twice":
        lines.insert(4, lines[3])
    else:
        lines[3] = b'{"task": "sums"}\n'
    path.write_bytes(b"".join(lines))
    error = told(run(folder, code=2))
    assert f"Line {5 if damage == 'twice' else 4} of" in error


@pytest.mark.slow
def test_a_torn_store_line_is_repaired_with_a_warning(folder: Path) -> None:
    run(folder)
    whole = (folder / "run/sums/completions.jsonl").read_bytes()
    (folder / "run/sums/completions.jsonl").write_bytes(whole[:-40])
    done = run(folder)
    assert "was incomplete; removed its" in done.stderr
    assert len(records(folder / "run/sums/completions.jsonl")) == 10


def test_dry_run_counts_and_makes_nothing(folder: Path) -> None:
    done = run(folder, "--dry-run")
    assert "5 problems x n = 2 -> 10 completions" in done.stdout
    assert "context length: not known\n" in done.stdout
    assert "sums: 2 of 5 problems x n" in run(folder, "--dry-run", "--limit", 2).stdout
    assert not (folder / "run").exists()


def test_k_of_the_curves() -> None:
    assert [powers_of_two(n) for n in (1, 2, 6, 64)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16, 32, 64]]


@pytest.mark.slow
def test_a_real_checkpoint_on_the_embedded_task(tiny_checkpoint: Path, tmp_path: Path) -> None:
    common = ("run", tiny_checkpoint, "-t", "arithmetic", "--limit", 8, "-n", 2, "--max-tokens", 64)
    shown = evalkit(*common, "--dry-run").stdout
    assert "16 completions" in shown
    assert "response prefix: '<think>\\n'" in shown
    assert "beginning-of-sequence tokens: 0" in shown
    evalkit(*common, "--results", tmp_path)
    (found,) = find_runs(tmp_path)
    report = load_report(found.task("arithmetic"))
    assert report.statuses["correct"] > 0
    assert report.statuses["error"] == 0
    assert report.tokens is not None
    assert json.loads(found.description_path.read_text())["identity"]["protocol"]["name"] == "deepseek-r1+max_tokens=64"
    evalkit(*common, "--results", tmp_path)
    assert len(records(found.files("arithmetic").completions_path)) == 16


@pytest.mark.real_data
def test_the_papers_tasks_on_real_data(tiny_checkpoint: Path, tmp_path: Path, data_dir: Path) -> None:
    tasks = "aime24,math500,gpqa_diamond"
    limits = ("--limit", 4, "-n", 2, "--max-tokens", 48)
    done = evalkit("run", tiny_checkpoint, "-t", tasks, *limits, "--results", tmp_path, EVALKIT_DATA=str(data_dir))
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:]] == [
        "AIME 2024",
        "MATH-500",
        "GPQA Diamond",
    ]
    (found,) = find_runs(tmp_path)
    for task in tasks.split(","):
        report = load_report(found.task(task))
        assert sum(report.statuses.values()) == report.samples == 8
        assert report.statuses["error"] == 0


@pytest.mark.slow
def test_verify_counts_and_names_what_is_missing(folder: Path) -> None:
    run(folder)
    assert "sums: 10 of 10 completions, 10 scores" in evalkit("verify", folder / "run").stdout
    path = folder / "run/sums/completions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
    assert "sums: 9 of 10 completions, 9 scores" in evalkit("verify", folder, code=1).stdout
    path.write_bytes(whole.replace(b"think", b"thank", 1))
    assert "is damaged" in told(evalkit("verify", folder, code=2))


@pytest.mark.slow
def test_a_run_that_opens_with_an_unknown_tag_says_so(tmp_path: Path) -> None:
    problems = Arithmetic().load(DataSource())[:16]
    recorded = {p.id: [f"<ponder>what is it</ponder>\\boxed{{{p.target}}}"] for p in problems}
    path = write_recorded(tmp_path / "r.jsonl", recorded)
    options = ("--engine", "replay", "--recorded", path, "--limit", 16, "-n", 1, "-o", tmp_path / "run")
    assert "most responses open with '<ponder>'" in evalkit("run", "m", "-t", "arithmetic", *options).stderr


HARSH = TASK.replace("return grade_math(response, problem.target)", "return Score(0.0, 'wrong')")
COUNTING = TASK.replace("from evalkit import Problem", "from evalkit import Metric, Problem") + (
    "    def extra_metrics(self, problems, scores):\n"
    "        return [Metric('problems seen', len(problems), len(problems), 'count'),\n"
    "                Metric('values seen', sum(s.value for each in scores.values() for s in each), 1, 'count')]\n"
)


def own_metrics(folder: Path) -> dict[str, float]:
    report = load_report(RunDirectory(folder / "run").task("sums"))
    return {metric.name: metric.value for metric in report.metrics if metric.name.endswith("seen")}


def go_on(folder: Path, **options: Any) -> Run:
    """The same run in this process."""
    recorded = folder / "recorded.jsonl"
    if not recorded.exists():
        write_recorded(recorded, texts(), prefix="<think>\n")
    engine: Any = {"engine": "replay", "engine_options": {"recorded": str(recorded)}}
    where: Any = {"task_file": folder / "sums.py", "output": folder / "run", "workers": 1, "progress": False}
    return evaluate("org/model", "sums", **engine, **where, **options)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["the content of the task file", "its version"])
def test_a_run_that_goes_on_after_a_change_of_the_grader_grades_all_again(folder: Path, change: str) -> None:
    go_on(folder)
    before = len(records(folder / "run/sums/scores.jsonl"))
    text = HARSH if change.startswith("the content") else HARSH.replace("version = 1", "version = 2")
    (folder / "sums.py").write_text(text)
    go_on(folder)
    assert statuses(folder)["correct"] == 0
    assert len(records(folder / "run/sums/scores.jsonl")) == 2 * before, "the earlier ones stay in the file"
    go_on(folder)
    assert len(records(folder / "run/sums/scores.jsonl")) == 2 * before, "and are made once"


def test_every_change_of_a_grader_is_in_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TaskSpec("sums", str(folder / "sums.py"))
    names = [grader_name(spec.create(), spec)]
    (folder / "sums.py").write_text(HARSH)
    names.append(grader_name(spec.create(), spec))
    (folder / "sums.py").write_text(HARSH.replace("version = 1", "version = 2"))
    names.append(grader_name(spec.create(), spec))
    monkeypatch.setattr(grader, "GRADER_VERSION", grader.GRADER_VERSION + 1)
    names.append(grader_name(spec.create(), spec))
    assert len(set(names)) == len(names) == 4
    assert names[0].startswith("sums@1+grader")
    assert grader_name(Arithmetic()) != names[-1]


def graded_by(folder: Path, **changes: Any) -> None:
    """Change the stored scores as another grader would have made them."""
    path = folder / "run/sums/scores.jsonl"
    lines = [{k: v for k, v in record.items() if k != "crc"} | changes for record in records(path)]
    path.write_bytes(b"".join(map(encode_line, lines)))


def test_a_resumed_run_keeps_the_scores_of_its_grader_and_no_others(folder: Path) -> None:
    go_on(folder)
    graded_by(folder, status="wrong", value=0.0)
    go_on(folder)
    assert statuses(folder)["correct"] == 0, "what this grader said is not asked again"
    graded_by(folder, grader="sums@1+grader2")
    go_on(folder)
    assert statuses(folder)["correct"] == 7
    graded_by(folder, status="error", value=0.0)
    go_on(folder)
    assert statuses(folder)["error"] == 0, "a fault is tried again"


def test_scoring_again_starts_anew_from_what_another_grader_left(folder: Path) -> None:
    go_on(folder)
    scores, half_way = folder / "run/sums/scores.jsonl", folder / "run/sums/scores.new.jsonl"
    whole = scores.read_bytes()
    graded_by(folder, status="wrong", value=0.0, grader="sums@1+grader2")
    half_way.write_bytes(scores.read_bytes())
    scores.write_bytes(whole)
    rescore(folder / "run", workers=1)
    assert statuses(folder)["correct"] == 7
    standing = {(r["problem_id"], r["sample_index"]): r["grader"] for r in records(scores)}
    assert len(set(standing.values())) == 1


def test_a_smaller_limit_grades_what_waits_of_the_whole_run(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All completions are there, and stay part of the run; the kill came before they were graded."""
    go_on(folder)
    (folder / "run/sums/scores.jsonl").unlink()
    with caplog.at_level("INFO", "evalkit"):
        report = go_on(folder, limit=2, n=1).report()
    assert "sums 2 x 1: 0 completions to generate, 2 already on disk" in caplog.text
    assert (report.problems, report.n) == (2, 1), "what was asked for"
    assert statuses(folder)["correct"] == 7
    assert len(records(folder / "run/sums/scores.jsonl")) == 10


def test_a_smaller_limit_leaves_no_verdict_of_an_earlier_grader(folder: Path) -> None:
    go_on(folder)
    graded_by(folder, status="wrong", value=0.0, grader="sums@1+grader2")
    go_on(folder, limit=2)
    assert statuses(folder)["correct"] == 7


def test_a_smaller_limit_takes_what_an_unfinished_larger_one_has_left(folder: Path) -> None:
    """The larger plan was not finished: what lies beyond the smaller one is neither graded nor counted."""
    go_on(folder)
    for name in ("completions.jsonl", "scores.jsonl"):
        path = folder / "run/sums" / name
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: 9 if name[0] == "c" else 0]))
    report = go_on(folder, limit=2).report()
    assert (report.problems, report.n) == (2, 2)
    assert len(records(folder / "run/sums/scores.jsonl")) == 4
    go_on(folder)
    assert statuses(folder)["correct"] == 7


@pytest.mark.parametrize("limit", [4, 5])
def test_a_task_s_own_metrics_are_of_the_run_s_problems_whoever_writes_the_report(folder: Path, limit: int) -> None:
    (folder / "sums.py").write_text(COUNTING)
    go_on(folder, limit=limit)
    expected = {"problems seen": limit, "values seen": 5 if limit == 4 else 7}
    assert own_metrics(folder) == expected
    rescore(folder / "run", workers=1)
    assert own_metrics(folder) == expected
    (folder / "run/sums/report.json").unlink()
    assert own_metrics(folder) == expected
    go_on(folder, limit=2)
    assert own_metrics(folder) == expected, "what is on disk counts, whatever was asked for last"


def test_what_the_graders_do_not_keep_up_with_is_graded_once_and_as_it_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A completion that replaces a fault of the engine waits for the graders: the fault is not graded beside it."""
    go_on(folder)
    path = folder / "run/sums/completions.jsonl"
    fault = Completion("sums", "3", 0, "", "error", None, 0, 0.0, error="the connection broke")
    path.write_bytes(encode_line(completion_record(fault)) + path.read_bytes())
    (folder / "run/sums/scores.jsonl").unlink()
    monkeypatch.setattr(session, "_MOST_UNSCORED", 1)
    go_on(folder)
    assert statuses(folder) == {"correct": 7, "wrong": 1, "no_answer": 2, "truncated": 0, "error": 0}
    assert len(records(folder / "run/sums/scores.jsonl")) == 10


@pytest.mark.parametrize("most", [1, 3])
def test_few_that_may_wait_for_the_graders_change_nothing(
    most: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (session, rescoring):
        monkeypatch.setattr(module, "_MOST_UNSCORED", most)
    go_on(folder)
    assert statuses(folder)["correct"] == 7
    assert len(records(folder / "run/sums/scores.jsonl")) == 10
    graded_by(folder, grader="sums@1+grader2", status="wrong", value=0.0)
    flipped = rescore(folder / "run", workers=1)
    assert Counter(change.after for change in flipped) == {"correct": 7, "no_answer": 2}
    assert statuses(folder)["correct"] == 7


@pytest.mark.slow
def test_scores_of_problems_that_the_data_no_longer_has_are_kept(folder: Path) -> None:
    go_on(folder)
    (folder / "sums.py").write_text(TASK.replace("for i in range(5)]", "for i in range(4)]").replace("rows = 5", ""))
    evalkit("score", folder / "run", "--trust-task-file")
    kept = {(r["problem_id"], r["sample_index"]): r for r in records(folder / "run/sums/scores.jsonl")}
    assert len(kept) == 10
    names = {problem: {kept[problem, i]["grader"] for i in range(2)} for problem in "0123"}
    assert names["0"] == names["3"] != {kept["4", 0]["grader"]}
    assert kept["4", 0]["status"] == "correct"
    assert statuses(folder)["correct"] == 7
