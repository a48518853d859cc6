"""A run as a Python object: metrics and samples as data frames, reports, and a table in a notebook."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.results.compare import TaskComparison, compare
from evalkit.results.entries import load_entries
from evalkit.results.formats.parts import comparison_html, run_html
from evalkit.results.metrics import kind_of
from evalkit.results.recreate import recreate_problems
from evalkit.results.report import Report, load_report
from evalkit.store.folders import all_runs
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory, RunRecord, TaskRun
from evalkit.types import Problem

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """One run on disk.

    `problems` holds the problems of each task, if they are already loaded. Otherwise they are loaded when needed.
    `plans` names the completions that are looked at, by task; None for all that are recorded as finished.

    Raises EvalkitError if `path` is not a run directory or is damaged.
    """

    def __init__(
        self,
        path: str | Path,
        problems: dict[str, Sequence[Problem]] | None = None,
        plans: Mapping[str, SamplePlan] | None = None,
    ) -> None:
        self.directory = RunDirectory(Path(path))
        self.record: RunRecord = self.directory.record()
        self._plans = dict(plans or {})
        self._problems = dict(problems or {})

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.model}, {', '.join(self.tasks)})"

    def __fspath__(self) -> str:
        """The run directory: a Run stands wherever a path of one may."""
        return str(self.path)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def model(self) -> str:
        """The model's name as it was given: a hub id or a folder."""
        return self.record.model

    @property
    def protocol(self) -> str:
        """The protocol's name, followed by the overridden settings: `deepseek-r1+temperature=0.7`."""
        return self.record.protocol_name

    @property
    def tasks(self) -> list[str]:
        """The names of the run's tasks."""
        return list(self.record.tasks)

    @property
    def asked(self) -> list[str]:
        """The names of the tasks that are looked at: those of `plans`, else all of the run."""
        return list(self._plans or self.record.tasks)

    def report(self, task: str | None = None) -> Report:
        """The report of one task. The name may be left out if the run has one task.

        Raises RunIncompleteError if samples are missing, EvalkitError for an unknown name.
        """
        found = self._task(task)
        return load_report(found, keep=found.record.plan == self.record.tasks[found.name].plan)

    @property
    def metrics(self) -> "pd.DataFrame":
        """Every metric of every task: one row per metric.

        Columns: model, protocol, task, metric, value, unit, n (samples per problem), problems, completions, run_low and
        run_high (95%, the same problems sampled again), problems_low and problems_high (95%, other problems of the same
        kind), truncated (share in [0, 1]), errors (completions), headline, curve (whether it is one point of a curve
        over k). Values and intervals are in `unit`.

        Raises RunIncompleteError if samples are missing.
        """
        import pandas as pd

        return pd.DataFrame([row for name in self.tasks for row in _metric_rows(self.report(name))])

    def samples(self, task: str | None = None, prompts: bool = True) -> "pd.DataFrame":
        """Every completion of one task with its score: one row per completion.

        Columns: problem_id, sample_index, prompt (the problem's text), gold (the right answer), response (the model's
        text, thinking included), answer (extracted), status, value in [0, 1], explanation, finish_reason,
        prompt_tokens, completion_tokens, seconds. Unknown values are None. Without `prompts` the columns prompt and
        gold are left out, and the data set is not needed.

        Raises EvalkitError if `prompts` is true and the data set is not available.
        """
        import pandas as pd

        recorded = self._task(task)
        problems = {p.id: p for p in self._problems_of(recorded)} if prompts else {}
        return pd.DataFrame(list(_sample_rows(recorded, problems, prompts, self._plans.get(recorded.name))))

    def _problems_of(self, task: TaskRun) -> Sequence[Problem]:
        if task.name not in self._problems:
            self._problems[task.name] = recreate_problems(task)
        return self._problems[task.name]

    def _task(self, name: str | None) -> TaskRun:
        if name is None and len(self.tasks) != 1:
            raise EvalkitError(f"{self.path} has {len(self.tasks)} tasks.", f"name one: {', '.join(self.tasks)}.")
        found = self.directory.task(name if name is not None else self.tasks[0])
        return found.with_plan(self._plans[found.name]) if found.name in self._plans else found

    @property
    def errors(self) -> dict[str, int]:
        """The number of completions with status error, by task. Tasks without errors are left out."""
        counts = {name: self.report(name).statuses["error"] for name in self.tasks}
        return {name: count for name, count in counts.items() if count}

    def _repr_html_(self) -> str:
        """The run's table as HTML, for a notebook."""
        try:
            entries, notes = load_entries([self.path])
        except EvalkitError as error:
            return f"<p>{escape(error.message)}</p>"
        return run_html(entries, notes)

    def compare(self, other: "Run | str | Path", across_protocols: bool = False) -> "RunDifference":
        """`other` compared with this run, paired by problem; a notebook shows it as a table.

        Raises EvalkitError if the runs share no task, or if their protocols differ and `across_protocols` is false;
        RunIncompleteError if one of them is not complete.
        """
        second_run = other if isinstance(other, Run) else Run(run_path(other, "compare"))
        (first, _), (second, _) = load_entries([self.path]), load_entries([second_run.path])
        return RunDifference(self.model, second_run.model, tuple(compare(first, second, across_protocols, 0.02)))


@dataclass(frozen=True, slots=True)
class RunDifference:
    """Model `b` compared with model `a` on each task that both runs have."""

    a: str
    b: str
    tasks: tuple[TaskComparison, ...]

    def _repr_html_(self) -> str:
        """The differences, their intervals and the problems gained and lost, for a notebook."""
        return comparison_html(self.a, self.b, self.tasks)


def load_runs(*paths: str | Path | Run) -> list[Run]:
    """Every run at or below the given folders (default: `results`), each once.

    Raises EvalkitError if there is no run or if one is damaged.
    """
    folders = run_paths(paths, "load_runs") if paths else [Path("results")]
    return [Run(run.path) for run in all_runs(folders)]


def run_paths(given: object, asked: str) -> list[Path]:
    """The folders of one run or of several, each a path or a Run. `asked` is the function that was given them.

    Raises EvalkitError for anything else.

    Examples:
        >>> [str(path) for path in run_paths(["a", Path("b")], "leaderboard")]
        ['a', 'b']
    """
    several = given if isinstance(given, Iterable) and not isinstance(given, str | os.PathLike) else [given]
    paths = []
    for one in several:
        if not isinstance(one, str | os.PathLike):
            raise EvalkitError(
                f"{asked} was given {type(one).__name__}, which is no run.",
                "give folders of runs, or what evalkit.load_runs returns.",
            )
        paths.append(Path(os.fsdecode(one)))
    return paths


def run_path(given: object, asked: str) -> Path:
    """As `run_paths` where one run is wanted."""
    paths = run_paths(given, asked)
    if len(paths) != 1:
        raise EvalkitError(f"{asked} takes one run and was given {len(paths)}.", "call it for each of them.")
    return paths[0]


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
            "n": report.samples_of(metric.name)[0],
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


def _sample_rows(
    task: TaskRun, problems: dict[str, Problem], prompts: bool, plan: SamplePlan | None
) -> Iterator[dict[str, Any]]:
    scores = task.files.latest_scores()
    for completion in task.files.standing_completions():
        if plan is not None and (completion.problem_id, completion.sample_index) not in plan:
            continue
        score, problem = scores.get(completion.key), problems.get(completion.problem_id)
        known = {"prompt": problem.prompt if problem else None, "gold": problem.target if problem else None}
        yield {
            "problem_id": completion.problem_id,
            "sample_index": completion.sample_index,
            **(known if prompts else {}),
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
