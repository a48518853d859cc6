"""Fields that only some logs have, and files that hold no completions: what each reader makes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peer_logs import WRITERS, write, write_lines, write_parquet

from evalkit import EvalkitError
from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


def samples(path: Path) -> list[ImportedSample]:
    (log,) = find_logs(str(path)).logs
    return list(log.samples())


FILTERED = {"doc_id": 0, "arguments": [["Q", {}]], "filtered_resps": ["A"]}
REFUSED: list[tuple[str, Any, str]] = [
    ("eval_results.json", {"eval": {}, "hash": ""}, "it holds verdicts alone: give the .raw.jsonl beside it"),
    ("x.jsonl", [{"index": 0, "sample_score": {}}],
     "it holds reviews: give the folder that has predictions/ beside reviews/"),
    ("x.jsonl.rerun-1", [{"index": 0, "sample_score": {}}], "it is of a reviewing pass under way"),
    ("helm.json", {"adapter_spec": {"method": "multiple_choice_separate_original"}, "request_states": []},
     "its rows are log-likelihoods of given texts, not completions"),
    ("helm.json", {"adapter_spec": {"method": "language_modeling"}, "request_states": []},
     "its rows are log-likelihoods of given texts, not completions"),
    ("r.json", {"config_general": {}, "results": {}}, "it holds aggregates alone: lighteval needs --save-details"),
    ("lcb.json", [{"output_list": [], "pred_list": []}],
     "it is of another scenario of LiveCodeBench than code generation"),
    ("lcb.json", [{"pass@1": 0.5, "detail": {}}], "it holds aggregates alone, no completion"),
    ("r.json", {"results": {}, "configs": {}}, "it holds aggregates alone: lm_eval needs --log_samples"),
    ("s.jsonl", [FILTERED], "it holds filtered answers alone, not what the model wrote"),
    ("output-rs0.jsonl-async", [{"generation": "x", "expected_answer": "1", "generation_time": 1.0}],
     "it is a part of a generation that was not finished"),
    ("output-rs0.jsonl", [{"symbolic_correct": True}], "it was trimmed to metrics and has no generation"),
    ("b.jsonl", [{"custom_id": "1", "method": "POST", "url": "/", "body": {}}],
     "it holds the requests of a batch: give the output file"),
    ("tmp_x.json", {"0": {"prediction": "x"}}, "it is of a run that was not finished"),
    ("x.json", {"details": []}, "it holds results: give the folder that has predictions/ beside results/"),
    ("x.json", {"0": {"label: A": {}}}, "its rows are perplexities of given texts, not completions"),
]  # fmt: skip


def test_files_without_completions_are_refused_with_the_reason(tmp_path: Path) -> None:
    for number, (name, content, reason) in enumerate(REFUSED):
        lines = isinstance(content, list) and ".jsonl" in name
        path = (write_lines if lines else write)(tmp_path / str(number) / name, content)
        assert fault(lambda: find_logs(str(path))) == f"{path} cannot be imported: {reason}.", name  # noqa: B023


def test_a_response_of_openais_batch_api(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 30}
    message = {"content": "It is 4.", "reasoning_content": "2 + 2"}
    choice = {"index": 2, "message": message, "finish_reason": "length"}
    rows = [
        {"custom_id": "a", "response": {"body": {"choices": [choice], "usage": usage}}},
        {"custom_id": "b", "response": {"status_code": 429, "body": {"choices": []}}, "error": {"message": "too many"}},
        {"custom_id": "c", "response": {"status_code": 500, "body": None}},
        {"custom_id": 4, "response": {"status_code": 200, "body": {"choices": [{"text": "plain"}]}}},
    ]  # fmt: skip
    assert samples(write_lines(tmp_path / "out.jsonl", rows)) == [
        ImportedSample(
            "a", 2, "It is 4.", reasoning="2 + 2", position=0, finish_reason="length", peer_finish_reason="length",
            prompt_tokens=9, completion_tokens=30,
        ),
        ImportedSample("b", 0, "", position=1, error="too many"),
        ImportedSample("c", 0, "", position=2, error="the request failed (500)"),
        ImportedSample("4", 0, "plain", position=3),
    ]  # fmt: skip


def test_choices_thinking_and_errors_of_helm(tmp_path: Path) -> None:
    references = [{"output": {"text": text}, "tags": tags} for text, tags in (("one", []), ("two", ["correct"]))]
    common = {"input": {"text": "Which?"}, "references": references}
    thought = {"text": "B", "thinking": {"text": "Hm."}, "finish_reason": {"reason": "length"}}
    states = [
        {
            "instance": {"id": "i", **common}, "train_trial_index": 1, "output_mapping": {"B": "two", "A": "one"},
            "request": {"prompt": "Which? A B"}, "result": {"completions": [thought, {"text": "A"}]},
        },
        {"instance": {"id": 7, **common}, "result": {"error": "gone"}},
        {"instance": {"id": 8, **common}, "result": {"completions": []}},
    ]  # fmt: skip
    path = write(tmp_path / "scenario_state.json", {"adapter_spec": {"method": "x"}, "request_states": states})
    chosen: dict[str, Any] = {"problem": "Which?", "prompt": "Which? A B", "gold": "B", "choices": ("one", "two")}
    failed: dict[str, Any] = {"problem": "Which?", "gold": "two"}
    assert samples(path) == [
        ImportedSample("i", 2, "B", reasoning="Hm.", finish_reason="length", peer_finish_reason="length", **chosen),
        ImportedSample("i", 3, "A", **chosen),
        ImportedSample("7", 0, "", error="gone", **failed),
        ImportedSample("8", 0, "", error="nothing was generated", **failed),
    ]
    states[0]["instance"] = {"id": "i", **common, "perturbation": {"name": "typos"}}
    write(path, {"adapter_spec": {}, "request_states": states})
    assert "its inputs are perturbed, which makes them other problems" in fault(lambda: samples(path))


def test_notes_and_thoughts_of_matharena(tmp_path: Path) -> None:
    messages = [
        [
            {"role": "developer", "content": "S"}, {"role": "user", "content": "Q"},
            {"role": "assistant", "type": "cot", "content": "thought"},
            {"role": "assistant", "type": "response", "content": "A"},
        ],
        [{"role": "user", "content": "Q"}],
    ]  # fmt: skip
    record = {
        "idx": 3, "problem": "Q", "gold_answer": 5, "N": 2, "messages": messages, "answers": ["None", 5],
        "correct": [None, True], "warnings": [2, 0], "manual_overwrite": [True, False], "detailed_costs": [None, None],
    }  # fmt: skip
    path = write(tmp_path / "outputs" / "aime" / "lab" / "m" / "3.json", record)
    common: dict[str, Any] = {"problem": "Q", "gold": "5"}
    assert samples(path) == [
        ImportedSample(
            "3", 0, "A", reasoning="thought", prompt="S\n\nQ", note="warning 2; the verdict was set by hand", **common
        ),
        ImportedSample(
            "3", 1, "", prompt="Q", answer="5", verdicts=(PeerVerdict("correct", 1.0, "sample", "5"),), **common
        ),
    ]
    write(path, {**record, "answers": ["1"]})
    assert "it has 1 entries in answers for 2 conversations" in fault(lambda: samples(path))
    messages[0][2]["type"] = "tool"
    write(path, record)
    assert "it has a block of type 'tool', which is no plain completion" in fault(lambda: samples(path))
    messages[0][2]["type"] = "response"
    write(path, record)
    assert "it has several responses to one prompt" in fault(lambda: samples(path))


def test_ends_and_places_of_verl(tmp_path: Path) -> None:
    rows = [
        {"prompt": prompt, "reward_model": {"ground_truth": gold}, "responses": texts, "extra_info": {"index": index}}
        for prompt, gold, texts, index in (("Q", 5, ["a</s><|im_end|>", "b"], 17), ("R", 6, ["c<|endoftext|>"], 18))
    ]
    assert samples(write_parquet(tmp_path / "x.parquet", rows)) == [
        ImportedSample("17", 0, "a", position=0, prompt="Q", gold="5"),
        ImportedSample("17", 1, "b", position=0, prompt="Q", gold="5"),
        ImportedSample("18", 0, "c", position=1, prompt="R", gold="6"),
    ]


def test_what_a_summary_of_skythought_tells(tmp_path: Path) -> None:
    run = tmp_path / "run"
    entry = {
        "truth": "5", "answer": "no", "prompt": "Asked", "problem": "Q",
        "responses": [{"content": "a", "correctness": True}, {"content": "b", "correctness": 0.5}],
        "token_usages": [{"completion_tokens": 4}, {"completion_tokens": 6}],
    }  # fmt: skip
    write(run / "results.json", {"3": entry})
    configuration = {
        "task": {"name": "sums", "config": {"answer_key": "truth"}}, "model_config": {"model_id": "lab/m"},
        "sampling_params": {"params": {"temperature": 0.5, "top_p": None, "max_tokens": 9, "n": 2}},
    }  # fmt: skip
    write(run / "summary.json", {"configuration": configuration})
    (log,) = find_logs(str(run)).logs
    assert (log.task, log.facts()) == ("sums", LogFacts("lab/m", "", {"temperature": 0.5, "max_tokens": 9}))
    common: dict[str, Any] = {"position": 3, "problem": "Q", "prompt": "Asked", "gold": "5"}
    assert list(log.samples()) == [
        ImportedSample("3", 0, "a", completion_tokens=4, verdicts=(PeerVerdict("correctness", 1.0),), **common),
        ImportedSample("3", 1, "b", completion_tokens=6, verdicts=(PeerVerdict("correctness", 0.5),), **common),
    ]
    write(run / "results.json", {"3": {**entry, "responses": [{"content": "a"}]}})
    assert "it was not graded to its end" in fault(lambda: samples(run))
    (log,) = find_logs(str(run), partial=True).logs
    assert [sample.verdicts for sample in log.samples()] == [()]
    assert list(log.partial.left_out) == ["verdicts of samples that were not graded"]


@pytest.mark.parametrize(
    ("layout", "fields"), [("limo", "generated_answers"), ("qwen_math", "pred"), ("livecodebench", "code_list")]
)
def test_lists_of_other_lengths_than_the_samples_are_refused(layout: str, fields: str, tmp_path: Path) -> None:
    path = WRITERS[layout][1](tmp_path)
    path.write_text(path.read_text().replace(f'"{fields}": [', f'"{fields}": ["more", '))
    assert f"it has 3 entries in {fields} for 2 completions" in fault(lambda: samples(path))
