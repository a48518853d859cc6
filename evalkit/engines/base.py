"""The engine's side of the contract: requests in, completions out as they finish."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evalkit.engines.prompts import Prompt
from evalkit.types import Completion, Request


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the command line can say to an engine; each engine reads what concerns it.

    `batch_size` and `max_model_len` (tokens) are computed where None. `dtype` is a torch dtype's name, or "auto"
    for the checkpoint's own. Of servers: `api` is "chat" or "completions", `concurrency` fixes the requests in flight
    to each, `request_timeout` and `patience` are seconds (see backends/http.py).
    """

    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    batch_size: int | None = None
    max_model_len: int | None = None
    trust_remote_code: bool = False
    tensor_parallel: int = 1
    data_parallel: int | None = None
    gpu_memory_utilization: float = 0.9
    quantization: str | None = None
    lora: str | None = None
    base_urls: Sequence[str] = ()
    served_model: str | None = None
    api: str = "chat"
    concurrency: int | None = None
    request_timeout: float | None = None
    patience: float = 120.0
    stop_repetition: bool = False
    recorded: Sequence[str] = ()


class Backend(Protocol):
    """An engine.

    It is cheap to make: weights are loaded by the first `generate`, so that --dry-run needs none.
    """

    name: str

    def identity(self) -> dict[str, Any]:
        """What of the engine and the model can change a completion: compared when a run is resumed."""
        ...

    def environment(self) -> dict[str, Any]:
        """Versions and hardware: recorded in run.json, not compared."""
        ...

    def context_length(self) -> int | None:
        """The tokens that prompt and completion may have together; None where it is not known."""
        ...

    def render(self, request: Request) -> Prompt | None:
        """The prompt to the token; None where the engine (a server) renders it out of sight."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that `render` uses; None where `render` returns None."""
        ...

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        """Completions in the order in which they finish.

        Requests are drawn from the iterator when there is room for them and not before: it is the queue, and may
        reorder what is left meanwhile. A fault of one request is a completion with finish_reason "error"; a fault
        that ends the engine raises RunIncompleteError.
        """
        ...

    def close(self) -> None:
        """Free the engine's memory and end its processes."""
        ...
