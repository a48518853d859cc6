"""Golds with one thing changed do not equal themselves; `benchmarks/grading_near_misses.py` tries every change."""

import json
import random
from pathlib import Path

import pytest
from near_misses import is_true_equality, near_misses

from evalkit.grading.equality.equivalence import meaning_equal

pytestmark = pytest.mark.real_data


def test_near_misses_of_real_golds_are_not_equal(data_dir: Path) -> None:
    lines = (data_dir / "MATH-500" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    rng = random.Random(5)
    golds = rng.sample([json.loads(line)["answer"] for line in lines], 200)
    changed = [(gold, name, answer) for gold in golds for name, answer in near_misses(gold, rng)]
    assert len(changed) > 600
    alike = [
        (name, gold, answer)
        for gold, name, answer in changed
        if meaning_equal(gold, answer)[0] and not is_true_equality(name, gold, answer)
    ]
    assert not alike
