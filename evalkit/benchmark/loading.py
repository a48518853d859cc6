"""Loading a task's problems, whatever stands in the data."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.types import Problem
from evalkit.visible import visible_line


def load_problems(task: Task, source: DataSource) -> list[Problem]:
    """The problems of a task. Raises EvalkitError where the data is missing, or is not what the task can read."""
    source.beside = _folder_of(task)
    try:
        returned: object = task.load(source)
        if not isinstance(returned, Iterable) or isinstance(returned, str | Mapping):
            what = "None" if returned is None else f"an object of the type {type(returned).__name__}"
            raise _unusable(task, f"load() returned {what}, not a list of Problem")
        problems = list(returned)
    except EvalkitError:
        raise
    except Exception as error:  # a task's own code raises what it likes on data that it does not expect
        raise _unusable(task, f"{type(error).__name__}: {visible_line(str(error))[:200]}") from error
    for number, problem in enumerate(problems, start=1):
        if not isinstance(problem, Problem):
            raise _unusable(task, f"entry {number} of load() is of the type {type(problem).__name__}, not a Problem")
        for name in ("id", "prompt", "target"):
            if not isinstance(value := getattr(problem, name), str):
                which = f"problem {visible_line(repr(problem.id))[:80]} (number {number})"
                raise _unusable(task, f"the {name} of {which} is of the type {type(value).__name__}, not text (str)")
    return problems


def equal_ids(problems: Sequence[Problem]) -> str | None:
    """Which problems have the same id, None where each has its own.

    Examples:
        >>> equal_ids([Problem("1", "1 + 1?", "2"), Problem("1", "1 + 2?", "3")])
        "problems 1 and 2 have the id '1'"
    """
    first: dict[str, int] = {}
    pairs = [
        (first[problem.id], number, problem.id)
        for number, problem in enumerate(problems, start=1)
        if first.setdefault(problem.id, number) != number
    ]
    if not pairs:
        return None
    told = [f"problems {a} and {b} have the id {visible_line(repr(key))[:80]}" for a, b, key in pairs[:3]]
    return "; ".join(told) + (f"; and {len(pairs) - 3} more" if len(pairs) > 3 else "")


def _folder_of(task: Task) -> Path | None:
    """The folder of the file that defines a task, None where there is no such file, as in a notebook."""
    file = getattr(sys.modules.get(type(task).__module__), "__file__", None)
    return Path(file).resolve().parent if isinstance(file, str) else None


def _unusable(task: Task, reason: str) -> EvalkitError:
    installed = type(task).__module__.partition(".")[0] in ("evalkit", "evalkit_tasks")
    hint = "download the data again." if installed else "repair the task's load(), or its data."
    return EvalkitError(f"The data of {task.name} cannot be used: {reason}.", hint)
