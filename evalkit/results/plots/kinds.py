"""The kinds of picture by name, and what each needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, load_entries
from evalkit.results.plots.drawing import SCREEN, Look
from evalkit.results.published import PublishedScore
from evalkit.store.folders import find_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {
    "bars": "Who is better, and how sure is that? A dot with its intervals per run; --published adds figures",
    "tokens": "What does accuracy cost in tokens? Also at smaller budgets, with the Pareto front",
    "k": "Do more tries help, and does voting? pass@k and cons@k against k",
    "map": "Which problems does each model solve? Solve rates, sorted by difficulty",
    "lengths": "How long do the models think, and how much is cut? Lengths by status",
    "budget": "What would a smaller token budget score? Read off the completions",
    "steps": "Does more training help? Score against the step in the checkpoints' names",
    "gap": "How much of the gap to the teacher is closed? Needs --teacher and --base",
    "crossing": "From how many tries on is the base as good? pass@k; needs --teacher and --base",
    "lineage": "What did the student take over from its teacher? Needs --teacher and --base",
    "thinking": "Does the student think as long as its teacher? By problem; needs --teacher",
}
_NEED_BASE = ("gap", "crossing", "lineage")


@dataclass(frozen=True, slots=True)
class Request:
    """What to draw. `runs` are those of the students where there is a `teacher`."""

    runs: Sequence[Path]
    task: str | None = None
    published: Sequence[PublishedScore] = ()
    base: Path | None = None
    teacher: Path | None = None
    look: Look = SCREEN
    notes: list[str] = field(default_factory=list)


def draw(kind: str, request: Request) -> "Figure":
    """The picture of that kind; what is not complete is named in `request.notes`.

    Raises EvalkitError where a run of another role is needed, or where there is nothing to draw.
    """
    if kind in _NEED_BASE and (request.base is None or request.teacher is None):
        raise EvalkitError(f"{kind} needs a base and a teacher.", "name their runs with --base and --teacher.")
    if kind == "thinking" and request.teacher is None:
        raise EvalkitError("thinking needs a teacher.", "name its run with --teacher.")
    if kind in ("gap", "crossing"):
        return _of_distillation(kind, request)
    if kind in ("lineage", "thinking"):
        return _of_roles(kind, _load(_students(request), request), request)
    return _of_runs(kind, _load(request.runs, request), request)


def _roles(request: Request) -> dict[Path, str]:
    """`teacher` or `base` by run directory."""
    roles = {"teacher": request.teacher, "base": request.base}
    return {run.path.resolve(): role for role, path in roles.items() if path is not None for run in find_runs(path)}


def _students(request: Request) -> list[Path]:
    """The run directories of `request.runs` that are neither the teacher's nor the base's, which are noted.

    Raises EvalkitError where none is left.
    """
    of_roles = _roles(request)
    runs = list(dict.fromkeys(run.path for path in request.runs for run in find_runs(path)))
    students = [run for run in runs if run.resolve() not in of_roles]
    if not students:
        raise EvalkitError("No run is left for a student: all are the teacher's or the base's.",
                           "name the students' runs too.")  # fmt: skip
    if found := sorted({of_roles[run.resolve()] for run in runs if run.resolve() in of_roles}):
        request.notes.append(f"not drawn as students: the runs of the {' and the '.join(found)}")
    return students


def _load(paths: Sequence[Path], request: Request) -> list[Entry]:
    entries, notes = load_entries(paths)
    request.notes.extend(notes)
    return entries


def _of_runs(kind: str, entries: list[Entry], request: Request) -> "Figure":
    from evalkit.results.plots import figures, samples

    if kind == "bars":
        chosen = figures.of_task(entries, request.task) if request.task else entries
        tasks = {e.report.task for e in chosen}
        published = [f for f in request.published if f.task in tasks]
        return figures.bars(chosen, published, request.look, roles=_roles(request))
    if kind == "steps":
        return figures.checkpoint_sweep(entries, request.task, request.look, request.published)
    if kind in ("map", "lengths"):
        drawn = {"map": figures.solve_rate_map, "lengths": samples.length_distribution}[kind]
        return drawn(entries, request.task, request.look)
    coloured = {
        "tokens": figures.accuracy_against_tokens,
        "k": figures.score_against_k,
        "budget": samples.budget_curve,
    }[kind]
    return coloured(entries, request.task, request.look, _roles(request))


def _of_roles(kind: str, entries: list[Entry], request: Request) -> "Figure":
    from evalkit.results.plots.figures import of_task
    from evalkit.results.plots.lineage import lengths_against_teacher, lineage_map, one_of_task

    students = of_task(entries, request.task)
    task = students[0].report.task
    assert request.teacher is not None
    teacher = one_of_task(_load([request.teacher], request), task, "teacher")
    if kind == "thinking":
        return lengths_against_teacher(students, teacher, request.look)
    assert request.base is not None
    base = one_of_task(_load([request.base], request), task, "base")
    return lineage_map(base, students, teacher, request.look)


def _of_distillation(kind: str, request: Request) -> "Figure":
    from evalkit.results.distillation import distillation
    from evalkit.results.plots.distillation import score_picture, tries_picture

    assert request.teacher is not None
    assert request.base is not None
    found = distillation(_students(request), teacher=request.teacher, base=request.base)
    pairs = [(s, t) for s in found.students for t in s.tasks if request.task in (None, t.task)]
    if kind == "gap":
        return score_picture(pairs, request.look)
    tries = [(s, t) for s, t in pairs if t.tries is not None]
    if not tries:
        raise EvalkitError("No run has several completions per problem.", "run with -n 2 or more.")
    return tries_picture(tries, len(found.students) > 1, request.look)
