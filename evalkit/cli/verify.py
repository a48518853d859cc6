"""`evalkit verify`: check that runs are complete and undamaged."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo


@click.command(name="verify", short_help="Check that runs are complete and undamaged.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(runs: tuple[Path, ...]) -> None:
    """Check the checksum and schema of every line of RUNS, and compare the counts with the plan.

    The exit code is 2 if a line is damaged or duplicated, and 1 if completions or scores are missing.

    \b
    evalkit verify results/
    """
    from evalkit.errors import RunIncompleteError
    from evalkit.store.run import find_runs
    from evalkit.visible import visible_line

    incomplete = []
    for run in [found for path in runs for found in find_runs(path)]:
        for task in run.tasks().values():
            planned, problems, n = task.record.samples, set(task.record.problem_ids), task.record.n
            done = {key for key in task.files.finished() if key[0] in problems and key[1] < n}
            finished = len(done)
            scored = len(done & {(key.problem_id, key.sample_index) for key in task.files.latest_scores()})
            echo(visible_line(f"{task}: {finished} of {planned} completions, {scored} scores"))
            if scored < planned:
                incomplete.append(f"{task}")
    if incomplete:
        raise RunIncompleteError(
            f"{len(incomplete)} of the tasks are not complete: {', '.join(incomplete[:3])}.",
            "run the command that started the run again to finish it.",
        )
