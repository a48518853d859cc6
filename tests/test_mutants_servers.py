"""The openai engine, what needs no server: tables of what comes in and of all that comes out, at and beside limits."""

import asyncio
import json
import ssl
from typing import Any, cast

import pytest

from evalkit.engines.openai import concurrency
from evalkit.engines.openai.addresses import (
    api_root,
    displayed,
    is_local,
    join,
    key_from_environment,
    key_headers,
    read_headers,
    redirected,
    url_secrets,
)
from evalkit.engines.openai.concurrency import ConcurrencyLimit
from evalkit.engines.openai.dialects import (
    NEUTRAL,
    PRESETS,
    UNKNOWN,
    RequestForm,
    RequestOptions,
    completion_limit,
    find_preset,
    preset_names,
    refused_fields,
    room_left,
)
from evalkit.engines.openai.faults import (
    FaultError,
    GivenUpError,
    RefusedError,
    error_status,
    is_out_of_credit,
    loads,
    said_in,
    tidy,
    tls_fault,
)
from evalkit.engines.openai.replies import (
    OpenThinking,
    choice_of,
    ending,
    join_surrogates,
    opened_at_start,
    parts_of,
    response_text,
    thinking_of,
    usage_tokens,
)
from evalkit.engines.openai.wire import Deadline, Lines, Reading, Stream, refuse_error
from evalkit.errors import EvalkitError

# How many requests at once


class Clock:
    """A clock that does not start at 0."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def answers(limit: ConcurrencyLimit, clock: Clock, seconds: float, count: int | None = None, in_flight: int = 0) -> int:
    """A window of answers that takes so many seconds, 100 tokens each; the new limit."""
    for _ in range(count or max(limit.limit, 16)):
        clock.now += seconds / (count or max(limit.limit, 16))
        limit.answered(100, in_flight or limit.limit)
    return limit.limit


def test_the_limit_is_raised_while_that_gives_more() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(100, clock=clock)
    assert limit.limit == 32
    assert answers(limit, clock, 1.0) == 48  # 3,200 a second
    assert answers(limit, clock, 1.0) == 72  # 4,800
    assert answers(limit, clock, 1.5) == 48, "no more than before: back to the best"
    assert answers(limit, clock, 1.0) == 48
    for _ in range(concurrency._WINDOWS_UNTIL_RETRY - 2):
        assert answers(limit, clock, 1.0) == 48
    assert answers(limit, clock, 1.0) == 72, "after 20 windows it is tried again"
    assert answers(limit, clock, 1.0) == 100, "never above the most"


def test_a_gain_has_to_be_more_than_5_percent() -> None:
    for seconds, after in ((1.5 / 1.04, 32), (1.5 / 1.06, 72)):
        clock = Clock()
        limit = ConcurrencyLimit(100, clock=clock)
        answers(limit, clock, 1.0)
        assert answers(limit, clock, seconds) == after


def test_a_window_counts_only_when_the_server_was_full() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(100, clock=clock)
    assert answers(limit, clock, 1.0, in_flight=31) == 32
    assert answers(limit, clock, 1.0, in_flight=32) == 48
    assert answers(limit, clock, 0.1, count=47) == 48, "not yet a window"
    small = ConcurrencyLimit(4, clock=clock)
    assert small.limit == 4
    assert answers(small, clock, 1.0, count=15) == 4
    fixed = ConcurrencyLimit(8, fixed=True, clock=clock)
    assert answers(fixed, clock, 0.001) == 8


def test_a_silent_server_gets_more() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(100, clock=clock)
    clock.now += 5.0
    limit.waited(32)
    assert limit.limit == 32
    clock.now += 0.1
    limit.waited(31)
    assert limit.limit == 32, "not full"
    limit.waited(32)
    assert limit.limit == 48
    limit.answered(100, 48)
    clock.now += 6
    limit.waited(48)
    assert limit.limit == 48, "it has answered"
    fixed = ConcurrencyLimit(8, fixed=True, clock=clock)
    clock.now += 6
    fixed.waited(8)
    assert fixed.limit == 8


def test_an_overloaded_server_gets_less_once_a_second() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(100, clock=clock)
    limit.overloaded()
    assert limit.limit == 22
    clock.now += 0.99
    limit.overloaded()
    assert limit.limit == 22
    clock.now += 0.01
    limit.overloaded()
    assert limit.limit == 15
    assert answers(limit, clock, 1.0) == 16, "carefully from then on: a tenth more, at least one"
    assert answers(limit, clock, 0.5) == 17
    for _ in range(20):
        clock.now += 2
        limit.overloaded()
    assert limit.limit == 1


# Faults in words


def test_tidy() -> None:
    assert tidy(" a\n\tb\x1b[1m c ") == "a b [1m c"
    assert tidy("x" * 300) == "x" * 300
    assert tidy("x" * 301) == "x" * 299 + "…"
    assert tidy("abcdef", 5) == "abcd…"
    assert tidy("abcde", 5) == "abcde"
    assert tidy(" " * 100 + "a", 5) == ""


def test_loads() -> None:
    assert loads(b'\xef\xbb\xbf {"a": NaN, "b": [Infinity, "\xff"]}') == {"a": None, "b": [None, "�"]}
    with pytest.raises(ValueError, match="nested"):
        loads("[" * 100_000)
    with pytest.raises(ValueError, match=r"."):
        loads("{")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no", "param": "top_k"}}', "no (param: 'top_k')"),
        ('{"error": {"message": "no top_k", "param": "top_k"}}', "no top_k"),
        ('{"error": {"message": "no", "param": null}}', "no"),
        ('{"error": "bad", "param": "n"}', "bad (param: 'n')"),
        ('{"message": "m", "detail": "d"}', "m"),
        ('{"msg": "m"}', "m"),
        ('{"errors": ["a", {"msg": "b"}]}', "a; b"),
        ('[{"error": {"message": "in a list"}}, 2]', "in a list"),
        ("[]", "[]"),
        ('{"error": "", "detail": [{"loc": ["body", "a", 0], "msg": "m"}, {"loc": "x", "message": "k"}]}',
         "field 'a.0': m; k"),
        ('{"detail": [{"loc": ["body"], "x": 1}]}', "{'loc': ['body'], 'x': 1}"),
        ('{"other": 1}', '{"other": 1}'),
        ("  <html><title> Bad Gateway </title><p>x", "an HTML page: Bad Gateway"),
        ("<html><title> </title><p>text</p>", "an HTML page: text"),
        ("plain", "plain"),
        ('"text"', "text"),
    ],
)  # fmt: skip
def test_what_a_server_says(body: str, said: str) -> None:
    assert said_in(body.encode()) == said


def test_what_a_server_says_at_length() -> None:
    assert len(said_in(b"x" * 9000)) == 8000
    assert len(said_in(json.dumps({"error": "y" * 9000}).encode())) == 8000
    many = said_in(json.dumps({"detail": ["z"] * 30}).encode())
    assert many == "; ".join(["z"] * 20)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"error": {"code": 429, "message": "m"}}, 429),
        ({"error": {"code": "503"}}, 503),
        ({"error": {"code": 399}}, 500),
        ({"error": {"code": 600}}, 500),
        ({"error": {"code": 400}}, 400),
        ({"error": {"code": 599}}, 599),
        ({"error": {"code": True}}, 500),
        ({"error": {"status": 404}}, 404),
        ({"error": {"code": "300"}}, 500),
        ({"error": {"type": "insufficient_quota"}}, 402),
        ({"error": {"code": "rate_limit_exceeded"}}, 429),
        ({"error": {"type": "overloaded_error"}}, 503),
        ({"error": {"type": "authentication_error"}}, 401),
        ({"error": {"type": "permission_denied"}}, 403),
        ({"error": {"code": "model_not_found"}}, 404),
        ({"error": {"type": "invalid_request_error"}}, 400),
        ({"error": {"code": None, "type": "Too Many"}}, 429),
        ({"error": "down"}, 500),
        ({"error": "down", "code": 503}, 503),
        ({"error": "x", "type": "forbidden"}, 403),
        ({"error": {"code": "odd", "type": 401}}, 401),
        ({"error": {"code": "billing_hard_limit"}}, 402),
    ],
)
def test_errors_with_status_200(content: Any, status: int) -> None:
    found = error_status(content)
    assert found is not None
    assert found[0] == status
    wanted = FaultError if status >= 500 or status == 429 else RefusedError
    with pytest.raises(wanted) as caught:
        refuse_error(content, "so far")
    if isinstance(caught.value, FaultError):
        assert caught.value.overloaded == (status in (429, 503))
        assert caught.value.partial == "so far"
        assert str(caught.value).startswith(f"{status}: ")
    if isinstance(caught.value, RefusedError):
        assert caught.value.status == status
        assert caught.value.lasting == (status in (401, 402, 403))


def test_no_errors_and_those_of_credit() -> None:
    harmless: list[Any] = [[], {}, {"error": None}, {"error": ""}, {"choices": []}, "error"]
    for content in harmless:
        assert error_status(content) is None
        refuse_error(content)
    for code in (408, 409, 425):
        with pytest.raises(FaultError):
            refuse_error({"error": {"code": code}})
    with pytest.raises(RefusedError) as caught:
        refuse_error({"error": {"code": 400, "message": "You exceeded your current quota"}})
    assert caught.value.status == 402
    assert is_out_of_credit("insufficient_balance")
    assert is_out_of_credit("Insufficient quota")
    assert not is_out_of_credit("rate limit of your quota")
    refusal = RefusedError(418, "short", "all")
    assert (refusal.said, refusal.lasting, str(refusal)) == ("all", False, "418: short")
    assert RefusedError(407, "m").said == "m"
    assert RefusedError(407, "m").lasting
    changed = refusal.with_words(str.upper)
    assert (changed.status, changed.message, changed.said) == (418, "SHORT", "ALL")


def test_faults_of_tls() -> None:
    version = ssl.SSLError()
    version.reason = "WRONG_VERSION_NUMBER"
    handshake = ssl.SSLError()
    handshake.reason = "SSLV3_ALERT_HANDSHAKE_FAILURE"
    assert tls_fault(version) == "it does not speak TLS"
    assert tls_fault(handshake) == "TLS fails (sslv3 alert handshake failure)"
    assert tls_fault(ssl.SSLEOFError()) is None
    outer = OSError("x")
    outer.__cause__ = version
    assert tls_fault(outer) == "it does not speak TLS"
    other = OSError("y")
    other.__context__ = version
    assert tls_fault(other) == "it does not speak TLS"
    assert tls_fault(OSError("z")) is None
    wrong = ssl.SSLCertVerificationError()
    wrong.reason, wrong.verify_message = "CERTIFICATE", "self-signed certificate"
    assert tls_fault(wrong) == "its certificate is not accepted (self-signed certificate)"


# A reply, line by line


def test_lines_end_in_three_ways() -> None:
    lines = Lines()
    assert list(lines.feed(b"a")) == []
    assert lines.pending
    assert list(lines.feed(b"b\r")) == [], "its LF may be in the next piece"
    assert list(lines.feed(b"\nc\rd\n\ne")) == [b"ab", b"c", b"d", b""]
    assert lines.rest() == b"e"
    assert list(lines.feed(b"\n")) == [b"e"]
    assert not lines.pending
    assert lines.rest() == b""


def test_no_line_is_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.engines.openai.wire.MOST_BYTES", 10)
    lines = Lines()
    assert list(lines.feed(b"12345")) == []
    assert list(lines.feed(b"67890")) == []
    with pytest.raises(FaultError):
        list(lines.feed(b"1"))


def streamed(*lines: str, max_tokens: int = 100) -> Stream:
    stream = Stream(max_tokens)
    for line in lines:
        stream.line(line.encode())
    return stream


def chunk(content: Any = None, finish: Any = None, index: int = 0, **more: Any) -> str:
    delta = {} if content is None else {"content": content}
    return "data: " + json.dumps({"choices": [{"index": index, "delta": {**delta, **more}, "finish_reason": finish}]})


STREAMS: dict[str, tuple[list[str], Any]] = {
    "pieces": ([chunk("a"), "", chunk("b", "stop")], ("ab", "", "stop", False)),
    "no space": ([chunk("a").replace("data: ", "data:"), chunk(finish="length")], ("a", "", "length", False)),
    "lines of JSON": ([chunk("a").removeprefix("data: "), chunk("b", "stop")], ("ab", "", "stop", False)),
    "comments": (
        [": ping", "id: 3", "retry: 5", chunk("a"), "data: : ping", "data:", chunk(finish="stop")],
        ("a", "", "stop", False),
    ),
    "empty reason": ([chunk("a", ""), chunk("b", "stop")], ("ab", "", "stop", False)),
    "thinking": ([chunk(reasoning_content="t"), chunk("a", "stop")], ("a", "t", "stop", False)),
    "tools": ([chunk("a", tool_calls=[1]), chunk(finish="tool_calls")], ("a", "", "tool_calls", True)),
    "functions": ([chunk("a", function_call={"name": "f"}), chunk(finish="stop")], ("a", "", "stop", True)),
    "the whole once more": (
        [chunk("a" * 10), chunk("b" * 10), chunk("a" * 10 + "b" * 10, "stop")],
        ("a" * 10 + "b" * 10, "", "stop", False),
    ),
    "short and the same": ([chunk("ab"), chunk("cd"), chunk("abcd", "stop")], ("abcdabcd", "", "stop", False)),
    "one piece twice": ([chunk("x" * 30), chunk("x" * 30, "stop")], ("x" * 60, "", "stop", False)),
    "growing": (
        [chunk("a"), chunk("ab"), chunk("abc"), chunk("abcd"), chunk(finish="stop")],
        ("abcd", "", "stop", False),
    ),
    "growing three times": (
        [chunk("a"), chunk("ab"), chunk("abc"), chunk(finish="stop")],
        ("aababc", "", "stop", False),
    ),
    "two lines of one event": (
        ['data: {"choices": [{"delta":', 'data: {"content": "a"}, "finish_reason": "stop"}]}'],
        ("a", "", "stop", False),
    ),
    "a message": (
        ['data: {"choices": [{"message": {"content": "w"}, "finish_reason": "stop"}]}'],
        ("w", None, "stop", None),
    ),
    "text": (['data: {"choices": [{"text": "w", "finish_reason": "stop"}]}'], ("w", "", "stop", False)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams(name: str) -> None:
    lines, (content, thinking, finish, tools) = STREAMS[name]
    stream = streamed(*lines)
    assert stream.finished
    assert stream.came
    assert not stream.done
    (choice,) = stream.reply()["choices"]
    message = choice["message"]
    found = (message["content"], message.get("reasoning_content"), choice["finish_reason"], message.get("tool_calls"))
    assert found == (content, thinking, finish, tools)
    assert stream.partial() == (thinking or "") + content


def test_what_stands_about_a_stream() -> None:
    stream = streamed(
        'data: {"id": "i", "model": "m", "choices": []}',
        chunk("a"),
        'data: {"id": "j", "choices": null, "usage": {"x": 1}}',
    )
    assert not stream.finished
    assert not stream.done
    stream.line(b"data: [done]")
    assert stream.done
    reply = stream.reply()
    assert (reply["id"], reply["model"], reply["usage"], reply["streamed"]) == ("i", "m", {"x": 1}, True)
    two = streamed(chunk("b", "stop", 1), chunk("a", None, 0))
    assert not two.finished, "one of its choices goes on"
    assert [c["index"] for c in two.reply()["choices"]] == [0, 1]
    assert two.partial() == "a"
    assert streamed().partial() == ""
    assert not streamed().finished


def test_what_a_line_is() -> None:
    stream = Stream(10)
    assert [stream.line(line) for line in (b"", b": x", b"event: ping", b"data:", b"id: 1")] == [False] * 5
    assert stream.line(b'data: {"choices": []}')
    assert stream.line(b"data: {")
    with pytest.raises(FaultError, match="no JSON"):
        stream.line(b"  ")
    for done in (b"data: [DONE]", b'data: "[DONE]"', b"data: done"):
        assert Stream(1).line(done)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["event: error", 'data: {"message": "down"}'], "500: down"),
        (["event: error", 'data: {"data": "broken"}'], "500: broken"),
        (["event: error", "data: {}"], "500: unknown"),
        ([chunk("part"), 'data: {"error": {"code": 503, "message": "full"}}'], "503: full"),
        (["data: 3"], "no object"),
    ],
)
def test_errors_in_a_stream(lines: list[str], message: str) -> None:
    with pytest.raises(FaultError, match=message) as caught:
        streamed(*lines)
    assert caught.value.partial == ("part" if len(lines) == 2 and "part" in lines[0] else "")


def test_an_event_s_name_ends_with_it() -> None:
    assert streamed("event: error", "", 'data: {"message": "fine"}').came


def test_a_stream_has_an_end() -> None:
    with pytest.raises(GivenUpError) as caught:
        streamed(chunk("x" * 20_201), max_tokens=1)
    assert len(caught.value.partial) == 20_000
    assert streamed(chunk("x" * 20_200), max_tokens=1).came
    assert streamed(*(chunk("x", None, i) for i in range(64))).came
    with pytest.raises(FaultError, match="more choices"):
        streamed(*(chunk("x", None, i) for i in range(65)))


class Times:
    """Records when the reading is to end."""

    def __init__(self) -> None:
        self.last: float | None = None

    def reschedule(self, when: float | None) -> None:
        self.last = when


def test_a_reading_knows_what_comes_and_when_it_is_due() -> None:
    async def read() -> None:
        now = asyncio.get_running_loop().time

        def begun(seconds: float = 5000) -> tuple[Reading, Times]:
            times = Times()
            return Reading(Deadline(cast(asyncio.Timeout, times), seconds), 100), times

        def due(times: Times) -> float:
            assert times.last is not None
            return times.last - now()

        reading, times = begun()
        assert due(times) == pytest.approx(600, abs=5)
        assert not reading.take(b"\r\n  ")
        assert due(times) == pytest.approx(600, abs=5)
        assert not reading.take(b'{"choices": [1]')
        assert due(times) == pytest.approx(60, abs=5), "a body that has begun"
        assert not reading.finished
        assert reading.partial() == ""
        reading.take(b"}")
        assert reading.stream is None
        reading, times = begun()
        reading.take(b"dat")
        assert reading.stream is None, "not enough to tell"
        reading.take((chunk("abc")[3:] + "\n\n").encode())
        assert reading.partial() == "abc"
        assert due(times) == pytest.approx(600, abs=5)
        reading.take(b"data: {")
        assert due(times) == pytest.approx(60, abs=5), "an event that has begun"
        reading, times = begun(30)
        assert due(times) == pytest.approx(30, abs=5), "never later than the whole may take"
        reading, times = begun()
        assert reading.take((chunk("abc", "stop") + "\ndata: [DONE]\n").encode())
        assert reading.finished
        assert reading.reply()["choices"][0]["finish_reason"] == "stop"

    asyncio.run(read())


# What a reply says

ENDINGS: dict[str, list[Any]] = {
    "stop": ["stop", "EOS", "end-turn", "tool calls", "FinishReason.STOP", "finish_reason_stop", " stop "],
    "length": ["length", "MAX_TOKENS", "context_length_exceeded", "truncated"],
    "repetition": ["repetition", "repeat"],
    "filtered": ["content_filter", "SAFETY", "language"],
    "failed": ["error", "abort", "timeout"],
    "unknown": [None, "", 3, "something"],
}


@pytest.mark.parametrize(("wanted", "reason"), [(w, r) for w, rs in ENDINGS.items() for r in rs])
def test_endings(wanted: str, reason: Any) -> None:
    assert ending(reason) == wanted


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("a", ("", "a", "")),
        (None, ("", "", "")),
        (["a", {"text": "b"}], ("", "ab", "")),
        ({"type": "text", "text": "b"}, ("", "b", "")),
        ([{"type": "refusal", "refusal": "r"}], ("", "", "r")),
        ([{"type": "refusal", "text": "r"}], ("", "", "r")),
        ([{"type": "thinking", "thinking": "t"}], ("t", "", "")),
        ([{"type": "reasoning", "summary": [{"text": "s"}, "u"]}], ("su", "", "")),
        ([3, {"type": "thought"}], ("", "", "")),
        ([{"type": "text", "text": {"value": "v"}}], ("", "v", "")),
        ([{"text": ["x", {"text": "y"}]}], ("", "xy", "")),
    ],
)
def test_parts(content: Any, parts: tuple[str, str, str]) -> None:
    assert parts_of(content) == parts


def test_thinking_beside_the_content() -> None:
    assert thinking_of({"reasoning_content": "", "reasoning": "r", "thinking": "t"}) == "r"
    assert thinking_of({"reasoning_details": [{"text": "a"}, {"content": "b"}, "c"]}) == "abc"
    assert thinking_of({"reasoning": {"text": "d"}}) == "d"
    assert thinking_of({"reasoning_content": 3}) == ""


def test_the_choice_that_answers() -> None:
    assert choice_of({"choices": [{"index": 1, "a": 1}, {"index": 0, "a": 2}]}) == ({"index": 0, "a": 2}, 2)
    assert choice_of({"choices": [3, {"index": 1}]}) == ({"index": 1}, 1)
    assert choice_of({"choices": None}) == ({}, 0)
    assert choice_of({}) == ({}, 0)


@pytest.mark.parametrize(
    ("choice", "prefix", "text"),
    [
        ({"text": "a"}, "p", "a"),
        ({"message": {"content": "a"}}, "", "a"),
        ({"message": {"content": ""}}, "", ""),
        ({"message": {"content": None}}, "", None),
        ({"message": {"content": None, "tool_calls": [1]}}, "", ""),
        ({"message": {"content": None, "function_call": {}}}, "", None),
        ({"message": {"content": None, "function_call": {"name": "f"}}}, "", ""),
        ({"message": {"content": None, "refusal": "no"}}, "", "no"),
        ({"message": 3}, "", None), ([], "", None), ({}, "", None),
        ({"message": {"content": "a", "reasoning_content": "t"}}, "", "<think>\nt\n</think>\n\na"),
        ({"message": {"content": "\na", "reasoning_content": "t\n"}}, "", "<think>\nt\n</think>\na"),
        ({"message": {"content": "a", "reasoning": "t"}}, "<think>\n", "t\n</think>\n\na"),
        ({"message": {"content": "", "reasoning": "t"}}, "<think>\n", "t"),
        ({"message": {"content": "", "reasoning": "t"}}, "", "<think>\nt"),
        ({"message": {"content": "<think>t</think>a", "reasoning": "t"}}, "", "<think>t</think>a"),
        ({"message": {"content": "t and a", "reasoning": "t"}}, "", "<think>\nt\n</think>\n\nt and a"),
    ],
)  # fmt: skip
def test_responses(choice: Any, prefix: str, text: str | None) -> None:
    assert response_text(choice, prefix) == (text, prefix)


@pytest.mark.parametrize(
    ("usage", "text", "most", "found"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3}, "abc", 10, (5, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}, "abc", 10, (5, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 9}, "abc", 10, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 11}, "abc", 10, (5, 11)),
        ({"prompt_tokens": 5, "completion_tokens": 12}, "abc", 10, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, "abc", 10, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, "", 10, (5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 2}, "a", 10, (None, 2)),
        ({"prompt_tokens": -1, "completion_tokens": 2}, "a", 10, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 2}, "a", 10, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 12,
          "completion_tokens_details": {"reasoning_tokens": 4}}, "a", 10, (5, 7)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12,
          "completion_tokens_details": {"reasoning_tokens": 4}}, "a", 10, (5, 7)),
        ({"prompt_tokens": 5}, "a", 10, (None, None)), (None, "a", 10, (None, None)),
    ],
)  # fmt: skip
def test_usage(usage: Any, text: str, most: int, found: tuple[int | None, int | None]) -> None:
    assert usage_tokens(usage, text, most) == found


def test_halves_of_characters() -> None:
    assert join_surrogates("\ud83d\ude00a") == "😀a"
    assert join_surrogates("a\ud83d") == "a�"


def test_what_a_server_s_template_opens() -> None:
    learnt = OpenThinking()
    assert learnt.prefix_of_cut("some", "<think>\n") == "<think>\n", "nothing is known: the protocol's"
    assert learnt.prefix_of_cut("some", "") == ""
    learnt.note("an answer")
    assert learnt.prefix_of_cut("some", "<think>\n") == ""
    learnt.note("t</think>a")
    assert learnt.prefix_of_cut("some", "<think>\n") == "", "as many plain ones"
    learnt.note("t</think>a")
    learnt.note("<think>t</think>a")
    learnt.note("  ")
    assert (learnt.closed, learnt.plain) == (2, 1)
    assert learnt.prefix_of_cut("some", "") == "<think>\n"
    assert learnt.prefix_of_cut("  ", "") == ""
    assert learnt.prefix_of_cut("a</think>b", "") == ""
    assert learnt.prefix_of_cut("<think>b", "") == ""
    other = OpenThinking()
    other.note("t[/THINK]a")
    assert other.opening == "[THINK]\n"
    assert opened_at_start(" \n<THINK>x")
    assert not opened_at_start("x<think>")


# What servers take


@pytest.mark.parametrize(
    ("said", "most", "limit", "room"),
    [
        ("max_tokens is too large: at most 4,096 completion tokens", 8192, 4096, None),
        ("at most 8192 output tokens", 8192, None, None),
        ("the valid range of max_tokens is [1, 500]", 8192, 500, None),
        ("max_tokens: 9000 > 4096, which is the maximum", 9000, 4096, None),
        ("supported range is from 1 (inclusive) to 65537 (exclusive)", 100_000, 65536, None),
        ("supported range is from 1 (inclusive) to 65536 (inclusive)", 100_000, 65536, None),
        ("max_completion_tokens must be less than or equal to 100", 8192, 100, None),
        ("The maximum number of output tokens is 64", 8192, 64, None),
        ("max_tokens has a limit of 0", 8192, None, None),
        ("context length of 4096 tokens, but your prompt has 4,000 tokens in the messages", 8192, None, 96),
        ("maximum context length is 4096 and 4095 input tokens", 8192, None, 1),
        ("maximum context length is 4096 and 4096 input tokens", 8192, None, None),
        ("maximum context length is 4096 and 96 input tokens", 4000, None, None),
        ("maximum context length is 4096 and 97 input tokens", 4000, None, 3999),
        ("context length is 4096", 8192, None, None),
        ("nothing", 8192, None, None),
    ],
)
def test_limits_in_refusals(said: str, most: int, limit: int | None, room: int | None) -> None:
    assert completion_limit(said, most) == limit
    assert room_left(said, most) == room


SENT = {"model": "m", "temperature": 0.6, "top_p": 0.95, "top_k": -1, "min_p": 0.0, "max_tokens": 100, "seed": 1}


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("Unrecognized request argument supplied: top_k", ["top_k"]),
        ("'min_p' is not supported", ["min_p"]),
        ("extra fields not permitted (param: 'seed'); top_k is invalid", ["seed"]),
        ("top_k and `min_p` are not supported", ["min_p"]),
        ("minP: unknown name", ["min_p"]),
        ("temperature and top_p cannot both be specified", ["top_p"]),
        ("use temperature", []),
        ("model is invalid", []),
        ("top_k_x is invalid", []),
        ("x" * 600 + " invalid: temperature, top_p, top_k, min_p", []),
        ("invalid: temperature, top_k, min_p, seed", ["temperature", "top_k", "min_p", "seed"]),
    ],
)
def test_refused_fields(said: str, fields: list[str]) -> None:
    assert refused_fields(said, SENT) == fields


def test_a_form_learns_from_refusals() -> None:
    form = RequestForm(RequestOptions())
    payload = {"model": "m", "messages": [], "temperature": 0.6, "max_tokens": 100}
    whole = {**NEUTRAL, **payload, "stream": True, "stream_options": {"include_usage": True}}
    assert form.shape(payload) == whole
    assert form.shape(payload, room=7)["max_tokens"] == 7

    def refused(said: str, status: int = 400) -> Any:
        lesson = form.learn(RefusedError(status, said), form.shape(payload))
        return lesson if lesson is None else (lesson.told, lesson.room)

    assert refused("no such model", 404) is None
    assert refused("bad key", 401) is None
    assert refused("what?") is None
    assert refused("top_k must be at least 0") == ((), None)
    assert form.shape(payload)["top_k"] == 0
    assert refused("top_k is not supported") == (("the server does not take top_k, it is not sent",), None)
    assert "top_k" not in form.shape(payload)
    told = ("the server generates at most 50 tokens, fewer than max_tokens; what ends there is cut",)
    assert refused("at most 50 completion tokens") == (told, None)
    assert form.shape(payload)["max_tokens"] == 50
    assert form.learn(RefusedError(400, "at most 50 new tokens"), {"max_tokens": 100}) == form.learn(
        RefusedError(400, "at most 60 new tokens"), {"max_tokens": 100}
    )
    assert refused("context length is 64 and 34 input tokens") == ((), 30)
    other = ("the server does not take max_tokens, it is sent as max_completion_tokens",)
    assert refused("'max_tokens' is not supported") == (other, None)
    assert form.shape(payload)["max_completion_tokens"] == 50
    assert form.learn(RefusedError(400, "max_tokens is invalid"), {"max_tokens": 50}) is not None
    back = ("the server does not take max_completion_tokens, it is sent as max_tokens",)
    assert refused("unknown field max_completion_tokens") == (back, None)
    assert refused("'max_tokens' is not supported") is None, "both were tried"
    assert refused("stream is not supported") == (("the server does not stream",), None)
    assert not form.streams
    assert form.describe() == {
        "preset": "unknown",
        "streamed": False,
        "neutral": {name: value for name, value in NEUTRAL.items() if name != "top_k"},
        "not_sent": {"top_k": "the server refuses it"},
        "renamed": {"max_tokens": "max_tokens"},
        "most_tokens": 50,
    }
    form.without_extras()
    assert form.describe()["neutral"] == {}


def test_what_the_user_says_of_fields() -> None:
    options = RequestOptions.read(["a=1", "b=word", ' c ={"d": null}'], ["min_p"], ["top_k=k", "seed = s "])
    assert options == RequestOptions({"a": 1, "b": "word", "c": {"d": None}}, ("min_p",), {"top_k": "k", "seed": "s"})
    assert options.identity() == {"fields": options.fields, "drops": ["min_p"], "renames": options.renames}
    assert RequestOptions.read([], [], []).identity() == {}
    form = RequestForm(options, find_preset("gemini", "", "", ""))
    shaped = form.shape({"seed": 1, "top_k": 3, "min_p": 0.1})
    assert (shaped["s"], shaped["k"], shaped["a"], "min_p" in shaped) == (1, 3, 1, False)
    for fields in ("a", "=1", "seed=1"):
        with pytest.raises(EvalkitError):
            RequestOptions.read([fields], [], [])
    with pytest.raises(EvalkitError):
        RequestOptions.read([], ["model"], [])
    for renames in ("a=", "=a"):
        with pytest.raises(EvalkitError):
            RequestOptions.read([], [], [renames])


FOUND = [
    ("http://x", "m", "vllm", "vllm"),
    ("http://x", "m", "vllm2", "unknown"),
    ("http://x", "m", "llamacpp", "llama.cpp"),
    ("http://x:11434/v1", "m", "", "ollama"),
    ("http://x:114345", "m", "", "unknown"),
    ("http://x", "m", "library", "ollama"),
    ("https://api.openai.com/v1", "o3-mini", "", "o-series"),
    ("https://api.openai.com/v1", "gpt-4o", "", "openai"),
    ("https://eu.api.openai.com/v1", "gpt-5", "", "o-series"),
    ("https://x.azure.com", "org/o1", "", "o-series"),
    ("https://api.anthropic.com", "c", "", "claude"),
    ("https://api.mistral.ai", "m", "", "mistral"),
    ("https://api.deepseek.com", "m", "", "deepseek"),
    ("https://openrouter.ai/api", "m", "", "openrouter"),
    ("https://api.groq.com", "m", "", "groq"),
    ("https://api.together.xyz", "m", "", "together"),
    ("https://api.fireworks.ai", "m", "", "fireworks"),
    ("https://api.x.ai", "m", "", "xai"),
    ("http://x", "o3", "", "unknown"),
]


@pytest.mark.parametrize(("url", "model", "owner", "name"), FOUND)
def test_presets_are_found(url: str, model: str, owner: str, name: str) -> None:
    assert find_preset(None, url, model, owner).name == name


def test_presets_by_name() -> None:
    assert find_preset("unknown", "https://api.x.ai", "", "") is UNKNOWN
    assert [p.name for p in PRESETS if p.shows_prompts] == ["vllm", "sglang", "llama.cpp"]
    assert preset_names() == list(dict.fromkeys(p.name for p in PRESETS))
    with pytest.raises(EvalkitError):
        find_preset("nope", "", "", "")
    mistral = RequestForm(RequestOptions(), find_preset("mistral", "", "", "")).shape({"seed": 3, "max_tokens": 5})
    assert mistral == {
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "random_seed": 3,
        "max_tokens": 5,
        "stream": True,
    }


# Addresses


def test_addresses() -> None:
    assert displayed("https://u:p@h:1/v1?key=1#f") == "https://h:1/v1"
    for url, root in (
        ("http://h", "http://h/v1"),
        ("http://h/", "http://h/v1"),
        (" http://h/v1/ ", "http://h/v1"),
        ("http://h/v2/chat/completions", "http://h/v2"),
        ("http://h/models", "http://h/v1"),
        ("http://h/a?b=1", "http://h/a?b=1"),
    ):
        assert api_root(url) == root
    for wrong in ("h:80", "ftp://h", "http://", "http://h:0", "http://h:x", "http://a b", "http://h\u200b"):
        with pytest.raises(EvalkitError):
            api_root(wrong)
    assert join("http://h/v1?q=1", "/models") == "http://h/v1/models?q=1"
    assert join("http://h/v1?q=1", "../props") == "http://h/props"
    assert url_secrets("http://u%41:p%42@h?version=2024&key=123456789012") == ["123456789012", "p%42", "pB", "dUE6cEI="]
    assert url_secrets("http://u@h?key=12345678901") == []
    assert [
        is_local(f"http://{h}/")
        for h in ("localhost", "a.localhost.", "127.0.0.2", "[::1]", "0.0.0.0", "h", "10.0.0.1")
    ] == [
        True,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert redirected("http://h/a", "/b") == ("http://h/b", True)
    assert redirected("http://h/a", "https://h/b") == ("https://h/b", True)
    assert redirected("http://h:8000/a", "https://h/b") == ("https://h/b", False)
    assert redirected("https://h/a", "http://h/b") == ("http://h/b", False)
    assert redirected("http://h/a", "http://u@h/b") == ("http://u@h/b", False)
    assert redirected("http://h/a", "http://other/b") == ("http://other/b", False)
    assert redirected("http://h/a", "http://h:81/b") == ("http://h:81/b", False)
    assert redirected("http://h/a", "http://h:x/b") == ("http://h:x/b", False)


def test_keys_and_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVALKIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert key_from_environment() is None
    monkeypatch.setenv("OPENAI_API_KEY", " second ")
    assert key_from_environment() == "second"
    monkeypatch.setenv("EVALKIT_API_KEY", "first")
    assert key_from_environment() == "first"
    for wrong in ("é", "a\x01"):
        monkeypatch.setenv("EVALKIT_API_KEY", wrong)
        with pytest.raises(EvalkitError):
            key_from_environment()
    assert key_headers("http://h", None) == {}
    assert key_headers("http://h", "k") == {"Authorization": "Bearer k"}
    azure = "https://x.openai.azure.com/openai/deployments/d"
    assert key_headers(azure, "k") == {"api-key": "k"}
    assert key_headers(azure.replace("deployments", "v1"), "k") == {"Authorization": "Bearer k"}
    assert read_headers((" X-A : b: c ", "d:")) == {"X-A": "b: c", "d": ""}
    for text in ("a", ": b", "a b: c", "a: é", "a: b\x01"):
        with pytest.raises(EvalkitError):
            read_headers((text,))
