"""What several test modules do with the command line."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
EVALKIT = Path(sys.executable).with_name("evalkit")


def evalkit(*arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, and hold its exit code."""
    done = subprocess.run(
        [EVALKIT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
        cwd=environment.pop("cwd", REPOSITORY),
        timeout=300,
    )
    assert done.returncode == code, f"exit code {done.returncode}, not {code}:\n{done.stdout}\n{done.stderr}"
    return done


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence of an error; it has to come with a hint and without a traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    hint = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    assert len(error) == 1, done.stderr
    assert len(hint) == 1, done.stderr
    return error[0].removeprefix("error: ")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_growth(less: Callable[[], object], more: Callable[[], object], below: float) -> None:
    """Hold that `more` takes this thread less than `below` times what `less` takes: a ratio, so any machine will do."""
    ratios = []
    collects = gc.isenabled()
    for _ in range(6):
        gc.collect()
        gc.disable()  # its time grows with all that the test process holds
        try:
            begun = time.thread_time()
            less()
            between = time.thread_time()
            more()
            ratios.append((time.thread_time() - between) / max(between - begun, 1e-3))
        finally:
            if collects:
                gc.enable()
        if ratios[-1] < below:
            return
    raise AssertionError(f"{min(ratios):.1f} times as long, not less than {below}")


def write_recorded(path: Path, texts: dict[str, list[str]], **fields: Any) -> Path:
    """Recorded completions for the replay backend: problem id -> one text a sample."""
    lines = [json.dumps({"problem_id": key, "text": value, **fields}) for key, value in texts.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def package(folder: Path, name: str, group: str = "evalkit.engines", **plugins: str) -> str:
    """A folder for PYTHONPATH with an installed package that registers plug-ins of a group."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{plugin} = {target}" for plugin, target in plugins.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
    return str(folder)
