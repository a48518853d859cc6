"""MathArena: outputs/<competition>/<model>/<problem>.json.zst (.json before March 2026), one file a problem."""

from collections.abc import Iterator

from evalkit.importers.common import content_parts
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict


class MathArena(Reader):
    name = "matharena"
    title = "MathArena"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.first
        if not row.has("idx", "problem", "messages") or not ("answers" in row or "correct" in row or "N" in row):
            return None
        folders = file.path.parts[:-1]
        number = row["idx"].value
        order = number if isinstance(number, int) else 0
        return LogPart(file, folders[-3] if len(folders) > 3 else file.folder, file.folder, order=order)

    def facts(self, log: Log) -> LogFacts:
        folders = log.files[0].path.parts[:-1]
        return LogFacts("/".join(folders[-2:]) or None)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for file in log.files:
            yield from _of_problem(file.document(1 << 30))


def _of_problem(row: Node) -> Iterator[ImportedSample]:
    conversations = row["messages"].items()
    count = len(conversations)
    for k, conversation in enumerate(conversations):
        prompt, text, reasoning, turns = _first_turn(conversation)
        answer = _at(row, "answers", k, count)
        told = answer.plain()
        verdict = _verdict(row, k, count, told)
        costs = _at(row, "detailed_costs", k, count)
        warning = _at(row, "warnings", k, count).value
        notes = [f"warning {warning}"] if isinstance(warning, int) and warning else []
        notes += ["asked again: the verdict is of the last answer, the text is the first"] if turns > 1 else []
        notes += ["the verdict was set by hand"] if _at(row, "manual_overwrite", k, count).value is True else []
        yield ImportedSample(
            row["idx"].label(),
            k,
            text,
            reasoning=reasoning,
            position=None,
            problem=row["problem"].maybe_text(),
            prompt=prompt,
            gold=row["gold_answer"].maybe_label(),
            prompt_tokens=costs["input_tokens"].count() if costs and turns == 1 else None,
            completion_tokens=costs["output_tokens"].count() if costs and turns == 1 else None,
            answer=None if told == "None" else told,
            verdicts=() if verdict is None else (verdict,),
            note="; ".join(notes),
        )


def _verdict(row: Node, k: int, count: int, answer: str | None) -> PeerVerdict | None:
    """Whether a sample is right; in February 2025 the share of a problem's samples that are was all there was."""
    if "correct" in row:
        value = _at(row, "correct", k, count).fraction()
        return None if value is None else PeerVerdict("correct", value, "sample", answer)
    value = row["pass_at_1"].fraction()
    return None if value is None else PeerVerdict("pass_at_1", value, "problem")


def _at(row: Node, name: str, k: int, count: int) -> Node:
    values = row[name]
    if not isinstance(values.value, list):
        return Node(None, row.where)
    if len(values.value) != count:
        raise unreadable(row.where, f"it has {len(values.value)} entries in {name} for {count} conversations")
    return values[k]


def _first_turn(conversation: Node) -> tuple[str, str, str | None, int]:
    """(the prompt, the first response, its thinking where it was kept apart, the number of turns).

    Where no answer could be read the model was asked again; what it wrote then is no sample of the problem.
    """
    prompts: list[str] = []
    thoughts: list[str] = []
    text: str | None = None
    turns = 1
    for block in conversation.items():
        role, kind = block["role"].text(), block["type"].maybe_text() or "response"
        if role != "assistant":
            if text is None and not thoughts:
                prompts.append(content_parts(block)[0])
            elif role == "user":
                turns += 1
            continue
        if kind not in ("cot", "response"):
            raise unreadable(block.where, f"it has a block of type {kind[:40]!r}, which is no plain completion")
        if turns > 1:
            continue
        content, apart = content_parts(block)
        if kind == "cot":
            thoughts.append(content)
        elif text is None:
            text = content
            thoughts += [apart] if apart else []
        else:
            raise unreadable(block.where, "it has several responses to one prompt")
    return "\n\n".join(prompts), text or "", "\n".join(thoughts) if thoughts else None, turns
