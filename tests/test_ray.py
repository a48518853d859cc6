"""Replicas on a Ray cluster of several nodes: nodes that die and join, a driver that is killed."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, records, told, write_recorded
from servers import VLLM_CPU
from test_livecodebench import make_data, make_row

from evalkit.engines.ray_replicas import Door, require_room
from evalkit.errors import EvalkitError

slow = pytest.mark.slow
STUDENT = REPOSITORY / "examples/tiny_distill/student-distilled"
COMMAND = (
    *("run", STUDENT, "-t", "arithmetic", "--max-tokens", 64, "--device", "cpu", "--engine", "transformers"),
    *("--batch-size", 8, "--quiet"),
)
PATIENCE = 480.0


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
    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", **VLLM_CPU}.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    found: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield Nodes(found, [found.add_node(num_cpus=1) for _ in range(2)])
    finally:
        found.shutdown()


def start(*arguments: object, isolates: bool = True) -> "subprocess.Popen[str]":
    command = [str(EVALKIT), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    prepare = None if isolates else cannot_isolate
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, text=True, stderr=subprocess.PIPE, preexec_fn=prepare
    )


def cannot_isolate() -> None:
    """A limit below those of programs, which the sandbox refuses."""
    resource.setrlimit(resource.RLIMIT_CPU, (3000, 3000))


def wait_for_completions(run: Path, count: int, process: "subprocess.Popen[str]") -> None:
    wait_for_lines(run / "arithmetic" / "completions.jsonl", count, process)


def wait_for_lines(path: Path, count: int, process: "subprocess.Popen[str]") -> None:
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


def check_that_nodes_may_die_and_join(cluster: Nodes, folder: Path, command: tuple[object, ...], count: int) -> None:
    """One of two nodes is killed and another one joins; the files are those of a run without Ray."""
    running = start(*command, "--ray", cluster.address, "-o", folder / "ray")
    wait_for_completions(folder / "ray", 60, running)
    cluster.cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    cluster.cluster.add_node(num_cpus=1)
    said = running.communicate(timeout=PATIENCE)[1]
    assert running.returncode == 0, said
    assert "has ended early" in said
    evalkit(*command, "-o", folder / "alone")
    assert content(folder / "ray") == content(folder / "alone")
    assert len(content(folder / "ray")) == count


@slow
def test_a_node_dies_and_one_joins_and_the_files_are_those_of_a_run_without_ray(cluster: Nodes, tmp_path: Path) -> None:
    check_that_nodes_may_die_and_join(cluster, tmp_path, (*COMMAND, "-n", 6, "--limit", 150), 900)


@slow
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


@slow
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


@pytest.mark.vllm
def test_replicas_of_vllm_on_two_nodes_give_what_one_gives(cluster: Nodes, tmp_path: Path) -> None:
    from engine_checkpoint import make_engine_checkpoint  # the demo's heads are too narrow for vLLM's CPU build

    checkpoint = make_engine_checkpoint(tmp_path / "checkpoint")
    options = ("--device", "cpu", "--engine", "vllm", "--batch-size", 8, "--max-model-len", 512, "--quiet")
    command = ("run", checkpoint, "-t", "arithmetic", "--max-tokens", 64, "-n", 12, "--limit", 150, *options)
    check_that_nodes_may_die_and_join(cluster, tmp_path, command, 1800)


@pytest.mark.vllm
def test_the_executor_of_vllm_is_not_put_into_a_replica(tmp_path: Path) -> None:
    parts = ("-E", "distributed_executor_backend=ray", "-E", "pipeline_parallel_size=2")
    command = ("run", STUDENT, "-t", "arithmetic", "--limit", 1, "--engine", "vllm", "--device", "cpu", *parts)
    refused = evalkit(*command, "--ray", "127.0.0.1:9", "-o", tmp_path / "run", code=2)
    assert "--ray places whole replicas on nodes" in told(refused)


def test_a_replica_has_to_fit_on_one_node() -> None:
    nodes = [{"CPU": 64.0, "GPU": 8.0}, {"CPU": 64.0, "GPU": 8.0}]
    require_room({"GPU": 8.0, "CPU": 1.0}, nodes)
    with pytest.raises(EvalkitError, match="needs 16 GPU and 1 CPU of one node, and the largest node has 8 GPU"):
        require_room({"GPU": 16.0, "CPU": 1.0}, nodes)
    with pytest.raises(EvalkitError, match="the whole cluster has 16 GPU"):
        require_room({"GPU": 32.0, "CPU": 1.0}, nodes)


def test_only_who_shows_the_secret_is_let_in() -> None:
    async def knock(door: Door, shown: str) -> bytes:
        reader, writer = await asyncio.open_connection(*door.address)
        writer.write(shown.encode() + b"hello\n")
        if len(shown) < 64:
            writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()

    async def main() -> None:
        door = Door()
        await door.open("127.0.0.1")
        secret, connected = door.expect()
        for wrong in ("", "x" * 64, secret[:-1], "\xff" * 64):
            assert await knock(door, wrong) == b""
            assert not connected.done()
        knocking = asyncio.ensure_future(knock(door, secret))
        reader, writer = await connected
        assert await reader.readline() == b"hello\n"
        assert await knock(door, secret) == b"", "a secret is good for one connection"
        writer.write(b"welcome")
        writer.close()
        assert await knocking == b"welcome"
        door.close()

    asyncio.run(main())


PROGRAMS = (
    "print(int(input()) + 1)",
    "print(0)",
    "raise ValueError",
    "n = int(input())\nfor _ in range(1_500_000): n += 1\nprint(n - 1_499_999)",
    "while True: pass",
    "open('/etc/passwd').read()\nprint(int(input()) + 1)",
)


@contextlib.contextmanager
def node_that_cannot_isolate(address: str) -> Iterator[None]:
    """A node of the cluster with two processors that was started under a limit."""
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    command = [*ray, "start", "--address", address, "--num-cpus", "2", "--block", "--disable-usage-stats"]
    node = subprocess.Popen(
        command, preexec_fn=cannot_isolate, start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    try:
        assert node.stdout is not None
        assert any("Ray runtime started" in line for line in node.stdout)
        yield
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.communicate(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)


def recorded_programs(folder: Path, times: int = 2) -> tuple[object, ...]:
    """The command of a run whose completions are programs for two problems."""
    make_data(folder, make_row("q1"), make_row("q2"))
    texts = {name: [f"```python\n{code}\n```" for code in PROGRAMS * times] for name in ("q1", "q2")}
    recorded = write_recorded(folder / "recorded.jsonl", texts, prefix="<think>\n</think>\n", completion_tokens=10)
    options = ("-T", "timeout=1", "--data", folder, "--allow-changed-data", "-n", len(PROGRAMS) * times)
    return ("run", "o/m", "-t", "livecodebench", *options, "--engine", "replay", "--recorded", recorded)


def verdicts(run: Path) -> list[tuple[object, ...]]:
    lines = records(run / "livecodebench" / "scores.jsonl")
    keys = ("problem_id", "sample_index", "value", "status", "answer", "grader")
    return sorted((*(r[key] for key in keys), r["metadata"]["verdict"]) for r in lines)


WITHOUT_A_THREAD = """
import sys, threading
from evalkit.run.judges import open_judges
from evalkit.run.planning import choose_tasks
(one,) = choose_tasks("livecodebench", None)
with open_judges([(one.spec, one.task)], "ray:" + sys.argv[1]):
    print("judges" in {thread.name for thread in threading.enumerate()})
print("judges" in {thread.name for thread in threading.enumerate()})
"""


@slow
def test_nothing_asks_the_cluster_once_the_judges_are_closed(cluster: Nodes) -> None:
    """Ray ends a process, with exit code 1, that asks it something at its end."""
    command = [sys.executable, "-c", WITHOUT_A_THREAD, cluster.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert done.returncode == 0


@slow
def test_programs_are_judged_on_the_nodes_that_can_isolate_them(cluster: Nodes, tmp_path: Path) -> None:
    """This process cannot isolate, neither can one node, and one that can dies on the way."""
    command = recorded_programs(tmp_path, times=6)
    with node_that_cannot_isolate(cluster.address):
        running = start(*command, "--judge-on", f"ray:{cluster.address}", "-o", tmp_path / "ray", isolates=False)
        half = len(PROGRAMS) * 6  # both judges work by then: one may start seconds after the other
        wait_for_lines(tmp_path / "ray/livecodebench/scores.jsonl", half, running)
        cluster.cluster.remove_node(cluster.nodes[0], allow_graceful=False)
        said = running.communicate(timeout=PATIENCE)[1]
    assert running.returncode == 0, said
    assert "does not judge programs: This machine limits CPU time to 3000 s" in said
    assert "has ended early" in said
    evalkit(*command, "-o", tmp_path / "here")
    assert verdicts(tmp_path / "ray") == verdicts(tmp_path / "here")
    assert len(verdicts(tmp_path / "ray")) == 2 * 6 * len(PROGRAMS)
    found = {row[-1] for row in verdicts(tmp_path / "ray")}
    assert found >= {"accepted", "wrong answer", "runtime error", "time limit"}
    again = evalkit("score", tmp_path / "ray", "--judge-on", f"ray:{cluster.address}")
    assert f"0 of {2 * 6 * len(PROGRAMS)} verdicts changed" in again.stderr


@slow
def test_a_cluster_that_cannot_isolate_is_refused_before_anything_is_generated(cluster: Nodes, tmp_path: Path) -> None:
    command = recorded_programs(tmp_path)
    for node in cluster.nodes:
        cluster.cluster.remove_node(node)
    with node_that_cannot_isolate(cluster.address):
        refused = evalkit(*command, "--judge-on", f"ray:{cluster.address}", "-o", tmp_path / "run", code=2)
    assert "No node of the Ray cluster can judge programs: node " in told(refused)
    assert "limits CPU time" in told(refused)
    assert not (tmp_path / "run").exists()
    other = evalkit(*command, "--judge-on", "slurm", "-o", tmp_path / "run", code=2)
    assert told(other) == "Programs cannot be judged on 'slurm'."
