"""The notes of a table: those that tell of rows and columns that it shows, each with the mark that points to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evalkit.results.formats.table import Cell, Row, Table, is_mark, joined_marks, mark, split_marks
from evalkit.results.published import load_published, model_key, published_names

_MOST_REMARKS = 20
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Note:
    """A note, and what it tells of: cells that have its `mark`, columns, published figures of a source, or a cell.

    `columns` are positions, and `cell` those of a row and a column. A note without any of them is of the whole table.
    """

    text: str
    mark: str = ""
    columns: tuple[int, ...] = ()
    source: str = ""
    cell: tuple[int, int] | None = None


def finished(table: Table) -> Table:
    """`table` with the marks and notes of what it shows, after its rows and columns were chosen.

    A published figure whose n is not that of the column's head is marked, unless the table is verbose and tells each n.
    """
    table = with_marks(table)
    return replace(table, notes=[note.text for note in notes_of(table)])


def with_marks(table: Table) -> Table:
    """`table` with the marked notes that a cell points to and no others, and with marks in order."""
    table = table if table.verbose else _with_published_n(table)
    used = {sign for _, cell in _cells(table.rows) for sign in split_marks(cell.mark)}
    marked = [sign for sign in map(_mark_of, table.notes) if sign in used]
    signs = {sign: mark(number) for number, sign in enumerate(marked)}
    notes = []
    for note in table.notes:
        sign = _mark_of(note)
        if not sign or sign in signs:
            notes.append(f"{signs[sign]}{note[len(sign) :]}" if sign else note)

    def marked_anew(cell: Cell | None) -> Cell | None:
        return cell and replace(cell, mark=joined_marks(signs[sign] for sign in split_marks(cell.mark)))

    rows = [replace(row, cells=[marked_anew(cell) for cell in row.cells]) for row in table.rows]
    return replace(table, rows=rows, notes=notes)


def notes_of(table: Table) -> list[Note]:
    """The notes of a table from `with_marks`: marked ones, those of columns, of published figures, and others."""
    marked = [Note(text, sign) for text in table.notes if (sign := _mark_of(text))]
    columns = [Note(column.note, columns=(i,)) for i, column in enumerate(table.columns) if column.note]
    sources = dict.fromkeys(cell.source for row, cell in _cells(table.rows) if row.published)
    others = [*_unnamed(table.rows), *(text for text in table.notes if not _mark_of(text))]
    return [
        *marked,
        *columns,
        *(Note(f"published: {source}.", source=source) for source in sources),
        *list(_remarks(table))[:_MOST_REMARKS],
        *map(Note, others),
    ]


def _cells(rows: Sequence[Row]) -> Iterator[tuple[Row, Cell]]:
    return ((row, cell) for row in rows for cell in row.cells if cell is not None)


def _mark_of(note: str) -> str:
    word, _, rest = note.partition(" ")
    return word if rest and is_mark(word) else ""


def _with_published_n(table: Table) -> Table:
    """`table` with one mark for all published figures of an n that is not that of ours in their columns' heads."""
    heads = [table.basis(i) if table.has_ours(i) else "" for i in range(len(table.columns))]
    taken = sum(bool(_mark_of(note)) for note in table.notes)
    signs: dict[str, str] = {}

    def marked(cell: Cell | None, head: str) -> Cell | None:
        if cell is None or not head or (samples := cell.samples()) == head:
            return cell
        sign = signs.setdefault(samples, mark(taken + len(signs)))
        return replace(cell, mark=joined_marks([*split_marks(cell.mark), sign]))

    def row_marked(row: Row) -> Row:
        return replace(row, cells=[marked(cell, head) for cell, head in zip(row.cells, heads, strict=True)])

    rows = [row_marked(row) if row.published else row for row in table.rows]
    told = [f"{sign} published figure: {samples}." for samples, sign in signs.items()]
    return replace(table, rows=rows, notes=[*table.notes, *told])


def _remarks(table: Table) -> Iterator[Note]:
    for r, row in enumerate(table.rows):
        for c, cell in enumerate(row.cells):
            if cell is not None and cell.remark:
                yield Note(cell.remark, cell=(r, c))


def _unnamed(rows: Sequence[Row]) -> list[str]:
    """Why there is no verdict on a run: no published figure is of a model with its name."""
    models = list(dict.fromkeys(row.model for row in rows if row.unnamed))
    if not models:
        return []
    more = f" and {len(models) - _MOST_NAMED} more" if len(models) > _MOST_NAMED else ""
    named = ", ".join(f"{model}{_elsewhere(model)}" for model in models[:_MOST_NAMED])
    return [f"not compared, as no published figure has the model's name: {named}{more}."]


def _elsewhere(model: str) -> str:
    """Which published table has a figure of the model, where one has."""
    key = model_key(model)
    tables = [name for name in published_names() if any(model_key(f.model) == key for f in load_published(name))]
    return f" (--published {tables[0]} has it)" if tables else ""
