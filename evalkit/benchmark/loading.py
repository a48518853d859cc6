"""Loading a task's problems, whatever stands in the data."""

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.types import Problem
from evalkit.visible import visible_line


def load_problems(task: Task, source: DataSource) -> list[Problem]:
    """The problems of a task. Raises EvalkitError where the data is missing, or is not what the task can read."""
    try:
        problems = list(task.load(source))
    except EvalkitError:
        raise
    except Exception as error:  # a task's own code raises what it likes on data that it does not expect
        raise _unusable(task, f"{type(error).__name__}: {visible_line(str(error))[:200]}") from error
    for number, problem in enumerate(problems, start=1):
        if not isinstance(problem, Problem):
            raise _unusable(task, f"entry {number} is not a Problem")
        for name in ("id", "prompt", "target"):
            if not isinstance(getattr(problem, name), str):
                raise _unusable(task, f"the {name} of problem {number} is not text")
    return problems


def _unusable(task: Task, reason: str) -> EvalkitError:
    return EvalkitError(
        f"The data of {task.name} cannot be used: {reason}.", "download the data again, or repair the task's load()."
    )
