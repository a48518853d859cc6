"""A transfer set on disk: rows of `messages` as JSON lines or parquet, and a card in markdown."""

import json
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import evalkit
from evalkit.errors import EvalkitError
from evalkit.store.lines import write_text_output
from evalkit.visible import encodable

if TYPE_CHECKING:
    from evalkit.transfer.make import TransferSet

_BATCH = 1000


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows by atomic rename. Raises EvalkitError for an ending other than .jsonl and .parquet."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise EvalkitError(f"A set cannot be written as {path.name}.", "let the name end in .jsonl or .parquet.")
    path = path.resolve() if path.is_symlink() else path
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            (_write_lines if path.suffix == ".jsonl" else _write_parquet)(temporary, iter(rows))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise EvalkitError(
            f"{path} cannot be written: {error.strerror}.", "choose a folder that is writable and has free space."
        ) from error


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    text, number = pa.string(), pa.int64()
    source = [(name, text) for name in ("model", "run", "task", "problem_id")]
    source += [("sample_index", number), ("completion_tokens", number)]
    message = pa.struct([("role", text), ("content", text)])
    schema = pa.schema([("messages", pa.list_(message)), ("gold", text), ("source", pa.struct(source))])
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(pa.Table.from_pylist(encodable(batch), schema))


def write_card(path: Path, text: str) -> Path:
    """Write the card of the set at `path` beside it."""
    target = path.with_suffix(".md")
    write_text_output(target, text)
    return target


def benchmark_warning(made: "TransferSet") -> str:
    """What the set may not be used to measure, where its problems are those of benchmarks."""
    return (
        f"These are problems of {', '.join(made.benchmarks)}: scores on them say nothing of a model that was "
        "trained on this set."
    )


def card(made: "TransferSet", reasons: Mapping[str, str]) -> str:
    """The card: what was kept, what was left out and why, and what the set may not be used to measure."""
    lines = ["# Transfer set", ""]
    lines.append(
        f"{len(made.examples):,} examples, kept of {made.completions:,} completions by rejection sampling with evalkit "
        f"{evalkit.__version__}. Each row has `messages` in the chat format, the right answer in `gold`, and `source`."
    )
    lines += ["", f"Written by: {', '.join(made.models)}.", "", "| task | problems | with an example |", "|-|-:|-:|"]
    lines += [f"| {name} | {count:,} | {have:,} |" for name, (count, have) in made.tasks.items()]
    lines += ["", "| left out | completions | why |", "|-|-:|-|"]
    lines += [f"| {reason} | {count:,} | {reasons[reason]} |" for reason, count in made.rejected.items()]
    settings = made.settings
    lines += [
        "",
        f"At most {settings['per_problem']} per problem, chosen: {settings['choose']} (seed {settings['seed']}). "
        f"Runs: {', '.join(made.runs)}.",
    ]
    if counted := [example.tokens for example in made.examples if example.tokens is not None]:
        counted.sort()
        lines += [
            "",
            f"Tokens of a response: median {counted[len(counted) // 2]:,}, longest {counted[-1]:,}, "
            f"together {sum(counted):,}.",
        ]
    if made.benchmarks:
        lines += ["", f"{benchmark_warning(made)} `evalkit contamination` finds them."]
    return "\n".join(lines) + "\n"
