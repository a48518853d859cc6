"""Requests to servers that may fail in every way: retried, balanced, timed, and never with the key in what is told."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from evalkit.engines.openai.addresses import (
    displayed,
    is_local,
    join,
    key_from_environment,
    key_headers,
    proxy_secrets,
    redirected,
    url_secrets,
)
from evalkit.engines.openai.concurrency import ConcurrencyLimit
from evalkit.engines.openai.faults import (
    FaultError,
    GivenUpError,
    RefusedError,
    ServerError,
    is_out_of_credit,
    loads,
    said_in,
    tidy,
    tls_fault,
)
from evalkit.engines.openai.replies import choice_of, response_text
from evalkit.engines.openai.silence import FIRST_WORD, LEAST_SILENCE, LOOK, Flight, Hearing
from evalkit.engines.openai.wire import CutError, Deadline, Reading, read_body, read_reply
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

_ATTEMPTS = 12
_ATTEMPTS_OF_NONSENSE = 5  # where no request was ever served, and what comes is no fault of load
_SLOW_WEIGHT = 2  # attempts that one counts for which has taken all its time
_FIRST_DELAY = 0.25  # seconds, doubled with each attempt
_SAME_AGAIN = 3  # times that a reply may be another request's before the server is taken for one with a cache
_LONGEST_DELAY = 30.0
_LONGEST_RETRY_AFTER = 600.0
_FIRST_TIMEOUT = 7200.0  # seconds, until it is known how long completions take
_LEAST_TIMEOUT = 600.0
_PROBE_TIMEOUT = 300.0  # a server may load its model at the first request
_OVERLOADED = (429, 500, 502, 503, 504, 529)
_NOT_TO_REPEAT = (501, 505)
_GIVEN_UP_IN_A_ROW = 8
_FAILURES_BEFORE_REST = 20  # in a row, of one server; one that cannot be reached rests at once
_MOST_OF_A_LIST = 4 << 20  # bytes of `/models` and the like
_MOST_REDIRECTS = 4
_ABSENT = "see that a server runs at this address, then run the same command again; --patience SECONDS waits longer."
_KEPT = "finished work is kept: "
_RESUME = "see the server's log, then run the same command again to resume."
_SILENT = "see the server's log; --patience SECONDS waits longer, as for one that loads its model at the first request."
_LATER = "run the same command again when that time has passed."
_MOST_TOLD_WAIT = 1e7  # seconds
_TELL_AGAIN = 60.0  # seconds between two words about servers that fail every request
_FIRST_FAULT = "see the server's log, and that --base-url is the address of its API; then run the same command again."
_CLIENT_TYPE_ERROR = (  # what a server written in Python says of a field that it does not know, with status 500
    "unexpected keyword argument",
    "extra inputs are not permitted",
    "extra_forbidden",
)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date (RFC 9110, section 10.2.3).

    None where it asks for none, or for more than ten minutes.
    """
    seconds = _asked_to_wait(value)
    return None if seconds is None or seconds > _LONGEST_RETRY_AFTER else seconds


def _asked_to_wait(value: str | None) -> float | None:
    """As `retry_after`, however long."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds <= _MOST_TOLD_WAIT else None  # NaN and nonsense are no advice


@dataclass(frozen=True, slots=True)
class _Owner:
    """The request that got a reply first, and hashes of its prompt, of the reply's text and of all of the reply."""

    unit: str
    prompt: int
    text: int
    content: int


def _prompt_of(payload: Mapping[str, Any]) -> int:
    return hash(json.dumps(payload.get("messages", payload.get("prompt")), sort_keys=True))


@dataclass(slots=True)
class Trouble:
    """The faults of a run so far: shown while it runs, and recorded."""

    count: int = 0
    last: str = ""

    def add(self, message: str) -> None:
        self.count += 1
        self.last = tidy(message, 120)

    def __str__(self) -> str:
        return f"{self.count} faults, the last: {self.last}" if self.count else ""


@dataclass(slots=True)
class Server:
    """One server: its address, and how it does."""

    root: str
    concurrency: ConcurrencyLimit
    headers: Mapping[str, str]
    in_flight: int = 0
    resting_until: float = 0.0
    failures: int = 0
    hearing: Hearing = field(default_factory=Hearing)
    moved: dict[str, str] = field(default_factory=dict)

    def address(self, path: str) -> str:
        return self.moved.get(path) or join(self.root, path)


@dataclass(slots=True)
class Servers:
    """One or more servers of the same model. Used in one event loop, inside `async with`.

    `concurrency` fixes how many requests each gets at once; None finds it. `timeout` (seconds) limits one request;
    None follows what completions take. After `patience` seconds in which no server answers anything, the run ends;
    `_look_at` has what that is. `headers` are sent with every request, as the key is, and told nowhere. `proven`: it
    has served requests before, so that nonsense is a fault that may pass; `streams`: as they were made;
    `thinks_unseen`: without the thinking.
    """

    urls: Sequence[str]
    concurrency: int | None = None
    timeout: float | None = None
    patience: float = 120.0
    headers: Mapping[str, str] = field(default_factory=dict)
    trouble: Trouble = field(default_factory=Trouble)
    proven: bool = False
    streams: bool = False
    thinks_unseen: bool = False
    most: int = 1024
    _servers: list[Server] = field(default_factory=list)
    _client: "httpx.AsyncClient | None" = None
    _secrets: list[str] = field(default_factory=list)
    _failing_since: float | None = None
    _silent_since: float | None = None
    _told_failing_at: float = float("-inf")
    _watcher: "asyncio.Task[None] | None" = None
    _given_up: int = 0
    _succeeded: bool = False
    _slowest: float = 0.0
    _seen: dict[str, _Owner] = field(default_factory=dict)
    _ids_tell_replies_apart: bool = True
    _told_apart: int = 0
    _of_others: int = 0
    _caches_prompts: bool = False
    _same_texts: int = 0
    cached: bool = False
    """Whether a server gave one reply to several requests: it has a cache."""

    async def __aenter__(self) -> "Servers":
        fixed = self.concurrency is not None
        most = self.concurrency or self.most
        key = key_from_environment()
        self._servers = [
            Server(root, ConcurrencyLimit(most, fixed), {**key_headers(root, key), **self.headers})
            for root in self.urls
        ]
        secrets = {*([key] if key else []), *proxy_secrets(), *(s for root in self.urls for s in url_secrets(root))}
        secrets |= {value for value in self.headers.values() if len(value) >= 6}
        secrets |= {word for value in self.headers.values() for word in value.split() if len(word) >= 12}
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._client = self._made_client()
        self._watcher = asyncio.create_task(self._watch())
        return self

    def _made_client(self) -> "httpx.AsyncClient":
        """A client that goes through the environment's proxies, but not to this machine. Raises EvalkitError."""
        import httpx

        local = all(is_local(root) for root in self.urls)
        names = {join(root, "").split("//")[1].split("/")[0].rpartition("@")[2] for root in self.urls if is_local(root)}
        try:
            return httpx.AsyncClient(
                headers={"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "evalkit"},
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                timeout=httpx.Timeout(None, connect=20.0),
                verify=httpx.create_ssl_context(),
                trust_env=not local,
                mounts=None if local else {f"all://{name.split('?')[0]}": None for name in names},
            )
        except ImportError:
            raise EvalkitError(
                "The environment names a SOCKS proxy, which needs the package socksio.",
                'run `pip install "evalkit[socks]"`, or unset ALL_PROXY.',
            ) from None
        except ValueError as error:
            raise EvalkitError(
                f"The environment names a proxy that cannot be used: {self.redacted(tidy(str(error)))}.",
                "correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; NO_PROXY names hosts that need none.",
            ) from None
        except OSError as error:
            raise EvalkitError(
                f"The certificates for TLS cannot be read: {tidy(str(error))}.",
                "correct SSL_CERT_FILE or SSL_CERT_DIR.",
            ) from None

    async def __aexit__(self, *_: object) -> None:
        assert self._client is not None
        assert self._watcher is not None
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        await self._client.aclose()

    @property
    def members(self) -> Sequence[Server]:
        return self._servers

    def leave_out(self, server: Server) -> None:
        """Send nothing to one of them."""
        self._servers.remove(server)

    def capacity(self) -> int:
        """How many requests should be under way."""
        for server in self._servers:
            server.concurrency.waited(server.in_flight)
        return sum(server.concurrency.limit for server in self._servers)

    async def ask(self, server: Server, path: str, payload: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a server has at `path`, by GET, or by POST of `payload`; None where it has none."""
        assert self._client is not None
        method = "GET" if payload is None else "POST"
        longest = min(20.0, self.timeout or 20.0, max(self.patience, LEAST_SILENCE))
        flight = Flight(streamed=False)
        for attempt in range(3):
            server.hearing.flights.add(flight)
            try:
                async with (
                    asyncio.timeout(longest),
                    self._client.stream(
                        method, server.address(path), json=payload, headers=dict(server.headers)
                    ) as response,
                ):
                    if response.status_code == 200:
                        return loads(await read_body(response, _MOST_OF_A_LIST))
                    if response.status_code in (301, 302, 307, 308):
                        self._follow(server, path, response.headers.get("location", ""), required=False)
                    elif response.status_code < 500 or payload is not None:
                        return None
            except TimeoutError:
                return None
            except _transport_errors() as error:  # asked again; a server need not have it
                if (said := tls_fault(error)) is not None:
                    raise self._tls_error(server, said) from None
            except (ValueError, FaultError):
                return None
            finally:
                server.hearing.flights.discard(flight)
            await asyncio.sleep(_FIRST_DELAY * 2**attempt)
        return None

    async def post(
        self, path: str, payload: Mapping[str, Any], unit: str = "", only: Server | None = None
    ) -> tuple[dict[str, Any], float]:
        """The reply's JSON and the seconds that its last attempt took.

        `unit` names what is asked for: a reply that was given to another one is a duplicate and asked for again.
        `only` is the server to ask. Raises RefusedError, GivenUpError, ServerError where no server answers any more.
        """
        tried, last, partial, same = 0, FaultError("no attempt"), "", 0
        while tried < _ATTEMPTS:
            server = only or await self._free_server()
            server.in_flight += 1
            begun = time.monotonic()
            try:
                reply = await self._attempt(server, path, payload)
                if (owner := self._other_owner(reply, unit, payload)) is not None:
                    same += 1
                    self._require_new(same, owner.prompt == _prompt_of(payload))
            except FaultError as fault:
                self.trouble.add(self.redacted(str(fault)))
                partial = max(partial, fault.partial, key=len)
                last = fault
                tried += self._weight(fault)
                if fault.overloaded:
                    server.concurrency.overloaded()
                if tried < _ATTEMPTS:
                    await self._after_fault(server, fault, tried)
            except RefusedError as error:
                self._failing_since = None
                raise error.with_words(self.redacted) from None
            else:
                seconds = time.monotonic() - begun
                self._note_success(server, reply, seconds)
                return reply, seconds
            finally:
                server.in_flight -= 1
        self._given_up += 1
        if self._given_up >= _GIVEN_UP_IN_A_ROW or not self._served():
            raise self.incomplete(f"fails every request: {last}", self._hint(last))
        raise GivenUpError(f"failed on every attempt, last: {self.redacted(str(last))}", partial)

    def _weight(self, fault: FaultError) -> int:
        """How many of a request's attempts one has used up."""
        if not (self._served() or fault.overloaded or fault.unreachable):
            return -(-_ATTEMPTS // (3 if fault.slow else _ATTEMPTS_OF_NONSENSE))
        return _SLOW_WEIGHT if fault.slow else 1

    def refused(self, error: RefusedError) -> None:
        """A request was refused. Raises ServerError where all will be: nothing was served, or the key is not taken."""
        self._given_up += not self._succeeded or error.status in (404, 405, 410)
        if self._given_up >= _GIVEN_UP_IN_A_ROW or error.lasting:
            raise self.refusal(error)

    def refusal(self, error: RefusedError) -> ServerError:
        """The end of a run whose requests are refused; its hint says what has to change."""
        return self.incomplete(f"refuses the requests: {error}", self._advice(error))

    def _advice(self, error: RefusedError) -> str:
        kept = _KEPT if self._served() else ""
        if error.status == 401:
            return f"{kept}set EVALKIT_API_KEY to the server's key, then run the same command again."
        if error.status in (402, 403, 407, 429):
            return f"{kept}the account, the key's rights or the proxy have to allow it first."
        if error.status in (404, 405, 410):
            tried = "" if any("/v1" in server.root for server in self._servers) else ", perhaps with /v1"
            return f"{kept}correct --base-url{tried}, or name a model of the server with --served-model."
        if 300 <= error.status < 400:
            return f"{kept}give the address where the server is as --base-url, if it is trusted with the key."
        return f"{kept}--drop-field, --rename-field and --request-field change what is sent; see docs/servers.md."

    async def _free_server(self) -> Server:
        """The least busy server that is not resting."""
        while True:
            now = time.monotonic()
            awake = [s for s in self._servers if s.resting_until <= now]
            free = [s for s in awake if s.in_flight < s.concurrency.limit]
            if free:
                return min(free, key=lambda s: s.in_flight / s.concurrency.limit)
            wait = 0.02 if awake else min(s.resting_until for s in self._servers) - now
            await asyncio.sleep(max(wait, 0.005))

    async def _attempt(self, server: Server, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        for _ in range(_MOST_REDIRECTS):
            reply = await self._exchange(server, path, payload)
            if reply is not None:
                return reply
        raise RefusedError(310, "it redirects in a circle")

    async def _exchange(self, server: Server, path: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """One request and its reply; None after a redirect."""
        assert self._client is not None
        most = next((payload[n] for n in ("max_tokens", "max_completion_tokens") if isinstance(payload.get(n), int)), 1)
        limit = self._time_limit(most)
        reading: Reading | None = None
        flight = Flight(bool(payload.get("stream")))
        server.hearing.flights.add(flight)
        try:
            async with asyncio.timeout(limit) as timeout:
                flight.deadline = deadline = Deadline(timeout, limit)
                async with self._client.stream(
                    "POST", server.address(path), json=payload, headers=dict(server.headers)
                ) as response:
                    status = response.status_code
                    if status in (301, 302, 303, 307, 308):
                        self._follow(server, path, response.headers.get("location", ""))
                        return None
                    if status == 200:
                        reading = Reading(deadline, most, lambda token: self._hear(server, flight, token))
                        reply = await read_reply(response, reading)
                        self.streams = reading.stream is not None
                        self._hear(server, flight, True)
                        return reply
                    deadline.within(20)
                    body = await read_body(response, _MOST_OF_A_LIST)
        except TimeoutError:
            partial = reading.partial() if reading is not None else ""
            if flight.silent:
                raise self._silence(server, flight, partial) from None
            raise FaultError("no whole reply in time", slow=True, partial=partial) from None
        except CutError as error:
            said = f"the connection broke: {error.cause}"
            raise FaultError(said, partial=error.partial) from None
        except _transport_errors() as error:
            if (said_of_tls := tls_fault(error)) is not None:
                raise self._tls_error(server, said_of_tls) from None
            unreachable = type(error).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError")
            said = f"{type(error).__name__}: {error}".removesuffix(": ")  # httpx's may say nothing
            raise FaultError(said, unreachable=unreachable) from None
        finally:
            server.hearing.flights.discard(flight)
        raise self._problem(status, body, response.headers.get("retry-after"))

    def _problem(self, status: int, body: bytes, wait: str | None) -> FaultError | RefusedError:
        """What a reply with another status than 200 means."""
        said = self.redacted(said_in(body))
        short = tidy(said)
        if status in _NOT_TO_REPEAT or (status == 429 and is_out_of_credit(said)):
            return RefusedError(402 if status == 429 else status, short, said)
        if status == 500 and any(words in said.lower() for words in _CLIENT_TYPE_ERROR):
            return RefusedError(status, short, said)
        if status in _OVERLOADED or status >= 500:
            asked = _asked_to_wait(wait) or 0.0
            if asked > self.patience:
                short = f"{short.rstrip('.')} (it asks to wait {asked:.0f} s: Retry-After)"
            return FaultError(f"{status}: {short}", retry_after(wait), overloaded=True, asked=asked)
        if status in (408, 409, 425):
            return FaultError(f"{status}: {short}")
        if status >= 400:
            return RefusedError(status, short, said)
        return FaultError(f"the reply has status {status} and no completion")

    def _follow(self, server: Server, path: str, location: str, required: bool = True) -> None:
        """Note where a server has moved to, if it is the same one; the key goes nowhere else."""
        target, same = redirected(server.address(path), location) if location else ("nowhere", False)
        if same:
            server.moved[path] = target
        elif required:
            where = tidy(displayed(target))
            raise RefusedError(310, f"it redirects to {where}, and the key is not sent to another host")

    def _tls_error(self, server: Server, said: str) -> ServerError:
        hint = "set SSL_CERT_FILE to the certificate of your own authority; a server without TLS is http://…"
        return ServerError(f"The TLS connection to {displayed(server.root)} fails: {tidy(said)}.", hint)

    def _time_limit(self, max_tokens: int) -> float:
        if self.timeout is not None:
            return self.timeout
        if not self._succeeded and max_tokens <= 64:
            return _PROBE_TIMEOUT
        return max(_LEAST_TIMEOUT, 4 * self._slowest * max_tokens) if self._slowest else _FIRST_TIMEOUT

    def _other_owner(self, reply: Mapping[str, Any], unit: str, payload: Mapping[str, Any]) -> _Owner | None:
        """The other request that has got this reply: same id, same content.

        Several with the same id and text, and other content beside it (a usage, a time), come from a cache.
        """
        name = reply.get("id")
        if not isinstance(name, str) or not name or not unit or not self._ids_tell_replies_apart:
            return None
        text, content = hash(response_text(choice_of(dict(reply))[0], "")[0]), hash(json.dumps(reply, sort_keys=True))
        own = _Owner(unit, _prompt_of(payload), text, content)
        owner = self._seen.setdefault(name, own)
        self._told_apart += 1
        if owner.unit == unit or (self._caches_prompts and owner.prompt == own.prompt):
            return None
        if owner.text != text:
            self._ids_tell_replies_apart = False  # one id for different replies
        elif owner.content != content:
            self._same_texts += 1
            self.cached |= self._same_texts >= _SAME_AGAIN
        else:
            self._of_others += 1
        return owner if owner.content == content else None

    def _require_new(self, same: int, of_prompt: bool) -> None:
        """Raises FaultError for another request's reply, which a request has got `same` times.

        At last it is taken: a cache gives one reply to all requests with a prompt (`of_prompt`), and a server may have
        one for all. What a server gives to a request now and then is never taken for an answer to another prompt.
        """
        most = 2 * self._of_others >= self._told_apart
        if same <= _SAME_AGAIN or not (of_prompt or most):
            raise FaultError("the reply is that of another request")
        self._caches_prompts |= of_prompt
        self._ids_tell_replies_apart = of_prompt
        self.cached = True

    def _note_success(self, server: Server, reply: Mapping[str, Any], seconds: float) -> None:
        self._failing_since, self._given_up, self._succeeded = None, 0, True
        server.failures = 0
        while len(self._seen) > 50_000:
            self._seen.pop(next(iter(self._seen)))
        usage = reply.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        tokens = tokens if isinstance(tokens, int) and 0 < tokens < 10**7 else 100
        self._slowest = max(self._slowest, seconds / tokens)
        server.concurrency.answered(tokens, server.in_flight)

    async def _after_fault(self, server: Server, fault: FaultError, tried: int) -> None:
        """Wait as long as is due; end the run where no server lives."""
        now = time.monotonic()
        server.failures += 1
        if fault.delay or fault.unreachable or server.failures > _FAILURES_BEFORE_REST:
            rest = fault.delay or min(2.0, self.patience / 8)
            server.resting_until = max(server.resting_until, now + rest)
        if self._failing_since is None:
            self._failing_since = now
            if not self._served() and now - self._told_failing_at >= _TELL_AGAIN:
                self._tell_failing(server, fault)
        elif now - self._failing_since > self.patience:
            if not await self._alive():
                raise self.incomplete(f"does not answer: {fault}", self._hint(fault))
            self._failing_since = None
        longest = min(_LONGEST_DELAY, self.patience / 4)
        await asyncio.sleep(min(longest, _FIRST_DELAY * 2 ** (tried - 1)) * random.uniform(0.5, 1))

    def _hint(self, fault: FaultError) -> str:
        if fault.asked > self.patience:
            return (_KEPT if self._served() else "") + _LATER
        if self._served():
            return _KEPT + _RESUME
        return _ABSENT if fault.unreachable else _FIRST_FAULT

    def _served(self) -> bool:
        """Whether any request was served, by now or before."""
        return self._succeeded or self.proven

    def _tell_failing(self, server: Server, fault: FaultError) -> None:
        """The first word about servers that have served nothing yet."""
        self._told_failing_at = time.monotonic()
        name, what = displayed(server.root), str(fault).rstrip(".")
        said = f"{name} does not answer ({what}); trying again for {self.patience:.0f} s"
        if not fault.unreachable:
            said = f"{name} fails ({what}); trying again"
            said += f" in {fault.delay:.0f} s" if (fault.delay or 0.0) > FIRST_WORD else ""
        logger.warning("%s", self.redacted(said))

    async def _watch(self) -> None:
        """Look now and then at what fails and at what is out."""
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            failing = self._failing_since is not None and now - self._failing_since >= FIRST_WORD
            if failing and now - self._told_failing_at >= _TELL_AGAIN:
                self._told_failing_at = now
                said = f"the server has served nothing for {FIRST_WORD:.0f} s, the last fault: {self.trouble.last}"
                logger.warning("%s; trying again", self.redacted(said))
            for server in self._servers:
                for flight in list(server.hearing.flights):
                    self._look_at(server, flight)

    def _look_at(self, server: Server, flight: Flight) -> None:
        """Tell that a server is silent, and end a request for which it was silent too long.

        Silence is that nothing comes for any request. Before a server has served anything, only a token ends it.
        Later a comment or an empty line does too; and where responses or their thinking are not streamed, silence tells
        nothing of a server, which may compute: there the time limit of each request counts.
        """
        waited, served = server.hearing.silence(flight), self._has_served(server)
        lasting = not served or (flight.streamed and self.streams and not self.thinks_unseen)
        longest = self._longest_silence(server)
        first_word = FIRST_WORD if not served else max(FIRST_WORD, longest / 4) if lasting else longest
        if lasting and waited >= longest:
            flight.end()
        elif waited >= first_word and not server.hearing.told:
            server.hearing.told = True
            how = f"waiting for {longest:.0f} s of silence at most (--patience)"
            how = how if lasting else "it may be computing; --request-timeout limits one request"
            logger.warning("%s has sent nothing for %.0f s; %s", displayed(server.root), waited, how)

    def _has_served(self, server: Server) -> bool:
        """Whether this server was heard, by now or before."""
        return self.proven or server.hearing.last > float("-inf")

    def _longest_silence(self, server: Server) -> float:
        """Seconds: the patience, or twice the longest silence of this server that ended by itself."""
        return max(self.patience, LEAST_SILENCE, 2 * server.hearing.longest)

    def _hear(self, server: Server, flight: Flight, token: bool) -> None:
        if token or self._has_served(server):
            server.hearing.hear(flight, token)
            self._silent_since = None

    def _silence(self, server: Server, flight: Flight, partial: str) -> FaultError | ServerError:
        """What becomes of a request for which a server was silent too long.

        One that has served others gets it once more: what is lost on its way is silent as well.
        """
        now, longest = time.monotonic(), self._longest_silence(server)
        said = f"nothing came for {longest:.0f} s"
        if self._has_served(server) and (self._silent_since is None or now - self._silent_since < 0.9 * longest):
            self._silent_since = self._silent_since or now
            if len(self._servers) > 1:
                server.resting_until = now + longest
            return FaultError(said, slow=True, partial=partial)
        self.trouble.add(said)
        return self.incomplete(f"does not answer: {said}", (_KEPT if self._served() else "") + _SILENT)

    async def _alive(self) -> bool:
        assert self._client is not None
        for server in self._servers:
            try:
                async with (
                    asyncio.timeout(10),
                    self._client.stream("GET", server.address("/models"), headers=dict(server.headers)) as response,
                ):
                    if response.status_code not in (502, 503, 504):
                        return True
            except _transport_errors():
                continue
        return False

    def incomplete(self, what: str, hint: str) -> ServerError:
        """The end of the run: `what` the servers do, redacted."""
        names = ", ".join(displayed(server.root) for server in self._servers)
        return ServerError(self.redacted(f"The server {names} {what.rstrip('.')}."), hint)

    def redacted(self, text: str, least: int = 1) -> str:
        """The text without the key and the URLs' secrets, should a server or a library have repeated them.

        Secrets of fewer than `least` characters stay.
        """
        for secret in self._secrets:
            if len(secret) >= least:
                text = text.replace(secret, "***")
        return text


def _transport_errors() -> tuple[type[Exception], ...]:
    import httpx

    return (OSError, TimeoutError, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)
