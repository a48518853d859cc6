"""What the engines that read a checkpoint share: its prompts, made as the options say, and how its responses end."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.endings import Endings, end_token_ids, find_endings, token_id
from evalkit.engines.options import CheckpointOptions
from evalkit.engines.prompts import PromptRenderer
from evalkit.engines.templates import DATE, TemplateSettings, read_template
from evalkit.errors import EvalkitError
from evalkit.types import Message

_ASKED: tuple[Message, ...] = (Message(role="user", content="1 + 1?"),)
_TOLD: tuple[Message, ...] = (Message(role="system", content="Be brief."), *_ASKED)


def template_variables(options: CheckpointOptions) -> dict[str, Any]:
    """The variables that `chat_template_arg` and `reasoning_effort` set. Raises EvalkitError where one has no value."""
    found: dict[str, Any] = {}
    for text in options.chat_template_arg:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise EvalkitError(
                f"The chat template's argument {text!r} is not NAME=VALUE.",
                "write it as --chat-template-arg enable_thinking=true.",
            )
        found[name.strip()] = _value(value)
    for taken in ("messages", "add_generation_prompt", "strftime_now"):
        if taken in found:
            raise EvalkitError(
                f"{taken} is not a variable to set: evalkit sets it.", "leave it out of --chat-template-arg."
            )
    if options.reasoning_effort is not None:
        found.setdefault("reasoning_effort", options.reasoning_effort)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


class CheckpointPrompts:
    """The prompts of a checkpoint as the options say. `adapter_template` is that of a LoRA adapter."""

    def __init__(self, checkpoint: Checkpoint, options: CheckpointOptions, adapter_template: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.options = options
        self._adapter_template = adapter_template
        self.variables = template_variables(options)
        try:
            date.fromisoformat(options.template_date)
        except ValueError as error:
            raise EvalkitError(
                f"The template's date {options.template_date!r} is not YYYY-MM-DD.", f"write it as {DATE}."
            ) from error
        if options.chat_template is not None and "/" in options.chat_template:
            read_template(options.chat_template)  # a file that is missing is told before anything is fetched

    @property
    def tokenizer(self) -> Any:
        return self.checkpoint.tokenizer

    @cached_property
    def renderer(self) -> PromptRenderer:
        own = getattr(self.tokenizer, "chat_template", None)
        template = self._adapter_template
        if self.options.chat_template is not None:
            template = read_template(self.options.chat_template, sorted(own) if isinstance(own, Mapping) else ())
        settings = TemplateSettings(template, self.variables, self.options.template_date)
        return PromptRenderer(self.tokenizer, settings, self.checkpoint.vocabulary())

    @cached_property
    def endings(self) -> Endings:
        """How responses end: tokens of the generation config, of the config, of the tokenizer and of `--end-token`."""
        config = self.checkpoint.config
        ids = end_token_ids(
            getattr(self.checkpoint.generation_config, "eos_token_id", None),
            getattr(config, "eos_token_id", None),
            getattr(config.get_text_config(), "eos_token_id", None),
            self.tokenizer.eos_token_id,
            [token_id(self.tokenizer, text) for text in getattr(self.options, "end_token", ())],
        )
        return find_endings(self.renderer, ids)

    def dated(self) -> bool:
        """Whether the chat template writes a date."""
        for messages in (_ASKED, _TOLD):
            try:
                if self.renderer.text(messages).dated:
                    return True
            except EvalkitError:  # it takes no system message, or fails: rendering the prompts tells it
                continue
        return False

    def identity(self) -> dict[str, Any]:
        """What the options change of a prompt, and the date where one is in it; empty where it is the checkpoint's."""
        found: dict[str, Any] = {}
        if self.options.tokenizer is not None:
            found["tokenizer"] = _fingerprint(self.options.tokenizer)
        if self.renderer.settings.template is not None:
            found["chat_template_sha256"] = hashlib.sha256((self.renderer.template or "").encode()).hexdigest()
        if self.variables:
            found["chat_template_args"] = self.variables
        if self.dated():
            found["template_date"] = self.options.template_date
        if more := getattr(self.options, "end_token", ()):
            found["end_token"] = list(more)
        return found


def _fingerprint(source: str) -> str:
    """A hub id as it is; of a folder the sha256 of the tokenizer's files."""
    if not Path(source).is_dir():
        return source
    digest = hashlib.sha256()
    for path in sorted(Path(source).iterdir()):
        if path.suffix in (".json", ".jinja", ".model", ".txt") and path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
