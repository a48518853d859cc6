"""What is decided before vLLM starts, and what is said where it does not."""

import itertools
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_schedule import load_benchmark

from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.gpus import GPU
from evalkit.engines.options import VLLMOptions
from evalkit.engines.registry import make_options
from evalkit.engines.vllm.engine import VLLMEngine, _replica_count, cache_tokens
from evalkit.engines.vllm.kv_budget import Flight, KVBudget, peak
from evalkit.engines.vllm.placement import (
    cache_bytes_per_token,
    choose_tensor_parallel,
    loaded_bytes,
    real_dtype,
)
from evalkit.engines.vllm.start import advice_for, keeping_stderr, reason_of_failure
from evalkit.errors import EvalkitError

H100 = GPU("0", "NVIDIA H100 80GB HBM3", "580.159.04", 81559 << 20, 81000 << 20)
L4 = GPU("0", "NVIDIA L4", "580.159.04", 23034 << 20, 22500 << 20)
MODELS = {  # bytes of weights, of keys and values a token; attention heads
    "1.5B": (3.6e9, 28672, 12),
    "7B": (15.2e9, 57344, 28),
    "14B": (29.5e9, 196608, 40),
    "32B": (65.5e9, 262144, 40),
    "70B": (141e9, 327680, 64),
}


@pytest.mark.parametrize(
    ("model", "gpu", "count", "expected"),
    [
        ("1.5B", H100, 8, 1),
        ("7B", H100, 8, 1),
        ("14B", H100, 8, 1),
        ("32B", H100, 8, 2),
        ("70B", H100, 8, 4),
        ("70B", H100, 2, 2),
        ("32B", H100, 1, 1),
        ("7B", L4, 4, 2),
        ("1.5B", L4, 4, 1),
    ],
)
def test_as_few_gpus_share_a_replica_as_hold_it(model: str, gpu: GPU, count: int, expected: int) -> None:
    weights, per_token, heads = MODELS[model]
    assert choose_tensor_parallel(int(weights), per_token, 131072, heads, [gpu] * count, 0.9) == expected


def test_weights_that_fit_nowhere_are_told_before_anything_starts() -> None:
    with pytest.raises(EvalkitError, match="The weights take 141 GB, and 1 of the 1 GPUs hold 73 GB"):
        choose_tensor_parallel(int(141e9), 327680, 131072, 64, [H100], 0.9)
    assert choose_tensor_parallel(None, 327680, 131072, 64, [H100] * 8, 0.9) == 1
    assert choose_tensor_parallel(int(141e9), 327680, 131072, 64, [replace(H100, memory=None)] * 8, 0.9) == 1


def test_the_cache_is_fullest_just_before_one_ends() -> None:
    generator = random.Random(3)
    for _ in range(50):
        rows = [(generator.randint(1, 50), generator.randint(0, 60)) for _ in range(generator.randint(1, 12))]
        most = max(sum(now + t for now, left in rows if left >= t) for t in range(61))
        assert peak(np.array([now for now, _ in rows]), np.array([left for _, left in rows])) == most


def test_as_many_run_as_will_fit_when_they_have_grown() -> None:
    budget = KVBudget(100_000, 1024)
    young = [Flight(100, 0, 10_000, 32768)] * 3
    old = [Flight(100, 9_000, 10_000, 32768)] * 3
    assert budget.rows([]) == 1
    assert budget.rows(young) == 10
    assert budget.rows(old) == 3 + 9, "the old ones have ended when nine new ones have grown"
    assert budget.rows([Flight(100, 0, 20, 64)]) == 916
    assert budget.rows([Flight(100, 0, 20, 64)] * 1100) == 1024
    assert KVBudget(None, 256).rows(young) == 256
    assert budget.rows([Flight(100, 0, None, 32768)]) == KVBudget(100_000, 1024).rows([Flight(100, 0, 8192, 32768)])


@pytest.mark.slow
def test_few_tokens_are_computed_twice() -> None:
    """vLLM's scheduler, simulated: the benchmark's smallest task in a cache for some thirty of its completions."""
    scheduling = load_benchmark("scheduling")
    lengths = scheduling.world(5, 0.8, 0.45, ["codeforces"])
    cache = 300_000
    before = scheduling.with_cache(lengths, cache, None)
    ours = scheduling.with_cache(lengths, cache, KVBudget(cache, scheduling.ROWS))
    assert before.per_useful > 1.4
    assert ours.per_useful < 1.15
    assert ours.steps < 1.5 * before.steps


def test_the_reason_of_a_failed_start_is_in_what_its_processes_wrote(capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys\n"
        "sys.stderr.write('(EngineCore pid=7) ERROR 11-26 core.py:1] EngineCore failed to start.\\n')\n"
        "sys.stderr.write('(EngineCore pid=7) ERROR 11-26 core.py:1] Traceback (most recent call last):\\n')\n"
        "sys.stderr.write('(EngineCore pid=7) ERROR 11-26 core.py:1] torch.OutOfMemoryError: CUDA out of memory.\\n')\n"
        "sys.stderr.write('(EngineCore pid=7) RuntimeError: Engine core initialization failed. See root cause.\\n')\n"
    )
    with keeping_stderr() as written:
        subprocess.run([sys.executable, "-c", code], check=True)
        for _ in range(100):
            if len(written.lines) == 4:
                break
            subprocess.run(["sleep", "0.05"], check=True)
    vague = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
    reason = reason_of_failure(vague, written)
    assert reason == "OutOfMemoryError: CUDA out of memory."
    assert "--tensor-parallel" in advice_for(reason, {"tensor_parallel": 1})
    assert "it needs a GPU" in advice_for("Device string must not be empty", {}), "vLLM's CUDA build without one"
    assert "Traceback" in capfd.readouterr().err, "what they wrote is still to be seen"
    assert reason_of_failure(ValueError("\n  the context is too long\nmore"), written) == "the context is too long"
    checked = ValueError("1 validation error for VllmConfig\n  Value error, no such quantization [type=value_error]")
    assert reason_of_failure(checked, written) == "no such quantization"
    for error, lines in itertools.product((RuntimeError(), AssertionError("")), (type(written)(), written)):
        assert reason_of_failure(error, lines)


def test_other_names_are_vllm_s_own_arguments() -> None:
    options = make_options(VLLMEngine, {"kv_cache_dtype": "fp8", "batch_size": "8"})
    assert options == VLLMOptions(batch_size=8, engine_arguments={"kv_cache_dtype": "fp8"})
    with pytest.raises(EvalkitError, match="The vllm engine has no option 'base_url'"):
        make_options(VLLMEngine, {"base_url": "http://localhost"})


@pytest.mark.parametrize(
    ("asked", "quantization", "share"),
    [("auto", None, 0.5), ("float32", None, 1.0), ("bfloat16", None, 0.5), ("auto", "fp8", 0.25), ("auto", "awq", 0.5)],
)
def test_what_the_weights_take_once_they_are_loaded(
    asked: str, quantization: str | None, share: float, tiny_checkpoint: Path
) -> None:
    """The demo's checkpoint is stored in float32, which vLLM halves."""
    checkpoint = Checkpoint(str(tiny_checkpoint))
    stored = (tiny_checkpoint / "model.safetensors").stat().st_size
    assert loaded_bytes(checkpoint, asked, quantization) == int(share * stored)
    assert real_dtype(checkpoint, asked) == ("bfloat16" if asked == "auto" else asked)
    assert cache_bytes_per_token(checkpoint.config) == 4 * 2 * 4 * 16  # two layers with four heads of 16 numbers


def test_half_precision_doubles_and_is_kept(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(tiny_checkpoint, folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"dtype": "float32"', '"dtype": "float16"'))
    half = Checkpoint(str(folder))
    stored = (folder / "model.safetensors").stat().st_size
    assert (loaded_bytes(half, "float32", None), loaded_bytes(half, "auto", None)) == (2 * stored, stored)
    assert (real_dtype(half, "auto"), real_dtype(half, "float32")) == ("float16", "float32")
    (folder / "model.safetensors").unlink()
    assert loaded_bytes(Checkpoint(str(folder)), "auto", None) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"num_attention_heads": 8, "num_hidden_layers": 3, "hidden_size": 256}, 4 * 3 * 8 * 32),
        ({"num_attention_heads": 8, "num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 64}, 4 * 3 * 2 * 64),
        (
            {"num_attention_heads": 8, "num_hidden_layers": 3, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
            2 * 3 * (512 + 64),
        ),
        ({"num_hidden_layers": 3}, 0),
    ],
)
def test_keys_and_values_of_a_token(fields: dict[str, int], expected: int) -> None:
    config = SimpleNamespace(**fields)
    config.get_text_config = lambda: config
    assert cache_bytes_per_token(config) == expected


def test_the_size_of_the_cache_is_what_vllm_tells_of_it() -> None:
    def tokens(**cache: int | None) -> int | None:
        return cache_tokens(SimpleNamespace(cache_config=SimpleNamespace(**cache)))

    assert tokens(kv_cache_size_tokens=1000, num_gpu_blocks=3, block_size=16) == 1000
    assert tokens(num_gpu_blocks=3, block_size=16) == 48
    assert tokens(num_gpu_blocks=None, block_size=16) is None


def test_what_changes_a_completion_is_in_the_identity(tiny_checkpoint: Path, tmp_path: Path) -> None:
    plain = VLLMEngine(str(tiny_checkpoint), VLLMOptions(device="cpu"))
    for options in (
        VLLMOptions(device="cpu", sample_seeds=False),
        VLLMOptions(device="cpu", stop_repetition=True),
        VLLMOptions(device="cpu", max_model_len=512),
        VLLMOptions(device="cpu", dtype="float32"),
        VLLMOptions(device="cpu", quantization="fp8"),
        VLLMOptions(device="cpu", tensor_parallel=2),
    ):
        assert VLLMEngine(str(tiny_checkpoint), options).identity() != plain.identity()
    for options in (VLLMOptions(device="cpu", batch_size=3), VLLMOptions(device="cpu", data_parallel=2)):
        assert VLLMEngine(str(tiny_checkpoint), options).identity() == plain.identity()
    assert plain.files() == plain.checkpoint.files()
    assert VLLMEngine(str(tiny_checkpoint), VLLMOptions(device="cpu", tokenizer=str(tiny_checkpoint))).files() is None


@pytest.mark.parametrize(("wanted", "group", "gpus", "count"), [(None, 2, 5, 2), (None, 1, 0, 1), (3, 1, 0, 3)])
def test_replicas_fill_the_gpus(wanted: int | None, group: int, gpus: int, count: int) -> None:
    assert _replica_count(wanted, group, gpus) == count


@pytest.mark.parametrize(("wanted", "group", "gpus"), [(None, 4, 2), (3, 2, 5)])
def test_more_replicas_than_gpus_are_refused(wanted: int | None, group: int, gpus: int) -> None:
    with pytest.raises(EvalkitError, match=f"{gpus} GPUs"):
        _replica_count(wanted, group, gpus)
