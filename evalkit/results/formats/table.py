"""What every renderer gets: rows and columns of figures, not of text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from evalkit.results.metrics import error_bars, figure_text, n_text
from evalkit.types import Metric


@dataclass(frozen=True, slots=True)
class Column:
    """One benchmark and metric: `task` is evalkit's name, `title` the benchmark's."""

    task: str
    title: str
    metric: str

    @property
    def heading(self) -> str:
        return f"{self.title} {self.metric}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure with what it rests on.

    `n` samples for each of `problems`, of some up to `most_n`; `truncated` is the share in [0, 1] that was cut. `mark`
    points to a note of the table. `z` and `verdict` compare it with the published figure, `not_compared` tells why
    there is no z. A published cell has a `source` instead. Where the source does not tell its n, `z` is that of one
    sample per problem and `z_most` that of 64. `seen` is the difference that would have been seen with 80% power, in
    the metric's unit.
    """

    metric: Metric
    n: int | None = None
    most_n: int | None = None
    problems: int | None = None
    truncated: float | None = None
    errors: int = 0
    settled: int = 0
    mark: str = ""
    best: bool = False
    significant: bool = False
    z: float | None = None
    z_most: float | None = None
    seen: float | None = None
    verdict: str = ""
    not_compared: str = ""
    source: str = ""

    @property
    def value(self) -> float:
        return self.metric.value

    def figure(self) -> str:
        return self.metric.text or figure_text(self.metric.value, self.metric.unit)

    def bars(self) -> list[str]:
        """The 95% half-widths, run to run and over problems: `±1.2`, or `+0.4 −1.9` where the sides differ."""
        return error_bars(self.metric)

    def basis(self) -> list[str]:
        """What the figure rests on: n, the share that was cut, samples lost to faults."""
        told = [f"n={n_text(self.n, self.most_n)}"] if self.n is not None else []
        if self.truncated is not None:
            told.append(f"{100 * self.truncated:.1f}% cut")
        elif self.problems is not None:
            told.append("cut: unknown")
        if self.errors:
            closed = f" ({self.settled} settled)" if self.settled else ""
            told.append(f"{self.errors} errors{closed}")
        return told

    def comparison(self) -> str:
        """`z=−0.4 within (4.0)`; empty where there is no published figure. See the note of the table."""
        if not self.verdict or self.z is None:
            return self.verdict
        most = f" to {self.z_most:+.1f}" if self.z_most is not None else ""
        seen = f" ({figure_text(self.seen, self.metric.unit)})" if self.verdict == "within" and self.seen else ""
        return f"z={self.z:+.1f}{most} {self.verdict}{seen}".replace("-", "−")

    def text(self) -> str:
        """The whole cell in one line of plain text."""
        star = "*" if self.significant else ""
        parts = [self.figure() + star + self.mark]
        if bars := self.bars():
            parts.append(" / ".join(bars))
        if basis := self.basis():
            parts.append(f"({', '.join(basis)})")
        if comparison := self.comparison():
            parts.append(f"[{comparison}]")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Row:
    """One run, or one model of a published table; a cell is None where it has no figure."""

    model: str
    label: str
    cells: list[Cell | None]
    run: str = ""
    protocol: str = ""
    published: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A leaderboard: `caption` names the error bars, `notes` what the marks mean and what is not shown."""

    columns: list[Column]
    rows: list[Row]
    caption: str
    notes: list[str] = field(default_factory=list)

    def records(self) -> Iterator[dict[str, Any]]:
        """One flat record a cell, with the ends of both intervals."""
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                if cell is not None:
                    yield _record(row, column, cell)


def _record(row: Row, column: Column, cell: Cell) -> dict[str, Any]:
    run = cell.metric.interval_run or (None, None)
    over = cell.metric.interval_problems or (None, None)
    return {
        "model": row.model,
        "run": row.run,
        "protocol": row.protocol,
        "published": row.published,
        "task": column.task,
        "benchmark": column.title,
        "metric": column.metric,
        "value": cell.metric.value,
        "unit": cell.metric.unit,
        "run_low": run[0],
        "run_high": run[1],
        "problems_low": over[0],
        "problems_high": over[1],
        "n": cell.n,
        "problems": cell.problems,
        "truncated": cell.truncated,
        "errors": cell.errors,
        "settled": cell.settled,
        "mark": cell.mark,
        "best": cell.best,
        "significant": cell.significant,
        "z": cell.z,
        "z_most": cell.z_most,
        "seen": cell.seen,
        "verdict": cell.verdict,
        "not_compared": cell.not_compared,
        "source": cell.source,
    }
