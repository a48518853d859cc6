"""Completion lengths of a run, and what it would have scored had it been cut shorter."""

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.results.samples import Samples, load_samples
from evalkit.stats import Estimate, avg_at_n
from evalkit.store.run import RunDirectory

_STEPS = 12  # budgets between the shortest completions and the limit


def load_lengths(entry: Entry) -> tuple[Samples, npt.NDArray[np.int64]]:
    """The samples of an entry and their tokens. Raises EvalkitError where the engine counted none."""
    samples = load_samples(RunDirectory(entry.run).task(entry.report.task))
    if samples.tokens is None:
        raise EvalkitError(f"{entry.run} does not tell its completion lengths.", "the engine did not count tokens.")
    return samples, samples.tokens


def at_budget(values: npt.NDArray[np.float64], tokens: npt.NDArray[np.int64], budget: int) -> Estimate:
    """avg@n had the run been cut at `budget` tokens: a completion that is longer would not have been answered.

    Exact for models that answer at the end of a completion, as reasoning models do.
    """
    return avg_at_n(np.where(tokens <= budget, values, 0.0))


def budgets(tokens: npt.NDArray[np.int64], limit: int | None) -> list[int]:
    """Budgets from where the first completions end to where the last does (at most the limit), evenly on a log scale.

    Examples:
        >>> budgets(np.array([[100, 400], [800, 1600]]), 32768)[-1]
        1600
    """
    longest = int(tokens.max())
    longest = min(longest, limit) if limit is not None else longest
    shortest = max(int(np.quantile(tokens, 0.02)), 1)
    return sorted({round(float(b)) for b in np.geomspace(min(shortest, longest), longest, _STEPS)})


def budget_trail(entry: Entry) -> list[tuple[float, float]]:
    """(mean tokens, pass@1 in percent) of a run at budgets up to its own, the last one the whole run."""
    samples, tokens = load_lengths(entry)
    found = []
    for budget in budgets(tokens, entry.report.max_tokens):
        values = samples.values if budget >= tokens.max() else np.where(tokens <= budget, samples.values, 0.0)
        spent = float(np.minimum(tokens, budget).mean())
        found.append((max(spent, 1.0), 100 * float(values.mean())))
    return found
