"""Grades a run again. The new scores replace the old ones when all are graded."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evalkit.benchmark.data import DataFolders, data_folder_of
from evalkit.benchmark.declared import require_declared
from evalkit.benchmark.registry import TaskSpec, code_digest
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.files import rename
from evalkit.results.harness_figure import harness_figure
from evalkit.results.recreate import is_data_of, load_again, recreate_spec
from evalkit.results.report import Report, build_report, write_report
from evalkit.results.runs import Run, run_path
from evalkit.results.ungraded import is_ungraded
from evalkit.run.corrections import corrected_entry, set_opinions_aside
from evalkit.run.judges import open_judges
from evalkit.run.scoring import Judges, Scorer, grader_name
from evalkit.store.answers import data_digest
from evalkit.store.lines import LineWriter
from evalkit.store.marks import SampleStatuses
from evalkit.store.opinions import adjudications
from evalkit.store.run import RunDirectory, TaskFiles, TaskRun, score_record
from evalkit.types import Completion, Problem, SampleKey, Score

logger = logging.getLogger(__name__)

_MOST_UNSCORED = 2000
_MOST_UNSCORED_TEXT = 16_000_000  # characters; one completion is let through whatever its length


@dataclass(frozen=True, slots=True)
class ChangedVerdict:
    """A sample whose status or value changed when it was graded again; `before` and `after` are statuses."""

    key: SampleKey
    before: str
    after: str
    answer: str | None
    explanation: str
    value_before: float
    value_after: float

    def __str__(self) -> str:
        before, after = (
            status if value == _usual_value(status) else f"{status} ({value:g})"
            for status, value in ((self.before, self.value_before), (self.after, self.value_after))
        )
        return f"{before} -> {after}"


def _usual_value(status: str) -> float:
    return 1.0 if status == "correct" else 0.0


def rescore(
    run: str | Path | Run,
    tasks: Sequence[str] | None = None,
    *,
    data: DataFolders = None,
    workers: int | None = None,
    task_file: str | Path | None = None,
    judge_on: str | None = None,
) -> list[ChangedVerdict]:
    """Grade a run again with the graders of this version and return the verdicts that changed.

    `tasks` names the tasks to grade, None for all. `data` is the folder with their data, None for the one that the run
    used. `workers` is the number of grader processes, None for as many as pay for their start, up to the number of
    cores. `task_file` is where the tasks' file is now, if it is not where the run recorded it. `judge_on` is where
    programs are judged, as for `evaluate`. The old scores are kept until all completions are graded.

    Raises EvalkitError if this is not a run or if its data is not available, RunIncompleteError if completions are
    missing. Imported tasks without right answers are left ungraded.
    """
    directory = RunDirectory(run_path(run, "rescore"))
    names = list(tasks) if tasks is not None else list(directory.tasks())
    return rescore_run(directory, names, data, workers, task_file, judge_on)[0]


def rescore_run(
    run: RunDirectory,
    names: Sequence[str],
    data: DataFolders,
    workers: int | None,
    task_file: str | Path | None = None,
    judge_on: str | None = None,
) -> tuple[list[ChangedVerdict], list[Report]]:
    """Grade the tasks `names` of a run again and return the verdicts that changed and the new reports.

    An imported task without right answers is left as it is, which is told.
    Raises EvalkitError if a task's data is not available, RunIncompleteError if completions are missing.
    """
    changed: list[ChangedVerdict] = []
    reports = []
    with run.locked():
        for name in names:
            recorded = run.task(name)
            if is_ungraded(recorded):
                why = "it was imported without the right answers to all problems, or with --kind none"
                logger.warning("%s: not graded, %s.%s", name, why, harness_figure(recorded))
                continue
            spec = recreate_spec(recorded, str(Path(task_file).resolve()) if task_file is not None else None)
            task = spec.create()
            require_declared(task)
            problems, source = load_again(recorded, task, data_folder_of(task, data))
            entry = None if is_data_of(recorded, source) else corrected_entry(recorded, task, problems, source)
            if not set(recorded.record.problem_ids) & {p.id for p in problems}:
                raise EvalkitError(
                    f"The data of {name} has none of the problems of {recorded.directory.path}; its scores are kept.",
                    "pass the folder with the data of the run with --data.",
                )
            grader = grader_name(task, spec, data_digest(recorded.record.content if entry is None else entry))
            with open_judges([(spec, task)], judge_on) as judges:
                changed += _rescore_task(recorded, spec, task, problems, workers, judges, grader)
            file = spec.file if spec.file is not None and spec.file.endswith(".py") else None
            run.adopt_grader(name, task.version, code_digest(task, spec) if file else None, spec.file, entry)
            if entry is not None:
                set_opinions_aside(recorded)
            planned = set(recorded.record.problem_ids)
            report = build_report(run.task(name), task, [p for p in problems if p.id in planned])
            write_report(run, report)
            reports.append(report)
    return changed, reports


def _rescore_task(
    run: TaskRun,
    spec: TaskSpec,
    task: Task,
    problems: Sequence[Problem],
    workers: int | None,
    judges: Judges | None,
    grader: str,
) -> list[ChangedVerdict]:
    files = run.files
    by_id = {p.id: p for p in problems}
    verdicts = _Verdicts(files, grader)
    scorer = Scorer([(spec, task)], workers, judges=judges)
    with LineWriter(files.rescoring_path, files.run) as writer, closing(scorer):

        def keep(score: Score) -> None:
            writer.append(score_record(score, grader))
            verdicts.add(score)

        unscored = _Unscored()
        for completion in files.standing_completions():
            if verdicts.has(completion.key) or completion.problem_id not in by_id:
                continue
            while scorer.pending and unscored.are_many(scorer.pending):
                keep(unscored.without(scorer.next_result()))
            unscored.add(completion)
            scorer.submit(by_id[completion.problem_id], completion)
            for score in scorer.results(wait=False):
                keep(unscored.without(score))
        for score in scorer.results(wait=True):
            keep(score)
        for score, old_grader in files.scores():  # keep scores of problems that the data set no longer has
            if score.key is not None and not verdicts.has(score.key):
                writer.append(score_record(score, old_grader))
        for decision in adjudications(files).values():  # a human's word outranks the graders
            writer.append(score_record(decision.score(), decision.grader))
            verdicts.add(decision.score())
    rename(files.rescoring_path, files.scores_path, files.run)
    return list(verdicts.changed.values())


class _Verdicts:
    """Status and value of each sample before, which ones were graded again, and the verdicts that changed."""

    def __init__(self, files: TaskFiles, grader: str) -> None:
        """What an interrupted pass of the same grader has done is taken over, its errors excepted."""
        self._before = SampleStatuses()
        self._values: dict[tuple[str, int], float] = {}  # those that the status does not tell
        for facts in files.score_facts():
            sample = facts["problem_id"], facts["sample_index"]
            self._before.set(*sample, facts["status"])
            self._values.pop(sample, None)
            if facts["value"] != _usual_value(facts["status"]):
                self._values[sample] = facts["value"]
        self._graded = SampleStatuses()
        self.changed: dict[SampleKey, ChangedVerdict] = {}
        for score, name in files.scores(files.rescoring_path):
            if name == grader and score.status != "error":
                self.add(score)

    def has(self, key: SampleKey) -> bool:
        """Whether a sample was graded again."""
        return self._graded.get(key.problem_id, key.sample_index) is not None

    def add(self, score: Score) -> None:
        key = score.key
        assert key is not None
        self._graded.set(key.problem_id, key.sample_index, score.status)
        before = self._before.get(key.problem_id, key.sample_index)
        self.changed.pop(key, None)
        if before is None:
            return
        value = self._values.get((key.problem_id, key.sample_index), _usual_value(before))
        if (before, value) != (score.status, score.value):
            self.changed[key] = ChangedVerdict(
                key, before, score.status, score.answer, score.explanation, value, score.value
            )


class _Unscored:
    """How much text waits to be graded: a pass over gigabytes holds no more than the graders can be busy with."""

    def __init__(self) -> None:
        self._lengths: dict[SampleKey, int] = {}
        self._total = 0

    def are_many(self, pending: int) -> bool:
        return pending >= _MOST_UNSCORED or self._total >= _MOST_UNSCORED_TEXT

    def add(self, completion: Completion) -> None:
        key, length = completion.key, len(completion.text)
        self._lengths[key] = self._lengths.get(key, 0) + length  # a sample may have failed twice
        self._total += length

    def without(self, score: Score) -> Score:
        """The score of a completion that waits no more."""
        assert score.key is not None
        self._total -= self._lengths.pop(score.key, 0)
        return score
