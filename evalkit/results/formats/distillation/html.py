"""A distillation page as one HTML file: no script, nothing fetched, everything from outside escaped."""

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from evalkit.results.distill_records import Distillation
from evalkit.results.formats.distillation.markdown import page_notes
from evalkit.results.formats.distillation.tables import PageTable, page_tables
from evalkit.results.formats.escaping import one_line
from evalkit.visible import html_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK = {"light": "#1b1b1b", "dark": "#e4e4e4"}
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
p.roles, p.how { color: color-mix(in srgb, CanvasText 70%, Canvas); margin: .2rem 0 .7rem; max-width: 60rem; }
p.how { font-size: .9rem; }
ul.verdict { background: var(--soft); border-left: 4px solid #0072B2; margin: 1rem 0; padding: .8rem 1rem .8rem 2rem; }
ul.verdict li { margin: .25rem 0; max-width: 62rem; overflow-wrap: anywhere; }
.pictures { column-gap: 1.2rem; columns: 2 30rem; }
figure { border: 1px solid var(--line); border-radius: 6px; break-inside: avoid; margin: 0 0 1.2rem; padding: .8rem; }
figure img { display: block; height: auto; margin: 0 auto; max-width: 100%; }
figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .5rem; }
.scroll { border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .7rem; text-align: right; vertical-align: top; }
td { white-space: nowrap; }
th.long { text-align: left; }
td.long { min-width: 14rem; overflow-wrap: anywhere; text-align: left; white-space: normal; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child { min-width: 11rem; text-align: left; }
tbody th { font-weight: 500; overflow-wrap: anywhere; }
footer { font-size: .85rem; margin-top: 2rem; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def _text(text: str) -> str:
    return escape(one_line(text))


def render(found: Distillation) -> str:
    """The whole page."""
    title = f"Distillation: {', '.join(s.label for s in found.students)}"
    return html_page(title, _STYLE, _POLICY, fragment(found))


def fragment(found: Distillation) -> str:
    """The page's content: words, pictures, tables, notes."""
    students = ", ".join(s.label for s in found.students)
    base = f" · base: {found.base}" if found.base is not None else ""
    verdict = "\n".join(f"<li>{_text(sentence)}</li>" for sentence in found.verdict)
    notes = page_notes(found)
    footer = "".join(f"<li>{_text(note)}</li>" for note in notes)
    tables = page_tables(found)
    return f"""<header>
<h1>Distillation: {_text(students)}</h1>
<p class="roles">{_text(f"teacher: {found.teacher}{base}")}</p>
</header>
<ul class="verdict">
{verdict}
</ul>
{_details(found)}
{_table(tables[0])}
<h2>Pictures</h2>
<div class="pictures">
{_pictures(found)}
</div>
{"".join(map(_table, tables[1:]))}
{f"<footer><h2>Notes</h2><ul>{footer}</ul></footer>" if notes else ""}
"""


def _details(found: Distillation) -> str:
    if not found.details:
        return ""
    sentences = "\n".join(f"<li>{_text(sentence)}</li>" for sentence in found.details)
    return f"<details><summary>{len(found.details)} more findings in words</summary><ul>{sentences}</ul></details>"


def _table(table: PageTable) -> str:
    kinds = (' class="long"' if i in table.word_columns else "" for i in range(len(table.columns)))
    heads = "".join(
        f'<th scope="col"{kind}>{_text(column)}</th>' for kind, column in zip(kinds, table.columns, strict=True)
    )
    body = "\n".join(f'<tr><th scope="row">{_text(row[0])}</th>{_cells(table, row)}</tr>' for row in table.rows)
    return f"""<section>
<h2>{_text(table.heading)}</h2>
<p class="how">{_text(table.caption)}</p>
<div class="scroll" tabindex="0"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
</section>
"""


def _cells(table: PageTable, row: tuple[str, ...]) -> str:
    """The cells after the first; those of a column that holds words are set from the left."""
    words = table.word_columns
    kinds = (' class="long"' if i in words else "" for i in range(1, len(row)))
    return "".join(f"<td{kind}>{_text(cell)}</td>" for kind, cell in zip(kinds, row[1:], strict=True))


def _pictures(found: Distillation) -> str:
    from evalkit.results.plots.distillation import pictures

    shown = []
    for title, figure in pictures(found):
        dark, light = (_data_url(figure, _INK[mode]) for mode in ("dark", "light"))
        width = round(figure.get_size_inches()[0] * 96)
        shown.append(
            f'<figure><figcaption>{_text(title)}</figcaption><picture><source media="(prefers-color-scheme: dark)" '
            f'srcset="{dark}"><img src="{light}" width="{width}" alt="{_text(title)}; the tables have the figures">'
            "</picture></figure>"
        )
    return "\n".join(shown)


def _data_url(figure: "Figure", ink: str) -> str:
    """The picture as SVG on a transparent ground, its words and lines in `ink`."""
    import matplotlib

    from evalkit.results.plots.figures import STYLE

    _ink(figure, ink)
    stream = io.BytesIO()
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode()


def _ink(figure: "Figure", ink: str) -> None:
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.tick_params(colors=ink, which="both")
        for spine in axes.spines.values():
            spine.set_edgecolor(ink)
    for text in figure.findobj(Text):
        text.set_color(ink)
