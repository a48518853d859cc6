"""Pictures of reports: scores, accuracy against tokens, against k, by problem, and over training."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, setting_name
from evalkit.results.formats.table import Cell, Row, Table
from evalkit.results.labels import run_labels
from evalkit.results.leaderboard import build_table
from evalkit.results.plots.budgets import budget_trail
from evalkit.results.plots.drawing import COLOURS as COLOURS
from evalkit.results.plots.drawing import (
    GREY,
    LINES,
    ROLE_COLOURS,
    SCREEN,
    STUDENT_COLOURS,
    Look,
    colour,
    end_labels,
    heading,
    heading_height,
    line_height,
    point_labels,
    score_limits,
    token_axis,
)
from evalkit.results.plots.drawing import STYLE as STYLE
from evalkit.results.plots.drawing import label as label
from evalkit.results.plots.drawing import marker as marker
from evalkit.results.plots.drawing import new_figure as new_figure
from evalkit.results.plots.drawing import save as save
from evalkit.results.published import PublishedScore, model_key
from evalkit.results.reproduction import differences
from evalkit.words import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ERRORS = "95%: thick run to run, thin over problems"
NO_BANDS = "; no bands with more than four runs"
_DIAMONDS: dict[bool, dict[str, Any]] = {  # by whether the settings are the same
    True: {"marker": "D", "color": COLOURS[3], "markersize": 5, "markeredgecolor": "white", "linestyle": ""},
    False: {"marker": "D", "color": COLOURS[3], "markersize": 5, "markerfacecolor": "none", "linestyle": ""},
}
_DIAMOND_LABELS = {
    True: "published, without error bars",
    False: "published, of other settings or problems, without error bars",
}
_BELOW = 0.3  # of a row: a published figure stands below ours, so that neither hides the other
_LONGEST = {"screen": 34, "paper": 22}


def names(entries: Sequence[Entry], longest: int = 44) -> list[str]:
    """A label for each entry, no two alike: the end of the model's name, and the run where a model has several."""
    labels = run_labels(entries)
    return [label(labels[e.run], longest) for e in entries]


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


def basis(entries: Sequence[Entry]) -> str:
    """`30 problems, n = 64` of entries that share a task, `60 of 500 problems, n = 4` of subsets of it.

    Where the entries have different settings, those are named.
    """
    problems = sorted({e.report.problems for e in entries})
    ns = sorted({e.report.n for e in entries})
    told = [f"{v[0]}" if len(v) == 1 else f"{v[0]} to {v[-1]}" for v in (problems, ns)]
    whole = max((e.available or 0 for e in entries), default=0)
    of = f" of {whole:,}" if problems[0] < whole else ""
    return f"{told[0]}{of} problem{'s' if problems != [1] or of else ''}, n = {told[1]}{_unlike(entries)}"


def _unlike(entries: Sequence[Entry]) -> str:
    """`; different token limit, options of the task` of entries that are not alike in these; "" where all are."""
    names: dict[str, None] = {}
    for entry in entries[1:]:
        first, other = entries[0].settings, entry.settings
        keys = sorted((first.keys() | other.keys()) - {"problems"})
        names |= dict.fromkeys(setting_name(key) for key in keys if first.get(key) != other.get(key))
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"; different {', '.join(list(names)[:2])}{more}" if names else ""


def run_colours(entries: Sequence[Entry], roles: Mapping[Path, str] | None) -> list[str]:
    """A colour for each entry: by its place, or where `roles` names runs as base or teacher by its role."""
    if not roles:
        return [colour(i) for i in range(len(entries))]
    students = iter(STUDENT_COLOURS[i % len(STUDENT_COLOURS)] for i in range(len(entries)))
    named = [roles.get(entry.run.resolve(), "student") for entry in entries]
    return [next(students) if role == "student" else ROLE_COLOURS[role] for role in named]


def two_bars(axes: "Axes", at: float, metric: Any, own: str, horizontal: bool) -> None:
    """Both intervals of a metric around its value: over problems thin, run to run thick."""
    for interval, width in ((metric.interval_problems, 1.0), (metric.interval_run, 3.0)):
        if interval is None:
            continue
        ends, place = list(interval), [at, at]
        first, second = (ends, place) if horizontal else (place, ends)
        axes.plot(first, second, color=own, linewidth=width, solid_capstyle="butt", zorder=4)


def bars(
    entries: Sequence[Entry],
    published: Sequence[PublishedScore] = (),
    look: Look = SCREEN,
    table: Table | None = None,
    roles: Mapping[Path, str] | None = None,
) -> "Figure":
    """A dot with its intervals for each run and benchmark, best on top; published figures as diamonds.

    A published figure of a model that we ran stands in our row, others in rows of their own. `table` gives the rows
    and columns to draw, by default all of them. Runs that `roles` names as base or teacher have its colour.
    """

    table = _with_our_columns(table or build_table(entries, published))
    columns, rows = table.columns, _by_score(_rows_to_draw(table))
    theirs = {(model_key(f.model), f.column): f for f in reversed(published)}
    by_place = {(str(e.run), e.report.task): e for e in entries}
    across = {1: 1, 2: 2, 4: 2}.get(len(columns), 3) if look.titled else 1
    down = -(-len(columns) // across)
    each = (0.77 if published else 0.62) + (0.25 if look.titled else 0.16) * len(rows)
    legend = 0.3 + 0.02 * look.font + (0.2 if published else 0)
    figure, axes = new_figure(
        look.width if across < 3 else 1.3 * look.width,
        heading_height(look) + down * each + legend,
        down,
        across,
        look,
    )
    shown: set[bool] = set()
    for i, column in enumerate(columns):
        panel: Axes = axes.flat[i]
        placed = [by_place.get((row.where, column.task)) for row in rows]
        told = [e for e, row in zip(placed, rows, strict=True) if e is not None and row.cells[i] is not None]
        ends: list[float] = []
        beside: list[PublishedScore] = []
        for y, (row, entry) in enumerate(zip(rows, placed, strict=True)):
            figure_of_it = theirs.get((model_key(row.model), (column.task, column.metric)))
            alike = not any(e.subset for e in told)
            own = _role_colour(entry, roles)
            ends += _score_row(panel, y, row, row.cells[i], entry, figure_of_it, alike, shown, own)
            drawn = row.cells[i] is not None if row.published else entry is not None
            beside += [figure_of_it] if figure_of_it is not None and drawn else []
        _score_panel(panel, table, i, rows, ends, _bases(told, beside), look)
        panel.set_yticks(
            range(len(rows)),
            [label(r.model if r.published else r.label, _LONGEST[look.name]) for r in rows]
            if i % across == 0
            else [""] * len(rows),
        )
        _missing(panel, rows, i, look)
    for panel in list(axes.flat)[len(columns) :]:
        panel.set_axis_off()
    handles = _score_legend(rows, shown, by_place.values(), roles)
    beside_each_other = 2 if look.titled else 1
    figure.legend(
        handles=handles, loc="outside lower left", ncols=beside_each_other, frameon=False, fontsize=look.font - 1
    )
    heading(figure, look, "Who is better, and how sure is that?", _best_words(table))
    return figure


def _role_colour(entry: Entry | None, roles: Mapping[Path, str] | None) -> str:
    role = (roles or {}).get(entry.run.resolve(), "student") if entry is not None else "student"
    return ROLE_COLOURS[role]


def _score_legend(
    rows: Sequence[Row], shown: set[bool], entries: Iterable[Entry], roles: Mapping[Path, str] | None
) -> list[Any]:
    from matplotlib.lines import Line2D

    named = {role: None for entry in entries if (role := (roles or {}).get(entry.run.resolve())) is not None}

    handles = []
    if any(not row.published for row in rows):
        handles = [
            Line2D([], [], color=COLOURS[0], linewidth=3, marker="o", label="95%, run to run"),
            Line2D([], [], color=COLOURS[0], linewidth=1, label="95%, over problems"),
        ]
    handles += [Line2D([], [], color=ROLE_COLOURS[role], marker="o", linestyle="", label=role) for role in named]
    return handles + [Line2D([], [], label=_DIAMOND_LABELS[alike], **_DIAMONDS[alike]) for alike in sorted(shown)[::-1]]


def _with_our_columns(table: Table) -> Table:
    """Without the columns that only published rows have, where there are rows of ours."""
    own = [row for row in table.rows if not row.published]
    kept = [i for i in range(len(table.columns)) if not own or any(row.cells[i] is not None for row in own)]
    rows = [replace(row, cells=[row.cells[i] for i in kept]) for row in table.rows]
    return replace(table, columns=[table.columns[i] for i in kept], rows=rows)


def _rows_to_draw(table: Table) -> list[Row]:
    """Our rows, and the published ones of models that we have not run."""
    ours = {model_key(row.model) for row in table.rows if not row.published}
    return [row for row in table.rows if not row.published or model_key(row.model) not in ours]


def _by_score(rows: Sequence[Row]) -> list[Row]:
    """The best first: by the mean, over the columns that a row has, of its distance from the column's mean."""
    values = np.array([[np.nan if c is None or c.metric.unit != "%" else c.value for c in row.cells] for row in rows])
    with np.errstate(invalid="ignore"):
        counts = np.maximum((~np.isnan(values)).sum(axis=0), 1)
        centred = values - np.nansum(values, axis=0) / counts
        means = np.nansum(centred, axis=1) / np.maximum((~np.isnan(values)).sum(axis=1), 1)
    return [rows[i] for i in np.argsort(-means, kind="stable")]


def _score_row(
    panel: "Axes",
    y: int,
    row: Row,
    cell: Cell | None,
    entry: Entry | None,
    figure: PublishedScore | None,
    same_problems: bool,
    shown: set[bool],
    own: str = COLOURS[0],
) -> list[float]:
    """Draw one row of a panel, and return what the axis has to hold."""
    ends: list[float] = []
    if cell is not None:
        for interval in (cell.metric.interval_run, cell.metric.interval_problems):
            ends += list(interval or ())
        ends.append(cell.value)
        if row.published:
            shown.add(same_problems)
            panel.plot(cell.value, y, **_DIAMONDS[same_problems], zorder=5, label=label(row.label))
        else:
            two_bars(panel, y, cell.metric, own, horizontal=True)
            panel.plot(cell.value, y, "o", color=own, markersize=4.5, zorder=7, label=label(row.label))
    if figure is not None and entry is not None and not row.published:
        alike = not any(differences(entry, figure))
        shown.add(alike)
        ends.append(figure.value)
        place = y + _BELOW
        panel.plot(figure.value, place, **_DIAMONDS[alike], zorder=6, label=f"{label(row.label)} (published)")
    return ends


def _score_panel(
    panel: "Axes", table: Table, i: int, rows: Sequence[Row], ends: Sequence[float], told: str, look: Look
) -> None:
    column = table.columns[i]
    rating = any(c.metric.unit != "%" for row in rows if (c := row.cells[i]) is not None)
    title = f"{label(table.heads(i)[0], 36 - len(label(column.metric)))}  {label(column.metric)}"
    panel.set_title(title + (f"\n{told}" if told else ""), fontsize=look.font, loc="left")
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel("rating" if rating else "percent", fontsize=look.font - 1)
    if not ends:
        ends = [0.0, 100.0]
    if rating:
        room = max(0.1 * (max(ends) - min(ends)), 20)
        panel.set_xlim(min(ends) - room, max(ends) + room)
    else:
        panel.set_xlim(*score_limits(ends, ends))
    panel.grid(axis="y", alpha=0.15)


def _bases(told: Sequence[Entry], published: Sequence[PublishedScore]) -> str:
    """`ours: 60 of 500 problems, n = 4` and `published: n = 64`; without `ours` where nothing published is drawn."""
    if not published:
        return basis(told).replace("; ", ";\n") if told else ""
    ns = sorted({f.n for f in published if f.n is not None})
    theirs = ["n unknown" + (" of some" if ns else "")] if any(f.n is None for f in published) else []
    theirs = ([f"n = {ns[0]}" if len(ns) == 1 else f"n = {ns[0]} to {ns[-1]}"] if ns else []) + theirs
    words = f"published: {', '.join(theirs)}"
    ours = basis(told).replace("; ", ";\n") if told else ""
    return f"ours: {ours}\n{words}" if told else words


def _missing(panel: "Axes", rows: Sequence[Row], column: int, look: Look) -> None:
    """Say where there is no figure: an empty row could be one at 0."""
    for y, row in enumerate(rows):
        if row.cells[column] is None:
            panel.text(
                0.5,
                y,
                "not published" if row.published else "not run",
                transform=panel.get_yaxis_transform(),
                ha="center",
                va="center",
                color=GREY,
                fontsize=look.font - 2,
                fontstyle="italic",
            )


def _best_words(table: Table) -> str:
    """Which run is best on which benchmark, beyond chance."""
    found: dict[str, list[str]] = {}
    some_ours = False
    whose = "of our runs " if any(row.published for row in table.rows) else ""
    for i, column in enumerate(table.columns):
        own = [row for row in table.rows if not row.published and row.cells[i] is not None]
        some_ours = some_ours or len(own) > 1
        best = [row.label for row in own if (cell := row.cells[i]) is not None and cell.best]
        if best:
            found.setdefault(listed(label(name, 34) for name in best), []).append(
                f"{table.heads(i)[0]} {column.metric}"
            )
    if not some_ours:
        return ""
    told = [f"{who} on {', '.join(where)}" for who, where in found.items()]
    return (
        f"Best {whose}beyond chance: {'; '.join(told)}." if told else "No run is better than all others beyond chance."
    )


def accuracy_against_tokens(
    entries: Sequence[Entry], task: str | None, look: Look = SCREEN, roles: Mapping[Path, str] | None = None
) -> "Figure":
    """pass@1 against the mean completion length, and as a thin line what a smaller token budget would have given.

    The dashed line is the Pareto front: no other run is both better and shorter.
    """
    chosen = of_task(entries, task)
    told = [
        (e, n) for e, n in zip(chosen, names(chosen, _LONGEST[look.name]), strict=True) if e.report.tokens is not None
    ]
    if not told:
        raise EvalkitError("No run tells its completion lengths in tokens.", "the engine did not count them.")
    figure, axes = new_figure(look.width, 1.07 * line_height(look, len(told)) + heading_height(look), look=look)
    panel: Axes = axes[0, 0]
    points, labelled, ends = [], [], []
    inks = run_colours([entry for entry, _ in told], roles)
    obstacles: list[tuple[float, float]] = []
    for i, (entry, name) in enumerate(told):
        metric, tokens = entry.report.metric("pass@1"), entry.report.tokens
        assert metric is not None
        assert tokens is not None
        mean = max(tokens.mean, 1.0)
        points.append((mean, metric.value))
        trail = budget_trail(entry)
        panel.plot([x for x, _ in trail], [y for _, y in trail], color=inks[i], linewidth=0.9, alpha=0.55, zorder=2)
        panel.plot([x for x, _ in trail[:-1]], [y for _, y in trail[:-1]], ".", color=inks[i], markersize=3, alpha=0.7)
        two_bars(panel, mean, metric, inks[i], horizontal=False)
        panel.plot(
            mean,
            metric.value,
            marker(i),
            color=inks[i],
            markersize=8 if look.titled else 5,
            markeredgecolor="white",
            zorder=5,
            linestyle="",
            label=name,
        )
        labelled.append((mean, metric.value, name, inks[i]))
        ends += [metric.value, *(metric.interval_run or ()), *(metric.interval_problems or ())]
        over = metric.interval_problems or (metric.value, metric.value)
        obstacles += [*trail, *((mean, float(y)) for y in np.linspace(*over, 8))]
        points_of_trail = [x for x, y in trail if y > 0]
        ends += [0.0] if points_of_trail and len(told) <= 4 else []
    front = pareto_front(points)
    if len(front) > 1:
        panel.step(*zip(*front, strict=True), where="post", color="0.5", linestyle="--", zorder=1, linewidth=1)
    token_axis(panel, 0.9 * min(x for x, _ in obstacles), 1.9 * max(cost for cost, _ in points))
    panel.set_xlabel("mean tokens per completion (logarithmic)")
    panel.set_ylabel(f"{label(chosen[0].report.title, 30)}\npass@1 (percent)")
    panel.set_ylim(*score_limits(ends, ends))
    heading(
        figure,
        look,
        "What does accuracy cost in tokens?",
        f"{basis(chosen)}. {ERRORS}. Thin line: the same run cut at smaller budgets. Dashed: no run is both better "
        "and shorter.",
    )
    point_labels(panel, labelled, look, obstacles)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, score) that no other point beats in one and equals in the other, by cost."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def score_against_k(
    entries: Sequence[Entry], task: str | None, look: Look = SCREEN, roles: Mapping[Path, str] | None = None
) -> "Figure":
    """pass@k (solid) and cons@k (dashed) against k, with the run-to-run error as a band for up to four runs."""
    from matplotlib.lines import Line2D

    chosen = of_task(entries, task)
    figure, axes = new_figure(look.width, line_height(look, len(chosen)) + heading_height(look), look=look)
    panel: Axes = axes[0, 0]
    banded = len(chosen) <= 4
    inks, size = run_colours(chosen, roles), 5 if look.titled else 3
    ends, labelled = [], []
    for i, (entry, name) in enumerate(zip(chosen, names(chosen, _LONGEST[look.name]), strict=True)):
        first = [m for m in entry.report.metrics if m.name == "pass@1"]
        for kind, line in (("cons", "--"), ("pass", "-")):
            curve = first + [m for m in entry.report.metrics if re.fullmatch(rf"{kind}@(?!1$)\d+", m.name)]
            if kind == "cons" and curve == first:
                continue  # no vote: one sample per problem, or a task without answers
            ks = [int(m.name.split("@")[1]) for m in curve]
            values = [m.value for m in curve]
            solid = kind == "pass"
            panel.plot(
                ks,
                values,
                line,
                color=inks[i],
                marker=marker(i),
                markersize=size if solid else size - 2,
                linewidth=(1.6 if solid else 1.0) * look.font / 9,
                label=name if solid else f"{name}, cons@k",
            )
            ends += values
            if banded and solid:
                low, high = zip(*(m.interval_run or (m.value, m.value) for m in curve), strict=True)
                panel.fill_between(ks, low, high, color=inks[i], alpha=0.15, linewidth=0)
                ends += [*low, *high]
            if solid:
                labelled.append((ks[-1], values[-1], name, inks[i]))
    top = max(e.report.n for e in chosen)
    panel.set_xscale("log", base=2)
    ticks = [1 << i for i in range(top.bit_length())]
    panel.set_xticks(ticks, [str(t) for t in ticks])
    panel.minorticks_off()
    panel.set_xlim(0.93, max(top, 2) * 1.05)
    panel.set_ylim(*score_limits(ends, ends))
    panel.set_xlabel("k, completions per problem")
    panel.set_ylabel(f"{label(chosen[0].report.title, 30)} (percent)")
    end_labels(panel, labelled, look)
    kinds: dict[str, Any] = {"pass@k: one of k is right": "-", "cons@k: the majority of k is right": "--"}
    figure.legend(
        handles=[Line2D([], [], color="black", linestyle=line, label=kind) for kind, line in kinds.items()],
        frameon=False, fontsize=look.font - 1, loc="outside lower left", ncols=2 if look.titled else 1, handlelength=3,
    )  # fmt: skip
    heading(
        figure,
        look,
        "Do more tries help, and does voting?",
        basis(chosen) + ("; bands: 95% of pass@k, run to run" if banded else NO_BANDS),
    )
    return figure


def solve_rate_map(entries: Sequence[Entry], task: str | None, look: Look = SCREEN) -> "Figure":
    """A run × problem map of solve rates, best run and easiest problem first; hatched: no figure."""
    chosen = of_task(entries, task)
    order = sorted(range(len(chosen)), key=lambda i: -_mean(chosen[i]))
    rows = [chosen[i] for i in order]
    own = [names(chosen, _LONGEST[look.name])[i] for i in order]
    problems = list(dict.fromkeys(p for e in rows for p in e.report.values))
    grid = np.full((len(rows), len(problems)), np.nan)
    where = {p: j for j, p in enumerate(problems)}
    for i, entry in enumerate(rows):
        for problem, values in entry.report.values.items():
            grid[i, where[problem]] = sum(values) / len(values)
    by_ease = np.argsort(-np.nanmean(grid, axis=0), kind="stable")
    named = len(problems) <= (40 if look.titled else 20)
    longest = max((len(label(p, 14)) for p in problems), default=1) if named else 0
    height = 0.9 + (0.3 if look.titled else 0.2) * len(rows) + 0.075 * longest + heading_height(look)
    figure, axes = new_figure(look.width, height, look=look)
    panel: Axes = axes[0, 0]
    image = rate_image(panel, grid[:, by_ease])
    panel.set_yticks(range(len(rows)), own)
    panel.set_xticks([])
    if named:
        panel.set_xticks(
            range(len(problems)), [label(problems[j], 14) for j in by_ease], rotation=90, fontsize=look.font - 2
        )
    panel.tick_params(length=0)
    panel.set_xlabel(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}, easiest left")
    _means(panel, rows, look)
    bar = figure.colorbar(
        image, ax=panel, shrink=min(1.0, 5 / max(len(rows), 1)), pad=0.09, aspect=12, ticks=[0, 0.5, 1]
    )
    bar.ax.set_yticklabels(["0", "50", "100"], fontsize=look.font - 1)
    bar.set_label("solved, percent", fontsize=look.font - 1)
    missing = "; hatched: not in the run" if np.isnan(grid).any() else ""
    heading(
        figure,
        look,
        "Which problems does each model solve?",
        f"{label(rows[0].report.title, 50)}: {basis(rows)}{missing}.",
    )
    return figure


def _means(panel: "Axes", rows: Sequence[Entry], look: Look) -> None:
    """Each run's pass@1 at the right of its row."""
    place: dict[str, Any] = {"xycoords": panel.get_yaxis_transform(), "textcoords": "offset points"}
    for i, entry in enumerate(rows):
        panel.annotate(f"{_mean(entry):.1f}", (1, i), (4, 0), va="center", fontsize=look.font - 1, **place)
    panel.annotate("mean", (1, -0.5), (4, 3), va="bottom", fontsize=look.font - 2, color=GREY, **place)


def rate_image(panel: "Axes", grid: Any) -> Any:
    """A grid of solve rates in [0, 1] as colours that everybody tells apart; hatched where it is NaN."""
    panel.set_facecolor("white")
    panel.patch.set_hatch("////")
    panel.patch.set_edgecolor("0.75")
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    return panel.imshow(
        np.ma.masked_invalid(grid), aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest"
    )


def _mean(entry: Entry) -> float:
    metric = entry.report.metric("pass@1")
    return metric.value if metric is not None else 0.0


_STEP = r"(?:checkpoint|ckpt|step|iter)[-_]?(\d+)"


def training_step(entry: Entry) -> int | None:
    """The step in a checkpoint's name (`checkpoint-500`, `step_500`), None where there is none."""
    found = re.findall(_STEP, f"{entry.run.parent.name}/{entry.report.model}")
    return int(found[-1]) if found else None


def training_run(entry: Entry) -> str:
    """The model's name without its step: one for all checkpoints of a training run."""
    return re.sub(rf"/?{_STEP}", "", entry.report.model.rstrip("/")) or re.sub(_STEP, "", str(entry.run.parent))


def checkpoint_sweep(
    entries: Sequence[Entry], task: str | None, look: Look = SCREEN, published: Sequence[PublishedScore] = ()
) -> "Figure":
    """pass@1 against the training step in the checkpoints' names: a line per training run, a panel per task.

    Published figures, and runs whose name has no step, are horizontal lines.
    """
    chosen = of_task(entries, task) if task else list(entries)
    if all(training_step(e) is None for e in chosen):
        raise EvalkitError(
            "No run's name tells its training step.", "name checkpoints like checkpoint-500 or step_500."
        )
    tasks = list(dict.fromkeys(e.report.task for e in chosen if training_step(e) is not None))
    across = min(len(tasks), 2) if look.titled else 1
    down = -(-len(tasks) // across)
    each = 0.5 * look.width if across == 1 else 0.42 * look.width
    figure, axes = new_figure(
        look.width * (1.25 if across > 1 else 1), down * each + heading_height(look), down, across, look
    )
    for panel, name in zip(axes.flat, tasks, strict=False):
        _sweep_panel(panel, [e for e in chosen if e.report.task == name], published, look)
    for panel in list(axes.flat)[len(tasks) :]:
        panel.set_axis_off()
    heading(figure, look, "Does more training help?", f"{ERRORS}. Dotted: published, or a run without a step.")
    return figure


def _sweep_panel(panel: "Axes", entries: Sequence[Entry], published: Sequence[PublishedScore], look: Look) -> None:
    runs: dict[str, list[tuple[int, Any]]] = {}
    still: list[tuple[float, str]] = []
    for entry in entries:
        metric, step = entry.report.metric("pass@1"), training_step(entry)
        if metric is None:
            continue
        if step is None:
            still.append((metric.value, entry.report.model.rstrip("/").split("/")[-1]))
        else:
            runs.setdefault(training_run(entry), []).append((step, metric))
    task = entries[0].report.task
    still += [(f.value, f.model) for f in published if f.column == (task, "pass@1")]
    own = dict(zip(runs, _run_names(list(runs)), strict=True))
    ends, labelled = [value for value, _ in still], []
    last = max(step for line in runs.values() for step, _ in line)
    for i, (name, line) in enumerate(runs.items()):
        line.sort(key=lambda pair: pair[0])
        panel.plot(
            [s for s, _ in line],
            [m.value for _, m in line],
            f"{marker(i)}{LINES[i // len(COLOURS) % len(LINES)]}",
            color=colour(i),
            markersize=4,
            label=label(own[name], 30),
        )
        for step, metric in line:
            two_bars(panel, step, metric, colour(i), horizontal=False)
            ends += [metric.value, *(metric.interval_run or ()), *(metric.interval_problems or ())]
        labelled.append((float(line[-1][0]), line[-1][1].value, label(own[name], 24), colour(i)))
    panel.set_xlim(left=0, right=last * 1.03 + 1)
    for value, name in still:
        panel.axhline(value, color=GREY, linewidth=1, linestyle=":")
        labelled.append((panel.get_xlim()[1], value, label(name, 24), GREY))
    panel.set_ylim(*score_limits(ends, ends))
    panel.set_xlabel("training step")
    panel.set_ylabel("pass@1 (percent)")
    panel.set_title(f"{label(entries[0].report.title, 34)}\n{basis(entries)}", fontsize=look.font, loc="left")
    end_labels(panel, labelled, look)


def _run_names(runs: Sequence[str]) -> list[str]:
    from evalkit.results.labels import shortest

    return [name or "run" for name in shortest([run.rstrip("/-_") for run in runs])]
