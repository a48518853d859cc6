"""Judges files of programs: JSON lines in, JSON lines out, in order, resumable."""

import contextlib
import gzip
import hashlib
import json
import os
import stat
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.sandbox.compare import MOST_NESTED, is_too_deep
from evalkit.sandbox.compiling import require_compiler
from evalkit.sandbox.judging import judge
from evalkit.sandbox.languages import find_language
from evalkit.sandbox.machine import require_resources
from evalkit.sandbox.pool import Sandbox
from evalkit.sandbox.records import VERDICTS, Judgement, Limits, Mode, Program

try:
    import fcntl
except ImportError:  # Windows has no sandbox, so nothing is ever judged there
    fcntl = None  # type: ignore[assignment]

_LOOK_AHEAD = 4


def read_cases(path: Path, limits: Limits) -> Iterator[tuple[str, Program]]:
    """(id, program) of every line. Raises EvalkitError that names the line which is not a case."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        if path.exists() and not (path.is_file() or _is_fed(path)):
            raise OSError("it is no file")
        with opener(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _case(line, path, number, limits)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise EvalkitError(f"{path} cannot be read: {error}.", "give a file of JSON lines, plain or .gz.") from error


def _is_fed(path: Path) -> bool:
    """Whether it is the standard input or a shell's `<(command)`: a named pipe or a device may never end."""
    return path.is_fifo() and path.parts[:2] in (("/", "dev"), ("/", "proc"))


def _case(line: str, path: Path, number: int, limits: Limits) -> tuple[str, Program]:
    def no_case(reason: str) -> EvalkitError:
        return EvalkitError(
            f"Line {number} of {path} is not a case: {reason}.",
            "a case is {id, code, tests: [[input, output], …], fn_name or null, timeout, language}.",
        )

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise no_case(str(error)) from error
    if not isinstance(row, dict):
        raise no_case("it is not an object")
    if isinstance(row.get("id"), bool) or not isinstance(row.get("id"), str | int):
        raise no_case("id or code is missing or not text")
    if not isinstance(row.get("code"), str):
        raise no_case("id or code is missing or not text")
    tests = row.get("tests")
    if not isinstance(tests, list) or not all(
        isinstance(t, list) and len(t) == 2 and all(isinstance(part, str) for part in t) for t in tests
    ):
        raise no_case("tests is not a list of [input, output]")
    fn_name, timeout = row.get("fn_name"), row.get("timeout", limits.cpu_seconds)
    if not (fn_name is None or isinstance(fn_name, str)):
        raise no_case("fn_name is not text")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0.001 <= timeout <= 86400:
        raise no_case(f"timeout is {str(timeout)[:40]}")
    if fn_name and any(is_too_deep(part) for test in tests for part in test):
        raise no_case(f"a test is nested more than {MOST_NESTED} deep")
    language = row.get("language") or "python"
    find_language(str(language))
    return str(row["id"]), Program(
        row["code"],
        [(test[0], test[1]) for test in tests],
        fn_name or None,
        str(language),
        replace(limits, cpu_seconds=float(timeout)),
    )


def check_cases(path: Path, limits: Limits) -> None:
    """Read every case before the first one is judged. Raises EvalkitError for a line that is not a case, and where this
    machine lacks what the programs need.
    """
    languages = set()
    require_resources(limits)
    for _, program in read_cases(path, limits):
        if program.language not in languages:
            languages.add(program.language)
            language = find_language(program.language)
            if language.compiler:
                require_compiler(language)
        require_resources(program.limits)


def judge_all(
    programs: Iterable[tuple[str, Program]],
    *,
    mode: Mode = "script",
    workers: int,
    all_tests: bool = False,
    sandbox: Sandbox | None = None,
) -> Iterator[tuple[str, Judgement]]:
    """(id, judgement) of every program, in their order; `workers` at once, and never more than a few read ahead.

    A program without tests gets a sandbox error that says so. Raises what `judge` raises for the other reasons.
    """

    def one(program: Program) -> Judgement:
        if not program.tests:
            return Judgement("sandbox error", (), "no tests: there is nothing to judge it by")
        return judge(program, mode=mode, all_tests=all_tests, sandbox=sandbox)

    waiting: deque[tuple[str, Future[Judgement]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="judge") as executor:
        try:
            for name, program in programs:
                waiting.append((name, executor.submit(one, program)))
                while len(waiting) > _LOOK_AHEAD * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def fingerprint(program: Program) -> str:
    """What a verdict is on: a hash of the program, its tests and its limits."""
    parts = [program.code, program.fn_name, program.language, program.limits.cpu_seconds, *program.tests]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def verdict_line(name: str, judgement: Judgement) -> dict[str, Any]:
    """What stands in a line of verdicts."""
    return {
        "id": name,
        "passed": judgement.passed,
        "verdict": judgement.verdict,
        "results": judgement.results,
        "cpu_seconds": round(judgement.cpu_seconds, 6),
        "explanation": judgement.explanation,
        "reruns": judgement.reruns,
        "reruns_changed": judgement.reruns_changed,
    }


def judge_file(
    cases: Path,
    verdicts: Path,
    *,
    mode: Mode = "script",
    workers: int,
    limits: Limits | None = None,
    all_tests: bool = False,
    sandbox: Sandbox | None = None,
    progress: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Counter[str]:
    """Judge every case and append its line to `verdicts`; lines already there are kept. Returns the verdicts' counts.

    Raises EvalkitError where `verdicts` belongs to other cases or another mode, or another judge writes to it.
    """
    counts: Counter[str] = Counter()
    limits = limits or Limits()
    if cases.is_file():  # what is no file, a pipe, can be read once only
        check_cases(cases, limits)
    with _locked(verdicts) as stream:
        done = _resume(verdicts, mode, counts)
        ahead: deque[str] = deque()

        def programs() -> Iterator[tuple[str, Program]]:
            every = read_cases(cases, limits)
            for position, (name, print_) in enumerate(done, start=1):
                following = next(every, None)
                if following is None or following[0] != name or print_ not in (None, fingerprint(following[1])):
                    raise EvalkitError(
                        f"{verdicts} holds verdicts on other cases: its line {position} is on {name[:80]}.",
                        "write to another file, or delete it to judge everything again.",
                    )
            for name, program in every:
                ahead.append(fingerprint(program))
                yield name, program

        for name, judgement in judge_all(programs(), mode=mode, workers=workers, all_tests=all_tests, sandbox=sandbox):
            line = verdict_line(name, judgement) | {"mode": mode, "case": ahead.popleft()}
            stream.write(json.dumps(line).encode() + b"\n")
            counts[judgement.verdict] += 1
            progress(line)
    return counts


@contextlib.contextmanager
def _locked(verdicts: Path) -> Iterator[FileIO]:
    """The file, open to append to, as long as nobody else writes to it."""
    try:
        descriptor = os.open(verdicts, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise EvalkitError(f"{verdicts} cannot be written: {error.strerror}.", "name another file with -o.") from error
    with FileIO(descriptor, "a") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EvalkitError(f"{verdicts} is not a file.", "name a file with -o: a run is resumed from it.")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EvalkitError(
                f"Another `evalkit judge` writes to {verdicts}.", "wait for it, or write to another file."
            ) from error
        yield stream


def _resume(verdicts: Path, mode: Mode, counts: Counter[str]) -> list[tuple[str, str | None]]:
    """The ids of the whole lines that are there and what each is on; a line that a crash cut off is removed."""
    done = []
    whole = 0
    with verdicts.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            row: Any = None
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
            if not isinstance(row, dict) or row.get("verdict") not in VERDICTS or not isinstance(row.get("id"), str):
                raise EvalkitError(f"Line {number} of {verdicts} is not a verdict.", "write to another file.")
            if row.get("mode") != mode:
                raise EvalkitError(
                    f"{verdicts} holds verdicts of the mode {str(row.get('mode'))[:40]!r}.",
                    f"write the mode {mode} to another file.",
                )
            case = row.get("case")
            done.append((row["id"], case if isinstance(case, str) else None))
            counts[row["verdict"]] += 1
            whole += len(line)
    if whole < verdicts.stat().st_size:
        os.truncate(verdicts, whole)
    return done
