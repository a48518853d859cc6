"""Executes a run: generates the missing completions, grades them while the engine runs, and writes the reports."""

import hashlib
import json
import logging
import platform
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import evalkit
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.protocols import AUTO_PREFIX, Protocol
from evalkit.benchmark.task import choice_letters
from evalkit.engines.answers import answers, described, engine_faults, repair_hint
from evalkit.engines.base import REFUSED, Engine
from evalkit.engines.prompts import Opening
from evalkit.engines.registry import unnamed_options
from evalkit.errors import EvalkitError, RunIncompleteError, plugin_faults
from evalkit.results.own_metrics import NoReportError, tell_absent_headlines
from evalkit.results.report import Report, build_report, write_report
from evalkit.run.corrections import may_be_corrected, set_opinions_aside
from evalkit.run.progress import Progress
from evalkit.run.queue import RequestQueue, TaskPlan
from evalkit.run.scoring import GRADER_FAILED, Judges, Scorer, grader_name
from evalkit.run.shards import Shard
from evalkit.run.throughput import Meter, Throughput
from evalkit.run.watch import EarlyWatch
from evalkit.store.answers import right_answers
from evalkit.store.identity import content_of, identity_of, model_label, run_differences
from evalkit.store.lines import LineWriter
from evalkit.store.opinions import HUMAN
from evalkit.store.run import RunDirectory, completion_record, score_record
from evalkit.store.settled import settled
from evalkit.types import NO_RIGHT_ANSWER, Completion, SampleKey, Score

logger = logging.getLogger(__name__)

Grow = Callable[[RunDirectory, Sequence[TaskPlan]], Sequence[TaskPlan] | None]
"""What is called between two phases of a run, with its plans: the plans of the next phase, None at the end."""

_PACKAGES = ("evalkit", "torch", "transformers", "vllm", "tokenizers", "datasets", "numpy", "sympy")
_MOST_UNSCORED = 2000


def run_identity(
    engine: Engine,
    protocol: Protocol,
    seed: int,
    shard: Shard | None = None,
    opening: Opening | None = None,
    options: object = None,
) -> dict[str, Any]:
    """The settings that all tasks of a run share and that affect numbers. A run with other values is another run.

    `opening` is how responses begin: where the protocol leaves a prefix to the chat template and none was added, the
    engine's part says so. Recorded completions that are replayed were drawn under settings that are not known here.
    `options` are the engine's: those that its identity does not name are a part of their own.
    """
    with engine_faults(engine, "identity()"):
        identity, fixed = engine.identity(), protocol.fixed_settings()
    identity = described(engine, "identity()", identity)
    unnamed = unnamed_options(options, identity)
    left_open = opening is not None and not opening.prefix and opening.thinking in ("unopened", "unknown")
    if left_open and protocol.response_prefix == AUTO_PREFIX:
        identity = {**identity, "response_prefix": "none"}
    if identity.get("backend") == "replay":
        fixed["asserted"] = protocol.is_asserted
    found: dict[str, Any] = {"engine": identity, "protocol": fixed, "seed": seed}
    if unnamed is not None:
        found["options"] = unnamed
    return {**found, "shard": str(shard)} if shard is not None else found


def task_description(plan: TaskPlan, source: DataSource) -> dict[str, Any]:
    """One task's entry in run.json. `identity` has to be equal to resume; the other fields may change."""
    sampling = {k: v for k, v in asdict(plan.params).items() if k not in ("n", "seed")}
    file = Path(plan.spec.file).resolve() if plan.spec.file and plan.spec.file.endswith(".py") else None
    source = plan.source or source
    letters = choice_letters(plan.problems[0])
    samples = plan.sample_plan
    return {
        "title": plan.task.title,
        "spec": {**asdict(plan.spec), "file": str(file) if file else plan.spec.file},
        "identity": {
            "version": plan.task.version,
            "options": dict(plan.spec.options),
            "task_file_sha256": hashlib.sha256(file.read_bytes()).hexdigest() if file else None,
            "prompt": plan.task.prompt.replace("{letters}", letters),
            "sampling": sampling,
            "data": [{"hub_id": d.hub_id, "fingerprint": d.fingerprint} for d in plan.data],
            "data_unchecked": source.allow_changed,
        },
        "sampling": samples.sampling(),
        "data": [asdict(d) for d in plan.data],
        "data_folder": str(source.root.resolve()) if source.root else None,
        "problem_ids": list(samples.counts),
        **({"problem_prompts": [plan.prompts[key] for key in samples.counts]} if plan.prompts else {}),
        **({"right_answers": right_answers(plan.problems)} if may_be_corrected(plan) else {}),
        "problems_available": plan.available,
    }


def environment(engine: Engine) -> dict[str, Any]:
    """Package versions and hardware: recorded, not compared."""
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    own = engine_environment(engine)
    return {
        "packages": packages,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "engine": own,
    }


def engine_environment(engine: Engine) -> dict[str, Any]:
    """What the engine says of its surroundings. Raises EvalkitError, naming it, where that cannot be recorded."""
    with engine_faults(engine, "environment()"):
        found = engine.environment()
    return described(engine, "environment()", found)


def engine_line(name: str, identity: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    """What generates, on what, and in which type of numbers: a GPU that is not used shows here."""
    parts = [f"{name} {recorded[name]}" if name in recorded else name]
    count = recorded.get("gpus")
    if device := recorded.get("device"):
        parts.append(f"{count} x {device}" if isinstance(count, int) and count > 1 else str(device))
    if dtype := recorded.get("dtype", identity.get("dtype")):
        parts.append(str(dtype))
    return ", ".join(parts)


def default_run_path(results: Path, model: str, identity: Mapping[str, Any]) -> Path:
    """The run directory below `results` that has this identity, whatever its checkpoint was called when it was made.

    Where there is none: results/<model>/<protocol>-<hash of the identity>.
    """
    found = [run for run in _directories(results) if _is_run_of(run, identity)]
    if found:
        return max(found, key=lambda run: (_bytes_of_completions(run), str(run)))
    name = model_label(model).replace("/", "__")
    digest = hashlib.sha256(content_of(identity).encode()).hexdigest()
    part = f"-shard-{identity['shard'].replace('/', '-of-')}" if "shard" in identity else ""
    return results / name / f"{identity['protocol']['name']}-{digest[:8]}{part}"


def _directories(results: Path) -> list[Path]:
    return [file.parent for file in sorted(results.glob("*/*/run.json"))]


def _is_run_of(run: Path, identity: Mapping[str, Any]) -> bool:
    try:
        present = identity_of(json.loads((run / "run.json").read_text(encoding="utf-8")))
        return not run_differences(present, json.loads(json.dumps(identity)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # not a run of this version, or a damaged one: whoever reads it is told


def _bytes_of_completions(run: Path) -> int:
    return sum(path.stat().st_size for path in run.glob("*/completions.jsonl"))


class RunSession:
    """One execution of a run, with its files, scorer and progress.

    `prices` are for a million prompt and generated tokens; `rooms` are the tokens that the context leaves for a task's
    completions where they are fewer than max_tokens; `opening` is how responses begin; `throughput` is None until
    something was generated. Of a `shard` there are no reports. `grow` is called when everything is graded; it returns
    the plans of a next phase with more completions, or None. `judges` grade programs on other machines. `options` are
    the engine's.
    """

    def __init__(
        self,
        run: RunDirectory,
        model: str,
        plans: Sequence[TaskPlan],
        engine: Engine,
        protocol: Protocol,
        prices: tuple[float, float] | None = None,
        rooms: Mapping[str, int | None] | None = None,
        opening: Opening | None = None,
        shard: Shard | None = None,
        grow: Grow | None = None,
        judges: Judges | None = None,
        options: object = None,
    ) -> None:
        self.run = run
        self.model = model
        self.plans = {plan.task.name: plan for plan in plans}
        self.engine = engine
        self.protocol = protocol
        self.problems = {(name, p.id): p for name, plan in self.plans.items() for p in plan.problems}
        self._every = {(name, p.id): p for name, plan in self.plans.items() for p in plan.dataset or plan.problems}
        self.graders = {name: grader_name(plan.task, plan.spec) for name, plan in self.plans.items()}
        self.shard = shard
        self.grow = grow
        self.judges = judges
        self.options = options
        self.prices = prices
        self.rooms = dict(rooms or {})
        self.opening = opening
        self.throughput: Throughput | None = None
        self.errors: dict[str, int] = {}
        self._waiting: set[SampleKey] = set()
        self._watch = EarlyWatch(protocol.response_prefix)
        self._counted: set[SampleKey] = set()
        self._beside: set[SampleKey] = set()  # graded, though not among what is asked for
        self._meter: Meter | None = None
        self._first_queue: RequestQueue | None = None

    def execute(self, source: DataSource, seed: int, workers: int | None, quiet: bool) -> list[Report]:
        """Execute the run and return a report for each task.

        Raises RunIncompleteError if it could not finish. Finished completions are on disk then.
        """
        try:
            return self._execute(source, seed, workers, quiet)
        except KeyboardInterrupt:
            raise RunIncompleteError(
                f"Stopped. Finished work is in {self.run.path}.", "run the same command again to resume."
            ) from None

    def _execute(self, source: DataSource, seed: int, workers: int | None, quiet: bool) -> list[Report]:
        with ExitStack() as stack:
            stack.enter_context(self.run.locked())
            recorded = environment(self.engine)
            identity = run_identity(self.engine, self.protocol, seed, self.shard, self.opening, self.options)
            logger.info("engine: %s", engine_line(self.engine.name, identity["engine"], recorded["engine"]))
            if self.opening is not None:
                logger.info("response prefix: %s", self.opening)
            recorded = self._resumed_by(recorded)
            corrected = self.run.begin(
                {
                    "evalkit": evalkit.__version__,
                    "model": self.model,
                    "identity": identity,
                    "protocol": asdict(self.protocol),
                    "opening": None if self.opening is None else asdict(self.opening),
                    "environment": recorded,
                    "tasks": {name: self._described(plan, source) for name, plan in self.plans.items()},
                }
            )
            self._take_over_corrections(corrected)
            self._recorded_plans = {name: self.run.task(name).record.plan for name in self.plans}
            self._completions = {name: self._writer(stack, name, "completions") for name in self.plans}
            self._scores = {name: self._writer(stack, name, "scores") for name in self.plans}
            self._scorer = stack.enter_context(
                closing(
                    Scorer(
                        [(plan.spec, plan.task) for plan in self.plans.values()],
                        workers,
                        local=[name for name, plan in self.plans.items() if plan.local],
                        judges=self.judges,
                    )
                )
            )
            self._progress = stack.enter_context(
                Progress({name: plan.samples for name, plan in self.plans.items()}, quiet=quiet)
            )
            self._complete()
            self._watch.finish()
            if self.shard is not None:
                return []
            self._record_finished()
            reports = self._reports()
            self.errors = {report.task: report.statuses["error"] for report in reports}
            return reports

    def _take_over_corrections(self, corrected: Mapping[str, str]) -> None:
        """Grade with the names of graders that the tasks' data has now, and tell what was corrected in it."""
        for name, plan in self.plans.items():
            self.graders[name] = grader_name(plan.task, plan.spec, self.run.task(name).record.corrected_data)
        for name, told in corrected.items():
            set_opinions_aside(self.run.task(name))
            logger.warning("%s: %s; its completions are graded again", name, told)

    def _complete(self) -> None:
        """Generate and grade what is missing, and again for each phase that `grow` adds."""
        requests = self._take_up_what_is_done()
        try:
            while True:
                self._generate(requests)
                self._grade_what_waits()
                grown = self.grow(self.run, list(self.plans.values())) if self.grow is not None else None
                if grown is None:
                    return
                self.plans = {plan.task.name: plan for plan in grown}
                self._progress.extend({name: plan.samples for name, plan in self.plans.items()})
                requests = self._take_up_what_is_done(again=True)
        finally:
            self._end_generating()

    def _record_finished(self) -> None:
        plans = {name: plan.sample_plan for name, plan in self.plans.items()}
        divided = {
            name: {"pilot": plan.pilot, "phases": dict(plan.phases)} for name, plan in self.plans.items() if plan.pilot
        }
        self.run.record_finished(plans, {name: plan.prompts for name, plan in self.plans.items()}, divided)

    def _resumed_by(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """The environment, once the engine has looked at that of a run on disk. Raises EvalkitError as it does."""
        verify = getattr(self.engine, "verify_resumed", None)
        if verify is None or not self.run.description_path.exists():
            return recorded
        try:
            verify(self.run.record().environment.get("engine") or {})
        except EvalkitError as error:
            error.hint = f"the run is {self.run.path}, of the model {self.run.record().model}: {error.hint}"
            raise
        return {**recorded, "engine": engine_environment(self.engine)}

    def _described(self, plan: TaskPlan, source: DataSource) -> dict[str, Any]:
        found, room = task_description(plan, source), self.rooms.get(plan.task.name)
        return {**found, "least_room": room} if room is not None else found

    def _writer(self, stack: ExitStack, name: str, kind: str) -> LineWriter:
        files = self.run.files(name)
        path = files.completions_path if kind == "completions" else files.scores_path
        writer = stack.enter_context(LineWriter(path, files.run))
        if writer.repaired_bytes:
            logger.warning("the last line of %s was incomplete; removed its %d bytes", path, writer.repaired_bytes)
        return writer

    def _take_up_what_is_done(self, again: bool = False) -> RequestQueue:
        """Count the completions on disk, grade those without a score, and queue the missing ones.

        `again`: what is on disk was counted and graded before.
        """
        done: set[SampleKey] = set()
        lengths: list[Completion] = []
        for name, plan in self.plans.items():
            files = self.run.files(name)
            latest = {score.key: (score, grader) for score, grader in files.scores()}  # the last one counts
            scored = {
                key: score
                for key, (score, grader) in latest.items()
                if (grader == self.graders[name] or grader.startswith(HUMAN)) and score.status != "error"
            }
            closed = self._settled(name)
            scored |= closed
            for completion in files.completions():
                wanted = (name, completion.problem_id) in self.problems and completion.sample_index in plan.wanted(
                    completion.problem_id
                )
                closed_error = completion.key in closed and completion.key not in done
                if completion.error is not None and not closed_error:
                    continue
                if not wanted:
                    if not again and completion.key not in scored and self._is_of_the_report(completion):
                        self._beside.add(completion.key)
                        self._grade(completion)
                    continue
                done.add(completion.key)
                if again and completion.key in self._counted:
                    continue
                self._counted.add(completion.key)
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
        counts = ", ".join(f"{name} {p.counts_text()}" for name, p in self.plans.items())
        logger.info("%s: %d completions to generate, %d already on disk", counts, len(requests), len(done))
        return requests

    def _is_of_the_report(self, completion: Completion) -> bool:
        """Whether a completion that was not asked for this time counts in the report: an earlier plan had it."""
        if self.shard is not None or (completion.task, completion.problem_id) not in self._every:
            return False
        plan = self._recorded_plans[completion.task]
        return (completion.problem_id, completion.sample_index) in plan

    def _settled(self, name: str) -> dict[SampleKey | None, Score]:
        """The scores of the samples that were closed: they are not asked for or graded again."""
        files = self.run.files(name)
        closed = settled(files)
        return {key: score for key, score in files.latest_scores().items() if key in closed} if closed else {}

    def _generate(self, requests: RequestQueue) -> None:
        if not len(requests):
            return
        self._scorer.start()  # while the engine loads; later, starting would take its CPU time
        if self._meter is None:
            self._meter = Meter(self.engine.gpus, self.prices)
            self._first_queue = requests
        trouble = getattr(self.engine, "trouble", None)
        self._progress.follow(lambda: requests.first_draw, requests.seconds_left, trouble)
        for completion in answers(self.engine, requests, self._counted):
            self._completions[completion.task].append(completion_record(completion))
            self._counted.add(completion.key)
            self._watch.add_completion(completion)
            self._meter.add(completion)
            requests.observe(completion)
            self._progress.add_completion(completion)
            self._grade(completion)
            for score in self._scorer.results(wait=False):
                self._store_score(score)

    def _end_generating(self) -> None:
        """Close the engine and record what it did, if it was used."""
        if self._meter is None or self._first_queue is None:
            return
        with plugin_faults(
            self.engine,
            f"The engine {self.engine.name} failed at its end",
            repair_hint(self.engine),
            RunIncompleteError,
        ):
            self.run.record_engine(engine_environment(self.engine))
            self._meter.gpus = self.engine.gpus  # on a cluster it is known now
            self.engine.close()
        self.throughput = self._meter.result(self._first_queue.first_draw)
        with LineWriter(self.run.path / "throughput.jsonl", self.run.path) as lines:
            lines.append(asdict(self.throughput))

    def _grade(self, completion: Completion) -> None:
        """Submit a completion for grading. It is postponed if the graders are far behind, so the engine never waits."""
        if self._scorer.pending < _MOST_UNSCORED:
            self._scorer.submit(self._every[completion.task, completion.problem_id], completion)
        else:
            self._waiting.add(completion.key)

    def _grade_what_waits(self) -> None:
        for name in {key.task for key in self._waiting}:
            for completion in self.run.files(name).standing_completions():
                if completion.key in self._waiting:
                    while self._scorer.pending >= _MOST_UNSCORED:
                        self._store_score(self._scorer.next_result())
                    self._scorer.submit(self._every[name, completion.problem_id], completion)
        for score in self._scorer.results(wait=True):
            self._store_score(score)

    def _store_score(self, score: Score) -> None:
        assert score.key is not None
        self._scores[score.key.task].append(score_record(score, self.graders[score.key.task]))
        if score.key in self._beside:
            return
        self._watch.add_score(score)
        self._progress.add_score(score)

    def _reports(self) -> list[Report]:
        """The report of each task. Raises NoReportError for one that cannot be computed when the others are written."""
        reports: list[Report] = []
        failure: NoReportError | None = None
        for plan in self.plans.values():
            try:
                report = self._report(plan)
            except NoReportError as error:
                failure = failure or error
                continue
            reports.append(report)
            if told := tell_absent_headlines(report.task, report.headlines, report.metrics):
                logger.warning("%s", told)
        if failure is not None:
            raise failure
        return reports

    def _report(self, plan: TaskPlan) -> Report:
        """The report of what was asked for. That of all finished completions of the task is written."""
        recorded = self.run.task(plan.task.name)
        every = plan.dataset or plan.problems
        whole = build_report(recorded, plan.task, [p for p in every if p.id in recorded.record.plan.counts])
        write_report(self.run, whole)
        if recorded.record.plan == plan.sample_plan:
            return whole
        return build_report(recorded.with_plan(plan.sample_plan), plan.task, plan.problems)


def require_no_errors(run: RunDirectory, reports: Sequence[Report]) -> None:
    """Raises RunIncompleteError if the engine or the grader failed on samples that are not settled."""
    failed = {r.task: r.statuses["error"] - r.settled for r in reports if r.statuses["error"] > r.settled}
    if not failed:
        return
    counts = ", ".join(f"{count} of {task}" for task, count in failed.items())
    reasons = Counter(reason for task in failed for reason in _open_errors(run, task))
    settling = f"`evalkit settle {shlex.quote(str(run.path))} --status error` closes them"
    refused = all(reason.startswith(f"engine: {REFUSED}") for reason in reasons)
    again = "run the same command again to redo only those"
    if run.record().is_imported:
        refused = all(reason.startswith("engine: ") for reason in reasons)
        again = f"`evalkit score {shlex.quote(str(run.path))}` grades them again; {settling}"
    if own := [task for task in failed if run.task(task).record.spec.get("file") and _is_of_code(run, task)]:
        again = f"repair score() of {', '.join(own)} and run the same command again: the completions are kept"
    if all(reason == NO_RIGHT_ANSWER for reason in reasons):
        again = "give each problem a right answer and run the same command again: the completions are kept"
    hint = f"asking again brings nothing: {settling}" if refused else again
    told = f" ({reasons.most_common(1)[0][0][:200].rstrip('.')})" if reasons else ""
    raise RunIncompleteError(
        f"The engine or the grader failed on some samples in {run.path}: {counts}{told}.",
        f"{hint}; scores.jsonl has the reason for each.",
    )


def _is_of_code(run: RunDirectory, task: str) -> bool:
    """Whether all errors of a task are of its score(): it raised, or returned no Score."""
    return all(reason.startswith(GRADER_FAILED) for reason in _open_errors(run, task))


def _open_errors(run: RunDirectory, task: str) -> list[str]:
    """Why samples of a task are errors, those that are settled left out."""
    files = run.files(task)
    closed = settled(files)
    return [
        score.explanation
        for key, score in files.latest_scores().items()
        if score.status == "error" and key not in closed
    ]
