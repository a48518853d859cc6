"""The main job: plan, generate what is missing, grade while the engine goes on, report."""

import hashlib
import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import evalkit
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.protocols import Protocol
from evalkit.engines.base import Engine
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.report import Report, build_report, write_report
from evalkit.run.progress import Progress
from evalkit.run.queue import RequestQueue, TaskPlan
from evalkit.run.scoring import Scorer, grader_name
from evalkit.run.throughput import Meter, Throughput
from evalkit.store.lines import LineWriter
from evalkit.store.run import RunDirectory, completion_record, score_record
from evalkit.types import Completion, SampleKey, Score

logger = logging.getLogger(__name__)

_PACKAGES = ("evalkit", "torch", "transformers", "vllm", "tokenizers", "datasets", "numpy", "sympy")
_MOST_UNSCORED = 2000


def run_identity(engine: Engine, protocol: Protocol, seed: int) -> dict[str, Any]:
    """What all tasks of a run share and what can change a number; a run that differs in it is another run."""
    fixed = {k: v for k, v in asdict(protocol).items() if k not in ("n", "prompts", "options", "source")}
    return {"engine": engine.identity(), "protocol": fixed, "seed": seed}


def task_description(plan: TaskPlan, source: DataSource) -> dict[str, Any]:
    """One task's entry in run.json: what has to be equal for a resume under `identity`, what may grow beside it."""
    sampling = {k: v for k, v in asdict(plan.params).items() if k not in ("n", "seed")}
    file = Path(plan.spec.file).resolve() if plan.spec.file and plan.spec.file.endswith(".py") else None
    return {
        "title": plan.task.title,
        "spec": {**asdict(plan.spec), "file": str(file) if file else plan.spec.file},
        "identity": {
            "version": plan.task.version,
            "options": dict(plan.spec.options),
            "task_file_sha256": hashlib.sha256(file.read_bytes()).hexdigest() if file else None,
            "prompt": plan.task.prompt,
            "sampling": sampling,
            "data": [{"hub_id": d.hub_id, "fingerprint": d.fingerprint} for d in plan.data],
            "data_unchecked": source.allow_changed,
        },
        "sampling": {"n": plan.params.n},
        "data": [asdict(d) for d in plan.data],
        "data_folder": str(source.root.resolve()) if source.root else None,
        "problem_ids": [p.id for p in plan.problems],
        "problems_available": plan.available,
    }


def environment(engine: Engine) -> dict[str, Any]:
    """Package versions and hardware: recorded, not compared."""
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "packages": packages,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "engine": engine.environment(),
    }


def default_run_path(results: Path, model: str, identity: Mapping[str, Any]) -> Path:
    """results/<model>/<protocol>-<hash of the identity>: the same command finds its run, another makes its own."""
    name = Path(model).resolve().name if Path(model).is_dir() else model.replace("/", "__")
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return results / name / f"{identity['protocol']['name']}-{digest[:8]}"


class RunSession:
    """One execution of a run: holds its files, its scorer and its progress.

    `prices` are for a million prompt and generated tokens; `throughput` is None until something was generated.
    """

    def __init__(
        self,
        run: RunDirectory,
        model: str,
        plans: Sequence[TaskPlan],
        engine: Engine,
        protocol: Protocol,
        prices: tuple[float, float] | None = None,
    ) -> None:
        self.run = run
        self.model = model
        self.plans = {plan.task.name: plan for plan in plans}
        self.engine = engine
        self.protocol = protocol
        self.problems = {(name, p.id): p for name, plan in self.plans.items() for p in plan.problems}
        self.graders = {name: grader_name(plan.task) for name, plan in self.plans.items()}
        self.prices = prices
        self.throughput: Throughput | None = None
        self._waiting: set[SampleKey] = set()

    def execute(self, source: DataSource, seed: int, workers: int | None, quiet: bool) -> list[Report]:
        """Run to the end and return a report for each task.

        Raises RunIncompleteError where it could not be finished; what was done is on disk.
        """
        try:
            return self._execute(source, seed, workers, quiet)
        except KeyboardInterrupt:
            raise RunIncompleteError(
                f"Stopped. What was done is in {self.run.path}.", "give the same command again to resume."
            ) from None

    def _execute(self, source: DataSource, seed: int, workers: int | None, quiet: bool) -> list[Report]:
        with ExitStack() as stack:
            stack.enter_context(self.run.locked())
            recorded = environment(self.engine)
            self.run.begin(
                {
                    "evalkit": evalkit.__version__,
                    "model": self.model,
                    "identity": run_identity(self.engine, self.protocol, seed),
                    "protocol": asdict(self.protocol),
                    "environment": recorded,
                    "tasks": {name: task_description(plan, source) for name, plan in self.plans.items()},
                }
            )
            self._completions = {name: self._writer(stack, name, "completions") for name in self.plans}
            self._scores = {name: self._writer(stack, name, "scores") for name in self.plans}
            self._scorer = stack.enter_context(
                closing(
                    Scorer(
                        [(plan.spec, plan.task) for plan in self.plans.values()],
                        workers,
                        local=[name for name, plan in self.plans.items() if plan.local],
                    )
                )
            )
            self._progress = stack.enter_context(
                Progress({name: plan.samples for name, plan in self.plans.items()}, quiet=quiet)
            )
            self._generate(self._take_up_what_is_done())
            self._grade_what_waits()
        return [self._report(plan) for plan in self.plans.values()]

    def _writer(self, stack: ExitStack, name: str, kind: str) -> LineWriter:
        files = self.run.files(name)
        path = files.completions_path if kind == "completions" else files.scores_path
        try:
            writer = stack.enter_context(LineWriter(path))
        except OSError as error:
            raise EvalkitError(
                f"{path} cannot be written: {error.strerror}.", "give a folder that can be written with -o."
            ) from error
        if writer.repaired_bytes:
            logger.warning("the last line of %s was cut off; its %d bytes are removed", path, writer.repaired_bytes)
        return writer

    def _take_up_what_is_done(self) -> RequestQueue:
        """Count what an earlier run made, have graded what has no score yet, and queue the rest."""
        done: set[SampleKey] = set()
        lengths: list[Completion] = []
        for name, plan in self.plans.items():
            files = self.run.files(name)
            scored = {s.key: s for s, grader in files.scores() if grader == self.graders[name] and s.status != "error"}
            for completion in files.completions():
                wanted = (name, completion.problem_id) in self.problems and completion.sample_index < plan.params.n
                if not wanted or completion.error is not None:
                    continue
                done.add(completion.key)
                lengths.append(
                    replace(completion, text=completion.text if completion.completion_tokens is None else "")
                )
                self._progress.add_finished(name, completion)
                if completion.key in scored:
                    self._progress.add_score(scored[completion.key])
                else:
                    self._grade(completion)
        requests = RequestQueue(list(self.plans.values()), self.protocol, done)
        for completion in lengths:
            requests.observe(completion)
        counts = ", ".join(f"{name} {len(p.problems)} x {p.params.n}" for name, p in self.plans.items())
        logger.info("%s: %d completions to make, %d are on disk already", counts, len(requests), len(done))
        return requests

    def _generate(self, requests: RequestQueue) -> None:
        if not len(requests):
            return
        self._scorer.start()  # while the engine loads: later they would take its processors
        meter = Meter(self.engine.gpus, self.prices)
        self._progress.follow(lambda: requests.first_draw, requests.seconds_left)
        completions: Iterator[Completion] = self.engine.generate(requests)
        try:
            for completion in completions:
                self._completions[completion.task].append(completion_record(completion))
                meter.add(completion)
                requests.observe(completion)
                self._progress.add_completion(completion)
                self._grade(completion)
                for score in self._scorer.results(wait=False):
                    self._store_score(score)
        finally:
            self.engine.close()
            self.throughput = meter.result(requests.first_draw)
            with LineWriter(self.run.path / "throughput.jsonl") as lines:
                lines.append(asdict(self.throughput))

    def _grade(self, completion: Completion) -> None:
        """Have a completion graded; later, where the graders are far behind: the engine never waits for them."""
        if self._scorer.pending < _MOST_UNSCORED:
            self._scorer.submit(self.problems[completion.task, completion.problem_id], completion)
        else:
            self._waiting.add(completion.key)

    def _grade_what_waits(self) -> None:
        for name in {key.task for key in self._waiting}:
            for completion in self.run.files(name).completions():
                if completion.key in self._waiting:
                    while self._scorer.pending >= _MOST_UNSCORED:
                        self._store_score(self._scorer.next_result())
                    self._scorer.submit(self.problems[name, completion.problem_id], completion)
        for score in self._scorer.results(wait=True):
            self._store_score(score)

    def _store_score(self, score: Score) -> None:
        assert score.key is not None
        self._scores[score.key.task].append(score_record(score, self.graders[score.key.task]))
        self._progress.add_score(score)

    def _report(self, plan: TaskPlan) -> Report:
        report = build_report(self.run.task(plan.task.name), plan.task, plan.problems)
        write_report(self.run, report)
        return report


def require_no_errors(run: RunDirectory, reports: Sequence[Report]) -> None:
    """Raises RunIncompleteError where the engine or the grader failed on samples."""
    if failed := {r.task: r.statuses["error"] for r in reports if r.statuses["error"]}:
        told = ", ".join(f"{count} of {task}" for task, count in failed.items())
        raise RunIncompleteError(
            f"The engine or the grader failed on some samples in {run.path}: {told}.",
            "give the same command again: only those are made anew; scores.jsonl says what went wrong.",
        )
