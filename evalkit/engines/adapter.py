"""A LoRA adapter on top of a checkpoint: the folder that peft writes, here or on the hub."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from evalkit.engines.checkpoint import is_hub_id, require_no_revision
from evalkit.engines.options import LocalOptions
from evalkit.engines.tokenizers import has_own_tokenizer, own_template
from evalkit.errors import EvalkitError
from evalkit.files import parse_json, read_file
from evalkit.hub import Repository

logger = logging.getLogger(__name__)

_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM reserves room for
_CONFIG = "adapter_config.json"

Options = TypeVar("Options", bound=LocalOptions)


class Adapter:
    """`name` is a folder, or a hub id with or without a revision (`org/name@revision`).

    Raises EvalkitError where it holds no adapter. `base` is the checkpoint that the adapter was made for and
    `base_revision` its revision, where the adapter says so.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.commit: str | None = None
        self.folder = Path(name)
        if not self.folder.is_dir() and is_hub_id(name.partition("@")[0]):
            hub_id, _, revision = name.partition("@")
            repository = Repository(hub_id)
            self.commit = repository.commit(revision or None)
            self.name, self.folder = hub_id, _fetched(repository, self.commit)
        try:
            config = parse_json(read_file(self.folder / _CONFIG))
            ranks = [int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise EvalkitError(
                f"{name} is no LoRA adapter: its adapter_config.json cannot be read.",
                "give the folder that peft's `save_pretrained` wrote, or the adapter's id on the hub.",
            ) from error
        self.rank = max(ranks)
        self.base = str(config.get("base_model_name_or_path") or "") or None
        self.base_revision = config.get("revision") or None

    @property
    def tokenizer(self) -> str | None:
        """The folder, where it holds a tokenizer: the one that the adapter was trained with."""
        return str(self.folder) if has_own_tokenizer(self.folder) else None

    @property
    def template(self) -> str | None:
        """The adapter's own chat template, None where it has none beside or in its tokenizer."""
        return None if has_own_tokenizer(self.folder) else own_template(self.folder)

    def fingerprint(self) -> str:
        """`org/name@commit` on the hub, else the sha256 of the folder's files and their names."""
        if self.commit is not None:
            return self.pinned_name
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    @property
    def pinned_name(self) -> str:
        """The name that gives this very version: with the commit on the hub."""
        return self.name if self.commit is None else f"{self.name}@{self.commit}"

    def tell_other_base(self, model: str) -> None:
        """Warn where the adapter was made for another checkpoint than the one that it is put on."""
        if self.base and is_hub_id(self.base) and is_hub_id(model) and self.base != model:
            logger.warning("the adapter %s was made for %s and is put on %s", self.name, self.base, model)


def reserved_rank(adapter: Adapter) -> int:
    """The smallest rank that vLLM can be told to make room for and that the adapter fits in.

    Raises EvalkitError where there is none.
    """
    fitting = [rank for rank in _VLLM_RANKS if rank >= adapter.rank]
    if not fitting:
        raise EvalkitError(
            f"The LoRA adapter {adapter.name} has rank {adapter.rank}, but vLLM takes at most {_VLLM_RANKS[-1]}.",
            "merge it into the checkpoint, or use --engine transformers.",
        )
    return fitting[0]


def split_adapter(model: str, options: Options) -> tuple[str, Options]:
    """Where MODEL is itself an adapter, the checkpoint that it was made for, and options that put it on that one.

    Raises EvalkitError where the adapter does not name its checkpoint.
    """
    if options.lora is not None or not _is_adapter(model, options.revision):
        return model, options
    if Path(model).is_dir():
        require_no_revision(model, options.revision)
    adapter = Adapter(f"{model}@{options.revision}" if options.revision else model)
    if adapter.base is None:
        raise EvalkitError(
            f"{model} is a LoRA adapter that does not name its checkpoint.", f"run it as CHECKPOINT --lora {model}."
        )
    if not Path(adapter.base).is_dir() and not is_hub_id(adapter.base):
        raise EvalkitError(
            f"{model} is a LoRA adapter of {adapter.base}, which is not there.", f"run it as CHECKPOINT --lora {model}."
        )
    logger.info("%s is a LoRA adapter: it is put on %s", model, adapter.base)
    revision = None if Path(adapter.base).is_dir() else adapter.base_revision
    return adapter.base, replace(options, revision=revision, lora=adapter.pinned_name)


def _is_adapter(model: str, revision: str | None) -> bool:
    folder = Path(model)
    if folder.is_dir():
        return (folder / _CONFIG).is_file() and not (folder / "config.json").is_file()
    if not is_hub_id(model):
        return False
    repository = Repository(model)
    names = repository.files(repository.commit(revision))
    return _CONFIG in names and "config.json" not in names


def _fetched(repository: Repository, commit: str) -> Path:
    """The folder with the adapter's files of the uppermost level: what stands below are checkpoints of its training."""
    names = [name for name in repository.files(commit) if "/" not in name]
    if _CONFIG not in names:
        raise EvalkitError(
            f"{repository.name} is no LoRA adapter: it has no {_CONFIG}.", f"see {repository.page}/tree/main."
        )
    if any(name.endswith(".safetensors") for name in names):
        names = [name for name in names if not name.endswith((".bin", ".pt"))]
    repository.fetch(commit, [name for name in names if not name.startswith(".")])
    return repository.snapshot(commit)
