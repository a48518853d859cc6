"""`audit_set`: what a training set in the chat format is made of, and what is wrong with it."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.contamination.reading import set_files
from evalkit.errors import EvalkitError
from evalkit.grading import grade_choice, grade_math
from evalkit.thinking import split_thinking
from evalkit.transfer.quality import is_looping, mixes_languages, same_text

Kind = Literal["math", "choice"]
FAULTS = {
    "unreadable": "no prompt or no response was found in the record",
    "empty": "the response is empty, or there is nothing after the thinking",
    "thinking not closed": "thinking was opened and not closed",
    "no thinking": "the response has no thinking, where most have",
    "no box": "no \\boxed{} in the answer, where most have one",
    "cut": "the finish reason says so, or a box or a formula is left open at the end",
    "looping": "it repeats itself",
    "mixed languages": "letters of a second script",
    "duplicate": "the same prompt and response are there already",
    "wrong": "the answer is not the gold column's",
    "not gradable": "no answer, or no gold, in a record of a set with a gold column",
}
_MOST = 0.5  # share of records from which what they have is taken for the set's format
_NAMES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: in how many records, and the numbers of the first ones."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found. `lengths` holds the characters of every response, `prompts` the repeats of each prompt.

    `graded` is (right, graded) where a gold column was given. `histograms` has counts by name and bin.
    """

    records: int
    faults: Mapping[str, Fault]
    histograms: Mapping[str, Mapping[str, int]]
    graded: tuple[int, int] | None

    def failing(self, allowed: Mapping[str, float]) -> list[str]:
        """The faults whose share is above what is allowed (0 where nothing is said)."""
        return [
            f"{name}: {fault.count / self.records:.2%} of {self.records:,} records, {allowed.get(name, 0):.2%} allowed"
            for name, fault in self.faults.items()
            if fault.count / self.records > allowed.get(name, 0.0)
        ]


@dataclass(frozen=True, slots=True)
class _Record:
    prompt: str
    response: str
    gold: str | None
    finish_reason: str | None


def audit_set(path: str | Path | Sequence[str | Path], *, gold: str | None = None, kind: Kind = "math") -> Audit:
    """Read a training set once, streamed.

    Args:
        path: Files or folders of JSON lines, JSON lists or parquet, also gz or zst. A record has `messages` (or
            `conversations`), or `prompt` with `completion` or `response`.
        gold: The field with the right answer, dotted where it is nested. Then answers are graded.
        kind: How they are graded.

    Raises EvalkitError: no set there, damaged, no record.
    """
    sources = [path] if isinstance(path, str | Path) else list(path)
    found = _Counts(gold is not None)
    for file in set_files([str(source) for source in sources]):
        for number, value in file.records():
            found.add(f"{file.name}:{number}", _record(value, gold), kind)
    if not found.records:
        raise EvalkitError("The set holds no record.", "give a file with at least one example.")
    return found.result()


class _Counts:
    """The counts while a set is read."""

    def __init__(self, graded: bool) -> None:
        self.records, self._graded = 0, graded
        self._faults: dict[str, tuple[int, list[str]]] = {}
        self._tokens = array("q")
        self._thinking = array("q")
        self._seen: set[bytes] = set()
        self._prompts: Counter[bytes] = Counter()
        self._with = Counter[str]()
        self._right = self._told = 0

    def _fault(self, name: str, where: str) -> None:
        count, first = self._faults.get(name, (0, []))
        self._faults[name] = (count + 1, first if len(first) >= _EXAMPLES else [*first, where])

    def add(self, where: str, record: _Record | None, kind: Kind) -> None:
        self.records += 1
        if record is None:
            self._fault("unreadable", where)
            return
        parts = split_thinking(record.response)
        answer = parts.response
        self._tokens.append(len(record.response))
        self._thinking.append(len(parts.thinking) if answer is not None else len(record.response))
        thinks = answer is None or answer.strip() != record.response.strip()
        self._with["thinking"] += thinks
        if not thinks:
            self._fault("no thinking", where)
        if answer is None:
            self._fault("thinking not closed", where)
        elif not answer.strip():
            self._fault("empty", where)
        boxed = "\\boxed" in (answer or "")
        self._with["box"] += boxed
        if not boxed:
            self._fault("no box", where)
        if record.finish_reason in ("length", "max_tokens", "repetition") or _left_open(answer or ""):
            self._fault("cut", where)
        if is_looping(record.response):
            self._fault("looping", where)
        if mixes_languages(record.response):
            self._fault("mixed languages", where)
        self._repeats(where, record)
        if self._graded:
            self._grade(where, record, answer, kind)

    def _repeats(self, where: str, record: _Record) -> None:
        prompt = hashlib.blake2b(_bytes(record.prompt), digest_size=12).digest()
        whole = hashlib.blake2b(prompt + _bytes(record.response), digest_size=12).digest()
        self._prompts[prompt] += 1
        if whole in self._seen:
            self._fault("duplicate", where)
        self._seen.add(whole)

    def _grade(self, where: str, record: _Record, answer: str | None, kind: Kind) -> None:
        if not record.gold or answer is None:
            self._fault("not gradable", where)
            return
        if kind == "choice":
            score = grade_choice(answer, record.gold, list("ABCDEFGHIJ"))
        else:
            score = grade_math(answer, record.gold)
        if score.status in ("no_answer", "error"):
            self._fault("not gradable", where)
            return
        self._told += 1
        self._right += score.status == "correct"
        if score.status != "correct":
            self._fault("wrong", where)

    def result(self) -> Audit:
        read = max(len(self._tokens), 1)
        for name, kind in (("no thinking", "thinking"), ("no box", "box")):
            if self._with[kind] / read < _MOST:  # the set is not of that format
                self._faults.pop(name, None)
        histograms = {
            "characters of a response": _by_length(self._tokens),
            "characters of thinking": _by_length(self._thinking),
            "responses of a prompt": _by_number(self._prompts.values()),
        }
        faults = {name: Fault(count, tuple(first)) for name in FAULTS if (found := self._faults.get(name))
                  for count, first in [found]}  # fmt: skip
        return Audit(self.records, faults, histograms, (self._right, self._told) if self._graded else None)


def _bytes(text: str) -> bytes:
    """What two copies of a text share; JSON may hold halves of characters, which no encoding has."""
    return same_text(text).encode("utf-8", "surrogatepass")


def _left_open(answer: str) -> bool:
    """Whether an answer stops in the middle of a box or of a formula."""
    last = answer.rfind("\\boxed{")
    if last >= 0:
        inside = answer[last + 6 :]
        depth = 0
        for character in inside:
            depth += (character == "{") - (character == "}")
            if depth == 0:
                break
        if depth > 0:
            return True
    return answer.count("\\[") > answer.count("\\]") or answer.count("\\(") > answer.count("\\)")


def _by_length(lengths: Sequence[int]) -> dict[str, int]:
    """Counts by powers of two."""
    counts: Counter[int] = Counter(max(length, 1).bit_length() for length in lengths)
    if not counts:
        return {}
    return {f"{1 << (b - 1):,} to {(1 << b) - 1:,}": counts[b] for b in range(min(counts), max(counts) + 1)}


def _by_number(numbers: Any) -> dict[str, int]:
    counts: Counter[int] = Counter(min(number, 16) for number in numbers)
    return {(f"{number}" if number < 16 else "16 or more"): counts[number] for number in sorted(counts)}


def _record(value: Any, gold: str | None) -> _Record | None:
    if not isinstance(value, dict):
        return None
    pair = _pair(value)
    if pair is None:
        return None
    reason = value.get("finish_reason") or value.get("stop_reason")
    told = _at(value, gold) if gold is not None else None
    return _Record(*pair, None if told is None else str(told), str(reason) if reason else None)


def _pair(value: Mapping[str, Any]) -> tuple[str, str] | None:
    turns = value.get("messages") or value.get("conversations")
    if isinstance(turns, list):
        messages = list(_turns(turns))
        if not messages or messages[-1][0] != "assistant":
            return None
        return "\n\n".join(text for role, text in messages[:-1] if role == "user"), messages[-1][1]
    prompt = next((value[k] for k in ("prompt", "problem", "question", "instruction") if k in value), None)
    response = next((value[k] for k in ("completion", "response", "output", "generation") if k in value), None)
    if isinstance(prompt, list):
        prompt = "\n\n".join(text for role, text in _turns(prompt) if role == "user")
    if isinstance(response, list):
        response = "".join(text for _, text in _turns(response))
    return (prompt, response) if isinstance(prompt, str) and isinstance(response, str) else None


def _turns(turns: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for turn in turns:
        if isinstance(turn, dict):
            role = _NAMES.get(str(turn.get("role") or turn.get("from")), "")
            content = turn.get("content", turn.get("value"))
            if role and isinstance(content, str):
                yield role, content


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
