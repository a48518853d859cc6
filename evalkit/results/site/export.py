"""Writes the site of a set of runs, and brings it up to date while they go on."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.errors import DamagedError, EvalkitError, RunIncompleteError
from evalkit.results.entries import Entry, damage_note, load_entries, natural_order
from evalkit.results.labels import named_runs
from evalkit.results.site.damage import LeftOut
from evalkit.results.site.feed import FLAGS, Feed
from evalkit.results.site.figures import comparison_records, finite, leaderboard_records, report_record, run_record
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pictures import bars_picture, task_pictures
from evalkit.results.site.pieces import BUCKETS, encoded, write_file, write_grams, write_piece
from evalkit.results.site.problems import ProblemSets, prompt_messages
from evalkit.results.site.tables import dispute_records, distillation_page, fidelity_pages
from evalkit.results.site.texts import write_texts
from evalkit.store.folders import find_runs, runs_without_record
from evalkit.store.run import RunDirectory, RunRecord, TaskRun
from evalkit.types import STATUSES

SITE_SCHEMA = 1
_MARKER = "evalkit-site"  # a file that says: this folder is a site and may be replaced
_LEAST_INDEXED = 8  # pieces: fewer are read sooner than an index
_MOST_RUN_PICTURES = 16  # tasks of runs


@dataclass(slots=True)
class Site:
    """A site in `folder`. `refresh` writes what has changed; `version` counts the times that something had.

    With `live` the index of 4-grams is left out, since pieces keep coming, and pages ask for newer data.
    """

    folder: Path
    options: SiteOptions
    live: bool = False
    version: int = 0
    problems: ProblemSets = field(init=False)
    grams: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    runs: list[RunDirectory] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    _drawn: dict[str, tuple[Any, list[dict[str, Any]]]] = field(default_factory=dict)
    _described: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self.problems = ProblemSets(self.options)

    def refresh(self, told: Callable[[str], None] = lambda text: None) -> bool:
        """Read what has been added to the runs and write the site's data. Returns whether anything had changed.

        What is damaged is left out and told. Raises EvalkitError where there is no run or nothing is left.
        """
        found = _runs_of(self.options)
        described = tuple((run.path, run.description_path.stat().st_mtime_ns) for run in found)
        mended = self.left_out.forget_mended()
        if described == self._described and not mended and not any(feed.changed() for feed in self.feeds):
            return False
        self._described = described
        try:
            self._find_feeds(found)
            self._read(told)
            self.version += 1
            self._write()
        except DamagedError:
            known = set(self.left_out.tasks)
            if not self.left_out.add_damaged([feed.task for feed in self.feeds]):
                raise
            for key in self.left_out.tasks.keys() - known if self.live else ():  # else they are among the notices
                told(self.left_out.tasks[key][0])
            self._begin_again()
            return self.refresh(told)
        return True

    def _begin_again(self) -> None:
        """Forget everything that was read, since the numbers of pieces and feeds follow from all of it."""
        self.problems = ProblemSets(self.options)
        self.grams.clear()
        self.feeds.clear()
        self._drawn.clear()
        self._described = ()

    def _read(self, told: Callable[[str], None]) -> None:
        """Write the texts of what has been added."""
        changed = [feed for feed in self.feeds if feed.changed()]
        for feed in changed:
            told(f"reading {feed.task}")
        for piece in write_texts(self.folder, [feed.source() for feed in changed], self.pieces):
            for sample in piece.samples:
                self.feeds[sample.feed].take(sample, piece.number)
            for number, part in piece.parts:
                self.feeds[number].has_read(part)
            self.grams.append(piece.grams if piece.grams is not None else np.zeros(BUCKETS // 8, np.uint8))

    @property
    def pieces(self) -> int:
        """How many pieces there are; one whose texts were all left out is not on disk."""
        return len(self.grams)

    def _find_feeds(self, found: list[RunDirectory]) -> None:
        self.runs, tasks = self._readable(found)
        known = {(feed.task.directory.path, feed.task.name): feed for feed in self.feeds}
        for run in self.runs:
            for task in tasks[run.path]:
                before = known.get((run.path, task.name))
                if before is not None:
                    before.task = task  # n and the problems may have grown
                    self.problems.of(task)
                else:
                    number = self.problems.of(task)
                    self.feeds.append(Feed(len(self.feeds), task, self.problems.sets[number], self.options))

    def _readable(self, found: list[RunDirectory]) -> tuple[list[RunDirectory], dict[Path, list[TaskRun]]]:
        """The runs that can be shown and, by path, their tasks. Raises DamagedError where none can."""
        self.left_out.runs.clear()
        tasks: dict[Path, list[TaskRun]] = {}
        failure = None
        for folder, error in (lost for path in self.options.runs for lost in runs_without_record(path)):
            failure = failure or error
            self.left_out.runs[folder] = damage_note(folder, error)
        for run in found:
            try:
                named = list(run.tasks().values())
            except DamagedError as error:
                failure = failure or error
                self.left_out.runs[run.path] = damage_note(run.path, error)
                continue
            if (kept := [task for task in named if not self.left_out.has(task)]) or not named:
                tasks[run.path] = kept
        if failure is not None and not tasks:
            raise failure
        return [run for run in found if run.path in tasks], tasks

    def _write(self) -> None:
        entries, notes = self._entries()
        paths = [run.path for run in self.runs]
        records = [run.record() for run in self.runs]
        names = named_runs({p: (r.model, r.protocol_name) for p, r in zip(paths, records, strict=True)})
        counts = [feed.write(self.folder) for feed in self.feeds]
        compared, left_out = comparison_records(entries, paths)
        index = {
            "schema": SITE_SCHEMA,
            "version": self.version,
            "live": self.live,
            "statuses": [*STATUSES, "not scored"],
            "flags": FLAGS,
            "pieces": self.pieces,
            "grams": self._write_grams(),
            "notices": self.notices(),
            "runs": [self._run(i, record, names[self.runs[i].path]) for i, record in enumerate(records)],
            "feeds": [self._feed(feed, count, entries) for feed, count in zip(self.feeds, counts, strict=True)],
            "problems": self.problems.write(self.folder),
            "leaderboard": leaderboard_records(entries, self.options.published, notes, names),
            "comparisons": compared,
            "comparisonsLeftOut": left_out,
            "disputes": [d for f in self.feeds for d in dispute_records(f.number, f.task, f.problems.places)],
            "fidelity": fidelity_pages(paths),
            "distillation": distillation_page(self.folder, self.options),
            "pictures": self._pictures(entries),
        }
        write_piece(self.folder, "index", encoded(finite(index)))
        write_file(self.folder / "data" / "state.json", encoded({"version": self.version}))

    def _write_grams(self) -> int:
        """Write the index and return the number of pieces that it tells of, 0 where it is not worth its files."""
        if self.live or self.pieces < _LEAST_INDEXED:
            return 0
        write_grams(self.folder, self.grams)
        return self.pieces

    def _entries(self) -> tuple[list[Entry], list[str]]:
        told = self.left_out.notes()
        try:
            entries, notes = load_entries([run.path for run in self.runs])
            shown = [e for e in entries if (e.run, e.report.task) not in self.left_out.tasks]
            return shown, [*told, *(note for note in notes if note not in told)]
        except RunIncompleteError as error:
            return [], [*told, f"{error.message} The figures appear when a run is complete."]

    def _run(self, number: int, record: RunRecord, label: str) -> dict[str, Any]:
        run = self.runs[number]
        key = hashlib.sha256(f"{run.path.parent.name}/{run.path.name}".encode()).hexdigest()[:8]
        taken = any(other.path.name == run.path.name and other.path.parent.name == run.path.parent.name
                    for other in self.runs[:number])  # fmt: skip
        return {"key": f"{key}-{number}" if taken else key, **run_record(run, record, label)}

    def _feed(self, feed: Feed, counts: dict[str, Any], entries: list[Entry]) -> dict[str, Any]:
        record = feed.task.record
        entry = next((e for e in entries if e.run == feed.task.directory.path and e.report.task == record.name), None)
        return {
            "run": next(i for i, run in enumerate(self.runs) if run.path == feed.task.directory.path),
            "task": record.name,
            "title": record.title,
            "set": self.problems.sets.index(feed.problems),
            "n": record.n,
            "planned": record.samples,
            "maxTokens": record.max_tokens,
            "version": record.version,
            "sampling": {k: v for k, v in record.identity["sampling"].items() if v not in (None, [], ())},
            "options": dict(record.identity.get("options") or {}),
            "messages": list(prompt_messages(feed.task, feed.problems)),
            "report": None if entry is None else report_record(entry),
            **counts,
        }

    def _pictures(self, entries: list[Entry]) -> dict[str, list[dict[str, Any]]]:
        """The pictures by what they belong to: `bars`, `task NAME`, `feed NUMBER`. Drawn again when figures change."""
        if not entries or not self.options.pictures:
            return {}
        found = {"bars": self._once("bars", entries, lambda: bars_picture(self.folder, entries))}
        for number, name in enumerate(dict.fromkeys(e.report.task for e in entries)):
            chosen = [e for e in entries if e.report.task == name]
            found[f"task {name}"] = self._once(
                f"task {name}",
                chosen,
                lambda n=number, c=chosen: task_pictures(self.folder, f"task{n}", c),  # type: ignore[misc]
            )
        if len(entries) <= _MOST_RUN_PICTURES:
            for entry in entries:
                feed = next(
                    f for f in self.feeds if f.task.directory.path == entry.run and f.task.name == entry.report.task
                )
                found[f"feed {feed.number}"] = self._once(
                    f"feed {feed.number}", [entry],
                    lambda n=feed.number, e=entry: task_pictures(self.folder, f"feed{n}", [e], one_run=True),  # type: ignore[misc]
                )  # fmt: skip
        return found

    def _once(self, name: str, entries: list[Entry], draw: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        basis = [(e.run, e.report.bytes_read, e.report.n) for e in entries]
        if name not in self._drawn or self._drawn[name][0] != basis:
            self._drawn[name] = (basis, draw())
        return self._drawn[name][1]

    def notices(self) -> list[str]:
        """What is not in the site, in sentences for its readers."""
        options, told = self.options, self.left_out.notes()
        if options.max_samples is not None:
            told.append(
                f"The texts of at most {options.max_samples} completions of each task of each run are here; figures "
                "and lists are of all."
            )
        if options.only_wrong:
            told.append("The texts of correct completions were left out; figures and lists are of all.")
        for one in self.problems.sets:
            if one.redacted:
                why = "its authors ask that they are not published" if one.gated else "as was asked"
                quotes = (
                    "their completions too, since what they quote cannot be told"
                    if one.missing
                    else "quotations of them are masked in the completions"
                )
                told.append(f"{one.title}: the problems' texts were left out ({why}); {quotes}.")
        return told


def _runs_of(options: SiteOptions) -> list[RunDirectory]:
    found = dict.fromkeys(run for path in options.runs for run in find_runs(path))
    return sorted(found, key=lambda run: natural_order(str(run.path)))


def copy_front_end(folder: Path) -> None:
    """Write the built pages, their styles, scripts and fonts into `folder`."""
    source = files("evalkit.results.site") / "static"
    with_names = [Path(str(source))]
    for path in with_names[0].rglob("*"):
        if path.is_file():
            write_file(folder / path.relative_to(with_names[0]), path.read_bytes())
    write_file(folder / _MARKER, b"A report page of evalkit: `evalkit view -o` replaces this folder.\n")


def write_site(folder: Path, options: SiteOptions, told: Callable[[str], None] = lambda text: None) -> Site:
    """Write the site of the runs into `folder`, which is replaced as a whole when the new one is complete.

    Raises EvalkitError where there is no run, where all are damaged, or where `folder` holds something else.
    """
    if folder.exists() and not (folder / _MARKER).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvalkitError(f"{folder} is not empty and is not a report page.", "give a new or empty folder with -o.")
    folder = folder.absolute()
    building = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    try:
        site = Site(building, options)
        copy_front_end(building)
        site.refresh(told)
        (building / "data" / "state.json").unlink()
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        if folder.exists():
            os.replace(folder, old)
        os.replace(building, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise EvalkitError(
            f"{folder} cannot be written: {error.strerror}.", "choose a folder that is writable and has free space."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    site.folder = folder
    return site
