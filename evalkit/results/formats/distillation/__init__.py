"""The distillation page: the same tables and sentences as HTML, markdown, LaTeX and JSON."""

import importlib
from collections.abc import Callable
from typing import cast

from evalkit.errors import EvalkitError
from evalkit.results.distill_records import Distillation

FORMATS = {"html": "html", "md": "markdown", "tex": "latex", "json": "plain_json"}
"""The renderers by the ending of a file's name."""


def render(found: Distillation, ending: str) -> str:
    """The page in the format of that ending. Raises EvalkitError on another one."""
    if ending not in FORMATS:
        raise EvalkitError(
            f"A distillation page cannot be written as .{ending}.", f"let the file end in .{', .'.join(FORMATS)}."
        )
    module = importlib.import_module(f"evalkit.results.formats.distillation.{FORMATS[ending]}")
    return cast(Callable[[Distillation], str], module.render)(found)
