"""The append-only file under torn lines, flipped bits, full disks and any text at all."""

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import EvalkitError, RunIncompleteError
from evalkit.store.lines import LineWriter, checksum_fits, encode_line, read_checked, write_atomically


def decoded(line: bytes) -> dict[str, object]:
    if not checksum_fits(line):
        raise ValueError("its checksum is wrong")
    record = json.loads(line)
    record.pop("crc", None)
    return dict(record)


def read(path: Path) -> list[dict[str, object]]:
    return [decoded(line) for _, line in read_checked(path)]


any_text = st.text(alphabet=st.characters(), max_size=200)


@given(
    st.dictionaries(
        st.text(max_size=20).filter(lambda k: k != "crc"), any_text | st.integers() | st.none(), min_size=1, max_size=5
    )
)
def test_any_record_survives(record: dict[str, object]) -> None:
    line = encode_line(record)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert decoded(line[:-1]) == record


@given(st.text(max_size=50), st.data())
def test_any_flipped_bit_is_noticed(text: str, data: st.DataObject) -> None:
    line = bytearray(encode_line({"text": text}))[:-1]
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        survived = decoded(bytes(line))
    except ValueError:
        return
    # a flip within the checksum field's own name leaves a line without a checksum: its content is whole
    assert survived["text"] == text


def test_a_line_without_a_checksum_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_text('{"text": "by hand"}\n')
    assert read(tmp_path / "f") == [{"text": "by hand"}]


@pytest.mark.parametrize("torn", [b'{"text": "ha', b"\x00" * 100, b"x" * 200_000])
def test_a_torn_last_line_is_left_out_and_then_removed(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(encode_line({"i": 1}) + torn)
    assert read(path) == [{"i": 1}]
    with LineWriter(path) as writer:
        assert writer.repaired_bytes == len(torn)
        writer.append({"i": 2})
    assert read(path) == [{"i": 1}, {"i": 2}]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    lines = [encode_line({"i": i}) for i in range(3)]
    lines[1] = lines[1].replace(b'"i":1', b'"i":7')
    path.write_bytes(b"".join(lines))
    with pytest.raises(EvalkitError, match=r"Line 2 of .* is damaged: its checksum is wrong"):
        read(path)


def test_nan_is_never_written(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "f") as writer, pytest.raises(ValueError, match="JSON compliant"):
        writer.append({"value": float("nan")})


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs takes root")
def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        path = tmp_path / "f"
        with LineWriter(path) as writer:

            def write_for_ever() -> None:
                while True:
                    writer.append({"text": "x" * 1000})

            with pytest.raises(RunIncompleteError, match="No space left") as caught:
                write_for_ever()
        assert "again to resume" in caught.value.hint
        lines = len(read(path))
        assert lines > 10
        assert path.stat().st_size == lines * len(encode_line({"text": "x" * 1000}))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomically(path, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(EvalkitError, match="cannot be written: File too large"):
            write_atomically(path, "new" * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
