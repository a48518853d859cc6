"""An engine that needs no model: its replicas are started and spoken to as vLLM's are, and do what a test tells them.

What a replica does stands as JSON in EVALKIT_STAND_IN of its environment: the fields of `Orders`.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.engines.base import Engine, option
from evalkit.engines.replica import Inbox, Outlet
from evalkit.engines.replicas import generate_in_replicas
from evalkit.errors import EvalkitError
from evalkit.types import Completion, Request

VARIABLE = "EVALKIT_STAND_IN"
NAME = "stand-in"
_CHILD = "import time; time.sleep(600)"


@dataclass(frozen=True)
class Orders:
    """What a replica does, beside answering each request at once.

    start: seconds until it is ready, once the file `after` is there and the replica whose mark is `behind` has ended.
    refuse: why it cannot be started. crash: it raises where it starts.
    room: how many requests it has at once; `rooms` are told after each answer, one by one.
    backwards: it answers the latest request of those that it has first.
    die, half, hang, say: after so many answers it is killed, is killed in the middle of an answer, does nothing any
    more, or writes `words` instead of an answer.
    twice: it answers everything twice, and what nobody has asked. pause: seconds for each answer.
    mark: the file that it makes just before it does what is wrong.
    child: the file into which it writes the process ids of itself and of a process that it has started.
    """

    start: float = 0.0
    after: str = ""
    behind: str = ""
    refuse: str = ""
    crash: bool = False
    room: int = 4
    rooms: tuple[int, ...] = ()
    backwards: bool = False
    die: int | None = None
    half: int | None = None
    hang: int | None = None
    say: int | None = None
    words: str = ""
    twice: bool = False
    pause: float = 0.0
    child: str = ""
    mark: str = ""

    def wrong(self) -> None:
        if self.mark:
            _write(Path(self.mark), str(os.getpid()))


@dataclass(frozen=True)
class StandInOptions:
    replicas: int = option(2, "Replicas.")


class StandIn(Engine):
    """Answers a request with its key, and with the finish reason that the problem's name begins with."""

    name = NAME
    options_class = StandInOptions

    def __init__(self, model: str, options: StandInOptions) -> None:
        self.model, self.options = model, options
        self._reserved: int | None = None

    def identity(self) -> dict[str, Any]:
        return {"backend": self.name, "model": self.model}

    def reserve(self, tokens: int) -> None:
        self._reserved = tokens

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        setup = {"engine": self.name, "model": self.model, "options": asdict(self.options), "reserved": self._reserved}
        return generate_in_replicas(requests, setup, [{}] * self.options.replicas)

    def serve_replica(self, inbox: Inbox, outlet: Outlet) -> None:
        orders = Orders(**json.loads(os.environ.get(VARIABLE, "{}")))
        if orders.child:
            _write_processes(Path(orders.child))
        while orders.after and not Path(orders.after).exists():
            time.sleep(0.02)
        while orders.behind and not _has_ended(Path(orders.behind)):
            time.sleep(0.02)
        time.sleep(orders.start)
        if orders.refuse:
            orders.wrong()
            raise EvalkitError(orders.refuse, "take another checkpoint.")
        if orders.crash:
            orders.wrong()
            raise RuntimeError("the stand-in crashes as it is told")
        outlet.ready(orders.room, {"reserved": self._reserved})
        _serve(inbox, outlet, orders)


def answer(request: Request) -> Completion:
    """What every replica answers."""
    reason: Any = {"length": "length", "refused": "error"}.get(request.problem_id.partition("-")[0], "stop")
    text = "" if reason == "error" else f"{request.problem_id}, sample {request.sample_index}"
    error = "too long for this engine" if reason == "error" else None
    tokens = request.params.max_tokens if reason == "length" else len(text)
    return Completion(*request.key, text, reason, 3, tokens, 0.01, error=error)


def _serve(inbox: Inbox, outlet: Outlet, orders: Orders) -> None:
    waiting: list[Request] = []
    answered, rooms = 0, list(orders.rooms)
    while True:
        while (request := inbox.draw(wait=not waiting)) is not None:
            waiting.append(request)
        if not waiting:
            return
        completion = answer(waiting.pop(-1 if orders.backwards else 0))
        _misbehave(outlet, orders, answered, completion)
        time.sleep(orders.pause)
        outlet.answer(completion)
        if orders.twice:
            outlet.answer(completion)
            outlet.answer(Completion("nobody's", "asked", 7, "", "stop", 0, 0, 0.0))
        answered += 1
        if rooms:
            outlet.room(rooms.pop(0))


def _misbehave(outlet: Outlet, orders: Orders, answered: int, completion: Completion) -> None:
    if answered in (orders.die, orders.half, orders.hang, orders.say):
        orders.wrong()
    if answered == orders.half:
        line = json.dumps({name: getattr(completion, name) for name in Completion.__dataclass_fields__})
        os.write(outlet._descriptor, line[: len(line) // 2].encode())
    if answered in (orders.die, orders.half):
        os.kill(os.getpid(), signal.SIGKILL)
    while answered == orders.hang:
        time.sleep(1)
    if answered == orders.say:
        os.write(outlet._descriptor, orders.words.encode())


def _write_processes(path: Path) -> None:
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", _CHILD], os.environ)
    _write(path, f"{os.getpid()} {child}")


def _write(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def _has_ended(mark: Path) -> bool:
    """Whether the process that has left its mark is gone."""
    try:
        os.kill(int(mark.read_text()), 0)
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return True
    return False


def install(folder: Path) -> dict[str, str]:
    """Register the engine as an installed package does, and return the environment that finds it."""
    information = folder / "evalkit_stand_in-1.0.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: evalkit-stand-in\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[evalkit.engines]\n{NAME} = stand_in_replica:StandIn\n")
    path = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def environments(folder: Path, orders: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """An environment for each replica, with what it is to do."""
    return [{**install(folder), VARIABLE: json.dumps(asdict(Orders(**each)))} for each in orders]
