"""RMSE, bias and coverage of the CodeForces rating, where the true rating is known: simulation.

    EVALKIT_DATA=DIR python benchmarks/codeforces_simulation.py [--set default] [--reading own] [--repetitions 2000]

A model of a known rating R draws n samples on each problem of ten contests and solves one with probability
1 / (1 + 10^((d + e - R) / 400)), e being normal of sd 250. Each draw is rated twice: from problem ratings ("ratings"),
and among 8,000 people of each contest ("people"), who solve by the same formula. What e is, has two readings:

    own     the model's own error: problems are as hard for people as they are rated
    shared  the rating's error: d + e is how hard the problem is for people and the model alike, so standings show it

Each person has an error of their own with each problem too (`--spread`). The first repetition in each of the first 20
simulated fields is rated by `rate` too: it has to give the same. Standard errors are those of the fields' means: in
the shared reading all repetitions of a field meet the same difficulties, so ask for many fields there.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from codeforces_bounds import (
    LADDER,
    NOISE_SD,
    TARGET,
    Problems,
    bound,
    contests_by_kind,
    default_set,
    difficulties_of,
    drawn,
    solve,
)
from evalkit_tasks.codeforces.contests import Contest, ContestProblem, ContestSet, Standings
from evalkit_tasks.codeforces.elo import Floats
from evalkit_tasks.codeforces.estimate import rate
from evalkit_tasks.codeforces.field import Field, people_spread
from evalkit_tasks.codeforces.solve_model import fit_solve_model
from evalkit_tasks.codeforces.table import Solve

PEOPLE = 8000
RATED_FIELDS = 20


def chosen_set(name: str) -> dict[int, Problems]:
    """`reachable KIND` is the first set of ten drawn among contests of that kind whose nine bounds are what was asked
    or less.
    """
    default = default_set()
    match name.split(" ", 1):
        case ["default"]:
            return default
        case ["three"]:
            return dict(list(default.items())[:3])
        case ["twenty"]:
            return {i + 10000 * k: problems for k in (0, 1) for i, problems in default.items()}
        case ["ladder"]:
            return dict.fromkeys(range(1, 11), LADDER)
        case ["reachable", kind]:
            rng, contests = np.random.default_rng(0), contests_by_kind(1900)[kind]
            while True:
                found = drawn(contests, rng)
                if all(bound(r, n, difficulties_of(found)) <= asked for (r, n), asked in TARGET.items()):
                    return found
    raise SystemExit(f"there is no set {name!r}: default, three, twenty, ladder, 'reachable no points', ...")


def simulated_set(
    contests: dict[int, Problems], shared_sd: float, people: int, rng: np.random.Generator, spread: float = 0.0
) -> tuple[ContestSet, Floats]:
    """The contests with simulated people, and every problem's difficulty for them, in the contests' order.

    `spread` is the sd of each person's own error with each problem.
    """
    made, difficulties = [], []
    for contest, problems in contests.items():
        d = np.array([r for _, r, _ in problems]) + rng.normal(0, shared_sd, len(problems))
        points = np.array([p for *_, p in problems], dtype=np.float64)
        ratings = np.clip(rng.normal(1400, 300, people), 0, 2100).round().astype(np.int64)
        luck = rng.normal(0, spread, (people, d.size))
        solved = rng.random((people, d.size)) < solve(ratings[:, None] + luck - d)
        masks = (solved @ (1 << np.arange(d.size))).astype(np.int64)
        none = np.zeros(people, np.int64)
        standings = Standings(ratings, ratings, none, solved @ points, rng.random(people).round(4), masks)
        listed = tuple(ContestProblem(index, p, int(r)) for index, r, p in problems)
        made.append(Contest(contest, str(contest), "2", "points", listed, None, standings))
        difficulties.append(d)
    return ContestSet("simulated", tuple(made)), np.concatenate(difficulties)


def drawn_table(
    contests: ContestSet, difficulties: Floats, rating: int, own_sd: float, n: int, rng: np.random.Generator
) -> list[Solve]:
    chances = solve(rating - difficulties - rng.normal(0, own_sd, difficulties.size))
    names = [(c.id, p.index) for c in contests.contests for p in c.problems]
    return [Solve(*name, int(k), n) for name, k in zip(names, rng.binomial(n, chances), strict=True)]


def report(
    name: str, rating: int, n: int, found: Sequence[tuple[float, float, float]], fields: int, extra: str = ""
) -> None:
    values, low, high = np.array(found).T
    hits = (low <= rating) & (rating <= high)
    rmse, bias = np.sqrt(((values - rating) ** 2).mean()), values.mean() - rating
    covered, width = hits.mean(), (high - low).mean()
    # found field by field
    bias_error, covered_error = (
        v.reshape(fields, -1).mean(axis=1).std(ddof=1) / np.sqrt(fields) for v in (values, hits)
    )
    asked = TARGET.get((rating, n))
    print(
        f"{name:<8} {rating:>5} {n:>3}  RMSE {rmse:>4.0f}{f' (asked {asked:>3})' if asked else ''}{extra}  "
        f"bias {bias:>+4.0f} ± {bias_error:.0f}  coverage {covered:.3f} ± {covered_error:.3f}  width {width:.0f}  "
        f"of {values.size}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="default", help="default, three, twenty, ladder, 'reachable KIND'")
    parser.add_argument("--reading", choices=["own", "shared"], default="own")
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument(
        "--fields", type=int, default=20, help="simulated fields of people; repetitions are split over them"
    )
    parser.add_argument("--spread", type=float, default=200.0, help="sd of each person's own error with each problem")
    parser.add_argument("--noise-sd", type=float, default=NOISE_SD)
    parser.add_argument("--ratings", type=int, nargs="*", default=sorted({r for r, _ in TARGET}))
    parser.add_argument("--samples", type=int, nargs="*", default=sorted({n for _, n in TARGET}))
    options = parser.parse_args()
    contests, rng = chosen_set(options.set), np.random.default_rng(0)
    rated = np.array(difficulties_of(contests))
    own, shared = (options.noise_sd, 0.0) if options.reading == "own" else (0.0, options.noise_sd)
    print(
        f"set {options.set}: {len(contests)} contests, {rated.size} problems; "
        f"error of sd {options.noise_sd:g}, {options.reading}"
    )
    found: dict[tuple[str, int, int], list[tuple[float, float, float]]] = {}
    for number in range(options.fields):
        field, difficulties = simulated_set(contests, shared, PEOPLE, rng, options.spread)
        fields = [Field(c, range(len(c.problems))) for c in field.contests]
        spread = people_spread([f.crowd for f in fields])
        curves = [f.crowd.curves(spread) for f in fields]
        measured, slopes = (np.concatenate([getattr(c, name) for c in curves]) for name in ("difficulties", "slopes"))
        for rating in options.ratings:
            for n in options.samples:
                for repetition in range(max(options.repetitions // options.fields, 1)):
                    table = drawn_table(field, difficulties, rating, own, n, rng)
                    solved, samples = [r.solved for r in table], [n] * len(table)
                    by_rating = fit_solve_model(rated, solved, samples)
                    people = fit_solve_model(measured, solved, samples, slopes=slopes)
                    for name, fit in (("ratings", by_rating), ("people", people)):
                        found.setdefault((name, rating, n), []).append((fit.rating, fit.low, fit.high))
                    if repetition == 0 and number < RATED_FIELDS:
                        whole = rate(table, field, draws=300)
                        assert abs(whole.rating - people.rating) < 1e-6
    for name in ("ratings", "people"):
        for rating in options.ratings:
            for n in options.samples:
                limit = f" bound {bound(rating, n, rated.tolist(), options.noise_sd):>3.0f}"
                revealed = options.reading == "shared" and name == "people"
                if revealed:
                    limit = f" bound {bound(rating, n, rated.tolist(), 0.0):>3.0f}"
                report(name, rating, n, found[name, rating, n], options.fields, limit)


if __name__ == "__main__":
    main()
