"""Feeds recorded completions through the same path as an engine's: regrade anybody's outputs, test without a model."""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from evalkit.benchmark.matching import TextIndex, words
from evalkit.engines.base import Engine
from evalkit.engines.options import ReplayOptions
from evalkit.errors import EvalkitError
from evalkit.files import open_file, parse_json, text_lines
from evalkit.importers.mapped import mapped_logs, parse_map
from evalkit.types import Completion, FinishReason, Request, SampleKey

_TEXT_FIELDS = ("text", "response", "completion", "output", "generation", "code")
_QUESTION_FIELDS = ("question", "problem", "prompt")

_MOST = 1 << 53  # of a count

logger = logging.getLogger(__name__)


class ReplayEngine(Engine):
    """Recorded completions, from JSON lines (also .gz), matched by key or by the question's text.

    A line has the completion under one of `text`, `response`, `completion`, `output`, `generation`, `code` (a string,
    or a list with one string a sample), and either `problem_id` (with `sample_index`, and `task` where a file holds
    several) or the question's text under `question`, `problem` or `prompt`. A run's completions.jsonl is such a file.
    Of the rest `finish_reason` (default "stop"), `prefix`, `prompt_tokens` and `completion_tokens` are used. The option
    `map` names the fields of rows that have others, in JSON lines, CSV or parquet.
    """

    name = "replay"
    options_class = ReplayOptions
    honours_seeds = False

    def __init__(self, model: str, options: ReplayOptions) -> None:
        if not options.recorded:
            raise EvalkitError("The replay engine has nothing to replay.", "give a file with --recorded FILE.")
        self._model = model
        self._digest = hashlib.sha256()
        self._by_key: dict[tuple[str | None, str, int], dict[str, Any]] = {}
        self._by_question: dict[str, list[dict[str, Any]]] = {}
        self._index: TextIndex | None = None
        self._told: set[str] = set()
        self._files = [Path(name) for name in options.recorded]
        for name in options.recorded:
            if options.map:
                self._read_mapped(name, options.map)
            else:
                self._read(Path(name))

    def _read(self, path: Path) -> None:
        try:
            with open_file(path) as stream:
                while block := stream.read(1 << 20):
                    self._digest.update(block)
            for number, line in text_lines(path):
                self._add_line(line, f"Line {number} of {path}")
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise EvalkitError(
                f"{path} cannot be read: {said}.", "give a file of JSON lines, or such a file .gz."
            ) from error

    def _add_line(self, line: str, where: str) -> None:
        try:
            self._add(parse_json(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise EvalkitError(
                f"{where} is no recorded completion: {error}.",
                f"it has to have problem_id or a question, and one of {', '.join(_TEXT_FIELDS)}.",
            ) from error

    def _add(self, record: dict[str, Any]) -> None:
        field = next((f for f in _TEXT_FIELDS if f in record), None)
        if field is None:
            raise KeyError("it has no text")
        texts = record[field] if isinstance(record[field], list) else [record[field]]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"its {field} is not text")
        samples = [_checked({**record, "text": text}) for text in texts]
        if "problem_id" in record:
            first = _count("sample_index", record.get("sample_index", 0)) or 0
            for offset, sample in enumerate(samples):
                key = (record.get("task"), str(record["problem_id"]), first + offset)
                if key in self._by_key:
                    raise ValueError(f"sample {key[2]} of problem {key[1]} is there twice")
                self._by_key[key] = sample
        else:
            question = next((record[f] for f in _QUESTION_FIELDS if f in record), None)
            if not isinstance(question, str) or not question.strip():
                raise KeyError("it has no problem_id and no question")
            self._by_question.setdefault(" ".join(words(question)), []).extend(samples)

    def _read_mapped(self, name: str, fields: str) -> None:
        """Rows of any field names, as `evalkit import --map` reads them."""
        known = parse_map(fields)
        for log in mapped_logs(name, known).logs:
            for sample in log.samples():
                identity = f"{sample.problem_id}\x1f{sample.sample_index}\x1f{sample.response}"
                self._digest.update(identity.encode("utf-8", "surrogatepass"))
                record = {
                    "text": sample.response,
                    "finish_reason": sample.finish_reason or "unknown",
                    "prompt_tokens": sample.prompt_tokens,
                    "completion_tokens": sample.completion_tokens,
                }
                if "problem_id" in known:
                    self._by_key[None, sample.problem_id, sample.sample_index] = record
                elif question := sample.problem or sample.prompt:
                    self._by_question.setdefault(" ".join(words(question)), []).append(record)
                else:
                    raise EvalkitError(
                        f"{name} has rows without a problem.", "name problem=… or problem_id=… in the map."
                    )

    def identity(self) -> dict[str, Any]:
        return {
            "backend": self.name,
            "model": os.path.normpath(self._model),
            "recorded_sha256": self._digest.hexdigest(),
        }

    def files(self) -> list[Path]:
        return self._files

    def unanswerable(self, requests: Iterable[Request]) -> list[SampleKey]:
        return [r.key for r in requests if self._find(r.key, r.messages[-1]["content"]) is None]

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            yield self._replay(request)

    def _find(self, key: SampleKey, question: str) -> dict[str, Any] | None:
        for task in (key.task, None):
            if record := self._by_key.get((task, key.problem_id, key.sample_index)):
                return record
        if self._index is None:
            self._index = TextIndex((text, text) for text in self._by_question)
        found = self._index.find(question)
        if found is None:
            return None
        if found.share < 1 and found.key not in self._told:
            self._told.add(found.key)
            logger.warning("taken for the same question (%.0f%% of its words): %s", 100 * found.share, found.key[:80])
        samples = self._by_question[found.key]
        return samples[key.sample_index] if key.sample_index < len(samples) else None

    def _replay(self, request: Request) -> Completion:
        record = self._find(request.key, request.messages[-1]["content"])
        if record is None:
            return Completion(*request.key, "", "error", None, None, 0.0, error="there is no recorded completion")
        return Completion(
            *request.key,
            text=record["text"],
            finish_reason=record.get("finish_reason") or "stop",
            prompt_tokens=record.get("prompt_tokens"),
            completion_tokens=record.get("completion_tokens"),
            seconds=0.0,
            prefix=record.get("prefix") or "",
            error=record.get("error"),
        )


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """A record whose fields can be stored and read again. Raises ValueError."""
    reason = record.get("finish_reason") or "stop"
    if reason not in get_args(FinishReason):
        raise ValueError(f"its finish_reason is {str(reason)[:40]!r}, not one of {', '.join(get_args(FinishReason))}")
    for name in ("prompt_tokens", "completion_tokens"):
        _count(name, record.get(name))
    for name in ("prefix", "error"):
        if not isinstance(record.get(name), str | None):
            raise ValueError(f"its {name} is not text")
    return record


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError(f"its {name} is {str(value)[:40] if not isinstance(value, int) else 'out of range'}")
    return value
