"""Tests are asked for in batches: the verdicts are those of tests asked for one by one."""

import random
import sys

import pytest

from evalkit.sandbox import Limits, Program, Sandbox, judge, judging
from evalkit.sandbox.records import Mode, TestResult

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
PROGRAM = """
import sys, time
n, mood = input().split()
if mood == "slow":
    time.sleep(0.03)
if mood == "sleeps":
    time.sleep(99)
if mood == "spins":
    while True: pass
if mood == "dies":
    1 / 0
if mood == "floods":
    print("x" * 3000000)
if mood == "leaves":
    sys.exit(3)
print(int(n) + (mood == "wrong"))
"""
# without the module time no program sleeps: the clock is read off a loop
SLOW = """import sys
class time:
    def sleep(seconds):
        for _ in range(int(seconds * 10**7)): pass
"""
MOODS = {"fine": 20, "slow": 4, "wrong": 2, "dies": 1, "floods": 1, "leaves": 1}
TIRESOME = {"sleeps": 1, "spins": 1}


def make_program(seed: int) -> Program:
    """At first only good tests, where the batches have to grow; then every mood, in an order that the seed gives."""
    draw = random.Random(seed)
    moods = draw.choices(("fine", "slow"), (8, 1), k=draw.randint(0, 14))
    moods += draw.choices(list(MOODS), list(MOODS.values()), k=16)
    if seed == 3:
        moods += TIRESOME
        draw.shuffle(moods)
    code = PROGRAM if seed % 2 else PROGRAM.replace("import sys, time", SLOW)  # which may share a process
    tests = [(f"{i} {mood}", str(i)) for i, mood in enumerate(moods)]
    return Program(code, tests, limits=Limits(cpu_seconds=0.6, wall_seconds=3, output_mb=1))


def explained(result: TestResult) -> tuple[str, str]:
    return result.verdict, "" if result.verdict == "time limit" else result.explanation  # which tells its seconds


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["script", "lcb-compat"])
@pytest.mark.parametrize("all_tests", [True, False])
def test_batches_change_no_verdict(mode: Mode, all_tests: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow tests make the supervisor tell early; the host stops it at bad ones, while others are on their way."""
    programs = [make_program(seed) for seed in range(4)]
    judged = {}
    with Sandbox() as sandbox:
        for first, growth in ((1, 1), (2, 4), (100, 1)):
            monkeypatch.setattr(judging, "_FIRST_TESTS", first)
            monkeypatch.setattr(judging, "_GROWTH", growth)
            done = [judge(program, mode=mode, all_tests=all_tests, sandbox=sandbox) for program in programs]
            judged[first] = [[explained(test) for test in judgement.tests] for judgement in done]
    assert judged[2] == judged[1]
    assert judged[100] == judged[1]
    if all_tests:
        assert max(len(tests) for tests in judged[1]) > 20
        assert len({verdict for tests in judged[1] for verdict, _ in tests}) >= 3


def test_no_test_runs_twice_in_a_process_that_remembers() -> None:
    """The host may find an early test of a batch wrong when the supervisor is past the later ones already."""
    code = "seen = []\ndef f(n):\n    seen.append(n)\n    return len(seen) if n else -1"
    program = Program(code, [(str(n), str(n + 1)) for n in range(12)], fn_name="f")
    with Sandbox() as sandbox:
        remembering = judge(program, mode="lcb-compat", all_tests=True, sandbox=sandbox)
        forgetting = judge(program, all_tests=True, sandbox=sandbox)
    assert remembering.results == [False, *[True] * 11]
    assert forgetting.results == [False] * 12
