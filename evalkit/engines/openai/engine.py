"""Servers with an OpenAI-compatible API: vLLM, SGLang, llama.cpp, transformers serve, and hosted ones."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.engines.base import REFUSED, Engine
from evalkit.engines.checkpoint import Checkpoint, is_hub_id
from evalkit.engines.openai.addresses import api_root, displayed, read_headers
from evalkit.engines.openai.dialects import UNKNOWN, RequestForm, RequestOptions, find_preset
from evalkit.engines.openai.faults import GivenUpError, RefusedError, tidy
from evalkit.engines.openai.http import Servers, Trouble
from evalkit.engines.openai.probing import Abilities, Prober
from evalkit.engines.openai.replies import OpenThinking, choice_of, ending, response_text, usage_tokens
from evalkit.engines.openai.template import CONTINUE, Ask, ServerTemplate, todays_date
from evalkit.engines.options import OpenAIOptions
from evalkit.engines.prompts import AUTO, R1_PREFIX, Opening, Prompt, bos_count, render_prompt
from evalkit.engines.rendering import CheckpointPrompts, template_variables
from evalkit.engines.threads import Emit, iterate_async, run_async
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.store.identity import model_label
from evalkit.types import Completion, FinishReason, Message, Request

logger = logging.getLogger(__name__)

_TELLING = 8  # requests, the first ones, whose whole responses tell whether the chat template opens thinking
_LESSONS = 16  # that one request may teach
_MOST_NOTICES = 40
_LONG_SECRET = 12  # characters: a shorter one may be a word of the response


@dataclass(slots=True)
class Notices:
    """What is told once, however often it comes, and counted."""

    counts: dict[str, int] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def tell(self, key: str, message: str) -> None:
        if key not in self.counts and len(self.counts) >= _MOST_NOTICES:
            return  # a server that gives another reason each time
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.counts[key] == 1:
            logger.warning("%s", message)

    def once(self, message: str) -> None:
        """Tell what is so for every response."""
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s", message)

    def sum_up(self) -> None:
        """Tell how often each came that came more than once."""
        if often := [f"{key}: {count}" for key, count in sorted(self.counts.items()) if count > 1]:
            logger.warning("responses with %s", ", ".join(often))


class OpenAIEngine(Engine):
    """One or more servers of one model.

    With api "chat" the server applies the chat template; with "completions" it gets the text rendered here, which
    needs the checkpoint's tokenizer (`model`). The key is read from EVALKIT_API_KEY or OPENAI_API_KEY.
    """

    name = "openai"
    options_class = OpenAIOptions
    honours_seeds = False  # a server may ignore them
    caps_at_context = True

    def __init__(self, model: str, options: OpenAIOptions) -> None:
        if not options.base_url:
            raise EvalkitError(
                "The openai engine has no server.",
                "give its URL with --base-url http://localhost:8000/v1; in Python with "
                'engine_options={"base_url": "http://localhost:8000/v1"}.',
            )
        self._roots = list(dict.fromkeys(api_root(url) for url in options.base_url))
        self._model = model
        self._served = options.served_model or model
        self.options = options
        self._headers = read_headers(options.header)
        self._wanted = RequestOptions.read(options.request_field, options.drop_field, options.rename_field)
        find_preset(options.server_preset, "", "", "")
        self._form = RequestForm(self._wanted)
        self._trouble = Trouble()
        self._notices = Notices()
        self._open_thinking = OpenThinking()
        self._drawn = 0  # requests
        self._undecided: set[int] = set(range(_TELLING))
        self._held: list[tuple[Request, Completion]] = []
        self._answered_as: list[str] = []
        self._least_room: int | None = None
        self._earlier_servers: list[Any] = []
        self._checkpoint: Checkpoint | None = None
        self._prompts: CheckpointPrompts | None = None
        self._variables = template_variables(options)
        if options.api == "chat" and options.chat_template is not None:
            raise EvalkitError(
                "With --api chat the server applies its own chat template.", "use --api completions with it."
            )
        source = options.tokenizer or model
        if options.api == "completions" or Path(source).is_dir():
            self._checkpoint = _tokenizer_of(source, options)
            self._prompts = CheckpointPrompts(self._checkpoint, options)
        self._dated = ""
        self._begun: dict[tuple[str | None, str], tuple[Opening, bool]] = {}

    def identity(self) -> dict[str, Any]:
        found: dict[str, Any] = {"backend": self.name, "model": self._served, "api": self.options.api}
        if self.options.served_model and (label := model_label(self._model)) != self._served:
            found["label"] = label
        if self._prompts is not None and self.options.api == "completions":
            found |= self._prompts.identity()
        elif self._variables:
            found["chat_template_args"] = self._variables
        given = self._wanted.identity()
        if self.options.server_preset:
            given["preset"] = self.options.server_preset
        return {**found, "requests": given} if given else found

    def environment(self) -> dict[str, Any]:
        found = {
            "servers": [displayed(root) for root in self._roots],
            "server_version": self._abilities.version,
            "server_marks": self._abilities.described_marks(),
            "context_length": self.context_length(),
            "continues_a_response": self._abilities.continues,
            "requests": self._form.describe(),
        }
        if self._headers:
            found["headers"] = sorted(self._headers)  # without their values, which may be keys
        if told := self._open_thinking.described():
            found["whole_responses"] = told
        if self._answered_as:
            found["answered_as"] = list(self._answered_as)
        if self._least_room is not None:
            found["least_room"] = self._least_room
        if self._notices.counts:
            found["notices"] = dict(sorted(self._notices.counts.items()))
        if self._dated:
            found["date_in_prompts"] = self._dated
        if self._trouble.count:
            found["faults"] = {"count": self._trouble.count, "last": self._trouble.last}
        if self._earlier_servers:
            found["earlier_servers"] = self._earlier_servers
        return found

    def trouble(self) -> str:
        return str(self._trouble)

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

        return run_async(ask)

    async def _beginning(self, servers: Servers, abilities: Abilities, request: Request) -> tuple[Opening, bool]:
        """How a response of the chat API begins, and whether an empty system message is sent; asked once a run."""
        first = request.messages[0]
        key = (first["content"] if first["role"] == "system" else None, request.response_prefix)
        if key not in self._begun:
            template = ServerTemplate(self._asking(servers), self._served, self._variables, abilities.continues)
            messages = list(request.messages)
            if key[0] == "":
                messages = await template.without_system(messages)
            local = self._prompts.renderer.prompt(messages, request.response_prefix) if self._prompts else None
            opening = await template.opening(messages, request.response_prefix, local.opening if local else None)
            self._tell_the_date(await template.text(messages), local)
            self._begun[key] = opening, len(messages) == len(request.messages)
        return self._begun[key]

    def _tell_the_date(self, shown: str | None, local: Prompt | None) -> None:
        """A server's template writes the day on which it is asked: the same run tomorrow has other prompts."""
        if todays_date(shown, date.today()) if shown is not None else local is not None and local.dated:
            self._dated = date.today().isoformat()
            self._notices.once(
                "the server's chat template writes today's date into every prompt; with --api completions prompts are "
                f"rendered here, always with {self.options.template_date} (--template-date)"
            )

    def _asking(self, servers: Servers) -> Ask:
        """POST to the first server, where it is of a kind that may show its prompts."""

        async def ask(path: str, payload: Mapping[str, Any]) -> Any:
            if not self._form.preset.shows_prompts:
                return None
            return await servers.ask(servers.members[0], path, payload)

        return ask

    def verify_resumed(self, recorded: Mapping[str, Any]) -> None:
        """Raises EvalkitError where the servers are not those that a run on disk was made by, as far as can be told."""
        earlier = [mark for mark in recorded.get("server_marks") or [] if isinstance(mark, dict)]
        self._earlier_servers = list(recorded.get("earlier_servers") or [])
        if self._open_thinking.restore(recorded.get("whole_responses")):
            self._undecided.clear()
        if not earlier:
            return
        mark = self._abilities.marks[0]
        differing = mark.differences(earlier[0])
        if differing and mark.answer != earlier[0].get("answer") and self._answers_once(earlier[0].get("answer")):
            differing = [each for each in differing if not each.startswith("answer ")]
        addresses = {str(each.get("base_url")) for each in earlier}
        moved = mark.base_url not in addresses
        if not differing and (not moved or mark.recognises(earlier[0])):
            if moved:
                logger.warning("the run was begun with %s; %s has the same model", min(addresses), mark.base_url)
            return
        why = "; ".join(differing) or f"it was at {min(addresses)}, and nothing tells whether it is the same model"
        if not self.options.accept_changed_server:
            raise EvalkitError(
                f"The server {mark.base_url} is not the one that made this run: {why}.",
                "choose another folder with -o for a new run; --accept-changed-server goes on with this one, recorded.",
            )
        logger.warning("the server %s is not the one that began this run (%s); this is recorded", mark.base_url, why)
        self._earlier_servers += [each for each in earlier if each not in self._earlier_servers]

    def _answers_once(self, wanted: Any) -> bool:
        """Whether the first server, asked twice more, gives that answer to the probe: rounding may turn a token."""
        if not isinstance(wanted, str):
            return False

        async def ask() -> bool:
            async with self._servers() as servers:
                prober = self._prober(servers)
                return any([await prober.answer_again(servers.members[0]) == wanted for _ in range(2)])

        return run_async(ask)

    def _servers(self, proven: bool = False) -> Servers:
        o = self.options
        waiting = (o.concurrency, o.request_timeout, o.patience)
        return Servers(
            self._roots, *waiting, self._headers, self._trouble, proven, self._streams, self._form.preset.thinks_unseen
        )

    def _prober(self, servers: Servers) -> Prober:
        return Prober(servers, self._form, self._served, self._path, self.options.server_preset)

    @cached_property
    def _abilities(self) -> Abilities:
        """Asked of the servers once. Raises RunIncompleteError where none answers."""
        return run_async(self._ask_abilities)

    async def _ask_abilities(self) -> Abilities:
        own: dict[str, Any] = {"skip_special_tokens": False}
        if self.options.api == "completions":
            own["add_special_tokens"] = False
        async with self._servers() as servers:
            if not self.options.stream:
                self._form.streams = False
            found = await self._prober(servers).abilities(own)
            self._streams = servers.streams
            reached = {displayed(server.root) for server in servers.members}
            self._roots = [root for root in self._roots if displayed(root) in reached]
            self._adds_bos = await self._doubles_bos(servers, found)
        self._tell_what_was_found(found)
        if found.context_length is None and self._checkpoint is not None:
            found = replace(found, context_length=self._checkpoint.context_length())
        return found

    def _tell_what_was_found(self, found: Abilities) -> None:
        form, preset = self._form.describe(), self._form.preset
        if preset is not UNKNOWN:
            version = f" {found.version}" if found.version else ""
            logger.info("server: %s%s", preset.name, version)
        if not_sent := [name for name in preset.drops if name in form.get("not_sent", {})]:
            logger.warning("%s takes no %s: not sent", preset.name, ", ".join(not_sent))
        if preset.note:
            logger.warning("%s: %s", preset.name, preset.note)

    _streams = False  # whether the server was seen to send responses as they are made
    _adds_bos = False  # before a prompt that has one already

    async def _doubles_bos(self, servers: Servers, found: Abilities) -> bool:
        if self.options.api == "chat" or self._checkpoint is None or "add_special_tokens" in found.takes:
            return False
        tokenizer = self._checkpoint.tokenizer
        prompt = render_prompt(tokenizer, [{"role": "user", "content": "1+1"}], "")
        if not tokenizer.bos_token or not prompt.text.startswith(tokenizer.bos_token):
            return False
        payload = {"model": self._served, "prompt": prompt.text, "max_tokens": 1, "temperature": 0}
        reply, _ = await servers.post(self._path, self._form.shape(payload))
        usage = reply.get("usage")
        return isinstance(usage, dict) and usage.get("prompt_tokens") == len(prompt.token_ids) + 1

    @property
    def _path(self) -> str:
        return "/completions" if self.options.api == "completions" else "/chat/completions"

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        abilities = self._abilities

        async def work(emit: Emit) -> None:
            async with self._servers(proven=True) as servers:
                ended: asyncio.Queue[asyncio.Task[Completion]] = asyncio.Queue()
                running: dict[asyncio.Task[Completion], tuple[int, Request]] = {}
                exhausted = False
                try:
                    while True:
                        while not exhausted and len(running) < servers.capacity():
                            if (request := next(requests, None)) is None:
                                exhausted = True
                                break
                            task = asyncio.create_task(self._serve(servers, abilities, request))
                            task.add_done_callback(ended.put_nowait)
                            running[task] = self._drawn, request
                            self._drawn += 1
                        if not running:
                            return
                        try:
                            task = await asyncio.wait_for(ended.get(), 1.0)
                        except TimeoutError:
                            continue
                        number, request = running.pop(task)
                        for completion in self._decided(number, request, task.result()):
                            emit(completion)
                finally:
                    for completion in self._release():
                        emit(completion)
                    for task in running:
                        task.cancel()
                    await asyncio.gather(*running, return_exceptions=True)

        try:
            yield from iterate_async(work)
        finally:
            self._notices.sum_up()

    async def _serve(self, servers: Servers, abilities: Abilities, request: Request) -> Completion:
        try:
            payload, prefix, room = self._payload(abilities, request)
            if self.options.api == "chat":
                prefix = await self._begin(servers, abilities, request, payload)
        except RunIncompleteError:
            raise
        except EvalkitError as error:
            return _failed(request, "", error.message)
        unit = "\x1f".join(map(str, request.key))
        for _ in range(_LESSONS):
            sent = self._form.shape(payload, room)
            try:
                reply, seconds = await servers.post(self._path, sent, unit=unit)
            except RefusedError as error:
                lesson = self._form.learn(error, sent)
                if lesson is None:
                    servers.refused(error)
                    return _failed(request, prefix, f"{REFUSED}{error}")
                for sentence in lesson.told:
                    logger.warning("%s", sentence)
                room = lesson.room or room
            except GivenUpError as error:
                return _failed(request, prefix, f"The server {error}", error.partial)
            else:
                if servers.cached:
                    self._notices.tell(
                        "one reply for several requests",
                        "the server gives one reply, id and all, to several requests: it may have a cache",
                    )
                limit = sent.get(self._form.renamed.get("max_tokens", "max_tokens"), request.params.max_tokens)
                return self._completion(request, reply, prefix, seconds, limit, servers)
        return _failed(request, prefix, f"{REFUSED}it finds another fault each time")

    def _payload(self, abilities: Abilities, request: Request) -> tuple[dict[str, Any], str, int | None]:
        """The request's JSON, the part of the response that stands in the prompt, and the room that the context leaves.

        The last two as far as they are known.
        """
        params = request.params
        payload: dict[str, Any] = {
            "model": self._served,
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": request.seed if self._form.preset.name == "vllm" else request.seed % 2**31,  # what all take
        }
        if params.stop:
            payload["stop"] = list(params.stop)
        if "skip_special_tokens" in abilities.takes:
            payload["skip_special_tokens"] = False
        if params.top_k is not None:
            payload["top_k"] = params.top_k
        if self.options.api == "completions":
            prompt = self.render(request)
            assert prompt is not None
            room = self._room(prompt)
            text = prompt.text
            bare = self.tokenizer.bos_token and not text.startswith(self.tokenizer.bos_token)
            if bare and "add_special_tokens" in abilities.takes and bos_count(self.tokenizer, prompt.token_ids):
                text = self.tokenizer.bos_token + text  # of a base model: the server adds none
            if self._adds_bos:
                text = text.removeprefix(self.tokenizer.bos_token)
            payload["prompt"] = text
            if "add_special_tokens" in abilities.takes:
                payload["add_special_tokens"] = False
            return payload, prompt.prefix, room
        payload["messages"] = list(request.messages)
        room = None
        if (local := self.render(request)) is not None:
            room = self._room(local)
        kwargs = {k: v for k, v in self._variables.items() if v != self.options.reasoning_effort}
        if kwargs:
            payload["chat_template_kwargs"] = kwargs
        if self.options.reasoning_effort is not None:
            payload["reasoning_effort"] = self.options.reasoning_effort
        return payload, "", room

    async def _begin(self, servers: Servers, abilities: Abilities, request: Request, payload: dict[str, Any]) -> str:
        """Put the beginning of the response into a payload of the chat API; the response's prefix."""
        opening, keeps_system = await self._beginning(servers, abilities, request)
        if request.messages[0]["role"] == "system" and not request.messages[0]["content"] and not keeps_system:
            payload["messages"] = payload["messages"][1:]
        if opening.added:
            payload["messages"] = [*payload["messages"], Message(role="assistant", content=opening.prefix)]
            payload.update(CONTINUE)
        return opening.prefix

    def _room(self, prompt: Prompt) -> int | None:
        """The tokens that the context leaves. Raises EvalkitError where it leaves none: some servers cut the prompt."""
        context = self.context_length()
        if context is None:
            return None
        if len(prompt.token_ids) >= context:
            raise EvalkitError(
                f"The prompt has {len(prompt.token_ids)} tokens, which leaves no room in a context of {context}.",
                "use a model with a longer context.",
            )
        return context - len(prompt.token_ids)

    def _completion(
        self, request: Request, reply: Mapping[str, Any], prefix: str, seconds: float, limit: int, servers: Servers
    ) -> Completion:
        choice, count = choice_of(dict(reply))
        if count > 1:
            self._notices.tell(
                "several choices", f"a reply has {count} choices, though one was asked for: the first counts"
            )
        self._note_the_model(reply)
        text, prefix = response_text(choice, prefix)
        reason = choice.get("finish_reason")
        finish = ending(reason)
        if text is not None:
            text = _without_secrets(text, servers)
        if finish == "filtered":
            return _failed(
                request, prefix, f"{REFUSED}its content filter ended the response ({tidy(str(reason))})", text
            )
        if text is None or finish == "failed":
            what = "The server's reply has no text" if text is None else "The server's response failed"
            return _failed(request, prefix, f"{what} (finish_reason {tidy(repr(reason), 80)}).", text)
        prompt_tokens, completion_tokens = usage_tokens(reply.get("usage"), text, limit)
        finish = self._checked_ending(reason, finish, completion_tokens, limit, request)
        at = min((i for stop in request.params.stop if (i := text.find(stop)) >= 0), default=None)
        if at is not None:  # a server that ignores `stop`, or leaves the string in the text
            text, finish = text[:at], "stop"
        return Completion(*request.key, text, finish, prompt_tokens, completion_tokens, seconds, prefix)

    def _decided(self, number: int, request: Request, completion: Completion) -> list[Completion]:
        """The completions that can be emitted once this one has come.

        Where nothing shows the chat template, whole responses tell whether a cut one without a tag is thinking: those
        of the first requests, whichever comes first, so that the same responses give the same completions. A cut one
        that comes before these have ended is held.
        """
        if completion.prefix or self._checkpoint is not None or self._abilities.shows_prompts:
            return [completion]
        if number in self._undecided and completion.finish_reason == "stop":
            self._open_thinking.note(completion.text)
        self._undecided.discard(number)
        if completion.finish_reason == "length":
            self._held.append((request, completion))
            return [] if self._undecided else self._release()
        return [completion] if self._undecided else [completion, *self._release()]

    def _release(self) -> list[Completion]:
        """The completions that were held, each with what opened its thinking."""
        held, self._held = self._held, []
        return [replace(completion, prefix=self._found_prefix(completion, request)) for request, completion in held]

    def _found_prefix(self, completion: Completion, request: Request) -> str:
        """What opened the thinking of a response that was cut, by what whole responses of this server have shown."""
        wanted = R1_PREFIX if request.response_prefix == AUTO else request.response_prefix
        found = self._open_thinking.prefix_of_cut(completion.text, wanted)
        if found:
            self._notices.tell(
                "thinking that was cut",
                "a response was cut before it closed its thinking: it counts as thinking, not as an answer",
            )
        return found

    def _checked_ending(
        self, reason: Any, finish: FinishReason, tokens: int | None, limit: int, request: Request
    ) -> FinishReason:
        """The finish reason beside the count of tokens, and what there is to tell of the two."""
        wanted = request.params.max_tokens
        if finish == "unknown":
            if tokens is not None and tokens >= limit:
                self._notices.tell("no reason, cut", "a response of max_tokens has no finish reason: it counts as cut")
                return "length"
            name = "no finish reason" if reason in (None, "") else f"the finish reason {tidy(str(reason), 40)!r}"
            self._notices.tell(name, f"a response has {name}: it counts as ended for an unknown reason")
        if tokens is None:
            return finish
        if finish == "stop" and tokens >= limit:
            self._notices.tell(
                "the finish reason stop at exactly max_tokens",
                f"a response of exactly {limit} tokens, the most that were asked for, has the finish reason "
                f"{tidy(str(reason), 40)!r}: it may have been cut",
            )
        if finish == "length" and tokens < wanted:
            self._least_room = min(tokens, self._least_room or tokens)
            self._notices.tell(
                "a cut before max_tokens",
                f"the server cut a response at {tokens} tokens, before max_tokens ({wanted}): the context's end, or a "
                "limit of its own",
            )
        return finish

    def _note_the_model(self, reply: Mapping[str, Any]) -> None:
        """Tell where replies name another model than before."""
        name = reply.get("model")
        if not isinstance(name, str) or tidy(name, 200) in self._answered_as or len(self._answered_as) >= 20:
            return
        self._answered_as.append(tidy(name, 200))
        if len(self._answered_as) > 1:
            logger.warning("the server answers as the model %r now, before as %r", *reversed(self._answered_as[-2:]))


def _tokenizer_of(source: str, options: OpenAIOptions) -> Checkpoint:
    """The checkpoint whose tokenizer renders the prompts. Raises EvalkitError where there is none."""
    if not Path(source).is_dir() and not is_hub_id(source):
        raise EvalkitError(
            f"The prompts cannot be rendered: {source} is neither a folder nor a hub id.",
            "with --api completions, name the folder or hub id of the tokenizer with --tokenizer; no weights are used.",
        )
    revision = None if Path(source).is_dir() else options.revision  # of MODEL, which is the server's
    return Checkpoint(source, revision, options.trust_remote_code, needs_weights=False)


def _without_secrets(text: str, servers: Servers) -> str:
    """The text without the key, should a server have put it there."""
    return servers.redacted(text, _LONG_SECRET)


def _failed(request: Request, prefix: str, error: str, text: str | None = "") -> Completion:
    return Completion(*request.key, text or "", "error", None, None, 0.0, prefix, error)
