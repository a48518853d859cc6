"""Typst: a figure with a table in it, the best figure of a column in bold, notes below."""

import re

from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Cell, Table


def typst_escape(text: str) -> str:
    """`text` as literal text in Typst's markup: whatever may mean something is escaped."""
    return re.sub(r"([\\#$*_`<>@~=\-+/'\"\[\]{}()|^&:;])", r"\\\1", one_line(text))


def _cell(cell: Cell | None, verbose: bool) -> str:
    if cell is None:
        return "[–]"
    figure, *small = cell.lines(verbose)
    first = f"*{typst_escape(figure)}*" if cell.best else typst_escape(figure)
    return "[" + first + "".join(rf" \ #text(size: 0.75em)[{typst_escape(line)}]" for line in small) + "]"


def _head(lines: list[str]) -> str:
    return "[" + r" \ ".join(map(typst_escape, lines)) + "]"


def render(table: Table) -> str:
    """A `figure` with a caption and, where the table has one, its label."""
    count = len(table.columns)
    heads = [_head(["Model"]), *(_head(table.heads(i)) for i in range(count))]
    lines = [
        "#figure(",
        f"  caption: figure.caption(position: top)[{typst_escape(table.title or 'Results')}],",
        "  [",
        "    #table(",
        f"      columns: {count + 1}, stroke: none, align: (left{', right' * count}),",
        "      table.hline(),",
        f"      {', '.join(heads)},",
    ]
    for group, rows in table.groups():
        lines.append("      table.hline(stroke: 0.5pt),")
        if group:
            lines.append(f"      table.cell(colspan: {count + 1})[_{typst_escape(group)}_],")
        for row in rows:
            cells = [f"[{typst_escape(row.label)}]", *(_cell(cell, table.verbose) for cell in row.cells)]
            lines.append(f"      {', '.join(cells)},")
    notes = [f"{table.caption}.", *table.footnotes(in_full=True)]
    told = r" \ ".join(map(typst_escape, notes))
    lines += ["      table.hline(),", "    )", f"    #align(left, text(size: 0.8em)[{told}])", "  ],"]
    return "\n".join(lines) + f"\n) <{table.label or 'tab:results'}>\n"
