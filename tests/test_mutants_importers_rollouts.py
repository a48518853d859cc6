"""Rollouts of verifiers, parts of OpenCompass and seeds of NeMo-Skills with every field that they may have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peer_logs
import pytest
from peer_logs import write, write_lines

from evalkit import EvalkitError
from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample, PeerVerdict


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


def samples(path: Path) -> list[ImportedSample]:
    (log,) = find_logs(str(path)).logs
    return list(log.samples())


def episode(**trace: Any) -> dict[str, Any]:
    data = {"idx": 4, "prompt": "Q", "answer": "5"}
    return {"env": {"id": "sums"}, "task": {"data": data}, "errors": [], "traces": [trace] if trace else []}


def test_rollouts_of_verifiers(tmp_path: Path) -> None:
    nodes = [{"message": {"content": "Q"}}, {"message": {"content": "A", "reasoning": "r"}, "sampled": True}]
    usage = {"prompt_tokens": 3, "cached_input_tokens": 6, "completion_tokens": 9}
    call = {"node": 1, "finish_reason": "max_tokens", "usage": usage, "time": {"start": 2.0, "end": 3.5}}
    rewards = {"a": {"score": 0.5, "weight": 0.5}, "b": 0.25, "c": None}
    rows = [
        episode(nodes=nodes, calls=[{"node": 0}, call], rewards=rewards, errors=[]),
        episode(nodes=nodes, calls=[{}, {}], rewards={"a": 1.5}),
        {**episode(nodes=nodes[:1]), "errors": ["gone"]},
        episode(),
    ]
    path = write_lines(tmp_path / "traces.jsonl", rows)
    common: dict[str, Any] = {"position": 4, "problem": "Q", "prompt": "Q", "gold": "5"}
    assert samples(path) == [
        ImportedSample(
            "4", 0, "A", reasoning="r", finish_reason="length", peer_finish_reason="max_tokens", prompt_tokens=9,
            completion_tokens=9, seconds=1.5, verdicts=(PeerVerdict("reward", 0.5),), **common,
        ),
        ImportedSample("4", 1, "A", reasoning="r", **common),
        ImportedSample("4", 2, "", error="gone", **common),
        ImportedSample("4", 3, "", error="nothing was generated", **common),
    ]  # fmt: skip
    write_lines(path, [episode(nodes=[*nodes, nodes[1]])])
    assert "it has 2 sampled messages, which are not one completion" in fault(lambda: samples(path))
    write_lines(path, [{**episode(), "traces": [{}, {}]}])
    assert "it has 2 traces, which are not one completion" in fault(lambda: samples(path))
    write_lines(path, rows[3:])
    assert "nothing was generated: all its completions are empty" in fault(lambda: samples(path))


def test_rollouts_of_verifiers_before_traces(tmp_path: Path) -> None:
    row = {"example_id": 2, "prompt": "Q", "completion": "A", "reward": 0.5, "info": {"answer": "5"}}
    rows = [
        {**row, "is_truncated": True, "token_usage": {"output_tokens": 7.0}},
        {**row, "error": "gone", "is_truncated": False},
        {**row, "completion": [], "reward": 2.0},
    ]
    path = write_lines(tmp_path / "results.jsonl", rows)
    common: dict[str, Any] = {"position": 2, "problem": "Q", "prompt": "Q", "gold": "5"}
    assert samples(path) == [
        ImportedSample(
            "2", 0, "A", finish_reason="length", peer_finish_reason="is_truncated", completion_tokens=7,
            verdicts=(PeerVerdict("reward", 0.5),), **common,
        ),
        ImportedSample("2", 1, "", error="gone", **common),
        ImportedSample("2", 2, "", error="nothing was generated", **common),
    ]  # fmt: skip
    turns = [{"role": "assistant", "content": "A"}, {"role": "user", "content": "And?"}]
    write_lines(path, [{**row, "completion": turns}])
    assert "its completion has 2 messages, which are several turns" in fault(lambda: samples(path))


def test_entries_of_opencompass(tmp_path: Path) -> None:
    entry = {"origin_prompt": "Q", "prediction": ["a", "b"], "gold": ["4", "four"]}
    path = write(tmp_path / "predictions" / "m" / "aime_2024.json", {"1": {**entry, "origin_prompt": "R"}, "0": entry})
    assert samples(path) == [
        ImportedSample(
            f"aime_2024_{i}", k, text, position=i, prompt="QR"[i], gold="4", golds=("4", "four")
        )
        for i in range(2)
        for k, text in enumerate("ab")
    ]  # fmt: skip
    write(path, {"0": entry, "2": entry})
    assert "its entry 1 is missing" in fault(lambda: samples(path))
    write(path, '{"0": %s, "0": %s}' % ((json.dumps(entry),) * 2))
    assert "its entry 0 is there twice" in fault(lambda: samples(path))
    write(path, {"0": entry, "x": entry})
    assert "its entry 'x' is no number" in fault(lambda: samples(path))
    write(path, {"0": entry, "1": {"origin_prompt": "R"}})
    assert "its entry 1 has no prediction" in fault(lambda: samples(path))


def test_runs_that_results_of_opencompass_tell_of(tmp_path: Path) -> None:
    run = peer_logs.write_opencompass(tmp_path)
    write(run / "results" / "student" / "sums.json", {"accuracy (3 runs average)": 75.0, "details": []})
    assert "results/ tells of 3 runs, which its 4 rows do not show" in fault(lambda: samples(run))


def test_fields_of_nemo_skills(tmp_path: Path) -> None:
    row = {
        "problem": "Q", "expected_answer": 5, "generation": "A", "generation_time": 2, "predicted_answer": "5",
        "judgement": "Judgement: **Yes**", "is_correct": 0, "graded_list": [True],
    }  # fmt: skip
    rows = [{**row, "reasoning_content": "r"}, {**row, "problem": "R", "_generation_finished_thinking": True}]
    common: dict[str, Any] = {"gold": "5", "seconds": 2.0, "answer": "5"}
    verdicts = tuple(
        PeerVerdict(name, value, "sample", "5")
        for name, value in (("is_correct", 0.0), ("judgement", 1.0), ("graded_list", 1.0))
    )
    assert samples(write_lines(tmp_path / "sums" / "output-rs3.jsonl", rows)) == [
        ImportedSample("0", 3, "A", "raw", "r", 0, "Q", "Q", verdicts=verdicts, **common),
        ImportedSample("1", 3, "A", "thinking removed", None, 1, "R", "R", verdicts=verdicts, **common),
    ]


def test_a_generation_alone_or_with_programs_is_not_of_nemo_skills(tmp_path: Path) -> None:
    for row in ({"generation": "A"}, {"generation": "A", "generation_time": 1.0, "code": "x"}):
        path = write_lines(tmp_path / "rows.jsonl", [row])
        assert "holds no log of a harness that evalkit knows" in fault(lambda: samples(path))  # noqa: B023
