"""The problems of the exported runs: their text as the model saw it, right answers, subjects and levels."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.results.recreate import recreate_problems, recreate_task
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pieces import batches, encoded, write_piece
from evalkit.results.site.redaction import Redaction
from evalkit.store.run import TaskRun
from evalkit.types import Problem

_SUBJECTS = ("subject", "category", "topic", "domain", "type", "source")
_LEVELS = ("level", "difficulty", "rating")
_LONGEST_TARGET = 400  # characters: longer right answers are tests or programs
_LONGEST_FACT = 200
_PIECE = 200  # problems


@dataclass(slots=True)
class ProblemSet:
    """The problems of one task on one data set, which several runs may share.

    `ids` grows with the runs that are added. `missing` says why the texts are not at hand, empty where they are.
    `redacted`: the texts are left out. `places` maps an id to its position in `ids`.
    """

    name: str
    title: str
    kind: str = "other"
    gated: bool = False
    redacted: bool = False
    missing: str = ""
    ids: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    task: Task | None = None
    _secrets: dict[str, Redaction] = field(default_factory=dict)

    def place(self, problem_id: str) -> int:
        """The position of a problem, which is added where it is new."""
        if problem_id not in self.places:
            self.places[problem_id] = len(self.ids)
            self.ids.append(problem_id)
        return self.places[problem_id]

    def target(self, problem_id: str) -> str | None:
        """The right answer, None where it is not known or is no short text, such as tests."""
        problem = self.problems.get(problem_id)
        if problem is None or self.kind == "code" or len(problem.target) > _LONGEST_TARGET:
            return None
        return problem.target

    def secret(self, problem_id: str) -> Redaction | None:
        """What is masked in this problem's samples, None where nothing is. A set without texts masks nothing."""
        problem = self.problems.get(problem_id)
        if not self.redacted or problem is None:
            return None
        if problem_id not in self._secrets:
            self._secrets[problem_id] = Redaction([problem.prompt])
        return self._secrets[problem_id]

    def facts(self, problem_id: str) -> dict[str, str | int | float]:
        """The short facts of a problem, such as its subject and level."""
        problem = self.problems.get(problem_id)
        metadata = problem.metadata if problem is not None else {}
        return {
            str(name): value
            for name, value in metadata.items()
            if isinstance(value, str | int | float) and len(str(value)) <= _LONGEST_FACT
            and name not in ("file", "offset", "length")
        }  # fmt: skip

    def summary(self, number: int, pieces: int) -> dict[str, Any]:
        """The set as the index tells it."""
        facts = [self.facts(problem_id) for problem_id in self.ids]
        return {
            "key": number,
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "gated": self.gated,
            "redacted": self.redacted,
            "missing": self.missing,
            "ids": self.ids,
            "gold": [self.target(problem_id) for problem_id in self.ids],
            "subjects": _column(facts, _SUBJECTS),
            "levels": _column(facts, _LEVELS),
            "pieces": pieces,
            "pieceSize": _PIECE,
        }


def _column(facts: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str | None] | None:
    name = next((n for n in names if any(n in f for f in facts)), None)
    return None if name is None else [str(f[name]) if name in f else None for f in facts]


class ProblemSets:
    """Every set of the exported runs, loaded once each."""

    def __init__(self, options: SiteOptions) -> None:
        self._options = options
        self.sets: list[ProblemSet] = []
        self._known: dict[str, int] = {}

    def of(self, task: TaskRun) -> int:
        """The number of the set of this task of a run."""
        spec = task.record.spec
        data = [(d.hub_id, d.fingerprint) for d in task.record.data]
        own = None if data and all(fingerprint for _, fingerprint in data) else str(task.directory.path)
        key = json.dumps([task.name, data, spec.get("options") or {}, spec.get("file") and own], sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.sets)
            self.sets.append(self._load(task))
        found = self.sets[self._known[key]]
        for problem_id in task.record.problem_ids:
            found.place(problem_id)
        return self._known[key]

    def _load(self, task: TaskRun) -> ProblemSet:
        found = ProblemSet(task.name, task.record.title)
        try:
            found.task = recreate_task(task)
            found.kind = found.task.kind
            if prompt := task.record.identity.get("prompt"):
                found.task.prompt = str(prompt)
            dataset = found.task.dataset
            found.gated = dataset is not None and dataset.gated
            problems = recreate_problems(task, found.task, self._options.data)
            found.problems = {problem.id: problem for problem in problems}
        except EvalkitError as error:
            found.missing = f"{error.message} {error.hint}"
        except OSError as error:
            found.missing = f"The data set cannot be read: {error}."
        wanted = self._options.redact_prompts
        found.redacted = found.gated if wanted is None else wanted
        return found

    def write(self, folder: Path) -> list[dict[str, Any]]:
        """Write the texts of every set and return their summaries."""
        summaries = []
        for number, one in enumerate(self.sets):
            parts = list(batches(len(one.ids), _PIECE))
            for part, places in enumerate(parts):
                records = [_record(one, one.ids[i]) for i in places]
                write_piece(folder, f"q{number}-{part}", encoded(records))
            summaries.append(one.summary(number, len(parts)))
        return summaries


def _record(one: ProblemSet, problem_id: str) -> dict[str, Any]:
    problem = one.problems.get(problem_id)
    if problem is None:
        return {}
    told: dict[str, Any] = {"target": one.target(problem_id), "facts": one.facts(problem_id)}
    if not one.redacted:
        told["prompt"] = problem.prompt
        if one.task is not None and type(one.task).messages is not Task.messages:
            told["messages"] = list(one.task.messages(problem))
    return told


def prompt_messages(task: TaskRun, one: ProblemSet) -> Iterator[dict[str, str]]:
    """How this run asked: the system message and the user's with `{problem}` in its place.

    A task with messages of its own tells them with each problem.
    """
    system = task.run.protocol.get("system_prompt")
    if system:
        yield {"role": "system", "content": str(system)}
    prompt = task.record.identity.get("prompt")
    if prompt and (one.task is None or type(one.task).messages is Task.messages):
        yield {"role": "user", "content": str(prompt)}
