"""A stand-in for vLLM where there is none: the part of its interface that evalkit drives, with an engine core that is a
process of its own, and random tokens in place of a model.

A core does what EVALKIT_STAND_IN_VLLM says, as JSON: a list of `Life`, one for each core in the order of their starts
(the last one goes for all that follow). EVALKIT_STAND_IN_CORES names the file in which cores count themselves.
"""

import argparse
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from importlib.metadata import entry_points
from pathlib import Path
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

LIVES, CORES = "EVALKIT_STAND_IN_VLLM", "EVALKIT_STAND_IN_CORES"
_BLOCKS, _BLOCK_SIZE = 4096, 16
_PRINTABLE = 200  # the first tokens of the demo's vocabulary, none of which ends a response


@dataclass(frozen=True)
class Life:
    """What one core does, beside answering.

    start: seconds that it loads. fault: what it writes to stderr instead of starting.
    die: the number of answers after which it is killed. loops: it repeats itself in half of the answers.
    odd: the finish reason of all answers.
    pause: seconds for each token.
    """

    start: float = 0.0
    fault: str = ""
    die: int | None = None
    loops: bool = False
    odd: str = ""
    pause: float = 0.0


class EngineDeadError(Exception):
    """The core is gone."""


class VLLMValidationError(ValueError):
    """A request that is refused."""


class UsageContext(Enum):
    LLM_CLASS = "LLM_CLASS"


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 16
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE


@dataclass
class TokensPrompt:
    prompt_token_ids: list[int]


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class FlexibleArgumentParser(argparse.ArgumentParser):
    pass


@dataclass
class EngineArgs:
    model: str
    revision: str | None = None
    tokenizer: str | None = None
    tokenizer_revision: str | None = None
    trust_remote_code: bool = False
    dtype: str = "auto"
    seed: int = 0
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    cpu_offload_gb: float = 0
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    load_format: str = "auto"
    enable_expert_parallel: bool = False
    enable_lora: bool = False
    max_lora_rank: int = 16
    max_num_seqs: int | None = None
    enable_prefix_caching: bool | None = None
    disable_log_stats: bool = False
    enforce_eager: bool = False
    stream_interval: int = 1
    speculative_config: dict[str, Any] | None = None

    @staticmethod
    def add_cli_args(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        parser.add_argument("--kv-cache-dtype", choices=["auto", "fp8"], default="auto")
        parser.add_argument("--pipeline-parallel-size", type=int, default=1)
        parser.add_argument("--cpu-offload-gb", type=float, default=0)
        parser.add_argument("--load-format", default="auto")
        parser.add_argument("--enable-expert-parallel", action=argparse.BooleanOptionalAction, default=False)
        parser.add_argument("--speculative-config", type=json.loads, default=None)
        return parser


class CoreClient:
    """Speaks with the core's process. As in vLLM nobody is told when it is killed."""

    def __init__(self, max_num_seqs: int) -> None:
        self.outputs_queue: SimpleQueue[Any] = SimpleQueue()
        command = [sys.executable, __file__, str(max_num_seqs)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        if not self._stdout.readline():
            self.shutdown()
            raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stdout:
            if line.endswith(b"\n"):
                self.outputs_queue.put(json.loads(line))

    def send(self, content: dict[str, Any]) -> None:
        try:
            self._stdin.write(json.dumps(content).encode() + b"\n")
            self._stdin.flush()
        except OSError as error:
            raise EngineDeadError("EngineCore encountered an issue. See stack trace (above).") from error

    def ensure_alive(self) -> None:
        if self.process.poll() is not None:
            raise EngineDeadError("EngineCore encountered an issue. See stack trace (above).")

    def shutdown(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self._stdin, self._stdout):
            try:
                pipe.close()
            except OSError:  # what was on its way to one that is gone
                continue


@dataclass
class _Made:
    params: SamplingParams
    tokens: list[int] = field(default_factory=list)
    told: int = 0


class LLMEngine:
    """One engine: requests go to the core, and its tokens are put together here."""

    def __init__(self, args: EngineArgs) -> None:
        self.args = args
        rows = args.max_num_seqs or 256
        self.engine_core = CoreClient(rows)
        self.vllm_config = SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_seqs=rows, max_num_batched_tokens=8192),
            cache_config=SimpleNamespace(num_gpu_blocks=_BLOCKS, block_size=_BLOCK_SIZE),
            model_config=SimpleNamespace(dtype="torch.bfloat16" if args.dtype == "auto" else f"torch.{args.dtype}"),
        )
        self._made: dict[str, _Made] = {}
        self._tokenizer: Any = None

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs, usage_context: UsageContext) -> "LLMEngine":
        if engine_args.quantization == "none-such":
            raise ValueError(
                "1 validation error for VllmConfig\n  Value error, no such quantization [type=value_error]"
            )
        assert usage_context is UsageContext.LLM_CLASS
        return cls(engine_args)

    def add_request(
        self, request_id: str, prompt: TokensPrompt, params: SamplingParams, lora_request: LoRARequest | None = None
    ) -> None:
        assert (lora_request is not None) == self.args.enable_lora
        limit, length = self.args.max_model_len or 1 << 20, len(prompt.prompt_token_ids)
        if length >= limit:
            raise VLLMValidationError(f"The prompt has {length} tokens, and the model takes {limit}.\nLower it.")
        self._made[request_id] = _Made(params)
        sampling = {**asdict(params), "output_kind": params.output_kind.name}
        sampling["max_tokens"] = min(params.max_tokens, limit - length)
        self.engine_core.send({"id": request_id, "prompt": prompt.prompt_token_ids, "params": sampling})

    def abort_request(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            self._made.pop(request_id)
        self.engine_core.send({"abort": list(request_ids)})

    def step(self) -> list[Any]:
        told = self.engine_core.outputs_queue.get()
        if isinstance(told, Exception):
            raise told
        outputs = [self._output(each) for each in told if each["id"] in self._made]
        return [output for output in outputs if output is not None]

    def _output(self, each: dict[str, Any]) -> Any:
        made, name = self._made[each["id"]], each["id"]
        made.tokens += each["tokens"]
        text, reason, stopped_by = "", each["finish_reason"], each["stop_reason"]
        if made.params.stop and (found := self._stop(made)) is not None:
            text, stopped_by = found
            if reason is None:
                self.engine_core.send({"abort": [name]})
            reason = "stop"
        delta = made.params.output_kind is RequestOutputKind.DELTA
        new = made.tokens[made.told :] if delta else made.tokens
        if reason is None and not (delta and len(new) >= self.args.stream_interval):
            return None
        made.told = len(made.tokens)
        if reason is not None:
            del self._made[name]
        piece = SimpleNamespace(text=text, token_ids=new, finish_reason=reason, stop_reason=stopped_by)
        return SimpleNamespace(request_id=name, outputs=[piece])

    def _stop(self, made: _Made) -> tuple[str, str] | None:
        """The text before the first stop string, and that."""
        assert made.params.detokenize
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(self.args.tokenizer or self.args.model)
        text = self._tokenizer.decode(made.tokens)
        found = [(text.index(stop), stop) for stop in made.params.stop or () if stop in text]
        return (text[: min(found)[0]], min(found)[1]) if found else None


class Core:
    """The scheduler: a token for each running request at each step, as many as fit."""

    def __init__(self, life: Life, max_num_seqs: int) -> None:
        self._life, self._rows = life, max_num_seqs
        self._waiting: deque[dict[str, Any]] = deque()
        self._running: dict[str, list[tuple[int, str | None, int | None]]] = {}
        self._answered = 0

    def take(self, content: dict[str, Any]) -> None:
        for name in content.get("abort", ()):
            self._running.pop(name, None)
        if "id" in content:
            self._waiting.append(content)

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._running

    def step(self) -> list[dict[str, Any]]:
        while self._waiting and len(self._running) < self._rows:
            request = self._waiting.popleft()
            self._running[request["id"]] = planned(request, self._life)[::-1]
        time.sleep(self._life.pause)
        told = []
        for name, plan in list(self._running.items()):
            if self._life.die is not None and self._answered >= self._life.die:
                os.kill(os.getpid(), signal.SIGKILL)
            token, reason, stop = plan.pop()
            told.append({"id": name, "tokens": [token], "finish_reason": reason, "stop_reason": stop})
            if reason is not None:
                del self._running[name]
                self._answered += 1
        return told


def planned(request: dict[str, Any], life: Life) -> list[tuple[int, str | None, int | None]]:
    """All tokens of a response, with the reason why the last one is the last: what prompt and seed decide."""
    params = request["params"]
    draw = random.Random(json.dumps([request["prompt"], params["seed"] if params["temperature"] else None]))
    most = params["max_tokens"]
    if life.loops and draw.random() < 0.5:
        tokens = [draw.randrange(_PRINTABLE) for _ in range(draw.randrange(40))] + [65, 66, 67] * most
    else:
        tokens = [draw.randrange(_PRINTABLE) for _ in range(draw.randrange(2, 40))]
        if len(tokens) < most:
            tokens.append(params["stop_token_ids"][0])
    tokens = tokens[:most]
    ended = tokens[-1] in params["stop_token_ids"]
    last = (tokens[-1], life.odd or ("stop" if ended else "length"), tokens[-1] if ended else None)
    return [*((token, None, None) for token in tokens[:-1]), last]


def _own_life() -> Life:
    """What this core is to do: it counts itself among those that have started."""
    lives = [Life(**each) for each in json.loads(os.environ.get(LIVES, "[{}]"))]
    number = 0
    if CORES in os.environ:
        with Path(os.environ[CORES]).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            number = len(file.readlines())
            file.write(f"{os.getpid()}\n")
    return lives[min(number, len(lives) - 1)]


def _read(inbox: "SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin:
        inbox.put(json.loads(line))
    inbox.put(None)


def main() -> None:
    life = _own_life()
    for entry in entry_points(group="vllm.general_plugins"):  # as in each of vLLM's processes
        entry.load()()
    time.sleep(life.start)
    if life.fault:
        sys.exit(life.fault)
    print("ready", flush=True)
    inbox: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    threading.Thread(target=_read, args=(inbox,), daemon=True).start()
    core = Core(life, int(sys.argv[1]))
    while True:
        try:
            while True:
                content = inbox.get(block=core.idle)
                if content is None:
                    return
                core.take(content)
        except Empty:
            print(json.dumps(core.step()), flush=True)


_MODULES = {
    "vllm": ("SamplingParams",),
    "vllm.sampling_params": ("RequestOutputKind", "SamplingParams"),
    "vllm.inputs": ("TokensPrompt",),
    "vllm.engine": (),
    "vllm.engine.arg_utils": ("EngineArgs",),
    "vllm.utils": (),
    "vllm.utils.argparse_utils": ("FlexibleArgumentParser",),
    "vllm.usage": (),
    "vllm.usage.usage_lib": ("UsageContext",),
    "vllm.lora": (),
    "vllm.lora.request": ("LoRARequest",),
    "vllm.v1": (),
    "vllm.v1.engine": (),
    "vllm.v1.engine.llm_engine": ("LLMEngine",),
}


def install(folder: Path) -> dict[str, str]:
    """Write a package `vllm` into a folder, and return the environment that finds it."""
    packages = {name.rpartition(".")[0] for name in _MODULES} | {"vllm"}
    for name, content in _MODULES.items():
        path = folder.joinpath(*name.split("."))
        path = path / "__init__.py" if name in packages or not content else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"from stand_in_vllm import {each}\n" for each in content))
    path_entries = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path_entries))}


if __name__ == "__main__":
    main()
