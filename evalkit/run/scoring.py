"""Grades completions in worker processes. A score depends only on the problem, the response and the task version."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cache
from typing import Any, Protocol

from evalkit.benchmark.registry import TaskSpec, code_digest
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError, place_of
from evalkit.store.grader import name_of_grader
from evalkit.types import Completion, Problem, Score
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError, processors

_MOST_ELSEWHERE = 1024  # completions that wait for other machines at once
GRADER_FAILED = "the grader failed: "  # how the explanation of such an error begins
_STARTED_BEFORE = 2  # workers, of which one alone keeps up with most engines


def grader_name(task: Task, spec: TaskSpec | None = None, data: str | None = None) -> str:
    """The grader's name in scores.jsonl. Scores with different names are not comparable.

    The content of a task file is part of it, so that scores are made again when the file has changed. So is `data`, a
    digest of the task's data where it was corrected since the completions were made.
    """
    return name_of_grader(task.name, task.version, code_digest(task, spec) if spec is not None else None, data)


class Judges(Protocol):
    """Other machines that grade the tasks in `tasks`."""

    tasks: frozenset[str]

    def call(self, payload: Mapping[str, Any], timeout: float) -> Any:
        """As `WorkerPool.call`."""


class Scorer:
    """Grades completions in processes while the engine runs. Results come in the order they finish.

    Without `workers` it begins with one process and adds another whenever that saves more time than the start of a
    process takes, up to the number of cores. `close` does not wait. The next `evalkit run` or `evalkit score` grades
    the completions that are left.
    """

    def __init__(
        self,
        tasks: Sequence[tuple[TaskSpec, Task]],
        workers: int | None = None,
        local: Collection[str] = (),
        judges: Judges | None = None,
    ) -> None:
        """`local` names tasks that other processes cannot import; this process grades them, without a time limit.
        `judges` grade theirs elsewhere.
        """
        self._most = workers or processors()
        self._allowed = workers or 1
        self._tasks = {task.name: task for _, task in tasks}
        self._local = frozenset(local)
        self._judges = judges
        self._elsewhere = (judges.tasks if judges is not None else frozenset()) - self._local
        self._waiting_elsewhere = ThreadPoolExecutor(_MOST_ELSEWHERE, thread_name_prefix="judged-elsewhere")
        self._local_lock = threading.Lock()
        self._pool = WorkerPool(
            "evalkit.run.scoring:score_in_worker",
            workers=self._most,
            initializer="evalkit.run.scoring:prepare_worker",
            setup=[asdict(spec) for spec, task in tasks if task.name not in self._local],
        )
        self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="scorer")
        self._finished: queue.SimpleQueue[Future[Score]] = queue.SimpleQueue()
        self._pending = 0
        self._lock = threading.Lock()
        self._queued: deque[tuple[Problem, Completion]] = deque()
        self._running = 0
        self._seconds = _GradingTimes()
        self._closed = False

    @property
    def workers(self) -> int:
        """The number of processes that may grade at once now."""
        return self._allowed

    def start(self) -> None:
        """Start workers in the background, before the first completion arrives."""
        if self._tasks.keys() - self._local - self._elsewhere:
            self._allowed = max(self._allowed, min(_STARTED_BEFORE, self._most))
            self._pool.start(_STARTED_BEFORE)

    @property
    def pending(self) -> int:
        """The number of submitted completions whose score has not been returned."""
        return self._pending

    def submit(self, problem: Problem, completion: Completion) -> None:
        self._pending += 1
        if completion.task in self._elsewhere:
            self._waiting_elsewhere.submit(self._grade_one, problem, completion)
            return
        with self._lock:
            self._queued.append((problem, completion))
            self._add_thread()

    def _add_thread(self) -> None:
        """Let one thread more grade, if it may. The lock is held."""
        if self._queued and self._running < self._allowed and not self._closed:
            self._running += 1
            self._threads.submit(self._grade_queued)

    def _grade_queued(self) -> None:
        """Grade queued completions until there is none."""
        while True:
            with self._lock:
                if not self._queued or self._closed:
                    self._running -= 1
                    return
                problem, completion = self._queued.popleft()
            self._grade_one(problem, completion)
            with self._lock:
                if self._allowed < self._most and self._seconds.is_worth_another(len(self._queued), self._allowed):
                    self._allowed += 1
                    self._add_thread()

    def _grade_one(self, problem: Problem, completion: Completion) -> None:
        future: Future[Score] = Future()
        try:
            future.set_result(self._score(problem, completion))
        except BaseException as error:  # whoever asks for the result gets it
            future.set_exception(error)
        self._finished.put(future)

    def results(self, wait: bool) -> Iterator[Score]:
        """The scores that are ready, or with `wait` the scores of all submitted completions."""
        while self._pending:
            try:
                future = self._finished.get(block=wait)
            except queue.Empty:
                return
            self._pending -= 1
            yield future.result()

    def next_result(self) -> Score:
        """Wait for one score."""
        score = self._finished.get().result()
        self._pending -= 1
        return score

    def _score(self, problem: Problem, completion: Completion) -> Score:
        grade = self._here if completion.task in self._local else self._apart
        return score_completion(
            completion, lambda response: _consistent(grade(problem, completion.task, response), completion.task)
        )

    def _here(self, problem: Problem, task: str, response: str) -> Score:
        with self._local_lock:
            return _score_of(self._tasks[task], problem, response)

    def _apart(self, problem: Problem, task: str, response: str) -> Score:
        limit = self._tasks[task].score_timeout
        try:
            if task in self._elsewhere and self._judges is not None:
                carried = self._tasks[task].with_data(problem)
                return _read_score(self._judges.call(_payload(task, carried, response), limit))
            begun = time.perf_counter()
            found = self._pool.call(_payload(task, problem, response), limit)
            self._seconds.add(time.perf_counter() - begun)
            return _read_score(found)
        except WorkerTimeoutError:
            return Score(0.0, "error", explanation=f"timeout: the grader took more than {limit:g} s")
        except (WorkerDiedError, WorkerCallError, EvalkitError) as error:
            return Score(0.0, "error", explanation=f"{GRADER_FAILED}{error}")
        except (TypeError, ValueError) as error:  # metadata that is no JSON
            return Score(0.0, "error", explanation=f"{GRADER_FAILED}the problem cannot be sent to it: {error}")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._queued.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._waiting_elsewhere.shutdown(wait=False, cancel_futures=True)
        self._pool.close()


class _GradingTimes:
    """How long grading takes, and the start of a worker: the first call waits for it."""

    _PAYS = 2.0  # a worker's start takes the time of those that grade

    def __init__(self) -> None:
        self._start: float | None = None
        self._total = 0.0
        self._count = 0

    def add(self, seconds: float) -> None:
        if self._start is None:
            self._start = seconds
        else:
            self._total += seconds
            self._count += 1

    def is_worth_another(self, queued: int, workers: int) -> bool:
        """Whether grading `queued` completions with one worker more saves more than its start costs."""
        if self._start is None or not self._count:
            return False
        work = queued * self._total / self._count
        return work / workers - work / (workers + 1) > self._PAYS * self._start


def score_completion(completion: Completion, grade: Callable[[str], Score]) -> Score:
    """The score of one completion. `grade` gets the response without its thinking.

    An answer is never extracted from unclosed thinking. The status is "truncated" for a completion that was cut before
    it stated an answer, and "error" for an engine error.
    """
    from evalkit.grading import split_thinking

    if completion.error is not None or completion.finish_reason == "error":
        why = completion.error or "it does not say what went wrong"
        return Score(0.0, "error", explanation=f"engine: {why}", key=completion.key)
    response = split_thinking(completion.prefix + completion.text).response
    unclosed = Score(0.0, "no_answer", explanation="the thinking was not closed")
    score = unclosed if response is None else grade(response)
    if completion.truncated and score.status == "no_answer":
        score = replace(score, status="truncated", explanation=f"cut at the limit; {score.explanation}")
    return replace(score, key=completion.key)


def _payload(task: str, problem: Problem, response: str) -> dict[str, Any]:
    plain = {"id": problem.id, "prompt": problem.prompt, "target": problem.target, "metadata": dict(problem.metadata)}
    return {"task": task, "problem": plain, "response": response}


@cache
def _score_schema() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Score)


def _read_score(found: Any) -> Score:
    """What a grader has said, whichever process or machine it ran on. Raises WorkerCallError if that is no score."""
    from pydantic import ValidationError

    try:
        if isinstance(found, dict) and not found.keys() - Score.__dataclass_fields__.keys():
            score: Score = _score_schema().validate_python(found)
            return score
    except ValidationError as error:
        first = error.errors()[0]
        field, said = ".".join(map(str, first["loc"])), f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        told = (
            f"{field} of its score is {first['input']!r:.60}: {said}" if field else said.removeprefix("value error, ")
        )
        raise WorkerCallError(told) from error
    raise WorkerCallError("what it returned is no score")


def _score_of(task: Task, problem: Problem, response: str) -> Score:
    """What a task's `score` returns: an error that says where it raised, or what to return if that is no Score."""
    try:
        found: object = task.score(problem, response)
    except (Exception, SystemExit) as error:  # a third party's grader may raise anything
        told = f"{type(error).__name__}: {error}"[:2000].removesuffix(": ")
        return Score(0.0, "error", explanation=f"{GRADER_FAILED}{told}{place_of(error)}")
    if isinstance(found, Score):
        return found
    returned = "None" if found is None else f"a {type(found).__name__}"
    wanted = 'Score(1.0, "correct") or Score(0.0, "wrong")'
    return Score(
        0.0,
        "error",
        explanation=f"{GRADER_FAILED}score() of {task.name} returned {returned}, it has to return {wanted}",
    )


def _consistent(score: Score, task: str) -> Score:
    """The score, an error instead of one whose value and status say the opposite: pass@1 and cons@k would too."""
    contradicts = score.value == 0 if score.status == "correct" else score.value == 1
    if not contradicts:
        return score
    told = f'score() of {task} returned Score({score.value:g}, "{score.status}"), which contradicts itself'
    wanted = 'it has to return Score(1.0, "correct") or Score(0.0, "wrong")'
    return Score(0.0, "error", explanation=f"{GRADER_FAILED}{told}: {wanted}")


_worker_tasks: dict[str, Task] = {}


def prepare_worker(specs: list[dict[str, Any]]) -> None:
    """Create the tasks in a new worker process."""
    for spec in specs:
        task = TaskSpec(**spec).create()
        _worker_tasks[task.name] = task


def worker_tasks() -> list[Task]:
    """The tasks of this worker process."""
    return list(_worker_tasks.values())


def score_in_worker(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Grade one response in a worker process. What a grader raises is an error."""
    score = _score_of(_worker_tasks[payload["task"]], Problem(**payload["problem"]), payload["response"])
    return {name: getattr(score, name) for name in Score.__dataclass_fields__ if name != "key"}
