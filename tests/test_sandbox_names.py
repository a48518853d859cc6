"""The names that LiveCodeBench defines beforehand are there, however a program looks for them."""

import sys

import pytest

from evalkit.sandbox import Program, Sandbox, judge
from evalkit.sandbox.records import Mode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
EVERYWHERE = {
    "print(gcd(4, 6))": "2",
    "print('gcd' in globals())": "True",
    "print(eval('g' + 'cd(4, 6)'))": "2",
    "exec('print(g' + 'cd(4, 6))')": "2",
    "def f(): pass\nprint(f.__globals__['g' + 'cd'](4, 6))": "2",
    "def f(x: 'Deque[int]'): pass\nprint(get_type_hints(f)['x'])": "typing.Deque[int]",
    "import sys\nprint(sys._getframe().f_globals['g' + 'cd'](4, 6))": "2",
    "print(ｇｃｄ(4, 6))": "2",  # letters that Python reads as gcd
    "def f():\n    global gcd\n    del gcd\nf()\ntry:\n    gcd\nexcept NameError:\n    print('gone')": "gone",
    "try:\n    no_such_name\nexcept NameError as error:\n    print(error)": "name 'no_such_name' is not defined",
    "import asyncio, dataclasses, subprocess, unittest.mock, concurrent.futures\nprint(asyncio.__name__)": "asyncio",
}
SCRIPTS = {
    "if __name__ == '__main__':\n    print(gcd(4, 6), len(dir()) > 300)": "2 True",
    "if __name__ == '__main__':\n    print(gcd(4, 6))": "2",
    "import __main__\nprint(hasattr(__main__, 'heapify'))": "True",
    "import importlib\nprint(hasattr(importlib.import_module('__ma' + 'in__'), 'heapify'))": "True",
    "from __future__ import annotations\ndef f(x: Deque): pass\nprint(get_type_hints(f)['x'])": "typing.Deque",
}


def results(programs: dict[str, str], mode: Mode) -> dict[str, str]:
    with Sandbox() as sandbox:
        judged = {c: judge(Program(c, [("", wanted)]), mode=mode, sandbox=sandbox) for c, wanted in programs.items()}
    return {code: judgement.verdict + judgement.explanation for code, judgement in judged.items()}


@pytest.mark.parametrize("mode", ["script", "lcb-compat"])
def test_predefined_names(mode: Mode) -> None:
    assert results(EVERYWHERE, mode) == dict.fromkeys(EVERYWHERE, "accepted")


def test_predefined_names_of_scripts() -> None:
    assert results(SCRIPTS, "script") == dict.fromkeys(SCRIPTS, "accepted")


def test_the_official_prelude_stands_before_a_future_import() -> None:
    code = "from __future__ import annotations\nprint(1)"
    assert judge(Program(code, [("", "1")]), mode="lcb-compat").verdict == "syntax error"
    assert judge(Program(code, [("", "1")])).passed
