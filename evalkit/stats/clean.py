"""The score on a part of the problems beside the score on all: what a contaminated rest adds or takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats.intervals import Estimate, Floats
from evalkit.stats.metrics import avg_at_n


@dataclass(frozen=True, slots=True)
class CleanScore:
    """The mean over all problems, over the clean ones, and clean minus whole; all fractions.

    `interval_run` is for the same problems sampled again, `interval_problems` for other problems of both kinds in the
    same numbers. `clean` is None where no problem is.
    """

    whole: Estimate
    clean: Estimate | None
    contaminated: int
    difference: float | None
    interval_run: tuple[float, float] | None
    interval_problems: tuple[float, float] | None


def clean_score(
    values: Sequence[Sequence[float]] | Floats, clean: Sequence[bool] | npt.NDArray[np.bool_]
) -> CleanScore:
    """Compare the clean problems with all: `values` in [0, 1] by problem and sample, `clean` by problem.

    With the share f of contaminated problems, clean minus whole is f times the difference of two independent means,
    whose interval is Newcombe's (1998, Statistics in Medicine 17, 873) from the two means' own.

    Raises EvalkitError as `avg_at_n` does.

    Examples:
        >>> found = clean_score([[1, 1], [0, 1], [0, 0], [1, 1]], [False, True, True, True])
        >>> found.whole.value, found.clean.value, found.contaminated
        (0.625, 0.5, 1)
    """
    matrix, kept = np.asarray(values, dtype=np.float64), np.asarray(clean, dtype=bool)
    whole = avg_at_n(matrix)
    contaminated = int((~kept).sum())
    if not contaminated:
        return CleanScore(whole, whole, 0, 0.0, (0.0, 0.0), (0.0, 0.0))
    if contaminated == len(kept):
        return CleanScore(whole, None, contaminated, None, None, None)
    inside, outside = avg_at_n(matrix[kept]), avg_at_n(matrix[~kept])
    share = contaminated / len(kept)
    run = _difference(inside.value, inside.interval_run, outside.value, outside.interval_run)
    over = _difference(inside.value, inside.interval_problems, outside.value, outside.interval_problems)
    return CleanScore(
        whole,
        inside,
        contaminated,
        inside.value - whole.value,
        (share * run[0], share * run[1]),
        (share * over[0], share * over[1]),
    )


def _difference(a: float, of_a: tuple[float, float], b: float, of_b: tuple[float, float]) -> tuple[float, float]:
    """The interval of a - b for independent a and b."""
    return (
        max(a - b - math.hypot(a - of_a[0], of_b[1] - b), -1.0),
        min(a - b + math.hypot(of_a[1] - a, b - of_b[0]), 1.0),
    )
