"""What makes a run's numbers worthless is said early, and stands as a word in its table."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import evalkit, write_recorded

from evalkit.run.watch import EarlyWatch
from evalkit.types import Completion, SampleKey, Score

PROBLEMS = 8


def run_recorded(folder: Path, text: str, *arguments: object, **fields: Any) -> Any:
    """A run of recorded completions that are all `text`: its output and its report."""
    shown = evalkit("run", "examples/tiny_distill/teacher", "-t", "arithmetic", "--limit", PROBLEMS, "--dry-run")
    assert shown.stdout
    ids = {str(i) for i in range(2 * PROBLEMS)} | set(problem_ids())
    recorded = write_recorded(folder / "recorded.jsonl", {each: [text, text] for each in ids}, **fields)
    done = evalkit(
        *("run", "a-model", "-t", "arithmetic", "--limit", PROBLEMS, "-n", 2, "--engine", "replay"),
        *("--recorded", recorded, "-o", folder / "run", *arguments),
    )
    return done, json.loads((folder / "run" / "arithmetic" / "report.json").read_text())


def problem_ids() -> list[str]:
    from evalkit.benchmark.data import DataSource
    from evalkit.benchmark.registry import TaskSpec

    task = TaskSpec("arithmetic").create()
    return [problem.id for problem in task.load(DataSource.from_option(None, allow_changed=True))][:PROBLEMS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "fields", "warning", "word"),
    [
        ("It is \\boxed{1}.", {}, "none of the first 16 responses thinks", "no thinking"),
        ("<think>Well", {"finish_reason": "length"}, "all of the first 16 responses were cut", "all cut"),
        ("<think>Well</think>I do not know.", {}, "none of the first 16 responses has an answer", "no answers"),
    ],
)
def test_a_sign_is_a_warning_and_a_word_in_the_table(
    tmp_path: Path, text: str, fields: dict[str, str], warning: str, word: str
) -> None:
    done, report = run_recorded(tmp_path, text, **fields)
    assert warning in done.stderr
    assert word in done.stdout.splitlines()[-1]
    assert word in report["warnings"]
    assert word in evalkit("leaderboard", tmp_path / "run").stdout


@pytest.mark.slow
def test_a_sound_run_has_none(tmp_path: Path) -> None:
    done, report = run_recorded(tmp_path, "<think>Well</think>It is \\boxed{1}.")
    assert report["warnings"] == []
    assert "none of the first" not in done.stderr


@pytest.mark.slow
def test_a_protocol_without_thinking_expects_none(tmp_path: Path) -> None:
    done, report = run_recorded(tmp_path, "It is \\boxed{1}.", "--response-prefix", "none")
    assert report["warnings"] == []
    assert "thinks" not in done.stderr


@pytest.mark.slow
def test_equal_completions_are_told_before_and_after(tiny_checkpoint: Path, tmp_path: Path) -> None:
    common = ("run", tiny_checkpoint, "-t", "arithmetic", "--limit", 2, "-n", 2, "--max-tokens", 16)
    before = "temperature is 0 and n is 2: the completions of a problem are equal"
    assert before in evalkit(*common, "--temperature", 0, "--dry-run").stdout
    done = evalkit(*common, "--temperature", 0, "-o", tmp_path / "run")
    assert before in done.stderr
    assert "equal completions" in done.stdout


def test_a_slow_run_is_looked_at_within_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    watch = EarlyWatch("auto", clock=lambda: now[0])
    for i in range(4):
        now[0] = 12.0 * i
        watch.add_completion(Completion("t", str(i), 0, "2", "length", 1, 1, 1.0))
        assert not caplog.records
    now[0] = 50.0
    watch.add_completion(Completion("t", "4", 0, "2", "length", 1, 1, 1.0))
    assert [r.getMessage().split(" ", 6)[:5] for r in caplog.records] == [
        ["none", "of", "the", "first", "5"],
        ["all", "of", "the", "first", "5"],
    ]
    for i in range(20):
        watch.add_score(Score(0.0, "no_answer", key=SampleKey("t", str(i), 0)))
    watch.finish()
    assert len(caplog.records) == 3
