"""Builds the leaderboard from reports and published figures."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os.path import normpath
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.clean import CLEAN
from evalkit.results.entries import Entry, natural_order
from evalkit.results.formats.notes import finished
from evalkit.results.formats.table import Cell, Column, Row, Table, joined_marks, mark
from evalkit.results.labels import run_labels
from evalkit.results.metrics import kind_of
from evalkit.results.peer import log_of
from evalkit.results.problem_sets import entry_differences, with_equal_sets
from evalkit.results.published import PAPER, PublishedScore, load_published, model_key
from evalkit.results.reproduction import SAMPLES_ASSUMED, verdict
from evalkit.stats import distance, error_towards, holm, leaders, least_p_value, sign_flip_test
from evalkit.store.grader import graded_earlier
from evalkit.types import Interval, Metric

BEST_NOTE = (
    "bold: better than every other run of its column, p < 0.05 after Holm over the columns (pass@1: a paired "
    "permutation test over problems; other metrics: their run-to-run errors). Runs that are tied at the top share it. "
    "Published figures take no part, nor do runs whose settings or problems are not those of most runs of the column."
)
INTERVAL_NOTE = (
    "±: 95% half-widths, run to run (the same problems, new samples), then over problems (other problems of the same "
    "kind, clustered by problem). Completions that were cut count as they score."
)
BOUND_NOTE = "n=1: one sample per problem gives no estimate of the run-to-run error; its upper bound is shown instead."
PUBLISHED = " (published)"  # behind the name of a published row that stands beside ours
_LONGEST_SOURCE = 40  # characters behind a model's name; the notes have the whole of it
_LEVEL = 0.05


def build_table(
    entries: Sequence[Entry],
    published: Sequence[PublishedScore] = (),
    metrics: Sequence[str] = (),
    notes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> Table:
    """Build the table: the paper's tasks first, and each published row followed by our runs of that model.

    `metrics` adds columns, such as `pass@8`, for every task that has them. `labels` are names for runs or models, see
    `run_labels`.

    Raises EvalkitError if no run has one of `metrics`, or if there is no run of `labels`.
    """
    return finished(replace(draft_table(entries, published, metrics, notes, labels), verbose=verbose))


def draft_table(
    entries: Sequence[Entry],
    published: Sequence[PublishedScore] = (),
    metrics: Sequence[str] = (),
    notes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Table:
    """The table of `build_table` before its notes are `finished`: rows and columns can still be left out."""
    entries = with_equal_sets(entries)
    columns = _columns(entries, published, metrics)
    runs: dict[Path, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    unusual = _unusual_settings(entries, columns)
    marks = _marks(entries, unusual)
    judged: list[PublishedScore] = []
    theirs = {(model_key(f.model), f.column): f for f in reversed(published)}
    names = run_labels(entries, labels)
    named = {model_key(f.model) for f in published}
    ours = []
    for path, tasks in runs.items():
        report = tasks[0].report
        by_task = {t.report.task: t for t in tasks}
        cells = [_cell(by_task.get(c.task), c, theirs, marks, judged) for c in columns]
        unnamed = bool(named) and model_key(report.model) not in named
        row = Row(report.model, names[path], cells, path.name, report.protocol, where=str(path), unnamed=unnamed)
        ours.append(row)
    ours = _with_best(ours, columns, runs, unusual)
    columns = [replace(column, note=_consensus_note(ours, columns, i)) for i, column in enumerate(columns)]
    details = [*_own_details(ours, judged), *_figure_details(published)]
    rows = _order(ours, _published_rows(published, columns, bool(ours)))
    return Table(columns, rows, [*marks.told(), *notes], details)


def _marks(entries: Sequence[Entry], unusual: Mapping[tuple[Path, str], str]) -> "_Marks":
    marks = _Marks()
    for entry in entries:
        if entry.subset:
            marks.add(entry, f"subset of {entry.report.problems} of {entry.available} problems: another benchmark.")
    for entry in entries:
        if (found := entry.report.disputes) is not None and str(found):
            marks.add(entry, f"{found}.")
        if entry.report.warnings:
            marks.add(entry, f"{', '.join(entry.report.warnings)}.")
        if graded_earlier(entry.report.graders):
            marks.add(entry, "graded by an earlier version of evalkit: evalkit score grades it again.")
    for entry in entries:
        if failed := entry.report.statuses["error"]:
            many = f"{failed:,} of {entry.report.samples:,} samples"
            marks.add(entry, f"{many} were spoilt by the engine or the grader and count as 0.")
    for entry in entries:
        if note := unusual.get((entry.run, entry.report.task)):
            marks.add(entry, note)
    return marks


def _columns(entries: Sequence[Entry], published: Sequence[PublishedScore], metrics: Sequence[str]) -> list[Column]:
    """The columns that have a figure: the paper's tasks first, and all columns of a task side by side."""
    titles = {f.column[0]: f.benchmark for f in load_published(PAPER)} | {f.column[0]: f.benchmark for f in published}
    titles |= {e.report.task: e.report.title for e in sorted(entries, key=lambda entry: entry.is_installed)}
    had = {(e.report.task, m.name) for e in entries for m in e.report.metrics}
    for name in metrics:
        if all(name != metric for _, metric in had):
            offered = ", ".join(dict.fromkeys(m.name for e in entries for m in e.report.metrics)) or "none"
            raise EvalkitError(f"No run has the metric {name!r}.", f"available: {offered}.")
    wanted: list[tuple[str, str]] = [f.column for f in load_published(PAPER)]
    wanted += [f.column for f in published]
    wanted += [(e.report.task, name) for e in entries for name in (*e.report.headlines, *metrics)]
    had |= {f.column for f in published}
    shown = [column for column in dict.fromkeys(wanted) if column in had]
    tasks = list(dict.fromkeys(task for task, _ in shown))
    alike = Counter(titles[task] for task in tasks)
    named = {task: f"{titles[task]} ({task})" if alike[titles[task]] > 1 else titles[task] for task in tasks}
    return [Column(task, named[task], metric) for task, metric in sorted(shown, key=lambda c: tasks.index(c[0]))]


def _not_generated(entry: Entry) -> str | None:
    """Where the completions of a run are from that did not generate any."""
    made = {
        "imported": f"imported from {log_of(str(entry.engine.get('peer')))}",
        "replay": "replayed from recorded completions",
    }
    return made.get(str(entry.engine.get("backend")))


def _cell(
    entry: Entry | None,
    column: Column,
    theirs: Mapping[tuple[str, tuple[str, str]], PublishedScore],
    marks: "_Marks",
    judged: list[PublishedScore],
) -> Cell | None:
    metric = entry.report.metric(column.metric) if entry is not None else None
    if entry is None or metric is None:
        return None
    report = entry.report
    least, most = report.samples_of(metric.name)
    cell = Cell(
        metric,
        n=least,
        most_n=most,
        problems=report.problems if metric.name != CLEAN else entry.clean_problems,
        truncated=report.truncation_rate,
        errors=report.statuses["error"],
        settled=report.settled,
    )
    if (made := _not_generated(entry)) is not None:
        how = "its protocol was asserted, not recorded" if entry.settings.get("asserted") else "its protocol is unknown"
        marks.add(entry, f"{made}: {how}.")
    if column.metric == "peer":
        marks.add(entry, f"peer: {metric.note}.")
    figure = theirs.get((model_key(report.model), (column.task, column.metric)))
    if figure is not None and (kind_of(column.metric).comparable or column.metric in report.headlines):
        found = verdict(entry, metric, figure)
        cell = replace(
            cell,
            z=found.z,
            z_most=found.z_most,
            seen=found.seen,
            verdict=found.word,
            not_compared="; ".join(found.reasons),
        )
        if found.reasons and found.word != entry.subset:
            marks.add(entry, f"not compared with the published figure: {'; '.join(found.reasons)}.")
        elif not found.reasons:
            judged.append(figure)
    return replace(cell, mark=marks.of(entry))


class _Marks:
    """A footnote sign for each distinct note, in order of appearance."""

    def __init__(self) -> None:
        self._signs: dict[str, str] = {}
        self._of: dict[tuple[Path, str], dict[str, None]] = {}

    def add(self, entry: Entry, note: str) -> None:
        if note not in self._signs:
            self._signs[note] = mark(len(self._signs))
        self._of.setdefault((entry.run, entry.report.task), {})[self._signs[note]] = None

    def of(self, entry: Entry) -> str:
        return joined_marks(self._of.get((entry.run, entry.report.task), ()))

    def told(self) -> list[str]:
        return [f"{sign} {note}" for note, sign in self._signs.items()]


def _unusual_settings(entries: Sequence[Entry], columns: Sequence[Column]) -> dict[tuple[Path, str], str]:
    """A note for each task of a run whose settings differ from those of most runs of that task."""
    notes: dict[tuple[Path, str], str] = {}
    for task in dict.fromkeys(c.task for c in columns):
        of_task = [e for e in entries if e.report.task == task]
        if not of_task:
            continue
        keys = [json.dumps(e.settings, sort_keys=True, default=str) for e in of_task]
        counts = Counter(keys)
        usual = max(
            zip(of_task, keys, strict=True),
            key=lambda pair: (
                pair[0].is_installed,
                counts[pair[1]],
                not pair[0].subset,
                pair[0].report.protocol == PAPER,
            ),
        )
        for entry, key in zip(of_task, keys, strict=True):
            if key != usual[1]:
                left_out = {"problems"} if entry.subset else set()  # has a note of its own
                told = "; ".join(entry_differences(entry, usual[0], left_out))
                note = f"protocol {entry.report.protocol}, not {usual[0].report.protocol}"
                if entry.is_installed != usual[0].is_installed:
                    told = f"{told}; its title is {entry.report.title}"
                same = entry.report.protocol == usual[0].report.protocol
                notes[entry.run, task] = told and (f"{told}." if same else f"{note}: {told}.")
    return notes


def _with_best(
    rows: list[Row],
    columns: Sequence[Column],
    runs: Mapping[Path, Sequence[Entry]],
    unusual: Mapping[tuple[Path, str], str],
) -> list[Row]:
    """Mark the best figure of each column among runs with the usual settings, where its lead is beyond chance."""
    entries = [{e.report.task: e for e in tasks if (e.run, e.report.task) not in unusual} for tasks in runs.values()]
    best: list[tuple[int, set[int]]] = []
    leads: list[tuple[float, float]] = []
    for i, column in enumerate(columns):
        ranked = [
            (cell.value, r)
            for r, row in enumerate(rows)
            if (cell := row.cells[i]) is not None and not cell.metric.text and column.task in entries[r]
        ]
        first = {ranked[at][1] for at in leaders([value for value, _ in ranked])}
        if len(first) == len(ranked) or not any(_is_ranked(entries[r][column.task], column.metric) for r in first):
            continue  # none, one, or all alike: there is no best
        others = [r for _, r in sorted(ranked, key=lambda pair: -pair[0]) if r not in first]
        best.append((i, first))
        leads.append(_lead([entries[r][column.task] for r in first], [entries[r][column.task] for r in others], column))
    established = [
        column for column, p in zip(best, holm([p for p, _ in leads], [least for _, least in leads]), strict=True)
        if p < _LEVEL
    ]  # fmt: skip
    found = {(i, r) for i, first in established for r in first}
    return [
        replace(row, cells=[replace(cell, best=(i, r) in found) if cell else None for i, cell in enumerate(row.cells)])
        for r, row in enumerate(rows)
    ]


def _is_ranked(entry: Entry, metric: str) -> bool:
    """Whether more is better: known of standard metrics, and of a task's headlines that are shares or ratings."""
    found = entry.report.metric(metric)
    own = metric in entry.report.headlines and found is not None and found.unit in ("%", "rating")
    return kind_of(metric).ranked or own


def _lead(first: Sequence[Entry], others: Sequence[Entry], column: Column) -> tuple[float, float]:
    """(p, the least p possible) of the claim that `first` are better than all `others`, which stand best first."""
    worst, least = 0.0, 0.0
    for one in first:
        for other in others:
            p, possible = _test(one, other, column)
            worst, least = max(worst, p), max(least, possible)
            if worst > _LEVEL:
                return worst, least
    return worst, least


def _test(a: Entry, b: Entry, column: Column) -> tuple[float, float]:
    """(p, the least p possible) that two figures differ."""
    first, second = a.report.values, b.report.values
    if column.metric == "pass@1":
        if first.keys() != second.keys():
            return 1.0, 1.0
        pair = [second[k] for k in first], list(first.values())
        return sign_flip_test(*pair), least_p_value(*pair)
    one, other = a.report.metric(column.metric), b.report.metric(column.metric)
    if one is None or other is None or one.interval_run is None or other.interval_run is None:
        return 1.0, 1.0
    errors = (
        error_towards(one.value, one.interval_run, other.value),
        error_towards(other.value, other.interval_run, one.value),
    )
    z = abs(distance(one.value, errors[0], other.value, errors[1]).z)
    return math.erfc(z / math.sqrt(2)), 0.0


def _published_rows(published: Sequence[PublishedScore], columns: Sequence[Column], beside: bool) -> list[Row]:
    """One row for each model and source, in the order of the published table; named so if they stand `beside` ours.

    A model that several sources tell of has the source behind its name.
    """
    groups: dict[tuple[str, str], dict[tuple[str, str], PublishedScore]] = {}
    for figure in published:
        groups.setdefault((figure.model, figure.source), {}).setdefault(figure.column, figure)
    told = _source_names(groups)
    rows = []
    for (model, source), figures in groups.items():
        cells: list[Cell | None] = []
        for column in columns:
            found = figures.get((column.task, column.metric))
            cells.append(None if found is None else _published_cell(found))
        which = told.get((model, source))
        label = f"{model} ({which})" if which and not beside else model
        label += "" if not beside else f"{PUBLISHED[:-1]}, {which})" if which else PUBLISHED
        rows.append(Row(model, label, cells, published=True))
    return rows


def _source_names(rows: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What tells the rows of one model apart, by (model, source): `Table 4` of two tables of one paper."""
    sources: dict[str, list[str]] = {}
    for model, source in rows:
        sources.setdefault(model_key(model), []).append(source)
    names = {}
    for model, source in rows:
        if len(several := sources[model_key(model)]) > 1:
            alike = [len(set(words)) == 1 for words in zip(*(s.split(" ") for s in several), strict=False)]
            shared = [*alike, False].index(False)
            shared -= shared > 0 and source.split(" ")[shared - 1] == "Table"
            name = " ".join(source.split(" ")[shared:]) or source
            names[model, source] = name if len(name) <= _LONGEST_SOURCE else f"{name[: _LONGEST_SOURCE - 1].rstrip()}…"
    return names


def _published_cell(figure: PublishedScore) -> Cell:
    spread = None
    if figure.sd is not None:
        low, high = figure.value - 1.96 * figure.sd, figure.value + 1.96 * figure.sd
        spread = Interval(max(low, 0.0), min(high, 100.0)) if figure.unit == "%" else Interval(low, high)
    metric = Metric(figure.metric, figure.value, figure.n or 0, figure.unit, interval_run=spread)
    told = f"{figure.model}, {figure.benchmark} {figure.metric} {figure.value:g}: {figure.note}." if figure.note else ""
    return Cell(metric, n=figure.n, source=figure.source, remark=told)


def _order(ours: list[Row], published: list[Row]) -> list[Row]:
    """Each published model followed by our runs of it, then our runs of other models."""
    if not published:
        return sorted(ours, key=lambda row: natural_order(f"{normpath(row.model)} {row.label}"))
    rows: list[Row] = []
    last = {model_key(row.model): i for i, row in enumerate(published)}
    for i, row in enumerate(published):
        key = model_key(row.model)
        rows.append(row)
        if last[key] == i:
            rows += [r for r in ours if model_key(r.model) == key]
    return rows + [r for r in ours if model_key(r.model) not in last]


def _own_details(ours: Sequence[Row], judged: Sequence[PublishedScore]) -> list[str]:
    cells = [cell for row in ours for cell in row.cells if cell is not None]
    notes = [INTERVAL_NOTE] if any(c.bars() for c in cells) else []
    notes += [BEST_NOTE] if any(c.best for c in cells) else []
    if any(c.n == 1 and c.metric.interval_run for c in cells):
        notes.append(BOUND_NOTE)
    if any(c.verdict for c in cells):
        protocols = ", ".join(sorted({row.protocol for row in ours}))
        notes.append(
            f"[z word]: our figure ({protocols}) compared with the published one; z is the difference in run-to-run "
            "standard errors of both. within: no significant difference (in brackets the difference that would be "
            "detected with 80% power). above, below: significant. too few samples: the errors are too large to tell. "
            "n unknown: the source does not give n, and the word depends on it. There is no z if problems or settings "
            "are known to differ."
        )
        notes += _judging_notes(judged)
    return notes


def _judging_notes(judged: Sequence[PublishedScore]) -> list[str]:
    """The assumptions behind the z of published figures."""
    notes = []
    if any(f.n is None and f.unit == "%" for f in judged):
        fewest, most = SAMPLES_ASSUMED
        notes.append(
            f"If the source does not give n, z assumes n = {fewest}. The word is given only if it is the same for "
            f"n = {most}; otherwise it is n unknown."
        )
    if silent := sorted({f.source for f in judged if not f.protocol and not f.settings}):
        notes.append(f"The settings of {', '.join(silent)} are not known; z assumes that they equal ours.")
    if any(f.unit == "rating" for f in judged):
        notes.append(
            "CodeForces: z assumes that the source's contests are as hard as ours; the paper does not name them."
        )
    return notes


def _consensus_note(ours: Sequence[Row], columns: Sequence[Column], place: int) -> str:
    """Why a run has no figure under cons@k: with fewer samples the majority vote is a different metric."""
    column = columns[place]
    k = column.metric.removeprefix("cons@")
    own = [j for j, c in enumerate(columns) if c.task == column.task and c.metric == "pass@1"]
    fewer = {cell.n for row in ours for j in own if row.cells[place] is None and (cell := row.cells[j]) and cell.n}
    if k == column.metric or not (less := sorted(n for n in fewer if n < int(k))):
        return ""
    had = f"{less[0]}" if len(less) == 1 else f"{less[0]} to {less[-1]}"
    return f"{column.heading} needs {k} samples per problem; runs with n = {had} have no figure in that column."


def _figure_details(published: Sequence[PublishedScore]) -> list[str]:
    if any(f.sd is not None for f in published):
        return ["± of a published figure: 1.96 times its standard deviation between single runs."]
    return []
