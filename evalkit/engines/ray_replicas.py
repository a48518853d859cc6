"""Replicas on the nodes of a Ray cluster, pulling from the one queue. The cluster schedules, this process writes."""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evalkit
from evalkit.engines.replicas import LONGEST_LINE, REPLICA_COMMAND, SECONDS_TO_END, ReplicaPool
from evalkit.engines.threads import Emit, iterate_async
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Request
from evalkit.words import listed

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 2.0  # seconds between looks for free places on the cluster
_REMIND = 30.0  # seconds between lines that say what is waited for
_CONNECT_TIMEOUT = 10.0
_SECRET = 64  # characters
_LAST_WORDS = 2000
_MOST_FAILURES = 3  # replicas that may die one after another before they have completed anything
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class RayPlaces:
    """Where replicas go: the cluster's address ("auto" for the one of this machine), what each needs, how many.

    `most` None takes every free place, also of nodes that join later.
    """

    address: str
    gpus: int
    cpus: int = 1
    most: int | None = None

    @property
    def needs(self) -> dict[str, float]:
        return {"GPU": float(self.gpus), "CPU": float(self.cpus)} if self.gpus else {"CPU": float(self.cpus)}


def connect(address: str) -> Any:
    """The ray module, connected to the cluster. Raises EvalkitError if it is not installed or not reachable."""
    try:
        import ray
    except ImportError as error:
        raise EvalkitError("Ray is not installed.", 'pip install "evalkit[ray]".') from error
    if not ray.is_initialized():
        _require_listener(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False)
        except Exception as error:  # it raises ConnectionError, RuntimeError, ValueError and its own
            first = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise _no_cluster(address, first) from error
    return ray


def _require_listener(address: str) -> None:
    """Raises EvalkitError where nothing listens: Ray's own client would end this process."""
    host, _, port = address.rpartition(":")
    if address in ("auto", "local"):
        return
    if not host or not port.isdigit() or "/" in host:
        raise EvalkitError(
            f"{address} is not the address of a Ray cluster.", "give HOST:PORT, such as 10.0.0.1:6379, or auto."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, reason: str) -> EvalkitError:
    return EvalkitError(
        f"No Ray cluster answers at {address}: {reason}",
        "start one with `ray start --head` and give its address, such as --ray 10.0.0.1:6379.",
    )


def ray_setup(setup: Mapping[str, Any]) -> dict[str, Any]:
    """A replica's setup as another machine can use it: a folder by its absolute path."""
    model = setup["model"]
    return {**setup, "model": str(Path(model).resolve()) if Path(model).is_dir() else model}


def cluster_gpus(address: str) -> int:
    """The GPUs of the cluster's nodes together."""
    return int(connect(address).cluster_resources().get("GPU", 0))


def generate_on_ray(
    requests: Iterator[Request], setup: Mapping[str, Any], places: RayPlaces, facts: dict[str, Any]
) -> Iterator[Completion]:
    """Completions of replicas on a Ray cluster, as many as it has free places for.

    A node that dies returns its requests to the queue; a node that joins is used. `setup` and `facts` are as for
    `generate_in_replicas`. Raises EvalkitError where the cluster has no node for a replica or none could start,
    RunIncompleteError where replicas go on dying.
    """
    setup = ray_setup(setup)
    ray = connect(places.address)
    require_room(places.needs, [node["Resources"] for node in ray.nodes() if node["Alive"]])

    async def work(emit: Emit) -> None:
        pool = ReplicaPool(requests, setup, emit, facts)
        await _Manager(ray, pool, places).manage()

    return iterate_async(work)


def require_room(needs: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> None:
    """Raises EvalkitError where no node can hold a replica. `nodes` has the resources of each."""
    needed = listed(f"{amount:g} {name}" for name, amount in needs.items())
    total = {name: sum(node.get(name, 0) for node in nodes) for name in ("GPU", "CPU")}
    if any(total[name] < amount for name, amount in needs.items()):
        raise EvalkitError(
            f"A replica needs {needed}, and the whole cluster has {total['GPU']:g} GPU and {total['CPU']:g} CPU.",
            "add nodes, or lower --tensor-parallel.",
        )
    if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
        raise EvalkitError(
            f"A replica needs {needed} of one node, and the largest node has {largest.get('GPU', 0):g} GPU and "
            f"{largest.get('CPU', 0):g} CPU.",
            "lower --tensor-parallel; one replica across nodes is -E distributed_executor_backend=ray without --ray.",
        )


class _Manager:
    """Starts a replica wherever the cluster has a free place, until the queue is empty."""

    def __init__(self, ray: Any, pool: ReplicaPool, places: RayPlaces) -> None:
        self._ray = ray
        self._pool = pool
        self._places = places
        self._door = Door()
        self._host = ray.remote(num_cpus=places.cpus, num_gpus=places.gpus, max_restarts=0)(ReplicaHost)
        self._running: set[asyncio.Task[bool]] = set()
        self._started = self._starting = 0
        self._failures = 0

    async def manage(self) -> None:
        waited = 0.0
        await self._door.open(str(self._ray.util.get_node_ip_address()))
        try:
            while not self._pool.queue.finished():
                for _ in range(self._free_places()):
                    self._start()
                if self._running:
                    waited = 0.0
                else:
                    if waited % _REMIND == 0:
                        logger.warning("waiting for a free place on the cluster: %s", self._places.needs)
                    waited += _LOOK_AGAIN
                await self._wait()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            self._door.close()

    def _free_places(self) -> int:
        """How many replicas may be started now. Those that start may already be counted by the cluster, or not yet."""
        if self._pool.queue.drawn:
            return 0
        free = self._ray.available_resources()
        places = min(int(free.get(name, 0) // amount) for name, amount in self._places.needs.items()) - self._starting
        most = self._places.most
        return max(places if most is None else min(places, most - len(self._running)), 0)

    def _start(self) -> None:
        self._started += 1
        self._starting += 1
        self._running.add(asyncio.create_task(self._run(self._started)))
        self._pool.facts["replicas"] = max(self._pool.facts.get("replicas", 0), len(self._running))
        self._pool.facts["gpus"] = self._pool.facts["replicas"] * self._places.gpus

    async def _run(self, number: int) -> bool:
        """Whether the replica completed anything."""
        replica = RayReplica(self._ray, self._host.remote(), number, self._door)
        answered = self._pool.queue.answered
        try:
            if not await replica.start():
                return False
        except (ConnectionError, asyncio.CancelledError):
            await replica.end()
            raise
        finally:
            self._starting -= 1
        await self._pool.run(replica)
        return self._pool.queue.answered > answered

    async def _wait(self) -> None:
        """Until a replica has ended, or it is time to look for places again."""
        if not self._running:
            await asyncio.sleep(_LOOK_AGAIN)
            return
        ended, self._running = await asyncio.wait(
            self._running, timeout=_LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED
        )
        for task in ended:
            useful = False
            with contextlib.suppress(ConnectionError):
                useful = task.result()
            self._failures = 0 if useful else self._failures + 1
        if self._pool.queue.finished():
            return
        if self._pool.refusals and not self._running:
            raise self._pool.refusals[0]
        if self._failures >= _MOST_FAILURES:
            raise RunIncompleteError(
                f"{self._failures} replicas in a row have died before they completed anything.",
                "finished work is kept: see what they wrote above, then run the same command again.",
            )


class Door:
    """Where replicas connect to. Each shows the secret that its actor was given; whoever has none is shut out."""

    def __init__(self) -> None:
        self.address = ("", 0)
        self._server: asyncio.Server | None = None
        self._expected: dict[str, asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def open(self, host: str) -> None:
        self._server = await asyncio.start_server(self._greet, host, 0, limit=LONGEST_LINE)
        self.address = host, self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def expect(self) -> "tuple[str, asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]":
        """A new secret, and the connection of who will show it."""
        secret = secrets.token_hex(_SECRET // 2)
        self._expected[secret] = asyncio.get_running_loop().create_future()
        return secret, self._expected[secret]

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = b""
        with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, OSError):
            shown = await asyncio.wait_for(reader.readexactly(_SECRET), _CONNECT_TIMEOUT)
        expected = self._expected.pop(shown.decode("latin-1"), None)
        if expected is None or expected.done():
            writer.close()
        else:
            expected.set_result((reader, writer))


class RayReplica:
    """A replica below a Ray actor. The cluster places it and tells of its death; its lines come by a socket."""

    def __init__(self, ray: Any, actor: Any, number: int, door: Door) -> None:
        self.name = f"replica {number} on the cluster"
        self._ray = ray
        self._actor = actor
        self._number = number
        self._door = door
        self._gone: asyncio.Future[Any] | None = None

    async def start(self) -> bool:
        """Start the process on the actor's node. False where that node has another version of evalkit."""
        node, version = await self._call(self._actor.about.remote())
        self.name = f"replica {self._number} on node {node}"
        if version != evalkit.__version__:
            logger.warning("%s has evalkit %s, not %s: it is not used", self.name, version, evalkit.__version__)
            return False
        secret, connected = self._door.expect()
        await self._call(self._actor.start.remote(*self._door.address, secret))
        try:
            self._reader, self._writer = await asyncio.wait_for(connected, _CONNECT_TIMEOUT)
        except TimeoutError:
            raise ConnectionResetError("its connection did not come through") from None
        self._gone = asyncio.ensure_future(self._call(self._actor.wait.remote()))
        self._gone.add_done_callback(self._cut)
        logger.info("%s has started", self.name)
        return True

    def _cut(self, gone: "asyncio.Future[Any]") -> None:
        """A node without power says nothing on its sockets: the cluster finds out."""
        if gone.cancelled() or gone.exception() is not None:
            self._writer.transport.abort()

    def send(self, content: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(content).encode() + b"\n")

    async def flush(self) -> None:
        await self._writer.drain()

    async def receive(self) -> bytes:
        return await self._reader.readline()

    def finish(self) -> None:
        if not self._writer.is_closing():
            self._writer.write_eof()

    async def end(self) -> None:
        try:
            if self._gone is not None:
                self.finish()
            with contextlib.suppress(ConnectionError, TimeoutError):
                said = await asyncio.wait_for(self._call(self._actor.end.remote()), 2 * SECONDS_TO_END)
                if said:
                    logger.warning("%s wrote at its end: %s", self.name, said)
        finally:  # also where nobody waits any longer
            if self._gone is not None:
                self._gone.cancel()
                self._writer.close()  # not earlier: what it is writing would break off with an error of its own
            self._ray.kill(self._actor)

    async def _call(self, reference: Awaitable[Any]) -> Any:
        try:
            return await reference
        except self._ray.exceptions.RayTaskError as error:
            logger.warning("%s: %s", self.name, str(error).strip().splitlines()[-1])
            raise ConnectionResetError(str(error)) from error
        except self._ray.exceptions.RayError as error:
            raise ConnectionResetError(str(error)) from error


class ReplicaHost:
    """The actor: one replica process on its node, with the GPUs that Ray gave the actor."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._written = Path(tempfile.mkdtemp(prefix="evalkit-replica-")) / "stderr"

    async def about(self) -> tuple[str, str]:
        """The node's address, and evalkit's version there."""
        import ray

        return str(ray.util.get_node_ip_address()), evalkit.__version__  # type: ignore[no-untyped-call]

    async def start(self, host: str, port: int, secret: str) -> None:
        """Start the process; its stdin and stdout are a socket to the process that runs evalkit."""
        try:
            connection = socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT)
        except OSError as error:
            raise ConnectionError(f"it cannot reach {host}:{port}, where evalkit runs: {error}") from error
        with connection, self._written.open("wb") as stderr:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(secret.encode())
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *REPLICA_COMMAND[1:],
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=stderr,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    async def wait(self) -> None:
        """Until the process has ended."""
        assert self._process is not None
        await self._process.wait()

    async def end(self) -> str:
        """End the process and what it has started, and return its last lines on stderr if it had failed."""
        if self._process is None:
            return ""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = await self._process.wait()
        written = self._written.read_bytes()[-_LAST_WORDS:].decode(errors="replace")
        self._written.unlink()
        self._written.parent.rmdir()
        return "" if code == 0 else written.strip()


def _die_with_parent() -> None:
    """Linux: the process is killed when the actor's is, however that ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
