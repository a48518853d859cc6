"""The hub's evaluation results: .eval_results/<task>.yaml of a model repository."""

import logging
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.exports.samples import TaskExport
from evalkit.results.formats.escaping import one_line
from evalkit.results.report import load_report
from evalkit.store.lines import write_atomically

logger = logging.getLogger(__name__)


def write(tasks: Sequence[TaskExport], folder: Path) -> list[Path]:
    """Write .eval_results/<task>.yaml for each task that has a data set on the hub, made by huggingface_hub.

    The value is the task's first headline; n, the intervals, the share truncated and the protocol stand in the notes,
    and first of all that it is of a part of the problems, where it is. A task that cannot be written is told as a
    warning. Raises EvalkitError where no task has a data set there, where samples are missing, and where
    huggingface_hub is too old.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError as error:
        raise EvalkitError(
            "This huggingface_hub does not know the hub's evaluation results.", "pip install -U huggingface_hub"
        ) from error
    import yaml

    written = []
    for task in tasks:
        if task.task.dataset is None or task.run.record.spec.get("file"):
            logger.warning("%s is left out: its problems are no data set on the hub", one_line(task.name))
            continue
        report = load_report(task.run)
        metric = next((m for name in report.headlines if (m := report.metric(name)) is not None), None)
        if metric is None:
            logger.warning("%s is left out: it has none of %s", task.name, one_line(", ".join(report.headlines)))
            continue
        told = [f"{metric.name}, n={report.n}", f"protocol {one_line(report.protocol)}"]
        available = task.run.record.problems_available
        if available is not None and report.problems < available:
            part = f"subset of {report.problems} of {available} problems, not a value of the whole benchmark"
            told.insert(0, part)
            logger.warning("%s: %s; its notes say so", task.name, part)
        if metric.interval_run is not None:
            told.append("95% interval run to run {:.1f} to {:.1f}".format(*metric.interval_run))
        if metric.interval_problems is not None:
            told.append("over problems {:.1f} to {:.1f}".format(*metric.interval_problems))
        if report.truncation_rate is not None:
            told.append(f"{100 * report.truncation_rate:.1f}% truncated")
        entry = EvalResultEntry(
            dataset_id=task.task.dataset.hub_id,
            task_id=task.task.dataset.config or task.name,
            value=round(metric.value, 2),
            dataset_revision=task.task.dataset.revision or None,
            date=f"{task.finished:%Y-%m-%dT%H:%M:%SZ}",
            notes="; ".join(told),
        )
        path = folder / ".eval_results" / f"{task.name}.yaml"
        content = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)
        write_atomically(path, content)
        written.append(path)
    if not written:
        raise EvalkitError("No task of this run has a data set on the hub.", "export to parquet or every-eval-ever.")
    return written
