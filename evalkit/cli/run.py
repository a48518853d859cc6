"""`evalkit run`: evaluate a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from evalkit.cli.engine_flags import engine_flags, take_engine_options
from evalkit.errors import EvalkitError


@click.command(name="run", short_help="Evaluate a checkpoint; the same command again resumes.")
@click.argument("model")
@click.option("-t", "--tasks", "task_names", required=True, metavar="A,B", help="Tasks, as `evalkit tasks` lists them.")
@click.option("-n", "n", type=int, help="Completions a problem; default: the protocol's for the task.")
@click.option("--limit", type=int, help="Only the first LIMIT problems of each task.")
@click.option("--protocol", "protocol_name", default="deepseek-r1", show_default=True, help="A preset, or FILE.json.")
@click.option("--seed", type=int, default=0, show_default=True, help="The run's seed.")
@click.option("--temperature", type=float, help="Instead of the protocol's.")
@click.option("--top-p", type=float, help="Instead of the protocol's.")
@click.option("--top-k", type=int, help="Instead of the protocol's.")
@click.option("--max-tokens", type=int, help="Limit on a completion's tokens, instead of the protocol's.")
@click.option("--system-prompt", help="Instead of the protocol's; '' for none.")
@click.option("--response-prefix", help="What the response is begun with where the template does not; '' for nothing.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option("--allow-changed-data", is_flag=True, help="Accept a set with other rows or answers; recorded.")
@click.option("--task-file", metavar="FILE.py", help="Plug in the tasks that a file defines.")
@click.option("-T", "task_options", multiple=True, metavar="[TASK.]NAME=VALUE", help="An option of a task; repeatable.")
@click.option("-o", "--output", metavar="DIR", help="The run directory [default: RESULTS/<model>/<protocol>-<hash>].")
@click.option("--results", default="results", show_default=True, metavar="DIR", help="Where run directories go.")
@engine_flags
@click.option(
    "--price", type=(float, float), metavar="PROMPT GENERATED", help="Of a million tokens each, for the cost."
)
@click.option("--workers", type=int, help="Processes that grade [default: the cores].")
@click.option("--dry-run", is_flag=True, help="Show what the model would see, check lengths, count; generate nothing.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    model: str,
    task_names: str,
    n: int | None,
    limit: int | None,
    protocol_name: str,
    seed: int,
    data_folder: str | None,
    allow_changed_data: bool,
    task_file: str | None,
    task_options: tuple[str, ...],
    output: str | None,
    results: str,
    engine_name: str | None,
    engine_file: Path | None,
    price: tuple[float, float] | None,
    workers: int | None,
    dry_run: bool,
    quiet: bool,
    **others: Any,
) -> None:
    """Evaluate MODEL, a local folder or a hub id, and print its figures.

    Completions are on disk as soon as they are finished; the same command resumes.

    \b
    evalkit run examples/tiny_distill/student-distilled -t arithmetic --max-tokens 64
    evalkit run ./checkpoint -t math500 -n 4 --limit 50 --data DIR
    """
    from evalkit.benchmark.data import DataSource
    from evalkit.benchmark.protocols import find_protocol
    from evalkit.cli.summary import print_summary, throughput_line
    from evalkit.engines import open_engine
    from evalkit.run.preflight import check_task_prompts, describe_plan, require_room
    from evalkit.run.session import RunSession, default_run_path, plan_task, require_no_errors, run_identity
    from evalkit.store.run import RunDirectory

    _require_positive(limit=limit, workers=workers, n=n)
    engine_options = take_engine_options(others)
    protocol = find_protocol(protocol_name)
    protocol = protocol.overridden(others)
    specs = task_specs(task_names, task_file, task_options, protocol.options)
    source = DataSource.from_option(data_folder, allow_changed_data)
    plans = [plan_task(spec, protocol, source, seed, n, limit) for spec in specs]
    engine = open_engine(engine_name, model, engine_options, file=engine_file)
    checks = [check_task_prompts(plan, protocol, engine) for plan in plans]
    if dry_run:
        for line in describe_plan(checks, engine):
            click.echo(line)
    require_room(checks, engine.context_length())
    engine.reserve(max((check.longest or 0) + check.plan.params.max_tokens for check in checks))
    if dry_run:
        return
    path = Path(output) if output else default_run_path(Path(results), model, run_identity(engine, protocol, seed))
    run = RunDirectory(path)
    session = RunSession(run, model, plans, engine, protocol, price)
    reports = session.execute(source, seed, workers, quiet)
    print_summary(reports)
    if session.throughput is not None:
        click.echo(throughput_line(session.throughput), err=True)
    click.echo(f"run directory: {path}", err=True)
    require_no_errors(run, reports)


def _require_positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise EvalkitError(f"{name} is {value}, it has to be 1 or more.", "leave it out for the default.")


def task_specs(names: str, task_file: str | None, options: Sequence[str], protocol_options: Any) -> list[Any]:
    """The tasks asked for, each with the options meant for it. Raises EvalkitError on unknown names and options."""
    from evalkit.benchmark.registry import TaskSpec, find_task_class, installed_tasks, load_task_file, option_fields

    known = installed_tasks()
    own = load_task_file(Path(task_file)) if task_file else {}
    specs, used = [], set()
    for name in dict.fromkeys(part.strip() for part in names.split(",") if part.strip()):
        task_class = find_task_class(name, {**known, **own})
        chosen = dict(protocol_options.get(task_class.name, {}))
        for option in options:
            target, equals, value = option.partition("=")
            if not equals:
                raise EvalkitError(f"The task option {option!r} has no value.", "write it as -T NAME=VALUE.")
            task_name, dot, key = target.rpartition(".")
            if (dot and find_task_class(task_name, {**known, **own}) is task_class) or (
                not dot and key in option_fields(task_class)
            ):
                chosen[key] = value
                used.add(option)
        specs.append(TaskSpec(task_class.name, task_file if task_class.name in own else None, chosen))
    if not specs:
        raise EvalkitError("No task was named.", "`evalkit tasks` lists them.")
    if unused := [option for option in options if option not in used]:
        raise EvalkitError(f"No task of this run has the option {unused[0]!r}.", "see `evalkit tasks show NAME`.")
    return specs
