"""Resolves task names, classes and instances to plans: the problems of each task and how they are sampled."""

import copy
import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.declared import require_declared, unknown_fields
from evalkit.benchmark.loading import equal_ids, load_problems
from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import (
    TaskSpec,
    find_task_class,
    installed_task,
    option_fields,
    require_name,
    resolve_task,
)
from evalkit.benchmark.suites import task_names
from evalkit.benchmark.task import Task, fingerprint_targets
from evalkit.errors import EvalkitError, plugin_faults
from evalkit.run.queue import TaskPlan
from evalkit.types import Message, Problem
from evalkit.visible import visible_line
from evalkit.words import listed

logger = logging.getLogger(__name__)

_NO_PROBLEMS = "let its load() return them, or download the whole data set."

Tasks = str | type[Task] | Task | Sequence[str | type[Task] | Task]


@dataclass(frozen=True, slots=True)
class ChosenTask:
    """A task of a run, and the spec that creates it in another process.

    `local` means that other processes cannot import it (it is defined in a notebook), so this process grades it.
    """

    task: Task
    spec: TaskSpec
    local: bool = False


def choose_tasks(
    tasks: Tasks,
    task_file: str | None = None,
    options: Sequence[str] = (),
    protocol_options: Mapping[str, Mapping[str, str]] | None = None,
) -> list[ChosenTask]:
    """Resolve `tasks`, each with its `options` (`NAME=VALUE` or `TASK.NAME=VALUE`).

    `protocol_options` holds the protocol's options by task name; `options` override them.

    Raises EvalkitError for unknown names and options, and if `tasks` is empty.
    """
    given: list[str | type[Task] | Task] = []
    for one in [tasks] if isinstance(tasks, str | type | Task) else tasks:
        given += task_names(one) if isinstance(one, str) else [one]
    if not given:
        raise EvalkitError("No task was named.", "`evalkit tasks` lists them; --problems takes a file.")
    used: set[str] = set()
    chosen: dict[str, ChosenTask] = {}
    for one in given:
        if isinstance(one, Task):
            found = _of_instance(one)
        else:
            found = _of_class(one, task_file, options, protocol_options or {}, used)
        chosen.setdefault(found.task.name, found)
    require_used(options, used)
    return list(chosen.values())


def require_used(options: Sequence[str], used: set[str]) -> None:
    """Raises EvalkitError if one of `options` is of no task."""
    if unused := [option for option in options if option not in used]:
        raise EvalkitError(f"No task of this run has the option {unused[0]!r}.", "see `evalkit tasks show NAME`.")


def _of_class(
    name: str | type[Task],
    task_file: str | None,
    options: Sequence[str],
    protocol_options: Mapping[str, Mapping[str, str]],
    used: set[str],
) -> ChosenTask:
    if isinstance(name, str):
        task_class = resolve_task(name, Path(task_file) if task_file else None)
        file = None if installed_task(task_class.name) is task_class else task_file
    else:
        require_name(name)
        task_class, file = name, _where(name)
    values = {**protocol_options.get(task_class.name, {}), **options_of(task_class, options, used)}
    spec = TaskSpec(task_class.name, file, values)
    return ChosenTask(spec.create_from(task_class), spec, local=_is_local(task_class))


def options_of(task_class: type[Task], options: Sequence[str], used: set[str]) -> dict[str, str]:
    """Those of `options` (`NAME=VALUE` or `TASK.NAME=VALUE`) that are the task's, which are added to `used`."""
    values = {}
    for option in options:
        target, equals, value = option.partition("=")
        if not equals:
            raise EvalkitError(f"The task option {option!r} has no value.", "use the form -T NAME=VALUE.")
        task_name, dot, key = target.rpartition(".")
        if (dot and _names(task_name, task_class)) or (not dot and key in option_fields(task_class)):
            values[key] = value
            used.add(option)
    return values


def _names(name: str, task_class: type[Task]) -> bool:
    try:
        return find_task_class(name, {task_class.name: task_class}) is task_class
    except EvalkitError:
        return False


def _of_instance(task: Task) -> ChosenTask:
    """A Task instance. Its options are the fields that differ from their defaults."""
    require_name(type(task))
    values: dict[str, str] = {}
    if dataclasses.is_dataclass(task):
        for field in dataclasses.fields(task):
            if field.name in option_fields(type(task)) and getattr(task, field.name) != field.default:
                values[field.name] = str(getattr(task, field.name))
    return ChosenTask(copy.copy(task), TaskSpec(task.name, _where(type(task)), values), local=_is_local(type(task)))


def _where(task_class: type[Task]) -> str | None:
    """Where the class is defined: None for an installed task, else `module:Class`."""
    if installed_task(task_class.name) is task_class:
        return None
    return f"{task_class.__module__}:{task_class.__qualname__}"


def _is_local(task_class: type[Task]) -> bool:
    return task_class.__module__ == "__main__" or "<locals>" in task_class.__qualname__


def plan_task(
    chosen: ChosenTask, protocol: Protocol, source: DataSource, seed: int, n: int | None, limit: int | None
) -> TaskPlan:
    """Load the problems of one task and check them.

    Raises EvalkitError if they are not those of the benchmark, or if what the task declares cannot be used.
    """
    task = chosen.task
    require_declared(task)
    if task.kind not in protocol.prompts:
        _tell_unknown_fields(task)
    object.__setattr__(task, "prompt", protocol.prompts.get(task.kind, task.prompt))  # a task may be a frozen dataclass
    before = len(source.loaded)
    problems = load_problems(task, source)
    if not source.allow_changed:
        _check_problems(task.name, problems, task.rows, task.targets_sha256)
    if same := equal_ids(problems):
        raise EvalkitError(f"The task {task.name} has equal ids: {same}.", "give each problem a unique id.")
    is_ours = type(task).__module__.partition(".")[0] in ("evalkit", "evalkit_tasks")  # those are tested
    if not chosen.local and not is_ours:
        require_json(task, problems)
    planned = problems[:limit] if limit is not None else problems
    if not planned:
        options = ", ".join(f"{key}={value}" for key, value in chosen.spec.options.items())
        hint = f"its options may leave all of them out: {visible_line(options)}." if options else _NO_PROBLEMS
        raise EvalkitError(f"The task {task.name} has no problems.", hint)
    return TaskPlan(
        task,
        planned,
        protocol.sampling(task, seed, n),
        chosen.spec,
        source.loaded[before:],
        len(problems),
        chosen.local,
        source=source,
        prompts={p.id: digest_of(messages_of(task, p)) for p in planned},
        dataset=problems,
    )


def messages_of(task: Task, problem: Problem) -> Sequence[Message]:
    """The messages of a problem. Raises EvalkitError, naming task and problem, if they are none."""
    which = f"messages() of the task {task.name} for problem {visible_line(repr(problem.id))[:80]}"
    hint = 'let it return a list such as [{"role": "user", "content": problem.prompt}].'
    with plugin_faults(task, f"{which} fails", hint):
        found: Any = task.messages(problem)
    if not isinstance(found, list | tuple) or not found:
        raise EvalkitError(f"{which} gives {visible_line(repr(found))[:80]}, not a list of messages.", hint)
    for each in found:
        is_message = isinstance(each, Mapping) and each.get("role") in ("system", "user", "assistant")
        if not is_message or not isinstance(each.get("content"), str) or each.keys() - {"role", "content"}:
            raise EvalkitError(f"{which} gives {visible_line(repr(each))[:80]}, which is no message.", hint)
    return cast(Sequence[Message], found)


def require_json(task: Task, problems: Sequence[Problem]) -> None:
    """Raises EvalkitError for metadata that cannot be sent to the processes that grade."""
    for number, problem in enumerate(problems, start=1):
        try:
            json.dumps(dict(problem.metadata), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise EvalkitError(
                f"The task {task.name} cannot be used: the metadata of problem {visible_line(repr(problem.id))[:80]} "
                f"(number {number}) cannot be written as JSON: {visible_line(str(error))[:200]}.",
                "use texts, numbers, booleans, lists and dictionaries with text keys.",
            ) from error


def _tell_unknown_fields(task: Task) -> None:
    if names := unknown_fields(task):
        told = listed(f"{{{name}}}" for name in names)
        logger.warning(
            "The prompt of %s holds %s, which a model reads as it is: only {problem} and {letters} are filled in.",
            task.name,
            told,
        )


def digest_of(messages: Sequence[Message]) -> str:
    """12 hex digits of a sha256 of one problem's messages."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:12]


def _check_problems(name: str, problems: Sequence[Problem], rows: int | None, targets_sha256: str | None) -> None:
    hint = "download the data set again, or pass --allow-changed-data to use your own."
    if rows is not None and len(problems) != rows:
        raise EvalkitError(f"{name} has {len(problems)} problems here, but the benchmark has {rows}.", hint)
    if targets_sha256 is not None and fingerprint_targets(problems) != targets_sha256:
        raise EvalkitError(f"The right answers of {name} are not those of the benchmark.", hint)
