"""What a task class declares, by type: what is wrong with it is told before anything is written."""

import math
import re
from collections.abc import Callable
from typing import Any, get_args

from evalkit.benchmark.task import DatasetSpec, Task, TaskKind, normalised
from evalkit.errors import EvalkitError
from evalkit.files import is_single_name
from evalkit.visible import visible_line

_MISSING = object()
_FIELD = re.compile(r"(?<![\\\w{}])\{([A-Za-z_]\w*)\}(?!\})")  # not the braces of \boxed{answer}, x_{i} or {{x}}


def _is_whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(name, str) and name for name in value)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and math.isfinite(value)


_ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda v: is_task_name(v), "a text of letters, digits and underscores"),
    "version": (_is_whole(0), "a whole number, such as 1"),
    "title": (_is_text, "a text that is not empty"),
    "kind": (lambda v: isinstance(v, str) and v in get_args(TaskKind), f"one of {', '.join(get_args(TaskKind))}"),
    "n": (_is_whole(1), "a whole number of 1 or more"),
    "prompt": (lambda v: isinstance(v, str), "a text with {problem} in it"),
    "aliases": (_are_names, 'a tuple of texts, such as ("other_name",)'),
    "headlines": (_are_names, 'a tuple of names of metrics, such as ("pass@1",)'),
    "unsafe_options": (_are_names, 'a tuple of names of options, such as ("sandbox",)'),
    "score_timeout": (_is_seconds, "a number of seconds above 0"),
    "rows": (lambda v: v is None or _is_whole(0)(v), "a whole number or None"),
    "targets_sha256": (lambda v: v is None or isinstance(v, str), "a text or None"),
    "dataset": (lambda v: v is None or isinstance(v, DatasetSpec), "a DatasetSpec or None"),
    "load": (callable, "a method"),
    "score": (callable, "a method"),
}


def is_task_name(value: object) -> bool:
    """Whether a value can be a task's name: it names a folder of a run, and `-t A,B` names two tasks."""
    return isinstance(value, str) and bool(normalised(value)) and is_single_name(value) and "," not in value


def declared_faults(task: Task | type[Task]) -> dict[str, str]:
    """What is wrong with the attributes of a task or a task class, by attribute. What is computed is not looked at.

    Examples:
        >>> class Sums(Task):
        ...     name, version, title, n = "sums", "1.0", "Sums", 4
        >>> declared_faults(Sums)["version"]
        "version is '1.0', not a whole number, such as 1"
    """
    found: dict[str, str] = {}
    for name, (holds, wanted) in _ATTRIBUTES.items():
        value = getattr(task, name, _MISSING)
        if value is _MISSING:
            found[name] = f"it has no {name}"
        elif isinstance(task, type) and not callable(value) and hasattr(type(value), "__get__"):
            continue  # a property, or the slot of a field
        elif not holds(value):
            found[name] = f"{name} is {visible_line(repr(value))[:80]}, not {wanted}"
    abstract = getattr(task if isinstance(task, type) else type(task), "__abstractmethods__", ())
    found |= {name: f"it has no {name}()" for name in sorted(abstract)}
    own_messages = getattr(task, "messages", None)
    writes_itself = getattr(own_messages, "__func__", own_messages) is not Task.messages
    prompt = getattr(task, "prompt", None)
    if isinstance(prompt, str) and "prompt" not in found and "{problem}" not in prompt and not writes_itself:
        found["prompt"] = f"its prompt has no {{problem}}: {visible_line(repr(prompt))[:80]}"
    return found


def require_declared(task: Task | type[Task]) -> None:
    """Raises EvalkitError, naming the task, the attribute and what it has to be, if a task declares anything wrong."""
    faults = list(declared_faults(task).values())
    if faults:
        task_class = task if isinstance(task, type) else type(task)
        name = visible_line(str(getattr(task, "name", task_class.__qualname__)))
        raise EvalkitError(
            f"The task {name} cannot be used: {'; '.join(faults)}.",
            f"repair the class {task_class.__qualname__}; docs/adding-a-task.md has a table of the attributes.",
        )


def unknown_fields(task: Task) -> list[str]:
    """The `{names}` in a task's prompt that nothing is put into, so that a model reads them as they are.

    Examples:
        >>> class Sums(Task):
        ...     name, version, title = "sums", 1, "Sums"
        ...     prompt = "Solve {question}: {problem}. Write \\\\boxed{answer}."
        ...     def load(self, source): return []
        ...     def score(self, problem, response): return None
        >>> unknown_fields(Sums())
        ['question']
    """
    if not isinstance(task.prompt, str) or type(task).messages is not Task.messages:
        return []
    return [name for name in dict.fromkeys(_FIELD.findall(task.prompt)) if name not in ("problem", "letters")]
