"""What a distillation's figures say, in sentences: nothing is said that an interval does not carry."""

import math
from collections.abc import Iterator

from evalkit.results.distill_records import (
    Agreement,
    Distillation,
    Gap,
    Round,
    SolvedSet,
    StudentDistillation,
    TaskDistillation,
)
from evalkit.stats.agreement import ErrorConsistency
from evalkit.stats.clustered import ClusteredMean
from evalkit.stats.percent import in_percent
from evalkit.stats.ratio import Ratio

_WIDEST = 1.0  # an interval of the gap recovered that is wider says too little to give one figure
_NAMED = 8  # problems named in a sentence
_TELLING = 0.5  # a share whose 95% interval is wider is no finding


def percent(value: float, digits: int = 0) -> str:
    """`71%` of 0.71, with a minus sign and never `−0%`."""
    text = f"{in_percent(value):.{digits}f}"
    return (text.replace("-", "−") if float(text) else text.lstrip("-")) + "%"


def interval_percent(interval: tuple[float, float], digits: int = 0) -> str:
    """`[58, 84]` of (0.58, 0.84)."""
    low, high = (percent(end, digits).rstrip("%") for end in interval)
    return f"[{low}, {high}]"


def ratio_text(ratio: Ratio | None, digits: int = 0) -> str:
    """`71% [58, 84]`, `not defined`, or `–` where it was not computed."""
    if ratio is None:
        return "–"
    if ratio.value is None or ratio.interval is None:
        return "not defined"
    return f"{percent(ratio.value, digits)} {interval_percent(ratio.interval, digits)}"


def mean_text(mean: ClusteredMean | None, digits: int = 0) -> str:
    """A share with its interval, `–` where there is none."""
    if mean is None:
        return "–"
    if mean.interval[0] != mean.interval[0]:
        return percent(mean.value, digits)
    ends = (max(mean.interval[0], 0.0), min(mean.interval[1], 1.0))
    return f"{percent(mean.value, digits)} {interval_percent(ends, digits)}"


def length_text(found: ClusteredMean) -> str:
    """`0.82 [0.70, 0.95]`, or `0.82 (no interval)` where there is none."""
    low, high = found.interval
    return f"{found.value:.2f} (no interval)" if math.isnan(low) else f"{found.value:.2f} [{low:.2f}, {high:.2f}]"


def kappa_text(found: ErrorConsistency) -> str:
    """`0.08 [−0.06, 0.22]`, `–` where there is none."""
    if found.kappa is None or found.interval is None:
        return "–"
    kappa, low, high = (
        text if float(text) else text.lstrip("-") for text in (f"{x:.2f}" for x in (found.kappa, *found.interval))
    )
    return f"{kappa} [{low}, {high}]".replace("-", "−")


def _telling(interval: tuple[float, float]) -> bool:
    """Whether a share with this interval says anything; NaN ends do not."""
    return interval[1] - interval[0] <= _TELLING


def chosen_gap(gap: Gap) -> tuple[Ratio | None, str]:
    """The gap recovered that is told first and what its interval is over."""
    if gap.recovered is not None:
        return gap.recovered, "over problems"
    return gap.recovered_run, "run to run"


def verdict(found: Distillation) -> tuple[list[str], list[str]]:
    """The findings, one sentence each: those to begin with, and the rest where there are too many for one list."""
    first: list[str] = []
    rest: list[str] = []
    several = len(found.students) > 1
    for student in found.students:
        who = student.label if several else "The student"
        first += _overall(who, student)
        for task in student.tasks:
            leading, more = _task_sentences(who, task, sum(t.gap.base is not None for t in student.tasks) > 1)
            first += leading
            rest += more
        first += _fidelity_sentences(who, student)
    first += _subset_sentence(found)
    if sum(len(student.tasks) for student in found.students) == 1:
        first, rest = first + rest, []
    first += [_round_sentence(r) for r in found.rounds]
    rest += _unsaid(found)
    return first, rest


def _subset_sentence(found: Distillation) -> Iterator[str]:
    """Which benchmarks are subsets: other benchmarks than those that they are named after."""
    told = {f"{t.title} ({t.gap.subset})": None for s in found.students for t in s.tasks if t.gap.subset}
    if told:
        yield f"Only a subset was run, which is another benchmark: {_listed(list(told))}."


def _unsaid(found: Distillation) -> Iterator[str]:
    """On what there are too few samples for findings that would otherwise be told."""
    told = {
        f"{task.title} ({_samples(task.gap)})": None
        for student in found.students
        for task in student.tasks
        if not _lost_told(task) or not _tries_told(task) or not _agreement_told(task)
    }
    if told:
        yield (
            "Findings with a 95% interval wider than 50 points say nothing and are left out; the tables have them. "
            f"This concerns {_listed(list(told))}."
        )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lost(task: TaskDistillation) -> SolvedSet | None:
    return next((s for s in task.solved if s.name == "lost"), None)


def _lost_told(task: TaskDistillation) -> bool:
    lost = _lost(task)
    return lost is None or bool(lost.listed) or lost.smallest_p > 0.05 or _telling(lost.interval)


def _tries_told(task: TaskDistillation) -> bool:
    tries = task.tries
    return (
        tries is None
        or tries.unsolved is None
        or tries.new is None
        or (_telling(tries.unsolved[1]) or _telling(tries.new[1]))
    )


def _agreement_told(task: TaskDistillation) -> bool:
    found = task.agreement
    return found is None or found.where_wrong is None or _telling(found.where_wrong.interval)


def _task_sentences(who: str, task: TaskDistillation, several: bool) -> tuple[list[str], list[str]]:
    """Where there are `several` benchmarks with a base, those on which the gap is not defined have been named."""
    first: list[str] = []
    rest: list[str] = []
    ratio, _ = chosen_gap(task.gap)
    if not several or ratio is None or ratio.defined:
        first.append(_gap_sentence(who, task))
    lost = _lost(task)
    beyond = next((s for s in task.solved if s.name == "beyond the teacher"), None)
    if lost is not None and _lost_told(task):
        told = _set_sentence(who, task, lost, "loses", "that the base solved")
        (first if lost.listed else rest).append(told)
    if beyond is not None and beyond.listed:
        first.append(_set_sentence(who, task, beyond, "solves", "more often than the teacher does"))
    if _tries_told(task):
        rest.append(_tries_sentence(who, task))
    if task.agreement is not None:
        rest.append(_agreement_sentence(who, task, task.agreement))
    rest.append(_length_sentence(who, task))
    return first, [sentence for sentence in rest if sentence]


def _gap_sentence(who: str, task: TaskDistillation) -> str:
    gap, title = task.gap, task.title
    if gap.base is None:
        kept = gap.retention or gap.retention_run
        if kept.value is None:
            return f"On {title} the teacher's score is too close to 0 to say what share of it is kept."
        return f"{who} keeps {ratio_text(kept)} of the teacher's score on {title}."
    ratio, basis = chosen_gap(gap)
    assert ratio is not None
    span = f"base {percent(gap.base.value, 1)}, teacher {percent(gap.teacher.value, 1)}"
    if ratio.value is None or ratio.interval is None:
        return (
            f"On {title} the gap is not defined: teacher and base cannot be told apart ({span}, "
            f"{_samples(gap)}, {basis})."
        )
    if gap.teacher.value < gap.base.value:
        return f"On {title} the teacher is below the base ({span}): there is no gap to recover."
    told = f"{ratio_text(ratio)}"
    low, high = ratio.interval
    if low <= 0 <= high:
        return f"On {title} it cannot be told whether {_within(who)} recovers any of the gap: {told} ({span}, {basis})."
    if high < 0:
        return f"On {title} {_within(who)} has fallen below the base: {told} of the gap ({span}, {basis})."
    if high - low > _WIDEST:
        return (
            f"On {title} {_within(who)} recovers a part of the gap that is not known closely: {told} ({span}, {basis})."
        )
    if low > 1:
        return f"{who} goes beyond the teacher on {title}: {told} of the gap ({span}, {basis})."
    return f"{who} recovers {told} of the gap on {title} ({span}, {basis})."


def _within(who: str) -> str:
    return "the student" if who == "The student" else who


def _samples(gap: Gap) -> str:
    return f"{gap.problems} problem{'s' if gap.problems != 1 else ''}, n = {gap.student.n}"


def _set_sentence(who: str, task: TaskDistillation, found: SolvedSet, verb: str, tail: str) -> str:
    count = len(found.listed)
    if not count:
        if found.smallest_p > 0.05:
            return (
                f"{_samples(task.gap)[0].upper()}{_samples(task.gap)[1:]} on {task.title}: so few samples cannot show "
                "that a single problem is lost."
            )
        return (
            f"No problem of {task.title} is shown to be lost; by the solve rates "
            f"{percent(found.expected, 1)} {interval_percent(found.interval, 1)} of them are solved by the base and "
            f"not by {_within(who)} in one try each."
        )
    names = ", ".join(p.problem_id for p in found.listed[:_NAMED])
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return f"{who} {verb} {count} problem{'s' if count > 1 else ''} of {task.title} {tail}: {names}{more}."


def _tries_sentence(who: str, task: TaskDistillation) -> str:
    tries = task.tries
    if tries is None or tries.crossing is None or tries.unsolved is None or tries.new is None:
        return ""
    crossing, base, own = tries.crossing, tries.curves["base"], tries.curves["student"]
    if crossing.interval == (None, None):
        first = f"On {task.title} base and {_within(who)} cannot be told apart by pass@k up to k = {tries.tries}."
    elif crossing.value is not None and crossing.interval is not None:
        low, high = crossing.interval
        told = f"{crossing.value:.1f} [{_end(low, 'under 1')}, {_end(high, f'over {crossing.samples}')}]"
        first = (
            f"On {task.title} the base comes up to {_within(who)} at k = {told} tries: it may be sharper rather than "
            "wider."
            if low is None or high is None
            else f"On {task.title} the base comes up to {_within(who)} at k = {told} tries and solves more from there: "
            "sharper, not wider."
        )
    elif own[0] >= base[0] and own[tries.tries - 1] >= base[tries.tries - 1]:
        first = f"On {task.title} {_within(who)} stays above the base up to k = {tries.tries} tries."
    else:
        first = f"On {task.title} {_within(who)} stays below the base up to k = {tries.tries} tries."
    return (
        f"{first} The base never solves {percent(tries.unsolved[0], 1)} {interval_percent(tries.unsolved[1], 1)} of "
        f"the problems in {tries.tries} tries; {percent(tries.new[0], 1)} {interval_percent(tries.new[1], 1)} are such "
        f"and solved by {_within(who)} in one."
    )


def _end(value: float | None, outside: str) -> str:
    return outside if value is None else f"{value:.1f}"


def _agreement_sentence(who: str, task: TaskDistillation, found: Agreement) -> str:
    told = []
    if found.where_wrong is not None and _telling(found.where_wrong.interval):
        base = found.base_where_wrong
        beside = f"; the base does in {mean_text(base)}" if base is not None and _telling(base.interval) else ""
        many = f"{found.wrong:,} sample{'' if found.wrong == 1 else 's'}"
        told.append(
            f"Where the teacher answers wrongly on {task.title} ({many}), {_within(who)} gives the same wrong answer "
            f"in {mean_text(found.where_wrong)}{beside}."
        )
    kappa = found.consistency
    if kappa.kappa is not None and kappa.interval is not None and _telling(kappa.interval):
        low, high = kappa.interval
        word = "more than" if low > 0 else "less than" if high < 0 else "not more than can be told from"
        where = "" if told else f" on {task.title}"
        told.append(f"Right and wrong coincide{where} {word} chance (error consistency {kappa_text(kappa)}).")
    return " ".join(told)


def _length_sentence(who: str, task: TaskDistillation) -> str:
    cost = task.costs.get("student")
    if cost is None or cost.length_ratio is None or math.isnan(cost.length_ratio.interval[0]):
        return ""
    low, high = cost.length_ratio.interval
    told, where = length_text(cost.length_ratio), f" ({cost.length_ratio.clusters:,} problems that both solve)"
    if low <= 1 <= high:
        return (
            f"Right answers of {_within(who)} on {task.title} are about as long as the teacher's: {told} times{where}."
        )
    word = "longer" if low > 1 else "shorter"
    return (
        f"Right answers of {_within(who)} on {task.title} are {word} than the teacher's: {told} times as long{where}."
    )


def _overall(who: str, student: StudentDistillation) -> Iterator[str]:
    """Over how many benchmarks there is a gap, and on which there is none."""
    with_base = [task for task in student.tasks if task.gap.base is not None]
    count = len(with_base)
    if count < 2:
        return
    of_gaps = [task.title for task in with_base if task.gap.has_gap]
    below = [t.title for t in with_base if (r := chosen_gap(t.gap)[0]) is not None and r.defined and not t.gap.has_gap]
    unclear = [task.title for task in with_base if task.title not in (*of_gaps, *below)]
    left_out = [f"the gap is not defined on {_listed(unclear)}"] if unclear else []
    left_out += [f"the teacher is below the base on {_listed(below)}"] if below else []
    why = "; ".join(left_out)
    if not of_gaps:
        yield f"{who} cannot be placed between base and teacher on any of the {count} benchmarks: {why}."
    elif len(of_gaps) == 1 and left_out:
        yield f"Only 1 of {count} benchmarks, {of_gaps[0]}, has a gap that {_within(who)} could recover; {why}."
    elif student.overall is None:
        if why:
            yield f"{len(of_gaps)} of {count} benchmarks have a gap that {_within(who)} could recover; {why}."
    elif student.overall.value is None:
        yield f"Over the {len(of_gaps)} benchmarks with a gap together it is not defined: it cannot be told from 0."
    elif left_out:
        over = f"Over {len(of_gaps)} of {count} benchmarks"
        yield f"{over} {_within(who)} recovers {ratio_text(student.overall)} of the gap; {why}."
    else:
        yield f"Over the {count} benchmarks together {_within(who)} recovers {ratio_text(student.overall)} of the gap."


def _fidelity_sentences(who: str, student: StudentDistillation) -> Iterator[str]:
    """How close the distributions are, where `evalkit fidelity` has measured them."""
    if student.fidelity is None:
        return
    kl = student.fidelity.figure("kl_forward@1")
    agreed = student.fidelity.figure("top1_agreement")
    if kl is None or agreed is None:
        return
    told = f"{kl.value:.3g}" if kl.interval is None else f"{kl.value:.3g} [{kl.interval[0]:.2g}, {kl.interval[1]:.2g}]"
    likeliest = percent(agreed.value, 1)
    if agreed.interval is not None:
        likeliest += f" {interval_percent(agreed.interval, 1)}"
    yield (
        f"On {kl.n:,} tokens of the same texts {_within(who)} differs from the teacher by KL = {told} nats per token; "
        f"the likeliest token is the same in {likeliest}."
    )


def _round_sentence(found: Round) -> str:
    low, high = (100 * end for end in found.interval_problems)
    told = f"{100 * found.gain:+.1f} points [{low:+.1f}, {high:+.1f}]".replace("-", "−")
    word = "gains" if low > 0 else "loses" if high < 0 else "cannot be told from no change:"
    return f"{found.after} after {found.before} on {found.title}: {word} {told}."
