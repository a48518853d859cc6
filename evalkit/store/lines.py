"""Append-only JSON lines with checksums, which survive a kill, a full disk and bit errors."""

import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from evalkit.errors import DamagedError, EvalkitError, RunIncompleteError
from evalkit.files import make_folders, open_descriptor, open_file, replace_file, write_output
from evalkit.store.repair import repair_hint
from evalkit.visible import visible_line

_TAIL = len(',"crc":"00000000"}')
_LONGEST = 1 << 28  # bytes of a line: a hundred times the longest completion


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


class LinePart(NamedTuple):
    """Whole lines of a file: the byte where they start, their bytes, the number of lines before them, and their own."""

    start: int
    length: int
    before: int
    lines: int


def read_checked(path: Path, below: Path | None = None, part: LinePart | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) for every complete line. A last line without its newline is skipped.

    Below the folder `below` no link is followed. With `part`, only its lines are read. Raises DamagedError, naming the
    line, if a checksum is wrong, and if the file cannot be read.
    """
    try:
        with open_file(path, below) as stream:
            number, last = 0, None
            if part is not None:
                stream.seek(part.start)
                number, last = part.before, part.before + part.lines
            for line in _complete_lines(stream, path, number):
                number += 1
                if not checksum_fits(line):
                    raise damaged(path, number, "its checksum is wrong")
                yield number, line
                if number == last:
                    return
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(path, error) from error


def line_parts(path: Path, length: int, lines: int, start: int = 0, before: int = 0) -> Iterator[LinePart]:
    """The complete lines from byte `start` on in parts of `length` bytes or a little more, and at most so many lines.

    `before` is the number of lines before `start`. Raises EvalkitError if the file cannot be read.
    """
    try:
        with open_file(path) as stream:
            stream.seek(start)
            part = LinePart(start, 0, before, 0)
            for line in _complete_lines(stream, path, before):
                part = part._replace(length=part.length + len(line) + 1, lines=part.lines + 1)
                if part.length >= length or part.lines >= lines:
                    yield part
                    part = LinePart(part.start + part.length, 0, part.before + part.lines, 0)
            if part.lines:
                yield part
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(path, error) from error


def _complete_lines(stream: IO[bytes], path: Path, number: int) -> Iterator[bytes]:
    """The lines that end, without their ends. Raises EvalkitError at one that is too long; `number` are before."""
    while (line := stream.readline(_LONGEST))[-1:] == b"\n":
        number += 1
        yield line[:-1]
    if len(line) == _LONGEST:
        raise damaged(path, number + 1, f"it is longer than {_LONGEST >> 20} MiB")


def unreadable(path: Path, error: OSError) -> DamagedError:
    return DamagedError(f"{path} cannot be read: {error.strerror}.", "restore the file from where it came.")


def damaged(path: Path, number: int, reason: str, hint: str | None = None) -> DamagedError:
    """The error of a damaged line. Without `hint` it names the command that makes again what the line held."""
    return DamagedError(f"Line {number} of {path} is damaged: {visible_line(reason)[:300]}.", hint or repair_hint(path))


class LineWriter:
    """Appends records to a file, one write each. Opening the file removes an incomplete last line left by a crash.

    `repaired_bytes` is the length of the removed line, 0 if there was none.
    """

    def __init__(self, path: Path, below: Path | None = None) -> None:
        """Below the folder `below` no link is followed. Raises EvalkitError where the file cannot be written."""
        self.path = path
        try:
            make_folders(path.parent, below)
            descriptor = open_descriptor(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, below)
        except OSError as error:
            raise EvalkitError(
                f"{path} cannot be written: {error.strerror}.", "give a folder that is writable."
            ) from error
        self._file = io.FileIO(descriptor, "a+b")
        self.repaired_bytes = self._cut_torn_line()

    def _cut_torn_line(self) -> int:
        size = end = os.fstat(self._file.fileno()).st_size
        while end > 0:
            start = max(0, end - 65536)
            self._file.seek(start)
            if (newline := self._file.read(end - start).rfind(b"\n")) >= 0:
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


def write_atomically(path: Path, text: str, durable: bool = True, below: Path | None = None) -> None:
    """Write a file by atomic rename, so that readers see either the old content or the new content.

    With `durable`, wait until the content is on disk. Files that can be derived again need not wait. Below the folder
    `below` no link is followed.

    Raises EvalkitError if the file cannot be written.
    """
    try:
        replace_file(path, text.encode("utf-8", "backslashreplace"), below, durable)
    except OSError as error:
        raise _not_written(path, error) from error


def write_text_output(path: Path, text: str) -> None:
    """Write the file that a user named, as `write_output` does. Raises EvalkitError if it cannot be written."""
    try:
        write_output(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> EvalkitError:
    return EvalkitError(
        f"{path} cannot be written: {error.strerror}.", "choose a folder that is writable and has free space."
    )
