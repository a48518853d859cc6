"""`evalkit plot KIND RUNS`: draw one plot."""

from pathlib import Path

import click

from evalkit.cli.selection import trust_option, trust_task_files
from evalkit.cli.terminal import echo
from evalkit.visible import visible_line

KINDS = ("bars", "tokens", "k", "map", "lengths", "budget", "steps", "gap", "crossing", "lineage", "thinking")


class _WithKinds(click.Command):
    """Lists the kinds of picture below the options, which are imported only for that."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from evalkit.results.plots import kinds

        with formatter.section("Kinds"):
            formatter.write_dl(list(kinds.KINDS.items()))


@click.command(name="plot", cls=_WithKinds, short_help=f"Plot runs: {', '.join(KINDS)}.")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PNG, SVG or PDF file to write [default: KIND.png].",
)
@click.option("-t", "--task", metavar="NAME", help="Task to plot; required if the runs have several.")
@click.option(
    "--published",
    metavar="NAME",
    help="Add a published table, such as deepseek-r1, to `bars` or `steps`; NAME:PATTERN picks models.",
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The teacher's run; has the teacher's colour wherever runs are told by colour, and in `bars`.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The run of the students' base; has the base's colour.",
)
@click.option(
    "--style",
    type=click.Choice(["screen", "paper"]),
    default="screen",
    show_default=True,
    help="paper: one column wide, small letters; its title is printed, for the caption.",
)
@trust_option
def command(
    kind: str,
    runs: tuple[Path, ...],
    output: Path | None,
    task: str | None,
    published: str | None,
    teacher: Path | None,
    base: Path | None,
    style: str,
    trust: bool,
) -> None:
    """Draw a plot of RUNS, which are results folders or run directories.

    \b
    evalkit plot bars results/ --published deepseek-r1 -o bars.svg
    evalkit plot budget results/ -t aime24 --style paper -o budget.pdf
    evalkit plot lineage results/student --base results/base --teacher results/teacher
    """
    from evalkit.results.plots.drawing import LOOKS, save
    from evalkit.results.plots.kinds import Request, draw
    from evalkit.results.table_options import published_beside

    if trust:
        trust_task_files([*runs, *(path for path in (teacher, base) if path is not None)])
    figures = published_beside(published, runs) if published else []
    request = Request(runs, task, figures, base, teacher, LOOKS[style])
    figure = draw(kind, request)
    for note in request.notes:
        echo(note, err=True)
    path = output or Path(f"{kind}.png")
    save(figure, path)
    if not request.look.titled and figure.get_label():
        echo(visible_line(f"caption: {figure.get_label()}"), err=True)
    echo(f"wrote {path}", err=True)
