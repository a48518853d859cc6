"""`evalkit settle`: close samples that can never succeed."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo
from evalkit.words import counted


@click.command(name="settle", short_help="Close samples that can never succeed, so that a run is complete.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--status", type=click.Choice(["error"]), default="error", show_default=True, help="The status that is closed."
)
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--undo", is_flag=True, help="Open what was closed.")
def command(run: Path, status: str, task_names: str | None, undo: bool) -> None:
    """Close the samples of RUN that are errors: requests that the server refuses, answers that no grader can judge.

    They are not asked for or graded again, count as errors with a score of 0, and stand in every table. The run is
    complete then. Each is recorded with its reason in settled.jsonl.

    \b
    evalkit samples results/student/deepseek-r1-1a2b3c4d --status error     see what they are
    evalkit settle results/student/deepseek-r1-1a2b3c4d --status error
    """
    from evalkit.cli.selection import one_run, tasks_of_run
    from evalkit.run.settle import reopen, settle

    directory = one_run(run)
    names = [task.name for task in tasks_of_run(directory, task_names)]
    counts = reopen(directory, names) if undo else settle(directory, names)
    for name, count in counts.items():
        what = "opened again" if undo else "closed as an error" if count == 1 else "closed as errors"
        echo(f"{name}: {counted(count, 'sample')} {what}", err=True)
