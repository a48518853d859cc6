"""Logs in which one value is another than it should be: understood, or refused in one sentence, never a crash."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from peer_logs import WRITERS

from evalkit import EvalkitError
from evalkit.importers.reader import find_logs

STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    10**30,
    float("nan"),
    "",
    "text",
    "7",
    [],
    ["a"],
    {},
    {"a": 1},
    [[]],
    [None],
)
MUTATIONS = 15  # of each layout


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {k: replaced(v, path[1:], new) if k == path[0] else v for k, v in value.items()}
    return [replaced(v, path[1:], new) if i == path[0] else v for i, v in enumerate(value)]


def mutated(content: str, rng: random.Random) -> str:
    """One value of one JSON document or line replaced."""
    lines = content.splitlines() if content.count("\n{") else [content]
    at = rng.randrange(len(lines))
    document = json.loads(lines[at])
    lines[at] = json.dumps(replaced(document, rng.choice(places(document)), rng.choice(STRANGE)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_a_wrong_value_anywhere_never_crashes_a_reader(layout: str, tmp_path: Path) -> None:
    rng = random.Random(layout)
    path = WRITERS[layout][1](tmp_path)
    files = [f for f in sorted(tmp_path.rglob("*")) if f.is_file() and f.suffix in (".json", ".jsonl")]
    if not files:
        pytest.skip("no JSON in this layout: parquet, zip and zst have tests of their own")
    for _ in range(MUTATIONS):
        file = rng.choice(files)
        whole = file.read_text()
        file.write_text(mutated(whole, rng))
        try:
            for log in find_logs(str(path)).logs:
                log.facts()
                for sample in log.samples():
                    assert isinstance(sample.text, str)
                    assert isinstance(sample.problem_id, str)
                    assert sample.gold is None or isinstance(sample.gold, str)
                    assert sample.sample_index >= 0, file.read_text()
                    assert all(0 <= v.value <= 1 for v in sample.verdicts)
        except EvalkitError:
            continue
        finally:
            file.write_text(whole)
