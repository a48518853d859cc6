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
from evalkit.sandbox.machine import SandboxUnavailableError, require_resources
from evalkit.sandbox.pool import Sandbox, shared_sandbox
from evalkit.sandbox.records import CODES, MODES, Checker, Judgement, Mode, Program, TestResult, Verdict
from evalkit.sandbox.replies import Reply, printable

_ATTEMPTS = 2
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

    `mode` script runs it as an ordinary script; lcb-compat as LiveCodeBench's official runner of January 2025,
    lcb-compat-2025-05 as that of May 2025 and later (Python only, `comparison` lines). The first test that fails ends
    it unless `all_tests`. A "sandbox error" is the machine's fault or the tests', never the program's: where a jail
    breaks twice under a program and then holds another one, the program gets a runtime error.

    Raises EvalkitError for a program without tests and for options that do not go together, SandboxUnavailableError
    where nothing can be isolated or the machine's limits are below the program's.
    """
    _validate(program, mode, comparison)
    if not program.code.strip():
        missing = "there is no program"
        return Judgement("no code", (TestResult("no code", CODES["no code"], 0.0, 0.0, missing),), missing)
    sandbox = sandbox or shared_sandbox()
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            return _Judging(program, mode, comparison, all_tests, sandbox).run()
        except JailBrokenError as error:
            reason = str(error)
    if _holds(sandbox):
        return _rejected("runtime error", f"it broke its sandbox {_ATTEMPTS} times: {reason}")
    return Judgement("sandbox error", (), f"the sandbox failed {_ATTEMPTS} times: {reason}")


def _holds(sandbox: Sandbox) -> bool:
    """Whether a program that does nothing wrong is judged in this sandbox now."""
    healthy = Program("print(int(input()) + 1)", [("1", "2")])
    try:
        return _Judging(healthy, "script", "lines", False, sandbox).run().passed
    except (JailBrokenError, SandboxUnavailableError):
        return False


def _rejected(verdict: Verdict, explanation: str) -> Judgement:
    result = TestResult(verdict, CODES[verdict], 0.0, 0.0, explanation)
    return Judgement(verdict, (result,), explanation)


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
        raise EvalkitError(f"The mode {mode} has its own comparison.", "use the mode script with another comparison.")
    require_resources(program.limits)


@dataclass
class _Judging:
    program: Program
    mode: Mode
    comparison: Comparison | Checker
    all_tests: bool
    sandbox: Sandbox
    results: list[TestResult] = field(default_factory=list)
    reruns: int = 0
    changed: int = 0
    share: bool = True
    executable: int | None = None
    flavour: Flavour = "python"

    def run(self) -> Judgement:
        """Raises JailBrokenError."""
        program = self.program
        if len(program.code) > MOST_CODE:
            return _rejected("syntax error", f"a program of more than {MOST_CODE >> 20} MB")
        with contextlib.ExitStack() as stack:
            if find_language(program.language).name == "python":
                if "numpy" in program.code and has_numpy():
                    self.flavour = "numpy"
            else:
                try:
                    self.executable = stack.enter_context(compiled(program, self.sandbox))
                except CompileError as error:
                    return _rejected("syntax error", printable(str(error)))
            if (problem := self._bad_tests()) is not None:
                return problem
            try:
                self._run_tests()
            except _RejectedError as error:
                return _rejected(error.verdict, error.explanation)
        return self._judgement()

    def _judgement(self) -> Judgement:
        if self.results and self.results[-1].verdict == "sandbox error":
            *tests, last = self.results
            return Judgement("sandbox error", tuple(tests), last.explanation, self.reruns, self.changed)
        failed = next((test for test in self.results if test.verdict != "accepted"), None)
        verdict, explanation = (failed.verdict, failed.explanation) if failed else ("accepted", "")
        return Judgement(verdict, tuple(self.results), explanation, self.reruns, self.changed)

    def _job(self, tests: int) -> Job:
        program, limits = self.program, self.program.limits
        named = any(path in program.code for path in _NAMED_STREAMS)
        common: dict[str, Any] = {"mode": self.mode, "tests": tests, "prelude": program.prelude}
        if named and self.mode == "script" and not program.fn_name:
            longest = max(len(text) for text, _ in program.tests)
            common |= {"named_streams": True, "input_mb": (4 * longest >> 20) + 1}
        if self.executable is None:
            return Job("python", limits, code=program.code, fn_name=program.fn_name, share=self.share, **common)
        stack_mb = max(limits.stack_mb, min(limits.memory_mb, 1024))
        native = replace(limits, memory_mb=limits.memory_mb + _NATIVE_OVERHEAD_MB, stack_mb=stack_mb)
        return Job("binary", native, argv=["./solution"], executable=self.executable, **common)

    def _bad_tests(self) -> Judgement | None:
        """What is said of tests that are not JSON where a function is called; None where they are in order."""
        if not self.program.fn_name:
            return None
        try:
            for text, expected in self.program.tests:
                parse_json(expected)
                if self.mode != "script" and not expected.strip():
                    raise ValueError("it is blank")
                for line in text.split("\n"):
                    if line.strip() or self.mode != "script":
                        _require_json(line)
        except ValueError as error:
            if self.mode != "script":
                return _rejected("runtime error", f"a test is not JSON: {error}")
            return Judgement("sandbox error", (), f"a test's input or expected output is not JSON: {error}")
        return None

    @contextlib.contextmanager
    def _session(self, tests: int) -> Iterator[Session]:
        """The program, ready to be run. Raises _RejectedError where it cannot be."""
        try:
            with self.sandbox.lend(self.flavour) as jail, jail.session(self._job(tests)) as (session, status, detail):
                if status != "ready":
                    raise _RejectedError("syntax error", detail)
                yield session
        except ProgramCrashedError as error:
            raise _RejectedError("syntax error", "compiling it ended the interpreter or took too long") from error

    def _run_tests(self) -> None:
        """A result for each test up to the first that fails (all of them with `all_tests`)."""
        tests = [
            _Test(number, text.encode("utf-8", "surrogatepass"), text, expected)
            for number, (text, expected) in enumerate(self.program.tests)
        ]
        with _Room() as room:
            following: int | None = 0
            while following is not None and following < len(tests):
                with self._session(len(tests) - following) as session:
                    following, overdue = self._run_in(session, tests, following)
                if overdue is not None:
                    following = self._run_again(room, tests, overdue)

    def _run_in(self, session: Session, tests: "list[_Test]", begin: int) -> tuple[int | None, int | None]:
        """Run tests from `begin` on as long as this session can. Returns the test to go on with in another one (None:
        it is over) and the test that met its time limit, which is to be run again before that.
        """
        number, count = begin, _FIRST_TESTS
        while number < len(tests):
            for reply, output in session.run_many([test.data for test in _up_to(tests[number:], count)]):
                test = tests[number]
                verdict, explanation = self._grade(reply, output, test)
                if reply.shared and verdict not in _ANSWERS and self.mode == "script":
                    # it has not answered, and its process had run other tests: this is nothing that it did by itself
                    self.share = False
                    return number, None
                if verdict == "time limit":
                    return number, number
                if not self._add(test, verdict, explanation, reply):
                    return None, None
                number += 1
                if reply.stale:
                    return number, None
            count *= _GROWTH
        return number, None

    def _run_again(self, room: "_Room", tests: "list[_Test]", number: int) -> int | None:
        """The second run of a test that met its time limit: in a process and a folder that know nothing of the first,
        alone for a while. Returns the test to go on with.
        """
        self.reruns += 1
        test, share = tests[number], self.share
        seconds = 1.25 * self.program.limits.cpu_seconds + 0.5
        self.share = False
        with room.left(), locks.by_itself(seconds), self._session(1) as session:
            reply, output = session.run(test.data)
        self.share = share
        verdict, explanation = self._grade(reply, output, test)
        self.changed += verdict != "time limit"
        return number + 1 if self._add(test, verdict, explanation, reply) else None

    def _add(self, test: "_Test", verdict: Verdict, explanation: str, reply: Reply) -> bool:
        """Record a result. Returns whether the tests go on."""
        code: bool | int = True if verdict == "accepted" else CODES[verdict]
        if verdict == "wrong answer" and self.program.fn_name:
            code = False
        explanation = f"test {test.number + 1}: {explanation}" if explanation else ""
        self.results.append(TestResult(verdict, code, reply.cpu, reply.wall, explanation))
        if reply.ended and verdict == "runtime error" and self.mode != "script":
            # the official runner dies with the program: one code for all of its tests
            self.results = [replace(self.results[-1], result=-2)]
            return False
        return verdict == "accepted" or (self.all_tests and verdict != "sandbox error")

    def _grade(self, reply: Reply, output: bytes, test: "_Test") -> tuple[Verdict, str]:
        in_process = bool(self.program.fn_name) or self.mode != "script"
        failure, detail = reply.failure, reply.detail
        if reply.ended and in_process and failure is None:
            failure, detail = "runtime error", "it ended its process"
        if reply.full and failure in (None, "runtime error", "output limit"):
            return "output limit", f"more than {self.program.limits.output_mb} MB"
        if failure == "runtime error" and self.executable is not None:
            return self._native_failure(reply)
        if failure is not None:
            return failure, f"{detail} {_DIED}" if reply.ended and in_process else detail
        text = output.decode("utf-8", "surrogateescape")
        if self.program.fn_name:
            try:
                difference = same_value(text, test.expected)
            except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, IndexError) as error:
                return "runtime error", f"what it returned cannot be compared: {printable(str(error))}"
        elif isinstance(self.comparison, Checker):
            return self._ask_checker(self.comparison, test.text, text, test.expected)
        else:
            difference = (same_lines if self.comparison == "lines" else same_tokens)(text, test.expected)
        return ("accepted", "") if difference is None else ("wrong answer", printable(difference))

    def _native_failure(self, reply: Reply) -> tuple[Verdict, str]:
        if "bad_alloc" in reply.errors or reply.memory_mb > self.program.limits.memory_mb:
            return "memory limit", f"{reply.memory_mb:.0f} MB of {self.program.limits.memory_mb} MB"
        said = printable(reply.errors.strip(), 200)
        return "runtime error", f"{reply.detail}{': ' if said else ''}{said}"

    def _ask_checker(self, checker: Checker, text: str, output: str, expected: str) -> tuple[Verdict, str]:
        """A checker that fails on this output fails because of it, unless it fails on the expected output too."""
        right, said = run_checker(checker, self.sandbox, text, output, expected)
        if right is None:
            fit, _ = run_checker(checker, self.sandbox, text, expected, expected)
            if fit is not True:
                return "sandbox error", f"the checker failed: {said}"
            right, said = False, f"the checker failed on this output: {said}"
        return ("accepted", "") if right else ("wrong answer", f"checker: {said[:200]}")


_DIED = "(its process ended)"
MOST_CODE = 1 << 20
_NAMED_STREAMS = ("/dev/std", "/dev/fd/")
_ANSWERS: tuple[Verdict, ...] = ("accepted", "wrong answer", "output limit", "time limit")


class _RejectedError(Exception):
    """The program cannot be run at all."""

    def __init__(self, verdict: Verdict, explanation: str) -> None:
        self.verdict, self.explanation = verdict, explanation


@dataclass(frozen=True, slots=True)
class _Test:
    number: int
    data: bytes
    text: str
    expected: str


def _require_json(line: str) -> None:
    if not line.strip():
        raise ValueError("a blank line")
    parse_json(line)


def _up_to(tests: Sequence[_Test], count: int) -> Iterator[_Test]:
    """The first `count` tests, at least one, whose inputs have at most `_MOST_INPUT` bytes together."""
    size = _MOST_INPUT
    for number, test in enumerate(tests[:count]):
        size -= len(test.data)
        if number and size < 0:
            return
        yield test


def run_checker(checker: Checker, sandbox: Sandbox, text: str, output: str, expected: str) -> tuple[bool | None, str]:
    """Whether the checker calls the output right (None: it failed itself), and what it said. Raises JailBrokenError."""
    files = {"input.txt": text, "expected.txt": expected, "output.txt": output}
    names = ["input.txt", "expected.txt", "output.txt"]
    sizes = sum(len(content.encode("utf-8", "surrogatepass")) for content in files.values())
    limits = replace(checker.limits, folder_mb=checker.limits.folder_mb + (sizes >> 20) + 1)
    with contextlib.ExitStack() as stack:
        if find_language(checker.language).name == "python":
            job = Job("python", limits, code=checker.code, prelude=False, argv=names, files=files)
        else:
            try:
                executable = stack.enter_context(
                    compiled(Program(checker.code, [], language=checker.language), sandbox)
                )
            except CompileError as error:
                return None, printable(str(error))
            job = Job("binary", limits, argv=["./checker", *names], files=files, executable=executable)
        flavour: Flavour = "numpy" if "numpy" in checker.code and has_numpy() else "python"
        jail: Jail = stack.enter_context(sandbox.lend(flavour))
        try:
            with jail.session(job) as (session, status, detail):
                if status != "ready":
                    return None, detail
                reply, said = session.run(b"")
        except ProgramCrashedError:
            return None, "compiling it ended the interpreter"
    first = said[:_MOST_SAID].decode("utf-8", "replace").strip()
    if reply.failure is not None or reply.exit_code:
        code = _CHECKER_FAILED.get(reply.detail, reply.detail)
        return None, f"{reply.failure or 'ended'}: {code}"
    return _is_yes(first.split()[0].lower() if first else ""), printable(first)


_MOST_SAID = 4096
# testlib's codes; 1 and 2 say that the output is wrong, 3 that the checker or the jury's answer is at fault
_CHECKER_FAILED = {"exit code 3": "exit code 3, the checker says that it failed"}


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
