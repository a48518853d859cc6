"""What goes into the judge and what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from evalkit.errors import EvalkitError

Mode = Literal["script", "lcb-compat", "lcb-compat-2025-05"]
MODES: tuple[Mode, ...] = get_args(Mode)
Verdict = Literal[
    "accepted",
    "wrong answer",
    "time limit",
    "memory limit",
    "output limit",
    "runtime error",
    "syntax error",
    "no code",
    "sandbox error",
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# LiveCodeBench's codes for a test that did not pass; a wrong return value of a function is False instead
CODES: dict[Verdict, int] = {
    "wrong answer": -2,
    "output limit": -2,
    "time limit": -3,
    "runtime error": -4,
    "memory limit": -4,
    "syntax error": -4,
    "no code": -4,
    "sandbox error": -5,
}


_RANGES: dict[str, tuple[float, float]] = {
    "cpu_seconds": (0.001, 86400),
    "wall_seconds": (0.001, 4 * 86400),
    "memory_mb": (16, 1 << 20),
    "output_mb": (1, 4096),
    "folder_mb": (1, 1 << 16),
    "stack_mb": (1, 1 << 16),
    "processes": (1, 4096),
    "open_files": (32, 4096),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on each test. `cpu_seconds` counts all threads; `wall_seconds` (None: twice as much, and at least 2 s
    more) ends what sleeps. `memory_mb` is address space; `output_mb` limits each file and stream, `folder_mb` the
    temporary folder.
    """

    cpu_seconds: float = 6.0
    wall_seconds: float | None = None
    memory_mb: int = 4096
    output_mb: int = 64
    folder_mb: int = 64
    stack_mb: int = 8
    processes: int = 64
    open_files: int = 128

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and least <= value <= most):
                raise EvalkitError(
                    f"A program's limit {name} cannot be {str(value)[:40]}.", f"it is between {least:g} and {most:g}."
                )

    @property
    def wall(self) -> float:
        """The wall-clock limit on one test in seconds."""
        return self.wall_seconds if self.wall_seconds is not None else max(2 * self.cpu_seconds, self.cpu_seconds + 2)


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its tests, each a pair (input, expected output).

    With `fn_name` the program defines that function (or a class Solution with that method); an input is then one JSON
    argument a line, an output one JSON value. `language` is a key of `languages.LANGUAGES`. `prelude` makes the names
    defined that LiveCodeBench defines before a Python program's first line.
    """

    code: str
    tests: Sequence[tuple[str, str]]
    fn_name: str | None = None
    language: str = "python"
    limits: Limits = field(default_factory=Limits)
    prelude: bool = True


@dataclass(frozen=True, slots=True)
class Checker:
    """A program that decides whether an output is right: run in the sandbox as `checker input expected output`, three
    files. It accepts with exit code 0 and a first word of 1, ok, yes, true, accepted, or a number above 0 (points).
    """

    code: str
    language: str = "python"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test: CPU and wall-clock seconds; `result` is True or LiveCodeBench's code."""

    __test__ = False

    verdict: Verdict
    result: bool | int
    cpu_seconds: float
    wall_seconds: float
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a program: that of its first test that fails, else accepted.

    `cpu_seconds` is the sum over the tests that ran. `reruns` counts the tests that hit a time limit and were run again
    alone; `reruns_changed` those that then met it.
    """

    verdict: Verdict
    tests: tuple[TestResult, ...]
    explanation: str = ""
    reruns: int = 0
    reruns_changed: int = 0

    @property
    def passed(self) -> bool:
        return self.verdict == "accepted"

    @property
    def results(self) -> list[bool | int]:
        return [test.result for test in self.tests]

    @property
    def cpu_seconds(self) -> float:
        return sum(test.cpu_seconds for test in self.tests)
