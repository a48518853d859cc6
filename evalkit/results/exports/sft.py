"""Right completions as training examples in the chat format: one JSON object with `messages` a line."""

from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.exports.samples import TaskExport
from evalkit.store.lines import LineWriter


def write(tasks: Sequence[TaskExport], folder: Path) -> list[Path]:
    """Write sft.jsonl: completions graded as correct that ended on their own, the thinking included.

    Raises EvalkitError for a benchmark whose authors ask that its questions be not published, and where nothing is
    right. A benchmark that was trained on measures nothing any more.
    """
    for task in tasks:
        if task.questions_are_secret:
            raise EvalkitError(
                f"The authors of {task.task.title} ask that its questions be not published.", "export other tasks."
            )
    path, count = folder / "sft.jsonl", 0
    with LineWriter(path) as writer:
        for task in tasks:
            for sample in task.samples():
                if not sample.correct or sample.completion.truncated:
                    continue
                count += 1
                messages = [*task.task.messages(sample.problem), {"role": "assistant", "content": sample.response}]
                source = {"model": task.model, **sample.completion.key._asdict()}
                writer.append({"messages": messages, "source": source})
    if not count:
        path.unlink()
        raise EvalkitError("No completion was graded as correct.", "grade the run with `evalkit score`.")
    return [path]
