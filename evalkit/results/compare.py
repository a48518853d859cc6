"""Compare runs with each other, for each task: paired by problem where they have the same problems."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.results.problem_sets import OTHER_ID, entry_differences, with_equal_sets
from evalkit.stats import Comparison, compare_paired, compare_unpaired, holm, samples_to_find
from evalkit.stats.solved import discoveries, more_often
from evalkit.store.grader import graded_earlier

LEVEL = 0.05
_PAIRED_SHARE = 0.5  # of the smaller set's problems that both must have for a paired comparison
_MOST_SAMPLES = 128  # per problem, up to which a problem's own test is made: its table grows with the square


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem whose solve rate differs: rates in [0, 1].

    `established`: the difference is beyond chance (Boschloo's exact test, false discovery rate 10%).
    """

    problem_id: str
    before: float
    after: float
    established: bool = False


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """B compared with A on one task.

    `adjusted_p` is the p value after Holm's correction over all comparisons made together (without those on which no
    outcome could be significant); `tests` is their number. `samples_needed` per problem in both runs would show the
    target difference in 4 of 5 tries; it is None where more samples of these problems cannot. `differences` lists the
    settings that differ. `left_out` counts the problems that only one side has. `flips` holds the problems whose solve
    rate changed, the largest change first. `available` is the number of problems of the benchmark as A's and B's run
    know it, None where a run does not. `graded_earlier` names those of A and B that an earlier version of evalkit
    graded.
    """

    task: str
    title: str
    result: Comparison
    adjusted_p: float
    differences: tuple[str, ...]
    left_out: int
    flips: tuple[Flip, ...]
    tests: int = 1
    samples_needed: int | None = None
    available: tuple[int | None, int | None] = (None, None)
    graded_earlier: tuple[str, ...] = ()

    @property
    def problems(self) -> int:
        """The problems that are compared; of other problems those of the smaller run."""
        found = self.result
        return len(found.by_problem) if found.paired else min(found.a.problems, found.b.problems)

    @property
    def subset(self) -> str:
        """`5 of 500 problems`, or an empty string where the whole benchmark is compared."""
        most = max((size for size in self.available if size is not None), default=0)
        return f"{self.problems:,} of {most:,} problems" if self.problems < most else ""

    @property
    def established(self) -> bool:
        """Whether the difference is beyond chance: the adjusted p is below 5%, and the interval excludes 0."""
        low, high = self.result.interval_problems
        return self.adjusted_p < LEVEL and not low <= 0 <= high

    @property
    def more_samples(self) -> int | None:
        """How many samples per problem the runs lack to show the target; 0 if they would have shown it."""
        if self.samples_needed is None:
            return None
        return max(self.samples_needed - min(self.result.a.samples, self.result.b.samples), 0)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs that are compared: a short name, where it lies, and its tasks."""

    label: str
    where: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """`b` compared with `a` on every task that both have. `missing` names the tasks that only one of them has."""

    a: Side
    b: Side
    tasks: tuple[TaskComparison, ...]
    missing: tuple[str, ...] = ()


def compare(a: Sequence[Entry], b: Sequence[Entry], across_protocols: bool, target: float) -> list[TaskComparison]:
    """Compare the tasks that both sides have. `target` is the difference in [0, 1] for which the n needed is computed.

    Raises EvalkitError if they share no task, if one side has a task twice, or if the protocols differ and
    `across_protocols` is false.
    """
    sides = (Side("A", "", tuple(a)), Side("B", "", tuple(b)))
    return list(compare_runs(sides, 0, across_protocols, target)[0].tasks)


def compare_runs(
    sides: Sequence[Side], reference: int | None, across_protocols: bool, target: float
) -> list[RunComparison]:
    """Compare each run with the one at `reference`, or all pairs if that is None.

    Holm's correction covers all tasks of all these comparisons together. Raises EvalkitError as `compare` does.
    """
    by_task = [_by_task(side) for side in sides]
    if reference is None:
        pairs = list(combinations(range(len(sides)), 2))
    else:
        pairs = [(reference, i) for i in range(len(sides)) if i != reference]
    found = []
    for i, j in pairs:
        shared = [task for task in by_task[i] if task in by_task[j]]
        if not shared:
            a, b = (f"{sides[k].label} has {', '.join(by_task[k])}" for k in (i, j))
            raise EvalkitError(f"The runs have no task in common: {a}, {b}.", "compare runs of the same tasks.")
        tasks = [_compare_task(by_task[i][t], by_task[j][t], across_protocols, target) for t in shared]
        only_one = [t for t in dict.fromkeys([*by_task[i], *by_task[j]]) if t not in shared]
        found.append(RunComparison(sides[i], sides[j], tuple(tasks), tuple(only_one)))
    return _adjusted(found, target)


def _adjusted(found: Sequence[RunComparison], target: float) -> list[RunComparison]:
    """With Holm's correction over all comparisons, and the samples that it takes among so many tests."""
    every = [task.result for run in found for task in run.tasks]
    adjusted = iter(holm([r.p_value for r in every], [r.least_p for r in every], LEVEL))
    tests = max(sum(r.least_p <= LEVEL for r in every), 1)
    return [
        replace(
            run,
            tasks=tuple(
                replace(
                    task,
                    adjusted_p=next(adjusted),
                    tests=tests,
                    samples_needed=samples_to_find(task.result, target, tests),
                )
                for task in run.tasks
            ),
        )
        for run in found
    ]


def _by_task(side: Side) -> dict[str, Entry]:
    by_task: dict[str, Entry] = {}
    for entry in side.entries:
        if entry.report.task in by_task:
            raise EvalkitError(
                f"{side.label} has two runs of {entry.report.task}: {by_task[entry.report.task].run} and {entry.run}.",
                "pass one run directory, such as results/<model>/<run-id>.",
            )
        by_task[entry.report.task] = entry
    return by_task


def _compare_task(a: Entry, b: Entry, across_protocols: bool, target: float) -> TaskComparison:
    task = a.report.task
    a, b = with_equal_sets([a, b])
    differences = entry_differences(b, a, {"problems"})
    if differences and not across_protocols:
        told = "; ".join(differences)
        of_data = told.startswith("different data: ")  # stands behind the settings
        raise EvalkitError(
            f"The runs of {task} {'have' if of_data else 'have other settings:'} {told}.",
            "pass --across-protocols to compare them anyway; the table then lists the differences"
            + ("; evalkit import LOG -t RUN/TASK gives problems the ids of RUN's." if OTHER_ID in told else "."),
        )
    available = a.available, b.available
    earlier = tuple(side for side, entry in (("A", a), ("B", b)) if graded_earlier(entry.report.graders))
    first, second = a.report.values, b.report.values
    shared = [problem for problem in first if problem in second]
    if len(shared) < _PAIRED_SHARE * min(len(first), len(second)) or not shared:
        apart = compare_unpaired(list(first.values()), list(second.values()), target)
        return TaskComparison(
            task, a.report.title, apart, 1.0, tuple(differences), 0, (), available=available, graded_earlier=earlier
        )
    before, after = [first[p] for p in shared], [second[p] for p in shared]
    left_out = len(first) + len(second) - 2 * len(shared)
    result = compare_paired(before, after, target)
    flips = tuple(_flips(shared, before, after))
    return TaskComparison(
        task, a.report.title, result, 1.0, tuple(differences), left_out, flips,
        available=available, graded_earlier=earlier,
    )  # fmt: skip


def _flips(ids: Sequence[str], before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> list[Flip]:
    """The problems whose solve rate differs, the largest difference first."""
    found = _beyond_chance(before, after)
    rates = [
        Flip(p, math.fsum(x) / len(x), math.fsum(y) / len(y), beyond)
        for p, x, y, beyond in zip(ids, before, after, found, strict=True)
    ]
    return sorted(
        (f for f in rates if f.before != f.after), key=lambda f: (-abs(f.after - f.before), not f.established)
    )


def _beyond_chance(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> list[bool]:
    """For each problem, whether its rates differ beyond chance; none where scores are not 0 or 1."""
    a, b = np.asarray(before), np.asarray(after)
    n, m = a.shape[1], b.shape[1]
    if max(n, m) > _MOST_SAMPLES or not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        return [False] * len(a)
    x, y = a.sum(axis=1).astype(np.intp), b.sum(axis=1).astype(np.intp)
    p = 2 * np.minimum(more_often(x, n, y, m), more_often(y, m, x, n))
    return [bool(found) for found in discoveries(np.minimum(p, 1.0))]
