"""Pictures that need every completion: how long they are, and what a smaller token budget would have scored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.results.entries import Entry
from evalkit.results.plots.budgets import at_budget, budgets, load_lengths
from evalkit.results.plots.drawing import (
    COLOURS,
    GREY,
    LINES,
    SCREEN,
    Look,
    end_labels,
    heading,
    heading_height,
    label,
    line_height,
    marker,
    new_figure,
    score_limits,
    short,
    token_axis,
)
from evalkit.results.plots.figures import NO_BANDS, basis, names, of_task, run_colours
from evalkit.types import STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STATUS_COLOURS = dict(zip(STATUSES, (2, 3, 4, 1, 7), strict=True))
_STATUS_HATCHES = dict(zip(STATUSES, ("", "//", "..", "xx", "++"), strict=True))
_STATUS_WORDS = {"no_answer": "no answer", "truncated": "cut before an answer"}
_BINS = 60


def budget_curve(
    entries: Sequence[Entry], task: str | None, look: Look = SCREEN, roles: Mapping[Path, str] | None = None
) -> "Figure":
    """Accuracy against the token budget, read off one run a line by cutting its completions; up to the run's limit."""
    chosen = of_task(entries, task)
    figure, axes = new_figure(look.width, line_height(look, len(chosen)) + heading_height(look), look=look)
    panel: Axes = axes[0, 0]
    banded, own = len(chosen) <= 4, names(chosen, 34 if look.titled else 22)
    inks = run_colours(chosen, roles)
    ends, labelled, reach, whole = [], [], [], []
    for i, (entry, name) in enumerate(zip(chosen, own, strict=True)):
        samples, tokens = load_lengths(entry)
        at = budgets(tokens, entry.report.max_tokens)
        estimates = [at_budget(samples.values, tokens, b) for b in at]
        values = [100 * e.value for e in estimates]
        style = LINES[i // len(COLOURS) % len(LINES)]
        panel.plot(at, values, style, marker=marker(i), markersize=3.5 * look.font / 9, color=inks[i], label=name)
        if banded:
            low, high = (100 * np.array(side) for side in zip(*(e.interval_run for e in estimates), strict=True))
            panel.fill_between(at, low, high, color=inks[i], alpha=0.15, linewidth=0)
            ends += [*low.tolist(), *high.tolist()]
            whole.append((float(low[-1]), float(high[-1])))
        ends += values
        reach += at
        labelled.append((float(at[-1]), values[-1], name, inks[i]))
    for i, (x, y, _, own_colour) in enumerate(labelled):  # all completions have ended: a larger budget changes nothing
        panel.plot([x, max(reach)], [y, y], LINES[i // len(COLOURS) % len(LINES)], color=own_colour)
        if banded:
            panel.fill_between([x, max(reach)], *whole[i], color=own_colour, alpha=0.15, linewidth=0)
        labelled[i] = (float(max(reach)), *labelled[i][1:])
    token_axis(panel, 0.9 * min(reach), 1.08 * max(reach), "x", 7 if look.titled else 4)
    panel.set_ylim(*score_limits(ends, ends))
    panel.set_xlabel("token budget per completion (logarithmic)")
    panel.set_ylabel(f"{label(chosen[0].report.title, 30)}\npass@1 (percent)")
    end_labels(panel, labelled, look)
    bands = "; bands: 95%, run to run" if banded else NO_BANDS
    heading(
        figure,
        look,
        "What would a smaller token budget score?",
        f"{basis(chosen)}{bands}. A completion longer than the budget counts as unanswered.",
    )
    return figure


def length_distribution(entries: Sequence[Entry], task: str | None, look: Look = SCREEN) -> "Figure":
    """One row a run on one axis: how many completions have which length, stacked by status, with the token limit."""
    chosen = of_task(entries, task)
    loaded = [load_lengths(entry) for entry in chosen]
    longest = max(max(int(tokens.max()) for _, tokens in loaded), 1)
    limits = [entry.report.max_tokens for entry in chosen]
    limit = max((value for value in limits if value is not None), default=0)
    shown = limit if limit and longest > 0.5 * limit else longest
    each = (0.62 if len(chosen) <= 6 else 0.46) * (1 if look.titled else 0.75)
    figure, axes = new_figure(
        look.width, 0.95 + each * len(chosen) + heading_height(look), len(chosen), 1, look, sharex=True
    )
    figure.get_layout_engine().set(hspace=0.01, h_pad=0.01)  # type: ignore[union-attr, call-arg]
    handles: dict[str, Any] = {}
    own = names(chosen, 34 if look.titled else 18)
    for panel, entry, (samples, tokens), name in zip(axes[:, 0], chosen, loaded, own, strict=True):
        statuses = np.array(samples.statuses)
        edges = np.linspace(0, shown, _BINS + 1)
        bottom = np.zeros(_BINS)
        for status in STATUSES:
            lengths = tokens[statuses == status]
            if not lengths.size:
                continue
            counts, _ = np.histogram(np.clip(lengths, 0, shown), edges)
            handles[_STATUS_WORDS.get(status, status)] = panel.bar(
                edges[:-1],
                counts,
                np.diff(edges),
                bottom,
                align="edge",
                color=COLOURS[_STATUS_COLOURS[status]],
                hatch=_STATUS_HATCHES[status],
                edgecolor="white",
                linewidth=0.2,
            )
            bottom += counts
        median = float(np.median(tokens))
        panel.plot([median], [0], "^", color="black", markersize=5, clip_on=False, zorder=5, label=f"{name}, median")
        if entry.report.max_tokens is not None and shown >= entry.report.max_tokens:
            handles["token limit"] = panel.axvline(entry.report.max_tokens, color="black", linestyle="--", linewidth=1)
        _length_row(panel, entry, name, median, float(bottom.max()), look)
    axes[-1, 0].set_xlim(0, shown * 1.01)
    axes[-1, 0].xaxis.set_major_formatter(lambda value, _: short(value))
    axes[-1, 0].set_xlabel("tokens per completion")
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower left",
        ncols=5 if look.titled else 2,
        frameon=False,
        fontsize=look.font - 1,
    )
    heading(
        figure,
        look,
        "How long do the models think, and how much is cut?",
        f"{label(chosen[0].report.title, 50)}: {basis(chosen)}. Triangle: median. Heights are scaled for each row.",
    )
    return figure


def _length_row(panel: "Axes", entry: Entry, name: str, median: float, highest: float, look: Look) -> None:
    """The name at the left and the figures at the right of one row; its heights have no scale."""
    share = entry.report.truncation_rate
    cut = "cut: unknown" if share is None else f"{100 * share:.1f}% cut ({round(share * entry.report.samples):,})"
    count = entry.report.samples
    drawn = f"{count:,} completion{'s' if count > 1 else ''}"
    panel.set_yticks([])
    panel.grid(axis="y", visible=False)
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="x", length=2)
    panel.set_ylim(0, max(highest, 1) * 1.08)
    panel.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=look.font)
    panel.annotate(
        f"median {median:,.0f}\n{cut}\n{drawn}" if look.titled else f"{median:,.0f}\n{cut}",
        (1, 0.5),
        (5, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        va="center",
        fontsize=look.font - 2,
        color=GREY,
        linespacing=1.05,
    )
