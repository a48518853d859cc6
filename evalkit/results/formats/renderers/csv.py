"""CSV for programs."""

import csv
import io
from typing import Any

from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Table


def _csv_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front."""
    if isinstance(value, str):
        value = one_line(value)
        return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value
    return value


def render(table: Table) -> str:
    """One line per cell, both intervals in full (95%), unrounded."""
    records = list(table.records())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if records:
        writer.writerow(records[0])
        writer.writerows([_csv_safe(v) for v in record.values()] for record in records)
    return out.getvalue()
