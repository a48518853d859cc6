"""The site's data files: compressed pieces that load as scripts from a file and as text from a server, and an index of
what stands in them."""

import base64
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import PydanticSerializationError, to_json

from evalkit.errors import EvalkitError

GRAM = 4  # bytes
_BUCKET_BITS = 18
BUCKETS = 1 << _BUCKET_BITS
SHARDS = 256
_MULTIPLIER = 2654435761
_LEVEL = 3


def encoded(content: Any) -> bytes:
    """JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, as an escape, and null for what is no finite number."""
    try:
        return to_json(content, inf_nan_mode="null")
    except PydanticSerializationError:
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


def write_grams(folder: Path, pieces: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Write which piece has which 4-grams, in shards. `pieces` holds what `grams_of` told of each."""
    matrix = np.stack(pieces)
    width = BUCKETS // SHARDS
    for shard in range(SHARDS):
        bits = np.unpackbits(matrix[:, shard * width // 8 : (shard + 1) * width // 8], axis=1)
        write_piece(folder, f"g{shard}", np.packbits(bits.T, axis=1).tobytes())


def grams_of(texts: list[str]) -> npt.NDArray[np.uint8]:
    """A bit for each of 2^18 buckets: whether a 4-gram (of UTF-8 bytes, ASCII in lower case) of the texts is in it."""
    found = np.zeros(BUCKETS, dtype=np.bool_)
    data = "\n".join(texts).encode("utf-8", "replace").lower()
    for start in range(GRAM):  # each reads every fourth gram
        end = len(data) - (len(data) - start) % GRAM
        codes = np.frombuffer(data[start:end], dtype="<u4") * np.uint32(_MULTIPLIER)
        codes >>= np.uint32(32 - _BUCKET_BITS)
        found[codes.astype(np.intp)] = True
    return np.packbits(found)


def batches(count: int, size: int) -> Iterator[range]:
    """0 .. count in ranges of `size`."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
