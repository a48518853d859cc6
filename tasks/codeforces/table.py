"""A table of what was solved: one row for each problem, {contest, index, solved, samples}."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import parse_json, text_lines

_FORMAT = 'a row is {"contest": 1983, "index": "A", "solved": 3, "samples": 8}, optionally with "rating" and "results".'


@dataclass(frozen=True, slots=True)
class Solve:
    """`solved` of `samples` programs were right. `results` are they in their order, where it is known.

    `rating` and `points` are the problem's, None where the row does not say.
    """

    contest: int
    index: str
    solved: int
    samples: int
    rating: float | None = None
    points: float | None = None
    results: tuple[bool, ...] | None = None

    @property
    def name(self) -> str:
        return f"{self.contest}{self.index}"


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _contest(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isdigit() else _whole(value)


def solve_from_json(row: Any, where: str) -> Solve:
    """One row; raises EvalkitError naming `where` if it is not of the format or contradicts itself."""
    if not isinstance(row, Mapping):
        raise EvalkitError(f"{where} is no object.", _FORMAT)
    contest, index = _contest(row.get("contest")), row.get("index")
    solved, samples, results = _whole(row.get("solved")), _whole(row.get("samples")), row.get("results")
    if results is not None:
        if not isinstance(results, list) or not all(r in (0, 1) for r in results):
            raise EvalkitError(f"{where} has results that are no list of true and false.", _FORMAT)
        solved = sum(map(bool, results)) if solved is None else solved
        samples = len(results) if samples is None else samples
        if (solved, samples) != (sum(map(bool, results)), len(results)):
            raise EvalkitError(f"{where} has results that are not its {solved} of {samples}.", _FORMAT)
    if contest is None or not isinstance(index, str) or not index or solved is None or samples is None:
        raise EvalkitError(f"{where} lacks contest, index, solved or samples.", _FORMAT)
    if samples < 1 or not 0 <= solved <= samples:
        raise EvalkitError(
            f"{where} has {solved} solved of {samples} samples.", "0 <= solved <= samples, samples >= 1."
        )
    numbers: dict[str, float | None] = {}
    for name in ("rating", "points"):
        value = row.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value != value):
            raise EvalkitError(f"{where} has {name} {value!r}, which is no number.", "leave it out where unknown.")
        numbers[name] = value
    outcome = None if results is None else tuple(map(bool, results))
    return Solve(contest, index, solved, samples, numbers["rating"], numbers["points"], outcome)


def check_table(rows: Iterable[Solve], where: str) -> list[Solve]:
    """The rows; raises EvalkitError if there is none or a problem is there twice."""
    table, seen = list(rows), set()
    for row in table:
        if (row.contest, row.index) in seen:
            raise EvalkitError(f"{where} has problem {row.name} twice.", "one row for each problem.")
        seen.add((row.contest, row.index))
    if not table:
        raise EvalkitError(f"{where} has no row.", _FORMAT)
    return table


def read_table(path: Path) -> list[Solve]:
    """The rows of a JSON lines file. Raises EvalkitError: not there, torn, not of the format."""
    try:
        lines = [(number, line) for number, line in text_lines(path)]
    except (OSError, ValueError) as error:
        raise EvalkitError(f"{path} cannot be read: {error}.", "give a JSON lines file.") from error
    rows = []
    for number, line in lines:
        where = f"Line {number} of {path}"
        try:
            rows.append(solve_from_json(parse_json(line), where))
        except ValueError as error:
            raise EvalkitError(f"{where} is not JSON: {error}.", _FORMAT) from error
    return check_table(rows, str(path))
