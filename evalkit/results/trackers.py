"""A run's figures in an experiment tracker: Weights & Biases, MLflow or trackio."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.entries import load_entries
from evalkit.results.plots.figures import training_step
from evalkit.results.report import Report
from evalkit.results.runs import Run, run_path
from evalkit.store.run import RunDirectory

DEFAULT_PROJECT = "evalkit"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker is sent: a stable id, so that logging a run again makes no second entry, and plain numbers."""

    id: str
    name: str
    project: str
    settings: Mapping[str, str | int]
    figures: Mapping[str, float]
    step: int | None


def log_run(run: str | Path | Run, to: str) -> str:
    """Send a run's figures to an experiment tracker and return one sentence that says where they are.

    `to` is the tracker's name, optionally with a project (an experiment in MLflow): "wandb", "mlflow:distillation",
    "trackio". Every metric is sent as `<task>/<metric>`, with its 95% bounds as `<task>/<metric>/low` and `…/high`
    (run to run) and `<task>/n`, `<task>/truncated` (percent), `<task>/errors` (completions). The step is the number in
    a checkpoint's name. A run logged again goes to the same entry, whose latest figures are shown. Where the tracker's
    server is, and whether it is offline, is set in its own environment variables: WANDB_MODE, MLFLOW_TRACKING_URI,
    TRACKIO_DIR.

    Raises EvalkitError if there is no such tracker, if it is not installed, if it fails, or if this is not a run;
    RunIncompleteError if samples are missing.

    Examples:
        >>> log_run("results/student", "tensorboard")
        Traceback (most recent call last):
        ...
        evalkit.errors.EvalkitError: There is no experiment tracker 'tensorboard'.
        hint: wandb, mlflow, trackio.
    """
    name, project = parse_tracker(to)
    tracked = _tracked(run_path(run, "log_run"), project)
    try:
        with redirect_stdout(sys.stderr):  # what a client prints is no result of ours
            return TRACKERS[name](tracked)
    except ImportError as error:
        raise _not_installed(name) from error
    except EvalkitError:
        raise
    except Exception as error:  # a tracker's client raises what it likes
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise EvalkitError(
            f"{name} did not take the figures: {first}", f"the run is complete; evalkit export {run} --to {to} retries."
        ) from error


def parse_tracker(to: str) -> tuple[str, str]:
    """The tracker's name and the project of "wandb:project".

    Raises EvalkitError if there is no such tracker.

    Examples:
        >>> parse_tracker("mlflow:distillation")
        ('mlflow', 'distillation')
        >>> parse_tracker("trackio")
        ('trackio', 'evalkit')
    """
    name, _, project = to.partition(":")
    if not is_tracker(to):
        raise EvalkitError(f"There is no experiment tracker {name!r}.", f"{', '.join(TRACKERS)}.")
    return name, project or DEFAULT_PROJECT


def is_tracker(to: str) -> bool:
    """Whether `to` names an experiment tracker.

    Examples:
        >>> is_tracker("wandb:students"), is_tracker("parquet")
        (True, False)
    """
    return to.partition(":")[0] in TRACKERS


def require_tracker(to: str) -> None:
    """Raise EvalkitError if `to` names no tracker, or one that is not installed. Nothing is imported."""
    name, _ = parse_tracker(to)
    if find_spec(name) is None:
        raise _not_installed(name)


def _not_installed(name: str) -> EvalkitError:
    return EvalkitError(f"{name} is not installed.", f'pip install "evalkit[{name}]".')


def _tracked(path: Path, project: str) -> TrackedRun:
    run = RunDirectory(path)
    record = run.record()
    entries, notes = load_entries([path])
    for note in notes:
        logger.warning("%s", note)
    settings: dict[str, str | int] = {"model": record.model, "protocol": record.protocol_name}
    figures: dict[str, float] = {}
    for entry in entries:
        settings[f"{entry.report.task}/problems"] = entry.report.problems
        figures |= _figures(entry.report)
    return TrackedRun(
        id=f"{record.model.strip('/').rsplit('/', 1)[-1]}-{run.path.resolve().name}",
        name=f"{record.model} · {record.protocol_name}",
        project=project,
        settings=settings,
        figures=figures,
        step=training_step(entries[0]),
    )


def _figures(report: Report) -> dict[str, float]:
    figures: dict[str, float] = {}
    for metric in report.metrics:
        key = f"{report.task}/{metric.name.replace('@', '_at_')}"
        figures[key] = metric.value
        if metric.interval_run is not None:
            figures[f"{key}/low"], figures[f"{key}/high"] = metric.interval_run
    figures[f"{report.task}/n"] = report.n
    figures[f"{report.task}/errors"] = report.statuses["error"]
    if report.truncation_rate is not None:
        figures[f"{report.task}/truncated"] = 100 * report.truncation_rate
    return figures


def _to_wandb(tracked: TrackedRun) -> str:
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")  # its banners would be mixed into our output
    name = tracked.id.replace("/", "-")[:120]
    run = wandb.init(
        project=tracked.project,
        id=name,
        name=tracked.name,
        resume="allow",
        config=dict(tracked.settings),
        job_type="eval",
    )
    run.log(dict(tracked.figures))
    if tracked.step is not None:
        run.summary["step"] = tracked.step
    place = run.url or f"{Path(run.dir).parent} (offline; send it with `wandb sync`)"
    run.finish()
    return f"logged to Weights & Biases: {place}"


def _to_mlflow(tracked: TrackedRun) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(tracked.project)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(tracked.project)
    found = client.search_runs([experiment_id], f"tags.`evalkit.run` = '{_quoted(tracked.id)}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
    else:
        tags = {"evalkit.run": tracked.id}
        run_id = client.create_run(experiment_id, tags=tags, run_name=tracked.name).info.run_id
        for key, value in tracked.settings.items():
            client.log_param(run_id, key, value)
    for key, figure in tracked.figures.items():
        client.log_metric(run_id, key, figure, step=tracked.step or 0)
    client.set_terminated(run_id)
    return f"logged to MLflow: {mlflow.get_tracking_uri()}, experiment {tracked.project}, run {run_id}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _to_trackio(tracked: TrackedRun) -> str:
    import trackio

    run = trackio.init(
        project=tracked.project,
        name=tracked.id,
        resume="allow",
        config=dict(tracked.settings),
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    run.log(dict(tracked.figures), step=tracked.step)
    run.finish()  # type: ignore[no-untyped-call]
    return f'logged to trackio, project {tracked.project}: `trackio show --project "{tracked.project}"` opens it'


TRACKERS: Mapping[str, Callable[[TrackedRun], str]] = {
    "wandb": _to_wandb,
    "mlflow": _to_mlflow,
    "trackio": _to_trackio,
}
