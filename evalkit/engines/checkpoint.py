"""A checkpoint on the hub or in a local folder: what it is called, which version it is, its tokenizer."""

import hashlib
import json
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.engines.native_output import prints_are_logged
from evalkit.engines.soundness import require_sound
from evalkit.engines.tokenizers import load_tokenizer
from evalkit.errors import EvalkitError
from evalkit.hub import Repository, is_of_the_hub, is_offline, without_keys

_BLOCK = 1 << 20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_id(model: str) -> bool:
    """Whether a model's name is that of a repository, such as Qwen/Qwen3-8B."""
    return _HUB_ID.fullmatch(model) is not None and ".." not in model


def require_no_revision(folder: str, revision: str | None) -> None:
    """Raises EvalkitError where a revision is asked of a folder."""
    if revision is not None:
        raise EvalkitError(
            f"{folder} is a folder, which has no revisions.", "leave --revision out, or give the checkpoint's hub id."
        )


class Checkpoint:
    """`model` is a local folder or a hub id. Nothing is read or fetched before it is needed.

    `tokenizer` is the folder or hub id of another tokenizer than the checkpoint's own. Without `needs_weights` a folder
    with a tokenizer is enough.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        trust_remote_code: bool = False,
        tokenizer: str | None = None,
        needs_weights: bool = True,
    ) -> None:
        self.model = model
        self.other_tokenizer = tokenizer
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.is_local = Path(model).is_dir()
        if model.endswith(".gguf"):
            raise _is_gguf(model)
        if not self.is_local and not is_hub_id(model):
            raise EvalkitError(
                f"The checkpoint {model} does not exist.",
                "give a folder with config.json and weights, or a hub id such as Qwen/Qwen2.5-1.5B-Instruct.",
            )
        if self.is_local and needs_weights and not (Path(model) / "config.json").is_file():
            raise _no_config(f"The folder {model}", model, [path.name for path in Path(model).iterdir()])
        if self.is_local:
            _require_files(Path(model))
            require_no_revision(model, revision)

    @cached_property
    def commit(self) -> str | None:
        """The commit on the hub that everything of this checkpoint is loaded from; None for a folder."""
        return None if self.is_local else Repository(self.model).commit(self.revision)

    @property
    def has_config(self) -> bool:
        """Whether there is more than a tokenizer."""
        return not self.is_local or (Path(self.model) / "config.json").is_file()

    @property
    def loading(self) -> dict[str, Any]:
        """The arguments that every `from_pretrained` of this checkpoint takes."""
        return {"revision": self.commit, "trust_remote_code": self.trust_remote_code}

    @cached_property
    def config(self) -> Any:
        require_sound(self._load("PreTrainedConfig", "get_config_dict")[0], self.model)
        return self._load("AutoConfig")

    @cached_property
    def tokenizer(self) -> Any:
        if self.other_tokenizer is not None:
            return load_tokenizer(self.other_tokenizer, {"trust_remote_code": self.trust_remote_code})
        return load_tokenizer(self.model, self.loading)

    @cached_property
    def generation_config(self) -> Any:
        """The checkpoint's generation_config.json, None where it has none."""
        from transformers import GenerationConfig

        try:
            return GenerationConfig.from_pretrained(self.model, revision=self.commit)
        except Exception:  # there is none, or a damaged one: the end tokens come from the config and the tokenizer
            return None

    def vocabulary(self) -> int | None:
        """The number of tokens that the model has an embedding for, None where the config does not say."""
        if not self.has_config:
            return None
        size = getattr(self.config.get_text_config(), "vocab_size", None)
        return size if isinstance(size, int) else None

    def _load(self, auto: str, method: str = "from_pretrained") -> Any:
        try:
            import transformers
        except ImportError as error:
            raise EvalkitError(
                f"Reading the checkpoint {self.model} needs the package transformers, which is not installed.",
                "run `pip install transformers`.",
            ) from error
        try:
            with prints_are_logged():
                return getattr(getattr(transformers, auto), method)(self.model, **self.loading)
        except EvalkitError:
            raise
        except Exception as error:  # the hub's client, a strange config and a model's own code raise what they like
            raise self.explain(error) from error

    def explain(self, error: BaseException) -> EvalkitError:
        """Why the checkpoint, or a part of it, could not be loaded."""
        if not self.is_local:
            repository = Repository(self.model)
            names = list(repository.cached_files(self.commit or "")) if is_offline() else []
            with suppress(EvalkitError):
                names = names or list(repository.files(self.commit or ""))
            if names and "config.json" not in names and not is_offline():
                return _no_config(f"{self.model} on the hub", self.model, names)
            if is_of_the_hub(error):
                return repository.explain(error, self.revision)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])[:300]
        if not isinstance(error, OSError | ValueError | RuntimeError | ImportError):
            said = f"{type(error).__name__}: {said}"
        return EvalkitError(
            f"The checkpoint {self.model} could not be loaded: {without_keys(said)}",
            "check the name and its files: a checkpoint needs config.json, weights and tokenizer.",
        )

    def context_length(self) -> int | None:
        """Tokens that prompt and completion may have together, None where the config does not say.

        Positions that the config stretches (linear and YaRN scaling) count as stretched.
        """
        if not self.has_config:
            return None
        text_config = self.config.get_text_config()
        length = getattr(text_config, "max_position_embeddings", None)
        if not isinstance(length, int) or length <= 0:
            return None
        return int(length * _stretch(text_config))

    def fingerprint(self) -> str:
        """What tells this version of the checkpoint from another: the hub's commit, or a sha256 of the files.

        Of weights above 64 MiB every 64th block is read, and the last one, so that 140 GB take seconds.
        """
        if not self.is_local:
            return str(self.commit)
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


def _no_config(what: str, model: str, names: Sequence[str]) -> EvalkitError:
    """What a checkpoint without config.json is instead."""
    if any(name.endswith(".gguf") for name in names):
        return _is_gguf(model)
    if "adapter_config.json" in names:
        return EvalkitError(f"{model} is a LoRA adapter.", f"run it as CHECKPOINT --lora {model}.")
    if any(name.endswith(".nemo") for name in names) or "params.json" in names:
        return EvalkitError(
            f"{what} holds weights in another program's format and no config.json.",
            "convert it to the format of transformers, or serve it and use --engine openai --base-url URL.",
        )
    return EvalkitError(
        f"{what} holds no config.json, so it is no checkpoint.", "give the folder that `save_pretrained` wrote."
    )


def _is_gguf(model: str) -> EvalkitError:
    return EvalkitError(
        f"{model} holds GGUF weights, which evalkit's own engines do not load.",
        "serve it with llama.cpp (`llama-server -m FILE.gguf`) and use --engine openai --base-url URL.",
    )


def _stretch(text_config: Any) -> float:
    """By how much the config's scaling of positions makes the context longer than max_position_embeddings.

    As vLLM reckons: linear scaling multiplies it, YaRN multiplies the original context. Gemma 3's figure is the
    stretched one already, as are those of the other kinds. Dynamic scaling is not counted: with it what a long sequence
    computes would depend on the other rows of its batch.
    """
    scaling = getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None)
    if not isinstance(scaling, dict) or "gemma3" in str(getattr(text_config, "model_type", "")):
        return 1.0
    kind, factor = scaling.get("rope_type", scaling.get("type")), scaling.get("factor")
    if kind not in ("linear", "yarn") or not isinstance(factor, int | float) or not factor >= 1:
        return 1.0
    original = scaling.get("original_max_position_embeddings") if kind == "yarn" else None
    return max(1.0, factor * original / text_config.max_position_embeddings) if original else float(factor)


class LoadedCheckpoint(Checkpoint):
    """A model and its tokenizer that transformers has loaded already."""

    has_config = True

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.loaded = model
        self.model = str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
        self.revision = None
        self.trust_remote_code = False
        self.is_local = True
        self.commit = None
        self.config = model.config
        self.tokenizer = tokenizer
        self.generation_config = model.generation_config

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
