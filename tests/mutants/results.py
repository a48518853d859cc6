"""What came of each mutant, kept as it goes, and the table by area."""

import json
import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .changes import Change

LISTED = Path(__file__).with_name("equivalent.toml")
STATUSES = ("killed", "timeout", "survived", "without cover", "equivalent")


@dataclass(frozen=True)
class Result:
    """A mutant and what the tests said."""

    area: str
    file: str
    line: int
    source: str  # the changed line, without its indentation
    kind: str
    change: str
    status: str
    seconds: float = 0.0
    tests: int = 0  # how many were run at most
    left_out: int = 0  # tests that run the line, too, but not within the time
    killer: str = ""
    reason: str = ""


class Results:
    """The results of one seed, in a file that is replaced after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        kept = json.loads(path.read_text()) if path.exists() else []
        self.all = [Result(**each) for each in kept]

    def known(self, area: str, change: Change, source: str) -> Result | None:
        wanted = (area, change.file, change.line, source, change.kind, str(change))
        keys = ((r.area, r.file, r.line, r.source, r.kind, r.change) for r in self.all)
        return next((r for r, key in zip(self.all, keys, strict=True) if key == wanted), None)

    def add(self, result: Result) -> None:
        self.all.append(result)
        self._write()

    def drop(self, results: Iterable[Result]) -> None:
        gone = set(results)
        self.all = [result for result in self.all if result not in gone]
        self._write()

    def _write(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(result) for result in self.all], indent=1, ensure_ascii=False))
        os.replace(fresh, self.path)


@dataclass(frozen=True)
class Equivalent:
    """A change that no test can notice, or that changes nothing but speed."""

    file: str
    line: str
    change: str
    reason: str

    def is_of(self, change: Change, source: str) -> bool:
        return (self.file, self.line, self.change) == (change.file, source, str(change))


def equivalents(path: Path = LISTED) -> list[Equivalent]:
    return [Equivalent(**entry) for entry in tomllib.loads(path.read_text()).get("mutant", [])]


def outdated(entries: Sequence[Equivalent], repository: Path) -> list[Equivalent]:
    """The entries whose line is no longer in their file."""
    gone = []
    for entry in entries:
        path = repository / entry.file
        lines = [line.strip() for line in path.read_text().splitlines()] if path.exists() else []
        if entry.line not in lines:
            gone.append(entry)
    return gone


def table(results: Sequence[Result], areas: Sequence[str]) -> str:
    """Counts by area, and the share that was noticed of what could be."""
    rows: list[tuple[str, ...]] = [("area", "mutants", *STATUSES, "noticed")]
    for area in (*areas, "all"):
        those = [result for result in results if area in (result.area, "all")]
        counts = [sum(result.status == status for result in those) for status in STATUSES]
        counted = len(those) - counts[-1]
        noticed = f"{100 * (counts[0] + counts[1]) / counted:.0f}%" if counted else "–"
        rows.append((area, str(counted), *map(str, counts), noticed))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def told(result: Result) -> str:
    """One line about a mutant, and the changed source below it."""
    more = f", {result.left_out} more tests run it" if result.left_out and result.status == "survived" else ""
    why = f", by {result.killer}" if result.killer else f": {result.reason}" if result.reason else ""
    head = f"{result.status:13} {result.file}:{result.line} {result.kind}: {result.change}{why}{more}"
    return head if result.status == "killed" else f"{head}\n              {result.source}"
