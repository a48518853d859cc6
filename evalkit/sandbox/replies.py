"""What comes out of a jail, read as a stranger's word: the one place where it is checked.

The supervisor tells what it saw of the program's process, and passes on unread what that process said of itself. All of
it is bounded in size and kind here, and nothing that is said there can make a test anything else than the program's
doing: a message that is not as it has to be is a runtime error of the program.
"""

import json
import math
import signal
from dataclasses import dataclass
from typing import Any

from evalkit.sandbox.records import Limits, Verdict

DETAIL_LIMIT = 300
_MOST_SECONDS, _MOST_MEMORY = 1e7, 1e9
# What a program's process may say of itself. "ended": what it raised ends the process, and with it the official runner.
_CLAIMS: dict[str, Verdict | None] = {
    "ok": None,
    "ended": "runtime error",
    "runtime error": "runtime error",
    "cannot start": "runtime error",
    "memory limit": "memory limit",
    "output limit": "output limit",
    "syntax error": "syntax error",
    "time limit": "time limit",
}
_FORGED = "the program wrote into the judge's pipe"


class BadReplyError(Exception):
    """A supervisor said what none says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One test as its supervisor saw it. `failure` is None where the program ended well, whatever it has printed.

    `cpu`, `wall`: seconds. `output` (begin, size): where the output lies. `full`: it has reached its limit. `shared`:
    the process had run other tests before, or lacked names for the sake of running others. `stale`: no other test may
    run here. `ended`: the official runner would have died. `exit_code`: 0 also where the program ended otherwise.
    """

    failure: Verdict | None
    detail: str
    cpu: float
    wall: float
    memory_mb: float
    output: tuple[int, int]
    full: bool
    shared: bool
    stale: bool
    ended: bool
    exit_code: int
    errors: str


def parse_first(answer: dict[str, Any]) -> tuple[str, str]:
    """The status (ready, syntax error, sandbox error) and the detail of the reply on a program that was sent."""
    status = answer.get("status")
    if status not in ("ready", "syntax error", "sandbox error"):
        raise BadReplyError("an unknown status")
    return str(status), printable(answer.get("detail"))


def parse_tests(answer: dict[str, Any], limits: Limits, most: int) -> tuple[list[Reply], bool]:
    """The replies of one message, at most `most`, and whether more follow. Raises BadReplyError."""
    tests, more = answer.get("tests"), answer.get("more")
    if not isinstance(tests, list) or not isinstance(more, bool) or len(tests) > most:
        raise BadReplyError("no list of tests")
    return [_parse_test(test, limits) for test in tests], more


def _parse_test(test: Any, limits: Limits) -> Reply:
    if not isinstance(test, dict):
        raise BadReplyError("a test that is not an object")
    end, code = test.get("end"), _integer(test.get("code"), 1 << 16)
    begin, size = _pair(test.get("output"), limits.output_mb << 20)
    cpu = _number(test.get("cpu"), _MOST_SECONDS)
    wall = _number(test.get("wall"), _MOST_SECONDS)
    failure: Verdict | None
    said, ended, exit_code = test.get("said"), False, 0
    if end == "replied" and (said is None or isinstance(said, str)):
        status, detail = ("ok", "") if said is None else _parse_said(said)
        failure, ended = _CLAIMS[status], status == "ended"
        exit_code = 1 if detail and failure is None else 0
    elif end == "time limit":
        failure, detail = "time limit", f"{cpu:.2f} s CPU, {wall:.2f} s wall"
    elif end == "killed":
        failure, detail = _how_it_was_killed(code, cpu, limits)
        ended = True
    elif end == "exited":
        failure, detail = ("runtime error", f"exit code {code}") if code else (None, "")
        ended, exit_code = True, code
    else:
        raise BadReplyError("an end that is none")
    return Reply(
        failure,
        detail,
        cpu,
        wall,
        _number(test.get("memory_mb"), _MOST_MEMORY),
        (begin, size),
        test.get("full") is True,
        test.get("shared") is True,
        test.get("stale") is True,
        ended,
        exit_code,
        printable(test.get("errors"), 4000, "\n\t"),
    )


def _parse_said(said: str) -> tuple[str, str]:
    """What the program's process wrote of itself: a status of `_CLAIMS` and a detail, else a forgery."""
    try:
        claim = json.loads(said.encode("latin-1"))
    except (ValueError, RecursionError):
        return "runtime error", _FORGED
    if not isinstance(claim, dict) or claim.keys() != {"status", "detail"}:
        return "runtime error", _FORGED
    status, detail = claim["status"], claim["detail"]
    if not isinstance(status, str) or status not in _CLAIMS or not isinstance(detail, str):
        return "runtime error", _FORGED
    return status, printable(detail)


def _how_it_was_killed(number: int, cpu: float, limits: Limits) -> tuple[Verdict, str]:
    if number == signal.SIGXFSZ:
        return "output limit", "killed at the limit on output"
    if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu >= limits.cpu_seconds):
        return "time limit", f"{cpu:.2f} s CPU"
    try:
        name = signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        name = f"signal {number}"
    return "runtime error", f"killed by {name}"


def printable(text: Any, limit: int = DETAIL_LIMIT, kept: str = "") -> str:
    """The beginning of a text, with a sign for each character that a terminal might obey."""
    if not isinstance(text, str):
        return ""
    return "".join(c if c.isprintable() or c in kept else "\ufffd" for c in text[:limit])


def _number(value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadReplyError("a number that is none")
    if isinstance(value, int) and not 0 <= value <= most:
        raise BadReplyError("a number out of bounds")
    if not (math.isfinite(value) and 0 <= value <= most):
        raise BadReplyError("a number out of bounds")
    return float(value)


def _integer(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise BadReplyError("a number out of bounds")
    return value


def _pair(value: Any, most: int) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadReplyError("an output that lies nowhere")
    return _integer(value[0], 1 << 40), _integer(value[1], most)
