"""A run directory: append, resume, verify.

results/<model>/<run-id>/
  run.json                   what was run: all that changes a number, and on what machine
  <task>/completions.jsonl   append only, raw and whole
  <task>/scores.jsonl        append only within a scoring pass
  <task>/report.json         derived
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing.TypedDict before Python 3.12

from evalkit.errors import EvalkitError
from evalkit.store.lines import damaged, read_checked, write_atomically
from evalkit.types import Completion, FinishReason, SampleKey, Score, Status

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TaskStore:
    """The files of one task of a run."""

    folder: Path

    @property
    def completions_path(self) -> Path:
        return self.folder / "completions.jsonl"

    @property
    def scores_path(self) -> Path:
        return self.folder / "scores.jsonl"

    @property
    def rescoring_path(self) -> Path:
        """A scoring pass under way; it takes the place of `scores_path` when it is whole."""
        return self.folder / "scores.new.jsonl"

    @property
    def report_path(self) -> Path:
        return self.folder / "report.json"

    def completions(self) -> Iterator[Completion]:
        """Every completion in the order of the file; one that an engine fault spoilt may come again later.

        Raises EvalkitError on a damaged line, and on a sample that is there twice.
        """
        path = self.completions_path
        finished: defaultdict[str, set[int]] = defaultdict(set)
        for number, line in read_checked(path):
            completion: Completion = _validated(Completion, line, path, number)
            of_problem = finished[completion.problem_id]
            if completion.sample_index in of_problem:
                raise _there_twice(path, number, completion.problem_id, completion.sample_index)
            if completion.error is None:
                of_problem.add(completion.sample_index)
            yield completion

    def completion_facts(self) -> Iterator["CompletionFacts"]:
        """As `completions`, but only the fields that figures are made of: the others are not looked at."""
        path = self.completions_path
        validate = _validator(CompletionFacts).validate_json
        finished: defaultdict[str, set[int]] = defaultdict(set)
        for number, line in read_checked(path):
            try:
                facts: CompletionFacts = validate(line)
            except ValidationError:
                facts = _validated(CompletionFacts, line, path, number)
            of_problem = finished[facts["problem_id"]]
            if facts["sample_index"] in of_problem:
                raise _there_twice(path, number, facts["problem_id"], facts["sample_index"])
            if "error" not in facts or facts["error"] is None:
                of_problem.add(facts["sample_index"])
            yield facts

    def finished(self) -> set[tuple[str, int]]:
        """(problem id, sample index) of every completion that no engine fault spoilt."""
        return {(c.problem_id, c.sample_index) for c in self.completions() if c.error is None}

    def scores(self, path: Path | None = None) -> Iterator[tuple[Score, str]]:
        """Every score with the name of the grader that gave it. A later score of a sample replaces an earlier one."""
        path = path or self.scores_path
        for number, line in read_checked(path):
            stored: _ScoreLine = _validated(_ScoreLine, line, path, number)
            key = SampleKey(stored.task, stored.problem_id, stored.sample_index)
            try:
                score = Score(stored.value, stored.status, stored.answer, stored.explanation, stored.extracted_by, key)
            except ValueError as error:
                raise damaged(path, number, str(error)) from error
            yield score, stored.grader

    def score_facts(self) -> Iterator["ScoreFacts"]:
        """As `scores`, but only the fields that figures are made of: the others are not looked at."""
        path = self.scores_path
        validate = _validator(ScoreFacts).validate_json
        for number, line in read_checked(path):
            try:
                facts: ScoreFacts = validate(line)
            except ValidationError:
                facts = _validated(ScoreFacts, line, path, number)
            yield facts


@dataclass(frozen=True, slots=True)
class _ScoreLine:
    """A line of scores.jsonl: a score, its key and its grader side by side."""

    task: str
    problem_id: str
    sample_index: int
    value: float
    status: Status
    answer: str | None
    explanation: str
    extracted_by: str
    grader: str


class CompletionFacts(TypedDict):
    """What the figures need of a line of completions.jsonl."""

    problem_id: str
    sample_index: int
    finish_reason: FinishReason
    completion_tokens: int | None
    error: NotRequired[str | None]


class ScoreFacts(TypedDict):
    """What the figures need of a line of scores.jsonl."""

    problem_id: str
    sample_index: int
    value: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    status: Status
    answer: str | None


class _Named(TypedDict):
    name: str


class _Limit(TypedDict):
    max_tokens: int


class _TaskIdentity(TypedDict):
    version: int
    sampling: _Limit


class _Count(TypedDict):
    n: Annotated[int, Field(ge=1)]


class _DescribedTask(TypedDict):
    title: str
    spec: _Named
    identity: _TaskIdentity
    sampling: _Count
    problem_ids: list[str]


class _Identity(TypedDict):
    protocol: _Named


class _Description(TypedDict):
    """What readers take for granted of run.json; what else it holds is not looked at."""

    model: str
    identity: _Identity
    tasks: dict[str, _DescribedTask]


def _there_twice(path: Path, number: int, problem_id: str, sample_index: int) -> EvalkitError:
    return damaged(path, number, f"sample {sample_index} of problem {problem_id} is there twice")


def completion_record(completion: Completion) -> dict[str, Any]:
    return {name: getattr(completion, name) for name in Completion.__dataclass_fields__}


def score_record(score: Score, grader: str) -> dict[str, Any]:
    assert score.key is not None
    own = {name: getattr(score, name) for name in Score.__dataclass_fields__ if name != "key"}
    return {**score.key._asdict(), **own, "grader": grader}


@cache
def _validator(record_type: Any) -> Any:
    return TypeAdapter(record_type).validator


def _validated(record_type: Any, line: bytes, path: Path, number: int) -> Any:
    validator = _validator(record_type)
    try:
        try:
            return validator.validate_json(line)
        except ValidationError:
            return validator.validate_python(json.loads(line))  # reads lone surrogates, which the fast way refuses
    except ValidationError as error:
        first = error.errors()[0]
        raise damaged(path, number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise damaged(path, number, str(error)) from error


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run on disk. Reading needs nothing else; writing happens inside `locked`."""

    path: Path

    def task(self, name: str) -> TaskStore:
        return TaskStore(self.path / name)

    @property
    def description_path(self) -> Path:
        return self.path / "run.json"

    def describe(self) -> dict[str, Any]:
        """The content of run.json. Raises EvalkitError if this is no run directory or the file is damaged."""
        try:
            content = json.loads(self.description_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise EvalkitError(
                f"{self.path} is no run directory: it has no run.json.",
                "give a folder such as results/<model>/<run-id>.",
            ) from None
        except (OSError, ValueError) as error:
            raise EvalkitError(
                f"{self.description_path} cannot be read: {error}.",
                "restore it, or give the run another folder with -o.",
            ) from error
        if (
            not isinstance(content, dict)
            or content.get("schema") != SCHEMA
            or not isinstance(content.get("tasks"), dict)
        ):
            raise EvalkitError(
                f"{self.description_path} is not of schema {SCHEMA}, the one that this evalkit reads.",
                "read it with the version of evalkit that wrote it.",
            )
        try:
            _validator(_Description).validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise EvalkitError(
                f"{self.description_path} is damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}.",
                "restore it, or give the run another folder with -o.",
            ) from error
        return content

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for writing. Raises EvalkitError if another process holds it or it cannot be written."""
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise EvalkitError(
                f"Another process is writing to {self.path}.", "wait for it, or give this run another folder with -o."
            ) from None
        except OSError as error:
            raise EvalkitError(
                f"The run directory {self.path} cannot be written: {error.strerror}.",
                "give a folder that can be written with -o.",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def begin(self, description: dict[str, Any]) -> None:
        """Record what is going to be run; tasks of an earlier run here are kept.

        Raises EvalkitError that names the fields if the run that is there was made with others.
        """
        description = json.loads(json.dumps({"schema": SCHEMA, **description}))
        if self.description_path.exists():
            present = self.describe()
            _refuse_differences(self.path, "", present["identity"], description["identity"])
            for name in present["tasks"].keys() & description["tasks"].keys():
                old, new = present["tasks"][name]["identity"], description["tasks"][name]["identity"]
                _refuse_differences(self.path, f"{name}: ", old, new)
            description["tasks"] = {**present["tasks"], **description["tasks"]}
        self.rewrite(description)

    def rewrite(self, description: dict[str, Any]) -> None:
        """Replace the content of run.json."""
        write_atomically(self.description_path, json.dumps(description, indent=2, ensure_ascii=False) + "\n")


def _refuse_differences(path: Path, where: str, present: Any, wanted: Any) -> None:
    differences = list(_differences("", present, wanted))
    if differences:
        told = "; ".join(f"{where}{name} was {old!r} and is now {new!r}" for name, old, new in differences[:4])
        raise EvalkitError(
            f"The run in {path} was made differently: {told}.",
            "give the same options to resume it, or another folder with -o for a new run.",
        )


def _differences(name: str, present: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(present, dict) and isinstance(wanted, dict):
        for key in sorted(present.keys() | wanted.keys()):
            yield from _differences(f"{name}.{key}" if name else key, present.get(key), wanted.get(key))
    elif present != wanted:
        yield name, present, wanted


def find_runs(path: Path) -> list[RunDirectory]:
    """The run directories at or below `path`, sorted. Raises EvalkitError where there is none."""
    if not path.is_dir():
        told = f"{path} is no folder." if path.exists() else f"The folder {path} does not exist."
        raise EvalkitError(told, "give a results folder or a run directory.")
    found = [RunDirectory(file.parent) for file in sorted(path.rglob("run.json"))]
    if not found:
        raise EvalkitError(f"There is no run below {path}.", "`evalkit run` makes one.")
    return found
