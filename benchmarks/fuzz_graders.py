"""Fuzz the graders: mutated and spliced answers, for so many seconds; a crash or a hang ends it with 1.

python benchmarks/fuzz_graders.py --seconds 600 [--seed 1] [--limit 1.5]
"""

import argparse
import json
import random
import resource
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from grading_hostile import HOSTILE
from grading_table import CALCULUS_EQUAL, CALCULUS_UNEQUAL, EQUAL, UNEQUAL

from evalkit.grading import grade_choice, grade_math, math_equal, split_thinking
from evalkit.types import STATUSES, Score

_PIECES = r"""
\frac \sqrt \pm \cup \in \left( \right) \{ \} { } [ ] ( ) | ^ _ ! % & \\ , ; : = < > + - * / . $ \$ \text{ \boxed{
\begin{pmatrix} \end{pmatrix} \sum_{k=1}^{9} \infty \pi \sin x y i e 0 1 9 99 0.5 1,000 and or <think> </think> the
answer is Answer: (A) B. \, ^\circ \overline{ \lim \int \log_ !!! ... ² ½ 答案
"""
PIECES = [*_PIECES.split(), "\x00", "\ud800", "\u202e", " "]


def mutated(rng: random.Random, seeds: list[str]) -> str:
    text = rng.choice(seeds)
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(text))
        kind = rng.randint(0, 4)
        if kind == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randint(1, 4) :]
        elif kind == 2:
            text = text[:at] + rng.choice(seeds)[:60] + text[at:]
        elif kind == 3:
            text = text[:at] + text[at : at + 8] * rng.randint(2, 5) + text[at:]
        else:
            text = (
                text[:at]
                + chr(rng.choice((rng.randint(0, 127), rng.randint(128, 0x2FFF), rng.randint(0xD7F0, 0xFFFF))))
                + text[at:]
            )
    return text[:3000]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1.5, help="seconds that a call may take; more on a busy machine")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    seeds = [text for pair in EQUAL + UNEQUAL + 5 * (CALCULUS_EQUAL + CALCULUS_UNEQUAL) for text in pair] + [
        text for text in HOSTILE if len(text) < 200
    ]
    kinds = Path(__file__).parent.parent / "tests" / "golden" / "kinds.jsonl"
    for row in map(json.loads, kinds.read_text(encoding="utf-8").splitlines()):
        seeds += [row["gold"], row["answer"]]
    end, calls, slowest, errors = time.monotonic() + options.seconds, 0, (0.0, ""), 0
    math_equal("\\sqrt{2}", "2^{1/2}")
    math_equal("1", "\\int_0^1 2x dx")
    while time.monotonic() < end:
        gold, answer = mutated(rng, seeds), mutated(rng, seeds)
        gold += "" if any(map(str.isalnum, gold)) else "0"  # a problem without a right answer is an error of its own
        for call in (
            partial(math_equal, gold, answer),
            partial(grade_math, answer, gold),
            partial(grade_math, "\\boxed{" + answer + "}", gold),
            partial(grade_choice, answer, "A", ["one", "two", "three", "four"]),
            partial(split_thinking, answer),
        ):
            start = time.monotonic()
            result = call()
            taken = time.monotonic() - start
            calls += 1
            status = result.status if isinstance(result, Score) else "correct"
            errors += status == "error"
            explanation = result.explanation if isinstance(result, Score) else ""
            if status == "error" and "timeout" not in explanation and "nested" not in explanation:
                print(f"FAILED: {gold!r} {answer!r}: {explanation}")
                return 1
            if taken > slowest[0]:
                slowest = (taken, f"{gold!r} {answer!r}")
            if taken > options.limit or status not in STATUSES:
                print(f"SLOW: {taken:.2f} s: {gold!r} {answer!r}")
                return 1
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{calls} calls, {errors} at a limit, slowest {slowest[0]:.2f} s ({slowest[1][:200]}), "
        f"workers that have ended used at most {memory:.0f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
