"""evalplus: <model>_<backend>_temp_<t>.raw.jsonl, the code taken out of it beside, and eval_results.json."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_NAME = re.compile(
    r"""(?P<model>.+)_(?P<backend>[a-z0-9]+)_temp_(?P<temperature>[\d.]+?)  # Qwen--Qwen3-8B_vllm_temp_0.6
        (?:\.raw)?\.jsonl""",
    re.VERBOSE,
)
_FIELDS = {"task_id", "solution", "completion", "_identifier"}


class EvalPlus(Reader):
    name = "evalplus"
    title = "evalplus"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if row.has("eval", "hash"):
            return LogPart(file, "", refusal="it holds verdicts alone: give the .raw.jsonl beside it", companion=True)
        known = isinstance(row.value, dict) and set(row.value) <= _FIELDS
        if not known or not row.has("task_id") or not ("solution" in row or "completion" in row):
            return None
        if _raw(file) is not None:
            told = "it holds code that was cut out: its .raw.jsonl has what the model wrote"
            return LogPart(file, "", refusal=told, companion=True)
        folder = file.path.parent.name
        task = row["task_id"].label().partition("/")[0].lower() or folder
        return LogPart(file, task, file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        file = log.files[0]
        named = _NAME.fullmatch(file.stem)
        sampling: dict[str, Any] = {"temperature": float(named["temperature"])} if named else {}
        cut = () if file.stem.endswith(".raw.jsonl") else ("the texts may be code cut out of what was written",)
        return LogFacts(named["model"] if named else None, "", sampling, cut)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        told = _results(file)
        seen: Counter[str] = Counter()
        raw = file.stem.endswith(".raw.jsonl")
        for row in file.rows(log.partial):
            problem_id = row["task_id"].label()
            index = seen[problem_id]
            seen[problem_id] += 1
            results = told.get(problem_id, [])
            result = results[index] if index < len(results) else Node(None, row.where)
            value = _verdict(result)
            text = row.first("solution", "completion").text()
            code = result["solution"].maybe_text() if result else None
            if not raw and "solution" in row and code is not None and code != text:
                raise unreadable(row.where, "eval_results.json is of other code: it is stale")
            yield ImportedSample(
                problem_id,
                index,
                text,
                "raw" if raw else "thinking removed",
                answer=code,
                verdicts=() if value is None else (PeerVerdict("base and plus", value, "sample"),),
            )
        if told and any(len(results) != seen[problem_id] for problem_id, results in told.items()):
            raise unreadable(file.where, "eval_results.json has other samples: it is stale")


def _raw(file: LogFile) -> LogFile | None:
    if file.stem.endswith(".raw.jsonl"):
        return None
    return file.beside(file.stem.removesuffix(".jsonl") + ".raw.jsonl")


def _results(file: LogFile) -> dict[str, list[Node]]:
    base = file.stem.removesuffix(".jsonl").removesuffix(".raw")
    for name in (f"{base}_eval_results.json", f"{base}.eval_results.json"):
        found = file.beside(name)
        if found is not None:
            told: defaultdict[str, list[Node]] = defaultdict(list)
            for problem_id, results in found.document(1 << 30)["eval"].fields():
                told[problem_id] = results.items() if isinstance(results.value, list) else _old_results(results)
            return told
    return {}


def _old_results(results: Node) -> list[Node]:
    """The results of one problem before 0.3: lists of [status, details], the second one empty without its tests."""
    base, plus = ([one[0].value for one in results[name].items()] for name in ("base", "plus"))
    if plus and len(plus) != len(base):
        results.fail("an object with as many results of both sets of tests")
    both = zip(base, plus or [None] * len(base), strict=True)
    return [Node({"base_status": b, "plus_status": p}, results.where, results.path) for b, p in both]


def _verdict(result: Node) -> float | None:
    """Right where both sets of tests pass; there is one set where only the original tests were run."""
    statuses = [result[name].value for name in ("base_status", "plus_status")] if result else []
    known = [status for status in statuses if isinstance(status, str)]
    return float(all(status in ("pass", "success") for status in known)) if known else None
