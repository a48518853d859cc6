"""Calls a second of the grader as a reward: one by one, and in batches on the worker pool.

    EVALKIT_DATA=… python benchmarks/reward.py [--batch 256] [--batches 8]

Responses are those of the recorded runs on MATH-500, with their golds.
"""

import argparse
import gzip
import json
import os
import platform
import time
from pathlib import Path

from evalkit.grading import compute_score, math_reward


def recorded(folder: Path) -> list[tuple[str, str]]:
    pairs = []
    for path in sorted((folder / "math_recorded").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                code = row["code"]
                pairs.append((code[0] if isinstance(code, list) else code, row["gt"]))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=8)
    options = parser.parse_args()
    pairs = recorded(Path(os.environ["EVALKIT_DATA"]))
    rows = [pairs[number % len(pairs)] for number in range(options.batch * options.batches)]
    compute_score("math", "\\boxed{\\sqrt{2}}", "2^{1/2}")  # starts the workers

    start = time.perf_counter()
    for response, gold in rows:
        compute_score("math", response, gold)
    single = time.perf_counter() - start

    start = time.perf_counter()
    for at in range(0, len(rows), options.batch):
        part = rows[at : at + options.batch]
        math_reward(None, [response for response, _ in part], answer=[gold for _, gold in part])
    batched = time.perf_counter() - start
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"one by one: {len(rows) / single:,.0f} calls/s; batches of {options.batch}: {len(rows) / batched:,.0f} calls/s"
    )


if __name__ == "__main__":
    main()
