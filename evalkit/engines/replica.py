"""`python -m evalkit.engines.replica`: one engine process; requests on stdin, completions on stdout, as JSON."""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import fields
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from evalkit.engines.registry import engine_class
from evalkit.errors import EvalkitError
from evalkit.types import Completion, Request, SamplingParams

_SECONDS_FOR_COMPANY = 0.05  # for those that were sent at the same time: they may make one batch


class Inbox:
    """The requests that the run sends, as they come."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._closed = False

    def draw(self, wait: bool) -> Request | None:
        """The next request. None where there is none yet, and where the run sends no more if it was waited for."""
        if self._closed:
            return None
        if wait:
            request = self._queue.get()
            time.sleep(_SECONDS_FOR_COMPANY)
        else:
            try:
                request = self._queue.get_nowait()
            except Empty:
                return None
        self._closed = request is None
        return request

    def read(self) -> None:
        """Take in what stdin brings, in a thread of its own."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for line in sys.stdin:
                if not line.endswith("\n"):  # the run was killed while it wrote
                    break
                self._queue.put(request_of(json.loads(line)))
        finally:
            self._queue.put(None)  # the run has what it wanted, or is gone


class Outlet:
    """What the run is told, on a descriptor of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._room: int | None = None

    def ready(self, room: int, facts: Mapping[str, Any]) -> None:
        """The engine runs: how many requests it is given at once, and what is known of it."""
        self._room = room
        self._send({"room": room, "facts": dict(facts)})

    def room(self, room: int) -> None:
        """How many requests it is given at once from now on."""
        if room != self._room:
            self._room = room
            self._send({"room": room})

    def refuse(self, error: EvalkitError) -> None:
        """The engine cannot be started, for a reason that lies with the checkpoint or the machine."""
        self._send({"refused": error.message, "hint": error.hint})

    def answer(self, completion: Completion) -> None:
        self._send({field.name: getattr(completion, field.name) for field in fields(Completion)})

    def _send(self, content: Mapping[str, Any]) -> None:
        data = json.dumps(content).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


class Replicable(Protocol):
    """An engine that can be run in several processes."""

    def reserve(self, tokens: int) -> None: ...

    def serve_replica(self, inbox: Inbox, outlet: Outlet) -> None:
        """Say `outlet.ready`, then answer what comes until the inbox has ended.

        Raises EvalkitError before it is ready where it cannot be started.
        """


def request_of(record: dict[str, Any]) -> Request:
    """The request that `dataclasses.asdict` made a record of."""
    params = {**record["params"], "stop": tuple(record["params"]["stop"])}
    return Request(**{**record, "messages": tuple(record["messages"]), "params": SamplingParams(**params)})


def serve(outlet: Outlet) -> None:
    setup = json.loads(sys.stdin.readline())
    made: Any = engine_class(setup["engine"])
    inbox = Inbox()
    try:
        engine: Replicable = made(setup["model"], made.options_class(**setup["options"]))
        if setup["reserved"] is not None:
            engine.reserve(setup["reserved"])
        inbox.read()
        engine.serve_replica(inbox, outlet)
    except EvalkitError as error:  # of the checkpoint or the machine: the run tells it
        outlet.refuse(error)


def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print does not belong between the replies
    try:
        serve(Outlet(out))
    except BaseException:  # the engine is gone: the requests go to another replica, at once
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
