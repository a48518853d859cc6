"""`evalkit verify`: is everything there, whole and once?"""

from pathlib import Path

import click


@click.command(name="verify", short_help="Check that a run's files are whole and complete.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(runs: tuple[Path, ...]) -> None:
    """Read every line of the RUNS, check its checksum and schema, and count what is there against what was asked for.

    Exit code 2 where a line is damaged or a sample is there twice, 1 where samples or scores are missing.

    \b
    evalkit verify results/
    """
    from evalkit.errors import RunIncompleteError
    from evalkit.store.run import find_runs

    incomplete = []
    for run in [found for path in runs for found in find_runs(path)]:
        for name, asked in run.describe()["tasks"].items():
            store = run.task(name)
            wanted = {(key, index) for key in asked["problem_ids"] for index in range(asked["sampling"]["n"])}
            finished = store.finished() & wanted
            scored = {(s.key.problem_id, s.key.sample_index) for s, _ in store.scores() if s.key} & finished
            click.echo(f"{run.path} {name}: {len(finished)} of {len(wanted)} completions, {len(scored)} scores")
            if len(scored) < len(wanted):
                incomplete.append(f"{run.path} {name}")
    if incomplete:
        raise RunIncompleteError(
            f"{len(incomplete)} of the tasks are not complete: {', '.join(incomplete[:3])}.",
            "give the command that began the run again to finish it.",
        )
