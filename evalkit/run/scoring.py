"""Grades completions in worker processes. A score is a function of (problem, response, task version) alone."""

import os
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task
from evalkit.types import Completion, Problem, Score
from evalkit.workers import WorkerCallError, WorkerDiedError, WorkerPool, WorkerTimeoutError

GRADER_VERSION = 2
_STARTED_BEFORE = 2  # workers, of which one alone keeps up with most engines


def grader_name(task: Task) -> str:
    """What a score line names as its grader: another name means that the scores are not comparable."""
    return f"{task.name}@{task.version}+grader{GRADER_VERSION}"


class Scorer:
    """Scores in `workers` processes while the engine goes on. Results come back in the order in which they finish.

    Closing waits for nothing: what was not scored is scored by the next `evalkit run` or `evalkit score`.
    """

    def __init__(
        self, tasks: Sequence[tuple[TaskSpec, Task]], workers: int | None = None, local: Collection[str] = ()
    ) -> None:
        """`local` names tasks that no other process can import: this process grades them, without a time limit."""
        count = workers or os.cpu_count() or 1
        self._tasks = {task.name: task for _, task in tasks}
        self._local = frozenset(local)
        self._local_lock = threading.Lock()
        self._pool = WorkerPool(
            "evalkit.run.scoring:score_in_worker",
            workers=count,
            initializer="evalkit.run.scoring:prepare_worker",
            setup=[asdict(spec) for spec, task in tasks if task.name not in self._local],
        )
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="scorer")
        self._finished: queue.SimpleQueue[Future[Score]] = queue.SimpleQueue()
        self._pending = 0

    def start(self) -> None:
        """Begin to start workers, for completions that are going to come."""
        if self._tasks.keys() - self._local:
            self._pool.start(_STARTED_BEFORE)

    @property
    def pending(self) -> int:
        """Completions that were submitted and whose score has not been handed out."""
        return self._pending

    def submit(self, problem: Problem, completion: Completion) -> None:
        self._pending += 1
        self._threads.submit(self._score, problem, completion).add_done_callback(self._finished.put)

    def results(self, wait: bool) -> Iterator[Score]:
        """The scores that are ready; with `wait`, those of everything submitted."""
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
        grade = self._here if completion.task in self._local else self._in_worker
        return score_completion(completion, lambda response: grade(problem, completion.task, response))

    def _here(self, problem: Problem, task: str, response: str) -> Score:
        try:
            with self._local_lock:
                return self._tasks[task].score(problem, response)
        except Exception as error:  # a stranger's grader raises what it likes
            return Score(0.0, "error", explanation=f"the grader failed: {type(error).__name__}: {error}")

    def _in_worker(self, problem: Problem, task: str, response: str) -> Score:
        limit = self._tasks[task].score_timeout
        payload = {"task": task, "problem": _plain(problem), "response": response}
        try:
            return Score(**self._pool.call(payload, limit))
        except WorkerTimeoutError:
            return Score(0.0, "error", explanation=f"timeout: the grader took more than {limit:g} s")
        except (WorkerDiedError, WorkerCallError) as error:
            return Score(0.0, "error", explanation=f"the grader failed: {error}")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()


def score_completion(completion: Completion, grade: Callable[[str], Score]) -> Score:
    """The score of one completion: thinking is split off, `grade` sees the response, the status says what happened.

    An answer is never taken from thinking that was not closed. "truncated" is a completion that was cut before it
    stated an answer; an engine's fault is "error".
    """
    from evalkit.grading import split_thinking

    if completion.error is not None:
        return Score(0.0, "error", explanation=f"engine: {completion.error}", key=completion.key)
    response = split_thinking(completion.prefix + completion.text).response
    unclosed = Score(0.0, "no_answer", explanation="the thinking was not closed")
    score = unclosed if response is None else grade(response)
    if completion.truncated and score.status == "no_answer":
        score = replace(score, status="truncated", explanation=f"cut at the limit; {score.explanation}")
    return replace(score, key=completion.key)


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        "id": problem.id,
        "prompt": problem.prompt,
        "target": problem.target,
        "metadata": dict(problem.metadata),
    }


_worker_tasks: dict[str, Task] = {}


def prepare_worker(specs: list[dict[str, Any]]) -> None:
    """Make the tasks in a new worker process."""
    for spec in specs:
        task = TaskSpec(**spec).create()
        _worker_tasks[task.name] = task


def score_in_worker(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Grade one response; what goes wrong inside is told to the caller, who counts it as an error."""
    score = _worker_tasks[payload["task"]].score(Problem(**payload["problem"]), payload["response"])
    return {name: getattr(score, name) for name in Score.__dataclass_fields__ if name != "key"}
