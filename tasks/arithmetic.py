"""Two-digit arithmetic. The problems are generated, so nothing is downloaded, and very small models can learn it."""

import hashlib
import random
from collections.abc import Sequence
from functools import cache
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from evalkit.benchmark.task import Task
from evalkit.grading import grade_math
from evalkit.types import Problem, Score

if TYPE_CHECKING:
    from evalkit.benchmark.data import DataSource

_TEST_ROWS = {"add": 67, "sub": 67, "mul": 66}
_SYMBOLS = {"add": "+", "sub": "-", "mul": "*"}


def _problem(operation: str, a: int, b: int) -> Problem:
    target = {"add": a + b, "sub": a - b, "mul": a * b}[operation]
    return Problem(
        id=f"{operation}-{a}-{b}",
        prompt=f"What is {a} {_SYMBOLS[operation]} {b}?",
        target=str(target),
        metadata={"operation": operation, "a": a, "b": b},
    )


def _digest(problem: Problem) -> str:
    return hashlib.sha256(problem.id.encode()).hexdigest()


def _fact(problem: Problem) -> tuple[str, int, int]:
    """A key that is equal for 37 + 48 and 48 + 37, so that both are on the same side of the split."""
    a, b, operation = problem.metadata["a"], problem.metadata["b"], problem.metadata["operation"]
    return (operation, min(a, b), max(a, b)) if operation == "add" else (operation, a, b)


@cache
def _splits() -> tuple[tuple[Problem, ...], dict[str, tuple[Problem, ...]]]:
    """The test split, and the training problems by operation. The hash of its id decides the side of a problem."""
    two_digits = range(10, 100)
    everything = {
        "add": [_problem("add", a, b) for a in two_digits for b in two_digits],
        "sub": [_problem("sub", a, b) for a in two_digits for b in two_digits if b <= a],
        "mul": [_problem("mul", a, b) for a in two_digits for b in range(2, 10)],
    }
    test: list[Problem] = []
    pool: dict[str, tuple[Problem, ...]] = {}
    for operation, problems in everything.items():
        problems.sort(key=_digest)
        chosen: dict[tuple[str, int, int], Problem] = {}
        for problem in problems:
            if len(chosen) == _TEST_ROWS[operation]:
                break
            chosen.setdefault(_fact(problem), problem)
        test.extend(chosen.values())
        pool[operation] = tuple(p for p in problems if _fact(p) not in chosen)
    return tuple(sorted(test, key=_digest)), pool


def test_problems() -> tuple[Problem, ...]:
    """The 200 problems of `evalkit run -t arithmetic`, in a fixed order."""
    return _splits()[0]


test_problems.__test__ = False  # type: ignore[attr-defined]  # not a pytest test, despite its name


def training_problems(count: int | None = None, seed: int = 0) -> tuple[Problem, ...]:
    """`count` distinct problems (None for all) that are not in the test split, shuffled with `seed`.

    The three operations alternate while each has problems left, so a small set has equal shares of them. A smaller
    count gives a prefix of a larger one. Raises ValueError if there are fewer than `count` problems.
    """
    rng = random.Random(seed)
    shuffled = [rng.sample(problems, len(problems)) for problems in _splits()[1].values()]
    turns = [p for p in chain.from_iterable(zip_longest(*shuffled)) if p is not None]
    if count is not None and not 0 <= count <= len(turns):
        raise ValueError(f"there are {len(turns)} training problems, not {count}")
    return tuple(turns[:count])


class Arithmetic(Task):
    """Addition and subtraction of two-digit numbers, and multiplication of a two-digit by a one-digit number.

    Its kind is "other", so that no protocol adds instructions to the prompt: the demo's models know the question only.
    """

    name = "arithmetic"
    version = 1
    title = "Two-digit arithmetic"
    rows = 200
    targets_sha256 = "0350108a51564b7e5795842d6a2eee1ba8bd650ef8052e04d2bdfca24856d2db"
    n = 8

    def load(self, source: "DataSource") -> Sequence[Problem]:
        return test_problems()

    def score(self, problem: Problem, response: str) -> Score:
        return grade_math(response, problem.target)
