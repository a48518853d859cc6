"""Unites the shards of a run: their completions and scores, in the order of the problems."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.report import load_report
from evalkit.store.identity import prompt_digests, refuse_differences, run_differences, task_differences
from evalkit.store.lines import read_checked
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory, TaskFiles, find_runs

logger = logging.getLogger(__name__)

_COMPLETION = ("text", "finish_reason", "prefix", "prompt_tokens", "completion_tokens", "error")
_SCORE = ("value", "status", "answer")
Sample = tuple[str, int]
Place = tuple[int, int, int]  # the file, the offset of the line, its length


@dataclass(frozen=True, slots=True)
class MergedTask:
    """What of one task came together: `missing` of the planned completions are in no shard."""

    name: str
    completions: int
    planned: int
    missing: int
    overlaps: int


def merge_runs(runs: Sequence[str | Path], output: str | Path) -> list[MergedTask]:
    """Unite the runs at or below `runs` in the run directory `output`, and write its reports if nothing is missing.

    Completions that several runs have must be equal, apart from the time they took; a failed one gives way to another.
    What `output` holds already is one of the parts. The united run is that of an execution without shards, and
    `evalkit run` goes on with it.

    Raises EvalkitError if the runs are of different settings or contradict each other, RunIncompleteError, after
    writing what there is, if completions are missing.
    """
    target = RunDirectory(Path(output))
    sources = [found for path in runs for found in find_runs(Path(path))]
    if target.description_path.exists():
        sources.append(target)
    sources = list({run.path.resolve(): run for run in sources}.values())
    contents = [dict(run.record().content) for run in sources]
    united = _united(sources, contents)
    merged = []
    with target.locked():
        for name in united["tasks"]:
            merged.append(_merge_task(sources, target, name, united["tasks"][name]))
        target.rewrite(united)
    if lacking := [task for task in merged if task.missing]:
        told = ", ".join(f"{task.missing:,} of {task.planned:,} of {task.name}" for task in lacking)
        shards = _missing_shards(contents)
        raise RunIncompleteError(
            f"{target.path} lacks completions: {told}{f'; no run of shard {shards} was given' if shards else ''}.",
            "finish the shards and merge again, or finish it with `evalkit run … -o` and the merged folder.",
        )
    for name in united["tasks"]:
        with suppress(EvalkitError):  # scores may be missing: `evalkit score` makes them
            load_report(target.task(name))
    return merged


def _united(sources: Sequence[RunDirectory], contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The description of the whole run. Raises EvalkitError if the parts are of different runs."""
    first: dict[str, Any] = json.loads(json.dumps(contents[0]))
    first["identity"].pop("shard", None)
    for run, content in zip(sources, contents, strict=True):
        identity = {k: v for k, v in content["identity"].items() if k != "shard"}
        refuse_differences(run.path, "", run_differences(identity, first["identity"]))
        for name, entry in content["tasks"].items():
            known = first["tasks"].setdefault(name, entry)
            refuse_differences(run.path, f"{name}: ", task_differences(entry, known))
            first["tasks"][name] = _united_entry(known, entry)
    return first


def _united_entry(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """One task's entry with the completions that either plans. The order is that of the entry with more problems."""
    more, less = (a, b) if len(a["problem_ids"]) >= len(b["problem_ids"]) else (b, a)
    plan = SamplePlan.of_entry(more).united(SamplePlan.of_entry(less))
    digests = {**(prompt_digests(less) or {}), **(prompt_digests(more) or {})}
    entry = {**more, "problem_ids": list(plan.counts), "sampling": {**more["sampling"], **plan.sampling()}}
    if answers := {**(less.get("right_answers") or {}), **(more.get("right_answers") or {})}:
        entry["right_answers"] = answers
    entry.pop("problem_prompts", None)
    if all(key in digests for key in plan.counts):
        entry["problem_prompts"] = [digests[key] for key in plan.counts]
    return entry


def _missing_shards(contents: Sequence[Mapping[str, Any]]) -> str:
    """The shards of which no run was given: `3/16, 5/16`."""
    named = {str(content["identity"].get("shard", "")) for content in contents} - {""}
    counts = {name.partition("/")[2] for name in named}
    if len(counts) != 1 or not (count := counts.pop()).isdecimal():
        return ""
    return ", ".join(name for i in range(1, int(count) + 1) if (name := f"{i}/{count}") not in named)


def _merge_task(
    sources: Sequence[RunDirectory], target: RunDirectory, name: str, entry: Mapping[str, Any]
) -> MergedTask:
    plan = SamplePlan.of_entry(entry)
    order = {key: number for number, key in enumerate(plan.counts)}
    parts = [run.files(name) for run in sources]
    files = target.files(name)
    completions, overlaps = _places([part.completions_path for part in parts], _same_completion)
    scores, _ = _places([part.scores_path for part in parts], _latest)
    present = sum(sample in plan for sample in completions)

    def place(sample: Sample) -> tuple[int, str, int]:
        return order.get(sample[0], len(order)), *sample

    _write_sorted([part.completions_path for part in parts], completions, files.completions_path, place)
    kept = {sample: where for sample, where in scores.items() if sample in completions}
    _write_sorted([part.scores_path for part in parts], kept, files.scores_path, place)
    _merge_opinions(parts, files)
    return MergedTask(name, len(completions), plan.samples, plan.samples - present, overlaps)


def _places(paths: Sequence[Path], choose: Callable[..., bool]) -> tuple[dict[Sample, Place], int]:
    """Where the line of each sample stands, and how many samples stand in several files.

    `choose(known, new, known path, new path)` says whether the new record replaces the known one.
    """
    found: dict[Sample, Place] = {}
    several: set[Sample] = set()
    with ExitStack() as stack:
        streams: dict[int, IO[bytes]] = {}
        for number, path in enumerate(paths):
            for offset, line in _lines(path):
                record = json.loads(line)
                sample = str(record["problem_id"]), int(record["sample_index"])
                here = (number, offset, len(line))
                if (known := found.get(sample)) is None:
                    found[sample] = here
                    continue
                if known[0] != number:
                    several.add(sample)
                if known[0] not in streams:
                    streams[known[0]] = stack.enter_context(paths[known[0]].open("rb"))
                if choose(json.loads(_line_at(streams[known[0]], known)), record, paths[known[0]], path):
                    found[sample] = here
    return found, len(several)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The offset and the content of every line, checked."""
    offset = 0
    for _, line in read_checked(path):
        yield offset, line
        offset += len(line) + 1


def _line_at(stream: IO[bytes], place: Place) -> bytes:
    stream.seek(place[1])
    return stream.read(place[2])


def _same_completion(known: Mapping[str, Any], new: Mapping[str, Any], path: Path, new_path: Path) -> bool:
    """Whether the new completion replaces the known one: one that failed does not count."""
    if known.get("error") is not None:
        return True
    if new.get("error") is not None:
        return False
    if differing := [field for field in _COMPLETION if known.get(field) != new.get(field)]:
        raise EvalkitError(
            f"{path} and {new_path} have different completions of sample {new['sample_index']} of problem "
            f"{new['problem_id']}: the {differing[0]} differs.",
            "they are not parts of one run; merge them with others, or delete one of the two.",
        )
    return False


def _latest(known: Mapping[str, Any], new: Mapping[str, Any], path: Path, new_path: Path) -> bool:
    """Whether the new score replaces the known one. In one file the last counts; of two files, one without an error."""
    if path == new_path:
        return True
    if known["status"] == "error" or new["status"] == "error":
        return bool(known["status"] == "error")
    if known["grader"] == new["grader"] and (field := next((f for f in _SCORE if known.get(f) != new.get(f)), None)):
        raise EvalkitError(
            f"{path} and {new_path} have different scores of sample {new['sample_index']} of problem "
            f"{new['problem_id']}: the {field} differs.",
            "grade the runs again with `evalkit score`, then merge them.",
        )
    return False


def _write_sorted(
    paths: Sequence[Path], places: Mapping[Sample, Place], target: Path, order: Callable[[Sample], tuple[int, str, int]]
) -> None:
    """Write the lines at `places` to `target`, in order, by atomic rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.merge")
    try:
        with ExitStack() as stack:
            streams = [stack.enter_context(path.open("rb")) if path.exists() else None for path in paths]
            out = stack.enter_context(temporary.open("wb"))
            for sample in sorted(places, key=order):
                stream = streams[places[sample][0]]
                assert stream is not None
                out.write(_line_at(stream, places[sample]) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EvalkitError(
            f"{target} cannot be written: {error.strerror}.", "choose a writable folder with free space with -o."
        ) from error


def _merge_opinions(parts: Sequence[TaskFiles], target: TaskFiles) -> None:
    """Unite what second graders and people said, each line once."""
    for name in ("second_opinions.jsonl", "adjudications.jsonl"):
        lines = dict.fromkeys(line for part in parts for _, line in read_checked(part.folder / name))
        if lines:
            (target.folder / name).write_bytes(b"".join(line + b"\n" for line in lines))
