"""The texts of training sets, one record at a time: JSON lines, JSON lists and parquet, plain, gz or zst."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from evalkit.errors import EvalkitError
from evalkit.importers.files import LogFile, log_files

STDIN = "-"
_LONGEST_LINE = 1 << 30
_HINT = "a training set is JSON lines, a JSON list or parquet, also as gz or zst."


@dataclass(frozen=True, slots=True)
class SetFile:
    """One file of a training set. `size` is in bytes as it lies there, None for a stream."""

    name: str
    size: int | None
    file: LogFile | None = None

    def records(self, after: int = 0) -> Iterator[tuple[int, Any]]:
        """(number from 1, record) of every record after the first `after` ones. Raises EvalkitError: damaged."""
        if self.size == 0:
            return
        if self.file is None or (not self.file.is_parquet and self.file.is_lines):
            with sys.stdin.buffer if self.file is None else self.file.open() as stream:
                yield from _lines(stream, self.name, after)
            return
        try:
            rows = self.file.parquet_rows() if self.file.is_parquet else self.file.rows()
            for number, row in enumerate(rows, start=1):
                if number > after:
                    yield number, row.value
        except EvalkitError as error:
            raise EvalkitError(error.message.replace("cannot be imported", "cannot be read"), _HINT) from error


def _lines(stream: BinaryIO, name: str, after: int) -> Iterator[tuple[int, Any]]:
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        if line.isspace():
            continue
        number += 1
        if number <= after:
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EvalkitError(f"Record {number} of {name} is not JSON: {error}.", _HINT) from error


def set_files(paths: list[str]) -> list[SetFile]:
    """The files of the sets at these paths: files, folders, or `-` for JSON lines on stdin.

    Raises EvalkitError where there is none, or one of another kind.
    """
    found = []
    for path in paths:
        if path == STDIN:
            found.append(SetFile("stdin", None))
            continue
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():  # a pipe
            raise EvalkitError(f"{path} is not a file.", "give a pipe as `-`, on stdin.")
        for file in log_files(path):
            name = path if Path(path).is_file() else f"{path.rstrip('/')}/{file.name}"
            if not file.is_parquet and file.row.value is None and file.size:
                raise EvalkitError(f"{name} cannot be read.", _HINT)
            found.append(SetFile(name, file.size, file))
            file.forget()
    return found


def texts(record: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """(field, text) of every text in a record, at any depth."""
    if isinstance(record, str):
        yield field, record
    elif isinstance(record, dict):
        for name, value in record.items():
            yield from texts(value, f"{field}.{name}" if field else str(name))
    elif isinstance(record, list):
        for number, value in enumerate(record):
            yield from texts(value, f"{field}.{number}" if field else str(number))
