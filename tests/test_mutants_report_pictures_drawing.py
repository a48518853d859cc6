"""What all pictures share, held to values that were worked out by hand: limits, ticks, sizes, places of names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import EvalkitError
from evalkit.results.plots import drawing
from evalkit.results.plots.drawing import PAPER, SCREEN, Look


@pytest.mark.parametrize(
    ("lows", "highs", "limits"),
    [
        ((50,), (50,), (45, 55)),  # at least 10 apart
        ((50,), (60,), (49, 61)),  # 1 of room at least
        ((20,), (80,), (15.2, 84.8)),  # 8% of room
        ((70, 40), (50, 90), (36, 94)),  # of all the values
        ((9,), (20,), (8, 21)),  # from 8 on the axis need not begin at 0
        ((9,), (30,), (0, 31.68)),
        ((2,), (12,), (0, 13)),
        ((3,), (5,), (-1, 9)),
        ((1.5,), (3,), (-2, 7.25)),
        ((1,), (11,), (-2, 12)),  # a dot at 0 or 1 is drawn whole
        ((0,), (50,), (-2, 54)),
        ((-10,), (50,), (-2, 54.8)),
        ((95,), (100,), (92.5, 102)),
        ((100,), (100,), (95, 102)),
        ((89,), (99,), (88, 100)),
    ],
)
def test_the_ends_of_a_percent_axis(lows: Any, highs: Any, limits: Any) -> None:
    assert drawing.score_limits(lows, highs) == pytest.approx(limits)


def test_the_ends_of_a_percent_axis_are_as_far_apart_as_asked() -> None:
    assert drawing.score_limits([50], [50], least=20) == (40, 60)
    assert drawing.score_limits([50], [50], least=1) == (49, 51)


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (100, 1000, 7, [100, 200, 500, 1000]),
        (100, 500, 7, [100, 200, 500]),
        (1, 100, 7, [1, 2, 5, 10, 20, 50, 100]),  # seven are not too many
        (1, 1000, 7, [1, 5, 20, 100, 500]),  # every second one
        (1, 20000, 7, [1, 5, 20, 100, 500, 2000, 10000]),
        (1, 50000, 7, [1, 10, 100, 1000, 10000]),  # powers of ten
        (1, 1000, 4, [1, 10, 100, 1000]),
        (150, 350, 7, [150, 200, 250, 300, 350]),  # too few steps of 1, 2, 5
        (300, 450, 7, [300, 350, 400, 450]),  # too few of any
        (0.2, 1.5, 7, [1, 2]),  # there is no token before the first
        (1e7, 5e7, 7, [1e7, 2e7, 5e7]),
    ],
)
@pytest.mark.parametrize("which", ["x", "y"])
def test_the_ticks_of_a_token_axis(low: float, high: float, most: int, ticks: list[float], which: str) -> None:
    _, grid = drawing.new_figure(4, 3)
    axes = grid[0, 0]
    before = axes.get_ylim() if which == "x" else axes.get_xlim()
    drawing.token_axis(axes, low, high, which, most)
    axis = axes.xaxis if which == "x" else axes.yaxis
    assert axis.get_scale() == "log"
    assert list(axis.get_majorticklocs()) == ticks
    assert list(axis.get_minorticklocs()) == []
    limits = axes.get_xlim() if which == "x" else axes.get_ylim()
    assert limits == pytest.approx((max(low, 1), max(high, 2)))
    other = axes.yaxis if which == "x" else axes.xaxis
    assert other.get_scale() == "linear"
    assert (axes.get_ylim() if which == "x" else axes.get_xlim()) == before
    assert axis.get_major_formatter()(2000, 0) == "2k"


def test_a_token_axis_is_that_of_x_with_seven_ticks_unless_told_otherwise() -> None:
    _, grid = drawing.new_figure(4, 3)
    drawing.token_axis(grid[0, 0], 1, 100)
    assert grid[0, 0].get_xscale() == "log"
    assert len(grid[0, 0].xaxis.get_majorticklocs()) == 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (282, "282"), (999, "999"), (999.4, "999"), (999.7, "1k"), (1000, "1k"), (1500, "1.5k"),
        (21_000, "21k"), (32_768, "32.8k"), (999_400, "999k"), (999_700, "1M"), (1e6, "1M"), (1.5e9, "1.5B"),
        (999_900_000, "1B"), (671e9, "671B"),
    ],
)  # fmt: skip
def test_large_numbers_are_short(value: float, text: str) -> None:
    assert drawing.short(value) == text


def test_heights_follow_lines_and_headings() -> None:
    assert drawing.line_height(SCREEN, 10) == pytest.approx(4.64)  # 0.58 of 8 inches
    assert drawing.line_height(SCREEN, 30) == pytest.approx(1.7 + 0.15 * 30)
    assert drawing.line_height(PAPER, 2) == pytest.approx(1.943)
    assert drawing.line_height(PAPER, 10) == pytest.approx(1.7 + 0.1125 * 10)
    assert drawing.heading_height(SCREEN) == pytest.approx((1.25 * 11 * 1.5 + 2.5 * 9) / 72)
    assert drawing.heading_height(SCREEN, told=False) == pytest.approx(1.25 * 11 * 1.5 / 72)
    assert drawing.heading_height(PAPER) == 0


def test_the_looks() -> None:
    assert {"screen": Look("screen", 8.0, 9.0, True), "paper": Look("paper", 3.35, 7.0, False)} == drawing.LOOKS


def test_colours_and_markers_come_again_together_after_64() -> None:
    pairs = [(drawing.marker(i), drawing.colour(i)) for i in range(64)]
    assert len(set(pairs)) == 64
    assert "".join(drawing.marker(i) for i in range(10)) == "osD^vP*XsD"
    assert drawing.colour(9) == drawing.colour(1) == "#E69F00"
    assert drawing.ink("#0072B2") == "#00466e"
    assert drawing.ink("#FFFFFF") == "#9e9e9e"


def test_roles_have_colours_that_no_other_student_has() -> None:
    assert drawing.ROLE_COLOURS == {"base": "#999999", "teacher": "#E69F00", "student": "#0072B2"}
    assert drawing.STUDENT_COLOURS == ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")


def test_names_are_plain_text_of_a_limited_length() -> None:
    assert drawing.label("a $x$ b") == r"a \$x\$ b"
    assert drawing.label("x" * 44) == "x" * 44
    assert drawing.label("x" * 45) == "x" * 21 + "…" + "x" * 22
    assert drawing.label("abcdefgh", 5) == "ab…gh"


@pytest.mark.parametrize(
    ("positions", "gap", "moved"),
    [
        ([], 0.3, []),
        ([0.0, 1.0], 1.0, [0.0, 1.0]),  # just far enough
        ([0.6, 0.5], 0.3, [0.7, 0.4]),
        ([0.0, 0.5, 0.6], 0.3, [0.0, 0.4, 0.7]),
        ([0.2, 0.5, 0.6], 0.3, [0.1 + 0.1 / 3, 0.4 + 0.1 / 3, 0.7 + 0.1 / 3]),
        ([0.5] * 4, 0.2, [0.2, 0.4, 0.6, 0.8]),
        ([0.0, 0.0, 0.35, 0.35], 0.2, [-0.125, 0.075, 0.275, 0.475]),
    ],
)
def test_names_are_moved_apart_as_little_as_possible(positions: list[float], gap: float, moved: list[float]) -> None:
    assert drawing.spread(positions, gap) == pytest.approx(moved)


def test_a_figure_has_the_size_and_the_type_of_its_look() -> None:
    figure, grid = drawing.new_figure(6, 2, 2, 3, PAPER)
    assert grid.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (6, 2)
    assert figure.dpi == 160
    panel = grid[0, 0]
    assert panel.xaxis.label.get_fontsize() == 7
    assert panel.spines["left"].get_linewidth() == 0.6
    assert [panel.spines[side].get_visible() for side in ("top", "right", "left", "bottom")] == [
        False, False, True, True,
    ]  # fmt: skip
    gridline = panel.xaxis.get_gridlines()[0]
    assert (gridline.get_visible(), gridline.get_alpha(), gridline.get_linewidth()) == (True, 0.3, 0.5)
    assert panel.get_axisbelow() is True
    _, screen = drawing.new_figure(6, 2)
    assert screen.shape == (1, 1)
    assert screen[0, 0].xaxis.label.get_fontsize() == 9
    assert screen[0, 0].spines["left"].get_linewidth() == 0.8
    shared = drawing.new_figure(6, 2, 2, sharex=True)[1]
    assert shared[0, 0].get_shared_x_axes().joined(shared[0, 0], shared[1, 0])


def test_a_heading_asks_and_tells_above_the_picture() -> None:
    figure, _ = drawing.new_figure(8, 4)
    drawing.heading(figure, SCREEN, "Is it so?", "word " * 60)
    line, small = 1.25 * 11 / 72 / 4, 1.25 * 9 / 72 / 4
    first, second = figure.texts
    assert (first.get_text(), first.get_fontsize(), first.get_fontweight()) == ("Is it so?", 11, "bold")
    assert first.get_position() == pytest.approx((0.012, 1 - 0.35 * line))
    assert second.get_position() == pytest.approx((0.012, 1 - 1.35 * line))
    assert (second.get_fontsize(), second.get_color()) == (8, drawing.GREY)
    assert [len(row) for row in second.get_text().split("\n")] == [124, 124, 49]  # 128 letters have room
    assert [(t.get_horizontalalignment(), t.get_verticalalignment()) for t in figure.texts] == [("left", "top")] * 2
    engine: Any = figure.get_layout_engine()
    assert engine.get()["rect"] == pytest.approx((0, 0, 1, 1 - 1.5 * line - 3 * small))


def test_a_long_question_takes_two_lines_and_nothing_told_takes_none() -> None:
    figure, _ = drawing.new_figure(8, 4)
    drawing.heading(figure, SCREEN, "word " * 30)
    line = 1.25 * 11 / 72 / 4
    (question,) = figure.texts
    assert [len(row) for row in question.get_text().split("\n")] == [99, 49]  # 102 letters in bold
    engine: Any = figure.get_layout_engine()
    assert engine.get()["rect"] == pytest.approx((0, 0, 1, 1 - 2.5 * line))


def test_there_is_no_heading_on_paper() -> None:
    figure, _ = drawing.new_figure(3, 2, look=PAPER)
    drawing.heading(figure, PAPER, "Is it so?", "told")
    assert figure.texts == []


def limited(width: float = 5, height: float = 4) -> tuple[Any, Any]:
    figure, grid = drawing.new_figure(width, height)
    grid[0, 0].set_xlim(0, 1)
    grid[0, 0].set_ylim(0, 1)
    return figure, grid[0, 0]


def test_names_at_the_ends_of_lines_are_beside_them_and_apart() -> None:
    figure, axes = limited()
    drawing.end_labels(axes, [(1, 0.2, "a", "#0072B2"), (1, 0.8, "b", "#E69F00"), (1, 0.8, "c", "#000000")], SCREEN)
    a, b, c = axes.texts
    height = axes.get_position().height * 4
    gap = 1.25 * 8 / 72 / height
    assert [t.get_position()[0] for t in axes.texts] == [1.035] * 3
    assert [t.get_position()[1] for t in axes.texts] == pytest.approx([0.2, 0.8 - gap / 2, 0.8 + gap / 2], abs=1e-9)
    assert [t.xy for t in axes.texts] == [(1, 0.2), (1, 0.8), (1, 0.8)]
    assert [(t.get_text(), t.get_color(), t.get_fontsize()) for t in (a, b, c)] == [
        ("a", "#00466e", 8), ("b", "#8e6200", 8), ("c", "#000000", 8),
    ]  # fmt: skip
    assert {(t.get_ha(), t.get_va(), t.get_annotation_clip()) for t in axes.texts} == {("left", "center", False)}
    assert figure.texts == []


@pytest.mark.parametrize(("count", "size"), [(12, 8), (13, 7)])
def test_many_names_are_smaller(count: int, size: float) -> None:
    _, axes = limited()
    drawing.end_labels(axes, [(1, i / count, "a", "#000000") for i in range(count)], SCREEN)
    assert {t.get_fontsize() for t in axes.texts} == {size}
    drawing.point_labels(axes, [(i / count, 0.5, "a", "#000000") for i in range(count)], SCREEN)
    assert axes.texts[-1].get_fontsize() == size


def places(axes: Any) -> list[tuple[str, tuple[float, float], str, bool]]:
    """Of each name: where it stands beside its point, in points, how it is set, and whether a line leads to it."""
    return [(t.get_text(), t.get_position(), t.get_ha(), t.arrow_patch is not None) for t in axes.texts]


def test_names_beside_points_cover_nothing() -> None:
    _, axes = limited()
    drawing.point_labels(axes, [(0.5, 0.5, "middle", "#000000"), (0.99, 0.2, "at the right end", "#0072B2")], SCREEN)
    assert places(axes) == [("middle", (7, 0), "left", False), ("at the right end", (-7, 0), "right", False)]
    assert [t.xy for t in axes.texts] == [(0.5, 0.5), (0.99, 0.2)]
    assert [t.get_color() for t in axes.texts] == ["#000000", "#00466e"]
    assert [(t.get_va(), t.zorder, t.get_in_layout()) for t in axes.texts] == [("center", 6, False)] * 2


def test_a_name_makes_way_for_what_is_drawn_at_the_right() -> None:
    _, axes = limited()
    drawing.point_labels(axes, [(0.5, 0.5, "ab", "#000000")], SCREEN, [(0.5 + 0.01 * i, 0.5) for i in range(1, 10)])
    assert places(axes) == [("ab", (-7, 0), "right", False)]


def test_a_name_in_a_corner_stays_inside() -> None:
    _, axes = limited()
    drawing.point_labels(axes, [(0, 0, "ab", "#000000"), (1, 1, "ab", "#000000")], SCREEN)
    assert places(axes) == [("ab", (7, 7), "left", False), ("ab", (-7, -7), "right", False)]


def test_a_name_far_from_its_point_is_led_to() -> None:
    _, axes = limited()
    around = np.arange(-0.05, 0.051, 0.01)
    obstacles = [(0.5 + float(x), 0.5 + float(y)) for x in around for y in around]
    drawing.point_labels(axes, [(0.5, 0.5, "abcd", "#0072B2")], SCREEN, obstacles)
    ((_, (dx, dy), _, led),) = places(axes)
    assert abs(dx) + abs(dy) > 16
    assert led
    assert axes.texts[0].arrow_patch.get_edgecolor()[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))


def test_a_plot_is_written_as_one_of_three_formats(tmp_path: Path) -> None:
    figure, _ = drawing.new_figure(1, 1)
    with pytest.raises(EvalkitError) as refused:
        drawing.save(figure, tmp_path / "a.jpeg")
    assert refused.value.message == "A plot cannot be written as a.jpeg."
    assert refused.value.hint == "let the file end in .png, .svg or .pdf."
    assert list(tmp_path.iterdir()) == []


def test_a_plot_s_ending_may_be_of_capitals(tmp_path: Path) -> None:
    figure, _ = drawing.new_figure(1, 1)
    drawing.save(figure, tmp_path / "a.SVG")
    assert b"<svg" in (tmp_path / "a.SVG").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.SVG").read_bytes()


def test_a_plot_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    figure, _ = drawing.new_figure(1, 1)
    with pytest.raises(EvalkitError) as refused:
        drawing.save(figure, tmp_path / "file" / "a.svg")
    assert refused.value.message.startswith(f"{tmp_path / 'file' / 'a.svg'} cannot be written: ")
    assert refused.value.hint == "give a folder that is writable."
