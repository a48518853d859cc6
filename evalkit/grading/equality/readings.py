"""The syntax trees that the text of an answer can be read as."""

import re

from evalkit.grading.answers.extract import box_contents, extract_answer
from evalkit.grading.answers.statement import is_prose
from evalkit.grading.equality.phrases import as_mathematics
from evalkit.grading.equality.texts import NUMERAL
from evalkit.grading.latex.nodes import Base, Node, ParseError
from evalkit.grading.latex.parser import parse
from evalkit.grading.latex.vocabulary import WRAPPER_COMMAND


def boxed_content(answer: str) -> str:
    """What stands in the boxes of an answer that is little else."""
    boxes = box_contents(answer)
    if boxes and len(answer) - sum(len(box[2]) for box in boxes) < 40:
        return ", ".join(box[2] for box in boxes)
    return answer


def plain_gold(gold: str) -> str:
    """The answer in a gold that is a whole solution; otherwise the gold as it is."""
    if box_contents(gold) or (len(gold) > 80 and is_prose(gold)):
        found = extract_answer(gold)
        if found is not None:
            return found.answer
    return gold


def readings(text: str) -> list[Node]:
    """The syntax trees that a text can be read as (a comma within brackets may group thousands)."""
    found: list[Node] = []
    inner = re.fullmatch(rf"\s*{WRAPPER_COMMAND}\{{([^{{}}]*\d[^{{}}]*)\}}\s*", text)
    text = as_mathematics(inner[1] if inner else text)
    ways = (False, True) if re.search(r"\d,\d{3}(?!\d)", text) else (False,)
    if re.search(r"(?<!\d)[1-9]\d{0,2},0\d\d(?!\d)", text):
        ways = (True,)  # 1,000 cannot be 1 and 000
    for grouped in ways:
        try:
            node = parse(text, thousands_in_brackets=grouped)
        except ParseError:
            continue
        if node not in found:
            found.append(node)
    if numeral := NUMERAL.fullmatch(text.strip(" $")):
        found.append(Base(numeral[1], int(numeral[2])))
    return found


def trees(gold: str, answer: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The syntax trees of both, as `meaning_equal` compares them."""
    return tuple(readings(plain_gold(gold))), tuple(readings(boxed_content(answer)))
