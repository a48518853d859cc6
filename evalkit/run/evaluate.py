"""`evaluate`: from a model and tasks to a finished run on disk."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from typing_extensions import TypedDict

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.protocols import DEFAULT_PROTOCOL, Protocol, find_protocol
from evalkit.benchmark.registry import trust_task_file
from evalkit.engines import open_engine
from evalkit.engines.base import Engine, LoadedModel
from evalkit.errors import EvalkitError
from evalkit.results.runs import Run
from evalkit.run.planning import Tasks, choose_tasks, plan_task
from evalkit.run.preflight import (
    TaskCheck,
    check_task_prompts,
    describe_plan,
    least_room,
    require_room,
    tell_least_room,
)
from evalkit.run.queue import TaskPlan
from evalkit.run.session import RunSession, default_run_path, run_identity
from evalkit.run.throughput import Throughput
from evalkit.store.run import RunDirectory

logger = logging.getLogger(__name__)


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
    return str(model)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A checked run that has not started: no weights are loaded and no files are written.

    `checks` holds one entry per task, with the prompt lengths in tokens.
    """

    model: str
    protocol: Protocol
    seed: int
    source: DataSource
    plans: Sequence[TaskPlan]
    checks: Sequence[TaskCheck]
    engine: Engine

    def describe(self) -> Iterator[str]:
        """The lines of a dry run: counts, settings, and the first prompt of each task with its tokens."""
        return describe_plan(self.checks, self.engine)

    def require_room(self) -> None:
        """Raises EvalkitError where a prompt and its completion do not fit into the model's context."""
        require_room(self.checks, self.engine.context_length(), getattr(self.engine, "caps_at_context", False))

    def default_path(self, results: str | Path) -> Path:
        """The run directory below `results`. Equal plans have the same directory, other plans have another one."""
        return default_run_path(Path(results), self.model, run_identity(self.engine, self.protocol, self.seed))


def plan_run(
    model: str | Path | LoadedModel,
    tasks: Tasks,
    *,
    protocol: str | Protocol = DEFAULT_PROTOCOL,
    n: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    engine: str | None = None,
    engine_options: Mapping[str, object] | None = None,
    engine_file: str | Path | None = None,
    data: str | Path | None = None,
    allow_changed_data: bool = False,
    task_file: str | Path | None = None,
    task_options: Sequence[str] = (),
    **overrides: Unpack[ProtocolOverrides],
) -> RunPlan:
    """Load the problems of the tasks and render every prompt, without generating. Arguments as for `evaluate`.

    Raises EvalkitError as `evaluate` does.
    """
    for name, value in (("n", n), ("limit", limit)):
        if value is not None and value < 1:
            raise EvalkitError(f"{name} is {value}, it has to be 1 or more.", "omit it to use the default.")
    preset = protocol if isinstance(protocol, Protocol) else find_protocol(protocol)
    preset = preset.overridden(overrides)
    chosen = choose_tasks(tasks, str(task_file) if task_file else None, task_options, preset.options)
    source = DataSource.from_option(str(data) if data else None, allow_changed_data)
    plans = [plan_task(one, preset, source, seed, n, limit) for one in chosen]
    opened = open_engine(engine, model, engine_options, file=Path(engine_file) if engine_file else None)
    checks = [check_task_prompts(plan, preset, opened) for plan in plans]
    for one in chosen:
        if one.spec.file is not None:
            trust_task_file(one.spec.file)
    return RunPlan(_model_name(model), preset, seed, source, plans, checks, opened)


def evaluate(
    model: str | Path | LoadedModel,
    tasks: Tasks,
    *,
    protocol: str | Protocol = DEFAULT_PROTOCOL,
    n: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    engine: str | None = None,
    engine_options: Mapping[str, object] | None = None,
    engine_file: str | Path | None = None,
    data: str | Path | None = None,
    allow_changed_data: bool = False,
    task_file: str | Path | None = None,
    task_options: Sequence[str] = (),
    output: str | Path | None = None,
    results: str | Path = "results",
    workers: int | None = None,
    prices: tuple[float, float] | None = None,
    progress: bool = True,
    **overrides: Unpack[ProtocolOverrides],
) -> Run:
    """Evaluate a model on tasks and return the run. Repeating the call resumes at the level of one completion.

    Args:
        model: A hub id, a folder, or a pair `(model, tokenizer)` loaded with transformers.
        tasks: Names (`"aime24,math500"` or a list), Task classes, or Task instances.
        protocol: The name of a preset, a JSON file, or a Protocol.
        n: Completions per problem; None for the protocol's.
        limit: Run only the first `limit` problems of each task.
        seed: The run's seed. A sample's seed is a hash of it, the task, the problem and the sample index.
        engine: `transformers`, `vllm`, `openai`, `replay` or the name of a plug-in. None chooses vLLM on CUDA if it is
            installed, else transformers.
        engine_options: The engine's options by name; `evalkit engines show NAME` lists them.
        engine_file: A Python file that defines the engine.
        data: A folder with the data sets; None for EVALKIT_DATA or the hub.
        allow_changed_data: Accept a data set with other rows or answers. This is recorded.
        task_file: A Python file that defines tasks.
        task_options: Options of tasks, each `"NAME=VALUE"` or `"TASK.NAME=VALUE"`.
        output: The run directory. None chooses one below `results`, named by a hash of the settings.
        results: The parent folder of run directories.
        workers: The number of grader processes; None for the number of cores.
        prices: Prices per million prompt tokens and per million generated tokens, to record the run's cost.
        progress: Show progress on stderr, or in the notebook. Nothing is printed to stdout.
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
    plan = plan_run(
        model,
        tasks,
        protocol=protocol,
        n=n,
        limit=limit,
        seed=seed,
        engine=engine,
        engine_options=engine_options,
        engine_file=engine_file,
        data=data,
        allow_changed_data=allow_changed_data,
        task_file=task_file,
        task_options=task_options,
        **overrides,
    )
    return execute_plan(plan, output or plan.default_path(results), workers, prices, progress)[0]


def execute_plan(
    plan: RunPlan,
    output: str | Path,
    workers: int | None = None,
    prices: tuple[float, float] | None = None,
    progress: bool = True,
) -> tuple[Run, Throughput | None]:
    """Execute a plan. Arguments as for `evaluate`.

    Returns the run and the throughput of this execution, which is None if nothing was left to generate. Raises as
    `evaluate` does.
    """
    if workers is not None and workers < 1:
        raise EvalkitError(f"workers is {workers}, it has to be 1 or more.", "omit it to use the default.")
    plan.require_room()
    context = plan.engine.context_length()
    for line in filter(None, (tell_least_room(check, context) for check in plan.checks)):
        logger.warning("%s", line)
    plan.engine.reserve(max((check.longest or 0) + check.plan.params.max_tokens for check in plan.checks))
    rooms = {check.plan.task.name: least_room(check, context) for check in plan.checks}
    session = RunSession(RunDirectory(Path(output)), plan.model, plan.plans, plan.engine, plan.protocol, prices, rooms)
    session.execute(plan.source, plan.seed, workers, quiet=not progress)
    return Run(output, {p.task.name: p.problems for p in plan.plans}), session.throughput
