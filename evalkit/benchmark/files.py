"""Rows of one data file: jsonl, json, csv, tsv, parquet or arrow, plain, compressed or in a zip archive."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import open_file, parse_json, read_file
from evalkit.visible import visible_line

Row = dict[str, Any]
Wanted = Callable[[Row], bool]

FORMATS = ("jsonl", "parquet", "csv", "json", "arrow", "tsv", "ndjson")
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
_FAULTS = (OSError, ValueError, zipfile.BadZipFile, RuntimeError, EOFError, lzma.LZMAError, zlib.error, csv.Error)
_LARGEST = 8 << 30  # bytes of a file that is read as a whole
_MOST_BYTES = 8 << 30  # that a compressed file may unpack to
_MOST_MEMBER = 1 << 29
_BLOCK = 1 << 20
_BATCH_ROWS = 16  # of parquet at once: a row of programming tests may have megabytes


def read_rows(
    path: Path, password: str | None = None, wanted: Wanted | None = None, keys: Sequence[str] = ()
) -> Iterator[Row]:
    """The rows of a file, in order. A member of a zip archive is written `archive.zip::member`.

    `wanted` chooses rows. In parquet files it is asked with the columns `keys` alone, and only the chosen rows are
    built, so that memory grows with these. Raises EvalkitError, naming the file, if it is damaged.
    """
    name, _, member = str(path).partition("::")
    try:
        if member:
            rows: Iterator[Row] = _parse(_read_member(Path(name), member, password), member, name)
        elif path.suffix == ".parquet":
            yield from _parquet_rows(path, wanted, keys)
            return
        elif path.suffix == ".arrow":
            rows = _arrow_rows(path)
        else:
            rows = _parse(_content(path), plain_name(path.name), name)
        yield from rows if wanted is None else filter(wanted, rows)
    except EvalkitError:
        raise
    except _FAULTS as error:
        said = next(iter(visible_line(str(error))[:200].splitlines()), type(error).__name__).rstrip(".")
        raise EvalkitError(f"{name} cannot be read: {said}.", "download the file again.") from error


def plain_name(name: str) -> str:
    """A file's name without the ending of its compression."""
    return next((name.removesuffix(ending) for ending in COMPRESSIONS if name.endswith(ending)), name)


def _content(path: Path) -> bytes:
    if not path.name.endswith(COMPRESSIONS):
        return read_file(path, largest=_LARGEST)
    parts, size = [], 0
    with _unpacked(path) as stream:
        while part := stream.read(_BLOCK):
            size += len(part)
            if size > _MOST_BYTES:
                raise EvalkitError(
                    f"{path} unpacks to more than {_MOST_BYTES >> 30} GiB.", "unpack it yourself if it is what it says."
                )
            parts.append(part)
    return b"".join(parts)


def _unpacked(path: Path) -> Any:
    if path.suffix == ".zst":
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.PythonFile(open_file(path)), "zstd")
    stream = open_file(path)
    if path.suffix == ".gz":
        return gzip.open(stream, "rb")
    return bz2.open(stream, "rb") if path.suffix == ".bz2" else lzma.open(stream, "rb")


def _read_member(archive: Path, member: str, password: str | None) -> bytes:
    with open_file(archive) as opened, zipfile.ZipFile(opened) as zipped:
        names = [n for n in zipped.namelist() if n == member or n.endswith("/" + member)]
        if not names:
            raise EvalkitError(f"{archive} does not contain {member}.", "download the archive again.")
        with zipped.open(names[0], pwd=password.encode() if password else None) as stream:
            content = stream.read(_MOST_MEMBER + 1)
        if len(content) > _MOST_MEMBER:
            raise ValueError(f"{member} unpacks to more than {_MOST_MEMBER >> 20} MiB")
        return content


def _parquet_rows(path: Path, wanted: Wanted | None, keys: Sequence[str]) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    # buffered: a group's columns are read piece by piece, not each as a whole
    with open_file(path) as stream, pyarrow.parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_BLOCK) as file:
        if wanted is None:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from batch.to_pylist()
            return
        for group in range(file.num_row_groups):
            chosen = [wanted(row) for row in file.read_row_group(group, columns=list(keys)).to_pylist()]
            if not any(chosen):
                continue
            first = 0
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False):
                here = chosen[first : first + len(batch)]
                first += len(batch)
                if any(here):
                    yield from batch.filter(pyarrow.array(here)).to_pylist()


def _arrow_rows(path: Path) -> Iterator[Row]:
    import pyarrow

    with pyarrow.OSFile(str(path)) as source:
        try:
            batches: Any = pyarrow.ipc.open_stream(source)  # what `save_to_disk` writes
        except pyarrow.ArrowInvalid:
            file = pyarrow.ipc.open_file(source)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        for batch in batches:
            yield from batch.to_pylist()


def _parse(content: bytes, name: str, where: str) -> Iterator[Row]:
    text = content.decode("utf-8-sig")  # Windows' programs begin a file with a byte order mark
    if name.endswith((".csv", ".tsv")):
        yield from _table_rows(text, "\t" if name.endswith(".tsv") else ",", where)
        return
    if name.endswith(".json"):
        try:
            value = parse_json(text)
        except ValueError:
            if len(text.splitlines()) < 2:
                raise
        else:
            yield from value if isinstance(value, list) else [value]
            return
    yield from _line_rows(text, where)


def _line_rows(text: str, where: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield parse_json(line)
        except ValueError as error:
            raise EvalkitError(
                f"Line {number} of {where} is not JSON: {error}.",
                "the file is damaged or not JSON lines; download it again.",
            ) from error


def _table_rows(text: str, separator: str, where: str) -> Iterator[Row]:
    csv.field_size_limit(1 << 30)
    try:
        for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator), start=1):
            if None in row:
                raise EvalkitError(
                    f"Row {number} of {where} has more fields than its header.", "quote fields that hold commas."
                )
            yield row
    except csv.Error as error:
        raise EvalkitError(f"{where} cannot be read: {error}.", "download the file again.") from error
