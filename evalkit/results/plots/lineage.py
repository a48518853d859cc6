"""Base, student and teacher side by side: problems taken over, and lengths against the teacher's."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError
from evalkit.results.distill_costs import length_ratio
from evalkit.results.distill_words import length_text
from evalkit.results.entries import Entry
from evalkit.results.plots.budgets import load_lengths
from evalkit.results.plots.drawing import (
    COLOURS,
    GREY,
    SCREEN,
    Look,
    heading,
    heading_height,
    label,
    new_figure,
    token_axis,
)
from evalkit.results.plots.figures import basis, names, of_task, rate_image
from evalkit.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SOLVED = 0.5  # the solve rate from which on a problem counts as solved in the picture's bands
_BANDS = (
    "solved by all three",
    "taken over from the teacher",
    "not taken over",
    "lost",
    "beyond the teacher",
    "solved by none",
)


def lineage_map(base: Entry, students: Sequence[Entry], teacher: Entry, look: Look = SCREEN) -> "Figure":
    """Solve rates of base, student and teacher by problem, problems of one fate side by side; a row triple a student.

    Raises EvalkitError if they share no problem.
    """
    rows, height = [], (1.75 if look.titled else 1.55)
    for student in students:
        shared = [p for p in student.report.values if p in base.report.values and p in teacher.report.values]
        if not shared:
            raise _nothing_shared(student)
        rows.append((student, shared))
    figure, axes = new_figure(look.width, height * len(rows) + 0.6 + heading_height(look), len(rows), 1, look)
    own = dict(zip(range(len(students)), names([*students, base, teacher], 24 if look.titled else 14), strict=False))
    image: Any = None
    for i, (student, shared) in enumerate(rows):
        grid = np.array([[np.mean(e.report.values[p]) for p in shared] for e in (base, student, teacher)])
        image = _bands(axes[i, 0], grid, ["base", own[i], "teacher"], look)
        whole = max((e.available or 0 for e in (base, student, teacher)), default=0)
        of = f" of {whole:,}" if len(shared) < whole else ""
        told = f"{len(shared)}{of} problem{'s' if len(shared) != 1 or of else ''}, from the left: {_band_counts(grid)}"
        axes[i, 0].set_xlabel(fill(told, int(72 * 0.62 * look.width / (0.5 * (look.font - 1)))), fontsize=look.font - 1)
    assert image is not None
    bar = figure.colorbar(image, ax=axes[:, 0].tolist(), ticks=[0, 0.5, 1], aspect=14, pad=0.02)
    bar.ax.set_yticklabels(["0", "50", "100"], fontsize=look.font - 1)
    bar.set_label("solved, percent", fontsize=look.font - 1)
    heading(
        figure,
        look,
        "What did the student take over from its teacher?",
        f"{label(base.report.title, 50)}: {basis([base, *students, teacher])}. Solved: in at least half of the "
        "completions; `evalkit distill` tests each problem.",
    )
    return figure


def fates(grid: npt.NDArray[np.float64]) -> list[int]:
    """For each column of (base, student, teacher) rates the band it belongs to, an index into the bands' names.

    Examples:
        >>> fates(np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]]))
        [0, 1, 2, 3]
    """
    found = []
    for base, student, teacher in (grid >= _SOLVED).T.tolist():
        if student:
            found.append(0 if base and teacher else 1 if teacher else 4)
        else:
            found.append(3 if base else 2 if teacher else 5)
    return found


def _band_counts(grid: npt.NDArray[np.float64]) -> str:
    """`31 solved by all three, 24 taken over from the teacher`, every band that has problems."""
    band = fates(grid)
    return ", ".join(f"{band.count(k)} {name}" for k, name in enumerate(_BANDS) if k in band)


def _bands(panel: "Axes", grid: npt.NDArray[np.float64], rows: Sequence[str], look: Look) -> Any:
    band = fates(grid)
    order = sorted(range(grid.shape[1]), key=lambda j: (band[j], -grid[2, j], -grid[1, j]))
    image = rate_image(panel, grid[:, order])
    panel.set_yticks(range(3), list(rows), fontsize=look.font)
    panel.set_xticks([])
    panel.tick_params(length=0)
    start = 0
    for k, name in enumerate(_BANDS):
        count = band.count(k)
        if not count:
            continue
        if start:
            panel.axvline(start - 0.5, color="white", linewidth=2.5)
        share = count / len(band)
        text = f"{name}\n{count}" if share > (0.07 if look.titled else 0.14) else f"{count}"
        if share > 0.02:
            panel.annotate(
                _folded(text, share, look),
                (start + count / 2 - 0.5, -0.5),
                (0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=look.font - 2,
                linespacing=1.0,
            )
        start += count
    return image


def _folded(text: str, share: float, look: Look) -> str:
    """`text` in lines that are as long as a band of that share of the picture is wide."""
    from textwrap import wrap

    width = max(int(share * 72 * 0.72 * look.width / (0.52 * (look.font - 2))), 6)
    return "\n".join(line for part in text.split("\n") for line in wrap(part, width))


def lengths_against_teacher(students: Sequence[Entry], teacher: Entry, look: Look = SCREEN) -> "Figure":
    """Mean tokens per problem of each student against the teacher's, a panel a student, by who solves the problem.

    Raises EvalkitError if a student shares no problem with the teacher.
    """
    theirs = _mean_lengths(teacher)
    across = min(len(students), 3 if look.titled else 1)
    down = -(-len(students) // across)
    side = look.width / max(across, 2) if look.titled else look.width
    width = side * across + (0.3 if across == 1 and look.titled else 0)
    height = side * 0.92 * down + 0.3 + heading_height(look)
    figure, axes = new_figure(width, height, down, across, look, sharex=True, sharey=True)
    own = names([*students, teacher], 30)
    every = [*theirs.values()]
    handles: dict[str, Any] = {}
    for panel, student, name in zip(axes.flat, students, own, strict=False):
        lengths = _mean_lengths(student)
        every += lengths.values()
        _scatter(panel, student, teacher, lengths, theirs, handles)
        ratio = _ratio_words(student, teacher)
        if len(students) > 1:  # a panel is narrower than the words
            ratio = ratio.replace(" of the", "\nof the").replace(" that both", "\nthat both")
        panel.set_title(f"{name}\n{ratio}", fontsize=look.font, loc="left")
    room = max((max(every) / max(min(every), 1)) ** 0.08, 1.03)  # of the logarithmic axis, at both ends
    low, high = max(min(every), 1) / room, max(every) * room
    for i, panel in enumerate(axes.flat):
        if i >= len(students):
            panel.set_axis_off()
            continue
        token_axis(panel, low, high, "x", 5)
        token_axis(panel, low, high, "y", 5)
        panel.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle="--", zorder=1)
        panel.set_aspect("equal")
        panel.tick_params(labelbottom=True)
        panel.set_ylabel("student's mean tokens" if i % across == 0 else "")
        panel.set_xlabel("teacher's mean tokens")
    columns = 4 if look.titled else 2
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower left", ncols=columns, frameon=False,
        fontsize=look.font - 1,
    )  # fmt: skip
    told = f"{label(teacher.report.title, 50)}: {basis([*students, teacher])}."
    heading(figure, look, "Does the student think as long as its teacher?",
            f"{told} A point is a problem, its mean over all completions; dashed: equal lengths. "
            "Ratio, as `distill` has it: "
            "right completions, problems that both solve at least once, geometric mean, 95% over problems. Signs: "
            "solved in at least half of the completions.")  # fmt: skip
    return figure


_SOLVERS = {  # (student, teacher): what is told of the problem, its sign and colour
    (True, True): ("both solve it", "o", 2),
    (False, True): ("teacher alone", "D", 1),
    (True, False): ("student alone", "^", 0),
    (False, False): ("neither", "x", 7),
}


def _scatter(
    panel: "Axes", student: Entry, teacher: Entry, lengths: dict[str, float], theirs: dict[str, float],
    handles: dict[str, Any],
) -> None:  # fmt: skip
    """Draw the problems."""
    shared = [p for p in lengths if p in theirs]
    if not shared:
        raise _nothing_shared(student)
    kinds = [tuple(bool(np.mean(e.report.values[p]) >= _SOLVED) for e in (student, teacher)) for p in shared]
    for pair, (told, sign, shade) in _SOLVERS.items():
        at = [p for p, kind in zip(shared, kinds, strict=True) if kind == pair]
        if at:
            (handles[told],) = panel.plot(
                [theirs[p] for p in at], [lengths[p] for p in at], sign, color=COLOURS[shade], markersize=4.5,
                alpha=0.8, label=told, linestyle="",
            )  # fmt: skip


def _ratio_words(student: Entry, teacher: Entry) -> str:
    (own, tokens), (other, their_tokens) = load_lengths(student), load_lengths(teacher)
    where = {p: j for j, p in enumerate(other.problem_ids)}
    pairs = [(i, where[p]) for i, p in enumerate(own.problem_ids) if p in where]
    mine, theirs = [i for i, _ in pairs], [j for _, j in pairs]
    ratio = length_ratio(
        tokens[mine].astype(np.float64), own.values[mine], their_tokens[theirs].astype(np.float64), other.values[theirs]
    )
    if ratio is None:
        return "no problem that both solve"
    return f"{length_text(ratio)} of the teacher's tokens\n({counted(ratio.clusters, 'problem')})"


def _nothing_shared(student: Entry) -> EvalkitError:
    return EvalkitError(f"The runs of {student.report.task} share no problem.", "give runs of the same problems.")


def _mean_lengths(entry: Entry) -> dict[str, float]:
    samples, tokens = load_lengths(entry)
    return dict(zip(samples.problem_ids, tokens.mean(axis=1).tolist(), strict=True))


def one_of_task(entries: Sequence[Entry], task: str | None, role: str) -> Entry:
    """The one entry of a task. Raises EvalkitError where there are several."""
    found = of_task(entries, task)
    if len(found) != 1:
        raise EvalkitError(f"The {role} has {len(found)} runs of {found[0].report.task}.", "give one run directory.")
    return found[0]
