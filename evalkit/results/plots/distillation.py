"""The four pictures of a distillation page: scores and gap, tries, solved sets, cost."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from evalkit.results.distill_records import Distillation, Score, StudentDistillation, TaskDistillation
from evalkit.results.distill_words import chosen_gap, ratio_text
from evalkit.results.plots.drawing import (
    COLOURS,
    SCREEN,
    Look,
    heading,
    heading_height,
    label,
    marker,
    new_figure,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROLE_COLOURS = {"base": COLOURS[6], "student": COLOURS[0], "teacher": COLOURS[1]}
_ROLE_MARKERS = {"base": "s", "teacher": "D", "student": "o"}
_SET_COLOURS = {
    "inherited": COLOURS[2],
    "not inherited": COLOURS[1],
    "lost": COLOURS[3],
    "beyond the teacher": COLOURS[0],
}
_MOST_PANELS = 4
_WIDTH = 4.8  # inches: words stay legible on a narrow screen
Pairs = Sequence[tuple[StudentDistillation, TaskDistillation]]


def pictures(found: Distillation) -> "list[tuple[str, Figure]]":
    """(what the picture shows, the picture) for each of the four that there is data for."""
    pairs = [(student, task) for student in found.students for task in student.tasks]
    made = [("Base, student and teacher, with the gap recovered", score_picture(pairs))]
    tries = [(s, t) for s, t in pairs if t.tries is not None]
    if tries:
        left_out = f", the first {_MOST_PANELS} of {len(tries)}" if len(tries) > _MOST_PANELS else ""
        picture = tries_picture(tries[:_MOST_PANELS], len(found.students) > 1)
        made.append((f"Problems solved in k tries{left_out}", picture))
    if any(task.solved for _, task in pairs):
        made.append(("Problems by who solves them, expected in one try each", solved_picture(pairs)))
    if any(cost.budgets for _, task in pairs for cost in task.costs.values()):
        made.append(("Accuracy at equal budgets, and against size", cost_picture(found, pairs)))
    return made


def _name(student: StudentDistillation, task: TaskDistillation, several: bool, longest: int = 34) -> str:
    return label(f"{student.label}, {task.title}" if several else task.title, longest)


def _inward(value: float, left: float, right: float) -> str:
    """How words at `value` are set so that they stay within the axis: away from an end that is near."""
    place = (value - left) / (right - left)
    return "left" if place < 0.25 else "right" if place > 0.75 else "center"


def _reach(score: Score) -> list[list[float]]:
    """What the run-to-run interval reaches to the left and to the right, in percent, as matplotlib takes it."""
    low, high = score.interval_run
    return [[100 * max(score.value - low, 0.0)], [100 * max(high - score.value, 0.0)]]


def score_picture(pairs: Pairs, look: Look | None = None) -> "Figure":
    """One line per student and benchmark from base to teacher, with run-to-run bars.

    With a `look` the picture has a heading of its own.
    """
    width, own = (_WIDTH, SCREEN) if look is None else (look.width, look)
    height = 0.9 + 0.62 * len(pairs) + (heading_height(own) if look is not None else 0)
    figure, grid = new_figure(width, height, look=own)
    axes: Axes = grid[0, 0]
    several = len({student.model for student, _ in pairs}) > 1
    values = [100 * s.value for _, t in pairs for s in (t.gap.base, t.gap.student, t.gap.teacher) if s is not None]
    room = max(0.25 * (max(values) - min(values)), 4.0)
    left, right = max(min(values) - room, 0), min(max(values) + room, 101.5)
    for i, (_, task) in enumerate(pairs):
        gap, at = task.gap, -i
        scores: dict[str, Score | None] = {"base": gap.base, "teacher": gap.teacher, "student": gap.student}
        ends = [s.value for s in scores.values() if s is not None]
        axes.plot([100 * min(ends), 100 * max(ends)], [at, at], color=COLOURS[6], linewidth=1, zorder=1)
        for role, score in scores.items():
            if score is None:
                continue
            axes.errorbar(
                100 * score.value,
                at,
                xerr=_reach(score),
                fmt=_ROLE_MARKERS[role],
                color=_ROLE_COLOURS[role],
                markersize=6,
                elinewidth=2,
                label=role if i == 0 else None,
                markerfacecolor="none" if score.published else _ROLE_COLOURS[role],
                zorder=3,
            )
        if gap.base is not None:
            ratio, _ = chosen_gap(gap)
            axes.annotate(
                f"gap recovered: {ratio_text(ratio)}",
                (100 * gap.student.value, at),
                (0, 8),
                textcoords="offset points",
                ha=_inward(100 * gap.student.value, left, right),
                fontsize=7.5,
            )
    axes.set_yticks(range(0, -len(pairs), -1), [fill(_name(s, t, several, 54), 20) for s, t in pairs])
    axes.set_ylim(-len(pairs) + 0.4, 0.7)
    hollow = any(s.published for _, t in pairs for s in (t.gap.base, t.gap.teacher) if s is not None)
    axes.set_xlim(left, right)
    axes.set_xlabel("pass@1 (percent); bars: 95%, run to run" + ("; hollow: published" if hollow else ""))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=own.font)
    if look is not None:
        heading(
            figure,
            look,
            "How much of the gap to the teacher is closed?",
            "Gap recovered: the student's gain on its base, as a share of the teacher's. 95%, over problems.",
        )
    return figure


def tries_picture(pairs: Pairs, several: bool, look: Look | None = None) -> "Figure":
    """pass@k of each model against k, a panel per benchmark; the crossing as a band. `look` as in `score_picture`."""
    width, own = (_WIDTH, SCREEN) if look is None else (look.width, look)
    height = 0.6 + 2.4 * len(pairs) + (heading_height(own) if look is not None else 0)
    figure, grid = new_figure(width, height, len(pairs), 1, own)
    handles = {}
    for axes, (student, task) in zip(grid.flat, pairs, strict=True):
        tries = task.tries
        assert tries is not None
        for i, (role, curve) in enumerate(tries.curves.items()):
            ks = np.arange(1, len(curve) + 1)
            (handles[role],) = axes.plot(
                ks,
                100 * np.array(curve),
                color=_ROLE_COLOURS[role],
                marker=marker(i),
                markersize=3.5,
                markevery=max(len(ks) // 8, 1),
            )
        crossing = tries.crossing
        if crossing is not None and crossing.value is not None and crossing.interval not in (None, (None, None)):
            assert crossing.interval is not None
            low, high = crossing.interval
            handles["crossing, 95%"] = axes.axvspan(
                low or 1, high or crossing.samples, color=COLOURS[4], alpha=0.15, linewidth=0
            )
            axes.axvline(crossing.value, color=COLOURS[4], linewidth=1)
        axes.set_xscale("log", base=2)
        longest = max(map(len, tries.curves.values()))
        ticks = [1 << i for i in range(longest.bit_length()) if 1 << i <= longest]
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.set_xlabel("tries k")
        axes.set_ylabel("pass@k (percent)")
        axes.set_title(_name(student, task, several, 40), fontsize=8.5)
    columns = 4 if look is None or look.titled else 2
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=own.font,
    )
    if look is not None:
        heading(
            figure,
            look,
            "From how many tries on is the base as good?",
            "pass@k: at least one of k completions is right. Where the curves cross, the base solves in so many "
            "tries as much as the student.",
        )
    return figure


def solved_picture(pairs: Pairs) -> "Figure":
    """The expected share of each kind of problem with its interval, and how many are listed."""
    chosen = [(s, t) for s, t in pairs if t.solved]
    rows = sum(len(task.solved) for _, task in chosen) + len(chosen) - 1
    figure, grid = new_figure(_WIDTH, 0.9 + 0.3 * rows)
    axes: Axes = grid[0, 0]
    several = len({student.model for student, _ in chosen}) > 1
    at, ticks = 0, []
    for student, task in chosen:
        for solved in task.solved:
            low, high = (100 * end for end in solved.interval)
            value, colour = 100 * solved.expected, _SET_COLOURS[solved.name]
            axes.barh(at, value, 0.62, color=colour, alpha=0.75)
            axes.plot([low, high], [at, at], color=COLOURS[6], linewidth=1.6, solid_capstyle="butt")
            told = f"{len(solved.listed)} listed" if solved.listed else "none listed"
            axes.annotate(told, (high, at), (4, 0), textcoords="offset points", va="center", fontsize=7)
            first = solved is task.solved[0] and len(chosen) > 1
            name = f"{fill(_name(student, task, several, 60), 30)}\n{solved.name}" if first else solved.name
            ticks.append((at, name))
            at -= 1
        at -= 1
    axes.set_yticks([t for t, _ in ticks], [name for _, name in ticks])
    axes.set_xlim(0, max(axes.get_xlim()[1] * 1.12, 5))
    axes.set_xlabel("percent of problems; 95%, over problems")
    axes.grid(axis="y", visible=False)
    return figure


def cost_picture(found: Distillation, pairs: Pairs) -> "Figure":
    """Accuracy had completions been cut at a budget, and, where sizes are known, accuracy against parameters."""
    sizes = {s.label: s.size.parameters for s in found.students} | {found.teacher: found.teacher_size.parameters}
    if found.base is not None and found.base_size is not None:
        sizes[found.base] = found.base_size.parameters
    with_sizes = sum(1 for size in sizes.values() if size) >= 2
    figure, grid = new_figure(_WIDTH, 5.2 if with_sizes else 2.8, 2 if with_sizes else 1, 1)
    axes: Axes = grid[0, 0]
    task = next(t for _, t in pairs if any(cost.budgets for cost in t.costs.values()))
    drawn = [(found.base, "base"), (found.teacher, "teacher")]
    for i, (name, role) in enumerate(drawn):
        cost = task.costs.get(role)
        if cost is not None and name is not None:
            _budget_line(axes, cost.budgets, name, _ROLE_COLOURS[role], i)
    for i, student in enumerate(found.students):
        own = next((t for t in student.tasks if t.task == task.task), None)
        if own is not None and "student" in own.costs:
            colour = COLOURS[(0, 2, 4, 5, 3)[i % 5]]
            _budget_line(axes, own.costs["student"].budgets, student.label, colour, i + 2)
    axes.set_xscale("log")
    axes.set_xlabel("token budget per completion")
    axes.set_ylabel("pass@1 (percent)")
    axes.set_title(label(task.title, 40), fontsize=8.5)
    axes.legend(frameon=False, fontsize=7)
    _plain_ticks(axes, [budget for cost in task.costs.values() for budget in cost.budgets])
    if with_sizes:
        _size_panel(grid[1, 0], found, sizes)
    return figure


def _plain_ticks(axes: "Axes", at: Sequence[int]) -> None:
    """Ticks such as 500, 20k and 1.5B on a logarithmic axis, at those of the values that leave room for a label."""
    from matplotlib.ticker import FixedLocator, NullLocator

    values = sorted(set(at))
    ticks: list[int] = []
    for value in values:
        if not ticks or np.log(value / ticks[-1]) > 0.15 * max(np.log(values[-1] / values[0]), 0.1):
            ticks.append(value)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: short(value))


def _budget_line(axes: "Axes", budgets: "dict[int, float] | object", name: str, colour: str, i: int) -> None:
    assert isinstance(budgets, dict)
    axes.plot(
        list(budgets),
        [100 * v for v in budgets.values()],
        color=colour,
        marker=marker(i),
        markersize=3,
        label=label(name, 30),
    )


def _size_panel(axes: "Axes", found: Distillation, sizes: "dict[str, int | None]") -> None:
    """Mean pass@1 over the benchmarks against parameters, with the Pareto front."""
    scores: dict[str, list[float]] = {}
    for student in found.students:
        for task in student.tasks:
            scores.setdefault(student.label, []).append(task.gap.student.value)
    first = found.students[0]
    scores[found.teacher] = [task.gap.teacher.value for task in first.tasks]
    if found.base is not None:
        scores[found.base] = [task.gap.base.value for task in first.tasks if task.gap.base is not None]
    points = [
        (size, 100 * float(np.mean(scores[name])), name) for name, size in sizes.items() if size and scores.get(name)
    ]
    points.sort(key=lambda point: (point[0], -point[1]))  # the best of equal sizes first: it alone is on the front
    front: list[tuple[int, float]] = []
    for size, score, _ in points:
        if not front or score > front[-1][1]:
            front.append((size, score))
    axes.step([p[0] for p in front], [p[1] for p in front], where="post", color=COLOURS[6], linewidth=1)
    roles = {found.teacher: "teacher", found.base: "base"}
    for i, (size, score, name) in enumerate(points):
        axes.plot(size, score, marker(i), color=_ROLE_COLOURS[roles.get(name, "student")], markersize=6)
        left = size > np.sqrt(points[0][0] * points[-1][0])
        axes.annotate(
            label(name, 22),
            (size, score),
            (-7 if left else 7, -11),
            textcoords="offset points",
            fontsize=7,
            ha="right" if left else "left",
        )
    axes.set_xscale("log")
    _plain_ticks(axes, [p[0] for p in points])
    axes.set_title("all benchmarks", fontsize=8.5)
    axes.margins(x=0.15, y=0.2)
    axes.set_xlabel("parameters")
    axes.set_ylabel("mean pass@1 (percent)")
