"""What a notebook shows of a run and of a comparison: the report page's bars and tables, without its scripts."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from evalkit.results.formats.escaping import one_line
from evalkit.results.metrics import error_bars, figure_text
from evalkit.stats.percent import in_percent
from evalkit.types import STATUSES

if TYPE_CHECKING:
    from evalkit.results.compare import TaskComparison
    from evalkit.results.entries import Entry

# the page's colours, which have contrast enough on light and dark ground
_COLOURS = dict(zip(STATUSES, ("#1a9872", "#c9571f", "#a8841a", "#8f63c7", "#d0304a"), strict=True))
_BAR = "#2f86c5"
_WIDTH = 120
_LISTED = 8


def _text(text: str) -> str:
    return escape(one_line(text))


def interval_svg(
    value: float, run: tuple[float, float] | None, problems: tuple[float, float] | None, low: float, high: float
) -> str:
    """A value with its 95% intervals on a scale from `low` to `high`: run to run thick, over problems thin."""

    def at(x: float) -> float:
        return round(_WIDTH * min(max((x - low) / ((high - low) or 1), 0), 1), 1)

    def bar(pair: tuple[float, float], y: float, height: float, colour: str) -> str:
        width = max(at(pair[1]) - at(pair[0]), 1)
        return f'<rect x="{at(pair[0])}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>'

    parts = [f'<rect x="0" y="5.5" width="{_WIDTH}" height="1" fill="#8888"/>']
    if low < 0 < high:
        parts.append(f'<rect x="{at(0)}" y="0" width="1" height="12" fill="#888"/>')
    if run is not None:
        parts.append(bar(run, 3, 6, _BAR))
    if problems is not None and all(end == end for end in problems):
        parts.append(bar(problems, 5.2, 1.6, "currentColor"))
    parts.append(f'<rect x="{max(at(value) - 0.5, 0)}" y="0" width="1.5" height="12" fill="currentColor"/>')
    return f'<svg width="{_WIDTH}" height="12" viewBox="0 0 {_WIDTH} 12" aria-hidden="true">{"".join(parts)}</svg>'


def shares_svg(statuses: Mapping[str, int]) -> str:
    """The counts by status as one bar; the words stand beside it."""
    total = sum(statuses.values()) or 1
    parts, x = [], 0.0
    for name in STATUSES:
        width = _WIDTH * statuses.get(name, 0) / total
        if width:
            parts.append(f'<rect x="{x:.1f}" y="1" width="{width:.1f}" height="8" fill="{_COLOURS[name]}"/>')
        x += width
    return f'<svg width="{_WIDTH}" height="10" viewBox="0 0 {_WIDTH} 10" aria-hidden="true">{"".join(parts)}</svg>'


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A table of cells that are markup already."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def run_html(entries: Sequence["Entry"], notes: Sequence[str]) -> str:
    """One run: each task's headline figures with their intervals, and its samples by status."""

    def rows() -> Iterator[Sequence[str]]:
        for entry in entries:
            report = entry.report
            counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in report.statuses.items() if n)
            for metric in [m for m in report.metrics if m.name in report.headlines]:
                top = 100.0 if metric.unit == "%" else max(metric.value, *(metric.interval_problems or (1.0, 1.0)))
                yield (
                    _text(report.title),
                    _text(metric.name),
                    f"<b>{_text(metric.text or figure_text(metric.value, metric.unit))}</b>",
                    interval_svg(metric.value, metric.interval_run, metric.interval_problems, 0, top),
                    _text(" / ".join(error_bars(metric))),
                    f"{report.problems}{f' of {entry.available}' if entry.subset else ''} × {report.n}",
                    f"{shares_svg(report.statuses)} {_text(counts)}",
                )

    heads = ("task", "metric", "value", "95%", "run to run / over problems", "problems × n", "samples")
    told = "".join(f"<li>{_text(note)}</li>" for note in notes)
    model = f"<p><b>{_text(entries[0].report.model)}</b> {_text(entries[0].report.protocol)}</p>" if entries else ""
    return f"{model}{_table(heads, rows())}{f'<ul>{told}</ul>' if told else ''}"


def comparison_html(a: str, b: str, compared: Sequence["TaskComparison"]) -> str:
    """B minus A on each task with its intervals and test, and the problems that moved most."""

    def rows() -> Iterator[Sequence[str]]:
        for one in compared:
            found = one.result
            ends = [abs(end) for end in (*found.interval_run, *found.interval_problems, found.difference) if end == end]
            most = max(0.02, *ends)
            gained = [f.problem_id for f in one.flips if f.after > f.before]
            lost = [f.problem_id for f in one.flips if f.after < f.before]
            yield (
                _text(one.title),
                f"{in_percent(found.a.value):.1f}",
                f"{in_percent(found.b.value):.1f}",
                _strong(f"{in_percent(found.difference):+.1f}".replace("-", "−"), one.adjusted_p < 0.05),
                interval_svg(found.difference, found.interval_run, found.interval_problems, -most, most),
                "&lt; 0.0001" if one.adjusted_p < 0.0001 else f"{one.adjusted_p:.4f}",
                _listed(gained),
                _listed(lost),
            )

    heads = ("task", "A", "B", "B − A", "95%", "p (Holm)", "gained", "lost")
    return f"<p>A: {_text(a)}<br>B: {_text(b)}</p>{_table(heads, rows())}"


def _strong(text: str, strong: bool) -> str:
    return f"<b>{text}</b>" if strong else text


def _listed(names: Sequence[str]) -> str:
    more = f", … {len(names)} in all" if len(names) > _LISTED else ""
    return _text(", ".join(names[:_LISTED]) + more) or "–"
