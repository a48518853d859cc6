"""Requests to servers that may fail in every way: retried, balanced, timed, and never with the key in what is told."""

import asyncio
import json
import os
import random
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from evalkit.engines.openai.concurrency import ConcurrencyLimit
from evalkit.errors import EvalkitError, RunIncompleteError

if TYPE_CHECKING:
    import httpx

KEY_VARIABLES = ("EVALKIT_API_KEY", "OPENAI_API_KEY")
_ATTEMPTS = 12
_FIRST_DELAY = 0.25  # seconds, doubled with each attempt
_LONGEST_DELAY = 30.0
_LONGEST_RETRY_AFTER = 600.0
_BODY_SECONDS = 60.0  # from the reply's head to its end: nothing is streamed, so the rest is there at once
_FIRST_TIMEOUT = 7200.0  # seconds, until it is known how long completions take
_LEAST_TIMEOUT = 600.0
_OVERLOADED = (429, 500, 502, 503, 504, 529)
_GIVEN_UP_IN_A_ROW = 8
_SECRET_LENGTH = 12  # of a query's value: a version is shorter, a key is longer
_FAILURES_BEFORE_REST = 20  # in a row, of one server; one that cannot be reached rests at once


class RefusedError(Exception):
    """The server has answered that it will not do this (4xx)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class FaultError(Exception):
    """One attempt that failed and may be repeated, after `delay` seconds where the server has said so."""

    def __init__(
        self, message: str, delay: float | None = None, overloaded: bool = False, unreachable: bool = False
    ) -> None:
        super().__init__(message)
        self.delay = delay
        self.overloaded = overloaded
        self.unreachable = unreachable


class GivenUpError(Exception):
    """Every attempt of one request has failed, while the server answered others."""


def displayed(url: str) -> str:
    """A URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def api_root(url: str) -> str:
    """The URL that `/chat/completions` is added to. Raises EvalkitError if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise EvalkitError(f"{displayed(url) or 'The base URL'} is no URL.", "give it as http://localhost:8000/v1.")
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", parts.query, ""))


def url_secrets(url: str) -> list[str]:
    """What a URL holds that must not be told: its password and query values, as they stand and as they are sent."""
    parts = urlsplit(url)
    found = [value for _, value in parse_qsl(parts.query) if len(value) >= _SECRET_LENGTH]
    if parts.password:
        login = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        found += [parts.password, unquote(parts.password), b64encode(login.encode()).decode()]
    return found


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


@dataclass(slots=True)
class _Server:
    root: str
    concurrency: ConcurrencyLimit
    in_flight: int = 0
    resting_until: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class Servers:
    """One or more servers of the same model. Used in one event loop, inside `async with`.

    `concurrency` fixes how many requests each gets at once; None finds it. `timeout` (seconds) limits one request;
    None follows what completions take. After `patience` seconds in which no server answers anything, the run ends.
    """

    urls: Sequence[str]
    concurrency: int | None = None
    timeout: float | None = None
    patience: float = 120.0
    most: int = 1024
    _servers: list[_Server] = field(default_factory=list)
    _client: "httpx.AsyncClient | None" = None
    _secrets: list[str] = field(default_factory=list)
    _failing_since: float | None = None
    _given_up: int = 0
    _succeeded: bool = False
    _slowest: float = 0.0
    _seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    _ids_tell_replies_apart: bool = True

    async def __aenter__(self) -> "Servers":
        import httpx

        fixed = self.concurrency is not None
        most = self.concurrency or self.most
        self._servers = [_Server(root, ConcurrencyLimit(most, fixed)) for root in self.urls]
        key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
        secrets = {*([key] if key else []), *(secret for root in self.urls for secret in url_secrets(root))}
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=httpx.Timeout(None, connect=20.0),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._client is not None
        await self._client.aclose()

    def capacity(self) -> int:
        """How many requests should be under way."""
        for server in self._servers:
            server.concurrency.waited(server.in_flight)
        return sum(server.concurrency.limit for server in self._servers)

    async def get(self, path: str) -> Any:
        """The JSON that the first server to answer has at `path`; None where none has it."""
        assert self._client is not None
        for server in self._servers:
            for attempt in range(3):
                try:
                    response = await asyncio.wait_for(self._client.get(_join(server.root, path)), 20)
                    if response.status_code == 200:
                        return response.json()
                    if response.status_code < 500:
                        break
                except _transport_errors():
                    pass  # asked again; a server need not have it
                except ValueError:
                    break
                await asyncio.sleep(_FIRST_DELAY * 2**attempt)
        return None

    async def ask(self, path: str, payload: Mapping[str, Any]) -> Any:
        """The JSON that the first server answers to `payload`, None where it has no such path or refuses."""
        assert self._client is not None
        try:
            sent = self._client.post(_join(self._servers[0].root, path), json=dict(payload))
            response = await asyncio.wait_for(sent, 60)
            return response.json() if response.status_code == 200 else None
        except ValueError:
            return None
        except _transport_errors():
            return None

    async def post(self, path: str, payload: dict[str, Any], unit: str = "") -> tuple[dict[str, Any], float]:
        """The reply's JSON and the seconds that its last attempt took.

        `unit` names what is asked for: a reply that was given to another one is a duplicate and asked for again.
        Raises RefusedError (4xx), GivenUpError, RunIncompleteError where no server answers any more.
        """
        for attempt in range(_ATTEMPTS):
            server = await self._free_server()
            server.in_flight += 1
            begun = time.monotonic()
            try:
                reply = await self._attempt(server, path, payload)
                self._require_new(reply, unit, attempt)
            except FaultError as fault:
                if fault.overloaded:
                    server.concurrency.overloaded()
                await self._after_fault(server, fault, attempt)
                last = fault
            except RefusedError:
                self._failing_since = None
                raise
            else:
                seconds = time.monotonic() - begun
                self._note_success(server, reply, seconds)
                return reply, seconds
            finally:
                server.in_flight -= 1
        self._given_up += 1
        if self._given_up >= _GIVEN_UP_IN_A_ROW or not self._succeeded:
            raise self._incomplete(f"fails every request: {last}")
        raise GivenUpError(f"failed {_ATTEMPTS} times, last: {last}")

    def refused(self, error: RefusedError) -> None:
        """A request was refused: where none was ever served, the run has no sense."""
        self._given_up += not self._succeeded
        if self._given_up >= _GIVEN_UP_IN_A_ROW or error.status in (401, 403):
            raise self._incomplete(f"refuses the requests: {error}")

    async def _free_server(self) -> _Server:
        """The least busy server that is not resting."""
        while True:
            now = time.monotonic()
            awake = [s for s in self._servers if s.resting_until <= now]
            free = [s for s in awake if s.in_flight < s.concurrency.limit]
            if free:
                return min(free, key=lambda s: s.in_flight / s.concurrency.limit)
            wait = 0.02 if awake else min(s.resting_until for s in self._servers) - now
            await asyncio.sleep(max(wait, 0.005))

    async def _attempt(self, server: _Server, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        assert self._client is not None
        limit = self._time_limit(payload.get("max_tokens", 1))
        try:
            async with asyncio.timeout(limit) as deadline:
                async with self._client.stream("POST", _join(server.root, path), json=payload) as response:
                    deadline.reschedule(asyncio.get_running_loop().time() + min(limit, _BODY_SECONDS))
                    body = await response.aread()
        except TimeoutError:
            raise FaultError(f"no whole reply within {limit:.0f} s") from None
        except _transport_errors() as error:
            refused = type(error).__name__ in ("ConnectError", "ConnectTimeout")
            raise FaultError(self.redacted(f"{type(error).__name__}: {error}"), unreachable=refused) from None
        if response.status_code in _OVERLOADED or response.status_code >= 500:
            delay = retry_after(response.headers.get("retry-after"))
            raise FaultError(f"{response.status_code}: {self._error_message(body)}", delay, overloaded=True)
        if response.status_code in (408, 409, 425):
            raise FaultError(f"{response.status_code}: {self._error_message(body)}")
        if response.status_code >= 400:
            raise RefusedError(response.status_code, self._error_message(body))
        try:
            reply = json.loads(body)
        except ValueError:
            raise FaultError("the reply is no whole JSON") from None
        if response.status_code != 200 or not isinstance(reply, dict) or not reply.get("choices"):
            raise FaultError(f"the reply has no completion: {self._error_message(body)}")
        return reply

    def _time_limit(self, max_tokens: int) -> float:
        if self.timeout is not None:
            return self.timeout
        return max(_LEAST_TIMEOUT, 4 * self._slowest * max_tokens) if self._slowest else _FIRST_TIMEOUT

    def _require_new(self, reply: dict[str, Any], unit: str, attempt: int) -> None:
        """Raises FaultError for a reply that another request has got: same id, same content."""
        name = reply.get("id")
        if not isinstance(name, str) or not name or not self._ids_tell_replies_apart:
            return
        content = hash(json.dumps(reply, sort_keys=True))
        owner, present = self._seen.setdefault(name, (unit, content))
        if owner == unit:
            return
        if present != content:
            self._ids_tell_replies_apart = False  # one id for different replies
        elif attempt < _ATTEMPTS - 1:
            raise FaultError("the reply is that of another request")

    def _note_success(self, server: _Server, reply: dict[str, Any], seconds: float) -> None:
        self._failing_since, self._given_up, self._succeeded = None, 0, True
        server.failures = 0
        while len(self._seen) > 50_000:
            self._seen.pop(next(iter(self._seen)))
        tokens = (reply.get("usage") or {}).get("completion_tokens")
        tokens = tokens if isinstance(tokens, int) and tokens > 0 else 100
        self._slowest = max(self._slowest, seconds / tokens)
        server.concurrency.answered(tokens, server.in_flight)

    async def _after_fault(self, server: _Server, fault: FaultError, attempt: int) -> None:
        """Wait as long as is due; end the run where no server lives."""
        now = time.monotonic()
        server.failures += 1
        if fault.delay or fault.unreachable or server.failures > _FAILURES_BEFORE_REST:
            rest = fault.delay or min(2.0, self.patience / 8)
            server.resting_until = max(server.resting_until, now + rest)
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > self.patience:
            if not await self._alive():
                raise self._incomplete(f"does not answer: {fault}")
            self._failing_since = None
        longest = min(_LONGEST_DELAY, self.patience / 4)
        await asyncio.sleep(min(longest, _FIRST_DELAY * 2**attempt) * random.uniform(0.5, 1))

    async def _alive(self) -> bool:
        assert self._client is not None
        for server in self._servers:
            try:
                response = await asyncio.wait_for(self._client.get(_join(server.root, "/models")), 10)
            except _transport_errors():
                continue
            if response.status_code not in (502, 503, 504):
                return True
        return False

    def _incomplete(self, what: str) -> RunIncompleteError:
        names = ", ".join(displayed(server.root) for server in self._servers)
        return RunIncompleteError(
            self.redacted(f"The server {names} {what}."),
            "what was done is kept: see the server's log, then give the same command again to resume.",
        )

    def redacted(self, text: str) -> str:
        """The text without the key and the URLs' secrets, should a server or a library have repeated them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _error_message(self, body: bytes) -> str:
        """What a server says of an error, in one short line."""
        text = body[:2000].decode(errors="replace")
        try:
            content = json.loads(body)
            error = content.get("error", content) if isinstance(content, dict) else content
            text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
        except ValueError:
            pass
        return self.redacted(" ".join(text.split()))[:300]


def _join(root: str, path: str) -> str:
    """The URL of `path` below the API's root, of `../path` beside it."""
    base, mark, query = root.partition("?")
    if path.startswith("../"):
        return base.rpartition("/")[0] + path[2:]
    return base + path + mark + query


def _transport_errors() -> tuple[type[Exception], ...]:
    import httpx

    return (OSError, TimeoutError, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)
