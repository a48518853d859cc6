"""A scan's result in plain text: counts, and problems beside the text that is like them."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from evalkit.contamination.index import KINDS
from evalkit.contamination.report import Contamination, Match, ProblemMatches

LONGEST = 1200  # characters of a text that are shown
_WIDTH = 56


def counts_by_kind(found: Contamination) -> Iterator[tuple[str, list[int]]]:
    """(task, numbers) for every task: its problems, those found, and of these the ones of each kind."""
    for name, task in found.tasks.items():
        counts = Counter(problem.kind for problem in task.found)
        yield name, [task.problems, len(task.found), *(counts[kind] for kind in KINDS)]


def surest_first(found: Contamination) -> list[tuple[str, ProblemMatches]]:
    """(task, problem) of every problem that was found."""
    every = [(task.task, problem) for task in found.tasks.values() for problem in task.found]
    return sorted(every, key=_sureness)


def _sureness(pair: tuple[str, ProblemMatches]) -> tuple[int, float]:
    kind, matches = pair[1].kind, pair[1].matches
    return [*KINDS, kind].index(kind), -matches[0].coverage if matches else 0.0


def summary_lines(found: Contamination) -> Iterator[str]:
    """A markdown table with a row for each task."""
    yield f"| task | problems | found | {' | '.join(KINDS)} |"
    yield "|-|-:|-:|" + "-:|" * len(KINDS)
    for name, numbers in counts_by_kind(found):
        yield f"| {name} | {' | '.join(map(str, numbers))} |"


def side_by_side(found: Contamination, most: int) -> Iterator[str]:
    """The surest `most` matches, each problem on the left and its place in the set on the right."""
    every = surest_first(found)
    for task, problem in every[:most]:
        yield ""
        yield from _pair(task, problem, problem.matches[0])
    if len(every) > most > 0:
        yield ""
        yield f"{len(every) - most} more are in the file."


def _pair(task: str, problem: ProblemMatches, match: Match) -> Iterator[str]:
    more = f", in {problem.records} records" if problem.records > 1 else ""
    yield (
        f"{task} {problem.problem_id}: {match.kind}, coverage {match.coverage:.0%}, Jaccard {match.jaccard:.2f}; "
        f"{match.set} record {match.record} {match.field}{more}"
    )
    if problem.problem is None or match.text is None:
        yield "  (the benchmark's authors ask that its questions be not published)"
        return
    left, right = _column(problem.problem), _column(match.text)
    yield from (f"  {a:<{_WIDTH}} | {b}".rstrip() for a, b in zip_longest(left, right, fillvalue=""))


def _column(text: str) -> list[str]:
    printable = "".join(c if c.isprintable() else " " for c in text[:LONGEST])
    return textwrap.wrap(printable, _WIDTH) or [""]
