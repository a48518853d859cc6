"""A real OpenAI-compatible server in a process of its own, and a proxy before it that fails in every way."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx

FAULTS = ("reset", "429", "500", "truncated", "endless", "wrong usage", "duplicate")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: list[object], log: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server's command line, with a free port at its end: its URL, once it answers, and its process."""
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*map(str, command), "--port", str(port)], stdout=out, stderr=out, env=environment, start_new_session=True
        )
    url = f"http://localhost:{port}"
    try:
        for _ in range(720):
            assert process.poll() is None, log.read_text()
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.25)
        yield url, process
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
        process.wait()


def transformers_serve(checkpoint: Path, log: Path) -> AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]:
    """`transformers serve` with continuous batching on the CPU."""
    command = [Path(sys.executable).with_name("transformers"), "serve", checkpoint, "--device", "cpu"]
    batching = ["--continuous-batching", "--cb-num-blocks", "512", "--cb-max-batch-tokens", "128"]
    return serving([*command, *batching], log)


VLLM_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0", "OMP_NUM_THREADS": "1"}


def vllm_serve(checkpoint: Path, log: Path) -> AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]:
    """vLLM's own server on the CPU; what `vllm serve` starts."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", checkpoint, "--dtype", "float32"]
    return serving([*command, "--enforce-eager", "--max-model-len", "32768"], log, **VLLM_CPU)


class FaultProxy:
    """Passes requests on and spoils a share of the POSTs, by a seeded draw for each. Runs in a thread."""

    def __init__(self, target: str, rate: float, seed: int = 0, faults: tuple[str, ...] = FAULTS) -> None:
        self.target = target
        self.rate = rate
        self.seen: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self._faults = faults
        self._random = random.Random(seed)
        self._last: bytes | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._client = httpx.AsyncClient(timeout=60)
        ready = threading.Event()

        async def start() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            ready.set()

        self._loop.create_task(start())
        self._thread.start()
        ready.wait()
        return self

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.headers.append(headers)
            fault = "none"
            if method == "POST" and self._random.random() < self.rate:
                fault = self._random.choice(self._faults)
            self.seen[fault] += 1
            if fault == "echo":
                told = json.dumps({"error": {"message": f"not with {headers['authorization']} to {path}"}})
                _reply(writer, 400, told.encode())
                await writer.drain()
            else:
                await self._answer(writer, method, path, body, fault)
        except (asyncio.IncompleteReadError, ConnectionError, httpx.TransportError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, path: str, body: bytes, fault: str) -> None:
        if fault == "reset":
            writer.transport.abort()
        elif fault == "429":
            _reply(writer, 429, b'{"error": {"message": "slow down"}}', "retry-after: 0.1\r\n")
        elif fault == "500":
            _reply(writer, 500, b"oh no")
        elif fault == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{")
            for _ in range(300):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
        else:
            answer = await self._client.request(
                method, self.target + path, content=body, headers={"content-type": "application/json"}
            )
            content = answer.content
            if fault == "truncated":
                content = content[: len(content) // 2]
            elif fault == "wrong usage":
                reply = json.loads(content)
                reply["usage"] = {"prompt_tokens": -3, "completion_tokens": 10**9, "total_tokens": 5}
                content = json.dumps(reply).encode()
            elif fault == "duplicate" and self._last is not None:
                content = self._last
            elif method == "POST" and answer.status_code == 200:
                self._last = content
            _reply(writer, answer.status_code, content)
        await writer.drain()


def _reply(writer: asyncio.StreamWriter, status: int, body: bytes, headers: str = "") -> None:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}"
    writer.write((head + "connection: close\r\n\r\n").encode() + body)
