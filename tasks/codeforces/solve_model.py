"""The rating from solved problems: P(solve) = 1 / (1 + 10^(slope (d - R) / 400)) with noisy difficulties d.

How hard a problem was for people (its rating, or what its contest's people did with it) is not how hard it is for one
model: the two differ by a normal error of sd about 250 (the over-dispersion), which all samples of the problem share.
The error is integrated out for each problem, so 64 samples of one problem never count as 64 problems. What the sd is,
is itself uncertain (`NOISE`).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .elo import ELO_SCALE, Floats

NOISE: tuple[tuple[float, float], ...] = ((175.0, 0.2), (250.0, 0.5), (350.0, 0.2), (500.0, 0.1))
"""(sd in rating points, prior weight) of a problem's own error."""

PRIOR_MEAN, PRIOR_SD = 1500.0, 1000.0
"""The weak prior: it moves a rating of 800 by under 10 points, and keeps 0 solved and all solved finite."""

_STEP = 10.0
_GRID = np.arange(-2500.0, 6000.0 + _STEP, _STEP)
_OFFSETS = np.arange(-12000.0, 12000.0 + _STEP, _STEP)
_NODES = np.linspace(-4.5, 4.5, 61)


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of a rating: `rating` is the mode, [low, high] holds `level` of the mass, the tails being equal."""

    rating: float
    low: float
    high: float
    level: float
    grid: Floats
    density: Floats

    def quantile(self, q: npt.ArrayLike) -> Floats:
        """Ratings below which a share q of the mass lies."""
        cumulative = np.cumsum(self.density) - self.density / 2
        return np.asarray(np.interp(np.asarray(q, dtype=np.float64), cumulative, self.grid))


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
    prior_mean: float = PRIOR_MEAN,
    prior_sd: float = PRIOR_SD,
    level: float = 0.95,
) -> Posterior:
    """The posterior of a rating from `solved` of `samples` on problems of known difficulty; arrays of one length.

    `slopes` says how steeply the chance of each problem rises with the rating, 1 (the default) being the Elo formula's.
    Maximum a posteriori with a normal prior; over-dispersion as in generalised linear mixed models.
    Raises ValueError where the arrays do not fit, are empty, hold a missing rating or more solved than samples.
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
    log_prior = -(((_GRID - prior_mean) / prior_sd) ** 2) / 2
    gaps = steep[:, None] * (_GRID - d[:, None])
    parts = []
    for noise_sd, weight in noise:
        total = log_prior + math.log(weight)
        for gap, yes, count in zip(gaps, s.tolist(), n.tolist(), strict=True):
            total += np.interp(gap, _OFFSETS, _curve(int(yes), int(count), noise_sd))
        parts.append(total)
    log_density = np.logaddexp.reduce(parts)
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    tail = (1 - level) / 2
    cumulative = np.cumsum(density) - density / 2
    low, high = np.interp([tail, 1 - tail], cumulative, _GRID)
    return Posterior(_peak(log_density), float(low), float(high), level, _GRID, density)


def marginal_chances(
    ratings: npt.ArrayLike, difficulties: npt.ArrayLike, noise_sd: float, *, slopes: npt.ArrayLike = 1.0
) -> Floats:
    """P(solve) of each rating (rows) on each problem (columns), the problem's own error integrated out."""
    weights = np.exp(-(_NODES**2) / 2)
    gap = np.asarray(ratings, dtype=np.float64)[:, None] - np.asarray(difficulties, dtype=np.float64)[None, :]
    logits = ELO_SCALE * ((np.asarray(slopes, dtype=np.float64) * gap)[..., None] + noise_sd * _NODES)
    return np.asarray((1 / (1 + np.exp(-logits))) @ (weights / weights.sum()))


def _peak(log_density: Floats) -> float:
    """The mode, between grid points by a parabola through the highest three."""
    at = int(log_density.argmax())
    if at in (0, log_density.size - 1):
        return float(_GRID[at])
    left, middle, right = log_density[at - 1 : at + 2]
    return float(_GRID[at] + _STEP * 0.5 * (left - right) / (left - 2 * middle + right))
