"""How long the leaderboard takes over 1,000,000 samples: 50 checkpoints x 5 tasks, cold, warm, and after one change.

python benchmarks/leaderboard.py [--checkpoints 50] [--folder DIR]
Prints seconds and the peak resident memory of each, measured in a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

TASKS = {
    "aime24": (30, 64),
    "math500": (500, 16),
    "gpqa_diamond": (198, 24),
    "arithmetic": (100, 8),
    "extra": (100, 46),
}
TASK_FILE = """
from evalkit import Problem, Score, Task


class Extra(Task):
    name = "extra"
    version = 1
    title = "Extra"
    kind = "math"

    def load(self, source):
        return [Problem("p0", "1 + 1?", "2")]

    def score(self, problem, response):
        return Score(1.0, "correct")
"""


def write_runs(folder: Path, checkpoints: int) -> int:
    """Write the runs and return their number of samples."""
    from synthetic_runs import solve_rates, write_run

    task_file = folder / "extra_task.py"
    task_file.write_text(TASK_FILE)
    samples = 0
    for i in range(checkpoints):
        accuracy = 0.2 + 0.6 * i / checkpoints
        model = f"student/checkpoint-{100 * (i + 1)}"
        path = folder / "results" / f"checkpoint-{100 * (i + 1)}" / "deepseek-r1-0"
        own = {name: solve_rates(p, n, accuracy, seed=i) for name, (p, n) in TASKS.items()}
        run = write_run(path, model, {k: v for k, v in own.items() if k != "extra"})
        other = write_run(path.with_name("deepseek-r1-1"), model, {"extra": own["extra"]}, task_file=task_file)
        description, more = (json.loads(r.description_path.read_text()) for r in (run, other))
        description["tasks"] |= more["tasks"]
        run.rewrite(description)
        (other.path / "extra").rename(run.path / "extra")
        other.description_path.unlink()
        other.path.rmdir()
        samples += sum(p * n for p, n in TASKS.values())
    return samples


def measure(folder: Path, label: str) -> None:
    """Run the command once and print its wall-clock seconds and peak memory."""
    command = [sys.executable, "-m", "evalkit", "leaderboard", str(folder / "results"), "-o", str(folder / "table.md")]
    command.append("--trust-task-file")
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    assert status == 0, status
    print(f"{label}: {seconds:.1f} s, {usage.ru_maxrss / 1024**2:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=50)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        samples = write_runs(folder, options.checkpoints)
        print(f"{samples} samples in {options.checkpoints} runs of {len(TASKS)} tasks")
        measure(folder, "cold (no report.json)")
        measure(folder, "warm")
        changed = sorted((folder / "results").iterdir())[0]
        from synthetic_runs import solve_rates, write_run

        write_run(
            changed / "deepseek-r1-0",
            "student/changed",
            {name: solve_rates(p, n, 0.5, seed=99) for name, (p, n) in TASKS.items() if name != "extra"},
        )
        measure(folder, "one run changed")
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f} GiB")


if __name__ == "__main__":
    main()
