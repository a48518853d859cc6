"""Tasks that have metrics of their own, in every table: the paper's columns, and one unit each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from helpers import evalkit, write_recorded
from test_codeforces import ADD, HUB_ROW
from test_livecodebench import make_data, make_row

from evalkit import DataSource, Interval, Metric, Problem, Score, Task
from evalkit.benchmark.task import TaskKind
from evalkit.cli.summary import _told
from evalkit.results.entries import load_entries
from evalkit.results.formats import format_names, renderer
from evalkit.results.formats.renderers import terminal
from evalkit.results.leaderboard import build_table
from evalkit.results.metrics import KINDS, figure_text, kind_of, standard_metrics, with_error_bars
from evalkit.results.published import load_published
from evalkit.results.samples import Samples
from evalkit.types import Status

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


@pytest.mark.slow
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
    shown = [(c.task, c.metric) for c in table.columns if c.task == "livecodebench"]
    assert shown[-1] == ("livecodebench", "pass@1 hard")


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
    assert "pass@1 hard: 50.0" in told
    assert "problems: 2, " in told, told
    assert "0 of 8 verdicts changed" in told


class Checked(Task):
    name, version, title = "checked", 1, "Checked"
    kind: ClassVar[TaskKind] = "other"

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [Problem("1", "Explain the tides.", "")]

    def score(self, problem: Problem, response: str) -> Score:
        return Score(float("moon" in response), "correct" if "moon" in response else "wrong")


class Program(Checked):
    kind = "code"


class ComparedProgram(Program):
    def same_answer(self, first: str, second: str) -> bool:
        return first == second


@pytest.mark.parametrize(
    ("task", "statuses", "answers", "value"),
    [
        (Checked, "cwww", [None, None, None, None], None),
        (Checked, "cwww", [None, "7", "7", "8"], 0),
        (Checked, "ccww", [None, "6", "7", "7"], 0),
        (Checked, "ccww", ["6", "six", "7", None], 100),
        (Checked, "nnnn", [None, None, None, None], 0),
        (Program, "ccww", ["print(1)", "print(2 - 1)", "print(0)", "print(3)"], None),
        (ComparedProgram, "ccww", ["a", "b", "c", "d"], 100),
    ],
)
def test_what_has_no_answer_has_no_vote(
    task: type[Task], statuses: str, answers: list[str | None], value: float | None
) -> None:
    words: dict[str, Status] = {"c": "correct", "w": "wrong", "n": "no_answer"}
    values = np.array([[float(s == "c") for s in statuses]])
    samples = Samples(["1"], values, [[words[s] for s in statuses]], [answers], None, None)
    found = {metric.name: metric.value for metric in standard_metrics(task(), samples)}
    assert found.get("cons@4") == value
    assert found["pass@4"] == (100 if "c" in statuses else 0)


def test_a_mean_is_printed_with_its_decimals_and_its_n(results: Path) -> None:
    assert [figure_text(v, "count") for v in (3, 1.25, -0.0)] == ["3", "1.25", "0"]
    assert with_error_bars(Metric("words", 2, 4, "mean", interval_run=Interval(1.7, 2.3))) == "2.00 ±0.30"
    assert _told(Metric("words", 1.25, 4, "mean", note="of each")) == "words: 1.25, 4 samples (of each)"
    reports = {entry.report.task: entry.report for entry in load_entries([results])[0]}
    assert reports["livecodebench"].metric("cons@2") is reports["codeforces"].metric("cons@2") is None


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
