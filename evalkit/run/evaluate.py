"""`evaluate`: the whole main job, from a checkpoint and task names to a run on disk."""

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
from evalkit.run.preflight import TaskCheck, check_task_prompts, describe_plan, require_room
from evalkit.run.queue import TaskPlan
from evalkit.run.session import RunSession, default_run_path, run_identity
from evalkit.run.throughput import Throughput
from evalkit.store.run import RunDirectory

logger = logging.getLogger(__name__)


class ProtocolOverrides(TypedDict, total=False):
    """Settings in place of the protocol's. One that is None or left out is the protocol's."""

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
    """A run that was checked and not begun: no weight is loaded, no file is written.

    `checks` holds one entry per task, with the lengths of its prompts in tokens.
    """

    model: str
    protocol: Protocol
    seed: int
    source: DataSource
    plans: Sequence[TaskPlan]
    checks: Sequence[TaskCheck]
    engine: Engine

    def describe(self) -> Iterator[str]:
        """The lines of a dry run: counts, settings, and the first prompt of each task to the token."""
        return describe_plan(self.checks, self.engine)

    def require_room(self) -> None:
        """Raises EvalkitError where a prompt and its completion do not fit into the model's context."""
        require_room(self.checks, self.engine.context_length())

    def default_path(self, results: str | Path) -> Path:
        """Where below `results` the run goes: the same plan finds its run again, another makes its own."""
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
    """Load the tasks' problems and render every prompt; generate nothing. The arguments are those of `evaluate`.

    Raises EvalkitError as `evaluate` does.
    """
    for name, value in (("n", n), ("limit", limit)):
        if value is not None and value < 1:
            raise EvalkitError(f"{name} is {value}, it has to be 1 or more.", "leave it out for the default.")
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
    """Evaluate a checkpoint on tasks and return the run. The same call again resumes, at the level of one completion.

    Args:
        model: A hub id, a folder, or a pair `(model, tokenizer)` that transformers has loaded.
        tasks: Names (`"aime24,math500"` or a list), Task classes, or Task instances.
        protocol: A preset's name, a JSON file, or a Protocol: everything that changes a number.
        n: Completions per problem; None for the protocol's.
        limit: Only the first `limit` problems of each task.
        seed: The run's seed; that of a sample is a hash of it, the task, the problem and the sample index.
        engine: `transformers`, `vllm`, `openai`, `replay` or a plug-in's name; None for the best one at hand.
        engine_options: The engine's options by name; `evalkit engines show NAME` lists them.
        engine_file: A Python file that defines the engine.
        data: A folder with the data sets; None for EVALKIT_DATA or the hub.
        allow_changed_data: Accept a set with other rows or answers; recorded.
        task_file: A Python file that defines tasks.
        task_options: Options of tasks, `"NAME=VALUE"` or `"TASK.NAME=VALUE"`.
        output: The run directory; None for one below `results` whose name is a hash of what changes a number.
        workers: Processes that grade; None for the number of cores.
        prices: For a million prompt tokens and a million generated ones: the run's cost is then recorded.
        progress: Show progress on stderr, or in the notebook. Nothing is printed to stdout.
        overrides: `temperature`, `top_p`, `top_k`, `max_tokens` (tokens), `system_prompt`, `response_prefix` in place
            of the protocol's; the protocol's name in tables then says so.

    Completions that the engine or a grader failed on are counted in `run.errors`; the same call makes them again.

    Raises EvalkitError on a mistake in the arguments, in the data or the checkpoint, RunIncompleteError where the run
    could not be finished; what was done is on disk.
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
    """Run a plan to its end; the arguments are those of `evaluate`.

    Returns the run, and what this execution cost, None where nothing was left to generate. Raises as `evaluate` does.
    """
    if workers is not None and workers < 1:
        raise EvalkitError(f"workers is {workers}, it has to be 1 or more.", "leave it out for the default.")
    plan.require_room()
    plan.engine.reserve(max((check.longest or 0) + check.plan.params.max_tokens for check in plan.checks))
    session = RunSession(RunDirectory(Path(output)), plan.model, plan.plans, plan.engine, plan.protocol, prices)
    session.execute(plan.source, plan.seed, workers, quiet=not progress)
    return Run(output, {p.task.name: p.problems for p in plan.plans}), session.throughput
