"""Tokens a second of `evalkit run --backend vllm` beside vLLM itself and beside other harnesses over vLLM, in turn.

    OMP_NUM_THREADS=1 python benchmarks/engine_overhead.py --rounds 3
    … --lm-eval-python /path/to/venv/bin/python --lighteval-python /path/to/another/bin/python
    … --workload table

Run it with a Python that has evalkit and vLLM; the peers' need vLLM beside `lm_eval` or `lighteval`. Each side is a
process of its own (engine_sides.py) that answers the same questions in float32 with the same engine settings. Two times
are taken: the generation phase (bare engines: the call; evalkit: from the first request drawn to the last completion
on disk, from throughput.jsonl; the peers: inside their model's generating method), and the whole process, imports and
start-up included. evalkit's run is the command as it is: queue, store, meter, progress and grading included.

Workloads:

- `one`: 256 prompts, all of them running at once, greedily, on the random checkpoint of transformers_backend.py, whose
  texts end by themselves at very different lengths. The texts have to be equal on all sides: how many are is told.
- `table`: three tasks as the table of reasoning models has them, few problems with many long completions and many
  with few short ones, sampled at temperature 1 on counting_checkpoint.py, 632 completions for 32 slots. The bare engine
  gets evalkit's seeds and so draws the same texts; the peers have no seed for a sample and draw others. A batch of
  that size costs much the same however full it is, as on a GPU, and what counts is how long it stays full.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import counting_checkpoint
import transformers_backend
from engine_sides import CONTEXT, Texts

TASK = """
class {title}(Task):
    name, version, title, n = {name!r}, 1, {name!r}, {n}

    def load(self, source):
        questions = json.loads(WORKLOAD.read_text())["tasks"][self.name]["questions"]
        return [Problem(str(index), text, "") for index, text in enumerate(questions)]

    def score(self, problem, response):
        return Score(float(len(response) % 2), "correct" if len(response) % 2 else "wrong", answer=response[-8:])
"""
TASK_FILE = """
import json
from pathlib import Path

from evalkit import Problem, Score, Task

WORKLOAD = Path({workload!r})
"""


def make_workload(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the checkpoint, and return what all sides are asked."""
    checkpoint = str(folder / "checkpoint")
    if name == "one":
        transformers_backend.make_checkpoint(checkpoint, (131,), arguments.layers, arguments.width)
        questions = transformers_backend.prompts(arguments.prompts, sums=False)
        return {
            "slots": 256,
            "temperature": 0,
            "limit": arguments.limit,
            "tasks": {"texts": {"n": 1, "questions": questions}},
        }
    counting_checkpoint.make_counting_checkpoint(checkpoint, arguments.layers, arguments.width)
    made = counting_checkpoint.prompts
    return {
        "slots": 32,
        "temperature": 1.0,
        "limit": 900,
        "tasks": {
            "hard": {"n": 12, "questions": made("RSTUVWXYZ", 16, seed=1)},
            "easy": {"n": 2, "questions": made("DEFGHIJKLMNOPQRS", 120, seed=2)},
            "choice": {"n": 4, "questions": made("MNOPQRSTUV", 50, seed=3)},
        },
    }


def run_evalkit(folder: Path, workload: dict[str, Any], number: int) -> dict[str, Any]:
    path = folder / f"run-{number}"
    file = folder / "tasks.py"
    tasks = [TASK.format(title=name.title(), name=name, n=task["n"]) for name, task in workload["tasks"].items()]
    file.write_text(TASK_FILE.format(workload=str(folder / "workload.json")) + "\n".join(tasks))
    command = [Path(sys.executable).with_name("evalkit"), "run", folder / "checkpoint", "--backend", "vllm"]
    command += ["-t", ",".join(workload["tasks"]), "--task-file", file, "-o", path, "--device", "cpu"]
    command += ["--dtype", "float32", "--max-model-len", CONTEXT, "--batch-size", workload["slots"]]
    command += ["--temperature", workload["temperature"], "--top-p", 1, "--max-tokens", workload["limit"]]
    spawn([*map(str, command), "--response-prefix", ""])
    told = json.loads((path / "throughput.jsonl").read_text().splitlines()[-1])
    texts: Texts = {}
    for name in workload["tasks"]:
        made = [json.loads(line) for line in (path / name / "completions.jsonl").read_text().splitlines()]
        made.sort(key=lambda record: (int(record["problem_id"]), record["sample_index"]))
        n = workload["tasks"][name]["n"]
        texts[name] = [[record["text"] for record in made[i : i + n]] for i in range(0, len(made), n)]
    return {"seconds": told["seconds"], "texts": texts, "tokens": told["generated_tokens"]}


def spawn(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def children_cpu() -> float:
    """CPU seconds of all processes that were started and waited for, those that they waited for included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=("one", "table"), default="one")
    parser.add_argument("--prompts", type=int, default=256, help="of the workload `one`")
    parser.add_argument("--limit", type=int, default=768, help="new tokens a prompt in the workload `one`")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", default="llm,async,evalkit,lm_eval,lighteval", help="which of them")
    parser.add_argument("--lm-eval-python", help="the python of a venv with vLLM and lm_eval")
    parser.add_argument("--lighteval-python", help="the python of a venv with vLLM, ray, more_itertools and lighteval")
    arguments = parser.parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    workload = make_workload(arguments.workload, folder, arguments)
    (folder / "workload.json").write_text(json.dumps(workload))
    pythons = {
        "llm": sys.executable,
        "async": sys.executable,
        "evalkit": sys.executable,
        "lm_eval": arguments.lm_eval_python,
        "lighteval": arguments.lighteval_python,
    }
    sides = [side for side in arguments.sides.split(",") if pythons[side] is not None]
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(arguments.rounds):
        for side in sides[number % len(sides) :] + sides[: number % len(sides)]:  # none is always the first
            started, cpu = time.perf_counter(), children_cpu()
            if side == "evalkit":
                result = run_evalkit(folder, workload, number)
            else:
                spawn([pythons[side], str(Path(__file__).with_name("engine_sides.py")), side, str(folder)])
                result = json.loads((folder / "out.json").read_text())
            result["whole"] = time.perf_counter() - started
            result["cpu"] = children_cpu() - cpu
            results[side].append(result)
            told = f"{result['seconds']:.2f} s of {result['whole']:.1f} s, {result['cpu']:.1f} CPU s"
            print(f"  {side}: {told}", file=sys.stderr, flush=True)
    report(workload, results)


NAMES = {
    "llm": "bare `LLM.generate`",
    "async": "bare `AsyncLLM`",
    "evalkit": "`evalkit run`",
    "lm_eval": "lm_eval `vllm`",
    "lighteval": "lighteval `vllm`",
}


def flat(texts: Texts) -> list[str]:
    return [text for questions in texts.values() for samples in questions for text in samples]


def report(workload: dict[str, Any], results: dict[str, list[dict[str, Any]]]) -> None:
    ours = results["evalkit"][0]
    count = len(flat(ours["texts"]))
    print(f"{count} completions, {ours['tokens']} new tokens on evalkit's side; {len(results['evalkit'])} rounds\n")
    print("| side | generation, s (by round) | tokens/s (by round) | of the bare engine | whole, s (by round) ", end="")
    print("| CPU s | equal texts |\n|-|-|-|-|-|-|-|")
    for result in (each for rounds in results.values() for each in rounds):
        # at temperature 0 the texts are the same; else each token is a letter, and one ends the text
        lengths = [len(text) + (len(text) < workload["limit"]) for text in flat(result["texts"])]
        result["speed"] = (sum(lengths) if workload["temperature"] else ours["tokens"]) / result["seconds"]
    for side, rounds in results.items():
        ratios = [a["speed"] / b["speed"] for a, b in zip(rounds, results["llm"], strict=True)]
        pairs = zip(flat(ours["texts"]), flat(rounds[0]["texts"]), strict=True)
        equal = sum(transformers_backend.plain(a) == transformers_backend.plain(b) for a, b in pairs)
        row = [
            NAMES[side],
            ", ".join(f"{result['seconds']:.2f}" for result in rounds),
            ", ".join(f"{result['speed']:,.0f}" for result in rounds),
            f"{statistics.mean(ratios):.3f}",
            ", ".join(f"{result['whole']:.1f}" for result in rounds),
            f"{statistics.mean(result['cpu'] for result in rounds):.1f}",
            f"{equal}/{count}",
        ]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
