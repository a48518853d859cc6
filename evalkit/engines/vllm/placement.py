"""How many GPUs share a replica: as few as hold the weights and the keys and values of some completions."""

from collections.abc import Sequence
from typing import Any

from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.gpus import GPU
from evalkit.engines.weights import weight_bytes
from evalkit.errors import EvalkitError

_ACTIVATIONS = 4 << 30  # bytes on each GPU for activations, CUDA graphs and the CUDA context
_WHOLE_COMPLETIONS = 4  # of the longest kind: with room for fewer, a second GPU pays
_LONGEST = 32768  # tokens: what a completion is taken to need where the context is longer
_HALF_BITS = ("fp8", "int8", "experts_int8", "ptpc_fp8")


def loaded_bytes(checkpoint: Checkpoint, dtype: str, quantization: str | None) -> int | None:
    """What the weights take once vLLM has loaded them: it halves float32 by itself, and fp8 halves again."""
    stored = weight_bytes(checkpoint)
    if stored is None:
        return None
    config = checkpoint.config
    own = str(getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None) or "")
    scale = 1.0
    if own.endswith("float32") and dtype in ("auto", "half", "float16", "bfloat16"):
        scale = 0.5
    elif own.endswith("float16") and dtype in ("float32", "float"):
        scale = 2.0
    if quantization in _HALF_BITS and getattr(config, "quantization_config", None) is None:
        scale *= 0.5
    return int(stored * scale)


def real_dtype(checkpoint: Checkpoint, dtype: str) -> str:
    """The type that vLLM computes in: "auto" takes bfloat16 or float16 for a float32 checkpoint too."""
    if dtype != "auto":
        return dtype
    config = checkpoint.config
    own = str(getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None) or "float32")
    own = own.removeprefix("torch.")
    return "bfloat16" if own == "float32" else own


def cache_bytes_per_token(config: Any) -> int:
    """Keys and values of one token in all layers, at two bytes a number; 0 where the config does not say."""
    text = config.get_text_config()
    queries = getattr(text, "num_attention_heads", None)
    layers = getattr(text, "num_hidden_layers", None)
    if not queries or not layers:
        return 0
    if latent := getattr(text, "kv_lora_rank", None):  # multi-head latent attention stores one vector
        return int(2 * layers * (latent + getattr(text, "qk_rope_head_dim", 0)))
    heads = getattr(text, "num_key_value_heads", None) or queries
    width = getattr(text, "head_dim", None) or text.hidden_size // queries
    return int(4 * layers * heads * width)


def choose_tensor_parallel(
    weights: int | None, per_token: int, context: int | None, heads: int, gpus: Sequence[GPU], utilization: float
) -> int:
    """The fewest GPUs, a divisor of the attention heads, that hold the weights and some whole completions.

    Where the weights fit on none of the numbers with as much room, the most GPUs. 1 where a size is not known. Raises
    EvalkitError where all GPUs together do not hold the weights.
    """
    if weights is None or not gpus or any(gpu.memory is None for gpu in gpus):
        return 1
    memory = min(gpu.memory or 0 for gpu in gpus) * utilization - _ACTIVATIONS
    wanted = weights + _WHOLE_COMPLETIONS * min(context or _LONGEST, _LONGEST) * per_token
    counts = [n for n in range(1, len(gpus) + 1) if heads % n == 0 and (n & (n - 1) == 0 or len(gpus) % n == 0)]
    for count in counts:
        if count * memory >= wanted:
            return count
    most = counts[-1]
    if weights > most * memory:
        raise EvalkitError(
            f"The weights take {weights / 1e9:.0f} GB, and {most} of the {len(gpus)} GPUs hold "
            f"{max(most * memory, 0) / 1e9:.0f} GB of them.",
            "use more or larger GPUs, `--quantization fp8`, or a quantised checkpoint; --tensor-parallel K tries it "
            "all the same.",
        )
    return most
