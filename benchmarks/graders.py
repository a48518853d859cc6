"""How often graders agree with labelled answer pairs, and how fast: evalkit beside math-verify, in turn, in one run.

    EVALKIT_DATA=… python benchmarks/graders.py [--pairs FILE] [--choices FILE] [--graders evalkit,math-verify]

A pair with `pred` is graded in a sentence with a box, which accuracy and errors count, and as it stands; "both" counts
the pairs that are right either way (math-verify looks for delimiters, so that bare LaTeX is none of its business).
math-verify runs as its README says, in this process, with its own alarm. Pairs marked debatable and cases for a parser
do not count; milliseconds are a call's wall-clock time.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evalkit.grading import grade_choice, grade_math
from evalkit.types import Score

SENTENCE = "Therefore the final answer is $\\boxed{%s}$."
Grade = Callable[[str, str], bool]


def evalkit_grader() -> Grade:
    grade_math("\\boxed{\\sqrt{2}}", "2^{1/2}")  # starts a worker
    return lambda response, gold: grade_math(response, gold).status == "correct"


def math_verify_grader() -> Grade:
    from math_verify import parse, verify

    def grade(response: str, gold: str) -> bool:
        return bool(verify(parse(f"${gold}$") or parse(gold), parse(response)))

    grade("\\boxed{2}", "2")
    return grade


GRADERS: dict[str, Callable[[], Grade]] = {"evalkit": evalkit_grader, "math-verify": math_verify_grader}


def responses(row: dict[str, Any]) -> Iterator[str]:
    if "response" in row:
        yield row["response"]
    else:
        yield row["pred"]
        yield SENTENCE % row["pred"]


def measure(grade: Grade, rows: list[dict[str, Any]]) -> tuple[dict[str, float], list[dict[str, Any]]]:
    milliseconds, wrong, negatives, positives, both = [], [], 0, 0, 0
    for row in rows:
        verdicts = []
        for response in responses(row):
            start = time.perf_counter()
            verdicts.append(grade(response, row["gold"]))
            milliseconds.append(1000 * (time.perf_counter() - start))
        both += all(verdict == row["expected"] for verdict in verdicts)
        if verdicts[-1] != row["expected"]:
            wrong.append(row)
            negatives += row["expected"]
            positives += not row["expected"]
    calls = sorted(milliseconds)
    figures = {
        "accuracy": 100 * (1 - len(wrong) / len(rows)),
        "both": 100 * both / len(rows),
        "false negatives": negatives,
        "false positives": positives,
        "calls/s": 1000 * len(calls) / sum(calls),
        "mean ms": statistics.mean(calls),
        "p50 ms": calls[len(calls) // 2],
        "p99 ms": calls[int(0.99 * (len(calls) - 1))],
        "max ms": calls[-1],
    }
    return figures, wrong


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def choices_report(path: Path) -> None:
    rows = [row for row in read(path) if not row["debatable"]]
    right = invented = 0
    for row in rows:
        options = list((row["options"] or {}).values()) or [""] * row["n_options"]
        score: Score = grade_choice(row["response"], "A", options)
        right += score.answer == row["expected_letter"]
        invented += score.answer not in (None, row["expected_letter"])
    print(f"\nmultiple choice: {right} of {len(rows)} read right ({100 * right / len(rows):.1f}%), ", end="")
    print(f"{invented} wrong or invented")


def main() -> None:
    folder = Path(os.environ.get("EVALKIT_DATA", "data")) / "grading"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=folder / "pairs.jsonl")
    parser.add_argument("--choices", type=Path, default=folder / "choices.jsonl")
    parser.add_argument("--graders", default="evalkit,math-verify")
    options = parser.parse_args()
    rows = [row for row in read(options.pairs) if not row["debatable"] and row["stratum"] != "latex_parser"]
    print(f"{platform.python_version()} on {os.cpu_count()} cores, {len(rows)} pairs that count\n")
    heads = None
    for name in options.graders.split(","):
        figures, wrong = measure(GRADERS[name](), rows)
        if heads is None:
            heads = list(figures)
            print("|grader|" + "|".join(heads) + "|\n|-" + "|-" * len(heads) + "|")
        print(f"|{name}|" + "|".join(f"{value:.4g}" for value in figures.values()) + "|", flush=True)
        if name == "evalkit":
            missed = wrong
    if options.choices.exists():
        choices_report(options.choices)
    for row in missed if "evalkit" in options.graders else ():
        print(f"evalkit differs: gold {row['gold'][:60]!r}, {(row.get('pred') or row['response'])[-80:]!r}")


if __name__ == "__main__":
    main()
