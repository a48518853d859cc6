"""Unites the shards of a run: their completions and scores, in the order of the problems."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.report import load_report
from evalkit.store.folders import all_runs, each_once
from evalkit.store.identity import prompt_digests, refuse_differences, run_differences, task_differences
from evalkit.store.lines import read_checked
from evalkit.store.opinions import adjudications_path, opinions_path
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory, TaskFiles, score_of_line, validated
from evalkit.types import Completion, Score

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

    Raises EvalkitError if a line of a run is damaged, and if the runs are of different settings or contradict each
    other; RunIncompleteError, after writing what there is, if completions are missing.
    """
    target = RunDirectory(Path(output))
    sources = all_runs(map(Path, runs), besides=target.path)
    if target.description_path.exists():
        sources = each_once([*sources, target])
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
    completions, overlaps = _places([part.completions_path for part in parts], _completion, _same_completion)
    scores, _ = _places([part.scores_path for part in parts], _score, _latest)
    opinions = _opinions(parts)
    present = sum(sample in plan for sample in completions)

    def place(sample: Sample) -> tuple[int, str, int]:
        return order.get(sample[0], len(order)), *sample

    _write_sorted([part.completions_path for part in parts], completions, files.completions_path, place)
    kept = {sample: where for sample, where in scores.items() if sample in completions}
    _write_sorted([part.scores_path for part in parts], kept, files.scores_path, place)
    for path_of, lines in opinions.items():
        path_of(files).write_bytes(b"".join(line + b"\n" for line in lines))
    return MergedTask(name, len(completions), plan.samples, plan.samples - present, overlaps)


def _completion(line: bytes, path: Path, number: int) -> tuple[Sample, Completion]:
    completion: Completion = validated(Completion, line, path, number)
    return (completion.problem_id, completion.sample_index), completion


def _score(line: bytes, path: Path, number: int) -> tuple[Sample, tuple[Score, str]]:
    score, grader = score_of_line(line, path, number)
    assert score.key is not None
    return (score.key.problem_id, score.key.sample_index), (score, grader)


def _places(
    paths: Sequence[Path], parse: Callable[[bytes, Path, int], tuple[Sample, Any]], choose: Callable[..., bool]
) -> tuple[dict[Sample, Place], int]:
    """Where the line of each sample stands, and how many samples stand in several files.

    `parse(line, path, number)` gives the sample and the record of a line. `choose(known, new, known path, new path)`
    says whether the new record replaces the known one.

    Raises EvalkitError at a damaged line.
    """
    found: dict[Sample, Place] = {}
    several: set[Sample] = set()
    with ExitStack() as stack:
        streams: dict[int, IO[bytes]] = {}
        for file, path in enumerate(paths):
            offset = 0
            for number, line in read_checked(path):
                sample, record = parse(line, path, number)
                here = (file, offset, len(line))
                offset += len(line) + 1
                if (known := found.get(sample)) is None:
                    found[sample] = here
                    continue
                if known[0] != file:
                    several.add(sample)
                if known[0] not in streams:
                    streams[known[0]] = stack.enter_context(paths[known[0]].open("rb"))
                _, before = parse(_line_at(streams[known[0]], known), paths[known[0]], 0)
                if choose(before, record, paths[known[0]], path):
                    found[sample] = here
    return found, len(several)


def _line_at(stream: IO[bytes], place: Place) -> bytes:
    stream.seek(place[1])
    return stream.read(place[2])


def _same_completion(known: Completion, new: Completion, path: Path, new_path: Path) -> bool:
    """Whether the new completion replaces the known one: one that failed does not count."""
    if known.error is not None:
        return True
    if new.error is not None:
        return False
    if differing := _differing(_COMPLETION, known, new):
        raise EvalkitError(
            f"{path} and {new_path} have different completions of sample {new.sample_index} of problem "
            f"{new.problem_id}: the {differing} differs.",
            "they are not parts of one run; merge them with others, or delete one of the two.",
        )
    return False


def _latest(known: tuple[Score, str], new: tuple[Score, str], path: Path, new_path: Path) -> bool:
    """Whether the new score replaces the known one. In one file the last counts; of two files, one without an error."""
    if path == new_path:
        return True
    before, after = known[0], new[0]
    if before.status == "error" or after.status == "error":
        return before.status == "error"
    if known[1] == new[1] and after.key is not None and (differing := _differing(_SCORE, before, after)):
        raise EvalkitError(
            f"{path} and {new_path} have different scores of sample {after.key.sample_index} of problem "
            f"{after.key.problem_id}: the {differing} differs.",
            "grade the runs again with `evalkit score`, then merge them.",
        )
    return False


def _differing(fields: Sequence[str], known: object, new: object) -> str | None:
    """The first of the fields that is not the same in both."""
    return next((field for field in fields if getattr(known, field) != getattr(new, field)), None)


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


def _opinions(parts: Sequence[TaskFiles]) -> dict[Callable[[TaskFiles], Path], list[bytes]]:
    """What second graders and people said, by the file of it: each line once. Raises EvalkitError at a damaged line."""
    united: dict[Callable[[TaskFiles], Path], list[bytes]] = {}
    for path_of in (opinions_path, adjudications_path):
        lines: dict[bytes, None] = {}
        for path in map(path_of, parts):
            for number, line in read_checked(path):
                validated(dict, line, path, number)
                lines[line] = None
        if lines:
            united[path_of] = list(lines)
    return united
