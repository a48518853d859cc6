"""Layouts of other versions, as the harnesses' own histories show them: read right, or refused in a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peer_logs
import pytest
from peer_logs import ANSWERS, MODEL, PROBLEMS, right, text, write, write_lines
from test_importers import only_log, samples_of

from evalkit import EvalkitError
from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample

Rows = list[dict[str, Any]]


def edited(path: Path, change: Callable[[Any], Any]) -> Path:
    """A JSON file with its content changed."""
    return write(path, change(json.loads(path.read_text())))


def edited_lines(path: Path, change: Callable[[Rows], Rows]) -> Path:
    return write_lines(path, change([json.loads(line) for line in path.read_text().splitlines()]))


def told_of(path: Path) -> dict[tuple[str, int], tuple[str, str | None, list[float]]]:
    return {
        (s.problem_id, s.sample_index): (s.text, s.gold, [v.value for v in s.verdicts])
        for s in only_log(path).samples()
    }


def everything(gold: bool = True) -> dict[tuple[int, int], tuple[str, str | None]]:
    return {(i, k): (text(i, k), PROBLEMS[i][2] if gold else None) for i in range(2) for k in range(2)}


def texts_and_golds(path: Path) -> dict[tuple[int, int], tuple[str, str | None]]:
    return {key: (s.text, s.gold) for key, s in samples_of(path).items()}


def test_lm_evals_results_may_be_named_by_the_output_path(tmp_path: Path) -> None:
    folder = peer_logs.write_lm_eval(tmp_path)
    (results,) = folder.glob("results_*.json")
    results.rename(folder / results.name.replace("results_", "mine_"))
    log = only_log(folder)
    assert log.facts().model == MODEL
    assert [v.scope for v in samples_of(folder)[0, 0].verdicts] == ["first sample", "majority"]


def test_lm_eval_before_filters_had_names_in_a_row(tmp_path: Path) -> None:
    """0.4.3 to 0.4.6: one row for each problem and filter, in the task's order of filters."""
    folder = peer_logs.write_lm_eval(tmp_path)
    (samples,) = folder.glob("samples_*.jsonl")
    hidden = ("filter", "metrics")
    edited_lines(samples, lambda rows: [{k: v for k, v in row.items() if k not in hidden} for row in rows])
    assert [(v.name, v.scope) for v in samples_of(folder)[0, 0].verdicts] == [
        ("exact_match,first", "first sample"),
        ("exact_match,maj@2", "majority"),
    ]


def test_a_lighteval_task_without_right_answers_has_none(tmp_path: Path) -> None:
    doc = {"query": "Write a poem.", "choices": [], "gold_index": 0, "id": "0", "specific": None}
    response = {"text": ["Roses are red."], "input": None, "reasonings": []}
    row = {"doc": doc, "metric": {"prompt_level_strict_acc": 1.0}, "model_response": response}
    import pyarrow as pa
    from pyarrow import parquet

    kinds = pa.struct([("query", pa.string()), ("choices", pa.list_(pa.string())), ("gold_index", pa.int64())])
    kinds = pa.struct([*kinds, ("id", pa.string()), ("specific", pa.string())])
    table = pa.Table.from_pylist([row])
    table = table.set_column(0, "doc", pa.array([doc], kinds))
    parquet.write_table(table, tmp_path / "x.parquet")
    (sample,) = only_log(tmp_path / "x.parquet").samples()
    assert (sample.gold, sample.text) == (None, "Roses are red.")


def finished_backwards(folder: Path, place: Callable[[int], dict[str, Any]]) -> None:
    """Rows of evalscope 0.x in the order in which requests were answered."""
    (predictions,) = folder.glob("run/predictions/*/*.jsonl")
    edited_lines(predictions, lambda rows: [{**row, **place(i)} for i, row in enumerate(rows)][::-1])


@pytest.mark.parametrize("nested", [True, False])
def test_evalscope_rows_keep_their_index_whatever_the_order(nested: bool, tmp_path: Path) -> None:
    peer_logs.write_evalscope_old(tmp_path)
    finished_backwards(tmp_path, lambda i: {"origin_prompt": {"data": [""], "index": i}} if nested else {"index": i})
    assert texts_and_golds(tmp_path) == everything()
    assert {(s.problem_id, s.position) for s in only_log(tmp_path).samples()} == {
        ("sums_default#0", 0),
        ("sums_default#1", 1),
    }


def test_evalscope_without_a_folder_for_the_model(tmp_path: Path) -> None:
    """Up to 0.7."""
    peer_logs.write_evalscope_old(tmp_path / "log")
    for kind in ("predictions", "reviews"):
        data = (tmp_path / "log" / "run" / kind / "student" / "sums_default.jsonl").read_text()
        write(tmp_path / "flat" / kind / "sums_default.jsonl", data)
    assert texts_and_golds(tmp_path / "flat") == everything()
    assert all(s.verdicts for s in samples_of(tmp_path / "flat").values())


def test_an_evalscope_row_without_an_answer_is_an_error(tmp_path: Path) -> None:
    peer_logs.write_evalscope_old(tmp_path)
    (predictions,) = tmp_path.glob("run/predictions/*/*.jsonl")
    edited_lines(predictions, lambda rows: [{**rows[0], "choices": []}, rows[1]])
    failed = [s for s in only_log(tmp_path).samples() if s.error is not None]
    assert [s.problem_id for s in failed] == ["sums_default#0"]


def test_evalscope_reviews_without_a_target_or_with_groups_as_text(tmp_path: Path) -> None:
    run = peer_logs.write_evalscope(tmp_path)
    (reviews,) = run.glob("reviews/*/*.jsonl")

    def change(rows: Rows) -> Rows:
        for row in rows:
            row["sample_score"]["group_id"] = str(row["sample_score"]["group_id"])
            row["target"] = None
        return rows

    edited_lines(reviews, change)
    assert texts_and_golds(run) == everything(gold=False)


def test_evalscopes_configuration_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    run = peer_logs.write_evalscope(tmp_path)
    (run / "configs" / "task_config.yaml").rename(run / "configs" / "task_config_1a2b3c.yaml")
    assert dict(only_log(run).facts().sampling) == {"temperature": 0.6}


def test_the_greedy_output_of_nemo_skills_before_december_2024(tmp_path: Path) -> None:
    folder = peer_logs.write_nemo_skills(tmp_path)
    (folder / "output-rs1.jsonl").unlink()
    (folder / "output-rs0.jsonl").rename(folder / "output-greedy.jsonl")
    log = only_log(folder)
    assert log.task == "sums"
    assert {s.sample_index for s in log.samples()} == {0}


def test_seeds_of_other_problems_are_not_one_run_of_nemo_skills(tmp_path: Path) -> None:
    folder = peer_logs.write_nemo_skills(tmp_path)
    for file in folder.iterdir():
        edited_lines(file, lambda rows: [{k: v for k, v in row.items() if k != "id"} for row in rows])
    edited_lines(folder / "output-rs1.jsonl", lambda rows: rows[::-1])
    with pytest.raises(EvalkitError, match="another problem than that line"):
        list(only_log(folder).samples())


def opencompass_details(run: Path, detail: Callable[[int], dict[str, Any]]) -> None:
    (results,) = run.glob("results/*/*.json")
    edited(results, lambda found: {**found, "details": [detail(i) for i in range(2)]})


def test_opencompass_verdicts_of_rules_and_a_judge_in_turn(tmp_path: Path) -> None:
    run = peer_logs.write_opencompass(tmp_path)

    def detail(i: int) -> dict[str, Any]:
        rules = [{"pred": ANSWERS[i][k], "answer": PROBLEMS[i][2], "correct": False} for k in range(2)]
        both = [right(i, k) for k in range(2)]
        return {"example_abbr": f"sums_{i}", "rule_evaluation": rules, "cascade_correct": both}

    opencompass_details(run, detail)
    samples = samples_of(run)
    assert {key: s.verdicts[0].value for key, s in samples.items()} == {
        (i, k): float(right(i, k)) for i in range(2) for k in range(2)
    }
    assert samples[0, 1].answer == "41"


def test_opencompass_parts_of_a_set_are_one_log(tmp_path: Path) -> None:
    run = peer_logs.write_opencompass(tmp_path)
    (path,) = run.glob("predictions/*/sums.json")
    rows = json.loads(path.read_text())
    for part in range(2):
        half = [row for i, row in enumerate(rows.values()) if i // 2 == part]
        write(path.with_name(f"sums_{part}.json"), {str(i): row for i, row in enumerate(half)})
    path.unlink()
    log = only_log(run)
    assert log.task == "sums"
    assert len(list(log.samples())) == 4


def test_lm_eval_scopes_and_golds_that_are_no_list(tmp_path: Path) -> None:
    """A metric over several samples is of the problem; `['x'` is a gold as it stands."""
    folder = peer_logs.write_lm_eval(tmp_path)
    (path,) = folder.glob("samples_*.jsonl")
    rows = [
        {**row, "target": "['x' or]", "metrics": ["pass@2"], "pass@2": 1.0} for row in peer_logs.lm_eval_rows(("all",))
    ]
    write_lines(path, rows)
    samples = samples_of(folder)
    assert {sample.gold for sample in samples.values()} == {"['x' or]"}
    assert {verdict.scope for sample in samples.values() for verdict in sample.verdicts} == {"problem"}


def test_opencompass_verdicts_of_a_judge_alone(tmp_path: Path) -> None:
    run = peer_logs.write_opencompass(tmp_path)

    def detail(i: int) -> dict[str, Any]:
        letters = ["A" if right(i, k) else "B" for k in range(2)]
        return {"origin_prompt": ["Judge."] * 2, "prediction": letters, "gold": [PROBLEMS[i][2]] * 2}

    opencompass_details(run, detail)
    assert {key: s.verdicts[0].value for key, s in samples_of(run).items()} == {
        (i, k): float(right(i, k)) for i in range(2) for k in range(2)
    }


def test_opencompass_turns_are_no_samples(tmp_path: Path) -> None:
    asked = [{"role": "HUMAN", "prompt": "What is 12 + 30?"}]
    entry = {"origin_prompt": [asked, asked], "prediction": ["42", "43"], "gold": ["42", "43"]}
    path = write(tmp_path / "predictions" / "m" / "talk.json", {"0": entry})
    with pytest.raises(EvalkitError, match="several turns"):
        list(only_log(path).samples())


def test_a_set_may_ask_the_same_twice(tmp_path: Path) -> None:
    entries = {str(i): {"origin_prompt": f"Question {i}", "prediction": f"text {i}", "gold": "1"} for i in range(20)}
    entries["7"]["origin_prompt"] = "Question 3"
    samples = list(only_log(write(tmp_path / "predictions" / "m" / "set.json", entries)).samples())
    assert [(s.position, s.sample_index, s.text) for s in samples] == [(i, 0, f"text {i}") for i in range(20)]


def test_prompts_that_recur_in_disorder_are_refused(tmp_path: Path) -> None:
    order = [0, 1, 2, 3, 0, 2, 1, 3]
    entries = {str(i): {"origin_prompt": f"Question {q}", "prediction": "t", "gold": "1"} for i, q in enumerate(order)}
    with pytest.raises(EvalkitError, match="prompts recur"):
        list(only_log(write(tmp_path / "predictions" / "m" / "set.json", entries)).samples())


def bare_traces(folder: Path, nested: bool) -> Path:
    """verifiers 0.2: a line is a trace; in June 2026 its task was the data itself."""
    path = peer_logs.write_verifiers(folder / "log")
    rows = []
    for line in path.read_text().splitlines():
        episode = json.loads(line)
        trace, data = episode["traces"][0], episode["task"]["data"]
        data = data if nested else {**{k: v for k, v in data.items() if k != "prompt"}, "instruction": data["prompt"]}
        rewards = {name: one["score"] * one["weight"] for name, one in trace["rewards"].items()}
        nodes = [trace["nodes"][0], {**trace["nodes"][1], "finish_reason": "length"}]
        nodes[1]["usage"] = {"prompt_tokens": 4, "cached_input_tokens": 5, "completion_tokens": 20}
        task = {"type": "Sums", "data": data} if nested else data
        rows.append({"id": episode["id"], "task": task, "nodes": nodes, "rewards": rewards, "errors": []})
    run = folder / "sums--lab--student--null" / "1a2b"
    write(run / "config.toml", f'model = "{MODEL}"\n[sampling]\ntemperature = 0.6\n')
    return write_lines(run / "traces.jsonl", rows).parent


@pytest.mark.parametrize("nested", [True, False])
def test_bare_traces_of_verifiers(nested: bool, tmp_path: Path) -> None:
    run = bare_traces(tmp_path, nested)
    log = only_log(run)
    assert (log.task, log.facts().model, dict(log.facts().sampling)) == ("sums", MODEL, {"temperature": 0.6})
    assert texts_and_golds(run) == everything()
    for (i, k), sample in samples_of(run).items():
        assert [v.value for v in sample.verdicts] == [float(right(i, k))]
        assert (sample.finish_reason, sample.prompt_tokens, sample.completion_tokens) == ("length", 9, 20)


def test_verifiers_scoring_that_did_not_run_is_no_verdict(tmp_path: Path) -> None:
    path = peer_logs.write_verifiers(tmp_path)

    def change(rows: Rows) -> Rows:
        rows[0]["traces"][0]["rewards"] = {"boxed": None}
        del rows[1]["task"]  # 0.3 has it in the trace alone
        rows[1]["traces"][0]["task"] = {"data": {"idx": 0, "id": "p-1", "prompt": PROBLEMS[0][1], "answer": "42"}}
        return rows

    samples = samples_of(edited_lines(path, change))
    assert samples[0, 0].verdicts == ()
    assert samples[0, 1].verdicts != ()


def test_an_id_of_verifiers_that_stands_for_several_prompts_is_not_used(tmp_path: Path) -> None:
    """Until October 2025 ids were counted by rollout, and rollouts were stored set after set."""
    path = peer_logs.write_verifiers_old(tmp_path)

    def change(rows: Rows) -> Rows:
        by_set = [rows[i] for i in (0, 2, 1, 3)]
        return [{**{k: v for k, v in row.items() if k != "example_id"}, "id": i // 2} for i, row in enumerate(by_set)]

    assert texts_and_golds(edited_lines(path, change)) == everything()


def test_a_rollout_of_verifiers_without_a_completion_is_an_error(tmp_path: Path) -> None:
    path = peer_logs.write_verifiers_old(tmp_path)
    edited_lines(path, lambda rows: [{**rows[0], "completion": []}, {**rows[1], "completion": None}, *rows[2:]])
    assert [s.error is not None for s in only_log(path).samples()] == [True, True, False, False]
    edited_lines(path, lambda rows: [{**row, "completion": []} for row in rows])
    with pytest.raises(EvalkitError, match="nothing was generated"):
        list(only_log(path).samples())


def test_a_report_of_simple_evals_beside_its_results_names_them(tmp_path: Path) -> None:
    write(tmp_path / "math_m_allresults.json", peer_logs.simple_evals_content())
    report = tmp_path / "math_m.html"
    report.write_text("<!DOCTYPE html><h3>Prompt conversation</h3><p>Correct Answer: 1</p></html>")
    with pytest.raises(EvalkitError, match=r"its samples are in math_m_allresults\.json beside it: give that file"):
        find_logs(str(report))
    found = find_logs(str(tmp_path))
    assert ([log.where for log in found.logs], found.refused) == ([str(tmp_path / "math_m_allresults.json")], [])


def test_simple_evals_questions_of_the_same_words(tmp_path: Path) -> None:
    """MMLU has them; they differ in their choices alone."""
    content = peer_logs.simple_evals_content()
    convos, htmls = [], []
    for i in range(12):
        asked = f"Which is true?\n\nA) {i}\nB) x" if i in (4, 9) else f"Question {i}?\n\nA) a\nB) b"
        convos.append([{"role": "user", "content": asked}, {"role": "assistant", "content": f"Answer: A {i}"}])
        htmls.append("<p>Correct Answer: A</p>\n<p>Extracted Answer: A</p>\n<p>Score: 1.0</p>")
    path = write(tmp_path / "mmlu_m_allresults.json", {**content, "convos": convos, "htmls": htmls})
    samples = list(only_log(path).samples())
    assert [(s.position, s.sample_index) for s in samples] == [(i, 0) for i in range(12)]
    assert samples[9].choices == ("9", "x")


def test_verdicts_of_qwq_in_another_order(tmp_path: Path) -> None:
    """Programs are run in parallel, and eval_res/ has them as they end, with a verdict of another name."""
    folder = peer_logs.write_qwq(tmp_path)

    def change(rows: Rows) -> Rows:
        return [{**{k: v for k, v in row.items() if k != "accuracy"}, "pass-1": row["accuracy"]} for row in rows[::-1]]

    edited_lines(folder / "eval_res" / "sums.jsonl", change)
    assert {key: [v.value for v in s.verdicts] for key, s in samples_of(folder).items()} == {
        (i, k): [float(right(i, k))] for i in range(2) for k in range(2)
    }


def test_matharena_of_february_2025(tmp_path: Path) -> None:
    """A share of right answers for each problem, and plain messages."""
    messages = [
        [{"role": "user", "content": PROBLEMS[0][1]}, {"role": "assistant", "content": text(0, k)}] for k in range(2)
    ]
    record = {"idx": 0, "problem": PROBLEMS[0][1], "gold_answer": 42, "messages": messages, "answers": [42, None]}
    record |= {"model_answer": None, "pass_at_1": 0.5, "cost": {"cost": 0.1}, "warnings": [False, True]}
    run = tmp_path / "outputs" / "aime_2025" / "lab" / "student"
    write(run / "1.json", record)
    samples: list[ImportedSample] = list(only_log(run).samples())
    assert [(s.text, s.gold) for s in samples] == [(text(0, k), "42") for k in range(2)]
    assert [(v.scope, v.value) for s in samples for v in s.verdicts] == [("problem", 0.5)] * 2
    assert [s.answer for s in samples] == ["42", None]


def test_evalplus_results_before_0_3(tmp_path: Path) -> None:
    folder = peer_logs.write_evalplus(tmp_path)
    (folder / "student_openai_temp_0.6.raw.jsonl").unlink()

    def change(found: dict[str, Any]) -> dict[str, Any]:
        old = {
            task: {
                "nfiles": 2,
                "base": [[one["base_status"], []] for one in results],
                "plus": [[one["plus_status"], []] for one in results],
            }
            for task, results in found["eval"].items()
        }
        return {**found, "eval": old}

    edited(folder / "student_openai_temp_0.6_eval_results.json", change)
    assert [s.verdicts[0].value for s in only_log(folder).samples()] == [
        float(right(i, k)) for i in range(2) for k in range(2)
    ]


def test_other_scenarios_of_livecodebench_are_refused(tmp_path: Path) -> None:
    row = {"question_id": "1", "test_id": 0, "output_list": ["x"], "pred_list": ["x"]}
    path = write(tmp_path / "m" / "Scenario.testoutputprediction_1_0.2.json", [row])
    with pytest.raises(EvalkitError, match="another scenario"):
        only_log(path)


def test_executed_programs_in_a_completion_are_told(tmp_path: Path) -> None:
    path = peer_logs.write_qwen_math(tmp_path)
    other = path.rename(path.with_name("test_tool-integrated_-1_seed0_t0.0_s0_e-1.jsonl"))
    assert "programs" in only_log(other).facts().notes[0]


def test_every_task_of_an_evalchemy_file_is_a_log(tmp_path: Path) -> None:
    path = peer_logs.write_evalchemy(tmp_path)

    def change(found: dict[str, Any]) -> dict[str, Any]:
        sums = found["results"]["Sums"]
        return {**found, "results": {"Sums": sums, "Counted": {"acc": 0.5}, "n": 1, "More": sums}}

    logs = find_logs(str(edited(path, change))).logs
    assert {log.task: len(list(log.samples())) for log in logs} == {"Sums": 4, "More": 4}
