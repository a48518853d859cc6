"""`evalkit samples`: the completions that are asked for, harmless on a terminal, whole as JSON."""

import json
import shutil
from pathlib import Path

import pytest
from evalkit_tasks.arithmetic import Arithmetic
from helpers import evalkit, told, write_recorded

ATTACK = "\x1b]0;owned\x07 \u202e right to left \ud800\rover the line"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    from evalkit.benchmark.data import DataSource

    first, second = Arithmetic().load(DataSource())[:2]
    recorded = write_recorded(
        tmp_path / "recorded.jsonl",
        {
            first.id: [f"</think>\\boxed{{{first.target}}}", f"{ATTACK}</think>\\boxed{{-1}}"],
            second.id: ["a" * 5000 + "</think>I can not tell.", "still thinking"],
        },
        prefix="<think>\n",
    )
    common = ("run", "org/model", "-t", "arithmetic", "--limit", 2, "-n", 2, "--backend", "replay")
    evalkit(*common, "--recorded", recorded, "-o", tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
def test_filters(run: Path) -> None:
    assert evalkit("samples", run).stdout.count("=== ") == 4
    wrong = evalkit("samples", run, "--status", "wrong").stdout
    assert wrong.count("=== ") == 1
    assert "does not equal the gold" in wrong
    assert evalkit("samples", run, "--sample", 1, "--status", "correct").stderr == "No completion matches.\n"
    cut = evalkit("samples", run, "--most", 1)
    assert cut.stdout.count("=== ") == 1
    assert cut.stderr == "More than 1 completions match; --most N shows more.\n"


@pytest.mark.slow
def test_the_end_of_a_long_completion_unless_the_whole_is_asked_for(run: Path) -> None:
    # 8 characters of prefix + 5,000 + 23 - the 1,500 that are shown
    short = evalkit("samples", run, "--status", "no_answer").stdout
    assert "--- completion, without its first 3,531 characters\naaa" in short
    whole = evalkit("samples", run, "--status", "no_answer", "--full").stdout
    assert "--- completion\n<think>\naaa" in whole
    assert "a" * 5000 + "</think>I can not tell." in whole


@pytest.mark.slow
def test_nothing_acts_on_a_terminal_and_json_keeps_every_character(run: Path) -> None:
    shown = evalkit("samples", run, "--status", "wrong").stdout
    assert r"\x1b]0;owned\x07 \u202e right to left \ud800\rover the line" in shown
    assert all(c == "\n" or c.isprintable() for c in shown)
    (line,) = evalkit("samples", run, "--status", "wrong", "--json").stdout.splitlines()
    record = json.loads(line)
    assert record["text"].startswith(ATTACK)
    assert (record["status"], record["answer"], record["value"]) == ("wrong", "-1", 0.0)


@pytest.mark.slow
def test_the_problem_beside_it(run: Path) -> None:
    assert "--- problem\nWhat is" in evalkit("samples", run, "--most", 1, "--prompt").stdout


@pytest.mark.slow
def test_unknown_names(run: Path) -> None:
    assert told(evalkit("samples", run, "-t", "arithmetics", code=2)).endswith("Did you mean arithmetic?")
    assert "has no problem 'nothing'" in told(evalkit("samples", run, "--problem", "nothing", code=2))
    assert "report.json is not a folder" in told(evalkit("samples", run / "arithmetic" / "report.json", code=2))
    assert "There is no run below" in told(evalkit("samples", run / "arithmetic", code=2))
    assert evalkit("samples", run.parent).stdout == evalkit("samples", run).stdout, "the only run below the folder"
    shutil.copytree(run, run.parent / "again")
    assert "There are 2 runs below" in told(evalkit("samples", run.parent, code=2))
