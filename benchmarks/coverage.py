"""Coverage of the 95% intervals over simulated runs: three groups of families of solve rates, means, sizes and n.

python benchmarks/coverage.py [--runs 2000]
Prints a markdown table, and the cells below 93% or above 97.5%.
"""

import argparse
import sys
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from simulated_models import FAMILIES, HELD_OUT, LATER, MEANS, PROBLEMS, SAMPLES, Coverage, coverage

from evalkit.stats import Estimate, cons_at_k, pass_at_k


def passed(rates: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """The probability that one of k samples is right."""
    return np.asarray(1 - (1 - rates) ** k)


def binary_cons(values: npt.NDArray[np.float64], k: int) -> Estimate:
    """cons@k where every wrong answer is the same one: the majority of k votes on right and wrong."""
    answers = [["right" if v else "wrong" for v in row] for row in values]
    return cons_at_k(answers, [[bool(v) for v in row] for row in values], k)


def binary_cons_truth(rates: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """The probability that right beats wrong among k votes, a tie counted as one half."""
    from scipy.stats import binom

    tied = 0.5 * binom.pmf(k // 2, k, rates) if k % 2 == 0 else 0.0
    return np.asarray(binom.sf(k / 2, k, rates) + tied)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    groups = {"first": FAMILIES, "held out": HELD_OUT, "later": LATER}
    cells = [(g, *cell) for g, families in groups.items() for cell in product(families, MEANS, PROBLEMS, SAMPLES)]
    outside: list[str] = []
    summary: dict[str, list[Coverage]] = {group: [] for group in groups}
    print("| metric | family | mean | problems | n | run to run | over problems |\n|-|-|-|-|-|-|-|")
    for group, family, mean, problems, n in cells:
        found = coverage(family, mean, problems, n, runs)
        row = f"| avg@n | {group}: {family} | {mean} | {problems} | {n} | {found.run:.1%} | {found.problems:.1%} |"
        print(row, flush=True)
        summary[group].append(found)
        if not (0.93 <= found.run <= 0.975 and 0.93 <= found.problems <= 0.975):
            outside.append(row)
    for mean, (n, k) in product((0.1, 0.5, 0.9), ((16, 4), (16, 16), (64, 16), (64, 64))):
        pass_ = coverage("beta 2", mean, 30, n, runs // 4, partial(pass_at_k, k=k), partial(passed, k=k))
        print(f"| pass@{k} | beta 2 | {mean} | 30 | {n} | {pass_.run:.1%} | {pass_.problems:.1%} |", flush=True)
        cons = coverage("beta 2", mean, 30, n, runs // 4, partial(binary_cons, k=k), partial(binary_cons_truth, k=k))
        print(f"| cons@{k} | beta 2 | {mean} | 30 | {n} | {cons.run:.1%} | {cons.problems:.1%} |", flush=True)
    for group, found_in in summary.items():
        for name in ("run", "problems"):
            shares = np.array([getattr(c, name) for c in found_in])
            told = f"lowest {shares.min():.1%}, {(shares < 0.93).sum()} below 93%, {(shares > 0.975).sum()} above 97.5%"
            print(f"{group}, {name}: {told} of {len(shares)}")
    print("\noutside 93% to 97.5%:", *outside, sep="\n")


if __name__ == "__main__":
    main()
