"""The task: rows, prompts, programs in responses, checkers; a run over all problems, rated again by hand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evalkit_tasks.codeforces.checkers import accepts_several, token_checker
from evalkit_tasks.codeforces.problems import problem_from_row
from evalkit_tasks.codeforces.programs import find_program
from evalkit_tasks.codeforces.task import CodeForces
from helpers import evalkit
from test_codeforces_programs import PROGRAMS, program

from evalkit.benchmark.data import DataSource
from evalkit.errors import EvalkitError
from evalkit.types import Problem, Score

HUB_ROW: dict[str, Any] = {
    "id": "2003/A",
    "contest_id": "2003",
    "index": "A",
    "title": "Sum",
    "time_limit": 1.5,
    "memory_limit": 256.0,
    "description": "Add two numbers.",
    "input_format": "Two integers.",
    "output_format": "Their sum.",
    "interaction_format": None,
    "note": None,
    "examples": [{"input": "1 2", "output": "3"}],
    "editorial": "SECRET: use +",
    "rating": 800,
    "official_tests": [{"input": "1 2", "output": "3"}, {"input": "5 5", "output": "10"}],
    "official_tests_complete": True,
    "input_mode": "stdio",
    "generated_checker": None,
}
ADD = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"


def problem(**changed: Any) -> Problem:
    made = problem_from_row({**HUB_ROW, **changed})
    assert isinstance(made, Problem)
    return made


def test_hub_rows_become_problems() -> None:
    made = problem()
    assert made.id == "2003/A"
    assert json.loads(made.target) == [["1 2", "3"], ["5 5", "10"]]
    assert made.metadata["tests"] == "all"
    assert (made.metadata["time_limit"], made.metadata["memory_limit"], made.metadata["rating"]) == (1.5, 256, 800)
    for part in ("Add two numbers.", "## Input\nTwo integers.", "Output:\n```\n3\n```", "Time limit: 1.5 s"):
        assert part in made.prompt
    assert "SECRET" not in made.prompt, "the editorial is no part of the question"
    assert "5 5" not in made.prompt, "nor are the tests beyond the examples"
    assert problem(official_tests_complete=False).metadata["tests"] == "some"
    assert problem(official_tests=HUB_ROW["examples"]).metadata["tests"] == "samples"
    assert problem(official_tests=None).metadata["tests"] == "samples"
    assert problem(rating=float("nan")).metadata["rating"] is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"interaction_format": "Print ? and read."}, "interactive"),
        ({"interactive": True}, "interactive"),
        ({"input_mode": "file"}, "input mode file"),
        ({"official_tests": [], "examples": []}, "no tests"),
        ({"description": None}, "no statement"),
    ],
)
def test_what_cannot_be_asked_has_a_reason(changed: dict[str, Any], reason: str) -> None:
    assert problem_from_row({**HUB_ROW, **changed}) == reason


@pytest.mark.real_data
def test_local_rows_keep_limits_and_lose_tags(data_dir: Path) -> None:
    task = CodeForces(contests="all")
    problems = task.load(DataSource(data_dir))
    assert len(problems) == 392
    assert {reason: len(names) for reason, names in task.excluded.items()} == {"interactive": 16}
    first = problems[0]
    assert first.metadata["time_limit"] == 1.0
    assert {p.metadata["tests"] for p in problems} == {"samples"}
    assert not any("Tags:" in p.prompt or "CDN_BASE_URL/tags" in p.prompt for p in problems)
    assert sum(p.metadata["time_limit"] >= 4 for p in problems) > 30
    default = CodeForces()
    chosen = default.load(source := DataSource(data_dir))
    assert {p.metadata["contest"] for p in chosen} == {1983, 1993, 1995, 2003, 2005, 2013, 2021, 2022, 2027, 2030}
    recorded = source.loaded[-1]
    assert default.contest_set is not None
    assert recorded.source == f"sha256:{default.contest_set.sha256}"


def test_prompts_ask_for_the_language() -> None:
    asked = {name: CodeForces(language=name).messages(problem())[0]["content"] for name in ("any", "cpp", "python")}
    assert "C++17 or Python 3" in asked["any"]
    assert "C++17" in asked["cpp"]
    assert "Python" not in asked["cpp"]
    assert all("Add two numbers." in text for text in asked.values())
    with pytest.raises(EvalkitError, match="python_time is 0"):
        CodeForces(python_time=0)


def test_the_last_closed_program_counts() -> None:
    cpp = "```cpp\n#include <iostream>\nint main() {}\n```"
    assert find_program("no code here") is None
    assert find_program("```python\nprint(1)\n") is None, "a block that was cut off is no program"
    main = "int main() { int n; std::cin >> n; }"
    for behind in ("```cpp\nstd::cin >> n;\n```", "```\n3\n```", "```cpp\nint f(int n);\n```<|im_end|>"):
        found = find_program(f"The program:```cpp\n{main}```\nIts core:\n{behind}")
        assert found is not None, behind
        assert (found.code.strip(), found.language) == (main, "cpp"), "a snippet behind it does not displace it"
    assert find_program(f"first\n{ADD}\nbetter\n{cpp}").language == "cpp"  # type: ignore[union-attr]
    assert find_program(f"{ADD}\n{cpp}", "python").language == "python"  # type: ignore[union-attr]
    assert find_program(f"{ADD}\n```text\n3\n```").code.startswith("a, b")  # type: ignore[union-attr]
    assert find_program("```\n#include <cstdio>\nint main() {}\n```").language == "cpp"  # type: ignore[union-attr]


def test_scores_and_statuses() -> None:
    task = CodeForces()
    assert task.score(problem(), ADD).status == "correct"
    wrong = task.score(problem(), ADD.replace("+", "-"))
    assert (wrong.status, wrong.extracted_by) == ("wrong", "python")
    assert "test 1" in wrong.explanation
    only_samples = ADD.replace("a + b", "3")
    assert task.score(problem(), only_samples).status == "wrong", "passes the sample, fails the second test"
    assert task.score(problem(), "I give up.").status == "no_answer"


def test_checkers_of_the_data_run_in_the_sandbox() -> None:
    """Called as `checker input expected output`; prints 1 where right. It accepts any number above the sum."""
    checker = (
        "import sys\n"
        "data, expected, output = (open(name).read().split() for name in sys.argv[1:4])\n"
        "print(1 if output and int(output[0]) >= sum(map(int, data)) == int(expected[0]) else 0)\n"
    )
    with_checker = problem(generated_checker=checker)
    assert with_checker.metadata["own_checker"]
    task = CodeForces()
    assert task.score(with_checker, ADD.replace("a + b", "a + b + 7")).status == "correct"
    assert task.score(with_checker, ADD.replace("a + b", "a + b - 1")).status == "wrong"
    assert task.score(problem(generated_checker="raise ValueError"), ADD).status == "error"


def test_statements_say_how_outputs_are_compared() -> None:
    assert token_checker("Print the sum.") is None
    task = CodeForces()
    tests = {"official_tests": [{"input": "1 2", "output": "YES"}], "examples": []}
    any_case = problem(description='You can output "YES" and "NO" in any case.', **tests)
    assert task.score(any_case, "```python\nprint('yes')\n```").status == "correct"
    assert task.score(problem(**tests), "```python\nprint('yes')\n```").status == "wrong"
    real = problem(
        description="Your answer is right if its absolute or relative error does not exceed $10^{-4}$.",
        official_tests=[{"input": "1 2", "output": "1000.0"}],
    )
    assert task.score(real, "```python\nprint(1000.05)\n```").status == "correct"
    assert task.score(real, "```python\nprint(1000.5)\n```").status == "wrong"
    assert accepts_several("If multiple answers are possible, you can output any of them.")
    assert not accepts_several("Print any letter in any case.")


def test_failures_of_the_engine_do_not_count_as_unsolved() -> None:
    task = CodeForces()
    made = problem()
    scores = {made.id: [Score(1.0, "correct"), Score(0.0, "error"), Score(0.0, "wrong")]}
    (row,) = task.table([made], scores)
    assert (row.solved, row.samples, row.results) == (1, 2, (True, False))
    assert task.table([made], {made.id: [Score(0.0, "error")]}) == []


def rating_by_hand(difficulties: np.ndarray, solved: np.ndarray, samples: int) -> float:
    """The documented fallback, written again: direct sums over errors and a fine grid of ratings."""
    grid = np.arange(0, 2500, 2.0)

    def with_error(sd: float, yes: float, no: float, d: float) -> np.ndarray:
        errors = np.arange(-5 * sd, 5 * sd + 1, sd / 10)
        mass = np.exp(-(errors**2) / (2 * sd**2))
        chance = 1 / (1 + 10 ** ((d - grid[:, None] + errors) / 400))
        return np.asarray((chance**yes * (1 - chance) ** no) @ mass / mass.sum())

    typical = [with_error(250, 1, 0, d) for d in difficulties]
    information = np.sum([p * (1 - p) for p in typical], axis=0)
    total = np.zeros(grid.size)
    for sd, weight in ((100, 0.1), (175, 0.15), (250, 0.3), (350, 0.25), (500, 0.2)):
        log = np.log(weight)
        for d, s in zip(difficulties, solved, strict=True):
            log = log + np.log(with_error(sd, s, samples - s, d))
        total += np.exp(log) * np.sqrt(information)
    return float(grid[total.argmax()])


@pytest.mark.real_data
def test_a_run_over_all_problems_gives_the_rating_that_a_script_computes(data_dir: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (data_dir / "codeforces" / "problems.jsonl").read_text().splitlines()]
    assert len(rows) == 408
    recorded = []
    for number, row in enumerate(rows):
        language, right, wrong = PROGRAMS.get(row["id"], ("python", "", ""))
        texts = ["I do not know."] * 2
        if right:
            texts = [program(language, right), program(language, right if number % 2 else wrong)]
        recorded.append(json.dumps({"problem_id": row["id"], "text": ["<think>\nhm</think>\n" + t for t in texts]}))
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(recorded) + "\n")
    home: dict[str, Any] = {"EVALKIT_CODEFORCES": str(tmp_path / "home"), "EVALKIT_DATA": str(data_dir)}
    options = ("-n", 2, "-T", "contests=all", "--backend", "replay", "--recorded", path, "-o", tmp_path / "run")
    evalkit("run", "recorded", "-t", "codeforces", *options, "--quiet", **home)
    report = json.loads((tmp_path / "run" / "codeforces" / "report.json").read_text())
    metrics = {m["name"]: m for m in report["metrics"]}

    asked = [row for row in rows if not row["interactive"]]
    solved = {row["id"]: 0 if row["id"] not in PROGRAMS else 1 + number % 2 for number, row in enumerate(rows)}
    assert {i: int(sum(values)) for i, values in report["values"].items()} == {r["id"]: solved[r["id"]] for r in asked}
    rated = [row for row in asked if row["rating"]]
    by_hand = rating_by_hand(np.array([r["rating"] for r in rated]), np.array([solved[r["id"]] for r in rated]), 2)
    rating = metrics["rating"]
    assert abs(rating["value"] - by_hand) <= 2
    assert rating["interval_problems"][0] < by_hand < rating["interval_problems"][1]
    assert "from problem ratings" in rating["note"]
    assert "samples only for 392 of 392 problems: an upper bound" in rating["note"]
    with (data_dir / "codeforces" / "active_users_2024_ratings.csv").open() as stream:
        users = [tuple(map(int, line.split(","))) for line in stream.read().split()[1:]]
    below = sum(count for r, count in users if r < rating["value"]) / sum(count for _, count in users)
    assert metrics["percentile"]["value"] == pytest.approx(100 * below)
    assert "2024" in metrics["percentile"]["note"]
    assert "of 408; left out: 16 interactive" in metrics["problems"]["note"]
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert any("contest-set:all" in d["hub_id"] for d in described["tasks"]["codeforces"]["data"])

    said = evalkit("codeforces", "rate", tmp_path / "run", "--plots", tmp_path / "plots", **home).stdout
    assert said.startswith(f"rating {rating['value']:.0f}  [{rating['interval_problems'][0]:.0f}, ")
    assert (tmp_path / "plots" / "solve_rate.svg").stat().st_size > 5000


def write_hub_layout(folder: Path, rows: int, tests_bytes: int, group: int) -> None:
    """A file as the hub's are: all its columns, and tests that make up nearly all of it."""
    rng = np.random.default_rng(0)
    digits = rng.integers(48, 58, 4 << 20, dtype=np.uint8).tobytes().decode()
    pair = pa.list_(pa.struct([("input", pa.string()), ("output", pa.string())]))
    texts = ("id", "contest_id", "index", "title", "description", "editorial", "input_mode", "generated_checker")
    fields: list[tuple[str, Any]] = [(name, pa.string()) for name in texts]
    fields += [("time_limit", pa.float64()), ("rating", pa.int64()), ("examples", pair), ("official_tests", pair)]
    schema = pa.schema([*fields, ("official_tests_complete", pa.bool_()), ("tags", pa.list_(pa.string()))])
    (folder / "data").mkdir(parents=True)
    with pq.ParquetWriter(folder / "data" / "train-00000-of-00001.parquet", schema) as writer:
        for first in range(0, rows, group):
            part = []
            for number in range(first, min(first + group, rows)):
                start = int(rng.integers(0, len(digits) - tests_bytes))
                long = tests_bytes // 64
                tests = [{"input": digits[start + i : start + i + long], "output": "1"} for i in range(64)]
                row = {**HUB_ROW, "contest_id": str(number // 5), "index": "ABCDE"[number % 5], "tags": ["math"]}
                part.append({**row, "id": f"{number}", "official_tests": tests})
            writer.write_table(pa.Table.from_pylist(part, schema))


MEASURE = """
import sys
from pathlib import Path
from evalkit.benchmark.data import DataSource
from evalkit_tasks.codeforces.task import CodeForces
import pyarrow.parquet
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
list(DataSource(Path(sys.argv[2])).rows(CodeForces.dataset, lambda row: True))  # what the libraries themselves take
before = peak()
task = CodeForces()
task_rows = DataSource(Path(sys.argv[1])).rows(task.dataset, lambda row: int(row["contest_id"]) in (7, 100))
print(len(task_rows), peak() - before)
"""


@pytest.mark.slow
def test_only_the_contests_that_are_asked_take_memory(tmp_path: Path) -> None:
    """160 MB of tests, in groups of 40 MB: the rows of two contests are built, and nothing else."""
    write_hub_layout(tmp_path / "codeforces", rows=1000, tests_bytes=160_000, group=250)
    write_hub_layout(tmp_path / "tiny" / "codeforces", rows=5, tests_bytes=640, group=5)
    command = [sys.executable, "-c", MEASURE, str(tmp_path), str(tmp_path / "tiny")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    rows, megabytes = map(int, done.stdout.split())
    assert rows == 10
    assert megabytes < 80


def test_the_hub_s_set_is_pinned() -> None:
    for spec in (CodeForces.dataset, CodeForces.test_split):
        assert spec.revision == "fbe3f6e903ee854eec2e69e9d96d0306cde59baf"
