"""Golds with one thing changed: how many near misses the grader takes for equal, and which.

    EVALKIT_DATA=… python benchmarks/grading_near_misses.py [--each 3]

The golds are those of MATH-500, of the labelled pairs and of the cases from bug reports, and the rewrites that the
latter call equal. Changes that leave the meaning as it is are listed apart (tests/near_misses.py says which those are).
"""

import argparse
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from near_misses import is_true_equality, near_misses

from evalkit.grading import math_equal

LONGEST = 200  # characters of a gold; longer ones are whole solutions, of which one value counts


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def golds(folder: Path) -> list[str]:
    """Every gold and every answer that is known to equal one, once."""
    found = [row["answer"] for row in rows(folder / "MATH-500" / "test.jsonl")]
    pairs = rows(folder / "grading" / "pairs.jsonl")
    found += [row["gold"] for row in pairs if row["stratum"] != "latex_parser" and row.get("gold")]
    reports = [row for row in rows(folder / "grading" / "reports.jsonl") if row["check"] == "equal"]
    found += [row["gold"] for row in reports] + [row["pred"] for row in reports if row["expected"]]
    return [gold for gold in dict.fromkeys(found) if len(gold) < LONGEST]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=5, help="places of a gold at which each change is tried")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tried: Counter[str] = Counter()
    true: list[tuple[str, str, str]] = []
    false: list[tuple[str, str, str]] = []
    for gold in golds(Path(os.environ.get("EVALKIT_DATA", "data"))):
        for name, answer in near_misses(gold, rng, options.each):
            tried[name] += 1
            if math_equal(gold, answer):
                (true if is_true_equality(name, gold, answer) else false).append((name, gold, answer))
    print(
        f"{sum(tried.values())} near misses by {len(tried)} changes, {len(true)} equal in meaning, {len(false)} false"
    )
    for heading, cases in (("equal in meaning", true), ("FALSE EQUALITIES", false)):
        print(f"\n{heading}:")
        for name, gold, answer in cases:
            print(f"  {name}: {gold!r} and {answer!r}")
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
