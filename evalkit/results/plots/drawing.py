"""What all pictures share: colours, sizes, headings, labels beside what they name, and files that do not change."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.files import write_output
from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.terminal import cut_middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by people with any of the common colour blindnesses; black last, and grey in place
# of its yellow, which white paper swallows.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999", "#000000")
# of base, teacher and students wherever a picture names them; no other run of that picture has the first two
ROLE_COLOURS = {"base": COLOURS[6], "teacher": COLOURS[1], "student": COLOURS[0]}
STUDENT_COLOURS = (COLOURS[0], *COLOURS[2:6])
GREY = "#767676"  # of words that explain; 4.5:1 on white
MARKERS = "osD^vP*X"
LINES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "evalkit",
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}
_FORMS = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


@dataclass(frozen=True, slots=True)
class Look:
    """How large a picture is: `width` in inches, `font` in points. `titled`: its question stands above it."""

    name: str
    width: float
    font: float
    titled: bool


SCREEN = Look("screen", 8.0, 9.0, True)
PAPER = Look("paper", 3.35, 7.0, False)  # one column of a page of two; the caption asks the question
LOOKS = {look.name: look for look in (SCREEN, PAPER)}


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, look: Look = SCREEN, **options: Any
) -> "tuple[Figure, Any]":
    """A figure and its axes (a 2-d array), in inches, without pyplot and its global state."""
    import matplotlib
    from matplotlib.figure import Figure

    small: dict[Any, Any] = (
        {"axes.linewidth": 0.6, "grid.linewidth": 0.5, "lines.linewidth": 1.1} if look is PAPER else {}
    )
    with matplotlib.rc_context({**STYLE, "font.size": look.font, **small}):
        figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def heading(figure: "Figure", look: Look, question: str, told: str = "") -> None:
    """The question that a picture answers, in bold, and below it what is drawn: the figure's label.

    On paper they are not drawn: see `Look`.
    """
    figure.set_label(f"{question} {told}".strip().replace(r"\$", "$"))  # `label` escapes what matplotlib would set
    if not look.titled:
        return
    width, height = figure.get_size_inches()
    room = int(72 * width / (0.5 * look.font))  # characters, at half a font size each
    first = textwrap.wrap(question, int(room / 1.25))
    second = textwrap.wrap(told, room) if told else []
    size = look.font + 2
    line, small = 1.25 * size / 72 / height, 1.25 * look.font / 72 / height
    top = 1 - 0.35 * line
    figure.text(0.012, top, "\n".join(first), ha="left", va="top", fontsize=size, fontweight="bold", linespacing=1.15)
    below = top - line * len(first)
    if second:
        figure.text(0.012, below, "\n".join(second), ha="left", va="top", fontsize=look.font - 1, color=GREY)
    used = line * (len(first) + 0.5) + small * len(second)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, 1 - used))  # type: ignore[call-arg]


def line_height(look: Look, lines: int) -> float:
    """The inches of a picture with so many lines that are named at their ends, without its heading."""
    return max(0.58 * look.width, 1.7 + 1.35 * (look.font - 1) / 72 * lines)


def heading_height(look: Look, told: bool = True) -> float:
    """The inches that a heading of one line, and one or two of what is drawn, takes."""
    return (1.25 * (look.font + 2) * 1.5 + (2.5 * look.font if told else 0)) / 72 if look.titled else 0.0


def label(text: str, longest: int = 44) -> str:
    """A name from outside as plain text: matplotlib would take what stands between dollars for mathematics."""
    return cut_middle(one_line(text), longest).replace("$", r"\$")


def marker(i: int) -> str:
    """The marker of the i-th line: with its colour it is one of 64."""
    return MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]


def colour(i: int) -> str:
    """The colour of the i-th line."""
    return COLOURS[i % len(COLOURS)]


def ink(own: str) -> str:
    """A darker form of a colour, for letters."""
    parts = (int(own[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{int(0.62 * part):02x}" for part in parts)


def end_labels(axes: "Axes", ends: Sequence[tuple[float, float, str, str]], look: Look) -> None:
    """Names at the right of lines, (x, y, name, colour) of each end, moved apart where they would overlap.

    The limits of the axes have to be set before.
    """
    figure = axes.get_figure()
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[union-attr]
    height = axes.get_position().height * figure.get_size_inches()[1]  # type: ignore[union-attr]
    size = look.font - (1 if len(ends) <= 12 else 2)
    gap = 1.25 * size / 72 / max(height, 0.5)
    shares = [float(axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1]) for x, y, _, _ in ends]
    for (x, y, name, own), share in zip(ends, spread(shares, gap), strict=True):
        axes.annotate(
            name, (x, y), (1.035, share), xycoords="data", textcoords="axes fraction", va="center", ha="left",
            fontsize=size, color=ink(own),
            arrowprops={"arrowstyle": "-", "color": own, "linewidth": 0.5, "alpha": 0.7, "shrinkA": 1, "shrinkB": 2},
            annotation_clip=False,
        )  # fmt: skip


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """`positions` moved as little as possible so that any two are `gap` apart, in the same order.

    Examples:
        >>> [round(p, 3) for p in spread([0.5, 0.5, 0.9], 0.2)]
        [0.4, 0.6, 0.9]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    clusters: list[tuple[float, int]] = []  # the middle, and how many
    for i in order:
        clusters.append((positions[i], 1))
        while len(clusters) > 1:
            (low, n), (high, m) = clusters[-2:]
            if high - low >= gap * (n + m) / 2:
                break
            clusters[-2:] = [((low * n + high * m) / (n + m), n + m)]
    found = [0.0] * len(positions)
    at = iter(order)
    for middle, count in clusters:
        for k in range(count):
            found[next(at)] = middle + gap * (k - (count - 1) / 2)
    return found


_PLACES = [(dx, dy) for reach in (7, 14, 24, 36) for dx, dy in
           ((reach, 0), (-reach, 0), (0, reach), (0, -reach), (reach, reach), (-reach, reach), (reach, -reach),
            (-reach, -reach))]  # fmt: skip


def point_labels(
    axes: "Axes",
    points: Sequence[tuple[float, float, str, str]],
    look: Look,
    obstacles: Sequence[tuple[float, float]] = (),
) -> None:
    """Names beside points, (x, y, name, colour) of each, where they cover no other point, name or obstacle.

    The limits of the axes have to be set before.
    """
    figure = axes.get_figure()
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[union-attr]
    scale = 72 / figure.dpi
    size = look.font - (1 if len(points) <= 12 else 2)
    corners = axes.transAxes.transform([(0, 0), (1, 1)]) * scale
    where = [axes.transData.transform((x, y)) * scale for x, y, _, _ in points]
    taken = [(px - 4, py - 4, px + 4, py + 4) for px, py in where]
    taken += [(px - 2, py - 2, px + 2, py + 2) for px, py in
              (axes.transData.transform(place) * scale for place in obstacles)]  # fmt: skip
    ground = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    for (x, y, name, own), (px, py) in zip(points, where, strict=True):
        best: tuple[float, tuple[int, int], tuple[float, float, float, float]] | None = None
        for dx, dy in _PLACES:
            box = _text_box(px + dx, py + dy, name, size, dx)
            outside = _outside(box, corners)
            cost = sum(_overlap(box, other) for other in taken) + 20 * outside + 0.2 * (abs(dx) + abs(dy))
            if best is None or cost < best[0]:
                best = cost, (dx, dy), box
        assert best is not None
        _, (dx, dy), box = best
        taken.append(box)
        side = "left" if dx > 0 else "right" if dx < 0 else "center"
        far = abs(dx) + abs(dy) > 16
        line = {"arrowstyle": "-", "color": own, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3} if far else None
        axes.annotate(name, (x, y), (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=size,
                      color=ink(own), arrowprops=line, zorder=6, bbox=ground).set_in_layout(False)  # fmt: skip


def _text_box(x: float, y: float, text: str, size: float, side: int) -> tuple[float, float, float, float]:
    width, height = 0.56 * size * len(text), 1.2 * size
    left = x if side > 0 else x - width if side < 0 else x - width / 2
    return left, y - height / 2, left + width, y + height / 2


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _outside(box: tuple[float, float, float, float], corners: Any) -> float:
    (left, bottom), (right, top) = corners
    return float(sum(max(d, 0.0) for d in (left - box[0], box[2] - right, bottom - box[1], box[3] - top)))


def score_limits(lows: Sequence[float], highs: Sequence[float], least: float = 10.0) -> tuple[float, float]:
    """The ends of a percent axis: those of the values with some room, at least `least` apart, inside [0, 100]."""
    low, high = min(lows), max(highs)
    room = max(0.08 * (high - low), (least - (high - low)) / 2, 1.0)
    low, high = low - room, high + room
    if low < 8:
        low = min(0.0, max(low, -2.0)) if min(lows) > 1 else -2.0
    return (max(low, -2.0), min(high, 102.0))


def short(value: float) -> str:
    """`282`, `21k`, `1.5B`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:  # three digits of a smaller unit would not hold it
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def token_axis(axes: "Axes", low: float, high: float, which: str = "x", most: int = 7) -> None:
    """A logarithmic axis of tokens from `low` to `high`, with ticks such as 500, 2k and 32k."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = max(low, 1.0), max(high, 2.0)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    steps = [m * 10.0**e for e in range(8) for m in (1, 2, 5)]
    ticks = [t for t in steps if low <= t <= high]
    if len(ticks) > most:
        ticks = [t for t in ticks if str(t)[0] == "1"] if len(ticks) > 2 * most else ticks[:: -(-len(ticks) // most)]
    if len(ticks) < 3:
        ticks = [m * 10.0**e for e in range(8) for m in (1, 2, 3, 5, 7) if low <= m * 10.0**e <= high]
    if len(ticks) < 3:  # a short piece of the axis: round numbers, equally far from each other
        for many in (4, 6):
            found = MaxNLocator(many, integer=True, steps=[1, 2, 5, 10]).tick_values(low, high)
            ticks = [float(t) for t in found if low <= t <= high] if len(ticks) < 3 else ticks
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: short(value))


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG, SVG or PDF by atomic rename; the same figure gives the same bytes.

    Raises EvalkitError on another ending or where it cannot be written.
    """
    import io

    import matplotlib

    form = path.suffix.lower()[1:]
    if form not in _FORMS:
        raise EvalkitError(f"A plot cannot be written as {path.name}.", "let the file end in .png, .svg or .pdf.")
    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format=form, metadata=_FORMS[form])
    try:
        write_output(path, stream.getvalue(), durable=False)
    except OSError as error:
        raise EvalkitError(f"{path} cannot be written: {error.strerror}.", "give a folder that is writable.") from error
