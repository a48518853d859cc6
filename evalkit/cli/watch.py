"""`evalkit watch`: evaluate checkpoints as a training run writes them."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(
    name="watch",
    short_help="Evaluate checkpoints as a training run writes them.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("run_options", nargs=-1, type=click.UNPROCESSED)
@click.option("-t", "--tasks", "task_names", required=True, metavar="A,B", help="Tasks to run on each checkpoint.")
@click.option("-n", "n", type=click.IntRange(min=1), help="Completions per problem [default: as `evalkit run`].")
@click.option("--every-new", is_flag=True, help="Evaluate each new checkpoint, not only the newest.")
@click.option(
    "--results",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Parent of the run directories.",
)
@click.option(
    "--settle", type=float, default=10.0, show_default=True, help="Seconds for which nothing in a checkpoint changes."
)
@click.option("--poll", type=float, default=5.0, show_default=True, help="Seconds between two looks at the folder.")
@click.option("--once", is_flag=True, help="End when the checkpoints that are there are evaluated.")
@click.option(
    "--until", type=click.Path(path_type=Path), metavar="FILE", help="End when FILE exists and nothing is left."
)
def command(
    folder: Path,
    run_options: tuple[str, ...],
    task_names: str,
    n: int | None,
    every_new: bool,
    results: Path,
    settle: float,
    poll: float,
    once: bool,
    until: Path | None,
) -> None:
    """Evaluate each complete checkpoint in FOLDER and add it to the curve of its training run.

    All other options are those of `evalkit run`. What is evaluated already is skipped, so the command can be stopped
    and started at any time. The curve is RESULTS/curves/<training run>.csv.

    \b
    evalkit watch runs/sft -t math500 -n 4 --every-new
    """
    from evalkit.errors import RunIncompleteError
    from evalkit.run.watching import Watch

    arguments = ["-t", task_names, *(["-n", str(n)] if n is not None else []), *run_options]
    watch = Watch(folder, results, arguments, every_new, settle)
    watch.follow(until, once, poll, lambda line: echo(line, err=True))
    if failed := [*watch.failed, *(path for path in watch.refused if path not in watch.failed)]:
        first = failed[0]
        raise RunIncompleteError(
            f"{len(failed)} checkpoints could not be evaluated, the first is {first}.",
            f"see `evalkit run {first}` for the reason; run the same command again to resume.",
        )
