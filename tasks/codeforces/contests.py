"""Contest sets: named lists of contests with the facts that a rating needs, in one JSON file, without handles.

The file: `{"format": "evalkit-contests", "version": 1, "name", "contests": [...]}`. A contest has id, name, division,
date, scoring ("points" or "icpc"), problems ({index, points, rating}) and participants: null, or
{"count", "columns": base64 of zlib of a JSON object of equally long lists}, one entry for each rated participant:
`rating` (as the formula saw it), `displayed`, `newcomer` (0 or 1), `points`, `penalty`, and `solved`, a bit mask in the
order of the problems, null where the results of single problems are not known.
"""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.files import parse_json, read_file

from .elo import MOST_RATING, Floats, Ints

Scoring = Literal["points", "icpc"]
FORMAT, VERSION = "evalkit-contests", 1
_COLUMNS = ("rating", "displayed", "newcomer", "points", "penalty")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ContestProblem:
    """`points` is what it is worth (None: not known, or ICPC scoring), `rating` its difficulty (None: not rated)."""

    index: str
    points: float | None = None
    rating: int | None = None


@dataclass(frozen=True)
class Standings:
    """The rated participants of one contest, one entry each, in any order; see the module for the columns."""

    rating: Ints
    displayed: Ints
    newcomer: Ints
    points: Floats
    penalty: Floats
    solved: Ints | None = None

    @cached_property
    def better_first(self) -> Ints:
        """The order of the official standings: more points, then less penalty."""
        return np.lexsort((self.penalty, -self.points)).astype(np.int64)


@dataclass(frozen=True)
class Contest:
    """One contest. `standings` is None where they are not at hand."""

    id: int
    name: str
    division: str
    scoring: Scoring
    problems: tuple[ContestProblem, ...]
    date: str | None = None
    standings: Standings | None = None

    def problem(self, index: str) -> ContestProblem | None:
        return next((p for p in self.problems if p.index == index), None)


@dataclass(frozen=True)
class ContestSet:
    """A named list of contests."""

    name: str
    contests: tuple[Contest, ...]

    @property
    def sha256(self) -> str:
        """64 hex digits over the whole content: what run.json records."""
        return hashlib.sha256(json.dumps(to_json(self), sort_keys=True).encode()).hexdigest()

    def contest(self, contest_id: int) -> Contest | None:
        return next((c for c in self.contests if c.id == contest_id), None)

    def with_contests(self, others: Sequence[Contest]) -> "ContestSet":
        """The set with `others` added; one of the same id takes the place of the old one."""
        new = {c.id: c for c in others}
        kept = [new.pop(c.id, c) for c in self.contests]
        return replace(self, contests=(*kept, *new.values()))


def _pack(standings: Standings) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in _COLUMNS:
        values = getattr(standings, name).tolist()
        columns[name] = [int(v) if v == int(v) else v for v in values]
    columns["solved"] = None if standings.solved is None else standings.solved.tolist()
    packed = zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), 9)
    return {"count": int(standings.rating.size), "columns": base64.b64encode(packed).decode()}


def _unpack(value: Mapping[str, Any], contest_id: int) -> Standings:
    try:
        columns = parse_json(zlib.decompress(base64.b64decode(value["columns"], validate=True)))
        lengths = {len(columns[name]) for name in _COLUMNS} | {value["count"]}
        solved = columns["solved"]
        if len(lengths | ({len(solved)} if solved is not None else set())) != 1:
            raise ValueError(f"its columns have the lengths {sorted(lengths)}")
        standings = Standings(
            rating=np.array(columns["rating"], dtype=np.int64),
            displayed=np.array(columns["displayed"], dtype=np.int64),
            newcomer=np.array(columns["newcomer"], dtype=np.int64),
            points=np.array(columns["points"], dtype=np.float64),
            penalty=np.array(columns["penalty"], dtype=np.float64),
            solved=None if solved is None else np.array(solved, dtype=np.int64),
        )
        for name in _COLUMNS:
            values = getattr(standings, name)
            if values.ndim != 1 or not (np.abs(values) <= (MOST_RATING if values.dtype == np.int64 else 1e12)).all():
                raise ValueError(f"its column {name} holds what is no such number")
        return standings
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
        raise EvalkitError(
            f"The participants of contest {contest_id} cannot be read: {error}.",
            "the contest set is torn; build it again with `evalkit codeforces contest fetch`.",
        ) from error


def to_json(contests: ContestSet) -> dict[str, Any]:
    """The set as its file holds it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": contests.name,
        "contests": [
            {
                "id": c.id,
                "name": c.name,
                "division": c.division,
                "date": c.date,
                "scoring": c.scoring,
                "problems": [{"index": p.index, "points": p.points, "rating": p.rating} for p in c.problems],
                "participants": None if c.standings is None else _pack(c.standings),
            }
            for c in contests.contests
        ],
    }


def _field(record: Mapping[str, Any], name: str, kind: type[_T], where: str) -> _T:
    value = record.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise EvalkitError(
            f"{where} has no {name} ({kind.__name__}).",
            "the format is described in docs/codeforces.md; `evalkit codeforces contest fetch` writes it.",
        )
    return value


def _number(record: Mapping[str, Any], name: str, where: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e9:
        raise EvalkitError(f"{where} has {name} {value!r}, which is no number.", "give a number, or null if unknown.")
    return value


def from_json(record: Any, where: str) -> ContestSet:
    """A set from its file's content; `where` names it in messages. Raises EvalkitError on anything unexpected."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise EvalkitError(f"{where} is no contest set.", "build one with `evalkit codeforces contest fetch ID…`.")
    if record.get("version") != VERSION:
        raise EvalkitError(
            f"{where} is a contest set of version {record.get('version')}, this evalkit reads version {VERSION}.",
            "build it again with `evalkit codeforces contest fetch`.",
        )
    contests: list[Contest] = []
    for entry in _field(record, "contests", list, where):
        if not isinstance(entry, dict):
            raise EvalkitError(f"{where} holds a contest that is no object.", "see docs/codeforces.md for the format.")
        contest_id = _field(entry, "id", int, f"A contest of {where}")
        at = f"Contest {contest_id} of {where}"
        scoring = entry.get("scoring")
        if scoring not in ("points", "icpc"):
            raise EvalkitError(f"{at} has scoring {scoring!r}.", 'scoring is "points" or "icpc".')
        if any(c.id == contest_id for c in contests):
            raise EvalkitError(f"{at} is there twice.", "remove one of them.")
        problems = []
        for problem in _field(entry, "problems", list, at):
            index = _field(problem if isinstance(problem, dict) else {}, "index", str, f"A problem of {at}")
            rating = _number(problem, "rating", f"Problem {index} of {at}")
            points = _number(problem, "points", f"Problem {index} of {at}")
            problems.append(ContestProblem(index, points, None if rating is None else int(rating)))
        if len({p.index for p in problems}) != len(problems):
            raise EvalkitError(f"{at} lists a problem twice.", "each index stands once.")
        packed = entry.get("participants")
        contests.append(
            Contest(
                id=contest_id,
                name=str(entry.get("name") or f"contest {contest_id}"),
                division=str(entry.get("division") or ""),
                scoring=scoring,
                problems=tuple(problems),
                date=entry.get("date"),
                standings=None if packed is None else _unpack(packed, contest_id),
            )
        )
    if not contests:
        raise EvalkitError(f"{where} lists no contest.", "build one with `evalkit codeforces contest fetch ID…`.")
    return ContestSet(str(record.get("name") or Path(where).stem), tuple(contests))


def user_folder() -> Path:
    """Where fetched sets and API responses are kept: EVALKIT_CODEFORCES, else the user's data folder."""
    import platformdirs

    chosen = os.environ.get("EVALKIT_CODEFORCES")
    return Path(chosen) if chosen else platformdirs.user_data_path("evalkit") / "codeforces"


def _shipped() -> dict[str, Any]:
    folder = resources.files(__package__) / "sets"
    return {f.name.removesuffix(".json"): f for f in folder.iterdir() if f.name.endswith(".json")}


def set_names() -> list[str]:
    """The names of the sets that can be had without a path, shipped and fetched."""
    fetched = {p.stem for p in user_folder().glob("*.json")} if user_folder().is_dir() else set()
    return sorted(fetched | set(_shipped()))


def load_set(name: str) -> ContestSet:
    """A set by name (fetched before shipped) or by the path of its file. Raises EvalkitError: unknown, or torn."""
    path = Path(name) if name.endswith(".json") or os.sep in name else user_folder() / f"{name}.json"
    shipped = _shipped()
    try:
        at_hand = name in shipped and not path.exists()
        text = shipped[name].read_text("utf-8") if at_hand else read_file(path).decode("utf-8")
    except OSError as error:
        raise EvalkitError(
            f"There is no contest set {name}.",
            f"the sets here: {', '.join(set_names())}; `evalkit codeforces contest fetch ID… --set {name}` builds one.",
        ) from error
    try:
        record = parse_json(text)
    except ValueError as error:
        raise EvalkitError(f"{path} is not JSON: {error}.", "the file is torn; build it again.") from error
    return from_json(record, str(path) if path.exists() else name)


def save_set(contests: ContestSet, path: Path) -> None:
    """Write the set, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(to_json(contests), indent=1) + "\n", "utf-8")
    os.replace(partial, path)
