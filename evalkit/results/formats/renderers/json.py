"""JSON for programs."""

import json

from evalkit.results.formats.table import Table


def render(table: Table) -> str:
    """The caption, the notes and one object per cell."""
    content = {"caption": table.caption, "notes": table.notes, "cells": list(table.records())}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
