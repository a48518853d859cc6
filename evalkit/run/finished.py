"""A command that has nothing left to do: found by what it asked for, without opening the engine or loading data.

A run that finished leaves `finished.json`: a digest of each command that it answered, with the size and time of every
file that decides what the command means (weights, data, task file). Where one of them has changed, or where they cannot
be named (a server, a hub id without a commit), the command goes the long way.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import evalkit
from evalkit.benchmark.data import data_folder_of
from evalkit.benchmark.declared import require_declared
from evalkit.benchmark.protocols import DEFAULT_PROTOCOL, Protocol, find_protocol
from evalkit.benchmark.registry import resolve_task
from evalkit.benchmark.suites import task_names
from evalkit.engines import default_engine
from evalkit.engines.gpus import visible_gpus
from evalkit.errors import EvalkitError
from evalkit.files import parse_json, read_file
from evalkit.results.report import load_report
from evalkit.results.runs import Run
from evalkit.store.grader import GRADER_VERSION
from evalkit.store.lines import write_atomically
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory

_NAME = "finished.json"
_MOST_COMMANDS = 20


def command_digest(model: object, tasks: object, settings: Mapping[str, Any]) -> str | None:
    """The sha256 of what a command asks for, None if it cannot be told from its arguments (Python objects)."""
    if isinstance(tasks, list) and all(isinstance(name, str) for name in tasks):
        tasks = ",".join(tasks)
    if not isinstance(model, str | Path) or not isinstance(tasks, str):
        return None
    protocol = settings.get("protocol")
    try:
        preset = protocol if isinstance(protocol, Protocol) else find_protocol(protocol or DEFAULT_PROTOCOL)
        task_file = settings.get("task_file")
        chosen = [resolve_task(name, Path(task_file) if task_file else None) for name in task_names(tasks)]
        for task in chosen:
            require_declared(task)
        engine = settings.get("engine") or default_engine()
        folders = [data_folder_of(task, settings.get("data")) for task in chosen]
        asked = {
            "evalkit": [evalkit.__version__, GRADER_VERSION],
            "model": os.path.realpath(model) if Path(model).exists() else str(model),
            "tasks": [[task.name, task.version] for task in chosen],
            "data": [os.path.realpath(folder) if folder else None for folder in folders],
            "environment": os.environ.get("EVALKIT_DATA"),
            "engine": [engine, len(visible_gpus())],
            "protocol": [asdict(preset), protocol is not None],
            "settings": {k: v for k, v in settings.items() if v and k not in ("data", "protocol", "engine")},
        }
    except EvalkitError:
        return None  # the long way says what is wrong
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def find_finished(digest: str | None, output: str | Path | None, results: str | Path) -> Run | None:
    """The run that has answered the command already, None if there is none or something has changed since."""
    if digest is None:
        return None
    places = [Path(output)] if output is not None else [p.parent for p in sorted(Path(results).glob(f"*/*/{_NAME}"))]
    for place in places:
        answered = _read(place).get(digest)
        if (
            isinstance(answered, dict)
            and _is_unchanged(answered.get("files"))
            and _is_unchanged(answered.get("own"), place)
        ):
            try:
                return _run_of(place, answered["plans"])
            except (EvalkitError, LookupError, TypeError, AttributeError, ValueError):
                continue  # derived, or written by hand
    return None


def _run_of(place: Path, plans: Mapping[str, Mapping[str, int]]) -> Run | None:
    asked = {
        name: SamplePlan({str(key): int(count) for key, count in counts.items()}) for name, counts in plans.items()
    }
    directory = RunDirectory(place)
    for name, plan in asked.items():
        task = directory.task(name)
        if not task.record.plan.covers(plan) or load_report(task).statuses["error"]:
            return None
    return Run(place, plans=asked)


def record_finished_command(
    run: RunDirectory, digest: str | None, files: Sequence[Path] | None, plans: Mapping[str, SamplePlan]
) -> None:
    """Leave a note that the command is answered. `files` decide what it means; None if they cannot be named."""
    if digest is None or files is None:
        return
    known = {k: v for k, v in _read(run.path).items() if k != digest}
    kept = dict(list(known.items())[-(_MOST_COMMANDS - 1) :])
    own = [path.relative_to(run.path) for name in plans for path in sorted(run.files(name).folder.glob("*.jsonl"))]
    kept[digest] = {
        "files": {os.path.realpath(path): _stamp(path) for path in files},
        "own": {str(path): _stamp(run.path / path) for path in own},
        "plans": {name: dict(plan.counts) for name, plan in plans.items()},
    }
    write_atomically(run.path / _NAME, json.dumps(kept, indent=1) + "\n", durable=False)


def _read(place: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_file(place / _NAME, place))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _is_unchanged(files: object, folder: Path = Path()) -> bool:
    return isinstance(files, dict) and all(_stamp(folder / path) == stamp for path, stamp in files.items())
