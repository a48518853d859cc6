"""The chat template of a server, seen through what the server shows of it: how a response begins there."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from evalkit.engines.prompts import AUTO, Opening, decide_opening, earlier_messages, ends_as_r1, is_r1_format
from evalkit.errors import EvalkitError
from evalkit.thinking import closing_of, opened_thinking
from evalkit.types import Message

CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}

_DATES = ("%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y")

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""POSTs JSON to a path of the server and returns its JSON, None where it has no such path."""


@dataclass(slots=True)
class ServerTemplate:
    """Asks a server for the prompts that it makes: vLLM's /tokenize and /detokenize, llama.cpp's /apply-template.

    `variables` are those of the chat template that every request carries; `continues` whether the server lets a request
    begin the response.
    """

    ask: Ask
    model: str
    variables: Mapping[str, Any]
    continues: bool
    _silent: set[str] = field(default_factory=set)

    async def text(self, messages: Sequence[Message], continued: bool = False) -> str | None:
        """The prompt that the server makes of messages, None where it does not show it."""
        request: dict[str, Any] = {"model": self.model, "messages": [dict(message) for message in messages]}
        if self.variables:
            request["chat_template_kwargs"] = dict(self.variables)
        if continued:
            request |= CONTINUE
        tokens = await self._asked("../tokenize", request, "tokens")
        if isinstance(tokens, list) and tokens:
            text = await self._asked("../detokenize", {"model": self.model, "tokens": tokens}, "prompt")
        else:
            text = None if continued else await self._asked("../apply-template", request, "prompt")
        return text if isinstance(text, str) else None

    async def _asked(self, path: str, request: Mapping[str, Any], name: str) -> Any:
        if path in self._silent:
            return None
        reply = await self.ask(path, request)
        found = reply.get(name) if isinstance(reply, dict) else None
        if found is None:
            self._silent.add(path)
        return found

    async def without_system(self, messages: Sequence[Message]) -> list[Message]:
        """Messages for "no system prompt at all": an empty one where it keeps the template from writing its own."""
        rest = list(messages[1:])
        plain, empty = await self.text(rest), await self.text(messages)
        return list(messages) if plain is not None and empty is not None and len(empty) < len(plain) else rest

    async def opening(self, messages: Sequence[Message], asked: str, local: Opening | None) -> Opening:
        """How responses begin. `local` is what a template at hand makes of it, where the server shows nothing.

        Raises EvalkitError where the user has asked for a prefix that the server does not begin responses with.
        """
        text = await self.text(messages)
        if text is None:
            found = local or _unseen(asked)
        else:
            earlier = await self.text(earlier_messages()) if asked == AUTO and ends_as_r1(text) else None
            found = decide_opening(text, asked, lambda prompt: earlier is not None and is_r1_format(prompt, earlier))
        if not found.added:
            return found
        wrong = await self._fault(messages, text, found.prefix)
        if not wrong:
            return found
        if asked != AUTO:
            raise EvalkitError(
                f"The response prefix {asked!r} cannot be had from this server: {wrong}.",
                "use --api completions, where the prompt is rendered here, or --response-prefix none.",
            )
        state = replace(found, prefix="", added=False, reason=f"{found.reason}, but {wrong}")
        return replace(state, thinking="unopened" if text is not None else "unknown")

    async def _fault(self, messages: Sequence[Message], text: str | None, prefix: str) -> str:
        """Why a response that begins with `prefix` would be a wrong one; "" where nothing is known to be wrong."""
        if not self.continues:
            return "it cannot be told how to begin a response"
        begun = [*messages, Message(role="assistant", content=prefix)]
        shown = await self.text(begun, continued=True)
        if shown is None or text is None or shown == text + prefix:
            return ""
        if "</think" in shown[len(text) :] or opened_thinking(shown.removesuffix(prefix)) == "":
            return "it puts closed thinking before it"
        return "it makes another prompt of it"


def todays_date(text: str, today: date) -> str:
    """How a prompt writes today's date, as gpt-oss's, Llama's and Granite's templates do; "" where it does not.

    Examples:
        >>> todays_date("Today Date: 26 Jul 2026", date(2026, 7, 26)), todays_date("1 + 1", date(2026, 7, 26))
        ('26 Jul 2026', '')
    """
    return next((written for form in _DATES if (written := today.strftime(form)) in text), "")


def _unseen(asked: str) -> Opening:
    if asked in (AUTO, "", "none"):
        return Opening("", "unknown", False, "the server does not show its prompts, its chat template decides")
    return Opening(asked, "open" if closing_of(asked)[0] else "unknown", True, "asked for")
