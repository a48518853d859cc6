"""`evaluate`: from a model and tasks to a finished run on disk."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Unpack

from typing_extensions import TypedDict

from evalkit.benchmark.data import DataFolders, DataSource, data_folder_of
from evalkit.benchmark.protocols import DEFAULT_PROTOCOL, Protocol, find_protocol
from evalkit.benchmark.registry import did_you_mean, trust_task_file
from evalkit.benchmark.task import Task
from evalkit.engines import open_engine
from evalkit.engines.answers import context_of, engine_faults
from evalkit.engines.base import Engine, LoadedModel
from evalkit.engines.endings import require_end
from evalkit.engines.options import OWN_OPTIONS
from evalkit.engines.prompts import Opening
from evalkit.engines.registry import make_options, option_fields
from evalkit.errors import EvalkitError
from evalkit.hub import may_be_folder
from evalkit.results.runs import Run
from evalkit.run.finished import command_digest, find_finished, record_finished_command
from evalkit.run.judges import open_judges
from evalkit.run.other_versions import tell_other_version
from evalkit.run.planning import Tasks, choose_tasks, plan_task
from evalkit.run.precision import Precision, precision_of
from evalkit.run.preflight import (
    TaskCheck,
    check_task_prompts,
    describe_plan,
    doubts,
    endings_of,
    least_room,
    require_room,
    tell_least_room,
    tell_unanswerable,
)
from evalkit.run.queue import TaskPlan
from evalkit.run.session import RunSession, default_run_path, run_identity
from evalkit.run.shards import Shard, part_of, read_shard
from evalkit.run.throughput import Throughput, checked_prices
from evalkit.store.run import RunDirectory

logger = logging.getLogger(__name__)

_MOST_FILES = 1000


class ProtocolOverrides(TypedDict, total=False):
    """Settings that override the protocol's. For one that is None or left out, the protocol's value is used."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    system_prompt: str | None
    response_prefix: str | None


def _model_name(model: str | Path | LoadedModel) -> str:
    if isinstance(model, tuple):
        return str(getattr(getattr(model[0], "config", None), "_name_or_path", "") or type(model[0]).__name__)
    return os.path.normpath(model) if Path(model).is_dir() else str(model)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A checked run that has not started: no weights are loaded and no files are written.

    `checks` holds one entry per task, with the prompt lengths in tokens. `command` is a digest of what was asked for.
    `options` are the engine's.
    """

    model: str
    protocol: Protocol
    seed: int
    plans: Sequence[TaskPlan]
    checks: Sequence[TaskCheck]
    engine: Engine
    shard: Shard | None = None
    precision: Precision | None = None
    command: str | None = None
    options: object = None

    def describe(self) -> Iterator[str]:
        """The lines of a dry run: counts, settings, and the first prompt of each task with its tokens."""
        return describe_plan(self.checks, self.engine)

    def require_room(self) -> None:
        """Raises EvalkitError where a prompt and its completion do not fit into the model's context."""
        require_room(self.checks, context_of(self.engine), getattr(self.engine, "caps_at_context", False))

    def require_end(self) -> None:
        """Raises EvalkitError where no response would end: the chat template's end of turn is no end token."""
        require_end(endings_of(self.engine))

    def require_machine(self) -> None:
        """Raises EvalkitError where this machine cannot grade a task, such as one that cannot isolate programs."""
        for plan in self.plans:
            plan.task.require_machine()

    @property
    def opening(self) -> Opening | None:
        """How responses begin, and why; None where the engine cannot tell."""
        return self.checks[0].opening

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that all tasks share and that affect numbers."""
        return run_identity(self.engine, self.protocol, self.seed, self.shard, self.opening, self.options)

    def default_path(self, results: str | Path) -> Path:
        """The run directory below `results`. Equal plans have the same directory, other plans have another one.

        The plans of one checkpoint are equal whatever its folder is called and wherever it lies.
        """
        return default_run_path(Path(results), self.model, self.identity)


class RunArguments(ProtocolOverrides, total=False):
    """What decides the completions of a run, beside the model and the tasks: the arguments of `evaluate`."""

    protocol: str | Protocol | None
    n: int | None
    limit: int | None
    seed: int
    engine: str | None
    engine_options: Mapping[str, object] | None
    engine_file: str | Path | None
    data: DataFolders
    allow_changed_data: bool
    task_file: str | Path | None
    task_options: Sequence[str]
    shard: str | Shard | None
    precision: float | None
    max_n: int | None


def _require_known(arguments: Mapping[str, object], known: Sequence[str]) -> None:
    """Raises EvalkitError for an argument that there is not: nobody finds out hours later that it did nothing."""
    for name in arguments:
        if name in known:
            continue
        owners = [engine for engine, options in OWN_OPTIONS.items() if name in option_fields(options)]
        hint = f"the engine's options are one argument: engine_options={{{name!r}: …}}."
        raise EvalkitError(
            f"There is no argument {name!r}.{'' if owners else did_you_mean(name, known)}",
            hint if owners else "see help(evalkit.evaluate).",
        )


_WHOLE, _REAL, _TEXT = "a whole number", "a number", "a text"
_KINDS: dict[str, str] = {
    **dict.fromkeys(("n", "limit", "max_n", "seed", "top_k", "max_tokens"), _WHOLE),
    **dict.fromkeys(("temperature", "top_p", "precision"), _REAL),
    **dict.fromkeys(("engine", "system_prompt", "response_prefix"), _TEXT),
}
_MOST = {"n": 100_000, "max_n": 100_000, "max_tokens": 100_000_000}
_CLASSES: dict[str, tuple[type, ...]] = {_WHOLE: (int,), _REAL: (int, float), _TEXT: (str,)}


def _require_types(model: object, tasks: object, arguments: Mapping[str, object]) -> None:
    """Raises EvalkitError for an argument of another type, which would fail later and without a word about it."""
    if not isinstance(model, str | Path | tuple):
        raise EvalkitError(f"The model is {model!r}.", "give a hub id, a folder, or (model, tokenizer).")
    if not isinstance(tasks, str | Task | type | Sequence):
        raise EvalkitError(f"tasks is {tasks!r}.", "give names of tasks, or Task classes or objects.")
    for name, kind in _KINDS.items():
        value = arguments.get(name)
        if value is None or (isinstance(value, _CLASSES[kind]) and not isinstance(value, bool)):
            continue
        hint = "see help(evalkit.evaluate)."
        if isinstance(value, type):
            hint = "give the engine's name; engine_file=FILE.py plugs in one of your own."
        raise EvalkitError(f"{name} is {value!r}, it has to be {kind}.", hint)


def _require_ranges(arguments: Mapping[str, object]) -> None:
    """Raises EvalkitError for a number that no run can have; other ranges are checked where the number is used."""
    for name in ("n", "limit"):
        value = arguments.get(name)
        if isinstance(value, int) and value < 1:
            raise EvalkitError(f"{name} is {value}, it has to be 1 or more.", "omit it to use the default.")
    for name, most in _MOST.items():
        value = arguments.get(name)
        if isinstance(value, int) and value > most:
            raise EvalkitError(f"{name} is {value:,}, it can be {most:,} at most.", "see that no digit is too many.")


def _warn_of_a_missing_folder(model: object, engine: object, options: Mapping[str, object]) -> None:
    """Say at once that a model that looks like a path is no folder: its data may be missing before it is."""
    served = engine in ("openai", "replay") or "base_url" in options
    if isinstance(model, str) and not served and may_be_folder(model):
        logger.warning("there is no folder %s here: it is looked for on the hub", model)


def plan_run(model: str | Path | LoadedModel, tasks: Tasks, **arguments: Unpack[RunArguments]) -> RunPlan:
    """Load the problems of the tasks and render every prompt, without generating. Arguments as for `evaluate`.

    Raises EvalkitError as `evaluate` does.
    """
    _require_known(arguments, [*RunArguments.__annotations__])
    _require_types(model, tasks, arguments)
    n, limit, protocol = arguments.get("n"), arguments.get("limit"), arguments.get("protocol")
    _require_ranges(arguments)
    _warn_of_a_missing_folder(model, arguments.get("engine"), arguments.get("engine_options") or {})
    preset = protocol if isinstance(protocol, Protocol) else find_protocol(protocol or DEFAULT_PROTOCOL)
    preset = preset.overridden({k: v for k, v in arguments.items() if k in ProtocolOverrides.__annotations__})
    shard = arguments.get("shard")
    part = read_shard(shard) if isinstance(shard, str) else shard
    aim = precision_of(arguments.get("precision"), arguments.get("max_n"), n, part)
    task_file, engine_file = arguments.get("task_file"), arguments.get("engine_file")
    chosen = choose_tasks(
        tasks, str(task_file) if task_file else None, arguments.get("task_options", ()), preset.options
    )
    seed, plans = arguments.get("seed", 0), []
    for one in chosen:
        folder = data_folder_of(one.task, arguments.get("data"))
        source = DataSource.from_option(folder, arguments.get("allow_changed_data", False))
        plans.append(plan_task(one, preset, source, seed, n, limit))
    if aim is not None:
        plans = [aim.pilot_of(plan) for plan in plans]
    if part is not None:
        plans = part_of(plans, part)
    engine = open_engine(
        arguments.get("engine"),
        model,
        arguments.get("engine_options"),
        file=Path(engine_file) if engine_file else None,
    )
    if engine_file and not arguments.get("engine"):
        logger.info("engine: %s of %s", engine.name, engine_file)
    if engine.name == "replay":
        preset = preset.of_recorded(is_said=protocol is not None)
    checks = [check_task_prompts(plan, preset, engine) for plan in plans]
    for one in chosen:
        if one.spec.file is not None:
            trust_task_file(one.spec.file)
    digest = command_digest(model, tasks, arguments)
    options = make_options(type(engine), arguments.get("engine_options") or {})
    return RunPlan(_model_name(model), preset, seed, plans, checks, engine, part, aim, digest, options)


def finished_run(
    model: str | Path | LoadedModel,
    tasks: Tasks,
    output: str | Path | None = None,
    results: str | Path = "results",
    **arguments: Unpack[RunArguments],
) -> Run | None:
    """The run that has all that `evaluate` would do with these arguments, None if there is none.

    Neither the engine nor the data sets are opened. None also where it cannot be told so.
    """
    return find_finished(command_digest(model, tasks, arguments), output, results)


def evaluate(
    model: str | Path | LoadedModel,
    tasks: Tasks,
    *,
    protocol: str | Protocol | None = None,
    n: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    engine: str | None = None,
    engine_options: Mapping[str, object] | None = None,
    engine_file: str | Path | None = None,
    data: DataFolders = None,
    allow_changed_data: bool = False,
    task_file: str | Path | None = None,
    task_options: Sequence[str] = (),
    output: str | Path | None = None,
    results: str | Path = "results",
    workers: int | None = None,
    prices: tuple[float, float] | None = None,
    progress: bool = True,
    shard: str | Shard | None = None,
    precision: float | None = None,
    max_n: int | None = None,
    judge_on: str | None = None,
    **overrides: Unpack[ProtocolOverrides],
) -> Run:
    """Evaluate a model on tasks and return the run. Repeating the call resumes at the level of one completion.

    Args:
        model: A hub id, a folder, or a pair `(model, tokenizer)` loaded with transformers.
        tasks: Names (`"aime24,math500"` or a list), Task classes, or Task instances.
        protocol: The name of a preset, a JSON file, or a Protocol; None for deepseek-r1. The protocol of recorded
            completions is not known unless one is named here.
        n: Completions per problem; None for the protocol's.
        limit: Run only the first `limit` problems of each task.
        seed: The run's seed. A sample's seed is a hash of it, the task, the problem and the sample index.
        engine: `transformers`, `vllm`, `openai`, `replay` or the name of a plug-in. None chooses vLLM on CUDA if it is
            installed, else transformers.
        engine_options: The engine's options by name; `evalkit engines show NAME` lists them.
        engine_file: A Python file that defines the engine. Where it defines one, `engine` may be left out.
        data: A folder with the data sets, or a folder for each task by name; None for EVALKIT_DATA or the hub.
        allow_changed_data: Accept a data set with other rows or answers. This is recorded.
        task_file: A Python file that defines tasks.
        task_options: Options of tasks, each `"NAME=VALUE"` or `"TASK.NAME=VALUE"`.
        output: The run directory. None chooses one below `results`, named by a hash of the settings.
        results: The parent folder of run directories.
        workers: The number of grader processes; None for the number of cores.
        prices: Prices per million prompt tokens and per million generated tokens, to record the run's cost.
        progress: Show progress on stderr, or in the notebook. Nothing is printed to stdout.
        shard: One part of the run, such as `"3/16"`; `evalkit merge` unites the parts.
        precision: The half-width in points that the run-to-run interval of pass@1 is to have, instead of `n`: a few
            completions of each problem, then more of those whose outcome is uncertain.
        max_n: The largest number of completions of a problem with `precision`.
        judge_on: Where programs are judged: None for this machine, `"ray"` or `"ray:HOST:PORT"` for the nodes of a Ray
            cluster.
        overrides: `temperature`, `top_p`, `top_k`, `max_tokens`, `system_prompt` and `response_prefix` override the
            protocol's values. The overrides are added to the protocol's name.

    Completions on which the engine or the grader failed are counted in `run.errors`. Repeating the call generates and
    grades them again.

    Raises EvalkitError for invalid arguments, data or checkpoints, RunIncompleteError if the run could not finish.
    Finished completions are on disk then.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = evaluate("examples/tiny_distill/base", "arithmetic", n=2, limit=3, max_tokens=64,
        ...                    engine="transformers", results=folder, progress=False)
        ...     print(len(run.samples()), run.report().metric("pass@1").unit)
        6 %
    """
    prices = checked_prices(prices)
    _require_known(overrides, [*list(signature(evaluate).parameters)[:-1], *ProtocolOverrides.__annotations__])
    given: RunArguments = {
        "protocol": protocol,
        "n": n,
        "limit": limit,
        "seed": seed,
        "engine": engine,
        "engine_options": engine_options,
        "engine_file": engine_file,
        "data": data,
        "allow_changed_data": allow_changed_data,
        "task_file": task_file,
        "task_options": task_options,
        "shard": shard,
        "precision": precision,
        "max_n": max_n,
        **overrides,
    }
    if (finished := finished_run(model, tasks, output, results, **given)) is not None:
        return finished
    plan = plan_run(model, tasks, **given)
    return execute_plan(plan, output or plan.default_path(results), workers, prices, progress, judge_on)[0]


def execute_plan(
    plan: RunPlan,
    output: str | Path,
    workers: int | None = None,
    prices: tuple[float, float] | None = None,
    progress: bool = True,
    judge_on: str | None = None,
) -> tuple[Run, Throughput | None]:
    """Execute a plan. Arguments as for `evaluate`.

    Returns the run and the throughput of this execution, which is None if nothing was left to generate. Raises as
    `evaluate` does.
    """
    if workers is not None and workers < 1:
        raise EvalkitError(f"workers is {workers}, it has to be 1 or more.", "omit it to use the default.")
    prices = checked_prices(prices)
    plan.require_room()
    plan.require_end()
    for line in doubts(plan.checks, plan.engine):
        logger.warning("%s", line)
    if told := tell_other_version(Path(output), plan.identity):
        logger.warning("%s", told)
    context = context_of(plan.engine)
    rooms_told = [tell_least_room(check, context) for check in plan.checks]
    missing_told = [tell_unanswerable(check.plan, plan.protocol, plan.engine) for check in plan.checks]
    for line in filter(None, (*rooms_told, *missing_told)):
        logger.warning("%s", line)
    with engine_faults(plan.engine, "reserve()"):
        plan.engine.reserve(max((check.longest or 0) + check.plan.params.max_tokens for check in plan.checks))
    rooms = {check.plan.task.name: least_room(check, context) for check in plan.checks}
    cluster = getattr(getattr(plan.engine, "options", None), "ray", None)
    with open_judges([(each.spec, each.task) for each in plan.plans], judge_on, cluster) as judges:
        session = RunSession(
            RunDirectory(Path(output)),
            plan.model,
            plan.plans,
            plan.engine,
            plan.protocol,
            prices,
            rooms,
            plan.opening,
            plan.shard,
            plan.precision.next_phase if plan.precision is not None else None,
            judges,
            plan.options,
        )
        session.execute(DataSource(), plan.seed, workers, quiet=not progress)
    problems = {p.task.name: p.problems for p in plan.plans}
    asked = {name: p.sample_plan for name, p in session.plans.items()}
    if plan.shard is None and not any(session.errors.values()):
        record_finished_command(session.run, plan.command, _files(plan), asked)
    return Run(output, problems, asked), session.throughput


def _files(plan: RunPlan) -> list[Path] | None:
    """The files that decide what the plan's run is, None if they cannot be named."""
    with engine_faults(plan.engine, "files()"):
        found = plan.engine.files()
    if found is None:
        return None
    files = list(found)
    for one in plan.plans:
        if one.spec.file is not None:
            if not one.spec.file.endswith(".py"):
                return None
            folder = Path(one.spec.file).resolve().parent  # it may read files of its own beside it
            files += [folder, *(path for path in sorted(folder.iterdir())[:_MOST_FILES] if path.is_file())]
        for data in one.data:
            if data.source == data.hub_id:  # rows in Python: those of the module that defines the task
                own = getattr(sys.modules.get(type(one.task).__module__), "__file__", None)
                files += [Path(own)] if own else []
            if not data.source.startswith("hub:") and data.source != data.hub_id:
                paths = [Path(part) for part in data.source.split(", ")]
                if not all(path.exists() for path in paths):
                    return None
                files += paths
    return files
