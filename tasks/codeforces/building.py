"""API responses -> a contest of a contest set. No handle is kept."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.errors import EvalkitError

from .api import Api, read_response
from .contests import Contest, ContestProblem, Scoring, Standings
from .elo import MOST_RATING
from .newcomers import hidden_ratings

_SCORING: dict[str, Scoring] = {"CF": "points", "ICPC": "icpc"}
_AGAIN = "get the response again, whole: contest.standings without from and count, showUnofficial=false."


@dataclass
class Responses:
    """What was fetched or saved: standings and rating changes by contest id, problem facts by (contest, index)."""

    standings: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    changes: dict[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    problems: dict[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)

    def add_file(self, path: Path) -> None:
        """Take up a saved response of one of the three methods. Raises EvalkitError where it is none of them."""
        result = read_response(path)
        if isinstance(result, Mapping) and "rows" in result and "contest" in result:
            self.standings[_whole(result["contest"], "id", str(path))] = result
        elif isinstance(result, Mapping) and "problems" in result:
            self.add_problems(_list(result, "problems", str(path)))
        elif isinstance(result, list) and result and all(isinstance(r, Mapping) and "oldRating" in r for r in result):
            ids = {_whole(r, "contestId", str(path)) for r in result}
            if len(ids) != 1:
                raise EvalkitError(f"{path} holds rating changes of {len(ids)} contests.", "one contest a file.")
            self.changes[ids.pop()] = result
        else:
            raise EvalkitError(
                f"{path} is none of contest.standings, contest.ratingChanges and problemset.problems.",
                "an empty list of rating changes means that the contest was not rated.",
            )

    def add_problems(self, problems: Iterable[Any]) -> None:
        """Take up problem facts; gym problems and the like, which name no contest, are passed over."""
        named = (p for p in problems if isinstance(p, Mapping) and isinstance(p.get("contestId"), int) and "index" in p)
        self.problems.update({(p["contestId"], str(p["index"])): p for p in named})


def fetch(api: Api, contest_ids: Sequence[int]) -> Responses:
    """Ask the API for all that the contests need."""
    responses = Responses()
    for contest_id in contest_ids:
        responses.standings[contest_id] = api.get("contest.standings", contestId=contest_id, showUnofficial="false")
        responses.changes[contest_id] = api.get("contest.ratingChanges", contestId=contest_id)
    responses.add_problems(_list(api.get("problemset.problems"), "problems", "The answer to problemset.problems"))
    return responses


def _get(record: Any, name: str | int, where: str) -> Any:
    if not isinstance(record, Mapping) or name not in record:
        raise EvalkitError(f"{where} has an entry without {name}: it is truncated or no such response.", _AGAIN)
    return record[name]


def _list(record: Any, name: str | int, where: str) -> list[Any]:
    value = _get(record, name, where)
    if not isinstance(value, list):
        raise EvalkitError(f"{where} has {name} {str(value)[:40]!r}, which is no list: it is truncated.", _AGAIN)
    return value


def _number(record: Any, name: str, where: str, at_most: float = 1e9) -> float:
    value = _get(record, name, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= at_most:
        raise EvalkitError(f"{where} has an entry with {name} {str(value)[:40]!r}, which is no such number.", _AGAIN)
    return value


def _whole(record: Any, name: str, where: str, at_most: float = 1e9) -> int:
    value = _number(record, name, where, at_most)
    if value != int(value):
        raise EvalkitError(f"{where} has an entry with {name} {value}, which is no whole number.", _AGAIN)
    return int(value)


def build_contest(responses: Responses, contest_id: int) -> tuple[Contest, list[str]]:
    """The contest, and what a user should know of how it was made. Raises EvalkitError where a part is missing."""
    where = f"contest {contest_id}"
    if contest_id not in responses.standings:
        raise EvalkitError(f"There are no standings of {where}.", "give the response of contest.standings too.")
    standings = responses.standings[contest_id]
    about = _get(standings, "contest", where)
    kind = _get(about, "type", where)
    if not isinstance(kind, str) or kind not in _SCORING:
        raise EvalkitError(f"{where} is of the type {kind}, which gives no rating.", "take a CF or ICPC contest.")
    problems = tuple(_problem(p, contest_id, responses, where) for p in _list(standings, "problems", where))
    if not problems:
        raise EvalkitError(f"{where} has no problems in its standings.", _AGAIN)
    started = None if about.get("startTimeSeconds") is None else _number(about, "startTimeSeconds", where, 1e11)
    name = str(about.get("name") or where)
    people, notes = _standings(responses, contest_id, len(problems), where)
    contest = Contest(
        id=contest_id,
        name=name,
        division=division(name),
        scoring=_SCORING[kind],
        problems=problems,
        date=None if started is None else datetime.fromtimestamp(started, UTC).date().isoformat(),
        standings=people,
    )
    return contest, notes


def division(name: str) -> str:
    """ "1", "2", "1+2", "3", "4" or "edu", read off a contest's name; "" where it says none."""
    if name.startswith("Educational"):
        return "edu"
    return "+".join(sorted(set(re.findall(r"Div\. ?(\d)", name))))


def _problem(record: Any, contest_id: int, responses: Responses, where: str) -> ContestProblem:
    index = str(_get(record, "index", where))
    facts = {**responses.problems.get((contest_id, index), {}), **record}
    points = None if facts.get("points") is None else _number(facts, "points", where)
    rating = None if facts.get("rating") is None else _whole(facts, "rating", where, MOST_RATING)
    return ContestProblem(index, points, rating)


def _standings(responses: Responses, contest_id: int, problems: int, where: str) -> tuple[Standings, list[str]]:
    if not responses.changes.get(contest_id):
        raise EvalkitError(
            f"There are no rating changes of {where}.",
            "it was not rated, or the response of contest.ratingChanges is missing.",
        )
    by_handle = {str(_get(c, "handle", where)): c for c in _list(responses.changes, contest_id, where)}
    rows = _list(responses.standings[contest_id], "rows", where)
    if not rows:
        raise EvalkitError(f"The standings of {where} have no rows.", _AGAIN)
    columns: list[tuple[int, int, int, float, float, int]] = []
    seen: set[str] = set()
    for row in rows:
        members = _list(_get(row, "party", where), "members", where)
        handle = str(_get(members[0], "handle", where)) if len(members) == 1 else ""
        change = by_handle.get(handle)
        if change is None or handle in seen:
            continue
        seen.add(handle)
        results = _list(row, "problemResults", where)
        if len(results) != problems:
            raise EvalkitError(f"A row of {where} has {len(results)} results for {problems} problems.", _AGAIN)
        solved = sum(1 << j for j, result in enumerate(results) if _number(result, "points", where) > 0)
        old, new = (_whole(change, name, where, MOST_RATING) for name in ("oldRating", "newRating"))
        rank, points = _whole(change, "rank", where), _number(row, "points", where)
        if rank < 1:
            raise EvalkitError(f"{where} has an entry with rank {rank}, ranks go from 1.", _AGAIN)
        penalty = _number({"penalty": 0, **row}, "penalty", where)
        columns.append((rank, old, new - old, points, penalty, solved))
    if len(columns) < 0.98 * len(by_handle):
        raise EvalkitError(
            f"The standings of {where} hold {len(columns)} of its {len(by_handle)} rated participants"
            f" ({len(rows)} rows): they are truncated.",
            _AGAIN,
        )
    table = np.array(columns, dtype=np.float64)
    ranks, displayed, moved = table[:, 0], table[:, 1].astype(np.int64), table[:, 2].astype(np.int64)
    hidden = hidden_ratings(ranks, displayed, moved)
    notes = [f"{len(columns)} rated participants, {int(hidden.newcomer.sum())} of them in their first rated contest"]
    notes.append(f"the formula gives {100 * hidden.explained:.1f}% of the recorded rating changes exactly")
    people = Standings(
        rating=hidden.rating,
        displayed=displayed,
        newcomer=hidden.newcomer,
        points=table[:, 3],
        penalty=table[:, 4],
        solved=table[:, 5].astype(np.int64),
    )
    return people, notes
