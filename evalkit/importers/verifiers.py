"""Prime Intellect's verifiers: traces.jsonl (0.4), results.jsonl before, one line a rollout."""

import tomllib
from collections.abc import Iterator
from typing import Any

from evalkit.importers.common import OrderOfAppearance, content_parts, digest, joined_prompt, own_gold, own_id
from evalkit.importers.files import LogFile, Partial
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, finish_reason

_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed")


class Verifiers(Reader):
    name = "verifiers"
    title = "verifiers"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if row.has("traces", "env"):
            run = row["run"]["id"].maybe_text() if row["run"] else None
            return LogPart(file, row["env"]["id"].maybe_text() or file.stem, file.folder, run or file.name)
        bare = row.has("task", "nodes", "rewards")
        old = row.has("prompt", "completion", "reward") and ("example_id" in row or "id" in row)
        if not bare and not old:
            return None
        folders = [file.path.parent.name, file.path.parent.parent.name]
        named = next((name.partition("--")[0] for name in folders if "--" in name), "")
        task = named or (row["task"].maybe_text() if old else None) or file.stem.removesuffix(".jsonl")
        return LogPart(file, task, file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        file = log.files[0]
        row = file.row
        if "traces" in row or "nodes" in row:
            return _facts_of_trace(row["traces"][0] if "traces" in row else row, file)
        beside = file.beside("metadata.json")
        metadata = beside.document() if beside is not None else Node(None, file.where)
        if not metadata:
            return LogFacts()
        return LogFacts(metadata["model"].maybe_text(), "", _sampling(metadata["sampling_args"]))

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file, order, made = log.files[0], OrderOfAppearance(), False
        ids_tell = "traces" in file.row or "nodes" in file.row or _ids_tell(file, log.partial)
        for row in file.rows(log.partial):
            if "traces" in row:
                sample = _of_episode(row, order)
            elif "nodes" in row:  # 0.2: a trace stands alone
                alone = Node(
                    {"task": row["task"].value, "errors": row["errors"].value, "traces": [row.value]}, row.where
                )
                sample = _of_episode(alone, order)
            else:
                sample = _of_rollout(row, order, ids_tell)
            made = made or bool(sample.text or sample.reasoning)
            yield sample
        if not made:
            raise unreadable(file.where, "nothing was generated: all its completions are empty")


def _ids_tell(file: LogFile, partial: Partial) -> bool:
    """Whether an id stands for one prompt: until October 2025 ids were counted in another order than the rollouts."""
    prompts: dict[str, bytes] = {}
    for row in file.rows(partial):
        key = digest(joined_prompt(row["prompt"]))
        if prompts.setdefault(row.first("example_id", "id").label(), key) != key:
            return False
    return True


def _facts_of_trace(trace: Node, file: LogFile) -> LogFacts:
    """The model and its sampling: from the call, the agent, or the run's config.toml."""
    call = trace["calls"][0] if trace else Node(None, file.where)
    agent = trace["agent"]["config"] if trace and trace["agent"] else Node(None, file.where)
    beside = file.beside("config.toml")
    try:
        config = Node(tomllib.loads((beside.text_start or "") if beside is not None else ""), file.where)
    except tomllib.TOMLDecodeError:
        config = Node({}, file.where)
    places = [place for place in (call, agent, config) if isinstance(place.value, dict)]
    model = next((m for place in places if (m := place["model"].value) and isinstance(m, str)), None)
    sampling = next((s for place in places if isinstance((s := place["sampling"]).value, dict)), Node(None, file.where))
    version = trace["verifiers"] if trace else Node(None, file.where)
    return LogFacts(model, (version["version"].maybe_text() if version else None) or "", _sampling(sampling))


def _sampling(given: Node) -> dict[str, Any]:
    return {name: given[name].value for name in _SAMPLING if given and given[name]}


def _of_episode(row: Node, order: OrderOfAppearance) -> ImportedSample:
    traces = row["traces"].items()
    if len(traces) > 1:
        raise unreadable(row.where, f"it has {len(traces)} traces, which are not one completion")
    task = row["task"] if row["task"] else traces[0]["task"] if traces else Node(None, row.where)
    if not task:
        raise unreadable(row.where, "it does not tell which problem it failed on")
    data = task["data"] if task.has("data") else task
    prompt = joined_prompt(data.first("prompt", "instruction"))
    own, place = own_id(data), data["idx"].maybe_label()
    number, index = order.next(place, own, None if place or own else prompt)
    common: dict[str, Any] = {
        "position": data["idx"].integer() if isinstance(data["idx"].value, int) else None,
        "problem": prompt,
        "prompt": prompt,
        "gold": own_gold(data),
    }
    problem_id = own or place or str(number)
    nodes = traces[0]["nodes"].items() if traces and traces[0]["nodes"] else []
    sampled = [i for i, node in enumerate(nodes) if node["sampled"].value is True]
    if len(sampled) > 1:
        raise unreadable(row.where, f"it has {len(sampled)} sampled messages, which are not one completion")
    if not sampled:
        errors = [e for of in (row, *traces) for e in (of["errors"].items() if of["errors"] else []) if e]
        told = str(errors[0].value)[:200] if errors else "nothing was generated"
        return ImportedSample(problem_id, index, "", error=told, **common)
    node = nodes[sampled[0]]
    text, reasoning = content_parts(node["message"])
    call = _call(traces[0], sampled[0])
    word = call["finish_reason"].maybe_text() or node["finish_reason"].maybe_text()
    usage = call["usage"] if call["usage"] else node["usage"]
    read = usage["cached_input_tokens"].count() or 0 if usage else 0  # prompt_tokens is what was not in the cache
    asked = usage["prompt_tokens"].count() if usage else None
    return ImportedSample(
        problem_id,
        index,
        text,
        reasoning=reasoning,
        finish_reason=finish_reason(word),
        peer_finish_reason=word,
        prompt_tokens=None if asked is None else asked + read,
        completion_tokens=usage["completion_tokens"].count() if usage else None,
        seconds=_seconds(call["time"]),
        verdicts=tuple(_rewards(traces[0]["rewards"])),
        **common,
    )


def _call(trace: Node, node: int) -> Node:
    """The call that made a message: the one that names it, else the only one."""
    calls = trace["calls"].items() if trace["calls"] else []
    naming = [call for call in calls if call["node"].value == node]
    made = naming or calls
    return made[-1] if len(made) == 1 else Node({}, trace.where)


def _seconds(time: Node) -> float | None:
    if not time or not time["start"] or not time["end"]:
        return None
    return max(0.0, time["end"].number() - time["start"].number())


def _rewards(rewards: Node) -> Iterator[PeerVerdict]:
    """The reward: the sum of score x weight over its functions."""
    parts = [value for _, value in rewards.fields() if value] if rewards else []  # null: scoring did not run
    if not parts:
        return
    scores = [p["score"].number() * p["weight"].number() if isinstance(p.value, dict) else p.number() for p in parts]
    if 0 <= sum(scores) <= 1:
        yield PeerVerdict("reward", sum(scores), "sample")


def _of_rollout(row: Node, order: OrderOfAppearance, ids_tell: bool) -> ImportedSample:
    number = row.first("example_id", "id").label()
    info = row["info"] if isinstance(row["info"].value, dict) else Node({}, row.where)
    prompt = joined_prompt(row["prompt"])
    place, index = order.next(number if ids_tell else prompt)
    number = number if ids_tell else str(place)
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
    elif completion:
        text = completion.text()
    else:
        error = "nothing was generated"
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
