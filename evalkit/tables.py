"""Many reports, and published figures, in one table in the shape of the paper's."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.errors import RunIncompleteError
from evalkit.formats.table import Cell, Column, Row, Table
from evalkit.published import PAPER, Figure, load_published, model_key, reproduced
from evalkit.report import Report, load_report, refresh_reports, stored_report
from evalkit.stats import holm, sign_flip_test
from evalkit.store import RunDirectory, find_runs
from evalkit.types import Metric

CAPTION = (
    "Percent unless it is a rating. After each figure its 95% half-widths: run to run (the same problems, new "
    "samples), then over problems (other problems of the same kind, clustered by problem). n: samples a problem; cut: "
    "share of completions stopped at the token limit, counted as they score."
)
BEST_NOTE = "bold: best of the column; *: better than the next best (paired permutation test, p < 0.05 after Holm)."
BOUND_NOTE = "n=1: the run-to-run error cannot be estimated from one sample a problem; its upper bound stands there."
_MARKS = "†‡§¶"


@dataclass(frozen=True, slots=True)
class Entry:
    """One task of one run: its report, all the settings that change its numbers by name, its data sets' names."""

    run: Path
    report: Report
    settings: Mapping[str, Any]
    hub_ids: tuple[str, ...] = ()


def load_entries(paths: Iterable[Path]) -> tuple[list[Entry], list[str]]:
    """Every complete task below `paths`, and a line for each one that is not complete.

    Raises EvalkitError where there is no run, where a run is damaged, or where none is complete.
    """
    runs = dict.fromkeys(run for path in paths for run in find_runs(path))
    asked = {
        (run, name): description
        for run in sorted(runs, key=lambda run: natural_order(str(run.path)))
        for description in (run.describe(),)
        for name in description["tasks"]
    }
    reports = {(run, name): stored_report(run, name, d["tasks"][name]) for (run, name), d in asked.items()}
    refresh_reports([key for key, report in reports.items() if report is None])
    entries: list[Entry] = []
    incomplete: list[str] = []
    for (run, name), description in asked.items():
        try:
            report = reports[run, name] or load_report(run, name, description["tasks"][name])
        except RunIncompleteError as error:
            incomplete.append(f"not shown: {error.message}")
            continue
        data = description["tasks"][name]["identity"].get("data", [])
        hub_ids = tuple(d["hub_id"] for d in data)
        entries.append(Entry(run.path, report, _settings(description, name), hub_ids))
    if not entries:
        detail = incomplete[0].removeprefix("not shown: ") if incomplete else "There is no task in any run."
        raise RunIncompleteError(f"No run is complete. {detail}", "give the command that began it again.")
    return entries, incomplete


def natural_order(text: str) -> list[tuple[int, str]]:
    """A sort key that puts checkpoint-500 before checkpoint-1000."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", text) if part]


def _settings(description: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What two runs have to share for their figures of a task to stand in one column."""
    asked, shared = description["tasks"][name], description["identity"]["protocol"]
    settings = {k: v for k, v in shared.items() if k != "name"}
    settings.update(asked["identity"].get("sampling", {}))
    settings.update({k: v for k, v in asked["identity"].items() if k not in ("sampling", "data")})
    settings["data"] = [d.get("fingerprint") for d in asked["identity"].get("data", [])]
    ids = json.dumps(sorted(asked["problem_ids"])).encode()
    settings["problems"] = f"{len(asked['problem_ids'])} ({hashlib.sha256(ids).hexdigest()[:8]})"
    return settings


def setting_differences(settings: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """`temperature 0.7 instead of 0.6` for each setting that differs."""
    told = []
    for key in sorted(settings.keys() | reference.keys()):
        ours, theirs = settings.get(key), reference.get(key)
        if ours == theirs:
            continue
        short = len(f"{ours}{theirs}") < 60 and not isinstance(ours, list | dict)
        told.append(f"{key} {ours} instead of {theirs}" if short else f"another {key}")
    return told


def build_table(
    entries: Sequence[Entry],
    published: Sequence[Figure] = (),
    metrics: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Table:
    """The table: the paper's columns first, then the others; published rows with ours below them.

    `metrics` adds columns, such as `pass@8`, for every task that has them.
    """
    columns = _columns(entries, published, metrics)
    runs: dict[Path, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    marks, mark_notes = _protocol_marks(entries, columns)
    theirs = {(model_key(f.model), f.column): f for f in reversed(published)}
    names = Counter(tasks[0].report.model for tasks in runs.values())
    ours = []
    for path, tasks in runs.items():
        report = tasks[0].report
        label = report.model if names[report.model] == 1 else f"{report.model} ({path.name})"
        by_task = {t.report.task: t for t in tasks}
        cells = [_cell(by_task.get(c.task), c, theirs, marks) for c in columns]
        ours.append(Row(report.model, label, cells, path.name, report.protocol))
    ours = _with_best(ours, columns, runs)
    caption = CAPTION if ours else "Percent unless it is a rating; published figures."
    notes = [*_own_notes(ours, published), *mark_notes, *_figure_notes(published), *notes]
    return Table(columns, _order(ours, _published_rows(published, columns)), caption, notes)


def _columns(entries: Sequence[Entry], published: Sequence[Figure], metrics: Sequence[str]) -> list[Column]:
    """The columns that have a figure, in the paper's order, each once."""
    titles = {f.column[0]: f.benchmark for f in load_published(PAPER)} | {f.column[0]: f.benchmark for f in published}
    titles |= {e.report.task: e.report.title for e in entries}
    had = {(e.report.task, m.name) for e in entries for m in e.report.metrics}
    wanted: list[tuple[str, str]] = [f.column for f in load_published(PAPER)]
    wanted += [f.column for f in published]
    wanted += [(e.report.task, "pass@1") for e in entries]
    wanted += [(e.report.task, m.name) for e in entries for m in e.report.metrics if m.unit != "%" or m.name in metrics]
    had |= {f.column for f in published}
    return [Column(task, titles[task], metric) for task, metric in dict.fromkeys(wanted) if (task, metric) in had]


def _cell(
    entry: Entry | None,
    column: Column,
    theirs: Mapping[tuple[str, tuple[str, str]], Figure],
    marks: Mapping[tuple[Path, str], str],
) -> Cell | None:
    metric = entry.report.metric(column.metric) if entry is not None else None
    if entry is None or metric is None:
        return None
    report = entry.report
    cell = Cell(
        value=metric.value,
        unit=_unit(metric),
        interval_run=metric.interval_run,
        interval_problems=metric.interval,
        n=report.n,
        problems=report.problems,
        truncated=report.truncation_rate,
        errors=report.statuses["error"],
        mark=marks.get((entry.run, report.task), ""),
    )
    figure = theirs.get((model_key(report.model), (column.task, column.metric)))
    if figure is None:
        return cell
    verdict = reproduced(metric, report.n, figure)
    return replace(cell, z=verdict.z, verdict=verdict.word)


def _unit(metric: Metric) -> str:
    return "rating" if metric.name == "rating" else metric.unit


def _protocol_marks(
    entries: Sequence[Entry], columns: Sequence[Column]
) -> tuple[dict[tuple[Path, str], str], list[str]]:
    """A mark for each task of a run whose settings are not those that most runs of that task have."""
    marks: dict[tuple[Path, str], str] = {}
    notes: dict[str, str] = {}
    for task in dict.fromkeys(c.task for c in columns):
        of_task = [e for e in entries if e.report.task == task]
        if not of_task:
            continue
        keys = [json.dumps(e.settings, sort_keys=True, default=str) for e in of_task]
        counts = Counter(keys)
        usual = max(zip(of_task, keys, strict=True), key=lambda ek: (counts[ek[1]], ek[0].report.protocol == PAPER))
        for entry, key in zip(of_task, keys, strict=True):
            if key == usual[1]:
                continue
            told = "; ".join(setting_differences(entry.settings, usual[0].settings))
            name = entry.report.protocol
            note = f"protocol {name}, not {usual[0].report.protocol}: {told}" if told else f"protocol {name}"
            if note not in notes:
                notes[note] = _MARKS[len(notes)] if len(notes) < len(_MARKS) else f"[{len(notes) + 1}]"
            marks[entry.run, task] = notes[note]
    return marks, [f"{mark} {note}." for note, mark in notes.items()]


def _with_best(rows: list[Row], columns: Sequence[Column], runs: Mapping[Path, Sequence[Entry]]) -> list[Row]:
    """Mark each column's best figure among runs of the usual protocol, and where it beats the next beyond chance."""
    values = {(e.run.name, e.report.model, e.report.task): e.report.values for tasks in runs.values() for e in tasks}
    best: dict[int, int] = {}
    tests: list[tuple[int, float]] = []
    for i, column in enumerate(columns):
        ranked = [(cell.value, r) for r, row in enumerate(rows) if (cell := row.cells[i]) is not None and not cell.mark]
        if len(ranked) < 2:
            continue
        ranked.sort(key=lambda pair: -pair[0])
        best[i] = ranked[0][1]
        first, second = (values[rows[r].run, rows[r].model, column.task] for _, r in ranked[:2])
        if column.metric == "pass@1" and first.keys() == second.keys():
            tests.append((i, sign_flip_test([second[k] for k in first], list(first.values()))))
    adjusted = dict(zip([i for i, _ in tests], holm([p for _, p in tests]), strict=True))
    marked = []
    for r, row in enumerate(rows):
        cells = [
            replace(cell, best=True, significant=adjusted.get(i, 1.0) < 0.05) if cell and best.get(i) == r else cell
            for i, cell in enumerate(row.cells)
        ]
        marked.append(replace(row, cells=cells))
    return marked


def _published_rows(published: Sequence[Figure], columns: Sequence[Column]) -> list[Row]:
    """One row for each model and source, in the table's order."""
    groups: dict[tuple[str, str], dict[tuple[str, str], Figure]] = {}
    for figure in published:
        groups.setdefault((figure.model, figure.source), {}).setdefault(figure.column, figure)
    rows = []
    for (model, _), figures in groups.items():
        cells: list[Cell | None] = []
        for column in columns:
            found = figures.get((column.task, column.metric))
            cells.append(None if found is None else _published_cell(found))
        rows.append(Row(model, f"{model} (published)", cells, published=True))
    return rows


def _published_cell(figure: Figure) -> Cell:
    spread = None if figure.sd is None else (figure.value - 1.96 * figure.sd, figure.value + 1.96 * figure.sd)
    return Cell(figure.value, figure.unit, interval_run=spread, n=figure.n, source=figure.source)


def _order(ours: list[Row], published: list[Row]) -> list[Row]:
    """Each published model followed by our runs of it; runs of other models after them."""
    if not published:
        return sorted(ours, key=lambda row: natural_order(row.label))
    rows: list[Row] = []
    last = {model_key(row.model): i for i, row in enumerate(published)}
    for i, row in enumerate(published):
        key = model_key(row.model)
        rows.append(row)
        if last[key] == i:
            rows += [r for r in ours if model_key(r.model) == key]
    return rows + [r for r in ours if model_key(r.model) not in last]


def _own_notes(ours: Sequence[Row], published: Sequence[Figure]) -> list[str]:
    cells = [cell for row in ours for cell in row.cells if cell is not None]
    notes = [BEST_NOTE] if any(c.best for c in cells) else []
    if any(c.n == 1 and c.interval_run for c in cells):
        notes.append(BOUND_NOTE)
    if any(c.verdict for c in cells):
        protocols = ", ".join(sorted({row.protocol for row in ours}))
        notes.append(
            f"[z word]: ours ({protocols}) against the published figure, in run-to-run standard errors of both: "
            "within, above, below, or too few samples to say."
        )
    return notes


def _figure_notes(published: Sequence[Figure]) -> list[str]:
    notes = [f"published: {source}." for source in dict.fromkeys(f.source for f in published)]
    told = [f for f in published if f.note]
    notes += [f"{f.model}, {f.benchmark} {f.metric} {f.value:g}: {f.note}." for f in told[:20]]
    if any(f.sd is not None for f in published):
        notes.append("± of a published figure: 1.96 times its standard deviation between single runs.")
    return notes


def leaderboard(dirs: str | Path | Sequence[str | Path]) -> Any:
    """The leaderboard of run directories as a pandas DataFrame, one row a figure; columns as in the CSV format.

    Raises EvalkitError as the command does.
    """
    import pandas as pd

    paths = [Path(d) for d in ([dirs] if isinstance(dirs, str | Path) else dirs)]
    entries, notes = load_entries(paths)
    return pd.DataFrame(list(build_table(entries, notes=notes).records()))


def load_results(path: str | Path) -> Any:
    """Every sample below `path` as a pandas DataFrame, one row a completion, scores beside it.

    Columns: model, run, protocol, task, problem_id, sample_index, status, value, answer, finish_reason,
    prompt_tokens, completion_tokens, seconds, text. A completion without a score has None there.
    Raises EvalkitError where there is no run or where one is damaged.
    """
    import pandas as pd

    rows = [row for run in find_runs(Path(path)) for row in _samples(run)]
    return pd.DataFrame(rows)


def _samples(run: RunDirectory) -> Iterable[dict[str, Any]]:
    description = run.describe()
    shared = {
        "model": description["model"],
        "run": run.path.name,
        "protocol": description["identity"]["protocol"]["name"],
    }
    for name in description["tasks"]:
        store = run.task(name)
        scores = {score.key: score for score, _ in store.scores()}
        completions = {c.key: c for c in store.completions()}  # a later one replaces what a fault spoilt
        for key, completion in completions.items():
            score = scores.get(key)
            yield {
                **shared,
                **key._asdict(),
                "status": score.status if score else None,
                "value": score.value if score else None,
                "answer": score.answer if score else None,
                "finish_reason": completion.finish_reason,
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "seconds": completion.seconds,
                "text": completion.text,
            }
