"""Whether a run reproduces a published figure: compares the settings, then the difference in standard errors."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.benchmark.protocols import installed_protocol
from evalkit.benchmark.registry import TaskSpec, installed_task, option_fields
from evalkit.benchmark.task import Task
from evalkit.results.entries import Entry, setting_name
from evalkit.results.published import PublishedScore
from evalkit.stats import Distance, distance, error_of_runs, error_towards, published_error
from evalkit.types import Metric

SAMPLES_ASSUMED = (1, 64)  # smallest and largest n assumed for a published figure without n
_ROUNDING = {"%": 0.1, "rating": 1.0}
_SEEN = 1.959963984540054
_WIDEST = {"%": 5.0, "rating": 100.0}  # half-width of the difference's 95% interval above which there is no verdict
_PROTOCOL_SETTINGS = ("temperature", "top_p", "top_k", "max_tokens", "system_prompt", "response_prefix")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Our figure compared with a published one: `z` in standard errors (or None) and a `word`, see `verdict`.

    If the source does not give n, `z` assumes one sample per problem, which is nearest to 0, and `z_most` assumes 64.
    `seen` is the difference, in the figure's unit, that would be detected with 80% power (at one sample per problem if
    n is unknown). `reasons` says why the two are not compared; it is empty if they are.
    """

    z: float | None
    word: str
    reasons: tuple[str, ...] = ()
    z_most: float | None = None
    seen: float | None = None


_UNKNOWN = "it is not known under which protocol it was made"


def verdict(entry: Entry, metric: Metric, figure: PublishedScore) -> Verdict:
    """Whether `metric` of `entry` agrees with the published figure.

    They are not compared if something that affects the figure is known to differ. The word is then `subset of k
    problems`, `other settings`, or `settings unknown` where that is the only reason. Otherwise it is one of the words
    of `reproduced`.
    """
    if reasons := tuple(differences(entry, figure)):
        unknown = all(reason.endswith(_UNKNOWN) for reason in reasons)
        return Verdict(None, entry.subset or ("settings unknown" if unknown else "other settings"), reasons)
    return reproduced(metric, entry.report.n, figure)


def differences(entry: Entry, figure: PublishedScore) -> Iterator[str]:
    """Known differences between a run and a published figure: problems, data, model, errors, settings.

    A setting that the source does not give is not counted as a difference.
    """
    yield from _differing_problems(entry)
    backend = {"imported": "imported", "replay": "replayed"}.get(str(entry.engine.get("backend")))
    if backend is not None and not entry.settings.get("asserted"):
        yield f"{backend}: {_UNKNOWN}"
    for kind in ("quantization", "lora"):
        if entry.engine.get(kind):
            yield f"{kind} {entry.engine[kind]}"
    task_class = installed_task(entry.report.task)
    published = dict(figure.settings)
    defaults = {} if task_class is None else _options(task_class, {})
    options = {} if task_class is None else _options(task_class, entry.settings.get("options") or {})
    for name, default in defaults.items():
        expected = published.pop(name, str(default))
        if str(options[name]) != expected:
            yield f"{name} {options[name]} instead of {expected}"
    preset = installed_protocol(figure.protocol)
    for name in _PROTOCOL_SETTINGS:
        ours = entry.settings.get(name)
        if name in published:
            theirs: Any = published[name]
        elif preset is not None:
            theirs = preset.fixed_settings()[name]
        else:
            continue
        if not _same(ours, theirs):
            yield f"{setting_name(name)} {_short(ours)} instead of {_short(theirs)}"
    if preset is not None and task_class is not None:
        task = TaskSpec(task_class.name, options=entry.settings.get("options") or {}).create()
        if not _is_made_from(str(entry.settings.get("prompt")), preset.prompts.get(task.kind, task.prompt)):
            yield "different prompt"


def _differing_problems(entry: Entry) -> Iterator[str]:
    """What was measured: another task, a part of the problems, samples that were lost, other data."""
    if entry.settings.get("task_file_sha256") and installed_task(entry.report.task) is not None:
        yield f"a task file's own task with the name {entry.report.task}"
    if entry.subset:
        yield f"{entry.report.problems} of {entry.available} problems"
    if failed := entry.report.statuses["error"]:
        yield f"{failed} sample{'s' if failed > 1 else ''} with status error"
    if entry.settings.get("data_unchecked"):
        yield "the data may have been changed (--allow-changed-data)"


def _is_made_from(prompt: str, template: str) -> bool:
    """Whether `prompt` is the template, with any letters of choices."""
    return re.fullmatch(re.escape(template).replace(re.escape("{letters}"), "[A-Z]+"), prompt) is not None


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
    """Compare `ours` (n samples per problem) with a published figure, using the run-to-run errors of both.

    Words: `within` (|z| < 1.96), `above`, `below`. `too few samples` means that there is no significant difference and
    1.96 standard errors exceed 5 points (100 for a rating), or that there is no error bar. `n unknown` means that the
    source gives neither n nor an sd, and that the word for one sample per problem differs from the one for 64. Our
    error is taken from the side of the run-to-run interval that faces the published figure, so a figure inside that
    interval is never above or below.
    """
    if ours.unit != figure.unit or (ours.interval_run is None and ours.stderr_run is None):
        return Verdict(None, "too few samples")
    if figure.sd is not None or figure.n is not None:
        found = _distance(ours, n, figure, figure.n)
        return Verdict(found.z, _word(found, figure.unit), seen=found.seen)
    fewest, most = SAMPLES_ASSUMED
    k = _samples_of_one(ours)
    near, far = (_distance(ours, n, figure, max(samples, k)) for samples in (fewest, most))
    word = _word(near, figure.unit)
    if (abs(near.z) < _SEEN) != (abs(far.z) < _SEEN):
        word = "n unknown"
    return Verdict(near.z, word, z_most=far.z, seen=near.seen)


def _word(found: Distance, unit: str) -> str:
    if abs(found.z) >= _SEEN:
        return "above" if found.z > 0 else "below"
    return "within" if _SEEN * found.error <= _WIDEST[unit] else "too few samples"


def _samples_of_one(metric: Metric) -> int:
    """The samples that one observation of a metric needs: k of pass@k and cons@k, else 1."""
    _, _, k = metric.name.partition("@")
    return int(k) if k.isdecimal() else 1


def _distance(ours: Metric, n: int, figure: PublishedScore, their_n: int | None) -> Distance:
    """The difference in the figure's unit, if the published figure has `their_n` samples per problem."""
    own = ours.stderr_run
    if ours.interval_run is not None:
        own = error_towards(ours.value, ours.interval_run, figure.value)
    assert own is not None
    if figure.sd is not None:
        theirs = error_of_runs(figure.sd, figure.n)
    elif figure.unit == "rating":
        theirs = own * (n / (their_n or n)) ** 0.5
    else:
        count = ours.n / _samples_of_one(ours)  # ours.n: the completions of all problems
        stderr = own if ours.stderr_run is None else ours.stderr_run
        scaled = published_error(ours.value / 100, stderr / 100, count, figure.value / 100, count * (their_n or n) / n)
        theirs = 100 * scaled
    return distance(ours.value, own, figure.value, theirs, _ROUNDING[figure.unit])
