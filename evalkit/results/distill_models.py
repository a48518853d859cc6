"""The models of a distillation page: runs on disk or published figures, and what is known of the checkpoints."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from evalkit.benchmark.task import Task
from evalkit.errors import DamagedError, EvalkitError, RunIncompleteError
from evalkit.files import open_file, parse_json
from evalkit.results.entries import damage_note, problems_available, setting_differences
from evalkit.results.published import PublishedScore, load_published, model_key, published_names
from evalkit.results.recreate import recreate_task
from evalkit.results.runs import Run, run_paths
from evalkit.results.samples import Samples, load_samples
from evalkit.store.folders import find_runs, runs_without_record
from evalkit.store.grader import graded_earlier
from evalkit.store.lines import read_checked
from evalkit.store.run import TaskRun

_HEADER_LIMIT = 100_000_000  # bytes of a safetensors header; the format's own limit


@dataclass(frozen=True)
class TaskSide:
    """One model on one benchmark: its run of the task, or one published figure of it."""

    model: str
    task: str
    title: str
    run: TaskRun | None = None
    published: PublishedScore | None = None

    @cached_property
    def samples(self) -> Samples:
        """The run's samples. Raises EvalkitError where it is incomplete or damaged."""
        assert self.run is not None
        return load_samples(self.run)

    @property
    def available(self) -> int | None:
        """The number of problems of the benchmark, None if it is not known."""
        return problems_available(self.run) if self.run is not None else None

    @cached_property
    def made(self) -> Task | None:
        """The task, which knows equal answers; None where it is not installed here."""
        assert self.run is not None
        try:
            return recreate_task(self.run)
        except EvalkitError:
            return None


@dataclass(frozen=True, slots=True)
class ModelSide:
    """One model with all its benchmarks by task name. `runs` are its run directories, none for published figures."""

    model: str
    label: str
    tasks: Mapping[str, TaskSide]
    runs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())


def load_side(source: str | Path | Run | Sequence[str | Path | Run]) -> list[ModelSide]:
    """The models behind `source`: run directories or folders of runs, or `TABLE:MODEL` for published figures.

    Of a folder of runs those that are damaged are left out with a note; the first model has it.

    Raises EvalkitError where there is no such folder and no such table or model, and where the run that was named is
    damaged.
    """
    found = _Found()
    for one in run_paths(source, "distillation"):
        if not one.exists() and ":" in str(one):
            published = _published_side(str(one))
            found.sides.setdefault(published.model, {}).update(published.tasks)
            continue
        for folder, error in runs_without_record(one):
            found.leave_out(error, folder, one)
        for run in find_runs(one):
            try:
                tasks = list(run.tasks().values())
            except DamagedError as error:
                found.leave_out(error, run.path, one)
                continue
            for task in tasks:
                found.add(task, one)
    return found.models()


@dataclass(slots=True)
class _Found:
    """The models of one side while their runs are read."""

    sides: dict[str, dict[str, TaskSide]] = field(default_factory=dict)
    runs: dict[str, list[Path]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    damaged: list[tuple[DamagedError, str]] = field(default_factory=list)

    def add(self, task: TaskRun, named: Path) -> None:
        """Add a run of a task, which is at or below the path that was `named`."""
        model = task.run.model
        if task.name in self.sides.get(model, {}):
            raise EvalkitError(
                f"{model} has two runs of {task.name}.", "give one run directory, such as results/<model>/<run-id>."
            )
        side = TaskSide(model, task.name, task.record.title, task)
        try:
            _ = side.samples
        except RunIncompleteError as error:
            self.sides.setdefault(model, {})
            self.notes.setdefault(model, []).append(f"left out: {error.message}")
        except DamagedError as error:
            self.leave_out(error, task.directory.path, named)
        else:
            self.sides.setdefault(model, {})[task.name] = side
            self.runs.setdefault(model, []).append(task.directory.path)

    def leave_out(self, error: DamagedError, run: Path, named: Path) -> None:
        """Note a damaged run. Raises its error where it is the one that was named."""
        if run == named:
            raise error
        self.damaged.append((error, damage_note(run, error).replace("not shown", "left out", 1)))

    def models(self) -> list[ModelSide]:
        """The models that were found. Raises DamagedError where there would be one if it were not for the damage."""
        if self.damaged and not self.sides:
            raise self.damaged[0][0]
        for model in list(self.sides)[:1]:
            self.notes.setdefault(model, []).extend(note for _, note in self.damaged)
        return [
            ModelSide(m, short_name(m), t, tuple(dict.fromkeys(self.runs.get(m, ()))), tuple(self.notes.get(m, ())))
            for m, t in self.sides.items()
        ]


def one_side(source: str | Path | Run | Sequence[str | Path | Run], role: str) -> ModelSide:
    """As `load_side` where one model is wanted. Raises EvalkitError where there are several."""
    sides = load_side(source)
    if len(sides) != 1:
        raise EvalkitError(
            f"The {role} has runs of {len(sides)} models: {', '.join(s.model for s in sides)}.",
            "give the runs of one model.",
        )
    return sides[0]


def _published_side(name: str) -> ModelSide:
    """`deepseek-r1:OpenAI-o1-mini`: the pass@1 figures of a model in a published table."""
    table, _, model = name.partition(":")
    if not table.endswith(".csv") and table not in published_names():
        raise EvalkitError(
            f"{name} is neither a folder nor a published model.",
            f"write TABLE:MODEL, the table one of {', '.join(published_names())} or a CSV file.",
        )
    figures = [f for f in load_published(table) if model_key(f.model) == model_key(model) and f.metric == "pass@1"]
    if not figures:
        known = ", ".join(dict.fromkeys(f.model for f in load_published(table)))
        raise EvalkitError(f"The table {table} has no pass@1 of {model!r}.", f"it has: {known}.")
    tasks = {
        f.task or f.benchmark: TaskSide(f.model, f.task or f.benchmark, f.benchmark, None, f) for f in reversed(figures)
    }
    return ModelSide(figures[0].model, f"{figures[0].model} (published)", tasks)


def short_name(model: str) -> str:
    """The last part of a path or hub id."""
    return model.rstrip("/").rpartition("/")[2] or model


def settings_notes(student: TaskSide, others: Mapping[str, TaskSide]) -> list[str]:
    """How the runs of the others were made otherwise than the student's, and which have an earlier version's grades."""
    assert student.run is not None
    own = _settings(student.run)
    earlier = [
        role
        for role, side in {"student": student, **others}.items()
        if side.run is not None and graded_earlier(side.samples.graders)
    ]
    told = [f"an earlier version of evalkit graded the {role}'s run: evalkit score grades it again" for role in earlier]
    for role, side in others.items():
        if side.run is not None and (differences := setting_differences(_settings(side.run), own)):
            told.append(f"the {role}'s run has other settings: {'; '.join(differences)}")
    return told


def _settings(task: TaskRun) -> dict[str, object]:
    settings: dict[str, object] = {k: v for k, v in task.run.protocol.items() if k != "name"}
    settings.update(task.record.identity.get("sampling", {}))
    settings.update({k: v for k, v in task.record.identity.items() if k not in ("sampling", "data")})
    return settings


@dataclass(frozen=True, slots=True)
class Size:
    """What a checkpoint takes: None where it is not known.

    `bytes` is that of its weight files; `tokens_per_second` what its run generated on the machine `device`. `no_speed`
    says why there is none where nothing was generated: `replayed` or `imported`.
    """

    parameters: int | None
    bytes: int | None
    tokens_per_second: float | None
    device: str | None
    no_speed: str | None = None


_NOT_GENERATED = {"replay": "replayed", "imported": "imported"}  # by the engine's backend


def measure_size(side: ModelSide) -> Size:
    """Parameters and bytes from the checkpoint's folder, where it is a local one; speed from its run.

    Of a run that reads recorded completions there is no speed: that of reading a file is not the model's.
    """
    parameters, size = _weights(Path(side.model))
    speed = device = None
    engines = {t.run.directory.path: t.run.run.engine for t in side.tasks.values() if t.run is not None}
    unmeasured = {path: _NOT_GENERATED.get(str(engine.get("backend"))) for path, engine in engines.items()}
    for path in side.runs:
        if unmeasured.get(path):
            continue
        for _, line in read_checked(path / "throughput.jsonl", path):
            speed = _speed(line) or speed
    for task in side.tasks.values():
        if task.run is not None:
            engine = task.run.run.environment.get("engine") or {}
            device = str(engine.get("device")) if engine.get("device") else device
    why = next((word for word in unmeasured.values() if word), None) if speed is None else None
    return Size(parameters, size, speed, device, why)


def _speed(line: bytes) -> float | None:
    """The tokens per second of a line of throughput.jsonl, None where it tells none."""
    try:
        told = parse_json(line)["generated_tokens_per_second"]
        return float(told) if 0 < float(told) < 1e15 else None
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _weights(folder: Path) -> tuple[int | None, int | None]:
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None, None
    try:
        return sum(map(_parameters, files)), sum(file.stat().st_size for file in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error):
        return None, sum(file.stat().st_size for file in files)


def _parameters(file: Path) -> int:
    """The elements of all tensors of a safetensors file, from its header."""
    with open_file(file) as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > _HEADER_LIMIT:
            raise ValueError("not a safetensors header")
        header = parse_json(stream.read(length))
    count = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            elements = 1
            for side in tensor["shape"]:
                elements *= int(side)
            count += elements
    return count
