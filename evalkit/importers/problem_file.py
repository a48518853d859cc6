"""A file of problems as a task, without code: `evalkit run MODEL --problems FILE --kind math`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.files import Row
from evalkit.benchmark.registry import GROUP, did_you_mean, plugins
from evalkit.benchmark.task import DatasetSpec, Task
from evalkit.errors import EvalkitError
from evalkit.types import Message, Problem, Score

PROBLEM_FILE = f"{__name__}:ProblemFile"
_LETTERS = "ABCDEFGHIJ"
_USUAL: Mapping[str, tuple[str, ...]] = {
    "problem": ("problem", "question", "prompt"),
    "gold": ("answer", "gold", "target", "expected_answer", "solution"),
    "problem_id": ("id", "problem_id", "unique_id", "question_id"),
    "choices": ("choices", "options"),
}
FIELDS = tuple(_USUAL)


@dataclass
class ProblemFile(Task):
    """The problems of a jsonl, json, csv or parquet file.

    `of_kind` says how answers are graded: by value (`math`) or by letter (`choice`). `fields` says which field is what,
    as `problem=question,gold=answer,problem_id=id,choices=options`, dotted where they are nested; what it leaves out
    is looked for under its usual names. Of a gold that ends in `#### N` the N is the answer. A choice's gold is its
    letter, its number from 0, or its text.

    Examples:
        >>> ProblemFile("train.jsonl", "math", "problem=question,gold=answer").name
        'train'
    """

    file: str = ""
    of_kind: Literal["math", "choice"] = "math"
    fields: str = ""
    name = "problems"
    version = 1
    title = "problems"
    n = 1

    def __post_init__(self) -> None:
        if self.file:
            self.file = str(Path(self.file).resolve())  # a run is read from other folders
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(self.file).name.partition(".")[0]).strip("_") or "problems"
        own: Any = self  # the names of a class, here of one file
        own.name = f"{name}_problems" if name in plugins(GROUP) else name  # never a benchmark's
        own.title, own.kind = Path(self.file).name, self.of_kind
        own.dataset = DatasetSpec.from_file(self.file)
        self._fields = parse_fields(self.fields)

    def load(self, source: DataSource) -> Sequence[Problem]:
        assert self.dataset is not None
        rows = source.rows(self.dataset)
        for path in self._fields.values():
            if all(_at(row, path) is None for row in rows):
                names = list(map(str, rows[0]))
                raise EvalkitError(
                    f"No row of {self.file} has the field {path!r} of --fields.{did_you_mean(path, names)}",
                    f"it has: {', '.join(names)}.",
                )
        fields = {field: self._fields.get(field) or _usual(field, rows[0]) for field in FIELDS}
        for field in ("problem", "gold", *(["choices"] if self.of_kind == "choice" else [])):
            if fields[field] is None:
                raise EvalkitError(
                    f"No field of {self.file} is known to hold the {field}: it has {', '.join(map(str, rows[0]))}.",
                    f"say which one: --fields {field}=FIELD.",
                )
        return [self._problem(row, number, fields) for number, row in enumerate(rows, start=1)]

    def _problem(self, row: Row, number: int, fields: Mapping[str, str | None]) -> Problem:
        found = {field: _at(row, path) for field, path in fields.items()}
        text, gold = found["problem"], found["gold"]
        if not isinstance(text, str) or not text.strip() or gold is None or not str(gold).strip():
            missing = "gold" if isinstance(text, str) and text.strip() else "problem"
            raise EvalkitError(f"Row {number} of {self.file} has no {missing}.", "complete the file, or leave it out.")
        problem_id = str(number if found["problem_id"] is None else found["problem_id"])
        if self.of_kind == "math":
            answer = str(gold)
            return Problem(problem_id, text, (answer.rpartition("####")[2] if "####" in answer else answer).strip())
        choices = found["choices"]
        if not isinstance(choices, Sequence) or isinstance(choices, str) or not 2 <= len(choices) <= len(_LETTERS):
            raise EvalkitError(
                f"Row {number} of {self.file} has no list of 2 to 10 choices.", "--fields choices=FIELD."
            )
        options = [str(choice).strip() for choice in choices]
        lines = "\n".join(f"{letter}) {option}" for letter, option in zip(_LETTERS, options, strict=False))
        about = {"choices": options, "question": text}
        return Problem(problem_id, f"{text.strip()}\n\n{lines}", self._letter(gold, options, number), about)

    def _letter(self, gold: object, options: Sequence[str], number: int) -> str:
        letters, told = _LETTERS[: len(options)], str(gold).strip()
        if told.upper() in letters and len(told) == 1 and not told.isdigit():
            return told.upper()
        if told in options:
            return letters[options.index(told)]
        if told.isdigit() and int(told) < len(options):
            return letters[int(told)]
        raise EvalkitError(
            f"The gold {told[:40]!r} in row {number} of {self.file} is none of its {len(options)} choices.",
            "give the letter, the number from 0 or the text of the right choice.",
        )

    def messages(self, problem: Problem) -> list[Message]:
        prompt = self.prompt
        if self.of_kind == "choice":
            letters = _LETTERS[: len(problem.metadata["choices"])]
            prompt = prompt.replace("one of ABCD", f"one of {letters}")  # the protocols' prompt is of four choices
        return [{"role": "user", "content": prompt.replace("{problem}", problem.prompt)}]

    def score(self, problem: Problem, response: str) -> Score:
        from evalkit.grading import grade_choice, grade_math

        if self.of_kind == "choice":
            return grade_choice(response, problem.target, problem.metadata["choices"])
        return grade_math(response, problem.target)

    def gold_response(self, problem: Problem) -> str:
        if self.of_kind == "choice":
            return f"Only one of them fits.\n\nAnswer: {problem.target}"
        return f"So the final answer is \\boxed{{{problem.target}}}."

    def same_answer(self, first: str, second: str) -> bool:
        from evalkit.grading import math_equal

        return math_equal(first, second) if self.of_kind == "math" else first.strip() == second.strip()


def parse_fields(text: str) -> dict[str, str]:
    """`problem=question,gold=answer` as a dictionary. Raises EvalkitError for an unknown field."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs:
            raise EvalkitError(f"{pair!r} is no part of a map.", "write problem=question,gold=answer,…")
        if ours not in FIELDS:
            raise EvalkitError(f"There is no field {ours!r} to map to.{did_you_mean(ours, FIELDS)}", ", ".join(FIELDS))
        found[ours] = theirs
    return found


def _usual(field: str, row: Row) -> str | None:
    return next((name for name in _USUAL[field] if name in row), None)


def _at(row: Any, path: str | None) -> Any:
    for part in path.split(".") if path else ():
        row = row.get(part) if isinstance(row, Mapping) else None
    return row if path else None
