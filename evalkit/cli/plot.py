"""`evalkit plot KIND RUNS`: draw one plot."""

from pathlib import Path

import click

from evalkit.cli.selection import trust_option, trust_task_files
from evalkit.cli.terminal import echo

KINDS = {
    "bars": "score per benchmark with error bars; --published adds published figures",
    "tokens": "accuracy against mean completion tokens, with the Pareto front",
    "k": "pass@k and cons@k against k",
    "map": "solve rate of each problem in each run, sorted by difficulty",
    "lengths": "completion lengths by status, with the token limit",
    "budget": "accuracy if completions were cut at 1k, 2k, 4k, ... tokens",
    "steps": "score against the training step in the checkpoints' names",
}


@click.command(
    name="plot",
    short_help="Plot runs: bars, tokens, k, map, lengths, budget, steps.",
    epilog="\b\n" + "\n".join(f"{kind:8} {what}" for kind, what in KINDS.items()),
)
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PNG or SVG file to write [default: KIND.png].",
)
@click.option("-t", "--task", metavar="NAME", help="Task to plot; required if the runs have several.")
@click.option("--published", metavar="NAME", help="Add a published table, such as deepseek-r1, to `bars`.")
@trust_option
def command(
    kind: str, runs: tuple[Path, ...], output: Path | None, task: str | None, published: str | None, trust: bool
) -> None:
    """Draw a plot of RUNS, which are results folders or run directories.

    \b
    evalkit plot bars results/ --published deepseek-r1 -o bars.svg
    evalkit plot budget results/ -t aime24
    """
    from evalkit.results.entries import load_entries
    from evalkit.results.plots import figures as plots
    from evalkit.results.plots import samples as plots_samples
    from evalkit.results.published import load_published

    if trust:
        trust_task_files(runs)
    entries, notes = load_entries(runs)
    for note in notes:
        echo(note, err=True)
    if kind == "bars":
        chosen = plots.of_task(entries, task) if task else entries
        figure = plots.bars(chosen, load_published(published) if published else [])
    else:
        draw = {
            "tokens": plots.accuracy_against_tokens,
            "k": plots.score_against_k,
            "map": plots.solve_rate_map,
            "lengths": plots_samples.length_distribution,
            "budget": plots_samples.budget_curve,
            "steps": plots.checkpoint_sweep,
        }[kind]
        figure = draw(entries, task)
    path = output or Path(f"{kind}.png")
    plots.save(figure, path)
    echo(f"wrote {path}", err=True)
