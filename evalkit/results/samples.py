"""The samples of one task of a run as arrays of shape (problems, n)."""

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.files import size_of
from evalkit.store.run import TaskRun
from evalkit.types import Status

_MISSING = -1
_SHORTEST = 50  # bytes of a line of completions.jsonl: it has a problem, an index and a finish reason


@dataclass(frozen=True, slots=True)
class Samples:
    """All n samples of each problem of the run, in the order of run.json.

    Arrays and lists have the shape (problems, n). `values` is in [0, 1]. `truncated` is true for a truncated
    completion, whatever it scored; it is None if that is not known of every sample. `tokens` counts completion tokens;
    it is None if a sample has no count.
    """

    problem_ids: list[str]
    values: npt.NDArray[np.float64]
    statuses: list[list[Status]]
    answers: list[list[str | None]]
    truncated: npt.NDArray[np.bool_] | None
    tokens: npt.NDArray[np.int64] | None


def load_samples(task: TaskRun) -> Samples:
    """Read the completions and scores of one task.

    Raises EvalkitError for a damaged line, RunIncompleteError if a planned sample has no completion or no score.
    """
    problem_ids, n, planned = task.record.problem_ids, task.record.n, task.record.samples
    if not planned:
        raise EvalkitError(f"{task} has no problems.", "run it with a --limit of at least 1.")
    files = task.files
    if planned * _SHORTEST > size_of(files.completions_path, files.run):  # before room is made for them
        raise _incomplete(task, sum(1 for _ in files.completion_facts()), "completions")
    first = {problem_id: i * n for i, problem_id in enumerate(problem_ids)}
    truncated = array("b", [_MISSING]) * planned
    unknown = False
    tokens = array("q", [_MISSING]) * planned
    for completion in files.completion_facts():
        index, start = completion["sample_index"], first.get(completion["problem_id"])
        if start is not None and 0 <= index < n:
            truncated[start + index] = completion["finish_reason"] in ("length", "repetition")
            unknown = unknown or completion["finish_reason"] == "unknown"
            counted = completion["completion_tokens"]
            tokens[start + index] = _MISSING if counted is None else counted
    if missing := truncated.count(_MISSING):
        raise _incomplete(task, planned - missing, "completions")
    values = array("d", [0.0]) * planned
    statuses: list[Status | None] = [None] * planned
    answers: list[str | None] = [None] * planned
    known: dict[str | None, str | None] = {}  # equal answers share one string
    for score in files.score_facts():
        index, start = score["sample_index"], first.get(score["problem_id"])
        if start is not None and 0 <= index < n:
            at = start + index
            values[at], statuses[at] = score["value"], score["status"]
            answers[at] = known.setdefault(score["answer"], score["answer"])
    given = [status for status in statuses if status is not None]
    if len(given) < planned:
        raise _incomplete(task, len(given), "scores")
    shape = (len(problem_ids), n)
    return Samples(
        list(problem_ids),
        np.array(values).reshape(shape),
        [given[i : i + n] for i in range(0, planned, n)],
        [answers[i : i + n] for i in range(0, planned, n)],
        None if unknown else np.array(truncated, dtype=bool).reshape(shape),
        None if _MISSING in tokens else np.array(tokens).reshape(shape),
    )


def _incomplete(task: TaskRun, present: int, what: str) -> RunIncompleteError:
    return RunIncompleteError(
        f"{task.directory.path} has {present} of {task.record.samples} {what} of {task.name}.",
        "run the command that started it again to finish it"
        + (", or grade the completions with `evalkit score`." if what == "scores" else "."),
    )
