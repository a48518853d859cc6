"""Tasks that have metrics of their own, in every table: the paper's columns, and one unit each."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import evalkit, write_recorded
from test_codeforces import ADD, HUB_ROW
from test_livecodebench import make_data, make_row

from evalkit import Interval, Metric
from evalkit.results.entries import load_entries
from evalkit.results.formats import format_names, renderer
from evalkit.results.formats.renderers import terminal
from evalkit.results.leaderboard import build_table
from evalkit.results.metrics import KINDS, kind_of, with_error_bars
from evalkit.results.published import load_published

MODEL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
PAPER_COLUMNS = [
    ("aime24", "pass@1"),
    ("aime24", "cons@64"),
    ("math500", "pass@1"),
    ("gpqa_diamond", "pass@1"),
    ("livecodebench", "pass@1"),
    ("codeforces", "rating"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LiveCodeBench run and a CodeForces run of one model, both with all defaults but n, judged for real."""
    folder = tmp_path_factory.mktemp("own_metrics")
    make_data(folder, make_row("q1"), make_row("q2", difficulty="hard"))
    rows = [{**HUB_ROW, "id": f"2003/{i}", "index": i, "rating": rating} for i, rating in (("A", 800), ("B", 1100))]
    (folder / "codeforces").mkdir()
    (folder / "codeforces" / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    add_one, wrong = "```python\nprint(int(input()) + 1)\n```", "```python\nprint(0)\n```"
    answers: dict[str, list[str]] = {
        "q1": [add_one, add_one],
        "q2": [add_one, wrong],
        "2003/A": [ADD, ADD],
        "2003/B": [ADD, wrong],
    }
    recorded = write_recorded(
        folder / "recorded.jsonl", {k: [f"hm</think>\n{t}" for t in v] for k, v in answers.items()}
    )
    options = (
        "--engine",
        "replay",
        "--recorded",
        recorded,
        "--data",
        folder,
        "-n",
        2,
        "--allow-changed-data",
        "--quiet",
    )
    evalkit(
        "run",
        MODEL,
        "-t",
        "livecodebench,codeforces",
        "--protocol",
        "deepseek-r1",
        *options,
        "--results",
        folder / "results",
    )
    return folder / "results"


def test_the_papers_columns_and_no_others(results: Path) -> None:
    table = build_table(load_entries([results])[0])
    assert [(c.task, c.metric) for c in table.columns] == PAPER_COLUMNS[-2:]
    beside = build_table(load_entries([results])[0], load_published("deepseek-r1"))
    assert [(c.task, c.metric) for c in beside.columns] == PAPER_COLUMNS


def test_own_metrics_are_in_the_report_in_known_units(results: Path) -> None:
    reports = {entry.report.task: entry.report for entry in load_entries([results])[0]}
    easy, hard = (reports["livecodebench"].metric(f"pass@1 {level}") for level in ("easy", "hard"))
    assert easy is not None
    assert hard is not None
    assert (easy.value, hard.value, easy.unit) == (100.0, 50.0, "%")
    accepted = reports["livecodebench"].metric("verdict accepted")
    assert accepted is not None
    assert (accepted.value, accepted.unit) == (3, "count")
    rating = reports["codeforces"].metric("rating")
    assert rating is not None
    assert rating.unit == "rating"


def test_a_metric_of_ones_own_is_a_column_where_it_is_named(results: Path) -> None:
    table = build_table(load_entries([results])[0], metrics=["pass@1 hard"])
    assert [(c.task, c.metric) for c in table.columns][-1] == ("livecodebench", "pass@1 hard")


def test_a_rating_is_compared_with_the_published_one(results: Path) -> None:
    table = build_table(load_entries([results])[0], load_published("deepseek-r1"))
    ours = next(row for row in table.rows if not row.published)
    cells = dict(zip([(c.task, c.metric) for c in table.columns], ours.cells, strict=True))
    cell = cells["codeforces", "rating"]
    assert cell is not None
    assert "different prompt" not in cell.not_compared
    assert cell.not_compared == "the data may have been changed (--allow-changed-data)"


@pytest.mark.parametrize("form", format_names())
def test_every_format_writes_them(results: Path, form: str) -> None:
    entries = load_entries([results])[0]
    for published in ([], load_published("deepseek-r1")):
        table = build_table(entries, published, ["verdict accepted", "pass@1 hard"])
        text = terminal.render(table, width=200) if form == "terminal" else renderer(form)(table)
        assert "LiveCodeBench" in text
        assert "verdict" in text if form == "terminal" else "verdict accepted" in text


@pytest.mark.slow
def test_the_card_and_the_run_summary_write_them(results: Path) -> None:
    assert "CodeForces" in evalkit("leaderboard", results, "-f", "model-card").stdout
    told = evalkit("score", results, "--data", results.parent).stderr
    assert "pass@1 hard: 50.0 percent" in told
    assert "CodeForces: problems 2 (" in told
    assert "0 of 8 verdicts changed" in told


def test_a_half_width_is_printed_alike_everywhere() -> None:
    metric = Metric("pass@1", 83.9, 2000, "%", 0.8, Interval(82.3, 85.5), 1.5, Interval(80.8, 86.7))
    assert with_error_bars(metric) == "83.9 ±1.6 / ±3.1"


@pytest.mark.parametrize(
    ("name", "comparable", "curve"),
    [("pass@1", True, True), ("cons@64", True, True), ("rating", True, False), ("finished", False, False),
     ("verdict no code", False, False), ("pass@1 hard", False, False)],
)  # fmt: skip
def test_what_is_known_of_a_metric_stands_in_one_table(name: str, comparable: bool, curve: bool) -> None:
    assert (kind_of(name).comparable, kind_of(name).curve) == (comparable, curve)


def _patterns() -> Sequence[str]:
    return [kind.pattern for kind in KINDS]


def test_no_two_kinds_are_the_same() -> None:
    assert len(set(_patterns())) == len(KINDS)
