"""LiveCodeBench's runner as it is imitated, and what is known of a program before it runs: in this process."""

import builtins
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.sandbox.child import compat, python_programs
from evalkit.sandbox.child.python_programs import NAMED_MODULES, STAR_MODULES, Prepared, prelude_names, prepare
from evalkit.sandbox.child.values import describe
from evalkit.sandbox.compiling import _in_memory
from evalkit.sandbox.jail import Jail, Job, _anonymous_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@pytest.fixture(autouse=True, scope="module")
def modules() -> None:
    for name in (*STAR_MODULES, *NAMED_MODULES):
        importlib.import_module(name)


@pytest.fixture(autouse=True)
def kept_limits() -> Iterator[None]:
    recursion, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    handler = signal.signal(signal.SIGALRM, compat._alarm)
    yield
    signal.signal(signal.SIGALRM, handler)
    sys.setrecursionlimit(recursion)
    sys.set_int_max_str_digits(digits)


def request_of(code: str, **changed: Any) -> dict[str, Any]:
    return {
        "code": code, "fn_name": None, "argv": ["a"], "limits": {"cpu_seconds": 3.0}, "mode": "script",
        "prelude": True, "share": True, **changed,
    }  # fmt: skip


def prepared(code: str, **changed: Any) -> Prepared:
    found, problem = prepare(request_of(code, **changed))
    assert found is not None
    assert problem is None
    return found


class Runner:
    """One program in the compatible mode, with files of its own."""

    def __init__(self, code: str, mode: str = "lcb-compat", fn_name: str | None = None, seconds: float = 20) -> None:
        self.kept = {"input": _anonymous_file(), "output": _anonymous_file()}
        self.program = compat.Program(prepared(code, mode=mode, fn_name=fn_name), self.kept, seconds)
        self.program.load()

    def test(self, text: str) -> tuple[str, str, str]:
        """Status, detail, output."""
        for descriptor in self.kept.values():
            os.ftruncate(descriptor, 0)
        python_programs.write_all(self.kept["input"], text.encode("utf-8", "surrogatepass"))
        status, detail = self.program.run()
        output = python_programs.read_all(self.kept["output"])
        return status, detail, output.decode("utf-8", "surrogatepass")


@pytest.fixture(autouse=True)
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """The stream that the process has had from its start, empty as /dev/null is."""
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", stream)
    return stream


def run(code: str, text: str, mode: str = "lcb-compat", fn_name: str | None = None) -> tuple[str, str, str]:
    return Runner(code, mode, fn_name).test(text)


INPUTS = "3\n4 5\né"
READERS = [
    ("print(input(), input())", "3 4 5\n", "3 4 5\n"),
    ("import sys\nprint(sys.stdin.readline().strip(), sys.stdin.readline().strip())", "3 4 5\n", "3 4 5\n"),
    ("import sys\nprint(sys.stdin.read().split())", "['3', '4', '5', 'é']\n", "['3', '4', '5', 'é']\n"),
    ("import sys\nprint(sys.stdin.readlines())", "['3\\n', '4 5\\n', 'é']\n", "['3', '4 5', 'é']\n"),
    ("from sys import stdin\nprint([stdin.readline(), stdin.readline()])", "['3', '4 5']\n", "['3', '4 5']\n"),
    ("from sys import stdin\nprint(stdin.readlines(), stdin.read(2))", "['3', '4 5', 'é'] 3\n4 5\né\n", None),
    ("import builtins\nprint(builtins.open(0).read())", INPUTS + "\n", INPUTS + "\n"),
    ("import builtins\nwith builtins.open('x') as f: print(f.readline())", "3\n\n", "3\n\n"),
    ("import sys\nimport builtins\nprint([line for line in builtins.open(0)])", "['3\\n', '4 5\\n', 'é']\n", None),
    ("import sys\nx = sys.stdin.buffer", "AttributeError", ""),
    ("import sys\nprint(sys.stdin.buffer.read().decode())", "AttributeError", INPUTS + "\n"),
    ("import sys\nb = sys.stdin.buffer.readline\nprint(b(), b())", "AttributeError", "b'3\\n' b'3\\n'\n"),
    ("import sys\nfor line in sys.stdin: print(line, end='|')", "3\n|4 5\n|é|", "TypeError"),
    ("import sys\nprint(sys.stdin.inputs)", "AttributeError", INPUTS + "\n"),
    ("import sys\nprint(sys.stdin.read(1), sys.stdin.getvalue())", "3 " + INPUTS + "\n", None),
    ("import sys\nprint(sys.stdin.readline(2), sys.stdin.readline())", "3\n 4 5\n\n", "3\n 4 5\n\n"),
]


@pytest.mark.parametrize(("code", "january", "may"), READERS)
def test_ways_to_read(code: str, january: str, may: str | None) -> None:
    for mode, wanted in (("lcb-compat", january), ("lcb-compat-2025-05", january if may is None else may)):
        if may is None and mode != "lcb-compat" and "sys.stdin" in code:
            continue
        status, detail, output = run(code, INPUTS, mode)
        if wanted.endswith("Error"):
            assert (status, output) == ("runtime error", "")
            assert detail.startswith(wanted)
        else:
            assert (status, detail, output) == ("ok", "", wanted)


def test_each_test_reads_from_the_beginning(stdin: io.TextIOWrapper) -> None:
    real_open, out = builtins.open, sys.stdout
    runner = Runner("from sys import stdin\ndef main():\n    print(stdin.readline(), input())\nmain()")
    for text in ("1\n2", "3\n4"):
        first, second = text.split("\n")
        assert runner.test(text) == ("ok", "", f"{first} {first}\n"), "two streams, each from the beginning"
        assert second
    assert (builtins.open, sys.stdout, sys.stdin) == (real_open, out, stdin)
    assert not {"read", "readline", "readlines"} & vars(stdin).keys()
    assert runner.test("5")[0] == "ok"
    status, detail, output = Runner("from sys import stdin\nprint(1)\nstdin.readline()\nstdin.readline()").test("5")
    assert (status, detail, output) == ("runtime error", "StopIteration: (line 5)", "")
    assert (builtins.open, sys.stdout, sys.stdin) == (real_open, out, stdin), "also after an error"


def test_output_of_a_program() -> None:
    assert run("import sys\nsys.stdout.write('a')\nsys.stdout.close()\nprint('b')", "")[2] == "ab\n"
    assert run("print(1)\nexit(3)\nprint(2)", "") == ("ok", "", "1\n")
    assert run("print(1)\nraise SystemExit", "") == ("ok", "", "1\n")
    assert run("print('\\ud800')", "")[2] == "\ud800\n"
    assert run("1 / 0", "") == ("runtime error", "ZeroDivisionError: division by zero (line 3)", "")
    assert run("raise KeyError('TimeoutException')", "")[:2] == ("time limit", "KeyError: 'TimeoutException' (line 3)")
    with pytest.raises(KeyboardInterrupt):
        run("raise KeyboardInterrupt", "")


def test_a_time_limit_is_an_exception() -> None:
    sleeps = "import time\ntime.sleep(20)"
    status, detail, output = Runner(sleeps, seconds=0.02).test("")
    assert (status, detail, output) == ("time limit", "TimeoutException: (line 3)", "")
    caught = "import time\ntry: time.sleep(20)\nexcept Exception as e: print(type(e).__name__)"
    assert Runner(caught, seconds=0.02).test("") == (
        "ok", "", "timeout occured: alarm went off\nTimeoutException\n",
    )  # fmt: skip
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    function = "import time\ndef f(a): time.sleep(a)"
    assert Runner(function, fn_name="f", seconds=0.02).test("20")[:2] == ("time limit", "TimeoutException: (line 2)")
    with pytest.raises(compat.TimeoutException):
        Runner("import time\ntime.sleep(20)", fn_name="f", seconds=0.02)


def test_functions_are_called_with_all_lines() -> None:
    assert run("def f(a, b): return (a, b)", '1\n"é"', fn_name="f") == ("ok", "", '[1, "\\u00e9"]')
    assert run("class Solution:\n    def f(self, a): return a", "[1]", fn_name="f")[2] == "[1]"
    assert run("class Solution:\n    def f(self, a): return a\ndef f(a): return 9", "[1]", fn_name="f")[2] == "[1]"
    status, detail, _ = run("def f(): return 1", "", fn_name="f")
    assert (status, detail[:32]) == ("runtime error", "JSONDecodeError: Expecting value")
    assert run("def f(a): return sqrt(a)", "9", fn_name="f")[2] == "3.0"
    with pytest.raises(AttributeError, match="has no attribute 'g'"):
        Runner("def f(a): return 1", fn_name="g")
    assert run("def f(a): return __name__", "9", fn_name="f")[2] == '"tmp_sol"'


def test_names_that_the_official_runner_takes_away() -> None:
    for name in ("quit", "help"):
        status, detail, _ = run(f"{name}()", "")
        assert (status, detail) == ("runtime error", "TypeError: 'NoneType' object is not callable (line 3)")
    future = "from __future__ import annotations\nx: nothing = gcd(4, 6)\nprint(x)"
    with pytest.raises(SyntaxError, match="from __future__ imports must occur at the beginning"):
        Runner(future)
    prelude = compat._PRELUDE.splitlines()
    assert prelude[:3] == ["from string import *", "from re import *", "from datetime import *"]
    assert prelude[18:20] == ["import string", "import re"]
    assert prelude[-1] == "sys.setrecursionlimit(50000)"
    assert len(prelude) == 18 + 16 + 1
    assert compat._PRELUDE.endswith("\n")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("print(1)", "\ndef wrapped_function():\n    print(1)"),
        ("import os\nx = 1\nfrom re import *", "import os\nfrom re import *\ndef wrapped_function():\n    x = 1"),
        (
            "x = 1\nif __name__ == '__main__':\n    print(x)\n    x = 2",
            "\ndef wrapped_function():\n    x = 1\n    print(x)\n    x = 2",
        ),
        ('if "__main__" == __name__: f()', "\ndef wrapped_function():\n    if '__main__' == __name__:\n        f()"),
        (
            "if __name__ == '__main__': f()\ng()",
            "\ndef wrapped_function():\n    if __name__ == '__main__':\n        f()\n    g()",
        ),
        ("def f():\n    import os\nf()", "\ndef wrapped_function():\n\n    def f():\n        import os\n    f()"),
        ("import os", "import os\ndef wrapped_function():"),
        ("x = (", "x = ("),
        ("x\x00", "x\x00"),
        ("", "\ndef wrapped_function():"),
    ],
)
def test_a_program_becomes_the_body_of_a_function(source: str, wanted: str) -> None:
    found = compat._as_function(source)
    assert [line for line in found.split("\n") if line] == [line for line in wanted.split("\n") if line]


SERVED = """
import os, sys, builtins, json
taken = [n for n in dir(os) if getattr(os, n) is None]
blocked = [n for n in ("ipdb", "joblib", "resource", "psutil", "tkinter", "json") if sys.modules.get(n, 1) is None]
import shutil, subprocess
others = [shutil.rmtree, shutil.move, shutil.chown, subprocess.Popen, builtins.quit, builtins.help]
print(json.dumps([taken, blocked, others, builtins.exit is None, sys.getrecursionlimit(), sys.stderr.buffer.mode]))
"""


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    made = Jail("python", False)
    yield made
    made.close()


def served(jail: Jail, code: str, *texts: bytes, **options: Any) -> list[tuple[Any, ...]]:
    from evalkit.sandbox.records import Limits

    seconds = options.pop("seconds", 20)
    limits = Limits(cpu_seconds=seconds, wall_seconds=60, memory_mb=512, output_mb=1, folder_mb=1)
    job = Job("python", limits, code=code, mode="lcb-compat", tests=len(texts), **options)
    with jail.session(job) as (session, status, detail):
        assert (status, detail) == ("ready", "")
        return [(r.failure, r.detail, r.ended, r.shared, o.decode()) for r, o in session.run_many(texts)]


def test_what_the_runner_takes_away_from_a_process(jail: Jail) -> None:
    ((failure, detail, _, _, output),) = served(jail, SERVED, b"")
    assert (failure, detail) == (None, "")
    taken, blocked, others, *rest = json.loads(output)
    names = "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate"
    names += " replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"
    assert set(taken) - {"altsep"} == set(names.split())
    assert blocked == ["ipdb", "joblib", "resource", "psutil", "tkinter"]
    assert others == [None] * 6
    assert rest == [False, 50_000, "wb"]


def test_tests_run_one_after_another_in_one_process(jail: Jail) -> None:
    code = "import os, sys\nsys.seen = getattr(sys, 'seen', 0) + 1\nprint(input(), sys.seen, os.getpid())"
    assert served(jail, code, b"a", b"b") == [(None, "", False, False, "a 1 2\n"), (None, "", False, True, "b 2 2\n")]
    failing = "x = input()\nprint(x)\nif x == 'b': 1 / 0"
    (first, second) = served(jail, failing, b"a", b"b", b"c")
    assert first == (None, "", False, False, "a\n")
    assert second == ("runtime error", "ZeroDivisionError: division by zero (line 6)", False, True, "")
    for code, wanted in (
        (
            "print(1",
            ("syntax error", "SyntaxError: '(' was never closed (<string>, line 1) (line 1)", False, False, ""),
        ),
        ("def main(): pass\nimport nothing_of_this_name", ("runtime error", None, False, False, "")),
        ("raise KeyboardInterrupt", ("runtime error", "KeyboardInterrupt: (line 3)", True, False, "")),
        ("import os\nos._exit(0)", (None, "", True, False, "")),
        ("import os\nprint(os.read(0, 5), os.fstat(1) == os.fstat(0))", (None, "", False, False, "b'' True\n")),
    ):
        (found,) = served(jail, code, b"")
        assert wanted[1] in (None, found[1]), found
        assert (found[0], *found[2:]) == (wanted[0], *wanted[2:]), code
    loading = "class Solution:\n    def f(self, a): return a\nraise KeyboardInterrupt"
    assert served(jail, loading, b"1", fn_name="f") == [
        ("runtime error", "KeyboardInterrupt: (line 3)", True, False, "")
    ]
    loading = "def f(a): return a\n1 / 0"
    assert served(jail, loading, b"1", fn_name="f")[0][:3] == (
        "runtime error",
        "ZeroDivisionError: division by zero (line 2)",
        False,
    )


# What is known of a program before it runs


def test_a_prepared_program() -> None:
    found = prepared("import sys\nprint(gcd(4, 6), sys.argv[0])")
    assert (found.fn_name, found.argv, found.seconds, found.mode) == (None, ["a"], 3.0, "script")
    assert found.words == {"import", "sys", "print", "gcd", "4", "6", "argv", "0"}
    assert found.shares
    assert found.lacks_names, "`sys` is left out before it is imported"
    assert found.prelude.keys() == {"print", "gcd", "argv"}
    assert (sys.getrecursionlimit(), sys.get_int_max_str_digits()) == (50_000, 50_000)
    assert found.code is not None
    assert found.code.co_filename == "solution.py"
    assert not prepared("print(1)", share=False).shares
    assert not prepared("print(1)", mode="lcb-compat").shares
    assert not prepared("x = open").shares
    assert not prepared("x = 'é'").shares
    plain = prepared("print(1)")
    assert (plain.shares, plain.lacks_names) == (True, False)
    assert prepared("print(1)", prelude=False).prelude == {}
    assert prepared("print(1)", mode="lcb-compat").code is None
    assert prepared("\ufeffx = 1").source == "x = 1"
    assert prepared("\ufeffx = 1", mode="lcb-compat").source == "\ufeffx = 1"
    for code in ("globals()", "x = 'é'", "import inspect"):
        assert prepared(code).prelude == prelude_names()
    assert prepared("if __name__ == '__main__': pass").prelude == {}
    assert "__main__" not in prepared('if __name__=="__main__": pass').words
    assert prepared("x = '__main__'").prelude == prelude_names()


def test_sources_that_do_not_compile() -> None:
    assert prepare(request_of("x = (")) == (
        None,
        {"status": "syntax error", "detail": "SyntaxError: '(' was never closed (solution.py, line 1) (line 1)"},
    )
    name = "y" * 400
    _, problem = prepare(request_of(f"def f():\n    {name} = 1\n    global {name}"))
    assert problem == {"status": "syntax error", "detail": "SyntaxError: name '" + "y" * 281}
    assert prepare(request_of("x = (", mode="lcb-compat"))[1] is None, "it is compiled when the first test runs"
    annotated = prepared("x: nothing = 1")
    with pytest.raises(NameError):
        exec(annotated.code, {})  # type: ignore[arg-type]


def test_rare_modules_are_imported_on_mention(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        **{name: name for name in ("asyncio", "dataclasses", "inspect", "shutil", "subprocess", "traceback")},
        "concurrent": "concurrent.futures",
        "unittest": "unittest.mock",
    }
    assert names == python_programs._ON_MENTION
    asked: list[str] = []
    monkeypatch.setattr(python_programs, "importlib", SimpleNamespace(import_module=asked.append))
    for word, module in names.items():
        asked.clear()
        prepared(f"x = '{word}'")
        assert asked == [module]
    asked.clear()
    prepared("x = 'json'", mode="lcb-compat")
    assert asked == []


def test_predefined_names_in_the_official_order() -> None:
    import collections
    import json as json_module
    import math
    import string
    import typing

    names = prelude_names()
    assert names["Counter"] is typing.Counter, "typing comes last"
    assert names["deque"] is collections.deque
    assert names["sqrt"] is math.sqrt
    assert names["string"] is string
    assert names["json"] is json_module
    assert names["open"] is open, "builtins come behind io"
    assert names["path"] is sys.path
    assert {"heapq", "bisect", "itertools", "functools", "operator", "io", "sys", "statistics"} <= names.keys()
    assert not {"typing", "builtins", "_sys"} & names.keys()


def test_exceptions_by_kind() -> None:
    for error, status in (
        (MemoryError(), "memory limit"),
        (OSError(27, "x"), "output limit"),
        (OSError(26, "x"), "runtime error"),
        (ValueError(27), "runtime error"),
        (SystemExit(1), "runtime error"),
    ):
        assert python_programs.failure(error) == (status, describe(error))


def test_a_reply_is_short_json() -> None:
    def told(*arguments: str) -> bytes:
        read, write = os.pipe()
        python_programs.reply(write, *arguments)
        os.close(write)
        with open(read, "rb") as stream:
            return stream.read()

    assert told("ok") == told("ok", "") == b'{"status": "ok", "detail": ""}'
    assert told("ok", "exit") == b'{"status": "ok", "detail": "exit"}'
    assert told("ended") == b'{"status": "ended", "detail": ""}'
    assert json.loads(told("runtime error", "x" * 301)) == {"status": "runtime error", "detail": "x" * 300}
    python_programs.reply(9999, "ok")


def test_files_are_read_and_written_wherever_their_offsets_are() -> None:
    with open(_in_memory(b""), "rb") as sealed, pytest.raises(PermissionError):
        python_programs.write_all(sealed.fileno(), b"x")
    descriptor = _anonymous_file()
    data = os.urandom((2 << 20) + 5)
    python_programs.write_all(descriptor, data)
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0
    os.lseek(descriptor, 99, os.SEEK_SET)
    assert python_programs.read_all(descriptor) == data
    python_programs.write_all(descriptor, b"xy", at=3)
    assert python_programs.read_all(descriptor)[:7] == data[:3] + b"xy" + data[5:7]
    os.close(descriptor)
