"""The vllm engine without vLLM: driven against a stand-in of vLLM's interface, whose core is a process that may die.

What vLLM itself makes of the same calls is in test_backend_vllm.py and test_vllm_versions.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_gpus import fake_nvidia_smi
from helpers import EVALKIT, REPOSITORY, evalkit, records, told
from stand_in_vllm import CORES, LIVES, Life, install
from test_replicas import PATIENCE, is_running, wait_until_gone

from evalkit.engines import open_engine
from evalkit.engines.repetition import CHECK_EVERY, loop_period
from evalkit.engines.vllm import engine as engine_module
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SamplingParams

CHECKPOINT = REPOSITORY / "examples" / "tiny_distill" / "student-distilled"


class StandIn:
    """vLLM's stand-in as this process and those that it starts find it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.cores_path = folder / "cores"
        self.environment = {**install(folder / "package"), CORES: str(self.cores_path), "OMP_NUM_THREADS": "1"}
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(str(folder / "package"))

    def lives(self, *lives: Life) -> None:
        """What the cores do that start from now on."""
        self.cores_path.unlink(missing_ok=True)
        self._patch.setenv(LIVES, json.dumps([asdict(life) for life in lives]))

    def cores(self) -> list[int]:
        """The processes that have started, in their order."""
        return [int(line) for line in self.cores_path.read_text().split()] if self.cores_path.exists() else []


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(engine_module, "_SECONDS_TO_BE_STOPPED", 0.1)
    present = {name for name in sys.modules if name.partition(".")[0] == "vllm"}
    assert not present, "these tests stand in for a vLLM that is not there"
    yield StandIn(tmp_path / "vllm", monkeypatch)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def asked(count: int, **sampling: Any) -> list[Request]:
    params = SamplingParams(**{"temperature": 1.0, "max_tokens": 64, **sampling})
    message: Any = [({"role": "user", "content": f"{i} + {3 * i}"},) for i in range(count)]
    return [Request("t", f"p{i}", i % 2, message[i], params) for i in range(count)]


def opened(**options: Any) -> Any:
    return open_engine("vllm", str(CHECKPOINT), {"device": "cpu", "batch_size": 8, **options})


def made(engine: Any, requests: list[Request]) -> list[Completion]:
    completions = list(engine.generate(iter(requests)))
    assert len({c.key for c in completions}) == len(completions)
    by_key = {c.key: c for c in completions}
    return [by_key[request.key] for request in requests]


def contents(completions: list[Completion]) -> list[tuple[Any, ...]]:
    return [(*c.key, c.prefix + c.text, c.finish_reason, c.prompt_tokens, c.completion_tokens) for c in completions]


def test_completions_and_their_ends(vllm: StandIn) -> None:
    engine = opened(max_model_len=2048)
    requests = asked(40, max_tokens=24)
    found = made(engine, requests)
    assert Counter(c.finish_reason for c in found).keys() == {"stop", "length"}
    renderer = engine.prompts.renderer
    for request, completion in zip(requests, found, strict=True):
        prompt = engine.render(request)
        assert (completion.prompt_tokens, completion.prefix) == (len(prompt.token_ids), prompt.prefix)
        assert completion.error is None
        assert completion.completion_tokens is not None
        assert (completion.completion_tokens == 24) >= (completion.finish_reason == "length")
        assert not any(end in completion.text for end in engine.endings.tokens.values())
        whole = renderer.tokenizer(completion.text, add_special_tokens=False)["input_ids"]
        assert (completion.text == "") == (whole == [])
    assert contents(made(engine, requests[::-1])) == contents(found)[::-1], "a seed gives the same, in any order"
    others = made(opened(sample_seeds=False), requests)
    assert contents(others) != contents(found)
    facts = engine.environment()
    assert (facts["kv_cache_tokens"], facts["max_num_seqs"], facts["dtype"]) == (65536, 8, "bfloat16")
    assert (facts["replicas"], facts["gpus"], facts["device"]) == (1, 0, "cpu")
    assert made(engine, []) == []
    wait_until_gone(*vllm.cores())


def test_a_stop_string_ends_the_text_before_it(vllm: StandIn) -> None:
    [whole] = made(opened(), asked(1, max_tokens=40))
    character = next(c for c in whole.text[3:] if c.isascii() and c.isalnum() and whole.text.index(c) >= 3)
    [cut] = made(opened(), asked(1, max_tokens=40, stop=(character, "never said")))
    assert cut.text == whole.text[: whole.text.index(character)]
    assert cut.finish_reason == "stop"


def test_what_is_refused_and_what_ends_oddly_are_errors(vllm: StandIn) -> None:
    long = Request("t", "long", 0, ({"role": "user", "content": "9 " * 500},), SamplingParams(max_tokens=8))
    requests = [*asked(4), long, *asked(7)[4:]]
    found = made(opened(max_model_len=128), requests)
    assert [c.finish_reason == "error" for c in found] == [False] * 4 + [True] + [False] * 3
    assert (found[4].error or "").startswith("The prompt has ")
    assert "\n" not in (found[4].error or "")
    assert all((c.prompt_tokens or 0) + (c.completion_tokens or 0) <= 128 for c in found)
    alone = made(opened(max_model_len=128), [long])
    assert [c.finish_reason for c in alone] == ["error"]
    vllm.lives(Life(odd="abort"))
    [odd] = made(opened(), asked(1))
    assert (odd.finish_reason, odd.error) == ("error", "vLLM ended with 'abort'.")


def test_a_loop_is_ended_at_a_look_and_nothing_else_is(vllm: StandIn) -> None:
    vllm.lives(Life(loops=True))
    requests = asked(24, max_tokens=3000)
    whole = made(opened(batch_size=24), requests)
    ended = made(opened(batch_size=24, stop_repetition=True), requests)
    looped = [c for c in ended if c.finish_reason == "repetition"]
    assert 4 < len(looped) < 20
    for before, after in zip(whole, ended, strict=True):
        if after.finish_reason == "repetition":
            assert before.finish_reason == "length"
            assert after.completion_tokens is not None
            assert 1024 < after.completion_tokens < 1024 + 2 * CHECK_EVERY
            assert after.completion_tokens % CHECK_EVERY == 0
            assert before.text.startswith(after.text)
        else:
            assert contents([before]) == contents([after])
    assert loop_period([65, 66, 67] * 400) == 3


@pytest.mark.slow
@pytest.mark.parametrize("deaths", [(0,), (5,), (19,)])
def test_a_core_that_is_killed_is_started_once_more(
    deaths: tuple[int, ...], vllm: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    requests = asked(30)
    undisturbed = contents(made(opened(), requests))
    vllm.lives(*(Life(die=after) for after in deaths), Life())
    assert contents(made(opened(), requests)) == undisturbed
    assert "vLLM's engine died (EngineDeadError" in caplog.text
    assert "it is started once more" in caplog.text
    assert len(vllm.cores()) == 2
    wait_until_gone(*vllm.cores())


def test_a_core_that_dies_twice_ends_the_run_and_keeps_what_was_done(vllm: StandIn) -> None:
    vllm.lives(Life(die=5, pause=0.01), Life(die=6, pause=0.01), Life())
    found: list[Completion] = []
    with pytest.raises(RunIncompleteError, match="vLLM's engine died twice: EngineDeadError") as failure:
        found.extend(opened().generate(iter(asked(30))))
    assert failure.value.exit_code == 1
    assert "give the same command again" in failure.value.hint
    assert len({c.key for c in found}) == len(found) >= 2
    wait_until_gone(*vllm.cores())


@pytest.mark.slow
def test_a_core_that_does_not_start_again_ends_the_run_and_keeps_what_was_done(vllm: StandIn) -> None:
    vllm.lives(Life(die=5, pause=0.01), Life(fault="torch.OutOfMemoryError: CUDA out of memory."))
    found: list[Completion] = []
    said = r"died \(EngineDeadError.*\) and did not start again: .*out of memory"
    with pytest.raises(RunIncompleteError, match=said) as why:
        found.extend(opened().generate(iter(asked(30))))
    assert why.value.exit_code == 1
    assert "give the same command again" in why.value.hint
    assert len({c.key for c in found}) == len(found) >= 2


def test_requests_are_drawn_when_there_is_room_for_them(vllm: StandIn) -> None:
    drawn = 0

    def source() -> Iterator[Request]:
        nonlocal drawn
        for request in asked(4000, max_tokens=1):
            drawn += 1
            yield request

    completions = opened(batch_size=256).generate(source())
    next(completions)
    completions.close()
    assert drawn < 2000, "256 run, and 32 wait"


def test_closing_ends_the_core(vllm: StandIn) -> None:
    vllm.lives(Life(pause=0.01))
    completions = opened().generate(iter(asked(200)))
    next(completions)
    assert all(map(is_running, vllm.cores()))
    completions.close()
    wait_until_gone(*vllm.cores())
    assert len(vllm.cores()) == 1, "it was not started again"


def test_why_it_does_not_start(vllm: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    fault = "(EngineCore pid=7) ERROR 11-26 core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried 20 GiB."
    vllm.lives(Life(fault=fault))
    with pytest.raises(EvalkitError, match=r"OutOfMemoryError: CUDA out of memory\. Tried 20 GiB\.") as failure:
        made(opened(), asked(2))
    assert failure.value.message.startswith(f"vLLM could not load {CHECKPOINT}: ")
    assert "--max-model-len" in failure.value.hint
    assert "core.py:1" in capfd.readouterr().err
    with pytest.raises(EvalkitError, match="no such quantization"):
        made(opened(quantization="none-such"), asked(2))


def test_its_own_arguments(vllm: StandIn) -> None:
    given = {"kv_cache_dtype": "fp8", "pipeline_parallel_size": "2", "enable_expert_parallel": "true"}
    given["speculative_config"] = '{"method": "ngram"}'
    engine = opened(**given)
    passed = engine.engine_arguments()
    assert (passed["kv_cache_dtype"], passed["pipeline_parallel_size"]) == ("fp8", 2)
    assert (passed["enable_expert_parallel"], passed["speculative_config"]) == (True, {"method": "ngram"})
    assert engine.gpus_per_replica == 2
    assert engine.identity()["engine_arguments"] == given
    assert opened(enable_expert_parallel="false").engine_arguments()["enable_expert_parallel"] is False
    assert opened(cpu_offload_gb=4).engine_arguments()["cpu_offload_gb"] == 4
    for wrong, sentence in (
        ({"kv_cache_dtpe": "fp8"}, "Did you mean kv_cache_dtype"),
        ({"pipeline_parallel_size": "two"}, "vLLM cannot read pipeline_parallel_size=two: .*invalid int value"),
        ({"speculative_config": "{"}, "vLLM cannot read speculative_config={"),
        ({"tensor_parallel_size": "2"}, "sets tensor_parallel_size itself"),
    ):
        with pytest.raises(EvalkitError, match=sentence):
            opened(**wrong)


def test_an_adapter_is_given_with_every_request(vllm: StandIn, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 24, "lora_alpha": 48, "base_model_name_or_path": str(CHECKPOINT)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    engine = opened(lora=str(tmp_path))
    arguments = engine.engine_arguments()
    assert (arguments["enable_lora"], arguments["max_lora_rank"]) == (True, 32)
    assert len(made(engine, asked(5))) == 5
    assert engine.identity() != opened().identity()
    assert tmp_path / "adapter_config.json" in engine.files()


def test_the_length_is_that_of_the_longest_request(vllm: StandIn) -> None:
    engine = opened()
    assert "max_model_len" not in engine.engine_arguments()
    engine.reserve(700)
    assert engine.engine_arguments()["max_model_len"] == 700
    engine.reserve(10**6)
    assert engine.engine_arguments()["max_model_len"] == 40960
    assert opened(max_model_len=300).engine_arguments()["max_model_len"] == 300
    with pytest.raises(EvalkitError, match="max-model-len is 50000, but the checkpoint's context is 40960"):
        opened(max_model_len=50000)


@pytest.mark.slow
def test_replicas_give_what_one_process_gives_also_where_one_dies(
    vllm: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    requests = asked(60)
    alone = contents(made(opened(), requests))
    monkeypatch.setenv("PATH", fake_nvidia_smi(tmp_path / "bin", 4) + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    vllm.lives(Life(die=4), Life(pause=0.01))
    engine = opened(device=None, tensor_parallel=2)
    assert (engine.replicas, engine.gpus) == (2, 4)
    assert contents(made(engine, requests)) == alone
    assert "has ended early" in caplog.text
    assert engine.environment()["max_num_seqs"] == 8
    assert len(vllm.cores()) == 2
    wait_until_gone(*vllm.cores())


def test_a_script_is_one_that_python_has_started_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for path, spec, expected in (
        ("/home/me/script.py", None, True),
        ("/usr/bin/evalkit", None, False),
        ("/home/me/package/__main__.py", "package", False),
        (None, None, False),  # a notebook
    ):
        main: Any = ModuleType("__main__")
        main.__file__, main.__spec__ = path, spec
        monkeypatch.setitem(sys.modules, "__main__", main)
        assert engine_module._main_would_run_again() is expected


@pytest.mark.slow
def test_a_script_without_a_guard_is_not_run_again(vllm: StandIn, tmp_path: Path) -> None:
    """vLLM's processes would run it once more up to its `if __name__`, which it has not."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from evalkit.engines import open_engine\n"
        "from evalkit.types import Request, SamplingParams\n"
        "engine = open_engine('vllm', sys.argv[1], {'device': 'cpu'})\n"
        "message = {'role': 'user', 'content': '1 + 1'}\n"
        "request = Request('t', 'p', 0, (message,), SamplingParams(max_tokens=8))\n"
        "print(engine_module._main_would_run_again(), [c.finish_reason for c in engine.generate(iter([request]))])\n"
    )
    script.write_text("from evalkit.engines.vllm import engine as engine_module\n" + script.read_text())
    done = subprocess.run([sys.executable, script, CHECKPOINT], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("True ['"), done.stderr[-2000:]
    assert not any(map(is_running, vllm.cores()))


def content(run: Path) -> list[tuple[object, ...]]:
    lines = records(run / "arithmetic" / "completions.jsonl")
    return sorted((r["problem_id"], r["sample_index"], r["text"], r["finish_reason"]) for r in lines)


@pytest.mark.slow
def test_a_killed_run_leaves_no_core_and_resumes(vllm: StandIn, tmp_path: Path) -> None:
    vllm.lives(Life(pause=0.01))
    run = tmp_path / "run"
    arguments = ["run", CHECKPOINT, "-t", "arithmetic", "--engine", "vllm", "--device", "cpu", "--max-tokens", 64]
    arguments += ["--batch-size", 8, "-n", 2, "--limit", 60, "--data-parallel", 2, "--quiet"]
    command = [str(EVALKIT), *map(str, arguments), "-o", str(run)]
    with (tmp_path / "said").open("w") as said:
        driver = subprocess.Popen(command, cwd=REPOSITORY, stdout=said, stderr=said)
    path, until = run / "arithmetic" / "completions.jsonl", time.monotonic() + 2 * PATIENCE
    while not path.exists() or path.read_bytes().count(b"\n") < 10:
        assert driver.poll() is None, (tmp_path / "said").read_text()
        assert time.monotonic() < until
        time.sleep(0.02)
    cores = vllm.cores()
    assert cores
    assert any(map(is_running, cores))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    wait_until_gone(*cores)
    assert 10 <= path.read_bytes().count(b"\n") < 120
    vllm.lives(Life())
    evalkit(*arguments, "-o", run)
    evalkit(*arguments[:-3], "--quiet", "-o", tmp_path / "undisturbed")  # in this one process
    assert len(content(run)) == 120
    assert content(run) == content(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_run_that_cannot_start_says_why(vllm: StandIn, tmp_path: Path) -> None:
    arguments = ["run", CHECKPOINT, "-t", "arithmetic", "--engine", "vllm", "--device", "cpu", "--limit", 2]
    vllm.lives(Life(fault="ValueError: No available memory for the cache blocks."))
    error = told(evalkit(*arguments, "-o", tmp_path / "run", code=2))
    assert error.endswith("ValueError: No available memory for the cache blocks.")
