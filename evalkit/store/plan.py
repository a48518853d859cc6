"""The planned completions of a task: how many of each problem, in the order of the problems."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """The planned completions of a task: sample indices 0 to count - 1 of each problem.

    Examples:
        >>> plan = SamplePlan.uniform(["a", "b"], 8).united(SamplePlan.uniform(["b", "c"], 16), ["a", "b", "c"])
        >>> plan.counts, plan.n, plan.samples
        ({'a': 8, 'b': 16, 'c': 16}, 8, 40)
    """

    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def uniform(cls, problem_ids: Iterable[str], n: int) -> "SamplePlan":
        return cls(dict.fromkeys(problem_ids, n))

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> "SamplePlan":
        """The plan of a task's entry in run.json."""
        sampling = entry["sampling"]
        more = sampling.get("by_problem") or {}
        return cls({key: int(more.get(key, sampling["n"])) for key in entry["problem_ids"]})

    @property
    def n(self) -> int:
        """The smallest number of completions of a problem."""
        return min(self.counts.values(), default=0)

    @property
    def most(self) -> int:
        """The largest number of completions of a problem."""
        return max(self.counts.values(), default=0)

    @property
    def samples(self) -> int:
        return sum(self.counts.values())

    def __contains__(self, sample: tuple[str, int]) -> bool:
        """Whether the sample (problem id, sample index) is planned."""
        return 0 <= sample[1] < self.counts.get(sample[0], 0)

    def covers(self, other: "SamplePlan") -> bool:
        """Whether every sample of `other` is planned here."""
        return all(self.counts.get(key, 0) >= count for key, count in other.counts.items())

    def united(self, other: "SamplePlan", order: Iterable[str] = ()) -> "SamplePlan":
        """The samples of both, problems first in the order of `order`."""
        keys = dict.fromkeys((*order, *self.counts, *other.counts))
        both = {key: max(self.counts.get(key, 0), other.counts.get(key, 0)) for key in keys}
        return SamplePlan({key: count for key, count in both.items() if count})

    def missing(self, present: Iterable[tuple[str, int]]) -> int:
        """How many planned samples are not among `present`."""
        return self.samples - len({sample for sample in present if sample in self})

    def sampling(self) -> dict[str, Any]:
        """What run.json records of it: `n`, and `by_problem` where problems have more."""
        more = {key: count for key, count in self.counts.items() if count != self.n}
        return {"n": self.n, "by_problem": more} if more else {"n": self.n}
