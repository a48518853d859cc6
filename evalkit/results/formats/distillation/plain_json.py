"""A distillation page as JSON: every figure as a number, and the sentences."""

import json
import math
from dataclasses import asdict
from typing import Any

from evalkit.results.distill_records import Distillation

SCHEMA = 1


def render(found: Distillation) -> str:
    """One object; shares are in [0, 1], what is not defined is null."""
    content = {"schema": SCHEMA, **asdict(found)}
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """`value` with null where a number is not finite, which JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
