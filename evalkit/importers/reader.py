"""What a reader of a log is, and how the reader of a given file is found: by what the file holds."""

import functools
import logging
import shlex
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, cast

from evalkit.benchmark.registry import did_you_mean, load_plugin, load_plugins, package_of, plugins
from evalkit.errors import EvalkitError, plugin_faults
from evalkit.importers.files import LogFile, Partial, log_files
from evalkit.importers.json_stream import parse
from evalkit.importers.record import ImportedSample, LogFacts, facts_fault, sample_fault
from evalkit.store.marks import SampleMarks
from evalkit.visible import visible_line

GROUP = "evalkit.importers"
logger = logging.getLogger(__name__)
_END: Any = object()
_REPAIR = "repair the importer; nothing was imported."
_MOST_SAMPLES = 1_000_000  # of one problem: a run has room for n samples of every problem


@dataclass(frozen=True, slots=True)
class LogPart:
    """A file that a reader has recognised.

    Parts of one `group` and `task` are one log, read in the order of `order`. `run` tells two runs of a task apart
    where the log does (a date, an id). `refusal` says why the file holds no completions that can be imported; a
    `companion` is told so only where there is no log for it to go with.
    """

    file: LogFile
    task: str
    group: str = ""
    run: str = ""
    order: int = 0
    refusal: str = ""
    companion: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """The samples of one task in one run of another harness. `partial`: whether an unfinished log is taken."""

    reader: "Reader"
    task: str
    parts: tuple[LogPart, ...]
    partial: Partial = field(default_factory=Partial, compare=False)

    @property
    def files(self) -> list[LogFile]:
        return [part.file for part in self.parts]

    @property
    def where(self) -> str:
        return self.parts[0].file.where

    def facts(self) -> LogFacts:
        """What the log tells of the run as a whole."""
        with _reader_faults(self.reader, self.where):
            found: object = self.reader.facts(self)
        if fault := facts_fault(found):
            raise EvalkitError(f"facts() of the importer {self.reader.name} gives {fault}.", _REPAIR)
        return cast(LogFacts, found)

    def samples(self) -> Iterator[ImportedSample]:
        """Every sample, in the order of the log. Raises EvalkitError: damaged, unfinished, a sample there twice."""
        seen = SampleMarks()
        found = False
        rows = _RowsUsed(self)
        with _reader_faults(self.reader, self.where):
            given = iter(self.reader.samples(self))
        while True:
            with _reader_faults(self.reader, self.where):
                sample = next(given, _END)
            if sample is _END:
                break
            found = True
            if fault := sample_fault(sample):
                which = (
                    f" (problem {visible_line(repr(sample.problem_id))[:60]})"
                    if isinstance(sample, ImportedSample)
                    else ""
                )
                raise EvalkitError(f"The importer {self.reader.name} gives for {self.where}{which} {fault}.", _REPAIR)
            if not 0 <= sample.sample_index < _MOST_SAMPLES:
                raise EvalkitError(
                    f"{self.where} has a sample {sample.sample_index} of problem {sample.problem_id}.",
                    f"samples are numbered from 0 to {_MOST_SAMPLES - 1}.",
                )
            if seen.get(sample.problem_id, sample.sample_index):
                raise EvalkitError(
                    f"{self.where} has sample {sample.sample_index} of problem {sample.problem_id} twice.",
                    "two runs may lie in one file: take them apart and import one.",
                )
            seen.set(sample.problem_id, sample.sample_index, 1)
            rows.gave_a_sample()
            yield sample
        self.partial.empty_rows = rows.told()
        if not found:
            raise EvalkitError(f"{self.where} holds no sample.", "nothing was generated in this run.")


class _RowsUsed:
    """How many rows of a log's file gave samples, where a reader takes one row after another.

    It is not counted for evalkit's own readers: some formats have rows beside those of the samples.
    """

    def __init__(self, log: Log) -> None:
        is_own = type(log.reader).__module__.partition(".")[0] == "evalkit" and not log.reader.one_row_a_problem
        self._file = log.files[0] if len(log.parts) == 1 and not is_own else None
        self._at = (0, 0)  # the pass over the file, and its row
        self._used = 0
        if self._file is not None:
            self._file.passes.clear()

    def gave_a_sample(self) -> None:
        if self._file is None or not self._file.passes:
            return
        at = len(self._file.passes), self._file.passes[-1][0]
        if at != self._at:
            self._used = self._used + 1 if at[0] == self._at[0] else 1
            self._at = at

    def told(self) -> str:
        """`1 of 8 rows gave no sample`; "" where each gave one, or where the rows were all read before."""
        if self._file is None or self._used < 2:
            return ""
        rows = self._file.passes[-1][0]
        return f"{rows - self._used} of {rows} rows gave no sample" if rows > self._used else ""


class Reader(ABC):
    """Reads one harness's logs. To add one: a subclass, named in the entry-point group `evalkit.importers`.

    `name` is what `--format` takes, `title` the harness as its authors write it. `one_row_a_problem`: each row of the
    file has samples, so that one without is told; of readers of other packages it always is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    one_row_a_problem: ClassVar[bool] = False

    @abstractmethod
    def recognise(self, file: LogFile) -> LogPart | None:
        """What this file is, by its content; None where it is not this harness's."""

    def parts(self, file: LogFile) -> Sequence[LogPart]:
        """As `recognise`; several where one file holds several tasks."""
        part = self.recognise(file)
        return [part] if part is not None else []

    @abstractmethod
    def samples(self, log: Log) -> Iterator[ImportedSample]:
        """The samples of a log. Raises EvalkitError that names the place where something is not as it should be."""

    def facts(self, log: Log) -> LogFacts:
        """What the log tells of the run as a whole."""
        return LogFacts()


@functools.cache
def installed_readers() -> dict[str, Reader]:
    """Every installed reader by its name. One that cannot be imported is skipped with a warning."""
    return load_plugins(GROUP, _loaded)


def _loaded(entry: EntryPoint) -> Reader:
    made = load_plugin(entry, "importer")
    hint = f"repair or uninstall {package_of(entry)}."
    with plugin_faults(made, f"The importer {entry.name} of {package_of(entry)} cannot be made", hint):
        reader: object = made()
    if not isinstance(reader, Reader):
        raise EvalkitError(f"The importer {entry.name} of {package_of(entry)} is not a Reader.", hint)
    return reader


def find_reader(name: str) -> Reader:
    """A reader by name; no other is imported. Raises EvalkitError that tells the nearest one."""
    entries = plugins(GROUP)
    if name not in entries:
        raise EvalkitError(f"There is no format {name!r}.{did_you_mean(name, list(entries))}", ", ".join(entries))
    return _loaded(entries[name])


@dataclass(frozen=True, slots=True)
class FoundLogs:
    """What lies at a path: the logs, why others hold nothing to import, and the files that no reader knows."""

    logs: list[Log]
    refused: list[str]
    passed_over: list[str]


def find_logs(path: str, format_name: str | None = None, partial: bool = False) -> FoundLogs:
    """The logs at or below a path, one for each task, sorted by task.

    Raises EvalkitError: no log there, none with completions, two runs of one task, a file that two readers claim.
    """
    readers = [find_reader(format_name)] if format_name else list(installed_readers().values())
    files = log_files(path)
    parts: defaultdict[tuple[str, str, str, str], list[tuple[Reader, LogPart]]] = defaultdict(list)
    told = ""
    refused: list[str] = []
    companions: list[str] = []
    passed_over: list[str] = []
    for file in files:
        claims = [(reader, found) for reader in readers if (found := _parts(reader, file))]
        told = _fields_told(file) if not claims and not told else told
        file.forget()
        if len(claims) > 1:
            raise EvalkitError(
                f"{file.where} may be of {' or of '.join(reader.title for reader, _ in claims)}.",
                f"say which with --format {claims[0][0].name}.",
            )
        if not claims:
            passed_over.append(file.where)
        for part in claims[0][1] if claims else ():
            if part.refusal:
                told_why = f"{file.where} cannot be imported: {part.refusal}."
                (companions if part.companion else refused).append(told_why)
            else:
                parts[claims[0][0].name, part.task, part.group, part.run].append((claims[0][0], part))
    if not parts:
        raise _nothing(path, told, [*refused, *companions])
    logs = [_log(found, partial) for _, found in sorted(parts.items())]
    _refuse_two_runs(path, logs)
    return FoundLogs(logs, refused, passed_over)


def _parts(reader: Reader, file: LogFile) -> Sequence[LogPart]:
    with _reader_faults(reader, file.where):
        given: object = reader.parts(file)
        found = list(given) if isinstance(given, Iterable) else [given]
    for part in found:
        if fault := _part_fault(part):
            raise EvalkitError(f"recognise() of the importer {reader.name} gives {fault} for {file.where}.", _REPAIR)
    return cast(list[LogPart], found)


def _part_fault(part: object) -> str:
    """What is wrong with what a reader made of a file; "" where it is sound."""
    if not isinstance(part, LogPart):
        return f"{visible_line(repr(part))[:60]}, not a LogPart or None"
    texts = [name for name in ("task", "group", "run", "refusal") if not isinstance(getattr(part, name), str)]
    if texts:
        return f"a LogPart whose {texts[0]} is {visible_line(repr(getattr(part, texts[0])))[:60]}, not a text"
    if not isinstance(part.file, LogFile):
        return f"a LogPart whose file is {visible_line(repr(part.file))[:60]}, not a LogFile"
    return "" if isinstance(part.order, int) else f"a LogPart whose order is {part.order!r:.60}, not a whole number"


def _reader_faults(reader: Reader, where: str) -> AbstractContextManager[None]:
    return plugin_faults(reader, f"The importer {reader.name} fails at {where}", _REPAIR)


def _log(found: Sequence[tuple[Reader, LogPart]], partial: bool) -> Log:
    parts = sorted((part for _, part in found), key=lambda part: (part.order, part.file.name))
    return Log(found[0][0], parts[0].task, tuple(parts), Partial(partial))


def _refuse_two_runs(path: str, logs: Sequence[Log]) -> None:
    by_task: defaultdict[str, list[Log]] = defaultdict(list)
    for log in logs:
        by_task[log.task].append(log)
    for task, several in by_task.items():
        if len(several) > 1:
            raise EvalkitError(
                f"{path} holds {len(several)} runs of {task}.",
                f"give one of them, such as {shlex.quote(several[-1].where)}.",
            )


def _fields_told(file: LogFile) -> str:
    """What an unknown file holds, for the one who has to map it; "" where its rows have no fields."""
    line, _, rest = (file.text_start or "").lstrip().partition("\n")
    if line.startswith("{") and rest.lstrip().startswith("{"):
        parse(line, f"line 1 of {file.where}")
    row = file.first.value
    return f": {file.name} has the fields {', '.join(map(str, list(row)[:12]))}" if isinstance(row, dict) else ""


def _nothing(path: str, told: str, refused: Sequence[str]) -> EvalkitError:
    if refused:
        return EvalkitError(refused[0], "the completions' texts are needed: give the file or the folder that has them.")
    return EvalkitError(
        f"{path} holds no log of a harness that evalkit knows{told}.",
        "--map text=FIELD,gold=FIELD,… reads plain JSON lines, CSV and parquet; docs/importing.md lists the harnesses.",
    )
