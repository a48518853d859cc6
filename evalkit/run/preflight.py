"""Checks a run before it starts: renders the prompts, compares lengths with the context, counts completions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.benchmark.protocols import Protocol
from evalkit.engines.base import Engine
from evalkit.engines.prompts import Prompt, bos_count
from evalkit.errors import EvalkitError
from evalkit.run.queue import TaskPlan, make_request

_SHOWN_TOKENS = 12


@dataclass(frozen=True, slots=True)
class TaskCheck:
    """The prompt lengths of one task in tokens. They are None if the engine does not show its prompts."""

    plan: TaskPlan
    first_prompt: Prompt | None
    shortest: int | None
    longest: int | None


def check_task_prompts(plan: TaskPlan, protocol: Protocol, engine: Engine) -> TaskCheck:
    """Render every prompt of a task."""
    prompts = [engine.render(make_request(plan, protocol, problem, 0)) for problem in plan.problems]
    lengths = [len(p.token_ids) for p in prompts if p is not None]
    return TaskCheck(plan, prompts[0], min(lengths, default=None), max(lengths, default=None))


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


def describe_plan(checks: Sequence[TaskCheck], engine: Engine) -> Iterator[str]:
    """The lines of a dry run: for each task its counts and the first prompt with its tokens."""
    context = engine.context_length()
    yield f"context length: {context if context is not None else 'not known'} tokens"
    for check in checks:
        plan = check.plan
        yield ""
        yield f"{plan.task.name}: {len(plan.problems)} problems x n = {plan.params.n} -> {plan.samples} completions"
        yield (
            f"  sampling: temperature {plan.params.temperature:g}, top-p {plan.params.top_p:g}, "
            f"max_tokens {plan.params.max_tokens}, seed {plan.params.seed}"
        )
        if capped := tell_least_room(check, context):
            yield f"  {capped}"
        if plan.task.kind == "choice":
            letters = sorted(Counter(p.target for p in plan.problems).items())
            yield f"  right answers: {', '.join(f'{letter} {count}' for letter, count in letters)}"
        if check.first_prompt is None:
            yield "  the engine renders the prompts; the first messages:"
            yield from (f"    {m['role']}: {m['content']!r}" for m in plan.task.messages(plan.problems[0]))
            continue
        yield f"  prompt tokens: {check.shortest} to {check.longest}"
        yield f"  response prefix: {check.first_prompt.prefix!r}"
        yield f"  first prompt: {check.first_prompt.text!r}"
        yield from _token_lines(check.first_prompt, engine.tokenizer)


def _token_lines(prompt: Prompt, tokenizer: Any) -> Iterator[str]:
    shown = [f"{i} {tokenizer.decode([i])!r}" for i in prompt.token_ids]
    if len(shown) > 2 * _SHOWN_TOKENS:
        shown = [*shown[:_SHOWN_TOKENS], f"… {len(shown) - 2 * _SHOWN_TOKENS} more …", *shown[-_SHOWN_TOKENS:]]
    yield f"  tokens: {' | '.join(shown)}"
    count = bos_count(tokenizer, prompt.token_ids)
    warning = "  <- more than one lowers scores: repair the chat template" if count > 1 else ""
    yield f"  beginning-of-sequence tokens: {count}{warning}"
