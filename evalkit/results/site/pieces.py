"""The site's data files: compressed pieces that load as scripts from a file and as text from a server, and an index of
what stands in them."""

import base64
import gzip
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError

PIECE_CHARACTERS = 1_000_000
PIECE_SAMPLES = 2_000
GRAM = 4  # bytes
_BUCKET_BITS = 18
BUCKETS = 1 << _BUCKET_BITS
SHARDS = 256
_MULTIPLIER = 2654435761
_LEVEL = 3


def encoded(content: Any) -> bytes:
    """JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, as an escape."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":")).encode()


def write_piece(folder: Path, name: str, body: bytes) -> int:
    """Write `data/<name>.js`: a call with the gzipped body in base64. Returns its size."""
    packed = base64.b64encode(gzip.compress(body, _LEVEL, mtime=0))
    return write_file(folder / "data" / f"{name}.js", b'evalkitPiece("%s","%s");\n' % (name.encode(), packed))


def write_file(path: Path, content: bytes) -> int:
    """Write a file by rename, since a server may be reading it. Raises EvalkitError where it cannot be written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise EvalkitError(
            f"{path} cannot be written: {error.strerror}.", "choose a folder that is writable and has free space."
        ) from error
    return len(content)


@dataclass(slots=True)
class TextPieces:
    """Collects samples into pieces and writes them, compressing in threads.

    `add` tells where a sample lies: (piece, row). `close` writes what is left and, if asked, the index of 4-grams.
    """

    folder: Path
    threads: int = 2
    count: int = 0
    written: int = 0
    _records: list[dict[str, Any]] = field(default_factory=list)
    _characters: int = 0
    _texts: list[str] = field(default_factory=list)
    _grams: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    _pool: ThreadPoolExecutor | None = None
    _pending: deque[Future[tuple[int, npt.NDArray[np.uint8]]]] = field(default_factory=deque)

    def add(self, text: str, record: dict[str, Any]) -> tuple[int, int]:
        """Queue one sample's record, which holds `text`. Returns its piece and its row there."""
        where = self.count, len(self._records)
        self._records.append(record)
        self._texts.append(text)
        self._characters += len(text)
        if self._characters >= PIECE_CHARACTERS or len(self._records) >= PIECE_SAMPLES:
            self.flush()
        return where

    def flush(self) -> None:
        """Write the piece that was begun."""
        if not self._records:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads)
        name, records, texts = f"p{self.count}", self._records, self._texts
        self._pending.append(self._pool.submit(_write_texts, self.folder, name, records, texts))
        self.count += 1
        self._records, self._texts, self._characters = [], [], 0
        while len(self._pending) > 2 * self.threads:  # no more in memory than the threads can take
            self._collect()

    def _collect(self) -> None:
        size, grams = self._pending.popleft().result()
        self.written += size
        self._grams.append(grams)

    def finish(self) -> None:
        """Wait until every piece is on disk."""
        self.flush()
        while self._pending:
            self._collect()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def write_grams(self) -> int:
        """Write which piece has which 4-grams, in shards, and return the number of pieces that are told of."""
        if not self._grams:
            return 0
        matrix = np.stack(self._grams)
        width = BUCKETS // SHARDS
        for shard in range(SHARDS):
            bits = np.unpackbits(matrix[:, shard * width // 8 : (shard + 1) * width // 8], axis=1)
            self.written += write_piece(self.folder, f"g{shard}", np.packbits(bits.T, axis=1).tobytes())
        return len(self._grams)


def _write_texts(
    folder: Path, name: str, records: list[dict[str, Any]], texts: list[str]
) -> tuple[int, npt.NDArray[np.uint8]]:
    return write_piece(folder, name, encoded(records)), grams_of(texts)


def grams_of(texts: list[str]) -> npt.NDArray[np.uint8]:
    """A bit for each of 2^18 buckets: whether a 4-gram (of UTF-8 bytes, ASCII in lower case) of the texts is in it."""
    found = np.zeros(BUCKETS, dtype=np.bool_)
    data = "\n".join(texts).encode("utf-8", "replace").lower()
    for start in range(GRAM):  # each reads every fourth gram, without copying the text
        count = (len(data) - start) // GRAM
        if count > 0:
            codes = np.frombuffer(data, dtype="<u4", count=count, offset=start) * np.uint32(_MULTIPLIER)
            found[codes >> np.uint32(32 - _BUCKET_BITS)] = True
    return np.packbits(found)


def batches(count: int, size: int) -> Iterator[range]:
    """0 .. count in ranges of `size`."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
