"""Finds that a completion has fallen into an exact loop, from which a model does not come back."""

from collections.abc import Sequence

LEAST_TOKENS = 1024
LEAST_REPEATS = 8
LONGEST_PERIOD = 512
CHECK_EVERY = 128
"""An engine may look at a completion each time it has grown by so many tokens."""

_PROBE = 16  # tokens: a period is tried where these, the last ones, stood before


def loop_period(
    tokens: Sequence[int], least_tokens: int = LEAST_TOKENS, least_repeats: int = LEAST_REPEATS
) -> int | None:
    """The period in tokens of the exact loop that `tokens` ends in, None where it ends in none.

    A loop has at least `least_repeats` repeats that cover at least `least_tokens` tokens, with a period of at most
    `LONGEST_PERIOD`: long tables and the digits of a fraction stay below that.
    """
    count = len(tokens)
    if count < max(least_tokens, _PROBE + 1):
        return None
    last, probe = tokens[-1], list(tokens[-_PROBE:])
    for period in range(1, min(LONGEST_PERIOD, count - _PROBE) + 1):
        if tokens[-1 - period] != last or list(tokens[-_PROBE - period : -period]) != probe:
            continue
        span = max(least_tokens, least_repeats * period)
        if span <= count and list(tokens[-span:-period]) == list(tokens[-span + period :]):
            return period
    return None


def ends_in_loop(tokens: Sequence[int]) -> bool:
    """Whether a completion that grows token by token has just been found in a loop; looked at every `CHECK_EVERY`."""
    return len(tokens) % CHECK_EVERY == 0 and loop_period(tokens) is not None
