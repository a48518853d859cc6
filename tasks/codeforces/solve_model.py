"""The rating from solved problems: P(solve) = 1 / (1 + 10^(slope (d - R) / 400)) with noisy difficulties d.

How hard a problem was for people (its rating, or what its contest's people did with it) is not how hard it is for one
model: the two differ by a normal error of sd about 250 (the over-dispersion), which all samples of the problem share.
The error is integrated out for each problem, so 64 samples of one problem never count as 64 problems. What the sd is,
is itself uncertain (`NOISE`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .elo import ELO_SCALE, Floats, Ints

NOISE_SD = 250.0
"""How far a problem's difficulty for one model typically lies from that for people, sd in rating points."""

NOISE: tuple[tuple[float, float], ...] = ((100.0, 0.1), (175.0, 0.15), (NOISE_SD, 0.3), (350.0, 0.25), (500.0, 0.2))
"""(sd in rating points, prior weight) of a problem's own error."""

_LEAST_FREEDOM = 5
_STEP = 10.0
_GRID = np.arange(-2500.0, 6000.0 + _STEP, _STEP)
_OFFSETS = np.arange(-12000.0, 12000.0 + _STEP, _STEP)
_NODES = np.linspace(-4.5, 4.5, 61)


@dataclass(frozen=True, slots=True)
class SolveFit:
    """What is known of a rating: the posterior's mode, and the interval [low, high] that holds it with P = `level`."""

    rating: float
    low: float
    high: float
    level: float


@lru_cache(maxsize=8)
def _logs(noise_sd: float) -> tuple[Floats, Floats, Floats]:
    logits = ELO_SCALE * (_OFFSETS[:, None] + noise_sd * _NODES[None, :])
    weights = np.exp(-(_NODES**2) / 2)
    return -np.logaddexp(0, -logits), -np.logaddexp(0, logits), np.asarray(weights / weights.sum())


@lru_cache(maxsize=2048)
def _curve(solved: int, samples: int, noise_sd: float) -> Floats:
    """log P(solved of samples) at each rating minus difficulty in `_OFFSETS`, the problem's error integrated out."""
    log_yes, log_no, weights = _logs(noise_sd)
    terms = solved * log_yes + (samples - solved) * log_no
    peak = terms.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(terms - peak) @ weights) + peak[:, 0])


def fit_solve_model(
    difficulties: npt.ArrayLike,
    solved: npt.ArrayLike,
    samples: npt.ArrayLike,
    *,
    slopes: npt.ArrayLike | None = None,
    noise: tuple[tuple[float, float], ...] = NOISE,
    level: float = 0.95,
) -> SolveFit:
    """The rating of who has `solved` of `samples` programs right on problems of known difficulty; arrays of one length.

    `slopes` says how steeply the chance of each problem rises with the rating, 1 (the default) being the Elo formula's.
    Over-dispersion as in generalised linear mixed models; Jeffreys' prior, which keeps 0 solved and all solved finite
    and removes the bias of first order (Firth 1993). The interval has equal tails of the posterior, widened about the
    mode by Student's t for the number of problems, as a normal interval would be. Raises ValueError where the arrays do
    not fit, are empty, hold a missing rating or more solved than samples.
    """
    d, s, n = np.asarray(difficulties, dtype=np.float64), np.asarray(solved), np.asarray(samples)
    steep = np.ones_like(d) if slopes is None else np.asarray(slopes, dtype=np.float64)
    if d.ndim != 1 or not d.shape == s.shape == n.shape == steep.shape:
        raise ValueError(
            f"difficulties, solved, samples and slopes have shapes {d.shape}, {s.shape}, {n.shape} and {steep.shape}"
        )
    if d.size == 0:
        raise ValueError("there is no problem with a rating")
    if not np.isfinite(d).all():
        raise ValueError("a problem's rating is missing")
    if not (np.isfinite(steep) & (steep > 0)).all():
        raise ValueError("a slope has to be above 0")
    if (n < 1).any() or (s < 0).any() or (s > n).any():
        raise ValueError("solved has to lie between 0 and samples, and samples to be 1 or more")
    parts = []
    for noise_sd, weight in noise:
        chances = log_chances(d, steep, s.tolist(), n.tolist(), noise_sd)
        parts.append(chances.sum(axis=0) + math.log(weight))
    return summary(np.logaddexp.reduce(parts) + log_prior(d, steep), d.size, level)


def log_chances(
    difficulties: Floats, slopes: Floats, solved: Sequence[int], samples: Sequence[int], noise_sd: float
) -> Floats:
    """log P(solved of samples), up to a constant, of each problem (rows) at each rating of the grid."""
    gaps = slopes[:, None] * (_GRID - difficulties[:, None])
    curves = (_curve(int(yes), int(count), noise_sd) for yes, count in zip(solved, samples, strict=True))
    return np.array([np.interp(gap, _OFFSETS, curve) for gap, curve in zip(gaps, curves, strict=True)])


def log_prior(difficulties: Floats, slopes: Floats) -> Floats:
    """Jeffreys' prior at each rating of the grid: log of the root of one sample's Fisher information."""
    chances = np.exp(log_chances(difficulties, slopes, [1] * len(slopes), [1] * len(slopes), NOISE_SD))
    return np.asarray(np.log(np.maximum(slopes**2 @ (chances * (1 - chances)), 1e-300)) / 2)


def summary(log_density: Floats, problems: int, level: float) -> SolveFit:
    """The mode and the interval of a posterior on the grid."""
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mode, tail = _peak(log_density), (1 - level) / 2
    low, high = np.interp([tail, 1 - tail], np.cumsum(density) - density / 2, _GRID)
    wider = t_over_normal(max(problems - 1, _LEAST_FREEDOM), level)
    return SolveFit(mode, mode + wider * (float(low) - mode), mode + wider * (float(high) - mode), level)


@dataclass(frozen=True, slots=True)
class RunError:
    """How a rating moves when the same problems are sampled again, in rating points: standard error and interval."""

    stderr: float
    low: float
    high: float


@dataclass(frozen=True)
class _Local:
    """One sd of the problems' errors near a rating; arrays are by problem, error (`_NODES`) and count 0 .. most.

    `log_density` of the data there, `curvature` of its negative, `errors`: the probability of each error, `chances` of
    each count at each error, `scores`: the slope in the rating of each count's log likelihood.
    """

    log_density: float
    curvature: float
    errors: Floats
    chances: Floats
    scores: Floats


def run_error(
    difficulties: Floats,
    solved: Ints,
    samples: Ints,
    slopes: Floats,
    *,
    rating: float,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator,
) -> RunError:
    """The run-to-run error of `fit_solve_model`'s `rating`: each problem's own error stays, its samples are drawn anew.

    Each draw takes an sd of the errors, then each problem's error from what is known of it at the rating, then new
    counts. How far these counts' scores lie from what that error gives on average, over the curvature, is how far the
    rating moves (one step of Newton's method); what the errors themselves add is left out.
    """
    local = [_local(difficulties, solved, samples, slopes, rating, sd, weight) for sd, weight in NOISE]
    logs = np.array([one.log_density for one in local])
    likely = np.exp(logs - np.logaddexp.reduce(logs))
    scores = sum(share * one.scores for share, one in zip(likely, local, strict=True))
    curvature = float(likely @ [one.curvature for one in local])
    moves = []
    for one, count in zip(local, rng.multinomial(draws, likely).tolist(), strict=True):
        expected = np.einsum("pec,pc->pe", one.chances, scores)
        below, problems = np.cumsum(one.errors, axis=1), np.arange(solved.size)
        for _ in range(count):
            error = np.minimum((rng.random((solved.size, 1)) > below).sum(axis=1), _NODES.size - 1)
            ladder = np.cumsum(one.chances[problems, error], axis=1)
            again = np.minimum((rng.random((solved.size, 1)) > ladder).sum(axis=1), samples)
            moves.append(float((scores[problems, again] - expected[problems, error]).sum()) / curvature)
    low, high = np.quantile(moves, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return RunError(float(np.std(moves)), rating + min(low, 0.0), rating + max(high, 0.0))


def _local(
    difficulties: Floats, solved: Ints, samples: Ints, slopes: Floats, rating: float, sd: float, weight: float
) -> _Local:
    from scipy import special

    counts, problems = np.arange(int(samples.max()) + 1), np.arange(solved.size)
    left = samples[:, None] - counts
    ways = np.where(left < 0, -np.inf, -special.betaln(counts + 1, np.maximum(left, 0) + 1))
    prior = np.exp(-(_NODES**2) / 2)
    likelihoods = []
    for at in (rating - _STEP, rating + _STEP, rating):
        logits = ELO_SCALE * ((slopes * (at - difficulties))[:, None] + sd * _NODES)
        yes, no = -np.logaddexp(0, -logits)[..., None], -np.logaddexp(0, logits)[..., None]
        terms = ways[:, None, :] + counts * yes + np.maximum(left, 0)[:, None, :] * no
        weighted = terms + np.log(prior / prior.sum())[:, None]
        likelihoods.append(special.logsumexp(weighted, axis=1))
    before, after, here = likelihoods
    observed = 2 * here[problems, solved] - before[problems, solved] - after[problems, solved]
    errors = np.exp(weighted[problems, :, solved] - here[problems, solved][:, None])
    chances = np.exp(terms)
    scores = np.where(left < 0, 0.0, np.where(left < 0, 0.0, after) - np.where(left < 0, 0.0, before)) / (2 * _STEP)
    return _Local(
        log_density=math.log(weight) + float(here[problems, solved].sum()),
        curvature=max(float(observed.sum()), 1e-9) / _STEP**2,
        errors=errors / errors.sum(axis=1, keepdims=True),
        chances=chances / chances.sum(axis=2, keepdims=True),
        scores=scores,
    )


def t_over_normal(freedom: int, level: float) -> float:
    """How much wider an interval by Student's t is than one by the normal distribution."""
    from scipy import special

    return float(special.stdtrit(freedom, (1 + level) / 2) / special.ndtri((1 + level) / 2))


def marginal_chances(ratings: npt.ArrayLike, difficulties: npt.ArrayLike, noise_sd: float) -> Floats:
    """P(solve) of each rating (rows) on each problem (columns), the problem's own error integrated out."""
    weights = np.exp(-(_NODES**2) / 2)
    gap = np.asarray(ratings, dtype=np.float64)[:, None] - np.asarray(difficulties, dtype=np.float64)[None, :]
    logits = ELO_SCALE * (gap[..., None] + noise_sd * _NODES)
    return np.asarray((1 / (1 + np.exp(-logits))) @ (weights / weights.sum()))


def _peak(log_density: Floats) -> float:
    """The mode, between grid points by a parabola through the highest three."""
    at = int(log_density.argmax())
    if at in (0, log_density.size - 1):
        return float(_GRID[at])
    left, middle, right = log_density[at - 1 : at + 2]
    return float(_GRID[at] + _STEP * 0.5 * (left - right) / (left - 2 * middle + right))
