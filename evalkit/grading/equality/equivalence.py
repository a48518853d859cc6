"""Decide whether an answer means the same as the gold: text first, then syntax trees. Runs inside a worker."""

import re
from typing import Any

from evalkit.grading.answers.extract import box_contents, extract_answer
from evalkit.grading.equality.phrases import as_mathematics, same_time, time_of_day
from evalkit.grading.answers.statement import is_prose, statement_value
from evalkit.grading.equality.compare import equivalent
from evalkit.grading.latex.nodes import Base, Node, ParseError
from evalkit.grading.latex.parser import parse
from evalkit.grading.latex.vocabulary import NUMBER_WORDS, WRAPPER_COMMAND, unwrapped

_LABEL = re.compile(r"^[({\s]*([A-Za-z])\s*[)}.:]+\s*(.*)$|^\s*([A-Z])\s*$", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{([^{}]*)\}")
_NAMED = re.compile(r"^\s*(?:option|choice|answer(?: is)?|故?选)\s*[:：]?\s*", re.IGNORECASE)
_WORDS = re.compile(r"(?<!\\)(?<![A-Za-z\\])[^\W\d_]{2,}")
_OPERATOR = re.compile(r"\\(?:int|lim|sum|prod|[dt]?frac\s*\{?\s*(?:d|\\mathrm))|[∫∑∏]")
_ROMAN = re.compile(r"[IVX]{2,5}")
_DATE = re.compile(r"\s*\d{4}-\d{2}-\d{2}\s*")
_SPACING = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|[,!;: ])|[\s$~]+")


def judge(payload: dict[str, str]) -> dict[str, Any]:
    """{"equal", "rule"} for {"gold", "answer"}: the function that workers run."""
    try:
        equal, rule = meaning_equal(payload["gold"], payload["answer"])
    except RecursionError:
        return {"equal": None, "rule": "too deeply nested to compare"}
    if not equal and _OPERATOR.search(payload["gold"] + payload["answer"]):
        from evalkit.grading.equality.calculus import operators

        return {"equal": False, "rule": rule, "calculus": operators(trees(payload["gold"], payload["answer"]))}
    return {"equal": equal, "rule": rule}


def trees(gold: str, answer: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The syntax trees of both, as `meaning_equal` compares them."""
    return tuple(readings(plain_gold(gold))), tuple(readings(_boxed(answer)))


def meaning_equal(gold: str, answer: str) -> tuple[bool, str]:
    """(whether the answer means what the gold does, by which rule or why not)."""
    gold = plain_gold(gold)
    answer = _boxed(answer)
    if same := _texts_equal(gold, answer):
        return True, same
    nothing = _NONE.fullmatch(plain_words(gold)), _NONE.fullmatch(plain_words(answer))
    if nothing[0] and nothing[1]:
        alike = nothing[0][2] == nothing[1][2] or not (nothing[0][2] and nothing[1][2])
        return alike, "no solution" if alike else "solutions of another kind"
    times = time_of_day(_unwrapped(gold)), time_of_day(_unwrapped(answer))
    if times[0] and times[1]:
        alike = same_time(times[0], times[1])
        return alike, "the same time of day" if alike else "different times of day"
    if _ROMAN.fullmatch(_unwrapped(gold)) and _ROMAN.fullmatch(_unwrapped(answer)):
        return False, "other Roman numerals"
    if _DATE.fullmatch(gold) or _DATE.fullmatch(answer):
        return False, "a date, and another text"
    rule: str | None
    golds, answers = readings(gold), readings(answer)
    for first in golds:
        for second in answers:
            if rule := equivalent(first, second):
                return True, rule
    if comma := _decimal_comma(gold, answer, golds):
        return True, comma
    if (
        golds
        and (is_prose(answer) or (not answers and _WORDS.search(_unwrapped(answer))))
        and (value := _value_of_sentence(answer))
    ):
        for second in readings(value):
            for first in golds:
                if rule := equivalent(first, second):
                    return True, f"{rule} (the value of the sentence is {value!r})"
    if not golds or not answers:
        return (
            False,
            f"{'the gold' if not golds else 'the answer'} is no mathematics that is read here, and the texts differ",
        )
    return False, "the values differ"


def _boxed(answer: str) -> str:
    """What stands in the boxes of an answer that is little else."""
    boxes = box_contents(answer)
    if boxes and len(answer) - sum(len(box[2]) for box in boxes) < 40:
        return ", ".join(box[2] for box in boxes)
    return answer


def _value_of_sentence(answer: str) -> str | None:
    found = extract_answer(answer)
    value = found.answer if found is not None and found.rule != "whole response" else statement_value(answer)
    return value if value is not None and value.strip() != answer.strip() else None


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
    if numeral := _NUMERAL.fullmatch(text.strip(" $")):
        found.append(Base(numeral[1], int(numeral[2])))
    return found


def _texts_equal(gold: str, answer: str) -> str:
    first, second = plain_words(gold), plain_words(answer)
    if first and first == second and not _other_letter(gold, answer):
        return "the same text"
    if {first, second} & _EMPTY and all(word in _EMPTY or _NONE.fullmatch(word) for word in (first, second)):
        return "no solution"
    if (base := _NUMERAL.fullmatch(gold.strip())) and base[1] == _unwrapped(answer):
        return "the same digits, one without its base"
    if (first in _NUMBERS and _NUMBERS[first] == second) or (second in _NUMBERS and _NUMBERS[second] == first):
        return "a number in words"
    if _choices(gold) and _choices(gold) == _choices(answer):
        return "the same choices"
    if _names(gold) and _names(gold) == _names(answer):
        return "the same words in any order"
    label, other = _LABEL.match(_unwrapped(gold)), _LABEL.match(_NAMED.sub("", _unwrapped(answer)))
    if label and other:
        letters = (label[1] or label[3]).upper(), (other[1] or other[3]).upper()
        labelled = re.search(r"[()]|text", gold) is not None or gold.strip().isupper()
        if (
            letters[0] == letters[1]
            and labelled
            and not _more_letters(other[2] or "")
            and not _more_letters(label[2] or "")
        ):
            return "the same choice"
    if label and label[1] and label[2].strip() and plain_words(label[2]) == second:
        return "the choice's value"
    if other and other[1] and (other[2] or "").strip() and "(" in answer and plain_words(other[2]) == first:
        return "the choice's value"
    return ""


def _other_letter(gold: str, answer: str) -> bool:
    """Whether both are one letter, x and X; a small letter may stand for the choice A."""
    letters = _unwrapped(gold), _unwrapped(answer)
    return len(letters[0]) == len(letters[1]) == 1 and letters[0] != letters[1] and letters[0].islower()


def _choices(text: str) -> str:
    """The letters of a question with several right options, in order: "ABD", "A, B and D"."""
    bare = re.sub(r"[\s,;、()]|and", "", _unwrapped(text))
    return "".join(sorted(bare)) if re.fullmatch(r"[A-H]{2,8}", bare) and len(set(bare)) == len(bare) else ""


def _names(text: str) -> list[str]:
    """The parts of a list of words, sorted: "Alice, Bob and Eve"; empty where it is none."""
    bare = _unwrapped(text)
    if len(bare) > 1000 or not re.fullmatch(r"[^\W\d_][\w\s,;.'-]*", bare) or re.search(r"\d", bare):
        return []
    parts = [part.strip(" .").casefold() for part in re.split(r"[,;]|(?<!\w)and(?!\w)", bare)]
    parts = sorted(part for part in parts if part)
    named = all(len(part) > 1 for part in parts) or all(re.fullmatch(r"[ivx]+", part) for part in parts)
    return parts if len(parts) > 1 and named else []


# without spaces, as they are compared
_SYNONYMS = {"doesnotexist": "dne"}
_NONE = re.compile(
    r"(?:there(?:is|are|exists?|exist)|ithas|theequationhas|has)?(no(real|integer)?(?:solution|root))s?(?:exists?)?"
)
_EMPTY = {"emptyset", "varnothing", "∅", "ø", "{}"}
# a numeral with letters for digits: AB_{16}
_NUMERAL = re.compile(rf"(?:{WRAPPER_COMMAND}\{{)?((?=\d*[A-F])[0-9A-F]{{2,30}})\}}?_\{{?(1[1-6])\}}?")
_NUMBERS = {word: str(number) for word, number in NUMBER_WORDS.items()}


def _more_letters(rest: str) -> bool:
    return re.match(r"^\W*(?:and|or|,|&)?\W*\(?[A-Z]\)?\W*$", rest) is not None and bool(rest.strip(" .)"))


def _unwrapped(text: str) -> str:
    for _ in range(3):
        text = _BOX.sub(r"\1", unwrapped(text))
    return _SPACING.sub(" ", text).replace("\\", "").strip().strip("*")


def plain_words(text: str) -> str:
    """A text without wrappers, spacing, case and closing punctuation: equal texts mean the same."""
    for _ in range(20):
        bare = _bare(text)
        if bare == text:
            break
        text = bare
    return text


def _bare(text: str) -> str:
    text = re.sub(r"^(?:an?|the)\s+(?=[^\W\d_]{3})|(?<=\d)(?:st|nd|rd|th)(?![^\W_])", "", _unwrapped(text), flags=re.I)
    text = _SPACING.sub("", re.sub(r"(?<=\d)\s+(?=\d)", "␣", text)).replace("dfrac", "frac").replace("tfrac", "frac")
    text = text.rstrip(".,;:").casefold()
    text = _NONE.sub(r"\1", text) if _NONE.fullmatch(text) else _SYNONYMS.get(text, text)
    return text[1:-1] if re.fullmatch(r"\([a-z]\)|\"[^\"]*\"|'[^']*'", text) else text


def _decimal_comma(gold: str, answer: str, golds: list[Node]) -> str:
    """`2,74` for 2.74: only where the gold is a number with a fraction."""
    if re.fullmatch(r"\s*[-+]?\d+,\d+\D{0,12}", answer) and re.fullmatch(r"\s*\$?[-+]?\d*\.\d+\D{0,12}", gold):
        for second in readings(answer.replace(",", ".")):
            for first in golds:
                if equivalent(first, second):
                    return "a decimal comma"
    return ""
