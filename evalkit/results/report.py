"""One task of a run -> Report: every number with its n, its error bars and its truncation rate."""

import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.results.samples import Samples, load_samples
from evalkit.stats import (
    Estimate,
    TokenSummary,
    avg_at_n,
    cons_curve,
    equivalence_classes,
    finished_score,
    pass_curve,
    token_summary,
)
from evalkit.store.lines import write_atomically
from evalkit.store.run import RunDirectory, TaskStore
from evalkit.types import STATUSES, Metric, Problem, SampleKey
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError

REPORT_SCHEMA = 2
_WORTH_WORKERS = 20_000_000  # bytes to read: for fewer, starting processes costs more than it saves
_REBUILD_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one task of one run.

    `n` completions were drawn for each of `problems`; `statuses` add up to `samples`. `truncation_rate` in [0, 1] is
    the share that was cut at the limit, whatever it scored. `tokens` is None where the engine did not count them.
    `values` holds each problem's scores in the order of the sample index.
    """

    schema: int
    model: str
    run_id: str
    task: str
    title: str
    task_version: int
    protocol: str
    max_tokens: int
    n: int
    problems: int
    samples: int
    statuses: dict[str, int]
    truncation_rate: float
    tokens: TokenSummary | None
    metrics: list[Metric]
    values: dict[str, list[float]]
    bytes_read: list[int]

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, None where the report has none."""
        return next((m for m in self.metrics if m.name == name), None)


def _percent(name: str, estimate: Estimate, note: str = "") -> Metric:
    def scaled(pair: tuple[float, float]) -> tuple[float, float]:
        return 100 * pair[0], 100 * pair[1]

    return Metric(
        name,
        100 * estimate.value,
        100 * estimate.stderr_problems if isfinite(estimate.stderr_problems) else None,
        estimate.problems * estimate.samples,
        "%",
        scaled(estimate.interval_problems),
        100 * estimate.stderr_run,
        scaled(estimate.interval_run),
        note,
    )


def powers_of_two(n: int) -> list[int]:
    """1, 2, 4, ... and n itself: the k at which pass@k and cons@k are reported."""
    return sorted({*(1 << i for i in range(n.bit_length()) if 1 << i <= n), n})


def standard_metrics(task: Task, samples: Samples) -> list[Metric]:
    """avg@n, the score of what finished, pass@k and cons@k."""
    n = samples.values.shape[1]
    metrics = [_percent("pass@1", avg_at_n(samples.values), note=f"mean over n = {n} completions a problem")]
    share, count = finished_score(samples.values, ~samples.truncated)
    if count:
        metrics.append(Metric("finished", 100 * share, None, count, "%", note="of the completions that were not cut"))
    if n > 1:
        ks = powers_of_two(n)[1:]
        correct = np.array([[status == "correct" for status in row] for row in samples.statuses], dtype=np.float64)
        passed = pass_curve(samples.values, ks)
        elected = cons_curve(_answer_classes(task, samples), correct, ks)
        for k, one, majority in zip(ks, passed, elected, strict=True):
            metrics += [_percent(f"pass@{k}", one), _percent(f"cons@{k}", majority)]
    return metrics


def _answer_classes(task: Task, samples: Samples) -> list[list[Hashable | None]]:
    """Each answer's equivalence class; what was graded correct is one class, since it equals the right answer."""
    same = lru_cache(maxsize=65536)(task.same_answer)
    by_problem: list[list[Hashable | None]] = []
    for answers, statuses in zip(samples.answers, samples.statuses, strict=True):
        others = [None if s == "correct" else a for a, s in zip(answers, statuses, strict=True)]
        classes = equivalence_classes(others, same)
        by_problem.append(["correct" if s == "correct" else c for s, c in zip(statuses, classes, strict=True)])
    return by_problem


def build_report(run: RunDirectory, name: str, task: Task, problems: Sequence[Problem] | None) -> Report:
    """Read one task's completions and scores and compute its report; `problems` are for the task's own metrics.

    Raises EvalkitError as `load_samples` does, and where one of the task's own metrics is no number.
    """
    description = run.describe()
    asked = description["tasks"][name]
    ids, n = asked["problem_ids"], int(asked["sampling"]["n"])
    store = run.task(name)
    read = _sizes(store)
    samples = load_samples(run, name, ids, n)
    metrics = standard_metrics(task, samples)
    if problems is not None and has_own_metrics(task):
        metrics += _own_metrics(store, name, task, problems, ids, n)
    counts = Counter(chain.from_iterable(samples.statuses))
    values = samples.values.ravel()
    return Report(
        schema=REPORT_SCHEMA,
        model=description["model"],
        run_id=run.path.name,
        task=name,
        title=asked["title"],
        task_version=asked["identity"]["version"],
        protocol=description["identity"]["protocol"]["name"],
        max_tokens=asked["identity"]["sampling"]["max_tokens"],
        n=n,
        problems=len(ids),
        samples=len(values),
        statuses={status: counts[status] for status in STATUSES},
        truncation_rate=int(samples.truncated.sum()) / len(values),
        tokens=token_summary(samples.tokens.ravel(), values) if samples.tokens is not None else None,
        metrics=metrics,
        values=dict(zip(ids, samples.values.tolist(), strict=True)),
        bytes_read=read,
    )


def has_own_metrics(task: Task) -> bool:
    """Whether a task has metrics beside the engine's, for which its problems have to be loaded."""
    return type(task).extra_metrics is not Task.extra_metrics


def _own_metrics(
    store: TaskStore, name: str, task: Task, problems: Sequence[Problem], ids: Sequence[str], n: int
) -> list[Metric]:
    scored = {score.key: score for score, _ in store.scores()}
    by_problem = {p: [scored[SampleKey(name, p, i)] for i in range(n)] for p in ids}
    metrics = task.extra_metrics(problems, by_problem)
    for metric in metrics:
        if not isfinite(metric.value):
            raise EvalkitError(
                f"{task.name} gives {metric.value} for its metric {metric.name}.", "repair the task's extra_metrics()."
            )
    return metrics


def _sizes(store: TaskStore) -> list[int]:
    return [path.stat().st_size if path.exists() else 0 for path in (store.completions_path, store.scores_path)]


def write_report(run: RunDirectory, report: Report) -> None:
    """Write report.json by atomic rename."""
    text = _adapter().dump_json(report, indent=1).decode() + "\n"
    write_atomically(run.task(report.task).report_path, text, durable=False)


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def load_report(run: RunDirectory, name: str, asked: Mapping[str, Any] | None = None) -> Report:
    """The report of one task: report.json if it fits the files, else computed anew and written.

    `asked` is the task's entry in run.json, where it was read already.
    Raises RunIncompleteError if the run is not complete, EvalkitError if it is damaged.
    """
    if (stored := stored_report(run, name, asked or run.describe()["tasks"][name])) is not None:
        return stored
    report = rebuild_report(run, name)
    write_report(run, report)
    return report


def stored_report(run: RunDirectory, name: str, asked: Mapping[str, Any]) -> Report | None:
    """report.json, None where it is missing, damaged, of another version or older than the files: it is derived."""
    store = run.task(name)
    try:
        report: Report = _adapter().validate_json(store.report_path.read_bytes())
    except (OSError, ValueError):
        return None
    fits = report.schema == REPORT_SCHEMA and report.bytes_read == _sizes(store)
    fits = fits and report.n == asked["sampling"]["n"] and list(report.values) == asked["problem_ids"]
    return report if fits else None


def refresh_reports(stale: Sequence[tuple[RunDirectory, str]]) -> None:
    """Compute reports that do not fit their files, in as many worker processes as there are cores if they are many.

    What cannot be computed is left to `load_report`, which says why.
    """
    workers = min(os.cpu_count() or 1, len(stale))
    if workers < 2 or sum(sum(_sizes(run.task(name))) for run, name in stale) < _WORTH_WORKERS:
        return
    pool = WorkerPool("evalkit.results.report:refresh_in_worker", workers=workers)

    def refresh(task: tuple[RunDirectory, str]) -> None:
        with suppress(WorkerCallError, WorkerDiedError, WorkerTimeoutError):
            pool.call([str(task[0].path), task[1]], _REBUILD_TIMEOUT)

    with closing(pool), ThreadPoolExecutor(workers) as threads:
        list(threads.map(refresh, stale))


def refresh_in_worker(task: list[str]) -> None:
    """`load_report` for a worker process, which has nothing to hand back: the report is on disk."""
    load_report(RunDirectory(Path(task[0])), task[1])


def rebuild_report(run: RunDirectory, name: str) -> Report:
    """Compute a report from the files; the data set is loaded only for a task with metrics of its own."""
    asked = run.describe()["tasks"][name]
    task = TaskSpec(**asked["spec"]).create()
    problems = None
    if has_own_metrics(task):
        wanted = set(asked["problem_ids"])
        source = DataSource.from_option(asked["data_folder"], allow_changed=True)
        problems = [p for p in task.load(source) if p.id in wanted]
    return build_report(run, name, task, problems)
