"""Run directories on disk with invented completions and scores, in the store's own format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.benchmark.protocols import Protocol, find_protocol
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory, completion_record, score_record
from evalkit.types import Completion, SampleKey, SamplingParams, Score, Status

Values = Mapping[str, Sequence[Sequence[bool]]]
Length = Callable[[np.random.Generator, int], int]


def write_run(
    path: Path,
    model: str,
    tasks: Values,
    protocol: Protocol | None = None,
    task_file: Path | None = None,
    length: Length = lambda rng, i: int(rng.integers(200, 9000)),
    limit: int = 32768,
    titles: Mapping[str, str] | None = None,
    available: int | None = None,
) -> RunDirectory:
    """A complete run: `tasks` gives for each task name, by problem and sample, whether the sample is right.

    Every third wrong sample whose length reaches `limit` is truncated, every seventh other one has no answer.
    """
    protocol = protocol or find_protocol("deepseek-r1")
    run = RunDirectory(path)
    rng = np.random.default_rng(0)
    described: dict[str, Any] = {}
    for name, values in tasks.items():
        n = len(values[0])
        ids = [f"p{i}" for i in range(len(values))]
        params = {k: v for k, v in asdict(SamplingParams(n=n, max_tokens=limit)).items() if k not in ("n", "seed")}
        params["temperature"] = protocol.temperature
        described[name] = {
            "title": (titles or {}).get(name, name),
            "spec": {"name": name, "file": str(task_file) if task_file else None, "options": {}},
            "identity": {
                "version": 1,
                "options": {},
                "task_file_sha256": None,
                "prompt": protocol.prompts.get("math", "{problem}"),
                "sampling": params,
                "data": [{"hub_id": f"someone/{name}", "fingerprint": "0"}],
                "data_unchecked": False,
            },
            "sampling": {"n": n},
            "data": [],
            "data_folder": None,
            "problem_ids": ids,
            "problems_available": available or len(ids),
        }
        _write_samples(run, name, ids, values, rng, length, limit)
    fixed = protocol.fixed_settings()
    description = {
        "schema": 1,
        "evalkit": "0.1.0",
        "model": model,
        "identity": {"engine": {"name": "synthetic"}, "protocol": fixed, "seed": 0},
        "protocol": asdict(protocol),
        "environment": {},
        "tasks": described,
    }
    run.rewrite(description)
    return run


def _write_samples(
    run: RunDirectory,
    name: str,
    ids: Sequence[str],
    values: Sequence[Sequence[bool]],
    rng: np.random.Generator,
    length: Length,
    limit: int,
) -> None:
    files = run.files(name)
    files.folder.mkdir(parents=True, exist_ok=True)
    completions, scores = [], []
    for problem_id, row in zip(ids, values, strict=True):
        for i, right in enumerate(row):
            tokens = length(rng, i)
            cut = tokens >= limit and not right
            answer = "42" if right else None if cut or i % 7 == 6 else str(i % 5)
            status: Status = "correct" if right else "truncated" if cut else "no_answer" if answer is None else "wrong"
            text = f"thinking</think>\\boxed{{{answer}}}"
            completion = Completion(
                name, problem_id, i, text, "length" if cut else "stop", 80, min(tokens, limit), tokens / 50
            )
            completions.append(encode_line(completion_record(completion)))
            score = Score(float(right), status, answer, key=SampleKey(name, problem_id, i))
            scores.append(encode_line(score_record(score, f"{name}@1")))
    files.completions_path.write_bytes(b"".join(completions))
    files.scores_path.write_bytes(b"".join(scores))


def solve_rates(problems: int, n: int, mean: float, seed: int = 0) -> list[list[bool]]:
    """Samples of problems whose solve rates vary around `mean` (a beta distribution), seeded."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(2 * mean, 2 * (1 - mean), size=(problems, 1))
    return [[bool(v) for v in row] for row in rng.random((problems, n)) < rates]
