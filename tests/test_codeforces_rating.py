"""The rating formula against recorded changes, the estimator against simulation, and what bad input says."""

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evalkit_tasks.codeforces.contests import Contest, ContestProblem, ContestSet, Standings
from evalkit_tasks.codeforces.elo import ELO_SCALE, NEWCOMER_BONUS, Seeds
from evalkit_tasks.codeforces.estimate import COMPARISONS, GRID, PRIOR_MEAN, PRIOR_SD, pooled_ratings
from evalkit_tasks.codeforces.field import MIN_PARTICIPANTS, Crowd, Entry, Field, people_curves, people_spread
from evalkit_tasks.codeforces.newcomers import hidden_ratings
from evalkit_tasks.codeforces.percentile import Histogram
from evalkit_tasks.codeforces.places import codeelo_performance, official_ranks
from evalkit_tasks.codeforces.rating import (
    InvalidStandingsError,
    break_even_ratings,
    calculation_rating,
    fit_solve_model,
    performance,
    performances,
    rate,
    rating_changes,
    virtual_change,
)
from evalkit_tasks.codeforces.solve_model import _GRID as GRID_OF_MODEL
from evalkit_tasks.codeforces.solve_model import run_error, summary
from evalkit_tasks.codeforces.summary import describe, to_json
from evalkit_tasks.codeforces.table import Solve
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import EvalkitError

STANDINGS = ("1305-ozon-2020-div1+2", "1342-edu-86", "1350-641-div2")


def columns(path: Path) -> dict[str, np.ndarray]:
    with gzip.open(path, "rt") as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def shown_ranks(table: dict[str, np.ndarray]) -> np.ndarray:
    key = -(table["points"] * 1e6 - table["penalty"])
    return np.asarray(np.searchsorted(np.sort(key), key) + 1)


def standing(points: np.ndarray, ratings: np.ndarray, solved: np.ndarray | None = None) -> Standings:
    none = np.zeros(ratings.size, dtype=np.int64)
    return Standings(ratings, ratings, none, points.astype(np.float64), none.astype(np.float64), solved)


def simulated(people: int = 2000, seed: int = 0, contests: int = 4) -> ContestSet:
    """Contests in which people solve a problem d with probability 1 / (1 + 10^((d - r) / 400))."""
    rng = np.random.default_rng(seed)
    made = []
    for contest in range(1, contests + 1):
        d, points = np.array([800, 1200, 1600, 2000, 2400]), np.array([500, 1000, 1500, 2000, 2500])
        ratings = np.clip(rng.normal(1400, 300, people), 0, 2100).round().astype(np.int64)
        solved = rng.random((people, 5)) < 1 / (1 + 10 ** ((d - ratings[:, None]) / 400))
        problems = tuple(ContestProblem("ABCDE"[j], float(points[j]), int(d[j])) for j in range(5))
        people_there = standing(solved @ points, ratings, solved @ (1 << np.arange(5)))
        made.append(Contest(contest, f"Round {contest} (Div. 2)", "2", "points", problems, "2024-01-01", people_there))
    return ContestSet("simulated", tuple(made))


def table_of(contests: ContestSet, solved: str, of: int = 8) -> list[Solve]:
    return [Solve(c.id, p.index, of if p.index in solved else 0, of) for c in contests.contests for p in c.problems]


@pytest.mark.real_data
@pytest.mark.parametrize("contest", [908, 917])
def test_official_changes_by_rank(data_dir: Path, contest: int) -> None:
    table = columns(data_dir / "codeforces" / f"rating_changes_{contest}.csv.gz")
    recorded = table["new_rating"] - table["old_rating"]
    np.testing.assert_array_equal(rating_changes(table["rank"], table["old_rating"]), recorded)


@pytest.mark.real_data
@pytest.mark.parametrize("name", STANDINGS)
def test_official_changes_and_performances_of_whole_contests(data_dir: Path, name: str) -> None:
    table = columns(data_dir / "codeforces" / "standings" / f"{name}.csv.gz")
    ranks, old, theirs = shown_ranks(table), table["old_rating"], table["performance"]
    np.testing.assert_array_equal(rating_changes(ranks, old), table["rating_change"])
    ours = break_even_ratings(ranks, old)
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    gap = ours[np.isfinite(theirs)] - theirs[np.isfinite(theirs)]
    assert abs(np.median(gap)) <= 2
    assert np.abs(gap).max() <= 5
    _, inverse, counts = np.unique(ranks, return_inverse=True, return_counts=True)
    error = performances(ranks + (counts[inverse] - 1) / 2, old) - old
    error = error[np.isfinite(error)]
    assert error.size > 0.99 * old.size
    assert np.abs(error).mean() <= 230
    assert abs(error.mean()) <= 15


@pytest.mark.real_data
def test_place_among_equal_scores_moves_the_rating(data_dir: Path) -> None:
    table = columns(data_dir / "codeforces" / "standings" / "1342-edu-86.csv.gz")
    old, points = table["old_rating"], table["points"]
    above = np.array([(points > p).sum() for p in np.unique(points)])[np.unique(points, return_inverse=True)[1]]
    equal = np.array([(points == p).sum() for p in np.unique(points)])[np.unique(points, return_inverse=True)[1]]
    fastest = (performance(1 + above + 1e-9, old) - old)[np.isfinite(performance(1 + above, old))].mean()
    middle = (performance(1 + above + (equal - 1) / 2, old) - old).clip(-3000, 3000).mean()
    assert 190 < fastest < 250
    assert abs(middle) < 30


@pytest.mark.slow
@given(st.lists(st.integers(-50, 3900), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_performance_solves_its_equation(ratings: list[int], share: float) -> None:
    rank = 1 + share * len(ratings)
    found = float(performance(rank, ratings))
    expected = 1 + sum(1 / (1 + 10 ** ((found - r) / 400)) for r in ratings)
    assert expected == pytest.approx(rank, abs=1e-3 * len(ratings))


def test_performance_at_the_ends_and_of_any_shape() -> None:
    ratings = np.random.default_rng(0).integers(800, 2000, 3000)
    found = performance([[1, 3001], [10, 2000]], ratings)
    assert found.shape == (2, 2)
    assert found[0].tolist() == [np.inf, -np.inf]
    assert found[1, 0] > found[1, 1]
    direct = performance(1.001, ratings)
    assert 1 + (1 / (1 + 10 ** ((direct - ratings) / 400))).sum() == pytest.approx(1.001, abs=1e-5)


@pytest.mark.parametrize(
    ("ratings", "says"), [([], "no rated"), ([None, None], "2 of 2 ratings are missing"), ([[1], [2]], "one-dimen")]
)
def test_ratings_that_give_no_number(ratings: list[object], says: str) -> None:
    with pytest.raises(InvalidStandingsError, match=says):
        performance(1, np.array(ratings, dtype=np.float64))
    with pytest.raises(InvalidStandingsError):
        rating_changes([1], np.array(ratings, dtype=np.float64))


@pytest.mark.parametrize("rank", [0, 3.5, -1, np.nan, np.inf, None])
def test_ranks_that_nobody_has(rank: Any) -> None:
    with pytest.raises(InvalidStandingsError, match="ranks go from 1 to 3, 1 of 1 do not"):
        performance(rank, [1500, 1400])
    missing: Any = rank if rank != 3.5 else None
    with pytest.raises(InvalidStandingsError, match="ranks"):
        performances([1, rank], [1500, 1400])
    with pytest.raises(InvalidStandingsError, match="ranks"):
        rating_changes([1, missing], [1500, 1400])


def test_changes_do_not_depend_on_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    ratings, ranks = rng.integers(900, 1000, 500), np.sort(rng.integers(1, 400, 500))
    ranks = np.searchsorted(ranks, ranks) + 1
    changes, order = rating_changes(ranks, ratings), rng.permutation(500)
    np.testing.assert_array_equal(rating_changes(ranks[order], ratings[order]), changes[order])


def test_performances_need_somebody_else() -> None:
    with pytest.raises(InvalidStandingsError, match="at least one other"):
        performances([1], [1500])
    assert performances([1, 2], [1500, 1600]).tolist() == [np.inf, -np.inf]


def test_calculation_ratings() -> None:
    assert calculation_rating(0, np.arange(8)).tolist() == [1400, 900, 550, 300, 150, 50, 0, 0]
    for displayed, contests in ((0, -1), (0, 1.5), (np.nan, 1), (1500, np.inf)):
        with pytest.raises(InvalidStandingsError):
            calculation_rating(displayed, contests)


def test_hidden_ratings_are_read_off_the_changes() -> None:
    rng = np.random.default_rng(3)
    true = np.clip(rng.normal(1450, 280, 3000), 300, 2100).round().astype(np.int64)
    played = np.where(rng.random(3000) < 0.85, 6, rng.integers(1, 6, 3000))
    first = rng.random(3000) < 0.06
    true[first], played[first] = 1400, 0
    bonus = np.array([*NEWCOMER_BONUS, 0, 0])
    ranks = np.argsort(np.argsort(-(true + rng.normal(0, 250, 3000)))) + 1
    changes = rating_changes(ranks, true) + bonus[played] - bonus[played + 1]
    found = hidden_ratings(ranks, true - bonus[played], changes)
    assert (found.rating == true).mean() > 0.98
    assert (found.newcomer == first).mean() > 0.99
    assert found.explained > 0.7
    old_system = hidden_ratings(ranks, true, rating_changes(ranks, true))
    assert old_system.explained == 1
    np.testing.assert_array_equal(old_system.rating, true)


def test_a_virtual_participant_gets_the_official_change() -> None:
    rng = np.random.default_rng(1)
    ratings = rng.integers(900, 2000, 400)
    ranks = np.arange(1, 401)
    alone = virtual_change(200.5, 1500, ranks, ratings)
    moved = np.concatenate([np.where(ranks > 200, ranks + 1, ranks), [201]])
    assert alone == rating_changes(moved, np.append(ratings, 1500))[-1]
    assert virtual_change(1, 1500, ranks, ratings) > alone > virtual_change(400.5, 1500, ranks, ratings)


def test_score_distribution_is_exact() -> None:
    entry = Entry(np.array([500.0, 1000.0, 500.0]), np.array([1, 1, 3]), np.array([2, 4, 4]))
    expected: dict[float, float] = {}
    for mask in range(8):
        score = sum(w for j, w in enumerate((500, 1000, 500)) if mask >> j & 1)
        chance = np.prod([p if mask >> j & 1 else 1 - p for j, p in enumerate((0.5, 0.25, 0.75))])
        expected[score] = expected.get(score, 0) + float(chance)
    assert dict(zip(entry.scores.tolist(), entry.distribution().tolist(), strict=True)) == pytest.approx(expected)
    many = entry.distribution(np.array([[0.5, 0.25, 0.75], [1.0, 0.0, 0.0]]))
    assert many[1].tolist() == [0, 1, 0, 0, 0]


def test_codeelo_rule_is_its_script() -> None:
    """Reproduced by hand: 0-based place of the first who is beaten, displayed ratings, clamp to the highest + 99."""
    points, ratings = np.array([3000, 2000, 1000, 500]), np.array([1900, 1700, 1500, 1300])
    contest = simulated(10, contests=1).contests[0]
    contest = Contest(1, "", "", "points", contest.problems, None, standing(points, ratings))
    everything = [Solve(1, i, 1, 1) for i in "ABCDE"]
    assert codeelo_performance(contest, everything) == 1999
    second_try = [Solve(1, "A", 1, 2, results=(False, True)), Solve(1, "B", 1, 1)]  # 450 + 1000: beats the third
    low, high = 0, 2000
    while high - low > 1:
        middle = (low + high) // 2
        seed = 1 + sum(1 / (1 + 10 ** ((middle - r) / 400)) for r in ratings)
        low, high = (low, middle) if seed < 2 else (middle, high)
    assert codeelo_performance(contest, second_try) == low


@pytest.mark.slow
def test_simulation_from_problem_ratings() -> None:
    """The small version of benchmarks/codeforces_rating.py: bias, error and coverage where they are hardest."""
    rng = np.random.default_rng(0)
    d = np.tile([800, 1100, 1500, 1900, 2300, 2700, 3000], 10).astype(np.float64)
    for rating, n, most in ((800, 8, 70), (1500, 64, 45), (2000, 8, 60)):
        fits = []
        for _ in range(150):
            chance = 1 / (1 + 10 ** ((d + rng.normal(0, 250, d.size) - rating) / 400))
            fits.append(fit_solve_model(d, rng.binomial(n, chance), np.full(d.size, n)))
        error = np.array([fit.rating for fit in fits]) - rating
        assert np.sqrt((error**2).mean()) < most
        assert abs(error.mean()) < 15
        assert np.mean([fit.low <= rating <= fit.high for fit in fits]) > 0.9


def test_nothing_and_everything_solved_stay_finite() -> None:
    d, n = np.array([800.0, 1600.0, 2400.0]), np.full(3, 8)
    none, every = fit_solve_model(d, np.zeros(3, int), n), fit_solve_model(d, n, n)
    assert -2000 < none.low < none.rating < 800
    assert 2400 < every.rating < every.high < 6000
    contests = simulated()
    assert rate(table_of(contests, ""), contests, draws=50).rating < 900
    top = rate(table_of(contests, "ABCDE"), contests, draws=50)
    assert top.rating > 2000
    assert {c.saturated for c in top.contests} == {"top"}
    assert top.bound == "above"
    assert top.low is not None
    limit = int(top.text.removeprefix("above ").replace(",", ""))
    assert top.low - 50 < limit <= top.low < top.rating
    assert f"everything was solved: the rating is {top.text}" in top.notes
    assert top.run is None
    bottom = rate(table_of(contests, ""), contests, draws=50)
    assert bottom.high is not None
    assert int(bottom.text.removeprefix("below ").replace(",", "")) >= bottom.high > bottom.rating


def test_rating_rises_with_what_is_solved_and_tie_rules_are_ordered() -> None:
    contests = simulated()
    for rule in ("humans", "elo", "codeelo"):
        found = [rate(table_of(contests, solved), contests, rule=rule, draws=50) for solved in ("A", "AB", "ABC")]
        assert found[0].rating < found[1].rating < found[2].rating
        for one in found:
            if rule == "humans":
                assert one.low is not None
                assert one.high is not None
                assert one.low < one.rating < one.high
            else:
                assert (one.low, one.high, one.run) == (None, None, None)
                assert f"rule {rule} has no interval" in " ".join(one.notes)
        ties = found[1].by_tie_rule
        assert ties["middle"] < ties["upper-quartile"] < ties["fastest"]


@pytest.mark.slow
def test_a_model_gets_the_rating_of_people_who_solve_as_much() -> None:
    """Not so by the bare formula: contests separate people less than its scale of 400 says."""
    contests, rng = simulated(3000, contests=10), np.random.default_rng(0)
    people, elo, covered = [], [], []
    for _ in range(30):
        rows = []
        for c in contests.contests:
            for p in c.problems:
                assert p.rating is not None
                chance = 1 / (1 + 10 ** ((p.rating + rng.normal(0, 250) - 900) / 400))
                rows.append(Solve(c.id, p.index, int(rng.binomial(8, chance)), 8))
        found = rate(rows, contests, draws=20)
        people.append(found.by_rule["humans"].rating)
        elo.append(found.by_rule["elo"].rating)
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= 900 <= found.high)
    assert abs(np.mean(people) - 900) < 25
    assert np.mean(elo) - 900 > 60
    assert np.mean(covered) > 0.8


def test_difficulties_and_slopes_are_read_off_the_people() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.normal(1400, 300, 20000)
    d, slopes = np.array([900.0, 1500.0, 2100.0]), np.array([0.6, 1.0, 1.8])
    solved = rng.random((ratings.size, 3)) < 1 / (1 + 10 ** (slopes * (d - ratings[:, None]) / 400))
    found, steep = people_curves(ratings, solved, [1200, None, 2500])
    np.testing.assert_allclose(found, d, atol=40)
    np.testing.assert_allclose(steep, slopes, rtol=0.06)
    nobody = np.zeros((40, 2), dtype=bool)
    found, steep = people_curves(ratings[:40], nobody, [3500, None])
    assert 2500 < found[0] < 4500
    assert 2000 < found[1] < 4000
    np.testing.assert_allclose(steep, 1, atol=0.2)


def test_only_one_contest_with_standings_keeps_the_others_by_their_ratings() -> None:
    full = simulated(contests=4)
    bare = ContestSet("bare", (full.contests[0], *(replace(c, standings=None) for c in full.contests[1:])))
    found = rate(table_of(bare, "AB"), bare, draws=50)
    assert found.method == "standings"
    assert [c.id for c in found.contests] == [1]
    assert found.excluded == [
        "contest 2, 3, 4: no standings at hand (only problem ratings count, and not by the rules elo and codeelo)"
    ]
    everything = rate(table_of(full, "AB"), full, draws=50)
    assert abs(found.rating - everything.rating) < 40
    widths = [f.high - f.low for f in (found, everything) if f.high is not None and f.low is not None]
    assert widths[0] < 1.2 * widths[1]


def test_what_is_left_out_is_said() -> None:
    contests = simulated()
    rows = [*table_of(contests, "AB")[:-1], Solve(1, "Z", 1, 1), Solve(99, "A", 1, 1)]
    found = rate(rows, contests, draws=50)
    said = " ".join(found.excluded)
    assert "1Z: contest 1 has no problem Z" in said
    assert "99A: contest 99 is not in the set" in said
    assert any("E not tried, left out for people too" in note for note in found.notes)


@pytest.mark.parametrize("people", [0, 1, 29])
def test_too_few_people_is_a_stated_exclusion(people: int) -> None:
    small, big = simulated(people, contests=1).contests[0], simulated(contests=2)
    both = ContestSet("both", (small, big.contests[1]))
    found = rate(table_of(both, "AB"), both, draws=50)
    assert f"contest 1: {people} rated participants" in " ".join(found.excluded)
    assert len(found.contests) == 1
    only = ContestSet("only", (small,))
    alone = rate(table_of(only, "AB"), only)
    assert alone.method == "problem ratings"
    with pytest.raises(EvalkitError, match="needs standings"):
        rate(table_of(only, "AB"), only, rule="codeelo")


def test_without_points_or_ratings_nothing_is_made_up() -> None:
    full = simulated(contests=1).contests[0]
    bare = tuple(ContestProblem(p.index) for p in full.problems)
    contest = Contest(1, "", "", "points", bare, None, full.standings)
    contests = ContestSet("bare", (contest,))
    with pytest.raises(EvalkitError, match="no rating"):
        rate(table_of(contests, "AB"), contests)
    with pytest.raises(ValueError, match="no problem with a rating"):
        fit_solve_model([], [], [])
    with pytest.raises(ValueError, match="missing"):
        fit_solve_model([np.nan], [1], [1])
    with pytest.raises(ValueError, match="between 0 and samples"):
        fit_solve_model([800.0], [2], [1])


def crowd(slope: float, spread: float, seed: int, problems: int = 60) -> Crowd:
    """2,000 people whose luck with each problem has the sd `spread`."""
    rng = np.random.default_rng(seed)
    d = np.linspace(800, 2600, problems).round()
    ratings = np.clip(rng.normal(1400, 300, 2000), 0, 2100)
    luck = rng.normal(0, 1, (2000, problems)) * spread
    solved = rng.random((2000, problems)) < 1 / (1 + 10 ** ((slope * (d - ratings[:, None]) - luck) / 400))
    return Crowd(ratings, solved, d.tolist())


@pytest.mark.parametrize("spread", [0, 200, 300])
def test_peoples_luck_is_not_counted_as_a_flat_problem(spread: int) -> None:
    found = crowd(1.0, spread, spread)
    estimated = people_spread([found])
    assert abs(estimated - spread) < 80  # 80 flattens a slope by 3%
    curves = found.curves(estimated)
    assert curves.slopes.mean() == pytest.approx(1, abs=0.06)
    if spread:
        assert found.curves(0).slopes.mean() < 0.9  # what was fitted without it


def test_steep_problems_are_not_read_as_luck() -> None:
    assert people_spread([crowd(1.3, 0, 5)]) < 20


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 8])
def test_run_to_run_error_is_the_spread_of_repeated_runs(n: int) -> None:
    rng = np.random.default_rng(n)
    d, slopes = np.tile([800, 1100, 1400, 1700, 2000, 2400, 2900], 10).astype(np.float64), np.ones(70)
    samples, told, spreads, misses = np.full(70, n), [], [], []
    for _ in range(6):
        chance = 1 / (1 + 10 ** ((d + rng.normal(0, 250, 70) - 1500) / 400))
        again = [rng.binomial(n, chance) for _ in range(20)]
        found = np.array([fit_solve_model(d, k, samples).rating for k in again])
        error = run_error(d, again[0], samples, slopes, rating=found[0], draws=200, rng=rng)
        told.append(error.stderr)
        spreads.append(found.std(ddof=1))
        misses.append(error.low <= found.mean() <= error.high)
    assert np.mean(told) == pytest.approx(np.mean(spreads), rel=0.25)
    assert np.mean(misses) > 0.6
    whole = fit_solve_model(d, again[0], samples)
    assert error.high - error.low < whole.high - whole.low


def test_what_was_not_tried_is_told_for_each_rule() -> None:
    contests = simulated(contests=2)
    rows = [row for row in table_of(contests, "A") if row.index != "B"]
    found = rate(rows, contests, draws=20)
    assert any("B not tried" in note and "codeelo, which counts what was not tried" in note for note in found.notes)


def test_a_bound_is_printed_as_one() -> None:
    contests = simulated(contests=2)
    for solved, word in (("ABCDE", "above"), ("", "below")):
        table = table_of(contests, solved)
        found = rate(table, contests, draws=20)
        told = describe(found, table, contests, None)
        assert told.startswith(f"rating {found.text} ")
        assert f"rating {word} " in told
        assert to_json(found, table, contests, None)["bound"] == word
    table = table_of(contests, "AB")
    assert "by rule codeelo" in describe(rate(table, contests, draws=20), table, contests, None)
    assert to_json(rate(table, contests, rule="elo"), table, contests, None)["interval"] is None


def by_codeelos_script(displayed: list[int], place: int) -> int:
    """Its bisection for a 0-based place, by hand."""
    low, high = 0, max(displayed) + 100
    while high - low > 1:
        middle = (low + high) // 2
        seed = 1 + sum(1 / (1 + 10 ** ((middle - r) / 400)) for r in displayed)
        low, high = (low, middle) if seed < place else (middle, high)
    return low


def icpc_contest(points: tuple[float | None, ...] = (None, None, None)) -> Contest:
    problems = tuple(ContestProblem(i, p) for i, p in zip("ABC", points, strict=True))
    ratings, none = np.array([1900, 1700, 1500, 1300, 1100]), np.zeros(5, dtype=np.int64)
    totals, penalties = np.array([3.0, 2, 2, 2, 1]), np.array([50.0, 5, 10, 20, 0])
    return Contest(1, "", "", "icpc", problems, None, Standings(ratings, ratings, none, totals, penalties, None))


@pytest.mark.parametrize("points", [(None, None, None), (500.0, 1000.0, 1500.0)])
@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([Solve(1, "A", 1, 1), Solve(1, "B", 1, 2, results=(False, True))], 3),  # 2 problems, penalty 10
        ([Solve(1, "A", 1, 1), Solve(1, "B", 1, 1)], 1),  # penalty 0: before all who solved 2
        ([Solve(1, "A", 1, 3), Solve(1, "B", 1, 1), Solve(1, "C", 0, 3)], 3),  # one wrong before, on average
        ([Solve(1, "A", 1, 1), Solve(1, "B", 1, 4, results=(False, False, False, True))], 4),
        ([Solve(1, "A", 0, 2)], 5),
        ([Solve(1, i, 1, 1) for i in "ABC"], 0),
    ],
)
def test_codeelo_counts_problems_and_minutes_in_an_icpc_contest(
    points: tuple[float | None, ...], rows: list[Solve], place: int
) -> None:
    assert codeelo_performance(icpc_contest(points), rows) == by_codeelos_script([1900, 1700, 1500, 1300, 1100], place)


def test_an_icpc_contest_is_one_in_which_every_problem_is_worth_one_point() -> None:
    full = simulated(contests=2)

    def changed(scoring: Any, worth: float | None) -> ContestSet:
        made = []
        for contest in full.contests:
            assert contest.standings is not None
            assert contest.standings.solved is not None
            count = ((contest.standings.solved[:, None] >> np.arange(5)) & 1).sum(axis=1).astype(np.float64)
            problems = tuple(replace(p, points=worth) for p in contest.problems)
            people = replace(contest.standings, points=count)
            made.append(replace(contest, scoring=scoring, problems=problems, standings=people))
        return ContestSet("changed", tuple(made))

    for rule in ("humans", "elo"):
        table = table_of(full, "AB")
        icpc, one = (rate(table, changed(*each), rule=rule, draws=20) for each in (("icpc", None), ("points", 1.0)))
        assert (icpc.rating, icpc.by_tie_rule) == (one.rating, one.by_tie_rule)
        by_points = rate(table, full, rule=rule, draws=20)
        assert rule == "humans" or icpc.rating != by_points.rating


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.71])
def test_a_rating_between_grid_points_is_the_root_of_its_equation(share: float) -> None:
    from scipy.optimize import brentq

    contest = simulated(500, contests=1).contests[0]
    assert contest.standings is not None
    seeds, size = Seeds(contest.standings.rating), 500

    def slope(rating: float) -> float:
        expected = float(seeds.at(rating) - 1) / size
        return COMPARISONS * ELO_SCALE * (expected - share) - (rating - PRIOR_MEAN) / PRIOR_SD**2

    curve = np.asarray((seeds.at(GRID) - 1) / size)[None, :]
    found = float(pooled_ratings(np.array([share]), curve, np.ones((1, 1)))[0])
    assert found == pytest.approx(brentq(slope, -1000, 5000), abs=0.1)


def test_the_estimate_from_problem_ratings_moves_with_them_between_grid_points() -> None:
    d, solved, n = np.array([800.0, 1200, 1500, 1900, 2400]), np.array([8, 7, 3, 2, 0]), np.full(5, 8)
    at_zero = fit_solve_model(d, solved, n)
    for shift in (1.0, 3.0, 5.0, 7.5, 100.0):
        moved = fit_solve_model(d + shift, solved, n)
        assert moved.rating - at_zero.rating == pytest.approx(shift, abs=0.2)
        assert moved.low - at_zero.low == pytest.approx(shift, abs=1)


@pytest.mark.parametrize(("problems", "t"), [(1, 2.5706), (3, 2.5706), (6, 2.5706), (7, 2.4469), (8, 2.3646)])
def test_few_problems_widen_the_interval_by_students_t(problems: int, t: float) -> None:
    """A posterior with the sd 100: five degrees of freedom at least, else one fewer than there are problems."""
    found = summary(-(((GRID_OF_MODEL - 1503) / 100) ** 2) / 2, problems, 0.95)
    assert found.rating == pytest.approx(1503, abs=0.01)
    assert (found.high - 1503, 1503 - found.low) == pytest.approx((100 * t, 100 * t), abs=0.5)


def test_thirty_participants_are_enough() -> None:
    contests = simulated(MIN_PARTICIPANTS, contests=2)
    found = rate(table_of(contests, "AB"), contests, draws=20)
    assert (found.method, [c.participants for c in found.contests]) == ("standings", [30, 30])


@pytest.mark.parametrize(("known", "counted"), [(30, 30), (29, 60)])
def test_newcomers_are_left_out_where_enough_others_are_there(known: int, counted: int) -> None:
    contest = simulated(60, contests=1).contests[0]
    assert contest.standings is not None
    assert contest.standings.solved is not None
    newcomer = np.arange(60) >= known
    solved = np.where(newcomer, 31, contest.standings.solved)  # everything
    people = replace(contest.standings, newcomer=newcomer.astype(np.int64), solved=solved)
    found = Field(replace(contest, standings=people), range(5)).crowd.curves()
    who = np.arange(60) < counted
    matrix = ((solved[:, None] >> np.arange(5)) & 1).astype(bool)
    expected = Crowd(people.rating[who], matrix[who], [p.rating for p in contest.problems]).curves()
    np.testing.assert_allclose(found.difficulties, expected.difficulties)


def test_equal_scores_are_ordered_by_penalty() -> None:
    points, penalty = np.array([2.0, 3, 3, 3]), np.array([0.0, 20, 10, 10])
    ratings = np.array([1500, 1600, 1700, 1800])
    none = np.zeros(4, dtype=np.int64)
    assert official_ranks(Standings(ratings, ratings, none, points, penalty, None)).tolist() == [4, 3, 1, 1]


def test_a_percentile_counts_those_below() -> None:
    histogram = Histogram(np.array([1000.0, 1500.0]), np.array([3, 1]), "")
    assert [histogram.percentile(r) for r in (999, 1000, 1001, 1500, 1500.5)] == [0, 0, 75, 75, 100]
