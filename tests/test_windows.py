"""What Windows does otherwise: no os.sysconf, text in the code page unless told, cp1252 on stdout."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import EVALKIT, REPOSITORY

LINUX_ALONE = REPOSITORY / "evalkit" / "sandbox" / "child"  # runs in the jail
SOURCES = [
    p for name in ("evalkit", "tasks") for p in (REPOSITORY / name).rglob("*.py") if LINUX_ALONE not in p.parents
]


def test_text_files_are_utf_8_on_every_system() -> None:
    found = [f"{path.relative_to(REPOSITORY)}:{line}" for path in SOURCES for line in _by_code_page(path)]
    assert not found


def _by_code_page(path: Path) -> Iterator[int]:
    """The lines that read or write text without saying in which encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        named = {keyword.arg for keyword in node.keywords}
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if "encoding" in named or "utf-8" in texts:
            continue
        path_method = isinstance(node.func, ast.Attribute)
        opens_text = name == "open" and (
            "w" in texts or "r" in texts or "a" in texts or (not path_method and len(node.args) == 1)
        )
        if name in ("read_text", "write_text") or opens_text or (name in ("run", "Popen") and "text" in named):
            yield node.lineno


def test_the_search_sees_what_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "p.read_text()\nopen(p)\nopen(p, 'w')\np.open('w')\nrun(c, text=True)\nopen(p, 'rb')\np.read_text('utf-8')\n"
    )
    assert list(_by_code_page(path)) == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_run_reads_and_writes_no_text_by_the_code_page(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Python's own warning of it, over a run and its table."""
    options = ["-t", "arithmetic", "--limit", "2", "-n", "1", "--max-tokens", "4", "--device", "cpu"]
    env = {**os.environ, "PYTHONWARNDEFAULTENCODING": "1", "OMP_NUM_THREADS": "1"}
    for command in (
        ["run", str(tiny_checkpoint), *options, "--results", str(tmp_path)],
        ["leaderboard", str(tmp_path)],
    ):
        done = subprocess.run([EVALKIT, *command], env=env, capture_output=True, text=True, check=True, timeout=300)
        own = [line for line in done.stderr.splitlines() if "EncodingWarning" in line and str(REPOSITORY) in line]
        assert not own


@pytest.mark.parametrize("terminal", [False, True])
def test_tables_are_printed_where_the_code_page_lacks_their_signs(terminal: bool) -> None:
    """Piped, it is UTF-8; where an encoding is asked for, what it lacks becomes a question mark."""
    code = (
        "import io, sys\n"
        "raw = sys.stdout.buffer\n"
        "sys.stdout = io.TextIOWrapper(raw, encoding='cp1252')\n"
        "from evalkit.cli import main\n"
        "main._print_every_character()\n"
        "print('83.3 ±0.6 −5.6 → ✓')\n"
    )
    env = {**os.environ}
    env.pop("PYTHONIOENCODING", None)
    if terminal:
        env["PYTHONIOENCODING"] = "cp1252"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, timeout=60)
    expected = "83.3 ±0.6 ?5.6 ? ?" if terminal else "83.3 ±0.6 −5.6 → ✓"
    assert done.stdout.decode("cp1252" if terminal else "utf-8").strip() == expected


def test_free_memory_is_not_known_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from evalkit.engines.transformers.model_loading import free_memory

    monkeypatch.delattr(os, "sysconf")
    assert free_memory(torch.device("cpu")) is None
