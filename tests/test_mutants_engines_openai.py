"""The openai engine over servers in this process: what it sends, the records it makes, what it keeps of a server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from quirk_server import Asked, QuirkServer, Sent, as_json, error, reply, whole

from evalkit.engines import open_engine
from evalkit.engines.openai import http
from evalkit.engines.openai.dialects import NEUTRAL
from evalkit.engines.openai.engine import Notices
from evalkit.engines.openai.probing import PROBE
from evalkit.engines.prompts import Opening
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Message, Request, SamplingParams

KEY = "sk-very-secret-key"
USER = Message(role="user", content="What is 2 + 3?")
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(http, "_FIRST_DELAY", 0.001)
    monkeypatch.setattr(http, "_LONGEST_DELAY", 0.001)


def made(
    text: str = "What is 2 + 3?", name: str = "p", prefix: str = "", system: str | None = None, **params: Any
) -> Request:
    sampling = SamplingParams(**{"max_tokens": 64, "temperature": 0.5, "top_p": 0.9, **params})
    head = [] if system is None else [Message(role="system", content=system)]
    return Request("t", name, 0, (*head, Message(role="user", content=text)), sampling, prefix)


def opened(server: QuirkServer | list[QuirkServer], model: str = "m", **options: Any) -> Any:
    urls = [each.url for each in (server if isinstance(server, list) else [server])]
    return open_engine("openai", model, {"base_url": urls, "concurrency": 1, "patience": 5.0, **options})


def completed(engine: Any, *requests: Request) -> list[Completion]:
    found = list(engine.generate(iter(requests)))
    assert all(c.seconds is not None and 0 <= c.seconds < 30 for c in found)
    return [replace(completion, seconds=0.0) for completion in found]


def bodies(server: QuirkServer, path: str = "/v1/chat/completions") -> list[dict[str, Any]]:
    return [asked.body for asked in server.posts if asked.path == path]


# A plain server


def test_all_that_is_asked_of_a_plain_server_and_all_that_is_recorded() -> None:
    request = made(stop=("Q:", "\n\n"), top_k=20)
    with QuirkServer(lambda asked: None) as server:
        engine = opened(server)
        [found] = completed(engine, request)
        root = f"{server.url}/v1"
    assert [(asked.method, asked.path) for asked in server.seen] == [
        ("GET", "/v1/models"), *[("POST", "/v1/chat/completions")] * 2, ("GET", "/version"),
        *[("POST", "/v1/chat/completions")] * 3,
    ]  # fmt: skip
    probe = {"model": "m", "max_tokens": 24, "temperature": 0, "seed": 0, **NEUTRAL, **STREAMED}
    asked = {**probe, "messages": [{"role": "user", "content": PROBE}]}
    begun = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "It"}]
    both = {**probe, "continue_final_message": True, "add_generation_prompt": True, "messages": begun}
    sent = {
        **NEUTRAL, **STREAMED, "model": "m", "max_tokens": 64, "temperature": 0.5, "top_p": 0.9, "top_k": 20,
        "seed": request.seed % 2**31, "stop": ["Q:", "\n\n"], "skip_special_tokens": False, "messages": [USER],
    }  # fmt: skip
    assert bodies(server) == [asked, asked, both, {**asked, "skip_special_tokens": False}, sent]
    assert found == Completion("t", "p", 0, "It is \\boxed{5}.", "stop", 9, 3, 0.0)
    mark = {"base_url": root, "root": None, "owned_by": "me", "created": 1700000000, "answer": "7 cats, 6 dogs"}
    assert engine.environment() == {
        "servers": [root],
        "server_version": None,
        "server_marks": [mark],
        "context_length": None,
        "continues_a_response": False,
        "requests": {"preset": "unknown", "streamed": True, "neutral": dict(NEUTRAL)},
        "whole_responses": {"closed": 0, "plain": 1, "opening": "<think>\n"},
        "answered_as": ["m"],
    }
    assert engine.identity() == {"backend": "openai", "model": "m", "api": "chat"}
    assert (engine.trouble(), engine.tokenizer, engine.render(request), engine.endings) == ("", None, None, None)
    assert (engine.gpus, engine.files(), engine.unanswerable([request])) == (0, None, [])


def test_what_a_user_says_is_sent_and_recorded() -> None:
    options = {
        "served_model": "served", "reasoning_effort": "low", "chat_template_arg": ("x=[1]",), "header": ("X-A: b",),
        "request_field": ("extra=1",), "drop_field": ("min_p",), "rename_field": ("seed=random_seed",),
        "server_preset": "vllm", "stream": False, "max_model_len": 500,
    }  # fmt: skip
    with QuirkServer(lambda asked: whole(asked) if asked.path.endswith("completions") else None) as server:
        engine = opened(server, "org/m", **options)
        request = made()
        [found] = completed(engine, request)
    assert found.text == "It is \\boxed{5}."
    neutral = {name: value for name, value in NEUTRAL.items() if name != "min_p"}
    assert bodies(server)[-1] == {
        **neutral, "model": "served", "max_tokens": 64, "temperature": 0.5, "top_p": 0.9, "extra": 1,
        "random_seed": request.seed, "skip_special_tokens": False, "messages": [USER],
        "chat_template_kwargs": {"x": [1]}, "reasoning_effort": "low",
    }  # fmt: skip
    assert {asked.headers["x-a"] for asked in server.seen} == {"b"}
    assert {asked.headers["authorization"] for asked in server.seen} == {f"Bearer {KEY}"}
    requests = {"fields": {"extra": 1}, "drops": ["min_p"], "renames": {"seed": "random_seed"}, "preset": "vllm"}
    assert engine.identity() == {
        "backend": "openai", "model": "served", "api": "chat", "label": "org/m", "requests": requests,
        "chat_template_args": {"x": [1], "reasoning_effort": "low"},
    }  # fmt: skip
    recorded = engine.environment()
    assert recorded["headers"] == ["X-A"]
    assert recorded["context_length"] == engine.context_length() == 500
    assert recorded["requests"] == {
        "preset": "vllm", "streamed": False, "neutral": neutral, "not_sent": {"min_p": "--drop-field"},
        "renamed": {"seed": "random_seed"},
    }  # fmt: skip


# A server that shows what its template makes of messages


def shows(template: Callable[[dict[str, Any]], str], **entry: Any) -> Callable[[Asked], Sent | None]:
    def serve(asked: Asked) -> Sent | None:
        if asked.path.endswith("/models"):
            return as_json({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 100, **entry}]})
        if asked.path == "/version":
            return as_json({"version": "0.9\x1b.1"})
        if asked.path == "/tokenize":
            return as_json({"tokens": [ord(c) for c in template(asked.body)]})
        if asked.path == "/detokenize":
            return as_json({"prompt": "".join(map(chr, asked.body["tokens"]))})
        if asked.body.get("continue_final_message") and asked.body.get("add_generation_prompt"):
            return error(400, "continue_final_message and add_generation_prompt exclude each other")
        return None

    return serve


def continued(body: dict[str, Any]) -> str:
    begun = body["messages"][-1]["content"] if body.get("continue_final_message") else ""
    return f"<user>{body['messages'][0]['content']}<assistant>{begun}"


def test_a_prefix_begins_the_response_at_a_server_that_continues() -> None:
    with QuirkServer(shows(continued, root="/models/m")) as server:
        engine = opened(server)
        request = made(prefix="<think>\n")
        assert engine.opening(request) == Opening("<think>\n", "open", True, "asked for")
        count = len(server.seen)
        assert engine.opening(request).prefix == "<think>\n"
        assert len(server.seen) == count, "asked once"
        [found] = completed(engine, request)
        [plain] = completed(engine, made())
        environment = engine.environment()
    assert (found.prefix, plain.prefix) == ("<think>\n", "")
    sent, other = bodies(server)[-2:]
    assert sent["messages"] == [USER, {"role": "assistant", "content": "<think>\n"}]
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    assert other["messages"] == [USER]
    assert "continue_final_message" not in other
    assert sent["seed"] == request.seed, "vLLM takes it whole"
    assert environment["continues_a_response"]
    assert (environment["context_length"], environment["server_version"]) == (100, "0.9 .1")
    assert environment["server_marks"][0]["root"] == "/models/m"
    assert "whole_responses" not in environment, "its template is seen"
    assert "date_in_prompts" not in environment


def test_an_empty_system_message_is_kept_where_it_keeps_the_template_s_own_out() -> None:
    def own(body: dict[str, Any]) -> str:
        first = body["messages"][0]
        return (first["content"] if first["role"] == "system" else "You are helpful.") + "|"

    for template, kept in ((own, True), (lambda body: "|", False)):
        with QuirkServer(shows(template)) as server:
            completed(opened(server), made(system=""), made(system="Be brief.", name="q"))
        system = {"role": "system", "content": ""}
        assert [body["messages"] for body in bodies(server)[-2:]] == [
            [system, USER] if kept else [USER],
            [{"role": "system", "content": "Be brief."}, USER],
        ]


def test_a_date_in_prompts_is_told_once_and_recorded(caplog: pytest.LogCaptureFixture) -> None:
    with QuirkServer(shows(lambda body: f"Today: {date.today().isoformat()}")) as server:
        engine = opened(server)
        completed(engine, made(), made(system="x", name="q"))
        assert engine.environment()["date_in_prompts"] == date.today().isoformat()
    assert sum("writes today's date into every prompt" in message for message in caplog.messages) == 1
    assert "always with 2026-01-01 (--template-date)" in caplog.text


# What comes of a reply


def usage(asked: Asked, finish: Any, prompt: int, tokens: int, content: Any = "It is 5", **more: Any) -> Sent:
    made_of = reply(asked, content, finish, **more)
    counts = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    return as_json({**made_of, "usage": counts})


REPLIES: dict[str, tuple[Callable[[Asked], Sent], dict[str, Any]]] = {
    "plain": (lambda a: usage(a, "stop", 5, 7), {"prompt_tokens": 5, "completion_tokens": 7}),
    "filtered": (
        lambda a: whole(a, "It", "content_filter"),
        {"text": "It", "finish_reason": "error",
         "error": "The server refuses the request: its content filter ended the response (content_filter)"},
    ),
    "failed": (
        lambda a: whole(a, "So", "error"),
        {"text": "So", "finish_reason": "error", "error": "The server's response failed (finish_reason 'error')."},
    ),
    "no text": (
        lambda a: as_json({**reply(a), "choices": [{"message": {"content": None}, "finish_reason": "stop"}]}),
        {"text": "", "finish_reason": "error", "error": "The server's reply has no text (finish_reason 'stop')."},
    ),
    "refused": (
        lambda a: error(400, "not this one"),
        {"text": "", "finish_reason": "error", "error": "The server refuses the request: 400: not this one"},
    ),
    "given up": (
        lambda a: error(503, "busy"),
        {"text": "", "finish_reason": "error", "error": "The server failed on every attempt, last: 503: busy"},
    ),
    "stop string": (lambda a: usage(a, "length", 5, 9, "ab END cd HALT"), {
        "text": "ab ", "prompt_tokens": 5, "completion_tokens": 9}),
    "no reason": (lambda a: usage(a, None, 5, 63), {
        "finish_reason": "unknown", "prompt_tokens": 5, "completion_tokens": 63}),
    "no reason, all tokens": (lambda a: usage(a, None, 5, 64), {
        "finish_reason": "length", "prompt_tokens": 5, "completion_tokens": 64}),
    "own reason": (lambda a: usage(a, "tired", 5, 7), {
        "finish_reason": "unknown", "prompt_tokens": 5, "completion_tokens": 7}),
    "stop at the limit": (lambda a: usage(a, "stop", 5, 64), {"prompt_tokens": 5, "completion_tokens": 64}),
    "cut early": (lambda a: usage(a, "length", 5, 40), {
        "finish_reason": "length", "prompt_tokens": 5, "completion_tokens": 40}),
    "cut earlier": (lambda a: usage(a, "length", 5, 30), {
        "finish_reason": "length", "prompt_tokens": 5, "completion_tokens": 30}),
    "cut": (lambda a: usage(a, "length", 5, 64), {
        "finish_reason": "length", "prompt_tokens": 5, "completion_tokens": 64}),
    "two choices": (
        lambda a: as_json({**reply(a, "It is 5"), "choices": [*reply(a, "It is 5")["choices"], {"index": 1}]}),
        {"prompt_tokens": 9, "completion_tokens": 8},
    ),
    "impossible usage": (lambda a: usage(a, "stop", 5, 9000), {}),
    "secret": (lambda a: usage(a, "stop", 5, 7, f"key {KEY}"), {
        "text": "key ***", "prompt_tokens": 5, "completion_tokens": 7}),
    "repetition": (lambda a: usage(a, "repetition", 5, 7), {
        "finish_reason": "repetition", "prompt_tokens": 5, "completion_tokens": 7}),
}  # fmt: skip


def test_every_reply_is_the_record_that_it_says(caplog: pytest.LogCaptureFixture) -> None:
    def serve(asked: Asked) -> Sent | None:
        found = REPLIES.get(asked.prompt)
        return found[0](asked) if found and asked.path.endswith("completions") else None

    requests = [made(name, name, stop=("HALT", "END")) for name in REPLIES]
    with QuirkServer(serve) as server:
        engine = opened(server)
        found = {completion.problem_id: completion for completion in completed(engine, *requests)}
        environment = engine.environment()
    for name, (_, fields) in REPLIES.items():
        wanted = Completion("t", name, 0, "It is 5", "stop", None, None, 0.0)
        assert found[name] == replace(wanted, **fields), name
    assert environment["least_room"] == 9, "the fewest tokens at which the server has cut"
    assert environment["notices"] == {
        "a cut before max_tokens": 3, "no finish reason": 1, "no reason, cut": 1, "several choices": 1,
        "the finish reason 'tired'": 1, "the finish reason stop at exactly max_tokens": 1,
    }  # fmt: skip
    assert environment["faults"] == {"count": 12, "last": "503: busy"}
    assert engine.trouble() == "12 faults, the last: 503: busy"
    assert "responses with a cut before max_tokens: 3" in caplog.messages
    assert "the server cut a response at 9 tokens, before max_tokens (64)" in caplog.text
    assert "a response of exactly 64 tokens, the most that were asked for, has the finish reason 'stop'" in caplog.text


@pytest.mark.parametrize(("key", "text"), [("elevenchars", "elevenchars"), ("twelve-chars", "***")])
def test_a_short_key_may_be_a_word_of_the_response(key: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_API_KEY", key)
    with QuirkServer(lambda asked: whole(asked, key)) as server:
        [found] = completed(opened(server), made())
    assert found.text == text


def test_what_is_told_is_told_once_and_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    notices = Notices()
    for key in ("b", "a", "b"):
        notices.tell(key, f"this is {key}")
    notices.once("always")
    notices.once("always")
    assert notices.counts == {"b": 2, "a": 1}
    assert caplog.messages == ["this is b", "this is a", "always"]
    caplog.clear()
    notices.sum_up()
    assert caplog.messages == ["responses with b: 2"]
    many = Notices()
    for number in range(50):
        many.tell(str(number), "x")
    assert len(many.counts) == 40
    many.tell("0", "x")
    assert many.counts["0"] == 2, "those that are known are counted on"


# Thinking that was cut, where nothing shows the template


def endings(kinds: str) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """`t` closes thinking that nothing opened, `p` is plain, `c` is cut, `C` is cut with a tag; in this order."""
    texts = {"t": ("I add.</think>5", "stop"), "p": ("It is 5", "stop"), "c": ("I add and", "length"),
             "C": ("<think>I add", "length")}  # fmt: skip

    def serve(asked: Asked) -> Sent | None:
        kind = asked.prompt.partition(":")[0]
        return whole(asked, *texts[kind]) if kind in texts else None

    with QuirkServer(serve) as server:
        engine = opened(server)
        requests = [made(f"{kind}:{i}", f"{i}{kind}") for i, kind in enumerate(kinds)]
        found = [(c.problem_id, c.prefix, c.finish_reason) for c in engine.generate(iter(requests))]
        return found, engine.environment()


@pytest.mark.parametrize(
    ("kinds", "order", "prefix"),
    [
        ("tcp", "0t 2p 1c", ""),
        ("ttcp", "0t 1t 3p 2c", "<think>\n"),
        ("tttttttt" + "c", "0t 1t 2t 3t 4t 5t 6t 7t 8c", "<think>\n"),
        ("c" + "tttttttt", "1t 2t 3t 4t 5t 6t 7t 0c 8t", "<think>\n"),
        ("cc" + "ppppppp", "2p 3p 4p 5p 6p 7p 0c 1c 8p", ""),
        ("C" + "t", "1t 0C", ""),
    ],
)
def test_cut_responses_wait_for_what_the_first_whole_ones_tell(kinds: str, order: str, prefix: str) -> None:
    found, environment = endings(kinds)
    assert " ".join(name for name, *_ in found) == order
    assert {p for name, p, _ in found if name[-1] in "cC"} == {prefix}
    assert {p for name, p, _ in found if name[-1] not in "cC"} == {""}
    closed, plain = kinds[:8].count("t"), kinds[:8].count("p")
    assert environment["whole_responses"] == {"closed": closed, "plain": plain, "opening": "<think>\n"}
    cut = kinds.count("c") if prefix else 0
    assert environment.get("notices", {}).get("thinking that was cut", 0) == cut


# A run that goes on


def test_a_resumed_run_has_the_same_server(caplog: pytest.LogCaptureFixture) -> None:
    def answering(text: str, **entry: Any) -> Callable[[Asked], Sent | None]:
        def serve(asked: Asked) -> Sent | None:
            if asked.path.endswith("/models"):
                return as_json({"data": [{"id": "m", **entry}]})
            return whole(asked, text.format(asked.number)) if asked.path.endswith("completions") else None

        return serve

    def resumed(recorded: dict[str, Any], text: str, **options: Any) -> dict[str, Any]:
        with QuirkServer(answering(text, root=options.pop("root", None))) as server:
            engine = opened(server, **options)
            engine.verify_resumed(recorded)
            found: dict[str, Any] = engine.environment()
            return found

    with QuirkServer(answering("cats", root="/m")) as server:
        first = opened(server).environment()
        again = opened(server)
        again.verify_resumed(first)
        assert "earlier_servers" not in again.environment()
    assert caplog.messages == []
    moved = resumed(first, "cats", root="/m")
    assert "earlier_servers" not in moved, "another address, the same model"
    [mark], [other] = first["server_marks"], moved["server_marks"]
    assert caplog.messages == [f"the run was begun with {mark['base_url']}; {other['base_url']} has the same model"]
    assert "earlier_servers" not in resumed({}, "dogs")
    with pytest.raises(EvalkitError) as caught:
        resumed(first, "dogs", root="/n")
    assert (
        "is not the one that made this run: root '/m' became '/n'; answer 'cats' became 'dogs'." in caught.value.message
    )
    with pytest.raises(EvalkitError, match="nothing tells whether it is the same model"):
        resumed(first, "{}")
    accepted = resumed(first, "dogs", root="/n", accept_changed_server=True)
    assert accepted["earlier_servers"] == first["server_marks"]
    third = resumed({**accepted}, "mice", root="/o", accept_changed_server=True)
    assert [mark["answer"] for mark in third["earlier_servers"]] == ["cats", "dogs"]
    learnt = {**first, "whole_responses": {"closed": 3, "plain": 1, "opening": "[THINK]\n"}}
    assert resumed(learnt, "cats", root="/m")["whole_responses"] == learnt["whole_responses"]
    # rounding may turn a token: asked twice more, one answer of the old kind is enough
    with QuirkServer(answering("dogs", root="/m")) as server:
        engine = opened(server)
        assert engine.environment()["server_marks"][0]["answer"] == "dogs"
        server.scenario = lambda asked: whole(asked, "cats" if asked.number % 2 else "dogs")
        engine.verify_resumed({"server_marks": [{**first["server_marks"][0], "base_url": f"{server.url}/v1"}]})
        assert "earlier_servers" not in engine.environment()


# What the first questions find


def found_of(serve: Callable[[Asked], Sent | None], **options: Any) -> dict[str, Any]:
    with QuirkServer(serve) as server:
        found: dict[str, Any] = opened(server, **options).environment()
        return found


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"max_model_len": 10, "context_length": 20}, 10), ({"context_length": 20, "context_window": 30}, 20),
        ({"context_window": 30, "meta": {"n_ctx": 40}}, 30), ({"meta": {"n_ctx": 40, "n_ctx_train": 50}}, 40),
        ({"meta": {"n_ctx_train": 50}}, 50), ({"meta": [40]}, None), ({"max_model_len": 10**9}, None),
        ({"max_model_len": 10**9 - 1}, 10**9 - 1), ({"max_model_len": -1}, None), ({"max_model_len": "9"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_context_that_a_list_of_models_tells(entry: dict[str, Any], length: int | None) -> None:
    listed = {"data": [{"id": "other", "max_model_len": 7}, {"id": "m", **entry}]}
    assert found_of(lambda a: as_json(listed) if a.path.endswith("/models") else None)["context_length"] == length


def test_a_server_that_refuses_without_a_reason_gets_what_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    def picky(asked: Asked) -> Sent | None:
        wrong = asked.body.keys() & {"min_p", "repetition_penalty", "skip_special_tokens"}
        return error(400, "Bad request") if wrong else None

    found = found_of(picky)
    neutral = {name: NEUTRAL[name] for name in ("top_k", "presence_penalty", "frequency_penalty")}
    assert found["requests"] == {"preset": "unknown", "streamed": True, "neutral": neutral}
    assert sorted(caplog.messages) == [
        f"the server does not take {name}, it is not sent" for name in ("min_p", "repetition_penalty")
    ]
    with pytest.raises(RunIncompleteError, match="refuses the requests: 400: never"):
        found_of(lambda asked: error(400, "never") if asked.method == "POST" else None)
    for status in (401, 404, 410):
        with pytest.raises(RunIncompleteError, match=f"refuses the requests: {status}: no"):
            found_of(lambda asked, code=status: error(code, "no") if asked.method == "POST" else None)  # type: ignore[misc]


def test_a_probe_whose_answer_is_not_the_same_twice_tells_nothing() -> None:
    def odd(asked: Asked) -> Sent | None:
        return whole(asked, f"{asked.number} cats") if asked.is_probe else None

    assert found_of(odd)["server_marks"][0]["answer"] is None
    once = found_of(lambda asked: error(400, "no more") if asked.number == 2 else None)
    assert once["server_marks"][0]["answer"] is None
    thought = "max_tokens or model output limit was reached"
    assert (
        found_of(lambda a: error(400, thought) if a.is_probe and "animals" in a.prompt else None)["server_marks"][0][
            "answer"
        ]
        is None
    )


def test_a_server_that_does_not_answer_is_left_out_where_there_are_others(caplog: pytest.LogCaptureFixture) -> None:
    down = QuirkServer(lambda asked: error(401, "who are you") if asked.method == "POST" else None, "b")
    with QuirkServer(lambda asked: None) as up, down:
        engine = opened([down, up])
        [found] = completed(engine, made())
        assert engine.environment()["servers"] == [f"{up.url}/v1"]
        assert found.text == "It is \\boxed{5}."
    assert "refuses the requests: 401: who are you. It is left out of this run." in caplog.text


def test_a_model_that_is_not_listed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    names = [{"id": f"n{i}", "owned_by": "vllm"} for i in range(7)]
    found = found_of(lambda asked: as_json({"data": names}) if asked.path.endswith("/models") else None)
    assert found["requests"]["preset"] == "vllm", "all models of a local server have one owner"
    told = "the server does not list a model 'm': it lists n0, n1, n2, n3, n4; --served-model names one"
    assert told in caplog.messages


def test_presets_tell_what_they_do_not_send(caplog: pytest.LogCaptureFixture) -> None:
    found = found_of(lambda asked: None, server_preset="claude")
    assert found["requests"]["not_sent"] == dict.fromkeys(("seed", "top_p"), "claude does not take it")
    assert "claude takes no seed, top_p: not sent" in caplog.messages
    assert any(message.startswith("claude: it takes temperature or top_p, not both") for message in caplog.messages)


def test_lessons_of_refusals_are_learnt_while_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def serve(asked: Asked) -> Sent | None:
        if asked.is_probe or asked.method == "GET":
            return None
        if "seed" in asked.body:
            return error(400, "Unrecognized request argument supplied: seed")
        if asked.body["max_tokens"] > 40:
            return error(400, "context length is 60 tokens and your prompt has 20 input tokens")
        return usage(asked, "length", 20, 40)

    with QuirkServer(serve) as server:
        engine = opened(server)
        first, second = completed(engine, made(), made(name="q", max_tokens=30))
        assert engine.environment()["requests"]["not_sent"] == {"seed": "the server refuses it"}
    assert (first.finish_reason, first.completion_tokens) == ("length", 40)
    assert [(b["max_tokens"], "seed" in b) for b in bodies(server)[-4:]] == [
        (64, True), (64, False), (40, False), (30, False)
    ]  # fmt: skip
    assert caplog.messages.count("the server does not take seed, it is not sent") == 1
    assert second.error is None

    def endless(asked: Asked) -> Sent | None:
        if asked.is_probe or asked.method == "GET":
            return None
        most = asked.body["max_tokens"]
        return error(400, f"at most {most - 1} completion tokens")

    with QuirkServer(endless) as server:
        [found] = completed(opened(server), made())
    assert found.error == "The server refuses the request: it finds another fault each time"
    assert len(bodies(server)) == 4 + 16


def test_another_model_that_answers_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with QuirkServer(
        lambda a: (
            as_json({**reply(a), "model": f"m{a.number // 6}\x1b"})
            if a.path.endswith("s") and a.method == "POST"
            else None
        )
    ) as server:
        engine = opened(server)
        completed(engine, made(), made(name="q"), made(name="r"))
        assert engine.environment()["answered_as"] == ["m0", "m1"]
    assert "the server answers as the model 'm1' now, before as 'm0'" in caplog.messages


# Text that is rendered here


def test_completions_get_the_text_that_the_tokenizer_makes(tiny_checkpoint: Path) -> None:
    def serve(asked: Asked) -> Sent | None:
        if asked.path != "/v1/completions":
            return None
        text = "7 cats" if asked.is_probe else "It is 5"
        choice = {"index": 0, "text": text, "finish_reason": "stop"}
        return as_json(
            {"id": str(asked.number), "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        )

    with QuirkServer(serve) as server:
        engine = opened(server, str(tiny_checkpoint), api="completions", served_model="m")
        request = made(prefix="<think>\n")
        [found] = completed(engine, request)
        prompt = engine.render(request)
        context = engine.context_length()
        [long] = completed(engine, made("9 " * context, "long"))
        identity = engine.identity()
    sent = bodies(server, "/v1/completions")[-1]
    assert sent["prompt"] == prompt.text
    assert sent["prompt"].endswith(prompt.prefix)
    assert (sent["add_special_tokens"], sent["skip_special_tokens"]) == (False, False)
    assert "messages" not in sent
    assert found == Completion("t", "p", 0, "It is 5", "stop", 9, 3, 0.0, prompt.prefix)
    assert engine.opening(request) == prompt.opening
    assert engine.tokenizer.convert_tokens_to_ids("<think>") is not None
    assert long.error is not None
    assert f"which leaves no room in a context of {context}." in long.error
    assert (long.text, long.finish_reason, long.prompt_tokens) == ("", "error", None)
    assert (identity["api"], identity["model"]) == ("completions", "m")
    assert bodies(server, "/v1/completions")[0]["prompt"] == PROBE
    short = prompt.token_ids
    with QuirkServer(serve) as server:
        engine = opened(server, str(tiny_checkpoint), api="completions", served_model="m", max_model_len=len(short) + 5)
        completed(engine, request)
        assert bodies(server, "/v1/completions")[-1]["max_tokens"] == 5, "what the context leaves"
        engine = opened(server, str(tiny_checkpoint), api="completions", served_model="m", max_model_len=len(short))
        [none] = completed(engine, request)
        assert none.finish_reason == "error"


def test_a_server_that_doubles_the_first_token_gets_the_text_without_it(tmp_path: Path) -> None:
    from test_backend_transformers import SIZE, make_checkpoint
    from transformers import Qwen2Config

    folder = make_checkpoint(tmp_path, Qwen2Config(**SIZE))

    def serve(asked: Asked) -> Sent | None:
        if asked.path != "/v1/completions":
            return None
        if "add_special_tokens" in asked.body:
            return error(400, "unknown field add_special_tokens")
        tokens = (
            len(asked.body["prompt"].replace("<|bos|>", "b").replace("<|user|>", "u").replace("<|assistant|>", "a")) + 1
        )
        choice = {"index": 0, "text": "x", "finish_reason": "stop"}
        return as_json({"choices": [choice], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}})

    with QuirkServer(serve) as server:
        engine = opened(server, str(folder), api="completions", served_model="m")
        [found] = completed(engine, made("hello"))
    assert bodies(server, "/v1/completions")[-1]["prompt"] == "<|user|>hello<|assistant|>"
    assert found.error is None


def test_what_cannot_be_an_engine_of_servers(tmp_path: Path) -> None:
    for options, words in (
        ({"chat_template": "x.jinja"}, "applies its own chat template"),
        ({"api": "completions"}, "m is neither a folder nor a hub id"),
        ({"server_preset": "nope"}, "no server preset 'nope'"),
        ({"base_url": ()}, "has no server"),
    ):
        with pytest.raises(EvalkitError, match=words):
            open_engine("openai", "m", {"base_url": "http://127.0.0.1:9", **options})
    twice: Any = open_engine("openai", "m", {"base_url": ("http://h", "http://h/v1/", "http://i")})
    assert twice._roots == ["http://h/v1", "http://i/v1"]
