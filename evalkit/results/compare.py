"""Two sets of runs, paired by problem, task by task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, setting_differences
from evalkit.stats import Comparison, compare_paired, holm


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem whose solve rate differs: rates in [0, 1]."""

    problem_id: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """B against A on one task. `adjusted_p` is Holm's over all tasks compared that could be a finding.

    `differences` tells how their settings differ, empty for the same protocol; `left_out` counts the problems that
    only one of them has. `flips` holds the problems whose rate moved, the largest moves first.
    """

    task: str
    title: str
    result: Comparison
    adjusted_p: float
    differences: tuple[str, ...]
    left_out: int
    flips: tuple[Flip, ...]


def compare(a: Sequence[Entry], b: Sequence[Entry], across_protocols: bool, target: float) -> list[TaskComparison]:
    """Compare the tasks that both have; `target` is the difference, a fraction, that n is worked out for.

    Raises EvalkitError where they share no task or no problem, where one side has a task twice, or where the
    protocols differ and `across_protocols` is false.
    """
    first, second = _by_task(a, "A"), _by_task(b, "B")
    shared = [task for task in first if task in second]
    if not shared:
        raise EvalkitError(
            f"The runs share no task: A has {', '.join(first)}, B has {', '.join(second)}.",
            "compare runs of the same tasks.",
        )
    compared = [_compare_task(first[task], second[task], across_protocols, target) for task in shared]
    adjusted = holm([c.result.p_value for c in compared], [c.result.least_p for c in compared])
    return [
        TaskComparison(c.task, c.title, c.result, p, c.differences, c.left_out, c.flips)
        for c, p in zip(compared, adjusted, strict=True)
    ]


def _by_task(entries: Sequence[Entry], side: str) -> dict[str, Entry]:
    by_task: dict[str, Entry] = {}
    for entry in entries:
        if entry.report.task in by_task:
            raise EvalkitError(
                f"{side} has two runs of {entry.report.task}: {by_task[entry.report.task].run} and {entry.run}.",
                "give one run directory, such as results/<model>/<run-id>.",
            )
        by_task[entry.report.task] = entry
    return by_task


def _compare_task(a: Entry, b: Entry, across_protocols: bool, target: float) -> TaskComparison:
    task = a.report.task
    differences = setting_differences(
        {k: v for k, v in b.settings.items() if k != "problems"},
        {k: v for k, v in a.settings.items() if k != "problems"},
    )
    if differences and not across_protocols:
        raise EvalkitError(
            f"The runs of {task} were made under different protocols: {'; '.join(differences)}.",
            "pass --across-protocols to compare them all the same; the table then says so.",
        )
    shared = [problem for problem in a.report.values if problem in b.report.values]
    if not shared:
        raise EvalkitError(f"The runs of {task} share no problem.", "compare runs over the same problems.")
    before = [a.report.values[p] for p in shared]
    after = [b.report.values[p] for p in shared]
    rates = [
        Flip(p, math.fsum(x) / len(x), math.fsum(y) / len(y)) for p, x, y in zip(shared, before, after, strict=True)
    ]
    flips = sorted((f for f in rates if f.before != f.after), key=lambda f: -abs(f.after - f.before))
    left_out = len(a.report.values) + len(b.report.values) - 2 * len(shared)
    result = compare_paired(before, after, target)
    return TaskComparison(task, a.report.title, result, 1.0, tuple(differences), left_out, tuple(flips))
