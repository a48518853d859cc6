"""How often intervals hold and verdicts err, in simulated runs: writes docs/coverage.md, every cell of it.

    python benchmarks/interval_coverage.py [PART ...] [--runs 400] [--cells FILE] [--page docs/coverage.md]

Parts: avg, pass, cons, differences, published, ratings (all by default). The cells of each part are kept in FILE, so
that parts can be run one at a time; the page is written from all that FILE holds. `ratings` takes the problems of the
default contest set from EVALKIT_DATA, without it those of a ladder of difficulties.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from evalkit.results.published import PublishedScore
from evalkit.results.reproduction import reproduced
from evalkit.stats import compare_paired, cons_curve
from evalkit.stats.intervals import Floats, estimate
from evalkit.stats.percent import percent_metric
from evalkit.stats.solve_rates import pass_table, pass_variance
from evalkit.types import Metric

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
Cells = dict[str, str]
Only = Callable[[str], bool]
Z = 1.96
AGAIN = 8
SCALE = {"cons": 3, "differences": 2}  # parts that take fewer runs


def mixed(*parts: tuple[float, float, float]) -> Draw:
    """Solve rates that are uniform between two ends (the last two numbers) with the probability of each part."""
    shares, low, high = np.array(parts).T

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        kind = rng.choice(len(shares), p=shares / shares.sum(), size=shape)
        return np.asarray(low[kind] + (high - low)[kind] * rng.random(shape))

    return draw


def beta(a: float, b: float) -> Draw:
    return lambda rng, shape: rng.beta(a, b, shape)


FAMILIES: dict[str, Draw] = {
    **{f"all {rate:g}": mixed((1, rate, rate)) for rate in (0.003, 0.01, 0.03, 0.1, 0.5, 0.9, 0.97, 0.99)},
    "45% 0, 45% 1, 10% 0.5": mixed((0.45, 0, 0), (0.45, 1, 1), (0.1, 0.5, 0.5)),
    "half 1, half 0.05": mixed((0.5, 1, 1), (0.5, 0.05, 0.05)),
    "half 0.9, half 0.01": mixed((0.5, 0.9, 0.9), (0.5, 0.01, 0.01)),
    "half 0, half 0.3": mixed((0.5, 0, 0), (0.5, 0.3, 0.3)),
    "90% 0.02, 10% 0.95": mixed((0.9, 0.02, 0.02), (0.1, 0.95, 0.95)),
    "95% 0.98, 5% 0.1": mixed((0.95, 0.98, 0.98), (0.05, 0.1, 0.1)),
    "97% 0.99, 3% 0": mixed((0.97, 0.99, 0.99), (0.03, 0, 0)),
    "95% 0, 5% 0.5": mixed((0.95, 0, 0), (0.05, 0.5, 0.5)),
    "U-shaped, beta(0.1, 0.1)": beta(0.1, 0.1),
    "near 0, beta(0.03, 0.3)": beta(0.03, 0.3),
    "near 1, beta(2, 0.1)": beta(2, 0.1),
    "uniform": mixed((1, 0, 1)),
    "like AIME": mixed((0.3, 0, 0.02), (0.2, 0.02, 0.3), (0.25, 0.3, 0.9), (0.25, 0.9, 1)),
    "like MATH-500": mixed((0.72, 0.97, 1), (0.14, 0.8, 0.97), (0.09, 0.1, 0.8), (0.05, 0, 0.05)),
    "like GPQA": mixed((0.15, 0, 0.1), (0.5, 0.1, 0.6), (0.2, 0.6, 0.95), (0.15, 0.95, 1)),
}


def generator(*key: object) -> np.random.Generator:
    """Seeded by the cell, so that a part can be run on its own."""
    return np.random.default_rng([ord(c) for c in repr(key)])


def share(hits: float, runs: int) -> str:
    return f"{100 * hits / runs:.1f}"


def times(width: float, oracle: float) -> str:
    """A mean width over that of an oracle, which knows the true standard error; empty where that is 0."""
    return f" ×{width / oracle:.1f}" if oracle > 1e-4 and width / oracle < 99.5 else ""


def inside(interval: tuple[float, float], truth: float, tolerance: float = 1e-7) -> bool:
    return interval[0] - tolerance <= truth <= interval[1] + tolerance


def avg(runs: int, only: Only) -> Iterator[tuple[str, Cells]]:
    means_of = {name: float(draw(generator("all", name), (2000, 1000)).mean()) for name, draw in FAMILIES.items()}
    for name, m in product(FAMILIES, (9, 13, 30, 100, 500)):
        if not only(row := f"{name} | {m}"):
            continue
        draw, everywhere, run, over = FAMILIES[name], means_of[name], {}, {}
        for n in (1, 2, 4, 16, 64):
            rng = generator("avg", name, m, n, runs)
            rates = draw(rng, (runs, m))
            means = rng.binomial(n, rates) / n
            widths, held = np.zeros(2), np.zeros(2)
            for i in range(runs):
                variance = float((means[i] * (1 - means[i])).sum()) / (n - 1) if n > 1 else None
                found = estimate(means[i], variance, n)
                held += (inside(found.interval_run, rates[i].mean()), inside(found.interval_problems, everywhere))
                widths += [high - low for low, high in (found.interval_run, found.interval_problems)]
            oracle = 2 * Z * np.sqrt((rates * (1 - rates)).mean() / (n * m))
            run[f"n={n}"] = share(held[0], runs) + times(widths[0] / runs, oracle)
            over[f"n={n} "] = share(held[1], runs) + times(widths[1] / runs, 2 * Z * float(means.mean(axis=1).std()))
        yield row, run | over


def at_least_one(runs: int, only: Only) -> Iterator[tuple[str, Cells]]:
    settings = ((2, 2), (3, 3), (4, 2), (4, 4), (8, 8), (16, 4), (16, 16), (64, 16), (64, 64))
    everywhere = {name: draw(generator("all", name), (1000, 1000)) for name, draw in FAMILIES.items()}
    means = {(name, k): float((1 - (1 - r) ** k).mean()) for name, r in everywhere.items() for _, k in settings}
    for name, m in product(FAMILIES, (9, 30, 100, 500)):
        if not only(row := f"{name} | {m}"):
            continue
        cells, over = {}, {}
        for n, k in settings:
            rng = generator("pass", name, m, n, k, runs)
            rates = FAMILIES[name](rng, (runs, m))
            counts, table = rng.binomial(n, rates), pass_table(n, k)
            by_count = np.stack([(counts == c).sum(axis=1) for c in range(n + 1)], axis=1).astype(np.float64)
            variances, truth = pass_variance(by_count, n, k), (1 - (1 - rates) ** k).mean(axis=1)
            found = [estimate(table[c], float(v), n, k) for c, v in zip(counts, variances, strict=True)]
            held = sum(inside(f.interval_run, t) for f, t in zip(found, truth, strict=True))
            width = sum(f.interval_run[1] - f.interval_run[0] for f in found) / runs
            spread = float(np.std([f.value for f in found] - truth))
            cells[f"{n}, {k}"] = share(held, runs) + times(width, 2 * Z * spread)
            held = sum(inside(f.interval_problems, means[name, k]) for f in found)
            width = sum(f.interval_problems[1] - f.interval_problems[0] for f in found) / runs
            over[f"{n}, {k} "] = share(held, runs) + times(width, 2 * Z * float(np.std([f.value for f in found])))
        yield row, cells | over


def consensus(runs: int, only: Only) -> Iterator[tuple[str, Cells]]:
    """Wrong samples give one of `wrong` equally likely answers."""
    grid, runs = np.linspace(0, 1, 201), max(runs // SCALE["cons"], 20)
    for name, wrong, (m, n) in product(FAMILIES, (1, 4), ((30, 2), (30, 4), (100, 3), (100, 4), (30, 16), (30, 64))):
        if not only(row := f"{name} | {wrong} | {m} | {n}"):
            continue
        rng = generator("cons", name, wrong, m, n, runs)
        ks = sorted({max(n // 2, 2), n})
        truths = [np.array([election(rng, p, wrong, k) for p in grid]) for k in ks]
        drawn = FAMILIES[name](rng, (500, 400))
        everywhere = [float(np.interp(drawn, grid, t).mean()) for t in truths]
        held, over, width, errors = np.zeros(len(ks)), np.zeros(len(ks)), np.zeros(len(ks)), []
        for rates in FAMILIES[name](rng, (runs, m)):
            right = rng.random((m, n)) < rates[:, None]
            answers = np.where(right, -1, rng.integers(0, wrong, (m, n)))
            found = cons_curve(answers.tolist(), right.astype(np.float64), ks)
            truth = [float(np.interp(rates, grid, t).mean()) for t in truths]
            # the truth is simulated where there are several wrong answers
            held += [
                f.interval_run[0] - 0.002 <= t <= f.interval_run[1] + 0.002 for f, t in zip(found, truth, strict=True)
            ]
            over += [inside(f.interval_problems, t, 0.003) for f, t in zip(found, everywhere, strict=True)]
            width += [f.interval_run[1] - f.interval_run[0] for f in found]
            errors.append([f.value - t for f, t in zip(found, truth, strict=True)])
        spread = np.std(errors, axis=0)
        cells: Cells = {"k=n/2": "", "k=n": "", "k=n/2 ": "", "k=n ": ""}
        for i, k in enumerate(ks):
            column = "k=n" if k == n else "k=n/2"
            cells[column] = share(held[i], runs) + times(width[i] / runs, 2 * Z * spread[i])
            cells[f"{column} "] = share(over[i], runs)
        yield row, cells


def election(rng: np.random.Generator, rate: float, wrong: int, k: int) -> float:
    """The right answer's share in winning among k votes."""
    if wrong == 1:
        return float(binom.sf(k // 2, k, rate) + (0.5 * binom.pmf(k // 2, k, rate) if k % 2 == 0 else 0.0))
    votes = rng.multinomial(k, [rate] + [(1 - rate) / wrong] * wrong, size=3000)
    top = votes.max(axis=1)
    return float(((votes[:, 0] == top) / (votes == top[:, None]).sum(axis=1)).mean())


def differences(runs: int, only: Only) -> Iterator[tuple[str, Cells]]:
    """Two models of the same rates, and two whose rates are drawn apart from one family."""
    sizes = ((9, 1, 1), (9, 4, 4), (9, 1, 64), (30, 1, 1), (30, 8, 8), (30, 1, 8), (30, 64, 1), (30, 4, 64),
             (100, 1, 1), (100, 1, 4), (500, 1, 1), (500, 4, 4))  # fmt: skip
    runs = max(runs // SCALE["differences"], 20)
    for name, (m, n_a, n_b) in product(FAMILIES, sizes):
        if not only(row := f"{name} | {m} | {n_a} | {n_b}"):
            continue
        cells: Cells = {}
        for kind in ("same", "apart"):
            rng = generator("differences", name, m, n_a, n_b, kind, runs)
            of_a = FAMILIES[name](rng, (runs, m))
            of_b = of_a if kind == "same" else FAMILIES[name](rng, (runs, m))
            held, found, errors, width = np.zeros(2), 0, [], 0.0
            for p, q in zip(of_a, of_b, strict=True):
                a, b = ((rng.random((m, n)) < r[:, None]).astype(float) for n, r in ((n_a, p), (n_b, q)))
                one, truth = compare_paired(a.tolist(), b.tolist()), float(q.mean() - p.mean())
                held += (inside(one.interval_run, truth), inside(one.interval_problems, 0.0))
                found += one.p_value < 0.05
                errors.append(one.difference - truth)
                width += one.interval_run[1] - one.interval_run[0]
            cells[f"{kind}: run"] = share(held[0], runs) + times(width / runs, 2 * Z * float(np.std(errors)))
            cells[f"{kind}: problems"] = share(held[1], runs)
            cells[f"{kind}: p < 0.05"] = share(found, runs)
        yield row, cells


def published(runs: int, only: Only) -> Iterator[tuple[str, Cells]]:
    """Verdicts `above` and `below` on a figure of the same rates; ? is a figure whose n is not told."""
    for name, m, n in product(FAMILIES, (9, 30, 198, 500), (1, 4, 64)):
        if not only(row := f"{name} | {m} | {n}"):
            continue
        cells: Cells = {}
        for theirs, told in ((1, True), (4, True), (64, True), (1, False), (64, False)):
            rng = generator("published", name, m, n, theirs, told, runs)
            rates = FAMILIES[name](rng, (runs, m))
            means, figures = rng.binomial(n, rates) / n, rng.binomial(theirs, rates).mean(axis=1) / theirs
            wrong = sum(
                reproduced(as_metric(own, n), n, as_figure(figure, theirs if told else None)).word in ("above", "below")
                for own, figure in zip(means, figures, strict=True)
            )
            cells[f"{theirs}" + ("" if told else "?")] = share(wrong, runs)
        yield row, cells


def as_metric(means: Floats, n: int) -> Metric:
    found = estimate(means, float((means * (1 - means)).sum()) / (n - 1) if n > 1 else None, n)
    return percent_metric("pass@1", found)


def as_figure(value: float, n: int | None) -> PublishedScore:
    return PublishedScore("", "", "", "pass@1", round(100 * value, 1), None, n, "", {}, "", "")


def ratings(runs: int, only: Only) -> Iterator[tuple[str, Cells]]:
    """Ten contests of 2,000 people; the model's own error has the sd 250. Ten crowds for each row."""
    from codeforces_bounds import LADDER, default_set
    from codeforces_simulation import simulated_set
    from evalkit_tasks.codeforces.field import Field, people_spread
    from evalkit_tasks.codeforces.solve_model import run_error

    contests = default_set() if "EVALKIT_DATA" in os.environ else dict.fromkeys(range(1, 11), LADDER)
    crowds, levels = 10, (800, 1000, 1200, 1500, 2000, 2600)
    each = max(runs // crowds, 2)
    for spread in (0.0, 200.0, 300.0):
        wanted = [(r, n) for r, n in product(levels, (1, 8)) if only(f"{spread:.0f} | {r} | {n}")]
        if not wanted:
            continue
        found: dict[tuple[int, int], list[tuple[float, ...]]] = {}
        for crowd in range(crowds):
            rng = generator("ratings", spread, crowd, runs)
            world, true = simulated_set(contests, 0.0, 2000, rng, spread)
            fields = [Field(c, range(len(c.problems))).crowd for c in world.contests]
            curves = [f.curves(people_spread(fields)) for f in fields]
            d, slopes = (np.concatenate([getattr(c, part) for c in curves]) for part in ("difficulties", "slopes"))
            fits = {n: fitter(d, slopes, n) for n in {n for _, n in wanted}}
            for level, n in wanted:
                shift = rng.normal(0, 250, (each, true.size))
                counts = rng.binomial(n, 1 / (1 + 10 ** ((true + shift - level) / 400)), (2, each, true.size))
                for i, (k, again) in enumerate(counts.transpose(1, 0, 2)):
                    one, wrong = fits[n](k), np.nan
                    if i % 8 == 0:
                        run = run_error(d, k, np.full(true.size, n), slopes, rating=one.rating, draws=100, rng=rng)
                        wrong = float(abs(one.rating - fits[n](again).rating) >= Z * run.stderr * 2**0.5)
                    held = one.low <= level <= one.high
                    found.setdefault((level, n), []).append((one.rating - level, held, one.high - one.low, wrong))
        for (level, n), rows in found.items():
            error, held, width, wrong = np.array(rows, dtype=np.float64).T
            cells = {"bias": f"{error.mean():+.0f}", "RMSE": f"{np.sqrt((error**2).mean()):.0f}",
                     "coverage": share(held.sum(), len(rows)) + times(width.mean(), 2 * Z * float(error.std())),
                     "false z": share(np.nansum(wrong), np.isfinite(wrong).sum())}  # fmt: skip
            yield f"{spread:.0f} | {level} | {n}", cells


def fitter(difficulties: Floats, slopes: Floats, n: int) -> Callable[[Any], Any]:
    """`fit_solve_model` for many counts on the same problems: the same, from tables of each count's likelihood."""
    from evalkit_tasks.codeforces.solve_model import NOISE, fit_solve_model, log_chances, log_prior, summary

    problems = np.arange(difficulties.size)
    tables = [
        np.array(
            [log_chances(difficulties, slopes, [c] * problems.size, [n] * problems.size, sd) for c in range(n + 1)]
        )
        for sd, _ in NOISE
    ]
    prior, weights = log_prior(difficulties, slopes), np.log([weight for _, weight in NOISE])[:, None]

    def fit(counts: Any) -> Any:
        parts = np.array([of_sd[counts, problems].sum(axis=0) for of_sd in tables]) + weights
        return summary(np.logaddexp.reduce(parts) + prior, problems.size, 0.95)

    probe = problems % (n + 1)
    assert (
        abs(fit(probe).rating - fit_solve_model(difficulties, probe, [n] * problems.size, slopes=slopes).rating) < 1e-6
    )
    return fit


PARTS: dict[str, tuple[Callable[[int, Only], Iterator[tuple[str, Cells]]], str, str]] = {
    "avg": (avg, "family | m", "avg@n: coverage run to run (first) and over problems (second group of columns)"),
    "pass": (at_least_one, "family | m", "pass@k: coverage run to run (first) and over problems; columns are n, k"),
    "cons": (consensus, "family | wrong answers | m | n", "cons@k: coverage run to run (first) and over problems"),
    "differences": (differences, "family | m | n of A | n of B", "Differences: coverage, and p below 0.05 (nominal 5)"),
    "published": (published, "family | m | our n", "False verdicts on a published figure (nominal 5); columns: its n"),
    "ratings": (ratings, "people's spread | rating | n", "CodeForces ratings from standings (rule humans)"),
}


def short(column: str, text: str) -> bool:
    """Whether a cell misses what is wanted: 92% of coverage, at most 7% false verdicts, a bias of at most 20."""
    if not text or column == "RMSE":
        return False
    value = float(text.split(" ")[0])
    if "p <" in column or column == "false z" or column.rstrip("?").isdecimal():
        return value > 7
    return abs(value) > 20 if column == "bias" else value < 92


def summary(rows: dict[str, Cells]) -> str:
    by_column: dict[str, list[tuple[float, bool]]] = {}
    for cells in rows.values():
        for column, text in cells.items():
            if text and column != "RMSE":
                by_column.setdefault(column, []).append((float(text.split(" ")[0]), short(column, text)))
    told = []
    for column, found in by_column.items():
        values = [value for value, _ in found]
        missed = f"{sum(miss for _, miss in found)} of {len(found)} short"
        told.append(f"{column.strip()} {min(values):g} to {max(values):g}, {missed}")
    return "; ".join(told) + "."


def table(key: str, rows: dict[str, Cells]) -> list[str]:
    columns = list(dict.fromkeys(c for cells in rows.values() for c in cells))
    lines = [
        f"| {key} | {' | '.join(c.strip() for c in columns)} |",
        "|" + "-|" * (key.count("|") + 1) + "-:|" * len(columns),
    ]
    for name, cells in rows.items():
        told = (f"**{cells[c]}**" if short(c, cells.get(c, "")) else cells.get(c, "") for c in columns)
        lines.append(f"| {name} | {' | '.join(told)} |")
    return [*lines, ""]


def page(kept: dict[str, Any]) -> str:
    lines = [
        "# Coverage: every simulated cell", "",
        "Written by `python benchmarks/interval_coverage.py`; [statistics](statistics.md) has the methods.",
        "Percent of simulated runs. Behind ×: the mean width over that of an oracle, which knows the true standard",
        "error (left out where that is nearly 0 or the ratio is above 99). m problems, n samples per problem, drawn",
        "again in each run.",
        "Bold: coverage below 92, false verdicts or p < 0.05 above 7, a bias beyond 20. A share near 95 has the",
        "standard error 22 / √runs, so that of hundreds of cells some are bold by chance: every row that has such a",
        "cell is simulated again with more runs, in a table of its own.", "",
    ]  # fmt: skip
    for part, (_, key, title) in PARTS.items():
        if part in kept:
            runs, rows, again = (kept[part][what] for what in ("runs", "rows", "again"))
            lines += [f"## {title}", "", f"{runs} runs a cell: {summary(rows)}", "", *table(key, rows)]
            if again:
                lines += [f"Again, {AGAIN * runs} runs a cell: {summary(again)}", "", *table(key, again)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--cells", type=Path, default=Path("coverage-cells.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/coverage.md"))
    options = parser.parse_args()
    kept = json.loads(options.cells.read_text()) if options.cells.exists() else {}
    for part in options.parts or PARTS:
        found = kept[part] = {"runs": options.runs // SCALE.get(part, 1), "rows": {}, "again": {}}
        simulate = PARTS[part][0]
        for name, cells in simulate(options.runs, lambda _: True):
            found["rows"][name] = cells
            print(part, name, cells, flush=True)
        missed = {row for row, cells in found["rows"].items() if any(short(c, text) for c, text in cells.items())}
        for name, cells in simulate(AGAIN * options.runs, missed.__contains__):
            found["again"][name] = cells
            print(part, "again", name, cells, flush=True)
        options.cells.write_text(json.dumps(kept))
        options.page.write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
