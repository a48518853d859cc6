"""Markdown for people and for piping."""

from evalkit.results.formats.escaping import markdown_escape
from evalkit.results.formats.table import Cell, Row, Table


def _cell(cell: Cell | None, verbose: bool) -> str:
    if cell is None:
        return "–"
    first = cell.lines(verbose)[0]
    rest = cell.text(verbose).removeprefix(first)
    figure = markdown_escape(first)
    return (f"**{figure}**" if cell.best else figure) + markdown_escape(rest)


def _line(row: Row, verbose: bool) -> str:
    return " | ".join([markdown_escape(row.label), *(_cell(cell, verbose) for cell in row.cells)])


def render(table: Table) -> str:
    """A table in GitHub's markdown, its legend above and its notes below."""
    columns = range(len(table.columns))
    heads = [markdown_escape(" ".join(table.heads(i)[: 2 if table.verbose else 3])) for i in columns]
    lines = [markdown_escape(table.caption), "", "| model | " + " | ".join(heads) + " |"]
    lines.append("|:-|" + "-:|" * len(table.columns))
    for group, rows in table.groups():
        if group:
            lines.append(f"| **{markdown_escape(group)}** |" + " |" * len(table.columns))
        lines += [f"| {_line(row, table.verbose)} |" for row in rows]
    if notes := table.footnotes():
        lines += ["", *(f"- {markdown_escape(note)}" for note in notes)]
    return "\n".join(lines) + "\n"
