"""Find the answer in a response, and say where it was found.

In order of trust: the last balanced box, an `<answer>` element, a stated final answer, an "Answer:" line, a response
that is nothing but an expression, a concluding statement. Every pattern here runs in linear time.
"""

import re
from dataclasses import dataclass

from evalkit.grading.answers.conclusions import (
    breaks_off,
    later_final_answer,
    masked_end,
    read_statement,
    takes_back,
    value_at,
)
from evalkit.grading.answers.statement import ANSWER_WORDS, ascii_digits, has_words_around, is_prose, led_value
from evalkit.grading.answers.values import V, mask
from evalkit.thinking import until_end_of_turn

_TAIL = 200_000  # characters: an answer stands at the end of a response
_LONGEST = 4_000  # characters of a response that is nothing but an expression
_GLM_BOX = re.compile(r"<\|begin_of_box\|>(.{0,2000}?)<\|end_of_box\|>", re.DOTALL)
_BOX = re.compile(r"(?:\\|\x08)(?:boxed|fbox|framebox)\s*(?=\{)|\x08oxed\s*(?=\{)")
_BARE_BOX = re.compile(r"\\boxed\s*([-+]?[\w.]+)")
_BRACE = re.compile(r"\\[{}]|[{}]|\\\\")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_ELEMENT = re.compile(r"<(answer|final_answer|finalanswer)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_FIELD = re.compile(r"\"(?:final_)?answer\"\s*:\s*(\"[^\"\n]{1,500}\"|-?[\d.]+)", re.IGNORECASE)
_GSM8K = re.compile(r"^\s*####\s*(?=[-+$\d\\(.])(.+)$", re.MULTILINE)
_SPACING = re.compile(
    r"""
    \\(?:quad|qquad|,|;|:|!|\s|text|mathrm|textbf|mbox|left|right|displaystyle|[()\[\]])|[\s$~{}*]|&
    |\\\\
    """,
    re.VERBOSE,
)
OPEN_END = re.compile(
    r"""
    \?\Z
    |\s
    (?:
        and|so|then|we|the|is|of|to|that|but|or|with|for|have|get|let|consider|need|find|compute|using
        |since|because|where|which|an?|by|on|in|at|from|as|if|can|must|should|now|next|this
    )\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
# a value, and then why: "**12**\n\nExplanation: …"
_FIRST = re.compile(
    r"""
    (.{1,200}?)(?:\.\s+|\n\s*)[\s*#_]*
    (?:explanation|reason|because|(?:this|that)\ is\ because|check|verification|proof|justification|why)
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# an answer's value in a code block of its own
_FENCED_ANSWER = re.compile(
    rf"""
    ((?:{ANSWER_WORDS.replace(" ", "[ ]")})[\s*_]{{0,6}}[:：][ *_]{{0,6}}\n\s{{0,4}})
    ```\w*\n([^\n`]{{1,80}})\n\s{{0,4}}```
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERED = re.compile(
    rf"""
    \b(?:solutions|answers|roots|values|zeros|pairs|numbers|intercepts|possibilities)\b[^.\n{V[1:-1]}]*[:：]\**\s+
    ((?:\s*{V}[.)]\s+[^\n]{{1,200}}(?:\n|\Z)){{2,20}})\s*\Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BULLETS = re.compile(r"(?:are|:)\**\s*\n((?:\s*[-*•]\s+[^\n]{1,200}(?:\n|\Z)){2,20})\s*\Z")
_OTHERS = re.compile(r"(?:your|['’]s|previous|earlier|initial|wrong|incorrect|his|her|their)\s+\Z", re.IGNORECASE)
_DECORATION = re.compile(
    r"""
    ^[\s\u2190-\u21ff\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]+
    |[\s\u2190-\u21ff\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]+$
    """,
    re.VERBOSE,
)
_FENCED = re.compile(r"```\w*\n(.*?)\n?```", re.DOTALL)
_PLAIN = re.compile(r"\s*[-+]?[\d.,/]+\s*")
_NOT_BOX = re.compile(r"(?:\bnot|instead of|rather than)[\s$\\(\[]*\Z")
_LATER_BOX = re.compile(r"(?<!`)\\(?:boxed|fbox)\s*\{")
# at the start of a line or of a sentence: (a), b), Part 2, 3., - Part A
_LABEL = re.compile(
    r"""
    (?:^|(?<=[.;,:]\s)|\s(?=\())[\s*_#>-]{0,6}
    (
        (?:\(?(?:[a-h]|[1-9]|i{1,3}|iv|v)\)|(?:part|question|step)\s\(?[a-h1-9]\)?|[1-9][.:])
        |[-•]\s[^\n:]{1,30}:
    )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_JOINT = re.compile(
    r"""
    (?:[,;、，]|and|or|和|或|以及|et|und|y|,and|,or)?
    (?:(?:(?:that|the)?(?:value)?of)?\\?[A-Za-z]\w{0,3}?(?:_\{?\w+\}?)?(?:=|is|equals))?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer as it was written, and the rule that found it."""

    answer: str
    rule: str
    side: str | None = None  # the right side of the answer's equation, where that may be meant
    worded: bool = False  # a sentence: numbers in it are not its value
    parts: tuple[str, ...] = ()  # the boxes of labelled parts, where the last one is taken to be the answer


def extract_answer(response: str) -> Extracted | None:
    """The answer that a response (thinking split off already) gives; None where it states none."""
    response = _before_next_turn(visible(response))
    boxed = _from_box(response)
    if boxed is None:
        return _from_element(response) or _from_statement(response)
    found, end = boxed
    tail = response[end:]
    if takes_back(tail):
        return _from_statement(tail)
    # a final answer that is stated after the last box is the later word
    return _final_statement(tail) or found


def box_contents(text: str) -> list[tuple[int, int, str]]:
    """(start, end, content) of every outermost balanced box with something in it, in order. Linear time."""
    starts = {match.end(): match.start() for match in _BOX.finditer(text)}
    if not starts:
        return []
    boxes: list[tuple[int, int, str]] = []
    stack: list[int] = []
    for match in _BRACE.finditer(text, min(starts)):
        if match[0] in ("{", "\\{"):
            stack.append(match.start() if match[0] == "{" else -1)
        elif match[0] in ("}", "\\}") and stack:
            if match[0] == "\\}" and stack[-1] != -1 and stack[-1] not in starts:
                continue
            opened = stack.pop()
            while match[0] == "}" and opened == -1 and stack:
                opened = stack.pop()
            if opened in starts:
                while boxes and boxes[-1][0] > starts[opened]:
                    boxes.pop()
                boxes.append((starts[opened], match.end(), text[opened + 1 : match.start()]))
    return [box for box in boxes if box[2].strip(" $\n\t\\,.")]


def visible(response: str) -> str:
    """The end of a response, up to the token that ends the turn; digits of every script as 0 to 9."""
    response = until_end_of_turn(ascii_digits(response[-_TAIL:]))
    return _GLM_BOX.sub(_as_box, response) if "<|begin_of_box|>" in response else response


def _as_box(match: re.Match[str]) -> str:
    """GLM's own box as `\\boxed{}`, unless one stands in it."""
    return match[1] if "box" in match[1] or match[1].count("{") != match[1].count("}") else rf"\boxed{{{match[1]}}}"


_RUNS_ON = re.compile(
    r"""
    ^[\s*_#>]*
    (?:
        User|Human|Question|Problem|Exercise|Student|Q|Instruction|Input|Prompt|\[?(?:User|Question)\]?
        |(?:Question|Problem|Exercise)\s\d{1,2}
    )[\s*_]*(?::|\n)[^\n]
    """,
    re.MULTILINE | re.VERBOSE,
)
_HEADED = re.compile(r"[\s*_#>]*(?:Question|Problem|Exercise|Part)\s\d", re.IGNORECASE)
_SAYS = re.compile(r"\d|\\|\b(?:answer|so|therefore|thus|hence)\b", re.IGNORECASE)


def _before_next_turn(response: str) -> str:
    """The response up to where the model goes on with a question of its own: "User: …", "Question: …"."""
    said = _SAYS.search(response)
    if said is None or _HEADED.match(response):  # the questions of a headed response are parts of one
        return response
    found = _RUNS_ON.search(response, said.end())
    return response[: found.start()] if found else response


def _from_box(response: str) -> tuple[Extracted, int] | None:
    """The last boxes' answer, and where they end."""
    if "box" not in response and "\x08oxed" not in response:
        return None
    prose = _CODE.sub(lambda match: " " * len(match[0]), response)
    boxes = box_contents(prose)
    outside_code = bool(boxes)
    if not boxes and prose != response:
        boxes = box_contents(response)
    if not boxes:
        bare = _BARE_BOX.findall(prose)
        return (Extracted(bare[-1].rstrip("."), "box"), len(response)) if bare else None
    if _LATER_BOX.search(prose, boxes[-1][1]):
        return None  # the last box is empty or cut off: that revives no earlier one
    meant = [box for box in boxes if not _NOT_BOX.search(prose[max(0, box[0] - 20) : box[0]])]
    boxes = meant or boxes
    end = boxes[-1][1]
    if outside_code or prose.find("\\box", end) < 0:
        group = [boxes[-1]]
        for box in reversed(boxes[:-1]):
            if not _joined(prose[box[1] : group[-1][0]]):
                break
            group.append(box)
        answers = list(dict.fromkeys(box[2].strip() for box in reversed(group)))
        if len(answers) > 1:
            return Extracted(", ".join(answers), "boxes"), end
    return Extracted(boxes[-1][2].strip(), "box", parts=_parts(prose, boxes)), end


def _parts(text: str, boxes: list[tuple[int, int, str]]) -> tuple[str, ...]:
    """The contents of boxes each of which has the label of a part in front of it: "(a) … (b) …", "- Part A: …"."""
    starts = [0, *(box[1] for box in boxes[:-1])]
    labels = [_LABEL.findall(text[start : box[0]]) for start, box in zip(starts, boxes, strict=True)]
    if len(boxes) < 2 or len(boxes) > 12 or not all(labels) or len({found[0] for found in labels}) < len(boxes):
        return ()
    return tuple(box[2].strip() for box in boxes)


def _final_statement(tail: str) -> Extracted | None:
    """A final answer that is given behind the last box: "Final answer: 9", not "The final answer is in the 3 …"."""
    stated = later_final_answer(tail)
    return Extracted(stated.answer, stated.rule, stated.side) if stated else None


def _joined(gap: str) -> bool:
    """Whether what stands between two boxes joins them into one answer: `, `, `and`, `and y_2 =`."""
    if len(gap) > 80 or "\n\n" in gap:
        return False
    bare = _SPACING.sub("", gap)
    return ("\n" not in gap or bool(bare)) and _JOINT.fullmatch(bare) is not None


def _from_element(response: str) -> Extracted | None:
    elements = [match[2].strip() for match in _ELEMENT.finditer(response) if match[2].strip()]
    if elements:
        if is_prose(elements[-1]) and (stated := read_statement(masked_end(elements[-1]))):
            return Extracted(stated.answer, "answer element", stated.side)
        return _element_value(elements[-1])
    fields = _FIELD.findall(response)
    if fields:
        return Extracted(fields[-1].strip('"'), "answer field")
    hashes = _GSM8K.findall(response)
    return Extracted(hashes[-1].strip(), "#### line") if hashes else None


def _element_value(content: str) -> Extracted:
    """What an `<answer>` element gives: the value it leads to, or all of it where that is only a part."""
    masked = mask(re.sub(r"\s\((?=[^()]*[A-Za-z]{3})[^()]*\)\s*\Z", "", content))  # "5 units (see 3)"
    outside = re.sub(V, " ", masked.text)
    value = value_at(content)
    if value is None or len(re.findall(V, masked.text)) > 1 or re.search(r"[=<>≤≥≠∪∩±^\\+×·]", outside):
        return Extracted(content, "answer element")
    return Extracted(value, "answer element")


def _from_statement(response: str) -> Extracted | None:
    response = re.sub(r"(?<=[\w)}])\\+\Z", "", _DECORATION.sub("", response.strip()))
    if "\\boxed" in response:
        return None  # a box that was never closed, or is empty
    prose = _FENCED_ANSWER.sub(r"\1\2", response) if "```" in response else response
    prose = _TAG.sub(" ", _CODE.sub(" ", prose))  # a number in code or markup concludes nothing
    masked = masked_end(prose)
    if (listed := _BULLETS.search(masked.text)) and "```" not in response:
        items = [re.findall(V, item) for item in listed[1].strip().split("\n")]
        if all(len(item) == 1 for item in items):
            values = [masked.value(item[0]) for item in items]
            return Extracted(", ".join(value.side or value.text for value in values), "conclusion")
    if (numbered := _NUMBERED.search(masked.text)) and "```" not in response:
        items = [re.findall(V, item) for item in numbered[1].strip().split("\n") if item.strip()]
        labels = [masked.value(item[0]).text for item in items if len(item) == 2]
        if labels == [str(number + 1) for number in range(len(items))]:
            values = [masked.value(item[1]) for item in items]
            return Extracted(", ".join(value.side or value.text for value in values), "conclusion")
    worded = len(response) > _LONGEST or is_prose(response) or has_words_around(response)
    if response and not worded and not _RELATION.search(masked.text):
        return _whole(response)
    stated = read_statement(masked)
    first = _FIRST.match(response)
    if first and (is_prose(first[1]) or has_words_around(first[1]) or "\n" in first[1].strip()):
        first = None
    if first and (stated is None or stated.rule == "conclusion"):
        return Extracted(value_at(first[1]) or first[1], "answer first")
    return None if stated is None else Extracted(stated.answer, stated.rule, stated.side, worded=stated.worded)


# words that state, behind a mask: then a response is a sentence, however short it is
_RELATION = re.compile(
    rf"""
    \b(?:is|are|be|equals?|gives?|yields?|let|suppose|case|if|answer|result)\b|\b[^\W\d_]{{2,}}\s*[:：=]
    |{V}.*\n\s*.*{V}
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _whole(response: str) -> Extracted | None:
    """A response that is nothing but an expression."""
    if breaks_off(response) or response.rstrip(" *_").endswith("?"):
        return None
    code = _FENCED.fullmatch(response)
    if code and not _PLAIN.fullmatch(code[1]):
        return None
    response = re.sub(r"<<[^<>]{0,80}>>|(?<=\d)\s\([a-z -]{3,60}\)(?=\W*\Z)", "", response)
    if "=" in response or "\\begin{align" in response:
        masked = mask(response)
        value = masked.values[0] if masked.values else None
        if value and value.side is not None and re.fullmatch(rf"[\s*_.]*{V}[\s*_.\w]*", masked.text):
            return Extracted(value.text, "whole response", value.meant)
    return Extracted(code[1] if code else led_value(response), "whole response")
