"""The verdicts that came with an imported log: beside ours, and as a metric of their own."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from typing_extensions import TypedDict  # pydantic refuses typing.TypedDict before Python 3.12

from evalkit.importers.record import Scope
from evalkit.store.lines import read_checked
from evalkit.store.run import TaskFiles, TaskRun, validated
from evalkit.types import Metric, SampleIndex, SampleKey, Score

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


@dataclass(frozen=True, slots=True)
class PeerComparison:
    """`compared` verdicts of a task with ours; `left_out` counts those that are no verdict on samples of ours."""

    differences: list[PeerDifference]
    compared: int
    left_out: int


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


def compare_with_peer(task: TaskRun) -> PeerComparison:
    """Every verdict that came with the log beside our score of the same. Raises EvalkitError on damaged lines."""
    ours = task.files.latest_scores()
    by_problem: defaultdict[str, list[Score]] = defaultdict(list)
    for key, score in sorted(ours.items()):
        by_problem[key.problem_id].append(score)
    differences: list[PeerDifference] = []
    compared = left_out = 0
    told: set[tuple[str, str]] = set()
    for line in peer_scores(task.files):
        key = SampleKey(task.name, line["problem_id"], line["sample_index"])
        for verdict in line["verdicts"]:
            if verdict["scope"] in ("problem", "majority"):
                if (key.problem_id, verdict["name"]) in told:
                    continue
                told.add((key.problem_id, verdict["name"]))
            own = _ours(key, verdict, ours, by_problem[key.problem_id])
            if own is None:
                left_out += 1
                continue
            compared += 1
            value, answer, reason = own
            if abs(value - verdict["value"]) > _SAME:
                label = f"{key.problem_id} sample {key.sample_index}"
                label = label if verdict["scope"] in ("sample", "first sample") else key.problem_id
                differences.append(
                    PeerDifference(
                        label,
                        verdict["name"],
                        verdict["scope"],
                        verdict["value"],
                        verdict["answer"],
                        value,
                        answer,
                        reason,
                    )
                )
    return PeerComparison(differences, compared, left_out)


def _ours(
    key: SampleKey, verdict: PeerVerdictLine, scores: Mapping[SampleKey, Score], of_problem: Sequence[Score]
) -> tuple[float, str | None, str] | None:
    """Our value, answer and reason for what a verdict speaks of; None where we have none."""
    if verdict["scope"] in ("sample", "first sample"):
        score = scores.get(key)
        return None if score is None else (score.value, score.answer, f"{score.status}: {score.explanation}")
    if not of_problem:
        return None
    if verdict["scope"] == "majority":
        return _majority(of_problem)
    if not is_mean(verdict["name"]) and len(of_problem) > 1:
        return None
    mean = sum(score.value for score in of_problem) / len(of_problem)
    statuses = Counter(score.status for score in of_problem)
    return mean, None, ", ".join(f"{status} {count}" for status, count in statuses.items())


def _majority(scores: Sequence[Score]) -> tuple[float, str | None, str] | None:
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


def peer_metric(task: TaskRun, peer: str) -> Metric | None:
    """The harness's own figure: the mean of its first verdict, in percent; None where it gave none."""
    values: dict[tuple[str, int | None], float] = {}
    name: str | None = None
    scope: Scope = "sample"
    for line in peer_scores(task.files):
        for verdict in line["verdicts"]:
            if verdict["scope"] == "problem" and not is_mean(verdict["name"]):
                continue
            if name is None:
                name, scope = verdict["name"], verdict["scope"]
            if verdict["name"] == name and verdict["scope"] == scope:
                index = None if scope in ("problem", "majority") else line["sample_index"]
                values[line["problem_id"], index] = verdict["value"]
                break
    if not values:
        return None
    note = f"{peer}'s {name}, of each {scope}"
    return Metric("peer", 100 * sum(values.values()) / len(values), len(values), "%", note=note)
