"""Right answers that were corrected in a task's own data (rows in Python, a local file) after completions were made.

The data's fingerprint is a part of what a run is, since it may change what a model was asked. Where every problem of
the run still has its messages, only the grading has changed, and the completions are graded again. A benchmark's data
set from the hub, and one whose right answers are declared, are never taken to be corrected.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.store.identity import prompt_digests
from evalkit.types import Problem
from evalkit.visible import visible_line

ROWS = "rows in Python"
FILE = "file:"
_SHOWN = 3

Entry = Mapping[str, Any]


def right_answers(problems: Iterable[Problem]) -> dict[str, str]:
    """12 hex digits of a sha256 of each problem's right answer, by problem id.

    Examples:
        >>> right_answers([Problem("1", "6 * 7?", "42")])
        {'1': '8ba3b5e7f0e5'}
    """
    digests = {p.id: hashlib.sha256(json.dumps([p.id, p.target]).encode()).hexdigest() for p in problems}
    return {key: digest[:12] for key, digest in digests.items()}


def is_own_data(hub_ids: Iterable[str]) -> bool:
    """Whether the data sets of a task are all rows in Python or local files.

    Examples:
        >>> is_own_data(["rows in Python", "file:sums.jsonl"]), is_own_data(["HuggingFaceH4/MATH-500"]), is_own_data([])
        (True, False, False)
    """
    names = list(hub_ids)
    return bool(names) and all(name == ROWS or name.startswith(FILE) for name in names)


def is_corrected(present: Entry, wanted: Entry) -> bool:
    """Whether the data of an entry of run.json was corrected in the entry `wanted`, and asks the same.

    Every problem of `present` has to be in `wanted` with the same messages. `wanted` has the digests of its right
    answers only where corrections are allowed.
    """
    old, new = _data(present), _data(wanted)
    if old == new or "right_answers" not in wanted or [d["hub_id"] for d in old] != [d["hub_id"] for d in new]:
        return False
    before, now = prompt_digests(present), prompt_digests(wanted)
    if before is None or now is None:
        return False
    return is_own_data(d["hub_id"] for d in new) and all(now.get(key) == digest for key, digest in before.items())


def with_corrections(present: Entry, wanted: Entry) -> dict[str, Any]:
    """`wanted` with what `present` notes of earlier data: what the completions were made with, all right answers."""
    found = dict(wanted)
    made_with = present.get("generated_with") or list(_data(present))
    found.pop("generated_with", None)
    if made_with != list(_data(wanted)) and ("generated_with" in present or is_corrected(present, wanted)):
        found["generated_with"] = made_with
    answers = {**(present.get("right_answers") or {}), **(wanted.get("right_answers") or {})}
    return {**found, "right_answers": answers} if answers else found


def data_digest(entry: Entry) -> str | None:
    """8 hex digits of what the completions are graded with, None where they were made with the same data."""
    if not entry.get("generated_with"):
        return None
    return hashlib.sha256(json.dumps([d.get("fingerprint") for d in _data(entry)]).encode()).hexdigest()[:8]


def told_correction(present: Entry, answers: Mapping[str, str]) -> str:
    """What is different in a task's own data, in words. `answers` are the digests of the right answers now.

    Examples:
        >>> told_correction({"right_answers": {"a": "1", "b": "2"}}, {"a": "1", "b": "3"})
        "the right answer of problem 'b' is another one"
        >>> told_correction({"right_answers": {"a": "1"}}, {"a": "1"})
        'its rows are others, but no right answer'
    """
    known = present.get("right_answers") or {}
    changed = [key for key, digest in answers.items() if known.get(key, digest) != digest]
    shown = ", ".join(visible_line(repr(key))[:60] for key in changed[:_SHOWN])
    if len(changed) == 1:
        return f"the right answer of problem {shown} is another one"
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        return f"the right answers of {len(changed)} of {len(answers)} problems are others: {shown}{more}"
    if all(key in known for key in answers):
        return "its rows are others, but no right answer"
    return "its rows are others"


def _data(entry: Entry) -> tuple[Mapping[str, Any], ...]:
    return tuple(entry["identity"].get("data") or ())
