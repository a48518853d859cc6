"""Hostile programs in the sandbox, as root and as an ordinary user: all contained, the judge alive, nothing left."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attacks.programs import CANARY, attacks

from evalkit.sandbox import Limits, Program, Sandbox, judge

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the programs call the kernel by x86_64's numbers"
)
# What shows that an attack did harm elsewhere than in its own output
WATCHED = (Path("/dev/shm"), Path("/dev/mqueue"), Path(CANARY))


@pytest.fixture
def canary() -> Path:
    folder = Path(CANARY)
    folder.mkdir(exist_ok=True)
    os.chmod(folder, 0o777)
    (folder / "file").write_text("untouched")
    os.chmod(folder / "file", 0o666)
    return folder / "file"


def _processes() -> dict[int, bytes]:
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"attacks.run" not in (command := (entry / "cmdline").read_bytes()):
                found[int(entry.name)] = command
        except OSError:
            continue
    return found


def _names(folder: Path) -> list[str]:
    """What lies there, save the shared memory of other programs on this machine that use multiprocessing."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(("psm_", "sem.")))


def _suite() -> dict[str, str]:
    """Every attack; those that need a compiler only where there is one."""
    compiler = shutil.which("g++") is not None
    return {name: language for name, (language, _) in attacks().items() if compiler or language == "python"}


@pytest.mark.slow
@pytest.mark.parametrize("user", ["root", pytest.param("nobody", marks=pytest.mark.slow)])
def test_every_attack_is_contained(user: str, canary: Path) -> None:
    if os.geteuid() != 0 and user == "root":
        user = "this ordinary user"
    elif os.geteuid() != 0:
        pytest.skip("not root: the other run was an ordinary user's already")
    names = _suite()
    assert len(names) >= 60
    files = {path: _names(path) for path in WATCHED if path.is_dir()}
    as_user = ["as-nobody"] if user == "nobody" else []
    done = subprocess.run(
        [sys.executable, "-m", "attacks.run", *as_user, *names],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["name"] for r in results] == list(names), done.stderr
    assert {r["uid"] for r in results} == {65534 if user == "nobody" else os.geteuid()}
    for result in results:
        assert result["verdict"] not in ("accepted", "sandbox error"), result
        assert result["alive"], result
    assert canary.read_text() == "untouched"
    assert canary.stat().st_mode & 0o777 == 0o666
    for path, names_before in files.items():
        assert _names(path) == names_before
    assert not [command for command in _processes().values() if b"zygote" in command and b"evalkit-attack" in command]


@pytest.mark.parametrize("name", ["exec_shell", "subprocess", "canary_read", "proc_self_environ", "socket_inet_tcp"])
def test_the_attacks_work_where_nothing_holds_them(name: str, canary: Path) -> None:
    language, code = attacks()[name]
    with Sandbox(unsafe=True) as sandbox:
        program = Program(code, [("1\n", "ESCAPED")], None, language, Limits(cpu_seconds=2))
        assert judge(program, sandbox=sandbox).passed


# ruff: noqa: E501  programs stand on one line
_PAIR = "class Solution:\n    def f(self, x):\n"
_FUNCTIONS = {
    "equal to all": "        class E(int):\n            def __eq__(self, o): return True\n            __hash__ = int.__hash__\n        return E(1)",
    "leaves": "        raise SystemExit(0)",
    "ends its process": "        import os; os._exit(0)",
    "forges an answer": '        import os\n        for n in range(3, 256):\n            try: os.write(n, b\'{"status": "ok", "detail": ""}\')\n            except OSError: pass\n        os._exit(0)',
    "poisons json": "        import json; json.dumps = lambda *a, **k: '4711'\n        return 1",
    "not a number": "        return float('nan')",
    "endless": "        return iter(int, 1)",
    "hostile exception": "        class E(Exception):\n            def __str__(self): raise SystemExit\n        raise E",
}


@pytest.mark.parametrize("mode", ["script", "lcb-compat"])
@pytest.mark.parametrize("name", _FUNCTIONS)
def test_a_function_does_not_pass_by_what_it_is(name: str, mode: str) -> None:
    program = Program(_PAIR + _FUNCTIONS[name], [("1", "4712")], "f", limits=Limits(cpu_seconds=1))
    done = judge(program, mode=mode)  # type: ignore[arg-type]
    assert done.verdict not in ("accepted", "sandbox error"), done
