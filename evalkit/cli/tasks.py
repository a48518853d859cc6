"""`evalkit tasks`: list, show, create and check tasks."""

import inspect
import keyword
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from evalkit.cli.selection import one_file
from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError

TEMPLATE = '''"""{title}: describe here what it measures and where the problems come from."""

from collections.abc import Sequence

from evalkit import DataSource, Problem, Score, Task
from evalkit.grading import grade_math, math_equal

PROBLEMS = (
    ("What is 6 * 7?", "42"),
    ("What is half of 5?", "\\\\frac{{5}}{{2}}"),
)


class {class_name}(Task):
    name = "{name}"
    version = 1  # raise it when a change can change a score
    title = "{title}"
    kind = "math"  # use the protocol's prompt for mathematics
    rows = len(PROBLEMS)
    n = 4  # completions per problem

    def load(self, source: DataSource) -> Sequence[Problem]:
        # from a data set: source.rows(DatasetSpec.from_file("problems.jsonl", ["question", "answer"]))
        return [Problem(str(i), question, answer) for i, (question, answer) in enumerate(PROBLEMS)]

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)

    def same_answer(self, first: str, second: str) -> bool:
        return math_equal(first, second)
'''


@click.group(name="tasks", invoke_without_command=True, short_help="List, show, create and check tasks.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the installed tasks.

    \b
    evalkit tasks
    evalkit tasks show math500
    evalkit tasks new my_task && evalkit tasks check my_task --task-file my_task.py
    """
    if ctx.invoked_subcommand is not None:
        return
    from evalkit.benchmark.declared import require_declared
    from evalkit.benchmark.registry import installed_tasks
    from evalkit.benchmark.suites import installed_suites

    for name, task in installed_tasks().items():
        try:
            require_declared(task)
        except EvalkitError as error:
            echo(f"{error.message} It is skipped.", err=True)
            continue
        data = task.dataset.hub_id if task.dataset else "embedded"
        problems = f"{task.rows:,} problems" if task.rows else "size varies"
        echo(f"{name:<16}{task.title:<34}{problems:<17}n = {task.n:<5}{data}")
    for name, members in installed_suites().items():
        echo(f"{name:<16}suite: {', '.join(members)}")


def _find(name: str, task_file: str | None) -> Any:
    from evalkit.benchmark.registry import resolve_task
    from evalkit.benchmark.suites import require_no_suite

    require_no_suite(name)
    return resolve_task(name, Path(task_file) if task_file else None)


@command.command(name="show", short_help="Describe one task.")
@click.argument("name")
@click.option(
    "--task-file", multiple=True, callback=one_file, metavar="FILE.py", help="Python file that defines the task."
)
def show(name: str, task_file: str | None) -> None:
    """Describe a task: its data, prompt and options."""
    from evalkit.benchmark.declared import require_declared
    from evalkit.benchmark.registry import option_fields

    task = _find(name, task_file)
    require_declared(task)
    echo(f"{task.name} (version {task.version}): {task.title}")
    echo((inspect.getdoc(inspect.getmodule(task)) or "").strip())
    echo(f"kind: {task.kind}; also known as: {', '.join(task.aliases) or '–'}; default n: {task.n}")
    if spec := task.dataset:
        rows = f"{spec.rows} rows" if spec.rows else "size varies"
        gated = ", gated (accept its terms on the hub)" if spec.gated else ""
        if not spec.files:
            echo(f"data: {spec.path or spec.hub_id}, {rows}")
        else:
            echo(f"data: {spec.hub_id} @ {spec.revision}, split {spec.split}, {rows}{gated}")
            echo(f"local: DIR/{spec.hub_id.split('/')[-1]}/{' or '.join(f.split('::')[0] for f in spec.files)}")
    echo(f"prompt: {task.prompt!r} (a protocol may replace it)")
    for option, kind in option_fields(task).items():
        echo(f"option: -T {option}=…  {_kind(kind)}, default {getattr(task, option, None)!r}")


def _kind(kind: object) -> str:
    """The type of an option, or the values that it may have."""
    choices = [repr(value) for value in get_args(kind)] if get_origin(kind) is Literal else []
    return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else str(getattr(kind, "__name__", kind))


@command.command(name="new", short_help="Create a task file.")
@click.argument("name")
@click.option("-o", "--output", metavar="FILE.py", help="File to write [default: NAME.py].")
def new(name: str, output: str | None) -> None:
    """Create a file with a small working task, which passes `evalkit tasks check`."""
    from evalkit.benchmark.registry import installed_as

    if not name.isidentifier():
        raise EvalkitError(f"{name!r} cannot be a task's name.", "use letters, digits and underscores: my_task.")
    path = Path(output or f"{name}.py")
    words = name.replace("_", " ").title()
    class_name = words.replace(" ", "")
    if not class_name.isidentifier() or keyword.iskeyword(class_name):  # "None", "True" and "False" are names of values
        class_name = f"Task{class_name}"
    content = TEMPLATE.format(name=name, title=words, class_name=class_name)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(content)
    except FileExistsError:
        raise EvalkitError(f"{path} already exists.", "choose another name, or another file with -o.") from None
    except OSError as error:
        raise EvalkitError(f"{path} cannot be written: {error.strerror}.", "choose another file with -o.") from error
    if other := installed_as(name):
        echo(
            f"warning: {other} is also the name of an installed task; --task-file takes the one of the file, "
            "and no published figure stands beside it.",
            err=True,
        )
    echo(f"{path} written; next: evalkit tasks check {name} --task-file {path}", err=True)


@command.command(name="check", short_help="Run the contract suite on a task.")
@click.argument("name")
@click.option(
    "--task-file", multiple=True, callback=one_file, metavar="FILE.py", help="Python file that defines the task."
)
@click.option("-T", "options", multiple=True, metavar="NAME=VALUE", help="Set an option of the task. Repeatable.")
@click.option("--data", "data_folder", metavar="DIR", help="Folder with the data sets [env: EVALKIT_DATA].")
@click.option("--allow-changed-data", is_flag=True, help="Accept a data set with other rows or answers.")
def check(
    name: str, task_file: str | None, options: tuple[str, ...], data_folder: str | None, allow_changed_data: bool
) -> None:
    """Check a task against every rule of the task contract, on all its problems.

    The exit code is 2 if a rule is broken.
    """
    from evalkit.benchmark.data import DataSource
    from evalkit.run.contract import check_task, require_passed
    from evalkit.run.planning import choose_tasks

    (task,) = choose_tasks([_find(name, task_file).name], task_file, options)
    source = DataSource.from_option(data_folder, allow_changed_data)
    checks = check_task(task.spec, source)
    for one in checks:
        word = {True: "ok", False: "BROKEN", None: "–"}[one.passed]
        echo(f"{word:<8}{one.rule}{f': {one.detail}' if one.detail else ''}")
    require_passed(task.spec.name, checks)
