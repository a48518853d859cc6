"""LIMO's evaluation: one row a problem, the completions under `generated_responses`."""

from collections.abc import Iterator

from evalkit.importers.files import LogFile
from evalkit.importers.qwen_math import at_sample
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, PeerVerdict


class Limo(Reader):
    name = "limo"
    title = "LIMO's evaluation"

    def recognise(self, file: LogFile) -> LogPart | None:
        if not file.row.has("question", "generated_responses"):
            return None
        return LogPart(file, file.stem.removesuffix(".jsonl"), file.folder, file.name)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for number, row in enumerate(log.files[0].rows(log.partial)):
            texts = row["generated_responses"].texts()
            for k, text in enumerate(texts):
                answer = at_sample(row, "generated_answers", k, len(texts)).plain()
                verdict = at_sample(row, "answers_correctness", k, len(texts)).fraction()
                yield ImportedSample(
                    row["id"].label() if row["id"] else str(number),
                    k,
                    text,
                    position=number,
                    problem=row["question"].text(),
                    gold=row["gold_answer"].plain(),
                    answer=answer,
                    verdicts=() if verdict is None else (PeerVerdict("correct", verdict, "sample", answer),),
                )
