"""`evalkit transfer`: a transfer set from runs."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(name="transfer", short_help="Make a training set of a teacher's right completions.")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A .jsonl or .parquet file."
)
@click.option("-k", "--per-problem", default=4, show_default=True, help="The most completions kept of a problem.")
@click.option(
    "--choose",
    type=click.Choice(["shortest", "random", "diverse"]),
    default="random",
    show_default=True,
    help="Which completions of a problem are kept.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of random choices.")
@click.option("--data", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
def command(runs: tuple[Path, ...], output: Path, per_problem: int, choose: str, seed: int, data: str | None) -> None:
    """Keep the completions of RUNS that are right, finished, in one language and not looping.

    The rows have `messages` in the chat format, as TRL's SFTTrainer takes them. A card with the counts for each reason
    of rejection is written beside the set.

    \b
    evalkit run teacher --problems train.jsonl --kind math -n 8
    evalkit transfer results/teacher -o set.jsonl -k 4
    """
    from evalkit.transfer import make_transfer_set
    from evalkit.transfer.writing import benchmark_warning

    made = make_transfer_set(
        list(runs),
        per_problem=per_problem,
        choose=choose,  # type: ignore[arg-type]  # click has checked it
        seed=seed,
        data=data,
    )
    written = made.save(output)
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in made.rejected.items()) or "none"
    echo(f"{len(made.examples):,} of {made.completions:,} completions kept; left out: {left_out}", err=True)
    if made.benchmarks:
        echo(f"warning: {benchmark_warning(made)}", err=True)
    for path in written:
        echo(path)
