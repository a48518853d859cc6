"""The samples of one task of a run as arrays of shape (problems, n)."""

from array import array
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.files import size_of
from evalkit.results.ungraded import require_graded
from evalkit.store.counting import count_samples
from evalkit.store.plan import SamplePlan
from evalkit.store.run import TaskRun
from evalkit.types import Status

_MISSING = -1
_SHORTEST = 50  # bytes of a line of completions.jsonl: it has a problem, an index and a finish reason


@dataclass(frozen=True, slots=True)
class Samples:
    """The first n samples of each problem of the run, in the order of run.json.

    Arrays and lists have the shape (problems, n). `values` is in [0, 1]. `truncated` is true for a truncated
    completion, whatever it scored; it is None if that is not known of every sample. `tokens` counts completion tokens;
    it is None if a sample has no count. n is the smallest number of samples of a problem; where problems have more,
    `every` has the samples of each problem one after another, and `counts` their numbers. `graders` are the names of
    those that gave the scores. `empty` counts the completions, of all, that ended without any text.
    """

    problem_ids: list[str]
    values: npt.NDArray[np.float64]
    statuses: list[list[Status]]
    answers: list[list[str | None]]
    truncated: npt.NDArray[np.bool_] | None
    tokens: npt.NDArray[np.int64] | None
    every: "EverySample | None" = None
    graders: tuple[str, ...] = ()
    empty: int = 0


@dataclass(frozen=True, slots=True)
class EverySample:
    """All samples where problems have different numbers of them: flat arrays, problem after problem."""

    counts: list[int]
    values: npt.NDArray[np.float64]
    statuses: list[Status]
    truncated: npt.NDArray[np.bool_] | None
    tokens: npt.NDArray[np.int64] | None

    def by_problem(self) -> list[npt.NDArray[np.float64]]:
        """The values of each problem in the order of the sample index."""
        return np.split(self.values, np.cumsum(self.counts)[:-1])


def load_samples(task: TaskRun) -> Samples:
    """Read the completions and scores of one task.

    Raises EvalkitError for a damaged line, RunIncompleteError if a planned sample has no completion or no score.
    """
    require_graded(task)
    plan = task.record.plan
    planned = plan.samples
    if not planned:
        raise EvalkitError(f"{task} has no problems.", "run it with a --limit of at least 1.")
    files = task.files
    if planned * _SHORTEST > size_of(files.completions_path, files.run):  # before room is made for them
        raise _incomplete(task)
    first = dict(zip(plan.counts, accumulate(plan.counts.values(), initial=0), strict=False))
    truncated = array("b", [_MISSING]) * planned
    unknown = False
    without_text = bytearray(planned)
    tokens = array("q", [_MISSING]) * planned
    for completion in files.completion_facts():
        sample = completion["problem_id"], completion["sample_index"]
        if sample in plan:
            at = first[sample[0]] + sample[1]
            truncated[at] = completion["finish_reason"] in ("length", "repetition")
            unknown = unknown or completion["finish_reason"] == "unknown"
            without_text[at] = completion.get("error") is None and not completion.get("text", "x").strip()
            counted = completion["completion_tokens"]
            tokens[at] = _MISSING if counted is None else counted
    if _MISSING in truncated:
        raise _incomplete(task)
    values = array("d", [0.0]) * planned
    statuses: list[Status | None] = [None] * planned
    answers: list[str | None] = [None] * planned
    known: dict[str | None, str | None] = {}  # equal answers share one string
    graders: dict[str, int] = {}
    graded_by = array("i", [0]) * planned
    for score in files.score_facts():
        sample = score["problem_id"], score["sample_index"]
        if sample in plan:
            at = first[sample[0]] + sample[1]
            values[at], statuses[at] = score["value"], score["status"]
            answers[at] = known.setdefault(score["answer"], score["answer"])
            graded_by[at] = graders.setdefault(score["grader"], len(graders))
    given = [status for status in statuses if status is not None]
    if len(given) < planned:
        raise _incomplete(task, len(given))
    cut = None if unknown else np.array(truncated, dtype=bool)
    counted_tokens = None if _MISSING in tokens else np.array(tokens)
    shaped = _shaped(plan, np.array(values), given, answers, cut, counted_tokens)
    names = list(graders)
    return replace(shaped, graders=tuple(sorted(names[i] for i in set(graded_by))), empty=sum(without_text))


def _shaped(
    plan: SamplePlan,
    values: npt.NDArray[np.float64],
    statuses: list[Status],
    answers: list[str | None],
    truncated: npt.NDArray[np.bool_] | None,
    tokens: npt.NDArray[np.int64] | None,
) -> Samples:
    """The flat values of all planned samples as `Samples`."""
    n, starts = plan.n, list(accumulate(plan.counts.values(), initial=0))[:-1]
    at = (np.array(starts)[:, None] + np.arange(n)).ravel()
    shape = (len(plan.counts), n)
    every = None if plan.most == n else EverySample(list(plan.counts.values()), values, statuses, truncated, tokens)
    return Samples(
        list(plan.counts),
        values[at].reshape(shape),
        [statuses[start : start + n] for start in starts],
        [answers[start : start + n] for start in starts],
        None if truncated is None else truncated[at].reshape(shape),
        None if tokens is None else tokens[at].reshape(shape),
        every,
    )


def _incomplete(task: TaskRun, scores: int | None = None) -> RunIncompleteError:
    """What is missing: completions, or of the completions' `scores` some."""
    shard = task.run.content["identity"].get("shard")
    if shard is not None:
        return RunIncompleteError(
            f"{task.directory.path} is shard {shard} of a run.",
            "unite the shards with `evalkit merge`.",
        )
    told = count_samples(task).completions_in_words() if scores is None else f"{scores} of {task.record.samples} scores"
    hint = "run the command that started it again to finish it"
    if task.run.is_imported:
        hint = "what a log of another harness lacks stays missing: import one that has every sample"
    return RunIncompleteError(
        f"{task.directory.path} has {told} of {task.name}.",
        hint + (", or grade the completions with `evalkit score`." if scores is not None else "."),
    )
