"""How good the CodeForces rating is on real contests, and how fast: recorded changes, leave-one-out, crowds, speed.

    EVALKIT_DATA=DIR python benchmarks/codeforces_rating.py [real] [people] [speed]

codeforces_simulation.py measures errors and coverage, codeforces_bounds.py what they can be.
"""

import argparse
import csv
import os
import re
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from codeforces_bounds import LADDER
from codeforces_simulation import drawn_table, simulated_set
from evalkit_tasks.codeforces.contests import Contest, ContestProblem, ContestSet, Standings
from evalkit_tasks.codeforces.elo import Floats, Seeds, break_even_ratings, performances, rating_changes
from evalkit_tasks.codeforces.estimate import GRID, pooled_ratings, rate
from evalkit_tasks.codeforces.field import solved_by_people
from evalkit_tasks.codeforces.table import Solve


def real() -> None:
    folder = Path(os.environ["EVALKIT_DATA"]) / "codeforces"
    for contest in (908, 917):
        table = pd.read_csv(folder / f"rating_changes_{contest}.csv.gz")
        changes = rating_changes(table["rank"], table["old_rating"])
        print(f"{contest}: {(changes == table['new_rating'] - table['old_rating']).mean():.2%} of changes as recorded")
    for path in sorted((folder / "standings").glob("*.csv.gz")):
        table = pd.read_csv(path)
        key = -(table["points"] * 1e6 - table["penalty"])
        ranks, old = key.rank(method="min"), table["old_rating"].to_numpy(dtype=np.float64)
        same = (rating_changes(ranks, old) == table["rating_change"]).mean()
        theirs = table["performance"].to_numpy()
        known = np.isfinite(theirs)
        gap = break_even_ratings(ranks, old)[known] - theirs[known]
        error = performances(key.rank(method="average"), old) - old
        error = error[np.isfinite(error)]
        print(
            f"{path.name}: {same:.2%} of changes as recorded; leave-one-out MAE {np.abs(error).mean():.1f}, "
            f"bias {error.mean():+.1f}; break-even minus carrot: median {np.median(gap):+.1f}, "
            f"furthest {np.abs(gap).max():.0f}"
        )


def people() -> None:
    """People as virtual participants. No file holds handles, so nobody can be followed over contests: somebody rated r
    is put together from people rated nearly r, one of each contest. What makes a person differ from the others of the
    same rating in every contest is lost, so the errors are smaller than those of people who are followed.
    """
    rng, folder = np.random.default_rng(0), Path(os.environ["EVALKIT_DATA"]) / "codeforces"
    ratings: dict[int, Floats] = {}
    ranks: dict[int, Floats] = {}
    table = pd.read_csv(folder / "rating_changes_908.csv.gz")
    ratings[908] = table["old_rating"].to_numpy(float)
    ranks[908] = np.asarray(table["rank"].rank(), dtype=np.float64)
    contests = []
    with (folder / "problem_ratings.csv").open() as stream:
        listed = {row["id"]: row for row in csv.DictReader(stream)}
    for path in sorted((folder / "standings").glob("*.csv.gz")):
        contest, table = int(path.name[:4]), pd.read_csv(path)
        ratings[contest] = table["old_rating"].to_numpy(float)
        ranks[contest] = np.asarray((-(table["points"] * 1e6 - table["penalty"])).rank(), dtype=np.float64)
        found = [row for name, row in listed.items() if re.fullmatch(rf"{contest}[A-Z]", name)]
        problems = tuple(
            ContestProblem(row["id"][4:], float(row["points"] or 1), int(float(row["rating"]))) for row in found
        )
        if contest != 1350:  # the points of its C, D and E are not in the data
            old = ratings[contest].astype(np.int64)
            shown = Standings(
                old,
                old,
                (old == 1500).astype(np.int64),
                table["points"].to_numpy(float),
                table["penalty"].to_numpy(float),
            )
            scoring: Literal["points", "icpc"] = "icpc" if contest == 1342 else "points"
            contests.append(Contest(contest, "", "", scoring, problems, None, shown))

    def somebody(contest: int, rating: float) -> int:
        near = np.flatnonzero((np.abs(ratings[contest] - rating) <= 10) & (ratings[contest] != 1500))
        return int(rng.choice(near)) if near.size else -1

    print("places of four contests (908, 1305, 1342, 1350), Elo formula:")
    shares, curves, truth = (
        [],
        np.array([(Seeds(ratings[c]).at(GRID) - 1) / ratings[c].size for c in sorted(ratings)]),
        [],
    )
    for rating in rng.choice(ratings[1305][(ratings[1305] != 1500) & (ratings[1305] < 2080)], 5000):
        who = [(c, somebody(c, rating)) for c in sorted(ratings)]
        if all(i >= 0 for _, i in who):
            shares.append([(ranks[c][i] - 1) / ratings[c].size for c, i in who])
            truth.append(rating)
    pooled = np.concatenate([pooled_ratings(np.array([s]), curves, np.ones((1, 4))) for s in shares])
    error = pooled - np.array(truth)
    print(
        f"    {error.size} people put together: MAE {np.abs(error).mean():.0f}, bias {error.mean():+.0f}, "
        f"Pearson {np.corrcoef(pooled, truth)[0, 1]:.3f}"
    )

    print(
        "solved problems of 1305 and 1342 (read off the totals), 300 people put together for each band, mean - rating:"
    )
    chosen = ContestSet("real", tuple(contests))
    solved = {c.id: solved_by_people(c, c.standings) for c in contests if c.standings is not None}
    for low in range(800, 2100, 200):
        errors: dict[str, list[float]] = {}
        inside = 0
        for _ in range(300):
            rating = float(rng.integers(low, low + 200))
            places = {c.id: somebody(c.id, rating) for c in contests}
            if min(places.values()) < 0:
                continue
            rows = [
                Solve(c.id, p.index, int(solved[c.id][places[c.id], j]), 1)
                for c in contests
                for j, p in enumerate(c.problems)
            ]
            one = rate(rows, chosen, draws=2)
            for rule, estimate in one.by_rule.items():
                errors.setdefault(rule, []).append(estimate.rating - rating)
            assert one.problem_model is not None
            errors.setdefault("problem ratings", []).append(one.problem_model.rating - rating)
            assert one.low is not None
            assert one.high is not None
            inside += one.low <= rating <= one.high
        said = ", ".join(f"{k} {np.mean(v):+.0f} (MAE {np.abs(v).mean():.0f})" for k, v in errors.items())
        count = len(errors["humans"])
        print(f"    {low} to {low + 200}, {count}: {said}; interval of humans holds {inside / count:.3f}", flush=True)


def speed() -> None:
    rng = np.random.default_rng(0)
    contests, difficulties = simulated_set(dict.fromkeys(range(1, 51), LADDER), 0.0, 15000, rng)
    table = drawn_table(contests, difficulties, 1500, 250.0, 16, rng)
    for _ in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        rate(table, contests, draws=1000)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(f"50 contests of 15,000 people, 1,000 draws: {wall:.2f} s wall, {cpu:.2f} s CPU")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"real": real, "people": people, "speed": speed}
    parser.add_argument("parts", nargs="*", default=list(parts))
    for part in parser.parse_args().parts:
        parts[part]()
