"""Every sample as a row of one parquet file."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.results.exports.samples import TaskExport
from evalkit.visible import encodable

_BATCH = 1000


def write(tasks: Sequence[TaskExport], folder: Path) -> list[Path]:
    """Write samples.parquet: model, run, protocol, task, problem_id, sample_index, prompt, gold, response, answer,
    status, value, finish_reason, prompt_tokens, completion_tokens, seconds. What is not known is null.
    """
    import pyarrow as pa
    from pyarrow import parquet

    text, number, real = pa.string(), pa.int64(), pa.float64()
    schema = pa.schema(
        [(name, text) for name in ("model", "run", "protocol", "task", "problem_id")]
        + [("sample_index", number)]
        + [(name, text) for name in ("prompt", "gold", "response", "answer", "status")]
        + [("value", real), ("finish_reason", text)]
        + [("prompt_tokens", number), ("completion_tokens", number), ("seconds", real)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "samples.parquet"
    rows = (row for task in tasks for row in _rows(task))
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(pa.Table.from_pylist(encodable(batch), schema))
    return [path]


def _rows(task: TaskExport) -> Iterator[dict[str, Any]]:
    for sample in task.samples():
        completion, score = sample.completion, sample.score
        yield {
            "model": task.model,
            "run": task.run.directory.path.name,
            "protocol": task.run.run.protocol_name,
            **completion.key._asdict(),
            "prompt": task.prompt(sample.problem),
            "gold": None if task.questions_are_secret else sample.problem.target,
            "response": sample.response,
            "answer": score.answer if score else None,
            "status": score.status if score else None,
            "value": score.value if score else None,
            "finish_reason": completion.finish_reason,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "seconds": completion.seconds,
        }
