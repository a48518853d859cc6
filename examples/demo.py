"""`make demo`: a teacher, bases and students of examples/tiny_distill, evaluated offline, and what was distilled."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from evalkit import distillation

HERE = Path(__file__).parent
SEEDS = ("", "-1", "-2")
CHECKPOINTS = (
    "teacher",
    *(f"{name}{seed}" for seed in SEEDS for name in ("base", "student-distilled")),
    "student-soft",
)
EVALKIT = Path(sys.executable).with_name("evalkit")


def evalkit(*arguments: str) -> None:
    """Show a command as a user would type it, and run it."""
    print(f"\n$ evalkit {shlex.join(arguments)}", flush=True)
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ}
    code = subprocess.run([EVALKIT, *arguments], env=environment, cwd=HERE.parent).returncode
    if code:
        sys.exit(code)


def main() -> None:
    start = time.monotonic()
    results = sys.argv[1] if len(sys.argv) > 1 else "results/demo"
    for name in CHECKPOINTS:
        evalkit("run", f"examples/tiny_distill/{name}", "-t", "arithmetic", "--max-tokens", "64", "--results", results)
    evalkit("leaderboard", results)
    page = f"{results}/distillation.html"
    students = (f"{results}/student-distilled", f"{results}/student-soft")
    evalkit("distill", *students, "--teacher", f"{results}/teacher", "--base", f"{results}/base", "-o", page)
    print("\nThe same with three seeds, as they came out:")
    where = HERE.parent / results
    for seed in SEEDS:
        found = distillation(where / f"student-distilled{seed}", teacher=where / "teacher", base=where / f"base{seed}")
        print(f"- student-distilled{seed}: {found.verdict[0]}", flush=True)
    site = Path(results) / "site"
    evalkit("view", results, "-o", str(site))
    print(f"\nThe report page, to open in a browser: {(HERE.parent / site / 'index.html').resolve()}")
    print(f"\n{time.monotonic() - start:.0f} s; the page is {page}, runs are in {results}/", file=sys.stderr)


if __name__ == "__main__":
    main()
