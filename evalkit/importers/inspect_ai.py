"""The UK AI Security Institute's inspect: an .eval zip, or the same in one .json."""

import math
import re
from collections.abc import Iterator

from evalkit.importers.common import content_parts, joined_prompt
from evalkit.importers.files import LogFile, member_files
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, TextForm, finish_reason

_HEADERS = ("header.json", "_journal/start.json")
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_ATTACHMENT = re.compile(r"attachment://([0-9a-f]+)")
_NEWEST = 2


class InspectAI(Reader):
    name = "inspect"
    title = "inspect"

    def recognise(self, file: LogFile) -> LogPart | None:
        header = _header(file)
        if header is None:
            return None
        run = header["eval"]["eval_id"].maybe_text() or header["eval"]["task_id"].maybe_text() or file.name
        task = header["eval"]["task"].text().rsplit("/", 1)[-1]
        return LogPart(file, task, file.folder, run)

    def facts(self, log: Log) -> LogFacts:
        header = _header(log.files[0])
        assert header is not None
        given = header["plan"]["config"] if header["plan"] else header["eval"]["model_generate_config"]
        sampling = {
            name: given[name].value
            for name in ("temperature", "top_p", "top_k", "max_tokens", "seed")
            if given and given[name]
        }
        version = header["eval"]["packages"]["inspect_ai"].maybe_text() or ""
        notes = []
        results = header["results"]
        if results and results["total_samples"].value != results["completed_samples"].value:
            told = f"{results['completed_samples'].value} of {results['total_samples'].value} samples were completed"
            notes.append(told)
        return LogFacts(header["eval"]["model"].text(), version, sampling, tuple(notes))

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        header = _header(file)
        assert header is not None
        version = header["version"].value
        if not isinstance(version, int) or not 1 <= version <= _NEWEST:
            raise unreadable(file.where, f"its version is {version!r}, and evalkit knows those up to {_NEWEST}")
        status = header["status"].maybe_text() or "started"
        if status != "success" and not log.partial:
            raise unreadable(file.where, f"its status is {status}: --partial takes the samples that it has")
        if status != "success":
            log.partial.leave_out(f"what {file.name} lacks, whose status is {status}")
        for sample in _samples(file):
            yield _imported(sample)


def _header(file: LogFile) -> Node | None:
    if file.is_zip:
        members = member_files(file.archive(), file.where)
        found = next((members[name] for name in _HEADERS if name in members), None)
        if found is None:
            return None
        header = found.document()
    else:
        header = file.first
    return header if header.has("version", "eval") and header["eval"].has("task", "model") else None


def _samples(file: LogFile) -> Iterator[Node]:
    if file.is_zip:
        members = member_files(file.archive(), file.where)
        for name, member in members.items():
            if name.startswith("samples/") and name.endswith(".json"):
                yield member.document(1 << 30)
        return
    for name, value in file.members("samples"):
        if name == "samples" and value:
            yield value


def _imported(sample: Node) -> ImportedSample:
    epoch = sample["epoch"].integer()
    target = sample["target"]
    golds = [t.label() for t in target.items()] if isinstance(target.value, list) else [target.label()]
    choices = sample["choices"]
    text, form, reasoning, note = "", "raw", None, ""
    output = sample["output"]
    made = output["choices"].items() if output and output["choices"] else []
    error = sample["error"]["message"].text() if sample["error"] else None
    if made and error is None:
        text, form, reasoning = _completion(made[0]["message"], sample)
        note = _note(sample)
    elif error is None:
        error = "the log has no output for this sample"
    word = made[0]["stop_reason"].maybe_text() if made and error is None else None
    usage = output["usage"] if output else Node(None, sample.where)
    return ImportedSample(
        sample["id"].label(),
        epoch - 1,
        text,
        "thinking removed" if form == "thinking removed" else "raw",
        reasoning,
        problem=joined_prompt(sample["input"]),
        prompt=joined_prompt(sample["input"]),
        gold=golds[0] if golds else None,
        golds=tuple(golds) if len(golds) > 1 else (),
        choices=tuple(choices.texts()) if choices else (),
        finish_reason=finish_reason(word),
        peer_finish_reason=word,
        prompt_tokens=usage["input_tokens"].count(),
        completion_tokens=usage["output_tokens"].count(),
        seconds=output["time"].maybe_number() if output and error is None else None,
        answer=_first_answer(sample),
        verdicts=tuple(_verdicts(sample)),
        error=error,
        note=note,
    )


def _completion(message: Node, sample: Node) -> tuple[str, TextForm, str | None]:
    text, reasoning = content_parts(message)
    found = _ATTACHMENT.fullmatch(text)
    if found and sample["attachments"]:
        text = sample["attachments"][found[1]].text()
    hidden = isinstance(message["content"].value, list) and any(
        part["redacted"].value is True for part in message["content"].items()
    )
    return text, "thinking removed" if hidden else "raw", None if hidden else reasoning


def _note(sample: Node) -> str:
    """What is to be said of a sample: a solver asked more than once, or it was declared invalid."""
    told = [_turns(sample), "it was declared invalid" if sample["invalidation"] else ""]
    return "; ".join(one for one in told if one)


def _turns(sample: Node) -> str:
    """Where a solver asked more than once, the output is the last answer alone."""
    messages = sample["messages"].items() if sample["messages"] else []
    answers = [m for m in messages if m["role"].value == "assistant" and m["source"].value == "generate"]
    return f"the last of {len(answers)} turns" if len(answers) > 1 else ""


def _scores(sample: Node) -> Iterator[tuple[str, Node]]:
    if sample["scores"]:
        yield from sample["scores"].fields()
    elif sample["score"]:  # version 1
        yield "score", sample["score"]


def _first_answer(sample: Node) -> str | None:
    return next((score["answer"].maybe_label() for _, score in _scores(sample)), None)


def _verdicts(sample: Node) -> Iterator[PeerVerdict]:
    for name, score in _scores(sample):
        answer = score["answer"].maybe_label()
        value = score["value"]
        parts = value.fields() if isinstance(value.value, dict) else [("", value)]
        for part, one in parts:
            fraction = _LETTERS.get(one.value) if isinstance(one.value, str) else one.fraction()
            if fraction is not None and not math.isnan(fraction):
                yield PeerVerdict(f"{name}/{part}" if part else name, fraction, "sample", answer)
