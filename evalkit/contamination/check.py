"""`find_contamination`: tasks and training sets in, the file's content out."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.loading import load_problems
from evalkit.benchmark.registry import resolve_task
from evalkit.benchmark.suites import task_names
from evalkit.benchmark.task import Task
from evalkit.contamination.index import ALIKE, BOILERPLATE, NEAR, NUMBERS, Index, Item
from evalkit.contamination.reading import SetFile, set_files
from evalkit.contamination.report import Contamination, ProblemMatches, TaskContamination
from evalkit.contamination.scan import Found, Progress, Scan
from evalkit.types import Problem

VERSION = 3  # raise it with any change of what is found


def find_contamination(
    sets: str | Path | Sequence[str | Path],
    tasks: Sequence[Task | str] | str,
    *,
    data: str | Path | None = None,
    task_file: str | Path | None = None,
    partial: str | Path | None = None,
    tell: Callable[[Progress], None] | None = None,
) -> Contamination:
    """Which problems of `tasks` stand in the training sets.

    Args:
        sets: Files or folders (JSON lines, JSON lists, parquet, also gz or zst), or `-` for JSON lines on stdin.
        tasks: Names of tasks (`"math500,aime24"` or a list), or Task objects.
        data: The folder with the tasks' data sets; None for EVALKIT_DATA or the hub.
        task_file: A Python file that defines tasks.
        partial: A file for the state of the scan, from which the same call goes on after a kill.
        tell: Called every few seconds with what was read.

    Paraphrases and translations are not found.

    Raises EvalkitError for unknown tasks, missing data and damaged sets.

    Examples:
        >>> import json, tempfile
        >>> from evalkit_tasks.arithmetic import Arithmetic, test_problems
        >>> folder = Path(tempfile.mkdtemp())
        >>> asked = "In three dozen jars there are nine red beans and forty green ones. How many beans is that?"
        >>> _ = (folder / "set.jsonl").write_text(json.dumps({"prompt": asked}))
        >>> found = find_contamination(folder / "set.jsonl", [Arithmetic()])
        >>> found.tasks["arithmetic"].problems, len(found.tasks["arithmetic"].found)
        (200, 0)
    """
    files = set_files([str(sets)] if isinstance(sets, str | Path) else [str(path) for path in sets])
    items, described = [], {}
    for task in _chosen(tasks, task_file):
        own, about = _items(task, data)
        items += own
        described[task.name] = about
    index = Index(items)
    settings = {
        "version": VERSION, "near": NEAR, "numbers": NUMBERS, "alike": ALIKE,
        "boilerplate": hashlib.sha256("\n".join(BOILERPLATE).encode()).hexdigest()[:12],
    }  # fmt: skip
    identity = {
        "settings": settings, "sets": [[file.name, file.size] for file in files],
        "tasks": {name: [count, *marks] for name, (count, marks) in described.items()},
    }  # fmt: skip
    scan = Scan(index, files, Path(partial) if partial is not None else None, identity)
    found = scan.run(tell)
    return Contamination(
        tuple(_described(file, scan.progress, number) for number, file in enumerate(files)),
        {name: _result(name, *about, index, found) for name, about in described.items()},
        settings,
    )


def _chosen(tasks: Sequence[Task | str] | str, task_file: str | Path | None) -> list[Task]:
    names = task_names(tasks) if isinstance(tasks, str) else tasks
    file = Path(task_file) if task_file is not None else None
    return [resolve_task(one.strip(), file)() if isinstance(one, str) else one for one in names]


def _items(task: Task, data: str | Path | None) -> tuple[list[Item], tuple[int, tuple[str, ...]]]:
    source = DataSource.from_option(str(data) if data is not None else None, allow_changed=True)
    secret = task.dataset is not None and task.dataset.zip_password is not None
    problems = load_problems(task, source)
    items = [Item(task.name, p.id, _question(p), secret) for p in problems]
    return items, (len(items), tuple(loaded.fingerprint for loaded in source.loaded))


def _question(problem: Problem) -> str:
    """The problem without its choices, which copies have in another order."""
    return problem.prompt.partition("\n\nA) ")[0] if problem.metadata.get("choices") else problem.prompt


def _described(file: SetFile, progress: Progress, number: int) -> dict[str, Any]:
    return {
        "name": file.name,
        "bytes": file.size,
        "records": progress.records[number],
        "characters": progress.characters[number],
    }


def _result(name: str, count: int, marks: tuple[str, ...], index: Index, found: Found) -> TaskContamination:
    own = []
    for number, item in enumerate(index.items):
        if item.task == name and number in found.best:
            matches = tuple(found.best[number])
            text = None if item.secret else item.text
            own.append(ProblemMatches(item.problem_id, matches[0].kind, found.records[number], text, matches))
    return TaskContamination(name, count, marks, tuple(own))
