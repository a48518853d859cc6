"""5,000 programs of which every tenth hangs, dies or floods.

Does it end by itself, does memory stay flat, is nothing left?

    python benchmarks/judge_soak.py [--programs 5000] [--workers 1 4]

For each number of workers: seconds, verdicts, resident MB of the judge and of everything below it at six points of
the run, and what is left when it has ended. Exit code 1 where verdicts differ between the numbers of workers or a
process is left.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

from evalkit.sandbox import Limits, Program, Sandbox
from evalkit.sandbox.cases import judge_all

GOOD = "print(sum(map(int, input().split())))"
BAD = {
    "hangs": "while True: pass",
    "sleeps": "import time\ntime.sleep(1000)",
    "dies": "import os\nos.abort()",
    "floods": "while True: print('x' * 10000)",
    "allocates": "x = bytearray(1 << 30)",
    "exits": "import os\nos._exit(7)",
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "fills": "f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(1 << 20))",
}


def programs(count: int) -> list[tuple[str, Program]]:
    """Every tenth is a bad one, of each kind in turn; no two have the same text."""
    limits = Limits(cpu_seconds=0.2, wall_seconds=0.6, memory_mb=256, output_mb=1, folder_mb=4)
    bad = list(BAD.values())
    codes = [bad[i // 10 % len(bad)] if i % 10 == 9 else GOOD for i in range(count)]
    return [(str(i), Program(f"# {i}\n{c}", [("1 2", "3"), ("4 5", "9")], limits=limits)) for i, c in enumerate(codes)]


def below(root: int) -> dict[int, tuple[str, float]]:
    """Every descendant of `root` and itself: its state (Z: a zombie) and resident MB."""
    found, parents = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if fields:
            parents[int(entry.name)] = int(fields[1])
            found[int(entry.name)] = (fields[0], int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20))
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return {pid: found[pid] for pid in tree if pid in found}


def soak(count: int, workers: int) -> tuple[list[tuple[str, str]], int]:
    """The verdicts, and how many processes are left."""
    begin = time.monotonic()
    verdicts: list[tuple[str, str]] = []
    points = {max(1, count * k // 6) for k in range(1, 7)}
    with Sandbox() as sandbox:
        for name, judgement in judge_all(programs(count), workers=workers, sandbox=sandbox):
            verdicts.append((name, judgement.verdict))
            if len(verdicts) in points:
                tree = below(os.getpid())
                total = sum(mb for _, mb in tree.values())
                zombies = sum(state == "Z" for state, _ in tree.values())
                print(
                    f"  {len(verdicts):5d} judged, {time.monotonic() - begin:6.1f} s: "
                    f"judge {tree[os.getpid()][1]:.1f} MB, "
                    f"{len(tree) - 1} children, {total:.1f} MB together, {zombies} ended and not yet collected",
                    flush=True,
                )
    left = len(below(os.getpid())) - 1
    print(f"{workers} workers: {time.monotonic() - begin:.1f} s, {dict(Counter(v for _, v in verdicts))}, {left} left")
    return verdicts, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=5000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    outcomes = [soak(options.programs, workers) for workers in options.workers]
    differ = [a for runs in zip(*(v for v, _ in outcomes), strict=True) for a in runs[:1] if len(set(runs)) > 1]
    print(f"verdicts that differ: {differ or 'none'}")
    sys.exit(bool(differ or any(left for _, left in outcomes)))


if __name__ == "__main__":
    main()
