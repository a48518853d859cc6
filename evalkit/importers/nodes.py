"""Typed access to parsed JSON of unknown shape: what is not as expected is told in one sentence with its place."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from evalkit.errors import EvalkitError

_LARGEST = 1 << 53  # of a count or a number of seconds
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
_COUNT = "a count from 0 to 2**53"


def unreadable(where: str, reason: str) -> EvalkitError:
    """The error of a log that cannot be understood. Nothing is imported of it."""
    return EvalkitError(
        f"{where} cannot be imported: {reason}.",
        "see docs/importing.md for what each harness writes; --map reads plain JSON lines, CSV and parquet.",
    )


def described(value: Any) -> str:
    """A value in an error: a number as itself, so that NaN is not called a number, any other by its kind."""
    if type(value) is float:
        return f"the number {value!r}" if math.isfinite(value) else "NaN" if math.isnan(value) else "an infinite number"
    if type(value) is int:
        return f"the number {value}" if abs(value) < 1 << 64 else "a number of more than 64 bits"
    return "nothing" if value is None else _KINDS.get(type(value), type(value).__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place: `where` names the file and the line, `path` the fields that lead to it."""

    value: Any
    where: str
    path: str = ""

    def __getitem__(self, key: str | int) -> "Node":
        """The value of a field or an element, None where there is none. Raises EvalkitError: no object, no list."""
        path = f"{self.path}.{key}" if self.path else str(key)
        if isinstance(key, str):
            return Node(self._of(dict, "an object").get(key) if self.value is not None else None, self.where, path)
        elements = self._of(list, "a list") if self.value is not None else []
        return Node(elements[key] if -len(elements) <= key < len(elements) else None, self.where, path)

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __bool__(self) -> bool:
        return self.value is not None

    def has(self, *keys: str) -> bool:
        """Whether this is an object with all of these fields."""
        return isinstance(self.value, dict) and self.value.keys() >= set(keys)

    def first(self, *keys: str) -> "Node":
        """The first of these fields that is there and is not null."""
        return next((self[key] for key in keys if self[key]), self[keys[0]])

    def fail(self, expected: str) -> NoReturn:
        raise unreadable(self.where, f"{self.path or 'it'} is {described(self.value)}, not {expected}")

    def _of(self, kind: type[Any], expected: str) -> Any:
        if not isinstance(self.value, kind):
            self.fail(expected)
        return self.value

    def text(self) -> str:
        return str(self._of(str, "text"))

    def maybe_text(self) -> str | None:
        return None if self.value is None else self.text()

    def label(self) -> str:
        """Text, or a whole number written as such: identifiers and answers come as either."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return str(self.value)
        if isinstance(self.value, float) and math.isfinite(self.value):
            return str(int(self.value)) if self.value.is_integer() else repr(self.value)
        return str(self._of(str, "text or a number"))

    def plain(self) -> str | None:
        """Text or a number as text, None where it is anything else: what a harness took for an answer."""
        known = isinstance(self.value, str | int | float) and not isinstance(self.value, bool)
        return self.label() if known and self.value == self.value else None

    def maybe_label(self) -> str | None:
        return None if self.value is None else self.label()

    def integer(self) -> int:
        if isinstance(self.value, float) and self.value.is_integer() and abs(self.value) < 2**53:
            return int(self.value)
        if isinstance(self.value, bool) or not isinstance(self.value, int) or abs(self.value) >= 2**63:
            whole = type(self.value) is int or (type(self.value) is float and self.value.is_integer())
            self.fail("one that is stored exactly" if whole else "a whole number")
        return self.value

    def count(self) -> int | None:
        """A number of tokens or samples, None where there is none."""
        if self.value is None:
            return None
        number = self.integer()
        if not 0 <= number <= _LARGEST:
            self.fail(_COUNT)
        return number

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not abs(self.value) <= _LARGEST:
            self.fail("a number up to 2**53")
        return float(self.value)

    def maybe_number(self) -> float | None:
        return None if self.value is None else self.number()

    def fraction(self) -> float | None:
        """A verdict in [0, 1]: true and false are 1 and 0; None where it is no verdict (text, 999, NaN)."""
        if isinstance(self.value, bool | int | float) and 0 <= self.value <= 1:
            return float(self.value)
        return None

    def flag(self) -> bool:
        return bool(self._of(bool, "true or false"))

    def items(self) -> list["Node"]:
        """The elements of a list."""
        elements = self._of(list, "a list")
        return [Node(v, self.where, f"{self.path}.{i}" if self.path else str(i)) for i, v in enumerate(elements)]

    def fields(self) -> Iterator[tuple[str, "Node"]]:
        """The fields of an object."""
        for key, value in self._of(dict, "an object").items():
            yield str(key), Node(value, self.where, f"{self.path}.{key}" if self.path else str(key))

    def texts(self) -> list[str]:
        """A list of strings."""
        return [item.text() for item in self.items()]
