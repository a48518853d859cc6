"""Which RMSE a CodeForces rating can have: Cramér-Rao bounds for ten contests, beside what was asked of evalkit.

    EVALKIT_DATA=DIR python benchmarks/codeforces_bounds.py [--noise-sd 250] [--draws 1000]

The setting: every problem's difficulty for the model is its rating plus a normal error that its samples share, and the
estimate is unbiased and knows the error's sd. What was asked names "10 contests" and no more, so the bounds are those
of many sets of ten: those of the default set, and drawn at random from the contests of each kind.
"""

import argparse
import csv
import json
import math
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from evalkit_tasks.codeforces.contests import load_set
from evalkit_tasks.codeforces.elo import ELO_SCALE, Floats
from evalkit_tasks.codeforces.solve_model import fit_solve_model

TARGET = {(800, 1): 115, (800, 8): 70, (800, 64): 73, (1500, 1): 94, (1500, 8): 49, (1500, 64): 40,
          (2000, 1): 86, (2000, 8): 55, (2000, 64): 42}  # fmt: skip
"""The RMSE asked for, by (true rating, samples per problem)."""

NOISE_SD = 250.0
LADDER = [(index, 800.0 + 300 * i, 500.0 + 500 * i) for i, index in enumerate("ABCDEFGH")]
NODES = np.linspace(-4.5, 4.5, 61)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()

Problems = list[tuple[str, float, float]]
"""(index, rating, points) of each problem."""


def solve(gap: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-ELO_SCALE * gap)))


@lru_cache(maxsize=65536)
def information(rating: int, n: int, difficulty: float, noise_sd: float) -> float:
    """What `n` samples of one problem tell of the rating, its own error integrated out."""
    counts = np.arange(n + 1)[:, None]
    ways = np.array([math.comb(n, k) for k in range(n + 1)], dtype=np.float64)

    def chances(at: float) -> Floats:
        logits = ELO_SCALE * (at - difficulty + noise_sd * NODES)
        logs = -counts * np.logaddexp(0, -logits) - (n - counts) * np.logaddexp(0, logits)
        return np.asarray(ways * (np.exp(logs) @ WEIGHTS))

    slope = (chances(rating + 0.5) - chances(rating - 0.5)) / 1.0
    return float((slope**2 / np.maximum(chances(rating), 1e-300)).sum())


def bound(rating: int, n: int, difficulties: Sequence[float], noise_sd: float = NOISE_SD) -> float:
    """The Cramér-Rao bound on the RMSE of an unbiased estimate."""
    return float(1 / math.sqrt(sum(information(rating, n, d, noise_sd) for d in difficulties)))


def contests_at_hand(interactive: bool = False) -> dict[int, Problems]:
    """The rated problems of the 57 contests of 2024 whose statements are at hand, by contest."""
    path = Path(os.environ["EVALKIT_DATA"]) / "codeforces" / "problems.jsonl"
    found: dict[int, Problems] = {}
    for row in map(json.loads, path.read_text("utf-8").splitlines()):
        if row["rating"] and (interactive or not row["interactive"]):
            found.setdefault(int(row["contest_id"]), []).append((row["index"], row["rating"], row["points"] or 1.0))
    return found


def default_set(interactive: bool = False) -> dict[int, Problems]:
    at_hand = contests_at_hand(interactive)
    return {c.id: at_hand[c.id] for c in load_set("div2-2024").contests}


def contests_by_kind(since: int) -> dict[str, dict[int, Problems]]:
    """All contests of problem_ratings.csv from number `since` on, interactive problems included, by kind.

    No file names the divisions; they show in the problems: without points it is an Educational round, a Div. 3 or 4 or
    an ICPC mirror; Div. 1 begins at 1300 or later; Div. 1 + 2 goes from 1000 or less to 3200 or more.
    """
    contests: dict[int, Problems] = {}
    pointed: set[int] = set()
    with (Path(os.environ["EVALKIT_DATA"]) / "codeforces" / "problem_ratings.csv").open() as stream:
        for row in csv.DictReader(stream):
            name = re.fullmatch(r"(\d+)([A-Z].*)", row["id"])
            if name and row["rating"] and int(name[1]) >= since:
                contests.setdefault(int(name[1]), []).append((name[2], float(row["rating"]), float(row["points"] or 1)))
                if row["points"]:
                    pointed.add(int(name[1]))
    kinds: dict[str, dict[int, Problems]] = {}
    for contest, problems in contests.items():
        low, high = min(r for _, r, _ in problems), max(r for _, r, _ in problems)
        if len(problems) >= 5:
            kind = (
                "no points" if contest not in pointed
                else "Div. 1" if low >= 1300
                else "Div. 1 + 2" if low <= 1000 and high >= 3200 and len(problems) >= 7
                else "Div. 2"
            )  # fmt: skip
            kinds.setdefault(kind, {})[contest] = problems
    return kinds


def difficulties_of(contests: dict[int, Problems]) -> list[float]:
    return [rating for problems in contests.values() for _, rating, _ in problems]


def drawn(contests: dict[int, Problems], rng: np.random.Generator) -> dict[int, Problems]:
    """Ten contests, each at most once."""
    return {int(c): contests[int(c)] for c in rng.choice(sorted(contests), 10, replace=False)}


def row(name: str, problems: float, values: Sequence[float]) -> str:
    cells = (f"{v:6.1f}{'*' if v > asked else ' '}" for v, asked in zip(values, TARGET.values(), strict=True))
    return f"{name:<34} {problems:>4.0f} {''.join(cells)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise-sd", type=float, default=NOISE_SD)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--since", type=int, default=1900, help="the first contest that counts as recent")
    options = parser.parse_args()
    asked = list(TARGET.values())

    def bounds(contests: dict[int, Problems]) -> list[float]:
        found = difficulties_of(contests)
        return [bound(rating, n, found, options.noise_sd) for rating, n in TARGET]

    print(f"bounds, error of sd {options.noise_sd:g}; * above what was asked, so that nobody can reach it without bias")
    print(f"{'true rating/n':<34}      {''.join(f'{r:>4}/{n:<2}' for r, n in TARGET)}")
    print(row("asked", 0, asked))
    fixed = {
        "default set": default_set(),
        "default set, interactive too": default_set(interactive=True),
        "10 x (800, 1100, ... 2900)": dict.fromkeys(range(10), LADDER),
    }
    for name, contests in fixed.items():
        print(row(name, len(difficulties_of(contests)), bounds(contests)))
    rng = np.random.default_rng(0)
    kinds = contests_by_kind(options.since)
    kinds["any of these"] = {c: p for contests in kinds.values() for c, p in contests.items()}
    kinds["any whose statements are at hand"] = contests_at_hand()
    for name, contests in kinds.items():
        sets = [drawn(contests, rng) for _ in range(options.draws)]
        found = np.array([bounds(s) for s in sets])
        median = np.median(found, axis=0).tolist()
        print(
            row(
                f"{name}, ten of {len(contests)}: median",
                float(np.mean([len(difficulties_of(s)) for s in sets])),
                median,
            )
        )
        print(
            f"    sets of which all nine bounds are at most what was asked: {(found <= asked).all(axis=1).mean():.1%}"
        )

    print("\nwho ignores the error (maximum likelihood of the bare logistic), 1,000 repetitions: RMSE (bias)")
    for name, contests in fixed.items():
        d, cells = np.array(difficulties_of(contests)), []
        for rating, n in TARGET:
            errors: list[float] = []
            for _ in range(1000):
                solved = rng.binomial(n, solve(rating - d - rng.normal(0, options.noise_sd, d.size)))
                errors.append(fit_solve_model(d, solved, np.full(d.size, n), noise=((0.0, 1.0),)).rating - rating)
            cells.append(f"{np.sqrt(np.mean(np.square(errors))):.0f} ({np.mean(errors):+.0f})")
        print(f"{name:<34}      {'  '.join(cells)}")


if __name__ == "__main__":
    main()
