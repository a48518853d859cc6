"""The suite that every engine has to pass, ours and a stranger's: `evalkit engines check NAME`."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from evalkit.engines.answers import generated, require_completion, sample_name
from evalkit.engines.base import Engine
from evalkit.engines.registry import OptionField, names_in, option_fields
from evalkit.errors import EvalkitError, RunIncompleteError, first_line
from evalkit.types import Completion, FinishReason, Request, SampleKey, SamplingParams

PREFIX = "<think>\n"
_LIMITS = (1, 2, 9)
_SAMPLES = 8
_MOST_TOKENS = 24
_SOURCE_LENGTH = 20_000  # requests, more than any engine has room for at once
_SEEDED_SHARE = 0.75  # of the samples: on a GPU a batch of another size rounds otherwise, which may turn a token


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """One rule of the contract; `passed` is None where the engine gives no means to check it."""

    rule: str
    passed: bool | None
    detail: str = ""


def make_request(text: str, name: str, index: int = 0, prefix: str = "", **sampling: Any) -> Request:
    """A request as a run makes it; greedy, with 24 tokens at most, if `sampling` does not say otherwise."""
    params = SamplingParams(**{"temperature": 0.0, "max_tokens": _MOST_TOKENS, **sampling})
    return Request("evalkit-check", name, index, ({"role": "user", "content": text},), params, prefix)


GREEDY = tuple(make_request(f"What is {i} + {3 * i}?", f"greedy-{i}") for i in range(4))
SAMPLED = tuple(
    make_request("What is 12 + 13?", "sampled", i, temperature=2.0, top_p=1.0, seed=3) for i in range(_SAMPLES)
)
LIMITED = tuple(make_request("Count from 1 to 9.", f"limit-{n}", max_tokens=n) for n in _LIMITS)
PREFIXED = make_request("What is 7 + 8?", "prefix", prefix=PREFIX)
ODD = (make_request("", "empty"), make_request("äöü 你好 🙂 \u202e\x00", "unicode"))
REQUESTS = (*GREEDY, *SAMPLED, *LIMITED, PREFIXED, *ODD)


def check_engine(
    make: Callable[[], Engine], make_with: Callable[[Mapping[str, object]], Engine] | None = None
) -> Iterator[EngineCheck]:
    """Every rule of the contract, as it is checked; `make` opens the engine, and is called twice.

    `make_with` opens it with other values of some options, to see which of them `identity` tells apart. An exception
    of the engine is a failure of the rule that met it; what depends on its completions then ends.
    """
    engine, other = make(), make()
    yield from _check_declaration(engine)
    try:
        yield from _check_description(engine, other)
        if make_with is not None:
            yield _check_options(engine, make_with)
    except (Exception, SystemExit) as error:  # a stranger's engine raises what it likes
        yield EngineCheck("describing itself raises nothing", False, _told(error))
    try:
        other.close()
        engine.reserve(4096)
        yield from _check_completions(engine)
        yield from _check_laziness(engine)
        yield EngineCheck("identity is the same after generating", _same_json(engine.identity, other.identity))
    except (Exception, SystemExit) as error:  # a stranger's engine raises what it likes
        yield EngineCheck("generating raises nothing", False, _told(error))
    yield _check_closing(engine)


def _check_declaration(engine: Engine) -> Iterator[EngineCheck]:
    yield EngineCheck("it has a name", isinstance(engine.name, str) and bool(engine.name))
    options_class = engine.options_class
    frozen = dataclasses.is_dataclass(options_class) and vars(options_class)["__dataclass_params__"].frozen
    yield EngineCheck("its options are a frozen dataclass", frozen)
    if frozen:
        bare = [field.name for field in option_fields(options_class).values() if not field.help]
        yield EngineCheck("every option is described", not bare, ", ".join(bare))
        needed = [f.name for f in dataclasses.fields(options_class) if not _has_default(f)]
        yield EngineCheck("every option has a default", not needed, ", ".join(needed))


def _told(error: BaseException) -> str:
    return error.message if isinstance(error, EvalkitError) else first_line(error)


def _check_options(engine: Engine, make_with: Callable[[Mapping[str, object]], Engine]) -> EngineCheck:
    """Whether runs with other values are told apart. What `identity` leaves out evalkit tells apart by itself."""
    rule = "identity changes with each option that it names, unless that is declared with recorded=False"
    named = set(names_in(engine.identity()))
    fields = [field for field in option_fields(engine.options_class).values() if field.recorded]
    asked = [field for field in fields if field.name in named]
    told = {field.name: _is_told_apart(engine, field, make_with) for field in asked}
    silent = [name for name, apart in told.items() if apart is False]
    unknown = [name for name, apart in told.items() if apart is None]
    rest = [field.name for field in fields if field.name not in named]
    by_itself = f"recorded by evalkit: {', '.join(rest)}" if rest else ""
    detail = ", ".join(silent) or (f"cannot be tried: {', '.join(unknown)}" if unknown else by_itself)
    return EngineCheck(rule, False if silent else (None if unknown or not asked else True), detail)


def _is_told_apart(
    engine: Engine, field: OptionField, make_with: Callable[[Mapping[str, object]], Engine]
) -> bool | None:
    """Whether some other value changes the identity; None where the engine takes none of those that are tried."""
    apart: bool | None = None
    current = getattr(getattr(engine, "options", None), field.name, field.default)
    for value in _other_values(field, current):
        try:
            other = make_with({field.name: value})
            apart = not _same_json(engine.identity, other.identity)
            other.close()
        except (Exception, SystemExit):  # a value of no use to the engine: the next one may be
            continue
        if apart:
            return True
    return apart


def _other_values(field: OptionField, current: object) -> list[object]:
    """Values of an option's type that differ from the one it has, which need not be its default."""
    kinds = [field.kind]
    found: list[object] = []
    while kinds:
        kind = kinds.pop()
        if get_origin(kind) is Literal:
            found += get_args(kind)
        elif get_origin(kind) is tuple:
            found += [(), ("other",), ("name=1",)]
        elif get_args(kind):
            kinds += get_args(kind)
        elif kind is bool:
            found += [True, False]
        elif kind in (int, float):
            near = current if isinstance(current, int | float) else 0
            found += [near + 1, near - 1, near * 2, near / 2, 0, 1, 2, 1000]
        elif kind is str:
            found += [f"{current or ''}other", "1"]
    return [value for value in [*found, field.default] if value != current]


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _check_description(engine: Engine, other: Engine) -> Iterator[EngineCheck]:
    yield EngineCheck("identity is JSON and the same each time", _same_json(engine.identity, other.identity))
    yield EngineCheck("environment is JSON", _same_json(engine.environment, engine.environment))
    gpus, context = engine.gpus, engine.context_length()
    yield EngineCheck("gpus is a count", _is_count(gpus), repr(gpus))
    yield EngineCheck(
        "context_length is a number of tokens or None", context is None or _is_count(context), f"{context}"
    )
    prompts = [engine.render(request) for request in (*REQUESTS, *REQUESTS)]
    half = len(REQUESTS)
    yield EngineCheck("rendering twice gives the same prompt", prompts[:half] == prompts[half:])
    if prompts[0] is None:
        yield EngineCheck("a prompt ends with its prefix", None, "the engine renders its prompts out of sight")
    else:
        whole = all(p is not None and p.text.endswith(p.prefix) and p.token_ids for p in prompts)
        yield EngineCheck("a prompt ends with its prefix", whole and engine.tokenizer is not None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _recorded(described: Any) -> str:
    return json.dumps(described, sort_keys=True, allow_nan=False)


def _same_json(first: Callable[[], Any], second: Callable[[], Any]) -> bool:
    """Whether both give the same dict, which can be recorded."""
    try:
        one, other = first(), second()
        return isinstance(one, dict) and _recorded(one) == _recorded(other)
    except (TypeError, ValueError):
        return False


def _check_completions(engine: Engine) -> Iterator[EngineCheck]:
    requests = [*REQUESTS, *_over_long(engine)]
    completions = [require_completion(engine, given) for given in generated(engine, iter(requests))]
    keys = sorted(completion.key for completion in completions)
    wanted = sorted(request.key for request in requests)
    detail = f"{len(keys)} of {len(wanted)}{_misanswered(keys, wanted)}"
    yield EngineCheck("every request is answered exactly once", keys == wanted, detail)
    if keys != wanted:
        return
    by_key = {completion.key: completion for completion in completions}
    yield from _check_records(by_key)
    yield _check_over_long(engine, by_key)
    yield from _check_limits(by_key)
    yield _check_prefix(engine, by_key[PREFIXED.key])
    again = {c.key: c for c in engine.generate(iter([*SAMPLED, *GREEDY][::-1]))}
    yield from _check_repetition(engine, by_key, again)
    yield _check_stop(engine, by_key)
    yield EngineCheck("no request gives no completion", not list(engine.generate(iter(()))))


def _misanswered(keys: Sequence[SampleKey], wanted: Sequence[SampleKey]) -> str:
    counts = Counter(keys)
    faults = {
        "answered more than once": [key for key in wanted if counts[key] > 1],
        "not asked for": [key for key in counts if key not in set(wanted)],
        "not answered": [key for key in wanted if not counts[key]],
    }
    return "".join(f"; {fault}: {_some(map(sample_name, found))}" for fault, found in faults.items() if found)


def _over_long(engine: Engine) -> list[Request]:
    context = engine.context_length()
    return [make_request("9 " * context, "over-long", max_tokens=4)] if context else []


def _check_records(by_key: dict[SampleKey, Completion]) -> Iterator[EngineCheck]:
    made = [c for c in by_key.values() if c.problem_id != "over-long"]
    failed = [c for c in made if c.finish_reason == "error"]
    yield EngineCheck(
        "requests are served without error", not failed, _some(f"{c.problem_id}: {c.error}" for c in failed)
    )
    reasons = {c.finish_reason for c in by_key.values()}
    yield EngineCheck("finish reasons are known ones", reasons <= set(get_args(FinishReason)), _some(sorted(reasons)))
    unexplained = [c.problem_id for c in by_key.values() if (c.finish_reason == "error") != (c.error is not None)]
    yield EngineCheck("an error, and nothing else, says what went wrong", not unexplained, _some(unexplained))
    counts = [n for c in by_key.values() for n in (c.prompt_tokens, c.completion_tokens) if n is not None]
    times = [c.seconds for c in by_key.values()]
    sound = all(map(_is_count, counts)) and all(t is not None and math.isfinite(t) and t >= 0 for t in times)
    yield EngineCheck("counts and seconds are not negative", sound)


def _check_over_long(engine: Engine, by_key: dict[SampleKey, Completion]) -> EngineCheck:
    rule = "a prompt longer than the context is an error completion"
    over_long = [c for c in by_key.values() if c.problem_id == "over-long"]
    if not over_long:
        return EngineCheck(rule, None, "the context length is not known")
    return EngineCheck(rule, over_long[0].finish_reason == "error", over_long[0].error or over_long[0].finish_reason)


def _check_limits(by_key: dict[SampleKey, Completion]) -> Iterator[EngineCheck]:
    served = [(r, by_key[r.key]) for r in REQUESTS if by_key[r.key].finish_reason != "error"]
    counted = [(r.params.max_tokens, c) for r, c in served if c.completion_tokens is not None]
    if not counted:
        for rule in ("max_tokens is kept to the token", 'a completion cut at max_tokens has finish_reason "length"'):
            yield EngineCheck(rule, None, "the engine does not tell how many tokens it has made")
        return
    longer = [
        f"{c.problem_id}: {c.completion_tokens} of {most}" for most, c in counted if (c.completion_tokens or 0) > most
    ]
    yield EngineCheck("max_tokens is kept to the token", not longer, _some(longer))
    early = [
        f"{c.problem_id}: {c.completion_tokens} of {most}"
        for most, c in counted
        if c.finish_reason == "length" and c.completion_tokens != most
    ]
    cut = sum(c.finish_reason == "length" for _, c in counted)
    rule = 'a completion cut at max_tokens has finish_reason "length"'
    yield EngineCheck(rule, not early and cut > 0, _some(early) or ("" if cut else "none of them was cut"))


def _check_prefix(engine: Engine, completion: Completion) -> EngineCheck:
    rule = "a response begun in the prompt is recorded as the completion's prefix"
    prompt = engine.render(PREFIXED)
    if completion.finish_reason == "error":
        return EngineCheck(rule, False, completion.error or "")
    if prompt is None:
        known = completion.prefix in ("", PREFIX)
        return EngineCheck(rule, None if known else False, f"{completion.prefix!r}; the prompt is out of sight")
    return EngineCheck(rule, completion.prefix == prompt.prefix != "", repr(completion.prefix))


def _check_repetition(
    engine: Engine, first: dict[SampleKey, Completion], again: dict[SampleKey, Completion]
) -> Iterator[EngineCheck]:
    def differing(requests: Sequence[Request]) -> int:
        return sum(first[r.key].text != again[r.key].text for r in requests)

    greedy = differing(GREEDY)
    yield EngineCheck("greedy completions are the same again, in another order", not greedy, f"{greedy} differ")
    seeded = differing(SAMPLED)
    same = seeded <= (1 - _SEEDED_SHARE) * len(SAMPLED)
    detail = f"{seeded} of {len(SAMPLED)} differ"
    if not engine.honours_seeds:
        detail += "; the engine does not promise it"
    promised = engine.honours_seeds or None
    yield EngineCheck("a sample is the same again, in another order and batch", same or (promised and False), detail)
    texts = {first[r.key].text for r in SAMPLED}
    yield EngineCheck("samples of one problem differ", len(texts) > 1 or (promised and False), f"{len(texts)} texts")


def _check_stop(engine: Engine, by_key: dict[SampleKey, Completion]) -> EngineCheck:
    rule = "a stop string ends the text before it"
    request = max(GREEDY, key=lambda r: len(by_key[r.key].text))
    text = by_key[request.key].text
    places = [i for i in range(2, len(text)) if text[i].isascii() and text[i].isalnum() and text.index(text[i]) == i]
    if not places:
        return EngineCheck(rule, None, "no text is long enough")
    stop = text[places[0]]
    (completion,) = engine.generate(iter([replace(request, params=replace(request.params, stop=(stop,)))]))
    as_wanted = (completion.text, completion.finish_reason) == (text[: places[0]], "stop")
    if not as_wanted and completion.completion_tokens is None:
        return EngineCheck(rule, None, "recorded texts are given as they are")
    return EngineCheck(rule, as_wanted, "" if as_wanted else f"{completion.text!r} for {text!r} and {stop!r}")


def _check_laziness(engine: Engine) -> Iterator[EngineCheck]:
    drawn = 0

    def source() -> Iterator[Request]:
        nonlocal drawn
        for number in range(_SOURCE_LENGTH):
            drawn += 1
            yield make_request(f"What is {number} + 1?", f"lazy-{number}", max_tokens=1)

    completions = engine.generate(source())
    for _ in range(2):
        next(completions)
    close = getattr(completions, "close", None)
    if close is not None:
        close()
    rule = "requests are drawn when there is room for them"
    yield EngineCheck(rule, drawn < _SOURCE_LENGTH, f"{drawn} drawn for 2 completions")
    after = drawn
    served = [c.key for c in engine.generate(iter(GREEDY[:1]))]
    rule = "closing the iterator ends the drawing, and the engine serves again"
    yield EngineCheck(rule, drawn == after and served == [GREEDY[0].key])


def _check_closing(engine: Engine) -> EngineCheck:
    try:
        engine.close()
        engine.close()
    except (Exception, SystemExit) as error:  # a stranger's engine raises what it likes
        return EngineCheck("close may be called twice", False, _told(error))
    return EngineCheck("close may be called twice", True)


def _some(items: Any) -> str:
    listed = list(map(str, items))
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return "; ".join(listed[:3]) + more


def require_passed(name: str, checks: Sequence[EngineCheck]) -> None:
    """Raises RunIncompleteError that names the rules an engine breaks."""
    if broken := [check.rule for check in checks if check.passed is False]:
        raise RunIncompleteError(
            f"The engine {name} breaks {len(broken)} of {len(checks)} rules: {'; '.join(broken)}.",
            "docs/adding-an-engine.md explains each rule.",
        )
