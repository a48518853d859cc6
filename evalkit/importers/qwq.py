"""QwQ's evaluation: output/x.jsonl with one line per sample, eval_res/x.jsonl with its verdicts line by line."""

from collections import defaultdict
from collections.abc import Iterator

from evalkit.importers.common import OrderOfAppearance, digest, own_gold, own_id
from evalkit.importers.files import LogFile, Partial
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_VERDICTS = ("accuracy", "pass-1", "strict_prompt_acc")  # of mathematics, of programs, of instructions


class QwQ(Reader):
    name = "qwq"
    title = "QwQ's evaluation"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if not row.has("prompt", "gen") or not isinstance(row["gen"].value, list):
            return None
        if _is_graded(row) and file.beside(f"../output/{file.stem}") is not None:
            told = "it holds texts whose thinking was cut off: give output/, which has them whole"
            return LogPart(file, "", refusal=told, companion=True)
        return LogPart(file, file.stem.removesuffix(".jsonl"), file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        cut = _is_graded(log.files[0].row)
        return LogFacts(notes=("eval_res/ has no thinking any more: output/ has the whole texts",) if cut else ())

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        graded = _is_graded(file.row)
        beside = None if graded else file.beside(f"../eval_res/{file.stem}")
        verdicts = _Verdicts(beside, log.partial) if beside is not None else None
        order = OrderOfAppearance()
        for row in file.rows(log.partial):
            told = row if graded else verdicts.of(row) if verdicts is not None else Node({}, row.where)
            answer = told["extracted_answer"].plain()
            name = next((name for name in _VERDICTS if name in told), _VERDICTS[0])
            verdict = told[name].fraction()
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
                verdicts=() if verdict is None else (PeerVerdict(name, verdict, "sample", answer),),
                error=(generated["end_reason"].maybe_text() or "no text was generated") if failed else None,
            )
        if verdicts is not None:
            verdicts.end()


def _is_graded(row: Node) -> bool:
    """Whether a row is of eval_res/: its grader's fields were added, and the thinking was cut off."""
    return any(name in row for name in _VERDICTS)


class _Verdicts:
    """The rows of eval_res/, line by line beside output/; those of programs stand in the order they were run in."""

    def __init__(self, file: LogFile, partial: Partial) -> None:
        self._file = file
        self._rows = file.rows(partial)
        self._held: defaultdict[bytes, list[Node]] = defaultdict(list)

    def of(self, row: Node) -> Node:
        """The graded row of the same prompt and text. Raises EvalkitError where there is none."""
        text = row["gen"][0].value
        key = _key(row, text.split("\n</think>\n\n", 1)[-1] if isinstance(text, str) else text)
        while not self._held[key]:
            graded = next(self._rows, None)
            if graded is None:
                raise unreadable(row.where, f"{self._file.name} has no verdict on it")
            kept = {name: graded[name].value for name in (*_VERDICTS, "extracted_answer") if name in graded}
            self._held[_key(graded, graded["gen"][0].value)].append(Node(kept, graded.where))
        found = self._held[key].pop(0)
        if not self._held[key]:
            del self._held[key]
        return found

    def end(self) -> None:
        """Raises EvalkitError where there are verdicts on other samples."""
        if self._held or next(self._rows, None) is not None:
            raise unreadable(self._file.where, "it has verdicts on samples that are not in output/")


def _key(row: Node, answer: object) -> bytes:
    """A sample's prompt and what follows its thinking, which is what eval_res/ keeps of it."""
    return digest(row["prompt"].text(), own_id(row), str(answer))
