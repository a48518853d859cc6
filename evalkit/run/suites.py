"""Suites: many models on many tasks, described in one TOML file, executed one after another or side by side.

Each model with each protocol is one run, made by `evalkit run` in a process of its own. So a run that is finished is
skipped, one that was interrupted resumes at a completion, and GPUs are divided with CUDA_VISIBLE_DEVICES.
"""

import json
import logging
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.benchmark.protocols import DEFAULT_PROTOCOL, Protocol, find_protocol
from evalkit.benchmark.registry import did_you_mean, resolve_task
from evalkit.benchmark.suites import task_names
from evalkit.engines.gpus import GPU, visible_gpus
from evalkit.engines.registry import default_engine, engine_class, make_options, read_assignments
from evalkit.errors import EvalkitError
from evalkit.run.planning import choose_tasks
from evalkit.run.printed import printed_run
from evalkit.store.lines import write_atomically
from evalkit.workers import ending_with_this_process

logger = logging.getLogger(__name__)

_OVERRIDES = ("temperature", "top_p", "top_k", "max_tokens", "system_prompt", "response_prefix")
_POLL = 0.2
_SHARE = 0.75  # of a GPU's memory that weights may take, so that the cache has room
_LAST_BYTES = 4096
Positive = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Settings(_Strict):
    """What can be set for the whole suite and for one model."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    system_prompt: str | None = None
    response_prefix: str | None = None
    limit: Positive | None = None
    seed: int | None = None
    engine: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ModelEntry(_Settings):
    """One `[[models]]` of a suite. `gpus` is how many GPUs it needs at least, None for as many as its weights need."""

    model: str
    group: str = ""
    gpus: Positive | None = None


class TaskEntry(_Strict):
    """One `[[tasks]]` of a suite. `n` overrides the protocol's, `options` are the task's."""

    task: str
    n: Positive | None = None
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Suite(_Strict):
    """The content of a suite file. Paths in it are relative to the folder of the file."""

    name: str = Field(min_length=1, pattern=r"^[\w.+-]+$")
    title: str = ""
    published: list[str] = Field(default_factory=list)
    protocols: list[str] = Field(default_factory=lambda: [DEFAULT_PROTOCOL], min_length=1)
    side_by_side: Positive | None = None
    task_file: str | None = None
    defaults: _Settings = Field(default_factory=_Settings)
    models: list[ModelEntry] = Field(min_length=1)
    tasks: list[TaskEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a suite: the model, the protocol with its overrides, and the arguments of `evalkit run`."""

    model: str
    group: str
    protocol: Protocol
    arguments: tuple[str, ...]
    gpus: int

    @property
    def name(self) -> str:
        return f"{self.model}, {self.protocol.name}"


@dataclass(slots=True)
class JobState:
    """A job while the suite runs: `code` is the exit code, `said` the last line of its log, `run` its directory."""

    job: Job
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    devices: list[GPU] = field(default_factory=list)
    code: int | None = None
    said: str = "waiting"
    run: Path | None = None


def suite_names() -> list[str]:
    """The names of the suites that come with evalkit."""
    return sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml"))


def _folder() -> Any:
    return resources.files("evalkit") / "suites"


def read_suite(name_or_file: str) -> tuple[Suite, Path]:
    """The suite in a TOML file, or the one of that name that comes with evalkit, and the folder of its paths.

    Raises EvalkitError, naming the field, if it is neither or invalid.
    """
    if name_or_file in suite_names():
        text, folder = (_folder() / f"{name_or_file}.toml").read_text(encoding="utf-8"), Path.cwd()
    else:
        path = Path(name_or_file)
        folder = path.parent
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            guess = did_you_mean(name_or_file, suite_names())
            raise EvalkitError(
                f"There is no suite {name_or_file!r}.{guess}",
                f"pass a TOML file, or one of: {', '.join(suite_names())}.",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise EvalkitError(f"The suite {path} cannot be read: {error}.", "it has to be a TOML file.") from error
    try:
        return Suite.model_validate(tomllib.loads(text)), folder
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise EvalkitError(
            f"The suite {name_or_file} is invalid at {place}: {first['msg']}.", "see docs/scale.md."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise EvalkitError(f"The suite {name_or_file} is not TOML: {error}.", "see docs/scale.md.") from error


def plan_suite(suite: Suite, folder: Path) -> list[Job]:
    """The runs of a suite, in the order of the file.

    Raises EvalkitError for unknown protocols, tasks, engines and options, and for settings that no engine takes.
    """
    jobs = []
    file = folder / suite.task_file if suite.task_file is not None else None
    counts = {
        resolve_task(name, file).name: task.n
        for task in suite.tasks
        if task.n is not None
        for name in task_names(task.task)
    }
    for name in suite.protocols:
        path = folder / name if name.endswith(".json") else name
        preset = find_protocol(str(path))
        for entry in suite.models:
            settings = {**_given(suite.defaults), **_given(entry)}
            protocol = preset.overridden({k: settings.get(k) for k in _OVERRIDES})
            protocol = replace(protocol, n={**protocol.n, **counts})
            _require_valid(suite, folder, settings, protocol)
            model = _located(entry.model, folder)
            jobs.append(Job(model, entry.group, protocol, _arguments(suite, folder, settings), entry.gpus or 0))
    return jobs


def _require_valid(suite: Suite, folder: Path, settings: Mapping[str, Any], protocol: Protocol) -> None:
    """Find what `evalkit run` would refuse before any of the runs has begun."""
    task_file = str(folder / suite.task_file) if suite.task_file is not None else None
    names = [name for task in suite.tasks for name in task_names(task.task)]
    for chosen in choose_tasks(names, task_file, _task_options(suite), protocol.options):
        protocol.sampling(chosen.task, settings.get("seed", 0))
    if "engine" in settings or "options" in settings:
        engine = engine_class(settings.get("engine") or default_engine())
        make_options(engine, read_assignments(_engine_options(settings)))


def _given(settings: _Settings) -> dict[str, Any]:
    return {k: v for k, v in settings.model_dump(include=set(_Settings.model_fields)).items() if v not in (None, {})}


def _located(model: str, folder: Path) -> str:
    """A model's folder relative to the suite's file, or a hub id as it is."""
    return str(folder / model) if (folder / model).is_dir() else model


def _arguments(suite: Suite, folder: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of `evalkit run` that do not belong to the protocol."""
    arguments = ["-t", ",".join(task.task for task in suite.tasks)]
    for option in _task_options(suite):
        arguments += ["-T", option]
    if suite.task_file is not None:
        arguments += ["--task-file", str(folder / suite.task_file)]
    for key in ("limit", "seed", "engine"):
        if key in settings:
            arguments += [f"--{key}", str(settings[key])]
    for option in _engine_options(settings):
        arguments += ["-E", option]
    return tuple(arguments)


def _task_options(suite: Suite) -> list[str]:
    return [f"{task.task}.{key}={value}" for task in suite.tasks for key, value in task.options.items()]


def _engine_options(settings: Mapping[str, Any]) -> list[str]:
    values = ((k, v if isinstance(v, list) else [v]) for k, v in settings.get("options", {}).items())
    return [f"{key}={one}" for key, several in values for one in several]


class SuiteRun:
    """Executes the jobs of a suite. `states` tells how far each is; `arguments` are added to each `evalkit run`."""

    def __init__(
        self, suite: Suite, jobs: Sequence[Job], results: Path, arguments: Sequence[str] = (), most: int | None = None
    ) -> None:
        self._results = results
        self._arguments = tuple(arguments)
        self._gpus = visible_gpus()
        self._most = most or suite.side_by_side or (len(self._gpus) or 1)
        logs = results / "suites" / suite.name
        self.states = [JobState(job, logs / f"{number:02d}.log") for number, job in enumerate(jobs, start=1)]

    def execute(self, show: Callable[[Sequence[JobState]], None] = lambda _: None) -> None:
        """Run all jobs. `show` is called whenever one changes. After an interrupt the running ones are ended first."""
        try:
            while any(state.code is None for state in self.states):
                changed = [*self._ended(), *self._started()]
                if changed or self._has_news():
                    show(self.states)
                time.sleep(_POLL)
        finally:
            for state in self._running():
                assert state.process is not None
                state.process.terminate()
            for state in self._running():
                assert state.process is not None
                with suppress(subprocess.TimeoutExpired):
                    state.process.wait(20)
                state.process.kill()
        show(self.states)

    def _running(self) -> list[JobState]:
        return [state for state in self.states if state.process is not None and state.code is None]

    def _ended(self) -> Iterator[JobState]:
        for state in self._running():
            assert state.process is not None
            code = state.process.poll()
            if code is not None:
                state.code = code
                state.said = _error(state.log) or _last_line(state.log) if code else "finished"
                state.run = printed_run(_read(state.log))
                yield state

    def _started(self) -> Iterator[JobState]:
        """Start the waiting jobs for which there is room, those that need most GPUs first."""
        waiting = sorted((s for s in self.states if s.process is None), key=lambda s: -self._needed(s.job))
        taken = {gpu.name for state in self._running() for gpu in state.devices}
        free = [gpu for gpu in self._gpus if gpu.name not in taken]
        for number, state in enumerate(waiting):
            running = len(self._running())
            needed = self._needed(state.job)
            if running >= self._most or (self._gpus and needed > len(free) and running):
                continue
            others = min(self._most - running, len(waiting) - number) - 1
            share = max(needed, len(free) // (others + 1)) if self._gpus else 0
            state.devices, free = free[:share], free[share:]
            self._start(state)
            yield state

    def _needed(self, job: Job) -> int:
        """How many GPUs a job needs at least."""
        if not self._gpus:
            return 0
        return min(job.gpus or _gpus_for(job.model, self._gpus[0].memory), len(self._gpus))

    def _start(self, state: JobState) -> None:
        state.log.parent.mkdir(parents=True, exist_ok=True)
        protocol = state.log.with_suffix(".json")
        write_atomically(protocol, json.dumps(asdict(state.job.protocol)), durable=False)
        command = [sys.executable, "-m", "evalkit", "run", state.job.model, "--protocol", str(protocol)]
        command += [*state.job.arguments, "--results", str(self._results), *self._arguments]
        environment = ending_with_this_process(os.environ)
        if state.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.name for gpu in state.devices)
        with state.log.open("wb") as log:
            state.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        state.said = "started"

    def _has_news(self) -> bool:
        news = False
        for state in self._running():
            if (line := _last_line(state.log)) and line != state.said:
                state.said, news = line, True
        return news


def _gpus_for(model: str, memory: int | None) -> int:
    """How many GPUs of `memory` bytes the weights of a model need, a power of two; 1 where that is not known."""
    from evalkit.engines.checkpoint import Checkpoint
    from evalkit.engines.weights import weight_bytes

    try:
        size = weight_bytes(Checkpoint(model))
    except EvalkitError:
        size = None  # the run says what is wrong
    count = 1
    while size and memory and size > _SHARE * memory * count:
        count *= 2
    return count


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _last_line(log: Path) -> str:
    return next((line.strip() for line in reversed(_last_lines(log)) if line.strip()), "")


def _error(log: Path) -> str:
    """The line of the error that ended a run, which a hint follows; empty where there is none."""
    return next((line.strip() for line in reversed(_last_lines(log)) if line.startswith("error: ")), "")


def _last_lines(log: Path) -> list[str]:
    """The whole lines at the end of a log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LAST_BYTES))
            return stream.read().decode("utf-8", "replace").split("\n")[:-1]
    except OSError:
        return []
