"""`evalkit contamination`: which benchmark problems stand in training sets."""

from pathlib import Path

import click

from evalkit.cli.selection import one_file
from evalkit.cli.terminal import echo


@click.command(name="contamination", short_help="Find benchmark problems in training sets.")
@click.argument("sets", nargs=-1, required=True, metavar="SETS...")
@click.option("-t", "--tasks", "task_names", required=True, metavar="A,B", help="Tasks whose problems to look for.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("contamination.json"),
    show_default=True,
    metavar="FILE",
    help="The result, for `leaderboard` and `distill --without-contaminated`. A page of the matches side by side is "
    "written beside it, as .html.",
)
@click.option("--show", type=click.IntRange(min=0), default=5, show_default=True, help="Matches shown side by side.")
@click.option("--data", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option(
    "--task-file", multiple=True, callback=one_file, metavar="FILE.py", help="Python file that defines tasks."
)
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    sets: tuple[str, ...],
    task_names: str,
    output: Path,
    show: int,
    data: str | None,
    task_file: str | None,
    quiet: bool,
) -> None:
    """Look for the problems of tasks in SETS: JSON lines, JSON lists or parquet, also as gz or zst, or `-` for stdin.

    The sets are streamed. After a kill the same command goes on where it was.

    \b
    evalkit contamination train.jsonl.gz -t math500,aime24
    evalkit leaderboard results/ --without-contaminated contamination.json
    """
    from evalkit.benchmark.suites import task_names as expanded
    from evalkit.contamination.check import find_contamination
    from evalkit.contamination.page import page_beside, page_html
    from evalkit.contamination.side_by_side import side_by_side, summary_lines
    from evalkit.store.lines import write_text_output

    page = page_beside(output)
    partial = output.with_name(f".{output.name}.partial")
    found = find_contamination(
        list(sets),
        expanded(task_names),
        data=data,
        task_file=task_file,
        partial=partial,
        tell=None if quiet else lambda progress: echo(f"{progress.total / 1e6:,.0f} MB read", err=True),
    )
    write_text_output(page, page_html(found))
    found.save(output)
    partial.unlink(missing_ok=True)
    for line in summary_lines(found):
        echo(line)
    for line in side_by_side(found, show):
        echo(line)
    echo(f"wrote {output} and {page}", err=True)
