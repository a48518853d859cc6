"""Models with known solve rates, and how often the 95% intervals of their runs hold the truth."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats import Estimate, avg_at_n

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, float, int], Floats]


def beta(concentration: float) -> Draw:
    """Solve rates that vary as a beta distribution: the smaller the concentration, the more they vary."""
    return lambda rng, mean, problems: rng.beta(mean * concentration, (1 - mean) * concentration, problems)


def never_or_often(rng: np.random.Generator, mean: float, problems: int) -> Floats:
    """Most problems are never solved, the others at varying rates; the mirror image above one half."""
    share, a, b = (0.6, 5, 1) if mean == 0.5 else (0.1, 1, 4)
    rates = np.where(rng.random(problems) < share, rng.beta(a, b, problems), 0.0)
    return rates if mean <= 0.5 else 1 - rates


FAMILIES: dict[str, Draw] = {
    "beta 20": beta(20),
    "beta 5": beta(5),
    "beta 2": beta(2),
    "beta 1": beta(1),
    "beta 0.5": beta(0.5),
    "never or often": never_or_often,
}


def mirrored(draw: Draw) -> Draw:
    """A family given for means up to one half; above it, its mirror image."""
    return lambda rng, mean, problems: draw(rng, mean, problems) if mean <= 0.5 else 1 - draw(rng, 1 - mean, problems)


def logit_normal(spread: float) -> Draw:
    """The logistic function of a normal variable, its centre set so that the mean is the one asked for."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def draw(rng: np.random.Generator, mean: float, problems: int) -> Floats:
        low, high = -30.0, 30.0
        for _ in range(60):
            centre = (low + high) / 2
            below = float(weights @ (1 / (1 + np.exp(-(centre + spread * nodes))))) < mean
            low, high = (centre, high) if below else (low, centre)
        return 1 / (1 + np.exp(-(low + spread * rng.standard_normal(problems))))

    return draw


def three_point(rng: np.random.Generator, mean: float, problems: int) -> Floats:
    """Hopeless, middling and easy problems (mean 0.02 or 0.5)."""
    if mean == 0.5:
        return rng.choice([0.05, 0.5, 0.95], size=problems)
    return rng.choice([0.0, 0.1, 0.6], p=[0.9, 0.08, 0.02], size=problems)


def two_point(share: float, far: float) -> Draw:
    """`share` of the problems are of another kind, `far` of the way from the mean to the end; the others are alike."""

    def draw(rng: np.random.Generator, mean: float, problems: int) -> Floats:
        rare = min(mean + far * (1 - mean), mean / share)
        return np.where(rng.random(problems) < share, rare, (mean - share * rare) / (1 - share))

    return draw


# FAMILIES were at hand when the intervals were made. HELD_OUT were made to break them, and one weight was then chosen
# with them in view. LATER were made after that.
HELD_OUT: dict[str, Draw] = {
    "equal": lambda rng, mean, problems: np.full(problems, mean),
    "uniform": mirrored(lambda rng, mean, problems: rng.uniform(0, 2 * mean, problems)),
    "logit-normal 0.7": logit_normal(0.7),
    "logit-normal 2": logit_normal(2.0),
    "three-point": mirrored(three_point),
    "U-shaped": lambda rng, mean, problems: np.where(rng.random(problems) < (mean - 0.005) / 0.99, 0.995, 0.005),
    "power": mirrored(lambda rng, mean, problems: rng.random(problems) ** (1 / mean - 1)),
    "two-point 5%": mirrored(two_point(0.05, 0.2)),
    "two-point 5%, far": mirrored(two_point(0.05, 1.0)),
}
LATER: dict[str, Draw] = {
    "triangular": mirrored(lambda rng, mean, problems: mean * (rng.random(problems) + rng.random(problems))),
    "logit-normal 1.2": logit_normal(1.2),
    "two-point 3%": mirrored(two_point(0.03, 0.4)),
    "two-point 10%": mirrored(two_point(0.1, 0.15)),
    "two-point 20%": mirrored(two_point(0.2, 1.0)),
    "beta 3": beta(3),
}
MEANS, PROBLEMS, SAMPLES = (0.02, 0.5, 0.98), (30, 500), (1, 4, 64)


@dataclass(frozen=True)
class Coverage:
    """Shares, in [0, 1], of simulated runs whose interval held the truth."""

    run: float
    problems: float


def coverage(
    family: str,
    mean: float,
    problems: int,
    n: int,
    runs: int,
    metric: Callable[[Floats], Estimate] = avg_at_n,
    truth: Callable[[Floats], Floats] = lambda rates: rates,
    seed: int = 0,
) -> Coverage:
    """Draw new problems and new samples for each run. `truth` gives a problem's true value from its solve rate.

    The run-to-run interval has to hold the mean over the run's own problems, the one over problems the mean over all
    problems of the family.
    """
    rng = np.random.default_rng([seed, problems, n, int(1000 * mean), zlib.crc32(family.encode())])
    draw = (FAMILIES | HELD_OUT | LATER)[family]
    population = float(truth(draw(rng, mean, 2_000_000)).mean()) if truth(np.array([0.3]))[0] != 0.3 else mean
    held_run = held_problems = 0
    for _ in range(runs):
        rates = draw(rng, mean, problems)
        estimate = metric((rng.random((problems, n)) < rates[:, None]).astype(np.float64))
        low, high = estimate.interval_run
        held_run += low - 1e-12 <= float(truth(rates).mean()) <= high + 1e-12
        low, high = estimate.interval_problems
        held_problems += low - 1e-12 <= population <= high + 1e-12
    return Coverage(held_run / runs, held_problems / runs)
