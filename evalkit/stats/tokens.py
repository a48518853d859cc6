"""How long the completions are, and what a right answer costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """Completion tokens: mean, percentiles, total, and tokens (of all samples) for each right answer.

    `per_correct` is None where nothing is right.

    Examples:
        >>> token_summary([100, 300], [1, 0]).per_correct
        400.0
    """

    mean: float
    p50: float
    p95: float
    p99: float
    longest: int
    total: int
    per_correct: float | None


def token_summary(
    tokens: Sequence[int] | npt.NDArray[np.int64], values: Sequence[float] | npt.NDArray[np.float64]
) -> TokenSummary:
    """The summary of `tokens` (completion tokens of each sample), `values` the samples' scores in [0, 1].

    Raises EvalkitError where there is no sample or where the lengths differ.

    Examples:
        >>> found = token_summary([100, 200, 300, 400], [1, 0, 1, 0])
        >>> found.mean, found.longest, found.per_correct
        (250.0, 400, 500.0)
    """
    if len(tokens) == 0 or len(tokens) != len(values):
        raise EvalkitError(
            f"There are {len(tokens)} token counts for {len(values)} scores.", "check the run with `evalkit verify`."
        )
    counts = np.asarray(tokens, dtype=np.int64)
    p50, p95, p99 = (float(p) for p in np.percentile(counts, (50, 95, 99)))
    total, correct = int(counts.sum()), float(np.sum(np.asarray(values, dtype=np.float64)))
    per_correct = total / correct if correct > 0 else None
    return TokenSummary(float(counts.mean()), p50, p95, p99, int(counts.max()), total, per_correct)
