"""Which completions of a problem belong to the first and to the second half of its sample, see `stats.precision`."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

Value = TypeVar("Value")
Phases = tuple[tuple[int, int], ...]
"""For each phase after the pilot, how many completions the first half got, and how many the second."""


def halves_of(
    values: Mapping[tuple[str, int], Value], problem_id: str, pilot: int, phases: Sequence[Sequence[int]]
) -> tuple[list[Value], list[Value]]:
    """The values of one problem's completions, by half.

    In the pilot the halves take turns. In a phase the completions of the first half come first. Raises KeyError if a
    completion is missing.

    Examples:
        >>> halves_of({("p", i): i for i in range(7)}, "p", 4, [(2, 1)])
        ([0, 2, 4, 5], [1, 3, 6])
    """
    first, second = list(range(0, pilot, 2)), list(range(1, pilot, 2))
    at = pilot
    for to_first, to_second in phases:
        first += range(at, at + to_first)
        second += range(at + to_first, at + to_first + to_second)
        at += to_first + to_second
    return [values[problem_id, i] for i in first], [values[problem_id, i] for i in second]
