"""`evalkit samples`: read completions and how they were graded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.selection import trust_option
from evalkit.cli.terminal import echo
from evalkit.types import STATUSES, Completion, Score
from evalkit.visible import json_text, visible_line

if TYPE_CHECKING:
    from evalkit.store.opinions import Opinion
    from evalkit.store.run import TaskRun

_SHOWN = 1500  # characters of a completion's end: the answer stands there


@click.command(name="samples", short_help="Read completions and how they were graded.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--status", type=click.Choice(STATUSES), help="Only completions of this status.")
@click.option("--cut", is_flag=True, help="Only completions that were cut at the token limit.")
@click.option("--disputed", is_flag=True, help="Only completions that a second grader judges otherwise.")
@click.option("--problem", "problem_id", metavar="ID", help="Only this problem's.")
@click.option("--sample", "sample_index", type=click.IntRange(min=0), help="Only this sample index.")
@click.option(
    "--most", type=click.IntRange(min=1), default=10, show_default=True, help="Maximum number of completions shown."
)
@click.option("--full", is_flag=True, help="Show whole completions, not only the end.")
@click.option("--prompt", "with_prompt", is_flag=True, help="Show the problem too; this reads the data set.")
@click.option("--data", "data_folder", metavar="DIR", help="Folder with the data sets [env: EVALKIT_DATA].")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines with whole completions and scores.")
def command(
    run: Path,
    task_names: str | None,
    status: str | None,
    cut: bool,
    disputed: bool,
    problem_id: str | None,
    sample_index: int | None,
    most: int,
    full: bool,
    with_prompt: bool,
    data_folder: str | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Show completions of RUN with status, answer, the grader's explanation and the end of the text.

    Control characters are escaped, so that a completion cannot act on the terminal.

    \b
    evalkit samples results/student/deepseek-r1-1a2b3c4d --status no_answer
    evalkit samples results/student/deepseek-r1-1a2b3c4d -t aime24 --problem 60 --prompt --full
    evalkit samples results/student/deepseek-r1-1a2b3c4d --status wrong --most 1000 --json > wrong.jsonl
    """
    from evalkit.cli.selection import one_run, tasks_of_run, trust_task_files
    from evalkit.errors import EvalkitError
    from evalkit.results.disputes import disputes
    from evalkit.results.recreate import recreate_problems

    if trust:
        trust_task_files([run])
    tasks = tasks_of_run(one_run(run), task_names)
    if problem_id is not None and not any(problem_id in task.record.problem_ids for task in tasks):
        raise EvalkitError(f"{run} has no problem {problem_id!r}.", "`evalkit samples RUN --json` lists the ids.")
    found = 0
    for task in tasks:
        problems = recreate_problems(task, data=data_folder) if with_prompt else []
        prompts = {problem.id: problem.prompt for problem in problems}
        open_disputes = {one.key: one.theirs for one in disputes(task)} if disputed else {}
        for completion, score in _graded(task):
            seen = score.status if score else "not scored"
            if (
                (status is not None and seen != status)
                or (cut and not completion.truncated)
                or (disputed and completion.key not in open_disputes)
                or (problem_id is not None and completion.problem_id != problem_id)
                or (sample_index is not None and completion.sample_index != sample_index)
            ):
                continue
            found += 1
            if found > most:
                echo(f"More than {most} completions match; --most N shows more.", err=True)
                return
            about = prompts.get(completion.problem_id), open_disputes.get(completion.key)
            echo(_json_line(completion, score, about[0]) if as_json else _block(completion, score, *about, full))
    if not found:
        echo("No completion matches.", err=True)


def _graded(task: "TaskRun") -> Iterator[tuple[Completion, Score | None]]:
    """Each current completion with its score, in file order."""
    scores = task.files.latest_scores()
    for completion in task.files.standing_completions():
        yield completion, scores.get(completion.key)


def _json_line(completion: Completion, score: Score | None, prompt: str | None) -> str:
    record: dict[str, Any] = {name: getattr(completion, name) for name in Completion.__dataclass_fields__}
    for name in ("value", "status", "answer", "explanation", "extracted_by"):
        record[name] = getattr(score, name) if score else None
    return json_text(record if prompt is None else {**record, "prompt": prompt})


def _block(
    completion: Completion, score: Score | None, prompt: str | None, opinion: "Opinion | None", full: bool
) -> str:
    tokens = "" if completion.completion_tokens is None else f", {completion.completion_tokens:,} tokens"
    status = score.status if score else "not scored"
    lines = [
        f"=== {completion.task} {completion.problem_id} sample {completion.sample_index}: "
        f"{status} ({completion.finish_reason}{tokens})"
    ]
    if score:
        lines += [f"answer       {score.answer or '(none)'}", f"explanation  {score.explanation}"]
    if opinion:
        lines.append(f"{opinion.grader} says {opinion.status} ({opinion.answer}): {opinion.explanation}")
    lines = list(map(visible_line, lines))
    if prompt is not None:
        lines += ["--- problem", prompt]
    text = completion.prefix + completion.text
    left_out = 0 if full else max(0, len(text) - _SHOWN)
    heading = f"--- completion, without its first {left_out:,} characters" if left_out else "--- completion"
    lines += [heading, text[left_out:], ""]
    return "\n".join(lines)
