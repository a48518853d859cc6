"""Thinking taken apart (tests/golden/data/thinking.jsonl), LiveCodeBench's records and metrics, arithmetic's splits."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems
from evalkit_tasks.arithmetic import training_problems
from evalkit_tasks.livecodebench import LiveCodeBench
from evalkit_tasks.livecodebench import task as lcb
from synthetic import write_jsonl
from test_livecodebench import load, make_data, make_row

from evalkit import DatasetSpec, Problem, Score
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.registry import TaskSpec
from evalkit.errors import EvalkitError
from evalkit.thinking import (
    closing_of,
    has_thinking,
    opened_thinking,
    opens_thinking,
    split_thinking,
    unknown_opening,
    until_end_of_turn,
)

THINKING = Path(__file__).parent / "golden" / "data" / "thinking.jsonl"
ROWS = [json.loads(line) for line in THINKING.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", [pytest.param(row, id=str(number)) for number, row in enumerate(ROWS, 1)])
def test_what_is_thought_and_what_is_answered(row: dict[str, Any]) -> None:
    parts = split_thinking(row["text"])
    assert (parts.thinking, parts.response) == (row["thinking"], row["response"])
    assert until_end_of_turn(row["text"]) == row["text"][: row["turn"]]
    assert has_thinking(row["text"]) is row["has"]


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("x<think>\n", "<think>\n"), ("x<think>", "<think>"), ("x<think></think>\n\n", ""), ("x", None), ("", None),
        ("<think> x", None), ("x<think></think><|begin_of_solution|>\n", ""), ("x<|begin_of_solution|>", None),
        ("x<THINK>\n", "<THINK>\n"), ("x<seed:think>", "<seed:think>"), ("<think>" + " " * 290, "<think>" + " " * 290),
        ("<think>" + " " * 300, None), ("x[BEGIN FINAL RESPONSE]\n", ""), ("do an analysis", None),
    ],
)  # fmt: skip
def test_what_a_prompt_opens(prompt: str, opened: str | None) -> None:
    assert opened_thinking(prompt) == opened


@pytest.mark.parametrize(
    ("prefix", "opens", "closing"),
    [
        ("<think>\n", True, "</think>"), ("", False, "</think>"), ("<seed:think>", True, "</seed:think>"),
        ("<THINKING> ", True, "</thinking>"), ("<think>x", False, "</think>"), ("[THINK]", True, "[/THINK]"),
        ("<|channel|>analysis<|message|>", True, "<|channel|>final<|message|>"),
    ],
)  # fmt: skip
def test_what_closes_a_prefix(prefix: str, opens: bool, closing: str) -> None:
    assert closing_of(prefix) == (opens, closing)
    assert opens_thinking(prefix) is opens


@pytest.mark.parametrize(
    ("responses", "opening"),
    [
        (["<ponder>a"] * 3, "<ponder>"), (["<ponder>a"] * 2, None), (["<ponder>a"] * 2 + ["b"], "<ponder>"),
        (["<ponder>a"] * 2 + ["b"] * 2, None), (["<ponder>a"] * 2 + [" "] * 5, None), (["<think>a"] * 3, None),
        (["<p>a"] * 3, None), (["[1]a"] * 3, None), ([" <|plan|>a"] * 3, "<|plan|>"), (["[PLAN]a"] * 3, "[PLAN]"),
        (["◁plan▷a"] * 3, "◁plan▷"), (["【plan】a"] * 3, "【plan】"), (["a<ponder>"] * 3, None), ([], None),
        (["<|channel>plan\na"] * 3, "<|channel>plan"), (["<|im_end|>a"] * 3, None), (["<response>a"] * 3, None),
    ],
)  # fmt: skip
def test_which_opening_is_not_known(responses: list[str], opening: str | None) -> None:
    assert unknown_opening(responses) == opening


# LiveCodeBench


def test_the_record_of_a_problem(tmp_path: Path) -> None:
    first = make_row("a", starter_code="def f(x):")
    second = make_row("b", "2024-09-02T00:00:00", metadata='{"func_name": "f"}', difficulty="hard", platform="leetcode")
    source = make_data(tmp_path, first, second)
    path = tmp_path / "code_generation_lite" / "test.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    task, problems = load(source)
    assert [(p.id, p.target, p.metadata) for p in problems] == [
        (
            "a",
            hashlib.sha256(lines[0]).hexdigest(),
            {
                "fn_name": None, "contest_date": "2024-09-01T00:00:00", "difficulty": "easy", "platform": "atcoder",
                "file": str(path), "offset": 0, "length": len(lines[0]),
            },
        ),
        (
            "b",
            hashlib.sha256(lines[1]).hexdigest(),
            {
                "fn_name": "f", "contest_date": "2024-09-02T00:00:00", "difficulty": "hard", "platform": "leetcode",
                "file": str(path), "offset": len(lines[0]), "length": len(lines[1]),
            },
        ),
    ]  # fmt: skip
    assert problems[0].prompt.startswith("Question: Add one.\n\nYou will use the following starter code")
    assert problems[0].prompt.endswith("delimiters.\n```python\ndef f(x):\n```")
    assert problems[1].prompt.endswith("writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```")
    assert task.with_data(problems[1]).metadata == {**problems[1].metadata, "row": second}
    moved = task.with_data(problems[0])
    path.write_text("changed")
    assert task.with_data(moved) == moved, "what has its row needs no file"
    assert task.gold_response(problems[0]) is None
    assert task.title == (
        "LiveCodeBench (release_v5, 2024-08-01 to 2025-01-31, script, 2 of 880 problems of the release)"
    )


def test_titles_and_files_of_the_options() -> None:
    task = LiveCodeBench("v4_v5", "all", "lcb-compat", unsafe_no_sandbox=True)
    assert task.title == "LiveCodeBench (v4_v5, all dates, lcb-compat, UNSAFE: no sandbox)"
    assert task.dataset.files == ("test4.jsonl", "test5.jsonl")
    assert LiveCodeBench.dataset.files == tuple(f"test{n}.jsonl" for n in ("", 2, 3, 4, 5))
    assert LiveCodeBench().title == "LiveCodeBench (release_v5, 2024-08-01 to 2025-01-31, script)"


def test_a_window_without_problems_and_a_short_release(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_data(tmp_path, make_row())
    with pytest.raises(EvalkitError) as caught:
        load(source, window="2030-01-01:2030-01-02")
    assert caught.value.message == "LiveCodeBench release_v5 has no problems in the window 2030-01-01:2030-01-02."
    with pytest.raises(EvalkitError) as caught:
        LiveCodeBench("release_v1").load(DataSource(tmp_path))
    assert (caught.value.message, caught.value.hint) == (
        f"LiveCodeBench release_v1 has 400 problems, and {tmp_path} has 1 of them.",
        "download the whole data set, or pass --allow-changed-data to use what is there.",
    )
    caplog.clear()
    with caplog.at_level(logging.INFO):
        load(source)
    assert caplog.messages == [
        "livecodebench: release_v5 has 880 problems, this data has 1",
        "livecodebench: 1 problems: release_v5, window 2024-08-01:2025-01-31, mode script",
    ]


def test_a_whole_release_keeps_its_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lcb, "_FILE_ROWS", {"test.jsonl": 1})
    source = make_data(tmp_path, make_row())
    source.allow_changed = False
    task, _ = load(source, release="release_v1")
    assert task.title == "LiveCodeBench (release_v1, 2024-08-01 to 2025-01-31, script)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": None}, "Line 2 of {path} has no metadata."),
        ({"metadata": "[]"}, "Line 2 of {path} (q1) has an invalid date or metadata: "),
        ({"contest_date": "soon"}, "Line 2 of {path} (q1) has an invalid date or metadata: "),
        ({"question_id": 5, "metadata": 6}, "Line 2 of {path} has no question_id, metadata."),
    ],
)
def test_rows_that_are_wrong(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    source = make_data(tmp_path, make_row(), make_row(**changes))
    path = tmp_path / "code_generation_lite" / "test.jsonl"
    with pytest.raises(EvalkitError) as caught:
        load(source)
    assert caught.value.message.startswith(message.format(path=path))


def test_a_response_without_a_program_needs_no_tests(tmp_path: Path) -> None:
    for mode, rule in (("script", "no code: "), ("lcb-compat", "no code: between the last two fences")):
        (tmp_path / mode).mkdir()
        task, problems = load(make_data(tmp_path / mode, make_row()), mode=mode)
        score = task.score(problems[0], "I do not know.")
        assert (score.value, score.status, score.metadata) == (0.0, "no_answer", {"verdict": "no code"})
        assert score.explanation.startswith(rule)


def test_the_metrics_of_scores() -> None:
    def problem(name: str, difficulty: str) -> Problem:
        return Problem(name, "", "", {"difficulty": difficulty})

    def score(value: float, **facts: Any) -> Score:
        return Score(value, "correct" if value else "wrong", metadata=facts)

    scores = {
        "a": [score(1.0, verdict="accepted", reruns=2), score(0.0, verdict="wrong answer", reruns=1, reruns_changed=1)],
        "b": [score(1.0, verdict="accepted"), score(0.0)],
        "c": [score(0.0, verdict="runtime error"), score(0.0, verdict="wrong answer")],
    }
    problems = [problem("a", "hard"), problem("b", "easy"), problem("c", "easy")]
    metrics = LiveCodeBench().extra_metrics(problems, scores)
    assert [(m.name, m.value, m.n, m.unit) for m in metrics] == [
        ("verdict accepted", 2, 6, "count"),
        ("verdict wrong answer", 2, 6, "count"),
        ("verdict runtime error", 1, 6, "count"),
        ("pass@1 easy", 25.0, 4, "%"),
        ("pass@1 hard", 50.0, 2, "%"),
        ("time limits run again", 3, 6, "count"),
        ("time limits changed", 1, 6, "count"),
    ]


def test_subjects_of_mmlu_pro() -> None:
    problems = [Problem(name, "", "A", {"category": kind}) for name, kind in (("1", "law"), ("2", "art"), ("3", "law"))]
    scores = {
        "1": [Score(1.0, "correct"), Score(0.0, "wrong")],
        "2": [Score(1.0, "correct")],
        "3": [Score(0.0, "wrong")],
    }
    metrics = TaskSpec("mmlu_pro").create().extra_metrics(problems, scores)
    assert [(m.name, m.n, m.unit) for m in metrics] == [("art", 1, "%"), ("law", 3, "%")]
    assert [m.value for m in metrics] == [100, 25]  # over problems, as pass@1 is
    assert all(m.interval_run and m.interval_problems for m in metrics)


# rows that a task cannot use


@pytest.mark.parametrize(
    ("task", "folder", "row", "message"),
    [
        ("gsm8k", "gsm8k", {"question": "?", "answer": "It is 5."}, "Answer 1 of GSM8K has no `####`."),
        ("gsm8k", "gsm8k", {"question": "?", "answer": "#### "}, "Answer 1 of GSM8K has no `####`."),
        ("aime24", "aime_2024", {"id": 7, "problem": "?", "answer": "x"},
         "The answer 'x' of AIME problem 7 is not an integer."),
        ("mmlu_pro", "MMLU-Pro", {"question_id": 3, "question": "?", "options": ["a"], "answer": "A", "category": "x"},
         "Question 3 of MMLU-Pro has 1 choices and the answer 'A'."),
        ("mmlu_pro", "MMLU-Pro", {"question_id": 3, "question": "?", "options": ["a", "b"], "answer": "C",
          "category": "x"},
         "Question 3 of MMLU-Pro has 2 choices and the answer 'C'."),
    ],
)  # fmt: skip
def test_rows_without_a_right_answer(tmp_path: Path, task: str, folder: str, row: dict[str, Any], message: str) -> None:
    made = TaskSpec(task).create()
    assert isinstance(made.dataset, DatasetSpec)
    write_jsonl(tmp_path / folder / made.dataset.files[0], [row])
    with pytest.raises(EvalkitError) as caught:
        made.load(DataSource(tmp_path, allow_changed=True))
    assert (caught.value.message, caught.value.hint) == (message, "download the data set again.")


# arithmetic


def test_the_splits_of_arithmetic() -> None:
    test, training = arithmetic_problems(), training_problems()
    assert (len(test), len(training)) == (200, len({p.id for p in training}))
    assert {p.id for p in test}.isdisjoint(p.id for p in training)
    assert [p.metadata["operation"] for p in test].count("add") == 67
    assert [p.metadata["operation"] for p in test].count("mul") == 66
    turned = {f"add-{p.metadata['b']}-{p.metadata['a']}" for p in test if p.metadata["operation"] == "add"}
    assert turned.isdisjoint(p.id for p in training), "37 + 48 and 48 + 37 are on the same side"
    digests = [hashlib.sha256(p.id.encode()).hexdigest() for p in test]
    assert digests == sorted(digests)
    few = training_problems(6, seed=3)
    assert [p.metadata["operation"] for p in few] == ["add", "sub", "mul"] * 2
    assert few == training_problems(60, seed=3)[:6]
    assert few != training_problems(6, seed=4)
    assert training_problems(0) == ()
    for count in (-1, len(training) + 1):
        with pytest.raises(ValueError, match=f"there are {len(training)} training problems, not {count}"):
            training_problems(count)
    worked = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}
    for p in training:
        a, b, operation = p.metadata["a"], p.metadata["b"], p.metadata["operation"]
        assert p.target == str(worked[operation](a, b))
        assert 10 <= a <= 99
        assert b <= a or operation != "sub"
        assert (2 <= b <= 9) if operation == "mul" else (10 <= b <= 99)
