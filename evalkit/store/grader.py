"""Which version of the graders a score is of: a part of the grader's name in scores.jsonl."""

import re
from collections.abc import Iterable

GRADER_VERSION = 7
"""Raised whenever a change to a grader, or to what it reads of a response, can change a verdict."""

_NAME = re.compile(r".*@[0-9]+\+grader([0-9]{1,9})(?:\+file[0-9a-f]+)?(?:\+data[0-9a-f]+)?", re.DOTALL)


def name_of_grader(task: str, task_version: int, file_digest: str | None, data_digest: str | None = None) -> str:
    """The grader's name in scores.jsonl: the task with its version, the graders' version, the hash of a task's file.

    `data_digest` is of the task's data where it was corrected since the completions were made.

    Examples:
        >>> name_of_grader("math500", 2, None).startswith("math500@2+grader")
        True
    """
    file = f"+file{file_digest[:8]}" if file_digest else ""
    data = f"+data{data_digest}" if data_digest else ""
    return f"{task}@{task_version}+grader{GRADER_VERSION}{file}{data}"


def graded_earlier(graders: Iterable[str] | None) -> bool:
    """Whether any of the graders that gave a run's scores is of an earlier version of evalkit.

    Examples:
        >>> graded_earlier(["human", "math500@1+grader1"]), graded_earlier(None)
        (True, False)
    """
    return any(is_earlier(name) for name in graders or ())


def is_earlier(name: str) -> bool:
    """Whether a grader's name is of an earlier version of evalkit's graders. A person's name is of none.

    Examples:
        >>> is_earlier("math500@1+grader1"), is_earlier(name_of_grader("math500", 1, None)), is_earlier("human")
        (True, False, False)
    """
    found = _NAME.fullmatch(name)
    return found is not None and int(found[1]) < GRADER_VERSION
