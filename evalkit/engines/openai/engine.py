"""Servers with an OpenAI-compatible API: vLLM, SGLang, llama.cpp, transformers serve, and hosted ones."""

import asyncio
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.engines.base import Engine
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.openai.http import GivenUpError, RefusedError, Servers, api_root, displayed
from evalkit.engines.openai.template import CONTINUE, ServerTemplate
from evalkit.engines.options import OpenAIOptions
from evalkit.engines.prompts import Opening, Prompt, bos_count, render_prompt
from evalkit.engines.rendering import CheckpointPrompts, template_variables
from evalkit.engines.threads import Emit, iterate_async
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.thinking import closing_of
from evalkit.types import Completion, FinishReason, Message, Request

logger = logging.getLogger(__name__)

_UNKNOWN_FIELD = re.compile(
    r"unexpected|unknown|unrecogni|extra|not permitted|not supported|unsupported", re.IGNORECASE
)
_FINISH: dict[str, FinishReason] = {"stop": "stop", "eos": "stop", "length": "length", "max_tokens": "length"}


@dataclass(frozen=True, slots=True)
class _Abilities:
    """What a server was found to do."""

    context_length: int | None
    version: str | None
    continues: bool  # a response that the request has begun
    extras: frozenset[str]  # fields beyond OpenAI's that it takes
    adds_bos: bool  # before a prompt that has one already


class OpenAIEngine(Engine):
    """One or more servers of one model.

    With api "chat" the server applies the chat template; with "completions" it gets the text rendered here, which
    needs the checkpoint's tokenizer (`model`). The key is read from EVALKIT_API_KEY or OPENAI_API_KEY.
    """

    name = "openai"
    options_class = OpenAIOptions
    honours_seeds = False  # a server may ignore them

    def __init__(self, model: str, options: OpenAIOptions) -> None:
        if not options.base_url:
            raise EvalkitError(
                "The openai engine has no server.", "give its URL with --base-url http://localhost:8000/v1."
            )
        self._roots = [api_root(url) for url in options.base_url]
        self._model = model
        self._served = options.served_model or model
        self.options = options
        self._checkpoint: Checkpoint | None = None
        self._prompts: CheckpointPrompts | None = None
        self._variables = template_variables(options)
        if options.api == "chat" and options.chat_template is not None:
            raise EvalkitError(
                "With --api chat the server applies its own chat template.", "use --api completions with it."
            )
        source = options.tokenizer or model
        if options.api == "completions" or Path(source).is_dir():
            self._checkpoint = Checkpoint(source, options.revision, options.trust_remote_code, needs_weights=False)
            self._prompts = CheckpointPrompts(self._checkpoint, options)
        self._begun: dict[tuple[str | None, str], tuple[Opening, bool]] = {}

    def identity(self) -> dict[str, Any]:
        found: dict[str, Any] = {"backend": self.name, "model": self._served, "api": self.options.api}
        if self._prompts is not None and self.options.api == "completions":
            found |= self._prompts.identity()
        elif self._variables:
            found["chat_template_args"] = self._variables
        return found

    def environment(self) -> dict[str, Any]:
        return {
            "servers": [displayed(root) for root in self._roots],
            "server_version": self._abilities.version,
            "context_length": self.context_length(),
            "continues_a_response": self._abilities.continues,
        }

    def context_length(self) -> int | None:
        return self.options.max_model_len or self._abilities.context_length

    @property
    def tokenizer(self) -> Any:
        return self._checkpoint.tokenizer if self._checkpoint else None

    def render(self, request: Request) -> Prompt | None:
        if self._prompts is None:
            return None
        return self._prompts.renderer.prompt(request.messages, request.response_prefix)

    def opening(self, request: Request) -> Opening | None:
        if self.options.api == "completions":
            prompt = self.render(request)
            return prompt.opening if prompt is not None else None
        abilities = self._abilities

        async def ask() -> Opening:
            async with self._servers() as servers:
                return (await self._beginning(servers, abilities, request))[0]

        return asyncio.run(ask())

    async def _beginning(self, servers: Servers, abilities: _Abilities, request: Request) -> tuple[Opening, bool]:
        """How a response of the chat API begins, and whether an empty system message is sent; asked once a run."""
        first = request.messages[0]
        key = (first["content"] if first["role"] == "system" else None, request.response_prefix)
        if key not in self._begun:
            template = ServerTemplate(servers.ask, self._served, self._variables, abilities.continues)
            messages = list(request.messages)
            if key[0] == "":
                messages = await template.without_system(messages)
            local = self._prompts.renderer.prompt(messages, request.response_prefix).opening if self._prompts else None
            opening = await template.opening(messages, request.response_prefix, local)
            self._begun[key] = opening, len(messages) == len(request.messages)
        return self._begun[key]

    def _servers(self) -> Servers:
        o = self.options
        return Servers(self._roots, o.concurrency, o.request_timeout, o.patience)

    @cached_property
    def _abilities(self) -> _Abilities:
        """Asked of the server once. Raises RunIncompleteError where it does not answer."""
        return asyncio.run(self._ask_abilities())

    async def _ask_abilities(self) -> _Abilities:
        async with self._servers() as servers:
            listed = await servers.get("/models")
            entries = listed.get("data") if isinstance(listed, dict) else None
            entry = self._entry(entries) if isinstance(entries, list) and entries else {}
            context = entry.get("max_model_len") or (entry.get("meta") or {}).get("n_ctx_train")
            if context is None and self._checkpoint is not None:
                context = self._checkpoint.context_length()
            version = await servers.get("../version")
            extras = frozenset(await self._accepted_extras(servers))
            return _Abilities(
                context if isinstance(context, int) else None,
                version.get("version") if isinstance(version, dict) else None,
                await self._continues(servers),
                extras,
                await self._doubles_bos(servers, extras),
            )

    def _entry(self, entries: list[Any]) -> dict[str, Any]:
        named = {e["id"]: e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)}
        if named and self._served not in named:
            raise EvalkitError(
                f"The server has no model {self._served!r}.",
                f"pass --served-model with one that it has: {', '.join(list(named)[:5])}.",
            )
        return named.get(self._served, {})

    async def _probe(self, servers: Servers, path: str, **fields: Any) -> str | None:
        """None if the server serves such a request, else what it says."""
        payload = {"model": self._served, "max_tokens": 1, "temperature": 0, **fields}
        if path == "/chat/completions":
            payload.setdefault("messages", [{"role": "user", "content": "1+1"}])
        else:
            payload.setdefault("prompt", "1+1")
        try:
            await servers.post(path, payload)
        except RefusedError as error:
            if error.status in (401, 403):
                servers.refused(error)
            return str(error)
        except GivenUpError as error:
            return str(error)
        return None

    async def _accepted_extras(self, servers: Servers) -> list[str]:
        extras = {"skip_special_tokens": False, "top_k": 20}
        if self.options.api == "completions":
            extras["add_special_tokens"] = False
        if await self._probe(servers, self._path, **extras) is None:
            return list(extras)
        return [
            name for name, value in extras.items() if await self._probe(servers, self._path, **{name: value}) is None
        ]

    async def _continues(self, servers: Servers) -> bool:
        """A server that knows both fields refuses them together; others do not know them or ignore them."""
        if self.options.api == "completions":
            return True
        both = {"continue_final_message": True, "add_generation_prompt": True}
        begun = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "It"}]
        said = await self._probe(servers, self._path, messages=begun, **both)
        return said is not None and "continue_final_message" in said and not _UNKNOWN_FIELD.search(said)

    async def _doubles_bos(self, servers: Servers, extras: frozenset[str]) -> bool:
        if self.options.api == "chat" or self._checkpoint is None or "add_special_tokens" in extras:
            return False
        tokenizer = self._checkpoint.tokenizer
        prompt = render_prompt(tokenizer, [{"role": "user", "content": "1+1"}], "")
        if not tokenizer.bos_token or not prompt.text.startswith(tokenizer.bos_token):
            return False
        payload = {"model": self._served, "prompt": prompt.text, "max_tokens": 1, "temperature": 0}
        reply, _ = await servers.post(self._path, payload)
        return (reply.get("usage") or {}).get("prompt_tokens") == len(prompt.token_ids) + 1

    @property
    def _path(self) -> str:
        return "/completions" if self.options.api == "completions" else "/chat/completions"

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        abilities = self._abilities

        async def work(emit: Emit) -> None:
            async with self._servers() as servers:
                ended: asyncio.Queue[asyncio.Task[Completion]] = asyncio.Queue()
                running: set[asyncio.Task[Completion]] = set()
                exhausted = False
                try:
                    while True:
                        while not exhausted and len(running) < servers.capacity():
                            if (request := next(requests, None)) is None:
                                exhausted = True
                                break
                            task = asyncio.create_task(self._serve(servers, abilities, request))
                            task.add_done_callback(ended.put_nowait)
                            running.add(task)
                        if not running:
                            return
                        try:
                            task = await asyncio.wait_for(ended.get(), 1.0)
                        except TimeoutError:
                            continue
                        running.discard(task)
                        emit(task.result())
                finally:
                    for task in running:
                        task.cancel()
                    await asyncio.gather(*running, return_exceptions=True)

        return iterate_async(work)

    async def _serve(self, servers: Servers, abilities: _Abilities, request: Request) -> Completion:
        try:
            payload, prefix = self._payload(abilities, request)
            if self.options.api == "chat":
                prefix = await self._begin(servers, abilities, request, payload)
        except RunIncompleteError:
            raise
        except EvalkitError as error:
            return _failed(request, "", error.message)
        try:
            reply, seconds = await servers.post(self._path, payload, unit="\x1f".join(map(str, request.key)))
        except RefusedError as error:
            servers.refused(error)
            return _failed(request, prefix, f"The server refuses the request: {error}")
        except GivenUpError as error:
            return _failed(request, prefix, f"The server {error}")
        return self._completion(request, reply, prefix, seconds)

    def _payload(self, abilities: _Abilities, request: Request) -> tuple[dict[str, Any], str]:
        """The request's JSON, and the part of the response that stands in the prompt, as far as that is known."""
        params = request.params
        payload: dict[str, Any] = {
            "model": self._served,
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": request.seed % 2**31,  # what every server takes
        }
        if params.stop:
            payload["stop"] = list(params.stop)
        if "skip_special_tokens" in abilities.extras:
            payload["skip_special_tokens"] = False
        if params.top_k is not None:
            if "top_k" not in abilities.extras:
                raise RunIncompleteError(
                    "The server does not take top_k, which the protocol sets.", "use another engine or protocol."
                )
            payload["top_k"] = params.top_k
        if self.options.api == "completions":
            prompt = self.render(request)
            assert prompt is not None
            self._require_room(prompt)
            text = prompt.text
            bare = self.tokenizer.bos_token and not text.startswith(self.tokenizer.bos_token)
            if bare and "add_special_tokens" in abilities.extras and bos_count(self.tokenizer, prompt.token_ids):
                text = self.tokenizer.bos_token + text  # of a base model: the server adds none
            if abilities.adds_bos:
                text = text.removeprefix(self.tokenizer.bos_token)
            payload["prompt"] = text
            if "add_special_tokens" in abilities.extras:
                payload["add_special_tokens"] = False
            return payload, prompt.prefix
        payload["messages"] = list(request.messages)
        kwargs = {k: v for k, v in self._variables.items() if v != self.options.reasoning_effort}
        if kwargs:
            payload["chat_template_kwargs"] = kwargs
        if self.options.reasoning_effort is not None:
            payload["reasoning_effort"] = self.options.reasoning_effort
        return payload, ""

    async def _begin(self, servers: Servers, abilities: _Abilities, request: Request, payload: dict[str, Any]) -> str:
        """Put the beginning of the response into a payload of the chat API; the response's prefix."""
        opening, keeps_system = await self._beginning(servers, abilities, request)
        if request.messages[0]["role"] == "system" and not request.messages[0]["content"] and not keeps_system:
            payload["messages"] = payload["messages"][1:]
        if opening.added:
            payload["messages"] = [*payload["messages"], Message(role="assistant", content=opening.prefix)]
            payload.update(CONTINUE)
        return opening.prefix

    def _require_room(self, prompt: Prompt) -> None:
        """Raises EvalkitError where the prompt fills the context: some servers cut it and say nothing."""
        context = self.context_length()
        if context is not None and len(prompt.token_ids) >= context:
            raise EvalkitError(
                f"The prompt has {len(prompt.token_ids)} tokens, which leaves no room in a context of {context}.",
                "use a model with a longer context.",
            )

    def _completion(self, request: Request, reply: dict[str, Any], prefix: str, seconds: float) -> Completion:
        choice = reply["choices"][0] if isinstance(reply["choices"], list) else {}
        text, prefix = response_text(choice, prefix)
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        finish = _FINISH.get(str(reason))
        if text is None or finish is None:
            return _failed(request, prefix, f"The server ended with finish_reason {reason!r}.", text or "")
        prompt_tokens, completion_tokens = usage_tokens(reply.get("usage"), text, request.params.max_tokens)
        at = min((i for stop in request.params.stop if (i := text.find(stop)) >= 0), default=None)
        if at is not None:  # a server that ignores `stop`, or leaves the string in the text
            text, finish = text[:at], "stop"
        return Completion(*request.key, text, finish, prompt_tokens, completion_tokens, seconds, prefix)


def response_text(choice: Any, prefix: str) -> tuple[str | None, str]:
    """The response as the model wrote it, and its prefix; thinking that a parser took out is joined back.

    The tags are those of the prefix, else `<think>` and `</think>`. A parser may drop the line breaks around them;
    where it has, those that DeepSeek-R1 writes are put there.
    """
    if not isinstance(choice, dict):
        return None, prefix
    if isinstance(choice.get("text"), str):
        return choice["text"], prefix
    message = choice.get("message")
    if not isinstance(message, dict):
        return None, prefix
    content = message.get("content")
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(thinking, str) or not thinking:
        return (content if isinstance(content, str) else None), prefix
    is_open, closing = closing_of(prefix)
    opening = "" if is_open else "<think>\n"
    if not isinstance(content, str) or not content:
        return opening + thinking, prefix
    before = "" if thinking.endswith("\n") else "\n"
    after = "" if content.startswith("\n") else "\n\n"
    return f"{opening}{thinking}{before}{closing}{after}{content}", prefix


def usage_tokens(usage: Any, text: str, max_tokens: int) -> tuple[int | None, int | None]:
    """Prompt and completion tokens of a server's `usage`; None for what is missing or what cannot be."""
    if not isinstance(usage, dict):
        return None, None
    prompt, completion, total = (usage.get(f"{kind}_tokens") for kind in ("prompt", "completion", "total"))
    if not isinstance(prompt, int) or not isinstance(completion, int) or prompt < 1:
        return None, None
    if not min(1, len(text)) <= completion <= max_tokens + 1 or total not in (None, prompt + completion):
        return None, None
    return prompt, completion


def _failed(request: Request, prefix: str, error: str, text: str = "") -> Completion:
    return Completion(*request.key, text, "error", None, None, 0.0, prefix, error)
