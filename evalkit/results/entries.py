"""The tasks of many runs, each with its report and the settings that affect its numbers."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.benchmark.registry import installed_task
from evalkit.errors import DamagedError, EvalkitError, RunIncompleteError
from evalkit.results.harness_figure import harness_figure
from evalkit.results.own_metrics import NoReportError, tell_absent_headlines
from evalkit.results.report import Report, load_report, refresh_reports, stored_report
from evalkit.store.folders import find_runs, runs_without_record
from evalkit.store.run import RunDirectory, TaskRun


@dataclass(frozen=True, slots=True)
class Entry:
    """One task of one run: its report, the settings that affect its numbers, and the names of its data sets.

    `available` is the number of problems of the benchmark, None if it was not recorded. `engine` is the engine's
    identity, such as its quantization. `stored` is the task of the run that it was read from. `clean_problems` were not
    found in a training set, None where no file tells.
    """

    run: Path
    report: Report
    settings: Mapping[str, Any]
    hub_ids: tuple[str, ...] = ()
    available: int | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    stored: TaskRun | None = field(default=None, repr=False, compare=False)
    clean_problems: int | None = None

    @property
    def subset(self) -> str:
        """`subset of 5 problems`, or an empty string if the run has all problems."""
        if self.available is None or self.report.problems >= self.available:
            return ""
        return f"subset of {self.report.problems} problem{'s' if self.report.problems > 1 else ''}"

    @property
    def is_installed(self) -> bool:
        """Whether the task is of a package, not of a file of the user's."""
        return self.settings.get("task_file_sha256") is None


def load_entries(paths: Iterable[Path]) -> tuple[list[Entry], list[str]]:
    """Every complete task below `paths`, and a message for each one that is left out.

    Left out are tasks that are incomplete or damaged, and those whose report cannot be computed, as where their code
    fails.

    Raises EvalkitError if there is no run, or if nothing is left.
    """
    paths = list(paths)
    tasks, broken = readable_tasks(dict.fromkeys(run for path in paths for run in find_runs(path)))
    broken += {run: error for path in paths for run, error in runs_without_record(path)}.items()
    reports = [_report_as_stored(task) for task in tasks]
    refresh_reports([task for task, report in zip(tasks, reports, strict=True) if report is None])
    entries: list[Entry] = []
    left_out = [damage_note(path, error) for path, error in broken]
    failure: EvalkitError | None = broken[0][1] if broken else None
    failed: dict[str, list[Path]] = {}
    incomplete: list[RunIncompleteError] = []
    for task, report in zip(tasks, reports, strict=True):
        try:
            entries.append(_entry(task, report or load_report(task)))
        except RunIncompleteError as error:
            incomplete.append(error)
            left_out.append(f"not shown: {error.message}{harness_figure(task)}")
        except DamagedError as error:
            failure = failure or error
            left_out.append(damage_note(task.directory.path, error))
        except NoReportError as error:
            failure = failure or error
            reason = f"{error.message} {_sentence(error.hint)}".replace(f"{task.directory.path} ", "")
            failed.setdefault(reason, []).append(task.directory.path)
    left_out += [f"not shown: {_named(paths)}: {reason}" for reason, paths in failed.items()]
    if not entries:
        if failure is not None:
            raise failure
        raise _nothing_to_show(incomplete, left_out)
    told = (tell_absent_headlines(e.report.task, e.report.headlines, e.report.metrics) for e in entries)
    return entries, [*left_out, *dict.fromkeys(note for note in told if note is not None)]


def _nothing_to_show(incomplete: list[RunIncompleteError], left_out: list[str]) -> RunIncompleteError:
    """Of several tasks the first is named, so that nothing is said of runs that were not looked at."""
    if not incomplete:
        return RunIncompleteError("There is no task in any run.", "run the command that started it again to resume.")
    detail = left_out[0].removeprefix("not shown: ")
    if len(incomplete) > 1:
        detail = f"None of {len(incomplete)} tasks has figures. {detail}"
    return RunIncompleteError(detail, incomplete[0].hint)


def readable_tasks(runs: Iterable[RunDirectory]) -> tuple[list[TaskRun], list[tuple[Path, DamagedError]]]:
    """The tasks of the runs in the order of their names, and the runs whose run.json cannot be read."""
    tasks: list[TaskRun] = []
    broken: list[tuple[Path, DamagedError]] = []
    for run in sorted(runs, key=lambda run: natural_order(str(run.path))):
        try:
            tasks += run.tasks().values()
        except DamagedError as error:
            broken.append((run.path, error))
    return tasks, broken


def damage_note(run: Path, error: DamagedError) -> str:
    """`not shown: …` of a damaged run, with its path and what mends it."""
    where = "" if str(run) in error.message else f"{run}: "
    return f"not shown: {where}{error.message} {_sentence(error.hint)}"


def _report_as_stored(task: TaskRun) -> Report | None:
    try:
        return stored_report(task)
    except DamagedError:  # `load_report` raises it again, where it is told
        return None


def _sentence(hint: str) -> str:
    return f"{hint[:1].upper()}{hint[1:]}"


def _named(paths: list[Path]) -> str:
    more = len(paths) - 1
    return f"{paths[0]}{f' and {more} more run' if more else ''}{'s' if more > 1 else ''}"


def _entry(task: TaskRun, report: Report) -> Entry:
    return Entry(
        task.directory.path,
        report,
        _settings(task),
        tuple(data.hub_id for data in task.record.data),
        problems_available(task),
        task.run.engine,
        task,
    )


def problems_available(task: TaskRun) -> int | None:
    """The number of problems of the benchmark. None if it was not recorded."""
    if task.record.problems_available is not None:
        return task.record.problems_available
    task_class = installed_task(task.record.name)
    return None if task_class is None else task_class.rows  # a run of an earlier version


def natural_order(text: str) -> list[tuple[int, str]]:
    """A sort key for names with numbers: checkpoint-500 comes before checkpoint-1000."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", text) if part]


def _settings(task: TaskRun) -> dict[str, Any]:
    """The settings that have to be equal for two figures to be comparable."""
    identity = task.record.identity
    settings = {k: v for k, v in task.run.protocol.items() if k != "name"}
    settings.update(identity.get("sampling", {}))
    settings.update({k: v for k, v in identity.items() if k not in ("sampling", "data")})
    settings["data"] = [data.fingerprint for data in task.record.data]
    settings["problems"] = task.record.problems_digest
    return settings


# settings whose names in words are not their fields'; they are those of docs/statistics.md
_SETTINGS = {
    "max_tokens": "token limit",
    "top_p": "top-p",
    "top_k": "top-k",
    "response_prefix": "response's beginning",
    "version": "task version",
    "options": "options of the task",
    "task_file_sha256": "task file",
    "asserted": "protocol",
    "data_unchecked": "data",
}
# words for values that are yes or no; None is that of a run that does not say
_VALUES: dict[str, tuple[str, dict[bool | None, str]]] = {
    "asserted": ("protocol", {None: "recorded", False: "not known", True: "asserted"}),
    "data_unchecked": ("data", {None: "of an unknown state", False: "checked", True: "not checked"}),
}


def setting_name(key: str) -> str:
    """A setting in words.

    Examples:
        >>> setting_name("max_tokens"), setting_name("system_prompt")
        ('token limit', 'system prompt')
    """
    return _SETTINGS.get(key, key.replace("_", " "))


def setting_differences(
    settings: Mapping[str, Any], reference: Mapping[str, Any], left_out: Collection[str] = ()
) -> list[str]:
    """`temperature 0.7 instead of 0.6` for each setting that differs and is not in `left_out`."""
    found = []
    for key in sorted((settings.keys() | reference.keys()) - set(left_out)):
        ours, theirs = settings.get(key), reference.get(key)
        if ours == theirs:
            continue
        if key == "task_file_sha256":
            found.append("another task file" if ours and theirs else "another task of that name")
        else:
            found.append(_difference(key, ours, theirs))
    return found


def _difference(key: str, ours: Any, theirs: Any) -> str:
    if key in _VALUES:
        name, words = _VALUES[key]
        return f"{name} {words[_truth(ours)]} instead of {words[_truth(theirs)]}"
    short = len(f"{ours}{theirs}") < 60 and not any(isinstance(value, list | dict) for value in (ours, theirs))
    if not short:
        return f"different {setting_name(key)}"
    return f"{setting_name(key)} {_setting_text(ours)} instead of {_setting_text(theirs)}"


def _truth(value: object) -> bool | None:
    return None if value is None else bool(value)


def _setting_text(value: object) -> str:
    """A setting's value: a text with line breaks or none at all stays readable in a sentence."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value)
    return repr(text) if isinstance(value, str) and (not text.strip() or "\n" in text) else text
