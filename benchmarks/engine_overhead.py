"""Tokens a second of `evalkit run --backend vllm` beside vLLM itself and beside other harnesses over vLLM, in turn.

    OMP_NUM_THREADS=1 python benchmarks/engine_overhead.py --rounds 3
    … --lm-eval-python /path/to/venv/bin/python --lighteval-python /path/to/another/bin/python

Run it with a Python that has evalkit and vLLM; the peers' need vLLM beside `lm_eval` or `lighteval`. Each side is a
process of its own that answers the same prompts greedily in float32 with the same engine settings, on the random
checkpoint of transformers_backend.py, whose texts end by themselves at very different lengths. Two times are taken: the
generation phase (bare engines: the call; evalkit: from the first request drawn to the last completion on disk, from
throughput.jsonl; the peers: inside their model's generating method), and the whole process, imports and start-up
included. Tokens are those of the texts, which have to be equal on all sides: how many are is told.

evalkit's run is the command as it is: queue, store, meter, progress and grading included.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers_backend import make_checkpoint, plain, prompts

CONTEXT = 1024
RUNNING = 256
TASK = """
import json
from pathlib import Path

from evalkit import Problem, Score, Task


class Texts(Task):
    name, version, title = "texts", 1, "texts"

    def load(self, source):
        questions = json.loads((Path({folder!r}) / "questions.json").read_text())
        return [Problem(str(index), text, "") for index, text in enumerate(questions)]

    def score(self, problem, response):
        return Score(float(len(response) % 2), "correct" if len(response) % 2 else "wrong", answer=response[-8:])
"""
Result = tuple[float, list[str]]
"""Seconds of the generation phase, texts in the order of the prompts."""


def engine_arguments(checkpoint: str) -> dict[str, Any]:
    return {
        "model": checkpoint,
        "dtype": "float32",
        "max_model_len": CONTEXT,
        "max_num_seqs": RUNNING,
        "enforce_eager": True,
        "enable_prefix_caching": True,
        "seed": 0,
    }


def rendered(checkpoint: str, questions: Sequence[str]) -> tuple[Any, list[list[int]]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    messages = [[{"role": "user", "content": each}] for each in questions]
    texts = [tokenizer.apply_chat_template(each, tokenize=False, add_generation_prompt=True) for each in messages]
    return tokenizer, [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def sampling(limit: int, **fields: Any) -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=limit, skip_special_tokens=False, **fields)


def bare_llm(folder: Path, limit: int) -> Result:
    from vllm import LLM

    _, ids = rendered(str(folder / "checkpoint"), json.loads((folder / "questions.json").read_text()))
    engine = LLM(**engine_arguments(str(folder / "checkpoint")))
    started = time.perf_counter()
    outputs = engine.generate([{"prompt_token_ids": each} for each in ids], sampling(limit), use_tqdm=False)
    return time.perf_counter() - started, [output.outputs[0].text for output in outputs]


def bare_async(folder: Path, limit: int) -> Result:
    import asyncio

    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    _, ids = rendered(str(folder / "checkpoint"), json.loads((folder / "questions.json").read_text()))

    async def work() -> Result:
        engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(str(folder / "checkpoint"))))
        params = sampling(limit, output_kind=RequestOutputKind.FINAL_ONLY)

        async def one(index: int) -> str:
            async for output in engine.generate({"prompt_token_ids": ids[index]}, params, str(index)):
                text: str = output.outputs[0].text
            return text

        started = time.perf_counter()
        texts = await asyncio.gather(*(one(index) for index in range(len(ids))))
        seconds = time.perf_counter() - started
        engine.shutdown()
        return seconds, list(texts)

    return asyncio.run(work())


def timed(owner: Any, name: str) -> list[float]:
    """Seconds that each call of a method takes, from now on."""
    seconds: list[float] = []
    method: Callable[..., Any] = getattr(owner, name)

    def wrapper(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - started)

    setattr(owner, name, wrapper)
    return seconds


def run_lm_eval(folder: Path, limit: int) -> Result:
    import lm_eval
    from lm_eval.models.vllm_causallms import VLLM
    from lm_eval.tasks import TaskManager

    seconds = timed(VLLM, "generate_until")
    task = {
        "task": "texts",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "questions.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{text}}",
        "doc_to_target": "",
        "generation_kwargs": {"until": [], "max_gen_toks": limit, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    settings = engine_arguments(str(folder / "checkpoint"))
    settings["pretrained"] = settings.pop("model")
    done = lm_eval.simple_evaluate(
        model="vllm",
        model_args={**settings, "batch_size": "auto"},
        tasks=[task],
        task_manager=TaskManager(),
        apply_chat_template=True,
        log_samples=True,
        bootstrap_iters=0,
    )
    samples = sorted(done["samples"]["texts"], key=lambda sample: sample["doc_id"])
    return sum(seconds), [sample["resps"][0][0] for sample in samples]


LIGHTEVAL_TASK = """
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def prompt(line, task_name=None):
    return Doc(task_name=task_name, query=line["text"], choices=[""], gold_index=0)


TASKS_TABLE = [
    LightevalTaskConfig(
        name="texts",
        prompt_function=prompt,
        hf_repo={folder!r},
        hf_subset="default",
        hf_avail_splits=["train"],
        evaluation_splits=["train"],
        metrics=[Metrics.exact_match],
        generation_size={limit},
        stop_sequence=[],
    )
]
"""


def adapt_lighteval() -> None:
    """lighteval 0.13 wants vLLM 0.10: names that have moved since are given back to it. What it would fetch from the
    net for other tasks, when it imports all that it has, is there and empty. What it does stays as it is."""
    import types

    import lighteval
    import vllm
    from huggingface_hub import HfApi
    from lighteval.utils import imports
    from vllm.tokenizers import get_tokenizer

    known = imports.is_package_available
    imports.is_package_available = lambda package: "vllm" in str(package) or known(package)
    moved = types.ModuleType("vllm.transformers_utils.tokenizer")
    moved.get_tokenizer = get_tokenizer  # type: ignore[attr-defined]
    sys.modules[moved.__name__] = moved

    class LLM(vllm.LLM):  # type: ignore[misc]
        def __init__(self, swap_space: int = 0, **arguments: Any) -> None:
            super().__init__(**arguments)

        def generate(self, prompt_token_ids: Any, sampling_params: Any, use_tqdm: bool) -> Any:
            sampling_params.skip_special_tokens = False
            return super().generate([{"prompt_token_ids": each} for each in prompt_token_ids], sampling_params)

    vllm.LLM = LLM
    HfApi.list_models = lambda *_, **__: iter(())  # type: ignore[method-assign, assignment]
    (Path(lighteval.__file__).parent / "tasks" / "tasks" / "tinyBenchmarks.pkl").touch()


def run_lighteval(folder: Path, limit: int) -> Result:
    adapt_lighteval()
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.model_input import GenerationParameters
    from lighteval.models.vllm.vllm_model import VLLMModel, VLLMModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

    seconds = timed(VLLMModel, "_greedy_until")
    data = folder / "lighteval"
    data.mkdir(exist_ok=True)
    (data / "train.jsonl").write_text((folder / "questions.jsonl").read_text())
    task = folder / "lighteval_task.py"
    task.write_text(LIGHTEVAL_TASK.format(folder=str(data), limit=limit))
    config = VLLMModelConfig(
        model_name=str(folder / "checkpoint"),
        dtype="float32",
        max_model_length=CONTEXT,
        max_num_seqs=RUNNING,
        enable_prefix_caching=True,
        override_chat_template=True,
        add_special_tokens=False,
        cache_dir=tempfile.mkdtemp(dir=folder),
        generation_parameters=GenerationParameters(temperature=0, max_new_tokens=limit),
    )
    pipeline = Pipeline(
        tasks="texts|0",
        pipeline_parameters=PipelineParameters(
            launcher_type=ParallelismManager.VLLM, custom_tasks_directory=str(task), bootstrap_iters=0
        ),
        evaluation_tracker=EvaluationTracker(output_dir=str(folder / "lighteval-results"), save_details=True),
        model_config=config,
    )
    pipeline.evaluate()
    pipeline.save_and_push_results()
    (details,) = pipeline.get_details().values()
    texts = {detail.doc.query: detail.model_response.text[0] for detail in details}  # it shuffles the questions
    return sum(seconds), [texts[question] for question in json.loads((folder / "questions.json").read_text())]


def work(arguments: argparse.Namespace) -> None:
    sides: dict[str, Callable[[Path, int], Result]] = {
        "llm": bare_llm,
        "async": bare_async,
        "lm_eval": run_lm_eval,
        "lighteval": run_lighteval,
    }
    folder = Path(arguments.folder)
    seconds, texts = sides[arguments.worker](folder, arguments.limit)
    (folder / "out.json").write_text(json.dumps({"seconds": seconds, "texts": texts}))


def run_evalkit(folder: Path, limit: int, number: int) -> dict[str, Any]:
    path = folder / f"run-{number}"
    command = [Path(sys.executable).with_name("evalkit"), "run", folder / "checkpoint", "-t", "texts"]
    command += ["--backend", "vllm", "--task-file", folder / "texts.py", "-o", path, "--device", "cpu", "-n", 1]
    command += [
        "--dtype",
        "float32",
        "--max-model-len",
        CONTEXT,
        "--max-tokens",
        limit,
        "--temperature",
        0,
        "--batch-size",
        RUNNING,
    ]
    spawn([*map(str, command), "--response-prefix", ""])
    told = json.loads((path / "throughput.jsonl").read_text().splitlines()[-1])
    made = [json.loads(line) for line in (path / "texts" / "completions.jsonl").read_text().splitlines()]
    made.sort(key=lambda record: int(record["problem_id"]))
    lengths = [record["completion_tokens"] for record in made]
    return {"seconds": told["seconds"], "texts": [record["text"] for record in made], "lengths": lengths}


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
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--limit", type=int, default=768, help="new tokens a prompt")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", default="llm,async,evalkit,lm_eval,lighteval", help="which of them, in this order")
    parser.add_argument("--lm-eval-python", help="the python of a venv with vLLM and lm_eval")
    parser.add_argument("--lighteval-python", help="the python of a venv with vLLM, ray, more_itertools and lighteval")
    for hidden in ("--worker", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    make_checkpoint(str(folder / "checkpoint"), (131,), arguments.layers, arguments.width)
    questions = prompts(arguments.prompts, sums=False)
    (folder / "questions.json").write_text(json.dumps(questions))
    (folder / "questions.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in questions))
    (folder / "texts.py").write_text(TASK.format(folder=str(folder)))
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
                result = run_evalkit(folder, arguments.limit, number)
            else:
                files = ["--worker", side, "--folder", str(folder), "--limit", str(arguments.limit)]
                spawn([pythons[side], __file__, *files])
                result = json.loads((folder / "out.json").read_text())
            result["whole"] = time.perf_counter() - started
            result["cpu"] = children_cpu() - cpu
            results[side].append(result)
            told = f"{result['seconds']:.2f} s of {result['whole']:.1f} s, {result['cpu']:.1f} CPU s"
            print(f"  {side}: {told}", file=sys.stderr, flush=True)
    report(results)


NAMES = {
    "llm": "bare `LLM.generate`",
    "async": "bare `AsyncLLM`",
    "evalkit": "`evalkit run`",
    "lm_eval": "lm_eval `vllm`",
    "lighteval": "lighteval `vllm`",
}


def report(results: dict[str, list[dict[str, Any]]]) -> None:
    ours = results["evalkit"][0]
    lengths = sorted(ours["lengths"])
    tokens = sum(lengths)
    print(f"{len(lengths)} prompts, {tokens} new tokens: mean {tokens / len(lengths):.0f}, median ", end="")
    print(f"{lengths[len(lengths) // 2]}, longest {lengths[-1]}; {len(results['evalkit'])} rounds\n")
    print(
        "| side | generation, s (by round) | tokens/s (median) | of the bare engine | whole process, s | CPU s "
        "| equal texts |"
    )
    print("|-|-|-|-|-|-|-|")
    for side, rounds in results.items():
        each = [result["seconds"] for result in rounds]
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(results["llm"], rounds, strict=True)]
        whole, cpu = (statistics.median(result[name] for result in rounds) for name in ("whole", "cpu"))
        pairs = zip(ours["texts"], rounds[0]["texts"], strict=True)
        equal = sum(plain(a) == plain(b) for a, b in pairs)
        print(
            f"| {NAMES[side]} | {', '.join(f'{s:.2f}' for s in each)} | {tokens / statistics.median(each):,.0f} "
            f"| {statistics.median(ratios):.3f} | {whole:.1f} | {cpu:.1f} | {equal}/{len(lengths)} |"
        )


if __name__ == "__main__":
    main()
