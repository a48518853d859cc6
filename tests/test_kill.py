"""kill -9 at random moments of a real run, each followed by the same command: nothing lost, nothing doubled."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, records

KILLS = 20
KEPT = ("task", "problem_id", "sample_index", "text", "finish_reason", "prompt_tokens", "completion_tokens", "prefix")


def command(checkpoint: Path, output: Path) -> list[object]:
    sizes = ("-n", 4, "--limit", 150, "--max-tokens", 64, "--batch-size", 16)
    return ["run", checkpoint, "-t", "arithmetic", *sizes, "-o", output, "--quiet"]


def samples(output: Path) -> list[tuple[object, ...]]:
    return sorted(tuple(r[k] for k in KEPT) for r in records(output / "arithmetic" / "completions.jsonl"))


def statuses(output: Path) -> dict[tuple[str, int], str]:
    return {(r["problem_id"], r["sample_index"]): r["status"] for r in records(output / "arithmetic" / "scores.jsonl")}


def orphans(output: Path) -> list[str]:
    """Processes whose command line or open pipe still belongs to the run."""
    found = subprocess.run(["pgrep", "-f", str(output)], capture_output=True, text=True).stdout.split()
    return [pid for pid in found if int(pid) != os.getpid()]


def run_until_killed(arguments: list[object], path: Path, more_bytes: int, pause: float) -> None:
    """Start the command and kill it when the file has grown by `more_bytes`, after a pause; it may end before that."""
    goal = (path.stat().st_size if path.exists() else 0) + more_bytes
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        [EVALKIT, *map(str, arguments)], env=environment, cwd=REPOSITORY, stdout=null, stderr=null
    )
    while process.poll() is None and (path.stat().st_size if path.exists() else 0) < goal:
        time.sleep(0.001)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_twenty_kills_change_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    evalkit(*command(tiny_checkpoint, undisturbed))
    wanted = samples(undisturbed)
    assert len(wanted) == 600
    draw = random.Random(0)
    path = disturbed / "arithmetic" / "completions.jsonl"
    whole = (undisturbed / "arithmetic" / "completions.jsonl").stat().st_size
    sizes = []
    for _ in range(KILLS):
        more = draw.randrange(1, whole // KILLS * 3 // 2)
        run_until_killed(command(tiny_checkpoint, disturbed), path, more, draw.uniform(0, 0.05))
        sizes.append(path.stat().st_size)
    assert sum(0 < size < whole for size in sizes) >= KILLS // 2, "too few kills fell into the generation"
    evalkit(*command(tiny_checkpoint, disturbed))
    assert samples(disturbed) == wanted
    assert statuses(disturbed) == statuses(undisturbed)
    assert (disturbed / "arithmetic" / "report.json").exists()
    assert orphans(disturbed) == []
