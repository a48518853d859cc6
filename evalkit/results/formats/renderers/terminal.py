"""A table for a terminal: as wide as it is, in blocks of columns where it is too narrow."""

from evalkit.results.formats.table import Cell, Table
from evalkit.results.formats.terminal import (
    TextCell,
    TextTable,
    cut_middle,
    draw,
    fold,
    table_width,
    terminal_width,
)

_WIDEST_LABEL = 44
_NARROW_LABELS = (18, 14)
_MOST_LINES = 6  # of a name: what is cut from it may be what tells two models apart
_HEAD = 10  # characters of a column's head, beyond which it is folded where room is short


def render(table: Table, width: int | None = None, colour: bool = False) -> str:
    """The table with its legend and notes. Without `colour` the text has no escape sequence."""
    room = terminal_width(width)
    every = list(range(len(table.columns)))
    label, stacked, blocks = _layout(table, every, room, colour)
    drawn: list[TextTable | str] = []
    for block in blocks:
        if drawn:
            drawn.append("")
        drawn.append(_text_table(table, block, label, stacked, colour))
    notes = [f"  {note}" if colour else note for note in table.footnotes()]
    caption = table.caption if colour else table.caption.replace("bold: ", "*: ")
    return draw([*drawn, "", caption, *notes], room, colour)


def _layout(table: Table, every: list[int], room: int, colour: bool) -> tuple[int, bool, list[list[int]]]:
    """The width of the names, whether intervals stand below their figures, and the blocks of columns."""
    longest = min(max([len(row.label) for row in table.rows] + [5]), _WIDEST_LABEL)
    wide, folded = (min(longest, width) for width in _NARROW_LABELS)
    for label, stacked in ((longest, False), (wide, False), (longest, True), (wide, True), (folded, True)):
        if table_width(_text_table(table, every, label, stacked, colour)) <= room:
            return label, stacked, [every]
    blocks: list[list[int]] = [[]]
    for column in every:
        if blocks[-1] and table_width(_text_table(table, [*blocks[-1], column], folded, True, colour)) > room:
            blocks.append([])
        blocks[-1].append(column)
    return folded, True, blocks


def _text_table(table: Table, columns: list[int], label: int, stacked: bool, colour: bool) -> TextTable:
    heads = [TextCell(["model"])]
    for i in columns:
        lines = table.heads(i)
        folded = [piece for line in lines for piece in (fold(line, _HEAD) if stacked else [line])]
        heads.append(TextCell(folded))
    tallest = max(len(head.lines) for head in heads)
    heads = [TextCell([*[""] * (tallest - len(head.lines)), *head.lines]) for head in heads]
    rows: list[list[TextCell]] = []
    sections = []
    for group, members in table.groups():
        sections.append(len(rows))
        if group:
            rows.append([TextCell([cut_middle(group, label)], strong=True), *[TextCell([""])] * len(columns)])
        for row in members:
            name = fold(row.label, label)
            if len(name) > _MOST_LINES:
                name = fold(cut_middle(row.label, (_MOST_LINES - 1) * label), label)
            cells = [_cell(row.cells[i], table.verbose, stacked, colour) for i in columns]
            rows.append([TextCell(name, faint=row.published), *cells])
    return TextTable(heads, rows, sections)


def _cell(cell: Cell | None, verbose: bool, stacked: bool, colour: bool) -> TextCell:
    if cell is None:
        return TextCell(["–"], faint=True)
    lines = cell.lines(verbose)
    lines[0] += "*" if cell.best and not colour else ""
    if not stacked and len(lines) > 1:
        lines = [" ".join(lines[:2]), *lines[2:]]
    return TextCell(lines, strong=cell.best, faint=bool(cell.source))
