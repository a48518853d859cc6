"""The run directories below a folder, and those that have lost their record."""

from collections.abc import Iterable
from pathlib import Path

from evalkit.errors import DamagedError, EvalkitError
from evalkit.files import open_file, parse_json
from evalkit.store.run import RunDirectory


def find_runs(path: Path) -> list[RunDirectory]:
    """The run directories at or below `path`, sorted. Raises EvalkitError if there is none."""
    if not path.is_dir():
        reason = f"{path} is not a folder." if path.exists() else f"The folder {path} does not exist."
        raise EvalkitError(reason, "pass a results folder or a run directory.")
    found = [RunDirectory(file.parent) for file in sorted(path.rglob("run.json"))]
    if not found:
        for _, error in runs_without_record(path):
            raise error
        raise EvalkitError(f"There is no run below {path}.", "`evalkit run` creates one.")
    return found


def all_runs(paths: Iterable[Path], besides: Path | None = None) -> list[RunDirectory]:
    """The run directories at or below the paths, each once; `besides` need not have its run.json yet.

    Raises EvalkitError where a path has none, and DamagedError where a run has lost its run.json: it would be missing.
    """
    found: list[RunDirectory] = []
    for path in paths:
        runs = find_runs(path)
        for folder, error in runs_without_record(path):
            if besides is None or folder.resolve() != besides.resolve():
                raise error
        found += runs
    return each_once(found)


def each_once(runs: Iterable[RunDirectory]) -> list[RunDirectory]:
    """The runs without those that were named before, by whatever path."""
    found: dict[Path, RunDirectory] = {}
    for run in runs:
        found.setdefault(run.path.resolve(), run)
    return list(found.values())


def runs_without_record(path: Path) -> list[tuple[Path, DamagedError]]:
    """The folders at or below `path` that have a task's completions and no run.json, with what is wrong, sorted."""
    below = (file for file in sorted(path.rglob("completions.jsonl")) if len(file.relative_to(path).parts) > 1)
    files = (file for file in below if not (file.parents[1] / "run.json").exists())
    found = dict.fromkeys(file.parents[1] for file in files if _is_of_a_task(file))
    return [(folder, _no_record(folder)) for folder in found]


def _no_record(folder: Path) -> DamagedError:
    return DamagedError(
        f"{folder} has completions but no run.json.",
        "restore the file from a copy, or move the folder away if it is no run.",
    )


def _is_of_a_task(file: Path) -> bool:
    """Whether a completions.jsonl is in the folder of its task, and not of something that was put away or exported."""
    if any(part.startswith(".") and part != ".." for part in file.parts[-3:-1]):
        return False
    try:
        with open_file(file) as stream:
            record = parse_json(stream.readline(1 << 24))
        return isinstance(record, dict) and record.get("task") == file.parent.name and "sample_index" in record
    except (OSError, ValueError):
        return file.with_name("scores.jsonl").exists()
