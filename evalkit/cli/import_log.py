"""`evalkit import`: another harness's log as a run."""

import shlex
from pathlib import Path

import click

from evalkit.cli.terminal import echo


def _list_formats(ctx: click.Context) -> None:
    from evalkit.importers.reader import installed_readers

    for name, reader in installed_readers().items():
        echo(f"{name:<16}{reader.title}")
    ctx.exit()


@click.command(name="import", short_help="Turn another harness's log into a run, and grade it.")
@click.argument("path")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="The run directory to make.")
@click.option("--model", metavar="NAME", help="The model; used in place of the name that the log has.")
@click.option(
    "-t",
    "--task",
    metavar="TASK",
    help="evalkit's task for the problems, or RUN/TASK of a run imported before; or LOG=TASK,LOG=TASK.",
)
@click.option("-T", "task_options", multiple=True, metavar="[TASK.]NAME=VALUE", help="Set a task's option. Repeatable.")
@click.option("--kind", type=click.Choice(["math", "choice", "none"]), help="How a set without a task is graded.")
@click.option("--map", "fields", metavar="FIELDS", help="Plain rows: text=generation,gold=expected_answer,…")
@click.option("--format", "format_name", metavar="NAME", help="The harness, where two formats fit.")
@click.option(
    "--formats",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, wanted: _list_formats(ctx) if wanted else None,
    help="List the importers, those of other packages too, and exit.",
)
@click.option("--protocol", metavar="NAME", help="Assert that the samples were drawn under this protocol.")
@click.option("--partial", is_flag=True, help="Take an unfinished log as far as it goes.")
@click.option("--data", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option("--results", default="results", show_default=True, metavar="DIR", help="Where runs go without -o.")
@click.option("--no-score", is_flag=True, help="Do not grade yet.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that grade [default: the cores].")
def command(
    path: str,
    output: Path | None,
    model: str | None,
    task: str | None,
    kind: str | None,
    fields: str | None,
    format_name: str | None,
    protocol: str | None,
    partial: bool,
    data: str | None,
    results: str,
    no_score: bool,
    workers: int | None,
    task_options: tuple[str, ...],
) -> None:
    """Import the log at PATH: a file or a folder of lm_eval, lighteval, inspect, evalscope, OpenCompass, NeMo-Skills,
    SkyThought, Qwen2.5-Math, LIMO, QwQ, verifiers, evalplus, simple-evals, MathArena, LiveCodeBench, HELM, evalchemy,
    verl or of an OpenAI batch; or plain rows with --map.

    \b
    evalkit import outputs/my-model
    evalkit import log.eval -o results/student/inspect
    evalkit import generations.jsonl --map text=generation,problem=question,gold=answer --model student
    """
    from evalkit.cli.summary import print_summary
    from evalkit.results.harness_figure import harness_figure
    from evalkit.results.peer import log_of
    from evalkit.run.importing import import_run
    from evalkit.run.session import require_no_errors
    from evalkit.store.run import RunDirectory
    from evalkit.visible import visible_line
    from evalkit.words import counted

    done = import_run(
        path,
        output,
        model=model,
        task=task,
        kind=kind,  # type: ignore[arg-type]  # click has checked it
        fields=fields,
        format_name=format_name,
        protocol=protocol,
        partial=partial,
        data=data,
        results=results,
        score=not no_score,
        workers=workers,
        task_options=task_options,
    )
    for told in done.refused:
        echo(f"left out: {visible_line(told)}", err=True)
    for one in done.tasks:
        of = "" if one.task == one.log_task else f" of {one.log_task}"
        many = f"{counted(one.samples, 'sample')} of {counted(one.problems, 'problem')}"
        echo(f"{one.task}{visible_line(of)}: {many}, n = {one.n}", err=True)
        for note in (*one.notes, *(f"right answers differ: {text}" for text in one.gold_differences)):
            echo(f"  {visible_line(note)}", err=True)
    echo(f"{visible_line(done.model)}, from {log_of(done.peer)}: {shlex.quote(str(done.path))}", err=True)
    made = RunDirectory(done.path)
    for one in done.tasks:
        if figure := harness_figure(made.task(one.task)):
            echo(visible_line(f"{one.task}:{figure}"), err=True)
    if done.reports:
        print_summary(made, done.reports)
    for one in done.tasks:
        if one.failure is not None:
            raise one.failure
    require_no_errors(made, done.reports)
