"""A log becomes an ordinary run: graded, compared, and nothing in it that the log did not say."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import made_runs
import peer_logs
import pytest
from damaged_logs import DAMAGED
from helpers import REPOSITORY, records, told
from helpers import evalkit as run_evalkit
from peer_logs import PROBLEMS, WRITERS, write, write_lines
from test_livecodebench import make_data, make_row

from evalkit import EvalkitError, Run, RunIncompleteError
from evalkit.benchmark.matching import TextIndex
from evalkit.results.entries import load_entries
from evalkit.results.peer import compare_with_peer
from evalkit.results.site.figures import leaderboard_records
from evalkit.run.importing import ImportedRun, import_run
from evalkit.store.run import RunDirectory

UNGRADED = {"livecodebench", "evalplus", "openai_batch"}


def imported(path: Path, output: Path, **options: object) -> ImportedRun:
    return import_run(path, output, **{"model": "lab/student", "score": False, **options})  # type: ignore[arg-type]


def arithmetic_rows(gold: str = "", wrong: str = "") -> list[dict[str, str]]:
    """Four samples of two problems of the installed task `arithmetic`, under other ids."""
    from evalkit_tasks.arithmetic import test_problems

    return [
        {
            "q": f"Solve.\n{problem.prompt} Think first.",
            "out": f"\\boxed{{{wrong or problem.target}}}",
            "gold": gold or problem.target,
        }
        for problem in test_problems()[:2]
        for _ in range(2)
    ]


@pytest.mark.parametrize("layout", WRITERS)
def test_every_format_becomes_a_run_that_can_be_read(layout: str, tmp_path: Path) -> None:
    peer, writer = WRITERS[layout]
    done = imported(writer(tmp_path / "log"), tmp_path / "run")
    (task,) = done.tasks
    assert (task.samples, task.problems, task.n, task.missing) == (4, 2, 2, 0)
    assert task.graded == (peer not in UNGRADED)
    run = RunDirectory(done.path)
    (recorded,) = run.tasks().values()
    assert recorded.run.protocol_name == "unknown (imported)"
    assert recorded.run.engine["peer"] == peer
    completions = list(recorded.files.completions())
    assert {c.text.strip() for c in completions} == {peer_logs.text(i, k) for i in range(2) for k in range(2)}
    known = [c for c in completions if c.finish_reason != "unknown"]
    assert bool(known) == (peer in {"inspect", "evalscope", "nemo_skills", "verifiers", "openai_batch", "helm"})
    peers = records(recorded.files.peer_scores_path)
    assert len(peers) == 4
    assert not list(tmp_path.glob(".*.import"))


@pytest.mark.slow
def test_it_is_graded_like_our_own(tmp_path: Path) -> None:
    done = imported(peer_logs.write_nemo_skills(tmp_path / "log"), tmp_path / "run", score=True, workers=1)
    (report,) = done.reports
    assert report.statuses == {"correct": 3, "wrong": 1, "no_answer": 0, "truncated": 0, "error": 0}
    assert report.truncation_rate == 0.5
    pass_at_1 = report.metric("pass@1")
    peer = report.metric("peer")
    assert pass_at_1 is not None
    assert peer is not None
    assert (pass_at_1.value, peer.value) == (75.0, 75.0)
    frame = Run(done.path).samples()
    assert list(frame["gold"]) == ["42", "63", "42", "63"]


@pytest.mark.slow
def test_what_the_log_does_not_tell_is_told_as_unknown(tmp_path: Path) -> None:
    done = imported(peer_logs.write_qwen_math(tmp_path / "log"), tmp_path / "run", score=True, workers=1)
    (report,) = done.reports
    assert report.truncation_rate is None
    assert report.tokens is None
    assert report.max_tokens is None
    assert report.metric("finished") is None
    shown = run_evalkit("leaderboard", done.path).stdout
    assert "cut: unknown" in shown
    assert "its protocol is unknown" in shown
    completion = records(done.path / "test_qwen25-math-cot_-1_seed0_t0.0_s0_e-1" / "completions.jsonl")[0]
    assert completion["seconds"] is None
    assert completion["finish_reason"] == "unknown"


def test_problems_are_matched_by_their_words(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", arithmetic_rows())
    options = {"fields": "text=out,problem=q,gold=gold", "task": "arithmetic"}
    done = imported(path, tmp_path / "run", **options)
    (task,) = done.tasks
    assert task.task == "arithmetic"
    assert task.gold_differences == []
    ids = {record["problem_id"] for record in records(done.path / "arithmetic" / "completions.jsonl")}
    assert all(problem_id[:3] in ("add", "sub", "mul") for problem_id in ids)
    recorded = RunDirectory(done.path).task("arithmetic").record
    assert recorded.problems_available == 200
    assert len(recorded.problem_ids) == 2


def test_right_answers_that_differ_from_ours_are_listed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", arithmetic_rows(gold="1000"))
    done = imported(path, tmp_path / "run", fields="text=out,problem=q,gold=gold", task="arithmetic")
    assert len(done.tasks[0].gold_differences) == 2
    assert "'1000' in the log" in done.tasks[0].gold_differences[0]


def test_a_problem_that_is_not_in_the_task_is_told_before_anything_is_written(tmp_path: Path) -> None:
    path = peer_logs.write_nemo_skills(tmp_path / "log")
    rows = [json.loads(line) for line in (path / "output-rs0.jsonl").read_text().splitlines()]
    rows[0]["problem"] = "How many angels dance on the head of a pin?"
    write_lines(path / "output-rs0.jsonl", rows)
    with pytest.raises(EvalkitError, match="are not in arithmetic"):
        imported(path, tmp_path / "run", task="arithmetic")
    assert not (tmp_path / "run").exists()


def test_by_position_only_where_every_right_answer_agrees(tmp_path: Path) -> None:
    from evalkit_tasks.arithmetic import test_problems

    ours = test_problems()
    row = {"expected_answer": "", "num_generated_tokens": 3, "generation": "\\boxed{1}"}
    rows = [{**row, "expected_answer": p.target} for p in ours[:3]]
    path = write_lines(tmp_path / "log" / "output-rs0.jsonl", rows)
    done = imported(path, tmp_path / "run", task="arithmetic")
    assert list(RunDirectory(done.path).task("arithmetic").record.problem_ids) == [p.id for p in ours[:3]]
    rows[2]["expected_answer"] = "-7"
    write_lines(path, rows)
    with pytest.raises(EvalkitError, match="3 of 3 problems"):
        imported(path, tmp_path / "other", task="arithmetic")


def test_two_problems_are_never_taken_for_one(tmp_path: Path) -> None:
    rows = [{**row, "id": str(i)} for i, row in enumerate(arithmetic_rows()[:2])]
    path = write_lines(tmp_path / "x.jsonl", rows)
    with pytest.raises(EvalkitError, match="both taken for"):
        imported(path, tmp_path / "run", fields="text=out,problem=q,gold=gold,problem_id=id", task="arithmetic")


def choice_rows(orders: list[str]) -> list[dict[str, object]]:
    """Samples of one question whose right answer, `four`, stands at another letter in each order."""
    names = {"a": "four", "b": "five", "c": "six"}
    return [
        {
            "q": "How many legs has a dog?",
            "c": [names[o] for o in order],
            "gold": "ABC"[order.index("a")],
            "out": f"Answer: {'ABC'[order.index('a')]}",
        }
        for order in orders
    ]


def test_choices_are_graded_by_the_order_that_was_shown_or_refused(tmp_path: Path) -> None:
    fields = "text=out,problem=q,gold=gold,choices=c"
    steady = write_lines(tmp_path / "steady.jsonl", choice_rows(["bac", "bac"]))
    done = imported(steady, tmp_path / "one", fields=fields, score=True, workers=1)
    assert done.reports[0].statuses["correct"] == 2
    assert json.loads((tmp_path / "one" / "run.json").read_text())["tasks"]["steady"]["spec"]["options"] == {
        "label": "steady",
        "of_kind": "choice",
    }
    permuted = write_lines(tmp_path / "permuted.jsonl", choice_rows(["abc", "bac"]))
    with pytest.raises(EvalkitError, match="orders of the choices"):
        imported(permuted, tmp_path / "two", fields=fields)
    kept = imported(permuted, tmp_path / "three", fields=fields, kind="none")
    assert not kept.tasks[0].graded


def asked_with(order: str) -> tuple[str, str, str]:
    """(a question with its choices in an order, the letter of the right one, a response that gives it)."""
    (row,) = choice_rows([order])
    lines = "\n".join(f"{letter}) {choice}" for letter, choice in zip("ABC", row["c"], strict=True))  # type: ignore[call-overload]
    return f"{row['q']}\n\n{lines}", str(row["gold"]), str(row["out"])


def choices_of_simple_evals(folder: Path, orders: list[str]) -> Path:
    content = {**peer_logs.simple_evals_content(), "convos": [], "htmls": []}
    for asked, gold, answer in map(asked_with, orders):
        content["convos"].append([{"role": "user", "content": asked}, {"role": "assistant", "content": answer}])
        told = f"<p>Correct Answer: {gold}</p><p>Extracted Answer: {gold}</p><p>Score: 1.0</p>"
        content["htmls"].append(told)
    return write(folder / "gpqa_student_allresults.json", content)


def choices_of_inspect(folder: Path, orders: list[str]) -> Path:
    samples = [dict(peer_logs.inspect_samples()[0]) for _ in orders]
    for k, (sample, order) in enumerate(zip(samples, orders, strict=True)):
        (row,) = choice_rows([order])
        message = {"role": "assistant", "content": row["out"], "source": "generate"}
        output = {"choices": [{"message": message, "stop_reason": "stop"}]}
        sample |= {"epoch": k + 1, "input": row["q"], "choices": row["c"], "target": row["gold"], "output": output}
        sample["scores"] = {"choice": {"value": "C", "answer": row["gold"]}}
    return write(folder / "log.json", {**peer_logs.inspect_header(), "samples": samples})


def choices_of_evalscope(folder: Path, orders: list[str]) -> Path:
    run = peer_logs.write_evalscope(folder)
    predictions, reviews = [], []
    for k, (asked, gold, answer) in enumerate(map(asked_with, orders)):
        output = {"choices": [{"message": {"content": answer}, "stop_reason": "stop"}], "error": None}
        messages = [{"role": "user", "content": asked}]
        predictions.append({"index": k, "model": "student", "model_output": output, "messages": messages})
        score = {"value": {"acc": 1.0}, "extracted_prediction": gold}
        reviews.append({"index": k, "target": [gold], "sample_score": {"score": score, "group_id": 0}})
        reviews[-1]["sample_score"]["generation_index"] = k  # type: ignore[index]
    write_lines(run / "predictions" / "student" / "sums_default.jsonl", predictions)
    write_lines(run / "reviews" / "student" / "sums_default.jsonl", reviews)
    return run


def choices_of_opencompass(folder: Path, orders: list[str]) -> Path:
    entries = {}
    for k, (asked, gold, answer) in enumerate(map(asked_with, orders)):
        entries[str(k)] = {"origin_prompt": asked, "prediction": answer, "gold": gold}
    return write(folder / "predictions" / "student" / "gpqa.json", entries)


CHOICES = (choices_of_simple_evals, choices_of_inspect, choices_of_evalscope)


@pytest.mark.slow
@pytest.mark.parametrize("writer", [*CHOICES, choices_of_opencompass])
@pytest.mark.parametrize("order", ["abc", "bac", "cba"])
def test_letters_are_of_the_order_that_the_log_shows(
    writer: Callable[[Path, list[str]], Path], order: str, tmp_path: Path
) -> None:
    log = writer(tmp_path / "log", [order, order])
    done = imported(log, tmp_path / "run", score=True, workers=1)
    assert done.reports[0].statuses["correct"] == 2


@pytest.mark.parametrize("writer", CHOICES)
@pytest.mark.parametrize("orders", [["abc", "bac"], ["abc", "acb"]])
def test_choices_that_change_between_samples_are_refused(
    writer: Callable[[Path, list[str]], Path], orders: list[str], tmp_path: Path
) -> None:
    """Also where the right letter is the same by chance: a vote would count letters that mean different things."""
    log = writer(tmp_path / "log", orders)
    with pytest.raises(EvalkitError, match="orders of the choices"):
        imported(log, tmp_path / "run")
    assert imported(log, tmp_path / "kept", kind="none").tasks[0].samples == 2


@pytest.mark.slow
def test_holes_stay_holes(tmp_path: Path) -> None:
    folder = peer_logs.write_nemo_skills(tmp_path / "log")
    (folder / "output-rs1.jsonl").rename(folder / "output-rs2.jsonl")
    done = imported(folder, tmp_path / "run", score=True, workers=1)
    (task,) = done.tasks
    assert (task.n, task.samples, task.missing) == (3, 4, 2)
    assert any("holes" in note for note in task.notes)
    assert any("4 of 6 completions" in note for note in task.notes)
    assert done.reports == []
    assert {r["sample_index"] for r in records(done.path / "sums" / "scores.jsonl")} == {0, 2}
    for command in (("score", done.path), ("import", folder, "-o", tmp_path / "again")):
        failed = run_evalkit(*command, code=1)
        assert "4 of 6 completions" in told(failed)
        assert "hint: what a log of another harness lacks stays missing" in failed.stderr


@pytest.mark.slow
def test_an_error_of_the_harness_is_an_error_and_no_wrong_answer(tmp_path: Path) -> None:
    samples = peer_logs.inspect_samples()
    samples[0] |= {"error": {"message": "the engine died"}, "scores": {}}
    samples[0]["output"] = {"choices": []}
    path = write(tmp_path / "l.json", {**peer_logs.inspect_header(), "samples": samples})
    done = imported(path, tmp_path / "run", score=True, workers=1)
    assert done.reports[0].statuses["error"] == 1
    unfinished = run_evalkit("verify", tmp_path / "run", code=1)
    assert told(unfinished) == f"{tmp_path}/run sums is not complete."
    assert "sums: 4 of 4 completions (1 is an error), 4 scores" in unfinished.stdout
    assert "hint: what a log of another harness lacks stays missing; `evalkit settle RUN`" in unfinished.stderr
    for command in (("score", tmp_path / "run"), ("import", path, "-o", tmp_path / "again")):
        failed = run_evalkit(*command, code=1)
        assert told(failed).startswith("The engine or the grader failed on some samples in ")
        assert "hint: asking again brings nothing: `evalkit settle " in failed.stderr
        assert "the same command" not in failed.stderr
    run_evalkit("settle", tmp_path / "run", "--status", "error")
    closed = run_evalkit("verify", tmp_path / "run").stdout
    assert "sums: 4 of 4 completions (1 closed as an error), 4 scores" in closed
    run_evalkit("score", tmp_path / "run")


@pytest.mark.slow
def test_a_log_without_right_answers_is_never_graded_and_shows_the_harnesss_figure(tmp_path: Path) -> None:
    log, run = peer_logs.write_evalplus(tmp_path / "log"), tmp_path / "run"
    figure = (
        "The harness's own figure: 75.0 +24.1 −53.2 / +25.0 −75.0, 4 samples (evalplus's base and plus of each sample)."
    )
    done = run_evalkit("import", log, "-o", run)
    assert figure in done.stderr
    again = run_evalkit("score", run)
    assert (
        f"not graded, it was imported without the right answers to all problems, or with --kind none. {figure}"
        in again.stderr
    )
    assert (again.stdout, "verdicts changed" in again.stderr) == ("", False)
    (task,) = RunDirectory(run).tasks().values()
    assert not task.files.scores_path.exists()
    assert "4 of 4 completions, not graded" in run_evalkit("verify", run).stdout
    spoilt = [
        {"task": task.name, **made_runs.score((c.problem_id, c.sample_index), "error")}
        for c in task.files.completions()
    ]
    write_lines(task.files.scores_path, spoilt)  # as an earlier version did
    refused = run_evalkit("leaderboard", run, "-m", "peer", code=1).stderr
    assert (
        f"is not graded: it was imported without the right answers to all problems, or with --kind none. {figure}"
        in refused
    )
    assert "hint: import the log again with -t TASK" in refused
    assert "4 of 4 completions, not graded" in run_evalkit("verify", run).stdout
    other = imported(rows_of_three(tmp_path / "x.jsonl"), tmp_path / "other", score=True, workers=1,
                     fields="text=gen,problem=q,gold=ans").path  # fmt: skip
    assert figure in run_evalkit("leaderboard", other, run).stderr


def rows_of_three(path: Path, problems: int = 4) -> Path:
    rows = [
        {"q": f"What is {i} + 1?", "gen": f"So it is {i + 1}.", "ans": i + 1, "ok": (i + k) % 2}
        for i in range(problems)
        for k in range(3)
    ]
    return write_lines(path, rows)


@pytest.mark.slow
def test_what_an_unfinished_log_lacks_is_told_everywhere(tmp_path: Path) -> None:
    path = rows_of_three(tmp_path / "cut.jsonl")
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:9], lines[9][:30]]))
    given = ("import", path, "--map", "text=gen,problem=q,gold=ans", "--model", "x", "--results", tmp_path / "r")
    refused = run_evalkit(*given, code=2)
    assert "line 10 of" in told(refused)
    assert "--partial takes the lines before it" in refused.stderr
    assert not list((tmp_path / "r").rglob("run.json"))
    done = run_evalkit(*given, "--partial", "--workers", 1)
    assert "unfinished log: without line 10 of cut.jsonl, at which the file was cut" in done.stderr
    assert "unfinished log" in done.stdout
    (run,) = (tmp_path / "r" / "x").iterdir()
    (entry,) = json.loads((run / "run.json").read_text())["tasks"].values()
    assert entry["imported"]["left_out"] == ["line 10 of cut.jsonl, at which the file was cut"]
    assert "† unfinished log." in run_evalkit("leaderboard", run, "-f", "md").stdout
    path.write_bytes(b"\n".join(lines[:9]) + b"\n")
    whole = run_evalkit(*given, "--partial", "--workers", 1)
    assert "unfinished log" not in whole.stderr + whole.stdout


def test_an_unfinished_status_is_told(tmp_path: Path) -> None:
    content = {**peer_logs.inspect_header(), "status": "cancelled", "samples": peer_logs.inspect_samples()}
    done = imported(write(tmp_path / "l.json", content), tmp_path / "run", partial=True)
    assert done.tasks[0].notes == ["unfinished log: without what l.json lacks, whose status is cancelled"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sample", "first sample", "problem", "majority"])
def test_the_peers_figure_has_its_own_n_and_errors(where: str, tmp_path: Path) -> None:
    """Six problems of three samples each, of which the harness judged all, the first, the mean or the majority."""
    path = rows_of_three(tmp_path / "log.jsonl", 6)
    fields = {"text": "gen", "problem": "q", "gold": "ans", "correct": "ok"}
    done = imported(path, tmp_path / "run", fields=fields, score=True, workers=1)
    verdicts = done.path / done.tasks[0].task / "peer_scores.jsonl"
    lines = [{k: v for k, v in line.items() if k != "crc"} for line in records(verdicts)]
    for line in lines:
        value = line["verdicts"][0]["value"] if where in ("sample", "first sample") else int(line["problem_id"]) / 5
        line["verdicts"] = [{"name": "acc", "value": round(value) if where == "majority" else value, "scope": where}]
        line["verdicts"][0]["answer"] = None
        if where == "first sample" and line["sample_index"]:
            line["verdicts"] = []
    write_lines(verdicts, lines)
    (done.path / done.tasks[0].task / "report.json").unlink()
    report = Run(done.path).report()
    peer = report.metric("peer")
    assert peer is not None
    assert peer.value == pytest.approx(50.0)
    n = 1 if where == "first sample" else 3
    assert (report.samples_of("peer"), report.samples_of("pass@1"), peer.n) == ((n, None), (3, None), 6 * n)
    assert peer.interval_problems is not None
    assert (peer.interval_run is None) == (where == "problem")
    assert ("no run-to-run error: the log has the mean of each problem alone" in peer.note) == (where == "problem")
    cells = csv.DictReader(io.StringIO(run_evalkit("leaderboard", done.path, "-m", "peer", "-f", "csv").stdout))
    assert [(cell["metric"], cell["n"]) for cell in cells] == [("pass@1", "3"), ("peer", str(n))]


@pytest.mark.slow
def test_a_report_without_the_peers_n_is_computed_anew(tmp_path: Path) -> None:
    done = imported(peer_logs.write_lm_eval(tmp_path / "log"), tmp_path / "run", score=True, workers=1)
    path = done.path / "sums" / "report.json"
    content = json.loads(path.read_text())
    assert content.pop("peer_n") == [1, 1]
    content["metrics"] = [{**m, "interval_run": None} if m["name"] == "peer" else m for m in content["metrics"]]
    path.write_text(json.dumps(content))
    peer = Run(done.path).report().metric("peer")
    assert peer is not None
    assert peer.interval_run is not None


def test_a_field_that_no_row_has_is_named_before_the_folder(tmp_path: Path) -> None:
    path = rows_of_three(tmp_path / "log.jsonl")
    options: dict[str, object] = {"results": tmp_path / "r"}
    imported(path, None, fields="text=gen,problem=q", **options)  # type: ignore[arg-type]
    for fields, name in (("text=genn,problem=q", "genn"), ("text=gen,problem=q,gold=ans.x", "ans.x")):
        with pytest.raises(EvalkitError, match=f"has no field '{name}', which --map names") as error:
            imported(path, None, fields=fields, **options)  # type: ignore[arg-type]
        assert "it has q, gen, ans, ok." in error.value.hint
    with pytest.raises(EvalkitError, match="exists already"):
        imported(path, None, fields={"problem": "q", "text": "gen"}, **options)  # type: ignore[arg-type]
    imported(path, None, fields="text=gen,problem=q,gold=ans", **options)  # type: ignore[arg-type]
    assert len(list((tmp_path / "r" / "lab__student").iterdir())) == 2


def test_a_field_that_only_some_rows_have_is_a_field(tmp_path: Path) -> None:
    rows = [{"q": "1 + 1?", "gen": "2"}, {"q": "1 + 2?", "gen": "3", "why": "length"}]
    done = imported(
        write_lines(tmp_path / "x.jsonl", rows), tmp_path / "run", fields="text=gen,problem=q,finish_reason=why"
    )
    assert done.tasks[0].samples == 2


@pytest.mark.slow
def test_plain_rows_are_called_so(tmp_path: Path) -> None:
    path = rows_of_three(tmp_path / "log.jsonl")
    fields = "text=gen,problem=q,gold=ans,correct=ok"
    done = run_evalkit("import", path, "--map", fields, "--model", "x", "-o", tmp_path / "run", "--workers", 1)
    assert "x, from plain rows: " in done.stderr
    assert "(the log's ok of each sample)" in done.stderr
    shown = run_evalkit("leaderboard", tmp_path / "run", "-m", "peer").stdout
    assert "imported from plain rows: its protocol is unknown" in shown
    entries = load_entries([tmp_path / "run"])[0]
    page = leaderboard_records(entries, (), (), {tmp_path / "run": "x"})
    assert [column["metric"] for column in page["columns"]] == ["pass@1", "peer"]


@pytest.mark.slow
def test_where_the_peer_and_we_differ_is_listed_with_the_reason(tmp_path: Path) -> None:
    path = peer_logs.write_qwen_math(tmp_path / "log")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["score"] = [False, True]
    write_lines(path, rows)
    done = imported(path, tmp_path / "run", score=True, workers=1)
    (task,) = RunDirectory(done.path).tasks().values()
    found = compare_with_peer(task)
    assert found.compared == 4
    (one,) = found.differences
    assert (one.theirs, one.ours, one.our_answer) == (0.0, 1.0, "63")
    assert "the same text" in one.reason
    listed = run_evalkit("grade-diff", done.path).stdout
    assert "1 sample 0: evalkit 1 ('63'), qwen_math's score 0 ('63')" in listed
    assert "1 of 4 verdicts of qwen_math differ (4 score of each sample). The log has 4 samples." in listed


@pytest.mark.slow
def test_verdicts_on_a_problem_and_on_a_majority_are_compared_with_ours_of_the_same(tmp_path: Path) -> None:
    done = imported(peer_logs.write_lighteval(tmp_path / "log"), tmp_path / "run", score=True, workers=1)
    (task,) = RunDirectory(done.path).tasks().values()
    assert (compare_with_peer(task).compared, compare_with_peer(task).differences) == (2, [])
    done = imported(peer_logs.write_lm_eval(tmp_path / "lm"), tmp_path / "lm_run", score=True, workers=1)
    (task,) = RunDirectory(done.path).tasks().values()
    found = compare_with_peer(task)
    assert (found.compared, found.left_out, found.differences) == (3, 1, [])  # of 42 and 41 neither is the majority


@pytest.mark.slow
def test_no_comparison_with_a_published_figure_unless_the_protocol_is_asserted(tmp_path: Path) -> None:
    published = tmp_path / "published.csv"
    published.write_text(
        "source,model,benchmark,task,metric,value,unit,n,sd,protocol,settings,note\n", encoding="utf-8"
    )
    from evalkit.results.entries import load_entries
    from evalkit.results.published import PublishedScore
    from evalkit.results.reproduction import differences

    path = write_lines(tmp_path / "x.jsonl", arithmetic_rows())
    options = {"fields": "text=out,problem=q,gold=gold", "task": "arithmetic", "score": True, "workers": 1}
    plain = imported(path, tmp_path / "plain", **options)
    sure = imported(path, tmp_path / "sure", protocol="deepseek-r1", **options)
    figure = PublishedScore(
        **{
            **dict.fromkeys(PublishedScore.__dataclass_fields__),
            "model": "lab/student",
            "protocol": "deepseek-r1",
            "settings": (),
        }  # type: ignore[arg-type]
    )
    reasons = {}
    for run in (plain, sure):
        (entry,), _ = load_entries([run.path])
        reasons[run.path.name] = list(differences(entry, figure))
    assert "imported: it is not known under which protocol it was made" in reasons["plain"]
    assert not any("imported" in reason or "temperature" in reason for reason in reasons["sure"])
    assert "its protocol was asserted, not recorded" in run_evalkit("leaderboard", sure.path).stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_of_a_damaged_log_nothing_is_written(name: str, tmp_path: Path) -> None:
    path = DAMAGED[name](tmp_path / "log")
    with pytest.raises(EvalkitError) as refused:
        imported(path, tmp_path / "out" / "run")
    assert "\n" not in refused.value.message
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_logs_of_two_models_are_not_one_run(tmp_path: Path) -> None:
    peer_logs.write_inspect_json(tmp_path / "log")
    header = peer_logs.inspect_header()
    header["eval"] |= {"model": "lab/other", "task": "other", "eval_id": "e2"}
    write(tmp_path / "log" / "b.json", {**header, "samples": peer_logs.inspect_samples()})
    with pytest.raises(EvalkitError, match="logs of 2 models: lab/other, lab/student"):
        import_run(tmp_path / "log", tmp_path / "run")


@pytest.mark.slow
def test_a_log_that_does_not_name_its_model_is_of_an_unknown_one(tmp_path: Path) -> None:
    path = peer_logs.write_qwq(tmp_path / "log")
    unnamed = run_evalkit("import", path, "--results", tmp_path / "results", "--no-score")
    assert "does not tell which model" in unnamed.stderr
    assert len(list((tmp_path / "results" / "unknown").iterdir())) == 1
    done = run_evalkit("import", path, "-o", tmp_path / "run", "--model", "lab/student", "--workers", 1)
    assert "| sums (imported) | 2 | 2 | 75.0" in done.stdout
    again = run_evalkit("import", path, "-o", tmp_path / "run", "--model", "lab/student", code=2)
    assert "exists already" in told(again)
    assert "imported before" not in again.stderr
    anew = run_evalkit("import", path, "--results", tmp_path / "results", code=2)
    assert "the log was imported before with this map" in anew.stderr


def test_names_in_a_log_lead_nowhere(tmp_path: Path) -> None:
    header = peer_logs.inspect_header()
    header["eval"] |= {"task": "../../../escape", "model": "../../evil"}
    path = write(tmp_path / "l.json", {**header, "samples": peer_logs.inspect_samples()})
    done = import_run(path, results=tmp_path / "results", score=False)
    assert done.path.resolve().is_relative_to(tmp_path / "results")
    assert done.tasks[0].task == "escape"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.json", "results"]


@pytest.mark.slow
def test_logs_of_two_harnesses_become_one_set_and_are_compared(tmp_path: Path) -> None:
    first = imported(peer_logs.write_limo(tmp_path / "limo"), tmp_path / "a", score=True, workers=1)
    (name,) = RunDirectory(first.path).tasks()
    log = peer_logs.write_matharena(tmp_path / "arena")
    second = imported(log, tmp_path / "b", task=str(first.path / name), score=True, workers=1)
    assert second.tasks[0].task == name
    shown = run_evalkit("compare", first.path, second.path).stdout
    assert "no problem differs, of 2." in shown
    assert [t.record.problem_ids for t in RunDirectory(second.path).tasks().values()] == [("p-1", "p-2")]
    both = tmp_path / "both"
    peer_logs.write_nemo_skills(both)
    peer_logs.write_limo(both)
    with pytest.raises(EvalkitError, match="two logs that are of"):
        imported(both, tmp_path / "c", task=str(first.path / name))


@pytest.mark.slow
def test_the_order_of_a_logs_rows_is_no_matter_and_other_data_are_told_in_words(tmp_path: Path) -> None:
    rows = [{"i": f"p{i}", "q": f"What is {i} + 1?", "gen": f"So it is {i + i % 2}.", "ans": i + 1} for i in range(6)]
    other = [*rows[1:4], {**rows[4], "q": "What is two and three?"}, {**rows[5], "ans": 7}, {**rows[0], "i": "p9"}]
    moved = [{**row, "i": f"x{row['i']}"} for row in rows]
    for name, log in {"a": rows, "b": rows[::-1], "c": other, "d": moved}.items():
        path = write_lines(tmp_path / f"{name}/small.jsonl", log)
        fields = "text=gen,problem=q,gold=ans,problem_id=i"
        imported(path, tmp_path / "runs" / name, fields=fields, score=True, workers=1)
    first, second, third, fourth = (tmp_path / "runs" / name for name in "abcd")
    assert [RunDirectory(run).task("small").record.data for run in (first, second)] == [
        RunDirectory(first).task("small").record.data
    ] * 2
    assert "no problem differs, of 6." in run_evalkit("compare", first, second).stdout
    refused = run_evalkit("compare", first, third, code=2).stderr
    assert (
        "The runs of small have different data: 6 problems each, 5 ids in both, 1 with another text, 1 with another "
        "right answer or choices, 1 with the same text under another id." in refused
    )
    assert "-t RUN/TASK gives problems the ids of RUN's" in refused
    assert "small: " in run_evalkit("compare", first, third, "--across-protocols").stdout.replace(" (imported)", "")
    shown = run_evalkit("leaderboard", first, second, fourth).stdout
    assert "different data: 6 problems each, no id in both, 6 with the same text under another id." in shown
    assert shown.count("different data") == 1


@pytest.mark.slow
def test_a_set_that_an_earlier_version_recorded_by_its_order_is_the_same_set(tmp_path: Path) -> None:
    rows = [{"i": f"p{i}", "q": f"What is {i} + 1?", "gen": f"So it is {i + 1}.", "ans": i + 1} for i in range(3)]
    for name, log in {"a": rows, "b": rows[::-1]}.items():
        path = write_lines(tmp_path / f"{name}/small.jsonl", log)
        fields = "text=gen,problem=q,gold=ans,problem_id=i"
        imported(path, tmp_path / "runs" / name, fields=fields, score=True, workers=1)
    first, second = tmp_path / "runs" / "a", tmp_path / "runs" / "b"
    record = json.loads((first / "run.json").read_text())
    lines = json.dumps(records(first / "small" / "problems.jsonl"), sort_keys=True)
    in_order = hashlib.sha256(lines.encode()).hexdigest()
    record["tasks"]["small"]["identity"]["data"][0]["fingerprint"] = in_order
    (first / "run.json").write_text(json.dumps(record))
    assert "0 of 3 verdicts changed" in run_evalkit("score", first, "--workers", 1).stderr
    assert "no problem differs, of 3." in run_evalkit("compare", first, second).stdout
    assert "different data" not in run_evalkit("leaderboard", first, second).stdout
    record["tasks"]["small"]["identity"]["data"][0]["fingerprint"] = "0" * 64
    (first / "run.json").write_text(json.dumps(record))
    assert "has changed" in told(run_evalkit("score", first, "--workers", 1, code=2))


@pytest.mark.slow
def test_an_imported_run_can_be_moved_and_graded_again(tmp_path: Path) -> None:
    done = imported(peer_logs.write_limo(tmp_path / "log"), tmp_path / "run", score=True, workers=1)
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    done.path.rename(moved)
    assert "0 of 4 verdicts changed" in run_evalkit("score", moved, "--workers", 1).stderr


def test_texts_are_found_in_prompts_whatever_the_punctuation() -> None:
    index = TextIndex([("a", "What is $1 + 1$?"), ("b", "What is $1 + 1$? And $2 + 2$?"), ("c", "Name a prime.")])
    assert index.find("Q: What is \\(1+1\\)? Think.") == ("a", 1.0)
    assert index.find("Q: What is 1+1? And 2 + 2?") == ("b", 1.0)
    assert index.find("Who was Euler?") is None
    assert PROBLEMS


@pytest.mark.slow
def test_text_of_a_log_reaches_the_terminal_harmless_and_the_run_whole(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\ud800 \u202e \x00 \\boxed{42}"
    samples = peer_logs.inspect_samples()
    samples[0]["output"]["choices"][0]["message"]["content"] = evil
    samples[0] |= {"id": "\x1b[31mred"}
    samples[1] |= {"id": "\x1b[31mred", "error": None}
    header = peer_logs.inspect_header()
    header["eval"] |= {"model": "lab/\x1b[31mstudent", "task": "\x1b[31msums"}
    path = write(tmp_path / "l.json", {**header, "samples": samples})
    done = run_evalkit("import", path, "-o", tmp_path / "run", "--workers", 1)
    assert "\x1b" not in done.stdout + done.stderr
    (task,) = RunDirectory(tmp_path / "run").tasks().values()
    assert evil in {c.text for c in task.files.completions()}
    twice = write(tmp_path / "l.json", {**header, "samples": [*samples, samples[0]]})
    failed = run_evalkit("import", twice, "-o", tmp_path / "other", code=2)
    assert "\x1b" not in failed.stderr
    assert "twice" in told(failed)


def test_a_log_named_like_a_task_is_matched_unless_the_kind_is_said(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "arithmetic.jsonl", arithmetic_rows())
    fields = "text=out,problem=q,gold=gold"
    assert imported(path, tmp_path / "a", fields=fields).tasks[0].task == "arithmetic"
    assert imported(path, tmp_path / "b", fields=fields, kind="math").tasks[0].task == "arithmetic_imported"
    write_lines(path, [{"q": "Another problem?", "out": "1", "gold": "1"}])
    other = imported(path, tmp_path / "c", fields=fields).tasks[0]
    assert other.task == "arithmetic_imported"
    assert "not taken for arithmetic" in other.notes[0]


def test_a_set_of_its_own_says_which_task_its_name_has(tmp_path: Path) -> None:
    fields = "text=out,problem=q,gold=gold"
    path = write_lines(tmp_path / "Model-7B__aime_2024_run1.jsonl", arithmetic_rows())
    (note,) = [n for n in imported(path, tmp_path / "a", fields=fields).tasks[0].notes if "of its own" in n]
    assert "import with -t aime24" in note
    assert not any("of its own" in n for n in imported(path, tmp_path / "b", fields=fields, kind="math").tasks[0].notes)
    plain = write_lines(tmp_path / "outputs.jsonl", arithmetic_rows())
    assert not any("of its own" in n for n in imported(plain, tmp_path / "c", fields=fields).tasks[0].notes)


def test_a_task_has_its_options_at_an_import_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    old = " ".join(f"old{i}" for i in range(80))
    new = " ".join(f"new{i}" for i in range(80))
    make_data(data, make_row("old", "2023-06-01T00:00:00", question_content=old), make_row("new", question_content=new))
    rows = [{"q": text, "out": "```python\nprint(1)\n```"} for text in (old, new)]
    path = write_lines(tmp_path / "x.jsonl", rows)
    release = "release=release_v1"

    def done(name: str, *options: str) -> ImportedRun:
        fields, task = "text=out,problem=q", "livecodebench"
        return imported(path, tmp_path / name, fields=fields, task=task, data=data, task_options=(release, *options))

    with pytest.raises(EvalkitError, match=r"1 of 2 problems .* are not in livecodebench \(release=release_v1, window="
                                           r"2024-08-01:2025-01-31\)") as caught:  # fmt: skip
        done("a")
    assert "which -T sets" in caught.value.hint
    run = RunDirectory(done("b", "livecodebench.window=all").path)
    assert run.task("livecodebench").record.spec["options"] == {"release": "release_v1", "window": "all"}
    with pytest.raises(EvalkitError, match="No task of this run has the option 'windo=all'"):
        done("c", "windo=all")
    assert not (tmp_path / "c").exists()


def test_an_ungraded_import_is_not_to_be_resumed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"q": "Why?", "out": "So."}])
    imported(path, tmp_path / "runs" / "r", fields="text=out,problem=q")
    with pytest.raises(
        RunIncompleteError, match="x is not graded: it was imported without the right answers"
    ) as caught:
        load_entries([tmp_path / "runs"])
    assert "import the log again with -t TASK" in caught.value.hint


COMMAND_ROWS = re.compile(r"^\| ([^|]+?) \| `evalkit import (\S+)([^`]*)` \|", re.MULTILINE)
OF_THE_PAGE = {
    "lm-evaluation-harness": "lm_eval",
    "inspect": "inspect zstandard",
    "OpenCompass": "opencompass",
    "NeMo-Skills": "nemo_skills",
    "SkyThought": "skythought",
    "Qwen2.5-Math and forks": "qwen_math",
    "LIMO": "limo",
    "QwQ": "qwq",
    "simple-evals": "simple_evals",
    "MathArena": "matharena",
    "LiveCodeBench": "livecodebench",
    "HELM": "helm",
    "verl (rllm)": "verl",
    "OpenAI or vLLM batch": "openai_batch",
}


def test_the_page_has_a_command_that_works_for_each_harness(tmp_path: Path) -> None:
    from evalkit.cli.import_log import command

    page = (REPOSITORY / "docs" / "importing.md").read_text()
    rows = {title: options.split() for title, _, options in COMMAND_ROWS.findall(page)}
    assert rows.pop("anything else")[0] == "--map"
    assert {OF_THE_PAGE.get(title, title) for title in rows} - {"inspect zstandard"} | {"inspect"} == {
        peer for peer, _ in WRITERS.values()
    }
    for title, options in rows.items():
        log = WRITERS[OF_THE_PAGE.get(title, title)][1](tmp_path / title.replace(" ", "-"))
        if "-t" in options:  # a task's data set is not at hand here
            assert options[-2] == "-t"
            options = options[:-2]
        run = tmp_path / "runs" / title.replace(" ", "-")
        command.main([str(log), "-o", str(run), "--no-score", *options], standalone_mode=False)
        assert sum(1 for t in RunDirectory(run).tasks().values() for _ in t.files.completions()) == 4, title
