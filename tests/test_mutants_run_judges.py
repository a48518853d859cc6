"""Judging on the nodes of a cluster: places, refusals, deaths and the end, with a cluster that stands in for Ray's."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy
import pytest

import evalkit
from evalkit import DataSource, EvalkitError, Problem, Score, Task
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import TaskKind
from evalkit.run import judges as module
from evalkit.run import scoring
from evalkit.run.judges import JudgeHost, NoJudgeError, RayJudges, judge_address, judge_in_worker, open_judges
from evalkit.store.grader import GRADER_VERSION
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerTimeoutError


class Programs(Task):
    name = "programs"
    version = 3
    title = "Programs"
    kind: ClassVar[TaskKind] = "code"
    refusal = ""
    asked: list[str] = []  # noqa: RUF012  # shared on purpose

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [Problem("p", "", "x")]

    def score(self, problem: Problem, response: str) -> Score:
        return Score(float(response == problem.target), "correct" if response == problem.target else "wrong", response)

    def require_machine(self) -> None:
        self.asked.append(self.name)
        if self.refusal:
            raise EvalkitError(self.refusal, "use another machine.")


class Words(Programs):
    name = "words"
    kind: ClassVar[TaskKind] = "other"


FACTS = {
    "evalkit": evalkit.__version__,
    "numpy": numpy.__version__,
    "the grader of programs": f"programs@3+grader{GRADER_VERSION}",
}
SPEC = TaskSpec("programs", None, {"a": "b"})
PAYLOAD = {"task": "programs", "response": "x"}


class RayError(Exception):
    """As ray.exceptions.RayError."""


class Method:
    """What has `.remote(…)`, which gives something that `get` waits for."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work

    def remote(self, *arguments: Any) -> Callable[[], Any]:
        return lambda: self.work(*arguments)


@dataclass
class Actor:
    """A judge on a node: what it says when it is opened and called."""

    node: str
    options: dict[str, Any]
    specs: list[dict[str, Any]]
    places: int
    cluster: "Cluster"

    @property
    def open(self) -> Method:
        return Method(lambda: self.cluster.opened(self))

    @property
    def call(self) -> Method:
        return Method(lambda payload, timeout: self.cluster.called(self, payload, timeout))


@dataclass
class Cluster:
    """Stands in for the ray module: nodes with processors, and the actors that were started and killed."""

    processors: dict[str, float]
    dead: tuple[str, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)  # by node: what its judge says when it is opened, or raises
    answers: dict[str, Any] = field(default_factory=dict)  # by node: what its judge says of a program, or raises
    started: list[Actor] = field(default_factory=list)
    killed: list[Any] = field(default_factory=list)
    calls: list[tuple[str, Any, float]] = field(default_factory=list)
    gone: bool = False
    exceptions = SimpleNamespace(RayError=RayError)

    def nodes(self) -> list[dict[str, Any]]:
        if self.gone:
            raise ConnectionError("no answer")
        return [
            {
                "NodeID": f"id-{name}",
                "NodeManagerAddress": name,
                "Alive": name not in self.dead,
                "Resources": {"CPU": count, "memory": 9.0} if count else {"memory": 9.0},
            }
            for name, count in self.processors.items()
        ]

    def remote(self, **options: Any) -> Callable[[type], Any]:
        def of(host: type) -> Any:
            assert host is JudgeHost

            def start(specs: list[dict[str, Any]], places: int) -> Actor:
                made = Actor(options["scheduling_strategy"].node_id.removeprefix("id-"), options, specs, places, self)
                self.started.append(made)
                return made

            return SimpleNamespace(remote=start)

        return of

    def get(self, reference: Callable[[], Any]) -> Any:
        return reference()

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def opened(self, actor: Actor) -> Any:
        return _given(self.said.get(actor.node, {"facts": FACTS}))

    def called(self, actor: Actor, payload: Any, timeout: float) -> Any:
        self.calls.append((actor.node, payload, timeout))
        return _given(self.answers.get(actor.node, {"result": {"by": actor.node}}))


def _given(what: Any) -> Any:
    if isinstance(what, Exception):
        raise what
    return what() if callable(what) else what


@dataclass
class Affinity:
    node_id: str
    soft: bool


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    strategies: Any = ModuleType("ray.util.scheduling_strategies")
    strategies.NodeAffinitySchedulingStrategy = Affinity
    monkeypatch.setitem(__import__("sys").modules, "ray.util.scheduling_strategies", strategies)
    monkeypatch.setattr(module, "_LOOK_AGAIN", 0.01)
    monkeypatch.setattr(Programs, "asked", [])


@contextmanager
def judging(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, beside_replicas: bool = False) -> Iterator[RayJudges]:
    """Judges of that cluster that are open."""
    monkeypatch.setattr(module, "connect", lambda address: cluster)
    judges = RayJudges("the:1", [(SPEC, Programs())], beside_replicas)
    try:
        judges.open()
        yield judges
    finally:
        judges.close()


def wait_until(judges: RayJudges, holds: Callable[[], bool]) -> None:
    with judges._changed:
        assert judges._changed.wait_for(holds, 20)


def free(judges: RayJudges) -> list[str]:
    return sorted(node.address for node in judges._free)


@pytest.mark.parametrize(
    ("beside", "places", "refused"),
    [
        (True, {"a": 2, "b": 1}, {"id-c": "node c: it has one processor, which a replica needs."}),
        (False, {"a": 5, "b": 3, "c": 1}, {}),
    ],
)
def test_a_node_judges_as_many_programs_as_it_has_processors_or_half_beside_replicas(
    beside: bool,
    places: dict[str, int],
    refused: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cluster = Cluster({"a": 5.0, "b": 3.0, "c": 1.0, "none": 0.0, "dead": 8.0}, dead=("dead",))
    with judging(monkeypatch, cluster, beside) as judges:
        wait_until(judges, lambda: len(judges._free) == sum(places.values()))
        assert free(judges) == sorted(name for name, count in places.items() for _ in range(count))
        assert judges._refusals == refused
        assert judges.tasks == {"programs"}
        assert judges._starting == {}
        for actor in cluster.started:
            count = places[actor.node]
            strategy = Affinity(f"id-{actor.node}", soft=False)
            assert actor.options == {
                "num_cpus": count,
                "max_concurrency": count,
                "scheduling_strategy": strategy,
            }
            assert (actor.places, actor.specs) == (count, [asdict(SPEC)])
        threads = list(judges._threads)
    assert sorted(actor.node for actor in cluster.killed) == sorted(places)
    assert not any(thread.is_alive() for thread in threads)
    assert (judges._free, judges._nodes) == ([], {})
    told = {r.getMessage() for r in caplog.records}
    assert {f"node {name} judges {count} programs at once" for name, count in places.items()} <= told
    assert sum("does not judge programs" in line for line in told) == len(refused)


def test_a_program_is_judged_with_its_limit_and_the_place_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0})
    with judging(monkeypatch, cluster) as judges:
        assert judges.call(PAYLOAD, 7.5) == {"by": "a"}
        assert cluster.calls == [("a", PAYLOAD, 7.5)]
        assert free(judges) == ["a"]
        for said, kind in (
            ({"timeout": "no answer within 7 s"}, WorkerTimeoutError),
            ({"died": "code 9"}, WorkerDiedError),
            ({"error": "ValueError: no"}, WorkerCallError),
        ):
            cluster.answers["a"] = said
            with pytest.raises(kind) as caught:
                judges.call(PAYLOAD, 7.5)
            assert str(caught.value) == next(iter(said.values()))
            assert not isinstance(caught.value, NoJudgeError)
            assert free(judges) == ["a"], "whatever was said of the program"


def test_places_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0, "b": 1.0})
    with judging(monkeypatch, cluster) as judges:
        wait_until(judges, lambda: len(judges._free) == 2)
        for _ in range(4):
            judges.call(PAYLOAD, 1)
    nodes = [node for node, _, _ in cluster.calls]
    assert nodes in (["a", "b", "a", "b"], ["b", "a", "b", "a"])


def test_a_program_goes_to_another_node_when_its_own_dies(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster({"a": 2.0})
    monkeypatch.setattr(module, "_LOOK_AGAIN", 60.0)
    with judging(monkeypatch, cluster) as judges:
        cluster.processors["b"] = 2.0
        judges._look()
        wait_until(judges, lambda: len(judges._free) == 4)
        cluster.answers["a"] = RayError("the actor died")
        assert judges.call(PAYLOAD, 1) == {"by": "b"}
        assert free(judges) == ["b", "b"], "no place of the dead node is left"
        assert list(judges._nodes) == ["id-b"]
        assert judges._deaths == {"id-a": 1}
        assert [r.getMessage() for r in caplog.records] == ["the judge of node a has ended early: RayError"]
        judges._look()  # the node is there still: another judge starts
        wait_until(judges, lambda: len(judges._free) == 4)
        assert [actor.node for actor in cluster.started] == ["a", "b", "a"]


def test_two_nodes_that_die_under_one_program_are_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(dict.fromkeys("abc", 1.0), answers={name: RayError() for name in "abc"})
    monkeypatch.setattr(module, "_LOOK_AGAIN", 60.0)
    with judging(monkeypatch, cluster) as judges:
        wait_until(judges, lambda: len(judges._free) == 3)
        with pytest.raises(WorkerDiedError, match="2 nodes have died while they judged this program"):
            judges.call(PAYLOAD, 1)
        assert len(judges._free) == len(judges._nodes) == 1


def test_a_node_whose_judges_die_three_times_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster({"a": 1.0, "b": 1.0}, answers={"a": RayError()})
    with judging(monkeypatch, cluster) as judges:
        for _ in range(3):
            wait_until(judges, lambda: len(judges._free) == 2)
            while len(cluster.calls) < 20 and free(judges) == ["a", "b"]:
                judges.call(PAYLOAD, 1)
        assert judges._deaths == {"id-a": 3}
        assert judges._refusals == {"id-a": "node a: its judge has died 3 times."}
        judges._look()
        assert sum(actor.node == "a" for actor in cluster.started) == 3, "no fourth one"
        assert free(judges) == ["b"]
    assert caplog.records[-1].getMessage() == "node a does not judge programs: its judge has died 3 times."


def test_a_death_that_was_noted_already_is_not_noted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 2.0})
    monkeypatch.setattr(module, "_LOOK_AGAIN", 60.0)
    with judging(monkeypatch, cluster) as judges:
        node = judges._take()
        judges._alone_since = 0.0
        judges._lose(node, RayError())
        assert time.monotonic() - judges._alone_since < 60, "alone from now on"
        judges._lose(node, RayError())
        assert judges._deaths == {"id-a": 1}


def test_a_cluster_without_processors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 0.0})
    with pytest.raises(EvalkitError, match="no node with processors"), judging(monkeypatch, cluster):
        pass
    assert cluster.started == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"refused": "This machine limits CPU time."}, "This machine limits CPU time."),
        ({"facts": {**FACTS, "numpy": "0.1"}}, f"numpy is 0.1 there and {numpy.__version__} here."),
        ({"facts": {"evalkit": evalkit.__version__}}, f"numpy is None there and {numpy.__version__} here."),
        (RuntimeError("a\ncannot import evalkit\n"), "its judge did not start: cannot import evalkit"),
    ],
)
def test_where_no_node_can_judge_the_reason_of_the_first_is_told(
    said: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster({"n1": 4.0}, said={"n1": said})
    with pytest.raises(EvalkitError) as caught, judging(monkeypatch, cluster):
        pass
    assert caught.value.message == f"No node of the Ray cluster can judge programs: node n1: {reason}"
    assert [actor.node for actor in cluster.killed] == ["n1"], "a judge that is refused is ended"


def test_a_node_that_is_refused_leaves_the_work_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0, "b": 1.0}, said={"a": {"refused": "No."}})
    with judging(monkeypatch, cluster) as judges:
        wait_until(judges, lambda: bool(judges._refusals) and bool(judges._free))
        assert judges._refusals == {"id-a": "node a: No."}
        assert [judges.call(PAYLOAD, 1)["by"] for _ in range(3)] == ["b"] * 3
        judges._look()
        assert len(cluster.started) == 2, "it is not asked again"


def test_a_node_that_joins_later_judges_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0})
    with judging(monkeypatch, cluster) as judges:
        cluster.processors["late"] = 2.0
        wait_until(judges, lambda: free(judges) == ["a", "late", "late"])


def test_a_cluster_that_is_gone_is_looked_at_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster({"a": 1.0})
    with judging(monkeypatch, cluster) as judges:
        cluster.gone = True
        for thread in judges._threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in judges._threads)
    assert [r.getMessage() for r in caplog.records] == ["the Ray cluster does not answer: no answer"]


def test_a_program_waits_for_a_busy_node_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only without any node does the time count after which programs are errors."""
    cluster = Cluster({"a": 1.0})
    busy, go_on = threading.Event(), threading.Event()

    def judged() -> dict[str, Any]:
        if not busy.is_set():
            busy.set()
            go_on.wait(20)
        return {"result": "done"}

    cluster.answers["a"] = judged
    with judging(monkeypatch, cluster) as judges:
        judges._alone_since = -1e9
        found: list[Any] = []
        first = threading.Thread(target=lambda: found.append(judges.call(PAYLOAD, 1)))
        first.start()
        assert busy.wait(20)
        second = threading.Thread(target=lambda: found.append(judges.call(PAYLOAD, 1)))
        second.start()
        second.join(0.05)
        assert second.is_alive()
        go_on.set()
        first.join(20)
        second.join(20)
        assert found == ["done", "done"]


def test_without_any_node_programs_are_errors_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0})
    now = [1000.0]
    monkeypatch.setattr(module, "_LOOK_AGAIN", 60.0)
    with judging(monkeypatch, cluster) as judges:
        clock = SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr(module, "time", clock)
        judges._lose(judges._take(), RayError())
        assert judges._alone_since == 1000.0

        def waited(seconds: float) -> bool:
            now[0] += 20.0
            return False

        monkeypatch.setattr(judges._changed, "wait", waited)
        with pytest.raises(NoJudgeError, match="no node of the Ray cluster judges any more"):
            judges.call(PAYLOAD, 1)
        assert now[0] == 1080.0, "80 s are more than a minute, 60 s are not"


def test_closed_judges_judge_nothing_and_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0})
    with judging(monkeypatch, cluster) as judges:
        pass
    with pytest.raises(NoJudgeError):
        judges.call(PAYLOAD, 1)
    judges._look()
    judges._start("id-b", "b", 1)
    assert [actor.node for actor in cluster.started] == ["a"]
    assert judges._refusals == {}


def test_a_judge_that_starts_when_all_is_closed_is_ended_and_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": 1.0})
    starting, go_on = threading.Event(), threading.Event()

    def opened() -> dict[str, Any]:
        starting.set()
        go_on.wait(20)
        return {"facts": FACTS}

    with judging(monkeypatch, cluster) as judges:
        cluster.said["slow"] = opened
        cluster.processors["slow"] = 1.0
        assert starting.wait(20)
        assert list(judges._starting) == ["id-slow"]
        threading.Timer(0.05, go_on.set).start()
    assert {actor.node for actor in cluster.killed} == {"a", "slow"}
    assert (judges._nodes, judges._free, judges._refusals, judges._starting) == ({}, [], {}, {})


# The judge on its node


class Pool:
    """Stands in for the worker processes of a node."""

    def __init__(self, said: Any) -> None:
        self.said = said
        self.calls: list[tuple[Any, float]] = []

    def call(self, payload: Any, timeout: float) -> Any:
        self.calls.append((payload, timeout))
        return _given(self.said)


@pytest.mark.parametrize(
    ("said", "called", "opened"),
    [
        ({"facts": {"a": 1}}, {"result": {"facts": {"a": 1}}}, {"facts": {"a": 1}}),
        ({"refused": "No."}, {"result": {"refused": "No."}}, {"refused": "No."}),
        (WorkerTimeoutError("slow\nmore"), {"timeout": "slow\nmore"}, {"refused": "its judge did not start: slow"}),
        (WorkerDiedError("code 9"), {"died": "code 9"}, {"refused": "its judge did not start: code 9"}),
        (
            WorkerCallError("ValueError: x"),
            {"error": "ValueError: x"},
            {"refused": "its judge did not start: ValueError: x"},
        ),
    ],
)
def test_what_happens_on_a_node_is_told_as_a_record(said: Any, called: dict[str, Any], opened: dict[str, Any]) -> None:
    host = JudgeHost([], 1)
    pool: Any = Pool(said)
    host._pool = pool
    assert host.call({"x": 1}, 5.0) == called
    assert host.open() == opened
    assert pool.calls[0] == ({"x": 1}, 5.0)
    assert pool.calls[1][0] == {}


def test_a_node_s_worker_says_what_decides_verdicts() -> None:
    host = JudgeHost([asdict(TaskSpec("arithmetic"))], 1)
    try:
        facts = host.open()["facts"]
        assert facts == {
            "evalkit": evalkit.__version__,
            "numpy": numpy.__version__,
            "the grader of arithmetic": f"arithmetic@1+grader{GRADER_VERSION}",
        }
        problem = {"id": "1", "prompt": "1 + 1?", "target": "2", "metadata": {}}
        reply = host.call({"task": "arithmetic", "problem": problem, "response": "\\boxed{2}"}, 60.0)
        assert reply["result"]["status"] == "correct"
    finally:
        host._pool.close()


def test_a_worker_of_a_node_grades_or_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Programs()
    monkeypatch.setattr(scoring, "_worker_tasks", {"programs": task, "arithmetic": Words()})
    monkeypatch.setattr(module, "_judge_specs", [TaskSpec("programs")])
    assert judge_in_worker({}) == {"facts": FACTS}
    assert task.asked == ["programs"], "the other task is not of this judge"
    problem = {"id": "p", "prompt": "", "target": "x", "metadata": {}}
    assert judge_in_worker({"task": "programs", "problem": problem, "response": "y"}) == {
        "value": 0.0,
        "status": "wrong",
        "answer": "y",
        "explanation": "",
        "extracted_by": "",
        "metadata": {},
    }
    monkeypatch.setattr(Programs, "refusal", "No namespaces.")
    assert judge_in_worker({}) == {"refused": "No namespaces."}
    module.prepare_judge([asdict(TaskSpec("arithmetic"))])
    assert module._judge_specs == [TaskSpec("arithmetic")]
    assert [type(each).__name__ for each in scoring.worker_tasks()] == ["Programs", "Arithmetic"]


# Where programs are judged


def test_the_address_of_the_cluster() -> None:
    assert judge_address("ray", None) == "auto"
    assert judge_address("ray", "10.0.0.1:6379") == "10.0.0.1:6379"
    assert judge_address("ray:h:1", "10.0.0.1:6379") == "h:1"
    with pytest.raises(EvalkitError, match="cannot be judged on 'slurm:x'"):
        judge_address("slurm:x", None)


def tasks() -> list[tuple[TaskSpec, Task]]:
    return [(TaskSpec("words"), Words()), (SPEC, Programs())]


def test_here_every_task_is_asked_whether_the_machine_can_grade_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_judges(tasks(), None) as judges:
        assert judges is None
    assert Programs.asked == ["words", "programs"]
    monkeypatch.setattr(Programs, "refusal", "No namespaces.")
    with pytest.raises(EvalkitError, match="No namespaces"), open_judges(tasks(), None):
        pass


@pytest.mark.parametrize(("cluster_of_replicas", "places"), [(None, 4), ("10.0.0.1:1", 2)])
def test_programs_go_to_the_cluster_and_the_rest_stays_here(
    cluster_of_replicas: str | None, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster({"a": 4.0})
    connected: list[str] = []

    def connect(address: str) -> Cluster:
        connected.append(address)
        return cluster

    monkeypatch.setattr(module, "connect", connect)
    with open_judges(tasks(), "ray", cluster_of_replicas) as judges:
        assert judges is not None
        assert judges.tasks == {"programs"}
        assert free(judges) == ["a"] * places
        assert cluster.killed == []
    assert connected == [cluster_of_replicas or "auto"]
    assert Programs.asked == ["words"], "programs are not graded here"
    assert cluster.killed == cluster.started


def test_a_cluster_for_no_programs_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_judges(tasks()[:1], "ray") as judges:
        assert judges is None
    assert [r.getMessage() for r in caplog.records] == ["--judge-on is for programs, and no task has any"]
    caplog.clear()
    with open_judges(tasks()[:1], None) as judges:
        assert judges is None
    assert caplog.records == []


def test_a_score_of_another_machine_is_read_as_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the problem needs is sent along; the limit is the task's."""
    from evalkit.types import Completion

    class Carried(Programs):
        name = "carried"
        score_timeout = 12.5

        def with_data(self, problem: Problem) -> Problem:
            return Problem(problem.id, problem.prompt, "carried along")

    class Elsewhere:
        tasks = frozenset({"carried"})
        asked: list[tuple[Mapping[str, Any], float]] = []  # noqa: RUF012

        def call(self, payload: Mapping[str, Any], timeout: float) -> Any:
            self.asked.append((payload, timeout))
            return {"value": 1.0, "status": "correct", "answer": "a", "metadata": {"seconds": 2}}

    elsewhere = Elsewhere()
    scorer = scoring.Scorer([(TaskSpec("carried"), Carried())], 1, judges=elsewhere)
    scorer.start()
    scorer.submit(Problem("p", "q", "x"), Completion("carried", "p", 4, "program", "stop", 1, 1, 1.0))
    (score,) = scorer.results(wait=True)
    scorer.close()
    assert score == Score(1.0, "correct", "a", key=score.key, metadata={"seconds": 2})
    assert score.key == ("carried", "p", 4)
    problem = {"id": "p", "prompt": "q", "target": "carried along", "metadata": {}}
    assert elsewhere.asked == [({"task": "carried", "problem": problem, "response": "program"}, 12.5)]
    assert scorer._pool._idle == [], "no process of this machine was started"
