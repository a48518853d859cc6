"""What is decided before vLLM starts, and what is said where it does not."""

import itertools
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from test_schedule import load_benchmark

from evalkit.engines.gpus import GPU
from evalkit.engines.options import VLLMOptions
from evalkit.engines.registry import make_options
from evalkit.engines.vllm.engine import VLLMEngine
from evalkit.engines.vllm.kv_budget import Flight, KVBudget, peak
from evalkit.engines.vllm.placement import choose_tensor_parallel
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
    assert budget.rows([Flight(100, 0, 20, 64)] * 1100) == 1100
    assert KVBudget(None, 256).rows(young) == 256
    assert budget.rows([Flight(100, 0, None, 32768)]) == KVBudget(100_000, 1024).rows([Flight(100, 0, 8192, 32768)])


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
