"""`evalkit adjudicate`: decide the disputes of a run, one at a time."""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evalkit.cli.selection import trust_option
from evalkit.cli.terminal import echo
from evalkit.errors import EvalkitError
from evalkit.visible import json_text

if TYPE_CHECKING:
    from evalkit.results.disputes import Dispute
    from evalkit.store.run import TaskRun

_SHOWN = 600  # characters of a response's end


@click.command(name="adjudicate", short_help="Decide what two graders dispute, one completion at a time.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@click.option("--who", help="Who decides [default: the user's name].")
@click.option(
    "--export", type=click.Path(path_type=Path), metavar="FILE", help="Write decisions as test rows; ask nothing."
)
@trust_option
def command(
    run: Path, task_names: str | None, data_folder: str | None, who: str | None, export: Path | None, trust: bool
) -> None:
    """Show each disputed completion of RUN: the problem, the right answer, both graders' answers and reasons.

    Keys: y the completion is right, n it is wrong, s skip, q quit. A decision is stored at once, with who decided and
    why, and outranks both graders now and at every later scoring.

    \b
    evalkit score results/student/deepseek-r1-1a2b3c4d --second-opinion math-verify
    evalkit adjudicate results/student/deepseek-r1-1a2b3c4d
    """
    from evalkit.cli.selection import one_run, tasks_of_run, trust_task_files
    from evalkit.results.disputes import disputes

    if trust:
        trust_task_files([run])
    tasks = tasks_of_run(one_run(run), task_names)
    if export is not None:
        _export(tasks, export, data_folder)
        return
    waiting = [(task, one) for task in tasks for one in disputes(task)]
    if not waiting:
        echo("There is no open dispute.", err=True)
        return
    if not sys.stdin.isatty():
        raise EvalkitError(
            f"{len(waiting)} disputes wait for a decision, and this is not a terminal.", "run it in a terminal."
        )
    decided = _ask_all(waiting, who or getpass.getuser(), data_folder)
    echo(f"{decided} of {len(waiting)} decided", err=True)


def _ask_all(waiting: "list[tuple[TaskRun, Dispute]]", who: str, data_folder: str | None) -> int:
    from evalkit.results.recreate import recreate_problems
    from evalkit.run.opinions import adjudicate
    from evalkit.store.opinions import Adjudication

    problems = {task.name: {p.id: p for p in recreate_problems(task, data=data_folder)} for task, _ in waiting}
    responses = {
        (task.name, c.key): c.prefix + c.text
        for task in {task.name: task for task, _ in waiting}.values()
        for c in task.files.standing_completions()
    }
    decided = 0
    for number, (task, one) in enumerate(waiting, start=1):
        problem = problems[task.name][one.key.problem_id]
        _show(f"{number} of {len(waiting)}", one, problem.prompt, problem.target, responses[task.name, one.key])
        key = _key()
        if key == "q":
            break
        if key == "s":
            continue
        why = click.prompt("why", default="", show_default=False, err=True)
        verdict: Literal["correct", "wrong"] = "correct" if key == "y" else "wrong"
        adjudicate(task, Adjudication(*one.key, verdict, one.ours.answer or one.theirs.answer, who, why))
        decided += 1
    return decided


def _show(place: str, one: "Dispute", prompt: str, gold: str, response: str) -> None:
    lines = [
        f"=== {place}: {one.key.task} {one.key.problem_id} sample {one.key.sample_index}",
        prompt,
        "--- the end of the response",
        response[-_SHOWN:],
        "---",
        f"right answer  {gold}",
        f"evalkit       {one.ours.status} ({one.ours.answer}): {one.ours.explanation}",
        f"{one.theirs.grader:<13} {one.theirs.status} ({one.theirs.answer}): {one.theirs.explanation}",
    ]
    echo("\n".join(lines), err=True)


def _key() -> str:
    while True:
        echo("right? [y]es, [n]o, [s]kip, [q]uit: ", nl=False, err=True)
        pressed = click.getchar().lower()
        echo(pressed if pressed.isprintable() else "", err=True)
        if pressed in ("y", "n", "s", "q"):
            return pressed


def _export(tasks: "list[TaskRun]", path: Path, data_folder: str | None) -> None:
    from evalkit.results.recreate import recreate_problems
    from evalkit.store.lines import write_text_output
    from evalkit.store.opinions import adjudications

    rows = []
    for task in tasks:
        decided = adjudications(task.files)
        golds = {p.id: p.target for p in recreate_problems(task, data=data_folder)} if decided else {}
        rows += [
            {"gold": golds[c.problem_id], "response": c.prefix + c.text, "status": decided[c.key].verdict}
            for c in task.files.standing_completions()
            if c.key in decided and c.problem_id in golds
        ]
    write_text_output(path, "".join(json_text(row) + "\n" for row in rows))
    echo(f"wrote {len(rows)} rows to {path}", err=True)
