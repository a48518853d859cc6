"""`evalkit tasks`: what there is, one task in detail, a new one, and the contract suite."""

import inspect
from pathlib import Path
from typing import Any

import click

from evalkit.errors import EvalkitError

TEMPLATE = '''"""{title}: say here what it measures and where the problems come from."""

from collections.abc import Sequence

from evalkit import DataSource, Problem, Score, Task
from evalkit.grading import grade_math, math_equal

PROBLEMS = (
    ("What is 6 * 7?", "42"),
    ("What is half of 5?", "\\\\frac{{5}}{{2}}"),
)


class {class_name}(Task):
    name = "{name}"
    version = 1  # goes up when anything changes a score
    title = "{title}"
    kind = "math"  # the protocol's prompt for mathematics is used
    rows = len(PROBLEMS)
    n = 4  # completions a problem

    def load(self, source: DataSource) -> Sequence[Problem]:
        # with a DatasetSpec as `dataset`: rows = source.rows(self.dataset)
        return [Problem(str(i), question, answer) for i, (question, answer) in enumerate(PROBLEMS)]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)

    def same_answer(self, first: str, second: str) -> bool:
        return math_equal(first, second)
'''


@click.group(name="tasks", invoke_without_command=True, short_help="List, show, make and check tasks.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the tasks that are installed.

    \b
    evalkit tasks
    evalkit tasks show math500
    evalkit tasks new my_task && evalkit tasks check my_task --task-file my_task.py
    """
    if ctx.invoked_subcommand is not None:
        return
    from evalkit.benchmark.registry import installed_tasks

    for name, task in installed_tasks().items():
        data = task.dataset.hub_id if task.dataset else "embedded"
        problems = f"{task.rows} problems" if task.rows else "rows vary"
        click.echo(f"{name:<16}{task.title:<34}{problems:<14}n = {task.n:<5}{data}")


def _find(name: str, task_file: str | None) -> Any:
    from evalkit.benchmark.registry import resolve_task

    return resolve_task(name, Path(task_file) if task_file else None)


@command.command(name="show", short_help="One task in detail.")
@click.argument("name")
@click.option("--task-file", metavar="FILE.py", help="A file that defines it.")
def show(name: str, task_file: str | None) -> None:
    """Print what a task is, where its data comes from and which options it takes."""
    from evalkit.benchmark.registry import option_fields

    task = _find(name, task_file)
    click.echo(f"{task.name} (version {task.version}): {task.title}")
    click.echo((inspect.getdoc(inspect.getmodule(task)) or "").strip())
    click.echo(f"kind: {task.kind}; also known as: {', '.join(task.aliases) or '–'}; default n: {task.n}")
    if spec := task.dataset:
        rows = f"{spec.rows} rows" if spec.rows else "rows vary"
        gated = ", gated: accept its terms on the hub" if spec.gated else ""
        if not spec.files:
            click.echo(f"data: {spec.path or spec.hub_id}, {rows}")
        else:
            click.echo(f"data: {spec.hub_id} @ {spec.revision}, split {spec.split}, {rows}{gated}")
            click.echo(f"local: DIR/{spec.hub_id.split('/')[-1]}/{' or '.join(f.split('::')[0] for f in spec.files)}")
    click.echo(f"prompt: {task.prompt!r} (a protocol may replace it)")
    for option, kind in option_fields(task).items():
        click.echo(f"option: -T {option}=…  {getattr(kind, '__name__', kind)}, default {getattr(task, option, None)!r}")


@command.command(name="new", short_help="Write a task to begin with.")
@click.argument("name")
@click.option("-o", "--output", metavar="FILE.py", help="[default: NAME.py]")
def new(name: str, output: str | None) -> None:
    """Write a working task of 40 lines, which passes `evalkit tasks check` as it is."""
    if not name.isidentifier():
        raise EvalkitError(f"{name!r} cannot be a task's name.", "use letters, digits and underscores: my_task.")
    path = Path(output or f"{name}.py")
    words = name.replace("_", " ").title()
    content = TEMPLATE.format(name=name, title=words, class_name=words.replace(" ", ""))
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(content)
    except FileExistsError:
        raise EvalkitError(f"{path} is there already.", "choose another name, or another file with -o.") from None
    except OSError as error:
        raise EvalkitError(f"{path} cannot be written: {error.strerror}.", "choose another file with -o.") from error
    click.echo(f"{path} written; next: evalkit tasks check {name} --task-file {path}", err=True)


@command.command(name="check", short_help="Run the contract suite on a task.")
@click.argument("name")
@click.option("--task-file", metavar="FILE.py", help="A file that defines it.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option("--allow-changed-data", is_flag=True, help="Accept a set with other rows or answers.")
def check(name: str, task_file: str | None, data_folder: str | None, allow_changed_data: bool) -> None:
    """Run every rule of the task contract on all problems; exit code 2 if one is broken."""
    from evalkit.benchmark.data import DataSource
    from evalkit.benchmark.registry import TaskSpec
    from evalkit.run.contract import check_task, require_passed

    task = _find(name, task_file)
    source = DataSource.from_option(data_folder, allow_changed_data)
    checks = check_task(TaskSpec(task.name, task_file), source)
    for one in checks:
        word = {True: "ok", False: "BROKEN", None: "–"}[one.passed]
        click.echo(f"{word:<8}{one.rule}{f': {one.detail}' if one.detail else ''}")
    require_passed(task.name, checks)
