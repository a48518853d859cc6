"""Shanghai AI Laboratory's OpenCompass: predictions/<model>/<set>.json beside results/<model>/<set>.json."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from evalkit.importers.common import digest, joined_prompt, period
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_PART = re.compile(r"(?P<set>.+)_(?P<number>\d+)")
_BY_RUN = ("correct", "is_correct", "cascade_correct", "pred", "predictions", "prediction")
_RUNS = re.compile(r"\((\d+) runs average\)")


@dataclass(frozen=True, slots=True)
class _Detail:
    """What results/ says of one sample."""

    answer: str | None
    gold: str | None
    correct: float | None


class OpenCompass(Reader):
    name = "opencompass"
    title = "OpenCompass"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        if file.stem.startswith("tmp_") and (_first_entry(row).has("prediction") or row.has("prediction")):
            return LogPart(file, "", refusal="it is of a run that was not finished", companion=True)
        if row.has("details") and not row.has("prediction"):
            told = "it holds results: give the folder that has predictions/ beside results/"
            return LogPart(file, "", refusal=told, companion=True)
        entry = _first_entry(row)
        if isinstance(entry.value, dict) and any(name.startswith("label: ") for name in entry.value):
            return LogPart(file, "", refusal="its rows are perplexities of given texts, not completions")
        if not entry.has("origin_prompt", "prediction"):
            return None
        stem = file.stem.removesuffix(".json")
        part = _part(file)
        run = "/".join(PurePosixPath(file.folder).parts[:-2])
        return LogPart(file, part["set"] if part else stem, file.folder, run, int(part["number"]) if part else 0)

    def facts(self, log: Log) -> LogFacts:
        parent = log.files[0].path.parent
        return LogFacts(parent.name if parent.parent.name == "predictions" else None)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        keys = [digest(*key) for key in _prompts(log)]
        details, runs = _details(log, len(keys))
        size = period(keys, log.where)
        if runs is not None:
            if len(keys) % runs or size not in (len(keys) // runs, len(keys)):
                raise unreadable(log.where, f"results/ tells of {runs} runs, which its {len(keys)} rows do not show")
            size = len(keys) // runs
        row_number = 0
        for file in log.files:
            for _, entry in _entries(file):
                texts = entry["prediction"]
                several = texts.items() if isinstance(texts.value, list) else [texts]
                index, problem = divmod(row_number, size)
                detail = details.get(row_number)
                for k, text in enumerate(several):
                    alone = detail if len(several) == 1 else None
                    yield _sample(log.task, problem, index * len(several) + k, entry, text.text(), alone)
                row_number += 1


def _refuse_turns(entry: Node) -> None:
    """A list of predictions is of several samples, unless each has a prompt of its own: those are turns."""
    prompts = entry["origin_prompt"].value
    several = isinstance(entry["prediction"].value, list) and isinstance(prompts, list)
    if several and any(isinstance(prompt, list) for prompt in prompts):
        raise unreadable(entry.where, "its predictions are of several turns, which are not one completion")


def _first_entry(row: Node) -> Node:
    return row["0"] if row.has("0") else Node(None, row.where)


def _part(file: LogFile) -> re.Match[str] | None:
    """A large set is written in parts <set>_0, <set>_1, …; a set's own name may end in a number as well."""
    found = _PART.fullmatch(file.stem.removesuffix(".json"))
    if found is None or file.beside(f"{found['set']}.json") is not None:
        return None
    model = file.path.parent.name
    if file.beside(f"../../results/{model}/{file.stem}") is not None:
        return None
    return found if file.beside(f"{found['set']}_0.json") is not None else None


def _entries(file: LogFile) -> Iterator[tuple[str, Node]]:
    """The entries of a file in the order of their numbers, which is that of the file unless it was merged."""
    expected = 0
    held: dict[int, tuple[str, Node]] = {}
    for name, entry in file.members():
        if not name.isdigit():
            raise unreadable(file.where, f"its entry {name[:40]!r} is no number")
        number = int(name)
        if number < expected or number in held:
            raise unreadable(file.where, f"its entry {number} is there twice")
        held[number] = (name, entry)
        while expected in held:
            yield held.pop(expected)
            expected += 1
    if held:
        raise unreadable(file.where, f"its entry {expected} is missing")


def _prompts(log: Log) -> Iterator[tuple[str | None, str | None]]:
    for file in log.files:
        for _, entry in _entries(file):
            if "prediction" not in entry:
                raise unreadable(entry.where, f"its entry {entry.path} has no prediction")
            _refuse_turns(entry)
            yield joined_prompt(entry["origin_prompt"]), None


def _details(log: Log, rows: int) -> tuple[dict[int, _Detail], int | None]:
    """(what results/ says, by row; the number of runs end to end, None where it does not tell)."""
    model = log.files[0].path.parent.name
    found = log.files[0].beside(f"../../results/{model}/{log.task}.json")
    if found is None:
        return {}, None
    results = found.document(1 << 30)
    runs = next((int(m[1]) for name, _ in results.fields() if (m := _RUNS.search(name))), None)
    details = results["details"]
    if isinstance(details.value, list):
        return _listed(details, rows, runs)
    told: dict[int, _Detail] = {}
    for name, one in details.fields() if details else ():
        if name.isdigit() and isinstance(one.value, dict):
            told[int(name)] = _detail(one, 0)
    return told, runs


def _listed(details: Node, rows: int, runs: int | None) -> tuple[dict[int, _Detail], int | None]:
    """Details by problem: each has lists over the runs, or plain values where there was one run."""
    problems = details.items()
    told: dict[int, _Detail] = {}
    for i, one in enumerate(problems):
        count = max((len(one[name].value) for name in _BY_RUN if isinstance(one[name].value, list)), default=1)
        if runs is None and len(problems) * count == rows:
            runs = count
        for k in range(count):
            told[k * len(problems) + i] = _detail(one, k)
    return told, runs


def _at(node: Node, k: int) -> Node:
    return node[k] if isinstance(node.value, list) else node


def _detail(one: Node, k: int) -> _Detail:
    """The k-th run of a problem, as the many evaluators write it: by rules, by a judge, or by both in turn."""
    by_rules = _at(one["rule_evaluation"], k)
    plain = by_rules if by_rules.has("pred") else one
    answer = _plain(_at(plain.first("pred", "predictions"), k))
    gold = _plain(_at(plain.first("answer", "references", "ref", "gold"), k))
    correct = _at(one.first("correct", "is_correct", "cascade_correct"), k).fraction()
    letter = _at(one["prediction"], k).value
    if correct is None and "origin_prompt" in one and letter in ("A", "B"):  # a judge was asked: A is its "right"
        correct = float(letter == "A")
    return _Detail(answer, gold, correct)


def _plain(node: Node) -> str | None:
    value = _at(node, 0) if isinstance(node.value, list) else node
    return value.plain()


def _sample(task: str, problem: int, index: int, entry: Node, text: str, detail: _Detail | None) -> ImportedSample:
    gold = entry["gold"]
    golds = tuple(g.label() for g in gold.items()) if isinstance(gold.value, list) else ()
    own = golds[0] if golds else None if golds == () and isinstance(gold.value, list) else gold.maybe_label()
    if own is None and detail is not None:
        own = detail.gold  # a gold of 0 or "" is left out of predictions/
    prompt = joined_prompt(entry["origin_prompt"])
    verdicts: tuple[PeerVerdict, ...] = ()
    if detail is not None and detail.correct is not None:
        verdicts = (PeerVerdict("correct", detail.correct, "sample", detail.answer),)
    return ImportedSample(
        f"{task}_{problem}",
        index,
        text,
        position=problem,
        prompt=prompt,
        gold=own,
        golds=golds if len(golds) > 1 else (),
        answer=detail.answer if detail is not None else None,
        verdicts=verdicts,
    )
