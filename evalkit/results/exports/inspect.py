"""inspect's log: one <task>.json for each task, as `inspect view` and `read_eval_log` open it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import evalkit
from evalkit.results.exports.samples import ExportedSample, TaskExport
from evalkit.store.lines import write_atomically
from evalkit.visible import json_text

_STOPPED = {
    "stop": "stop",
    "length": "max_tokens",
    "repetition": "max_tokens",
    "unknown": "unknown",
    "error": "unknown",
}


def write(tasks: Sequence[TaskExport], folder: Path) -> list[Path]:
    """Write one log for each task; every sample with its text, finish reason, tokens, verdict or error.

    A task of which samples are missing has the status `cancelled`. It has no accuracy, and neither has one with errors.
    """
    written = []
    for task in tasks:
        path = folder / f"{task.finished:%Y-%m-%dT%H-%M-%S}_{task.name}.json"
        samples = [_sample(task, sample) for sample in _ordered(task)]
        content = {**_header(task, samples), "samples": samples}
        write_atomically(path, json_text(content, indent=1) + "\n")
        written.append(path)
    return written


def _ordered(task: TaskExport) -> Iterator[ExportedSample]:
    places = {problem_id: i for i, problem_id in enumerate(task.run.record.problem_ids)}
    samples = [s for s in task.samples() if s.problem.id in places]
    yield from sorted(samples, key=lambda s: (s.completion.sample_index, places[s.problem.id]))


def _identifier(task: TaskExport, what: str) -> str:
    """22 letters and digits, as inspect's own, from the run's identity: the same run gives the same file."""
    text = json.dumps([what, task.model, task.name, task.run.directory.path.name])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:22]


def _header(task: TaskExport, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    record, date = task.run.record, f"{task.finished:%Y-%m-%dT%H:%M:%S+00:00}"
    scored = [s["scores"]["evalkit"]["value"] for s in samples if s["scores"]]
    numbers = [{"C": 1.0, "I": 0.0}.get(v, v) for v in scored]
    metrics = {}
    counts = task.counts
    if numbers and counts.whole and len(scored) == counts.planned:
        metrics["accuracy"] = {"name": "accuracy", "value": sum(numbers) / len(numbers), "params": {}}
    return {
        "version": 2,
        "status": "success" if counts.whole or counts.only_errors else "cancelled",
        "eval": {
            "eval_id": _identifier(task, "eval"),
            "run_id": _identifier(task, "run"),
            "created": date,
            "task": task.name,
            "task_id": _identifier(task, "task"),
            "task_version": record.version,
            "task_attribs": {},
            "task_args": {},
            "dataset": {"name": task.name, "samples": len(record.problem_ids), "shuffled": False},
            "model": task.model,
            "model_generate_config": {},
            "model_args": {},
            "config": {"epochs": record.n},
            "packages": {"evalkit": evalkit.__version__},
            "scorers": [
                {"name": "evalkit", "options": {}, "metrics": [{"name": "inspect_ai/accuracy", "options": {}}]}
            ],
        },
        "plan": {"name": "plan", "steps": [], "config": dict(task.sampling)},
        "results": {
            "total_samples": record.samples,
            "completed_samples": len(scored),
            "scores": [{"name": "evalkit", "scorer": "evalkit", "params": {}, "metrics": metrics}],
        },
        "stats": {"started_at": date, "completed_at": date, "model_usage": {}},
    }


def _sample(task: TaskExport, sample: ExportedSample) -> dict[str, Any]:
    completion, problem = sample.completion, sample.problem
    prompt = task.prompt(problem)
    choices = problem.metadata.get("choices")
    record: dict[str, Any] = {
        "id": problem.id,
        "epoch": completion.sample_index + 1,
        "input": prompt,
        "target": "" if task.questions_are_secret else problem.target,
        "messages": [{"content": prompt, "source": "input", "role": "user"}],
        "output": {"model": task.model, "choices": []},
        "scores": {},
        "metadata": {},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }
    if choices and not task.questions_are_secret:
        record["choices"] = list(choices)
    if completion.error is not None:
        record["error"] = {"message": completion.error, "traceback": "", "traceback_ansi": ""}
        return record
    message = {"content": sample.response, "source": "generate", "role": "assistant", "model": task.model}
    record["messages"].append(message)
    record["output"]["choices"] = [
        {"message": message, "stop_reason": _STOPPED.get(completion.finish_reason, "unknown")}
    ]
    record["output"]["completion"] = sample.response
    if completion.completion_tokens is not None:
        asked = completion.prompt_tokens or 0
        counts = {"input_tokens": asked, "output_tokens": completion.completion_tokens}
        record["output"]["usage"] = {**counts, "total_tokens": asked + completion.completion_tokens}
    if completion.seconds is not None:
        record["output"]["time"] = completion.seconds
    if sample.score is not None and sample.score.status != "error":
        value = {1.0: "C", 0.0: "I"}.get(sample.score.value, sample.score.value)
        told = {"value": value, "answer": sample.score.answer or "", "explanation": sample.score.explanation}
        record["scores"]["evalkit"] = told
    return record
