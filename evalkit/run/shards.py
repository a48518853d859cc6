"""A run divided into shards, each a run directory of its own: which completions belong to which shard.

A completion's seed depends only on the run's seed, the task, the problem and the sample index, so the shards together
have the completions of the whole run.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.errors import EvalkitError
from evalkit.run.queue import TaskPlan


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of a run; `index` counts from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def read_shard(text: str) -> Shard:
    """The shard `3/16`, or `/16` with the index from SLURM_ARRAY_TASK_ID (of an array that starts at 0 or 1).

    Raises EvalkitError if it is not a shard, or if SLURM_ARRAY_TASK_ID is missing or outside the array.

    Examples:
        >>> read_shard("3/16")
        Shard(index=3, count=16)
    """
    found = re.fullmatch(r"(\d*)/(\d+)", text.strip(), re.ASCII)
    if found is None:
        raise EvalkitError(f"{text!r} is not a shard.", "write --shard 3/16, or --shard /16 in a Slurm job array.")
    count = int(found[2])
    index = int(found[1]) if found[1] else _slurm_index()
    if not 1 <= index <= count:
        raise EvalkitError(f"There is no shard {index} of {count}.", "shards are counted from 1: 1/16 to 16/16.")
    return Shard(index, count)


def _slurm_index() -> int:
    """The place of this job in its array, from 1."""
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if not task.isdecimal():
        raise EvalkitError(
            "The shard has no index, and SLURM_ARRAY_TASK_ID is not set.",
            "write --shard 3/16, or submit a job array with `sbatch --array=1-16`.",
        )
    first = os.environ.get("SLURM_ARRAY_TASK_MIN", "1")
    return int(task) - (int(first) if first.isdecimal() else 1) + 1


def part_of(plans: Sequence[TaskPlan], shard: Shard) -> list[TaskPlan]:
    """The plans with only the completions of one shard.

    The completions are dealt to the shards like cards: those of one problem after another, the problems with the
    longest text first, in rows of one for each shard, every other row backwards. So each shard has as many completions
    as another, of as many problems as possible, and the problems that are expected to take longest are spread evenly.
    """
    samples = [
        (-len(p.prompt), _digest(plan.task.name, p.id), p.id, index, plan.task.name)
        for plan in plans
        for p in plan.problems
        for index in plan.wanted(p.id)
    ]
    mine: dict[tuple[str, str], list[int]] = {}
    for place, (_, _, problem_id, index, task) in enumerate(sorted(samples)):
        row, column = divmod(place, shard.count)
        if (column if row % 2 == 0 else shard.count - 1 - column) == shard.index - 1:
            mine.setdefault((task, problem_id), []).append(index)
    return [
        replace(plan, indices={p.id: sorted(mine.get((plan.task.name, p.id), [])) for p in plan.problems})
        for plan in plans
    ]


def _digest(task: str, problem_id: str) -> str:
    """Orders problems of equal length independently of their order in the data set, which may be by difficulty."""
    return hashlib.sha256(f"{task}\x1f{problem_id}".encode("utf-8", "surrogatepass")).hexdigest()
