"""Single places that a sample of changes showed to be held by nothing, with what a user would see."""

import json
import os
from pathlib import Path

import pytest

from evalkit import EvalkitError
from evalkit.engines.options import VLLMOptions
from evalkit.engines.registry import unnamed_options
from evalkit.grading.answers.extract import extract_answer
from evalkit.importers import lighteval, lm_eval
from evalkit.importers.nodes import Node
from evalkit.sandbox import locks
from evalkit.transfer.quality import is_looping


def test_a_box_in_prose_comes_before_a_later_one_in_code() -> None:
    response = "The answer is \\boxed{5}.\n\n```python\nprint('\\\\boxed{7}')\n```\n"
    found = extract_answer(response)
    assert found is not None
    assert (found.answer, found.rule) == ("5", "box")


def test_a_prompt_that_is_the_json_of_messages_is_their_text() -> None:
    messages = json.dumps([{"role": "user", "content": "What is 2 + 2?"}])
    assert lm_eval._prompt(Node(messages, "row 1")) == "What is 2 + 2?"
    assert lm_eval._prompt(Node([messages], "row 1")) == "What is 2 + 2?"
    assert lm_eval._prompt(Node(["What is 2 + 2?"], "row 1")) == "What is 2 + 2?"


def test_a_row_without_metrics_has_no_verdicts() -> None:
    assert lighteval._verdicts(Node(None, "row 1")) == ()
    assert lighteval._verdicts(Node({}, "row 1")) == ()


def test_an_element_of_what_is_no_list_is_told() -> None:
    with pytest.raises(EvalkitError, match=r"row 3.*a list"):
        Node({"a": 1}, "row 3")[0]


@pytest.mark.parametrize(("words", "loops"), [(23, False), (24, True)])
def test_half_of_the_runs_of_twelve_words_come_again(words: int, loops: bool) -> None:
    # a passage of w words has w - 11 runs inside it, and w + 1 runs begin in it and the word behind it
    passage = " ".join(f"w{i}" for i in range(words))
    assert is_looping(" ".join(f"{passage} u{k}" for k in range(40))) is loops


def test_the_time_to_leave_undisturbed_replaces_a_longer_one(tmp_path: Path) -> None:
    gate = os.open(tmp_path / "gate", os.O_RDWR | os.O_CREAT)
    try:
        os.write(gate, b"1" * 60)
        locks._leave_undisturbed(gate, 0.0)
        assert len((tmp_path / "gate").read_text()) < 20
        assert float((tmp_path / "gate").read_text()) > 1e9
    finally:
        os.close(gate)


def test_vllms_own_arguments_are_recorded_elsewhere() -> None:
    options = VLLMOptions(engine_arguments={"max_num_batched_tokens": 8192}, quantization="fp8")
    assert unnamed_options(options, {}) == {"quantization": "fp8"}
