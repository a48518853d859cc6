"""A finished run of the task codeforces -> its table of solves and its contest set."""

from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.recreate import planned_problems, recreate_task
from evalkit.store.run import RunDirectory
from evalkit.types import Score

from .contests import ContestSet, load_set
from .table import Solve
from .task import CodeForces


def table_of_run(path: Path, set_name: str | None) -> tuple[list[Solve], ContestSet]:
    """The table of a run directory, and the contest set: `set_name`, or the run's own as it is at hand now.

    Raises EvalkitError where the directory holds no scored run of the task.
    """
    run = RunDirectory(path)
    tasks = run.tasks()
    if CodeForces.name not in tasks:
        raise EvalkitError(f"{path} is not a run of the task codeforces.", f"it holds: {', '.join(tasks)}.")
    recorded = tasks[CodeForces.name]
    task = recreate_task(recorded)
    if not isinstance(task, CodeForces):
        raise EvalkitError(f"The task codeforces of {path} is another one.", "rate a table of its solves instead.")
    problems = planned_problems(recorded, task)
    latest = recorded.files.latest_scores()
    scores: dict[str, list[Score]] = {}
    for key in sorted(latest, key=lambda k: (k.problem_id, k.sample_index)):
        scores.setdefault(key.problem_id, []).append(latest[key])
    table = task.table(problems, scores)
    if not table:
        raise EvalkitError(f"{path} has no scores of the task codeforces.", "grade it with `evalkit score`.")
    contests = load_set(set_name) if set_name else task.contest_set
    assert contests is not None
    return table, contests
