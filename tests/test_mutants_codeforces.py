"""Ratings of small contests, whole: what is printed, the JSON, the metrics, the built contests, rows and tables."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evalkit_tasks.codeforces.building import Responses, build_contest
from evalkit_tasks.codeforces.contests import Contest, ContestProblem, ContestSet, Standings, to_json
from evalkit_tasks.codeforces.estimate import RULES, Rating, rate
from evalkit_tasks.codeforces.field import TIE_RULES
from evalkit_tasks.codeforces.metrics import rating_metrics
from evalkit_tasks.codeforces.percentile import Histogram, find_histogram, load_histogram
from evalkit_tasks.codeforces.places import official_ranks
from evalkit_tasks.codeforces.plots import write_plots
from evalkit_tasks.codeforces.problems import problem_from_row
from evalkit_tasks.codeforces.summary import describe
from evalkit_tasks.codeforces.summary import to_json as rating_json
from evalkit_tasks.codeforces.table import Solve, read_table, solve_from_json
from evalkit_tasks.codeforces.task import _of_contests
from snapshots import check, check_json
from test_codeforces_contests import responses_of

from evalkit.errors import EvalkitError
from evalkit.types import Problem, Score

HISTOGRAM = Histogram(np.array([400.0, 900.0, 1200.0, 1600.0]), np.array([10, 50, 30, 10]), "2024-11-01")


def contest(number: int, scoring: Any = "points", people: int = 300, rated: bool = True) -> Contest:
    """A contest of five problems in which people solve by the Elo formula."""
    rng = np.random.default_rng(number)
    hard = np.array([800, 1200, 1600, 2000, 2400])
    ratings = np.clip(rng.normal(1400, 300, people), 0, 2600).round().astype(np.int64)
    solved = rng.random((people, 5)) < 1 / (1 + 10 ** ((hard - ratings[:, None]) / 400))
    worth = np.array([500, 1000, 1500, 2000, 2500]) if scoring == "points" else np.ones(5)
    penalty = rng.integers(0, 300, people).astype(np.float64)
    standings = Standings(
        ratings, ratings - 3, np.zeros(people, dtype=np.int64), solved @ worth, penalty, solved @ (1 << np.arange(5))
    )
    problems = tuple(
        ContestProblem("ABCDE"[j], float(worth[j]) if scoring == "points" else None, int(hard[j]) if rated else None)
        for j in range(5)
    )
    return Contest(number, f"Round {number} (Div. 2)", "2", scoring, problems, "2024-01-01", standings)


def without_standings(number: int) -> Contest:
    made = contest(number)
    return Contest(made.id, made.name, made.division, made.scoring, made.problems, made.date)


def solves(contests: ContestSet, *counts: int, samples: int = 8) -> list[Solve]:
    """`counts` of the problems in turn, of `samples`."""
    rows = [(c.id, p.index) for c in contests.contests for p in c.problems]
    return [Solve(c, i, min(counts[j % len(counts)], samples), samples) for j, (c, i) in enumerate(rows)]


SETS = {
    "points and icpc": ContestSet("two", (contest(1), contest(2, "icpc"))),
    "one contest": ContestSet("one", (contest(3, people=120),)),
    "three contests": ContestSet("three", (contest(1), contest(3), contest(4))),
    "some without standings": ContestSet("mixed", (contest(1), without_standings(5))),
    "none with standings": ContestSet("none", (without_standings(5), without_standings(6))),
    "no ratings": ContestSet("unrated", (contest(1, rated=False), contest(7))),
}
COUNTS = {"some": (8, 6, 3, 1, 0), "nothing": (0,), "everything": (8,), "odd": (8, 0, 2, 0, 0, 8, 8, 5, 1, 1)}


def told(rating: Rating, table: list[Solve], contests: ContestSet) -> dict[str, Any]:
    problem = Problem("1/A", "", "", {"tests": "some", "several_answers": True, "own_checker": False})
    samples = Problem("1/B", "", "", {"tests": "samples", "several_answers": True, "own_checker": True})
    scores = {"1/A": [Score(1.0, "correct", extracted_by="cpp"), Score(0.0, "wrong", extracted_by="python")] * 2}
    scores["1/A"].append(Score(0.0, "wrong", extracted_by="cpp"))
    left_out = {"interactive": 2}
    problems = [problem, samples] * 20
    metrics = rating_metrics(rating, table, contests, HISTOGRAM, problems, scores, left_out, 3.0)
    return {
        "text": describe(rating, table, contests, HISTOGRAM).splitlines(),
        "json": rating_json(rating, table, contests, None),
        "metrics": [asdict(m) for m in metrics],
    }


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("contests", SETS)
def test_rating(contests: str, counts: str) -> None:
    table = solves(SETS[contests], *COUNTS[counts])
    rating = rate(table, SETS[contests], draws=200)
    check_json(f"codeforces/{contests}, {counts}.json", told(rating, table, SETS[contests]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tie_rule", TIE_RULES)
def test_rules(rule: Any, tie_rule: Any) -> None:
    """Uneven samples, ordered results, a problem not tried, one that is not in the set, a row with its own rating."""
    contests = ContestSet("three", (contest(1), contest(2, "icpc"), contest(8, people=60)))
    table = [
        Solve(1, "A", 3, 4, results=(False, True, True, True)),
        Solve(1, "B", 1, 2),
        Solve(1, "D", 0, 2),
        Solve(2, "B", 2, 6, results=(False, False, True, False, True, False)),
        Solve(2, "A", 1, 1),
        Solve(8, "A", 5, 5),
        Solve(8, "C", 0, 5, rating=3000),
        Solve(9, "A", 1, 1),
        Solve(1, "F", 1, 1),
    ]
    rating = rate(table, contests, rule=rule, tie_rule=tie_rule, level=0.9, draws=200, seed=4)
    check_json(f"codeforces/rule {rule}, {tie_rule}.json", told(rating, table, contests))


def test_official_ranks_share_the_best_place() -> None:
    none = np.zeros(5, dtype=np.int64)
    points, penalty = np.array([5.0, 7.0, 5.0, 5.0, 0.0]), np.array([3.0, 9.0, 3.0, 1.0, 0.0])
    assert official_ranks(Standings(none, none, none, points, penalty)).tolist() == [3, 1, 3, 2, 5]


@pytest.mark.parametrize("kind", ["CF", "ICPC"])
def test_built_contest(kind: str) -> None:
    answers = responses_of(103, kind)
    problems = {(103, p["index"]): p for p in answers["problemset.problems"]["problems"]}
    responses = Responses({103: answers["contest.standings"]}, {103: answers["contest.ratingChanges"]}, problems)
    made, notes = build_contest(responses, 103)
    people = made.standings
    assert people is not None
    columns = {k: v.tolist() for k, v in asdict(people).items()}
    held = to_json(ContestSet("x", (made,)))["contests"][0] | {"participants": columns, "notes": notes}
    check_json(f"codeforces/built {kind}.json", held)


ROW: dict[str, Any] = {
    "contest_id": 7,
    "index": "B2",
    "description": "Do it.",
    "examples": [{"input": "1", "output": "2"}],
}
ROWS: list[dict[str, Any]] = [
    {},
    {"title": " T ", "note": " x ", "input_format": "n", "output_format": " m ", "rating": 1500, "points": 750.0},
    {"description": "Do it.\nTime Limit: 1500 ms\nMemory limit: 64 MB\n\nTags:\n[dp, greedy]"},
    {"description": "Do it.\nTime limit: 3 seconds per test", "time_limit": 4.0, "memory_limit": 512},
    {"description": "Time Limit: 2.5 s\nDo it.", "rating": float("nan"), "points": None},
    {"official_tests": '[{"input": "1", "output": "2"}, {"input": "3", "output": "4"}]', "official_tests_complete": 1},
    {"official_tests": {"input": ["1 ", "5"], "output": ["2", "6"]}, "official_tests_complete": False},
    {"official_tests": [{"input": " 1\n", "output": "2 "}], "official_tests_complete": True},
    {"examples": None, "official_tests": [{"input": "1", "output": "2"}]},
    {"description": "Print any of them in any case.", "generated_checker": "print(1)"},
    {"description": "An absolute error of 10^{-4} will do. If there are several answers, print any of them."},
    {"interactive": True},
    {"input_mode": "files"},
    {"input_mode": "stdio", "description": "  "},
    {"examples": []},
]  # fmt: skip


def test_rows_become_problems() -> None:
    made = [problem_from_row({**ROW, **changed}) for changed in ROWS]
    shown = [p if isinstance(p, str) else {**asdict(p), "prompt": p.prompt.splitlines()} for p in made]
    bare = {k: v for k, v in ROW.items() if k != "examples"} | {"official_tests": [{"input": "1", "output": "2"}]}
    local = problem_from_row(bare)
    assert isinstance(local, Problem)
    check_json("codeforces/rows.json", [*shown, local.metadata["tests"]])


GOOD = {"contest": 7, "index": "A", "solved": 1, "samples": 2}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (GOOD, Solve(7, "A", 1, 2)),
        ({**GOOD, "contest": "7", "rating": 800, "points": 0.5}, Solve(7, "A", 1, 2, 800, 0.5)),
        ({**GOOD, "solved": 0, "samples": 1}, Solve(7, "A", 0, 1)),
        ({**GOOD, "solved": 2}, Solve(7, "A", 2, 2)),
        ({**GOOD, "results": [1, 0]}, Solve(7, "A", 1, 2, results=(True, False))),
        ({"contest": 7, "index": "A", "results": [False, True]}, Solve(7, "A", 1, 2, results=(False, True))),
    ],
)  # fmt: skip
def test_rows_of_a_table(row: dict[str, Any], wanted: Solve) -> None:
    assert solve_from_json(row, "x") == wanted


@pytest.mark.parametrize(
    "row",
    [
        [], {**GOOD, "contest": 7.0}, {**GOOD, "contest": True}, {**GOOD, "contest": "x"}, {**GOOD, "index": ""},
        {**GOOD, "index": 3}, {**GOOD, "solved": 3}, {**GOOD, "solved": -1}, {**GOOD, "solved": 0, "samples": 0},
        {**GOOD, "solved": True}, {**GOOD, "rating": "800"}, {**GOOD, "rating": True},
        {**GOOD, "points": float("nan")},
        {**GOOD, "results": [1, 1]}, {**GOOD, "results": [1, 0, 0]}, {**GOOD, "results": [1, 2]},
        {**GOOD, "results": 1},
        {"contest": 7, "index": "A", "solved": 1}, {"contest": 7, "index": "A", "samples": 1},
    ],
)  # fmt: skip
def test_rows_that_are_none(row: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(EvalkitError, match=r"^Line 2 of") as caught:
        read_table(path)
    assert caught.value.hint


def test_percentiles_count_who_is_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [HISTOGRAM.percentile(r) for r in (400, 401, 1200, 1200.5, 1600, 5000)] == [0, 10, 60, 90, 90, 100]
    monkeypatch.setenv("EVALKIT_CODEFORCES", str(tmp_path / "home"))
    beside = tmp_path / "data" / "codeforces"
    beside.mkdir(parents=True)
    assert find_histogram(None, tmp_path / "data") is None
    assert find_histogram(None, None) is None
    for name, text in (
        ("active_users_2023.csv", "5,1\n"),
        ("active_users_2024.csv", "\ufeffrating,users\n9,0\n7,2\n\n"),
    ):
        (beside / name).write_text(text)
    found = find_histogram(None, tmp_path / "data")
    assert found is not None
    assert (found.ratings.tolist(), found.users.tolist(), found.date) == ([7, 9], [2, 0], "2024")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "active_users.csv").write_text("# counted: by us\n# date: 2025-02-03\n1,1\n")
    fetched = find_histogram("", tmp_path / "data")
    assert fetched is not None
    assert fetched.date == "2025-02-03"
    given = find_histogram(str(beside / "active_users_2023.csv"), tmp_path / "data")
    assert given is not None
    assert given.date == "2023"
    for text in ("1,0\n", "1,2\n2,-1\n", "", "1;2\n", "1,2,3\n", "x,1\n"):
        (beside / "bad.csv").write_text(text)
        with pytest.raises(EvalkitError):
            load_histogram(beside / "bad.csv")


def test_plots(tmp_path: Path) -> None:
    for name, wanted in (("points and icpc", ["solve_rate", "performances"]), ("none with standings", ["solve_rate"])):
        contests = SETS[name]
        table = solves(contests, *COUNTS["odd"])
        written = write_plots(rate(table, contests, draws=100), table, contests, tmp_path / "plots" / name)
        assert [p.name for p in written] == [f"{w}.{e}" for w in wanted for e in ("png", "svg")]
        assert all(p.stat().st_size > 5000 for p in written)
    labels = [line.strip(" <!->") for line in (written[1]).read_text().splitlines() if line.strip().startswith("<!--")]
    check("codeforces/solve_rate labels.txt", "\n".join(labels))


def test_rows_of_the_contests_that_are_asked_for() -> None:
    chosen = _of_contests({7, 9})
    assert [chosen({"contest_id": c, "index": "A"}) for c in ("7", 8, 9)] == [True, False, True]


def test_a_histogram_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"The histogram .*none\.csv cannot be read"):
        load_histogram(tmp_path / "none.csv")
