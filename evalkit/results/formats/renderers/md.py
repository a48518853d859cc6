"""Markdown for people."""

from evalkit.results.formats.escaping import markdown_escape
from evalkit.results.formats.table import Cell, Table


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    text = cell.text().replace("*", "\\*", 1) if cell.significant else cell.text()
    if not cell.best:
        return text
    figure, _, rest = text.partition(" ")
    return f"**{figure}**" + (f" {rest}" if rest else "")


def render(table: Table) -> str:
    """A table in GitHub's markdown, its caption above and its notes below."""
    lines = [markdown_escape(table.caption), ""]
    lines.append("| model | " + " | ".join(markdown_escape(c.heading) for c in table.columns) + " |")
    lines.append("|:-|" + "-:|" * len(table.columns))
    for row in table.rows:
        cells = [markdown_escape(row.label), *map(_markdown_cell, row.cells)]
        lines.append(f"| {' | '.join(cells)} |")
    if table.notes:
        lines += ["", *(f"- {markdown_escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"
