"""Plots: each draws one run and many, asks a question, tells missing from nothing; what cannot be drawn says why."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import evalkit, told
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from synthetic_runs import Length, solve_rates, write_run

from evalkit.cli.main import cli
from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, load_entries
from evalkit.results.plots import budgets, drawing, figures, lineage, samples
from evalkit.results.plots.drawing import LOOKS, PAPER, ROLE_COLOURS, SCREEN, new_figure, token_axis
from evalkit.results.plots.kinds import KINDS, Request, draw
from evalkit.results.published import load_published

DEFAULT: Length = lambda rng, i: int(rng.integers(200, 9000))  # noqa: E731
ROLES = ("gap", "crossing", "lineage", "thinking")
LONG = "a-very-long-name-of-a-model-that-somebody-trained-for-many-steps-on-much-data-seed-42"


def write(folder: Path, names: list[str], problems: int = 12, n: int = 4, length: Length = DEFAULT) -> list[Entry]:
    for i, name in enumerate(names):
        tasks = {"aime24": solve_rates(problems, n, 0.2 + 0.6 * i / len(names), 7)}
        write_run(folder / name / "run", name, tasks, titles={"aime24": "AIME 2024"}, length=length)
    return load_entries([folder])[0]


def at(line: Line2D) -> list[float]:
    """Where the points of a line lie on the x axis."""
    found: list[float] = np.asarray(line.get_xdata(), dtype=np.float64).tolist()
    return found


def words(figure: Figure, path: Path) -> str:
    drawing.save(figure, path)
    return " ".join("".join(element.itertext()) for element in ElementTree.parse(path).iter() if element.text)


def request(folder: Path, *names: str, look: drawing.Look = SCREEN) -> Request:
    return Request([folder / n for n in names], None, (), folder / "base", folder / "teacher", look)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    write(folder, ["base", "checkpoint-100", LONG, "teacher"], 24, 8)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", LOOKS.values(), ids=lambda look: look.name)
def test_each_picture_asks_a_question_and_has_units(
    family: Path, kind: str, look: drawing.Look, tmp_path: Path
) -> None:
    runs = ("checkpoint-100", LONG) if kind in ROLES else ("base", "checkpoint-100", LONG, "teacher")
    figure = draw(kind, request(family, *runs, look=look))
    text = words(figure, tmp_path / "plot.svg")
    question = KINDS[kind].partition("?")[0] + "?"
    assert (question in text) == look.titled
    assert any(unit in text for unit in ("percent", "tokens", "problems"))
    assert LONG not in text  # cut in the middle, both ends kept
    if kind not in ("gap", "crossing", "steps"):
        assert f"…{LONG[-8:]}" in text or f"{LONG[-6:]}" in text
    assert figure.get_size_inches()[0] <= (1.4 * SCREEN.width if look is SCREEN else PAPER.width + 0.01)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ROLES])
def test_each_picture_draws_one_problem_once(kind: str, tmp_path: Path) -> None:
    write(tmp_path, ["checkpoint-5"], 1, 1)
    figure = draw(kind, Request([tmp_path]))
    text = words(figure, tmp_path / "plot.svg")
    assert "1 problem, n = 1" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ROLES])
def test_twenty_models_are_legible(kind: str, tmp_path: Path) -> None:
    names = [f"run-{i // 5}/checkpoint-{100 * (i % 5 + 1)}" for i in range(20)]
    entries = write(tmp_path, names, 10, 2)
    figure = draw(kind, Request([tmp_path]))
    assert figure.get_size_inches()[1] >= (3.5 if kind == "steps" else 4)
    text = words(figure, tmp_path / "plot.svg")
    expected = [f"run-{i}" for i in range(4)] if kind == "steps" else [e.report.model for e in entries]
    for name in expected:
        assert name in text


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_the_same_figure_gives_the_same_file(family: Path, form: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        drawing.save(draw("tokens", request(family, "base", "teacher")), tmp_path / f"{name}.{form}")
    assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


def test_two_models_of_one_name_are_told_apart_in_bars(tmp_path: Path) -> None:
    entries = write(tmp_path, ["sft/checkpoint-100", "rl/checkpoint-100"])
    text = words(figures.bars(entries), tmp_path / "p.svg")
    assert "sft/checkpoint-100" in text
    assert "rl/checkpoint-100" in text


def test_missing_is_not_zero(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "r", "a", {"aime24": [[False] * 4] * 10, "math500": [[True] * 4] * 10})
    write_run(tmp_path / "b" / "r", "b", {"aime24": [[True] * 4] * 10})
    figure = figures.bars(load_entries([tmp_path])[0])
    by_title = {
        axes.get_title(loc="left").partition("  ")[0]: axes for axes in figure.axes if axes.get_title(loc="left")
    }
    missing = {title: [t.get_text() for t in axes.texts] for title, axes in by_title.items()}
    assert missing == {"aime24": [], "math500": ["not run"]}
    dots = [at(line)[0] for line in by_title["aime24"].lines if line.get_marker() == "o"]
    assert sorted(dots) == [0, 100]


def test_published_figures_are_drawn_whatever_our_models_are_called(tmp_path: Path) -> None:
    write(tmp_path, ["mine"])
    (tmp_path / "p").mkdir()
    done = evalkit("plot", "bars", tmp_path / "mine", "--published", "deepseek-r1", "-o", tmp_path / "p" / "x.svg")
    text = (tmp_path / "p" / "x.svg").read_text()
    assert "wrote" in done.stderr
    for model in ("DeepSeek-R1-Distill-Qwen-1.5B", "DeepSeek-R1-Distill-Llama-70B", "mine"):
        assert model in text
    assert "GPT-4o" not in text
    assert ">published, without error bars<" in text


def test_the_title_that_paper_has_no_room_for_is_printed(tmp_path: Path) -> None:
    write(tmp_path / "runs", [f"m{i}" for i in range(5)])
    command = ["plot", "k", tmp_path / "runs", "-t", "aime24", "-o", tmp_path / "k.svg"]
    done = CliRunner().invoke(cli, [*map(str, command), "--style", "paper"])
    caption = "Do more tries help, and does voting? 12 problems, n = 4; no bands with more than four runs"
    assert f"caption: {caption}\n" in done.stderr
    assert "no bands" not in (tmp_path / "k.svg").read_text()
    assert "caption" not in CliRunner().invoke(cli, [*map(str, command)]).stderr
    assert "no bands with more than four runs" in (tmp_path / "k.svg").read_text()
    figure, _ = new_figure(4, 3, look=PAPER)
    drawing.heading(figure, PAPER, "What?", drawing.label("costs $5 and $6"))
    assert figure.get_label() == "What? costs $5 and $6"


def test_a_published_figure_of_our_model_stands_in_our_row(tmp_path: Path) -> None:
    entries = write(tmp_path, ["DeepSeek-R1-Distill-Qwen-1.5B"])
    published = [f for f in load_published("deepseek-r1") if f.model.endswith("Qwen-1.5B")]
    figure = figures.bars(entries, published)
    assert len(figure.axes) == 1
    assert len(figure.axes[0].get_yticks()) == 1
    assert any(line.get_marker() == "D" and at(line) == [28.9] for line in figure.axes[0].lines)


def test_lengths_share_one_axis(tmp_path: Path) -> None:
    write(tmp_path / "s", ["short"], length=lambda rng, i: 100 + i)
    write(tmp_path / "l", ["long"], length=lambda rng, i: 9000 + i)
    figure = samples.length_distribution(load_entries([tmp_path])[0], None)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_each_training_run_is_a_line_of_its_own(tmp_path: Path) -> None:
    entries = write(tmp_path, ["a/checkpoint-100", "a/checkpoint-1000", "b/step_200", "b/step_300", "base"])
    figure = figures.checkpoint_sweep(entries, None)
    lines = {str(line.get_label()): at(line) for line in figure.axes[0].lines}
    assert lines["a"] == [100, 1000]
    assert lines["b"] == [200, 300]
    assert any("base" in text.get_text() for text in figure.axes[0].texts)


def test_the_budget_curve_is_the_run_cut_shorter(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r", "m", {"aime24": [[True, True], [True, False]]}, length=lambda rng, i: 1000 + 4000 * i
    )
    (entry,) = load_entries([run.path])[0]
    found, tokens = budgets.load_lengths(entry)
    assert [budgets.at_budget(found.values, tokens, budget).value for budget in (999, 1000, 5000)] == [0, 0.5, 0.75]
    trail = budgets.budget_trail(entry)
    assert trail[-1] == (3000.0, 75.0)
    assert len(trail) > 5
    assert trail[0][0] <= 1000


def test_short_completions_still_give_a_curve(tmp_path: Path) -> None:
    entries = write(tmp_path, ["m"], length=lambda rng, i: int(rng.integers(20, 60)))
    figure = samples.budget_curve(entries, None)
    assert len(at(figure.axes[0].lines[0])) > 5


def test_problems_stand_in_the_band_of_their_fate() -> None:
    grid = np.array([[1, 0, 0, 1, 0, 0], [1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0]], dtype=float)
    assert lineage.fates(grid) == [0, 1, 2, 3, 4, 5]


def test_labels_are_spread_and_keep_their_order() -> None:
    found = drawing.spread([0.5, 0.51, 0.1, 0.5], 0.1)
    assert found[2] == 0.1
    ordered = sorted(found)
    assert min(b - a for a, b in pairwise(ordered)) >= 0.1 - 1e-9
    assert found[1] == max(found)


def test_pareto_front() -> None:
    assert figures.pareto_front([(3, 5), (1, 2), (2, 2), (2, 4), (4, 5)]) == [(1, 2), (2, 4), (3, 5)]


def test_a_name_is_no_mathematics(tmp_path: Path) -> None:
    (entry,) = write(tmp_path, ["m"])
    odd = replace(entry, report=replace(entry.report, model="$x_1$/$y^2$", title="$\\frac$"))
    assert "$y^2$" in words(figures.bars([odd]), tmp_path / "p.svg")


def subset(folder: Path, *names: str) -> None:
    """Runs of 12 of the 30 problems of AIME."""
    for i, name in enumerate(names):
        tasks = {"aime24": solve_rates(12, 4, 0.2 + 0.2 * i, 7)}
        write_run(folder / name / "run", name, tasks, titles={"aime24": "AIME 2024"}, length=DEFAULT, available=30)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "steps"])
def test_a_subset_is_told_in_every_picture(kind: str, tmp_path: Path) -> None:
    subset(tmp_path, "base", "student", "teacher")
    asked = request(tmp_path, "student")
    text = words(draw(kind, asked), tmp_path / "plot.svg")
    assert "12 of 30 problems" in text
    assert "n = 4" in text


def test_a_published_figure_beside_a_subset_is_hollow_and_has_its_own_n(tmp_path: Path) -> None:
    subset(tmp_path, "mine")
    published = [f for f in load_published("deepseek-r1") if f.model == "DeepSeek-R1-Distill-Qwen-7B"]
    figure = figures.bars(load_entries([tmp_path])[0], published)
    title = figure.axes[0].get_title(loc="left")
    assert title.endswith("ours: 12 of 30 problems, n = 4\npublished: n = 64")
    assert [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "D"] == ["none"]


@pytest.mark.parametrize("kind", ["tokens", "k", "budget", "crossing"])
def test_a_role_has_one_colour(family: Path, kind: str) -> None:
    runs = ["checkpoint-100"] if kind == "crossing" else ["base", "checkpoint-100", "teacher"]
    drawn = {line.get_color() for line in draw(kind, request(family, *runs)).axes[0].lines}
    assert set(drawing.ROLE_COLOURS.values()) <= drawn
    assert not drawn & (set(drawing.COLOURS) - set(drawing.ROLE_COLOURS.values()) - {drawing.COLOURS[4]})


@pytest.mark.parametrize("kind", ROLES)
def test_teacher_and_base_among_the_students_are_left_out_with_a_note(family: Path, kind: str) -> None:
    asked = request(family, "base", "checkpoint-100", "teacher")
    figure = draw(kind, asked)
    alone = draw(kind, request(family, "checkpoint-100"))
    assert asked.notes == ["not drawn as students: the runs of the base and the teacher"]
    assert len(figure.axes) == len(alone.axes)
    with pytest.raises(EvalkitError, match="No run is left for a student"):
        draw(kind, request(family, "base", "teacher"))


def test_lineage_tells_every_band(tmp_path: Path) -> None:
    one, none = [True] * 4, [False] * 4
    rows = {"base": [one] * 20 + [none, none, one], "student": [one] * 21 + [none, none]}
    for name, values in {**rows, "teacher": [one] * 22 + [none]}.items():
        write_run(tmp_path / name / "run", name, {"aime24": values})
    told = " ".join(draw("lineage", request(tmp_path, "student")).axes[0].get_xlabel().split())
    assert told == (
        "23 problems, from the left: 20 solved by all three, 1 taken over from the teacher, 1 not taken over, 1 lost"
    )


def test_what_cannot_be_drawn_says_why(family: Path, tmp_path: Path) -> None:
    found = load_entries([family / "base"])[0]
    with pytest.raises(EvalkitError, match="math500"):
        figures.solve_rate_map(found, "math500")
    with pytest.raises(EvalkitError, match="doc"):
        drawing.save(figures.solve_rate_map(found, None), tmp_path / "plot.doc")
    with pytest.raises(EvalkitError, match="needs a base and a teacher"):
        draw("gap", Request([family]))
    with pytest.raises(EvalkitError, match="training step"):
        draw("steps", Request([family / "base"]))
    assert "lineage needs a base" in told(evalkit("plot", "lineage", family / "base", code=2))


def test_a_published_figure_does_not_hide_ours(tmp_path: Path) -> None:
    """Ours and the published one stand beside each other, also where they are equal."""
    write_run(tmp_path / "r", "org/DeepSeek-R1-Distill-Qwen-1.5B", {"math500": solve_rates(50, 4, 0.84)})
    entries = load_entries([tmp_path])[0]
    value = entries[0].report.metric("pass@1")
    assert value is not None
    theirs = [f for f in load_published("deepseek-r1") if f.task == "math500" and f.model.endswith("1.5B")]
    drawn = figures.bars(entries, [replace(f, value=value.value) for f in theirs])
    lines = {line.get_marker(): line for line in drawn.axes[0].get_lines() if line.get_marker() in ("o", "D")}
    ours, published = (tuple(float(np.asarray(v)[0]) for v in lines[sign].get_data()) for sign in "oD")
    assert ours[0] == published[0]
    assert 0.2 <= published[1] - ours[1] <= 0.4, "below ours, and nearer to its row than to the next"
    assert lines["o"].get_zorder() > lines["D"].get_zorder()


def test_bars_have_the_colours_of_roles(tmp_path: Path) -> None:
    for name, skill in (("base", 0.2), ("student", 0.5), ("teacher", 0.8)):
        write_run(tmp_path / name, f"org/{name}", {"aime24": solve_rates(20, 4, skill)})
    drawn = draw("bars", Request([tmp_path], base=tmp_path / "base", teacher=tmp_path / "teacher"))
    found = {line.get_label(): line.get_color() for line in drawn.axes[0].get_lines() if line.get_marker() == "o"}
    assert found == ROLE_COLOURS
    assert {text.get_text() for text in drawn.legends[0].get_texts()} >= {"base", "teacher"}


@pytest.mark.parametrize(("low", "high"), [(113, 151), (101, 109), (1510, 1990), (12000, 12900), (90, 40000), (20, 60)])
def test_ticks_of_tokens_are_round_and_at_least_three(low: float, high: float) -> None:
    _, axes = new_figure(3, 3)
    token_axis(axes[0, 0], low, high, "x", 5)
    ticks = [float(tick) for tick in axes[0, 0].xaxis.get_majorticklocs()]
    assert 3 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)
    assert all(float(f"{tick:.3g}") == tick for tick in ticks), ticks


@pytest.mark.parametrize(
    ("tasks", "panels"), [("aime24", 1), ("aime24 math500", 2), ("aime24 math500 gsm8k", 4), ("aime25", 1)]
)
def test_a_sweep_has_two_panels_in_a_row(tasks: str, panels: int, tmp_path: Path) -> None:
    values = {name: [[True, False]] for name in tasks.split()}
    for step in (100, 200):
        write_run(tmp_path / str(step), f"m/checkpoint-{step}", values)
    figure = figures.checkpoint_sweep(load_entries([tmp_path])[0], None)
    assert [axes.axison for axes in figure.axes] == [True] * len(values) + [False] * (panels - len(values))
