"""The distillation page: figures from runs on disk, words that are true, formats that hold what strangers wrote."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_runs import solve_rates, write_run

import evalkit
from evalkit.benchmark.protocols import find_protocol
from evalkit.cli.main import cli
from evalkit.errors import EvalkitError
from evalkit.results.distill_costs import first_stated
from evalkit.results.distill_models import load_side, measure_size
from evalkit.results.distillation import DistillationPage, distillation
from evalkit.results.formats.distillation import FORMATS, render
from evalkit.results.plots.distillation import pictures
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory

TINY = Path(__file__).parents[1] / "examples" / "tiny_distill"


def rows(*counts: tuple[int, int], n: int = 16) -> list[list[bool]]:
    """`(problems, right)`: so many problems with so many right samples of n."""
    return [[i < right for i in range(n)] for problems, right in counts for _ in range(problems)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Base, student and teacher on 40 problems: 12 inherited, 4 lost, 2 beyond the teacher, 6 not inherited."""
    kinds = {
        "base": ((12, 0), (4, 16), (2, 0), (6, 0), (16, 12)),
        "student": ((12, 16), (4, 0), (2, 16), (6, 0), (16, 12)),
        "teacher": ((12, 16), (4, 16), (2, 0), (6, 16), (16, 14)),
    }
    for name, counts in kinds.items():
        write_run(tmp_path / name / "run", f"models/{name}", {"math500": rows(*counts)}, titles={"math500": "MATH-500"})
    return tmp_path


def page(runs: Path, **options: Any) -> DistillationPage:
    return distillation(runs / "student", teacher=runs / "teacher", base=runs / "base", **options)


def test_the_gap_is_that_of_the_means(runs: Path) -> None:
    gap = page(runs).students[0].tasks[0].gap
    b, s, t = (4 * 16 + 16 * 12) / 640, (14 * 16 + 16 * 12) / 640, (22 * 16 + 16 * 14) / 640
    assert gap.recovered is not None
    assert gap.recovered.value == pytest.approx((s - b) / (t - b))
    assert gap.retention is not None
    assert gap.retention.value == pytest.approx(s / t)
    assert gap.base is not None
    assert (gap.base.value, gap.student.value, gap.teacher.value) == pytest.approx((b, s, t))


def test_problems_are_listed_by_kind(runs: Path) -> None:
    solved = {s.name: s for s in page(runs).students[0].tasks[0].solved}
    assert {p.problem_id for p in solved["inherited"].listed} == {f"p{i}" for i in range(12)}
    assert {p.problem_id for p in solved["lost"].listed} == {f"p{i}" for i in range(12, 16)}
    assert {p.problem_id for p in solved["beyond the teacher"].listed} == {"p16", "p17"}
    assert {p.problem_id for p in solved["not inherited"].listed} == {f"p{i}" for i in (*range(12, 16), *range(18, 24))}
    assert solved["lost"].expected == pytest.approx((4 + 16 * 0.75 * 0.25) / 40)


def test_the_words_follow_the_figures(runs: Path) -> None:
    told = " ".join(page(runs).verdict)
    assert "The student recovers 50% [" in told
    assert "of the gap on MATH-500 (base 40.0%, teacher 90.0%, over problems)" in told
    assert "The student loses 4 problems of MATH-500 that the base solved: p12, p13, p14, p15." in told
    assert "solves 2 problems of MATH-500 more often than the teacher does: p16, p17." in told


def test_one_sample_cannot_show_that_a_problem_is_lost(tmp_path: Path) -> None:
    for name, right in (("base", 10), ("student", 20), ("teacher", 28)):
        values = [[i % 30 < right] for i in range(30)]
        write_run(tmp_path / name / "run", name, {"aime24": values}, titles={"aime24": "AIME 2024"})
    found = page(tmp_path)
    assert any("so few samples cannot show that a single problem is lost" in s for s in found.verdict)
    assert not any(s.listed for s in found.students[0].tasks[0].solved)
    assert found.students[0].tasks[0].tries is None


def test_a_gap_too_small_is_said_to_be_so(tmp_path: Path) -> None:
    for seed, name in enumerate(("base", "student", "teacher")):
        write_run(tmp_path / name / "run", name, {"aime24": solve_rates(30, 4, 0.3, seed)})
    told = page(tmp_path).verdict[0]
    assert "the gap is not defined: teacher and base cannot be told apart" in told


def test_a_teacher_below_the_base_leaves_no_gap(runs: Path) -> None:
    found = distillation(runs / "student", teacher=runs / "base", base=runs / "teacher")
    assert "there is no gap to recover" in found.verdict[0]


def test_published_figures_are_teacher_or_base(runs: Path, tmp_path: Path) -> None:
    table = tmp_path / "figures.csv"
    table.write_text(
        "model,benchmark,task,metric,value,sd,n,source\nBig,MATH-500,math500,pass@1,90.0,1.0,4,a paper\n"
        "Small,MATH-500,math500,pass@1,40.0,,,a blog\n"
    )
    found = distillation(runs / "student", teacher=f"{table}:big", base=f"{table}:Small")
    gap = found.students[0].tasks[0].gap
    assert gap.recovered is None
    assert gap.recovered_run is not None
    assert gap.recovered_run.value == pytest.approx(0.5)
    assert gap.teacher.stderr_run == pytest.approx(0.005 * 3.18245 / 1.95996, rel=1e-4)  # four runs: Student's t
    assert gap.base is not None
    assert gap.base.stderr_run == pytest.approx((0.4 * 0.6 / 40) ** 0.5)
    assert "run to run" in found.verdict[0]
    assert any("a blog; no spread is told" in note for note in found.students[0].tasks[0].notes)
    for ending in FORMATS:
        assert "Big" in render(found, ending)


def test_only_shared_problems_count_and_other_settings_are_told(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    protocol = find_protocol("deepseek-r1").overridden({"temperature": 0.1})
    write_run(other / "run", "few", {"math500": rows((12, 0), (4, 16))}, protocol)
    found = distillation(runs / "student", teacher=runs / "teacher", base=other)
    task = found.students[0].tasks[0]
    assert task.gap.problems == 16
    assert any("24 problems that the base has no run of are left out" in note for note in task.notes)
    assert any("temperature 0.1 instead of 0.6" in note for note in task.notes)


def test_benchmarks_are_pooled_and_rounds_are_a_chain(tmp_path: Path) -> None:
    for i, name in enumerate(("base", "one", "two", "teacher")):
        tasks = {task: solve_rates(60, 8, 0.2 + 0.2 * i, seed) for seed, task in enumerate(("math500", "aime24"))}
        write_run(tmp_path / name / "run", name, tasks)
    found = distillation(
        [tmp_path / "one", tmp_path / "two"], teacher=tmp_path / "teacher", base=tmp_path / "base", rounds=True
    )
    assert [(r.before, r.after) for r in found.rounds] == [("base", "one")] * 2 + [("one", "two")] * 2
    assert all(r.interval_run[0] < r.gain < r.interval_run[1] for r in found.rounds)
    assert found.students[0].overall is not None
    assert found.students[0].overall.value == pytest.approx(1 / 3, abs=0.15)
    assert any(s.startswith("two after one on aime24: gains +") for s in found.verdict)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A gap on one of three benchmarks; 5 problems of the others, of which nobody solves any."""
    for name, right in (("base", 2), ("student", 8), ("teacher", 14)):
        tasks = {"math500": rows((40, right)), "aime24": rows((5, 0), n=4), "gpqa_diamond": rows((5, 0), n=4)}
        titles = {"math500": "MATH-500", "aime24": "AIME 2024", "gpqa_diamond": "GPQA Diamond"}
        write_run(tmp_path / name / "run", name, tasks, titles=titles, available=500)
    return tmp_path


def graded_by(run: Path, grader: str) -> None:
    """Let every score of a run be of this grader."""
    for path in run.glob("*/scores.jsonl"):
        lines = [json.loads(line) | {"grader": grader} for line in path.read_text().splitlines()]
        path.write_bytes(b"".join(encode_line({k: v for k, v in line.items() if k != "crc"}) for line in lines))


def test_scores_of_an_earlier_grader_are_told_wherever_they_are_compared(runs: Path) -> None:
    def told() -> tuple[tuple[str, ...], str]:
        compared = CliRunner().invoke(cli, ["compare", str(runs / "student"), str(runs / "teacher")]).stdout
        return page(runs).students[0].tasks[0].notes, compared

    notes, compared = told()
    assert not any("earlier version" in note for note in notes)
    assert "earlier version" not in compared
    graded_by(runs / "teacher" / "run", "math500@1+grader1")
    notes, compared = told()
    assert "an earlier version of evalkit graded the teacher's run: evalkit score grades it again" in notes
    assert "an earlier version of evalkit graded B: evalkit score grades it again." in compared
    graded_by(runs / "student" / "run", "math500@1+grader1")
    notes, compared = told()
    assert "an earlier version of evalkit graded the student's run: evalkit score grades it again" in notes
    assert "an earlier version of evalkit graded A and B: evalkit score grades them again." in compared
    compared = CliRunner().invoke(cli, ["compare", str(runs / "student"), str(runs / "teacher"), "-f", "json"]).stdout
    assert json.loads(compared)["comparisons"][0]["tasks"][0]["graded_earlier"] == ["A", "B"]


def test_the_headline_says_on_how_many_benchmarks_there_is_a_gap(few: Path) -> None:
    found = page(few)
    assert found.verdict[0] == (
        "Only 1 of 3 benchmarks, MATH-500, has a gap that the student could recover; the gap is not defined on "
        "AIME 2024 and GPQA Diamond."
    )
    assert found.students[0].overall is None
    assert not any("together" in told for told in found.verdict)
    for name, right in (("base", 1), ("student", 2), ("teacher", 3)):
        write_run(few / name / "more", name, {"aime25": rows((30, 4 * right))}, titles={"aime25": "AIME 2025"})
    found = page(few)
    assert found.verdict[0].startswith("Over 2 of 4 benchmarks the student recovers 50% [")
    assert found.verdict[0].endswith("of the gap; the gap is not defined on AIME 2024 and GPQA Diamond.")
    assert "| student | 2 of 4 | 50%" in found.text("md")


def test_what_says_nothing_is_not_told_and_subsets_are_named(few: Path) -> None:
    found = page(few)
    told = " ".join((*found.verdict, *found.details))
    for subset in (
        "MATH-500 (40 of 500 problems)",
        "AIME 2024 (5 of 500 problems)",
        "GPQA Diamond (5 of 500 problems)",
    ):
        assert subset in told
    assert "[0, 100]" not in told
    assert "[0.0, 67.0]" not in told
    assert "are left out; the tables have them. This concerns AIME 2024 (5 problems, n = 4)" in found.details[-1]
    assert "| 5 of 500 | 4 |" in found.text("md")
    assert ", n = 20 |" in found.text("md")


def test_every_benchmark_is_drawn_with_its_problems_and_n(few: Path) -> None:
    found = page(few)
    drawn = dict(pictures(found))
    assert "against size" not in " ".join(drawn), "no size is known"
    panels = drawn["Accuracy at equal budgets"].axes
    titles = [axes.get_title() for axes in panels]
    tasks = found.students[0].tasks
    assert titles == [
        f"{t.title}\n{t.gap.counts[0]} problems, n = {t.gap.counts[1]}; bands: 95%, run to run" for t in tasks
    ]
    assert "40 of 500 problems" in " ".join(titles)
    assert all(len(axes.collections) == len(axes.lines) for axes in panels), "a band for each line"


def test_what_stands_in_the_tables_has_intervals(few: Path) -> None:
    task = next(t for t in page(few).students[0].tasks if t.task == "math500")
    assert task.tries is not None
    for role, curve in task.tries.curves.items():
        assert all(low <= value <= high for value, (low, high) in zip(curve, task.tries.intervals[role], strict=True))
    for cost in task.costs.values():
        assert cost.tokens_interval is not None
        assert cost.tokens_interval[0] < cost.tokens < cost.tokens_interval[1]
        for budget, value in cost.budgets.items():
            low, high = cost.budget_intervals[budget]
            assert low <= value <= high


def test_the_page_has_the_leaderboards_intervals(few: Path) -> None:
    shown = CliRunner().invoke(cli, ["leaderboard", str(few / "student"), "-f", "md", "-v"], catch_exceptions=False)
    assert "+15.3 −0.0" in shown.output
    assert page(few).text("md").count("| 0.0% +15.3 −0.0 |") >= 2
    score = next(t for t in page(few).students[0].tasks if t.task == "math500").gap.student
    assert score.interval_run == evalkit.stats.avg_at_n(rows((40, 8))).interval_run


def test_scores_that_never_vary_are_not_exact(tmp_path: Path) -> None:
    for name, right in (("base", 0), ("student", 4), ("teacher", 4)):
        write_run(tmp_path / name / "run", name, {"aime24": rows((9, right), n=4)})
    gap = page(tmp_path).students[0].tasks[0].gap
    for ratio in (gap.recovered, gap.recovered_run, gap.retention):
        assert ratio is not None
        assert ratio.interval is not None
        assert ratio.interval[0] < 0.95
        assert ratio.interval[1] > 1.05


def test_a_model_is_not_its_own_teacher(runs: Path) -> None:
    with pytest.raises(EvalkitError, match="its own teacher"):
        distillation(runs / "student", teacher=runs / "student")


@pytest.mark.parametrize(
    ("text", "answer", "after"),
    [
        ("so \\boxed{ 12 } and on", "12", "so \\boxed{ 12 }"),
        ("1+2=3\nthe answer is 3. Wait", "3", "1+2=3"),
        ("take 312, so the answer: 12 apples", "12", "take 312, so the answer: 12"),
        ("x = 120 and y = 7", "12", None),
        ("nothing here", "5", None),
        ("\\(a = 5\\) holds", "5", "\\(a = 5"),
    ],
)
def test_where_an_answer_is_first_stated(text: str, answer: str, after: str | None) -> None:
    assert first_stated(text, answer) == (None if after is None else len(after))


def test_costs_are_those_of_the_completions(runs: Path) -> None:
    task = page(runs).students[0].tasks[0]
    tokens = [
        json.loads(line)["completion_tokens"]
        for line in (runs / "student" / "run" / "math500" / "completions.jsonl").read_text().splitlines()
    ]
    cost = task.costs["student"]
    assert cost.tokens == pytest.approx(np.mean(tokens))
    assert cost.per_right == pytest.approx(sum(tokens) / (14 * 16 + 16 * 12))
    assert cost.thinking + cost.answer == pytest.approx(cost.tokens)
    assert max(cost.budgets.values()) == pytest.approx(task.gap.student.value)
    ratio = task.costs["teacher"].length_ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(1)


def test_a_local_checkpoint_tells_its_size(tmp_path: Path) -> None:
    write_run(tmp_path / "run", str(TINY / "teacher"), {"aime24": solve_rates(5, 2, 0.5)})
    (side,) = load_side(tmp_path)
    size = measure_size(side)
    assert size.parameters == 376_320
    assert size.bytes == (TINY / "teacher" / "model.safetensors").stat().st_size


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def test_what_strangers_wrote_stays_text(runs: Path, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>|\\input{x}$\x1b[31m"
    for name in ("a", "b"):
        write_run(tmp_path / name / "run", f"{hostile}{name}", {"math500": rows((40, 8))}, titles={"math500": hostile})
    found = distillation(tmp_path / "a", teacher=tmp_path / "b", base=runs / "base")
    html = render(found, "html")
    parser = _Tags()
    parser.feed(html)
    assert not {"script", "iframe", "object", "link"} & set(parser.tags)
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href|srcset)=["'](?!data:image/svg)""", html)
    assert "\x1b" not in "".join(render(found, ending) for ending in ("html", "md", "tex"))
    assert "<script" not in render(found, "md")
    assert "\\input{" not in render(found, "tex")


@pytest.mark.slow
def test_every_format_says_the_same(runs: Path) -> None:
    found = page(runs)
    content = json.loads(render(found, "json"))
    assert content["verdict"] == list(found.verdict)
    assert content["students"][0]["tasks"][0]["gap"]["recovered"]["value"] == pytest.approx(0.5)
    assert render(found, "html").count("<img") == 4
    for ending in ("html", "md", "tex"):
        text = render(found, ending)
        assert text == render(page(runs), ending), "the same runs give the same page"
        for heading in ("How much of the gap is closed", "What was learnt and what was lost", "Sharper or wider"):
            assert heading in text
    assert found._repr_html_().startswith("<header>")


@pytest.mark.parametrize("ending", [*FORMATS, None])
def test_the_command_writes_each_format(runs: Path, tmp_path: Path, ending: str | None) -> None:
    output = ["-o", str(tmp_path / f"page.{ending}")] if ending else []
    sides = ["--teacher", str(runs / "teacher"), "--base", str(runs / "base")]
    done = CliRunner().invoke(cli, ["distill", str(runs / "student"), *sides, *output], catch_exceptions=False)
    assert done.exit_code == 0
    written = (tmp_path / f"page.{ending}").read_text() if ending else done.output
    assert re.search(r"recovers 50\\?%", written)


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        ("nowhere:x", "neither a folder nor a published model"),
        ("deepseek-r1:nobody", "has no pass@1 of 'nobody'"),
        ("nowhere", "does not exist"),
    ],
)
def test_a_teacher_that_is_not_there(runs: Path, teacher: str, told: str) -> None:
    with pytest.raises(EvalkitError, match=told):
        distillation(runs / "student", teacher=teacher)


@pytest.mark.real_data
def test_recorded_runs_beside_published_figures(data_dir: Path, tmp_path: Path) -> None:
    """Qwen2.5-14B-Instruct's recorded MATH-500 between GPT-4o and o1-mini, and where the two cannot be told apart."""
    recorded = data_dir / "math_recorded" / "Qwen__Qwen2.5-14B-Instruct__math500.jsonl.gz"
    evalkit.evaluate(
        "Qwen/Qwen2.5-14B-Instruct", "math500", engine="replay", engine_options={"recorded": str(recorded)}, n=1,
        data=data_dir, output=tmp_path / "run", progress=False, workers=2,
    )  # fmt: skip
    found = distillation(tmp_path, teacher="deepseek-r1:o1-mini", base="deepseek-r1:GPT-4o-0513")
    gap = found.students[0].tasks[0].gap
    assert gap.student.value == pytest.approx(0.808, abs=0.01)
    assert found.verdict[0].startswith("The student recovers")
    twins = distillation(tmp_path, teacher="deepseek-r1:QwQ-32B-Preview", base="deepseek-r1:o1-mini")
    assert "cannot be told apart (base 90.0%, teacher 90.6%" in twins.verdict[0]


@pytest.mark.parametrize(("backend", "word"), [("replay", "replayed"), ("imported", "imported"), ("vllm", "1,951")])
def test_the_speed_of_reading_a_file_is_no_speed_of_a_model(runs: Path, backend: str, word: str) -> None:
    run = RunDirectory(runs / "student" / "run")
    content: Any = dict(run.record().content)
    content["identity"] = {**content["identity"], "engine": {"backend": backend}}
    run.rewrite(content)
    (run.path / "throughput.jsonl").write_bytes(encode_line({"generated_tokens_per_second": 1951.2}))
    (runs / "teacher" / "run" / "throughput.jsonl").write_bytes(encode_line({"generated_tokens_per_second": 10.0}))
    size = measure_size(load_side(runs / "student")[0])
    assert size.tokens_per_second == (1951.2 if backend == "vllm" else None)
    row = next(
        line for line in render(page(runs), "md").split("What was compressed")[1].splitlines() if "student" in line
    )
    assert row.split("|")[4].strip().startswith(word)
