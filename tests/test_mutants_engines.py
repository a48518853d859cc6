"""Engines, the parts that need no model: tables of what comes in and of all that comes out, at and beside limits."""

import json
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evalkit.engines.gpus import GPU, describe, visible_gpus
from evalkit.engines.options import ReplayOptions
from evalkit.engines.pending import PendingRequests
from evalkit.engines.rendering import template_variables
from evalkit.engines.repetition import (
    CHECK_EVERY,
    LEAST_REPEATS,
    LEAST_TOKENS,
    LONGEST_PERIOD,
    ends_in_loop,
    loop_period,
)
from evalkit.engines.replay import ReplayEngine
from evalkit.engines.soundness import require_sound
from evalkit.engines.weights import tensor_names
from evalkit.errors import EvalkitError
from evalkit.types import Message, Request, SamplingParams

# Loops


def looping(period: int, tokens: int) -> list[int]:
    return [i % period for i in range(tokens)]


@pytest.mark.parametrize(
    ("tokens", "period"),
    [
        (looping(1, 1024), 1), (looping(1, 1023), None), (looping(128, 1024), 128), (looping(128, 1023), None),
        (looping(129, 8 * 129), 129), (looping(129, 8 * 129 - 1), None), (looping(512, 8 * 512), 512),
        (looping(512, 8 * 512 - 1), None), (looping(513, 9000), None), ([*looping(20, 1023), 99], None),
        ([7, 7, 7, *looping(20, 1024)], 20), ([7, *looping(20, 1023)], None), (list(range(5000)), None),
        ([0] * 4 + looping(16, 1024), 16), (looping(17, 1200), 17),
    ],
)  # fmt: skip
def test_the_ends_of_what_is_a_loop(tokens: list[int], period: int | None) -> None:
    assert loop_period(tokens) == period


def test_the_limits_of_loops() -> None:
    assert (LEAST_TOKENS, LEAST_REPEATS, LONGEST_PERIOD, CHECK_EVERY) == (1024, 8, 512, 128)
    assert ends_in_loop([1] * 1152)
    assert not ends_in_loop([1] * 1151), "looked at every 128 tokens"
    assert not ends_in_loop(list(range(1152)))
    assert loop_period([1, 2] * 10, 20, 8) == 2
    assert loop_period([1] * 16, 4, 4) is None, "fewer tokens than are compared"
    assert loop_period([1] * 17, 4, 4) == 1
    assert loop_period(looping(3, 23), 24, 2) is None


# A config that can be true


@pytest.mark.parametrize(
    "content",
    [
        {"num_hidden_layers": 2000}, {"num_hidden_layers": 0}, {"n_layer": [1, 2000]}, {"hidden_size": 1 << 18},
        {"vocab_size": None}, {"head_dim": 1 << 14, "x": {"y": {"vocab_size": 1 << 25}}}, {}, {"other": 1 << 60},
        {"max_position_embeddings": 1 << 31, "num_experts": 1 << 16, "intermediate_size": 1 << 21},
    ],
)  # fmt: skip
def test_sound_configs(content: Any) -> None:
    require_sound(content, "m")


@pytest.mark.parametrize(
    "content",
    [
        [], {"num_hidden_layers": 2001}, {"n_layers": -1}, {"num_layers": True}, {"n_layer": 2001},
        {"hidden_size": (1 << 18) + 1}, {"n_embd": "768"}, {"d_model": 1.5}, {"text": {"vocab_size": (1 << 25) + 1}},
        {"head_dim": [64, -2]}, {"num_attention_heads": (1 << 14) + 1}, {"num_key_value_heads": (1 << 14) + 1},
        {"intermediate_size": (1 << 21) + 1}, {"max_position_embeddings": (1 << 31) + 1}, {"num_experts": 1 << 17},
        {"num_local_experts": 1 << 17}, {"n_routed_experts": 1 << 17},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"n_layer": 2001}}}}}}}}},
    ],
)  # fmt: skip
def test_unsound_configs(content: Any) -> None:
    with pytest.raises(EvalkitError) as caught:
        require_sound(content, "m")
    assert caught.value.hint


# GPUs


def smi(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


TWO = "0, GPU-aa1, H100, 580.1, 81559, 81000\n1, GPU-bb2, H100, 580.1, [N/A], 5"


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["0", "1"]), ("1", ["1"]), ("1,0", ["1", "0"]), ("", []), ("-1", []), ("0,-1,1", ["0"]), ("0,,1", ["0"]),
        ("0,7,1", ["0"]), ("GPU-bb2", ["GPU-bb2"]), ("GPU-bb", ["GPU-bb"]), ("MIG-x,1", ["MIG-x", "1"]), (" 1 ", ["1"]),
    ],
)  # fmt: skip
def test_visible_gpus(visible: str | None, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, TWO, monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = visible_gpus(tmp_path)
    assert [gpu.name for gpu in found] == names
    facts = {
        "0": (81559 << 20, 81000 << 20),
        "1": (None, 5 << 20),
        "GPU-bb2": (None, 5 << 20),
        "GPU-bb": (None, 5 << 20),
    }
    assert [(g.memory, g.free) for g in found] == [facts.get(name, (None, None)) for name in names]
    assert all(gpu.driver == ("580.1" if gpu.name != "MIG-x" else None) for gpu in found)


def test_gpus_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, TWO, monkeypatch, code=9)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(tmp_path) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert visible_gpus(tmp_path) == [], "none is there"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for i, text in enumerate(("cpu_cores 8\nsimd_count 0", "simd_count 304", "simd_count 304")):
        (nodes / str(i)).mkdir(parents=True)
        (nodes / str(i) / "properties").write_text(text)
    assert visible_gpus(tmp_path) == [GPU("0", "an AMD GPU"), GPU("1", "an AMD GPU")]
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert visible_gpus(tmp_path) == [GPU("0", "an NVIDIA GPU"), GPU("1", "an NVIDIA GPU")]
    (tmp_path / "proc/driver/nvidia/gpus").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.15.4  Tue"
    )
    for i in range(2):
        (tmp_path / f"proc/driver/nvidia/gpus/{i}").mkdir()
        (tmp_path / f"proc/driver/nvidia/gpus/{i}/information").write_text(
            f"Model: \t A{i}\nGPU UUID: GPU-{i}: x\nIRQ 3\n"
        )
    assert visible_gpus(tmp_path) == [GPU("0", "A0", "580.15.4"), GPU("1", "A1", "580.15.4")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1: x")
    assert visible_gpus(tmp_path) == [GPU("GPU-1: x", "A1", "580.15.4")]


def test_gpus_in_words() -> None:
    assert describe([GPU("0", "H100", "580"), GPU("1", "H100", "580")]) == "2 x H100, driver 580"
    assert describe([GPU("0", "H100", "580"), GPU("1", "A100")]) == "H100, driver 580 and A100"
    assert str(GPU("3")) == "a GPU"


# Requests that wait


def test_what_came_back_goes_out_first() -> None:
    def request(i: int) -> Request:
        return Request("t", str(i), 0, (Message(role="user", content="x"),), SamplingParams(max_tokens=5))

    pending = PendingRequests(iter([request(0), request(1), request(2)]))
    first, second = pending.draw(), pending.draw()
    assert first is not None
    assert second is not None
    pending.put_back([first, second])
    assert [r.key.problem_id for r in iter(pending.draw, None)] == ["0", "1", "2"]
    assert pending.draw() is None


# Recorded completions


def replayed(tmp_path: Path, *rows: Any) -> ReplayEngine:
    path = tmp_path / "recorded.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ReplayEngine("m", ReplayOptions(recorded=(str(path),)))


def asked(problem: str, sample: int = 0, question: str = "?", task: str = "t") -> Request:
    return Request(task, problem, sample, (Message(role="user", content=question),), SamplingParams(max_tokens=5))


def test_all_that_is_recorded_comes_back(tmp_path: Path) -> None:
    facts = {"finish_reason": "length", "prompt_tokens": 3, "completion_tokens": 0, "prefix": "<think>", "error": "e"}
    engine = replayed(
        tmp_path,
        {"problem_id": "a", "text": "x", **facts},
        {"problem_id": 7, "sample_index": 2, "output": ["p", "q"]},
        {"problem_id": "b", "task": "u", "code": "of u"},
        {"problem_id": "b", "response": "of any", "prompt_tokens": 1 << 53},
        {"question": "How many  apples are there?", "generation": ["one", "two"]},
        {"problem": "How many pears are there?", "completion": "three"},
    )
    wanted = [
        asked("a"),
        asked("7", 2),
        asked("7", 3),
        asked("b", task="u"),
        asked("b"),
        asked("c", 1, "How many apples are there?"),
        asked("c", 0, "How many pears are there?"),
        asked("7", 4),
        asked("d", 2, "How many apples are there?"),
    ]
    found = [asdict(c) for c in engine.generate(iter(wanted))]
    assert [c["text"] for c in found] == ["x", "p", "q", "of u", "of any", "two", "three", "", ""]
    assert {name: found[0][name] for name in facts} == facts
    assert [c["finish_reason"] for c in found] == ["length", *["stop"] * 6, "error", "error"]
    assert (found[1]["prefix"], found[1]["error"], found[1]["prompt_tokens"], found[4]["prompt_tokens"]) == (
        "",
        None,
        None,
        1 << 53,
    )
    assert found[-1]["error"] == "there is no recorded completion"
    assert engine.unanswerable(wanted) == [wanted[7].key, wanted[8].key]
    assert engine.identity()["backend"] == "replay"
    assert engine.identity()["model"] == "m"


@pytest.mark.parametrize(
    "row",
    [
        {"problem_id": "a"},
        {"problem_id": "a", "text": 3},
        {"problem_id": "a", "text": ["x", None]},
        {"text": "x"},
        {"text": "x", "question": " "},
        {"text": "x", "question": 3},
        {"problem_id": "a", "text": "x", "finish_reason": "eos"},
        {"problem_id": "a", "text": "x", "prompt_tokens": -1},
        {"problem_id": "a", "text": "x", "prompt_tokens": True},
        {"problem_id": "a", "text": "x", "completion_tokens": (1 << 53) + 1},
        {"problem_id": "a", "text": "x", "prefix": 3},
        {"problem_id": "a", "text": "x", "error": 3},
        {"problem_id": "a", "text": "x", "sample_index": "0"},
        [],
        3,
        {"problem_id": "ok", "text": "again"},
        {"problem_id": "a", "text": "x", "completion_tokens": 2.0},
    ],
)
def test_what_is_no_recorded_completion(row: Any, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="Line 2"):
        replayed(tmp_path, {"problem_id": "ok", "text": "x"}, row)


# Variables of a template


def test_variables_of_a_template() -> None:
    from evalkit.engines.options import CheckpointOptions

    given = ("a=true", "b =[1]", "c=word", "d=True", "e=False", "f=None", "g=", "reasoning_effort=low")
    options = CheckpointOptions(chat_template_arg=given, reasoning_effort="high")
    assert template_variables(options) == {
        "a": True,
        "b": [1],
        "c": "word",
        "d": True,
        "e": False,
        "f": None,
        "g": "",
        "reasoning_effort": "low",
    }
    assert template_variables(CheckpointOptions(reasoning_effort="high")) == {"reasoning_effort": "high"}
    for wrong in ("a", "=1", "1a=2", "messages=1", "add_generation_prompt=true", "strftime_now=1"):
        with pytest.raises(EvalkitError):
            template_variables(CheckpointOptions(chat_template_arg=(wrong,)))


# Files of weights


def test_the_header_of_safetensors(tmp_path: Path) -> None:
    def written(header: Any, data: bytes, length: int | None = None) -> Path:
        body = json.dumps(header).encode()
        path = tmp_path / "w.safetensors"
        path.write_bytes(struct.pack("<Q", len(body) if length is None else length) + body + data)
        return path

    header = {"__metadata__": {"x": "y"}, "a": {"data_offsets": [0, 4]}, "b": {"data_offsets": [4, 8]}}
    assert tensor_names(written(header, bytes(8))) == ["a", "b"]
    assert tensor_names(written({}, b"")) == []
    assert tensor_names(tmp_path / "w.bin") == []
    for path in (
        written(header, bytes(7)), written(header, bytes(8), length=5), written(header, bytes(8), length=(1 << 28) + 1),
        written({"a": {}}, b""), written([], b""),
    ):  # fmt: skip
        with pytest.raises(EvalkitError):
            tensor_names(path)
