"""The LiveCodeBench task: data, extraction, scores."""

import base64
import hashlib
import json
import pickle
import resource
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.livecodebench import LiveCodeBench
from evalkit_tasks.livecodebench.code_blocks import extract_code, official_code
from evalkit_tasks.livecodebench.hidden_tests import decode_tests, pickled_string
from evalkit_tasks.livecodebench.task import parse_window, release_files

from evalkit.benchmark.data import DataSource
from evalkit.errors import EvalkitError
from evalkit.types import Problem


def encode(value: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def make_row(name: str = "q1", day: str = "2024-09-01T00:00:00", **changes: Any) -> dict[str, Any]:
    test = {"input": "1\n", "output": "2\n", "testtype": "stdin"}
    return {
        "question_content": "Add one.",
        "question_id": name,
        "contest_date": day,
        "starter_code": "",
        "difficulty": "easy",
        "platform": "atcoder",
        "public_test_cases": json.dumps([test]),
        "private_test_cases": encode(json.dumps([{**test, "input": "5\n", "output": "6\n"}])),
        "metadata": "{}",
        **changes,
    }


def make_data(folder: Path, *rows: dict[str, Any]) -> DataSource:
    target = folder / "code_generation_lite"
    target.mkdir()
    (target / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSource(folder, allow_changed=True)  # one file of five


def load(source: DataSource, **options: Any) -> tuple[LiveCodeBench, list[Problem]]:
    task = LiveCodeBench(**options)
    return task, list(task.load(source))


def test_tests_are_decoded() -> None:
    assert decode_tests(make_row(), "q1") == [("1\n", "2\n"), ("5\n", "6\n")]
    plain = make_row(private_test_cases='[{"input": "a", "output": "b"}]')
    assert decode_tests(plain, "q1")[1] == ("a", "b")


def release_data(folder: Path, sizes: dict[str, int]) -> DataSource:
    target = folder / "code_generation_lite"
    target.mkdir()
    for name, size in sizes.items():
        (target / name).write_text("".join(json.dumps(make_row(f"{name}-{i}")) + "\n" for i in range(size)))
    return DataSource(folder)


def test_a_short_set_is_not_the_release(tmp_path: Path) -> None:
    """A file or a row too few is an error; on purpose, the title has the size."""
    whole = {"test.jsonl": 400, "test2.jsonl": 111}
    (tmp_path / "a").mkdir()
    task, problems = load(release_data(tmp_path / "a", whole), release="release_v2")
    assert (len(problems), "problems of the release" in task.title) == (511, False)
    (tmp_path / "b").mkdir()
    short = release_data(tmp_path / "b", {**whole, "test2.jsonl": 110})
    with pytest.raises(EvalkitError, match=r"release_v2 has 511 problems, and .* has 510 of them") as caught:
        load(short, release="release_v2")
    assert "--allow-changed-data" in caught.value.hint
    task, _ = load(DataSource(short.root, allow_changed=True), release="release_v2")
    assert task.title.endswith("script, 510 of 511 problems of the release)")
    with pytest.raises(EvalkitError, match=r"lacks test3\.jsonl, without which livecodebench/code_generation_lite"):
        load(short, release="release_v3")
    packed = tmp_path / "c" / "code_generation_lite"
    packed.mkdir(parents=True)
    (packed / "test.jsonl.gz").write_bytes(b"")
    with pytest.raises(EvalkitError, match="is compressed"):
        load(DataSource(tmp_path / "c"), release="release_v1")


def test_the_second_start_parses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evalkit_tasks.livecodebench.task as module

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("evalkit.benchmark.file_cache._WORTHWHILE", 100)
    source = release_data(tmp_path, {"test.jsonl": 400})
    _, first = load(source, release="release_v1")
    digest = source.loaded[0].fingerprint
    parsed: list[int] = []
    monkeypatch.setattr(module, "_parse", lambda *_: parsed.append(1))
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: parsed.append(1))
    again = DataSource(source.root)
    _, second = load(again, release="release_v1")
    assert (second, parsed, again.loaded[0].fingerprint) == (first, [], digest)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("EXECUTED",))


@pytest.mark.parametrize("value", [Evil(), 1, ["a"], {"a": "b"}, b"bytes", ("a", "b"), None, [Evil()]])
def test_nothing_but_a_string_is_unpickled(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EvalkitError, match="tests of the row cannot be decoded"):
        decode_tests(make_row(private_test_cases=encode(value)), "the row")
    assert "EXECUTED" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("text", ["", "a", "ü" * 300, "x" * 70000])
def test_strings_of_every_protocol(protocol: int, text: str) -> None:
    assert pickled_string(pickle.dumps(text, protocol)) == text


@pytest.mark.parametrize("text", ["%%%", "AAAA", encode("[]")[:-6], encode('{"a"'), encode('[{"input": "1"}]')])
def test_damaged_tests_name_the_row(text: str) -> None:
    with pytest.raises(EvalkitError, match="q7"):
        decode_tests(make_row(private_test_cases=text), "q7")


def test_releases_and_windows() -> None:
    assert release_files("release_v2") == ("test.jsonl", "test2.jsonl")
    assert release_files("v4_v5") == ("test4.jsonl", "test5.jsonl")
    assert len(release_files("release_v6")) == 6
    for wrong in ("v7", "v5_v4", "release_v0", ""):
        with pytest.raises(EvalkitError, match="no release"):
            release_files(wrong)
    assert [str(day) for day in parse_window("2024-08-01:2025-01-31")] == ["2024-08-01", "2025-01-31"]
    for wrong in ("2024", "2025-01-01:2024-01-01", "a:b"):
        with pytest.raises(EvalkitError, match="window"):
            parse_window(wrong)


def test_the_window_takes_both_its_ends_and_the_title_names_it(tmp_path: Path) -> None:
    days = ("2024-07-31", "2024-08-01", "2025-01-31", "2025-02-01")
    source = make_data(tmp_path, *(make_row(day, f"{day}T23:59:00") for day in days))
    task, problems = load(source)
    assert [p.id for p in problems] == ["2024-08-01", "2025-01-31"]
    assert LiveCodeBench().title == "LiveCodeBench (release_v5, 2024-08-01 to 2025-01-31, script)"
    assert task.title == f"{LiveCodeBench().title[:-1]}, 4 of 880 problems of the release)"
    assert len(load(source, window="all")[1]) == 4
    with pytest.raises(EvalkitError, match="no problem"):
        load(source, window="2030-01-01:2030-02-01")


def test_prompts_of_both_kinds(tmp_path: Path) -> None:
    starter = "class Solution:\n    def f(self, a):\n        "
    function = make_row("q2", starter_code=starter, metadata='{"func_name": "f"}')
    task, (stdin, functional) = load(make_data(tmp_path, make_row(), function))
    asked = task.messages(stdin)[0]["content"]
    assert "Question: Add one." in asked
    assert "# YOUR CODE HERE" in asked
    assert starter in task.messages(functional)[0]["content"]
    assert functional.metadata["fn_name"] == "f"


@pytest.mark.parametrize(
    ("response", "status", "begins"),
    [
        ("```python\nprint(int(input()) + 1)\n```", "correct", "accepted: 2 of 2 tests passed"),
        ("```python\nprint(2)\n```", "wrong", "wrong answer: 1 of 2 tests passed; test 2: line 1: 2 instead of 6"),
        ("```python\n1/0\n```", "wrong", "runtime error"),
        ("```python\nprint(\n```", "wrong", "syntax error"),
        ("I do not know.", "no_answer", "no code"),
        ("```python\n\n```", "no_answer", "no code"),
    ],
)
def test_scores(tmp_path: Path, response: str, status: str, begins: str) -> None:
    task, (problem,) = load(make_data(tmp_path, make_row()))
    score = task.score(problem, response)
    assert score.status == status
    assert score.explanation.startswith(begins)


def test_a_sandbox_error_is_no_wrong_answer_and_changed_data_is_an_error(tmp_path: Path) -> None:
    source = make_data(tmp_path, make_row(public_test_cases="[]", private_test_cases="[]"))
    task, (problem,) = load(source)
    with pytest.raises(EvalkitError, match="without tests"):
        task.score(problem, "```python\nprint(1)\n```")
    file = tmp_path / "code_generation_lite" / "test.jsonl"
    file.write_text(file.read_text().replace("Add", "add"))
    from evalkit_tasks.livecodebench import task as module

    module._read_row.cache_clear()
    with pytest.raises(EvalkitError, match="has changed"):
        task.score(problem, "```python\nprint(1)\n```")


@pytest.mark.slow
def test_the_report_counts_verdicts_and_reruns(tmp_path: Path) -> None:
    task, problems = load(make_data(tmp_path, make_row()), timeout=1)
    codes = ("print(int(input()) + 1)", "print(0)", "while True: pass")
    scores = [task.score(problems[0], f"```python\n{code}\n```") for code in codes]
    metrics = {m.name: m.value for m in task.extra_metrics(problems, {"q1": scores})}
    assert metrics["verdict accepted"] == metrics["verdict wrong answer"] == metrics["verdict time limit"] == 1
    assert metrics["pass@1 easy"] == pytest.approx(100 / 3)
    assert (metrics["time limits run again"], metrics["time limits changed"]) == (1, 0)


def test_bad_rows_are_named(tmp_path: Path) -> None:
    row = make_row()
    del row["metadata"]
    with pytest.raises(EvalkitError, match=r"Line 2 of .* has no metadata"):
        load(make_data(tmp_path, make_row(), row))


def test_the_whole_set_stays_small_in_memory(tmp_path: Path) -> None:
    """200 MB of tests that do not compress: loading and one score stay far below the size of the file."""
    filler = base64.b64encode(zlib.compress(pickle.dumps("[]"), 0)).decode()
    big = json.dumps(make_row(private_test_cases=filler, question_hint="x" * (5 << 20)))
    target = tmp_path / "code_generation_lite"
    target.mkdir()
    with (target / "test.jsonl").open("w") as stream:
        for number in range(40):
            stream.write(big.replace('"q1"', f'"q{number}"') + "\n")
    script = f"""
    from pathlib import Path
    from evalkit.benchmark.data import DataSource
    from evalkit_tasks.livecodebench import LiveCodeBench
    task = LiveCodeBench()
    problems = task.load(DataSource(Path({str(tmp_path)!r}), allow_changed=True))
    assert len(problems) == 40
    assert task.score(problems[-1], "```python\\nprint(int(input()) + 1)\\n```").status == "correct"
    print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])  # ru_maxrss begins with the parent's
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / 1024 < 150
    assert resource.RLIMIT_AS is not None


FENCE = "```"


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("a\n```python\nx = 1\n```\nb\n```python\ny = 2\n```\nend", "y = 2"),
        ("```python\nx = 1\n```\nprints\n```\n1\n```", "x = 1"),
        ("```python\nx = 1\n```\n```output\n1\n```", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("```\nimport sys\n```\n```\n3 1 2\n```", "import sys"),
        ("```python\nx = 1", "x = 1"),
        ("~~~python\nx = 1\n~~~", "x = 1"),
        ("````python\ns = '''```'''\n````", "s = '''```'''"),
        ("```python\ns='''```'''\nprint(s)\n```", "s='''```'''\nprint(s)"),
        ("1. So:\n   ```python\n   if x:\n       y()\n   ```", "if x:\n    y()"),
        ("```python\r\nprint(1)\r\n```\r\n", "print(1)"),
        ("```Python3\nx = 1\n``` and that is it", "x = 1"),
        ("```python\nx = 1\n```python\ny = 2\n```", "y = 2"),
        ("```python\nx = 1\n```\nUse ```x``` inline", "x = 1"),
        ("print(input())", "print(input())"),
        ("import sys\nfor line in sys.stdin:\n    print(line)", "import sys\nfor line in sys.stdin:\n    print(line)"),
        ("no code", ""),
        ("42", ""),
        ("Sorry.", ""),
        ("", ""),
        ("```cpp\nint main(){}\n```", ""),
        ("```python\n\n```", ""),
    ],
)
def test_code_is_found(response: str, code: str) -> None:
    assert extract_code(response)[0].strip("\n") == code


def test_a_block_that_defines_the_function_goes_first() -> None:
    response = "```python\nclass Solution:\n    def f(self): pass\n```\nUse:\n```python\nprint(Solution().f())\n```"
    assert "class Solution" in extract_code(response, "f")[0]
    assert extract_code(response)[0].startswith("print")


SOLUTION = "import sys\n\ndef solve():\n    n = int(sys.stdin.readline())\n    print(n * 2)\n\nsolve()"


@pytest.mark.parametrize(
    "behind",
    [
        "```python\nassert solve_case('3') == 6\n```",
        "```python\n>>> solve()\n6\n```",
        "Input:\n```python\n3\n```",
        "```python\nprint(double(3))\n```",
        "```python\n    print(n * 2)\n```",
        "```python\n# Output: 6\n```",
        "```python\nresult = solve_case('3')\nprint(result)\n```",
        "```\n3 1 2\n```",
    ],
)
def test_a_snippet_behind_the_solution_does_not_displace_it(behind: str) -> None:
    assert extract_code(f"```python\n{SOLUTION}\n```\n\nFor example:\n\n{behind}\n")[0] == SOLUTION


@pytest.mark.parametrize(
    "written",
    [
        f"```python\n{SOLUTION}```",
        f"```python\n{SOLUTION}```\n\nThis works because 2n is even.",
        f"The solution is:```python\n{SOLUTION}\n```",
        f"<answer>```python\n{SOLUTION}\n```</answer>",
        f"**Solution**: ```python3\n{SOLUTION}\n```",
        f"```python\nprint('a')\n``````python\n{SOLUTION}\n```",
        f"{SOLUTION}\n```",
        f"{SOLUTION}\n```\n\nThis doubles n.",
        f"Here is the code:\n\n{SOLUTION}",
        f"Here is the code:\n\n{SOLUTION}\n\nIt reads n and doubles it.",
        f"<answer>\n{SOLUTION}\n</answer>",
        f"```python\n\ufeff{SOLUTION}\n```",
        f"\ufeff```python\n{SOLUTION}\n```",
        f"{SOLUTION}<|im_end|>",
        f"```python\n{SOLUTION}<|eot_id|>",
        f"```python\n{SOLUTION}\n```<|endoftext|>\n```python\nother()\n```",
        *(
            f"```{info}\n{SOLUTION}\n```"
            for info in ("python3.11", "python:main.py", "python,editable", "python=", "{.python}", "py3")
        ),
        f"```python\n# YOUR CODE HERE\n```\n```python\n{SOLUTION}\n```",
        f"```python\n{SOLUTION}\n```\nFill in:\n```python\ndef solve():\n    # YOUR CODE HERE\n    pass\n```",
    ],
)
def test_code_in_every_wrapping(written: str) -> None:
    assert extract_code(written)[0].strip() == SOLUTION


@pytest.mark.parametrize("quote", ['"""', "'''"])
@pytest.mark.parametrize("fence", ["```", "```python", "~~~"])
def test_a_fence_in_a_docstring_is_text(quote: str, fence: str) -> None:
    code = (
        f"def f(x):\n    {quote}\n    Example:\n    {fence}\n    f(1)\n    {fence[:3]}\n    {quote}\n    return 2 * x"
    )
    assert extract_code(f"```python\n{code}\n```", "f")[0] == code


def test_an_echoed_template_is_not_the_solution() -> None:
    template = "class Solution:\n    def f(self, n: int) -> int:\n        # YOUR CODE HERE"
    solution = "class Solution:\n    def f(self, n: int) -> int:\n        return 2 * n"
    for text in (
        f"```python\n{solution}\n```\n```python\n{template}\n```",
        f"```python\n{template}\n```\n```python\n{solution}\n```",
    ):
        assert extract_code(text, "f")[0] == solution


@pytest.mark.real_data
def test_the_compatible_mode_extracts_what_the_official_code_does(data_dir: Path) -> None:
    rows = [json.loads(line) for line in (data_dir / "code_conformance" / "extraction.jsonl").open() if line.strip()]
    assert len(rows) == 25
    for row in rows:
        assert official_code(row["output"]) == row["OpenAIChat"], row["output"]


@pytest.mark.real_data
def test_recorded_generations(data_dir: Path) -> None:
    """Every 12th of o1-mini's: what was graded true passes, save where the recovered test is damaged (see the docs)."""
    import gzip

    damaged = {"2878", "3226", "3454", "3475", "3484", "3518", "3531", "3607", "3616"}
    task, problems = load(DataSource(data_dir, allow_changed=True), release="release_v6", window="all")
    known = {p.id: p for p in problems}
    assert len(known) == 837
    with gzip.open(data_dir / "livecodebench_recorded" / "O1-Mini_880_eval_all.json.gz") as stream:
        rows = [row for row in json.load(stream) if row["question_id"] in known and row["graded_list"][0]]
    checked = rows[::12]
    assert len(checked) > 25
    for row in checked:
        if row["question_id"] not in damaged:
            score = task.score(known[row["question_id"]], row["output_list"][0])
            assert score.status == "correct", (row["question_id"], score.explanation)


def test_a_program_that_was_cut_off_is_not_mended() -> None:
    cut = f"```python\n{SOLUTION}\n\ndef other(n):\n    if not all(x =="
    assert "x ==" in extract_code(cut)[0]
    assert extract_code(f"{SOLUTION}\n\ndef other(n):\n    if not all(x ==")[0] == ""
    assert extract_code(f"```python\n{SOLUTION}\n\nThis program doubles n.")[0].strip() == SOLUTION


def test_a_window_may_be_of_one_day(tmp_path: Path) -> None:
    first, last = parse_window("2024-08-01:2024-08-01")
    assert str(first) == str(last) == "2024-08-01"
    days = ("2024-07-31", "2024-08-01", "2024-08-02")
    source = make_data(
        tmp_path,
        *(
            make_row(day, f"{day}T{clock}")
            for day, clock in zip(days, ("23:59:59", "00:00:00", "00:00:00"), strict=True)
        ),
    )
    task, problems = load(source, window="2024-08-01:2024-08-01")
    assert [p.id for p in problems] == ["2024-08-01"]
    assert "2024-08-01 to 2024-08-01" in task.title
    with pytest.raises(EvalkitError, match="ends before it starts"):
        parse_window("2024-08-02:2024-08-01")
