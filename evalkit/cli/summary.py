"""The lines that a run ends with."""

from collections.abc import Sequence

import click

from evalkit.results.report import Report
from evalkit.run.throughput import Throughput
from evalkit.types import Metric


def print_summary(reports: Sequence[Report]) -> None:
    """A markdown table on stdout: one row a task, every figure with its n and its error bar."""
    click.echo("| task | problems | n | pass@1 | cons@n | truncated | mean tokens | statuses |")
    click.echo("|-|-|-|-|-|-|-|-|")
    for report in reports:
        tokens = f"{report.tokens.mean:.0f}" if report.tokens else "–"
        statuses = ", ".join(f"{name} {count}" for name, count in report.statuses.items() if count)
        cells = (
            report.title,
            str(report.problems),
            str(report.n),
            with_error_bar(report.metric("pass@1")),
            with_error_bar(report.metric(f"cons@{report.n}")),
            f"{100 * report.truncation_rate:.1f}%",
            tokens,
            statuses,
        )
        click.echo(f"| {' | '.join(cells)} |")
        for metric in report.metrics:
            if metric.unit != "%":
                click.echo(
                    f"{report.title}: {metric.name} {with_error_bar(metric)} {metric.unit} {metric.note}", err=True
                )


def throughput_line(done: Throughput) -> str:
    """What this execution cost, in one line."""
    parts = [
        f"{done.completions} completions in {done.seconds:.0f} s after {done.load_seconds:.0f} s of loading",
        f"{done.generated_tokens_per_second:,.0f} generated and {done.prompt_tokens_per_second:,.0f} prompt tokens/s",
        f"{done.mean_running:.0f} requests running on average",
        f"idle {done.idle_seconds:.0f} s",
    ]
    if done.uncounted:
        parts.append(f"{done.uncounted} completions without token counts")
    if done.repetitions:
        parts.append(f"{done.repetitions} ended in a loop")
    if done.gpu_hours is not None:
        parts.append(f"{done.gpu_hours:.2f} GPU hours")
    if done.cost is not None:
        assert done.prices is not None
        prompt, generated = done.prices
        parts.append(f"cost {done.cost:.4g} at {prompt:g} and {generated:g} for a million prompt and generated tokens")
    return ", ".join(parts)


def with_error_bar(metric: Metric | None) -> str:
    """`28.9 ± 4.1` (over problems); `–` where there is no such metric."""
    if metric is None:
        return "–"
    return f"{metric.value:.1f}" + (f" ± {metric.stderr:.1f}" if metric.stderr is not None else "")
