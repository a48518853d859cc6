"""The judge's records, comparisons, cases and replies: tables at and beside each limit, and unlike sides."""

import json
import shutil
import signal
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers import records

from evalkit.errors import EvalkitError
from evalkit.sandbox import replies
from evalkit.sandbox.cases import fingerprint, judge_file, read_cases, verdict_line
from evalkit.sandbox.child.values import encode
from evalkit.sandbox.compare import is_too_deep, parse_json, same_lines, same_tokens, same_value
from evalkit.sandbox.compiling import require_compiler
from evalkit.sandbox.languages import LANGUAGES, compiler_version, find_language
from evalkit.sandbox.records import CODES, MODES, VERDICTS, Judgement, Limits, Program, TestResult
from evalkit.sandbox.replies import BadReplyError, parse_first, parse_tests, printable


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("cpu_seconds", 0.001, 86400),
        ("wall_seconds", 0.001, 345600),
        ("memory_mb", 16, 1 << 20),
        ("output_mb", 1, 4096),
        ("folder_mb", 1, 1 << 16),
        ("stack_mb", 1, 1 << 16),
        ("processes", 1, 4096),
        ("open_files", 32, 4096),
    ],
)
def test_limits_have_ends(name: str, least: float, most: float) -> None:
    def made(value: Any) -> Limits:
        return Limits(**{name: value})

    for value in (least, most):
        assert getattr(made(value), name) == value
    for wrong in (least * 0.99, most * 1.01, -1, float("nan"), "3"):
        with pytest.raises(EvalkitError, match=name):
            made(wrong)


def test_facts_of_the_judge() -> None:
    default = Limits()
    assert (default.cpu_seconds, default.memory_mb, default.output_mb, default.folder_mb) == (6.0, 4096, 64, 64)
    assert (default.stack_mb, default.processes, default.open_files, default.wall_seconds) == (8, 64, 128, None)
    assert [Limits(cpu_seconds=s).wall for s in (0.5, 2, 6)] == [2.5, 4, 12]
    assert Limits(wall_seconds=3).wall == 3
    assert MODES == ("script", "lcb-compat", "lcb-compat-2025-05")
    assert [CODES.get(v) for v in VERDICTS] == [None, -2, -3, -4, -2, -4, -4, -4, -5]
    made = Program("x", [])
    assert (made.fn_name, made.language, made.prelude, made.limits) == (None, "python", True, default)
    tests = (TestResult("accepted", True, 1.5, 2.0), TestResult("wrong answer", -2, 0.25, 1.0, "why"))
    judged = Judgement("wrong answer", tests, "why", 2, 1)
    assert not judged.passed
    assert verdict_line("a", judged) == {
        "id": "a",
        "passed": False,
        "verdict": "wrong answer",
        "results": [True, -2],
        "cpu_seconds": 1.75,
        "explanation": "why",
        "reruns": 2,
        "reruns_changed": 1,
    }
    assert verdict_line("b", Judgement("accepted", tests[:1]))["passed"] is True


def test_languages() -> None:
    for name, wanted in (
        ("python", "python"),
        (" PY ", "python"),
        ("python3", "python"),
        ("cpp", "c++17"),
        ("c++", "c++17"),
        ("cpp17", "c++17"),
        ("C++20", "c++20"),
        ("cpp20", "c++20"),
    ):
        assert find_language(name).name == wanted
    with pytest.raises(EvalkitError):
        find_language("ada")
    assert [(x.source, x.compiler, len(x.compile_commands)) for x in LANGUAGES.values()] == [
        ("", "", 0),
        ("solution.cpp", "g++", 2),
        ("solution.cpp", "g++", 2),
    ]
    static, dynamic = LANGUAGES["c++17"].compile_commands
    assert [word for word in static if word not in dynamic] == ["-static"]
    assert {"-O2", "-std=gnu++17", "-DONLINE_JUDGE", "{source}", "{output}"} <= set(dynamic)


@pytest.mark.parametrize(
    ("output", "expected", "lines", "tokens"),
    [
        ("1 2\n", "1 2", None, None),
        (" 1 \n 2 \n\n", "1\n2", None, None),
        ("1\n2", "1 2", "2 lines, expected 1", None),
        ("1  2", "1 2", None, None),
        ("a  b", "a b", "line 1: a  b instead of a b", None),
        ("1.50 1e3", "1.5 1000", None, "word 1: 1.50 instead of 1.5"),
        ("1.5000001", "1.5", "line 1: 1.5000001 instead of 1.5", "word 1: 1.5000001 instead of 1.5"),
        ("x 1.0", "x 1", "line 1: x 1.0 instead of x 1", "word 2: 1.0 instead of 1"),
        ("a\nb", "a\nc", "line 2: b instead of c", "word 2: b instead of c"),
        ("1 2", "1 2 3", "line 1: 1 2 instead of 1 2 3", "2 words, expected 3"),
        ("1 2 3", "1 2", "line 1: 1 2 3 instead of 1 2", "3 words, expected 2"),
        ("", "x", "line 1:  instead of x", "0 words, expected 1"),
        ("x", "", "line 1: x instead of ", "1 words, expected 0"),
        ("", " \n", None, None),
        ("NaN", "NaN ", None, None),
        ("nan 1", "nan 1.0", "line 1: nan 1 instead of nan 1.0", "word 2: 1 instead of 1.0"),
    ],
)
def test_comparisons_of_texts(output: str, expected: str, lines: str | None, tokens: str | None) -> None:
    assert same_lines(output, expected) == lines
    assert same_tokens(output, expected) == tokens


@pytest.mark.parametrize("count", [16_383, 16_384, 16_385, 40_000])
def test_long_outputs_are_compared_to_the_end(count: int) -> None:
    right = "\n".join(map(str, range(count)))
    assert same_lines(right, right + "\n") is None
    assert same_tokens(right, right.replace("\n", " ")) is None
    for at in (0, 16_382, count - 1):
        lines = right.split("\n")
        lines[at] = "x"
        assert same_lines("\n".join(lines), right) == f"line {at + 1}: x instead of {at}"
        assert same_tokens("\n".join(lines), right) == f"word {at + 1}: x instead of {at}"
    assert same_tokens(right + " y", right) == f"{count + 1} words, expected {count}"
    assert same_tokens(right, right + " y z") == f"{count} words, expected {count + 2}"
    assert same_lines("z" * 81, "a") == f"line 1: {'z' * 40}…{'z' * 40} instead of a"
    assert same_lines("z" * 80, "a") == f"line 1: {'z' * 80} instead of a"


VALUES: list[tuple[Any, str, bool]] = [
    (1, "1", True),
    (1, "1.0", True),
    (True, "1", True),
    (1, "2", False),
    ("a", '"a"', True),
    (None, "null", True),
    (None, "  ", True),
    ([1, 2], "[1, 2]", True),
    ([1, 2], "[2, 1]", False),
    ([1, 2], "[1, 2, 3]", False),
    ([1, 2, 3], "[1, 2]", False),
    ((1, 2), "[1, 2]", True),
    ([(1, 2)], "[[1, 2]]", False),
    ({"a": 1}, '{"a": 1}', True),
    ({"a": 1}, '{"a": 2}', False),
    ({"a": 1, "b": 2}, '{"b": 2, "a": 1}', True),
    ({"a": 1}, '{"a": 1, "b": 2}', False),
    ({"a": 1, "b": 2}, '{"a": 1}', False),
    ({"a": 1}, '{"b": 1}', False),
    ({1: 1}, '{"1": 1}', False),
    ({"a": 1}, "[1]", False),
    ([{"a": [1]}], '[{"a": [1]}]', True),
    ([{"a": [1]}], '[{"a": [2]}]', False),
    (Fraction(1, 2), "0.5", True),
    (Fraction(1, 2), "0.25", False),
    ([Fraction(3, 1)], "[3]", True),
    (Fraction(1, 2), '"1/2"', False),
    (Decimal("0.5"), "0.5", True),
    (Decimal("0.1"), "0.1", False),
    (Decimal(2), "3", False),
    (1 + 0j, "1", True),
    (1 + 1j, "1", False),
    (2 + 0j, "1", False),
    ({1, 2}, "[1, 2]", False),
    (b"a", '"a"', False),
]


@pytest.mark.parametrize(("value", "wanted", "same"), VALUES)
def test_comparisons_of_values(value: Any, wanted: str, same: bool) -> None:
    found = same_value(encode(value).decode(), wanted)
    assert (found is None) == same, found
    if found is not None:
        assert " instead of " in found


def test_arrays_and_depths() -> None:
    def array(value: Any, size: int) -> str:
        return json.dumps({"!": "array", "value": value, "size": size})

    assert same_value(array(3, 1), "3") is None
    assert same_value(array(3, 1), "[[3]]") is None
    assert same_value(array(3, 1), "[3, 3]") is not None
    assert same_value(array(3, 1), "4") is not None
    assert same_value(array([], 0), "[]") is not None
    with pytest.raises(ValueError, match="ambiguous"):
        same_value(array([1, 2], 2), "[1, 2]")
    assert same_value(json.dumps({"!": "scalar", "value": 3}), "3") is None
    assert same_value(json.dumps({"!": "other"}), "3") is not None
    assert not is_too_deep("[" * 200 + "]" * 200)
    assert is_too_deep("[" * 201 + "]" * 201)
    assert not is_too_deep('"' + "[" * 300 + '"')
    assert not is_too_deep("[]" * 300)
    assert is_too_deep('{"a":' * 3 + "1" + "}" * 3, 2)
    assert parse_json(" ") is None
    assert parse_json("9" * 5000) == Decimal("9" * 5000)
    with pytest.raises(ValueError, match="deep"):
        parse_json("[" * 201 + "]" * 201)
    assert "characters" in str(same_value("1" * ((1 << 20) + 65), "1"))


# Cases

CASE = {"id": "a", "code": "print(1)", "tests": [["", "1"]]}


def cases(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_cases_are_read_whole(tmp_path: Path) -> None:
    path = cases(
        tmp_path,
        CASE,
        "",
        {**CASE, "id": 7, "fn_name": "f", "timeout": 2.5, "language": "cpp", "more": 1},
        {**CASE, "fn_name": None},
    )
    found = list(read_cases(path, Limits(memory_mb=99)))
    assert [name for name, _ in found] == ["a", "7", "a"]
    first, second, _ = (program for _, program in found)
    assert (first.code, list(first.tests), first.fn_name, first.language) == ("print(1)", [("", "1")], None, "python")
    assert (first.limits.cpu_seconds, first.limits.memory_mb) == (6.0, 99)
    assert (second.fn_name, second.limits.cpu_seconds, second.limits.memory_mb) == ("f", 2.5, 99)
    assert find_language(second.language).name == "c++17"
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(first) == fingerprint(Program("print(1)", [("", "1")]))
    assert len(fingerprint(first)) == 16
    for other in (
        Program("print(2)", [("", "1")]),
        Program("print(1)", [("", "2")]),
        Program("print(1)", [("1", "1")]),
        Program("print(1)", [("", "1")], "f"),
        Program("print(1)", [("", "1")], limits=Limits(cpu_seconds=1)),
    ):
        assert fingerprint(other) != fingerprint(first)


@pytest.mark.parametrize(
    "row",
    [
        "{",
        [],
        3,
        {**CASE, "id": None},
        {**CASE, "id": True},
        {**CASE, "id": 1.5},
        {**CASE, "code": 3},
        {**CASE, "tests": "x"},
        {**CASE, "tests": [["", "1", "2"]]},
        {**CASE, "tests": [["", 1]]},
        {**CASE, "tests": [["1"]]},
        {**CASE, "tests": [3]},
        {**CASE, "fn_name": 3},
        {**CASE, "timeout": 0},
        {**CASE, "timeout": "x"},
        {**CASE, "language": "ada"},
        {**CASE, "language": 3},
        {"id": "a", "code": ""},
    ],
)
def test_lines_that_are_no_case(row: Any, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError) as caught:
        list(read_cases(cases(tmp_path, CASE, row), Limits()))
    assert caught.value.hint


def test_verdicts_go_on_where_they_were(tmp_path: Path) -> None:
    rows = [CASE, {**CASE, "id": "b", "tests": []}, {**CASE, "id": "c", "code": "print(2)"}]
    path, out = cases(tmp_path, *rows), tmp_path / "out.jsonl"
    told: list[str] = []
    counts = judge_file(path, out, workers=1, progress=lambda line: told.append(line["id"]))
    whole = out.read_bytes()
    assert dict(counts) == {"accepted": 1, "sandbox error": 1, "wrong answer": 1}
    assert told == ["a", "b", "c"]
    assert [(r["id"], r["mode"], r["passed"]) for r in records(out)] == [
        ("a", "script", True),
        ("b", "script", False),
        ("c", "script", False),
    ]
    assert [r["case"] for r in records(out)] == [fingerprint(p) for _, p in read_cases(path, Limits())]
    out.write_bytes(whole[: whole.index(b"\n") + 40])
    told.clear()
    assert judge_file(path, out, workers=1, progress=lambda line: told.append(line["id"])) == counts
    assert told == ["b", "c"], "the torn line is judged again"
    without = [{k: v for k, v in r.items() if k not in ("cpu_seconds",)} for r in records(out)]
    assert without == [{k: v for k, v in json.loads(line).items() if k != "cpu_seconds"} for line in whole.splitlines()]
    assert judge_file(path, out, workers=1) == counts, "nothing is judged again"
    for changed in (
        cases(tmp_path, {**CASE, "code": "print(3)"}),
        cases(tmp_path, {**CASE, "id": "z"}),
        cases(tmp_path, CASE),
    ):
        with pytest.raises(EvalkitError):
            judge_file(changed, out, workers=1)
    cases(tmp_path, *rows)
    with pytest.raises(EvalkitError, match="mode"):
        judge_file(path, out, mode="lcb-compat", workers=1)
    for line in (b"{}\n", b'{"id": "a", "verdict": "fine"}\n', b'{"verdict": "accepted"}\n', b"x\n"):
        out.write_bytes(line)
        with pytest.raises(EvalkitError, match="Line 1"):
            judge_file(path, out, workers=1)
    with pytest.raises(EvalkitError, match="not a file"):
        judge_file(path, Path("/dev/null"), workers=1)


# Replies

TEST: dict[str, Any] = {
    "end": "replied",
    "code": 0,
    "output": [5, 10],
    "cpu": 1.5,
    "wall": 2.5,
    "memory_mb": 30.0,
    "said": None,
    "full": False,
    "shared": True,
    "stale": False,
    "errors": "e\x1b\n",
}
LIMITS = Limits(cpu_seconds=2, output_mb=1)


def reply(**changed: Any) -> replies.Reply:
    (found,), more = parse_tests({"tests": [{**TEST, **changed}], "more": True}, LIMITS, 1)
    assert more
    return found


def said(status: str, detail: str = "d") -> str:
    return json.dumps({"status": status, "detail": detail})


@pytest.mark.parametrize(
    ("changed", "failure", "detail", "ended", "code"),
    [
        ({}, None, "", False, 0),
        ({"said": said("ok", "")}, None, "", False, 0),
        ({"said": said("ok", "exit")}, None, "exit", False, 1),
        ({"said": said("ended")}, "runtime error", "d", True, 0),
        ({"said": said("runtime error")}, "runtime error", "d", False, 0),
        ({"said": said("cannot start")}, "runtime error", "d", False, 0),
        ({"said": said("memory limit")}, "memory limit", "d", False, 0),
        ({"said": said("output limit")}, "output limit", "d", False, 0),
        ({"said": said("syntax error")}, "syntax error", "d", False, 0),
        ({"said": said("time limit", "")}, "time limit", "", False, 0),
        ({"said": said("accepted")}, "runtime error", replies._FORGED, False, 0),
        ({"said": "{"}, "runtime error", replies._FORGED, False, 0),
        ({"said": "[" * 100_000}, "runtime error", replies._FORGED, False, 0),
        ({"said": '{"status": "ok"}'}, "runtime error", replies._FORGED, False, 0),
        ({"said": '{"status": "ok", "detail": 3}'}, "runtime error", replies._FORGED, False, 0),
        ({"said": '{"status": 3, "detail": ""}'}, "runtime error", replies._FORGED, False, 0),
        ({"said": '{"status": "ok", "detail": "", "more": 1}'}, "runtime error", replies._FORGED, False, 0),
        ({"end": "time limit"}, "time limit", "1.50 s CPU, 2.50 s wall", False, 0),
        ({"end": "exited"}, None, "", True, 0),
        ({"end": "exited", "code": 3}, "runtime error", "exit code 3", True, 3),
        ({"end": "killed", "code": signal.SIGSEGV}, "runtime error", "killed by SIGSEGV", True, 0),
        ({"end": "killed", "code": signal.SIGXFSZ}, "output limit", "killed at the limit on output", True, 0),
        ({"end": "killed", "code": signal.SIGXCPU}, "time limit", "1.50 s CPU", True, 0),
        ({"end": "killed", "code": signal.SIGKILL, "cpu": 1.99}, "runtime error", "killed by SIGKILL", True, 0),
        ({"end": "killed", "code": signal.SIGKILL, "cpu": 2}, "time limit", "2.00 s CPU", True, 0),
        ({"end": "killed", "code": 40}, "runtime error", "killed by signal 40", True, 0),
    ],
)
def test_replies(changed: dict[str, Any], failure: str | None, detail: str, ended: bool, code: int) -> None:
    found = reply(**changed)
    assert (found.failure, found.detail, found.ended, found.exit_code) == (failure, detail, ended, code)
    assert (found.output, found.memory_mb, found.wall) == ((5, 10), 30.0, 2.5)
    assert (found.full, found.shared, found.stale, found.errors) == (False, True, False, "e\ufffd\n")


@pytest.mark.parametrize(
    "changed",
    [
        {"end": "fine"},
        {"end": "replied", "said": 3},
        {"code": -1},
        {"code": (1 << 16) + 1},
        {"code": True},
        {"code": 1.0},
        {"output": [1]},
        {"output": [1, (1 << 20) + 1]},
        {"output": [-1, 1]},
        {"output": [(1 << 40) + 1, 1]},
        {"output": None},
        {"cpu": -0.1},
        {"cpu": float("nan")},
        {"cpu": float("inf")},
        {"cpu": 1e7 + 1},
        {"cpu": True},
        {"cpu": "1"},
        {"cpu": 10**400},
        {"wall": 1e7 + 1},
        {"memory_mb": 1e9 + 1},
        {"memory_mb": None},
    ],
)
def test_replies_that_no_supervisor_sends(changed: dict[str, Any]) -> None:
    with pytest.raises(BadReplyError):
        reply(**changed)


def test_messages_of_a_supervisor() -> None:
    assert reply(output=[1 << 40, 1 << 20], code=1 << 16, cpu=1e7, memory_mb=1e9).output == (1 << 40, 1 << 20)
    flags = reply(full=True, shared=1, stale=True)
    assert (flags.full, flags.shared, flags.stale) == (True, False, True)
    assert parse_tests({"tests": [], "more": False}, LIMITS, 0) == ([], False)
    wrong: list[dict[str, Any]] = [
        {},
        {"tests": [], "more": 1},
        {"tests": {}, "more": True},
        {"tests": [TEST, TEST], "more": False},
        {"tests": [3], "more": True},
    ]
    for answer in wrong:
        with pytest.raises(BadReplyError):
            parse_tests(answer, LIMITS, 1)
    for status in ("ready", "syntax error", "sandbox error"):
        assert parse_first({"status": status, "detail": "a\nb"}) == (status, "a\ufffdb")
    with pytest.raises(BadReplyError):
        parse_first({"status": "fine"})
    assert parse_first({"status": "ready"}) == ("ready", "")
    assert printable("x" * 301) == "x" * 300
    assert printable("ab\tc", 3, "\t") == "ab\t"
    assert printable(3) == ""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_the_compiler_tells_its_version() -> None:
    found = require_compiler(LANGUAGES["c++17"])
    assert found == compiler_version("g++")
    assert "g++" in found
    assert compiler_version("no-such-compiler") is None


@pytest.mark.parametrize(
    ("text", "most", "deep"),
    [
        ("[[]]", 2, False), ("[[], []]", 2, False), ("[[], [], {}]", 2, False), ("[[], [[]]]", 2, True),
        ("[[[]]]", 2, True), ('{"a": [{}]}', 2, True), ('{"a": [], "b": {}}', 2, False), ("[], [], []", 1, False),
        ('["[[["]', 1, False), (r'["\"[[["]', 1, False), ('["[[[", []]', 1, True), ("[", 0, True), ("", 0, False),
        ("[" * 200 + "]" * 200, 200, False), ("[" * 201 + "]" * 201, 200, True),
        (f"[{'[' * 199}{']' * 199}, []]", 200, False), (f"[{'[' * 200}{']' * 200}, []]", 200, True),
    ],
)  # fmt: skip
def test_how_deep_is_too_deep(text: str, most: int, deep: bool) -> None:
    assert is_too_deep(text, most) is deep
    if most == 200:
        assert is_too_deep(text) is deep
