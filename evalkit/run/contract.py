"""The contract suite for tasks: `evalkit tasks check NAME`."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.loading import load_problems
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task, fingerprint_targets
from evalkit.errors import EvalkitError
from evalkit.run.scoring import Scorer
from evalkit.types import Completion, Problem, Score
from evalkit.workers import WorkerCallError, WorkerPool

HOSTILE_RESPONSES = (
    "",
    " \n\t ",
    "I do not know.",
    "\\boxed{}",
    "\\boxed{" * 200,
    "\\boxed{A, B, C, D}",
    "\\boxed{__import__('os').system('true')}",
    "\\boxed{9^{9^{9^{9^9}}}}",
    "Answer: $LETTER",
    "<script>alert(1)</script>",
    "\x00\ud800\u202e",
    "```python\nraise SystemExit(0)\n```",
    "{" * 5000,
)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one rule of the contract. `passed` is None if the rule cannot be checked for this task."""

    rule: str
    passed: bool | None
    detail: str = ""


def check_task(spec: TaskSpec, source: DataSource) -> list[Check]:
    """Check every rule of the contract for one task, on all its problems. Raises EvalkitError if data is missing."""
    task = spec.create()
    problems = load_problems(task, source)
    checks = [*_check_declaration(task), *_check_problems(task, problems, source)]
    if any(check.passed is False for check in checks):
        return checks  # the other rules send the problems to other processes
    task.require_machine()
    checks += _check_rendering(spec, task, problems, source)
    with closing(Scorer([(spec, task)])) as scorer:
        checks += _check_grading(task, problems, scorer)
    return checks


def _check_declaration(task: Task) -> Iterator[Check]:
    declared = all(isinstance(getattr(task, name, None), str) for name in ("name", "title"))
    yield Check("name, title and version are declared", declared and isinstance(getattr(task, "version", None), int))
    yield Check("the prompt contains {problem}", "{problem}" in task.prompt)
    yield Check("the default n is 1 or more", task.n >= 1)


def _check_problems(task: Task, problems: Sequence[Problem], source: DataSource) -> Iterator[Check]:
    if source.allow_changed or task.rows is None:
        yield Check("the number of problems is the declared one", None, f"{len(problems)} problems, none declared")
    else:
        counts = f"{len(problems)} problems, {task.rows} declared"
        yield Check("the number of problems is the declared one", len(problems) == task.rows, counts)
    if source.allow_changed or task.targets_sha256 is None:
        yield Check("the right answers are the declared ones", None, f"sha256 {fingerprint_targets(problems)}")
    else:
        fingerprint = fingerprint_targets(problems)
        yield Check("the right answers are the declared ones", fingerprint == task.targets_sha256, fingerprint)
    yield Check("there are problems", bool(problems))
    yield Check("ids are unique and not empty", len({p.id for p in problems if p.id}) == len(problems))
    empty = [p.id for p in problems if not p.prompt.strip()]
    yield Check("no problem is empty", not empty, _some(empty))
    yield Check("problems can be written as JSON", _is_json([asdict(p) for p in problems]))


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) is not None)
    except (TypeError, ValueError):
        return False


def _check_rendering(spec: TaskSpec, task: Task, problems: Sequence[Problem], source: DataSource) -> Iterator[Check]:
    here = digest_of_messages(task, problems)
    yield Check("rendering twice gives the same messages", here == digest_of_messages(task, problems))
    payload = {"spec": asdict(spec), "root": str(source.root) if source.root else None}
    pool = WorkerPool("evalkit.run.contract:digest_in_another_process", workers=1)
    try:
        there = pool.call(payload, 600)
        yield Check("another process with other hash seeds gives the same messages", here == there)
    except WorkerCallError as error:
        yield Check("another process with other hash seeds gives the same messages", False, str(error))
    finally:
        pool.close()


def digest_of_messages(task: Task, problems: Sequence[Problem]) -> str:
    """The sha256 of the ids, targets and messages of all problems."""
    content = [[p.id, p.target, task.messages(p)] for p in problems]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def digest_in_another_process(payload: dict[str, Any]) -> str:
    """`digest_of_messages` of a newly created task, for a worker process."""
    task = TaskSpec(**payload["spec"]).create()
    source = DataSource.from_option(payload["root"], allow_changed=True)
    return digest_of_messages(task, task.load(source))


def _check_grading(task: Task, problems: Sequence[Problem], scorer: Scorer) -> Iterator[Check]:
    own_gold = type(task).gold_response is not Task.gold_response
    with_gold = [p for p in problems if p.target or own_gold]
    golds = [(p, response) for p in with_gold if (response := task.gold_response(p)) is not None]
    if golds:
        scores = _score_all(task, scorer, golds)
        failed = [
            f"{s.key.problem_id}: {s.status} ({s.explanation})" for s in scores if s.key and s.status != "correct"
        ]
        yield Check(f"the right answer is graded correct ({len(golds)} problems)", not failed, _some(failed))
    else:
        yield Check("the right answer is graded correct", None, "the task has no right answers")
    sampled = problems[:: max(1, len(problems) // 8)]
    hostile = [(p, response) for p in sampled for response in HOSTILE_RESPONSES]
    scores = _score_all(task, scorer, hostile)
    if task.kind == "instructions" or all(not p.target for p in problems):
        yield from _check_instructions(hostile, scores)
        return
    wrong = [f"{s.key.problem_id}: {s.explanation}" for s in scores if s.key and (s.status == "correct" or s.value > 0)]
    yield Check(f"empty and hostile answers are not graded correct ({len(hostile)} tried)", not wrong, _some(wrong))
    yield _check_no_errors(scores)


def _check_no_errors(scores: Sequence[Score]) -> Check:
    failed = [f"{s.key.problem_id}: {s.explanation}" for s in scores if s.key and s.status == "error"]
    return Check("no answer causes a grader error", not failed, _some(failed))


def _check_instructions(tried: Sequence[tuple[Problem, str]], scores: Sequence[Score]) -> Iterator[Check]:
    """What can be held where no answer is right or wrong: `I do not know.` may well follow an instruction."""
    empty = [
        f"{problem.id}: {score.explanation}"
        for (problem, response), score in zip(tried, scores, strict=True)
        if not response.strip() and (score.status == "correct" or score.value > 0)
    ]
    yield Check("an empty response is not graded correct", not empty, _some(empty))
    yield _check_no_errors(scores)


def _score_all(task: Task, scorer: Scorer, responses: Sequence[tuple[Problem, str]]) -> list[Score]:
    for index, (problem, response) in enumerate(responses):
        scorer.submit(problem, Completion(task.name, problem.id, index, response, "stop", None, None, 0.0))
    return sorted(scorer.results(wait=True), key=lambda s: s.key.sample_index if s.key else 0)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return "; ".join(items[:3]) + more


def require_passed(name: str, checks: Sequence[Check]) -> None:
    """Raises EvalkitError, naming the rules, if a task breaks any."""
    if broken := [check for check in checks if check.passed is False]:
        raise EvalkitError(
            f"The task {name} breaks {len(broken)} of {len(checks)} rules: {'; '.join(c.rule for c in broken)}.",
            "docs/adding-a-task.md explains each rule.",
        )
