"""`evalkit export`: a run in another format."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(name="export", short_help="Write a run in another format.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="every-eval-ever, hf-eval-results, inspect, lm-eval or parquet; or a tracker: wandb, mlflow, trackio.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="The folder [default: RUN/FORMAT]."
)
@click.option("--data", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
def command(run: Path, to: str, output: Path | None, data: str | None) -> None:
    """Write RUN, an own or an imported one, in the format of the place where it is to go.

    \b
    evalkit export results/student/deepseek-r1-1a2b3c4d --to inspect
    evalkit export results/student/deepseek-r1-1a2b3c4d --to hf-eval-results -o my-model-repository
    evalkit export results/student/deepseek-r1-1a2b3c4d --to wandb:students

    A training set is made by `evalkit transfer`.
    """
    from evalkit.results.exports import export_run
    from evalkit.results.trackers import is_tracker, log_run

    if is_tracker(to):
        echo(log_run(run, to))
        return
    for path in export_run(run, to, output or run / f"export-{to}", data=data):
        echo(path)
