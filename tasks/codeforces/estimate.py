"""A rating with an interval from a table of solved problems and a contest set: docs/codeforces.md has the method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from evalkit.errors import EvalkitError

from .contests import ContestSet
from .elo import ELO_SCALE, Floats, Ints
from .field import TIE_RULES, TieRule, people_spread
from .places import NO_STANDINGS, ContestResult, Place, codeelo_performance, place
from .solve_model import RunError, SolveFit, fit_solve_model, run_error
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


Bound = Literal["", "above", "below"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rating and its interval, in rating points; None where the rule has none."""

    rating: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Rating:
    """A rating and the interval [low, high] that holds it with probability `level`, in rating points.

    The rules elo and codeelo have no interval (None): what they miss the rating by is not chance. `run` is how the
    rating moves when the same problems are sampled again, None for those rules and where nothing or everything was
    solved. `bound` says that the rating is only known to lie above `low` (everything was solved) or below `high`
    (nothing was). `by_rule` and `by_tie_rule` (under the Elo rule) hold what each choice gives, empty without
    standings. `problem_model` is the estimate from problem ratings alone, None where none is known. `excluded` names
    every problem and contest left out, with the reason.
    """

    rating: float
    low: float | None
    high: float | None
    run: RunError | None
    bound: Bound
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

    @property
    def text(self) -> str:
        """`1523`, or what is known of it where everything or nothing was solved: `above 3,900`."""
        return figure(self, self.bound)


def edge_of(of: "Rating | Estimate | SolveFit", bound: Bound) -> int | None:
    """The bound itself: the end of the interval that was earned, rounded to 50 points on the safe side."""
    if not bound or of.low is None or of.high is None:
        return None
    return math.floor(of.low / 50) * 50 if bound == "above" else math.ceil(of.high / 50) * 50


def figure(of: "Rating | Estimate | SolveFit", bound: Bound) -> str:
    """A rating as text; of a bound the end of the interval that was earned, rounded to 50 points on the safe side."""
    edge = edge_of(of, bound)
    if edge is None:
        return f"{of.rating:.0f}"
    return f"{bound} {edge:,}".replace("-", "−")


def _bound_note(bound: Bound, found: Estimate, rule: Rule) -> str:
    solved, further = ("everything", "higher") if bound == "above" else ("nothing", "lower")
    if found.low is None:
        return f"{solved} was solved: rule {rule} does not tell how much {further} the rating is"
    return f"{solved} was solved: the rating is {figure(found, bound)}"


def _bound(rows: Sequence[Solve]) -> Bound:
    if all(r.solved == r.samples for r in rows):
        return "above"
    return "below" if all(r.solved == 0 for r in rows) else ""


def _from_problem_ratings(
    model: SolveFit | None, rule: Rule, rows: Sequence[Solve], excluded: Sequence[str], notes: list[str]
) -> Estimate:
    """The estimate where no contest has standings. Raises EvalkitError where there is none."""
    if model is None:
        why = "its problems have no ratings and its contests no usable standings" if rows else "; ".join(excluded[:3])
        raise EvalkitError(
            f"Nothing can be rated: {why}.",
            'add "rating" to the rows, or fetch the standings with `evalkit codeforces contest fetch ID…`.',
        )
    if rule == "codeelo":
        raise EvalkitError(
            "CodeElo's rule needs standings, and no contest of this table has any.",
            "fetch them with `evalkit codeforces contest fetch ID…`.",
        )
    notes.append("no standings at hand: the rating comes from problem ratings; `contest fetch` gets standings")
    return Estimate(model.rating, model.low, model.high)


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

    `draws` with `seed` are those of the run-to-run error.

    Where at least one contest has standings the rating comes from them, else from problem ratings. Raises EvalkitError
    where nothing of the table can be rated.
    """
    excluded, notes = list[str](), list[str]()
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
        curves = by_rating | _measured(places)
        people = _fit(rows, curves, level)
        assert people is not None
        by_tie_rule = _by_places(places)
        by_rule = {
            "humans": Estimate(people.rating, people.low, people.high),
            "elo": Estimate(by_tie_rule[tie_rule]),
            "codeelo": Estimate(float(np.mean([codeelo_performance(p.contest, p.rows) for p in places]))),
        }
        found = by_rule[rule]
    else:
        found, curves = _from_problem_ratings(model, rule, rows, excluded, notes), by_rating
    if found.low is None:
        notes.append(f"rule {rule} has no interval: it misses the rating by more than it varies")
    if bound := _bound(rows):
        notes.append(_bound_note(bound, found, rule))
    run = _run_to_run(rows, curves, found, bound, level, draws, seed)
    return Rating(
        rating=found.rating,
        low=found.low,
        high=found.high,
        run=run,
        bound=bound,
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
    """What the people of these contests did with each problem, their luck with single problems taken out."""
    spread = people_spread([p.field.crowd for p in places])
    measured: Curves = {}
    for p in places:
        curves = p.field.crowd.curves(spread)
        for row, d, slope in zip(p.rows, curves.difficulties, curves.slopes, strict=True):
            measured[row.name] = (float(d), float(slope))
    return measured


def _fit(rows: Sequence[Solve], curves: Curves, level: float) -> SolveFit | None:
    """The rating of who solves as much where problems are as hard as `curves` says; None where no problem is there."""
    used = [r for r in rows if r.name in curves]
    if not used:
        return None
    difficulties, solved, samples, slopes = _columns(used, curves)
    return fit_solve_model(difficulties, solved, samples, slopes=slopes, level=level)


def _columns(rows: Sequence[Solve], curves: Curves) -> tuple[Floats, Ints, Ints, Floats]:
    """Difficulties, solved, samples and slopes of problems that are all in `curves`."""
    difficulties, slopes = np.array([curves[r.name] for r in rows]).T
    solved, samples = np.array([(r.solved, r.samples) for r in rows], dtype=np.int64).T
    return difficulties, solved, samples, slopes


def _run_to_run(
    rows: Sequence[Solve], curves: Curves, found: Estimate, bound: Bound, level: float, draws: int, seed: int
) -> RunError | None:
    if found.low is None or bound:
        return None
    columns = _columns([r for r in rows if r.name in curves], curves)
    return run_error(*columns, rating=found.rating, level=level, draws=draws, rng=np.random.default_rng(seed))


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


def _by_places(places: Sequence[Place]) -> dict[TieRule, float]:
    """The rating by the Elo formula under each tie rule."""
    grid = np.array([p.field.elo_curve(GRID) for p in places])
    shares = {t: np.array([p.share_above(t) for p in places]) for t in TIE_RULES}
    return {t: float(pooled_ratings(shares[t], grid, np.ones((1, len(places))))[0]) for t in TIE_RULES}
