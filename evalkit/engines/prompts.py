"""What exactly the model sees: chat template, response prefix, token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.thinking import opened_thinking
from evalkit.types import Message


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt. `prefix` is the end of `text` that belongs to the response, such as `<think>\\n`."""

    text: str
    token_ids: tuple[int, ...]
    prefix: str


def render_prompt(tokenizer: Any, messages: Sequence[Message], response_prefix: str) -> Prompt:
    """The prompt of a tokenizer's own chat template, begun with `response_prefix` where the template leaves that open.

    The template writes the special tokens; none is added a second time. A tokenizer without a template (a base
    model) gets the messages' text and its own special tokens. Raises EvalkitError if the template fails.
    """
    if tokenizer.chat_template:
        try:
            text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program of its own and raises what it likes
            raise EvalkitError(
                f"The checkpoint's chat template failed: {error}.",
                "some templates refuse a system message: see what the protocol sends with --dry-run.",
            ) from error
    else:
        text = "\n\n".join(message["content"] for message in messages) + "\n"
    prefix = opened_prefix(text, response_prefix)
    if not text.endswith(prefix):
        text += prefix
    encoded = tokenizer(text, add_special_tokens=not tokenizer.chat_template)
    return Prompt(text, tuple(encoded["input_ids"]), prefix)


def opened_prefix(text: str, response_prefix: str) -> str:
    """The part of the response that stands in the prompt: what the template opened, else `response_prefix`.

    "" where the template has closed thinking: nothing opens it again.
    """
    opened = opened_thinking(text)
    return response_prefix if opened is None else opened


def bos_count(tokenizer: Any, token_ids: Sequence[int]) -> int:
    """How many beginning-of-sequence tokens a prompt begins with: 1 or 0 is right, 2 is a known cause of bad scores."""
    count = 0
    for token in token_ids:
        if tokenizer.bos_token_id is None or token != tokenizer.bos_token_id:
            break
        count += 1
    return count
