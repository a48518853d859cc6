"""evalchemy: lm_eval's results_<date>.json with the completions under results.<task>.examples."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from evalkit.importers.common import own_gold, own_id, own_problem
from evalkit.importers.files import LogFile
from evalkit.importers.json_stream import JsonStream
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts


class Evalchemy(Reader):
    name = "evalchemy"
    title = "evalchemy"

    def recognise(self, file: LogFile) -> LogPart | None:
        results = file.first["results"] if file.first.has("results") else Node(None, file.where)
        if not isinstance(results.value, dict):
            return None
        tasks = [name for name, value in results.fields() if value.has("examples")]
        if not tasks:
            return None
        return LogPart(file, tasks[0], file.folder, file.name)

    def parts(self, file: LogFile) -> Sequence[LogPart]:
        part = self.recognise(file)
        return [replace(part, task=task) for task in _tasks(file)] if part is not None else []

    def facts(self, log: Log) -> LogFacts:
        config = log.files[0].first["config"]
        arguments = config["model_args"].value if config else None
        pairs = dict(p.split("=", 1) for p in arguments.split(",") if "=" in p) if isinstance(arguments, str) else {}
        return LogFacts(pairs.get("pretrained") or pairs.get("model"))

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        for number, row in enumerate(_examples(file, log.task)):
            several = row["model_outputs"]
            texts = several.texts() if several else [row["model_output"].text()]
            answers = row["model_answers"].items() if isinstance(row["model_answers"].value, list) else []
            if several is not None and answers and len(answers) != len(texts):
                raise unreadable(row.where, f"it has {len(answers)} answers for {len(texts)} completions")
            for k, text in enumerate(texts):
                answer = answers[k] if answers else row["model_answer"]
                yield ImportedSample(
                    own_id(row) or str(number),
                    k,
                    text,
                    position=number,
                    problem=own_problem(row),
                    prompt=own_problem(row),
                    gold=own_gold(row),
                    choices=_choices(row),
                    answer=answer.plain(),
                )


def _choices(row: Node) -> tuple[str, ...]:
    """The choices in the order in which they were shown."""
    shown = row["multiple_choice_string"].value
    if not isinstance(shown, str):
        return ()
    lines = [line.strip() for line in shown.split("\n") if line.strip()]
    return tuple(line[2:].strip() for line in lines) if all(line[1:2] in ").:" for line in lines) else ()


def _tasks(file: LogFile) -> list[str]:
    """The tasks of a results file that have examples, in its order."""
    found = []
    for task, examples in _lists_of_examples(file):
        found.append(task)
        for _ in examples:
            pass
    return found


def _examples(file: LogFile, wanted: str) -> Iterator[Node]:
    for task, examples in _lists_of_examples(file):
        for number, value in enumerate(examples, start=1):
            if task == wanted:
                yield Node(value, f"example {number} of {task} in {file.where}")


def _lists_of_examples(file: LogFile) -> Iterator[tuple[str, Iterator[Any]]]:
    """Each task of a results file with its examples, which have to be read to their end before the next task."""
    with file.open() as stream:
        source = JsonStream(stream, file.where)
        for name in source.members():
            if name != "results":
                source.value()
                continue
            for task in source.members():
                if source.peek() != "{":
                    source.value()
                    continue
                for field in source.members():
                    if field == "examples" and source.peek() == "[":
                        yield task, source.elements()
                    else:
                        source.value()
