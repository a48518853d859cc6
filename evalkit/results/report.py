"""The report of one task of a run: metrics with error bars, status counts, truncation rate, token counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, cast

from evalkit.benchmark.registry import installed_task
from evalkit.benchmark.task import Task
from evalkit.errors import DamagedError, EvalkitError, RunIncompleteError
from evalkit.files import is_finite, parse_json, read_file, size_of
from evalkit.results.disputes import DisputeSummary, summarise_disputes
from evalkit.results.metrics import interval_fault, standard_metrics
from evalkit.results.own_metrics import NoReportError, has_own_metrics, own_metrics
from evalkit.results.peer import peer_figure
from evalkit.results.recreate import planned_problems, recreate_task
from evalkit.results.samples import load_samples
from evalkit.results.signs import warning_signs
from evalkit.results.ungraded import is_ungraded
from evalkit.stats import TokenSummary, token_summary
from evalkit.stats.precision import Halves
from evalkit.store.halves import halves_of
from evalkit.store.lines import unreadable, write_atomically
from evalkit.store.opinions import adjudications_path, opinions_path
from evalkit.store.run import RunDirectory, TaskFiles, TaskRun
from evalkit.store.settled import settled
from evalkit.types import STATUSES, Metric, Problem, SampleKey
from evalkit.visible import json_text
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError, processors

REPORT_SCHEMA = 3
_WORTH_WORKERS = 20_000_000  # bytes to read: for fewer, starting processes costs more than it saves
_REBUILD_TIMEOUT = 600.0
_UNITS_OF_SCHEMA_2 = {"%": "%", "Elo": "rating", "fraction": "%"}


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one task of one run.

    `n` completions were drawn for each of `problems`, of some up to `most_n` where that is not None; `statuses` add up
    to `samples`. `truncation_rate` in [0, 1] is the share that was cut at the limit, whatever it scored, None where an
    imported log does not say. `tokens` is None where the engine did not count them. `values` holds each problem's first
    n scores in the order of the sample index. `headlines` names the metrics that stand for the task in a table.
    `disputes` is None where neither a second grader nor a human has judged. `warnings` are words such as `no thinking`:
    signs that the figures say little. `settled` of the samples with the status error were closed by `evalkit settle`.
    `graders` are the names of those that gave the scores, None in reports of versions that did not note them. `peer_n`
    is the least and the most samples of a problem that the metric `peer` is of, None without that metric.
    """

    schema: int
    model: str
    run_id: str
    task: str
    title: str
    task_version: int
    protocol: str
    max_tokens: int | None
    n: int
    problems: int
    samples: int
    statuses: dict[str, int]
    truncation_rate: float | None
    tokens: TokenSummary | None
    metrics: list[Metric]
    values: dict[str, list[float]]
    bytes_read: list[int]
    headlines: list[str] = field(default_factory=lambda: ["pass@1"])
    disputes: DisputeSummary | None = None
    opinion_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    settled: int = 0
    most_n: int | None = None
    graders: list[str] | None = None
    peer_n: list[int] | None = None

    def metric(self, name: str) -> Metric | None:
        """The metric with this name, or None."""
        return next((m for m in self.metrics if m.name == name), None)

    def samples_of(self, metric: str) -> tuple[int, int | None]:
        """The samples of each problem that a metric is of: the least, and the most where problems differ."""
        if metric == "peer" and self.peer_n is not None:
            least, most = self.peer_n
            return least, most if most > least else None
        return self.n, self.most_n


def build_report(run: TaskRun, task: Task, problems: Sequence[Problem] | None) -> Report:
    """Read the completions and scores of one task and compute its report. `problems` is passed to `extra_metrics`.

    Raises EvalkitError as `load_samples` does, and NoReportError as `own_metrics` does.
    """
    record = run.record
    read = _sizes(run.files)
    samples = load_samples(run)
    metrics = standard_metrics(task, samples, _halves(run))
    if problems is not None and has_own_metrics(task):
        metrics += _own_metrics(run, task, problems)
    peer = None
    if _size(run.files, run.files.peer_scores_path):
        peer = peer_figure(run, str(run.run.engine.get("peer") or "the log"))
        metrics += [peer.metric] if peer is not None else []
    every = samples.every
    counts = Counter(chain.from_iterable(samples.statuses) if every is None else every.statuses)
    values = samples.values.ravel() if every is None else every.values
    truncated = samples.truncated if every is None else every.truncated
    tokens = samples.tokens if every is None else every.tokens
    truncation_rate = None if truncated is None else int(truncated.sum()) / len(values)
    return Report(
        schema=REPORT_SCHEMA,
        model=run.run.model,
        run_id=run.directory.path.name,
        task=record.name,
        title=record.title,
        task_version=record.version,
        protocol=run.run.protocol_name,
        max_tokens=record.max_tokens,
        n=record.n,
        problems=len(record.problem_ids),
        samples=len(values),
        statuses={status: counts[status] for status in STATUSES},
        truncation_rate=truncation_rate,
        tokens=token_summary(tokens.ravel(), values) if tokens is not None else None,
        metrics=metrics,
        values=dict(zip(record.problem_ids, samples.values.tolist(), strict=True)),
        bytes_read=read,
        headlines=list(task.headlines),
        disputes=summarise_disputes(run),
        opinion_bytes=_opinion_bytes(run.files),
        warnings=warning_signs(run, counts, truncation_rate, samples.empty),
        settled=_settled_errors(run),
        most_n=None if every is None else max(every.counts),
        graders=list(samples.graders),
        peer_n=[peer.least, peer.most] if peer is not None else None,
    )


def _settled_errors(run: TaskRun) -> int:
    """How many of the samples that were closed as errors still are errors."""
    closed = settled(run.files)
    if not closed:
        return 0
    return sum(score.status == "error" and key in closed for key, score in run.files.latest_scores().items())


def _halves(run: TaskRun) -> list[Halves] | None:
    """The outcomes by half of a run that divided its samples by a pilot, None for other runs."""
    sampling = run.record.content["sampling"]
    pilot, phases = sampling.get("pilot"), sampling.get("phases") or {}
    if not pilot or any(sum(map(sum, phases.get(key, ()))) + pilot > n for key, n in run.record.plan.counts.items()):
        return None  # every problem has the same number, or only a part of the run is looked at
    values = {(s["problem_id"], s["sample_index"]): s["value"] for s in run.files.score_facts()}
    return [Halves(*halves_of(values, key, pilot, phases.get(key, ()))) for key in run.record.problem_ids]


def _own_metrics(run: TaskRun, task: Task, problems: Sequence[Problem]) -> list[Metric]:
    latest = run.files.latest_scores()
    by_problem = {
        problem_id: [latest[SampleKey(run.name, problem_id, i)] for i in range(run.record.n)]
        for problem_id in run.record.problem_ids
    }
    return own_metrics(task, problems, by_problem)


def _sizes(files: TaskFiles) -> list[int]:
    return [_size(files, path) for path in (files.completions_path, files.scores_path)]


def _size(files: TaskFiles, path: Path) -> int:
    try:
        return size_of(path, files.run)
    except OSError as error:
        raise unreadable(path, error) from error


def _opinion_bytes(files: TaskFiles) -> int:
    return sum(_size(files, path) for path in (opinions_path(files), adjudications_path(files)))


def write_report(run: RunDirectory, report: Report) -> None:
    """Write report.json by atomic rename. Raises EvalkitError if it cannot be written.

    A lone surrogate, which a file made by hand may have in a name, stays apart from others: it is written as an escape.
    """
    text = json_text(_adapter().dump_python(report), indent=1) + "\n"  # mode="json" makes all surrogates one character
    write_atomically(run.files(report.task).report_path, text, durable=False, below=run.path)


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def load_report(task: TaskRun, keep: bool = True) -> Report:
    """The report of one task: read from report.json if that is up to date, else computed, and written if possible.

    It is not written unless `keep`, as for a part of the task's completions.

    Raises RunIncompleteError if the run is not complete, EvalkitError if it is damaged.
    """
    if (stored := stored_report(task)) is not None:
        return stored
    try:
        report = rebuild_report(task)
    except (RunIncompleteError, DamagedError):
        raise
    except EvalkitError:  # its task or its data is not at hand: the figures of an older evalkit are better than none
        if (older := _older_report(task)) is None:
            raise
        return older
    if keep:
        with suppress(EvalkitError):  # a folder that can only be read: the report is derived, nothing is lost
            write_report(task.directory, report)
    return report


def stored_report(task: TaskRun) -> Report | None:
    """The content of report.json, or None if it is missing, damaged, of another version or out of date."""
    report = _report_on_disk(task)
    if report is None or report.graders is None or (report.metric("peer") is not None and report.peer_n is None):
        return None
    return report


def _report_on_disk(task: TaskRun) -> Report | None:
    try:
        content = read_file(task.files.report_path, task.files.run)
        report = cast(Report, _adapter().validate_python(parse_json(content)))
    except (OSError, ValueError):
        return None
    return report if report.schema == REPORT_SCHEMA and _fits(report, task) else None


def _fits(report: Report, task: TaskRun) -> bool:
    """Whether a report is of this state of the task's files, and holds figures that can be shown."""
    record, plan = task.record, task.record.plan
    fits = report.bytes_read == _sizes(task.files) and report.opinion_bytes == _opinion_bytes(task.files)
    fits = fits and (report.n, report.task, report.title) == (plan.n, record.name, record.title)
    fits = fits and (report.model, report.protocol) == (task.run.model, task.run.protocol_name)
    fits = fits and report.samples == plan.samples and report.problems == len(report.values)
    fits = fits and (report.peer_n is None or len(report.peer_n) == 2)
    fits = fits and set(report.statuses) == set(STATUSES) and all(0 <= c <= 1e15 for c in report.statuses.values())
    fits = fits and not is_ungraded(task)  # what an earlier version has made of errors without exception
    fits = fits and all(len(values) == report.n for values in report.values.values())
    fits = fits and all(interval_fault(metric) is None for metric in report.metrics)
    return fits and tuple(report.values) == record.problem_ids and is_finite(_adapter().dump_python(report))


def _older_report(task: TaskRun) -> Report | None:
    """The stored report of an earlier evalkit as it stands, None where there is none that fits."""
    if (report := _report_on_disk(task)) is not None:
        return report
    try:
        report = _from_schema_2(read_file(task.files.report_path, task.files.run))
    except OSError:
        return None
    return report if report is not None and _fits(report, task) else None


def _from_schema_2(content: bytes) -> Report | None:
    """A report of schema 2 (evalkit 0.1), converted to the present schema. None if it is not one."""
    try:
        old = parse_json(content)
        if old["schema"] != 2:
            return None
        metrics = [_metric_from_schema_2(metric) for metric in old["metrics"]]
        headlines = _headlines(old["task"])
        new = {**old, "schema": REPORT_SCHEMA, "metrics": metrics, "headlines": headlines}
        return cast(Report, _adapter().validate_python(new))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _headlines(task: str) -> list[str]:
    try:
        known = installed_task(task)
    except EvalkitError:  # its package is broken: its figures are shown all the same
        known = None
    return list(known.headlines) if known is not None else ["pass@1"]


def _metric_from_schema_2(old: Mapping[str, Any]) -> dict[str, Any]:
    new = {k: v for k, v in old.items() if k not in ("stderr", "interval")}
    new |= {"stderr_problems": old["stderr"], "interval_problems": old["interval"]}
    new["unit"] = _UNITS_OF_SCHEMA_2.get(old["unit"], "count")
    if old["unit"] == "fraction":
        new["value"] = 100 * old["value"]
    return new


def refresh_reports(stale: Sequence[TaskRun]) -> None:
    """Compute the reports of `stale` tasks, in worker processes if there is much to read.

    A report that cannot be computed is skipped; `load_report` raises the error.
    """
    workers = min(processors(), len(stale))
    if workers < 2 or sum(map(_bytes_to_read, stale)) < _WORTH_WORKERS:
        return
    pool = WorkerPool("evalkit.results.report:refresh_in_worker", workers=workers)

    def refresh(task: TaskRun) -> None:
        with suppress(WorkerCallError, WorkerDiedError, WorkerTimeoutError):
            pool.call([str(task.directory.path), task.name], _REBUILD_TIMEOUT)

    with closing(pool), ThreadPoolExecutor(workers) as threads:
        list(threads.map(refresh, stale))


def _bytes_to_read(task: TaskRun) -> int:
    with suppress(DamagedError):  # `load_report` raises it
        return sum(_sizes(task.files))
    return 0


def refresh_in_worker(task: list[str]) -> None:
    """`load_report` in a worker process. It returns nothing, since the report is on disk."""
    load_report(RunDirectory(Path(task[0])).task(task[1]))


def rebuild_report(run: TaskRun) -> Report:
    """Compute a report from the files. The data set is loaded only if the task defines `extra_metrics`.

    Raises NoReportError if the task or its data is not at hand or its metrics fail, EvalkitError for damaged files.
    """
    try:
        task = recreate_task(run)
        problems = planned_problems(run, task) if has_own_metrics(task) else None
    except EvalkitError as error:
        raise NoReportError(error.message, error.hint) from error
    return build_report(run, task, problems)
