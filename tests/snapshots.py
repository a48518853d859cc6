"""Outputs that are kept whole under tests/golden: any change of a figure, a name or a place is seen.

After a change that is meant, the tests write them anew with EVALKIT_SNAPSHOTS=write in the environment and `-n 0`, and
`git diff` shows what has changed.
"""

import json
import os
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden")


def check(name: str, text: str) -> None:
    """Hold a text to the one that is kept under this name."""
    path = GOLDEN / name
    text = text.rstrip("\n") + "\n"
    if os.environ.get("EVALKIT_SNAPSHOTS") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), f"tests/golden/{name} differs, see tests/snapshots.py"


def check_json(name: str, value: Any) -> None:
    """Hold a value to the one that is kept: floats to 6 digits, of long texts the start, the end and the length."""
    check(name, json.dumps(_rounded(value), indent=1, ensure_ascii=False))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, str) and len(value) > 300:
        return f"{value[:80]} … {value[-80:]} ({len(value)} characters)"
    if isinstance(value, dict):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
