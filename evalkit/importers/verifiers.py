"""Prime Intellect's verifiers: traces.jsonl (0.4), results.jsonl before, one line a rollout."""

from collections.abc import Iterator
from typing import Any

from evalkit.importers.common import OrderOfAppearance, content_parts, joined_prompt, own_gold, own_id
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, finish_reason

_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed")


class Verifiers(Reader):
    name = "verifiers"
    title = "verifiers"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if row.has("task", "traces", "env"):
            return LogPart(
                file, row["env"]["id"].maybe_text() or file.stem, file.folder, row["run"]["id"].maybe_text() or ""
            )
        old = row.has("prompt", "completion", "reward") and ("example_id" in row or "id" in row)
        if not old:
            return None
        refusal = "nothing was generated: its first completion is empty" if row["completion"].value == [] else ""
        folder = file.path.parent
        task = folder.parent.name.partition("--")[0] if "--" in folder.parent.name else row["task"].maybe_text() or ""
        return LogPart(file, task or file.stem.removesuffix(".jsonl"), file.folder, file.name, refusal=refusal)

    def facts(self, log: Log) -> LogFacts:
        file = log.files[0]
        row = file.row
        if "traces" in row:
            call = row["traces"][0]["calls"][0]
            given = call["sampling"] if call else Node(None, file.where)
            version = row["traces"][0]["verifiers"]
            told = version["version"].maybe_text() if version else None
            return LogFacts(call["model"].maybe_text() if call else None, told or "", _sampling(given))
        beside = file.beside("metadata.json")
        metadata = beside.document() if beside is not None else Node(None, file.where)
        if not metadata:
            return LogFacts()
        return LogFacts(metadata["model"].maybe_text(), "", _sampling(metadata["sampling_args"]))

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        order = OrderOfAppearance()
        for row in log.files[0].rows(log.partial):
            yield _of_episode(row, order) if "traces" in row else _of_rollout(row, order)


def _sampling(given: Node) -> dict[str, Any]:
    return {name: given[name].value for name in _SAMPLING if given and given[name]}


def _of_episode(row: Node, order: OrderOfAppearance) -> ImportedSample:
    data = row["task"]["data"]
    problem_id = own_id(data) or data["idx"].label()
    _, index = order.next(data["idx"].maybe_label(), problem_id)
    traces = row["traces"].items()
    if len(traces) > 1:
        raise unreadable(row.where, f"it has {len(traces)} traces, which are not one completion")
    common: dict[str, Any] = {
        "position": data["idx"].integer() if isinstance(data["idx"].value, int) else None,
        "problem": joined_prompt(data["prompt"]),
        "prompt": joined_prompt(data["prompt"]),
        "gold": own_gold(data),
    }
    errors = [e for e in row["errors"].items() if e] if row["errors"] else []
    sampled = [n for n in traces[0]["nodes"].items() if n["sampled"].value is True] if traces else []
    if len(sampled) > 1:
        raise unreadable(row.where, f"it has {len(sampled)} sampled messages, which are not one completion")
    if not sampled:
        told = str(errors[0].value)[:200] if errors else "nothing was generated"
        return ImportedSample(problem_id, index, "", error=told, **common)
    text, reasoning = content_parts(sampled[0]["message"])
    calls = traces[0]["calls"].items() if traces[0]["calls"] else []
    call = calls[-1] if len(calls) == 1 else Node({}, row.where)
    word = call["finish_reason"].maybe_text()
    usage = call["usage"]
    return ImportedSample(
        problem_id,
        index,
        text,
        reasoning=reasoning,
        finish_reason=finish_reason(word),
        peer_finish_reason=word,
        prompt_tokens=usage["prompt_tokens"].count() if usage else None,
        completion_tokens=usage["completion_tokens"].count() if usage else None,
        seconds=_seconds(call["time"]),
        verdicts=tuple(_rewards(traces[0]["rewards"])),
        **common,
    )


def _seconds(time: Node) -> float | None:
    if not time or not time["start"] or not time["end"]:
        return None
    return max(0.0, time["end"].number() - time["start"].number())


def _rewards(rewards: Node) -> Iterator[PeerVerdict]:
    """The reward: the sum of score x weight over its functions."""
    parts = [value for _, value in rewards.fields()] if rewards else []
    if not parts:
        return
    scores = [p["score"].number() * p["weight"].number() if isinstance(p.value, dict) else p.number() for p in parts]
    if 0 <= sum(scores) <= 1:
        yield PeerVerdict("reward", sum(scores), "sample")


def _of_rollout(row: Node, order: OrderOfAppearance) -> ImportedSample:
    number = row.first("example_id", "id").label()
    info = row["info"] if isinstance(row["info"].value, dict) else Node({}, row.where)
    prompt = joined_prompt(row["prompt"])
    _, index = order.next(number)
    completion = row["completion"]
    text, reasoning, error = "", None, None
    if isinstance(completion.value, list):
        answers = [m for m in completion.items() if m["role"].value == "assistant"]
        if len(answers) > 1 or len(completion.value) > len(answers):
            raise unreadable(row.where, f"its completion has {len(completion.value)} messages, which are several turns")
        if answers:
            text, reasoning = content_parts(answers[0])
        else:
            error = "nothing was generated"
    else:
        text = completion.text()
    if row["error"]:
        error = str(row["error"].value)[:200]
    cut = row["is_truncated"].value
    usage = row["token_usage"] if isinstance(row["token_usage"].value, dict) else Node({}, row.where)
    value = row["reward"].fraction()
    tokens = usage.first("output_tokens", "completion_tokens", "final_output_tokens")
    return ImportedSample(
        number,
        index,
        "" if error else text,
        reasoning=None if error else reasoning,
        position=int(number) if number.isdigit() else None,
        problem=prompt,
        prompt=prompt,
        gold=own_gold(row) or own_gold(info),
        finish_reason=None if error or not isinstance(cut, bool) else "length" if cut else "stop",
        peer_finish_reason="is_truncated" if cut is True else None,
        completion_tokens=tokens.count() if isinstance(tokens.value, int | float) else None,
        verdicts=() if value is None or error else (PeerVerdict("reward", value, "sample"),),
        error=error,
    )
