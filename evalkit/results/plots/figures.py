"""Plots of reports: colour-blind safe, readable in print, each with its axes, units and n. PNG or SVG."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.files import replace_file
from evalkit.results.entries import Entry
from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Row, Table
from evalkit.results.leaderboard import build_table
from evalkit.results.published import PublishedScore, model_key
from evalkit.results.reproduction import differences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by people with any of the common colour blindnesses; black last, and grey in place
# of its yellow, which white paper swallows.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999", "#000000")
MARKERS = "osD^vP*X"
LINES = ("-", "--", "-.", ":")
_CURVES: dict[str, Any] = {"pass@k": "-", "cons@k": "--"}
ERRORS = "95%, run to run (thick) and over problems (thin)"
_DIAMONDS: dict[bool, dict[str, Any]] = {  # by whether the settings are the same
    True: {"marker": "D", "color": COLOURS[3], "markersize": 6, "markeredgecolor": "white", "linestyle": ""},
    False: {"marker": "D", "color": COLOURS[3], "markersize": 6, "markerfacecolor": "none", "linestyle": ""},
}
_DIAMOND_LABELS = {True: "published", False: "published, of other settings or problems"}
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "evalkit",
    "figure.constrained_layout.use": True,
}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> "tuple[Figure, Any]":
    """A figure and its axes (a 2-d array), in inches, without pyplot and its global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def label(text: str, longest: int = 44) -> str:
    """A name from outside as plain text: matplotlib would take what stands between dollars for mathematics."""
    text = one_line(text)
    if len(text) > longest:
        text = text[: longest // 2 - 1] + "…" + text[-longest // 2 :]
    return text.replace("$", r"\$")


def marker(i: int) -> str:
    """The marker of the i-th line: with its colour it is one of 64."""
    return MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG or an SVG by atomic rename. Raises EvalkitError on another ending or where it cannot be written."""
    import io

    import matplotlib

    if path.suffix.lower() not in (".png", ".svg"):
        raise EvalkitError(f"A plot cannot be written as {path.name}.", "let the file end in .png or .svg.")
    form = path.suffix.lower()[1:]
    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format=form, metadata={"Date": None} if form == "svg" else {})
    try:
        replace_file(path, stream.getvalue(), durable=False)
    except OSError as error:
        raise EvalkitError(f"{path} cannot be written: {error.strerror}.", "give a folder that is writable.") from error


def names(entries: Sequence[Entry]) -> list[str]:
    """A label for each entry: the model, without the folders that all share, with the run where one has several."""
    models = [e.report.model for e in entries]
    if len(set(models)) > 1:
        folders = zip(*(m.split("/")[:-1] for m in models), strict=False)
        shared = len(list(takewhile(lambda names: len(set(names)) == 1, folders)))
        models = ["/".join(m.split("/")[shared:]) for m in models]
    twice = {m for m in models if models.count(m) > 1}
    return [label(f"{m} ({e.run.name})" if m in twice else m) for e, m in zip(entries, models, strict=True)]


def of_task(entries: Sequence[Entry], task: str | None) -> list[Entry]:
    """The entries of one task: the one asked for, else the only one there is.

    Raises EvalkitError where none has it or where the choice is open.
    """
    tasks = list(dict.fromkeys(e.report.task for e in entries))
    if task is None and len(tasks) == 1:
        return list(entries)
    if task not in tasks:
        problem = "Several tasks could be plotted" if task is None else f"No run has the task {task!r}"
        raise EvalkitError(f"{problem}.", f"choose with -t: {', '.join(tasks)}.")
    return [e for e in entries if e.report.task == task]


def _basis(entries: Sequence[Entry]) -> str:
    """`30 problems, n = 64` of entries that share a task."""
    problems = sorted({e.report.problems for e in entries})
    ns = sorted({e.report.n for e in entries})
    told = [f"{v[0]}" if len(v) == 1 else f"{v[0]} to {v[-1]}" for v in (problems, ns)]
    return f"{told[0]} problem{'s' if problems != [1] else ''}, n = {told[1]}"


def _two_bars(axes: "Axes", at: float, metric: Any, colour: str, horizontal: bool) -> None:
    """Both error bars of a metric around its value: over problems thin, run to run thick."""
    for interval, width in ((metric.interval_problems, 1.0), (metric.interval_run, 3.0)):
        if interval is None:
            continue
        low, high = interval
        if horizontal:
            axes.plot([low, high], [at, at], color=colour, linewidth=width, solid_capstyle="butt", zorder=4)
        else:
            axes.plot([at, at], [low, high], color=colour, linewidth=width, solid_capstyle="butt", zorder=4)


def bars(entries: Sequence[Entry], published: Sequence[PublishedScore] = ()) -> "Figure":
    """One panel a benchmark: each run's figure with both error bars, the published one of its model as a diamond."""
    table: Table = build_table(entries, [])
    theirs = {(model_key(f.model), f.column): f for f in reversed(published)}
    count = len(table.rows)
    panels = len(table.columns)
    across = min(panels, 3)
    down = -(-panels // across)
    figure, axes = new_figure(max(4.2 * across, 6.8), 0.7 + down * (1.1 + 0.34 * count), down, across)
    from matplotlib.lines import Line2D

    shown: set[bool] = set()
    for i, column in enumerate(table.columns):
        panel: Axes = axes.flat[i]
        basis = []
        for y, row in enumerate(table.rows):
            if (cell := row.cells[i]) is None:
                continue
            panel.barh(y, cell.value, height=0.62, color=COLOURS[5], edgecolor=COLOURS[0], linewidth=0.6)
            entry = next(e for e in entries if e.run.name == row.run and e.report.model == row.model
                         and e.report.task == column.task)  # fmt: skip
            _two_bars(panel, y, entry.report.metric(column.metric), COLOURS[7], horizontal=True)
            basis.append(entry)
            if figure_ := theirs.get((model_key(row.model), (column.task, column.metric))):
                alike = not any(differences(entry, figure_))
                shown.add(alike)
                panel.plot(figure_.value, y, **_DIAMONDS[alike], zorder=5)
        rating = any(c.metric.unit == "rating" for row in table.rows if (c := row.cells[i]))
        panel.set_title(f"{label(column.title)} {label(column.metric)}\n{_basis(basis)}", fontsize=9)
        panel.set_yticks(
            range(count), [_bar_label(row) for row in table.rows] if i % across == 0 else [""] * count, fontsize=8
        )
        panel.set_ylim(count - 0.4, -0.6)
        panel.set_xlabel("rating" if rating else "percent")
        panel.set_xlim(0, None if rating else 100)
        panel.grid(axis="y", visible=False)
    for panel in list(axes.flat)[panels:]:
        panel.set_axis_off()
    handles = [
        Line2D([], [], color=COLOURS[7], linewidth=3, label="95%, run to run"),
        Line2D([], [], color=COLOURS[7], linewidth=1, label="95%, over problems"),
    ]
    handles += [Line2D([], [], label=_DIAMOND_LABELS[alike], **_DIAMONDS[alike]) for alike in sorted(shown)[::-1]]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3), frameon=False)
    return figure


def _bar_label(row: Row) -> str:
    """The model's own name, and which run of it on a second line."""
    run = row.label.removeprefix(row.model).strip()
    return label(row.model.rstrip("/").split("/")[-1], 36) + (f"\n{label(run, 36)}" if run else "")


def accuracy_against_tokens(entries: Sequence[Entry], task: str | None) -> "Figure":
    """pass@1 against the mean completion length, with the Pareto front: no other run is both better and shorter."""
    chosen = of_task(entries, task)
    told = [(e, name) for e, name in zip(chosen, names(chosen), strict=True) if e.report.tokens is not None]
    if not told:
        raise EvalkitError("No run tells its completion lengths in tokens.", "the engine did not count them.")
    figure, axes = new_figure(7.6, 4.2)
    panel: Axes = axes[0, 0]
    points = []
    for i, (entry, name) in enumerate(told):
        metric, tokens = entry.report.metric("pass@1"), entry.report.tokens
        assert metric is not None
        assert tokens is not None
        points.append((tokens.mean, metric.value))
        colour = COLOURS[i % len(COLOURS)]
        _two_bars(panel, tokens.mean, metric, colour, horizontal=False)
        shown = name if len(told) <= 24 else None
        panel.plot(tokens.mean, metric.value, marker(i), color=colour, markersize=8, markeredgecolor="white", zorder=5,
                   linestyle="", label=shown)  # fmt: skip
    front = pareto_front(points)
    panel.step(*zip(*front, strict=True), where="post", color="0.5", linestyle="--", zorder=1, label="Pareto front")
    panel.set_xlabel("mean tokens a completion")
    panel.set_ylabel(f"{label(chosen[0].report.title)} pass@1 (percent)")
    panel.set_ylim(0, 100)
    panel.set_xlim(0, 1.1 * max(cost for cost, _ in points) + 1)
    panel.set_title(f"{_basis(chosen)}; bars: {ERRORS}", fontsize=8)
    figure.legend(frameon=False, fontsize=7, loc="outside right upper")
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, score) that no other point beats in one and equals in the other, by cost."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def score_against_k(entries: Sequence[Entry], task: str | None) -> "Figure":
    """pass@k and cons@k against k, with the run-to-run error as a band where there are few enough runs to see it."""
    from matplotlib.lines import Line2D

    chosen = of_task(entries, task)
    figure, axes = new_figure(8.4, 4.2)
    panel: Axes = axes[0, 0]
    handles = [Line2D([], [], color="black", linestyle=line, label=kind) for kind, line in _CURVES.items()]
    banded = len(chosen) <= 4
    for i, (entry, name) in enumerate(zip(chosen, names(chosen), strict=True)):
        style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": marker(i), "markersize": 5}
        handles.append(Line2D([], [], label=name, **style))
        first = [m for m in entry.report.metrics if m.name == "pass@1"]
        for kind, line in _CURVES.items():
            curve = first + [
                m for m in entry.report.metrics if re.fullmatch(rf"{kind[:-1]}\d+", m.name) and m.name != "pass@1"
            ]
            ks = [int(m.name.split("@")[1]) for m in curve]
            panel.plot(ks, [m.value for m in curve], line, **style)
            if banded:
                low, high = zip(*(m.interval_run or (m.value, m.value) for m in curve), strict=True)
                panel.fill_between(ks, low, high, color=style["color"], alpha=0.15, linewidth=0)
    top = max(e.report.n for e in chosen)
    panel.set_xscale("log", base=2)
    ticks = [1 << i for i in range(top.bit_length())]
    panel.set_xticks(ticks, [str(t) for t in ticks])
    panel.set_xlabel("k (samples per problem)")
    panel.set_ylabel(f"{label(chosen[0].report.title)} (percent)")
    panel.set_ylim(0, 100)
    panel.set_title(_basis(chosen) + ("; bands: 95%, run to run" if banded else ""), fontsize=8)
    figure.legend(handles=handles, frameon=False, fontsize=7, loc="outside right upper", handlelength=4)
    return figure


def solve_rate_map(entries: Sequence[Entry], task: str | None) -> "Figure":
    """A problem × run map of solve rates, the problems that are solved most on top; white where a run lacks one."""
    chosen = of_task(entries, task)
    problems = list(dict.fromkeys(p for e in chosen for p in e.report.values))
    grid = np.full((len(problems), len(chosen)), np.nan)
    where = {p: i for i, p in enumerate(problems)}
    for j, entry in enumerate(chosen):
        for problem, values in entry.report.values.items():
            grid[where[problem], j] = sum(values) / len(values)
    order = np.argsort(-np.nanmean(grid, axis=1), kind="stable")
    readable = len(problems) <= 60
    height = min(max(2.4, 0.16 * len(problems) if readable else 6.0), 10.0)
    figure, axes = new_figure(max(4.6, 2.6 + 0.36 * len(chosen)), height + 1.6)
    panel: Axes = axes[0, 0]
    image = panel.imshow(grid[order], aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    panel.grid(visible=False)
    panel.set_xticks(range(len(chosen)), [n.split("/")[-1] for n in names(chosen)], rotation=60, ha="right", fontsize=7)
    if readable:
        panel.set_yticks(range(len(problems)), [label(problems[i], 24) for i in order], fontsize=6)
    panel.set_ylabel(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}, easiest on top")
    panel.set_title(f"{label(chosen[0].report.title)}: solve rate by problem; {_basis(chosen)}", fontsize=8)
    figure.colorbar(image, ax=panel, label="solve rate (share of the n samples)")
    return figure


def training_step(entry: Entry) -> int | None:
    """The step in a checkpoint's name (`checkpoint-500`, `step_500`), None where there is none."""
    found = re.findall(r"(?:checkpoint|ckpt|step|iter)[-_]?(\d+)", f"{entry.run.parent.name}/{entry.report.model}")
    return int(found[-1]) if found else None


def checkpoint_sweep(entries: Sequence[Entry], task: str | None) -> "Figure":
    """pass@1 against the training step that the checkpoints' names tell, one line a task."""
    chosen = of_task(entries, task) if task else list(entries)
    steps = sorted(((s, e) for e in chosen if (s := training_step(e)) is not None), key=lambda pair: pair[0])
    if not steps:
        raise EvalkitError(
            "No run's name tells its training step.", "name checkpoints like checkpoint-500 or step_500."
        )
    figure, axes = new_figure(6.4, 4.2)
    panel: Axes = axes[0, 0]
    for i, name in enumerate(dict.fromkeys(e.report.task for _, e in steps)):
        line = [(s, e) for s, e in steps if e.report.task == name]
        colour = COLOURS[i % len(COLOURS)]
        metrics = [m for _, e in line if (m := e.report.metric("pass@1"))]
        title = f"{label(line[0][1].report.title)} ({_basis([e for _, e in line])})"
        style = f"{marker(i)}{LINES[i % len(LINES)]}"
        panel.plot([s for s, _ in line], [m.value for m in metrics], style, color=colour, markersize=4, label=title)
        for (step, _), metric in zip(line, metrics, strict=True):
            _two_bars(panel, step, metric, colour, horizontal=False)
    panel.set_xlabel("training step")
    panel.set_ylabel("pass@1 (percent)")
    panel.set_ylim(0, 100)
    panel.set_title(f"bars: {ERRORS}", fontsize=8)
    panel.legend(frameon=False, fontsize=7)
    return figure
