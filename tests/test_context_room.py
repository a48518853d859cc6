"""A context that is too short for max_tokens ends completions; it does not refuse the run."""

import json
from pathlib import Path

import pytest
from helpers import evalkit, records, told


@pytest.mark.slow
def test_a_prompt_that_leaves_no_room_is_told_before(tiny_checkpoint: Path) -> None:
    done = evalkit("run", tiny_checkpoint, "-t", "arithmetic", "--max-model-len", 8, code=2)
    assert "but the checkpoint's context is 8" in told(done)


@pytest.mark.slow
def test_the_context_ends_a_completion_before_max_tokens_and_the_run_says_so(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    common = ("run", tiny_checkpoint, "-t", "arithmetic", "--limit", 4, "-n", 1, "--max-model-len", 40)
    warning = "arithmetic: the context of 40 tokens leaves a completion "
    assert warning in evalkit(*common, "--dry-run").stdout
    done = evalkit(*common, "-o", tmp_path / "run")
    assert warning in done.stderr
    room = json.loads((tmp_path / "run" / "run.json").read_text())["tasks"]["arithmetic"]["least_room"]
    made = records(tmp_path / "run" / "arithmetic" / "completions.jsonl")
    assert min(40 - each["prompt_tokens"] for each in made) >= room
    cut = [each for each in made if each["finish_reason"] == "length"]
    assert all(each["prompt_tokens"] + each["completion_tokens"] == 40 for each in cut)
