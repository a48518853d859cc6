"""The figures as `model-index` metadata of a Hugging Face model card, made and validated by huggingface_hub."""

from collections.abc import Sequence

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.results.formats.escaping import one_line
from evalkit.types import Metric


def model_card(entries: Sequence[Entry]) -> str:
    """A model card's YAML front matter with one result for each task and headline, and for cons@n.

    Raises EvalkitError unless `entries` are of exactly one model, or where huggingface_hub refuses the metadata.
    """
    from huggingface_hub import EvalResult, ModelCardData

    models = sorted({e.report.model for e in entries})
    if len(models) != 1:
        raise EvalkitError(
            f"A model card is of one model, and there are {len(models)}.", "give the run directories of one model."
        )
    name = one_line(models[0].rstrip("/").split("/")[-1])
    results = []
    for entry in entries:
        report = entry.report
        for metric in report.metrics:
            if metric.name not in (*report.headlines, f"cons@{report.n}"):
                continue
            results.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=entry.hub_ids[0] if entry.hub_ids else report.task,
                    dataset_name=report.title,
                    metric_type=metric.name,
                    metric_name=_metric_name(metric, entry),
                    metric_value=round(metric.value, 2),
                )
            )
    try:
        content = ModelCardData(model_name=name, eval_results=results).to_yaml()
    except (TypeError, ValueError) as error:
        raise EvalkitError(
            f"huggingface_hub refuses the metadata: {error}.", "report it with the run's report.json."
        ) from error
    return f"---\n{content}\n---\n"


def _metric_name(metric: Metric, entry: Entry) -> str:
    """What the figure is, with its n and its error bars, since the card's schema has no field for them."""
    told = [f"n={entry.report.n}", f"protocol {one_line(entry.report.protocol)}", entry.subset]
    bars = ""
    if metric.interval_run and metric.interval_problems:
        run, over = (f"{low:.1f} to {high:.1f}" for low, high in (metric.interval_run, metric.interval_problems))
        bars = f"; 95% interval run to run {run}, over problems {over}"
    return f"{metric.name} ({', '.join(filter(None, told))}{bars})"
