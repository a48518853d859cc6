"""Runs of evalkit 0.1 stay readable: their reports, their tables, and their tables computed again from the samples."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import REPOSITORY, evalkit, told

from evalkit.results.report import load_report, write_report
from evalkit.store.folders import find_runs
from evalkit.store.grader import GRADER_VERSION

OLD = REPOSITORY / "tests" / "runs_v01"


@pytest.fixture
def old_results(tmp_path: Path) -> Path:
    """A copy, since reading computes reports again."""
    shutil.copytree(OLD / "results", tmp_path / "results")
    return tmp_path / "results"


def test_the_values_are_those_that_evalkit_0_1_printed(old_results: Path) -> None:
    """Intervals have better formulas now; what was measured is the same."""
    columns = ("model", "task", "metric", "value", "n", "problems", "truncated", "errors")
    ours, theirs = (
        [{name: row[name] for name in columns} for row in csv.DictReader(text.splitlines())]
        for text in (evalkit("leaderboard", old_results, "-f", "csv").stdout, (OLD / "by_0.1.csv").read_text())
    )
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("stored_reports", [True, False])
def test_the_table_of_old_runs_is_the_same(old_results: Path, stored_reports: bool) -> None:
    if not stored_reports:
        for report in old_results.rglob("report.json"):
            report.unlink()
    assert evalkit("leaderboard", old_results, "-f", "csv").stdout == (OLD / "leaderboard.csv").read_text()
    body = [line for line in evalkit("leaderboard", old_results).stdout.splitlines() if line.startswith("|")]
    assert body == [line for line in (OLD / "leaderboard.md").read_text().splitlines() if line.startswith("|")]


def test_old_figures_are_computed_again_and_read_as_they_are_where_that_is_not_possible(old_results: Path) -> None:
    for run in find_runs(old_results):
        for task in run.tasks().values():
            old = {m["name"]: m["value"] for m in json.loads(task.files.report_path.read_text())["metrics"]}
            again = load_report(task)
            assert {m.name: m.value for m in again.metrics} == pytest.approx(old)
    shutil.copytree(OLD / "results", old_results, dirs_exist_ok=True)
    (run,) = find_runs(next(old_results.glob("teacher")))
    content = run.description_path.read_text()
    run.description_path.write_text(content.replace('"name": "arithmetic"', '"name": "of_a_lost_package"'))
    kept = load_report(run.task("arithmetic"))
    assert {m.name: m.value for m in kept.metrics}["pass@1"] == 100.0
    assert kept.headlines == ["pass@1"]
    assert {m.unit for m in kept.metrics} == {"%"}


@pytest.mark.slow
def test_a_table_says_that_its_runs_were_graded_by_an_earlier_version(old_results: Path) -> None:
    words = "graded by an earlier version of evalkit: evalkit score grades it again"
    assert words in evalkit("leaderboard", old_results).stdout
    (teacher,) = old_results.glob("teacher/*")
    evalkit("score", teacher)
    assert words not in evalkit("leaderboard", teacher).stdout
    (task,) = find_runs(teacher)[0].tasks().values()
    assert load_report(task).graders == [f"arithmetic@1+grader{GRADER_VERSION}"]
    (other,) = find_runs(next(old_results.glob("student-plain")))
    score_of_now = (teacher / "arithmetic" / "scores.jsonl").read_bytes().splitlines(keepends=True)[0]
    with (other.path / "arithmetic" / "scores.jsonl").open("ab") as scores:
        scores.write(score_of_now)
    assert load_report(other.task("arithmetic")).graders == [f"arithmetic@1+grader{v}" for v in (2, GRADER_VERSION)]


def test_the_report_of_a_version_that_noted_no_grader_is_shown_where_it_cannot_be_made_again(old_results: Path) -> None:
    (run,) = find_runs(next(old_results.glob("teacher")))
    task = run.task("arithmetic")
    write_report(run, replace(load_report(task), graders=None))
    assert load_report(task).graders == ["arithmetic@1+grader2"]
    write_report(run, replace(load_report(task), graders=None))
    content = run.description_path.read_text()
    run.description_path.write_text(content.replace('"name": "arithmetic"', '"name": "of_a_lost_package"'))
    (kept,) = find_runs(run.path)[0].tasks().values()
    assert load_report(kept).graders is None


@pytest.mark.slow
def test_an_old_run_is_resumed(old_results: Path) -> None:
    (run,) = old_results.glob("teacher/*")
    before = (run / "arithmetic" / "completions.jsonl").read_bytes()
    arguments = ["-t", "arithmetic", "--max-tokens", "64", "-n", "4", "--limit", "8", "--quiet"]
    evalkit("run", "examples/tiny_distill/teacher", *arguments, "-o", run)
    assert (run / "arithmetic" / "completions.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../../victim", "..", "a/b"])
def test_a_task_name_never_leaves_the_run(old_results: Path, name: str) -> None:
    (run,) = old_results.glob("teacher/*")
    content = (run / "run.json").read_text()
    (run / "run.json").write_text(content.replace('"arithmetic": {', f'"{name}": {{'))
    for command in ("leaderboard", "score", "verify"):
        assert "which is not a task name" in told(evalkit(command, run, code=2))
