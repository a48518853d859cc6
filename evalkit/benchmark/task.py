"""Task: the contract that a benchmark fulfils. Plain typed Python, about 40 lines for an exact answer."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from evalkit.types import Message, Metric, Problem, Score

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.benchmark.data import DataSource

TaskKind = Literal["math", "choice", "code", "other"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Where a benchmark's rows come from and how they are known to be the right ones.

    `files` are looked for, in this order, under a local data folder; a `.zip` is read in memory with
    `zip_password` and never unpacked to disk, its member named after `::`. `rows` is the exact number
    expected, None where it varies. `columns` have to be there in every row. A set that is on no hub comes from
    `from_file` or `from_rows`.
    """

    hub_id: str
    revision: str
    split: str
    columns: tuple[str, ...]
    files: tuple[str, ...]
    config: str | None = None
    rows: int | None = None
    gated: bool = False
    zip_password: str | None = None
    path: str | None = None
    own_rows: tuple[Mapping[str, Any], ...] | None = None

    @classmethod
    def from_file(cls, path: "str | Path", columns: Sequence[str] = (), rows: int | None = None) -> "DatasetSpec":
        """A problem set of one's own: a jsonl, json, csv or parquet file. Every row has to have the `columns`.

        A file beside the task's is `Path(__file__).with_name("problems.jsonl")`.

        >>> DatasetSpec.from_file("problems.jsonl", ["question", "answer"]).hub_id
        'file:problems.jsonl'
        """
        name = str(path).replace("\\", "/").rpartition("/")[2]
        return cls(f"file:{name}", "", "", tuple(columns), (), rows=rows, path=str(path))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> "DatasetSpec":
        """A problem set that stands in Python.

        >>> DatasetSpec.from_rows([{"question": "6 * 7?", "answer": "42"}]).rows
        1
        """
        return cls("rows in Python", "", "", tuple(columns), (), rows=len(rows), own_rows=tuple(rows))


class Task(ABC):
    """One benchmark.

    `version` goes up when anything changes a score. `n` is the default number of completions per problem.
    `prompt` is the user's message, with `{problem}` where the problem's text goes; a protocol may replace it by
    `kind`. `targets_sha256` is `fingerprint_targets` of the right answers: a changed set stops the run.
    `score_timeout` is the wall-clock limit in seconds on scoring one completion.
    `headlines` names the metrics that stand for the task in a table. `unsafe_options` names options that hold only
    where they are given now, never because an old run was made with them.
    A subclass that has options is a dataclass, each field an option (`evalkit run -T window=…`).
    """

    name: ClassVar[str]
    version: ClassVar[int]
    title: ClassVar[str]
    kind: ClassVar[TaskKind] = "other"
    aliases: ClassVar[tuple[str, ...]] = ()
    dataset: ClassVar[DatasetSpec | None] = None
    rows: ClassVar[int | None] = None
    targets_sha256: ClassVar[str | None] = None
    n: ClassVar[int] = 1
    score_timeout: ClassVar[float] = 60.0
    headlines: ClassVar[tuple[str, ...]] = ("pass@1",)
    unsafe_options: ClassVar[tuple[str, ...]] = ()
    prompt: str = "{problem}"

    @abstractmethod
    def load(self, source: "DataSource") -> Sequence[Problem]:
        """The problems in a fixed order. Raises EvalkitError where the data is missing or of the wrong schema."""

    @abstractmethod
    def score(self, problem: Problem, response: str) -> Score:
        """Grade what a model wrote after its thinking. Must depend on nothing but its arguments."""

    def messages(self, problem: Problem) -> list[Message]:
        """The chat messages a model gets, without the system message, which the protocol decides."""
        return [{"role": "user", "content": self.prompt.replace("{problem}", problem.prompt)}]

    def gold_response(self, problem: Problem) -> str | None:
        """A right answer as a model would write it, for `evalkit tasks check`; None where none can be written."""
        return f"So the final answer is \\boxed{{{problem.target}}}."

    def same_answer(self, first: str, second: str) -> bool:
        """Whether two extracted answers are one vote in a majority (cons@k)."""
        return first.strip() == second.strip()

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        """Metrics beside the engine's own (avg@n, pass@k, cons@k); `scores` by problem id."""
        return []


def fingerprint_targets(problems: Sequence[Problem]) -> str:
    """The sha256 (64 hex digits) of the sorted right answers: the same for the same set in any order."""
    return hashlib.sha256("\x1f".join(sorted(p.target for p in problems)).encode()).hexdigest()
