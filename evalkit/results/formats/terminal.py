"""Tables for a terminal, drawn by rich: what comes from outside is literal text, never markup or control characters."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.results.formats.escaping import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

NARROWEST = 40  # columns of a terminal, below which nothing is fitted any more


@dataclass(frozen=True, slots=True)
class TextCell:
    """A cell of one or more lines. `strong`: the first line is bold; `faint`: the cell is dimmed."""

    lines: Sequence[str]
    strong: bool = False
    faint: bool = False

    @property
    def width(self) -> int:
        from rich.cells import cell_len

        return max((cell_len(one_line(line)) for line in self.lines), default=0)


@dataclass(frozen=True, slots=True)
class TextTable:
    """Heads and rows of cells; the first column is set left, the others right. `sections`: rows with a rule above."""

    heads: Sequence[TextCell]
    rows: Sequence[Sequence[TextCell]]
    sections: Sequence[int] = field(default=())

    def widths(self) -> list[int]:
        """The width of each column without the space between them."""
        return [max(cell.width for cell in column) for column in zip(self.heads, *self.rows, strict=True)]


GAP = 2  # characters between two columns


def terminal_width(width: int | None = None) -> int:
    """`width`, or that of the terminal."""
    import shutil

    return max(width or shutil.get_terminal_size((100, 24)).columns, NARROWEST)


def table_width(table: TextTable) -> int:
    """The characters that a table takes."""
    widths = table.widths()
    return sum(widths) + GAP * (len(widths) - 1)


def draw(blocks: Sequence[TextTable | str], width: int, colour: bool) -> str:
    """Tables and paragraphs, one below the other. Without `colour` there is no escape sequence in the text."""
    from rich.text import Text

    stream = io.StringIO()
    console = _console(stream, width, colour)
    for block in blocks:
        if isinstance(block, str):
            console.print(Text(one_line(block)), soft_wrap=False)
        else:
            _draw_table(console, block)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _console(stream: io.StringIO, width: int, colour: bool) -> "Console":
    from rich.console import Console

    return Console(
        file=stream,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )


def _draw_table(console: "Console", table: TextTable) -> None:
    from rich.box import Box
    from rich.table import Table

    box = Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
    drawn = Table(box=box, show_edge=False, padding=(0, GAP - 1, 0, 0), pad_edge=False, collapse_padding=True)
    for i, (head, width) in enumerate(zip(table.heads, table.widths(), strict=True)):
        side = "left" if i == 0 else "right"
        drawn.add_column(_text(head, True), justify=side, min_width=width, no_wrap=True, vertical="top")  # type: ignore[arg-type]
    for i, row in enumerate(table.rows):
        if i in table.sections and i:
            drawn.add_section()
        drawn.add_row(*(_text(cell) for cell in row))
    console.print(drawn)


def _text(cell: TextCell, heading: bool = False) -> "Text":
    from rich.text import Text

    text = Text()
    for i, line in enumerate(cell.lines):
        style = "bold" if heading or (cell.strong and i == 0) else "dim" if cell.faint or i else ""
        text.append(("\n" if i else "") + one_line(line), style)
    return text


def fold(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width`, broken after a hyphen, slash, space or underscore, or before a capital.

    Examples:
        >>> fold("DeepSeek-R1-Distill-Qwen-1.5B", 20)
        ['DeepSeek-R1-Distill-', 'Qwen-1.5B']
    """
    import re

    lines = [""]
    for piece in re.findall(r"(?:[^-/_ a-z]*[^-/_ A-Z]*)[-/_ ]?", one_line(text)):
        while len(piece) > width:
            lines[-1:] = [line for line in (lines[-1], piece[:width], "") if line or lines == [""]]
            piece = piece[width:]
        if len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines if line.strip()] or [""]


def cut_middle(text: str, longest: int) -> str:
    """`text` with its middle left out if it is longer: both ends of a name tell most.

    Examples:
        >>> cut_middle("DeepSeek-R1-Distill-Qwen-1.5B", 20)
        'DeepSeek-…-Qwen-1.5B'
    """
    text = one_line(text)
    if len(text) <= longest:
        return text
    end = longest // 2
    return text[: longest - end - 1] + "…" + text[len(text) - end :]
