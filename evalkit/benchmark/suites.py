"""Names for groups of tasks: `evalkit run -t r1`. Packages add theirs in the entry-point group `evalkit.suites`."""

from collections.abc import Sequence

from evalkit.benchmark.registry import GROUP as TASKS
from evalkit.benchmark.registry import load_plugin, load_plugins, package_of, plugins
from evalkit.benchmark.task import normalised
from evalkit.errors import EvalkitError

GROUP = "evalkit.suites"


def installed_suites() -> dict[str, tuple[str, ...]]:
    """The tasks of every installed suite by its name. One that cannot be imported is skipped with a warning."""
    return load_plugins(GROUP, lambda entry: suite(entry.name))


def suite(name: str) -> tuple[str, ...]:
    """The names of a suite's tasks.

    Raises EvalkitError where it cannot be imported, is not a list of names, or has the name of a task.
    """
    entry = plugins(GROUP)[name]
    if task := next((each for each in plugins(TASKS) if normalised(each) == normalised(name)), None):
        whose = package_of(plugins(TASKS)[task])
        raise EvalkitError(
            f"The suite {name} of {package_of(entry)} has the name of the task {task} of {whose}.",
            "give the suite another name, or uninstall one of the packages.",
        )
    tasks = load_plugin(entry, "suite")
    if not isinstance(tasks, tuple | list) or not all(isinstance(task, str) for task in tasks):
        raise EvalkitError(f"The suite {name} is not a list of task names.", "repair the package that defines it.")
    return tuple(tasks)


def require_no_suite(name: str) -> None:
    """Raises EvalkitError, naming its tasks, where one task is wanted and `name` is a suite."""
    if name in plugins(GROUP):
        raise EvalkitError(f"{name} is a suite.", f"name one of its tasks: {', '.join(suite(name))}.")


def task_names(names: str) -> list[str]:
    """The tasks that `A,B` names, a suite's in its place.

    Examples:
        >>> task_names("arithmetic,forgetting")
        ['arithmetic', 'gsm8k', 'mmlu_pro', 'ifeval']
    """
    found: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        members: Sequence[str] = suite(name) if name in plugins(GROUP) else [name]
        found.update(dict.fromkeys(members))
    return list(found)
