"""Data and prompts: the facts of all tasks, protocols and tags, whole; programs found in texts; windows and letters."""

import dataclasses
import json
import pickle
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from evalkit_tasks.livecodebench.code_blocks import (
    bare_code,
    extract_code,
    fenced_blocks,
    looks_like_python,
    official_code,
)
from evalkit_tasks.livecodebench.hidden_tests import decode_tests, pickled_string
from evalkit_tasks.livecodebench.task import parse_window, release_files
from snapshots import check_json
from synthetic import write_all
from test_more_tasks import mmlu_rows

from evalkit.benchmark import protocols, registry
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.files import read_rows
from evalkit.benchmark.matching import TextIndex, likeness, words
from evalkit.benchmark.protocols import Protocol, available_protocols, find_protocol
from evalkit.benchmark.registry import (
    find_task_class,
    installed_tasks,
    load_task_file,
    option_fields,
    resolve_task,
)
from evalkit.benchmark.suites import installed_suites, task_names
from evalkit.benchmark.task import DatasetSpec, Task, choice_letters, fingerprint_targets, normalised
from evalkit.errors import EvalkitError
from evalkit.thinking import TAGS, closing_of, opened_thinking, split_thinking, unknown_opening
from evalkit.types import Completion, Metric, Problem, Request, SamplingParams, Score

FACTS = (
    "name", "version", "title", "kind", "aliases", "rows", "targets_sha256", "n", "score_timeout", "headlines",
    "unsafe_options", "prompt",
)  # fmt: skip


def test_facts_of_the_tasks() -> None:
    """Each of these changes a score or what is recorded of it."""
    held = {}
    for name, task in sorted(installed_tasks().items()):
        facts = {fact: getattr(task, fact) for fact in FACTS}
        made = task()
        facts["data"] = None if made.dataset is None else asdict(made.dataset)
        facts["title of this one"], facts["prompt of this one"] = made.title, made.prompt
        if dataclasses.is_dataclass(task):
            facts["options"] = {f: str(getattr(made, f)) for f in option_fields(task)}
        held[name] = facts
    check_json("facts/tasks.json", held)


def test_facts_of_protocols_and_suites() -> None:
    held = {name: asdict(one) | {"fixed": one.fixed_settings()} for name, one in sorted(available_protocols().items())}
    check_json("facts/protocols.json", {"protocols": held, "suites": installed_suites()})
    assert task_names(" r1 ,, gsm8k,forgetting") == [*installed_suites()["r1"], *installed_suites()["forgetting"]]


def test_tags_of_all_families() -> None:
    held = []
    for tag in TAGS:
        opening = tag.opening.replace("*", "x").replace("…", "x")
        both, open_only, closed_only = (
            f"{opening}a{tag.closing}b", f"{opening}a", f"a{tag.closing}b",
        )  # fmt: skip
        split = [asdict(split_thinking(text)) for text in (both, open_only, closed_only)]
        held.append([tag.opening, tag.closing, split, opened_thinking(f"user: x\n{opening}\n"), closing_of(opening)])
    check_json("facts/tags.json", held)
    assert unknown_opening(["plain"] * 50) is None


def problems_of(folder: Path) -> dict[str, list[Problem]]:
    write_all(folder)
    (folder / "MMLU-Pro").mkdir()
    (folder / "MMLU-Pro" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mmlu_rows()))
    (folder / "gsm8k").mkdir()
    row = {"question": "How many?", "answer": "He has 1,200 - 3.\n#### 1,197"}
    (folder / "gsm8k" / "test.jsonl").write_text(json.dumps(row) + "\n")
    source = DataSource(folder, allow_changed=True)
    names = ("aime24", "math500", "gpqa_diamond", "mmlu_pro", "gsm8k", "arithmetic")
    return {name: list(find_task_class(name, installed_tasks())().load(source))[:4] for name in names}


def test_problems_prompts_and_scores_of_the_tasks(tmp_path: Path) -> None:
    held = {}
    for name, problems in problems_of(tmp_path).items():
        task = find_task_class(name, installed_tasks())()
        held[name] = [
            {
                **asdict(problem),
                "messages": task.messages(problem),
                "gold": task.gold_response(problem),
                "scores": [
                    [s.status, s.value, s.answer, s.extracted_by]
                    for text in (task.gold_response(problem) or "", r"\boxed{17}", "It is B.", "none", "Answer: (C)")
                    for s in [task.score(problem, text)]
                ],
            }
            for problem in problems
        ]
    check_json("facts/problems.json", held)


@pytest.mark.parametrize(
    ("metadata", "prompt", "letters"),
    [
        ({"choices": ["x", "y", "z"]}, "", "ABC"),
        ({"choices": ["x"]}, "", "ABCD"),
        ({"choices": ["x"] * 26}, "", None),
        ({"choices": ["x"] * 27}, "", "ABCD"),
        ({"choices": {"a": 1, "b": 2}}, "", "ab"),
        ({"choices": {"first": 1, "second": 2}}, "", "AB"),
        ({"choices": "xyz"}, "", "ABCD"),
        ({"choices": []}, "", "ABCD"),
        ({}, "Q\nA) 1\nB) 2\nC) 3", "ABC"),
        ({}, "(A) 1\n(B) 2", "AB"),
        ({}, "A. 1", "ABCD"),
        ({}, "A: 1\nC: 2", "ABCD"),
        ({}, "A) x\nQ\nA) 1\nB) 2", "AB"),
        ({}, "B) 1\nA) 2", "ABCD"),
        ({}, "A)1\nB)2", "ABCD"),
    ],
)
def test_letters(metadata: dict[str, Any], prompt: str, letters: str | None) -> None:
    found = choice_letters(Problem("1", prompt, "A", metadata))
    assert found == (letters or "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_small_parts_of_tasks() -> None:
    assert normalised("AIME-24_x") == "aime24x"
    one, other = (Problem(i, "", t) for i, t in (("1", "a"), ("2", "b")))
    assert fingerprint_targets([one, other]) == fingerprint_targets([other, one]) != fingerprint_targets([one, one])
    spec = DatasetSpec.from_file("a\\b/c.jsonl", ["x"], 3)
    assert (spec.hub_id, spec.columns, spec.rows, spec.path, spec.files) == (
        "file:c.jsonl",
        ("x",),
        3,
        "a\\b/c.jsonl",
        (),
    )
    rows = DatasetSpec.from_rows([{"a": 1}], ("a",))
    assert (rows.rows, rows.columns, rows.own_rows, rows.gated) == (1, ("a",), ({"a": 1},), False)
    assert DataSource().rows(rows) == [{"a": 1}]
    with pytest.raises(EvalkitError):
        DataSource().rows(DatasetSpec.from_rows([{"b": 1}], ("a",)))
    with pytest.raises(EvalkitError):
        DataSource().rows(DatasetSpec.from_rows([]))


def test_a_problem_is_found_by_its_words() -> None:
    assert words("Don't x_1 + 23!") == ("don", "t", "x", "1", "23")
    assert likeness((), ()) == 0
    assert likeness(("a", "a", "b"), ("a", "b", "b")) == pytest.approx(2 / 3)
    index = TextIndex(
        [
            ("p", "How many apples are there now?"),
            ("q", "How many pears?"),
            ("r", "How many pears? Say it."),
            ("s", "How many pears!"),
        ]
    )
    assert index.find("how many APPLES are there now") == ("p", 1.0)
    assert index.find("Solve: How many pears? Say it. Thanks.") == ("r", 1.0)
    assert index.find("How many pears") == ("q", 1.0), "the first of two that are alike"
    near = index.find("How many apples were there now?")
    assert near is not None
    assert near.key == "p"
    assert near.share == pytest.approx(10 / 12)
    assert index.find("something else") is None
    close = TextIndex([("a", "one two three four five"), ("b", "one two three four six")])
    assert close.find("one two three four seven") is None, "two are as near"
    assert close.find("one two three four five x") == ("a", 1.0)
    assert TextIndex([("a", "one two three four five")]).find("one two three x y") == ("a", 0.6)
    assert TextIndex([("a", "one two three four five")]).find("one two w x y") is None


# Programs in texts

PROGRAM = "import sys\nn = int(input())\nprint(n)"
TEXTS = {
    "plain": f"Here:\n```python\n{PROGRAM}\n```\nDone.",
    "tildes": f"~~~py\n{PROGRAM}\n~~~",
    "longer fence": f"````python\n```\n{PROGRAM}\n```\n````",
    "never closed": f"```python\n{PROGRAM}\n\nThis program reads the number and prints it.",
    "glued opening": f"The solution is:```python\n{PROGRAM}\n```",
    "tag": f"<answer>```python\n{PROGRAM}\n```</answer>",
    "glued closing": f"```python\n{PROGRAM}```",
    "opened in the prompt": f"{PROGRAM}\n```\nThat is all.",
    "two fences on a line": f"```\nx = 1\n``````python\n{PROGRAM}\n```",
    "a docstring": '```python\ndef f():\n    """\n    ```\n    x\n    ```\n    """\n'
    "    return input()\nprint(f())\n```",
    "quoted": "> ```python\n> n = input()\n> print(n)\n> ```",
    "indented": "- a\n  ```python\n  n = input()\n  if n:\n      print(n)\n  ```",
    "forgotten closing": f"```python\nx = 1\n```python\n{PROGRAM}\n```",
    "braces": f"```{{.python .numberLines}}\n{PROGRAM}\n```",
    "info": f"```Python3.11 title=a\n{PROGRAM}\n```",
    "inline": "Use `x = 1` and ```x``` here.",
    "snippet behind": f"```python\n{PROGRAM}\n```\nCall it:\n```python\nmain(3)\n```",
    "lines again": f"```python\n{PROGRAM}\n```\n```python\nprint(n)\n```",
    "template first": f"```python\n# YOUR CODE HERE\n```\n```python\n{PROGRAM}\n```",
    "template last": f"```python\n{PROGRAM}\n```\n```python\ndef f():\n    # your code here\n    pass\n```",
    "does nothing": "```python\ndef f():\n    pass\n```",
    "two solutions": f"```python\n{PROGRAM}\n```\nBetter:\n```python\nn = input()\nprint(n + '!')\n```",
    "other language": "```cpp\nint main() {}\n```",
    "unnamed": f"```\n{PROGRAM}\n```",
    "unnamed text": "```\n3 4\n```",
    "unnamed before named": f"```\n{PROGRAM}\n```\n```python\nx = input()\nprint(x)\n```",
    "bare": PROGRAM,
    "bare behind text": f"I think so.\n\n{PROGRAM}\n\nThis program reads the number.",
    "bare, cut off": f"I think so.\n\n{PROGRAM}\n\nfor x in y(:",
    "bare in tags": f"<answer>\n{PROGRAM}\n</answer>",
    "prose": "The answer is three.",
    "empty": "",
    "empty block": "```python\n\n```",
    "turn ended": f"```python\n{PROGRAM}\n```<|im_end|>\n```python\nx = input()\nprint(0)\n```",
    "invisible": f"\ufeff\u200b```python\n{PROGRAM}\n```",
    "carriage returns": f"```python\r\n{PROGRAM}\r\n```\r\n",
    "comment says input": "```python\nprint(1)  # input()\n```\n```python\nx = input()\nprint(x)\n```\n"
    "```python\nprint(2)\n```",
}
FUNCTION = {
    "class": "```python\nclass Solution:\n    def run(self, n):\n        return n\n```\n"
    "```python\nprint(Solution().run(3))\n```",
    "placeholder": "```python\nclass Solution:\n    def run(self, n):\n        # TODO\n        pass\n```",
    "other function": "```python\ndef other(n):\n    return n\n```\n```python\ndef run(n):\n    return n\n```\n"
    "```python\ndef rune(n):\n    return 1\n```",
}


def test_programs_in_texts() -> None:
    held = {}
    for name, text in TEXTS.items():
        blocks = [[b.language, b.code, b.closed] for b in fenced_blocks(text)]
        held[name] = [blocks, extract_code(text), official_code(text), bare_code(text), looks_like_python(text)]
    for name, text in FUNCTION.items():
        held[name] = [extract_code(text, "run"), extract_code(text, "Solution"), extract_code(text)]
    check_json("facts/programs.json", held)


def test_the_limits_of_bare_code() -> None:
    assert bare_code(PROGRAM + "\n" + " " * (40_000 - len(PROGRAM) - 1)) != ""
    assert bare_code(PROGRAM + "\n" + " " * (40_000 - len(PROGRAM))) == ""


# LiveCodeBench's tests, windows and releases


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("text", ["[]", "é" * 300, "x" * 70_000])
def test_pickled_strings(protocol: int, text: str) -> None:
    data = pickle.dumps(text, protocol)
    if protocol == 0:
        with pytest.raises(ValueError, match="opcode"):
            pickled_string(data)
    else:
        assert pickled_string(data) == text


@pytest.mark.parametrize("value", [1, ["a"], ("a", "b"), b"x", None, {"a": 1}])
def test_pickles_of_anything_else(value: Any) -> None:
    with pytest.raises((ValueError, IndexError)):
        pickled_string(pickle.dumps(value))


def test_torn_pickles() -> None:
    whole = pickle.dumps("x" * 300)
    for end in (0, 3, len(whole) - 1, len(whole) - 5):
        with pytest.raises((ValueError, IndexError)):
            pickled_string(whole[:end])
    rows = {
        "public_test_cases": '[{"input": "1", "output": "2"}]',
        "private_test_cases": ' [{"input": "3", "output": "4"}]',
    }
    assert decode_tests(rows, "q") == [("1", "2"), ("3", "4")]
    for private in ("x", "e30=", '{"a": 1', "[1]"):
        with pytest.raises(EvalkitError, match="tests of q"):
            decode_tests({**rows, "private_test_cases": private}, "q")


def test_windows_and_releases() -> None:
    assert parse_window("all") == parse_window("") == (date.min, date.max)
    assert parse_window("2024-08-01:2024-08-01") == (date(2024, 8, 1), date(2024, 8, 1))
    for wrong in ("2024-08-02:2024-08-01", "2024-08-01", "x:y", "2024-08-01:", "2024-13-01:2025-01-01"):
        with pytest.raises(EvalkitError):
            parse_window(wrong)
    sizes = {
        name: release_files(name)
        for name in ("release_v1", "release_v6", "release_latest", "v1", "v6", "v2_v4", "v3_v3")
    }
    last = sizes["release_latest"]
    assert len(last) == len(set(last)) == 6
    assert sizes == {
        "release_v1": last[:1],
        "release_v6": last,
        "release_latest": last,
        "v1": last[:1],
        "v6": last[5:],
        "v2_v4": last[1:4],
        "v3_v3": last[2:3],
    }
    for wrong in ("v0", "v7", "v4_v2", "release_v0", "release_v7", "v", ""):
        with pytest.raises(EvalkitError):
            release_files(wrong)


# Task files


def test_task_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    with pytest.raises(EvalkitError, match="There is no task file"):
        load_task_file(path)
    head = "from evalkit import Problem, Score, Task\n"
    body = "    version, title = 1, 'T'\n    def load(self, source): return []\n"
    body += "    def score(self, problem, response): return Score(0.0, 'wrong')\n"
    first = f"class A(Task):\n    name = 'a'\n    aliases = ('first',)\n{body}"
    second = "class B(A):\n    name = 'b-2'\n    aliases = ()\nclass C(Task):\n    pass\n"
    path.write_text(head + first + second)
    found = load_task_file(path)
    assert list(found) == ["a", "b-2"]
    assert all(issubclass(one, Task) for one in found.values())
    assert [find_task_class(n, found).name for n in ("A", "First", "b2", "B_2")] == ["a", "a", "b-2", "b-2"]
    with pytest.raises(EvalkitError, match="no task 'c'"):
        find_task_class("c", found)
    assert option_fields(found["a"]) == {}
    for text, said in (("x = 1", "no Task"), ("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError")):
        path.write_text(text)
        with pytest.raises(EvalkitError, match=said):
            load_task_file(path)
    other = tmp_path / "mine.txt"
    other.write_text("")
    with pytest.raises(EvalkitError, match="not a Python file"):
        load_task_file(other)


def test_wanted_rows_of_a_parquet_file(tmp_path: Path) -> None:
    """Groups without a wanted row are passed over; within a group rows are read in batches of 16."""
    rows = [{"id": str(i), "tests": "x" * i} for i in range(100)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=40)
    chosen = {"3", "17", "31", "39", "99"}
    read = list(read_rows(tmp_path / "rows.parquet", wanted=lambda row: row["id"] in chosen, keys=("id",)))
    assert read == [row for row in rows if row["id"] in chosen]
    assert list(read_rows(tmp_path / "rows.parquet", wanted=lambda row: False, keys=("id",))) == []


# what is left out


def test_what_a_protocol_and_its_sampling_are_without_a_word() -> None:
    usual: dict[str, Any] = {"temperature": 0.6, "top_p": 0.95, "top_k": None, "max_tokens": 32768}
    empty: dict[str, Any] = {"system_prompt": None, "response_prefix": "auto", "prompts": {}, "n": {}, "options": {}}
    assert asdict(Protocol("mine", "me")) == {"name": "mine", "source": "me", **usual, **empty}
    assert asdict(SamplingParams()) == {**usual, "n": 1, "seed": 0, "stop": ()}


def test_what_the_records_are_without_a_word() -> None:
    assert Problem("1", "Q", "A").metadata == {}
    request = Request("t", "1", 0, (), SamplingParams())
    assert (request.response_prefix, request.expected_tokens) == ("", None)
    completion = Completion("t", "1", 0, "x", "stop", 1, 1, 1.0)
    assert (completion.prefix, completion.error) == ("", None)
    score = Score(1.0, "correct")
    told = (score.answer, score.explanation, score.extracted_by, score.metadata, score.key)
    assert told == (None, "", "", {}, None)
    metric = Metric("m", 1.0, 1, "%")
    assert [metric.stderr_run, metric.interval_run, metric.stderr_problems, metric.interval_problems] == [None] * 4
    assert (metric.note, metric.text) == ("", "")
    spec = DatasetSpec("org/a", "0", "test", (), ())
    told_of_data = (spec.config, spec.rows, spec.gated, spec.zip_password, spec.path, spec.own_rows, spec.ordered)
    assert told_of_data == (None, None, False, None, None, None, True)


def test_what_a_task_is_without_a_word() -> None:
    facts = ("kind", "aliases", "dataset", "rows", "targets_sha256", "n", "score_timeout", "headlines")
    assert [getattr(Task, fact) for fact in facts] == ["other", (), None, None, None, 1, 60.0, ("pass@1",)]
    assert (Task.unsafe_options, Task.prompt) == ((), "{problem}")


@pytest.mark.parametrize(
    ("least", "below", "message"),
    [
        ({"temperature": 0.0}, {"temperature": -0.1}, "temperature is -0.1, it has to be 0 or more."),
        ({"temperature": 1e9}, {"temperature": float("inf")}, "temperature is inf, it has to be 0 or more."),
        ({"top_p": 1.0}, {"top_p": 1.01}, "top_p is 1.01, it has to be above 0 and at most 1."),
        ({"top_p": 1e-9}, {"top_p": 0.0}, "top_p is 0.0, it has to be above 0 and at most 1."),
        ({"top_k": 1}, {"top_k": 0}, "top_k is 0, it has to be 1 or more."),
        ({"max_tokens": 1}, {"max_tokens": 0}, "max_tokens is 0, it has to be 1 or more."),
        ({"n": 1}, {"n": 0}, "n is 0, but a problem needs at least one completion."),
    ],
)
def test_settings_at_their_limits(least: dict[str, Any], below: dict[str, Any], message: str) -> None:
    assert {**asdict(SamplingParams()), **least} == asdict(SamplingParams(**least))
    with pytest.raises(EvalkitError) as caught:
        SamplingParams(**below)
    assert caught.value.message == message


@pytest.mark.parametrize("find", [find_protocol, resolve_task])
def test_a_checkout_that_is_not_installed_is_told_so(find: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (protocols, registry):
        monkeypatch.setattr(module, "plugins", lambda group: {})
    with pytest.raises(EvalkitError) as caught:
        find("qwq")
    assert caught.value.message == "evalkit is not installed in this Python, so that it has no tasks and no protocols."
    assert caught.value.hint == "pip install -e . in its checkout installs it."
