"""NVIDIA's NeMo-Skills: output-rs<seed>.jsonl, one file a sample; output.jsonl is the greedy one."""

import re
from collections.abc import Iterator

from evalkit.importers.common import digest, own_gold, own_id, own_problem
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, PeerVerdict, TextForm, finish_reason

_SEED = re.compile(r"output-rs(\d+)\.jsonl(?:-\w+)?")
_GREEDY = ("output.jsonl", "output-greedy.jsonl")  # the latter until November 2024
_UNFINISHED = re.compile(r"output.*(?:\.jsonl-async|_chunk_\d+\.jsonl)(?:\.done)?")
_OWN = (
    *("num_generated_tokens", "generation_start_time", "generation_time", "predicted_answer", "symbolic_correct"),
    *("_full_generation", "serialized_output", "judgement"),
)
_VERDICTS = ("symbolic_correct", "is_correct", "judgement", "passing_base", "passing_plus")


class NemoSkills(Reader):
    name = "nemo_skills"
    title = "NeMo-Skills"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        named = _SEED.fullmatch(file.stem) or file.stem in _GREEDY
        ours = any(name in row for name in _OWN) or (named and row.has("generation", "expected_answer"))
        if not ours or "code" in row:
            return None
        if _UNFINISHED.fullmatch(file.stem):
            return LogPart(file, "", refusal="it is a part of a generation that was not finished")
        if "generation" not in row and "_full_generation" not in row:
            graded = any(name in row for name in ("symbolic_correct", "predicted_answer", "judgement"))
            return LogPart(file, "", refusal="it was trimmed to metrics and has no generation") if graded else None
        seed = _SEED.fullmatch(file.stem)
        folders = file.path.parts
        task = folders[-2] if (seed or file.stem in _GREEDY) and len(folders) > 1 else file.stem
        run = "seeds" if seed else file.stem
        return LogPart(file, task.removesuffix(".jsonl"), file.folder, run, int(seed[1]) if seed else 0)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        first = [(own_id(row), digest(own_problem(row))) for row in log.files[0].rows(log.partial)]
        ids = [own for own, _ in first]
        own_ids_tell = None not in ids and len(set(ids)) == len(ids)
        for part in log.parts:
            for number, row in enumerate(part.file.rows(log.partial)):
                if number < len(first) and not own_ids_tell and digest(own_problem(row)) != first[number][1]:
                    raise unreadable(row.where, f"it has another problem than that line of {log.files[0].name}")
                problem_id = (own_ids_tell and own_id(row)) or str(number)
                yield _sample(row, problem_id, part.order, number)


def _sample(row: Node, problem_id: str, index: int, number: int) -> ImportedSample:
    whole = row["_full_generation"]
    reasoning = None if whole else row["reasoning_content"].maybe_text() or None
    text = whole.text() if whole else row["generation"].text()
    form: TextForm = "raw"
    if not whole and reasoning is None and "_generation_finished_thinking" in row:
        form = "thinking removed"
    word = row["finish_reason"].maybe_text()
    return ImportedSample(
        problem_id,
        index,
        text,
        form,
        reasoning,
        position=number,
        problem=own_problem(row),
        prompt=own_problem(row),
        gold=own_gold(row),
        finish_reason=finish_reason(word),
        peer_finish_reason=word,
        completion_tokens=row["num_generated_tokens"].count(),
        seconds=row["generation_time"].maybe_number(),
        answer=row["predicted_answer"].plain(),
        verdicts=tuple(_verdicts(row)),
    )


def _verdicts(row: Node) -> Iterator[PeerVerdict]:
    answer = row["predicted_answer"].plain()
    for name in _VERDICTS:
        value = row[name].value
        if name == "judgement" and isinstance(value, str):
            said = re.search(r"judge?ment:\s*\**\s*(yes|no)\b", value, re.IGNORECASE)
            if said:
                yield PeerVerdict(name, float(said[1].lower() == "yes"), "sample", answer)
        elif (fraction := row[name].fraction()) is not None:
            yield PeerVerdict(name, fraction, "sample", answer)
    if isinstance(row["graded_list"].value, list) and len(row["graded_list"].value) == 1:
        fraction = row["graded_list"][0].fraction()
        if fraction is not None:
            yield PeerVerdict("graded_list", fraction, "sample", answer)
