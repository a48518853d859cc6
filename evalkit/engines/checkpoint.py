"""A checkpoint on the hub or in a local folder: what it is called, which version it is, its tokenizer."""

import hashlib
import json
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")


# More than ten times what the largest models have: transformers would make it all before it looks at the weights.
_LARGEST = {"num_hidden_layers": 4096, "hidden_size": 1 << 20, "intermediate_size": 1 << 23, "vocab_size": 1 << 26}
_LARGEST |= {"num_attention_heads": 1 << 14, "max_position_embeddings": 1 << 40}


class Checkpoint:
    """`model` is a local folder or a hub id. Nothing is read or fetched before it is needed."""

    def __init__(self, model: str, revision: str | None = None, trust_remote_code: bool = False) -> None:
        self.model = model
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.is_local = Path(model).is_dir()
        if not self.is_local and (model.startswith((".", "/", "~")) or model.count("/") != 1):
            raise EvalkitError(
                f"The checkpoint {model} does not exist.",
                "give a folder with config.json and weights, or a hub id such as Qwen/Qwen2.5-1.5B-Instruct.",
            )
        if self.is_local and not (Path(model) / "config.json").is_file():
            raise EvalkitError(
                f"The folder {model} holds no config.json, so it is no checkpoint.",
                "give the folder that `save_pretrained` wrote.",
            )

        if self.is_local:
            _require_files(Path(model))

    @property
    def loading(self) -> dict[str, Any]:
        """The arguments that every `from_pretrained` of this checkpoint takes."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}

    @cached_property
    def config(self) -> Any:
        config = self._load("AutoConfig")
        for name, most in _LARGEST.items():
            value = getattr(config.get_text_config(), name, None)
            if isinstance(value, int | float) and not 0 <= value <= most:
                raise EvalkitError(
                    f"The checkpoint {self.model} has a {name} of {value:.6g}, which no model has.",
                    "restore its config.json.",
                )
        return config

    @cached_property
    def tokenizer(self) -> Any:
        tokenizer = self._load("AutoTokenizer")
        if not isinstance(tokenizer.model_max_length, int | float):
            raise EvalkitError(
                f"The tokenizer of {self.model} has a model_max_length that is not a number.",
                "restore its tokenizer_config.json.",
            )
        return tokenizer

    def _load(self, auto: str) -> Any:
        try:
            import transformers
        except ImportError as error:
            raise EvalkitError(
                f"Reading the checkpoint {self.model} needs the package transformers, which is not installed.",
                "run `pip install transformers`.",
            ) from error
        try:
            with _prints_are_logged():
                return getattr(transformers, auto).from_pretrained(self.model, **self.loading)
        except Exception as error:  # on a damaged file transformers raises a dozen unrelated types
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EvalkitError(
                f"The checkpoint {self.model} could not be loaded: {told[:300]}",
                "check the name and the connection to the hub; a folder needs config.json, weights and tokenizer.",
            ) from error

    def context_length(self) -> int | None:
        """Tokens that prompt and completion may have together, None where the config does not say."""
        text_config = self.config.get_text_config()
        length = getattr(text_config, "max_position_embeddings", None)
        return length if isinstance(length, int) and length > 0 else None

    def fingerprint(self) -> str:
        """What tells this version of the checkpoint from another: the hub's commit, or a sha256 of the files.

        Of weights above 64 MiB every 64th block is read, and the last one, so that 140 GB take seconds.
        """
        if not self.is_local:
            return str(getattr(self.config, "_commit_hash", None) or self.revision or "unknown")
        digest = hashlib.sha256()
        for path in sorted(Path(self.model).iterdir()):
            if path.suffix in (*_WEIGHTS, ".json", ".jinja", ".model", ".txt") and path.is_file():
                digest.update(json.dumps([path.name, path.stat().st_size]).encode())
                digest.update(_sampled_content(path))
        return digest.hexdigest()


class LoadedCheckpoint(Checkpoint):
    """A model and its tokenizer that transformers has loaded already."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.loaded = model
        self.model = str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
        self.revision = None
        self.trust_remote_code = False
        self.is_local = True
        self.config = model.config
        self.tokenizer = tokenizer

    def fingerprint(self) -> str:
        """A sha256 of the weights as they are in memory: up to 1 MiB of each tensor."""
        import torch

        digest = hashlib.sha256()
        for name, tensor in sorted(self.loaded.state_dict().items()):
            digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
            part = tensor.detach().reshape(-1)[: _BLOCK // max(tensor.element_size(), 1)]
            digest.update(part.contiguous().view(torch.uint8).cpu().numpy().tobytes())
        return digest.hexdigest()


@contextmanager
def _prints_are_logged() -> Iterator[None]:
    """What native code prints of the files that it reads goes to the log, where it is made visible."""
    with tempfile.TemporaryFile() as spool:
        sys.stdout.flush()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(spool.fileno(), number)
        try:
            yield
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            spool.seek(0)
            for line in spool.read(_BLOCK).decode("utf-8", "replace").splitlines():
                logger.warning("%s", line)


def _require_files(folder: Path) -> None:
    """Raises EvalkitError where something lies there that is neither a file nor a folder: reading it may never end."""
    for path in folder.iterdir():
        try:
            kind = path.stat().st_mode
        except OSError as error:
            raise EvalkitError(f"{path} cannot be read: {error.strerror}.", "restore the checkpoint.") from error
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise EvalkitError(f"{path} is not a regular file.", "restore the checkpoint.")


def _sampled_content(path: Path) -> bytes:
    digest = hashlib.sha256()
    size = path.stat().st_size
    step = _BLOCK if size <= 64 * _BLOCK else 64 * _BLOCK
    with path.open("rb") as stream:
        for offset in (*range(0, size, step), max(0, size - _BLOCK)):
            stream.seek(offset)
            digest.update(stream.read(_BLOCK))
    return digest.digest()
