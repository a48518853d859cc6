"""Stanford's HELM: scenario_state.json, beside per_instance_stats.json and run_spec.json."""

import string
from collections import defaultdict
from collections.abc import Iterator

from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, finish_reason

_CORRECT = (
    "chain_of_thought_correctness",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "exact_match",
    "quasi_exact_match",
)


class Helm(Reader):
    name = "helm"
    title = "HELM"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.first
        if not row.has("adapter_spec", "request_states"):
            return None
        method = row["adapter_spec"]["method"].maybe_text() or ""
        refusal = ""
        if method.startswith("multiple_choice_separate") or method == "language_modeling":
            refusal = "its rows are log-likelihoods of given texts, not completions"
        spec = file.beside("run_spec.json")
        name = spec.document()["name"].maybe_text() if spec is not None else None
        return LogPart(file, (name or file.stem.removesuffix(".json")).partition(":")[0], file.folder, refusal=refusal)

    def facts(self, log: Log) -> LogFacts:
        adapter = log.files[0].first["adapter_spec"]
        names = (("temperature", "temperature"), ("max_tokens", "max_tokens"))
        sampling = {ours: adapter[theirs].value for ours, theirs in names if adapter[theirs]}
        return LogFacts(adapter["model"].maybe_text(), "", sampling)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        verdicts = _stats(file)
        for name, state in file.members("request_states"):
            if name == "request_states":
                yield from _of_request(state, verdicts)


def _stats(file: LogFile) -> dict[tuple[str, int], list[PeerVerdict]]:
    found = file.beside("per_instance_stats.json")
    verdicts: defaultdict[tuple[str, int], list[PeerVerdict]] = defaultdict(list)
    for row in found.rows() if found is not None else ():
        if row["perturbation"]:
            continue
        key = row["instance_id"].label(), row["train_trial_index"].integer()
        for stat in row["stats"].items():
            name = stat["name"]["name"].text()
            value = stat["mean"].fraction()
            if name in _CORRECT and value is not None:
                verdicts[key].append(PeerVerdict(name, value, "problem"))
    return verdicts


def _of_request(state: Node, verdicts: dict[tuple[str, int], list[PeerVerdict]]) -> Iterator[ImportedSample]:
    instance, result, request = state["instance"], state["result"], state["request"]
    if instance["perturbation"]:
        raise unreadable(state.where, "its inputs are perturbed, which makes them other problems")
    trial = state["train_trial_index"].count() or 0
    references = instance["references"].items() if instance["references"] else []
    correct = [r["output"]["text"].text() for r in references if r["tags"] and "correct" in r["tags"].texts()]
    mapping = state["output_mapping"]
    golds = correct
    choices: tuple[str, ...] = ()
    if mapping:
        pairs = {letter: text.text() for letter, text in mapping.fields()}
        ordered = [pairs[letter] for letter in string.ascii_uppercase if letter in pairs]
        choices = tuple(ordered)
        golds = [letter for letter, text in pairs.items() if text in correct]
    completions = result["completions"].items() if result and result["completions"] else []
    error = None if completions else (result["error"].maybe_text() if result else None) or "nothing was generated"
    for k in range(max(1, len(completions))):
        completion = completions[k] if completions else Node({}, state.where)
        reason = completion["finish_reason"]
        word = reason["reason"].maybe_text() if reason else None
        thinking = completion["thinking"]
        yield ImportedSample(
            instance["id"].label(),
            trial * max(1, len(completions)) + k,
            completion["text"].maybe_text() or "",
            reasoning=thinking["text"].maybe_text() if thinking else None,
            problem=instance["input"]["text"].maybe_text(),
            prompt=request["prompt"].maybe_text() if request else None,
            gold=golds[0] if golds else None,
            golds=tuple(golds) if len(golds) > 1 else (),
            choices=choices,
            finish_reason=finish_reason(word),
            peer_finish_reason=word,
            verdicts=tuple(verdicts.get((instance["id"].label(), trial), ())),
            error=error,
        )
