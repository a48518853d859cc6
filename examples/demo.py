"""`make demo`: evaluate the three real checkpoints of examples/tiny_distill offline and print their table."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
CHECKPOINTS = ("teacher", "student-distilled", "student-plain")
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
    site = Path(results) / "site"
    evalkit("view", results, "-o", str(site))
    print(f"\nThe report page, to open in a browser: {(HERE.parent / site / 'index.html').resolve()}")
    print(f"\n{time.monotonic() - start:.0f} s; completions, scores and reports are in {results}/", file=sys.stderr)


if __name__ == "__main__":
    main()
