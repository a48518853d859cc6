"""A checkpoint's weights: which files they are, how large, and which tensors they hold; nothing of them is loaded."""

import json
import logging
import re
import struct
from collections.abc import Iterable
from pathlib import Path

from evalkit.engines.checkpoint import Checkpoint
from evalkit.errors import EvalkitError
from evalkit.hub import Repository

logger = logging.getLogger(__name__)

_SUFFIXES = (".safetensors", ".bin", ".pt")
_STEMS = {".safetensors": ("model.safetensors",), ".bin": ("pytorch_model.bin",)}
_LARGEST_HEADER = 1 << 28
_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|h)\.(\d+)\.")


def weight_bytes(checkpoint: Checkpoint) -> int | None:
    """The size of the checkpoint's weights on disk or on the hub; None where it cannot be told.

    Where there are safetensors, other formats of the same weights do not count.
    """
    sizes = _sizes(checkpoint)
    for suffix in _SUFFIXES:
        if total := sum(size or 0 for name, size in sizes.items() if name.endswith(suffix) and "/" not in name):
            return total
    return None


def _sizes(checkpoint: Checkpoint) -> dict[str, int | None]:
    if checkpoint.is_local:
        return {path.name: path.stat().st_size for path in Path(checkpoint.model).iterdir() if path.is_file()}
    try:
        return Repository(checkpoint.model).files(str(checkpoint.commit))
    except EvalkitError as error:  # loading will tell it
        logger.debug("the size of %s is not known: %s", checkpoint.model, error.message)
        return {}


def fetch_weights(checkpoint: Checkpoint) -> list[Path]:
    """The files of the weights, those that transformers loads; from the hub they are downloaded into its cache.

    Raises EvalkitError where there are none, where one of several is missing, and where the disk has no room.
    """
    names = _sizes(checkpoint)
    for suffix, (whole,) in _STEMS.items():
        index = f"{whole}.index.json"
        if index in names:
            shards = _shards(_files(checkpoint, [index])[0], suffix)
            if absent := [name for name in shards if name not in names]:
                raise EvalkitError(
                    f"{checkpoint.model} lacks {absent[0]}, one of its {len(shards)} files of weights.",
                    "copy or download the whole checkpoint.",
                )
            return _files(checkpoint, shards)
        if whole in names:
            return _files(checkpoint, [whole])
    if any(name.endswith((*_SUFFIXES, ".h5", ".msgpack")) for name in names):
        return []  # by another name: transformers finds them or says why not
    raise EvalkitError(
        f"{checkpoint.model} holds no weights.", "a checkpoint has a model.safetensors, or several and their index."
    )


def _files(checkpoint: Checkpoint, names: list[str]) -> list[Path]:
    if checkpoint.is_local:
        return [Path(checkpoint.model) / name for name in names]
    return Repository(checkpoint.model).fetch(str(checkpoint.commit), names)


def _shards(index: Path, suffix: str) -> list[str]:
    try:
        names = sorted(set(map(str, json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvalkitError(f"{index} is no index of weights.", "copy or download the checkpoint again.") from error
    if any("/" in name or "\\" in name or not name.endswith(suffix) for name in names):
        raise EvalkitError(
            f"{index} names files that are not of this checkpoint.", "copy or download the checkpoint again."
        )
    return names


def require_all_layers(checkpoint: Checkpoint, files: Iterable[Path]) -> None:
    """Raises EvalkitError where the config asks for more layers than the safetensors hold.

    transformers would make the others up, which takes the memory and time of what is asked for.
    """
    layers = {int(match[1]) for path in files for name in tensor_names(path) if (match := _LAYER.search(name))}
    asked = getattr(checkpoint.config.get_text_config(), "num_hidden_layers", None)
    if layers and isinstance(asked, int) and asked > max(layers) + 1:
        raise EvalkitError(
            f"The config of {checkpoint.model} asks for {asked} layers, and its weights have {max(layers) + 1}.",
            "copy or download the whole checkpoint, or correct its config.json.",
        )


def tensor_names(path: Path) -> list[str]:
    """The names of the tensors in a safetensors file; none for other files. Raises EvalkitError if it is damaged."""
    if path.suffix != ".safetensors":
        return []
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(stream.read(length))
        tensors = {name: facts["data_offsets"][1] for name, facts in header.items() if name != "__metadata__"}
        if 8 + length + max(tensors.values(), default=0) > path.stat().st_size:
            raise ValueError("the end is missing")
    except (OSError, ValueError, TypeError, LookupError, AttributeError, struct.error) as error:
        raise EvalkitError(
            f"{path} could not be loaded, it is no file of safetensors or only the beginning of one: {error}.",
            "copy or download it again.",
        ) from error
    return list(tensors)
