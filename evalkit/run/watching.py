"""Watches a folder of checkpoints and evaluates each new one: one curve per training run.

A checkpoint is taken when it is complete: its config.json can be read, every weight file that its index names is there,
every safetensors file is as long as its header says, no file is a temporary one, and nothing in it has changed for
`settle` seconds.
"""

import csv
import io
import json
import logging
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.results.entries import natural_order
from evalkit.results.report import load_report
from evalkit.run.printed import printed_run
from evalkit.store.lines import write_atomically
from evalkit.store.run import RunDirectory
from evalkit.workers import ending_with_this_process

logger = logging.getLogger(__name__)

CURVE = (
    *("step", "checkpoint", "task", "metric", "value", "unit", "run_low", "run_high", "problems_low", "problems_high"),
    *("n", "problems", "truncated", "errors", "run"),
)
_LEAST_COLUMNS = {"step", "checkpoint", "task", "metric", "value"}
_WEIGHTS = (".safetensors", ".bin")
_TEMPORARY = (".tmp", ".incomplete", ".lock", ".part")
_MOST_HEADER = 100_000_000
_MOST_TRIES = 3
_SECONDS_REFUSED = 600.0
_LEAST_POLL = 0.01
_MOST_POLL = 86_400 * 7


def why_incomplete(folder: Path, settle: float, now: float | None = None) -> str | None:
    """Why a checkpoint is not complete, as text; None if it is."""
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = {path.name for path in files}
        if temporary := next((name for name in sorted(names) if name.endswith(_TEMPORARY)), None):
            return f"{temporary} is a temporary file"
        weights = [path for path in files if path.suffix in _WEIGHTS and path.name != "training_args.bin"]
        for index in (path for path in files if path.name.endswith(".index.json")):
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            if missing := sorted(named - names):
                return f"{missing[0]} is missing"
        if not weights:
            return "it has no weights"
        for path in weights:
            if path.suffix == ".safetensors" and (reason := _why_cut(path)):
                return reason
        if (time.time() if now is None else now) - _last_change(folder) < settle:
            return "it has just changed"
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _last_change(folder: Path) -> float:
    """When the folder or a file in it last changed, in seconds. Raises OSError where it is gone."""
    return max(path.stat().st_mtime for path in [folder, *(path for path in folder.iterdir() if path.is_file())])


def _why_cut(path: Path) -> str | None:
    """Why a safetensors file is not whole: its header tells where its last tensor ends."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(8)
        if len(first) < 8 or (length := struct.unpack("<Q", first)[0]) > min(size, _MOST_HEADER):
            return f"{path.name} has no header"
        header = json.loads(stream.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) != size:
        return f"{path.name} is cut"
    return None


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints at most two levels below `folder`, or `folder` itself, in the natural order of their names."""
    found = {
        path.parent for pattern in ("config.json", "*/config.json", "*/*/config.json") for path in folder.glob(pattern)
    }
    return sorted(found, key=lambda path: natural_order(str(path)))


def step_of(checkpoint: Path) -> int | None:
    """The training step of a checkpoint: what its trainer_state.json says, or the last number of its name."""
    try:
        return int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, LookupError, TypeError):
        numbers = re.findall(r"\d+", checkpoint.name)
        return int(numbers[-1]) if numbers else None


@dataclass(slots=True)
class Watch:
    """Evaluates the checkpoints that appear in `folder` with `evalkit run` and `arguments`.

    `every_new`: each of them, else only the newest. `settle` is in seconds, see the module. The curve of a training run
    (the folder that holds the checkpoints) is `<results>/curves/<training run>.csv`, a line a checkpoint, task and
    metric; it is derived from the runs and can be deleted. `refused` are the checkpoints for which `evalkit run` ended
    with 2, when they had last changed, and when they were tried: they are tried again once they change, or later.
    """

    folder: Path
    results: Path
    arguments: Sequence[str]
    every_new: bool = True
    settle: float = 10.0
    done: set[Path] = field(default_factory=set)
    failed: dict[Path, int] = field(default_factory=dict)
    refused: dict[Path, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise EvalkitError(f"The folder {self.folder} does not exist.", "pass the output folder of a training run.")
        _require_seconds("settle", self.settle, 0, sys.float_info.max, "a finite number, 0 or more")

    def waiting(self, settle: float | None = None) -> list[Path]:
        """The complete checkpoints that are to be evaluated next."""
        found = [path for path in checkpoints_in(self.folder) if path not in self.done]
        ready = [path for path in found if self.failed.get(path, 0) < _MOST_TRIES and not self._is_still_refused(path)]
        ready = [path for path in ready if why_incomplete(path, self.settle if settle is None else settle) is None]
        if not self.every_new and ready:
            self.done.update(ready[:-1])
            ready = ready[-1:]
        return ready

    def evaluate(self, checkpoint: Path) -> bool:
        """Evaluate one checkpoint in a process of its own and extend the curve; whether it could be finished."""
        command = [sys.executable, "-m", "evalkit", "run", str(checkpoint), "--results", str(self.results)]
        changed = self._changed(checkpoint)
        done = subprocess.run(
            [*command, *self.arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            env=ending_with_this_process(os.environ),
        )
        found = printed_run(done.stderr)
        if done.returncode or found is None:
            again = "it is tried again when a file in it has changed, or in ten minutes"
            if done.returncode == 2:
                self.refused[checkpoint] = changed, time.time()
            else:
                self.failed[checkpoint] = self.failed.get(checkpoint, 0) + 1
                again = f"try {self.failed[checkpoint]} of {_MOST_TRIES}"
            said = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("error:")), "no error")
            logger.warning("%s: exit code %d, %s; %s", checkpoint, done.returncode, said, again)
            return False
        self.done.add(checkpoint)
        self.failed.pop(checkpoint, None)
        self.refused.pop(checkpoint, None)
        self.extend_curve(checkpoint, RunDirectory(found))
        return True

    def _is_still_refused(self, checkpoint: Path) -> bool:
        if checkpoint not in self.refused:
            return False
        changed, tried = self.refused[checkpoint]
        return changed == self._changed(checkpoint) and time.time() - tried < _SECONDS_REFUSED

    def _changed(self, checkpoint: Path) -> float:
        try:
            return _last_change(checkpoint)
        except OSError:
            return 0.0

    def extend_curve(self, checkpoint: Path, run: RunDirectory) -> Path:
        """Add the figures of one checkpoint to the curve of its training run, in place of earlier ones of it."""
        path = self.results / "curves" / f"{checkpoint.resolve().parent.name}.csv"
        rows = [row for row in _read_curve(path) if row["checkpoint"] != checkpoint.name]
        rows += _figures(checkpoint, run)
        rows.sort(key=lambda row: (int(row["step"]) if row["step"] else -1, natural_order(row["checkpoint"])))
        text = io.StringIO()
        writer = csv.DictWriter(text, CURVE, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue(), durable=False)
        return path

    def follow(self, until: Path | None, once: bool, poll: float, tell: Callable[[str], None]) -> None:
        """Evaluate what appears until the file `until` does; with `once` until nothing is left.

        `poll` is the number of seconds between two looks at the folder. Raises EvalkitError where it cannot be one.
        """
        _require_seconds("poll", poll, _LEAST_POLL, _MOST_POLL, f"from {_LEAST_POLL} to {_MOST_POLL:,} seconds")
        told: set[str] = set()
        while True:
            is_last = until is not None and until.exists()
            for checkpoint in self.waiting():
                tell(f"{checkpoint}: evaluating")
                if self.evaluate(checkpoint):
                    tell(f"{checkpoint}: finished")
            for line in self._incomplete():
                if line not in told:
                    told.add(line)
                    tell(line)
            if (once or is_last) and not self._can_come():
                return
            time.sleep(poll)

    def _can_come(self) -> bool:
        """Whether a checkpoint is only too new to be evaluated."""
        return bool(self.waiting(settle=0.0))

    def _incomplete(self) -> Iterator[str]:
        for checkpoint in checkpoints_in(self.folder):
            if checkpoint not in self.done and (reason := why_incomplete(checkpoint, self.settle)) is not None:
                yield f"{checkpoint}: not complete: {reason}"


def _require_seconds(name: str, value: float, least: float, most: float, words: str) -> None:
    """Raises EvalkitError where `value` is no time to wait; nan is none."""
    if not least <= value <= most:
        raise EvalkitError(f"{name} is {value}, it has to be {words}.", "omit it to use the default.")


def _read_curve(path: Path) -> list[dict[str, Any]]:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError:
        return []
    sound = [row for row in rows if set(row) >= _LEAST_COLUMNS and re.fullmatch("[0-9]*", row["step"] or "")]
    return [{name: row.get(name) or "" for name in CURVE} for row in sound]


def _figures(checkpoint: Path, run: RunDirectory) -> Iterator[dict[str, Any]]:
    step = step_of(checkpoint)
    for task in run.tasks().values():
        report = load_report(task)
        for name in report.headlines:
            if (metric := report.metric(name)) is not None:
                low, high = metric.interval_run or ("", "")
                least, most = metric.interval_problems or ("", "")
                yield {
                    "step": "" if step is None else str(step),
                    "checkpoint": checkpoint.name,
                    "task": report.task,
                    "metric": metric.name,
                    "value": metric.value,
                    "unit": metric.unit,
                    "run_low": low,
                    "run_high": high,
                    "problems_low": least,
                    "problems_high": most,
                    "n": report.n,
                    "problems": report.problems,
                    "truncated": "" if report.truncation_rate is None else report.truncation_rate,
                    "errors": report.statuses.get("error", 0),
                    "run": os.path.relpath(run.path, run.path.parent.parent),
                }
