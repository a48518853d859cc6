"""SkyThought: results.json with all problems of a run, beside summary.json."""

from collections.abc import Iterator
from typing import Any

from evalkit.importers.common import joined_prompt, own_gold, own_id, own_problem
from evalkit.importers.files import LogFile, Partial
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict


class SkyThought(Reader):
    name = "skythought"
    title = "SkyThought"

    def recognise(self, file: LogFile) -> LogPart | None:
        document = file.first
        if file.is_lines or not isinstance(document.value, dict) or not document.value:
            return None
        _, entry = next(document.fields())
        if not entry.has("responses") or not isinstance(entry["responses"].value, dict | list):
            return None
        first = entry["responses"].value
        some = next(iter(first.values()), None) if isinstance(first, dict) else next(iter(first), None)
        if isinstance(some, list):
            some = next(iter(some), None)
        if not isinstance(some, dict) or "content" not in some:
            return None
        return LogPart(file, _task(file), file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        summary = log.files[0].beside("summary.json")
        if summary is None:
            return LogFacts()
        configuration = summary.document()["configuration"]
        if not configuration:
            return LogFacts()
        model = configuration.first("model_config", "model")
        name = model.first("name", "model_id", "model").maybe_text() if isinstance(model.value, dict) else None
        name = name or (model.value if isinstance(model.value, str) else configuration["model_id"].maybe_text())
        given = configuration["sampling_params"]["params"] if configuration["sampling_params"] else given_none(summary)
        wanted = ("temperature", "top_p", "max_tokens")
        sampling: dict[str, Any] = {k: given[k].value for k in wanted if given and given[k]}
        return LogFacts(name, "", sampling)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        answer_key = _answer_key(file)
        for number, (key, entry) in enumerate(file.members()):
            yield from _samples(key, entry, number, answer_key, log.partial)


def given_none(file: LogFile) -> Node:
    return Node(None, file.where)


def _task(file: LogFile) -> str:
    summary = file.beside("summary.json")
    task = summary.document()["configuration"] if summary is not None else given_none(file)
    named = task["task"]["name"].maybe_text() if task and isinstance(task["task"].value, dict) else None
    folder = file.path.parent.name if file.stem == "results.json" else ""
    return named or folder or file.stem.removesuffix(".json")


def _answer_key(file: LogFile) -> str:
    summary = file.beside("summary.json")
    if summary is None:
        return "answer"
    configuration = summary.document()["configuration"]
    task = configuration["task"] if configuration else given_none(summary)
    config = task["config"] if isinstance(task.value, dict) else given_none(summary)
    return (config["answer_key"].maybe_text() if config else None) or "answer"


def _responses(entry: Node) -> list[Node]:
    """Of one problem: a list, or (January 2025) by temperature, of which one run has one."""
    responses = entry["responses"]
    if isinstance(responses.value, list):
        return responses.items()
    temperatures = [value for _, value in responses.fields()]
    if len(temperatures) != 1:
        raise unreadable(entry.where, f"it has samples at {len(temperatures)} temperatures, which are several runs")
    return temperatures[0].items() if isinstance(temperatures[0].value, list) else temperatures


def _tokens(entry: Node, count: int) -> list[int | None]:
    """Completion tokens by sample. A server's count of all samples stands on the first, with 0 on the others."""
    usages = entry["token_usages"]
    if isinstance(usages.value, dict):
        by_temperature = [value for _, value in usages.fields()]
        one = by_temperature[0] if len(by_temperature) == 1 else Node(None, entry.where)
        counted = one.items() if isinstance(one.value, list) else [one]
    else:
        counted = usages.items() if usages else []
    numbers = [usage["completion_tokens"].count() if usage else None for usage in counted]
    return list(numbers) if len(numbers) == count and all(numbers) else [None] * count


def _samples(key: str, entry: Node, number: int, answer_key: str, partial: Partial) -> Iterator[ImportedSample]:
    responses = _responses(entry)
    tokens = _tokens(entry, len(responses))
    keyed_by_text = not key.isdigit()
    conversation = entry["input_conversation"]
    for k, response in enumerate(responses):
        correct = response["correctness"]
        if not correct and partial:
            partial.leave_out("verdicts of samples that were not graded")
        elif not correct:
            raise unreadable(entry.where, "it was not graded to its end: --partial takes what it has")
        value = correct.fraction()
        yield ImportedSample(
            own_id(entry) or (str(number) if keyed_by_text else key),
            k,
            response["content"].text(),
            position=None if keyed_by_text else int(key),  # texts stand in the order in which they were graded
            problem=key if keyed_by_text else own_problem(entry),
            prompt=joined_prompt(conversation) if conversation else entry["prompt"].maybe_text(),
            gold=own_gold(entry, answer_key),
            completion_tokens=tokens[k],
            verdicts=() if value is None else (PeerVerdict("correctness", value, "sample"),),
        )
