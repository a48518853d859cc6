"""The contract suite for tasks: `evalkit tasks check NAME`."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, get_args

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.declared import declared_faults, unknown_fields
from evalkit.benchmark.loading import equal_ids, load_problems
from evalkit.benchmark.registry import TaskSpec
from evalkit.benchmark.task import Task, TaskKind, fingerprint_targets
from evalkit.errors import EvalkitError, plugin_faults
from evalkit.results.own_metrics import NoReportError, absent_headlines, has_own_metrics, own_metrics
from evalkit.run.planning import messages_of, require_json
from evalkit.run.scoring import Scorer
from evalkit.types import Completion, Metric, Problem, Score
from evalkit.visible import visible_line
from evalkit.words import counted
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
    checks = list(_check_declaration(task))
    if any(check.passed is False for check in checks):
        return checks  # the other rules read the attributes
    problems = load_problems(task, source)
    checks += _check_problems(task, problems, source)
    if any(check.passed is False for check in checks):
        return checks  # the other rules send the problems to other processes
    task.require_machine()
    checks += _check_rendering(spec, task, problems, source)
    with closing(Scorer([(spec, task)])) as scorer:
        golds = _score_golds(task, problems, scorer)
        checks += [*_check_grading(task, problems, golds, scorer), *_check_metrics(task, problems, golds, source)]
    return checks


def _check_declaration(task: Task) -> Iterator[Check]:
    faults = declared_faults(task)

    def check(rule: str, *names: str) -> Check:
        told = [faults.pop(name) for name in names if name in faults]
        return Check(rule, not told, "; ".join(told))

    yield check("name, title and version are declared", "name", "title", "version")
    yield check(f"the kind is one of {', '.join(get_args(TaskKind))}", "kind")
    prompt = check("the prompt contains {problem}", "prompt")
    unknown = unknown_fields(task) if prompt.passed else []
    told = "; ".join(f"{{{name}}} stays as it is: only {{problem}} and {{letters}} are filled in" for name in unknown)
    yield Check(prompt.rule, prompt.passed, prompt.detail or told)
    yield check("the default n is 1 or more", "n")
    yield check("the other attributes are what they have to be", *faults)


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
    unnamed = [f"problem {number} has no id" for number, p in enumerate(problems, start=1) if not p.id]
    same = _some(unnamed) or equal_ids(problems) or ""
    yield Check("ids are unique and not empty", not same, same)
    empty = [p.id for p in problems if not p.prompt.strip()]
    yield Check("no problem is empty", not empty, _some(empty))
    yield _held("problems can be written as JSON", lambda: require_json(task, problems))
    yield _held("messages() gives a list of messages", lambda: [messages_of(task, problem) for problem in problems])
    yield _held("gold_response() gives a text or None", lambda: [_gold(task, problem) for problem in problems])
    if task.kind in ("math", "choice"):
        without = [visible_line(p.id) for p in problems if not p.target.strip()]
        told = f"{len(without)} of {len(problems)} have none: {_some(without)}" if without else ""
        yield Check("every problem has a right answer", not without, told)


def _held(rule: str, work: Callable[[], object]) -> Check:
    """Whether `work` raises no EvalkitError, and what it says."""
    try:
        work()
    except EvalkitError as error:
        return Check(rule, False, error.message)
    return Check(rule, True)


def _gold(task: Task, problem: Problem) -> str | None:
    """The correct response of a problem. Raises EvalkitError, naming task and problem, where it is neither."""
    which = f"gold_response() of the task {task.name} for problem {visible_line(repr(problem.id))[:80]}"
    hint = "let it return a text, or None where there is no correct response."
    with plugin_faults(task, f"{which} fails", hint):
        found: object = task.gold_response(problem)
    if found is not None and not isinstance(found, str):
        raise EvalkitError(f"{which} gives {visible_line(repr(found))[:80]}, which is no text.", hint)
    return found


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
    content = [[p.id, p.target, messages_of(task, p)] for p in problems]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def digest_in_another_process(payload: dict[str, Any]) -> str:
    """`digest_of_messages` of a newly created task, for a worker process."""
    task = TaskSpec(**payload["spec"]).create()
    source = DataSource.from_option(payload["root"], allow_changed=True)
    return digest_of_messages(task, load_problems(task, source))


def _score_golds(task: Task, problems: Sequence[Problem], scorer: Scorer) -> list[Score]:
    """The scores of the right answers, as far as the task has any."""
    own_gold = type(task).gold_response is not Task.gold_response
    with_gold = [p for p in problems if p.target or own_gold]
    golds = [(p, response) for p in with_gold if (response := _gold(task, p)) is not None]
    return _score_all(task, scorer, golds)


def _check_grading(task: Task, problems: Sequence[Problem], golds: Sequence[Score], scorer: Scorer) -> Iterator[Check]:
    if golds:
        failed = [
            (s.key.problem_id, f"{s.status} with the value {s.value:g} ({visible_line(s.explanation)})")
            for s in golds
            if s.key and (s.status != "correct" or s.value == 0)
        ]
        rule = f"the right answer is graded correct ({counted(len(golds), 'problem')})"
        yield Check(rule, not failed, _by_reason(failed))
    else:
        yield Check("the right answer is graded correct", None, "the task has no right answers")
    sampled = problems[:: max(1, len(problems) // 8)]
    hostile = [(p, response) for p in sampled for response in HOSTILE_RESPONSES]
    scores = _score_all(task, scorer, hostile)
    if task.kind == "instructions" or all(not p.target for p in problems):
        yield from _check_instructions(hostile, scores)
        return
    wrong = _accepted(zip(hostile, scores, strict=True))
    yield Check(f"empty and hostile answers are not graded correct ({len(hostile)} tried)", not wrong, _some(wrong))
    yield _check_no_errors(scores)


def _accepted(tried: Iterable[tuple[tuple[Problem, str], Score]]) -> list[str]:
    """The responses that have a value above 0 or count as correct, each with its text, status and value."""
    return [
        f"{visible_line(problem.id)}: the response {visible_line(repr(response[:40]))} is {score.status} "
        f"with the value {score.value:g}"
        for (problem, response), score in tried
        if score.status == "correct" or score.value > 0
    ]


def _check_metrics(
    task: Task, problems: Sequence[Problem], golds: Sequence[Score], source: DataSource
) -> Iterator[Check]:
    """Whether the task's own metrics can be computed: of each problem's right answer, and of one without an answer.

    The second is what a run has wherever the thinking was not closed: its metadata is empty.
    """
    rule, found = "extra_metrics returns metrics", list[Metric]()
    if has_own_metrics(task):
        by_problem = {problem.id: [Score(0.0, "no_answer")] for problem in problems}
        for score in golds:
            if score.key is not None:
                by_problem[score.key.problem_id].insert(0, score)
        try:
            found = own_metrics(task, problems, by_problem)
            yield Check(rule, True, _some([metric.name for metric in found]))
        except NoReportError as error:
            yield Check(rule, False, error.message)
            return
    absent = absent_headlines(task.headlines, found)
    unknown = bool(absent) and has_own_metrics(task) and (source.allow_changed or not found)
    told = _some([f"there is no metric {visible_line(name)!r}" for name in absent])
    yield Check("the headlines are metrics of the task", None if unknown else not absent, told)


def _check_no_errors(scores: Sequence[Score]) -> Check:
    failed = [(s.key.problem_id, visible_line(s.explanation)) for s in scores if s.key and s.status == "error"]
    return Check("no answer causes a grader error", not failed, _by_reason(failed))


def _check_instructions(tried: Sequence[tuple[Problem, str]], scores: Sequence[Score]) -> Iterator[Check]:
    """What can be held where no answer is right or wrong: `I do not know.` may well follow an instruction."""
    empty = _accepted(one for one in zip(tried, scores, strict=True) if not one[0][1].strip())
    yield Check("an empty response is not graded correct", not empty, _some(empty))
    yield _check_no_errors(scores)


def _score_all(task: Task, scorer: Scorer, responses: Sequence[tuple[Problem, str]]) -> list[Score]:
    for index, (problem, response) in enumerate(responses):
        scorer.submit(problem, Completion(task.name, problem.id, index, response, "stop", None, None, 0.0))
    return sorted(scorer.results(wait=True), key=lambda s: s.key.sample_index if s.key else 0)


def _by_reason(faults: Sequence[tuple[str, str]]) -> str:
    """Problems and what is wrong with each, those of one reason together: `p1, p2: wrong with the value 0`."""
    problems: dict[str, dict[str, None]] = {}
    for problem, reason in faults:
        problems.setdefault(reason, {})[visible_line(problem)] = None
    return _some([f"{_some(list(ids), ', ')}: {reason}" for reason, ids in problems.items()])


def _some(items: Sequence[str], between: str = "; ") -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return between.join(items[:3]) + more


def require_passed(name: str, checks: Sequence[Check]) -> None:
    """Raises EvalkitError, naming the rules, if a task breaks any."""
    if broken := [check for check in checks if check.passed is False]:
        raise EvalkitError(
            f"The task {name} breaks {len(broken)} of {len(checks)} rules: {'; '.join(c.rule for c in broken)}.",
            "docs/adding-a-task.md explains each rule.",
        )
