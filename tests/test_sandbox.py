# ruff: noqa: E501  programs stand on one line, as strings
"""What the sandbox says of programs, and that it survives them: real processes throughout."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.sandbox import Checker, Judgement, Limits, Program, Sandbox, SandboxUnavailableError, judge
from evalkit.sandbox.cases import judge_all
from evalkit.sandbox.compare import same_lines, same_tokens
from evalkit.sandbox.jail import Jail, JailBrokenError
from evalkit.sandbox.languages import compiler_version

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
needs_compiler = pytest.mark.skipif(compiler_version("g++") is None, reason="no g++ on this machine")
# ten times what the programs need, also on cores that others keep busy; those that are to meet a limit have less
AMPLE = Limits(cpu_seconds=20, wall_seconds=60, memory_mb=512, output_mb=2)
QUICK = Limits(cpu_seconds=0.5, wall_seconds=2.0, memory_mb=512, output_mb=2)
ENDLESS = ("while True", "sleep(60)")
SUM = "n = int(input())\nprint(sum(map(int, input().split())))\n"
SUM_TESTS = [("3\n1 2 3\n", "6\n"), ("1\n5\n", "5\n")]


def verdict(code: str, tests: list[tuple[str, str]] | None = None, **options: object) -> Judgement:
    limits = options.pop("limits", QUICK if any(sign in code for sign in ENDLESS) else AMPLE)
    fn_name = options.pop("fn_name", None)
    language = options.pop("language", "python")
    program = Program(code, tests or [("1\n", "1\n")], fn_name, language, limits)  # type: ignore[arg-type]
    return judge(program, **options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print(input())", "accepted"),
        ("print(2)", "wrong answer"),
        ("while True: pass", "time limit"),
        ("import time; time.sleep(60)", "time limit"),
        ("x = [bytearray(1 << 26) for _ in range(100)]", "memory limit"),
        ("print('x' * (3 << 20))", "output limit"),
        ("1 / 0", "runtime error"),
        ("import os; os._exit(3)", "runtime error"),
        ("import os; os.kill(os.getpid(), 40)", "runtime error"),  # a signal without a name
        ("import os; os.abort()", "runtime error"),
        ("print(1", "syntax error"),
        ("print(1)\x00", "syntax error"),
        ("   \n", "no code"),
        ("import sys; print(1); sys.exit(1)", "accepted"),
        ("import os; os.write(1, b'1'); os._exit(0)", "accepted"),
        ("from __future__ import annotations\nprint(1)", "accepted"),
        ("if __name__ == '__main__': print(1)", "accepted"),
        ("import atexit; atexit.register(lambda: print(1))", "accepted"),
        ("import threading; threading.Thread(target=lambda: print(1)).start()", "accepted"),
        ("import asyncio\nasync def f(): print(1)\nasyncio.run(f())", "accepted"),
        ("for line in open(0): print(line)", "accepted"),
        ("import os; print(os.read(0, os.fstat(0).st_size).decode())", "accepted"),
        ("open('x', 'w').write('1'); print(open('x').read())", "accepted"),
        ("print(Counter([1])[1])", "accepted"),
    ],
)
def test_verdicts_of_scripts(code: str, expected: str) -> None:
    done = verdict(code)
    assert done.verdict == expected, done.explanation


def test_verdicts_carry_results_time_and_reason() -> None:
    done = verdict(SUM, [*SUM_TESTS, ("1\n1\n", "2"), ("1\n1\n", "1")])
    assert done.results == [True, True, -2]
    assert done.explanation == "test 3: line 1: 1 instead of 2"
    assert 0 < done.cpu_seconds < 5
    assert verdict(SUM, [("1\n1\n", "2"), ("1\n1\n", "1")], all_tests=True).results == [-2, True]


@pytest.mark.parametrize(
    "leak",
    [
        "import math\nseen = getattr(math, 'seen', 0)\nmath.seen = seen + 1\nprint(seen + 1)",
        "import sys\nsys.modules.setdefault('seen', [])\nsys.modules['seen'].append(1)\nprint(len(sys.modules['seen']))",
        "import os\nprint(1 + os.path.exists('mark'))\nopen('mark', 'w').close()\nos.remove('mark')",
        "import builtins\nbuiltins.print, old = lambda *a: None, print\nold(1)",
        "import decimal\nfirst = decimal.getcontext().prec\ndecimal.getcontext().prec = 3\nprint(1 if first == 28 else 2)",
        "import sys\nsys.stdin = None\nprint(1)",
        "class A: n = 0\nA.n += 1\nprint(A.n)",
        "from functools import *\n@lru_cache(None)\ndef f(): return 1\nprint(f.cache_info().hits + f())",
        "import sys\nprint(1 if sys.getrecursionlimit() == 50000 else 2)\nsys.setrecursionlimit(100)",
        "x = open(0)\nx.close()\nprint(1)",
    ],
)
def test_a_test_leaves_nothing_to_the_next(leak: str) -> None:
    done = verdict(leak, [("", "1"), ("", "1"), ("", "1")])
    assert done.passed, done.explanation


def test_a_program_finds_no_module_of_the_judge() -> None:
    code = "import sys\nprint(sorted(name for name in sys.modules if name.split('.')[0] == 'child'))\n"
    code += "try:\n    import child.kernel\n    print('found')\nexcept ImportError:\n    print('none')"
    done = verdict(code, [("", "[]\nnone")])
    assert done.passed, done.explanation


@pytest.mark.parametrize(
    ("code", "text", "expected", "outcome"),
    [
        ("class Solution:\n    def f(self, a, b): return a + b", "1\n2", "3", "accepted"),
        ("def f(a): return a[::-1]", '"ab"', '"ba"', "accepted"),
        ("class Solution:\n    def f(self, a) -> List[int]: return tuple(a)", "[1]", "[1]", "accepted"),
        ("class Solution:\n    def f(self, a): return [tuple(a)]", "[1]", "[[1]]", "wrong answer"),
        ("class Solution:\n    def f(self, a): return True", "1", "1", "accepted"),
        ("class Solution:\n    def f(self, a): return 1.0", "1", "1", "accepted"),
        ("class Solution:\n    def f(self, a): return {1: 2}", "1", '{"1": 2}', "wrong answer"),
        ("class Solution:\n    def f(self, a): return Counter('aa')", "1", '{"a": 2}', "accepted"),
        ("class Solution:\n    def f(self, a): return float('nan')", "1", "NaN", "wrong answer"),
        ("class Solution:\n    def f(self, a): return 10 ** 5000", "1", "1" + "0" * 5000, "accepted"),
        ("from fractions import Fraction\nclass Solution:\n    def f(self, a): return Fraction(6, 2)", "1", "3", "accepted"),
        ("class E:\n    def __eq__(s, o): return True\nclass Solution:\n    def f(self, a): return E()", "1", "1", "wrong answer"),
        ("class E(int):\n    def __eq__(s, o): return True\nclass Solution:\n    def f(self, a): return E(2)", "1", "1", "wrong answer"),
        ("class E(list):\n    def __iter__(s): return iter([1])\nclass Solution:\n    def f(self, a): return E()", "1", "[1]", "wrong answer"),
        ("class Solution:\n    def f(self, a): raise SystemExit", "1", "1", "runtime error"),
        ("class Solution:\n    def g(self, a): return 1", "1", "1", "runtime error"),
        ("class Solution:\n    def f(self, a):\n        while True: pass", "1", "1", "time limit"),
        ("import numpy as np\nclass Solution:\n    def f(self, a): return np.array(a).sum()", "[1, 2]", "3", "accepted"),
        ("import numpy as np\nclass Solution:\n    def f(self, a): return np.array(a)", "[1, 2]", "[1, 2]", "runtime error"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["script", "lcb-compat"])
def test_verdicts_of_functions(code: str, text: str, expected: str, outcome: str, mode: str) -> None:
    done = verdict(code, [(text, expected)], fn_name="f", mode=mode)
    assert done.verdict == outcome, done.explanation


@pytest.mark.parametrize(
    ("code", "script", "compat"),
    [
        ("import sys\nfor line in sys.stdin: print(line)", "accepted", "accepted"),
        ("from sys import stdin\nprint(stdin.readline()[:-1])", "accepted", "wrong answer"),
        ("from sys import stdout\nstdout.write('1')", "accepted", "wrong answer"),
        ("print(open(0).read())", "accepted", "wrong answer"),
        ("import sys\nprint(sys.stdin.buffer.read().decode())", "accepted", "runtime error"),
        ("class Solution: pass\nprint(1)", "accepted", "runtime error"),
        ("from __future__ import annotations\nprint(1)", "accepted", "syntax error"),
        ("x = 0\ndef f():\n    global x\n    x += 1\nf()\nprint(x)", "accepted", "runtime error"),
        ("print(1)\nreturn", "syntax error", "accepted"),
        ("import os\nos.getcwd()\nprint(1)", "accepted", "runtime error"),
        ("import resource\nprint(1)", "accepted", "runtime error"),
    ],
)
def test_the_compatible_mode_keeps_the_official_faults(code: str, script: str, compat: str) -> None:
    tests = [("1\n", "1\n")]
    assert verdict(code, tests).verdict == script
    assert verdict(code, tests, mode="lcb-compat").verdict == compat


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("1.50", "1.5", True),
        ("1e3", "1000", True),
        ("007", "7", True),
        ("1  2", "1 2", True),
        ("a  b", "a b", False),
        ("0.300000001", "0.3", False),
        (" 1 \n 2 \n\n", "1\n2", True),
        ("1\n\n2", "1\n2", False),
        ("nan", "nan", True),
        ("nan", "NaN", False),
        ("sNaN", "1", False),
        ("1_000", "1000", True),
        ("1e999999", "1e999998", False),
        ("", "", True),
        ("2 1", "1 2", False),
        ("1" + "0" * 5000 + "1", "1" + "0" * 5001, False),
    ],
)
def test_lines_are_compared_as_livecodebench_does(output: str, expected: str, same: bool) -> None:
    assert (same_lines(output, expected) is None) is same


def test_tokens_are_compared_however_they_are_spaced() -> None:
    assert same_tokens("a  b\nc", "a b c\n") is None
    assert same_tokens("1.0", "1") == "word 1: 1.0 instead of 1"
    assert same_tokens("a b", "a b c") == "2 words, expected 3"
    assert verdict("print('1\\n2')", [("", "1 2")], comparison="tokens").passed
    assert not verdict("print('1\\n2')", [("", "1 2")]).passed


CHECKER = """
import sys
given, expected, output = (open(name).read().split() for name in sys.argv[1:4])
assert output[0] != "crash"
print(1 if sorted(output) == sorted(expected) else 0)
"""


def test_a_checker_decides() -> None:
    checker = Checker(CHECKER)
    assert verdict("print(2, 1)", [("", "1 2")], comparison=checker).passed
    assert verdict("print(2, 2)", [("", "1 2")], comparison=checker).verdict == "wrong answer"
    assert verdict("print('crash')", [("", "1 2")], comparison=checker).verdict == "wrong answer"
    for leave, expected in (
        ("sys.exit(1)", "wrong answer"),
        ("sys.exit(3)", "wrong answer"),
        ("os._exit(3)", "wrong answer"),
        ("raise ValueError('exit code 3')", "wrong answer"),
    ):
        at_fault = Checker(f"import os, sys\nif '2' in open('output.txt').read(): {leave}\nprint('ok')")
        assert verdict("print(2)", [("", "1")], comparison=at_fault).verdict == expected
    assert verdict("print(1)", [("", "1")], comparison=Checker("1 / 0")).verdict == "sandbox error"
    assert verdict("print(1)", [("", "1")], comparison=Checker("print(")).verdict == "sandbox error"


@needs_compiler
def test_cpp_is_compiled_once_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = "#include <iostream>\nint main() { int n, s = 0, x; std::cin >> n; while (std::cin >> x) s += x; std::cout << s; }"
    limits = Limits(cpu_seconds=20, memory_mb=64)
    assert verdict(code, SUM_TESTS, language="c++17", limits=limits).passed
    cached = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(cached) == 1
    inode = cached[0].stat().st_ino
    again = verdict(code, SUM_TESTS * 10, language="cpp", limits=limits)
    assert again.passed
    assert cached[0].stat().st_ino == inode
    wrong = verdict("int main() { return x; }", language="c++20")
    assert wrong.verdict == "syntax error"
    assert "x" in wrong.explanation
    crash = "#include <cstdlib>\nint main() { abort(); }"
    assert verdict(crash, language="c++17", limits=limits).verdict == "runtime error"
    greedy = "#include <vector>\nint main() { std::vector<char> v(1u << 30, 1); return v[5] - 1; }"
    assert verdict(greedy, language="c++17", limits=limits).verdict == "memory limit"


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        (Program("print(1)", []), {}, "without tests"),
        (Program("print(1)", [("", "")], language="cobol"), {}, "no language 'cobol'"),
        (Program("x", [("", "")], language="c++17"), {"mode": "lcb-compat"}, "whole programs"),
        (Program("x", [("", "")]), {"mode": "other"}, "no mode"),
        (Program("x", [("", "")]), {"mode": "lcb-compat", "comparison": "tokens"}, "own comparison"),
    ],
)
def test_what_cannot_be_judged_is_an_error(program: Program, options: dict[str, object], message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        judge(program, **options)  # type: ignore[arg-type]


def test_tests_that_are_no_json_are_never_the_programs_fault() -> None:
    code = "def f(a): return a"
    assert verdict(code, [("1", "{")], fn_name="f").verdict == "sandbox error"
    assert verdict(code, [("{", "1")], fn_name="f").verdict == "sandbox error"


def test_a_time_limit_is_run_again_alone() -> None:
    done = verdict("while True: pass")
    assert (done.reruns, done.reruns_changed) == (1, 0)
    with Sandbox() as sandbox:
        sandbox.layers()
        slow_once = _SlowOnce(sandbox)
        done = judge(Program("print(1)", [("", "1")], limits=AMPLE), sandbox=slow_once)  # type: ignore[arg-type]
    assert done.passed
    assert (done.reruns, done.reruns_changed) == (1, 1)


class _SlowOnce:
    """A sandbox whose first test is reported as a time limit, as on a machine that something else keeps busy."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._told = False

    def lend(self, flavour: str) -> object:
        import contextlib

        @contextlib.contextmanager
        def lent():  # type: ignore[no-untyped-def]
            with self._sandbox.lend(flavour) as jail:  # type: ignore[arg-type]
                ask = jail.ask

                def slow(message: object, *rest: object) -> dict[str, object]:
                    answer = ask(message, *rest)  # type: ignore[arg-type]
                    if isinstance(message, dict) and "sizes" in message and not self._told:
                        self._told = True
                        answer["tests"][0]["end"] = "time limit"
                    return answer

                jail.ask = slow  # type: ignore[method-assign, assignment]
                yield jail
                del jail.ask

        return lent()


def test_a_broken_jail_is_tried_again_and_is_the_programs_doing_where_others_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = []
    session = Jail.session

    def broken(self: Jail, job: object) -> object:
        failures.append(job)
        if len(failures) <= limit:
            raise JailBrokenError("made to fail")
        return session(self, job)  # type: ignore[arg-type]

    monkeypatch.setattr(Jail, "session", broken)
    program = Program("print(1)", [("", "1")])
    with Sandbox() as sandbox:
        for broken_times, outcome in ((1, "accepted"), (2, "runtime error"), (3, "sandbox error")):
            failures.clear()
            limit = broken_times
            done = judge(program, sandbox=sandbox)
            assert done.verdict == outcome
    assert "made to fail" in done.explanation


@pytest.mark.slow
def test_the_verdicts_do_not_depend_on_the_workers_and_nothing_is_left() -> None:
    bad = ["while True: pass", "import os\nos.abort()", "while True: print('x' * 1000)", "x = [0]\nwhile True: x += x"]
    quick = Limits(cpu_seconds=0.2, wall_seconds=0.5, memory_mb=256, output_mb=1)
    ample = Limits(cpu_seconds=20, memory_mb=256, output_mb=1)
    kinds = [(bad[0], quick), *((code, ample) for code in bad[1:])]
    chosen = [kinds[i // 10 % 4] if i % 10 == 9 else (f"# {i}\n{SUM}", ample) for i in range(80)]
    programs = [(str(i), Program(code, SUM_TESTS, limits=limits)) for i, (code, limits) in enumerate(chosen)]
    before, outcomes = _jails(), []
    for workers in (1, 4):
        with Sandbox() as sandbox:
            done = [(name, j.verdict) for name, j in judge_all(programs, workers=workers, sandbox=sandbox)]
        outcomes.append(done)
    assert outcomes[0] == outcomes[1]
    assert sum(v == "accepted" for _, v in outcomes[0]) == 72
    assert _jails() <= before


def _jails(owner: int | None = None) -> set[int]:
    """Every process below `owner` (this process) that belongs to a jail, zombies included."""
    parents, jailed = {}, set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if b"zygote" in (entry / "cmdline").read_bytes():
                    jailed.add(int(entry.name))
        except OSError:
            continue
    below = {owner or os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    zombies = {pid for pid in below if parents.get(pid) == os.getpid() and pid not in jailed and _is_zombie(pid)}
    return (jailed & below) | zombies


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)}


def test_killing_the_judge_leaves_no_process_behind() -> None:
    script = """
    import threading
    from evalkit.sandbox import Program, judge, Limits
    print("started", flush=True)
    slow = Program("while True: pass", [("", "")], limits=Limits(cpu_seconds=300))
    threading.Thread(target=judge, args=(slow,)).start()
    judge(Program("import time; time.sleep(1000)", [("", "")], limits=Limits(cpu_seconds=300)))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 20
    while len(started := _jails(process.pid)) < 6 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(started) >= 6, "two jails with a watcher, a zygote and a supervisor each"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(started)


def test_threads_and_a_fork_of_the_judge_get_along() -> None:
    with Sandbox() as sandbox:
        program = Program(SUM, SUM_TESTS, limits=AMPLE)
        with ThreadPoolExecutor(4) as executor:
            assert all(done.passed for done in executor.map(lambda _: judge(program, sandbox=sandbox), range(12)))
        child = os.fork()
        if child == 0:
            os._exit(0 if judge(program, sandbox=sandbox).passed else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert judge(program, sandbox=sandbox).passed


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to take user namespaces away")
def test_without_namespaces_it_stops_unless_unsafe() -> None:
    script = """
    from evalkit.sandbox.child import kernel
    kernel.unshare(kernel.CLONE_NEWUSER)
    open("/proc/self/setgroups", "w").write("deny")
    open("/proc/self/uid_map", "w").write("0 0 1"); open("/proc/self/gid_map", "w").write("0 0 1")
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    from evalkit.sandbox import Program, Sandbox, SandboxUnavailableError, judge
    program = Program("print(1)", [("", "1")])
    try:
        judge(program)
    except SandboxUnavailableError as error:
        print(error)
    print(judge(program, sandbox=Sandbox(unsafe=True)).verdict)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert "cannot be built on this machine: no namespaces" in done.stdout, done.stderr
    assert "--unsafe-no-sandbox" in done.stdout
    assert done.stdout.splitlines()[-1] == "accepted"


def test_a_foreign_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(SandboxUnavailableError, match="no fork"):
        judge(Program("print(1)", [("", "1")]), sandbox=Sandbox())


def test_the_numbers_of_the_system_calls_are_the_kernels() -> None:
    import platform

    from evalkit.sandbox.child import seccomp

    known = seccomp.numbers()
    assert known["read"] == {"x86_64": 0, "aarch64": 63}[platform.machine()]
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if platform.machine() == "x86_64" and header.exists():
        official = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
        assert known == {name: int(official[name]) for name in known}
    dangerous = {"ptrace", "mount", "unshare", "setns", "bpf", "socket", "io_uring_setup", "userfaultfd", "keyctl"}
    assert not dangerous & known.keys()
