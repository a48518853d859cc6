"""What differs between the problems of two runs, in words; of imported logs by the problems that came with them."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from evalkit.errors import EvalkitError
from evalkit.importers.problem_set import PROBLEM_SET
from evalkit.results.entries import Entry, setting_differences
from evalkit.results.recreate import recreate_problems
from evalkit.types import Problem
from evalkit.words import counted, listed

OTHER_ID = "with the same text under another id"


def entry_differences(entry: Entry, other: Entry, left_out: Collection[str] = ()) -> list[str]:
    """`temperature 0.7 instead of 0.6` for each setting that differs and is not in `left_out`.

    Of data and problems it is said how many there are and how many are the same.
    """
    found = setting_differences(entry.settings, other.settings, {*left_out, "data", "problems"})
    differ = {key for key in ("data", "problems") if entry.settings.get(key) != other.settings.get(key)}
    ids = list(entry.report.values), list(other.report.values)
    if "data" in differ - set(left_out):
        ours, theirs = _problem_set(entry), _problem_set(other)
        if ours is not None and theirs is not None:
            found.append(f"different data: {', '.join(_of_sets(ours, theirs))}")
            if (set(ours), set(theirs)) == (set(ids[0]), set(ids[1])):
                differ.discard("problems")
        else:
            found.append(f"different data: {', '.join([_of_sources(entry, other), *_of_ids(*ids)])}")
            differ.discard("problems")
    if "problems" in differ - set(left_out):
        found.append(f"other problems: {', '.join(_of_ids(*ids))}")
    return found


def with_equal_sets(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, with equal settings where imported sets of problems are equal.

    Earlier versions recorded the same problems in another order as other data.
    """
    recorded: dict[str, set[str]] = {}
    for entry in entries:
        if _has_set(entry):
            recorded.setdefault(entry.report.task, set()).add(str(entry.settings["data"]))
    several = {task for task, found in recorded.items() if len(found) > 1}
    return [_with_digest(entry) if entry.report.task in several and _has_set(entry) else entry for entry in entries]


def _with_digest(entry: Entry) -> Entry:
    problems = _problem_set(entry)
    if problems is None:
        return entry
    lines = "\n".join(sorted(map(_line, problems.values())))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return replace(entry, settings={**entry.settings, "data": [digest]})


def _line(problem: Problem) -> str:
    return json.dumps([problem.id, problem.prompt, problem.target, problem.metadata], sort_keys=True, default=str)


def _has_set(entry: Entry) -> bool:
    return entry.stored is not None and entry.stored.record.spec.get("file") == PROBLEM_SET


def _problem_set(entry: Entry) -> Mapping[str, Problem] | None:
    """The problems that came with an imported log, by id; None of other tasks, and where they cannot be read."""
    if entry.stored is None or not _has_set(entry):
        return None
    try:
        return {problem.id: problem for problem in recreate_problems(entry.stored)}
    except EvalkitError:
        return None


def _of_sets(ours: Mapping[str, Problem], theirs: Mapping[str, Problem]) -> list[str]:
    shared = [key for key in ours if key in theirs]
    texts = sum(ours[key].prompt != theirs[key].prompt for key in shared)
    rest = sum(_line(ours[key]) != _line(theirs[key]) for key in shared) - texts
    told = _of_ids(list(ours), list(theirs))
    told += [f"{texts:,} with another text"] if texts else []
    told += [f"{rest:,} with another right answer or choices"] if rest else []
    if not shared or texts:
        moved = (Counter(p.prompt for p in ours.values()) & Counter(p.prompt for p in theirs.values())).total()
        moved -= len(shared) - texts
        told += [f"{moved:,} {OTHER_ID}"] if moved > 0 else []
    return told


def _of_sources(entry: Entry, other: Entry) -> str:
    if entry.hub_ids != other.hub_ids:
        return f"{listed(entry.hub_ids) or 'none'} instead of {listed(other.hub_ids) or 'none'}"
    return f"the content of {listed(entry.hub_ids) or 'its data set'} is not the same"


def _of_ids(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """`3 problems instead of 5`, `2 ids in both`.

    Examples:
        >>> _of_ids(["a", "b"], ["b", "c", "d"]), _of_ids(["a", "b"], ["c", "d"]), _of_ids(["a", "b"], ["b", "a"])
        (['2 problems instead of 3', '1 id in both'], ['2 problems each', 'no id in both'], ['the same 2 ids'])
    """
    both = len(set(ours) & set(theirs))
    if both == len(ours) == len(theirs):
        return [f"the same {counted(both, 'id')}"]
    many = counted(len(ours), "problem")
    sizes = f"{many} each" if len(ours) == len(theirs) else f"{many} instead of {len(theirs):,}"
    return [sizes, f"{counted(both, 'id')} in both" if both else "no id in both"]
