"""A damaged run: the hint names the command that mends it, and the other runs of the folder are shown."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import evalkit, told
from report_runs import TaskData, maths_problems, maths_sample, write_samples, write_task_file

from evalkit.cli.main import cli
from evalkit.errors import DamagedError
from evalkit.results.distill_models import load_side
from evalkit.results.frames import leaderboard, load_results
from evalkit.results.runs import load_runs
from evalkit.results.site.export import Site
from evalkit.results.site.options import SiteOptions
from evalkit.run.merging import merge_runs
from evalkit.store.run import RunDirectory
from evalkit.transfer import make_transfer_set

TASK = TaskData("sums", "Sums", maths_problems(4), maths_sample(0.5, 1), n=2)
CHECKSUM = "is damaged: its checksum is wrong."


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs of one task: `a`, `b` and `c`."""
    file = write_task_file(tmp_path / "tasks", [TASK])
    for name in "abc":
        write_samples(tmp_path / "results" / name, name, [TASK], file)
    return tmp_path / "results"


def spoil(results: Path, name: str = "b", file: str = "completions.jsonl") -> Path:
    """Change a character of the second line of a file of the run, as a bad disk does."""
    path = results / name / "sums" / file
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"sums"', b'"sumz"', 1)
    path.write_bytes(b"".join(lines))
    return path


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("completions.jsonl", "`evalkit run … -t sums`): it generates only that sample. If that command is not run, "
         "the sample is lost."),
        ("scores.jsonl", "run `evalkit score {run}`: completions are kept, and are graded again."),
    ],
)  # fmt: skip
def test_the_hint_names_the_command_that_makes_the_line_again(results: Path, file: str, hint: str) -> None:
    path = spoil(results, file=file)
    failed = evalkit("leaderboard", results / "b", code=2).stderr
    assert f"Line 2 of {path} {CHECKSUM}" in failed
    assert hint.format(run=results / "b") in failed


def test_an_imported_run_is_imported_again(results: Path) -> None:
    path = spoil(results)
    run = RunDirectory(results / "b")
    content: Any = dict(run.record().content)
    content["identity"] = {**content["identity"], "engine": {"backend": "imported"}}
    run.rewrite(content)
    with pytest.raises(DamagedError, match="import the log again with `evalkit import`") as caught:
        list(run.task("sums").files.completions())
    assert "keep the line" in caught.value.hint
    assert str(path) in caught.value.message


def test_a_line_that_is_there_twice_is_deleted_without_loss(results: Path) -> None:
    path = results / "b" / "sums" / "completions.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(DamagedError, match="the earlier one of the sample stands") as caught:
        list(RunDirectory(results / "b").task("sums").files.completions())
    assert "generated again" in caught.value.hint


def test_a_table_shows_the_other_runs_and_says_what_it_does_not_show(
    results: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = spoil(results)
    (results / "c" / "run.json").write_text("{")
    done = evalkit("leaderboard", results)
    assert f"not shown: Line 2 of {path} {CHECKSUM} Delete that line, then repeat the command" in done.stderr
    assert f"not shown: {results / 'c' / 'run.json'} cannot be read" in done.stderr
    assert "| a |" in done.stdout
    assert "| b |" not in done.stdout
    with caplog.at_level(logging.WARNING):
        assert set(leaderboard(results)["model"]) == {"a"}
    assert CHECKSUM in caplog.text
    assert CHECKSUM in evalkit("plot", "bars", results, "-o", results / "bars.png").stderr


@pytest.mark.slow
def test_a_comparison_shows_the_others_of_a_folder_but_needs_the_run_that_was_named(results: Path) -> None:
    spoil(results)
    assert CHECKSUM in told(evalkit("compare", results / "a", results / "b", code=2))
    (results / "more").mkdir()
    (results / "b").rename(results / "more" / "b")
    (results / "c").rename(results / "more" / "c")
    done = evalkit("compare", results / "a", results / "more").stderr
    assert f"not shown: Line 2 of {results / 'more' / 'b'}" in done


@pytest.mark.slow
def test_students_of_a_folder_are_shown_without_the_damaged_one(results: Path) -> None:
    spoil(results)
    students = results.parent / "students"
    students.mkdir()
    for name in "bc":
        (results / name).rename(students / name)
    page = evalkit("distill", students, "--teacher", results / "a")
    assert f"left out: Line 2 of {students / 'b'}" in page.stderr
    assert "students: c" in page.stdout
    assert "left out: Line 2" in page.stdout
    assert CHECKSUM in told(evalkit("distill", students / "b", "--teacher", results / "a", code=2))
    (students / "c").rename(results / "c")
    assert CHECKSUM in told(evalkit("distill", students, "--teacher", results / "a", code=2))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["completions.jsonl", "scores.jsonl"])
def test_a_page_shows_the_other_runs(results: Path, tmp_path: Path, file: str) -> None:
    evalkit("leaderboard", results)  # the reports are stored, so that figures alone would be there
    path = spoil(results, file=file)
    (results / "c" / "run.json").write_text("{")
    done = evalkit("view", results, "-o", tmp_path / "site").stderr
    assert f"not shown: Line 2 of {path} {CHECKSUM}" in done
    assert f"not shown: {results / 'c' / 'run.json'} cannot be read" in done
    failed = told(evalkit("view", results / "b", "-o", tmp_path / "other", code=2))
    assert CHECKSUM in failed


def test_a_page_that_follows_runs_takes_a_mended_one_in(results: Path, tmp_path: Path) -> None:
    whole = (results / "b" / "sums" / "completions.jsonl").read_bytes()
    path = spoil(results)
    site = Site(tmp_path / "site", SiteOptions((results,), pictures=False), live=True)
    said: list[str] = []
    assert site.refresh(said.append)
    assert [feed.task.run.model for feed in site.feeds] == ["a", "c"]
    assert any(CHECKSUM in one for one in said)
    assert site.notices() == [one for one in said if CHECKSUM in one]
    assert not site.refresh()
    path.write_bytes(whole)
    assert site.refresh()
    assert sorted(feed.task.run.model for feed in site.feeds) == ["a", "b", "c"]
    assert site.notices() == []


def test_a_run_without_its_record_is_told(results: Path) -> None:
    told_of = f"{results / 'b'} has completions but no run.json."
    (results / "b" / "run.json").unlink()
    assert f"not shown: {told_of} Restore the file" in evalkit("leaderboard", results).stderr
    site = Site(results.parent / "site", SiteOptions((results,), pictures=False))
    assert site.refresh()
    assert any(told_of in one for one in site.notices())
    done = evalkit("verify", results, code=1)
    assert told_of in done.stdout
    assert told(done) == f"{results / 'b'} is not complete."
    assert "restore the file" in done.stderr
    assert told(evalkit("verify", results / "b", code=2)) == told_of


def test_a_run_without_its_record_is_missing_from_nothing_unnoticed(results: Path, tmp_path: Path) -> None:
    told_of = f"{results / 'b'} has completions but no run.json."
    (results / "b" / "run.json").unlink()
    readers: list[Callable[[Path], object]] = [
        load_runs, load_results, make_transfer_set, lambda path: merge_runs([path], tmp_path / "merged"),
    ]  # fmt: skip
    for read in readers:
        with pytest.raises(DamagedError) as raised:
            read(results)
        assert raised.value.message == told_of
    found = load_side([results])
    assert any(told_of in note for side in found for note in side.notes)
    done = CliRunner().invoke(cli, ["score", str(results)])
    assert f"{results / 'b'}: {told_of} Restore the file" in done.stderr
    assert f"1 of 3 runs are not graded as a whole: {results / 'b'}." in str(done.exception)
    for name in ("a", "c"):
        figures = done.stdout.partition(f"{results / name}\n")[2]
        assert figures.splitlines()[0].startswith("| task |"), "each table has the name of its run"
    done = CliRunner().invoke(cli, ["score", str(results), str(results / "." / "a" / ".." / "b" / "..")])
    assert f"1 of 3 runs are not graded as a whole: {results / 'b'}." in str(done.exception), "each once"
    assert len(load_runs(results / "a", results / "a", results / "c")) == 2, "each once"


def test_completions_in_no_folder_of_a_run_are_nothing(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "completions.jsonl").write_bytes((results / "b" / "sums" / "completions.jsonl").read_bytes())
    monkeypatch.chdir(results)
    assert len(load_runs(".")) == len(load_runs(results)) == 3


def test_a_merge_below_its_runs_that_was_cut_short_is_done_again(results: Path) -> None:
    merged = results / "merged"
    (merged / "sums").mkdir(parents=True)
    (merged / "sums" / "completions.jsonl").write_bytes((results / "a" / "sums" / "completions.jsonl").read_bytes())
    merge_runs([results / "a", results], merged)
    assert len(load_runs(merged)) == 1


@pytest.mark.slow
def test_folders_that_are_no_runs_are_not_told(results: Path) -> None:
    """An export, what was put away, and a folder with a file of that name."""
    lines = (results / "b" / "sums" / "completions.jsonl").read_bytes()
    for folder in ("export/x", ".kept/sums", "b/.kept/sums", "suites/s"):
        (results / folder).mkdir(parents=True)
        (results / folder / "completions.jsonl").write_bytes(lines)
    assert "no run.json" not in evalkit("verify", results).stdout
    assert (
        evalkit("leaderboard", results).stderr
        == evalkit("leaderboard", results / "a", results / "b", results / "c").stderr
    )
