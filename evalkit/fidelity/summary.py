"""From what was measured on each text to the figures of fidelity.json, each with an interval clustered by problem."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.results.fidelity import UNITS, FidelityFigure
from evalkit.stats.clustered import ClusteredMean, ratio_of_sums
from evalkit.stats.drafting import tokens_per_call
from evalkit.stats.intervals import Floats
from evalkit.stats.ranking import rank_correlation, ranking_accuracy

ALL = "all"
_LARGEST = 1e15  # of a number in fidelity.json


@dataclass(frozen=True, slots=True)
class MeasuredText:
    """What was measured on one text: a line of the file that a measurement resumes from.

    `groups` holds for each group of tokens their number and the sum of each measure over them; empty where the two
    models cut the text into other tokens. `student` and `teacher` are the number of tokens and the nats of the text as
    that model alone reads it, the token that ends it left out. `passes` are the teacher's expected passes by number of
    drafted tokens.
    """

    problem: str
    sample_index: int
    right: bool | None
    reward: float | None
    bytes: int
    student: tuple[int, float]
    teacher: tuple[int, float]
    groups: Mapping[str, tuple[int, list[float]]] = field(default_factory=dict)
    passes: Mapping[str, float] = field(default_factory=dict)


def summarize(
    texts: Sequence[MeasuredText], names: Sequence[str], temperatures: Sequence[float]
) -> tuple[FidelityFigure, ...]:
    """All figures of one student, in a fixed order; `names` are those of the sums in each group."""
    texts = sorted(texts, key=lambda t: (t.problem, t.sample_index))
    compared = [t for t in texts if t.groups]
    figures = list(_own_figures(texts))
    if compared:
        groups = dict.fromkeys(g for t in compared for g in t.groups)
        for group in sorted(groups, key=_group_order):
            figures += _group_figures(group, [(t, group) for t in compared if group in t.groups], names, temperatures)
        for mark, name in ((True, "right"), (False, "wrong")):
            chosen = [(t, ALL) for t in compared if t.right is mark]
            if chosen:
                figures += _group_figures(name, chosen, names, temperatures)
        figures += _draft_figures([t for t in compared if t.passes], figures)
    return tuple(figures)


def _group_order(group: str) -> tuple[int, int, str]:
    named = (ALL, "thinking", "answer", "undecided", "decided")
    if group in named:
        return named.index(group), 0, ""
    return len(named), int(group.partition(" ")[2].partition("-")[0].rstrip("+") or 0), group


def _clusters(texts: Sequence[MeasuredText]) -> npt.NDArray[np.intp]:
    return np.unique([t.problem for t in texts], return_inverse=True)[1]


def _by_problem(values: Floats, clusters: npt.NDArray[np.intp]) -> Floats:
    return np.bincount(clusters, values).astype(np.float64)


def _group_figures(
    group: str,
    chosen: Sequence[tuple[MeasuredText, str]],
    names: Sequence[str],
    temperatures: Sequence[float],
) -> Iterator[FidelityFigure]:
    clusters = _clusters([t for t, _ in chosen])
    counts = np.array([t.groups[g][0] for t, g in chosen], dtype=np.float64)
    sums = dict(zip(names, np.array([t.groups[g][1] for t, g in chosen], dtype=np.float64).T, strict=True))
    tokens = _by_problem(counts, clusters)
    for name, values in _derived(sums, counts, temperatures):
        found = ratio_of_sums(_by_problem(values, clusters), tokens)
        yield _figure(name, group, found, int(counts.sum()))
        if name in ("student_loss", "teacher_loss") and _exp(found.value) <= _LARGEST:
            inside = replace(found, interval=(max(found.interval[0], 0.0), found.interval[1]))  # a loss is no less
            yield _figure(name.replace("loss", "perplexity"), group, _transformed(inside, _exp), int(counts.sum()))


def _derived(sums: Mapping[str, Floats], counts: Floats, temperatures: Sequence[float]) -> Iterator[tuple[str, Floats]]:
    """The measures as they are told: some are sums or differences of those that were measured."""
    for t in temperatures:
        at = f"@{t:g}"
        soft, entropy = sums[f"soft_loss{at}"], sums[f"teacher_entropy{at}"]
        yield f"soft_loss{at}", soft
        if t != 1:
            yield f"soft_loss_scaled{at}", t * t * soft
        yield f"teacher_entropy{at}", entropy
        yield f"kl_forward{at}", soft - entropy
        if f"tv{at}" in sums:
            yield f"tv{at}", sums[f"tv{at}"]
            yield f"acceptance{at}", counts - sums[f"tv{at}"]
    for name, values in sums.items():
        if "@" not in name:
            yield name, values


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _transformed(found: ClusteredMean, function: Any) -> ClusteredMean:
    """A figure on another scale: ends of the interval carried over, the error by the slope."""
    low, high = (function(end) for end in found.interval)
    slope = (function(found.value + 1e-6) - function(found.value - 1e-6)) / 2e-6
    return ClusteredMean(function(found.value), abs(slope) * found.stderr, (low, high), found.clusters)


def _figure(measure: str, group: str, found: ClusteredMean, n: int) -> FidelityFigure:
    unit = UNITS[measure.partition("@")[0]]
    low, high = found.interval
    known = all(abs(number) <= _LARGEST for number in (found.stderr, low, high))  # NaN is not
    least, most = _range(measure, unit)
    low, high = max(low, min(least, found.value)), min(high, max(most, found.value))
    return FidelityFigure(
        measure,
        group,
        found.value,
        unit,
        n,
        found.clusters,
        found.stderr if known else None,
        (low, high) if known else None,
    )


def _range(measure: str, unit: str) -> tuple[float, float]:
    """The smallest and the largest value that a measure can have."""
    if unit == "tokens":  # of a pass: one, and as many as were drafted besides
        return 1.0, 1.0 + int(measure.partition("@")[2])
    return {"share": (0.0, 1.0), "correlation": (-1.0, 1.0), "perplexity": (1.0, math.inf)}.get(unit, (0.0, math.inf))


def _own_figures(texts: Sequence[MeasuredText]) -> Iterator[FidelityFigure]:
    """What each model says of the texts by itself, whatever its tokenizer: bits per byte and the ranking."""
    clusters = _clusters(texts)
    sizes = np.array([t.bytes for t in texts], dtype=np.float64)
    for side in ("student", "teacher"):
        tokens, nats = np.array([getattr(t, side) for t in texts], dtype=np.float64).T
        bits = ratio_of_sums(_by_problem(nats / math.log(2), clusters), _by_problem(sizes, clusters))
        yield _figure(f"{side}_bits_per_byte", ALL, bits, int(sizes.sum()))
        scores = -nats / tokens
        graded = [i for i, t in enumerate(texts) if t.right is not None]
        right = np.array([bool(t.right) for t in texts], dtype=np.float64)
        found = ranking_accuracy(*_rows(graded, clusters, scores, right))
        if found is not None:
            yield _figure(f"{side}_ranking", ALL, found, found.clusters)
        rewarded = [i for i, t in enumerate(texts) if t.reward is not None]
        rewards = np.array([0.0 if t.reward is None else t.reward for t in texts])
        correlation = rank_correlation(*_rows(rewarded, clusters, scores, rewards))
        if correlation is not None:
            yield _figure(f"{side}_reward_correlation", ALL, correlation, correlation.clusters)


def _rows(
    chosen: Sequence[int], clusters: npt.NDArray[np.intp], first: Floats, second: Floats
) -> tuple[list[Floats], list[Floats]]:
    by_problem: dict[int, list[int]] = {}
    for i in chosen:
        by_problem.setdefault(int(clusters[i]), []).append(i)
    return [first[rows] for rows in by_problem.values()], [second[rows] for rows in by_problem.values()]


def _draft_figures(texts: Sequence[MeasuredText], figures: Sequence[FidelityFigure]) -> Iterator[FidelityFigure]:
    """Tokens per pass of the teacher: from the texts themselves, and as if acceptance were independent."""
    if not texts:
        return
    clusters = _clusters(texts)
    tokens = np.array([t.groups[ALL][0] for t in texts], dtype=np.float64)
    rate = next(f for f in figures if (f.measure, f.group) == ("acceptance@1", ALL))
    for gamma in texts[0].passes:
        passes = np.array([t.passes[gamma] for t in texts])
        found = ratio_of_sums(_by_problem(tokens, clusters), _by_problem(passes, clusters))
        yield _figure(f"tokens_per_pass@{gamma}", ALL, found, int(tokens.sum()))
        independent = _transformed(
            ClusteredMean(rate.value, rate.stderr or math.nan, rate.interval or (math.nan, math.nan), rate.problems),
            lambda a, g=int(gamma): tokens_per_call(a, [g])[0],
        )
        yield _figure(f"tokens_per_pass_independent@{gamma}", ALL, independent, int(tokens.sum()))
