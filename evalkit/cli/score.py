"""`evalkit score`: grade a run again."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.opinion_flags import ask_second_opinion, opinion_flags, require_second_opinion
from evalkit.cli.selection import one_file, trust_option
from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.visible import visible_line

if TYPE_CHECKING:
    from evalkit.benchmark.data import DataFolders
    from evalkit.results.report import Report
    from evalkit.store.run import RunDirectory


@click.command(name="score", short_help="Grade runs again and list the verdicts that changed.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option(
    "--data",
    "data_folders",
    multiple=True,
    metavar="[TASK=]DIR",
    help="Folder with the data sets, of all tasks or of one. Repeatable [env: EVALKIT_DATA].",
)
@click.option(
    "--task-file",
    multiple=True,
    callback=one_file,
    metavar="FILE.py",
    help="Where the file of the runs' tasks is now, if it was moved.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that grade [default: as many as save time, up to the cores].",
)
@click.option(
    "--judge-on",
    metavar="ray[:HOST:PORT]",
    help="Judge programs on the processors of a Ray cluster: that of this machine, or the one named.",
)
@opinion_flags
@trust_option
def command(
    runs: tuple[Path, ...],
    task_names: str | None,
    data_folders: tuple[str, ...],
    task_file: str | None,
    workers: int | None,
    judge_on: str | None,
    second_opinion: str | None,
    judge_url: str | None,
    judge_model: str | None,
    trust: bool,
) -> None:
    """Grade every completion of RUNS again with this version's graders and list the verdicts that changed.

    Nothing is generated. The old scores are kept until all completions are graded. Running the same command again
    resumes an interrupted pass.

    \b
    evalkit score results/
    evalkit score results/student/deepseek-r1-1a2b3c4d -t math500
    """
    from evalkit.benchmark.data import read_data_options
    from evalkit.cli.selection import trust_task_files
    from evalkit.cli.summary import print_summary
    from evalkit.results.report import load_report
    from evalkit.run.session import require_no_errors
    from evalkit.store.folders import each_once, find_runs, runs_without_record

    folders = read_data_options(data_folders)
    require_second_opinion(second_opinion, judge_url, judge_model)
    if trust:
        trust_task_files(list(runs), task_file)
    found = each_once(run for path in runs for run in find_runs(path))
    lost: dict[Path, tuple[Path, EvalkitError]] = {}
    for folder, damage in (one for path in runs for one in runs_without_record(path)):
        lost.setdefault(folder.resolve(), (folder, damage))
    failed = list(lost.values())
    count = len(found) + len(failed)
    for path, error in failed:
        _tell(path, error)
    for run in found:
        echo(visible_line(f"{run.path}"), err=count == 1)  # what is piped tells whose figures they are
        try:
            reports = _grade(run, task_names, folders, workers, task_file, judge_on)
            if not reports:
                continue
            if second_opinion is not None:
                names = [report.task for report in reports]
                ask_second_opinion(run, names, second_opinion, judge_url, judge_model, folders)
                reports = [load_report(run.task(name)) for name in names]
            print_summary(run, reports)
            require_no_errors(run, reports)
        except EvalkitError as error:
            if count == 1:
                raise
            _tell(run.path, error)
            failed.append((run.path, error))
    if failed:
        kind = RunIncompleteError if any(isinstance(error, RunIncompleteError) for _, error in failed) else EvalkitError
        raise kind(
            f"{len(failed)} of {count} runs are not graded as a whole: {', '.join(str(path) for path, _ in failed)}.",
            f"{'the others are; ' if len(failed) < count else ''}what each needs is told above, then run the same "
            "command again.",
        )


def _tell(path: Path, error: EvalkitError) -> None:
    echo(visible_line(f"{path}: {error.message} {error.hint[:1].upper()}{error.hint[1:]}"), err=True)


def _grade(
    run: "RunDirectory",
    task_names: str | None,
    folders: "DataFolders",
    workers: int | None,
    task_file: str | None,
    judge_on: str | None,
) -> "list[Report]":
    """Grade a run again, print the verdicts that changed, and return its new reports."""
    from evalkit.cli.selection import tasks_of_run
    from evalkit.run.rescore import rescore_run

    names = [task.name for task in tasks_of_run(run, task_names)]
    begun = time.monotonic()
    changed, reports = rescore_run(run, names, folders, workers, task_file, judge_on)
    for one in changed:
        told = f"{one} (answer {one.answer!r}; {one.explanation})"
        echo(visible_line(f"flipped: {one.key.task} {one.key.problem_id} sample {one.key.sample_index}: {told}"))
    if not reports:
        return reports
    graded = ", ".join(report.title for report in reports)
    samples = sum(report.samples for report in reports)
    told = f"{len(changed):,} of {samples:,} verdicts changed"
    echo(visible_line(f"graded {graded} in {time.monotonic() - begun:.1f} s: {told}"), err=True)
    return reports
