"""The summary printed at the end of a run."""

import sys
from collections.abc import Sequence

from evalkit.cli.terminal import echo
from evalkit.results.entries import problems_available
from evalkit.results.formats.escaping import markdown_escape
from evalkit.results.formats.terminal import TextCell, TextTable, cut_middle, draw, table_width, terminal_width
from evalkit.results.metrics import UNIT_NAMES, kind_of, n_text, with_error_bars
from evalkit.results.report import Report
from evalkit.run.throughput import Throughput
from evalkit.store.run import RunDirectory
from evalkit.types import Metric
from evalkit.visible import visible_line
from evalkit.words import counted

_LEGEND = (
    "percent; ±: 95%, run to run / over problems; cut: stopped at the token limit or for repetition, whatever it "
    "scored; truncated, a status: cut before an answer"
)


def print_summary(run: RunDirectory, reports: Sequence[Report]) -> None:
    """Print a table to stdout, drawn on a terminal, else in markdown: a row per task, each figure with its n."""
    ns = {report.n for report in reports}
    consensus = f"cons@{min(ns)}" if len(ns) == 1 else "cons@n"
    heads = ("task", "problems", "n", "pass@1", consensus, "cut", "mean tokens", "statuses")
    tasks = run.tasks()
    rows = [_row(report, problems_available(tasks[report.task])) for report in reports]
    if sys.stdout.isatty():
        echo(_drawn(heads, rows), coloured=True)
    else:
        echo(f"| {' | '.join(heads)} |\n|{'-|' * len(heads)}")
        for title, *figures in rows:
            echo(f"| {' | '.join((markdown_escape(title), *figures))} |")
    if reports:
        echo(_LEGEND, err=True)  # what can be piped is the table alone
    for report in reports:
        if report.settled:
            closed = f"{counted(report.settled, 'error')} closed by `evalkit settle`"
            echo(f"{report.title}: {closed}; {'it counts' if report.settled == 1 else 'they count'} as 0", err=True)
        if report.disputes is not None and str(report.disputes):
            echo(visible_line(f"{report.title}: {report.disputes}"), err=True)
        if own := [metric for metric in report.metrics if kind_of(metric.name).compute is None]:
            echo(visible_line(f"{report.title}:"), err=True)
            for metric in own:
                echo(visible_line(f"  {_told(metric)}"), err=True)


def _told(metric: Metric) -> str:
    """A metric of a task's own: its name, its value with error bars and unit, how many samples it is of, its note."""
    bare = metric.unit in ("count", "mean") or metric.text or metric.name == UNIT_NAMES[metric.unit]
    value = with_error_bars(metric) + ("" if bare else f" {UNIT_NAMES[metric.unit]}")
    return f"{metric.name}: {value}, {counted(metric.n, 'sample')}" + (f" ({metric.note})" if metric.note else "")


def _row(report: Report, available: int | None) -> tuple[str, ...]:
    subset = f" of {available}" if available is not None and available > report.problems else ""
    statuses = ", ".join(f"{name} {count}" for name, count in report.statuses.items() if count)
    if report.warnings:
        statuses = f"{statuses}; {', '.join(report.warnings)}"
    return (
        report.title,
        f"{report.problems}{subset}",
        n_text(report.n, report.most_n),
        with_error_bars(report.metric("pass@1")),
        with_error_bars(report.metric(f"cons@{report.n}")),
        "unknown" if report.truncation_rate is None else f"{100 * report.truncation_rate:.1f}%",
        f"{report.tokens.mean:.0f}" if report.tokens else "–",
        statuses,
    )


def _drawn(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table for a terminal; the statuses stand below the figures of each task, where they have room."""
    width = terminal_width()
    cells = [[TextCell([cut_middle(row[0], width // 3)]), *(TextCell([text]) for text in row[1:-1])] for row in rows]
    table = TextTable([TextCell([head]) for head in heads[:-1]], cells)
    if table_width(table) > width:
        facts = [f"{row[0]}: {', '.join(f'{h} {c}' for h, c in zip(heads[1:], row[1:], strict=True))}" for row in rows]
        return draw(facts, width, colour=True)
    return draw([table, "", *(f"{row[0]}: {row[-1]}" for row in rows)], width, colour=True)


def _tokens_per_second(done: Throughput) -> str:
    generated = f"{done.generated_tokens_per_second:,.0f} generated"
    if done.prompts_uncounted == done.completions > 0:
        return f"{generated} tokens/s"
    return f"{generated} and {done.prompt_tokens_per_second:,.0f} prompt tokens/s"


def _uncounted(done: Throughput) -> str:
    """Which counts of tokens the engine has not given."""
    prompts, generated = done.prompts_uncounted, done.generated_uncounted
    if prompts is None or generated is None or prompts == generated == done.uncounted:
        return f"{counted(done.uncounted, 'completion')} without token counts"
    told = {"prompt": prompts, "generated": generated}
    return ", ".join(f"{counted(n, 'completion')} without a count of {kind} tokens" for kind, n in told.items() if n)


def throughput_line(done: Throughput) -> str:
    """One line with the throughput and cost of this execution."""
    made = counted(done.completions, "completion")
    parts = [f"{made} in {done.seconds:.0f} s after {done.load_seconds:.0f} s of loading"]
    if round(done.mean_running) > 0:  # recorded completions are replayed at once
        parts += [
            _tokens_per_second(done),
            f"{done.mean_running:.0f} requests running on average",
            f"idle {done.idle_seconds:.0f} s",
        ]
    if done.uncounted:
        parts.append(_uncounted(done))
    if done.repetitions:
        parts.append(f"{done.repetitions} stopped for repetition")
    if done.gpu_hours is not None:
        parts.append(f"{done.gpu_hours:.2f} GPU hours")
    if done.cost is not None:
        assert done.prices is not None
        prompt, generated = done.prices
        parts.append(f"cost {done.cost:.4g} at {prompt:g} and {generated:g} per million prompt and generated tokens")
    return ", ".join(parts)
