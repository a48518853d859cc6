"""What comes out of a jail is read as a stranger's word."""

from typing import Any

import pytest
from attacks.bending import _FORGERIES

from evalkit.sandbox import Limits
from evalkit.sandbox.records import VERDICTS
from evalkit.sandbox.replies import BadReplyError, parse_first, parse_tests, printable

LIMITS = Limits(cpu_seconds=1)
GOOD: dict[str, Any] = {
    "end": "replied",
    "code": 0,
    "said": None,
    "cpu": 0.1,
    "wall": 0.2,
    "memory_mb": 3.0,
    "errors": "",
    "output": [0, 5],
    "full": False,
    "shared": False,
    "stale": False,
}


def parse(**changes: Any) -> Any:
    (reply,), _ = parse_tests({"tests": [GOOD | changes], "more": False}, LIMITS, 5)
    return reply


def test_what_a_supervisor_tells() -> None:
    assert parse().failure is None
    assert parse(end="exited", code=3).detail == "exit code 3"
    assert parse(end="killed", code=11).detail == "killed by SIGSEGV"
    assert parse(end="killed", code=40).detail == "killed by signal 40"
    assert parse(end="killed", code=9, cpu=1.0).failure == "time limit"
    assert parse(end="time limit", code=1).failure == "time limit"
    assert parse(said='{"status": "memory limit", "detail": "x"}').failure == "memory limit"


@pytest.mark.parametrize(
    "changes",
    [
        {"end": "died"},
        {"end": None},
        {"code": -1},
        {"code": True},
        {"code": 10**400},
        {"cpu": -1},
        {"cpu": 10**400},
        {"cpu": float("nan")},
        {"cpu": float("inf")},
        {"cpu": "1"},
        {"cpu": None},
        {"wall": []},
        {"memory_mb": 1e300},
        {"output": [0]},
        {"output": [0, 1 << 40]},
        {"output": [-1, 1]},
        {"output": None},
        {"said": 5},
    ],
)
def test_a_supervisor_that_tells_nonsense_is_no_verdict(changes: dict[str, Any]) -> None:
    with pytest.raises(BadReplyError):
        parse(**changes)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"tests": 5, "more": False},
        {"tests": [], "more": 1},
        {"tests": [GOOD] * 9, "more": False},
        {"tests": [[]], "more": False},
    ],
)
def test_messages_that_are_none(answer: dict[str, Any]) -> None:
    with pytest.raises(BadReplyError):
        parse_tests(answer, LIMITS, 5)
    with pytest.raises(BadReplyError):
        parse_first(answer)


@pytest.mark.parametrize("name", _FORGERIES)
def test_what_a_program_says_of_itself_is_bounded(name: str) -> None:
    reply = parse(said=_FORGERIES[name].encode("latin-1", "replace").decode("latin-1"))
    assert reply.failure is None or reply.failure in set(VERDICTS) - {"sandbox error", "accepted"}
    assert len(reply.detail) <= 300
    assert printable(reply.detail) == reply.detail


def test_text_for_people() -> None:
    assert printable("a\x1b]0;x\x07b\u202e\ud800\x9bc") == "a\ufffd]0;x\ufffdb\ufffd\ufffd\ufffdc"
    assert printable(5) == ""
    assert len(printable("x" * 999)) == 300
