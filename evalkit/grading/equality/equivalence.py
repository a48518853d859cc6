"""Decide whether an answer means the same as the gold: text first, then syntax trees. Runs inside a worker."""

import re
from collections.abc import Iterator
from typing import Any

from evalkit.grading.answers.extract import extract_answer
from evalkit.grading.answers.statement import is_prose, statement_value
from evalkit.grading.equality.calculus import operators
from evalkit.grading.equality.compare import equivalent
from evalkit.grading.equality.number_sets import NumberSet, number_set, same_numbers
from evalkit.grading.equality.phrases import same_time, time_of_day
from evalkit.grading.equality.readings import readings, stated, trees
from evalkit.grading.equality.sentences import has_words, is_hedged, is_of_several, said_value
from evalkit.grading.equality.texts import NO_SOLUTION, bare_text, plain_words, same_words
from evalkit.grading.latex.nodes import Node, Seq, number

_WORDS = re.compile(r"(?<!\\)(?<![A-Za-z\\])[^\W\d_]{2,}")
_OPERATOR = re.compile(r"\\(?:int|lim|sum|prod|[dt]?frac\s*\{?\s*(?:d|\\mathrm))|[∫∑∏]")
_ROMAN = re.compile(r"[IVX]{2,5}")
_DATE = re.compile(r"\s*\d{4}-\d{2}-\d{2}\s*")


def judge(payload: dict[str, str]) -> dict[str, Any]:
    """{"equal", "rule"} for {"gold", "answer"}: the function that workers run."""
    try:
        equal, rule = meaning_equal(payload["gold"], payload["answer"])
    except RecursionError:
        return {"equal": None, "rule": "too deeply nested to compare"}
    if not equal and _OPERATOR.search(payload["gold"] + payload["answer"]):
        return {"equal": False, "rule": rule, "calculus": operators(trees(payload["gold"], payload["answer"]))}
    return {"equal": equal, "rule": rule}


def meaning_equal(gold: str, answer: str) -> tuple[bool, str]:
    """(whether the answer means what the gold does, by which rule or why not)."""
    gold, answer = stated(gold, answer)
    if (verdict := _by_words(gold, answer)) is not None:
        return verdict
    rule: str | None
    golds, answers = readings(gold), readings(answer)
    for first in golds:
        for second in answers:
            if rule := equivalent(first, second):
                return True, rule
    if listed := _listed(answer, golds):
        for first in golds:
            if rule := equivalent(first, listed):
                return True, f"{rule} (a list of as many numbers)"
    if comma := _decimal_comma(gold, answer, golds):
        return True, comma
    said_word = said_value(gold, counted=False)
    if said_word and plain_words(said_word) == plain_words(said_value(answer, counted=False) or answer):
        return True, "the same words said"
    for said, meant in _sentences(gold, golds, answer, answers):
        for first in said:
            for second in meant:
                if rule := equivalent(first, second):
                    return True, f"{rule} (the value of a sentence)"
    if not golds or not answers:
        return (
            False,
            f"{'the gold' if not golds else 'the answer'} is no mathematics that is read here, and the texts differ",
        )
    return False, "the values differ"


def _by_words(gold: str, answer: str) -> tuple[bool, str] | None:
    """The verdict on two texts that are compared as such: words, times, dates, sets of numbers; None for others."""
    if same := same_words(gold, answer):
        return True, same
    nothing = NO_SOLUTION.fullmatch(plain_words(gold)), NO_SOLUTION.fullmatch(plain_words(answer))
    if nothing[0] and nothing[1]:
        alike = nothing[0][2] == nothing[1][2] or not (nothing[0][2] and nothing[1][2])
        return alike, "no solution" if alike else "solutions of another kind"
    times = time_of_day(bare_text(gold)), time_of_day(bare_text(answer))
    if times[0] and times[1]:
        alike = same_time(times[0], times[1])
        return alike, "the same time of day" if alike else "different times of day"
    if _ROMAN.fullmatch(bare_text(gold)) and _ROMAN.fullmatch(bare_text(answer)):
        return False, "other Roman numerals"
    if _DATE.fullmatch(gold) or _DATE.fullmatch(answer):
        return False, "a date, and another text"
    numbers = number_set(gold), number_set(answer)
    if numbers[0] and numbers[1] and _told(numbers[0], numbers[1]) and same_numbers(numbers[0], numbers[1]):
        return True, "the same whole numbers"
    return None


def _told(gold: NumberSet, answer: NumberSet) -> bool:
    """Whether two sets of whole numbers are compared as such: words tell one, or the variable is a usual one."""
    usual = {gold.variable, answer.variable} <= {*"nmkN", ""} and (gold.variable or answer.variable) != ""
    return gold.worded or answer.worded or (usual and not (gold.by_form and answer.by_form))


def _sentences(
    gold: str, golds: list[Node], answer: str, answers: list[Node]
) -> Iterator[tuple[list[Node], list[Node]]]:
    """What the gold and the answer can say, where one of them is a sentence."""
    if (
        golds
        and (is_prose(answer) or "\n\n" in answer or (not answers and _WORDS.search(bare_text(answer))))
        and (has_words(answer) or "\n\n" in answer)
        and not _is_hedged(answer)
    ):
        for value in (said_value(answer), _value_of_sentence(answer)):
            if value is not None:
                yield golds, readings(value)
    if _WORDS.search(bare_text(gold)) and len(gold) <= 200 and (value := said_value(gold, counted=not golds)):
        said = said_value(answer, counted=False) if not answers or is_prose(answer) else None
        if said is None:
            yield readings(value), answers
        elif (anchored := said_value(gold, counted=False)) is not None:
            yield readings(anchored), readings(said)


def _is_hedged(text: str) -> bool:
    return len(text) <= 200 and is_hedged(text)


def _value_of_sentence(answer: str) -> str | None:
    found = extract_answer(answer)
    cued = found is not None and found.rule not in ("whole response", "conclusion")
    if not cued and is_of_several(answer):
        return None
    value = found.answer if found is not None and found.rule != "whole response" else statement_value(answer)
    return value if value is not None and value.strip() != answer.strip() else None


_GROUPED = re.compile(r"[\s$]*\d{1,3}(?:,\d{3})+[\s.$]*")


def _listed(answer: str, golds: list[Node]) -> Node | None:
    """`45,135` as two numbers where the gold is a list of two; None for anything else."""
    if not _GROUPED.fullmatch(answer):
        return None
    numbers = [number(part.strip(" .$")) for part in answer.strip().split(",")]
    fits = any(isinstance(gold, Seq) and not gold.open and len(gold.items) == len(numbers) for gold in golds)
    return Seq("", "", tuple(numbers)) if fits else None


def _decimal_comma(gold: str, answer: str, golds: list[Node]) -> str:
    """`2,74` for 2.74: only where the gold is a number with a fraction."""
    if re.fullmatch(r"\s*[-+]?\d+,\d+\D{0,12}", answer) and re.fullmatch(r"\s*\$?[-+]?\d*\.\d+\D{0,12}", gold):
        for second in readings(answer.replace(",", ".")):
            for first in golds:
                if equivalent(first, second):
                    return "a decimal comma"
    return ""
