"""Bias, coverage and tokens of `--precision` in simulation, beside uniform n.

    python benchmarks/precision.py --runs 2000 --processes 2

Each setting has a number of problems, a distribution of solve rates and an n. The solve rates are mixtures: some
problems are nearly always solved, some nearly never, the rest lie between. Completions of problems that are hard take
more tokens (a factor of exp(1.6 (1 - rate)), log-normal with 0.3 between problems and 0.5 within). The aim of
`--precision` is the half-width of the run-to-run interval that uniform n has on these problems. Printed are the mean
error in points over all runs (each with problems of its own) with its standard error, the share of intervals that hold
the mean solve rate of the problems, the half-width, and the tokens used over those of uniform n. `oracle` are the
tokens of Neyman's allocation if every solve rate and cost were known, without any pilot.
"""

import argparse
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from evalkit.run.precision import next_sizes, pilot_size
from evalkit.stats.precision import Halves, Z, mean_of_halves

Floats = npt.NDArray[np.float64]
PILOT = 4


def mixture(high: float, low: float, ends: float) -> Callable[[np.random.Generator, int], Floats]:
    """Solve rates: a share `high` near 1, a share `low` near 0, the rest even. `ends` says how near."""

    def draw(rng: np.random.Generator, problems: int) -> Floats:
        u = rng.random(problems)
        near_one, near_zero = rng.beta(ends, 0.6, problems), rng.beta(0.6, ends, problems)
        between = rng.beta(1.2, 1.2, problems)
        return np.where(u < high, near_one, np.where(u < high + low, near_zero, between))

    return draw


SETTINGS: dict[str, tuple[int, int, Callable[[np.random.Generator, int], Floats]]] = {
    "AIME, 29% (1.5B)": (30, 64, mixture(0.10, 0.50, 60)),
    "AIME, 55% (7B)": (30, 64, mixture(0.33, 0.22, 60)),
    "AIME, 70% (32B)": (30, 64, mixture(0.50, 0.12, 60)),
    "AIME, all uncertain": (30, 64, mixture(0.0, 0.0, 60)),
    "MATH-500, 84% (1.5B)": (500, 4, mixture(0.72, 0.06, 100)),
    "MATH-500, 93% (7B)": (500, 4, mixture(0.87, 0.02, 150)),
    "MATH-500, 94% (32B)": (500, 4, mixture(0.91, 0.025, 200)),
    "MATH-500, 50% (base)": (500, 4, mixture(0.30, 0.30, 40)),
    "GPQA, 34% (1.5B)": (198, 8, mixture(0.08, 0.30, 25)),
    "GPQA, 49% (7B)": (198, 8, mixture(0.22, 0.24, 25)),
    "GPQA, 62% (32B)": (198, 8, mixture(0.40, 0.20, 25)),
    "GPQA, extreme": (198, 8, mixture(0.50, 0.40, 60)),
}


class Model:
    """Draws outcomes and tokens of problems with given solve rates."""

    def __init__(self, rates: Floats, rng: np.random.Generator) -> None:
        self.rates, self._rng = rates, rng
        self.costs = 4000 * np.exp(1.6 * (1 - rates)) * rng.lognormal(0, 0.3, len(rates))

    def draw(self, counts: npt.NDArray[np.int64]) -> tuple[list[float], list[float]]:
        """Outcomes and tokens of so many draws of each half of each problem (problems, 2), one after another."""
        problems = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        right = self._rng.random(len(problems)) < self.rates[problems]
        tokens = self.costs[problems] * self._rng.lognormal(-0.125, 0.5, len(problems))
        return right.astype(np.float64).tolist(), tokens.tolist()


def simulate(model: Model, aim: float) -> tuple[float, bool, float, float]:
    """One run: its error, whether the interval holds, its half-width, its tokens."""
    problems = range(len(model.rates))
    outcomes = [([], []) for _ in problems]  # type: list[tuple[list[float], list[float]]]
    tokens = [([], []) for _ in problems]  # type: list[tuple[list[float], list[float]]]

    def extend(sizes: list[tuple[int, int]]) -> None:
        have = [(len(first), len(second)) for first, second in outcomes]
        counts = np.maximum(np.array(sizes) - np.array(have), 0)
        right, cost = model.draw(counts)
        at = 0
        for p, pair in enumerate(counts.tolist()):
            for half, count in enumerate(pair):
                outcomes[p][half].extend(right[at : at + count])
                tokens[p][half].extend(cost[at : at + count])
                at += count

    extend([(PILOT // 2, PILOT // 2)] * len(problems))
    pilot = pilot_size([Halves(a, b) for a, b in outcomes], aim, 512)
    extend([(pilot // 2, pilot // 2)] * len(problems))
    for _ in range(8):
        sizes = next_sizes([Halves(a, b) for a, b in outcomes], tokens, pilot, aim, 512)
        if sizes is None:
            break
        extend(sizes)
    found = mean_of_halves([Halves(a, b) for a, b in outcomes])
    truth = float(model.rates.mean())
    low, high = found.interval_run
    used = math.fsum(t for pair in tokens for half in pair for t in half)
    return found.value - truth, low <= truth <= high, (high - low) / 2, used


def measured(name: str, runs: int, seed: int) -> str:
    """The row of one setting."""
    problems, n, rates = SETTINGS[name]
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(runs):
        model = Model(rates(rng, problems), rng)
        variances = model.rates * (1 - model.rates)
        aim = Z * math.sqrt(float(variances.sum()) / n) / problems
        error, holds, reached, used = simulate(model, aim)
        uniform = float(model.costs.sum()) * n
        best = float(np.sqrt(variances * model.costs).sum()) ** 2 / float(variances.sum()) * n
        rows.append((error, holds, aim, reached, used / uniform, best / uniform))
    values = np.array(rows, dtype=np.float64)
    bias, spread = 100 * values[:, 0].mean(), 100 * values[:, 0].std() / math.sqrt(len(rows))
    return (
        f"| {name}, n = {n} | {bias:+.3f} ({spread:.3f}) | {100 * values[:, 1].mean():.1f}% "
        f"| {100 * values[:, 2].mean():.2f} | {100 * values[:, 3].mean():.2f} | {values[:, 4].mean():.2f} "
        f"| {values[:, 5].mean():.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="settings whose name has this text")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    names = [name for name in SETTINGS if arguments.only in name]
    print("| setting | bias, points | coverage | half-width of uniform n | reached | tokens / uniform | oracle |")
    print("|-|-|-|-|-|-|-|", flush=True)
    with ProcessPoolExecutor(arguments.processes) as processes:
        for row in processes.map(partial(measured, runs=arguments.runs, seed=arguments.seed), names):
            print(row, flush=True)


if __name__ == "__main__":
    main()
