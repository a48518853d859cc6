"""Imported tasks without right answers: they are never graded, and have the harness's own figure alone."""

from evalkit.errors import RunIncompleteError
from evalkit.importers.problem_set import PROBLEM_SET
from evalkit.store.run import TaskRun


class NotGradedError(RunIncompleteError):
    """A task whose problems have no right answers, so that no figure can be computed."""


def is_ungraded(task: TaskRun) -> bool:
    """Whether the problems of a task have no right answers.

    An earlier version may have written scores, which are errors without exception.
    """
    spec = task.record.spec
    return spec.get("file") == PROBLEM_SET and (spec.get("options") or {}).get("of_kind") == "none"


def require_graded(task: TaskRun) -> None:
    """Raises NotGradedError if the problems of a task have no right answers."""
    if is_ungraded(task):
        raise NotGradedError(
            f"{task} is not graded: it was imported without the right answers to all problems, or with --kind none.",
            "import the log again with -t TASK to grade it by a task that has them, or with --kind math or choice.",
        )
