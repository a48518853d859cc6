"""What only vLLM has: adapters, its own arguments, an engine that dies, a server that takes a begun response.

Needs a Python that has vLLM: `make test-vllm`.
"""

import dataclasses
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from engine_checkpoint import make_engine_checkpoint
from helpers import evalkit, told
from servers import VLLM_CPU, vllm_serve
from template_families import FAMILIES

from evalkit.engines import open_engine
from evalkit.errors import EvalkitError
from evalkit.types import Completion, Request, SamplingParams

pytestmark = pytest.mark.vllm
RANK, ALPHA = 24, 48  # no rank of vLLM's own: room for 32 has to be asked for


def requests(count: int, prefix: str = "", **sampling: Any) -> list[Request]:
    params = SamplingParams(**{"temperature": 0.0, "max_tokens": 24, **sampling})
    return [
        Request("t", f"p{i}", 0, ({"role": "user", "content": f"{i} + {3 * i}"},), params, prefix) for i in range(count)
    ]


def made(backend: Any, asked: list[Request]) -> list[Completion]:
    by_key = {c.key: c for c in backend.generate(iter(asked))}
    return [by_key[request.key] for request in asked]


def contents(completions: list[Completion]) -> list[tuple[Any, ...]]:
    return [(c.prefix + c.text, c.finish_reason, c.prompt_tokens, c.completion_tokens, c.error) for c in completions]


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VLLM_CPU.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its chat template does not open the thinking, so that a request may begin the response."""
    folder = make_engine_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<think>\\n", ""))
    return folder


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_serve(checkpoint, tmp_path_factory.mktemp("log") / "serve.log") as (url, _):
        yield url


def write_adapter(checkpoint: Path, adapter: Path, merged: Path) -> None:
    """A random adapter as peft writes it, and the checkpoint with the same change in its weights."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(1)
    weights = load_file(checkpoint / "model.safetensors")
    change = {}
    for name in [n for n in weights if n.endswith(("q_proj.weight", "v_proj.weight", "down_proj.weight"))]:
        rows, columns = weights[name].shape
        down = torch.randn(RANK, columns, generator=generator) * 0.1
        up = torch.randn(rows, RANK, generator=generator) * 0.1
        weights[name] = weights[name] + ALPHA / RANK * up @ down
        module = "base_model.model." + name.removesuffix(".weight")
        change[f"{module}.lora_A.weight"], change[f"{module}.lora_B.weight"] = down, up
    shutil.copytree(checkpoint, merged)
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})
    adapter.mkdir()
    save_file(change, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "task_type": "CAUSAL_LM"}
    config |= {"base_model_name_or_path": str(checkpoint), "target_modules": ["q_proj", "v_proj", "down_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))


def test_an_adapter_gives_what_the_merged_checkpoint_gives(checkpoint: Path, tmp_path: Path) -> None:
    write_adapter(checkpoint, tmp_path / "adapter", tmp_path / "merged")
    options: dict[str, Any] = {"dtype": "float32", "device": "cpu"}
    plain = {**options, "max_model_len": 2048}
    merged = made(open_engine("transformers", str(tmp_path / "merged"), options), requests(32))
    base = made(open_engine("transformers", str(checkpoint), options), requests(32))
    adapted = open_engine(
        "vllm", str(checkpoint), {**options, "max_model_len": 2048, "lora": str(tmp_path / "adapter")}
    )
    assert contents(made(adapted, requests(32))) == contents(merged)
    assert contents(base) != contents(merged)
    assert adapted.identity() != open_engine("vllm", str(checkpoint), plain).identity()


def test_a_folder_that_is_no_adapter_is_told_before_anything_is_loaded(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="no LoRA adapter"):
        open_engine("vllm", str(checkpoint), {"lora": str(tmp_path)})
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "rank_pattern": {"q_proj": 1024}}')
    with pytest.raises(EvalkitError, match="rank 1024"):
        open_engine("vllm", str(checkpoint), {"lora": str(tmp_path)})


def test_every_argument_is_one_of_vllm_and_of_its_type(checkpoint: Path, tmp_path: Path) -> None:
    from pydantic import TypeAdapter
    from vllm.engine.arg_utils import EngineArgs

    (tmp_path / "adapter_config.json").write_text('{"r": 24}')
    options = {
        "revision": "main",
        "dtype": "bfloat16",
        "device": "cpu",
        "batch_size": 32,
        "max_model_len": 4096,
        "trust_remote_code": True,
        "tensor_parallel": 2,
        "gpu_memory_utilization": 0.8,
        "quantization": "fp8",
        "lora": str(tmp_path),
    }
    passed = open_engine("vllm", str(checkpoint), options).engine_arguments()  # type: ignore[attr-defined]
    types: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(EngineArgs)}
    for name, value in passed.items():
        TypeAdapter(types[name], config={"arbitrary_types_allowed": True}).validate_python(value, strict=True)
    arguments = EngineArgs(**passed)
    assert arguments.tensor_parallel_size == 2
    assert arguments.quantization == "fp8"
    assert (arguments.enable_lora, arguments.max_lora_rank) == (True, 32)
    assert (arguments.max_num_seqs, arguments.max_model_len, arguments.gpu_memory_utilization) == (32, 4096, 0.8)
    assert (arguments.enable_prefix_caching, arguments.trust_remote_code) == (True, True)
    assert arguments.revision is None, "a folder has no commit"


def test_vllm_s_own_arguments_are_read_by_its_parser(checkpoint: Path) -> None:
    given = {"kv_cache_dtype": "fp8", "pipeline_parallel_size": "2", "enable_expert_parallel": "true"}
    given["speculative_config"] = '{"method": "ngram", "num_speculative_tokens": 3}'
    engine: Any = open_engine("vllm", str(checkpoint), {"device": "cpu", **given})
    passed = engine.engine_arguments()
    assert (passed["kv_cache_dtype"], passed["pipeline_parallel_size"]) == ("fp8", 2)
    assert passed["enable_expert_parallel"] is True
    assert passed["speculative_config"] == {"method": "ngram", "num_speculative_tokens": 3}
    assert engine.identity()["engine_arguments"] == given
    for wrong, sentence in (
        ({"kv_cache_dtpe": "fp8"}, "Did you mean kv_cache_dtype"),
        ({"pipeline_parallel_size": "two"}, "vLLM cannot read pipeline_parallel_size=two"),
        ({"tensor_parallel_size": "2"}, "sets tensor_parallel_size itself"),
    ):
        with pytest.raises(EvalkitError, match=sentence):
            open_engine("vllm", str(checkpoint), wrong)


def test_a_request_that_vllm_refuses_is_an_error_and_the_others_go_on(checkpoint: Path) -> None:
    options = {"dtype": "float32", "device": "cpu", "max_model_len": 128, "batch_size": 8}
    long = Request("t", "long", 0, ({"role": "user", "content": "9 " * 500},), SamplingParams(max_tokens=8))
    completions = made(open_engine("vllm", str(checkpoint), options), [*requests(4), long, *requests(6)[4:]])
    assert [c.finish_reason == "error" for c in completions] == [False] * 4 + [True] + [False] * 2


def test_an_impossible_length_is_told_before_the_model_loads(checkpoint: Path, tmp_path: Path) -> None:
    command = ["run", checkpoint, "-t", "arithmetic", "--backend", "vllm", "-o", tmp_path / "run"]
    error = told(evalkit(*command, "--max-model-len", 70000, code=2))
    assert error == "max-model-len is 70000, but the checkpoint's context is 65536."
    assert "needs" in told(evalkit(*command, "--max-model-len", 8, "--max-tokens", 90, code=2))
    assert not (tmp_path / "run").exists()


def test_an_engine_that_is_killed_is_started_once_more(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    import psutil

    asked = requests(200, max_tokens=64, temperature=1.0)
    options = {"dtype": "float32", "device": "cpu", "max_model_len": 2048, "batch_size": 8}
    backend = open_engine("vllm", str(checkpoint), options)

    def run(kills: int) -> list[tuple[Any, ...]]:
        completions = []
        for completion in backend.generate(iter(asked)):
            completions.append(completion)
            if kills and len(completions) in (20, 120)[:kills]:
                living = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
                for child in living:
                    if "EngineCore" in "".join(child.cmdline()) or "spawn_main" in "".join(child.cmdline()):
                        os.kill(child.pid, signal.SIGKILL)
        assert len({c.key for c in completions}) == len(completions)
        return contents(sorted(completions, key=lambda c: c.key))

    undisturbed = run(kills=0)
    assert run(kills=1) == undisturbed
    assert "it is started once more" in caplog.text
    with pytest.raises(EvalkitError, match="died twice") as failure:
        run(kills=2)
    assert failure.value.exit_code == 1
    assert "give the same command again" in failure.value.hint


def test_a_request_at_which_the_engine_dies_is_not_lost(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.engine.exceptions import EngineDeadError
    from vllm.v1.engine.llm_engine import LLMEngine

    add, calls = LLMEngine.add_request, itertools.count(1)

    def add_or_die(*arguments: Any, **named: Any) -> Any:
        if next(calls) == 20:
            raise EngineDeadError
        return add(*arguments, **named)

    monkeypatch.setattr(LLMEngine, "add_request", add_or_die)
    options = {"dtype": "float32", "device": "cpu", "max_model_len": 2048, "batch_size": 8}
    asked = requests(40)
    completions = list(open_engine("vllm", str(checkpoint), options).generate(iter(asked)))
    assert sorted(c.key for c in completions) == sorted(request.key for request in asked)
    assert next(calls) > len(asked) + 2


def test_a_killed_run_leaves_no_engine_behind(checkpoint: Path, tmp_path: Path) -> None:
    import psutil

    command = [sys.executable, "-m", "evalkit", "run", checkpoint, "-t", "arithmetic", "--backend", "vllm"]
    command += ["--device", "cpu", "--dtype", "float32", "--max-tokens", 512, "-n", 50, "-o", tmp_path / "run"]
    with (tmp_path / "stderr").open("w") as stderr:
        run = psutil.Popen([*map(str, command)], stderr=stderr, stdout=stderr)
    completions = tmp_path / "run" / "arithmetic" / "completions.jsonl"
    while not (completions.exists() and completions.stat().st_size):
        assert run.poll() is None, (tmp_path / "stderr").read_text()
        time.sleep(0.2)
    started = run.children(recursive=True)
    assert any("EngineCore" in "".join(child.cmdline()) for child in started)
    run.kill()
    _, living = psutil.wait_procs(started, timeout=15)
    assert living == []


def test_the_chat_api_of_a_server_gives_the_same_as_its_completions_api(checkpoint: Path, server: str) -> None:
    def run(api: str, prefix: str) -> list[Completion]:
        options = {"base_url": [server], "api": api, "patience": 20}
        return made(open_engine("openai", str(checkpoint), options), requests(16, prefix))

    for prefix in ("", "<think>\nWell"):
        chat = contents(run("chat", prefix))
        assert chat == contents(run("completions", prefix))
        assert all(content[0].startswith(prefix) for content in chat)


TEMPLATES: dict[str, list[tuple[tuple[str, ...], str]]] = {  # arguments of the template, what it puts before a response
    "Qwen3": [((), ""), (("enable_thinking=false",), "")],
    "DeepSeek-V3.1": [(("thinking=true",), "<think>"), ((), "")],
    "gpt-oss": [(("reasoning_effort=high",), "")],
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_served_template_makes_the_prompt_that_it_makes_here(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """The family's chat format on vLLM's server: the same texts by chat, completions and the engine in process."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    [family] = [family for family in FAMILIES if family.name == name]
    (folder / "chat_template.jinja").write_text(family.template)
    begun = [replace(r, problem_id=f"{r.problem_id} begun") for r in requests(8, "<think>\n", max_tokens=12)]
    with vllm_serve(folder, tmp_path / "log") as (url, _):
        for arguments, opened in TEMPLATES[name]:
            asked = [*requests(8, "auto", max_tokens=12), *(begun if not arguments and name == "Qwen3" else [])]
            today = date.today().isoformat()  # which a server writes, where its template asks for a date
            options: dict[str, Any] = {"chat_template_arg": arguments, "template_date": today}
            in_process = {**options, "dtype": "float32", "device": "cpu", "max_model_len": 32768}
            own = made(open_engine("vllm", str(folder), in_process), asked)
            assert all(c.error is None for c in own)
            assert {c.prefix for c in own[:8]} == {opened}
            for api in ("completions", "chat"):
                served = {**options, "base_url": [url], "api": api, "patience": 20}
                completions = made(open_engine("openai", str(folder), served), asked)
                assert whole(completions) == whole(own), (api, arguments)
                assert [c.prompt_tokens for c in completions] == [c.prompt_tokens for c in own], (api, arguments)


def whole(completions: list[Completion]) -> list[str]:
    """The texts without a last character that is cut: vLLM's server leaves it out."""
    return [(c.prefix + c.text).rstrip("\ufffd") for c in completions]


def test_a_server_adds_nothing_of_its_checkpoints_own_sampling(checkpoint: Path, tmp_path: Path) -> None:
    """generation_config.json asks for a penalty and top_k; requests say that there is none."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    config = folder / "generation_config.json"
    own = {"repetition_penalty": 1.5, "top_k": 3, "top_p": 0.5, "temperature": 0.3, "do_sample": True}
    config.write_text(json.dumps(json.loads(config.read_text()) | own))
    asked = [*requests(8), *requests(16, temperature=1.0, top_p=0.9, seed=5, max_tokens=32)[8:]]
    options = {"dtype": "float32", "device": "cpu", "max_model_len": 32768}
    own_engine = made(open_engine("vllm", str(folder), options), asked)
    with vllm_serve(folder, tmp_path / "log") as (url, _):
        for api in ("completions", "chat"):
            served = {"base_url": [url], "api": api, "patience": 20}
            engine = open_engine("openai", str(folder), served)
            assert whole(made(engine, asked)) == whole(own_engine)
        bare = {**served, "server_preset": "claude"}  # which sends no neutral values
        others = whole(made(open_engine("openai", str(folder), bare), asked))
        assert sum(other != own for other, own in zip(others, whole(own_engine), strict=True)) > 12


def test_what_a_server_refuses_is_told(checkpoint: Path, server: str, tmp_path: Path) -> None:
    command = ["run", checkpoint, "-t", "arithmetic", "--backend", "openai", "--base-url", server]
    assert "the context of 32768 tokens leaves" in evalkit(*command, "--max-tokens", 40000, "--dry-run").stdout
    done = evalkit(*command, "--served-model", "other", "-o", tmp_path / "run", code=1)
    assert "does not list a model 'other'" in done.stderr
    assert "refuses the requests: 404" in told(done)
    assert not (tmp_path / "run").exists()
    options = {"base_url": [server], "api": "completions", "patience": 20}
    long = Request("t", "long", 0, ({"role": "user", "content": "9 " * 70000},), SamplingParams(max_tokens=8))
    completions = made(open_engine("openai", str(checkpoint), options), [*requests(4), long])
    assert [c.finish_reason == "error" for c in completions] == [False] * 4 + [True]
    assert "32768" in (completions[-1].error or "")
