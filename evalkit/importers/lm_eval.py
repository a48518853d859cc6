"""EleutherAI's lm-evaluation-harness: samples_<task>_<date>.jsonl, one row for each problem and filter."""

import ast
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.importers.common import joined_prompt, messages_in, own_id, own_problem
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, Scope, TextForm

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_OWN_FIELDS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"} | {
    "doc_hash",
    "prompt_hash",
    "target_hash",
}


@dataclass(slots=True)
class _Problem:
    """What the rows of one problem say, one row a filter."""

    resps: bytes = b""
    filters: list[str] = field(default_factory=list)
    verdicts: list[PeerVerdict] = field(default_factory=list)
    own: str | None = None


class LmEval(Reader):
    name = "lm_eval"
    title = "lm-evaluation-harness"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if row.has("results", "configs") and "samples" not in row:
            results = row["results"].value
            if isinstance(results, dict) and any(isinstance(r, dict) and "examples" in r for r in results.values()):
                return None  # evalchemy's
            return LogPart(file, "", refusal="it holds aggregates alone: lm_eval needs --log_samples", companion=True)
        if not row.has("doc_id", "arguments") or not (row["resps"] or row["filtered_resps"]):
            return None
        named = _NAME.fullmatch(file.stem)
        task = named["task"] if named else _task_of_old_name(file)
        run = named["date"] if named else ""
        return LogPart(file, task, file.folder, run, refusal=_refusal(row))

    def facts(self, log: Log) -> LogFacts:
        results = _results(log.files[0])
        if results is None:
            return LogFacts()
        model, thinking_cut = _model(results)
        task = results["configs"][log.task]
        given = task["generation_kwargs"]
        sampling: dict[str, Any] = {
            ours: given[theirs].value
            for ours, theirs in (("temperature", "temperature"), ("top_p", "top_p"), ("max_tokens", "max_gen_toks"))
            if given and given[theirs]
        }
        if given and given["do_sample"].value is False:
            sampling["temperature"] = 0.0
        notes = []
        if thinking_cut:
            notes.append("think_end_token cut the thinking off before logging; an unclosed thought stayed")
        if "chat-completions" in (results["config"]["model"].maybe_text() or ""):
            notes.append("reasoning that the server kept apart is not in the log: an empty text may be a cut thought")
        return LogFacts(model, results["lm_eval_version"].maybe_text() or "", sampling, tuple(notes))

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        results = _results(file)
        scopes = _filter_scopes(results, log.task)
        problems: defaultdict[str, _Problem] = defaultdict(_Problem)
        for row in file.rows(log.partial):
            _collect(problems[row["doc_id"].label()], row, scopes)
        own = [problem.own for problem in problems.values()]
        own_ids_tell = None not in own and len(set(own)) == len(own)
        form: TextForm = "thinking removed" if results is not None and _model(results)[1] else "raw"
        done = set()
        for row in file.rows(log.partial):
            doc_id = row["doc_id"].label()
            if doc_id not in done:
                done.add(doc_id)
                problem = problems[doc_id]
                yield from _samples(row, doc_id, problem, (own_ids_tell and problem.own) or doc_id, form)


def _task_of_old_name(file: LogFile) -> str:
    """Up to 0.4.2 a file is named <model_args>_<task>.jsonl, and only results.json knows where the task begins."""
    results = _results(file)
    stem = file.stem.removesuffix(".jsonl").removesuffix(".json")
    known = [name for name, _ in results["configs"].fields()] if results is not None and results["configs"] else []
    return max((name for name in known if stem.endswith(f"_{name}")), key=len, default=stem)


def _results(file: LogFile) -> Node | None:
    """The run's results: results_<date>.json, or <name>_<date>.json where --output_path named a file."""
    named = _NAME.fullmatch(file.stem)
    beside = file.beside(f"results_{named['date']}.json" if named else "results.json")
    for found in [beside] if beside is not None else file.alike(f"*_{named['date']}.json") if named else []:
        if found.row.has("results", "configs"):
            return found.document()
    return None


def _model(results: Node) -> tuple[str | None, bool]:
    """(the model's name, whether think_end_token cut its thinking off before it was logged)."""
    arguments = results["config"]["model_args"]
    if isinstance(arguments.value, str):
        pairs = dict(part.split("=", 1) for part in arguments.text().split(",") if "=" in part)
        arguments = Node(pairs, arguments.where, arguments.path)
    if not arguments:
        return results["model_name"].maybe_text(), False
    model = arguments.first("pretrained", "model", "model_name", "path").maybe_text()
    return model or results["model_name"].maybe_text(), bool(arguments["think_end_token"])


def _argument(row: Node, number: int) -> Node:
    """An argument of a row's first request: a list of lists up to 0.4.2, an object of objects since."""
    arguments = row["arguments"]
    if isinstance(arguments.value, dict):
        return arguments["gen_args_0"][f"arg_{number}"]
    return arguments[0][number]


def _refusal(row: Node) -> str:
    if not row["resps"]:
        return "it holds filtered answers alone, not what the model wrote"
    if not isinstance(_argument(row, 1).value, dict):
        return "its rows are log-likelihoods of given texts, not completions"
    return ""


def _filter_scopes(results: Node | None, task: str) -> dict[str, Scope]:
    """What each filter's verdict speaks of: its steps say whether it takes the first sample or a vote."""
    scopes: dict[str, Scope] = {"none": "first sample"}
    filters = results["configs"][task]["filter_list"] if results is not None else None
    for one in filters.items() if filters else ():
        steps = [step["function"].text() for step in one["filter"].items()]
        if "majority_vote" in steps:
            scope: Scope = "majority"
        else:
            scope = "first sample" if "take_first" in steps else "problem"
        scopes[one["name"].text()] = scope
    return scopes


def _collect(problem: _Problem, row: Node, scopes: dict[str, Scope]) -> None:
    """Add one row's verdicts. Raises EvalkitError where a second run's rows are mixed in."""
    resps = hashlib.blake2b(json.dumps(row["resps"].value).encode(), digest_size=16).digest()
    name = row["filter"].maybe_text()
    filter_name = name if name is not None else _unnamed(len(problem.filters), scopes)
    if problem.filters and (problem.resps != resps or filter_name in problem.filters):
        raise EvalkitError(
            f"{row.where} has problem {row['doc_id'].label()} a second time.",
            "two runs may lie in one file: take them apart and import one.",
        )
    problem.resps = resps
    problem.filters.append(filter_name)
    problem.own = own_id(row["doc"])
    names = row["metrics"].texts() if row["metrics"] else [k for k, _ in row.fields() if k not in _OWN_FIELDS]
    answer = row["filtered_resps"][0].value if row["filtered_resps"] else None
    for metric in names:
        value = row[metric].fraction()
        if value is not None:
            told = answer if isinstance(answer, str) else None
            whole = metric if filter_name in ("none", "filter 1") else f"{metric},{filter_name}"
            problem.verdicts.append(PeerVerdict(whole, value, _scope(metric, filter_name, scopes, answer), told))


def _unnamed(number: int, scopes: dict[str, Scope]) -> str:
    """The name of a problem's `number`-th filter before 0.4.7, whose rows do not tell it but keep the task's order."""
    known = list(scopes)[1:]
    return known[number] if number < len(known) else f"filter {number + 1}"


def _scope(metric: str, filter_name: str, scopes: dict[str, Scope], answer: Any) -> Scope:
    if metric.startswith("maj@") or filter_name.startswith("maj"):
        return "majority"
    if metric.startswith(("cov@", "pass@")):
        return "problem"
    return scopes.get(filter_name, "problem" if isinstance(answer, list) else "first sample")


def _samples(row: Node, doc_id: str, problem: _Problem, own: str, form: TextForm) -> Iterator[ImportedSample]:
    requests = row["resps"].items()
    if len(requests) != 1:
        raise unreadable(row.where, f"it has {len(requests)} requests for one problem")
    if not isinstance(requests[0].value, list):
        requests[0].fail("a list of completions")
    prompt = _prompt(_argument(row, 0))
    answers = row["extracted_answers"].items() if isinstance(row["extracted_answers"].value, list) else []
    golds = _golds(row["target"])
    shared = tuple(v for v in problem.verdicts if v.scope != "first sample")
    for index, text in enumerate(requests[0].texts()):
        first = tuple(problem.verdicts) if index == 0 else shared
        answer = next((v.answer for v in first if v.scope == "first sample"), None)
        if index < len(answers):
            answer = answers[index].maybe_label()
        yield ImportedSample(
            own,
            index,
            text,
            form,
            position=int(doc_id) if doc_id.isdigit() else None,
            problem=own_problem(row["doc"]),
            prompt=prompt,
            gold=golds[0] if golds else None,
            golds=golds if len(golds) > 1 else (),
            answer=answer,
            verdicts=first,
        )


def _golds(target: Node) -> tuple[str, ...]:
    """The right answers: since 0.4.3 a list of them is logged as the `str` of it."""
    if isinstance(target.value, list):
        return tuple(gold.label() for gold in target.items())
    text = target.maybe_label()
    if text is not None and text.startswith(("['", '["')) and text.endswith("]"):
        try:
            listed = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return (text,)
        if isinstance(listed, list) and all(isinstance(gold, str) for gold in listed):
            return tuple(listed)
    return () if text is None else (text,)


def _prompt(argument: Node) -> str | None:
    """The prompt: a text, or the JSON of messages alone in a list."""
    text = argument[0].text() if isinstance(argument.value, list) else argument.text()
    messages = messages_in(text, argument.where)
    return text if messages is None else joined_prompt(messages)
