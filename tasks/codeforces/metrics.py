"""A run's rating as the metrics of its report."""

from collections.abc import Mapping, Sequence

from evalkit.stats.percent import mean_metric
from evalkit.types import Interval, Metric, Problem, Score

from .contests import ContestSet
from .estimate import Rating
from .percentile import Histogram
from .summary import RULE_TITLES, basis, by_index, by_rating, interval, percentile_text, percentiles
from .table import Solve


def rating_metrics(
    rating: Rating,
    table: Sequence[Solve],
    contests: ContestSet,
    histogram: Histogram | None,
    problems: Sequence[Problem],
    scores: Mapping[str, Sequence[Score]],
    left_out: Mapping[str, int],
    python_time: float,
) -> list[Metric]:
    """The rating first, then its percentile, what other rules give, what was solved, what was left out."""
    n = sum(row.samples for row in table)
    standings = rating.method == "standings"
    bound = _bound(problems)
    fetch = "" if standings else "; `evalkit codeforces contest fetch` gets standings"
    ends, run = interval(rating), rating.run
    metrics = [
        Metric(
            "rating", rating.rating, n, "rating",
            stderr_run=None if run is None else run.stderr,
            interval_run=None if run is None else Interval(run.low, run.high),
            stderr_problems=None if ends is None or rating.bound else (ends[1] - ends[0]) / 3.92,
            interval_problems=None if rating.bound else _ends(ends),
            text=rating.text if rating.bound else "",
            note="; ".join([f"from {basis(rating)}{fetch}", f"contest set {contests.name}", *bound]),
        )
    ]  # fmt: skip
    shares = percentiles(rating, histogram)
    if shares is not None and histogram is not None:
        date = f", counted {histogram.date}" if histogram.date else ""
        note = f"of {histogram.users.sum()} active users{date}"
        said = percentile_text(rating, shares[0]) if rating.bound else ""
        between = _ends(shares[1])
        metrics.append(Metric("percentile", shares[0], n, "%", interval_problems=between, text=said, note=note))
    for rule, value in rating.by_rule.items():
        if rule != rating.rule:
            between, title = _ends(interval(value)), RULE_TITLES[rule]
            metrics.append(Metric(f"rating, {rule}", value.rating, n, "rating", interval_problems=between, note=title))
    for tie_rule, moved in rating.by_tie_rule.items():
        note = f"Elo formula, {tie_rule} of those with the same score"
        metrics.append(Metric(f"rating, elo, {tie_rule}", moved, n, "rating", note=note))
    if standings and rating.problem_model is not None:
        model = rating.problem_model
        metrics.append(
            Metric("rating, problems", model.rating, n, "rating", interval_problems=Interval(model.low, model.high))
        )
    saturated = [c for c in rating.contests if c.saturated]
    if saturated:
        note = ", ".join(f"{c.id}: {'all' if c.saturated == 'top' else 'none'} solved" for c in saturated)
        metrics.append(Metric("saturated contests", len(saturated), n, "count", note=note))
    metrics += [_solved(f"solved {index}", rows) for index, rows in by_index(table).items()]
    metrics += [_solved(f"solved {level}+", rows) for level, rows in by_rating(table, contests).items()]
    metrics.append(_denominator(table, problems, left_out, n))
    return metrics + _languages(scores, python_time)


def _solved(name: str, rows: Sequence[Solve]) -> Metric:
    """The share of these problems' programs that are right, with its own n and error bars."""
    values = [[1.0] * row.solved + [0.0] * (row.samples - row.solved) for row in rows]
    return mean_metric(name, values, f"{len(rows)} problem{'s' * (len(rows) != 1)}")


def _languages(scores: Mapping[str, Sequence[Score]], python_time: float) -> list[Metric]:
    """The share of programs in each language; none where there are no programs."""
    written = [s.extracted_by for row in scores.values() for s in row if s.extracted_by]
    if not written:
        return []
    metrics = []
    for language, title in (("cpp", "C++"), ("python", "Python")):
        note = f"time limit x {python_time:g}" if language == "python" else ""
        share = 100 * written.count(language) / len(written)
        metrics.append(Metric(f"programs in {title}", share, len(written), "%", note=note))
    return metrics


def _ends(pair: tuple[float, float] | None) -> Interval | None:
    return None if pair is None else Interval(*pair)


def _bound(problems: Sequence[Problem]) -> list[str]:
    samples = sum(p.metadata["tests"] == "samples" for p in problems)
    some = sum(p.metadata["tests"] == "some" for p in problems)
    unchecked = sum(p.metadata["several_answers"] and not p.metadata["own_checker"] for p in problems)
    notes = []
    if samples:
        notes.append(f"samples only for {samples} of {len(problems)} problems: an upper bound")
    if some:
        notes.append(f"{some} of {len(problems)} problems have only some of the official tests: it may be too high")
    if unchecked:
        notes.append(f"{unchecked} problems accept several answers and have no checker: right programs may fail there")
    return notes


def _denominator(table: Sequence[Solve], problems: Sequence[Problem], left_out: Mapping[str, int], n: int) -> Metric:
    """How many problems the figures rest on, of how many that the contests have."""
    total = len(problems) + sum(left_out.values())
    reasons = [f"{count} {reason}" for reason, count in left_out.items()]
    if len(table) < len(problems):
        reasons.append(f"{len(problems) - len(table)} without a completion that could be judged")
    note = f"of {total}" + (f"; left out: {', '.join(reasons)}" if reasons else "")
    return Metric("problems", len(table), n, "count", note=note)
