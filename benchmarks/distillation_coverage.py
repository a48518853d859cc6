"""How often the intervals of `evalkit distill` hold the truth, and how many of its listed problems are false.

    python benchmarks/distillation_coverage.py [--draws 2000] [--part gap ends kept overlap crossing discoveries pooled]

Problems are drawn from a population whose solve rates by base, student and teacher are known (logistic in a common
difficulty and each model's own part), then samples from the rates. Printed in percent; "not defined" counts apart.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evalkit.stats.intervals import Floats, estimate
from evalkit.stats.passes import crossing_point, pass_curves
from evalkit.stats.published import error_towards
from evalkit.stats.ratio import gap_recovered, gap_recovered_run, pooled_ratio, score_kept
from evalkit.stats.solved import discoveries, more_often, overlap

POPULATION = 200_000


@dataclass(frozen=True, slots=True)
class World:
    """A population of problems: base, student and teacher as (ability, weight of the difficulty, own noise)."""

    name: str
    problems: int
    samples: int
    base: tuple[float, float, float]
    student: tuple[float, float, float]
    teacher: tuple[float, float, float]

    def rates(self, rng: np.random.Generator, problems: int) -> tuple[Floats, Floats, Floats]:
        difficulty = rng.normal(size=problems)

        def of(ability: float, slope: float, noise: float) -> Floats:
            logit = ability - slope * difficulty + noise * rng.normal(size=problems)
            return np.asarray(1 / (1 + np.exp(-logit)))

        return of(*self.base), of(*self.student), of(*self.teacher)


GAPS = (
    World("AIME, n = 64", 30, 64, (-2, 2, 1), (0, 2, 1), (1, 2, 1)),
    World("MATH-500, n = 4", 500, 4, (0, 2, 1), (1.5, 2, 1), (3, 2, 1)),
    World("GPQA, n = 8", 198, 8, (-0.5, 1, 1), (0, 1, 1), (1, 1, 1)),
    World("MATH-500, n = 1", 500, 1, (0, 2, 1), (1.5, 2, 1), (3, 2, 1)),
    World("AIME, n = 4, tiny gap", 30, 4, (0, 2, 1), (0.1, 2, 1), (0.2, 2, 1)),
    World("MATH-500, n = 1, tiny gap", 500, 1, (1, 2, 1), (1.1, 2, 1), (1.2, 2, 1)),
    World("GPQA, n = 8, small gap", 198, 8, (0, 1, 1), (0.2, 1, 1), (0.4, 1, 1)),
)
ENDS = (
    World("student near 0, 20, n = 1", 20, 1, (-6, 1, 1), (-4, 1, 1), (1, 2, 1)),
    World("student near 0, 30, n = 4", 30, 4, (-6, 1, 1), (-5, 1, 1), (1, 2, 1)),
    World("student near 0, 500, n = 1", 500, 1, (-7, 1, 1), (-6.5, 1, 1), (1, 2, 1)),
    World("half near 0, 30, n = 4", 30, 4, (-9, 6, 1), (-8, 6, 1), (1, 6, 1)),
    World("both near 1, 30, n = 4", 30, 4, (-2, 2, 1), (4, 1, 1), (5, 1, 1)),
    World("both near 1, 500, n = 1", 500, 1, (0, 2, 1), (4.5, 1, 1), (5, 1, 1)),
    World("almost alike, 198, n = 8", 198, 8, (-2, 2, 1), (1, 4, 0.1), (1.05, 4, 0.1)),
)
SHARPENED = (
    World("AIME, n = 64", 30, 64, (-1, 1.5, 0.5), (-0.5, 4, 2), (1, 2, 1)),
    World("100 problems, n = 16", 100, 16, (-1, 1.5, 0.5), (-0.5, 4, 2), (1, 2, 1)),
    World("MATH-500, n = 4", 500, 4, (0.5, 1.5, 0.5), (0.6, 4, 2), (1, 2, 1)),
    World("GPQA, n = 8", 198, 8, (-0.3, 1, 0.5), (-0.2, 3, 2), (1, 2, 1)),
    World("60 problems, n = 32", 60, 32, (-1, 1.5, 0.5), (-0.5, 4, 2), (1, 2, 1)),
    World("AIME, n = 8, early", 30, 8, (-0.5, 1.5, 0.5), (-0.45, 4, 2), (1, 2, 1)),
)


def counts(rng: np.random.Generator, samples: int, *rates: Floats) -> list[Floats]:
    """The observed solve rates of independent samples."""
    return [rng.binomial(samples, p) / samples for p in rates]


def gap(world: World, draws: int, rng: np.random.Generator) -> str:
    base, student, teacher = world.rates(np.random.default_rng(99), POPULATION)
    truth = (student.mean() - base.mean()) / (teacher.mean() - base.mean())
    held = undefined = run_held = run_undefined = 0
    for _ in range(draws):
        p = world.rates(rng, world.problems)
        b, s, t = counts(rng, world.samples, *p)
        found = gap_recovered(*(samples_of(x, world.samples) for x in (s, t, b)))
        undefined += found.interval is None
        held += found.interval is not None and found.interval[0] <= truth <= found.interval[1]
        fixed = (p[1].mean() - p[0].mean()) / (p[2].mean() - p[0].mean())
        means = (float(s.mean()), float(t.mean()), float(b.mean()))
        towards = zip((s, t, b), (means[0], means[2], means[1]), strict=True)  # as distillation.py asks for them
        errors = [run_error(x, world.samples, other) for x, other in towards]
        again = gap_recovered_run(means, (errors[0], errors[1], errors[2]))
        run_undefined += again.interval is None
        run_held += again.interval is not None and again.interval[0] <= fixed <= again.interval[1]
    return f"{told(held, undefined, draws)} | {told(run_held, run_undefined, draws)}"


def pooled(worlds: tuple[World, ...], draws: int, rng: np.random.Generator) -> str:
    """One gap over the benchmarks on which it is seen: the truth is that of the same benchmarks."""
    truths = []
    for world in worlds:
        base, student, teacher = world.rates(np.random.default_rng(99), POPULATION)
        truths.append((student.mean() - base.mean(), teacher.mean() - base.mean()))
    held = undefined = benchmarks = 0
    for _ in range(draws):
        parts, chosen = [], []
        for world, truth in zip(worlds, truths, strict=True):
            b, s, t = counts(rng, world.samples, *world.rates(rng, world.problems))
            of_all = samples_of(s, world.samples), samples_of(t, world.samples), samples_of(b, world.samples)
            alone = gap_recovered(*of_all)
            if alone.defined and alone.denominator > 0:
                parts.append(of_all)
                chosen.append(truth)
        found = pooled_ratio(parts) if len(parts) > 1 else None
        if found is None or found.interval is None:
            undefined += 1
            continue
        benchmarks += len(parts)
        truth_of_chosen = sum(top for top, _ in chosen) / sum(bottom for _, bottom in chosen)
        held += found.interval[0] <= truth_of_chosen <= found.interval[1]
    defined = draws - undefined
    return f"{told(held, undefined, draws)} | {benchmarks / max(defined, 1):.2f}"


def samples_of(rates: Floats, samples: int) -> Floats:
    """0 and 1 by problem and sample index, as many of 1 as the rates say."""
    return (np.arange(samples) < np.round(rates * samples)[:, None]).astype(np.float64)


def kept(world: World, draws: int, rng: np.random.Generator) -> str:
    """The share of the teacher's score: coverage over problems, and its width."""
    _, student, teacher = world.rates(np.random.default_rng(99), POPULATION)
    truth = student.mean() / teacher.mean()
    held = undefined = 0
    widths = []
    for _ in range(draws):
        _, s, t = counts(rng, world.samples, *world.rates(rng, world.problems))
        found = score_kept(samples_of(s, world.samples), samples_of(t, world.samples))
        undefined += found.interval is None
        if found.interval is not None:
            held += found.interval[0] <= truth <= found.interval[1]
            widths.append(found.interval[1] - found.interval[0])
    return f"{100 * truth:.1f} | {told(held, undefined, draws)} | {100 * np.median(widths):.1f}"


def run_error(observed: Floats, samples: int, other: float) -> float:
    """The run-to-run error of a mean on the side of `other`, as the page has it."""
    variance = None if samples == 1 else float((observed * (1 - observed)).sum()) / (samples - 1)
    found = estimate(observed, variance, samples)
    return error_towards(found.value, found.interval_run, other)


def told(held: int, undefined: int, draws: int) -> str:
    defined = draws - undefined
    among = f"{100 * held / defined:.1f}" if defined >= 50 else "–"
    return f"{100 * (held + undefined) / draws:.1f} | {among} | {100 * undefined / draws:.1f}"


def overlaps(world: World, draws: int, rng: np.random.Generator) -> str:
    base, student, teacher = world.rates(np.random.default_rng(99), POPULATION)
    kinds: dict[str, Callable[[Floats, Floats, Floats], tuple[Floats, ...]]] = {
        "inherited": lambda b, s, t: (s, t, 1 - b),
        "not inherited": lambda b, s, t: (1 - s, t),
        "lost": lambda b, s, t: (b, 1 - s),
        "beyond": lambda b, s, t: (s, 1 - t),
    }
    cells = []
    for parts in kinds.values():
        truth = float(np.prod(np.stack(parts(base, student, teacher)), axis=0).mean())
        held, total = 0, 0.0
        for _ in range(draws):
            b, s, t = counts(rng, world.samples, *world.rates(rng, world.problems))
            value, (low, high) = overlap(*parts(b, s, t))
            held += low <= truth <= high
            total += value
        cells.append(f"{100 * held / draws:.1f} ({100 * (total / draws - truth):+.2f})")
    return " | ".join(cells)


def crossing(world: World, draws: int, rng: np.random.Generator) -> str:
    base, student, _ = world.rates(np.random.default_rng(99), POPULATION)
    tries = np.arange(1, world.samples + 1)
    exact = [(1 - (1 - p[:, None]) ** tries[None, :]).mean(axis=0) for p in (base[:50_000], student[:50_000])]
    truth = crossing_point(exact[1][None, :], exact[0][None, :]).value
    held = none = 0
    for _ in range(draws):
        b, s = (rng.binomial(world.samples, p) for p in world.rates(rng, world.problems)[:2])
        found = crossing_point(pass_curves(s, world.samples), pass_curves(b, world.samples))
        none += found.interval is None
        if found.interval is not None and truth is not None:
            low, high = found.interval
            held += (low is None or low <= truth) and (high is None or truth <= high)
        elif truth is None:
            held += found.interval is None or found.interval[1] is None or found.interval[0] is None
    return f"{'none' if truth is None else f'{truth:.2f}'} | {100 * held / draws:.1f} | {100 * none / draws:.1f}"


def false_discoveries(world: World, draws: int, rng: np.random.Generator) -> str:
    """The mean share of the listed problems on which the first rate is not the larger one; half are exact ties."""
    shares = {"lost": 0.0, "beyond": 0.0}
    listed = {"lost": 0, "beyond": 0}
    for _ in range(draws):
        base, student, teacher = world.rates(rng, world.problems)
        tied = rng.random(world.problems) < 0.5
        base, teacher = np.where(tied, student, base), np.where(tied, student, teacher)
        b, s, t = (rng.binomial(world.samples, p) for p in (base, student, teacher))
        n = world.samples
        for name, p, wrong in (
            ("lost", more_often(b, n, s, n), base <= student),
            ("beyond", more_often(s, n, t, n), student <= teacher),
        ):
            found = discoveries(p)
            listed[name] += int(found.sum())
            shares[name] += float((found & wrong).sum() / max(found.sum(), 1))
    return " | ".join(f"{100 * shares[k] / draws:.1f} ({listed[k] / draws:.1f})" for k in shares)


PARTS: dict[str, tuple[str, tuple[World, ...], Callable[[World, int, np.random.Generator], str]]] = {
    "gap": (
        "over problems: held | where defined | not defined | run to run: held | where defined | not defined", GAPS, gap
    ),
    "ends": (
        "over problems: held | where defined | not defined | run to run: held | where defined | not defined", ENDS, gap
    ),
    "kept": ("truth | held | where defined | not defined | median width", GAPS + ENDS, kept),
    "overlap": ("inherited | not inherited | lost | beyond: held (bias in points)", GAPS[:6], overlaps),
    "crossing": ("true k | held | no interval", SHARPENED, crossing),
    "discoveries": ("lost | beyond: false share (listed)", GAPS, false_discoveries),
}  # fmt: skip

POOLED = {
    "clear gaps": (GAPS[0], GAPS[1], GAPS[2]),
    "small gaps": GAPS[4:],
    "one clear, three small": (GAPS[1], *GAPS[4:]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--part", nargs="*", choices=[*PARTS, "pooled"], default=[*PARTS, "pooled"])
    args = parser.parse_args()
    for part in args.part:
        if part == "pooled":
            print("\npooled: held | where defined | not defined | benchmarks with a gap")
            for i, (name, several) in enumerate(POOLED.items()):
                print(f"  {name:28} {pooled(several, args.draws, np.random.default_rng(i))}", flush=True)
            continue
        title, worlds, simulate = PARTS[part]
        print(f"\n{part}: {title}")
        for i, world in enumerate(worlds):
            print(f"  {world.name:28} {simulate(world, args.draws, np.random.default_rng(i))}", flush=True)


if __name__ == "__main__":
    main()
