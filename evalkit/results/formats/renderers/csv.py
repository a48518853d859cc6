"""CSV for programs."""

import csv
import io

from evalkit.results.formats.table import Table
from evalkit.visible import spreadsheet_text


def render(table: Table) -> str:
    """One line per cell, both intervals in full (95%), unrounded, and the text of its marks."""
    records = list(table.records())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if records:
        writer.writerow(records[0])
        writer.writerows(
            [spreadsheet_text(v) if isinstance(v, str) else v for v in record.values()] for record in records
        )
    return out.getvalue()
