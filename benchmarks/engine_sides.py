"""The sides that engine_overhead.py compares: each answers a workload in a process of its own, and times itself.

    python benchmarks/engine_sides.py SIDE FOLDER

FOLDER holds `checkpoint` and `workload.json`; `out.json` is written to it: seconds of the generation phase, and the
texts by task and question.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CONTEXT = 1024

Texts = dict[str, list[list[str]]]
"""By task, in the order of its questions, one for each sample."""


def engine_arguments(checkpoint: str, slots: int) -> dict[str, Any]:
    return {
        "model": checkpoint,
        "dtype": "float32",
        "max_model_len": CONTEXT,
        "max_num_seqs": slots,
        "enforce_eager": True,
        "enable_prefix_caching": True,
        "seed": 0,
    }


def requests(checkpoint: str, workload: dict[str, Any]) -> list[list[int]]:
    """The prompts' token ids, task after task, the samples of a question beside each other."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = []
    for task in workload["tasks"].values():
        for question in task["questions"]:
            messages = [{"role": "user", "content": question}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            ids += [tokenizer(text, add_special_tokens=False)["input_ids"]] * task["n"]
    return ids


def by_question(workload: dict[str, Any], texts: Sequence[str]) -> Texts:
    """Texts in the order of `requests`."""
    left = iter(texts)
    return {
        name: [[next(left) for _ in range(task["n"])] for _ in task["questions"]]
        for name, task in workload["tasks"].items()
    }


def seeds(workload: dict[str, Any]) -> list[int]:
    """Those that evalkit gives to the same requests, so that the same texts are drawn."""
    from evalkit.types import Request, SamplingParams

    params = SamplingParams(n=1, seed=0)
    return [
        Request(name, str(number), sample, (), params).seed
        for name, task in workload["tasks"].items()
        for number in range(len(task["questions"]))
        for sample in range(task["n"])
    ]


def sampling(workload: dict[str, Any], **fields: Any) -> Any:
    from vllm import SamplingParams

    return SamplingParams(
        temperature=workload["temperature"], max_tokens=workload["limit"], skip_special_tokens=False, **fields
    )


def bare_llm(folder: Path, workload: dict[str, Any]) -> tuple[float, Texts]:
    from vllm import LLM

    ids = requests(str(folder / "checkpoint"), workload)
    engine = LLM(**engine_arguments(str(folder / "checkpoint"), workload["slots"]))
    params = [sampling(workload, seed=seed) for seed in seeds(workload)]
    started = time.perf_counter()
    outputs = engine.generate([{"prompt_token_ids": each} for each in ids], params, use_tqdm=False)
    seconds = time.perf_counter() - started
    return seconds, by_question(workload, [output.outputs[0].text for output in outputs])


def bare_async(folder: Path, workload: dict[str, Any]) -> tuple[float, Texts]:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    ids = requests(str(folder / "checkpoint"), workload)

    async def work() -> tuple[float, Texts]:
        settings = engine_arguments(str(folder / "checkpoint"), workload["slots"])
        engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**settings, disable_log_stats=True))
        drawn = seeds(workload)

        async def one(index: int) -> str:
            params = sampling(workload, seed=drawn[index], output_kind=RequestOutputKind.FINAL_ONLY)
            async for output in engine.generate({"prompt_token_ids": ids[index]}, params, str(index)):
                text: str = output.outputs[0].text
            return text

        started = time.perf_counter()
        texts = await asyncio.gather(*(one(index) for index in range(len(ids))))
        seconds = time.perf_counter() - started
        engine.shutdown()
        return seconds, by_question(workload, texts)

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


def run_lm_eval(folder: Path, workload: dict[str, Any]) -> tuple[float, Texts]:
    import lm_eval
    from lm_eval.models.vllm_causallms import VLLM
    from lm_eval.tasks import TaskManager

    seconds = timed(VLLM, "generate_until")
    sampled = {"do_sample": True, "temperature": workload["temperature"]} if workload["temperature"] else {}
    tasks = []
    for name, task in workload["tasks"].items():
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": each}) + "\n" for each in task["questions"]))
        tasks.append(
            {
                "task": name,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(file)}},
                "test_split": "test",
                "output_type": "generate_until",
                "doc_to_text": "{{text}}",
                "doc_to_target": "",
                "repeats": task["n"],
                "generation_kwargs": {"until": [], "max_gen_toks": workload["limit"], "do_sample": False, **sampled},
                "metric_list": [{"metric": "exact_match"}],
            }
        )
    settings = engine_arguments(str(folder / "checkpoint"), workload["slots"])
    settings["pretrained"] = settings.pop("model")
    done = lm_eval.simple_evaluate(
        model="vllm",
        model_args={**settings, "batch_size": "auto"},
        tasks=tasks,
        task_manager=TaskManager(),
        apply_chat_template=True,
        log_samples=True,
        bootstrap_iters=0,
    )
    texts = {
        name: [sample["resps"][0] for sample in sorted(samples, key=lambda sample: sample["doc_id"])]
        for name, samples in done["samples"].items()
    }
    return sum(seconds), texts


LIGHTEVAL_TASKS = """
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def prompt(line, task_name=None):
    return Doc(task_name=task_name, query=line["text"], choices=[""], gold_index=0)


TASKS_TABLE = [
    LightevalTaskConfig(
        name=name,
        prompt_function=prompt,
        hf_repo={folder!r} + "/" + name,
        hf_subset="default",
        hf_avail_splits=["train"],
        evaluation_splits=["train"],
        metrics=[Metrics.exact_match],
        generation_size={limit},
        stop_sequence=[],
    )
    for name in {names}
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
    HfApi.list_models = lambda *_, **__: iter(())  # type: ignore[method-assign]
    (Path(lighteval.__file__).parent / "tasks" / "tasks" / "tinyBenchmarks.pkl").touch()


def run_lighteval(folder: Path, workload: dict[str, Any]) -> tuple[float, Texts]:
    """A question's samples are questions of their own: lighteval's own samples need a metric that asks for them."""
    adapt_lighteval()
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.model_input import GenerationParameters
    from lighteval.models.vllm.vllm_model import VLLMModel, VLLMModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

    seconds = timed(VLLMModel, "_greedy_until")
    data, names = folder / "lighteval", list(workload["tasks"])
    for name, task in workload["tasks"].items():
        (data / name).mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"text": each}) + "\n" for each in task["questions"] for _ in range(task["n"])]
        (data / name / "train.jsonl").write_text("".join(lines))
    file = folder / "lighteval_tasks.py"
    file.write_text(LIGHTEVAL_TASKS.format(folder=str(data), limit=workload["limit"], names=names))
    config = VLLMModelConfig(
        model_name=str(folder / "checkpoint"),
        dtype="float32",
        max_model_length=CONTEXT,
        max_num_seqs=workload["slots"],
        enable_prefix_caching=True,
        override_chat_template=True,
        add_special_tokens=False,
        cache_dir=tempfile.mkdtemp(dir=folder),
        generation_parameters=GenerationParameters(
            temperature=workload["temperature"], max_new_tokens=workload["limit"]
        ),
    )
    pipeline = Pipeline(
        tasks=",".join(f"{name}|0" for name in names),
        pipeline_parameters=PipelineParameters(
            launcher_type=ParallelismManager.VLLM, custom_tasks_directory=str(file), bootstrap_iters=0
        ),
        evaluation_tracker=EvaluationTracker(output_dir=str(folder / "lighteval-results"), save_details=True),
        model_config=config,
    )
    pipeline.evaluate()
    pipeline.save_and_push_results()
    found: dict[str, dict[str, list[str]]] = {}
    for name, details in pipeline.get_details().items():
        texts = found.setdefault(name.split("|")[0], {})
        for detail in details:  # it shuffles the questions
            texts.setdefault(detail.doc.query, []).append(detail.model_response.text[0])
    return sum(seconds), {
        name: [found[name][question] for question in task["questions"]] for name, task in workload["tasks"].items()
    }


SIDES: dict[str, Callable[[Path, dict[str, Any]], tuple[float, Texts]]] = {
    "llm": bare_llm,
    "async": bare_async,
    "lm_eval": run_lm_eval,
    "lighteval": run_lighteval,
}


def main() -> None:
    side, folder = sys.argv[1], Path(sys.argv[2])
    seconds, texts = SIDES[side](folder, json.loads((folder / "workload.json").read_text()))
    (folder / "out.json").write_text(json.dumps({"seconds": seconds, "texts": texts}))


if __name__ == "__main__":
    main()
