"""Which rows and columns a table has, their names and order, what is bold, and how it fits a terminal and a page."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pexpect
import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems
from helpers import EVALKIT, REPOSITORY, told, write_recorded
from helpers import evalkit as run_evalkit
from synthetic_runs import solve_rates, write_run

from evalkit.cli.leaderboard import groups
from evalkit.errors import EvalkitError
from evalkit.results.entries import load_entries
from evalkit.results.formats import renderer
from evalkit.results.formats.notes import finished
from evalkit.results.formats.renderers import html, latex, md, terminal, typst
from evalkit.results.formats.renderers.csv import render as render_csv
from evalkit.results.formats.table import Cell, Column, Row, Table, is_mark, joined_marks, mark, split_marks
from evalkit.results.labels import run_labels
from evalkit.results.leaderboard import build_table
from evalkit.results.published import load_published
from evalkit.results.table_options import TableOptions, build, load_options
from evalkit.store.lines import encode_line
from evalkit.types import Interval, Metric

TITLES = {"aime24": "AIME 2024", "math500": "MATH-500"}
STUDENT = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
Rates = Mapping[str, Sequence[Sequence[bool]]]


def rates(aime: float, math: float, seed: int) -> Rates:
    return {"aime24": solve_rates(30, 64, aime, seed), "math500": solve_rates(80, 4, math, seed)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    models = (("base/checkpoint-100", 0.1, 0.4), ("sft/checkpoint-100", 0.4, 0.7), ("org/teacher", 0.75, 0.95))
    for i, (model, aime, math) in enumerate(models):
        write_run(folder / model / "run", model, rates(aime, math, i), titles=TITLES)
    return folder


def table(results: Path, **options: object) -> Table:
    return build(TableOptions(**options), load_entries([results])[0])  # type: ignore[arg-type]


def test_marks_go_on_as_raised_letters_and_stand_apart() -> None:
    assert joined_marks(mark(i) for i in range(9)) == "†,‡,§,¶,‖,#,ᵃ,ᵇ,ᶜ"
    every = [mark(i) for i in range(80)]
    assert len(set(every)) == 80
    assert all(map(is_mark, every))
    assert split_marks(joined_marks(every)) == every
    assert not any(map(is_mark, ("cut", "", "a", "††", "ᵃᵇ", "†ᵃ", "⁷")))


def labels(found: Table) -> list[str]:
    return [row.label for row in found.rows]


def test_two_checkpoints_of_one_name_are_told_apart(results: Path) -> None:
    assert labels(table(results)) == ["base/checkpoint-100", "teacher", "sft/checkpoint-100"]


def test_the_spelling_of_a_path_is_not_in_the_name(tmp_path: Path) -> None:
    for i, model in enumerate(("./models/teacher/", "models/base")):
        write_run(tmp_path / str(i) / "run", model, rates(0.3, 0.5, 0))
    assert sorted(run_labels(load_entries([tmp_path])[0]).values()) == ["base", "teacher"]


def test_two_runs_of_one_model_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / "m" / name, "org/m", rates(0.3, 0.5, 0))
    assert sorted(run_labels(load_entries([tmp_path])[0]).values()) == ["m (a)", "m (b)"]


def test_names_rows_columns_and_order_are_chosen(results: Path) -> None:
    found = table(results, labels={"teacher": "Big one"}, models=("*checkpoint*", "Big one"), order=("Big*", "sft/*"))
    assert labels(found) == ["Big one", "sft/checkpoint-100", "base/checkpoint-100"]
    found = table(results, tasks=("math500", "aime24:cons@64"))
    assert [(c.task, c.metric) for c in found.columns] == [("math500", "pass@1"), ("aime24", "cons@64")]
    assert labels(table(results, order=("score",))) == ["teacher", "sft/checkpoint-100", "base/checkpoint-100"]


def test_groups_are_headings(results: Path) -> None:
    by_word = table(results, groups={"teacher": (), "base": ()})
    assert [(row.group, row.label) for row in by_word.rows] == [
        ("teacher", "teacher"), ("base", "base/checkpoint-100"), ("others", "sft/checkpoint-100"),
    ]  # fmt: skip
    text = md.render(table(results, groups={"students": ("sft/*",), "base": ()}))
    assert text.index("**students**") < text.index("sft/checkpoint-100") < text.index("**base**")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tasks": ("aime25",)}, "no column 'aime25'"),
        ({"tasks": ("math500", "aime24:pass@3")}, "no column 'aime24:pass@3'"),
        ({"order": ("nobody",)}, "No row fits 'nobody'"),
        ({"labels": {"nobody": "x"}}, "no run or model 'nobody'"),
        ({"groups": {"pupils": ()}}, "No row is in the group 'pupils'"),
        ({"groups": {"base": (), "pupils": ()}}, "No row is in the group 'pupils'"),
        (
            {"groups": {"base": ("base/*",), "rest": ("sft/*", "nobody*")}},
            "No row fits 'nobody\\*' of the group 'rest'",
        ),
        ({"models": ("nobody",)}, "has no row"),
        ({"models": ("nobody",), "tasks": ("aime24",)}, "has no row"),
        ({"rows": "theirs"}, "rows is 'theirs'"),
        ({"label": "tab}{x"}, "cannot be a label"),
        ({"published": ("deepseek-r1:nobody",)}, "no model 'nobody'"),
    ],
)
def test_what_fits_nothing_is_an_error(results: Path, options: dict[str, object], error: str) -> None:
    with pytest.raises(EvalkitError, match=error):
        table(results, **options)


def test_an_unknown_column_is_told_with_those_that_there_are(results: Path) -> None:
    for tasks in (("nope",), ("aime24", "nope:pass@1")):
        with pytest.raises(EvalkitError) as raised:
            table(results, tasks=tasks)
        assert raised.value.message == f"There is no column {tasks[-1]!r}."
        assert raised.value.hint.startswith("there are: ")
        assert {"aime24", "math500"} <= set(raised.value.hint.removeprefix("there are: ").rstrip(".").split(", "))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["base,teacher"], {"base": (), "teacher": ()}),
        (["students=sft/*, rl/*"], {"students": ("sft/*", "rl/*")}),
        (["base=Q*,teacher=*R1,a b=*D*,x/*"], {"base": ("Q*",), "teacher": ("*R1",), "a b": ("*D*", "x/*")}),
        (["base,own=r/*", "x=*n=64*,*t=1*,a/t=2"], {"base": (), "own": ("r/*",), "x": ("*n=64*", "*t=1*", "a/t=2")}),
    ],
)
def test_groups_of_one_option_are_told_apart(given: list[str], expected: dict[str, tuple[str, ...]]) -> None:
    context = click.Context(click.Command("x"))
    assert groups(context, click.Option(["--group"]), tuple(given)) == expected


def test_published_rows_are_those_asked_for_or_of_our_models_or_the_six_students(results: Path, tmp_path: Path) -> None:
    def published(folder: Path, *tables: str, **options: object) -> list[str]:
        return [row.model for row in table(folder, published=tables, **options).rows if row.published]

    every = list(dict.fromkeys(f.model for f in load_published("deepseek-r1")))
    students = [model for model in every if "Distill" in model]
    assert published(results, "deepseek-r1") == students
    assert len(students) == 6
    assert published(results, "deepseek-r1:o1-*") == ["o1-mini"]
    assert published(results, "deepseek-r1:*") == every
    assert published(results, "deepseek-r1", models=("teacher", "o1-mini")) == ["o1-mini"]
    assert published(results, "deepseek-r1", rows="published") == every
    write_run(tmp_path / "own" / "run", STUDENT, rates(0.3, 0.8, 0))
    assert published(tmp_path, "deepseek-r1") == ["DeepSeek-R1-Distill-Qwen-1.5B"]
    assert [row.published for row in table(tmp_path, published=("deepseek-r1",), rows="ours").rows] == [False]


def test_a_model_of_two_sources_is_told_apart_by_them(results: Path) -> None:
    name = "deepseek-r1-other-models"
    alone = [row.label for row in build_table([], load_published(name)).rows]
    assert [label for label in alone if "o1-mini" in label] == ["o1-mini (Table 4)", "o1-mini (Table 2)"]
    assert len(set(alone)) == len(alone)
    beside = [row.label for row in table(results, published=(f"{name}:o1-*",)).rows if row.published]
    assert "o1-mini (published, Table 2)" in beside
    assert "o1-1217 (published)" in beside
    grouped = table(results, published=(f"{name}:o1-*",), groups={"published": ("o1-*",)})
    assert "o1-mini (Table 2)" in [row.label for row in grouped.rows]
    long = [row.label for row in build_table([], load_published("reproductions")).rows]
    assert max(map(len, long)) < 80


def best(folder: Path) -> list[str]:
    return [row.model for row in build_table(load_entries([folder])[0]).rows if row.cells[0] and row.cells[0].best]


def test_nothing_is_bold_where_nothing_is_better(tmp_path: Path) -> None:
    for name in "abcd":
        write_run(tmp_path / "zero" / name, name, {"aime24": [[False] * 4] * 30})
        write_run(tmp_path / "alike" / name, name, {"aime24": solve_rates(30, 4, 0.5, ord(name))})
    assert best(tmp_path / "zero") == []
    assert best(tmp_path / "alike") == []


def test_a_shared_tie_is_bold_where_it_beats_the_rest(tmp_path: Path) -> None:
    for name, right in (("a", 24), ("b", 24), ("c", 4)):
        write_run(tmp_path / name, name, {"aime24": [[i < right] * 4 for i in range(30)]})
    assert best(tmp_path) == ["a", "b"]


def test_the_best_has_to_beat_every_other(tmp_path: Path) -> None:
    for name, right in (("a", 24), ("b", 23), ("c", 4)):
        write_run(tmp_path / name, name, {"aime24": [[i < right] * 4 for i in range(30)]})
    assert best(tmp_path) == []


TOML = """
runs = ["results"]
published = ["deepseek-r1:*Qwen-*B", "own.csv:x"]
tasks = ["aime24:pass@1", "math500"]
order = ["teacher"]
title = "Ours & theirs"
label = "tab:r1"

[labels]
"org/teacher" = "Teacher"
"sft/checkpoint-100" = "Student_1"

[groups]
ours = ["Teacher", "Student_1", "base/*"]
paper = ["DeepSeek-*", "x"]
"""


@pytest.mark.slow
def test_a_config_file_is_the_same_as_the_options(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    (tmp_path / "own.csv").write_text(
        "model,benchmark,task,metric,value,source\nx,AIME 2024,aime24,pass@1,12.3,somebody\n"
    )
    (tmp_path / "table.toml").write_text(TOML.replace('order = ["teacher"]\n', ""))
    by_file = run_evalkit("leaderboard", "--config", tmp_path / "table.toml").stdout
    options = ["--published", "deepseek-r1:*Qwen-*B", "--published", f"{tmp_path}/own.csv:x"]
    options += ["-t", "aime24:pass@1,math500"]
    options += ["--label", "org/teacher=Teacher", "--label", "sft/checkpoint-100=Student_1"]
    options += ["--group", "ours=Teacher,Student_1,base/*", "--group", "paper=DeepSeek-*,x"]
    assert run_evalkit("leaderboard", tmp_path / "results", *options).stdout == by_file
    assert "12.3" in by_file
    assert by_file.index("Teacher") < by_file.index("DeepSeek-R1-Distill-Qwen-1.5B")
    again = run_evalkit("leaderboard", "--config", tmp_path / "table.toml", "-o", tmp_path / "t.tex")
    assert "wrote" in again.stderr
    assert "\\label{tab:r1}" in (tmp_path / "t.tex").read_text()
    with pytest.raises(EvalkitError, match="No row fits 'teacher'"):
        build(TableOptions(order=("teacher",), rows="published", published=("deepseek-r1",)), [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "error"),
    [("labels = 3", "labels in"), ("row = 'ours'", "unknown key 'row'. Did you mean rows?"), ("x = = 1", "cannot be"),
     ("tasks = 'aime24'", "tasks in")],
)  # fmt: skip
def test_a_config_file_that_is_wrong_is_named(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(EvalkitError, match=re.escape(error)):
        load_options(tmp_path / "t.toml")
    assert "t.toml" in told(run_evalkit("leaderboard", "--config", tmp_path / "t.toml", code=2))


def on_a_terminal(columns: int, *arguments: object) -> str:
    """What the command prints on a terminal of that width."""
    environment = {**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("COLUMNS", None)
    child = pexpect.spawn(str(EVALKIT), list(map(str, arguments)), dimensions=(50, columns), encoding="utf-8",
                          env=environment, cwd=str(REPOSITORY), timeout=120)  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before).replace("\r\n", "\n")


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("verbose", [False, True])
def test_a_terminal_gets_a_table_that_fits(results: Path, columns: int, verbose: bool) -> None:
    arguments = ["leaderboard", results, "--published", "deepseek-r1", *(["-v"] if verbose else [])]
    shown = on_a_terminal(columns, *arguments)
    text = visible(shown)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= columns
    for markdown in ("|", "\\_", "&lt;", "**", "\\*"):
        assert markdown not in text
    assert "─" in text
    assert "\x1b[1m" in shown
    for figure in ("28.9", "CodeForces", "1633"):
        assert figure in text
    joined = " ".join(text.split())
    assert ("n=64, 0.0% cut" in joined) == verbose
    assert "percent (CodeForces: rating); ±: 95%, run to run" in joined
    whole_interval = r"±\d+\.\d / ±\d+\.\d" if verbose else r"\d+\.\d ±\d+\.\d"
    assert columns == 80 or re.search(whole_interval, text)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 140])
def test_a_comparison_fits_a_terminal(results: Path, columns: int) -> None:
    text = visible(on_a_terminal(columns, "compare", results / "base", results / "sft", results / "org", "-v"))
    assert max(map(len, text.splitlines())) <= columns
    assert "|" not in text
    assert "is better than" in " ".join(text.split())


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 110])
def test_the_summary_of_a_run_fits_a_terminal(tmp_path: Path, columns: int) -> None:
    texts = {problem.id: ["none"] for problem in arithmetic_problems()[:4]}
    recorded = write_recorded(tmp_path / "recorded.jsonl", texts, task="arithmetic")
    chosen = ("-t", "arithmetic", "-n", 1, "--limit", 4, "--engine", "replay", "--recorded", recorded)
    text = visible(on_a_terminal(columns, "run", "o/m", *chosen, "--results", tmp_path / "results", "--quiet"))
    before = text[: text.index("percent; ±")].splitlines()
    first = next(i for i, line in enumerate(before) if line.startswith(("task  ", "Two-digit arithmetic: problems")))
    summary = before[first:]
    assert max(map(len, summary)) <= columns
    assert not any("|" in line for line in summary)
    assert "pass@1" in " ".join(summary)
    assert "wrong 4" in " ".join(summary)


def test_a_table_too_wide_for_a_terminal_goes_on_below(results: Path) -> None:
    metrics = tuple(f"pass@{k}" for k in (2, 4, 8, 16, 32, 64))
    text = terminal.render(table(results, metrics=metrics), width=60)
    assert text.count("model") > 1
    assert max(map(len, text.splitlines())) <= 60
    for k in (2, 64):
        assert f"pass@{k}" in text


def test_a_terminal_shows_no_control_characters(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "a\x1b]0;evil\x07b\x1b[31m", {"aime24": solve_rates(5, 4, 0.5)})
    text = terminal.render(build_table(load_entries([tmp_path])[0]), colour=True)
    assert set(re.findall(r"\x1b\[[^m]*m", text)) <= {"\x1b[1m", "\x1b[2m", "\x1b[0m"}
    assert "\x07" not in text
    assert "\x1b" not in re.sub(r"\x1b\[[012]m", "", text)


def test_a_pipe_gets_markdown(results: Path) -> None:
    out = run_evalkit("leaderboard", results).stdout
    assert out.splitlines()[2].startswith("| model |")
    assert "\x1b" not in out
    assert re.search(r"\| \d+\.\d ±\d+\.\d \|", out)


PAPER = {
    "GPT-4o-0513": "9.3 13.4 74.6 49.9 32.9 759",
    "Claude-3.5-Sonnet-1022": "16.0 26.7 78.3 65.0 38.9 717",
    "o1-mini": "63.6 80.0 90.0 60.0 53.8 1820",
    "QwQ-32B-Preview": "50.0 60.0 90.6 54.5 41.9 1316",
    "DeepSeek-R1-Distill-Qwen-1.5B": "28.9 52.7 83.9 33.8 16.9 954",
    "DeepSeek-R1-Distill-Qwen-7B": "55.5 83.3 92.8 49.1 37.6 1189",
    "DeepSeek-R1-Distill-Qwen-14B": "69.7 80.0 93.9 59.1 53.1 1481",
    "DeepSeek-R1-Distill-Qwen-32B": "72.6 83.3 94.3 62.1 57.2 1691",
    "DeepSeek-R1-Distill-Llama-8B": "50.4 80.0 89.1 49.0 39.6 1205",
    "DeepSeek-R1-Distill-Llama-70B": "70.0 86.7 94.5 65.2 57.5 1633",
}


@pytest.mark.parametrize("ending", ["md", "tex", "html", "typ"])
def test_the_papers_table_by_one_command(tmp_path: Path, ending: str) -> None:
    run_evalkit("leaderboard", "--published", "deepseek-r1", "-o", tmp_path / f"t.{ending}")
    text = (tmp_path / f"t.{ending}").read_text()
    if ending == "html":
        rows = re.findall(r'<tr[^>]*><th scope="row"[^>]*>([^<]*)</th>(.*?)</tr>', text)
        found = {name: " ".join(re.findall(r"<td[^>]*>([^<]*)", cells)) for name, cells in rows}
    elif ending == "typ":
        rows = re.findall(r"^ +\[((?:[^\]\\]|\\.)*)\], (\[.*\]),$", text, re.MULTILINE)
        found = {re.sub(r"\\(.)", r"\1", n): " ".join(re.findall(r"\[(\d[\d.]*)\]", cells)) for n, cells in rows}
    else:
        cut, columns = (r" *\| *", slice(1, -1)) if ending == "md" else (r" *(?:&|\\\\) *", slice(0, -1))
        lines = [re.split(cut, line)[columns] for line in text.splitlines() if re.match(r"\|? ?[A-Za-z0-9]", line)]
        found = {cells[0]: " ".join(cells[1:]) for cells in lines if len(cells) == 7}
    assert {name: found.get(name) for name in PAPER} == PAPER


def test_two_of_our_runs_stand_beside_the_papers_table(tmp_path: Path) -> None:
    for name in ("1.5B", "7B"):
        model = f"deepseek-ai/DeepSeek-R1-Distill-Qwen-{name}"
        write_run(tmp_path / name / "run", model, rates(0.3, 0.8, len(name)), titles=TITLES)
    out = run_evalkit("leaderboard", tmp_path, "--published", "deepseek-r1:*").stdout
    rows = [line.split(" | ")[0].strip("| ") for line in out.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 12
    for name in ("1.5B", "7B"):
        at = rows.index(f"DeepSeek-R1-Distill-Qwen-{name} (published)")
        assert rows[at + 1] == f"DeepSeek-R1-Distill-Qwen-{name}"


def has_tex(*packages: str) -> bool:
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    return all(subprocess.run(["kpsewhich", f"{name}.sty"], capture_output=True).returncode == 0 for name in packages)


@pytest.mark.skipif(not has_tex("siunitx", "threeparttable", "booktabs"), reason="needs TeX with siunitx")
def test_latex_compiles_and_fits_the_page(results: Path, tmp_path: Path) -> None:
    hostile = r"a_b%&\input{/etc/passwd}$x^2$~#{}"
    write_run(tmp_path / "x" / "run", hostile, rates(0.2, 0.5, 7), titles=TITLES)
    write_run(tmp_path / "x" / "bracket", "[1em]*", rates(0.2, 0.5, 9), titles=TITLES)
    write_run(tmp_path / "x" / "long", "a-very-long-name-" * 5, rates(0.2, 0.5, 8), titles=TITLES)
    entries = load_entries([results, tmp_path / "x"])[0]
    options = TableOptions(published=("deepseek-r1",), title="Ours & 5%", label="tab:x", groups={"teacher": ()})
    found = build(options, entries)
    wide = build(TableOptions(metrics=("pass@2", "pass@4", "pass@8"), label="tab:wide"), entries)
    tables = (found, wide, replace(found, verbose=True, label="tab:long"))
    (tmp_path / "t.tex").write_text("".join(map(latex.render, tables)))
    (tmp_path / "doc.tex").write_text(
        "\\documentclass[twocolumn]{article}\\usepackage[T1]{fontenc}\n"
        "\\usepackage{booktabs,threeparttable,siunitx,textcomp}\n\\begin{document}\\input{t.tex}\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log
    assert "Overfull" not in log
    assert "siunitx Warning" not in log
    assert "{[}1em{]}{*}" in (tmp_path / "t.tex").read_text()


def test_latex_has_a_label_a_short_caption_and_notes(results: Path) -> None:
    text = latex.render(table(results, title="Distilled models", label="tab:d"))
    assert text.count("\\label{tab:d}") == 1
    assert "\\caption{Distilled models}\n" in text
    assert text.index("\\begin{tablenotes}") > text.index("\\end{tabular}")
    assert "S[table-format=2.1]" in text
    assert "resizebox" not in text


def test_html_sorts_with_its_own_script_alone(results: Path) -> None:
    text = html.render(table(results))
    assert text.count("<script") == 1
    assert "http" not in text.replace("http-equiv", "")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]+'", text)
    assert text.count('<button type="button">') == 4
    values = [float(v) for v in re.findall(r'<td data-value="([^"]*)"', text)]
    assert len(values) == 9


def test_typst_escapes_what_means_something_to_it() -> None:
    assert typst.typst_escape("#a_b*c$[x]<l>@y\\") == r"\#a\_b\*c\$\[x\]\<l\>\@y\\"


def test_a_lone_run_is_not_the_best_and_keeps_its_marks(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", "m", {"aime24": solve_rates(5, 4, 0.9)}, available=30)
    path = folder.files("aime24").scores_path
    lines = path.read_text().splitlines()
    spoilt = {k: v for k, v in json.loads(lines[0]).items() if k != "crc"} | {"status": "error", "value": 0.0}
    path.write_bytes(encode_line(spoilt) + "".join(f"{line}\n" for line in lines[1:]).encode())
    found = build_table(load_entries([tmp_path])[0])
    cell = found.rows[0].cells[0]
    assert cell is not None
    assert (cell.best, cell.mark, cell.errors) == (False, "†,‡", 1)
    assert found.notes[:2] == [
        "† subset of 5 of 30 problems: another benchmark.",
        "‡ 1 of 20 samples were spoilt by the engine or the grader and count as 0.",
    ]


def test_of_two_runs_with_other_settings_the_first_is_the_usual_one(tmp_path: Path) -> None:
    """No setting is more common: one of the two has the mark, and neither is the best of the other."""
    for name, limit in (("a", 32768), ("b", 4096)):
        write_run(tmp_path / name / "r", name, {"aime24": solve_rates(30, 8, 0.2 + 0.7 * (name == "b"))}, limit=limit)
    found = build_table(load_entries([tmp_path])[0])
    assert [row.cells[0].mark if row.cells[0] else None for row in found.rows] == ["", "†"]
    assert best(tmp_path) == []


def test_each_source_has_a_row_and_a_note_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "org/DeepSeek-R1-Distill-Qwen-1.5B", {"aime24": solve_rates(30, 64, 0.29)})
    paper = [f for f in load_published("deepseek-r1") if f.model.endswith("Qwen-1.5B")]
    other = [f for f in load_published("nemo-skills") if f.model.endswith("Qwen-1.5B") and f.task == "aime24"]
    silent = [replace(f, source="a blog", protocol="", settings={}, note="early") for f in other[:1]]
    found = build_table(load_entries([tmp_path])[0], [*paper, *other, *silent])
    assert [row.published for row in found.rows] == [True, True, True, False]
    sources = [{cell.source for cell in row.cells if cell is not None} for row in found.rows[:3]]
    assert sources == [{paper[0].source}, {other[0].source}, {"a blog"}]
    assert [note for note in found.notes if note.startswith("published: ")] == [
        f"published: {source}." for source in (paper[0].source, other[0].source, "a blog")
    ]
    assert [note for note in found.notes if note.endswith(": early.")] == [
        f"{silent[0].model}, AIME 2024 pass@1 {silent[0].value:g}: early."
    ]
    at = [(c.task, c.metric) for c in found.columns].index(("aime24", "pass@1"))
    figures = [cell.value for row in found.rows[:3] if (cell := row.cells[at]) is not None]
    assert figures == [paper[0].value, other[0].value, silent[0].value]


def test_a_source_that_tells_no_settings_is_named_and_no_other(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "org/DeepSeek-R1-Distill-Qwen-1.5B", {"aime24": solve_rates(30, 64, 0.29)})
    [figure] = [
        f for f in load_published("deepseek-r1") if f.model.endswith("Qwen-1.5B") and f.column == ("aime24", "pass@1")
    ]
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        ({"protocol": "", "settings": {}, "source": "a blog"}, True),
        ({"protocol": "", "settings": {"temperature": "0.6"}}, False),
    ]
    for changes, silent in cases:
        found = build_table(load_entries([tmp_path])[0], [replace(figure, **changes)])
        told = [note for note in found.details if "are not known; z assumes" in note]
        assert told == (["The settings of a blog are not known; z assumes that they equal ours."] if silent else [])


def cell(value: float, n: int = 4, metric: str = "pass@1", **fields: Any) -> Cell:
    unit: Any = "rating" if metric == "rating" else "%"
    found = Metric(metric, value, 30 * n, unit, 0.8, Interval(value - 1.6, value + 1.6))
    return Cell(found, n=n, **{"problems": 30, "truncated": 0.0, **fields})


def by_hand(cells: Mapping[str, Sequence[Cell | None]], titles: Sequence[str] = ("AIME 2024",), **fields: Any) -> Table:
    """A table of these rows; one whose name begins with "published" is a published one."""
    metrics = [next((row[i] for row in cells.values() if row[i] is not None), None) for i in range(len(titles))]
    columns = [Column(t, t, m.metric.name if m else "pass@1") for t, m in zip(titles, metrics, strict=True)]
    rows = [Row(name, name, list(row), published=name.startswith("published")) for name, row in cells.items()]
    return Table(columns, rows, **fields)


def test_a_column_tells_the_fewest_and_the_most_of_our_samples() -> None:
    rows: dict[str, list[Cell | None]] = {"a": [cell(1, 16)], "published": [cell(2, 64)], "b": [cell(3, 4)]}
    rows["c"] = [None]
    assert by_hand(rows).heads(0) == ["AIME 2024", "pass@1", "n=4–16"]
    assert by_hand({"a": [cell(1, 16)], "b": [cell(3, 16)]}).basis(0) == "n=16"
    assert by_hand({"a": [cell(1, 4, most_n=37)]}).basis(0) == "n=4–37"
    theirs = {"published a": [cell(1, 16, source="x")], "published b": [cell(1, 16, source="y")]}
    assert by_hand(theirs).basis(0) == "n=16"
    assert by_hand({**theirs, "published c": [cell(1, 8, source="y")]}).basis(0) == "n=8–16"
    silent = replace(cell(1, source="x"), n=None)
    assert by_hand({"published": [silent]}).basis(0) == "n unknown"
    assert by_hand({**theirs, "published c": [silent]}).basis(0) == "n=16 or unknown"


def test_a_published_n_that_is_not_in_the_head_has_one_mark_for_all() -> None:
    silent = replace(cell(70, source="x"), n=None)
    rows: dict[str, list[Cell | None]] = {
        "ours": [cell(60, 4, mark="†"), cell(61, 4), None],
        "published a": [cell(62, 64, source="x"), silent, silent],
        "published b": [cell(63, 4, source="x"), silent, silent],
    }
    titles = ("A", "B", "C")
    table = by_hand(rows, titles, notes=["† a subset.", "‡ of a row that is not shown.", "last."])
    found = finished(table)
    assert [[c.mark if c else None for c in row.cells] for row in found.rows] == [
        ["†", "", None], ["‡", "§", ""], ["", "§", ""],
    ]  # fmt: skip
    assert [found.basis(i) for i in range(3)] == ["n=4", "n=4", "n unknown"]
    assert found.notes == [
        "† a subset.", "‡ published figure: n=64.", "§ published figure: n unknown.", "published: x.", "last.",
    ]  # fmt: skip
    full = finished(replace(table, verbose=True))
    assert [c.mark if c else None for c in full.rows[1].cells] == ["", "", ""]


@pytest.mark.parametrize("form", ["md", "latex", "html", "terminal", "typst"])
def test_every_format_tells_the_n_of_published_figures(form: str, tmp_path: Path) -> None:
    data = {"aime24": solve_rates(30, 4, 0.2), "math500": solve_rates(80, 4, 0.8)}
    write_run(tmp_path / "r", "org/m", data, titles=TITLES)
    options = TableOptions(published=("deepseek-r1:*Qwen-7B",), tasks=("aime24:pass@1", "math500"))
    text = renderer(form)(build(options, load_entries([tmp_path])[0]))
    text = re.sub(r"\\(\W)", r"\1", text) if form == "typst" else text
    assert "published figure: n=64." in text
    assert "published figure: n unknown." in text
    assert "needs 64 samples" not in text


def test_notes_are_of_what_is_shown(results: Path) -> None:
    every = table(results, published=("deepseek-r1:*",))
    assert any("README has 44.0" in note for note in every.notes)
    assert any(note.startswith("published: ") for note in every.notes)
    assert any("not compared, as no published figure" in note for note in every.notes)
    one = table(results, published=("deepseek-r1:*",), tasks=("math500",))
    assert not any("README has" in note for note in one.notes)
    ours = table(results, published=("deepseek-r1:*",), rows="ours")
    assert not any(note.startswith("published") for note in ours.notes)


def test_latex_tells_an_n_that_a_whole_column_has_in_its_head_alone() -> None:
    rows: dict[str, list[Cell | None]] = {"a": [cell(60, 4), cell(61, 4)], "published": [cell(62, 4), cell(63, 64)]}
    text = latex.render(by_hand(rows, ("A", "B"), verbose=True))
    assert text.count("n=4") == 3
    assert text.count("n=64") == 1


def test_much_that_was_cut_is_told_the_most_first_and_no_more_than_four() -> None:
    shares = {"a": 0.05, "b": 0.0501, "c": 0.9, "d": 0.2, "e": 0.3, "f": 0.06}
    few = {name: [cell(1, truncated=share)] for name, share in shares.items() if name in "abc"}
    assert by_hand(few).footnotes() == ["cut at the token limit: c on AIME 2024 90%, b on AIME 2024 5%"]
    every = by_hand({name: [cell(1, truncated=share)] for name, share in shares.items()})
    told = "cut at the token limit: c on AIME 2024 90%, e on AIME 2024 30%, d on AIME 2024 20%, f on AIME 2024 6%"
    assert every.footnotes() == [f"{told}, and 1 more: -v shows them"]
    assert by_hand({"a": [cell(1)]}).footnotes() == []
    rows = {"a": [cell(1, truncated=None)], "b": [cell(1)], "published": [cell(1, truncated=None)]}
    assert by_hand(rows).footnotes() == ["cut: unknown for a"]


def test_a_cell_tells_what_it_rests_on_and_how_it_compares() -> None:
    full = cell(83.9, truncated=0.051, errors=2, settled=1, mark="†", z=-0.44, seen=4.04, verdict="within")
    assert full.text() == "83.9† ±1.6"
    assert full.text(verbose=True) == "83.9† ±1.6 (n=4, 5.1% cut, 2 errors (1 settled)) [z=−0.4 within (4.0)]"
    assert cell(50, errors=1).basis() == ["n=4", "0.0% cut", "1 error"]
    assert cell(50, errors=2).basis() == ["n=4", "0.0% cut", "2 errors"]
    assert cell(50, truncated=None).basis() == ["n=4", "cut: unknown"]
    assert cell(50, z=2.31, seen=4.0, verdict="above").comparison() == "z=+2.3 above"
    assert cell(50, z=-0.4, z_most=-2.26, seen=4.0, verdict="n unknown").comparison() == "z=−0.4 to −2.3 n unknown"
    assert cell(50, verdict="subset of 5 problems").comparison() == "subset of 5 problems"
    assert cell(50).comparison() == ""
    row = by_hand({"a": [full], "b": [cell(1)]})
    assert row.verdicts() == ["a against the published figures: AIME 2024 pass@1 z=−0.4 within (4.0)"]


def test_the_units_and_the_options_of_benchmarks_are_told_once() -> None:
    titles = ("AIME 2024", "LiveCodeBench (v5, script)", "CodeForces")
    mixed = by_hand({"a": [cell(1), cell(2), cell(1500, metric="rating")]}, titles)
    assert mixed.caption == "percent (CodeForces: rating); ±: 95%, run to run"
    assert mixed.heads(1)[0] == "LiveCodeBench"
    assert mixed.footnotes() == ["LiveCodeBench: v5, script"]
    alone = by_hand({"a": [cell(1500, metric="rating")]}, ("CodeForces",))
    assert alone.caption.startswith("rating; ")
    two = by_hand({"a": [cell(1), cell(2)]}, ("LCB (v5)", "LCB (v6)"))
    assert [two.heads(i)[0] for i in (0, 1)] == ["LCB (v5)", "LCB (v6)"]
    assert two.footnotes() == []
    assert "bold" not in mixed.caption
    assert by_hand({"a": [cell(1, best=True)]}).caption.endswith("bold: best, beyond chance")


def test_a_record_of_a_cell_has_the_ends_of_its_intervals() -> None:
    [record] = by_hand({"a": [cell(83.9, z=1.5, verdict="within")]}).records()
    assert (record["run_low"], record["value"], record["run_high"]) == pytest.approx((82.3, 83.9, 85.5))
    assert (record["problems_low"], record["problems_high"]) == (None, None)
    assert (record["n"], record["problems"], record["z"], record["verdict"]) == (4, 30, 1.5, "within")


def test_the_options_of_several_benchmarks_share_a_line() -> None:
    table = by_hand({"a": [cell(1), cell(2), cell(3)]}, ("small (imported)", "LCB (v5)", "mc (imported)"))
    assert table.footnotes() == ["small, mc: imported", "LCB: v5"]


def test_a_record_has_the_text_of_its_marks() -> None:
    notes = ["† one.", "§ two.", "ᵃ seven.", "ᵃᵃ ten.", "a note without a mark."]
    rows: dict[str, list[Cell | None]] = {"a": [cell(1, mark="†,§,ᵃ,ᵃᵃ")], "b": [cell(2, mark="ᵃᵃ")], "c": [cell(3)]}
    table = by_hand(rows, notes=notes)
    assert [record["notes"] for record in table.records()] == ["one. two. seven. ten.", "ten.", ""]
    read = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert [(row["mark"], row["notes"]) for row in read] == [
        ("†,§,ᵃ,ᵃᵃ", "one. two. seven. ten."), ("ᵃᵃ", "ten."), ("", ""),
    ]  # fmt: skip
