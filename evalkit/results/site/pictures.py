"""The tool's own pictures for the site: SVG files, and where each drawn point lies, for tooltips."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.results.plots import figures, samples
from evalkit.results.site.pieces import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 400
_UNMARKED = ("None", "", " ")
_OF_TASK: tuple[tuple[str, Callable[[Sequence[Entry], str | None], "Figure"]], ...] = (
    ("Accuracy against tokens", figures.accuracy_against_tokens),
    ("pass@k and cons@k", figures.score_against_k),
    ("Solve rate by problem", figures.solve_rate_map),
    ("Completion lengths", samples.length_distribution),
    ("Accuracy at a token budget", samples.budget_curve),
)
_OF_RUN = _OF_TASK[1:2] + _OF_TASK[3:]


def bars_picture(folder: Path, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The bars of every benchmark, in a list of one; empty where they cannot be drawn."""
    return list(_drawn(folder, "bars", [("Scores", lambda: figures.bars(entries))]))


def task_pictures(folder: Path, name: str, entries: Sequence[Entry], one_run: bool = False) -> list[dict[str, Any]]:
    """Every picture of one task: its file, title, size in points, and the points to tell of."""
    task = entries[0].report.task
    kinds = _OF_RUN if one_run else _OF_TASK
    jobs: list[tuple[str, Callable[[], Figure]]] = [
        (title, lambda draw=draw: draw(entries, task))  # type: ignore[misc]
        for title, draw in kinds
    ]
    return list(_drawn(folder, name, jobs))


def _drawn(folder: Path, name: str, jobs: Sequence[tuple[str, "Callable[[], Figure]"]]) -> Iterator[dict[str, Any]]:
    for number, (title, draw) in enumerate(jobs):
        try:
            figure = draw()
        except EvalkitError:  # this run does not tell what the picture shows, such as token counts
            continue
        path = f"plots/{name}-{number}.svg"
        write_file(folder / path, svg(figure))
        width, height = (round(96 * side) for side in figure.get_size_inches())
        yield {"file": path, "title": title, "width": width, "height": height, "points": points(figure)}


def svg(figure: "Figure") -> bytes:
    """The figure as SVG on a transparent ground, letters as paths: a page in dark colours inverts it."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "evalkit"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return stream.getvalue()


def points(figure: "Figure") -> list[tuple[float, float, str]]:
    """(x, y, text) of what is drawn: shares of the width from the left and of the height from the top."""
    width, height = figure.canvas.get_width_height()
    found = []
    for axes in figure.axes:
        for x, y, text in (*_line_points(axes), *_bar_points(axes)):
            at_x, at_y = axes.transData.transform((x, y))
            share = float(at_x) / width, 1 - float(at_y) / height
            if all(0 <= part <= 1 for part in share):
                found.append((round(share[0], 4), round(share[1], 4), text))
    return found[:_MOST_POINTS]


def _line_points(axes: "Axes") -> Iterator[tuple[float, float, str]]:
    """The marked points of every line, with its name, or that of the legend's line of the same colour."""
    assert axes.figure is not None
    legends = [legend for legend in (axes.get_legend(), *axes.figure.legends) if legend is not None]
    named = {
        line.get_color(): text.get_text()
        for legend in legends
        for line, text in zip(legend.get_lines(), legend.get_texts(), strict=False)
        if str(line.get_marker()) not in _UNMARKED
    }
    for line in axes.get_lines():
        if str(line.get_marker()) in _UNMARKED:
            continue
        label = str(line.get_label())
        name = named.get(line.get_color(), "") if label.startswith("_") else label
        for x, y in np.asarray(line.get_xydata(), dtype=np.float64).tolist():
            yield x, y, f"{_plain(name)}: {_axis(axes, 'x', x)}, {_axis(axes, 'y', y)}".removeprefix(": ")


def _bar_points(axes: "Axes") -> Iterator[tuple[float, float, str]]:
    """The middle of every bar that is not empty."""
    from matplotlib.patches import Rectangle

    for patch in axes.patches:
        if not isinstance(patch, Rectangle) or not patch.get_width() or not patch.get_height():
            continue
        x, y = patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2
        low, high = patch.get_x(), patch.get_x() + patch.get_width()
        yield x, y, f"{low:.0f} to {high:.0f}: {patch.get_height():.0f} completions"


def _axis(axes: "Axes", which: str, value: float) -> str:
    name = _plain(axes.get_xlabel() if which == "x" else axes.get_ylabel())
    return f"{value:.4g} {name}".strip()


def _plain(text: str) -> str:
    return text.replace(r"\$", "$").replace("\n", " ")
