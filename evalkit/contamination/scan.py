"""Goes through training sets for benchmark problems: streamed, in bounded memory, resumable after a kill."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.contamination.index import Index, Likeness
from evalkit.contamination.reading import SetFile, texts
from evalkit.contamination.report import BEST_KEPT, Match, better
from evalkit.contamination.tokens import Positions, Tokens, grams, tokenize
from evalkit.errors import EvalkitError
from evalkit.store.lines import LineWriter, read_checked

BATCH = 1 << 20  # characters
_BLOCK = 128  # tokens: a problem is looked for in two neighbouring blocks of a long text
_DENSE = 1 << 23
_LEAST = 12  # characters of a text that is looked at; fewer where a problem has fewer


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a text stands: the number of the set's file, of the record, and the field."""

    file: int
    record: int
    field: str


@dataclass(slots=True)
class Progress:
    """What was read so far, by file."""

    records: list[int]
    characters: list[int]

    @property
    def total(self) -> int:
        return sum(self.characters)


@dataclass(slots=True)
class Found:
    """The matches of every problem, the best first, and the number of records that match it."""

    best: dict[int, list[Match]] = field(default_factory=dict)
    records: Counter[int] = field(default_factory=Counter)

    def add(self, problem: int, match: Match) -> None:
        self.records[problem] += 1
        kept = self.best.setdefault(problem, [])
        kept.append(match)
        kept.sort(key=better)
        del kept[BEST_KEPT:]


class Scan:
    """One pass over training sets.

    After each batch a line is appended to `partial`; a scan with the same `identity` goes on after the last one.
    """

    def __init__(self, index: Index, files: Sequence[SetFile], partial: Path | None, identity: dict[str, Any]) -> None:
        self.index, self.files, self.found = index, files, Found()
        self.progress = Progress([0] * len(files), [0] * len(files))
        self._writer: LineWriter | None = None
        self.resumed = False
        if partial is not None:
            self.resumed = self._take_up(partial, identity)
            self._writer = LineWriter(partial)
            if not self.resumed:
                self._writer.append({"identity": identity})

    def _take_up(self, partial: Path, identity: dict[str, Any]) -> bool:
        lines = [json.loads(line) for _, line in read_checked(partial)]
        if not lines or lines[0].get("identity") != json.loads(json.dumps(identity)):
            partial.unlink(missing_ok=True)
            return False
        for line in lines[1:]:
            self.progress = Progress(line["records"], line["characters"])
            for problem, match in line["matches"]:
                self.found.add(problem, Match(**match))
        return True

    def run(self, tell: Callable[[Progress], None] | None = None) -> Found:
        """Read everything that has not been read. Raises EvalkitError where a set is damaged."""
        told = time.monotonic()
        for batch, places in self._batches():
            matches = list(self._matches(batch, places))
            for problem, match in matches:
                self.found.add(problem, match)
            if self._writer is not None:
                own = [[problem, asdict(match)] for problem, match in matches]
                self._writer.append({
                    "records": self.progress.records, "characters": self.progress.characters, "matches": own,
                })  # fmt: skip
            if tell is not None and time.monotonic() - told > 5:
                told = time.monotonic()
                tell(self.progress)
        if self._writer is not None:
            self._writer.close()
        if not any(self.progress.records):
            raise EvalkitError("The sets hold no record.", "give files with at least one example.")
        return self.found

    def _batches(self) -> Iterator[tuple[list[str], list[_Place]]]:
        batch: list[str] = []
        places: list[_Place] = []
        held, least = 0, min(_LEAST, self.index.least)
        for number, file in enumerate(self.files):
            for record, value in file.records(self.progress.records[number]):
                for name, text in texts(value):
                    self.progress.characters[number] += len(text)
                    if len(text) >= least:
                        batch.append(text)
                        places.append(_Place(number, record, name))
                        held += len(text)
                self.progress.records[number] = record
                if held >= BATCH:
                    yield batch, places
                    batch, places, held = [], [], 0
        if batch or not self.resumed:
            yield batch, places

    def _matches(self, batch: Sequence[str], places: Sequence[_Place]) -> Iterator[tuple[int, Match]]:
        """The problems of one batch, at most one match for each record."""
        best: dict[tuple[int, int, int], Match] = {}
        if not batch:
            return
        found = tokenize(batch)
        whole = found.firsts.tolist()
        tiny = ((text, problem, whole[text], whole[text + 1] - 1) for text, problem in self.index.tiny(batch, found))
        for text, problem, first, last in chain(tiny, self._candidates(found)):
            likeness = self.index.place(problem, found, first, last)
            if likeness.kind is None:
                continue
            place = places[text]
            match = self._match(problem, place, likeness, found, first)
            key = (problem, place.file, place.record)
            if key not in best or better(match) < better(best[key]):
                best[key] = match
        for (problem, _, _), match in best.items():
            yield problem, match

    def _candidates(self, found: Tokens) -> Iterator[tuple[int, int, int, int]]:
        """(text, problem, first token, token after the last) where much of a problem may stand."""
        at, problem, triple = self.index.hits(grams(found.masked))
        if not len(at):
            return
        problems = len(self.index.items)
        text = found.text_of(at)
        bases = np.concatenate([[0], np.cumsum(np.diff(found.firsts) // _BLOCK + 1)])
        block = bases[text] + (at - found.firsts[text]) // _BLOCK
        earlier = block > bases[text]
        windows = np.concatenate([block, block[earlier] - 1])
        problem = np.concatenate([problem, problem[earlier]])
        triple = np.concatenate([triple, triple[earlier]])
        for key in _much_shared(self.index, windows * problems + problem, triple).tolist():
            window, chosen = divmod(key, problems)
            of_text = int(np.searchsorted(bases, window, side="right") - 1)
            start, end = int(found.firsts[of_text]), int(found.firsts[of_text + 1]) - 1
            first = start + (window - int(bases[of_text])) * _BLOCK
            more = max(int(self.index.lengths[chosen]) - _BLOCK, 0)  # of a problem that is longer than a block
            yield of_text, chosen, max(first - more, start), min(first + 2 * _BLOCK + more, end)

    def _match(self, problem: int, place: _Place, likeness: Likeness, found: Tokens, first: int) -> Match:
        item = self.index.items[problem]
        start = int(found.starts[first + likeness.start])
        end = int(found.ends[first + max(likeness.end, likeness.start + 1) - 1])
        assert likeness.kind is not None
        return Match(
            kind=likeness.kind,
            coverage=round(likeness.coverage, 4),
            masked_coverage=round(likeness.masked_coverage, 4),
            jaccard=round(likeness.jaccard, 4),
            set=self.files[place.file].name,
            record=place.record,
            field=place.field,
            text=None if item.secret else found.buffer[start:end].decode("utf-8", "replace"),
        )


def _much_shared(index: Index, keys: Positions, triple: Positions) -> Positions:
    """The keys (window * problems + problem) whose triples have the weight that a match needs.

    A problem of up to a block lies in one of the windows; of a longer one at least a block does.
    """
    problems = len(index.items)
    needed = index.needed * np.minimum(1.0, _BLOCK / np.maximum(index.lengths, 1))
    weights = index.known_weights[triple]
    stays = _sums(keys, weights) >= needed[keys % problems]  # repeated triples count here: what falls short is out
    keys, triple, weights = keys[stays], triple[stays], weights[stays]
    order = np.lexsort((triple, keys))
    keys, triple, weights = keys[order], triple[order], weights[order]
    fresh = np.ones(len(keys), dtype=bool)
    fresh[1:] = (keys[1:] != keys[:-1]) | (triple[1:] != triple[:-1])
    keys, weights = keys[fresh], weights[fresh]
    return np.unique(keys[_sums(keys, weights) >= needed[keys % problems]])


def _sums(keys: Positions, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each key the sum of the weights of all that are equal to it."""
    if not len(keys):
        return weights
    if int(keys.max()) < _DENSE:
        return np.asarray(np.bincount(keys, weights)[keys], dtype=np.float64)
    _, inverse = np.unique(keys, return_inverse=True)
    return np.asarray(np.bincount(inverse, weights)[inverse])
