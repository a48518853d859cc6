"""Judges one program: every test in the sandbox, every comparison out here."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.sandbox import locks
from evalkit.sandbox.compare import Comparison, parse_json, same_lines, same_tokens, same_value
from evalkit.sandbox.compiling import CompileError, compiled
from evalkit.sandbox.jail import Flavour, Jail, JailBrokenError, Job, ProgramCrashedError, Session, has_numpy
from evalkit.sandbox.languages import find_language
from evalkit.sandbox.pool import Sandbox, shared_sandbox
from evalkit.sandbox.records import CODES, MODES, Checker, Judgement, Mode, Program, TestResult, Verdict

_ATTEMPTS = 3
_YES = ("1", "ok", "yes", "true", "accepted")
_NATIVE_OVERHEAD_MB = 64
# so many tests are asked for at once, then so many times more, with at most so many bytes of input
_FIRST_TESTS, _GROWTH, _MOST_INPUT = 2, 4, 8 << 20


def judge(
    program: Program,
    *,
    mode: Mode = "script",
    comparison: Comparison | Checker = "lines",
    all_tests: bool = False,
    sandbox: Sandbox | None = None,
) -> Judgement:
    """The verdict on a program. Callable from several threads and processes at once.

    `mode` script runs it as an ordinary script; lcb-compat as LiveCodeBench's official runner of January 2025 (Python
    only, `comparison` lines). The first test that fails ends it unless `all_tests`. A program is never to blame for a
    "sandbox error": it was tried three times. Raises EvalkitError for a program without tests and for options that do
    not go together, SandboxUnavailableError where nothing can be isolated.
    """
    _validate(program, mode, comparison)
    if not program.code.strip():
        missing = "there is no program"
        return Judgement("no code", (TestResult("no code", CODES["no code"], 0.0, 0.0, missing),), missing)
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            return _Judging(program, mode, comparison, all_tests, sandbox or shared_sandbox()).run()
        except JailBrokenError as error:
            reason = str(error)
    return Judgement("sandbox error", (), f"the sandbox failed {_ATTEMPTS} times: {reason}")


def _validate(program: Program, mode: Mode, comparison: Comparison | Checker) -> None:
    if not program.tests:
        raise EvalkitError("A program without tests cannot be judged.", "give it at least one test: [[input, output]].")
    if mode not in MODES:
        raise EvalkitError(f"There is no mode {mode!r}.", f"modes: {', '.join(MODES)}.")
    language = find_language(program.language)
    if language.name != "python" and (program.fn_name or mode != "script"):
        raise EvalkitError(
            f"{language.name} programs are judged as whole programs in the mode script.",
            "leave fn_name out and use the mode script.",
        )
    if mode != "script" and comparison != "lines":
        raise EvalkitError(
            "The mode lcb-compat has its own comparison.", "use the mode script with another comparison."
        )


@dataclass
class _Judging:
    program: Program
    mode: Mode
    comparison: Comparison | Checker
    all_tests: bool
    sandbox: Sandbox
    tests: list[TestResult] = field(default_factory=list)
    reruns: int = 0
    changed: int = 0

    def run(self) -> Judgement:
        """Raises JailBrokenError."""
        program = self.program
        limits = program.limits
        with contextlib.ExitStack() as stack:
            common: dict[str, Any] = {"mode": self.mode, "tests": len(program.tests), "prelude": program.prelude}
            flavour: Flavour = "python"
            if find_language(program.language).name == "python":
                if "numpy" in program.code and has_numpy():
                    flavour = "numpy"
                job = Job("python", limits, code=program.code, fn_name=program.fn_name, **common)
            else:
                try:
                    executable = stack.enter_context(compiled(program, self.sandbox))
                except CompileError as error:
                    return self._rejected("syntax error", str(error))
                stack_mb = max(limits.stack_mb, min(limits.memory_mb, 1024))
                native = replace(limits, memory_mb=limits.memory_mb + _NATIVE_OVERHEAD_MB, stack_mb=stack_mb)
                job = Job("binary", native, argv=["./solution"], executable=executable, **common)
            if (problem := self._bad_tests()) is not None:
                return problem
            jail = stack.enter_context(self.sandbox.lend(flavour))
            try:
                with jail.session(job) as (session, first):
                    if first["status"] != "ready":
                        return self._rejected(first["status"], first["detail"])
                    return self._run_tests(session)
            except ProgramCrashedError:
                return self._rejected("syntax error", "compiling it ended the interpreter")

    def _rejected(self, verdict: Verdict, explanation: str) -> Judgement:
        result = TestResult(verdict, CODES[verdict], 0.0, 0.0, explanation)
        return Judgement(verdict, (result,), explanation)

    def _bad_tests(self) -> Judgement | None:
        """What is said of tests that are no JSON where a function is called; None where they are in order."""
        if not self.program.fn_name:
            return None
        try:
            for text, expected in self.program.tests:
                parse_json(expected)
                if self.mode == "lcb-compat":
                    for line in text.split("\n"):
                        parse_json(line)
        except ValueError as error:
            if self.mode == "lcb-compat":
                return self._rejected("runtime error", f"a test is no JSON: {error}")
            return Judgement("sandbox error", (), f"a test's expected output is no JSON: {error}")
        return None

    def _run_tests(self, session: Session) -> Judgement:
        with _Room() as room:
            for result in self._results(session, room):
                if result.verdict == "sandbox error":
                    return Judgement("sandbox error", tuple(self.tests), result.explanation, self.reruns, self.changed)
                self.tests.append(result)
                if result.explanation.endswith(_DIED) and self.mode == "lcb-compat":
                    self.tests = [replace(result, result=-2)]
                    break
                if result.verdict != "accepted" and not self.all_tests:
                    break
        failed = next((test for test in self.tests if test.verdict != "accepted"), None)
        verdict, explanation = (failed.verdict, failed.explanation) if failed else ("accepted", "")
        return Judgement(verdict, tuple(self.tests), explanation, self.reruns, self.changed)

    def _results(self, session: Session, room: "_Room") -> Iterator[TestResult]:
        """One result a test. Few tests are asked for at first, for most programs that fail do so at once."""
        tests = [(text.encode("utf-8", "surrogatepass"), text, expected) for text, expected in self.program.tests]
        number, count = 0, _FIRST_TESTS
        while number < len(tests):
            batch = list(_up_to(tests[number : number + count], _MOST_INPUT))
            for reply in session.run_many([data for data, _, _ in batch]):
                result = self._settle(session, room, reply, *tests[number], number + 1)
                number += 1
                yield result
            count *= _GROWTH

    def _settle(
        self, session: Session, room: "_Room", reply: dict[str, Any], data: bytes, text: str, expected: str, number: int
    ) -> TestResult:
        """The result of one test; where its first run was not fair to it, that of another."""
        verdict, explanation = self._grade(session, reply, text, expected)
        isolated = self.mode == "script" and not self.program.fn_name
        if verdict not in ("accepted", "time limit") and isolated and not reply["new"]:
            # the script has shared its process with earlier tests: only a process of its own counts against it
            session.stop()
            reply = session.run(data, fresh=True)
            verdict, explanation = self._grade(session, reply, text, expected)
        if verdict == "time limit":
            self.reruns += 1
            with room.left(), locks.by_itself():
                reply = session.run(data, fresh=True)
            verdict, explanation = self._grade(session, reply, text, expected)
            self.changed += verdict != "time limit"
        code: bool | int = True if verdict == "accepted" else CODES[verdict]
        if verdict == "wrong answer" and self.program.fn_name:
            code = False
        explanation = f"test {number}: {explanation}" if explanation else ""
        return TestResult(verdict, code, reply["cpu"], reply["wall"], explanation)

    def _grade(self, session: Session, reply: dict[str, Any], text: str, expected: str) -> tuple[Verdict, str]:
        status, detail = reply["status"], reply["detail"]
        in_process = bool(self.program.fn_name) or self.mode == "lcb-compat"
        if status in ("died", "exited") and in_process:
            return "runtime error", f"{detail} {_DIED}"
        if status == "bad tests":
            return "sandbox error", f"the test's input is no JSON: {detail}"
        if reply["full"]:
            return "output limit", f"more than {self.program.limits.output_mb} MB"
        if status == "runtime error" and find_language(self.program.language).name != "python":
            return self._native_failure(session, reply)
        if status not in ("ok", "exited"):
            return status, detail
        output = reply["output"].decode("utf-8", "surrogateescape")
        if self.program.fn_name:
            try:
                difference = same_value(output, parse_json(expected))
            except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
                return "runtime error", f"what it returned cannot be compared: {error}"
        elif isinstance(self.comparison, Checker):
            return self._ask_checker(self.comparison, text, output, expected)
        else:
            difference = (same_lines if self.comparison == "lines" else same_tokens)(output, expected)
        return ("accepted", "") if difference is None else ("wrong answer", difference)

    def _native_failure(self, session: Session, reply: dict[str, Any]) -> tuple[Verdict, str]:
        errors = session.errors().decode("utf-8", "replace").strip()
        used = reply.get("memory_mb", 0.0)
        if "bad_alloc" in errors or used > self.program.limits.memory_mb:
            return "memory limit", f"{used:.0f} MB of {self.program.limits.memory_mb} MB"
        return "runtime error", f"{reply['detail']}{': ' if errors else ''}{errors[:200]}"

    def _ask_checker(self, checker: Checker, text: str, output: str, expected: str) -> tuple[Verdict, str]:
        right, said = run_checker(checker, self.sandbox, text, output, expected)
        if right is None:
            if said.endswith(_CHECKER_FAILED):
                return "sandbox error", f"the checker says that it failed: {said}"
            fit, _ = run_checker(checker, self.sandbox, text, expected, expected)
            if fit is not True:
                return "sandbox error", f"the checker failed: {said}"
            right, said = False, f"the checker failed on this output: {said}"
        return ("accepted", "") if right else ("wrong answer", f"checker: {said[:200]}")


_DIED = "(its process ended)"
_CHECKER_FAILED = "exit code 3"  # testlib's _fail: the checker or the jury's answer is at fault, not the output


def _up_to(tests: Sequence[tuple[bytes, str, str]], size: int) -> Iterator[tuple[bytes, str, str]]:
    """The first tests, at least one, whose inputs have at most `size` bytes together."""
    for number, test in enumerate(tests):
        size -= len(test[0])
        if number and size < 0:
            return
        yield test


def run_checker(checker: Checker, sandbox: Sandbox, text: str, output: str, expected: str) -> tuple[bool | None, str]:
    """Whether the checker calls the output right (None: it failed itself), and what it said. Raises JailBrokenError."""
    files = {"input.txt": text, "expected.txt": expected, "output.txt": output}
    names = ["input.txt", "expected.txt", "output.txt"]
    with contextlib.ExitStack() as stack:
        if find_language(checker.language).name == "python":
            job = Job("python", checker.limits, code=checker.code, prelude=False, argv=names, files=files)
        else:
            try:
                executable = stack.enter_context(
                    compiled(Program(checker.code, [], language=checker.language), sandbox)
                )
            except CompileError as error:
                return None, str(error)
            job = Job("binary", checker.limits, argv=["./checker", *names], files=files, executable=executable)
        flavour: Flavour = "numpy" if "numpy" in checker.code and has_numpy() else "python"
        jail: Jail = stack.enter_context(sandbox.lend(flavour))
        try:
            with jail.session(job) as (session, first):
                if first["status"] != "ready":
                    return None, first["detail"]
                reply = session.run(b"")
        except ProgramCrashedError:
            return None, "compiling it ended the interpreter"
    if reply["status"] not in ("ok", "exited") or reply["detail"]:
        return None, f"{reply['status']}: {reply['detail']}"
    said = reply["output"].decode("utf-8", "replace").strip()
    return _is_yes(said.split()[0].lower() if said else ""), said


def _is_yes(word: str) -> bool:
    if word in _YES:
        return True
    try:
        return float(word) > 0
    except ValueError:
        return False


class _Room:
    """The place among the programs that run at the same time; `left` gives it up for a while."""

    def __enter__(self) -> "_Room":
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(locks.beside_others())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        self._stack.close()
        try:
            yield
        finally:
            self._stack.enter_context(locks.beside_others())
