"""How large a checkpoint's weights are, before anything is loaded or fetched."""

import logging
from pathlib import Path

from evalkit.engines.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

_SUFFIXES = (".safetensors", ".bin", ".pt")


def weight_bytes(checkpoint: Checkpoint) -> int | None:
    """The size of the checkpoint's weights on disk or on the hub; None where it cannot be told.

    Where there are safetensors, other formats of the same weights do not count.
    """
    sizes = _local_sizes(Path(checkpoint.model)) if checkpoint.is_local else _hub_sizes(checkpoint)
    for suffix in _SUFFIXES:
        if total := sum(size for name, size in sizes.items() if name.endswith(suffix) and "/" not in name):
            return total
    return None


def _local_sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}


def _hub_sizes(checkpoint: Checkpoint) -> dict[str, int]:
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(checkpoint.model, revision=checkpoint.revision, files_metadata=True)
    except Exception as error:  # offline, gated, down, each with an exception of its own: loading will tell it
        logger.debug("the hub does not tell the size of %s: %s", checkpoint.model, error)
        return _cached_sizes(checkpoint)
    return {each.rfilename: each.size or 0 for each in info.siblings or []}


def _cached_sizes(checkpoint: Checkpoint) -> dict[str, int]:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(checkpoint.model, "config.json", revision=checkpoint.revision)
    return _local_sizes(Path(config).parent) if isinstance(config, str) else {}
