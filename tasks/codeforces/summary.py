"""A rating as text and as JSON."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .contests import ContestSet
from .estimate import Estimate, Rating, difficulty, edge_of, figure
from .field import TIE_RULES
from .percentile import Histogram
from .solve_model import SolveFit
from .table import Solve

Interval = tuple[float, float]

RULE_TITLES = {
    "humans": "as people who solve as much are rated",
    "elo": "Elo formula on places",
    "codeelo": "CodeElo's script",
}


def percentiles(rating: Rating, histogram: Histogram | None) -> tuple[float, Interval | None] | None:
    """The percentile of the rating, and of both ends of its interval where it has one; None without a histogram.

    Of a rating that is only known to lie above or below a bound it is that of the bound, without an interval.
    """
    if histogram is None:
        return None
    edge = edge_of(rating, rating.bound)
    if edge is not None:
        return histogram.percentile(edge), None
    ends = interval(rating)
    at_ends = None if ends is None else (histogram.percentile(ends[0]), histogram.percentile(ends[1]))
    return histogram.percentile(rating.rating), at_ends


def percentile_text(rating: Rating, share: float) -> str:
    """`12.3`, or `below 12.3` where the rating is such a bound."""
    bound = edge_of(rating, rating.bound) is not None
    return f"{rating.bound} {share:.1f}" if bound else f"{share:.1f}"


def interval(of: Rating | Estimate | SolveFit) -> Interval | None:
    """Both ends, None where there is no interval."""
    return None if of.low is None or of.high is None else (of.low, of.high)


def _brackets(ends: Interval | None, digits: int = 0) -> str:
    return "" if ends is None else f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"


def basis(rating: Rating) -> str:
    """What the rating rests on."""
    if rating.method == "problem ratings":
        return "problem ratings (no standings at hand)"
    ties = f", ties: {rating.tie_rule}" if rating.rule == "elo" else ""
    return f"the standings of {len(rating.contests)} contests, {RULE_TITLES[rating.rule]}{ties}"


def solved_by(table: Sequence[Solve], key: Callable[[Solve], str | None]) -> dict[str, list[Solve]]:
    """The problems by what `key` says, sorted; those with None are left out."""
    groups: dict[str, list[Solve]] = {}
    for row in table:
        name = key(row)
        if name is not None:
            groups.setdefault(name, []).append(row)
    return dict(sorted(groups.items(), key=lambda item: _order(item[0])))


def share_solved(rows: Sequence[Solve]) -> float:
    """The mean over problems of the share of programs that are right."""
    return sum(row.solved / row.samples for row in rows) / len(rows)


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (0, name)


def by_index(table: Sequence[Solve]) -> dict[str, list[Solve]]:
    """By the letter of the index: E1 and E2 are E."""
    return solved_by(table, lambda row: row.index[:1])


def by_rating(table: Sequence[Solve], contests: ContestSet) -> dict[str, list[Solve]]:
    """By the problem's rating, in steps of 200 (800 holds 800 and 900)."""

    def key(row: Solve) -> str | None:
        rating = difficulty(row, contests)
        return None if rating is None else str(int(rating // 200 * 200))

    return solved_by(table, key)


def describe(rating: Rating, table: Sequence[Solve], contests: ContestSet, histogram: Histogram | None) -> str:
    """What `evalkit codeforces rate` prints."""
    lines = [f"rating {rating.text}"]
    if (ends := interval(rating)) is not None:
        lines[0] += f" {_brackets(ends)} ({100 * rating.level:g}% interval)"
    if rating.run is not None:
        lines.append(f"the same problems sampled again: {_brackets((rating.run.low, rating.run.high)).strip()}")
    lines.append(f"from {basis(rating)}")
    shares = percentiles(rating, histogram)
    if shares is not None and histogram is not None:
        of = f" ({histogram.date})" if histogram.date else ""
        share = percentile_text(rating, shares[0]) + _brackets(shares[1], 1)
        lines.append(f"percentile {share} of {histogram.users.sum()} users{of}")
    else:
        lines.append("percentile: no histogram of users at hand; `evalkit codeforces histogram` fetches one")
    for name, one in rating.by_rule.items():
        if name != rating.rule:
            lines.append(f"by rule {name}: {figure(one, rating.bound)}{_brackets(interval(one))} ({RULE_TITLES[name]})")
    if rating.by_rule:
        ties = ", ".join(f"{name} {value:.0f}" for name, value in rating.by_tie_rule.items())
        lines.append(f"by rule elo, by place among those with the same score: {ties}")
    if rating.problem_model is not None and rating.contests:
        model = rating.problem_model
        lines.append(f"from problem ratings alone: {figure(model, rating.bound)}{_brackets(interval(model))}")
    lines.append(f"{rating.problems} problems, {100 * rating.solved_share:.1f}% solved")
    for title, groups in (("index", by_index(table)), ("problem rating", by_rating(table, contests))):
        lines.append(
            f"solved by {title}: "
            + ", ".join(f"{name} {100 * share_solved(rows):.0f}% of {len(rows)}" for name, rows in groups.items())
        )
    if rating.contests:
        lines += ["", f"{'contest':>8} {'people':>7} {'place':>9} {'performance':>12} {'change':>7}  name"]
        for result in rating.contests:
            performance = result.performance[rating.tie_rule]
            shown = (
                f"{performance:.0f}"
                if math.isfinite(performance)
                else ("above all" if performance > 0 else "below all")
            )
            mark = {
                "top": " (saturated: all solved, a lower bound)",
                "bottom": " (saturated: none solved, an upper bound)",
            }
            lines.append(
                f"{result.id:>8} {result.participants:>7} {result.rank[rating.tie_rule]:>9.1f} {shown:>12} "
                f"{result.change:>+7}  {result.name}{mark.get(result.saturated, '')}"
            )
    for title, entries in (("note", rating.notes), ("left out", rating.excluded)):
        lines += [f"{title}: {entry}" for entry in entries]
    return "\n".join(lines) + "\n"


def _shares(groups: dict[str, list[Solve]]) -> dict[str, dict[str, float]]:
    return {name: {"share": share_solved(rows), "problems": len(rows)} for name, rows in groups.items()}


def to_json(
    rating: Rating, table: Sequence[Solve], contests: ContestSet, histogram: Histogram | None
) -> dict[str, Any]:
    """The same as plain JSON; infinite performances are null with `saturated` saying why."""
    model, run = rating.problem_model, rating.run
    shares = percentiles(rating, histogram)
    return {
        "rating": rating.rating,
        "interval": interval(rating),
        "run_to_run": None if run is None else {"stderr": run.stderr, "interval": [run.low, run.high]},
        "bound": rating.bound,
        "level": rating.level,
        "method": rating.method,
        "rule": rating.rule,
        "tie_rule": rating.tie_rule,
        "by_rule": {n: {"rating": e.rating, "interval": interval(e)} for n, e in rating.by_rule.items()},
        "by_tie_rule": rating.by_tie_rule,
        "from_problem_ratings": None
        if model is None
        else {"rating": model.rating, "interval": [model.low, model.high]},
        "percentile": None if shares is None else {"value": shares[0], "interval": shares[1]},
        "histogram_date": histogram.date if histogram else None,
        "contest_set": {"name": contests.name, "sha256": contests.sha256},
        "problems": rating.problems,
        "solved_share": rating.solved_share,
        "solved_by_index": _shares(by_index(table)),
        "solved_by_rating": _shares(by_rating(table, contests)),
        "contests": [
            {
                "id": c.id,
                "name": c.name,
                "participants": c.participants,
                "problems": c.problems,
                "expected_score": c.expected_score,
                "rank": c.rank,
                "performance": {t: _finite(c.performance[t]) for t in TIE_RULES},
                "saturated": c.saturated,
                "change": c.change,
            }
            for c in rating.contests
        ],
        "notes": rating.notes,
        "excluded": rating.excluded,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
