"""Data parallel: one engine process for each group of GPUs, all pulling from the one queue."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from evalkit.engines.base import Backend, EngineOptions
from evalkit.engines.prompts import Prompt
from evalkit.engines.threads import Emit, iterate_async
from evalkit.engines.vllm.engine import Left, VLLMBackend
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SampleKey

logger = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 28
_SECONDS_TO_END = 20.0


def open_vllm(model: str, options: EngineOptions) -> Backend:
    """One engine in this process, or a replica for each group of `tensor_parallel` GPUs."""
    backend = VLLMBackend(model, options)
    devices = visible_gpus()
    if options.tensor_parallel < 1 or (options.data_parallel is not None and options.data_parallel < 1):
        raise EvalkitError("The numbers of GPUs for parallel work have to be 1 or more.", "leave them out.")
    if devices and options.tensor_parallel > len(devices):
        raise EvalkitError(
            f"tensor-parallel is {options.tensor_parallel}, but there are {len(devices)} GPUs.", "lower it."
        )
    replicas = options.data_parallel or max(1, len(devices) // options.tensor_parallel)
    if devices and replicas * options.tensor_parallel > len(devices):
        raise EvalkitError(
            f"{replicas} replicas of {options.tensor_parallel} GPUs need more than the {len(devices)} GPUs there are.",
            "lower --data-parallel or --tensor-parallel.",
        )
    if replicas == 1:
        return backend
    command = [sys.executable, "-m", "evalkit.engines.vllm.replica"]
    return ParallelBackend(backend, replica_environments(replicas, options.tensor_parallel, devices), command)


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


class ParallelBackend:
    """Several engine processes of one checkpoint.

    There is no split of the requests beforehand: each replica is given the next one when it has room, so that one
    that is slow or got long completions holds nobody up. A replica that dies returns its requests to the queue.
    """

    def __init__(self, single: VLLMBackend, environments: Sequence[Mapping[str, str]], command: Sequence[str]) -> None:
        self._single = single
        self._environments = environments
        self._command = command
        self.name = single.name

    def identity(self) -> dict[str, Any]:
        return self._single.identity()

    def environment(self) -> dict[str, Any]:
        return {**self._single.environment(), "replicas": len(self._environments)}

    def context_length(self) -> int | None:
        return self._single.context_length()

    @property
    def tokenizer(self) -> Any:
        return self._single.tokenizer

    @property
    def needed_length(self) -> int | None:
        return self._single.needed_length

    @needed_length.setter
    def needed_length(self, tokens: int) -> None:
        self._single.needed_length = tokens

    def render(self, request: Request) -> Prompt:
        return self._single.render(request)

    def close(self) -> None:
        """The replicas live as long as `generate`."""

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        async def work(emit: Emit) -> None:
            shared = _Shared(Left(requests))
            tasks = [
                asyncio.create_task(self._run_replica(number, environment, shared, emit))
                for number, environment in enumerate(self._environments)
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            if not shared.finished():
                raise RunIncompleteError(
                    "Every replica of the engine has died.",
                    "what was done is kept: see what they wrote above, then give the same command again to resume.",
                )

        return iterate_async(work)

    async def _run_replica(self, number: int, environment: Mapping[str, str], shared: "_Shared", emit: Emit) -> None:
        options = replace(self._single.options, data_parallel=1)
        setup = {
            "model": self._single.checkpoint.model,
            "options": asdict(options),
            "needed_length": self._single.needed_length,
        }
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        logger.info("replica %d is process %d", number, process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        held: dict[SampleKey, Request] = {}
        try:
            _send(process.stdin, setup)
            if not (ready := await process.stdout.readline()).endswith(b"\n"):
                return
            room = json.loads(ready)["room"]
            await asyncio.gather(_feed(process.stdin, room, held, shared), _collect(process.stdout, held, shared, emit))
        except (ConnectionError, BrokenPipeError, _ReplicaEndedError):
            pass
        finally:
            shared.put_back(list(held.values()))
            await _end(process)
            if not shared.finished():
                logger.warning("replica %d has ended early; %d requests go back to the queue", number, len(held))


class _ReplicaEndedError(Exception):
    """The process has closed its output."""


async def _feed(stdin: asyncio.StreamWriter, room: int, held: dict[SampleKey, Request], shared: "_Shared") -> None:
    """Give a replica requests, at most `room` at once, until all that there are have ended."""
    while not shared.finished():
        while len(held) < room and (request := shared.draw()) is not None:
            held[request.key] = request
            _send(stdin, asdict(request))
        await stdin.drain()
        await shared.changed()
    stdin.close()


async def _collect(stdout: asyncio.StreamReader, held: dict[SampleKey, Request], shared: "_Shared", emit: Emit) -> None:
    while line := await stdout.readline():
        if not line.endswith(b"\n"):
            break
        completion = Completion(**json.loads(line))
        if held.pop(completion.key, None) is not None:
            emit(completion)
            shared.ended()
    if not shared.finished():
        raise _ReplicaEndedError


class _Shared:
    """The queue and what is in flight, over all replicas; every change wakes those who wait."""

    def __init__(self, left: Left) -> None:
        self._left = left
        self._in_flight = 0
        self._exhausted = False
        self._change = asyncio.Event()

    def draw(self) -> Request | None:
        request = self._left.draw()
        self._exhausted = request is None
        self._in_flight += request is not None
        return request

    def put_back(self, requests: list[Request]) -> None:
        self._left.put_back(requests)
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


def _send(stdin: asyncio.StreamWriter, content: dict[str, Any]) -> None:
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
