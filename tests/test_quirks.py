"""Servers as they are: each scenario of `quirk_server.SCENARIOS` ends right, or with one clear sentence."""

import asyncio
import json
import os
import re
import resource
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, records, told
from quirk_server import SCENARIOS, Asked, Quirk, QuirkServer, Sent, chunk, completions, events, whole

from evalkit import Task, evaluate
from evalkit.engines.openai.addresses import api_root, key_headers
from evalkit.engines.openai.dialects import (
    RequestForm,
    RequestOptions,
    completion_limit,
    find_preset,
    refused_fields,
    room_left,
)
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.runs import Run
from evalkit.run.session import require_no_errors
from evalkit.store.run import RunDirectory

KEY = "sk-very-secret-key"
HOSTILE = (
    "endless headers",
    "a line without end",
    "a body without end",
    "a gzip bomb",
    "a gzip bomb in a gzip bomb",
    "text without end",
    "JSON that is nested too deep",
)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("evalkit.engines.openai.wire._TAIL_SECONDS", 1.0)


def local_task() -> type[Task]:
    """Arithmetic, graded in this process: no workers are started."""
    from evalkit_tasks.arithmetic import Arithmetic

    class Sums(Arithmetic):
        name = "sums"

    return Sums


def run_on(server: QuirkServer | str, output: Path, limit: int = 6, **options: Any) -> Run:
    url = server if isinstance(server, str) else server.url
    sampling = {name: options.pop(name) for name in ("max_tokens", "n", "top_k", "protocol") if name in options}
    return evaluate(
        "m",
        local_task(),
        engine="openai",
        engine_options={"base_url": url, "concurrency": 4, **options},
        limit=limit,
        output=output,
        progress=False,
        **{"max_tokens": 64, "n": 1, **sampling},
    )


def written(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def engine_record(output: Path) -> dict[str, Any]:
    content = json.loads((output / "run.json").read_text())["environment"]["engine"]
    assert isinstance(content, dict)
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in HOSTILE])
def test_a_quirk_ends_right_or_with_one_sentence(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quirk = SCENARIOS[name]
    output = tmp_path / "run"
    with QuirkServer(quirk.serve) as server:
        try:
            run = run_on(server, output, **quirk.options)
            reports = [run.report("sums")]
            require_no_errors(RunDirectory(output), reports)
            failed = None
        except EvalkitError as error:
            failed = error
    _hold_failure(quirk, failed)
    if quirk.told:
        assert quirk.told in caplog.text
    if not quirk.code or quirk.status != "correct":
        _hold_samples(quirk, output)
    for text in (caplog.text, written(tmp_path), str(failed)):
        assert KEY not in text
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize(
    ("how", "signs", "said"),
    [
        ("whole", ["3 of 6 completions empty"], "3 of the first 6 responses are empty"),
        ("stream", ["3 of 6 completions empty"], "3 of the first 6 responses are empty"),
        ("thinking", ["thinking alone in 3 of the first 6"], ""),
    ],
)
def test_a_server_that_drops_texts_is_told_beside_the_score(
    how: str, signs: list[str], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = [0]

    def every_other(asked: Asked) -> Sent:
        served[0] += 1
        if served[0] % 2:
            return whole(asked)
        if how == "stream":
            return events([chunk(asked, {"role": "assistant"}), chunk(asked, {}, "stop")])
        return whole(asked, "", reasoning_content="I add them." if how == "thinking" else "")

    with QuirkServer(completions(every_other)) as server:
        run = run_on(server, tmp_path / "run")
    report = run.report("sums")
    assert report.warnings == (signs if how == "thinking" else [*signs, "no thinking"])
    assert (report.statuses["correct"], report.statuses["no_answer"]) == (3, 3)
    assert ("responses are empty" in caplog.text) == bool(said)
    assert said in caplog.text


def _hold_failure(quirk: Quirk, failed: EvalkitError | None) -> None:
    assert (failed.exit_code if failed else 0) == quirk.code, failed
    if failed is None:
        return
    assert quirk.sentence in failed.message
    assert failed.message.endswith(".")
    assert failed.hint
    assert all(c.isprintable() for c in failed.message + failed.hint)
    assert len(failed.message) < 700


def _hold_samples(quirk: Quirk, output: Path) -> None:
    made = records(output / "sums" / "completions.jsonl")
    scores = records(output / "sums" / "scores.jsonl")
    assert len(made) == len(scores) == 6
    assert {score["status"] for score in scores} == {quirk.status}, [made[0], scores[0]]
    if quirk.finish:
        assert {each["finish_reason"] for each in made} == {quirk.finish}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "a " in name[:2] else name for name in HOSTILE]
)
def test_a_hostile_server_costs_bounded_memory_and_time(name: str, tmp_path: Path) -> None:
    quirk = SCENARIOS[name]
    options = [part for key, value in quirk.options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with QuirkServer(quirk.serve) as server:
        command = [
            EVALKIT,
            "run",
            "m",
            "-t",
            "arithmetic",
            "--engine",
            "openai",
            "--base-url",
            server.url,
            "--limit",
            "3",
        ]
        command += ["-n", "1", "--max-tokens", "64", "-o", tmp_path / "run", "--quiet", "--workers", "1", *options]
        with subprocess.Popen(
            [*map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as process:
            peak = _peak_of(process)
            out, err = process.communicate(timeout=300)
    done = subprocess.CompletedProcess("evalkit", process.returncode, out, err)
    assert done.returncode == quirk.code, err
    assert quirk.sentence in told(done)
    assert peak < 900_000, f"{peak} KiB (children before: {before})"


def _peak_of(process: "subprocess.Popen[str]") -> int:
    """The most memory (KiB) that a process has had when it ends; read while it runs."""
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        peak = max(peak, *map(int, found)) if found else peak
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    return peak


def test_there_are_scenarios_enough() -> None:
    assert len(SCENARIOS) >= 36


@pytest.mark.slow
def test_the_command_ends_with_one_sentence_and_says_how_to_settle(tmp_path: Path) -> None:
    command = ["run", "m", "-t", "arithmetic", "--engine", "openai", "--limit", 4, "-n", 1, "--max-tokens", 64]
    command += ["-o", tmp_path / "run", "--concurrency", 2]

    def refuse_one(asked: Any) -> Any:
        from quirk_server import error

        return error(400, "this prompt is against our policy") if "66" in asked.prompt or " 9" in asked.prompt else None

    with QuirkServer(refuse_one) as server:
        done = evalkit(*command, "--base-url", server.url, code=1)
        assert "against our policy" in told(done)
        assert f"evalkit settle {tmp_path / 'run'} --status error" in done.stderr
        assert "run the same command again" not in done.stderr
        asked = len(server.posts)
        closed = evalkit("settle", tmp_path / "run", "--status", "error")
        assert re.search(r"\d (sample closed as an error|samples closed as errors)", closed.stderr)
        again = evalkit(*command, "--base-url", server.url)
        assert not [one for one in server.posts[asked:] if not one.is_probe], "closed samples were asked for again"
    assert re.search(r"\d errors? closed by `evalkit settle`; (it counts|they count) as 0", again.stderr)
    table = evalkit("leaderboard", tmp_path / "run", "-v")
    assert "settled)" in table.stdout
    count = len(records(tmp_path / "run" / "arithmetic" / "settled.jsonl"))
    assert f"error {count}" in again.stdout
    assert (
        f"{count} sample{'' if count == 1 else 's'} opened again"
        in evalkit("settle", tmp_path / "run", "--undo").stderr
    )


def parameters(posts: list[Any]) -> dict[str, Any]:
    """The fields of the last request of a run."""
    fields: dict[str, Any] = next(one.body for one in reversed(posts) if not one.is_probe)
    return fields


def listed(**entry: Any) -> Any:
    """A server whose list of models says this of the model."""

    def serve(asked: Any) -> Any:
        from quirk_server import as_json

        return as_json({"data": [{"id": "m", **entry}]}) if asked.path.endswith("/models") else None

    return serve


def test_sampling_is_sent_whole_and_what_was_learnt_is_recorded(tmp_path: Path) -> None:
    from quirk_server import refuses

    with QuirkServer(listed(owned_by="vllm")) as server:
        run_on(server, tmp_path / "vllm", request_field=("reasoning_effort=high", 'extra={"a": 1}'), drop_field="min_p")
        sent = parameters(server.posts)
    neutral = {"top_k": -1, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    assert {name: sent[name] for name in neutral} == neutral
    assert "min_p" not in sent
    assert sent["reasoning_effort"] == "high"
    assert sent["extra"] == {"a": 1}
    recorded = engine_record(tmp_path / "vllm")["requests"]
    assert recorded["preset"] == "vllm"
    assert recorded["not_sent"] == {"min_p": "--drop-field"}
    identity = json.loads((tmp_path / "vllm" / "run.json").read_text())["identity"]["engine"]["requests"]
    assert identity == {"fields": {"reasoning_effort": "high", "extra": {"a": 1}}, "drops": ["min_p"]}
    with QuirkServer(refuses("top_k", "seed")) as server:
        run_on(server, tmp_path / "learnt", rename_field="max_tokens=max_new_tokens", top_k=20)
        assert parameters(server.posts)["max_new_tokens"] == 64
    learnt = engine_record(tmp_path / "learnt")["requests"]
    assert learnt["not_sent"] == {"seed": "the server refuses it", "top_k": "the server refuses it"}
    assert learnt["renamed"] == {"max_tokens": "max_new_tokens"}


@pytest.mark.slow
def test_a_header_is_sent_and_written_nowhere(tmp_path: Path) -> None:
    with QuirkServer(lambda _: None) as server:
        evalkit(
            *("run", "m", "-t", "arithmetic", "--engine", "openai", "--base-url", server.url, "--limit", 2, "-n", 1),
            *("--header", "X-Team: secret-of-the-team", "-o", tmp_path / "run"),
        )
        assert {one.headers["x-team"] for one in server.seen} == {"secret-of-the-team"}
        assert {one.headers["authorization"] for one in server.seen} == {f"Bearer {KEY}"}
    assert engine_record(tmp_path / "run")["headers"] == ["X-Team"]
    assert "secret-of-the-team" not in written(tmp_path)


@pytest.mark.parametrize(
    ("url", "model", "preset"),
    [
        ("https://api.openai.com/v1", "o3-mini", "o-series"),
        ("https://api.openai.com/v1", "gpt-5.1", "o-series"),
        ("https://api.openai.com/v1", "gpt-4o", "openai"),
        ("https://x.openai.azure.com/openai/deployments/o3?api-version=1", "o3", "o-series"),
        ("https://api.anthropic.com/v1", "claude-sonnet-4-5", "claude"),
        ("https://api.mistral.ai/v1", "magistral-medium", "mistral"),
        ("https://api.deepseek.com/v1", "deepseek-reasoner", "deepseek"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro", "gemini"),
        ("http://localhost:11434/v1", "qwen3", "ollama"),
        ("https://openrouter.ai/api/v1", "openai/o3", "openrouter"),
        ("http://localhost:8000/v1", "o3", "unknown"),
    ],
)
def test_a_preset_is_found_by_the_address_and_the_model(url: str, model: str, preset: str) -> None:
    assert find_preset(None, url, model, "").name == preset


def test_presets_change_what_is_sent() -> None:
    own = {"model": "m", "messages": [], "max_tokens": 8, "temperature": 0.6, "top_p": 0.95, "seed": 1}

    def sent(preset: str, **options: Any) -> dict[str, Any]:
        wanted = RequestOptions.read(options.get("fields", ()), options.get("drops", ()), options.get("renames", ()))
        return RequestForm(wanted, find_preset(preset, "", "", "")).shape(own)

    assert sent("o-series").keys() == {"model", "messages", "max_completion_tokens", "stream", "stream_options"}
    assert "top_p" not in sent("claude")
    assert "seed" not in sent("gemini")
    assert sent("mistral")["random_seed"] == 1
    assert "stream_options" not in sent("mistral")
    assert sent("llama.cpp")["top_k"] == 0
    assert sent("sglang")["top_k"] == -1
    assert sent("o-series", renames=["temperature=heat"])["heat"] == 0.6
    for wrong in (["n=3"], ["messages=[]"], ["a"]):
        with pytest.raises(EvalkitError):
            sent("vllm", fields=wrong)
    with pytest.raises(EvalkitError, match="asks for nothing"):
        sent("vllm", drops=["messages"])
    with pytest.raises(EvalkitError, match="no server preset"):
        find_preset("nonsense", "", "", "")


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("max_tokens is too large: 32768. This model supports at most 16384 completion tokens", 16384),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("max_tokens: 32768 > 8192, which is the maximum allowed number of output tokens for m", 8192),
        ("`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`", 8192),
        ("The supported range is from 1 (inclusive) to 8193 (exclusive).", 8192),
        ("max_completion_tokens cannot be greater than the limit of 8,192", 8192),
        ("max_tokens is too large", None),
        ("This model's maximum context length is 4096 tokens.", None),
    ],
)
def test_a_limit_of_tokens_is_read_from_a_refusal(said: str, limit: int | None) -> None:
    assert completion_limit(said, 32768) == limit


@pytest.mark.parametrize(
    ("said", "room"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, you requested 32800 tokens (32 in the "
            "messages, 32768 in the completion).",
            4064,
        ),
        (
            "'max_tokens' is too large: 32768. This model's maximum context length is 4096 tokens and your request has "
            "32 input tokens (32768 > 4096 - 32).",
            4064,
        ),
        (
            "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
            "33000 tokens: 32 tokens from the input messages and 32768 tokens for the completion.",
            4064,
        ),
        ("This model's maximum context length is 4096 tokens. Your prompt contains at least 4097 input tokens", None),
        ("too long", None),
    ],
)
def test_the_room_that_a_context_leaves_is_read_from_a_refusal(said: str, room: int | None) -> None:
    assert room_left(said, 32768) == room


def test_a_refusal_that_repeats_the_request_teaches_only_what_it_names() -> None:
    body = {"model": "m", "temperature": 0.6, "top_p": 0.95, "min_p": 0.0, "seed": 3, "top_k": -1}
    said = f"Extra inputs are not permitted (param: 'min_p') in {json.dumps(body)} " + "x" * 600
    assert refused_fields(said, body) == ["min_p"]
    assert refused_fields("Unknown field 'min_p'. You sent temperature, top_p and top_k.", body) == ["min_p"]
    assert refused_fields("The prompt is too long", body) == []


def cut_texts(asked: Any) -> Any:
    """Thinking that the template opens: closed in two responses of three, cut in the third."""
    from quirk_server import answer_of, whole

    if asked.is_probe or asked.method == "GET":
        return None
    if asked.number % 3:
        return whole(asked, f"I add.\n</think>\n\n{answer_of(asked.prompt)}")
    time.sleep(0.5)  # the long ones end last
    return whole(asked, "Perhaps it is \\boxed{7}, but", "length")


@pytest.mark.slow
def test_cut_thinking_is_cut_thinking_whatever_the_model_is_called(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with QuirkServer(cut_texts) as server:
        run = run_on(server, tmp_path / "run", limit=12, concurrency=3)
    statuses = run.report("sums").statuses
    assert statuses["truncated"] == 4
    assert statuses["correct"] == 8
    assert "before it closed its thinking" in caplog.text


def test_what_the_server_renders_tells_whether_thinking_is_open(tmp_path: Path) -> None:
    def serve(asked: Any) -> Any:
        from quirk_server import as_json, whole

        if asked.path == "/tokenize":
            return as_json({"tokens": [1, 2], "count": 2})
        if asked.path == "/detokenize":
            return as_json({"prompt": "<|user|>1+1<|assistant|><think>\n"})
        if asked.path.endswith("/models"):
            return as_json({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 100}]})
        return None if asked.is_probe or asked.method == "GET" else whole(asked, "It may be \\boxed{7}", "length")

    with QuirkServer(serve) as server:
        run = run_on(server, tmp_path / "run", max_tokens=32768)
    assert run.report("sums").statuses["truncated"] == 6
    assert {one["prefix"] for one in records(tmp_path / "run" / "sums" / "completions.jsonl")} == {"<think>\n"}
    assert engine_record(tmp_path / "run")["context_length"] == 100


def named(answer: str, **entry: Any) -> Any:
    """A server whose model answers the probe with `answer`."""

    def serve(asked: Any) -> Any:
        from quirk_server import as_json, whole

        if asked.path.endswith("/models"):
            return as_json({"data": [{"id": "m", **entry}]})
        if asked.method == "POST" and asked.is_probe:
            text = answer.format(number=asked.number)
            return whole(asked, text)
        return None

    return serve


def test_two_servers_behind_one_name_are_never_mixed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "run"
    with QuirkServer(named("cats"), "a") as first, QuirkServer(named("dogs"), "b") as other:
        with pytest.raises(EvalkitError, match="are not one model"):
            run_on(first, tmp_path / "two", base_url=(first.url, other.url))
        run_on(first, output, limit=2)
        with pytest.raises(EvalkitError, match="is not the one that made this run: answer 'cats' became 'dogs'"):
            run_on(other, output, limit=4)
        assert len(records(output / "sums" / "completions.jsonl")) == 2
        run_on(other, output, limit=4, accept_changed_server=True)
    assert len(records(output / "sums" / "completions.jsonl")) == 4
    recorded = engine_record(output)
    assert [mark["answer"] for mark in recorded["server_marks"]] == ["dogs"]
    assert [mark["answer"] for mark in recorded["earlier_servers"]] == ["cats"]
    assert "this is recorded" in caplog.text


def test_one_model_at_another_address_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with QuirkServer(named("cats"), "a") as first, QuirkServer(named("cats"), "b") as second:
        run_on(first, tmp_path / "run", limit=2)
        run_on(second, tmp_path / "run", limit=4)
    assert "has the same model" in caplog.text
    with QuirkServer(named("{number}"), "c") as third:  # answers otherwise each time, and says nothing of itself
        with pytest.raises(EvalkitError, match=r"answer|nothing tells"):
            run_on(third, tmp_path / "run", limit=6)
        run_on(third, tmp_path / "random", limit=2)
        run_on(third, tmp_path / "random", limit=4)
        marks = engine_record(tmp_path / "random")["server_marks"]
        assert [mark["answer"] for mark in marks] == [None]
    with QuirkServer(named("{number}"), "d") as fourth, pytest.raises(EvalkitError, match="nothing tells"):
        run_on(fourth, tmp_path / "random", limit=6)


def test_the_list_of_models_tells_two_models_apart(tmp_path: Path) -> None:
    entry = {"root": "/models/step-100", "created": 1700000000}
    with QuirkServer(named("{number}", **entry)) as first:
        run_on(first, tmp_path / "run", limit=2)
    with (
        QuirkServer(named("{number}", **{**entry, "root": "/models/step-200"})) as second,
        pytest.raises(EvalkitError, match="root '/models/step-100' became '/models/step-200'"),
    ):
        run_on(second, tmp_path / "run", limit=4)


@pytest.mark.slow
def test_partial_text_is_kept_when_a_connection_dies(tmp_path: Path) -> None:
    def serve(asked: Any) -> Any:
        from quirk_server import cuts_stream

        if asked.method == "GET" or asked.is_probe:
            return None
        first = asked.server.state.setdefault("first", asked.prompt)
        return cuts_stream(asked) if asked.prompt == first else None

    with QuirkServer(serve) as server:
        run_on(server, tmp_path / "run", limit=20, patience=1.0)
    made = records(tmp_path / "run" / "sums" / "completions.jsonl")
    broken = [one for one in made if one["finish_reason"] == "error"]
    assert broken
    assert all("It is" in one["text"] for one in broken)
    assert all("connection broke" in one["error"] for one in broken), broken
    assert engine_record(tmp_path / "run")["faults"]["count"] >= 5


@pytest.mark.slow
def test_faults_are_shown_while_a_run_goes_on(tmp_path: Path) -> None:
    from quirk_server import error, once_in

    def serve(asked: Any) -> Any:
        busy = once_in(2, lambda _: error(503, "try \x1b[31mlater"))
        return busy(asked) if asked.method == "POST" and not asked.is_probe else None

    with QuirkServer(serve) as server:
        done = evalkit(
            *("run", "m", "-t", "arithmetic", "--engine", "openai", "--base-url", server.url, "--limit", 6, "-n", 1),
            *("-o", tmp_path / "run", "--max-tokens", 64),
        )
    assert "faults, the last: 503: try" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_running_event_loop_does_not_matter(tmp_path: Path) -> None:
    async def cell() -> Run:
        with QuirkServer(lambda _: None) as server:
            return run_on(server, tmp_path / "run")

    assert asyncio.run(cell()).report("sums").statuses["correct"] == 6


def test_proxies_are_for_others_than_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with QuirkServer(lambda _: None) as server:
        assert run_on(server, tmp_path / "run").report("sums").statuses["correct"] == 6
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
        assert run_on(server, tmp_path / "socks").report("sums").statuses["correct"] == 6
    monkeypatch.delenv("HTTP_PROXY")
    monkeypatch.setitem(sys.modules, "socksio", None)  # not installed
    with pytest.raises(EvalkitError, match="SOCKS proxy") as caught:
        run_on("http://192.0.2.1:9/v1", tmp_path / "far")
    assert "pip install" in caught.value.hint
    monkeypatch.setenv("ALL_PROXY", "nonsense://someone:proxy-password@127.0.0.1:1")
    with pytest.raises(EvalkitError, match="proxy") as caught:
        run_on("http://192.0.2.1:9/v1", tmp_path / "far")
    assert "proxy-password" not in str(caught.value)


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody has signed."""
    made, kept = str(folder / "key.pem"), str(folder / "cert.pem")
    subject = ["-subj", "/CN=localhost", "-keyout", made, "-out", kept]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kept, made)
    return context


def test_faults_of_tls_are_told_at_once(tmp_path: Path) -> None:
    with QuirkServer(lambda _: None, tls=certificate(tmp_path)) as server:
        with pytest.raises(EvalkitError, match="certificate is not accepted") as caught:
            run_on(server, tmp_path / "run")
        assert "SSL_CERT_FILE" in caught.value.hint
        assert server.seen == []
    with QuirkServer(lambda _: None) as server, pytest.raises(EvalkitError, match="TLS connection"):
        run_on(server.url.replace("http", "https"), tmp_path / "run")


def test_the_key_goes_to_no_other_host(tmp_path: Path) -> None:
    from quirk_server import moved

    with QuirkServer(lambda _: None, "b") as other, QuirkServer(moved(lambda a: f"{other.url}{a.path}")) as server:
        with pytest.raises(EvalkitError, match="the key is not sent to another host"):
            run_on(server, tmp_path / "run")
        assert other.seen == []


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/some/prefix/v1"])
def test_the_base_url_is_read_as_it_is_written(suffix: str, tmp_path: Path) -> None:
    with QuirkServer(lambda _: None) as server:
        assert run_on(server.url + suffix, tmp_path / "run", limit=2).report("sums").statuses["correct"] == 2


def test_azure_has_its_own_header_and_a_version_in_the_query(tmp_path: Path) -> None:
    url = "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21"
    assert key_headers(api_root(url), "k") == {"api-key": "k"}
    assert key_headers(api_root("https://api.openai.com/v1"), "k") == {"Authorization": "Bearer k"}
    with QuirkServer(lambda _: None) as server:
        run_on(f"{server.url}/openai/deployments/d?api-version=2024-10-21", tmp_path / "run", limit=2)
        paths = {one.path for one in server.posts}
    assert paths == {"/openai/deployments/d/chat/completions?api-version=2024-10-21"}


def fails_on(chosen: Any, status: int = 409, get_status: int = 200) -> Any:
    """A server that answers no request for which `chosen` is true of its prompt's number, in order of appearance."""
    from quirk_server import as_json, error

    def serve(asked: Any) -> Any:
        if asked.method == "GET":
            failing = asked.server.state.get("failed") and get_status != 200
            return as_json({"error": "down"}, get_status) if failing else None
        if asked.is_probe:
            return None
        order = asked.server.state.setdefault("order", [])
        if asked.prompt not in order:
            order.append(asked.prompt)
        if not chosen(order.index(asked.prompt)):
            return None
        asked.server.state["failed"] = True
        return error(status, "not now")

    return serve


def test_requests_that_fail_among_others_are_errors_and_the_run_goes_on(tmp_path: Path) -> None:
    with QuirkServer(fails_on(lambda number: number % 2 == 1)) as server:
        run = run_on(server, tmp_path / "run", limit=20, concurrency=1, patience=0.04)
    assert run.report("sums").statuses == {"correct": 10, "wrong": 0, "no_answer": 0, "truncated": 0, "error": 10}
    errors = [one["error"] for one in records(tmp_path / "run" / "sums" / "completions.jsonl") if one["error"]]
    assert all(error.startswith("The server failed on every attempt, last: 409: not now") for error in errors)


def test_eight_failures_in_a_row_end_the_run_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    with (
        QuirkServer(fails_on(lambda number: number >= 3)) as server,
        pytest.raises(RunIncompleteError, match=r"fails every request: 409: not now"),
    ):
        run_on(server, tmp_path / "run", limit=20, concurrency=1, patience=0.04)
    made = records(tmp_path / "run" / "sums" / "completions.jsonl")
    assert [one["finish_reason"] for one in made] == ["stop"] * 3 + ["error"] * 7


@pytest.mark.parametrize(("get_status", "told"), [(503, "does not answer"), (500, "fails every request")])
def test_a_server_that_answers_its_list_of_models_is_alive(get_status: int, told: str, tmp_path: Path) -> None:
    with (
        QuirkServer(fails_on(lambda number: number >= 3, get_status=get_status)) as server,
        pytest.raises(RunIncompleteError, match=told),
    ):
        run_on(server, tmp_path / "run", limit=20, concurrency=1, patience=0.04)


@pytest.mark.parametrize(("statuses", "asked_for"), [((500,), 2), ((502, 503), 3), ((404,), 1), ((403,), 1)])
def test_a_list_of_models_that_fails_is_asked_for_again(
    statuses: tuple[int, ...], asked_for: int, tmp_path: Path
) -> None:
    from quirk_server import as_json

    def serve(asked: Any) -> Any:
        if not asked.path.endswith("/models"):
            return None
        before = asked.server.state.setdefault("lists", [])
        before.append(asked.path)
        if len(before) <= len(statuses):
            return as_json({"error": "not now"}, statuses[len(before) - 1])
        return as_json({"data": [{"id": "m", "root": "/models/step-100"}]})

    with QuirkServer(serve) as server:
        run_on(server, tmp_path / "run", limit=2)
        assert len(server.state["lists"]) == asked_for
    [mark] = engine_record(tmp_path / "run")["server_marks"]
    assert mark["root"] == ("/models/step-100" if asked_for > 1 else None)


def test_seeds_are_those_that_every_server_takes_and_whole_for_vllm(tmp_path: Path) -> None:
    def seeds(server: QuirkServer) -> list[int]:
        asked_for = [a for a in server.posts if a.path.endswith("/completions") and not a.is_probe]
        return sorted(asked.body["seed"] for asked in asked_for)

    with QuirkServer(lambda _: None) as server:
        run_on(server, tmp_path / "plain", limit=6)
        plain = seeds(server)
    assert len(set(plain)) == 6
    assert all(0 <= seed < 2**31 for seed in plain)
    with QuirkServer(listed(owned_by="vllm")) as server:
        run_on(server, tmp_path / "vllm", limit=6)
        whole = seeds(server)
    assert sorted(seed % 2**31 for seed in whole) == plain
    assert max(whole) >= 2**31


@pytest.mark.parametrize(
    ("page", "version"),
    [({"version": "0.33.0"}, "0.33.0"), ({"version": ""}, None), (["0.33.0"], None), (None, None)],
)
def test_the_version_of_a_server_is_recorded(
    page: Any, version: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from quirk_server import as_json

    def serve(asked: Any) -> Any:
        if asked.path == "/version" and page is not None:
            return as_json(page)
        return listed(owned_by="vllm")(asked)

    with QuirkServer(serve) as server, caplog.at_level("INFO", "evalkit"):
        run_on(server, tmp_path / "run", limit=2, base_url=f"{server.url}/v1")
    assert engine_record(tmp_path / "run")["server_version"] == version
    assert f"server: vllm{f' {version}' if version else ''}\n" in caplog.text


@pytest.mark.parametrize("name", ["401", "no credit, as 429", "404 in HTML", "an HTML page"])
def test_nothing_is_called_kept_where_nothing_was_served(name: str, tmp_path: Path) -> None:
    quirk = SCENARIOS[name]
    with QuirkServer(quirk.serve) as server, pytest.raises(RunIncompleteError) as caught:
        run_on(server, tmp_path / "run", **quirk.options)
    assert "kept" not in caught.value.hint
    assert ("--base-url" in caught.value.hint) == (name in ("404 in HTML", "an HTML page"))


def test_work_is_called_kept_where_requests_were_served(tmp_path: Path) -> None:
    from quirk_server import completions, error

    server = QuirkServer(completions(lambda _: error(401, "Incorrect API key")))
    with server, pytest.raises(RunIncompleteError) as caught:
        run_on(server, tmp_path / "run")
    assert caught.value.hint.startswith("finished work is kept: set EVALKIT_API_KEY")


def test_an_engine_without_a_server_is_told_for_python_too(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="has no server") as caught:
        evaluate("m", local_task(), engine="openai", output=tmp_path / "run", progress=False)
    assert "--base-url" in caught.value.hint
    assert 'engine_options={"base_url": ' in caught.value.hint


@pytest.mark.slow
def test_a_fault_without_words_is_its_name(tmp_path: Path) -> None:
    """A server that resets every connection: httpx's ReadError says nothing more."""

    def reset(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(1 << 16)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=reset, args=(listener,), daemon=True).start()
        with pytest.raises(RunIncompleteError) as caught:
            run_on(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path / "run", patience=1.0)
        listener.shutdown(socket.SHUT_RDWR)
    assert caught.value.message.endswith(": ReadError.")
