"""What a student has of its teacher, what it has lost against its base, and how sure that is: from runs on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evalkit.contamination.report import Contamination
from evalkit.errors import EvalkitError
from evalkit.results.clean import read_contamination, score_clean
from evalkit.results.distill_costs import Cost, budget_differences, budget_grid, measure_cost
from evalkit.results.distill_models import ModelSide, TaskSide, load_side, measure_size, one_side, settings_notes
from evalkit.results.distill_records import (
    Agreement,
    CleanTask,
    Distillation,
    Gap,
    Round,
    Score,
    SolvedProblem,
    SolvedSet,
    StudentDistillation,
    TaskDistillation,
    Tries,
)
from evalkit.results.distill_words import verdict
from evalkit.results.fidelity import StudentFidelity, load_fidelity
from evalkit.results.formats.distillation import render
from evalkit.results.published import PAPER, load_published
from evalkit.results.runs import Run
from evalkit.stats import avg_at_n, compare_paired, equivalence_classes
from evalkit.stats.agreement import error_consistency, same_answer_shares
from evalkit.stats.clean import CleanScore
from evalkit.stats.clustered import ClusteredMean
from evalkit.stats.intervals import Floats, score_interval
from evalkit.stats.passes import crossing_point, g_pass_at_k, pass_curves
from evalkit.stats.published import error_of_runs, error_towards
from evalkit.stats.ratio import Z, gap_recovered, gap_recovered_run, pooled_ratio, score_kept
from evalkit.stats.solved import Counts, both_discoveries, discoveries, more_often, more_often_table, overlap
from evalkit.store.lines import write_text_output

TAUS = (0.5, 1.0)
Source = str | Path | Run | Sequence[str | Path | Run]


class DistillationPage(Distillation):
    """What `distillation` returns: the figures, and ways to show them."""

    def text(self, ending: str) -> str:
        """The page as `html`, `md`, `tex` or `json`. Raises EvalkitError on another ending."""
        return render(self, ending)

    def save(self, path: str | Path) -> None:
        """Write the page in the format of the file's ending. Raises EvalkitError as `text` does."""
        write_text_output(Path(path), self.text(Path(path).suffix.lstrip(".").lower()))

    def _repr_html_(self) -> str:
        from evalkit.results.formats.distillation.html import fragment

        return fragment(self)


def distillation(
    students: Source,
    *,
    teacher: Source,
    base: Source | None = None,
    rounds: bool = False,
    without_contaminated: str | Path | Contamination | None = None,
) -> DistillationPage:
    """Compare students with their teacher and with the base that they were trained from.

    Args:
        students: Run directories or folders of runs; several models are several students.
        teacher: The same for the teacher, or `TABLE:MODEL` for published figures (`deepseek-r1:DeepSeek-R1`).
        base: The same for the base; without it there is no gap and nothing is lost or new.
        rounds: The students are a chain in the order given (self-improvement): the gain of each round is told.
        without_contaminated: A file of `evalkit contamination`: the scores on the other problems are told as well.

    Returns:
        The figures, paired by problem; `verdict` has them in words, `save` writes the page.

    Raises:
        EvalkitError: where a side has no runs, or where a student shares no task with the teacher.

    Examples:
        >>> distillation("results/student", teacher="results/teacher", base="results/base")  # doctest: +SKIP
    """
    of_teacher = one_side(teacher, "teacher")
    of_base = one_side(base, "base") if base is not None else None
    of_students = load_side(students)
    if not of_students:
        raise EvalkitError("The students' runs have no task.", "give runs that `evalkit run` has made.")
    if any(task.run is None for side in of_students for task in side.tasks.values()):
        raise EvalkitError("A student's samples are needed.", "published figures can be a teacher's or a base's.")
    for role, other in (("teacher", of_teacher), ("base", of_base)):
        for side in of_students:
            if other is not None and set(side.runs) & set(other.runs):
                raise EvalkitError(
                    f"{side.label} is its own {role}: the same runs were given for both.",
                    f"name the students without the {role}, or give the {role} a run of its own.",
                )
    contamination = read_contamination(without_contaminated)
    found = [_student(side, of_teacher, of_base, contamination) for side in of_students]
    chain = [of_base, *of_students] if of_base is not None else of_students
    notes = [note for side in (of_teacher, of_base, *of_students) if side is not None for note in side.notes]
    page = DistillationPage(
        teacher=of_teacher.label,
        base=of_base.label if of_base is not None else None,
        teacher_size=measure_size(of_teacher),
        base_size=measure_size(of_base) if of_base is not None else None,
        students=tuple(found),
        rounds=tuple(_rounds(chain)) if rounds else (),
        notes=tuple(notes),
    )
    first, rest = verdict(page)
    return replace(page, verdict=tuple(first), details=tuple(rest))


def _student(
    side: ModelSide, teacher: ModelSide, base: ModelSide | None, contamination: Contamination | None
) -> StudentDistillation:
    paper = {figure.column[0]: i for i, figure in reversed(list(enumerate(load_published(PAPER))))}
    shared = sorted(  # as in the leaderboard
        (name for name in side.tasks if name in teacher.tasks), key=lambda name: paper.get(name, len(paper))
    )
    if not shared:
        raise EvalkitError(
            f"{side.label} and the teacher share no task: {', '.join(side.tasks)} and {', '.join(teacher.tasks)}.",
            "give runs of the same tasks.",
        )
    tasks, parts = [], []
    for name in shared:
        of_base = base.tasks.get(name) if base is not None else None
        found, rates = _task(side.tasks[name], teacher.tasks[name], of_base)
        if contamination is not None:
            found = replace(found, clean=_clean(side.tasks[name], teacher.tasks[name], of_base, contamination))
        tasks.append(found)
        parts.append(rates)
    pooled = None
    if all(p is not None for p in parts):
        of_gaps = [p for task, p in zip(tasks, parts, strict=True) if p is not None and task.gap.has_gap]
        pooled = pooled_ratio(of_gaps) if len(of_gaps) > 1 else None
    return StudentDistillation(
        side.model, side.label, measure_size(side), tuple(tasks), pooled, _fidelity(side, teacher)
    )


def _fidelity(side: ModelSide, teacher: ModelSide) -> StudentFidelity | None:
    """What `evalkit fidelity` has left in a run of the teacher or of the student."""
    for folder in (*teacher.runs, *side.runs):
        report = load_fidelity(folder)
        if report is not None and (found := report.student(side.model)) is not None:
            return found
    return None


def _task(
    student: TaskSide, teacher: TaskSide, base: TaskSide | None
) -> tuple[TaskDistillation, tuple[Floats, Floats, Floats] | None]:
    """One benchmark, and the values of student, teacher and base by problem where they are at hand."""
    sides = {"teacher": teacher} | ({"base": base} if base is not None else {})
    ids = student.samples.problem_ids
    notes = settings_notes(student, sides)
    for role, side in sides.items():
        if side.run is not None:
            present = set(side.samples.problem_ids)
            if missing := sum(i not in present for i in ids):
                notes.append(f"{missing} problems that the {role} has no run of are left out")
            ids = [i for i in ids if i in present]
        elif (figure := side.published) is not None:
            bound = "" if figure.sd is not None else "; no spread is told, so its error is the largest possible"
            notes.append(f"the {role}'s figure is published: {figure.source}{bound}")
    if not ids:
        raise EvalkitError(f"The runs of {student.task} share no problem.", "give runs of the same problems.")
    rows = {role: _rows(side, ids) for role, side in {"student": student, **sides}.items() if side.run is not None}
    gap, parts = _gap(student, teacher, base, rows)
    paired = teacher.run is not None
    of_runs = {role: side for role, side in {"student": student, **sides}.items() if side.run is not None}
    grid = budget_grid([(side, rows[role]) for role, side in of_runs.items()])
    costs: dict[str, Cost] = {}
    for role, side in of_runs.items():
        cost = measure_cost(side, rows[role], teacher if paired else None, rows.get("teacher", []), grid)
        if cost is not None:
            costs[role] = cost
    budgets = budget_differences((student, rows["student"]), (teacher, rows["teacher"]), grid) if paired else {}
    solved = _solved(student, teacher, base, rows, ids)
    return (
        TaskDistillation(
            task=student.task,
            title=student.title,
            gap=gap,
            solved=tuple(solved),
            tries=_tries(student, teacher, base, rows),
            agreement=_agreement(student, teacher, base, rows) if paired else None,
            costs=costs,
            budgets=budgets,
            notes=tuple(notes),
        ),
        parts,
    )


def _clean(
    student: TaskSide, teacher: TaskSide, base: TaskSide | None, contamination: Contamination
) -> CleanTask | None:
    """The scores on clean problems of all sides whose samples are at hand, on the problems that they share."""
    sides = {"base": base, "student": student, "teacher": teacher}
    of_runs = {role: side for role, side in sides.items() if side is not None and side.run is not None}
    ids = [i for i in student.samples.problem_ids if all(i in side.samples.problem_ids for side in of_runs.values())]
    scores: dict[str, CleanScore] = {}
    for role, side in of_runs.items():
        values = dict(zip(ids, side.samples.values[_rows(side, ids)].tolist(), strict=True))
        found = score_clean(contamination, student.task, values)
        if found is None:
            return None
        scores[role] = found
    bad = contamination.tasks[student.task].ids()
    clean = [i for i in ids if i not in bad]
    recovered = None
    if len(scores) == 3 and clean:
        values = {role: side.samples.values[_rows(side, clean)] for role, side in of_runs.items()}
        recovered = gap_recovered(values["student"], values["teacher"], values["base"])
    return CleanTask(len(ids) - len(clean), scores, recovered)


def _rows(side: TaskSide, ids: Sequence[str]) -> list[int]:
    where = {problem_id: i for i, problem_id in enumerate(side.samples.problem_ids)}
    return [where[i] for i in ids]


def _values(side: TaskSide, rows: Mapping[str, list[int]], role: str) -> Floats:
    return side.samples.values[rows[role]]


def _score(side: TaskSide, rows: Mapping[str, list[int]], role: str, problems: int) -> Score:
    if side.published is not None:
        figure = side.published
        value = figure.value / 100
        if figure.sd is not None:
            error = error_of_runs(figure.sd, figure.n) / 100
            interval = max(value - Z * error, 0.0), min(value + Z * error, 1.0)
        else:  # the largest error that independent samples of these problems could have
            count = problems * (figure.n or 1)
            error = (max(value * (1 - value), 0.0) / count) ** 0.5
            interval = score_interval(value, count)
        return Score(f"{side.model} (published)", value, error, interval, figure.n, True)
    found = avg_at_n(_values(side, rows, role))
    return Score(side.model, found.value, found.stderr_run, found.interval_run, found.samples, False)


def _gap(
    student: TaskSide, teacher: TaskSide, base: TaskSide | None, rows: Mapping[str, list[int]]
) -> tuple[Gap, tuple[Floats, Floats, Floats] | None]:
    problems = len(rows["student"])
    s = _score(student, rows, "student", problems)
    t = _score(teacher, rows, "teacher", problems)
    b = _score(base, rows, "base", problems) if base is not None else None
    sides = {"student": student, "teacher": teacher, "base": base}
    values = {role: _values(side, rows, role) for role, side in sides.items() if side is not None and role in rows}
    parts = recovered_run = None
    if len(values) == 3:
        parts = values["student"], values["teacher"], values["base"]
    if b is not None:
        errors = _error(s, s.value), _error(t, b.value), _error(b, t.value)
        recovered_run = gap_recovered_run((s.value, t.value, b.value), errors)
    found = Gap(
        teacher=t,
        base=b,
        student=s,
        problems=problems,
        recovered=gap_recovered(*parts) if parts is not None else None,
        recovered_run=recovered_run,
        retention=score_kept(values["student"], values["teacher"]) if "teacher" in values else None,
        retention_run=gap_recovered_run((s.value, t.value, 0.0), (_error(s, s.value), _error(t, 0.0), 0.0)),
        available=student.available,
    )
    return found, parts


def _error(score: Score, other: float) -> float:
    """The run-to-run error on the side of `other`: unlike the standard error not 0 where nothing was solved."""
    return error_towards(score.value, score.interval_run, other)


def _counts(side: TaskSide, rows: Mapping[str, list[int]], role: str) -> tuple[Counts, int]:
    values = _values(side, rows, role)
    return (values >= 1).sum(axis=1), values.shape[1]


def _solved(
    student: TaskSide,
    teacher: TaskSide,
    base: TaskSide | None,
    rows: Mapping[str, list[int]],
    ids: Sequence[str],
) -> list[SolvedSet]:
    """The four kinds of problem, those of them for which the samples are at hand."""
    s, s_n = _counts(student, rows, "student")
    of: dict[str, tuple[Counts, int]] = {}
    for role, side in (("teacher", teacher), ("base", base)):
        if side is not None and role in rows:
            of[role] = _counts(side, rows, role)
    rates = {"student": s / s_n, **{role: k / n for role, (k, n) in of.items()}}
    made = []

    def add(name: str, found: npt.NDArray[np.bool_], p: Floats, smallest: float, *shares: Floats) -> None:
        expected, interval = overlap(*shares)
        order = sorted(map(int, np.nonzero(found)[0]), key=lambda i: (p[i], ids[i]))
        listed = tuple(
            SolvedProblem(
                ids[i],
                float(rates["student"][i]),
                float(rates["teacher"][i]) if "teacher" in rates else None,
                float(rates["base"][i]) if "base" in rates else None,
                float(p[i]),
            )
            for i in order
        )
        made.append(SolvedSet(name, listed, expected, interval, smallest))

    own = rates["student"]
    if len(of) == 2:
        gained = more_often(s, s_n, *of["base"])
        known = more_often(*of["teacher"], *of["base"])
        least = max(_least(s_n, of["base"][1]), _least(of["teacher"][1], of["base"][1]))
        add("inherited", both_discoveries(gained, known), np.maximum(gained, known), least, own, rates["teacher"],
            1 - rates["base"])  # fmt: skip
    if "teacher" in of:
        p = more_often(*of["teacher"], s, s_n)
        add("not inherited", discoveries(p), p, _least(of["teacher"][1], s_n), rates["teacher"], 1 - own)
    if "base" in of:
        p = more_often(*of["base"], s, s_n)
        add("lost", discoveries(p), p, _least(of["base"][1], s_n), rates["base"], 1 - own)
    if "teacher" in of:
        p = more_often(s, s_n, *of["teacher"])
        add("beyond the teacher", discoveries(p), p, _least(s_n, of["teacher"][1]), own, 1 - rates["teacher"])
    return made


def _least(more: int, less: int) -> float:
    """The smallest p-value of these numbers of samples: all right against none."""
    return float(more_often_table(more, less)[more, 0])


def _tries(student: TaskSide, teacher: TaskSide, base: TaskSide | None, rows: Mapping[str, list[int]]) -> Tries | None:
    sides = {"base": base, "student": student, "teacher": teacher}
    counts = {role: _counts(side, rows, role) for role, side in sides.items() if side is not None and role in rows}
    tries = min(n for _, n in counts.values())
    if tries < 2:
        return None
    curves = {role: pass_curves(k, n) for role, (k, n) in counts.items()}
    steady = {
        role: {f"{tau:g}": float(g_pass_at_k(k, n, tries, tau).mean()) for tau in TAUS}
        for role, (k, n) in counts.items()
    }
    steady_intervals = {
        role: {f"{tau:g}": overlap(g_pass_at_k(k, n, tries, tau))[1] for tau in TAUS} for role, (k, n) in counts.items()
    }
    crossing = unsolved = new = None
    if "base" in curves:
        crossing = crossing_point(curves["student"][:, :tries], curves["base"][:, :tries])
        never = 1 - curves["base"][:, tries - 1]
        unsolved = overlap(never)
        new = overlap(never, counts["student"][0] / counts["student"][1])
    return Tries(
        {role: tuple(map(float, curve.mean(axis=0))) for role, curve in curves.items()},
        crossing,
        tries,
        unsolved,
        new,
        steady,
        {role: tuple(overlap(at_k)[1] for at_k in curve.T) for role, curve in curves.items()},
        steady_intervals,
    )


def _agreement(student: TaskSide, teacher: TaskSide, base: TaskSide | None, rows: Mapping[str, list[int]]) -> Agreement:
    def rates(side: TaskSide, role: str) -> Floats:
        return np.asarray((_values(side, rows, role) >= 1).mean(axis=1))

    own = _same_answers(student, teacher, rows["student"], rows["teacher"])
    of_base = base is not None and base.run is not None
    theirs = (
        _same_answers(base, teacher, rows["base"], rows["teacher"]) if base is not None and of_base else (None,) * 2
    )
    samples = teacher.samples
    marks = [status == "correct" for row in rows["teacher"] for status in samples.statuses[row]]
    answered = [answer is not None for row in rows["teacher"] for answer in samples.answers[row]]
    return Agreement(
        *own,
        *theirs,
        error_consistency(rates(student, "student"), rates(teacher, "teacher")),
        error_consistency(rates(base, "base"), rates(teacher, "teacher")) if base is not None and of_base else None,
        sum(marks),
        sum(told and not right for told, right in zip(answered, marks, strict=True)),
    )


def _same_answers(
    side: TaskSide, teacher: TaskSide, rows: list[int], teacher_rows: list[int]
) -> tuple[ClusteredMean | None, ClusteredMean | None]:
    """Shares of the teacher's answers, by whether it is right; what was graded correct is one answer."""
    task = side.made

    def same(a: str, b: str) -> bool:
        return task.same_answer(a, b) if task is not None else a.strip() == b.strip()

    first, second, marks = [], [], []
    for i, j in zip(rows, teacher_rows, strict=True):
        both: list[str | None] = []
        for samples, row in ((side.samples, i), (teacher.samples, j)):
            both += [
                None if status == "correct" else answer
                for answer, status in zip(samples.answers[row], samples.statuses[row], strict=True)
            ]
        classes: list[object] = list(equivalence_classes(both, same))
        statuses = [*side.samples.statuses[i], *teacher.samples.statuses[j]]
        named = ["correct" if status == "correct" else c for status, c in zip(statuses, classes, strict=True)]
        n = len(side.samples.statuses[i])
        first.append(named[:n])
        second.append(named[n:])
        marks.append([status == "correct" for status in statuses[n:]])
    return same_answer_shares(first, second, marks)


def _rounds(chain: Sequence[ModelSide]) -> list[Round]:
    """The gain of each model of the chain on the one before, on each task that both have."""
    found = []
    for before, after in pairwise(chain):
        for name, side in after.tasks.items():
            earlier = before.tasks.get(name)
            if earlier is None or earlier.run is None or side.run is None:
                continue
            present = set(earlier.samples.problem_ids)
            ids = [i for i in side.samples.problem_ids if i in present]
            if not ids:
                continue
            first = earlier.samples.values[_rows(earlier, ids)].tolist()
            second = side.samples.values[_rows(side, ids)].tolist()
            result = compare_paired(first, second)
            found.append(
                Round(
                    name,
                    side.title,
                    before.label,
                    after.label,
                    result.difference,
                    result.interval_run,
                    result.interval_problems,
                    result.p_value,
                )
            )
    return found
