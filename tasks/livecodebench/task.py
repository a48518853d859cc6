"""The LiveCodeBench task: problems selected by release and contest date, programs judged in the sandbox."""

import functools
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal

import evalkit
from evalkit import DatasetSpec, Problem, Score, Task
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.file_cache import kept_for_file
from evalkit.errors import EvalkitError
from evalkit.files import open_file, parse_json
from evalkit.types import Metric, Status

from .code_blocks import extract_code, official_code
from .hidden_tests import decode_tests

log = logging.getLogger(__name__)

_FILES = ("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl", "test6.jsonl")
_PAPER_WINDOW = "2024-08-01:2025-01-31"
_FILE_ROWS = dict(zip(_FILES, (400, 111, 101, 101, 167, 175), strict=True))
_INDEX_VERSION = 1  # of what is kept of a file: raised with any change of a Problem
_COLUMNS = ("question_content", "question_id", "contest_date", "public_test_cases", "private_test_cases", "metadata")
# from LiveCodeBench (lcb_runner/prompts/code_generation.py, the prompt for DeepSeek-R1), MIT license
_TASK = (
    "You will be given a question (problem specification) and will generate a correct Python program that matches the "
    "specification and passes all tests.\n\n{problem}"
)
_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters.\n```python\n{starter}\n```"
)
_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```"
)


@dataclass
class LiveCodeBench(Task):
    """`release`: release_v1 to release_v6 (everything up to it), v4 or v4_v5 (only these files). `window`: contest
    dates, both ends included, or all. `mode`: script, or the official runner's verdicts: lcb-compat (January 2025),
    lcb-compat-2025-05 (May 2025 and later). `timeout`: CPU seconds a test.
    """

    name: ClassVar[str] = "livecodebench"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "LiveCodeBench"
    kind: ClassVar[Literal["code"]] = "code"
    aliases: ClassVar[tuple[str, ...]] = ("lcb", "live_code_bench")
    n: ClassVar[int] = 16
    score_timeout: ClassVar[float] = 4 * 3600.0
    unsafe_options: ClassVar[tuple[str, ...]] = ("unsafe_no_sandbox",)
    dataset: ClassVar[DatasetSpec] = DatasetSpec(
        hub_id="livecodebench/code_generation_lite",
        revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
        split="test",
        columns=_COLUMNS,
        files=_FILES[:5],
    )
    prompt = _TASK

    release: str = "release_v5"
    window: str = _PAPER_WINDOW
    mode: Literal["script", "lcb-compat", "lcb-compat-2025-05"] = "script"
    timeout: float = 6.0
    memory_mb: int = 4096
    all_tests: bool = False
    unsafe_no_sandbox: bool = False

    def __post_init__(self) -> None:
        files = release_files(self.release)
        begin, end = parse_window(self.window)
        span = "all dates" if begin == date.min else f"{begin} to {end}"
        unsafe = ", UNSAFE: no sandbox" if self.unsafe_no_sandbox else ""
        vars(self)["title"] = f"LiveCodeBench ({self.release}, {span}, {self.mode}{unsafe})"
        vars(self)["dataset"] = replace(type(self).dataset, files=files)

    def load(self, source: DataSource) -> Sequence[Problem]:
        """The problems in file order. Raises EvalkitError for invalid data."""
        begin, end = parse_window(self.window)
        every = [p for path in source.files(self.dataset) for p in _problems(path)]
        self._require_whole_release(len(every), source)
        problems = [p for p in every if begin <= _day(p.metadata["contest_date"]) <= end]
        if not problems:
            raise EvalkitError(
                f"LiveCodeBench {self.release} has no problems in the window {self.window}.",
                "choose another window or release, such as -T window=2024-08-01:2025-01-31 -T release=release_v5.",
            )
        log.info(
            "livecodebench: %d problems: %s, window %s, mode %s", len(problems), self.release, self.window, self.mode
        )
        return problems

    def _require_whole_release(self, found: int, source: DataSource) -> None:
        """A set that is not the release's has its size in the title. Raises EvalkitError for one in a local folder."""
        whole = sum(_FILE_ROWS[name] for name in self.dataset.files)
        if found == whole:
            return
        if source.root is not None and not source.allow_changed:
            raise EvalkitError(
                f"LiveCodeBench {self.release} has {whole} problems, and {source.root} has {found} of them.",
                "download the whole data set, or pass --allow-changed-data to use what is there.",
            )
        log.warning("livecodebench: %s has %d problems, this data has %d", self.release, whole, found)
        vars(self)["title"] = f"{self.title[:-1]}, {found} of {whole} problems of the release)"

    def require_machine(self) -> None:
        from evalkit.sandbox import Sandbox

        if self.unsafe_no_sandbox:
            log.warning("UNSAFE: programs run without a sandbox, with all permissions of this user")
            return
        with Sandbox() as sandbox:
            sandbox.layers()

    def with_data(self, problem: Problem) -> Problem:
        """The problem with its row. Raises EvalkitError if the file has changed since it was loaded."""
        return replace(problem, metadata={**problem.metadata, "row": _row(problem)})

    def score(self, problem: Problem, response: str) -> Score:
        """Correct if every test passes. The explanation starts with the verdict. A sandbox failure is an error."""
        from evalkit.sandbox import Limits, Program, judge, shared_sandbox

        row = _row(problem)
        fn_name = problem.metadata["fn_name"]
        code, rule = extract_code(response, fn_name)
        if self.mode != "script":
            code, rule = official_code(response), "between the last two fences"
        if not code.strip():
            return Score(0.0, "no_answer", explanation=f"no code: {rule}", metadata={"verdict": "no code"})
        tests = decode_tests(row, f"{problem.id} ({problem.metadata['file']}, byte {problem.metadata['offset']})")
        done = judge(
            Program(code, tests, fn_name, "python", Limits(cpu_seconds=self.timeout, memory_mb=self.memory_mb)),
            mode=self.mode,
            all_tests=self.all_tests,
            sandbox=shared_sandbox(unsafe=self.unsafe_no_sandbox),
        )
        passed = sum(test.verdict == "accepted" for test in done.tests)
        explanation = f"{done.verdict}: {passed} of {len(tests)} tests passed"
        if done.explanation:
            explanation += f"; {done.explanation}"
        if done.reruns:
            explanation += f"; time limits run again alone: {done.reruns}, changed: {done.reruns_changed}"
        status: Status = "error" if done.verdict == "sandbox error" else "correct" if done.passed else "wrong"
        facts = {"verdict": done.verdict, "reruns": done.reruns, "reruns_changed": done.reruns_changed}
        return Score(float(status == "correct"), status, code, explanation, rule, metadata=facts)

    def gold_response(self, problem: Problem) -> str | None:
        return None

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        """Completions by verdict, pass@1 by difficulty, and the tests that were run again after a time limit."""
        every = [score for of_problem in scores.values() for score in of_problem]
        verdicts = Counter(str(score.metadata["verdict"]) for score in every if "verdict" in score.metadata)
        metrics = [
            Metric(f"verdict {verdict}", count, len(every), "count")
            for verdict, count in sorted(verdicts.items(), key=lambda item: (-item[1], item[0]))
        ]
        for difficulty in ("easy", "medium", "hard"):
            ids = {p.id for p in problems if p.metadata["difficulty"] == difficulty}
            values = [[s.value for s in of_problem] for name, of_problem in scores.items() if name in ids]
            if any(values):
                metrics.append(evalkit.mean_metric(f"pass@1 {difficulty}", values))
        for name, fact in (("time limits run again", "reruns"), ("time limits changed", "reruns_changed")):
            metrics.append(Metric(name, sum(int(s.metadata.get(fact) or 0) for s in every), len(every), "count"))
        return metrics


def release_files(release: str) -> tuple[str, ...]:
    """The files of a release, named as by the hub's loader. Raises EvalkitError for an unknown release."""
    if match := re.fullmatch(r"release_v([1-6])", release):
        return _FILES[: int(match[1])]
    if release == "release_latest":
        return _FILES
    if (match := re.fullmatch(r"v([1-6])(?:_v([1-6]))?", release)) and int(match[1]) <= int(match[2] or match[1]):
        return _FILES[int(match[1]) - 1 : int(match[2] or match[1])]
    raise EvalkitError(
        f"LiveCodeBench has no release {release!r}.",
        "use release_v1 to release_v6 (cumulative), or single files such as v4 or v4_v5.",
    )


def parse_window(window: str) -> tuple[date, date]:
    """The first and the last contest date, both included. Raises EvalkitError if the window is invalid."""
    if window in ("all", ""):
        return date.min, date.max
    try:
        first, _, last = window.partition(":")
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError as error:
        raise EvalkitError(
            f"The window {window!r} is not a pair of dates: {error}.", "write it as 2024-08-01:2025-01-31, or all."
        ) from error
    if begin > end:
        raise EvalkitError(f"The window {window} ends before it starts.", "write the earlier date first.")
    return begin, end


def _day(text: str) -> date:
    return date.fromisoformat(text[:10])


def _problems(path: Path) -> Iterator[Problem]:
    """The problems of a file. The tests stay in the file; a problem stores their position."""
    for record in kept_for_file(path, "livecodebench", _read_problems, _INDEX_VERSION):
        yield Problem(**record)


def _read_problems(path: Path) -> list[dict[str, Any]]:
    found = []
    with open_file(path) as stream:
        offset = 0
        for number, line in enumerate(stream, start=1):
            if line.strip():
                row = _parse(line, f"Line {number} of {path}")
                found.append(asdict(_problem(row, line, str(path.resolve()), offset, number)))
            offset += len(line)
    return found


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise EvalkitError(f"{where} is not JSON: {error}.", "download the file again.") from error
    missing = [name for name in _COLUMNS if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise EvalkitError(
            f"{where} has no {', '.join(missing)}.",
            f"the data set needs the columns {', '.join(_COLUMNS)}.",
        )
    return dict(row)


def _problem(row: dict[str, Any], line: bytes, file: str, offset: int, number: int) -> Problem:
    where = f"Line {number} of {file} ({row['question_id']})"
    try:
        fn_name = parse_json(row["metadata"]).get("func_name")
        _day(row["contest_date"])
    except (ValueError, AttributeError, TypeError) as error:
        raise EvalkitError(f"{where} has an invalid date or metadata: {error}.", "download the file again.") from error
    starter = row.get("starter_code") or ""
    ending = _STARTER.replace("{starter}", starter) if starter else _STDIN
    metadata = {
        "fn_name": fn_name,
        "contest_date": row["contest_date"],
        "difficulty": row.get("difficulty", ""),
        "platform": row.get("platform", ""),
        "file": file,
        "offset": offset,
        "length": len(line),
    }
    prompt = f"Question: {row['question_content']}\n\n{ending}"
    return Problem(row["question_id"], prompt, hashlib.sha256(line).hexdigest(), metadata)


def _row(problem: Problem) -> dict[str, Any]:
    """The problem's row, read again from its file. Raises EvalkitError if it has changed since it was loaded."""
    where = problem.metadata
    if "row" in where:
        return dict(where["row"])
    return _read_row(where["file"], where["offset"], where["length"], problem.target)


@functools.lru_cache(maxsize=4)
def _read_row(file: str, offset: int, length: int, digest: str) -> dict[str, Any]:
    try:
        with open_file(Path(file)) as stream:
            stream.seek(offset)
            line = stream.read(length)
    except OSError as error:
        raise EvalkitError(f"The test file {file} cannot be read: {error}.", "restore the file.") from error
    if hashlib.sha256(line).hexdigest() != digest:
        raise EvalkitError(f"{file} has changed since its problems were loaded.", "run `evalkit score` again.")
    return _parse(line, f"The row at byte {offset} of {file}")
