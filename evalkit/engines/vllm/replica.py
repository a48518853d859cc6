"""`python -m evalkit.engines.vllm.replica`: one engine process; requests on stdin, completions on stdout, as JSON."""

import json
import os
import sys
import threading
import traceback
from dataclasses import fields
from queue import SimpleQueue
from typing import Any

from evalkit.engines.options import VLLMOptions
from evalkit.engines.vllm.engine import RunningEngine, VLLMEngine
from evalkit.types import Completion, Request, SamplingParams


def request_of(record: dict[str, Any]) -> Request:
    """The request that `dataclasses.asdict` made a record of."""
    params = {**record["params"], "stop": tuple(record["params"]["stop"])}
    return Request(**{**record, "messages": tuple(record["messages"]), "params": SamplingParams(**params)})


def serve(out: int) -> None:
    setup = json.loads(sys.stdin.readline())
    owner = VLLMEngine(setup["model"], VLLMOptions(**setup["options"]))
    if setup["reserved"] is not None:
        owner.reserve(setup["reserved"])
    engine = RunningEngine(owner)
    _send(out, {"room": engine.room})
    requests: SimpleQueue[Request | None] = SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    while True:
        while not len(engine) or not requests.empty():
            request = requests.get()
            if request is None:  # the run has what it wanted, or is gone
                engine.shutdown()
                return
            if (refusal := engine.add(request)) is not None:
                _answer(out, refusal)
        for completion in engine.step():
            _answer(out, completion)


def _read(requests: "SimpleQueue[Request | None]") -> None:
    for line in sys.stdin:
        requests.put(request_of(json.loads(line)))
    requests.put(None)


def _answer(out: int, completion: Completion) -> None:
    _send(out, {field.name: getattr(completion, field.name) for field in fields(Completion)})


def _send(out: int, content: dict[str, Any]) -> None:
    data = json.dumps(content).encode() + b"\n"
    while data:
        data = data[os.write(out, data) :]


def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print does not belong between the replies
    try:
        serve(out)
    except BaseException:  # the engine is gone: the requests go to another replica, at once
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
