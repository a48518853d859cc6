"""`evalkit suite`: many models on many tasks, from one file."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError, RunIncompleteError

if TYPE_CHECKING:
    from evalkit.results.table_options import TableOptions
    from evalkit.run.suites import JobState


@click.command(name="suite", short_help="Evaluate many models on many tasks, from one file.")
@click.argument("suite")
@click.option("--results", default="results", show_default=True, metavar="DIR", help="Parent of the run directories.")
@click.option(
    "--data", "data_folders", multiple=True, metavar="[TASK=]DIR", help="Data sets of all tasks or of one. Repeatable."
)
@click.option("--side-by-side", type=click.IntRange(min=1), help="Runs at once [default: by the GPUs there are].")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.html", help="The page with the table.")
@click.option("--dry-run", is_flag=True, help="List the runs and their commands; run nothing.")
def command(
    suite: str,
    results: str,
    data_folders: tuple[str, ...],
    side_by_side: int | None,
    output: Path | None,
    dry_run: bool,
) -> None:
    """Run SUITE, a TOML file or the name of one that comes with evalkit, and print one table.

    Runs that are finished are skipped, and an interrupted one resumes. The exit code is 1 if a run could not finish;
    the table has the others.

    \b
    evalkit suite r1-distill
    evalkit suite my-models.toml --results results/may
    """
    from evalkit.results.published import load_published
    from evalkit.results.table_options import TableOptions
    from evalkit.run.suites import SuiteRun, plan_suite, read_suite

    described, folder = read_suite(suite)
    jobs = plan_suite(described, folder)
    for name in described.published:
        load_published(name)  # a name that is unknown is told before hours of runs
    options = TableOptions(published=tuple(described.published))
    page = output or Path(results) / "suites" / f"{described.name}.html"
    if page.suffix.lower() not in (".html", ".htm", ""):
        raise EvalkitError(f"The page is HTML, and {page.name} ends with {page.suffix}.", "pass -o FILE.html.")
    if dry_run:
        for job in jobs:
            counts = ", ".join(f"{task} n = {n}" for task, n in job.protocol.n.items())
            echo(f"{job.name}: {' '.join(job.arguments)}{f' ({counts})' if counts else ''}")
        return
    more = [part for folder_ in data_folders for part in ("--data", folder_)]
    running = SuiteRun(described, jobs, Path(results), more, side_by_side)
    with _View(len(jobs)) as view:
        running.execute(view.show)
    _finish(running.states, options, page)


def _finish(states: "Sequence[JobState]", options: "TableOptions", page: Path) -> None:
    """Print the table of what is finished and write the page. Raises RunIncompleteError if a run failed."""
    from evalkit.results.entries import load_entries
    from evalkit.results.formats import renderer
    from evalkit.results.table_options import build
    from evalkit.store.lines import write_text_output

    runs = list(dict.fromkeys(state.run for state in states if state.run is not None))
    if runs:
        entries, notes = load_entries(runs)
        table = build(options, entries, notes)
        echo(renderer("md")(table), nl=False)
        write_text_output(page, renderer("html")(table))
        echo(f"page: {page}", err=True)
    if failed := [state for state in states if state.code]:
        raise RunIncompleteError(
            f"{len(failed)} of {len(states)} runs could not finish: {failed[0].job.name}: "
            f"{failed[0].said.removeprefix('error: ')}",
            f"see {failed[0].log}; run the same command again to resume.",
        )


class _View:
    """One view of all runs: a live table on a terminal, else a line whenever a run starts or ends."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._live: Any = None
        self._told: dict[int, str] = {}

    def __enter__(self) -> "_View":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def show(self) -> "Callable[[Sequence[JobState]], None]":
        return self._show_live if self._live is not None else self._print

    def _show_live(self, states: "Sequence[JobState]") -> None:
        from rich.markup import escape
        from rich.table import Table

        done = sum(state.code is not None for state in states)
        table = Table(caption=f"{done} of {self._total} runs have ended")
        for heading in ("model", "GPUs", "state"):
            table.add_column(heading)
        for state in states:
            gpus = ",".join(gpu.name for gpu in state.devices) or "–"
            table.add_row(escape(state.job.name), gpus, escape(_plain(state.said)))
        self._live.update(table)

    def _print(self, states: "Sequence[JobState]") -> None:
        for number, state in enumerate(states):
            word = "waiting" if state.process is None else "running" if state.code is None else _plain(state.said)
            if self._told.get(number) != word and word != "waiting":
                self._told[number] = word
                echo(f"[{number + 1}/{self._total}] {_plain(state.job.name)}: {word}", err=True)


def _plain(text: str) -> str:
    from evalkit.results.formats.escaping import one_line

    return one_line(text)
