"""Shards of a run and their union; the lock that works without flock and between machines."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import evalkit, records, told, write_recorded

from evalkit import EvalkitError, RunIncompleteError
from evalkit.results.entries import load_entries
from evalkit.run.merging import merge_runs
from evalkit.run.queue import TaskPlan
from evalkit.run.shards import Shard, part_of, read_shard
from evalkit.store import locks
from evalkit.store.locks import Lease, run_lock
from evalkit.store.run import RunDirectory

KEPT = ("task", "problem_id", "sample_index", "text", "finish_reason", "prompt_tokens", "completion_tokens", "prefix")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from evalkit_tasks.arithmetic import test_problems

    texts = {p.id: [f"so</think>\\boxed{{{p.target}}}", "\\boxed{1}", f"{i}"] for i, p in enumerate(test_problems())}
    write_recorded(tmp_path / "recorded.jsonl", texts, prefix="<think>\n")
    return tmp_path


def run(
    folder: Path, output: str, *more: object, code: int = 0, **environment: str
) -> "subprocess.CompletedProcess[str]":
    recorded = folder / "recorded.jsonl"
    common = ("run", "o/m", "-t", "arithmetic", "-n", 3, "--limit", 40, "--engine", "replay", "--recorded", recorded)
    return evalkit(*common, "-o", folder / output, *more, code=code, **environment)


def plans(folder: Path) -> list[TaskPlan]:
    from evalkit.run.evaluate import plan_run

    recorded = write_recorded(folder / "r.jsonl", {"nothing": ["x"]})
    return list(
        plan_run("o/m", "arithmetic", n=3, engine="replay", engine_options={"recorded": (str(recorded),)}).plans
    )


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7, 16, 1000])
def test_shards_divide_all_samples_evenly(count: int, tmp_path: Path) -> None:
    whole = plans(tmp_path)
    parts = [part_of(whole, Shard(i, count)) for i in range(1, count + 1)]
    samples = [(p.task.name, q.id, i) for part in parts for p in part for q in p.problems for i in p.wanted(q.id)]
    assert len(samples) == len(set(samples)) == 600
    sizes = [sum(p.samples for p in part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    texts = [sum(len(q.prompt) * len(p.wanted(q.id)) for p in part for q in p.problems) for part in parts]
    assert max(texts) - min(texts) <= 3 * max(len(q.prompt) for q in whole[0].problems)


def test_the_index_comes_from_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    assert read_shard("/16") == Shard(4, 16)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    assert read_shard("/16") == Shard(5, 16)
    assert read_shard("3/16") == Shard(3, 16)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    for text in ("/16", "0/16", "17/16", "x", "1/0"):
        with pytest.raises(EvalkitError):
            read_shard(text)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "killed"), [(3, 1), (16, 3)])
def test_shards_in_random_order_merge_to_the_whole_run(folder: Path, count: int, killed: int) -> None:
    """Some of them are cut off in the middle of a line, as a kill does, and repeated."""
    run(folder, "whole")
    order = random.Random(5).sample(range(1, count + 1), count)
    for index in order:
        done = run(folder, f"shards/{index}", "--shard", f"{index}/{count}")
        assert f"shard {index}/{count} is finished" in done.stderr
        if index in order[:killed]:
            path = folder / f"shards/{index}/arithmetic/completions.jsonl"
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            run(folder, f"shards/{index}", "--shard", f"{index}/{count}")
    done = evalkit("merge", folder / "shards", "-o", folder / "merged")
    assert "arithmetic: 120 completions" in done.stderr
    for name in ("completions.jsonl", "scores.jsonl"):
        merged, whole = ((folder / run_ / "arithmetic" / name).read_bytes() for run_ in ("merged", "whole"))
        assert sorted(merged.splitlines()) == sorted(whole.splitlines())
    reports = [json.loads((folder / name / "arithmetic/report.json").read_text()) for name in ("merged", "whole")]
    for report in reports:
        report.pop("run_id")
    assert reports[0] == reports[1]
    again = run(folder, "merged", "--limit", 50)
    assert "30 completions to generate, 120 already on disk" in again.stderr, "the union is a run as any other"


@pytest.mark.slow
def test_gaps_are_told_and_filled_later(folder: Path) -> None:
    for index in (1, 3):
        run(folder, f"shards/{index}", "--shard", f"{index}/3")
    error = told(evalkit("merge", folder / "shards", "-o", folder / "merged", code=1))
    assert "lacks completions: 40 of 120 of arithmetic; no run of shard 2/3 was given" in error
    run(folder, "shards/2", "--shard", "2/3")
    evalkit("merge", folder / "shards/2", "-o", folder / "merged")
    assert len(records(folder / "merged/arithmetic/completions.jsonl")) == 120


@pytest.mark.slow
def test_overlaps_are_equal_or_refused(folder: Path) -> None:
    run(folder, "a", "--shard", "1/2")
    run(folder, "b")
    assert merge_runs([folder / "a", folder / "b"], folder / "merged")[0].overlaps == 60
    scores = folder / "a/arithmetic/scores.jsonl"
    graded = scores.read_bytes()
    first, *others = records(scores)
    failed = {**first, "status": "error", "value": 0.0}
    failed.pop("crc")
    scores.write_text("".join(json.dumps(line) + "\n" for line in (failed, *others)))
    for i, order in enumerate((["a", "b"], ["b", "a"])):
        merge_runs([folder / name for name in order], folder / f"graded-{i}")
        assert "error" not in {score["status"] for score in records(folder / f"graded-{i}/arithmetic/scores.jsonl")}
    scores.write_bytes(graded)
    path = folder / "a/arithmetic/completions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0].pop("crc")
    lines[0]["text"] = "another"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line.pop("crc", "") or True))
    with pytest.raises(EvalkitError, match="different completions of sample"):
        merge_runs([folder / "a", folder / "b"], folder / "other")


@pytest.mark.slow
def test_runs_of_other_settings_are_not_merged(folder: Path) -> None:
    run(folder, "a", "--shard", "1/2")
    run(folder, "b", "--shard", "2/2", "--seed", 1)
    with pytest.raises(EvalkitError, match="seed was 1 and is now 0"):
        merge_runs([folder / "a", folder / "b"], folder / "merged")


@pytest.mark.slow
def test_a_shard_is_not_shown_as_a_run(folder: Path) -> None:
    run(folder, "a", "--shard", "1/2")
    with pytest.raises(RunIncompleteError):
        load_entries([folder / "a"])
    assert "shard" in told(run(folder, "a", "--shard", "2/2", code=2))
    assert "shard was '1/2' and is now None" in told(run(folder, "a", code=2))


@pytest.mark.slow
def test_two_processes_on_one_shard(folder: Path) -> None:
    with run_lock(folder / "a"):
        assert "Another process is writing" in told(run(folder, "a", "--shard", "1/2", code=2))
    run(folder, "a", "--shard", "1/2")


WITHOUT_FLOCK = """
import errno, fcntl, os
def refuse(*_):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = fcntl.lockf = refuse
"""
HOLD = """
from evalkit.store.locks import run_lock; import pathlib, sys
with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True); sys.stdin.read()
"""


@pytest.mark.slow
def test_shards_on_a_file_system_without_flock(folder: Path) -> None:
    """Every process is told that there is no flock, as by some file systems."""
    (folder / "sitecustomize.py").write_text(WITHOUT_FLOCK)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / "shards/1")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    refused = run(folder, "shards/1", "--shard", "1/2", code=2, PYTHONPATH=path)
    assert "Another process is writing" in told(refused)
    holder.kill()
    holder.communicate()
    for index in (2, 1):
        run(folder, f"shards/{index}", "--shard", f"{index}/2", PYTHONPATH=path)
    evalkit("merge", folder / "shards", "-o", folder / "merged", PYTHONPATH=path)
    run(folder, "whole")
    merged, whole = ((folder / name / "arithmetic/completions.jsonl").read_bytes() for name in ("merged", "whole"))
    assert sorted(merged.splitlines()) == sorted(whole.splitlines())


def test_a_lease_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    script = "import os, pathlib, sys; from evalkit.store.locks import Lease\n"
    script += "Lease(pathlib.Path(sys.argv[1])).acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert [p.name for p in tmp_path.glob(".lease-*")] == [".lease-1"]
    with run_lock(tmp_path):
        assert [p.name for p in tmp_path.glob(".lease-*")] == [".lease-2"]


def test_a_lease_of_another_machine_holds_as_long_as_it_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = tmp_path / ".lease-7"
    lease.write_text(json.dumps({"host": "node12", "machine": "another", "pid": os.getpid(), "started": ""}))
    with pytest.raises(EvalkitError, match="on node12"), run_lock(tmp_path):
        pass
    monkeypatch.setattr(locks, "STALE", 2.0)
    monkeypatch.setattr(locks, "_SILENT", 0.1)
    os.utime(lease, (time.time() - 1.5, time.time() - 1.5))
    with run_lock(tmp_path):  # after it has been silent for long enough
        assert [p.name for p in tmp_path.glob(".lease-*")] == [".lease-8"]


@pytest.mark.slow
def test_of_many_processes_one_gets_the_lease(tmp_path: Path) -> None:
    """Without flock, as on some file systems: what decides is who creates the file."""
    script = WITHOUT_FLOCK + (
        "from evalkit.store.locks import run_lock; import pathlib, sys, time\n"
        "time.sleep(max(0.0, float(sys.argv[2]) - time.time()))\n"
        "with run_lock(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    start = str(time.time() + 3)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    time.sleep(0.1)
    lost = 0
    deadline = time.monotonic() + 100
    while lost < 5 and time.monotonic() < deadline:
        lost = sum(process.poll() is not None for process in processes)
        time.sleep(0.1)
    assert lost == 5
    outs = [process.communicate(b"")[0] for process in processes]
    assert sorted(outs) == [b""] * 5 + [b"held\n"]


def test_a_list_that_is_not_up_to_date_gives_no_second_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, whose directory listings are cached: the lease that is held now is not in the list."""
    holder = Lease(tmp_path)
    holder.acquire()
    (tmp_path / ".lease-1").rename(tmp_path / ".lease-3")
    listed: Iterator[list[tuple[int, Path]] | None] = iter([[], None])
    whole = Lease._all

    def stale(self: Lease) -> list[tuple[int, Path]]:
        found = next(listed, None)
        return whole(self) if found is None else found

    monkeypatch.setattr(Lease, "_all", stale)
    with pytest.raises(EvalkitError, match="Another process"):
        Lease(tmp_path).acquire()


def test_the_run_of_a_shard_names_its_part(folder: Path) -> None:
    run(folder, "a", "--shard", "2/4")
    content = RunDirectory(folder / "a").record().content
    assert content["identity"]["shard"] == "2/4"
    assert content["tasks"]["arithmetic"]["sampling"] == {"n": 3}
