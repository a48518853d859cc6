"""Other projects' graders behind one function, so that a user can tell how much of a gap is the grader."""

import importlib.util
from collections.abc import Callable, Sequence

from evalkit.errors import EvalkitError
from evalkit.grading.answers.extract import extract_answer
from evalkit.grading.math import grade_math
from evalkit.thinking import split_thinking
from evalkit.types import Score
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError

TIMEOUT = 10.0  # seconds a pair: math-verify allows itself 5 for parsing and 5 for comparing
MEMORY_MB = 2048

# grader -> (module that has to be there, how to install it, the function that a worker runs)
_GRADERS: dict[str, tuple[str, str, str]] = {
    "math-verify": ("math_verify", "pip install math-verify", "evalkit.grading.external:run_math_verify"),
    "prm800k": (
        "prm800k",
        "git clone https://github.com/openai/prm800k, PYTHONPATH=prm800k, pip install pylatexenc sympy",
        "evalkit.grading.external:run_prm800k",
    ),
}
GRADERS = ("evalkit", *_GRADERS)
Grader = Callable[[str, str], Score]


def grader(name: str) -> Grader:
    """The function (response, gold) -> Score of a grader. Raises EvalkitError where it is unknown or not installed."""
    if name == "evalkit":
        return grade_math
    if name not in _GRADERS:
        raise EvalkitError(f"There is no grader {name!r}.", f"available: {', '.join(GRADERS)}.")
    module, install, function = _GRADERS[name]
    if importlib.util.find_spec(module) is None:
        raise EvalkitError(f"The grader {name} needs the package {module}, which is not installed.", install + ".")
    pool = WorkerPool(function, workers=2, memory_mb=MEMORY_MB)

    def grade(response: str, gold: str) -> Score:
        text = split_thinking(response).response
        if text is None:
            return Score(0.0, "no_answer", None, "the thinking block was never closed, so nothing was answered", name)
        try:
            result = pool.call({"response": text, "gold": gold}, TIMEOUT)
        except WorkerTimeoutError:
            return Score(0.0, "error", None, f"timeout: {name} took more than {TIMEOUT:g} s", name)
        except (WorkerDiedError, WorkerCallError) as error:
            return Score(0.0, "error", None, f"{name} failed: {error}", name)
        if result["answer"] is None:
            return Score(0.0, "no_answer", None, f"{name} found no answer", name)
        status = "correct" if result["equal"] else "wrong"
        return Score(float(result["equal"]), status, result["answer"], f"by {name}", name)  # type: ignore[arg-type]

    return grade


def run_math_verify(payload: dict[str, str]) -> dict[str, object]:
    """Extraction and comparison by math-verify; its alarm is off, the worker's limit holds instead."""
    import logging

    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns at every call that its alarm is off

    answer = parse(payload["response"], parsing_timeout=None)
    gold = parse(f"${payload['gold']}$", parsing_timeout=None) or parse(payload["gold"], parsing_timeout=None)
    shown = str(answer[-1]) if answer else None
    return {"answer": shown, "equal": bool(answer) and bool(verify(gold, answer, timeout_seconds=None))}


def run_prm800k(payload: dict[str, str]) -> dict[str, object]:
    """Comparison by prm800k's grader; it has no extraction of its own, so the answer is found by evalkit's."""
    import sys

    import prm800k  # type: ignore[import-not-found]

    if (folder := next(iter(prm800k.__path__))) not in sys.path:
        sys.path.append(folder)  # its modules import each other as `grading`
    from grading.grader import grade_answer  # type: ignore[import-not-found]

    found = extract_answer(payload["response"])
    if found is None:
        return {"answer": None, "equal": False}
    return {"answer": found.answer, "equal": bool(grade_answer(found.answer, payload["gold"]))}


def differences(samples: Sequence[tuple[str, str, str]], other: str) -> list[tuple[str, Score, Score]]:
    """(label, ours, theirs) of the (label, response, gold) samples whose verdicts differ from evalkit's."""
    theirs = grader(other)
    found = []
    for label, response, gold in samples:
        pair = grade_math(response, gold), theirs(response, gold)
        if pair[0].status != pair[1].status:
            found.append((label, *pair))
    return found
