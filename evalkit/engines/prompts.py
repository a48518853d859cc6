"""What exactly the model sees: chat template, the beginning of the response, token ids."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.engines.templates import DEFAULT_SETTINGS, RenderedText, TemplateSettings, render_template, template_of
from evalkit.errors import EvalkitError
from evalkit.thinking import closing_of, opened_thinking
from evalkit.types import Message

AUTO = "auto"
R1_PREFIX = "<think>\n"
_R1_ASSISTANT = "<｜Assistant｜>"
_MOST_PROMPTS = 2048  # kept: the samples of a problem share one
_SWITCHES = ("enable_thinking", "thinking")
_EARLIER: tuple[Message, ...] = (
    Message(role="user", content="1 + 1?"),
    Message(role="assistant", content="<think>\nIt is 2.\n</think>\n\n2"),
    Message(role="user", content="And 1 + 2?"),
)


@dataclass(frozen=True, slots=True)
class Opening:
    """How a response begins, and why.

    prefix: the part of the response that stands in the prompt, such as `<think>\\n`; "" where there is none.
    thinking: whether the prompt leaves thinking open, has closed it, or says nothing; unknown where a server does not
        show what it makes of a request.
    added: whether evalkit added the prefix; else the chat template did.
    reason: a few words.
    """

    prefix: str
    thinking: Literal["open", "closed", "unopened", "unknown"]
    added: bool
    reason: str

    def __str__(self) -> str:
        how = "none" if not self.prefix else f"{self.prefix!r}, {'added' if self.added else 'by the chat template'}"
        return f"{how} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt. `prefix` is the end of `text` that belongs to the response, such as `<think>\\n`.

    `opening` says how the response was begun; `dated` whether the chat template wrote a date.
    """

    text: str
    token_ids: tuple[int, ...]
    prefix: str
    opening: Opening | None = None
    dated: bool = False


class PromptRenderer:
    """Renders the prompts of one tokenizer. `vocabulary` is the number of tokens that the model knows."""

    def __init__(
        self, tokenizer: Any, settings: TemplateSettings = DEFAULT_SETTINGS, vocabulary: int | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.settings = settings
        self.vocabulary = vocabulary
        self._kept = functools.lru_cache(_MOST_PROMPTS)(self._prompt)

    @functools.cached_property
    def template(self) -> str | None:
        """The source of the chat template, None where there is none or the tokenizer renders by other means."""
        return None if self.renders_by_itself else template_of(self.tokenizer, self.settings)

    @functools.cached_property
    def renders_by_itself(self) -> bool:
        """Whether the tokenizer has code in place of a template: mistral-common's, or what a checkpoint brings."""
        method = getattr(type(self.tokenizer), "apply_chat_template", None)
        own = method is not None and not str(method.__module__).startswith("transformers.tokenization_utils")
        if own and self._is_mistral and self.settings != DEFAULT_SETTINGS:
            raise EvalkitError(
                "mistral-common renders this checkpoint's prompts: it takes no chat template, variable or date.",
                "leave out --chat-template, --chat-template-arg, --reasoning-effort and --template-date.",
            )
        return own and (self._is_mistral or self.settings.template is None)

    @property
    def _is_mistral(self) -> bool:
        return "MistralCommon" in type(self.tokenizer).__name__

    @property
    def has_chat_format(self) -> bool:
        """Whether messages are more than their text: false for a base model."""
        return self.renders_by_itself or self.template is not None

    def prompt(self, messages: Sequence[Message], response_prefix: str = AUTO) -> Prompt:
        """The prompt to the token.

        `response_prefix` is the text that begins the response where the template leaves that open; "auto" adds
        DeepSeek-R1's where the template is of its family, "" or "none" adds none. A first system message without
        content asks for no system prompt at all: a template's own is left out where it allows that. A tokenizer
        without a template (a base model) gets the messages' text and its own special tokens.

        Raises EvalkitError if the template fails, or makes a token that the model does not know.
        """
        return self._kept(tuple((m["role"], m["content"]) for m in messages), response_prefix)

    def _prompt(self, key: tuple[tuple[Any, str], ...], response_prefix: str) -> Prompt:
        messages = [Message(role=role, content=content) for role, content in key]
        rendered = self.text(messages)
        opening = decide_opening(rendered.text if self.has_chat_format else None, response_prefix, self._is_r1)
        added = _addition(rendered.text, opening)
        text = rendered.text + added
        if self.renders_by_itself:
            token_ids = self._own_ids(messages, added)
        else:
            token_ids = encode_prompt(self.tokenizer, text, special=self.template is None)
        if self.vocabulary is not None and token_ids and max(token_ids) >= self.vocabulary:
            raise EvalkitError(
                f"The prompt has token {max(token_ids)}, but the model knows {self.vocabulary} tokens.",
                "its tokenizer is that of another model: give the right one with --tokenizer.",
            )
        return Prompt(text, token_ids, opening.prefix, opening, rendered.dated)

    def text(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> RenderedText:
        """What the template makes of messages, without a response prefix."""
        if messages and messages[0]["role"] == "system" and not messages[0]["content"]:
            return self._without_system(messages, add_generation_prompt)
        return self._rendered(messages, add_generation_prompt)

    def _without_system(self, messages: Sequence[Message], add_generation_prompt: bool) -> RenderedText:
        """Some templates write a system prompt of their own unless they get another, if only an empty one."""
        left_out = self._rendered(messages[1:], add_generation_prompt)
        try:
            empty = self._rendered(messages, add_generation_prompt)
        except EvalkitError:  # it takes no system message
            return left_out
        return min(left_out, empty, key=lambda rendered: len(rendered.text))

    def _rendered(self, messages: Sequence[Message], add_generation_prompt: bool) -> RenderedText:
        if self.renders_by_itself:
            return RenderedText(self._by_itself(messages, add_generation_prompt, tokenize=False))
        if self.template is None:
            return RenderedText("\n\n".join(m["content"] for m in messages if m["content"]) + "\n")
        made = render_template(self.template, self.tokenizer, messages, self.settings, add_generation_prompt)
        if messages[-1]["content"].strip() in made.text:
            return made
        return self._in_parts(messages, add_generation_prompt) or made

    def _in_parts(self, messages: Sequence[Message], add_generation_prompt: bool) -> RenderedText | None:
        """Templates of models that see pictures may want a content of parts, and write nothing of a plain text.

        None where the last message is not written out either. Raises EvalkitError where it makes no difference at all.
        """
        assert self.template is not None
        parts = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages]
        last = messages[-1]
        other = [*messages[:-1], {**last, "content": last["content"] + " And 2 + 2?"}]
        try:
            made = render_template(self.template, self.tokenizer, parts, self.settings, add_generation_prompt)
            if last["content"].strip() in made.text:
                return made
        except EvalkitError:  # it takes texts only
            pass
        first, second = (
            render_template(self.template, self.tokenizer, each, self.settings, add_generation_prompt)
            for each in (messages, other)
        )
        if first == second:
            raise EvalkitError(
                "The checkpoint's chat template leaves the question out of the prompt.",
                "give another template with --chat-template FILE.",
            )
        return None

    def _by_itself(self, messages: Sequence[Message], add_generation_prompt: bool, tokenize: bool) -> Any:
        more: dict[str, Any] = {}
        if not self._is_mistral:  # which knows no other arguments
            more = {"add_generation_prompt": add_generation_prompt, **self.settings.variables}
        try:
            made = self.tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=tokenize, **more)
        except Exception as error:  # the checkpoint's own code raises what it likes
            raise EvalkitError(
                f"The checkpoint's tokenizer cannot render the messages: {type(error).__name__}: {error}.",
                "see what the protocol sends with --dry-run: some take no system message.",
            ) from error
        return made["input_ids"] if hasattr(made, "keys") else made

    def _own_ids(self, messages: Sequence[Message], added: str) -> tuple[int, ...]:
        ids = self._by_itself([m for m in messages if m["content"]], True, tokenize=True)
        if not added:
            return tuple(ids)
        return (*ids, *self.tokenizer.encode(added, add_special_tokens=False))

    def _is_r1(self, text: str) -> bool:
        return ends_as_r1(text) and is_r1_format(text, self.text(_EARLIER).text)

    @functools.cached_property
    def thinking_switch(self) -> str | None:
        """The variable with which the template is told to think, None where it has none."""
        source = self.template or ""
        return next((name for name in _SWITCHES if name in source), None)


def ends_as_r1(text: str) -> bool:
    """Whether the assistant's turn is opened as DeepSeek's templates open it, and nothing behind."""
    return text.rstrip().endswith(_R1_ASSISTANT)


def is_r1_format(text: str, earlier: str) -> bool:
    """Whether a template is of DeepSeek-R1's family.

    `text` is a prompt: its last turn is `<｜Assistant｜>`. `earlier` is what the template makes of a conversation whose
    first answer has thinking: R1's leaves that out, where DeepSeek-V3's, which does not think, keeps it.
    """
    return ends_as_r1(text) and _EARLIER[2]["content"] in earlier and "</think>" not in earlier


def earlier_messages() -> tuple[Message, ...]:
    """The conversation that `is_r1_format` wants rendered."""
    return _EARLIER


def decide_opening(text: str | None, asked: str, is_r1: Callable[[str], bool]) -> Opening:
    """How the response to a prompt begins. `text` is what the template made, None where there is no template."""
    opened = opened_thinking(text) if text is not None else None
    if asked not in (AUTO, "", "none") and not closing_of(asked)[0]:
        thinking: Literal["open", "closed", "unopened"] = "open" if opened else "unopened"
        return Opening((opened or "") + asked, thinking, True, "asked for")
    if opened:
        return Opening(opened, "open", False, "the chat template opens thinking")
    if opened == "":
        return Opening("", "closed", False, "the chat template closes thinking")
    if asked in ("", "none"):
        return Opening("", "unopened", False, "none is asked for")
    if asked != AUTO:
        return Opening(asked, "open", True, "asked for")
    if text is None:
        return Opening("", "unopened", False, "there is no chat template")
    if is_r1(text):
        return Opening(R1_PREFIX, "open", True, "the chat template is DeepSeek-R1's and opens no thinking")
    return Opening(
        "", "unopened", False, "the chat template neither opens nor closes thinking, and is not DeepSeek-R1's"
    )


def _addition(text: str, opening: Opening) -> str:
    if not opening.added:
        return ""
    opened = opened_thinking(text) or ""
    return opening.prefix[len(opened) :] if opened and opening.prefix.startswith(opened) else opening.prefix


def encode_prompt(tokenizer: Any, text: str, special: bool) -> tuple[int, ...]:
    """The prompt's token ids. With `special`, the tokenizer's own in front: what it would append ends no prompt."""
    plain = [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
    end = getattr(tokenizer, "eos_token_id", None)
    while plain and plain[-1] == end and not text.rstrip().endswith(str(tokenizer.eos_token)):
        plain.pop()
    if not special:
        return tuple(plain)
    whole = [int(i) for i in tokenizer(text)["input_ids"]]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[: start + len(plain)])
    return tuple(plain)


def render_prompt(tokenizer: Any, messages: Sequence[Message], response_prefix: str = AUTO) -> Prompt:
    """The prompt of a tokenizer's own chat template: see `PromptRenderer.prompt`."""
    return PromptRenderer(tokenizer).prompt(messages, response_prefix)


def bos_count(tokenizer: Any, token_ids: Sequence[int]) -> int:
    """How many beginning-of-sequence tokens a prompt begins with: 1 or 0 is right, 2 is a known cause of bad scores."""
    count = 0
    for token in token_ids:
        if tokenizer.bos_token_id is None or token != tokenizer.bos_token_id:
            break
        count += 1
    return count
