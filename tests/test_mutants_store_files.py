"""Lines, locks and marks: what is written to the byte, who holds a folder, and what is remembered of a sample."""

import json
import logging
import os
import platform
import threading
from pathlib import Path
from typing import Any

import pytest

from evalkit import EvalkitError, RunIncompleteError
from evalkit.store import lines as lines_module
from evalkit.store import locks
from evalkit.store.grader import GRADER_VERSION, is_earlier, name_of_grader
from evalkit.store.identity import identity_of, model_label, refuse_differences, require_same_task, run_differences
from evalkit.store.lines import LinePart, LineWriter, encode_line, line_parts, read_checked, write_atomically
from evalkit.store.locks import Lease, run_lock
from evalkit.store.marks import SampleMarks, SampleStatuses
from evalkit.types import STATUSES

# Lines


def test_parts_of_a_file_are_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"aaa\nbb\ncccc\nd\ntorn")
    parts = list(line_parts(path, 5, 10))
    assert parts == [LinePart(0, 7, 0, 2), LinePart(7, 5, 2, 1), LinePart(12, 2, 3, 1)]
    assert list(line_parts(path, 100, 3)) == [LinePart(0, 12, 0, 3), LinePart(12, 2, 3, 1)]
    assert list(line_parts(path, 7, 10)) == [LinePart(0, 7, 0, 2), LinePart(7, 7, 2, 2)]
    assert list(line_parts(path, 100, 10, start=4, before=1)) == [LinePart(4, 10, 1, 3)]
    assert list(line_parts(tmp_path / "none", 1, 1)) == []
    assert [list(read_checked(path, part=part)) for part in parts] == [
        [(1, b"aaa"), (2, b"bb")],
        [(3, b"cccc")],
        [(4, b"d")],
    ]
    with pytest.raises(EvalkitError, match=f"{tmp_path} cannot be read: it is not a regular file"):
        list(line_parts(tmp_path, 1, 1))
    with pytest.raises(EvalkitError, match=f"{tmp_path} cannot be read: it is not a regular file"):
        list(read_checked(tmp_path))


def test_a_line_that_never_ends_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_LONGEST", 8)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"1234567\n1234567")
    assert list(read_checked(path)) == [(1, b"1234567")]
    path.write_bytes(b"1234567\n12345678\n")
    with pytest.raises(EvalkitError, match=r"Line 2 of .* is damaged: it is longer than 0 MiB"):
        list(read_checked(path))
    with pytest.raises(EvalkitError, match=r"Line 5 of .* is damaged"):
        list(line_parts(path, 99, 99, before=3))


def test_a_link_is_not_followed_below_a_run(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"a\n")
    (tmp_path / "run").mkdir()
    link = tmp_path / "run/x.jsonl"
    link.symlink_to(tmp_path / "elsewhere")
    assert list(read_checked(link)) == [(1, b"a")]
    with pytest.raises(EvalkitError, match="cannot be read"):
        list(read_checked(link, tmp_path / "run"))
    with pytest.raises(EvalkitError, match="cannot be written"):
        LineWriter(link, tmp_path / "run")
    write_atomically(link, "new", below=tmp_path / "run")
    assert (tmp_path / "elsewhere").read_bytes() == b"a\n", "the link is replaced, not what it leads to"


@pytest.mark.parametrize("torn", [1, 65535, 65536, 65537, 131072, 140000])
@pytest.mark.parametrize("before", [b"", b"{}\n"])
def test_a_torn_line_of_any_length_is_cut(torn: int, before: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(before + b"x" * torn)
    with LineWriter(path) as writer:
        assert writer.repaired_bytes == torn
        writer.append({"a": 1})
    assert path.read_bytes() == before + encode_line({"a": 1})


class Slow:
    """A file that takes a few bytes at a time, and then none."""

    def __init__(self, file: Any, writes: int) -> None:
        self.file, self.writes = file, writes

    def write(self, data: bytes) -> int:
        if self.writes == 0:
            raise OSError(28, "No space left on device")
        self.writes -= 1
        return int(self.file.write(data[:3]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_record_that_is_written_in_pieces_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deep/x.jsonl"
    writer = LineWriter(path)
    file: Any = writer._file
    writer._file = Slow(file, 99)  # type: ignore[assignment]
    writer.append({"a": "long enough"})
    assert path.read_bytes() == encode_line({"a": "long enough"})
    writer._file = Slow(file, 2)  # type: ignore[assignment]
    with pytest.raises(RunIncompleteError) as caught:
        writer.append({"b": 2})
    assert caught.value.message == f"{path} cannot be written: No space left on device."
    assert path.read_bytes() == encode_line({"a": "long enough"})
    writer._file = file
    writer.append({"c": 3})
    writer.close()
    assert file.closed
    assert [json.loads(line) for _, line in read_checked(path)][1]["c"] == 3


def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "é\ud800")
    assert path.read_bytes() == b"\xc3\xa9\\ud800"
    write_atomically(path, "other", durable=False)
    assert path.read_text() == "other"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    with pytest.raises(EvalkitError, match=f"{path}/y cannot be written: "):
        write_atomically(path / "y", "")


# Locks


def lease_of(folder: Path, content: object, age: float = 0.0) -> Path:
    path = folder / ".lease-4"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_lease_tells_who_holds_it_and_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "deep/run"
    with run_lock(folder):
        assert names(folder) == [".lease-1"]
        held = json.loads((folder / ".lease-1").read_text())
        started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        assert held == {
            "host": platform.node(),
            "machine": locks._machine(),
            "pid": os.getpid(),
            "started": started,
        }
        with pytest.raises(EvalkitError) as caught, run_lock(folder):
            pass
        holder = f"process {os.getpid()} on {platform.node()}"
        assert caught.value.message == f"Another process is writing to {folder} ({holder})."
    assert json.loads((folder / ".lease-1").read_text()) == {"released": True}
    with run_lock(folder):
        assert names(folder) == [".lease-2"], "no number is used twice"
    (folder / ".lease-x").write_text("")
    (folder / ".lease-²").write_text("")
    with pytest.raises(ValueError, match="inside"), run_lock(folder):
        raise ValueError("inside")
    assert json.loads((folder / ".lease-3").read_text()) == {"released": True}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError) as caught, run_lock(tmp_path / "file"):
        pass
    assert caught.value.message == f"The run directory {tmp_path}/file cannot be written: File exists."


def here(**fields: Any) -> dict[str, Any]:
    return {**locks._this_process(), **fields}


DEAD = 4_194_399  # above the largest number of a process


@pytest.mark.parametrize(
    ("content", "age", "holder"),
    [
        ({"released": True}, 0, None),
        ({"released": False, "pid": 3, "host": "h"}, 0, "process 3 on h"),
        ([], 0, None),
        ("{", 0, "process ? on ?"),
        ("", 0, "process ? on ?"),
        ("", 59.9, "process ? on ?"),
        ("", 61, None),
        (here(pid=DEAD), 0, None),
        (here(pid=DEAD, started=""), 0, None),
        (here(started="1"), 0, None),
        (here(started=""), 1000, f"process {os.getpid()} on {platform.node()}"),
        (here(), 1000, f"process {os.getpid()} on {platform.node()}"),
        (here(pid="x"), 0, None),
        (here(pid=0), 0, None),
        (here(pid=-1), 0, None),
        (here(pid=1, started=locks._start_time(1)), 0, f"process 1 on {platform.node()}"),
        (here(machine="other", pid=DEAD), 0, f"process {DEAD} on {platform.node()}"),
        (here(machine="other"), 61, None),
    ],
    ids=[f"case {i}" for i in range(18)],  # the number of this process differs between workers
)
def test_who_holds_a_lease(
    content: object, age: float, holder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path = lease_of(tmp_path, content, age)
    assert Lease(tmp_path)._holder(path) == holder
    assert names(tmp_path) == [".lease-4"], "nothing is left of the look at the clock"
    lease = Lease(tmp_path)
    if holder is not None:
        with pytest.raises(EvalkitError, match="Another process is writing"):
            lease.acquire()
        assert names(tmp_path) == [".lease-4"]
        return
    lease.acquire()
    assert names(tmp_path) == [".lease-5"]
    lease.release()


def test_a_holder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert Lease(tmp_path)._holder(tmp_path / ".lease-1") is None
    assert Lease(tmp_path)._age(tmp_path / ".lease-1") == locks.STALE
    assert names(tmp_path) == []


@pytest.mark.parametrize(("age", "waited"), [(20.0, None), (26.0, 34.1), (50.0, 10.1), (70.0, None)])
def test_a_silent_holder_is_waited_for(
    age: float,
    waited: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    path = lease_of(tmp_path, {"pid": 7, "host": "other"}, age)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))

    monkeypatch.setattr("time.sleep", sleep)
    holder = Lease(tmp_path)._holder(path)
    if waited is None:
        assert slept == []
        assert holder == ("process 7 on other" if age < 60 else None)
        return
    assert slept == [pytest.approx(waited, abs=1.0)]
    assert holder is None, "it has not stirred"
    assert "for process 7 on other, which is silent" in caplog.records[0].getMessage()


def test_a_holder_touches_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.01)
    touched = threading.Event()
    utime = os.utime

    def noted(path: Any, *times: Any) -> None:
        utime(path, *times)
        if not times:
            touched.set()

    monkeypatch.setattr(os, "utime", noted)
    lease = Lease(tmp_path)
    lease.acquire()
    path = tmp_path / ".lease-1"
    before = path.stat().st_mtime - 100
    utime(path, (before, before))
    touched.clear()
    assert touched.wait(20)
    assert path.stat().st_mtime > before
    lease.release()
    lease.release()
    for thread in threading.enumerate():
        if thread.name == "lease":
            thread.join(20)
            assert not thread.is_alive()


def test_two_that_find_a_folder_free_do_not_both_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Lease(tmp_path), Lease(tmp_path)
    monkeypatch.setattr(second, "_last", lambda: (0, None))
    first.acquire()
    with pytest.raises(EvalkitError) as caught:
        second.acquire()
    assert caught.value.message == f"Another process is writing to {tmp_path}."
    first.release()
    third = Lease(tmp_path)
    lease_of(tmp_path, {})
    monkeypatch.setattr(third, "_last", lambda: (1, None))
    with pytest.raises(EvalkitError):
        third.acquire()
    assert json.loads((tmp_path / ".lease-2").read_text()) == {"released": True}, "a higher number is there"


# Marks


def test_marks_near_and_far() -> None:
    marks = SampleMarks()
    assert (marks.get("p", 0), marks.get("p", 10**9)) == (0, 0)
    marks.set("p", 4095, 5)
    assert len(marks._near["p"]) == 4096
    assert marks._far == {}
    marks.set("p", 2 * 4096 + 4096, 7)
    assert len(marks._near["p"]) == 4096, "too far to keep a byte for each before it"
    assert [marks.get("p", i) for i in (4094, 4095, 4096, 12288)] == [0, 5, 0, 7]
    marks.set("p", 2 * 4096 + 4095, 9)
    assert len(marks._near["p"]) == 12288
    marks.set("p", 12288, 8)  # near by now
    assert [marks.get("p", i) for i in (12287, 12288, 4095)] == [9, 8, 5]
    assert marks._far == {}
    marks.set("p", 4095, 6)
    assert marks.get("p", 4095) == 6
    assert marks.get("q", 4095) == 0
    marks.set("q", 4096, 3)
    assert (len(marks._near["q"]), marks.get("q", 4096)) == (0, 3)
    marks.set("q", 4096, 4)
    assert marks.get("q", 4096) == 4


def test_the_status_of_each_sample() -> None:
    statuses = SampleStatuses()
    for index, status in enumerate(STATUSES):
        statuses.set("p", index, status)
    assert [statuses.get("p", index) for index in range(6)] == [*STATUSES, None]
    statuses.set("p", 0, "error")
    assert statuses.get("p", 0) == "error"


# Names


def test_the_names_of_graders() -> None:
    assert name_of_grader("sums", 3, None) == f"sums@3+grader{GRADER_VERSION}"
    assert name_of_grader("sums", 3, "0123456789abcdef") == f"sums@3+grader{GRADER_VERSION}+file01234567"
    assert is_earlier(f"sums@3+grader{GRADER_VERSION - 1}+file01234567")
    assert is_earlier("a\nb@3+grader1")
    for name in (
        f"sums@3+grader{GRADER_VERSION}",
        "sums@3+grader99",
        "human:me",
        "sums@3",
        "x+grader1",
        "sums@1+grader1+x",
    ):
        assert not is_earlier(name)


def test_the_label_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "m/x").mkdir(parents=True)
    assert model_label(str(tmp_path / "m/x/..")) == "m"
    assert model_label("org/m") == "org/m"


def test_a_server_s_model_is_a_part_of_the_identity_of_an_earlier_run() -> None:
    def of(model: object, **engine: Any) -> Any:
        return identity_of({"model": model, "identity": {"engine": {"backend": "openai", "model": "org/m", **engine}}})

    served = {"backend": "openai", "model": "org/m"}
    assert of("other") == {"engine": {**served, "label": "other"}}
    assert of("other", label="recorded")["engine"]["label"] == "recorded"
    assert of("org/m") == of(None) == {"engine": served}
    assert of("other", backend="vllm")["engine"] == {**served, "backend": "vllm"}
    assert identity_of({"model": "x", "identity": {"seed": 1}}) == {"seed": 1}


def test_the_options_of_an_earlier_run_are_not_compared() -> None:
    engine = {"backend": "vllm", "fingerprint": "x"}
    with_options = {"engine": engine, "options": {"a": 1}}
    assert run_differences({"engine": engine}, with_options) == []
    assert run_differences(with_options, {"engine": engine}) == [("options.a", 1, None)]
    assert run_differences({"engine": engine, "options": {}}, with_options) == [("options.a", None, 1)]
    assert run_differences({"engine": engine, "options": {}}, {"engine": engine}) == []
    labels = [{"engine": {"backend": "vllm", "fingerprint": "a" * 40, "label": label}} for label in "xy"]
    assert run_differences(*labels) == []


def entry(ids: str, file: str | None = None) -> dict[str, Any]:
    return {"problem_ids": list(ids), "spec": {"file": file}}


@pytest.mark.parametrize(
    ("present", "wanted", "why"),
    [
        (entry("ab"), entry("bc"), ""),
        (entry("ab", "x.py"), entry("b", "y.py"), ""),
        (entry(""), entry("a"), ""),
        (entry("a"), entry(""), ""),
        ({"problem_ids": ["a"]}, entry("a"), ""),
        (entry("ab"), entry("cd"), "installed and has none of the problems that are asked for"),
        (entry("ab", "x.py"), entry("cd", "y.py"), "of x.py and has none of the problems that are asked for"),
        (entry("ab"), entry("ab", "y.py"), "installed, and the one asked for is of y.py"),
        (entry("ab", "x.py"), entry("ab"), "of x.py, and the one asked for is installed"),
    ],
)
def test_two_tasks_of_one_name(present: Any, wanted: Any, why: str) -> None:
    if not why:
        require_same_task(Path("run"), "sums", present, wanted)
        return
    with pytest.raises(EvalkitError) as caught:
        require_same_task(Path("run"), "sums", present, wanted)
    assert caught.value.message == f"The run in run has another task named sums: it is {why}."


def test_the_hint_of_a_refusal() -> None:
    with pytest.raises(EvalkitError) as caught:
        refuse_differences(Path("x"), "sums: ", [("version", 1, 2), ("prompt", "a", None)])
    told = "The run in x has other settings: sums: version was 1 and is now 2; sums: prompt was 'a' and is now None."
    assert caught.value.message == told
    assert caught.value.hint == "use the same options to resume it, or choose another folder with -o for a new run."
