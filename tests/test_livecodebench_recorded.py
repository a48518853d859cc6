"""Every recorded generation against the verdict that the official runner gave it, and every exception by its reason."""

import ast
import gzip
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.livecodebench import LiveCodeBench
from evalkit_tasks.livecodebench.hidden_tests import decode_tests

from evalkit.benchmark.data import DataSource
from evalkit.sandbox import Program, Sandbox, judge

pytestmark = pytest.mark.real_data
FILES = ("O1-Mini_880_eval_all.json.gz", "Qwen2.5-7B-Ins-ZeroShotCoT_1055_eval_all.json.gz")
# graded true, and fails a recovered test that is damaged
TRUE_AND_FAILS = {
    "the input was changed by the program whose failure was stored": {
        *("2878", "3226", "3454", "3471", "3475", "3518", "3531", "3607", "3616"),
    },
    "the quotes of a string are lost": {"3484"},
}
# graded false with code -2 or -4, and passes its own failing test as a script
FALSE_AND_PASSES = {
    "right as a script: the official runner's wrapping loses what `main` prints": {"abc368_f", "abc382_c"},
    "the input was changed by the program before it was stored": {"3438"},
    "failed in an older runner": {"abc344_b"},
}


def generations(folder: Path) -> Iterator[tuple[str, str, bool, dict[str, Any]]]:
    """(question, code, graded true, what the official runner said)."""
    for name in FILES:
        with gzip.open(folder / "livecodebench_recorded" / name) as stream:
            for row in json.load(stream):
                for code, graded, said in zip(row["code_list"], row["graded_list"], row["metadata"], strict=True):
                    yield row["question_id"], code, graded, json.loads(said)


def own_test(said: dict[str, Any], function: bool) -> tuple[str, str] | None:
    """The test that failed, where it was stored whole."""
    text, expected = said.get("inputs"), said.get("expected")
    if text is None or expected is None or "...(truncated) ..." in text + expected:
        return None
    if not function:
        return text, expected
    try:
        arguments = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    try:
        value = ast.literal_eval(expected)
    except (ValueError, SyntaxError):
        value = expected
    return "\n".join(json.dumps(argument) for argument in arguments), json.dumps(value)


@pytest.mark.skipif(not os.environ.get("EVALKIT_FULL_CONFORMANCE"), reason="a minute: EVALKIT_FULL_CONFORMANCE=1")
def test_every_recorded_generation(data_dir: Path) -> None:
    """Not those that ran into a time limit: at 6 s each, twice, they would take a quarter of an hour."""
    problems = {
        p.id: p
        for p in LiveCodeBench(release="release_v6", window="all").load(DataSource(data_dir, allow_changed=True))
    }
    rows: dict[str, Any] = {}
    for path in sorted((data_dir / "code_generation_lite").glob("test*.jsonl")):
        with path.open() as stream:
            rows |= {row["question_id"]: row for row in map(json.loads, stream)}
    programs = []
    for name, code, graded, said in generations(data_dir):
        if name not in problems or (not graded and said.get("error_code") not in (-2, -4)):
            continue
        fn_name = problems[name].metadata["fn_name"]
        failed = None if graded else own_test(said, bool(fn_name))
        if not graded and failed is None:
            continue  # its failing test was not stored whole
        tests = [failed] if failed else decode_tests(rows[name], name)
        programs.append((name, graded, Program(code, tests, fn_name)))
    with Sandbox() as sandbox, ThreadPoolExecutor(2) as executor:
        passed = list(executor.map(lambda row: judge(row[2], sandbox=sandbox).passed, programs))
    assert len(programs) > 1300
    differ: dict[bool, set[str]] = {True: set(), False: set()}
    for (name, graded, _), ok in zip(programs, passed, strict=True):
        if ok != graded:
            differ[graded].add(name)
    assert differ[True] == set().union(*TRUE_AND_FAILS.values())
    assert differ[False] == set().union(*FALSE_AND_PASSES.values())
