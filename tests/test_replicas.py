"""Several engine processes behind one queue: what they may do wrong, and that no request is lost or answered twice.

The replicas are real processes of `python -m evalkit.engines.replica`, with an engine that does what it is told.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, records, told
from stand_in_replica import NAME, VARIABLE, Orders, answer, environments, install

from evalkit.engines import replicas
from evalkit.engines.replicas import LocalReplica, ReplicaPool, generate_in_replicas
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SamplingParams

SETUP = {"engine": NAME, "model": "none", "options": {}, "reserved": 512}
PATIENCE = 240.0


def asked(count: int, kind: str = "problem", text: str = "1 + 1?") -> list[Request]:
    message: Any = {"role": "user", "content": text}
    return [Request("t", f"{kind}-{i}", i % 3, (message,), SamplingParams(max_tokens=64)) for i in range(count)]


def generated(folder: Path, requests: list[Request], *orders: Mapping[str, Any]) -> list[Completion]:
    return list(generate_in_replicas(iter(requests), SETUP, environments(folder, orders)))


def in_order(completions: list[Completion]) -> list[Completion]:
    return sorted(completions, key=lambda c: c.key)


def wanted(requests: list[Request]) -> list[Completion]:
    return in_order([answer(request) for request in requests])


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(*processes: int) -> None:
    until = time.monotonic() + PATIENCE
    while any(is_running(process) for process in processes):
        assert time.monotonic() < until, f"still running: {processes}"
        time.sleep(0.05)


def started(path: Path) -> list[int]:
    """The replica's process and the one that it has started."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, "it has not started"
        time.sleep(0.05)
    return [int(number) for number in path.read_text().split()]


def test_each_request_is_answered_once_whatever_the_order(tmp_path: Path) -> None:
    requests = [*asked(20), *asked(3, "length"), *asked(2, "refused")]
    facts: dict[str, Any] = {}
    orders: list[dict[str, Any]] = [{"backwards": True}, {"twice": True, "rooms": (1, 9, 2), "pause": 0.005}]
    found = list(generate_in_replicas(iter(requests), SETUP, environments(tmp_path, orders), facts))
    assert in_order(found) == wanted(requests)
    assert {c.finish_reason for c in found} == {"stop", "length", "error"}
    assert facts == {"reserved": 512}


def test_nothing_asked_is_nothing_answered(tmp_path: Path) -> None:
    assert generated(tmp_path, [], {}, {}) == []


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"die": 0}, "has ended early; 4 requests"),
    ({"die": 3}, "has ended early"),
    ({"half": 2}, "has ended early"),
    ({"crash": True}, "has ended early; 0 requests"),
    ({"refuse": "The checkpoint is torn."}, "cannot be started: The checkpoint is torn."),
    ({"say": 2, "words": "INFO: loading \x1b[2J\n"}, "has sent what is no reply (INFO: loading \\x1b[2J)"),
    ({"say": 1, "words": "[1, 2]\n"}, "no reply"),
    ({"say": 1, "words": '{"room": 0}\n'}, "no reply"),
    ({"say": 1, "words": '{"task": "t", "text": 1}\n'}, "no reply"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=lambda value: str(value)[:40])
def test_what_one_replica_does_not_answer_another_does(
    fault: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    requests, mark = asked(24), str(tmp_path / "mark")
    faulty = {**fault, "mark": mark}
    assert in_order(generated(tmp_path / "package", requests, faulty, {"behind": mark})) == wanted(requests)
    assert said in caplog.text
    assert caplog.text.count("requests go back to the queue") == 1


def test_a_replica_that_dies_at_the_end_gives_back_what_it_had_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue is empty then, and the dead one has room: it must not be given its requests again."""
    requests = asked(6)
    running = str(tmp_path / "processes")
    first: dict[str, Any] = {"room": 5, "die": 1, "pause": 0.5, "child": running}
    second: dict[str, Any] = {"room": 5, "after": running, "start": 0.3}
    assert in_order(generated(tmp_path / "package", requests, first, second)) == wanted(requests)
    assert "has ended early" in caplog.text


def test_where_all_have_died_the_run_can_be_resumed(tmp_path: Path) -> None:
    found: list[Completion] = []
    there = environments(tmp_path, [{"die": 3}, {"die": 4}])
    with pytest.raises(RunIncompleteError, match="Every replica of the engine has died") as failure:
        found.extend(generate_in_replicas(iter(asked(30)), SETUP, there))
    assert failure.value.exit_code == 1
    assert "run the same command again" in failure.value.hint
    assert len({c.key for c in found}) == len(found) == 7, "what was answered before is not lost"


def test_where_none_can_start_the_reason_is_told(tmp_path: Path) -> None:
    refusal = {"refuse": "The checkpoint is torn."}
    with pytest.raises(EvalkitError, match=r"The checkpoint is torn\.") as failure:
        generated(tmp_path, asked(3), refusal, refusal)
    assert failure.value.exit_code == 2
    assert failure.value.hint == "take another checkpoint."
    with pytest.raises(RunIncompleteError, match="Every replica"):
        generated(tmp_path, asked(3), refusal, {"crash": True})


def test_nobody_waits_for_a_replica_that_others_have_made_needless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(replicas, "SECONDS_TO_END", 0.2)
    begun = time.monotonic()
    requests = asked(5)
    assert in_order(generated(tmp_path, requests, {}, {"start": 300.0})) == wanted(requests)
    assert time.monotonic() - begun < PATIENCE
    assert caplog.text == ""


def test_requests_are_drawn_when_there_is_room_and_not_before(tmp_path: Path) -> None:
    drawn = 0

    def source() -> Iterator[Request]:
        nonlocal drawn
        for request in asked(100):
            drawn += 1
            yield request

    completions: Any = generate_in_replicas(source(), SETUP, environments(tmp_path, [{"room": 3, "hang": 2}]))
    assert next(completions).text == "problem-0, sample 0"
    assert next(completions).text == "problem-1, sample 1"
    until = time.monotonic() + PATIENCE
    while drawn < 5 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    assert drawn == 5
    completions.close()


def test_closing_ends_a_replica_that_hangs_and_what_it_has_started(tmp_path: Path) -> None:
    orders = {"hang": 1, "child": str(tmp_path / "processes")}
    completions: Any = generate_in_replicas(iter(asked(9)), SETUP, environments(tmp_path / "package", [orders]))
    next(completions)
    processes = started(tmp_path / "processes")
    assert all(map(is_running, processes))
    begun = time.monotonic()
    completions.close()
    assert time.monotonic() - begun < replicas.SECONDS_TO_END
    wait_until_gone(*processes)


def test_what_a_replica_has_started_ends_with_it(tmp_path: Path) -> None:
    requests = asked(9)
    orders = {"die": 2, "child": str(tmp_path / "processes")}
    assert in_order(generated(tmp_path / "package", requests, orders, {})) == wanted(requests)
    wait_until_gone(*started(tmp_path / "processes"))


class SlowLine(LocalReplica):
    """A replica whose answers may be here before it is known that the requests have been sent: one behind Ray."""

    async def flush(self) -> None:
        await super().flush()
        await asyncio.sleep(0.3)


@pytest.mark.slow
def test_an_answer_that_overtakes_its_request_is_seen(tmp_path: Path) -> None:
    requests = asked(4)
    found: list[Completion] = []

    async def work() -> None:
        pool = ReplicaPool(iter(requests), SETUP, found.append, {})
        [environment] = environments(tmp_path, [{"room": 1}])
        await asyncio.wait_for(pool.run(await SlowLine.start(0, environment)), PATIENCE)
        pool.require_finished(1)

    asyncio.run(work())
    assert in_order(found) == wanted(requests)


def test_long_requests_and_answers_pass_whole(tmp_path: Path) -> None:
    requests = asked(6, text="9 " * 200_000)
    assert in_order(generated(tmp_path, requests, {"room": 6}, {"room": 1})) == wanted(requests)


def replica_process(folder: Path, **orders: Any) -> "subprocess.Popen[bytes]":
    [environment] = environments(folder, [orders])
    command = [sys.executable, "-m", "evalkit.engines.replica"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **environment})


@pytest.mark.parametrize("last", ["half of a request", "what is no request\n"])
def test_a_replica_ends_when_its_run_does_wherever_that_was(last: str, tmp_path: Path) -> None:
    """A run that is killed may have been writing; a replica that waits for the rest would keep its GPU."""
    [request] = asked(1)
    process = replica_process(tmp_path)
    lines = json.dumps(SETUP) + "\n" + json.dumps(asdict(request)) + "\n" + last
    said, _ = process.communicate(lines.encode(), timeout=PATIENCE)
    first, second = map(json.loads, said.splitlines())
    assert first == {"room": 4, "facts": {"reserved": 512}}
    assert Completion(**second) == answer(request)
    assert process.returncode == 0


def test_what_libraries_print_is_no_reply_and_a_fault_is_shown(tmp_path: Path) -> None:
    process = replica_process(tmp_path, crash=True)
    said, written = process.communicate(json.dumps(SETUP).encode() + b"\n", timeout=PATIENCE)
    assert (said, process.returncode) == (b"", 1)
    assert b"RuntimeError: the stand-in crashes as it is told" in written


@pytest.mark.slow
def test_a_killed_run_leaves_no_replica_and_resumes(tmp_path: Path) -> None:
    environment = {**install(tmp_path / "package"), VARIABLE: json.dumps(asdict(Orders(pause=0.02, room=3)))}
    run = tmp_path / "run"
    arguments = ["run", "none", "-t", "arithmetic", "--engine", NAME, "-n", 2, "--limit", 60, "-o", run, "--quiet"]
    command = [str(EVALKIT), *map(str, arguments)]
    null, here = subprocess.DEVNULL, {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    driver = subprocess.Popen(command, cwd=REPOSITORY, env=here, stdout=null, stderr=null)
    path, until = run / "arithmetic" / "completions.jsonl", time.monotonic() + PATIENCE
    while not path.exists() or path.read_bytes().count(b"\n") < 10:
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    children = Path(f"/proc/{driver.pid}/task").glob("*/children")
    ours = [int(number) for file in children for number in file.read_text().split()]
    ours = [pid for pid in ours if b"evalkit.engines.replica" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(ours) == 2
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    wait_until_gone(*ours)
    kept = path.read_bytes().count(b"\n")
    assert 10 <= kept < 120
    evalkit(*arguments, code=0, **environment)
    made = [(r["problem_id"], r["sample_index"], r["text"]) for r in records(path)]
    assert len(set(made)) == len(made) == 120
    assert all(text == f"{problem}, sample {sample}" for problem, sample, text in made)


def test_a_run_whose_replicas_die_ends_with_1_and_the_way_to_resume(tmp_path: Path) -> None:
    arguments = ["run", "none", "-t", "arithmetic", "--engine", NAME, "--limit", 3, "-o", tmp_path / "run"]
    environment = {**install(tmp_path / "package"), VARIABLE: json.dumps(asdict(Orders(die=1)))}
    assert told(evalkit(*arguments, code=1, **environment)) == "Every replica of the engine has died."
