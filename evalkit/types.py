"""The records that travel from a dataset row to a table cell: frozen, slotted, typed."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict, get_args

from evalkit.errors import EvalkitError

Status = Literal["correct", "wrong", "no_answer", "truncated", "error"]
STATUSES: tuple[Status, ...] = get_args(Status)
FinishReason = Literal["stop", "length", "repetition", "error", "unknown"]
Unit = Literal["%", "rating", "count", "tokens", "seconds"]
Fact = str | int | float | bool | None


class Message(TypedDict):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class SampleKey(NamedTuple):
    """What identifies one completion of a run."""

    task: str
    problem_id: str
    sample_index: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a benchmark; `target` is what is right: an answer, a letter, encoded tests."""

    id: str
    prompt: str
    target: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn. `temperature` 0 is greedy; `n` completions a problem; `seed` is the run's.

    Raises EvalkitError on a value that no engine could sample with.
    """

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int | None = None
    max_tokens: int = 32768
    n: int = 1
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise EvalkitError(
                f"temperature is {self.temperature}, it has to be 0 or more.",
                "0 is greedy decoding; DeepSeek-R1's protocol uses 0.6.",
            )
        if not 0 < self.top_p <= 1:
            raise EvalkitError(f"top_p is {self.top_p}, it has to be above 0 and at most 1.", "1 switches it off.")
        if self.top_k is not None and self.top_k < 1:
            raise EvalkitError(f"top_k is {self.top_k}, it has to be 1 or more.", "leave it out for no top_k.")
        if self.max_tokens < 1:
            raise EvalkitError(
                f"max_tokens is {self.max_tokens}, it has to be 1 or more.",
                "DeepSeek-R1's protocol uses 32768.",
            )
        if self.n < 1:
            raise EvalkitError(f"n is {self.n}, but a problem needs at least one completion.", "pass -n 1 or more.")


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to be made. `response_prefix` opens the response where the chat template does not."""

    task: str
    problem_id: str
    sample_index: int
    messages: tuple[Message, ...]
    params: SamplingParams
    response_prefix: str = ""

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)

    @property
    def seed(self) -> int:
        """The seed of this one completion, in [0, 2^63): it depends on (run seed, key) and on nothing else."""
        identity = "\x1f".join((str(self.params.seed), self.task, self.problem_id, str(self.sample_index)))
        return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote, raw and whole.

    `prefix` is the part of the response that stood in the prompt already (such as `<think>\\n`, whether the
    chat template or the protocol put it there), so `prefix + text` is the response. `prompt_tokens` and
    `completion_tokens` count tokens, the end-of-sequence token included, `seconds` is wall-clock time from the
    request's start to its end; they are None where the engine, or an imported log, does not tell. finish_reason
    "unknown" is of a log that does not tell why the text ended. With finish_reason "error", `error` says what went
    wrong and `text` may be cut.
    """

    task: str
    problem_id: str
    sample_index: int
    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float | None
    prefix: str = ""
    error: str | None = None

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)

    @property
    def truncated(self) -> bool:
        """Whether the model was stopped before it had finished."""
        return self.finish_reason in ("length", "repetition")


@dataclass(frozen=True, slots=True)
class Score:
    """What a grader says of one completion.

    `value` in [0, 1]; `answer` is what was extracted, None where nothing was; `extracted_by` names the rule that
    found it. `metadata` holds facts that a task's own metrics are made of, such as a judge's verdict. `key` is set by
    evalkit. A run's statuses add up to its number of completions.

    Raises ValueError on a value outside [0, 1] and on an unknown status.

    >>> Score(1.0, "correct", "42").status
    'correct'
    """

    value: float
    status: Status
    answer: str | None = None
    explanation: str = ""
    extracted_by: str = ""
    key: SampleKey | None = None
    metadata: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a score's value has to lie in [0, 1], not {self.value}")
        if self.status not in STATUSES:
            raise ValueError(f"a score's status is one of {', '.join(STATUSES)}, not {self.status!r}")


class Interval(NamedTuple):
    """The two ends of a 95% interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a report, in `unit`; `n` counts the completions it rests on.

    `stderr_problems` and `interval_problems` (95%) are over problems: another set of the same kind. `stderr_run` and
    `interval_run` are run to run: the same problems, new completions. None where there is none.

    >>> Metric("pass@1", 83.9, 2000, "%", interval_run=Interval(82.3, 85.5)).unit
    '%'
    """

    name: str
    value: float
    n: int
    unit: Unit
    stderr_run: float | None = None
    interval_run: Interval | None = None
    stderr_problems: float | None = None
    interval_problems: Interval | None = None
    note: str = ""
