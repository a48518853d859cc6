"""JSON for programs."""

from evalkit.results.formats.table import Table
from evalkit.visible import json_text


def render(table: Table) -> str:
    """The caption, the notes and one object per cell."""
    content = {"caption": table.caption, "notes": table.notes, "cells": list(table.records())}
    return json_text(content, indent=1) + "\n"
