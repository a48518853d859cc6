"""The records that pass from a dataset row to a table cell."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, get_args

from annotated_types import Ge, Le, Lt

from evalkit.errors import EvalkitError

Status = Literal["correct", "wrong", "no_answer", "truncated", "error"]
STATUSES: tuple[Status, ...] = get_args(Status)
FinishReason = Literal["stop", "length", "repetition", "error", "unknown"]
Unit = Literal["%", "rating", "count", "mean", "tokens", "seconds"]
Fact = str | int | float | bool | None
# As read from files: what a stranger writes there has to fit into an array.
SampleIndex = Annotated[int, Ge(0), Lt(1 << 31)]
TokenCount = Annotated[int, Ge(0), Le(1 << 53)]
Seconds = Annotated[float, Ge(-1e15), Le(1e15)]  # excludes what is not a number


class Message(TypedDict):
    """One chat message.

    Examples:
        >>> Message(role="user", content="What is 1 + 1?")
        {'role': 'user', 'content': 'What is 1 + 1?'}
    """

    role: Literal["system", "user", "assistant"]
    content: str


class SampleKey(NamedTuple):
    """The key of one completion of a run.

    Examples:
        >>> SampleKey("aime24", "60", 3)
        SampleKey(task='aime24', problem_id='60', sample_index=3)
    """

    task: str
    problem_id: str
    sample_index: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a benchmark. `target` is the right answer: a value, a letter, or encoded tests.

    Examples:
        >>> Problem("sum-1", "What is 1 + 1?", "2").target
        '2'
    """

    id: str
    prompt: str
    target: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are sampled.

    A `temperature` of 0 is greedy decoding. `n` is the number of completions per problem, and `seed` is the run's seed.

    Raises EvalkitError for a value that is out of range.

    Examples:
        >>> SamplingParams(temperature=0, max_tokens=1024).n
        1
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
            raise EvalkitError(f"top_p is {self.top_p}, it has to be above 0 and at most 1.", "1 disables it.")
        if self.top_k is not None and self.top_k < 1:
            raise EvalkitError(f"top_k is {self.top_k}, it has to be 1 or more.", "omit it to disable top_k.")
        if self.max_tokens < 1:
            raise EvalkitError(
                f"max_tokens is {self.max_tokens}, it has to be 1 or more.",
                "DeepSeek-R1's protocol uses 32768.",
            )
        if self.n < 1:
            raise EvalkitError(f"n is {self.n}, but a problem needs at least one completion.", "pass -n 1 or more.")


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one completion.

    `response_prefix` is the text that opens the response if the chat template leaves that open; with "auto" the engine
    decides (`evalkit.engines.prompts.decide_opening`). A first system message without content asks for no system
    prompt, not even the one that a chat template writes by itself.
    `expected_tokens` is how long it will get, as far as the queue can tell: an engine may plan its memory by it.

    Examples:
        >>> message = Message(role="user", content="What is 1 + 1?")
        >>> Request("sums", "sum-1", 0, (message,), SamplingParams()).key
        SampleKey(task='sums', problem_id='sum-1', sample_index=0)
    """

    task: str
    problem_id: str
    sample_index: int
    messages: tuple[Message, ...]
    params: SamplingParams
    response_prefix: str = ""
    expected_tokens: int | None = None

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)

    @property
    def seed(self) -> int:
        """The seed of this completion, in [0, 2^63). It depends only on the run's seed and the key."""
        identity = "\x1f".join((str(self.params.seed), self.task, self.problem_id, str(self.sample_index)))
        return int.from_bytes(hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class Completion:
    """The raw text of one completion.

    `prefix` is the part of the response that is in the prompt (such as `<think>\\n`, added by the chat template or the
    protocol), so `prefix + text` is the response. `prompt_tokens` and `completion_tokens` count tokens, the
    end-of-sequence token included; `seconds` is the wall-clock time of the request. They are None if the engine, or an
    imported log, does not report them. The finish reason "unknown" is of a log that does not tell why the text ended.
    With the finish reason "error", `error` says what went wrong and `text` may be incomplete.

    Examples:
        >>> Completion("sums", "1", 0, "It is", "length", prompt_tokens=12, completion_tokens=2, seconds=0.1).truncated
        True
    """

    task: str
    problem_id: str
    sample_index: SampleIndex
    text: str
    finish_reason: FinishReason
    prompt_tokens: TokenCount | None
    completion_tokens: TokenCount | None
    seconds: Seconds | None
    prefix: str = ""
    error: str | None = None

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.task, self.problem_id, self.sample_index)

    @property
    def truncated(self) -> bool:
        """Whether the model was stopped before it finished."""
        return self.finish_reason in ("length", "repetition")


NO_RIGHT_ANSWER = "the problem has no right answer to compare with"  # the explanation of such a score


@dataclass(frozen=True, slots=True)
class Score:
    """The grade of one completion.

    `value` is in [0, 1]. `answer` is the extracted answer, or None, and `extracted_by` names the rule that found it.
    `metadata` holds facts for the task's `extra_metrics`, such as a judge's verdict. `key` is set by evalkit.

    Raises ValueError for a value outside [0, 1] and for an unknown status.

    Examples:
        >>> Score(1.0, "correct", answer="2").status
        'correct'
    """

    value: float
    status: Status
    answer: str | None = None
    explanation: str = ""
    extracted_by: str = ""
    metadata: Mapping[str, Fact] = field(default_factory=dict)
    key: SampleKey | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a score's value has to lie in [0, 1], not {self.value}")
        if self.status not in STATUSES:
            raise ValueError(f"a score's status is one of {', '.join(STATUSES)}, not {self.status!r}")


class Interval(NamedTuple):
    """The ends of a 95% interval.

    Examples:
        >>> low, high = Interval(64.5, 80.7)
        >>> low
        64.5
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a report, in `unit`. `n` is the number of completions it is computed from.

    `stderr_run` and `interval_run` (95%) are run to run: the same problems, new completions. `stderr_problems` and
    `interval_problems` (95%) are over problems: other problems of the same kind. Each is None if it is not available.
    `note` is an explanation. `text` is printed instead of a value that is only a bound, such as `above 3,900`.

    Examples:
        >>> Metric("pass@1", 72.6, n=1920, unit="%", stderr_problems=8.1).value
        72.6
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
    text: str = ""
