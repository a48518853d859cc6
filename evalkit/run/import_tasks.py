"""Which of evalkit's tasks an imported log is of: by the name that was given, or by the log's own."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evalkit.benchmark.registry import installed_tasks, option_fields, resolve_task
from evalkit.benchmark.task import Task
from evalkit.importers.problem_set import PROBLEMS_FILE, Kind
from evalkit.importers.reader import Log
from evalkit.run.planning import options_of, require_used


def named_tasks(logs: list[Log], wanted: Mapping[str, str], kind: Kind | None) -> dict[str, str | None]:
    """The task of each log: that which was named for it, else the one whose name it has."""
    return {log.task: wanted.get(log.task) or (named_like_a_task(log.task) if kind is None else None) for log in logs}


def options_by_task(names: Iterable[str | None], options: Sequence[str]) -> dict[str, dict[str, str]]:
    """The options of each task, by the name that it was given. Raises EvalkitError if one is of none of them."""
    used: set[str] = set()
    found = {
        name: options_of(resolve_task(name), options, used)
        for name in names
        if options and name is not None and not (Path(name) / PROBLEMS_FILE).is_file()
    }
    require_used(options, used)
    return found


def own_set_notes(log: Log, kind: Kind | None) -> list[str]:
    """What is to be said of a log whose problems become a task of their own: which `-t` may fit instead.

    With `kind` a set of its own is what was asked for.
    """
    likely = _likely_task(log)
    if likely is None or kind is not None:
        return []
    told = f"a task of its own, which is compared with no other: if these are {likely}'s problems, import with"
    return [f"{told} -t {likely} (and --data DIR)"]


def _likely_task(log: Log) -> str | None:
    """The installed task whose name stands in the log's name, or is that of its format; None where there is none."""
    parts = re.findall(r"[A-Za-z0-9]+", log.task)
    inside = ["".join(parts[i:j]) for i in range(len(parts)) for j in range(min(len(parts), i + 4), i, -1)]
    return next((name for part in (*inside, log.reader.name) if (name := named_like_a_task(part))), None)


def named_like_a_task(label: str) -> str | None:
    """The installed task whose name or alias is the log's, None where there is none."""
    plain = re.sub(r"[^a-z0-9]", "", label.lower())
    for name, task_class in installed_tasks().items():
        if plain in {re.sub(r"[^a-z0-9]", "", s.lower()) for s in (name, *task_class.aliases)}:
            return name
    return None


def told_options(task: Task) -> str:
    """` (release=release_v6, window=all)`: the options of a task that are words, nothing where it has none."""
    words = [name for name, kind in option_fields(type(task)).items() if kind is str]
    told = ", ".join(f"{name}={getattr(task, name)}" for name in words)
    return f" ({told})" if told else ""
