"""The pictures of a few small runs, whole: every place, word, tick and limit, and what cannot be drawn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshots import check
from synthetic_runs import write_run
from test_mutants_report_pictures_distillation import described

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, load_entries
from evalkit.results.plots import figures, lineage, samples
from evalkit.results.plots.budgets import at_budget, budget_trail, budgets
from evalkit.results.plots.drawing import PAPER, SCREEN
from evalkit.results.plots.kinds import Request, draw
from evalkit.results.published import load_published

T, F = True, False
VALUES = {
    "base": [[T, F, F, F], [T, T, F, F], [F, F, F, F], [F, F, F, F], [T, T, T, T], [F, F, F, F]],
    "run-step_100": [[T, T, F, F], [F, F, F, F], [T, T, T, F], [F, F, F, F], [T, T, T, T], [F, F, F, F]],
    "run-step_300": [[T, T, T, F], [F, F, F, F], [T, T, T, T], [T, T, F, F], [T, T, T, T], [F, F, F, F]],
    "teacher": [[T, T, T, T], [T, T, F, F], [T, T, T, T], [F, F, F, F], [T, T, T, T], [T, T, T, F]],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for i, (name, values) in enumerate(VALUES.items()):
        write_run(
            folder / name / "run", f"org/{name}", {"aime24": values}, titles={"aime24": "AIME 2024"}, limit=800,
            length=lambda rng, k, i=i: 100 * (k + 1) * (i + 1), available=30,  # type: ignore[misc]
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def entries(runs: Path) -> list[Entry]:
    return load_entries([runs])[0]


DRAWN: dict[str, Any] = {
    "bars": lambda e, look: figures.bars(e, load_published("deepseek-r1")[:6], look),
    "tokens": lambda e, look: figures.accuracy_against_tokens(e, None, look),
    "k": lambda e, look: figures.score_against_k(e, None, look),
    "map": lambda e, look: figures.solve_rate_map(e, None, look),
    "steps": lambda e, look: figures.checkpoint_sweep(e, None, look, load_published("deepseek-r1")[:6]),
    "lengths": lambda e, look: samples.length_distribution(e, None, look),
    "budget": lambda e, look: samples.budget_curve(e, None, look),
    "lineage": lambda e, look: lineage.lineage_map(e[0], e[1:3], e[3], look),
    "thinking": lambda e, look: lineage.lengths_against_teacher(e[1:3], e[3], look),
}


@pytest.mark.parametrize("look", [SCREEN, PAPER], ids=lambda look: look.name)
@pytest.mark.parametrize("kind", DRAWN)
def test_picture(kind: str, look: Any, entries: list[Entry]) -> None:
    check(f"report/pictures/small {kind} {look.name}.txt", described(DRAWN[kind](entries, look)))


@pytest.mark.parametrize("kind", ["tokens", "k", "budget", "map"])
def test_picture_of_five_runs(kind: str, entries: list[Entry], runs: Path, tmp_path: Path) -> None:
    """From five runs on there are no bands."""
    write_run(tmp_path / "fifth" / "run", "org/fifth", {"aime24": VALUES["base"][:1]}, length=lambda rng, k: 50 + k)
    more = [*entries, *load_entries([tmp_path])[0]]
    check(f"report/pictures/small {kind} of five.txt", described(DRAWN[kind](more, SCREEN)))


def refused(what: Any) -> tuple[str, str]:
    with pytest.raises(EvalkitError) as told:
        what()
    return told.value.message, str(told.value.hint)


def test_what_cannot_be_drawn_says_why_and_what_to_do(runs: Path, entries: list[Entry], tmp_path: Path) -> None:
    base, teacher = runs / "base", runs / "teacher"
    for kind in ("gap", "crossing", "lineage"):
        for request in (Request([runs], base=base), Request([runs], teacher=teacher)):
            assert refused(lambda k=kind, r=request: draw(k, r)) == (
                f"{kind} needs a base and a teacher.", "name their runs with --base and --teacher.",
            )  # fmt: skip
    assert refused(lambda: draw("thinking", Request([runs]))) == (
        "thinking needs a teacher.", "name its run with --teacher.",
    )  # fmt: skip
    assert refused(lambda: draw("lineage", Request([base, teacher], base=base, teacher=teacher))) == (
        "No run is left for a student: all are the teacher's or the base's.", "name the students' runs too.",
    )  # fmt: skip
    assert refused(lambda: figures.of_task(entries, "math500")) == (
        "No run has the task 'math500'.", "choose with -t: aime24.",
    )  # fmt: skip
    assert refused(lambda: figures.checkpoint_sweep(entries[:1], None)) == (
        "No run's name tells its training step.", "name checkpoints like checkpoint-500 or step_500.",
    )  # fmt: skip
    assert refused(lambda: lineage.one_of_task(entries, None, "teacher")) == (
        "The teacher has 4 runs of aime24.", "give one run directory.",
    )  # fmt: skip
    write_run(tmp_path / "single" / "run", "org/single", {"aime24": [[T], [F]]})
    single = Request([tmp_path / "single"], base=base, teacher=teacher)
    assert refused(lambda: draw("crossing", single)) == (
        "No run has several completions per problem.", "run with -n 2 or more.",
    )  # fmt: skip


def test_runs_of_other_roles_are_noted(runs: Path) -> None:
    request = Request([runs], base=runs / "base", teacher=runs / "teacher")
    draw("lineage", request)
    assert request.notes == ["not drawn as students: the runs of the base and the teacher"]


def test_budgets_are_even_on_a_logarithmic_scale() -> None:
    assert len(budgets(np.array([[100] * 50 + [3200]]), None)) == 12
    assert budgets(np.array([[100] * 50 + [3200]]), None)[::11] == [100, 3200]
    assert budgets(np.array([[100] * 50 + [3200]]), 800)[::11] == [100, 800]
    assert budgets(np.array([[100, 100]]), 50) == [50]
    assert budgets(np.array([[0, 0, 4]]), None) == [1, 2, 3, 4]
    assert at_budget(np.array([[1.0, 1.0, 0.0, 1.0]]), np.array([[10, 20, 5, 21]]), 20).value == 0.5


def test_the_last_budget_is_the_whole_run(entries: list[Entry]) -> None:
    trail = budget_trail(entries[0])
    assert trail[-1] == pytest.approx((250, 100 * 7 / 24))
    assert trail[0] == pytest.approx((100, 100 * 3 / 24)), "the first sample of each problem has 100 tokens"


def test_what_a_picture_is_of_is_told(entries: list[Entry]) -> None:
    assert figures.basis(entries) == "6 of 30 problems, n = 4"
    others = {"options": {"level": "easy"}, "temperature": 9.0, "problems": "other", "version": 99}
    for names, told in (
        (["options"], "options of the task"), (["problems"], ""), (["options", "temperature"], "options of the task, "
        "temperature"), (["options", "temperature", "version"], "options of the task, temperature and 1 more"),
    ):  # fmt: skip
        changed = replace(entries[1], settings={**entries[1].settings, **{name: others[name] for name in names}})
        assert figures.basis([entries[0], changed]) == "6 of 30 problems, n = 4" + (told and f"; different {told}")
    assert figures.names(entries) == ["base", "run-step_100", "run-step_300", "teacher"]
    assert [figures.training_step(e) for e in entries] == [None, 100, 300, None]
    assert figures.training_run(entries[1]) == figures.training_run(entries[2]) == "org/run-"


def test_runs_have_the_colours_of_their_roles(entries: list[Entry]) -> None:
    roles = {entries[0].run.resolve(): "base", entries[3].run.resolve(): "teacher"}
    assert figures.run_colours(entries, roles) == ["#999999", "#0072B2", "#009E73", "#E69F00"]
    assert figures.run_colours(entries, {}) == ["#0072B2", "#E69F00", "#009E73", "#D55E00"]


def test_the_front_holds_what_nothing_else_beats() -> None:
    points = [(3.0, 50.0), (1.0, 20.0), (1.0, 30.0), (2.0, 30.0), (4.0, 60.0), (5.0, 59.0)]
    assert figures.pareto_front(points) == [(1.0, 30.0), (3.0, 50.0), (4.0, 60.0)]
