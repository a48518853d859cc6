"""What of the runs cannot be shown since its files are damaged, so that the rest of the site can."""

from dataclasses import dataclass, field
from pathlib import Path

from evalkit.errors import DamagedError
from evalkit.results.entries import damage_note
from evalkit.store.opinions import adjudications, adjudications_path, opinions, opinions_path
from evalkit.store.run import TaskFiles, TaskRun

Key = tuple[Path, str]
"""A run directory and one of its tasks."""


@dataclass(slots=True)
class LeftOut:
    """The tasks and the runs that are left out, each with a note, and the state of a task's files when it was found."""

    tasks: dict[Key, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    runs: dict[Path, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """`not shown: …` of each."""
        return [*self.runs.values(), *(note for note, _ in self.tasks.values())]

    def has(self, task: TaskRun) -> bool:
        return (task.directory.path, task.name) in self.tasks

    def add_damaged(self, tasks: list[TaskRun]) -> bool:
        """Add those of the tasks that are damaged. Returns whether there is one, and another is left."""
        found = [(task, error) for task in tasks if (error := _damage_of(task.files)) is not None]
        for task, error in found:
            run = task.directory.path
            self.tasks[run, task.name] = damage_note(run, error), state_of(task.files)
        return 0 < len(found) < len(tasks)

    def forget_mended(self) -> bool:
        """Forget what has been changed since it was found. Returns whether there was anything."""
        mended = [key for key, (_, state) in self.tasks.items() if state_of(TaskFiles(key[0] / key[1])) != state]
        for key in mended:
            del self.tasks[key]
        return bool(mended)


def state_of(files: TaskFiles) -> tuple[int, ...]:
    """Sizes and times of the files that a site is made of."""
    paths = (files.completions_path, files.scores_path, opinions_path(files), adjudications_path(files))
    found: list[int] = []
    for path in paths:
        status = path.stat() if path.exists() else None
        found += [status.st_size, status.st_mtime_ns] if status else [0, 0]
    return tuple(found)


def _damage_of(files: TaskFiles) -> DamagedError | None:
    try:
        for _ in files.completions():
            pass
        for read in (TaskFiles.latest_scores, opinions, adjudications):
            read(files)
    except DamagedError as error:
        return error
    return None
