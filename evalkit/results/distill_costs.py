"""What a model's answers cost: tokens of thinking and of answer, tokens after the answer was there, budgets."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from evalkit.results.distill_models import TaskSide
from evalkit.stats.clustered import ClusteredMean, ratio_of_sums
from evalkit.stats.intervals import Floats
from evalkit.stats.metrics import avg_at_n
from evalkit.stats.paired import paired_difference
from evalkit.thinking import split_thinking

BUDGET_STEPS = 17


@dataclass(frozen=True, slots=True)
class Cost:
    """One model's completions of one benchmark; None where the engine counted no tokens.

    `tokens` per completion, of which `thinking` and `answer` (split by characters); `after_answer` is the share in
    [0, 1] of a right completion's tokens that come after its final answer was first stated. `per_right` is all tokens
    over the right completions. `length_ratio` is against the teacher (see `length_ratio`); None where no problem is
    solved by both.
    `budgets` holds the accuracy in [0, 1] had completions been cut at so many tokens, `budget_intervals` its 95%
    interval run to run. `tokens_interval` and `per_right_interval` are over problems, None for a single problem.
    """

    tokens: float
    thinking: float
    answer: float
    after_answer: float | None
    per_right: float | None
    length_ratio: ClusteredMean | None
    budgets: Mapping[int, float]
    budget_intervals: Mapping[int, tuple[float, float]]
    tokens_interval: tuple[float, float] | None
    per_right_interval: tuple[float, float] | None


def first_stated(text: str, answer: str) -> int | None:
    """The character after which `answer` has been stated: in a box, after the word answer, or as a result.

    None where it is stated nowhere in the text as it is written. A result is what follows `=` at the end of a line or
    a formula.

    >>> first_stated("7+8=15 and so on", "15") is None, first_stated("7+8=15\\nso 15", "15")
    (True, 6)
    """
    patterns = _statements(answer)
    if patterns is None:
        return None
    boxed, worded, result = patterns
    found = [m for m in (boxed.search(text), _after_the_word(text, worded), result.search(text)) if m is not None]
    return min(found, key=lambda match: match.start()).end() if found else None


# Each begins with a character that is sought far sooner than a pattern of all three.
@lru_cache(2000)  # the samples of a problem come one after the other, and those of another run later
def _statements(answer: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]] | None:
    """What states `answer`: a box, words after the word answer, a result; None where it has no character."""
    written = r"\s*".join(map(re.escape, answer.split()))
    if not written:
        return None
    return (
        re.compile(rf"\\boxed\s*\{{\s*{written}\s*\}}", re.IGNORECASE),
        re.compile(rf"answer\b[^\n]{{0,40}}?(?<![\w.]){written}(?![\w.]*\w)", re.IGNORECASE),
        re.compile(rf"=\s*\$?{written}(?=\$?[.,;]?\s*(?:\n|\\\)|\\\]|\Z))", re.IGNORECASE),
    )


def _after_the_word(text: str, worded: re.Pattern[str]) -> re.Match[str] | None:
    """The first match of a pattern that begins with the word answer, in small letters, capitals, or with a capital."""
    matches = []
    for rest, firsts in (("nswer", "aA"), ("NSWER", "A")):
        at = text.find(rest, 1)
        while at > 0:
            begins = text[at - 1] in firsts and not (at > 1 and (text[at - 2].isalnum() or text[at - 2] == "_"))
            if begins and (match := worded.match(text, at - 1)):
                matches.append(match)
                break
            at = text.find(rest, at + 1)
    return min(matches, key=lambda match: match.start(), default=None)


def budget_grid(sides: Sequence[tuple[TaskSide, list[int]]]) -> list[int]:
    """Token budgets from below the shortest completions to the longest, evenly on a logarithmic scale."""
    tokens = [side.samples.tokens[rows].ravel() for side, rows in sides if side.samples.tokens is not None]
    if not tokens:
        return []
    every = np.concatenate(tokens)
    longest = max(int(every.max()), 2)
    shortest = min(max(float(np.quantile(every, 0.01)) / 2, 1.0), longest / 2)
    return [int(b) for b in np.unique(np.round(np.geomspace(shortest, longest, BUDGET_STEPS)))]


def budget_differences(
    first: tuple[TaskSide, list[int]], second: tuple[TaskSide, list[int]], grid: Sequence[int]
) -> dict[int, ClusteredMean]:
    """The first's accuracy less the second's at each budget, paired by problem; empty where tokens were not counted."""
    found: dict[int, ClusteredMean] = {}
    for budget in grid:
        cut = []
        for side, rows in (first, second):
            if side.samples.tokens is None:
                return {}
            cut.append(np.where(side.samples.tokens[rows] <= budget, side.samples.values[rows], 0.0))
        found[budget] = paired_difference(cut[1], cut[0])
    return found


def measure_cost(
    side: TaskSide, rows: list[int], teacher: TaskSide | None, teacher_rows: list[int], grid: Sequence[int]
) -> Cost | None:
    """The costs of one model on the problems at `rows`; lengths are compared with the teacher's at `teacher_rows`,
    accuracies told at the budgets of `grid`."""
    samples = side.samples
    if samples.tokens is None or side.run is None:
        return None
    tokens, values = samples.tokens[rows].astype(np.float64), samples.values[rows]
    thinking, after = _shares(side, [samples.problem_ids[i] for i in rows])
    right = float((values >= 1).sum())
    mean = float(tokens.mean())
    ratio = None
    if teacher is not None and teacher.run is not None and teacher.samples.tokens is not None:
        theirs = teacher.samples.tokens[teacher_rows].astype(np.float64)
        ratio = length_ratio(tokens, values, theirs, teacher.samples.values[teacher_rows])
    cut = {b: avg_at_n(np.where(tokens <= b, values, 0.0)) for b in grid}
    spent = tokens.sum(axis=1)
    return Cost(
        tokens=mean,
        thinking=mean * thinking,
        answer=mean * (1 - thinking),
        after_answer=after,
        per_right=float(tokens.sum()) / right if right else None,
        length_ratio=ratio,
        budgets={b: found.value for b, found in cut.items()},
        budget_intervals={b: found.interval_run for b, found in cut.items()},
        tokens_interval=_over_problems(spent, np.full(len(rows), float(tokens.shape[1]))),
        per_right_interval=_over_problems(spent, (values >= 1).sum(axis=1).astype(np.float64)) if right else None,
    )


def _over_problems(numerators: Floats, denominators: Floats) -> tuple[float, float] | None:
    low, high = ratio_of_sums(numerators, denominators).interval
    return (max(low, 0.0), high) if np.isfinite(low) else None


def _shares(side: TaskSide, wanted: list[str]) -> tuple[float, float | None]:
    """The share of all tokens that is thinking, and the share of right completions' tokens after the answer stood."""
    assert side.run is not None
    chosen = set(wanted)
    scores = side.run.files.latest_scores()
    thought = total = after = counted = 0.0
    for completion in side.run.files.standing_completions():
        if completion.problem_id not in chosen or not completion.completion_tokens:
            continue
        text = completion.prefix + completion.text
        per_character = completion.completion_tokens / max(len(completion.text), 1)
        parts = split_thinking(text)
        thinking = len(text) if parts.response is None else len(parts.thinking)
        thought += max(thinking - len(completion.prefix), 0) * per_character
        total += completion.completion_tokens
        score = scores.get(completion.key)
        if score is None or score.value < 1 or not score.answer:
            continue
        stated = first_stated(text, score.answer)
        if stated is not None:
            after += max(len(text) - stated, 0) * per_character
            counted += completion.completion_tokens
    return (min(thought / total, 1.0) if total else 0.0), (after / counted if counted else None)


def length_ratio(own: Floats, own_values: Floats, theirs: Floats, their_values: Floats) -> ClusteredMean | None:
    """The geometric mean over problems that both solve of own over the teacher's mean length of right completions.

    The arrays are tokens and values by problem and sample index. `clusters` are the problems that both solve; None
    where there are none. The interval is NaN where there is one, or where the ratio is the same on all of them, which
    tells nothing of how another problem's would differ. `stderr` is that of the logarithm.
    """
    logs = []
    for mine, right, other, other_right in zip(own, own_values >= 1, theirs, their_values >= 1, strict=True):
        if right.any() and other_right.any() and mine[right].mean() > 0 and other[other_right].mean() > 0:
            logs.append(float(np.log(mine[right].mean() / other[other_right].mean())))
    if not logs:
        return None
    found = ratio_of_sums(np.array(logs), np.ones(len(logs)))
    low, high = np.exp(found.interval) if np.ptp(logs) > 1e-9 else (math.nan, math.nan)
    return replace(found, value=float(np.exp(found.value)), interval=(float(low), float(high)))
