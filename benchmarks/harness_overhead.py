"""Completions a second, and peak memory, of `evalkit run`'s own loop over an engine that takes no time.

    python benchmarks/harness_overhead.py --samples 100000 1000000
    python benchmarks/harness_overhead.py --samples 100000 --grade

Each completion has 2 KB of text. The whole of a run is measured: queue, append to completions.jsonl with one write,
meter, progress, scores.jsonl, report. Graders take no time either, so that the loop's own time is seen; with --grade
the real ones run in their processes. The engine is done long before those are, which is the harshest case for memory:
all that waits to be graded waits at once. Each size runs in a process of its own, so that the peaks (of the run's
process, workers aside) can be compared.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEXT = "The sum of the first hundred numbers is 5050. " * 44
PROBLEMS = 1000


class InstantEngine:
    """Answers at once; every third answer is wrong."""

    name = "instant"
    tokenizer = None
    gpus = 0
    seconds = 0.0

    def identity(self) -> dict[str, Any]:
        return {"backend": self.name}

    def environment(self) -> dict[str, Any]:
        return {}

    def context_length(self) -> None:
        return None

    def render(self, request: Any) -> None:
        return None

    def generate(self, requests: Iterator[Any]) -> Iterator[Any]:
        from evalkit.types import Completion

        begun = time.perf_counter()
        for index, request in enumerate(requests):
            text = f"{TEXT} The answer is \\boxed{{{2 if index % 3 else 3}}}"
            yield Completion(*request.key, text, "stop", 50, 500, 0.001)
        self.seconds = time.perf_counter() - begun

    def reserve(self, tokens: int) -> None:
        pass

    def close(self) -> None:
        pass


class InstantScorer:
    """Grades in the moment of `submit`."""

    pending = 0

    def __init__(self, *_: Any) -> None:
        self._scores: list[Any] = []

    def start(self) -> None:
        """There are no workers."""

    def submit(self, problem: Any, completion: Any) -> None:
        from evalkit.types import Score

        right = completion.text.endswith("\\boxed{2}")
        score = Score(float(right), "correct" if right else "wrong", completion.text[-2:-1], key=completion.key)
        self._scores.append(score)

    def results(self, wait: bool) -> list[Any]:
        scores, self._scores = self._scores, []
        return scores

    def close(self) -> None:
        pass


def measure(samples: int, grade: bool) -> None:
    import evalkit.run.session
    from evalkit.benchmark.data import DataSource
    from evalkit.benchmark.protocols import find_protocol
    from evalkit.benchmark.registry import TaskSpec, find_task_class, installed_tasks
    from evalkit.run.queue import TaskPlan
    from evalkit.store.run import RunDirectory
    from evalkit.types import Problem, SamplingParams

    task = find_task_class("arithmetic", installed_tasks())()
    problems = [Problem(f"p{i}", "1 + 1", "2") for i in range(PROBLEMS)]
    plan = TaskPlan(task, problems, SamplingParams(n=samples // PROBLEMS), TaskSpec("arithmetic"))
    engine = InstantEngine()
    if not grade:
        evalkit.run.Scorer = InstantScorer  # type: ignore[assignment, misc]
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder) / "run")
        session = evalkit.run.RunSession(run, "instant", [plan], engine, find_protocol("deepseek-r1"))
        begun = time.perf_counter()
        (report,) = session.execute(DataSource(), 0, None, quiet=True)
        seconds = time.perf_counter() - begun
    assert report.samples == samples
    assert report.statuses["correct"] + report.statuses["wrong"] == samples, report.statuses
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"samples": samples, "to_disk": engine.seconds, "whole": seconds, "peak_mb": peak}
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--grade", action="store_true", help="by the task's grader, in worker processes")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        measure(*arguments.samples, arguments.grade)
        return
    print("| completions | to the disk, a second | graded and reported, a second | peak |\n|-|-|-|-|", flush=True)
    for samples in arguments.samples:
        command = [sys.executable, __file__, "--here", "--samples", str(samples), *["--grade"] * arguments.grade]
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(
            f"| {samples:,} | {samples / told['to_disk']:,.0f} | {samples / told['whole']:,.0f} "
            f"| {told['peak_mb']:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
