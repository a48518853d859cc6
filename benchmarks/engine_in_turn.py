"""evalkit's driving of vLLM beside `LLM.generate`, in turn over one engine in one process: nothing else differs.

    OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=0 python benchmarks/engine_in_turn.py

Whole processes vary with the machine by more than the sides differ (engine_overhead.py). Here both answer the same
sampled requests, with the same seeds and in the same order, through the same vLLM engine; run it with a Python that has
evalkit and vLLM. What else a run does (store, grading, reports) is not in it.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import engine_sides
from engine_overhead import make_workload

from evalkit.engines.options import VLLMOptions
from evalkit.engines.vllm.engine import RunningEngine, VLLMEngine
from evalkit.types import Request, SamplingParams


class SharingEngine(VLLMEngine):
    """Drives an engine that is there already."""

    engine: Any

    def start(self) -> Any:
        return self.engine


def by_evalkit(backend: VLLMEngine, requests: list[Request]) -> int:
    """Generated tokens."""
    running, left, tokens = RunningEngine(backend), iter(requests), 0
    while True:
        while len(running) < running.room and (request := next(left, None)) is not None:
            assert running.add(request) is None
        if not len(running):
            return tokens
        tokens += sum(completion.completion_tokens or 0 for completion in running.step())


def by_vllm(llm: Any, ids: list[list[int]], params: list[Any]) -> int:
    """Generated tokens."""
    outputs = llm.generate([{"prompt_token_ids": each} for each in ids], params, use_tqdm=False)
    return sum(len(output.outputs[0].token_ids) for output in outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload("table", Path(folder), argparse.Namespace(layers=3, width=128))
        compare(f"{folder}/checkpoint", workload, arguments.rounds)


def compare(checkpoint: str, workload: dict[str, Any], rounds: int) -> None:
    from vllm import LLM

    for task in workload["tasks"].values():
        task["n"] = max(1, task["n"] // 3)
    llm = LLM(**engine_sides.engine_arguments(checkpoint, workload["slots"]))
    ids = engine_sides.requests(checkpoint, workload)
    params = [engine_sides.sampling(workload, seed=seed) for seed in engine_sides.seeds(workload)]
    sampling = SamplingParams(temperature=workload["temperature"], top_p=1.0, max_tokens=workload["limit"])
    requests = [
        Request(name, str(number), sample, ({"role": "user", "content": question},), sampling)
        for name, task in workload["tasks"].items()
        for number, question in enumerate(task["questions"])
        for sample in range(task["n"])
    ]
    options = VLLMOptions(device="cpu", dtype="float32", max_model_len=engine_sides.CONTEXT)
    backend = SharingEngine(checkpoint, options)
    backend.engine = llm.llm_engine
    seconds: dict[str, list[float]] = {"LLM.generate": [], "evalkit": []}
    for number in range(rounds):
        made = set()
        for side in sorted(seconds, reverse=number % 2 == 1):
            llm.llm_engine.reset_prefix_cache()
            started = time.perf_counter()
            made.add(by_evalkit(backend, requests) if side == "evalkit" else by_vllm(llm, ids, params))
            seconds[side].append(time.perf_counter() - started)
        assert len(made) == 1, "the sides have drawn other texts"
    ratios = [a / b for a, b in zip(seconds["LLM.generate"], seconds["evalkit"], strict=True)]
    print(json.dumps({side: [round(each, 2) for each in by_round] for side, by_round in seconds.items()}))
    print(f"{len(requests)} requests, {made.pop()} tokens; evalkit's tokens/s over LLM.generate's: ", end="")
    print(f"mean {statistics.mean(ratios):.3f}, by round {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    llm.llm_engine.engine_core.shutdown()  # or its processes are waited for at the end


if __name__ == "__main__":
    main()
