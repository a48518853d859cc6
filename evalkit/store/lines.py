"""Append-only JSON lines that survive a kill, a full disk and a flipped bit."""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from evalkit.errors import EvalkitError, RunIncompleteError

_TAIL = len(',"crc":"00000000"}')
_BUFFER = 1 << 20


def encode_line(record: dict[str, Any]) -> bytes:
    """One line, ended by the CRC-32 of what stands before it."""
    try:
        body = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, but it has a JSON escape
        body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def checksum_fits(line: bytes) -> bool:
    """Whether a line's checksum is that of what stands before it; a line without one is taken as it is."""
    if line[-_TAIL:-10] != b',"crc":"':
        return True
    try:
        return int(line[-10:-2], 16) == zlib.crc32(b"}", zlib.crc32(line[:-_TAIL]))
    except ValueError:  # no hexadecimal digits
        return False


def read_checked(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line) of every whole line; a last line without its newline was cut and is left out.

    Raises EvalkitError that names the line where a checksum does not fit.
    """
    if not path.exists():
        return
    with path.open("rb", buffering=_BUFFER) as stream:
        for number, line in enumerate(stream, start=1):
            if line[-1:] != b"\n":
                return
            line = line[:-1]
            if not checksum_fits(line):
                raise damaged(path, number, "its checksum does not fit")
            yield number, line


def damaged(path: Path, number: int, reason: str) -> EvalkitError:
    return EvalkitError(
        f"Line {number} of {path} is damaged: {reason}.",
        "delete that line and give the same command again: only what it held is made anew.",
    )


class LineWriter:
    """Appends records, each with one write to the file; what a crash cut off is removed when it is opened again.

    `repaired_bytes` is the length of the cut line that was removed, 0 where there was none.
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
        """Write one record. Raises RunIncompleteError where the disk refuses; the file is left with whole lines."""
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
                "what was done is kept: make room, then give the same command again to resume.",
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
    """Write a derived file so that a reader sees the old content or the new one, never half of it.

    `durable` waits until it is on the disk; what a power cut may cost, because it is worked out again, need not wait.
    Raises EvalkitError where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
            f"{path} cannot be written: {error.strerror}.", "give a folder that exists, is writable and has room."
        ) from error
