"""Requests to servers, one layer below the engine: attempts, limits, silence, redirects, marks, templates."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from quirk_server import QuirkServer, Sent, as_json, error, events, in_form, reply, whole

from evalkit.engines.openai import http, silence
from evalkit.engines.openai.concurrency import ConcurrencyLimit
from evalkit.engines.openai.faults import FaultError, GivenUpError, RefusedError, ServerError
from evalkit.engines.openai.http import Server, Servers, Trouble, retry_after
from evalkit.engines.openai.probing import Abilities, Marks, _marks, _owners, entry_of, require_one_model
from evalkit.engines.openai.silence import Flight, Hearing
from evalkit.engines.openai.template import ServerTemplate, todays_date
from evalkit.engines.openai.wire import Deadline
from evalkit.engines.prompts import Opening, earlier_messages
from evalkit.errors import EvalkitError
from evalkit.types import Message

PAYLOAD = {"model": "m", "messages": [{"role": "user", "content": "1"}], "max_tokens": 8}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("EVALKIT_API_KEY", "sk-a-long-secret-key")
    monkeypatch.setattr(http, "_FIRST_DELAY", 0.001)
    monkeypatch.setattr(http, "_LONGEST_DELAY", 0.001)


def within(server: QuirkServer | str, work: Callable[[Servers], Awaitable[Any]], **options: Any) -> Any:
    url = server if isinstance(server, str) else server.url + "/v1"

    async def main() -> Any:
        async with Servers([url], **{"concurrency": 2, "patience": 100.0, **options}) as servers:
            return await asyncio.wait_for(work(servers), 30)

    return asyncio.run(main())


def posted(server: QuirkServer, count: int = 1, **options: Any) -> list[Any]:
    """What comes of some requests, one after the other: the text, or what is raised."""

    async def work(servers: Servers) -> list[Any]:
        found: list[Any] = []
        for number in range(count):
            try:
                got, seconds = await servers.post("/chat/completions", PAYLOAD, f"unit {number}")
                assert 0 <= seconds < 30
                found.append(got["choices"][0]["message"]["content"])
            except (ServerError, GivenUpError, RefusedError) as fault:
                found.append(fault)
        return found

    return list(within(server, work, **options))


# Attempts


@pytest.mark.parametrize(
    ("answer", "proven", "attempts", "said"),
    [
        (lambda asked: error(503, "busy."), False, 12, "503: busy"),
        (lambda asked: error(503, "busy."), True, 12, "503: busy."),
        (lambda asked: error(409, "again"), False, 4, "409: again"),
        (lambda asked: in_form(b"{nonsense"), False, 4, "the reply is no whole JSON"),
        (lambda asked: in_form(b"{nonsense"), True, 12, "the reply is no whole JSON"),
        (
            lambda asked: in_form(b"<html><title>Welcome</title>"),
            True,
            12,
            "the reply is an HTML page: Welcome, not JSON",
        ),
        (lambda asked: Sent(204, []), True, 12, "the reply has status 204 and no completion"),
        (lambda asked: Sent(200, ["abort"]), True, 12, None),
        (lambda asked: events([{"choices": []}], done=""), True, 12, "the reply has no completion"),
    ],
)
def test_a_request_is_tried_so_often(answer: Any, proven: bool, attempts: int, said: str | None) -> None:
    with QuirkServer(answer) as server:
        [fault] = posted(server, proven=proven)
        url = server.url + "/v1"
    assert len(server.posts) == attempts
    if not proven:
        assert isinstance(fault, ServerError)
        assert fault.message == f"The server {url} fails every request: {said}."
        assert fault.hint == http._FIRST_FAULT
        return
    assert isinstance(fault, GivenUpError)
    if said is not None:
        assert str(fault) == f"failed on every attempt, last: {said}"


def test_a_request_that_takes_all_its_time_counts_double() -> None:
    async def slow(servers: Servers) -> list[int]:
        found = []
        for proven in (False, True):
            servers.proven = proven
            found.append(servers._weight(FaultError("slow", slow=True)))
            found.append(servers._weight(FaultError("busy", overloaded=True)))
            found.append(servers._weight(FaultError("away", unreachable=True)))
            found.append(servers._weight(FaultError("nonsense")))
        return found

    assert within("http://127.0.0.1:9/v1", slow) == [4, 1, 1, 3, 2, 1, 1, 1]


def test_eight_requests_in_a_row_that_fail_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_ATTEMPTS", 1)
    with QuirkServer(lambda asked: None if asked.number in (1, 9) else error(503, "busy")) as server:
        found = posted(server, 17)
    kinds = [type(each).__name__ for each in found]
    assert kinds == ["str", *["GivenUpError"] * 7, "str", *["GivenUpError"] * 7, "ServerError"]
    assert found[-1].hint == "finished work is kept: see the server's log, then run the same command again to resume."
    with QuirkServer(lambda asked: error(400, "not this one")) as server:

        async def refuse(servers: Servers) -> list[str]:
            told = []
            for status, succeeded in ((400, True), (404, True), *[(400, False)] * 6, (400, False)):
                servers._succeeded = succeeded
                try:
                    servers.refused(RefusedError(status, "no"))
                    told.append("goes on")
                except ServerError as fault:
                    told.append(fault.hint)
            return told

        told = within(server, refuse)
    assert told[:8] == ["goes on"] * 8
    assert told[8] == "--drop-field, --rename-field and --request-field change what is sent; see docs/servers.md."


def test_the_longest_partial_text_is_kept() -> None:
    def cut(asked: Any) -> Sent:
        text = "longest" if asked.number == 2 else "short"
        chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
        sent = events([chunk, chunk], done="")
        sent.pieces = [*sent.pieces[:1], "abort"]
        return sent

    with QuirkServer(cut) as server:
        [fault] = posted(server, proven=True)
    assert isinstance(fault, GivenUpError)
    assert fault.partial == "longest"
    assert str(fault).startswith("failed on every attempt, last: the connection broke: ")


def test_the_reply_of_another_request_is_asked_for_again_and_at_last_taken() -> None:
    def cached(asked: Any) -> Sent:
        return as_json({**reply(asked), "id": "x", "created": 1})

    def servers_of(server: QuirkServer) -> tuple[list[Any], bool, int]:
        state: list[Servers] = []

        async def work(servers: Servers) -> list[Any]:
            state.append(servers)
            return [(await servers.post("/chat/completions", PAYLOAD, str(n)))[0]["id"] for n in range(3)]

        found = within(server, work)
        return found, state[0].cached, state[0].trouble.count

    with QuirkServer(cached) as server:
        assert servers_of(server) == (["x", "x", "x"], True, 3)
    assert len(server.posts) == 1 + 4 + 1, "three times more for the second, then it is a cache"
    with QuirkServer(lambda asked: as_json({**reply(asked, f"text {asked.number}"), "id": "x"})) as server:
        assert servers_of(server) == (["x", "x", "x"], False, 0)
    assert len(server.posts) == 3
    with QuirkServer(lambda asked: as_json({**reply(asked), "id": "x", "created": asked.number})) as server:
        assert servers_of(server) == (["x", "x", "x"], False, 0)

        async def four(servers: Servers) -> bool:
            for n in range(4):
                await servers.post("/chat/completions", PAYLOAD, str(n))
            return servers.cached

        assert within(server, four), "three with one id and text and another time: a cache"


def test_what_a_request_meets_by_chance_is_not_taken_for_a_cache() -> None:
    """A proxy that gives a reply to another prompt now and then: once for one request, and eight times for another."""
    given: dict[str, dict[str, Any]] = {}
    left = {"5": 1, "20": 8, "22": 2}

    def mixes(asked: Any) -> Sent:
        if left.get(asked.prompt):
            left[asked.prompt] -= 1
            return as_json(given["1"])
        return as_json(given.setdefault(asked.prompt, {**reply(asked, f"of {asked.prompt}"), "id": f"x{asked.prompt}"}))

    async def work(servers: Servers) -> tuple[list[str], bool]:
        found = []
        for n in range(24):
            payload = {**PAYLOAD, "messages": [{"role": "user", "content": str(n)}]}
            got, _ = await servers.post("/chat/completions", payload, f"unit {n}")
            found.append(got["choices"][0]["message"]["content"])
        return found, servers.cached

    with QuirkServer(mixes) as server:
        assert within(server, work) == ([f"of {n}" for n in range(24)], False)
    assert len(server.posts) == 24 + 1 + 8 + 2


def test_a_server_with_one_reply_for_all_prompts_is_taken_at_its_word() -> None:
    async def work(servers: Servers) -> tuple[list[str], bool]:
        payloads = [{**PAYLOAD, "messages": [{"role": "user", "content": str(n)}]} for n in range(4)]
        found = [(await servers.post("/chat/completions", payload, str(payload)))[0]["id"] for payload in payloads]
        return found, servers.cached

    with QuirkServer(lambda asked: as_json({**reply(asked, "yes"), "id": "x", "created": 1})) as server:
        assert within(server, work) == (["x"] * 4, True)
    assert len(server.posts) == 1 + 4 + 1 + 1


def test_a_cache_of_prompts_leaves_other_prompts_told_apart() -> None:
    left = [2]

    def serve(asked: Any) -> Sent:
        if asked.prompt == "b" and left[0]:
            left[0] -= 1
            return as_json({**reply(asked, "of a"), "id": "a"})
        return as_json({**reply(asked, f"of {asked.prompt}"), "id": asked.prompt})

    async def work(servers: Servers) -> list[str]:
        found = []
        for n, prompt in enumerate("aaacdb"):
            payload = {**PAYLOAD, "messages": [{"role": "user", "content": prompt}]}
            found.append((await servers.post("/chat/completions", payload, str(n)))[0]["id"])
        return found

    with QuirkServer(serve) as server:
        assert within(server, work) == list("aaacdb")
    assert len(server.posts) == 1 + 4 + 1 + 2 + 3


# What statuses mean


@pytest.mark.parametrize(
    ("status", "body", "wait", "kind", "message", "delay"),
    [
        (400, '{"error": {"message": "bad"}}', None, RefusedError, "400: bad", None),
        (404, "no page", None, RefusedError, "404: no page", None),
        (422, "x", None, RefusedError, "422: x", None),
        (429, "slow down", "7", FaultError, "429: slow down", 7.0),
        (429, "insufficient_quota", "7", RefusedError, "402: insufficient_quota", None),
        (500, "oops", None, FaultError, "500: oops", None),
        (500, "unexpected keyword argument 'x'", None, RefusedError, "500: unexpected keyword argument 'x'", None),
        (500, "Extra inputs are not permitted", None, RefusedError, "500: Extra inputs are not permitted", None),
        (503, "extra_forbidden", None, FaultError, "503: extra_forbidden", None),
        (501, "no", None, RefusedError, "501: no", None),
        (505, "no", None, RefusedError, "505: no", None),
        (502, "x", "700", FaultError, "502: x (it asks to wait 700 s: Retry-After)", None),
        (503, "x.", "101", FaultError, "503: x (it asks to wait 101 s: Retry-After)", 101.0),
        (504, "x", "100", FaultError, "504: x", 100.0),
        (529, "x", None, FaultError, "529: x", None),
        (599, "x", None, FaultError, "599: x", None),
        (408, "x", None, FaultError, "408: x", None),
        (409, "x", None, FaultError, "409: x", None),
        (425, "x", None, FaultError, "425: x", None),
        (204, "", None, FaultError, "the reply has status 204 and no completion", None),
        (400, "key sk-a-long-secret-key", None, RefusedError, "400: key ***", None),
    ],
)  # fmt: skip
def test_what_a_status_means(
    status: int, body: str, wait: str | None, kind: type[Exception], message: str, delay: float | None
) -> None:
    async def problem(servers: Servers) -> Exception:
        return servers._problem(status, body.encode(), wait)

    found = within("http://127.0.0.1:9/v1", problem)
    assert (type(found), str(found)) == (kind, message)
    if isinstance(found, FaultError):
        assert found.delay == delay
        assert found.overloaded == (status >= 429)
        assert found.asked == float(wait or 0)
        assert (found.slow, found.unreachable, found.partial) == (False, False, "")
    if isinstance(found, RefusedError):
        assert found.status == int(message[:3])


KEPT = "finished work is kept: "
RIGHTS = "the account, the key's rights or the proxy have to allow it first."


@pytest.mark.parametrize("served", [True, False])
@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "set EVALKIT_API_KEY to the server's key, then run the same command again."),
        *[(status, RIGHTS) for status in (402, 403, 407, 429)],
        *[
            (status, "correct --base-url, perhaps with /v1, or name a model of the server with --served-model.")
            for status in (404, 405, 410)
        ],
        *[
            (status, "give the address where the server is as --base-url, if it is trusted with the key.")
            for status in (300, 310, 399)
        ],
        (400, "--drop-field, --rename-field and --request-field change what is sent; see docs/servers.md."),
    ],
)
def test_what_has_to_change_after_a_refusal(status: int, hint: str, served: bool) -> None:
    async def told(servers: Servers) -> ServerError:
        return servers.refusal(RefusedError(status, "no."))

    found = within("http://127.0.0.1:9/api", told, proven=served)
    assert found.message == f"The server http://127.0.0.1:9/api refuses the requests: {status}: no."
    assert found.hint == (KEPT if served else "") + hint
    if status == 404:
        hint = within("http://127.0.0.1:9/v1", told).hint
        assert hint == "correct --base-url, or name a model of the server with --served-model."


def test_hints_after_faults() -> None:
    async def hints(servers: Servers) -> list[str]:
        later = FaultError("x", asked=101.0)
        return [
            servers._hint(each) for each in (later, FaultError("x", asked=100.0), FaultError("x", unreachable=True))
        ]

    later = "run the same command again when that time has passed."
    assert within("http://127.0.0.1:9/v1", hints) == [later, http._FIRST_FAULT, http._ABSENT]
    resume = KEPT + "see the server's log, then run the same command again to resume."
    assert within("http://127.0.0.1:9/v1", hints, proven=True) == [KEPT + later, resume, resume]


def test_times_that_servers_ask_for() -> None:
    assert [retry_after(v) for v in ("", "0", "1.5", "-3", "600", "600.5", "nan", "1e9")] == [
        None, 0.0, 1.5, 0.0, 600.0, None, None, None
    ]  # fmt: skip
    from datetime import UTC, datetime

    soon = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    assert soon is not None
    assert 80 < soon <= 100
    assert retry_after(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)) is None


def test_the_time_limit_of_a_request_follows_what_completions_take() -> None:
    async def limits(servers: Servers) -> list[float]:
        found = [servers._time_limit(64), servers._time_limit(65)]
        servers._succeeded = True
        found.append(servers._time_limit(64))
        server = servers.members[0]
        servers._note_success(server, {"usage": {"completion_tokens": 10}}, 5.0)
        found += [servers._time_limit(300), servers._time_limit(301)]
        servers._note_success(server, {"usage": {"completion_tokens": 100}}, 5.0)  # faster: the slowest counts
        found.append(servers._time_limit(1000))
        servers._note_success(server, {"usage": {"completion_tokens": 0}}, 100.0)  # taken for 100 tokens
        found.append(servers._time_limit(1000))
        servers._note_success(server, {"usage": {"completion_tokens": 10**7}}, 200.0)
        found.append(servers._time_limit(1000))
        servers._note_success(server, {}, 300.0)
        found.append(servers._time_limit(1000))
        servers.timeout = 3.0
        return [*found, servers._time_limit(1)]

    assert within("http://127.0.0.1:9/v1", limits) == [
        300.0, 7200.0, 7200.0, 600.0, 602.0, 2000.0, 4000.0, 8000.0, 12000.0, 3.0
    ]  # fmt: skip


def test_a_success_ends_what_was_wrong() -> None:
    async def main(servers: Servers) -> None:
        server = servers.members[0]
        servers._failing_since, servers._given_up, server.failures, server.in_flight = 1.0, 5, 7, 2
        servers._note_success(server, {"usage": {"completion_tokens": 3}}, 1.0)
        state: Any = (servers._failing_since, servers._given_up, servers._succeeded, server.failures)
        assert state == (None, 0, True, 0)
        assert server.concurrency._answers == 1
        assert server.concurrency._tokens == 3
        assert server.concurrency._full

    within("http://127.0.0.1:9/v1", main)


def test_the_least_busy_server_that_is_not_resting() -> None:
    async def main() -> None:
        async with Servers(["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", "http://127.0.0.1:3/v1"]) as servers:
            a, b, c = servers.members
            assert servers.capacity() == 3 * 32
            a.in_flight, b.in_flight, c.in_flight = 4, 3, 5
            assert await servers._free_server() is b
            c.concurrency.limit = 64
            assert await servers._free_server() is c, "5 of 64 is less than 3 of 32"
            c.resting_until = time.monotonic() + 60
            assert await servers._free_server() is b
            b.in_flight = 32
            assert await servers._free_server() is a
            a.in_flight = 31
            assert await servers._free_server() is a
            a.in_flight = 32
            waiting = asyncio.ensure_future(servers._free_server())
            await asyncio.sleep(0.03)
            assert not waiting.done()
            b.in_flight = 31
            assert await asyncio.wait_for(waiting, 5) is b
            b.resting_until = a.resting_until = c.resting_until = time.monotonic() + 0.05
            begun = time.monotonic()
            assert await servers._free_server() is c
            assert time.monotonic() - begun >= 0.04
            servers.leave_out(b)
            assert servers.members == [a, c]
            assert str(servers.incomplete("is down.", "h").message) == (
                "The server http://127.0.0.1:1/v1, http://127.0.0.1:3/v1 is down."
            )

    asyncio.run(main())


def test_what_happens_after_a_fault(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def main(servers: Servers) -> None:
        server = servers.members[0]
        for fault, rest in (
            (FaultError("x"), None), (FaultError("x", delay=9.0), 9.0), (FaultError("x", unreachable=True), 2.0)
        ):  # fmt: skip
            server.resting_until = 0.0
            now = time.monotonic()
            await servers._after_fault(server, fault, 1)
            if rest is None:
                assert server.resting_until == 0.0
            else:
                assert rest <= server.resting_until - now < rest + 2
        assert server.failures == 3
        server.resting_until, server.failures = 0.0, 19
        await servers._after_fault(server, FaultError("x"), 1)
        assert (server.failures, server.resting_until) == (20, 0.0)
        await servers._after_fault(server, FaultError("x"), 1)
        assert server.resting_until > 0, "one that has failed so often in a row rests"
        assert servers._failing_since is not None

    within("http://127.0.0.1:9/v1", main)
    assert caplog.messages == ["http://127.0.0.1:9/v1 fails (x); trying again"]
    caplog.clear()

    async def told(servers: Servers) -> None:
        for fault in (
            FaultError("away.", unreachable=True),
            FaultError("busy", delay=4.0),
            FaultError("busy", delay=5.0),
        ):
            servers._tell_failing(servers.members[0], fault)

    within("http://u:sk-a-long-secret-key@127.0.0.1:9/v1", told, patience=30.0)
    name = "http://127.0.0.1:9/v1"
    assert caplog.messages == [
        f"{name} does not answer (away); trying again for 30 s",
        f"{name} fails (busy); trying again",
        f"{name} fails (busy); trying again in 5 s",
    ]


def test_a_run_ends_where_no_server_lives_after_the_patience() -> None:
    with QuirkServer(lambda asked: Sent(502, []) if asked.method == "GET" else None) as dead:

        async def main(servers: Servers) -> str:
            server = servers.members[0]
            servers._failing_since = time.monotonic() - 1.9
            await servers._after_fault(server, FaultError("x"), 1)
            servers._failing_since = time.monotonic() - 2.1
            try:
                await servers._after_fault(server, FaultError("gone"), 1)
            except ServerError as fault:
                return fault.message
            return f"alive {servers._failing_since}"

        assert within(dead, main, patience=2.0) == f"The server {dead.url}/v1 does not answer: gone."
    with QuirkServer(lambda asked: Sent(500, [])) as busy:
        assert within(busy, main, patience=2.0) == "alive None"
    assert within("http://127.0.0.1:9/v1", main, patience=2.0).endswith("does not answer: gone.")


# Other pages of a server


def test_pages_are_asked_for_again_where_that_may_help() -> None:
    pages: dict[str, list[Any]] = {
        "/v1/models": [Sent(500, []), Sent(503, []), as_json({"data": []})],
        "/v1/broken": [Sent(500, [])] * 4,
        "/v1/absent": [Sent(404, []), as_json({})],
        "/version": [as_json({"version": "1"})],
        "/v1/text": [in_form(b"not JSON")],
        "/v1/reset": [Sent(200, ["abort"]), as_json([1])],
        "/v1/moved": [Sent(302, [], {"location": "/v1/there"})],
        "/v1/there": [as_json({"there": 1})],
        "/v1/away": [Sent(302, [], {"location": "http://other.example/"})] * 4,
        "/v1/post": [as_json({"got": 1})],
        "/v1/fails": [Sent(500, [])],
    }

    with QuirkServer(lambda asked: pages[asked.path].pop(0)) as server:

        async def main(servers: Servers) -> list[Any]:
            one = servers.members[0]
            asked = [await servers.ask(one, p) for p in ("/models", "/broken", "/absent", "../version", "/text")]
            asked += [await servers.ask(one, p) for p in ("/reset", "/moved", "/away")]
            asked += [await servers.ask(one, p, {"a": 1}) for p in ("/post", "/fails")]
            assert one.hearing.flights == set()
            return asked

        found = within(server, main)
    assert found == [{"data": []}, None, None, {"version": "1"}, None, [1], {"there": 1}, None, {"got": 1}, None]
    methods = [(each.method, each.path) for each in server.seen]
    assert methods.count(("GET", "/v1/broken")) == 3
    assert methods.count(("GET", "/v1/absent")) == 1
    assert methods.count(("POST", "/v1/fails")) == 1
    assert {each.headers["authorization"] for each in server.seen} == {"Bearer sk-a-long-secret-key"}
    assert {each.headers["user-agent"] for each in server.seen} == {"evalkit"}
    assert {each.headers["accept-encoding"] for each in server.seen} == {"identity"}


def test_redirects_are_followed_on_one_host_and_remembered() -> None:
    def moving(asked: Any) -> Sent | None:
        if asked.path == "/v1/chat/completions":
            return Sent(308, [], {"location": "/v2/chat/completions"})
        return whole(asked, "moved")

    with QuirkServer(moving) as server:
        assert posted(server, 2) == ["moved", "moved"]
    assert [each.path for each in server.posts] == ["/v1/chat/completions", *["/v2/chat/completions"] * 2]
    with QuirkServer(lambda asked: Sent(307, [], {"location": asked.path})) as server:
        [fault] = posted(server)
    assert (fault.status, str(fault)) == (310, "310: it redirects in a circle")
    assert len(server.posts) == 4
    for location, where in (("http://other.example/v1?key=sk", "http://other.example/v1"), ("", "nowhere")):
        with QuirkServer(lambda asked, to=location: Sent(303, [], {"location": to} if to else {})) as server:  # type: ignore[misc]
            [fault] = posted(server)
        assert str(fault) == f"310: it redirects to {where}, and the key is not sent to another host"


def test_what_is_secret_is_replaced_the_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:proxy-word@proxy.example:1")
    headers = {"X-Short": "abcde", "X-Six": "abcdef", "X-Two": "Token a-word-of-12ch"}

    async def told(servers: Servers) -> tuple[list[str], Any]:
        text = "sk-a-long-secret-key abcde abcdef Token a-word-of-12ch a-word-of-12ch url-password proxy-word"
        return [servers.redacted(text), servers.redacted("abcdef a-word-of-12ch", 12)], servers.members[0].headers

    found, sent = within("http://u:url-password@127.0.0.1:9/v1", told, headers=headers)
    assert found == ["*** abcde *** *** *** *** ***", "abcdef ***"]
    assert sent == {"Authorization": "Bearer sk-a-long-secret-key", **headers}


def test_faults_are_counted_and_the_last_is_shown() -> None:
    trouble = Trouble()
    assert str(trouble) == ""
    trouble.add("first")
    trouble.add("x" * 200)
    assert str(trouble) == f"2 faults, the last: {'x' * 119}…"


def test_a_server_knows_where_its_pages_have_moved_to() -> None:
    server = Server("http://h/v1", ConcurrencyLimit(3), {})
    assert server.address("/models") == "http://h/v1/models"
    server.moved["/models"] = "http://h/v2/models"
    assert (server.address("/models"), server.address("/x")) == ("http://h/v2/models", "http://h/v1/x")


# Silence


class Timer:
    """What a deadline was told."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def within(self, seconds: float) -> None:
        self.told.append(seconds)


def test_silence_is_since_the_last_sign_of_any_request() -> None:
    now = time.monotonic()
    hearing, flight = Hearing(), Flight(True, now - 30)
    assert 30 <= hearing.silence(flight) < 32
    hearing.last = now - 10
    assert 10 <= hearing.silence(flight) < 12
    hearing.told = flight.silent = True
    hearing.hear(flight, False)
    assert (hearing.longest, hearing.told, flight.silent) == (0.0, False, False)
    hearing.last = now - 10
    hearing.hear(flight, True)
    assert 10 <= hearing.longest < 12
    assert hearing.silence(flight) < 2
    hearing.hear(flight, True)
    assert hearing.longest >= 10, "the longest, not the last"
    timer: Any = Timer()
    flight.deadline = timer
    flight.end()
    flight.end()
    assert (flight.silent, timer.told) == (True, [0.0])
    Flight(False).end()
    assert (silence.FIRST_WORD, silence.LEAST_SILENCE, silence.LOOK) == (4.0, 5.0, 0.5)


LASTING = "{} has sent nothing for {:.0f} s; waiting for 40 s of silence at most (--patience)"
COMPUTING = "{} has sent nothing for {:.0f} s; it may be computing; --request-timeout limits one request"


@pytest.mark.parametrize(
    ("served", "streamed", "streams", "unseen", "waited", "ends", "told"),
    [
        (False, False, False, False, 3.5, False, ""),
        (False, False, False, False, 4.1, False, LASTING),
        (False, False, False, False, 40.1, True, ""),
        (True, True, True, False, 9.5, False, ""),
        (True, True, True, False, 10.1, False, LASTING),
        (True, True, True, False, 40.1, True, ""),
        (True, False, True, False, 39.5, False, ""),
        (True, False, True, False, 40.1, False, COMPUTING),
        (True, True, False, False, 40.1, False, COMPUTING),
        (True, True, True, True, 40.1, False, COMPUTING),
    ],
)
def test_when_a_silent_server_is_told_of_and_given_up(
    served: bool, streamed: bool, streams: bool, unseen: bool, waited: float, ends: bool, told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async def look(servers: Servers) -> tuple[Flight, Server]:
        servers.streams, servers.thinks_unseen = streams, unseen
        server, flight = servers.members[0], Flight(streamed, time.monotonic() - waited)
        flight.deadline = Timer()  # type: ignore[assignment]
        servers._look_at(server, flight)
        servers._look_at(server, flight)
        return flight, server

    flight, server = within("http://127.0.0.1:9/v1", look, patience=40.0, proven=served)
    assert flight.silent == ends
    assert server.hearing.told == bool(told)
    assert caplog.messages == ([told.format("http://127.0.0.1:9/v1", waited)] if told else [])


def test_what_becomes_of_a_request_whose_server_was_silent() -> None:
    async def once(servers: Servers) -> list[Any]:
        server, flight = servers.members[0], Flight(True)
        found: list[Any] = [servers._silence(server, flight, "so far")]
        server.hearing.last = time.monotonic()
        found.append(servers._silence(server, flight, "so far"))
        assert servers._silent_since is not None
        servers._silent_since -= 17.9
        found.append(servers._silence(server, flight, ""))
        servers._silent_since -= 0.2
        found.append(servers._silence(server, flight, ""))
        servers._hear(server, flight, False)
        assert servers._silent_since is None
        assert server.resting_until == 0.0
        return found

    found = within("http://127.0.0.1:9/v1", once, patience=20.0)
    assert [type(each).__name__ for each in found] == ["ServerError", "FaultError", "FaultError", "ServerError"]
    assert found[0].message == "The server http://127.0.0.1:9/v1 does not answer: nothing came for 20 s."
    assert found[0].hint == http._SILENT
    assert (str(found[1]), found[1].slow, found[1].partial) == ("nothing came for 20 s", True, "so far")

    async def among_others() -> None:
        async with Servers(["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"], patience=1.0, proven=True) as servers:
            server = servers.members[0]
            server.hearing.longest = 4.0
            assert servers._longest_silence(server) == 8.0
            assert servers._longest_silence(servers.members[1]) == 5.0, "however small the patience is"
            now = time.monotonic()
            servers._silence(server, Flight(True), "")
            assert 8.0 <= server.resting_until - now < 10.0, "others get its requests meanwhile"

    asyncio.run(among_others())


def test_before_a_server_has_served_only_a_token_is_a_sign_of_it() -> None:
    async def main(servers: Servers) -> None:
        server, flight = servers.members[0], Flight(True)
        assert not servers._has_served(server)
        servers._hear(server, flight, False)
        assert server.hearing.last == float("-inf")
        servers._hear(server, flight, True)
        assert servers._has_served(server)
        assert time.monotonic() - server.hearing.last < 5

    within("http://127.0.0.1:9/v1", main)


def test_deadlines() -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(100) as timeout:
            deadline = Deadline(timeout, 50.0)
            for within, seconds in ((10.0, 10), (70.0, 50), (None, 50)):
                deadline.free() if within is None else deadline.within(within)
                when = timeout.when()
                assert when is not None
                assert seconds - 2 < when - clock() <= seconds

    asyncio.run(main())


# Which model a server has


def test_the_entry_of_a_model_and_the_names_of_all() -> None:
    a, b = {"id": "a", "x": 1}, {"name": "models/b"}
    assert entry_of({"data": [a, b]}, "a") == (a, ["a", "models/b"])
    assert entry_of({"models": [b]}, "b") == (b, ["models/b"])
    assert entry_of([a, "c:latest", 3, {"id": 4}], "c") == ({"id": "c:latest"}, ["a", "c:latest"])
    assert entry_of({"data": [a]}, "z") == ({}, ["a"])
    for more in ("has_more", "next", "nextPageToken"):
        assert entry_of({"data": [a], more: "x"}, "z") == ({}, [])
        assert entry_of({"data": [a], more: False}, "z") == ({}, ["a"])
    for none in (None, "x", {"data": None}, {}, 3):
        assert entry_of(none, "a") == ({}, [])
    assert _owners({"data": [{"owned_by": "vllm"}, {"owned_by": "vllm"}, 3, {"owned_by": None}]}) == ["vllm"]
    assert _owners([{"owned_by": "vllm"}, {"owned_by": "me"}]) == []
    assert _owners({"data": 3}) == []


def test_marks_of_a_model() -> None:
    server = Server("http://u:p@h/v1?k=1", ConcurrencyLimit(1), {})
    day = 86_400
    now = int(time.time())
    full = {"root": "/m\x1b/" + "x" * 300, "owned_by": "o" * 100, "created": now - day - 60}
    made = _marks(server, full, "cats")
    assert (made.base_url, made.answer, made.created) == ("http://h/v1", "cats", now - day - 60)
    assert made.root == "/m /" + "x" * 195 + "…"
    assert made.owned_by == "o" * 79 + "…"
    for created in (now, now - day + 60, now + 100, 0, -5, True, "1700000000", None):
        assert _marks(server, {"created": created}, None) == Marks("http://h/v1")
    assert _marks(server, {"created": 1}, None).created == 1
    assert _marks(server, {"root": 3, "owned_by": []}, None) == Marks("http://h/v1")
    first = Marks("http://a", "r", "me", 5, "cats")
    assert (
        first.differences({"base_url": "http://b", "root": "r", "owned_by": "me", "created": 5, "answer": "cats"}) == []
    )
    assert first.differences({"root": None}) == []
    assert first.differences({"root": "R", "owned_by": "you", "created": 6, "answer": "dogs" * 20}) == [
        "root 'R' became 'r'",
        "owner 'you' became 'me'",
        "creation time '6' became '5'",
        f"answer {('dogs' * 20)[:59] + '…'!r} became 'cats'",
    ]
    assert Marks("x").differences({"root": "R", "answer": "a"}) == []
    assert first.recognises({"answer": "cats"})
    assert first.recognises({"root": "r", "answer": "dogs"})
    assert not first.recognises({"owned_by": "me", "created": 5})
    assert not Marks("x").recognises({"answer": None, "root": None})
    require_one_model([first, Marks("http://b", "r"), Marks("http://c")])
    with pytest.raises(EvalkitError) as caught:
        require_one_model([first, Marks("http://b", "r"), Marks("http://c", "s", "me", 6)])
    assert caught.value.message == (
        "The servers http://a and http://c are not one model: root 'r' became 's'; creation time '5' became '6'."
    )
    found = Abilities(None, None, False, frozenset(), False, (Marks("http://b", "r"),)).described_marks()
    assert found == [{"base_url": "http://b", "root": "r", "owned_by": None, "created": None, "answer": None}]


# What a server shows of its template

SYSTEM, USER = Message(role="system", content=""), Message(role="user", content="1 + 1?")


def shown(
    prompt: Callable[[Mapping[str, Any]], str | None], kind: str = "vllm", **options: Any
) -> tuple[Any, list[Any]]:
    """A template as a server shows it, and what it was asked."""
    asked: list[Any] = []

    async def ask(path: str, payload: Mapping[str, Any]) -> Any:
        asked.append((path, json.loads(json.dumps(payload))))
        if path == "../tokenize" and kind == "vllm":
            text = prompt(payload)
            return None if text is None else {"tokens": [ord(c) for c in text]}
        if path == "../detokenize" and kind == "vllm":
            return {"prompt": "".join(map(chr, payload["tokens"]))}
        if path == "../apply-template" and kind == "llama.cpp":
            return {"prompt": prompt(payload)}
        return None

    values: dict[str, Any] = {"variables": {}, "continues": True, **options}
    return ServerTemplate(ask, "m", values["variables"], values["continues"]), asked


def test_a_prompt_is_asked_for_with_all_that_changes_it() -> None:
    template, asked = shown(lambda payload: "ab", variables={"x": 1})
    assert asyncio.run(template.text([USER])) == "ab"
    request = {"model": "m", "messages": [USER], "chat_template_kwargs": {"x": 1}}
    assert asked == [("../tokenize", request), ("../detokenize", {"model": "m", "tokens": [97, 98]})]
    asked.clear()
    asyncio.run(template.text([USER], continued=True))
    assert asked[0][1] == {**request, "continue_final_message": True, "add_generation_prompt": False}
    other, asked = shown(lambda payload: "ab", "llama.cpp")
    assert asyncio.run(other.text([USER])) == "ab"
    assert asyncio.run(other.text([USER])) == "ab"
    assert asyncio.run(other.text([USER], continued=True)) is None
    bare = {"model": "m", "messages": [USER]}
    assert asked == [("../tokenize", bare), *[("../apply-template", bare)] * 2], (
        "a path that is not there is left alone"
    )
    silent, asked = shown(lambda payload: None, "silent")
    assert asyncio.run(silent.text([USER])) is None
    assert asyncio.run(silent.text([USER])) is None
    assert [path for path, _ in asked] == ["../tokenize", "../apply-template"]
    assert asyncio.run(shown(lambda payload: "")[0].text([USER])) is None


def test_an_empty_system_message_is_sent_where_it_shortens_the_prompt() -> None:
    def own(payload: Mapping[str, Any]) -> str:
        first = payload["messages"][0]
        return first["content"] + "|q" if first["role"] == "system" else "You are helpful.|q"

    messages = [SYSTEM, USER]
    assert asyncio.run(shown(own)[0].without_system(messages)) == messages
    assert asyncio.run(shown(lambda payload: "q")[0].without_system(messages)) == [USER], "as long: it is left out"
    assert asyncio.run(shown(lambda payload: None)[0].without_system(messages)) == [USER]


R1 = "<｜User｜>1 + 1?<｜Assistant｜>"


def r1(payload: Mapping[str, Any]) -> str:
    if payload["messages"] == list(earlier_messages()):
        return "<｜User｜>1 + 1?<｜Assistant｜>2<｜User｜>And 1 + 2?<｜Assistant｜>"
    begun = payload["messages"][-1]["content"] if payload.get("continue_final_message") else ""
    return R1 + begun


def opened(asked: str, prompt: Any = r1, local: Opening | None = None, kind: str = "vllm", **options: Any) -> Opening:
    found = asyncio.run(shown(prompt, kind, **options)[0].opening([USER], asked, local))
    assert isinstance(found, Opening)
    return found


def test_how_responses_begin_at_a_server() -> None:
    reason = "the chat template is DeepSeek-R1's and opens no thinking"
    assert opened("auto") == Opening("<think>\n", "open", True, reason)
    assert opened("none") == Opening("", "unopened", False, "none is asked for")
    assert opened("Well, ") == Opening("Well, ", "unopened", True, "asked for")
    assert opened("<think>\n") == Opening("<think>\n", "open", True, "asked for")
    assert opened("auto", continues=False) == Opening(
        "", "unopened", False, f"{reason}, but it cannot be told how to begin a response"
    )

    def closing(payload: Mapping[str, Any]) -> str:
        text = r1(payload)
        return text.replace("<think>\n", "<think></think><think>\n") if payload.get("continue_final_message") else text

    assert opened("auto", closing).reason == f"{reason}, but it puts closed thinking before it"
    assert opened("auto", lambda p: r1(p) + ("!" if p.get("continue_final_message") else "")).reason == (
        f"{reason}, but it makes another prompt of it"
    )
    with pytest.raises(EvalkitError) as caught:
        opened("Well, ", continues=False)
    assert caught.value.message == (
        "The response prefix 'Well, ' cannot be had from this server: it cannot be told how to begin a response."
    )
    unseen = "the server does not show its prompts, its chat template decides"
    for asked in ("auto", "", "none"):
        assert opened(asked, kind="silent") == Opening("", "unknown", False, unseen)
    assert opened("Well, ", kind="silent") == Opening("Well, ", "unknown", True, "asked for")
    assert opened("<think>\n", kind="silent") == Opening("<think>\n", "open", True, "asked for")
    local = Opening("<think>\n", "open", True, "by the tokenizer at hand")
    assert opened("auto", kind="silent", local=local) == local
    refused = opened("auto", kind="silent", local=local, continues=False)
    assert refused == Opening("", "unknown", False, f"{local.reason}, but it cannot be told how to begin a response")
    assert opened("auto", kind="llama.cpp") == Opening("<think>\n", "open", True, reason)


def test_the_forms_of_a_date() -> None:
    day = date(2026, 7, 6)
    for form in ("2026-07-06", "06 Jul 2026", "06 July 2026", "July 06, 2026", "Jul 06, 2026"):
        assert todays_date(f"Today is {form}.", day) == form
    assert todays_date("2026-07-07", day) == ""


def test_what_the_environment_says_of_proxies_and_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(servers: Servers) -> str:
        return "opened"

    monkeypatch.setenv("HTTP_PROXY", "odd://me:proxy-password@p.example:1")
    assert within("http://127.0.0.1:9/v1", nothing) == "opened", "no proxy is for this machine"
    with pytest.raises(EvalkitError) as caught:
        within("http://h.example/v1", nothing)
    assert caught.value.message.startswith("The environment names a proxy that cannot be used: ")
    assert "proxy-password" not in caught.value.message
    monkeypatch.delenv("HTTP_PROXY")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(EvalkitError, match="The certificates for TLS cannot be read: "):
        within("http://h.example/v1", nothing)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """The client and the watcher end with the block, also where it raises."""
    tasks: list[int] = []

    async def fail_within(servers: Servers) -> None:
        async with servers:
            raise ValueError("inside")

    async def main() -> None:
        servers = Servers(["http://127.0.0.1:9/v1"])
        with pytest.raises(ValueError, match="inside"):
            await fail_within(servers)
        client = servers._client
        assert client is not None
        assert client.is_closed
        tasks.append(len(asyncio.all_tasks()))

    asyncio.run(main())
    assert tasks == [1]
