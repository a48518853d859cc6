"""Odd but right ways to read and to end: accepted as scripts, in the other modes as the official runners say."""

import sys

import pytest
from input_idioms import FAILS, PROGRAMS, TESTS

from evalkit.sandbox import Limits, Program, Sandbox, judge
from evalkit.sandbox.jail import has_numpy
from evalkit.sandbox.records import MODES, Mode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_idioms(mode: Mode) -> None:
    names = [name for name in PROGRAMS if has_numpy() or not name.startswith("numpy")]
    assert len(names) >= 89
    limits = Limits(cpu_seconds=20)
    with Sandbox() as sandbox:
        done = {
            name: judge(Program(PROGRAMS[name], TESTS, limits=limits), mode=mode, sandbox=sandbox) for name in names
        }
    differ = {name: j.explanation for name, j in done.items() if j.passed == (name in FAILS[mode])}
    assert differ == {}
