"""A virtual participant in one contest: the exact distribution of its score, its place among the people there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .contests import Contest, Standings
from .elo import ELO_SCALE, Floats, Ints, Seeds

TieRule = Literal["middle", "upper-quartile", "fastest"]
TIE_RULES: tuple[TieRule, ...] = get_args(TieRule)
TIE_SHARE: dict[TieRule, float] = {"middle": 0.5, "upper-quartile": 0.25, "fastest": 0.0}
"""The share of those with the same score who stand before the virtual participant."""

MIN_PARTICIPANTS = 30
"""Below this a contest says too little to be rated by its standings."""

_BIN = 25.0
_SLOPE_SD, _RATED_SD, _UNRATED, _UNRATED_SD = 0.4, 150.0, 2500.0, 1500.0
_STEPS, _LONGEST_STEP = 40, 1.0
_SPREAD_NODES = 15
SPREADS = np.arange(0.0, 401.0, 50.0)


@dataclass(frozen=True)
class Entry:
    """The problems of one contest that a model tried: what each is worth, and `solved` of `samples` programs right."""

    worth: Floats
    solved: Ints
    samples: Ints

    @cached_property
    def _scores(self) -> tuple[Floats, list[Ints]]:
        """All sums of points that can be reached, and for each problem where each sum goes when it is solved."""
        values, steps = np.zeros(1), []
        for worth in self.worth:
            both = np.concatenate([values, values + worth])
            merged, inverse = np.unique(both, return_inverse=True)
            steps.append(inverse.astype(np.int64))
            values = merged
        return values, steps

    @property
    def scores(self) -> Floats:
        """The scores that can be reached, rising."""
        return self._scores[0]

    def distribution(self, chances: Floats | None = None) -> Floats:
        """P(score) in the order of `scores`, the problems drawn independently: exact, by convolution.

        `chances` are the probabilities of solving, shape (..., problems); without, the observed solved / samples.
        """
        p = self.solved / self.samples if chances is None else chances
        mass = np.ones((*p.shape[:-1], 1))
        for problem, step in enumerate(self._scores[1]):
            chance = p[..., problem, None]
            split = np.concatenate([mass * (1 - chance), mass * chance], axis=-1)
            mass = np.zeros((*p.shape[:-1], int(step.max()) + 1))
            half = step.size // 2
            mass[..., step[:half]] = split[..., :half]
            mass[..., step[half:]] += split[..., half:]
        return mass


def worth(contest: Contest) -> Floats:
    """What each problem of the contest is worth: its points, 1 under ICPC scoring, 0 where it is not known."""
    return np.array([1.0 if contest.scoring == "icpc" else (p.points or 0.0) for p in contest.problems])


def solved_by_people(contest: Contest, standings: Standings) -> npt.NDArray[np.bool_]:
    """Who solved what, (people, problems). Where only totals are known, they are read as the shortest prefix A, B, C...
    that is worth at least as much (points shrink with time and wrong attempts).
    """
    positions = np.arange(len(contest.problems))
    if standings.solved is not None:
        return np.asarray((standings.solved[:, None] >> positions) & 1, dtype=np.bool_)
    prefixes = np.concatenate([[0.0], np.cumsum(worth(contest))])
    return np.asarray(np.searchsorted(prefixes, standings.points, side="left")[:, None] > positions)


@dataclass(frozen=True)
class Curves:
    """Difficulty and slope of each problem; `weights` is what the people tell of the slope, 1 / variance."""

    difficulties: Floats
    slopes: Floats
    weights: Floats


class Crowd:
    """Who of the people of one contest solved what, binned by rating: what `curves` are fitted to.

    `solved` is (people, problems), people of these `ratings`; `problem_ratings` is None where a problem is not rated.
    """

    def __init__(
        self, ratings: npt.ArrayLike, solved: npt.NDArray[np.bool_], problem_ratings: Sequence[float | None]
    ) -> None:
        bins, inverse = np.unique(np.floor(np.asarray(ratings, dtype=np.float64) / _BIN), return_inverse=True)
        self._people = np.bincount(inverse).astype(np.float64)[:, None]
        self._right = np.stack([np.bincount(inverse, weights=column, minlength=bins.size) for column in solved.T], 1)
        known = np.array([r is not None for r in problem_ratings])
        self._expected = np.array([_UNRATED if r is None else float(r) for r in problem_ratings])
        self._precision = (ELO_SCALE * np.where(known, _RATED_SD, _UNRATED_SD)) ** -2
        # log odds at the expected difficulty, and how they rise from there
        self._x = ELO_SCALE * ((bins * _BIN + _BIN / 2)[:, None] - self._expected)

    def curves(self, spread: float = 0.0) -> Curves:
        """What somebody without luck of their own meets, where people's luck with a problem has the sd `spread`.

        P(solve) = 1 / (1 + 10^((slope (d - r) + e) / 400)), e normal and of each person and problem its own, is
        integrated over e, by Fisher's scoring, with the priors slope ~ N(1, 0.4) and d ~ N(the problem's rating, 150)
        (not rated: N(2500, 1500)). They decide where hardly anybody or nearly everybody solved it. Slopes lie in
        [0.2, 3].
        """
        from scipy import special

        x, people, right = self._x, self._people, self._right
        nodes, weights = np.polynomial.hermite_e.hermegauss(1 if spread == 0 else _SPREAD_NODES)
        weights, nodes = weights / weights.sum(), ELO_SCALE * spread * nodes
        level, slope = np.zeros_like(self._expected), np.ones_like(self._expected)
        for _ in range(_STEPS):
            at = special.expit((level + slope * x)[..., None] + nodes)
            chance = np.clip(at @ weights, 1e-12, 1 - 1e-12)
            rise = (at * (1 - at)) @ weights
            variance = chance * (1 - chance)
            missed, weight = (right - people * chance) * rise / variance, people * rise**2 / variance
            g0 = missed.sum(axis=0) - self._precision * level
            g1 = (missed * x).sum(axis=0) - (slope - 1) / _SLOPE_SD**2
            h00, h01 = weight.sum(axis=0) + self._precision, (weight * x).sum(axis=0)
            h11 = (weight * x * x).sum(axis=0) + _SLOPE_SD**-2
            determinant = h00 * h11 - h01**2
            steps = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / determinant
            steps *= np.minimum(1, _LONGEST_STEP / np.maximum(np.abs(steps).max(axis=0), 1e-12))
            level, slope = level + steps[0], slope + steps[1]
            if np.abs(steps).max() < 1e-6:
                break
        slope = np.clip(slope, 0.2, 3.0)
        told = np.maximum(determinant / h00 - _SLOPE_SD**-2, 0.0)
        return Curves(self._expected - level / (slope * ELO_SCALE), slope, told)


def people_curves(
    ratings: npt.ArrayLike, solved: npt.NDArray[np.bool_], problem_ratings: Sequence[float | None], spread: float = 0.0
) -> tuple[Floats, Floats]:
    """Difficulty and slope of each problem, from who of the people `solved` it: `Crowd.curves`."""
    found = Crowd(ratings, solved, problem_ratings).curves(spread)
    return found.difficulties, found.slopes


def people_spread(crowds: Sequence[Crowd]) -> float:
    """By how much people's luck with single problems varies (sd in rating points), over all contests together.

    One result for each person and problem does not tell luck from a problem that separates people badly, but luck
    flattens all problems alike, while by Elo's formula slopes are 1 on average. So it is the spread, from 0 to 400, at
    which their mean, weighted by what is known of each, is 1; 0 where it is above 1 without any.
    """
    means = []
    for spread in SPREADS:
        found = [crowd.curves(spread) for crowd in crowds]
        slopes, weights = (np.concatenate([getattr(c, part) for c in found]) for part in ("slopes", "weights"))
        means.append(float(weights @ slopes / max(float(weights.sum()), 1e-300)))
        if means[-1] >= 1:
            break
    return float(np.interp(1.0, np.maximum.accumulate(means), SPREADS[: len(means)]))


class Field:
    """The people of one contest as a virtual participant who tried the problems at `tried` meets them.

    `crowd` holds what they did with those problems; those in their first rated contest are left out of it, since their
    rating says nothing.
    """

    def __init__(self, contest: Contest, tried: Sequence[int]) -> None:
        standings = contest.standings
        if standings is None:
            raise ValueError(f"contest {contest.id} has no standings")
        positions = list(tried)
        self.seeds = Seeds(standings.rating)
        self.size = int(standings.rating.size)
        solved = solved_by_people(contest, standings)[:, positions]
        self.scores = solved @ worth(contest)[positions]
        self._sorted = np.sort(self.scores)
        known = standings.newcomer == 0
        if known.sum() < MIN_PARTICIPANTS:
            known = np.ones_like(known)
        self.crowd = Crowd(standings.rating[known], solved[known], [contest.problems[j].rating for j in positions])

    def ranks(self, scores: Floats, tie_rule: TieRule) -> Floats:
        """The place (from 1, fractional) of each score: 1 + those above + the tie rule's share of those equal."""
        below = np.searchsorted(self._sorted, scores, side="left")
        not_above = np.searchsorted(self._sorted, scores, side="right")
        return 1 + (self.size - not_above) + TIE_SHARE[tie_rule] * (not_above - below)

    def elo_curve(self, grid: Floats) -> Floats:
        """The share of the field expected above a participant of each rating, by the Elo formula."""
        return (self.seeds.at(grid) - 1) / self.size
