"""Engines as plug-ins, in this process: the suite's whole result, what is believed of an engine, names and options."""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from evalkit.benchmark.protocols import find_protocol
from evalkit.engines import Engine, open_engine, option
from evalkit.engines import registry as found_by_name
from evalkit.engines.answers import (
    answers,
    context_of,
    described,
    repair_hint,
    require_completion,
    sample_name,
    with_reason,
)
from evalkit.engines.contract import (
    GREEDY,
    LIMITED,
    ODD,
    PREFIX,
    PREFIXED,
    REQUESTS,
    SAMPLED,
    EngineCheck,
    _misanswered,
    _other_values,
    _some,
    check_engine,
    require_passed,
)
from evalkit.engines.endings import Endings, end_token_ids, require_end
from evalkit.engines.options import Count, OpenAIOptions, ReplayOptions, TransformersOptions
from evalkit.engines.prompts import Opening, Prompt
from evalkit.engines.registry import (
    OptionField,
    default_engine,
    load_engine_file,
    make_options,
    missing_packages,
    names_in,
    only_engine,
    option_fields,
    read_assignments,
    unnamed_options,
)
from evalkit.engines.threads import iterate, iterate_async, run_async
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.run.session import engine_environment, run_identity
from evalkit.types import Completion, Request, SampleKey, SamplingParams

# The suite


@dataclass(frozen=True, slots=True)
class Settings:
    words: int = option(12, "Words.")
    loud: bool = option(False, "Loud.")
    pace: int = option(1, "Pace.", recorded=False)


class Letters(Engine):
    """Answers with letters; each answer is a token per letter. It renders its prompts and knows its context."""

    name = "letters"
    options_class = Settings
    opened = 0

    def __init__(self, model: str, options: Settings) -> None:
        self.model, self.options = model, options
        self.reserved: list[int] = []
        self.closed = 0
        self.seen: list[Request] = []

    def identity(self) -> dict[str, Any]:
        return {"engine": self.name, "model": self.model, "words": self.options.words}

    def environment(self) -> dict[str, Any]:
        return {"version": 1}

    def context_length(self) -> int | None:
        return 40

    def reserve(self, tokens: int) -> None:
        self.reserved.append(tokens)

    @property
    def tokenizer(self) -> Any:
        return self

    def render(self, request: Request) -> Prompt | None:
        text = request.messages[-1]["content"] + ">" + request.response_prefix
        return Prompt(text, tuple(range(len(text.split()) + 1)), request.response_prefix)

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            self.seen.append(request)
            prompt = self.render(request)
            assert prompt is not None
            if len(prompt.token_ids) >= 40:
                yield Completion(*request.key, "", "error", len(prompt.token_ids), 0, 0.0, error="too long")
                continue
            seed = request.seed if request.params.temperature else len(request.messages[-1]["content"])
            text = "".join("abcdefghijklmnop"[(seed >> i) % 16] + str(i % 10) for i in range(self.options.words))
            made, reason = text[: request.params.max_tokens], "stop"
            if len(made) < len(text):
                reason = "length"
            for stop in request.params.stop:
                if stop in made:
                    made, reason = made[: made.index(stop)], "stop"
            found: Any = reason
            yield Completion(*request.key, made, found, 3, len(made), 0.5, prompt.prefix)

    def close(self) -> None:
        self.closed += 1


RULES = """
it has a name
its options are a frozen dataclass
every option is described
every option has a default
identity is JSON and the same each time
environment is JSON
gpus is a count | 0
context_length is a number of tokens or None | 40
rendering twice gives the same prompt
a prompt ends with its prefix
identity changes with each option that it names, unless that is declared with recorded=False | recorded by evalkit: loud
every request is answered exactly once | 19 of 19
requests are served without error
finish reasons are known ones | error; length
an error, and nothing else, says what went wrong
counts and seconds are not negative
a prompt longer than the context is an error completion | too long
max_tokens is kept to the token
a completion cut at max_tokens has finish_reason "length"
a response begun in the prompt is recorded as the completion's prefix | '<think>\\n'
greedy completions are the same again, in another order | 0 differ
a sample is the same again, in another order and batch | 0 of 8 differ
samples of one problem differ | 8 texts
a stop string ends the text before it
no request gives no completion
requests are drawn when there is room for them | 2 drawn for 2 completions
closing the iterator ends the drawing, and the engine serves again
identity is the same after generating
close may be called twice
"""


def checked(kind: type[Any]) -> tuple[list[EngineCheck], list[Any]]:
    made: list[Any] = []

    def make() -> Any:
        made.append(kind("m", Settings(words=14)))
        return made[-1]

    def make_with(options: Mapping[str, object]) -> Any:
        return kind("m", replace(Settings(words=14), **options))  # type: ignore[arg-type]

    return list(check_engine(make, make_with)), made


def test_the_whole_result_of_the_suite() -> None:
    checks, made = checked(Letters)
    wanted = [line.split(" | ") for line in RULES.strip().splitlines()]
    assert [(c.rule, c.detail) for c in checks] == [(line[0], line[1] if len(line) > 1 else "") for line in wanted]
    assert all(check.passed is True for check in checks)
    assert len(made) == 2, "it is opened twice"
    assert [each.closed for each in made] == [2, 1], "the second one is closed, too"
    assert made[0].reserved == [4096]
    require_passed("letters", checks)


def test_what_the_suite_asks() -> None:
    assert [len(each) for each in (GREEDY, SAMPLED, LIMITED, ODD, REQUESTS)] == [4, 8, 3, 2, 18]
    assert {r.params for r in GREEDY} == {SamplingParams(temperature=0.0, max_tokens=24)}
    assert GREEDY[2].messages == ({"role": "user", "content": "What is 2 + 6?"},)
    assert {r.params for r in SAMPLED} == {SamplingParams(temperature=2.0, top_p=1.0, seed=3, max_tokens=24)}
    assert [r.params.max_tokens for r in LIMITED] == [1, 2, 9]
    assert [(r.problem_id, r.sample_index) for r in SAMPLED[:2]] == [("sampled", 0), ("sampled", 1)]
    assert (PREFIXED.response_prefix, PREFIX) == ("<think>\n", "<think>\n")
    assert [r.messages[0]["content"] for r in ODD] == ["", "äöü 你好 🙂 \u202e\x00"]
    assert {r.task for r in REQUESTS} == {"evalkit-check"}
    assert len({r.key for r in REQUESTS}) == 18


class Silent(Letters):
    """A server: it shows no prompts, counts no tokens, keeps no seeds."""

    honours_seeds = False

    def context_length(self) -> int | None:
        return None

    def render(self, request: Request) -> Prompt | None:
        return None

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            yield Completion(*request.key, "constant", "stop", None, None, 0.0)


def test_what_cannot_be_checked_is_not_called_broken() -> None:
    checks, _ = checked(Silent)
    unknown = {check.rule: check.detail for check in checks if check.passed is None}
    assert unknown == {
        "a prompt ends with its prefix": "the engine renders its prompts out of sight",
        "a prompt longer than the context is an error completion": "the context length is not known",
        "max_tokens is kept to the token": "the engine does not tell how many tokens it has made",
        'a completion cut at max_tokens has finish_reason "length"':
            "the engine does not tell how many tokens it has made",
        "a response begun in the prompt is recorded as the completion's prefix": "''; the prompt is out of sight",
        "samples of one problem differ": "1 texts",
        "a stop string ends the text before it": "recorded texts are given as they are",
    }  # fmt: skip
    seeded = next(c for c in checks if c.rule == "a sample is the same again, in another order and batch")
    assert (seeded.passed, seeded.detail) == (True, "0 of 8 differ; the engine does not promise it")
    assert not [check.rule for check in checks if check.passed is False]


Spoil = Callable[[Completion], Completion]


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        (lambda c: c if c.error else replace(c, text="", finish_reason="stop"), {
            'a completion cut at max_tokens has finish_reason "length"': "none of them was cut",
            "samples of one problem differ": "1 texts",
        }),
        (lambda c: replace(c, completion_tokens=c.completion_tokens + 1) if c.finish_reason == "length" else c, {
            "max_tokens is kept to the token":
                "greedy-0: 25 of 24; greedy-1: 25 of 24; greedy-2: 25 of 24 and 15 more",
            'a completion cut at max_tokens has finish_reason "length"':
                "greedy-0: 25 of 24; greedy-1: 25 of 24; greedy-2: 25 of 24 and 15 more",
        }),
        (lambda c: replace(c, prefix=""), {
            "a response begun in the prompt is recorded as the completion's prefix": "''"}),
        (lambda c: replace(c, error="odd") if c.problem_id == "empty" else c, {
            "an error, and nothing else, says what went wrong": "empty"}),
        (lambda c: replace(c, seconds=-0.5) if c.problem_id == "empty" else c, {
            "counts and seconds are not negative": ""}),
        (lambda c: replace(c, seconds=None) if c.problem_id == "empty" else c, {
            "counts and seconds are not negative": ""}),
        (lambda c: replace(c, finish_reason="error", error="no") if c.problem_id == "prefix" else c, {
            "requests are served without error": "prefix: no",
            "a response begun in the prompt is recorded as the completion's prefix": "no",
        }),
        (lambda c: replace(c, finish_reason="stop", error=None) if c.problem_id == "over-long" else c, {
            "a prompt longer than the context is an error completion": "stop"}),
    ],
)  # fmt: skip
def test_a_spoilt_completion_breaks_its_rules_and_no_other(spoil: Spoil, broken: dict[str, str]) -> None:
    class Spoilt(Letters):
        def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
            return map(spoil, super().generate(requests))

    checks, _ = checked(Spoilt)
    assert {check.rule: check.detail for check in checks if check.passed is False} == broken
    with pytest.raises(RunIncompleteError) as caught:
        require_passed("s", checks)
    assert caught.value.message == f"The engine s breaks {len(broken)} of 29 rules: {'; '.join(broken)}."


def test_answers_that_are_not_those_of_the_requests_are_named() -> None:
    a, b, c = (SampleKey("t", name, 0) for name in "abc")
    assert _misanswered([a, b], [a, b]) == ""
    assert _misanswered([a, a, c], [a, b]) == (
        "; answered more than once: sample 0 of problem a of t; not asked for: sample 0 of problem c of t; "
        "not answered: sample 0 of problem b of t"
    )
    told = ["", "a; b; c", "a; b; c and 1 more", "a; b; c and 2 more"]
    assert [_some(each) for each in ("", "abc", "abcd", "abcde")] == told


def test_values_that_an_option_is_tried_with() -> None:
    def values(kind: Any, current: Any = None, default: Any = None) -> list[object]:
        return _other_values(OptionField("x", kind, current if default is None else default, ""), current)

    assert values(bool, False) == [True]
    assert values(bool, True) == values(bool, True, default=False)[:1] == [False], "the value it has is not another one"
    assert values(int, 4, default=9) == [5, 3, 8, 2.0, 0, 1, 2, 1000, 9]
    assert values(int, 4) == [5, 3, 8, 2.0, 0, 1, 2, 1000]
    assert values(Count | None) == [1, -1, 0, 0.0, 0, 1, 2, 1000]
    assert values(str, "a") == ["aother", "1"]
    assert values(str | None) == ["other", "1"]
    assert values(Literal["x", "y"], "x") == ["y"]
    assert values(tuple[str, ...], ()) == [("other",), ("name=1",)]
    assert values(dict) == []


# What is believed of an engine


class Asked:
    """Requests of a run."""

    def __init__(self, *names: str) -> None:
        self.left = [Request("t", name, 0, (), SamplingParams()) for name in names]
        self.out: list[SampleKey] = []

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        if not self.left:
            raise StopIteration
        request = self.left.pop(0)
        self.out.append(request.key)
        return request

    def close(self, key: SampleKey) -> bool:
        if key not in self.out:
            return False
        self.out.remove(key)
        return True

    def unanswered(self) -> list[SampleKey]:
        return self.out

    def __len__(self) -> int:
        return len(self.left)


def answering(generate: Callable[[Iterator[Request]], Any]) -> Any:
    class Own(Letters):
        name = "own"

    engine: Any = Own("m", Settings())
    engine.generate = generate
    return engine


def done(request: Request, **fields: Any) -> Completion:
    return replace(Completion(*request.key, "x", "stop", 1, 1, 0.0), **fields)


def test_answers_are_passed_on_one_for_each_request() -> None:
    engine = answering(lambda requests: (done(request) for request in requests))
    assert [c.problem_id for c in answers(engine, Asked("a", "b"))] == ["a", "b"]
    failing = answering(lambda requests: (done(r, finish_reason="error") for r in requests))
    [found] = answers(failing, Asked("a"))
    assert found.error == "the engine own does not say what went wrong"
    said = done(Asked("a").left[0], finish_reason="error", error="why")
    assert with_reason(engine, said) is said
    assert with_reason(engine, done(Asked("a").left[0])).error is None
    assert sample_name(SampleKey("t", "p", 3)) == "sample 3 of problem p of t"
    assert repair_hint(engine) == (
        "repair the engine (`evalkit engines check own`) and run the same command again: "
        "the completions so far are kept."
    )


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        (lambda requests: None, "generate() of the engine own returned None, not an iterator of completions."),
        (lambda requests: 3, "generate() of the engine own returned a value of type int, not an iterator of "
         "completions."),
        (lambda requests: ["text"], "The engine own gave a value of type str, not a Completion."),
        (lambda requests: [done(next(requests), text=3)],
         "The engine own gave a Completion whose text is wrong: Input should be a valid string."),
        (lambda requests: [done(next(requests), completion_tokens=-1)],
         "The engine own gave a Completion whose completion_tokens is wrong: Input should be greater than or "
         "equal to 0."),
        (lambda requests: [done(r) for r in list(requests) * 2],
         "The engine own gave sample 0 of problem a of t though it was not asked for it."),
        (lambda requests: [Completion("t", "k", 0, "", "stop", 1, 1, 0.0)],
         "The engine own gave sample 0 of problem k of t a second time."),
        (lambda requests: [done(r) for r in requests if r.problem_id != "b"],
         "The engine own ended and left 1 requests unanswered, such as sample 0 of problem b of t."),
        (lambda requests: [done(next(requests))], "The engine own ended and left 1 requests unanswered."),
        (lambda requests: [], "The engine own ended and left 2 requests unanswered."),
    ],
)  # fmt: skip
def test_what_an_engine_may_not_do(generate: Any, message: str) -> None:
    engine = answering(generate)
    with pytest.raises(RunIncompleteError) as caught:
        list(answers(engine, Asked("a", "b"), {SampleKey("t", "k", 0)}))
    assert (caught.value.message, caught.value.hint) == (message, repair_hint(engine))


def test_a_completion_is_taken_as_its_fields_say() -> None:
    engine = answering(lambda requests: None)
    odd: Any = done(Asked("a").left[0], seconds=3)
    assert require_completion(engine, odd) == replace(odd, seconds=3.0)
    with pytest.raises(RunIncompleteError, match="gave a Completion whose text is wrong: it is bytes"):
        require_completion(engine, replace(odd, text=b"x"))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "is None, not a dict."),
        ([], "is a list, not a dict."),
        ({"a": {1}}, "cannot be written as JSON: Object of type set is not JSON serializable."),
        ({"a": math.nan}, "cannot be written as JSON: Out of range float values are not JSON compliant"),
    ],
)
def test_what_an_engine_says_of_itself_is_a_dict_for_run_json(found: Any, message: str) -> None:
    class Odd(Letters):
        def environment(self) -> dict[str, Any]:
            return cast(dict[str, Any], found)

        def identity(self) -> dict[str, Any]:
            return cast(dict[str, Any], found)

    letters, odd = Letters("m", Settings()), Odd("m", Settings())
    assert described(letters, "environment()", {"a": 1}) == {"a": 1}
    calls: dict[str, Callable[[], object]] = {
        "environment()": lambda: engine_environment(odd),
        "identity()": lambda: run_identity(odd, find_protocol("deepseek-r1"), 0),
    }
    for member, call in calls.items():
        with pytest.raises(EvalkitError) as caught:
            call()
        assert caught.value.message.startswith(f"The {member} of the engine letters {message}")
    checks, _ = checked(Odd)
    broken = {check.rule for check in checks if check.passed is False}
    assert {"identity is JSON and the same each time", "environment is JSON"} <= broken


@pytest.mark.parametrize(("length", "sound"), [(None, True), (1, True), (0, False), ("4096", False), (True, False)])
def test_a_context_is_a_number_of_tokens(length: Any, sound: bool) -> None:
    class Odd(Letters):
        def context_length(self) -> int | None:
            return cast("int | None", length)

    if sound:
        assert context_of(Odd("m", Settings())) == length
    else:
        with pytest.raises(EvalkitError, match=re.escape(f"is {length!r}, not a number of tokens or None.")):
            context_of(Odd("m", Settings()))


# Names and options


def test_options_are_read_from_a_dataclass() -> None:
    @dataclass(frozen=True)
    class Own:
        a: int
        b: tuple[str, ...] = option((), "B.")
        c: list[int] = field(default_factory=lambda: [1])
        d: Mapping[str, object] = field(default_factory=dict, metadata={"others": True})
        e: int = field(default=3, init=False)
        f: str = option("x", "F.", recorded=False)

    assert option_fields(Own) == {
        "a": OptionField("a", int, None, "", True),
        "b": OptionField("b", tuple[str, ...], (), "B.", True),
        "c": OptionField("c", list[int], [1], "", True),
        "f": OptionField("f", str, "x", "F.", False),
    }
    assert [one.repeatable for one in option_fields(Own).values()] == [False, True, False, False]


def test_options_are_made_of_what_was_given() -> None:
    class Own:
        name = "own"
        options_class = OpenAIOptions

    class Open:
        @dataclass(frozen=True)
        class Options:
            a: int = option(1, "A.")
            rest: Mapping[str, object] = field(default_factory=dict, metadata={"others": True})

        name = "open"
        options_class = Options

    own: Any = Own
    given = {"base_url": "http://h", "header": ["a: b"], "request_field": {"x": [1]}, "concurrency": "7",
             "served_model": "none", "max_model_len": "", "tokenizer": "None", "stream": "false"}  # fmt: skip
    assert make_options(own, given) == OpenAIOptions(
        base_url=("http://h",), header=("a: b",), request_field=("x=[1]",), concurrency=7, stream=False
    )
    with pytest.raises(EvalkitError) as caught:
        make_options(own, {"concurrency": 0})
    assert caught.value.message == "The option concurrency=0 of own is wrong: Input should be greater than 0."
    assert caught.value.hint == (
        "Requests in flight to each server [default: found while running]. See `evalkit engines show own`."
    )
    with pytest.raises(EvalkitError, match="is wrong"):
        make_options(own, {"api": "none"})
    with pytest.raises(EvalkitError) as caught:
        make_options(own, {"concurency": 1})
    assert caught.value.message == "The own engine has no option 'concurency'. Did you mean concurrency?"
    assert caught.value.hint.startswith("its options are revision, trust_remote_code, ")
    with pytest.raises(EvalkitError) as caught:
        make_options(own, {"lora": "x"})
    assert (caught.value.message, caught.value.hint) == (
        "The own engine has no option 'lora'.", "it is an option of --engine transformers or vllm."
    )  # fmt: skip
    others: Any = Open
    assert make_options(others, {"a": "2", "z": [1]}) == Open.Options(2, {"z": [1]})
    assert make_options(others, {}) == Open.Options()
    with pytest.raises(EvalkitError, match="has no option 'lora'"):
        make_options(others, {"z": 1, "lora": "x"})

    class Bare:
        name = "bare"

        @dataclass(frozen=True)
        class options_class:  # noqa: N801
            pass

    bare: Any = Bare
    with pytest.raises(EvalkitError) as caught:
        make_options(bare, {"zzz": 1})
    assert (caught.value.message, caught.value.hint) == ("The bare engine has no option 'zzz'.", "it has none.")


def test_options_that_an_identity_leaves_out() -> None:
    @dataclass(frozen=True)
    class Own:
        words: int = option(3, "W.")
        api_key: str = option("", "K.")
        token: int = option(0, "T.")
        path: Path = option(Path(), "P.")
        batch: int = option(1, "B.", recorded=False)
        monkey: str = option("", "M.")

    assert unnamed_options(Own(), {"words": 3}) == {}
    changed = Own(words=4, api_key="sk", token=5, path=Path("x"), batch=9, monkey="see")
    found = unnamed_options(changed, {"deep": {"words": 4}})
    other = unnamed_options(replace(changed, api_key="other"), {"words": 1})
    assert found is not None
    assert other is not None
    secret = found.pop("api_key")
    assert re.fullmatch("sha256:[0-9a-f]{16}", secret)
    assert secret != other.pop("api_key")
    assert found == other == {"token": 5, "path": "x", "monkey": "see"}
    assert unnamed_options(Own(), dict.fromkeys(("words", "api_key", "token", "path", "monkey"), 1)) is None
    assert unnamed_options(object(), {}) is None
    assert unnamed_options(Own, {}) is None
    assert list(names_in({"a": {"b": 1}, 3: [{"c": 1}]})) == ["a", "b", "3"]


def test_assignments() -> None:
    assert read_assignments(["batch-size=8", " a =b=c", "x=1", "x=2", "x=3", "e="]) == {
        "batch_size": "8", "a": "b=c", "x": ("1", "2", "3"), "e": ""
    }  # fmt: skip
    for wrong in ("a", "=1", ""):
        with pytest.raises(EvalkitError, match="has no value"):
            read_assignments([wrong])


FILE = """
from dataclasses import dataclass
from evalkit.engines import Engine, option

@dataclass(frozen=True)
class Options:
    words: int = option(3, "Words.")

class One(Engine):
    name = "one"
    options_class = Options
    packages = ("json", "a_package_that_is_not_there")
    install = ""

    def __init__(self, model, options):
        if model == "bad":
            raise OSError("no such voice")
        self.model, self.options = model, options

    def identity(self):
        return {}

    def generate(self, requests):
        return iter(())
"""


def test_engines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "engines_here.py"
    path.write_text(FILE)
    assert list(load_engine_file(path)) == ["one"]
    assert only_engine(path).name == "one"
    assert missing_packages(only_engine(path)) == ["a_package_that_is_not_there"]
    with pytest.raises(EvalkitError) as caught:
        open_engine(None, "m", file=path)
    assert caught.value.message == (
        "The one engine needs the package a_package_that_is_not_there, which is not installed."
    )
    assert caught.value.hint == "run `pip install a_package_that_is_not_there`."
    path.write_text(FILE.replace('("json", "a_package_that_is_not_there")', '("json",)'))
    engine: Any = open_engine("one", Path("m"), {"words": "5"}, file=path)
    assert (engine.model, engine.options.words) == ("m", 5)
    with pytest.raises(EvalkitError) as caught:
        open_engine(None, "bad", file=path)
    assert caught.value.message == "The engine one cannot be opened: OSError: no such voice (engines_here.py, line 17)."
    loaded: Any = (object(), object())
    with pytest.raises(EvalkitError, match="The one engine does not take a model that is loaded"):
        open_engine("one", loaded, file=path)
    with pytest.raises(EvalkitError) as caught:
        open_engine("one2", "m", file=path)
    assert caught.value.message == f"The engine file {path} defines no engine 'one2'. Did you mean one?"
    assert caught.value.hint == "it defines one."
    path.write_text(FILE + "\nclass Two(One):\n    name = 'two'\n")
    with pytest.raises(EvalkitError) as caught:
        only_engine(path)
    assert (caught.value.message, caught.value.hint) == (
        f"The engine file {path} defines 2 engines.", "--engine one or two."
    )  # fmt: skip
    for content, message in (
        (FILE.replace('"one"', "3"), f"The engine file {path} defines no engine. Its class One has no name."),
        (FILE.replace("= Options", "= dict"),
         f"The engine file {path} defines no engine. The options_class of its class One is not a dataclass."),
        ("x = 1\n", f"The engine file {path} defines no engine."),
        ("raise ValueError('x')", f"The engine file {path} fails when it is run: ValueError: x."),
        (FILE + "\nclass Two(One):\n    pass\n",
         f"The engine file {path} has two engines named one: One and Two."),
        (FILE.replace('"one"', '"replay"'),
         f"The engine of {path} has the name replay, which is that of evalkit's own engine."),
    ):  # fmt: skip
        path.write_text(content)
        with pytest.raises(EvalkitError) as caught:
            load_engine_file(path)
        assert caught.value.message == message
    for wrong, words in ((tmp_path, "is not a Python file"), (tmp_path / "x.txt", "There is no file")):
        with pytest.raises(EvalkitError, match=words):
            load_engine_file(wrong)


def test_the_engine_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"vllm": True}
    monkeypatch.setattr(found_by_name, "find_spec", lambda name: there.get(name) or None)
    monkeypatch.setattr(found_by_name, "visible_gpus", lambda: [1])
    assert default_engine() == "vllm"
    monkeypatch.setattr(found_by_name, "visible_gpus", list)
    assert default_engine() == "transformers"
    monkeypatch.setattr(found_by_name, "visible_gpus", lambda: [1])
    there.clear()
    assert default_engine() == "transformers"
    with pytest.raises(EvalkitError) as caught:
        open_engine("replays", "m")
    assert caught.value.message == "There is no engine 'replays'. Did you mean replay?"
    assert caught.value.hint.endswith("; --engine-file FILE.py plugs in one of your own.")


def test_defaults_of_our_options() -> None:
    defaults = {name: one.default for name, one in option_fields(TransformersOptions).items()}
    assert defaults == {
        "revision": None, "trust_remote_code": False, "max_model_len": None, "tokenizer": None, "chat_template": None,
        "chat_template_arg": (), "reasoning_effort": None, "template_date": "2026-01-01", "dtype": "auto",
        "device": None, "batch_size": None, "stop_repetition": False, "end_token": (), "data_parallel": None,
        "ray": None, "lora": None, "cuda_graphs": True,
    }  # fmt: skip
    recorded = [name for name, one in option_fields(TransformersOptions).items() if one.recorded]
    assert recorded == ["dtype", "stop_repetition"], "identity has the others' meaning, or they change no completion"
    servers = {name: one.default for name, one in option_fields(OpenAIOptions).items() if name not in defaults}
    assert servers == {
        "base_url": (), "served_model": None, "api": "chat", "concurrency": None, "request_timeout": None,
        "patience": 120.0, "stream": True, "server_preset": None, "request_field": (), "drop_field": (),
        "rename_field": (), "header": (), "accept_changed_server": False,
    }  # fmt: skip
    assert [name for name, one in option_fields(OpenAIOptions).items() if one.recorded] == ["api"]
    assert {n: (o.default, o.recorded) for n, o in option_fields(ReplayOptions).items()} == {
        "recorded": ((), False), "map": ("", False)
    }  # fmt: skip


# The members that an engine may leave out


def test_what_an_engine_inherits() -> None:
    class Least(Engine):
        name = "least"
        options_class = Settings

        def identity(self) -> dict[str, Any]:
            return {}

        def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
            return iter(())

    engine = Least()
    request = GREEDY[0]
    assert (engine.files(), engine.environment(), engine.trouble(), engine.gpus) == (None, {}, "", 0)
    assert (engine.context_length(), engine.unanswerable([request]), engine.render(request)) == (None, [], None)
    assert (engine.opening(request), engine.endings, engine.tokenizer) == (None, None, None)
    assert (Least.packages, Least.install, Least.takes_loaded_models) == ((), "", False)
    assert (Least.caps_at_context, Least.honours_seeds) == (False, True)
    opening = Opening("", "unopened", False, "why")
    engine.render = lambda request: Prompt("x", (1,), "", opening)  # type: ignore[method-assign]
    assert engine.opening(request) == opening


def test_endings_in_words() -> None:
    assert end_token_ids(3, [2, 1], None, (3,), 0) == [0, 1, 2, 3]
    assert end_token_ids((1 << 31) - 1) == [(1 << 31) - 1]
    wrong: list[Any] = [-1, 1 << 31, "2", [1, "x"], 1.5, {"a": 1}]
    for each in wrong:
        with pytest.raises(EvalkitError, match="is no token id"):
            end_token_ids(each)
    tokens = {2: "</s>", 1: "<e>"}
    assert str(Endings(tokens, None)) == "1 '<e>', 2 '</s>'"
    assert str(Endings({}, None)) == "none"
    assert str(Endings(tokens, "")) == "1 '<e>', 2 '</s>'; the chat template ends a turn with ''"
    require_end(None)
    require_end(Endings(tokens, "", doubt="perhaps"))
    with pytest.raises(EvalkitError, match="It never ends"):
        require_end(Endings(tokens, "", "It never ends."))
    assert str(Opening("<think>\n", "open", True, "why")) == "'<think>\\n', added (why)"
    assert str(Opening("<think>", "open", False, "why")) == "'<think>', by the chat template (why)"
    assert str(Opening("", "closed", False, "why")) == "none (why)"


# From an engine's thread


def test_what_a_thread_makes_comes_out_here() -> None:
    one, two = (done(request) for request in Asked("a", "b").left)
    states: list[str] = []

    def work(emit: Any, stop: Any) -> None:
        emit(one)
        emit(two)
        states.append("made")
        stop.wait(10)
        states.append("stopped")

    found: Any = iterate(work)
    assert [next(found), next(found)] == [one, two]
    found.close()
    assert states == ["made", "stopped"]

    def fails(emit: Any, stop: Any) -> None:
        emit(one)
        raise KeyError("inside")

    found = iterate(fails)
    assert next(found) == one
    with pytest.raises(KeyError, match="inside"):
        next(found)

    async def coroutine(emit: Any) -> None:
        emit(two)

    assert list(iterate_async(coroutine)) == [two]

    async def hangs(emit: Any) -> None:
        import asyncio

        emit(one)
        try:
            await asyncio.sleep(600)
        finally:
            states.append("cancelled")

    found = iterate_async(hangs)
    next(found)
    found.close()
    assert states[-1] == "cancelled"

    async def value() -> int:
        return 7

    async def raises() -> int:
        raise LookupError("there")

    assert run_async(value) == 7
    with pytest.raises(LookupError, match="there"):
        run_async(raises)


def test_what_native_code_prints_goes_to_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import os

    from evalkit.engines.native_output import prints_are_logged

    open_before = len(os.listdir("/proc/self/fd"))
    with caplog.at_level(logging.WARNING):
        with prints_are_logged():
            os.write(1, b"first \xff\n")
            os.write(2, b"second\n")
        assert caplog.messages == ["first \ufffd", "second"]
    os.write(1, b"after")
    assert capfd.readouterr().out == "after"
    assert len(os.listdir("/proc/self/fd")) == open_before, "no descriptor is left behind"
