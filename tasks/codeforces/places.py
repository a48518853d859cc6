"""What one contest says of a virtual participant: its place and its performance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from .contests import Contest, Standings
from .elo import Floats, codeelo_rating, virtual_change
from .field import MIN_PARTICIPANTS, TIE_RULES, Entry, Field, TieRule, worth
from .table import Solve

NO_STANDINGS = "no standings at hand"


@dataclass(frozen=True)
class ContestResult:
    """One contest of the virtual participant.

    `rank` (from 1, fractional) and `performance` (Elo; infinite where everybody or nobody is above) by tie rule.
    `saturated`: every problem was solved by every sample ("top") or none by any ("bottom"), so the performance is only
    a bound. `change` is the official rating change it would have got had it entered with the final rating.
    """

    id: int
    name: str
    participants: int
    problems: int
    expected_score: float
    rank: dict[TieRule, float]
    performance: dict[TieRule, float]
    saturated: Literal["", "top", "bottom"]
    change: int


@dataclass(frozen=True)
class Place:
    """A virtual participant (`entry`, from `rows` in the order of the problems) among the people of one contest."""

    contest: Contest
    standings: Standings
    rows: list[Solve]
    entry: Entry
    field: Field

    @cached_property
    def score_mass(self) -> Floats:
        return self.entry.distribution()

    def rank(self, tie_rule: TieRule) -> float:
        """The expected place over the distribution of the score."""
        return float(self.score_mass @ self.field.ranks(self.entry.scores, tie_rule))

    def share_above(self, tie_rule: TieRule) -> float:
        """The expected share of the field above, in [0, 1]."""
        return (self.rank(tie_rule) - 1) / self.field.size

    def result(self, rating: float, tie_rule: TieRule) -> ContestResult:
        """For the report; `rating` and `tie_rule` are the final ones, for the official change."""
        entry = self.entry
        ranks = {t: self.rank(t) for t in TIE_RULES}
        full, none = bool((entry.solved == entry.samples).all()), bool((entry.solved == 0).all())
        change = virtual_change(ranks[tie_rule], round(rating), official_ranks(self.standings), self.standings.rating)
        return ContestResult(
            id=self.contest.id,
            name=self.contest.name,
            participants=self.field.size,
            problems=len(self.rows),
            expected_score=float(self.score_mass @ entry.scores),
            rank=ranks,
            performance={t: float(self.field.seeds.performance(ranks[t])) for t in TIE_RULES},
            saturated="top" if full else "bottom" if none else "",
            change=change,
        )


def place(contest: Contest, rows: Sequence[Solve], notes: list[str]) -> Place | str:
    """What the standings of one contest say of the problems that were tried, or the reason why they say nothing."""
    standings = contest.standings
    if standings is None:
        return NO_STANDINGS
    if standings.rating.size < MIN_PARTICIPANTS:
        return f"{standings.rating.size} rated participants, {MIN_PARTICIPANTS} needed"
    each = dict(zip((p.index for p in contest.problems), worth(contest).tolist(), strict=True))
    tried = {r.index for r in rows}
    pointless = [i for i, w in each.items() if w <= 0 and (standings.solved is None or i in tried)]
    if pointless:
        return f"no points known for {', '.join(pointless)}"
    missing = [i for i in each if i not in tried]
    if missing:
        notes.append(
            f"contest {contest.id}: {', '.join(missing)} not tried, left out for people too "
            "(not by rule codeelo, which counts what was not tried as not solved)"
        )
    order = {p.index: j for j, p in enumerate(contest.problems)}
    ordered = sorted(rows, key=lambda r: order[r.index])
    entry = Entry(
        np.array([each[r.index] for r in ordered]),
        np.array([r.solved for r in ordered], dtype=np.int64),
        np.array([r.samples for r in ordered], dtype=np.int64),
    )
    field = Field(contest, [order[r.index] for r in ordered])
    if standings.solved is None:
        notes.append(f"contest {contest.id}: people's solved problems inferred from their totals")
    return Place(contest, standings, ordered, entry, field)


def official_ranks(standings: Standings) -> Floats:
    """Each participant's rank as the standings show it: those tied share the best place."""
    order = standings.better_first
    points, penalty = standings.points[order], standings.penalty[order]
    first = np.concatenate([[True], (np.diff(points) != 0) | (np.diff(penalty) != 0)])
    ranks = np.empty(order.size)
    ranks[order] = (np.flatnonzero(first) + 1)[np.cumsum(first) - 1]
    return ranks


def codeelo_performance(contest: Contest, rows: Sequence[Solve]) -> int:
    """One contest by CodeElo's script: the first right program counts, 50 points (or 10 minutes) less for each before.

    Where the order of the results is not known, the wrong ones before the first right are taken at their mean,
    (samples - solved) / (solved + 1). Raises ValueError without standings.
    """
    standings = contest.standings
    if standings is None:
        raise ValueError(f"contest {contest.id} has no standings")
    score = penalty = 0.0
    for row in rows:
        if not row.solved:
            continue
        wrong = (row.samples - row.solved) / (row.solved + 1) if row.results is None else row.results.index(True)
        points = problem.points if (problem := contest.problem(row.index)) else None
        if contest.scoring == "points" and points is not None:
            score += max(0.0, points - 50 * wrong)
        else:
            score += 1
            penalty += 10 * wrong
    order = standings.better_first
    return codeelo_rating(standings.points[order], standings.penalty[order], standings.displayed[order], score, penalty)
