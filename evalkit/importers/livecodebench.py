"""LiveCodeBench's runner: a list of problems with output_list, and graded_list once they were evaluated."""

import re
from collections.abc import Iterator
from typing import Any

from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node
from evalkit.importers.qwen_math import at_sample
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_NAME = re.compile(
    r"""Scenario\.(?P<scenario>\w+?)_(?P<n>\d+)_(?P<temperature>[\d.]+?)  # Scenario.codegeneration_10_0.2
        (?:_eval(?:_all)?)?\.json""",
    re.VERBOSE,
)


class LiveCodeBench(Reader):
    name = "livecodebench"
    title = "LiveCodeBench"

    def recognise(self, file: LogFile) -> LogPart | None:
        document = file.first
        if not isinstance(document.value, list) or not document.value:
            return None
        row = document[0]
        if row.has("output_list", "pred_list") or (row.has("output_list") and "question_id" not in row):
            return LogPart(file, "", refusal="it is of another scenario of LiveCodeBench than code generation")
        if row.has("question_id", "output_list"):
            return LogPart(file, "livecodebench", file.folder, file.name)
        if row.has("pass@1", "detail") or ("pass@1" in row and "output_list" not in row):
            return LogPart(file, "", refusal="it holds aggregates alone, no completion", companion=True)
        return None

    def facts(self, log: Log) -> LogFacts:
        file = log.files[0]
        named = _NAME.fullmatch(file.stem)
        sampling: dict[str, Any] = {"temperature": float(named["temperature"])} if named else {}
        return LogFacts(file.path.parent.name if named else None, "", sampling)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for number, row in enumerate(log.files[0].rows()):
            texts = row["output_list"].texts()
            for k, text in enumerate(texts):
                verdict = at_sample(row, "graded_list", k, len(texts)).fraction()
                code = at_sample(row, "code_list", k, len(texts))
                yield ImportedSample(
                    row["question_id"].label(),
                    k,
                    text,
                    position=number,
                    problem=row["question_content"].maybe_text(),
                    prompt=row["question_content"].maybe_text(),
                    answer=code.value if isinstance(code.value, str) else None,
                    verdicts=() if verdict is None else (PeerVerdict("graded", verdict, "sample"),),
                    note=_failure(at_sample(row, "metadata", k, len(texts))),
                )


def _failure(metadata: Node) -> str:
    """The runner's message, where a program failed."""
    value = metadata.value
    if not isinstance(value, str) or '"error_message"' not in value:
        return ""
    found = re.search(r'"error_message": "([^"]{0,200})', value)
    return found[1] if found else ""
