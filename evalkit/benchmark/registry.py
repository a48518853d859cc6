"""Finds tasks by name: entry points (ours are found like anybody's), or a file of the user's."""

import dataclasses
import difflib
import functools
import importlib.util
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError

GROUP = "evalkit.tasks"


def _normalised(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def did_you_mean(name: str, known: Iterable[str] | Mapping[str, str]) -> str:
    """` Did you mean X?`, or nothing where no known name is near; a mapping tells what a spelling means."""
    meanings = known if isinstance(known, Mapping) else {k: k for k in known}
    by_form = {_normalised(spelling): meaning for spelling, meaning in meanings.items()}
    near = difflib.get_close_matches(_normalised(name), by_form, n=1, cutoff=0.5)
    return f" Did you mean {by_form[near[0]]}?" if near else ""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskSpec:
    """What finds a task again in another process: its name, the user's file if it came from one, its options."""

    name: str
    file: str | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def create(self) -> Task:
        """A new task with these options. Raises EvalkitError on an unknown name, option or value."""
        if self.file:
            return _with_options(find_task_class(self.name, load_task_file(Path(self.file))), self.options)
        task_class = installed_task(self.name) or find_task_class(self.name, installed_tasks())
        return _with_options(task_class, self.options)


@functools.cache
def _entries() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda e: e.name)


def installed_tasks() -> dict[str, type[Task]]:
    """Every installed task class by its name. Raises EvalkitError if one of another package cannot be imported."""
    return {entry.name: _loaded(entry) for entry in _entries()}


def installed_task(name: str) -> type[Task] | None:
    """The installed task class of exactly that name, without importing the others; None where there is none."""
    return next((_loaded(entry) for entry in _entries() if entry.name == name), None)


def _loaded(entry: EntryPoint) -> type[Task]:
    try:
        task_class: type[Task] = entry.load()
    except Exception as error:  # a stranger's module raises what it likes on import
        package = entry.dist.name if entry.dist else entry.value
        raise EvalkitError(
            f"The task {entry.name} of {package} cannot be imported: {type(error).__name__}: {error}.",
            f"repair or uninstall {package}.",
        ) from error
    return task_class


def load_task_file(path: Path) -> dict[str, type[Task]]:
    """The task classes that a Python file defines. Raises EvalkitError if it has none or cannot be run."""
    if not path.is_file():
        raise EvalkitError(f"There is no task file {path}.", "`evalkit tasks new NAME` writes one to begin with.")
    module_name = f"evalkit_task_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise EvalkitError(f"{path} is no Python file.", "a task file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file raises what it likes
        raise EvalkitError(
            f"The task file {path} fails when it is run: {type(error).__name__}: {error}.", "repair the file."
        ) from error
    classes = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module_name]
    found: dict[str, type[Task]] = {c.name: c for c in classes if issubclass(c, Task) and hasattr(c, "name")}
    if not found:
        raise EvalkitError(f"The task file {path} defines no Task with a name.", "see docs/adding-a-task.md.")
    return found


def find_task_class(name: str, classes: Mapping[str, type[Task]]) -> type[Task]:
    """A task class by name or alias, however it is spelt. Raises EvalkitError that tells the nearest one."""
    spellings = {_normalised(s): c for c in classes.values() for s in (*c.aliases, c.name)}
    if found := spellings.get(_normalised(name)):
        return found
    known = {s: c.name for c in classes.values() for s in (*c.aliases, c.name)}
    raise EvalkitError(
        f"There is no task {name!r}.{did_you_mean(name, known)}",
        f"`evalkit tasks` lists them: {', '.join(classes)}; --task-file plugs in one of your own.",
    )


def option_fields(task_class: type[Task]) -> dict[str, Any]:
    """The options of a task with their types."""
    if not dataclasses.is_dataclass(task_class):
        return {}
    hints = typing.get_type_hints(task_class)
    return {f.name: hints[f.name] for f in dataclasses.fields(task_class) if f.name != "prompt" and f.init}


def _with_options(task_class: type[Task], options: Mapping[str, str]) -> Task:
    from pydantic import TypeAdapter, ValidationError

    fields = option_fields(task_class)
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in fields:
            offered = f"its options are {', '.join(fields)}." if fields else "it has no options."
            raise EvalkitError(
                f"The task {task_class.name} has no option {name!r}.{did_you_mean(name, list(fields))}", offered
            )
        kind = fields[name]
        optional = isinstance(kind, types.UnionType) and type(None) in typing.get_args(kind)
        value: Any = None if optional and text.lower() in ("", "none") else text
        try:
            values[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise EvalkitError(
                f"The option {name}={text!r} of {task_class.name} is wrong: {error.errors()[0]['msg']}.",
                f"see `evalkit tasks show {task_class.name}`.",
            ) from error
    return task_class(**values)
