"""What a distillation page holds: the figures of each student on each benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.results.distill_costs import Cost
from evalkit.results.distill_models import Size
from evalkit.results.fidelity import StudentFidelity
from evalkit.stats.agreement import ErrorConsistency
from evalkit.stats.clean import CleanScore
from evalkit.stats.clustered import ClusteredMean
from evalkit.stats.passes import Crossing
from evalkit.stats.ratio import Ratio
from evalkit.stats.solved import FALSE_DISCOVERIES

SOLVED_TITLES = {
    "inherited": "inherited: the base does not solve it, teacher and student do",
    "not inherited": "not inherited: the teacher solves it more often",
    "lost": "lost: the base solves it more often",
    "beyond the teacher": "beyond the teacher: the student solves it more often",
}
LISTED_AT = f"listed at a false discovery rate of {FALSE_DISCOVERIES:.0%}"


@dataclass(frozen=True, slots=True)
class Score:
    """A model's mean solve rate in [0, 1] with its run-to-run standard error and 95% interval, as the leaderboard has
    them; for a published figure without an sd the largest ones possible."""

    label: str
    value: float
    stderr_run: float
    interval_run: tuple[float, float]
    n: int | None
    published: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Gap recovered (S - B) / (T - B) and retention S / T.

    `recovered` is over problems, None with published figures, whose problems are not at hand; `recovered_run` is for
    the same problems sampled again. `base` None: no base was given. `problems` of the benchmark's `available` are
    compared, which is None where it is not known.
    """

    teacher: Score
    base: Score | None
    student: Score
    problems: int
    recovered: Ratio | None
    recovered_run: Ratio | None
    retention: Ratio | None
    retention_run: Ratio
    available: int | None = None

    @property
    def subset(self) -> str:
        """`5 of 500 problems`, or an empty string where all problems are compared."""
        if self.available is None or self.problems >= self.available:
            return ""
        return f"{self.problems:,} of {self.available:,} problems"

    @property
    def counts(self) -> tuple[str, str]:
        """The problems and the samples per problem of the runs: `60 of 500` and `4`, or `4 to 8`."""
        runs = [s for s in (self.base, self.student, self.teacher) if s is not None and not s.published]
        ns = sorted({s.n for s in runs if s.n is not None})
        told = f"{ns[0]}" if len(ns) == 1 else f"{ns[0]} to {ns[-1]}"
        return self.subset.removesuffix(" problems") or f"{self.problems:,}", told

    @property
    def has_gap(self) -> bool:
        """Whether the teacher is above the base, and by more than could be chance."""
        ratio = self.recovered or self.recovered_run
        return ratio is not None and ratio.defined and ratio.denominator > 0


@dataclass(frozen=True, slots=True)
class SolvedProblem:
    """A problem that a test lists, with the solve rates in [0, 1]; `base` None where there is none."""

    problem_id: str
    student: float
    teacher: float | None
    base: float | None
    p_value: float


@dataclass(frozen=True, slots=True)
class SolvedSet:
    """One kind of problem: those that are shown to be of it, and the expected share of all problems in one try.

    `smallest_p` is the smallest p-value that these numbers of samples can give to a problem: where it is above what a
    list of one needs, none can be listed unless many are alike.
    """

    name: str
    listed: tuple[SolvedProblem, ...]
    expected: float
    interval: tuple[float, float]
    smallest_p: float


@dataclass(frozen=True, slots=True)
class Tries:
    """pass@k of each model by k = 1 .. n, where base and student cross, and what the base never solves.

    `unsolved` is the share of problems that the base does not solve in `tries` tries, `new` the share that it does not
    and the student does in one. `steady` holds G-Pass@k by model and tau, at k = `tries`. `intervals` and
    `steady_intervals` are the 95% intervals of both, over problems.
    """

    curves: Mapping[str, tuple[float, ...]]
    crossing: Crossing | None
    tries: int
    unsolved: tuple[float, tuple[float, float]] | None
    new: tuple[float, tuple[float, float]] | None
    steady: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, tuple[tuple[float, float], ...]]
    steady_intervals: Mapping[str, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the student gives the teacher's answer, where the teacher is right and where it is wrong; the base's
    figures beside them. `consistency` is Geirhos et al.'s; the teacher has `right` samples, and `wrong` ones that give
    an answer."""

    where_right: ClusteredMean | None
    where_wrong: ClusteredMean | None
    base_where_right: ClusteredMean | None
    base_where_wrong: ClusteredMean | None
    consistency: ErrorConsistency
    base_consistency: ErrorConsistency | None
    right: int
    wrong: int


@dataclass(frozen=True, slots=True)
class CleanTask:
    """The scores on the problems that were not found in the training sets, by role, and the gap recovered on them.

    `contaminated` problems of those that all sides have were found.
    """

    contaminated: int
    scores: Mapping[str, CleanScore]
    recovered: Ratio | None


@dataclass(frozen=True, slots=True)
class TaskDistillation:
    """One student on one benchmark. What needs samples of all sides is None with published figures.

    `budgets` holds the student's accuracy less the teacher's, both cut at so many tokens, paired by problem.
    """

    task: str
    title: str
    gap: Gap
    solved: tuple[SolvedSet, ...]
    tries: Tries | None
    agreement: Agreement | None
    costs: Mapping[str, Cost]
    budgets: Mapping[int, ClusteredMean]
    notes: tuple[str, ...]
    clean: CleanTask | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One step of a chain: what the model of this round gains on the one before, as a fraction, with both intervals."""

    task: str
    title: str
    before: str
    after: str
    gain: float
    interval_run: tuple[float, float]
    interval_problems: tuple[float, float]
    p_value: float


@dataclass(frozen=True, slots=True)
class StudentDistillation:
    """One student: its benchmarks, and the gap over those on which it is defined, where these are several."""

    model: str
    label: str
    size: Size
    tasks: tuple[TaskDistillation, ...]
    overall: Ratio | None
    fidelity: StudentFidelity | None


@dataclass(frozen=True, slots=True)
class Distillation:
    """Everything on the page. `rounds` is empty unless the students are a chain.

    `verdict` has the findings in words; where there are many, the lesser ones are in `details`.
    """

    teacher: str
    base: str | None
    teacher_size: Size
    base_size: Size | None
    students: tuple[StudentDistillation, ...]
    rounds: tuple[Round, ...]
    notes: tuple[str, ...]
    verdict: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
