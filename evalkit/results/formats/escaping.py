"""Text from strangers, made harmless where it is printed."""

import re


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters, which would break a table or a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text)


def markdown_escape(text: str) -> str:
    """`text` as literal text in a markdown table cell."""
    escaped = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
