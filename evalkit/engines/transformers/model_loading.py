"""A causal language model from its checkpoint, and what it needs."""

import os
from importlib.util import find_spec
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.weights import weight_bytes
from evalkit.errors import EvalkitError

_WEIGHTS_SHARE = 0.85  # of one GPU's free memory: what is left holds a few rows' keys and values


def load_model(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> Any:
    """The model, on the device and in evaluation mode. Raises EvalkitError where it cannot be had whole."""
    transformers_logging.disable_progress_bar()  # the run shows its own
    arguments = {**checkpoint.loading, "dtype": dtype, "output_loading_info": True}
    spread = larger_than_a_gpu(checkpoint, dtype, device)
    if spread:
        arguments["device_map"] = "auto"
    try:
        model, info = AutoModelForCausalLM.from_pretrained(checkpoint.model, **arguments)
        model = (model if spread else model.to(device)).eval()
    except torch.OutOfMemoryError as error:
        raise EvalkitError(
            f"The weights of {checkpoint.model} do not fit the memory of {device}.",
            "use a half type (--dtype bfloat16) or --engine vllm on several GPUs.",
        ) from error
    except Exception as error:  # on damaged files transformers, safetensors and pickle raise a dozen unrelated types
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EvalkitError(
            f"The checkpoint {checkpoint.model} could not be loaded: {told[:300]}",
            "check its files, the dtype and the device.",
        ) from error
    if missing := sorted(info["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise EvalkitError(
            f"The checkpoint {checkpoint.model} lacks weights that its config asks for: {missing[0]}{more}.",
            "transformers would make them up at random; save the checkpoint anew, or correct its config.json.",
        )
    return model


def larger_than_a_gpu(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the weights need more than the one GPU, and there are others. Raises EvalkitError without accelerate."""
    if device.type != "cuda" or device.index is not None or torch.cuda.device_count() < 2:
        return False
    stored = weight_bytes(checkpoint)
    own = getattr(torch, str(checkpoint.config.dtype or "float32").removeprefix("torch."), torch.float32)
    needed = (stored or 0) * dtype.itemsize / own.itemsize
    if needed < _WEIGHTS_SHARE * torch.cuda.mem_get_info(device)[0]:
        return False
    if find_spec("accelerate") is None:
        raise EvalkitError(
            f"The weights of {checkpoint.model} take {needed / 1e9:.0f} GB, more than one GPU; spreading them over "
            "several needs the package accelerate, which is not installed.",
            "run `pip install accelerate`, or use --engine vllm.",
        )
    return True


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a response: of the generation config, of the config and of the tokenizer."""
    found: set[int] = set()
    for ids in (model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id):
        found.update([ids] if isinstance(ids, int) else ids or [])
    return sorted(found)


def free_memory(device: torch.device) -> int | None:
    """Bytes, None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
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
