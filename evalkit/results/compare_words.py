"""What a comparison says, in one sentence."""

from collections.abc import Sequence

from evalkit.results.compare import RunComparison, TaskComparison
from evalkit.results.gates import GateResult
from evalkit.stats.percent import in_percent

_CLOSE = 0.05  # the half-width, over problems, up to which equal results say that there is no large difference


def points(value: float, signed: bool = True) -> str:
    """A difference given as a fraction, in points: `+2.1`, `−0.4`, and `0.0` without a sign."""
    text = f"{in_percent(value):+.1f}" if signed else f"{in_percent(value):.1f}"
    return (text if float(text) else text.lstrip("+-")).replace("-", "−")


def interval(pair: tuple[float, float]) -> str:
    """An interval of a difference, in points: `[0.8, 3.4]`."""
    return f"[{points(pair[0], False)}, {points(pair[1], False)}]"


def sentence(compared: RunComparison) -> str:
    """What is established, and for the rest what it would take to see a difference.

    `B is better than A on MATH-500 by 2.1 points [0.8, 3.4], established; on AIME 2024 the difference is not
    established (+1.2 [−2.0, 4.1]): 340 more samples per problem would show 3 points.`
    """
    a, b = compared.a.label, compared.b.label
    better = [t for t in compared.tasks if t.established and t.result.difference > 0]
    worse = [t for t in compared.tasks if t.established and t.result.difference < 0]
    open_ = [t for t in compared.tasks if not t.established]
    parts = []
    if better:
        parts.append(f"{b} is better than {a} {_by(better)}, established")
    if worse:
        parts.append(f"{'it' if better else b} is worse {'' if better else f'than {a} '}{_by(worse)}, established")
    if not parts:
        parts.append(f"Between {b} and {a} no difference is established")
    parts += [_not_seen(task) for task in open_]
    return "; ".join(parts) + "."


def _by(tasks: Sequence[TaskComparison]) -> str:
    told = [
        f"on {t.title} by {points(abs(t.result.difference), False)} points {interval(_away(t))}"
        + (" (other problems)" if not t.result.paired else "")
        for t in tasks
    ]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _away(task: TaskComparison) -> tuple[float, float]:
    """The interval over problems of the size of the difference: for a loss its ends change sign and place."""
    low, high = task.result.interval_problems
    return (low, high) if task.result.difference > 0 else (-high, -low)


def _not_seen(task: TaskComparison) -> str:
    found = task.result
    low, high = found.interval_problems
    if found.least_p == 1.0 and found.difference == 0:
        if (high - low) / 2 <= _CLOSE:
            return f"on {task.title} nothing differs {interval(found.interval_problems)}"
        many = f"{task.problems:,} problem{'' if task.problems == 1 else 's'}"
        told = interval(found.interval_problems) if low == low else ""
        return f"on {task.title} too few problems to tell: none of {many} differs {told}".rstrip()
    known = found.interval_problems[0] == found.interval_problems[0]
    seen = f"{points(found.difference)} {interval(found.interval_problems) if known else ''}".rstrip()
    start = f"on {task.title} the difference is not established ({seen})"
    target = f"{100 * found.target:g} points"
    if task.more_samples is None:
        if found.problems_needed is None:
            return start
        count = task.problems
        if found.problems_needed <= count:
            return f"{start}: {target} would have been seen over problems of this kind"
        more = f"about {found.problems_needed:,} would be needed"
        return f"{start}: more samples of these {count:,} problems would not show {target}, {more}"
    if task.more_samples == 0:
        return (
            f"{start}: {target} would have been seen on these problems, sampled again; over problems of this kind "
            f"{points(found.seen_problems, False)}"
        )
    most = "at most " if found.needed_is_bound else ""
    if found.a.samples != found.b.samples:
        return f"{start}: {most}{task.samples_needed:,} samples per problem in both would show {target}"
    plural = "" if task.more_samples == 1 else "s"
    return f"{start}: {most}{task.more_samples:,} more sample{plural} per problem would show {target}"


def gate_sentence(result: GateResult) -> str:
    """What became of a gate, with the figures."""
    low, high = (points(end / 100) for end in result.interval)
    kind = "run to run" if result.over == "run" else "over problems"
    told = f"gate {result.gate} on {result.title}: {points(result.difference / 100)} [{low}, {high}] {kind}, "
    told += result.outcome
    if result.samples_needed is not None:
        told += f"; {result.samples_needed:,} samples per problem would decide it if the difference stays (n = "
        told += f"{result.samples})"
    return told
