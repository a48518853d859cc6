"""`evalkit leaderboard`: a table of runs and published figures."""

from pathlib import Path
from pkgutil import iter_modules

import click

from evalkit.cli.selection import trust_option, trust_task_files
from evalkit.cli.terminal import echo

# read from disk: importing them here would cost every command of the CLI their imports
_RENDERERS = Path(__file__).parents[1] / "results" / "formats" / "renderers"
_FORMATS = sorted(module.name for module in iter_modules([str(_RENDERERS)]))


@click.command(name="leaderboard", short_help="Print a table of runs with error bars and published figures.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice([*_FORMATS, "model-card"]),
    default="md",
    show_default=True,
    help="Output format; model-card is the metadata of a model card on the hub.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file instead of stdout."
)
@click.option(
    "--published",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Add a published table, such as deepseek-r1, or a CSV file. Repeatable.",
)
@click.option(
    "-m", "--metric", "metrics", multiple=True, metavar="NAME", help="Add a column, such as pass@8. Repeatable."
)
@click.option(
    "--without-contaminated",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show beside each score the one on the problems that this file of `evalkit contamination` does not name.",
)
@trust_option
def command(
    runs: tuple[Path, ...],
    form: str,
    output: Path | None,
    tables: tuple[str, ...],
    metrics: tuple[str, ...],
    without_contaminated: Path | None,
    trust: bool,
) -> None:
    """Print the leaderboard of RUNS, which are results folders or run directories [default: results].

    \b
    evalkit leaderboard results/
    evalkit leaderboard results/ --published deepseek-r1
    evalkit leaderboard --published deepseek-r1 -f latex -o table.tex
    """
    from evalkit.results.entries import load_entries
    from evalkit.results.formats import renderer
    from evalkit.results.leaderboard import build_table
    from evalkit.results.published import load_published
    from evalkit.store.lines import write_atomically

    figures = [figure for table in tables for figure in load_published(table)]
    paths = list(runs) or ([] if tables else [Path("results")])
    if trust:
        trust_task_files(paths)
    entries, notes = load_entries(paths) if paths else ([], [])
    for note in notes:
        echo(note, err=True)
    if without_contaminated is not None:
        from evalkit.contamination.report import load_contamination
        from evalkit.results.clean import NOTE, with_clean_scores

        entries, notes = with_clean_scores(entries, load_contamination(without_contaminated)), [*notes, NOTE]
    if form == "model-card":
        from evalkit.results.formats.model_card import model_card

        text = model_card(entries)
    else:
        text = renderer(form)(build_table(entries, figures, metrics, notes))
    if output is None:
        echo(text, nl=False)
    else:
        write_atomically(output, text)
        echo(f"wrote {output}", err=True)
