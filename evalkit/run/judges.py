"""Programs are judged on the nodes of a Ray cluster: an actor on each, the same sandbox there, or no judging there."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import evalkit
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task
from evalkit.engines.ray_replicas import connect
from evalkit.errors import EvalkitError
from evalkit.run.scoring import grader_name, prepare_worker, score_in_worker, worker_tasks
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 3.0  # seconds between looks for nodes that have joined
_REMIND = 30.0  # seconds between lines that say what is waited for
_WAIT_FOR_NODES = 60.0  # seconds without any node that judges, after which programs are errors
_MOST_DEATHS = 3  # judges of one node that may die before it is left alone
_ATTEMPTS = 2  # nodes that may die under one program
_START_SECONDS = 120.0
_SECONDS_TO_END = 10.0


class NoJudgeError(WorkerCallError):
    """No node of the cluster judges any more."""


@dataclass(slots=True)
class _Node:
    """A node of the cluster and the actor that judges there."""

    key: str
    address: str
    actor: Any
    places: int


class RayJudges:
    """Judges programs on every node of a Ray cluster that can isolate them. Thread-safe.

    With `beside_replicas` half of a node's processors are left for replicas. Nodes that join are used; a node that dies
    leaves its programs to the others.
    """

    def __init__(self, address: str, tasks: Sequence[tuple[TaskSpec, Task]], beside_replicas: bool) -> None:
        self.tasks = frozenset(task.name for _, task in tasks)
        self._ray = connect(address)
        self._specs = [asdict(spec) for spec, _ in tasks]
        self._facts = machine_facts([(task, spec) for spec, task in tasks])
        self._divisor = 2 if beside_replicas else 1
        self._changed = threading.Condition()
        self._nodes: dict[str, _Node | None] = {}  # None: it is starting
        self._free: list[_Node] = []
        self._refusals: dict[str, str] = {}
        self._deaths: dict[str, int] = {}
        self._alone_since = time.monotonic()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._starting: dict[str, Any] = {}  # the actors

    def open(self) -> None:
        """Wait until a node judges. Raises EvalkitError where none can."""
        self._look()
        waited = 0.0
        with self._changed:
            if not self._nodes and not self._refusals:
                raise EvalkitError(
                    "The Ray cluster has no node with processors, so it judges no programs.",
                    "add nodes, or leave --judge-on out.",
                )
            self._in_background(self._go_on_looking)
            while not self._free:
                if self._refusals and not self._nodes:
                    raise EvalkitError(
                        f"No node of the Ray cluster can judge programs: {next(iter(self._refusals.values()))}",
                        "`evalkit doctor` on a node shows what its sandbox lacks; without --judge-on this machine "
                        "judges.",
                    )
                if not self._changed.wait(_LOOK_AGAIN):
                    waited += _LOOK_AGAIN
                    if waited % _REMIND == 0:
                        logger.warning("waiting for a node with free processors to judge programs")

    def call(self, payload: Mapping[str, Any], timeout: float) -> Any:
        """As `WorkerPool.call`, on some node. Raises NoJudgeError where none is left."""
        for _ in range(_ATTEMPTS):
            node = self._take()
            try:
                reply = self._ray.get(node.actor.call.remote(dict(payload), timeout))
            except self._ray.exceptions.RayError as error:
                self._lose(node, error)
                continue
            with self._changed:
                self._free.append(node)
                self._changed.notify()
            if "timeout" in reply:
                raise WorkerTimeoutError(reply["timeout"])
            if "died" in reply:
                raise WorkerDiedError(reply["died"])
            if "error" in reply:
                raise WorkerCallError(reply["error"])
            return reply["result"]
        raise WorkerDiedError(f"{_ATTEMPTS} nodes have died while they judged this program")

    def close(self) -> None:
        """End the judges of all nodes, and what looks for more: Ray ends a process that calls it at its end."""
        with self._changed:
            self._closing.set()
            actors = [*self._starting.values(), *(node.actor for node in self._nodes.values() if node is not None)]
            self._nodes.clear()
            self._free.clear()
            self._changed.notify_all()
        for actor in actors:
            self._ray.kill(actor)
        for thread in self._threads:
            thread.join(_SECONDS_TO_END)

    def _in_background(self, work: Callable[..., None], *arguments: object) -> None:
        """The lock is held."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=work, args=arguments, name="judges", daemon=True))
        self._threads[-1].start()

    def _take(self) -> _Node:
        with self._changed:
            while not self._free:
                alone = not self._nodes and time.monotonic() - self._alone_since > _WAIT_FOR_NODES
                if self._closing.is_set() or alone:
                    raise NoJudgeError("no node of the Ray cluster judges any more")
                self._changed.wait(_LOOK_AGAIN)
            return self._free.pop(0)

    def _go_on_looking(self) -> None:
        while not self._closing.wait(_LOOK_AGAIN):
            try:
                self._look()
            except Exception as error:  # the cluster is gone: what is judged now fails by itself
                logger.warning("the Ray cluster does not answer: %s", error)
                return

    def _look(self) -> None:
        """Start a judge on each node that is new."""
        for node in self._ray.nodes():
            if node["Alive"]:
                self._look_at(node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)))

    def _look_at(self, key: str, address: str, processors: int) -> None:
        places = processors // self._divisor
        with self._changed:
            if key in self._nodes or key in self._refusals or not processors or self._closing.is_set():
                return
            if not places:
                self._refuse(key, address, "it has one processor, which a replica needs.")
                return
            self._nodes[key] = None
            self._in_background(self._start, key, address, places)

    def _start(self, key: str, address: str, places: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(key, soft=False)
        host = self._ray.remote(num_cpus=places, max_concurrency=places, scheduling_strategy=there)(JudgeHost)
        actor = None
        try:
            with self._changed:
                if self._closing.is_set():
                    return
                actor = self._starting[key] = host.remote(self._specs, places)
            said = self._ray.get(actor.open.remote())
            reason = said.get("refused") or _difference(self._facts, said["facts"])
        except Exception as error:  # Ray's own, and what another version of evalkit raises on import
            reason = f"its judge did not start: {str(error).strip().splitlines()[-1]}"
        with self._changed:
            self._starting.pop(key, None)
            refused = bool(reason) or self._closing.is_set()
            if refused and actor is not None:
                self._nodes.pop(key, None)
                if not self._closing.is_set():
                    self._refuse(key, address, str(reason))
            else:
                node = _Node(key, address, actor, places)
                self._nodes[key] = node
                self._free += [node] * places
                logger.info("node %s judges %d programs at once", address, places)
            self._changed.notify_all()
        if refused:
            self._ray.kill(actor)

    def _refuse(self, key: str, address: str, reason: str) -> None:
        """The lock is held."""
        self._refusals[key] = f"node {address}: {reason}"
        logger.warning("node %s does not judge programs: %s", address, reason)
        self._changed.notify_all()

    def _lose(self, node: _Node, error: Exception) -> None:
        with self._changed:
            self._free = [free for free in self._free if free is not node]
            if self._closing.is_set() or self._nodes.get(node.key) is not node:
                return
            del self._nodes[node.key]
            self._alone_since = time.monotonic()
            self._deaths[node.key] = self._deaths.get(node.key, 0) + 1
            logger.warning("the judge of node %s has ended early: %s", node.address, type(error).__name__)
            if self._deaths[node.key] >= _MOST_DEATHS:
                self._refuse(node.key, node.address, f"its judge has died {_MOST_DEATHS} times.")
            self._changed.notify_all()


class JudgeHost:
    """The actor: on its node, worker processes as they are on the machine that runs `evalkit`."""

    def __init__(self, specs: list[dict[str, Any]], places: int) -> None:
        self._pool = WorkerPool(
            "evalkit.run.judges:judge_in_worker",
            workers=places,
            initializer="evalkit.run.judges:prepare_judge",
            setup=specs,
        )

    def open(self) -> dict[str, Any]:
        """What decides verdicts on this node, or why it does not judge."""
        said = self.call({}, _START_SECONDS)
        if "result" in said:
            return dict(said["result"])
        reason = said.get("error") or said.get("died") or said.get("timeout")
        return {"refused": f"its judge did not start: {str(reason).splitlines()[0]}"}

    def call(self, payload: dict[str, Any], timeout: float) -> dict[str, Any]:
        try:
            return {"result": self._pool.call(payload, timeout)}
        except WorkerTimeoutError as error:
            return {"timeout": str(error)}
        except WorkerDiedError as error:
            return {"died": str(error)}
        except WorkerCallError as error:
            return {"error": str(error)}


_judge_specs: list[TaskSpec] = []


def prepare_judge(specs: list[dict[str, Any]]) -> None:
    """Create the tasks in a new worker process of a node."""
    prepare_worker(specs)
    _judge_specs[:] = [TaskSpec(**spec) for spec in specs]


def judge_in_worker(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Grade one response; without one, say what decides verdicts on this machine, or why it does not judge."""
    if payload:
        return score_in_worker(payload)
    tasks = [(task, spec) for spec in _judge_specs for task in worker_tasks() if task.name == spec.name]
    try:
        for task, _ in tasks:
            task.require_machine()
    except EvalkitError as error:
        return {"refused": error.message}
    return {"facts": machine_facts(tasks)}


def machine_facts(tasks: Sequence[tuple[Task, TaskSpec]]) -> dict[str, Any]:
    """What has to be equal on two machines for their verdicts to be."""
    try:
        numpy = version("numpy")
    except PackageNotFoundError:
        numpy = "no"
    return {
        "evalkit": evalkit.__version__,
        "numpy": numpy,
        **{f"the grader of {task.name}": grader_name(task, spec) for task, spec in tasks},
    }


def _difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    for name, value in here.items():
        if there.get(name) != value:
            return f"{name} is {there.get(name)} there and {value} here."
    return ""


def judge_address(judge_on: str, cluster: str | None) -> str:
    """The cluster that `--judge-on` names: `ray` is that of the replicas, else the one of this machine.

    Raises EvalkitError for anything else.
    """
    kind, _, address = judge_on.partition(":")
    if kind != "ray":
        raise EvalkitError(f"Programs cannot be judged on {judge_on!r}.", "give ray, or ray:HOST:PORT.")
    return address or cluster or "auto"


@contextmanager
def open_judges(
    tasks: Sequence[tuple[TaskSpec, Task]], judge_on: str | None, cluster: str | None = None
) -> Iterator[RayJudges | None]:
    """Where the programs of these tasks are judged: None for this machine.

    `cluster` is the address of the cluster that has the replicas. Raises EvalkitError where programs cannot be isolated
    here, or on no node of the cluster.
    """
    address = judge_address(judge_on, cluster) if judge_on is not None else None
    programs = [(spec, task) for spec, task in tasks if task.kind == "code"]
    for task in (task for _, task in tasks if address is None or task.kind != "code"):
        task.require_machine()
    if address is None or not programs:
        if address is not None:
            logger.warning("--judge-on is for programs, and no task has any")
        yield None
        return
    judges = RayJudges(address, programs, beside_replicas=cluster is not None)
    try:
        judges.open()
        yield judges
    finally:
        judges.close()
