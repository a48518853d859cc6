"""JSON read piece by piece: values of a file too large to hold, and what the beginning of a file looks like."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from evalkit.importers.nodes import unreadable

_SPACE = re.compile(r"[ \t\r\n]*")
_CHUNK = 1 << 18
_LONGEST = 1 << 28  # characters of one value: 4,096 samples of 32,768 tokens are half of it
_NEAR_END = 32  # an error so close to the end of what was read may be a cut number, literal or escape
_DECODER = json.JSONDecoder()


def parse(text: str, where: str) -> Any:
    """One JSON value. Raises EvalkitError: no JSON, too deep, a number with too many digits."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise unreadable(where, f"it is no whole JSON ({_told(error)} at character {error.pos})") from error
    except (ValueError, RecursionError) as error:
        raise unreadable(where, _reason(error)) from error


def _told(error: json.JSONDecodeError) -> str:
    """Python's message, which ends in "starting at" where a place is to follow."""
    return error.msg.removesuffix(" starting at")


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number in it has too many digits"


class JsonStream:
    """A pull parser over a stream of UTF-8.

    `peek` tells what comes next; `value` parses it whole, `elements` and `members` go through a list or an object, one
    value in memory at a time. Raises EvalkitError that names the file where it is no JSON, cut, or has a value that
    is too large.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream, self._where = stream, where
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._text, self._at, self._ended = "", 0, False

    def _more(self) -> bool:
        if self._ended:
            return False
        if len(self._text) - self._at > _LONGEST:
            raise unreadable(self._where, f"one value in it is longer than {_LONGEST >> 20} million characters")
        data = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not data
        try:
            more = self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise unreadable(self._where, "it is no UTF-8 text") from error
        self._text, self._at = self._text[self._at :] + more, 0
        return True

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            told = f"{found!r} stands" if found else "it ends"
            raise unreadable(self._where, f"it is no whole JSON ({told} where one of {expected} should)")
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, parsed whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                unfinished = "Unterminated" in error.msg or error.pos >= len(self._text) - _NEAR_END
                if unfinished and self._more():
                    continue
                raise unreadable(self._where, f"it is no whole JSON ({_told(error)})") from error
            except (ValueError, RecursionError) as error:
                raise unreadable(self._where, _reason(error)) from error
            if end == len(self._text) and self._more():  # a number may go on
                continue
            self._at = end
            return value

    def elements(self) -> Iterator[Any]:
        """The values of the list that comes next."""
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        """The names in the object that comes next; the caller takes the value after each name."""
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise unreadable(self._where, "it is no JSON: a name in an object is not text")
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def end(self) -> None:
        """Raises EvalkitError where something follows."""
        if self.peek():
            raise unreadable(self._where, "something follows the end of the JSON document")


class _Beginning:
    """Parses what there is of a document that may be cut anywhere."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.cut = text, 0, False

    def _next(self) -> str:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        if self.at >= len(self.text):
            self.cut = True
            return ""
        return self.text[self.at]

    def value(self, depth: int = 0) -> Any:
        opening = self._next()
        if opening == "{" and depth < 40:
            return self._object(depth)
        if opening == "[" and depth < 40:
            return self._list(depth)
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            value = self.text[self.at + 1 :] if opening == '"' else None
            self.cut, self.at = True, len(self.text)
        return value

    def _object(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        self.at += 1
        while not self.cut and self._next() == '"':
            try:
                name, self.at = _DECODER.raw_decode(self.text, self.at)
            except ValueError:
                self.cut = True
                break
            if self._next() != ":":
                break
            self.at += 1
            result[name] = self.value(depth + 1)
            if not self.cut and self._next() == ",":
                self.at += 1
        self._close("}")
        return result

    def _list(self, depth: int) -> list[Any]:
        result: list[Any] = []
        self.at += 1
        while not self.cut and self._next() not in ("]", ""):
            result.append(self.value(depth + 1))
            if not self.cut and self._next() == ",":
                self.at += 1
            elif self._next() != "]":
                break
        self._close("]")
        return result

    def _close(self, bracket: str) -> None:
        if not self.cut and self._next() == bracket:
            self.at += 1
        else:
            self.cut, self.at = True, len(self.text)


def beginning(text: str) -> tuple[Any, str]:
    """(the first value of a document as far as it goes, the text after it), for text that may be cut anywhere."""
    parser = _Beginning(text)
    value = parser.value()
    return value, text[parser.at :].strip()
