"""The GPUs of this machine, found without CUDA.

Asking torch would initialise CUDA in this process or leave traces of it, and vLLM chooses how to start its own by that.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.words import listed

_QUERY = "index,uuid,name,driver_version,memory.total,memory.free"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class GPU:
    """One GPU. `name` is what CUDA_VISIBLE_DEVICES calls it; memory is in bytes, None where nothing tells it."""

    name: str
    model: str = "a GPU"
    driver: str | None = None
    memory: int | None = None
    free: int | None = None

    def __str__(self) -> str:
        return f"{self.model}, driver {self.driver}" if self.driver else self.model


def visible_gpus(root: Path = Path("/")) -> list[GPU]:
    """The GPUs that this process may use: those of the machine, as far as CUDA_VISIBLE_DEVICES lets them be seen.

    nvidia-smi is asked; without it the driver's files below `root` are read, and the kernel's list of AMD's GPUs.
    """
    found = _from_nvidia_smi() or _from_driver_files(root) or _from_amd_kernel_driver(root)
    names = _named(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if names is None:
        return [gpu for gpu, _ in found]
    visible = []
    for name in names:
        gpu = next((gpu for gpu, uuid in found if name in (gpu.name, uuid) or (uuid and uuid.startswith(name))), None)
        if gpu is None and (not found or name.isdigit()):
            break  # CUDA sees none of those after one that is not there
        visible.append(GPU(name) if gpu is None else GPU(name, gpu.model, gpu.driver, gpu.memory, gpu.free))
    return visible


def _named(value: str | None) -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES names, up to the first -1; None where it is not set."""
    if value is None:
        return None
    names = []
    for name in (each.strip() for each in value.split(",")):
        if not name or name.startswith("-"):
            break
        names.append(name)
    return names


def _from_nvidia_smi() -> list[tuple[GPU, str]]:
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in told.stdout.splitlines() if told.returncode == 0 else []:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 6:
            index, uuid, model, driver, total, free = fields
            found.append((GPU(index, model, driver, _mebibytes(total), _mebibytes(free)), uuid))
    return found


def _mebibytes(text: str) -> int | None:
    return int(text) * _MIB if text.isdigit() else None  # "[N/A]" where memory is shared with the processor


def _from_driver_files(root: Path) -> list[tuple[GPU, str]]:
    devices = [path for path in (root / "dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
    facts = [_information(path) for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))]
    facts = facts if len(facts) == len(devices) else [{} for _ in devices]
    return [
        (GPU(str(number), each.get("Model", "an NVIDIA GPU"), _driver_version(root)), each.get("GPU UUID", ""))
        for number, each in enumerate(facts)
    ]


def _information(path: Path) -> dict[str, str]:
    pairs = (
        line.split(":", 1) for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if ":" in line
    )
    return {name.strip(): value.strip() for name, value in pairs}


def _driver_version(root: Path) -> str | None:
    try:
        words = (root / "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


def _from_amd_kernel_driver(root: Path) -> list[tuple[GPU, str]]:
    nodes = [_node(path) for path in sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*/properties"))]
    return [(GPU(str(i), "an AMD GPU"), "") for i, _ in enumerate(n for n in nodes if n.get("simd_count", "0") != "0")]


def _node(path: Path) -> dict[str, str]:
    return dict(
        line.split(" ", 1) for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if " " in line
    )


def describe(gpus: Sequence[GPU]) -> str:
    """Such as `2 x NVIDIA H100 80GB HBM3, driver 580.159.04`."""
    kinds = sorted({str(gpu) for gpu in gpus})
    return f"{len(gpus)} x {kinds[0]}" if len(kinds) == 1 else listed(gpus)
