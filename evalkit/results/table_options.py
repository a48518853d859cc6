"""Which rows and columns a table shows, in which order and under which names: from options or a small TOML file."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, cast, get_args

from evalkit.benchmark.registry import did_you_mean
from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, load_entries, natural_order
from evalkit.results.formats.notes import finished
from evalkit.results.formats.table import Column, Row, Table
from evalkit.results.labels import fits
from evalkit.results.leaderboard import PUBLISHED, draft_table
from evalkit.results.published import PublishedScore, load_published, model_key

Rows = Literal["both", "ours", "published"]
_OTHERS = "others"
STUDENTS = "DeepSeek-R1-Distill-*"  # the paper's students: shown beside models that no published row names


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The content of a table; each field is a key of the TOML file, and an option of `evalkit leaderboard`.

    `runs`: results folders or run directories. `published`: names of published tables or CSV files; `NAME:PATTERN`
    takes the models that fit, `NAME:*` all of them. `models`, `order`: names or patterns (`DeepSeek-*`) of models, run
    folders or labels; `order` may also be `["score"]` (by the first column) or `["name"]`. `tasks`: `aime24`, or
    `aime24:cons@64` for one column of it. `labels`: a run's or model's name, and the one to show. `groups`: a heading,
    and the patterns of its rows. A group without patterns takes the rows whose model or folder has that word in its
    name. `metrics` adds columns. `title` and `label` are the caption and the label of a LaTeX or Typst table.
    """

    runs: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    rows: Rows = "both"
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    title: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if self.rows not in get_args(Rows):
            raise EvalkitError(f"rows is {self.rows!r}.", f"it is one of {', '.join(get_args(Rows))}.")
        if self.label and not re.fullmatch(r"[A-Za-z0-9:._-]+", self.label):
            raise EvalkitError(f"{self.label!r} cannot be a label.", "use letters, digits and : . _ -, as in tab:r1.")


def load_options(path: Path) -> TableOptions:
    """The options in a TOML file. Paths in it are relative to its folder.

    Raises EvalkitError if the file cannot be read or has an unknown key or a value of another type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EvalkitError(f"{path} cannot be read: {error}.", "write it as docs/tables.md shows.") from error
    known = [f.name for f in fields(TableOptions)]
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            raise EvalkitError(
                f"{path} has an unknown key {key!r}.{did_you_mean(key, known)}", f"the keys are {', '.join(known)}."
            )
        values[key] = _checked(key, value, path)
    folder = path.parent
    for key in ("runs", "published"):
        inside = [str(folder / name) if _is_path(key, name, folder) else name for name in values.get(key, ())]
        values[key] = tuple(inside)
    return TableOptions(**values)


def _is_path(key: str, name: str, folder: Path) -> bool:
    return not Path(name).is_absolute() and (key == "runs" or name.split(":")[0].endswith(".csv"))


def _checked(key: str, value: Any, path: Path) -> Any:
    def strings(found: Any) -> bool:
        return isinstance(found, list) and all(isinstance(item, str) for item in found)

    if key in ("rows", "title", "label"):
        fitting, form = isinstance(value, str), "a string"
    elif key == "labels":
        fitting, form = isinstance(value, dict) and all(isinstance(v, str) for v in value.values()), "names of names"
    elif key == "groups":
        fitting, form = isinstance(value, dict) and all(map(strings, value.values())), "lists of patterns by name"
        value = {name: tuple(patterns) for name, patterns in value.items()} if fitting else value
    else:
        fitting, form = strings(value), "a list of strings"
        value = tuple(value) if fitting else value
    if not fitting:
        raise EvalkitError(f"{key} in {path} is {value!r}.", f"it has to be {form}, see docs/tables.md.")
    return value


def build(options: TableOptions, entries: Sequence[Entry], notes: Sequence[str] = (), verbose: bool = False) -> Table:
    """The table of `entries` and of the published figures that `options` names.

    Raises EvalkitError if a pattern fits nothing, so that no row or column is missing unnoticed.
    """
    ours = _own_entries(entries, options)
    figures = choose_published(options, ours)
    if options.rows == "ours":
        judged = {model_key(e.report.model) for e in ours}
        figures = [f for f in figures if model_key(f.model) in judged]
    tasks = {name.partition(":")[0] for name in options.tasks}
    if tasks:
        if not ours and not figures:
            raise _no_row()
        known = list(dict.fromkeys([*(e.report.task for e in ours), *(f.column[0] for f in figures)]))
        titles = {*known, *(e.report.title for e in ours), *(f.benchmark for f in figures)}
        for name in options.tasks:
            if name.partition(":")[0] not in titles:
                raise _no_column(name, known, known)
        ours = [e for e in ours if tasks & {e.report.task, e.report.title}]
        figures = [f for f in figures if f.column[0] in tasks or f.benchmark in tasks]
    present = {e.run for e in ours}
    labels = {k: v for k, v in options.labels.items() if any(fits(k, run, *_models(ours, run)) for run in present)}
    table = draft_table(ours, figures, options.metrics, notes, labels)
    table = _relabelled(table, {k: v for k, v in options.labels.items() if k not in labels})
    table = _with_columns(table, options.tasks)
    rows = [row for row in table.rows if options.rows == "both" or row.published == (options.rows == "published")]
    rows = _plainly_named(_grouped(_ordered(rows, options.order), options.groups))
    if not rows:
        raise _no_row()
    return finished(replace(table, rows=rows, title=options.title, label=options.label, verbose=verbose))


def _models(entries: Sequence[Entry], run: Path) -> list[str]:
    return [e.report.model for e in entries if e.run == run]


def _own_entries(entries: Sequence[Entry], options: TableOptions) -> list[Entry]:
    """The entries that `models` names: by their model, folder, or the name that `labels` gives them."""
    if options.rows == "published" and not options.models:
        return []
    if not options.models:
        return list(entries)

    def names(entry: Entry) -> list[str]:
        given = [label for key, label in options.labels.items() if fits(key, entry.run, entry.report.model)]
        return [entry.report.model, *given]

    return [e for e in entries if any(fits(pattern, e.run, *names(e)) for pattern in options.models)]


def choose_published(options: TableOptions, ours: Sequence[Entry]) -> list[PublishedScore]:
    """The published figures to show.

    Those asked for (`NAME:PATTERN`, or `models`). Else, where there are runs of ours, those with the names of our
    models, and where there are none of these, the paper's students. A table that is asked for alone is shown whole.
    """
    found: list[PublishedScore] = []
    own = {model_key(e.report.model) for e in ours}
    for source in options.published:
        name, pattern = _source(source)
        every = load_published(name)
        if pattern:
            chosen = [f for f in every if _named(f, [pattern])]
        elif options.models and any(_named(f, options.models) for f in every):
            chosen = [f for f in every if _named(f, options.models)]
        elif not ours:
            chosen = every
        else:
            chosen = [f for f in every if model_key(f.model) in own]
            chosen = chosen or [f for f in every if _named(f, [STUDENTS])] or every
        if not chosen:
            models = ", ".join(dict.fromkeys(f.model for f in every))
            raise EvalkitError(f"The table {name} has no model {pattern!r}.", f"it has: {models}.")
        found += chosen
    return found


def _source(text: str) -> tuple[str, str]:
    """`deepseek-r1:o1-*` as a table's name and a pattern."""
    found = re.fullmatch(r"(?P<name>.*?\.csv|[^:]*)(?::(?P<pattern>.*))?", text)
    assert found is not None
    return found["name"], found["pattern"] or ""


def _named(figure: PublishedScore, patterns: Sequence[str]) -> bool:
    names = (figure.model.lower(), figure.model.split("/")[-1].lower())
    return any(fnmatchcase(name, pattern.lower()) for name in names for pattern in patterns)


def _relabelled(table: Table, labels: Mapping[str, str]) -> Table:
    """The labels that name published rows. Raises EvalkitError if one names no row."""
    rows = list(table.rows)
    for key, label in labels.items():
        found = [i for i, row in enumerate(rows) if row.published and fnmatchcase(row.model.lower(), key.lower())]
        if not found:
            known = ", ".join(dict.fromkeys(row.label for row in rows))
            raise EvalkitError(f"There is no run or model {key!r} to be labelled {label!r}.", f"there are: {known}.")
        for i in found:
            rows[i] = replace(rows[i], label=label)
    return replace(table, rows=rows)


def _with_columns(table: Table, wanted: Sequence[str]) -> Table:
    """The columns in the order of `wanted`. Raises EvalkitError if one is not there."""
    if not wanted:
        return table
    chosen: dict[int, None] = {}
    for name in wanted:
        task, _, metric = name.partition(":")
        found = [i for i, c in enumerate(table.columns) if _is_column(c, task, metric)]
        if not found:
            known = [f"{c.task}:{c.metric}" for c in table.columns]
            raise _no_column(name, [c.task for c in table.columns], known)
        chosen.update(dict.fromkeys(found))
    rows = [replace(row, cells=[row.cells[i] for i in chosen]) for row in table.rows]
    return replace(table, columns=[table.columns[i] for i in chosen], rows=rows)


def _no_row() -> EvalkitError:
    return EvalkitError("The table has no row.", "check rows, models and the published tables.")


def _no_column(name: str, tasks: Sequence[str], known: Sequence[str]) -> EvalkitError:
    there_are = ", ".join(known) or "none"
    return EvalkitError(f"There is no column {name!r}.{did_you_mean(name, tasks)}", f"there are: {there_are}.")


def _is_column(column: Column, task: str, metric: str) -> bool:
    return task in (column.task, column.title) and metric in ("", column.metric)


def _ordered(rows: list[Row], order: Sequence[str]) -> list[Row]:
    if not order:
        return rows
    if list(order) == ["name"]:
        return sorted(rows, key=lambda row: natural_order(row.label))
    if list(order) == ["score"]:
        return sorted(rows, key=lambda row: -cell.value if (cell := row.cells[0]) is not None else float("inf"))

    def place(row: Row) -> int:
        return next((i for i, pattern in enumerate(order) if _fits_row(pattern, row)), len(order))

    for pattern in order:
        if not any(_fits_row(pattern, row) for row in rows):
            raise EvalkitError(
                f"No row fits {pattern!r}, which stands in the order.",
                f"there are: {', '.join(dict.fromkeys(row.label for row in rows))}; or order by score or name.",
            )
    return sorted(rows, key=place)


def _fits_row(pattern: str, row: Row) -> bool:
    return fits(pattern, Path(row.where or row.model), row.model, row.label)


def _grouped(rows: list[Row], groups: Mapping[str, tuple[str, ...]]) -> list[Row]:
    """The rows under their groups' names, in the order of the groups; rows of no group come last."""
    if not groups:
        return rows

    def group(row: Row) -> str:
        for name, patterns in groups.items():
            if any(_fits_row(p, row) for p in patterns) or (not patterns and _has_word(row, name)):
                return name
        return _OTHERS

    for name, patterns in groups.items():
        for pattern in patterns:
            if not any(_fits_row(pattern, row) for row in rows):
                raise EvalkitError(f"No row fits {pattern!r} of the group {name!r}.", _rows_hint(rows))
        if not patterns and not any(_has_word(row, name) for row in rows):
            hint = "give patterns: --group students='student-*', or [groups]."
            raise EvalkitError(f"No row is in the group {name!r}.", hint)
    named = [replace(row, group=group(row)) for row in rows]
    places = [*groups, _OTHERS]
    return sorted(named, key=lambda row: places.index(row.group))


def _rows_hint(rows: Sequence[Row]) -> str:
    return f"the rows are {', '.join(dict.fromkeys(row.model for row in rows[:8]))}{' …' if len(rows) > 8 else ''}."


def _plainly_named(rows: list[Row]) -> list[Row]:
    """The rows without `(published)` behind their names where their group's name says so already."""
    return [
        replace(row, label=row.label.removesuffix(PUBLISHED).replace(f"{PUBLISHED[:-1]}, ", " ("))
        if row.group.lower() == PUBLISHED.strip(" ()")
        else row
        for row in rows
    ]


def _has_word(row: Row, word: str) -> bool:
    """Whether a row's model, label or folders have a word of that name: `students` is in `student-distilled` too."""
    words = set(re.split(r"[^a-z0-9]+", f"{row.model} {row.label} {row.where}".lower()))
    wanted = word.lower()
    return bool(words & {wanted, wanted.removesuffix("s"), f"{wanted}s"})


def merged(options: TableOptions, given: Mapping[str, Any]) -> TableOptions:
    """`options` with what was given on the command line in its place."""
    return replace(options, **cast(dict[str, Any], {key: value for key, value in given.items() if value}))


def published_beside(source: str, runs: Sequence[Path]) -> list[PublishedScore]:
    """The published figures of `source` to show beside these runs, as `choose_published` chooses them."""
    return choose_published(TableOptions(published=(source,)), load_entries(runs)[0])
