"""The syntax trees that the text of an answer can be read as."""

import re

from evalkit.grading.answers.extract import box_contents, extract_answer
from evalkit.grading.answers.statement import is_prose
from evalkit.grading.equality.conditions import conditioned
from evalkit.grading.equality.matrices import ZERO
from evalkit.grading.equality.phrases import as_mathematics
from evalkit.grading.equality.remarks import without_remarks
from evalkit.grading.equality.texts import NUMERAL
from evalkit.grading.latex.nodes import Base, Node, ParseError
from evalkit.grading.latex.parser import parse
from evalkit.grading.latex.tokens import MAX_CHARS
from evalkit.grading.latex.vocabulary import WRAPPER_COMMAND

_GLUED = re.compile(r"/\s*([A-Z]{2}|[a-z]{2})(?![A-Za-z(])")
_LABEL = re.compile(
    r"""^[\s*#_$]*+(?:\\[a-z]+\s*+\{\s*+)?          # **, \text{
    (?P<label>[A-Za-z]{2,20}(?:\s[A-Za-z]{2,20}){0,3})
    \s?:[\s*_]*+\}?[\s*_]*+(?=\S)""",
    re.ASCII | re.VERBOSE,
)
_GENERIC = re.compile(
    r"""(?:the\ )?(?:final\ |correct\ |simplified\ |exact\ |numerical\ |required\ |my\ )*
    (?:answer|total|result|solution|expression|value|sum|simplification|conclusion|output
    |response)s?  # what any answer is""",
    re.IGNORECASE | re.VERBOSE,
)
_ONLY = re.compile(
    r"""
    ^\s*only\s+(?=[$\\(\d]|[a-z]\W)|(?<=[\w$})])(?:\s?\\text\{\s?only\s?\}|\sonly)\.?\s*$
    """,
    re.VERBOSE,
)
_CUE = re.compile(r"answer|solution is|####|=\s*\\boxed", re.IGNORECASE)


def unlabelled(gold: str, answer: str) -> tuple[str, str]:
    """Both without "Total:" and its like in front; labels of their own stay where they differ."""
    first, second = _LABEL.match(gold), _LABEL.match(answer)
    labels = [match["label"] if match and not match["label"].isupper() else "" for match in (first, second)]
    own = [label for label in labels if label and not _GENERIC.fullmatch(label)]
    if len(own) == 2 and own[0].casefold() != own[1].casefold():
        return gold, answer
    if any(label.casefold() in ("yes", "no", "true", "false") for label in labels):
        return gold, answer
    return tuple(  # type: ignore[return-value]
        ("$" if "$" in match[0] else "") + _behind(text, match) if match and label else text
        for text, match, label in zip((gold, answer), (first, second), labels, strict=True)
    )


def _behind(text: str, label: re.Match[str]) -> str:
    r"""What stands behind a label, without the brace that closes the wrapper around both: \textbf{Answer: 5}."""
    rest = text[label.end() :]
    if label[0].count("{") == label[0].count("}"):
        return rest
    depth = 0
    for at, char in enumerate(rest):
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return rest[:at] + rest[at + 1 :]
    return rest


def boxed_content(answer: str) -> str:
    """What stands in the boxes of an answer that is little else."""
    boxes = box_contents(answer)
    if boxes and len(answer) - sum(len(box[2]) for box in boxes) < 40:
        return ", ".join(box[2] for box in boxes)
    return answer


def plain_gold(gold: str) -> str:
    """The answer in a gold that is a whole solution; otherwise the gold as it is."""
    if box_contents(gold) or (len(gold) > 80 and is_prose(gold) and _CUE.search(gold)):
        found = extract_answer(gold)
        if found is not None:
            return found.answer
    return gold


def readings(text: str) -> list[Node]:
    """The syntax trees that a text can be read as (a comma within brackets may group thousands)."""
    found: list[Node] = []
    if len(text) > MAX_CHARS:
        return found
    inner = re.fullmatch(rf"\s*{WRAPPER_COMMAND}\{{([^{{}}]*\d[^{{}}]*)\}}\s*", text)
    text = as_mathematics(inner[1] if inner else text)
    ways = (False, True) if re.search(r"\d,\d{3}(?!\d)", text) else (False,)
    if re.search(r"(?<!\d)[1-9]\d{0,2},0\d\d(?!\d)", text):
        ways = (True,)  # 1,000 cannot be 1 and 000
    written = [text]
    if _GLUED.search(text):
        written.append(_GLUED.sub(r"/(\1)", text))  # t/RC
    for grouped in ways:
        for source in written:
            try:
                node = conditioned(source, thousands_in_brackets=grouped)
                node = parse(source, thousands_in_brackets=grouped) if node is None else node
            except ParseError:
                continue
            if node not in found:
                found.append(node)
    found += _as_vectors(text) if inner is None else _as_vectors(inner[0])
    if numeral := NUMERAL.fullmatch(text.strip(" $")):
        found.append(Base(numeral[1], int(numeral[2])))
    return found


_UNIT_VECTOR = re.compile(
    r"""
        \\(?:mathbf|boldsymbol|bm|pmb|hat|widehat|vec)\s*\{?\s*
        (?:\\mathbf\s*\{?)?\s*\\?[ijk](?:math)?(?![A-Za-z])
        """,
    re.VERBOSE,
)
_SECOND = re.compile(r"(?<![A-Za-z])j(?:math)?(?![A-Za-z])")
_ZERO = re.compile(
    r"""
        (?P<name>[\s$]*(?:\\[a-z]+\s*)?\{?[A-Za-z]?\}?\s*=)?\s*\\(?:mathbf|boldsymbol|bm|pmb|vec|overrightarrow)\s*
        \{?\s*0\s*\}?[\s.$]*
        """,
    re.VERBOSE,
)


def _as_vectors(text: str) -> list[Node]:
    """The text of a multiple of one unit vector, and of a zero in bold, as the vectors that they can be."""
    if len(text) > 200:
        return []
    if _ZERO.fullmatch(text):
        return [ZERO]
    if not _UNIT_VECTOR.search(text) or _SECOND.search(text):
        return []
    try:
        return [parse(rf"{text} + 0 j")]
    except ParseError:
        return []


def trees(gold: str, answer: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The syntax trees of both, as they are compared."""
    gold, answer = stated(gold, answer)
    return tuple(readings(gold)), tuple(readings(answer))


def stated(gold: str, answer: str) -> tuple[str, str]:
    """Both without boxes, labels and the solution around them."""
    gold, answer = unlabelled(gold, boxed_content(answer))
    return plain_gold(without_remarks(_ONLY.sub("", gold))), without_remarks(_ONLY.sub("", answer))
