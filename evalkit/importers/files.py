"""Files of a log: local, in a zip, or wherever fsspec reaches; gz and zst are read as what they hold."""

import fnmatch
import functools
import gzip
import io
import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from evalkit.errors import EvalkitError
from evalkit.importers.json_stream import JsonStream, beginning, parse
from evalkit.importers.nodes import Node, unreadable

_HEAD = 1 << 20
_LONGEST_LINE = 1 << 30
_RATIO, _FREE = 500, 1 << 26  # logs shrink to a tenth, rarely to a hundredth; the first 64 MiB are free
_ZSTANDARD = 93
_MEMBERS = 1_000_000


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends in an error where it grows past what such a file can honestly hold."""

    def __init__(self, stream: Any, limit: int, where: str, checksum: int | None = None) -> None:
        self._stream, self._left, self._where = stream, limit, where
        self._expected, self._crc = checksum, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise unreadable(self._where, "it is cut or damaged") from error
        self._left -= len(data)
        if self._left < 0:
            raise unreadable(self._where, f"it unpacks to more than {_RATIO} times its size")
        if self._expected is not None:
            self._crc = zlib.crc32(data, self._crc)
            if not data and self._crc != self._expected:
                raise unreadable(self._where, "it is damaged: its checksum does not fit")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _zstandard(stream: BinaryIO) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, mode="r"), "zstd")


def _unpacked(stream: BinaryIO, size: int, where: str) -> BinaryIO:
    """The content of a stream, which may be gz or zst."""
    if not isinstance(stream, io.BufferedReader):
        stream = io.BufferedReader(cast(Any, stream))
    start = stream.peek(4)[:4]
    limit = _FREE + _RATIO * size
    if start[:2] == b"\x1f\x8b":
        return io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=stream), limit, where), 1 << 17)
    if start == b"\x28\xb5\x2f\xfd":
        return io.BufferedReader(_Bounded(_zstandard(stream), limit, where), 1 << 17)
    return stream


@dataclass(eq=False, slots=True)
class Partial:
    """Whether an unfinished log is taken as far as it goes: true where it is. `left_out` tells what it lacks.

    `empty_rows` tells of rows that gave no sample; "" where each gave one, or where it is not known.
    """

    wanted: bool = False
    left_out: dict[str, None] = field(default_factory=dict)
    empty_rows: str = ""

    def __bool__(self) -> bool:
        return self.wanted

    def leave_out(self, what: str) -> None:
        self.left_out[what] = None


@dataclass(frozen=True, eq=False)
class LogFile:
    """One file of a log. `name` is its path below what was given, with slashes; `size` in bytes as it lies there.

    `path` has the folders above what was given as well, where they are known; `where` is what errors call it. `passes`
    has the number of rows that each call of `rows` has given so far.
    """

    name: str
    size: int
    opener: Callable[[], BinaryIO] = field(repr=False)
    where: str
    path: PurePosixPath
    find: Callable[[str], "LogFile | None"] = field(repr=False, default=lambda _name: None)
    names_in: Callable[[str], Iterable[str]] = field(repr=False, default=lambda _folder: ())
    passes: list[list[int]] = field(repr=False, default_factory=list)

    def beside(self, name: str) -> "LogFile | None":
        """The file of that name, seen from this one's folder (`../reviews/x.jsonl`); None where there is none."""
        return self.find(posixpath.normpath(f"{self.folder}/{name}"))

    def alike(self, pattern: str) -> "list[LogFile]":
        """The files beside whose names fit a shell pattern (`../configs/task_config*.yaml`), sorted by name."""
        folder, _, name = posixpath.normpath(f"{self.folder}/{pattern}").rpartition("/")
        fitting = sorted(fnmatch.filter(self.names_in(folder or "."), name))
        found = (self.find(f"{folder}/{one}" if folder else one) for one in fitting)
        return [file for file in found if file is not None]

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.name).parent)

    @property
    def stem(self) -> str:
        """The file's own name without folders and without .gz or .zst."""
        name = PurePosixPath(self.name).name
        return name.removesuffix(".gz").removesuffix(".zst")

    def open(self) -> BinaryIO:
        """The bytes, unpacked. Raises EvalkitError where the file cannot be read."""
        try:
            return _unpacked(self.opener(), self.size, self.where)
        except OSError as error:
            raise unreadable(self.where, error.strerror or str(error)) from error

    @cached_property
    def _start(self) -> bytes:
        with self.open() as stream:
            return stream.read(_HEAD)

    @property
    def magic(self) -> bytes:
        """The first four bytes."""
        return self._start[:4]

    @cached_property
    def text_start(self) -> str | None:
        """The first million characters, None where they are no UTF-8."""
        try:
            return self._start.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(self._start) - 4:
                return None
            return self._start[: error.start].decode("utf-8-sig")

    @cached_property
    def first(self) -> Node:
        """The first JSON value, as far as the beginning of the file goes; nothing where it is no JSON."""
        text = self.text_start
        value = None
        if text is not None and text.lstrip()[:1] in ("{", "["):
            value, _ = beginning(text)
        return Node(value, self.where)

    def forget(self) -> None:
        """Let go of the beginning of the file: of a folder of thousands only what is looked at is kept."""
        for name in ("_start", "text_start", "first", "is_lines", "columns"):
            self.__dict__.pop(name, None)

    @property
    def row(self) -> Node:
        """The first object: of a list its first entry, of JSON lines the first line."""
        return self.first[0] if isinstance(self.first.value, list) else self.first

    @cached_property
    def is_lines(self) -> bool:
        """Whether this is JSON lines: a whole object on the first line, and nothing else than objects after it."""
        line, newline, rest = (self.text_start or "").lstrip().partition("\n")
        if not line.startswith("{"):
            return False
        if not newline:
            return len(self._start) >= _HEAD or self.stem.endswith(("l", ".ndjson"))
        return beginning(line)[1] == "" and line.rstrip().endswith("}") and rest.lstrip()[:1] in ("", "{")

    def lines(self, partial: Partial | bool | None = None) -> Iterator[Node]:
        """The objects of a file of JSON lines. With `partial` a last line that was cut is left out.

        None: the reader cannot do with a part of the file, so that an error does not offer it.
        """
        with self.open() as stream:
            number = 0
            while line := stream.readline(_LONGEST_LINE):
                number += 1
                if not line.strip():
                    continue
                where = f"line {number} of {self.where}"
                try:
                    value = _parsed(line, where, first=number == 1)
                except EvalkitError as error:
                    is_cut = not line.endswith(b"\n") and len(line) < _LONGEST_LINE
                    if not is_cut or partial is None or (not partial and number == 1):
                        raise
                    if not partial:
                        hint = "the file ends within this line: --partial takes the lines before it."
                        raise EvalkitError(error.message, hint) from error
                    if isinstance(partial, Partial):
                        partial.leave_out(f"line {number} of {self.name}, at which the file was cut")
                    return
                yield Node(value, where)

    def rows(self, partial: Partial | bool | None = None) -> Iterator[Node]:
        """The objects of JSON lines, or of one JSON list; a document that is one object is a single row."""
        count = [0]
        self.passes.append(count)
        for row in self._objects(partial):
            count[0] += 1
            yield row

    def _objects(self, partial: Partial | bool | None) -> Iterator[Node]:
        if self.is_lines:
            yield from self.lines(partial)
            return
        with self.open() as stream:
            source = JsonStream(stream, self.where)
            if source.peek() == "[":
                for number, value in enumerate(source.elements(), start=1):
                    yield Node(value, f"entry {number} of {self.where}")
            else:
                yield Node(source.value(), self.where)
            source.end()

    def members(self, *streamed: str) -> Iterator[tuple[str, Node]]:
        """The fields of a JSON object, one in memory at a time.

        The lists and objects in `streamed` are gone through in turn: their entries come one by one, under their name.
        """
        with self.open() as stream:
            source = JsonStream(stream, self.where)
            for name in source.members():
                opening = source.peek() if name in streamed else ""
                if opening == "[":
                    for number, value in enumerate(source.elements(), start=1):
                        yield name, Node(value, f"entry {number} of {name} in {self.where}")
                elif opening == "{":
                    for inner in source.members():
                        yield name, Node({"name": inner, "value": source.value()}, f"{name}.{inner} in {self.where}")
                else:
                    yield name, Node(source.value(), self.where, name)
            source.end()

    def document(self, largest: int = 1 << 26) -> Node:
        """The whole file as one JSON value. Raises EvalkitError where it is larger than such a file can be."""
        with self.open() as stream:
            data = stream.read(largest + 1)
        if len(data) > largest:
            raise unreadable(self.where, f"it is larger than {largest >> 20} MiB, which no such file is")
        try:
            return Node(parse(data.decode("utf-8-sig"), self.where), self.where)
        except UnicodeDecodeError as error:
            raise unreadable(self.where, "it is no UTF-8 text") from error

    @property
    def is_zip(self) -> bool:
        return self.magic == b"PK\x03\x04"

    @property
    def is_parquet(self) -> bool:
        return self.magic == b"PAR1"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of a parquet file's columns, none where it is no parquet. Raises EvalkitError: cut, damaged."""
        if not self.is_parquet:
            return ()
        with self._parquet() as parquet:
            return tuple(parquet.schema_arrow.names)

    def _parquet(self) -> Any:
        import pyarrow
        from pyarrow import parquet

        try:
            stream = self.opener()
            seekable = stream if stream.seekable() else io.BytesIO(stream.read())
            found = parquet.ParquetFile(seekable)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise unreadable(self.where, f"it is no whole parquet file ({str(error).splitlines()[0]})") from error
        groups = [found.metadata.row_group(i) for i in range(found.metadata.num_row_groups)]
        if any(group.total_byte_size > _FREE + _RATIO * self.size for group in groups):
            raise unreadable(self.where, f"it unpacks to more than {_RATIO} times its size")
        return found

    def parquet_rows(self, *columns: str) -> Iterator[Node]:
        """The rows of a parquet file with these columns, all where none is named. Raises EvalkitError: damaged."""
        import pyarrow

        number = 0
        try:
            with self._parquet() as parquet:
                wanted = [c for c in columns if c in parquet.schema_arrow.names] or None
                for batch in parquet.iter_batches(batch_size=16, columns=wanted):
                    for row in batch.to_pylist():
                        number += 1
                        yield Node(row, f"row {number} of {self.where}")
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise unreadable(self.where, f"it is damaged after row {number} ({told})") from error

    def archive(self) -> zipfile.ZipFile:
        """This file as a zip. Raises EvalkitError where it is cut, damaged, encrypted or has too many members."""
        try:
            archive = zipfile.ZipFile(self.opener())
        except zipfile.BadZipFile as error:  # its message on a cut one, "File is not a zip file", misleads
            raise unreadable(self.where, "it is no whole zip: it is cut or damaged") from error
        except (OSError, ValueError, NotImplementedError, zipfile.LargeZipFile) as error:
            raise unreadable(self.where, f"it is no whole zip ({error})") from error
        members = archive.infolist()
        if len(members) > _MEMBERS:
            raise unreadable(self.where, f"it has {len(members)} members")
        if any(member.flag_bits & 1 for member in members):
            raise unreadable(self.where, "it is encrypted")
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            raise unreadable(self.where, "one of its members is there twice")
        return archive


def _parsed(line: bytes, where: str, first: bool) -> Any:
    try:
        return parse(line.decode("utf-8-sig" if first else "utf-8"), where)
    except UnicodeDecodeError as error:
        raise unreadable(where, "it is no UTF-8 text") from error


def member_files(archive: zipfile.ZipFile, where: str) -> dict[str, LogFile]:
    """The members of a zip as files, by name. Nothing is unpacked to disk, so a name is only a name."""
    found: dict[str, LogFile] = {}
    for member in archive.infolist():
        if not member.is_dir():
            told = f"{member.filename} in {where}"
            opener = functools.partial(_open_member, archive, member, told)
            place = PurePosixPath(member.filename)
            known = (found.get, functools.partial(_names_in, found))
            found[member.filename] = LogFile(member.filename, member.compress_size, opener, told, place, *known)
    return found


def _names_in(files: Mapping[str, LogFile], folder: str) -> list[str]:
    return [posixpath.basename(name) for name in files if (posixpath.dirname(name) or ".") == folder]


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> BinaryIO:
    limit = _FREE + _RATIO * member.compress_size
    if member.file_size > limit:
        raise unreadable(where, f"it unpacks to more than {_RATIO} times its size")
    try:
        if member.compress_type != _ZSTANDARD:
            return io.BufferedReader(_Bounded(archive.open(member), limit, where))
        raw = _raw_bytes(archive, member)
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise unreadable(where, f"it is damaged, or packed in an unknown way ({error})") from error
    return io.BufferedReader(_Bounded(_zstandard(io.BytesIO(raw)), limit, where, member.CRC))


def _raw_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member as it is packed: Python's zipfile unpacks Zstandard since 3.14 only."""
    stream = cast(BinaryIO, archive.fp)
    stream.seek(member.header_offset)
    header = stream.read(30)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("its header is not where it should be")
    stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), io.SEEK_CUR)
    data = stream.read(member.compress_size)
    if len(data) < member.compress_size:
        raise zipfile.BadZipFile("it is cut")
    return data


def log_files(path: str) -> list[LogFile]:
    """The files at or below a path, sorted by name: local, or an fsspec address such as hf://… or s3://….

    Links that lead out of the folder are passed over. Raises EvalkitError where there is nothing.
    """
    if "://" in path:
        return _remote_files(path)
    given = Path(path)
    if given.is_file():
        return _below_zip([_local_file(given.parent, given.name)])
    if not given.is_dir():
        raise EvalkitError(f"There is no {path}.", "give a log file, or the folder that holds a run.")
    root = given.resolve()
    found = [p for p in sorted(given.rglob("*")) if p.is_file() and p.resolve().is_relative_to(root)]
    if not found:
        raise EvalkitError(f"{path} holds no file.", "give a log file, or the folder that holds a run.")
    return [_local_file(given, p.relative_to(given).as_posix()) for p in found]


def _local_file(root: Path, name: str) -> LogFile:
    path = root / name

    def find(other: str) -> LogFile | None:
        return _local_file(root, other) if (root / other).is_file() else None

    def names_in(folder: str) -> list[str]:
        return [p.name for p in (root / folder).iterdir() if p.is_file()] if (root / folder).is_dir() else []

    place = PurePosixPath(path.absolute().as_posix())
    return LogFile(name, path.stat().st_size, lambda: path.open("rb"), str(path), place, find, names_in)


def _below_zip(files: list[LogFile]) -> list[LogFile]:
    """A zip of a folder of logs is read as the folder; an inspect log is a zip that is one log."""
    only = files[0]
    if len(files) > 1 or not only.is_zip:
        return files
    members = member_files(only.archive(), only.where)
    if members.keys() & {"header.json", "_journal/start.json"}:
        return files
    return list(members.values())


def _remote_files(path: str) -> list[LogFile]:
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(path)
        names = [root] if system.isfile(root) else sorted(system.find(root))
        files: dict[str, LogFile] = {}
        for name in names:
            below = name[len(root) :].lstrip("/") or posixpath.basename(name)
            opener = functools.partial(system.open, name, "rb")
            known = (files.get, functools.partial(_names_in, files))
            files[below] = LogFile(below, int(system.size(name) or 0), opener, name, PurePosixPath(name), *known)
    except (ImportError, ValueError) as error:
        raise EvalkitError(f"{path} cannot be reached: {error}.", "pip install the package that it names.") from error
    except Exception as error:  # every store's client raises its own types
        raise EvalkitError(
            f"{path} cannot be reached: {type(error).__name__}: {error}.", "see that it exists and may be read."
        ) from error
    if not files:
        raise EvalkitError(f"There is no {path}.", "give a log file, or the folder that holds a run.")
    return _below_zip(list(files.values()))
