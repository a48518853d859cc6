"""`evalkit grade-diff`: compare the verdicts of two graders on a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.terminal import echo
from evalkit.visible import visible_line

if TYPE_CHECKING:
    from evalkit.store.run import TaskRun


@click.command(name="grade-diff", short_help="List the completions that another grader grades differently.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--against",
    help="Grader to compare with: math-verify, prm800k, or peer for the harness of an imported log "
    "[default: peer for an imported log, else math-verify].",
)
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--data", "data_folder", metavar="DIR", help="Folder with the data sets [env: EVALKIT_DATA].")
def command(run: Path, against: str | None, task_names: str | None, data_folder: str | None) -> None:
    """Grade the completions of RUN's mathematics tasks with two graders and list the differences.

    Of an imported run, list where the harness that made the log judged differently.

    \b
    evalkit grade-diff results/student/deepseek-r1-1a2b3c4d --against math-verify
    """
    from evalkit.cli.selection import one_run, tasks_of_run
    from evalkit.errors import EvalkitError
    from evalkit.grading.external import differences, grader
    from evalkit.results.recreate import recreate_problems, recreate_task

    recorded_tasks = tasks_of_run(one_run(run), task_names)
    if against is None:
        against = "peer" if any(t.files.peer_scores_path.is_file() for t in recorded_tasks) else "math-verify"
    if against == "peer":
        _against_peer(run, recorded_tasks)
        return
    grader(against)
    graded = 0
    for recorded in recorded_tasks:
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
            echo(f"{label}: evalkit {ours.status} ({ours.answer!r}), {against} {theirs.status} ({theirs.answer!r})")
            echo(f"    {visible_line(ours.explanation)}")
        echo(f"{name}: {len(found)} of {len(samples)} verdicts differ from {against}'s")
    if not graded:
        raise EvalkitError(
            f"{run} has no completions of a mathematics task to grade.", "select a mathematics task with -t."
        )


def _against_peer(run: Path, tasks: "list[TaskRun]") -> None:
    from evalkit.errors import EvalkitError
    from evalkit.results.peer import compare_with_peer

    imported = [task for task in tasks if task.files.peer_scores_path.is_file()]
    if not imported:
        raise EvalkitError(f"{run} was not imported: it has no verdicts of another harness.", "`evalkit import`.")
    for task in imported:
        peer = str(task.run.engine.get("peer") or "the log")
        found = compare_with_peer(task)
        for one in found.differences:
            scope = "" if one.scope == "sample" else f" ({one.scope})"
            echo(
                f"{task.name} {one.label}: evalkit {one.ours:g} ({one.our_answer!r}), "
                f"{peer}'s {one.name}{scope} {one.theirs:g} ({one.their_answer!r})"
            )
            echo(f"    {visible_line(one.reason)}")
        echo(visible_line(f"{task.name}: {found.in_words(peer)}"))
