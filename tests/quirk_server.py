"""A server with an OpenAI-compatible API and the quirks of real ones: each scenario is one entry of `SCENARIOS`.

A scenario is a function from a request to what is sent. The model behind all of them is right about every sum:
`answer_of` reads it from the prompt.
"""

import asyncio
import gzip
import json
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

THINKING = "The digits add up."


@dataclass(slots=True)
class Asked:
    """One request: method, path, headers, JSON, which one of its kind it is, and the server that got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    number: int  # of the POSTs for completions, from 1
    server: "QuirkServer"

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"] if "messages" in self.body else self.body.get("prompt"))

    @property
    def is_probe(self) -> bool:
        return "animals" in self.prompt or "1+1" in json.dumps(self.body)


@dataclass(slots=True)
class Sent:
    """A reply. `pieces` are written one after the other; "abort" and "close" among them end the connection."""

    status: int = 200
    pieces: Any = ()
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True  # with content-length; without, in chunks
    raw: bool = False  # pieces are all that is written, head included


Scenario = Callable[[Asked], Sent | None]
"""None: as a plain server would."""


def answer_of(prompt: str) -> str:
    found = re.search(r"What is (\d+) ([-+*×x−]) (\d+)", prompt)
    if found is None:
        return "7 cats, 6 dogs"
    left, sign, right = int(found[1]), found[2], int(found[3])
    value = left + right if sign == "+" else left - right if sign in "-−" else left * right
    return f"It is \\boxed{{{value}}}."


def reply(asked: Asked, content: Any = None, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """A whole reply; `more` goes into the message."""
    text = answer_of(asked.prompt) if content is None else content
    message = {"role": "assistant", "content": text, **more}
    return {
        "id": f"cmpl-{asked.server.name}-{asked.number}",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17},
    }


def whole(asked: Asked, content: Any = None, finish: Any = "stop", **more: Any) -> Sent:
    return as_json(reply(asked, content, finish, **more))


def as_json(value: Any, status: int = 200, **headers: str) -> Sent:
    return Sent(status, [json.dumps(value).encode()], {"content-type": "application/json", **headers})


def error(status: int, message: str, **more: Any) -> Sent:
    headers = more.pop("headers", {})
    return as_json({"error": {"message": message, "type": "invalid_request_error", **more}}, status, **headers)


def chunk(asked: Asked, delta: dict[str, Any] | None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": f"cmpl-{asked.server.name}-{asked.number}", "model": "m", "choices": choices, **more}


def chunks(asked: Asked, text: str | None = None, finish: Any = "stop", name: str = "content") -> list[dict[str, Any]]:
    words = re.findall(r"\S+\s*|\s+", answer_of(asked.prompt) if text is None else text)
    made = [chunk(asked, {"role": "assistant", "content": ""})]
    made += [chunk(asked, {name: word}) for word in words]
    usage = {"prompt_tokens": 9, "completion_tokens": len(words), "total_tokens": 9 + len(words)}
    return [*made, chunk(asked, {}, finish), chunk(asked, None, usage=usage)]


def events(values: list[Any], end: str = "\n\n", done: str = "data: [DONE]\n\n", start: str = "data: ") -> Sent:
    pieces = [f"{start}{value if isinstance(value, str) else json.dumps(value)}{end}".encode() for value in values]
    return Sent(200, [*pieces, done.encode()], {"content-type": "text/event-stream"}, length=False)


def plain(asked: Asked) -> Sent:
    """What a server without quirks does: streams if that is asked for."""
    path = asked.path.partition("?")[0]
    if asked.method == "GET":
        if path.endswith("/models"):
            return as_json({"object": "list", "data": [{"id": "m", "created": 1700000000, "owned_by": "me"}]})
        return as_json({"error": "no such page"}, 404)
    if not path.endswith("/completions"):
        return as_json({"error": "no such page"}, 404)
    return events(chunks(asked)) if asked.body.get("stream") else whole(asked)


class QuirkServer:
    """One scenario, in a thread of its own. `seen` are the requests."""

    def __init__(self, scenario: Scenario, name: str = "a", tls: ssl.SSLContext | None = None) -> None:
        self.scenario = scenario
        self.name = name
        self.tls = tls
        self.seen: list[Asked] = []
        self.state: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def posts(self) -> list[Asked]:
        return [asked for asked in self.seen if asked.method == "POST"]

    def __enter__(self) -> "QuirkServer":
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls, limit=1 << 24)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await reader.readexactly(1)
            if first == b"\x16":  # TLS
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            while (asked := await self._read(reader, first)) is not None:
                first = b""
                sent = self.scenario(asked) or plain(asked)
                await self._write(writer, sent)
                if sent.raw or sent.headers.get("connection") == "close":
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, first: bytes) -> Asked | None:
        try:
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        number = len(self.posts) + (method == "POST")
        asked = Asked(method, path, headers, json.loads(body) if body else {}, number, self)
        self.seen.append(asked)
        return asked

    async def _write(self, writer: asyncio.StreamWriter, sent: Sent) -> None:
        pieces = sent.pieces
        if not sent.raw:
            headers = dict(sent.headers)
            if sent.length:
                headers.setdefault("content-length", str(sum(map(len, pieces))))
            else:
                headers["transfer-encoding"] = "chunked"
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"HTTP/1.1 {sent.status} X\r\n{lines}\r\n".encode())
        async for piece in _each(pieces):
            if piece == "abort":
                writer.transport.abort()
                raise ConnectionError
            if piece == "close":
                return
            if not piece:  # an empty chunk would be the end
                continue
            writer.write(piece if sent.length or sent.raw else b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        if not sent.length and not sent.raw:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _each(pieces: Any) -> AsyncIterator[Any]:
    if hasattr(pieces, "__aiter__"):
        async for piece in pieces:
            yield piece
        return
    for piece in pieces:
        yield piece


async def endless(piece: bytes, every: float = 0.0, first: bytes = b"") -> AsyncIterator[bytes]:
    if first:
        yield first
    while True:
        yield piece
        await asyncio.sleep(every)


@dataclass(frozen=True, slots=True)
class Quirk:
    """A scenario and what has to come of it.

    `right`: every sample is answered and right. Else `code` and a word of the one sentence. `told` are words on
    stderr. `options` go to the command. `status` is that of every sample where it is not "correct".
    """

    serve: Scenario
    code: int = 0
    sentence: str = ""
    told: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    status: str = "correct"
    finish: str = ""


def completions(make: Callable[[Asked], Sent | None], probes: bool = False) -> Scenario:
    """A quirk of requests for completions alone, and only of those of the run unless `probes`."""

    def serve(asked: Asked) -> Sent | None:
        if asked.method == "POST" and asked.path.endswith("completions") and (probes or not asked.is_probe):
            return make(asked)
        return None

    return serve


def listing(value: Any, status: int = 200) -> Scenario:
    """A quirk of the list of models."""
    return lambda asked: as_json(value, status) if asked.path.endswith("/models") else None


def once_in(count: int, make: Callable[[Asked], Sent | None]) -> Callable[[Asked], Sent | None]:
    """A fault of the first of every `count` requests."""
    return lambda asked: make(asked) if asked.number % count == 1 else None


def refuses(*names: str, words: str = "Unrecognized request argument supplied: {}", status: int = 400) -> Scenario:
    """A server that does not know some fields, and says so of the first."""

    def make(asked: Asked) -> Sent | None:
        there = [name for name in names if name in asked.body]
        return error(status, words.format(there[0])) if there else None

    return completions(make, probes=True)


def at_most(limit: int, words: str) -> Scenario:
    def make(asked: Asked) -> Sent | None:
        most = asked.body.get("max_tokens", 0)
        return error(400, words.format(most=most, limit=limit)) if most > limit else None

    return completions(make, probes=True)


def moved(where: Callable[[Asked], str]) -> Scenario:
    return lambda asked: Sent(307, [], {"location": where(asked)})


def in_form(*pieces: bytes, kind: str = "application/json", **headers: str) -> Sent:
    return Sent(200, list(pieces), {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}})


def keeps_alive(asked: Asked) -> Sent:
    comments: list[Any] = [
        b": keep-alive\n\n",
        b": OPENROUTER PROCESSING\n\n",
        b"data: : wrapped\n\n",
        b"\n",
        b"retry: 5\n",
    ]
    sent = events(chunks(asked))
    sent.pieces = [comments[0], comments[1], *(p for piece in sent.pieces for p in (comments[2], piece, comments[3]))]
    return sent


def odd_splits(asked: Asked) -> Sent:
    text = b"".join(events(chunks(asked, "🙂 " + answer_of(asked.prompt))).pieces)
    text = text.replace(b"\\ud83d\\ude42", "🙂".encode())
    return Sent(200, [text[i : i + 7] for i in range(0, len(text), 7)], length=False)


def half_surrogates(asked: Asked) -> Sent:
    made = chunks(asked)
    made[1:1] = [chunk(asked, {"content": "\ud83d"}), chunk(asked, {"content": "\ude42 "})]
    return events(made)


def cumulative(asked: Asked) -> Sent:
    words = re.findall(r"\S+\s*", "I add. Then I carry. " + answer_of(asked.prompt))
    return events(
        [*(chunk(asked, {"content": "".join(words[: i + 1])}) for i in range(len(words))), chunk(asked, {}, "stop")]
    )


def repeated_at_the_end(asked: Asked) -> Sent:
    made = chunks(asked, "First I add the two. " + answer_of(asked.prompt))
    made[-2]["choices"][0]["delta"] = {"content": "First I add the two. " + answer_of(asked.prompt)}
    return events(made)


def reasoning_in(name: str) -> Callable[[Asked], Sent]:
    def make(asked: Asked) -> Sent:
        return events([*chunks(asked, THINKING, None, name)[:-2], *chunks(asked)])

    return make


def twice_the_thinking(asked: Asked) -> Sent:
    return whole(asked, f"<think>{THINKING}</think>{answer_of(asked.prompt)}", reasoning_content=THINKING)


def parts(asked: Asked) -> Sent:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THINKING}]}
    return whole(asked, [thinking, {"type": "text", "text": answer_of(asked.prompt)}])


def streamed_parts(asked: Asked) -> Sent:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THINKING}]}
    return events([chunk(asked, {"content": [thinking]}), *chunks(asked)])


def two_choices(asked: Asked) -> Sent:
    made = reply(asked)
    made["choices"] = [{**made["choices"][0], "index": 1, "message": {"content": "\\boxed{0}"}}, *made["choices"]]
    return as_json(made)


def wrong_index(asked: Asked) -> Sent:
    made = chunks(asked)
    for each in made:
        for choice in each["choices"]:
            choice["index"] = 3
    return events(made)


def mixed_choices(asked: Asked) -> Sent:
    other = chunk(asked, {"content": "no "})
    other["choices"][0]["index"] = 1
    return events([piece for each in chunks(asked) for piece in (each, other)])


def one_id(asked: Asked) -> Sent:
    return as_json({**reply(asked), "id": "chatcmpl-0"})


def cuts_stream(asked: Asked) -> Sent:
    sent = events(chunks(asked)[:3], done="")
    sent.pieces = [*sent.pieces, "abort"]
    return sent


def ends_without_end(asked: Asked) -> Sent:
    return events(chunks(asked)[:4], done="")


def cut_after_the_end(asked: Asked) -> Sent:
    sent = events(chunks(asked)[:-1], done="")
    sent.pieces = [*sent.pieces, "abort"]
    return sent


def open_after_the_end(asked: Asked) -> Sent:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in events(chunks(asked)[:-1], done="").pieces:
            yield piece
        await asyncio.sleep(100)

    return Sent(200, pieces(), length=False)


def begins_slowly(asked: Asked) -> Sent:
    text = b"".join(events(chunks(asked)).pieces)
    return Sent(200, [text[:2], text[2:]], length=False)


def cut_body(asked: Asked) -> Sent:
    body = json.dumps(reply(asked)).encode()
    return Sent(200, [body[:60], "abort"], {"content-length": str(len(body)), "content-type": "application/json"})


def error_midway(code: Any) -> Callable[[Asked], Sent]:
    return lambda asked: events(
        [*chunks(asked)[:2], {"error": {"message": "provider has gone", "code": code}}], done=""
    )


def thought_then_answered(finish: str) -> Callable[[Asked], Sent]:
    return lambda asked: whole(asked, f"<think>{THINKING}</think>{answer_of(asked.prompt)}", finish)


def loading(asked: Asked) -> Sent | None:
    """503 for the first second, as llama.cpp answers while it loads."""
    begun = asked.server.state.setdefault("begun", time.monotonic())
    return error(503, "Loading model", type="unavailable_error") if time.monotonic() - begun < 1 else None


def all_refused_fields(asked: Asked) -> Sent | None:
    """Google's form: a list of one, and all fields at once."""
    there = [name for name in ("seed", "frequency_penalty", "presence_penalty", "top_k") if name in asked.body]
    said = "\n".join(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.' for name in there)
    return as_json([{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}], 400) if there else None


def pydantic_detail(asked: Asked) -> Sent | None:
    """Mistral's form."""
    there = [name for name in ("min_p", "top_k", "seed", "stream_options") if name in asked.body]
    detail = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 0}
        for name in there
    ]
    return as_json({"object": "error", "message": {"detail": detail}}, 422) if there else None


def renames_the_limit(asked: Asked) -> Sent | None:
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return error(400, said, param="max_tokens") if "max_tokens" in asked.body else None


def says_nothing(asked: Asked) -> Sent | None:
    return error(400, "Bad request") if "min_p" in asked.body else None


def short_context(asked: Asked) -> Sent | None:
    most = asked.body["max_tokens"]
    said = (
        f"This model's maximum context length is 60 tokens. However, you requested {most + 25} tokens "
        f"(25 in the messages, {most} in the completion). Please reduce the length."
    )
    return error(400, said) if most + 25 > 60 else None


def no_model(asked: Asked) -> Sent:
    return error(404, "The model `m` does not exist.", code="model_not_found")


def header_flood(asked: Asked) -> Sent:
    return Sent(200, endless(b"x-filler: " + b"y" * 4000 + b"\r\n", first=b"HTTP/1.1 200 OK\r\n"), raw=True)


def gigabyte_line(asked: Asked) -> Sent:
    return Sent(200, endless(b"x" * (1 << 20), first=b'data: {"choices": "'), length=False)


def gigabyte_body(asked: Asked) -> Sent:
    return Sent(200, endless(b" " * (1 << 20), first=b'{"choices": ['), length=False)


_BOMB = gzip.compress(b" " * (256 << 20))


def bomb(asked: Asked) -> Sent:
    return Sent(200, [_BOMB], {"content-encoding": "gzip", "content-type": "application/json"})


def bomb_in_a_bomb(asked: Asked) -> Sent:
    return Sent(200, [gzip.compress(_BOMB)], {"content-encoding": "gzip, gzip"})


def endless_text(asked: Asked) -> Sent:
    piece = b"data: " + json.dumps(chunk(asked, {"content": "ha" * 20_000})).encode() + b"\n\n"
    return Sent(200, endless(piece), {"content-type": "text/event-stream"}, length=False)


def slow_loris(asked: Asked) -> Sent:
    return Sent(200, endless(b" ", 0.2, b'{"choices": ['), {"content-type": "application/json"}, length=False)


def only_comments(asked: Asked) -> Sent:
    return Sent(200, endless(b": wait\n\n", 0.2), {"content-type": "text/event-stream"}, length=False)


def terminal_codes(asked: Asked) -> Sent:
    return error(400, "no \x1b]0;owned\x07 \x1b[31mred\x1b[0m \x9b2J \u202eevil\r\nerror: forged")


def deep(asked: Asked) -> Sent:
    return in_form(b'{"choices": ' + b"[" * 100_000)


_HUGE_USAGE = {"prompt_tokens": 9, "completion_tokens": 10**9, "total_tokens": 10**9 + 9}
_LONG_NUMBER = b'{"id": "x", "choices": [], "usage": {"completion_tokens": ' + b"9" * 5000 + b"}}"
_SOMEWHERE = "https://other.example/v1/chat/completions"
_QUICK = {"request_timeout": 1.5, "patience": 2.0}
_PATIENT = {"patience": 2.0}


SCENARIOS: dict[str, Quirk] = {
    # forms of a reply
    "no streaming: JSON in reply to stream": Quirk(completions(whole, probes=True)),
    "streaming, events end in CRLF": Quirk(
        completions(lambda a: events(chunks(a), "\r\n\r\n", "data: [DONE]\r\n\r\n"))
    ),
    "streaming, events end in CR": Quirk(completions(lambda a: events(chunks(a), "\r\r", "data: [DONE]\r\r"))),
    "streaming, one newline between events": Quirk(completions(lambda a: events(chunks(a), "\n"))),
    "streaming, no space behind data:": Quirk(completions(lambda a: events(chunks(a), start="data:"))),
    "lines of JSON without data:": Quirk(completions(lambda a: events(chunks(a), "\n", "", ""), probes=True)),
    "[DONE] is missing": Quirk(completions(lambda a: events(chunks(a), done=""), probes=True)),
    "[DONE] twice": Quirk(completions(lambda a: events(chunks(a), done="data: [DONE]\n\ndata: [DONE]\n\n"))),
    "keep-alive comments, wrapped ones, retry": Quirk(completions(keeps_alive, probes=True)),
    "a byte-order mark before the events": Quirk(
        completions(lambda a: Sent(200, [b"\xef\xbb\xbf", *events(chunks(a)).pieces], length=False))
    ),
    "a byte-order mark before the JSON": Quirk(completions(lambda a: in_form(b"\xef\xbb\xbf", *whole(a).pieces))),
    "JSON after empty lines": Quirk(completions(lambda a: in_form(b"\n\n", b"   \n", *whole(a).pieces))),
    "JSON as text/html": Quirk(completions(lambda a: in_form(*whole(a).pieces, kind="text/html; charset=latin1"))),
    "events as application/json": Quirk(completions(lambda a: in_form(*events(chunks(a)).pieces))),
    "pieces that split characters and lines": Quirk(completions(odd_splits)),
    "a character in two halves": Quirk(completions(half_surrogates)),
    "compressed though not asked": Quirk(
        completions(lambda a: in_form(gzip.compress(b"".join(whole(a).pieces)), content_encoding="gzip"))
    ),
    "invalid UTF-8": Quirk(
        completions(lambda a: in_form(*[p.replace(b"It is", b"It \xff\xfe is") for p in whole(a).pieces]))
    ),
    "NaN in JSON": Quirk(completions(lambda a: in_form(*[p.replace(b"1700000000", b"NaN") for p in whole(a).pieces]))),
    "text that grows with each event": Quirk(completions(cumulative)),
    "the whole text again at the end": Quirk(completions(repeated_at_the_end)),
    "logprobs and tool fields unasked": Quirk(completions(lambda a: whole(a, tool_calls=[], function_call=None))),
    "a reply in a list": Quirk(completions(lambda a: as_json([reply(a)]))),
    "wrong index of the one choice": Quirk(completions(wrong_index)),
    "two choices for one": Quirk(completions(two_choices), told="2 choices"),
    "two choices, mixed in the stream": Quirk(completions(mixed_choices), told="2 choices"),
    "one id for all replies": Quirk(completions(one_id, probes=True)),
    # what the message is made of
    "content as parts, thinking among them": Quirk(completions(parts)),
    "content as parts in a stream": Quirk(completions(streamed_parts)),
    "reasoning_content": Quirk(completions(reasoning_in("reasoning_content"))),
    "reasoning": Quirk(completions(reasoning_in("reasoning"))),
    "thinking there twice": Quirk(completions(twice_the_thinking)),
    "thinking alone": Quirk(completions(lambda a: whole(a, "", reasoning_content=THINKING)), status="no_answer"),
    "thinking alone, cut": Quirk(
        completions(lambda a: whole(a, "", "length", reasoning="It is \\boxed{1}")), status="truncated", finish="length"
    ),
    "a refusal of the model": Quirk(completions(lambda a: whole(a, "", refusal="I cannot.")), status="no_answer"),
    "a tool call in place of an answer": Quirk(
        completions(lambda a: whole(a, "", "tool_calls", tool_calls=[{"id": "x"}])), status="no_answer", finish="stop"
    ),
    "content is null": Quirk(
        completions(
            lambda a: as_json({**reply(a), "choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
        ),
        code=1,
        sentence="failed on some samples",
        status="error",
    ),
    # finish reasons
    "finish_reason STOP": Quirk(completions(lambda a: whole(a, None, "STOP")), finish="stop"),
    "finish_reason eos_token": Quirk(completions(lambda a: whole(a, None, "eos_token")), finish="stop"),
    "finish_reason end_turn": Quirk(completions(lambda a: whole(a, None, "end_turn")), finish="stop"),
    "finish_reason model_length": Quirk(completions(thought_then_answered("model_length")), finish="length"),
    "finish_reason MAX_TOKENS": Quirk(completions(thought_then_answered("MAX_TOKENS")), finish="length"),
    "finish_reason null": Quirk(completions(lambda a: whole(a, None, None)), finish="unknown", told="no finish reason"),
    "finish_reason '' in every event": Quirk(
        completions(lambda a: events([chunk(a, {"content": answer_of(a.prompt)}, ""), chunk(a, {}, "stop")])),
        finish="stop",
    ),
    "a finish_reason of its own": Quirk(
        completions(lambda a: whole(a, None, "out_of_ideas")), finish="unknown", told="out_of_ideas"
    ),
    "content filter": Quirk(
        completions(lambda a: whole(a, "It", "content_filter")), code=1, sentence="content filter", status="error"
    ),
    "stop at exactly max_tokens": Quirk(
        completions(lambda a: as_json({**reply(a), "usage": {"prompt_tokens": 9, "completion_tokens": 64}})),
        told="may have been cut",
    ),
    "a lower limit of the server's own": Quirk(
        completions(lambda a: whole(a, "I think and think", "length")),
        told="cut a response at 8 tokens",
        status="truncated",
    ),
    "usage is null": Quirk(completions(lambda a: as_json({**reply(a), "usage": None}))),
    "usage of a thousand million tokens": Quirk(completions(lambda a: as_json({**reply(a), "usage": _HUGE_USAGE}))),
    # fields
    "top_k and min_p unknown": Quirk(refuses("top_k", "min_p"), told="does not take min_p"),
    "stream is refused": Quirk(refuses("stream"), told="does not stream"),
    "stream_options are refused": Quirk(refuses("stream_options"), told="does not take stream_options"),
    "temperature: only the default": Quirk(
        refuses("temperature", words="Unsupported value: '{}' does not support 0.6. Only the default (1) value."),
        told="does not take temperature",
    ),
    "temperature and top_p not both": Quirk(
        completions(
            lambda a: (
                error(400, "temperature and top_p cannot both be specified for this model. Please use only one.")
                if {"temperature", "top_p"} <= a.body.keys()
                else None
            )
        ),
        told="does not take top_p",
    ),
    "max_completion_tokens in place of max_tokens": Quirk(
        completions(renames_the_limit, probes=True), told="sent as max_completion_tokens"
    ),
    "fields refused as Google does": Quirk(completions(all_refused_fields, probes=True), told="does not take seed"),
    "fields refused as pydantic does": Quirk(completions(pydantic_detail, probes=True), told="does not take min_p"),
    "camel case": Quirk(
        refuses("frequency_penalty", words="Argument not supported on this model: frequencyPenalty"),
        told="does not take frequency_penalty",
    ),
    "a Python TypeError with status 500": Quirk(
        refuses("min_p", words="generate() got an unexpected keyword argument '{}'", status=500),
        told="does not take min_p",
    ),
    "a refusal that says nothing": Quirk(completions(says_nothing, probes=True), told="does not take min_p"),
    "at most 40 tokens": Quirk(
        at_most(40, "max_tokens is too large: {most}. This model supports at most {limit} completion tokens."),
        told="at most 40 tokens",
    ),
    "a range of max_tokens": Quirk(
        at_most(40, "Invalid max_tokens value, the valid range of max_tokens is [1, {limit}]"), told="at most 40 tokens"
    ),
    "a context that is too short": Quirk(completions(short_context)),
    # /models
    "no list of models": Quirk(listing({"detail": "Not Found"}, 404)),
    "a list without the model": Quirk(
        listing({"data": [{"id": "other"}, {"id": "one\x1b[2J"}]}), told="does not list a model"
    ),
    "a page of a long list": Quirk(listing({"data": [{"id": "other"}], "has_more": True})),
    "a bare list": Quirk(listing([{"id": "m", "max_model_len": 4096}])),
    "a list that is null": Quirk(listing({"object": "list", "data": None})),
    "a list that fails": Quirk(listing("oh no", 500)),
    # faults that pass
    "503 while it loads": Quirk(completions(loading, probes=True)),
    "429 with Retry-After in seconds": Quirk(
        completions(once_in(3, lambda a: error(429, "slow down", headers={"retry-after": "0.2"})))
    ),
    "429 with Retry-After as a date": Quirk(
        completions(once_in(3, lambda a: error(429, "slow", headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})))
    ),
    "429 with an absurd Retry-After": Quirk(
        completions(once_in(3, lambda a: error(429, "slow", headers={"retry-after": "1e99"})))
    ),
    "529 overloaded": Quirk(completions(once_in(3, lambda a: error(529, "Overloaded")))),
    "status 200 with an error of status 429": Quirk(
        completions(once_in(3, lambda a: as_json({"error": {"message": "rate limited", "code": 429}})))
    ),
    "an error in the middle of a stream": Quirk(completions(once_in(3, error_midway(502)))),
    "an empty body": Quirk(completions(once_in(3, lambda a: in_form(b"")))),
    "empty choices": Quirk(completions(once_in(3, lambda a: as_json({**reply(a), "choices": []})))),
    "a stream that breaks": Quirk(completions(once_in(3, cuts_stream))),
    "a stream that ends without its end": Quirk(completions(once_in(3, ends_without_end))),
    "a stream that breaks behind its end": Quirk(completions(cut_after_the_end)),
    "a stream that stays open behind its end": Quirk(completions(open_after_the_end)),
    "two bytes, then the rest": Quirk(completions(begins_slowly)),
    "a body that is cut": Quirk(completions(once_in(3, cut_body))),
    "connections that are closed after each reply": Quirk(
        completions(lambda a: Sent(200, whole(a).pieces, {"connection": "close"}), probes=True)
    ),
    "a redirect within the host": Quirk(
        lambda a: None if a.path.startswith("/moved") else Sent(307, [], {"location": f"/moved{a.path}"})
    ),
    # faults that stay: one sentence
    "401": Quirk(completions(lambda a: error(401, "Incorrect API key"), probes=True), 1, "refuses the requests: 401"),
    "no credit, as 429": Quirk(
        completions(lambda a: error(429, "You exceeded your current quota", code="insufficient_quota"), probes=True),
        1,
        "refuses the requests: 402",
    ),
    "no such model": Quirk(completions(no_model, probes=True), 1, "does not exist"),
    "an HTML page": Quirk(
        lambda a: in_form(b"<html><head><title>Sign in</title></head></html>", kind="text/html"),
        1,
        "Sign in",
        options=_PATIENT,
    ),
    "404 in HTML": Quirk(lambda a: Sent(404, [b"<h1>nginx</h1>"]), 1, "refuses the requests: 404"),
    "every request is refused": Quirk(
        completions(lambda a: error(400, "roles must alternate")), 1, "roles must alternate", status="error"
    ),
    "a redirect to another host": Quirk(moved(lambda a: _SOMEWHERE), 1, "other.example"),
    "a redirect in a circle": Quirk(moved(lambda a: a.path), 1, "circle"),
    "endless headers": Quirk(completions(header_flood, probes=True), 1, "fails every request", options=_QUICK),
    "a line without end": Quirk(completions(gigabyte_line, probes=True), 1, "fails every request", options=_PATIENT),
    "a body without end": Quirk(completions(gigabyte_body, probes=True), 1, "fails every request", options=_PATIENT),
    "a gzip bomb": Quirk(completions(bomb, probes=True), 1, "fails every request", options=_PATIENT),
    "a gzip bomb in a gzip bomb": Quirk(completions(bomb_in_a_bomb, probes=True), 1, "encoding", options=_PATIENT),
    "text without end": Quirk(completions(endless_text), 1, "more text than max_tokens", status="error"),
    "a body that drips": Quirk(completions(slow_loris, probes=True), 1, "no whole reply in time", options=_QUICK),
    "comments without end": Quirk(completions(only_comments, probes=True), 1, "no whole reply in time", options=_QUICK),
    "control characters in an error": Quirk(completions(terminal_codes, probes=True), 1, "owned"),
    "JSON that is nested too deep": Quirk(completions(deep, probes=True), 1, "no whole JSON", options=_PATIENT),
    "a number of five thousand digits": Quirk(
        completions(lambda a: in_form(_LONG_NUMBER), probes=True), 1, "no whole JSON", options=_PATIENT
    ),
}
