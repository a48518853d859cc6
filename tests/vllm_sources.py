"""Fetch the Python source of vLLM releases from their wheels: `python tests/vllm_sources.py FOLDER VERSION…`.

A wheel is some 300 MB of CUDA libraries; only its .py files are kept. What is there already is not fetched again.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSIONS = ("0.30.0", "0.31.0", "0.32.0", "0.33.0")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_31_x86_64", "manylinux_2_35_x86_64", "manylinux1_x86_64")


def fetch(folder: Path, release: str) -> None:
    if (folder / release / "vllm").is_dir():
        return
    with tempfile.TemporaryDirectory() as download:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", "3.12", "-d", download, f"vllm=={release}"]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        subprocess.run(command, check=True)
        [wheel] = Path(download).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith((".py", "METADATA"))]
            archive.extractall(folder / f"{release}.new", names)
    (folder / f"{release}.new").rename(folder / release)


def main() -> None:
    folder = Path(sys.argv[1])
    for release in sys.argv[2:] or VERSIONS:
        fetch(folder, release)


if __name__ == "__main__":
    main()
