"""What one GPU machine without network can tell of evalkit: nine minutes at most, one table, figures saved at once.

    python benchmarks/gpu.py --output gpu.json
    python benchmarks/gpu.py --output gpu.json --parts rows,steps --wheels wheels/
    python benchmarks/gpu.py --output gpu.json --shape tiny --device cpu      # everything but the device

It needs a Python with torch and transformers, not an installed evalkit: this checkout is used as it is. Packages that
are missing there can lie as wheels in the folder that `--wheels` names. Nothing is installed.

The checkpoint has random weights in the shape of DeepSeek-R1-Distill-Qwen-1.5B (28 layers, bfloat16) and the demo's
tokenizer. About one token in 300 ends a text, so lengths are spread as a geometric distribution; scaled logits make a
nucleus of some dozen tokens, as a trained model has. Each part is a process of its own with a limit of its own, and
what a part had measured by then counts.

    command   `evalkit run` as a user gives it: the default engine, rows, dtype; seconds from start to end, GPU use
    kill      kill -9 in the middle: whether the GPU's memory comes back, and the resumed run
    rows      the transformers engine beside `model.generate` on the same prompts, in turn, at 16, 64 and 256 rows
    steps     one decoding step: launched kernel by kernel, as a CUDA graph, and in transformers alone; and the sampling
    draws     tokens with temperature 0.6 and top-p 0.95, from the most probable tokens first and from all of them
    vllm      seeds on and off, rows: only where vllm can be imported
    compile   `model.generate` with a static cache, which transformers compiles
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import traceback
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = REPOSITORY / "examples" / "tiny_distill" / "teacher"
NEEDED = (
    *("torch", "transformers", "safetensors", "tokenizers", "huggingface_hub", "jinja2", "numpy", "scipy", "sympy"),
    *("mpmath", "pydantic", "annotated_types", "click", "httpx", "rich", "filelock", "platformdirs"),
    "typing_extensions",
)
USEFUL = ("datasets", "pandas", "matplotlib", "accelerate", "triton", "vllm", "pynvml")
LIMITS = {"command": 110, "kill": 100, "rows": 170, "steps": 70, "draws": 30, "vllm": 150, "compile": 90}  # seconds
SHAPES = {
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
             "num_key_value_heads": 2, "vocab_size": 151936},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 2048},
}  # fmt: skip
MEAN_LENGTH = {"1.5b": 300, "tiny": 20}
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LOGITS_SPREAD = 3.0  # standard deviation: at temperature 0.6 the nucleus of 0.95 is some dozen tokens

TASK = """
from evalkit.benchmark.task import Task
from evalkit.types import Problem, Score

class LongAnswers(Task):
    name = "long_answers"
    version = 1
    title = "Long answers"
    n = {n}

    def load(self, source):
        words = "one two three four five six seven eight nine ten".split()
        return [Problem(str(i), " ".join(words[(i * k) % 10] for k in range(3, 12 + i % 40)), "0")
                for i in range({problems})]

    def score(self, problem, response):
        return Score(0.0, "wrong", "1")
"""


# The machine ---------------------------------------------------------------------------------------------------------


def missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if find_spec(name) is None]


def nvidia(query: str) -> list[str]:
    """The values of the first GPU, as nvidia-smi tells them; nothing where there is none."""
    try:
        command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = told.stdout.strip().splitlines()
    return [value.strip() for value in lines[0].split(",")] if told.returncode == 0 and lines else []


def used_memory() -> float | None:
    """MiB of the first GPU, everybody's."""
    values = nvidia("memory.used")
    return float(values[0]) if values else None


class Watch:
    """The GPU's use in the background: mean utilisation (%) and most memory (MiB)."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            if values := nvidia("utilization.gpu,memory.used"):
                self.seen.append((float(values[0]), float(values[1])))

    def result(self) -> dict[str, Any]:
        self._stop.set()
        self._thread.join(timeout=25)
        if not self.seen:
            return {}
        busy = [utilisation for utilisation, _ in self.seen]
        return {"gpu_busy_percent": round(statistics.mean(busy), 1), "gpu_memory_mib": max(m for _, m in self.seen)}


def make_importable(folder: Path, wheels: str | None) -> dict[str, str]:
    """The environment in which `python -m evalkit` runs: this checkout as an installed package, wheels unpacked."""
    site = folder / "site"
    site.mkdir()
    for name, place in (("evalkit", "evalkit"), ("evalkit_tasks", "tasks"), ("evalkit_published", "results/published")):
        (site / name).symlink_to(REPOSITORY / place)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    info = site / f"evalkit-{project.get('version', '0')}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: evalkit\nVersion: {project.get('version', '0')}\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for wheel in sorted(Path(wheels).glob("*.whl")) if wheels else []:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "XDG_STATE_HOME": str(folder / "state"),
    }


def describe_machine(device: str) -> dict[str, Any]:
    import torch
    import transformers

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cores": os.cpu_count(),
        "missing": missing(USEFUL),
    }
    if values := nvidia("name,driver_version,memory.total"):
        found |= dict(zip(("gpu", "driver", "memory_mib"), values, strict=False))
    if device == "cuda":
        found |= {"cuda": torch.version.cuda, "torch_sees_gpu": torch.cuda.is_available()}
    return found


# The checkpoint ------------------------------------------------------------------------------------------------------


def make_checkpoint(folder: Path, shape: str, device: str) -> dict[str, Any]:
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    started = time.perf_counter()
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(DEMO / name, folder / name)
    config = Qwen2Config(**SHAPES[shape], max_position_embeddings=131072, tie_word_embeddings=False, dtype="bfloat16")
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        head = model.lm_head.weight
        head.normal_(0, LOGITS_SPREAD / config.hidden_size**0.5)
    words = config.vocab_size
    ends = random.Random(0).sample(range(500, words), max(1, words // MEAN_LENGTH[shape]))
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0)
    model.config.eos_token_id = ends[0]
    model.save_pretrained(folder)
    parameters = sum(each.numel() for each in model.parameters())
    return {"parameters": parameters, "seconds": round(time.perf_counter() - started, 1)}


# `evalkit run` -------------------------------------------------------------------------------------------------------


def run_command(config: dict[str, Any], output: Path, *more: str) -> list[str]:
    task = Path(config["folder"]) / "long_answers.py"
    problems, n = (128, 4) if config["shape"] == "1.5b" else (8, 2)
    task.write_text(TASK.format(problems=problems, n=n))
    limit = str(4 * MEAN_LENGTH[config["shape"]])
    command = [sys.executable, "-m", "evalkit", "run", config["checkpoint"], "-t", "long_answers"]
    command += ["--task-file", str(task), "--max-tokens", limit, "-o", str(output), *more]
    return command + (["--device", "cpu"] if config["device"] == "cpu" else [])


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def outcome(output: Path) -> dict[str, Any]:
    """What a run directory says of its last execution."""
    found: dict[str, Any] = {"completions": len(lines_of(output / "long_answers" / "completions.jsonl"))}
    if throughput := lines_of(output / "throughput.jsonl"):
        last = json.loads(throughput[-1])
        wanted = ("generated_tokens", "load_seconds", "seconds", "generated_tokens_per_second", "mean_running")
        found |= {k: last.get(k) for k in (*wanted, "gpu_hours")}
    if (output / "run.json").exists():
        record = json.loads((output / "run.json").read_text())
        found["environment"] = record.get("environment", {}).get("engine")
        found["identity"] = record.get("identity", {}).get("engine")
    return found


def part_command(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    output = Path(config["folder"]) / "run-command"
    watch, started = Watch(), time.perf_counter()
    done = subprocess.run(run_command(config, output), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    said = [line for line in done.stderr.splitlines() if line.strip()]
    yield {
        "name": "evalkit run, as it comes",
        "exit_code": done.returncode,
        "wall_seconds": round(seconds, 1),
        **watch.result(),
        **outcome(output),
        "printed": [line for line in said if line.startswith("engine")],
        "stderr_begins": said[:25],
        "stderr_ends": said[-15:],
        "stdout": done.stdout.splitlines()[-8:],
    }


def part_kill(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    output = Path(config["folder"]) / "run-kill"
    before = used_memory()
    completions = output / "long_answers" / "completions.jsonl"
    with (Path(config["folder"]) / "kill.log").open("w") as log:
        run = subprocess.Popen(run_command(config, output), stdout=log, stderr=log, start_new_session=True)
        few = 40 if config["shape"] == "1.5b" else 3
        while run.poll() is None and len(lines_of(completions)) < few:
            time.sleep(0.05)
        during = used_memory()
        finished_early = run.poll() is not None
        run.send_signal(signal.SIGKILL)
        run.wait()
    killed = time.perf_counter()
    kept = lines_of(completions)
    kept = [line for line in kept if line.endswith(b"\n")]
    after = used_memory()
    while before is not None and after is not None and after > before + 300 and time.perf_counter() - killed < 20:
        time.sleep(0.25)
        after = used_memory()
    freed = round(time.perf_counter() - killed, 2)
    log_text = (Path(config["folder"]) / "kill.log").read_text()[-2000:]
    result = {
        "name": "kill -9",
        "ended_before": finished_early,
        "memory_mib": {"before": before, "during": during, "after": after},
        "seconds_until_free": freed,
        "log": log_text.splitlines()[-8:] if finished_early else [],
    }
    yield {**result, "kept": len(kept)}
    started = time.perf_counter()
    done = subprocess.run(run_command(config, output), capture_output=True, text=True, check=False)
    whole = lines_of(completions)
    keys = [(r["problem_id"], r["sample_index"]) for r in map(json.loads, whole)]
    yield {
        "name": "resumed",
        "exit_code": done.returncode,
        "wall_seconds": round(time.perf_counter() - started, 1),
        "kept_as_they_were": whole[: len(kept)] == kept,
        "twice": len(keys) - len(set(keys)),
        **outcome(output),
        "stderr_ends": done.stderr.splitlines()[-5:] if done.returncode else [],
    }


def part_vllm(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if find_spec("vllm") is None:
        yield {"name": "vllm", "skipped": "vllm cannot be imported here"}
        return
    for label, more in (
        ("seeds", []),
        ("no seeds", ["--no-sample-seeds"]),
        ("64 rows", ["--batch-size", "64"]),
    ):
        output = Path(config["folder"]) / f"run-vllm-{label.replace(' ', '-')}"
        command = run_command(config, output, "--engine", "vllm", *more)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stderr.splitlines()[-10:] if done.returncode else []
        yield {"name": f"vllm, {label}", "exit_code": done.returncode, **outcome(output), "stderr_ends": said}


# In one process ------------------------------------------------------------------------------------------------------


def synchronize(config: dict[str, Any]) -> None:
    if config["device"] == "cuda":
        import torch

        torch.cuda.synchronize()


def open_transformers(config: dict[str, Any], **options: Any) -> Any:
    from evalkit.engines import open_engine

    device = {"device": "cpu"} if config["device"] == "cpu" else {}
    return open_engine("transformers", config["checkpoint"], {**device, **options})


def requests_of(config: dict[str, Any], count: int, limit: int) -> list[Any]:
    from evalkit.types import Request, SamplingParams

    rng = random.Random(count)
    params = SamplingParams(temperature=0.6, top_p=0.95, max_tokens=limit)
    texts = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(5, 60))) for _ in range(count)]
    return [Request("b", str(i), 0, ({"role": "user", "content": text},), params) for i, text in enumerate(texts)]


def time_ours(config: dict[str, Any], rows: int, requests: Sequence[Any], **options: Any) -> dict[str, Any]:
    engine = open_transformers(config, batch_size=rows, **options)
    engine._model, engine._end_tokens = config["model"], config["ends"]
    list(engine.generate(iter(requests[:4])))
    synchronize(config)
    started = time.perf_counter()
    tokens = sum(completion.completion_tokens for completion in engine.generate(iter(requests)))
    return {"tokens": tokens, "seconds": time.perf_counter() - started}


def time_generate(
    config: dict[str, Any], rows: int, requests: Sequence[Any], limit: int, **more: Any
) -> dict[str, Any]:
    """`model.generate` in batches of `rows`, padded at the left, sampled with the same settings."""
    import torch

    model, ends = config["model"], config["ends"]
    prompts = [list(config["engine"].render(request).token_ids) for request in requests]
    tokens, is_end = 0, frozenset(ends)
    synchronize(config)
    started = time.perf_counter()
    for first in range(0, len(prompts), rows):
        some = prompts[first : first + rows]
        width = max(map(len, some))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in some], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in some], device=model.device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, temperature=0.6, top_p=0.95, top_k=0,
                max_new_tokens=limit, eos_token_id=list(ends), pad_token_id=0, **more,
            )  # fmt: skip
        for row in out[:, width:].tolist():
            tokens += next((i + 1 for i, token in enumerate(row) if token in is_end), len(row))
    synchronize(config)
    return {"tokens": tokens, "seconds": time.perf_counter() - started}


def load(config: dict[str, Any]) -> float:
    started = time.perf_counter()
    engine = open_transformers(config)
    config["engine"], config["model"] = engine, engine.load()
    config["ends"] = engine._end_tokens
    return round(time.perf_counter() - started, 1)


def speed(result: dict[str, Any]) -> dict[str, Any]:
    per_second = result["tokens"] / result["seconds"]
    return {"tokens": result["tokens"], "seconds": round(result["seconds"], 2), "tokens_per_second": round(per_second)}


def part_rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"name": "load", "seconds": load(config)}
    sizes, limit = ((64, 16, 256), 512) if config["shape"] == "1.5b" else ((2, 4), 24)
    for rows in sizes:
        requests = requests_of(config, 2 * rows, limit)
        ours = speed(time_ours(config, rows, requests))
        yield {"name": f"evalkit, {rows} rows", **ours}
        config["model"].set_attn_implementation("sdpa")
        peer = speed(time_generate(config, rows, requests, limit))
        yield {"name": f"generate, {rows} rows", **peer}
        yield {"name": f"ratio, {rows} rows", "ratio": round(ours["tokens_per_second"] / peer["tokens_per_second"], 2)}
        if rows == sizes[0]:
            plain = speed(time_ours(config, rows, requests, cuda_graphs=False))
            yield {"name": f"evalkit without graphs, {rows} rows", **plain}


def part_steps(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"name": "load", "seconds": load(config)}
    cases = ((16, 450), (64, 450), (256, 450), (64, 3900), (16, 7900)) if config["shape"] == "1.5b" else ((2, 40),)
    for rows, length in cases:
        try:
            yield from _steps(config, rows, length)
        except Exception as error:  # the other cases are of use without it
            yield {"name": f"{rows} rows of {length} tokens", "failed": f"{type(error).__name__}: {error}"[:500]}


def _steps(config: dict[str, Any], rows: int, length: int) -> Iterator[dict[str, Any]]:
    """Milliseconds of a step of `rows` rows that are `length` tokens long, and of the forward pass in it."""
    import torch

    from evalkit.engines.prompts import Prompt
    from evalkit.engines.transformers.attention import use_groups
    from evalkit.engines.transformers.batching import BatchRow, RowBatch
    from evalkit.engines.transformers.graphs import CudaRecorder
    from evalkit.engines.transformers.stopping import Decoder

    model, decoder = config["model"], Decoder(config["engine"].tokenizer)
    model.set_attn_implementation("sdpa")
    use_groups(model)
    rng = random.Random(1)
    request = requests_of(config, 1, 4096)[0]
    found: dict[str, Any] = {"name": f"{rows} rows of {length} tokens"}
    for label in ("launched", "graph") if config["device"] == "cuda" else ("launched",):
        record = CudaRecorder() if label == "graph" else None
        batch = RowBatch(model, decoder, [], rows, record=record)
        ids = [tuple(rng.randrange(500) for _ in range(length)) for _ in range(rows)]
        batch.admit([BatchRow(request, Prompt("", prompt, ""), 4096) for prompt in ids])
        for _ in range(4):
            batch.step()
        found[f"{label}_step_ms"] = _milliseconds(config, batch.step)
        with torch.inference_mode():
            found[f"{label}_forward_ms"] = _milliseconds(config, batch.logits)
        if label == "launched" and config["device"] == "cuda":
            found["kernels"] = _kernels(batch)
        if batch.recorded is not None:
            found |= {"graphs_recorded": batch.recorded.recorded, "graphs_work": batch.recorded.works}
        batch.clear()
        del batch
        if config["device"] == "cuda":
            torch.cuda.empty_cache()
    model.set_attn_implementation("sdpa")
    yield found


def _milliseconds(config: dict[str, Any], work: Any, times: int = 15) -> float:
    """The median of `times`."""
    spent = []
    for _ in range(times):
        synchronize(config)
        started = time.perf_counter()
        work()
        synchronize(config)
        spent.append(time.perf_counter() - started)
    return round(statistics.median(spent) * 1000, 2)


def _kernels(batch: Any) -> int | str:
    """How many kernels one step launches."""
    import torch

    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            batch.step()
        return sum(int(event.count) for event in profile.key_averages())
    except RuntimeError as error:
        return str(error)[:200]


def part_draws(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Logits of normally distributed weights: at a spread of 5 few rows have a small nucleus, at 10 most have."""
    import torch

    from evalkit.engines.transformers.sampling import _draw_from_all, _Draws, draw

    sizes, vocabulary = ((64, 136, 256), 151936) if config["shape"] == "1.5b" else ((4,), 20_000)
    device = config["device"]
    for rows in sizes:
        for spread in (3.0, 6.0):
            logits = (torch.randn(rows, vocabulary, device=device) * spread).to(torch.bfloat16)
            uniform = torch.rand(rows, device=device, dtype=torch.float64)
            temperature, top_p = (torch.full((rows,), value, device=device) for value in (0.6, 0.95))
            draws = _Draws(logits, uniform, temperature, top_p)
            with torch.inference_mode():
                alike = int((draw(*draws) == _draw_from_all(draws)).sum())
                first = _milliseconds(config, partial(draw, *draws))
                every = _milliseconds(config, partial(_draw_from_all, draws))
            found = {"first_ms": first, "all_ms": every, "equal_tokens": alike}
            yield {"name": f"{rows} rows, spread {spread / 0.6:.0f}", **found}


def part_compile(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"name": "load", "seconds": load(config)}
    rows, limit = (64, 512) if config["shape"] == "1.5b" else (2, 8)
    requests = requests_of(config, rows, limit)
    config["model"].set_attn_implementation("sdpa")
    first = time_generate(config, rows, requests, limit, cache_implementation="static")
    yield {"name": f"generate, static cache, {rows} rows, first call", **speed(first)}
    again = time_generate(config, rows, requests, limit, cache_implementation="static")
    yield {"name": f"generate, static cache, {rows} rows, again", **speed(again)}


PARTS = {
    "command": part_command,
    "kill": part_kill,
    "rows": part_rows,
    "steps": part_steps,
    "draws": part_draws,
    "vllm": part_vllm,
    "compile": part_compile,
}


# Running the parts ---------------------------------------------------------------------------------------------------


def work(part: str, config: dict[str, Any]) -> None:
    """One part in this process: a line of JSON for each result."""
    try:
        for result in PARTS[part](config):
            print(json.dumps({"part": part, **result}, default=str), flush=True)
    except Exception as error:  # told as a result: the other parts go on
        trace = traceback.format_exc().splitlines()[-6:]
        print(json.dumps({"part": part, "failed": f"{type(error).__name__}: {error}"[:1000], "trace": trace}))


class Record:
    """Everything measured so far; written anew after every result."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"results": []}
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, result: dict[str, Any]) -> None:
        self.content["results"].append(result)
        self.save()
        print(json.dumps(result, default=str)[:1500], file=sys.stderr, flush=True)

    def save(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.content, indent=1, default=str))
        new.replace(self.path)


def run_part(part: str, config: dict[str, Any], environment: dict[str, str], seconds: float, record: Record) -> None:
    started = time.perf_counter()
    command = [sys.executable, __file__, "--worker", part, "--config", json.dumps(config)]
    log = Path(config["folder"]) / f"{part}.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )
        late = threading.Timer(seconds, _kill_group, [process.pid])
        late.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                record.add(json.loads(line))
        code = process.wait()
        late.cancel()
        _kill_group(process.pid)
    spent = round(time.perf_counter() - started, 1)
    result: dict[str, Any] = {"part": part, "name": "the part", "spent_seconds": spent, "exit_code": code}
    if code:
        result["log"] = log.read_text(errors="replace").splitlines()[-12:]
    record.add(result)


def _kill_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def table(content: dict[str, Any]) -> str:
    machine = content.get("machine", {})
    head = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in ("missing",))
    lines = [head, "", "| part | what | figures |", "|-|-|-|"]
    hidden = {"part", "name", "stderr_begins", "stderr_ends", "stdout", "identity", "environment", "log", "trace"}
    for result in content["results"]:
        figures = ", ".join(f"{k} {v}" for k, v in result.items() if k not in hidden and v not in (None, []))
        lines.append(f"| {result['part']} | {result.get('name', '')} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="gpu.json")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--shape", choices=SHAPES, default="1.5b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--wheels", help="a folder of wheels of packages that are missing here")
    parser.add_argument("--limit", type=float, default=530, help="seconds for everything")
    for hidden in ("--worker", "--config"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, json.loads(arguments.config))
        return
    with tempfile.TemporaryDirectory(prefix="evalkit-gpu-") as folder:
        measure(arguments, Path(folder))


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    started = time.perf_counter()
    record = Record(Path(arguments.output))
    environment = make_importable(folder, arguments.wheels)
    sys.path.insert(0, str(folder / "site"))
    if absent := missing(NEEDED):
        print(f"missing here: {', '.join(absent)}; carry their wheels and pass --wheels DIR.", flush=True)
    else:
        print(f"everything needed is here; of use, and missing: {', '.join(missing(USEFUL)) or 'nothing'}.", flush=True)
    record.content["missing"] = absent
    try:
        record.content["machine"] = describe_machine(arguments.device)
        record.save()
        config = {"folder": str(folder), "shape": arguments.shape, "device": arguments.device}
        config["checkpoint"] = str(folder / "checkpoint")
        record.add({"part": "checkpoint", **make_checkpoint(folder / "checkpoint", arguments.shape, arguments.device)})
        free_device(arguments.device)
        for part in arguments.parts.split(","):
            left = arguments.limit - (time.perf_counter() - started) - 5
            if left < 15:
                record.add({"part": part, "name": "the part", "skipped": "no time is left"})
                continue
            run_part(part, config, environment, min(left, LIMITS[part]), record)
    except Exception as error:  # what was measured is kept and shown
        record.add({"part": "script", "failed": f"{type(error).__name__}: {error}"[:1000]})
    finally:
        record.content["seconds"] = round(time.perf_counter() - started, 1)
        record.save()
        print(table(record.content), flush=True)


def free_device(device: str) -> None:
    if device == "cuda":
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
