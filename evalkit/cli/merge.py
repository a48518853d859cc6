"""`evalkit merge`: unite the shards of a run."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(name="merge", short_help="Unite the shards of a run.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="RUN", help="Run directory.")
def command(runs: tuple[Path, ...], output: Path) -> None:
    """Unite RUNS, the shards of one run, in one run directory.

    Completions that several shards have must be equal. If some are missing the exit code is 1, and what there is has
    been united all the same: merge again when the missing shards are finished.

    \b
    evalkit merge shards/ -o results/student/whole
    """
    from evalkit.cli.summary import print_summary
    from evalkit.results.report import load_report
    from evalkit.run.merging import merge_runs
    from evalkit.run.session import require_no_errors
    from evalkit.store.run import RunDirectory

    merged = merge_runs(runs, output)
    for task in merged:
        double = f", {task.overlaps:,} in several shards" if task.overlaps else ""
        echo(f"{task.name}: {task.completions:,} completions{double}", err=True)
    run = RunDirectory(output)
    reports = [load_report(task) for task in run.tasks().values()]
    print_summary(run, reports)
    require_no_errors(run, reports)
