"""The scan for benchmark problems in training sets, and the scores on the problems that it leaves."""

import gzip
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import EVALKIT, evalkit, told
from hypothesis import given
from hypothesis import strategies as st
from peer_logs import write_parquet, zstandard
from synthetic_runs import write_run

from evalkit import DataSource, EvalkitError, Problem, Score, Task
from evalkit.benchmark.loading import load_problems
from evalkit.benchmark.registry import resolve_task
from evalkit.benchmark.task import DatasetSpec
from evalkit.cli.main import cli
from evalkit.contamination.check import find_contamination
from evalkit.contamination.index import Index, Item
from evalkit.contamination.page import page_html
from evalkit.contamination.reading import set_files
from evalkit.contamination.report import Contamination, ProblemMatches, TaskContamination, load_contamination
from evalkit.contamination.scan import Scan
from evalkit.contamination.tokens import tokenize
from evalkit.results.distillation import distillation
from evalkit.stats.clean import clean_score

PROBLEMS = {
    "rabbits": (
        "Farmer Odelia keeps 17 grey rabbits and twice as many brown ones in a shed by the river. A fox carries off "
        "5 brown rabbits on Monday and 3 grey ones on Tuesday. How many rabbits are left in the shed?"
    ),
    "polynomial": (
        "Let $P(x)$ be a cubic polynomial with $P(0)=7$, $P(1)=\\frac{1}{2}$ and $P(3) = 22$, whose leading "
        "coefficient equals the sum of its roots. Determine the value of $P(-4)$."
    ),
    "tiles": (
        "A mosaic of hexagonal tiles has $n$ rings around one tile in the centre. The probability that two tiles "
        "drawn at random touch can be written as $\\frac{m}{n}$, where $m$ and $n$ are relatively prime positive "
        "integers. Find $m + n$."
    ),
    "short": "Simplify $\\sqrt{242}$.",
}
ITEMS = [Item("own", name, text) for name, text in PROBLEMS.items()]
NUMBER = {name: i for i, name in enumerate(PROBLEMS)}
INDEX = Index(ITEMS)


class Own(Task):
    name, version, title, kind = "own", 1, "Own problems", "math"

    def load(self, source: DataSource) -> list[Problem]:
        return [Problem(name, text, "1") for name, text in PROBLEMS.items()]

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")


class Secret(Own):
    name = "secret"
    dataset = DatasetSpec("lab/secret", "0", "test", (), (), zip_password="not told")


def kind_of(name: str, text: str) -> str | None:
    return INDEX.likeness(NUMBER[name], text).kind


@pytest.mark.parametrize("name", ["rabbits", "polynomial", "tiles"])
@pytest.mark.parametrize(
    "copy",
    [
        lambda text: f"User: {text}\nPlease reason step by step.",
        lambda text: text.upper(),
        lambda text: text.replace("=", " = ").replace("$", " $ ").replace("\\frac", "\\dfrac"),
        lambda text: text.replace(" ", "\n  "),
        lambda text: "Nothing of it here, only other words. " * 200 + text + " And it goes on and on. " * 200,
    ],
)
def test_copies_that_differ_in_form_alone_are_exact(name: str, copy: Any) -> None:
    assert kind_of(name, copy(PROBLEMS[name])) == "exact"


def test_a_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contamination.json"
    Contamination(({"path": "set.jsonl"},), {}, {}).save(path)
    assert load_contamination(path).sets == ({"path": "set.jsonl"},)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(EvalkitError, match=re.escape(str(path))):
        load_contamination(path)


def test_other_names_words_and_numbers_are_told_apart() -> None:
    text = PROBLEMS["rabbits"]
    assert kind_of("rabbits", text.replace("Odelia", "Bram").replace("the river", "a lake")) == "near"
    other = text.replace("17", "23").replace("twice", "thrice").replace(" 5 ", " 4 ").replace(" 3 ", " 9 ")
    found = INDEX.likeness(NUMBER["rabbits"], other)
    assert found.kind is not None
    assert found.masked_coverage > found.coverage


def test_what_is_not_a_copy_is_not_found() -> None:
    translated = "Bauer Odelia hat 17 graue Hasen und doppelt so viele braune. Wie viele Hasen bleiben im Stall?"
    assert kind_of("rabbits", translated) is None  # a limit that the documentation tells
    boilerplate = (
        "The length of the longest chord can be written as $\\frac{m}{n}$, where $m$ and $n$ are relatively prime "
        "positive integers. Find $m + n$."
    )
    assert kind_of("tiles", boilerplate) is None
    assert kind_of("short", "Simplify $\\sqrt{245}$.") is None
    assert kind_of("short", "Now simplify $\\sqrt{242}$!") is None
    assert kind_of("short", "simplify \\sqrt {242}") == "exact"


FIGURE = "[asy]\nsize(200);\npair A, B, C;\n" + "draw(A--B--C--A, dashed); dot(B);\n" * 60 + "[/asy]"
DRAWN = (
    f"A hexagon stands in a circle: {FIGURE} What is the measure of $\\alpha$, in degrees?",
    f"{FIGURE} Two ropes hold a balloon above the flat field. {'Each rope is longer than the one before. ' * 30} "
    f"{FIGURE}\n\nDetermine the greatest length of rope. {FIGURE.replace('[', '<').replace(']', '>')}",
)
TINY = ("Evaluate $\\log_264$.", "$7!$?", "$2+2=$", "∫x²", "Compute $\\dbinom{31}{28}$.")


@pytest.mark.parametrize(
    "around", ["{}", "Question: {}\nPlease reason step by step.", "So it is. {} And now: {}", "a\n{}\n\n"]
)
def test_a_verbatim_copy_is_found_whatever_its_length_and_drawings(around: str, tmp_path: Path) -> None:
    """Of a problem of one or two words only where the text is nothing else."""
    asked = [*PROBLEMS.values(), *DRAWN, *(text for text in TINY if around == "{}" or len(text) > 10)]
    path = tmp_path / "set.jsonl"
    path.write_bytes(lines([{"t": around.replace("{}", text)} for text in asked]))
    found = Scan(Index([Item("own", text, text) for text in asked]), set_files([str(path)]), None, {}).run()
    assert {problem: [(m.kind, m.record) for m in best] for problem, best in found.best.items()} == {
        i: [("exact", i + 1)] for i in range(len(asked))
    }


def test_a_copy_without_its_drawing_is_found_and_a_part_of_a_sentence_is_not_a_short_problem() -> None:
    index = Index([Item("own", text, text) for text in (*DRAWN, *TINY)])
    assert index.likeness(0, DRAWN[0].replace(FIGURE, "")).kind == "exact"
    assert index.likeness(1, DRAWN[1].replace(FIGURE, "![](figure.png)")).kind == "near"
    for text in ("evaluate log 264 first", "We evaluate log_264. So", "Evaluate $\\log_264.5$", "Evaluate log 2 64."):
        assert index.likeness(2, f"Now {text}").kind is None, text
    assert index.likeness(2, f"We evaluate log 264. {TINY[0]}").kind == "exact"


def test_a_text_of_the_same_numbers_is_not_a_problem_of_two_words(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_bytes(lines([{"a": "2, 2", "b": "2-2=", "c": "7", "d": "So $2+2=$ is asked."}]))
    index = Index([Item("own", text, text) for text in TINY])
    assert not Scan(index, set_files([str(tmp_path / "set.jsonl")]), None, {}).run().best


PLANES = (
    "Find the equation of the plane through $(4,0,1)$ and two mirror images of it. {form}",
    "Find the equation of the plane that touches the unit sphere in the north. {form}",
)
FORM = (
    "Enter your answer in the form $Ax + By + Cz + D = 0$, where $A,$ $B,$ $C,$ $D$ are integers such that $A > 0$ and "
    "$\\gcd(|A|,|B|,|C|,|D|) = 1$."
)


def test_a_form_of_answers_alone_is_no_copy() -> None:
    one, other = (text.format(form=FORM) for text in PLANES)
    index = Index([*ITEMS, Item("own", "plane", one)])
    assert index.likeness(len(ITEMS), other).kind is None
    assert index.likeness(len(ITEMS), one.replace("4", "5")).kind is not None


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_has_tokens_that_do_not_depend_on_its_neighbours(first: str, second: str) -> None:
    together, alone = tokenize([first, second]), tokenize([second])
    assert together.words[together.firsts[1] :].tolist() == alone.words.tolist()
    assert len(together.starts) == len(together.ends) == len(together.words)


def rows() -> list[dict[str, Any]]:
    filler = []
    for i in range(300):
        asked = {"role": "user", "content": f"Tell me about the town of number {i}, please, at length."}
        filler.append({"messages": [asked, {"role": "assistant", "content": f"It has {i} mills. " * 30}]})
    filler[40]["messages"][0]["content"] = PROBLEMS["tiles"]
    filler[41]["messages"][1]["content"] += PROBLEMS["rabbits"].replace("Odelia", "Bram")
    return filler


def lines(examples: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in examples).encode()


def found_in(path: Path | str, **options: Any) -> dict[str, tuple[str, int]]:
    task = find_contamination(path, [Own()], **options).tasks["own"]
    return {p.problem_id: (p.kind, p.matches[0].record) for p in task.found}


def test_every_form_of_a_set_gives_the_same(tmp_path: Path) -> None:
    content, expected = lines(rows()), {"tiles": ("exact", 41), "rabbits": ("near", 42)}
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard(content))
    (tmp_path / "d.json").write_text(json.dumps(rows()))
    write_parquet(tmp_path / "e.parquet", rows())
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.json", "e.parquet"):
        assert found_in(tmp_path / name) == expected, name
    whole = find_contamination(tmp_path, [Own()]).tasks["own"]
    assert {p.problem_id: p.records for p in whole.found} == {"tiles": 5, "rabbits": 5}


def test_the_file_tells_where_and_keeps_secrets(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_bytes(lines(rows()))
    found = find_contamination(tmp_path / "set.jsonl", [Own(), Secret()])
    found.save(tmp_path / "found.json")
    again = load_contamination(tmp_path / "found.json")
    assert again == found
    match = next(p for p in again.tasks["own"].found if p.problem_id == "tiles").matches[0]
    assert (match.field, match.record) == ("messages.0.content", 41)
    assert match.text is not None
    assert match.text.startswith("A mosaic of hexagonal tiles")
    assert all(p.problem is None and p.matches[0].text is None for p in again.tasks["secret"].found)
    assert again.sets[0]["records"] == 300


HOSTILE = "A wolf</p><script>alert(1)</script>\x1b[31m\u202e"


def test_the_page_shows_both_texts_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(TASK_FILE.format(problems=PROBLEMS))
    examples = rows()
    examples[41]["messages"][1]["content"] = PROBLEMS["rabbits"].replace("A fox", HOSTILE).replace("river", "lake")
    named = {"<img src=x>": examples[40]["messages"][0]["content"]}
    (tmp_path / "set.jsonl").write_bytes(lines([*examples, named]))
    arguments = ("contamination", tmp_path / "set.jsonl", "-t", "own", "--task-file", tmp_path / "own.py", "-o")
    assert "JSON" in told(evalkit(*arguments, tmp_path / "found.html", code=2))
    assert not (tmp_path / "found.html").exists()
    told_of = evalkit(*arguments, tmp_path / "found.json")
    page = (tmp_path / "found.html").read_text()
    assert "found.html" in told_of.stderr
    assert "<mark>river.</mark>" in page
    assert "<mark>lake.</mark>" in page
    assert page.count("relatively prime") == 2, "the problem, and its place in the set"
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "<img" not in page
    assert not {"\x1b", "\u202e"} & set(page + told_of.stdout)
    assert "&lt;script&gt;" in page
    assert "\\x1b[31m" in page


def test_the_page_keeps_secrets(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_bytes(lines(rows()))
    page = page_html(find_contamination(tmp_path / "set.jsonl", [Secret()]))
    assert "secret tiles: exact" in page
    assert "hexagonal" not in page


@pytest.mark.parametrize(
    ("content", "words"),
    [(b'{"a": 1}\n{"b": \n', "Record 2"), (b"", "no record"), (b"plain words\n", "cannot be read")],
)
def test_a_damaged_set_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(EvalkitError, match=words):
        find_contamination(tmp_path / "set.jsonl", [Own()])


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema": 9, "tasks": {}}', "no json"])
def test_another_file_is_no_contamination_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(EvalkitError, match="not a contamination file"):
        load_contamination(tmp_path / "x.json")


TASK_FILE = """
from evalkit import Problem, Score, Task

class Own(Task):
    name, version, title, kind = "own", 1, "Own problems", "math"

    def load(self, source):
        return [Problem(name, text, "1") for name, text in {problems!r}.items()]

    def score(self, problem, response):
        return Score(0.0, "wrong")
"""


@pytest.mark.slow
def test_a_killed_scan_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(TASK_FILE.format(problems=PROBLEMS))
    filler = rows()
    content = lines(filler) + lines([filler[0]] * 9000) + lines([{"p": PROBLEMS["polynomial"]}])
    (tmp_path / "set.jsonl").write_bytes(content)
    whole = tmp_path / "whole.json"
    arguments = ["contamination", "-", "-t", "own", "--task-file", str(tmp_path / "own.py"), "--show", "0", "-o"]
    with (tmp_path / "set.jsonl").open("rb") as stream:
        subprocess.run([EVALKIT, *arguments, whole], stdin=stream, check=True, capture_output=True)
    found = tmp_path / "killed.json"
    partial = tmp_path / ".killed.json.partial"
    with subprocess.Popen([EVALKIT, *arguments, found], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(content[: len(content) - 50_000])
        process.stdin.flush()
        end = time.monotonic() + 120
        while not (partial.exists() and partial.read_bytes().count(b"\n") >= 2):
            assert time.monotonic() < end, "nothing was written"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    kept = partial.read_bytes()
    with (tmp_path / "set.jsonl").open("rb") as stream:
        subprocess.run([EVALKIT, *arguments, found], stdin=stream, check=True, capture_output=True)
    assert b'"tiles"' in found.read_bytes()
    assert found.read_bytes() == whole.read_bytes()
    assert len(kept.splitlines()) >= 2
    assert not partial.exists()


@pytest.fixture
def contaminated(tmp_path: Path) -> Path:
    """Runs of a base, a student and a teacher on 30 problems, and a file that says that p0 and p5 were trained on."""
    for name, right in (("base", 1), ("student", 6), ("teacher", 8)):
        values = [[j < min(right + i % 3, 8) for j in range(8)] for i in range(30)]
        write_run(tmp_path / name / "run", f"models/{name}", {"math500": values})
    found = tuple(ProblemMatches(name, "exact", 1, None, ()) for name in ("p0", "p5"))
    told = {"math500": TaskContamination("math500", 30, (), found)}
    Contamination((), told, {}).save(tmp_path / "found.json")
    return tmp_path


def test_clean_scores_stand_beside_the_whole(contaminated: Path) -> None:
    arguments = [
        "leaderboard",
        str(contaminated / "student"),
        "--without-contaminated",
        str(contaminated / "found.json"),
    ]
    table = CliRunner().invoke(cli, arguments)
    assert table.exit_code == 0, table.output
    cells = table.output
    means = [min(6 + i % 3, 8) / 8 for i in range(30)]
    clean = [m for i, m in enumerate(means) if i not in (0, 5)]
    assert f"{100 * np.mean(means):.1f}" in cells
    assert f"{100 * np.mean(clean):.1f}" in cells
    assert "pass@1 clean" in table.output
    assert "clean − all" in table.output
    assert "28 of 30" in table.output
    signed = r"[−+]?\d+\.\d \\\[[−+]?\d+\.\d, [−+]?\d+\.\d\\\]"  # a sign and both ends, over problems
    assert re.search(rf"\| {signed} \|", table.output), table.output
    told_json = json.loads(CliRunner().invoke(cli, [*arguments, "-f", "json"]).stdout)
    problems = {cell["metric"]: cell["problems"] for cell in told_json["cells"]}
    assert problems == {"pass@1": 30, "pass@1 clean": 28, "clean − all": 30}
    page = distillation(
        contaminated / "student", teacher=contaminated / "teacher", base=contaminated / "base",
        without_contaminated=contaminated / "found.json",
    )  # fmt: skip
    found = page.students[0].tasks[0].clean
    assert found is not None
    assert found.contaminated == 2
    assert {role: scores.contaminated for role, scores in found.scores.items()} == dict.fromkeys(found.scores, 2)
    assert found.recovered is not None
    assert "On clean problems" in page.text("md")
    assert json.loads(page.text("json"))["students"][0]["tasks"][0]["clean"]["contaminated"] == 2


def test_problems_of_another_data_set_are_refused(contaminated: Path) -> None:
    told_of = load_contamination(contaminated / "found.json").tasks["math500"]
    other = replace(told_of, found=(ProblemMatches("elsewhere", "exact", 1, None, ()),))
    Contamination((), {"math500": other}, {}).save(contaminated / "other.json")
    arguments = ("leaderboard", contaminated / "student", "--without-contaminated", contaminated / "other.json")
    assert "does not have" in told(evalkit(*arguments, code=2))


def test_a_file_of_other_tasks_or_problems_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "models/m", {"math500": [[True, False]] * 4})
    Contamination((), {}, {}).save(tmp_path / "none.json")
    arguments = ("leaderboard", tmp_path / "run", "--without-contaminated", tmp_path / "none.json")
    assert "no task, which no run has" in told(evalkit(*arguments, code=2))


def test_clean_minus_whole_is_the_difference_of_the_means() -> None:
    values = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]], dtype=float)
    found = clean_score(values, [False, True, True, True])
    assert found.clean is not None
    assert found.difference == pytest.approx(found.clean.value - found.whole.value)
    assert found.difference is not None
    assert found.interval_problems is not None
    assert found.interval_problems[0] <= found.difference <= found.interval_problems[1]
    assert clean_score(values, [True] * 4).interval_problems == (0.0, 0.0)
    assert clean_score(values, [False] * 4).clean is None


@pytest.mark.parametrize("case", [(30, 3, 4, 0.3, 0.9), (200, 20, 1, 0.5, 0.5), (100, 50, 8, 0.85, 0.98)])
def test_the_interval_of_the_difference_covers(case: tuple[int, int, int, float, float]) -> None:
    problems, contaminated, n, clean, dirty = case
    rng = np.random.default_rng(7)
    mask = np.arange(problems) >= contaminated
    true, hits, sets = contaminated / problems * (clean - dirty), 0, 300
    for _ in range(sets):
        means = np.where(mask, clean, dirty)
        rates = rng.beta(2 * means, 2 * (1 - means))
        found = clean_score((rng.random((problems, n)) < rates[:, None]).astype(float), mask)
        assert found.interval_problems is not None
        hits += found.interval_problems[0] <= true <= found.interval_problems[1]
    assert hits / sets >= 0.91  # 93% less two standard errors of 300 sets; benchmarks/clean_coverage.py has more


@pytest.mark.real_data
def test_the_problems_that_math500_shares_with_aime_are_found(data_dir: Path) -> None:
    found = find_contamination(data_dir / "training_sets", "math500,aime24", data=data_dir)
    assert found.tasks["aime24"].ids() == set()
    sets = {p.name: json.loads(p.read_text()) for p in (data_dir / "training_sets").glob("*.json")}
    theirs = {" ".join(row["problem"].split()) for rows in sets.values() for row in rows}
    with (data_dir / "MATH-500" / "test.jsonl").open() as stream:
        ours = [json.loads(line) for line in stream]
    same = [row["unique_id"] for row in ours if " ".join(row["problem"].split()) in theirs]
    assert same
    exact = found.tasks["math500"].ids(("exact",))
    assert {name.removeprefix("test/").removesuffix(".json") for name in same} <= exact
    assert len(exact) >= 6


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("task", "file"),
    [("math500", "MATH-500/test.jsonl"), ("aime24", "aime_2024/train.jsonl"), ("gsm8k", "gsm8k/test.jsonl")],
)
def test_every_problem_of_a_set_is_found_in_the_set_itself(task: str, file: str, data_dir: Path) -> None:
    found = find_contamination(data_dir / file, task, data=data_dir).tasks[task]
    assert len(found.ids(("exact",))) == found.problems


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["gpqa_diamond", "livecodebench", "codeforces"])
def test_every_prompt_of_a_set_is_found(name: str, data_dir: Path) -> None:
    task = resolve_task(name)()
    problems = load_problems(task, DataSource.from_option(str(data_dir), allow_changed=True))
    index = Index([Item(name, problem.id, problem.prompt) for problem in problems])
    for problem, own in enumerate(problems):  # in memory: questions of GPQA are not written
        assert index.likeness(problem, f"User: {own.prompt}\nPlease reason step by step.").kind == "exact"
