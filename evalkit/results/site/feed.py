"""One task of one run on its way into the site: reads what has been added, and tells of every completion."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.results.disputes import disputes
from evalkit.results.site.damage import state_of
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pieces import batches, encoded, write_piece
from evalkit.results.site.problems import ProblemSet
from evalkit.results.site.texts import FINISHES, ReadSample, Source
from evalkit.store.lines import LinePart
from evalkit.store.opinions import adjudications, opinions
from evalkit.store.run import TaskRun
from evalkit.types import STATUSES, SampleKey, Score

FLAGS = (
    "nothing found", "right answer missed", "right answer in thinking only", "cut", "repeats", "disputed", "decided",
)  # fmt: skip
"""Bits of a sample's flags, from the lowest: see docs/report-page.md."""
NOT_SCORED = len(STATUSES)
_SHORT = 80  # characters of an answer that lists show
_DETAILS = 500  # samples


class _Sample(NamedTuple):
    """The position of a completion's problem, the piece that its text is in, -1 where it is in none, and the rest."""

    problem: int
    piece: int
    read: ReadSample


@dataclass(slots=True)
class Feed:
    """One task of one run. `samples` holds the current completion of each sample by key."""

    number: int
    task: TaskRun
    problems: ProblemSet
    options: SiteOptions
    samples: dict[SampleKey, _Sample] = field(default_factory=dict)
    _read: int = 0
    _lines: int = 0
    _allowed: list[tuple[str, int]] | None = None
    _state: tuple[int, ...] = ()

    def changed(self) -> bool:
        """Whether a file of the task is not as it was when it was last read."""
        return self._state != state_of(self.task.files)

    def source(self) -> tuple[Source, int, int]:
        """What is to be read, and the bytes and lines of it that were. A file that has shrunk is read anew."""
        self._state = state_of(self.task.files)
        if self._state[0] < self._read:
            self.samples.clear()
            self._read = self._lines = 0
        scores = self.task.files.latest_scores() if self.options.only_wrong else {}
        problems = self.problems
        targets = {one: problems.target(one) for one in problems.problems}
        source = Source(
            self.number,
            str(self.task.files.completions_path),
            list(problems.ids),
            {one: target for one, target in targets.items() if target is not None},
            {one: problem.prompt for one, problem in problems.problems.items()} if problems.redacted else None,
            self._chosen(scores),
        )
        return source, self._read, self._lines

    def has_read(self, part: LinePart) -> None:
        """Begin behind `part` the next time."""
        self._read, self._lines = part.start + part.length, part.before + part.lines

    def _chosen(self, scores: dict[SampleKey, Score]) -> list[tuple[str, int]] | None:
        """The samples whose texts are exported, None for all: the first sample of each problem, then the second, ..."""
        if self.options.max_samples is None and not self.options.only_wrong:
            return None
        if self._allowed is None or not self.options.max_samples:
            record = self.task.record
            keys = [SampleKey(record.name, p, i) for i in range(record.n) for p in record.problem_ids]
            if self.options.only_wrong:
                keys = [key for key in keys if key not in scores or scores[key].status != "correct"]
            self._allowed = [(key.problem_id, key.sample_index) for key in keys[: self.options.max_samples]]
        return self._allowed

    def take(self, sample: ReadSample, piece: int) -> None:
        """Add one completion. One that failed does not replace what is there."""
        key = SampleKey(self.task.name, sample.problem_id, sample.sample_index)
        if not (sample.failed and key in self.samples):
            place = self.problems.place(sample.problem_id)
            self.samples[key] = _Sample(place, piece if sample.row >= 0 else -1, sample)

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the list of samples and how each was graded. Returns counts by status and flag."""
        scores = self.task.files.latest_scores()
        theirs = opinions(self.task.files)
        decided = adjudications(self.task.files)
        disputed = {one.key for one in disputes(self.task)}
        verdicts: dict[str, int] = {}
        columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, "verdict")}
        details = []
        for key, sample in sorted(self.samples.items(), key=lambda item: (item[1].problem, item[1].read.sample_index)):
            score = scores.get(key)
            flags = _flags(sample.read, score, key in disputed, key in decided)
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
    read = sample.read
    return (
        sample.problem, read.sample_index, sample.piece, read.row, read.characters, read.tokens, read.finish,
        status, flags, answer, read.stated,
    )  # fmt: skip


def _flags(sample: ReadSample, score: Score | None, disputed: bool, decided: bool) -> int:
    known = score is not None and score.status != "error"
    missed = known and score is not None and score.status != "correct" and sample.stated is not None
    told = (
        known and score is not None and score.status != "correct" and score.answer is None,
        missed and sample.answer_stated,
        missed and not sample.answer_stated,
        FINISHES[sample.finish] in ("length", "repetition"),
        sample.loops,
        disputed,
        decided,
    )
    return sum(bool(flag) << bit for bit, flag in enumerate(told))
