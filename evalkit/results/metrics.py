"""The table of metric kinds: how each is computed, its unit, where it is shown, whether it is comparable.

A metric that only one task has is of the kind `OWN`, unless it is named here. `Task.headlines` names the metrics of a
task that the leaderboard shows.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from evalkit.benchmark.task import Task
from evalkit.results.samples import Samples
from evalkit.stats import (
    avg_at_n,
    avg_of_unequal,
    cons_curve,
    equivalence_classes,
    pass_curve,
)
from evalkit.stats.percent import percent_metric, share_metric
from evalkit.stats.precision import Halves, mean_of_halves
from evalkit.types import Interval, Metric, Unit


class GradedSamples:
    """The samples of one task of a run, with the task, whose `same_answer` groups equal answers."""

    def __init__(self, task: Task, samples: Samples, halves: Sequence[Halves] | None = None) -> None:
        """`halves` are the outcomes of a run that divided its samples by a pilot (`--precision`)."""
        self.task = task
        self.samples = samples
        self.halves = halves

    @property
    def n(self) -> int:
        """The completions per problem."""
        return int(self.samples.values.shape[1])

    @property
    def ks(self) -> list[int]:
        """The values of k above 1 at which pass@k and cons@k are reported."""
        return powers_of_two(self.n)[1:]

    @cached_property
    def correct(self) -> npt.NDArray[np.float64]:
        """1 where a sample is correct, by problem and sample index."""
        return np.array([[status == "correct" for status in row] for row in self.samples.statuses], dtype=np.float64)

    @cached_property
    def have_votes(self) -> bool:
        """Whether there is anything to vote on: not where the task's scores have no answers, as those of a checker.

        Programs have none either, unless the task says which are the same: right ones would all be one answer, and
        each wrong one an answer of its own, so that the majority would be right wherever two are.
        """
        if self.task.kind in ("code", "instructions") and type(self.task).same_answer is Task.same_answer:
            return False
        if any(answer is not None for answers in self.samples.answers for answer in answers):
            return True
        return not any(status in ("correct", "wrong") for row in self.samples.statuses for status in row)

    @cached_property
    def answer_classes(self) -> list[list[Hashable | None]]:
        """The equivalence class of each answer. Correct answers form one class, since they equal the right answer.

        None is no answer, whatever it is worth.
        """
        same = lru_cache(maxsize=65536)(self.task.same_answer)
        by_problem: list[list[Hashable | None]] = []
        for answers, statuses in zip(self.samples.answers, self.samples.statuses, strict=True):
            right = [a is not None and s == "correct" for a, s in zip(answers, statuses, strict=True)]
            classes = equivalence_classes([None if r else a for a, r in zip(answers, right, strict=True)], same)
            by_problem.append(["correct" if r else c for r, c in zip(right, classes, strict=True)])
        return by_problem


def _pass_at_1(graded: GradedSamples) -> Iterable[Metric]:
    if (every := graded.samples.every) is None and graded.halves is None:
        note = f"mean over n = {graded.n} completions per problem"
        yield percent_metric("pass@1", avg_at_n(graded.samples.values), note)
        return
    n = n_text(graded.n, graded.n if every is None else max(every.counts))
    if graded.halves is not None:
        estimate, how = mean_of_halves(graded.halves), ", more where the outcome is uncertain"
    else:
        assert every is not None
        estimate, how = avg_of_unequal(every.by_problem()), ""
    note = f"mean over problems, of n = {n} completions each{how}"
    found = percent_metric("pass@1", estimate, note)
    yield found if every is None else replace(found, n=len(every.values))


def n_text(least: int, most: int | None) -> str:
    """`8`, or `4 to 37` where problems have different numbers of completions."""
    return str(least) if most is None or most == least else f"{least} to {most}"


def _finished(graded: GradedSamples) -> Iterable[Metric]:
    if graded.samples.truncated is None:
        return
    finished = ~graded.samples.truncated
    if finished.any():
        worth = (graded.samples.values * finished).sum(axis=1).tolist()
        yield share_metric("finished", worth, finished.sum(axis=1).tolist(), "of the completions that were not cut")


def _pass_at_k(graded: GradedSamples) -> Iterable[Metric]:
    for k, estimate in zip(graded.ks, pass_curve(graded.samples.values, graded.ks), strict=True):
        yield percent_metric(f"pass@{k}", estimate)


def _cons_at_k(graded: GradedSamples) -> Iterable[Metric]:
    if graded.ks and graded.have_votes:
        for k, estimate in zip(graded.ks, cons_curve(graded.answer_classes, graded.correct, graded.ks), strict=True):
            yield percent_metric(f"cons@{k}", estimate)


@dataclass(frozen=True, slots=True)
class MetricKind:
    """The properties of all metrics whose whole name matches `pattern`.

    `comparable`: a published figure of that name measures the same. `curve`: one point of a curve over k. `ranked`:
    higher is better, so a column has a best figure. `difference`: of two figures, told with its sign and the ends of
    its intervals. `compute` makes the metrics from a run's samples; it is None for metrics that only a task computes.
    """

    pattern: str
    unit: Unit
    comparable: bool = False
    curve: bool = False
    ranked: bool = False
    difference: bool = False
    compute: Callable[[GradedSamples], Iterable[Metric]] | None = None


OWN = MetricKind(r".*", "count")
KINDS = (
    MetricKind(r"pass@1", "%", comparable=True, curve=True, ranked=True, compute=_pass_at_1),
    MetricKind(r"finished", "%", compute=_finished),
    MetricKind(r"pass@\d+", "%", comparable=True, curve=True, ranked=True, compute=_pass_at_k),
    MetricKind(r"cons@\d+", "%", comparable=True, curve=True, ranked=True, compute=_cons_at_k),
    MetricKind(r"pass@1 clean", "%"),  # with --without-contaminated
    MetricKind(r"clean − all", "%", difference=True),
    MetricKind(r"peer", "%"),  # of an imported log: what its harness said
    MetricKind(r"rating", "rating", comparable=True, ranked=True),
    MetricKind(r"percentile", "%", comparable=True, ranked=True),
    OWN,
)
RESERVED = ("pass@1 clean|clean − all", "peer", *(kind.pattern for kind in KINDS if kind.compute is not None))
"""The names that a task's own metrics cannot have, as patterns."""
ROUNDING = 1e-6
"""How far a figure may be beyond an end for the rounding of sums."""
DECIMALS: dict[Unit, int] = {"%": 1, "rating": 0, "count": 0, "mean": 2, "tokens": 0, "seconds": 1}
UNIT_NAMES: dict[Unit, str] = {
    "%": "percent", "rating": "rating", "count": "count", "mean": "mean", "tokens": "tokens", "seconds": "s",
}  # fmt: skip


def standard_metrics(task: Task, samples: Samples, halves: Sequence[Halves] | None = None) -> list[Metric]:
    """The metrics of every task, in the order of `KINDS`. `halves`: see `GradedSamples`.

    pass@k and cons@k are over the first n completions of each problem, n the smallest number of a problem.
    """
    graded = GradedSamples(task, samples, halves)
    return [metric for kind in KINDS if kind.compute is not None for metric in kind.compute(graded)]


def powers_of_two(n: int) -> list[int]:
    """1, 2, 4, ... and n: the values of k at which pass@k and cons@k are reported.

    Examples:
        >>> powers_of_two(6)
        [1, 2, 4, 6]
    """
    return sorted({*(1 << i for i in range(n.bit_length()) if 1 << i <= n), n})


def kind_of(name: str) -> MetricKind:
    """The kind of the metric with this name.

    Examples:
        >>> kind_of("cons@64").curve, kind_of("verdict no code").comparable
        (True, False)
    """
    return next((kind for kind in KINDS if re.fullmatch(kind.pattern, name)), OWN)  # `.` is no line break


def unit_of(name: str) -> Unit:
    """The unit of a figure that comes without one, such as a published figure."""
    return kind_of(name).unit if kind_of(name) is not OWN else "%"


def figure_text(value: float, unit: Unit) -> str:
    """A value as text: `83.9`, `1189`. Negative values have a minus sign (U+2212); `−0.0` is printed as `0.0`.

    A count that is no whole number is printed as a mean.

    Examples:
        >>> figure_text(3, "count"), figure_text(2.6, "count"), figure_text(2, "mean")
        ('3', '2.60', '2.00')
    """
    if unit == "count" and not float(value).is_integer():
        unit = "mean"
    text = f"{value:.{DECIMALS[unit]}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def interval_text(value: float, interval: Interval | tuple[float, float], unit: Unit) -> str:
    """The half-widths of a 95% interval around `value`: `±1.6`, or `+0.4 −1.9` if the sides differ.

    An interval that does not hold the value has no half-widths: its ends stand in their place.

    Examples:
        >>> interval_text(50.0, (48.0, 52.0), "%"), interval_text(50.0, (60.0, 70.0), "%")
        ('±2.0', '[60.0, 70.0]')
    """
    up, down = (figure_text(side, unit) for side in (interval[1] - value, value - interval[0]))
    if "−" in up + down:
        return f"[{figure_text(interval[0], unit)}, {figure_text(interval[1], unit)}]"
    wide = max(float(up), float(down))
    alike = wide - min(float(up), float(down)) <= 0.2 * wide
    inside = unit != "%" or (value + wide <= 100 and value - wide >= 0)
    return f"±{figure_text(wide, unit)}" if alike and inside else f"+{up} −{down}"


def interval_fault(metric: Metric) -> str | None:
    """What is wrong with a metric's intervals, None where each holds the value.

    Examples:
        >>> interval_fault(Metric("mine", 50.0, 8, "%", interval_run=Interval(60.0, 70.0)))
        'whose interval_run is from 60 to 70: the value, 50, is not in it'
        >>> interval_fault(Metric("mine", 50.0, 8, "%", interval_problems=Interval(60.0, 40.0)))
        'whose interval_problems is from 60 to 40: the lower end comes first'
    """
    slack = ROUNDING * max(1.0, abs(metric.value))
    for name in ("interval_run", "interval_problems"):
        ends: Interval | None = getattr(metric, name)
        if ends is None:
            continue
        said = f"whose {name} is from {ends.low:g} to {ends.high:g}"
        if ends.low - ends.high > slack:
            return f"{said}: the lower end comes first"
        if not ends.low - slack <= metric.value <= ends.high + slack:
            return f"{said}: the value, {metric.value:g}, is not in it"
    return None


def error_bars(metric: Metric) -> list[str]:
    """The 95% half-widths of a metric: run to run, then over problems. One that is over problems alone says so.

    Of a difference they are the ends: `[−2.0, +0.4]`.
    """
    intervals = [i for i in (metric.interval_run, metric.interval_problems) if i is not None]
    if kind_of(metric.name).difference:
        bars = [f"[{signed_text(i.low, metric.unit)}, {signed_text(i.high, metric.unit)}]" for i in intervals]
    else:
        bars = [interval_text(metric.value, interval, metric.unit) for interval in intervals]
    return [f"{bars[0]} (over problems)"] if bars and metric.interval_run is None else bars


def metric_text(metric: Metric) -> str:
    """The value of a metric as it is printed, or the bound that stands for it."""
    if kind_of(metric.name).difference:
        return signed_text(metric.value, metric.unit)
    return metric.text or figure_text(metric.value, metric.unit)


def signed_text(value: float, unit: Unit) -> str:
    """As `figure_text`, with a plus before what is above 0.

    Examples:
        >>> signed_text(0.84, "%"), signed_text(-1.2, "%"), signed_text(0.01, "%")
        ('+0.8', '−1.2', '0.0')
    """
    text = figure_text(value, unit)
    return f"+{text}" if value > 0 and float(text) else text


def with_error_bars(metric: Metric | None) -> str:
    """The value with its 95% half-widths, run to run and over problems: `28.9 ±4.1 / ±16.0`. `–` for None."""
    if metric is None:
        return "–"
    bars = error_bars(metric)
    return metric_text(metric) + (f" {' / '.join(bars)}" if bars else "")
