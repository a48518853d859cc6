"""One self-contained HTML page: no script, nothing fetched, everything from outside escaped."""

from html import escape

from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Cell, Row, Table

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; padding-bottom: .8rem; max-width: 60rem; }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th:first-child { text-align: left; }
thead { border-top: 2px solid; border-bottom: 1px solid; }
tbody { border-bottom: 2px solid; }
tr.published { color: GrayText; }
small { display: block; font-size: .8em; }
"""


def _text(text: str) -> str:
    return escape(one_line(text))


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>–</td>"
    figure = f"<b>{_text(cell.figure())}</b>" if cell.best else _text(cell.figure())
    star = "<sup>*</sup>" if cell.significant else ""
    small = [" / ".join(cell.bars()), ", ".join(cell.basis()), cell.comparison()]
    lines = "".join(f"<small>{_text(line)}</small>" for line in small if line)
    title = f' title="{_text(cell.source)}"' if cell.source else ""
    return f"<td{title}>{figure}{star}{_text(cell.mark)}{lines}</td>"


def _row(row: Row) -> str:
    kind = ' class="published"' if row.published else ""
    return f'<tr{kind}><th scope="row">{_text(row.label)}</th>{"".join(map(_cell, row.cells))}</tr>'


def table_html(table: Table) -> str:
    """The table with its caption and its notes as a fragment of a page."""
    heads = "".join(f'<th scope="col">{_text(c.title)}<small>{_text(c.metric)}</small></th>' for c in table.columns)
    notes = "".join(f"<li>{_text(note)}</li>" for note in table.notes)
    body = "\n".join(map(_row, table.rows))
    return f"""<div class="scroll"><table>
<caption>{_text(table.caption)}</caption>
<thead><tr><th scope="col">Model</th>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
<ul>{notes}</ul>
"""


def render(table: Table) -> str:
    """A page with the table, its caption and its notes."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Leaderboard</title>
<style>{_STYLE}</style>
{table_html(table)}</html>
"""
