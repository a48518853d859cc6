"""An nvidia-smi that tells of GPUs which are not there."""

from pathlib import Path

H100 = ("NVIDIA H100 80GB HBM3", "580.159.04", 81559)


def fake_nvidia_smi(folder: Path, count: int, kind: tuple[str, str, int] = H100) -> str:
    """The folder to put first on PATH."""
    model, driver, mebibytes = kind
    lines = [f"{i}, GPU-{i:04d}-aaaa, {model}, {driver}, {mebibytes}, {mebibytes - 500}" for i in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
    program.chmod(0o755)
    return str(folder)
