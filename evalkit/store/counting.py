"""How far a task of a run is, counted in one way wherever it is told."""

from dataclasses import dataclass

from evalkit.store.run import TaskRun
from evalkit.store.settled import settled
from evalkit.words import counted


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """The samples of a task that have a completion, those among them that are errors, and those that have a score.

    `errors` are those of the engine and of the grader, except those that were closed by `evalkit settle`. A task is
    `whole` when every planned sample has a completion without an engine error, or is closed, and has a score.
    """

    planned: int
    completions: int
    errors: int
    closed: int
    scores: int
    whole: bool

    @property
    def only_errors(self) -> bool:
        """Whether a task is not whole for its errors alone."""
        are_all_there = self.completions == self.planned and self.scores >= self.planned - self.errors
        return not self.whole and self.errors > 0 and are_all_there

    def in_words(self, graded: bool = True) -> str:
        """`8 of 24 completions (7 are errors), 8 scores`; without scores where nothing is `graded`."""
        told = counted(self.scores, "score") if graded else "not graded"
        return f"{self.completions_in_words()}, {told}"

    def completions_in_words(self) -> str:
        """`8 of 24 completions (7 are errors)`."""
        told = []
        if self.errors:
            told.append("1 is an error" if self.errors == 1 else f"{self.errors} are errors")
        if self.closed:
            told.append(f"{self.closed} closed as {'an error' if self.closed == 1 else 'errors'}")
        within = f" ({', '.join(told)})" if told else ""
        return f"{self.completions} of {self.planned} completions{within}"


def count_samples(task: TaskRun, graded: bool = True) -> SampleCounts:
    """Read a task's files and count. Raises EvalkitError for a damaged line or a duplicated sample."""
    plan, files = task.record.plan, task.files
    failed: set[tuple[str, int]] = set()
    finished: set[tuple[str, int]] = set()
    for completion in files.completions():
        sample = completion.problem_id, completion.sample_index
        if sample in plan:
            (finished if completion.error is None else failed).add(sample)
    latest = files.latest_scores().items() if graded else ()
    scored = {(key.problem_id, key.sample_index): score.status for key, score in latest}
    closed = {sample for key in settled(files) if (sample := (key.problem_id, key.sample_index)) in plan} - finished
    there = finished | failed | closed
    errors = failed - finished | {sample for sample in there if scored.get(sample) == "error"}
    done = finished | closed
    scores = there & scored.keys()
    whole = len(done if not graded else done & scores) == plan.samples
    return SampleCounts(plan.samples, len(there), len(errors - closed), len(closed), len(scores), whole)
