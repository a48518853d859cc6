"""Where a second grader judges completions otherwise: how many, and between which figures the score then lies."""

from dataclasses import dataclass

from evalkit.store.opinions import Opinion, adjudications, opinions
from evalkit.store.run import TaskRun
from evalkit.types import SampleKey, Score


@dataclass(frozen=True, slots=True)
class Dispute:
    """One completion on which evalkit's grader and another one differ, and no human has decided."""

    key: SampleKey
    ours: Score
    theirs: Opinion


@dataclass(frozen=True, slots=True)
class DisputeSummary:
    """How sure the grader is: `disputed` completions of `samples`; the mean score lies between `low` and `high`.

    `low` and `high` (percent) count every dispute against and in favour of the model. `adjudicated` counts completions
    that a human decided. `grader` names the second grader, empty where only humans have spoken. Of `unjudged`
    completions neither has said anything, such as where a judge's reply could not be read: the score may lie outside.
    """

    grader: str
    samples: int
    disputed: int
    adjudicated: int
    low: float
    high: float
    unjudged: int = 0

    def __str__(self) -> str:
        parts = []
        if self.grader:
            between = f", score between {self.low:.1f} and {self.high:.1f}" if self.disputed else ""
            judged = self.samples - self.unjudged
            missing = f" ({self.unjudged} not judged)" if self.unjudged else ""
            parts.append(f"{self.disputed} of {judged} disputed by {self.grader}{between}{missing}")
        if self.adjudicated:
            parts.append(f"{self.adjudicated} adjudicated")
        return "; ".join(parts)


def disputes(task: TaskRun) -> list[Dispute]:
    """The open disputes of a task, in the order of the problems and sample indices."""
    decided, scores = adjudications(task.files), task.files.latest_scores()
    found = [
        Dispute(key, scores[key], theirs)
        for key, theirs in opinions(task.files).items()
        if key in scores and key not in decided and _differ(scores[key], theirs)
    ]
    order = {problem_id: i for i, problem_id in enumerate(task.record.problem_ids)}
    return sorted(
        (one for one in found if (one.key.problem_id, one.key.sample_index) in task.record.plan),
        key=lambda one: (order[one.key.problem_id], one.key.sample_index),
    )


def _differ(ours: Score, theirs: Opinion) -> bool:
    if "error" in (ours.status, theirs.status):
        return False
    return (ours.status == "correct") != (theirs.status == "correct")


def summarise_disputes(task: TaskRun) -> DisputeSummary | None:
    """The summary of a task's disputes, None where neither a second grader nor a human has spoken."""
    theirs, decided = opinions(task.files), adjudications(task.files)
    if not theirs and not decided:
        return None
    open_disputes = disputes(task)
    values = {key: score.value for key, score in task.files.latest_scores().items()}
    plan = task.record.plan
    counted = {k: v for k, v in values.items() if (k.problem_id, k.sample_index) in plan}
    total, samples = sum(counted.values()), max(len(counted), 1)
    gain = sum(one.ours.status != "correct" for one in open_disputes)
    loss = sum(counted.get(one.key, 0.0) for one in open_disputes if one.ours.status == "correct")
    graders = sorted({opinion.grader for opinion in theirs.values()})
    return DisputeSummary(
        ", ".join(graders),
        len(counted),
        len(open_disputes),
        sum(key in counted for key in decided),
        100 * (total - loss) / samples,
        100 * (total + gain) / samples,
        sum(key not in theirs and key not in decided for key in counted) if theirs else 0,
    )
