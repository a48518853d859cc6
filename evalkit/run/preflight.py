"""Checks a run before it starts: renders the prompts, compares lengths with the context, counts completions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.benchmark.protocols import Protocol
from evalkit.engines.answers import context_of, engine_faults
from evalkit.engines.base import Engine
from evalkit.engines.endings import Endings
from evalkit.engines.prompts import Opening, Prompt, bos_count
from evalkit.errors import EvalkitError
from evalkit.run.queue import TaskPlan, make_request
from evalkit.types import Request

_SHOWN_TOKENS = 12


@dataclass(frozen=True, slots=True)
class TaskCheck:
    """The prompt lengths of one task in tokens. They are None if the engine does not show its prompts."""

    plan: TaskPlan
    first_prompt: Prompt | None
    shortest: int | None
    longest: int | None
    opening: Opening | None = None


def check_task_prompts(plan: TaskPlan, protocol: Protocol, engine: Engine) -> TaskCheck:
    """Render every prompt of a task."""
    requests = [make_request(plan, protocol, problem, 0) for problem in plan.problems]
    with engine_faults(engine, "render()"):
        prompts = [engine.render(request) for request in requests]
    lengths = [len(p.token_ids) for p in prompts if p is not None]
    ask = getattr(engine, "opening", None)  # an engine need not inherit from Engine
    with engine_faults(engine, "opening()"):
        opening = ask(requests[0]) if ask is not None else None
    return TaskCheck(plan, prompts[0], min(lengths, default=None), max(lengths, default=None), opening)


def endings_of(engine: Engine) -> Endings | None:
    """Which tokens end a response, None where the engine does not tell."""
    return getattr(engine, "endings", None)


def require_room(checks: Sequence[TaskCheck], context_length: int | None, caps: bool = False) -> None:
    """Raises EvalkitError where a prompt and its completion cannot both fit into the model's context.

    `caps`: the engine ends a completion where the context does, so that a prompt has to leave room for one token. A
    server that renders its prompts out of sight refuses those that leave none.
    """
    for check in checks:
        if context_length is None:
            continue
        longest = check.longest or 1  # a server that renders out of sight: one token at least
        room = context_length - longest
        if check.plan.params.max_tokens <= room or (caps and room > 0):
            continue
        needed = longest + check.plan.params.max_tokens
        advice = f"pass --max-tokens {room}" if room > 0 else "use a checkpoint with a longer context"
        raise EvalkitError(
            f"{check.plan.task.name} needs {needed} tokens (longest prompt {longest} + max_tokens "
            f"{check.plan.params.max_tokens}), but the checkpoint's context is {context_length}.",
            f"{advice}, or leave the problem out.",
        )


def least_room(check: TaskCheck, context_length: int | None) -> int | None:
    """The tokens that a task's longest prompt leaves for its completion, where they are fewer than max_tokens."""
    if context_length is None or check.longest is None:
        return None
    room = context_length - check.longest
    return room if room < check.plan.params.max_tokens else None


def tell_least_room(check: TaskCheck, context_length: int | None) -> str | None:
    """One line where the context ends completions before max_tokens does."""
    room = least_room(check, context_length)
    if room is None and check.longest is None and context_length is not None:
        if check.plan.params.max_tokens < context_length:
            return None
        return (
            f"{check.plan.task.name}: the context of {context_length} tokens ends completions before max_tokens "
            f"({check.plan.params.max_tokens}); what ends there counts as truncated"
        )
    if room is None:
        return None
    return (
        f"{check.plan.task.name}: the context of {context_length} tokens leaves a completion {room} at the longest "
        f"prompt, {check.plan.params.max_tokens - room} fewer than max_tokens; what ends there counts as truncated"
    )


def tell_unanswerable(plan: TaskPlan, protocol: Protocol, engine: Engine) -> str | None:
    """One line where the engine knows that it cannot answer some of a task's requests.

    Raises EvalkitError where it can answer none of them.
    """

    def requests() -> Iterator[Request]:
        for problem in plan.problems:
            for index in range(plan.params.n):
                yield make_request(plan, protocol, problem, index)

    missing = engine.unanswerable(requests())
    if not missing:
        return None
    problems = list(dict.fromkeys(key.problem_id for key in missing))
    if len(missing) == plan.samples:
        raise EvalkitError(
            f"{plan.task.name}: none of its {plan.samples} completions is recorded.",
            "problem_id or the question's words have to match; evalkit import grades a set of its own.",
        )
    listed = ", ".join(problems[:3]) + (", …" if len(problems) > 3 else "")
    return (
        f"{plan.task.name}: {len(missing)} of {plan.samples} completions are not recorded, of {len(problems)} "
        f"problem{'s' if len(problems) != 1 else ''} ({listed}); each will be an error"
    )


def describe_plan(checks: Sequence[TaskCheck], engine: Engine) -> Iterator[str]:
    """The lines of a dry run: for each task its counts and the first prompt with its tokens."""
    context = context_of(engine)
    yield f"context length: {f'{context} tokens' if context is not None else 'not known'}"
    endings = endings_of(engine)
    yield f"end tokens: {endings if endings is not None else 'the engine decides'}"
    yield from (f"warning: {warning}" for warning in doubts(checks, engine))
    for check in checks:
        plan = check.plan
        yield ""
        whole, own = plan.available or 0, len(plan.problems)
        counted = f"{own} of {whole}" if whole > own else f"{own}"
        yield f"{plan.task.name}: {counted} problems x n = {plan.params.n} -> {plan.samples} completions"
        yield (
            f"  sampling: temperature {plan.params.temperature:g}, top-p {plan.params.top_p:g}, "
            f"max_tokens {plan.params.max_tokens}, seed {plan.params.seed}"
        )
        if capped := tell_least_room(check, context):
            yield f"  {capped}"
        if plan.task.kind == "choice":
            letters = sorted(Counter(p.target for p in plan.problems).items())
            yield f"  right answers: {', '.join(f'{letter} {count}' for letter, count in letters)}"
        if check.opening is not None:
            yield f"  thinking: {check.opening.thinking}"
            yield f"  response prefix: {check.opening}"
        if check.first_prompt is None:
            yield "  the engine renders the prompts; the first messages:"
            yield from (f"    {m['role']}: {m['content']!r}" for m in plan.task.messages(plan.problems[0]))
            continue
        yield f"  prompt tokens: {check.shortest} to {check.longest}"
        yield f"  first prompt: {check.first_prompt.text!r}"
        yield from _token_lines(check.first_prompt, engine.tokenizer)


def doubts(checks: Sequence[TaskCheck], engine: Engine) -> Iterator[str]:
    """What is not an error and makes a run's numbers doubtful: one sentence each."""
    endings = endings_of(engine)
    if endings is not None and endings.doubt:
        yield endings.doubt
    first = checks[0]
    if first.opening is not None and first.opening.thinking == "closed":
        switch = getattr(getattr(getattr(engine, "prompts", None), "renderer", None), "thinking_switch", None)
        how = f"; --chat-template-arg {switch}=true opens it" if switch else ""
        yield f"the chat template closes thinking: the model answers without{how}"
    if first.first_prompt is not None and (count := bos_count(engine.tokenizer, first.first_prompt.token_ids)) > 1:
        yield f"a prompt begins with {count} beginning-of-sequence tokens, which lowers scores: correct the template"
    params = first.plan.params
    if params.temperature == 0 and params.n > 1:
        yield f"temperature is 0 and n is {params.n}: the completions of a problem are equal"


def _token_lines(prompt: Prompt, tokenizer: Any) -> Iterator[str]:
    shown = [f"{i} {tokenizer.decode([i])!r}" for i in prompt.token_ids]
    if len(shown) > 2 * _SHOWN_TOKENS:
        shown = [*shown[:_SHOWN_TOKENS], f"… {len(shown) - 2 * _SHOWN_TOKENS} more …", *shown[-_SHOWN_TOKENS:]]
    yield f"  tokens: {' | '.join(shown)}"
    count = bos_count(tokenizer, prompt.token_ids)
    warning = "  <- more than one lowers scores: repair the chat template" if count > 1 else ""
    yield f"  beginning-of-sequence tokens: {count}{warning}"
