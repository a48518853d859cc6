"""Text from strangers, made visible: what would act on a terminal, reorder a line or hide in it becomes an escape."""

import io
import json
import re
from html import escape
from typing import Any, TextIO

# Zs are blanks of other widths; FE0E and FE0F choose between text and emoji.
_KEPT = frozenset("\n\t\u00a0\u1680\u202f\u205f\u3000\ufe0e\ufe0f") | frozenset(map(chr, range(0x2000, 0x200B)))
# Characters that Unicode calls letters or marks and that show nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    map(chr, (*range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0)))
)
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# What a spreadsheet takes for the beginning of a formula, after blanks and what it does not show.
_FORMULA = re.compile(
    r"""(?: \s | \\x[0-9a-f]{2} | \\u[0-9a-f]{4} | \\U[0-9a-f]{8} )*  # blanks, and escapes of what shows nothing
        [=+\-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b]    # also fullwidth and small forms
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def visible(text: str) -> str:
    r"""`text` with every character that shows nothing as an escape; line feeds, tabs and blanks stay.

    These are control characters (C0, DEL, C1), surrogates, unassigned and private characters, and all that only
    formats: bidirectional controls, zero-width characters, tags, fillers.

    Examples:
        >>> visible("a\x1b[31mb\u202e")
        'a\\x1b[31mb\\u202e'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _shows(c) else _escape(c) for c in text)


def visible_line(text: str) -> str:
    r"""As `visible`, in one line: line breaks and tabs become a blank.

    Examples:
        >>> visible_line("a\r\nb\x07")
        'a b\\x07'
    """
    return visible(_BREAKS.sub(" ", text))


def html_page(title: str, style: str, policy: str, body: str) -> str:
    """A whole HTML page. `title` is text, `body` is HTML; `policy` is its Content-Security-Policy.

    Examples:
        >>> "<title>a &lt; b</title>" in html_page("a < b", "", "default-src 'none'", "<p>c</p>")
        True
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(visible_line(title))}</title>
<style>{style}</style>
</head>
<body>
{body}</body>
</html>
"""


def encodable(value: Any) -> Any:
    r"""`value` with the lone surrogates of its texts as escapes, also in lists and dicts: UTF-8 has none.

    Examples:
        >>> encodable({"a": ["é\ud800"]})
        {'a': ['é\\ud800']}
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list | tuple):
        return [encodable(each) for each in value]
    if isinstance(value, dict):
        return {encodable(key): encodable(each) for key, each in value.items()}
    return value


def json_text(value: Any, indent: int | None = None) -> str:
    r"""`value` as JSON that can be printed: characters that `visible` would escape have JSON's escapes.

    Raises ValueError for a number that is not finite.

    Examples:
        >>> json_text({"a": "é\x9b"})
        '{"a": "é\\u009b"}'
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _shows(c) else json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f" for c in text)


def spreadsheet_text(text: str) -> str:
    r"""`text` in one line that no spreadsheet runs: a quote stands before what begins like a formula.

    A number is left as it is.

    Examples:
        >>> spreadsheet_text(" =1+1"), spreadsheet_text("-5")
        ("' =1+1", '-5')
    """
    line = visible_line(text)
    quoted = text[:1] in ("\t", "\r", "\n") or (_FORMULA.match(line) and not _NUMBER.fullmatch(line))
    return f"'{line}" if quoted else line


class VisibleStream(io.TextIOBase):
    """A stream that makes visible what is written to it and passes it on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


def _shows(character: str) -> bool:
    return (character.isprintable() or character in _KEPT) and character not in _BLANK


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
