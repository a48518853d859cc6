"""`evalkit score`: grade a run again without generating anything."""

from pathlib import Path

import click

from evalkit.cli.selection import trust_option


@click.command(name="score", short_help="Grade a run again; generate nothing, list what flipped.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that grade [default: the cores].")
@trust_option
def command(
    runs: tuple[Path, ...], task_names: str | None, data_folder: str | None, workers: int | None, trust: bool
) -> None:
    """Grade every completion of the RUNS again with the graders of this version, and list the verdicts that changed.

    The old scores stay until the new pass is whole; a pass that was interrupted goes on where it stopped.

    \b
    evalkit score results/
    evalkit score results/student/deepseek-r1-1a2b3c4d -t math500
    """
    from evalkit.cli.selection import tasks_of_run, trust_task_files
    from evalkit.cli.summary import print_summary
    from evalkit.run.rescore import rescore_run
    from evalkit.run.session import require_no_errors
    from evalkit.store.run import find_runs

    if trust:
        trust_task_files(list(runs))
    for run in [found for path in runs for found in find_runs(path)]:
        click.echo(f"{run.path}", err=True)
        names = [task.name for task in tasks_of_run(run, task_names)]
        changed, reports = rescore_run(run, names, data_folder, workers)
        for one in changed:
            click.echo(
                f"flipped: {one.key.task} {one.key.problem_id} sample {one.key.sample_index}: "
                f"{one.before} -> {one.after} (answer {one.answer!r}; {one.explanation})"
            )
        click.echo(f"{len(changed)} of {sum(r.samples for r in reports)} verdicts changed", err=True)
        print_summary(reports)
        require_no_errors(run, reports)
