"""A checkpoint on the hub or in a local folder: what it is called, which version it is, its tokenizer."""

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

_BLOCK = 1 << 20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")


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

    @property
    def loading(self) -> dict[str, Any]:
        """The arguments that every `from_pretrained` of this checkpoint takes."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}

    @cached_property
    def config(self) -> Any:
        return self._load("AutoConfig")

    @cached_property
    def tokenizer(self) -> Any:
        return self._load("AutoTokenizer")

    def _load(self, auto: str) -> Any:
        try:
            import transformers
        except ImportError as error:
            raise EvalkitError(
                f"Reading the checkpoint {self.model} needs the package transformers, which is not installed.",
                "run `pip install transformers`.",
            ) from error
        try:
            return getattr(transformers, auto).from_pretrained(self.model, **self.loading)
        except (OSError, ValueError) as error:
            raise EvalkitError(
                f"The checkpoint {self.model} could not be loaded: {str(error).splitlines()[0]}",
                "check the name and the connection to the hub; a folder needs config.json, weights and tokenizer.",
            ) from error

    def context_length(self) -> int | None:
        """Tokens that prompt and completion may have together, None where the config does not say."""
        text_config = self.config.get_text_config()
        return getattr(text_config, "max_position_embeddings", None)

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

    def code_fingerprint(self) -> str | None:
        """The sha256 of the Python files of a local checkpoint whose code is run, None where none is."""
        if not (self.is_local and self.trust_remote_code):
            return None
        code = sorted(Path(self.model).glob("*.py"))
        content = [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in code]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest() if code else None

    def files(self) -> list[Path] | None:
        """The folder of a local checkpoint and what is in it; nothing for a commit of the hub; None for a branch."""
        if not self.is_local:
            return [] if re.fullmatch("[0-9a-f]{40}", self.revision or "") else None
        folder = Path(self.model)
        return [folder, *(path for path in sorted(folder.iterdir()) if path.is_file())]


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

    def tokenizer_fingerprint(self) -> str:
        """The sha256 of the tokenizer's vocabulary, its special tokens and its chat template."""
        known = self.tokenizer
        content = [sorted(known.get_vocab().items()), known.special_tokens_map, getattr(known, "chat_template", None)]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def files(self) -> list[Path] | None:
        return None


def _sampled_content(path: Path) -> bytes:
    digest = hashlib.sha256()
    size = path.stat().st_size
    step = _BLOCK if size <= 64 * _BLOCK else 64 * _BLOCK
    with path.open("rb") as stream:
        for offset in (*range(0, size, step), max(0, size - _BLOCK)):
            stream.seek(offset)
            digest.update(stream.read(_BLOCK))
    return digest.digest()
