"""GPUs are found without CUDA, and one that torch cannot use is no reason to compute on the processor unsaid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gpus import H100, fake_nvidia_smi
from helpers import evalkit, told

from evalkit.engines import open_engine
from evalkit.engines.gpus import describe, visible_gpus
from evalkit.errors import EvalkitError


def with_gpus(monkeypatch: pytest.MonkeyPatch, folder: Path, count: int) -> None:
    monkeypatch.setenv("PATH", fake_nvidia_smi(folder / "bin", count) + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("GPU-0001", ["GPU-0001"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
        ("1,7,2", ["1"]),
        ("MIG-0a1b", ["MIG-0a1b"]),
    ],
)
def test_cuda_visible_devices_is_kept(
    named: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, tmp_path, 3)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [gpu.name for gpu in visible_gpus()] == expected


def test_what_nvidia_smi_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, tmp_path, 2)
    first, _ = gpus = visible_gpus()
    assert (first.model, first.driver, first.memory) == (H100[0], H100[1], H100[2] << 20)
    assert describe(gpus) == f"2 x {H100[0]}, driver {H100[1]}"


def test_the_driver_s_files_tell_of_gpus_where_nvidia_smi_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(tmp_path) == []
    folder = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA L4\nGPU UUID:  GPU-77\n")
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Module  535.104.05  Sat\n")
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    [gpu] = visible_gpus(tmp_path)
    assert (gpu.name, gpu.model, gpu.driver, gpu.memory) == ("0", "NVIDIA L4", "535.104.05", None)


@pytest.mark.slow
def test_choosing_the_engine_does_not_ask_torch_for_gpus(tmp_path: Path) -> None:
    """vLLM forks where CUDA is not initialised, and a fork after a mere look at the devices cannot use them."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise ImportError('not before it is used')")
    code = (
        "import sys, torch\n"
        "asked = []\n"
        "torch.cuda.is_available = torch.cuda.device_count = lambda: asked.append(1) or 4\n"
        "from evalkit.engines.registry import default_engine, open_engine\n"
        "print(default_engine())\n"
        "engine = open_engine('vllm', sys.argv[1])\n"
        "engine.identity(), engine.environment()\n"
        "print(engine.gpus, engine.replicas, asked)\n"
    )
    checkpoint = Path(__file__).parent.parent / "examples" / "tiny_distill" / "student-distilled"

    def said(gpus: int) -> list[str]:
        path = fake_nvidia_smi(tmp_path / f"bin{gpus}", gpus)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": path + os.pathsep + os.environ["PATH"]}
        command = [sys.executable, "-c", code, str(checkpoint)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert said(0)[0] == "transformers"
    assert said(4)[:2] == ["vllm", "4 4 []"]


@pytest.mark.slow
def test_a_gpu_that_torch_cannot_use_is_an_error(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's CPU build stands for a driver that is too old: is_available() is False in both."""
    with_gpus(monkeypatch, tmp_path, 1)
    with pytest.raises(EvalkitError, match=f"{H100[0]}, driver {H100[1]}") as failure:
        open_engine("transformers", tiny_checkpoint).identity()
    assert "--device cpu" in failure.value.hint
    command = ["run", tiny_checkpoint, "-t", "arithmetic", "--limit", 2, "-n", 1, "--max-tokens", 4]
    error = told(evalkit(*command, "--engine", "transformers", "-o", tmp_path / "run", code=2))
    assert "cannot use it" in error
    assert not (tmp_path / "run" / "run.json").exists()
    assert open_engine("transformers", tiny_checkpoint, {"device": "cpu"}).identity()["dtype"] == "float32"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_engine("transformers", tiny_checkpoint).identity()["dtype"] == "float32"


@pytest.mark.slow
def test_a_run_says_what_generates_on_what(tmp_path: Path, tiny_checkpoint: Path) -> None:
    command = ["run", tiny_checkpoint, "-t", "arithmetic", "--limit", 2, "-n", 1, "--max-tokens", 4]
    done = evalkit(*command, "--engine", "transformers", "--device", "cpu", "-o", tmp_path / "run")
    assert "engine: transformers" in done.stderr
    assert ", cpu, float32" in done.stderr
