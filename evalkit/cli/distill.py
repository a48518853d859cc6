"""`evalkit distill`: students beside their teacher and their base."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(name="distill", short_help="What students learnt and lost: gap recovered, solved sets, tries, cost.")
@click.argument("students", nargs=-1, required=True, metavar="STUDENT_RUNS...", type=click.Path(path_type=Path))
@click.option("--teacher", required=True, multiple=True, metavar="RUNS", help="The teacher's runs, or TABLE:MODEL.")
@click.option(
    "--base", multiple=True, metavar="RUNS", help="Runs of what the students were trained from, or TABLE:MODEL."
)
@click.option("--rounds", is_flag=True, help="The students are a chain in this order: the gain of each round.")
@click.option(
    "--without-contaminated",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add the scores on the problems that this file of `evalkit contamination` does not name.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write .html, .md, .tex or .json there [default: markdown on stdout].",
)
def command(
    students: tuple[Path, ...],
    teacher: tuple[str, ...],
    base: tuple[str, ...],
    rounds: bool,
    without_contaminated: Path | None,
    output: Path | None,
) -> None:
    """Say what STUDENT_RUNS have of their teacher, and what they lost against their base.

    Runs are run directories or folders of them; a teacher or a base may be a published figure, TABLE:MODEL.

    \b
    evalkit distill results/student --teacher results/teacher --base results/base -o page.html
    evalkit distill results/student --teacher deepseek-r1:OpenAI-o1-mini
    """
    from evalkit.results.distillation import distillation

    found = distillation(
        students, teacher=teacher, base=base or None, rounds=rounds, without_contaminated=without_contaminated
    )
    for note in found.notes:
        echo(note, err=True)
    if output is None:
        echo(found.text("md"), nl=False)
    else:
        found.save(output)
        echo(f"wrote {output}", err=True)
