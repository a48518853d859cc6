"""Hugging Face's lighteval: details/<model>/<date>/details_<task>_<date>.parquet, in the layouts of 0.1 to 0.13."""

import ast
import re
from collections.abc import Iterator
from typing import Any

from evalkit.importers.common import joined_prompt
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_NAME = re.compile(r"details_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)\.parquet")
_STRUCTS = {"doc", "metric", "model_response"}
_COLUMNS = {"example", "full_prompt", "predictions", "gold", "metrics"}
_NOT_COMPLETIONS = "its rows are log-likelihoods of given texts, not completions"
# what str() of a metric holds beside Python's literals: np.float64(1.0), tensor(1.), nan
_NUMPY = re.compile(r"(?:np\.\w+|tensor|array)\(([^()]*)\)")
_NAN = re.compile(r"\b(?:nan|inf)\b")


class Lighteval(Reader):
    name = "lighteval"
    title = "lighteval"

    def recognise(self, file: LogFile) -> LogPart | None:
        if file.row.has("config_general", "results"):
            refusal = "it holds aggregates alone: lighteval needs --save-details"
            return LogPart(file, "", refusal=refusal, companion=True)
        columns = set(file.columns)
        if not (columns >= _STRUCTS or columns >= _COLUMNS):
            return None
        named = _NAME.fullmatch(file.stem)
        return LogPart(file, _task(file, named), file.folder, named["date"] if named else "")

    def facts(self, log: Log) -> LogFacts:
        file = log.files[0]
        named = _NAME.fullmatch(file.stem)
        folders = file.path.parts[:-1]
        if named is None or "details" not in folders:
            return LogFacts()
        below = folders[len(folders) - folders[::-1].index("details") : -1]
        up = "../" * (len(below) + 2)
        found = file.beside(f"{up}results/{'/'.join(below)}/results_{named['date']}.json")
        model = "/".join(below) or None
        if found is None:
            return LogFacts(model)
        general = found.document()["config_general"]
        config = general["model_config"]
        drawn = config["generation_parameters"] if isinstance(config.value, dict) else Node(None, file.where)
        sampling = {
            ours: drawn[theirs].value
            for ours, theirs in (("temperature", "temperature"), ("top_p", "top_p"), ("max_tokens", "max_new_tokens"))
            if drawn and drawn[theirs]
        }
        named_model = general["model_name"].maybe_text() or (config["model_name"].maybe_text() if config else None)
        sha = general["lighteval_sha"].maybe_text() or ""
        return LogFacts(named_model or model, sha.strip("?"), sampling)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        if set(file.columns) >= _STRUCTS:
            for row in file.parquet_rows(*_STRUCTS):
                yield from _of_structs(row)
            return
        for number, row in enumerate(file.parquet_rows(*_COLUMNS, "choices", "gold_index")):
            yield from _of_columns(_read_literals(row), number)


def _task(file: LogFile, named: re.Match[str] | None) -> str:
    """`mix` of `mix|0` and of `custom|mix|0`."""
    label = named["task"] if named else file.stem.removesuffix(".parquet")
    parts = label.split("|")
    return parts[1] if len(parts) >= 3 else parts[0]


def _verdicts(metrics: Node) -> tuple[PeerVerdict, ...]:
    """The figures that are fractions: lighteval gives one a problem, whatever the number of its samples."""
    if not metrics:
        return ()
    return tuple(PeerVerdict(k, f, "problem") for k, v in metrics.fields() if (f := v.fraction()) is not None)


def _of_structs(row: Node) -> Iterator[ImportedSample]:
    doc, response = row["doc"], row["model_response"]
    texts = response["text"].items() if response["text"] else []
    if not texts:
        raise unreadable(row.where, _NOT_COMPLETIONS)
    choices = doc["choices"].texts() if doc["choices"] else []
    index = doc["gold_index"]
    gold_at = [i.integer() for i in (index.items() if isinstance(index.value, list) else [index] if index else [])]
    if choices and any(not 0 <= at < len(choices) for at in gold_at):
        index.fail("the place of a choice")
    golds = tuple(choices[at] for at in gold_at if choices[at : at + 1])  # a task that is not judged by a gold has none
    reasonings = response["reasonings"].items() if response["reasonings"] else []
    problem_id = doc["id"].label()
    sent = response["input"]
    for k, text in enumerate(texts):
        yield ImportedSample(
            problem_id,
            k,
            text.text(),
            reasoning=reasonings[k].maybe_text() or None if k < len(reasonings) else None,
            position=int(problem_id) if problem_id.isdigit() else None,
            problem=doc["query"].text(),
            prompt=joined_prompt(sent) if sent else doc["query"].text(),
            gold=golds[0] if golds else None,
            golds=golds if len(golds) > 1 else (),
            verdicts=_verdicts(row["metric"]),
        )


def _read_literals(row: Node) -> Node:
    """0.4 to 0.7 write every column as the `str` of its value: taken as Python literals, never run."""
    value = dict(row.value)
    if not isinstance(value["predictions"], str):
        return row
    for name in ("predictions", "gold", "choices", "gold_index"):
        if isinstance(value.get(name), str):
            value[name] = _literal(value[name], row, name)
    if isinstance(value["metrics"], str):
        plain = _NAN.sub("None", _NUMPY.sub(r"\1", value["metrics"]))
        value["metrics"] = _literal(plain, row, "metrics")
    return Node(value, row.where)


def _literal(text: str, row: Node, name: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        if name == "gold" and not text.startswith(("[", "(")):
            return [text]
        raise unreadable(row.where, f"its {name} is no Python literal") from error


def _of_columns(row: Node, number: int) -> Iterator[ImportedSample]:
    predictions = row["predictions"]
    if not isinstance(predictions.value, list) or not predictions.value:
        raise unreadable(row.where, _NOT_COMPLETIONS)
    texts = predictions.items()
    if len(texts) == 1 and isinstance(texts[0].value, list):  # one request, its samples within
        texts = texts[0].items()
    if any(not isinstance(text.value, str) for text in texts):
        raise unreadable(row.where, _NOT_COMPLETIONS)
    gold = row["gold"]
    golds = [g.label() for g in gold.items()] if isinstance(gold.value, list) else [gold.label()] if gold else []
    for k, text in enumerate(texts):
        yield ImportedSample(
            str(number),
            k,
            text.text(),
            problem=row["example"].maybe_text(),
            prompt=row["full_prompt"].maybe_text(),
            gold=golds[0] if golds else None,
            golds=tuple(golds) if len(golds) > 1 else (),
            verdicts=_verdicts(row["metrics"]),
        )
