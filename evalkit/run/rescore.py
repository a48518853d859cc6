"""Grade a run again: a whole new pass beside the old one, which it replaces when it is complete."""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.results.report import Report, build_report, write_report
from evalkit.run.scoring import Scorer, grader_name
from evalkit.store.lines import LineWriter
from evalkit.store.run import RunDirectory, score_record
from evalkit.types import Problem, SampleKey, Score

_MOST_UNSCORED = 2000


@dataclass(frozen=True, slots=True)
class Flip:
    """A sample whose status is another one after grading again."""

    key: SampleKey
    before: str
    after: str
    answer: str | None
    explanation: str


def rescore_run(
    run: RunDirectory, names: Sequence[str], data_folder: str | None, workers: int | None
) -> tuple[list[Flip], list[Report]]:
    """Grade the tasks `names` of a run again and return what flipped and the new reports.

    Raises EvalkitError if a task's data is not there, RunIncompleteError if completions are missing.
    """
    flips: list[Flip] = []
    reports = []
    with run.locked():
        for name in names:
            asked = run.describe()["tasks"][name]
            spec = TaskSpec(**asked["spec"])
            task = spec.create()
            source = DataSource.from_option(data_folder or asked["data_folder"], allow_changed=True)
            problems = task.load(source)
            _require_same_data(run, name, asked, source)
            flips += _rescore_task(run, spec, task, problems, workers)
            _adopt_version(run, name, task)
            wanted = set(asked["problem_ids"])
            report = build_report(run, name, task, [p for p in problems if p.id in wanted])
            write_report(run, report)
            reports.append(report)
    return flips, reports


def _require_same_data(run: RunDirectory, name: str, asked: dict[str, object], source: DataSource) -> None:
    recorded = asked["data"]
    assert isinstance(recorded, list)
    if [d["fingerprint"] for d in recorded] != [d.fingerprint for d in source.loaded]:
        raise EvalkitError(
            f"The data of {name} is not what {run.path} was run on.", "give the folder it was run on with --data."
        )


def _rescore_task(
    run: RunDirectory, spec: TaskSpec, task: Task, problems: Sequence[Problem], workers: int | None
) -> list[Flip]:
    store = run.task(task.name)
    by_id = {p.id: p for p in problems}
    before = {score.key: score.status for score, _ in store.scores()}
    grader = grader_name(task)
    fresh: dict[SampleKey | None, Score] = {
        score.key: score
        for score, name in store.scores(store.rescoring_path)
        if name == grader and score.status != "error"
    }
    with LineWriter(store.rescoring_path) as writer, closing(Scorer([(spec, task)], workers)) as scorer:

        def keep(score: Score) -> None:
            writer.append(score_record(score, grader))
            fresh[score.key] = score

        finished = store.finished()
        for completion in store.completions():
            made_again = completion.error is not None and (completion.problem_id, completion.sample_index) in finished
            if completion.key in fresh or completion.problem_id not in by_id or made_again:
                continue
            while scorer.pending >= _MOST_UNSCORED:
                keep(scorer.next_result())
            scorer.submit(by_id[completion.problem_id], completion)
            for score in scorer.results(wait=False):
                keep(score)
        for score in scorer.results(wait=True):
            keep(score)
    os.replace(store.rescoring_path, store.scores_path)
    return [
        Flip(key, before[key], score.status, score.answer, score.explanation)
        for key, score in fresh.items()
        if key is not None and key in before and before[key] != score.status
    ]


def _adopt_version(run: RunDirectory, name: str, task: Task) -> None:
    """Record the task's version that the scores are now by."""
    description = run.describe()
    if description["tasks"][name]["identity"]["version"] != task.version:
        description["tasks"][name]["identity"]["version"] = task.version
        run.rewrite(description)
