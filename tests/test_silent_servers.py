"""Servers that say nothing or fail at once: how a run ends, what is told before, and which runs and replies are one."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from helpers import records
from quirk_server import QuirkServer, Sent, as_json, chunk, endless, error, reply, whole
from test_quirks import local_task

from evalkit import evaluate
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.runs import Run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("FIRST_WORD", 0.2), ("LEAST_SILENCE", 1.0), ("LOOK", 0.1)):
        monkeypatch.setattr(f"evalkit.engines.openai.http.{name}", seconds)


def run_on(server: QuirkServer, output: Path | None, model: str = "m", limit: int = 6, **options: Any) -> Run:
    folder = {"results": options.pop("results")} if output is None else {"output": output}
    sampling = {name: options.pop(name) for name in ("max_tokens", "n", "protocol") if name in options}
    return evaluate(
        model,
        local_task(),
        engine="openai",
        engine_options={"base_url": server.url, "concurrency": 4, **options},
        limit=limit,
        progress=False,
        **folder,
        **{"max_tokens": 64, "n": 1, **sampling},
    )


async def nothing(first: bytes = b"") -> AsyncIterator[bytes]:
    if first:
        yield first
    await asyncio.sleep(100)


def hangs(_: Any) -> Sent:
    return Sent(raw=True, pieces=nothing())


def drips(_: Any) -> Sent:
    return Sent(200, endless(b" ", 0.1), {"content-type": "application/json"}, length=False)


def begins_and_hangs(asked: Any) -> Sent:
    first = b"data: " + json.dumps(chunk(asked, {"role": "assistant", "content": ""})).encode() + b"\n\n"
    return Sent(200, nothing(first), {"content-type": "text/event-stream"}, length=False)


def comments(_: Any) -> Sent:
    return Sent(200, endless(b": wait\n\n", 0.1), {"content-type": "text/event-stream"}, length=False)


@pytest.mark.parametrize(
    "silent", [hangs, *(pytest.param(each, marks=pytest.mark.slow) for each in (drips, begins_and_hangs, comments))]
)
def test_a_server_that_never_answers_ends_the_run_after_the_patience(
    silent: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with QuirkServer(lambda asked: silent(asked) if asked.method == "POST" else None) as server:
        begun = time.monotonic()
        with pytest.raises(RunIncompleteError, match="does not answer: nothing came for 2 s") as caught:
            run_on(server, tmp_path / "run", patience=2.0)
    assert 2 <= time.monotonic() - begun < 30
    assert caught.value.exit_code == 1
    assert "--patience" in caught.value.hint
    assert re.search(r"has sent nothing for \d s; waiting for 2 s of silence at most", caplog.text)


@pytest.mark.slow
def test_a_server_that_answers_not_even_its_list_of_models_ends_the_run(tmp_path: Path) -> None:
    with QuirkServer(hangs) as server, pytest.raises(RunIncompleteError, match="nothing came for 1 s"):
        run_on(server, tmp_path / "run", patience=1.0)


@pytest.mark.slow
def test_a_server_that_does_not_stream_may_compute_longer_than_the_patience(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def computed(asked: Any) -> AsyncIterator[bytes]:
        await asyncio.sleep(3)
        yield json.dumps(reply(asked)).encode()

    def serve(asked: Any) -> Any:
        if asked.method == "GET":
            return None
        if asked.is_probe:
            return whole(asked)
        return Sent(200, computed(asked), {"content-type": "application/json"}, length=False)

    with QuirkServer(serve) as server:
        run = run_on(server, tmp_path / "run", limit=4, patience=1.0)
    assert run.report("sums").statuses["correct"] == 4
    assert "it may be computing; --request-timeout limits" in caplog.text


def test_requests_that_are_lost_among_others_are_sent_once_more(tmp_path: Path) -> None:
    def serve(asked: Any) -> Any:
        if asked.method == "GET" or asked.is_probe:
            return None
        seen = asked.server.state.setdefault("seen", [])
        seen.append(asked.prompt)
        return hangs(asked) if asked.prompt in seen[4:6] and seen.count(asked.prompt) == 1 else None

    with QuirkServer(serve) as server:
        run = run_on(server, tmp_path / "run", patience=1.0)
    assert run.report("sums").statuses["correct"] == 6
    assert len([asked for asked in server.posts if asked.path.endswith("/completions") and not asked.is_probe]) == 8


def test_a_server_that_falls_silent_ends_the_run_and_what_was_answered_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(asked: Any) -> Any:
        if asked.method == "GET" or asked.is_probe:
            return None
        seen = asked.server.state.setdefault("seen", [])
        seen.append(asked.prompt)
        return hangs(asked) if len(seen) > 3 else None

    with QuirkServer(serve) as server, pytest.raises(RunIncompleteError, match="does not answer: nothing") as caught:
        run_on(server, tmp_path / "run", patience=1.0)
    assert caught.value.hint.startswith("finished work is kept")
    assert len(records(tmp_path / "run" / "sums" / "completions.jsonl")) == 3
    assert "has sent nothing for" in caplog.text


@pytest.mark.parametrize("headers", [{}, {"retry-after": "3600"}])
def test_the_first_fault_of_a_server_is_told_at_once(
    headers: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(asked: Any) -> Any:
        asked.server.state.setdefault("told", len(caplog.records))
        return error(429, "slow down", headers=headers) if asked.method == "POST" else None

    with QuirkServer(serve) as server, pytest.raises(RunIncompleteError, match="fails every request") as caught:
        run_on(server, tmp_path / "run", patience=0.4)
    told = [one.message for one in caplog.records if " fails (429: slow down" in one.message]
    assert len(told) == 1
    for text in (told[0], caught.value.message):
        assert ("(it asks to wait 3600 s: Retry-After)" in text) == bool(headers)
    assert ("when that time has passed" in caught.value.hint) == bool(headers)


@pytest.mark.slow
def test_a_server_that_fails_later_is_told_while_the_run_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(asked: Any) -> Any:
        if asked.method == "GET" or asked.is_probe:
            return None
        begun = asked.server.state.setdefault("begun", time.monotonic())
        return error(500, "boom") if time.monotonic() - begun < 2 else None

    with QuirkServer(serve) as server:
        run = run_on(server, tmp_path / "run", limit=4)
    assert run.report("sums").statuses["correct"] == 4
    assert caplog.text.count("the last fault: 500: boom; trying again") == 1


@pytest.mark.parametrize("same", [True, False])
def test_one_id_and_text_for_several_requests_is_a_cache(
    same: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(asked: Any) -> Any:
        if asked.method == "GET" or asked.is_probe:
            return None
        content = reply(asked, "\\boxed{1}" if same else f"{asked.number % 5} \\boxed{{1}}")
        tokens = 5 + asked.number
        return as_json({**content, "id": "same", "usage": {"prompt_tokens": 9, "completion_tokens": tokens}})

    with QuirkServer(serve) as server:
        run_on(server, tmp_path / "run", limit=12)
    assert ("it may have a cache" in caplog.text) == same


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["cppcccpc", "ppcpcccc", "tttccccc", "ccccctpt", "cccccccc"])
def test_what_a_cut_response_is_does_not_depend_on_which_comes_first(kinds: str, tmp_path: Path) -> None:
    """Cut, plain, and closing thinking that the template opened; in the order of the requests and in the other one."""
    texts = {"p": "It is \\boxed{1}.", "t": "I add.\n</think>\n\\boxed{1}", "c": "Perhaps \\boxed{7}, but"}
    found = []
    for late in (False, True):

        async def pieces(asked: Any, place: int, kind: str, late: bool) -> AsyncIterator[bytes]:
            await asyncio.sleep(0.1 * (8 - place if late else place))
            yield json.dumps(reply(asked, texts[kind], "length" if kind == "c" else "stop")).encode()

        def serve(asked: Any, late: bool = late) -> Any:
            if asked.method == "GET" or asked.is_probe:
                return None
            order = asked.server.state.setdefault("order", [])
            order.append(asked.prompt)
            place = len(order) - 1
            return Sent(200, pieces(asked, place, kinds[place], late), length=False)

        with QuirkServer(serve) as server:
            run_on(server, tmp_path / str(late), limit=8, concurrency=8)
        made = records(tmp_path / str(late) / "sums" / "completions.jsonl")
        found.append(sorted((one["text"], one["prefix"]) for one in made))
    assert found[0] == found[1]
    thinking = kinds.count("t") > kinds.count("p") or not set(kinds) & {"t", "p"}
    assert {prefix for text, prefix in found[0] if "Perhaps" in text} == ({"<think>\n"} if thinking else {""})


def test_another_model_name_is_another_run(tmp_path: Path) -> None:
    with QuirkServer(lambda _: None) as server:
        first = run_on(server, None, "toy-first", results=tmp_path, served_model="m", limit=2)
        second = run_on(server, None, "toy-second", results=tmp_path, served_model="m", limit=2)
        again = run_on(server, None, "toy-first", results=tmp_path, served_model="m", limit=3)
        assert [one.path.parent.name for one in (first, second, again)] == ["toy-first", "toy-second", "toy-first"]
        assert again.path == first.path
        with pytest.raises(EvalkitError, match=r"engine.label was 'toy-first' and is now 'toy-second'"):
            run_on(server, first.path, "toy-second", served_model="m", limit=2)
        earlier = json.loads((first.path / "run.json").read_text())  # of a version without the label
        del earlier["identity"]["engine"]["label"]
        (first.path / "run.json").write_text(json.dumps(earlier))
        third = run_on(server, None, "toy-third", results=tmp_path, served_model="m", limit=2)
        assert third.path.parent.name == "toy-third"
        assert run_on(server, None, "toy-first", results=tmp_path, served_model="m", limit=3).path == first.path


def test_a_run_that_another_server_made_is_named(tmp_path: Path) -> None:
    def other(asked: Any) -> Any:
        return whole(asked, "dogs") if asked.method == "POST" and asked.is_probe else None

    with QuirkServer(lambda _: None) as first, QuirkServer(other) as second:
        made = run_on(first, None, "toy", results=tmp_path, served_model="m", limit=2)
        with pytest.raises(EvalkitError, match="is not the one that made this run") as caught:
            run_on(second, None, "toy", results=tmp_path, served_model="m", limit=2)
    assert f"the run is {made.path}, of the model toy" in caught.value.hint


def test_completions_without_a_tokenizer_name_the_option(tmp_path: Path) -> None:
    with QuirkServer(lambda _: None) as server, pytest.raises(EvalkitError) as caught:
        run_on(server, tmp_path / "run", "toy", api="completions")
    assert "--tokenizer" in caught.value.hint
