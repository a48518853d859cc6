"""Tokens per second of replicas on a Ray cluster, over the same replicas as subprocesses. Both in turn, by ratio.

    python benchmarks/ray_overhead.py --rounds 3             # completions of some 130 tokens, of a random model
    python benchmarks/ray_overhead.py --rounds 3 --short     # of 32 tokens: the cost of passing them on shows most

Two replicas of the transformers engine share the processors with the process that feeds them, which grades at the same
time, and with Ray's own processes. The rate is that of the whole run, without the loading of the first replica.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from transformers_backend import SPECIAL, make_checkpoint

STUDENT = "examples/tiny_distill/student-distilled"


def tokens_per_second(model: str, arguments: list[str], output: Path) -> float:
    """Generated tokens per second of one run, without the loading."""
    command = [sys.executable, "-m", "evalkit", "run", model, "-t", "arithmetic", "--response-prefix", ""]
    command += ["--engine", "transformers", "--device", "cpu", "--batch-size", "16", "--quiet", "-o", str(output)]
    subprocess.run([*command, *arguments], check=True, capture_output=True)
    last = (output / "throughput.jsonl").read_text().splitlines()[-1]
    return float(json.loads(last)["generated_tokens_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="completions of the demo's student, of 32 tokens")
    options = parser.parse_args()
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    sides = {"subprocesses": ["--data-parallel", "2"], "ray": ["--ray", cluster.address]}
    rates: dict[str, list[float]] = {side: [] for side in sides}
    try:
        with tempfile.TemporaryDirectory() as folder:
            model, size = STUDENT, ["-n", "48", "--max-tokens", "64"]
            if not options.short:
                model, size = f"{folder}/model", ["-n", "6", "--max-tokens", "512"]
                make_checkpoint(model, ends=[128 + SPECIAL.index("<|assistant|>")])
            for number in range(options.rounds):
                for side, arguments in sides.items():
                    rate = tokens_per_second(model, [*arguments, *size], Path(folder) / f"{side}-{number}")
                    rates[side].append(rate)
                    print(f"{side:>14} {rate:8.0f} tokens/s", flush=True)
    finally:
        cluster.shutdown()
    ratios = [ray / plain for ray, plain in zip(rates["ray"], rates["subprocesses"], strict=True)]
    print(f"ray over subprocesses: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
