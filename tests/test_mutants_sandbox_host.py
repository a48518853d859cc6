# ruff: noqa: E501  programs stand on one line, as strings
"""The host's side of the sandbox: sharing, checkers, limits, compiled programs, locks, cases, the pool."""

import ast
import contextlib
import gzip
import importlib
import json
import os
import resource
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.errors import EvalkitError
from evalkit.sandbox import (
    Checker,
    Judgement,
    Limits,
    Program,
    Sandbox,
    SandboxUnavailableError,
    cases,
    compiling,
    jail,
    judge,
    judging,
    locks,
    machine,
)
from evalkit.sandbox.child import sharing
from evalkit.sandbox.child.python_programs import NAMED_MODULES, STAR_MODULES, prelude_names
from evalkit.sandbox.jail import Job
from evalkit.sandbox.languages import LANGUAGES, compiler_version
from evalkit.sandbox.records import TestResult

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
needs_compiler = pytest.mark.skipif(compiler_version("g++") is None, reason="no g++ on this machine")
AMPLE = Limits(cpu_seconds=20, wall_seconds=60, memory_mb=512, output_mb=1, folder_mb=1)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


# Sharing


@pytest.fixture(scope="module")
def prelude() -> dict[str, object]:
    for name in (*STAR_MODULES, *NAMED_MODULES):
        importlib.import_module(name)
    return dict(prelude_names())


MAY = [
    "import math, cmath as c\nprint(math.pi, c.sqrt(-1))",
    "from math import gcd as g, pi\nprint(g(4, 6), pi)",
    "from __future__ import annotations\nx: List[int] = []",
    "from typing import List\ndef f(a: List[int], *b: int, **c: str) -> 'List[int]': return a",
    "from typing import List\nx: List[int] = [1]\nprint(x)",
    "def f(a: Optional[List[int]] = None) -> Union[int, str]: return a",
    "import typing\ndef f(a: typing.List[int]): return a",
    "class A:\n    __slots__ = ('x',)\n    def __init__(self): self.x = 1\n    def __lt__(self, o): return self.x < o.x",
    "class A: pass\nclass B(A): pass\nB().x = 1\nB.y = 2",
    "from collections import deque\nd = deque()\nd.append(1)\nd[0] = 2\ndel d[0]",
    "@property\ndef f(a): return a",
    "def f():\n    global x\n    x = 1\nf()",
    "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2\n    g()",
    "try: print(1)\nexcept ValueError as e: print(e)\nfinally: print(2)",
    "print(f'{1:>3}', [*map(int, input().split())], {**{}}, {1}, (x := 3))",
    "import sys\nsys.stdout.write(sys.stdin.readline())\nprint(sys.maxsize, sys.version_info[0])",
    "import operator\nprint(operator.add(1, 2))",
    "import copy\na = copy.copy([1])",
    "print([].__len__())",
    "with a as b: pass\na = 1",
    "assert 1\nraise ValueError",
    "def g():\n    yield 1\ndef h():\n    try: return 1\n    finally: pass",
    "from heapq import *\nheappush([], 1)",
    "lambda *a, b=1: a",
    "print('é'.upper())",
]  # fmt: skip
MAY_NOT = [
    "import math\nmath.pi += 1",
    "import math\ndel math.pi",
    "import math\nfor math.pi in [1]: pass",
    "import math as m\nprint(m)",
    "from math import nothing",
    "from os import path",
    "from .math import pi",
    "from collections import Counter as C\nC.x = 1",
    "from collections import Counter\nCounter().__class__",
    "from collections import Counter\nCounter([1]).most_common.x = 1\nprint(Counter)",
    "from collections import Counter\nCounter('a').x = 1",
    "import collections\ncollections.Counter.x = 1",
    "import collections\ncollections.Counter('a').x = 1",
    "import collections\ncollections.Counter['a'].x = 1",
    "import collections\nx = collections.Counter",
    "import collections\nprint(collections.abc)",
    "from typing import List\nx = List",
    "from typing import List\nprint(List[int])",
    "import typing\nx = typing.List",
    "import typing\nprint(typing.List[int])",
    "from typing import List\ndef f(a: List[(lambda: 1)()]): pass",
    "class A(__import__('x')): pass",
    "class __A__: pass",
    "def __f__(): pass",
    "def f(__x__): pass",
    "__x__ = 1",
    "import math as __m__",
    "def f():\n    global __x__",
    "def f():\n    __y__ = 1\n    def g():\n        nonlocal __y__",
    "class A:\n    def __init_subclass__(cls): pass",
    "class A(x=1): pass",
    "class A(*[int]): pass",
    "print((1).__reduce__())",
    "x = (i for i in [1]).gi_code",
    "x = 1\nx.f_back",
    "x = 1\nx.tb_next",
    "x = 1\nx.co_code",
    "x = 1\nx.cr_frame",
    "x = 1\nx.ag_frame",
    "from collections import namedtuple\nP = namedtuple('P', 'a')\nP._fields",
    "from collections import namedtuple\nP = namedtuple('P', 'a')\nP(1)._replace(a=2)",
    "int.mro()",
    "def g():\n    try:\n        yield from [1]\n    except ValueError: pass",
    "def g():\n    with x: yield 1",
    "print(help)",
    "license",
    "import sys\nprint(sys)",
    "print(sys.argv, nothing)",
    "print(stdout)",
    "argv.append(1)",
    "exit = 1\nprint(exit)",
    "quit = 1",
    "def help(): pass",
    "copyright = 1",
    "credits = 1",
    "license = 1",
    "import functools\nfunctools.lru_cache.x = 1",
    "print(deepcopy.x)\ndeepcopy.x = 1",
    "x = deepcopy",
    "x = Counter.update",
    "global_ = lru_cache",
    "try: pass\nexcept* ValueError: pass",
    "x = (",
]  # fmt: skip


@pytest.mark.parametrize("code", MAY)
def test_programs_that_leave_nothing_behind(code: str, prelude: dict[str, object]) -> None:
    assert sharing.may_share(code, ast.parse(code), prelude) is not None


@pytest.mark.parametrize("code", MAY_NOT)
def test_programs_that_might(code: str, prelude: dict[str, object]) -> None:
    try:
        tree = ast.parse(code)
    except SyntaxError:
        tree = ast.parse("")
    assert sharing.may_share(code, tree, prelude) is None


def test_names_of_two_modules_mean_that_of_the_prelude(prelude: dict[str, object]) -> None:
    code = "print(pow(2, 3), sqrt(4))"
    assert sharing.may_share(code, ast.parse(code), prelude) == set()
    assert sharing.may_share(code, ast.parse(code), {**prelude, "pow": len}) is None
    assert sharing.may_share(code, ast.parse(code), {}) == set()
    own = "pow = 1\nimport heapq\nfrom bisect import insort as put\nclass A: pass\ndef f(x): y = x\nfor z in []: pass"
    assert sharing.may_share(own, ast.parse(own), prelude) == {"pow", "heapq", "put", "A", "f", "z"}
    inner = "def f():\n    global gcd\n    gcd = 1\n    lcm = 2"
    assert sharing.may_share(inner, ast.parse(inner), prelude) == {"f", "gcd"}


def test_what_may_only_be_called() -> None:
    pairs = sharing.only_callable()
    for pair in (("collections", "Counter"), ("copy", "deepcopy"), ("functools", "lru_cache")):
        assert pair in pairs, pair
    for pair in (
        ("math", "pi"),
        ("math", "gcd"),
        ("builtins", "int"),
        ("sys", "argv"),
        ("sys", "stdin"),
        ("string", "digits"),
    ):
        assert pair not in pairs
    assert not any(module == "typing" for module, _ in pairs)
    assert ("builtins", "exit") in pairs
    predefined = sharing.predefined()
    assert predefined["gcd"] == ("math", "gcd")
    assert predefined["print"] == ("builtins", "print")
    assert predefined["pow"] == ("builtins", "pow")
    assert predefined["List"] == ("typing", "List")


# Judging


def verdicts(sandbox: Sandbox, code: str, *tests: tuple[str, str], **options: Any) -> Judgement:
    program = {name: options.pop(name) for name in ("fn_name", "language", "limits", "prelude") if name in options}
    return judge(Program(code, tests, **{"limits": AMPLE, **program}), sandbox=sandbox, **options)


def told(judged: Judgement) -> list[tuple[str, bool | int, str]]:
    return [(t.verdict, t.result, t.explanation) for t in judged.tests]


def test_results_of_each_test(sandbox: Sandbox) -> None:
    code = "x = int(input())\nif x == 3: 1 / 0\nif x == 4: import sys; sys.exit(2)\nif x == 5: print('y' * (2 << 20))\nprint(x)"
    tests = [(str(n), str(n)) for n in range(1, 7)]
    tests[1] = ("2", "9")
    judged = verdicts(sandbox, code, *tests, all_tests=True)
    assert told(judged) == [
        ("accepted", True, ""),
        ("wrong answer", -2, "test 2: line 1: 2 instead of 9"),
        ("runtime error", -4, "test 3: ZeroDivisionError: division by zero (line 2)"),
        ("wrong answer", -2, "test 4: line 1:  instead of 4"),
        ("output limit", -2, "test 5: more than 1 MB"),
        ("accepted", True, ""),
    ]
    assert (judged.verdict, judged.explanation, judged.reruns) == ("wrong answer", "test 2: line 1: 2 instead of 9", 0)
    assert judged.tests[0].wall_seconds > 0
    first = verdicts(sandbox, code, *tests)
    assert told(first) == told(judged)[:2]
    assert (first.verdict, first.explanation) == (judged.verdict, judged.explanation)


def test_results_of_functions(sandbox: Sandbox) -> None:
    code = "def f(a):\n    if a == 3: raise SystemExit\n    if a == 4: import os; os._exit(0)\n    return a"
    tests = [("1", "1"), ("2", "1"), ("3", "3"), ("4", "4"), ("5", "5.0")]
    assert told(verdicts(sandbox, code, *tests, fn_name="f", all_tests=True)) == [
        ("accepted", True, ""),
        ("wrong answer", False, "test 2: 2 instead of 1"),
        ("runtime error", -4, "test 3: SystemExit"),
        ("runtime error", -4, "test 4: it ended its process (its process ended)"),
        ("accepted", True, ""),
    ]
    compat = verdicts(sandbox, code, *tests, fn_name="f", mode="lcb-compat", all_tests=True)
    assert told(compat) == [("runtime error", -2, "test 3: SystemExit: (line 2) (its process ended)")]
    array = "import numpy\ndef f(a): return numpy.array(a)"
    assert told(verdicts(sandbox, array, ("[1, 2]", "[1, 2]"), fn_name="f")) == [
        (
            "runtime error",
            -4,
            "test 1: what it returned cannot be compared: the truth of an array with several elements is ambiguous",
        )
    ]


def test_programs_that_are_not_run(sandbox: Sandbox) -> None:
    nothing = verdicts(sandbox, " \n", ("", ""))
    assert (nothing.verdict, told(nothing), nothing.explanation) == (
        "no code", [("no code", -4, "there is no program")], "there is no program",
    )  # fmt: skip
    said = "SyntaxError: '(' was never closed (solution.py, line 1) (line 1)"
    broken = verdicts(sandbox, "x = (", ("", ""), ("", ""))
    assert (broken.verdict, told(broken), broken.explanation) == ("syntax error", [("syntax error", -4, said)], said)
    long = verdicts(sandbox, "#" * ((1 << 20) + 1), ("", ""))
    assert told(long) == [("syntax error", -4, "a program of more than 1 MB")]
    assert verdicts(sandbox, "#" * (1 << 20), ("", "")).passed
    for tests, mode, verdict in (
        ([("x", "1")], "script", ("sandbox error", [])),
        ([("1", "x")], "script", ("sandbox error", [])),
        ([("x", "1")], "lcb-compat", ("runtime error", [-4])),
        ([("1\n\n", "1")], "lcb-compat", ("runtime error", [-4])),
        ([("1", " ")], "lcb-compat", ("runtime error", [-4])),
    ):
        judged = verdicts(sandbox, "def f(a): return a", *tests, fn_name="f", mode=mode)
        assert (judged.verdict, judged.results) == verdict
        assert "not JSON: " in judged.explanation
    assert verdicts(sandbox, "def f(a): return a", ("1\n\n", "1"), fn_name="f").passed
    assert verdicts(sandbox, "def f(a): return None", ("1", " "), fn_name="f").passed


def test_options_that_do_not_go_together(sandbox: Sandbox) -> None:
    for options, said in (
        ({"mode": "other"}, "no mode 'other'"),
        ({"language": "c++17", "fn_name": "f"}, "judged as whole programs"),
        ({"language": "c++17", "mode": "lcb-compat"}, "judged as whole programs"),
        ({"mode": "lcb-compat", "comparison": "tokens"}, "has its own comparison"),
    ):
        with pytest.raises(EvalkitError, match=said) as caught:
            verdicts(sandbox, "x", ("", ""), **options)
        assert caught.value.hint
    with pytest.raises(EvalkitError, match="without tests"):
        verdicts(sandbox, "x")


def test_comparisons(sandbox: Sandbox) -> None:
    assert verdicts(sandbox, "print('1  2.50')", ("", "1 2.5")).passed
    assert told(verdicts(sandbox, "print('1  2.50')", ("", "1 2.5"), comparison="tokens")) == [
        ("wrong answer", -2, "test 1: word 2: 2.50 instead of 2.5")
    ]
    assert verdicts(sandbox, "print('1  2')", ("", "1\n2"), comparison="tokens").passed
    assert verdicts(sandbox, "import sys\nsys.stdout.buffer.write(b'\\xff')", ("", "\udcff")).passed


SAYS = "import sys\ngiven, output, expected = (open(n).read() for n in (sys.argv[1], sys.argv[3], sys.argv[2]))\n"


@pytest.mark.parametrize(
    ("checker", "verdict", "explanation"),
    [
        ("print(1)", "accepted", ""),
        ("print('OK so')", "accepted", ""),
        ("print('0.5 points')", "accepted", ""),
        ("print('-1')", "wrong answer", "test 1: checker: -1"),
        ("print('no, wrong')", "wrong answer", "test 1: checker: no, wrong"),
        ("print('x' * 300)", "wrong answer", "test 1: checker: " + "x" * 200),
        ("pass", "wrong answer", "test 1: checker: "),
        ("import sys\nsys.exit(3)", "sandbox error", "test 1: the checker failed: ended: exit code 3, the checker says that it failed"),
        ("1 / 0", "sandbox error", "test 1: the checker failed: runtime error: ZeroDivisionError: division by zero (line 1)"),
        ("x = (", "sandbox error", "test 1: the checker failed: SyntaxError: '(' was never closed (solution.py, line 1) (line 1)"),
        (SAYS + "print('yes' if [given, output, expected] == ['in', 'out\\n', 'want'] else 'no')", "accepted", ""),
        (SAYS + "if output != expected: 1 / 0\nprint('true')", "wrong answer",
         "test 1: checker: the checker failed on this output: runtime error: ZeroDivisionError: division by zero (line 3)"),
        ("print(gcd(2, 4))", "sandbox error", "test 1: the checker failed: runtime error: NameError: name 'gcd' is not defined (line 1)"),
    ],
)  # fmt: skip
def test_a_checker_s_word(sandbox: Sandbox, checker: str, verdict: str, explanation: str) -> None:
    judged = verdicts(
        sandbox, "print('out')", ("in", "want"), comparison=Checker(checker, limits=AMPLE), all_tests=True
    )
    assert (judged.verdict, judged.explanation) == (verdict, explanation)
    assert judged.results == {"accepted": [True], "wrong answer": [-2], "sandbox error": []}[verdict]


def test_words_of_checkers() -> None:
    for word in ("1", "ok", "yes", "true", "accepted", "0.01", "100", "inf"):
        assert judging._is_yes(word), word
    for word in ("0", "-1", "", "no", "nan", "wrong", "0.0", "okay"):
        assert not judging._is_yes(word), word


def test_tests_are_asked_for_in_growing_numbers() -> None:
    def sizes(lengths: list[int], count: int) -> list[int]:
        tests = [judging._Test(i, bytes(n), "", "") for i, n in enumerate(lengths)]
        return [len(t.data) for t in judging._up_to(tests, count)]

    most = 8 << 20
    assert sizes([1, 2, 3], 2) == [1, 2]
    assert sizes([1, 2, 3], 9) == [1, 2, 3]
    assert sizes([most + 5, 1], 9) == [most + 5]
    assert sizes([most - 1, 1, 1], 9) == [most - 1, 1]
    assert (judging._FIRST_TESTS, judging._GROWTH) == (2, 4)


def test_jobs() -> None:
    with Sandbox() as none:
        made = judging._Judging(
            Program("open('/dev/stdin')", [("é" * (1 << 20), "")], limits=AMPLE), "script", "lines", False, none
        )
        job = made._job(3)
        assert (job.kind, job.tests, job.named_streams, job.input_mb, job.share, job.prelude) == (
            "python",
            3,
            True,
            5,
            True,
            True,
        )
        made.executable = 7
        native = made._job(1)
        assert (native.kind, native.argv, native.executable) == ("binary", ["./solution"], 7)
        assert (native.limits.memory_mb, native.limits.stack_mb) == (512 + 64, 512)
        huge = judging._Judging(
            Program("", [], limits=Limits(memory_mb=4096)), "script", "lines", False, none, executable=7
        )
        assert huge.program.limits.stack_mb == 8
        assert (
            judging._Judging(
                Program("", [("", "")], limits=Limits(memory_mb=4096)), "script", "lines", False, none, executable=7
            )
            ._job(1)
            .limits.stack_mb
            == 1024
        )
        plain = judging._Judging(
            Program("x", [("", "")], "f", limits=AMPLE, prelude=False), "lcb-compat", "lines", False, none
        )._job(2)
        assert (plain.named_streams, plain.input_mb, plain.fn_name, plain.mode, plain.prelude) == (
            False,
            0,
            "f",
            "lcb-compat",
            False,
        )


def test_the_message_of_a_job() -> None:
    job = Job("python", Limits(cpu_seconds=3), code="c", fn_name="f", argv=["a"], files={"n": "t"}, input_mb=4)
    assert job.message("/x") == {
        "kind": "python", "code": "c", "fn_name": "f", "mode": "script", "prelude": True, "tests": 1, "argv": ["a"],
        "files": {"n": "t"}, "share": False, "named_streams": False, "input_mb": 4, "folder": "/x",
        "limits": {
            "cpu_seconds": 3, "wall_seconds": 6, "memory_mb": 4096, "output_mb": 64, "folder_mb": 64, "stack_mb": 8,
            "processes": 64, "open_files": 128,
        },
    }  # fmt: skip


def test_what_a_jail_sees_of_the_machine(tmp_path: Path) -> None:
    binds = jail._binds("python")
    assert all(source == target for source, target in binds)
    seen = [source for source, _ in binds]
    assert len(seen) == len(set(seen))
    assert os.path.realpath(os.__file__).startswith(tuple(path + "/" for path in seen))
    assert not {"/bin", "/usr", "/etc/alternatives"} & set(seen)
    assert {"/usr", "/bin", "/lib"} <= {source for source, _ in jail._binds("toolchain")}
    assert "/usr/lib" not in [source for source, _ in jail._binds("toolchain")], "it lies inside another one"
    extra = [source for source, _ in jail._binds("numpy") if source not in seen]
    assert [Path(path).name for path in extra] in (["numpy", "numpy.libs"], ["numpy"])
    library = os.path.dirname(os.path.realpath(os.__file__))
    assert jail._hidden() == [f"{library}/site-packages", f"{library}/dist-packages", "/usr/lib/python3/dist-packages"]
    (tmp_path / "a").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a")
    for path, others, inside in (
        ("/a/b", ["/a"], True),
        ("/a/b", ["/a/"], True),
        ("/ab", ["/a"], False),
        ("/a", ["/a"], False),
        (f"{link}/x", [str(link)], False),
    ):
        assert jail._inside(path, others) is inside
    assert jail.has_numpy()


# Limits of the machine


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RLIMIT_NOFILE", 255, "limits open files to 255 (ulimit -n); programs need 256."),
        ("RLIMIT_CPU", 3599, "limits CPU time to 3599 s (ulimit -t); programs need 3600 s."),
        ("RLIMIT_FSIZE", (3 << 20) - 1, "limits the size of files to 2 MB (ulimit -f); programs need 3 MB."),
        ("RLIMIT_AS", (164 << 20) - 1, "limits address space to 163 MB (ulimit -v); programs need 164 MB."),
        ("RLIMIT_DATA", (100 << 20) - 1, "limits data segments to 99 MB (ulimit -d); programs need 100 MB."),
        ("RLIMIT_STACK", (8 << 20) - 1, "limits stacks to 7 MB (ulimit -s); programs need 8 MB."),
    ],
)
def test_each_limit_of_the_machine_is_named(name: str, value: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(memory_mb=100, output_mb=2, folder_mb=3)
    kind, infinite = getattr(resource, name), resource.RLIM_INFINITY
    found = {"value": value}

    def limits_of(which: int) -> tuple[int, int]:
        if which != kind:
            return infinite, infinite
        return (found["value"], infinite) if name == "RLIMIT_FSIZE" else (64, found["value"])

    monkeypatch.setattr(resource, "getrlimit", limits_of)
    with pytest.raises(SandboxUnavailableError) as caught:
        machine.require_resources.__wrapped__(limits)
    assert str(caught.value).startswith(f"This machine {said}")
    assert f"`ulimit {said.partition('ulimit ')[2][:2]}`" in str(caught.value.hint)
    found["value"] += 1
    machine.require_resources.__wrapped__(limits)


def test_larger_limits_need_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 300))
    with pytest.raises(SandboxUnavailableError, match=r"open files to 300 .*; programs need 316"):
        machine.require_resources.__wrapped__(Limits(open_files=300))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 3600))
    with pytest.raises(SandboxUnavailableError, match=r"CPU time to 3600 s .*; programs need 5000 s"):
        machine.require_resources.__wrapped__(Limits(cpu_seconds=2500))


# Compiled programs


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"failure": "time limit"}, "the compiler ran past {seconds:g} s of CPU time"),
        ({"failure": "memory limit", "detail": "killed"}, "the compiler failed: killed"),
        ({"failure": "runtime error", "errors": " main.cpp:1: error "}, "main.cpp:1: error"),
        ({"full": True}, "the executable has more than {output} MB"),
    ],
)
def test_why_a_program_was_not_compiled(reply: dict[str, Any], told: str) -> None:
    whole = SimpleNamespace(**{"failure": None, "full": False, "errors": "", "detail": "", **reply})
    session = SimpleNamespace(run=lambda _: (whole, b""))
    jail = SimpleNamespace(session=lambda _: contextlib.nullcontext((session, "ready", "")))
    sandbox: Any = SimpleNamespace(lend=lambda _: contextlib.nullcontext(jail))
    with pytest.raises(compiling.CompileError) as caught:
        compiling._compile("int main() {}", LANGUAGES["c++17"], sandbox)
    limits = compiling._LIMITS
    assert str(caught.value) == told.format(seconds=limits.cpu_seconds, output=limits.output_mb)


def test_executables_are_kept_and_old_ones_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = compiling.cache_folder()
    assert folder == tmp_path / "cache" / "evalkit" / "executables"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert compiling.cache_folder() == folder
    assert compiling._cached(folder / "a") is None
    compiling._store(folder / "a", b"one")
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o755
    os.utime(folder / "a", (1, 1))
    descriptor = compiling._cached(folder / "a")
    assert descriptor is not None
    assert os.pread(descriptor, 10, 0) == b"one"
    os.close(descriptor)
    assert (folder / "a").stat().st_mtime > 1, "what is used is not old"
    assert [p.name for p in folder.iterdir()] == ["a"], "nothing half written is left"
    monkeypatch.setattr(compiling, "_MOST_CACHED", 3)
    for number in range(5):
        compiling._store(folder / str(number), b"x")
        os.utime(folder / str(number), (10 + number, 10 + number))
    os.utime(folder / "a", (11, 11))
    (folder / "link").symlink_to("nowhere")
    os.utime(folder / "link", (5, 5), follow_symlinks=False)
    compiling._forget_old(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["3", "4", "a"]
    monkeypatch.setattr(compiling, "_MOST_CACHED_BYTES", 2)
    compiling._forget_old(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["3", "4"]


def test_an_executable_in_memory_is_sealed() -> None:
    descriptor = compiling._in_memory(b"abc")
    assert os.pread(descriptor, 10, 0) == b"abc"
    assert not os.get_inheritable(descriptor)
    for change in (
        lambda: os.pwrite(descriptor, b"x", 0),
        lambda: os.ftruncate(descriptor, 1),
        lambda: os.ftruncate(descriptor, 9),
    ):
        with pytest.raises(PermissionError):
            change()
    os.close(descriptor)


@needs_compiler
def test_what_a_compiler_says(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(compiling.CompileError, match="does not name a type") as caught:
        compiling._compile("y;" * 300, LANGUAGES["c++17"], sandbox)
    assert len(str(caught.value)) == 300
    assert list(compiling.cache_folder().iterdir()) == []


# Locks


@pytest.fixture
def lock_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / f"evalkit-{os.getuid()}"


def test_locks_lie_in_a_folder_of_this_user(lock_folder: Path) -> None:
    with locks.beside_others():
        assert stat.S_IMODE(lock_folder.stat().st_mode) == 0o700
        assert sorted(p.name for p in lock_folder.iterdir()) == ["gate", "room"]
        assert stat.S_IMODE((lock_folder / "gate").stat().st_mode) == 0o600
        with locks.beside_others():
            pass
    assert locks._is_ours(str(lock_folder))
    assert not locks._is_ours(str(lock_folder / "gate"))
    assert not locks._is_ours(str(lock_folder / "none"))
    descriptor = locks._open("room")
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_who_is_alone_leaves_others_undisturbed_for_as_long(lock_folder: Path) -> None:
    begin = time.time()
    with locks.by_itself(10) as alone:
        assert alone
        gate = locks._open("gate")
        assert not locks._lock(gate, time.monotonic())
        os.close(gate)
    until = float((lock_folder / "gate").read_text())
    now = time.time()
    assert begin < until <= now + (now - begin) + 0.01
    assert threading.active_count() < 50
    (lock_folder / "gate").write_text(f"{time.time() + 5:.3f}")
    with locks.by_itself(10) as alone:
        assert not alone
    for text in ("", "x", f"{time.time() + 21:.3f}", f"{time.time() - 1:.3f}"):
        (lock_folder / "gate").write_text(text)
        with locks.by_itself(10) as alone:
            assert alone, text
        (lock_folder / "gate").write_text("")
    assert (locks.MOST_WAIT_SECONDS, locks.MOST_ALONE_SECONDS) == (2.0, 8.0)


# Cases and the pool


def test_cases_from_other_places_than_files(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, "code": "x", "tests": [["", ""]], "timeout": 0.001, "fn_name": ""}) + "\n"
    packed = tmp_path / "c.jsonl.gz"
    packed.write_bytes(gzip.compress(line.encode()))
    ((name, program),) = cases.read_cases(packed, Limits())
    assert (name, program.fn_name, program.limits.cpu_seconds, program.language) == ("1", None, 0.001, "python")
    packed.write_bytes(gzip.compress(line.encode())[:-9])
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "text").write_bytes(b"\xff\n")
    for path in (packed, fifo, tmp_path, tmp_path / "none", tmp_path / "text"):
        with pytest.raises(EvalkitError, match=r"cannot be read: .*") as caught:
            list(cases.read_cases(path, Limits()))
        assert str(path) in str(caught.value)
    assert not cases._is_fed(fifo)
    for timeout in (86400, 86401, True, 0.0009):
        (tmp_path / "t").write_text(line.replace("0.001", json.dumps(timeout)))
        if timeout == 86400:
            assert next(cases.read_cases(tmp_path / "t", Limits()))[1].limits.cpu_seconds == 86400
        else:
            with pytest.raises(EvalkitError, match=f"timeout is {timeout}"):
                list(cases.read_cases(tmp_path / "t", Limits()))


def test_programs_are_judged_in_their_order_a_few_ahead(sandbox: Sandbox) -> None:
    begun: list[int] = []

    def programs() -> Iterator[tuple[str, Program]]:
        for number in range(12):
            begun.append(number)
            yield str(number), Program(f"print({number})", [("", "3")] if number != 5 else [], limits=AMPLE)

    found = cases.judge_all(programs(), workers=1, sandbox=sandbox, all_tests=True)
    assert next(found)[0] == "0"
    assert begun == [0, 1, 2, 3, 4], "four for each worker"
    rest = list(found)
    assert [name for name, _ in rest] == [str(number) for number in range(1, 12)]
    assert [judged.verdict for _, judged in rest[:5]] == ["wrong answer"] * 2 + [
        "accepted",
        "wrong answer",
        "sandbox error",
    ]
    assert rest[4][1] == Judgement("sandbox error", (), "no tests: there is nothing to judge it by")


def test_jails_are_kept_warm_and_ended() -> None:
    pool = Sandbox()
    with pool.lend("toolchain") as first:
        assert pool._idle == {}
        with pool.lend("toolchain") as second:
            assert second is not first
    assert pool._idle == {"toolchain": [second, first]}
    with pool.lend("toolchain") as again:
        assert again is first
    second._process.kill()
    second._process.wait()
    first.close()
    with pool.lend("toolchain") as fresh:
        assert fresh not in (first, second)
    with pytest.raises(jail.JailBrokenError), pool.lend("toolchain") as broken:
        raise jail.JailBrokenError("x")
    assert broken is fresh
    assert not fresh.alive
    with pool.lend("toolchain") as last:
        pass
    with pool as same:
        assert same is pool
    assert (last.alive, pool._idle) == (False, {})


def test_a_jail_that_breaks_under_one_program_is_another_s_to_use(sandbox: Sandbox) -> None:
    assert sandbox.layers()["pid namespace"] == "a fresh one for every program"
    assert judging._holds(sandbox)
    rejected = judging._rejected("runtime error", "why")
    assert rejected == Judgement("runtime error", (TestResult("runtime error", -4, 0.0, 0.0, "why"),), "why")


def test_every_case_is_read_before_the_first_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"id": 1, "code": "print(1)", "tests": [["", "1"]]}\n{"id": 2}\n')
    with pytest.raises(EvalkitError, match=r"^Line 2 of "):
        cases.judge_file(path, tmp_path / "out.jsonl", workers=1)
    assert not (tmp_path / "out.jsonl").exists()
