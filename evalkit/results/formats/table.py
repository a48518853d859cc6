"""What every renderer gets: rows and columns of figures, not of text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Interval = tuple[float, float]


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
    """One figure: percent or rating points, with its 95% intervals and what it rests on.

    `n` samples for each of `problems`; `truncated` is the share in [0, 1] that was cut. `mark` points to a note of
    the table. `z` and `verdict` compare it with the published figure, `not_compared` tells why there is no z. A
    published cell has a `source` instead.
    """

    value: float
    unit: str = "%"
    interval_run: Interval | None = None
    interval_problems: Interval | None = None
    n: int | None = None
    problems: int | None = None
    truncated: float | None = None
    errors: int = 0
    mark: str = ""
    best: bool = False
    significant: bool = False
    z: float | None = None
    verdict: str = ""
    not_compared: str = ""
    source: str = ""

    def figure(self) -> str:
        return self._rounded(self.value)

    def _rounded(self, value: float) -> str:
        text = f"{value:.0f}" if self.unit == "rating" else f"{value:.1f}"
        return text.replace("-", "−") if float(text.replace("−", "-")) else text.lstrip("-")

    def bars(self) -> list[str]:
        """The 95% half-widths, run to run and over problems: `±1.2`, or `+0.4 −1.9` where the sides differ."""
        return [self._bar(i) for i in (self.interval_run, self.interval_problems) if i is not None]

    def _bar(self, interval: Interval) -> str:
        up, down = self._rounded(interval[1] - self.value), self._rounded(self.value - interval[0])
        wide = max(float(up), float(down))
        alike = wide - min(float(up), float(down)) <= 0.2 * wide
        inside = self.unit != "%" or (self.value + wide <= 100 and self.value - wide >= 0)
        return f"±{self._rounded(wide)}" if alike and inside else f"+{up} −{down}"

    def basis(self) -> list[str]:
        """What the figure rests on: n, the share that was cut, samples spoilt by faults."""
        told = [f"n={self.n}"] if self.n is not None else []
        if self.truncated is not None:
            told.append(f"{100 * self.truncated:.1f}% cut")
        if self.errors:
            told.append(f"{self.errors} errors")
        return told

    def comparison(self) -> str:
        """`z=−0.4 within`; empty where there is no published figure."""
        if not self.verdict:
            return ""
        return f"z={self.z:+.1f} {self.verdict}".replace("-", "−") if self.z is not None else self.verdict

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
    run, over = cell.interval_run or (None, None), cell.interval_problems or (None, None)
    return {
        "model": row.model,
        "run": row.run,
        "protocol": row.protocol,
        "published": row.published,
        "task": column.task,
        "benchmark": column.title,
        "metric": column.metric,
        "value": cell.value,
        "unit": cell.unit,
        "run_low": run[0],
        "run_high": run[1],
        "problems_low": over[0],
        "problems_high": over[1],
        "n": cell.n,
        "problems": cell.problems,
        "truncated": cell.truncated,
        "errors": cell.errors,
        "mark": cell.mark,
        "best": cell.best,
        "significant": cell.significant,
        "z": cell.z,
        "verdict": cell.verdict,
        "not_compared": cell.not_compared,
        "source": cell.source,
    }
