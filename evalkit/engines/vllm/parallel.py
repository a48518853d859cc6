"""Data parallel: one engine process for each group of GPUs, all pulling from the one queue."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evalkit.engines.threads import Emit, iterate_async
from evalkit.engines.vllm.pending import PendingRequests
from evalkit.errors import RunIncompleteError
from evalkit.types import Completion, Request, SampleKey

logger = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 28
_SECONDS_TO_END = 20.0
REPLICA_COMMAND = (sys.executable, "-m", "evalkit.engines.vllm.replica")


def visible_gpus() -> list[str]:
    """The names that CUDA_VISIBLE_DEVICES would give to the GPUs that this process sees."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1"]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def replica_environments(replicas: int, group: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """What each replica's environment differs in: the GPUs that it sees. Without GPUs it is nothing."""
    if not devices:
        return [{} for _ in range(replicas)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(devices[i * group : (i + 1) * group])} for i in range(replicas)]


def generate_in_replicas(
    requests: Iterator[Request], setup: Mapping[str, Any], environments: Sequence[Mapping[str, str]]
) -> Iterator[Completion]:
    """Completions of several engine processes of one checkpoint, one for each of `environments`.

    There is no split of the requests beforehand: each replica is given the next one when it has room, so that one
    that is slow or got long completions holds nobody up. A replica that dies returns its requests to the queue.
    `setup` is what `evalkit.engines.vllm.replica` reads. Raises RunIncompleteError where every replica has died.
    """

    async def work(emit: Emit) -> None:
        queue = _SharedQueue(PendingRequests(requests))
        tasks = [
            asyncio.create_task(_run_replica(number, setup, environment, queue, emit))
            for number, environment in enumerate(environments)
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not queue.finished():
            raise RunIncompleteError(
                "Every replica of the engine has died.",
                "what was done is kept: see what they wrote above, then give the same command again to resume.",
            )

    return iterate_async(work)


async def _run_replica(
    number: int, setup: Mapping[str, Any], environment: Mapping[str, str], queue: "_SharedQueue", emit: Emit
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
        if not (ready := await process.stdout.readline()).endswith(b"\n"):
            return
        room = json.loads(ready)["room"]
        await asyncio.gather(
            _feed(process.stdin, room, in_flight, queue), _collect(process.stdout, in_flight, queue, emit)
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


async def _feed(
    stdin: asyncio.StreamWriter, room: int, in_flight: dict[SampleKey, Request], queue: "_SharedQueue"
) -> None:
    """Give a replica requests, at most `room` at once, until all that there are have ended."""
    while not queue.finished():
        while len(in_flight) < room and (request := queue.draw()) is not None:
            in_flight[request.key] = request
            _send(stdin, asdict(request))
        await stdin.drain()
        await queue.changed()
    stdin.close()


async def _collect(
    stdout: asyncio.StreamReader, in_flight: dict[SampleKey, Request], queue: "_SharedQueue", emit: Emit
) -> None:
    while line := await stdout.readline():
        if not line.endswith(b"\n"):
            break
        completion = Completion(**json.loads(line))
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
        self._wake()

    def ended(self) -> None:
        self._in_flight -= 1
        self._wake()

    def finished(self) -> bool:
        return self._exhausted and not self._in_flight

    async def changed(self) -> None:
        await self._change.wait()

    def _wake(self) -> None:
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
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
