"""Beside a task's scores: what a second grader says of its completions, and what a human decided.

<task>/second_opinions.jsonl   append only: one line per completion and grader
<task>/adjudications.jsonl     append only: one line per decision of a human, which outranks every grader
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from evalkit.store.lines import read_checked
from evalkit.store.run import TaskFiles, validated
from evalkit.types import SampleIndex, SampleKey, Score, Status

HUMAN = "human:"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a second grader says of one completion."""

    task: str
    problem_id: str
    sample_index: SampleIndex
    grader: str
    status: Status
    answer: str | None
    explanation: str

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)


@dataclass(frozen=True, slots=True)
class Adjudication:
    """A human's decision on one completion: who, and why."""

    task: str
    problem_id: str
    sample_index: SampleIndex
    verdict: Literal["correct", "wrong"]
    answer: str | None
    who: str
    why: str

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)

    def score(self) -> Score:
        """The score that takes the place of every grader's."""
        right = self.verdict == "correct"
        told = f"adjudicated by {self.who}" + (f": {self.why}" if self.why else "")
        return Score(float(right), self.verdict, self.answer, told, "human", key=self.key)

    @property
    def grader(self) -> str:
        """Who a score line names as its grader."""
        return f"{HUMAN}{self.who}"


def opinions_path(files: TaskFiles) -> Path:
    return files.folder / "second_opinions.jsonl"


def adjudications_path(files: TaskFiles) -> Path:
    return files.folder / "adjudications.jsonl"


def opinions(files: TaskFiles) -> dict[SampleKey, Opinion]:
    """The latest second opinion of every completion that has one. Raises EvalkitError on a damaged line."""
    return {opinion.key: opinion for opinion in cast(Iterator[Opinion], _read(files, opinions_path(files), Opinion))}


def adjudications(files: TaskFiles) -> dict[SampleKey, Adjudication]:
    """The latest decision of every completion that has one. Raises EvalkitError on a damaged line."""
    return {one.key: one for one in cast(Iterator[Adjudication], _read(files, adjudications_path(files), Adjudication))}


def record(line: Opinion | Adjudication) -> dict[str, Any]:
    """The line as it is stored."""
    return asdict(line)


def _read(files: TaskFiles, path: Path, kind: type) -> Iterator[Any]:
    for number, line in read_checked(path, files.run):
        yield validated(kind, line, path, number)
