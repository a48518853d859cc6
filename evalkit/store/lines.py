"""Append-only JSON lines with checksums, which survive a kill, a full disk and bit errors."""

import json
import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from evalkit.errors import EvalkitError, RunIncompleteError

_TAIL = len(',"crc":"00000000"}')
_BUFFER = 1 << 20


def encode_line(record: dict[str, Any]) -> bytes:
    """One JSON line whose last field, `crc`, is the CRC-32 of the text before it."""
    try:
        body = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, but it has a JSON escape
        body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def checksum_fits(line: bytes) -> bool:
    """Whether a line's checksum is correct. A line without a checksum is accepted."""
    if line[-_TAIL:-10] != b',"crc":"':
        return True
    try:
        return int(line[-10:-2], 16) == zlib.crc32(b"}", zlib.crc32(line[:-_TAIL]))
    except ValueError:  # no hexadecimal digits
        return False


def read_checked(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) for every complete line. A last line without its newline is skipped.

    Raises EvalkitError, naming the line, if a checksum is wrong.
    """
    if not path.exists():
        return
    with path.open("rb", buffering=_BUFFER) as stream:
        for number, line in enumerate(stream, start=1):
            if line[-1:] != b"\n":
                return
            line = line[:-1]
            if not checksum_fits(line):
                raise damaged(path, number, "its checksum is wrong")
            yield number, line


def damaged(path: Path, number: int, reason: str) -> EvalkitError:
    return EvalkitError(
        f"Line {number} of {path} is damaged: {reason}.",
        "delete that line and run the same command again: only that sample is generated again.",
    )


class LineWriter:
    """Appends records to a file, one write each. Opening the file removes an incomplete last line left by a crash.

    `repaired_bytes` is the length of the removed line, 0 if there was none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self.repaired_bytes = self._cut_torn_line()

    def _cut_torn_line(self) -> int:
        size = end = self.path.stat().st_size
        with self.path.open("rb") as stream:
            while end > 0:
                start = max(0, end - 65536)
                stream.seek(start)
                if (newline := stream.read(end - start).rfind(b"\n")) >= 0:
                    end = start + newline + 1
                    break
                end = start
        if end < size:
            self._file.truncate(end)
        return size - end

    def append(self, record: dict[str, Any]) -> None:
        """Write one record. Raises RunIncompleteError if the write fails; the file is left with complete lines."""
        data = encode_line(record)
        start = os.fstat(self._file.fileno()).st_size
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
        except OSError as error:
            self._file.truncate(start)
            raise RunIncompleteError(
                f"{self.path} cannot be written: {error.strerror}.",
                "finished work is kept: free some space, then run the same command again to resume.",
            ) from error

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> "LineWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_atomically(path: Path, text: str, durable: bool = True) -> None:
    """Write a file by atomic rename, so that readers see either the old content or the new content.

    With `durable`, wait until the content is on disk. Files that can be derived again need not wait.

    Raises EvalkitError if the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")  # hosts of one file system share pids
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EvalkitError(
            f"{path} cannot be written: {error.strerror}.", "choose a folder that is writable and has free space."
        ) from error
