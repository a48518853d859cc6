"""Output formats of a table. Names and notes come from strangers: each format escapes them."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

from evalkit.results.formats.table import Cell, Column, Row, Table

__all__ = ["Cell", "Column", "Row", "Table", "format_names", "renderer"]


def format_names() -> list[str]:
    """The names of the formats: the modules of `renderers`, of which none is imported."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "renderers")]))


def renderer(name: str) -> Callable[[Table], str]:
    """The function that writes a table in the format of that name."""
    module = importlib.import_module(f"evalkit.results.formats.renderers.{name}")
    return cast(Callable[[Table], str], module.render)
