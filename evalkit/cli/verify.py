"""`evalkit verify`: check that runs are complete and undamaged."""

from pathlib import Path

import click

from evalkit.cli.terminal import echo

_RESUME = "run the command that started the run again to finish it"
_IMPORTED = "what a log of another harness lacks stays missing; `evalkit settle RUN` closes its samples that are errors"


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
    from evalkit.store.settled import settled
    from evalkit.visible import visible_line

    incomplete, hints = [], set()
    for run in [found for path in runs for found in find_runs(path)]:
        is_imported = run.record().is_imported
        for task in run.tasks().values():
            planned = task.record.plan
            closed = {(key.problem_id, key.sample_index) for key in settled(task.files)}
            finished = {sample for sample in task.files.finished() | closed if sample in planned}
            scored = {(key.problem_id, key.sample_index) for key in task.files.latest_scores()} & finished
            echo(visible_line(f"{task}: {len(finished)} of {planned.samples} completions, {len(scored)} scores"))
            if len(scored) < planned.samples:
                incomplete.append(f"{task}")
                hints.add(_IMPORTED if is_imported else _RESUME)
    if incomplete:
        more = f" and {len(incomplete) - 3} more" if len(incomplete) > 3 else ""
        are = "is" if len(incomplete) == 1 else "are"
        raise RunIncompleteError(
            f"{len(incomplete)} of the tasks {are} not complete: {', '.join(incomplete[:3])}{more}.",
            "; ".join(sorted(hints, reverse=True)) + ".",
        )
