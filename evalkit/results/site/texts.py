"""Reads the completions into the site's pieces, in several processes where there is much to read.

Which lines make a piece is decided before, so that the pieces are the same however many processes write them.
"""

import base64
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from evalkit.results.site.marks import Marks, mark
from evalkit.results.site.pieces import encoded, grams_of, write_piece
from evalkit.results.site.redaction import Redaction
from evalkit.store.lines import LinePart, damaged, line_parts, read_checked
from evalkit.types import Completion, SampleKey
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError, processors

PIECE_BYTES = 1_000_000
PIECE_SAMPLES = 2_000
FINISHES = ("stop", "length", "repetition", "error", "unknown")
_WORTH_PROCESSES = 20_000_000  # bytes to read: for fewer, starting processes costs more than it saves
_MOST_PROCESSES = 16
_TIMEOUT = 600.0  # seconds for one piece
_COMPLETION: TypeAdapter[Completion] = TypeAdapter(Completion)


@dataclass(slots=True)
class Source:
    """One task of one run, as far as its pieces tell of it.

    `ids` are the problems, `targets` their right answers where these are short texts. `prompts` is None where nothing
    is redacted; else quotations of them are masked, and the texts of problems without a prompt are left out. `allowed`
    holds (problem, sample index) of what is exported, None for all.
    """

    feed: int
    path: str
    ids: list[str]
    targets: dict[str, str]
    prompts: dict[str, str] | None
    allowed: list[tuple[str, int]] | None
    _places: dict[str, int] = field(default_factory=dict)
    _secrets: dict[str, Redaction] = field(default_factory=dict)
    _allowed: frozenset[tuple[str, int]] = frozenset()

    def __post_init__(self) -> None:
        self._places = {problem_id: place for place, problem_id in enumerate(self.ids)}
        self._allowed = frozenset((problem_id, index) for problem_id, index in self.allowed or ())

    def content(self) -> list[Any]:
        """What makes the same source in another process, as JSON."""
        return [self.feed, self.path, self.ids, self.targets, self.prompts, self.allowed]

    def place(self, problem_id: str) -> int:
        """The position of a problem, -1 where it is none of the task's."""
        return self._places.get(problem_id, -1)

    def exports(self, key: SampleKey) -> bool:
        """Whether the text of a sample is in the site."""
        withheld = self.prompts is not None and key.problem_id not in self.prompts
        return not withheld and (self.allowed is None or (key.problem_id, key.sample_index) in self._allowed)

    def masked(self, problem_id: str, text: str) -> str:
        """`text` without what it quotes of the problem, where that is redacted."""
        if self.prompts is None or problem_id not in self.prompts:
            return text
        if problem_id not in self._secrets:
            self._secrets[problem_id] = Redaction([self.prompts[problem_id]])
        return self._secrets[problem_id].masked(text)


class ReadSample(NamedTuple):
    """What the lists need of one completion. `row` is its place in its piece, -1 where its text is left out."""

    feed: int
    problem_id: str
    sample_index: int
    row: int
    characters: int
    tokens: int | None
    finish: int
    stated: int | None
    answer_stated: bool
    loops: bool
    failed: bool


Parts = list[tuple[int, LinePart]]
"""What makes a piece: parts of sources, by feed."""
Job = tuple[int, Parts]
"""A piece's number and its parts."""


class Piece(NamedTuple):
    """One piece that was written; `grams` are those of its texts, None where it has no text and is not there."""

    number: int
    parts: Parts
    samples: list[ReadSample]
    grams: npt.NDArray[np.uint8] | None


def jobs(sources: Sequence[tuple[Source, int, int]], first: int) -> Iterator[Job]:
    """The pieces to write, numbered from `first`; `sources` come with the bytes and lines of each that were read."""
    parts: Parts = []
    for source, start, lines in sources:
        for part in line_parts(Path(source.path), PIECE_BYTES, PIECE_SAMPLES, start, lines):
            parts.append((source.feed, part))
            if sum(p.length for _, p in parts) >= PIECE_BYTES or sum(p.lines for _, p in parts) >= PIECE_SAMPLES:
                yield first, parts
                first, parts = first + 1, []
    if parts:
        yield first, parts


def write_texts(
    folder: Path, sources: Sequence[tuple[Source, int, int]], first: int, processes: int | None = None
) -> Iterator[Piece]:
    """Write the pieces of what the sources have behind the bytes and lines that were read; yield them in order.

    They are written in as many processes as there are processors where there is much to read. Raises EvalkitError where
    a line is damaged.
    """
    by_feed = {source.feed: source for source, _, _ in sources}
    if processes is None:
        size = sum(max(os.path.getsize(s.path) - start, 0) for s, start, _ in sources if os.path.exists(s.path))
        processes = min(processors(), _MOST_PROCESSES) if size >= _WORTH_PROCESSES else 1
    if processes < 2:
        for job in jobs(sources, first):
            yield _write(folder, by_feed, job)
        return
    pool = WorkerPool(
        "evalkit.results.site.texts:write_in_worker",
        workers=processes,
        initializer="evalkit.results.site.texts:prepare_worker",
        setup={"folder": str(folder), "sources": [source.content() for source, _, _ in sources]},
    )

    def write(job: Job) -> Piece:
        try:
            told = pool.call(job, _TIMEOUT)
        except (WorkerCallError, WorkerDiedError, WorkerTimeoutError):
            return _write(folder, by_feed, job)  # raises here what it raised there
        return _piece(job, told)

    pending: deque[Future[Piece]] = deque()
    with closing(pool), ThreadPoolExecutor(processes) as threads:
        pool.start(processes)
        for job in jobs(sources, first):
            pending.append(threads.submit(write, job))
            if len(pending) > 2 * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _piece(job: Job, told: dict[str, Any]) -> Piece:
    grams = None if told["grams"] is None else np.frombuffer(base64.b64decode(told["grams"]), dtype=np.uint8)
    return Piece(*job, [ReadSample(*sample) for sample in told["samples"]], grams)


_worker: dict[str, Any] = {}


def prepare_worker(setup: dict[str, Any]) -> None:
    """Take the sources that this process writes pieces of."""
    sources = (Source(*content) for content in setup["sources"])
    _worker.update(folder=Path(setup["folder"]), sources={source.feed: source for source in sources})


def write_in_worker(job: list[Any]) -> dict[str, Any]:
    """Write one piece in a worker process; returns a `Piece` as JSON."""
    number, parts = job
    read = [(feed, LinePart(*part)) for feed, part in parts]
    piece = _write(_worker["folder"], _worker["sources"], (number, read))
    grams = None if piece.grams is None else base64.b64encode(piece.grams.tobytes()).decode()
    return {"samples": piece.samples, "grams": grams}


def _write(folder: Path, sources: Mapping[int, Source], job: Job) -> Piece:
    number, parts = job
    samples: list[ReadSample] = []
    records: list[dict[str, Any]] = []
    for feed, part in parts:
        source = sources[feed]
        path = Path(source.path)
        for line_number, line in read_checked(path, part=part):
            completion = parse_completion(line, path, line_number)
            samples.append(_read(completion, source, records))
    if not records:
        return Piece(number, parts, samples, None)
    write_piece(folder, f"p{number}", encoded(records))
    return Piece(number, parts, samples, grams_of([record["text"] for record in records]))


def _read(completion: Completion, source: Source, records: list[dict[str, Any]]) -> ReadSample:
    """Tell of one completion, and add its record if its text is exported."""
    text = completion.prefix + completion.text
    exported = source.exports(completion.key)
    if exported:
        text = source.masked(completion.problem_id, text)
    found = mark(text, source.targets.get(completion.problem_id))
    if exported:
        records.append(_record(completion, source, text, found))
    return ReadSample(
        source.feed,
        completion.problem_id,
        completion.sample_index,
        len(records) - 1 if exported else -1,
        len(text),
        completion.completion_tokens,
        FINISHES.index(completion.finish_reason),
        found.stated,
        found.answer_stated,
        bool(found.loops) or completion.finish_reason == "repetition",
        completion.error is not None,
    )


def _record(completion: Completion, source: Source, text: str, found: Marks) -> dict[str, Any]:
    return {
        "f": source.feed,
        "p": source.place(completion.problem_id),
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


def parse_completion(line: bytes, path: Path, number: int) -> Completion:
    """One line of completions.jsonl. Raises DamagedError where it is damaged."""
    try:
        try:
            return _COMPLETION.validate_json(line)
        except ValidationError:
            return _COMPLETION.validate_python(json.loads(line))  # reads lone surrogates
    except (ValidationError, ValueError) as error:
        raise damaged(path, number, str(error).splitlines()[0]) from error
