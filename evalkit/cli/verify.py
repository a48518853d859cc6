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

    The exit code is 2 if a line is damaged or duplicated, and 1 if completions, scores or a run.json are missing. A
    completion that ended in an error of the engine is counted, and is not the end of its sample: the same command asks
    again.

    \b
    evalkit verify results/
    """
    from evalkit.errors import RunIncompleteError
    from evalkit.results.ungraded import is_ungraded
    from evalkit.store.counting import count_samples
    from evalkit.store.folders import find_runs, runs_without_record
    from evalkit.visible import visible_line

    incomplete, hints = [], set()
    lost = {folder: error for path in runs for folder, error in runs_without_record(path)}
    for run in [found for path in runs for found in find_runs(path)]:
        is_imported = run.record().is_imported
        for task in run.tasks().values():
            graded = not is_ungraded(task)
            counts = count_samples(task, graded)
            echo(visible_line(f"{task}: {counts.in_words(graded)}"))
            if not counts.whole:
                incomplete.append(f"{task}")
                hints.add(_IMPORTED if is_imported else _RESUME)
    for folder, error in lost.items():
        echo(visible_line(error.message))
        incomplete.append(f"{folder}")
        hints.add(error.hint.removesuffix("."))
    if incomplete:
        more = f" and {len(incomplete) - 3} more" if len(incomplete) > 3 else ""
        several = f"{len(incomplete)} tasks are not complete: {', '.join(incomplete[:3])}{more}."
        raise RunIncompleteError(
            f"{incomplete[0]} is not complete." if len(incomplete) == 1 else several,
            "; ".join(sorted(hints, reverse=True)) + ".",
        )
