"""The engines. Each is imported when it is chosen, so that none is needed by those who use another."""

from collections.abc import Callable
from importlib.util import find_spec

from evalkit.benchmark.registry import did_you_mean
from evalkit.engines.base import Backend, EngineOptions
from evalkit.errors import EvalkitError

__all__ = ["BACKENDS", "Backend", "EngineOptions", "default_backend", "open_backend"]


def _transformers(model: str, options: EngineOptions) -> Backend:
    from evalkit.engines.transformers.engine import TransformersBackend

    return TransformersBackend(model, options)


def _replay(model: str, options: EngineOptions) -> Backend:
    from evalkit.engines.replay import ReplayBackend

    return ReplayBackend(model, options)


def _vllm(model: str, options: EngineOptions) -> Backend:
    from evalkit.engines.vllm.parallel import open_vllm

    return open_vllm(model, options)


def _openai(model: str, options: EngineOptions) -> Backend:
    from evalkit.engines.openai.engine import OpenAIBackend

    return OpenAIBackend(model, options)


BACKENDS: dict[str, Callable[[str, EngineOptions], Backend]] = {
    "transformers": _transformers,
    "vllm": _vllm,
    "openai": _openai,
    "replay": _replay,
}


_TAKEN_BY = {
    "base_urls": ("openai",),
    "served_model": ("openai",),
    "recorded": ("replay",),
    "dtype": ("transformers", "vllm"),
    "stop_repetition": ("transformers", "vllm"),
    "quantization": ("vllm",),
    "lora": ("vllm",),
    "tensor_parallel": ("vllm",),
    "data_parallel": ("vllm",),
}
"""Options that change what is evaluated or on how many GPUs: an engine that ignored one would give a wrong number."""


def default_backend() -> str:
    """vllm where it is installed and there is a CUDA device, else transformers."""
    if "vllm" in BACKENDS and find_spec("vllm") and find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return "vllm"
    return "transformers"


def open_backend(name: str | None, model: str, options: EngineOptions) -> Backend:
    """The engine of that name (None: the default one). Raises EvalkitError if it is unknown or not installed."""
    name = name or default_backend()
    if name not in BACKENDS:
        raise EvalkitError(
            f"There is no backend {name!r}.{did_you_mean(name, list(BACKENDS))}", f"available: {', '.join(BACKENDS)}."
        )
    for option, engines in _TAKEN_BY.items():
        if name not in engines and getattr(options, option) != getattr(EngineOptions(), option):
            flag = {"base_urls": "base-url"}.get(option, option.replace("_", "-"))
            raise EvalkitError(f"The {name} backend has no --{flag}.", f"it is for --backend {' or '.join(engines)}.")
    return BACKENDS[name](model, options)
