"""Rows from local files in every layout, and what is said when they are not right."""

import bz2
import gzip
import json
import lzma
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from evalkit_tasks.codeforces.percentile import load_histogram
from evalkit_tasks.codeforces.table import read_table
from hub_server import AIME, Hub
from synthetic import aime_rows, gpqa_csv, gpqa_rows, math_rows, write_all, write_jsonl

from evalkit import EvalkitError, Problem
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.file_cache import kept_for_file
from evalkit.benchmark.protocols import find_protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import DatasetSpec, fingerprint_targets
from evalkit.importers.mapped import mapped_logs, parse_map
from evalkit.importers.problem_file import ProblemFile
from evalkit.results.published import load_published
from evalkit.run.planning import choose_tasks, plan_task


def load(name: str, folder: Path, allow_changed: bool = True) -> Sequence[Problem]:
    return TaskSpec(name).create().load(DataSource(folder, allow_changed))


@pytest.mark.parametrize("layout", ["train.jsonl", "train.parquet", "data/train-00000-of-00001.parquet", "train.csv"])
def test_every_layout_gives_the_same_problems(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "aime_2024" / layout
    path.parent.mkdir(parents=True)
    frame = pd.DataFrame(aime_rows())
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        write_jsonl(path, aime_rows())
    problems = load("aime24", tmp_path)
    assert [(p.id, p.target) for p in problems] == [(str(i), str(2 * i)) for i in range(30)]


def test_the_folder_may_be_named_by_owner_and_name(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "HuggingFaceH4" / "aime_2024" / "train.jsonl", aime_rows())
    assert len(load("aime24", tmp_path)) == 30


def test_gpqa_letters_are_spread_and_do_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    problems = load("gpqa_diamond", write_all(tmp_path))
    assert min(Counter(p.target for p in problems).values()) > 30
    for problem in problems:
        shown = dict(zip("ABCD", problem.metadata["choices"], strict=True))
        assert shown[problem.target] == str(int(problem.id[3:]) + 1)
    other = tmp_path / "other"
    (other / "gpqa").mkdir(parents=True)
    (other / "gpqa" / "gpqa_diamond.csv").write_text(gpqa_csv(list(reversed(gpqa_rows(100)))))
    by_id = {p.id: p for p in problems}
    assert all(p == by_id[p.id] for p in load("gpqa_diamond", other))


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a" / "aime_2024" / "train.jsonl", aime_rows())
    (tmp_path / "b").mkdir()
    pd.DataFrame(aime_rows()).to_parquet(tmp_path / "b" / "x.parquet")
    (tmp_path / "b" / "aime_2024").mkdir()
    (tmp_path / "b" / "x.parquet").rename(tmp_path / "b" / "aime_2024" / "train.parquet")
    changed = aime_rows()
    changed[3]["problem"] += " "
    write_jsonl(tmp_path / "c" / "aime_2024" / "train.jsonl", changed)
    prints = []
    for name in "abc":
        source = DataSource(tmp_path / name)
        TaskSpec("aime24").create().load(source)
        prints.append(source.loaded[0].fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (aime_rows(29), "has 29 rows at .*, but the benchmark has 30"),
        (aime_rows(31), "has 31 rows at .*, but the benchmark has 30"),
        ([], "is empty"),
        ([{"id": 1, "problem": "?"}], "Row 1 of .* has no answer"),
        ([{"id": 1, "problem": "?", "answer": None}], "Row 1 of .* has no answer"),
    ],
)
def test_wrong_sets_stop_the_run(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    write_jsonl(tmp_path / "aime_2024" / "train.jsonl", rows)
    with pytest.raises(EvalkitError, match=message):
        load("aime24", tmp_path, allow_changed=False)


def test_a_changed_answer_stops_the_run(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "aime_2024" / "train.jsonl", aime_rows())
    with pytest.raises(EvalkitError, match="right answers of aime24 are not those of the benchmark") as caught:
        plan_task(choose_tasks("aime24")[0], find_protocol("deepseek-r1"), DataSource(tmp_path), 0, None, None)
    assert "--allow-changed-data" in caught.value.hint


def test_an_answer_that_is_no_integer(tmp_path: Path) -> None:
    rows = aime_rows()
    rows[4]["answer"] = "x"
    write_jsonl(tmp_path / "aime_2024" / "train.jsonl", rows)
    with pytest.raises(EvalkitError, match="'x' of AIME problem 4 is not an integer"):
        load("aime24", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.jsonl", b'{"id": 1\n', "Line 1 of .* is not JSON"),
        ("train.jsonl", b"\xff\xfe", "cannot be read"),
        ("train.parquet", b"PAR1 but not really", "cannot be read"),
    ],
)
def test_torn_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / "aime_2024").mkdir()
    (tmp_path / "aime_2024" / name).write_bytes(content)
    with pytest.raises(EvalkitError, match=message):
        load("aime24", tmp_path)


def test_a_damaged_or_empty_archive_is_named(tmp_path: Path) -> None:
    write_all(tmp_path)
    archive = tmp_path / "gpqa" / "dataset.zip"
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(EvalkitError, match=r"dataset\.zip cannot be read"):
        load("gpqa_diamond", tmp_path)


def test_missing_data_says_where_it_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"has no MATH-500/test\.jsonl, which HuggingFaceH4/MATH-500 needs"):
        load("math500", tmp_path)
    with pytest.raises(EvalkitError, match="does not exist"):
        DataSource.from_option(str(tmp_path / "nowhere"))


def test_the_hub_out_of_reach_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a closed port on this machine stands for a hub that nobody answers at; the loading code is the real one
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EvalkitError, match="cannot be reached for the data set HuggingFaceH4/MATH-500") as caught:
        TaskSpec("math500").create().load(DataSource())
    assert "--data DIR" in caught.value.hint


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "rows"), [("aime24", 30), ("math500", 500), ("gpqa_diamond", 198)])
def test_the_real_sets_are_the_benchmarks(data_dir: Path, name: str, rows: int) -> None:
    source = DataSource(data_dir)
    plan = plan_task(choose_tasks(name)[0], find_protocol("deepseek-r1"), source, 0, None, None)
    assert len(plan.problems) == rows
    assert fingerprint_targets(plan.problems) == plan.task.targets_sha256
    assert len({p.prompt for p in plan.problems}) == rows
    json.dumps([dict(p.metadata) for p in plan.problems])


def test_math_rows_are_what_the_task_expects(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "MATH-500" / "test.jsonl", math_rows())
    problem = load("math500", tmp_path)[3]
    assert (problem.id, problem.target, problem.metadata["level"]) == ("algebra/3", "\\frac{3}{2}", 4)


ROWS = aime_rows()
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl.gz", gzip.compress(LINES)),
        ("train.jsonl.bz2", bz2.compress(LINES)),
        ("train.jsonl.xz", lzma.compress(LINES)),
        ("train.json.gz", gzip.compress(json.dumps(ROWS).encode())),
        ("train.jsonl", b"\xef\xbb\xbf" + LINES),
        ("train.json", LINES),
        ("train.ndjson", LINES),
        ("train.csv", b"\xef\xbb\xbf" + pd.DataFrame(ROWS).to_csv(index=False).encode()),
        ("train.tsv", pd.DataFrame(ROWS).to_csv(index=False, sep="\t").encode()),
        ("data/train-00000-of-00001.jsonl.gz", gzip.compress(LINES)),
    ],
)
def test_compressed_and_marked_files_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "aime_2024" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert [(p.id, p.target) for p in load("aime24", tmp_path)] == [(str(i), str(2 * i)) for i in range(30)]


def test_zstandard_is_read(tmp_path: Path) -> None:
    import pyarrow

    path = tmp_path / "aime_2024" / "train.jsonl.zst"
    path.parent.mkdir(parents=True)
    with pyarrow.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(LINES)
    assert len(load("aime24", tmp_path)) == 30


@pytest.mark.parametrize("splits", [False, True])
def test_what_save_to_disk_wrote_is_read(tmp_path: Path, splits: bool) -> None:
    import datasets

    whole = datasets.Dataset.from_list(ROWS)
    folder = tmp_path / "aime_2024"
    saved = datasets.DatasetDict({"train": whole, "test": whole.select([0])}) if splits else whole
    saved.save_to_disk(str(folder), num_shards={"train": 3, "test": 1} if splits else 3)
    assert [p.id for p in load("aime24", tmp_path)] == [str(i) for i in range(30)]
    shard = sorted(folder.rglob("data-00001-of-00003.arrow"))[0]
    shard.unlink()
    with pytest.raises(EvalkitError, match=r"lacks data-00001-of-00003\.arrow"):
        load("aime24", tmp_path)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "aime_2024" / "data"
    folder.mkdir(parents=True)
    for number in (0, 2):
        pd.DataFrame(ROWS[10 * number : 10 * (number + 1)]).to_parquet(folder / f"train-0000{number}-of-00003.parquet")
    with pytest.raises(EvalkitError, match=r"lacks train-00001-of-00003\.parquet"):
        load("aime24", tmp_path)


def test_nulls_in_parquet_are_no_values(tmp_path: Path) -> None:
    """A number beside a null stays whole, and a null is missing rather than the text nan."""
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    table = pyarrow.table({"id": [1, None], "answer": ["a", None], "tags": [["x"], None]})
    pyarrow.parquet.write_table(table, path)
    rows = DataSource().rows(DatasetSpec.from_file(path))
    assert rows == [{"id": 1, "answer": "a", "tags": ["x"]}, {"id": None, "answer": None, "tags": None}]
    with pytest.raises(EvalkitError, match=r"Row 2 of .* has no id, answer"):
        DataSource().rows(DatasetSpec.from_file(path, ["id", "answer"]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.jsonl.gz", gzip.compress(LINES)[:-20], "cannot be read"),
        ("train.jsonl.gz", b"no gzip", "cannot be read"),
        ("train.jsonl.xz", b"no xz", "cannot be read"),
        ("train.jsonl.zst", b"no zst", "cannot be read"),
        ("train.arrow", b"no arrow", "cannot be read"),
        ("train.csv", b"id,problem,answer\n1,a,b,c\n", "Row 1 of .* more fields than its header"),
    ],
)
def test_damaged_files_of_every_kind_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / "aime_2024").mkdir()
    (tmp_path / "aime_2024" / name).write_bytes(content)
    with pytest.raises(EvalkitError, match=message):
        load("aime24", tmp_path)


def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.benchmark.files._MOST_BYTES", 1 << 20)
    (tmp_path / "aime_2024").mkdir()
    (tmp_path / "aime_2024" / "train.jsonl.gz").write_bytes(gzip.compress(b" " * (64 << 20)))
    with pytest.raises(EvalkitError, match="unpacks to more than"):
        load("aime24", tmp_path)


def test_the_pinned_revision_is_taken_offline_and_no_other(
    here: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", here.endpoint)
    source = DataSource()
    spec = TaskSpec("aime24").create().dataset
    assert spec is not None
    rows = source.rows(spec)
    assert (len(rows), source.loaded[0].revision) == (30, AIME)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert DataSource().rows(spec) == rows
    with pytest.raises(EvalkitError, match=f"offline .* does not have revision {'3' * 40}") as caught:
        DataSource().rows(replace(spec, revision="3" * 40))
    assert AIME in caught.value.hint
    cache = Path(tmp_path / "hub" / "datasets--HuggingFaceH4--aime_2024" / "snapshots" / AIME / "data")
    sorted(cache.iterdir())[0].unlink()
    with pytest.raises(EvalkitError, match=r"lacks train-00000-of-00002\.parquet|does not have revision"):
        DataSource().rows(spec)


def test_a_split_that_does_not_exist_is_named(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", here.endpoint)
    spec = DatasetSpec("HuggingFaceH4/aime_2024", AIME, "exam", columns=("id",), files=())
    with pytest.raises(EvalkitError, match="has no split 'exam'") as caught:
        DataSource().rows(spec)
    assert "train" in caught.value.hint


def test_what_is_kept_of_a_large_file_follows_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("evalkit.benchmark.file_cache._WORTHWHILE", 10)
    path, made = tmp_path / "large", []

    def size(where: Path) -> list[int]:
        made.append(1)
        return [where.stat().st_size]

    path.write_bytes(b"x" * 50)
    assert kept_for_file(path, "size", size) == kept_for_file(path, "size", size) == [50]
    assert len(made) == 1
    path.write_bytes(b"x" * 60)
    assert kept_for_file(path, "size", size) == [60]
    assert kept_for_file(path, "size", size, version=2) == [60]
    assert len(made) == 3
    for kept in (tmp_path / "cache").rglob("*.json"):
        kept.write_text("{")
    assert kept_for_file(path, "size", size) == [60]
    assert len(made) == 4, "what is damaged is worked out anew"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/none")
    assert kept_for_file(path, "size", size) == [60], "a cache that cannot be written is no error"


@pytest.mark.parametrize("damaged", [1, 2, 30])
def test_the_row_that_lacks_something_is_named(tmp_path: Path, damaged: int) -> None:
    rows = aime_rows()
    del rows[damaged - 1]["answer"]
    write_jsonl(tmp_path / "aime_2024" / "train.jsonl", rows)
    path = tmp_path / "aime_2024" / "train.jsonl"
    with pytest.raises(EvalkitError, match=f"^Row {damaged} of {re.escape(str(path))} has no answer"):
        load("aime24", tmp_path)


def test_rows_are_counted_in_each_file(tmp_path: Path) -> None:
    for shard in range(2):
        rows: list[dict[str, Any]] = [{"id": f"{shard}{i}", "problem": "?", "answer": 7} for i in range(3)]
        if shard:
            rows[1]["answer"] = None
        write_jsonl(tmp_path / "set" / f"train-0000{shard}-of-00002.jsonl", rows)
    spec = DatasetSpec("org/set", "0" * 40, "train", ("id", "problem", "answer"), ())
    with pytest.raises(EvalkitError, match=r"^Row 2 of \S+train-00001-of-00002.jsonl has no answer"):
        DataSource(tmp_path).rows(spec)
    with pytest.raises(EvalkitError, match=r"^Row 1 of those asked for in \S+train-00001-of-00002.jsonl has no answer"):
        DataSource(tmp_path).rows(spec, lambda row: row["id"].endswith("1"))


@pytest.mark.parametrize(("blank", "line"), [("", 3), ("\n\n", 5)])
def test_the_line_of_a_published_table_is_named(tmp_path: Path, blank: str, line: int) -> None:
    path = tmp_path / "own.csv"
    path.write_text(f"model,benchmark,metric,value,source\nm,b,pass@1,50,s\n{blank}m,b,pass@1,many,s\n")
    with pytest.raises(EvalkitError, match=f"^Line {line} of {re.escape(str(path))} is not a published figure"):
        load_published(str(path))


def test_the_line_or_row_of_an_own_file_is_named(tmp_path: Path) -> None:
    """Every reader of a user's file counts from the first row or line, of which the third is the damaged one."""
    good = [{"question": "x", "options": ["1", "2"], "answer": "A"}] * 2
    for bad, kind, words in (
        ({"question": "x", "answer": ""}, "math", "Row 3 of .* has no gold"),
        ({"question": " ", "answer": "A"}, "math", "Row 3 of .* has no problem"),
        ({"question": "x", "options": ["1"], "answer": "A"}, "choice", "Row 3 of .* has no list of 2 to 10 choices"),
        ({"question": "x", "options": ["1", "2"], "answer": "C"}, "choice", "in row 3 of .* is none of its 2 choices"),
    ):
        write_jsonl(tmp_path / "own.jsonl", [*good, bad])
        with pytest.raises(EvalkitError, match=words):
            ProblemFile(str(tmp_path / "own.jsonl"), cast(Any, kind)).load(DataSource())
    table = tmp_path / "solves.jsonl"
    rows = [
        '{"contest": 1, "index": "A", "solved": 1, "samples": 2}',
        '{"contest": 1, "index": "B", "results": [1, 0]}',
    ]
    for bad_line, words in (("{", "Line 3 of .* is not JSON"), ('{"contest": 1}', "Line 3 of .* lacks contest, index")):
        table.write_text("\n".join([*rows, bad_line]) + "\n")
        with pytest.raises(EvalkitError, match=words):
            read_table(table)
    users = tmp_path / "users.csv"
    users.write_text("# date: 2024-11-01\nrating,users\nmany,3\n")
    with pytest.raises(EvalkitError, match=r"Line 3 of .* is not rating,users"):
        load_histogram(users)
    log = tmp_path / "log.csv"
    log.write_text("text,gold\na,1\nb,2\nc\n")
    with pytest.raises(EvalkitError, match=r"row 3 of .* cannot be imported: it has another number of fields"):
        list(mapped_logs(str(log), parse_map("text=text,gold=gold")).logs[0].samples())


@pytest.mark.parametrize("value", ["-1", "100.1", "1e300", "nan"])
def test_a_published_rate_is_a_percentage(tmp_path: Path, value: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(f"model,benchmark,metric,value,source,n\nm,b,pass@1,{value},s,4\n")
    with pytest.raises(EvalkitError, match="is not a published figure"):
        load_published(str(path))
