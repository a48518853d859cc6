"""`evalkit grade-diff`: where another grader judges a run's completions differently."""

from pathlib import Path

import click


@click.command(name="grade-diff", short_help="List where another grader judges a run's completions differently.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--against", default="math-verify", show_default=True, help="math-verify or prm800k.")
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
def command(run: Path, against: str, task_names: str | None, data_folder: str | None) -> None:
    """Grade the mathematics completions of RUN with evalkit's grader and with another one; list the differences.

    \b
    evalkit grade-diff results/student/deepseek-r1-1a2b3c4d --against math-verify
    """
    from evalkit.cli.selection import tasks_of_run
    from evalkit.errors import EvalkitError
    from evalkit.grading.external import differences, grader
    from evalkit.results.recreate import recreate_problems, recreate_task
    from evalkit.store.run import RunDirectory

    grader(against)
    graded = 0
    for recorded in tasks_of_run(RunDirectory(run), task_names):
        name = recorded.name
        task = recreate_task(recorded)
        if task.kind != "math":
            continue
        golds = {problem.id: problem.target for problem in recreate_problems(recorded, task, data_folder)}
        samples = [
            (f"{name} {c.problem_id} sample {c.sample_index}", c.prefix + c.text, golds[c.problem_id])
            for c in recorded.files.standing_completions()
            if c.error is None and c.problem_id in golds
        ]
        graded += len(samples)
        found = differences(samples, against)
        for label, ours, theirs in found:
            click.echo(
                f"{label}: evalkit {ours.status} ({ours.answer!r}), {against} {theirs.status} ({theirs.answer!r})"
            )
            click.echo(f"    {ours.explanation}")
        click.echo(f"{name}: {len(found)} of {len(samples)} verdicts differ from {against}'s")
    if not graded:
        raise EvalkitError(f"{run} has no completions of a mathematics task to grade.", "name tasks with -t.")
