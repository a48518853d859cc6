"""Grades a run again. The new scores replace the old ones when all are graded."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evalkit.benchmark.data import DataFolders, data_folder_of
from evalkit.benchmark.registry import TaskSpec, code_digest
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.files import rename
from evalkit.results.recreate import recreate_problems, recreate_spec
from evalkit.results.report import Report, build_report, write_report
from evalkit.results.runs import Run
from evalkit.run.judges import open_judges
from evalkit.run.scoring import Judges, Scorer, grader_name
from evalkit.store.lines import LineWriter
from evalkit.store.opinions import adjudications
from evalkit.store.run import RunDirectory, TaskRun, score_record
from evalkit.types import Problem, SampleKey, Score

_MOST_UNSCORED = 2000


@dataclass(frozen=True, slots=True)
class ChangedVerdict:
    """A sample whose status changed when it was graded again."""

    key: SampleKey
    before: str
    after: str
    answer: str | None
    explanation: str


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
    missing.
    """
    directory = run.directory if isinstance(run, Run) else RunDirectory(Path(run))
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

    Raises EvalkitError if a task's data is not available, RunIncompleteError if completions are missing.
    """
    changed: list[ChangedVerdict] = []
    reports = []
    with run.locked():
        for name in names:
            recorded = run.task(name)
            spec = recreate_spec(recorded, str(Path(task_file).resolve()) if task_file is not None else None)
            task = spec.create()
            problems = recreate_problems(recorded, task, data_folder_of(task, data))
            if not set(recorded.record.problem_ids) & {p.id for p in problems}:
                raise EvalkitError(
                    f"The data of {name} has none of the problems of {recorded.directory.path}; its scores are kept.",
                    "pass the folder with the data of the run with --data.",
                )
            with open_judges([(spec, task)], judge_on) as judges:
                changed += _rescore_task(recorded, spec, task, problems, workers, judges)
            file = spec.file if spec.file is not None and spec.file.endswith(".py") else None
            run.adopt_grader(name, task.version, code_digest(task, spec) if file else None, spec.file)
            planned = set(recorded.record.problem_ids)
            report = build_report(run.task(name), task, [p for p in problems if p.id in planned])
            write_report(run, report)
            reports.append(report)
    return changed, reports


def _rescore_task(
    run: TaskRun, spec: TaskSpec, task: Task, problems: Sequence[Problem], workers: int | None, judges: Judges | None
) -> list[ChangedVerdict]:
    files = run.files
    by_id = {p.id: p for p in problems}
    before = {key: score.status for key, score in files.latest_scores().items()}
    grader = grader_name(task, spec)
    fresh: dict[SampleKey | None, Score] = {
        score.key: score
        for score, name in files.scores(files.rescoring_path)
        if name == grader and score.status != "error"
    }
    scorer = Scorer([(spec, task)], workers, judges=judges)
    with LineWriter(files.rescoring_path, files.run) as writer, closing(scorer):

        def keep(score: Score) -> None:
            writer.append(score_record(score, grader))
            fresh[score.key] = score

        for completion in files.standing_completions():
            if completion.key in fresh or completion.problem_id not in by_id:
                continue
            while scorer.pending >= _MOST_UNSCORED:
                keep(scorer.next_result())
            scorer.submit(by_id[completion.problem_id], completion)
            for score in scorer.results(wait=False):
                keep(score)
        for score in scorer.results(wait=True):
            keep(score)
        for score, old_grader in files.scores():  # keep scores of problems that the data set no longer has
            if score.key not in fresh:
                writer.append(score_record(score, old_grader))
        for decision in adjudications(files).values():  # a human's word outranks the graders
            writer.append(score_record(decision.score(), decision.grader))
            fresh[decision.key] = decision.score()
    rename(files.rescoring_path, files.scores_path, files.run)
    return [
        ChangedVerdict(key, before[key], score.status, score.answer, score.explanation)
        for key, score in fresh.items()
        if key is not None and key in before and before[key] != score.status
    ]
