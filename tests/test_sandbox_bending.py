"""Programs that try to bend their verdict: none is accepted, none gets a sandbox error, and the judge goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attacks import bending

from evalkit.sandbox import Limits, Program, Sandbox, judge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
TESTS = Path(__file__).parent
# runs a program three times as a judge without a sandbox would: in one interpreter and one folder
THREE_TIMES = """
import contextlib, io, os, sys
sys.setrecursionlimit(50000); sys.set_int_max_str_digits(50000)
code, said = compile(sys.stdin.read(), "x", "exec"), []
for _ in range(3):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, {"__name__": "__main__", "__builtins__": __builtins__})
    said.append(output.getvalue().strip())
print(*said, flush=True)
os._exit(0)
"""


def held(names: list[str], user: str, seconds: int) -> None:
    """Judge these programs in a process of their own."""
    as_user = ["as-nobody"] if user == "nobody" else []
    done = subprocess.run(
        [sys.executable, "-m", "attacks.run", *as_user, "bending", *names],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["name"] for result in results] == names, done.stderr
    bent = [r for r in results if r["verdict"] in ("accepted", "sandbox error") or not r["alive"]]
    assert bent == []
    if user == "nobody":
        assert {result["uid"] for result in results} == {65534}


def test_no_program_bends_its_verdict() -> None:
    """A sample of the quick ones; `make test-all` runs all."""
    quick = [one.name for one in bending.suite() if not one.slow and one.seconds > 1 and one.language == "python"]
    assert len(quick) > 200
    held(quick[::7], "root", 300)


@pytest.mark.slow
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_no_program_at_all_bends_its_verdict(user: str) -> None:
    if os.geteuid() != 0 and user == "nobody":
        pytest.skip("not root: the other run was an ordinary user's already")
    held([one.name for one in bending.suite()], user, 3600)


@pytest.mark.parametrize("name", ["open", "symlink", "math", "re_cache", "field_defaults", "generator_frame", "umask"])
def test_they_remember_where_nothing_holds_them(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREE_TIMES],
        input=bending.counting(name),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout == "1 2 3\n", done.stderr


GUESSES = {
    "random": "import random\nprint(random.choice(['YES', 'NO']))",
    # no module, so that its tests share a process: the place of an object in memory is the coin
    "address": "print('YES' if int(str(object())[-6:-3], 16) >> 3 & 1 else 'NO')",
    "crash": "import random\nprint(random.choice(['YES', 'NO']) if random.random() < .8 else 1 / 0)",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GUESSES)
def test_who_guesses_passes_as_often_as_guesses_are_right(name: str) -> None:
    """benchmarks/random_programs.py does the same with 2,000 runs and three standard errors."""
    runs, tests = 80, [("a", "YES"), ("b", "NO")]
    program = Program(GUESSES[name], tests, limits=Limits(cpu_seconds=20))
    with Sandbox() as sandbox:
        passed = sum(judge(program, sandbox=sandbox).passed for _ in range(runs))
    fair = runs / 4
    most = fair + 5 * (runs * 0.25 * 0.75) ** 0.5
    assert passed <= most
