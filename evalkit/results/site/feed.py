"""One task of one run on its way into the site: reads what has been added, and tells of every completion."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evalkit.errors import EvalkitError
from evalkit.results.disputes import disputes
from evalkit.results.site.marks import mark
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pieces import TextPieces, batches, encoded, write_piece
from evalkit.results.site.problems import ProblemSet
from evalkit.store.lines import read_checked
from evalkit.store.opinions import adjudications, adjudications_path, opinions, opinions_path
from evalkit.store.run import TaskRun
from evalkit.types import STATUSES, Completion, SampleKey, Score

FLAGS = (
    "nothing found", "right answer missed", "right answer in thinking only", "cut", "repeats", "disputed", "decided",
)  # fmt: skip
"""Bits of a sample's flags, from the lowest: see docs/report-page.md."""
NOT_SCORED = len(STATUSES)
_FINISHES = ("stop", "length", "repetition", "error", "unknown")
_SHORT = 80  # characters of an answer that lists show
_DETAILS = 500  # samples
_COMPLETION: TypeAdapter[Completion] = TypeAdapter(Completion)


@dataclass(slots=True)
class _Sample:
    """What the lists need of one completion; its text is on disk."""

    problem: int
    index: int
    piece: int
    row: int
    characters: int
    tokens: int | None
    finish: int
    stated: int | None
    answer_stated: bool
    loops: bool


@dataclass(slots=True)
class Feed:
    """One task of one run. `samples` holds the current completion of each sample by key."""

    number: int
    task: TaskRun
    problems: ProblemSet
    options: SiteOptions
    samples: dict[SampleKey, _Sample] = field(default_factory=dict)
    lines: int = 0
    _allowed: frozenset[SampleKey] | None = None
    _state: tuple[int, ...] = ()
    _size: int = 0

    def changed(self) -> bool:
        """Whether a file of the task is not as it was when it was last read."""
        return self._state != self._files_state()

    def _files_state(self) -> tuple[int, ...]:
        files = self.task.files
        paths = (files.completions_path, files.scores_path, opinions_path(files), adjudications_path(files))
        found: list[int] = []
        for path in paths:
            status = path.stat() if path.exists() else None
            found += [status.st_size, status.st_mtime_ns] if status else [0, 0]
        return tuple(found)

    def read(self, pieces: TextPieces) -> None:
        """Add the completions that have come since the last time. A file that has shrunk is read anew."""
        self._state = self._files_state()
        if self._state[0] < self._size:
            self.samples.clear()
            self.lines = 0
        self._size = self._state[0]
        scores = self.task.files.latest_scores() if self.options.only_wrong else {}
        allowed = self._chosen(scores)
        path = self.task.files.completions_path
        for number, line in read_checked(path):
            if number > self.lines:
                self.lines = number
                self._add(_completion(line, path, number), pieces, allowed)

    def _chosen(self, scores: dict[SampleKey, Score]) -> frozenset[SampleKey] | None:
        """The samples whose texts are exported, None for all: the first sample of each problem, then the second, ..."""
        if self.options.max_samples is None and not self.options.only_wrong:
            return None
        if self._allowed is None or not self.options.max_samples:
            record = self.task.record
            keys = [SampleKey(record.name, p, i) for i in range(record.n) for p in record.problem_ids]
            if self.options.only_wrong:
                keys = [key for key in keys if key not in scores or scores[key].status != "correct"]
            self._allowed = frozenset(keys[: self.options.max_samples])
        return self._allowed

    def _add(self, completion: Completion, pieces: TextPieces, allowed: frozenset[SampleKey] | None) -> None:
        before = self.samples.get(completion.key)
        if before is not None and completion.error is not None:
            return  # an engine error does not replace what is there
        text = completion.prefix + completion.text
        found = mark(text, self.problems.target(completion.problem_id))
        piece = row = -1
        withheld = self.problems.redacted and completion.problem_id not in self.problems.problems
        if not withheld and (allowed is None or completion.key in allowed):
            secret = self.problems.secret(completion.problem_id)
            if secret is not None and (masked := secret.masked(text)) != text:
                text = masked
                found = mark(text, self.problems.target(completion.problem_id))
            piece, row = pieces.add(text, self._record(completion, text, found))
        self.samples[completion.key] = _Sample(
            self.problems.place(completion.problem_id),
            completion.sample_index,
            piece,
            row,
            len(text),
            completion.completion_tokens,
            _FINISHES.index(completion.finish_reason),
            found.stated,
            found.answer_stated,
            bool(found.loops) or completion.finish_reason == "repetition",
        )

    def _record(self, completion: Completion, text: str, found: Any) -> dict[str, Any]:
        return {
            "f": self.number,
            "p": self.problems.place(completion.problem_id),
            "i": completion.sample_index,
            "text": text,
            "prefix": len(completion.prefix) if text.startswith(completion.prefix) else 0,
            "end": found.thinking_end,
            "closed": found.closed,
            "stated": found.stated,
            "loops": found.loops,
            "prompt_tokens": completion.prompt_tokens,
            "seconds": completion.seconds,
            "error": completion.error,
        }

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the list of samples and how each was graded. Returns counts by status and flag."""
        scores = self.task.files.latest_scores()
        theirs = opinions(self.task.files)
        decided = adjudications(self.task.files)
        disputed = {one.key for one in disputes(self.task)}
        verdicts: dict[str, int] = {}
        columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, "verdict")}
        details = []
        for key, sample in sorted(self.samples.items(), key=lambda item: (item[1].problem, item[1].index)):
            score = scores.get(key)
            flags = _flags(sample, score, key in disputed, key in decided)
            verdict = str(score.metadata["verdict"]) if score and score.metadata.get("verdict") else None
            detail = self._detail(key, score, theirs.get(key), decided.get(key))
            for name, value in zip(_COLUMNS, _values(sample, score, flags, detail.get("answer")), strict=True):
                columns[name].append(value)
            columns["verdict"].append(-1 if verdict is None else verdicts.setdefault(verdict, len(verdicts)))
            details.append(detail)
        for part, rows in enumerate(batches(len(details), _DETAILS)):
            write_piece(folder, f"d{self.number}-{part}", encoded([details[i] for i in rows]))
        write_piece(folder, f"s{self.number}", encoded({**columns, "verdicts": list(verdicts)}))
        statuses = [sum(s == i for s in columns["status"]) for i in range(NOT_SCORED + 1)]
        flagged = [sum(bool(f >> bit & 1) for f in columns["flags"]) for bit in range(len(FLAGS))]
        return {"present": len(details), "statuses": statuses, "flags": flagged, "detailSize": _DETAILS}

    def _detail(self, key: SampleKey, score: Score | None, opinion: Any, decision: Any) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if score is not None:
            told = {"answer": score.answer, "why": score.explanation, "by": score.extracted_by}
            if score.metadata:
                told["facts"] = dict(score.metadata)
        if opinion is not None:
            told["opinion"] = {k: v for k, v in asdict(opinion).items() if k not in key._fields}
        if decision is not None:
            told["decision"] = {k: v for k, v in asdict(decision).items() if k not in key._fields}
        secret = self.problems.secret(key.problem_id)
        return told if secret is None else _masked(told, secret.masked)


_COLUMNS = ("problem", "index", "piece", "row", "chars", "tokens", "finish", "status", "flags", "answer", "stated")


def _masked(value: Any, masked: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: _masked(inner, masked) for name, inner in value.items()}
    return value


def _values(sample: _Sample, score: Score | None, flags: int, answer: str | None) -> tuple[Any, ...]:
    status = NOT_SCORED if score is None else STATUSES.index(score.status)
    answer = None if answer is None else answer.strip().split("\n", 1)[0][:_SHORT]
    return (
        sample.problem, sample.index, sample.piece, sample.row, sample.characters, sample.tokens, sample.finish,
        status, flags, answer, sample.stated,
    )  # fmt: skip


def _flags(sample: _Sample, score: Score | None, disputed: bool, decided: bool) -> int:
    known = score is not None and score.status != "error"
    missed = known and score is not None and score.status != "correct" and sample.stated is not None
    told = (
        known and score is not None and score.status != "correct" and score.answer is None,
        missed and sample.answer_stated,
        missed and not sample.answer_stated,
        _FINISHES[sample.finish] in ("length", "repetition"),
        sample.loops,
        disputed,
        decided,
    )
    return sum(bool(flag) << bit for bit, flag in enumerate(told))


def _completion(line: bytes, path: Path, number: int) -> Completion:
    """One line of completions.jsonl. Raises EvalkitError where it is damaged."""
    try:
        try:
            return _COMPLETION.validate_json(line)
        except ValidationError:
            return _COMPLETION.validate_python(json.loads(line))  # reads lone surrogates
    except (ValidationError, ValueError) as error:
        raise EvalkitError(
            f"Line {number} of {path} is damaged: {str(error).splitlines()[0]}.",
            "`evalkit run` with the same options generates it again once the line is deleted.",
        ) from error
