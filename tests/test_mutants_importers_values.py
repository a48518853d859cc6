"""What the readers share: typed access to JSON, files as they lie, JSON read piece by piece, plain rows by a map."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peer_logs
import pytest
from peer_logs import write, write_lines, write_parquet

from evalkit import EvalkitError
from evalkit.importers import files, json_stream
from evalkit.importers.common import (
    OrderOfAppearance,
    content_parts,
    digest,
    joined_prompt,
    messages_in,
    own_gold,
    own_id,
    own_problem,
    period,
)
from evalkit.importers.files import LogFile, Partial, log_files, member_files
from evalkit.importers.json_stream import JsonStream, beginning, parse
from evalkit.importers.mapped import mapped_logs, parse_map
from evalkit.importers.nodes import Node, described
from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample, PeerVerdict, finish_reason, sample_fault


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


def node(value: Any) -> Node:
    return Node(value, "line 4 of x")


NAN, INFINITE = float("nan"), float("inf")
READ: list[tuple[Callable[[Node], Any], list[tuple[Any, Any]]]] = [
    (Node.label, [("a", "a"), (7, "7"), (2.0, "2"), (2.5, "2.5"), (-3, "-3")]),
    (Node.plain, [("a", "a"), (7, "7"), (0.5, "0.5"), (True, None), (NAN, None), (None, None), ([1], None)]),
    (Node.maybe_label, [(None, None), (3, "3")]),
    (Node.maybe_text, [(None, None), ("", ""), ("a", "a")]),
    (Node.integer, [(3, 3), (3.0, 3), (-1, -1), (2**63 - 1, 2**63 - 1)]),
    (Node.count, [(None, None), (0, 0), (2**53, 2**53), (4.0, 4)]),
    (Node.number, [(0, 0.0), (1.5, 1.5), (-2, -2.0), (2**53, float(2**53))]),
    (Node.maybe_number, [(None, None), (1, 1.0)]),
    (Node.fraction, [(True, 1.0), (False, 0.0), (0, 0.0), (1, 1.0), (0.5, 0.5), (1.01, None), (-0.1, None)]),
    (Node.fraction, [("1", None), (None, None), (NAN, None)]),
    (Node.flag, [(True, True), (False, False)]),
    (Node.texts, [(["a", "b"], ["a", "b"]), ([], [])]),
    (bool, [(None, False), (0, True), ("", True)]),
]  # fmt: skip
REFUSED: list[tuple[Callable[[Node], Any], Any, str]] = [
    (Node.label, True, "it is true or false, not text or a number"),
    (Node.label, NAN, "it is NaN, not text or a number"),
    (Node.label, -INFINITE, "it is an infinite number, not text or a number"),
    (Node.text, None, "it is nothing, not text"),
    (Node.text, 3, "it is the number 3, not text"),
    (Node.integer, 2.5, "it is the number 2.5, not a whole number"),
    (Node.integer, True, "it is true or false, not a whole number"),
    (Node.integer, 2**63, "it is the number 9223372036854775808, not one that is stored exactly"),
    (Node.integer, 10**5000, "it is a number of more than 64 bits, not one that is stored exactly"),
    (Node.integer, INFINITE, "it is an infinite number, not a whole number"),
    (Node.integer, float(2**53), "it is the number 9007199254740992.0, not one that is stored exactly"),
    (Node.count, -1, "it is the number -1, not a count from 0 to 2**53"),
    (Node.count, 2**53 + 1, "it is the number 9007199254740993, not a count from 0 to 2**53"),
    (Node.number, True, "it is true or false, not a number up to 2**53"),
    (Node.number, "1", "it is text, not a number up to 2**53"),
    (Node.number, NAN, "it is NaN, not a number up to 2**53"),
    (Node.number, 2**53 + 1, "it is the number 9007199254740993, not a number up to 2**53"),
    (Node.flag, 1, "it is the number 1, not true or false"),
    (Node.items, {}, "it is an object, not a list"),
    (Node.texts, ["a", 1], "1 is the number 1, not text"),
    (lambda n: list(n.fields()), [], "it is a list, not an object"),
    (lambda n: n["a"], [], "it is a list, not an object"),
    (lambda n: n["a"]["b"].text(), {"a": {"b": []}}, "a.b is a list, not text"),
    (lambda n: n["a"][0].text(), {"a": [0.5]}, "a.0 is the number 0.5, not text"),
    (lambda n: n["a"].items()[1].text(), {"a": ["x", 1]}, "a.1 is the number 1, not text"),
    (lambda n: dict(n["a"].fields())["b"].text(), {"a": {"b": 1}}, "a.b is the number 1, not text"),
]


def test_values_are_read_as_what_they_are() -> None:
    for read, cases in READ:
        for value, expected in cases:
            found = read(node(value))
            assert (found, type(found)) == (expected, type(expected)), (read, value)
    assert described(()) == "tuple"


def test_what_is_no_such_value_is_told_with_its_place() -> None:
    for read, value, told in REFUSED:
        assert fault(lambda: read(node(value))) == f"line 4 of x cannot be imported: {told}.", told  # noqa: B023


def test_fields_and_elements() -> None:
    row = node({"a": None, "b": 2, "c": [1, 2]})
    assert row.first("a", "b").value == 2
    assert (row.first("a", "x").value, row.first("a", "x").path) == (None, "a")
    assert (row["c"][-1].value, row["c"][1].value, row["c"][2].value, row["c"][-3].value) == (2, 2, None, None)
    assert row["x"]["y"].value is None
    assert row["a"][0].path == "a.0"
    assert (row.has("a", "b"), row.has("a", "x"), node([]).has()) == (True, False, False)
    assert ("a" in row, "x" in row, "a" in node(["a"])) == (True, False, False)


def test_a_rows_own_id_problem_and_gold() -> None:
    assert own_id(node({"id": " ", "uuid": 7})) == "7"
    assert own_id(node({"id": "b", "unique_id": "a"})) == "a"
    assert own_id(node({"id": None, "problem_id": [1]})) is None
    assert own_problem(node({"question": 3, "query": "q", "Problem": "p"})) == "p"
    assert own_problem(node({"text": "p"})) is None
    assert own_gold(node({"answer": True, "gold": None, "target": 3.0})) == "3"
    assert own_gold(node({"answer": "a", "expected_answer": "b", "mine": "c"})) == "b"
    assert own_gold(node({"answer": "a", "mine": "c"}), "mine") == "c"
    assert own_gold(node({"answer": ["a"]})) is None


def test_a_messages_parts_and_prompts() -> None:
    parts = [
        {"type": "thinking", "thinking": "a"},
        {"type": "reasoning", "summary": "b"},
        {"type": "reasoning"},
        {"type": "text", "text": "c"},
        {"text": "d"},
        {"type": "output_text", "text": "e"},
    ]
    assert content_parts(node({"content": parts, "reasoning_content": "r"})) == ("cde", "r\na\nb\n")
    assert content_parts(node({"content": "x", "reasoning": ""})) == ("x", None)
    assert content_parts(node({"content": None, "thinking": "t"})) == ("", "t")
    assert content_parts(node({"content": [{"type": "text", "text": "x"}]})) == ("x", None)
    told = "content.0 is an object, not a part with text or reasoning"
    assert told in fault(lambda: content_parts(node({"content": [{"type": "image", "text": "x"}]})))
    assert told in fault(lambda: content_parts(node({"content": [{"type": "text"}]})))
    messages = [{"content": "a"}, {"prompt": "b"}, {"content": ""}, {"content": [{"type": "text", "text": "c"}]}]
    assert joined_prompt(node(messages)) == "a\n\nb\n\nc"
    assert (joined_prompt(node(None)), joined_prompt(node("x"))) == (None, "x")
    found = messages_in('[{"role": "user", "content": "x"}]', "here")
    assert found is not None
    assert (found.value, found.where) == ([{"role": "user", "content": "x"}], "here")
    for text in ('[{"role": "user"', '[{"content": "x"}]', '[{"role": 1}, 2]', "[1]", '{"role": 1}'):
        assert messages_in(text, "here") is None


def test_order_of_appearance_and_end_to_end_runs() -> None:
    order = OrderOfAppearance()
    things = [("a", None), ("b", None), ("a", None), ("a", "b"), ("a", None)]
    assert [order.next(*thing) for thing in things] == [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2)]
    assert digest(None, "a") == digest("", "a") != digest("a", "")
    assert len(digest("a")) == 16

    def of(letters: str) -> int:
        return period([letter.encode() for letter in letters], "x")

    assert [of(s) for s in ("a", "aaaa", "ababab", "aabaab", "abc", "abcdefghia")] == [1, 1, 2, 3, 3, 10]
    for letters in ("aba", "aabb", "abcdefgha"):
        assert fault(lambda: of(letters)).endswith("its prompts recur, but the set was not run end to end.")  # noqa: B023


def test_words_for_the_end_of_a_completion() -> None:
    stop = ("stop", "end_turn", "EOS", "eos_token", "endoftext", "stop_sequence")
    length = ("length", "max_tokens", "Max_Output_Tokens", "model_length")
    assert [finish_reason(word) for word in stop] == ["stop"] * 6
    assert [finish_reason(word) for word in length] == ["length"] * 4
    assert [finish_reason(word) for word in ("content_filter", "", None)] == [None] * 3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ""),
        ({"golds": ("a",), "choices": ["b"], "seconds": 1, "finish_reason": "length", "position": 0}, ""),
        ({"verdicts": (PeerVerdict("a", 1.0),), "text_form": "rejoined"}, ""),
        ({"text": None}, "a text of type NoneType: None"),
        ({"note": 1}, "a note of type int: 1"),
        ({"gold": 1}, "a gold of type int: 1"),
        ({"error": 1}, "a error of type int: 1"),
        ({"position": True}, "a position of type bool: True"),
        ({"prompt_tokens": 1.5}, "a prompt_tokens of type float: 1.5"),
        ({"sample_index": "0"}, "a sample_index of type str: '0'"),
        ({"sample_index": False}, "a sample_index of type bool: False"),
        ({"seconds": "1"}, "a seconds of type str: '1'"),
        ({"golds": "ab"}, "a golds of type str: 'ab'"),
        ({"choices": (1,)}, "a choices of type tuple: (1,)"),
        ({"verdicts": (1,)}, "a verdicts of type tuple: (1,)"),
        ({"finish_reason": "eos"}, "the finish reason 'eos'"),
        ({"text_form": "whole"}, "the text form 'whole'"),
    ],
)
def test_faults_of_a_sample_of_a_plug_in(fields: dict[str, Any], told: str) -> None:
    assert sample_fault(ImportedSample(**{"problem_id": "p", "sample_index": 0, "text": "x", **fields})) == told


def test_what_a_prompt_opened() -> None:
    prompt = "User: 1 + 1?\n<think>\n"
    assert ImportedSample("p", 0, "x", prompt=prompt).prefix == "<think>\n"
    assert ImportedSample("p", 0, "x", prompt="User: 1 + 1?").prefix == ""
    assert ImportedSample("p", 0, "x").prefix == ""
    assert ImportedSample("p", 0, "x", "thinking removed", prompt=prompt).prefix == ""
    assert ImportedSample("p", 0, "x", reasoning="r", prompt=prompt).prefix == ""
    assert ImportedSample("p", 0, " ", reasoning="<think>\nr").response == "<think>\nr "
    assert ImportedSample("p", 0, "a", reasoning="<think>\nr").response == "<think>\nr\n</think>\n\na"
    assert ImportedSample("p", 0, "a", "thinking removed").response_form == "thinking removed"


# JSON piece by piece


class Drops(io.BytesIO):
    """A stream that gives three bytes at a time, as a slow pipe does."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(3)


def stream(text: str | bytes) -> JsonStream:
    return JsonStream(Drops(text if isinstance(text, bytes) else text.encode()), "x.json")


def test_a_document_that_comes_in_drops_is_read_whole() -> None:
    text = '\ufeff{"größe": [1, 22222, "é\\u00e9", [], {}], "b": {}, "c": 12345678, "d": [ ], "e": true}  '
    source, found = stream(text), {}
    for name in source.members():
        found[name] = list(source.elements()) if source.peek() == "[" else source.value()
    source.end()
    assert found == {"größe": [1, 22222, "éé", [], {}], "b": {}, "c": 12345678, "d": [], "e": True}
    alone = stream("12345678901")
    assert (alone.value(), alone.peek()) == (12345678901, "")
    assert list(stream("{}").members()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1 2]", "it is no whole JSON ('2' stands where one of ,] should)"),
        ("[1, 2", "it is no whole JSON (it ends where one of ,] should)"),
        ("{}", "it is no whole JSON ('{' stands where one of [ should)"),
        ("[1, ", "it is no whole JSON (Expecting value)"),
        ('["abc', "it is no whole JSON (Unterminated string)"),
        ("[1] 2", "something follows the end of the JSON document"),
        (b'["\xff"]', "it is no UTF-8 text"),
        (b'["\xc3', "it is no UTF-8 text"),
        ("[" * 100_000, "it is nested too deeply"),
        (f"[{'1' * 5000}]", "a number in it has too many digits"),
    ],
)
def test_what_is_no_whole_list_is_told(text: str | bytes, told: str) -> None:
    def read() -> None:
        source = stream(text)
        _ = list(source.elements())
        source.end()

    assert fault(read) == f"x.json cannot be imported: {told}."


def test_what_is_no_object_is_told() -> None:
    def names(text: str) -> str:
        def read() -> None:
            source = stream(text)
            for _ in source.members():
                source.value()

        return fault(read).removeprefix("x.json cannot be imported: ")

    assert names("[]") == "it is no whole JSON ('[' stands where one of { should)."
    assert names("{1: 2}") == "it is no JSON: a name in an object is not text."
    assert names('{"a" 2}') == "it is no whole JSON ('2' stands where one of : should)."
    assert names('{"a": 2') == "it is no whole JSON (it ends where one of ,} should)."


def test_a_value_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_LONGEST", 1 << 20)
    told = "one value in it is longer than 1 million characters"
    assert told in fault(JsonStream(io.BytesIO(b'"' + b"a" * (1 << 21)), "x").value)
    assert JsonStream(io.BytesIO(b'"' + b"a" * (1 << 19) + b'"'), "x").value() == "a" * (1 << 19)


def test_one_value_is_parsed_or_told() -> None:
    assert parse('{"a": [1]}', "x") == {"a": [1]}
    assert (
        fault(lambda: parse('{"a": ', "x"))
        == "x cannot be imported: it is no whole JSON (Expecting value at character 6)."
    )
    assert (
        fault(lambda: parse('"a', "x"))
        == "x cannot be imported: it is no whole JSON (Unterminated string at character 0)."
    )
    assert fault(lambda: parse("[" * 100_000, "x")) == "x cannot be imported: it is nested too deeply."
    assert fault(lambda: parse("1" * 5000, "x")) == "x cannot be imported: a number in it has too many digits."


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ('{"a": [1, 2], "b": "x"} tail', {"a": [1, 2], "b": "x"}, "tail"),
        ('{"a": [1, 2', {"a": [1, 2]}, ""),
        ('{"a": [1, ', {"a": [1]}, ""),
        ('{"a": "cu', {"a": "cu"}, ""),
        ('{"a": tr', {"a": None}, ""),
        ('{"a": {"b": [true', {"a": {"b": [True]}}, ""),
        ('{"a": 1, "b', {"a": 1}, ""),
        ('{"a": 1, "b"', {"a": 1}, ""),
        ('{"a": 1 "b": 2} x', {"a": 1, "b": 2}, "x"),
        ("[1 2] x", [1], ""),
        ("{} [2]", {}, "[2]"),
        ("[] 1", [], "1"),
        ("[[], {}] 1", [[], {}], "1"),
        ("12 3", 12, "3"),
        ("", None, ""),
        ("nonsense", None, ""),
    ],
)
def test_the_beginning_of_a_document(text: str, value: Any, rest: str) -> None:
    assert beginning(text) == (value, rest)


def test_what_is_nested_too_deeply_for_a_beginning_ends_it() -> None:
    value, rest = beginning("[" * 41)
    for _ in range(40):
        assert isinstance(value, list)
        value = value[0]
    assert (value, rest) == (None, "")
    value, rest = beginning("[" * 30 + "]" * 30 + " 1")
    assert rest == "1"


# files


def the_file(path: Path) -> LogFile:
    (found,) = log_files(str(path))
    return found


def test_a_folder_of_files(tmp_path: Path) -> None:
    for name in (
        "b/two.jsonl.gz",
        "b/one.json",
        "a.json",
        "b/configs/task_config_2.yaml",
        "b/configs/task_config_1.yaml",
    ):
        write(tmp_path / name, "{}")  # fmt: skip
    (tmp_path / "out.json").symlink_to(write(tmp_path.with_name("elsewhere.json"), "{}"))
    (tmp_path / "in.json").symlink_to(tmp_path / "a.json")
    found = {file.name: file for file in log_files(str(tmp_path))}
    configs = ["b/configs/task_config_1.yaml", "b/configs/task_config_2.yaml"]
    assert list(found) == ["a.json", *configs, "b/one.json", "b/two.jsonl.gz", "in.json"]
    two = found["b/two.jsonl.gz"]
    assert (two.stem, two.folder, two.size, found["a.json"].folder) == ("two.jsonl", "b", 2, ".")
    assert (two.where, str(two.path)) == (str(tmp_path / "b/two.jsonl.gz"), str(tmp_path / "b/two.jsonl.gz"))
    beside = two.beside("one.json")
    assert beside is not None
    assert (beside.name, two.beside("../a.json") is None, two.beside("three.json")) == ("b/one.json", False, None)
    assert [file.name for file in two.alike("configs/task_config*.yaml")] == configs
    assert [file.name for file in two.alike("../*.json")] == ["a.json", "in.json", "out.json"]
    assert two.alike("gone/*.json") == []
    assert [file.name for file in found["a.json"].alike("a*")] == ["a.json"]
    assert fault(lambda: log_files(str(tmp_path / "gone"))) == f"There is no {tmp_path / 'gone'}."
    (tmp_path / "empty").mkdir()
    assert fault(lambda: log_files(str(tmp_path / "empty"))) == f"{tmp_path / 'empty'} holds no file."


def test_thinking_that_a_provider_hides_is_told(tmp_path: Path) -> None:
    """inspect marks it as redacted, and keeps what it got in its place."""
    forms = []
    for redacted in (True, False):
        samples = peer_logs.inspect_samples()
        thinking = {"type": "reasoning", "reasoning": "gAAAAB", "redacted": redacted}
        for sample in samples:
            sample["output"]["choices"][0]["message"]["content"] = [thinking, {"type": "text", "text": "42"}]
        path = write(tmp_path / f"{redacted}.json", {**peer_logs.inspect_header(), "samples": samples})
        (log,) = find_logs(str(path)).logs
        forms.append({(sample.response_form, sample.reasoning) for sample in log.samples()})
    assert forms == [{("thinking removed", None)}, {("rejoined", "gAAAAB")}]


def test_a_zip_of_a_folder_is_that_folder(tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("run")
        for name in ("run/b.json", "run/a.json", "c.json"):
            archive.writestr(name, json.dumps({"name": name}))
    found = {file.name: file for file in log_files(str(path))}
    assert list(found) == ["run/b.json", "run/a.json", "c.json"]
    assert found["run/a.json"].where == f"run/a.json in {path}"
    assert found["run/a.json"].document().value == {"name": "run/a.json"}
    beside = found["run/a.json"].beside("b.json")
    assert beside is found["run/b.json"]
    assert [file.name for file in found["run/a.json"].alike("*.json")] == ["run/a.json", "run/b.json"]
    assert [file.name for file in found["c.json"].alike("*")] == ["c.json"]
    one = write(tmp_path / "log.eval", peer_logs.inspect_zip({"_journal/start.json": b"{}", "x": b""}))
    assert [file.name for file in log_files(str(one))] == ["log.eval"]


def zipped(path: Path, *names: str) -> LogFile:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    return files._local_file(path.parent, path.name)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_are_not_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = f"{tmp_path / 'a.zip'} cannot be imported: "
    assert fault(zipped(tmp_path / "a.zip", "x", "x").archive) == f"{start}one of its members is there twice."
    file = zipped(tmp_path / "a.zip", "x", "y")
    monkeypatch.setattr(files, "_MEMBERS", 2)
    assert len(file.archive().infolist()) == 2
    monkeypatch.setattr(files, "_MEMBERS", 1)
    assert fault(file.archive) == f"{start}it has 2 members."
    monkeypatch.setattr(files, "_MEMBERS", 2)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert fault(file.archive) == f"{start}it is encrypted."
    (tmp_path / "a.zip").write_bytes(bytes(data[:-5]))
    assert fault(file.archive) == f"{start}it is no whole zip: it is cut or damaged."


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may unpack to 500 times its size beyond the first 64 MiB, here to 500 times its size."""
    monkeypatch.setattr(files, "_FREE", 0)
    zeros = b" " * 600_000
    packed = {"a.gz": gzip.compress(zeros), "a.zst": peer_logs.zstandard(zeros)}
    told = "it unpacks to more than 500 times its size"
    for name, data in packed.items():
        write(tmp_path / name, data)
        file = files._local_file(tmp_path, name)
        assert len(data) * 500 < 600_000
        assert told in fault(lambda: file.open().read())  # noqa: B023
    for method in (zipfile.ZIP_DEFLATED, 93):
        path = write(tmp_path / f"{method}.zip", peer_logs.inspect_zip({"x": zeros}, method))
        assert told in fault(lambda: log_files(str(path))[0].open().read())  # noqa: B023
    honest = b"".join(i.to_bytes(2, "big") for i in range(20_000))
    for name, data in (("b.gz", gzip.compress(honest)), ("b.zst", peer_logs.zstandard(honest))):
        with the_file(write(tmp_path / name, data)).open() as opened:
            assert opened.read() == honest


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    import zlib

    content = b'{"a": "some text that is long enough to be packed, packed, packed"}'
    data = peer_logs.inspect_zip({"x": content}, 93)
    crc = zlib.crc32(content).to_bytes(4, "little")
    assert data.count(crc) == 2
    sound = the_file(write(tmp_path / "a.zip", data))
    assert sound.document().value == json.loads(content)
    other = the_file(write(tmp_path / "a.zip", data.replace(crc, b"\0\1\2\3")))
    assert fault(other.document).endswith("it is damaged: its checksum does not fit.")
    write(tmp_path / "a.zip", data.replace(b"PK\x03\x04", b"PK\x03\x05"))
    archive = files._local_file(tmp_path, "a.zip").archive()
    assert fault(member_files(archive, "a.zip")["x"].open) == (
        "x in a.zip cannot be imported: it is damaged, or packed in an unknown way "
        "(its header is not where it should be)."
    )


def test_parquet_columns_and_rows(tmp_path: Path) -> None:
    rows = [{"a": i, "b": str(i), "c": [i]} for i in range(40)]
    file = the_file(write_parquet(tmp_path / "x.parquet", rows))
    assert (file.columns, file.is_parquet, file.is_zip) == (("a", "b", "c"), True, False)
    found = list(file.parquet_rows("a", "c", "gone"))
    assert [row.value for row in found] == [{"a": i, "c": [i]} for i in range(40)]
    assert found[39].where == f"row 40 of {file.where}"
    assert [row.value for row in file.parquet_rows()] == rows
    data = (tmp_path / "x.parquet").read_bytes()
    cut = the_file(write(tmp_path / "cut.parquet", data[:-20]))
    assert fault(lambda: list(cut.parquet_rows())).startswith(f"{cut.where} cannot be imported: it is no whole parquet")
    assert the_file(write(tmp_path / "x.json", "{}")).columns == ()


@pytest.mark.parametrize(
    ("content", "is_lines", "first", "row"),
    [
        (b'{"a": 1}\n{"a": 2}\n', True, {"a": 1}, {"a": 1}),
        (b'\xef\xbb\xbf\n {"a": 1}\n', True, {"a": 1}, {"a": 1}),
        (b'{\n"a": 1}', False, {"a": 1}, {"a": 1}),
        (b'{"a": 1}\n[1]', False, {"a": 1}, {"a": 1}),
        (b'{"a": 1}', True, {"a": 1}, {"a": 1}),
        (b'{"a": 1}{"a": 2}\n', False, {"a": 1}, {"a": 1}),
        (b'[{"a": 1}, {"a": 2}]', False, [{"a": 1}, {"a": 2}], {"a": 1}),
        (b"a,b\n1,2\n", False, None, None),
        (b"\xff\xfe{}\n\n\n\n", False, None, None),
        (b'{"a": 1}\n\xc3', True, {"a": 1}, {"a": 1}),
        (b"", False, None, None),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_beginning(
    content: bytes, is_lines: bool, first: Any, row: Any, tmp_path: Path
) -> None:
    file = the_file(write(tmp_path / "x.jsonl", content))
    assert (file.is_lines, file.first.value, file.row.value) == (is_lines, first, row)
    file.forget()
    assert file.first.value == first
    assert not the_file(write(tmp_path / "x.json", b'{"a": 1}')).is_lines


def test_lines_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    file = the_file(write(tmp_path / "x.jsonl", b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}\n{"a": '))
    assert [(row.value, row.where) for row in file.rows(True)] == [
        ({"a": 1}, f"line 1 of {file.where}"),
        ({"a": 2}, f"line 3 of {file.where}"),
    ]
    partial = Partial(True)
    assert len(list(file.rows(partial))) == 2
    assert list(partial.left_out) == ["line 4 of x.jsonl, at which the file was cut"]
    with pytest.raises(EvalkitError) as error:
        list(file.lines(Partial()))
    assert error.value.hint == "the file ends within this line: --partial takes the lines before it."
    with pytest.raises(EvalkitError) as error:
        list(file.lines())
    assert "--partial" not in error.value.hint
    ended = the_file(write(tmp_path / "x.jsonl", b'{"a": 1}\n{"a": \n'))
    assert fault(lambda: list(ended.lines(True))).startswith(f"line 2 of {file.where} cannot")
    first = the_file(write(tmp_path / "x.jsonl", b'{"a": '))
    with pytest.raises(EvalkitError) as error:
        list(first.lines(Partial()))
    assert "--partial" not in error.value.hint
    assert list(first.lines(True)) == []
    odd = the_file(write(tmp_path / "x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n'))
    assert fault(lambda: list(odd.lines())) == f"line 2 of {file.where} cannot be imported: it is no UTF-8 text."


def test_documents_rows_and_members(tmp_path: Path) -> None:
    listed = the_file(write(tmp_path / "x.json", [{"a": 1}, 2]))
    assert [(r.value, r.where) for r in listed.rows()] == [
        ({"a": 1}, f"entry 1 of {listed.where}"),
        (2, f"entry 2 of {listed.where}"),
    ]
    content = {"a": [1, 2], "b": {"x": 3}, "c": [4], "d": {"y": 5}}
    one = the_file(write(tmp_path / "x.json", json.dumps(content, indent=1)))
    assert [row.value for row in one.rows()] == [content]
    found = [(name, value.value, value.where, value.path) for name, value in one.members("a", "b")]
    assert found == [
        ("a", 1, f"entry 1 of a in {one.where}", ""),
        ("a", 2, f"entry 2 of a in {one.where}", ""),
        ("b", {"name": "x", "value": 3}, f"b.x in {one.where}", ""),
        ("c", [4], one.where, "c"),
        ("d", {"y": 5}, one.where, "d"),
    ]
    assert one.document().value == content
    size = len((tmp_path / "x.json").read_bytes())
    assert one.document(size).value == content
    assert fault(lambda: one.document(size - 1)).endswith("it is larger than 0 MiB, which no such file is.")
    more = the_file(write(tmp_path / "x.json", json.dumps(content, indent=1) + " 1"))
    for read in (lambda: list(more.rows()), lambda: list(more.members())):
        assert fault(read).endswith("something follows the end of the JSON document.")


# plain rows by a map


def mapped(path: Path, fields: str) -> list[ImportedSample]:
    (log,) = mapped_logs(str(path), parse_map(fields)).logs
    return list(log.samples())


def test_every_field_of_a_map(tmp_path: Path) -> None:
    row = {
        "meta": {"id": 3, "gens": [{"text": "a", "why": "r"}, {"text": "b"}]},
        "k": " 4 ", "asked": [{"role": "user", "content": "Q?"}], "q": "q", "gold": 7.0, "got": 8, "ok": " TRUE ",
        "end": "max_tokens", "in": "12", "out": " ", "shown": ["x", "y"],
    }  # fmt: skip
    path = write_lines(tmp_path / "rows.v1.jsonl", [row, {**row, "k": "0", "end": "", "ok": "maybe", "out": 5}])
    fields = (
        "text=meta.gens.0.text,reasoning=meta.gens.0.why,problem_id=meta.id,sample_index=k,prompt=asked,problem=q,"
        "gold=gold,answer=got,correct=ok,finish_reason=end,prompt_tokens=in,completion_tokens=out,choices=shown"
    )
    common: dict[str, Any] = {
        "reasoning": "r", "problem": "q", "prompt": "Q?", "gold": "7", "choices": ("x", "y"), "prompt_tokens": 12,
        "answer": "8",
    }  # fmt: skip
    assert mapped(path, fields) == [
        ImportedSample(
            "3", 4, "a", finish_reason="length", peer_finish_reason="max_tokens",
            verdicts=(PeerVerdict("ok", 1.0, "sample", "8"),), **common,
        ),
        ImportedSample("3", 0, "a", completion_tokens=5, **common),
    ]  # fmt: skip
    (log,) = mapped_logs(str(path), parse_map(fields)).logs
    assert (log.task, log.reader.title) == ("rows.v1", "plain rows")


def test_rows_without_an_id_are_told_apart_by_their_prompt_or_their_place(tmp_path: Path) -> None:
    rows = [{"t": "a", "p": "Q1", "n": 5}, {"t": "b", "p": "Q2", "n": 6}, {"t": ["c", "d"], "p": "Q1", "n": [7, 8]}]
    path = write_lines(tmp_path / "x.jsonl", rows)
    by_prompt = mapped(path, "text=t,prompt=p,completion_tokens=n")
    assert [(s.problem_id, s.sample_index, s.position, s.text, s.completion_tokens) for s in by_prompt] == [
        ("0", 0, 0, "a", 5), ("1", 0, 1, "b", 6), ("0", 1, 0, "c", 7), ("0", 2, 0, "d", 8)
    ]  # fmt: skip
    assert [s.prompt for s in by_prompt] == ["Q1", "Q2", "Q1", "Q1"]
    by_place = mapped(path, "text=t")
    assert [(s.problem_id, s.sample_index, s.position) for s in by_place] == [
        ("0", 0, None), ("1", 0, None), ("2", 0, None), ("2", 1, None)
    ]  # fmt: skip
    write_lines(path, [{"t": ["c", "d"], "i": 3, "n": [7]}])
    assert [s.sample_index for s in mapped(path, "text=t,sample_index=i")] == [3, 4]
    assert fault(lambda: mapped(path, "text=t,completion_tokens=n")).endswith("n has 1 entries for 2 texts.")
    write_lines(path, [{"t": "a", "i": "1234567890"}])
    assert fault(lambda: mapped(path, "text=t,sample_index=i")).endswith("i is text, not a whole number.")


def test_verdicts_as_csv_writes_them(tmp_path: Path) -> None:
    words = {"True": 1.0, "1": 1.0, "1.0": 1.0, "FALSE": 0.0, "0": 0.0, "0.0": 0.0, "yes": None, "": None}
    path = write(tmp_path / "x.csv", "t,ok\r\n" + "".join(f"a,{word}\r\n" for word in words))
    found = [s.verdicts[0].value if s.verdicts else None for s in mapped(path, "text=t,correct=ok")]
    assert found == list(words.values())
    write(path, "t,ok\na\n")
    assert fault(lambda: mapped(path, "text=t")).endswith(
        f"row 1 of {path} cannot be imported: it has another number of fields than the first line."
    )
    write(path, "t,ok\na,1,2\n")
    assert "another number of fields" in fault(lambda: mapped(path, "text=t"))


def test_a_map_that_does_not_fit(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{f"f{i:02}": i for i in range(15)} | {"answer": ["x"]}])
    with pytest.raises(EvalkitError) as error:
        mapped(path, "text=anwser")
    assert error.value.message == f"{path} has no field 'anwser', which --map names. Did you mean answer?"
    assert error.value.hint == f"it has {', '.join(f'f{i:02}' for i in range(12))} and 4 more."
    write_lines(path, [{f"f{i:02}": i for i in range(12)}])
    with pytest.raises(EvalkitError) as error:
        mapped(path, "text=zzz")
    assert error.value.hint == f"it has {', '.join(f'f{i:02}' for i in range(12))}."
    assert "has no field 'answer.1'" in fault(lambda: mapped(write_lines(path, [{"answer": ["x"]}]), "text=answer.1"))
    assert mapped(path, "text=answer.0")[0].text == "x"
    assert fault(lambda: mapped(write_lines(path, [{"a": 1}, {"t": 1}]), "text=t")).endswith("t is nothing, not text.")
    with pytest.raises(EvalkitError) as error:
        parse_map("text=a,tex=b")
    assert error.value.message == "There is no field 'tex' to map to. Did you mean text?"
    for text, told in (
        ("text=", "'text=' is no part of a map."),
        ("text=a, text=b", "The map names text twice."),
        ("gold=a", "The map has no text."),
    ):
        assert fault(lambda: parse_map(text)) == told  # noqa: B023


@pytest.mark.parametrize(("name", "content"), [("x.csv", "t,ok\n"), ("x.jsonl", ""), ("x.json", "[]")])
def test_a_file_without_rows_lacks_samples_and_no_field(name: str, content: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    assert fault(lambda: mapped(path, "text=t,correct=ok,gold=gone")) == f"{path} holds no sample."


def test_an_empty_row_is_told_where_it_stands(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{}, {}])
    assert fault(lambda: mapped(path, "text=t")) == f"line 1 of {path} cannot be imported: t is nothing, not text."


def test_fields_of_different_rows_make_up_a_map(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"t": "a"}, {"t": "b", "g": 5}, {"t": "c"}])
    assert [(s.text, s.gold) for s in mapped(path, "text=t,gold=g")] == [("a", None), ("b", "5"), ("c", None)]
    assert "has no field 'h', which --map names." in fault(lambda: mapped(path, "text=t,gold=g,answer=h"))
