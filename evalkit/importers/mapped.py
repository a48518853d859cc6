"""Plain JSON lines, JSON lists, CSV and parquet: the user says which field is what."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.benchmark.registry import did_you_mean
from evalkit.errors import EvalkitError
from evalkit.importers.common import OrderOfAppearance, joined_prompt
from evalkit.importers.files import LogFile, Partial, log_files
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import FoundLogs, Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, PeerVerdict, finish_reason

FIELDS = (
    *("text", "reasoning", "problem", "prompt", "problem_id", "sample_index", "gold", "answer", "correct"),
    *("finish_reason", "prompt_tokens", "completion_tokens", "choices"),
)


class Mapped(Reader):
    """Reads rows by a map from evalkit's field names (`FIELDS`) to the file's, dotted where they are nested."""

    name = "map"
    one_row_a_problem = True
    title = "plain rows"

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields

    def recognise(self, file: LogFile) -> LogPart | None:
        stem = file.stem
        for ending in (".jsonl", ".ndjson", ".json", ".csv", ".parquet"):
            stem = stem.removesuffix(ending)
        return LogPart(file, stem, file.folder, file.name)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        problems, samples = OrderOfAppearance(), OrderOfAppearance()
        for number, row in enumerate(_rows(log.files[0], log.partial)):
            yield from self._of_row(row, number, problems, samples)

    def _at(self, row: Node, name: str) -> Node:
        if name not in self.fields:
            return Node(None, row.where)
        found = row
        for part in self.fields[name].split("."):
            found = found[int(part)] if isinstance(found.value, list) and part.isdigit() else found[part]
        return found

    def _of_row(
        self, row: Node, number: int, problems: OrderOfAppearance, samples: OrderOfAppearance
    ) -> Iterator[ImportedSample]:
        text = self._at(row, "text")
        several = text.items() if isinstance(text.value, list) else [text]
        problem, prompt = self._at(row, "problem").maybe_text(), joined_prompt(self._at(row, "prompt"))
        given_id = self._at(row, "problem_id").maybe_label()
        position: int | None = None
        if given_id is None and (problem or prompt):
            position, _ = problems.next(problem or prompt)
        problem_id = given_id if given_id is not None else str(number if position is None else position)
        choices = self._at(row, "choices")
        for k, one in enumerate(several):
            index = self._at(row, "sample_index")
            start = _whole(index) if index else samples.next(problem_id)[1]
            answer, verdict = self._one(row, "answer", k, several), self._one(row, "correct", k, several)
            word = self._one(row, "finish_reason", k, several).maybe_text() or None
            told = answer.plain()
            value = _fraction(verdict)
            yield ImportedSample(
                problem_id,
                start + k if index else start,
                one.text(),
                reasoning=self._one(row, "reasoning", k, several).maybe_text(),
                position=position,
                problem=problem,
                prompt=prompt or problem,
                gold=self._at(row, "gold").maybe_label(),
                choices=tuple(choices.texts()) if choices else (),
                finish_reason=finish_reason(word),
                peer_finish_reason=word,
                prompt_tokens=_count(self._one(row, "prompt_tokens", k, several)),
                completion_tokens=_count(self._one(row, "completion_tokens", k, several)),
                answer=told,
                verdicts=() if value is None else (PeerVerdict(self.fields["correct"], value, "sample", told),),
            )

    def _one(self, row: Node, name: str, k: int, several: list[Node]) -> Node:
        """A field of one sample: the k-th where the field is a list over the samples."""
        found = self._at(row, name)
        if not isinstance(found.value, list):
            return found
        if len(found.value) != len(several):
            raise unreadable(row.where, f"{found.path} has {len(found.value)} entries for {len(several)} texts")
        return found[k]


def _whole(node: Node) -> int:
    if isinstance(node.value, str) and node.value.strip().isdigit() and len(node.value) < 10:
        return int(node.value)
    return node.integer()


def _count(node: Node) -> int | None:
    if isinstance(node.value, str):
        return _whole(node) if node.value.strip() else None
    return node.count()


def _fraction(node: Node) -> float | None:
    """A verdict: CSV writes it as text."""
    if isinstance(node.value, str):
        known = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
        return known.get(node.value.strip().lower())
    return node.fraction()


def _rows(file: LogFile, partial: Partial) -> Iterator[Node]:
    if file.is_parquet:
        yield from file.parquet_rows()
    elif file.row.value is not None:
        yield from file.rows(partial)
    else:
        yield from _csv_rows(file)


def _require_fields(file: LogFile, fields: Mapping[str, str], partial: Partial) -> None:
    """Raises EvalkitError where no row of the file has a field that the map names. Mostly one row is looked at."""
    missing = dict.fromkeys(fields.values())
    known: dict[str, None] = {}
    for row in _rows(file, partial):
        if not isinstance(row.value, dict):
            return  # it is told with its place when it is read
        known |= dict.fromkeys(str(name) for name in row.value)
        missing = {name: None for name in missing if not _has(row.value, name)}
        if not missing:
            return
    if missing and known:
        name, other = next(iter(missing)), list(known)
        more = f" and {len(other) - 12} more" if len(other) > 12 else ""
        raise EvalkitError(
            f"{file.where} has no field {name!r}, which --map names.{did_you_mean(name, other)}",
            f"it has {', '.join(other[:12])}{more}.",
        )


def _has(value: Any, name: str) -> bool:
    """Whether a row has a field, which may be dotted."""
    for part in name.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return False
    return True


def _csv_rows(file: LogFile) -> Iterator[Node]:
    csv.field_size_limit(1 << 28)
    with file.open() as stream:
        try:
            reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), strict=True)
            for number, row in enumerate(reader, start=1):
                where = f"row {number} of {file.where}"
                if None in row or None in row.values():
                    raise unreadable(where, "it has another number of fields than the first line")
                yield Node(row, where)
        except (csv.Error, UnicodeDecodeError) as error:
            kind = "JSON and no CSV" if file.stem.endswith((".json", "l", ".ndjson")) else "CSV"
            raise unreadable(file.where, f"it is no {kind} in UTF-8 ({error})") from error


def parse_map(text: str) -> dict[str, str]:
    """`text=generation,gold=expected_answer` as a dictionary. Raises EvalkitError: no such field, no text."""
    fields: dict[str, str] = {}
    for pair in text.split(","):
        ours, equals, theirs = pair.strip().partition("=")
        if not equals or not theirs:
            raise EvalkitError(f"{pair!r} is no part of a map.", "write text=generation,gold=expected_answer,…")
        if ours not in FIELDS:
            raise EvalkitError(f"There is no field {ours!r} to map to.{did_you_mean(ours, FIELDS)}", ", ".join(FIELDS))
        if ours in fields:
            raise EvalkitError(f"The map names {ours} twice.", "give each field once.")
        fields[ours] = theirs
    if "text" not in fields:
        raise EvalkitError("The map has no text.", "name the field that holds what the model wrote: text=generation")
    return fields


def mapped_logs(path: str, fields: Mapping[str, str], partial: bool = False) -> FoundLogs:
    """The files at a path as plain rows, one log each."""
    reader = Mapped(fields)
    logs = []
    for file in log_files(path):
        part = reader.recognise(file)
        assert part is not None
        log = Log(reader, part.task, (part,), Partial(partial))
        _require_fields(file, fields, log.partial)
        logs.append(log)
    return FoundLogs(logs, [], [])
