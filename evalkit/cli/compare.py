"""`evalkit compare A B`: two runs, paired by problem."""

from pathlib import Path

import click

from evalkit.cli.selection import trust_option, trust_task_files
from evalkit.cli.terminal import echo


@click.command(name="compare", short_help="Compare two runs, paired by problem.")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--across-protocols", is_flag=True, help="Allow runs of different protocols; the table names them.")
@click.option(
    "--points",
    type=float,
    default=2.0,
    show_default=True,
    help="Difference, in points, for which the n needed is computed.",
)
@click.option(
    "--flips", type=click.IntRange(min=0), default=10, show_default=True, help="Flipped problems listed per task."
)
@click.option(
    "-f", "--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True, help="Output format."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file instead of stdout."
)
@trust_option
def command(
    a: Path, b: Path, across_protocols: bool, points: float, flips: int, form: str, output: Path | None, trust: bool
) -> None:
    """Compare run directory B with run directory A on the problems that both have.

    For each task it prints the difference with its intervals, a paired test, and the problems whose solve rate changed.

    \b
    evalkit compare results/base/deepseek-r1-1a2b3c4d results/student/deepseek-r1-5e6f7a8b
    """
    from evalkit.results.compare import compare
    from evalkit.results.entries import load_entries
    from evalkit.results.formats.comparison import comparison_json, comparison_markdown
    from evalkit.store.lines import write_atomically

    if trust:
        trust_task_files([a, b])
    (first, incomplete_a), (second, incomplete_b) = load_entries([a]), load_entries([b])
    for note in incomplete_a + incomplete_b:
        echo(note, err=True)
    compared = compare(first, second, across_protocols, points / 100)
    name_a, name_b = f"{first[0].report.model} ({a})", f"{second[0].report.model} ({b})"
    text = (
        comparison_markdown(name_a, name_b, compared, flips)
        if form == "md"
        else comparison_json(name_a, name_b, compared)
    )
    if output is None:
        echo(text, nl=False)
    else:
        write_atomically(output, text)
        echo(f"wrote {output}", err=True)
