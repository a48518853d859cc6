"""How a response begins at a server: asked of what the server shows of its prompts, with real templates behind it.

The server here renders with a family's chat format and counts characters as tokens; it answers what vLLM or llama.cpp
answer at these paths. Its completions say what prompt they were given.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from template_families import FAMILIES

from evalkit import EvalkitError
from evalkit.engines import open_engine
from evalkit.engines.templates import TemplateSettings, render_template
from evalkit.types import Message, Request, SamplingParams

BY_NAME = {family.name: family for family in FAMILIES}
# Qwen3's and GLM's templates write an empty thinking block before an answer that has none
WITH_EMPTY_THINKING = "{{ '<think>\\n\\n</think>\\n\\n' if '</think>' not in m.content else '' }}{{ m.content }}"


OWNERS = {"vllm": "vllm", "llama.cpp": "llamacpp", "silent": "somebody"}


class Handler(BaseHTTPRequestHandler):
    """`kind` is vllm, llama.cpp or silent; what a server of that kind does not know is 404."""

    template = ""
    kind = "vllm"
    seen: list[dict[str, Any]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send({"data": [{"id": "m", "max_model_len": 4096, "owned_by": OWNERS[self.kind]}]})
        else:
            self._send({}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/chat/completions":
            self._complete(body)
        elif self.path == "/tokenize" and self.kind == "vllm":
            self._send({"tokens": [ord(c) for c in self._prompt(body)], "count": 1, "max_model_len": 4096})
        elif self.path == "/detokenize" and self.kind == "vllm":
            self._send({"prompt": "".join(map(chr, body["tokens"]))})
        elif self.path == "/apply-template" and self.kind == "llama.cpp":
            self._send({"prompt": self._prompt(body)})
        else:
            self._send({}, 404)

    def _complete(self, body: dict[str, Any]) -> None:
        if self.kind == "vllm" and body.get("continue_final_message") and body.get("add_generation_prompt"):
            self._send({"error": {"message": "Cannot set both `continue_final_message` and the other."}}, 400)
            return
        self.seen.append(body)
        message = {"role": "assistant", "content": self._prompt(body)[-40:]}
        usage = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}
        reply = {"id": str(len(self.seen)), "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        self._send(reply)

    def _prompt(self, body: dict[str, Any]) -> str:
        continued = bool(body.get("continue_final_message"))
        settings = TemplateSettings(variables=body.get("chat_template_kwargs") or {}, date=date.today().isoformat())
        tokenizer = SimpleNamespace(bos_token="<bos>")
        text = render_template(self.template, tokenizer, body["messages"], settings, not continued).text
        if continued:  # what stands behind the last message is cut off
            last = body["messages"][-1]["content"].strip()
            text = text[: text.rindex(last)] + body["messages"][-1]["content"]
        return text

    def _send(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(template: str, kind: str = "vllm") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    seen: list[dict[str, Any]] = []
    handler = type("Served", (Handler,), {"template": template, "kind": kind, "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def request(prefix: str = "auto", system: str | None = None) -> Request:
    head = [] if system is None else [Message(role="system", content=system)]
    messages = (*head, Message(role="user", content="1 + 1?"))
    return Request("t", "p", 0, messages, SamplingParams(max_tokens=64), prefix)


def asked(url: str, made: Request, **options: Any) -> tuple[Any, Any]:
    """The opening that the engine tells, and a completion."""
    engine = open_engine("openai", "m", {"base_url": url, "patience": 5.0, **options})
    opening = engine.opening(made)
    (completion,) = engine.generate(iter([made]))
    assert completion.error is None
    return opening, completion


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "options", "prefix", "thinking", "added"),
    [
        ("DeepSeek-R1", (), "<think>\n", "open", True),
        ("DeepSeek-R1-Distill", (), "<think>\n", "open", False),
        ("DeepSeek-V3", (), "", "unopened", False),
        ("DeepSeek-V3.1", (), "", "closed", False),
        ("DeepSeek-V3.1", ("thinking=true",), "<think>", "open", False),
        ("Qwen3", (), "", "unopened", False),
        ("Qwen3", ("enable_thinking=false",), "", "closed", False),
        ("gpt-oss", (), "", "unopened", False),
    ],
)
def test_the_servers_own_template_decides(
    family: str, options: tuple[str, ...], prefix: str, thinking: str, added: bool
) -> None:
    with serving(BY_NAME[family].template) as (url, seen):
        opening, completion = asked(url, request(), chat_template_arg=options)
    assert (opening.prefix, opening.thinking, opening.added) == (prefix, thinking, added)
    assert completion.prefix == prefix
    assert completion.text.endswith(prefix), "what the server made of the request ends so"
    assert (seen[-1]["messages"][-1]["role"] == "assistant") == added


@pytest.mark.parametrize("family", ["Qwen3", "GLM-4.5 and 4.6", "DeepSeek-V3.1"])
def test_a_prefix_behind_closed_thinking_is_refused(family: str) -> None:
    template = BY_NAME[family].template.replace("{{ (m.content.split('</think>') | last) }}", WITH_EMPTY_THINKING)
    variables = ("thinking=true",) if family == "DeepSeek-V3.1" else ()
    with serving(template) as (url, _):
        engine = open_engine("openai", "m", {"base_url": url, "chat_template_arg": variables})
        if family == "DeepSeek-V3.1":  # opened by the template: no second opening is sent
            opening = engine.opening(request("<think>\n"))
            assert opening is not None
            assert not opening.added
            return
        with pytest.raises(EvalkitError, match=r"cannot be had from this server: it puts closed thinking before it"):
            engine.opening(request("<think>\n"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "silent"])
@pytest.mark.parametrize(("family", "dated"), [("gpt-oss", True), ("Llama 3.2", True), ("Qwen3", False)])
def test_a_server_that_writes_todays_date_is_told(
    kind: str, family: str, dated: bool, tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the server shows nothing, the checkpoint's own template says whether there is a date."""
    shutil.copytree(tiny_checkpoint, tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").write_text(BY_NAME[family].template)
    with serving(BY_NAME[family].template, kind) as (url, _):
        engine = open_engine("openai", str(tmp_path / "m"), {"base_url": url, "served_model": "m", "patience": 5.0})
        engine.opening(request())
        today = {"date_in_prompts": date.today().isoformat()} if dated else {}
        assert {k: v for k, v in engine.environment().items() if k == "date_in_prompts"} == today
    assert ("writes today's date into every prompt" in caplog.text) == dated


def test_llama_cpp_shows_its_prompt_elsewhere() -> None:
    with serving(BY_NAME["DeepSeek-R1-Distill"].template, "llama.cpp") as (url, _):
        opening, completion = asked(url, request())
    assert (opening.prefix, opening.thinking) == ("<think>\n", "open")
    assert completion.prefix == "<think>\n"


def test_a_server_that_shows_nothing_gets_no_prefix_of_its_own_accord() -> None:
    with serving(BY_NAME["DeepSeek-R1"].template, "silent") as (url, seen):
        opening, completion = asked(url, request())
        assert (opening.prefix, opening.thinking, opening.added) == ("", "unknown", False)
        assert completion.prefix == ""
        assert "continue_final_message" not in seen[-1]
        engine = open_engine("openai", "m", {"base_url": url})
        with pytest.raises(EvalkitError, match="it cannot be told how to begin a response"):
            engine.opening(request("<think>\n"))


def test_no_system_prompt_is_an_empty_one_where_the_template_has_its_own() -> None:
    with serving(BY_NAME["Qwen2.5"].template) as (url, seen):
        asked(url, request(system=""))
        assert seen[-1]["messages"][0] == {"role": "system", "content": ""}
    with serving(BY_NAME["Qwen3"].template) as (url, seen):
        asked(url, request(system=""))
        assert [m["role"] for m in seen[-1]["messages"]] == ["user"]


def test_variables_and_effort_are_sent_and_recorded() -> None:
    options = {"chat_template_arg": ("enable_thinking=false",), "reasoning_effort": "high"}
    with serving(BY_NAME["Qwen3"].template) as (url, seen):
        asked(url, request(), **options)
        assert seen[-1]["chat_template_kwargs"] == {"enable_thinking": False}
        assert seen[-1]["reasoning_effort"] == "high"
        identity = open_engine("openai", "m", {"base_url": url, **options}).identity()
    assert identity["chat_template_args"] == {"enable_thinking": False, "reasoning_effort": "high"}
    with pytest.raises(EvalkitError, match="the server applies its own chat template"):
        open_engine("openai", "m", {"base_url": url, "chat_template": "x.jinja"})
