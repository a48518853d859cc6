"""The pictures and tables of a distillation page, of figures that were written down by hand: every place and word."""

import json
import re
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from snapshots import check

from evalkit.errors import EvalkitError
from evalkit.results import distill_words
from evalkit.results.distill_costs import Cost
from evalkit.results.distill_models import Size
from evalkit.results.distill_records import (
    Agreement,
    CleanTask,
    Distillation,
    Gap,
    Round,
    Score,
    SolvedProblem,
    SolvedSet,
    StudentDistillation,
    TaskDistillation,
    Tries,
)
from evalkit.results.fidelity import FidelityFigure, StudentFidelity
from evalkit.results.formats.distillation import html, render
from evalkit.results.formats.distillation.markdown import page_notes
from evalkit.results.formats.distillation.tables import PageTable, _clean_cells, page_tables, score_text
from evalkit.results.plots import distillation as plots
from evalkit.results.plots.drawing import LOOKS, PAPER, SCREEN, Look
from evalkit.stats import Estimate
from evalkit.stats.agreement import ErrorConsistency
from evalkit.stats.clean import CleanScore
from evalkit.stats.clustered import ClusteredMean
from evalkit.stats.passes import Crossing
from evalkit.stats.ratio import Ratio


def score(label: str, value: float, n: int | None = 4, published: bool = False) -> Score:
    return Score(label, value, 0.02, (value - 0.04, value + 0.06), n, published)


def problem(name: str) -> SolvedProblem:
    return SolvedProblem(name, 1.0, 0.5, 0.0, 0.001)


def cost(tokens: float, ratio: float | None = None, budgets: bool = True) -> Cost:
    shares = {100: 0.1, 200: 0.3, 400: 0.5} if budgets else {}
    length = ClusteredMean(ratio, 0.1, (ratio - 0.1, ratio + 0.2), 42) if ratio else None
    return Cost(
        tokens, 0.75 * tokens, 0.25 * tokens, 0.125, 2 * tokens, length, shares,
        {b: (v - 0.05, v + 0.1) for b, v in shares.items()}, (0.9 * tokens, 1.2 * tokens), (tokens, 3 * tokens),
    )  # fmt: skip


GAP = Gap(
    score("org/teacher", 0.8), score("org/base", 0.2), score("org/student", 0.5), 60, Ratio(0.3, 0.6, 0.5, (0.4, 0.65)),
    Ratio(0.3, 0.6, 0.5, (0.45, 0.55)), Ratio(0.5, 0.8, 0.625, (0.6, 0.7)), Ratio(0.5, 0.8, 0.625, (0.61, 0.66)), 500,
)  # fmt: skip
SOLVED = (
    SolvedSet("inherited", (problem("a1"), problem("a2")), 0.3, (0.2, 0.4), 0.001),
    SolvedSet("not inherited", (), 0.25, (0.15, 0.35), 0.001),
    SolvedSet("lost", (problem("b1"),), 0.05, (0.01, 0.1), 0.001),
    SolvedSet("beyond the teacher", (), 0.02, (0.0, 0.06), 0.2),
)
CURVES = {"base": (0.2, 0.3, 0.4, 0.5), "student": (0.5, 0.52, 0.54, 0.56), "teacher": (0.8, 0.82, 0.84, 0.86)}
TRIES = Tries(
    CURVES, Crossing(3.5, (2.0, None), 4), 4, (0.5, (0.4, 0.6)), (0.1, (0.05, 0.2)),
    {role: {"0.5": 0.45, "1": 0.15} for role in CURVES},
    {role: tuple((v - 0.1, v + 0.05) for v in curve) for role, curve in CURVES.items()},
    {role: {"0.5": (0.4, 0.5), "1": (0.1, 0.25)} for role in CURVES},
)  # fmt: skip
AGREEMENT = Agreement(
    ClusteredMean(0.7, 0.05, (0.6, 0.8), 60), ClusteredMean(0.3, 0.05, (0.2, 0.45), 60), None,
    ClusteredMean(0.1, 0.05, (-0.01, 0.2), 60), ErrorConsistency(0.7, (0.6, 0.8), 0.5, 0.4, (0.3, 0.5)),
    ErrorConsistency(0.4, (0.3, 0.5), 0.42, -0.02, (-0.1, 0.1)), 192, 1048,
)  # fmt: skip
TASK = TaskDistillation(
    "math500", "MATH-500", GAP, SOLVED, TRIES, AGREEMENT,
    {"student": cost(300, 1.5), "teacher": cost(200), "base": cost(100, 0.5)},
    {100: ClusteredMean(-0.1, 0.05, (-0.2, 0.0), 60), 200: ClusteredMean(0.05, 0.1, (nan, nan), 1),
     400: ClusteredMean(0.1, 0.05, (0.05, 0.15), 60)},
    ("the base's run has other settings: seed 1, not 0",),
)  # fmt: skip
OTHER_GAP = Gap(
    score("Teacher (published)", 0.6, 64, True), None, score("org/student", 0.5, 8), 1, None, None, None,
    Ratio(0.5, 0.6, 0.8333, (0.7, 0.95)), 1,
)  # fmt: skip
OTHER = TaskDistillation("aime24", "AIME 2024", OTHER_GAP, (), None, None, {"student": cost(50)}, {}, ("a note",))
BIG, SMALL, TINY = (
    Size(32_000_000_000, 64_000_000_000, 500.0, "H100"),
    Size(1_500_000_000, 3_000_000_000, 2000.0, "H100"),
    Size(1_600_000_000, None, None, None),
)
STUDENT = StudentDistillation("org/student", "student", SMALL, (TASK,), None, None)
ONE = Distillation("teacher", "base", BIG, TINY, (STUDENT,), (), ("a run was left out",), ("It is so.",), ("More.",))
SECOND = StudentDistillation("org/second", "second", Size(None, None, None, None), (TASK, OTHER), None, None)
TWO = replace(ONE, students=(STUDENT, SECOND))


def described(figure: Figure) -> str:
    """All that a picture shows and how: words with their places and sizes, lines, bars, bands, limits, ticks."""
    lines = [f"size {numbers(figure.get_size_inches())}"]
    for text in figure.texts:
        lines.append(
            f"text {numbers(text.get_position())} {text.get_fontsize():g}: {' '.join(text.get_text().split())}"
        )
    for legend in figure.legends:
        shape: Any = legend
        font = legend.get_texts()[0].get_fontsize()
        shown = " | ".join(text.get_text() for text in legend.get_texts())
        lines.append(f"legend of {shape._ncols} {font:g} {shape._outside_loc} {legend.get_frame_on()}: {shown}")
    for panel in figure.axes:
        lines.append(f"panel {panel.get_xscale()} {panel.get_yscale()} {numbers(panel.get_xlim(), panel.get_ylim())}")
        for where, axis in (("x", panel.xaxis), ("y", panel.yaxis)):
            names = [label.get_text() for label in axis.get_ticklabels()]
            size = axis.label.get_fontsize()
            lines.append(f" {where} {axis.label.get_text()!r} {size:g} at {numbers(axis.get_ticklocs())}: {names}")
            grid = axis.get_gridlines()
            lines.append(f"  grid {grid[0].get_visible() if grid else None}, minor {len(axis.get_minorticklocs())}")
        for side in ("center", "left"):
            if title := panel.get_title(loc=side):
                lines.append(f" title {side} {title!r}")
        written: Any = panel.texts
        for text in written:
            at = getattr(text, "xy", None)
            lines.append(
                f" words {text.get_text()!r} {text.get_fontsize():g} {text.get_ha()} {text.get_va()} "
                f"{text.get_color()} {numbers(text.get_position())}" + (f" of {numbers(at)}" if at is not None else "")
            )
        drawn_lines: Any = panel.lines
        for line in drawn_lines:
            place = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
            lines.append(
                f" line {line.get_linestyle()} {line.get_linewidth():g} {line.get_marker()} {line.get_markersize():g} "
                f"{line.get_color()} {line.get_markerfacecolor()} {line.get_alpha()} {line.get_zorder():g} "
                f"{line.get_solid_capstyle()} {line.get_markevery()}: {numbers(*place)}"
            )
        for patch in panel.patches:
            if isinstance(patch, Rectangle) and patch.get_height() == 0:
                continue
            corners: Any = patch.get_extents().transformed(panel.transData.inverted()).get_points()
            look = f"{patch.get_alpha()} {numbers(patch.get_facecolor())} {patch.get_hatch()} {patch.get_linewidth():g}"
            lines.append(f" patch {type(patch).__name__} {look}: {numbers(*corners)}")
        for one in panel.collections:
            paths = one.get_paths()
            outline: Any = paths[0].vertices if paths else []
            drawn = f"{numbers(one.get_edgecolor())} {numbers(one.get_facecolor())} {one.get_alpha()}"
            lines.append(
                f" {type(one).__name__} {numbers(one.get_linewidth())} {drawn} {one.zorder:g}: "
                + numbers(*np.asarray(outline).tolist())
            )
        for image in panel.images:
            cells: Any = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
            lines.append(f" image {image.get_cmap().name} {numbers(image.get_clim())}: {numbers(*cells)}")
        if own := panel.get_legend():
            lines.append(f" legend {[text.get_text() for text in own.get_texts()]} {own.get_frame_on()}")
    return "\n".join(lines)


def numbers(*rows: Any) -> str:
    return ", ".join(
        "(" + " ".join(f"{round(float(v), 9) + 0.0:.4g}" for v in np.asarray(row).ravel()) + ")" for row in rows
    )


def ticks(figure: Figure, which: str = "y", panel: int = 0) -> list[tuple[float, str]]:
    axis = getattr(figure.axes[panel], f"{which}axis")
    at = [float(v) for v in axis.get_ticklocs()]
    return list(zip(at, [label.get_text() for label in axis.get_ticklabels()], strict=True))


def test_solved_sets_of_one_benchmark_stand_below_each_other() -> None:
    figure = plots.solved_picture([(STUDENT, TASK)])
    axes = figure.axes[0]
    assert ticks(figure) == [(0, "inherited"), (-1, "not inherited"), (-2, "lost"), (-3, "beyond the teacher")]
    bars: Any = axes.patches
    assert [bar.get_width() for bar in bars] == pytest.approx([30, 25, 5, 2])
    assert [bar.get_y() + bar.get_height() / 2 for bar in bars] == pytest.approx([0, -1, -2, -3])
    assert [bar.get_height() for bar in bars] == pytest.approx([0.62] * 4)
    assert [t.get_text() for t in axes.texts] == ["2 listed", "none listed", "1 listed", "none listed"]
    assert [[float(x) for x in np.asarray(line.get_xdata())] for line in axes.lines] == [
        pytest.approx(ends) for ends in ([20, 40], [15, 35], [1, 10], [0, 6])
    ]
    assert axes.get_xlabel() == "percent of problems (60 of 500 problems, n = 4); 95%, over problems"
    assert tuple(figure.get_size_inches()) == pytest.approx((4.8, 0.9 + 0.3 * 4))


def test_solved_sets_of_two_benchmarks_stand_apart() -> None:
    figure = plots.solved_picture([(STUDENT, TASK), (SECOND, replace(TASK, solved=SOLVED[1:3])), (SECOND, OTHER)])
    assert [at for at, _ in ticks(figure)] == [0, -1, -2, -3, -4, -5.5, -6.5, -7.5]
    names = [name for _, name in ticks(figure)]
    assert names[0] == "student, MATH-500\n60 of 500 problems, n = 4"
    assert names[5:] == ["second, MATH-500\n60 of 500 problems, n = 4", "not inherited", "lost"]
    assert figure.axes[0].get_xlabel() == "percent of problems; 95%, over problems"
    assert tuple(figure.get_size_inches()) == pytest.approx((4.8, 0.9 + 0.3 * (5.5 + 3.5)))


def test_the_score_picture_has_a_row_for_each_benchmark() -> None:
    figure = plots.score_picture([(STUDENT, TASK), (SECOND, OTHER)])
    assert ticks(figure) == [
        (0, "student, MATH-500\n60 of 500 problems, n = 4"), (-1, "second, AIME 2024\n1 problem, n = 8"),
    ]  # fmt: skip
    axes = figure.axes[0]
    assert axes.get_ylim() == (-1.6, 0.7)
    assert axes.get_xlim() == pytest.approx((5, 95))  # a quarter of 20 to 80 at either side
    assert axes.get_xlabel() == (
        "pass@1 (percent); bars: 95%, run to run; hollow: published, of its own n\ngap recovered: 95%, over problems"
    )
    assert [t.get_text() for t in axes.texts] == ["gap recovered: 50% [40, 65]"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["base", "teacher", "student"]


@pytest.mark.parametrize(
    ("values", "limits"),
    [((0.5, 0.5, 0.5), (46, 54)), ((0.02, 0.03, 0.01), (0, 7)), ((0.99, 0.98, 1.0), (94, 101.5))],
)
def test_the_score_axis_has_room_within_its_ends(values: Any, limits: Any) -> None:
    base, student, teacher = (score("m", v) for v in values)
    task = replace(TASK, gap=replace(GAP, base=base, student=student, teacher=teacher))
    assert plots.score_picture([(STUDENT, task)]).axes[0].get_xlim() == pytest.approx(limits)


@pytest.mark.parametrize("look", [None, SCREEN, PAPER], ids=lambda look: look.name if look else "page")
def test_the_score_picture(look: Look | None) -> None:
    name = look.name if look else "page"
    check(
        f"report/pictures/hand-made gap {name}.txt",
        described(plots.score_picture([(STUDENT, TASK), (SECOND, OTHER)], look)),
    )


@pytest.mark.parametrize("look", [None, *LOOKS.values()], ids=lambda look: look.name if look else "page")
def test_the_tries_picture(look: Look | None) -> None:
    name = look.name if look else "page"
    check(f"report/pictures/hand-made tries {name}.txt", described(plots.tries_picture([(STUDENT, TASK)], False, look)))


@pytest.mark.parametrize("samples", [8, 9, 16])
def test_tries_are_ticked_one_by_one_up_to_eight(samples: int) -> None:
    curve = tuple(0.5 for _ in range(samples))
    ends = tuple((0.4, 0.6) for _ in range(samples))
    tries = replace(TRIES, curves={"student": curve}, intervals={"student": ends}, crossing=None)
    figure = plots.tries_picture([(SECOND, replace(TASK, tries=tries))], True)
    expected = list(range(1, 9)) if samples == 8 else [1, 2, 4, 8] if samples == 9 else [1, 2, 4, 8, 16]
    assert ticks(figure, "x") == [(k, str(k)) for k in expected]
    assert figure.axes[0].lines[0].get_markevery() == [k - 1 for k in expected]
    assert figure.axes[0].get_title().startswith("second, MATH-500\n60 of 500 problems, n = 4; bands: 95%")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["student"]


@pytest.mark.parametrize(
    ("crossing", "band"),
    [
        (Crossing(3.5, (2.0, None), 4), (2, 4)),
        (Crossing(2.0, (None, 3.0), 4), (1, 3)),
        (Crossing(None, (2.0, 3.0), 4), None),
        (Crossing(2.0, None, 4), None),
        (Crossing(2.0, (None, None), 4), None),
        (None, None),
    ],
)
def test_a_crossing_is_drawn_where_something_is_known_of_it(crossing: Crossing | None, band: Any) -> None:
    figure = plots.tries_picture([(STUDENT, replace(TASK, tries=replace(TRIES, crossing=crossing)))], False)
    axes = figure.axes[0]
    spans: Any = axes.patches
    assert [(s.get_x(), s.get_x() + s.get_width()) for s in spans] == ([band] if band else [])
    shown = [t.get_text() for t in figure.legends[0].get_texts()]
    assert shown == ["base", "student", "teacher", *(["crossing, 95%"] if band else [])]
    assert len(axes.lines) == (4 if band else 3)


def test_the_picture_of_solved_sets() -> None:
    check("report/pictures/hand-made solved.txt", described(plots.solved_picture([(STUDENT, TASK), (SECOND, TASK)])))


def test_the_picture_of_costs() -> None:
    pairs = [(s, t) for s in TWO.students for t in s.tasks]
    check("report/pictures/hand-made costs.txt", described(plots.cost_picture(TWO, pairs)))
    many = replace(TWO, students=tuple(replace(STUDENT, label=f"s{i}", size=TINY) for i in range(4)))
    check("report/pictures/hand-made costs of many.txt", described(plots.cost_picture(many, pairs[:1])))


def test_a_point_in_the_right_half_is_named_at_its_left() -> None:
    axes = plots.cost_picture(TWO, [(STUDENT, TASK)]).axes[-1]
    named: Any = axes.texts
    assert [(t.get_text(), t.get_position(), t.get_ha(), t.xy) for t in named] == [
        ("student", (7, -11), "left", (1.5e9, 50)),
        ("base", (7, -11), "left", (1.6e9, 20)),
        ("teacher", (-7, -11), "right", (32e9, 80)),
    ]
    assert [float(x) for x in axes.xaxis.get_majorticklocs()] == [1.5e9, 32e9], "1.6B would cover 1.5B"
    assert axes.get_title() == "mean of 2 benchmarks; error bars: in the first picture"
    front = axes.lines[0]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([1.5e9, 32e9], [50, 80])  # type: ignore[arg-type]


def titles(found: Distillation) -> list[str]:
    return [title for title, _ in plots.pictures(found)]


def test_a_page_has_the_pictures_that_there_is_data_for() -> None:
    first = "Base, student and teacher, with the gap recovered"
    solved = "Problems by who solves them, expected in one try each"
    assert titles(ONE) == [first, "Problems solved in k tries", solved, "Accuracy at equal budgets, and against size"]
    bare = replace(TASK, tries=None, solved=(), costs={"student": cost(10, budgets=False)})
    assert titles(replace(ONE, students=(replace(STUDENT, tasks=(bare,)),))) == [first]
    unknown = Size(None, None, None, None)
    without = replace(ONE, base_size=None, teacher_size=unknown)
    assert titles(without)[-1] == "Accuracy at equal budgets", "one size is no comparison"


def test_of_more_than_four_benchmarks_the_first_four_are_drawn() -> None:
    tasks = tuple(replace(TASK, task=f"t{i}", title=f"T{i}", solved=()) for i in range(5))
    found = replace(ONE, students=(replace(STUDENT, tasks=tasks, size=TINY),), base_size=None, teacher_size=TINY)
    made = plots.pictures(found)
    assert [title for title, _ in made][1:] == [
        "Problems solved in k tries, the first 4 of 5",
        "Accuracy at equal budgets, the first 4 of 5, and against size",
    ]
    assert [len(figure.axes) for _, figure in made] == [1, 4, 5]
    four = replace(found, students=(replace(STUDENT, tasks=tasks[:4], size=TINY),))
    assert titles(four)[1] == "Problems solved in k tries"


@pytest.mark.parametrize("ending", ["md", "tex", "json"])
def test_a_page(ending: str) -> None:
    check(f"report/hand-made distillation.{ending}", render(full(), ending))


def full() -> Distillation:
    """Every table has rows."""
    listed = tuple(problem(f"p{i}") for i in range(14))
    sets = (replace(SOLVED[0], listed=listed), *SOLVED[1:])
    figures = (
        FidelityFigure("kl_forward@1", "all", 0.125, "nats", 5000, 60, 0.01, (0.1, 0.15)),
        FidelityFigure("top1_agreement", "all", 0.9, "share", 5000, 60, 0.01, (0.88, 0.92)),
        FidelityFigure("top1_agreement", "thinking", 0.8, "share", 4000, 60),
    )
    fidelity = StudentFidelity("org/student", "f", 60, 58, "its tokens differ", ("a text is too long",), figures)
    first = replace(
        STUDENT, tasks=(replace(TASK, solved=sets), OTHER), overall=Ratio(0.3, 0.6, 0.5, (0.4, 0.6)), fidelity=fidelity
    )
    rounds = (
        Round("math500", "MATH-500", "base", "student", 0.3, (0.2, 0.4), (0.1, 0.5), 0.0004),
        Round("math500", "MATH-500", "student", "second", -0.05, (-0.1, 0.0), (-0.15, 0.05), 0.2),
    )
    half, less = (Estimate(v, 0.02, 0.05, (v - 0.05, v + 0.05), (v - 0.1, v + 0.1), 60, 4) for v in (0.5, 0.46))
    clean = CleanTask(
        5,
        {
            "base": CleanScore(half, None, 60, None, None, None),
            "student": CleanScore(half, less, 5, -0.04, (-0.06, -0.02), (-0.07, 0.01)),
        },
        Ratio(0.3, 0.6, 0.5, (0.4, 0.6)),
    )
    second = replace(SECOND, tasks=(replace(TASK, clean=clean), OTHER))
    found = replace(TWO, students=(first, second), rounds=rounds)
    told, more = distill_words.verdict(found)
    return replace(found, verdict=tuple(told), details=tuple(more))


@pytest.mark.parametrize("missing", ["clean", "difference", "interval_problems"])
def test_a_clean_score_that_lacks_a_part_has_no_figures(missing: str) -> None:
    some = Estimate(0.5, 0.02, 0.05, (0.45, 0.55), (0.4, 0.6), 60, 4)
    whole = CleanScore(some, some, 5, -0.04, (-0.06, -0.02), (-0.07, 0.01))
    assert _clean_cells(whole) == ("50.0%", "50.0%", "5", "−4.0 [−7.0, +1.0]")
    lacking: Any = {missing: None}
    assert _clean_cells(replace(whole, **lacking)) == ("50.0%", "–", "5", "–")


def test_an_unknown_format_of_a_page_is_refused() -> None:
    with pytest.raises(EvalkitError) as refused:
        render(ONE, "docx")
    assert refused.value.message == "A distillation page cannot be written as .docx."
    assert refused.value.hint == "let the file end in .html, .md, .tex, .json."


def test_notes_of_a_page_come_once_each_with_their_place() -> None:
    assert page_notes(full()) == [
        "a run was left out",
        "student, MATH-500: the base's run has other settings: seed 1, not 0",
        "student, AIME 2024: a note",
        "student, fidelity: a text is too long",
        "second, MATH-500: the base's run has other settings: seed 1, not 0",
        "second, AIME 2024: a note",
    ]


def test_tables_without_rows_are_left_out() -> None:
    assert [table.heading for table in page_tables(ONE)] == [
        "How much of the gap is closed", "What was learnt and what was lost", "Sharper or wider",
        "Agreement with the teacher beyond accuracy", "What an answer costs", "At equal budgets", "What was compressed",
    ]  # fmt: skip
    bare = replace(ONE, students=(replace(SECOND, tasks=(OTHER,)),), teacher_size=SECOND.size, base_size=None)
    assert [table.heading for table in page_tables(bare)] == ["How much of the gap is closed", "What an answer costs"]


def test_columns_of_words_are_those_with_a_long_cell() -> None:
    table = PageTable("", "", ("", "a", "b", "c"), (("x" * 99, "y" * 34, "z" * 35, ""), ("", "", "", "w" * 40)))
    assert table.word_columns == {2, 3}


def test_a_score_has_its_half_widths() -> None:
    assert score_text(None) == "–"
    assert score_text(Score("m", 0.5, 0.02, (0.46, 0.54), 4, False)) == "50.0% ±4.0"
    assert score_text(Score("m", 0.5, 0.02, (0.46, 0.54), 4, True)) == "50.0% ±4.0†"
    assert score_text(Score("m", 0.0, 0.02, (0.0, 0.153), 4, False)) == "0.0% +15.3 −0.0"


def drawn_once(found: Distillation) -> Distillation:
    """With the first picture alone: the others have no data."""

    def bare(task: TaskDistillation) -> TaskDistillation:
        costs = {role: replace(one, budgets={}, budget_intervals={}) for role, one in task.costs.items()}
        return replace(task, tries=None, solved=(), costs=costs, budgets={})

    students = tuple(replace(s, tasks=tuple(map(bare, s.tasks))) for s in found.students)
    return replace(found, students=students)


def test_the_html_page() -> None:
    text = html.fragment(drawn_once(full()))
    assert text.count("data:image/svg+xml;base64,") == 2, "one for each ink"
    check("report/hand-made distillation.html", re.sub(r"data:image/svg[^\"]+", "data:", text))


def test_the_html_page_without_base_notes_and_details() -> None:
    task = replace(TASK, notes=())
    found = replace(ONE, base=None, notes=(), details=(), students=(replace(STUDENT, tasks=(task,)),))
    text = html.fragment(drawn_once(found))
    assert '<p class="roles">teacher: teacher</p>' in text
    assert "<footer>" not in text
    assert "<details>" not in text
    whole = html.render(drawn_once(found))
    assert "<title>Distillation: student</title>" in whole
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in whole


def test_json_has_null_for_what_is_not_finite() -> None:
    read = json.loads(render(ONE, "json"))
    assert read["schema"] == 1
    assert read["students"][0]["tasks"][0]["budgets"]["200"]["interval"] == [None, None]
