"""A distillation page as JSON: every figure as a number, and the sentences."""

import math
from dataclasses import asdict
from typing import Any

from evalkit.results.distill_records import Distillation
from evalkit.visible import json_text

SCHEMA = 1


def render(found: Distillation) -> str:
    """One object; shares are in [0, 1], what is not defined is null."""
    content = {"schema": SCHEMA, **asdict(found)}
    return json_text(_finite(content), indent=1) + "\n"


def _finite(value: Any) -> Any:
    """`value` with null where a number is not finite, which JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
