"""What the tables, pictures and exports refuse, with the sentence and the hint; signs that a number says little."""

from pathlib import Path
from typing import Any

import pytest
from made_runs import completion, description, entry, made, score
from synthetic_runs import solve_rates, write_run

from evalkit.benchmark.registry import installed_task
from evalkit.errors import EvalkitError
from evalkit.results.distill_records import Distillation
from evalkit.results.exports import export_run
from evalkit.results.formats.distillation import render
from evalkit.results.labels import fits, given_labels, named_runs
from evalkit.results.plots.kinds import Request, draw
from evalkit.results.published import PublishedScore, load_published, model_key
from evalkit.results.report import _from_schema_2
from evalkit.results.signs import warning_signs
from evalkit.results.trackers import parse_tracker
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory

HEAD = "model,benchmark,task,metric,value,sd,n,protocol,settings,source,note\n"
COLUMNS = "the columns are model, benchmark, task, metric, value, sd, n, protocol, settings, source, note."


def refusal(call: Any, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(EvalkitError) as raised:
        call(*arguments)
    return raised.value.message, raised.value.hint


@pytest.mark.parametrize(
    "row",
    [
        "m,B,,pass@1,101,,,,,S,", "m,B,,pass@1,-1,,,,,S,", "m,B,,pass@1,x,,,,,S,", "m,B,,pass@1,,,,,,S,",
        ",B,,pass@1,50,,,,,S,", "m,,,pass@1,50,,,,,S,", "m,B,,,50,,,,,S,", "m,B,,pass@1,50,,,,,,",
        "m,B,,pass@1,50,-1,,,,S,", "m,B,,pass@1,50,2e9,,,,S,", "m,B,,pass@1,50,,0,,,S,", "m,B,,pass@1,50,,2.5,,,S,",
        "m,B,,pass@1,50,,2000000000,,,S,", "m,B,,rating,2e9,,,,,S,", "m,B,,pass@1,nan,,,,,S,",
        "m,B,,pass@1,50,,,,temperature,S,", "m,B",
    ],
)  # fmt: skip
def test_a_row_that_is_no_published_figure_is_named(row: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"{HEAD}m,B,,pass@1,50,,,,,S,\n{row}\n")
    message, hint = refusal(load_published, str(path))
    assert message == f"Line 3 of {path} is not a published figure."
    assert hint == (
        "required are model, benchmark, metric, value, source; rates are in percent, 0 to 100; settings are written as "
        "temperature=0.8; top_p=0.9."
    )


def test_a_published_metric_of_several_lines_is_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f'{HEAD}m,B,,"a|b\nc",50,,,,,S,\n', newline="")
    assert [(each.metric, each.value) for each in load_published(str(path))] == [("a|b\nc", 50.0)]


def test_a_published_table_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    rows = [
        "org/M 1,AIME,aime24,pass@1,100,0,1,qwq,temperature=0.8; top_p = 0.9;,S,a note",
        "m,B,,rating,-1000000000,1000000000,1000000000,,,S,",
        "m,B,,pass@1,0,,,,,S,",
    ]
    path.write_text("\ufeff" + HEAD + "\n".join(rows) + "\n", "utf-8")
    first, second, third = load_published(str(path))
    assert first == PublishedScore(
        "org/M 1",
        "AIME",
        "aime24",
        "pass@1",
        100.0,
        0.0,
        1,
        "qwq",
        {"temperature": "0.8", "top_p": "0.9"},
        "S",
        "a note",
    )
    assert (first.column, first.unit) == (("aime24", "pass@1"), "%")
    assert second == PublishedScore("m", "B", "", "rating", -1e9, 1e9, 10**9, "", {}, "S", "")
    assert (second.column, second.unit) == (("B", "rating"), "rating")
    assert third == PublishedScore("m", "B", "", "pass@1", 0.0, None, None, "", {}, "S", "")
    path.write_text("model,benchmark,metric,value,source\nm,B,pass@1,5,S\n")
    assert load_published(str(path)) == [PublishedScore("m", "B", "", "pass@1", 5.0, None, None, "", {}, "S", "")]
    path.write_text("model,benchmark,metric,source\n")
    assert refusal(load_published, str(path)) == (f"{path} has no column value.", COLUMNS)
    path.write_text("")
    assert refusal(load_published, str(path)) == (f"{path} has no column model.", COLUMNS)
    missing = refusal(load_published, str(tmp_path / "none.csv"))
    assert missing[0].startswith(f"The table {tmp_path / 'none.csv'} cannot be read: ")
    assert missing[1] == "pass a CSV file or the name of a published table."
    unknown, hint = refusal(load_published, "deepseek-r2")
    assert unknown.startswith("There is no published table 'deepseek-r2'.")
    assert "deepseek-r1" in unknown
    assert hint.startswith("available: ")
    assert hint.endswith("; or pass a CSV file.")
    assert [model_key(name) for name in ("org/Qwen_2.5 Math/", "a/b--C!", "x")] == ["qwen-2.5-math", "b-c-", "x"]


def test_a_picture_that_cannot_be_drawn_says_what_it_needs(tmp_path: Path) -> None:
    for name in ("base", "student"):
        write_run(tmp_path / name / "run", f"org/{name}", {"aime24": solve_rates(3, 1, 0.5)})
    base, student = tmp_path / "base", tmp_path / "student"
    given: list[dict[str, Any]] = [{"base": base}, {"teacher": base}, {}]
    for kind in ("gap", "crossing", "lineage"):
        for roles in given:
            assert refusal(draw, kind, Request([student], **roles)) == (
                f"{kind} needs a base and a teacher.", "name their runs with --base and --teacher.",
            )  # fmt: skip
    assert refusal(draw, "thinking", Request([student])) == (
        "thinking needs a teacher.", "name its run with --teacher.",
    )  # fmt: skip
    for kind in ("gap", "thinking"):
        assert refusal(draw, kind, Request([base, student], base=base, teacher=student)) == (
            "No run is left for a student: all are the teacher's or the base's.", "name the students' runs too.",
        )  # fmt: skip
    assert refusal(draw, "steps", Request([tmp_path])) == (
        "No run's name tells its training step.", "name checkpoints like checkpoint-500 or step_500.",
    )  # fmt: skip
    other = tmp_path / "other"
    write_run(other / "run", "org/other", {"aime24": solve_rates(3, 1, 0.5), "math500": solve_rates(3, 1, 0.5)})
    _, hint = refusal(draw, "map", Request([other]))
    assert hint == "choose with -t: aime24, math500."
    assert refusal(draw, "map", Request([other], "gpqa"))[1] == hint
    assert refusal(draw, "crossing", Request([student], None, (), base, other)) == (
        "No run has several completions per problem.", "run with -n 2 or more.",
    )  # fmt: skip


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "org/m", {"aime24": [[True]]}).path
    assert refusal(export_run, run, "excel", tmp_path / "out") == (
        "There is no format 'excel' to export to.",
        "every-eval-ever, hf-eval-results, inspect, lm-eval, parquet; a training set is made by `evalkit transfer`.",
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("x")
    for taken in (tmp_path / "full", tmp_path / "full" / "a"):
        assert refusal(export_run, run, "parquet", taken) == (
            f"{taken} exists and is not empty.", "give another folder with -o.",
        )  # fmt: skip
    (run / "out").symlink_to(tmp_path / "elsewhere")
    assert refusal(export_run, run, "parquet", run / "out") == (
        f"{run / 'out'} is a link, which is not followed.", "give another folder with -o.",
    )  # fmt: skip
    nothing: Distillation = None  # type: ignore[assignment]
    assert refusal(render, nothing, "pdf") == (
        "A distillation page cannot be written as .pdf.", "let the file end in .html, .md, .tex, .json.",
    )  # fmt: skip
    assert refusal(parse_tracker, "tensorboard:x") == (
        "There is no experiment tracker 'tensorboard'.", "wandb, mlflow, trackio.",
    )  # fmt: skip
    assert [parse_tracker(to) for to in ("wandb", "mlflow:a:b", "trackio:")] == [
        ("wandb", "evalkit"), ("mlflow", "a:b"), ("trackio", "evalkit"),
    ]  # fmt: skip


def test_runs_get_names_that_tell_them_apart() -> None:
    models = {
        Path("r/one"): ("./org/a/", "deepseek-r1"), Path("r/two"): ("org/a", "qwq"), Path("r/x"): ("org/b", "qwq"),
        Path("s/x"): ("org/b", "qwq"), Path("t"): ("other/c", "qwq"), Path("u"): ("more/c", "qwq"),
    }  # fmt: skip
    names = {
        Path("r/one"): "a (deepseek-r1)", Path("r/two"): "a (qwq)", Path("r/x"): "b (r/x)", Path("s/x"): "b (s/x)",
        Path("t"): "other/c", Path("u"): "more/c",
    }  # fmt: skip
    assert named_runs(models) == names
    given = named_runs(models, {"other/c": "C", "org/b": "B", "two": "Two"})
    assert given == names | {
        Path("t"): "C", Path("r/x"): "B (b (r/x))", Path("s/x"): "B (b (s/x))", Path("r/two"): "Two",
    }  # fmt: skip
    assert refusal(named_runs, models, {"nobody": "N"}) == (
        "There is no run 'nobody' to be labelled 'N'.",
        "name a run's folder or a model: a (deepseek-r1), a (qwq), b (r/x), b (s/x), more/c, other/c.",
    )
    assert given_labels(["a=b", "x=y=z"]) == {"a": "b", "x=y": "z"}
    for text, told in (("=b", "b"), ("a=", "a"), ("ab", "ab")):
        assert refusal(given_labels, [text]) == (f"{told!r} is not a label.", "write RUN=NAME.")
    run = Path("/r/model/run-1")
    patterns = ("/r/model/run-1", "/r/model", "/r", "RUN-*", "model-x", "org/*", "org/")
    assert [p for p in patterns if not fits(p, run, "org/Model-X")] == ["/r", "org/"]


def test_signs_that_a_number_says_little(tmp_path: Path) -> None:
    counts: dict[Any, int] = {"correct": 0, "wrong": 0, "no_answer": 4, "truncated": 0, "error": 0}

    def signs(name: str, texts: list[str], temperature: float = 0.6, prefix: str = "", n: int = 2, **told: Any) -> Any:
        samples = [(p, i) for p in ("a", "b") for i in range(n)]
        lines = [completion(s, text) for s, text in zip(samples, texts, strict=True)]
        own = entry(n=n)
        own["identity"]["sampling"]["temperature"] = temperature
        content = description({"sums": own}, protocol={"name": "mine", "response_prefix": prefix})
        if told.get("left_out"):
            own["imported"] = {"left_out": 3}
        run = made(tmp_path / name, lines, [score(s) for s in samples], content)
        given = told.get("counts", {"correct": 4})
        return warning_signs(RunDirectory(run.path).task("sums"), given, told.get("cut", 0.5), told.get("empty", 0))

    plain = ["1", "2", "3", "4"]
    assert signs("plain", plain) == []
    assert signs("bad", plain, counts=counts, cut=1.0, left_out=True) == ["unfinished log", "all cut", "no answers"]
    assert signs("nearly", plain, counts=counts | {"wrong": 1}, cut=0.99) == []
    assert signs("none", plain, counts={}, cut=1.0) == []
    assert signs("alike", ["1", "1", "2", "2"], 0) == ["equal completions"]
    assert signs("warm", ["1", "1", "2", "2"]) == []
    assert signs("other", ["1", "1", "2", "3"], 0) == []
    assert signs("single", ["1", "1"], 0, n=1) == []
    # what has no text, or thinking alone
    some = {**counts, "correct": 3, "no_answer": 1}
    assert signs("empty", ["1", "", "2", "3"], counts=some, empty=1) == ["1 of 4 completions empty"]
    assert signs("seldom", plain, counts={"correct": 101}, empty=1) == []
    alone = ["1", "<think>\nIt is 2.", "2", "3"]
    assert signs("alone", alone, counts=some) == ["thinking alone in 1 of the first 4"]
    assert signs("right", alone, counts={**counts, "correct": 4, "no_answer": 0}) == []
    # a server that leaves out the prefix, and a model that answers at once
    assert signs("silent", plain, prefix="<think>\n") == ["no thinking"]
    assert signs("once", [*plain[:3], "x</think>4"], prefix="<think>\n") == []
    assert signs("few", plain[:2], prefix="<think>\n", n=1) == []
    assert signs("both", ["1", "1", "2", "2"], 0, "<think>\n") == ["no thinking", "equal completions"]


def test_a_report_of_the_first_version_is_read_in_todays_units() -> None:
    metric = {"name": "pass@1", "value": 0.5, "n": 4, "unit": "fraction", "stderr": 1.0, "interval": [1.0, 2.0]}
    old = {
        "schema": 2, "model": "m", "run_id": "r", "task": "aime24", "title": "T", "task_version": 1, "protocol": "p",
        "max_tokens": 9, "n": 2, "problems": 2, "samples": 4, "statuses": {"correct": 4}, "truncation_rate": 0.0,
        "tokens": None, "metrics": [metric, metric | {"name": "own", "unit": "things"}], "values": {"a": [1.0, 0.0]},
        "bytes_read": [1, 2],
    }  # fmt: skip
    found = _from_schema_2(encode_line(old))
    assert found is not None
    first, own = found.metrics
    assert (first.value, first.unit, first.stderr_problems, first.interval_problems) == (50.0, "%", 1.0, (1.0, 2.0))
    assert (own.name, own.value, own.unit) == ("own", 0.5, "count")
    assert found.headlines == ["pass@1"]
    ranked = _from_schema_2(encode_line(old | {"task": "codeforces"}))
    known = installed_task("codeforces")
    assert ranked is not None
    assert known is not None
    assert ranked.headlines == list(known.headlines)
    assert _from_schema_2(encode_line(old | {"schema": 3})) is None
    assert _from_schema_2(b"[]") is None
