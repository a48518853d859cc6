"""How often programs that guess are accepted: as often as their guesses are right, if no verdict is given twice.

    python benchmarks/random_programs.py [--runs 2000] [--workers N]

Each program answers a few YES/NO tests at random, by another source of chance or by other ways to leave a test. Fair is
what one guess a test gives. Exit code 1 where a program is accepted more often than fair by three standard errors
(or less often, where it always answers).
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from evalkit.sandbox import Limits, Program, Sandbox, judge

TESTS = [("1", "YES"), ("2", "NO"), ("3", "NO")]
# name: (program, chance of a right answer in one run of a test, whether that is exact or only the most it can be)
PROGRAMS = {
    "random.choice": ("import random\nprint(random.choice(['YES', 'NO']))", 0.5, True),
    "os.urandom": ("import os\nprint(['YES', 'NO'][os.urandom(1)[0] & 1])", 0.5, True),
    "secrets": ("import secrets\nprint(secrets.choice(['YES', 'NO']))", 0.5, True),
    "clock": ("import time\nprint(['YES', 'NO'][time.time_ns() // 1000 & 1])", 0.5, True),
    "answer or crash": (
        "import random\nif random.random() < .3: 1 / 0\nprint(random.choice(['YES', 'NO']))",
        0.35,
        True,
    ),
    "answer or no memory": (
        "import random\nif random.random() < .3: bytearray(1 << 45)\nprint(random.choice(['YES', 'NO']))",
        0.35,
        True,
    ),
    "shared, by address": ("print('YES' if int(str(object())[-6:-3], 16) >> 3 & 1 else 'NO')", 0.5, False),
    "files": (
        "import os, random\nx = input()\ntry:\n    os.mkdir('/tmp/m' + x)\n    print(random.choice(['YES', 'NO']))\n"
        "except OSError:\n    print('NO')",
        0.5,
        True,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    unfair = False
    with Sandbox() as sandbox, ThreadPoolExecutor(options.workers) as executor:
        for name, (code, chance, exact) in PROGRAMS.items():
            program = Program(code, TESTS, limits=Limits(cpu_seconds=20))
            outcomes = executor.map(lambda _, p=program: judge(p, sandbox=sandbox).verdict, range(options.runs))
            accepted = sum(verdict == "accepted" for verdict in outcomes)
            fair = chance ** len(TESTS)
            error = (fair * (1 - fair) / options.runs) ** 0.5
            away = (accepted / options.runs - fair) / error
            bad = away > 3 or (exact and away < -3)
            unfair |= bad
            print(
                f"{name:20} {accepted:5d} of {options.runs} accepted, fair {fair * options.runs:6.1f}, "
                f"{away:+.2f} standard errors{'  UNFAIR' if bad else ''}",
                flush=True,
            )
    sys.exit(unfair)


if __name__ == "__main__":
    main()
