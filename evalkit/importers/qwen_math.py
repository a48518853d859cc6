"""The evaluation of Qwen2.5-Math and its forks: one row a problem, the completions under `code`."""

import re
from collections.abc import Iterator

from evalkit.importers.common import own_id
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_TOOLS = re.compile(r"_(?:pal|tool-integrated|jiuzhang_tora|tora|numina)_")  # the prompt type in the file's name


class QwenMath(Reader):
    name = "qwen_math"
    title = "Qwen2.5-Math's evaluation"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if not row.has("question", "code") or not isinstance(row["code"].value, list):
            return None
        if not ("gt" in row or "score" in row):
            return None
        return LogPart(file, file.stem.removesuffix(".jsonl"), file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        used = _TOOLS.search(log.files[0].stem)
        told = "its completions hold the output of programs that were run on the way, which the model did not write"
        return LogFacts(notes=(told,) if used else ())

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for number, row in enumerate(log.files[0].rows(log.partial)):
            texts = row["code"].texts()
            problem_id = own_id(row) or (row["idx"].label() if row["idx"] else str(number))
            position = row["idx"].integer() if isinstance(row["idx"].value, int) else number
            problem, gold = row["question"].text(), row.first("gt", "answer").plain()
            for k, text in enumerate(texts):
                answer = at_sample(row, "pred", k, len(texts)).plain()
                verdict = at_sample(row, "score", k, len(texts)).fraction()
                yield ImportedSample(
                    problem_id,
                    k,
                    text,
                    position=position,
                    problem=problem,
                    gold=gold,
                    answer=answer,
                    verdicts=() if verdict is None else (PeerVerdict("score", verdict, "sample", answer),),
                )


def at_sample(row: Node, name: str, k: int, count: int) -> Node:
    """The k-th of a list that has one entry a sample, nothing where there is no such list."""
    values = row[name]
    if not isinstance(values.value, list):
        return Node(None, row.where)
    if len(values.value) != count:
        raise unreadable(row.where, f"it has {len(values.value)} entries in {name} for {count} completions")
    return values[k]
