"""The `transformers` engine: batched generation in this process, on the device it finds."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evalkit.engines.adapter import Adapter, split_adapter
from evalkit.engines.base import Engine, LoadedModel
from evalkit.engines.checkpoint import Checkpoint, LoadedCheckpoint
from evalkit.engines.endings import Endings
from evalkit.engines.gpus import GPU, describe, visible_gpus
from evalkit.engines.options import TransformersOptions
from evalkit.engines.prompts import Prompt
from evalkit.engines.rendering import CheckpointPrompts
from evalkit.engines.replica import Inbox, Outlet
from evalkit.engines.replicas import generate_in_replicas, replica_environments, replica_setup
from evalkit.errors import EvalkitError
from evalkit.types import Completion, Request

if TYPE_CHECKING:
    import torch

    from evalkit.engines.transformers.batching import BatchRow, FinishedRow

_MOST_ROWS = {"cuda": 256, "mps": 32, "cpu": 64}
_WAITING_SHARE = 8  # a replica has one request waiting for each 8 rows, so that a free row is filled at once
_WINDOWS = 4  # static batches that a replica is given at once, to be sorted by length
_MEMORY_SHARE = 0.6  # of what is free once the weights are there; the rest is for activations and growth


class TransformersEngine(Engine):
    """A checkpoint run by transformers.

    There is one model in this process, or a replica for each group of GPUs that holds it. The batch is refilled as its
    rows finish. Architectures whose cache has no rows to exchange (sliding windows,
    state-space layers, their hybrids) run in static batches sorted by prompt length instead.
    """

    name = "transformers"
    options_class = TransformersOptions
    packages = ("torch", "transformers")
    caps_at_context = True
    install = 'pip install "evalkit[transformers]"'
    takes_loaded_models = True

    def __init__(self, model: str | LoadedModel, options: TransformersOptions) -> None:
        if not isinstance(model, tuple):
            model, options = split_adapter(model, options)
        self.options = options
        self._loaded = isinstance(model, tuple)
        if isinstance(model, tuple) and options.tokenizer is not None:
            raise EvalkitError("A loaded model comes with its tokenizer.", "give the other one in the pair.")
        self.adapter = Adapter(options.lora) if options.lora else None
        trained_with = self.adapter.tokenizer if self.adapter else None
        self.checkpoint = (
            LoadedCheckpoint(*model)
            if isinstance(model, tuple)
            else Checkpoint(model, options.revision, options.trust_remote_code, options.tokenizer or trained_with)
        )
        if self.adapter is not None:
            if self._loaded:
                raise EvalkitError("A model that is loaded takes no --lora.", "put the adapter on it before.")
            self.adapter.tell_other_base(self.checkpoint.model)
        self.prompts = CheckpointPrompts(self.checkpoint, options, self.adapter.template if self.adapter else None)
        self._model: Any = None
        self._end_tokens: Sequence[int] = ()
        self._reserved = 0
        self._facts: dict[str, Any] = {}

    def identity(self) -> dict[str, Any]:
        if not self._loaded:
            from evalkit.engines.transformers.model_loading import require_loadable

            require_loadable(self.checkpoint)
        found: dict[str, Any] = {
            "backend": self.name,
            "model": self.checkpoint.model,
            "fingerprint": self.checkpoint.fingerprint(),
            "dtype": str(self._dtype).removeprefix("torch."),
            "max_model_len": self.context_length(),
            "stop_repetition": self.options.stop_repetition,
            **self.prompts.identity(),
        }
        if isinstance(self.checkpoint, LoadedCheckpoint):
            found["tokenizer"] = self.checkpoint.tokenizer_fingerprint()
        if code := self.checkpoint.code_fingerprint():
            found["code"] = code
        return {**found, "lora": self.adapter.fingerprint()} if self.adapter else found

    def files(self) -> list[Path] | None:
        other = self.adapter or self.options.tokenizer or self.options.chat_template
        return None if other else self.checkpoint.files()

    def environment(self) -> dict[str, Any]:
        import torch
        import transformers

        name = self._device.type
        if name == "cuda":
            gpus = visible_gpus()
            name = str(gpus[0]) if gpus else torch.cuda.get_device_name(self._device)
        return {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": name,
            "dtype": str(self._dtype).removeprefix("torch."),
            "gpus": self.gpus,
            "replicas": self.replicas,
            "threads": torch.get_num_threads(),
            **self._facts,
        }

    @property
    def gpus(self) -> int:
        if self.options.ray is not None:
            return int(self._facts.get("gpus", 0))
        if self.replicas > 1:
            return self.replicas * self._gpus_per_replica if self._device.type == "cuda" else 0
        places = getattr(self._model, "hf_device_map", None) or {}
        return max(int(self._device.type == "cuda"), len({str(place) for place in places.values()} - {"cpu", "disk"}))

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

    @cached_property
    def replicas(self) -> int:
        """How many processes there are, each with the whole model: those asked for, else as many as the GPUs allow."""
        wanted = self.options.data_parallel
        if wanted == 1 or self._loaded or self._device.index is not None:
            return 1
        if self._device.type != "cuda":
            return wanted or 1
        gpus, group = len(visible_gpus()), self._gpus_per_replica
        if wanted is not None and wanted * group > gpus:
            raise EvalkitError(
                f"{wanted} replicas of {group} GPUs need more than the {gpus} GPUs there are.", "lower --data-parallel."
            )
        return wanted or max(1, gpus // group)

    @cached_property
    def _gpus_per_replica(self) -> int:
        """The fewest GPUs that hold the weights. Raises EvalkitError where all of them do not."""
        from evalkit.engines.transformers.model_loading import gpus_needed

        return gpus_needed(self.checkpoint, self._dtype, visible_gpus())

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        if self.options.ray is not None or self.replicas > 1:
            return self._in_replicas(requests)
        return self._serve(_Queue(self, lambda _: next(requests, None)))

    def _in_replicas(self, requests: Iterator[Request]) -> Iterator[Completion]:
        from evalkit.engines.weights import fetch_weights

        fetch_weights(self.checkpoint)  # once, and not by each of them
        setup = replica_setup(self.name, self.checkpoint, self.adapter, self.options, self._reserved or None)
        if self.options.ray is not None:
            return self._on_ray(requests, setup, self.options.ray)
        names = [gpu.name for gpu in visible_gpus()] if self._device.type == "cuda" else []
        environments = replica_environments(self.replicas, self._gpus_per_replica if names else 1, names)
        return generate_in_replicas(requests, setup, environments, self._facts)

    def _on_ray(self, requests: Iterator[Request], setup: dict[str, Any], address: str) -> Iterator[Completion]:
        from evalkit.engines.ray_replicas import RayPlaces, cluster_gpus, generate_on_ray

        gpus = 0 if self.options.device == "cpu" else min(1, cluster_gpus(address))
        places = RayPlaces(address, gpus, most=self.options.data_parallel)
        return generate_on_ray(requests, setup, places, self._facts)

    def serve_replica(self, inbox: Inbox, outlet: Outlet) -> None:
        """What a replica process does: one model, given what the run sends it."""
        from evalkit.engines.transformers.batching import takes_rows

        model = self.load()
        rows = self._most_rows(0)
        facts = {name: self.environment()[name] for name in ("device", "dtype", "threads")}
        outlet.ready(rows + max(2, rows // _WAITING_SHARE) if takes_rows(model) else _WINDOWS * rows, facts)
        for completion in self._serve(_Queue(self, inbox.draw)):
            outlet.answer(completion)

    def _serve(self, queue: "_Queue") -> Iterator[Completion]:
        from evalkit.engines.transformers.attention import use_groups
        from evalkit.engines.transformers.batch_loop import serve_refilling, serve_static
        from evalkit.engines.transformers.batching import RowBatch, takes_rows
        from evalkit.engines.transformers.graphs import CudaRecorder
        from evalkit.engines.transformers.static_batches import run_static
        from evalkit.engines.transformers.stopping import Decoder

        model = self.load()
        decoder = Decoder(self.checkpoint.tokenizer)
        first = queue.peek()
        rows = self._most_rows(len(first.prompt.token_ids) + first.limit if first else 0)
        if takes_rows(model):
            use_groups(model)
            one_gpu = self._device.type == "cuda" and self.gpus == 1
            record = CudaRecorder() if self.options.cuda_graphs and one_gpu else None
            batch = RowBatch(model, decoder, self._end_tokens, rows, self.options.stop_repetition, record)
            finished = serve_refilling(queue, batch, rows)
        else:
            run = partial(run_static, model, decoder, self._end_tokens, self.options.stop_repetition)
            finished = serve_static(queue, run, rows)
        for row in finished:
            queue.running -= 1
            yield from queue.refusals()
            yield _completion(row, decoder)
        yield from queue.refusals()

    def close(self) -> None:
        if self._model is None:
            return
        import torch

        if self._loaded:
            self._model.generation_config, attention, training = self._before
            self._model.set_attn_implementation(attention)
            self._model.train(training)
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @cached_property
    def _device(self) -> "torch.device":
        import torch

        if isinstance(self.checkpoint, LoadedCheckpoint):
            return torch.device(self.checkpoint.loaded.device)
        if self.options.device is not None:
            try:
                device = torch.device(self.options.device)
                torch.empty(0, device=device)
            except (RuntimeError, AssertionError) as error:
                raise EvalkitError(
                    f"The device {self.options.device} is not one that torch can use here.",
                    "use cuda, cuda:1, mps or cpu, or leave it out.",
                ) from error
            return device
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        require_no_idle_gpu(visible_gpus())
        return torch.device("cpu")

    @cached_property
    def _dtype(self) -> "torch.dtype":
        """The weights' type. "auto" is the checkpoint's own, but on a CPU, slow at half types, float32."""
        import torch

        if isinstance(self.checkpoint, LoadedCheckpoint):
            return cast("torch.dtype", self.checkpoint.loaded.dtype)
        wanted = self.options.dtype
        if wanted != "auto":
            dtype = getattr(torch, wanted, None)
            if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
                raise EvalkitError(f"The dtype {wanted} is not one to compute in.", "use float32, bfloat16 or float16.")
            return dtype
        own = self.checkpoint.config.get_text_config().dtype or self.checkpoint.config.dtype or torch.float32
        if isinstance(own, str):
            own = getattr(torch, own)
        return torch.float32 if self._device.type == "cpu" and own.itemsize < 4 else own

    def load(self) -> Any:
        """The model, loaded once; EvalkitError where that fails."""
        if self._model is None:
            from transformers import GenerationConfig

            from evalkit.engines.transformers.model_loading import load_model

            if isinstance(self.checkpoint, LoadedCheckpoint):
                self._model = self.checkpoint.loaded
                self._before = (
                    self._model.generation_config,
                    self._model.config._attn_implementation,
                    self._model.training,
                )
                self._model.eval()
            else:
                self._model = load_model(self.checkpoint, self._dtype, self._device, self.adapter)
            self._end_tokens = sorted(self.endings.tokens)
            # The checkpoint's own sampling settings, such as a repetition penalty, are not what the run says.
            self._model.generation_config = GenerationConfig()
        return self._model

    @cached_property
    def vocabulary(self) -> int:
        """How many tokens the model has an embedding for."""
        return int(self.load().get_input_embeddings().weight.shape[0])

    def _most_rows(self, first: int) -> int:
        """The batch size asked for, else what fits the memory if completions get as long as they may.

        `first` is what the first request may take, in tokens.
        """
        if self.options.batch_size is not None:
            return self.options.batch_size
        from evalkit.engines.transformers.model_loading import bytes_per_token, free_memory

        most = _MOST_ROWS.get(self._device.type, 32)
        free = free_memory(self._device)
        tokens = max(first, self._longest())
        if not tokens or free is None:
            return most
        return max(1, min(most, int(_MEMORY_SHARE * free / (tokens * bytes_per_token(self._model)))))

    def _longest(self) -> int:
        """Tokens that were reserved, as far as the context goes; 0 where none were."""
        return min(self._reserved, self.context_length() or self._reserved)


def require_no_idle_gpu(gpus: Sequence[GPU]) -> None:
    """Raises EvalkitError where there is a GPU: torch does not use it, and the processor would take over unsaid."""
    if not gpus:
        return
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        reason = "this torch is a build without CUDA"
    else:
        try:
            torch.zeros(1, device="cuda")
            reason = f"it finds no device (CUDA {torch.version.cuda})"
        except Exception as error:  # the driver's words, in torch's several exceptions
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    raise EvalkitError(
        f"There is a GPU ({describe(gpus)}), but torch {torch.__version__} cannot use it: {reason}.",
        "install a torch for this driver or a newer driver; --device cpu runs on the processor.",
    )


class _Queue:
    """Requests as rows, drawn only when there is room for them; those that cannot run are completions at once.

    `draw` gives the next request, or None where there is none now; it waits for one where it is told to, and None then
    means that no more come. `running` counts the rows that were taken and have not ended.
    """

    def __init__(self, engine: TransformersEngine, draw: Callable[[bool], Request | None]) -> None:
        self._engine = engine
        self._draw = draw
        self.running = 0
        self._returned: deque[BatchRow] = deque()
        self._refusals: deque[Completion] = deque()

    def take(self, count: int) -> "list[BatchRow]":
        """Up to `count` rows; fewer only where no more are there, none only where no more come or rows are running."""
        from evalkit.engines.transformers.batching import BatchRow

        rows: list[BatchRow] = []
        while len(rows) < count:
            if self._returned:
                rows.append(self._returned.popleft())
                continue
            idle = not rows and not self.running
            request = self._draw(idle)
            if request is None:
                break
            prompt = None
            try:
                prompt = self._engine.render(request)
                limit = self._room(prompt, request)
            except EvalkitError as error:
                self._refusals.append(_refusal(request, prompt, error.message))
            else:
                rows.append(BatchRow(request, prompt, limit))
        self.running += len(rows)
        return rows

    def put_back(self, rows: "list[BatchRow]") -> None:
        """To the front, to start anew."""
        self.running -= len(rows)
        for row in reversed(rows):
            row.tokens = []
            self._returned.appendleft(row)

    def peek(self) -> "BatchRow | None":
        rows = self.take(1)
        self.put_back(rows)
        return rows[0] if rows else None

    def refusals(self) -> Iterator[Completion]:
        while self._refusals:
            yield self._refusals.popleft()

    def _room(self, prompt: Prompt, request: Request) -> int:
        """The tokens that a completion may have."""
        length = self._engine.context_length()
        max_tokens = request.params.max_tokens
        if not prompt.token_ids:
            raise EvalkitError("The prompt has no token.", "a model needs at least one to begin with.")
        if max(prompt.token_ids) >= self._engine.vocabulary:
            raise EvalkitError(
                f"The prompt has the token {max(prompt.token_ids)}, and the model knows {self._engine.vocabulary}.",
                "the tokenizer is not the one that the model was made with.",
            )
        if length is None:
            return max_tokens
        if len(prompt.token_ids) >= length:
            raise EvalkitError(
                f"The prompt has {len(prompt.token_ids)} tokens, which leaves no room in a context of {length}.",
                "raise --max-model-len where the model allows it.",
            )
        return min(max_tokens, length - len(prompt.token_ids))


def _refusal(request: Request, prompt: Prompt | None, error: str) -> Completion:
    """The completion of a request that never reached the model."""
    return Completion(
        *request.key,
        text="",
        finish_reason="error",
        prompt_tokens=len(prompt.token_ids) if prompt else 0,
        completion_tokens=0,
        seconds=0.0,
        prefix=prompt.prefix if prompt else "",
        error=error,
    )


def _completion(finished: "FinishedRow", decoder: Any) -> Completion:
    row = finished.row
    text = decoder.text(row.tokens[:-1] if finished.ends_with_eos else row.tokens)
    return Completion(
        *row.request.key,
        text=text if finished.stop_at is None else text[: finished.stop_at],
        finish_reason=finished.reason,
        prompt_tokens=len(row.prompt.token_ids),
        completion_tokens=len(row.tokens),
        seconds=time.monotonic() - row.started,
        prefix=row.prompt.prefix,
        error=finished.error,
    )
