"""Batch output of OpenAI's API and of vLLM's run_batch: one response a line, under the caller's custom_id."""

from collections.abc import Iterator

from evalkit.importers.common import content_parts
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, finish_reason


class OpenAIBatch(Reader):
    name = "openai_batch"
    title = "OpenAI's batch files"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if row.has("custom_id", "method", "url", "body"):
            told = "it holds the requests of a batch: give the output file"
            return LogPart(file, "", refusal=told, companion=True)
        if not row.has("custom_id", "response"):
            return None
        return LogPart(file, file.stem.removesuffix(".jsonl"), file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        body = log.files[0].row["response"]
        model = body["body"]["model"].maybe_text() if body and body["body"] else None
        return LogFacts(model, notes=("a batch file has no right answers: they come from the task",))

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for number, row in enumerate(log.files[0].rows(log.partial)):
            yield from _of_response(row, number)


def _of_response(row: Node, number: int) -> Iterator[ImportedSample]:
    problem_id, response = row["custom_id"].label(), row["response"]
    status = response["status_code"].value if response else None
    body = response["body"] if response else Node(None, row.where)
    if not body or (status is not None and status != 200) or not body["choices"]:
        told = row["error"]["message"].maybe_text() if isinstance(row["error"].value, dict) else None
        yield ImportedSample(problem_id, 0, "", position=number, error=told or f"the request failed ({status})")
        return
    choices, usage = body["choices"].items(), body["usage"]
    for k, choice in enumerate(choices):
        text, reasoning = content_parts(choice["message"]) if choice["message"] else (choice["text"].text(), None)
        word = choice["finish_reason"].maybe_text()
        yield ImportedSample(
            problem_id,
            choice["index"].integer() if choice["index"] else k,
            text,
            reasoning=reasoning,
            position=number,
            finish_reason=finish_reason(word),
            peer_finish_reason=word,
            prompt_tokens=usage["prompt_tokens"].count() if usage else None,
            completion_tokens=usage["completion_tokens"].count() if usage and len(choices) == 1 else None,
        )
