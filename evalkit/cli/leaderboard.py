"""`evalkit leaderboard`: a table of runs and published figures."""

import re
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import click

from evalkit.cli.selection import output_option, trust_option, trust_task_files, write_output
from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError

# read from disk: importing them here would cost every command of the CLI their imports
_RENDERERS = Path(__file__).parents[1] / "results" / "formats" / "renderers"
_FORMATS = sorted(module.name for module in iter_modules([str(_RENDERERS)]))
_ENDINGS = {".md": "md", ".html": "html", ".tex": "latex", ".typ": "typst", ".csv": "csv", ".json": "json"}


def names(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """`--tasks a,b --tasks c` as one list. Commas in braces or brackets stay."""
    return tuple(part.strip() for text in value for part in text.split(",") if part.strip())


_GROUP = re.compile(r"\s*([^\s*?\[\]/=][^*?\[\]/=]*)=(.*)", re.DOTALL)


def groups(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`--group base,teacher` and `--group students=PATTERN,PATTERN` as a mapping, in order.

    Each `NAME=` begins a group, also behind a comma; what has no `=` before it is a name alone.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in value:
        name = ""
        for part in text.split(","):
            if begins := _GROUP.fullmatch(part):
                name = begins[1].strip()
                found[name] = (begins[2].strip(),)
            elif name:
                found[name] += (part.strip(),)
            else:
                found[part.strip()] = ()
    return found


@click.command(name="leaderboard", short_help="Print a table of runs with error bars and published figures.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice([*_FORMATS, "model-card"]),
    help="Output format [default: terminal on a terminal, md in a pipe, else by the ending of -o]; model-card is the "
    "metadata of a model card on the hub.",
)
@output_option
@click.option("-v", "--verbose", is_flag=True, help="Show the second interval, n, the share cut and every note.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with these options, see docs/tables.md; options given here come first.",
)
@click.option(
    "--published",
    multiple=True,
    metavar="NAME",
    help="Add a published table, such as deepseek-r1 (docs/tables.md lists them), or a CSV file; NAME:PATTERN picks "
    "models. Repeatable.",
)
@click.option("--models", multiple=True, callback=names, metavar="A,B", help="Rows: models, run folders or patterns.")
@click.option(
    "-t",
    "--tasks",
    multiple=True,
    callback=names,
    metavar="A,B",
    help="Columns, in this order: aime24, or aime24:cons@64 for one of its metrics.",
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
@click.option("--rows", type=click.Choice(["both", "ours", "published"]), help="Which rows [default: both].")
@click.option(
    "--order", multiple=True, callback=names, metavar="A,B", help="Order of the rows: patterns, or `score`, or `name`."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="RUN=NAME",
    help="Another name for a run or a model. Repeatable.",
)
@click.option(
    "--group",
    "groups_",
    multiple=True,
    callback=groups,
    metavar="NAMES",
    help="Headings between rows: base,teacher,students by the words in their names, or NAME=PATTERN,PATTERN.",
)
@click.option("--title", metavar="TEXT", help="Caption of a LaTeX or Typst table.")
@click.option("--ref", metavar="LABEL", help="Its label, such as tab:r1.")
@trust_option
def command(
    runs: tuple[Path, ...],
    form: str | None,
    output: Path | None,
    verbose: bool,
    config: Path | None,
    without_contaminated: Path | None,
    trust: bool,
    title: str | None,
    ref: str | None,
    groups_: dict[str, tuple[str, ...]],
    labels: tuple[str, ...],
    **given: Any,
) -> None:
    """Print the leaderboard of RUNS, which are results folders or run directories [default: results].

    \b
    evalkit leaderboard results/
    evalkit leaderboard results/ --published deepseek-r1 --group base,teacher,students
    evalkit leaderboard --published deepseek-r1 -o table.tex
    evalkit leaderboard --config table.toml -o table.html
    """
    from evalkit.results.entries import load_entries
    from evalkit.results.labels import given_labels
    from evalkit.results.table_options import TableOptions, build, load_options, merged

    form = form or _default_format(output)
    options = merged(
        load_options(config) if config is not None else TableOptions(),
        {
            **given,
            "runs": tuple(map(str, runs)),
            "title": title,
            "label": ref,
            "groups": groups_,
            "labels": given_labels(labels),
        },
    )
    paths = [Path(run) for run in options.runs] or ([] if options.published else [Path("results")])
    if trust:
        trust_task_files(paths)
    entries, notes = load_entries(paths) if paths else ([], [])
    for note in notes:
        echo(note, err=True)
    if without_contaminated is not None:
        from evalkit.contamination.report import load_contamination
        from evalkit.results.clean import clean_note, with_clean_scores

        entries = with_clean_scores(entries, load_contamination(without_contaminated))
        notes = [*notes, clean_note(entries)]
    if form == "model-card":
        from evalkit.results.formats.model_card import model_card

        write_output(model_card(entries), output)
    else:
        write_output(_rendered(build(options, entries, notes, verbose), form, output), output)


def _default_format(output: Path | None) -> str:
    import sys

    if output is not None:
        ending = output.suffix.lower()
        if ending and ending not in _ENDINGS:
            raise EvalkitError(
                f"{output.name} does not say which format it shall have.",
                f"end the name with {', '.join(_ENDINGS)}, or name the format with -f.",
            )
        return _ENDINGS.get(ending, "md")
    return "terminal" if sys.stdout.isatty() else "md"


def _rendered(table: Any, form: str, output: Path | None) -> str:
    import sys

    from evalkit.results.formats import renderer

    if form == "terminal":
        from evalkit.results.formats.renderers.terminal import render

        return render(table, colour=output is None and sys.stdout.isatty())
    return renderer(form)(table)
