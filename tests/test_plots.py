"""Plots: each draws one run, one problem and many; what cannot be drawn says why."""

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from synthetic_runs import solve_rates, write_run

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry, load_entries
from evalkit.results.plots import figures as plots
from evalkit.results.plots import samples as plots_samples
from evalkit.results.published import load_published

DRAW: dict[str, Callable[[list[Entry], str], Figure]] = {
    "tokens": plots.accuracy_against_tokens,
    "k": plots.score_against_k,
    "map": plots.solve_rate_map,
    "steps": plots.checkpoint_sweep,
    "lengths": plots_samples.length_distribution,
    "budget": plots_samples.budget_curve,
    "bars": lambda entries, task: plots.bars(entries, load_published("deepseek-r1")),
}


def entries(folder: Path, runs: int, problems: int, n: int) -> list[Entry]:
    for i in range(runs):
        name = f"checkpoint-{100 * (i + 1)}"
        write_run(folder / name / "r", f"$x_1$/{name}", {"aime24": solve_rates(problems, n, 0.4, i)})
    return load_entries([folder])[0]


@pytest.mark.parametrize("kind", DRAW)
@pytest.mark.parametrize(("runs", "problems", "n"), [(3, 12, 4), (1, 1, 1)])
def test_each_plot_has_axes_with_units_and_its_n(kind: str, runs: int, problems: int, n: int, tmp_path: Path) -> None:
    figure = DRAW[kind](entries(tmp_path / "r", runs, problems, n), "aime24")
    panel = figure.axes[0]
    assert panel.get_xlabel() or kind == "map"
    assert panel.get_ylabel() or kind == "bars"
    plots.save(figure, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    assert f"n = {n}" in text or f"{problems * n} completion" in text
    plots.save(figure, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_budget_curve_is_the_run_cut_shorter(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r", "m", {"aime24": [[True, True], [True, False]]}, length=lambda rng, i: 1000 + 4000 * i
    )
    samples, tokens = plots_samples.load_lengths(load_entries([run.path])[0][0])
    found = [plots_samples.at_budget(samples.values, tokens, budget).value for budget in (999, 1000, 5000)]
    assert found == [0, 0.5, 0.75]


def test_pareto_front() -> None:
    assert plots.pareto_front([(3, 5), (1, 2), (2, 2), (2, 4), (4, 5)]) == [(1, 2), (2, 4), (3, 5)]


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    found = entries(tmp_path / "r", 1, 2, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvalkitError, match="no run below"):
        load_entries([tmp_path / "empty"])
    with pytest.raises(EvalkitError, match="math500"):
        plots.solve_rate_map(found, "math500")
    with pytest.raises(EvalkitError, match="doc"):
        plots.save(plots.solve_rate_map(found, None), tmp_path / "plot.doc")
