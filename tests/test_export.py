"""Runs in other harnesses' formats: what comes back is what went out."""

import json
from pathlib import Path

import peer_logs
import pytest
import yaml
from helpers import evalkit, records, told
from peer_logs import WRITERS, write, write_lines

from evalkit import EvalkitError
from evalkit.errors import RunIncompleteError
from evalkit.importers.reader import find_logs
from evalkit.results.exports import SAMPLES_ALONE, TARGETS, export_run
from evalkit.results.recreate import recreate_problems
from evalkit.run.importing import import_run
from evalkit.store.run import RunDirectory
from evalkit.types import Completion

FIELDS = "text=response,problem=prompt,problem_id=problem_id,sample_index=sample_index,gold=gold"
TOKENS = ",finish_reason=finish_reason,prompt_tokens=prompt_tokens,completion_tokens=completion_tokens"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An imported run with token counts, one completion of two cut at the limit."""
    log = peer_logs.write_inspect_json(tmp_path / "log")
    return import_run(log, tmp_path / "run", workers=1).path


def contents(run: Path, finish: bool, tokens: bool) -> dict[tuple[str, int], tuple[object, ...]]:
    (task,) = RunDirectory(run).tasks().values()

    def held(c: Completion) -> tuple[object, ...]:
        facts = (c.finish_reason if finish else None, c.completion_tokens if tokens else None)
        return c.prefix + c.text, *facts

    return {(c.problem_id, c.sample_index): held(c) for c in task.files.completions()}


def verdicts(run: Path) -> dict[tuple[str, int], str]:
    (task,) = RunDirectory(run).tasks().values()
    return {(k.problem_id, k.sample_index): s.status for k, s in task.files.latest_scores().items()}


@pytest.mark.parametrize(("to", "finish", "tokens"), [("inspect", True, True), ("lm-eval", False, False)])
def test_what_was_exported_is_imported_again(to: str, finish: bool, tokens: bool, run: Path, tmp_path: Path) -> None:
    export_run(run, to, tmp_path / "out")
    again = import_run(tmp_path / "out", tmp_path / "again", workers=1)
    assert contents(again.path, finish, tokens) == contents(run, finish, tokens)
    ours, theirs = verdicts(run), verdicts(again.path)
    if finish:
        assert theirs == ours
    else:  # without a finish reason nothing is known to be cut
        assert theirs == {key: "no_answer" if status == "truncated" else status for key, status in ours.items()}
    assert again.model == "lab/student"


def test_parquet_is_imported_again_by_a_map(run: Path, tmp_path: Path) -> None:
    (path,) = export_run(run, "parquet", tmp_path / "out")
    again = import_run(path, tmp_path / "again", fields=FIELDS + TOKENS, model="lab/student", workers=1)
    assert contents(again.path, True, True) == contents(run, True, True)
    assert verdicts(again.path) == verdicts(run)


@pytest.mark.parametrize("to", sorted(set(TARGETS) - {"hf-eval-results"}))
def test_half_a_character_is_exported_as_an_escape(to: str, run: Path, tmp_path: Path) -> None:
    """JSON can hold a surrogate without its other half; UTF-8 cannot."""
    (task,) = RunDirectory(run).tasks().values()
    path = task.files.completions_path
    lines = [{**record, "text": record["text"] + " \ud800"} for record in records(path)]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "crc"}) + "\n" for line in lines))
    export_run(run, to, tmp_path / "out")
    assert any(rb"\ud800" in file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()) or (
        to == "inspect"  # its members are compressed
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["..", "\ud800", "../../victim", "a\0b", "." * 300])
@pytest.mark.parametrize("to", sorted(set(TARGETS) - {"hf-eval-results"}))
def test_a_models_name_leads_nowhere(to: str, model: str, run: Path, tmp_path: Path) -> None:
    path = run / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": model}))
    before = {each for each in tmp_path.rglob("*") if not each.is_relative_to(run)}
    for written in export_run(run, to, tmp_path / "out" / "there"):
        assert written.resolve().is_relative_to(tmp_path / "out" / "there")
    out = tmp_path / "out"
    after = {each for each in tmp_path.rglob("*") if not each.is_relative_to(run) and not each.is_relative_to(out)}
    assert after == before


def golds(run: Path) -> dict[str, str]:
    (task,) = RunDirectory(run).tasks().values()
    return {p.id: p.target for p in recreate_problems(task)}


@pytest.mark.slow
@pytest.mark.parametrize("layout", sorted({peer: layout for layout, (peer, _) in WRITERS.items()}.values()))
def test_every_format_goes_through_each_that_can_hold_it(layout: str, tmp_path: Path) -> None:
    log = WRITERS[layout][1](tmp_path / "log")
    first = import_run(log, tmp_path / "run", model="lab/student", workers=1)
    export_run(first.path, "inspect", tmp_path / "inspect")
    export_run(first.path, "parquet", tmp_path / "parquet")
    ways = [(tmp_path / "inspect", {}, True), (tmp_path / "parquet", {"fields": FIELDS + TOKENS}, True)]
    if first.reports:  # lm_eval's has figures, which a set without right answers has not
        export_run(first.path, "lm-eval", tmp_path / "lm-eval")
        ways.append((tmp_path / "lm-eval", {}, False))
    for path, options, facts in ways:
        done = import_run(path, tmp_path / f"from-{path.name}", model="lab/student", score=False, **options)  # type: ignore[arg-type]
        assert contents(done.path, facts, facts) == contents(first.path, facts, facts), path.name
        assert golds(done.path) == golds(first.path), path.name
        assert done.tasks[0].graded == first.tasks[0].graded, path.name


def test_the_same_run_gives_the_same_files(run: Path, tmp_path: Path) -> None:
    for to in sorted(set(TARGETS) - {"hf-eval-results"}):
        first, second = (export_run(run, to, tmp_path / f"{to}-{i}") for i in (1, 2))
        assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second], to


def test_every_eval_ever_has_the_figure_and_every_sample(run: Path, tmp_path: Path) -> None:
    aggregate, samples = export_run(run, "every-eval-ever", tmp_path / "out")
    record = json.loads(aggregate.read_text())
    (result,) = record["evaluation_results"]
    assert result["score_details"]["score"] == pytest.approx(0.75)
    assert record["detailed_evaluation_results"]["total_rows"] == 4
    assert record["eval_library"]["name"] == "inspect"
    rows = records(samples)
    assert {row["evaluation"]["is_correct"] for row in rows} == {True, False}
    assert all(row["evaluation_result_id"] == result["evaluation_result_id"] for row in rows)


def test_the_hubs_results_name_the_data_set(tmp_path: Path, data_of_math500: Path) -> None:
    rows = [{"problem": "Simplify $\\sqrt{242}$.", "out": "\\boxed{11\\sqrt2}", "gold": "11\\sqrt2"}]
    log = write_lines(tmp_path / "x.jsonl", rows)
    fields = "text=out,problem=problem,gold=gold"
    options = {"fields": fields, "task": "math500", "model": "m", "data": data_of_math500, "workers": 1}
    done = import_run(log, tmp_path / "run", **options)  # type: ignore[arg-type]
    (path,) = export_run(done.path, "hf-eval-results", tmp_path / "out")
    assert path.relative_to(tmp_path / "out").as_posix() == ".eval_results/math500.yaml"
    (entry,) = yaml.safe_load(path.read_text())
    assert entry["dataset"]["id"] == "HuggingFaceH4/MATH-500"
    assert entry["value"] == 100.0
    assert "protocol unknown (imported)" in entry["notes"]
    assert "subset" not in entry["notes"]
    assert "truncated" not in entry["notes"], "the log has no finish reason"
    named = import_run(
        write_lines(tmp_path / "y.jsonl", [{**rows[0], "finish": "length"}]), tmp_path / "named",
        **{**options, "fields": f"{fields},finish_reason=finish"},  # type: ignore[arg-type]
    )  # fmt: skip
    (path,) = export_run(named.path, "hf-eval-results", tmp_path / "named-out")
    (entry,) = yaml.safe_load(path.read_text())
    assert entry["notes"].endswith("; 100.0% truncated")


@pytest.mark.slow
def test_what_the_hubs_results_leave_out_is_told(
    tmp_path: Path, data_of_math500: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"unique_id": "test/algebra/1.json", "problem": "What is 1 + 1?", "answer": "2", "subject": "A", "level": 1}
    with (data_of_math500 / "MATH-500" / "test.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    for name, problem in (("math_500", "Simplify $\\sqrt{242}$."), ("own", "What is 1 + 2?")):
        write_lines(tmp_path / "log" / f"{name}.jsonl", [{"problem": problem, "out": "\\boxed{3}", "gold": "3"}])
    options = {"fields": "text=out,problem=problem,gold=gold", "model": "m", "data": data_of_math500, "workers": 1}
    done = import_run(tmp_path / "log", tmp_path / "run", task="math_500=math500", **options)  # type: ignore[arg-type]
    (path,) = export_run(done.path, "hf-eval-results", tmp_path / "out")
    (entry,) = yaml.safe_load(path.read_text())
    assert entry["notes"].startswith("subset of 1 of 2 problems, not a value of the whole benchmark; pass@1")
    assert "own is left out: its problems are no data set on the hub" in caplog.text
    assert "math500: subset of 1 of 2 problems" in caplog.text


@pytest.fixture
def data_of_math500(tmp_path: Path) -> Path:
    row = {
        "unique_id": "test/prealgebra/1302.json",
        "problem": "Simplify $\\sqrt{242}$.",
        "answer": "11\\sqrt2",
        "subject": "Prealgebra",
        "level": 3,
    }
    write_lines(tmp_path / "data" / "MATH-500" / "test.jsonl", [row])
    return tmp_path / "data"


def test_a_run_with_a_fault_goes_to_inspect_and_not_to_lm_eval(tmp_path: Path) -> None:
    samples = peer_logs.inspect_samples()
    samples[0] |= {"error": {"message": "the engine died"}, "scores": {}}
    samples[0]["output"] = {"choices": []}
    log = write(tmp_path / "l.json", {**peer_logs.inspect_header(), "samples": samples})
    done = import_run(log, tmp_path / "run", workers=1)
    with pytest.raises(EvalkitError, match="spoilt by faults"):
        export_run(done.path, "lm-eval", tmp_path / "lm")
    export_run(done.path, "inspect", tmp_path / "out")
    (again,) = find_logs(str(tmp_path / "out")).logs
    assert [s.error for s in again.samples()].count("the engine died") == 1
    (path,) = (tmp_path / "out").glob("*.json")
    written = json.loads(path.read_text())
    assert (written["status"], written["results"]["scores"][0]["metrics"]) == ("success", {}), "an error is no score"


def test_what_an_incomplete_run_gives_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = import_run(peer_logs.write_inspect_json(tmp_path / "log"), tmp_path / "run", workers=1).path
    for name in ("completions.jsonl", "scores.jsonl"):
        (path,) = run.glob(f"*/{name}")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-1]))
    for path in run.glob("*/report.json"):
        path.unlink()
    for to in TARGETS:
        if to not in SAMPLES_ALONE:
            with pytest.raises(EvalkitError):
                export_run(run, to, tmp_path / to)
            assert not (tmp_path / to).exists()
            continue
        caplog.clear()
        export_run(run, to, tmp_path / to)
        (message,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
        assert "is not complete: 3 of 4 completions, 3 scores" in message
        assert f"{to} gets the samples that are there, and no figure" in message
    (path,) = (tmp_path / "inspect").glob("*.json")
    log = json.loads(path.read_text())
    assert (log["status"], log["results"]["scores"][0]["metrics"], len(log["samples"])) == ("cancelled", {}, 3)
    (completions,) = run.glob("*/completions.jsonl")
    completions.unlink()
    for to in SAMPLES_ALONE:
        with pytest.raises(RunIncompleteError, match="has no completions yet"):
            export_run(run, to, tmp_path / f"{to} of nothing")


@pytest.mark.slow
def test_the_command_line_tells_what_it_wrote_and_refuses_to_overwrite(run: Path, tmp_path: Path) -> None:
    done = evalkit("export", run, "--to", "parquet", "-o", tmp_path / "out")
    assert done.stdout.strip() == str(tmp_path / "out" / "samples.parquet")
    assert "not empty" in told(evalkit("export", run, "--to", "parquet", "-o", tmp_path / "out", code=2))
    assert "no format" in told(evalkit("export", run, "--to", "csv", code=2))
