"""What a stranger may put in the place of a file, and what he may write into it: name -> a function that does it."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from file_fuzz import DEEP

from evalkit.store.lines import encode_line

SECRET = "the secret of another folder"
Displacement = Callable[[Path, Path], None]
DISPLACED: dict[str, Displacement] = {}
Change = Callable[[Any], Any]
RUN_JSON: dict[str, Change] = {}


def displaced(function: Displacement) -> Displacement:
    """`function(path, victim)` puts something in the place of `path`; `victim` is a file outside."""
    DISPLACED[function.__name__.replace("_", " ")] = function
    return function


@displaced
def a_link_to_a_file_outside(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


@displaced
def a_link_to_a_device(path: Path, victim: Path) -> None:
    path.symlink_to("/dev/zero")


@displaced
def a_link_to_itself(path: Path, victim: Path) -> None:
    path.symlink_to(path)


@displaced
def a_link_to_a_file_that_is_not_there(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("made-by-evalkit"))


@displaced
def a_pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


@displaced
def a_socket(path: Path, victim: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


@displaced
def a_folder(path: Path, victim: Path) -> None:
    path.mkdir()


def _changed(name: str, *places: str, value: Any) -> None:
    """A change of run.json: the field at `places` (dots between names; `*` is the task) is `value`."""

    def change(content: Any) -> Any:
        for place in places:
            parent, parts = content, place.split(".")
            for part in parts[:-1]:
                parent = parent[next(iter(parent)) if part == "*" else part]
            parent[parts[-1]] = value
        return content

    RUN_JSON[name] = change


for _name, _value in {
    "a list": [],
    "text": "x",
    "null": None,
    "true": True,
    "a number": 7,
    "a list of nulls": [None],
}.items():
    for _place in ("tasks", "identity", "identity.protocol", "tasks.*", "tasks.*.identity", "tasks.*.sampling"):
        _changed(f"{_place} is {_name}", _place, value=_value)
for _place in ("model", "tasks.*.title", "tasks.*.spec.name", "identity.protocol.name"):
    _changed(f"{_place} is a number", _place, value=5)
    _changed(f"{_place} is a list", _place, value=["x"])
for _number in (0, -1, 1.5, "4", 10**8, 10**400, True):
    _changed(f"n is {str(_number)[:12]}", "tasks.*.sampling.n", value=_number)
for _place in ("max_tokens", "temperature", "top_p", "top_k"):
    _changed(f"sampling.{_place} is 10^400", f"tasks.*.identity.sampling.{_place}", value=10**400)
    _changed(f"protocol.{_place} is text", f"identity.protocol.{_place}", value="many")
_changed("a run of ten million samples", "tasks.*.sampling.n", value=10**7)
_changed("problem ids are numbers", "tasks.*.problem_ids", value=[1, 2])
_changed("a problem twice", "tasks.*.problem_ids", value=["a", "a"])
_changed("no problems", "tasks.*.problem_ids", value=[])
_changed("data is text", "tasks.*.identity.data", value="x")
_changed("data without a name", "tasks.*.identity.data", value=[{}])
_changed("the options are a list", "tasks.*.spec.options", value=["x"])
_changed("an option is a number", "tasks.*.spec.options", value={"digits": 3})
_changed("an option that the task does not have", "tasks.*.spec.options", value={"no_such_option": "1"})
_changed("the task is a module of Python", "tasks.*.spec.file", value="os:system")
_changed("the task is a file", "tasks.*.spec.file", value="/etc/passwd")
_changed("the task is a device", "tasks.*.spec.file", value="/dev/zero.py")
_changed("the problem set lies elsewhere", "tasks.*.spec", value={
    "name": "x", "file": "evalkit.importers.problem_set:ProblemSet", "options": {"label": "../../victim"}})  # fmt: skip
_changed("the data lie in a folder that is not there", "tasks.*.data_folder", value="/nowhere/at/all")
_changed("the fingerprint is infinite", "identity.engine.fingerprint", value=float("-inf"))
_changed("the schema is of the future", "schema", value=99)
_changed("the schema is text", "schema", value="1")


def _named(name: str) -> Change:
    def change(content: Any) -> Any:
        content["tasks"] = {name: next(iter(content["tasks"].values()))}
        return content

    return change


for _name in ("../victim", "../../../victim", "/etc", "..", ".", "", "a/b", "a\\b", "a\x00b", "x" * 300, "\ud800" * 99):
    RUN_JSON[f"a task named {_name[:12]!r}"] = _named(_name)

LINES: dict[str, bytes] = {
    "deep lists": DEEP.encode(),
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "no object": b"[]",
    "a number": b"7",
    "no JSON": b"{",
    "no UTF-8": b'{"problem_id": "\xff"}',
    "a byte-order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"problem_id": "x"}'.encode("utf-16"),
    "zeros": bytes(1000),
    "a wrong checksum": b'{"a":1,"crc":"00000000"}',
    "a checksum that is none": b'{"a":1,"crc":"zzzzzzzz"}',
    "a blank line": b"",
    "a long line": b'{"problem_id": "' + b"x" * 5_000_000 + b'"}',
}
_VALUES: dict[str, tuple[Any, ...]] = {
    "sample_index": (-1, 1.5, "x", None, 2**31, 10**30, [0]),
    "problem_id": (7, None, ["x"], {}),
    "completion_tokens": (-1, 1.5, "x", 2**63, [], 10**30),
    "prompt_tokens": (-1, "x", 2**64),
    "finish_reason": ("done", None, 3),
    "text": (None, 7, ["x"]),
    "seconds": ("long", [], 1e308),
    "prefix": (7, None),
    "error": (7, ["x"]),
}
FIELDS: dict[str, tuple[str, Any]] = {
    f"{field} is {str(value)[:16]}": (field, value) for field, values in _VALUES.items() for value in values
}


def with_field(line: bytes, field: str, value: Any) -> bytes:
    """A stored line with another value in a field and a checksum that fits."""
    record = {k: v for k, v in json.loads(line).items() if k != "crc"}
    return encode_line({**record, field: value})
