"""Grade a mathematical answer: extraction here, equivalence in worker processes with a hard limit."""

import re
import threading
import time
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from evalkit.grading.answers.extract import Extracted, extract_answer
from evalkit.grading.answers.statement import worded_conclusion
from evalkit.thinking import split_thinking
from evalkit.types import NO_RIGHT_ANSWER, Score
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError, processors

TIMEOUT = 1.0  # seconds a pair, start-up of a worker not included
CALCULUS_TIMEOUT = 0.6  # seconds for limits, integrals and infinite sums, which only sympy can work out
MEMORY_MB = 768
_LONGEST = 20_000  # characters of an answer that are looked at

_WORD = re.compile(r"(?:\\text\s*\{)?[A-Za-z ]{2,30}\}?")
_SEPARATOR = re.compile(r"[,;](?![^(\[{]*[)\]}])|\band\b")  # outside brackets
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3}")  # behind no backslash: no command
_DIGIT = re.compile(r"\d")
_REMARK = re.compile(r"(?!no\s)[^\W\d_]+(?:(?:['’]|[\s,]+)[^\W\d_]+){1,12}[.!]", re.IGNORECASE)  # "The end."
_SPACE = re.compile(r"\\(?:left|right|,|!|;|:|displaystyle)(?![A-Za-z])|[\s$]")
_FRACTION = re.compile(r"\A([-+]?)\\[dt]?frac\{([-+]?\d{1,300})\}\{(\d{1,300})\}")
_NUMBER = re.compile(r"[-+]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:/\d{1,300})?")
_GAP = re.compile(r"\d(?:\\[,;:! ]|\s|~)+\d")
_WHOLE = re.compile(r"[-+]?\d+")


class Verdict(NamedTuple):
    """`equal` is None where the grader could not finish; `why` names the rule, the difference, or what happened."""

    equal: bool | None
    why: str


def math_equal(gold: str, answer: str) -> bool:
    r"""Whether `answer` means the same as `gold` (docs/grading.md says what that is).

    False as well where that could not be decided in time; `grade_math` tells the two apart.

    Examples:
        >>> math_equal(r"\frac{1}{2}", "0.5")
        True
        >>> math_equal("12", "21")
        False
    """
    return bool(compare_answers(gold, answer).equal)


def grade_math(response: str, gold: str) -> Score:
    r"""Find the answer in a response (thinking split off) and compare it with `gold`.

    `value` 1 where they mean the same. Status "no_answer" where the response states none, "error" where the comparison
    ran past its time limit, its worker died or `gold` is empty, never "wrong" for that. `extracted_by` names the rule
    that found it.

    Examples:
        >>> score = grade_math(r"<think>2 + 2</think>The sum is \boxed{4}.", "4")
        >>> score.status, score.value, score.answer
        ('correct', 1.0, '4')
        >>> grade_math("I do not know.", "4").status
        'no_answer'
    """
    if not gold.strip():
        return Score(0.0, "error", None, NO_RIGHT_ANSWER)
    text = split_thinking(response).response
    if text is None:
        return Score(0.0, "no_answer", None, "the thinking block was never closed, so nothing was answered", "")
    found = extract_answer(text)
    if (found is None or found.rule == "conclusion") and _WORD.fullmatch(gold) and (word := worded_conclusion(text)):
        found = Extracted(word, "conclusion")
    if found is None:
        return Score(0.0, "no_answer", None, "no answer is stated", "")
    verdict = compare_answers(gold, found.answer)
    if verdict.equal is False and len(found.parts) > 1 and len(found.parts) == 1 + len(_SEPARATOR.findall(gold)):
        found = replace(found, answer=", ".join(found.parts), rule="boxes")
        verdict = compare_answers(gold, found.answer)
    if verdict.equal and found.worded and not _WORDS.search(gold):
        verdict = Verdict(False, "a number in a sentence is not what the sentence says")
    if verdict.equal is False and found.side is not None and "=" not in gold:
        by_side = compare_answers(gold, found.side)
        if by_side.equal:
            found, verdict = replace(found, answer=found.side), by_side
    shown = found.answer if len(found.answer) <= 200 else found.answer[:200] + "…"
    where = f"{shown!r} from the {found.rule}"
    if verdict.equal is None:
        return Score(0.0, "error", found.answer, f"{where}: {verdict.why}", found.rule)
    if not verdict.equal and found.rule == "whole response" and _REMARK.fullmatch(found.answer) and _DIGIT.search(gold):
        return Score(0.0, "no_answer", None, f"{shown!r} is a remark, not an answer", "")
    relation = "equals" if verdict.equal else "does not equal"
    explanation = f"{where} {relation} the gold {gold[:200]!r}: {verdict.why}"
    return Score(float(verdict.equal), "correct" if verdict.equal else "wrong", found.answer, explanation, found.rule)


def compare_answers(gold: str, answer: str, *, timeout: float = TIMEOUT) -> Verdict:
    """Compare two answers; cheap exact cases here, everything else in a worker, within `timeout` seconds."""
    gold, answer = gold[-_LONGEST:], answer[-_LONGEST:]
    quick = _quick(gold, answer)
    if quick is not None:
        return quick
    pair = {"gold": gold, "answer": answer}
    start = time.monotonic()
    try:
        result = _pool("equivalence").call(pair, timeout)
        if result.get("calculus"):
            left = 1.2 * timeout - (time.monotonic() - start)
            timeout = min(CALCULUS_TIMEOUT, max(0.3 * timeout, left))
            result = _pool("calculus").call(pair, timeout)
    except WorkerTimeoutError:
        return Verdict(None, f"timeout: the comparison took more than {timeout:g} s")
    except WorkerDiedError as error:
        return Verdict(None, f"the grader's worker process died, most likely at its memory limit ({error})")
    except WorkerCallError as error:
        return Verdict(None, f"the grader failed ({error})")
    return Verdict(result["equal"], result["rule"])


def _quick(gold: str, answer: str) -> Verdict | None:
    """The same text, or two plain numbers; None where more has to be looked at."""
    if len(gold) > 1000 or len(answer) > 1000 or _GAP.search(gold) or _GAP.search(answer):
        return None
    first, second = _SPACE.sub("", gold), _SPACE.sub("", answer)
    if first and first == second and "box" not in first:
        return Verdict(True, "the same text")
    a, b = _number(first), _number(second)
    if a is not None and b is not None:
        if a == b:
            return Verdict(True, "exact value")
        # a space may separate two numbers or group the digits of one, and a decimal may be rounded
        if _WHOLE.fullmatch(gold.strip()) and _WHOLE.fullmatch(answer.strip()):
            return Verdict(False, "the values differ")
    return None


def _number(text: str) -> Fraction | None:
    text = _FRACTION.sub(r"\1\2/\3", text)
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Fraction(text.replace("./", "/").rstrip("."))
    except (ValueError, ZeroDivisionError):
        return None


_lock = threading.Lock()
_shared: dict[str, WorkerPool] = {}


def _pool(module: str) -> WorkerPool:
    """The workers of this process that run a module's `judge`, made when first needed."""
    with _lock:
        if module not in _shared:
            name = f"evalkit.grading.equality.{module}"
            _shared[module] = WorkerPool(
                f"{name}:judge",
                workers=max(2, processors()),
                memory_mb=MEMORY_MB,
                initializer=f"{name}:warm_up" if module == "calculus" else None,
                spare=True,
            )
    return _shared[module]
