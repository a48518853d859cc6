"""The table: golden cells, hostile names, protocols that do not mix, the published figures, pandas, model cards."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import evalkit as run_evalkit
from helpers import told
from synthetic_runs import solve_rates, write_run

import evalkit
from evalkit.benchmark.protocols import find_protocol
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.entries import load_entries, setting_differences
from evalkit.results.formats import format_names, renderer
from evalkit.results.formats.model_card import model_card
from evalkit.results.formats.renderers.terminal import render as render_terminal
from evalkit.results.leaderboard import build_table
from evalkit.results.published import PublishedScore, load_published, published_names
from evalkit.results.reproduction import differences, reproduced
from evalkit.results.table_options import TableOptions, build
from evalkit.stats import avg_at_n
from evalkit.types import Metric

HOSTILE = "evil/<script>alert(1)</script>|=`x`_$\\input{/etc/passwd}\n# head\x1b[31m"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    titles = {"aime24": "AIME 2024", "math500": "MATH-500"}
    for name, mean in (("DeepSeek-R1-Distill-Qwen-1.5B", 0.3), ("student", 0.55)):
        tasks = {"aime24": solve_rates(30, 64, mean, 1), "math500": solve_rates(60, 4, mean, 2)}
        write_run(folder / name / "deepseek-r1-0", f"org/{name}", tasks, titles=titles)
    return folder


def test_cells_are_the_statistics_of_the_samples(results: Path) -> None:
    entries, notes = load_entries([results])
    table = build_table(entries)
    assert notes == []
    assert [c.heading for c in table.columns] == ["AIME 2024 pass@1", "AIME 2024 cons@64", "MATH-500 pass@1"]
    expected = avg_at_n(solve_rates(30, 64, 0.3, 1))
    cell = table.rows[0].cells[0]
    assert cell is not None
    assert cell.value == pytest.approx(100 * expected.value)
    assert cell.metric.interval_run == pytest.approx([100 * v for v in expected.interval_run])
    assert cell.metric.interval_problems == pytest.approx([100 * v for v in expected.interval_problems])
    assert (cell.n, cell.problems) == (64, 30)
    assert "\n" not in table.caption
    assert "run to run" in table.caption
    assert "over problems" in replace(table, verbose=True).caption
    best = table.rows[1].cells[2]
    assert best is not None
    assert best.best


@pytest.mark.parametrize("form", format_names())
def test_every_format_holds_every_figure_and_escapes_names(form: str, tmp_path: Path) -> None:
    write_run(tmp_path / "r" / "x", HOSTILE, {"aime24": solve_rates(5, 4, 0.5)}, titles={"aime24": HOSTILE})
    entries, notes = load_entries([tmp_path])
    table = build_table(entries, notes=notes)
    text = renderer(form)(table)
    assert "\x1b" not in text
    figure = f"{100 * avg_at_n(solve_rates(5, 4, 0.5)).value:.1f}"
    assert figure in text
    if form == "html":
        assert text.count("<script") == 1
        assert "alert" not in text.replace("&lt;script&gt;alert(1)", "")
    elif form == "latex":
        assert "\\input" not in text
        assert text.count(r"\begin{table*}") == 1
    elif form == "md":
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) == 3
        assert "<script" not in text
    elif form == "csv":
        parsed = list(csv.DictReader(io.StringIO(text)))
        assert [r["metric"] for r in parsed] == ["pass@1"]
        assert float(parsed[0]["value"]) == pytest.approx(100 * avg_at_n(solve_rates(5, 4, 0.5)).value)
    elif form == "json":
        assert json.loads(text)["cells"][0]["metric"] == "pass@1"
    else:
        assert form in ("terminal", "typst")
        assert "\n# head" not in text


def test_another_protocol_gets_a_mark_and_is_never_the_best(tmp_path: Path) -> None:
    warm = replace(find_protocol("deepseek-r1"), name="warm", temperature=1.0)
    for name, mean, protocol in (("a", 0.3, None), ("b", 0.4, None), ("c", 0.9, warm)):
        write_run(tmp_path / name / "r", name, {"aime24": solve_rates(30, 8, mean)}, protocol=protocol)
    table = build_table(load_entries([tmp_path])[0])
    marks = {row.model: row.cells[0].mark for row in table.rows if row.cells[0]}
    assert marks == {"a": "", "b": "", "c": "†"}
    assert any("temperature 1.0 instead of 0.6" in note for note in table.notes)
    assert [row.model for row in table.rows if row.cells[0] and row.cells[0].best] == ["b"]


def test_columns_of_equal_titles_name_their_tasks(tmp_path: Path) -> None:
    rows = [[True, False], [False, False]]
    alike = {"math500": "In main", "gsm8k": "In main", "aime24": "Other"}
    write_run(tmp_path / "run", "org/a", dict.fromkeys(alike, rows), titles=alike)
    table = build_table(load_entries([tmp_path])[0])
    assert [column.title for column in table.columns] == ["Other", "In main (math500)", "In main (gsm8k)"]
    assert "In main (gsm8k) pass@1" in renderer("md")(table)


def test_all_columns_of_a_task_stand_side_by_side(tmp_path: Path) -> None:
    tasks = {"aime24": solve_rates(30, 4, 0.3), "gpqa_diamond": solve_rates(198, 4, 0.4)}
    write_run(tmp_path / "a" / "r", "a", tasks)
    table = build_table(load_entries([tmp_path])[0], metrics=["pass@2"])
    assert [(column.task, column.metric) for column in table.columns] == [
        ("aime24", "pass@1"), ("aime24", "pass@2"), ("gpqa_diamond", "pass@1"), ("gpqa_diamond", "pass@2"),
    ]  # fmt: skip


def test_settings_that_differ_are_told_in_words() -> None:
    ours = {"asserted": None, "data_unchecked": True, "max_tokens": 64, "top_p": 0.9, "response_prefix": "<think>\n"}
    theirs = {"asserted": True, "data_unchecked": False, "max_tokens": None, "top_p": 0.95, "response_prefix": ""}
    assert setting_differences(
        {**ours, "prompt": "a" * 60, "data": ["1"]}, {**theirs, "prompt": "b", "data": ["2"]}
    ) == [
        "protocol recorded instead of asserted",
        "different data",
        "data not checked instead of checked",
        "token limit 64 instead of not set",
        "different prompt",
        "response's beginning '<think>\\n' instead of ''",
        "top-p 0.9 instead of 0.95",
    ]


def test_an_incomplete_run_is_named_and_not_shown(tmp_path: Path) -> None:
    write_run(tmp_path / "whole" / "r", "whole", {"aime24": solve_rates(5, 2, 0.5)})
    torn = write_run(tmp_path / "torn" / "r", "torn", {"aime24": solve_rates(5, 2, 0.5)})
    scores = torn.files("aime24").scores_path
    scores.write_bytes(b"".join(scores.read_bytes().splitlines(keepends=True)[:-1]))
    entries, notes = load_entries([tmp_path])
    assert [e.report.model for e in entries] == ["whole"]
    assert len(notes) == 1
    assert "9 of 10" in notes[0]
    with pytest.raises(RunIncompleteError):
        load_entries([tmp_path / "torn"])


def test_a_changed_run_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "m" / "r"
    write_run(path, "m", {"aime24": [[True] * 4] * 5})
    before = load_entries([tmp_path])[0][0].report.metric("pass@1")
    write_run(path, "m", {"aime24": [[True] * 4] * 4 + [[False] * 4]})
    after = load_entries([tmp_path])[0][0].report.metric("pass@1")
    assert before is not None
    assert after is not None
    assert (before.value, after.value) == (100.0, 80.0)


def test_the_papers_table_in_full() -> None:
    """Two figures a model that a slip would swap, and the number of cells: ten models times six columns."""
    table = build_table([], load_published("deepseek-r1"))
    assert [c.heading for c in table.columns] == [
        "AIME 2024 pass@1", "AIME 2024 cons@64", "MATH-500 pass@1", "GPQA Diamond pass@1", "LiveCodeBench pass@1",
        "CodeForces rating",
    ]  # fmt: skip
    cells = {row.model: [c.value for c in row.cells if c is not None] for row in table.rows}
    assert len(cells) == 10
    assert all(len(row) == 6 for row in cells.values())
    assert cells["DeepSeek-R1-Distill-Llama-70B"] == [70.0, 86.7, 94.5, 65.2, 57.5, 1633]
    assert cells["DeepSeek-R1-Distill-Qwen-1.5B"] == [28.9, 52.7, 83.9, 33.8, 16.9, 954]
    assert cells["QwQ-32B-Preview"][0] == 50.0
    assert any("README has 44.0" in note for note in table.notes)


@pytest.mark.real_data
def test_published_figures_are_the_collected_ones(data_dir: Path) -> None:
    with (data_dir / "published" / "published_scores.csv").open() as stream:
        collected = [r for r in csv.DictReader(stream) if r["source"] == "DeepSeek_R1.pdf Table 5"]
    ours = [(f.model, f.metric, f.value) for f in load_published("deepseek-r1")]
    assert sorted(ours) == sorted((r["model"], r["metric"], float(r["value"])) for r in collected)


def test_every_published_figure_has_a_source() -> None:
    assert {"deepseek-r1", "open-r1", "sober-reasoning", "nemo-skills"} <= set(published_names())
    for name in published_names():
        for figure in load_published(name):
            assert figure.source
            assert figure.unit == "rating" or 0 <= figure.value <= 100


def test_whether_a_figure_was_reproduced() -> None:
    aime = next(f for f in load_published("deepseek-r1") if f.model.endswith("Qwen-7B") and f.metric == "pass@1")

    def metric(value: float, stderr: float) -> Metric:
        return Metric("pass@1", value, 1920, "%", stderr_run=stderr, stderr_problems=8.0)

    assert reproduced(metric(55.0, 0.9), 64, aime).word == "within"
    assert reproduced(metric(50.0, 0.9), 64, aime).word == "below"
    assert reproduced(metric(60.0, 0.9), 64, aime).word == "above"
    assert reproduced(metric(55.0, 4.0), 2, aime).word == "too few samples"
    z = reproduced(metric(50.0, 0.9), 64, aime).z
    assert z == pytest.approx(-5.5 / (0.9**2 + 0.9**2 + 0.1**2 / 12) ** 0.5, rel=0.01)


@pytest.mark.slow
def test_ours_stands_beside_the_published_figure(results: Path) -> None:
    out = run_evalkit("leaderboard", results, "--published", "deepseek-r1").stdout
    lines = [line for line in out.splitlines() if "Qwen-1.5B" in line and line.startswith("|")]
    assert len(lines) == 2
    assert "28.9" in lines[0]
    assert "(published)" in lines[0]
    assert "z=" not in lines[1]
    assert "Qwen-1.5B against the published figures: AIME 2024 pass@1 z=" in out
    full = run_evalkit("leaderboard", results, "--published", "deepseek-r1", "-v").stdout
    assert "z=" in [line for line in full.splitlines() if "Qwen-1.5B" in line][1]


def test_output_file_and_errors(results: Path, tmp_path: Path) -> None:
    run_evalkit("leaderboard", results, "-f", "json", "-o", tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["cells"]
    assert "no published table" in told(run_evalkit("leaderboard", "--published", "deepseek-r2", code=2))
    assert "no run below" in told(run_evalkit("leaderboard", tmp_path, code=2))


def test_runs_stand_where_paths_do(results: Path, tmp_path: Path) -> None:
    runs = evalkit.load_runs(results)
    whole = evalkit.leaderboard(results)
    assert evalkit.leaderboard(runs).equals(whole)
    assert evalkit.leaderboard([run.path for run in runs]).equals(whole)
    assert len(evalkit.leaderboard(runs[0])) < len(whole)
    assert len(evalkit.load_results(runs)) == len(evalkit.load_results(results))
    assert [run.path for run in evalkit.load_runs(*runs)] == [run.path for run in runs]
    assert len(runs[0].compare(runs[1].path).tasks) == len(runs[0].compare(runs[1]).tasks)
    assert (
        evalkit.distillation(runs[0], teacher=runs[1]).teacher
        == evalkit.distillation(runs[0].path, teacher=[runs[1].path]).teacher
    )
    wrong: list[Callable[[], object]] = [
        lambda: evalkit.leaderboard(3),  # type: ignore[arg-type]
        lambda: evalkit.leaderboard([None]),  # type: ignore[list-item]
        lambda: evalkit.load_results({"a": 1}.values()),  # type: ignore[arg-type]
        lambda: runs[0].compare(runs),  # type: ignore[arg-type]
        lambda: evalkit.distillation(runs[0], teacher=1.5),  # type: ignore[arg-type]
        lambda: evalkit.export_run(runs, "parquet", tmp_path / "no"),  # type: ignore[arg-type]
        lambda: evalkit.log_run(None, "wandb"),  # type: ignore[arg-type]
        lambda: evalkit.rescore(b"run"),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(evalkit.EvalkitError, match=r"which is no run|takes one run and was given \d"):
            call()


def test_pandas(results: Path) -> None:
    samples = evalkit.load_results(results)
    assert len(samples) == 2 * (30 * 64 + 60 * 4)
    assert set(samples.status) <= {"correct", "wrong", "no_answer", "truncated", "error"}
    table = evalkit.leaderboard(results)
    one = table[(table.model == "org/student") & (table.task == "math500")].iloc[0]
    own = samples[(samples.model == "org/student") & (samples.task == "math500")]
    assert one.value == pytest.approx(100 * own.value.mean())


def test_model_card_is_what_huggingface_hub_reads(results: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(load_entries([results / "student"])[0]))
    found = {(r.dataset_name, r.metric_type): r.metric_value for r in getattr(card.data, "eval_results", None) or []}
    assert set(found) == {
        ("AIME 2024", "pass@1"), ("AIME 2024", "cons@64"), ("MATH-500", "pass@1"), ("MATH-500", "cons@4"),
    }  # fmt: skip
    with pytest.raises(EvalkitError, match="one model"):
        model_card(load_entries([results])[0])


def verdicts(folder: Path, table: str) -> dict[str, tuple[str, str, str]]:
    """By run: the word, the reasons and the mark of its AIME pass@1."""
    found = build_table(load_entries([folder])[0], load_published(table))
    at = [(c.task, c.metric) for c in found.columns].index(("aime24", "pass@1"))
    cells = {row.run: row.cells[at] for row in found.rows if not row.published}
    return {run: (cell.verdict, cell.not_compared, cell.mark) for run, cell in cells.items() if cell is not None}


def test_a_run_of_other_problems_or_settings_gets_no_z(tmp_path: Path) -> None:
    r1, model = find_protocol("deepseek-r1"), "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
    aime = {"aime24": solve_rates(30, 64, 0.289, 4)}
    for name in ("same", "again"):
        write_run(tmp_path / "m" / name, model, aime)
    write_run(tmp_path / "m" / "subset", model, {"aime24": solve_rates(5, 4, 0.3)}, available=30)
    write_run(tmp_path / "m" / "warm", model, aime, protocol=replace(r1, temperature=1.0))
    write_run(tmp_path / "m" / "short", model, aime, limit=4096)
    write_run(tmp_path / "m" / "asked", model, aime, protocol=replace(r1, prompts={"math": "{problem}!"}))
    quantized = write_run(tmp_path / "m" / "quantized", model, aime)
    description = json.loads(quantized.description_path.read_text())
    description["identity"]["engine"]["quantization"] = "awq"
    description["tasks"]["aime24"]["identity"]["data_unchecked"] = True
    quantized.rewrite(description)
    found = verdicts(tmp_path, "deepseek-r1")
    assert found["same"][0] in ("within", "above", "below")
    assert found["same"][1:] == ("", "")
    assert found["subset"][0] == "subset of 5 problems"
    assert found["subset"][2]
    assert found["warm"][:2] == ("other settings", "temperature 1.0 instead of 0.6")
    assert "token limit 4096 instead of 32768" in found["short"][1]
    assert found["asked"][1] == "different prompt"
    assert "quantization awq" in found["quantized"][1]
    assert "--allow-changed-data" in found["quantized"][1]
    assert all(mark for run, (_, _, mark) in found.items() if run not in ("same", "again"))
    assert found.keys() == {"same", "again", "subset", "warm", "short", "asked", "quantized"}
    sober = verdicts(tmp_path, "sober-reasoning")["same"]
    assert sober[:2] == ("other settings", "temperature 0.6 instead of 0.8; top-p 0.95 instead of 0.9")


def test_a_run_of_an_unknown_protocol_has_no_other_settings(tmp_path: Path) -> None:
    run = write_run(tmp_path / "m" / "read", "org/DeepSeek-R1-Distill-Qwen-1.5B", {"aime24": solve_rates(30, 4, 0.3)})
    description = json.loads(run.description_path.read_text())
    description["identity"]["engine"]["backend"] = "replay"
    run.rewrite(description)
    assert verdicts(tmp_path, "deepseek-r1")["read"][0] == "settings unknown"
    write_run(tmp_path / "m" / "r1", "org/DeepSeek-R1", {"aime24": solve_rates(30, 4, 0.3)})
    notes = build(TableOptions(published=("deepseek-r1",)), load_entries([tmp_path])[0]).notes
    assert any("replayed from recorded completions: its protocol is unknown" in note for note in notes)
    assert any("org/DeepSeek-R1 (--published deepseek-r1-other-models has it)" in note for note in notes)


def test_names_keep_what_tells_them_apart_on_a_narrow_terminal(tmp_path: Path) -> None:
    model = "org/DeepSeek-R1-Distill-Qwen-1.5B"
    write_run(tmp_path / "m" / "run", model, {"aime24": solve_rates(30, 64, 0.3), "math500": solve_rates(30, 4, 0.8)})
    table = build(TableOptions(published=("deepseek-r1",)), load_entries([tmp_path])[0])
    drawn = render_terminal(table, width=60)
    assert not re.search("^[^ ]*…", drawn, re.MULTILINE), drawn
    assert len(re.findall(r"^1\.5B", drawn, re.MULTILINE)) >= 2, "the published row's and ours"


def test_a_table_on_paper_does_not_ask_for_an_option(tmp_path: Path) -> None:
    for name in "abcdef":
        write_run(tmp_path / name, name, {"aime24": [[False] * 8] * 30}, limit=300)
    table = build_table(load_entries([tmp_path])[0])
    assert "and 2 more: -v shows them" in renderer("md")(table)
    for form in ("latex", "typst"):
        assert "-v shows" not in renderer(form)(table)
        assert all(f"{name} on aime24" in renderer(form)(table) for name in "abcdef")


def test_a_subset_is_marked_without_a_published_table_too(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "m", {"aime24": solve_rates(5, 4, 0.3)}, available=30)
    table = build_table(load_entries([tmp_path])[0])
    cell = table.rows[0].cells[0]
    assert cell is not None
    assert cell.mark == "†"
    assert "† subset of 5 of 30 problems: another benchmark." in table.notes
    assert "subset of 5 problems" in model_card(load_entries([tmp_path])[0])


def test_an_option_of_the_task_that_the_source_did_not_use_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "m", {"aime24": solve_rates(20, 4, 0.2)})
    found = load_entries([tmp_path])[0][0]
    entry = replace(found, report=replace(found.report, task="livecodebench"), available=None)
    paper, theirs = (
        next(f for f in load_published(name) if f.task == "livecodebench" and f.model.endswith("1.5B"))
        for name in ("deepseek-r1", "open-r1")
    )

    def reasons(figure: PublishedScore, options: dict[str, str]) -> list[str]:
        described = replace(entry, settings={**entry.settings, "options": options})
        return [reason for reason in differences(described, figure) if reason != "different prompt"]

    window = {"release": "v4_v5", "window": "all"}
    assert reasons(paper, {}) == reasons(theirs, window) == []
    assert reasons(paper, window) == [
        "release v4_v5 instead of release_v5",
        "window all instead of 2024-08-01:2025-01-31",
    ]
    assert [reason.split(" ")[0] for reason in reasons(theirs, {})] == ["release", "window"]


def test_a_task_of_ones_own_with_a_known_name_is_not_compared_with_its_published_figures(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "org/DeepSeek-R1-Distill-Qwen-1.5B", {"aime24": solve_rates(30, 4, 0.3)})
    entry = load_entries([tmp_path])[0][0]
    figure = next(f for f in load_published("deepseek-r1") if f.task == "aime24" and f.model.endswith("1.5B"))
    own = replace(entry, settings={**entry.settings, "task_file_sha256": "0" * 64})
    assert next(iter(differences(own, figure))) == "a task file's own task with the name aime24"
    assert not any("own task" in reason for reason in differences(entry, figure))


def test_consensus_of_fewer_samples_is_not_put_in_its_column(tmp_path: Path) -> None:
    write_run(tmp_path / "r", "org/DeepSeek-R1-Distill-Qwen-1.5B", {"aime24": solve_rates(30, 16, 0.3)})
    table = build_table(load_entries([tmp_path])[0], load_published("deepseek-r1"))
    ours = next(row for row in table.rows if not row.published)
    assert ours.cells[[(c.task, c.metric) for c in table.columns].index(("aime24", "cons@64"))] is None
    assert any("needs 64 samples per problem; runs with n = 16" in note for note in table.notes)


def test_settings_of_published_figures_are_named_ones() -> None:
    for name in published_names():
        for figure in load_published(name):
            assert figure.protocol in ("", "deepseek-r1", "open-r1", "qwq")
            known = {"temperature", "top_p", "max_tokens", "release", "window"}
            assert figure.settings.keys() <= known


def test_latex_sets_any_name_literally() -> None:
    from evalkit.results.formats.renderers.latex import latex_escape

    escaped = latex_escape("a_b%c&d#e^f~g\\h{i}j$k--,,``''\"<|> –é 数😀ﬁ")
    assert escaped == (
        r"a\_b\%c\&d\#e\textasciicircum{}f\textasciitilde{}g\textbackslash{}h\{i\}j\$k-{}-,{},"
        r"\textasciigrave{}\textasciigrave{}\textquotesingle{}\textquotesingle{}\textquotedbl{}\textless{}\textbar{}"
        r"\textgreater{} --é U+6570U+1F600fi"
    )  # compiled by pdfTeX 1.40.24 as it stands


@pytest.mark.slow
def test_a_description_that_lacks_something_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", "m", {"aime24": solve_rates(3, 2, 0.5)})
    whole = json.loads(run.description_path.read_text())
    for damage, where in (
        ({"model": None}, "model"),
        ({"identity": {}}, "identity.protocol"),
        ({"tasks": {"x": 1}}, "tasks.x"),
    ):
        run.rewrite(whole | damage)
        assert f"run.json is damaged at {where}" in told(run_evalkit("leaderboard", tmp_path, code=2))
    run.rewrite(whole)
    assert "No run has the metric 'pass@7'" in told(run_evalkit("leaderboard", tmp_path, "-m", "pass@7", code=2))
