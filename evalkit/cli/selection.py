"""Options that several commands share: which tasks of a run, and whether its task file is trusted."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.importers.problem_file import ProblemFile
    from evalkit.store.run import RunDirectory, TaskRun

trust_option: Callable[[Any], Any] = click.option(
    "--trust-task-file",
    "trust",
    is_flag=True,
    help="Trust the task files that the runs name, now and in later commands.",
)


output_option: Callable[[Any], Any] = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file instead of stdout."
)


def write_output(text: str, output: Path | None) -> None:
    """Print `text`, or write it to a file by atomic rename and say so on stderr."""
    from evalkit.store.lines import write_text_output

    if output is None:
        echo(text, nl=False, coloured=True)
    else:
        write_text_output(output, text)
        echo(f"wrote {output}", err=True)


def one_run(path: Path) -> "RunDirectory":
    """The run at `path`, or the only one below it. Raises EvalkitError if there are several."""
    from evalkit.store.folders import find_runs
    from evalkit.store.run import RunDirectory

    if not path.is_dir() or not (path / "run.json").exists():
        first, *others = find_runs(path)
        if others:
            names = ", ".join(str(run.path) for run in (first, *others)[:3])
            raise EvalkitError(f"There are {len(others) + 1} runs below {path}.", f"name one of them: {names}.")
        return first
    return RunDirectory(path)


def tasks_of_run(run: "RunDirectory", option: str | None) -> "list[TaskRun]":
    """The tasks named by -t (`A,B`), or all tasks of the run. Raises EvalkitError if the run does not have one."""
    from evalkit.benchmark.registry import did_you_mean

    present = run.tasks()
    chosen = [part.strip() for part in option.split(",")] if option else list(present)
    for name in chosen:
        if name not in present:
            raise EvalkitError(
                f"{run.path} has no task {name!r}.{did_you_mean(name, list(present))}", f"it has: {', '.join(present)}."
            )
    return [present[name] for name in chosen]


def one_file(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str | None:
    """The one file of an option that is declared `multiple`, so that a second one is refused, not taken instead."""
    if len(values) > 1:
        raise EvalkitError(
            f"{parameter.opts[0]} was given {len(values)} times, but takes one file.",
            "put the tasks into one file, or run them one after the other into the same --results.",
        )
    return values[0] if values else None


def trust_task_files(paths: Iterable[Path], moved: str | None = None) -> None:
    """Trust the task files that the runs below `paths` name, for all later commands of this user.

    `moved` is where their file is now.
    """
    from evalkit.benchmark.registry import trust_task_file
    from evalkit.store.folders import find_runs

    for run in [found for path in paths for found in find_runs(path)]:
        for task in run.tasks().values():
            if file := task.record.spec.get("file"):
                trust_task_file(moved if moved is not None and file.endswith(".py") else file)


def take_tasks(names: str, others: dict[str, Any]) -> "list[str | ProblemFile]":
    """The tasks of -t and of --problems, whose flags are taken out of `others`.

    Raises EvalkitError where --kind is missing or has no use.
    """
    from evalkit.importers.problem_file import ProblemFile

    problems, kind, fields = others.pop("problems"), others.pop("kind"), others.pop("fields")
    if problems is None:
        if kind or fields:
            raise EvalkitError("--kind and --fields are of a file of problems.", "name it with --problems FILE.")
        return [names] if names else []
    if kind is None:
        raise EvalkitError("How the answers are graded is not known.", "add --kind math or --kind choice.")
    return [*([names] if names else []), ProblemFile(problems, kind, fields)]
