"""Small logs in the layouts of other harnesses: two problems with two samples each, right and wrong ones."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

PROBLEMS = (("p-1", "What is 12 + 30?", "42"), ("p-2", "What is 7 * 9?", "63"))
ANSWERS = (("42", "41"), ("63", "63"))
MODEL = "lab/student"


def text(problem: int, sample: int) -> str:
    return f"I add\n</think>\n\nSo it is \\boxed{{{ANSWERS[problem][sample]}}}."


def right(problem: int, sample: int) -> bool:
    return ANSWERS[problem][sample] == PROBLEMS[problem][2]


def write(path: Path, content: Any) -> Path:
    """Write text or bytes as they are, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def write_lines(path: Path, rows: list[Any]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def zstandard(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


def lm_eval_rows(filters: tuple[str, ...] = ("first", "maj@2")) -> list[dict[str, Any]]:
    return [
        {
            "doc_id": i,
            "doc": {"id": problem_id, "problem": problem, "answer": gold},
            "target": gold,
            "arguments": {"gen_args_0": {"arg_0": f"User: {problem}\n<think>\n", "arg_1": {"until": []}}},
            "resps": [[text(i, 0), text(i, 1)]],
            "filtered_resps": [ANSWERS[i][0]],
            "filter": name,
            "metrics": ["exact_match"],
            "exact_match": float(right(i, 0)),
        }
        for name in filters
        for i, (problem_id, problem, gold) in enumerate(PROBLEMS)
    ]


def write_lm_eval(folder: Path) -> Path:
    date = "2026-01-02T03-04-05.678901"
    steps = [{"function": "take_first"}]
    filters = [
        {"name": "first", "filter": steps},
        {"name": "maj@2", "filter": [{"function": "majority_vote"}, *steps]},
    ]
    config = {"generation_kwargs": {"temperature": 0.6, "top_p": 0.95, "max_gen_toks": 64}, "filter_list": filters}
    results = {
        "results": {"sums": {"exact_match,first": 1.0}},
        "configs": {"sums": config},
        "config": {"model": "hf", "model_args": {"pretrained": MODEL}},
        "lm_eval_version": "0.4.13",
    }
    write(folder / "m" / f"results_{date}.json", results)
    return write_lines(folder / "m" / f"samples_sums_{date}.jsonl", lm_eval_rows()).parent


def write_lm_eval_old(folder: Path) -> Path:
    """0.4.2: a JSON list, arguments as lists, no filter names; two filters give two rows."""
    rows = []
    for row in lm_eval_rows():
        argument = row["arguments"]["gen_args_0"]
        rows.append({**row, "arguments": [[argument["arg_0"], argument["arg_1"]]]})
        del rows[-1]["filter"], rows[-1]["metrics"]
    results = {
        "results": {"sums": {}},
        "configs": {"sums": {"repeats": 2}},
        "config": {"model": "hf", "model_args": f"pretrained={MODEL},dtype=float32"},
    }
    write(folder / "results.json", results)
    return write(folder / "pretrained__student_sums.jsonl", json.dumps(rows, indent=2)).parent


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def _details(folder: Path, label: str) -> Path:
    date = "2026-01-02T03-04-05.678901"
    general = {"model_config": {"model_name": MODEL, "generation_parameters": {"temperature": 0.6}}}
    write(folder / "results" / "lab" / "student" / f"results_{date}.json", {"config_general": general, "results": {}})
    return folder / "details" / "lab" / "student" / date / f"details_{label}_{date}.parquet"


def write_lighteval(folder: Path) -> Path:
    rows = [
        {
            "doc": {"query": problem, "choices": [gold], "gold_index": 0, "id": str(i), "specific": None},
            "metric": {"avg@n:n=2": (right(i, 0) + right(i, 1)) / 2},
            "model_response": {"text": [text(i, 0), text(i, 1)], "input": None, "reasonings": []},
        }
        for i, (_, problem, gold) in reversed(list(enumerate(PROBLEMS)))
    ]
    write_parquet(_details(folder, "sums|0"), rows)
    return folder


def write_lighteval_typed(folder: Path) -> Path:
    """0.8 to 0.10: columns."""
    rows = [
        {
            "example": problem,
            "full_prompt": f"User: {problem}\n<think>\n",
            "predictions": [text(i, 0), text(i, 1)],
            "gold": [gold],
            "metrics": {"math_pass@1:2_samples": (right(i, 0) + right(i, 1)) / 2},
        }
        for i, (_, problem, gold) in enumerate(PROBLEMS)
    ]
    write_parquet(_details(folder, "lighteval|sums|0"), rows)
    return folder


def write_lighteval_strings(folder: Path) -> Path:
    """0.4 to 0.7: every column is the `str` of its value."""
    rows = [
        {
            "example": problem,
            "full_prompt": f"User: {problem}\n<think>\n",
            "predictions": str([text(i, 0), text(i, 1)]),
            "gold": str([gold]),
            "metrics": f"{{'math_pass@1:2_samples': np.float64({(right(i, 0) + right(i, 1)) / 2}), 'other': nan}}",
        }
        for i, (_, problem, gold) in enumerate(PROBLEMS)
    ]
    write_parquet(_details(folder, "custom|sums|0"), rows)
    return folder


def inspect_header() -> dict[str, Any]:
    made = {"task": "lab/sums", "task_id": "t1", "eval_id": "e1", "model": MODEL, "packages": {"inspect_ai": "0.3.285"}}
    plan = {"config": {"temperature": 0.6, "max_tokens": 64}}
    return {"version": 2, "status": "success", "eval": made, "plan": plan, "results": None}


def inspect_samples() -> list[dict[str, Any]]:
    samples = []
    for i, (problem_id, problem, gold) in enumerate(PROBLEMS):
        for k in range(2):
            message = {"role": "assistant", "content": text(i, k), "source": "generate"}
            usage = {"input_tokens": 10, "output_tokens": 20}
            choice = {"message": message, "stop_reason": "max_tokens" if k else "stop"}
            score = {"value": "C" if right(i, k) else "I", "answer": ANSWERS[i][k]}
            samples.append(
                {
                    "id": f"test/{problem_id}",
                    "epoch": k + 1,
                    "input": problem,
                    "target": gold,
                    "messages": [{"role": "user", "content": problem}, message],
                    "output": {"choices": [choice], "usage": usage, "time": 1.5},
                    "scores": {"match": score},
                }
            )
    return samples


def write_inspect_json(folder: Path) -> Path:
    return write(folder / "log.json", {**inspect_header(), "samples": inspect_samples()})


def inspect_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An .eval; method 93 packs the members as Zstandard, each in two frames."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if method == 93 else method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue() if method != 93 else _zstandard_zip(members)


def _zstandard_zip(members: dict[str, bytes]) -> bytes:
    """Written by hand: Python's zipfile packs Zstandard since 3.14 only."""
    import struct
    import zlib

    body, directory = b"", b""
    for name, data in members.items():
        half = len(data) // 2
        packed = zstandard(data[:half]) + zstandard(data[half:])
        common = struct.pack(
            "<HHHHHIIIHH", 63, 0, 93, 0, 33, zlib.crc32(data), len(packed), len(data), len(name.encode()), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += name.encode()
        body += b"PK\x03\x04" + common + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def inspect_members() -> dict[str, bytes]:
    members = {f"samples/{s['id']}_epoch_{s['epoch']}.json": json.dumps(s).encode() for s in inspect_samples()}
    return {"_journal/start.json": b"{}", **members, "header.json": json.dumps(inspect_header()).encode()}


def write_inspect_deflate(folder: Path) -> Path:
    return write(folder / "log.eval", inspect_zip(inspect_members()))


def write_inspect_zstandard(folder: Path) -> Path:
    return write(folder / "log.eval", inspect_zip(inspect_members(), 93))


def write_evalscope(folder: Path) -> Path:
    run = folder / "20260102_030405"
    predictions, reviews = [], []
    for i, (problem_id, problem, gold) in enumerate(PROBLEMS):
        for k in range(2):
            index = 2 * i + k
            message = {"role": "assistant", "content": text(i, k)}
            output = {
                "choices": [{"message": message, "stop_reason": "stop"}],
                "usage": {"input_tokens": 10, "output_tokens": 20},
                "time": 1.5,
                "error": None,
            }
            messages = [{"role": "user", "content": problem}, message]
            row = {"index": index, "model": MODEL, "model_output": output, "messages": messages}
            predictions.append({**row, "metadata": {"question_id": problem_id}})
            score = {"value": {"acc": float(right(i, k))}, "extracted_prediction": ANSWERS[i][k]}
            sample = {"score": score, "group_id": i, "generation_index": k}
            reviews.append({"index": index, "target": [gold], "sample_score": sample})
    write(run / "configs" / "task_config.yaml", "repeats: 2\ngeneration_config:\n  temperature: 0.6\n")
    write_lines(run / "predictions" / "student" / "sums_default.jsonl", predictions[::-1])
    write_lines(run / "reviews" / "student" / "sums_default.jsonl", reviews)
    return run


def write_evalscope_old(folder: Path) -> Path:
    """Before 1.0: a row is a problem, the reviews repeat it with a verdict in each choice."""
    predictions, reviews = [], []
    for i, (_, problem, gold) in enumerate(PROBLEMS):
        choices = [{"message": {"content": text(i, k)}, "finish_reason": "stop"} for k in range(2)]
        row = {"answer_id": f"answer-{i}", "model_spec": {"model_id": MODEL}, "raw_input": {"question": problem}}
        row |= {"origin_prompt": {"data": [problem]}, "usage": {"prompt_tokens": 3, "completion_tokens": 40}}
        predictions.append({**row, "choices": choices})
        told = [
            {**choice, "review": {"gold": gold, "pred": ANSWERS[i][k], "result": right(i, k)}}
            for k, choice in enumerate(choices)
        ]
        reviews.append({**row, "choices": told, "reviewed": True, "index": i})
    write_lines(folder / "run" / "predictions" / "student" / "sums_default.jsonl", predictions)
    write_lines(folder / "run" / "reviews" / "student" / "sums_default.jsonl", reviews)
    return folder


def write_opencompass(folder: Path) -> Path:
    run, predictions, details = folder / "20260102", {}, []
    for i, (_, _, gold) in enumerate(PROBLEMS):
        correct = [right(i, 0), right(i, 1)]
        details.append(
            {"example_abbr": f"sums_{i}", "pred": list(ANSWERS[i]), "answer": [gold] * 2, "correct": correct}
        )
    for k in range(2):
        for i, (_, problem, gold) in enumerate(PROBLEMS):
            asked = [{"role": "HUMAN", "prompt": problem}]
            predictions[str(2 * k + i)] = {"origin_prompt": asked, "prediction": text(i, k), "gold": gold}
    write(run / "predictions" / "student" / "sums.json", predictions)
    write(run / "results" / "student" / "sums.json", {"accuracy (2 runs average)": 75.0, "details": details})
    return run


def write_nemo_skills(folder: Path) -> Path:
    for k in range(2):
        rows = [
            {
                "id": problem_id,
                "problem": problem,
                "expected_answer": gold,
                "generation": f"\\boxed{{{ANSWERS[i][k]}}}",
                "_full_generation": text(i, k),
                "num_generated_tokens": 20,
                "finish_reason": "length" if k else "stop",
                "predicted_answer": ANSWERS[i][k],
                "symbolic_correct": right(i, k),
            }
            for i, (problem_id, problem, gold) in enumerate(PROBLEMS)
        ]
        write_lines(folder / "eval-results" / "sums" / f"output-rs{k}.jsonl", rows)
    return folder / "eval-results" / "sums"


def write_skythought(folder: Path) -> Path:
    results = {
        str(i): {
            "id": problem_id,
            "problem": problem,
            "answer": gold,
            "input_conversation": [{"role": "user", "content": problem}],
            "responses": [{"content": text(i, k), "correctness": right(i, k), "reason": ""} for k in range(2)],
            "token_usages": [{"completion_tokens": 40 * (1 - k), "prompt_tokens": 9} for k in range(2)],
        }
        for i, (problem_id, problem, gold) in enumerate(PROBLEMS)
    }
    return write(folder / "student_sums_1a2b" / "results.json", results)


def write_skythought_old(folder: Path) -> Path:
    """January 2025: keyed by the question, then by the temperature."""
    results = {
        problem: {
            "answer": gold,
            "responses": {
                "0.7": [{"content": text(i, k), "correctness": right(i, k), "reason": ""} for k in range(2)],
            },
        }
        for i, (_, problem, gold) in enumerate(PROBLEMS)
    }
    return write(folder / "results.json", results)


def write_qwen_math(folder: Path) -> Path:
    rows = [
        {
            "idx": i,
            "question": problem,
            "gt": gold,
            "code": [text(i, 0), text(i, 1)],
            "pred": list(ANSWERS[i]),
            "score": [right(i, 0), right(i, 1)],
        }
        for i, (_, problem, gold) in enumerate(PROBLEMS)
    ]
    return write_lines(folder / "test_qwen25-math-cot_-1_seed0_t0.0_s0_e-1.jsonl", rows)


def write_limo(folder: Path) -> Path:
    rows = [
        {
            "question": problem,
            "generated_responses": [text(i, 0), text(i, 1)],
            "id": problem_id,
            "generated_answers": list(ANSWERS[i]),
            "gold_answer": gold,
            "answers_correctness": [right(i, 0), right(i, 1)],
        }
        for i, (problem_id, problem, gold) in enumerate(PROBLEMS)
    ]
    return write_lines(folder / "test_limo_t0.0_k2_s0_e-1.jsonl", rows)


def write_qwq(folder: Path) -> Path:
    output, graded = [], []
    for i, (problem_id, problem, gold) in enumerate(PROBLEMS):
        for k in range(2):
            row = {"prompt": problem, "answer": gold, "id": problem_id}
            output.append({**row, "gen": [text(i, k)]})
            verdict = {"accuracy": float(right(i, k)), "extracted_answer": ANSWERS[i][k]}
            graded.append({**row, "gen": [text(i, k).partition("\n</think>\n\n")[2]], **verdict})
    write_lines(folder / "eval_res" / "sums.jsonl", graded)
    write_lines(folder / "output" / "sums.jsonl", output)
    return folder


def write_verifiers(folder: Path) -> Path:
    episodes = []
    for i, (problem_id, problem, gold) in enumerate(PROBLEMS):
        for k in range(2):
            data = {"idx": i, "id": problem_id, "prompt": problem, "answer": gold}
            call = {"model": MODEL, "sampling": {"temperature": 0.6}, "finish_reason": "stop"}
            trace = {
                "nodes": [
                    {"message": {"role": "user", "content": problem}, "sampled": False},
                    {"message": {"role": "assistant", "content": text(i, k)}, "sampled": True},
                ],
                "calls": [{**call, "usage": {"prompt_tokens": 9, "completion_tokens": 20}}],
                "rewards": {"boxed": {"score": float(right(i, k)), "weight": 1.0}},
                "verifiers": {"version": "0.4.0"},
            }
            one = {"id": f"e{i}{k}", "env": {"id": "sums"}, "task": {"data": data}, "run": {"id": "r"}, "errors": []}
            episodes.append({**one, "traces": [trace]})
    return write_lines(folder / "traces.jsonl", episodes)


def write_verifiers_old(folder: Path) -> Path:
    rows = [
        {
            "example_id": i,
            "prompt": [{"role": "user", "content": problem}],
            "completion": [{"role": "assistant", "content": text(i, k)}],
            "answer": gold,
            "reward": float(right(i, k)),
            "is_truncated": False,
        }
        for i, (_, problem, gold) in enumerate(PROBLEMS)
        for k in range(2)
    ]
    run = folder / "sums--student" / "1a2b"
    write(run / "metadata.json", {"model": MODEL, "sampling_args": {"temperature": 0.6}})
    return write_lines(run / "results.jsonl", rows)


def write_evalplus(folder: Path) -> Path:
    raw, cut, told = [], [], {}
    for i in range(2):
        task_id = f"HumanEval/{i}"
        for k in range(2):
            raw.append({"task_id": task_id, "solution": text(i, k)})
            cut.append({"task_id": task_id, "solution": f"x = {ANSWERS[i][k]}"})
        told[task_id] = [
            {
                "task_id": task_id,
                "solution": f"x = {ANSWERS[i][k]}",
                "base_status": "pass",
                "plus_status": "pass" if right(i, k) else "fail",
            }
            for k in range(2)
        ]
    write(folder / "student_openai_temp_0.6_eval_results.json", {"date": "", "hash": "", "eval": told})
    write_lines(folder / "student_openai_temp_0.6.jsonl", cut)
    write_lines(folder / "student_openai_temp_0.6.raw.jsonl", raw)
    return folder


def simple_evals_content() -> dict[str, Any]:
    convos, htmls = [], []
    for k in range(2):
        for i, (_, problem, gold) in enumerate(PROBLEMS):
            convos.append([{"role": "user", "content": problem}, {"role": "assistant", "content": text(i, k)}])
            told = f"<p>Correct Answer: {gold}</p>\n<p>Extracted Answer: {ANSWERS[i][k]}</p>"
            htmls.append(f"<h3>Results</h3>\n{told}\n<p>Score: {float(right(i, k))}</p>")
    return {"score": 0.75, "metrics": {}, "htmls": htmls, "convos": convos, "metadata": {}}


def write_simple_evals(folder: Path) -> Path:
    return write(folder / "math_student_20260102_030405_allresults.json", simple_evals_content())


def write_matharena(folder: Path) -> Path:
    run = folder / "outputs" / "sums" / "lab" / "student"
    for i, (_, problem, gold) in enumerate(PROBLEMS):
        conversations = [
            [
                {"role": "user", "content": problem},
                {"role": "assistant", "type": "response", "content": text(i, k)},
            ]
            for k in range(2)
        ]
        record = {
            "idx": i,
            "problem": problem,
            "gold_answer": gold,
            "N": 2,
            "answers": list(ANSWERS[i]),
            "correct": [right(i, 0), right(i, 1)],
            "warnings": [0, 0],
            "messages": conversations,
            "detailed_costs": [{"input_tokens": 9, "output_tokens": 20} for _ in range(2)],
        }
        write(run / f"{i}.json.zst", zstandard(json.dumps(record).encode()))
    return run


def write_livecodebench(folder: Path) -> Path:
    rows = [
        {
            "question_title": "Sums",
            "question_content": problem,
            "question_id": problem_id,
            "output_list": [text(i, 0), text(i, 1)],
            "code_list": ["x", "y"],
            "graded_list": [right(i, 0), right(i, 1)],
            "metadata": ['{"execution time": 0.1}', '{"error_code": -2, "error_message": "Wrong Answer"}'],
        }
        for i, (problem_id, problem, _) in enumerate(PROBLEMS)
    ]
    return write(folder / "student" / "Scenario.codegeneration_2_0.6_eval_all.json", rows)


def write_openai_batch(folder: Path) -> Path:
    rows = []
    for i, (problem_id, _, _) in enumerate(PROBLEMS):
        choices = [
            {"index": k, "message": {"role": "assistant", "content": text(i, k)}, "finish_reason": "stop"}
            for k in range(2)
        ]
        body = {"model": MODEL, "choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 40}}
        rows.append({"id": f"b{i}", "custom_id": problem_id, "response": {"status_code": 200, "body": body}})
    return write_lines(folder / "output.jsonl", rows)


def write_helm(folder: Path) -> Path:
    states, stats = [], []
    for i, (problem_id, problem, gold) in enumerate(PROBLEMS):
        reference = {"output": {"text": gold}, "tags": ["correct"]}
        for k in range(2):
            completion = {"text": text(i, k), "finish_reason": {"reason": "stop"}}
            states.append(
                {
                    "instance": {"id": problem_id, "input": {"text": problem}, "references": [reference]},
                    "train_trial_index": k,
                    "request": {"prompt": problem},
                    "result": {"success": True, "completions": [completion]},
                }
            )
            figure = {"name": {"name": "exact_match"}, "mean": float(right(i, k))}
            stats.append({"instance_id": problem_id, "train_trial_index": k, "stats": [figure]})
    adapter = {"method": "generation", "model": MODEL, "temperature": 0.6, "max_tokens": 64}
    write(folder / "per_instance_stats.json", stats)
    write(folder / "run_spec.json", {"name": "sums:model=student"})
    return write(folder / "scenario_state.json", {"adapter_spec": adapter, "request_states": states})


def write_evalchemy(folder: Path) -> Path:
    examples = [
        {
            "id": problem_id,
            "problem": problem,
            "expected_answer": gold,
            "model_outputs": [text(i, 0), text(i, 1)],
            "model_answers": list(ANSWERS[i]),
        }
        for i, (problem_id, problem, gold) in enumerate(PROBLEMS)
    ]
    results = {"results": {"Sums": {"examples": examples}}, "configs": {}, "config": {"model_args": f"model={MODEL}"}}
    return write(folder / "results_2026-01-02T03-04-05.json", results)


def write_verl(folder: Path) -> Path:
    rows = [
        {
            "prompt": [{"role": "user", "content": problem}],
            "reward_model": {"ground_truth": gold, "style": "rule"},
            "responses": [f"{text(i, k)}<|im_end|>" for k in range(2)],
        }
        for i, (_, problem, gold) in enumerate(PROBLEMS)
    ]
    return write_parquet(folder / "sums.parquet", rows)


WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "lm_eval": ("lm_eval", write_lm_eval),
    "lm_eval 0.4.2": ("lm_eval", write_lm_eval_old),
    "lighteval": ("lighteval", write_lighteval),
    "lighteval 0.10": ("lighteval", write_lighteval_typed),
    "lighteval 0.7": ("lighteval", write_lighteval_strings),
    "inspect json": ("inspect", write_inspect_json),
    "inspect deflate": ("inspect", write_inspect_deflate),
    "inspect zstandard": ("inspect", write_inspect_zstandard),
    "evalscope": ("evalscope", write_evalscope),
    "evalscope 0.x": ("evalscope", write_evalscope_old),
    "opencompass": ("opencompass", write_opencompass),
    "nemo_skills": ("nemo_skills", write_nemo_skills),
    "skythought": ("skythought", write_skythought),
    "skythought 2025-01": ("skythought", write_skythought_old),
    "qwen_math": ("qwen_math", write_qwen_math),
    "limo": ("limo", write_limo),
    "qwq": ("qwq", write_qwq),
    "verifiers": ("verifiers", write_verifiers),
    "verifiers 0.1": ("verifiers", write_verifiers_old),
    "evalplus": ("evalplus", write_evalplus),
    "simple_evals": ("simple_evals", write_simple_evals),
    "matharena": ("matharena", write_matharena),
    "livecodebench": ("livecodebench", write_livecodebench),
    "openai_batch": ("openai_batch", write_openai_batch),
    "helm": ("helm", write_helm),
    "evalchemy": ("evalchemy", write_evalchemy),
    "verl": ("verl", write_verl),
}
