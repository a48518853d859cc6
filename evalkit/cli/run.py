"""`evalkit run`: evaluate a checkpoint."""

from pathlib import Path
from typing import Any

import click

from evalkit.cli.engine_flags import engine_flags, take_engine_options


@click.command(name="run", short_help="Evaluate a checkpoint; the same command again resumes.")
@click.argument("model")
@click.option("-t", "--tasks", "task_names", required=True, metavar="A,B", help="Tasks, as `evalkit tasks` lists them.")
@click.option("-n", "n", type=int, help="Completions per problem [default: the protocol's for the task].")
@click.option("--limit", type=int, help="Only the first LIMIT problems of each task.")
@click.option("--protocol", "protocol_name", default="deepseek-r1", show_default=True, help="A preset, or FILE.json.")
@click.option("--seed", type=int, default=0, show_default=True, help="The run's seed.")
@click.option("--temperature", type=float, help="Instead of the protocol's.")
@click.option("--top-p", type=float, help="Instead of the protocol's.")
@click.option("--top-k", type=int, help="Instead of the protocol's.")
@click.option("--max-tokens", type=int, help="Limit on a completion's tokens, instead of the protocol's.")
@click.option("--system-prompt", help="Instead of the protocol's; '' for none.")
@click.option("--response-prefix", help="What the response begins with where the template does not; '' for nothing.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option("--allow-changed-data", is_flag=True, help="Accept a set with other rows or answers; recorded.")
@click.option("--task-file", metavar="FILE.py", help="Plug in the tasks that a file defines.")
@click.option("-T", "task_options", multiple=True, metavar="[TASK.]NAME=VALUE", help="An option of a task; repeatable.")
@click.option("-o", "--output", metavar="DIR", help="The run directory [default: RESULTS/<model>/<protocol>-<hash>].")
@click.option("--results", default="results", show_default=True, metavar="DIR", help="Where run directories go.")
@engine_flags
@click.option(
    "--price", type=(float, float), metavar="PROMPT GENERATED", help="Prices of a million tokens each, for the cost."
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
    from evalkit.cli.summary import print_summary, throughput_line
    from evalkit.run.evaluate import execute_plan, plan_run
    from evalkit.run.session import require_no_errors

    engine_options = take_engine_options(others)
    plan = plan_run(
        model,
        task_names,
        protocol=protocol_name,
        n=n,
        limit=limit,
        seed=seed,
        engine=engine_name,
        engine_options=engine_options,
        engine_file=engine_file,
        data=data_folder,
        allow_changed_data=allow_changed_data,
        task_file=task_file,
        task_options=task_options,
        **others,
    )
    if dry_run:
        for line in plan.describe():
            click.echo(line)
        plan.require_room()
        return
    run, throughput = execute_plan(plan, output or plan.default_path(results), workers, price, not quiet)
    reports = [run.report(task.task.name) for task in plan.plans]
    print_summary(reports)
    if throughput is not None:
        click.echo(throughput_line(throughput), err=True)
    click.echo(f"run directory: {run.path}", err=True)
    require_no_errors(run.directory, reports)
