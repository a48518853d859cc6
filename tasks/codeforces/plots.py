"""Two plots of a rating: the solve rate against problem ratings with the fitted curve, and a strip of performances."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .contests import ContestSet
from .estimate import Rating, difficulty
from .solve_model import NOISE_SD, marginal_chances
from .summary import interval
from .table import Solve

_INK, _ACCENT, _PALE = "#1f2933", "#2563eb", "#93c5fd"


def write_plots(rating: Rating, table: Sequence[Solve], contests: ContestSet, folder: Path) -> list[Path]:
    """Write `solve_rate` and, with standings, `performances` as PNG and SVG; returns the files."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def save(figure: Any, name: str) -> None:
        for ending in ("png", "svg"):
            path = folder / f"{name}.{ending}"
            figure.savefig(path, dpi=160)
            written.append(path)

    rated = [(d, r.solved / r.samples) for r in table if (d := difficulty(r, contests)) is not None]
    if rated and rating.problem_model is not None:
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        _solve_rate(figure.add_subplot(), np.array(rated), rating)
        save(figure, "solve_rate")
    if rating.contests:
        figure = Figure(figsize=(7, 1.2 + 0.32 * len(rating.contests)), layout="constrained")
        _performances(figure.add_subplot(), rating)
        save(figure, "performances")
    return written


def _solve_rate(axes: Any, rated: "np.ndarray[Any, np.dtype[np.float64]]", rating: Rating) -> None:
    model = rating.problem_model
    assert model is not None
    spread = np.random.default_rng(0).uniform(-25, 25, rated.shape[0])
    axes.scatter(rated[:, 0] + spread, rated[:, 1], s=14, color=_PALE, alpha=0.7, label="a problem", zorder=2)
    levels = np.unique(rated[:, 0] // 200 * 200)
    groups = [rated[rated[:, 0] // 200 * 200 == level] for level in levels]
    axes.plot(
        [g[:, 0].mean() for g in groups],
        [g[:, 1].mean() for g in groups],
        "o",
        color=_INK,
        label="mean by 200 points of rating",
    )
    x = np.linspace(rated[:, 0].min() - 100, rated[:, 0].max() + 100, 200)
    ends = marginal_chances([model.low, model.rating, model.high], x, NOISE_SD)
    axes.fill_between(x, ends[0], ends[2], color=_ACCENT, alpha=0.15, linewidth=0)
    interval = f"[{model.low:.0f}, {model.high:.0f}]"
    axes.plot(x, ends[1], color=_ACCENT, label=f"fit to problem ratings: {model.rating:.0f} {interval}")
    axes.set(xlabel="problem rating", ylabel="share of programs accepted", ylim=(-0.04, 1.04))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _performances(axes: Any, rating: Rating) -> None:
    finite = [v for c in rating.contests for v in c.performance.values() if np.isfinite(v)]
    ends = interval(rating)
    about = ends or (rating.rating, rating.rating)
    low, high = min([*finite, about[0]]) - 50, max([*finite, about[1]]) + 50
    for row, contest in enumerate(reversed(rating.contests)):
        ties = np.clip([contest.performance["middle"], contest.performance["fastest"]], low, high)
        axes.plot(ties, [row, row], color=_PALE, linewidth=2, zorder=1)
        at = contest.performance[rating.tie_rule]
        marker = "o" if np.isfinite(at) and not contest.saturated else ">" if at > 0 else "<"
        axes.plot(np.clip(at, low, high), row, marker, color=_INK, zorder=2)
    told = ""
    if ends is not None:
        told = f" [{ends[0]:.0f}, {ends[1]:.0f}]"
        axes.axvspan(*ends, color=_ACCENT, alpha=0.15, linewidth=0)
    axes.axvline(rating.rating, color=_ACCENT, label=f"rating {rating.text}{told}")
    axes.set_yticks(range(len(rating.contests)), [str(c.id) for c in reversed(rating.contests)])
    axes.set(
        xlabel="Elo performance of the place (line: from the middle to the fastest of its score)", ylabel="contest"
    )
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
