"""Markdown for people, CSV and JSON for programs."""

import csv
import io
import json
import re
from typing import Any

from evalkit.results.formats.table import Cell, Table


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters, which would break a table or a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text)


def markdown_escape(text: str) -> str:
    """`text` as literal text in a markdown table cell."""
    escaped = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    text = cell.text().replace("*", "\\*", 1) if cell.significant else cell.text()
    if not cell.best:
        return text
    figure, _, rest = text.partition(" ")
    return f"**{figure}**" + (f" {rest}" if rest else "")


def to_markdown(table: Table) -> str:
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


def _csv_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front."""
    if isinstance(value, str):
        value = one_line(value)
        return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value
    return value


def to_csv(table: Table) -> str:
    """One line a cell, both intervals in full (95%), unrounded."""
    records = list(table.records())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if records:
        writer.writerow(records[0])
        writer.writerows([_csv_safe(v) for v in record.values()] for record in records)
    return out.getvalue()


def to_json(table: Table) -> str:
    """The caption, the notes and one object a cell."""
    content = {"caption": table.caption, "notes": table.notes, "cells": list(table.records())}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
