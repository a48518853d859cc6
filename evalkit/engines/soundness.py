"""Whether a checkpoint's config can be true: a stranger's file may ask for a billion layers."""

from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.errors import EvalkitError

_MOST = {
    "num_hidden_layers": 2_000,
    "n_layer": 2_000,
    "n_layers": 2_000,
    "num_layers": 2_000,
    "hidden_size": 1 << 18,
    "n_embd": 1 << 18,
    "d_model": 1 << 18,
    "intermediate_size": 1 << 21,
    "num_attention_heads": 1 << 14,
    "num_key_value_heads": 1 << 14,
    "head_dim": 1 << 14,
    "vocab_size": 1 << 25,
    "max_position_embeddings": 1 << 31,
    "num_local_experts": 1 << 16,
    "num_experts": 1 << 16,
    "n_routed_experts": 1 << 16,
}
"""What no model has more of, several times over."""
_DEEPEST = 8  # a config in a config


def require_sound(content: Any, model: str) -> None:
    """Raises EvalkitError where a size in the content of config.json is no count, or one that no model has."""
    if not isinstance(content, Mapping):
        raise EvalkitError(f"The config.json of {model} holds no object.", "restore it.")
    for part in _parts(content, 0):
        for name, most in _MOST.items():
            value = part.get(name)
            counts = value if isinstance(value, list | tuple) else [value]  # some have a number for each layer
            if not all(each is None or _is_count(each, most) for each in counts):
                raise EvalkitError(
                    f"The config of {model} cannot be true: {name} is {str(value)[:60]}.",
                    "restore its config.json: layers, heads and tokens have to be those of the weights.",
                )


def _parts(content: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    yield content
    for value in content.values():
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _parts(value, depth + 1)


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
