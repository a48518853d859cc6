"""Plots that need every completion: how long they are, and what a smaller token budget would have scored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.results.plots.figures import COLOURS, LINES, label, marker, names, new_figure, of_task
from evalkit.results.samples import Samples, load_samples
from evalkit.stats import Estimate, avg_at_n
from evalkit.store.run import RunDirectory
from evalkit.types import STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BUDGETS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_STATUS_COLOURS = dict(zip(STATUSES, (2, 3, 4, 1, 7), strict=True))
_STATUS_HATCHES = dict(zip(STATUSES, ("", "//", "..", "xx", "++"), strict=True))


def load_lengths(entry: Entry) -> tuple[Samples, npt.NDArray[np.int64]]:
    """The samples of an entry and their tokens. Raises EvalkitError where the engine counted none."""
    samples = load_samples(RunDirectory(entry.run).task(entry.report.task))
    if samples.tokens is None:
        raise EvalkitError(f"{entry.run} does not tell its completion lengths.", "the engine did not count tokens.")
    return samples, samples.tokens


def at_budget(values: npt.NDArray[np.float64], tokens: npt.NDArray[np.int64], budget: int) -> Estimate:
    """avg@n had the run been cut at `budget` tokens: a completion that is longer would not have been answered.

    Exact for models that answer at the end of a completion, as reasoning models do.
    """
    return avg_at_n(np.where(tokens <= budget, values, 0.0))


def budget_curve(entries: Sequence[Entry], task: str | None) -> "Figure":
    """Accuracy against the token budget, read off one run a line by cutting its completions; up to the run's limit."""
    chosen = of_task(entries, task)
    figure, axes = new_figure(6.4, 4.2)
    panel: Axes = axes[0, 0]
    shown: set[int] = set()
    for i, (entry, name) in enumerate(zip(chosen, names(chosen), strict=True)):
        samples, tokens = load_lengths(entry)
        limit = entry.report.max_tokens or int(tokens.max())
        budgets = [b for b in BUDGETS if b < limit] + [limit]
        shown |= set(budgets)
        estimates = [at_budget(samples.values, tokens, b) for b in budgets]
        colour, style = COLOURS[i % len(COLOURS)], LINES[i // len(COLOURS) % len(LINES)]
        values = [100 * e.value for e in estimates]
        panel.plot(budgets, values, style, marker=marker(i), markersize=4, color=colour,
                   label=f"{name} (n = {entry.report.n})")  # fmt: skip
        low, high = zip(*(e.interval_run for e in estimates), strict=True)
        panel.fill_between(budgets, 100 * np.array(low), 100 * np.array(high), color=colour, alpha=0.15, linewidth=0)
    panel.set_xscale("log", base=2)
    ticks = sorted(shown)
    panel.set_xticks(ticks, [f"{t // 1024}k" if t % 1024 == 0 else str(t) for t in ticks])
    panel.minorticks_off()
    panel.set_xlabel("token budget a completion")
    panel.set_ylabel(f"{label(chosen[0].report.title)} pass@1 (percent)")
    panel.set_ylim(0, 100)
    problems = chosen[0].report.problems
    panel.set_title(f"{problems} problem{'s' if problems != 1 else ''}; bands: 95%, run to run", fontsize=8)
    panel.legend(frameon=False, fontsize=7)
    return figure


def length_distribution(entries: Sequence[Entry], task: str | None) -> "Figure":
    """One panel a run: how many completions have which length, stacked by status, with the truncation limit."""
    chosen = of_task(entries, task)
    across = min(len(chosen), 2)
    down = -(-len(chosen) // across)
    figure, axes = new_figure(5.4 * across, 1.0 + 2.6 * down, down, across)
    handles: dict[str, Any] = {}
    for panel, entry, name in zip(axes.flat, chosen, names(chosen), strict=False):
        report = entry.report
        samples, tokens = load_lengths(entry)
        statuses = np.array(samples.statuses)
        limit = entry.report.max_tokens or int(tokens.max()) + 1
        longest = max(int(tokens.max()), 1)
        shown = limit if longest > 0.5 * limit else longest
        edges = np.linspace(0, shown, 41)
        bottom = np.zeros(40)
        for status in STATUSES:
            lengths = tokens[statuses == status]
            if not lengths.size:
                continue
            counts, _ = np.histogram(np.clip(lengths, 0, shown), edges)
            handles[status] = panel.bar(
                edges[:-1], counts, np.diff(edges), bottom, align="edge", color=COLOURS[_STATUS_COLOURS[status]],
                hatch=_STATUS_HATCHES[status], edgecolor="white", linewidth=0.2,
            )  # fmt: skip
            bottom += counts
        if shown == limit and report.max_tokens is not None:
            handles["token limit"] = panel.axvline(limit, color="black", linestyle="--", linewidth=1)
        drawn = f"{report.samples} completion{'s' if report.samples > 1 else ''}"
        share = report.truncation_rate
        cut = "cut: unknown" if share is None else f"{100 * share:.1f}% cut at {limit}"
        told = f"{drawn}, {cut}"
        panel.set_title(f"{name}\n{told}", fontsize=8)
        panel.set_xlabel("tokens a completion")
        panel.set_ylabel("completions")
        panel.yaxis.get_major_locator().set_params(integer=True)
    for panel in list(axes.flat)[len(chosen) :]:
        panel.set_axis_off()
    figure.suptitle(label(chosen[0].report.title), fontsize=9)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3 * across, frameon=False)
    return figure
