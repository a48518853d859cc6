"""`python -m evalkit.backends.replica`: one engine process; requests in on stdin, completions out, as JSON lines."""

import asyncio
import json
import os
import sys
import threading
from dataclasses import fields
from typing import Any

from evalkit.backends.base import EngineOptions
from evalkit.backends.vllm import VLLMBackend, requests_held
from evalkit.types import Completion, Request, SamplingParams


def request_of(record: dict[str, Any]) -> Request:
    """The request that `dataclasses.asdict` made a record of."""
    params = {**record["params"], "stop": tuple(record["params"]["stop"])}
    return Request(**{**record, "messages": tuple(record["messages"]), "params": SamplingParams(**params)})


async def serve(out: int) -> None:
    setup = json.loads(sys.stdin.readline())
    backend = VLLMBackend(setup["model"], EngineOptions(**setup["options"]))
    backend.needed_length = setup["needed_length"]
    engine = backend.start()
    os.write(out, json.dumps({"room": requests_held(engine)}).encode() + b"\n")
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    ended = asyncio.Event()

    async def answer(record: dict[str, Any]) -> None:
        completion = await backend.serve(engine, request_of(record["request"]))
        content = {field.name: getattr(completion, field.name) for field in fields(Completion)}
        data = json.dumps({"id": record["id"], "completion": content}).encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]

    def begin(record: dict[str, Any]) -> None:
        task = asyncio.ensure_future(answer(record))
        tasks.add(task)
        task.add_done_callback(finish)

    def finish(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            print(f"replica: {task.exception()}", file=sys.stderr, flush=True)
            os._exit(1)  # the engine is gone: the requests go to another replica

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(begin, json.loads(line))
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()
    engine.shutdown()


def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print does not belong between the replies
    asyncio.run(serve(out))
    os._exit(0)


if __name__ == "__main__":
    main()
