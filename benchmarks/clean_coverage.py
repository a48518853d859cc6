"""How often the interval of "clean minus whole" holds the true difference: simulated, over problems and run to run.

    python benchmarks/clean_coverage.py [--sets 2000]

Each set draws solve rates for clean and for contaminated problems from two Beta distributions, then samples. The true
difference over problems is that of the two populations' means times the share of contaminated problems, run to run
that of the drawn rates.
"""

import argparse

import numpy as np

from evalkit.stats.clean import clean_score

# problems, of them contaminated, samples per problem, the mean solve rate of the clean and of the contaminated,
# and how much rates vary (the sum of the Beta's parameters)
CASES = [
    (problems, contaminated, n, clean, dirty, spread)
    for problems, contaminated in ((30, 1), (30, 3), (30, 10), (198, 10), (500, 6), (500, 60), (500, 250))
    for n in (1, 4, 16)
    for clean, dirty in ((0.1, 0.3), (0.3, 0.9), (0.5, 0.5), (0.85, 0.98))
    for spread in (1.0, 10.0)
]


def covered(case: tuple[int, int, int, float, float, float], sets: int, seed: int) -> tuple[float, float]:
    """The shares of sets in which the interval over problems and the one run to run hold the truth."""
    problems, contaminated, n, clean, dirty, spread = case
    rng = np.random.default_rng(seed)
    mask = np.arange(problems) >= contaminated
    means = np.where(mask, clean, dirty)
    true = contaminated / problems * (clean - dirty)
    over = run = 0
    for _ in range(sets):
        rates = rng.beta(means * spread, (1 - means) * spread)
        values = (rng.random((problems, n)) < rates[:, None]).astype(float)
        found = clean_score(values, mask)
        assert found.interval_problems is not None
        assert found.interval_run is not None
        drawn = float(rates[mask].mean() - rates.mean())
        over += found.interval_problems[0] - 1e-12 <= true <= found.interval_problems[1] + 1e-12
        run += found.interval_run[0] - 1e-12 <= drawn <= found.interval_run[1] + 1e-12
    return over / sets, run / sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000)
    args = parser.parse_args()
    results = [(case, *covered(case, args.sets, seed)) for seed, case in enumerate(CASES)]
    for case, over, run in sorted(results, key=lambda row: min(row[1], row[2]))[:12]:
        print(f"{case}: {over:.3f} over problems, {run:.3f} run to run")
    for name, shares in (("over problems", [row[1] for row in results]), ("run to run", [row[2] for row in results])):
        print(
            f"{name}: least {min(shares):.3f}, mean {np.mean(shares):.3f}, below 93%: {sum(s < 0.93 for s in shares)}"
        )


if __name__ == "__main__":
    main()
