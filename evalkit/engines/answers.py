"""What an engine gives, looked at before anything is made of it: only sound completions of requests that are open."""

import functools
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

from evalkit.engines.base import Engine
from evalkit.errors import EvalkitError, RunIncompleteError, plugin_faults
from evalkit.types import Completion, Request, SampleKey

_END = object()


class OpenRequests(Protocol):
    """Requests that know which of them have been answered."""

    def __iter__(self) -> Iterator[Request]: ...

    def __next__(self) -> Request: ...

    def close(self, key: SampleKey) -> bool:
        """Take note of an answer; False where the request was not drawn or is answered already."""

    def unanswered(self) -> list[SampleKey]:
        """The requests that were drawn and not answered."""

    def __len__(self) -> int:
        """The number of requests that were not drawn."""


def sample_name(key: SampleKey) -> str:
    """`sample 0 of problem p1 of aime24`."""
    return f"sample {key.sample_index} of problem {key.problem_id} of {key.task}"


def repair_hint(engine: Engine) -> str:
    """What to do about an engine that keeps the contract no more."""
    return (
        f"repair the engine (`evalkit engines check {engine.name}`) and run the same command again: "
        "the completions so far are kept."
    )


def engine_faults(engine: Engine, member: str) -> AbstractContextManager[None]:
    """Tell what a stranger's engine raises in one of its members as an EvalkitError that names both."""
    return plugin_faults(engine, f"The engine {engine.name} failed in {member}", repair_hint(engine))


def described(engine: Engine, member: str, found: object) -> dict[str, Any]:
    """What `identity()` or `environment()` returned. Raises EvalkitError where it is no dict that run.json can hold."""
    if not isinstance(found, dict):
        told = "None" if found is None else f"a {type(found).__name__}"
        raise EvalkitError(f"The {member} of the engine {engine.name} is {told}, not a dict.", repair_hint(engine))
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EvalkitError(
            f"The {member} of the engine {engine.name} cannot be written as JSON: {error}.", repair_hint(engine)
        ) from error
    return found


def context_of(engine: Engine) -> int | None:
    """The longest prompt and completion together in tokens, None where the engine does not know.

    Raises EvalkitError where `context_length()` raises, or returns neither.
    """
    with engine_faults(engine, "context_length()"):
        found: object = engine.context_length()
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and found > 0):
        return found
    raise EvalkitError(
        f"The context_length() of the engine {engine.name} is {found!r:.60}, not a number of tokens or None.",
        repair_hint(engine),
    )


@functools.cache
def _validate() -> Callable[[Any], Completion]:
    from pydantic import TypeAdapter

    return TypeAdapter(Completion).validate_python


def require_completion(engine: Engine, given: object) -> Completion:
    """What an engine gave, as a completion. Raises RunIncompleteError where it is none or has a field that is wrong."""
    from pydantic import ValidationError

    if not isinstance(given, Completion):
        raise RunIncompleteError(
            f"The engine {engine.name} gave a value of type {type(given).__name__}, not a Completion.",
            repair_hint(engine),
        )
    fields = {name: getattr(given, name) for name in Completion.__dataclass_fields__}
    if isinstance(given.text, bytes):  # pydantic takes bytes for text
        raise RunIncompleteError(
            f"The engine {engine.name} gave a Completion whose text is wrong: it is bytes.", repair_hint(engine)
        )
    try:
        return _validate()(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunIncompleteError(
            f"The engine {engine.name} gave a Completion whose {'.'.join(map(str, first['loc']))} is wrong: "
            f"{first['msg']}.",
            repair_hint(engine),
        ) from error


def generated(engine: Engine, requests: Iterator[Request]) -> Iterator[Completion]:
    """What `generate` returns, as an iterator. Raises RunIncompleteError where it is none."""
    with plugin_faults(
        engine, f"The engine {engine.name} failed while generating", repair_hint(engine), RunIncompleteError
    ):
        returned: object = engine.generate(requests)
        if isinstance(returned, Iterable):
            return iter(returned)
    told = "None" if returned is None else f"a value of type {type(returned).__name__}"
    raise RunIncompleteError(
        f"generate() of the engine {engine.name} returned {told}, not an iterator of completions.", repair_hint(engine)
    )


def with_reason(engine: Engine, completion: Completion) -> Completion:
    """The completion; one with the finish reason "error" and no `error` says that the engine gave none."""
    if completion.finish_reason != "error" or completion.error:
        return completion
    return replace(completion, error=f"the engine {engine.name} does not say what went wrong")


def answers(engine: Engine, requests: OpenRequests, known: Collection[SampleKey] = ()) -> Iterator[Completion]:
    """The engine's completions, one for each request; `known` are those that were there before.

    Raises RunIncompleteError that names the engine: it raises something, gives what is no completion, answers a request
    twice or one that was not made, or ends before all are answered.
    """
    sentence = f"The engine {engine.name} failed while generating"
    given = generated(engine, requests)
    while True:
        with plugin_faults(engine, sentence, repair_hint(engine), RunIncompleteError):
            value = next(given, _END)
        if value is _END:
            break
        completion = with_reason(engine, require_completion(engine, value))
        if not requests.close(completion.key):
            how = "a second time" if completion.key in known else "though it was not asked for it"
            raise RunIncompleteError(
                f"The engine {engine.name} gave {sample_name(completion.key)} {how}.", repair_hint(engine)
            )
        yield completion
    left = requests.unanswered()
    if left or len(requests):
        such = f", such as {sample_name(left[0])}" if left else ""
        raise RunIncompleteError(
            f"The engine {engine.name} ended and left {len(left) + len(requests)} requests unanswered{such}.",
            repair_hint(engine),
        )
