"""A causal language model from its checkpoint, and what it needs."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.quantizers import AutoHfQuantizer
from transformers.utils import logging as transformers_logging

from evalkit.engines.adapter import Adapter
from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.gpus import GPU, describe
from evalkit.engines.weights import fetch_weights, require_all_layers, weight_bytes
from evalkit.errors import EvalkitError

WEIGHTS_SHARE = 0.85  # of one GPU's free memory: what is left holds a few rows' keys and values


def load_model(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device, adapter: Adapter | None = None) -> Any:
    """The model, on the device and in evaluation mode. Raises EvalkitError where it cannot be had whole.

    Pickled weights are read as tensors and nothing else (`weights_only`, transformers' own way).
    """
    transformers_logging.disable_progress_bar()  # the run shows its own
    require_all_layers(checkpoint, fetch_weights(checkpoint))
    arguments = {**checkpoint.loading, "dtype": dtype, "output_loading_info": True}
    spread = larger_than_a_gpu(checkpoint, dtype, device)
    if spread:
        arguments["device_map"] = "auto"
    try:
        model, info = model_class(checkpoint.config).from_pretrained(checkpoint.model, **arguments)
        _require_all_weights(checkpoint, info)
        if adapter is not None:
            _put_on(model, adapter)
        return (model if spread or _is_quantised(checkpoint) else model.to(device)).eval()
    except torch.OutOfMemoryError as error:
        raise EvalkitError(
            f"The weights of {checkpoint.model} do not fit the memory of {device}.",
            "use a half type (--dtype bfloat16) or --engine vllm on several GPUs.",
        ) from error
    except EvalkitError:
        raise
    except Exception as error:  # a strange config, damaged files and a model's own code raise what they like
        raise checkpoint.explain(error) from error


def model_class(config: Any) -> Any:
    """The auto class that makes a model of this config write text: that of image models where there is no other."""
    own_code = bool(getattr(config, "auto_map", None))
    if own_code or type(config) in AutoModelForCausalLM._model_mapping:
        return AutoModelForCausalLM
    if type(config) in AutoModelForImageTextToText._model_mapping:
        return AutoModelForImageTextToText
    return AutoModelForCausalLM  # which says what it knows


def require_loadable(checkpoint: Checkpoint) -> None:
    """Raises EvalkitError where transformers cannot run this kind of model or its quantised weights here.

    Only the config is read.
    """
    config = checkpoint.config
    quantisation = _quantisation(config)
    if quantisation is None:
        return
    method = _method(quantisation)
    try:
        if not AutoHfQuantizer.supports_quant_method(_as_dict(quantisation)):
            raise ValueError("transformers does not know this kind")
        AutoHfQuantizer.from_config(quantisation, pre_quantized=True).validate_environment(
            device_map=None, weights_only=True
        )
    except Exception as error:  # each kind of quantisation has exceptions of its own
        said = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise EvalkitError(
            f"The weights of {checkpoint.model} are quantised ({method}), which the transformers engine cannot run "
            f"here: {said}.",
            "install what it names, use --engine vllm, or the checkpoint that is not quantised.",
        ) from error


def _quantisation(config: Any) -> Any:
    found = getattr(config, "quantization_config", None)
    return found or getattr(config.get_text_config(), "quantization_config", None)


def _as_dict(quantisation: Any) -> dict[str, Any]:
    return dict(quantisation if isinstance(quantisation, dict) else quantisation.to_dict())


def _method(quantisation: Any) -> str:
    method = _as_dict(quantisation).get("quant_method", "of no named kind")
    return str(getattr(method, "value", method))


def _is_quantised(checkpoint: Checkpoint) -> bool:
    """Whether the weights have a place already: what quantises them puts them there."""
    return _quantisation(checkpoint.config) is not None


def _require_all_weights(checkpoint: Checkpoint, info: Any) -> None:
    if missing := sorted(info["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise EvalkitError(
            f"The checkpoint {checkpoint.model} lacks weights that its config asks for: {missing[0]}{more}.",
            "transformers would make them up at random; save the checkpoint anew, or correct its config.json.",
        )


def _put_on(model: Any, adapter: Adapter) -> None:
    """Put an adapter on a model. Raises EvalkitError where a part of it finds no place."""
    if find_spec("peft") is None:
        raise EvalkitError(
            "Running a LoRA adapter needs the package peft, which is not installed.",
            'run `pip install "evalkit[lora]"`.',
        )
    try:
        info = model.load_adapter(str(adapter.folder))
    except Exception as error:  # peft raises a dozen unrelated types
        said = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise EvalkitError(
            f"The adapter {adapter.name} does not fit {model.config._name_or_path}: {said}.",
            f"it was made for {adapter.base or 'a checkpoint that it does not name'}.",
        ) from error
    if astray := sorted({*info.missing_keys, *info.unexpected_keys, *map(str, info.mismatched_keys)}):
        raise EvalkitError(
            f"The adapter {adapter.name} does not fit {model.config._name_or_path}: {astray[0]} has no counterpart.",
            f"it was made for {adapter.base or 'a checkpoint that it does not name'}.",
        )


def larger_than_a_gpu(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the weights need more than the one GPU, and there are others. Raises EvalkitError without accelerate."""
    if device.type != "cuda" or device.index is not None or torch.cuda.device_count() < 2:
        return False
    needed = loaded_bytes(checkpoint, dtype)
    if needed < WEIGHTS_SHARE * torch.cuda.mem_get_info(device)[0]:
        return False
    if find_spec("accelerate") is None:
        raise EvalkitError(
            f"The weights of {checkpoint.model} take {needed / 1e9:.0f} GB, more than one GPU; spreading them over "
            "several needs the package accelerate, which is not installed.",
            "run `pip install accelerate`, or use --engine vllm.",
        )
    return True


def gpus_needed(checkpoint: Checkpoint, dtype: torch.dtype, gpus: Sequence[GPU]) -> int:
    """The fewest GPUs that hold the weights; 1 where a size is not known.

    Raises EvalkitError where all GPUs together do not hold them: on the processor and the disk they would crawl.
    """
    needed = loaded_bytes(checkpoint, dtype)
    room = [WEIGHTS_SHARE * gpu.free for gpu in gpus if gpu.free is not None]
    if len(room) < len(gpus) or not gpus:
        return 1
    for count in range(1, len(gpus) + 1):
        if count * min(room) > needed:
            return count
    raise EvalkitError(
        f"The weights of {checkpoint.model} take {needed / 1e9:.0f} GB, and {describe(gpus)} have room for "
        f"{sum(room) / 1e9:.0f} GB.",
        "use more or larger GPUs, a quantised checkpoint or --dtype bfloat16; --device cpu runs without them.",
    )


def loaded_bytes(checkpoint: Checkpoint, dtype: torch.dtype) -> int:
    """What the weights take once they are loaded in a type; quantised ones stay as they are."""
    stored = weight_bytes(checkpoint) or 0
    if _is_quantised(checkpoint):
        return stored
    own = getattr(torch, str(checkpoint.config.dtype or "float32").removeprefix("torch."), torch.float32)
    return stored * dtype.itemsize // own.itemsize


def free_memory(device: torch.device) -> int | None:
    """Bytes, None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS not this name
        return None


def bytes_per_token(model: Any) -> int:
    """What one token takes in the cache: a key and a value for each layer and key-value head. 1 without such heads."""
    config = model.config.get_text_config()
    queries = getattr(config, "num_attention_heads", None)
    if queries is None:
        return 1
    heads = getattr(config, "num_key_value_heads", None) or queries
    width = getattr(config, "head_dim", None) or config.hidden_size // queries
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)
