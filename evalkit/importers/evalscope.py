"""ModelScope's evalscope: predictions/<model>/<benchmark>_<subset>.jsonl beside reviews/ of the same names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evalkit.importers.common import content_parts, digest, joined_prompt, own_id, own_problem
from evalkit.importers.files import LogFile, Partial
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, finish_reason

_REPEATS = re.compile(r"^repeats:\s*(\d+)\s*$", re.MULTILINE)
_VERSION = re.compile(r"^evalscope_version:\s*['\"]?([\w.]+)", re.MULTILINE)
_SAMPLING = re.compile(r"^  (temperature|top_p|top_k|max_tokens|seed):\s*([\d.eE+-]+)\s*$", re.MULTILINE)
_WHOLE = ("top_k", "max_tokens", "seed")


@dataclass(frozen=True, slots=True)
class _Review:
    """What reviews/ says of one sample."""

    group: int
    generation: int | None
    golds: tuple[str, ...]
    answer: str | None
    verdicts: tuple[PeerVerdict, ...]


class Evalscope(Reader):
    name = "evalscope"
    title = "evalscope"

    def recognise(self, file: LogFile) -> LogPart | None:
        row = file.row
        new, old = row.has("index", "model_output"), row.has("answer_id", "model_spec")
        review = row.has("index", "sample_score") or (old and "reviewed" in row)
        if ".jsonl.rerun-" in file.name and (new or review):
            return LogPart(file, "", refusal="it is of a reviewing pass under way", companion=True)
        if review:
            told = "it holds reviews: give the folder that has predictions/ beside reviews/"
            return LogPart(file, "", refusal=told, companion=True)
        if not (new or old):
            return None
        task = _benchmark(file)
        return LogPart(file, task, "/".join(file.folder.split("/")[: -1 if _flat(file) else -2]), file.folder)

    def facts(self, log: Log) -> LogFacts:
        file = log.files[0]
        config = _config(file)
        version = _VERSION.search(config)
        sampling = {k: int(v) if k in _WHOLE else float(v) for k, v in _SAMPLING.findall(config) if _is_number(v)}
        row = file.row
        model = row["model"].maybe_text() or (row["model_spec"]["model_id"].maybe_text() if row["model_spec"] else None)
        return LogFacts(model, version[1] if version else "", sampling)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for file in log.files:
            if file.row.has("index", "model_output"):
                yield from _of_samples(file, log.partial)
            else:
                yield from _of_problems(file, log.partial)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _flat(file: LogFile) -> bool:
    """Whether predictions/ has the files without a folder for the model, as before 0.8."""
    return file.path.parent.name == "predictions"


def _place(file: LogFile, kind: str) -> str:
    """The folder of reviews/ or reports/ that belongs to a file of predictions/, seen from there."""
    return f"../{kind}" if _flat(file) else f"../../{kind}/{file.path.parent.name}"


def _config(file: LogFile) -> str:
    """The text of the run's task_config.yaml, whose name may have an ending of its own; "" where it is not told."""
    found = file.alike(f"{'..' if _flat(file) else '../..'}/configs/task_config*.yaml")
    return (found[0].text_start or "") if len(found) == 1 else ""


def _benchmark(file: LogFile) -> str:
    """The benchmark in <benchmark>_<subset>: reports/ has a file of its name."""
    stem = file.stem.removesuffix(".jsonl")
    parts = stem.split("_")
    for end in range(len(parts) - 1, 0, -1):
        name = "_".join(parts[:end])
        if file.beside(f"{_place(file, 'reports')}/{name}.json") is not None:
            return name
    return stem.removesuffix("_default")


def _review_file(file: LogFile) -> LogFile | None:
    return file.beside(f"{_place(file, 'reviews')}/{file.stem}")


def _repeats(file: LogFile, reviews: dict[int, _Review]) -> int | None:
    """Samples a problem: from the configuration, else where the reviews leave one possibility."""
    if found := _REPEATS.search(_config(file)):
        return int(found[1])
    groups: dict[int, list[int]] = {}
    for index, review in reviews.items():
        groups.setdefault(review.group, []).append(index)
    sizes = {len(indices) for indices in groups.values()}
    size = sizes.pop() if len(sizes) == 1 else 0
    return size if size and all(index // size == review.group for index, review in reviews.items()) else None


def _repeats_by_prompt(file: LogFile, partial: Partial) -> int | None:
    """Samples a problem where equal prompts stand at neighbouring indices, as many of each."""
    groups: dict[bytes, list[int]] = {}
    for row in file.rows(partial):
        prompt = joined_prompt(Node([m.value for m in _asked(row)], row.where))
        groups.setdefault(digest(prompt), []).append(row["index"].integer())
    sizes = {len(indices) for indices in groups.values()}
    size = sizes.pop() if len(sizes) == 1 else 0
    return size if size and all(len({i // size for i in indices}) == 1 for indices in groups.values()) else None


def _asked(row: Node) -> list[Node]:
    """The messages that were sent."""
    return [m for m in row["messages"].items() if m["role"].value != "assistant"] if row["messages"] else []


def _of_samples(file: LogFile, partial: Partial) -> Iterator[ImportedSample]:
    beside = _review_file(file)
    reviews = dict(_reviews(beside, partial)) if beside is not None else {}
    repeats = _repeats(file, reviews) or (None if reviews else _repeats_by_prompt(file, partial))
    stem = file.stem.removesuffix(".jsonl")
    for row in file.rows(partial):
        index = row["index"].integer()
        review = reviews.get(index)
        if review is not None and review.generation is not None:
            group, generation = review.group, review.generation
        elif repeats is not None:
            group, generation = divmod(index, repeats)
        else:
            raise unreadable(row.where, "neither reviews/ nor configs/ tells which of a problem's samples it is")
        yield _of_sample(row, review, group, generation, f"{stem}#{group}")


def _of_sample(row: Node, review: _Review | None, group: int, generation: int, label: str) -> ImportedSample:
    output = row["model_output"]
    choices = output["choices"].items() if output["choices"] else []
    error = output["error"].maybe_text() or (None if choices else "the log has no output for this sample")
    message = choices[0]["message"] if choices else Node({}, row.where)
    text, reasoning = content_parts(message)
    word = choices[0]["stop_reason"].maybe_text() if choices else None
    prompt = "\n\n".join(content_parts(m)[0] for m in _asked(row)) or None
    golds = review.golds if review is not None else ()
    usage = output["usage"]
    return ImportedSample(
        own_id(row["metadata"]) or label if row["metadata"] else label,
        generation,
        "" if error else text,
        reasoning=None if error else reasoning,
        position=group,
        prompt=prompt,
        gold=golds[0] if golds else None,
        golds=golds if len(golds) > 1 else (),
        finish_reason=None if error else finish_reason(word),
        peer_finish_reason=word,
        prompt_tokens=usage["input_tokens"].count() if usage else None,
        completion_tokens=usage["output_tokens"].count() if usage else None,
        seconds=output["time"].maybe_number(),
        answer=review.answer if review is not None else None,
        verdicts=review.verdicts if review is not None else (),
        error=error,
        note="" if review is not None else "not reviewed",
    )


def _reviews(file: LogFile, partial: Partial) -> Iterator[tuple[int, _Review]]:
    for row in file.rows(partial):
        sample = row["sample_score"]
        score = sample["score"]
        answer = score["extracted_prediction"].plain()
        golds = _golds(row["target"])
        values = score["value"].fields() if score["value"] else ()
        verdicts = [PeerVerdict(k, f, "sample", answer) for k, v in values if (f := v.fraction()) is not None]
        index = row["index"].integer()
        group = _whole(sample["group_id"]) if sample["group_id"] else index
        generation = sample["generation_index"].count()
        if sample["group_id"].value is None:
            generation = None
        yield index, _Review(group, generation, golds, answer, tuple(verdicts))


def _golds(target: Node) -> tuple[str, ...]:
    if isinstance(target.value, list):
        return tuple(t.label() for t in target.items())
    return (target.label(),) if target else ()


def _whole(node: Node) -> int:
    """A whole number, which 1.x writes as text where the data set did."""
    return int(node.text()) if isinstance(node.value, str) and node.text().isdigit() else node.integer()


@dataclass(frozen=True, slots=True)
class _OldReview:
    """What the reviews before 1.0 say of one sample."""

    golds: tuple[str, ...] = ()
    answer: str | None = None
    verdicts: tuple[PeerVerdict, ...] = ()


def _of_problems(file: LogFile, partial: Partial) -> Iterator[ImportedSample]:
    """Before 1.0: a row is a problem, and the reviews repeat it with a verdict in each of its choices."""
    beside = _review_file(file)
    told: dict[str, list[_OldReview]] = {}
    for row in beside.rows(partial) if beside is not None else ():
        told[row["answer_id"].text()] = [_old_review(choice["review"]) for choice in _choices(row)]
    own = [own_id(row["raw_input"]) for row in file.rows(partial)]
    own_ids_tell = None not in own and len(set(own)) == len(own)
    stem = file.stem.removesuffix(".jsonl")
    for number, row in enumerate(file.rows(partial)):
        place = row.first("index")  # since 0.11, where rows stand in the order in which they finished
        if not place and isinstance(row["origin_prompt"].value, dict):
            place = row["origin_prompt"]["index"]
        position = place.count() if place else number
        problem_id = own[number] if own_ids_tell else f"{stem}#{position}"
        yield from _of_problem(row, problem_id or "", position, told.get(row["answer_id"].text(), []))


def _choices(row: Node) -> list[Node]:
    return row["choices"].items() if row["choices"] else []


def _of_problem(
    row: Node, problem_id: str, position: int | None, reviews: list[_OldReview]
) -> Iterator[ImportedSample]:
    raw, usage, choices = row["raw_input"], row["usage"], _choices(row)
    common: dict[str, Any] = {
        "position": position,
        "problem": own_problem(raw) if raw else None,
        "prompt": _sent(row["origin_prompt"]),
    }
    if not choices:
        yield ImportedSample(problem_id, 0, "", error="the log has no output for this sample", **common)
    for k, choice in enumerate(choices):
        review = reviews[k] if k < len(reviews) else _OldReview()
        text, reasoning = content_parts(choice["message"])
        word = choice["finish_reason"].maybe_text()
        yield ImportedSample(
            problem_id,
            k,
            text,
            reasoning=reasoning,
            gold=review.golds[0] if review.golds else None,
            golds=review.golds if len(review.golds) > 1 else (),
            finish_reason=finish_reason(word),
            peer_finish_reason=word,
            prompt_tokens=usage["prompt_tokens"].count() if usage else None,
            completion_tokens=usage["completion_tokens"].count() if usage and len(choices) == 1 else None,
            answer=review.answer,
            verdicts=review.verdicts,
            **common,
        )


def _sent(prompt: Node) -> str | None:
    """The prompt of a row before 0.14, which has the message first in a list."""
    data = prompt["data"] if isinstance(prompt.value, dict) else Node(None, prompt.where)
    first = data[0] if isinstance(data.value, list) else data
    return first.value if isinstance(first.value, str) else None


def _old_review(review: Node) -> _OldReview:
    if not review:
        return _OldReview()
    gold, answer, result = review["gold"], review["pred"].plain(), review["result"]
    golds = () if gold.value == "*Same as Input*" else _golds(gold) if isinstance(gold.value, str | int | list) else ()
    values = result.fields() if isinstance(result.value, dict) else [("result", result)]
    verdicts = [PeerVerdict(name, f, "sample", answer) for name, v in values if (f := v.fraction()) is not None]
    return _OldReview(golds, answer, tuple(verdicts))
