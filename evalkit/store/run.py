"""A run directory: reading its content as typed records, appending to it, and resuming.

results/<model>/<run-id>/
  run.json                   the settings that affect a number, and the environment
  <task>/completions.jsonl   append only, raw text
  <task>/scores.jsonl        append only within a scoring pass
  <task>/report.json         derived
  <task>/peer_scores.jsonl   of an imported run: the verdicts of the harness that made the log
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NotRequired, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing.TypedDict before Python 3.12

from evalkit.errors import DamagedError, EvalkitError
from evalkit.files import is_finite, is_single_name, parse_json, read_file
from evalkit.store.answers import data_digest, is_corrected, told_correction, with_corrections
from evalkit.store.identity import (
    identity_of,
    prompt_digests,
    refuse_differences,
    require_same_task,
    run_differences,
    task_differences,
)
from evalkit.store.lines import damaged, read_checked, write_atomically
from evalkit.store.locks import run_lock
from evalkit.store.marks import SampleMarks, SampleStatuses
from evalkit.store.plan import SamplePlan
from evalkit.types import Completion, Fact, FinishReason, SampleIndex, SampleKey, Score, Status, TokenCount
from evalkit.visible import json_text

SCHEMA = 1
_Whole = Annotated[int, Field(ge=-(10**15), le=10**15)]
_Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]


@dataclass(frozen=True, slots=True)
class DataRecord:
    """One data set of a task as recorded in run.json. `fingerprint` is the sha256 of its content."""

    hub_id: str
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task's entry in run.json.

    `spec` (name, file, options) is what creates the task again. `identity` (version, options, prompt, sampling, data)
    has to be equal to resume. `n` is the number of completions for each problem of `problem_ids`, the smallest where
    they differ (see `plan`).
    `problems_available` is the size of the data set, None if it was not recorded. `content` is the entry as stored.
    `max_tokens` is None where an imported log does not say.
    """

    name: str
    title: str
    spec: Mapping[str, Any]
    version: int
    n: int
    max_tokens: int | None
    problem_ids: tuple[str, ...]
    problems_available: int | None
    data: tuple[DataRecord, ...]
    data_folder: str | None
    identity: Mapping[str, Any]
    content: Mapping[str, Any] = field(repr=False)

    @property
    def samples(self) -> int:
        """The number of planned completions."""
        return self.plan.samples

    @property
    def plan(self) -> SamplePlan:
        """The completions of each problem."""
        return SamplePlan.of_entry(self.content)

    @property
    def corrected_data(self) -> str | None:
        """A digest of the data that the completions are graded with, None where they were made with the same."""
        return data_digest(self.content)

    def with_plan(self, plan: SamplePlan) -> "TaskRecord":
        """The record of the same task with other completions."""
        ids = list(plan.counts)
        content = {**self.content, "problem_ids": ids, "sampling": {**self.content["sampling"], **plan.sampling()}}
        if "by_problem" not in plan.sampling():
            content["sampling"].pop("by_problem", None)
        content.pop("problem_prompts", None)
        return replace(self, n=plan.n, problem_ids=tuple(ids), content=content)

    @property
    def problems_digest(self) -> str:
        """`30 (1a2b3c4d)`: the number of problems, and 8 hex digits of a sha256 of their ids."""
        ids = json.dumps(sorted(self.problem_ids)).encode()
        return f"{len(self.problem_ids)} ({hashlib.sha256(ids).hexdigest()[:8]})"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The content of run.json.

    `protocol` holds the resolved settings that all tasks share, and `engine` is the engine's identity. `content` is the
    file as stored.
    """

    model: str
    protocol: Mapping[str, Any]
    engine: Mapping[str, Any]
    environment: Mapping[str, Any]
    tasks: Mapping[str, TaskRecord]
    content: Mapping[str, Any] = field(repr=False)

    @property
    def protocol_name(self) -> str:
        return str(self.protocol["name"])

    @property
    def is_imported(self) -> bool:
        """Whether the run was another harness's: nothing of it can be generated again."""
        return bool(self.engine.get("backend") == "imported")


def _task_record(name: str, entry: Mapping[str, Any]) -> TaskRecord:
    identity = entry["identity"]
    return TaskRecord(
        name=name,
        title=entry["title"],
        spec=entry["spec"],
        version=identity["version"],
        n=entry["sampling"]["n"],
        max_tokens=identity["sampling"]["max_tokens"],
        problem_ids=tuple(entry["problem_ids"]),
        problems_available=entry.get("problems_available"),
        data=tuple(DataRecord(d["hub_id"], d.get("fingerprint")) for d in identity.get("data") or ()),
        data_folder=entry.get("data_folder"),
        identity=identity,
        content=entry,
    )


def _run_record(content: Mapping[str, Any]) -> RunRecord:
    identity = content["identity"]
    for name in content["tasks"]:
        if not is_single_name(name):
            raise DamagedError(
                f"run.json names {name!r}, which is not a task name.",
                "a name is a folder of the run; restore the file.",
            )
    return RunRecord(
        model=content["model"],
        protocol=identity["protocol"],
        engine=identity.get("engine") or {},
        environment=content.get("environment") or {},
        tasks={name: _task_record(name, entry) for name, entry in content["tasks"].items()},
        content=content,
    )


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """The files of one task of a run."""

    folder: Path

    @property
    def run(self) -> Path:
        """The run directory, below which no link is followed."""
        return self.folder.parent

    @property
    def completions_path(self) -> Path:
        return self.folder / "completions.jsonl"

    @property
    def scores_path(self) -> Path:
        return self.folder / "scores.jsonl"

    @property
    def rescoring_path(self) -> Path:
        """The scores of an unfinished rescoring pass. It replaces `scores_path` when it is complete."""
        return self.folder / "scores.new.jsonl"

    @property
    def peer_scores_path(self) -> Path:
        """Of an imported task: what the harness that made the log said of each sample."""
        return self.folder / "peer_scores.jsonl"

    @property
    def report_path(self) -> Path:
        return self.folder / "report.json"

    def completions(self) -> Iterator[Completion]:
        """Every completion in file order. A sample with an engine error may be followed by a later completion.

        Raises EvalkitError for a damaged line and for a duplicated sample.
        """
        path = self.completions_path
        finished = SampleMarks()
        for number, line in read_checked(path, self.run):
            completion: Completion = validated(Completion, line, path, number)
            if finished.get(completion.problem_id, completion.sample_index):
                raise _there_twice(path, number, completion.problem_id, completion.sample_index)
            if completion.error is None:
                finished.set(completion.problem_id, completion.sample_index, 1)
            yield completion

    def completion_facts(self) -> Iterator["CompletionFacts"]:
        """As `completions`, but parses only the fields that metrics need."""
        path = self.completions_path
        validate = _validator(CompletionFacts).validate_json
        finished = SampleMarks()
        for number, line in read_checked(path, self.run):
            try:
                facts: CompletionFacts = validate(line)
            except ValidationError:
                facts = validated(CompletionFacts, line, path, number)
            if finished.get(facts["problem_id"], facts["sample_index"]):
                raise _there_twice(path, number, facts["problem_id"], facts["sample_index"])
            if facts.get("error") is None:
                finished.set(facts["problem_id"], facts["sample_index"], 1)
            yield facts

    def standing_completions(self) -> Iterator[Completion]:
        """As `completions`, without completions with an engine error that a later one replaces."""
        replaced = self._replaced()
        for completion in self.completions():
            if completion.error is None or (completion.problem_id, completion.sample_index) not in replaced:
                yield completion

    def _replaced(self) -> set[tuple[str, int]]:
        """The samples whose engine error is followed by a completion without one."""
        failed: set[tuple[str, int]] = set()
        replaced: set[tuple[str, int]] = set()
        for facts in self.completion_facts():
            sample = facts["problem_id"], facts["sample_index"]
            if facts.get("error") is not None:
                failed.add(sample)
            elif sample in failed:
                replaced.add(sample)
        return replaced

    def finished(self) -> set[tuple[str, int]]:
        """The (problem id, sample index) of every completion without an engine error."""
        return {(c.problem_id, c.sample_index) for c in self.completions() if c.error is None}

    def scores(self, path: Path | None = None) -> Iterator[tuple[Score, str]]:
        """Every score with the name of its grader. A later score of a sample replaces an earlier one."""
        path = path or self.scores_path
        for number, line in read_checked(path, self.run):
            yield score_of_line(line, path, number)

    def latest_scores(self) -> dict[SampleKey, Score]:
        """The last score of every sample, which is the one that counts."""
        return {score.key: score for score, _ in self.scores() if score.key is not None}

    def statuses(self) -> SampleStatuses:
        """The last status of every sample."""
        statuses = SampleStatuses()
        for facts in self.score_facts():
            statuses.set(facts["problem_id"], facts["sample_index"], facts["status"])
        return statuses

    def score_facts(self) -> Iterator["ScoreFacts"]:
        """As `scores`, but parses only the fields that metrics need."""
        path = self.scores_path
        validate = _validator(ScoreFacts).validate_json
        for number, line in read_checked(path, self.run):
            try:
                facts: ScoreFacts = validate(line)
            except ValidationError:
                facts = validated(ScoreFacts, line, path, number)
            yield facts


@dataclass(frozen=True, slots=True)
class _ScoreLine:
    """A line of scores.jsonl: a score with its key and its grader."""

    task: str
    problem_id: str
    sample_index: SampleIndex
    value: float
    status: Status
    answer: str | None
    explanation: str
    extracted_by: str
    grader: str
    metadata: dict[str, Fact] = field(default_factory=dict)


class CompletionFacts(TypedDict):
    """The fields of a line of completions.jsonl that metrics need."""

    problem_id: str
    sample_index: SampleIndex
    finish_reason: FinishReason
    completion_tokens: TokenCount | None
    error: NotRequired[str | None]
    text: NotRequired[str]


class ScoreFacts(TypedDict):
    """The fields of a line of scores.jsonl that metrics need."""

    problem_id: str
    sample_index: SampleIndex
    value: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    status: Status
    answer: str | None
    grader: str


class _Protocol(TypedDict):
    """The settings that readers compare and print."""

    name: str
    temperature: NotRequired[_Finite | None]
    top_p: NotRequired[_Finite | None]
    top_k: NotRequired[_Finite | None]
    max_tokens: NotRequired[_Finite | None]
    system_prompt: NotRequired[str | None]
    response_prefix: NotRequired[str | None]


class _Spec(TypedDict):
    name: str
    file: NotRequired[str | None]
    options: NotRequired[dict[str, str]]


class _Limit(TypedDict):
    max_tokens: _Whole | None
    temperature: NotRequired[_Finite | None]
    top_p: NotRequired[_Finite | None]
    top_k: NotRequired[_Finite | None]


class _Data(TypedDict):
    hub_id: str
    fingerprint: NotRequired[str | None]


class _TaskIdentity(TypedDict):
    version: TokenCount
    options: NotRequired[dict[str, str]]
    prompt: NotRequired[str | None]
    sampling: _Limit
    data: NotRequired[list[_Data] | None]


class _Count(TypedDict):
    n: Annotated[int, Field(ge=1, le=10**7)]
    by_problem: NotRequired[dict[str, Annotated[int, Field(ge=1, le=10**7)]]]
    pilot: NotRequired[Annotated[int, Field(ge=1, le=10**7)] | None]


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a problem is there twice")
    return names


class _DescribedTask(TypedDict):
    title: str
    spec: _Spec
    identity: _TaskIdentity
    sampling: _Count
    problem_ids: Annotated[list[str], AfterValidator(_each_once)]
    problems_available: NotRequired[TokenCount | None]
    right_answers: NotRequired[dict[str, str]]
    generated_with: NotRequired[list[_Data]]
    data_folder: NotRequired[str | None]


class _Identity(TypedDict):
    protocol: _Protocol
    engine: NotRequired[dict[str, Any] | None]


class _Description(TypedDict):
    """The fields of run.json that readers rely on. Other fields are ignored."""

    model: str
    identity: _Identity
    environment: NotRequired[dict[str, Any] | None]
    tasks: dict[str, _DescribedTask]


_TWICE = "delete that line: the earlier one of the sample stands, and nothing is generated again."


def _there_twice(path: Path, number: int, problem_id: str, sample_index: int) -> EvalkitError:
    return damaged(path, number, f"sample {sample_index} of problem {problem_id} is duplicated", _TWICE)


def completion_record(completion: Completion) -> dict[str, Any]:
    return {name: getattr(completion, name) for name in Completion.__dataclass_fields__}


def score_record(score: Score, grader: str) -> dict[str, Any]:
    assert score.key is not None
    own = {name: getattr(score, name) for name in Score.__dataclass_fields__ if name not in ("key", "metadata")}
    facts = {"metadata": dict(score.metadata)} if score.metadata else {}
    return {**score.key._asdict(), **own, **facts, "grader": grader}


@cache
def _validator(record_type: Any) -> Any:
    return TypeAdapter(record_type).validator


def validated(record_type: Any, line: bytes, path: Path, number: int) -> Any:
    """A line of a file as a record of that type. Raises EvalkitError, naming the line, if it is none."""
    validator = _validator(record_type)
    try:
        try:
            return validator.validate_json(line)
        except ValidationError:
            return validator.validate_python(parse_json(line))  # reads lone surrogates, which the fast way refuses
    except ValidationError as error:
        first = error.errors()[0]
        raise damaged(path, number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise damaged(path, number, str(error)) from error


def score_of_line(line: bytes, path: Path, number: int) -> tuple[Score, str]:
    """A line of scores.jsonl as a score and the name of its grader. Raises EvalkitError, naming the line, if not."""
    stored: _ScoreLine = validated(_ScoreLine, line, path, number)
    try:
        score = Score(
            stored.value,
            stored.status,
            stored.answer,
            stored.explanation,
            stored.extracted_by,
            stored.metadata,
            key=SampleKey(stored.task, stored.problem_id, stored.sample_index),
        )
    except ValueError as error:
        raise damaged(path, number, str(error)) from error
    return score, stored.grader


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run on disk. Write to it only inside `locked`."""

    path: Path

    def files(self, name: str) -> TaskFiles:
        """The files of one task. They need not exist."""
        return TaskFiles(self.path / name)

    def record(self) -> RunRecord:
        """The content of run.json. Raises EvalkitError if this is not a run directory or the file is damaged."""
        return _run_record(self._content())

    def tasks(self) -> dict[str, "TaskRun"]:
        """The tasks of the run by name, in the order of run.json. Raises EvalkitError as `record` does."""
        record = self.record()
        return {name: TaskRun(self, record, task) for name, task in record.tasks.items()}

    def task(self, name: str) -> "TaskRun":
        """One task of the run. Raises EvalkitError as `record` does, and if the run does not have the task."""
        tasks = self.tasks()
        if name not in tasks:
            raise EvalkitError(f"{self.path} has no task {name!r}.", f"its tasks are: {', '.join(tasks) or 'none'}.")
        return tasks[name]

    @property
    def description_path(self) -> Path:
        return self.path / "run.json"

    def _content(self) -> dict[str, Any]:
        try:
            content = parse_json(read_file(self.description_path, below=self.path))
            if not is_finite(content, sys.float_info.max):
                raise ValueError("a number in it is not finite")
        except FileNotFoundError:
            raise EvalkitError(
                f"{self.path} is not a run directory: it has no run.json.",
                "pass a folder such as results/<model>/<run-id>.",
            ) from None
        except (OSError, ValueError) as error:
            raise DamagedError(
                f"{self.description_path} cannot be read: {error}.",
                "restore it, or choose another run directory with -o.",
            ) from error
        if (
            not isinstance(content, dict)
            or content.get("schema") != SCHEMA
            or not isinstance(content.get("tasks"), dict)
        ):
            raise DamagedError(
                f"{self.description_path} does not have schema {SCHEMA}, which this version of evalkit reads.",
                "use the version of evalkit that wrote it.",
            )
        try:
            _validator(_Description).validate_python(content, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise DamagedError(
                f"{self.description_path} is damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}.",
                "restore it, or choose another run directory with -o.",
            ) from error
        return cast(dict[str, Any], content)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for writing. Raises EvalkitError if another process has locked it or it cannot be written."""
        with run_lock(self.path):
            yield

    def begin(self, description: dict[str, Any]) -> dict[str, str]:
        """Write run.json before generating. Tasks that are already recorded there are kept.

        Completions that were finished before stay part of the run: a task whose recorded plan is complete keeps it
        until `record_finished`. Returns what was corrected in the tasks' own data since then, in words by task; their
        completions have to be graded again. Raises EvalkitError, naming the fields, if the existing run has other
        settings.
        """
        description = json.loads(json.dumps({"schema": SCHEMA, **description}))
        corrected: dict[str, str] = {}
        if self.description_path.exists():
            present = self._content()
            refuse_differences(self.path, "", run_differences(identity_of(present), description["identity"]))
            for name in present["tasks"].keys() & description["tasks"].keys():
                old, new = present["tasks"][name], description["tasks"][name]
                require_same_task(self.path, name, old, new)
                if is_corrected(old, new):
                    corrected[name] = told_correction(old, new["right_answers"])
                left_out = ["data"] if name in corrected else []
                refuse_differences(self.path, f"{name}: ", task_differences(old, new, left_out))
                if SamplePlan.of_entry(old) != SamplePlan.of_entry(new) and self._is_complete(name, old):
                    _keep_plan(old, new)
                description["tasks"][name] = with_corrections(old, new)
            description["tasks"] = {**present["tasks"], **description["tasks"]}
            if Path(present["model"]).name == Path(description["model"]).name:
                description["model"] = present["model"]  # another spelling of the same path
        self.rewrite(description)
        return corrected

    def _is_complete(self, name: str, entry: Mapping[str, Any]) -> bool:
        facts = self.files(name).completion_facts()
        return not SamplePlan.of_entry(entry).missing((c["problem_id"], c["sample_index"]) for c in facts)

    def record_finished(
        self,
        plans: Mapping[str, SamplePlan],
        prompts: Mapping[str, Mapping[str, str]],
        divided: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Record that all completions of `plans` (by task) are there, beside those that were recorded before.

        `prompts` has the digests of the messages by task and problem. `divided` has `pilot` and `phases` of the tasks
        whose completions were divided by what a pilot scored.
        """
        content = self._content()
        for name, plan in plans.items():
            entry = content["tasks"][name]
            before = SamplePlan.of_entry(entry)
            entry["sampling"] = {**entry["sampling"], **divided.get(name, {})}
            both = plan.united(before, plan.counts) if len(plan.counts) > len(before.counts) else before.united(plan)
            if both == before:
                continue
            digests = {**(prompt_digests(entry) or {}), **prompts.get(name, {})}
            entry["problem_ids"] = list(both.counts)
            kept = {key: value for key, value in entry["sampling"].items() if key not in ("n", "by_problem")}
            entry["sampling"] = {**kept, **both.sampling()}
            _set_prompts(entry, digests)
        self.rewrite(content)

    def record_engine(self, environment: Mapping[str, Any]) -> None:
        """Record what the engine says of itself now that it has run."""
        content = self._content()
        if content["environment"]["engine"] != environment:
            content["environment"]["engine"] = json.loads(json.dumps(environment))
            self.rewrite(content)

    def adopt_grader(
        self,
        name: str,
        version: int,
        file_sha256: str | None,
        file: str | None,
        corrected: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the version of the task that its scores now have, and the file that defines it.

        `corrected` is the task's entry where its data was corrected.
        """
        content = self._content()
        if corrected is not None:
            content["tasks"][name] = json.loads(json.dumps(corrected))
        entry = content["tasks"][name]
        entry["identity"]["version"] = version
        if "task_file_sha256" in entry["identity"]:
            entry["identity"]["task_file_sha256"] = file_sha256
        entry["spec"]["file"] = file
        self.rewrite(content)

    def rewrite(self, description: Mapping[str, Any]) -> None:
        """Replace the content of run.json."""
        write_atomically(self.description_path, json_text(description, indent=2) + "\n", below=self.path)


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of one run: its entry in run.json (`record`), its run and its files."""

    directory: RunDirectory
    run: RunRecord
    record: TaskRecord

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def files(self) -> TaskFiles:
        return self.directory.files(self.record.name)

    def with_plan(self, plan: SamplePlan) -> "TaskRun":
        """The same task with only the completions of `plan`."""
        return replace(self, record=self.record.with_plan(plan))

    def __str__(self) -> str:
        return f"{self.directory.path} {self.record.name}"


def _keep_plan(old: Mapping[str, Any], new: dict[str, Any]) -> None:
    """Give the entry `new` the problems and the counts of `old`."""
    digests = {**(prompt_digests(new) or {}), **(prompt_digests(old) or {})}
    new["problem_ids"], new["sampling"] = old["problem_ids"], old["sampling"]
    _set_prompts(new, digests)


def _set_prompts(entry: dict[str, Any], digests: Mapping[str, str]) -> None:
    """Record the prompts' digests, or none where they are not known of every problem."""
    if all(key in digests for key in entry["problem_ids"]):
        entry["problem_prompts"] = [digests[key] for key in entry["problem_ids"]]
    else:
        entry.pop("problem_prompts", None)
