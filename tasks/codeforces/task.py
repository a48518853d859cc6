"""CodeForces: whole programs for contest problems, and the rating that they would have earned."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from evalkit.benchmark.data import DataSource, LoadedData
from evalkit.benchmark.task import DatasetSpec, Task
from evalkit.errors import EvalkitError
from evalkit.types import Metric, Problem, Score, Status

from .contests import Contest, ContestSet, load_set
from .estimate import Rule, rate
from .field import TieRule
from .metrics import rating_metrics
from .percentile import Histogram, find_histogram
from .problems import problem_from_row, problem_key
from .programs import find_program, judge_program
from .table import Solve

Language = Literal["any", "cpp", "python"]

_ASK: dict[Language, str] = {
    "any": "a complete program in C++17 or Python 3, whichever suits the problem,",
    "cpp": "a complete program in C++17",
    "python": "a complete program in Python 3",
}
_PROMPT = (
    "Solve the following competitive programming problem. Write {what} that reads from standard input and writes to "
    "standard output. It has to be right on hidden tests and to meet the time and memory limits. Put the final program "
    "into one code block marked with its language.\n\n{problem}"
)


_REVISION = "fbe3f6e903ee854eec2e69e9d96d0306cde59baf"


@dataclass
class CodeForces(Task):
    """Options: `contests` (a set's name or file, or `all` that the data has), `language` (any, cpp, python), `rule` and
    `tie_rule` of the rating, `python_time` and `time_factor` (multipliers of time limits), `histogram` (a CSV file).
    """

    name: ClassVar[str] = "codeforces"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "CodeForces"
    kind: ClassVar[Literal["math", "choice", "code", "other"]] = "code"
    aliases: ClassVar[tuple[str, ...]] = ("cf",)
    n: ClassVar[int] = 8
    score_timeout: ClassVar[float] = 900.0
    headlines: ClassVar[tuple[str, ...]] = ("rating",)
    dataset: ClassVar[DatasetSpec] = DatasetSpec(
        hub_id="open-r1/codeforces",
        revision=_REVISION,
        split="train",
        columns=("contest_id", "index"),
        files=("problems.jsonl",),
    )
    test_split: ClassVar[DatasetSpec] = DatasetSpec(
        hub_id="open-r1/codeforces", revision=_REVISION, split="test", columns=("contest_id", "index"), files=()
    )

    contests: str = "div2-2024"
    language: Language = "any"
    rule: Rule = "humans"
    tie_rule: TieRule = "middle"
    python_time: float = 3.0
    time_factor: float = 1.0
    histogram: str = ""

    prompt: str = field(default=_PROMPT, init=False)
    known: int = field(default=0, init=False)
    excluded: dict[str, list[str]] = field(default_factory=dict, init=False)
    contest_set: ContestSet | None = field(default=None, init=False)
    users: Histogram | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.prompt = _PROMPT.replace("{what}", _ASK[self.language])
        for name in ("python_time", "time_factor"):
            if not 0 < getattr(self, name) < float("inf"):
                raise EvalkitError(f"{name} is {getattr(self, name)}, it has to be above 0.", "1 keeps the limits.")

    def load(self, source: DataSource) -> Sequence[Problem]:
        chosen = None if self.contests == "all" else load_set(self.contests)
        wanted = None if chosen is None else _of_contests({c.id for c in chosen.contests})
        rows = source.rows(self.dataset, wanted)
        if source.root is None or _has_test_split(source.root):
            rows = [*rows, *source.rows(self.test_split, wanted)]
        self.users = find_histogram(self.histogram or None, source.root)
        problems, self.excluded, seen = [], {}, set()
        for row in rows:
            contest, index = problem_key(row)
            if (contest, index) in seen:
                continue
            seen.add((contest, index))
            found = problem_from_row(row)
            if isinstance(found, str):
                self.excluded.setdefault(found, []).append(f"{contest}{index}")
            else:
                problems.append(found)
        if not problems:
            raise EvalkitError(
                f"The data has no problem of the contest set {self.contests}.",
                "`-T contests=all` takes every contest that the data has.",
            )
        self.known = len(problems)
        self.contest_set = chosen or _all_contests(problems)
        ids = ",".join(str(c.id) for c in self.contest_set.contests)
        source.loaded.append(
            # resuming compares the contests asked; the hash of the set with its standings is recorded beside it
            LoadedData(
                f"contest-set:{self.contest_set.name}", f"sha256:{self.contest_set.sha256}", None, len(problems), ids
            )
        )
        return problems

    def require_machine(self) -> None:
        """Raises EvalkitError if programs cannot be isolated here, or not be compiled."""
        from evalkit.sandbox import Sandbox
        from evalkit.sandbox.compiling import require_compiler
        from evalkit.sandbox.languages import LANGUAGES

        with Sandbox() as sandbox:
            sandbox.layers()
        if self.language != "python":
            require_compiler(LANGUAGES["c++17"])

    def score(self, problem: Problem, response: str) -> Score:
        program = find_program(response, None if self.language == "any" else self.language)
        if program is None:
            return Score(0.0, "no_answer", explanation="no closed code block with a program")
        tests = [(str(i), str(o)) for i, o in json.loads(problem.target)]
        judged = judge_program(problem, tests, program, self.time_factor, self.python_time)
        said = f"{judged.verdict}: {judged.explanation}" if judged.explanation else judged.verdict
        status: Status = "error" if judged.verdict == "sandbox error" else "correct" if judged.passed else "wrong"
        facts = {"verdict": judged.verdict, "language": program.language}
        return Score(float(status == "correct"), status, program.code, said, program.language, metadata=facts)

    def gold_response(self, problem: Problem) -> None:
        return None

    def table(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Solve]:
        """What was solved, one row for each problem; completions that the engine or the sandbox failed do not count."""
        rows = []
        for problem in problems:
            counted = [s for s in scores.get(problem.id, ()) if s.status != "error"]
            if counted:
                about: Mapping[str, Any] = problem.metadata
                results = tuple(s.status == "correct" for s in counted)
                rows.append(
                    Solve(
                        contest=about["contest"],
                        index=about["index"],
                        solved=sum(results),
                        samples=len(results),
                        rating=about["rating"],
                        points=about["points"],
                        results=results,
                    )
                )
        return rows

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        table = self.table(problems, scores)
        if not table or self.contest_set is None:
            return []
        rating = rate(table, self.contest_set, rule=self.rule, tie_rule=self.tie_rule)
        left_out = {reason: len(names) for reason, names in self.excluded.items()}
        if self.known > len(problems):
            left_out["not asked"] = self.known - len(problems)
        return rating_metrics(rating, table, self.contest_set, self.users, problems, scores, left_out, self.python_time)


def _of_contests(ids: set[int]) -> Callable[[Mapping[str, Any]], bool]:
    """Chooses the rows of these contests: the hub's set has gigabytes of tests of others."""
    return lambda row: problem_key(row)[0] in ids


def _has_test_split(root: Path) -> bool:
    folders = (root / "open-r1" / "codeforces", root / "codeforces", root / "open-r1__codeforces")
    patterns = ("test.*", "test-*", "data/test-*")
    return any(path.is_file() for folder in folders for pattern in patterns for path in folder.glob(pattern))


def _all_contests(problems: Sequence[Problem]) -> ContestSet:
    ids = dict.fromkeys(p.metadata["contest"] for p in problems)
    return ContestSet("all", tuple(Contest(i, f"contest {i}", "", "points", ()) for i in ids))
