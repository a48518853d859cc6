"""Every Eval Ever's schema 0.3.0: one aggregate record a task, and its samples as JSON lines."""

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import evalkit
from evalkit.results.exports.samples import ExportedSample, TaskExport, thinking_of
from evalkit.results.report import Report, load_report
from evalkit.store.lines import write_atomically
from evalkit.visible import json_text

SCHEMA = "0.3.0"


def write(tasks: Sequence[TaskExport], folder: Path) -> list[Path]:
    """Write data/<task>/<developer>/<model>/<uuid>.json and <uuid>_samples.jsonl for each task, as the collection is.

    Raises EvalkitError where samples are missing: a figure over fewer would look like the planned one.
    """
    written = []
    for task in tasks:
        report = load_report(task.run)
        lines = [json_text(row) for row in _rows(task)]
        samples = "\n".join(lines) + "\n"
        place = _place(task)
        path = folder / f"{place}_samples.jsonl"
        write_atomically(path, samples)
        record = _record(task, report)
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{place}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples.encode()).hexdigest(),
            "total_rows": len(lines),
        }
        aggregate = folder / f"{place}.json"
        write_atomically(aggregate, json_text(record, indent=2) + "\n")
        written += [aggregate, path]
    return written


def _place(task: TaskExport) -> str:
    """Where the collection wants the record: the same run gets the same uuid."""
    developer, _, model = task.model.rpartition("/")
    parts = [re.sub(r"[^\w.@+-]+", "_", part).strip("._") or "unknown" for part in (task.name, developer, model)]
    identity = f"{_evaluation_id(task)}/{task.run.directory.path.name}"
    own = uuid.UUID(bytes=hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:16], version=4)
    return "/".join(["data", *parts, str(own)])


def _evaluation_id(task: TaskExport) -> str:
    return f"{task.name}/{task.model}/{int(task.finished.timestamp())}"


def _record(task: TaskExport, report: Report) -> dict[str, Any]:
    stamp = str(int(task.finished.timestamp()))
    peer = task.run.run.engine.get("peer")
    name, version = (str(peer), task.run.run.engine.get("peer_version")) if peer else ("evalkit", evalkit.__version__)
    return {
        "schema_version": SCHEMA,
        "evaluation_id": _evaluation_id(task),
        "evaluation_timestamp": stamp,
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": "evalkit",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": name,
            "version": str(version or "unknown"),
            "additional_details": {"graded_by": f"evalkit {evalkit.__version__}", "protocol": report.protocol},
        },
        "model_info": {
            "name": task.model,
            "id": task.model,
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "evaluation_results": [_result(task, report, name) for name in report.headlines if report.metric(name)],
    }


def _result(task: TaskExport, report: Report, name: str) -> dict[str, Any]:
    metric = report.metric(name)
    assert metric is not None
    is_share = metric.unit == "%"
    scale = 0.01 if is_share else 1.0
    details: dict[str, Any] = {"score": metric.value * scale}
    uncertainty: dict[str, Any] = {"num_samples": metric.n}
    if metric.interval_problems is not None:
        low, high = metric.interval_problems
        method = "over problems, clustered by problem"
        uncertainty["confidence_interval"] = {
            "lower": low * scale,
            "upper": high * scale,
            "confidence_level": 0.95,
            "method": method,
        }
    details["uncertainty"] = uncertainty
    config: dict[str, Any] = {
        "evaluation_description": f"{report.title}, {name}, n={report.n} completions per problem",
        "metric_name": name,
        "metric_unit": "proportion" if is_share else metric.unit,
        "lower_is_better": False,
        "score_type": "continuous",
    }
    if is_share:
        config |= {"min_score": 0.0, "max_score": 1.0}
    return {
        "evaluation_result_id": f"{_evaluation_id(task)}#{name}",
        "evaluation_name": task.name,
        "source_data": _source(task),
        "metric_config": config,
        "score_details": details,
        "generation_config": {"generation_args": dict(task.sampling)},
    }


def _source(task: TaskExport) -> dict[str, Any]:
    if task.task.dataset is not None and not task.run.record.spec.get("file"):
        count = task.run.record.problems_available or len(task.run.record.problem_ids)
        hub = {"hf_repo": task.task.dataset.hub_id, "samples_number": count}
        return {"dataset_name": task.run.record.title, "source_type": "hf_dataset", **hub}
    return {"dataset_name": task.run.record.title, "source_type": "other"}


def _rows(task: TaskExport) -> Iterator[dict[str, Any]]:
    for sample in task.samples():
        yield _row(task, sample)


def _row(task: TaskExport, sample: ExportedSample) -> dict[str, Any]:
    completion, score, problem = sample.completion, sample.score, sample.problem
    prompt = task.prompt(problem)
    reference = [] if task.questions_are_secret else list(problem.metadata.get("golds") or [problem.target])
    row: dict[str, Any] = {
        "schema_version": SCHEMA,
        "evaluation_id": _evaluation_id(task),
        "model_id": task.model,
        "evaluation_name": task.name,
        "evaluation_result_id": f"{_evaluation_id(task)}#{task.task.headlines[0]}",
        "sample_id": problem.id,
        "sample_hash": hashlib.sha256((prompt + "".join(reference)).encode("utf-8", "surrogatepass")).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": prompt, "reference": reference},
        "output": {"raw": [sample.response], "reasoning_trace": [thinking_of(sample.response)]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": (score.answer if score else None) or "",
                "extraction_method": (score.extracted_by if score else "") or "none",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": score.value if score else 0.0, "is_correct": sample.correct},
        "metadata": {"sample_index": str(completion.sample_index), "finish_reason": completion.finish_reason},
    }
    if completion.prompt_tokens is not None and completion.completion_tokens is not None:
        counts = {"input_tokens": completion.prompt_tokens, "output_tokens": completion.completion_tokens}
        row["token_usage"] = {**counts, "total_tokens": completion.prompt_tokens + completion.completion_tokens}
    if completion.seconds is not None:
        row["performance"] = {"latency_ms": 1000 * completion.seconds}
    if completion.error is not None:
        row["error"] = completion.error
    return row
