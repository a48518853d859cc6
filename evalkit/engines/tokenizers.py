"""A checkpoint's tokenizer: found, loaded, and refused where it is none."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.engines.native_output import prints_are_logged
from evalkit.engines.templates import template_in_json
from evalkit.errors import EvalkitError

_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_MISTRAL = "tekken.json"


def load_tokenizer(source: str, loading: Mapping[str, Any]) -> Any:
    """The tokenizer of a folder or a hub id, with the chat template that lies beside it.

    `loading` are arguments of `from_pretrained`. Raises EvalkitError in one sentence where there is none, where it is
    empty, or where a package is missing.
    """
    try:
        import transformers
    except ImportError as error:
        raise EvalkitError(
            f"Reading the tokenizer of {source} needs the package transformers, which is not installed.",
            "run `pip install transformers`.",
        ) from error
    if _file(source, _MISTRAL, loading) and not _has_template(source, loading):
        return _load_mistral(source, loading)
    try:
        with prints_are_logged():
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **_arguments(source, loading))
            list(tokenizer.all_special_ids)  # an unknown token that is unknown has no end
    except (ImportError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(source, _first_line(error)) from error
    except Exception as error:  # the tokenizers library raises plain exceptions
        raise _unusable(source, _first_line(error)) from error
    if not isinstance(tokenizer.model_max_length, int | float):
        raise _unusable(source, "its model_max_length is not a number")
    if not len(tokenizer) or not tokenizer("1 + 1", add_special_tokens=False)["input_ids"]:
        raise _unusable(source, "it has no tokenizer of its own")  # transformers makes an empty one up
    if not tokenizer.chat_template and (path := _file(source, "chat_template.json", loading)):
        tokenizer.chat_template = template_in_json(path.read_text(encoding="utf-8"), str(path))
    return tokenizer


def _arguments(source: str, loading: Mapping[str, Any]) -> dict[str, Any]:
    """`mistral_format` is left to chance otherwise: to whether mistral-common is installed."""
    return {**loading, "mistral_format": False} if _file(source, _MISTRAL, loading) else dict(loading)


def has_own_tokenizer(folder: Path) -> bool:
    """Whether an adapter's folder brings a tokenizer, which then is the one it was trained with."""
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", _MISTRAL))


def own_template(folder: Path) -> str | None:
    """The chat template of an adapter's folder that has no tokenizer of its own."""
    for name in _TEMPLATE_FILES:
        if (path := folder / name).is_file():
            text = path.read_text(encoding="utf-8")
            return template_in_json(text, str(path)) if name.endswith(".json") else text
    return None


def _has_template(source: str, loading: Mapping[str, Any]) -> bool:
    if any(_file(source, name, loading) for name in _TEMPLATE_FILES):
        return True
    config = _file(source, "tokenizer_config.json", loading)
    return bool(config and '"chat_template"' in config.read_text(encoding="utf-8"))


def _load_mistral(source: str, loading: Mapping[str, Any]) -> Any:
    if find_spec("mistral_common") is None:
        raise EvalkitError(
            f"{source} has Mistral's own tokenizer ({_MISTRAL}) and no chat template; reading it needs the package "
            "mistral-common, which is not installed.",
            "run `pip install mistral-common`.",
        )
    from transformers import MistralCommonBackend

    try:
        return MistralCommonBackend.from_pretrained(source, revision=loading.get("revision"))
    except Exception as error:  # of pydantic, of mistral-common, of the hub
        raise _unusable(source, _first_line(error)) from error


def _file(source: str, name: str, loading: Mapping[str, Any]) -> Path | None:
    """A file of the checkpoint, fetched from the hub where it is not local; None where there is none."""
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    from transformers.utils import cached_file

    try:
        found = cached_file(
            source,
            name,
            revision=loading.get("revision"),
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            _raise_exceptions_for_gated_repo=False,
        )
    except (OSError, ValueError):  # loading the tokenizer will tell it
        return None
    return Path(found) if found else None


def _unusable(source: str, reason: str) -> EvalkitError:
    return EvalkitError(
        f"The tokenizer of {source} could not be loaded: {reason}.",
        "a checkpoint needs tokenizer.json and tokenizer_config.json beside its weights; --tokenizer takes those of "
        "another folder or hub id, such as its base model's.",
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
