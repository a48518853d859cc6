"""The task CodeForces whole: what it loads, asks, scores and tells; programs, checkers, plots, and single formulas."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evalkit_tasks.codeforces import plots, programs
from evalkit_tasks.codeforces.checkers import accepts_several, token_checker
from evalkit_tasks.codeforces.contests import Contest, ContestProblem, ContestSet, Standings
from evalkit_tasks.codeforces.elo import (
    InvalidStandingsError,
    Seeds,
    break_even_ratings,
    calculation_rating,
    codeelo_rating,
    performance,
    performances,
    rating_changes,
    virtual_change,
    win_probability,
    worst_ranks,
)
from evalkit_tasks.codeforces.estimate import Estimate, Rating, difficulty, figure, rate
from evalkit_tasks.codeforces.field import Crowd, Entry, Field, people_curves, solved_by_people, worth
from evalkit_tasks.codeforces.percentile import load_histogram
from evalkit_tasks.codeforces.places import codeelo_performance, place
from evalkit_tasks.codeforces.problems import problem_from_row, problem_key
from evalkit_tasks.codeforces.programs import find_program, judge_program
from evalkit_tasks.codeforces.solve_model import fit_solve_model, marginal_chances, t_over_normal
from evalkit_tasks.codeforces.summary import by_index, by_rating, share_solved
from evalkit_tasks.codeforces.table import Solve, check_table, read_table
from evalkit_tasks.codeforces.task import CodeForces, _has_test_split
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_mutants_codeforces import ROW, SETS, contest, solves, without_standings

from evalkit.benchmark.data import DataSource, LoadedData
from evalkit.errors import EvalkitError
from evalkit.sandbox import Checker, Judgement, Limits, Program
from evalkit.types import Problem, Score

ALL = {
    "official_tests": [{"input": "1", "output": "2"}, {"input": "3", "output": "4"}],
    "official_tests_complete": True,
}


def row(number: int, index: str, **changed: Any) -> dict[str, Any]:
    return {**ROW, **ALL, "contest_id": number, "index": index, **changed}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSource:
    monkeypatch.setenv("EVALKIT_CODEFORCES", str(tmp_path / "home"))
    rows = [
        row(7, "A", rating=900, points=500.0), row(7, "B", rating=1300), row(7, "A", description="Again."),
        row(8, "A", interactive=True), row(8, "B", input_mode="files"), row(9, "A", interactive=True),
        row(9, "B", official_tests=None, examples=[]),
    ]  # fmt: skip
    folder = tmp_path / "data" / "codeforces"
    folder.mkdir(parents=True)
    (folder / "problems.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "active_users_2024.csv").write_text("rating,users\n1000,9\n2000,1\n")
    return DataSource(tmp_path / "data")


def test_what_is_loaded(data: DataSource) -> None:
    task = CodeForces(contests="all")
    problems = task.load(data)
    assert [p.id for p in problems] == ["7/A", "7/B"]
    assert problems[0].prompt.endswith("Do it.\n\n## Examples\nInput:\n```\n1\n```\nOutput:\n```\n2\n```")
    assert task.excluded == {"interactive": ["8A", "9A"], "input mode files": ["8B"], "no tests": ["9B"]}
    assert task.known == 2
    assert task.contest_set == ContestSet("all", (Contest(7, "contest 7", "", "points", ()),))
    assert task.users is not None
    assert task.users.date == "2024"
    assert task.contest_set is not None
    sha256 = f"sha256:{task.contest_set.sha256}"
    assert data.loaded[-1] == LoadedData("contest-set:all", sha256, None, 2, "7")
    with pytest.raises(EvalkitError, match="no problem of the contest set div2-2024"):
        CodeForces().load(DataSource(data.root))


def test_what_a_run_tells(data: DataSource) -> None:
    task = CodeForces(contests="all")
    problems = task.load(data)
    right, wrong = Score(1.0, "correct", extracted_by="cpp"), Score(0.0, "wrong", extracted_by="python")
    failed = Score(0.0, "error")
    scores = {"7/A": [right, failed, wrong, right], "7/B": [wrong, Score(0.0, "no_answer"), wrong]}
    assert task.table(problems, scores) == [
        Solve(7, "A", 2, 3, 900.0, 500.0, (True, False, True)),
        Solve(7, "B", 0, 3, 1300.0, None, (False, False, False)),
    ]
    metrics = {m.name: m for m in task.extra_metrics(problems[:1], {"7/A": scores["7/A"]})}
    assert metrics["problems"].value == 1
    assert metrics["problems"].note == "of 6; left out: 2 interactive, 1 input mode files, 1 no tests, 1 not asked"
    assert metrics["solved A"].value == pytest.approx(200 / 3)
    assert (metrics["solved A"].n, metrics["solved A"].note) == (3, "1 problem")
    assert metrics["solved A"].interval_run is not None
    assert metrics["solved A"].interval_problems is not None
    assert metrics["programs in C++"].value == pytest.approx(200 / 3)
    assert metrics["percentile"].note == "of 10 active users, counted 2024"
    nothing = {m.name: m for m in task.extra_metrics(problems[:1], {"7/A": [wrong]})}
    assert nothing["rating"].text.startswith("below ")
    assert "below" not in nothing["rating"].note, "it is said once"
    assert re.fullmatch(r"below \d+\.\d", nothing["percentile"].text), "a bound as the rating is"
    assert nothing["percentile"].interval_problems is None
    whole = {m.name: m for m in task.extra_metrics(problems, scores)}
    assert whole["problems"].note == "of 6; left out: 2 interactive, 1 input mode files, 1 no tests"
    assert whole["programs in Python"].note == "time limit x 3"
    assert task.extra_metrics(problems, {"7/A": [failed]}) == []
    assert CodeForces().extra_metrics(problems, scores) == [], "nothing was loaded"


def test_facts_of_the_task() -> None:
    task = CodeForces()
    assert (task.name, task.version, task.kind, task.n, task.score_timeout) == ("codeforces", 1, "code", 8, 900.0)
    assert (task.aliases, task.headlines, task.title) == (("cf",), ("rating",), "CodeForces")
    assert (task.contests, task.language, task.rule, task.tie_rule) == ("div2-2024", "any", "humans", "middle")
    assert (task.python_time, task.time_factor, task.histogram) == (3.0, 1.0, "")
    assert (task.known, task.excluded, task.contest_set, task.users) == (0, {}, None, None)
    assert (task.dataset.hub_id, task.dataset.split, task.test_split.split) == ("open-r1/codeforces", "train", "test")
    assert task.dataset.revision == task.test_split.revision == "fbe3f6e903ee854eec2e69e9d96d0306cde59baf"
    assert task.dataset.columns == task.test_split.columns == ("contest_id", "index")
    assert (task.dataset.files, task.test_split.files) == (("problems.jsonl",), ())
    assert "Write a complete program in C++17 or Python 3, whichever suits the problem, that reads" in task.prompt
    assert "Write a complete program in C++17 that reads" in CodeForces(language="cpp").prompt
    assert "Write a complete program in Python 3 that reads" in CodeForces(language="python").prompt
    for name, value in (("python_time", 0), ("time_factor", -1), ("time_factor", np.inf), ("python_time", np.nan)):
        options: dict[str, Any] = {name: value}
        with pytest.raises(EvalkitError, match=f"{name} is .*, it has to be above 0"):
            CodeForces(**options)


def test_what_the_machine_has_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit.sandbox import Sandbox, compiling

    asked: list[object] = []
    monkeypatch.setattr(Sandbox, "layers", lambda self: asked.append("layers"))
    monkeypatch.setattr(compiling, "require_compiler", lambda language: asked.append(language.name))
    for language, wanted in (("any", ["layers", "c++17"]), ("cpp", ["layers", "c++17"]), ("python", ["layers"])):
        asked.clear()
        CodeForces(language=language).require_machine()  # type: ignore[arg-type]
        assert asked == wanted


@pytest.mark.parametrize("folder", ["open-r1/codeforces", "codeforces", "open-r1__codeforces"])
@pytest.mark.parametrize("name", ["test.jsonl", "test-0.parquet", "data/test-1.parquet"])
def test_where_the_test_split_lies(tmp_path: Path, folder: str, name: str) -> None:
    path = tmp_path / folder / name
    assert not _has_test_split(tmp_path)
    path.mkdir(parents=True)
    assert not _has_test_split(tmp_path), "a folder is no file"
    path.rmdir()
    path.write_text("")
    assert _has_test_split(tmp_path)


# Programs


def judged(monkeypatch: pytest.MonkeyPatch, language: Any, **metadata: Any) -> tuple[Program, Any]:
    asked: list[tuple[Program, Any]] = []

    def judge(program: Program, *, comparison: Any) -> Judgement:
        asked.append((program, comparison))
        return Judgement("accepted", ())

    monkeypatch.setattr(programs, "judge", judge)
    about = {"time_limit": 2.0, "memory_limit": 300.0, "checker": None, **metadata}
    found = programs.FoundProgram("code", language)
    assert judge_program(Problem("1/A", "", "", about), [("i", "o")], found, 1.5, 4.0).passed
    return asked[0]


def test_limits_by_language(monkeypatch: pytest.MonkeyPatch) -> None:
    program, comparison = judged(monkeypatch, "cpp")
    limits = Limits(cpu_seconds=3.0, memory_mb=300)
    assert (program, comparison) == (
        Program("code", [("i", "o")], language="c++17", limits=limits, prelude=False),
        "tokens",
    )
    program, comparison = judged(monkeypatch, "python", checker="check")
    limits = Limits(cpu_seconds=12.0, memory_mb=600)
    assert program == Program("code", [("i", "o")], language="python", limits=limits, prelude=False)
    assert comparison == Checker("check")
    assert judged(monkeypatch, "python", memory_limit=64.0)[0].limits.memory_mb == 512


def test_a_score_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit_tasks.codeforces import task as module

    problem = Problem("1/A", "", '[["1", 2]]')
    response = "```py\nprint(input())\n```"
    asked: list[Any] = []
    for verdict, status, value, said in (
        ("accepted", "correct", 1.0, "accepted"),
        ("wrong answer", "wrong", 0.0, "wrong answer: why"),
        ("sandbox error", "error", 0.0, "sandbox error: why"),
    ):
        made = Judgement(verdict, (), "why" if ":" in said else "")  # type: ignore[arg-type]

        def judge_one(*arguments: Any, made: Judgement = made) -> Judgement:
            asked.append(arguments)
            return made

        monkeypatch.setattr(module, "judge_program", judge_one)
        facts = {"verdict": verdict, "language": "python"}
        wanted = Score(value, status, "print(input())\n", said, "python", metadata=facts)  # type: ignore[arg-type]
        assert CodeForces(time_factor=2, python_time=5).score(problem, response) == wanted
    assert asked[0][1:] == ([("1", "2")], programs.FoundProgram("print(input())\n", "python"), 2, 5)
    none = CodeForces(language="cpp").score(problem, response)
    assert none == Score(0.0, "no_answer", explanation="no closed code block with a program")


@pytest.mark.parametrize(
    ("response", "language", "code"),
    [
        ("```python3.11\ninput()\n```", "python", "input()"),
        ("```pypy3\ninput()\n```", "python", "input()"),
        ("```c++17\nint main() {}\n```", "cpp", "int main() {}"),
        ("```\nint main () {}\n```", "cpp", "int main () {}"),
        ("```\nusing namespace std;\n```", "cpp", "using namespace std;"),
        ("```\n # include <x>\n```", "cpp", " # include <x>"),
        ("```\nx = input()\n```", "python", "x = input()"),
        ("```python\ninput()\n```\n```python\nx = 1\n```", "python", "input()"),
        ("```python\nx = 1\n```\n```python\ny = 2\n```", "python", "y = 2"),
        ("```cpp\nint main() {}\n```\n```python\nopen(0)\n```", "python", "open(0)"),
        ("```cpp\nint main() {}\n```\n```cpp\nint f() {}\n```", "cpp", "int main() {}"),
        ("```python\nsys.stdin\n```\n```python\n\n```", "python", "sys.stdin"),
        ("```python\ninput()\n```\n```java\nclass A {}\n```", "python", "input()"),
    ],
)
def test_programs_in_responses(response: str, language: str, code: str) -> None:
    found = find_program(response)
    assert found is not None
    assert (found.language, found.code) == (language, code + "\n")
    other: Any = "cpp" if language == "python" else "python"
    assert (find_program(response, other) is None) is (f"```{other}" not in response)
    assert find_program(response.rstrip("`")) != found or response.count("```") > 2


def test_checkers_of_statements() -> None:
    source = token_checker("The relative error must not exceed 10^{-9}. The absolute error: 10^{-3}.")
    assert source is not None
    assert "tolerance, any_case = 1e-09, False" in source
    default = token_checker("absolute or relative error")
    assert default is not None
    assert "tolerance, any_case = 1e-06, False" in default
    case = token_checker("Print it in any letter case.")
    assert case is not None
    assert "tolerance, any_case = None, True" in case
    assert token_checker("10^{-5} is small") is None
    assert accepts_several("There are multiple solutions") is True
    assert accepts_several("Print the answer") is False


def test_rows_without_a_name() -> None:
    assert problem_key({"contest_id": "12", "index": 3}) == (12, "3")
    for bad in (
        {"index": "A"},
        {"contest_id": "x", "index": "A"},
        {"contest_id": None, "index": "A"},
        {"contest_id": 1},
    ):
        with pytest.raises(EvalkitError, match="no contest_id and index") as caught:
            problem_key(bad)
        assert caught.value.hint
    assert problem_from_row({**ROW, "interaction_format": "x"}) == "interactive"
    assert problem_from_row({**ROW, "description": None}) == "no statement"
    assert problem_from_row({**ROW, "input_mode": "files"}) == "input mode files"
    assert problem_from_row({**ROW, "examples": []}) == "no tests"


# Tables


def test_tables(tmp_path: Path) -> None:
    one, other = Solve(7, "A", 1, 2), Solve(7, "B", 0, 2)
    assert one.name == "7A"
    assert check_table(iter([one, other]), "x") == [one, other]
    with pytest.raises(EvalkitError, match=r"^x has problem 7A twice\."):
        check_table([one, other, one], "x")
    with pytest.raises(EvalkitError, match=r"^x has no row\."):
        check_table([], "x")
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'\n{"contest": 7, "index": "A", "solved": 1, "samples": 2}\n\n')
    assert read_table(path) == [one]
    path.write_text('{"contest": 7\n')
    with pytest.raises(EvalkitError, match=r"^Line 1 of .*t\.jsonl is not JSON"):
        read_table(path)
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(EvalkitError, match="cannot be read"):
            read_table(wrong)
    rows = [
        Solve(1, "E1", 1, 2),
        Solve(1, "E2", 2, 2),
        Solve(1, "A", 0, 2, rating=899.0),
        Solve(1, "B", 1, 1, rating=1000),
    ]
    assert by_index(rows) == {"A": [rows[2]], "B": [rows[3]], "E": rows[:2]}
    assert [share_solved(group) for group in by_index(rows).values()] == [0.0, 1.0, 0.75]
    assert list(by_index(rows)) == ["A", "B", "E"]
    assert by_rating(rows, ContestSet("x", ())) == {"800": [rows[2]], "1000": [rows[3]]}
    assert list(by_rating(rows, ContestSet("x", ()))) == ["800", "1000"], "by number"
    held = ContestSet("x", (Contest(1, "n", "", "points", (ContestProblem("A", None, 1500), ContestProblem("B"))),))
    assert [difficulty(r, held) for r in rows] == [None, None, 1500.0, 1000]


def test_histograms_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "users_1999_2031.csv"
    path.write_bytes(b"\xff\xfe1,1\n")
    with pytest.raises(EvalkitError, match=r"^The histogram .* cannot be read: ") as caught:
        load_histogram(path)
    assert "the columns rating,users" in str(caught.value.hint)
    path.write_text("1,2\n# a remark: x\n3,x\n")
    with pytest.raises(EvalkitError, match=r"^Line 3 of .* is not rating,users: '3,x'"):
        load_histogram(path)
    path.write_text("3,1\n# a remark: x\n1,2\n")
    found = load_histogram(path)
    assert (found.ratings.tolist(), found.users.tolist(), found.date) == ([1.0, 3.0], [2, 1], "2031")
    (tmp_path / "users.csv").write_text("1,1\n")
    assert load_histogram(tmp_path / "users.csv").date == ""


# Formulas


def test_formulas_of_elo() -> None:
    seeds = Seeds([1500, 1600])
    assert (seeds.grid[0], seeds.grid[-1], seeds.grid.size) == (-2500, 5600, 8101)
    assert seeds.at(1600) == pytest.approx(1 + 0.5 + 1 / (1 + 10 ** (100 / 400)))
    assert seeds.at(1550.5) == pytest.approx((seeds.at(1550) + seeds.at(1551)) / 2)
    many = np.arange(1000, 1000 + 7 * 70, 7)
    direct = [1 + sum(1 / (1 + 10 ** ((r - m) / 400)) for m in many) for r in (-3000, 1000, 1234, 5482)]
    np.testing.assert_allclose(Seeds(many).at([-3000, 1000, 1234, 5482]), np.array(direct, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(Seeds(many + 0.25).at([1234.25]), Seeds(many).at([1234]), rtol=1e-4)
    assert win_probability(1900, 1500) == pytest.approx(10 / 11)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ends = performance([1, 2, 3], [1500, 1500]).tolist()
    assert ends == [np.inf, pytest.approx(1500), -np.inf]
    lone = performance(1.0001, [1500] * 9)
    assert lone == pytest.approx(1500 + 400 * np.log10(9 / 0.0001 - 1), abs=0.2)
    assert performance(9.9999, [1500] * 9) == pytest.approx(1500 - 400 * np.log10(9 / 0.0001 - 1), abs=0.2)
    assert performances([1, 2, 3], [1500, 1500, 1500]).tolist() == [np.inf, pytest.approx(1500, abs=1e-6), -np.inf]
    assert calculation_rating([0, 100, 500, 900], [0, 5, 6, 99]).tolist() == [1400, 150, 500, 900]
    assert calculation_rating(0, [0, 1, 2, 3, 4, 5, 6]).tolist() == [1400, 900, 550, 300, 150, 50, 0]
    assert worst_ranks([1, 2, 2, 4], 4).tolist() == [1, 3, 3, 4]
    for call in (
        lambda: calculation_rating([np.nan], [0]),
        lambda: calculation_rating([1.5], [0]),
        lambda: calculation_rating([float("inf")], [0]),
        lambda: calculation_rating([1], [-1]),
        lambda: Seeds([]),
        lambda: Seeds([[1]]),
        lambda: Seeds([1, np.nan]),
        lambda: Seeds([100_001]),
        lambda: performance(0.5, [1500]),
        lambda: performance(2.5, [1500]),
        lambda: performances([1], [1500]),
        lambda: performances([1, 2, 2], [1500, 1600]),
        lambda: worst_ranks([1, 2], 3),
        lambda: worst_ranks([0, 1], 2),
        lambda: worst_ranks([np.inf, 1], 2),
        lambda: rating_changes([1, 2], [1500.5, 1600]),
    ):
        with pytest.raises(InvalidStandingsError):
            call()
    assert Seeds([100_000]).ratings.size == 1
    changes = rating_changes([1, 2, 3, 4], [1500, 1500, 1500, 1500])
    assert changes.tolist() == sorted(changes.tolist(), reverse=True)
    even = break_even_ratings([1, 2, 3, 4], [1500, 1500, 1500, 1500])
    assert even[0] == np.inf
    assert np.isfinite(even[1:]).all()
    assert virtual_change(1, 1500, [1, 2, 3], [1500] * 3) > 0 > virtual_change(4, 1500, [1, 2, 3], [1500] * 3)
    assert virtual_change(2, 1500, [1, 2, 3], [1500] * 3) == rating_changes([1, 3, 4, 2], [1500] * 4)[3]


def test_codeelo_s_rating_of_one_contest() -> None:
    """By hand: rank r asks for the highest rating whose expected rank is at least r, clamped at both ends."""
    points, penalty, shown = [3.0, 2.0, 2.0, 1.0], [0.0, 5.0, 9.0, 0.0], [1500, 1500, 1500, 1500]
    found = [
        codeelo_rating(points, penalty, shown, s, p) for s, p in ((4, 0), (2, 7), (2, 8.9), (2, 9), (1, 1), (0, 0))
    ]
    # places 0, 2, 2, 3, 4, 4: above the clamp, 1500 + 400 log10(3) which is clamped too, 1500, 1500 - 400 log10(3)
    assert found == [1599, 1599, 1599, 1500, 1309, 1309]
    assert codeelo_rating([2.0, 1.0], [0.0, 0.0], [100, 100], 0, 0) == 100


def test_formulas_of_the_fits() -> None:
    one = fit_solve_model([1500], [4], [8])
    assert one.rating == pytest.approx(1500, abs=5)
    assert one.low < 1300 < 1700 < one.high
    assert fit_solve_model([1500], [4], [8], level=0.5).level == 0.5
    assert fit_solve_model([1500, 1500], [8, 0], [8, 8]).rating == pytest.approx(1500, abs=5)
    steep = fit_solve_model([1000, 2000], [4, 4], [8, 8], slopes=[2, 1]).rating
    assert steep != fit_solve_model([1000, 2000], [4, 4], [8, 8]).rating
    assert fit_solve_model([1000, 2000], [4, 4], [8, 8], slopes=[1, 1]).rating == pytest.approx(1500, abs=5)
    bad: list[tuple[Any, Any, Any, Any]] = [
        ([], [], [], None), ([1500], [1, 1], [2], None), ([np.nan], [1], [2], None), ([1500], [3], [2], None),
        ([1500], [-1], [2], None), ([1500], [0], [0], None), ([1500], [1], [2], [0]), ([1500], [1], [2], [np.inf]),
        ([[1500]], [[1]], [[2]], None), ([1500], [1], [2], [1, 1]),
    ]  # fmt: skip
    for d, s, n, slopes in bad:
        with pytest.raises(ValueError, match=r"\w"):
            fit_solve_model(d, s, n, slopes=slopes)
    assert t_over_normal(5, 0.95) == pytest.approx(2.570582 / 1.959964, rel=1e-5)
    chances = marginal_chances([1500, 1900], [1500], 0.0)
    np.testing.assert_allclose(chances, np.array([[0.5], [10 / 11]]), rtol=1e-9)
    assert 0.5 < marginal_chances([1900], [1500], 300.0)[0, 0] < 10 / 11


def test_scores_of_an_entry() -> None:
    entry = Entry(np.array([500.0, 1000.0, 500.0]), np.array([1, 2, 0]), np.array([2, 2, 4]))
    assert entry.scores.tolist() == [0, 500, 1000, 1500, 2000]
    assert entry.distribution().tolist() == [0, 0, 0.5, 0.5, 0]
    both = entry.distribution(np.array([[0.5, 0.5, 0.5], [1.0, 0.0, 1.0]]))
    wanted = np.array([[0.125, 0.25, 0.25, 0.25, 0.125], [0, 0, 1, 0, 0]], dtype=np.float64)
    np.testing.assert_allclose(both, wanted)


def people(points: list[float], penalty: list[float], solved: list[int] | None) -> Standings:
    count = len(points)
    ratings = np.full(count, 1500, dtype=np.int64)
    masks = None if solved is None else np.array(solved, dtype=np.int64)
    return Standings(ratings, ratings, np.zeros(count, dtype=np.int64), np.array(points), np.array(penalty), masks)


def test_people_of_a_contest() -> None:
    problems = tuple(ContestProblem(i, p) for i, p in zip("ABC", (500.0, 1000.0, None), strict=True))
    points = Contest(1, "n", "", "points", problems)
    assert worth(points).tolist() == [500, 1000, 0]
    assert worth(Contest(1, "n", "", "icpc", problems)).tolist() == [1, 1, 1]
    known = people([500, 1000], [0, 0], [0b001, 0b110])
    assert solved_by_people(points, known).tolist() == [[True, False, False], [False, True, True]]
    totals = people([0, 480, 500, 501, 1500], [0] * 5, None)
    assert solved_by_people(points, totals).sum(1).tolist() == [0, 1, 1, 2, 2]
    standings = contest(3, people=120)
    field = Field(standings, [0, 2])
    assert field.size == 120
    scores = np.sort(field.scores)
    at = np.array([scores[5], scores[-1] + 1])
    above, equal = int((scores > scores[5]).sum()), int((scores == scores[5]).sum())
    assert field.ranks(at, "middle").tolist() == [1 + above + equal / 2, 1]
    assert field.ranks(at, "upper-quartile").tolist() == [1 + above + equal / 4, 1]
    assert field.ranks(at, "fastest").tolist() == [1 + above, 1]
    share = field.elo_curve(np.array([1400.0]))[0]
    assert share == pytest.approx((field.seeds.at(1400) - 1) / 120)
    with pytest.raises(ValueError, match="contest 5 has no standings"):
        Field(without_standings(5), [0])
    assert standings.standings is not None
    solved = solved_by_people(standings, standings.standings)
    crowd = Crowd(standings.standings.rating, solved, [800, 1200, 1600, 2000, None])
    plain, again = crowd.curves(), crowd.curves(0.0)
    np.testing.assert_array_equal(plain.slopes, again.slopes)
    d, s = people_curves(standings.standings.rating, solved, [800, 1200, 1600, 2000, None])
    np.testing.assert_array_equal(d, plain.difficulties)
    np.testing.assert_array_equal(s, plain.slopes)
    assert not np.array_equal(crowd.curves(200.0).slopes, plain.slopes)
    assert ((plain.slopes >= 0.2) & (plain.slopes <= 3)).all()
    flat = Crowd(np.repeat([1000, 2000], 500), np.tile([True, False], 500)[:, None], [1500])
    assert flat.curves().slopes.tolist() == [0.2]
    steep = Crowd(np.repeat([1480, 1520], 5000), np.repeat([False, True], 5000)[:, None], [1500])
    assert steep.curves().slopes.tolist() == [3.0]


def test_reasons_for_no_place() -> None:
    notes: list[str] = []
    made = contest(3, people=29)
    assert place(made, [Solve(3, "A", 1, 1)], notes) == "29 rated participants, 30 needed"
    assert place(without_standings(5), [Solve(5, "A", 1, 1)], notes) == "no standings at hand"
    standings = people([500.0] * 30, [0.0] * 30, [1] * 30)
    problems = (ContestProblem("A", 500.0), ContestProblem("B"))
    pointless = Contest(1, "n", "", "points", problems, None, standings)
    assert place(pointless, [Solve(1, "B", 1, 1), Solve(1, "A", 1, 1)], notes) == "no points known for B"
    assert notes == []
    found = place(pointless, [Solve(1, "A", 1, 1)], notes)
    assert not isinstance(found, str)
    assert notes == [
        "contest 1: B not tried, left out for people too "
        "(not by rule codeelo, which counts what was not tried as not solved)"
    ]
    with pytest.raises(ValueError, match="contest 5 has no standings"):
        codeelo_performance(without_standings(5), [])


def test_figures_of_bounds() -> None:
    assert figure(Estimate(1523.4), "above") == "1523"
    assert figure(Estimate(1523.6, 1400, 1600), "") == "1524"
    assert figure(Estimate(4000, 3949.9, 5000), "above") == "above 3,900"
    assert figure(Estimate(4000, 3950.0, 5000), "above") == "above 3,950"
    assert figure(Estimate(-900, -2000, -449.0), "below") == "below \u2212400"
    assert figure(Estimate(100, 0, 1201.0), "below") == "below 1,250"
    made = rate(solves(SETS["one contest"], 8, 4, 0), SETS["one contest"], draws=50)
    assert (made.tie_rule, made.rule, made.level, made.bound) == ("middle", "humans", 0.95, "")
    assert made.text == f"{made.rating:.0f}"


# Plots


def drawn(tmp_path: Path, rating: Rating, table: list[Solve], contests: ContestSet) -> dict[str, Any]:
    figure_ = Figure()
    axes = figure_.add_subplot()
    rated = [(d, r.solved / r.samples) for r in table if (d := difficulty(r, contests)) is not None]
    plots._solve_rate(axes, np.array(rated), rating)
    strip = figure_.add_subplot()
    plots._performances(strip, rating)
    return {"rate": axes, "strip": strip, "rated": np.array(rated)}


def test_what_the_plots_show(tmp_path: Path) -> None:
    contests = SETS["three contests"]
    table = solves(contests, 8, 0, 2, 0, 0, 8, 8, 5, 1, 1)
    rating = rate(table, contests, draws=50)
    shown = drawn(tmp_path, rating, table, contests)
    axes, rated = shown["rate"], shown["rated"]
    (dots,) = (c for c in axes.collections if c.get_label() == "a problem")
    assert np.abs(dots.get_offsets()[:, 0] - rated[:, 0]).max() <= 25
    assert dots.get_offsets()[:, 1].tolist() == rated[:, 1].tolist()
    means, curve = axes.lines
    assert means.get_label() == "mean by 200 points of rating"
    assert list(means.get_xdata()) == [800, 1200, 1600, 2000, 2400]
    wanted = [rated[rated[:, 0] == d][:, 1].mean() for d in (800, 1200, 1600, 2000, 2400)]
    assert list(means.get_ydata()) == wanted
    assert (means.get_marker(), means.get_linestyle(), to_hex(means.get_color())) == ("o", "None", "#1f2933")
    model = rating.problem_model
    assert model is not None
    assert curve.get_label() == f"fit to problem ratings: {model.rating:.0f} [{model.low:.0f}, {model.high:.0f}]"
    x, y = curve.get_data()
    assert (x[0], x[-1], len(x)) == (700, 2500, 200)
    np.testing.assert_allclose(y, marginal_chances([model.rating], x, 250.0)[0])
    assert to_hex(curve.get_color()) == "#2563eb"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("problem rating", "share of programs accepted")
    assert axes.get_ylim() == (-0.04, 1.04)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a problem", means.get_label(), curve.get_label()]
    assert not axes.get_legend().get_frame_on()
    assert [axes.spines[s].get_visible() for s in ("top", "right", "left")] == [False, False, True]
    strip = shown["strip"]
    assert [t.get_text() for t in strip.get_yticklabels()] == ["4", "3", "1"], "the first contest on top"
    assert strip.get_ylabel() == "contest"
    assert strip.get_xlabel().startswith("Elo performance of the place")
    (label,) = [t.get_text() for t in strip.get_legend().get_texts()]
    assert label == f"rating {rating.text} [{rating.low:.0f}, {rating.high:.0f}]"
    assert not strip.get_legend().get_frame_on()
    markers = [line for line in strip.lines if line.get_marker() not in ("None", None)]
    assert len(markers) == 3
    for line, result in zip(markers, reversed(rating.contests), strict=True):
        assert float(line.get_xdata()[0]) == pytest.approx(result.performance["middle"])
        assert line.get_marker() == ("o" if not result.saturated else ">")
    segments = [line for line in strip.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    assert len(segments) == 4, "three contests and the rating"
    assert list(segments[0].get_xdata()) == pytest.approx(
        [rating.contests[-1].performance[t] for t in ("middle", "fastest")]
    )
