"""Whether a run reproduces a published figure: what has to match first, and then the difference in standard errors."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.benchmark.protocols import installed_protocol
from evalkit.benchmark.registry import TaskSpec, installed_task, option_fields
from evalkit.benchmark.task import Task
from evalkit.results.entries import Entry
from evalkit.results.published import PublishedScore
from evalkit.types import Metric

FEWEST_SAMPLES = 4  # where a source does not tell n: the fewest that DeepSeek-R1's paper names (section 3: 4 to 64)
_WIDEST = {"%": 5.0, "rating": 100.0}  # a 95% interval of the difference wider than this on a side says nothing
_PROTOCOL_SETTINGS = ("temperature", "top_p", "top_k", "max_tokens", "system_prompt", "response_prefix")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ours against a published figure: `z` in standard errors, None where there is none, and a `word`: see `verdict`.

    `reasons` tell why the two cannot be compared, empty where they can.
    """

    z: float | None
    word: str
    reasons: tuple[str, ...] = ()


def verdict(entry: Entry, metric: Metric, figure: PublishedScore) -> Verdict:
    """Whether `metric` of `entry` is the published figure sampled again.

    Not compared at all where something that changes the figure is known to differ: the word is then `subset of k
    problems` or `other settings`. Else the words of `reproduced`.
    """
    if reasons := tuple(differences(entry, figure)):
        return Verdict(None, entry.subset or "other settings", reasons)
    return reproduced(metric, entry.report.n, figure)


def differences(entry: Entry, figure: PublishedScore) -> Iterator[str]:
    """What is known to make a run's figure another one than the published: problems, data, model, faults, settings.

    A setting that the source does not tell is not held against the run.
    """
    if entry.subset:
        yield f"{entry.report.problems} of {entry.available} problems"
    if spoilt := entry.report.statuses["error"]:
        yield f"{spoilt} sample{'s' if spoilt > 1 else ''} spoilt by faults"
    if entry.settings.get("data_unchecked"):
        yield "the data may have been changed (--allow-changed-data)"
    if entry.engine.get("backend") == "imported" and not entry.settings.get("asserted"):
        yield "imported: it is not known under which protocol it was made"
    for kind in ("quantization", "lora"):
        if entry.engine.get(kind):
            yield f"{kind} {entry.engine[kind]}"
    task_class = installed_task(entry.report.task)
    told = dict(figure.settings)
    options = {} if task_class is None else _options(task_class, {})
    asked = {} if task_class is None else _options(task_class, entry.settings.get("options") or {})
    for name, usual in options.items():
        expected = told.pop(name, str(usual))
        if str(asked[name]) != expected:
            yield f"{name} {asked[name]} instead of {expected}"
    preset = installed_protocol(figure.protocol)
    for name in _PROTOCOL_SETTINGS:
        ours = entry.settings.get(name)
        if name in told:
            theirs: Any = told[name]
        elif preset is not None:
            theirs = getattr(preset, name)
        else:
            continue
        if not _same(ours, theirs):
            yield f"{name} {_short(ours)} instead of {_short(theirs)}"
    if preset is not None and task_class is not None:
        task = TaskSpec(task_class.name, options=entry.settings.get("options") or {}).create()
        if entry.settings.get("prompt") != preset.prompts.get(task.kind, task.prompt):
            yield "another prompt"


def _options(task_class: type[Task], given: Mapping[str, str]) -> dict[str, Any]:
    task = TaskSpec(task_class.name, options=given).create()
    return {name: getattr(task, name) for name in option_fields(task_class)}


def _same(ours: Any, theirs: Any) -> bool:
    try:
        return float(ours) == float(theirs)
    except (TypeError, ValueError):
        return (ours or None) == (theirs or None)


def _short(value: Any) -> str:
    text = "none" if value in (None, "") else repr(value) if isinstance(value, str) and "\n" in value else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def reproduced(ours: Metric, n: int, figure: PublishedScore) -> Verdict:
    """Whether `ours` (n samples a problem) is the published figure sampled again: run-to-run errors on both sides.

    Words: `within` (|z| < 1.96), `above`, `below`, and `too few samples` where nothing is seen and 1.96 standard
    errors are more than 5 points (100 of a rating), or where there is no error bar. The published error is sd / sqrt(n)
    where an sd is told, else ours scaled to its n (4 where it tells none). Rounding (to one decimal) adds its variance.
    """
    own = ours.stderr_run if ours.stderr_run is not None else ours.stderr_problems
    if own is None or ours.unit != figure.unit:
        return Verdict(None, "too few samples")
    if figure.sd is not None:
        theirs = figure.sd / math.sqrt(figure.n or 1)
    else:
        theirs = own * math.sqrt(n / (figure.n or FEWEST_SAMPLES)) if figure.unit == "%" else own
    step = 0.1 if figure.unit == "%" else 1.0
    error = math.sqrt(own**2 + theirs**2 + step**2 / 12)
    z = (ours.value - figure.value) / error
    if z >= 1.96:
        return Verdict(z, "above")
    if z <= -1.96:
        return Verdict(z, "below")
    return Verdict(z, "within" if 1.96 * error <= _WIDEST[figure.unit] else "too few samples")
