"""What every reader makes of a log: one neutral record a sample, in which what the log does not tell stays unknown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from evalkit.thinking import opened_thinking, split_thinking
from evalkit.types import FinishReason

Scope = Literal["sample", "first sample", "problem", "majority"]
TextForm = Literal["raw", "thinking removed", "rejoined"]


@dataclass(frozen=True, slots=True)
class PeerVerdict:
    """What the harness that made the log said: `value` in [0, 1] of what `scope` names.

    `name` is the harness's own (a metric, a scorer, a filter). "first sample" speaks of sample 0 alone, "problem" of a
    mean or a best over a problem's samples, "majority" of its most frequent answer.
    """

    name: str
    value: float
    scope: Scope = "sample"
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedSample:
    """One completion of a log.

    `problem_id` is the log's own; `position` the row of the data set, from 0, where the log tells it. `problem` is the
    problem's text without a template, `prompt` what was sent. `text` is what the model wrote, in `text_form`;
    `reasoning` is thinking that a server kept apart from it. `gold` is the right answer as logged, `golds` all of
    them where several are accepted. `choices` are those shown, in their order. `finish_reason` is None where the log
    does not tell, `peer_finish_reason` the log's own word. `error` says why there is no completion.
    """

    problem_id: str
    sample_index: int
    text: str
    text_form: TextForm = "raw"
    reasoning: str | None = None
    position: int | None = None
    problem: str | None = None
    prompt: str | None = None
    gold: str | None = None
    golds: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    finish_reason: FinishReason | None = None
    peer_finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    answer: str | None = None
    verdicts: tuple[PeerVerdict, ...] = ()
    error: str | None = None
    note: str = ""

    @property
    def prefix(self) -> str:
        """What the prompt has opened of the response, such as `<think>\\n`; empty where the thinking is kept apart."""
        if self.reasoning is not None or self.text_form != "raw" or self.prompt is None:
            return ""
        return opened_thinking(self.prompt) or ""

    @property
    def response(self) -> str:
        """`text` with thinking that was kept apart put back before it.

        It is closed only where something follows it: a thought without an answer may have been cut.
        """
        if self.reasoning is None:
            return self.text
        parts = split_thinking(self.reasoning)
        if parts.thinking and parts.response is not None:  # it brought its own tags
            return f"{self.reasoning}\n\n{self.text}"
        opened = self.reasoning if parts.thinking else f"<think>\n{self.reasoning}"
        return f"{opened}\n</think>\n\n{self.text}" if self.text.strip() else opened + self.text

    @property
    def response_form(self) -> TextForm:
        return self.text_form if self.reasoning is None else "rejoined"


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log tells of the run as a whole: None, "" or empty where it does not tell.

    `sampling` has the names of SamplingParams where they are known. `notes` says what was left aside, and why.
    """

    model: str | None = None
    version: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


_TEXTS = ("problem_id", "text", "note")
_TEXTS_OR_NONE = ("reasoning", "problem", "prompt", "gold", "peer_finish_reason", "answer", "error")
_COUNTS_OR_NONE = ("position", "prompt_tokens", "completion_tokens")
_LARGEST = 1e12


def sample_fault(sample: object) -> str:
    """What is wrong with the types of what a reader gave as a sample; "" where it is sound."""
    if not isinstance(sample, ImportedSample):
        return f"a value of type {type(sample).__name__}, not an ImportedSample"
    wrong = [name for name in _TEXTS if not isinstance(getattr(sample, name), str)]
    wrong += [n for n in _TEXTS_OR_NONE if not isinstance(getattr(sample, n), str | None)]
    wrong += [n for n in _COUNTS_OR_NONE if (v := getattr(sample, n)) is not None and not _is_whole(v)]
    wrong += [] if _is_whole(sample.sample_index) else ["sample_index"]
    wrong += [] if isinstance(sample.seconds, int | float | None) else ["seconds"]
    wrong += [n for n in ("golds", "choices") if not _is_tuple_of(str, getattr(sample, n))]
    wrong += [] if _is_tuple_of(PeerVerdict, sample.verdicts) else ["verdicts"]
    if wrong:
        return f"a {wrong[0]} of type {type(getattr(sample, wrong[0])).__name__}: {getattr(sample, wrong[0])!r:.80}"
    if sample.finish_reason not in (None, *get_args(FinishReason)):
        return f"the finish reason {sample.finish_reason!r:.80}"
    if sample.text_form not in get_args(TextForm):
        return f"the text form {sample.text_form!r:.80}"
    return _fault_of_numbers(sample) or next(filter(None, map(_fault_of_verdict, sample.verdicts)), "")


def _fault_of_numbers(sample: ImportedSample) -> str:
    """What a run's files could not hold: counts below 0, and seconds that are not finite."""
    for name in _COUNTS_OR_NONE:
        value = getattr(sample, name)
        if value is not None and not 0 <= value <= _LARGEST:
            return f"the {name} {value!r:.80}, which is not a number from 0 on"
    if sample.seconds is not None and not abs(sample.seconds) <= _LARGEST:
        return f"the seconds {sample.seconds!r:.80}, which are not finite"
    return ""


def _fault_of_verdict(verdict: PeerVerdict) -> str:
    if not isinstance(verdict.name, str):
        return f"a verdict whose name is {verdict.name!r:.80}, not a text"
    named = f"the verdict {verdict.name!r:.80}"
    is_number = isinstance(verdict.value, int | float) and math.isfinite(verdict.value)
    if not is_number or not 0 <= verdict.value <= 1:
        return f"{named} with the value {verdict.value!r:.80}, which is not a number from 0 to 1"
    if verdict.scope not in get_args(Scope):
        return f"{named} with the scope {verdict.scope!r:.80}"
    if not isinstance(verdict.answer, str | None):
        return f"{named} with an answer of type {type(verdict.answer).__name__}: {verdict.answer!r:.80}"
    return ""


def facts_fault(facts: object) -> str:
    """What is wrong with what a reader's `facts` returned; "" where it is sound.

    Examples:
        >>> facts_fault(None), facts_fault(LogFacts("org/model"))
        ('None, not LogFacts', '')
    """
    if not isinstance(facts, LogFacts):
        return "None, not LogFacts" if facts is None else f"a value of type {type(facts).__name__}, not LogFacts"
    for name, kinds in (("model", (str, type(None))), ("version", (str,)), ("sampling", (Mapping,))):
        if not isinstance(value := getattr(facts, name), kinds):
            return f"LogFacts with a {name} of type {type(value).__name__}: {value!r:.80}"
    return (
        "" if _is_tuple_of(str, facts.notes) else f"LogFacts with notes that are no tuple of texts: {facts.notes!r:.80}"
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_tuple_of(kind: type, value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(each, kind) for each in value)


_FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "endoftext": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
}


def finish_reason(word: str | None) -> FinishReason | None:
    """The finish reason that a harness's or a server's word means, None where it says nothing of the length."""
    return _FINISHED.get(word.lower()) if word else None
