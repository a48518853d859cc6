"""The result of a scan as a file: which problems of which tasks stand in which sets."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.store.lines import write_text_output

SCHEMA = 1
BEST_KEPT = 3
_ORDER = {"exact": 0, "near": 1, "numbers": 2}


@dataclass(frozen=True, slots=True)
class Match:
    """A place in a training set that is like a problem.

    `kind` is `exact` (the same tokens), `near` (few words differ) or `numbers` (other numbers in the same text).
    `coverage`, `masked_coverage` and `jaccard` are in [0, 1]. `record` is numbered from 1. `text` is the place itself,
    None where the benchmark's authors ask that its questions be not published.
    """

    kind: str
    coverage: float
    masked_coverage: float
    jaccard: float
    set: str
    record: int
    field: str
    text: str | None


def better(match: Match) -> tuple[int, float, float, str, int]:
    """A sort key: the surest match first."""
    return _ORDER.get(match.kind, 9), -match.coverage, -match.jaccard, match.set, match.record


@dataclass(frozen=True, slots=True)
class ProblemMatches:
    """A problem that a set holds: in how many `records`, and the best matches."""

    problem_id: str
    kind: str
    records: int
    problem: str | None
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class TaskContamination:
    """The problems of one task that were found. `fingerprints` are the sha256 of its data sets."""

    task: str
    problems: int
    fingerprints: tuple[str, ...]
    found: tuple[ProblemMatches, ...]

    def ids(self, kinds: Collection[str] = tuple(_ORDER)) -> set[str]:
        """The ids of the problems that were found in one of these ways."""
        return {p.problem_id for p in self.found if p.kind in kinds}


@dataclass(frozen=True, slots=True)
class Contamination:
    """The whole result. `sets` has the name, the bytes and the records of each file that was read."""

    sets: tuple[Mapping[str, Any], ...]
    tasks: Mapping[str, TaskContamination]
    settings: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the file. Raises EvalkitError if it cannot be written."""
        content = {"schema": SCHEMA, **asdict(self)}
        write_text_output(Path(path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def load_contamination(path: str | Path) -> Contamination:
    """Read a file that `evalkit contamination` has written. Raises EvalkitError if it is not one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        tasks = {name: _task(name, task) for name, task in content["tasks"].items()}
        return Contamination(tuple(content["sets"]), tasks, content["settings"])
    except OSError as error:
        raise EvalkitError(f"{path} cannot be read: {error.strerror}.", "`evalkit contamination` writes it.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvalkitError(
            f"{path} is not a contamination file: {type(error).__name__}: {error}.",
            "`evalkit contamination SET -t TASKS -o FILE` writes one.",
        ) from error


def _task(name: str, content: Mapping[str, Any]) -> TaskContamination:
    found = [_problem(one) for one in content["found"]]
    return TaskContamination(name, int(content["problems"]), tuple(map(str, content["fingerprints"])), tuple(found))


def _problem(content: Mapping[str, Any]) -> ProblemMatches:
    matches: Sequence[Mapping[str, Any]] = content["matches"]
    if content["kind"] not in _ORDER:
        raise ValueError(f"kind {content['kind']!r}")
    return ProblemMatches(
        str(content["problem_id"]), content["kind"], int(content["records"]), content["problem"],
        tuple(Match(**match) for match in matches),
    )  # fmt: skip
