"""Data: where sets are found, what is recorded of them, and every error's text; protocols, plug-ins, trusted files."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic import aime_rows, write_jsonl

from evalkit import DatasetSpec, Problem, Score, Task
from evalkit.benchmark import file_cache, registry
from evalkit.benchmark.data import DataSource, LoadedData, data_folder_of, read_data_options
from evalkit.benchmark.declared import declared_faults, require_declared, unknown_fields
from evalkit.benchmark.files import read_rows
from evalkit.benchmark.loading import equal_ids, load_problems
from evalkit.benchmark.protocols import Protocol, find_protocol, installed_protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.suites import suite, task_names
from evalkit.errors import EvalkitError

SPEC = DatasetSpec("org/sums", "0123abc", "test", ("question", "answer"), ("sums.jsonl", "more.zip::in.csv"), rows=2)
ROWS = [{"question": "1 + 1?", "answer": "2"}, {"question": "1 + 2?", "answer": "3"}]


def told(error: EvalkitError) -> tuple[str, str]:
    return error.message, error.hint


def said(call: Any, *arguments: Any, **named: Any) -> tuple[str, str]:
    """The error's sentence and its hint."""
    with pytest.raises(EvalkitError) as caught:
        call(*arguments, **named)
    return told(caught.value)


# where a data set is


@pytest.mark.parametrize("folder", ["org/sums", "sums", "org__sums", "."])
def test_a_set_is_found_in_each_of_its_folders_and_recorded(tmp_path: Path, folder: str) -> None:
    write_jsonl(tmp_path / folder / "sums.jsonl", ROWS)
    source = DataSource(tmp_path)
    assert source.rows(SPEC) == ROWS
    digest = hashlib.sha256(json.dumps(ROWS, sort_keys=True).encode()).hexdigest()
    assert source.loaded == [LoadedData("org/sums", str(tmp_path / folder / "sums.jsonl"), None, 2, digest)]


@pytest.mark.parametrize(
    "name",
    ["test.jsonl", "test-00000-of-00001.jsonl", "data/test.jsonl", "main/test.jsonl", "data/test-00000-of-00001.jsonl"],
)
def test_the_layouts_of_the_hub(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / "sums" / name, ROWS)
    spec = DatasetSpec("org/sums", "", "test", ("question",), ("sums.jsonl",), config="main")
    assert DataSource(tmp_path).rows(spec) == ROWS


def test_the_first_of_several_files_is_taken(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "sums" / "test.jsonl", ROWS[:1])
    write_jsonl(tmp_path / "sums" / "sums.jsonl", ROWS)
    write_jsonl(tmp_path / "org" / "sums" / "more.jsonl", ROWS[:1])
    assert DataSource(tmp_path).rows(SPEC) == ROWS
    write_jsonl(tmp_path / "org" / "sums" / "sums.jsonl", ROWS[::-1])
    assert DataSource(tmp_path).rows(SPEC) == ROWS[::-1]


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "any.jsonl", ROWS)
    source = DataSource(tmp_path / "any.jsonl")
    assert source.rows(SPEC) == ROWS
    assert source.files(SPEC) == [tmp_path / "any.jsonl"]


def test_shards_are_read_in_order_and_have_to_be_whole(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS):
        write_jsonl(tmp_path / "sums" / f"test-0000{number}-of-00002.jsonl", [row])
    source = DataSource(tmp_path)
    assert source.rows(SPEC) == ROWS
    paths = [str(tmp_path / "sums" / f"test-0000{number}-of-00002.jsonl") for number in (0, 1)]
    assert source.loaded[0].source == ", ".join(paths)
    Path(paths[0]).unlink()
    assert said(source.rows, SPEC) == (
        f"{tmp_path / 'sums'} lacks test-00000-of-00002.jsonl, a part of the data set.",
        "download the whole data set.",
    )


def test_files_that_are_read_in_place(tmp_path: Path) -> None:
    spec = DatasetSpec("org/sums", "", "test", (), ("a.jsonl", "b.jsonl"))
    source, folder = DataSource(tmp_path), tmp_path / "sums"
    hint = f"put the files of https://huggingface.co/datasets/org/sums into {folder}/, "
    missing = (
        f"The data folder {tmp_path} has no sums/a.jsonl or b.jsonl, which org/sums needs.",
        hint + "or unset --data and EVALKIT_DATA to use the hub.",
    )
    assert said(source.files, spec) == missing
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(b"x")
    assert said(source.files, spec) == (
        f"{folder / 'a.jsonl.gz'} is compressed, and this data set is read in place.",
        f"unpack it in {folder}.",
    )
    (folder / "a.jsonl").write_bytes(b"one")
    assert said(source.files, spec) == (
        f"{folder} lacks b.jsonl, without which org/sums is not whole.",
        "download the whole data set, or pass --allow-changed-data to use what is there.",
    )
    assert source.loaded == []
    assert DataSource(tmp_path, allow_changed=True).files(spec) == [folder / "a.jsonl"]
    (folder / "b.jsonl").write_bytes(b"two")
    assert source.files(spec) == [folder / "a.jsonl", folder / "b.jsonl"]
    of_both = hashlib.sha256(hashlib.sha256(b"one").digest() + hashlib.sha256(b"two").digest()).hexdigest()
    where = f"{folder / 'a.jsonl'}, {folder / 'b.jsonl'}"
    assert source.loaded == [LoadedData("org/sums", where, None, None, of_both)]


def test_errors_of_rows(tmp_path: Path) -> None:
    source, path = DataSource(tmp_path), tmp_path / "sums" / "sums.jsonl"
    assert said(source.rows, SPEC)[0] == f"The data folder {tmp_path} has no sums/sums.jsonl, which org/sums needs."
    write_jsonl(path, [])
    assert said(source.rows, SPEC) == (f"org/sums is empty at {path}.", "download the whole data set.")
    write_jsonl(path, ROWS[:1])
    assert said(source.rows, SPEC) == (
        f"org/sums has 1 rows at {path}, but the benchmark has 2.",
        "download the whole data set, or pass --allow-changed-data to use your own.",
    )
    assert DataSource(tmp_path, allow_changed=True).rows(SPEC) == ROWS[:1]
    write_jsonl(path, [ROWS[0], {"question": "?", "answer": None}])
    lacking = "org/sums needs the columns question, answer."
    assert said(source.rows, SPEC) == (f"Row 2 of {path} has no answer.", lacking)
    asked = said(source.rows, SPEC, wanted=lambda row: row["question"] == "?")
    assert asked == (f"Row 1 of those asked for in {path} has no answer.", lacking)
    assert source.rows(SPEC, wanted=lambda row: row["answer"] == "2") == ROWS[:1]
    assert source.rows(SPEC, wanted=lambda row: False) == []
    assert [data.rows for data in source.loaded] == [1, 0]


def test_own_files_stand_beside_the_task_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, beside = tmp_path / "here", tmp_path / "beside"
    write_jsonl(here / "own.jsonl", ROWS[:1])
    write_jsonl(beside / "own.jsonl", ROWS)
    monkeypatch.chdir(here)
    spec = DatasetSpec.from_file("own.jsonl", ["answer"])
    assert DataSource().rows(spec) == ROWS[:1]
    source = DataSource(beside=beside)
    assert source.rows(spec) == ROWS
    assert (source.loaded[0].hub_id, source.loaded[0].source) == ("file:own.jsonl", str(beside / "own.jsonl"))
    (beside / "own.jsonl").unlink()
    assert DataSource(beside=beside).rows(spec) == ROWS[:1]
    (here / "own.jsonl").unlink()
    hint = "pass the path of a jsonl, json, csv or parquet file; a package has to list it as package data."
    assert said(DataSource(beside=beside).rows, spec) == (
        f"There is no file {beside / 'own.jsonl'} or {here / 'own.jsonl'}.", hint,
    )  # fmt: skip
    assert said(DataSource().rows, spec) == (f"There is no file {here / 'own.jsonl'}.", hint)
    assert said(DataSource(beside=here).rows, spec) == (f"There is no file {here / 'own.jsonl'}.", hint)
    assert said(DataSource(beside=Path()).rows, spec) == (f"There is no file {here / 'own.jsonl'}.", hint)
    absolute = DatasetSpec.from_file(here / "other.jsonl")
    assert said(DataSource(beside=beside).rows, absolute) == (f"There is no file {here / 'other.jsonl'}.", hint)


def test_a_saved_data_set_of_one_split(tmp_path: Path) -> None:
    folder = tmp_path / "sums"
    write_jsonl(folder / "part.jsonl", ROWS)
    state: dict[str, Any] = {"_data_files": [{"filename": "part.jsonl"}], "_split": "test"}
    (folder / "state.json").write_text(json.dumps(state))
    assert DataSource(tmp_path).rows(SPEC) == ROWS
    for split, is_found in ((None, True), ("train", False)):
        (folder / "state.json").write_text(json.dumps({**state, "_split": split}))
        if is_found:
            assert DataSource(tmp_path).rows(SPEC) == ROWS
        else:
            assert "has no sums/sums.jsonl" in said(DataSource(tmp_path).rows, SPEC)[0]
    (folder / "state.json").write_text(json.dumps({**state, "_data_files": [{"filename": "gone.jsonl"}]}))
    assert said(DataSource(tmp_path).rows, SPEC) == (
        f"{folder} lacks gone.jsonl, which its state.json names.",
        "copy the whole folder again.",
    )


def test_the_folder_of_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    assert DataSource.from_option(None) == DataSource()
    assert DataSource.from_option("", allow_changed=True) == DataSource(allow_changed=True)
    assert DataSource.from_option(str(tmp_path), True) == DataSource(tmp_path, allow_changed=True)
    monkeypatch.setenv("EVALKIT_DATA", str(tmp_path))
    assert DataSource.from_option(None) == DataSource(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    assert DataSource.from_option(str(other)).root == other
    assert said(DataSource.from_option, str(tmp_path / "no")) == (
        f"The data folder {tmp_path / 'no'} does not exist.",
        "pass an existing folder with --data or EVALKIT_DATA, or neither to use the hub.",
    )


def test_folders_for_tasks(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert read_data_options([]) is None
    assert read_data_options([str(odd)]) == {"": str(odd)}
    assert read_data_options(["x", "aime=y"]) == {"": "x", "aime": "y"}
    hint = "use --data TASK=DIR for the data of one task."
    assert said(read_data_options, ["x", "y"]) == ("--data is given twice for all tasks.", hint)
    assert said(read_data_options, ["a=x", "a=y"]) == ("--data is given twice for the task a.", hint)
    task = TaskSpec("aime24").create()
    assert data_folder_of(task, None) is None
    assert data_folder_of(task, "") is None
    assert data_folder_of(task, Path("x")) == "x"
    assert data_folder_of(task, {"": "x", "AIME-2024": Path("y")}) == "y"
    assert data_folder_of(task, {"": "x", "math500": "y"}) == "x"
    assert data_folder_of(task, {"math500": "y"}) is None


def test_rows_of_every_format(tmp_path: Path) -> None:
    texts = {
        "a.jsonl": '{"a": "1"}\n\n{"a": "2"}\n',
        "a.json": '[{"a": "1"}, {"a": "2"}]',
        "one.json": '{"a": "1"}',
        "lines.json": '{"a": "1"}\n{"a": "2"}',
        "a.csv": 'a,b\n1,"x, y"\n2,z\n',
        "a.tsv": "a\tb\n1\tx, y\n2\tz\n",
        "bom.csv": "\ufeffa\n1\n2\n",
    }
    held = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
        held[name] = list(read_rows(tmp_path / name))
    plain, table = [{"a": "1"}, {"a": "2"}], [{"a": "1", "b": "x, y"}, {"a": "2", "b": "z"}]
    assert held == {
        "a.jsonl": plain, "a.json": plain, "one.json": plain[:1], "lines.json": plain,
        "a.csv": table, "a.tsv": table, "bom.csv": plain,
    }  # fmt: skip
    assert list(read_rows(tmp_path / "a.jsonl", wanted=lambda row: row["a"] == "2")) == plain[1:]


def test_errors_of_files(tmp_path: Path) -> None:
    def read(name: str, text: str) -> tuple[str, str]:
        path = tmp_path / name
        path.write_text(text)
        return said(lambda: list(read_rows(path)))

    again = "the file is damaged or not JSON lines; download it again."
    message, hint = read("a.jsonl", '{"a": 1}\n\n{"a"\n')
    assert (message.partition(" is not JSON: ")[0], hint) == (f"Line 3 of {tmp_path / 'a.jsonl'}", again)
    assert read("a.csv", "a,b\n1,2\n1,2,3\n") == (
        f"Row 2 of {tmp_path / 'a.csv'} has more fields than its header.",
        "quote fields that hold commas.",
    )
    message, hint = read("a.json", '{"a"')
    assert message.startswith(f"{tmp_path / 'a.json'} cannot be read: ")
    assert hint == "download the file again."


# what is loaded


class Sums(Task):
    name, version, title = "sums", 1, "Sums"

    def __init__(self, problems: Any = None) -> None:
        self.problems = problems

    def load(self, source: DataSource) -> Sequence[Problem]:
        if isinstance(self.problems, Exception):
            raise self.problems
        return self.problems  # type: ignore[no-any-return]

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "load() returned None, not a list of Problem"),
        ("abc", "load() returned an object of the type str, not a list of Problem"),
        ({}, "load() returned an object of the type dict, not a list of Problem"),
        (5, "load() returned an object of the type int, not a list of Problem"),
        ([Problem("1", "", ""), 3], "entry 2 of load() is of the type int, not a Problem"),
        ([Problem("1", "", ""), Problem("x", "", 3)],  # type: ignore[arg-type]
         "the target of problem 'x' (number 2) is of the type int, not text (str)"),
        ([Problem(1, "", "")], "the id of problem 1 (number 1) is of the type int, not text (str)"),  # type: ignore[arg-type]
        ([Problem("1", None, "")], "the prompt of problem '1' (number 1) is of the type NoneType, not text (str)"),  # type: ignore[arg-type]
        (KeyError("answer"), "KeyError: 'answer'"),
    ],
)  # fmt: skip
def test_what_a_task_may_not_load(returned: Any, reason: str) -> None:
    assert said(load_problems, Sums(returned), DataSource()) == (
        f"The data of sums cannot be used: {reason}.",
        "repair the task's load(), or its data.",
    )


def test_what_a_task_loads() -> None:
    problems, source = [Problem("1", "1 + 1?", "2")], DataSource()
    assert load_problems(Sums(iter(problems)), source) == problems
    assert source.beside == Path(__file__).resolve().parent
    own = EvalkitError("It is gone.", "look for it.")
    assert said(load_problems, Sums(own), source) == ("It is gone.", "look for it.")


def test_an_installed_task_has_its_data_downloaded_again(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "aime_2024" / "train.jsonl", [{**row, "problem": 5} for row in aime_rows()])
    assert said(load_problems, TaskSpec("aime24").create(), DataSource(tmp_path)) == (
        "The data of aime24 cannot be used: the prompt of problem '0' (number 1) is of the type int, not text (str).",
        "download the data again.",
    )


def test_equal_ids() -> None:
    problems = [Problem(name, "", "") for name in "abcdeabcde"]
    assert equal_ids(problems[:5]) is None
    assert equal_ids(problems[:6]) == "problems 1 and 6 have the id 'a'"
    assert equal_ids(problems[:8]) == (
        "problems 1 and 6 have the id 'a'; problems 2 and 7 have the id 'b'; problems 3 and 8 have the id 'c'"
    )
    assert str(equal_ids(problems)).endswith("the id 'c'; and 2 more")


# what a task declares

WRONG: dict[str, tuple[Any, str]] = {
    "name": ("a,b", "a text of letters, digits and underscores"),
    "version": (True, "a whole number, such as 1"),
    "title": (" ", "a text that is not empty"),
    "kind": ("maths", "one of math, choice, code, instructions, other"),
    "n": (0, "a whole number of 1 or more"),
    "prompt": (5, "a text with {problem} in it"),
    "aliases": ("ab", 'a tuple of texts, such as ("other_name",)'),
    "headlines": (("",), 'a tuple of names of metrics, such as ("pass@1",)'),
    "unsafe_options": ((1,), 'a tuple of names of options, such as ("sandbox",)'),
    "score_timeout": (0, "a number of seconds above 0"),
    "rows": (-1, "a whole number or None"),
    "targets_sha256": (5, "a text or None"),
    "dataset": ("x", "a DatasetSpec or None"),
    "load": (None, "a method"),
    "score": (None, "a method"),
}


def test_every_wrong_attribute_is_told() -> None:
    assert declared_faults(Sums) == {}
    for name, (value, wanted) in WRONG.items():
        wrong = type("Wrong", (Sums,), {name: value})
        assert declared_faults(wrong) == {name: f"{name} is {value!r}, not {wanted}"}
        assert declared_faults(wrong()) == declared_faults(wrong)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", ("a", "a-b", "A 1")), ("version", (0, 7)), ("n", (1, 64)), ("score_timeout", (0.1, 5)),
        ("rows", (None, 0, 5)), ("targets_sha256", (None, "ab")), ("aliases", ((), ["a"])), ("kind", ("math",)),
        ("dataset", (None, SPEC)),
    ],
)  # fmt: skip
def test_what_an_attribute_may_be(name: str, values: Sequence[Any]) -> None:
    for value in values:
        assert declared_faults(type("Right", (Sums,), {name: value})) == {}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", ("", "-", "a/b", "..", 5)), ("version", (-1, 1.0, "1", False)), ("n", (0, True, 1.5)),
        ("score_timeout", (0, -1, True, float("inf"), float("nan"))), ("rows", (True, 1.5)), ("title", ("", None)),
    ],
)  # fmt: skip
def test_what_an_attribute_may_not_be(name: str, values: Sequence[Any]) -> None:
    for value in values:
        assert list(declared_faults(type("Wrong", (Sums,), {name: value}))) == [name]


def test_what_is_missing_and_prompts_without_a_problem() -> None:
    class Bare(Task):
        name = "bare"

    assert declared_faults(Bare) == {
        "version": "it has no version", "title": "it has no title", "load": "it has no load()",
        "score": "it has no score()",
    }  # fmt: skip
    assert said(require_declared, Bare) == (
        "The task bare cannot be used: it has no version; it has no title; it has no load(); it has no score().",
        "repair the class test_what_is_missing_and_prompts_without_a_problem.<locals>.Bare; docs/adding-a-task.md has "
        "a table of the attributes.",
    )
    require_declared(Sums)
    fixed = type("Fixed", (Sums,), {"prompt": "Solve it."})
    assert declared_faults(fixed) == {"prompt": "its prompt has no {problem}: 'Solve it.'"}
    own = type("Own", (Sums,), {"prompt": "Solve it {x}.", "messages": lambda self, problem: []})
    assert declared_faults(own) == {}
    assert unknown_fields(own()) == []
    told_twice = type("Twice", (Sums,), {"prompt": "{a} {b} {a} {problem} {letters} {{c}} \\boxed{d} x_{i} {1}"})
    assert unknown_fields(told_twice()) == ["a", "b"]
    made = property(lambda self: "x")
    assert declared_faults(type("Made", (Sums,), {"title": made})) == {}


# protocols


def test_what_a_protocol_fixes_and_samples() -> None:
    own: dict[str, Any] = {"prompts": {"math": "x"}, "n": {"sums": 3}, "options": {"a": {"b": "c"}}}
    protocol = Protocol("mine", "me", 0.5, 0.9, 20, 64, "Be brief.", **own)
    fixed = {
        "name": "mine", "temperature": 0.5, "top_p": 0.9, "top_k": 20, "max_tokens": 64, "system_prompt": "Be brief.",
        "response_prefix": "<think>\n",
    }  # fmt: skip
    assert protocol.fixed_settings() == fixed
    assert Protocol("mine", "me", response_prefix="none").fixed_settings()["response_prefix"] == ""
    sampled = protocol.sampling(Sums(), seed=7)
    assert (sampled.temperature, sampled.top_p, sampled.top_k, sampled.max_tokens, sampled.n, sampled.seed) == (
        0.5, 0.9, 20, 64, 3, 7,
    )  # fmt: skip
    assert protocol.sampling(Sums(), 0, n=2).n == 2
    assert Protocol("a", "b").sampling(TaskSpec("aime24").create(), 0).n == 64
    assert protocol.system_messages() == ({"role": "system", "content": "Be brief."},)
    assert Protocol("a", "b").system_messages() == ()
    assert Protocol("a", "b", system_prompt="").system_messages() == ({"role": "system", "content": ""},)


def test_names_of_changed_protocols() -> None:
    protocol = Protocol("mine", "me")
    changed = protocol.overridden({"temperature": 0.25, "top_p": 0.95, "max_tokens": None, "response_prefix": "none"})
    assert (changed.name, changed.temperature, changed.response_prefix) == (
        "mine+temperature=0.25+response_prefix",
        0.25,
        "",
    )
    recorded = protocol.of_recorded(is_said=True)
    assert (recorded.name, recorded.is_asserted, protocol.is_asserted) == ("mine (asserted)", True, False)
    assert protocol.of_recorded(is_said=False).name == "replayed"
    assert said(Protocol, "a/b", "me") == ("'a/b' cannot be a protocol's name.", "it is part of a folder's name.")
    assert Protocol("", "me").name == ""
    assert installed_protocol("DeepSeek-R1") is None
    qwq = installed_protocol("qwq")
    assert qwq is not None
    assert qwq.name == "qwq"


def test_protocol_files_and_their_errors(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"top_k": 5}')
    assert find_protocol(str(path)) == Protocol("mine", "mine.json", top_k=5)
    path.write_text('{"name": "other", "source": "me"}')
    assert find_protocol(str(path)) == Protocol("other", "me")
    hint = "it has the fields that `evalkit protocols NAME --json` prints for a preset."
    path.write_text('{"n": {"a": "b"}}')
    assert said(find_protocol, str(path)) == (
        f"The protocol file {path} is invalid at n.a: Input should be a valid integer.", hint,
    )  # fmt: skip
    path.write_text("[]")
    assert said(find_protocol, str(path))[0].startswith(f"The protocol file {path} is invalid at the file: ")
    path.write_text('{"temperature": 1e999}')
    assert said(find_protocol, str(path)) == (
        f"The protocol file {path} cannot be read: a number in it is not finite.", "it has to be one JSON object.",
    )  # fmt: skip
    path.unlink()
    assert said(find_protocol, str(path)) == (
        f"There is no protocol file {path}.", "`evalkit protocols` lists the presets.",
    )  # fmt: skip
    assert said(find_protocol, "qwqq") == (
        "There is no protocol 'qwqq'. Did you mean qwq?",
        "available: deepseek-r1, open-r1, qwq; or pass a JSON file, such as my-protocol.json.",
    )


# other packages' plug-ins


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another package, with a task, a task of evalkit's name, a protocol that is none, and two suites."""
    code = "from evalkit import Problem, Score, Task\n"
    code += "class Mine(Task):\n    name, version, title = 'mine_1', 1, 'Mine'\n    aliases = ('own',)\n"
    code += (
        "    def load(self, source): return []\n    def score(self, problem, response): return Score(0.0, 'wrong')\n"
    )
    code += "class Aime(Mine):\n    name = 'AIME-24'\nPAIR = ['mine_1', 'gsm8k']\nTEXT = 'mine_1'\nPROTOCOL = 5\n"
    (tmp_path / "stranger_tasks.py").write_text(code)
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[evalkit.tasks]\nmine_1 = stranger_tasks:Mine\nAIME-24 = stranger_tasks:Aime\nnone = stranger_tasks:PAIR\n"
        "[evalkit.protocols]\nbad = stranger_tasks:PROTOCOL\ngone = no_such_module:X\n"
        "[evalkit.suites]\npair = stranger_tasks:PAIR\ntext = stranger_tasks:TEXT\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    caches = registry.plugins, registry._claims
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def test_plug_ins_of_another_package(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert registry.resolve_task("MINE-1").title == "Mine"
    assert registry.resolve_task("own").name == "mine_1"
    with caplog.at_level(logging.WARNING):
        tasks = registry.installed_tasks()
    assert {"mine_1", "gsm8k", "livecodebench"} <= set(tasks)
    assert {"aime24", "AIME-24", "none"}.isdisjoint(tasks), "neither of two of one name runs"
    clash = "Two packages register the task aime24: evalkit and stranger."
    assert sorted({record.getMessage() for record in caplog.records}) == [
        f"{clash} It is skipped.",
        "stranger_tasks:PAIR of stranger is not a Task. It is skipped.",
    ]
    assert said(registry.resolve_task, "aime24") == (
        clash, "uninstall one of them, or give the task another name.",
    )  # fmt: skip
    assert said(find_protocol, "bad") == (
        "stranger_tasks:PROTOCOL of stranger is not a Protocol.", "uninstall or repair stranger.",
    )  # fmt: skip
    assert said(find_protocol, "gone") == (
        "The protocol gone of stranger cannot be imported: ModuleNotFoundError: No module named 'no_such_module'.",
        "repair or uninstall stranger.",
    )
    assert registry.package_of(registry.plugins("evalkit.tasks")["mine_1"]) == "stranger"
    assert not registry.is_ours(registry.plugins("evalkit.tasks")["mine_1"])
    assert registry.is_ours(registry.plugins("evalkit.tasks")["gsm8k"])


def test_suites_of_another_package(package: Path) -> None:
    assert suite("pair") == ("mine_1", "gsm8k")
    assert said(suite, "text") == (
        "The suite text is not a list of task names.", "repair the package that defines it.",
    )  # fmt: skip
    assert task_names("gsm8k, pair,,aime24") == ["gsm8k", "mine_1", "aime24"]


# task files and trust

FILE = "from evalkit import Score, Task\nclass {name}(Task):\n    name, version, title = '{task}', 1, 'T'\n"
FILE += "    def load(self, source): return []\n    def score(self, problem, response): return Score(0.0, 'wrong')\n"


def test_errors_of_task_files_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(name="A", task="one") + FILE.format(name="B", task="ONE"))
    assert said(registry.load_task_file, path) == (
        f"The task file {path} has two tasks named ONE: A and B.", "give one of them another name.",
    )  # fmt: skip
    path.write_text(FILE.format(name="A", task="a/b"))
    assert said(registry.load_task_file, path) == (
        "The task class A has the name 'a/b'.",
        'give it a name of letters, digits and underscores, such as name = "my_task".',
    )
    path.write_text(FILE.format(name="A", task="a") + "    aliases = 'b'\n")
    assert said(registry.load_task_file, path) == (
        "The task a cannot be used: its aliases are 'b', not a tuple of texts.",
        'write aliases = ("other_name",), with the comma.',
    )
    path.write_text(FILE.format(name="A", task="a") + "class C(A):\n    def __init__(self, x): pass\n    name = 'c'\n")
    assert said(TaskSpec("c", str(path)).create) == (
        "The task c cannot be made: TypeError: C.__init__() missing 1 required positional argument: 'x'.",
        "a task is made without arguments but its options: the fields of a dataclass, each with a default.",
    )
    path.write_text("from evalkit import Task\nclass D(Task):\n    name = 'd'\n")
    assert said(TaskSpec("d", str(path)).create) == (
        "The task d cannot be used: it has no load() and no score().",
        "define it in the class D; docs/adding-a-task.md has examples.",
    )
    assert said(registry.load_class, "pathlib:Path") == (
        "pathlib:Path is not a Task class.", "pass a subclass of evalkit.Task.",
    )  # fmt: skip
    assert said(registry.load_class, "pathlib:No")[0].startswith(
        "The task pathlib:No cannot be imported: AttributeError: "
    )
    assert registry.load_class("evalkit_tasks.gsm8k:GSM8K").name == "gsm8k"
    assert TaskSpec("x", "evalkit_tasks.gsm8k:GSM8K").create().name == "gsm8k"
    assert said(TaskSpec("gsm8k", None, {"x": "1"}).create) == (
        "The task gsm8k has no option 'x'.", "it has no options.",
    )  # fmt: skip
    assert said(TaskSpec("livecodebench", None, {"windw": "1"}).create) == (
        "The task livecodebench has no option 'windw'. Did you mean window?",
        "its options are release, window, mode, timeout, memory_mb, all_tests, unsafe_no_sandbox.",
    )
    message, hint = said(TaskSpec("livecodebench", None, {"timeout": "x"}).create)
    assert message.startswith("The option timeout='x' of livecodebench is invalid: Input should be a valid number")
    assert hint == "see `evalkit tasks show livecodebench`."


def test_a_file_is_trusted_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert registry.trusted_list() == tmp_path / "state" / "evalkit" / "trusted_task_files"
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(name="A", task="a"))
    never = (
        f"runs/x a was made with the task file {path}, which you have never run, so it is not run now.",
        "pass --trust-task-file if you trust this file.",
    )
    assert said(registry.require_trusted, str(path), "runs/x a") == never
    registry.trust_task_file(str(path))
    registry.trust_task_file(str(path))
    registry.trust_task_file("package.tasks:Mine")
    registry.require_trusted(str(path), "runs/x a")
    registry.require_trusted("package.tasks:Mine", "runs/x a")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    of_class = hashlib.sha256(b"package.tasks:Mine").hexdigest()
    assert registry.trusted_list().read_text() == f"{digest}\n{of_class}\n"
    path.write_text(FILE.format(name="A", task="b"))
    assert said(registry.require_trusted, str(path), "runs/x a", digest) == (
        f"The task file {path} of runs/x a has changed since you ran it, so it is not run now.",
        "pass --trust-task-file if you trust the change.",
    )
    assert said(registry.require_trusted, str(path), "runs/x a", "0" * 64) == never
    gone = str(tmp_path / "gone.py")
    assert said(registry.require_trusted, gone, "runs/x a") == (
        f"The task file {gone} of runs/x a cannot be read: No such file or directory.",
        "restore it, or say where it is now: `evalkit score runs/x --task-file FILE.py`.",
    )
    assert "`evalkit score runs --task-file FILE.py`" in said(registry.require_trusted, gone, "runs")[1]


def test_the_digest_of_a_tasks_code(tmp_path: Path) -> None:
    path = tmp_path / "digested.py"
    path.write_text(FILE.format(name="A", task="a"))
    spec = TaskSpec("a", str(path))
    task = spec.create()
    assert registry.code_digest(task, spec) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert registry.code_digest(task, TaskSpec("a")) is None
    assert registry.code_digest(TaskSpec("gsm8k").create(), TaskSpec("gsm8k", "evalkit_tasks.gsm8k:GSM8K")) is None
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert registry.code_digest(Sums(), TaskSpec("sums", f"{__name__}:Sums")) == own
    path.unlink()
    assert registry.code_digest(task, spec) is None


def test_a_task_file_hides_an_installed_task_and_tells_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "hiding.py"
    path.write_text(FILE.format(name="A", task="gsm-8k") + FILE.format(name="B", task="other"))
    with caplog.at_level(logging.WARNING):
        assert registry.resolve_task("GSM8K", path).title == "T"
        assert registry.resolve_task("other", path).title == "T"
        assert registry.resolve_task("aime24", path).title == "AIME 2024"
    said_once = f"The task gsm8k is that of {path}, not the one of evalkit that has the same name."
    assert [record.getMessage() for record in caplog.records] == [said_once]
    assert said(registry.resolve_task, "gsm9k")[0] == "There is no task 'gsm9k'. Did you mean gsm8k?"
    assert registry.did_you_mean("xyz", ["gsm8k"]) == ""
    assert registry.did_you_mean("grade_school", {"Grade-School": "gsm8k"}) == " Did you mean gsm8k?"


# what is kept of files


def test_what_is_kept_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_cache, "_WORTHWHILE", 10)
    path = tmp_path / "large"
    path.write_bytes(b"x" * 9)
    assert file_cache.kept_for_file(path, "k", lambda p: [1]) == [1]
    assert not (tmp_path / "cache").exists(), "a small file is read again"
    path.write_bytes(b"x" * 10)
    os.utime(path, ns=(5, 7))
    with caplog.at_level(logging.INFO):
        assert file_cache.kept_for_file(path, "k", lambda p: [2]) == [2]
    assert caplog.messages == []
    key = hashlib.sha256(json.dumps([str(path.resolve()), 10, 7, "k", 1]).encode()).hexdigest()
    kept = tmp_path / "cache" / "evalkit" / "files" / f"{key}.json"
    assert json.loads(kept.read_text()) == {"file": str(path), "value": [2]}
    assert list(kept.parent.iterdir()) == [kept]
    assert file_cache.kept_for_file(path, "k", lambda p: [3]) == [2]
    assert file_cache.kept_for_file(path, "other", lambda p: [4]) == [4]
    path.write_bytes(b"x" * 80)

    def changing(where: Path) -> list[int]:
        where.write_bytes(b"x" * 90)
        return [5]

    with caplog.at_level(logging.INFO):
        assert file_cache.kept_for_file(path, "k", changing) == [5]
    assert caplog.messages == ["large: reading 0.00 GB, once"]
    assert len(list(kept.parent.iterdir())) == 2, "nothing is kept of a file that has changed meanwhile"
    assert file_cache.kept_for_file(tmp_path / "gone", "k", lambda p: [6]) == [6]
