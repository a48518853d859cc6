"""A LoRA adapter on top of a checkpoint, in the folder that peft writes."""

import hashlib
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.files import parse_json, read_file

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM reserves room for


class Adapter:
    """`folder` holds adapter_config.json and the weights. Raises EvalkitError where it does not."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        try:
            config = parse_json(read_file(self.folder / "adapter_config.json"))
            ranks = [int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise EvalkitError(
                f"{folder} is no LoRA adapter: its adapter_config.json cannot be read.",
                "give the folder that peft's `save_pretrained` wrote.",
            ) from error
        self.rank = max(ranks)
        if self.rank > _RANKS[-1]:
            raise EvalkitError(
                f"The LoRA adapter {folder} has rank {self.rank}, but vLLM takes at most {_RANKS[-1]}.",
                "merge it into the checkpoint.",
            )

    @property
    def reserved_rank(self) -> int:
        """The smallest rank that vLLM can be told to make room for and that this adapter fits in."""
        return next(rank for rank in _RANKS if rank >= self.rank)

    def fingerprint(self) -> str:
        """The sha256 of the adapter's files and their names."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()
