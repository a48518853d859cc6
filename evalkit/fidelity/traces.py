"""The texts that both models read: the completions of a run, or a file of JSON lines such as a transfer set."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import parse_json, text_lines
from evalkit.results.recreate import planned_problems, recreate_task
from evalkit.store.run import RunDirectory
from evalkit.types import Completion, Message, SampleKey, Score

_TEXT_FIELDS = ("text", "response", "completion", "output", "generation", "solution")
_PROMPT_FIELDS = ("prompt", "problem", "question", "instruction")


@dataclass(frozen=True, slots=True)
class Trace:
    """One prompt and what was written after it.

    The prompt is `messages`, or where there are none the literal text `prompt`. `prefix` begins the response and is
    not scored (`<think>\\n`); `finished` says that the model ended the response itself. `right` and `reward` are None
    where they are not known.
    """

    problem: str
    sample_index: int
    messages: tuple[Message, ...]
    text: str
    prompt: str = ""
    prefix: str = ""
    finished: bool = True
    right: bool | None = None
    reward: float | None = None
    tokens: int | None = None

    @property
    def name(self) -> str:
        return f"{self.problem} sample {self.sample_index}"


@dataclass(frozen=True, slots=True)
class TraceSet:
    """Traces and their source. `model` wrote them, empty where that is not known; `folder` is for the results."""

    traces: tuple[Trace, ...]
    source: str
    model: str
    folder: Path

    @property
    def digest(self) -> str:
        """16 hex digits of a sha256 of all that decides what the models read."""
        digest = hashlib.sha256()
        for t in self.traces:
            digest.update(json.dumps([t.problem, t.sample_index, t.messages, t.prompt, t.prefix, t.text]).encode())
        return digest.hexdigest()[:16]


def read_traces(path: Path, data: str | None = None) -> TraceSet:
    """The texts of a run directory or of a file of JSON lines. Raises EvalkitError where it is neither."""
    if path.is_dir():
        return read_run(path, data)
    return read_trace_file(path)


def read_run(path: Path, data: str | None = None) -> TraceSet:
    """The completions of a run that no engine fault spoilt, with its prompts and its grades.

    The problems are loaded as the run had them, or from `data`. Raises EvalkitError where they are not at hand.
    """
    run = RunDirectory(path)
    record = run.record()
    system: tuple[Message, ...] = ()
    if (asked := record.protocol.get("system_prompt")) is not None:  # an empty one asks for no template's own
        system = ({"role": "system", "content": asked},)
    traces: list[Trace] = []
    for name, task_run in run.tasks().items():
        task = recreate_task(task_run)
        task.prompt = task_run.record.identity.get("prompt", task.prompt)
        messages = {p.id: (*system, *task.messages(p)) for p in planned_problems(task_run, task, data)}
        scores = task_run.files.latest_scores()
        for completion in task_run.files.standing_completions():
            if completion.error is None and completion.problem_id in messages:
                score = scores.get(SampleKey(name, completion.problem_id, completion.sample_index))
                traces.append(_of_completion(completion, messages[completion.problem_id], score))
    if not traces:
        raise EvalkitError(f"{path} has no completions.", "give the command that began the run again.")
    return TraceSet(tuple(traces), f"{record.model} ({path.name})", record.model, path)


def _of_completion(completion: Completion, messages: tuple[Message, ...], score: Score | None) -> Trace:
    return Trace(
        problem=f"{completion.task} {completion.problem_id}",
        sample_index=completion.sample_index,
        messages=messages,
        text=completion.text,
        prefix=completion.prefix,
        finished=completion.finish_reason == "stop",
        right=None if score is None or score.status == "error" else score.value >= 1,
        reward=None if score is None or score.status == "error" else score.value,
        tokens=completion.completion_tokens,
    )


def read_trace_file(path: Path) -> TraceSet:
    """Traces of a file of JSON lines, also .gz.

    A line has `messages` that end with the assistant's, or a prompt (`prompt`, `problem` or `question`: a string for
    the user's message, or a list of messages) and a text (`text`, `response`, `completion`, `output`, `generation` or
    `solution`). `problem_id`, `sample_index`, `prefix`, `finish_reason`, `right` (or `correct`) and `reward` are used
    where they are there. Lines with the same prompt and no `problem_id` are one problem.
    Raises EvalkitError that names the line where one is none of this.
    """
    traces: list[Trace] = []
    seen: dict[str, int] = {}
    try:
        for number, line in text_lines(path):
            traces.append(_read_line(line, seen, f"Line {number} of {path}"))
    except (OSError, ValueError) as error:
        raise EvalkitError(f"{path} cannot be read: {error}.", "give a run, or a file of JSON lines.") from error
    if not traces:
        raise EvalkitError(f"{path} has no traces.", "give a file with one JSON object per line.")
    if len({(t.problem, t.sample_index) for t in traces}) < len(traces):
        raise EvalkitError(f"{path} has a sample of a problem twice.", "give each its own sample_index.")
    return TraceSet(tuple(traces), path.name, "", path.parent / f"{path.name}.fidelity")


def _read_line(line: str, seen: dict[str, int], where: str) -> Trace:
    try:
        return _trace(parse_json(line), seen)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise EvalkitError(
            f"{where} is not a trace: {error}.", "it has to have `messages`, or a prompt and a response."
        ) from error


def _trace(record: Mapping[str, Any], seen: dict[str, int]) -> Trace:
    messages, text = _conversation(record)
    if not isinstance(text, str):
        raise TypeError("its response is not text")
    asked = json.dumps(messages)
    problem = str(record.get("problem_id") or hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:12])
    index = record.get("sample_index")
    if index is None:
        index = seen.get(problem, 0)
        seen[problem] = index + 1
    right = record.get("right", record.get("correct"))
    reward = record.get("reward")
    return Trace(
        problem=problem,
        sample_index=_index(index),
        messages=messages,
        text=text,
        prefix=str(record.get("prefix") or ""),
        finished=record.get("finish_reason", "stop") == "stop",
        right=None if right is None else bool(right),
        reward=None if reward is None else _finite(reward),
        tokens=None,
    )


def _index(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise ValueError(f"its sample_index is {str(value)[:40]}")
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not abs(number) <= 1e15:
        raise ValueError("its reward is not a finite number")
    return number


def _conversation(record: Mapping[str, Any]) -> tuple[tuple[Message, ...], Any]:
    if "messages" in record:
        *before, last = record["messages"]
        if last["role"] != "assistant" or not before:
            raise ValueError("its messages do not end with the assistant's")
        return tuple(_messages(before)), last["content"]
    prompt = next((record[f] for f in _PROMPT_FIELDS if f in record), None)
    text = next((record[f] for f in _TEXT_FIELDS if f in record), None)
    if prompt is None or text is None:
        raise KeyError("it has no prompt or no response")
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return tuple(_messages(asked)), text


def _messages(asked: Any) -> Iterator[Message]:
    for message in asked:
        if message["role"] not in ("system", "user", "assistant") or not isinstance(message["content"], str):
            raise ValueError("a message has to have a role and a text")
        yield {"role": message["role"], "content": message["content"]}
