"""What every export reads: the samples of one task of a run, with their problems and scores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from evalkit.benchmark.task import Task
from evalkit.results.ungraded import is_ungraded
from evalkit.store.counting import SampleCounts, count_samples
from evalkit.store.run import TaskRun
from evalkit.thinking import split_thinking
from evalkit.types import Completion, Problem, SampleKey, Score

_HIDDEN = "(the authors ask that this question be not published)"


@dataclass(frozen=True, slots=True)
class ExportedSample:
    """One completion, its problem and its score, None where it has none."""

    problem: Problem
    completion: Completion
    score: Score | None

    @property
    def response(self) -> str:
        """The whole response, what stood in the prompt of it included."""
        return self.completion.prefix + self.completion.text

    @property
    def correct(self) -> bool:
        return self.score is not None and self.score.status == "correct"


class TaskExport:
    """One task of a run, to be written in another format."""

    def __init__(self, run: TaskRun, task: Task, problems: Mapping[str, Problem]) -> None:
        self.run, self.task, self._problems = run, task, problems

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def model(self) -> str:
        return self.run.run.model

    @property
    def sampling(self) -> Mapping[str, object]:
        """The sampling that run.json records; settings that are not known are left out."""
        merged = {**self.run.run.protocol, **(self.run.record.identity.get("sampling") or {})}
        return {k: merged[k] for k in ("temperature", "top_p", "top_k", "max_tokens") if merged.get(k) is not None}

    @property
    def questions_are_secret(self) -> bool:
        """Whether the benchmark is published behind a password so that its questions stay out of training sets."""
        return self.task.dataset is not None and self.task.dataset.zip_password is not None

    @cached_property
    def scores(self) -> Mapping[SampleKey, Score]:
        return self.run.files.latest_scores()

    @property
    def graded(self) -> bool:
        return not is_ungraded(self.run)

    @cached_property
    def counts(self) -> SampleCounts:
        return count_samples(self.run, self.graded)

    @cached_property
    def finished(self) -> datetime:
        """When the last completion was written, in UTC, to the second."""
        return datetime.fromtimestamp(int(self.run.files.completions_path.lstat().st_mtime), UTC)

    def prompt(self, problem: Problem) -> str:
        """The user's message; of a benchmark whose questions are secret a note in its place."""
        if self.questions_are_secret:
            return f"{problem.id} {_HIDDEN}"
        return "\n\n".join(message["content"] for message in self.task.messages(problem))

    def samples(self) -> Iterator[ExportedSample]:
        """The completions that stand and whose problem is known, in the order of the file."""
        for completion in self.run.files.standing_completions():
            problem = self._problems.get(completion.problem_id)
            if problem is not None:
                yield ExportedSample(problem, completion, self.scores.get(completion.key))


def thinking_of(response: str) -> str:
    """The thinking of a response, without its tags' text being taken apart; "" where it has none."""
    return split_thinking(response).thinking
