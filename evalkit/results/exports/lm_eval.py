"""lm-evaluation-harness's samples_<task>_<date>.jsonl and results_<date>.json."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evalkit
from evalkit.errors import EvalkitError
from evalkit.results.exports.samples import ExportedSample, TaskExport
from evalkit.results.report import load_report
from evalkit.store.lines import write_atomically
from evalkit.visible import json_text


def write(tasks: Sequence[TaskExport], folder: Path) -> list[Path]:
    """Write <model>/samples_<task>_<date>.jsonl for each task and one results file.

    The format has a verdict for each problem: `exact_match` is of sample 0, `avg` the mean over all. It has no finish
    reason and no token count. Raises EvalkitError where samples are missing or were spoilt by faults.
    """
    date = max(task.finished for task in tasks).strftime("%Y-%m-%dT%H-%M-%S.%f")
    place = folder / (re.sub(r"[^\w.@+-]+", "__", tasks[0].model).strip(".") or "unknown")
    results: dict[str, Any] = {}
    configs: dict[str, Any] = {}
    written = []
    for task in tasks:
        report = load_report(task.run)
        metric = report.metric("pass@1")
        results[task.name] = {"alias": task.name, "avg,none": metric.value / 100 if metric else None}
        configs[task.name] = _config(task)
        path = place / f"samples_{task.name}_{date}.jsonl"
        rows = [json_text(row) for row in _rows(task)]
        write_atomically(path, "\n".join(rows) + "\n")
        written.append(path)
    content = {
        "results": results,
        "configs": configs,
        "versions": {task.name: task.run.record.version for task in tasks},
        "n-shot": {task.name: 0 for task in tasks},
        "n-samples": {t.name: {"original": len(t.run.record.problem_ids)} for t in tasks},
        "config": {"model": "evalkit", "model_args": {"pretrained": tasks[0].model}},
        "lm_eval_version": None,
        "evalkit_version": evalkit.__version__,
        "model_name": tasks[0].model,
    }
    path = place / f"results_{date}.json"
    write_atomically(path, json_text(content, indent=2) + "\n")
    return [*written, path]


def _config(task: TaskExport) -> dict[str, Any]:
    names = {"max_tokens": "max_gen_toks"}
    given = {names.get(k, k): v for k, v in task.sampling.items()}
    return {
        "task": task.name,
        "output_type": "generate_until",
        "repeats": task.run.record.n,
        "generation_kwargs": given,
    }


def _rows(task: TaskExport) -> list[dict[str, Any]]:
    by_problem: defaultdict[str, dict[int, ExportedSample]] = defaultdict(dict)
    for sample in task.samples():
        if sample.completion.error is not None:
            raise EvalkitError(
                f"{task.run} has samples that were spoilt by faults, which lm_eval's format cannot hold.",
                "export to inspect, which can.",
            )
        by_problem[sample.problem.id][sample.completion.sample_index] = sample
    n = task.run.record.n
    rows = []
    for doc_id, problem_id in enumerate(task.run.record.problem_ids):
        samples = by_problem[problem_id]
        if sorted(samples) != list(range(n)):
            raise EvalkitError(
                f"{task.run} has {len(samples)} of {n} samples of problem {problem_id}: lm_eval's format has no holes.",
                "export to inspect, which can hold them.",
            )
        rows.append(_row(task, doc_id, [samples[i] for i in range(n)]))
    return rows


def _row(task: TaskExport, doc_id: int, samples: Sequence[ExportedSample]) -> dict[str, Any]:
    first = samples[0]
    prompt = task.prompt(first.problem)
    target = "" if task.questions_are_secret else first.problem.target
    doc = {"id": first.problem.id, "problem": prompt, "answer": target}
    scores = [sample.score.value if sample.score else None for sample in samples]
    known = [score for score in scores if score is not None]
    row = {
        "doc_id": doc_id,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": [], **_config(task)["generation_kwargs"]}}},
        "resps": [[sample.response for sample in samples]],
        "filtered_resps": [first.score.answer if first.score and first.score.answer is not None else "[invalid]"],
        "filter": "none",
        "metrics": ["exact_match"] if scores[0] is not None else [],
        "doc_hash": _sha(json_text(doc)),
        "prompt_hash": _sha(prompt),
        "target_hash": _sha(target),
    }
    if scores[0] is not None:
        row["exact_match"] = scores[0]
    if len(known) == len(scores):
        row["avg"] = sum(known) / len(known)
    return row


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
