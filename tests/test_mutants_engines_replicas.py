"""Replicas behind one queue, here and on a Ray cluster: what is sent, what is believed, and what is told.

Replicas are in this process and speak by lines, as processes do; the cluster is a stand-in with Ray's few calls.
"""

import asyncio
import io
import json
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stand_in_replica import answer

import evalkit
from evalkit.engines import ray_replicas, replica, replicas
from evalkit.engines.options import TransformersOptions
from evalkit.engines.pending import PendingRequests
from evalkit.engines.ray_replicas import (
    RayPlaces,
    ReplicaHost,
    cluster_gpus,
    connect,
    generate_on_ray,
    ray_setup,
    require_room,
)
from evalkit.engines.replica import Inbox, Outlet, request_of, serve
from evalkit.engines.replicas import ReplicaPool, SharedQueue, replica_environments, replica_setup
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request, SamplingParams

SETUP: dict[str, Any] = {"engine": "e", "model": "none", "options": {}, "reserved": None}


def asked(count: int, **params: Any) -> list[Request]:
    sampling = SamplingParams(max_tokens=64, **params)
    return [Request("t", f"problem-{i}", i, ({"role": "user", "content": f"{i}?"},), sampling) for i in range(count)]


def keys(completions: list[Completion]) -> list[str]:
    return sorted(completion.problem_id for completion in completions)


# What is told to replicas


def test_the_gpus_and_the_setup_of_each_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.engines.replicas.processors", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert replica_environments(2, 1, []) == [{"OMP_NUM_THREADS": "3"}] * 2, "they share the processors"
    assert replica_environments(9, 1, []) == [{"OMP_NUM_THREADS": "1"}] * 9
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert replica_environments(2, 1, []) == [{"OMP_NUM_THREADS": "5"}] * 2, "as the user says"
    assert replica_environments(2, 2, ["3", "GPU-a", "5", "6", "7"]) == [
        {"CUDA_VISIBLE_DEVICES": "3,GPU-a"},
        {"CUDA_VISIBLE_DEVICES": "5,6"},
    ]
    checkpoint: Any = SimpleNamespace(model="org/m", commit="c0ffee")
    adapter: Any = SimpleNamespace(pinned_name="org/a@1")
    options = TransformersOptions(data_parallel=4, ray="auto", revision="main", lora="org/a", batch_size=3)
    setup = replica_setup("transformers", checkpoint, adapter, options, 512)
    assert (setup["engine"], setup["model"], setup["reserved"]) == ("transformers", "org/m", 512)
    changed = {"data_parallel": 1, "ray": None, "revision": "c0ffee", "lora": "org/a@1"}
    assert setup["options"] == {**asdict(options), **changed}
    assert replica_setup("e", checkpoint, None, options, None)["options"]["lora"] is None


# A queue that several share


def test_what_is_out_is_counted_and_comes_back() -> None:
    async def main() -> None:
        requests = asked(3)
        queue = SharedQueue(PendingRequests(iter(requests)))
        change = queue.next_change()
        first, second = queue.draw(), queue.draw()
        assert (first, second) == (requests[0], requests[1])
        assert not change.is_set(), "drawing is nothing to wait for"
        assert (queue.drawn, queue.finished(), queue.answered) == (False, False, 0)
        queue.ended()
        assert change.is_set()
        assert queue.answered == 1
        assert queue.draw() == requests[2]
        assert queue.draw() is None
        assert (queue.drawn, queue.finished()) == (True, False)
        change = queue.next_change()
        queue.put_back([requests[1]])
        assert change.is_set()
        assert (queue.drawn, queue.finished()) == (False, False)
        assert queue.draw() == requests[1]
        assert queue.draw() is None
        queue.ended()
        queue.put_back([])
        assert queue.drawn, "nothing came back"
        waiting = asyncio.ensure_future(queue.until_finished())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.ended()
        await asyncio.wait_for(waiting, 5)
        assert (queue.finished(), queue.answered) == (True, 3)
        empty = SharedQueue(PendingRequests(iter(())))
        change = empty.next_change()
        assert empty.draw() is None
        assert change.is_set(), "who waits for the end is told"
        assert empty.finished()

    asyncio.run(main())


# Replicas in this process


@dataclass
class Spoken:
    """A replica that answers as `replies` says; it keeps what it was sent."""

    replies: Callable[[dict[str, Any]], list[bytes]]
    first: bytes = b'{"room": 2, "facts": {"device": "x"}}\n'
    name: str = "replica 7"
    sent: list[dict[str, Any]] = field(default_factory=list)
    most: int = 0
    finished: bool = False
    ended: int = 0
    _lines: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    _out: int = 0

    def send(self, content: Mapping[str, Any]) -> None:
        self.sent.append(json.loads(json.dumps(content)))
        if len(self.sent) == 1:
            self._lines.put_nowait(self.first)
            return
        self._out += 1
        self.most = max(self.most, self._out)
        for line in self.replies(dict(content)):
            self._lines.put_nowait(line)

    async def flush(self) -> None:
        await asyncio.sleep(0)

    async def receive(self) -> bytes:
        line = await self._lines.get()
        self._out -= line.startswith(b'{"task"')
        return line

    def finish(self) -> None:
        self.finished = True
        self._lines.put_nowait(b"")

    async def end(self) -> None:
        self.ended += 1


def said(completion: Completion) -> bytes:
    return json.dumps(asdict(completion)).encode() + b"\n"


def right(record: dict[str, Any]) -> list[bytes]:
    return [said(answer(request_of(record)))]


def pooled(
    requests: list[Request], *spoken: Callable[[], Spoken]
) -> tuple[list[Completion], ReplicaPool, list[Spoken]]:
    found: list[Completion] = []

    async def main() -> tuple[ReplicaPool, list[Spoken]]:
        pool = ReplicaPool(iter(requests), SETUP, found.append, {"old": 1})
        made = [each() for each in spoken]
        for one in made:
            await asyncio.wait_for(pool.run(one), 20)
        return pool, made

    pool, made = asyncio.run(main())
    return found, pool, made


def test_a_replica_is_sent_the_setup_and_each_request_once_and_is_ended() -> None:
    requests = asked(5, stop=("a", "b"), top_k=3)
    found, pool, [one] = pooled(requests, lambda: Spoken(right))
    assert found == [answer(request) for request in requests]
    assert one.sent[0] == SETUP
    assert [request_of(record) for record in one.sent[1:]] == requests
    assert (one.finished, one.ended, one.most) == (True, 1, 2), "no more at once than it has room for"
    assert pool.facts == {"old": 1, "device": "x"}
    assert (pool.refusals, pool.queue.answered) == ([], 5)
    pool.require_finished(1)
    found, pool, [one] = pooled([], lambda: Spoken(right))
    assert (found, one.finished, one.ended) == ([], True, 1)


def test_room_that_a_replica_tells_later_counts() -> None:
    more = b'{"room": 5}\n'
    found, _, [one] = pooled(asked(12), lambda: Spoken(lambda record: [more, *right(record)]))
    assert len(found) == 12
    assert one.most == 5


def test_what_nobody_asked_is_not_emitted() -> None:
    other = said(Completion("t", "another", 0, "x", "stop", 1, 1, 0.0))
    found, pool, _ = pooled(asked(3), lambda: Spoken(lambda record: [other, *right(record), *right(record)]))
    assert keys(found) == ["problem-0", "problem-1", "problem-2"]
    assert pool.queue.answered == 3


def broken(record: dict[str, Any]) -> list[bytes]:
    raise BrokenPipeError("gone")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Spoken(broken), "has ended early"),
        (lambda: Spoken(lambda record: [b""]), "has ended early"),
        (lambda: Spoken(lambda record: [said(answer(request_of(record)))[:-9]]), "has ended early"),
        (lambda: Spoken(right, first=b'{"room": 2}'), "has ended early"),
        (lambda: Spoken(lambda record: [b"\x1b[2J loading\n"]), "has sent what is no reply (\\x1b[2J loading)"),
        (lambda: Spoken(lambda record: [b"[" + b"1" * 90 + b"\n"]), f"has sent what is no reply ([{'1' * 79})"),
        (lambda: Spoken(right, first=b"[1]\n"), "has sent what is no reply ([1])"),
        (lambda: Spoken(right, first=b'{"room": 0}\n'), 'has sent what is no reply ({"room": 0})'),
        (lambda: Spoken(right, first=b'{"room": "2"}\n'), 'has sent what is no reply ({"room": "2"})'),
        (lambda: Spoken(right, first=b"{}\n"), "has sent what is no reply ({})"),
        (lambda: Spoken(lambda record: [b'{"text": 1}\n']), 'has sent what is no reply ({"text": 1})'),
        (lambda: Spoken(right, first=b'{"refused": "No weights.", "hint": "h"}\n'), "cannot be started: No weights."),
    ],
)
def test_what_a_replica_leaves_another_answers(
    make: Callable[[], Spoken], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    requests = asked(3)
    found, pool, [one, other] = pooled(requests, make, lambda: Spoken(right))
    assert keys(found) == [request.problem_id for request in requests]
    assert (one.ended, other.ended) == (1, 1)
    [message] = [record.getMessage() for record in caplog.records]
    out = min(len(one.sent) - 1, 2)
    assert message == f"replica 7 {told}; {out} requests go back to the queue"
    assert pool.queue.finished()


def test_where_none_has_answered_all_the_reason_is_the_first_refusal_or_that_they_died() -> None:
    def refusing(words: str) -> Callable[[], Spoken]:
        return lambda: Spoken(right, first=json.dumps({"refused": words}).encode() + b"\n")

    found, pool, _ = pooled(asked(2), refusing("one."), refusing("two."))
    assert found == []
    with pytest.raises(EvalkitError) as caught:
        pool.require_finished(2)
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == ("one.", "", 2)
    with pytest.raises(RunIncompleteError, match="Every replica of the engine has died"):
        pool.require_finished(3)


def test_the_last_replica_may_die_when_everything_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    requests = asked(1)
    found, pool, _ = pooled(requests, lambda: Spoken(lambda record: [*right(record), b""]))
    assert (len(found), caplog.text) == (1, "")
    pool.require_finished(1)


# A replica's own side


def test_requests_pass_whole() -> None:
    [request] = asked(1, stop=("x", "y"), top_k=4, seed=9)
    record = json.loads(json.dumps(asdict(request)))
    assert request_of(record) == request
    assert request_of(record).seed == request.seed


def test_what_a_replica_is_told_comes_in_order_until_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "_SECONDS_FOR_COMPANY", 0.0)
    requests = asked(2)
    lines = "".join(json.dumps(asdict(request)) + "\n" for request in requests)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines + '{"half'))
    inbox = Inbox()
    assert inbox.draw(wait=False) is None, "none is there yet"
    inbox.read()
    assert [inbox.draw(wait=True) for _ in range(4)] == [*requests, None, None]
    assert inbox.draw(wait=False) is None
    broken = Inbox()
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n"))
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    broken.read()
    assert broken.draw(wait=True) is None, "who cannot read on ends"


def test_what_a_replica_tells(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
    outlet = Outlet(descriptor)
    outlet.ready(4, {"device": "cpu"})
    outlet.room(4)
    outlet.room(6)
    outlet.room(6)
    outlet.room(4)
    completion = Completion("t", "p", 1, "text", "error", 3, None, 0.5, "<think>\n", "why")
    outlet.answer(completion)
    outlet.refuse(EvalkitError("It is torn.", "mend it."))
    os.close(descriptor)
    assert [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()] == [
        {"room": 4, "facts": {"device": "cpu"}},
        {"room": 6},
        {"room": 4},
        asdict(completion),
        {"refused": "It is torn.", "hint": "mend it."},
    ]


@pytest.mark.parametrize(("reserved", "refuse"), [(None, False), (77, False), (0, True)])
def test_a_replica_makes_the_engine_that_it_is_told(
    reserved: int | None, refuse: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Served:
        options_class = TransformersOptions

        def __init__(self, model: str, options: Any) -> None:
            made.append((model, options))

        def reserve(self, tokens: int) -> None:
            made.append(tokens)

        def serve_replica(self, inbox: Inbox, outlet: Outlet) -> None:
            if refuse:
                raise EvalkitError("It is torn.", "mend it.")
            outlet.ready(1, {})
            made.append(inbox.draw(wait=True))

    [request] = asked(1)
    setup = {"engine": "e", "model": "m", "options": {"batch_size": 3}, "reserved": reserved}

    def known(name: str) -> type[Served]:
        made.append(name)
        return Served

    monkeypatch.setattr(replica, "engine_class", known)
    monkeypatch.setattr(replica, "_SECONDS_FOR_COMPANY", 0.0)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(setup) + "\n" + json.dumps(asdict(request)) + "\n"))
    descriptor = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
    serve(Outlet(descriptor))
    os.close(descriptor)
    told = [] if reserved is None else [reserved]
    assert made == ["e", ("m", TransformersOptions(batch_size=3)), *told, *([] if refuse else [request])]
    wanted = {"refused": "It is torn.", "hint": "mend it."} if refuse else {"room": 1, "facts": {}}
    assert json.loads((tmp_path / "out").read_text()) == wanted


# A cluster


def test_what_a_replica_needs_of_the_cluster() -> None:
    assert RayPlaces("auto", 0).needs == {"CPU": 1.0}
    assert RayPlaces("auto", 2, 3).needs == {"GPU": 2.0, "CPU": 3.0}
    require_room({"CPU": 4.0}, [{"CPU": 4.0}])
    require_room({"GPU": 1.0, "CPU": 1.0}, [{"CPU": 4.0}, {"GPU": 1.0, "CPU": 1.0}])
    with pytest.raises(EvalkitError) as caught:
        require_room({"GPU": 3.0, "CPU": 1.0}, [{"CPU": 4.0}, {"GPU": 2.0, "CPU": 1.5}])
    assert caught.value.message == "A replica needs 3 GPU and 1 CPU, and the whole cluster has 2 GPU and 5.5 CPU."
    with pytest.raises(EvalkitError) as caught:
        require_room({"GPU": 1.0, "CPU": 2.0}, [{"CPU": 4.0}, {"GPU": 1.0, "CPU": 1.0}, {"GPU": 1.0}])
    assert caught.value.message == (
        "A replica needs 1 GPU and 2 CPU of one node, and the largest node has 1 GPU and 1 CPU."
    )
    with pytest.raises(EvalkitError, match="the whole cluster has 0 GPU and 0 CPU"):
        require_room({"CPU": 1.0}, [])


def test_a_folder_is_named_so_that_other_machines_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path)
    assert ray_setup({**SETUP, "model": "m"}) == {**SETUP, "model": str(tmp_path / "m")}
    assert ray_setup({**SETUP, "model": "org/m"}) == {**SETUP, "model": "org/m"}


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class Node:
    """An actor in this process: it connects to the door and answers what comes there."""

    version = evalkit.__version__
    fault: Exception | None = None
    last_words = ""
    answers = 1000
    refuses = False
    comes = True

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.tasks: list[Any] = []

    async def about(self) -> tuple[str, str]:
        return "10.0.0.7", self.version

    async def start(self, host: str, port: int, secret: str) -> None:
        if self.fault is not None:
            raise self.fault
        if self.comes:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(secret.encode())
            self.tasks.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not (setup := await reader.readline()):
            return
        self.seen.append(json.loads(setup))
        ready: dict[str, Any] = {"refused": "It is torn."} if self.refuses else {"room": 1, "facts": {"device": "d"}}
        writer.write(json.dumps(ready).encode() + b"\n")
        while (line := await reader.readline()) and len(self.seen) <= self.answers:
            self.seen.append(json.loads(line))
            writer.write(said(answer(request_of(json.loads(line)))))
        writer.close()
        self.gone.set()

    async def wait(self) -> None:
        await self.gone.wait()

    async def end(self) -> str:
        return self.last_words


class Handle:
    """An actor as who has made it sees it."""


class Cluster:
    """Ray's few calls, over nodes of this process; `free` has the resources at each look, the last one for good."""

    def __init__(self, kinds: list[type[Node]], free: list[dict[str, float]]) -> None:
        self.kinds, self.free = kinds, free
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")
        self.actors: list[Node] = []
        self.killed: list[int] = []
        self.used: set[int] = set()
        self.asked: list[dict[str, Any]] = []
        self.begun: list[dict[str, Any]] = []
        self.running = True
        self.init_error: Exception | None = None

    def is_initialized(self) -> bool:
        return self.running

    def init(self, **arguments: Any) -> None:
        self.begun.append(arguments)
        if self.init_error:
            raise self.init_error

    def nodes(self) -> list[dict[str, Any]]:
        alive = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}}
        return [alive, {"Alive": False, "Resources": {"CPU": 400.0, "GPU": 200.0}}]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": 2.0}

    def available_resources(self) -> dict[str, float]:
        there = self.free.pop(0) if len(self.free) > 1 else self.free[0]
        needs = {"CPU": self.asked[-1]["num_cpus"], "GPU": self.asked[-1]["num_gpus"]}
        return {name: amount - len(self.used) * needs[name] for name, amount in there.items()}

    def remote(self, **needs: Any) -> Callable[[type[Any]], Any]:
        self.asked.append(needs)

        def made(host: type[Any]) -> Any:
            assert host is ReplicaHost
            return SimpleNamespace(remote=self._actor)

        return made

    def _actor(self) -> Any:
        node = self.kinds.pop(0)() if len(self.kinds) > 1 else self.kinds[0]()
        self.actors.append(node)
        members = ("about", "start", "wait", "end")
        made = Handle()
        made.__dict__ |= {name: SimpleNamespace(remote=getattr(node, name)) for name in members}
        self.used.add(id(made))
        weakref.finalize(made, self.used.discard, id(made))  # an actor ends with its handle
        return made

    def kill(self, actor: Any) -> None:
        self.killed.append(id(actor))
        self.used.discard(id(actor))


@pytest.fixture
def clustered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    monkeypatch.setattr(ray_replicas, "_LOOK_AGAIN", 0.01)
    monkeypatch.setattr(ray_replicas, "_REMIND", 0.04)

    def make(kinds: list[type[Node]], *free: dict[str, float]) -> Cluster:
        cluster = Cluster(kinds, list(free) or [{"CPU": 2.0, "GPU": 2.0}])
        monkeypatch.setitem(sys.modules, "ray", cluster)
        return cluster

    return make


def on_ray(requests: list[Request], places: RayPlaces, facts: dict[str, Any] | None = None) -> list[Completion]:
    return list(generate_on_ray(iter(requests), SETUP, places, {} if facts is None else facts))


def test_replicas_run_where_the_cluster_has_places(clustered: Callable[..., Cluster]) -> None:
    requests = asked(9)
    facts: dict[str, Any] = {"replicas": 1}
    cluster = clustered([Node])
    found = on_ray(requests, RayPlaces("auto", 1), facts)
    assert keys(found) == sorted(request.problem_id for request in requests)
    assert cluster.asked == [{"num_cpus": 1, "num_gpus": 1, "max_restarts": 0}]
    assert facts == {"replicas": 2, "gpus": 2, "device": "d"}
    assert len(cluster.actors) == len(cluster.killed) == 2
    assert [node.seen[0] for node in cluster.actors] == [SETUP, SETUP]
    assert sum(len(node.seen) - 1 for node in cluster.actors) == 9
    alone = clustered([Node])
    facts = {}
    assert len(on_ray(requests, RayPlaces("auto", 0, most=1), facts)) == 9
    assert (len(alone.actors), facts) == (1, {"replicas": 1, "gpus": 0, "device": "d"})
    with pytest.raises(EvalkitError, match="the whole cluster has 2 GPU and 4 CPU"):
        on_ray(requests, RayPlaces("auto", 3))


def test_places_that_are_free_later_are_waited_for(
    clustered: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
) -> None:
    nothing: dict[str, float] = {"CPU": 0.5}
    cluster = clustered([Node], *[nothing] * 6, {"CPU": 1.9})
    assert len(on_ray(asked(2), RayPlaces("auto", 0))) == 2
    assert len(cluster.actors) == 1
    told = [record.getMessage() for record in caplog.records]
    assert told == ["waiting for a free place on the cluster: {'CPU': 1.0}"] * 2, "at first, and again after a while"


def test_a_node_with_another_version_is_not_used(
    clustered: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
) -> None:
    class Old(Node):
        version = "0.0.1"

    cluster = clustered([Old, Node], {"CPU": 1.0})
    assert len(on_ray(asked(2), RayPlaces("auto", 0, most=1))) == 2
    assert caplog.messages == [
        f"replica 1 on node 10.0.0.7 has evalkit 0.0.1, not {evalkit.__version__}: it is not used"
    ]
    assert [len(node.seen) for node in cluster.actors] == [0, 3]


class Dying(Node):
    answers = 0
    last_words = "out of memory"


def test_replicas_that_die_one_after_another_end_the_run(
    clustered: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
) -> None:
    cluster = clustered([Dying], {"CPU": 1.0})
    with pytest.raises(RunIncompleteError) as caught:
        on_ray(asked(2), RayPlaces("auto", 0, most=1))
    assert caught.value.message == "3 replicas in a row have died before they completed anything."
    assert len(cluster.actors) == len(cluster.killed) == 3
    told = "replica 2 on node 10.0.0.7"
    assert f"{told} has ended early; 1 requests go back to the queue" in caplog.messages
    assert f"{told} wrote at its end: out of memory" in caplog.messages


def test_a_replica_that_has_answered_is_no_failure(clustered: Callable[..., Cluster]) -> None:
    class Tired(Node):
        answers = 1

    cluster = clustered([Tired], {"CPU": 1.0})
    assert len(on_ray(asked(5), RayPlaces("auto", 0, most=1))) == 5
    assert len(cluster.actors) == 5


def test_a_checkpoint_that_no_replica_takes_is_told_at_once(clustered: Callable[..., Cluster]) -> None:
    class Refusing(Node):
        refuses = True

    cluster = clustered([Refusing], {"CPU": 1.0})
    with pytest.raises(EvalkitError, match=r"It is torn\.") as caught:
        on_ray(asked(2), RayPlaces("auto", 0, most=1))
    assert caught.value.exit_code == 2
    assert len(cluster.actors) == 1


def test_faults_of_the_cluster_are_replicas_that_died(
    clustered: Callable[..., Cluster], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Node):
        fault: Exception | None = RayTaskError("Traceback\nConnectionError: it cannot reach us\n")

    class Lost(Node):
        fault: Exception | None = RayError("the node is gone")

    class Absent(Node):
        comes = False

    monkeypatch.setattr(ray_replicas, "_CONNECT_TIMEOUT", 0.05)
    cluster = clustered([Failing, Lost, Absent, Node], {"CPU": 1.0})
    with pytest.raises(RunIncompleteError, match="3 replicas in a row"):
        on_ray(asked(2), RayPlaces("auto", 0, most=1))
    assert len(cluster.actors) == len(cluster.killed) == 3
    assert "replica 1 on node 10.0.0.7: ConnectionError: it cannot reach us" in caplog.messages
    cluster = clustered([Failing, Lost, Node], {"CPU": 1.0})
    assert len(on_ray(asked(2), RayPlaces("auto", 0, most=1))) == 2


def test_a_cluster_that_does_not_answer_is_one_sentence(
    clustered: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = clustered([Node])
    assert cluster_gpus("auto") == 2
    assert connect("anything") is cluster
    assert cluster.begun == []
    cluster.running = False
    assert connect("auto") is cluster
    [begun] = cluster.begun
    assert (begun["address"], begun["log_to_driver"], begun["configure_logging"]) == ("auto", False, False)
    for error, said_of_it in ((RuntimeError("first\nsecond"), "first"), (RuntimeError(), "RuntimeError")):
        cluster.init_error = error
        with pytest.raises(EvalkitError) as caught:
            connect("local")
        assert caught.value.message == f"No Ray cluster answers at local: {said_of_it}"
    for address in ("here", "here:port", ":6379", "http://here:6379"):
        with pytest.raises(EvalkitError) as caught:
            connect(address)
        assert caught.value.message == f"{address} is not the address of a Ray cluster."
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        cluster.init_error = None
        assert connect(f"127.0.0.1:{port}") is cluster
    count = len(cluster.begun)
    for address in (f"127.0.0.1:{port}", "127.0.0.1:99999"):
        with pytest.raises(EvalkitError, match=f"No Ray cluster answers at {address}: "):
            connect(address)
    assert len(cluster.begun) == count, "Ray's client, which would end this process, is not asked"
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EvalkitError) as caught:
        connect("auto")
    assert (caught.value.message, caught.value.hint) == ("Ray is not installed.", 'pip install "evalkit[ray]".')


# The actor's process

ECHO = (
    "import sys; print(sys.stdin.readline().upper(), end='', flush=True); print('last', file=sys.stderr); sys.exit({})"
)


def hosted(code: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes, str, Path]:
    """What a process on a node shows and says by its socket, what `end` returns, and where its words were kept."""
    monkeypatch.setattr(ray_replicas, "REPLICA_COMMAND", ("python", "-c", code))

    async def main() -> tuple[bytes, bytes, str, Path]:
        host = ReplicaHost()
        assert await host.end() == "", "nothing was started"
        met: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        door = await asyncio.start_server(lambda r, w: met.set_result((r, w)), "127.0.0.1", 0)
        await host.start("127.0.0.1", door.sockets[0].getsockname()[1], "s" * 64)
        reader, writer = await met
        secret = await reader.readexactly(64)
        writer.write(b"hello\n")
        line = await reader.readline()
        if "sleep" not in code:
            await host.wait()
        words = await host.end()
        writer.close()
        door.close()
        return secret, line, words, host._written

    return asyncio.run(main())


def test_the_process_of_an_actor_speaks_by_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, line, words, written = hosted(ECHO.format(0), monkeypatch)
    assert (secret, line, words) == (b"s" * 64, b"HELLO\n", "")
    assert not written.exists()
    assert not written.parent.exists()
    assert hosted(ECHO.format(3), monkeypatch)[2] == "last"


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_replicas, "SECONDS_TO_END", 0.05)
    code = "import sys, time; print('on', flush=True); print('busy', file=sys.stderr, flush=True); time.sleep(600)"
    _, line, words, _ = hosted(code, monkeypatch)
    assert (line, words) == (b"on\n", "busy")


def test_a_node_that_cannot_reach_the_run_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"it cannot reach 127.0.0.1:{port}, where evalkit runs: "):
        asyncio.run(ReplicaHost().start("127.0.0.1", port, "s"))


def test_a_local_replica_is_a_process_with_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; print(os.environ['OWN'] + sys.stdin.readline().strip(), flush=True); sys.stdin.read()"
    monkeypatch.setattr(replicas, "REPLICA_COMMAND", (sys.executable, "-c", code))

    async def main() -> None:
        one = await replicas.LocalReplica.start(3, {"OWN": "mine "})
        assert one.name == "replica 3"
        one.send({"a": 1})
        await one.flush()
        assert await one.receive() == b'mine {"a": 1}\n'
        one.finish()
        assert await one.receive() == b""
        await one.end()
        assert one._process.returncode == 0

    asyncio.run(main())
