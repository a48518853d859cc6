"""`evalkit run`: evaluate a checkpoint."""

from pathlib import Path
from typing import Any

import click

from evalkit.cli.engine_flags import engine_flags, take_engine_options
from evalkit.cli.opinion_flags import ask_second_opinion, opinion_flags


@click.command(name="run", short_help="Evaluate a checkpoint, or resume a run.")
@click.argument("model")
@click.option(
    "-t", "--tasks", "task_names", default="", metavar="A,B", help="Tasks or suites; `evalkit tasks` lists them."
)
@click.option("--problems", type=click.Path(), metavar="FILE", help="Problems of your own: jsonl, json, csv, parquet.")
@click.option("--kind", type=click.Choice(["math", "choice"]), help="How the answers of --problems are graded.")
@click.option("--fields", default="", metavar="FIELDS", help="Of --problems: problem=question,gold=answer,…")
@click.option("-n", "n", type=int, help="Completions per problem [default: set by protocol and task].")
@click.option("--limit", type=int, help="Run only the first LIMIT problems of each task.")
@click.option("--protocol", "protocol_name", default="deepseek-r1", show_default=True, help="Preset name or JSON file.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the run.")
@click.option("--temperature", type=float, help="Sampling temperature [default: set by the protocol].")
@click.option("--top-p", type=float, help="Nucleus sampling threshold [default: set by the protocol].")
@click.option("--top-k", type=int, help="Top-k sampling [default: set by the protocol].")
@click.option("--max-tokens", type=int, help="Token limit of a completion [default: set by the protocol].")
@click.option("--system-prompt", help="System prompt, '' for none [default: set by the protocol].")
@click.option(
    "--response-prefix",
    help="Text to open the response with if the chat template does not, '' for none [default: set by the protocol].",
)
@click.option("--data", "data_folder", metavar="DIR", help="Folder with the data sets [env: EVALKIT_DATA].")
@click.option("--allow-changed-data", is_flag=True, help="Accept a data set with other rows or answers; recorded.")
@click.option("--task-file", metavar="FILE.py", help="Python file that defines tasks.")
@click.option("-T", "task_options", multiple=True, metavar="[TASK.]NAME=VALUE", help="Set a task's option. Repeatable.")
@click.option("-o", "--output", metavar="DIR", help="Run directory [default: RESULTS/<model>/<protocol>-<hash>].")
@click.option("--results", default="results", show_default=True, metavar="DIR", help="Parent of the run directories.")
@engine_flags
@click.option(
    "--price",
    type=(float, float),
    metavar="PROMPT GENERATED",
    help="Prices per million prompt tokens and generated tokens, to report the cost.",
)
@click.option("--workers", type=int, help="Processes that grade [default: the cores].")
@opinion_flags
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
    second_opinion: str | None,
    judge_url: str | None,
    judge_model: str | None,
    dry_run: bool,
    quiet: bool,
    **others: Any,
) -> None:
    """Evaluate MODEL, a local folder or a hub id, and print its results.

    Each completion is written to disk as soon as it is finished. Running the same command again resumes.

    \b
    evalkit run examples/tiny_distill/student-distilled -t arithmetic --max-tokens 64
    evalkit run ./checkpoint -t math500 -n 4 --limit 50 --data DIR
    evalkit run ./checkpoint --problems train.jsonl --kind math --fields problem=question,gold=answer
    """
    from evalkit.cli.selection import take_tasks
    from evalkit.cli.summary import print_summary, throughput_line
    from evalkit.run.evaluate import execute_plan, plan_run
    from evalkit.run.session import require_no_errors

    engine_options, tasks = take_engine_options(others), take_tasks(task_names, others)
    plan = plan_run(
        model,
        tasks,
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
    names = [task.task.name for task in plan.plans]
    ask_second_opinion(run.directory, names, second_opinion, judge_url, judge_model, data_folder)
    reports = [run.report(name) for name in names]
    print_summary(reports)
    if throughput is not None:
        click.echo(throughput_line(throughput), err=True)
    click.echo(f"run directory: {run.path}", err=True)
    require_no_errors(run.directory, reports)
