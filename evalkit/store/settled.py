"""Beside a task's scores: the samples that were closed as errors, and why.

<task>/settled.jsonl   append only: one line per sample that is not asked for or graded again
"""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evalkit.store.lines import damaged, read_checked
from evalkit.store.run import TaskFiles
from evalkit.types import SampleKey


@dataclass(frozen=True, slots=True)
class Settlement:
    """One sample that stays an error, and what its last error said."""

    task: str
    problem_id: str
    sample_index: int
    why: str

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)


def settled_path(files: TaskFiles) -> Path:
    return files.folder / "settled.jsonl"


def settled(files: TaskFiles) -> dict[SampleKey, Settlement]:
    """The samples of a task that are closed. Raises EvalkitError on a damaged line."""
    path = settled_path(files)
    found: dict[SampleKey, Settlement] = {}
    for number, line in read_checked(path):
        try:
            one: Settlement = _adapter().validate_json(line)
        except ValidationError as error:
            raise damaged(path, number, str(error.errors()[0]["msg"])) from error
        found[one.key] = one
    return found


def settlement_record(one: Settlement) -> dict[str, Any]:
    """The line as it is stored."""
    return asdict(one)


@cache
def _adapter() -> TypeAdapter[Settlement]:
    return TypeAdapter(Settlement)
