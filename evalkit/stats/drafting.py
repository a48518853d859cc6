"""Speculative decoding with the student as the draft model: how many tokens one pass of the teacher gives."""

from collections.abc import Sequence

import numpy as np

from evalkit.stats.intervals import Floats


def expected_calls(accepted: Floats, gamma: int) -> float:
    """The expected number of the teacher's passes for one of its own texts, drafted `gamma` tokens at a time.

    `accepted` holds min(1, q / p) of each token of the text: given that the text is what came out, the token at a
    drafted position was the student's with that probability, independently of the others (Leviathan, Kalman and
    Matias 2023, arXiv:2211.17192, algorithm 1). A pass covers the accepted drafts and one token more, so with f(t)
    passes from token t on, f(t) = 1 + sum_k P(k accepted) f(t + k + 1): solved backwards.

    >>> expected_calls(np.ones(10), 4), expected_calls(np.zeros(10), 4)
    (2.0, 10.0)
    """
    length = len(accepted)
    left = np.zeros(length + gamma + 2)
    padded = np.concatenate([accepted, np.ones(gamma)])  # beyond the end there is nothing to reject
    reach = np.ones((length, gamma + 1))
    for k in range(gamma):
        reach[:, k + 1] = reach[:, k] * padded[k : k + length]
    stopped = reach.copy()
    stopped[:, :gamma] -= reach[:, 1:]
    for t in range(length - 1, -1, -1):
        left[t] = 1 + stopped[t] @ left[t + 1 : t + gamma + 2]
    return float(left[0])


def tokens_per_call(rate: float, gammas: Sequence[int]) -> list[float]:
    """(1 - a^(gamma + 1)) / (1 - a): tokens of a pass where each draft is accepted with the same probability `rate`.

    Leviathan et al. 2023, equation 1. It takes acceptance to be independent from token to token.
    """
    return [float(sum(rate**k for k in range(gamma + 1))) for gamma in gammas]
