"""The metrics that a task computes itself, held to what a report can store and show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from typing import Any, cast

from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError, place_of
from evalkit.files import is_finite
from evalkit.results.metrics import KINDS, RESERVED, ROUNDING, interval_fault
from evalkit.types import Metric, Problem, Score
from evalkit.visible import visible_line

_RETURN = 'let it return a list of evalkit.Metric, such as [Metric("mine", 50.0, n=100, unit="%")]'


class NoReportError(EvalkitError):
    """A finished task of a run whose figures cannot be computed: its code, its data or its metrics are at fault.

    Examples:
        >>> NoReportError("extra_metrics() of the task sums failed: KeyError: 'unit'.", "repair it.").exit_code
        2
    """


def has_own_metrics(task: Task) -> bool:
    """Whether a task defines `extra_metrics`, which needs the problems."""
    return type(task).extra_metrics is not Task.extra_metrics


def own_metrics(task: Task, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
    """What a task's `extra_metrics` returns. Raises NoReportError if it raises, or returns anything but metrics."""
    what = f"extra_metrics() of the task {task.name}"
    kept = "the completions and scores are kept; when it is repaired, run the same command again"
    try:
        returned: Any = task.extra_metrics(problems, scores)
        is_list = isinstance(returned, Iterable) and not isinstance(returned, str | Mapping)
        found: list[object] = list(returned) if is_list else []
    except EvalkitError as error:
        raise NoReportError(error.message, error.hint) from error
    except (Exception, SystemExit) as error:  # a stranger's code raises what it likes, also when a generator is read
        told = f"{type(error).__name__}: {visible_line(str(error))[:200]}".removesuffix(": ").rstrip(".")
        raise NoReportError(f"{what} failed: {told}{place_of(error)}.", f"repair it; {kept}.") from error
    if not is_list:
        raise NoReportError(f"{what} returned {_kind(returned)}, not a list of Metric.", f"{_RETURN}; {kept}.")
    metrics = []
    for each in found:
        if not isinstance(each, Metric):
            raise NoReportError(f"{what} returned a list with {_kind(each)}, not a Metric.", f"{_RETURN}; {kept}.")
        metrics.append(_checked(each, what, kept))
        _require_own_name(metrics, what, kept)
    return metrics


def _require_own_name(metrics: Sequence[Metric], what: str, kept: str) -> None:
    """Raises NoReportError if the last metric has no name, that of another, or one that all tasks have."""
    name = metrics[-1].name
    shown = visible_line(name)[:60]
    if not name.strip():
        raise NoReportError(f"{what} returned a Metric without a name.", f"give each a name of its own; {kept}.")
    if any(metric.name == name for metric in metrics[:-1]):
        raise NoReportError(f"{what} returned two metrics named {shown!r}.", f"give each a name of its own; {kept}.")
    if any(re.fullmatch(pattern, name) for pattern in RESERVED):
        raise NoReportError(
            f"{what} returned a metric named {shown!r}, which evalkit computes itself.",
            f"give it another name; {kept}.",
        )


def _checked(metric: Metric, what: str, kept: str) -> Metric:
    """The metric with plain numbers. Raises NoReportError for fields that are none, or no number in a table."""
    from pydantic import ValidationError

    given = {field.name: getattr(metric, field.name) for field in fields(Metric)}
    try:
        found = cast(Metric, _schema().validate_python(given))
    except ValidationError as error:
        first = error.errors()[0]
        field, said = ".".join(map(str, first["loc"])), f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise NoReportError(
            f"{what} returned a Metric whose {field} is {visible_line(repr(first['input']))[:60]}: {said}.",
            f"repair it; {kept}.",
        ) from error
    if not is_finite(asdict(found)):
        raise NoReportError(
            f"{what} returned the metric {visible_line(found.name)[:60]!r}, of which a number is not finite "
            f"or above 1e15: its value is {found.value}.",
            f"repair it; {kept}.",
        )
    named = f"{what} returned the metric {visible_line(found.name)[:60]!r}"
    if found.unit == "%" and not -ROUNDING <= found.value <= 100 + ROUNDING:
        raise NoReportError(
            f"{named}, which is {found.value:g} %: a share is from 0 to 100.",
            f"repair it, or give it another unit; {kept}.",
        )
    if found.unit == "count" and abs(found.value - round(found.value)) > ROUNDING:
        raise NoReportError(
            f"{named}, which is {found.value:g}: a count is a whole number.",
            f'give it the unit "mean", or "%" for a share; {kept}.',
        )
    if fault := _fault(found):
        raise NoReportError(f"{named}, {fault}.", f"repair it; {kept}.")
    return found


def _fault(metric: Metric) -> str | None:
    """What is wrong with what stands beside a metric's value, None where nothing is."""
    if metric.n < 1:
        return f"whose n is {metric.n}: n is the number of completions that it is computed from, 1 at least"
    for name in ("stderr_run", "stderr_problems"):
        error = getattr(metric, name)
        if error is not None and error < 0:
            return f"whose {name} is {error:g}: a standard error is not below 0"
    return interval_fault(metric)


@cache
def _schema() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Metric)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def absent_headlines(headlines: Sequence[str], metrics: Sequence[Metric]) -> list[str]:
    """The headlines that no metric has. Those of all tasks, such as cons@64, are left out: they depend on n.

    Examples:
        >>> absent_headlines(["pass@1", "cons@64", "mine"], [])
        ['mine']
    """
    standard = [kind.pattern for kind in KINDS if kind.compute is not None]
    known = {metric.name for metric in metrics}
    return [name for name in headlines if name not in known and not any(re.fullmatch(p, name) for p in standard)]


def tell_absent_headlines(task: str, headlines: Sequence[str], metrics: Sequence[Metric]) -> str | None:
    """A sentence about headlines that no metric of a task has, None where there are none."""
    if not (absent := absent_headlines(headlines, metrics)):
        return None
    names = ", ".join(repr(visible_line(name)) for name in absent)
    own = ", ".join(visible_line(metric.name) for metric in metrics) or "none"
    return f"{task} has no metric {names}, which its headlines name; its metrics are {own}."
