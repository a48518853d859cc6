"""Data parallel: one engine process for each group of GPUs, all pulling from the one queue."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalkit.engines.adapter import Adapter
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.options import LocalOptions
from evalkit.engines.pending import PendingRequests
from evalkit.engines.threads import Emit, iterate_async
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SampleKey

logger = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 28
_SECONDS_TO_END = 20.0
REPLICA_COMMAND = (sys.executable, "-m", "evalkit.engines.replica")


def replica_environments(replicas: int, group: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """What each replica's environment differs in: the GPUs that it sees. Without GPUs it is nothing."""
    if not devices:
        return [{} for _ in range(replicas)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(devices[i * group : (i + 1) * group])} for i in range(replicas)]


def replica_setup(
    engine: str, checkpoint: Checkpoint, adapter: Adapter | None, options: LocalOptions, reserved: int | None
) -> dict[str, Any]:
    """What a replica process is told first. All replicas load the commits that this process has seen."""
    lora = adapter.pinned_name if adapter else None
    alone = replace(options, data_parallel=1, revision=checkpoint.commit, lora=lora)
    return {"engine": engine, "model": checkpoint.model, "options": asdict(alone), "reserved": reserved}


def generate_in_replicas(
    requests: Iterator[Request],
    setup: Mapping[str, Any],
    environments: Sequence[Mapping[str, str]],
    facts: dict[str, Any] | None = None,
) -> Iterator[Completion]:
    """Completions of several engine processes of one checkpoint, one for each of `environments`.

    There is no split of the requests beforehand: each replica is given the next one when it has room, so that one
    that is slow or got long completions holds nobody up. A replica that dies returns its requests to the queue.
    `setup` has what `evalkit.engines.replica` reads: engine, model, options, reserved. `facts` gets what a replica says
    of itself once it runs.
    Raises EvalkitError where none could start, RunIncompleteError where every replica has died.
    """

    async def work(emit: Emit) -> None:
        queue = _SharedQueue(PendingRequests(requests))
        refusals: list[EvalkitError] = []
        tasks = [
            asyncio.create_task(
                _run_replica(number, setup, environment, queue, emit, refusals, {} if facts is None else facts)
            )
            for number, environment in enumerate(environments)
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not queue.finished():
            if len(refusals) == len(environments):
                raise refusals[0]
            raise RunIncompleteError(
                "Every replica of the engine has died.",
                "what was done is kept: see what they wrote above, then resume with fewer rows (--batch-size) or less "
                "memory (--gpu-memory-utilization).",
            )

    return iterate_async(work)


async def _run_replica(
    number: int,
    setup: Mapping[str, Any],
    environment: Mapping[str, str],
    queue: "_SharedQueue",
    emit: Emit,
    refusals: list[EvalkitError],
    facts: dict[str, Any],
) -> None:
    process = await asyncio.create_subprocess_exec(
        *REPLICA_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        limit=_LONGEST_LINE,
        start_new_session=True,
    )
    logger.info("replica %d is process %d", number, process.pid)
    assert process.stdin is not None
    assert process.stdout is not None
    in_flight: dict[SampleKey, Request] = {}
    try:
        _send(process.stdin, setup)
        if not (line := await process.stdout.readline()).endswith(b"\n"):
            return
        ready = json.loads(line)
        if "refused" in ready:
            refusals.append(EvalkitError(ready["refused"], ready["hint"]))
            return
        facts.update(ready["facts"])
        room = _Room(ready["room"])
        await asyncio.gather(
            _feed(process.stdin, room, in_flight, queue), _collect(process.stdout, room, in_flight, queue, emit)
        )
    except (ConnectionError, BrokenPipeError, _ReplicaEndedError):
        pass
    finally:
        queue.put_back(list(in_flight.values()))
        await _end(process)
        if not queue.finished():
            logger.warning("replica %d has ended early; %d requests go back to the queue", number, len(in_flight))


class _ReplicaEndedError(Exception):
    """The process has closed its output."""


@dataclass(slots=True)
class _Room:
    """How many requests a replica is given at once; it says so as its cache fills and empties."""

    requests: int


async def _feed(
    stdin: asyncio.StreamWriter, room: _Room, in_flight: dict[SampleKey, Request], queue: "_SharedQueue"
) -> None:
    """Give a replica requests, as many at once as it has room for, until all that there are have ended."""
    while not queue.finished():
        while len(in_flight) < room.requests and (request := queue.draw()) is not None:
            in_flight[request.key] = request
            _send(stdin, asdict(request))
        await stdin.drain()
        await queue.changed()
    stdin.close()


async def _collect(
    stdout: asyncio.StreamReader,
    room: _Room,
    in_flight: dict[SampleKey, Request],
    queue: "_SharedQueue",
    emit: Emit,
) -> None:
    while line := await stdout.readline():
        if not line.endswith(b"\n"):
            break
        content = json.loads(line)
        if "room" in content:
            room.requests = content["room"]
            queue.wake()
            continue
        completion = Completion(**content)
        if in_flight.pop(completion.key, None) is not None:
            emit(completion)
            queue.ended()
    if not queue.finished():
        raise _ReplicaEndedError


class _SharedQueue:
    """The queue and what is in flight, over all replicas; every change wakes those who wait."""

    def __init__(self, pending: PendingRequests) -> None:
        self._pending = pending
        self._in_flight = 0
        self._exhausted = False
        self._change = asyncio.Event()

    def draw(self) -> Request | None:
        request = self._pending.draw()
        self._exhausted = request is None
        self._in_flight += request is not None
        return request

    def put_back(self, requests: list[Request]) -> None:
        self._pending.put_back(requests)
        self._in_flight -= len(requests)
        if requests:
            self._exhausted = False
        self.wake()

    def ended(self) -> None:
        self._in_flight -= 1
        self.wake()

    def finished(self) -> bool:
        return self._exhausted and not self._in_flight

    async def changed(self) -> None:
        await self._change.wait()

    def wake(self) -> None:
        """Let every replica look whether it has room."""
        self._change.set()
        self._change = asyncio.Event()


def _send(stdin: asyncio.StreamWriter, content: Mapping[str, Any]) -> None:
    stdin.write(json.dumps(content).encode() + b"\n")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a replica and what it has started: vLLM's core is a process of its own, which would keep the GPU."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _SECONDS_TO_END)
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()
    await process.wait()
