"""Whether an output is right. Runs in the judge, never near the program that wrote the output."""

import itertools
import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Literal

Comparison = Literal["lines", "tokens"]


def same_lines(output: str, expected: str) -> str | None:
    """LiveCodeBench's comparison: None where right, else what differs.

    The whole is stripped, split at newlines, each line stripped; two lines are the same when they are equal or when
    both consist of numbers that are exactly equal as decimals: `1.50` is `1.5`, `1e3` is `1000`; there is no tolerance.
    Time and memory grow with the texts' length only; no list of all lines or words is made.
    """
    if output == expected:
        return None
    output, expected = output.strip(), expected.strip()
    lines, wanted = output.count("\n") + 1, expected.count("\n") + 1
    if lines != wanted:
        return f"{lines} lines, expected {wanted}"
    first = 0
    for got_part, wanted_part in zip(_line_blocks(output), _line_blocks(expected), strict=True):
        if got_part != wanted_part:
            for number, (one, other) in enumerate(zip(got_part, wanted_part, strict=True), start=first + 1):
                if one != other and not _same_numbers(one, other):
                    return f"line {number}: {_short(one)} instead of {_short(other)}"
        first += len(got_part)
    return None


def same_tokens(output: str, expected: str) -> str | None:
    """Equal as sequences of words, however they are spaced: None where right, else what differs."""
    if output == expected:
        return None
    first, got, wanted = 0, _words(output), _words(expected)
    while True:
        one, other = _take(got, _BLOCK), _take(wanted, _BLOCK)
        if one != other:
            break
        if not one:
            return None
        first += len(one)
    for number, (a, b) in enumerate(zip(one, other, strict=False), start=first + 1):
        if a != b:
            return f"word {number}: {_short(a)} instead of {_short(b)}"
    more_got, more_wanted = (sum(1 for _ in words) for words in (got, wanted))
    return f"{first + len(one) + more_got} words, expected {first + len(other) + more_wanted}"


_BLOCK = 1 << 14
_WINDOW = 1 << 16


def _line_blocks(text: str) -> Iterator[list[str]]:
    """The lines, stripped, in lists of `_BLOCK` (the last one of fewer)."""
    pending: list[str] = []
    begin = 0
    while begin <= len(text):
        end = text.find("\n", min(begin + _WINDOW, len(text)))
        end = len(text) if end < 0 else end
        pending += [line.strip() for line in text[begin:end].split("\n")]
        begin = end + 1
        whole = len(pending) - len(pending) % _BLOCK
        yield from (pending[at : at + _BLOCK] for at in range(0, whole, _BLOCK))
        del pending[:whole]
    if pending:
        yield pending


def _words(text: str) -> Iterator[str]:
    return (word.group() for word in _WORD.finditer(text))


def _take(words: Iterator[str], count: int) -> list[str]:
    return list(itertools.islice(words, count))


# what `str.split` calls a word: the four separators of ASCII are spaces to it and to this pattern alike
_WORD = re.compile(r"\S+")


def same_value(encoded: str, wanted: str) -> str | None:
    """Whether a return value, as `child.values.encode` wrote it, equals the expected JSON value `wanted` in Python's
    sense.

    None where right, else what differs. Raises ValueError for an array with several elements, of which Python cannot
    say whether it equals a list, and for text that is no such encoding.
    """
    most = _LONGER * len(wanted) + (1 << 20)
    if len(encoded) > most:  # before it is read: Python's objects take some twenty times as much memory as the text
        return f"a value of {len(encoded)} characters instead of {_short(wanted)}"
    expected = parse_json(wanted)
    if is_too_deep(encoded, _LEVELS * MOST_NESTED):
        return f"what is nested too deeply instead of {_short(repr(expected))}"
    value = _read_json(encoded)
    equal = _equals(value, expected)
    return None if equal else f"{_short(_shown(value))} instead of {_short(repr(expected))}"


_LONGER = 64  # no value that is right is encoded in so many times the characters of the expected one
MOST_NESTED = 200
_LEVELS = 4  # that one dictionary takes in an encoded value


def parse_json(text: str) -> Any:
    """A JSON value; blank text is null, an integer with more digits than Python converts becomes a Decimal.

    Raises ValueError, also for what is nested more than `MOST_NESTED` deep.
    """
    if not text.strip():
        return None
    if is_too_deep(text):
        raise ValueError(f"nested more than {MOST_NESTED} deep")
    return _read_json(text)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else Decimal(digits))


def is_too_deep(text: str, most: int = MOST_NESTED) -> bool:
    """Whether JSON text is nested more deeply than the interpreters on either side read."""
    if text.count("[") + text.count("{") <= most:
        return False
    depth = 0
    for match in _BRACKET.finditer(text):
        bracket = match.group()
        if len(bracket) == 1:
            depth += 1 if bracket in "[{" else -1
            if depth > most:
                return True
    return False


_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def _equals(value: Any, expected: Any) -> bool:
    if isinstance(value, dict):
        return _equals_marked(value, expected)
    if isinstance(value, list):
        if not isinstance(expected, list) or len(value) != len(expected):
            return False
        return all(_equals(a, b) for a, b in zip(value, expected, strict=True))
    return bool(value == expected)


def _equals_marked(value: dict[str, Any], expected: Any) -> bool:
    kind = value.get("!")
    if kind == "dict":
        if not isinstance(expected, dict) or len(value["items"]) != len(expected):
            return False
        return all(isinstance(k, str) and k in expected and _equals(v, expected[k]) for k, v in value["items"])
    if kind == "scalar":
        return _equals(value["value"], expected)
    if kind == "fraction":
        numerator, denominator = value["value"]
        return isinstance(expected, int | float) and bool(Fraction(numerator, denominator) == expected)
    if kind == "decimal":
        return isinstance(expected, int | float) and bool(Decimal(value["value"]) == expected)
    if kind == "complex":
        real, imaginary = value["value"]
        return isinstance(expected, int | float) and imaginary == 0 and bool(real == expected)
    if kind == "array":
        if value["size"] > 1:
            raise ValueError("the truth of an array with several elements is ambiguous")
        return value["size"] == 1 and _equals(value["value"], _only(expected))
    return False


def _only(value: Any) -> Any:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _same_numbers(one: str, other: str) -> bool:
    try:
        pairs = itertools.zip_longest(_words(one), _words(other))
        return all(a is not None and b is not None and Decimal(a) == Decimal(b) for a, b in pairs)
    except (InvalidOperation, ValueError):
        return False


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "!" in value:
        return str(value.get("value", value.get("type", value.get("items", value["!"]))))
    return repr(value)


def _short(text: str, limit: int = 80) -> str:
    try:
        return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 2 :]}"
    except ValueError:
        return "(a very long number)"
