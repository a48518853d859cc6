"""Text from strangers, made harmless where it is printed."""

import re

from evalkit.visible import visible_line as one_line

__all__ = ["markdown_escape", "markdown_sentence", "one_line"]


def markdown_escape(text: str) -> str:
    """`text` as literal text in a markdown table cell."""
    escaped = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_sentence(text: str) -> str:
    """`text` as a paragraph that reads the same raw: only what would be a link, an image or HTML is escaped."""
    return re.sub(r"<(?=[^\s=])|\](?=[(\[:])", r"\\\g<0>", one_line(text))
