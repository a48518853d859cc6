"""A rating with an interval from a table of solved problems and a contest set: docs/codeforces.md has the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from evalkit.errors import EvalkitError

from .contests import ContestSet
from .elo import ELO_SCALE, Floats
from .field import TIE_RULES, TieRule
from .places import NO_STANDINGS, ContestResult, Place, codeelo_performance, place
from .solve_model import SolveFit, fit_solve_model, t_over_normal
from .table import Solve

Rule = Literal["humans", "elo", "codeelo"]
RULES: tuple[Rule, ...] = get_args(Rule)
Method = Literal["standings", "problem ratings"]
Curves = dict[str, tuple[float, float]]
"""Difficulty (a rating) and slope (1: the Elo formula's) by the name of the problem."""

COMPARISONS = 10.0
"""How many independent comparisons one contest is worth: the over-dispersion of its thousands of pairs of people."""

PRIOR_MEAN, PRIOR_SD = 1500.0, 1000.0
"""The weak prior of the Elo rule, which keeps 0 solved and all solved finite."""

_STEP = 5.0
GRID = np.arange(-1500.0, 5500.0 + _STEP, _STEP)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rating and its interval, in rating points."""

    rating: float
    low: float
    high: float


@dataclass(frozen=True)
class Rating:
    """A rating and the interval that holds it with probability `level`, in rating points.

    `by_rule` and `by_tie_rule` (under the Elo rule) hold what each choice gives, empty without standings.
    `problem_model` is the estimate from problem ratings alone, None where none is known. `excluded` names every problem
    and contest left out, with the reason.
    """

    rating: float
    low: float
    high: float
    level: float
    method: Method
    rule: Rule
    tie_rule: TieRule
    by_rule: dict[Rule, Estimate]
    by_tie_rule: dict[TieRule, float]
    contests: list[ContestResult]
    problem_model: SolveFit | None
    problems: int
    solved_share: float
    excluded: list[str]
    notes: list[str]


def rate(
    table: Sequence[Solve],
    contests: ContestSet,
    *,
    rule: Rule = "humans",
    tie_rule: TieRule = "middle",
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Rating:
    """Rate a virtual participant who solved what `table` says. Contests of the set that the table lacks are ignored.

    Where at least one contest has standings the rating comes from them, else from problem ratings. Raises EvalkitError
    where nothing of the table can be rated.
    """
    excluded: list[str] = []
    notes: list[str] = []
    rows = [row for row in table if _in_set(row, contests, excluded)]
    by_rating = {r.name: (d, 1.0) for r in rows if (d := difficulty(r, contests)) is not None}
    if unrated := [r.name for r in rows if r.name not in by_rating]:
        excluded.append(f"{', '.join(unrated)}: no rating, left out of the estimate from problem ratings")
    model = _fit(rows, by_rating, level)
    places, unplaced = _places(rows, contests, notes)
    for reason, ids in unplaced.items():
        if places or reason != NO_STANDINGS:
            what = "only problem ratings count, and not by the rules elo and codeelo" if places else "left out"
            excluded.append(f"contest {', '.join(map(str, ids))}: {reason} ({what})")
    by_rule: dict[Rule, Estimate] = {}
    by_tie_rule: dict[TieRule, float] = {}
    if places:
        measured = _measured(places)
        people, placed = _fit(rows, by_rating | measured, level), _fit(rows, measured, level)
        assert people is not None
        assert placed is not None
        elo, by_tie_rule = _by_places(places, placed, tie_rule, draws, np.random.default_rng(seed))
        codeelo = float(np.mean([codeelo_performance(p.contest, p.rows) for p in places]))
        moved = codeelo - elo.rating
        by_rule = {
            "humans": Estimate(people.rating, people.low, people.high),
            "elo": elo,
            "codeelo": Estimate(codeelo, elo.low + moved, elo.high + moved),
        }
        found = by_rule[rule]
    elif model is None:
        why = "its problems have no ratings and its contests no usable standings" if rows else "; ".join(excluded[:3])
        raise EvalkitError(
            f"Nothing can be rated: {why}.",
            'add "rating" to the rows, or fetch the standings with `evalkit codeforces contest fetch ID…`.',
        )
    elif rule == "codeelo":
        raise EvalkitError(
            "CodeElo's rule needs standings, and no contest of this table has any.",
            "fetch them with `evalkit codeforces contest fetch ID…`.",
        )
    else:
        notes.append("no standings at hand: the rating comes from problem ratings; `contest fetch` gets standings")
        found = Estimate(model.rating, model.low, model.high)
    if all(r.solved == 0 for r in rows) or all(r.solved == r.samples for r in rows):
        notes.append(
            "everything was solved: the rating is a lower bound" if rows[0].solved
            else "nothing was solved: the rating is an upper bound"
        )  # fmt: skip
    return Rating(
        rating=found.rating,
        low=found.low,
        high=found.high,
        level=level,
        method="standings" if places else "problem ratings",
        rule=rule,
        tie_rule=tie_rule,
        by_rule=by_rule,
        by_tie_rule=by_tie_rule,
        contests=[p.result(found.rating, tie_rule) for p in places],
        problem_model=model,
        problems=len(rows),
        solved_share=float(np.mean([r.solved / r.samples for r in rows])),
        excluded=excluded,
        notes=notes,
    )


def _in_set(row: Solve, contests: ContestSet, excluded: list[str]) -> bool:
    contest = contests.contest(row.contest)
    if contest is None:
        excluded.append(f"{row.name}: contest {row.contest} is not in the set {contests.name}")
    elif (contest.problems or contest.standings) and contest.problem(row.index) is None:
        excluded.append(f"{row.name}: contest {row.contest} has no problem {row.index} in the set {contests.name}")
    else:
        return True
    return False


def difficulty(row: Solve, contests: ContestSet) -> float | None:
    """A problem's rating: the set's, else the row's own, else None."""
    contest = contests.contest(row.contest)
    problem = contest.problem(row.index) if contest else None
    return row.rating if problem is None or problem.rating is None else float(problem.rating)


def _places(rows: Sequence[Solve], contests: ContestSet, notes: list[str]) -> tuple[list[Place], dict[str, list[int]]]:
    """Where the model stands in each contest with usable standings, and the others by why it stands nowhere there."""
    places: list[Place] = []
    reasons: dict[str, list[int]] = {}
    for contest in contests.contests:
        theirs = [r for r in rows if r.contest == contest.id]
        if theirs:
            found = place(contest, theirs, notes)
            if isinstance(found, Place):
                places.append(found)
            else:
                reasons.setdefault(found, []).append(contest.id)
    return places, reasons


def _measured(places: Sequence[Place]) -> Curves:
    """What the people of these contests did with each problem."""
    return {
        row.name: (float(d), float(slope))
        for p in places
        for row, d, slope in zip(p.rows, p.field.difficulties, p.field.slopes, strict=True)
    }


def _fit(rows: Sequence[Solve], curves: Curves, level: float) -> SolveFit | None:
    """The rating of who solves as much where problems are as hard as `curves` says; None where no problem is there."""
    used = [r for r in rows if r.name in curves]
    if not used:
        return None
    difficulties, slopes = np.array([curves[r.name] for r in used]).T
    solved, samples = [r.solved for r in used], [r.samples for r in used]
    return fit_solve_model(difficulties, solved, samples, slopes=slopes, level=level)


def pooled_ratings(shares: Floats, curves: Floats, weights: Floats) -> Floats:
    """The maximum of the likelihood over contests with the weak prior N(1500, 1000), for each row of `weights`.

    `shares` (contests) or (rows, contests): the share of people above. `curves` (contests, ratings on the grid): the
    share expected there. A contest counts as `COMPARISONS` wins and losses against its field, so the derivative of the
    log likelihood is a weighted sum of expected minus observed shares.
    """
    observed = (weights * shares).sum(axis=-1)
    slope = COMPARISONS * ELO_SCALE * (weights @ curves - observed[:, None]) - (GRID - PRIOR_MEAN) / PRIOR_SD**2
    after = np.clip((slope > 0).sum(axis=1), 1, GRID.size - 1)
    rows = np.arange(slope.shape[0])
    left, right = slope[rows, after - 1], slope[rows, after]
    drop = np.where(left > right, left - right, 1.0)
    return np.asarray(GRID[after - 1] + _STEP * np.clip(left / drop, 0.0, 1.0), dtype=np.float64)


def _by_places(
    places: Sequence[Place], solved: SolveFit, tie_rule: TieRule, draws: int, rng: np.random.Generator
) -> tuple[Estimate, dict[TieRule, float]]:
    """The rating by the Elo formula under `tie_rule`, and its value under each.

    The interval is the wider of two on each side: contests drawn with replacement, widened for few contests (Student's
    t, and the factor by which a bootstrap of few clusters is narrow), and that of the `solved` problems of the same
    contests, moved, since places say less of a model than its solved problems do.
    """
    curves = np.array([p.field.elo_curve(GRID) for p in places])
    shares = {t: np.array([p.share_above(t) for p in places]) for t in TIE_RULES}
    by_tie_rule = {t: float(pooled_ratings(shares[t], curves, np.ones((1, len(places))))[0]) for t in TIE_RULES}
    centre, count = by_tie_rule[tie_rule], len(places)
    low, high = solved.low - solved.rating, solved.high - solved.rating
    if count >= 3:
        weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
        again = pooled_ratings(shares[tie_rule], curves, weights)
        ends = np.quantile(again, [(1 - solved.level) / 2, (1 + solved.level) / 2])
        wider = t_over_normal(count - 1, solved.level) * np.sqrt(count / (count - 1))
        a, b = (wider * (ends - centre)).tolist()
        low, high = min(low, a), max(high, b)
    return Estimate(centre, centre + low, centre + high), by_tie_rule
