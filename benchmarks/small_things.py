"""Seconds of what should take no time: the same finished run again, the first line, grading a thousand answers again.

    python benchmarks/small_things.py
    python benchmarks/small_things.py --evalkit /path/to/another/bin/evalkit

The checkpoint is one of the demo's. The answers are recorded ones to the embedded task, a third of them wrong. Every
command is a process of its own. The best of `--rounds` is printed, since other programs share the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

CHECKPOINT = Path(__file__).parent.parent / "examples" / "tiny_distill" / "student-distilled"


def timed(command: Sequence[object], folder: Path) -> tuple[float, float]:
    """The seconds until the first line, and until the end."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - begun
    process.stdout.read()
    if process.wait():
        raise SystemExit(f"{command} failed")
    return first, time.perf_counter() - begun


def recorded(path: Path) -> None:
    from evalkit_tasks.arithmetic import test_problems

    lines = []
    for number, problem in enumerate(test_problems()):
        texts = [f"So it is \\boxed{{{int(problem.target) + (number + i) % 3 // 2}}}." for i in range(7)]
        lines.append(json.dumps({"problem_id": problem.id, "text": texts}))
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evalkit", default=str(Path(sys.executable).with_name("evalkit")))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded(folder / "recorded.jsonl")
        asked = ("-t", "arithmetic", "--limit", 50, "-n", 4, "--max-tokens", 64)
        run = (arguments.evalkit, "run", CHECKPOINT, *asked, "--results", folder / "results")
        timed(run, folder)
        again = [timed(run, folder) for _ in range(arguments.rounds)]
        print(f"the same finished run again: {min(t for _, t in again):.2f} s", flush=True)
        print(f"its first line: {min(t for t, _ in again):.2f} s", flush=True)
        replay = ("--engine", "replay", "--recorded", folder / "recorded.jsonl", "-n", 7, "-o", folder / "replayed")
        timed((arguments.evalkit, "run", "o/m", "-t", "arithmetic", *replay), folder)
        for workers in ((), ("--workers", 1), ("--workers", 2)):
            score = (arguments.evalkit, "score", folder / "replayed", *workers)
            rounds = [timed(score, folder)[1] for _ in range(arguments.rounds)]
            print(
                f"score of 1,400 answers, {' '.join(map(str, workers)) or 'default'}: {min(rounds):.2f} s", flush=True
            )


if __name__ == "__main__":
    main()
