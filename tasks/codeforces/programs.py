"""The program in a response, and the sandbox's verdict on it."""

import re
from dataclasses import dataclass
from typing import Literal

from evalkit.sandbox import Checker, Judgement, Limits, Program, judge
from evalkit.thinking import until_end_of_turn
from evalkit.types import Problem

from ..livecodebench.code_blocks import fenced_blocks

ProgramLanguage = Literal["cpp", "python"]

_NAMES: dict[str, ProgramLanguage] = {
    **dict.fromkeys(("cpp", "c++", "cc", "cxx", "c", "cpp17", "c++17", "cpp20", "c++20", "cpp14"), "cpp"),
    **dict.fromkeys(("python", "py", "python3", "pypy", "pypy3"), "python"),
}
_CPP = re.compile(r"^\s*#\s*include\b|\bint\s+main\s*\(|\busing\s+namespace\b", re.MULTILINE)
_CPP_MAIN = re.compile(r"\bmain\s*\(")
_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(")
_PYTHON_MEMORY, _PYTHON_LEAST_MB = 2.0, 512.0


@dataclass(frozen=True, slots=True)
class FoundProgram:
    """What a model wrote as its answer."""

    code: str
    language: ProgramLanguage


def find_program(response: str, language: ProgramLanguage | None = None) -> FoundProgram | None:
    """The last closed code block that is a program in C++ or Python (or in `language`); None where there is none.

    A block without a language counts as C++ where it includes a header or has a main function, else as Python.
    """
    found: list[FoundProgram] = []
    for block in fenced_blocks(until_end_of_turn(response)):
        name = re.sub(r"^((?:py|pypy|python)3?)[\d.]*$", r"\1", block.language)
        if not block.closed or not block.code.strip() or (name and name not in _NAMES):
            continue
        spoken = _NAMES[name] if name else "cpp" if _CPP.search(block.code) else "python"
        if language in (None, spoken):
            found.append(FoundProgram(block.code + "\n", spoken))
    # a snippet behind the program does not displace it
    whole = [program for program in found if (_CPP_MAIN if program.language == "cpp" else _READS).search(program.code)]
    return next(reversed(whole or found), None)


def judge_program(
    problem: Problem, tests: list[tuple[str, str]], program: FoundProgram, time_factor: float, python_factor: float
) -> Judgement:
    """The verdict on the problem's tests. Time limits are multiplied by `time_factor`, Python's by `python_factor` too;
    Python gets twice the memory, and at least 512 MB, since the limit here is on address space.
    """
    seconds, megabytes = problem.metadata["time_limit"] * time_factor, problem.metadata["memory_limit"]
    if program.language == "python":
        seconds, megabytes = seconds * python_factor, max(megabytes * _PYTHON_MEMORY, _PYTHON_LEAST_MB)
    checker = problem.metadata["checker"]
    return judge(
        Program(
            program.code,
            tests,
            language="c++17" if program.language == "cpp" else "python",
            limits=Limits(cpu_seconds=seconds, memory_mb=int(megabytes)),
            prelude=False,
        ),
        comparison=Checker(checker) if checker else "tokens",
    )
