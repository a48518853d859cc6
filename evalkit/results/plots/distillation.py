"""The four pictures of a distillation page: scores and gap, tries, solved sets, cost."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from evalkit.results.distill_records import Distillation, Score, StudentDistillation, TaskDistillation
from evalkit.results.distill_words import chosen_gap, ratio_text
from evalkit.results.plots.drawing import (
    COLOURS,
    ROLE_COLOURS,
    SCREEN,
    STUDENT_COLOURS,
    Look,
    heading,
    heading_height,
    label,
    new_figure,
    short,
    token_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROLE_MARKERS = {"base": "s", "teacher": "D", "student": "o"}
_SET_COLOURS = {
    "inherited": COLOURS[2],
    "not inherited": COLOURS[1],
    "lost": COLOURS[3],
    "beyond the teacher": COLOURS[0],
}
_MOST_PANELS = 4
_WORDS = 7.5  # points
_WIDTH = 4.8  # inches: words stay legible on a narrow screen
Pairs = Sequence[tuple[StudentDistillation, TaskDistillation]]


def pictures(found: Distillation) -> "list[tuple[str, Figure]]":
    """(what the picture shows, the picture) for each of the four that there is data for."""
    pairs = [(student, task) for student in found.students for task in student.tasks]
    made = [("Base, student and teacher, with the gap recovered", score_picture(pairs))]
    tries = [(s, t) for s, t in pairs if t.tries is not None]
    if tries:
        left_out = _left_out(len(tries))
        picture = tries_picture(tries[:_MOST_PANELS], len(found.students) > 1)
        made.append((f"Problems solved in k tries{left_out}", picture))
    if any(task.solved for _, task in pairs):
        made.append(("Problems by who solves them, expected in one try each", solved_picture(pairs)))
    if budgets := len(_budget_tasks(pairs)):
        title = f"Accuracy at equal budgets{_left_out(budgets)}"
        made.append((f"{title}, and against size" if len(_sizes(found)) > 1 else title, cost_picture(found, pairs)))
    return made


def _left_out(panels: int) -> str:
    return f", the first {_MOST_PANELS} of {panels}" if panels > _MOST_PANELS else ""


def _counts(task: TaskDistillation) -> str:
    """`60 of 500 problems, n = 4`."""
    problems, n = task.gap.counts
    return f"{problems} problem{'s' if problems != '1' else ''}, n = {n}"


def _name(student: StudentDistillation, task: TaskDistillation, several: bool, longest: int = 34) -> str:
    return label(f"{student.label}, {task.title}" if several else task.title, longest)


def _within(value: float, words: str, left: float, right: float, inches: float) -> float:
    """Where the middle of words at `value` is so that they stay within an axis of so many inches."""
    half = min(len(words) * 0.52 * _WORDS / 72 / inches / 2, 0.5) * (right - left)
    return min(max(value, left + half), right - half)


def _reach(score: Score) -> list[list[float]]:
    """What the run-to-run interval reaches to the left and to the right, in percent, as matplotlib takes it."""
    low, high = score.interval_run
    return [[100 * max(score.value - low, 0.0)], [100 * max(high - score.value, 0.0)]]


def score_picture(pairs: Pairs, look: Look | None = None) -> "Figure":
    """One line per student and benchmark from base to teacher, with run-to-run bars.

    With a `look` the picture has a heading of its own.
    """
    width, own = (_WIDTH, SCREEN) if look is None else (look.width, look)
    height = 0.9 + 0.7 * len(pairs) + (heading_height(own) if look is not None else 0)
    figure, grid = new_figure(width, height, look=own)
    axes: Axes = grid[0, 0]
    several = len({student.model for student, _ in pairs}) > 1
    values = [100 * s.value for _, t in pairs for s in (t.gap.base, t.gap.student, t.gap.teacher) if s is not None]
    room = max(0.25 * (max(values) - min(values)), 4.0)
    left, right = max(min(values) - room, 0), min(max(values) + room, 101.5)
    bases: set[str] = set()
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
                color=ROLE_COLOURS[role],
                markersize=6,
                elinewidth=2,
                label=role if i == 0 else None,
                markerfacecolor="none" if score.published else ROLE_COLOURS[role],
                zorder=3,
            )
        if gap.base is not None:
            ratio, over = chosen_gap(gap)
            bases.add(over)
            words = f"gap recovered: {ratio_text(ratio)}"
            middle = _within(100 * gap.student.value, words, left, right, 0.6 * width)
            axes.annotate(words, (middle, at), (0, 8), textcoords="offset points", ha="center", fontsize=_WORDS)
    axes.set_yticks(
        range(0, -len(pairs), -1), [f"{fill(_name(s, t, several, 54), 24)}\n{_counts(t)}" for s, t in pairs]
    )
    axes.set_ylim(-len(pairs) + 0.4, 0.7)
    hollow = any(s.published for _, t in pairs for s in (t.gap.base, t.gap.teacher) if s is not None)
    axes.set_xlim(left, right)
    told = "pass@1 (percent); bars: 95%, run to run" + ("; hollow: published, of its own n" if hollow else "")
    axes.set_xlabel(told + (f"\ngap recovered: 95%, {' or '.join(sorted(bases))}" if bases else ""))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=own.font)
    if look is not None:
        heading(
            figure,
            look,
            "How much of the gap to the teacher is closed?",
            "Gap recovered: the student's gain on its base, as a share of the teacher's.",
        )
    return figure


def tries_picture(pairs: Pairs, several: bool, look: Look | None = None) -> "Figure":
    """pass@k of each model against k, a panel per benchmark; the crossing as a band. `look` as in `score_picture`."""
    width, own = (_WIDTH, SCREEN) if look is None else (look.width, look)
    height = 0.6 + 2.55 * len(pairs) + (heading_height(own) if look is not None else 0)
    figure, grid = new_figure(width, height, len(pairs), 1, own)
    handles = {}
    for axes, (student, task) in zip(grid.flat, pairs, strict=True):
        tries = task.tries
        assert tries is not None
        longest = max(map(len, tries.curves.values()))
        ticks = list(range(1, longest + 1)) if longest <= 8 else [1 << i for i in range(longest.bit_length())]
        for role, curve in tries.curves.items():
            ks = np.arange(1, len(curve) + 1)
            low, high = (100 * np.array(ends) for ends in zip(*tries.intervals[role], strict=True))
            axes.fill_between(ks, low, high, color=ROLE_COLOURS[role], alpha=0.13, linewidth=0)
            (handles[role],) = axes.plot(
                ks,
                100 * np.array(curve),
                color=ROLE_COLOURS[role],
                marker=_ROLE_MARKERS[role],
                markersize=3.5,
                markevery=[k - 1 for k in ticks if k <= len(curve)],
            )
        crossing = tries.crossing
        if crossing is not None and crossing.value is not None and crossing.interval not in (None, (None, None)):
            assert crossing.interval is not None
            first, last = crossing.interval
            handles["crossing, 95%"] = axes.axvspan(
                first or 1, last or crossing.samples, color=COLOURS[4], alpha=0.15, linewidth=0
            )
            axes.axvline(crossing.value, color=COLOURS[4], linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.set_xlabel("tries k")
        axes.set_ylabel("pass@k (percent)")
        axes.set_title(
            f"{_name(student, task, several, 40)}\n{_counts(task)}; bands: 95%, over problems", fontsize=own.font - 0.5
        )
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
            "tries as much as the student; its 95% interval is paired by problem.",
        )
    return figure


def solved_picture(pairs: Pairs) -> "Figure":
    """The expected share of each kind of problem with its interval, and how many are listed."""
    chosen = [(s, t) for s, t in pairs if t.solved]
    rows = sum(len(task.solved) + 1.5 for _, task in chosen) - 1.5 * (len(chosen) == 1)
    figure, grid = new_figure(_WIDTH, 0.9 + 0.3 * rows)
    axes: Axes = grid[0, 0]
    several = len({student.model for student, _ in chosen}) > 1
    at, ticks = 0.0, []
    for student, task in chosen:
        if len(chosen) > 1:
            ticks.append((at, f"{fill(_name(student, task, several, 60), 30)}\n{_counts(task)}"))
            at -= 1
        for solved in task.solved:
            low, high = (100 * end for end in solved.interval)
            value, colour = 100 * solved.expected, _SET_COLOURS[solved.name]
            axes.barh(at, value, 0.62, color=colour, alpha=0.75)
            axes.plot([low, high], [at, at], color=COLOURS[6], linewidth=1.6, solid_capstyle="butt")
            told = f"{len(solved.listed)} listed" if solved.listed else "none listed"
            axes.annotate(told, (high, at), (4, 0), textcoords="offset points", va="center", fontsize=7)
            ticks.append((at, solved.name))
            at -= 1
        at -= 0.5
    axes.set_yticks([t for t, _ in ticks], [name for _, name in ticks])
    axes.set_xlim(0, max(axes.get_xlim()[1] * 1.12, 5))
    told = f" ({_counts(chosen[0][1])})" if len(chosen) == 1 else ""
    axes.set_xlabel(f"percent of problems{told}; 95%, over problems")
    axes.grid(axis="y", visible=False)
    return figure


def cost_picture(found: Distillation, pairs: Pairs) -> "Figure":
    """Accuracy had completions been cut at a budget, by benchmark, and, where sizes are known, against parameters."""
    tasks = _budget_tasks(pairs)[:_MOST_PANELS]
    with_sizes = len(_sizes(found)) > 1
    figure, grid = new_figure(_WIDTH, 0.3 + 2.6 * (len(tasks) + with_sizes), len(tasks) + with_sizes, 1)
    for panel, task in zip(grid[:, 0], tasks, strict=False):
        _budget_panel(panel, found, task)
    if with_sizes:
        _size_panel(grid[-1, 0], found)
    return figure


def _budget_tasks(pairs: Pairs) -> list[TaskDistillation]:
    """The benchmarks of which completion lengths are known, each as its first student has it."""
    found: dict[str, TaskDistillation] = {}
    for _, task in pairs:
        if any(cost.budgets for cost in task.costs.values()):
            found.setdefault(task.task, task)
    return list(found.values())


def _budget_panel(axes: "Axes", found: Distillation, task: TaskDistillation) -> None:
    lines = [(name, role, task.costs.get(role)) for name, role in ((found.base, "base"), (found.teacher, "teacher"))]
    students = [(s.label, next((t for t in s.tasks if t.task == task.task), None)) for s in found.students]
    lines += [(name, "student", own.costs.get("student")) for name, own in students if own is not None]
    known = [(name, role, cost) for name, role, cost in lines if name is not None and cost is not None and cost.budgets]
    at = [budget for _, _, cost in known for budget in cost.budgets]
    banded, several = len(known) <= 4, 0
    for name, role, cost in known:
        own_colour, sign = ROLE_COLOURS[role], _ROLE_MARKERS[role]
        if role == "student":
            own_colour, sign = STUDENT_COLOURS[several % len(STUDENT_COLOURS)], "o^vP*X"[several % 6]
            several += 1
        budgets = list(cost.budgets)
        shares = [100 * cost.budgets[b] for b in budgets]
        axes.plot(budgets, shares, color=own_colour, marker=sign, markersize=3, label=label(name, 30))
        if banded:
            low, high = zip(*(cost.budget_intervals[b] for b in budgets), strict=True)
            axes.fill_between(budgets, 100 * np.array(low), 100 * np.array(high), color=own_colour, alpha=0.15,
                              linewidth=0)  # fmt: skip
    token_axis(axes, 0.9 * min(at), 1.1 * max(at), "x", 6)
    axes.set_xlabel("token budget per completion")
    axes.set_ylabel("pass@1 (percent)")
    bands = "bands: 95%, run to run" if banded else "95% intervals: in the table"
    axes.set_title(f"{label(task.title, 40)}\n{_counts(task)}; {bands}", fontsize=8.5)
    axes.legend(frameon=False, fontsize=7)


def _sizes(found: Distillation) -> dict[str, int]:
    """The parameters of each model of which they are known."""
    sizes = {s.label: s.size.parameters for s in found.students} | {found.teacher: found.teacher_size.parameters}
    if found.base is not None and found.base_size is not None:
        sizes[found.base] = found.base_size.parameters
    return {name: size for name, size in sizes.items() if size}


def _parameter_ticks(axes: "Axes", at: Sequence[int]) -> None:
    """Ticks such as 20M and 1.5B on a logarithmic axis, at those of the values that leave room for a label."""
    from matplotlib.ticker import FixedLocator, NullLocator

    values = sorted(set(at))
    ticks: list[int] = []
    for value in values:
        if not ticks or np.log(value / ticks[-1]) > 0.15 * max(np.log(values[-1] / values[0]), 0.1):
            ticks.append(value)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: short(value))


def _size_panel(axes: "Axes", found: Distillation) -> None:
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
        (size, 100 * float(np.mean(scores[name])), name) for name, size in _sizes(found).items() if scores.get(name)
    ]
    points.sort(key=lambda point: (point[0], -point[1]))  # the best of equal sizes first: it alone is on the front
    front: list[tuple[int, float]] = []
    for size, score, _ in points:
        if not front or score > front[-1][1]:
            front.append((size, score))
    axes.step([p[0] for p in front], [p[1] for p in front], where="post", color=COLOURS[6], linewidth=1)
    roles = {found.teacher: "teacher", found.base: "base"}
    for size, score, name in points:
        role = roles.get(name, "student")
        axes.plot(size, score, _ROLE_MARKERS[role], color=ROLE_COLOURS[role], markersize=6)
        left = size * size > points[0][0] * points[-1][0]  # exact: the product may be beyond 64 bits
        axes.annotate(
            label(name, 22),
            (size, score),
            (-7 if left else 7, -11),
            textcoords="offset points",
            fontsize=7,
            ha="right" if left else "left",
        )
    axes.set_xscale("log")
    _parameter_ticks(axes, [p[0] for p in points])
    names = {task.title for student in found.students for task in student.tasks}
    axes.set_title(f"mean of {len(names)} benchmark{'s' if len(names) > 1 else ''}; error bars: in the first picture",
                   fontsize=8.5)  # fmt: skip
    axes.margins(x=0.15, y=0.2)
    axes.set_xlabel("parameters")
    axes.set_ylabel("mean pass@1 (percent)")
