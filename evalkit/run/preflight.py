"""What a run is going to do, checked before a GPU hour is spent: prompts to the token, lengths, counts."""

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
    """One task's figures: lengths in tokens, None where the engine renders its prompts out of sight."""

    plan: TaskPlan
    first_prompt: Prompt | None
    shortest: int | None
    longest: int | None


def check_task_prompts(plan: TaskPlan, protocol: Protocol, engine: Engine) -> TaskCheck:
    """Render every prompt of a task."""
    prompts = [engine.render(make_request(plan, protocol, problem, 0)) for problem in plan.problems]
    lengths = [len(p.token_ids) for p in prompts if p is not None]
    return TaskCheck(plan, prompts[0], min(lengths, default=None), max(lengths, default=None))


def require_room(checks: Sequence[TaskCheck], context_length: int | None) -> None:
    """Raises EvalkitError where a prompt and its completion cannot both fit into the model's context."""
    for check in checks:
        if context_length is None:
            continue
        longest = check.longest or 1  # a server that renders out of sight: one token at least
        needed = longest + check.plan.params.max_tokens
        if needed > context_length:
            room = context_length - longest
            advice = f"pass --max-tokens {room}" if room > 0 else "use a checkpoint with a longer context"
            raise EvalkitError(
                f"{check.plan.task.name} needs {needed} tokens (longest prompt {longest} + max_tokens "
                f"{check.plan.params.max_tokens}), but the checkpoint's context is {context_length}.",
                f"{advice}, or leave the problem out.",
            )


def describe_plan(checks: Sequence[TaskCheck], engine: Engine) -> Iterator[str]:
    """The lines of a dry run: for each task its counts and the first prompt, to the token."""
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
        if plan.task.kind == "choice":
            letters = sorted(Counter(p.target for p in plan.problems).items())
            yield f"  right letters: {', '.join(f'{letter} {count}' for letter, count in letters)}"
        if check.first_prompt is None:
            yield "  the engine renders its prompts itself; its first messages:"
            yield from (f"    {m['role']}: {m['content']!r}" for m in plan.task.messages(plan.problems[0]))
            continue
        yield f"  prompt tokens: {check.shortest} to {check.longest}"
        yield f"  the response is begun with: {check.first_prompt.prefix!r}"
        yield f"  the first prompt: {check.first_prompt.text!r}"
        yield from _token_lines(check.first_prompt, engine.tokenizer)


def _token_lines(prompt: Prompt, tokenizer: Any) -> Iterator[str]:
    shown = [f"{i} {tokenizer.decode([i])!r}" for i in prompt.token_ids]
    if len(shown) > 2 * _SHOWN_TOKENS:
        shown = [*shown[:_SHOWN_TOKENS], f"… {len(shown) - 2 * _SHOWN_TOKENS} more …", *shown[-_SHOWN_TOKENS:]]
    yield f"  its tokens: {' | '.join(shown)}"
    count = bos_count(tokenizer, prompt.token_ids)
    warning = "  <- a second one is known to cost points: repair the chat template" if count > 1 else ""
    yield f"  beginning-of-sequence tokens: {count}{warning}"
