"""Task, the base class of benchmarks, and DatasetSpec, which says where the rows of a benchmark come from."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from evalkit.types import Message, Metric, Problem, Score

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.benchmark.data import DataSource

TaskKind = Literal["math", "choice", "code", "instructions", "other"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Where a benchmark's rows come from and how they are checked.

    `hub_id`, `revision`, `config` and `split` name the data set on the hub. In a local data folder, `files` are tried
    in this order. A file in a zip archive is written `archive.zip::file.csv`; it is read in memory with `zip_password`
    and never unpacked to disk. Every row has to have the `columns`. `rows` is the exact number of rows, None if it
    varies. `ordered` is false of a set whose order says nothing: its fingerprint is that of its rows in any order. For
    problems that are not on the hub, use `from_file` or `from_rows`.

    Examples:
        >>> DatasetSpec("org/sums", "0123abc", "test", columns=("question", "answer"), files=("sums.jsonl",)).gated
        False
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
    ordered: bool = True

    @classmethod
    def from_file(cls, path: "str | Path", columns: Sequence[str] = (), rows: int | None = None) -> "DatasetSpec":
        """A data set in a local jsonl, json, csv or parquet file. Every row has to have the `columns`.

        A relative path is looked for in the folder of the file that defines the task, then in the current folder.

        Examples:
            >>> DatasetSpec.from_file("problems.jsonl", ["question", "answer"]).hub_id
            'file:problems.jsonl'
        """
        name = str(path).replace("\\", "/").rpartition("/")[2]
        return cls(f"file:{name}", "", "", tuple(columns), (), rows=rows, path=str(path))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> "DatasetSpec":
        """A data set given as rows in Python.

        Examples:
            >>> DatasetSpec.from_rows([{"question": "6 * 7?", "answer": "42"}]).rows
            1
        """
        return cls("rows in Python", "", "", tuple(columns), (), rows=len(rows), own_rows=tuple(rows))


class Task(ABC):
    r"""One benchmark.

    Raise `version` with any change that can change a score. `n` is the default number of completions per problem.
    `prompt` is the user message, with `{problem}` in place of the problem's text and `{letters}` in place of the
    letters of its choices; a protocol may replace it for a `kind`. The kind "instructions" is for problems without a
    right answer, whose responses are checked by what they were told to do. `targets_sha256` is `fingerprint_targets` of
    the right answers; a run stops if they differ. `score_timeout` is the time limit in seconds for scoring one
    completion. `headlines` names the metrics that the leaderboard shows. `unsafe_options` names options that are never
    taken over from a recorded run.

    To have options, make the subclass a dataclass: each field is an option (`evalkit run -T window=…`).

    Examples:
        >>> from evalkit import Problem, Score, Task
        >>> from evalkit.grading import grade_math
        >>> class Sums(Task):
        ...     name, version, title = "sums", 1, "Sums"
        ...     def load(self, source):
        ...         return [Problem("1", "What is 1 + 1?", "2")]
        ...     def score(self, problem, response):
        ...         return grade_math(response, problem.target)
        >>> task = Sums()
        >>> task.score(Problem("1", "What is 1 + 1?", "2"), r"It is \boxed{2}.").status
        'correct'
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
        """The problems in a fixed order. Raises EvalkitError if the data is missing or invalid."""

    @abstractmethod
    def score(self, problem: Problem, response: str) -> Score:
        """Grade a response, without its thinking. The score may depend only on the arguments."""

    def require_machine(self) -> None:  # noqa: B027  # most tasks can be graded anywhere
        """Raises EvalkitError where this machine cannot grade, such as one that cannot isolate programs."""

    def with_data(self, problem: Problem) -> Problem:
        """The problem with all that `score` needs, for a machine that does not have the data set's files."""
        return problem

    def messages(self, problem: Problem) -> list[Message]:
        """The chat messages of a problem, without the system message, which is set by the protocol."""
        prompt = self.prompt.replace("{letters}", choice_letters(problem))
        return [{"role": "user", "content": prompt.replace("{problem}", problem.prompt)}]

    def gold_response(self, problem: Problem) -> str | None:
        """A correct response, for `evalkit tasks check`. None if there is none, as for programs."""
        if self.kind == "instructions":
            return None
        return f"So the final answer is \\boxed{{{problem.target}}}."

    def same_answer(self, first: str, second: str) -> bool:
        """Whether two extracted answers count as the same vote in a majority (cons@k)."""
        return first.strip() == second.strip()

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        """Metrics in addition to pass@1, pass@k and cons@k. `scores` maps a problem id to its scores."""
        return []


def normalised(name: str) -> str:
    """A name without case, hyphens and underscores, as task names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CHOICE_LINE = re.compile(r"^\s*\(?([A-Z])[).:]\s", re.MULTILINE)


def choice_letters(problem: Problem) -> str:
    """The letters of a problem's choices: as many as `metadata["choices"]`, else those that open lines of its text.

    `ABCD` where neither tells.

    Examples:
        >>> choice_letters(Problem("1", "Which is prime?", "C", {"choices": ["4", "6", "7"]}))
        'ABC'
        >>> choice_letters(Problem("1", "Which?\\nA) 4\\nB) 7", "B"))
        'AB'
    """
    choices = problem.metadata.get("choices")
    if isinstance(choices, Mapping) and all(isinstance(key, str) and len(key) == 1 for key in choices):
        return "".join(choices)
    if isinstance(choices, list | tuple | Mapping) and 2 <= len(choices) <= len(ascii_uppercase):
        return ascii_uppercase[: len(choices)]
    found = "".join(_CHOICE_LINE.findall(problem.prompt))
    count = next((i for i in range(len(found), 1, -1) if found.endswith(ascii_uppercase[:i])), 0)
    return ascii_uppercase[:count] if count else "ABCD"


def fingerprint_targets(problems: Sequence[Problem]) -> str:
    """The sha256 (64 hex digits) of the sorted right answers, so that the order of the problems does not matter."""
    return hashlib.sha256("\x1f".join(sorted(p.target for p in problems)).encode("utf-8", "surrogatepass")).hexdigest()
