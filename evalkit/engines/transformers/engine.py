"""The `transformers` engine: batched generation in this process, on the device it finds."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evalkit.engines.base import Engine, LoadedModel
from evalkit.engines.checkpoint import Checkpoint, LoadedCheckpoint
from evalkit.engines.gpus import GPU, describe, visible_gpus
from evalkit.engines.options import TransformersOptions
from evalkit.engines.prompts import Prompt, render_prompt
from evalkit.errors import EvalkitError
from evalkit.types import Completion, Request

if TYPE_CHECKING:
    import torch

    from evalkit.engines.transformers.batching import BatchRow, FinishedRow

_MOST_ROWS = {"cuda": 256, "mps": 32, "cpu": 64}
_MEMORY_SHARE = 0.6  # of what is free once the weights are there; the rest is for activations and growth


class TransformersEngine(Engine):
    """A checkpoint run by transformers.

    The batch is refilled as its rows finish. Architectures whose cache has no rows to exchange (sliding windows,
    state-space layers, their hybrids) run in static batches sorted by prompt length instead.
    """

    name = "transformers"
    options_class = TransformersOptions
    packages = ("torch", "transformers")
    caps_at_context = True
    install = 'pip install "evalkit[transformers]"'
    takes_loaded_models = True

    def __init__(self, model: str | LoadedModel, options: TransformersOptions) -> None:
        self.options = options
        self._loaded = isinstance(model, tuple)
        self.checkpoint = (
            LoadedCheckpoint(*model)
            if isinstance(model, tuple)
            else Checkpoint(model, options.revision, options.trust_remote_code)
        )
        self._model: Any = None
        self._end_tokens: Sequence[int] = ()
        self._reserved = 0

    def identity(self) -> dict[str, Any]:
        found = {
            "backend": self.name,
            "model": self.checkpoint.model,
            "fingerprint": self.checkpoint.fingerprint(),
            "dtype": str(self._dtype).removeprefix("torch."),
            "max_model_len": self.context_length(),
            "stop_repetition": self.options.stop_repetition,
        }
        if isinstance(self.checkpoint, LoadedCheckpoint):
            found["tokenizer"] = self.checkpoint.tokenizer_fingerprint()
        if code := self.checkpoint.code_fingerprint():
            found["code"] = code
        return found

    def files(self) -> list[Path] | None:
        return self.checkpoint.files()

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
            "threads": torch.get_num_threads(),
        }

    @property
    def gpus(self) -> int:
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
        return render_prompt(self.checkpoint.tokenizer, request.messages, request.response_prefix)

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        from evalkit.engines.transformers.attention import use_groups
        from evalkit.engines.transformers.batch_loop import serve_refilling, serve_static
        from evalkit.engines.transformers.batching import RowBatch, takes_rows
        from evalkit.engines.transformers.graphs import CudaRecorder
        from evalkit.engines.transformers.static_batches import run_static
        from evalkit.engines.transformers.stopping import Decoder

        model = self.load()
        queue = _Queue(self, requests)
        decoder = Decoder(self.checkpoint.tokenizer)
        rows = self._most_rows(queue)
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

            from evalkit.engines.transformers.model_loading import end_tokens, load_model

            if isinstance(self.checkpoint, LoadedCheckpoint):
                self._model = self.checkpoint.loaded
                self._before = (
                    self._model.generation_config,
                    self._model.config._attn_implementation,
                    self._model.training,
                )
                self._model.eval()
            else:
                self._model = load_model(self.checkpoint, self._dtype, self._device)
            self._end_tokens = end_tokens(self._model, self.checkpoint.tokenizer)
            # The checkpoint's own sampling settings, such as a repetition penalty, are not what the run says.
            self._model.generation_config = GenerationConfig()
        return self._model

    def _most_rows(self, queue: "_Queue") -> int:
        """The batch size asked for, else what fits the memory if completions get as long as they may."""
        if self.options.batch_size is not None:
            return self.options.batch_size
        from evalkit.engines.transformers.model_loading import bytes_per_token, free_memory

        most = _MOST_ROWS.get(self._device.type, 32)
        first = queue.peek()
        free = free_memory(self._device)
        if first is None or free is None:
            return most
        tokens = max(len(first.prompt.token_ids) + first.limit, self._longest())
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
    """Requests as rows, drawn only when there is room for them; those that cannot run are completions at once."""

    def __init__(self, engine: TransformersEngine, requests: Iterator[Request]) -> None:
        self._engine = engine
        self._requests = requests
        self._returned: deque[BatchRow] = deque()
        self._refusals: deque[Completion] = deque()

    def take(self, count: int) -> "list[BatchRow]":
        """Up to `count` rows; fewer only where no more are left."""
        from evalkit.engines.transformers.batching import BatchRow

        rows: list[BatchRow] = []
        while len(rows) < count:
            if self._returned:
                rows.append(self._returned.popleft())
                continue
            request = next(self._requests, None)
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
        return rows

    def put_back(self, rows: "list[BatchRow]") -> None:
        """To the front, to start anew."""
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
