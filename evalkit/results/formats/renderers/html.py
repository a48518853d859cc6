"""One self-contained HTML page that sorts by a click on a head: nothing is fetched, what comes from outside is escaped.

The only script is the one in this file: the page's policy names its digest, and runs no other.
"""

import base64
import hashlib
from html import escape

from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Cell, Row, Table
from evalkit.visible import html_page

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; padding-bottom: .8rem; max-width: 60rem; }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th:first-child { text-align: left; }
tbody th[scope=row] { font-weight: normal; }
thead { border-top: 2px solid; border-bottom: 1px solid; }
tbody { border-bottom: 2px solid; }
tr.published { color: GrayText; }
tr.group th { border-top: 1px solid; padding-top: .6rem; text-align: left; }
small { display: block; font-size: .8em; }
th button { background: none; border: 0; color: inherit; cursor: pointer; font: inherit; padding: 0; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
"""
# Rows are sorted within their group; those without a figure come last in either direction.
SCRIPT = """
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== (column ? "descending" : "ascending");
    const sign = (column ? down : !down) ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      const key = (row) => row.cells[column].dataset.value;
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return sign * (column ? x - y : x.localeCompare(y, undefined, {numeric: true}));
      });
      body.append(...rows);
    }
  }));
}
"""


def _text(text: str) -> str:
    return escape(one_line(text))


def _cell(cell: Cell | None, verbose: bool) -> str:
    if cell is None:
        return "<td>–</td>"
    figure, *small = cell.lines(verbose)
    shown = f"<b>{_text(figure)}</b>" if cell.best else _text(figure)
    lines = "".join(f"<small>{_text(line)}</small>" for line in small)
    told = cell.source or cell.text(verbose=True)
    return f'<td data-value="{cell.value!r}" title="{_text(told)}">{shown}{lines}</td>'


def _row(row: Row, verbose: bool) -> str:
    kind = ' class="published"' if row.published else ""
    label = _text(row.label)
    cells = "".join(_cell(cell, verbose) for cell in row.cells)
    return f'<tr{kind}><th scope="row" data-value="{label}">{label}</th>{cells}</tr>'


def table_html(table: Table) -> str:
    """The table with its caption and its notes as a fragment of a page; with `SCRIPT` its heads sort."""
    heads = "".join(_head(table.heads(i)) for i in range(len(table.columns)))
    notes = "".join(f"<li>{_text(note)}</li>" for note in table.footnotes())
    bodies = []
    for group, rows in table.groups():
        title = f'<tr class="group"><th colspan="{len(table.columns) + 1}">{_text(group)}</th></tr>\n' if group else ""
        body = "\n".join(_row(row, table.verbose) for row in rows)
        bodies.append(f"<tbody>\n{title}{body}\n</tbody>")
    return f"""<div class="scroll"><table class="sorts">
<caption>{_text(table.caption)}</caption>
<thead><tr>{_head(["Model"])}{heads}</tr></thead>
{"".join(bodies)}
</table></div>
<ul>{notes}</ul>
"""


def _head(lines: list[str]) -> str:
    first, *rest = map(_text, lines)
    small = "".join(f"<small>{line}</small>" for line in rest)
    return f'<th scope="col"><button type="button">{first}</button>{small}</th>'


def render(table: Table) -> str:
    """A page with the table, its caption and its notes."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = f"{table_html(table)}<script>{SCRIPT}</script>\n"
    return html_page(table.title or "Leaderboard", _STYLE, policy, body)
