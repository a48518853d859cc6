"""Renderers of a leaderboard: a Table in, text out. Names and notes come from strangers: each format escapes them."""

from collections.abc import Callable

from evalkit.results.formats.html import to_html
from evalkit.results.formats.latex import to_latex
from evalkit.results.formats.plain import to_csv, to_json, to_markdown
from evalkit.results.formats.table import Cell, Column, Row, Table

FORMATS: dict[str, Callable[[Table], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
    "html": to_html,
}

__all__ = ["FORMATS", "Cell", "Column", "Row", "Table"]
