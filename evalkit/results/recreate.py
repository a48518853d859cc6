"""The benchmark behind a run that is on disk: its task and its problems, made again from what run.json names."""

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.registry import TaskSpec, installed_task, require_trusted
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.importers.problem_set import PROBLEM_SET
from evalkit.store.run import TaskRun
from evalkit.types import Problem


def recreate_spec(task: TaskRun) -> TaskSpec:
    """What makes the task again. A run's own task file has to be trusted, and unsafe options are left out.

    Raises EvalkitError where the run names a task file that this user has never run or trusted.
    """
    spec = TaskSpec(**task.record.spec)
    if spec.file == PROBLEM_SET:  # evalkit's own, for the set of an imported log
        return spec
    if spec.file is None:
        known = installed_task(spec.name)
        unsafe = known.unsafe_options if known is not None else ()
        return TaskSpec(spec.name, None, {k: v for k, v in spec.options.items() if k not in unsafe})
    require_trusted(spec.file, f"{task}")
    return spec


def recreate_task(task: TaskRun) -> Task:
    """The task with the run's options. Raises EvalkitError as `recreate_spec` does, and where it cannot be found."""
    return recreate_spec(task).create()


def recreate_problems(task: TaskRun, made: Task | None = None, data: str | None = None) -> list[Problem]:
    """All problems of the task's set, loaded from `data`, else from where the run had them.

    Raises EvalkitError where the data is not there or where it is not what the run was made on.
    """
    if task.record.spec.get("file") == PROBLEM_SET:
        data = str(task.directory.path)  # the set of an imported log lies in the run itself
    source = DataSource.from_option(data or task.record.data_folder, allow_changed=True)
    problems = list((made or recreate_task(task)).load(source))
    if [d.fingerprint for d in task.record.data] != [d.fingerprint for d in source.loaded]:
        raise EvalkitError(
            f"The data of {task.name} is not what {task.directory.path} was run on.",
            "give the folder it was run on with --data.",
        )
    return problems


def planned_problems(task: TaskRun, made: Task | None = None, data: str | None = None) -> list[Problem]:
    """As `recreate_problems`, only those that the run planned."""
    planned = set(task.record.problem_ids)
    return [problem for problem in recreate_problems(task, made, data) if problem.id in planned]
