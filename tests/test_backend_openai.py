"""The openai backend against a real server that nobody here wrote, alone and behind a proxy that fails."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_checkpoint import make_engine_checkpoint
from helpers import evalkit, records, told
from servers import FaultProxy, free_port, transformers_serve

from evalkit.engines import open_engine
from evalkit.engines.openai.addresses import api_root, displayed
from evalkit.engines.openai.concurrency import ConcurrencyLimit
from evalkit.engines.openai.http import retry_after
from evalkit.engines.openai.replies import response_text, usage_tokens
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SampleKey, SamplingParams


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_engine_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_serve(checkpoint, tmp_path_factory.mktemp("log") / "serve.log") as (url, _):
        yield url


def requests(count: int, max_tokens: int = 24, text: str = "", **sampling: Any) -> Iterator[Request]:
    params = SamplingParams(temperature=0, max_tokens=max_tokens, **sampling)
    for i in range(count):
        yield Request("t", f"p{i}", 0, ({"role": "user", "content": text or f"{i} + {3 * i}"},), params)


def run(
    model: Path | str, url: str | list[str], made: Iterator[Request], **options: Any
) -> dict[SampleKey, Completion]:
    urls = [url] if isinstance(url, str) else url
    options = {"api": "completions", "patience": 8.0, "request_timeout": 4.0, **options}
    backend = open_engine("openai", str(model), {"base_url": urls, **options})
    completions = list(backend.generate(made))
    by_key = {c.key: c for c in completions}
    assert len(by_key) == len(completions), "a sample came twice"
    return by_key


def texts(completions: dict[SampleKey, Completion]) -> dict[SampleKey, tuple[Any, ...]]:
    """Without a last character that is cut, which a stream leaves out."""
    return {k: ((c.prefix + c.text).rstrip("\ufffd"), c.finish_reason) for k, c in completions.items()}


@pytest.mark.slow
def test_greedy_text_equals_that_of_transformers(checkpoint: Path, server: str) -> None:
    served = run(checkpoint, server, requests(64))
    backend = open_engine("transformers", str(checkpoint), {"dtype": "float32"})
    own = {c.key: c for c in backend.generate(requests(64))}
    assert texts(served) == texts(own)
    assert {c.finish_reason for c in own.values()} == {"stop", "length"}
    counts = {k: (c.prompt_tokens, c.completion_tokens) for k, c in served.items()}
    assert counts == {k: (c.prompt_tokens, c.completion_tokens) for k, c in own.items()}


@pytest.mark.slow
def test_five_hundred_requests_with_a_third_of_them_failing(checkpoint: Path, server: str) -> None:
    with FaultProxy(server, rate=0.3, seed=1) as proxy:
        faulty = run(checkpoint, proxy.url, requests(500), request_timeout=2.0, stream=False)  # faults of whole replies
    assert all(proxy.seen[fault] >= 10 for fault in ("reset", "429", "500", "truncated", "endless", "duplicate"))
    assert len(faulty) == 500
    assert texts(faulty) == texts(run(checkpoint, server, requests(500)))
    counts = [c.completion_tokens for c in faulty.values()]
    assert all(count is None or 0 < count <= 24 for count in counts)
    assert 5 < counts.count(None) < 50  # those whose usage was wrong


@pytest.mark.slow
def test_one_of_two_servers_dies_and_the_other_ends_the_run(checkpoint: Path, server: str, tmp_path: Path) -> None:
    with transformers_serve(checkpoint, tmp_path / "log") as (url, process):
        backend = open_engine(
            "openai", str(checkpoint), {"base_url": [server, url], "api": "completions", "concurrency": 8}
        )
        completions = []
        for completion in backend.generate(requests(200)):
            completions.append(completion)
            if len(completions) == 40:
                process.kill()
    by_key = {c.key: c for c in completions}
    assert len(by_key) == len(completions) == 200
    assert texts(by_key) == texts(run(checkpoint, server, requests(200)))


@pytest.mark.slow
def test_a_dead_server_ends_the_command_with_1_and_the_way_to_resume(
    checkpoint: Path, server: str, tmp_path: Path
) -> None:
    command = ["run", checkpoint, "-t", "arithmetic", "--backend", "openai", "--api", "completions", "--max-tokens", 16]
    command += ["-n", 2, "--limit", 30, "--temperature", 0, "-o", tmp_path / "run", "--patience", 3, "--quiet"]
    with FaultProxy(server, rate=0.0) as proxy:
        stop = threading.Timer(0.0, lambda: None)

        def die(after: int = 20) -> None:
            while proxy.seen["none"] < after:
                stop.finished.wait(0.005)
            proxy._loop.call_soon_threadsafe(proxy._server.close)
            proxy.target = f"http://127.0.0.1:{free_port()}"

        killer = threading.Thread(target=die)
        killer.start()
        done = evalkit(*command, "--base-url", proxy.url, "--concurrency", 2, code=1, EVALKIT_API_KEY="sk-very-secret")
        killer.join()
    assert "does not answer" in told(done)
    assert "resume" in done.stderr
    kept = records(tmp_path / "run" / "arithmetic" / "completions.jsonl")
    assert 0 < len(kept) < 60
    assert {h.get("authorization") for h in proxy.headers} == {"Bearer sk-very-secret"}
    evalkit(*command, "--base-url", server, EVALKIT_API_KEY="sk-very-secret")
    whole = records(tmp_path / "run" / "arithmetic" / "completions.jsonl")
    assert whole[: len(kept)] == kept
    assert len({(r["problem_id"], r["sample_index"]) for r in whole}) == len(whole) == 60
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"very-secret" not in written
    assert "very-secret" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("login", "rate"), [("someone:pass%2Dword@", 1.0), ("", 0.3)])
def test_a_secret_that_a_server_echoes_is_told_nowhere(
    checkpoint: Path, server: str, tmp_path: Path, login: str, rate: float
) -> None:
    command = ["run", checkpoint, "-t", "arithmetic", "--backend", "openai", "--api", "completions", "--limit", 30]
    with FaultProxy(server, rate=rate, faults=("echo",)) as proxy:
        url = f"http://{login}127.0.0.1:{proxy.port}/v1?api-version=1&code=query-secret"
        done = evalkit(
            *command, "--base-url", url, "-o", tmp_path / "run", "--max-tokens", 8, code=1, EVALKIT_API_KEY="sk-key"
        )
        sent = {header["authorization"] for header in proxy.headers}
    assert sent == {"Basic c29tZW9uZTpwYXNzLXdvcmQ=" if login else "Bearer sk-key"}
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert "not with" in "".join([*texts, done.stderr])
    for text in (*texts, done.stdout, done.stderr):
        for secret in ("sk-key", "pass-word", "pass%2Dword", "c29tZW9uZTpwYXNzLXdvcmQ", "query-secret"):
            assert secret not in text


@pytest.mark.slow
def test_a_context_that_ends_before_max_tokens_is_told_before_the_run(checkpoint: Path, server: str) -> None:
    command = ("run", checkpoint, "-t", "arithmetic", "--backend", "openai", "--base-url", server, "--dry-run")
    assert "arithmetic: the context of 65536 tokens leaves" in evalkit(*command, "--max-tokens", 70000).stdout


@pytest.mark.slow
def test_no_server_at_all_is_told_at_once_and_at_the_end(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RunIncompleteError, match=r"does not answer|fails every request") as caught:
        run(checkpoint, url, requests(1), patience=1.0)
    assert caught.value.hint.startswith("see that a server runs at this address")
    told = [record.message for record in caplog.records if "does not answer" in record.message]
    assert len(told) == 1
    assert told[0].startswith(f"{url}")
    assert told[0].endswith("); trying again for 1 s")


def test_a_url_that_is_none_is_told(checkpoint: Path) -> None:
    with pytest.raises(EvalkitError, match="no http or https URL"):
        open_engine("openai", str(checkpoint), {"base_url": ["localhost:8000"]})
    with pytest.raises(EvalkitError, match="no server"):
        open_engine("openai", str(checkpoint))


def test_urls_are_shown_without_secrets() -> None:
    assert api_root("http://h:8000") == "http://h:8000/v1"
    assert api_root("https://h/openai/v1/?api-version=1") == "https://h/openai/v1?api-version=1"
    assert displayed("https://me:secret@h:1/v1?key=secret") == "https://h:1/v1"


@pytest.mark.parametrize(
    ("message", "prefix", "joined"),
    [
        ({"content": "4"}, "", ("4", "")),
        ({"content": "4", "reasoning_content": "2+2"}, "", ("<think>\n2+2\n</think>\n\n4", "")),
        ({"content": "4", "reasoning": "2+2\n"}, "<think>\n", ("2+2\n</think>\n\n4", "<think>\n")),
        ({"content": "\n\n4", "reasoning_content": "a\n"}, "", ("<think>\na\n</think>\n\n4", "")),
        ({"content": None, "reasoning_content": "cut"}, "<think>\n", ("cut", "<think>\n")),
        ({"content": "", "reasoning_content": ""}, "", ("", "")),
        ({"content": None}, "", (None, "")),
    ],
)
def test_thinking_that_a_parser_took_out_is_joined_back(message: Any, prefix: str, joined: Any) -> None:
    assert response_text({"message": message}, prefix) == joined


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, (5, 7)),
        ({"prompt_tokens": 5, "completion_tokens": 7}, (5, 7)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 13}, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 700}, (None, None)),
        ({"prompt_tokens": -1, "completion_tokens": 7}, (None, None)),
        (None, (None, None)),
        ("many", (None, None)),
    ],
)
def test_a_usage_that_cannot_be_is_not_taken(usage: Any, counts: Any) -> None:
    assert usage_tokens(usage, "text", 20) == counts


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("3") == 3
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after(None) is None


@pytest.mark.parametrize("slots", [20, 100, 400])
def test_the_level_rises_to_what_the_server_can_use(slots: int) -> None:
    """A server with a number of slots, each answer 10 tokens a second after it got one."""
    now = 0.0
    level = ConcurrencyLimit(1024, clock=lambda: now)
    for _ in range(40):
        for _ in range(level.limit):
            now += 1 / min(slots, level.limit)
            level.answered(10, level.limit)
    assert slots <= level.limit * 1.5
    assert level.limit <= max(48, 2.5 * slots)


def test_the_level_falls_when_the_server_has_too_much_and_rises_when_it_is_silent() -> None:
    now = 0.0
    level = ConcurrencyLimit(1024, clock=lambda: now)
    first = level.limit
    now = 6.0
    level.waited(level.limit)
    assert level.limit > first
    raised = level.limit
    level.overloaded()
    level.overloaded()
    assert level.limit == int(raised * 0.7)
    assert json.dumps(level.limit)


def levels(begin: float) -> list[int]:
    """The levels of a server that is silent at first, then answers, is overloaded, and answers again."""
    now = begin
    level = ConcurrencyLimit(1024, clock=lambda: now)
    found = []
    for step in range(400):
        now += 6.0 if step < 2 else 0.05
        if step < 2:
            level.waited(level.limit)
        elif step in (150, 155, 200):
            level.overloaded()
        else:
            level.answered(10, level.limit)
        found.append(level.limit)
    return found


@pytest.mark.parametrize("begin", [-50.0, 0.5, 5000.0, 1e9])
def test_the_level_does_not_depend_on_where_the_clock_starts(begin: float) -> None:
    assert levels(begin) == levels(0.0)
    assert len(set(levels(0.0))) > 4


def test_who_is_overloaded_at_once_is_cut_at_once() -> None:
    level = ConcurrencyLimit(1024, clock=lambda: 0.25)
    first = level.limit
    level.overloaded()
    assert level.limit == int(first * 0.7)
