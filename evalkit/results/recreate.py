"""Creates the task and loads the problems of a run on disk, from what run.json records."""

from collections.abc import Sequence

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.loading import load_problems
from evalkit.benchmark.registry import TaskSpec, installed_task, require_trusted, trust_task_file
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.files import size_of
from evalkit.importers.problem_file import PROBLEM_FILE
from evalkit.importers.problem_set import PROBLEM_SET, PROBLEMS_FILE
from evalkit.store.answers import is_own_data, right_answers, told_correction
from evalkit.store.lines import unreadable
from evalkit.store.run import TaskRun
from evalkit.types import Problem


def recreate_spec(task: TaskRun, file: str | None = None) -> TaskSpec:
    """The spec of the run's task, without unsafe options. `file` is where the user says that its task file is now.

    Raises EvalkitError if the run names a task file that this user has neither run nor trusted.
    """
    stored = task.record.spec
    spec = TaskSpec(stored["name"], stored.get("file"), stored.get("options") or {})
    if spec.file in (PROBLEM_SET, PROBLEM_FILE):  # evalkit's own: a set of problems without code
        return spec
    if spec.file is None:
        known = installed_task(spec.name)
        unsafe = known.unsafe_options if known is not None else ()
        return TaskSpec(spec.name, None, {k: v for k, v in spec.options.items() if k not in unsafe})
    if file is not None and spec.file.endswith(".py"):
        trust_task_file(file)
        return TaskSpec(spec.name, file, spec.options)
    require_trusted(spec.file, f"{task}", task.record.identity.get("task_file_sha256"))
    return spec


def recreate_task(task: TaskRun) -> Task:
    """The task with the run's options. Raises EvalkitError as `recreate_spec` does, and if the task is not found."""
    return recreate_spec(task).create()


def recreate_problems(task: TaskRun, made: Task | None = None, data: str | None = None) -> list[Problem]:
    """All problems of the task's data set, loaded from `data`, or by default from where the run loaded them.

    Raises EvalkitError if the data is missing or is not the data of the run.
    """
    problems, source = load_again(task, made or recreate_task(task), data)
    if not is_data_of(task, source):
        raise changed_data(task, problems)
    return problems


def load_again(task: TaskRun, made: Task, data: str | None = None) -> tuple[list[Problem], DataSource]:
    """The problems as the task's data set has them now, and where they came from. Raises EvalkitError if it lacks."""
    if task.record.spec.get("file") == PROBLEM_SET:
        data = _own_set(task)
    source = DataSource.from_option(data or task.record.data_folder, allow_changed=True)
    return load_problems(made, source), source


def is_data_of(task: TaskRun, source: DataSource) -> bool:
    """Whether what was loaded from `source` is the data of the run."""
    return source.has_loaded([data.fingerprint for data in task.record.data])


def changed_data(task: TaskRun, problems: Sequence[Problem]) -> EvalkitError:
    """The error for a run whose data is not what it was."""
    told = f"The data of {task.name} has changed since {task.directory.path} was run"
    if not is_own_data(data.hub_id for data in task.record.data):
        return EvalkitError(f"{told}.", "pass the folder with the data of the run with --data.")
    return EvalkitError(
        f"{told}: {told_correction(task.record.content, right_answers(problems))}.",
        f"`evalkit score {task.directory.path}` grades it again with the data as it is now; or restore the data.",
    )


def _own_set(task: TaskRun) -> str:
    """The run itself, where the set of an imported log lies. Raises EvalkitError where a link stands in its place."""
    label = str(task.record.spec.get("options", {}).get("label", task.name))
    try:
        size_of(task.directory.path / label / PROBLEMS_FILE, below=task.directory.path)
    except OSError as error:
        raise unreadable(task.directory.path / label / PROBLEMS_FILE, error) from error
    return str(task.directory.path)


def planned_problems(task: TaskRun, made: Task | None = None, data: str | None = None) -> list[Problem]:
    """As `recreate_problems`, but only the problems of the run."""
    planned = set(task.record.problem_ids)
    return [problem for problem in recreate_problems(task, made, data) if problem.id in planned]
