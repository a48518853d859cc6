"""What `evalkit compare` says against the truth: false findings over families of tasks, and the samples it asks for.

python benchmarks/comparison.py [--families 2000]
1. Families of three tasks on which nothing differs: how often a sentence calls a difference established.
2. Pilots of two runs that differ by exactly the target: the median of the samples that they say are needed, beside the
   samples that the test takes to find the difference in 4 of 5 tries.
"""

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from evalkit.stats import compare_paired, holm, samples_to_find, sign_flip_test

Floats = npt.NDArray[np.float64]
LEVEL = 0.05


def aime(rng: np.random.Generator) -> Floats:
    """30 problems, most of them either easy or hard."""
    return rng.beta(0.5, 0.7, 30)


def math(rng: np.random.Generator) -> Floats:
    """500 problems, most of them nearly always solved."""
    return rng.beta(2.4, 0.4, 500)


def gpqa(rng: np.random.Generator) -> Floats:
    """198 problems between chance and certainty."""
    return 0.1 + 0.85 * rng.beta(0.9, 1.1, 198)


def zero(rng: np.random.Generator) -> Floats:
    """A task that neither run solves: it must not count."""
    return np.zeros(60)


TASKS: dict[str, Callable[[np.random.Generator], Floats]] = {"aime": aime, "math": math, "gpqa": gpqa}


def draw(rng: np.random.Generator, rates: Floats, n: int) -> Floats:
    """Samples of problems with these solve rates."""
    return (rng.random((len(rates), n)) < rates[:, None]).astype(np.float64)


def family(rng: np.random.Generator, spread: float, n: dict[str, int], unequal: bool) -> bool:
    """Whether anything is called established in one family in which nothing differs.

    With a `spread` the two models solve different problems, at the same rate on average over problems of the kind.
    """
    found = []
    for name, make in {**TASKS, "zero": zero}.items():
        rates = make(rng)
        own, other = rates, rates
        if spread and name != "zero":
            # which of the two models a shift favours is random, so that neither is better
            shift = spread * rng.choice([-1.0, 1.0], len(rates))
            own, other = (np.clip(rates + side * shift, 0, 1) for side in (0.5, -0.5))
        count = n.get(name, 4)
        a, b = draw(rng, own, count), draw(rng, other, max(count // 2, 1) if unequal else count)
        found.append(compare_paired(a.tolist(), b.tolist()))
    adjusted = holm([c.p_value for c in found], [c.least_p for c in found])
    return any(
        p < LEVEL and not c.interval_problems[0] <= 0 <= c.interval_problems[1]
        for p, c in zip(adjusted, found, strict=True)
    )


def shifted(rates: Floats, target: float, spread: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Rates of two models that differ by `target` on average, by more or less on single problems."""
    room = np.clip(rates, 0.06, 0.94)
    differences = target + spread * rng.choice([-1.0, 1.0], len(rates))
    differences += target - differences.mean()
    low, high = room - differences / 2, room + differences / 2
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def power(rates: tuple[Floats, Floats], n: int, rng: np.random.Generator, tries: int) -> float:
    """The share of tries in which the test finds the difference with n samples per problem in each run."""
    hits = 0
    for _ in range(tries):
        a, b = (draw(rng, side, n) for side in rates)
        hits += sign_flip_test(a, b) < LEVEL
    return hits / tries


def truly_needed(rates: tuple[Floats, Floats], rng: np.random.Generator, tries: int) -> float:
    """The n of 80% power: a probit line through the power at four n around it."""
    from scipy.special import ndtri

    low, high = 1, 1
    while power(rates, high, rng, tries // 4) < 0.8 and high < 4096:
        low, high = high, high * 2
    at = np.unique(np.round(np.geomspace(max(low * 0.8, 1), high * 1.3, 5)).astype(int))
    shares = np.clip([power(rates, int(n), rng, tries) for n in at], 0.005, 0.995)
    slope, start = np.polyfit(np.log(at), ndtri(shares), 1)
    return float(np.exp((ndtri(0.8) - start) / slope))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, default=2000)
    parser.add_argument("--tries", type=int, default=400)
    parser.add_argument("--pilots", type=int, default=60)
    options = parser.parse_args()
    counts = {"aime": 16, "math": 4, "gpqa": 4}
    print("| nothing differs | families | a difference called established |\n|:-|-:|-:|")
    for told, spread, n, unequal in (
        ("equal models, n = 16, 4, 4", 0.0, counts, False),
        ("equal models, n = 1", 0.0, dict.fromkeys(counts, 1), False),
        ("each better on some problems, n = 16, 4, 4", 0.3, counts, False),
    ):
        rng = np.random.default_rng(1)
        if not options.families:
            break
        hits = sum(family(rng, spread, n, unequal) for _ in range(options.families))
        print(f"| {told} | {options.families} | {100 * hits / options.families:.1f}% |", flush=True)
    print("\n| differences | points | pilot n | told (median, middle half) | needed | ratio |\n|:-|-:|-:|-:|-:|-:|")
    for name, points, pilot, spread in (
        ("aime", 4, 16, 0.0), ("aime", 6, 64, 0.1), ("math", 1, 4, 0.0), ("math", 1.5, 4, 0.1), ("gpqa", 2, 8, 0.0),
        ("gpqa", 3, 8, 0.1),
    ):  # fmt: skip
        rng, target = np.random.default_rng(2), points / 100
        rates = shifted(TASKS[name](rng), target, spread, rng)
        needed = truly_needed(rates, rng, options.tries)
        told_n = []
        for _ in range(options.pilots):
            a, b = (draw(rng, side, pilot) for side in rates)
            found = samples_to_find(compare_paired(a.tolist(), b.tolist(), target), target)
            told_n.append(np.inf if found is None else found)
        low, middle, high = np.quantile(told_n, [0.25, 0.5, 0.75], method="nearest")
        kind = f"{name}, {'alike' if not spread else f'± {100 * spread:g} by problem'}"
        told = f"{middle:g} ({low:g} to {high:g})"
        print(f"| {kind} | {points:g} | {pilot} | {told} | {needed:.0f} | {middle / needed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
