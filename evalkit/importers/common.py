"""What several readers do: a row's own id and text, chat messages, samples told apart by their order."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

from evalkit.importers.nodes import Node, unreadable

_IDS = ("unique_id", "problem_id", "question_id", "task_id", "id", "ID", "uuid")
_PROBLEMS = ("problem", "question", "Problem", "Question", "question_content", "query")
_MOSTLY = 0.9  # the share of prompts that are different in a set that was run once
GOLDS = ("expected_answer", "gold_answer", "answer", "Answer", "gold", "target", "ground_truth")


def own_id(row: Node) -> str | None:
    """The data set's id of a row, None where it has none."""
    for name in _IDS:
        if name in row and isinstance(row[name].value, str | int) and str(row[name].value).strip():
            return row[name].label()
    return None


def own_problem(row: Node) -> str | None:
    """The problem's text in a row of a data set, None where it has none."""
    for name in _PROBLEMS:
        if name in row and isinstance(row[name].value, str):
            return row[name].text()
    return None


def own_gold(row: Node, *names: str) -> str | None:
    """The right answer in a row of a data set, None where there is none that is text or a number."""
    for name in (*names, *GOLDS):
        if name in row and isinstance(row[name].value, str | int | float) and not isinstance(row[name].value, bool):
            return row[name].label()
    return None


def content_parts(message: Node) -> tuple[str, str | None]:
    """(text, thinking kept apart or None) of a chat message, whose content is text, null or a list of parts."""
    content = message["content"]
    texts: list[str] = []
    thoughts: list[str] = []
    if isinstance(content.value, list):
        for part in content.items():
            kind = part["type"].maybe_text()
            if kind in ("reasoning", "thinking"):
                thoughts.append(part.first("reasoning", "thinking", "text", "summary").maybe_text() or "")
            elif kind in ("text", "output_text", None) and "text" in part:
                texts.append(part["text"].text())
            else:
                part.fail("a part with text or reasoning")
    elif content:
        texts.append(content.text())
    apart = message.first("reasoning_content", "reasoning", "thinking")
    if isinstance(apart.value, str) and apart.value:
        thoughts.insert(0, apart.text())
    return "".join(texts), "\n".join(thoughts) if thoughts else None


def joined_prompt(value: Node) -> str | None:
    """A prompt as one text: the text itself, or the contents of messages with a blank line between them."""
    if value.value is None or isinstance(value.value, str):
        return value.maybe_text()
    contents = [message.first("content", "prompt") for message in value.items()]
    texts = [content_parts(m)[0] if "content" in m else c.text() for m, c in zip(value.items(), contents, strict=True)]
    return "\n\n".join(text for text in texts if text)


def messages_in(text: str, where: str) -> Node | None:
    """The messages of a prompt that was logged as their JSON; None where it is no such thing."""
    if not text.startswith("[{"):
        return None
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return Node(messages, where) if all(isinstance(m, dict) and "role" in m for m in messages) else None


def digest(*parts: str | None) -> bytes:
    """A short key for texts that are too long to be kept."""
    return hashlib.blake2b("\x1f".join(p or "" for p in parts).encode("utf-8", "replace"), digest_size=16).digest()


class OrderOfAppearance:
    """Numbers things by their first appearance, and the appearances of each: for logs without a sample index."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._seen: Counter[bytes] = Counter()

    def next(self, *parts: str | None) -> tuple[int, int]:
        """(the number of this thing, how often it was seen before), both from 0."""
        key = digest(*parts)
        number = self._numbers.setdefault(key, len(self._numbers))
        self._seen[key] += 1
        return number, self._seen[key] - 1


def period(keys: Iterable[bytes], where: str) -> int:
    """The number of problems of a set that was run n times end to end, told by its prompts; `len(keys)` for n = 1.

    A set may ask the same thing twice. Raises EvalkitError where many prompts recur, but not end to end.
    """
    ordered = list(keys)
    different = len(set(ordered))
    for size in range(different, len(ordered) // 2 + 1):
        if len(ordered) % size == 0 and ordered[size:] == ordered[:-size]:
            return size
    if different < _MOSTLY * len(ordered):
        raise unreadable(where, "its prompts recur, but the set was not run end to end")
    return len(ordered)
