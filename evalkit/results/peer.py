"""The verdicts that came with an imported log: beside ours, and as a metric of their own."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le
from typing_extensions import TypedDict  # pydantic refuses typing.TypedDict before Python 3.12

from evalkit.importers.record import Scope
from evalkit.stats import avg_at_n, avg_of_unequal
from evalkit.stats.intervals import estimate
from evalkit.stats.percent import percent_metric
from evalkit.store.lines import read_checked
from evalkit.store.run import TaskFiles, TaskRun, validated
from evalkit.types import Metric, SampleIndex, SampleKey, Status
from evalkit.words import counted

_K = re.compile(r"\bk=(\d+)|(?:pass|cov)@(\d+)")
_SAME = 1e-6


class PeerVerdictLine(TypedDict):
    """A verdict as it lies in peer_scores.jsonl."""

    name: str
    value: Annotated[float, Ge(0), Le(1)]
    scope: Scope
    answer: str | None


class PeerScore(TypedDict):
    """A line of peer_scores.jsonl, as far as it is looked at here."""

    problem_id: str
    sample_index: SampleIndex
    verdicts: list[PeerVerdictLine]


@dataclass(frozen=True, slots=True)
class PeerDifference:
    """A verdict of the log's harness that is not ours, and why ours is what it is."""

    label: str
    name: str
    scope: Scope
    theirs: float
    their_answer: str | None
    ours: float
    our_answer: str | None
    reason: str


_OF_WHAT: dict[Scope, str] = {
    "sample": "of each sample",
    "first sample": "of the first sample of each problem",
    "problem": "of each problem",
    "majority": "of the majority of each problem",
}


@dataclass(frozen=True, slots=True)
class PeerComparison:
    """`compared` verdicts of a task with ours; `left_out` counts those that have no counterpart among ours.

    `samples` of the log have a verdict. `kinds` and `left_out_kinds` say of what the two are: `acc of each sample`.
    """

    differences: list[PeerDifference]
    compared: int
    left_out: int
    samples: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    left_out_kinds: Mapping[str, int] = field(default_factory=dict)

    def in_words(self, peer: str) -> str:
        """`1 of 6 verdicts of x differ (4 acc of each sample, 2 …); 2 have no counterpart among ours (2 …). …`."""
        told = f"{len(self.differences)} of {counted(self.compared, 'verdict')} of {peer} differ{_listed(self.kinds)}"
        if self.left_out:
            told += f"; {self.left_out:,} have no counterpart among ours{_listed(self.left_out_kinds)}"
        return f"{told}. The log has {counted(self.samples, 'sample')}."


def _listed(kinds: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())})" if kinds else ""


def peer_scores(files: TaskFiles) -> Iterator[PeerScore]:
    """The lines of a peer_scores.jsonl. Raises EvalkitError on a damaged one."""
    path = files.peer_scores_path
    for number, line in read_checked(path, files.run):
        score: PeerScore = validated(PeerScore, line, path, number)
        yield score


def is_mean(name: str) -> bool:
    """Whether a verdict on a problem is the mean over its samples, and not a best of several."""
    found = _K.search(name)
    return not name.startswith(("cov", "maj")) and (found is None or int(found[1] or found[2]) == 1)


@dataclass(frozen=True, slots=True)
class _Own:
    """What a peer's verdict is compared with: our value, status and answer of a sample."""

    value: float
    status: Status
    answer: str | None


def compare_with_peer(task: TaskRun) -> PeerComparison:
    """Every verdict that came with the log beside our score of the same. Raises EvalkitError on damaged lines."""
    ours = _own_scores(task.files)
    found: list[tuple[SampleKey, PeerDifference]] = []
    kinds: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    samples = 0
    told: set[tuple[str, str]] = set()
    for line in peer_scores(task.files):
        key = SampleKey(task.name, line["problem_id"], line["sample_index"])
        of_problem = ours.get(key.problem_id, {})
        samples += 1
        for verdict in line["verdicts"]:
            if verdict["scope"] in ("problem", "majority"):
                if (key.problem_id, verdict["name"]) in told:
                    continue
                told.add((key.problem_id, verdict["name"]))
            own = _ours(key, verdict, of_problem)
            kind = f"{verdict['name']} {_OF_WHAT[verdict['scope']]}"
            if own is None:
                left_out[kind] += 1
                continue
            kinds[kind] += 1
            if abs(own[0] - verdict["value"]) > _SAME:
                found.append((key, _difference(key, verdict, *own)))
    told_of = _with_reasons(task, found)
    return PeerComparison(told_of, kinds.total(), left_out.total(), samples, kinds, left_out)


def _own_scores(files: TaskFiles) -> dict[str, dict[int, _Own]]:
    """Our scores by problem and sample index. Equal ones are one object, so that a million need little memory."""
    known: dict[tuple[float, Status, str | None], _Own] = {}
    ours: defaultdict[str, dict[int, _Own]] = defaultdict(dict)
    for facts in files.score_facts():
        told = facts["value"], facts["status"], facts["answer"]
        ours[facts["problem_id"]][facts["sample_index"]] = known.get(told) or known.setdefault(told, _Own(*told))
    return ours


def _difference(
    key: SampleKey, verdict: PeerVerdictLine, value: float, answer: str | None, reason: str
) -> PeerDifference:
    of_sample = verdict["scope"] in ("sample", "first sample")
    return PeerDifference(
        f"{key.problem_id} sample {key.sample_index}" if of_sample else key.problem_id,
        verdict["name"],
        verdict["scope"],
        verdict["value"],
        verdict["answer"],
        value,
        answer,
        reason,
    )


def _with_reasons(task: TaskRun, found: Sequence[tuple[SampleKey, PeerDifference]]) -> list[PeerDifference]:
    """The differences, those of samples with the explanation of our score, which is read for them alone."""
    wanted = {key for key, one in found if one.scope in ("sample", "first sample")}
    told = {s.key: f"{s.status}: {s.explanation}" for s, _ in task.files.scores() if s.key in wanted} if wanted else {}
    return [replace(one, reason=one.reason or told.get(key, "")) for key, one in found]


def _ours(
    key: SampleKey, verdict: PeerVerdictLine, of_problem: Mapping[int, _Own]
) -> tuple[float, str | None, str] | None:
    """Our value, answer and reason ("" for a sample) for what a verdict speaks of; None where we have none."""
    if verdict["scope"] in ("sample", "first sample"):
        own = of_problem.get(key.sample_index)
        return None if own is None else (own.value, own.answer, "")
    if not of_problem:
        return None
    scores = [of_problem[index] for index in sorted(of_problem)]
    if verdict["scope"] == "majority":
        return _majority(scores)
    if not is_mean(verdict["name"]) and len(scores) > 1:
        return None
    mean = sum(score.value for score in scores) / len(scores)
    statuses = Counter(score.status for score in scores)
    return mean, None, ", ".join(f"{status} {count}" for status, count in statuses.items())


def _majority(scores: Sequence[_Own]) -> tuple[float, str | None, str] | None:
    """Our verdict on the most frequent answer; None where two are as frequent."""
    classes = Counter("correct" if s.status == "correct" else s.answer for s in scores if s.answer is not None)
    most = classes.most_common(2)
    if not most:
        return 0.0, None, "no answer in any sample"
    if len(most) > 1 and most[0][1] == most[1][1]:
        return None
    right = most[0][0] == "correct"
    answer = next(s.answer for s in scores if (s.status == "correct") == right and (right or s.answer == most[0][0]))
    return float(right), answer, f"the answer of {most[0][1]} of {len(scores)} samples"


@dataclass(frozen=True, slots=True)
class PeerFigure:
    """The harness's own figure. Each problem has `least` to `most` samples that it is of, 0 where it has no verdict."""

    metric: Metric
    least: int
    most: int


def peer_figure(task: TaskRun, peer: str) -> PeerFigure | None:
    """The mean over problems of the harness's first verdict, in percent; None where it gave none.

    Verdicts on samples have both error bars. A verdict on a majority is one draw for each problem. Verdicts that are
    means over a problem's samples have an error over problems alone: how the samples differed is not in the log.
    """
    name: str | None = None
    scope: Scope = "sample"
    values: defaultdict[str, list[float]] = defaultdict(list)
    for line in peer_scores(task.files):
        for verdict in line["verdicts"]:
            if verdict["scope"] == "problem" and not is_mean(verdict["name"]):
                continue
            if name is None:
                name, scope = verdict["name"], verdict["scope"]
            if verdict["name"] == name and verdict["scope"] == scope:
                values[line["problem_id"]].append(verdict["value"])
                break
    if name is None:
        return None
    of_samples = scope in ("sample", "first sample")
    counts = [len(v) if of_samples else task.record.plan.counts.get(key, 1) for key, v in values.items()]
    by_problem = [np.array(v if of_samples else [sum(v) / len(v)]) for v in values.values()]  # repeated in each sample
    metric = _figure(by_problem, counts, scope)
    told = f"{'the log' if peer == 'map' else peer}'s {name} {_OF_WHAT[scope]}"
    if len(values) < len(task.record.problem_ids):
        told += f"; {len(values)} of {len(task.record.problem_ids)} problems have a verdict"
        counts.append(0)
    if metric.interval_run is None:
        told += "; no run-to-run error: the log has the mean of each problem alone"
    return PeerFigure(replace(metric, note=told), min(counts), max(counts))


def _figure(values: Sequence[npt.NDArray[np.float64]], counts: Sequence[int], scope: Scope) -> Metric:
    if scope == "problem":
        means = np.array([v[0] for v in values])
        found = percent_metric("peer", estimate(means, None, min(counts), binary=max(counts) == 1))
        if max(counts) > 1:  # of one sample each a problem's mean is that sample's verdict
            found = replace(found, stderr_run=None, interval_run=None)
    else:
        same = len({len(v) for v in values}) == 1
        found = percent_metric("peer", avg_at_n(np.array(values)) if same else avg_of_unequal(values))
    return replace(found, n=sum(counts))


def log_of(peer: str) -> str:
    """The kind of log that the reader `peer` reads, in a sentence: rows read by `--map` are of no harness.

    Examples:
        >>> log_of("inspect"), log_of("map")
        ('a log of inspect', 'plain rows')
    """
    return "plain rows" if peer == "map" else f"a log of {peer}"
