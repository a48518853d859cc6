"""Logs that are cut, mixed, of wrong types, or made to do harm: name -> a function that writes one."""

import gzip
import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from peer_logs import (
    PROBLEMS,
    WRITERS,
    inspect_header,
    inspect_members,
    inspect_samples,
    inspect_zip,
    lm_eval_rows,
    simple_evals_content,
    text,
    write,
    write_inspect_json,
    write_inspect_zstandard,
    write_lines,
    write_parquet,
    zstandard,
)
from pyarrow import parquet

Writer = Callable[[Path], Path]
DAMAGED: dict[str, Writer] = {}


def damaged(function: Writer) -> Writer:
    DAMAGED[function.__name__.replace("_", " ")] = function
    return function


def rows() -> list[dict[str, Any]]:
    return lm_eval_rows(("first",))


def changed(layout: str, name: str, folder: Path, change: Callable[[bytes], bytes]) -> Path:
    """A log whose file of that name is changed, in a folder as its harness has it."""
    path = WRITERS[layout][1](folder)
    (file,) = [p for p in folder.rglob("*") if p.name == name]
    file.write_bytes(change(file.read_bytes()))
    return path


@damaged
def an_eval_cut_in_the_middle(folder: Path) -> Path:
    path = write_inspect_zstandard(folder)
    return write(path, path.read_bytes()[: path.stat().st_size // 2])


@damaged
def an_eval_cut_before_its_directory(folder: Path) -> Path:
    return write(folder / "log.eval", inspect_zip(inspect_members())[:-30])


@damaged
def an_eval_with_a_flipped_bit_in_a_deflated_member(folder: Path) -> Path:
    data = bytearray(inspect_zip(inspect_members(), zipfile.ZIP_STORED))
    data[data.index(b"So it is")] ^= 1
    return write(folder / "log.eval", bytes(data))


@damaged
def an_eval_with_a_cut_zstandard_frame(folder: Path) -> Path:
    path = write_inspect_zstandard(folder)
    data = bytearray(path.read_bytes())
    at = data.index(b"samples/") + 60
    data[at : at + 8] = b"\x00" * 8
    return write(path, bytes(data))


@damaged
def an_eval_with_an_encrypted_member(folder: Path) -> Path:
    data = bytearray(inspect_zip(inspect_members()))
    for at in [i for i in range(len(data) - 4) if data[i : i + 4] == b"PK\x01\x02"]:
        data[at + 8] |= 1
    return write(folder / "log.eval", bytes(data))


@damaged
def an_eval_with_a_member_twice(folder: Path) -> Path:
    buffer = io.BytesIO(inspect_zip(inspect_members()))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("header.json", json.dumps(inspect_header()))
    return write(folder / "log.eval", buffer.getvalue())


@damaged
def an_eval_that_unpacks_to_much_more(folder: Path) -> Path:
    members = {**inspect_members(), "samples/bomb_epoch_1.json": b'{"id": "' + b"a" * (1 << 28)}
    return write(folder / "log.eval", inspect_zip(members))


@damaged
def an_eval_that_lies_about_a_members_size(folder: Path) -> Path:
    data = bytearray(inspect_zip({**inspect_members(), "samples/bomb_epoch_1.json": b" " * (1 << 28)}))
    for at in [i for i in range(len(data) - 4) if data[i : i + 4] == b"PK\x01\x02"]:
        if struct.unpack_from("<I", data, at + 24)[0] == 1 << 28:
            struct.pack_into("<I", data, at + 24, 100)
    return write(folder / "log.eval", bytes(data))


@damaged
def an_eval_of_a_newer_version(folder: Path) -> Path:
    return write(folder / "l.json", {**inspect_header(), "version": 3, "samples": inspect_samples()})


@damaged
def an_eval_of_a_run_that_was_killed(folder: Path) -> Path:
    members = inspect_members()
    header = inspect_header()
    start = {"version": 2, "eval": header["eval"], "plan": header["plan"]}
    del members["header.json"]
    return write(folder / "log.eval", inspect_zip({**members, "_journal/start.json": json.dumps(start).encode()}))


@damaged
def an_inspect_sample_with_an_epoch_that_is_text(folder: Path) -> Path:
    samples = [{**s, "epoch": "one"} for s in inspect_samples()]
    return write(folder / "l.json", {**inspect_header(), "samples": samples})


@damaged
def an_inspect_sample_with_a_picture(folder: Path) -> Path:
    samples = inspect_samples()
    samples[0]["output"]["choices"][0]["message"]["content"] = [{"type": "image", "image": "data:,"}]
    return write(folder / "l.json", {**inspect_header(), "samples": samples})


@damaged
def an_inspect_log_with_something_after_its_end(folder: Path) -> Path:
    path = write_inspect_json(folder)
    return write(path, path.read_text() + "{}")


@damaged
def an_inspect_log_whose_samples_are_cut(folder: Path) -> Path:
    path = write_inspect_json(folder)
    return write(path, path.read_text()[:-200])


@damaged
def lines_of_which_the_last_is_cut(folder: Path) -> Path:
    path = write_lines(folder / "s.jsonl", rows())
    return write(path, path.read_text()[:-40])


@damaged
def lines_of_which_one_in_the_middle_is_not_json(folder: Path) -> Path:
    lines = [json.dumps(row) for row in rows()]
    return write(folder / "s.jsonl", "\n".join([lines[0], '{"doc_id": 1, "arguments": oops}', lines[1]]) + "\n")


@damaged
def lines_with_a_row_of_another_harness(folder: Path) -> Path:
    other = {"question": "?", "code": ["x"], "gt": "1"}
    return write_lines(folder / "s.jsonl", [*rows(), other])


@damaged
def lines_of_two_runs(folder: Path) -> Path:
    second = [{**row, "resps": [["\\boxed{1}", "\\boxed{2}"]]} for row in rows()]
    return write_lines(folder / "s.jsonl", [*rows(), *second])


@damaged
def lines_with_a_text_that_is_a_number(folder: Path) -> Path:
    return write_lines(folder / "s.jsonl", [{**row, "resps": [[1, 2]]} for row in rows()])


@damaged
def lines_with_a_text_that_is_nan(folder: Path) -> Path:
    return write_lines(folder / "s.jsonl", [{**row, "resps": [[float("nan")]]} for row in rows()])


@damaged
def lines_with_several_requests_a_problem(folder: Path) -> Path:
    return write_lines(folder / "s.jsonl", [{**row, "resps": [["a"], ["b"]]} for row in rows()])


@damaged
def lines_with_a_number_of_ten_thousand_digits(folder: Path) -> Path:
    huge = json.dumps(rows()[0]).replace('"doc_id": 0', '"doc_id": ' + "9" * 10_000)
    return write(folder / "s.jsonl", huge + "\n" + json.dumps(rows()[1]) + "\n")


@damaged
def lines_that_are_nested_a_hundred_thousand_deep(folder: Path) -> Path:
    deep = json.dumps(rows()[0])[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
    return write(folder / "s.jsonl", json.dumps(rows()[1]) + "\n" + deep)


@damaged
def lines_in_latin_1(folder: Path) -> Path:
    line = json.dumps({**rows()[0], "doc": {"id": "é"}}, ensure_ascii=False)
    return write(folder / "s.jsonl", (json.dumps(rows()[1]) + "\n" + line + "\n").encode("latin-1"))


@damaged
def lines_with_token_counts_that_are_huge(folder: Path) -> Path:
    row = {"expected_answer": "1", "generation": "x", "num_generated_tokens": 10**30, "predicted_answer": "1"}
    return write_lines(folder / "output-rs0.jsonl", [row])


@damaged
def lines_with_token_counts_below_zero(folder: Path) -> Path:
    row = {"expected_answer": "1", "generation": "x", "num_generated_tokens": -5, "predicted_answer": "1"}
    return write_lines(folder / "output-rs0.jsonl", [row])


@damaged
def lines_trimmed_to_metrics(folder: Path) -> Path:
    rows_left = [{"id": i, "predicted_answer": "1", "symbolic_correct": True} for i in range(3)]
    return write_lines(folder / "output-rs0.jsonl", rows_left)


@damaged
def a_chunk_of_an_unfinished_generation(folder: Path) -> Path:
    row = {"expected_answer": "1", "generation": "x", "num_generated_tokens": 5, "predicted_answer": "1"}
    return write_lines(folder / "output-rs0_chunk_1.jsonl", [row])


@damaged
def an_empty_file(folder: Path) -> Path:
    return write(folder / "s.jsonl", "")


@damaged
def an_empty_folder(folder: Path) -> Path:
    (folder / "logs").mkdir(parents=True)
    return folder / "logs"


@damaged
def a_pickle(folder: Path) -> Path:
    class Harm:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (print, ("a pickle was run",))

    return write(folder / "responses.pkl", pickle.dumps([Harm(), rows()]))


@damaged
def a_pickle_in_a_parquet_column(folder: Path) -> Path:
    row = {"example": "?", "full_prompt": "?", "predictions": pickle.dumps(["x"]), "gold": "['1']", "metrics": "{}"}
    return write_parquet(folder / "details_mix|0_2026-01-02T03-04-05.1.parquet", [row])


@damaged
def a_parquet_whose_strings_call_functions(folder: Path) -> Path:
    harm = "[__import__('os').system('echo harm')]"
    row = {"example": "?", "full_prompt": "?", "predictions": harm, "gold": "['1']", "metrics": "{}"}
    return write_parquet(folder / "details_mix|0_2026-01-02T03-04-05.1.parquet", [row])


@damaged
def a_parquet_with_other_columns(folder: Path) -> Path:
    return write_parquet(folder / "details_mix|0_2026-01-02T03-04-05.1.parquet", [{"prompt": "x", "answer": "y"}])


@damaged
def a_parquet_of_log_likelihoods(folder: Path) -> Path:
    row = {"example": "?", "full_prompt": "?", "predictions": [], "gold": ["1"], "metrics": {"acc": 1.0}}
    table = pa.Table.from_pylist([row])
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, folder / "d.parquet")
    return folder / "d.parquet"


@damaged
def a_parquet_whose_gold_index_points_nowhere(folder: Path) -> Path:
    doc = {"query": "?", "choices": ["A", "B"], "gold_index": 7, "id": "0"}
    response = {"text": ["A"], "input": None, "reasonings": []}
    return write_parquet(folder / "d.parquet", [{"doc": doc, "metric": {"a": 1.0}, "model_response": response}])


@damaged
def a_parquet_cut_in_the_middle(folder: Path) -> Path:
    path = WRITERS["lighteval"][1](folder)
    (file,) = path.rglob("*.parquet")
    return write(file, file.read_bytes()[:200])


@damaged
def a_parquet_with_damaged_pages(folder: Path) -> Path:
    path = WRITERS["lighteval 0.7"][1](folder)
    (file,) = path.rglob("*.parquet")
    data = bytearray(file.read_bytes())
    data[4:300] = bytes(296)
    return write(file, bytes(data))


@damaged
def a_gz_that_is_cut(folder: Path) -> Path:
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows() * 1).encode())
    return write(folder / "s.jsonl.gz", whole[:-20])


@damaged
def a_gz_that_unpacks_to_much_more(folder: Path) -> Path:
    first = json.dumps(rows()[0]).encode() + b"\n"
    return write(folder / "s.jsonl.gz", gzip.compress(first + b" " * (1 << 28)))


@damaged
def a_zst_that_is_cut(folder: Path) -> Path:
    whole = zstandard("".join(json.dumps(row) + "\n" for row in rows()).encode())
    return write(folder / "s.jsonl.zst", whole[:-20])


@damaged
def a_zip_of_nothing_but_paths_that_lead_out(folder: Path) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../../../etc/cron.d/evil", "* * * * * root true")
        archive.writestr("/etc/passwd", "root::0:0::/:/bin/sh")
    return write(folder / "logs.zip", buffer.getvalue())


@damaged
def a_folder_with_a_link_that_leads_out(folder: Path) -> Path:
    outside = write_lines(folder / "outside" / "s.jsonl", rows())
    (folder / "logs").mkdir()
    (folder / "logs" / "s.jsonl").symlink_to(outside)
    return folder / "logs"


@damaged
def a_zst_problem_that_is_not_json(folder: Path) -> Path:
    start = b'{"idx": 1, "problem": "?", "N": 1, "messages": [[{"role": "user", "content": "?"}]], "answers": '
    return write(folder / "1.json.zst", zstandard(start + b"oops}"))


@damaged
def a_conversation_with_tool_calls(folder: Path) -> Path:
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "type": "tool_call", "content": "x"}]
    record = {"idx": 1, "problem": "?", "messages": [talk], "answers": ["1"], "correct": [True]}
    return write(folder / "1.json", record)


@damaged
def verdicts_of_another_number_than_the_texts(folder: Path) -> Path:
    row = {"idx": 0, "question": "?", "gt": "1", "code": ["a", "b"], "pred": ["1"], "score": [True]}
    return write_lines(folder / "test.jsonl", [row])


@damaged
def verdicts_of_other_prompts(folder: Path) -> Path:
    WRITERS["qwq"][1](folder)
    graded = folder / "eval_res" / "sums.jsonl"
    graded.write_bytes(graded.read_bytes().replace(b"What is 12", b"What is 13"))
    return folder / "output"


@damaged
def verdicts_of_a_stale_file(folder: Path) -> Path:
    return changed(
        "evalplus",
        "student_openai_temp_0.6_eval_results.json",
        folder,
        lambda data: data.replace(b"HumanEval/1", b"HumanEval/7"),
    )


@damaged
def predictions_with_a_hole(folder: Path) -> Path:
    entries = {str(i): {"origin_prompt": "?", "prediction": "x", "gold": "1"} for i in (0, 1, 3)}
    return write(folder / "sums.json", entries)


@damaged
def predictions_with_a_number_twice(folder: Path) -> Path:
    entry = json.dumps({"origin_prompt": "?", "prediction": "x", "gold": "1"})
    return write(folder / "sums.json", f'{{"0": {entry}, "1": {entry}, "0": {entry}}}')


@damaged
def predictions_that_recur_but_not_end_to_end(folder: Path) -> Path:
    prompts = ["a", "b", "a", "a"]
    entries = {str(i): {"origin_prompt": p, "prediction": "x", "gold": "1"} for i, p in enumerate(prompts)}
    return write(folder / "sums.json", entries)


@damaged
def predictions_under_way(folder: Path) -> Path:
    return write(folder / "tmp_sums.json", {"0": {"origin_prompt": "?", "prediction": "x", "gold": "1"}})


@damaged
def reports_of_another_number_than_the_conversations(folder: Path) -> Path:
    content = simple_evals_content()
    content["htmls"].pop()
    return write(folder / "math_m_allresults.json", content)


@damaged
def aggregates_alone(folder: Path) -> Path:
    return write(folder / "results.json", {"results": {"sums": {"acc,none": 0.5}}, "configs": {}, "versions": {}})


@damaged
def episodes_with_two_traces(folder: Path) -> Path:
    path = WRITERS["verifiers"][1](folder)
    episodes = [json.loads(line) for line in path.read_text().splitlines()]
    episodes[0]["traces"] *= 2
    return write_lines(path, episodes)


@damaged
def rollouts_in_which_nothing_was_generated(folder: Path) -> Path:
    row = {"example_id": 0, "prompt": [{"role": "user", "content": "?"}], "completion": [], "reward": 0.0, "answer": ""}
    return write_lines(folder / "results.jsonl", [row] * 2)


@damaged
def problems_without_any_completion(folder: Path) -> Path:
    return write_lines(folder / "test.jsonl", [{"problem": p, "answer": a} for _, p, a in PROBLEMS])


@damaged
def a_log_that_was_not_graded_to_its_end(folder: Path) -> Path:
    entry = {"problem": "?", "answer": "1", "responses": [{"content": text(0, 0), "correctness": None}]}
    return write(folder / "results.json", {"0": entry})


@damaged
def a_python_config(folder: Path) -> Path:
    return write(folder / "config.py", "import os\nos.system('echo harm')\n")
