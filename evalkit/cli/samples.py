"""`evalkit samples`: read what the model wrote, and why it was graded as it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.selection import trust_option
from evalkit.types import STATUSES, Completion, Score

if TYPE_CHECKING:
    from evalkit.store.run import TaskRun

_SHOWN = 1500  # characters of a completion's end: the answer stands there


@click.command(name="samples", short_help="Read completions and why they were graded as they were.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-t", "--tasks", "task_names", metavar="A,B", help="Only these tasks of the run.")
@click.option("--status", type=click.Choice(STATUSES), help="Only completions of this status.")
@click.option("--cut", is_flag=True, help="Only completions that were cut at the token limit.")
@click.option("--problem", "problem_id", metavar="ID", help="Only this problem's.")
@click.option("--sample", "sample_index", type=click.IntRange(min=0), help="Only this sample index.")
@click.option("--most", type=click.IntRange(min=1), default=10, show_default=True, help="How many at the most.")
@click.option("--full", is_flag=True, help="Whole completions, not their ends.")
@click.option("--prompt", "with_prompt", is_flag=True, help="The problem as well; reads the data set.")
@click.option("--data", "data_folder", metavar="DIR", help="Data sets from local files [env: EVALKIT_DATA].")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="JSON lines: whole completions with their scores.")
def command(
    run: Path,
    task_names: str | None,
    status: str | None,
    cut: bool,
    problem_id: str | None,
    sample_index: int | None,
    most: int,
    full: bool,
    with_prompt: bool,
    data_folder: str | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Show completions of RUN: status, answer, the grader's explanation, and the end of what the model wrote.

    Control characters are shown as escapes, so that nothing a model wrote can act on a terminal.

    \b
    evalkit samples results/student/deepseek-r1-1a2b3c4d --status no_answer
    evalkit samples results/student/deepseek-r1-1a2b3c4d -t aime24 --problem 60 --prompt --full
    evalkit samples results/student/deepseek-r1-1a2b3c4d --status wrong --most 1000 --json > wrong.jsonl
    """
    from evalkit.cli.selection import tasks_of_run, trust_task_files
    from evalkit.errors import EvalkitError
    from evalkit.results.recreate import recreate_problems
    from evalkit.store.run import RunDirectory

    if trust:
        trust_task_files([run])
    tasks = tasks_of_run(RunDirectory(run), task_names)
    if problem_id is not None and not any(problem_id in task.record.problem_ids for task in tasks):
        raise EvalkitError(f"{run} has no problem {problem_id!r}.", "`evalkit samples RUN --json` lists the ids.")
    found = 0
    for task in tasks:
        problems = recreate_problems(task, data=data_folder) if with_prompt else []
        prompts = {problem.id: problem.prompt for problem in problems}
        for completion, score in _graded(task):
            seen = score.status if score else "not scored"
            if (
                (status is not None and seen != status)
                or (cut and not completion.truncated)
                or (problem_id is not None and completion.problem_id != problem_id)
                or (sample_index is not None and completion.sample_index != sample_index)
            ):
                continue
            found += 1
            if found > most:
                click.echo(f"More than {most} fit; --most N shows more.", err=True)
                return
            prompt = prompts.get(completion.problem_id)
            click.echo(_json_line(completion, score, prompt) if as_json else _block(completion, score, prompt, full))
    if not found:
        click.echo("No completion fits.", err=True)


def _graded(task: "TaskRun") -> Iterator[tuple[Completion, Score | None]]:
    """Each completion that stands with its score, in the order of the file."""
    scores = task.files.latest_scores()
    for completion in task.files.standing_completions():
        yield completion, scores.get(completion.key)


def _json_line(completion: Completion, score: Score | None, prompt: str | None) -> str:
    record: dict[str, Any] = {name: getattr(completion, name) for name in Completion.__dataclass_fields__}
    for name in ("value", "status", "answer", "explanation", "extracted_by"):
        record[name] = getattr(score, name) if score else None
    return json.dumps(record if prompt is None else {**record, "prompt": prompt})


def _block(completion: Completion, score: Score | None, prompt: str | None, full: bool) -> str:
    tokens = "" if completion.completion_tokens is None else f", {completion.completion_tokens:,} tokens"
    lines = [
        f"=== {completion.task} {completion.problem_id} sample {completion.sample_index}: "
        f"{score.status if score else 'not scored'} ({completion.finish_reason}{tokens})"
    ]
    if score:
        lines += [f"answer       {score.answer or '(none)'}", f"explanation  {score.explanation}"]
    if prompt is not None:
        lines += ["--- problem", prompt]
    text = completion.prefix + completion.text
    left_out = 0 if full else max(0, len(text) - _SHOWN)
    heading = f"--- completion, without its first {left_out:,} characters" if left_out else "--- completion"
    lines += [heading, text[left_out:], ""]
    return printable("\n".join(lines))


def printable(text: str) -> str:
    """`text` with everything that a terminal could take for a command, or UTF-8 cannot hold, as an escape."""
    return "".join(
        c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
