"""Runs on disk that are written by hand, field by field."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory

Sample = tuple[str, int]


def entry(ids: Sequence[str] = ("a", "b"), n: int = 2, **fields: Any) -> dict[str, Any]:
    """A task's entry in run.json."""
    made: dict[str, Any] = {
        "title": "Sums",
        "spec": {"name": "sums", "file": None, "options": {}},
        "identity": {
            "version": 1,
            "options": {},
            "task_file_sha256": None,
            "prompt": "{problem}",
            "sampling": {"temperature": 0.6, "max_tokens": 100},
            "data": [{"hub_id": "org/sums", "fingerprint": "f"}],
        },
        "sampling": {"n": n},
        "data_folder": None,
        "problem_ids": list(ids),
        "problem_prompts": [f"digest of {each}" for each in ids],
        "problems_available": 9,
    }
    return {**made, **fields}


def description(tasks: Mapping[str, Any] | None = None, **identity: Any) -> dict[str, Any]:
    """The content of run.json."""
    engine = {"backend": "told", "model": "m", "fingerprint": "x"}
    return {
        "schema": 1,
        "evalkit": "1.0",
        "model": "lab/model",
        "identity": {"engine": engine, "protocol": {"name": "mine"}, "seed": 0, **identity},
        "environment": {"engine": {"device": "none"}},
        "tasks": dict(tasks) if tasks is not None else {"sums": entry()},
    }


def completion(sample: Sample, text: str = "x", **fields: Any) -> dict[str, Any]:
    """A line of completions.jsonl."""
    made: dict[str, Any] = {"task": "sums", "problem_id": sample[0], "sample_index": sample[1], "text": text}
    made |= {"finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 2, "seconds": 0.5, "prefix": ""}
    return {**made, "error": None, **fields}


def failure(sample: Sample, error: str = "boom") -> dict[str, Any]:
    """A completion with an engine error."""
    return completion(sample, "", finish_reason="error", completion_tokens=None, error=error)


def score(sample: Sample, status: str = "correct", **fields: Any) -> dict[str, Any]:
    """A line of scores.jsonl."""
    made: dict[str, Any] = {"task": "sums", "problem_id": sample[0], "sample_index": sample[1]}
    made |= {
        "value": float(status == "correct"),
        "status": status,
        "answer": "x",
        "explanation": "",
        "extracted_by": "",
    }
    return {**made, "grader": "sums@1+grader1", **fields}


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode_line(dict(line)) for line in lines))
    return path


def made(
    path: Path,
    completions: Iterable[Mapping[str, Any]] = (),
    scores: Iterable[Mapping[str, Any]] = (),
    content: Mapping[str, Any] | None = None,
) -> RunDirectory:
    """A run with the task `sums`."""
    run = RunDirectory(path)
    files = run.files("sums")
    write_lines(files.completions_path, completions)
    write_lines(files.scores_path, scores)
    run.description_path.write_text(json.dumps(content if content is not None else description()))
    return run
