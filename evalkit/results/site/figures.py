"""The numbers of the site: the leaderboard, each run's settings and metrics, comparisons of pairs."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.results.compare import compare
from evalkit.results.entries import Entry
from evalkit.results.formats.notes import Note, notes_of, with_marks
from evalkit.results.formats.table import Cell, Table
from evalkit.results.leaderboard import draft_table
from evalkit.results.metrics import error_bars, metric_text
from evalkit.results.published import load_published, model_key
from evalkit.results.table_options import TableOptions, choose_published
from evalkit.store.lines import read_checked
from evalkit.store.run import RunDirectory, RunRecord
from evalkit.types import Metric

_MOST_PAIRS = 66  # of 12 runs
_LONGEST_SETTING = 400


def finite(value: Any) -> Any:
    """`value` with null where a number is not finite, which JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def leaderboard_records(
    entries: Sequence[Entry], published: Sequence[str], notes: Sequence[str], runs: Mapping[Path, str]
) -> dict[str, Any]:
    """The leaderboard as the page draws it; `run` of a row is its position in `runs`, None for a published row.

    `runs` has the name of each run. Each note comes with what it tells of (`Note`), so that the page can leave it out.
    The published rows are those that `evalkit leaderboard --published` shows. `more` is true of the others of the same
    tables, which the page shows if it is asked to. Of imported runs the harness's own figure is a column.
    """
    figures = choose_published(TableOptions(published=tuple(published)), entries)
    first = {(figure.model, figure.source) for figure in figures}
    others = [f for name in published if ":" not in name for f in load_published(name)]
    figures += [f for f in others if (f.model, f.source) not in first]
    if not entries and not figures:
        return {"columns": [], "rows": [], "caption": "", "notes": [asdict(Note(note)) for note in notes]}
    peer = ("peer",) if any(entry.report.metric("peer") for entry in entries) else ()
    table = with_marks(replace(draft_table(entries, figures, peer, notes), verbose=True))
    titles = table.titles()
    return {
        "columns": [{**asdict(column), "short": titles[column.title]} for column in table.columns],
        "rows": list(_rows(table, runs, {model for model, _ in first})),
        "caption": table.caption,
        "notes": [asdict(note) for note in (*_option_notes(table), *notes_of(table))],
    }


def _option_notes(table: Table) -> Iterator[Note]:
    """What the short title of a benchmark leaves out."""
    for title, short in table.titles().items():
        if title != short:
            yield Note(f"{title}.", columns=tuple(i for i, c in enumerate(table.columns) if c.title == title))


def _rows(table: Table, runs: Mapping[Path, str], first: Collection[str]) -> Iterator[dict[str, Any]]:
    """Each row with the position of its run, under the name that the other pages have for it."""
    places = {str(path): place for place, path in enumerate(runs)}
    names = {str(path): name for path, name in runs.items()}
    for row in table.rows:
        yield {
            "model": row.model,
            "label": names.get(row.where, row.label),
            "protocol": row.protocol,
            "published": row.published,
            "more": row.published and row.model not in first,
            "kin": model_key(row.model),
            "run": places.get(row.where),
            "cells": [None if cell is None else _cell(cell) for cell in row.cells],
        }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **metric_record(cell.metric),
        "basis": cell.basis(),
        "mark": cell.mark,
        "best": cell.best,
        "comparison": cell.comparison() or cell.not_compared,
        "source": cell.source,
    }


def metric_record(metric: Metric) -> dict[str, Any]:
    """A metric with its value as text and its half-widths as text."""
    return {
        "name": metric.name,
        "value": metric.value,
        "text": metric_text(metric),
        "unit": metric.unit,
        "bars": error_bars(metric),
        "run": metric.interval_run,
        "problems": metric.interval_problems,
        "n": metric.n,
        "note": metric.note,
    }


def run_record(run: RunDirectory, record: RunRecord, label: str) -> dict[str, Any]:
    """One run's name in the page, its settings, its environment and how fast it was."""
    content = record.content
    settings = [
        *_flat("protocol", {k: v for k, v in record.protocol.items() if k not in ("prompts", "n", "options")}),
        *_flat("engine", record.engine),
        *_flat("", {k: v for k, v in content["identity"].items() if k not in ("protocol", "engine")}),
    ]
    return {
        "model": record.model,
        "name": run.path.name,
        "label": label,
        "protocol": record.protocol_name,
        "evalkit": content.get("evalkit"),
        "settings": settings,
        "environment": list(_flat("", record.environment)),
        "imported": list(_flat("", content["imported"])) if isinstance(content.get("imported"), dict) else [],
        "throughput": list(_throughput(run.path / "throughput.jsonl")),
    }


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield name, text if len(text) <= _LONGEST_SETTING else f"{text[:_LONGEST_SETTING]}…"


def _throughput(path: Path) -> Iterator[dict[str, Any]]:
    """Each execution's figures. A damaged line says nothing of the results, so that it is left out."""
    try:
        for _, line in read_checked(path):
            found = json.loads(line)
            if isinstance(found, dict):
                yield {k: v for k, v in found.items() if k != "crc"}
    except (EvalkitError, OSError, ValueError):
        return


def report_record(entry: Entry) -> dict[str, Any]:
    """The figures of one complete task of one run."""
    report = entry.report
    return {
        "metrics": [metric_record(metric) for metric in report.metrics],
        "headlines": report.headlines,
        "truncation": report.truncation_rate,
        "tokens": asdict(report.tokens) if report.tokens is not None else None,
        "subset": entry.subset,
        "disputes": asdict(report.disputes) if report.disputes is not None else None,
        "disputesText": str(report.disputes) if report.disputes is not None else "",
    }


def comparison_records(entries: Sequence[Entry], runs: Sequence[Path]) -> tuple[list[dict[str, Any]], int]:
    """Every pair of runs on the tasks that both have, and the number of pairs left out where there are too many."""
    by_run: dict[Path, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run, []).append(entry)
    pairs = list(combinations(by_run, 2))
    found = []
    for a, b in pairs[:_MOST_PAIRS]:
        shared = {e.report.task for e in by_run[a]} & {e.report.task for e in by_run[b]}
        first, second = ([e for e in by_run[run] if e.report.task in shared] for run in (a, b))
        try:
            compared = compare(first, second, True, 0.02) if shared else []
        except EvalkitError as error:
            found.append({"a": runs.index(a), "b": runs.index(b), "error": error.message, "tasks": []})
            continue
        if compared:
            tasks = []
            for one in compared:
                title = f"{one.title} ({one.subset})" if one.subset else one.title
                result = asdict(replace(one.result, by_problem=()))
                tasks.append({
                    "task": one.task, "title": title, "p": one.result.p_value, "adjusted": one.adjusted_p,
                    "problems": len(one.result.by_problem), "differences": one.differences, "leftOut": one.left_out,
                    **{k: result[k] for k in ("difference", "interval_run", "interval_problems", "a", "b")},
                })  # fmt: skip
            found.append({"a": runs.index(a), "b": runs.index(b), "error": "", "tasks": tasks})
    return found, max(len(pairs) - _MOST_PAIRS, 0)
