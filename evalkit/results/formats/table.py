"""What every renderer gets: rows and columns of figures, not of text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from evalkit.results.metrics import UNIT_NAMES, error_bars, figure_text, kind_of, metric_text, n_text
from evalkit.types import Metric

_MARKS = "†‡§¶‖#"
_LETTERS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"  # a raised digit behind a figure would read as an exponent
_MOST_CUT = 4  # of a note's list
_MUCH_CUT = 0.05  # share of a cell's completions, from which on a note tells that they were cut


def mark(number: int) -> str:
    """The footnote mark of the note with this number, from 0 on: a sign, and raised letters where the signs end.

    Examples:
        >>> [mark(0), mark(5), mark(6), mark(31)]
        ['†', '#', 'ᵃ', 'ᵃᵃ']
    """
    if number < len(_MARKS):
        return _MARKS[number]
    again, letter = divmod(number - len(_MARKS), len(_LETTERS))
    return _LETTERS[letter] * (again + 1)


def joined_marks(marks: Iterable[str]) -> str:
    """Marks one behind another, a comma between two.

    Examples:
        >>> joined_marks(["†", "ᵃ"])
        '†,ᵃ'
    """
    return ",".join(marks)


def split_marks(text: str) -> list[str]:
    """What `joined_marks` has joined.

    Examples:
        >>> split_marks("†,ᵃ"), split_marks("")
        (['†', 'ᵃ'], [])
    """
    return text.split(",") if text else []


def is_mark(text: str) -> bool:
    """Whether a note's first word is its mark."""
    return text != "" and text == text[0] * len(text) and text[0] in (_MARKS if len(text) == 1 else "") + _LETTERS


@dataclass(frozen=True, slots=True)
class Column:
    """One benchmark and metric: `task` is evalkit's name, `title` the benchmark's. `note` tells of the column."""

    task: str
    title: str
    metric: str
    note: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title} {self.metric}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure with what it rests on.

    `n` samples for each of `problems`, of some up to `most_n`; `truncated` is the share in [0, 1] that was cut. `mark`
    points to a note of the table. `best`: the best of its column beyond chance. `z` and `verdict` compare it with the
    published figure, `not_compared` tells why there is no z. A published cell has a `source` instead, and a `remark`
    where the source makes one. Where the source does not tell its n, `z` is that of one sample per problem and `z_most`
    that of 64. `seen` is the difference that would have been seen with 80% power, in the metric's unit.
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
    z: float | None = None
    z_most: float | None = None
    seen: float | None = None
    verdict: str = ""
    not_compared: str = ""
    source: str = ""
    remark: str = ""

    @property
    def value(self) -> float:
        return self.metric.value

    def figure(self) -> str:
        return metric_text(self.metric)

    def bars(self) -> list[str]:
        """The 95% half-widths, run to run and over problems: `±1.2`, or `+0.4 −1.9` where the sides differ."""
        return error_bars(self.metric)

    def bar(self) -> list[str]:
        """The interval that is shown where one is: run to run, and of a difference over problems."""
        bars = self.bars()
        return bars[-1:] if kind_of(self.metric.name).difference else bars[:1]

    def samples(self) -> str:
        """`n=64`, or `n unknown` of a published figure; empty where n is no matter."""
        if self.n is None:
            return "n unknown" if self.source else ""
        return f"n={n_text(self.n, self.most_n)}"

    def basis(self) -> list[str]:
        """What the figure rests on: n, the share that was cut, samples lost to faults."""
        told = [samples] if (samples := self.samples()) else []
        if self.truncated is not None:
            told.append(f"{100 * self.truncated:.1f}% cut")
        elif self.problems is not None:
            told.append("cut: unknown")
        if self.errors:
            closed = f" ({self.settled} settled)" if self.settled else ""
            told.append(f"{self.errors} error{'s' if self.errors > 1 else ''}{closed}")
        return told

    def comparison(self) -> str:
        """`z=−0.4 within (4.0)`; empty where there is no published figure. See the note of the table."""
        if not self.verdict or self.z is None:
            return self.verdict
        most = f" to {self.z_most:+.1f}" if self.z_most is not None else ""
        seen = f" ({figure_text(self.seen, self.metric.unit)})" if self.verdict == "within" and self.seen else ""
        return f"z={self.z:+.1f}{most} {self.verdict}{seen}".replace("-", "−")

    def lines(self, verbose: bool = False) -> list[str]:
        """The figure with its mark, its interval, and if `verbose` the second interval, n, the share cut and the z."""
        told = [self.figure() + self.mark]
        if not verbose:
            return told + self.bar()
        bars = self.bars()
        told += [" / ".join(bars)] if bars else []
        told += [", ".join(basis)] if (basis := self.basis()) else []
        return told + ([comparison] if (comparison := self.comparison()) else [])

    def text(self, verbose: bool = False) -> str:
        """The whole cell in one line of plain text: `83.9 ±1.6`."""
        figure, *rest = self.lines(verbose)
        if not verbose:
            return " ".join([figure, *rest])
        bars = [" / ".join(found)] if (found := self.bars()) else []
        basis = [f"({', '.join(told)})"] if (told := self.basis()) else []
        comparison = [f"[{word}]"] if (word := self.comparison()) else []
        return " ".join([figure, *bars, *basis, *comparison])


@dataclass(frozen=True, slots=True)
class Row:
    """One run, or one model of a published table; a cell is None where it has no figure.

    `run` is the name of the run's folder, and `where` its path. `unnamed`: no published figure has its model's name.
    """

    model: str
    label: str
    cells: list[Cell | None]
    run: str = ""
    protocol: str = ""
    published: bool = False
    group: str = ""
    where: str = ""
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A leaderboard.

    `notes` tell what the marks mean and what is not shown; `details` explain more and are shown where `verbose` is
    true. `title` and `label` are the caption and the label of a table in a paper.
    """

    columns: list[Column]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    verbose: bool = False
    title: str = ""
    label: str = ""

    @property
    def caption(self) -> str:
        """The legend, in one line: the units, the intervals, what is bold."""
        cells = [c for row in self.rows for c in row.cells if c is not None]
        told = [_units(self.columns, self.rows, self.titles())]
        barred = [c for c in cells if c.bars()]
        if barred and self.verbose:
            told.append("±: 95%, run to run / over problems")
            told.append("n: samples per problem")
            told.append("cut: stopped at the token limit or for repetition")
        elif barred:
            told.append("±: 95%, run to run")
        if any(c.best for c in cells):
            beside = any(row.published for row in self.rows)
            told.append(f"bold: best{' of our runs' if beside else ''}, beyond chance")
        return "; ".join(told)

    def basis(self, column: int) -> str:
        """`n=64`, or `n=4–64`: the samples per problem of our figures in a column.

        Where we have none it is that of the published ones: also `n unknown`, or `n=64 or unknown`.
        """
        ours = self.has_ours(column)
        cells = [c for row in self.rows if row.published != ours and (c := row.cells[column]) is not None]
        found = {n for c in cells for n in (c.n, c.most_n) if n}
        told = "" if not found else f"n={min(found)}" if len(found) == 1 else f"n={min(found)}–{max(found)}"
        if ours or all(c.n for c in cells):
            return told
        return f"{told} or unknown" if told else "n unknown"

    def has_ours(self, column: int) -> bool:
        """Whether a run of ours has a figure in a column."""
        return any(row.cells[column] is not None for row in self.rows if not row.published)

    def has_one_n(self, column: int) -> bool:
        """Whether the n in a column's head is that of every figure in it."""
        return {c.samples() for row in self.rows if (c := row.cells[column]) is not None} <= {self.basis(column)}

    def heads(self, column: int) -> list[str]:
        """The lines of a column's head: the benchmark without its options, the metric, n."""
        own = self.columns[column]
        return [self.titles()[own.title], own.metric, *([basis] if (basis := self.basis(column)) else [])]

    def titles(self) -> dict[str, str]:
        """Each title and its form without what stands in brackets, where no two become alike."""
        titles = dict.fromkeys(column.title for column in self.columns)
        short = {title: title.partition(" (")[0] for title in titles}
        counts = Counter(short.values())
        return {title: name if counts[name] == 1 else title for title, name in short.items()}

    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows that follow one another under each group's name; one group without a name if there are none."""
        return [(name, list(rows)) for name, rows in groupby(self.rows, key=lambda row: row.group)]

    def footnotes(self, in_full: bool = False) -> list[str]:
        """What stands below the table: comparisons with published figures, much that was cut, and the notes.

        `in_full`: a list of what was cut is not shortened, as on paper, where `-v` shows nothing.
        """
        options = self.options()
        if self.verbose:
            return [*options, *self.notes, *self.details]
        return [*self.verdicts(), *self._cut(in_full), *options, *self.notes]

    def options(self) -> list[str]:
        """`LiveCodeBench: release_v5, script`: what the heads leave out of the benchmarks' titles."""
        named: dict[str, list[str]] = {}
        for title, name in self.titles().items():
            if name != title:
                named.setdefault(title[len(name) + 2 :].rstrip(")"), []).append(name)
        return [f"{', '.join(names)}: {option}" for option, names in named.items()]

    def verdicts(self) -> list[str]:
        """For each of our rows, how its figures compare with the published ones."""
        told = []
        for row in self.rows:
            words = [
                f"{column.heading} {cell.comparison()}"
                for column, cell in zip(self.columns, row.cells, strict=True)
                if cell is not None and cell.verdict
            ]
            if words:
                told.append(f"{row.label} against the published figures: {'; '.join(words)}")
        return told

    def _cut(self, in_full: bool) -> list[str]:
        titles = self.titles()
        much = [
            (cell.truncated, f"{row.label} on {titles[column.title]} {100 * cell.truncated:.0f}%")
            for row in self.rows
            for column, cell in zip(self.columns, row.cells, strict=True)
            if cell is not None and cell.truncated is not None and cell.truncated > _MUCH_CUT
        ]
        told = list(dict.fromkeys(text for _, text in sorted(much, key=lambda pair: -pair[0])))
        shown = told if in_full else told[:_MOST_CUT]
        more = f", and {len(told) - len(shown)} more: -v shows them" if len(told) > len(shown) else ""
        notes = [f"cut at the token limit: {', '.join(shown)}{more}"] if told else []
        own = [(row, cell) for row in self.rows if not row.published for cell in row.cells if cell is not None]
        unknown = list(dict.fromkeys(row.label for row, cell in own if cell.truncated is None and cell.problems))
        return notes + ([f"cut: unknown for {', '.join(unknown)}"] if unknown else [])

    def records(self) -> Iterator[dict[str, Any]]:
        """One flat record a cell, with the ends of both intervals and the text of its marks.

        Figures and ends are in `unit`; `truncated` is a share in [0, 1].
        """
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                if cell is not None:
                    yield _record(row, column, cell, self.notes)


def _units(columns: Sequence[Column], rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """`percent`, or `percent (CodeForces: rating)`: the commonest unit, and the columns of another."""
    units: dict[str, str] = {}
    for row in rows:
        for column, cell in zip(columns, row.cells, strict=True):
            if cell is not None:
                units[titles[column.title] if cell.metric.unit != "%" else ""] = UNIT_NAMES[cell.metric.unit]
    others = [f"{title}: {unit}" for title, unit in units.items() if title]
    if "" not in units and len(set(units.values())) == 1:
        return next(iter(units.values()))
    return "percent" + (f" ({', '.join(others)})" if others else "")


def _notes_of(marks: str, notes: Iterable[str]) -> str:
    """The text of the notes that a cell's marks point to, in the order of the marks."""
    by_mark = {sign: text for sign, _, text in (note.partition(" ") for note in notes) if is_mark(sign)}
    return " ".join(by_mark[sign] for sign in split_marks(marks) if sign in by_mark)


def _record(row: Row, column: Column, cell: Cell, notes: Iterable[str]) -> dict[str, Any]:
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
        "notes": _notes_of(cell.mark, notes),
        "best": cell.best,
        "z": cell.z,
        "z_most": cell.z_most,
        "seen": cell.seen,
        "verdict": cell.verdict,
        "not_compared": cell.not_compared,
        "source": cell.source,
    }
