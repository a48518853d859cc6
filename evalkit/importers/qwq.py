"""QwQ's evaluation: output/x.jsonl with one line per sample, eval_res/x.jsonl with its verdicts line by line."""

from collections.abc import Iterator

from evalkit.importers.common import OrderOfAppearance, digest, own_gold, own_id
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict


class QwQ(Reader):
    name = "qwq"
    title = "QwQ's evaluation"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if not row.has("prompt", "gen") or not isinstance(row["gen"].value, list):
            return None
        graded = "accuracy" in row
        if graded and file.beside(f"../output/{file.stem}") is not None:
            told = "it holds texts whose thinking was cut off: give output/, which has them whole"
            return LogPart(file, "", refusal=told, companion=True)
        return LogPart(file, file.stem.removesuffix(".jsonl"), file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        cut = "accuracy" in log.files[0].row
        return LogFacts(notes=("eval_res/ has no thinking any more: output/ has the whole texts",) if cut else ())

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        graded = "accuracy" in file.row
        verdict_file = file if graded else file.beside(f"../eval_res/{file.stem}")
        told = list(_verdicts(verdict_file, log.partial)) if verdict_file is not None else []
        order = OrderOfAppearance()
        count = 0
        for number, row in enumerate(file.rows(log.partial)):
            key, answer, verdict = told[number] if number < len(told) else (None, None, None)
            if key is not None and key != _key(row):
                raise unreadable(row.where, "eval_res/ has another prompt on this line")
            problem, index = order.next(row["prompt"].text(), own_id(row))
            generated = row["gen"][0]
            failed = isinstance(generated.value, dict)
            yield ImportedSample(
                own_id(row) or str(problem),
                index,
                "" if failed else generated.text(),
                "thinking removed" if graded else "raw",
                position=problem,
                problem=row["prompt"].text(),
                prompt=row["prompt"].text(),
                gold=own_gold(row),
                answer=answer,
                verdicts=() if verdict is None else (PeerVerdict("accuracy", verdict, "sample", answer),),
                error=(generated["end_reason"].maybe_text() or "no text was generated") if failed else None,
            )
            count += 1
        if told and len(told) != count:
            raise unreadable(file.where, f"it has {count} lines, and eval_res/ has {len(told)}")


def _key(row: Node) -> bytes:
    return digest(row["prompt"].text(), own_id(row))


def _verdicts(file: LogFile, partial: bool) -> Iterator[tuple[bytes, str | None, float | None]]:
    for row in file.rows(partial):
        yield _key(row), row["extracted_answer"].plain(), row["accuracy"].fraction()
