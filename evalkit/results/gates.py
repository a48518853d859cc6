"""Conditions on a comparison, for CI: `math500 >= -1` holds unless B has lost more than a point against A."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil
from typing import Literal

from evalkit.errors import EvalkitError
from evalkit.results.compare import LEVEL, RunComparison, TaskComparison

Outcome = Literal["passed", "failed", "too few samples"]
Over = Literal["run", "problems"]
EXIT_CODES: dict[Outcome, int] = {"passed": 0, "failed": 3, "too few samples": 4}
_FORM = re.compile(r"\s*(?P<task>[^\s<>=]+)\s*>=\s*(?P<least>[-+−]?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """`task >= least`: the difference B − A on tasks that match the pattern `task` must not be below `least` points."""

    task: str
    least: float

    def __str__(self) -> str:
        return f"{self.task} >= {self.least:g}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate on one task of one comparison. Values are in points.

    `interval` is run to run or over problems, as `over` says. The gate has `failed`
    if the whole interval is below `gate.least`, and has `passed` if none of it is.
    `samples_needed` per problem would decide it if the difference stayed as it is; None if that cannot be told.
    """

    gate: Gate
    a: str
    b: str
    task: str
    title: str
    difference: float
    interval: tuple[float, float]
    outcome: Outcome
    samples: int
    samples_needed: int | None
    over: Over


def parse_gate(text: str) -> Gate:
    """`math500 >= -1` as a gate. Raises EvalkitError if it does not have that form."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise EvalkitError(
            f"{text!r} is not a gate.",
            "write TASK >= POINTS, such as 'math500 >= -1' (B may lose one point) or '* >= 0'.",
        )
    return Gate(found["task"], float(found["least"].replace("−", "-")))


def check_gates(gates: Sequence[Gate], compared: Sequence[RunComparison], over: Over = "run") -> list[GateResult]:
    """Every gate on every task that it names, of each comparison.

    The interval is run to run (the same problems, new samples) or over problems. It is the 95% interval, widened as
    Bonferroni does where several gates are checked, so that a false failure of any of them stays below 5%.

    Raises EvalkitError if a gate names no task that was compared.
    """
    checked: list[tuple[Gate, RunComparison, TaskComparison]] = []
    for gate in gates:
        named = [(gate, run, t) for run in compared for t in run.tasks if fnmatchcase(t.task, gate.task)]
        if not named:
            known = ", ".join(dict.fromkeys(t.task for run in compared for t in run.tasks))
            raise EvalkitError(f"The gate {str(gate)!r} names no task that was compared.", f"compared: {known}.")
        checked += named
    wider = _widening(len(checked))
    return [_check(gate, run, task, over, wider) for gate, run, task in checked]


def exit_code(results: Sequence[GateResult]) -> int:
    """3 if a gate has failed, else 4 if one could not be decided, else 0."""
    outcomes = {result.outcome for result in results}
    return next((EXIT_CODES[o] for o in ("failed", "too few samples") if o in outcomes), 0)


def _widening(gates: int) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - LEVEL / 2 / gates) / ndtri(1 - LEVEL / 2))


def _check(gate: Gate, run: RunComparison, task: TaskComparison, over: Over, wider: float) -> GateResult:
    found = task.result
    value = 100 * found.difference
    ends = found.interval_run if over == "run" else found.interval_problems
    low, high = (value + wider * (100 * end - value) for end in ends)
    outcome: Outcome = "failed" if high < gate.least else "passed" if low >= gate.least else "too few samples"
    samples = min(found.a.samples, found.b.samples)
    distance, reach = abs(value - gate.least), (value - low) if value >= gate.least else (high - value)
    needed = ceil(samples * (reach / distance) ** 2) if over == "run" and distance > 0.01 else None
    return GateResult(
        gate,
        run.a.label,
        run.b.label,
        task.task,
        task.title,
        value,
        (low, high),
        outcome,
        samples,
        needed if outcome == "too few samples" else None,
        over,
    )
