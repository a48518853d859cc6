"""Data parallel: one engine process for each group of GPUs, all pulling from the one queue."""

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.engines.adapter import Adapter
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.options import LocalOptions
from evalkit.engines.pending import PendingRequests
from evalkit.engines.threads import Emit, iterate_async
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SampleKey
from evalkit.visible import visible_line
from evalkit.workers import processors

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger(__name__)

LONGEST_LINE = 1 << 28
SECONDS_TO_END = 20.0
REPLICA_COMMAND = (sys.executable, "-m", "evalkit.engines.replica")


def replica_environments(replicas: int, group: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """What each replica's environment differs in: the GPUs that it sees, without GPUs its share of the processors.

    `OMP_NUM_THREADS` of the user stays.
    """
    if not devices:
        # each would start a thread for every processor, and threads that wait for each other's turn take most of it
        own = os.environ.get("OMP_NUM_THREADS") or str(max(1, processors() // replicas))
        return [{"OMP_NUM_THREADS": own} for _ in range(replicas)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(devices[i * group : (i + 1) * group])} for i in range(replicas)]


def replica_setup(
    engine: str, checkpoint: Checkpoint, adapter: Adapter | None, options: LocalOptions, reserved: int | None
) -> dict[str, Any]:
    """What a replica process is told first. All replicas load the commits that this process has seen."""
    lora = adapter.pinned_name if adapter else None
    alone = replace(options, data_parallel=1, ray=None, revision=checkpoint.commit, lora=lora)
    return {"engine": engine, "model": checkpoint.model, "options": asdict(alone), "reserved": reserved}


class Replica(Protocol):
    """A running replica process, here or on another machine: requests in, lines of JSON out."""

    name: str

    def send(self, content: Mapping[str, Any]) -> None:
        """Put a record on its way; `flush` waits until it is sent. Raises ConnectionError where the replica is gone."""

    async def flush(self) -> None: ...

    async def receive(self) -> bytes:
        """The next line, without its end where the replica died in the middle of it; empty where there are no more."""

    def finish(self) -> None:
        """Say that there are no more requests."""

    async def end(self) -> None:
        """End it and what it has started, whatever it is doing."""


class LocalReplica:
    """A replica that is a process of this machine."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.name = name
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, number: int, environment: Mapping[str, str]) -> "LocalReplica":
        process = await asyncio.create_subprocess_exec(
            *REPLICA_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
            limit=LONGEST_LINE,
            start_new_session=True,
        )
        logger.info("replica %d is process %d", number, process.pid)
        return cls(f"replica {number}", process)

    def send(self, content: Mapping[str, Any]) -> None:
        self._stdin.write(json.dumps(content).encode() + b"\n")

    async def flush(self) -> None:
        await self._stdin.drain()

    async def receive(self) -> bytes:
        return await self._stdout.readline()

    def finish(self) -> None:
        self._stdin.close()

    async def end(self) -> None:
        """End it and what it has started: vLLM's core is a process of its own, which would keep the GPU."""
        self._stdin.close()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), SECONDS_TO_END)
        finally:  # also where nobody waits any longer
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:  # Windows
                    self._process.kill()
            await self._process.wait()


def generate_in_replicas(
    requests: Iterator[Request],
    setup: Mapping[str, Any],
    environments: Sequence[Mapping[str, str]],
    facts: dict[str, Any] | None = None,
) -> Iterator[Completion]:
    """Completions of several engine processes of one checkpoint, one for each of `environments`.

    Requests are not split in advance: each replica is given the next one when it has room, so that one that is slow
    or got long completions holds nobody up. A replica that dies returns its requests to the queue.
    `setup` has what `evalkit.engines.replica` reads: engine, model, options, reserved. `facts` gets what a replica says
    of itself once it runs.
    Raises EvalkitError where none could start, RunIncompleteError where every replica has died.
    """

    async def work(emit: Emit) -> None:
        pool = ReplicaPool(requests, setup, emit, {} if facts is None else facts)

        async def run(number: int, environment: Mapping[str, str]) -> None:
            await pool.run(await LocalReplica.start(number, environment))

        tasks = [asyncio.create_task(run(*numbered)) for numbered in enumerate(environments)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        pool.require_finished(len(environments))

    return iterate_async(work)


class ReplicaPool:
    """Replicas that share one queue of requests. What they complete goes to `emit`, what they say to `facts`."""

    def __init__(
        self, requests: Iterator[Request], setup: Mapping[str, Any], emit: Emit, facts: dict[str, Any]
    ) -> None:
        self.queue = SharedQueue(PendingRequests(requests))
        self.facts = facts
        self.refusals: list[EvalkitError] = []
        self._setup = setup
        self._emit = emit

    async def run(self, replica: Replica) -> None:
        """Give a replica requests until all have ended or it has; then end it. Its requests go back to the queue."""
        in_flight: dict[SampleKey, Request] = {}
        fault = ""
        try:
            try:
                await self._drive(replica, in_flight)
            except ConnectionError:
                fault = "has ended early"
            except _ReplicaFaultError as error:
                fault = str(error)
            finally:
                self.queue.put_back(list(in_flight.values()))
            if fault and not self.queue.finished():
                logger.warning("%s %s; %d requests go back to the queue", replica.name, fault, len(in_flight))
        finally:
            await replica.end()

    async def _drive(self, replica: Replica, in_flight: dict[SampleKey, Request]) -> None:
        """Raises ConnectionError or _ReplicaFaultError where the replica ends before the requests do."""
        replica.send(self._setup)
        await replica.flush()
        line = await self._first_line(replica)
        if not line:
            return
        ready = _content(line)
        if "refused" in ready:
            refusal = EvalkitError(str(ready["refused"]), str(ready.get("hint", "")))
            self.refusals.append(refusal)
            raise _ReplicaFaultError(f"cannot be started: {refusal.message}")
        room = _Room(_requests_at_once(ready))
        self.facts.update(ready.get("facts") or {})
        parts = [
            asyncio.ensure_future(self._feed(replica, room, in_flight)),
            asyncio.ensure_future(self._collect(replica, room, in_flight)),
        ]
        try:
            await asyncio.gather(*parts)
        finally:
            for part in parts:  # what goes on feeding a dead replica would take requests from the others
                part.cancel()

    async def _first_line(self, replica: Replica) -> bytes:
        """What a replica says once it runs; empty where others have answered everything before it does."""
        line = asyncio.ensure_future(replica.receive())
        finished = asyncio.ensure_future(self.queue.until_finished())
        try:
            await asyncio.wait({line, finished}, return_when=asyncio.FIRST_COMPLETED)
            return b"" if finished.done() else _whole(line.result())
        finally:
            line.cancel()
            finished.cancel()

    async def _feed(self, replica: Replica, room: "_Room", in_flight: dict[SampleKey, Request]) -> None:
        """Give a replica requests, as many at once as it has room for, until all that there are have ended."""
        queue = self.queue
        while not queue.finished():
            change = queue.next_change()  # of now: answers may come while the requests are on their way
            while len(in_flight) < room.requests and (request := queue.draw()) is not None:
                in_flight[request.key] = request
                replica.send(asdict(request))
            await replica.flush()
            if not queue.finished():
                await change.wait()
        replica.finish()

    async def _collect(self, replica: Replica, room: "_Room", in_flight: dict[SampleKey, Request]) -> None:
        while line := await replica.receive():
            content = _content(_whole(line))
            if "room" in content:
                room.requests = _requests_at_once(content)
                self.queue.wake()
                continue
            completion = _completion(content)
            if in_flight.pop(completion.key, None) is not None:
                self._emit(completion)
                self.queue.ended()
        if not self.queue.finished():
            raise _ReplicaFaultError("has ended early")

    def require_finished(self, started: int) -> None:
        """Raises EvalkitError where none of the `started` replicas could, RunIncompleteError where all have died."""
        if self.queue.finished():
            return
        if len(self.refusals) == started:
            raise self.refusals[0]
        raise RunIncompleteError(
            "Every replica of the engine has died.",
            "finished work is kept: see what they wrote above, then run the same command again with fewer rows "
            "(--batch-size) or less memory (--gpu-memory-utilization).",
        )


class _ReplicaFaultError(Exception):
    """What a replica did instead of answering, as the rest of a sentence about it."""


def _whole(line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise _ReplicaFaultError("has ended early")
    return line


def _content(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _no_reply(line)
    return content


def _requests_at_once(content: Mapping[str, Any]) -> int:
    room = content.get("room")
    if not isinstance(room, int) or room < 1:
        raise _no_reply(json.dumps(content).encode())
    return room


def _completion(content: Mapping[str, Any]) -> Completion:
    try:
        return _completions().validate_python(content)
    except ValueError:
        raise _no_reply(json.dumps(content).encode()) from None


@functools.cache
def _completions() -> "TypeAdapter[Completion]":
    from pydantic import TypeAdapter

    return TypeAdapter(Completion)


def _no_reply(line: bytes) -> _ReplicaFaultError:
    return _ReplicaFaultError(f"has sent what is no reply ({visible_line(line[:80].decode(errors='replace').strip())})")


@dataclass(slots=True)
class _Room:
    """How many requests a replica is given at once; it says so as its cache fills and empties."""

    requests: int


class SharedQueue:
    """The queue and what is in flight, over all replicas; every change wakes those who wait."""

    def __init__(self, pending: PendingRequests) -> None:
        self._pending = pending
        self.answered = 0
        self._in_flight = 0
        self._exhausted = False
        self._change = asyncio.Event()

    def draw(self) -> Request | None:
        request = self._pending.draw()
        self._exhausted = request is None
        self._in_flight += request is not None
        if self.finished():
            self.wake()
        return request

    @property
    def drawn(self) -> bool:
        """Whether every request has been given out."""
        return self._exhausted

    def put_back(self, requests: list[Request]) -> None:
        self._pending.put_back(requests)
        self._in_flight -= len(requests)
        if requests:
            self._exhausted = False
        self.wake()

    def ended(self) -> None:
        self.answered += 1
        self._in_flight -= 1
        self.wake()

    def finished(self) -> bool:
        return self._exhausted and not self._in_flight

    def next_change(self) -> asyncio.Event:
        """Is set as soon as something of the queue has changed after this call."""
        return self._change

    async def until_finished(self) -> None:
        while not self.finished():
            await self._change.wait()

    def wake(self) -> None:
        """Let every replica look whether it has room."""
        self._change.set()
        self._change = asyncio.Event()
