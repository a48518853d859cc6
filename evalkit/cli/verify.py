"""`evalkit verify`: is everything there, whole and once?"""

from pathlib import Path

import click


@click.command(name="verify", short_help="Check that a run's files are whole and complete.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(runs: tuple[Path, ...]) -> None:
    """Read every line of the RUNS, check its checksum and schema, and compare the counts with the plan.

    Exit code 2 where a line is damaged or a sample is there twice, 1 where samples or scores are missing.

    \b
    evalkit verify results/
    """
    from evalkit.errors import RunIncompleteError
    from evalkit.store.run import find_runs

    incomplete = []
    for run in [found for path in runs for found in find_runs(path)]:
        for task in run.tasks().values():
            planned = {(key, index) for key in task.record.problem_ids for index in range(task.record.n)}
            finished = task.files.finished() & planned
            scored = {(key.problem_id, key.sample_index) for key in task.files.latest_scores()} & finished
            click.echo(f"{task}: {len(finished)} of {len(planned)} completions, {len(scored)} scores")
            if len(scored) < len(planned):
                incomplete.append(f"{task}")
    if incomplete:
        raise RunIncompleteError(
            f"{len(incomplete)} of the tasks are not complete: {', '.join(incomplete[:3])}.",
            "give the command that began the run again to finish it.",
        )
