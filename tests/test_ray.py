"""Replicas on a Ray cluster of several nodes: nodes that die and join, a driver that is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, records, told

pytestmark = pytest.mark.slow
STUDENT = REPOSITORY / "examples/tiny_distill/student-distilled"
COMMAND = (
    *("run", STUDENT, "-t", "arithmetic", "--max-tokens", 64, "--device", "cpu", "--engine", "transformers"),
    *("--batch-size", 8, "--quiet"),
)
PATIENCE = 240.0


@dataclass
class Nodes:
    """A cluster of this machine's processes, and its nodes that have a processor."""

    cluster: Any
    nodes: list[Any]

    @property
    def address(self) -> str:
        return str(self.cluster.address)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """A head without processors, and two nodes with one each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    found: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield Nodes(found, [found.add_node(num_cpus=1) for _ in range(2)])
    finally:
        found.shutdown()


def start(*arguments: object) -> "subprocess.Popen[str]":
    command = [str(EVALKIT), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, text=True, stderr=subprocess.PIPE)


def wait_for_completions(run: Path, count: int, process: "subprocess.Popen[str]") -> None:
    path = run / "arithmetic" / "completions.jsonl"
    until = time.monotonic() + PATIENCE
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)


def content(run: Path) -> list[tuple[object, ...]]:
    lines = records(run / "arithmetic" / "completions.jsonl")
    return sorted((r["problem_id"], r["sample_index"], r["text"], r["finish_reason"]) for r in lines)


def replicas() -> list[int]:
    """The replica processes on this machine, by their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"evalkit.engines.replica\0" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_a_node_dies_and_one_joins_and_the_files_are_those_of_a_run_without_ray(cluster: Nodes, tmp_path: Path) -> None:
    size = ("-n", 6, "--limit", 150)
    running = start(*COMMAND, *size, "--ray", cluster.address, "-o", tmp_path / "ray")
    wait_for_completions(tmp_path / "ray", 60, running)
    cluster.cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    cluster.cluster.add_node(num_cpus=1)
    said = running.communicate(timeout=PATIENCE)[1]
    assert running.returncode == 0, said
    assert "has ended early" in said
    evalkit(*COMMAND, *size, "-o", tmp_path / "alone")
    assert content(tmp_path / "ray") == content(tmp_path / "alone")
    assert len(content(tmp_path / "ray")) == 900


def test_a_killed_driver_leaves_no_replica_and_resumes(cluster: Nodes, tmp_path: Path) -> None:
    before = set(replicas())
    arguments = (*COMMAND, "-n", 4, "--limit", 150, "--ray", cluster.address, "-o", tmp_path / "run")
    running = start(*arguments)
    wait_for_completions(tmp_path / "run", 30, running)
    ours = set(replicas()) - before
    assert ours
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    until = time.monotonic() + PATIENCE
    while ours & set(replicas()):
        assert time.monotonic() < until, "a replica outlives its driver"
        time.sleep(0.2)
    kept = len(records(tmp_path / "run" / "arithmetic" / "completions.jsonl"))
    assert 30 <= kept < 600
    evalkit(*arguments)
    assert len(content(tmp_path / "run")) == 600


def test_a_cluster_without_room_or_without_answer_is_one_sentence(cluster: Nodes, tmp_path: Path) -> None:
    arguments = ("run", STUDENT, "-t", "arithmetic", "--limit", 1, "--engine", "transformers", "--device", "cpu")
    for node in cluster.nodes:
        cluster.cluster.remove_node(node)
    full = evalkit(*arguments, "--ray", cluster.address, "-o", tmp_path / "one", code=2)
    assert "the whole cluster has 0 GPU and 0 CPU" in told(full)
    for address, sentence in (
        ("127.0.0.1:9", "No Ray cluster answers at 127.0.0.1:9"),
        ("ray://127.0.0.1:9", "ray://127.0.0.1:9 is not the address of a Ray cluster."),
    ):
        nowhere = evalkit(*arguments, "--ray", address, "-o", tmp_path / "two", code=2)
        assert sentence in told(nowhere)
