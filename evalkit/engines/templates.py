"""Chat templates: which one a tokenizer has, and its text for some messages, within limits of time and size."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.types import Message
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError

DATE = "2026-01-01"
"""What a template that asks for the date gets, so that a run of two days has one prompt."""
SECONDS = 10.0
_MEMORY_MB = 1024
_MOST_CHARACTERS = 1_000_000  # beyond what the messages have
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True)
class TemplateSettings:
    """What a user sets of a prompt: another template, its variables, and the date it prints."""

    template: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    date: str = DATE


DEFAULT_SETTINGS = TemplateSettings()


@dataclass(frozen=True, slots=True)
class RenderedText:
    """What a template made of some messages. `dated`: it holds a date."""

    text: str
    dated: bool = False


@functools.cache
def _pool() -> WorkerPool:
    return WorkerPool("evalkit.engines.template_worker:render", workers=1, memory_mb=_MEMORY_MB)


def template_of(tokenizer: Any, settings: TemplateSettings = DEFAULT_SETTINGS) -> str | None:
    """The source of the template that applies, None where there is none (a base model).

    Raises EvalkitError where the tokenizer has several and none of them is the default.
    """
    own = getattr(tokenizer, "chat_template", None)
    if isinstance(own, Mapping):
        if settings.template in own:
            return str(own[settings.template])
        if settings.template is None and "default" not in own:
            raise EvalkitError(
                f"The checkpoint has several chat templates and no default: {', '.join(sorted(own))}.",
                "choose one with --chat-template NAME.",
            )
        own = own.get("default")
    return settings.template if settings.template is not None else own or None


def read_template(name_or_file: str, names: Sequence[str] = ()) -> str:
    """The content of a template's file, or the name of one of the checkpoint's own, as it is."""
    if name_or_file in names:
        return name_or_file
    path = Path(name_or_file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        own = f" The checkpoint's own are {', '.join(names)}." if names else ""
        raise EvalkitError(
            f"The chat template {name_or_file} cannot be read: {reason}.", f"give a Jinja file.{own}"
        ) from error
    if path.suffix == ".json":
        return template_in_json(text, name_or_file)
    return text


def template_in_json(text: str, source: str) -> str:
    """The template in a chat_template.json or a tokenizer_config.json."""
    try:
        found = json.loads(text)["chat_template"]
        if isinstance(found, list):
            found = {each["name"]: each["template"] for each in found}["default"]
    except (ValueError, KeyError, TypeError) as error:
        raise EvalkitError(f"{source} holds no chat template.", "it has to stand under chat_template.") from error
    return str(found)


def render_template(
    template: str,
    tokenizer: Any,
    messages: Sequence[Message | Mapping[str, Any]],
    settings: TemplateSettings = DEFAULT_SETTINGS,
    add_generation_prompt: bool = True,
) -> RenderedText:
    """The text of a template, rendered in a process of its own as transformers does it.

    Raises EvalkitError where the template fails, runs for more than 10 s, or makes more than a million characters
    beyond those of the messages.
    """
    if find_spec("jinja2") is None:
        raise EvalkitError(
            "Chat templates need the package jinja2, which is not installed.", "run `pip install jinja2`."
        )
    special = {name: value for name in _SPECIAL if (value := getattr(tokenizer, name, None)) is not None}
    extra = getattr(tokenizer, "special_tokens_map", None)
    if isinstance(extra, Mapping):
        special |= {k: v for k, v in extra.items() if isinstance(v, str)}
    variables = {
        **{name: str(value) for name, value in special.items()},
        "tools": None,
        "documents": None,
        **settings.variables,
        "messages": [dict(message) for message in messages],
        "add_generation_prompt": add_generation_prompt,
    }
    most = _MOST_CHARACTERS + 4 * sum(len(str(message["content"])) for message in messages)
    payload = {"template": template, "variables": variables, "date": settings.date, "most": most}
    try:
        made = _pool().call(payload, SECONDS)
    except WorkerTimeoutError as error:
        raise _refused(f"it did not end within {SECONDS:g} s") from error
    except WorkerDiedError as error:
        raise _refused(f"it ran out of its {_MEMORY_MB} MB of memory") from error
    except WorkerCallError as error:
        raise _refused(_told(str(error))) from error
    if "longer" in made:
        raise _refused(f"it makes more than {most:,} characters of {len(messages)} messages")
    return RenderedText(made["text"], made["dated"])


def _told(error: str) -> str:
    """What a template's error says, without the exception's name where the template raised it itself."""
    name, _, words = error.partition(": ")
    if name == "MemoryError":
        return f"it ran out of its {_MEMORY_MB} MB of memory"
    return (words or name) if name == "TemplateError" else error


def _refused(reason: str) -> EvalkitError:
    return EvalkitError(
        f"The checkpoint's chat template failed: {reason.rstrip('.')}.",
        "see what the protocol sends with --dry-run (some templates refuse a system message), or give another template "
        "with --chat-template FILE.",
    )
