"""Reading a reply: JSON or a stream of events, never more than a limit, whatever the server sends."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from evalkit.engines.openai.faults import (
    FaultError,
    GivenUpError,
    RefusedError,
    error_status,
    is_out_of_credit,
    loads,
    said_in,
    tidy,
)
from evalkit.engines.openai.replies import join_surrogates, parts_of, thinking_of

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 64 << 20  # of a reply that is not streamed, and of one event
_MOST_DECODED = 1 << 20  # bytes that are decompressed at once
_BODY_SECONDS = 60.0  # from the first to the last byte of a reply that is not streamed, and of one event
_SILENT_SECONDS = 600.0  # between two events
_KEEP_ALIVE_SECONDS = 1800.0  # in which only comments come
_TAIL_SECONDS = 5.0  # after the finish reason, for the usage and [DONE]
_CHARACTERS_PER_TOKEN = 200  # more than any token has
_SPARE_CHARACTERS = 20_000


class Deadline:
    """When reading ends: at `end`, or earlier where the next piece is due before. Times are the event loop's."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float) -> None:
        self._timeout = timeout
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + seconds

    def within(self, seconds: float) -> None:
        self._timeout.reschedule(min(self._end, self._clock() + seconds))

    def free(self) -> None:
        self._timeout.reschedule(self._end)


async def pieces(response: "httpx.Response") -> AsyncIterator[bytes]:
    """The body, decompressed a bounded piece at a time. Raises FaultError for an encoding that was not asked for."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity", "none", "utf-8"):
        async for piece in response.aiter_raw():
            yield piece
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FaultError(f"the reply is in the encoding {encoding[:40]!r}, which was not asked for")
    decoder = zlib.decompressobj(47)  # gzip or zlib
    async for piece in response.aiter_raw():
        rest = piece
        while rest:
            try:
                decoded = decoder.decompress(rest, _MOST_DECODED)
            except zlib.error:
                raise FaultError("the reply is compressed and damaged") from None
            rest = decoder.unconsumed_tail
            if decoded:
                yield decoded
            await asyncio.sleep(0)  # a bomb does not stop the other requests


async def read_body(response: "httpx.Response", most: int = MOST_BYTES) -> bytes:
    """The whole body. Raises FaultError beyond `most` bytes."""
    body = bytearray()
    async for piece in pieces(response):
        body += piece
        if len(body) > most:
            raise FaultError(f"the reply is longer than {most >> 20} MB")
    return bytes(body)


class Lines:
    """Complete lines from pieces of bytes; they end in LF, CRLF or CR."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        return self._size > 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if b"\n" not in piece and b"\r" not in piece:
            self._keep(piece)
            return
        text = b"".join([*self._open, piece])
        held = b"\r" if text.endswith(b"\r") else b""  # its LF may come with the next piece
        *whole, last = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._open, self._size = [], 0
        self._keep(last + held)
        yield from whole

    def _keep(self, piece: bytes) -> None:
        self._open.append(piece)
        self._size += len(piece)
        if self._size > MOST_BYTES:
            raise FaultError(f"a line of the reply is longer than {MOST_BYTES >> 20} MB")

    def rest(self) -> bytes:
        return b"".join(self._open)


@dataclass(slots=True)
class Choice:
    """What has come of one choice of a stream."""

    answer: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    finish: Any = None
    tool_calls: bool = False
    whole: Any = None  # a `message` in place of deltas

    def add(self, chunk: dict[str, Any]) -> int:
        """Take in one chunk; return how many characters it had."""
        delta = chunk.get("delta")
        if isinstance(chunk.get("message"), dict) and not isinstance(delta, dict):
            self.whole = chunk["message"]
        delta = delta if isinstance(delta, dict) else {}
        content = chunk["text"] if isinstance(chunk.get("text"), str) else delta.get("content")
        thinking, answer, refusal = parts_of(content)
        thinking += thinking_of(delta)
        refusal += delta["refusal"] if isinstance(delta.get("refusal"), str) else ""
        self.tool_calls |= bool(delta.get("tool_calls") or delta.get("function_call"))
        reason = chunk.get("finish_reason")
        ended = reason not in (None, "")
        for pieces_so_far, piece in ((self.answer, answer), (self.thinking, thinking), (self.refusal, refusal)):
            if piece and not (ended and _repeats_all(pieces_so_far, piece)):
                pieces_so_far.append(piece)
        if ended:
            self.finish = reason
        return len(answer) + len(thinking) + len(refusal)

    def message(self) -> dict[str, Any]:
        if self.whole is not None and not (self.answer or self.thinking):
            return dict(self.whole)
        parts = {"content": self.answer, "reasoning_content": self.thinking, "refusal": self.refusal}
        made: dict[str, Any] = {name: join_surrogates("".join(_increments(part))) for name, part in parts.items()}
        return {**made, "tool_calls": self.tool_calls}


def _repeats_all(before: list[str], piece: str) -> bool:
    """Whether the last piece of a stream is the whole text once more, as some proxies send it."""
    return len(before) > 1 and len(piece) >= 20 and piece == "".join(before)


def _increments(parts: list[str]) -> list[str]:
    """The pieces of a stream; the last one alone where each repeats what came before and goes on."""
    if len(parts) < 4 or not all(b.startswith(a) and len(b) > len(a) for a, b in pairwise(parts)):
        return parts
    return parts[-1:]


class Stream:
    """A reply that comes as events, put together."""

    def __init__(self, max_tokens: int) -> None:
        self._most = _SPARE_CHARACTERS + _CHARACTERS_PER_TOKEN * max_tokens
        self.characters = 0
        self._choices: dict[int, Choice] = {}
        self._head: dict[str, Any] = {}
        self._usage: Any = None
        self._data: list[bytes] = []
        self._data_size = 0
        self._named_error = False
        self.done = False
        self.came = False  # any chunk at all

    @property
    def finished(self) -> bool:
        return bool(self._choices) and all(choice.finish is not None for choice in self._choices.values())

    def line(self, line: bytes) -> bool:
        """Take in one line; return whether it was data."""
        if not line.strip():
            self._end_event()
            return False
        name, _, value = line.partition(b":")
        name = name.strip()
        if name == b"event":
            self._named_error = value.strip().lower() == b"error"
            return False
        if line.lstrip().startswith(b"{"):  # lines of JSON
            value = line
        elif name != b"data":
            return False  # a comment, id, retry
        value = value.strip()
        if not value or value.startswith(b":"):  # a comment that a gateway has wrapped once more
            return False
        if value.strip(b'"[]').upper() == b"DONE":
            self.done = True
            return True
        self._data.append(value)
        self._data_size += len(value)
        if self._data_size > MOST_BYTES:
            raise FaultError(f"an event of the reply is longer than {MOST_BYTES >> 20} MB", partial=self.partial())
        try:
            chunk = loads(b"\n".join(self._data))
        except ValueError:
            return True  # goes on in the next line, or ends the event wrongly
        self._data, self._data_size = [], 0
        self._add(chunk)
        return True

    def _end_event(self) -> None:
        self._named_error = False
        if self._data:
            raise FaultError("an event of the reply is no JSON", partial=self.partial())

    def _add(self, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            raise FaultError("an event of the reply is no object", partial=self.partial())
        if self._named_error and not chunk.get("error"):
            chunk = {**chunk, "error": chunk.get("message") or chunk.get("data") or "unknown"}
        refuse_error(chunk, self.partial())
        self.came = True
        for name in ("id", "model"):
            if isinstance(chunk.get(name), str):
                self._head.setdefault(name, chunk[name])
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        for each in choices if isinstance(choices, list) else []:
            if not isinstance(each, dict):
                continue
            index = each.get("index", 0)
            choice = self._choices.setdefault(index if isinstance(index, int) else 0, Choice())
            if len(self._choices) > 64:
                raise FaultError("the reply has more choices than were asked for")
            self.characters += choice.add(each)
        if self.characters > self._most:
            raise GivenUpError("sends more text than max_tokens allows", self.partial()[:_SPARE_CHARACTERS])

    def partial(self) -> str:
        """The text that has come."""
        if not self._choices:
            return ""
        first = self._choices[min(self._choices)].message()
        thinking, content = first.get("reasoning_content") or "", first.get("content") or ""
        return f"{thinking}{content}" if isinstance(content, str) else str(thinking)

    def reply(self) -> dict[str, Any]:
        """The reply as it would be without streaming."""
        choices = [
            {"index": index, "message": choice.message(), "finish_reason": choice.finish}
            for index, choice in sorted(self._choices.items())
        ]
        return {**self._head, "choices": choices, "usage": self._usage, "streamed": True}


def refuse_error(content: Any, partial: str = "") -> None:
    """Raises RefusedError or FaultError where a reply with status 200 is an error."""
    found = error_status(content)
    if found is None:
        return
    status, said = found
    if 400 <= status < 500 and status not in (408, 409, 425, 429):
        raise RefusedError(402 if is_out_of_credit(said) else status, tidy(said), said)
    raise FaultError(f"{status}: {tidy(said)}", overloaded=status in (429, 503, 529), partial=partial)


class Reading:
    """A reply while it is read: JSON or a stream of events, as its first bytes say.

    `heard` is called for every piece, with whether it had text of the response.
    """

    def __init__(self, deadline: Deadline, max_tokens: int, heard: Callable[[bool], None] = lambda _: None) -> None:
        self._heard = heard
        self._deadline = deadline
        self._max_tokens = max_tokens
        self._lines = Lines()
        self._kept: list[bytes] = []
        self._size = 0
        self._clock = asyncio.get_running_loop().time
        self._silent_from = self._clock()
        self.stream: Stream | None = None
        deadline.within(_SILENT_SECONDS)

    @property
    def finished(self) -> bool:
        """Whether all but the usage and [DONE] has come."""
        return self.stream is not None and self.stream.finished

    def partial(self) -> str:
        return self.stream.partial() if self.stream is not None else ""

    def take(self, piece: bytes) -> bool:
        """Take in a piece; return whether it was the last one."""
        before = self.stream.characters if self.stream is not None else 0
        ended = self._take(piece)
        self._heard(self.stream is not None and self.stream.characters > before)
        return ended

    def _take(self, piece: bytes) -> bool:
        if self.stream is None:
            piece = self._begin(piece)
            if self.stream is None:
                return False
        was_open, data = self._lines.pending, False
        for line in self._lines.feed(piece):
            data |= self.stream.line(line)
            if self.stream.done:
                return True
        self._set_deadline(data, was_open)
        return False

    def _begin(self, piece: bytes) -> bytes:
        """Look at the first bytes, until they tell what comes; then return all that has come."""
        if not self._kept:
            piece = piece.lstrip(b"\xef\xbb\xbf \t\r\n")  # empty lines keep a connection open
            if not piece:
                self._deadline.within(
                    min(_SILENT_SECONDS, max(1.0, self._silent_from + _KEEP_ALIVE_SECONDS - self._clock()))
                )
                return b""
            self._deadline.within(_BODY_SECONDS)
        self._kept.append(piece)
        self._size += len(piece)
        if self._size > MOST_BYTES:
            raise FaultError(f"the reply is longer than {MOST_BYTES >> 20} MB")
        start = b"".join(self._kept[:6])[:16]
        if len(start) < 6 or start[:1] in b"{[<":
            return b""
        self.stream = Stream(self._max_tokens)
        whole, self._kept = b"".join(self._kept), []
        return whole

    def _set_deadline(self, data: bool, was_open: bool) -> None:
        """When the next piece is due: an event that was begun has to end in time, and comments are not for ever."""
        if data:
            self._silent_from = self._clock()
        if self._lines.pending:
            if data or not was_open:
                self._deadline.within(_BODY_SECONDS)
            return
        alive = self._silent_from + _KEEP_ALIVE_SECONDS - self._clock()
        self._deadline.within(min(_SILENT_SECONDS, max(1.0, alive)))

    def reply(self) -> dict[str, Any]:
        """The reply, when all has come. Raises FaultError where it is none."""
        if self.stream is None:
            return _from_body(b"".join(self._kept), self._max_tokens)
        if self._lines.pending and not self.stream.done:
            self.stream.line(self._lines.rest())
        return _whole(self.stream)


async def read_reply(response: "httpx.Response", reading: Reading) -> dict[str, Any]:
    """The reply to a request for completions, streamed or not, whatever its content type says.

    Raises FaultError, RefusedError for an error that it holds, GivenUpError for endless text, CutError where the
    connection breaks.
    """
    incoming = pieces(response)
    tail: float | None = None
    while True:
        if tail is None and reading.finished:
            tail = asyncio.get_running_loop().time() + _TAIL_SECONDS
        try:
            async with asyncio.timeout_at(tail):
                piece = await anext(incoming)
        except StopAsyncIteration:
            return reading.reply()
        except (FaultError, RefusedError, GivenUpError):
            raise
        except Exception as error:
            if reading.finished:  # cut after its end, or kept open
                return reading.reply()
            if reading.stream is not None:
                raise CutError(error, reading.partial()) from error
            raise
        try:
            if reading.take(piece):
                return reading.reply()
        except FaultError as fault:
            fault.partial = fault.partial or reading.partial()
            raise


class CutError(Exception):
    """A connection that died in the middle of a stream."""

    def __init__(self, cause: Exception, partial: str) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.partial = partial


def _whole(stream: Stream) -> dict[str, Any]:
    reply = stream.reply()
    if not reply["choices"]:
        raise FaultError("the reply has no completion")
    if not stream.done and not stream.finished:
        raise FaultError("the reply ends without a finish reason or [DONE]", partial=stream.partial())
    return reply


def _from_body(body: bytes, max_tokens: int) -> dict[str, Any]:
    """A reply that was not streamed; lines of JSON are a stream without its marks."""
    if not body.strip():
        raise FaultError("the reply is empty")
    try:
        reply = loads(body)
    except ValueError:
        return _from_lines(body, max_tokens)
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]
    refuse_error(reply)
    if not isinstance(reply, dict):
        raise FaultError("the reply has no completion")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not any(isinstance(choice, dict) for choice in choices):
        raise FaultError("the reply has no completion")
    return reply


def _from_lines(body: bytes, max_tokens: int) -> dict[str, Any]:
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines[:2]):
        stream = Stream(max_tokens)
        try:
            for line in lines:
                stream.line(line)
            return _whole(stream)
        except FaultError:
            pass
    if body.lstrip().startswith(b"<"):
        raise FaultError(f"the reply is {tidy(said_in(body))}, not JSON")
    raise FaultError("the reply is no whole JSON")
