"""avg@n, pass@k and cons@k with their error bars, from the samples of each problem."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.stats.intervals import Estimate, Floats, estimate
from evalkit.stats.solve_rates import pass_table, pass_variance
from evalkit.stats.voting import election_mean, election_variances, resampling_factor, tally

Answer = TypeVar("Answer", bound=Hashable)

_ELECTIONS = 10_000  # simulated for the run-to-run error of one cons@k, over all its problems


def _matrix(values: Sequence[Sequence[float]] | Floats) -> Floats:
    """`values` as (problems, samples). Raises EvalkitError where a problem has more or fewer samples than another."""
    if len(values) == 0:
        raise EvalkitError("There is no problem to take a mean over.", "check the run: it has no scores.")
    lengths = {len(row) for row in values}
    if len(lengths) != 1 or 0 in lengths:
        raise EvalkitError(
            f"The problems have different numbers of samples: {min(lengths)} to {max(lengths)}.",
            "resume the run: n asked for and n had have to be equal, or the mean is one of something else.",
        )
    matrix = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(matrix).all() and (matrix >= 0).all() and (matrix <= 1).all()):
        raise EvalkitError("A sample's value lies outside [0, 1].", "repair the task's score() or extra_metrics().")
    return matrix


def _check_k(k: int, samples: int, metric: str) -> None:
    if not 1 <= k <= samples:
        raise EvalkitError(
            f"{metric}@{k} needs {max(k, 1)} samples per problem, and there are {samples}.",
            f"use a k from 1 to {samples}, or run with -n {max(k, 1)}.",
        )


def avg_at_n(values: Sequence[Sequence[float]] | Floats) -> Estimate:
    """The mean over problems of the mean over samples: `values` by problem, each in [0, 1].

    With one sample per problem the run-to-run error is the upper bound that independent draws at one rate would have:
    a single draw says nothing of how a problem's second draw would differ.
    Raises EvalkitError on an empty set, on problems with different numbers of samples and on values outside [0, 1].

    Examples:
        >>> found = avg_at_n([[1, 0, 1, 1], [0, 0, 0, 1]])
        >>> found.value, found.problems, found.samples
        (0.5, 2, 4)
    """
    matrix = _matrix(values)
    n = matrix.shape[1]
    variance = float(matrix.var(axis=1, ddof=1).sum()) / n if n > 1 else None
    return estimate(matrix.mean(axis=1), variance, n, binary=bool(np.isin(matrix, (0.0, 1.0)).all()))


def pass_at_k(values: Sequence[Sequence[float]] | Floats, k: int) -> Estimate:
    """The probability that at least one of k samples is right, without bias: 1 - C(n-c, k) / C(n, k).

    Chen et al. 2021 (arXiv:2107.03374), equation 1; c counts the samples of value 1. The run-to-run variance
    assumes no family of solve rates (`evalkit.stats.solve_rates`); at k = 1 it is `avg_at_n`'s.
    Raises EvalkitError as `avg_at_n` does, and on a k that is not in [1, n].

    Examples:
        >>> round(pass_at_k([[1, 0, 0, 0], [1, 1, 0, 0]], k=2).value, 3)
        0.667
    """
    return pass_curve(values, [k])[0]


def avg_of_unequal(problems: Sequence[Floats]) -> Estimate:
    """The mean over problems of the mean of each problem's outcomes, of which problems have different numbers.

    The numbers must not depend on the outcomes; `evalkit.stats.precision` is for those that do. A problem with one
    outcome adds to the run-to-run error what the others show on average. Raises EvalkitError as `avg_at_n` does.

    Examples:
        >>> avg_of_unequal([np.array([1.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])]).value
        0.5
    """
    rows = [_matrix(values[None, :])[0] for values in problems]
    if not rows:
        raise EvalkitError("There is no problem to take a mean over.", "check the run: it has no scores.")
    known = [float(row.var(ddof=1)) for row in rows if len(row) > 1]
    usual = float(np.mean(known)) if known else None
    variance = None
    if usual is not None:
        variance = sum((float(r.var(ddof=1)) if len(r) > 1 else usual) / len(r) for r in rows)
    fewest = min(len(row) for row in rows)
    means = np.array([row.mean() for row in rows])
    return estimate(means, variance, fewest, binary=all(bool(np.isin(r, (0.0, 1.0)).all()) for r in rows))


def pass_curve(values: Sequence[Sequence[float]] | Floats, ks: Sequence[int]) -> list[Estimate]:
    """`pass_at_k` for each of several k.

    Examples:
        >>> [round(found.value, 3) for found in pass_curve([[1, 0, 0, 0], [1, 1, 0, 0]], [1, 2, 4])]
        [0.375, 0.667, 1.0]
    """
    matrix = _matrix(values)
    n = matrix.shape[1]
    for k in ks:
        _check_k(k, n, "pass")
    right = matrix >= 1
    counts = right.sum(axis=1)
    problems_by_count = np.bincount(counts, minlength=n + 1).astype(np.float64)
    curve = []
    for k in ks:
        if k == 1:
            curve.append(avg_at_n(right.astype(np.float64)))
        else:
            variance = float(pass_variance(problems_by_count, n, k))  # n >= k > 1
            curve.append(estimate(pass_table(n, k)[counts], variance, n, k))
    return curve


def cons_at_k(
    answers: Sequence[Sequence[Hashable | None]], correct: Sequence[Sequence[bool]] | Floats, k: int
) -> Estimate:
    """The score of the majority answer of k samples, averaged exactly over all C(n, k) subsets of the n samples.

    `answers` by problem and sample, mapped to equivalence classes (equal objects are one answer); None is no answer
    and has no vote. A tie is shared among its answers; k samples without any answer score 0. An answer counts as the
    mean of `correct` over its samples. The run-to-run variance of a problem is that of an election among k draws
    from the observed answers, times `resampling_factor`.
    Raises EvalkitError as `avg_at_n` does, on a k that is not in [1, n] and on answers that do not match `correct`.

    Examples:
        >>> cons_at_k([["7", "7", "8"]], [[True, True, False]], k=3).value
        1.0
    """
    return cons_curve(answers, correct, [k])[0]


def cons_curve(
    answers: Sequence[Sequence[Hashable | None]], correct: Sequence[Sequence[bool]] | Floats, ks: Sequence[int]
) -> list[Estimate]:
    """`cons_at_k` for each of several k.

    Examples:
        >>> [round(found.value, 3) for found in cons_curve([["7", "7", "8"]], [[True, True, False]], [1, 3])]
        [0.667, 1.0]
    """
    matrix = _matrix(correct)
    n = matrix.shape[1]
    if [len(row) for row in answers] != [n] * len(matrix):
        raise EvalkitError("There are not as many answers as scores.", "grade the run again.")
    ballots = [tally(row, right) for row, right in zip(answers, matrix.tolist(), strict=True)]
    elections = max(_ELECTIONS // len(matrix), 50)
    curve = []
    for k in ks:
        _check_k(k, n, "cons")
        values = np.array([election_mean(ballot, n, k) for ballot in ballots])
        variance = None
        if n > 1:
            drawn = election_variances(ballots, n, k, np.random.default_rng(0), elections)
            variance = float(drawn.sum()) * resampling_factor(n, k)
        curve.append(estimate(values, variance, n, k))
    return curve


def equivalence_classes(answers: Sequence[Answer | None], equal: Callable[[Answer, Answer], bool]) -> list[int | None]:
    """A number for each answer, the same for answers that are `equal`; None stays None.

    An answer joins the first class with whose first member it is equal, so each answer meets each class once.

    Examples:
        >>> equivalence_classes(["1/2", None, "0.5", "3"], lambda a, b: {a, b} == {"1/2", "0.5"})
        [0, None, 0, 1]
    """
    representatives: list[Answer] = []
    classes: list[int | None] = []
    known: dict[Answer, int] = {}
    for answer in answers:
        if answer is None:
            classes.append(None)
            continue
        if answer not in known:
            same = (i for i, r in enumerate(representatives) if equal(r, answer))
            known[answer] = next(same, len(representatives))
            if known[answer] == len(representatives):
                representatives.append(answer)
        classes.append(known[answer])
    return classes
