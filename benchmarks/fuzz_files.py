"""Fuzz every file that a command reads: python benchmarks/fuzz_files.py --seconds 600 [--seed N] [--only NAME]

Prints each promise that was broken (a traceback, a hang, memory, a raw control character) and at the end how many
mutants and commands there were. The exit code is 1 if anything was found. tests/file_fuzz.py has the mutations.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--mutants", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="Only targets with this in their name.")
    parser.add_argument("--list", action="store_true", help="Print the slowest targets.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(XDG_STATE_HOME=folder, HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", OMP_NUM_THREADS="1")
        from file_fuzz import Fuzzer

        fuzzer = Fuzzer(Path(folder) / "fuzz", given.seed, given.only)
        begun, count = time.monotonic(), 0
        seconds: defaultdict[str, float] = defaultdict(float)
        while time.monotonic() - begun < given.seconds and count < given.mutants:
            at = time.monotonic()
            for finding in fuzzer.mutant():
                print(f"--- mutant {count}: {finding.mutant}\n{finding.command}\n{finding.told}", flush=True)
            seconds[fuzzer.last] += time.monotonic() - at
            count += 1
        taken = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if given.list:
        print(
            "\n".join(
                f"{name:<40}{spent:8.1f} s" for name, spent in sorted(seconds.items(), key=lambda item: -item[1])[:12]
            )
        )
    print(
        f"seed {given.seed}: {count} mutants, {fuzzer.commands} commands in {taken:.0f} s, "
        f"{len(fuzzer.findings)} findings, {peak} MiB at most"
    )
    return 1 if fuzzer.findings else 0


if __name__ == "__main__":
    sys.exit(main())
