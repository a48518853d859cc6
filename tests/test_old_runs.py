"""Runs of evalkit 0.1 stay readable: their reports, their tables, and their tables computed again from the samples."""

import shutil
from pathlib import Path

import pytest
from helpers import REPOSITORY, evalkit

from evalkit.results.report import load_report
from evalkit.store.run import RunDirectory, find_runs

OLD = REPOSITORY / "tests" / "runs_v01"


@pytest.fixture
def old_results(tmp_path: Path) -> Path:
    """A copy, since reading computes reports again."""
    shutil.copytree(OLD / "results", tmp_path / "results")
    return tmp_path / "results"


@pytest.mark.parametrize("stored_reports", [True, False])
def test_the_table_of_old_runs_is_the_same(old_results: Path, stored_reports: bool) -> None:
    if not stored_reports:
        for report in old_results.rglob("report.json"):
            report.unlink()
    assert evalkit("leaderboard", old_results, "-f", "csv").stdout == (OLD / "leaderboard.csv").read_text()
    body = [line for line in evalkit("leaderboard", old_results).stdout.splitlines() if line.startswith("|")]
    assert body == [line for line in (OLD / "leaderboard.md").read_text().splitlines() if line.startswith("|")]


def test_an_old_report_is_read_as_it_is_computed(old_results: Path) -> None:
    for run in find_runs(old_results):
        for task in run.tasks().values():
            stored = load_report(task)
            task.files.report_path.unlink()
            again = load_report(RunDirectory(run.path).task(task.name))
            assert {m.name: m for m in stored.metrics} == {m.name: m for m in again.metrics}
            assert (stored.values, stored.headlines) == (again.values, again.headlines)


def test_an_old_run_is_resumed(old_results: Path) -> None:
    (run,) = old_results.glob("teacher/*")
    before = (run / "arithmetic" / "completions.jsonl").read_bytes()
    arguments = ["-t", "arithmetic", "--max-tokens", "64", "-n", "4", "--limit", "8", "--quiet"]
    evalkit("run", "examples/tiny_distill/teacher", *arguments, "-o", run)
    assert (run / "arithmetic" / "completions.jsonl").read_bytes() == before
