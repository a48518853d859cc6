"""A run as a Python object: its metrics and samples as data frames, its reports, a table in a notebook."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.results.entries import load_entries
from evalkit.results.formats.renderers.html import table_html
from evalkit.results.leaderboard import build_table
from evalkit.results.metrics import kind_of
from evalkit.results.recreate import recreate_problems
from evalkit.results.report import Report, load_report
from evalkit.store.run import RunDirectory, RunRecord, TaskRun, find_runs
from evalkit.types import Problem

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """One run on disk.

    `problems` are those of the run by task, where they are at hand; else they are loaded when prompts are wanted.
    Raises EvalkitError if `path` is not a run directory or is damaged.
    """

    def __init__(self, path: str | Path, problems: dict[str, Sequence[Problem]] | None = None) -> None:
        self.directory = RunDirectory(Path(path))
        self.record: RunRecord = self.directory.record()
        self._problems = dict(problems or {})

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.model}, {', '.join(self.tasks)})"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def model(self) -> str:
        """The checkpoint as it was named: a hub id or a folder."""
        return self.record.model

    @property
    def protocol(self) -> str:
        """The protocol's name, with a mark for each setting that was overridden."""
        return self.record.protocol_name

    @property
    def tasks(self) -> list[str]:
        """The names of the run's tasks."""
        return list(self.record.tasks)

    def report(self, task: str | None = None) -> Report:
        """The report of one task; without a name, of the only one there is.

        Raises RunIncompleteError where samples are missing, EvalkitError on an unknown name.
        """
        return load_report(self._task(task))

    @property
    def metrics(self) -> "pd.DataFrame":
        """Every metric of every task: one row per metric.

        Columns: model, protocol, task, metric, value, unit, n (samples per problem), problems, completions, run_low and
        run_high (95%, the same problems sampled again), problems_low and problems_high (95%, other problems of the same
        kind), truncated (share in [0, 1]), errors (completions), headline. Values and intervals are in `unit`.
        Raises RunIncompleteError where samples are missing.
        """
        import pandas as pd

        return pd.DataFrame([row for name in self.tasks for row in _metric_rows(self.report(name))])

    def samples(self, task: str | None = None, prompts: bool = True) -> "pd.DataFrame":
        """Every completion of one task with its score: one row per completion.

        Columns: problem_id, sample_index, prompt (the problem as the task puts it; without `prompts` left out),
        response (as the model wrote it, thinking included), answer, gold, status, value in [0, 1], explanation,
        finish_reason, prompt_tokens, completion_tokens, seconds. What is not known is None.
        Raises EvalkitError where prompts are wanted and the data set is not at hand.
        """
        import pandas as pd

        recorded = self._task(task)
        problems = {p.id: p for p in self._problems_of(recorded)} if prompts else {}
        return pd.DataFrame(list(_sample_rows(recorded, problems, prompts)))

    def _problems_of(self, task: TaskRun) -> Sequence[Problem]:
        if task.name not in self._problems:
            self._problems[task.name] = recreate_problems(task)
        return self._problems[task.name]

    def _task(self, name: str | None) -> TaskRun:
        if name is not None:
            return self.directory.task(name)
        if len(self.tasks) != 1:
            raise EvalkitError(f"{self.path} has {len(self.tasks)} tasks.", f"name one: {', '.join(self.tasks)}.")
        return self.directory.task(self.tasks[0])

    @property
    def errors(self) -> dict[str, int]:
        """How many completions of each task the engine or the grader failed on; tasks without any are left out."""
        counts = {name: self.report(name).statuses["error"] for name in self.tasks}
        return {name: count for name, count in counts.items() if count}

    def _repr_html_(self) -> str:
        """The run's table, for a notebook."""
        try:
            entries, notes = load_entries([self.path])
        except EvalkitError as error:
            return f"<p>{escape(error.message)}</p>"
        return table_html(build_table(entries, notes=notes))


def load_runs(*paths: str | Path) -> list[Run]:
    """Every run at or below the folders. Raises EvalkitError where there is none or where one is damaged."""
    folders: Iterable[str | Path] = paths or ("results",)
    return [Run(run.path) for folder in folders for run in find_runs(Path(folder))]


def _metric_rows(report: Report) -> Iterator[dict[str, Any]]:
    for metric in report.metrics:
        run = metric.interval_run or (None, None)
        over = metric.interval_problems or (None, None)
        yield {
            "model": report.model,
            "protocol": report.protocol,
            "task": report.task,
            "metric": metric.name,
            "value": metric.value,
            "unit": metric.unit,
            "n": report.n,
            "problems": report.problems,
            "completions": metric.n,
            "run_low": run[0],
            "run_high": run[1],
            "problems_low": over[0],
            "problems_high": over[1],
            "truncated": report.truncation_rate,
            "errors": report.statuses["error"],
            "headline": metric.name in report.headlines,
            "curve": kind_of(metric.name).curve,
        }


def _sample_rows(task: TaskRun, problems: dict[str, Problem], prompts: bool) -> Iterator[dict[str, Any]]:
    scores = task.files.latest_scores()
    for completion in task.files.standing_completions():
        score, problem = scores.get(completion.key), problems.get(completion.problem_id)
        told = {"prompt": problem.prompt if problem else None, "gold": problem.target if problem else None}
        yield {
            "problem_id": completion.problem_id,
            "sample_index": completion.sample_index,
            **(told if prompts else {}),
            "response": completion.prefix + completion.text,
            "answer": score.answer if score else None,
            "status": score.status if score else None,
            "value": score.value if score else None,
            "explanation": score.explanation if score else None,
            "finish_reason": completion.finish_reason,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "seconds": completion.seconds,
        }
