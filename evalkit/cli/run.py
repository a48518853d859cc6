"""`evalkit run`: evaluate a checkpoint."""

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.engine_flags import engine_flags, take_engine_options
from evalkit.cli.opinion_flags import ask_second_opinion, opinion_flags, require_second_opinion
from evalkit.cli.selection import one_file
from evalkit.cli.terminal import echo

if TYPE_CHECKING:
    from evalkit.results.runs import Run
    from evalkit.run.throughput import Throughput


@click.command(name="run", short_help="Evaluate a checkpoint, or resume a run.")
@click.argument("model")
@click.option(
    "-t", "--tasks", "task_names", default="", metavar="A,B", help="Tasks or suites; `evalkit tasks` lists them."
)
@click.option("--problems", type=click.Path(), metavar="FILE", help="Problems of your own: jsonl, json, csv, parquet.")
@click.option("--kind", type=click.Choice(["math", "choice"]), help="How the answers of --problems are graded.")
@click.option("--fields", default="", metavar="FIELDS", help="Of --problems: problem=question,gold=answer,…")
@click.option("-n", "n", type=int, help="Completions per problem [default: set by protocol and task].")
@click.option(
    "--precision",
    type=float,
    metavar="POINTS",
    help="Instead of -n: sample until the run-to-run interval of pass@1 is ±POINTS, most where it is uncertain.",
)
@click.option("--max-n", type=int, help="Most completions of a problem with --precision [default: 256].")
@click.option(
    "--shard",
    metavar="K/N",
    help="Run part K of N, for `evalkit merge`; /N takes K from SLURM_ARRAY_TASK_ID.",
)
@click.option("--limit", type=int, help="Run only the first LIMIT problems of each task.")
@click.option("--protocol", metavar="NAME", help="Preset name or JSON file [default: deepseek-r1].")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the run.")
@click.option("--temperature", type=float, help="Sampling temperature [default: set by the protocol].")
@click.option("--top-p", type=float, help="Nucleus sampling threshold [default: set by the protocol].")
@click.option("--top-k", type=int, help="Top-k sampling [default: set by the protocol].")
@click.option("--max-tokens", type=int, help="Token limit of a completion [default: set by the protocol].")
@click.option("--system-prompt", help="System prompt, '' for none at all [default: set by the protocol].")
@click.option(
    "--response-prefix",
    metavar="TEXT|none|auto",
    help="Text that opens the response if the chat template leaves that open; auto: <think> for templates of "
    "DeepSeek-R1's family, else none [default: set by the protocol].",
)
@click.option(
    "--data",
    "data_folders",
    multiple=True,
    metavar="[TASK=]DIR",
    help="Folder with the data sets, of all tasks or of one. Repeatable [env: EVALKIT_DATA].",
)
@click.option("--allow-changed-data", is_flag=True, help="Accept a data set with other rows or answers; recorded.")
@click.option(
    "--task-file", multiple=True, callback=one_file, metavar="FILE.py", help="Python file that defines tasks."
)
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
@click.option(
    "--judge-on",
    metavar="ray[:HOST:PORT]",
    help="Judge programs on the processors of a Ray cluster: that of --ray, else of this machine, or the one named.",
)
@opinion_flags
@click.option(
    "--log-to",
    metavar="TRACKER",
    help="Send the figures to wandb, mlflow or trackio when the run is complete; wandb:PROJECT names a project.",
)
@click.option("--dry-run", is_flag=True, help="Show what the model would see, check lengths, count; generate nothing.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    model: str,
    task_names: str,
    data_folders: tuple[str, ...],
    output: str | None,
    results: str,
    engine_name: str | None,
    price: tuple[float, float] | None,
    workers: int | None,
    judge_on: str | None,
    second_opinion: str | None,
    judge_url: str | None,
    judge_model: str | None,
    log_to: str | None,
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
    if not quiet:  # before the imports, which take their time on a busy machine
        echo(f"{model}: {task_names or others['problems']}", err=True)
    from evalkit.benchmark.data import read_data_options
    from evalkit.cli.selection import take_tasks
    from evalkit.results.trackers import require_tracker
    from evalkit.run.evaluate import execute_plan, finished_run, plan_run
    from evalkit.run.throughput import checked_prices

    if log_to is not None:
        require_tracker(log_to)
    checked_prices(price)
    tasks = take_tasks(task_names, others)
    others["engine_options"] = take_engine_options(others)
    others["engine"], others["data"] = engine_name, read_data_options(data_folders)
    run, throughput = None, None
    require_second_opinion(second_opinion, judge_url, judge_model)
    if not dry_run:
        run = finished_run(model, tasks, output, results, **others)
    if run is None:
        plan = plan_run(model, tasks, **others)
        if dry_run:
            for line in plan.describe():
                echo(line)
            plan.require_room()
            plan.require_end()
            if judge_on is None:
                plan.require_machine()
            return
        run, throughput = execute_plan(plan, output or plan.default_path(results), workers, price, not quiet, judge_on)
        if plan.shard is not None:
            echo(
                f"shard {plan.shard} is finished: {shlex.quote(str(run.path))}; unite the shards with `evalkit merge`",
                err=True,
            )
            return
    elif not quiet:
        echo("everything is on disk already", err=True)
    names = run.asked
    ask_second_opinion(run.directory, names, second_opinion, judge_url, judge_model, others["data"])
    _print_results(run, names, throughput, log_to)


def _print_results(run: "Run", names: Iterable[str], throughput: "Throughput | None", log_to: str | None) -> None:
    from evalkit.cli.summary import print_summary, throughput_line
    from evalkit.results.trackers import log_run
    from evalkit.run.printed import run_line
    from evalkit.run.session import require_no_errors

    reports = [run.report(name) for name in names]
    print_summary(run.directory, reports)
    if throughput is not None:
        echo(throughput_line(throughput), err=True)
    echo(run_line(run.path), err=True)
    if log_to is not None:
        echo(log_run(run.path, log_to), err=True)
    require_no_errors(run.directory, reports)
