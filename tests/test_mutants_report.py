"""Tables, comparisons, pages, pictures and exports of the same runs, whole: each is held to what is kept of it."""

import base64
import gzip
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from report_runs import TaskData, maths_problems, maths_sample, write_samples, write_task_file
from snapshots import check, check_json
from synthetic_runs import solve_rates, write_run

import evalkit
from evalkit.cli.main import cli
from evalkit.contamination.report import Contamination, Match, ProblemMatches, TaskContamination
from evalkit.results.entries import load_entries
from evalkit.results.exports import export_run
from evalkit.results.fidelity import (
    UNITS,
    FidelityFigure,
    FidelityReport,
    StudentFidelity,
    load_fidelity,
    write_fidelity,
)
from evalkit.results.formats.fidelity import fidelity_json, fidelity_markdown
from evalkit.results.plots.drawing import LOOKS
from evalkit.results.plots.kinds import KINDS, Request, draw
from evalkit.results.published import load_published
from evalkit.results.site.export import write_site
from evalkit.results.site.marks import find_loops
from evalkit.results.site.options import SiteOptions

TITLES = {"aime24": "AIME 2024", "math500": "MATH-500"}
FAMILY = {
    "base-1B": (0.2, 4),
    "student-1B-step_100": (0.45, 4),
    "student-1B-step_300": (0.55, 8),
    "teacher-9B": (0.8, 4),
}


def length(rng: np.random.Generator, i: int) -> int:
    """Tokens; a third of the samples reaches the limit of 1000."""
    return int(rng.integers(100, 1400)) + 10 * i


def dated(folder: Path) -> None:
    """All files are of the same day: what is exported has ids that follow from it."""
    for path in folder.rglob("*"):
        os.utime(path, (1_750_000_000, 1_750_000_000))


def write_family(folder: Path) -> Path:
    """A base, two checkpoints of a student and a teacher on two benchmarks, of unequal sizes and n."""
    for i, (name, (mean, n)) in enumerate(FAMILY.items()):
        tasks = {"aime24": solve_rates(9, n, mean - 0.1, i), "math500": solve_rates(16, n, mean, 10 + i)}
        run = folder / name / "run"
        write_run(run, f"lab_x/{name}", tasks, titles=TITLES, length=length, limit=1000, available=500)
    return folder


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with prompts and texts of their own."""
    folder = tmp_path_factory.mktemp("texts")

    def task(skill: float, seed: int) -> TaskData:
        return TaskData("quadratics", "Quadratics", maths_problems(5), maths_sample(skill, seed), n=3)

    file = write_task_file(folder / "tasks", [task(0, 0)])
    for seed, (name, skill) in enumerate((("base", 0.6), ("student", 0.9), ("teacher", 1.2))):
        write_samples(folder / "results" / name / "run", f"org/{name}", [task(skill, seed)], file)
    dated(folder)
    return folder


def said(*arguments: object, code: int = 0) -> str:
    """What a command prints, without what differs from machine to machine."""
    done = CliRunner(catch_exceptions=False).invoke(cli, list(map(str, arguments)), env={"COLUMNS": "120"})
    assert done.exit_code == code, done.output
    return done.output


def placeless(text: str, *folders: Path) -> str:
    for folder in folders:
        text = text.replace(str(folder), "FOLDER")
    text = text.replace(evalkit.__version__, "VERSION")
    return re.sub(r"\b20\d\d-\d\d-\d\d(T[\d:.]+(Z|\+00:00)?)?", "DATE", text)


def hold(name: str, text: str, *folders: Path) -> None:
    """Hold an output without places, pictures and styles to what is kept of it; numbers of JSON to 6 digits."""
    text = placeless(text, *folders)
    if text.startswith("{"):
        check_json(f"{name}.txt", json.loads(text))
        return
    for outer in ("svg", "style"):
        text = re.sub(rf"<{outer}\b.*?</{outer}>", f"({outer})", text, flags=re.DOTALL)
    check(f"{name}.txt", re.sub(r"data:[^\"' )]+", "data:", text))


FORMS = ("csv", "html", "json", "latex", "md", "terminal", "typst")


@pytest.mark.parametrize("form", FORMS)
def test_leaderboard(form: str, family: Path) -> None:
    hold(f"report/leaderboard.{form}", said("leaderboard", family, "-f", form), family)


@pytest.mark.parametrize("form", FORMS)
def test_leaderboard_with_every_option(form: str, family: Path) -> None:
    options = ["--published", "deepseek-r1:*Qwen-7B*", "--group", "base,teacher,students", "-m", "pass@4", "-v"]
    options += ["--label", "lab_x/teacher-9B=The <teacher> & 100%", "-t", "math500,aime24", "--order", "score"]
    options += ["--title", "Our 5% runs", "--ref", "tab:ours"] if form in ("latex", "typst") else []
    out = said("leaderboard", family, "-f", form, *options)
    hold(f"report/leaderboard_options.{form}", out, family)


def test_model_card(family: Path) -> None:
    check(
        "report/model_card.txt",
        placeless(said("leaderboard", family / "student-1B-step_300", "-f", "model-card"), family),
    )


@pytest.mark.parametrize("form", ["terminal", "md", "json"])
def test_comparison(form: str, family: Path) -> None:
    runs = [family / name / "run" for name in ("base-1B", "student-1B-step_100", "student-1B-step_300")]
    out = said("compare", *runs, "-f", form, "--flips", 3, "-v", "--points", 3)
    if form == "terminal":  # where its lines break depends on the length of the folders' names
        out = " ".join(re.sub(r"A: base-1B \(.*?/run\)\s+B: .*?/run\)", "", out, flags=re.DOTALL).split())
    hold(f"report/compare.{form}", out, family)
    if form == "md":
        check("report/compare_short.md.txt", placeless(said("compare", *runs[1:], "-f", form, "--flips", 2), family))


def test_gates(family: Path, tmp_path: Path) -> None:
    runs = [family / name / "run" for name in ("teacher-9B", "base-1B")]
    gates = ["--gate", "math500 >= -1", "--gate", "aime* >= -99", "--gate-over", "problems"]
    out = said("compare", *runs, *gates, "--junit", tmp_path / "gates.xml", "--flips", 0, code=3)
    check("report/gates.txt", placeless(out, family, tmp_path))
    check("report/gates.xml", placeless((tmp_path / "gates.xml").read_text(), family, tmp_path))


@pytest.mark.parametrize("ending", ["html", "md", "tex", "json"])
def test_distillation(ending: str, family: Path, tmp_path: Path) -> None:
    path = tmp_path / f"page.{ending}"
    roles = ["--teacher", family / "teacher-9B", "--base", family / "base-1B"]
    said("distill", family / "student-1B-step_100", family / "student-1B-step_300", *roles, "--rounds", "-o", path)
    hold(f"report/distill.{ending}", path.read_text(), family)


def described(figure: Figure) -> list[str]:
    """What a picture shows: words, ticks, and where the points, lines and bars are."""
    lines = []
    for panel in figure.axes:
        lines.append(f"panel {panel.get_xscale()} {panel.get_yscale()} {_numbers(panel.get_xlim(), panel.get_ylim())}")
        words = [panel.get_title(), panel.get_title(loc="left"), panel.get_xlabel(), panel.get_ylabel()]
        words += [text.get_text() for text in (*panel.texts, *panel.get_xticklabels(), *panel.get_yticklabels())]
        lines.append(" | ".join(" ".join(word.split()) for word in words))
        for line in panel.lines:
            x, y = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
            style = f"{line.get_linestyle()} {line.get_marker()} {line.get_color()} {line.get_linewidth():g}"
            lines.append(f" line {style}: {_numbers(x[:12], y[:12])}")
        for patch in panel.patches[:12]:
            lines.append(f" patch {type(patch).__name__}: {_numbers(*patch.get_path().get_extents().get_points())}")
        for one in panel.collections:
            if isinstance(one, LineCollection):
                lines.append(f" bars: {_numbers(*one.get_segments()[:12])}")
                continue
            where: Any = np.ma.filled(np.ma.asarray(one.get_offsets(), dtype=float), np.nan)[:12]
            lines.append(f" points {type(one).__name__}: {_numbers(*where)}")
        if legend := panel.get_legend():
            lines.append(" legend " + " | ".join(text.get_text() for text in legend.get_texts()))
    lines += [f"text {' '.join(text.get_text().split())}" for text in figure.texts]
    lines += [f"legend {' | '.join(t.get_text() for t in legend.get_texts())}" for legend in figure.legends]
    return [*lines, f"size {_numbers(figure.get_size_inches())}"]


def _numbers(*rows: Any) -> str:
    return ", ".join("(" + " ".join(f"{float(v):.4g}" for v in np.asarray(row).ravel()) + ")" for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS.values(), ids=lambda look: look.name)
@pytest.mark.parametrize("kind", KINDS)
def test_picture(kind: str, look: Any, family: Path) -> None:
    students = [family / "student-1B-step_100", family / "student-1B-step_300"]
    several = [family] if kind in ("bars", "tokens", "k", "map", "lengths", "budget") else students
    published = load_published("deepseek-r1")[:12] if kind == "bars" else ()
    task = None if kind in ("bars", "gap", "crossing") else "math500"
    asked = Request(several, task, published, family / "base-1B", family / "teacher-9B", look)
    figure = draw(kind, asked)
    figure.draw_without_rendering()
    check(f"report/pictures/{kind}.{look.name}.txt", "\n".join([*described(figure), *asked.notes]))


def pieces(folder: Path) -> dict[str, Any]:
    """The data of a page by the name of the file, as a browser reads them."""
    found = {}
    for path in sorted((folder / "data").rglob("*.js")):
        text = path.read_text()
        if text.startswith("evalkitPiece("):
            found[path.stem] = json.loads(gzip.decompress(base64.b64decode(text.split('"')[3])))
    return found


def without_pictures(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_pictures(v) for k, v in value.items() if k not in ("svg", "sha256", "bytes")}
    if isinstance(value, list):
        return [without_pictures(v) for v in value]
    return value


@pytest.mark.slow
def test_report_page(texts: Path, tmp_path: Path) -> None:
    runs = texts / "results"
    options = SiteOptions(
        (runs,), students=(runs / "student",), teacher=(str(runs / "teacher"),), base=(str(runs / "base"),)
    )
    write_site(tmp_path / "site", options)
    held = json.dumps(without_pictures(pieces(tmp_path / "site")), ensure_ascii=False)
    check_json("report/page.json", json.loads(placeless(held, texts, tmp_path)))


@pytest.mark.parametrize("to", ["every-eval-ever", "inspect", "lm-eval"])
def test_exports(to: str, texts: Path, tmp_path: Path) -> None:
    written = export_run(texts / "results" / "student" / "run", to, tmp_path / "out")
    held = {}
    for path in sorted(written):
        text = path.read_text()
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        held[path.relative_to(tmp_path / "out").as_posix()] = [len(lines), *map(json.loads, lines[3:6] or lines)]
    check_json(f"report/export_{to}.json", json.loads(placeless(json.dumps(held), texts, tmp_path)))


def test_parquet(texts: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (path,) = export_run(texts / "results" / "student" / "run", "parquet", tmp_path / "out")
    rows = pq.read_table(path).slice(2, 2).to_pylist()
    check_json("report/export_parquet.json", json.loads(placeless(json.dumps(rows, default=str), texts)))


def test_frames(family: Path, texts: Path) -> None:
    board = evalkit.leaderboard(family)
    check("report/frame_leaderboard.csv", placeless(board.to_csv(index=False, float_format="%.6g"), family))
    rows = evalkit.load_results(texts / "results" / "student" / "run").iloc[4:6]
    check("report/frame_results.csv", placeless(rows.to_csv(index=False, float_format="%.6g"), texts))


def test_reports_of_entries(family: Path) -> None:
    for entry in load_entries([family / "student-1B-step_300"])[0]:
        report = entry.report
        metrics = {m.name: [m.value, m.unit, m.interval_run, m.interval_problems, m.note] for m in report.metrics}
        check_json(f"report/entry_{report.task}.json", metrics)


def fidelity(model: str, reason: str = "") -> StudentFidelity:
    """Every measure over three groups of tokens, with and without an interval."""
    groups = ("all", "thinking", "right", "tokens 0 to 99")
    names = [*UNITS, "soft_loss@2", "kl_forward@1", "acceptance@1", "tokens_per_pass@4", "tv@0.6", "teacher_entropy@2"]
    figures = []
    for i, name in enumerate(names):
        unit = UNITS[name.partition("@")[0]]
        for j, group in enumerate(groups[: 2 + i % 3]):
            value = 0.05 * (i + 1) / (j + 1) if unit != "perplexity" else 3.0 + i
            interval = None if i % 4 == 3 else (0.8 * value, 1.3 * value)
            figures.append(FidelityFigure(name, group, value, unit, 1000 * (j + 1), 7, 0.1 * value, interval))
    kept = [f for f in figures if not reason or "bits" in f.measure or "ranking" in f.measure]
    return StudentFidelity(model, f"sha-{model}", 40, 38, reason, ("a note", "x | y"), tuple(kept))


def test_fidelity(family: Path, tmp_path: Path) -> None:
    students = fidelity("lab_x/student-1B-step_300"), fidelity("lab_x/other", "the vocabularies differ")
    settings = {"temperatures": [1.0, 2.0]}
    for author in ("teacher", "", "somebody_else"):
        found = FidelityReport(1, "lab_x/teacher-9B", "sha", "texts_of.jsonl", "digest", author, settings, students)
        check(f"report/fidelity {author or 'unknown'}.md", fidelity_markdown(found))
    check_json("report/fidelity.json", json.loads(fidelity_json(found)))
    again = FidelityReport(
        1, "lab_x/teacher-9B", "sha", "texts_of.jsonl", "digest", "", settings, (fidelity("lab_x/a"),)
    )
    write_fidelity(tmp_path, found)
    write_fidelity(tmp_path, again)
    read = load_fidelity(tmp_path)
    assert read is not None
    assert [s.model for s in read.students] == ["lab_x/a", "lab_x/other", "lab_x/student-1B-step_300"]
    write_fidelity(tmp_path, replace(again, texts_digest="of other texts"))
    read = load_fidelity(tmp_path)
    assert read is not None
    assert [s.model for s in read.students] == ["lab_x/a"], "what was measured on other texts is not kept"


@pytest.mark.parametrize("ending", ["md", "json"])
def test_distillation_of_one_student_with_a_published_teacher(ending: str, family: Path, tmp_path: Path) -> None:
    """Without rounds; fidelity is measured; the base has other problems too."""
    student = tmp_path / "student"
    shutil.copytree(family / "student-1B-step_300", student)
    report = FidelityReport(
        1, "t", "sha", "texts", "digest", "", {}, (fidelity("lab_x/student-1B-step_300", "no why"),)
    )
    write_fidelity(student / "run", report)
    for name, teacher in (
        ("published", "deepseek-r1:DeepSeek-R1-Distill-Qwen-32B"),
        ("runs", str(family / "teacher-9B")),
    ):
        path = tmp_path / f"{name}.{ending}"
        said("distill", student, family / "student-1B-step_100", "--teacher", teacher, "-o", path)
        hold(f"report/distill {name}.{ending}", path.read_text(), family, tmp_path)


def test_samples_are_shown(texts: Path) -> None:
    run = texts / "results" / "student" / "run"
    shown: dict[str, list[Any]] = {
        "": [],
        "wrong": ["--status", "wrong", "--most", 2],
        "cut": ["--cut", "--full"],
        "one": ["--problem", "algebra/01"],
        "prompt": ["--sample", 1, "--prompt", "--most", 2],
    }
    for name, options in shown.items():
        check(f"report/samples {name}.txt", placeless(said("samples", run, *options), texts))
    rows = [json.loads(line) for line in said("samples", run, "--json", "--most", 3).splitlines() if line[:1] == "{"]
    check_json("report/samples.json", json.loads(placeless(json.dumps(rows), texts)))


def test_a_table_s_options_from_a_file(family: Path, tmp_path: Path) -> None:
    options = {
        "rows": 'models = ["lab_x/student*", "DeepSeek-R1"]\npublished = ["deepseek-r1"]\norder = ["name"]\n',
        "groups": 'order = ["*300", "teacher*"]\n[groups]\nsmall = ["*1B*"]\nlarge = ["*9B"]\n',
        "labels": 'metrics = ["pass@2"]\nrows = "ours"\n[labels]\n"lab_x/base-1B" = "Our base"\n',
    }
    for name, text in options.items():
        (tmp_path / "table.toml").write_text(text)
        out = said("leaderboard", family, "-f", "csv", "--config", tmp_path / "table.toml")
        check(f"report/table {name}.csv", placeless(out, family, tmp_path))


WORDS = "".join(f" {i:03}" for i in range(200))  # 800 characters that never repeat


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        (WORDS + "wait, no. " * 60, ((800, 1400, 10),)),  # 600 characters
        (WORDS + "wait, no. " * 59, ()),
        (WORDS + "x" * 20 + "0123456789" * 60 + "0", ((820, 1421, 10),)),
        (WORDS + WORDS[:200] * 4, ((799, 1600, 200),)),  # four times, and the same digit before
        (WORDS + WORDS[:200] * 3, ()),
        ("0123456789" * 60, ((0, 600, 10),)),
        ("0123456789" * 59 + "012345678", ()),
        (WORDS + "wait, no. " * 60 + "#", ((800, 1400, 10),)),  # the last characters may be of another token
        (WORDS + "wait, no. " * 60 + "##", ((800, 1400, 10),)),
        (WORDS + "wait, no. " * 60 + "###", ()),
        ((("L" * 200 + "\n") + "b\n") * 4, ((0, 812, 203),)),
        ((("L" * 150 + "\n") + "other {}\n") * 4 + "end of it", ((0, 630, 157),)),
        ("".join("L" * 149 + f"\nother {i}\n" for i in range(4)) + "end", ()),
        ("".join("L" * 200 + f"\nother {i}\n" for i in range(3)) + "end", ()),
        ("".join("L" * 23 + f"\nother {i}\n" for i in range(40)) + "end", ()),
        ("".join("L" * 24 + f"\nother {i}\n" for i in range(40)) + "end", None),
    ],
)
def test_loops_have_ends(text: str, loops: Any) -> None:
    found = find_loops(text)
    assert bool(found) if loops is None else found == loops


def test_scores_without_what_was_found_in_training_sets(family: Path, tmp_path: Path) -> None:
    """AIME has three problems in them, MATH none; the page and the table tell it of each."""

    def task(name: str, problems: int, *ids: str) -> TaskContamination:
        match = Match("exact", 1.0, 1.0, 0.9, "train", 3, "text", None)
        return TaskContamination(
            name, problems, ("0",), tuple(ProblemMatches(i, "exact", 1, None, (match,)) for i in ids)
        )

    tasks = {"aime24": task("aime24", 9, "p0", "p3", "p8"), "math500": task("math500", 16)}
    found = tmp_path / "found.json"
    Contamination(({"name": "train"},), tasks, {}).save(found)
    out = said("leaderboard", family, "-f", "csv", "--without-contaminated", found)
    check("report/clean leaderboard.csv", placeless(out, family, tmp_path))
    roles = ["--teacher", family / "teacher-9B", "--base", family / "base-1B", "--without-contaminated", found]
    for ending in ("md", "json"):
        said("distill", family / "student-1B-step_300", *roles, "-o", tmp_path / f"page.{ending}")
        hold(f"report/clean distill.{ending}", (tmp_path / f"page.{ending}").read_text(), family, tmp_path)


def test_students_are_no_chain_unless_that_is_said(family: Path) -> None:
    students = [family / "student-1B-step_100", family / "student-1B-step_300"]
    assert not evalkit.distillation(students, teacher=family / "teacher-9B").rounds
    assert len(evalkit.distillation(students, teacher=family / "teacher-9B", rounds=True).rounds) > 0
