"""`evalkit compare A B …`: runs against a reference, or all pairs; with gates for CI."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.selection import output_option, trust_option, trust_task_files
from evalkit.cli.terminal import echo

if TYPE_CHECKING:
    from evalkit.errors import EvalkitError
    from evalkit.results.compare import Side


@click.command(name="compare", short_help="Compare runs with a reference, paired by problem.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The run that the others are compared with [default: the first].",
)
@click.option("--all-pairs", is_flag=True, help="Compare every run with every other.")
@click.option("--label", "labels", multiple=True, metavar="RUN=NAME", help="Another name for a run. Repeatable.")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="'TASK >= POINTS'",
    help="Fail where B − A is below POINTS, as in 'math500 >= -1'. Exit code 3: the loss is established; 4: "
    "too few samples to say. Repeatable; TASK may be a pattern.",
)
@click.option(
    "--gate-over",
    type=click.Choice(["run", "problems"]),
    default="run",
    show_default=True,
    help="The error that a gate counts: new samples of the same problems, or other problems.",
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the gates as JUnit XML too.")
@click.option("--across-protocols", is_flag=True, help="Allow runs of other protocols or data; the table names them.")
@click.option(
    "--points",
    type=float,
    default=2.0,
    show_default=True,
    help="Difference, in points, for which the samples needed are computed.",
)
@click.option(
    "--flips", type=click.IntRange(min=0), default=10, show_default=True, help="Flipped problems listed per task."
)
@click.option("-v", "--verbose", is_flag=True, help="Show both intervals, p-values and what would be needed.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["terminal", "md", "json", "junit"]),
    help="Output format [default: terminal on a terminal, else md].",
)
@output_option
@trust_option
def command(
    runs: tuple[Path, ...],
    reference: Path | None,
    all_pairs: bool,
    labels: tuple[str, ...],
    gates: tuple[str, ...],
    gate_over: str,
    junit: Path | None,
    across_protocols: bool,
    points: float,
    flips: int,
    verbose: bool,
    form: str | None,
    output: Path | None,
    trust: bool,
) -> None:
    """Compare run directories B, C, … with run directory A, on the problems that both have.

    It prints what is established in one sentence, the difference on each task, and the problems whose solve rate
    changed.

    \b
    evalkit compare results/base/deepseek-r1-1a2b3c4d results/student/deepseek-r1-5e6f7a8b
    evalkit compare results/* --reference results/teacher
    evalkit compare results/old results/new --gate "math500 >= -1" --junit gates.xml
    """
    import sys

    from evalkit.cli.selection import write_output
    from evalkit.errors import EvalkitError
    from evalkit.results.compare import compare_runs
    from evalkit.results.formats import comparison
    from evalkit.results.gates import Over, check_gates, exit_code, parse_gate

    over: Over = "problems" if gate_over == "problems" else "run"
    try:
        wanted = [parse_gate(text) for text in gates]
        sides = _sides(runs, reference, labels, trust)
        compared = compare_runs(sides, None if all_pairs else 0, across_protocols, points / 100)
        results = check_gates(wanted, compared, over) if wanted else []
    except EvalkitError as error:
        _write_error(error, form, output, junit)
        raise
    form = form or ("terminal" if output is None and sys.stdout.isatty() else "md")
    if form == "terminal":
        colour = output is None and sys.stdout.isatty()
        text = comparison.comparison_terminal(compared, results, flips, verbose, colour=colour)
    elif form == "md":
        text = comparison.comparison_markdown(compared, results, flips, verbose)
    else:
        text = comparison.comparison_json(compared, results) if form == "json" else comparison.comparison_junit(results)
    write_output(text, output)
    if junit is not None:
        write_output(comparison.comparison_junit(results), junit)
    if code := exit_code(results):
        raise SystemExit(code)


def _sides(runs: tuple[Path, ...], reference: Path | None, labels: tuple[str, ...], trust: bool) -> "list[Side]":
    """The runs to compare, the reference first; what is left out of them is told."""
    from evalkit.results.labels import given_labels
    from evalkit.results.sides import load_sides

    paths = list(dict.fromkeys([*([reference] if reference is not None else []), *runs]))
    if trust:
        trust_task_files(paths)
    sides, notes = load_sides(paths, given_labels(labels))
    for note in notes:
        echo(note, err=True)
    return sides


def _write_error(error: "EvalkitError", form: str | None, output: Path | None, junit: Path | None) -> None:
    """Why there is no comparison, in the forms that programs read: a test report must not be missing."""
    from evalkit.cli.selection import write_output
    from evalkit.results.formats.comparison import failed_comparison_json, failed_comparison_junit

    if form in ("json", "junit"):
        write_output(failed_comparison_json(error) if form == "json" else failed_comparison_junit(error), output)
    if junit is not None:
        write_output(failed_comparison_junit(error), junit)
